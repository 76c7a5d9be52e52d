// SPDX-License-Identifier: MIT
/* Mappings: which part of the device's file is asked for, and what comes back. */
#include "lib_mock.h"

#include <sys/wait.h>

#define OFFSET	0x10000003000ULL
#define LENGTH	0x9000ULL

static struct {
	unsigned int calls;
	uint64_t offset;
	uint64_t length;
	int prot;
	int error;
} asked;

static void *fake_map(int fd, uint64_t offset, uint64_t length, int prot)
{
	assert_true(fd >= 0);
	asked.calls++;
	asked.offset = offset;
	asked.length = length;
	asked.prot = prot;
	if (asked.error) {
		errno = asked.error;
		return MAP_FAILED;
	}
	return mmap(NULL, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static struct abi_seam seam;

static void begin(void)
{
	memset(&asked, 0, sizeof(asked));
	seam = mock_seam;
	seam.map = fake_map;
	abi_set_seam(&seam);
}

static struct nvfs *open_library(void)
{
	struct nvfs *nvfs;

	mock_expect_info();
	assert_int_equal(nvfs_open(0, &nvfs), 0);
	return nvfs;
}

/* A region of [@addr, +@length) at @offset of the device's file. */
static struct nvfs_region *make_region(struct nvfs *nvfs, uint64_t addr,
				       uint64_t length, uint64_t offset)
{
	struct nvfs_register in = {
		.size = sizeof(in),
		.source = NVFS_SOURCE_P2P,
		.fd = -1,
		.addr = addr / 4096 * 4096,
		.length = (addr % 4096 + length + 4095) / 4096 * 4096,
	};
	struct nvfs_register out = in;
	struct nvfs_region *region;

	out.region = 7;
	out.mmap_offset = offset;
	mock_expect(NVFS_IOC_REGISTER, &in, &out, sizeof(in), 0);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, addr, length, 0,
						   &region), 0);
	return region;
}

