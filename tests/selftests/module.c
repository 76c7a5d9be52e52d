// SPDX-License-Identifier: MIT
/*
 * The module itself: it loads without a provider, can't be unloaded while it is
 * used, unloads and loads as often as one likes, and so does the GPU's driver.
 */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	71
#define SIZE	(256 * KIB)

/* A region and a file, in a process of their own, so that all of it ends. */
static void in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		body();
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

static void use_it(void)
{
	struct xfer x = { .dev = nv_open(), .length = SIZE };
	struct nvfs_rw rw;
	struct gpu_buf buf;

	gpu_alloc(&buf, 0, SIZE, true);
	x.region = nv_region(x.dev, &buf);
	x.file = file_make(EXT4, SIZE, SEED, O_RDONLY);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	gpu_check_pattern(&buf, 0, SIZE, SEED, 0);
}

TEST(unload_is_refused_while_the_device_is_open)
{
	int dev = nv_open();

	ASSERT_ERRNO(module_unload("nvfs"), EAGAIN);
	ASSERT_NE(shell(NULL, 0, "rmmod nvfs 2>/dev/null"), 0);
	ASSERT_EQ(nv_nr_regions(dev), 0);
	in_child(use_it);
}

TEST(unload_is_refused_while_a_region_is_registered)
{
	struct gpu_buf buf;
	int dev = nv_open();
	uint32_t id;

	gpu_alloc(&buf, 0, SIZE, false);
	id = nv_region(dev, &buf);
	ASSERT_ERRNO(module_unload("nvfs"), EAGAIN);
	ASSERT_ERRNO(module_unload("labgpu"), EAGAIN);
	ASSERT_EQ(nv_unregister(dev, id), 0);
}

/* What is refused must work once the reason has gone, at once. */
TEST(unload_works_as_soon_as_the_device_is_closed)
{
	int round;

	for (round = 0; round < 5; round++) {
		in_child(use_it);
		ASSERT_EQ(module_unload("nvfs"), 0);
		ASSERT_TRUE(access("/dev/nvidia-fs", F_OK));
		ASSERT_TRUE(access("/proc/nvfs", F_OK));
		module_load("nvfs", "");
	}
}

TEST_LIMIT(load_and_unload_50_times, 120)
{
	int round;

	for (round = 0; round < 50; round++) {
		ASSERT_EQ(module_unload("nvfs"), 0);
		module_load("nvfs", "");
	}
	in_child(use_it);
}

TEST(second_load_is_refused)
{
	ASSERT_ERRNO(module_try_load("nvfs", ""), EEXIST);
	in_child(use_it);
}

TEST(debug_parameter_can_be_set)
{
	char out[16];

	ASSERT_EQ(module_unload("nvfs"), 0);
	module_load("nvfs", "debug=1");
	ASSERT_EQ(shell(out, sizeof(out),
			"cat /sys/module/nvfs/parameters/debug"), 0);
	ASSERT_EQ(out[0], 'Y');
	in_child(use_it);
	ASSERT_EQ(module_unload("nvfs"), 0);
	module_load("nvfs", "");
}

/* ------------------------------------------------------- the GPU's driver */

static void without_provider(void)
{
	struct nvfs_info info = { .size = sizeof(info) };
	struct nvfs_register reg;
	int dev = nv_open();

	ASSERT_EQ(ioctl(dev, NVFS_IOC_INFO, &info), 0);
	ASSERT_EQ(info.provider_version, 0);
	ASSERT_ERRNO(nv_register(dev, 1 * MIB, 64 * KIB, &reg), ENODEV);
}

/* When it is loaded and later, on and off; unloading gives the memory back. */
TEST(counting_can_be_switched_at_any_time)
{
	static const char * const names[] = { "latency", "usage" };
	char out[64];
	size_t i;

	/* the kernel says it of the load that has to fail */
	harness_allow_log("invalid for parameter");
	ASSERT_EQ(module_unload("nvfs"), 0);
	module_load("nvfs", "latency=1 usage=Y");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(shell(out, sizeof(out), "cd /sys/module/nvfs/parameters; "
				"cat %s; echo 0 >%s; cat %s; echo 1 >%s; cat %s",
				names[i], names[i], names[i], names[i],
				names[i]), 0);
		ASSERT_EQ(strcmp(out, "Y\nN\nY\n"), 0);
		ASSERT_NE(shell(out, sizeof(out), "echo perhaps 2>&1 "
				">/sys/module/nvfs/parameters/%s", names[i]), 0);
	}
	in_child(use_it);
	ASSERT_EQ(module_unload("nvfs"), 0);
	ASSERT_ERRNO(module_try_load("nvfs", "latency=perhaps"), EINVAL);
	module_load("nvfs", "");
	ASSERT_EQ(shell(out, sizeof(out),
			"cat /sys/module/nvfs/parameters/latency"), 0);
	ASSERT_EQ(strcmp(out, "N\n"), 0);
}

TEST(module_loads_without_a_provider)
{
	ASSERT_EQ(module_unload("nvfs"), 0);
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("nvfs", "");
	in_child(without_provider);
	/* and finds the provider when it comes later */
	module_load("labgpu", "");
	in_child(use_it);
}

TEST(provider_can_be_unloaded_below_a_loaded_module)
{
	int round;

	for (round = 0; round < 5; round++) {
		in_child(use_it);
		ASSERT_EQ(module_unload("labgpu"), 0);
		in_child(without_provider);
		module_load("labgpu", "");
	}
	in_child(use_it);
}

static void unknown_table(void)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	int dev = nv_open();

	gpu_alloc(&buf, 0, SIZE, false);
	ASSERT_ERRNO(nv_register(dev, buf.va, buf.size, &reg), EPROTO);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_EQ(nv_nr_regions(dev), 0);
}

TEST(unknown_page_table_version_is_eproto)
{
	/* said once, as a warning: the administrator has to know */
	harness_allow_log("page table");
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "table_version=0x00090000");
	in_child(unknown_table);
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "");
	in_child(use_it);
}

TEST(page_tables_of_version_1_2_are_known)
{
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "table_version=0x00010002");
	in_child(use_it);
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "");
}

/* The check that sees wrong bytes sees them: deliberately swapped pages. */
static void swapped_pages(void)
{
	uint8_t want[4096], got[4096];
	struct xfer x = { .dev = nv_open(), .length = SIZE };
	struct nvfs_rw rw;
	struct gpu_buf buf;

	gpu_alloc(&buf, 0, SIZE, false);
	x.region = nv_region(x.dev, &buf);
	x.file = file_make(EXT4, SIZE, SEED, O_RDONLY);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	pattern_fill(want, sizeof(want), SEED, 0);
	gpu_get(&buf, 0, got, sizeof(got));
	ASSERT_NE(memcmp(want, got, sizeof(got)), 0);
}

TEST(wrong_page_table_is_seen_by_the_comparison)
{
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "break_table=1");
	in_child(swapped_pages);
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "");
	in_child(use_it);
}
