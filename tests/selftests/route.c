// SPDX-License-Identifier: MIT
/*
 * Routes: what can't go direct is refused with the right reason and moves no
 * byte; QUERY and a real request say the same. The lab's CPU "max" has a host
 * bridge that is not known to forward peer traffic, "EPYC" has one that is.
 */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SEED	51
#define POISON	0x99
#define SIZE	(64 * KIB)

struct view {
	struct gpu_buf buf;
	struct xfer x;
};

static void set_up(struct view *v, int gpu)
{
	memset(v, 0, sizeof(*v));
	v->x.dev = nv_open();
	v->x.length = SIZE;
	gpu_alloc(&v->buf, gpu, SIZE, false);
	gpu_fill(&v->buf, POISON);
	v->x.region = nv_region(v->x.dev, &v->buf);
}

static bool cpu_forwards(void)
{
	/* what the kernel's own rule asks for: AMD, family 17h or later */
	return !shell(NULL, 0, "awk -F: '/^vendor_id/ { v = $2 } /^cpu family/ "
		      "{ f = $2 } END { exit !(v ~ /AMD/ && f >= 23) }' "
		      "/proc/cpuinfo");
}

/* Query and both directions agree: refused with @reason, nothing moved. */
static void expect_refused(struct view *v, uint32_t reason)
{
	struct nvfs_query q;
	struct nvfs_rw rw;

	ASSERT_EQ(nv_query(v->x.dev, v->x.region, v->x.file, &q), 0);
	ASSERT_EQ(q.reason, reason);
	ASSERT_EQ(q.route, NVFS_ROUTE_BOUNCE);
	ASSERT_EQ(q.gpu, gpu_bdf(v->buf.gpu));
	ASSERT_TRUE(q.text[0]);
	ASSERT_TRUE(memchr(q.text, 0, sizeof(q.text)));
	ASSERT_ERRNO(nv_read(&v->x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, reason);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	ASSERT_ERRNO(nv_write(&v->x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, reason);
	ASSERT_EQ(rw.done, 0);
	gpu_check_byte(&v->buf, 0, SIZE, POISON);
}

static void expect_direct(struct view *v, uint64_t base)
{
	struct nvfs_query q;
	struct nvfs_rw rw;

	v->x.file_offset = base;
	ASSERT_EQ(nv_query(v->x.dev, v->x.region, v->x.file, &q), 0);
	ASSERT_EQ(q.reason, NVFS_REASON_NONE);
	ASSERT_EQ(q.route, NVFS_ROUTE_DIRECT);
	ASSERT_NE(q.drive, NVFS_BDF_NONE);
	ASSERT_GT(q.distance, 0);
	ASSERT_EQ(q.page_source, NVFS_PAGES_ZONE);
	ASSERT_TRUE(q.offset_align == 512 || q.offset_align == 4096);
	ASSERT_GE(q.mem_align, 1);
	ASSERT_LE(q.mem_align, 4096);
	ASSERT_EQ(nv_read(&v->x, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(rw.done, SIZE);
	gpu_check_pattern(&v->buf, 0, SIZE, SEED, 0);
}

static void near_drive(enum target target)
{
	struct nvfs_query q;
	struct view v;

	set_up(&v, 0);
	v.x.file = file_make(target, SIZE, SEED, O_RDWR);
	expect_direct(&v, target_base(target));
	ASSERT_EQ(nv_query(v.x.dev, v.x.region, v.x.file, &q), 0);
	ASSERT_EQ(q.distance, 4);
}

TEST(drive_below_the_same_switch_is_direct)
{
	near_drive(DISK);
}

TEST(partition_is_direct)
{
	near_drive(PART);
}

TEST(ext4_file_is_direct)
{
	near_drive(EXT4);
}

TEST(xfs_file_is_direct)
{
	near_drive(XFS);
}

static void across_the_host_bridge(int gpu, const char *place, uint64_t base)
{
	struct view v;

	set_up(&v, gpu);
	v.x.file = file_make_at(fix_place(place), base, SIZE, SEED, O_RDWR);
	v.x.file_offset = base;
	if (cpu_forwards())
		expect_direct(&v, base);
	else
		expect_refused(&v, NVFS_REASON_HOST_BRIDGE);
	close(v.x.file);
	v.x.file = open(fix_place(place), O_RDONLY | O_CLOEXEC);
	if (!cpu_forwards())
		file_check(v.x.file, base, 0, SIZE, SEED);
}

TEST(far_drive_depends_on_the_host_bridge)
{
	across_the_host_bridge(0, "nvme1", 0);
}

TEST(far_gpu_depends_on_the_host_bridge)
{
	across_the_host_bridge(1, "disk", 1 * MIB);
}

TEST(virtio_disk_does_not_take_peer_memory)
{
	struct view v;

	set_up(&v, 0);
	v.x.file = file_make_at(fix_place("vblk0"), 0, SIZE, SEED, O_RDWR);
	expect_refused(&v, NVFS_REASON_QUEUE);
	file_check(v.x.file, 0, 0, SIZE, SEED);
}

TEST(tmpfs_file_has_no_drive)
{
	char path[300];
	struct view v;

	set_up(&v, 0);
	snprintf(path, sizeof(path), "%s/route", fix_place("tmpfs"));
	v.x.file = file_make_at(path, 0, SIZE, SEED, O_RDWR);
	unlink(path);
	expect_refused(&v, NVFS_REASON_NO_BDEV);
	file_check(v.x.file, 0, 0, SIZE, SEED);
}

/* A loop device copies with the CPU, whatever lies below it. */
TEST(loop_device_is_stacked)
{
	char path[300], dev[64];
	struct view v;

	set_up(&v, 0);
	snprintf(path, sizeof(path), "%s/loop.img", fix_place("ext4"));
	close(file_make_at(path, 0, 4 * MIB, SEED, O_RDWR));
	ASSERT_EQ(shell(dev, sizeof(dev), "losetup -f --show %s", path), 0);
	dev[strcspn(dev, "\n")] = '\0';
	unlink(path);
	v.x.file = open(dev, O_RDWR | O_CLOEXEC);
	ASSERT_GE(v.x.file, 0);
	expect_refused(&v, NVFS_REASON_STACKED);
	close(v.x.file);
	ASSERT_EQ(shell(NULL, 0, "losetup -d %s", dev), 0);
}

/* Linear device mapper over the near drive: not vouched for today. */
TEST(device_mapper_is_stacked)
{
	char out[400], dev[64];
	struct view v;

	ASSERT_EQ(shell(out, sizeof(out), "modprobe dm-mod; dmsetup "
			"--noudevsync create nvfs-t --table "
			"'0 2048 linear %s 2048' 2>&1", fix_place("part")), 0);
	/* no udev in the guest, so no /dev/mapper name */
	ASSERT_EQ(shell(out, sizeof(out), "dmsetup info -c --noheadings "
			"-o minor nvfs-t"), 0);
	snprintf(dev, sizeof(dev), "/dev/dm-%d", atoi(out));
	set_up(&v, 0);
	v.x.file = open(dev, O_RDWR | O_CLOEXEC);
	ASSERT_GE(v.x.file, 0);
	expect_refused(&v, NVFS_REASON_STACKED);
	close(v.x.file);
	ASSERT_EQ(shell(NULL, 0, "dmsetup --noudevsync remove nvfs-t"), 0);
}

TEST(file_system_that_is_not_vouched_for)
{
	struct view v;

	set_up(&v, 0);
	/* the root is an overlay of 9p and tmpfs */
	v.x.file = file_make_at("/var/nvfs-route-test", 0, SIZE, SEED,
				O_RDWR);
	unlink("/var/nvfs-route-test");
	expect_refused(&v, NVFS_REASON_NO_BDEV);
}

/* -------------------------------------------------------------- alignment */

TEST(alignment_that_query_tells_is_the_one_that_counts)
{
	struct nvfs_query q;
	struct nvfs_rw rw;
	struct view v;

	set_up(&v, 0);
	v.x.file = file_make(EXT4, SIZE, SEED, O_RDWR);
	ASSERT_EQ(nv_query(v.x.dev, v.x.region, v.x.file, &q), 0);
	v.x.length = q.offset_align;
	v.x.file_offset = q.offset_align;
	v.x.region_offset = q.mem_align;
	ASSERT_EQ(nv_read(&v.x, &rw), 0);
	ASSERT_EQ(rw.done, q.offset_align);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	gpu_check_byte(&v.buf, 0, q.mem_align, POISON);
	gpu_check_pattern(&v.buf, q.mem_align, q.offset_align, SEED,
			  q.offset_align);
	gpu_check_byte(&v.buf, q.mem_align + q.offset_align,
		       SIZE - q.mem_align - q.offset_align, POISON);
	v.x.length = q.offset_align / 2;
	ASSERT_ERRNO(nv_read(&v.x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
	v.x.length = q.offset_align;
	v.x.file_offset = q.offset_align / 2;
	ASSERT_ERRNO(nv_read(&v.x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
}

/* ------------------------------------------------------ QUERY by function */

TEST(query_of_a_gpu_without_a_region)
{
	struct nvfs_query by_region, by_gpu = { .size = sizeof(by_gpu) };
	struct view v;

	set_up(&v, 0);
	v.x.file = file_make(EXT4, SIZE, SEED, O_RDONLY);
	by_gpu.flags = NVFS_QUERY_GPU;
	by_gpu.fd = v.x.file;
	by_gpu.gpu = gpu_bdf(0);
	ASSERT_EQ(ioctl(v.x.dev, NVFS_IOC_QUERY, &by_gpu), 0);
	ASSERT_EQ(nv_query(v.x.dev, v.x.region, v.x.file, &by_region), 0);
	ASSERT_EQ(by_gpu.route, by_region.route);
	ASSERT_EQ(by_gpu.reason, by_region.reason);
	ASSERT_EQ(by_gpu.drive, by_region.drive);
	ASSERT_EQ(by_gpu.distance, by_region.distance);
	ASSERT_EQ(by_gpu.offset_align, by_region.offset_align);
	ASSERT_EQ(by_gpu.mem_align, by_region.mem_align);
	ASSERT_EQ(by_gpu.page_source, NVFS_PAGES_NONE);
}

TEST(query_names_the_drive)
{
	unsigned int domain, bus, dev, fn;
	struct nvfs_query q;
	char out[64];
	struct view v;

	set_up(&v, 0);
	v.x.file = file_make(PART, SIZE, SEED, O_RDONLY);
	ASSERT_EQ(nv_query(v.x.dev, v.x.region, v.x.file, &q), 0);
	ASSERT_EQ(shell(out, sizeof(out), "cat $(readlink -f "
			"/sys/class/block/$(basename %s)/device/address)",
			fix_place("disk")), 0);
	ASSERT_EQ(sscanf(out, "%x:%x:%x.%x", &domain, &bus, &dev, &fn), 4);
	ASSERT_EQ(q.drive, domain << 16 | bus << 8 | dev << 3 | fn);
}
