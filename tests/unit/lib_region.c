// SPDX-License-Identifier: MIT
/* The handle, GPUs, buffers and regions. */
#include "lib_mock.h"

#include <sys/wait.h>

static struct nvfs *open_library(void)
{
	struct nvfs *nvfs;

	mock_expect_info();
	assert_int_equal(nvfs_open(0, &nvfs), 0);
	return nvfs;
}

static void open_maps_every_error(void **state)
{
	static const int errors[] = { ENOENT, EACCES, EPERM, ENXIO, ENODEV,
				      EMFILE };
	struct nvfs *nvfs;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		mock_open_errno = errors[i];
		assert_int_equal(nvfs_open(0, &nvfs), -errors[i]);
	}
	assert_int_equal(nvfs_open(2, &nvfs), -EINVAL);
	assert_int_equal(nvfs_open(0, NULL), -EINVAL);
}

/* NVIDIA's own nvidia-fs has the same device node, and other calls. */
static void open_refuses_another_driver(void **state)
{
	struct nvfs_info arg = { .size = sizeof(arg) };
	struct nvfs_info other = { .size = sizeof(arg),
				   .version_major = NVFS_VERSION_MAJOR + 1 };
	struct nvfs *nvfs;

	(void)state;
	mock_expect(NVFS_IOC_INFO, &arg, &arg, sizeof(arg), ENOTTY);
	assert_int_equal(nvfs_open(0, &nvfs), -EPROTO);
	mock_expect(NVFS_IOC_INFO, &arg, &other, sizeof(arg), 0);
	assert_int_equal(nvfs_open(0, &nvfs), -EPROTO);
}

static void info_is_passed_through(void **state)
{
	struct nvfs_info in = { .size = sizeof(in) };
	struct nvfs_info out = { .size = sizeof(out), .nr_regions = 3 };
	struct nvfs_info got = { .size = sizeof(got) };
	struct nvfs *nvfs = open_library();

	(void)state;
	mock_expect(NVFS_IOC_INFO, &in, &out, sizeof(in), 0);
	assert_int_equal(nvfs_get_info(nvfs, &got), 0);
	assert_int_equal(got.nr_regions, 3);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void query_by_gpu_sends_the_function(void **state)
{
	struct nvfs_query in = { .size = sizeof(in), .flags = NVFS_QUERY_GPU,
				 .fd = 9, .gpu = 0x3b00 };
	struct nvfs_query out = in;
	struct nvfs_query got = { .size = sizeof(got) };
	struct nvfs *nvfs = open_library();

	(void)state;
	out.distance = 4;
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), 0);
	assert_int_equal(nvfs_query_gpu(nvfs, 0x3b00, 9, &got), 0);
	assert_int_equal(got.distance, 4);
	got = (struct nvfs_query){ .size = sizeof(got) };
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), ENXIO);
	assert_int_equal(nvfs_query_gpu(nvfs, 0x3b00, 9, &got), -ENXIO);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void the_gpu_driver_is_loaded_late_and_once(void **state)
{
	struct nvfs *a = open_library(), *b = open_library();
	struct nvfs_gpu gpu;

	(void)state;
	assert_int_equal(mock_gpu_inits, 0);
	assert_int_equal(nvfs_gpu_count(a), 2);
	assert_int_equal(nvfs_gpu_get(b, 1, &gpu), 0);
	assert_int_equal(gpu.index, 1);
	assert_int_equal(gpu.bdf, 0x3c00);
	assert_string_equal(gpu.name, "Mock 1");
	assert_int_equal(nvfs_gpu_get(b, 2, &gpu), -ENODEV);
	assert_int_equal(mock_gpu_inits, 1);
	assert_int_equal(nvfs_close(a), 0);
	assert_int_equal(mock_gpu_exits, 0);
	assert_int_equal(nvfs_close(b), 0);
	assert_int_equal(mock_gpu_exits, 1);
}

static void no_gpu_library_is_an_error(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_buf *buf;

	(void)state;
	mock_gpu_missing = true;
	assert_int_equal(nvfs_gpu_count(nvfs), -ENOSYS);
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 1, &buf), -ENOSYS);
	assert_int_equal(nvfs_close(nvfs), 0);
	assert_int_equal(mock_gpu_exits, 0);
}

static void a_buffer_is_aligned_and_padded(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_buf *buf;

	(void)state;
	mock_gpu_misaligned = true;
	assert_int_equal(nvfs_buf_alloc(nvfs, 1, 65537, &buf), 0);
	assert_int_equal(nvfs_buf_addr(buf) % 65536, 0);
	assert_int_equal(nvfs_buf_length(buf), 65537);
	assert_int_equal(nvfs_buf_capacity(buf), 131072);
	assert_true(nvfs_buf_addr(buf) + 131072 <= mock_gpu_end);
	assert_int_equal(mock_gpu_live, 1);
	assert_int_equal(nvfs_buf_free(buf), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void bad_buffers_are_refused(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_buf *buf;

	(void)state;
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 0, &buf), -EINVAL);
	assert_int_equal(nvfs_buf_alloc(nvfs, 2, 1, &buf), -ENODEV);
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, UINT64_MAX, &buf),
			 -EOVERFLOW);
	mock_gpu_full = true;
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 1, &buf), -ENOMEM);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void copies_stay_inside_the_buffer(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_buf *buf;
	char bytes[16] = "fifteen letters";
	char got[16];

	(void)state;
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 4096, &buf), 0);
	assert_int_equal(nvfs_buf_copy_in(buf, 65520, bytes, 16), 0);
	assert_int_equal(nvfs_buf_copy_out(buf, 65520, got, 16), 0);
	assert_memory_equal(bytes, got, 16);
	assert_int_equal(nvfs_buf_copy_in(buf, 65521, bytes, 16), -ERANGE);
	assert_int_equal(nvfs_buf_copy_out(buf, UINT64_MAX, got, 16), -ERANGE);
	assert_int_equal(nvfs_buf_copy_out(buf, 8, got, UINT64_MAX), -ERANGE);
	mock_gpu_copy_error = -EIO;
	assert_int_equal(nvfs_buf_copy_out(buf, 0, got, 16), -EIO);
	assert_int_equal(nvfs_buf_free(buf), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void what_is_in_use_can_not_be_ended(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_region *region;
	struct nvfs_buf *buf;

	(void)state;
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 4096, &buf), 0);
	mock_expect_register(nvfs_buf_addr(buf), 65536, 0, 1, 0);
	assert_int_equal(nvfs_region_register(buf, 0, &region), 0);
	assert_int_equal(nvfs_close(nvfs), -EBUSY);
	assert_int_equal(nvfs_buf_free(buf), -EBUSY);
	mock_expect_unregister(1, 0);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_close(nvfs), -EBUSY);
	assert_int_equal(nvfs_buf_free(buf), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
	assert_int_equal(nvfs_region_unregister(NULL), 0);
	assert_int_equal(nvfs_buf_free(NULL), 0);
	assert_int_equal(nvfs_close(NULL), 0);
}

