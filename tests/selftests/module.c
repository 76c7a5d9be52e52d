// SPDX-License-Identifier: MIT
/*
 * The module itself: it loads without a provider, can't be unloaded while it is
 * used, unloads and loads as often as one likes, and so does the GPU's driver.
 */
#include "fix.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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

/* --------------------------------------------- who keeps the driver loaded */

/* On a file of its parent's, which outlives it. Reads the region's id. */
static uint32_t leave_region(int dev, uint32_t flags)
{
	struct nvfs_register reg = {
		.size = sizeof(reg), .flags = flags, .fd = -1,
		.source = NVFS_SOURCE_P2P, .length = SIZE,
	};
	struct gpu_buf buf;
	int ends[2], status;
	uint32_t id = 0;
	pid_t pid;

	ASSERT_EQ(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		gpu_alloc(&buf, 0, SIZE, false);
		reg.addr = buf.va;
		ASSERT_EQ(ioctl(dev, NVFS_IOC_REGISTER, &reg), 0);
		ASSERT_EQ(write(ends[1], &reg.region, sizeof(reg.region)),
			  sizeof(reg.region));
		_exit(0);
	}
	ASSERT_EQ(read(ends[0], &id, sizeof(id)), sizeof(id));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	close(ends[0]);
	close(ends[1]);
	return id;
}

/* Nobody has the GPU open any more: the driver is ours to keep or let go. */
static void keeps_driver_until_unregister(uint32_t flags, long long pins)
{
	int dev = nv_open();
	uint32_t id = leave_region(dev, flags);

	ASSERT_EQ(gpu_pins(), pins);
	ASSERT_ERRNO(module_unload("labgpu"), EAGAIN);
	ASSERT_NE(shell(NULL, 0, "rmmod labgpu 2>/dev/null"), 0);
	ASSERT_EQ(nv_unregister(dev, id), 0);
	ASSERT_EQ(gpu_pins(), 0);
	/* at once, with the device still open */
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "");
	close(dev);
	in_child(use_it);
}

TEST(persistent_region_alone_keeps_the_driver_loaded)
{
	keeps_driver_until_unregister(NVFS_REGISTER_PERSISTENT, 1);
}

/* Its memory is gone, but it is still registered. */
TEST(dead_region_alone_keeps_the_driver_loaded)
{
	keeps_driver_until_unregister(0, 0);
}

static int lines_in_log(const char *part)
{
	char out[32];

	ASSERT_EQ(shell(out, sizeof(out), "dmesg | grep -c -e '%s' || true",
			part), 0);
	return atoi(out);
}

static void expect_version(const char *version)
{
	char out[100];

	ASSERT_EQ(shell(out, sizeof(out), "grep provider_version "
			"/proc/nvfs/version"), 0);
	ASSERT_CONTAINS(out, version);
}

/* It names both versions, once; nothing is kept, and the right one works. */
TEST(unknown_page_table_version_is_said_clearly)
{
	static const char said[] =
		"page table 0x90000 is not one I know (0x20000)";
	int before = lines_in_log(said), i;

	harness_allow_log("page table");
	ASSERT_EQ(module_unload("nvfs"), 0);
	module_load("nvfs", "");
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "table_version=0x00090000");
	for (i = 0; i < 5; i++)
		in_child(unknown_table);
	ASSERT_EQ(lines_in_log(said) - before, 1);
	expect_version("0x00090000");
	ASSERT_EQ(module_unload("labgpu"), 0);
	expect_version("0x00000000");
	module_load("labgpu", "");
	in_child(use_it);
	expect_version("0x00020000");
}

static void *come_and_go(void *arg)
{
	int *gone = arg;

	while (*gone < 20) {
		if (module_unload("labgpu")) {
			ASSERT_EQ(errno, EAGAIN);
			continue;
		}
		++*gone;
		sched_yield();
		module_load("labgpu", "");
	}
	return NULL;
}

/* Found or not found, never half of it; nobody keeps what nobody uses. */
TEST(driver_comes_and_goes_while_memory_is_registered)
{
	int dev = nv_open(), gone = 0, found = 0, lacking = 0;
	struct nvfs_register reg;
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, come_and_go, &gone), 0);
	while (pthread_tryjoin_np(thread, NULL)) {
		ASSERT_EQ(nv_register(dev, MIB, 64 * KIB, &reg), -1);
		found += errno == EFAULT;
		lacking += errno == ENODEV;
		if (errno != EFAULT && errno != ENODEV)
			FAIL("REGISTER: %s", strerror(errno));
	}
	harness_note("unloaded %d times, found %d times, not found %d times",
		     gone, found, lacking);
	ASSERT_GT(gone, 0);
	ASSERT_GT(found, 0);
	ASSERT_GT(lacking, 0);
	close(dev);
	ASSERT_EQ(module_unload("labgpu"), 0);
	module_load("labgpu", "");
	in_child(use_it);
}
