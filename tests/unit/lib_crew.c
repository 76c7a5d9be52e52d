// SPDX-License-Identifier: MIT
/* The engine's threads: tasks that are offered and taken back, and who sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common.h"
#include "crew.h"
#include "host.h"
#include "room.h"

#include "lib_threads.h"

#define OWNERS		3U
#define HELPERS		4U
#define ROUNDS		4000U
#define MS		1000000ULL
/* Long enough that nobody sleeps for that reason while a test runs. */
#define SPIN_US		1000000U

/* What is drawn by those who work on it; gone when its owner has it back. */
struct offer {
	struct crew_task task;
	_Atomic unsigned int left;
	_Atomic unsigned int done;
};

static void draw(struct crew_task *task)
{
	struct offer *offer = (struct offer *)task;
	unsigned int left = atomic_load(&offer->left);

	while (left) {
		if (atomic_compare_exchange_weak(&offer->left, &left, left - 1))
			atomic_fetch_add(&offer->done, 1);
	}
}

static void give(struct offer *offer, unsigned int parts, unsigned int nr)
{
	memset(offer, 0, sizeof(*offer));
	offer->task.work = draw;
	atomic_store(&offer->left, parts);
	crew_offer(&offer->task, nr, nr);
}

/* Its memory is used for something else as soon as it is taken back. */
static void *offer_often(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;
	struct offer *offer = malloc(sizeof(*offer));
	uintptr_t wrong = !offer;

	for (unsigned int i = 0; i < ROUNDS && !wrong; i++) {
		unsigned int parts = (unsigned int)rand_r(&seed) % 40;

		give(offer, parts, 1 + (unsigned int)rand_r(&seed) % HELPERS);
		if (rand_r(&seed) % 2)
			draw(&offer->task);
		if (rand_r(&seed) % 2)
			crew_recall(&offer->task);
		draw(&offer->task);
		crew_retract(&offer->task);
		wrong += atomic_load(&offer->done) != parts;
		memset(offer, 0xa5, sizeof(*offer));
	}
	free(offer);
	return (void *)wrong;
}

static void offered_task_is_its_owners_again(void **state)
{
	pthread_t owners[OWNERS];

	(void)state;
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	for (unsigned int i = 0; i < OWNERS; i++)
		assert_int_equal(pthread_create(&owners[i], NULL, offer_often,
						(void *)(uintptr_t)(i + 1)), 0);
	for (unsigned int i = 0; i < OWNERS; i++) {
		void *wrong;

		pthread_join(owners[i], &wrong);
		assert_null(wrong);
	}
	crew_close();
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000ULL + (uint64_t)used.tv_nsec;
}

/* How much all threads use in a while. */
static uint64_t used_in(uint64_t ms)
{
	struct timespec pause = { .tv_nsec = (long)(ms * MS) };
	uint64_t before = cpu_ns();

	nanosleep(&pause, NULL);
	return cpu_ns() - before;
}

/* Until one of them has done something. */
static void wake_all(void)
{
	uint64_t end = now_ns() + 10000 * MS;
	struct offer offer;

	give(&offer, 1000, HELPERS);
	while (!atomic_load(&offer.done) && now_ns() < end)
		sched_yield();
	assert_true(atomic_load(&offer.done) > 0);
	crew_retract(&offer.task);
}

static _Atomic bool go_on;
static _Atomic unsigned int asleep;

/* Works without using its CPU, so that only those who look do. */
static void sleep_inside(struct crew_task *task)
{
	struct timespec pause = { .tv_nsec = MS };

	(void)task;
	atomic_fetch_add(&asleep, 1);
	while (!atomic_load(&go_on))
		nanosleep(&pause, NULL);
}

static _Atomic bool posted;

static void nothing(struct crew_task *task)
{
	(void)task;
}

static void say_posted(struct crew_task *task)
{
	(void)task;
	atomic_store(&posted, true);
}

