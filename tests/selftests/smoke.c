// SPDX-License-Identifier: MIT
/* The shortest way through everything: one region, one read, one write. */
#include "fix.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

TEST(device_tells_its_version)
{
	struct nvfs_info info = { .size = sizeof(info) };
	int dev = nv_open();

	ASSERT_EQ(ioctl(dev, NVFS_IOC_INFO, &info), 0);
	ASSERT_EQ(info.version_major, NVFS_VERSION_MAJOR);
	ASSERT_EQ(info.version_minor, NVFS_VERSION_MINOR);
	ASSERT_EQ(info.version_patch, NVFS_VERSION_PATCH);
	ASSERT_EQ(info.provider_version, 0x00020000);
	ASSERT_EQ(info.nr_regions, 0);
}

TEST(region_is_registered_and_ends)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	int dev = nv_open();

	gpu_alloc(&buf, 0, 1 * MIB, false);
	ASSERT_EQ(nv_register(dev, buf.va, buf.size, &reg), 0);
	ASSERT_NE(reg.region, 0);
	ASSERT_EQ(reg.page_source, NVFS_PAGES_ZONE);
	ASSERT_EQ(reg.reason, NVFS_REASON_NONE);
	ASSERT_EQ(reg.gpu, gpu_bdf(0));
	ASSERT_EQ(reg.gpu_page_size, 64 * KIB);
	ASSERT_EQ(reg.nr_pieces, 1);
	ASSERT_EQ(nv_nr_regions(dev), 1);
	ASSERT_EQ(gpu_pins(), 1);
	ASSERT_EQ(nv_unregister(dev, reg.region), 0);
	ASSERT_EQ(nv_nr_regions(dev), 0);
	ASSERT_EQ(gpu_pins(), 0);
}

static void move(bool write)
{
	struct xfer x = { .dev = nv_open(), .length = 1 * MIB };
	struct nvfs_rw rw;
	struct gpu_buf buf;

	gpu_alloc(&buf, 0, 1 * MIB, false);
	x.region = nv_region(x.dev, &buf);
	x.file = file_make(EXT4, 1 * MIB, 1, O_RDWR | O_DIRECT);
	if (write) {
		gpu_put_pattern(&buf, 0, 1 * MIB, 2, 0);
		ASSERT_EQ(nv_write(&x, &rw), 0);
		file_check(x.file, 0, 0, 1 * MIB, 2);
	} else {
		gpu_fill(&buf, 0xa5);
		ASSERT_EQ(nv_read(&x, &rw), 0);
		gpu_check_pattern(&buf, 0, 1 * MIB, 1, 0);
	}
	ASSERT_EQ(rw.done, 1 * MIB);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(rw.reason, NVFS_REASON_NONE);
}

TEST(file_is_read_into_gpu_memory)
{
	move(false);
}

TEST(gpu_memory_is_written_to_a_file)
{
	move(true);
}
