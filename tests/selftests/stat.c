// SPDX-License-Identifier: MIT
/*
 * What is counted, timed and traced of requests tells one story, whichever way
 * they go: each begins once and ends once, and all numbers agree.
 */
#include "fix_async.h"
#include "fix_trace.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	67
#define SIZE	(1 * MIB)
#define NR	16
#define PARAMETERS "/sys/module/nvfs/parameters/"
#define USAGE	"/proc/nvfs/usage"

static struct {
	struct gpu_buf buf;
	struct xfer x;
} t;

static void stage(enum target target)
{
	memset(&t, 0, sizeof(t));
	t.x.dev = nv_open();
	t.x.length = 4 * KIB;
	gpu_alloc(&t.buf, 0, SIZE, false);
	gpu_fill(&t.buf, 1);
	t.x.region = nv_region(t.x.dev, &t.buf);
	t.x.file = file_make(target, SIZE, SEED, O_RDWR);
}

static void rw(bool write, uint32_t flags, int error)
{
	struct nvfs_rw out;

	if (error)
		ASSERT_ERRNO(nv_rw_as(&t.x, write, flags, &out), error);
	else
		ASSERT_EQ(nv_rw_as(&t.x, write, flags, &out), 0);
}

/* --------------------------------------------------- ways, and their number */

static int aligned_on_a_device(void)
{
	int i;

	stage(PART);
	for (i = 0; i < NR; i++) {
		rw(false, 0, 0);
		rw(true, 0, 0);
	}
	return 2 * NR;
}

static int aligned_in_a_file(void)
{
	int i;

	stage(EXT4);
	gpu_free(&t.buf);
	gpu_alloc(&t.buf, 0, SIZE, true);
	t.x.region = nv_region(t.x.dev, &t.buf);
	t.x.length = SIZE;
	for (i = 0; i < 3; i++) {
		rw(false, 0, 0);
		rw(true, 0, 0);
	}
	return 6;
}

static int bounced(void)
{
	stage(EXT4);
	t.x.file_offset = 1;
	rw(false, NVFS_RW_BOUNCE, 0);
	rw(true, NVFS_RW_BOUNCE, 0);
	return 2;
}

static int mixed(void)
{
	stage(PART);
	t.x.length = SIZE - 100;
	rw(false, NVFS_RW_BOUNCE, 0);
	rw(true, NVFS_RW_BOUNCE, 0);
	return 2;
}

static int refused(void)
{
	stage(PART);
	t.x.file_offset = 1;
	rw(false, 0, EREMOTEIO);
	rw(true, 0, EREMOTEIO);
	t.x.region_offset = SIZE;
	rw(false, 0, ERANGE);
	t.x.region_offset = 0;
	close(t.x.file);
	rw(true, 0, EBADF);
	return 4;
}

static int short_at_the_end_of_a_file(void)
{
	stage(EXT4);
	t.x.file_offset = SIZE - 4 * KIB;
	t.x.length = 8 * KIB;
	rw(false, 0, 0);
	t.x.file_offset = SIZE;
	rw(false, 0, 0);
	return 2;
}

/* Begun the short way, ended the general one. */
static int short_at_the_end_of_a_device(void)
{
	uint64_t size;
	int i;

	stage(PART);
	ASSERT_EQ(ioctl(t.x.file, BLKGETSIZE64, &size), 0);
	rw(false, 0, 0);
	t.x.file_offset = size - 4 * KIB;
	t.x.length = 8 * KIB;
	for (i = 0; i < 3; i++)
		rw(false, 0, 0);
	return 4;
}

static int empty(void)
{
	stage(PART);
	t.x.length = 0;
	rw(false, 0, 0);
	rw(true, 0, 0);
	return 2;
}

static int holes(void)
{
	struct nvfs_hole hole[4];
	struct nvfs_rw out;

	stage(EXT4);
	ASSERT_EQ(fallocate(t.x.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    64 * KIB, 128 * KIB), 0);
	ASSERT_EQ(fsync(t.x.file), 0);
	t.x.length = SIZE;
	ASSERT_EQ(nv_read_holes(&t.x, 0, hole, 4, &out), 0);
	ASSERT_EQ(out.nr_holes, 1);
	return 1;
}