/* Those that work have their CPUs. */
static void threads_leave_cpus_to_those_that_work(void **state)
{
	struct crew_task task = { .work = sleep_inside };
	struct crew_task other = { .work = nothing, .end = say_posted };
	struct crew_task *one = &other;
	uint64_t end = now_ns() + 10000 * MS;
	unsigned int cpus = crew_cpus();

	(void)state;
	if (cpus == 1)
		skip();
	assert_int_equal(crew_open(cpus + 1, SPIN_US), 0);
	crew_offer(&task, cpus, cpus);
	while (atomic_load(&asleep) < cpus && now_ns() < end)
		sched_yield();
	assert_int_equal(atomic_load(&asleep), cpus);
	/* One that is left over comes for this. */
	assert_int_equal(crew_post(&one, 1), 0);
	while (!atomic_load(&posted) && now_ns() < end)
		sched_yield();
	assert_true(atomic_load(&posted));
	used_in(100);
	assert_true(used_in(200) < 20 * MS);
	atomic_store(&go_on, true);
	crew_retract(&task);
	crew_close();
}

static unsigned int threads_first;

static void *end_at_once(void *arg)
{
	return arg;
}

/* A sanitizer has one of its own, from when there are some. */
static void count_threads(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, end_at_once, NULL);
	pthread_join(thread, NULL);
	threads_first = threads_now();
	for (unsigned int i = 0; i < 50; i++) {
		unsigned int nr = threads_now();

		if (nr < threads_first)
			threads_first = nr;
		usleep(1000);
	}
}

/* Those that were joined are seen for a moment. */
static unsigned int threads_after_those(void)
{
	uint64_t end = now_ns() + 10000 * MS;

	while (threads_now() > threads_first && now_ns() < end)
		sched_yield();
	assert_int_equal(threads_now(), threads_first);
	return threads_first;
}

/* Of threads that look for work some may be enough: then no others are called. */
static void others_are_called_where_fewer_than_that_look(void **state)
{
	struct crew_task task = { .work = nothing };
	uint64_t end = now_ns() + 30000 * MS;
	bool looks = false;
	unsigned int nr;

	(void)state;
	if (crew_cpus() == 1)
		skip();
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	nr = threads_after_those();
	crew_offer(&task, 1, 0);
	crew_retract(&task);
	assert_int_equal(threads_now(), nr);
	crew_offer(&task, 1, 1);
	crew_retract(&task);
	assert_int_equal(threads_now(), nr + 1);
	/* Where nobody looks they are called, and may come a moment later. */
	for (unsigned int met = 0; met < 100; met += looks) {
		assert_true(now_ns() < end);
		if (!looks) {
			used_in(20);
			nr = threads_now();
		}
		crew_offer(&task, 2, 1);
		looks = task.handed;
		crew_retract(&task);
		if (looks)
			assert_int_equal(threads_now(), nr);
	}
	crew_close();
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	nr = threads_after_those();
	while (threads_now() < nr + 2 && now_ns() < end) {
		crew_offer(&task, 2, 2);
		crew_retract(&task);
	}
	assert_true(threads_now() >= nr + 2);
	crew_close();
}

/* They look for work, but not on CPUs that others want. */
static void threads_leave_cpus_to_requests(void **state)
{
	int cpus;

	(void)state;
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	cpus = (int)crew_cpus();
	if (cpus == 1) {
		crew_close();
		skip();
	}
	wake_all();
	assert_true(used_in(100) > MS);
	crew_own_add(cpus);
	used_in(100);
	assert_true(used_in(200) < 20 * MS);
	crew_own_add(-cpus);
	/* They come back when they are called. */
	wake_all();
	crew_close();
}

static bool never(const void *what)
{
	(void)what;
	return false;
}

static bool third_time(const void *what)
{
	return ++*(unsigned int *)(uintptr_t)what == 3;
}

static void lingering_ends_in_time(void **state)
{
	unsigned int asked = 0;
	uint64_t began;

	(void)state;
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	began = now_ns();
	host_linger(never, NULL, 0);
	host_linger(never, NULL, 1000);
	/* As long as the pool's threads do. */
	host_linger(never, NULL, -1);
	assert_true(now_ns() - began < 5000 * MS);
	if (crew_cpus() > 1) {
		host_linger(third_time, &asked, -1);
		assert_int_equal(asked, 3);
	}
	crew_close();
}

