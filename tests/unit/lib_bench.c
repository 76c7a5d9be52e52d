// SPDX-License-Identifier: MIT
/* nvfs bench: words, statistics, patterns, orders, and whole runs. */
#include "lib_mock.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "bench.h"
#include "tool.h"

#define NR(table)	(sizeof(table) / sizeof((table)[0]))
#define KIB		1024ULL
#define MIB		(1ULL << 20)

static int saved_stderr = -1;

/* Complaints are wanted, but not in the test's output. */
static void hush(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(null, STDERR_FILENO) >= 0);
	close(null);
}

/* They are wanted by the test itself. */
static int hear(void)
{
	int fd = memfd_create("heard", MFD_CLOEXEC);

	assert_true(fd >= 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
	return fd;
}

static void speak(void)
{
	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	close(saved_stderr);
}

static int parse(const char *line, struct bench_opts *opts)
{
	static char copy[512];
	char *argv[32], *rest = copy, *word;
	int argc = 0, ret;

	snprintf(copy, sizeof(copy), "%s", line);
	while ((word = strsep(&rest, " ")))
		argv[argc++] = word;
	argv[argc] = NULL;
	hush();
	ret = bench_parse(argc, argv, opts);
	speak();
	return ret;
}

static void help_shows_the_usage(void **state)
{
	char text[256] = "", *argv[] = { "bench", "--help", NULL };
	struct bench_opts opts;
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	assert_int_equal(bench_parse(2, argv, &opts), -1);
	speak();
	rewind(file);
	assert_non_null(fgets(text, sizeof(text), file));
	assert_non_null(strstr(text, "usage: nvfs bench "));
	fclose(file);
}

static void block_sizes_are_lists_and_ranges(void **state)
{
	static const struct {
		const char *text;
		unsigned int nr;
		uint64_t first, last;
	} good[] = {
		{ "1", 1, 1, 1 },
		{ "4K", 1, 4096, 4096 },
		{ "4K,64K,1M", 3, 4096, MIB },
		{ "4K:16K:4K", 4, 4096, 16384 },
		{ "4K:17K:4K", 4, 4096, 16384 },
		{ "4K:1M:x4", 5, 4096, MIB },
		{ "4K:4K:1G", 1, 4096, 4096 },
		{ "512,4K:8K:4K,4G", 4, 512, 4ULL << 30 },
	};
	static const char *const bad[] = {
		"", "0", "4K,", ",4K", "4K:8K", "8K:4K:4K", "4K:8K:0",
		"4K:8K:x1", "4K:8K:x", "4K:8K:4K:4K", "5G", "x", "4K 8K",
		"1:4K:1",
	};
	struct bench_opts opts = { 0 };

	(void)state;
	for (size_t i = 0; i < NR(good); i++) {
		assert_int_equal(bench_parse_sizes(good[i].text, &opts), 0);
		assert_int_equal(opts.nr_sizes, good[i].nr);
		assert_int_equal(opts.sizes[0], good[i].first);
		assert_int_equal(opts.sizes[opts.nr_sizes - 1], good[i].last);
	}
	for (size_t i = 0; i < NR(bad); i++)
		assert_true(bench_parse_sizes(bad[i], &opts) < 0);
}

static void a_line_of_gdsio_is_understood(void **state)
{
	struct bench_opts opts;

	(void)state;
	assert_int_equal(parse("bench -f /mnt/a -d 1 -w 8 -s 1G -o 4K -i 4K:16K:4K -x 6 -I 3 -B 16 -T 2.5 -V -k 77 -U -b -m 0 -O 1", &opts), 0);
	assert_string_equal(opts.path, "/mnt/a");
	assert_false(opts.is_dir);
	assert_int_equal(opts.gpu, 1);
	assert_int_equal(opts.threads, 8);
	assert_int_equal(opts.size, 1 << 30);
	assert_int_equal(opts.offset, 4096);
	assert_int_equal(opts.nr_sizes, 4);
	assert_int_equal(opts.mode, BENCH_BATCH);
	assert_int_equal(opts.op, BENCH_RANDWRITE);
	assert_int_equal(opts.depth, 16);
	assert_int_equal(opts.time_ns, 2500000000);
	assert_int_equal(opts.seed, 77);
	assert_true(opts.verify && opts.unaligned && opts.no_register &&
		    opts.buffered);
	assert_int_equal(parse("bench -D /mnt -x 2 -I 0", &opts), 0);
	assert_true(opts.is_dir);
	assert_int_equal(opts.way, BENCH_HOST);
	assert_int_equal(parse("bench -f a -x 5", &opts), 0);
	assert_int_equal(opts.mode, BENCH_STREAM);
	assert_int_equal(opts.depth, 32);
	assert_false(opts.cpu || opts.has_node);
	assert_int_equal(parse("bench -f a -d 0 -n 1 -w 4 -s 10G -i 1M -x 0 -I 0", &opts), 0);
	assert_true(opts.has_node);
	assert_int_equal(opts.node, 1);
	assert_int_equal(parse("bench -f a -n -1 -x 1", &opts), 0);
	assert_true(opts.cpu && !opts.has_node);
	assert_int_equal(opts.mode, BENCH_SYNC);
	assert_int_equal(parse("bench -f a -m 3 -x 6", &opts), 0);
	assert_true(opts.cpu);
	assert_int_equal(parse("bench -f a -m 3 -m 0 -x 1 -x 0", &opts), 0);
	assert_false(opts.cpu);
}

static void cpus_of_a_node_are_a_list(void **state)
{
	static const char *const bad[] = {
		"", "\n", "x", "3-1", "0-", "0,x", "1024", "0-99999", "-1", "0-1-2",
	};
	cpu_set_t set;

	(void)state;
	assert_int_equal(bench_parse_cpus("0-3,16-17,20\n", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 7);
	assert_true(CPU_ISSET(3, &set) && CPU_ISSET(17, &set) &&
		    CPU_ISSET(20, &set) && !CPU_ISSET(18, &set));
	assert_int_equal(bench_parse_cpus("0", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 1);
	for (size_t i = 0; i < NR(bad); i++)
		assert_int_equal(bench_parse_cpus(bad[i], &set), -EINVAL);
}

static void our_own_words_are_understood(void **state)
{
	struct bench_opts opts;

	(void)state;
	assert_int_equal(parse("bench --rw randread --mode stream --depth 4 --route direct --drop-cache --json /a gpu:3", &opts), 0);
	assert_string_equal(opts.path, "/a");
	assert_int_equal(opts.gpu, 3);
	assert_int_equal(opts.op, BENCH_RANDREAD);
	assert_int_equal(opts.mode, BENCH_STREAM);
	assert_int_equal(opts.way, BENCH_DIRECT);
	assert_true(opts.drop && opts.json && !opts.verify);
	assert_int_equal(parse("bench --rw verify /a", &opts), 0);
	assert_true(opts.verify);
	assert_int_equal(opts.depth, 1);
	assert_int_equal(opts.sizes[0], MIB);
	assert_int_equal(opts.threads, TOOL_DEFAULT_THREADS);
	assert_int_equal(parse("bench -f /a --gpu gpu:2", &opts), 0);
	assert_int_equal(opts.gpu, 2);
}

static void bad_words_are_refused(void **state)
{
	static const char *const bad[] = {
		"bench", "bench --file", "bench -f", "bench /a gpu:x",
		"bench /a gpu:0 more", "bench /a /b", "bench --nothing /a",
		"bench --threads 0 /a", "bench --threads 257 /a",
		"bench --threads -1 /a", "bench --threads 4x /a",
		"bench --depth 0 /a", "bench --depth 4 /a",
		"bench --mode batch --depth 4097 /a", "bench --mode fast /a",
		"bench --rw append /a", "bench -I 4 /a", "bench -I -1 /a",
		"bench -x 3 /a", "bench -x 7 /a",
		"bench -x 00 /a", "bench --size 0 /a", "bench --size 9E /a",
		"bench --offset 8388608T /a", "bench --time 0 /a",
		"bench --time 1e9 /a", "bench --time inf /a",
		"bench --time nan /a", "bench --time 5m /a",
		"bench --rw verify --time 5 /a", "bench --seed x /a",
		"bench --route fast /a", "bench -m 1 /a", "bench -m 2 /a", "bench -m 5 /a", "bench -n x /a",
		"bench -n 1024 /a", "bench -n -2 /a", "bench -m 3 -x 5 /a",
		"bench -x 1 --mode stream /a", "bench -m 4 -x 2 /a",
		"bench -x 1 --route direct /a",
		"bench -p 1 /a", "bench -P url /a", "bench -J job /a",
		"bench -R /a", "bench -F /a", "bench -O 2 /a",
		"bench --size 777 --unaligned /a", "bench --file= ",
		"bench --offset 8388607T --size 2T /a",
	};
	struct bench_opts opts;

	(void)state;
	for (size_t i = 0; i < NR(bad); i++) {
		if (parse(bad[i], &opts) != -1)
			fail_msg("taken: %s", bad[i]);
	}
}

/* ------------------------------------------------------------- statistics */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void percentiles_are_within_a_64th(void **state)
{
	static const unsigned int points[] = { 1, 500, 950, 990, 999, 1000 };
	static struct bench_hist hist, half;
	static uint64_t all[20000];
	uint64_t x = 88172645463325252ULL, sum = 0;

	(void)state;
	memset(&hist, 0, sizeof(hist));
	memset(&half, 0, sizeof(half));
	for (size_t i = 0; i < NR(all); i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		/* From nanoseconds to minutes. */
		all[i] = (x >> 20) >> (i % 40);
		sum += all[i];
		bench_hist_add(i % 2 ? &hist : &half, all[i]);
	}
	bench_hist_merge(&hist, &half);
	qsort(all, NR(all), sizeof(all[0]), by_size);
	assert_int_equal(hist.count, NR(all));
	assert_int_equal(bench_hist_mean(&hist), sum / NR(all));
	assert_int_equal(hist.max, all[NR(all) - 1]);
	for (size_t i = 0; i < NR(points); i++) {
		uint64_t want = all[(NR(all) * points[i] + 999) / 1000 - 1];
		uint64_t got = bench_hist_at(&hist, points[i]);

		assert_true(got >= want && got - want <= want / 64);
	}
}

static void extreme_latencies_are_counted(void **state)
{
	static struct bench_hist hist;

	(void)state;
	memset(&hist, 0, sizeof(hist));
	assert_int_equal(bench_hist_at(&hist, 500), 0);
	assert_int_equal(bench_hist_mean(&hist), 0);
	bench_hist_add(&hist, 0);
	assert_int_equal(bench_hist_at(&hist, 999), 0);
	bench_hist_add(&hist, UINT64_MAX);
	assert_int_equal(bench_hist_at(&hist, 500), 0);
	assert_int_equal(bench_hist_at(&hist, 501), UINT64_MAX);
	/* Each small number is known exactly. */
	memset(&hist, 0, sizeof(hist));
	for (uint64_t i = 1; i <= 100; i++)
		bench_hist_add(&hist, i);
	assert_int_equal(bench_hist_at(&hist, 500), 50);
	assert_int_equal(bench_hist_at(&hist, 990), 99);
}

/* --------------------------------------------------------------- patterns */

static void any_part_of_the_pattern_is_the_same(void **state)
{
	static unsigned char whole[20000], part[20000];
	struct bench_diff diff;

	(void)state;
	bench_pattern(whole, 12345, sizeof(whole), 7);
	for (uint64_t at = 0; at < 40; at++) {
		bench_pattern(part, 12345 + at, 5000 + at, 7);
		assert_memory_equal(part, whole + at, 5000 + at);
	}
	assert_true(bench_pattern_holds(whole, 12345, sizeof(whole), 7, &diff));
	assert_false(bench_pattern_holds(whole, 12345, sizeof(whole), 8, &diff));
	assert_false(diff.known);
	assert_false(bench_pattern_holds(whole, 12353, sizeof(whole), 7, &diff));
}

static void a_wrong_byte_is_found(void **state)
{
	static unsigned char data[3 * 4096 + 5];
	static const uint64_t places[] = { 0, 1, 4095, 4096, 8191, 12292 };
	struct bench_diff diff;

	(void)state;
	bench_pattern(data, 1000, sizeof(data), 1);
	for (size_t i = 0; i < NR(places); i++) {
		data[places[i]] ^= 0x10;
		assert_false(bench_pattern_holds(data, 1000, sizeof(data), 1,
						 &diff));
		assert_int_equal(diff.at, 1000 + places[i]);
		assert_int_equal(diff.got, data[places[i]]);
		assert_int_equal(diff.want, data[places[i]] ^ 0x10);
		data[places[i]] ^= 0x10;
	}
}

static void a_misplaced_block_says_where_it_belongs(void **state)
{
	static unsigned char data[8192];
	struct bench_diff diff;

	(void)state;
	bench_pattern(data, 0, 4096, 3);
	bench_pattern(data + 4096, 123 * MIB, 4096, 3);
	assert_false(bench_pattern_holds(data, 0, sizeof(data), 3, &diff));
	assert_int_equal(diff.at / 8 * 8, 4096);
	assert_true(diff.known);
	assert_int_equal(diff.belongs, 123 * MIB);
}

static void every_block_is_visited_once_before_any_twice(void **state)
{
	static unsigned char seen[1100];
	bool moved = false;

	(void)state;
	for (uint64_t blocks = 1; blocks < NR(seen); blocks += 1 + blocks / 9) {
		struct bench_walk walk = { .blocks = blocks, .seed = blocks * 5,
					   .random = true };

		for (unsigned int round = 1; round <= 2; round++) {
			for (uint64_t i = 0; i < blocks; i++) {
				uint64_t at = bench_walk_step(&walk);

				assert_true(at < blocks);
				moved |= at != i;
				seen[at]++;
			}
			for (uint64_t i = 0; i < blocks; i++)
				assert_int_equal(seen[i], round);
		}
		memset(seen, 0, sizeof(seen));
		walk = (struct bench_walk){ .blocks = blocks };
		for (uint64_t i = 0; i < 2 * blocks; i++)
			assert_int_equal(bench_walk_step(&walk), i % blocks);
	}
	assert_true(moved);
}

/* ------------------------------------------------------------------- runs */

static char path[] = "/tmp/nvfs-bench-unit-XXXXXX";
static struct bench_result result;

static int setup(void **state)
{
	int fd;

	mock_setup(state);
	mock_model();
	strcpy(path + sizeof(path) - 7, "XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return mock_teardown(state);
}

static int try_run(const char *options)
{
	struct bench bench = { 0 };
	char line[400];
	int ret;

	memset(&result, 0, sizeof(result));
	snprintf(line, sizeof(line), "bench %s %s", options, path);
	assert_int_equal(parse(line, &bench.opts), 0);
	hush();
	ret = bench_open(&bench);
	if (!ret) {
		bench_run(&bench, bench.opts.sizes[0], &result);
		bench_warn(&bench, &result);
		bench_close(&bench);
	}
	speak();
	return ret;
}

static void run(const char *options)
{
	assert_int_equal(try_run(options), 0);
}

static void expect_good(uint64_t bytes, uint64_t ops)
{
	assert_int_equal(result.error, 0);
	assert_false(result.differs);
	assert_int_equal(result.bytes, bytes);
	assert_int_equal(result.ops, ops);
	assert_int_equal(result.hist.count, ops);
	assert_int_equal(result.direct + result.bounce, bytes);
}

static void what_is_written_is_read_and_verified(void **state)
{
	static const char *const modes[] = { "sync", "batch" };
	static const char *const orders[] = { "", "rand" };
	char options[200];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(options, sizeof(options),
			 "--rw %swrite --mode %s --size 1000K --block 48K --threads 3 --seed %zu -V",
			 orders[i / 2], modes[i % 2], i);
		run(options);
		expect_good(1000 * KIB, 21);
		assert_int_equal(result.checked, 1000 * KIB);
		snprintf(options, sizeof(options),
			 "--rw %sread --mode %s --block 64K --threads 5 --seed %zu -V",
			 orders[i / 2], modes[i % 2], i);
		run(options);
		expect_good(1000 * KIB, 16);
		assert_int_equal(result.checked, 1000 * KIB);
	}
	run("--rw verify --seed 3");
	expect_good(1000 * KIB, 1);
	run("--rw verify --seed 4");
	assert_true(result.differs);
}

static void one_corrupted_byte_is_detected(void **state)
{
	int fd;

	(void)state;
	run("--rw write --size 1M --block 64K -V");
	expect_good(MIB, 16);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 700001), 1);
	close(fd);
	run("--rw randread --block 4K -V");
	assert_true(result.differs);
	assert_int_equal(result.diff.at, 700001);
	assert_int_equal(result.diff.got, 'x');
	/* Without being asked to, it does not look. */
	run("--rw read --block 4K");
	expect_good(MIB, 256);
	assert_int_equal(result.checked, 0);
}

/* Writes that do not arrive: the pattern is looked for in the file. */
static int lose_writes(unsigned long request, void *arg)
{
	struct nvfs_rw *rw = arg;

	if (request != NVFS_IOC_WRITE || rw->file_offset != 8192)
		return model_call(request, arg);
	rw->done = rw->length;
	rw->route = NVFS_ROUTE_DIRECT;
	return 0;
}

static void a_write_that_did_not_arrive_is_detected(void **state)
{
	(void)state;
	mock_handler = lose_writes;
	run("--rw write --size 64K --block 4K --threads 1 -V");
	assert_true(result.differs);
	assert_int_equal(result.diff.at, 8192);
}

static void the_route_is_what_the_module_said(void **state)
{
	(void)state;
	run("--rw write --size 256K --block 4K");
	assert_int_equal(result.direct, 256 * KIB);
	assert_int_equal(bench_route(&result), NVFS_ROUTE_DIRECT);
	assert_int_equal(result.reason, NVFS_REASON_NONE);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	run("--rw read --block 4K");
	expect_good(256 * KIB, 64);
	assert_int_equal(result.bounce, 256 * KIB);
	assert_int_equal(bench_route(&result), NVFS_ROUTE_BOUNCE);
	assert_int_equal(result.reason, NVFS_REASON_HOST_BRIDGE);
	run("--rw read --block 4K --route direct");
	assert_int_equal(result.error, -EREMOTEIO);
	assert_int_equal(result.bytes, 0);
	assert_int_equal(result.ops, 0);
	model_reason = NVFS_REASON_NONE;
	run("--rw read --block 4K --route host");
	assert_int_equal(result.bounce, 256 * KIB);
	assert_int_equal(result.reason, NVFS_REASON_NOT_WANTED);
	mock_open_errno = ENOENT;
	run("--rw read --block 4K");
	assert_int_equal(result.bounce, 256 * KIB);
	assert_int_equal(result.reason, NVFS_REASON_NO_MODULE);
}

static void unaligned_requests_hold_the_same_bytes(void **state)
{
	(void)state;
	run("--rw write --size 300K --block 4K -V");
	expect_good(300 * KIB, 75);
	run("--rw read --block 8K --unaligned -V");
	expect_good(300 * KIB - 777, 38);
	assert_int_equal(result.checked, 300 * KIB - 777);
	assert_int_equal(bench_route(&result), NVFS_ROUTE_MIXED);
}

static void a_time_limit_goes_round_and_ends(void **state)
{
	/* Busy CPUs may do little in the first of them. */
	static const char *const runs[] = {
		"--rw randread --block 4K --threads 2 --time 0.1 -V",
		"--rw randread --block 4K --threads 2 --time 1 -V",
		"--rw randread --block 4K --threads 2 --time 10 -V",
	};

	(void)state;
	run("--rw write --size 64K --block 4K -V");
	for (size_t i = 0; i < NR(runs); i++) {
		run(runs[i]);
		assert_int_equal(result.error, 0);
		assert_true(result.ns >= 100000000);
		if (result.ops > 16)
			break;
	}
	assert_true(result.ops > 16);
	assert_int_equal(result.bytes, result.ops * 4096);
	run("--rw write --block 4K --threads 2 --time 0.05 -V");
	assert_int_equal(result.error, 0);
	assert_int_equal(result.checked, 64 * KIB);
}

static void the_first_failure_ends_the_run(void **state)
{
	(void)state;
	run("--rw write --size 1M --block 4K");
	model_bad_offset = 512 * KIB;
	model_bad_errno = EIO;
	run("--rw read --block 4K --threads 1 --route direct");
	assert_int_equal(result.error, -EIO);
	assert_int_equal(result.error_at, 512 * KIB);
	assert_int_equal(result.bytes, 512 * KIB);
}

static int cut_the_file(unsigned long request, void *arg)
{
	if (request == NVFS_IOC_READ &&
	    ((struct nvfs_rw *)arg)->file_offset == 32768)
		assert_int_equal(truncate(path, 34000), 0);
	return model_call(request, arg);
}

static void a_file_that_becomes_shorter_is_an_error(void **state)
{
	(void)state;
	run("--rw write --size 64K --block 4K");
	mock_handler = cut_the_file;
	run("--rw read --block 4K --threads 1");
	assert_int_equal(result.error, -ENODATA);
	assert_int_equal(result.error_at, 34000);
}

/* Nor is there need of one. */
static void host_memory_is_no_gpus(void **state)
{
	(void)state;
	mock_gpu_missing = true;
	run("-x 1 --rw write --size 1000K --block 48K --threads 3 -V");
	expect_good(1000 * KIB, 21);
	assert_int_equal(result.checked, 1000 * KIB);
	assert_int_equal(result.direct, 0);
	run("-m 3 -x 6 -B 4 --rw randread --block 64K --threads 2 -V");
	expect_good(1000 * KIB, 16);
	assert_int_equal(result.checked, 1000 * KIB);
	run("-m 4 --rw verify --seed 1");
	assert_true(result.differs);
	mock_gpu_missing = false;
	run("--rw verify");
	expect_good(1000 * KIB, 1);
}

static const char *remarks_of(const char *options)
{
	static char text[2000];
	struct bench bench = { 0 };
	char line[400];
	ssize_t n;
	int fd;

	snprintf(line, sizeof(line), "bench %s %s", options, path);
	assert_int_equal(parse(line, &bench.opts), 0);
	fd = hear();
	assert_int_equal(bench_open(&bench), 0);
	bench_run(&bench, bench.opts.sizes[0], &result);
	bench_warn(&bench, &result);
	bench_close(&bench);
	speak();
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

/* Also of a file that is open with O_DIRECT. */
static void what_was_cached_is_said(void **state)
{
	(void)state;
	run("-x 1 --rw write --size 1000K --buffered");
	assert_non_null(strstr(remarks_of("-x 1"), "1000.0 KiB of 1000.0 KiB were in the page cache"));
	assert_non_null(strstr(remarks_of("-x 1 --buffered -T 0.05"), "were in the page cache"));
	assert_string_equal(remarks_of("-x 1 --quiet"), "");
	assert_null(strstr(remarks_of("-x 1 --rw write --size 1000K"), "page cache:"));
	/* Not before, but from the second time on; where pages go when told to. */
	remarks_of("-x 1 --buffered --drop-cache -T 0.05");
	if (result.cached_known && !result.cached)
		assert_non_null(strstr(remarks_of("-x 1 --buffered --drop-cache -T 0.05"), "times: from the second on from the page cache"));
}

static void what_can_not_begin_says_so(void **state)
{
	(void)state;
	assert_int_equal(try_run("--rw read"), -1);
	assert_int_equal(try_run("--rw write"), -1);
	run("--rw write --size 64K");
	assert_int_equal(try_run("--rw read --size 65K"), -1);
	assert_int_equal(try_run("--rw read --offset 64K"), -1);
	assert_int_equal(try_run("--rw read --gpu 2"), -1);
	assert_int_equal(try_run("--rw read -n 1023"), -1);
	mock_gpu_full = true;
	assert_int_equal(try_run("--rw read"), -1);
	mock_gpu_full = false;
	mock_gpu_missing = true;
	assert_int_equal(try_run("--rw read"), -1);
	mock_gpu_missing = false;
	unlink(path);
	assert_int_equal(try_run("--rw read"), -1);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(try_run("--rw write --size 4K"), -1);
	assert_int_equal(rmdir(path), 0);
}

static void a_directory_gets_a_file_for_each_thread(void **state)
{
	char name[64], options[200];
	struct stat st;

	(void)state;
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(options, sizeof(options),
		 "--rw write --size 100K --block 64K --threads 3 -V --dir");
	run(options);
	expect_good(300 * KIB, 6);
	assert_int_equal(result.asked, 300 * KIB);
	for (unsigned int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/nvfs-bench.%u", path, i);
		assert_int_equal(stat(name, &st), 0);
		assert_int_equal(st.st_size, 100 * KIB);
		unlink(name);
	}
	assert_int_equal(rmdir(path), 0);
}

/* --------------------------------------------------------------- a stream */

static uint32_t stream_words[64];
static unsigned int stream_nr;
static bool stream_can_not_wait;

/* A stream that comes to everything at once. */
static int stream_call(void *stream, void (*fn)(void *arg), void *arg)
{
	(void)stream;
	fn(arg);
	return 0;
}

static int stream_wait(void *stream, uint32_t *word, uint32_t value)
{
	(void)stream;
	(void)word;
	(void)value;
	return 0;
}

static int stream_word_get(uint32_t **word)
{
	*word = &stream_words[__atomic_fetch_add(&stream_nr, 1,
						 __ATOMIC_RELAXED) % 64];
	/* Of one that had it before. */
	**word = UINT32_MAX - 5;
	return 0;
}

static int stream_word_show(void *stream, uint32_t *word)
{
	(void)stream;
	(void)word;
	return stream_can_not_wait ? -ENOSYS : 0;
}

static void stream_word_put(uint32_t *word)
{
	(void)word;
}

static const struct gpu_streams streams = {
	.call = stream_call, .wait = stream_wait,
	.word_get = stream_word_get, .word_put = stream_word_put,
	.word_show = stream_word_show,
};

static void requests_go_through_a_stream(void **state)
{
	struct gpu_driver driver = mock_gpu;

	(void)state;
	run("--rw write --size 512K --block 4K -V");
	run("--rw read --block 4K --mode stream");
	assert_int_equal(result.error, -EOPNOTSUPP);
	driver.streams = &streams;
	gpu_set_driver(&driver);
	for (int i = 0; i < 2; i++) {
		stream_can_not_wait = i;
		run("--rw randread --block 4K --mode stream --depth 7 --threads 3 -V");
		expect_good(512 * KIB, 128);
		assert_int_equal(result.checked, 512 * KIB);
	}
	gpu_set_driver(&mock_gpu);
}

static unsigned int threads_entered, threads_left, calls_outside;
static _Thread_local bool thread_is_in;

static int enter(unsigned int index)
{
	if (index)
		return -ENODEV;
	thread_is_in = true;
	__atomic_fetch_add(&threads_entered, 1, __ATOMIC_RELAXED);
	return 0;
}

static void leave(void)
{
	thread_is_in = false;
	__atomic_fetch_add(&threads_left, 1, __ATOMIC_RELAXED);
}

static int enter_not(unsigned int index)
{
	(void)index;
	return -EIO;
}

static int call_inside(void *stream, void (*fn)(void *arg), void *arg)
{
	if (!thread_is_in)
		__atomic_fetch_add(&calls_outside, 1, __ATOMIC_RELAXED);
	return stream_call(stream, fn, arg);
}

/* Its calls for a stream would be for another GPU otherwise. */
static void each_thread_of_a_stream_enters_its_gpu(void **state)
{
	struct gpu_streams inside = streams;
	struct gpu_driver driver = mock_gpu;

	(void)state;
	inside.call = call_inside;
	driver.streams = &inside;
	driver.enter = enter;
	driver.leave = leave;
	run("--rw write --size 512K --block 4K -V");
	gpu_set_driver(&driver);
	run("--rw randread --block 4K --mode stream --threads 3 -V");
	expect_good(512 * KIB, 128);
	assert_int_equal(threads_entered, 3);
	assert_int_equal(threads_left, 3);
	assert_int_equal(calls_outside, 0);
	driver.enter = enter_not;
	run("--rw randread --block 4K --mode stream --threads 3");
	assert_int_equal(result.error, -EIO);
	assert_int_equal(threads_left, 3);
	gpu_set_driver(&mock_gpu);
}

#define bench_test(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_shows_the_usage),
		cmocka_unit_test(block_sizes_are_lists_and_ranges),
		cmocka_unit_test(a_line_of_gdsio_is_understood),
		cmocka_unit_test(cpus_of_a_node_are_a_list),
		cmocka_unit_test(our_own_words_are_understood),
		cmocka_unit_test(bad_words_are_refused),
		cmocka_unit_test(percentiles_are_within_a_64th),
		cmocka_unit_test(extreme_latencies_are_counted),
		cmocka_unit_test(any_part_of_the_pattern_is_the_same),
		cmocka_unit_test(a_wrong_byte_is_found),
		cmocka_unit_test(a_misplaced_block_says_where_it_belongs),
		cmocka_unit_test(every_block_is_visited_once_before_any_twice),
		bench_test(what_is_written_is_read_and_verified),
		bench_test(one_corrupted_byte_is_detected),
		bench_test(a_write_that_did_not_arrive_is_detected),
		bench_test(the_route_is_what_the_module_said),
		bench_test(unaligned_requests_hold_the_same_bytes),
		bench_test(a_time_limit_goes_round_and_ends),
		bench_test(the_first_failure_ends_the_run),
		bench_test(a_file_that_becomes_shorter_is_an_error),
		bench_test(host_memory_is_no_gpus),
		bench_test(what_was_cached_is_said),
		bench_test(what_can_not_begin_says_so),
		bench_test(a_directory_gets_a_file_for_each_thread),
		bench_test(requests_go_through_a_stream),
		bench_test(each_thread_of_a_stream_enters_its_gpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