static void run_batch(uint32_t op, uint32_t flags, uint64_t length, int error)
{
	struct nvfs_request req[NR];
	struct nvfs_event event[NR];
	struct nvfs_batch_submit out;
	uint32_t batch = batch_make(t.x.dev, NR);
	int i;

	for (i = 0; i < NR; i++) {
		req[i] = nv_request(&t.x, op, flags, (uint64_t)i);
		req[i].region_offset = (uint64_t)i * 8 * KIB;
		req[i].length = length;
	}
	ASSERT_EQ(batch_submit(t.x.dev, batch, req, NR, &out), 0);
	batch_reap_all(t.x.dev, batch, event, NR, 30);
	for (i = 0; i < NR; i++)
		ASSERT_EQ(event[i].error, error);
}

static int batch_on_a_device(void)
{
	stage(PART);
	rw(false, 0, 0);
	run_batch(NVFS_OP_READ, 0, 4 * KIB, 0);
	run_batch(NVFS_OP_WRITE, 0, 4 * KIB, 0);
	return 1 + 2 * NR;
}

static int batch_in_a_file(void)
{
	stage(XFS);
	run_batch(NVFS_OP_READ, 0, 4 * KIB, 0);
	run_batch(NVFS_OP_WRITE, 0, 4 * KIB, 0);
	return 2 * NR;
}

static int batch_by_workers(void)
{
	stage(EXT4);
	t.x.file_offset = 3;
	run_batch(NVFS_OP_READ, NVFS_RW_BOUNCE, 5000, 0);
	run_batch(NVFS_OP_WRITE, NVFS_RW_BOUNCE, 5000, 0);
	return 2 * NR;
}

/* Started the short way, and not all of it arrives. */
static int batch_at_the_end_of_a_device(void)
{
	uint64_t size;

	stage(PART);
	rw(false, 0, 0);
	ASSERT_EQ(ioctl(t.x.file, BLKGETSIZE64, &size), 0);
	t.x.file_offset = size - 4 * KIB;
	run_batch(NVFS_OP_READ, 0, 8 * KIB, 0);
	return 1 + NR;
}

static void *ring_map(int fd, size_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

	ASSERT_TRUE(p != MAP_FAILED);
	return p;
}

/* NR requests as io_uring commands, waited for. */
static int by_io_uring(void)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SQE128 };
	uint32_t *tail, *array;
	uint8_t *sq, *sqes;
	uint32_t i;
	int fd;

	stage(PART);
	rw(false, 0, 0);
	fd = (int)syscall(__NR_io_uring_setup, NR, &p);
	ASSERT_GE(fd, 0);
	sq = ring_map(fd, p.sq_off.array + p.sq_entries * 4, IORING_OFF_SQ_RING);
	sqes = ring_map(fd, p.sq_entries * 128, IORING_OFF_SQES);
	tail = (void *)(sq + p.sq_off.tail);
	array = (void *)(sq + p.sq_off.array);
	for (i = 0; i < NR; i++) {
		struct io_uring_sqe *sqe = (void *)(sqes + i * 128);
		struct nvfs_request req = nv_request(&t.x, i % 2 ? NVFS_OP_WRITE :
						     NVFS_OP_READ, 0, i);

		sqe->opcode = IORING_OP_URING_CMD;
		sqe->fd = t.x.dev;
		sqe->cmd_op = NVFS_URING_CMD_REQUEST;
		memcpy((uint8_t *)sqe + 48, &req, sizeof(req));
		array[i] = i;
	}
	__atomic_store_n(tail, NR, __ATOMIC_RELEASE);
	ASSERT_EQ(syscall(__NR_io_uring_enter, fd, NR, NR,
			  IORING_ENTER_GETEVENTS, NULL, 0), NR);
	close(fd);
	return 1 + NR;
}

