// SPDX-License-Identifier: MIT
/* The counters and the files that show them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-stat.h"

static void counts_of_all_cpus_are_added(void **state)
{
	u64 before = nvfs_stat_sum(NVFS_STAT_opens);
	int cpu;

	(void)state;
	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		per_cpu(nvfs_counters, cpu).v[NVFS_STAT_opens] += 1ULL << cpu;
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_opens), before + 15);
}

static void counters_do_not_mix(void **state)
{
	u64 opens = nvfs_stat_sum(NVFS_STAT_opens);
	u64 bytes = nvfs_stat_sum(NVFS_STAT_read_bytes);

	(void)state;
	nvfs_stat_inc(opens);
	nvfs_stat_add(read_bytes, 1ULL << 40);
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_opens), opens + 1);
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_read_bytes),
			 bytes + (1ULL << 40));
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_closes), 0);
}

/* One CPU's share may lie beyond the others': sums are modulo 2^64. */
static void sums_wrap_as_one_number(void **state)
{
	(void)state;
	per_cpu(nvfs_counters, 1).v[NVFS_STAT_kiocbs] = (u64)-5;
	per_cpu(nvfs_counters, 2).v[NVFS_STAT_kiocbs] = 12;
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_kiocbs), 7);
}

/* Lines of a file as "name value"; returns how many there are. */
static int check_lines(char *text)
{
	char *line, *rest = text;
	int n = 0;

	while ((line = strtok_r(NULL, "\n", &rest))) {
		char name[64], tail;
		unsigned long long value;

		assert_int_equal(sscanf(line, "%63[a-z_] %llu%c", name, &value,
					&tail), 2);
		n++;
	}
	return n;
}

static void each_counter_is_shown_once(void **state)
{
	static struct seq_file module, io;
	int shown;

	(void)state;
	nvfs_stat_show(&module, NVFS_STAT_GROUP_MODULE);
	nvfs_stat_show(&io, NVFS_STAT_GROUP_IO);
	assert_non_null(strstr(module.text, "regions_registered "));
	assert_null(strstr(io.text, "regions_registered "));
	assert_non_null(strstr(io.text, "read_direct_bytes "));
	assert_null(strstr(module.text, "read_direct_bytes "));
	shown = check_lines(module.text) + check_lines(io.text);
	assert_int_equal(shown, NVFS_STAT_NR);
}

static void values_are_the_sums(void **state)
{
	static struct seq_file m;
	char want[64];

	(void)state;
	nvfs_stat_add(write_bytes, 123456789);
	nvfs_stat_show(&m, NVFS_STAT_GROUP_IO);
	snprintf(want, sizeof(want), "\nwrite_bytes %llu\n",
		 (unsigned long long)nvfs_stat_sum(NVFS_STAT_write_bytes));
	assert_non_null(strstr(m.text, want));
}

static void reset_begins_anew(void **state)
{
	u64 total;

	(void)state;
	nvfs_stat_add(hole_bytes, 12);
	total = nvfs_stat_total(NVFS_STAT_hole_bytes);
	nvfs_stat_reset();
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_hole_bytes), 0);
	nvfs_stat_add(hole_bytes, 3);
	assert_int_equal(nvfs_stat_sum(NVFS_STAT_hole_bytes), 3);
	assert_int_equal(nvfs_stat_total(NVFS_STAT_hole_bytes), total + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_of_all_cpus_are_added),
		cmocka_unit_test(counters_do_not_mix),
		cmocka_unit_test(sums_wrap_as_one_number),
		cmocka_unit_test(each_counter_is_shown_once),
		cmocka_unit_test(values_are_the_sums),
		cmocka_unit_test(reset_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