static void end(struct nvfs *nvfs, struct nvfs_region *region)
{
	mock_expect_unregister(7, 0);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void map_asks_for_whole_pages(void **state)
{
	struct nvfs *nvfs;
	struct nvfs_region *region;
	void *at;

	(void)state;
	begin();
	nvfs = open_library();
	region = make_region(nvfs, 0x5000, LENGTH, OFFSET);
	assert_int_equal(nvfs_region_map(region, 0, LENGTH, 0, &at), 0);
	assert_int_equal(asked.offset, OFFSET);
	assert_int_equal(asked.length, LENGTH);
	assert_int_equal(asked.prot, PROT_READ | PROT_WRITE);
	assert_int_equal((uintptr_t)at % 4096, 0);
	assert_int_equal(nvfs_region_unmap(at, LENGTH), 0);

	assert_int_equal(nvfs_region_map(region, 0x2ffe, 4, NVFS_MAP_READ_ONLY,
					 &at), 0);
	assert_int_equal(asked.offset, OFFSET + 0x2000);
	assert_int_equal(asked.length, 0x2000);
	assert_int_equal(asked.prot, PROT_READ);
	assert_int_equal((uintptr_t)at % 4096, 0xffe);
	assert_int_equal(nvfs_region_unmap(at, 4), 0);
	/* what was mapped is gone, to the last page */
	assert_int_equal(msync((char *)at - 0xffe, 0x2000, MS_ASYNC), -1);
	assert_int_equal(errno, ENOMEM);
	end(nvfs, region);
}

static void map_counts_from_the_first_byte_of_the_region(void **state)
{
	struct nvfs *nvfs;
	struct nvfs_region *region;
	void *at;

	(void)state;
	begin();
	nvfs = open_library();
	/* what is pinned begins 0xf9c before it */
	region = make_region(nvfs, 0x10f9c, 4197, OFFSET);
	assert_int_equal(nvfs_region_map(region, 0, 4197, 0, &at), 0);
	assert_int_equal(asked.offset, OFFSET);
	assert_int_equal(asked.length, 0x3000);
	assert_int_equal((uintptr_t)at % 4096, 0xf9c);
	assert_int_equal(nvfs_region_unmap(at, 4197), 0);
	assert_int_equal(nvfs_region_map(region, 100, 1, 0, &at), 0);
	assert_int_equal(asked.offset, OFFSET + 0x1000);
	assert_int_equal(asked.length, 0x1000);
	assert_int_equal((uintptr_t)at % 4096, 0);
	assert_int_equal(nvfs_region_unmap(at, 1), 0);
	end(nvfs, region);
}

static void map_refuses_before_it_asks(void **state)
{
	struct nvfs *nvfs;
	struct nvfs_region *region, *other;
	void *at = &at;

	(void)state;
	begin();
	nvfs = open_library();
	region = make_region(nvfs, 0x5000, LENGTH, OFFSET);
	assert_int_equal(nvfs_region_map(region, 0, 0, 0, &at), -EINVAL);
	assert_int_equal(nvfs_region_map(region, 0, 1, 2, &at), -EINVAL);
	assert_int_equal(nvfs_region_map(region, 0, 1, 0, NULL), -EINVAL);
	assert_int_equal(nvfs_region_map(region, 0, LENGTH + 1, 0, &at),
			 -ERANGE);
	assert_int_equal(nvfs_region_map(region, LENGTH, 1, 0, &at), -ERANGE);
	assert_int_equal(nvfs_region_map(region, 1, UINT64_MAX, 0, &at),
			 -ERANGE);
	assert_int_equal(nvfs_region_map(region, UINT64_MAX, 1, 0, &at),
			 -ERANGE);
	other = make_region(nvfs, 0x5000, LENGTH, 0);
	assert_int_equal(nvfs_region_map(other, 0, 1, 0, &at), -EOPNOTSUPP);
	assert_int_equal(asked.calls, 0);
	assert_ptr_equal(at, &at);
	mock_expect_unregister(7, 0);
	assert_int_equal(nvfs_region_unregister(other), 0);
	assert_int_equal(nvfs_region_unmap(NULL, 5), 0);
	assert_int_equal(nvfs_region_unmap((void *)0x5000, 0), -EINVAL);
	assert_int_equal(nvfs_region_unmap((void *)0x5001, UINT64_MAX),
			 -EINVAL);
	end(nvfs, region);
}

static void map_passes_on_what_the_kernel_says(void **state)
{
	static const int errors[] = { ESTALE, ENOMEM, ENXIO, EAGAIN };
	struct nvfs *nvfs;
	struct nvfs_region *region;
	void *at = &at;

	(void)state;
	begin();
	nvfs = open_library();
	region = make_region(nvfs, 0x5000, LENGTH, OFFSET);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		asked.error = errors[i];
		assert_int_equal(nvfs_region_map(region, 0, 1, 0, &at),
				 -errors[i]);
		assert_ptr_equal(at, &at);
	}
	end(nvfs, region);
}

static void map_of_a_refused_region_is_its_error(void **state)
{
	struct nvfs *nvfs;
	struct nvfs_region *region;
	void *at;

	(void)state;
	begin();
	nvfs = open_library();
	mock_expect_register(0x5000, LENGTH, 0, 7, EFAULT);
	assert_int_equal(nvfs_region_register_addr(nvfs, 0, 0x5000, LENGTH,
						   NVFS_REGION_ALLOW_BOUNCE,
						   &region), 0);
	assert_int_equal(nvfs_region_map(region, 0, 1, 0, &at), -EFAULT);
	assert_int_equal(asked.calls, 0);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void map_in_a_child_is_echild(void **state)
{
	struct nvfs *nvfs;
	struct nvfs_region *region;
	void *at;
	int status;
	pid_t pid;

	(void)state;
	begin();
	nvfs = open_library();
	region = make_region(nvfs, 0x5000, LENGTH, OFFSET);
	pid = fork();
	if (!pid)
		_exit(nvfs_region_map(region, 0, 1, 0, &at) != -ECHILD);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	end(nvfs, region);
}



int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(map_asks_for_whole_pages),
		mock_test(map_counts_from_the_first_byte_of_the_region),
		mock_test(map_refuses_before_it_asks),
		mock_test(map_passes_on_what_the_kernel_says),
		mock_test(map_of_a_refused_region_is_its_error),
		mock_test(map_in_a_child_is_echild),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