/* A bad block, so that steps fail and are made again, smaller. */
static int around_a_bad_block(void)
{
	char out[500];

	if (access("/sbin/dmsetup", X_OK))
		SKIP("dmsetup is not installed");
	/* the kernel tells of each bad block of the bad drive */
	harness_allow_log("I/O error");
	stage(PART);
	close(t.x.file);
	if (shell(out, sizeof(out),
		  "exec 2>&1; modprobe dm-mod; dmsetup remove nvfs-sum 2>/dev/null;"
		  " printf '0 1024 linear %s 0\\n1024 8 error\\n"
		  "1032 3064 linear %s 1032\\n' | dmsetup create nvfs-sum && "
		  "dmsetup mknodes", fix_place("part"), fix_place("part")))
		FAIL("dmsetup: %s", out);
	t.x.file = open("/dev/mapper/nvfs-sum", O_RDWR | O_CLOEXEC);
	ASSERT_GE(t.x.file, 0);
	t.x.length = SIZE;
	rw(false, NVFS_RW_BOUNCE, EIO);
	run_batch(NVFS_OP_READ, NVFS_RW_BOUNCE, 4 * KIB, 0);
	close(t.x.file);
	ASSERT_EQ(shell(out, sizeof(out), "udevadm settle 2>/dev/null; "
			"dmsetup remove --retry nvfs-sum"), 0);
	return 1 + NR;
}

/* ------------------------------------------------------- what they came to */

/* Requests in /proc/nvfs/latency of a direction. */
static long long timed(const char *way)
{
	char out[64];

	ASSERT_EQ(shell(out, sizeof(out), "awk -F '[ =]' '/^latency %s / "
			"{ n += $NF } END { print n + 0 }' /proc/nvfs/latency",
			way), 0);
	return atoll(out);
}

/* The value of a key, over all lines of /proc/nvfs/usage that begin so. */
static long long usage(const char *begin, const char *key)
{
	long long sum = 0;
	char line[600], part[40];
	FILE *f = fopen(USAGE, "re");
	const char *p;

	if (!f)
		FAIL(USAGE ": %s", strerror(errno));
	snprintf(part, sizeof(part), " %s=", key);
	while (fgets(line, sizeof(line), f)) {
		p = strncmp(line, begin, strlen(begin)) ? NULL :
		    strstr(line, part);
		sum += p ? atoll(p + strlen(part)) : 0;
	}
	fclose(f);
	return sum;
}

enum number {
	STARTED, W_STARTED, ENDED, FAILED, BYTES, KIOCBS, BVECS, RETRIES,
	DIRECT, BOUNCE, TIMED_READS, TIMED_WRITES, READS, WRITES,
	DIRECT_BYTES, READ_BYTES, NUMBERS,
};

/* Things whose usage is counted; each of these is a sum over all. */
static const char * const users[] = { "gpu ", "drive ", "process " };

enum used {
	USED_READS, USED_WRITES, USED_READ_BYTES, USED_BYTES, USED_DIRECT,
	USED_FAILED, USED,
};

static void take_usage(long long n[3][USED])
{
	int i;

	for (i = 0; i < 3; i++) {
		const char *u = users[i];

		n[i][USED_READS] = usage(u, "read_requests");
		n[i][USED_WRITES] = usage(u, "write_requests");
		n[i][USED_READ_BYTES] = usage(u, "read_bytes");
		n[i][USED_BYTES] = usage(u, "read_bytes") +
				   usage(u, "write_bytes");
		n[i][USED_DIRECT] = usage(u, "read_direct_bytes") +
				    usage(u, "write_direct_bytes");
		n[i][USED_FAILED] = usage(u, "errors") + usage(u, "refused");
	}
}

/* Every sum is what io_stats says. */
static void check_usage(long long was[3][USED], long long now[3][USED],
			const long long n[NUMBERS])
{
	int i;

	for (i = 0; i < 3; i++) {
		int j;

		for (j = 0; j < USED; j++)
			now[i][j] -= was[i][j];
		ASSERT_EQ(now[i][USED_READS], n[READS]);
		ASSERT_EQ(now[i][USED_WRITES], n[WRITES]);
		ASSERT_EQ(now[i][USED_READ_BYTES], n[READ_BYTES]);
		ASSERT_EQ(now[i][USED_BYTES], n[BYTES]);
		ASSERT_EQ(now[i][USED_DIRECT], n[DIRECT_BYTES]);
		ASSERT_EQ(now[i][USED_FAILED], n[FAILED]);
	}
}

static long long both(const char *what)
{
	char read[40], write[40];

	snprintf(read, sizeof(read), "read_%s", what);
	snprintf(write, sizeof(write), "write_%s", what);
	return stat_get(read) + stat_get(write);
}

