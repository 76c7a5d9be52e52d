// SPDX-License-Identifier: MIT
/* /proc/nvfs: what is counted is what was done. */
#include "fix.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	61
#define SIZE	(1 * MIB)

static const char * const names[] = {
	"opens", "closes", "ioctl_errors", "regions_registered",
	"regions_ended", "regions_revoked", "register_errors", "queries",
	"read_started", "read_ended", "read_errors", "read_short",
	"read_bytes", "read_direct_ops", "read_direct_bytes",
	"read_bounce_ops", "read_bounce_bytes", "read_refused",
	"write_started", "write_ended", "write_errors", "write_short",
	"write_bytes", "write_direct_ops", "write_direct_bytes",
	"write_bounce_ops", "write_bounce_bytes", "write_refused",
};

#define NAMES (sizeof(names) / sizeof(names[0]))

static long long before[NAMES];

static void remember(void)
{
	size_t i;

	for (i = 0; i < NAMES; i++) {
		before[i] = stat_get(names[i]);
		if (before[i] < 0)
			FAIL("/proc/nvfs has no counter %s", names[i]);
	}
}

/* What has been counted since; @checked marks it as looked at. */
static bool checked[NAMES];

static void expect(const char *name, long long want)
{
	size_t i;

	for (i = 0; i < NAMES; i++) {
		if (strcmp(names[i], name))
			continue;
		checked[i] = true;
		if (stat_get(name) - before[i] != want)
			FAIL("%s grew by %lld, not by %lld", name,
			     stat_get(name) - before[i], want);
		return;
	}
	FAIL("no counter %s", name);
}

static void expect_rest_unchanged(void)
{
	size_t i;

	for (i = 0; i < NAMES; i++)
		if (!checked[i] && stat_get(names[i]) != before[i])
			FAIL("%s grew by %lld, not at all", names[i],
			     stat_get(names[i]) - before[i]);
}

static void stage(struct xfer *x, struct gpu_buf *buf)
{
	memset(x, 0, sizeof(*x));
	x->dev = nv_open();
	x->length = SIZE;
	gpu_alloc(buf, 0, SIZE, false);
	gpu_fill(buf, 0);
	x->region = nv_region(x->dev, buf);
	x->file = file_make(EXT4, SIZE, SEED, O_RDWR);
}

TEST(reads_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;
	int i;

	stage(&x, &buf);
	remember();
	for (i = 0; i < 5; i++)
		ASSERT_EQ(nv_read(&x, &rw), 0);
	x.file_offset = SIZE - BLOCK;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect("read_started", 6);
	expect("read_ended", 6);
	expect("read_short", 1);
	expect("read_bytes", 5 * SIZE + BLOCK);
	expect("read_direct_ops", 6);
	expect("read_direct_bytes", 5 * SIZE + BLOCK);
	expect_rest_unchanged();
}

TEST(writes_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;
	int i;

	stage(&x, &buf);
	remember();
	for (i = 0; i < 3; i++)
		ASSERT_EQ(nv_write(&x, &rw), 0);
	expect("write_started", 3);
	expect("write_ended", 3);
	expect("write_bytes", 3 * SIZE);
	expect("write_direct_ops", 3);
	expect("write_direct_bytes", 3 * SIZE);
	expect_rest_unchanged();
}

TEST(refusals_and_errors_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;

	stage(&x, &buf);
	remember();
	x.file_offset = 1;
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	ASSERT_ERRNO(nv_write(&x, &rw), EREMOTEIO);
	x.region_offset = SIZE;
	ASSERT_ERRNO(nv_read(&x, &rw), ERANGE);
	expect("read_started", 2);
	expect("read_ended", 2);
	expect("read_refused", 1);
	expect("read_errors", 1);
	expect("write_started", 1);
	expect("write_ended", 1);
	expect("write_refused", 1);
	expect("ioctl_errors", 3);
	expect_rest_unchanged();
}

