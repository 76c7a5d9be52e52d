// SPDX-License-Identifier: MIT
/*
 * The harness of the self-tests: see harness.h.
 *
 * The parent is a child subreaper: processes that a test leaves behind end up
 * here, are killed, and are waited for, so that "nothing is pinned any more"
 * can be asked without a race.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_SIZE	1024
#define ALLOW_MAX	8
#define ALLOW_SIZE	80
#define REAP_LIMIT_S	20
#define GRACE_S		2
/* A kernel with sanitizers needs so many times the time. */
#define SANITIZER_SLOW	5

enum { EXIT_FAIL = 1, EXIT_SKIP = 4 };

/* Shared with the test's processes. */
struct report {
	int claimed;
	char message[MESSAGE_SIZE];
	int allowed;
	char allow[ALLOW_MAX][ALLOW_SIZE];
};

static struct test_case *tests;
static struct test_case **tests_tail = &tests;
static struct report *report;
static void (*hook_before)(void);
static const char *(*hook_after)(void);
static const char *suite = "?";
static int kmsg_fd = -1;

/* Fragments of kernel log lines that no test may cause. */
static const char * const splats[] = {
	"WARNING:", "BUG:", "Oops", "KASAN", "UBSAN", "KCSAN", "KFENCE",
	"kernel BUG at", "general protection fault", "Call Trace:",
	"possible circular locking", "possible recursive locking",
	"possible irq lock inversion", "suspicious RCU usage", "rcu: INFO",
	"blocked for more than", "soft lockup", "hard LOCKUP", "refcount_t:",
	"list_add corruption", "list_del corruption", "Bad page",
	"page dumped because", "sleeping function called", "scheduling while",
	"unreferenced object", "Object is not", "Freeing memory",
};

void harness_add(struct test_case *test)
{
	*tests_tail = test;
	tests_tail = &test->next;
}

void harness_set_hooks(void (*before)(void), const char *(*after)(void))
{
	hook_before = before;
	hook_after = after;
}

double harness_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void harness_allow_log(const char *part)
{
	int i = __atomic_fetch_add(&report->allowed, 1, __ATOMIC_SEQ_CST);

	if (i >= ALLOW_MAX)
		FAIL("more than %d allowed log lines", ALLOW_MAX);
	snprintf(report->allow[i], ALLOW_SIZE, "%s", part);
}

void harness_note(const char *fmt, ...)
{
	char line[MESSAGE_SIZE];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	printf("# %s\n", line);
	fflush(stdout);
}

/* Only the first thread or child to end the test writes the message. */
static bool claim_report(void)
{
	return !__atomic_exchange_n(&report->claimed, 1, __ATOMIC_SEQ_CST);
}

_Noreturn void harness_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;
	int n;

	if (claim_report()) {
		n = snprintf(report->message, MESSAGE_SIZE, "%s:%d: ",
			     base ? base + 1 : file, line);
		va_start(args, fmt);
		vsnprintf(report->message + n, MESSAGE_SIZE - n, fmt, args);
		va_end(args);
	}
	_exit(EXIT_FAIL);
}

_Noreturn void harness_skip(const char *fmt, ...)
{
	va_list args;

	if (claim_report()) {
		va_start(args, fmt);
		vsnprintf(report->message, MESSAGE_SIZE, fmt, args);
		va_end(args);
	}
	_exit(EXIT_SKIP);
}

void harness_memeq(const char *file, int line, const char *a_text,
		   const char *b_text, const void *a, const void *b,
		   size_t len)
{
	const unsigned char *x = a, *y = b;
	size_t i, bad = 0, first = 0;

	if (!memcmp(a, b, len))
		return;
	for (i = 0; i < len; i++) {
		if (x[i] == y[i])
			continue;
		if (!bad++)
			first = i;
	}
	harness_fail(file, line,
		     "ASSERT_MEMEQ(%s, %s): %zu of %zu bytes differ, first at 0x%zx: 0x%02x and 0x%02x",
		     a_text, b_text, bad, len, first, x[first], y[first]);
}

/* ------------------------------------------------------- the kernel log */

static void log_verdict(const char *test, const char *verdict)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char line[256];
	int n = snprintf(line, sizeof(line), "<6>NVFS_TEST: %s.%s: %s\n", suite,
			 test, verdict);

	/* one write is one record; stdio would seek, which kmsg refuses */
	if (fd < 0 || write(fd, line, (size_t)n) != n) {
		printf("Bail out! /dev/kmsg can't be written: %s\n",
		       strerror(errno));
		exit(EXIT_FAIL);
	}
	close(fd);
}

