// SPDX-License-Identifier: MIT
/* How long requests take: classes, buckets, sums, reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-stat-hist.h"

u64 shim_cycles;

static int on(void **state)
{
	(void)state;
	shim_cycles = 1000;
	return nvfs_hist_switch(true);
}

static int off(void **state)
{
	(void)state;
	nvfs_hist_exit();
	return 0;
}

static u64 all(void)
{
	unsigned int way, class, bucket;
	u64 sum = 0;

	for (way = 0; way < 2; way++)
		for (class = 0; class < NVFS_HIST_CLASSES; class++)
			for (bucket = 0; bucket < NVFS_HIST_BUCKETS; bucket++)
				sum += nvfs_hist_sum(way, class, bucket);
	return sum;
}

static void request(u64 cycles, bool write, u64 len)
{
	u64 begun;

	nvfs_hist_begin(&begun);
	shim_cycles += cycles;
	nvfs_hist_end(begun, write, len);
}

static void the_short_way_counts_in_the_same_places(void **state)
{
	static const u64 lens[] = { 0, 1, 4096, 8191, 8192, 65536, 64 << 20 };
	static const u64 took[] = { 0, 1, 2, 3, 1000, 1ULL << 40 };
	u64 begun;
	size_t i, j, way;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		for (j = 0; j < ARRAY_SIZE(took); j++)
			for (way = 0; way < 2; way++) {
				u64 was = nvfs_hist_sum(way,
							nvfs_hist_class(lens[i]),
							nvfs_hist_bucket(took[j]));

				nvfs_hist_begin(&begun);
				shim_cycles += took[j];
				if (way)
					nvfs_hist_end_short(&begun, true,
							    lens[i]);
				else
					nvfs_hist_end_short(&begun, false,
							    lens[i]);
				assert_int_equal(nvfs_hist_sum(way,
					nvfs_hist_class(lens[i]),
					nvfs_hist_bucket(took[j])), was + 1);
			}
}

static void sizes_have_classes(void **state)
{
	static const struct {
		u64 len;
		unsigned int class;
	} cases[] = {
		{ 0, 0 }, { 1, 0 }, { 4096, 0 }, { 8191, 0 }, { 8192, 1 },
		{ 16383, 1 }, { 16384, 2 }, { 65536, 4 }, { 1 << 20, 8 },
		{ 64 << 20, 14 }, { (128 << 20) - 1, 14 }, { 128 << 20, 15 },
		{ 1 << 30, 15 }, { U64_MAX, 15 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(nvfs_hist_class(cases[i].len),
				 cases[i].class);
}

static void durations_have_buckets(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(nvfs_hist_bucket(0), 0);
	for (i = 0; i < 63; i++) {
		assert_int_equal(nvfs_hist_bucket(1ULL << i), i);
		assert_int_equal(nvfs_hist_bucket((2ULL << i) - 1), i);
	}
	assert_int_equal(nvfs_hist_bucket(U64_MAX), NVFS_HIST_BUCKETS - 1);
}

/* Another CPU's clock is behind: it was short, not 600 years. */
static void clocks_that_disagree_count_as_short(void **state)
{
	(void)state;
	request((u64)-5, false, 4096);
	request(0, false, 4096);
	assert_int_equal(nvfs_hist_sum(false, 0, 0), 2);
	assert_int_equal(nvfs_hist_sum(false, 0, NVFS_HIST_BUCKETS - 1), 0);
	nvfs_hist_reset();
	assert_int_equal(all(), 0);
}

static void buckets_end_in_nanoseconds(void **state)
{
	(void)state;
	/* 2 GHz: half a nanosecond each */
	assert_int_equal(nvfs_hist_below_ns(0, 2000000), 1);
	assert_int_equal(nvfs_hist_below_ns(10, 2000000), 1024);
	/* rounded up */
	assert_int_equal(nvfs_hist_below_ns(0, 3000000), 1);
	assert_int_equal(nvfs_hist_below_ns(1, 3000000), 2);
	/* slowest and longest: no overflow */
	assert_true(nvfs_hist_below_ns(42, 1) == 2000000ULL << 42);
	assert_true(nvfs_hist_below_ns(43, 1) == U64_MAX);
	assert_true(nvfs_hist_below_ns(63, 2000000) == U64_MAX);
	assert_true(nvfs_hist_below_ns(3, 0) == U64_MAX);
}