TEST(regions_are_counted)
{
	struct nvfs_register reg;
	struct nvfs_query query;
	struct gpu_buf buf;
	int file, dev;
	uint32_t id;

	gpu_alloc(&buf, 0, SIZE, true);
	file = file_make(EXT4, SIZE, SEED, O_RDWR);
	remember();
	dev = nv_open();
	id = nv_region(dev, &buf);
	nv_region(dev, &buf);
	ASSERT_EQ(stat_get("regions_live"), 2);
	ASSERT_EQ(stat_get("bytes_pinned_now"), 2 * SIZE);
	ASSERT_ERRNO(nv_register(dev, 0, BLOCK, &reg), EFAULT);
	ASSERT_EQ(nv_query(dev, id, file, &query), 0);
	ASSERT_EQ(nv_unregister(dev, id), 0);
	ASSERT_EQ(stat_get("regions_live"), 1);
	gpu_free(&buf);
	close(dev);
	ASSERT_EQ(stat_get("regions_live"), 0);
	ASSERT_EQ(stat_get("bytes_pinned_now"), 0);
	expect("opens", 1);
	expect("closes", 1);
	expect("regions_registered", 2);
	expect("regions_ended", 2);
	expect("regions_revoked", 1);
	expect("register_errors", 1);
	expect("ioctl_errors", 1);
	expect("queries", 1);
	expect_rest_unchanged();
}

/*
 * started = ended, bytes = direct + bounce, and holes where it was read: over all
 * that ran before, too.
 */
TEST(counters_add_up)
{
	static const char * const ways[] = { "read", "write" };
	long long holes = stat_get("hole_bytes");
	char key[40], other[40], third[40];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%s_started", ways[i]);
		snprintf(other, sizeof(other), "%s_ended", ways[i]);
		ASSERT_EQ(stat_get(key), stat_get(other));
		snprintf(key, sizeof(key), "%s_inflight", ways[i]);
		ASSERT_EQ(stat_get(key), 0);
		snprintf(key, sizeof(key), "%s_bytes", ways[i]);
		snprintf(other, sizeof(other), "%s_direct_bytes", ways[i]);
		snprintf(third, sizeof(third), "%s_bounce_bytes", ways[i]);
		ASSERT_EQ(stat_get(key), stat_get(other) + stat_get(third) +
					 (i ? 0 : holes));
	}
}

TEST(one_bvec_for_each_contiguous_piece)
{
	long long bvecs, kiocbs;
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;

	stage(&x, &buf);
	bvecs = stat_get("bvecs");
	kiocbs = stat_get("kiocbs");
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_EQ(stat_get("bvecs") - bvecs, 1);
	ASSERT_EQ(stat_get("kiocbs") - kiocbs, 1);
	gpu_free(&buf);
	gpu_alloc(&buf, 0, SIZE, true);
	x.region = nv_region(x.dev, &buf);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_LE(stat_get("bvecs") - bvecs, 1 + 16);
	ASSERT_EQ(stat_get("kiocbs") - kiocbs, 2);
}

TEST(anybody_may_read_the_counters)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		ASSERT_EQ(setgroups(0, NULL), 0);
		ASSERT_EQ(setgid(65534), 0);
		ASSERT_EQ(setuid(65534), 0);
		ASSERT_GE(stat_get("opens"), 0);
		ASSERT_GE(stat_get("read_bytes"), 0);
		ASSERT_ERRNO(open("/proc/nvfs/stats", O_WRONLY), EACCES);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

/* "name value" a line, in both files, and no name twice. */
TEST(files_have_the_documented_form)
{
	static const char * const files[] = { "stats", "io_stats" };
	int i;

	for (i = 0; i < 2; i++) {
		char out[200];

		ASSERT_EQ(shell(out, sizeof(out),
				"awk 'NF != 2 || $1 !~ /^[a-z_]+$/ || "
				"$2 !~ /^[0-9]+$/ || n[$1]++ { print; bad = 1 } "
				"END { exit bad || NR < 5 }' /proc/nvfs/%s",
				files[i]), 0);
	}
}

/* ------------------------------------------------- files of what there is */

#define PROC	"/proc/nvfs/"
#define MATCH	4096

static const char * const all_files[] = {
	"stats", "io_stats", "version", "devices", "peers", "regions",
	"latency", "usage", "users",
};

#define FILES (sizeof(all_files) / sizeof(all_files[0]))

