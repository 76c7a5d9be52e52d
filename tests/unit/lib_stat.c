// SPDX-License-Identifier: MIT
/* nvfs stat, devices and peers, over files of known content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sys/mman.h>

#include "cufile/stats_page.h"
#include "procfile.h"
#include "screen.h"
#include "tool.h"

#define TEXT	65536

static char dir[] = "/tmp/nvfs-stat-XXXXXX";

static const char stats[] =
	"regions_live 2\n"
	"bytes_pinned_now 134217728\n"
	"opens 7\n"
	"regions_registered 9\n";

static const char io_stats[] =
	"read_inflight 3\n"
	"write_inflight 0\n"
	"read_started 1003\n"
	"read_ended 1000\n"
	"read_bytes 1048576000\n"
	"read_direct_bytes 524288000\n"
	"read_bounce_bytes 524288000\n"
	"write_ended 5\n"
	"write_bytes 20480\n"
	"write_direct_bytes 20480\n"
	"holes 12\n"
	"block_refused NVFS_IO_DONE NVFS_IO_QUEUED 1\n"
	"block_refused NVFS_IO_FREE NVFS_IO_DONE 2\n";

static const char devices[] =
	"gpu 0000:03:00.0 vendor=10de device=2330 class=030200 driver=nvidia node=0 gen=5 width=16 iommu=none fit=ok\n"
	"drive 10000:01:00.0 vendor=144d device=a80a class=010802 driver=- node=1 gen=0 width=0 iommu=none fit=no-driver\n";

static const char peers[] =
	"peer 0000:03:00.0 0000:04:00.0 reach=yes reason=none rank=switch distance=4\n"
	"peer 0000:03:00.0 0000:84:00.0 reach=no reason=host-bridge rank=none distance=6\n"
	"peer 0000:83:00.0 0000:04:00.0 reach=no reason=iommu rank=none distance=6\n"
	"peer 0000:83:00.0 0000:84:00.0 reach=yes reason=none rank=bridges distance=8\n";

static const char latency[] =
	"counting yes\n"
	"latency read from_bytes=0 below_ns=16384 requests=12\n"
	"latency write from_bytes=1048576 below_ns=18446744073709551615 requests=3\n";

#define COUNTS(n, e) \
	" read_requests=" #n " read_bytes=1048576 read_direct_bytes=4096" \
	" write_requests=0 write_bytes=0 write_direct_bytes=0" \
	" errors=" #e " refused=0\n"

static const char usage[] =
	"counting no\n"
	"gpu 0000:03:00.0" COUNTS(5, 2)
	"drive 0000:04:00.0" COUNTS(0, 0)
	"drive -" COUNTS(1, 0)
	"process 77 uid=1000" COUNTS(3, 1)
	"process 7 uid=1000" COUNTS(2, 0)
	"process 77 uid=0" COUNTS(4, 0)
	"process -" COUNTS(6, 0);

static void put(const char *file, const char *text)
{
	char path[100], other[110];
	FILE *f;

	/* whole or not at all, also for a reader in another process */
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	snprintf(other, sizeof(other), "%s.new", path);
	f = fopen(other, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(other, path), 0);
}

static int setup(void **state)
{
	(void)state;
	put("stats", stats);
	put("io_stats", io_stats);
	put("devices", devices);
	put("peers", peers);
	put("latency", latency);
	put("usage", usage);
	return 0;
}