/* Of other programs. */
static int running;

static int count_running(void)
{
	return running;
}

static void open_beside(unsigned int others)
{
	running = (int)others;
	room_set_running(count_running);
	assert_int_equal(crew_open(HELPERS, SPIN_US), 0);
	crew_look_around();
	assert_int_equal(room_others(), others);
}

static void close_beside(void)
{
	crew_close();
	room_set_running(NULL);
}

static void what_others_leave_is_ours_if_that_is_enough(void **state)
{
	unsigned int cpus = crew_cpus();

	(void)state;
	if (cpus == 1)
		skip();
	open_beside(0);
	assert_int_equal(crew_room(), cpus);
	assert_false(crew_is_short());
	close_beside();

	open_beside(cpus - 1);
	crew_busy_add(1);
	assert_int_equal(crew_room(), 1);
	assert_true(crew_is_short());
	crew_busy_add(1);
	assert_int_equal(crew_room(), cpus);
	crew_busy_add(-2);
	close_beside();

	open_beside(cpus);
	assert_int_equal(crew_room(), cpus);
	assert_true(crew_is_short());
	close_beside();
}

/* How often this thread has slept while it relaxed so often, after 20 us. */
static unsigned int naps_in(unsigned int times)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	for (unsigned int i = 0; i < times; i++)
		crew_relax(600);
	getrusage(RUSAGE_THREAD, &after);
	return (unsigned int)(after.ru_nvcsw - before.ru_nvcsw);
}

static void waits_sleep_where_others_want_every_cpu(void **state)
{
	unsigned int cpus = crew_cpus();

	(void)state;
	open_beside(cpus);
	assert_in_range(naps_in(20), 18, 22);
	close_beside();
	if (cpus == 1)
		skip();
	/* One is left, for this thread; and not for two. */
	open_beside(cpus - 1);
	crew_own_add(1);
	assert_in_range(naps_in(20), 0, 5);
	crew_own_add(1);
	assert_in_range(naps_in(20), 18, 22);
	crew_own_add(-2);
	close_beside();
}

/* A thread that lingers runs, and is one of ours. */
static bool nobody_else(const void *what)
{
	(void)what;
	crew_look_around();
	assert_int_equal(room_others(), 0);
	return false;
}

static void who_lingers_is_no_other(void **state)
{
	(void)state;
	open_beside(0);
	running = 1;
	host_linger(nobody_else, NULL, 60 * MS);
	close_beside();
}

static uint64_t time_of_lingering(unsigned int times)
{
	uint64_t began = now_ns();

	while (times--)
		host_linger(never, NULL, 50000);
	return now_ns() - began;
}

/* Where each look takes a nap: 0.15 ms, and 1.7 if the clock is looked at rarely. */
static void lingering_ends_in_time_where_others_want_cpus(void **state)
{
	uint64_t least = UINT64_MAX;

	(void)state;
	if (crew_cpus() == 1)
		skip();
	open_beside(crew_cpus());
	/* Whatever else this machine does. */
	for (unsigned int i = 0; i < 50; i++)
		least = min64(least, time_of_lingering(4));
	assert_true(least < 4 * MS);
	close_beside();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offered_task_is_its_owners_again),
		cmocka_unit_test(others_are_called_where_fewer_than_that_look),
		cmocka_unit_test(threads_leave_cpus_to_requests),
		cmocka_unit_test(threads_leave_cpus_to_those_that_work),
		cmocka_unit_test(lingering_ends_in_time),
		cmocka_unit_test(what_others_leave_is_ours_if_that_is_enough),
		cmocka_unit_test(who_lingers_is_no_other),
		cmocka_unit_test(lingering_ends_in_time_where_others_want_cpus),
		cmocka_unit_test(waits_sleep_where_others_want_every_cpu),
	};

	count_threads();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
