// SPDX-License-Identifier: MIT
/* Whose driver is used where there are none, one, or both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include "../../lib/gpu.c"

/* @init, @count: what these return. */
static struct vendor {
	int init, count;
	int inits, exits;
	bool in_use;
} cuda, hip;

static int cuda_init(void)
{
	cuda.inits++;
	return cuda.init;
}

static void cuda_exit(void)
{
	cuda.exits++;
}

static int cuda_count(void)
{
	return cuda.count;
}

static bool cuda_in_use(unsigned int index)
{
	return cuda.in_use && !index;
}

static int hip_init(void)
{
	hip.inits++;
	return hip.init;
}

static void hip_exit(void)
{
	hip.exits++;
}

static int hip_count(void)
{
	return hip.count;
}

static const struct gpu_pumps pumps = { .in_use = cuda_in_use };

const struct gpu_driver gpu_cuda = {
	.init = cuda_init,
	.exit = cuda_exit,
	.count = cuda_count,
	.pumps = &pumps,
};

const struct gpu_driver gpu_hip = {
	.init = hip_init,
	.exit = hip_exit,
	.count = hip_count,
};

static const struct gpu_driver *get(struct vendor first, struct vendor second,
				    int error)
{
	const struct gpu_driver *driver = NULL;

	cuda = first;
	hip = second;
	assert_int_equal(gpu_get(&driver), error);
	return driver;
}

static void put(void)
{
	gpu_put();
	assert_int_equal(cuda.exits, cuda.init ? 0 : cuda.inits);
	assert_int_equal(hip.exits, hip.init ? 0 : hip.inits);
}

static const struct vendor missing = { .init = -ENOSYS };
static const struct vendor empty = { .count = -ENODEV };
static const struct vendor none = { .count = 0 };
static const struct vendor dead = { .init = -ENODEV };
static const struct vendor broken = { .init = -EIO };
static const struct vendor works = { .count = 2 };

static void nvidia_comes_first(void **state)
{
	(void)state;
	assert_ptr_equal(get(works, works, 0), &gpu_cuda);
	assert_int_equal(hip.inits, 0);
	put();
	assert_ptr_equal(get(works, missing, 0), &gpu_cuda);
	put();
}

static void amd_is_used_where_nvidia_has_no_gpu(void **state)
{
	(void)state;
	assert_ptr_equal(get(missing, works, 0), &gpu_hip);
	put();
	assert_ptr_equal(get(dead, works, 0), &gpu_hip);
	put();
	assert_ptr_equal(get(empty, works, 0), &gpu_hip);
	assert_int_equal(cuda.exits, 1);
	put();
	assert_ptr_equal(get(none, works, 0), &gpu_hip);
	put();
}

static void what_keeps_a_vendor_out_is_told(void **state)
{
	(void)state;
	get(missing, missing, -ENOSYS);
	get(missing, empty, -ENODEV);
	assert_int_equal(hip.exits, 1);
	get(none, missing, -ENODEV);
	assert_int_equal(cuda.exits, 1);
	get(broken, missing, -EIO);
	get(broken, empty, -EIO);
	get(missing, broken, -EIO);
}

/* Also when its GPU has come since: addresses of the other mean nothing to it. */
static void vendor_stays_while_there_are_users(void **state)
{
	const struct gpu_driver *driver;

	(void)state;
	assert_ptr_equal(get(empty, works, 0), &gpu_hip);
	cuda = works;
	assert_int_equal(gpu_get(&driver), 0);
	assert_ptr_equal(driver, &gpu_hip);
	assert_int_equal(cuda.inits, 0);
	gpu_put();
	assert_int_equal(hip.exits, 0);
	gpu_put();
	assert_int_equal(hip.exits, 1);
	assert_ptr_equal(get(works, works, 0), &gpu_cuda);
	put();
}

static void driver_of_a_test_is_the_only_one(void **state)
{
	const struct gpu_driver *driver;

	(void)state;
	cuda = works;
	hip = none;
	gpu_set_driver(&gpu_hip);
	assert_int_equal(gpu_get(&driver), 0);
	assert_ptr_equal(driver, &gpu_hip);
	assert_int_equal(cuda.inits, 0);
	gpu_put();
	gpu_set_driver(NULL);
}

static void amds_driver_never_says_that_a_gpu_is_in_use(void **state)
{
	(void)state;
	cuda.in_use = false;
	assert_false(gpu_in_use(0));
	cuda.in_use = true;
	assert_true(gpu_in_use(0));
	assert_false(gpu_in_use(1));
	gpu_set_driver(&gpu_hip);
	assert_false(gpu_in_use(0));
	gpu_set_driver(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nvidia_comes_first),
		cmocka_unit_test(amd_is_used_where_nvidia_has_no_gpu),
		cmocka_unit_test(what_keeps_a_vendor_out_is_told),
		cmocka_unit_test(vendor_stays_while_there_are_users),
		cmocka_unit_test(driver_of_a_test_is_the_only_one),
		cmocka_unit_test(amds_driver_never_says_that_a_gpu_is_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