static int make_dir(void **state)
{
	(void)state;
	/* the clock on the screen and its language are the same everywhere */
	setenv("LC_ALL", "C.UTF-8", 1);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

/* Runs a sub-command; what it prints, and its exit status. */
static char *run_with(int (*command)(int argc, char **argv), int *status,
		      int argc, char **argv)
{
	static char text[TEXT];
	int saved = dup(STDOUT_FILENO), fd;
	ssize_t used;
	char path[] = "/tmp/nvfs-out-XXXXXX";

	fflush(stdout);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	dup2(fd, STDOUT_FILENO);
	*status = command(argc, argv);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	used = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(used >= 0);
	text[used] = '\0';
	close(fd);
	return text;
}

/* Over our files. */
static char *run(int (*command)(int argc, char **argv), int *status,
		 const char *a, const char *b)
{
	char *argv[] = { "stat", "--from", dir, (char *)a, (char *)b, NULL };

	return run_with(command, status, a ? b ? 5 : 4 : 3, argv);
}

static char *run_ok(int (*command)(int argc, char **argv), const char *a)
{
	int status;
	char *text = run(command, &status, a, NULL);

	assert_int_equal(status, TOOL_OK);
	return text;
}

static void assert_part(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void counters_are_read_with_their_names(void **state)
{
	struct counters c;

	(void)state;
	assert_int_equal(counters_read(dir, &c), 0);
	assert_int_equal(c.nr, 17);
	assert_int_equal(counters_get(&c, "opens"), 7);
	assert_int_equal(counters_get(&c, "read_bytes"), 1048576000);
	assert_int_equal(counters_get(&c, "block_refused NVFS_IO_FREE "
				      "NVFS_IO_DONE"), 2);
	assert_int_equal(counters_get(&c, "no_such"), 0);
	counters_free(&c);
}

static void other_forms_are_refused(void **state)
{
	static const char *const bad[] = {
		"opens\n", "opens \n", "opens x\n", "opens 1", " 1\n", "\n",
		"opens -1\n", "opens 1x\n", "opens 18446744073709551616\n",
	};
	struct counters c;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put("stats", bad[i]);
		assert_int_equal(counters_read(dir, &c), -EPROTO);
	}
	put("stats", "opens 18446744073709551615\n");
	assert_int_equal(counters_read(dir, &c), 0);
	assert_true(counters_get(&c, "opens") == UINT64_MAX);
	counters_free(&c);
	assert_int_equal(counters_read("/no/such", &c), -ENOENT);
}

static void a_module_loaded_anew_has_not_grown(void **state)
{
	struct counters before, now;

	(void)state;
	assert_int_equal(counters_read(dir, &before), 0);
	put("stats", "opens 3\n");
	assert_int_equal(counters_read(dir, &now), 0);
	assert_int_equal(counters_grown(&now, &before, "opens"), 0);
	assert_int_equal(counters_grown(&before, &now, "opens"), 4);
	counters_free(&before);
	counters_free(&now);
}

static void text_is_for_people(void **state)
{
	char *text = run_ok(cmd_stat, NULL);

	(void)state;
	assert_part(text, "2 regions live, 128.0 MiB pinned\n");
	assert_part(text, "bytes              1000.0 MiB         20.0 KiB\n");
	assert_part(text, "direct              500.0 MiB         20.0 KiB\n");
	assert_part(text, "in flight                   3                0\n");
	assert_part(text, "holes                                      12\n");
}

static void json_has_every_counter(void **state)
{
	char *text = run_ok(cmd_stat, "--json");

	(void)state;
	assert_part(text, "{\"cmd\":\"stat\",\"ns\":");
	assert_part(text, "\"counters\":{\"regions_live\":2,");
	assert_part(text, "\"read_bytes\":1048576000,");
	assert_part(text, "\"block_refused NVFS_IO_FREE NVFS_IO_DONE\":2},\"latency\":[");
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void prometheus_tells_levels_from_counters(void **state)
{
	char *text = run_ok(cmd_stat, "--prometheus");

	(void)state;
	assert_part(text, "# TYPE nvfs_regions_live gauge\n"
		    "nvfs_regions_live 2\n");
	assert_part(text, "# TYPE nvfs_read_bytes_total counter\n"
		    "nvfs_read_bytes_total 1048576000\n");
	/* one TYPE for each metric, whatever its labels */
	assert_part(text, "# TYPE nvfs_block_refused_total counter\n"
		    "nvfs_block_refused_total{from=\"NVFS_IO_DONE\",to=\"NVFS_IO_QUEUED\"} 1\n"
		    "nvfs_block_refused_total{from=\"NVFS_IO_FREE\",to=\"NVFS_IO_DONE\"} 2\n");
}

static void times_and_users_are_in_the_text(void **state)
{
	char *text = run_ok(cmd_stat, NULL);

	(void)state;
	assert_part(text, "read                      0 B          16.4 us               12\n");
	assert_part(text, "write                 1.0 MiB                -                3\n");
	assert_part(text, "gpu     0000:03:00.0            5      1.0 MiB          0          0 B        2        0\n");
	assert_part(text, "process 77                      3      1.0 MiB");
	/* what did nothing is no news */
	assert_null(strstr(text, "0000:04:00.0"));
}

static void times_and_users_are_in_the_json(void **state)
{
	char *text = run_ok(cmd_stat, "--json");

	(void)state;
	assert_part(text, "\"latency\":[{\"direction\":\"read\",\"from_bytes\":0,\"below_ns\":16384,\"requests\":12},{");
	assert_part(text, "\"from_bytes\":1048576,\"below_ns\":null,");
	assert_part(text, "\"usage\":[{\"kind\":\"gpu\",\"which\":\"0000:03:00.0\",\"read_requests\":5,");
	assert_part(text, "\"which\":\"0000:04:00.0\",\"read_requests\":0,");
	assert_part(text, "\"refused\":0}]}\n");
}

static void times_and_users_are_metrics(void **state)
{
	char *text = run_ok(cmd_stat, "--prometheus");

	(void)state;
	assert_part(text, "# TYPE nvfs_latency_requests_total counter\n"
		    "nvfs_latency_requests_total{direction=\"read\",from_bytes=\"0\",below_ns=\"16384\"} 12\n");
	assert_part(text, "# TYPE nvfs_usage_errors_total counter\n"
		    "nvfs_usage_errors_total{kind=\"gpu\",which=\"0000:03:00.0\"} 2\n");
	assert_part(text, "nvfs_usage_errors_total{kind=\"process\",which=\"77\",uid=\"1000\"} 1\n");
	assert_part(text, "nvfs_usage_errors_total{kind=\"process\",which=\"77\",uid=\"0\"} 0\n");
}

/* A module before these files, or copies without them. */
static void times_and_users_may_be_missing(void **state)
{
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/latency", dir);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/usage", dir);
	assert_int_equal(unlink(path), 0);
	assert_part(run_ok(cmd_stat, NULL), "opens");
	assert_part(run_ok(cmd_stat, "--json"), ",\"latency\":[],\"usage\":[]}\n");
}

static void one_process_is_shown(void **state)
{
	int status;
	char *text = run(cmd_stat, &status, "--pid", "77");

	(void)state;
	assert_int_equal(status, TOOL_OK);
	assert_part(text, "process 77                      3");
	assert_part(text, "process 77                      4");
	assert_null(strstr(text, "process 7 "));
	assert_null(strstr(text, "gpu"));
	run(cmd_stat, &status, "-p", "8");
	assert_int_equal(status, TOOL_NO);
	run(cmd_stat, &status, "-p", "-");
	assert_int_equal(status, TOOL_TROUBLE);
}

/* nvfs stat of a process, over what is really there. */
static char *run_process(int *status, pid_t pid, const char *form)
{
	char number[24];
	char *argv[] = { "stat", "-p", number, (char *)form, NULL };

	snprintf(number, sizeof(number), "%d", (int)pid);
	return run_with(cmd_stat, status, form ? 4 : 3, argv);
}

/* As libcufile of this process would. */
static int make_page(const struct cf_stats_page *page, size_t bytes)
{
	int fd = memfd_create(CF_STATS_NAME, MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, page, bytes), bytes);
	return fd;
}

