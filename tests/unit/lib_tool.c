// SPDX-License-Identifier: MIT
/* The command's own arithmetic: words, numbers, plans, transfers. */
#include "lib_mock.h"

#include <sys/stat.h>

#include "drives.h"
#include "tool.h"
#include "transfer.h"

static void sizes_are_parsed(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{ "0", 0 }, { "1", 1 }, { "4096B", 4096 }, { "4K", 4096 },
		{ "4k", 4096 }, { "4KiB", 4096 }, { "256M", 256 << 20 },
		{ "1.5G", 3ULL << 29 }, { "0.5K", 512 }, { "2T", 2ULL << 40 },
		{ "1.000000000001K", 1024 },
		{ "18446744073709551615", UINT64_MAX },
		{ "16777215T", 16777215ULL << 40 },
	};
	static const char *const bad[] = {
		"", "K", "-1", "+1", " 1", "1 ", "1KB", "1Ki", "1X", "1.K",
		".5K", "1.5", "1.5B", "0x10", "1e3", "1K1", "1..5K",
	};
	static const char *const large[] = {
		"18446744073709551616", "99999999999999999999999", "16777216T",
	};
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_size(good[i].text, &size), 0);
		assert_int_equal(size, good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], &size), -EINVAL);
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		assert_int_equal(parse_size(large[i], &size), -ERANGE);
}

static void gpus_are_parsed(void **state)
{
	static const char *const bad[] = { "gpu:", "gpu:-1", "gpu:1a", "gpu: 1",
					   "gpu:1024", "gpu:99999999999999" };
	unsigned int gpu;

	(void)state;
	assert_int_equal(parse_gpu("gpu:0", &gpu), 0);
	assert_int_equal(gpu, 0);
	assert_int_equal(parse_gpu("gpu:1023", &gpu), 0);
	assert_int_equal(gpu, 1023);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_gpu(bad[i], &gpu), -EINVAL);
	assert_int_equal(parse_gpu("file", &gpu), -ENOENT);
	assert_int_equal(parse_gpu("", &gpu), -ENOENT);
}

static int try_options(unsigned int known, struct options *opts,
		       const char *first, const char *second)
{
	char *argv[] = { "cp", (char *)first, (char *)second, "FILE", NULL };

	if (!second) {
		argv[2] = "FILE";
		argv[3] = NULL;
		return parse_options(3, argv, known, opts);
	}
	return parse_options(4, argv, known, opts);
}

static void options_are_checked(void **state)
{
	unsigned int all = OPT_HOLD | OPT_BOUNCE | OPT_RANGE | OPT_TUNE |
			   OPT_JSON | OPT_QUIET;
	struct options opts;
	int saved = dup(STDERR_FILENO);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	/* The complaints are wanted, but not in the test's output. */
	assert_true(dup2(null, STDERR_FILENO) >= 0);
	assert_int_equal(try_options(all, &opts, "--hold", "--json"), 3);
	assert_true(opts.hold && opts.json && !opts.bounce);
	assert_int_equal(opts.chunk, TOOL_DEFAULT_CHUNK);
	assert_int_equal(opts.threads, TOOL_DEFAULT_THREADS);
	assert_int_equal(try_options(all, &opts, "--size", "1M"), 3);
	assert_true(opts.have_size && opts.size == 1 << 20);
	assert_int_equal(try_options(all, &opts, "--threads=64", NULL), 2);
	assert_int_equal(opts.threads, 64);
	assert_int_equal(try_options(OPT_JSON, &opts, "--hold", NULL), -1);
	assert_int_equal(try_options(all, &opts, "--nothing", NULL), -1);
	assert_int_equal(try_options(all, &opts, "--threads", "0"), -1);
	assert_int_equal(try_options(all, &opts, "--threads", "65"), -1);
	assert_int_equal(try_options(all, &opts, "--threads", "4294967297"), -1);
	assert_int_equal(try_options(all, &opts, "--chunk", "4095"), -1);
	assert_int_equal(try_options(all, &opts, "--chunk", "0"), -1);
	assert_int_equal(try_options(all, &opts, "--offset", "8388608T"), -1);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(null);
}