/* The first line of a file that begins with these words; NULL for none. */
static const char *line_of(const char *file, const char *begin)
{
	static char line[MATCH];
	size_t len = strlen(begin);
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), PROC "%s", file);
	f = fopen(path, "re");
	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, begin, len) && strchr(" \n", line[len])) {
			fclose(f);
			line[strcspn(line, "\n")] = '\0';
			return line;
		}
	}
	fclose(f);
	return NULL;
}

/* The value of a key in a line. */
static const char *value_of(const char *line, const char *key)
{
	static char value[256];
	char part[64];
	const char *p;

	snprintf(part, sizeof(part), " %s=", key);
	p = strstr(line, part);
	if (!p)
		FAIL("no %s in \"%s\"", key, line);
	p += strlen(part);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, " "), p);
	return value;
}

#define ASSERT_VALUE(line, key, want) do {				\
	const char *_v = value_of(line, key);				\
	if (strcmp(_v, want))						\
		FAIL("%s is %s, not %s: %s", key, _v, want, line);	\
} while (0)

static const char *address(uint32_t bdf)
{
	static char text[2][20];
	static int turn;

	turn = !turn;
	snprintf(text[turn], sizeof(text[0]), "%04x:%02x:%02x.%x", bdf >> 16,
		 bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	return text[turn];
}

TEST(version_is_that_of_the_call)
{
	char want[64];

	snprintf(want, sizeof(want), "version %d.%d.%d", NVFS_VERSION_MAJOR,
		 NVFS_VERSION_MINOR, NVFS_VERSION_PATCH);
	if (!line_of("version", want))
		FAIL("no line %s", want);
	ASSERT_TRUE(line_of("version", "format 1") != NULL);
	ASSERT_TRUE(line_of("version", "provider_version 0x00020000") != NULL);
}

/* What sysfs has of class 01 is a drive, and nothing else. */
TEST(devices_are_those_of_sysfs)
{
	char out[1000];

	if (shell(out, sizeof(out),
		  "cd /sys/bus/pci/devices\n"
		  "for d in *; do\n"
		  "  read -r class <$d/class; read -r vendor <$d/vendor\n"
		  "  case $class in 0x01*) ;; *) continue ;; esac\n"
		  "  [ -e $d/driver ] && driver=$(basename $(readlink $d/driver)) || driver=-\n"
		  "  echo drive $d class=${class#0x} vendor=${vendor#0x} driver=$driver\n"
		  "done | sort >/tmp/want\n"
		  "awk '$1 == \"drive\" { print $1, $2, $5, $3, $6 }' /proc/nvfs/devices | sort >/tmp/got\n"
		  "test -s /tmp/want && diff /tmp/want /tmp/got"))
		FAIL("%s", out);
}

TEST(memory_that_is_registered_makes_a_gpu)
{
	struct gpu_buf buf;
	struct xfer x;
	char begin[40], bar[32];
	const char *line;

	stage(&x, &buf);
	snprintf(begin, sizeof(begin), "gpu %s", address(gpu_bdf(0)));
	line = line_of("devices", begin);
	if (!line)
		FAIL("no line %s", begin);
	ASSERT_VALUE(line, "fit", "ok");
	ASSERT_VALUE(line, "acs", "none");
	ASSERT_VALUE(line, "iommu", "none");
	ASSERT_VALUE(line, "host", "0000:00");
	snprintf(bar, sizeof(bar), "%llu", (unsigned long long)gpu_total(0));
	ASSERT_VALUE(line, "bar_bytes", bar);
}

/* The matrix and QUERY are two ways to one answer. */
static void expect_peer(const struct nvfs_query *query, const char *rank)
{
	char begin[64], text[16];
	const char *line;

	snprintf(begin, sizeof(begin), "peer %s %s", address(query->gpu),
		 address(query->drive));
	line = line_of("peers", begin);
	if (!line)
		FAIL("no line %s", begin);
	ASSERT_VALUE(line, "rank", rank);
	snprintf(text, sizeof(text), "%d", query->distance);
	ASSERT_VALUE(line, "distance", text);
	ASSERT_VALUE(line, "reach", query->route == NVFS_ROUTE_DIRECT ?
				    "yes" : "no");
	ASSERT_VALUE(line, "reason",
		     query->reason == NVFS_REASON_HOST_BRIDGE ? "host-bridge" :
								"none");
}

TEST(peers_agree_with_query)
{
	static const char * const drives[] = { "disk", "nvme1" };
	struct nvfs_query query;
	struct gpu_buf buf;
	struct xfer x;
	size_t i;

	stage(&x, &buf);
	for (i = 0; i < 2; i++) {
		int fd = open(fix_place(drives[i]), O_RDONLY | O_CLOEXEC);

		ASSERT_GE(fd, 0);
		ASSERT_EQ(nv_query(x.dev, x.region, fd, &query), 0);
		expect_peer(&query, i ? "none" : "switch");
		close(fd);
	}
}

static int lines_of_regions(void)
{
	char out[64];

	ASSERT_EQ(shell(out, sizeof(out), "grep -c '^region ' " PROC
			"regions || true"), 0);
	return atoi(out);
}

TEST(regions_say_what_is_registered)
{
	struct gpu_buf buf;
	char begin[40], bytes[24];
	struct xfer x;
	const char *line;

	stage(&x, &buf);
	snprintf(begin, sizeof(begin), "region %d:%u", (int)getpid(),
		 x.region);
	line = line_of("regions", begin);
	if (!line)
		FAIL("no line %s", begin);
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)buf.size);
	ASSERT_VALUE(line, "bytes", bytes);
	ASSERT_VALUE(line, "state", "live");
	ASSERT_VALUE(line, "gpu", address(gpu_bdf(0)));
	ASSERT_VALUE(line, "pages", "zone");
	ASSERT_VALUE(line, "pieces", "1");
	ASSERT_VALUE(line, "persistent", "no");
	ASSERT_VALUE(line, "pinned", bytes);
	gpu_free(&buf);
	ASSERT_VALUE(line_of("regions", begin), "state", "dead");
	ASSERT_EQ(nv_unregister(x.dev, x.region), 0);
	ASSERT_TRUE(line_of("regions", begin) == NULL);
}