static struct cf_stats_page page_of(pid_t pid)
{
	struct cf_stats_page page = {
		.magic = CF_STATS_MAGIC,
		.version = CF_STATS_VERSION,
		.bytes = sizeof(page),
		.pid = (uint64_t)pid,
		.level = 3,
		.ran_us = 2500000,
	};
	CUfileStatsLevel2_t *l2 = &page.total.detailed;
	CUfilePerGpuStats_t *gpu = &page.total.per_gpu_stats[2];

	l2->basic.read_ops = (CUfileOpCounter_t){ 7, 3 };
	page.refused_reads = 2;
	l2->basic.read_bytes = 7 << 20;
	l2->basic.read_lat_sum_us = 800;
	l2->basic.buf_register_ops.ok = 2;
	l2->read_size_kb_hist[9] = 8;
	gpu->n_total_reads = 8;
	gpu->n_posix_reads = 6;
	gpu->n_nvfs_reads = 2;
	gpu->reg_bytes = 8192;
	return page;
}

static void what_a_library_counts_is_shown_without_the_module(void **state)
{
	struct cf_stats_page page = page_of(getpid());
	int fd = make_page(&page, sizeof(page)), status;
	char *text = run_process(&status, getpid(), NULL);

	(void)state;
	assert_int_equal(status, TOOL_OK);
	assert_part(text, ": level 3, counted for 2.5 s\n");
	assert_part(text, "reads                           7      7.0 MiB          3        100\n");
	assert_part(text, "memory registered               2                       0\n");
	assert_null(strstr(text, "files registered"));
	assert_part(text, "1.0 MiB                         8          0\n");
	assert_part(text, "GPU 2");
	assert_part(text, "reads                           8          2          6          0 B          0\n");
	assert_part(text, "registered now         8.0 KiB\n");
	text = run_process(&status, getpid(), "--json");
	assert_int_equal(status, TOOL_OK);
	assert_part(text, "{\"cmd\":\"stat\",\"libcufile\":{\"level\":3,\"counting\":false,\"seconds\":2.500,\"read_ops_ok\":7,\"read_ops_err\":3,");
	assert_part(text, "\"gpus\":[{\"gpu\":2,\"read_bytes\":0,\"n_total_reads\":8,");
	assert_part(text, "\"reg_bytes\":8192}]}}\n");
	text = run_process(&status, gettid(), NULL);
	assert_int_equal(status, TOOL_OK);
	text = run_process(&status, getpid(), "--prometheus");
	assert_int_equal(status, TOOL_OK);
	assert_part(text, "\nnvfs_libcufile_read_ops_ok_total{process=\"");
	close(fd);
}