static void take(long long n[NUMBERS])
{
	n[STARTED] = both("started");
	n[W_STARTED] = stat_get("write_started");
	n[ENDED] = both("ended");
	n[FAILED] = both("errors") + both("refused");
	n[BYTES] = both("bytes");
	n[KIOCBS] = stat_get("kiocbs");
	n[BVECS] = stat_get("bvecs");
	n[RETRIES] = stat_get("retries");
	n[DIRECT] = both("direct_ops");
	n[BOUNCE] = both("bounce_ops");
	n[TIMED_READS] = timed("read");
	n[TIMED_WRITES] = timed("write");
	n[READS] = stat_get("read_ended");
	n[WRITES] = stat_get("write_ended");
	n[DIRECT_BYTES] = both("direct_bytes");
	n[READ_BYTES] = stat_get("read_bytes");
}

/* Run requests some way: the trace, the counters and the times agree. */
static void agree(int (*run)(void))
{
	long long was[NUMBERS], n[NUMBERS], used_was[3][USED], used[3][USED];
	struct trace_sum sum;
	int nr, i;

	take(was);
	take_usage(used_was);
	kernel_put(PARAMETERS "usage", "1");
	kernel_put(PARAMETERS "latency", "1");
	trace_begin();
	nr = run();
	trace_add_up(trace_read(), &sum);
	trace_end();
	kernel_put(PARAMETERS "latency", "0");
	kernel_put(PARAMETERS "usage", "0");
	take(n);
	take_usage(used);
	for (i = 0; i < NUMBERS; i++)
		n[i] -= was[i];
	ASSERT_EQ(n[STARTED], nr);
	ASSERT_EQ(n[ENDED], nr);
	ASSERT_EQ(sum.submits, nr);
	ASSERT_EQ(sum.completes, nr);
	ASSERT_EQ(sum.writes, n[W_STARTED]);
	ASSERT_EQ(sum.errors, n[FAILED]);
	ASSERT_EQ(sum.done, n[BYTES]);
	ASSERT_EQ(sum.direct_steps, n[KIOCBS]);
	ASSERT_EQ(sum.bvecs, n[BVECS]);
	ASSERT_EQ(sum.retries, n[RETRIES]);
	ASSERT_EQ(sum.routes[NVFS_ROUTE_DIRECT] + sum.routes[NVFS_ROUTE_MIXED],
		  n[DIRECT]);
	ASSERT_EQ(sum.routes[NVFS_ROUTE_BOUNCE] + sum.routes[NVFS_ROUTE_MIXED],
		  n[BOUNCE]);
	ASSERT_EQ(n[TIMED_READS], n[READS]);
	ASSERT_EQ(n[TIMED_WRITES], n[WRITES]);
	check_usage(used_was, used, n);
}

#define AGREE(way)	TEST_OF(numbers_agree_##way, 60, agree(way))

AGREE(aligned_on_a_device)
AGREE(aligned_in_a_file)
AGREE(bounced)
AGREE(mixed)
AGREE(refused)
AGREE(short_at_the_end_of_a_file)
AGREE(short_at_the_end_of_a_device)
AGREE(empty)
AGREE(holes)
AGREE(batch_on_a_device)
AGREE(batch_in_a_file)
AGREE(batch_by_workers)
AGREE(batch_at_the_end_of_a_device)
AGREE(by_io_uring)
AGREE(around_a_bad_block)

/* ----------------------------------------------------------------- latency */

TEST(latency_has_classes_of_size)
{
	char out[300];

	kernel_put(PARAMETERS "latency", "0");
	ASSERT_EQ(shell(out, sizeof(out), "grep '^counting' /proc/nvfs/latency"),
		  0);
	ASSERT_CONTAINS(out, "counting no");
	stage(PART);
	kernel_put(PARAMETERS "latency", "1");
	t.x.length = 64 * KIB;
	rw(false, 0, 0);
	kernel_put(PARAMETERS "latency", "0");
	ASSERT_EQ(shell(out, sizeof(out), "grep '^latency read "
			"from_bytes=65536 below_ns=[0-9]* requests=[1-9]' "
			"/proc/nvfs/latency"), 0);
}

TEST(nothing_is_timed_while_nobody_wants_it)
{
	long long was;

	kernel_put(PARAMETERS "latency", "0");
	stage(PART);
	was = timed("read");
	rw(false, 0, 0);
	ASSERT_EQ(timed("read"), was);
}

/* --------------------------------------------- kinds of errors, pins, mixtures */