static void become_nobody(void)
{
	ASSERT_EQ(setgroups(0, NULL), 0);
	ASSERT_EQ(setgid(65534), 0);
	ASSERT_EQ(setuid(65534), 0);
}

static void in_child(void (*call)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		call(arg);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

static void see_as_nobody(void *want)
{
	become_nobody();
	ASSERT_EQ(lines_of_regions(), *(int *)want);
}

/* What root opened shows what root may see, whoever reads it. */
static void see_by_roots_file(void *arg)
{
	int fd = open(PROC "regions", O_RDONLY | O_CLOEXEC);
	char text[MATCH];

	(void)arg;
	become_nobody();
	ASSERT_GT(read(fd, text, sizeof(text)), 0);
}

TEST(regions_of_others_are_hidden)
{
	struct gpu_buf buf;
	struct xfer x;
	int none = 0;

	stage(&x, &buf);
	ASSERT_EQ(lines_of_regions(), 1);
	in_child(see_as_nobody, &none);
	in_child(see_by_roots_file, NULL);
}

TEST(regions_of_ones_own_are_seen)
{
	struct gpu_buf own, roots;
	int dev, one = 1;

	gpu_alloc(&own, 0, SIZE, false);
	gpu_alloc(&roots, 0, SIZE, false);
	nv_region(nv_open(), &roots);
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0666), 0);
	ASSERT_EQ(seteuid(65534), 0);
	dev = nv_open();
	ASSERT_EQ(seteuid(0), 0);
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0600), 0);
	nv_region(dev, &own);
	ASSERT_EQ(lines_of_regions(), 2);
	in_child(see_as_nobody, &one);
}

/* Process 1 of the namespace: still root, but the regions are of others. */
static void see_nothing(void *arg)
{
	int fd = open(PROC "regions", O_RDONLY | O_CLOEXEC);
	char text[MATCH];

	(void)arg;
	ASSERT_GE(fd, 0);
	ASSERT_EQ(getpid(), 1);
	ASSERT_EQ(read(fd, text, sizeof(text)), 0);
}

static void see_in_a_pid_namespace(void *arg)
{
	ASSERT_EQ(unshare(CLONE_NEWPID), 0);
	in_child(see_nothing, arg);
}