/* One of another version, of its parent, or cut off; and those that are none. */
static void pages_that_do_not_count_are_passed_over(void **state)
{
	struct cf_stats_page page = page_of(getpid());
	int status, fd;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		page = page_of(getpid());
		page.magic += i == 0;
		page.version += i == 1;
		page.pid += i == 2;
		fd = make_page(&page, i == 3 ? sizeof(page) - 8 : sizeof(page));
		run_process(&status, getpid(), NULL);
		assert_int_equal(status, TOOL_NO);
		close(fd);
	}
	run_process(&status, 0, NULL);
	assert_int_equal(status, TOOL_NO);
	run_process(&status, 1 << 30, NULL);
	assert_int_equal(status, TOOL_NO);
	assert_string_equal(run_process(&status, getpid(), "--json"),
			    "{\"cmd\":\"stat\"}\n");
	assert_int_equal(status, TOOL_NO);
}

static void reset_is_one_word(void **state)
{
	char path[100], text[7] = "";
	FILE *f;

	(void)state;
	assert_string_equal(run_ok(cmd_stat, "--reset"), "");
	snprintf(path, sizeof(path), "%s/stats", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_int_equal(fread(text, 1, 6, f), 6);
	fclose(f);
	assert_string_equal(text, "reset\n");
}

static void bad_arguments_are_named(void **state)
{
	static const char *const bad[][2] = {
		{ "--nonsense", NULL }, { "operand", NULL },
		{ "--json", "--watch" }, { "--reset", "--json" },
		{ "--pid", "" }, { "--pid", "x" }, { "--interval", "0" },
		{ "--interval", "0.01" }, { "--interval", "x" },
		{ "--interval", "1s" }, { "--interval", "nan" },
		{ "--count", "-1" }, { "--count", "1x" }, { "--count", "" },
		{ "--watch", NULL },	/* standard output is no terminal */
	};
	int status, saved = dup(STDERR_FILENO);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	dup2(null, STDERR_FILENO);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		run(cmd_stat, &status, bad[i][0], bad[i][1]);
		if (status != TOOL_TROUBLE)
			print_message("%s %s\n", bad[i][0], bad[i][1]);
		assert_int_equal(status, TOOL_TROUBLE);
	}
	run(cmd_peers, &status, "--nonsense", NULL);
	assert_int_equal(status, TOOL_TROUBLE);
	run(cmd_devices, &status, "operand", NULL);
	assert_int_equal(status, TOOL_TROUBLE);
	put("peers", "peer a=1 b\n");
	run(cmd_peers, &status, NULL, NULL);
	assert_int_equal(status, TOOL_TROUBLE);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(null);
}

static void devices_are_a_table(void **state)
{
	char *text = run_ok(cmd_devices, NULL);

	(void)state;
	assert_part(text, "gpu     0000:03:00.0    nvidia          0 gen5 x16");
	assert_part(text, "drive   10000:01:00.0   -               1 -  ");
	assert_part(text, "no-driver\n");
	text = run_ok(cmd_devices, "--json");
	assert_part(text, "{\"cmd\":\"devices\",\"kind\":\"gpu\",\"address\":\"0000:03:00.0\",\"vendor\":\"10de\"");
}

