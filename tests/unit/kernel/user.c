// SPDX-License-Identifier: MIT
/* Counters for each GPU, drive and process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-stat-user.h"

static struct pid pids[2];
struct pid *shim_pid = &pids[0];
kuid_t shim_euid;

static int on(void **state)
{
	(void)state;
	nvfs_user_switch(true);
	shim_pid = &pids[0];
	shim_euid.val = 1000;
	return 0;
}

static void count_one(const struct nvfs_user *user, void *data)
{
	(void)user;
	++*(int *)data;
}

static int users(void)
{
	int nr = 0;

	nvfs_user_each(count_one, &nr);
	return nr;
}

static void one_thing_has_one_user(void **state)
{
	struct nvfs_user *gpu = nvfs_user_get(NVFS_USER_GPU, 0x400);
	struct nvfs_user *same = nvfs_user_get(NVFS_USER_GPU, 0x400);
	struct nvfs_user *drive = nvfs_user_get(NVFS_USER_DRIVE, 0x400);
	struct nvfs_user *other = nvfs_user_get(NVFS_USER_GPU, 0x500);

	(void)state;
	assert_ptr_equal(gpu, same);
	assert_ptr_not_equal(gpu, drive);
	assert_ptr_not_equal(gpu, other);
	assert_int_equal(users(), 3);
	nvfs_user_add(gpu, NVFS_USER_read_bytes, 4096);
	nvfs_user_put(gpu);
	assert_int_equal(users(), 3);
	assert_int_equal(nvfs_user_sum(same, NVFS_USER_read_bytes), 4096);
	nvfs_user_put(same);
	nvfs_user_put(drive);
	nvfs_user_put(other);
	assert_int_equal(users(), 0);
	nvfs_user_put(NULL);
}

static void counters_do_not_mix(void **state)
{
	struct nvfs_user *a = nvfs_user_get(NVFS_USER_DRIVE, 1);
	struct nvfs_user *b = nvfs_user_get(NVFS_USER_DRIVE, 2);
	int i;

	(void)state;
	for (i = 0; i < NVFS_USER_COUNTER_NR; i++)
		nvfs_user_add(a, i, 1ULL << i);
	for (i = 0; i < NVFS_USER_COUNTER_NR; i++) {
		assert_int_equal(nvfs_user_sum(a, i), 1ULL << i);
		assert_int_equal(nvfs_user_sum(b, i), 0);
	}
	nvfs_user_put(a);
	nvfs_user_put(b);
}

static void all_cpus_are_added(void **state)
{
	struct nvfs_user *user = nvfs_user_get(NVFS_USER_GPU, 1);
	int cpu;

	(void)state;
	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		per_cpu_ptr(user->cpu, cpu)->v[NVFS_USER_errors] = 1ULL << cpu;
	assert_int_equal(nvfs_user_sum(user, NVFS_USER_errors), 15);
	nvfs_user_put(user);
}

static void nothing_is_counted_while_off(void **state)
{
	struct nvfs_user *user = nvfs_user_get(NVFS_USER_GPU, 1);

	(void)state;
	nvfs_user_add(user, NVFS_USER_refused, 1);
	nvfs_user_switch(false);
	nvfs_user_add(user, NVFS_USER_refused, 1);
	nvfs_user_add(NULL, NVFS_USER_refused, 1);
	nvfs_user_switch(true);
	nvfs_user_add(NULL, NVFS_USER_refused, 1);
	assert_int_equal(nvfs_user_sum(user, NVFS_USER_refused), 1);
	nvfs_user_put(user);
}

static void reset_begins_anew_for_all(void **state)
{
	struct nvfs_user *a = nvfs_user_get(NVFS_USER_GPU, 1);
	struct nvfs_user *b = nvfs_user_get(NVFS_USER_DRIVE, 1);

	(void)state;
	nvfs_user_add(a, NVFS_USER_write_bytes, 5);
	nvfs_user_add(b, NVFS_USER_write_bytes, 6);
	nvfs_user_reset();
	assert_int_equal(nvfs_user_sum(a, NVFS_USER_write_bytes), 0);
	assert_int_equal(nvfs_user_sum(b, NVFS_USER_write_bytes), 0);
	nvfs_user_add(b, NVFS_USER_write_bytes, 7);
	assert_int_equal(nvfs_user_sum(b, NVFS_USER_write_bytes), 7);
	nvfs_user_put(a);
	nvfs_user_put(b);
}

/* A process is its struct pid, which stays its own as long as it is held. */
static void processes_are_told_apart(void **state)
{
	struct nvfs_user *first = nvfs_user_get_process(), *again, *second;

	(void)state;
	assert_int_equal(first->kind, NVFS_USER_PROCESS);
	assert_int_equal(first->uid.val, 1000);
	assert_int_equal(pids[0].refs, 1);
	shim_euid.val = 0;
	again = nvfs_user_get_process();
	assert_ptr_equal(first, again);
	assert_int_equal(first->uid.val, 1000);
	assert_int_equal(pids[0].refs, 1);
	shim_pid = &pids[1];
	second = nvfs_user_get_process();
	assert_ptr_not_equal(first, second);
	assert_int_equal(second->uid.val, 0);
	nvfs_user_put(first);
	assert_int_equal(pids[0].refs, 1);
	nvfs_user_put(again);
	assert_int_equal(pids[0].refs, 0);
	nvfs_user_put(second);
	assert_int_equal(pids[1].refs, 0);
	assert_int_equal(users(), 0);
}

static void counters_have_names(void **state)
{
	(void)state;
	assert_string_equal(nvfs_user_counter_name(NVFS_USER_read_requests),
			    "read_requests");
	assert_string_equal(nvfs_user_counter_name(NVFS_USER_refused),
			    "refused");
}

#define T(name)	cmocka_unit_test_setup(name, on)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_thing_has_one_user),
		T(counters_do_not_mix),
		T(all_cpus_are_added),
		T(nothing_is_counted_while_off),
		T(reset_begins_anew_for_all),
		T(processes_are_told_apart),
		T(counters_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