TEST(regions_of_another_pid_namespace_are_hidden)
{
	struct gpu_buf buf;
	struct xfer x;

	stage(&x, &buf);
	in_child(see_in_a_pid_namespace, NULL);
}

/* But for the reset in stats: see stat.c. */
TEST(anybody_may_read_every_file_and_write_none)
{
	size_t i;

	for (i = 0; i < FILES; i++) {
		char path[64], out[64];

		snprintf(path, sizeof(path), PROC "%s", all_files[i]);
		ASSERT_EQ(shell(out, sizeof(out), "stat -c %%a %s", path), 0);
		ASSERT_CONTAINS(out, strcmp(all_files[i], "stats") ? "444" :
								     "644");
		/* root may open it */
		ASSERT_NE(shell(out, sizeof(out), "echo 1 2>&1 >%s", path), 0);
	}
}

/* One byte at a time, or from the middle: the same text. */
TEST(files_may_be_read_in_any_pieces)
{
	static const char * const steady[] = { "version", "devices", "peers" };
	size_t i;

	for (i = 0; i < 3; i++) {
		static char whole[1 << 16], part[1 << 16];
		ssize_t len, at;
		char path[64];
		int fd;

		snprintf(path, sizeof(path), PROC "%s", steady[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		len = read(fd, whole, sizeof(whole));
		ASSERT_GT(len, 0);
		for (at = 0; at < len; at++)
			ASSERT_EQ(pread(fd, part + at, 1, at), 1);
		ASSERT_MEMEQ(part, whole, (size_t)len);
		ASSERT_EQ(pread(fd, part, sizeof(part), len), 0);
		ASSERT_EQ(pread(fd, part, sizeof(part), len + 12345), 0);
		ASSERT_EQ(pread(fd, part, 7, len - 3), 3);
		ASSERT_MEMEQ(part, whole + len - 3, 3);
		close(fd);
	}
}

/* ------------------------------------------------------------ many readers */

#define READERS		8
#define EACH		1250

static bool readers_end;

static void *read_files(void *arg)
{
	static const char * const first[] = {
		"regions_live ", "read_inflight ", "version ", "", "peer ",
		"region ", "counting ", "counting ", "user ",
	};
	size_t i;

	(void)arg;
	for (i = 0; i < EACH; i++) {
		size_t n = i % FILES;
		char path[64], text[64] = "";
		int fd;

		snprintf(path, sizeof(path), PROC "%s", all_files[n]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_GE(fd, 0);
		ASSERT_GT(read(fd, text, sizeof(text) - 1), 0);
		ASSERT_EQ(strncmp(text, first[n], strlen(first[n])), 0);
		close(fd);
	}
	return NULL;
}

static void *read_data(void *arg)
{
	struct xfer *x = arg;
	struct nvfs_rw rw;

	while (!__atomic_load_n(&readers_end, __ATOMIC_RELAXED)) {
		ASSERT_EQ(nv_read(x, &rw), 0);
		ASSERT_EQ(rw.done, SIZE);
		ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	}
	return NULL;
}

/* The reads go on and stay right; every file is whole each time. */
TEST_LIMIT(readers_10000_during_io, 300)
{
	pthread_t reader[READERS], io;
	struct gpu_buf buf;
	struct xfer x;
	int i;

	stage(&x, &buf);
	ASSERT_EQ(pthread_create(&io, NULL, read_data, &x), 0);
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(pthread_create(&reader[i], NULL, read_files, NULL),
			  0);
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(pthread_join(reader[i], NULL), 0);
	__atomic_store_n(&readers_end, true, __ATOMIC_RELAXED);
	ASSERT_EQ(pthread_join(io, NULL), 0);
	gpu_check_pattern(&buf, 0, SIZE, SEED, 0);
}

/* What has been opened at the same time: all are whole, from any of the times. */
TEST_LIMIT(readers_10000_at_once_during_io, 300)
{
	enum { AT_ONCE = 10000 };
	struct rlimit limit = { AT_ONCE + 1000, AT_ONCE + 1000 };
	static int fd[AT_ONCE];
	struct gpu_buf buf;
	pthread_t io;
	struct xfer x;
	int i;

	stage(&x, &buf);
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	readers_end = false;
	ASSERT_EQ(pthread_create(&io, NULL, read_data, &x), 0);
	for (i = 0; i < AT_ONCE; i++) {
		char path[64], byte;

		snprintf(path, sizeof(path), PROC "%s", all_files[i % FILES]);
		fd[i] = open(path, O_RDONLY | O_CLOEXEC);
		ASSERT_GE(fd[i], 0);
		ASSERT_EQ(read(fd[i], &byte, 1), 1);
	}
	for (i = 0; i < AT_ONCE; i++) {
		static char text[1 << 16];
		ssize_t n = read(fd[i], text, sizeof(text));

		ASSERT_GT(n, 8);
		ASSERT_EQ(text[n - 1], '\n');
		ASSERT_EQ(read(fd[i], text, sizeof(text)), 0);
		close(fd[i]);
	}
	__atomic_store_n(&readers_end, true, __ATOMIC_RELAXED);
	ASSERT_EQ(pthread_join(io, NULL), 0);
	gpu_check_pattern(&buf, 0, SIZE, SEED, 0);
}

/* The names of the counters in a text of "name number" lines. */
static size_t names_of(const char *text, char *to)
{
	size_t n = 0;

	while (*text) {
		size_t word = strspn(text, "abcdefghijklmnopqrstuvwxyz_");
		size_t number = strspn(text + word + 1, "0123456789");

		if (!word || text[word] != ' ' || !number ||
		    text[word + 1 + number] != '\n')
			FAIL("no counter: %.60s", text);
		memcpy(to + n, text, word + 1);
		n += word + 1;
		text += word + 1 + number + 1;
	}
	to[n] = '\0';
	return n;
}

/* A whole file, in reads of so many bytes. */
static void read_in_pieces(const char *file, size_t piece, char *to, size_t size)
{
	char path[64];
	size_t n = 0;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), PROC "%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	while ((got = read(fd, to + n, piece)) > 0) {
		n += (size_t)got;
		ASSERT_LT(n + piece, size);
	}
	ASSERT_EQ(got, 0);
	to[n] = '\0';
	close(fd);
}

/* One byte, or a few, at any offset of a file that changes meanwhile. */
static void read_at_offsets(const char *file)
{
	static const off_t beyond[] = { 1 << 20, 1LL << 40, INT64_MAX - 4096 };
	char path[64], text[8];
	off_t at = 0;
	size_t i;
	int fd;

	snprintf(path, sizeof(path), PROC "%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	for (;; at++) {
		size_t want = 1 + (size_t)at % sizeof(text);
		ssize_t n = pread(fd, text, want, at);

		ASSERT_GE(n, 0);
		if (!n)
			break;
		for (i = 0; i < (size_t)n; i++)
			if (!strchr("abcdefghijklmnopqrstuvwxyz_ 0123456789\n",
				    text[i]) || !text[i])
				FAIL("%s has %#x at %lld", file, text[i],
				     (long long)at);
	}
	ASSERT_GT(at, 200);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(pread(fd, text, sizeof(text), beyond[i]), 0);
	ASSERT_ERRNO(pread(fd, text, sizeof(text), -1), EINVAL);
	close(fd);
}

TEST_LIMIT(counters_are_whole_in_any_pieces_during_io, 120)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 61, 4096 };
	static char text[1 << 16], want[1 << 16], got[1 << 16];
	struct gpu_buf buf;
	pthread_t io;
	struct xfer x;
	size_t i, k;

	stage(&x, &buf);
	readers_end = false;
	ASSERT_EQ(pthread_create(&io, NULL, read_data, &x), 0);
	for (k = 0; k < 2; k++) {
		read_in_pieces(all_files[k], 4096, text, sizeof(text));
		ASSERT_GT(names_of(text, want), 40);
		for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			read_in_pieces(all_files[k], pieces[i], text,
				       sizeof(text));
			names_of(text, got);
			ASSERT_EQ(strcmp(got, want), 0);
		}
		read_at_offsets(all_files[k]);
	}
	__atomic_store_n(&readers_end, true, __ATOMIC_RELAXED);
	ASSERT_EQ(pthread_join(io, NULL), 0);
}

