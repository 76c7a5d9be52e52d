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
#include <string.h>

#include "gpu.h"

#define RANGE	(1ULL << 40)
#define UNIT	(2ULL << 20)
#define INVALID	1

/* Of a range of four units only the second and third are mapped. */
static struct {
	uint64_t id;
	int entered;
	_Atomic bool loaded;
	sigset_t blocked;
} driver;

/* In place of gpu_cuda.c. */

int gpu_cuda_enter(unsigned int index)
{
	if (index)
		return -ENODEV;
	driver.entered++;
	return 0;
}

void gpu_cuda_leave(void)
{
	driver.entered--;
}

int gpu_cuda_errno(int result)
{
	return result ? -EIO : 0;
}

bool gpu_cuda_in_use(unsigned int index)
{
	return !index;
}

static int succeed(void)
{
	return 0;
}

static int ctx_current(void **ctx)
{
	assert_int_equal(driver.entered, 1);
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

/* As the driver does: of which range, also where nothing is mapped. */
static int attributes(unsigned int nr, const int *what, void **data,
		      uint64_t addr)
{
	uint64_t unit = (addr - RANGE) / UNIT;

	assert_int_equal(driver.entered, 1);
	if (addr - RANGE >= 4 * UNIT)
		return INVALID;
	for (unsigned int i = 0; i < nr; i++) {
		switch (what[i]) {
		case 2:
			*(unsigned int *)data[i] = 2;
			break;
		case 8:
			*(unsigned int *)data[i] = 0;
			break;
		case 9:
			*(int *)data[i] = 0;
			break;
		case 11:
			*(uint64_t *)data[i] = RANGE;
			break;
		case 12:
			*(size_t *)data[i] = 4 * UNIT;
			break;
		case 16:
			*(unsigned int *)data[i] = unit == 1 || unit == 2 ? 3 :
									    0;
			break;
		default:
			fail_msg("attribute %d", what[i]);
		}
	}
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
	bool ret = gpu_cuda_pumps.reaches(0, RANGE + from, length);

	assert_int_equal(driver.entered, 0);
	return ret;
}

static void only_what_is_mapped_to_its_last_byte_is_reached(void **state)
{
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
	assert_false(gpu_cuda_pumps.reaches(1, RANGE + UNIT, 16));
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
	assert_int_equal(driver.entered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_is_made_by_a_thread_without_signals),
		cmocka_unit_test(only_what_is_mapped_to_its_last_byte_is_reached),
		cmocka_unit_test(reset_is_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