static void progress_is_computed(void **state)
{
	char text[160];

	(void)state;
	format_progress(0, 100 << 20, 0, text, sizeof(text));
	assert_string_equal(text, "[........................]   0%  0 B of 100.0 MiB  0 B/s  -:-- left");
	format_progress(25 << 20, 100 << 20, 1000000000, text, sizeof(text));
	assert_string_equal(text, "[######..................]  25%  25.0 MiB of 100.0 MiB  25.0 MiB/s  0:03 left");
	format_progress(1 << 20, 1ULL << 40, 1000000000, text, sizeof(text));
	assert_non_null(strstr(text, "99:59:59 left"));
	format_progress(100, 100, 1000000000, text, sizeof(text));
	assert_non_null(strstr(text, "[########################] 100%"));
	/* More than all, and nothing at all. */
	format_progress(200, 100, 1, text, sizeof(text));
	assert_non_null(strstr(text, "100%  100 B of 100 B"));
	format_progress(0, 0, 0, text, sizeof(text));
	assert_non_null(strstr(text, "100%"));
	format_progress(UINT64_MAX, UINT64_MAX, 1, text, sizeof(text));
	assert_non_null(strstr(text, "100%"));
}

static void bytes_are_formatted(void **state)
{
	char text[16];

	(void)state;
	format_bytes(1023, text, sizeof(text));
	assert_string_equal(text, "1023 B");
	format_bytes(1536, text, sizeof(text));
	assert_string_equal(text, "1.5 KiB");
	format_bytes((1 << 20) - 1, text, sizeof(text));
	assert_string_equal(text, "1.0 MiB");
	format_bytes(UINT64_MAX, text, sizeof(text));
	assert_string_equal(text, "16.0 EiB");
	assert_int_equal(rate_of(1000, 0), 0);
	assert_int_equal(rate_of(1000, 1000000000), 1000);
	assert_int_equal(rate_of(UINT64_MAX, 1000000000), UINT64_MAX);
}