static void log_open(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg_fd < 0) {
		printf("Bail out! /dev/kmsg can't be read: %s\n",
		       strerror(errno));
		exit(EXIT_FAIL);
	}
	lseek(kmsg_fd, 0, SEEK_END);
}

/* A record is "priority,sequence,time,flags;text\n key=value\n". */
static bool log_line_is_bad(const char *record, const char *text)
{
	int level = atoi(record) & 7;
	size_t i;

	if (!strncmp(text, "NVFS_TEST:", 10))
		return false;
	for (i = 0; i < (size_t)report->allowed && i < ALLOW_MAX; i++)
		if (strstr(text, report->allow[i]))
			return false;
	for (i = 0; i < sizeof(splats) / sizeof(splats[0]); i++)
		if (strstr(text, splats[i]))
			return true;
	return level <= 3 && !strncmp(text, "nvfs", 4);
}

/* Reads what is new; keeps the first bad line in @bad. */
static bool log_check(char *bad, size_t size)
{
	char record[4096];
	bool found = false;

	for (;;) {
		ssize_t n = read(kmsg_fd, record, sizeof(record) - 1);
		char *text;

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return found;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text)
			continue;
		text[1 + strcspn(text + 1, "\n")] = '\0';
		if (!log_line_is_bad(record, text + 1))
			continue;
		harness_note("kernel log: %.300s", text + 1);
		if (!found)
			snprintf(bad, size, "kernel log: %.300s", text + 1);
		found = true;
	}
}

/* ------------------------------------------------------------ one test */

static void run_child(const struct test_case *test, pid_t parent)
{
	setpgid(0, 0);
	/* Who ends this program ends its test. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	signal(SIGINT, SIG_DFL);
	test->run();
	fflush(stdout);
	_exit(0);
}

/* Where is it stuck? The first lines of each thread's kernel stack. */
static void note_stacks(pid_t pid)
{
	char path[64], line[256];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		char file[sizeof(path) + sizeof(e->d_name) + 16];
		FILE *f;
		int i;

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s/stack", path, e->d_name);
		f = fopen(file, "re");
		for (i = 0; f && i < 12 && fgets(line, sizeof(line), f); i++) {
			line[strcspn(line, "\n")] = '\0';
			harness_note("stack of %s: %s", e->d_name, line);
		}
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
}

/* Returns false when @pid has not ended after @seconds. */
static bool wait_for(pid_t pid, double seconds, int *status)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	double end = harness_now() + seconds;
	bool ended = false;

	while (fd >= 0 && !ended) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		double left = end - harness_now();

		if (left < 0)
			break;
		ended = poll(&p, 1, (int)(left * 1000) + 1) > 0;
	}
	if (fd >= 0)
		close(fd);
	return ended && waitpid(pid, status, 0) == pid;
}

/* Limits are meant for a kernel without sanitizers. */
static unsigned int slowness(void)
{
	return access("/sys/kernel/debug/kmemleak", F_OK) ? 1 : SANITIZER_SLOW;
}

/* Of a process: who started it, or became its parent since. */
static pid_t parent_of(const char *pid)
{
	char path[64], text[512], *end;
	pid_t parent = 0;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	f = fopen(path, "re");
	if (f) {
		size = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	text[size] = '\0';
	/* Its name may have anything in it. */
	end = strrchr(text, ')');
	if (end)
		sscanf(end, ") %*c %d", &parent);
	return parent;
}

/* Those, like daemons, that have left the test's group. */
static void kill_children(void)
{
	struct dirent *e;
	DIR *dir = opendir("/proc");

	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    parent_of(e->d_name) == getpid())
			kill(atoi(e->d_name), SIGKILL);
	}
	if (dir)
		closedir(dir);
}

/* What the test left running is killed; false: something can't be killed. */
static bool reap_rest(pid_t group)
{
	double start = harness_now();

	kill(-group, SIGKILL);
	for (;;) {
		siginfo_t info = { 0 };
		struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0)
			return errno == ECHILD;
		if (info.si_pid)
			continue;
		if (harness_now() > start + REAP_LIMIT_S * slowness())
			return false;
		kill(-group, SIGKILL);
		/* Not at once: some are there to put something right. */
		if (harness_now() > start + GRACE_S * slowness())
			kill_children();
		nanosleep(&pause, NULL);
	}
}

static void describe_status(int status, char *why, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(why, size, "killed by signal %d (%.40s)%s%.900s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)),
			 report->message[0] ? "; " : "", report->message);
	else if (report->message[0])
		snprintf(why, size, "%s", report->message);
	else
		snprintf(why, size, "exit status %d", WEXITSTATUS(status));
}

enum verdict { VERDICT_OK, VERDICT_FAIL, VERDICT_SKIP, VERDICT_STUCK };

