// SPDX-License-Identifier: MIT
/*
 * What NVIDIA's driver is asked before code on the GPU gets to work, against
 * one that knows two contexts and an address range that is mapped in part.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "gpu.h"
#include "lib_cuda_model.h"

#define RANGE	(1ULL << 40)
#define UNIT	(2ULL << 20)
#define INVALID	1

/* Of a range of four units only the second and third are mapped. */
static struct {
	uint64_t id;
	_Atomic bool loaded;
	bool whole;
	sigset_t blocked;
} driver;

bool gpu_cuda_in_use(unsigned int index)
{
	return !index;
}

static _Atomic bool translator_loaded, translator_ended;

static void end_translator(void)
{
	translator_ended = true;
}

/* As a library's own destructors: from when it is loaded, by whomever. */
void gpu_cuda_load_translator(void)
{
	if (!atomic_exchange(&translator_loaded, true))
		atexit(end_translator);
}

static int succeed(void)
{
	return 0;
}

static int ctx_current(void **ctx)
{
	assert_int_equal(entered, 1);
	*ctx = &driver;
	return 0;
}

/* The handle of the one after a reset is the same. */
static int ctx_id(void *ctx, uint64_t *id)
{
	assert_ptr_equal(ctx, &driver);
	*id = driver.id;
	return driver.id ? 0 : INVALID;
}

static int loading_mode(int *mode)
{
	*mode = 2;
	pthread_sigmask(SIG_SETMASK, NULL, &driver.blocked);
	driver.loaded = true;
	return 0;
}

static int attributes(unsigned int nr, const int *what, void **data,
		      uint64_t addr)
{
	const struct cuda_range range = { RANGE, 4 * UNIT, driver.whole };
	uint64_t unit = (addr - RANGE) / UNIT;

	assert_int_equal(entered, 1);
	if (addr - RANGE >= range.bytes)
		return INVALID;
	for (unsigned int i = 0; i < nr; i++)
		answer(&range, what[i], data[i], unit == 1 || unit == 2);
	return 0;
}

static void *find(const char *name)
{
	static const struct {
		const char *name;
		void *address;
	} known[] = {
		{ "cuCtxGetCurrent", (void *)ctx_current },
		{ "cuCtxGetId", (void *)ctx_id },
		{ "cuModuleGetLoadingMode", (void *)loading_mode },
		{ "cuPointerGetAttributes", (void *)attributes },
	};

	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(name, known[i].name))
			return known[i].address;
	}
	return (void *)succeed;
}

/* Not out of the cache: by a library that is loaded only now. */
static int translate(void **library)
{
	struct timespec pause = { .tv_nsec = 100000000 };

	gpu_cuda_load_translator();
	nanosleep(&pause, NULL);
	if (translator_ended)
		_exit(3);
	*library = NULL;
	return 0;
}

static void *find_with_translator(const char *name)
{
	return strcmp(name, "cuLibraryLoadData") ? find(name) :
						   (void *)translate;
}

/* Seen: it frees memory that the thread which makes the code still uses. */
static void exit_waits_before_the_translator_ends(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		uint64_t end = now_ns() + 20000000;

		gpu_cuda_bind_pumps(find_with_translator);
		while (gpu_cuda_pumps.prepare() == -EAGAIN && now_ns() < end)
			sched_yield();
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Once in a process; the thread that makes the code gets no signals. */
static void code_is_made_by_a_thread_without_signals(void **state)
{
	int ret;

	(void)state;
	gpu_cuda_bind_pumps(find);
	while ((ret = gpu_cuda_pumps.prepare()) == -EAGAIN)
		sched_yield();
	assert_int_equal(ret, 0);
	assert_true(driver.loaded);
	assert_true(sigismember(&driver.blocked, SIGTERM));
	assert_true(sigismember(&driver.blocked, SIGALRM));
	/* Nor do others lose theirs. */
	pthread_sigmask(SIG_SETMASK, NULL, &driver.blocked);
	assert_false(sigismember(&driver.blocked, SIGTERM));
}

static bool reaches(uint64_t from, uint64_t length)
{
	struct gpu_range around = { 7, 9 };
	bool ret = gpu_cuda_pumps.reaches(0, RANGE + from, length, &around);

	assert_int_equal(entered, 0);
	/* Or the next copy would be thought to be there. */
	assert_true(ret || (around.first == 7 && around.end == 9));
	return ret;
}

static void only_what_is_mapped_to_its_last_byte_is_reached(void **state)
{
	struct gpu_range around = { 7, 9 };

	(void)state;
	gpu_cuda_bind_pumps(find);
	assert_true(reaches(UNIT, 1));
	assert_true(reaches(UNIT, 65536));
	assert_true(reaches(3 * UNIT - 65536, 65536));
	assert_true(reaches(2 * UNIT - 5, 4096));
	assert_false(reaches(UNIT - 1, 4096));
	assert_false(reaches(3 * UNIT - 5, 6));
	assert_false(reaches(3 * UNIT, 16));
	assert_false(reaches(4 * UNIT - 5, 6));
	assert_false(gpu_cuda_pumps.reaches(1, RANGE + UNIT, 16, &around));
	assert_int_equal(around.first, 7);
	assert_int_equal(around.end, 9);
	driver.whole = true;
	assert_false(reaches(3 * UNIT, 16));
	assert_false(reaches(4 * UNIT - 5, 6));
	driver.whole = false;
}

/* What was mapped piece by piece may have holes; cuMemAlloc()'s has none. */
static void only_an_allocation_is_known_to_be_reached_as_a_whole(void **state)
{
	struct gpu_range around = { 0, 0 };

	(void)state;
	gpu_cuda_bind_pumps(find);
	assert_true(gpu_cuda_pumps.reaches(0, RANGE + UNIT, 16, &around));
	assert_int_equal(around.end, 0);
	driver.whole = true;
	assert_true(gpu_cuda_pumps.reaches(0, RANGE + UNIT, 16, &around));
	assert_int_equal(around.first, RANGE);
	assert_int_equal(around.end, RANGE + 4 * UNIT);
	driver.whole = false;
}

static void reset_is_found_out(void **state)
{
	void *pumps;

	(void)state;
	gpu_cuda_bind_pumps(find);
	while (gpu_cuda_pumps.prepare() == -EAGAIN)
		sched_yield();
	driver.id = 3;
	assert_int_equal(gpu_cuda_pumps.open(0, 1, &pumps), 0);
	assert_true(gpu_cuda_pumps.alive(pumps));
	/* There is none, and then another one. */
	driver.id = 0;
	assert_false(gpu_cuda_pumps.alive(pumps));
	driver.id = 4;
	assert_false(gpu_cuda_pumps.alive(pumps));
	gpu_cuda_pumps.close(pumps, false);
	assert_int_equal(entered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_waits_before_the_translator_ends),
		cmocka_unit_test(code_is_made_by_a_thread_without_signals),
		cmocka_unit_test(only_what_is_mapped_to_its_last_byte_is_reached),
		cmocka_unit_test(only_an_allocation_is_known_to_be_reached_as_a_whole),
		cmocka_unit_test(reset_is_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
