// SPDX-License-Identifier: MIT
/* How many CPUs other programs want. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "room.h"

#define MS	1000000ULL
#define BUSY	3U
#define IDLE	200U

static int runs;
static unsigned int looks;

static int count(void)
{
	looks++;
	return runs;
}

static void rest(uint64_t ms)
{
	struct timespec pause = { (time_t)(ms / 1000), (long)(ms % 1000 * MS) };

	nanosleep(&pause, NULL);
}

static unsigned int cpus(void)
{
	return (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
}

static int setup(void **state)
{
	(void)state;
	looks = 0;
	runs = 0;
	room_set_running(count);
	room_open(cpus());
	return 0;
}

/* One that is not too early. */
static void look_with_naps(int running, unsigned int ours, unsigned int naps)
{
	unsigned int before = looks;

	runs = running;
	while (looks == before)
		room_look(ours, naps);
}

static void look(int running, unsigned int ours)
{
	look_with_naps(running, ours, 0);
}

static void others_are_all_that_run_but_ours(void **state)
{
	(void)state;
	assert_int_equal(room_others(), 0);
	look(7, 3);
	assert_int_equal(room_others(), 4);
}

/* Else others would be gone while all of ours nap, and all of ours awake at once. */
static void those_who_nap_change_nothing(void **state)
{
	(void)state;
	look(10, 4);
	assert_int_equal(room_others(), 6);
	for (int napping = 0; napping <= 4; napping++) {
		look_with_naps(10 - napping, 4, 4);
		assert_int_equal(room_others(), 6);
	}
	/* But if fewer are left than there were. */
	look_with_naps(4, 4, 4);
	assert_int_equal(room_others(), 4);
}

static void fewer_than_ours_are_no_others(void **state)
{
	(void)state;
	look(2, 3);
	assert_int_equal(room_others(), 0);
	look(0, 0);
	assert_int_equal(room_others(), 0);
}

static void what_is_not_told_is_nobody(void **state)
{
	(void)state;
	look(-1, 0);
	assert_int_equal(room_others(), 0);
}

static void looks_are_rare(void **state)
{
	uint64_t began = now_ns();

	(void)state;
	do
		room_look(0, 0);
	while (now_ns() < began + 105 * MS);
	assert_in_range(looks, 1, (now_ns() - began) / (10 * MS) + 1);
}

static void a_moment_does_not_count(void **state)
{
	(void)state;
	look(0, 0);
	for (unsigned int i = 0; i < 3; i++) {
		look(5, 0);
		assert_int_equal(room_others(), 0);
	}
	look(5, 0);
	assert_int_equal(room_others(), 5);
	/* Nor may we overlook who has gone. */
	look(2, 0);
	assert_int_equal(room_others(), 2);
}

static void what_was_long_ago_is_forgotten(void **state)
{
	(void)state;
	look(0, 0);
	rest(1100);
	look(5, 0);
	assert_int_equal(room_others(), 5);
	rest(1100);
	assert_int_equal(room_others(), 0);
	look(1, 0);
	assert_int_equal(room_others(), 1);
}

static _Atomic bool go_on;

static void *want_a_cpu(void *arg)
{
	while (go_on)
		;
	return arg;
}

static void *want_none(void *arg)
{
	while (go_on)
		rest(50);
	return arg;
}

/*
 * What the kernel says: more may run than those here, but not fewer; and not those
 * who sleep, of whom there are more here than may run elsewhere.
 */
static void kernel_counts_who_runs(void **state)
{
	pthread_t threads[BUSY + IDLE];
	uint64_t end = now_ns() + 60000 * MS;

	(void)state;
	room_set_running(NULL);
	go_on = true;
	for (unsigned int i = 0; i < BUSY + IDLE; i++)
		pthread_create(&threads[i], NULL,
			       i < BUSY ? want_a_cpu : want_none, NULL);
	while (room_others() < BUSY + 1 && now_ns() < end)
		room_look(0, 0);
	/* This thread runs, too. */
	assert_in_range(room_others(), BUSY + 1, IDLE);
	go_on = false;
	for (unsigned int i = 0; i < BUSY + IDLE; i++)
		pthread_join(threads[i], NULL);
}

/* Who runs may do so on CPUs that this process can't have. */
static void nobody_counts_with_fewer_cpus_than_the_machine(void **state)
{
	uint64_t end = now_ns() + 100 * MS;

	(void)state;
	room_set_running(NULL);
	room_open(cpus() - 1);
	while (now_ns() < end)
		room_look(0, 0);
	assert_int_equal(room_others(), 0);
	room_open(cpus());
	while (!room_others() && now_ns() < end + 60000 * MS)
		room_look(0, 0);
	assert_true(room_others() > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(others_are_all_that_run_but_ours, setup),
		cmocka_unit_test_setup(those_who_nap_change_nothing, setup),
		cmocka_unit_test_setup(fewer_than_ours_are_no_others, setup),
		cmocka_unit_test_setup(what_is_not_told_is_nobody, setup),
		cmocka_unit_test_setup(looks_are_rare, setup),
		cmocka_unit_test_setup(a_moment_does_not_count, setup),
		cmocka_unit_test_setup(what_was_long_ago_is_forgotten, setup),
		cmocka_unit_test_setup(kernel_counts_who_runs, setup),
		cmocka_unit_test_setup(nobody_counts_with_fewer_cpus_than_the_machine,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