static enum verdict run_process(const struct test_case *test, char *why,
				size_t size)
{
	unsigned int limit_s = test->timeout_s * slowness();
	pid_t self = getpid(), pid = fork();
	int status = 0;

	if (!pid)
		run_child(test, self);
	setpgid(pid, pid);
	if (!wait_for(pid, limit_s, &status)) {
		note_stacks(pid);
		kill(-pid, SIGKILL);
		snprintf(why, size, "hang: not ended after %u s", limit_s);
		if (!wait_for(pid, REAP_LIMIT_S * slowness(), &status)) {
			note_stacks(pid);
			snprintf(why, size, "hang: can't be killed after %u s",
				 limit_s);
			return VERDICT_STUCK;
		}
		reap_rest(pid);
		return VERDICT_FAIL;
	}
	if (!reap_rest(pid)) {
		snprintf(why, size, "left a process that can't be killed");
		return VERDICT_STUCK;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status) && !report->message[0])
		return VERDICT_OK;
	describe_status(status, why, size);
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP ?
	       VERDICT_SKIP : VERDICT_FAIL;
}

/* The test's own verdict, then what it did to the log and the machine. */
static enum verdict run_test(const struct test_case *test, char *why,
			     size_t size)
{
	enum verdict verdict;
	const char *left;
	char bad[400];

	memset(report, 0, sizeof(*report));
	log_check(bad, sizeof(bad));	/* what happened between tests */
	log_verdict(test->name, "start");
	if (hook_before)
		hook_before();
	verdict = run_process(test, why, size);
	if (verdict == VERDICT_STUCK)
		return verdict;
	/* a line without a newline is shown only when another one follows */
	log_verdict(test->name, "ended");
	left = hook_after ? hook_after() : NULL;
	if (left && verdict != VERDICT_FAIL) {
		snprintf(why, size, "%s", left);
		verdict = VERDICT_FAIL;
	}
	if (log_check(bad, sizeof(bad)) && verdict != VERDICT_FAIL) {
		snprintf(why, size, "%s", bad);
		verdict = VERDICT_FAIL;
	}
	return verdict;
}

static enum verdict report_test(const struct test_case *test, int number)
{
	char why[MESSAGE_SIZE] = "";
	double start = harness_now();
	enum verdict verdict = run_test(test, why, sizeof(why));
	double ms = (harness_now() - start) * 1000;

	why[strcspn(why, "\n")] = '\0';
	if (verdict == VERDICT_OK) {
		printf("ok %d %s # time=%.0fms\n", number, test->name, ms);
	} else if (verdict == VERDICT_SKIP) {
		printf("ok %d %s # SKIP %s\n", number, test->name, why);
	} else {
		printf("# %s\n", why);
		printf("not ok %d %s # time=%.0fms\n", number, test->name, ms);
	}
	fflush(stdout);
	log_verdict(test->name, verdict == VERDICT_OK ? "ok" :
		    verdict == VERDICT_SKIP ? "SKIP" : "FAIL");
	return verdict;
}

/* ------------------------------------------------------------ the plan */

static bool wanted(const struct test_case *test, int argc, char **argv,
		   const char *part)
{
	int i;

	if (part && !strstr(test->name, part))
		return false;
	for (i = 0; i < argc; i++)
		if (!strcmp(argv[i], test->name))
			return true;
	return !argc;
}

static int run_all(int argc, char **argv, const char *part)
{
	struct test_case *t;
	int n = 0, failed = 0;

	for (t = tests; t; t = t->next)
		n += wanted(t, argc, argv, part);
	printf("TAP version 13\n1..%d\n", n);
	fflush(stdout);
	if (!n) {
		printf("Bail out! no such test\n");
		return 2;
	}
	n = 0;
	for (t = tests; t; t = t->next) {
		enum verdict verdict;

		if (!wanted(t, argc, argv, part))
			continue;
		verdict = report_test(t, ++n);
		failed += verdict == VERDICT_FAIL || verdict == VERDICT_STUCK;
		if (verdict != VERDICT_STUCK)
			continue;
		printf("Bail out! %s can't be ended\n", t->name);
		return 3;
	}
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	const char *base = strrchr(argv[0], '/');
	const char *part = NULL;
	struct test_case *t;
	int c;

	suite = base ? base + 1 : argv[0];
	while ((c = getopt(argc, argv, "lk:")) != -1) {
		if (c == 'l') {
			for (t = tests; t; t = t->next)
				printf("%s\n", t->name);
			return 0;
		}
		if (c != 'k')
			return 2;
		part = optarg;
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED)
		return 2;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	log_open();
	return run_all(argc - optind, argv + optind, part);
}
