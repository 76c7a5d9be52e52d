// SPDX-License-Identifier: MIT
/*
 * Many requests in some streams, while others wait for the streams inside the
 * driver, or read in the usual way.  Built with AddressSanitizer and once more
 * with ThreadSanitizer.
 */
#include "stream_model.h"

#define ROOM		(4 * MIB)
#define SECONDS		3

static _Atomic int wrong;
static _Atomic bool halt;

/* Some are wrong from the begin, and some go beyond the end of the file. */
static struct args some_args(unsigned int *seed, off_t at)
{
	size_t most = rand_r(seed) % 3 ? 5000 : 1300000;
	struct args args = {
		.size = 1 + (size_t)rand_r(seed) % most,
		.offset = rand_r(seed) % (int)(FILE_BYTES + 1000),
		.at = at,
	};

	if (!(rand_r(seed) % 9))
		args.offset = -3;
	return args;
}

static ssize_t expected(const struct args *args)
{
	size_t left = FILE_BYTES - (size_t)args->offset;

	if (args->offset < 0)
		return -CU_FILE_INVALID_VALUE;
	if (args->offset >= (off_t)FILE_BYTES)
		return 0;
	return (ssize_t)(args->size < left ? args->size : left);
}

static void *put_many(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg, seed = self + 1;
	struct model_stream *stream = &model.streams[self];
	struct args args[6];

	while (!halt) {
		unsigned int nr = 1 + (unsigned int)rand_r(&seed) % 6;
		off_t at = (off_t)(self * ROOM);

		for (unsigned int i = 0; i < nr; i++) {
			args[i] = some_args(&seed, at);
			at += 560000;
			wrong += !!submit(&args[i], stream, false).err;
		}
		while (!model_is_idle(stream))
			model_nap();
		for (unsigned int i = 0; i < nr; i++)
			wrong += args[i].bytes != expected(&args[i]);
	}
	return NULL;
}

static void *wait_inside_often(void *unused)
{
	unsigned int seed = 7;

	(void)unused;
	while (!halt) {
		model_wait_inside(&model.streams[rand_r(&seed) % 4]);
		for (int i = rand_r(&seed) % 100; i > 0; i--)
			model_nap();
	}
	return NULL;
}

static void *read_in_the_usual_way(void *unused)
{
	(void)unused;
	while (!halt)
		wrong += cuFileRead(fh, fix.gpu + 17 * MIB, 2 * MIB, 5, 0) !=
			 (ssize_t)(2 * MIB);
	return NULL;
}

static void nobody_waits_for_ever(void **state)
{
	const struct timespec time = { .tv_sec = SECONDS };
	pthread_t threads[6];
	uint64_t addr = 0;

	(void)state;
	mock_gpu_free(0, (uintptr_t)fix.gpu);
	assert_int_equal(mock_gpu_alloc(0, 20 * MIB, &addr), 0);
	fix.gpu = (unsigned char *)(uintptr_t)addr;
	fix.room = 20 * MIB;
	for (uintptr_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < 4 ? put_many :
						i < 5 ? wait_inside_often :
						read_in_the_usual_way,
						(void *)i), 0);
	nanosleep(&time, NULL);
	halt = true;
	for (unsigned int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_waits_for_ever, setup,
						teardown),
	};

	return run_with_limit(tests, 1);
}