static void requests_are_counted_where_they_belong(void **state)
{
	(void)state;
	request(1000, false, 4096);
	request(1023, false, 4096);
	request(1024, false, 4096);
	request(1000, true, 4096);
	request(1000, false, 8192);
	assert_int_equal(nvfs_hist_sum(false, 0, 9), 2);
	assert_int_equal(nvfs_hist_sum(false, 0, 10), 1);
	assert_int_equal(nvfs_hist_sum(true, 0, 9), 1);
	assert_int_equal(nvfs_hist_sum(false, 1, 9), 1);
	assert_int_equal(all(), 5);
}

static void all_cpus_are_added(void **state)
{
	int cpu;

	(void)state;
	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		per_cpu_ptr(nvfs_hist, cpu)->count[1][2][3] = 1ULL << cpu;
	assert_int_equal(nvfs_hist_sum(true, 2, 3), 15);
}

static void nothing_is_counted_while_off(void **state)
{
	u64 begun, none = 1;

	(void)state;
	nvfs_hist_begin(&begun);
	request(10, false, 4096);
	assert_int_equal(nvfs_hist_switch(false), 0);
	nvfs_hist_begin(&none);
	assert_int_equal(none, 0);
	request(10, false, 4096);
	nvfs_hist_end(begun, false, 4096);
	/* what was counted stays */
	assert_int_equal(all(), 1);
	assert_int_equal(nvfs_hist_switch(true), 0);
	assert_int_equal(all(), 1);
}

/* One that began while it was off has no beginning. */
static void requests_across_the_switch_are_left_out(void **state)
{
	u64 begun;

	(void)state;
	nvfs_hist_switch(false);
	nvfs_hist_begin(&begun);
	nvfs_hist_switch(true);
	shim_cycles += 5;
	nvfs_hist_end(begun, false, 4096);
	assert_int_equal(all(), 0);
}

static void reset_begins_anew(void **state)
{
	(void)state;
	request(10, false, 4096);
	request(10, true, 1 << 20);
	nvfs_hist_reset();
	assert_int_equal(all(), 0);
	request(10, false, 4096);
	assert_int_equal(nvfs_hist_sum(false, 0, 3), 1);
	assert_int_equal(all(), 1);
}

static void off_from_the_beginning_is_empty(void **state)
{
	static struct seq_file m;

	(void)state;
	nvfs_hist_reset();
	assert_int_equal(all(), 0);
	nvfs_hist_show(&m);
	assert_string_equal(m.text, "counting no\n");
	request(1, false, 1);
	assert_int_equal(all(), 0);
}

static void lines_say_size_and_time(void **state)
{
	static struct seq_file m;

	(void)state;
	request(2047, false, 4096);
	request(2047, false, 100);
	request(1LL << 20, true, 1 << 20);
	request(1LL << 50, true, 1ULL << 40);
	nvfs_hist_show(&m);
	assert_string_equal(m.text,
		"counting yes\n"
		"latency read from_bytes=0 below_ns=1024 requests=2\n"
		"latency write from_bytes=1048576 below_ns=1048576 requests=1\n"
		"latency write from_bytes=134217728 below_ns=18446744073709551615 requests=1\n");
}

#define T(name)	cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_classes),
		cmocka_unit_test(durations_have_buckets),
		cmocka_unit_test(buckets_end_in_nanoseconds),
		T(clocks_that_disagree_count_as_short),
		T(the_short_way_counts_in_the_same_places),
		T(requests_are_counted_where_they_belong),
		T(all_cpus_are_added),
		T(nothing_is_counted_while_off),
		T(requests_across_the_switch_are_left_out),
		T(reset_begins_anew),
		cmocka_unit_test(off_from_the_beginning_is_empty),
		T(lines_say_size_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