static void peers_are_a_matrix(void **state)
{
	char *text = run_ok(cmd_peers, NULL);

	(void)state;
	assert_string_equal(text,
		"                0000:03:00.0    0000:83:00.0  \n"
		"0000:04:00.0    switch 4        (iommu)       \n"
		"0000:84:00.0    (host-bridge)   bridges 8     \n");
	text = run_ok(cmd_peers, "--json");
	assert_part(text, "{\"cmd\":\"peers\",\"kind\":\"peer\",\"gpu\":\"0000:03:00.0\",\"drive\":\"0000:04:00.0\",\"reach\":\"yes\"");
	put("peers", "");
	assert_part(run_ok(cmd_peers, NULL), "no pair");
}

/* ------------------------------------------------------------ the picture */

static char *draw(struct screen *screen)
{
	static char text[TEXT];
	FILE *out = fmemopen(text, sizeof(text), "w");

	assert_non_null(out);
	screen_draw(screen, out);
	fclose(out);
	return text;
}

/* Counters of one second ago and of now. */
static void two_times(struct screen *screen)
{
	memset(screen, 0, sizeof(*screen));
	screen->rows = 24;
	screen->cols = 80;
	screen->interval_ms = 1000;
	strcpy(screen->clock, "12:34:56");
	assert_int_equal(counters_read(dir, &screen->before), 0);
	put("io_stats", "read_inflight 1\nread_ended 1200\n"
	    "read_bytes 1468006400\nread_direct_bytes 943718400\n"
	    "write_ended 5\nwrite_bytes 20480\nholes 15\n");
	assert_int_equal(counters_read(dir, &screen->now), 0);
	screen->before.ns = screen->now.ns - 1000000000;
}

static void screen_end(struct screen *screen)
{
	counters_free(&screen->before);
	counters_free(&screen->now);
}

static void rates_are_differences(void **state)
{
	static struct screen screen;
	char *text;

	(void)state;
	two_times(&screen);
	text = draw(&screen);
	assert_part(text, "12:34:56");
	assert_part(text, "read      400.0 MiB/s        200/s   100.0 %         1      1.4 GiB");
	assert_part(text, "write           0 B/s          0/s");
	assert_part(text, "holes                      15 +3");
	screen_end(&screen);
}

static void bars_follow_the_rates(void **state)
{
	static const uint64_t rates[] = { 0, 1, 50, 100 };
	static struct screen screen;

	(void)state;
	two_times(&screen);
	for (unsigned int i = 0; i < 4; i++)
		screen.history[0][i] = rates[i];
	screen.nr_history = 4;
	assert_part(draw(&screen), "read   | .-#\033[K");
	screen.utf8 = true;
	assert_part(draw(&screen), "read   | ▁▄█\033[K");
	/* the newest are shown where not all have room */
	screen.cols = 10;
	assert_part(draw(&screen), "read   |▄█\033[K");
	screen_end(&screen);
}

static void history_forgets_the_oldest(void **state)
{
	static struct screen screen;
	unsigned int i;

	(void)state;
	two_times(&screen);
	for (i = 0; i < SCREEN_HISTORY; i++)
		screen.history[0][i] = i;
	screen.nr_history = SCREEN_HISTORY;
	screen_note(&screen);
	assert_int_equal(screen.nr_history, SCREEN_HISTORY);
	assert_int_equal(screen.history[0][0], 1);
	assert_int_equal(screen.history[0][SCREEN_HISTORY - 1], 419430400);
	screen_end(&screen);
}

/* Lines and columns of a drawing, without the sequences of the terminal. */
static void measure(const char *text, unsigned int *lines, unsigned int *cols)
{
	unsigned int col = 0;

	*lines = 1;
	*cols = 0;
	for (; *text; text++) {
		if (*text == '\033') {
			text += 2;	/* all of them are three bytes */
		} else if (*text == '\n') {
			(*lines)++;
			col = 0;
		} else if (*text != '\r' && (*text & 0xc0) != 0x80 &&
			   ++col > *cols) {
			*cols = col;
		}
	}
}

static void picture_never_leaves_the_terminal(void **state)
{
	static struct screen screen;
	unsigned int rows, cols, lines, width;

	(void)state;
	two_times(&screen);
	screen.utf8 = true;
	screen.nr_history = SCREEN_HISTORY;
	for (rows = 1; rows < 40; rows += 3)
		for (cols = 1; cols < 300; cols += 13) {
			screen.rows = rows;
			screen.cols = cols;
			measure(draw(&screen), &lines, &width);
			assert_true(lines <= rows);
			assert_true(width <= cols);
		}
	screen_end(&screen);
}

/* ----------------------------------------------------------- the terminal */