static void a_foreign_range_is_rounded_outwards(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_register reg = { .size = sizeof(reg) };
	struct nvfs_region *region;
	uint64_t addr, length;

	(void)state;
	/* 100 bytes before a block's end to 1 byte into the next but one. */
	mock_expect_register(0x10000, 0x3000, NVFS_REGISTER_PERSISTENT, 9, 0);
	assert_int_equal(nvfs_region_register_addr(nvfs, 1, 0x10f9c, 4197,
						   NVFS_REGION_PERSISTENT,
						   &region), 0);
	assert_int_equal(nvfs_region_length(region), 4197);
	nvfs_region_pinned(region, &addr, &length);
	assert_int_equal(addr, 0x10000);
	assert_int_equal(length, 0x3000);
	assert_int_equal(nvfs_region_describe(region, &reg), 0);
	assert_int_equal(reg.region, 9);
	assert_int_equal(reg.page_source, NVFS_PAGES_ZONE);
	/* Requests count from the caller's first byte, and end at the last. */
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 9, .fd = 4,
		.region_offset = 0xf9c + 100, .length = 4096,
		.done = 4096, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(region, 100, 4, 0, 4096, 0, NULL), 4096);
	assert_int_equal(nvfs_read(region, 100, 4, 0, 4098, 0, NULL), -ERANGE);
	mock_expect_unregister(9, 0);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void bad_ranges_are_refused(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_region *region;

	(void)state;
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 0, 0,
						   &region), -EINVAL);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 1, 4,
						   &region), -EINVAL);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 1, 0, NULL),
			 -EINVAL);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, UINT64_MAX, 2, 0,
						   &region), -EOVERFLOW);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, UINT64_MAX - 1, 1,
						   0, &region), -EOVERFLOW);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void register_errors_come_through(void **state)
{
	static const int errors[] = { EINVAL, EOPNOTSUPP, ENODEV, EPROTO,
				      EFAULT, ENXIO, ENOSPC, ENOMEM };
	struct nvfs *nvfs = open_library();
	struct nvfs_region *region;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		mock_expect_register(4096, 4096, 0, 0, errors[i]);
		assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 4096,
							   0, &region),
				 -errors[i]);
	}
	/* Allowed to fail: then it says so, and asks the module for nothing. */
	mock_expect_register(4096, 4096, 0, 0, ENXIO);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 4096,
						   NVFS_REGION_ALLOW_BOUNCE,
						   &region), 0);
	assert_int_equal(nvfs_region_error(region), -ENXIO);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void unregister_is_repeated_after_a_signal(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_region *region;

	(void)state;
	mock_expect_register(4096, 4096, 0, 2, 0);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 4096, 4096, 0,
						   &region), 0);
	mock_expect_unregister(2, EINTR);
	mock_expect_unregister(2, ENOENT);
	assert_int_equal(nvfs_region_unregister(region), -ENOENT);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void a_forked_child_is_refused(void **state)
{
	struct nvfs *nvfs = open_library();
	struct nvfs_buf *buf;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, 4096, &buf), 0);
	pid = fork();
	if (!pid) {
		struct nvfs_info info = { .size = sizeof(info) };
		char byte;
		int bad = 0;

		bad |= nvfs_gpu_count(nvfs) != -ECHILD;
		bad |= nvfs_get_info(nvfs, &info) != -ECHILD;
		bad |= nvfs_buf_copy_out(buf, 0, &byte, 1) != -ECHILD;
		bad |= nvfs_buf_free(buf) != -ECHILD;
		bad |= nvfs_close(nvfs) != -ECHILD;
		_exit(bad);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(nvfs_buf_free(buf), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(open_maps_every_error),
		mock_test(open_refuses_another_driver),
		mock_test(info_is_passed_through),
		mock_test(query_by_gpu_sends_the_function),
		mock_test(the_gpu_driver_is_loaded_late_and_once),
		mock_test(no_gpu_library_is_an_error),
		mock_test(a_buffer_is_aligned_and_padded),
		mock_test(bad_buffers_are_refused),
		mock_test(copies_stay_inside_the_buffer),
		mock_test(what_is_in_use_can_not_be_ended),
		mock_test(a_foreign_range_is_rounded_outwards),
		mock_test(bad_ranges_are_refused),
		mock_test(register_errors_come_through),
		mock_test(unregister_is_repeated_after_a_signal),
		mock_test(a_forked_child_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
