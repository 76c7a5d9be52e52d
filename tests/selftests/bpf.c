// SPDX-License-Identifier: MIT
/*
 * The bpftrace examples of docs/tracing.md, as they stand there, run while
 * requests do what they ask about, and say what happened.
 */
#include "fix_async.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/bpf.h>

#define SEED	157
#define SIZE	(1 * MIB)
#define BEGIN	"bpftrace -e '\n"
#define OUTPUT	"/tmp/bpf.out"
/* bpftrace compiles with LLVM, which takes long in an emulator. */
#define LIMIT_S	240
#define ATTACH_S 150
#define AGAIN_S	5

static char document[1 << 16];

static void read_document(void)
{
	char path[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/tracing.md", top_dir());
	f = fopen(path, "re");
	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	n = fread(document, 1, sizeof(document) - 1, f);
	document[n] = '\0';
	fclose(f);
}

/* The program of the document that holds these words. */
static char *example(const char *words)
{
	char *at;

	read_document();
	for (at = strstr(document, BEGIN); at; at = strstr(at, BEGIN)) {
		char *end = strchr(at += strlen(BEGIN), '\'');

		ASSERT_TRUE(end != NULL);
		*end = '\0';
		if (strstr(at, words))
			return at;
		*end = '\'';
	}
	FAIL("docs/tracing.md has no example with %s", words);
}

/* ------------------------------------------------------------- one bpftrace */

static void demand_bpf(void)
{
	char out[200];

	if (shell(NULL, 0, "command -v bpftrace >/dev/null"))
		SKIP("bpftrace is not installed");
	if (syscall(__NR_bpf, BPF_PROG_GET_NEXT_ID, NULL, 0) && errno == ENOSYS)
		SKIP("this kernel has no BPF");
	if (shell(out, sizeof(out), "bpftrace --version 2>&1"))
		FAIL("bpftrace: %s", out);
}

static const char *output(void)
{
	static char text[1 << 16];
	int fd = open(OUTPUT, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	ASSERT_GE(n, 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static int perf_events_of(pid_t pid)
{
	char path[64], link[512], to[64];
	struct dirent *e;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		ssize_t len;

		snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
		len = readlink(link, to, sizeof(to) - 1);
		to[len < 0 ? 0 : len] = '\0';
		n += !strcmp(to, "anon_inode:[perf_event]");
	}
	closedir(dir);
	return n;
}

static bool is_in_epoll_wait(pid_t pid)
{
	char path[64];
	int nr = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	/* "running" when it is in none */
	if (fscanf(f, "%d", &nr) != 1)
		nr = -1;
	fclose(f);
	return nr == __NR_epoll_wait;
}

/*
 * It has said how many probes there are, has one event for each and each CPU,
 * and waits for what they tell: the last one is enabled as well.
 */
static bool attached(pid_t pid)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const char *said = strstr(output(), "Attaching ");

	return said && perf_events_of(pid) >= atoi(said + 10) + cpus &&
	       is_in_epoll_wait(pid);
}

static pid_t start(const char *program)
{
	double end = harness_now() + ATTACH_S;
	int fd = open(OUTPUT, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pid_t pid;

	ASSERT_GE(fd, 0);
	pid = fork();
	if (!pid) {
		dup2(fd, 1);
		dup2(fd, 2);
		execlp("bpftrace", "bpftrace", "-e", program, NULL);
		_exit(127);
	}
	close(fd);
	while (!attached(pid)) {
		if (waitpid(pid, NULL, WNOHANG))
			FAIL("bpftrace ended: %s", output());
		if (harness_now() > end)
			FAIL("bpftrace is not ready after %d s: %s", ATTACH_S,
			     output());
		usleep(100000);
	}
	return pid;
}

/*
 * As Ctrl-C does: it prints its maps.  bpftrace 0.17 sees a signal only while
 * it is in epoll_wait(), and forgets one that comes between two of these, so
 * it is told again.
 */
static const char *stop(pid_t pid)
{
	double again = 0;
	int status, told = 0;
	pid_t ended;

	while (!(ended = waitpid(pid, &status, WNOHANG))) {
		if (harness_now() >= again) {
			ASSERT_EQ(kill(pid, SIGINT), 0);
			again = harness_now() + AGAIN_S;
			told++;
		}
		usleep(20000);
	}
	ASSERT_EQ(ended, pid);
	if (told > 1)
		harness_note("told %d times to end", told);
	if (status)
		FAIL("bpftrace: status %#x: %s", status, output());
	harness_note("%zu bytes of output", strlen(output()));
	return output();
}

/* The sum of a histogram's buckets: "[1, 2)   7 |@@@  |". */
static long long histogram_sum(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	long long sum = 0;

	if (!at)
		FAIL("no %s in %s", name, text);
	for (at = strchr(at, '\n'); at && at[1] == '['; at = strchr(at, '\n')) {
		at += 1 + strcspn(at + 1, ")]\n");
		ASSERT_TRUE(*at != '\n');
		sum += atoll(at + 1);
	}
	return sum;
}

/* ------------------------------------------------------------- the examples */

static void stage(struct xfer *x, struct gpu_buf *buf)
{
	memset(x, 0, sizeof(*x));
	x->dev = nv_open();
	x->length = 64 * KIB;
	gpu_alloc(buf, 0, SIZE, false);
	x->region = nv_region(x->dev, buf);
	x->file = file_make(EXT4, SIZE, SEED, O_RDWR);
}

TEST_LIMIT(how_long_do_revocations_wait, LIMIT_S)
{
	enum { NR = 5 };
	struct gpu_buf buf;
	const char *text;
	struct xfer x;
	pid_t pid;
	int i;

	demand_bpf();
	stage(&x, &buf);
	ASSERT_EQ(prctl(PR_SET_NAME, "the-freer"), 0);
	pid = start(example("nvfs_revoke"));
	for (i = 0; i < NR; i++) {
		struct gpu_buf freed;

		gpu_alloc(&freed, 0, SIZE, false);
		nv_region(x.dev, &freed);
		gpu_free(&freed);
	}
	text = stop(pid);
	ASSERT_EQ(histogram_sum(text, "@us[the-freer]:"), NR);
}

TEST_LIMIT(which_process_bounces_and_why, LIMIT_S)
{
	struct nvfs_batch_submit submit;
	struct nvfs_request request[3];
	struct nvfs_event event[3];
	struct gpu_buf buf;
	struct nvfs_rw rw;
	const char *text;
	char want[100];
	uint32_t batch;
	struct xfer x;
	pid_t pid;
	int i;

	demand_bpf();
	stage(&x, &buf);
	batch = batch_make(x.dev, 3);
	ASSERT_EQ(prctl(PR_SET_NAME, "the-bouncer"), 0);
	pid = start(example("@bounced"));
	ASSERT_EQ(nv_rw_as(&x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	x.region_offset = 1;
	for (i = 0; i < 5; i++)
		ASSERT_EQ(nv_rw_as(&x, false, NVFS_RW_BOUNCE, &rw), 0);
	/* a worker ends these; they are still the submitter's */
	for (i = 0; i < 3; i++)
		request[i] = nv_request(&x, NVFS_OP_READ, NVFS_RW_BOUNCE, 0);
	ASSERT_EQ(batch_submit(x.dev, batch, request, 3, &submit), 0);
	batch_reap_all(x.dev, batch, event, 3, 30);
	text = stop(pid);
	snprintf(want, sizeof(want), "@bounced[the-bouncer, %d]: %llu\n",
		 NVFS_REASON_ALIGN, 8 * 64 * KIB);
	ASSERT_CONTAINS(text, want);
	/* nothing went wrong with those that are in flight */
	ASSERT_TRUE(strstr(text, "@who[") == NULL);
}

TEST_LIMIT(where_do_the_microseconds_go, LIMIT_S)
{
	enum { NR = 20 };
	struct gpu_buf buf;
	struct nvfs_rw rw;
	const char *text;
	struct xfer x;
	pid_t pid;
	int i;

	demand_bpf();
	stage(&x, &buf);
	pid = start(example("@prepare_ns"));
	for (i = 0; i < NR; i++)
		ASSERT_EQ(nv_read(&x, &rw), 0);
	text = stop(pid);
	ASSERT_EQ(histogram_sum(text, "@prepare_ns:"), NR);
	ASSERT_EQ(histogram_sum(text, "@drive_us:"), NR);
	ASSERT_TRUE(strstr(text, "@t[") == NULL);
}

/* An example that is added needs a test here. */
TEST(document_has_no_other_examples)
{
	const char *at;
	int n = 0;

	read_document();
	for (at = document; (at = strstr(at, BEGIN)); at++)
		n++;
	ASSERT_EQ(n, 3);
}