/* nvfs stat --watch on a terminal of its own. */
static pid_t watch(int *terminal, const char *interval)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	pid_t pid = forkpty(terminal, NULL, NULL, &size);

	assert_true(pid >= 0);
	if (!pid) {
		char *argv[] = { "stat", "--watch", "--interval",
				 (char *)interval, "--from", dir, NULL };

		exit(cmd_stat(6, argv));
	}
	return pid;
}

/* Reads until the text has been on the terminal, or it ends, or 20 s passed. */
static bool read_until(int terminal, const char *part)
{
	static char text[TEXT];
	size_t used = 0;
	struct pollfd fd = { .fd = terminal, .events = POLLIN };

	while (poll(&fd, 1, 20000) > 0) {
		ssize_t got;

		if (used > TEXT / 2) {
			memmove(text, text + TEXT / 4, used - TEXT / 4);
			used -= TEXT / 4;
		}
		got = read(terminal, text + used, sizeof(text) - used - 1);
		if (got <= 0)
			return false;
		used += (size_t)got;
		text[used] = '\0';
		if (strstr(text, part))
			return true;
	}
	return false;
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void watch_redraws_until_q(void **state)
{
	int terminal;
	pid_t pid = watch(&terminal, "0.05");

	(void)state;
	assert_true(read_until(terminal, "\033[?1049h\033[?25l\033[H"));
	assert_true(read_until(terminal, "2 regions live, 128.0 MiB"));
	put("stats", "regions_live 5\nbytes_pinned_now 1024\n");
	assert_true(read_until(terminal, "5 regions live, 1.0 KiB"));
	assert_int_equal(write(terminal, "q", 1), 1);
	assert_true(read_until(terminal, "\033[?25h\033[?1049l"));
	assert_int_equal(status_of(pid), TOOL_OK);
	close(terminal);
}

static void watch_ends_with_an_interrupt(void **state)
{
	int terminal;
	pid_t pid = watch(&terminal, "3600");

	(void)state;
	assert_true(read_until(terminal, "regions live"));
	assert_int_equal(write(terminal, "\003", 1), 1);
	assert_true(read_until(terminal, "\033[?25h\033[?1049l"));
	assert_int_equal(status_of(pid), TOOL_OK);
	close(terminal);
}

static void watch_fits_a_new_size(void **state)
{
	struct winsize size = { .ws_row = 3, .ws_col = 20 };
	int terminal;
	pid_t pid = watch(&terminal, "3600");

	(void)state;
	assert_true(read_until(terminal, "every 3600.0 s  (q: quit)"));
	assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
	assert_true(read_until(terminal, "\r\n2 regions live, 128.\033[K"));
	assert_int_equal(write(terminal, "q", 1), 1);
	assert_int_equal(status_of(pid), TOOL_OK);
	close(terminal);
}

static void watch_gives_the_terminal_back_when_the_module_goes(void **state)
{
	char path[100];
	int terminal;
	pid_t pid = watch(&terminal, "0.05");

	(void)state;
	assert_true(read_until(terminal, "regions live"));
	snprintf(path, sizeof(path), "%s/io_stats", dir);
	assert_int_equal(unlink(path), 0);
	assert_true(read_until(terminal, "\033[?25h\033[?1049l"));
	assert_int_equal(status_of(pid), TOOL_TROUBLE);
	close(terminal);
}

#define T(name)	cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(counters_are_read_with_their_names),
		T(other_forms_are_refused),
		T(a_module_loaded_anew_has_not_grown),
		T(text_is_for_people),
		T(json_has_every_counter),
		T(prometheus_tells_levels_from_counters),
		T(times_and_users_are_in_the_text),
		T(times_and_users_are_in_the_json),
		T(times_and_users_are_metrics),
		T(times_and_users_may_be_missing),
		T(one_process_is_shown),
		T(what_a_library_counts_is_shown_without_the_module),
		T(pages_that_do_not_count_are_passed_over),
		T(reset_is_one_word),
		T(bad_arguments_are_named),
		T(devices_are_a_table),
		T(peers_are_a_matrix),
		T(rates_are_differences),
		T(bars_follow_the_rates),
		T(history_forgets_the_oldest),
		T(picture_never_leaves_the_terminal),
		T(watch_redraws_until_q),
		T(watch_ends_with_an_interrupt),
		T(watch_fits_a_new_size),
		T(watch_gives_the_terminal_back_when_the_module_goes),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
