// SPDX-License-Identifier: MIT
/* Counters for each GPU, drive and process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-stat-user.h"
#include "nvfs-trace-watch.h"

static struct pid pids[2];
struct pid *shim_pid = &pids[0];
kuid_t shim_euid;

static int off(void **state)
{
	(void)state;
	nvfs_user_exit();
	return 0;
}

static int on(void **state)
{
	(void)state;
	shim_pid = &pids[0];
	shim_euid.val = 1000;
	nvfs_user_switch(true);
	return nvfs_user_init();
}

static void count_one(const struct nvfs_user *user, void *data)
{
	(void)user;
	++*(int *)data;
}

static int users(void)
{
	int nr = 0;

	nvfs_user_each(NVFS_USER_GPU, count_one, &nr);
	nvfs_user_each(NVFS_USER_DRIVE, count_one, &nr);
	nvfs_user_each(NVFS_USER_PROCESS, count_one, &nr);
	/* but those of nobody */
	return nr - 2;
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
	assert_int_equal(nvfs_user_sum(same, NVFS_USER_read_bytes), 4096);
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
}

static void all_cpus_are_added(void **state)
{
	struct nvfs_user *user = nvfs_user_get(NVFS_USER_GPU, 1);
	int cpu;

	(void)state;
	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		per_cpu_ptr(user->cpu, cpu)->v[NVFS_USER_errors] = 1ULL << cpu;
	assert_int_equal(nvfs_user_sum(user, NVFS_USER_errors), 15);
}

/* Who counts asks first; then somebody watches, too. */
static void counting_is_watching(void **state)
{
	(void)state;
	assert_true(nvfs_users_counted());
	assert_true(nvfs_is_watched());
	nvfs_user_switch(true);
	nvfs_user_switch(false);
	assert_false(nvfs_users_counted());
	assert_false(nvfs_is_watched());
}

static void disks_stand_on_drives(void **state)
{
	const struct nvfs_user *drive;

	(void)state;
	assert_int_equal(nvfs_user_of_disk(7)->id, NVFS_USER_NOBODY);
	nvfs_user_add_disk(7, 0x300);
	nvfs_user_add_disk(7 + 64, 0x400);
	nvfs_user_add_disk(8, 0x300);
	nvfs_user_add_disk(8, 0x500);
	drive = nvfs_user_of_disk(7);
	assert_int_equal(drive->kind, NVFS_USER_DRIVE);
	assert_int_equal(drive->id, 0x300);
	assert_ptr_equal(nvfs_user_of_disk(8), drive);
	assert_int_equal(nvfs_user_of_disk(7 + 64)->id, 0x400);
	assert_int_equal(nvfs_user_of_disk(0)->id, NVFS_USER_NOBODY);
	assert_int_equal(nvfs_user_of_disk(7 + 128)->id, NVFS_USER_NOBODY);
}

static void find_nobody(const struct nvfs_user *user, void *data)
{
	if (user->id == NVFS_USER_NOBODY)
		*(const struct nvfs_user **)data = user;
}

static void processes_that_end_are_added_up(void **state)
{
	struct nvfs_user *process = nvfs_user_get_process();
	const struct nvfs_user *ended = NULL;

	(void)state;
	nvfs_user_each(NVFS_USER_PROCESS, find_nobody, &ended);
	assert_non_null(ended);
	nvfs_user_reset();
	nvfs_user_add(process, NVFS_USER_read_bytes, 5);
	nvfs_user_reset();
	nvfs_user_add(process, NVFS_USER_read_bytes, 3);
	assert_int_equal(nvfs_user_sum(ended, NVFS_USER_read_bytes), 0);
	nvfs_user_put(process);
	assert_int_equal(nvfs_user_sum(ended, NVFS_USER_read_bytes), 3);
	nvfs_user_reset();
	assert_int_equal(nvfs_user_sum(ended, NVFS_USER_read_bytes), 0);
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
}

/* A process is its struct pid, which stays its own as long as it is held. */
static void processes_are_told_apart(void **state)
{
	struct nvfs_user *first = nvfs_user_get_process();
	struct nvfs_user *again = nvfs_user_get_process(), *other, *second;

	(void)state;
	assert_int_equal(first->kind, NVFS_USER_PROCESS);
	assert_int_equal(first->uid.val, 1000);
	assert_ptr_equal(first, again);
	assert_int_equal(pids[0].refs, 1);
	/* the same process as another user */
	shim_euid.val = 0;
	other = nvfs_user_get_process();
	assert_ptr_not_equal(first, other);
	assert_int_equal(other->uid.val, 0);
	assert_int_equal(first->uid.val, 1000);
	shim_pid = &pids[1];
	second = nvfs_user_get_process();
	assert_ptr_not_equal(other, second);
	nvfs_user_put(first);
	nvfs_user_put(other);
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

#define T(name)	cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_thing_has_one_user),
		T(counters_do_not_mix),
		T(all_cpus_are_added),
		T(counting_is_watching),
		T(disks_stand_on_drives),
		T(processes_that_end_are_added_up),
		T(reset_begins_anew_for_all),
		T(processes_are_told_apart),
		T(counters_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