static void strings_are_json_whatever_they_hold(void **state)
{
	static const struct {
		const char *text;
		const char *json;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
		  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff\xc3", "\"\\udcff\\udcc3\"" },
		{ "\xc0\x80", "\"\\udcc0\\udc80\"" },
		{ "\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"" },
		{ "\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\"" },
		{ "\xe2\x82", "\"\\udce2\\udc82\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char got[128] = "";
		FILE *out = fmemopen(got, sizeof(got), "w");

		json_string(out, cases[i].text);
		fclose(out);
		assert_string_equal(got, cases[i].json);
	}
}

static void reads_are_planned(void **state)
{
	int fd = mock_file(10000);
	struct plan plan;
	int pipes[2];

	(void)state;
	assert_int_equal(plan_read(fd, 0, INT64_MAX, 4096, &plan), 0);
	assert_int_equal(plan.size, 10000);
	assert_int_equal(plan.length, 12288);
	assert_int_equal(plan_read(fd, 4096, 512, 512, &plan), 0);
	assert_int_equal(plan.size, 512);
	assert_int_equal(plan.length, 512);
	assert_int_equal(plan_read(fd, 10000, 5, 512, &plan), 0);
	assert_int_equal(plan.size, 0);
	assert_int_equal(plan.length, 0);
	assert_int_equal(plan_read(fd, 10001, 5, 512, &plan), -EINVAL);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(plan_read(pipes[0], 0, 5, 512, &plan), -ESPIPE);
	close(pipes[0]);
	close(pipes[1]);
	pipes[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	assert_int_equal(plan_read(pipes[0], 0, 5, 512, &plan), -ESPIPE);
	close(pipes[0]);
	pipes[0] = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(plan_read(pipes[0], 0, 5, 512, &plan), -EISDIR);
	close(pipes[0]);
	close(fd);
}

static void writes_never_destroy_what_follows(void **state)
{
	int fd = mock_file(10000);
	int device = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct plan plan;

	(void)state;
	assert_int_equal(plan_write(fd, 0, 10000, 4096, &plan), 0);
	assert_int_equal(plan.length, 12288);
	assert_true(plan.cut);
	assert_int_equal(plan_write(fd, 4096, 4096, 4096, &plan), 0);
	assert_false(plan.cut);
	assert_int_equal(plan_write(fd, 0, 9999, 4096, &plan), -EOVERFLOW);
	assert_int_equal(plan_write(device, 0, 100, 512, &plan), -EOVERFLOW);
	assert_int_equal(plan_write(device, 0, 512, 512, &plan), 0);
	assert_int_equal(plan_write(fd, 0, UINT64_MAX, 512, &plan), -EOVERFLOW);
	close(device);
	close(fd);
}

static int count_progress(void *arg, uint64_t done)
{
	(void)done;
	return ++*(int *)arg > 0;
}

static void start(struct session *session, uint64_t bytes)
{
	char message[384];

	mock_model();
	assert_int_equal(session_open(session, 0, bytes, false, message,
				      sizeof(message)), 0);
}

static void a_transfer_moves_every_chunk(void **state)
{
	int fd = mock_file(1000000);
	struct comparison comparison;
	struct outcome outcome;
	struct session session;
	struct transfer transfer = {
		.fd = fd, .length = 1000448, .chunk = 65536, .threads = 4,
	};

	(void)state;
	start(&session, 1000448);
	transfer.region = session.region;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.error, 0);
	assert_int_equal(outcome.done, 1000000);
	assert_int_equal(outcome.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(model_requests, 16);
	assert_int_equal(compare_file(session.buf, 0, fd, 0, 1000000, NULL,
				      NULL, &comparison), 0);
	assert_true(comparison.equal);
	session_close(&session);
	close(fd);
}

static void the_first_failure_counts(void **state)
{
	int fd = mock_file(1 << 20);
	struct outcome outcome;
	struct session session;
	struct transfer transfer = {
		.fd = fd, .length = 1 << 20, .chunk = 4096, .threads = 8,
	};

	(void)state;
	start(&session, 1 << 20);
	transfer.region = session.region;
	model_bad_offset = 40960;
	model_bad_errno = EIO;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.error, -EIO);
	assert_int_equal(outcome.done, 40960);
	/* One at a time: nothing is begun after it. */
	transfer.threads = 1;
	model_requests = 0;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.done, 40960);
	assert_int_equal(model_requests, 11);
	transfer.threads = 8;
	model_bad_offset = UINT64_MAX;
	model_reason = NVFS_REASON_IOMMU;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.error, -EREMOTEIO);
	assert_int_equal(outcome.reason, NVFS_REASON_IOMMU);
	assert_int_equal(outcome.done, 0);
	assert_int_equal(outcome.route, NVFS_ROUTE_NONE);
	session_close(&session);
	close(fd);
}

static pthread_barrier_t both_here;

/* The second chunk fails too, and after the first. */
static int failing_call(unsigned long request, void *arg)
{
	struct nvfs_rw *rw = arg;

	if (request != NVFS_IOC_READ)
		return model_call(request, arg);
	pthread_barrier_wait(&both_here);
	if (!rw->file_offset)
		return model_fail(EIO);
	usleep(50000);
	return model_fail(ENOSPC);
}

static void a_later_failure_does_not_count(void **state)
{
	int fd = mock_file(8192);
	struct outcome outcome;
	struct session session;
	struct transfer transfer = {
		.fd = fd, .length = 8192, .chunk = 4096, .threads = 2,
	};

	(void)state;
	start(&session, 8192);
	transfer.region = session.region;
	mock_handler = failing_call;
	assert_int_equal(pthread_barrier_init(&both_here, NULL, 2), 0);
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.error, -EIO);
	assert_int_equal(outcome.done, 0);
	pthread_barrier_destroy(&both_here);
	session_close(&session);
	close(fd);
}