static const char * const kinds[] = {
	"io", "space", "memory", "gone", "interrupted", "route", "argument",
	"other",
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static long long of_kind(const char *kind)
{
	char name[40];

	snprintf(name, sizeof(name), "errors_%s", kind);
	return stat_get(name);
}

/* The sum over all kinds is all errors, over all that ran before, too. */
TEST(errors_have_a_kind)
{
	long long argument, route, sum = 0;
	size_t i;

	stage(PART);
	argument = of_kind("argument");
	route = of_kind("route");
	t.x.file_offset = 1;
	rw(false, 0, EREMOTEIO);
	t.x.region_offset = SIZE;
	rw(false, 0, ERANGE);
	t.x.region_offset = 0;
	close(t.x.file);
	rw(true, 0, EBADF);
	ASSERT_EQ(of_kind("argument"), argument + 2);
	ASSERT_EQ(of_kind("route"), route);
	for (i = 0; i < KINDS; i++)
		sum += of_kind(kinds[i]);
	ASSERT_EQ(sum, both("errors"));
}

TEST(a_bad_block_and_a_full_disk_are_different_errors)
{
	long long io = of_kind("io"), space = of_kind("space");
	char path[300];

	around_a_bad_block();
	ASSERT_EQ(of_kind("io"), io + 1);
	stage(EXT4);
	close(t.x.file);
	fix_path(EXT4, path, sizeof(path));
	t.x.file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(t.x.file, 0);
	ASSERT_EQ(unlink(path), 0);
	/* beyond what ext4 can have */
	t.x.file_offset = 1ULL << 50;
	rw(true, 0, EFBIG);
	ASSERT_EQ(of_kind("space"), space + 1);
}

TEST(mixtures_are_counted_by_both_routes)
{
	long long was = both("mixed_ops"), direct = both("direct_ops");
	long long bounce = both("bounce_ops");

	mixed();
	ASSERT_EQ(both("mixed_ops"), was + 2);
	ASSERT_EQ(both("direct_ops"), direct + 2);
	ASSERT_EQ(both("bounce_ops"), bounce + 2);
	bounced();
	ASSERT_EQ(both("mixed_ops"), was + 2);
	ASSERT_EQ(both("bounce_ops"), bounce + 4);
}

TEST(pins_are_counted)
{
	long long pins = stat_get("pins"), unpins = stat_get("unpins");
	long long errors = stat_get("pin_errors");
	struct nvfs_register reg;
	struct gpu_buf buf;
	int dev = nv_open();

	gpu_alloc(&buf, 0, SIZE, false);
	ASSERT_EQ(nv_unregister(dev, nv_region(dev, &buf)), 0);
	nv_region(dev, &buf);
	ASSERT_EQ(stat_get("pins"), pins + 2);
	ASSERT_EQ(stat_get("unpins"), unpins + 1);
	gpu_free(&buf);
	close(dev);
	ASSERT_EQ(stat_get("unpins"), unpins + 2);
	dev = nv_open();
	/* nobody's memory */
	ASSERT_EQ(nv_register(dev, 1ULL << 44, SIZE, &reg), -1);
	ASSERT_EQ(stat_get("pin_errors"), errors + 1);
	ASSERT_EQ(stat_get("pins"), pins + 2);
	ASSERT_EQ(stat_get("state_refused"), 0);
}

/* ------------------------------------------------------------------- reset */

#define STATS	"/proc/nvfs/stats"

static ssize_t write_stats(const char *text, size_t len)
{
	int fd = open(STATS, O_WRONLY | O_CLOEXEC);
	ssize_t ret;
	int error;

	if (fd < 0)
		return -1;
	ret = write(fd, text, len);
	error = errno;
	close(fd);
	errno = error;
	return ret;
}

TEST(reset_begins_anew_and_leaves_levels_alone)
{
	long long live, pinned;

	aligned_on_a_device();
	kernel_put(PARAMETERS "latency", "1");
	rw(false, 0, 0);
	live = stat_get("regions_live");
	pinned = stat_get("bytes_pinned_now");
	ASSERT_EQ(live, 1);
	ASSERT_GT(timed("read"), 0);
	ASSERT_EQ(write_stats("reset\n", 6), 6);
	ASSERT_EQ(both("started"), 0);
	ASSERT_EQ(both("bytes"), 0);
	ASSERT_EQ(stat_get("opens"), 0);
	ASSERT_EQ(stat_get("regions_registered"), 0);
	ASSERT_EQ(timed("read"), 0);
	ASSERT_EQ(stat_get("regions_live"), live);
	ASSERT_EQ(stat_get("bytes_pinned_now"), pinned);
	ASSERT_EQ(stat_get("read_inflight"), 0);
	rw(false, 0, 0);
	kernel_put(PARAMETERS "latency", "0");
	ASSERT_EQ(stat_get("read_ended"), 1);
	ASSERT_EQ(stat_get("read_bytes"), 4 * KIB);
	ASSERT_EQ(timed("read"), 1);
	ASSERT_EQ(write_stats("reset", 5), 5);
	ASSERT_EQ(stat_get("read_ended"), 0);
}

TEST(nothing_else_may_be_written)
{
	static const char * const words[] = {
		"\n", "rese", "reset ", "reset\nx", "Reset\n", "0", "1\n",
		"reset\n\n",
	};
	long long opens;
	void *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	size_t i;

	ASSERT_TRUE(hole != MAP_FAILED);
	close(nv_open());
	opens = stat_get("opens");
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ASSERT_ERRNO(write_stats(words[i], strlen(words[i])), EINVAL);
	ASSERT_ERRNO(write_stats("reset\0", 7), EINVAL);
	ASSERT_ERRNO(write_stats(hole, 6), EFAULT);
	ASSERT_EQ(stat_get("opens"), opens);
}

static void become(uid_t uid)
{
	ASSERT_EQ(setgroups(0, NULL), 0);
	ASSERT_EQ(setgid(uid), 0);
	ASSERT_EQ(setuid(uid), 0);
}

static void in_child(void (*call)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		call();
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

static void fail_as_somebody(void)
{
	become(1000);
	ASSERT_ERRNO(write_stats("reset\n", 6), EACCES);
	/* root of a user namespace of one's own is not root */
	ASSERT_EQ(unshare(CLONE_NEWUSER), 0);
	ASSERT_ERRNO(write_stats("reset\n", 6), EACCES);
}

/* Root's number, but not root's power. */
static void fail_without_the_capability(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { { 0 } };

	ASSERT_EQ(syscall(SYS_capset, &head, data), 0);
	ASSERT_ERRNO(write_stats("reset\n", 6), EPERM);
}

/* What root opened is root's, whoever was given it. */
static int roots_file;

static void succeed_by_roots_file(void)
{
	become(1000);
	ASSERT_EQ(write(roots_file, "reset\n", 6), 6);
}

TEST(reset_is_for_root)
{
	long long opens;

	close(nv_open());
	opens = stat_get("opens");
	ASSERT_GT(opens, 0);
	in_child(fail_as_somebody);
	in_child(fail_without_the_capability);
	ASSERT_EQ(stat_get("opens"), opens);
	roots_file = open(STATS, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(roots_file, 0);
	in_child(succeed_by_roots_file);
	ASSERT_EQ(stat_get("opens"), 0);
}

/* ------------------------------------------------------------------- usage */

static const char *address_of(uint32_t bdf)
{
	static char text[20];

	snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", bdf >> 16,
		 bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	return text;
}

/* Requests in the usage of one thing. */
static long long requests_of(const char *begin)
{
	return usage(begin, "read_requests") + usage(begin, "write_requests");
}

static int lines_of(const char *kind)
{
	char out[64];

	ASSERT_EQ(shell(out, sizeof(out), "grep -c '^%s ' " USAGE " || true",
			kind), 0);
	return atoi(out);
}

/* Each drive has its own; what is on none has a line, too. */
TEST(usage_tells_drives_apart)
{
	long long disk, none;
	struct nvfs_query query;
	char drive[40], path[300];

	stage(PART);
	ASSERT_EQ(nv_query(t.x.dev, t.x.region, t.x.file, &query), 0);
	snprintf(drive, sizeof(drive), "drive %s ", address_of(query.drive));
	kernel_put(PARAMETERS "usage", "1");
	disk = requests_of(drive);
	none = requests_of("drive - ");
	rw(false, 0, 0);
	rw(false, 0, 0);
	ASSERT_EQ(requests_of(drive), disk + 2);
	ASSERT_EQ(requests_of("drive - "), none);
	close(t.x.file);
	snprintf(path, sizeof(path), "%s/usage", fix_place("tmpfs"));
	t.x.file = file_make_at(path, 0, SIZE, SEED, O_RDWR);
	ASSERT_EQ(unlink(path), 0);
	rw(false, NVFS_RW_BOUNCE, 0);
	kernel_put(PARAMETERS "usage", "0");
	ASSERT_EQ(requests_of(drive), disk + 2);
	ASSERT_EQ(requests_of("drive - "), none + 1);
}

TEST(usage_of_a_process_ends_with_it_and_is_not_lost)
{
	char self[40];
	long long ended;

	snprintf(self, sizeof(self), "process %d ", (int)getpid());
	stage(PART);
	kernel_put(PARAMETERS "usage", "1");
	ended = requests_of("process - ");
	rw(false, 0, 0);
	rw(true, 0, 0);
	kernel_put(PARAMETERS "usage", "0");
	ASSERT_EQ(usage(self, "uid"), 0);
	ASSERT_EQ(usage(self, "read_requests"), 1);
	ASSERT_EQ(usage(self, "write_direct_bytes"), 4 * KIB);
	ASSERT_EQ(requests_of("process - "), ended);
	close(t.x.dev);
	ASSERT_EQ(requests_of(self), 0);
	ASSERT_EQ(requests_of("process - "), ended + 2);
}

TEST(usage_is_not_counted_while_nobody_wants_it)
{
	char out[100];
	long long was;

	kernel_put(PARAMETERS "usage", "0");
	ASSERT_EQ(shell(out, sizeof(out), "head -n 1 " USAGE), 0);
	ASSERT_CONTAINS(out, "counting no");
	stage(PART);
	was = requests_of("gpu ");
	rw(false, 0, 0);
	ASSERT_EQ(requests_of("gpu "), was);
}

TEST(usage_begins_anew_with_a_reset)
{
	stage(PART);
	kernel_put(PARAMETERS "usage", "1");
	rw(false, 0, 0);
	ASSERT_GT(requests_of("gpu "), 0);
	ASSERT_EQ(write_stats("reset\n", 6), 6);
	ASSERT_EQ(requests_of("gpu "), 0);
	ASSERT_EQ(requests_of("drive "), 0);
	ASSERT_EQ(requests_of("process "), 0);
	rw(false, 0, 0);
	kernel_put(PARAMETERS "usage", "0");
	ASSERT_EQ(requests_of("gpu "), 1);
	ASSERT_EQ(requests_of("drive "), 1);
	ASSERT_EQ(requests_of("process "), 1);
}

static void see_devices_and_no_process(void)
{
	become(65534);
	ASSERT_EQ(lines_of("process"), 0);
	ASSERT_GT(lines_of("gpu"), 0);
	ASSERT_GT(lines_of("drive"), 0);
}

TEST(usage_of_others_is_hidden)
{
	stage(PART);
	ASSERT_EQ(lines_of("process"), 2);
	in_child(see_devices_and_no_process);
}

static void see_ones_own(void)
{
	become(65534);
	ASSERT_EQ(lines_of("process"), 1);
	ASSERT_EQ(shell(NULL, 0, "grep -q '^process [0-9]* uid=65534 ' " USAGE),
		  0);
}

TEST(usage_of_ones_own_is_seen)
{
	stage(PART);
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0666), 0);
	ASSERT_EQ(seteuid(65534), 0);
	nv_open();
	ASSERT_EQ(seteuid(0), 0);
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0600), 0);
	/* two of this process, as two users, and those that have ended */
	ASSERT_EQ(lines_of("process"), 3);
	in_child(see_ones_own);
}

/* Root of the machine, but in a pid namespace where nobody has a number. */
static void see_nobody(void)
{
	char text[1 << 12] = "";
	int fd = open(USAGE, O_RDONLY | O_CLOEXEC);

	ASSERT_EQ(getpid(), 1);
	ASSERT_GT(read(fd, text, sizeof(text) - 1), 0);
	if (strstr(text, "\nprocess 0") || strstr(text, " uid="))
		FAIL("a process of outside is seen: %s", text);
}

static void look_from_a_pid_namespace(void)
{
	ASSERT_EQ(unshare(CLONE_NEWPID), 0);
	in_child(see_nobody);
}

TEST(usage_of_another_pid_namespace_is_hidden)
{
	stage(PART);
	in_child(look_from_a_pid_namespace);
}
