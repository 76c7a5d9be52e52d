// SPDX-License-Identifier: MIT
/* What NVIDIA's driver is asked when a queue of copies is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <string.h>

#include "gpu.h"
#include "lib_cuda_model.h"

static unsigned int destroyed;

static int succeed(void)
{
	return 0;
}

static int stream_create(void **stream, unsigned int flags, int priority)
{
	(void)flags;
	(void)priority;
	*stream = &destroyed;
	return 0;
}

static int stream_destroy(void *stream)
{
	assert_ptr_equal(stream, &destroyed);
	destroyed++;
	return 0;
}

static void *find(const char *name)
{
	if (!strcmp(name, "cuStreamCreateWithPriority"))
		return (void *)stream_create;
	if (!strcmp(name, "cuStreamDestroy_v2"))
		return (void *)stream_destroy;
	return (void *)succeed;
}

/* The driver faults when it is given what the application's reset took away. */
static void a_queue_of_a_reset_gpu_is_only_forgotten(void **state)
{
	void *queue;

	(void)state;
	gpu_cuda_bind_copies(find);
	assert_int_equal(gpu_cuda_copies.open(0, &queue), 0);
	gpu_cuda_copies.close(queue);
	assert_int_equal(destroyed, 1);
	assert_int_equal(gpu_cuda_copies.open(0, &queue), 0);
	context++;
	gpu_cuda_copies.close(queue);
	assert_int_equal(destroyed, 1);
	assert_int_equal(entered, 0);
	assert_int_equal(gpu_cuda_copies.context(0), context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_of_a_reset_gpu_is_only_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