/* Root may open for writing, as with every file of /proc; nothing comes of it. */
TEST(files_take_nothing_that_is_written)
{
	struct gpu_buf buf;
	struct xfer x;
	size_t i;

	stage(&x, &buf);
	for (i = 0; i < FILES; i++) {
		static char before[1 << 16], after[1 << 16];
		char path[64];
		int fd, error;

		snprintf(path, sizeof(path), PROC "%s", all_files[i]);
		read_in_pieces(all_files[i], 4096, before, sizeof(before));
		fd = open(path, O_RDWR | O_TRUNC | O_APPEND | O_CLOEXEC);
		ASSERT_GE(fd, 0);
		/* stats takes a reset, and knows everything else for wrong */
		error = strcmp(all_files[i], "stats") ? EIO : EINVAL;
		ASSERT_ERRNO(write(fd, "0", 1), error);
		ASSERT_ERRNO(write(fd, before, strlen(before)), error);
		ASSERT_ERRNO(pwrite(fd, "reset\n", 6, 3), ESPIPE);
		ASSERT_ERRNO(ioctl(fd, NVFS_IOC_INFO, before), ENOTTY);
		ASSERT_TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) ==
			    MAP_FAILED);
		close(fd);
		read_in_pieces(all_files[i], 4096, after, sizeof(after));
		ASSERT_EQ(strcmp(after, before), 0);
	}
}