static int slow_call(unsigned long request, void *arg)
{
	/* Longer than a tick of progress, so that one comes. */
	if (request == NVFS_IOC_READ)
		usleep(150000);
	return model_call(request, arg);
}

static void a_transfer_can_be_stopped(void **state)
{
	int fd = mock_file(1 << 20);
	struct outcome outcome;
	struct session session;
	int ticks = 0;
	struct transfer transfer = {
		.fd = fd, .length = 1 << 20, .chunk = 4096, .threads = 1,
		.progress = count_progress, .arg = &ticks,
	};

	(void)state;
	start(&session, 1 << 20);
	transfer.region = session.region;
	mock_handler = slow_call;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.error, -ECANCELED);
	assert_true(ticks >= 1);
	assert_true(outcome.done < 1 << 20);
	session_close(&session);
	close(fd);
}

static void differences_are_found(void **state)
{
	uint64_t length = (4 << 20) + 777;
	int fd = mock_file(length);
	struct comparison comparison;
	struct session session;
	struct outcome outcome;
	struct transfer transfer = {
		.fd = fd, .chunk = 1 << 20, .threads = 2,
		.length = (length + 511) / 512 * 512,
	};
	unsigned char was;

	(void)state;
	start(&session, transfer.length);
	transfer.region = session.region;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.done, length);
	/* In the second window. */
	assert_int_equal(nvfs_buf_copy_out(session.buf, length - 1, &was, 1), 0);
	was ^= 1;
	assert_int_equal(nvfs_buf_copy_in(session.buf, length - 1, &was, 1), 0);
	assert_int_equal(compare_file(session.buf, 0, fd, 0, length, NULL,
				      NULL, &comparison), 0);
	assert_false(comparison.equal);
	assert_int_equal(comparison.compared, length - 1);
	assert_int_equal(comparison.first, was);
	assert_int_equal(comparison.second, was ^ 1);
	/* A file that has become shorter differs where it ends. */
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(compare_file(session.buf, 0, fd, 0, length, NULL,
				      NULL, &comparison), 0);
	assert_false(comparison.equal);
	assert_int_equal(comparison.compared, 100);
	assert_int_equal(comparison.second, -1);
	session_close(&session);
	close(fd);
}

static void add_disk(const char *dir, const char *name, const char *sectors)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/size", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%s\n", sectors);
	fclose(file);
}

static void drives_are_listed(void **state)
{
	char dir[] = "/tmp/nvfs-unit-XXXXXX";
	struct drive *drives = NULL;
	char command[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	add_disk(dir, "nvme10n1", "100");
	add_disk(dir, "nvme2n1", "100");
	add_disk(dir, "cciss!c0d0", "1");
	add_disk(dir, "loop0", "0");
	add_disk(dir, "ram0", "8192");
	add_disk(dir, "sr0", "2097151");
	add_disk(dir, "sdb", "nonsense");
	assert_int_equal(list_drives(dir, &drives), 3);
	assert_string_equal(drives[0].node, "/dev/cciss/c0d0");
	assert_string_equal(drives[1].node, "/dev/nvme2n1");
	assert_string_equal(drives[2].node, "/dev/nvme10n1");
	free(drives);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(list_drives(dir, &drives), -ENOENT);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_parsed),
		cmocka_unit_test(gpus_are_parsed),
		cmocka_unit_test(progress_is_computed),
		cmocka_unit_test(bytes_are_formatted),
		cmocka_unit_test(strings_are_json_whatever_they_hold),
		cmocka_unit_test(reads_are_planned),
		cmocka_unit_test(writes_never_destroy_what_follows),
		mock_test(a_transfer_moves_every_chunk),
		mock_test(the_first_failure_counts),
		mock_test(a_later_failure_does_not_count),
		mock_test(a_transfer_can_be_stopped),
		mock_test(differences_are_found),
		cmocka_unit_test(drives_are_listed),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