/* ---------------------------------------------------------------- hotplug */

/* The PCI function that a disk stands on. */
static void function_of(const char *disk, char *to, size_t size)
{
	ASSERT_EQ(shell(to, size,
			"readlink -f /sys/block/%s | "
			"grep -o '[0-9a-f]*:[0-9a-f]*:[0-9a-f]*\\.[0-9]' | "
			"tail -n 1 | tr -d '\\n'", strrchr(disk, '/') + 1), 0);
	ASSERT_GT(strlen(to), 0);
}

/*
 * Another program may have left a file system mounted on it: the disk would live
 * on under its name, and come back under another.
 */
static void leave_the_disk(void)
{
	ASSERT_EQ(shell(NULL, 0, "m=/run/nvfs-test/vblk; "
			"! mountpoint -q $m || umount $m"), 0);
}

static void put(const char *what, const char *format, const char *function)
{
	char out[200], path[100];

	snprintf(path, sizeof(path), format, function);
	if (shell(out, sizeof(out), "echo %s 2>&1 >%s", what, path))
		FAIL("%s: %s", path, out);
}

TEST(devices_follow_a_driver_that_lets_go_and_comes_back)
{
	char function[40], begin[60];

	leave_the_disk();
	function_of(fix_place("vblk0"), function, sizeof(function));
	snprintf(begin, sizeof(begin), "drive %s", function);
	ASSERT_VALUE(line_of("devices", begin), "driver", "virtio-pci");
	put(function, "/sys/bus/pci/devices/%s/driver/unbind", function);
	ASSERT_VALUE(line_of("devices", begin), "driver", "-");
	ASSERT_VALUE(line_of("devices", begin), "fit", "no-driver");
	put(function, "/sys/bus/pci/drivers/virtio-pci/bind", "");
	ASSERT_VALUE(line_of("devices", begin), "driver", "virtio-pci");
	ASSERT_VALUE(line_of("devices", begin), "fit", "not-nvme");
}

TEST(devices_follow_a_drive_that_is_pulled_and_put_back)
{
	char function[40], begin[60], peer[100];
	struct gpu_buf buf;
	struct xfer x;

	leave_the_disk();
	stage(&x, &buf);
	function_of(fix_place("vblk0"), function, sizeof(function));
	snprintf(begin, sizeof(begin), "drive %s", function);
	snprintf(peer, sizeof(peer), "peer %s %s", address(gpu_bdf(0)),
		 function);
	ASSERT_TRUE(line_of("peers", peer) != NULL);
	put("1", "/sys/bus/pci/devices/%s/remove", function);
	ASSERT_TRUE(line_of("devices", begin) == NULL);
	ASSERT_TRUE(line_of("peers", peer) == NULL);
	put("1", "/sys/bus/pci/rescan", "");
	ASSERT_VALUE(line_of("devices", begin), "driver", "virtio-pci");
	ASSERT_TRUE(line_of("peers", peer) != NULL);
}
