// SPDX-License-Identifier: MIT
/*
 * Through host memory: file systems and block devices that no drive can serve
 * directly, and some that it can. For each: the right bytes in both directions,
 * aligned and not, the route and the reason that are true, and without
 * NVFS_RW_BOUNCE a refusal that moves nothing.
 */
#include "fix_async.h"
#include "fix_trace.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OLD	31
#define NEW	32
#define POISON	0x3d
#define SIZE	(1 * MIB)
#define DIR	"/run/nvfs-test/b"

struct bench {
	struct gpu_buf buf;
	struct xfer x;
	uint64_t base;
};

static void set_up(struct bench *b, const char *path, int flags)
{
	memset(b, 0, sizeof(*b));
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, SIZE, false);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make_at(path, 0, SIZE, OLD, flags);
}

/* Runs a command that has to succeed. */
static void must(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void must(const char *fmt, ...)
{
	char command[800], out[600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	if (shell(out, sizeof(out), "exec 2>&1; %s", command))
		FAIL("%s: %s", command, out);
}

/* What is mounted from here on goes away with this test. */
static void own_mounts(void)
{
	ASSERT_EQ(unshare(CLONE_NEWNS), 0);
	ASSERT_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	must("mkdir -p %s/m %s/u %s/w", DIR, DIR, DIR);
}

/* What O_DIRECT takes on the drives of the lab. */
static bool fits(uint64_t off, uint64_t pos, uint64_t len)
{
	return !((pos | len) % 512) && !(off % 4);
}

static void check_route(const struct nvfs_rw *rw, uint32_t route,
			uint32_t reason, bool aligned)
{
	if (route == NVFS_ROUTE_DIRECT && !aligned) {
		ASSERT_TRUE(rw->route == NVFS_ROUTE_MIXED ||
			    rw->route == NVFS_ROUTE_BOUNCE);
		ASSERT_EQ(rw->reason, NVFS_REASON_ALIGN);
		return;
	}
	ASSERT_EQ(rw->route, route);
	ASSERT_EQ(rw->reason, reason);
}

static void read_one(struct bench *b, uint64_t off, uint64_t pos, uint64_t len,
		     uint32_t route, uint32_t reason)
{
	struct nvfs_rw rw;

	gpu_fill(&b->buf, POISON);
	b->x.region_offset = off;
	b->x.file_offset = pos;
	b->x.length = len;
	ASSERT_EQ(nv_rw_as(&b->x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, len);
	check_route(&rw, route, reason, fits(off, pos, len));
	gpu_check_byte(&b->buf, 0, off, POISON);
	gpu_check_pattern(&b->buf, off, len, OLD, pos);
	gpu_check_byte(&b->buf, off + len, SIZE - off - len, POISON);
}

static void write_one(struct bench *b, uint64_t off, uint64_t pos, uint64_t len,
		      uint32_t route, uint32_t reason)
{
	struct nvfs_rw rw;

	gpu_fill(&b->buf, POISON);
	gpu_put_pattern(&b->buf, off, len, NEW, pos);
	b->x.region_offset = off;
	b->x.file_offset = pos;
	b->x.length = len;
	ASSERT_EQ(nv_rw_as(&b->x, true, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, len);
	check_route(&rw, route, reason, fits(off, pos, len));
	file_check(b->x.file, 0, 0, pos, OLD);
	file_check(b->x.file, 0, pos, len, NEW);
	file_check(b->x.file, 0, pos + len, SIZE - pos - len, OLD);
	gpu_put_pattern(&b->buf, off, len, OLD, pos);
	ASSERT_EQ(nv_rw_as(&b->x, true, NVFS_RW_BOUNCE, &rw), 0);
}

static const uint64_t shapes[][3] = {
	{ 0, 0, SIZE }, { 4096, 8192, 65536 }, { 1, 2, 700001 },
	{ 512, 100, 5000 }, { 77, 77, 1 }, { 4095, 511, 200000 },
};

#define SHAPES	(sizeof(shapes) / sizeof(shapes[0]))

static void expect_refused(struct bench *b, uint32_t reason)
{
	struct nvfs_query q;
	struct nvfs_rw rw;
	int write;

	b->x.region_offset = 0;
	b->x.file_offset = 0;
	b->x.length = SIZE;
	gpu_fill(&b->buf, POISON);
	for (write = 0; write < 2; write++) {
		ASSERT_ERRNO(nv_rw_as(&b->x, write, 0, &rw), EREMOTEIO);
		ASSERT_EQ(rw.reason, reason);
		ASSERT_EQ(rw.done, 0);
		ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	}
	gpu_check_byte(&b->buf, 0, SIZE, POISON);
	file_check(b->x.file, 0, 0, SIZE, OLD);
	ASSERT_EQ(nv_query(b->x.dev, b->x.region, b->x.file, &q), 0);
	ASSERT_EQ(q.route, NVFS_ROUTE_BOUNCE);
	ASSERT_EQ(q.reason, reason);
}

/* All that there is to say about a place. @reason 0: it goes direct. */
static void place(const char *path, int flags, uint32_t reason)
{
	uint32_t route = reason ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT;
	struct bench b;
	size_t i;

	set_up(&b, path, O_RDWR | flags);
	if (reason)
		expect_refused(&b, reason);
	for (i = 0; i < SHAPES; i++) {
		read_one(&b, shapes[i][0], shapes[i][1], shapes[i][2], route,
			 reason);
		write_one(&b, shapes[i][0], shapes[i][1], shapes[i][2], route,
			  reason);
	}
	ASSERT_EQ(fsync(b.x.file), 0);
	close(b.x.file);
}

TEST(virtio_blk)
{
	place(vblk_part(), 0, NVFS_REASON_QUEUE);
}

TEST(ext4_on_virtio_blk)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/file", vblk_ext4());
	place(path, O_DIRECT, NVFS_REASON_QUEUE);
	ASSERT_EQ(unlink(path), 0);
}

TEST(nvme_behind_the_host_bridge)
{
	/* with -cpu EPYC it is direct: route.c */
	place(fix_place("nvme1"), 0, NVFS_REASON_HOST_BRIDGE);
}

TEST(partition)
{
	place(fix_place("part"), 0, 0);
}

TEST(tmpfs)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/bounce", fix_place("tmpfs"));
	place(path, 0, NVFS_REASON_NO_BDEV);
	ASSERT_EQ(unlink(path), 0);
}

TEST(overlayfs_over_ext4)
{
	own_mounts();
	must("mkdir -p %s/ovl/l %s/ovl/u %s/ovl/w", fix_place("ext4"),
	     fix_place("ext4"), fix_place("ext4"));
	must("cd %s/ovl && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w "
	     "none %s/m", fix_place("ext4"), DIR);
	place(DIR "/m/file", 0, NVFS_REASON_NO_BDEV);
}

/* ------------------------------------------------- file systems on the drive */

/* A fresh file system on the raw part of the near drive, at DIR/m. */
static void make_fs(const char *mkfs, const char *options)
{
	own_mounts();
	must("%s %s && mount -o %s %s %s/m", mkfs, fix_place("part"), options,
	     fix_place("part"), DIR);
}

TEST(ext4_with_data_in_the_journal)
{
	make_fs("mkfs.ext4 -q -F", "data=journal");
	place(DIR "/m/file", 0, NVFS_REASON_NO_DIO);
}

TEST(ext4_without_a_journal)
{
	make_fs("mkfs.ext4 -q -F -O ^has_journal", "rw");
	place(DIR "/m/file", 0, 0);
}

TEST(ext4_bigalloc)
{
	make_fs("mkfs.ext4 -q -F -O bigalloc -C 65536", "rw");
	place(DIR "/m/file", 0, 0);
}

TEST(ext4_of_small_blocks)
{
	make_fs("mkfs.ext4 -q -F -b 1024", "rw");
	place(DIR "/m/file", 0, 0);
}

/* The bytes of a tiny file lie in its inode. */
TEST(ext4_inline_data)
{
	const uint64_t len = 60;
	struct nvfs_rw rw;
	struct bench b;
	uint8_t got[64], want[64];

	make_fs("mkfs.ext4 -q -F -O inline_data -I 256", "rw");
	set_up(&b, DIR "/m/other", O_RDWR);
	close(b.x.file);
	b.x.file = file_make_at(DIR "/m/tiny", 0, len, OLD, O_RDWR);
	b.x.length = 512;
	gpu_fill(&b.buf, POISON);
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, len);
	ASSERT_EQ(rw.route, NVFS_ROUTE_BOUNCE);
	gpu_check_pattern(&b.buf, 0, len, OLD, 0);
	gpu_check_byte(&b.buf, 512, SIZE - 512, POISON);
	gpu_put_pattern(&b.buf, 0, len, NEW, 0);
	b.x.length = len;
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_BOUNCE);
	pattern_fill(want, len, NEW, 0);
	ASSERT_EQ(pread(b.x.file, got, sizeof(got), 0), len);
	ASSERT_MEMEQ(got, want, len);
	/* and grows out of it */
	gpu_put_pattern(&b.buf, 0, SIZE, NEW, 0);
	b.x.length = SIZE;
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, SIZE);
	file_check(b.x.file, 0, 0, SIZE, NEW);
}

TEST(btrfs)
{
	if (access("/sbin/mkfs.btrfs", X_OK))
		SKIP("btrfs-progs is not installed");
	must("modprobe btrfs");
	make_fs("mkfs.btrfs -q -f", "rw");
	place(DIR "/m/file", O_DIRECT, NVFS_REASON_FS_CPU);
}

/* A write to one of two files that share their blocks leaves the other alone. */
TEST(xfs_reflinked_file)
{
	struct nvfs_rw rw;
	struct bench b;
	int other;

	own_mounts();
	/* the variables let mkfs.xfs make a file system below 300 MiB */
	must("export TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1; mkfs.xfs -q -f "
	     "-m reflink=1 %s && mount %s %s/m", fix_place("part"),
	     fix_place("part"), DIR);
	other = file_make_at(DIR "/m/one", 0, SIZE, OLD, O_RDWR);
	must("cp --reflink=always %s/m/one %s/m/two", DIR, DIR);
	set_up(&b, DIR "/m/three", O_RDWR);
	close(b.x.file);
	b.x.file = open(DIR "/m/two", O_RDWR);
	ASSERT_GE(b.x.file, 0);
	read_one(&b, 0, 0, SIZE, NVFS_ROUTE_DIRECT, 0);
	gpu_put_pattern(&b.buf, 0, SIZE, NEW, 0);
	b.x.region_offset = 64 * KIB;
	b.x.file_offset = 64 * KIB;
	b.x.length = 256 * KIB;
	ASSERT_EQ(nv_rw_as(&b.x, true, 0, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	b.x.region_offset = 700928;
	b.x.file_offset = 700928;
	b.x.length = 1024;
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	file_check(other, 0, 0, SIZE, OLD);
	file_check(b.x.file, 0, 0, 64 * KIB, OLD);
	file_check(b.x.file, 0, 64 * KIB, 256 * KIB, NEW);
	file_check(b.x.file, 0, 700928, 1024, NEW);
	file_check(b.x.file, 0, 701952, SIZE - 701952, OLD);
}

/* What a WRITE came to, by its own word and by the counters. */
static void write_as(struct bench *b, uint64_t pos, uint64_t len, uint32_t flags,
		     uint32_t route, uint64_t direct)
{
	long long were = stat_get("write_direct_bytes");
	long long bounced = stat_get("write_bounce_bytes");
	struct nvfs_rw rw;

	b->x.region_offset = pos % SIZE;
	b->x.file_offset = pos;
	b->x.length = len;
	gpu_put_pattern(&b->buf, b->x.region_offset, len, NEW, pos);
	ASSERT_EQ(nv_rw_as(&b->x, true, flags, &rw), 0);
	ASSERT_EQ(rw.done, len);
	ASSERT_EQ(rw.route, route);
	ASSERT_EQ(stat_get("write_direct_bytes") - were, direct);
	ASSERT_EQ(stat_get("write_bounce_bytes") - bounced, len - direct);
	if (direct == len)
		ASSERT_EQ(rw.reason, NVFS_REASON_NONE);
	file_check(b->x.file, 0, pos, len, NEW);
}

/*
 * xfs writes a part of a block that files share, or once did, through its page
 * cache, whatever it is asked for. The drive has blocks of 512 bytes.
 */
TEST(xfs_parts_of_blocks_of_a_reflinked_file)
{
	static const uint64_t part[][2] = {
		{ 512, 512 }, { 512, 3584 }, { 8192, 512 }, { 12288, 7168 },
	};
	struct nvfs_query q;
	struct nvfs_rw rw;
	struct bench b;
	int i;

	own_mounts();
	must("export TEST_DIR=1 TEST_DEV=1 QA_CHECK_FS=1; mkfs.xfs -q -f "
	     "-m reflink=1 %s && mount %s %s/m", fix_place("part"),
	     fix_place("part"), DIR);
	set_up(&b, DIR "/m/one", O_RDWR);
	must("cp --reflink=always %s/m/one %s/m/two", DIR, DIR);
	ASSERT_EQ(nv_query(b.x.dev, b.x.region, b.x.file, &q), 0);
	ASSERT_EQ(q.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(q.offset_align, BLOCK);
	for (i = 0; i < 4; i++) {
		b.x.region_offset = 0;
		b.x.file_offset = part[i][0];
		b.x.length = part[i][1];
		ASSERT_ERRNO(nv_rw_as(&b.x, true, 0, &rw), EREMOTEIO);
		ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
		ASSERT_EQ(rw.done, 0);
	}
	file_check(b.x.file, 0, 0, SIZE, OLD);
	read_one(&b, 512, 512, 1024, NVFS_ROUTE_DIRECT, 0);
	write_as(&b, 512, 1024, NVFS_RW_BOUNCE, NVFS_ROUTE_BOUNCE, 0);
	write_as(&b, 65536 + 512, 16384, NVFS_RW_BOUNCE, NVFS_ROUTE_MIXED,
		 12288);
	write_as(&b, 131072, 65536, 0, NVFS_ROUTE_DIRECT, 65536);
	file_check(b.x.file, 0, 1536, 65536 - 1024, OLD);
	/* the blocks are its own again, and xfs does as before */
	ASSERT_EQ(unlink(DIR "/m/two"), 0);
	write_as(&b, 131072 + 512, 1024, NVFS_RW_BOUNCE, NVFS_ROUTE_BOUNCE, 0);
}

/* Pages that were made dirty since boot, by anybody, as the kernel counts them. */
static long long pages_dirtied(void)
{
	char out[64];

	must("cat /proc/sys/vm/stat_refresh");
	ASSERT_EQ(shell(out, sizeof(out),
			"sed -n 's/^nr_dirtied //p' /proc/vmstat"), 0);
	return atoll(out);
}

/*
 * ext4 fills holes of a file without extents through its page cache, whatever it
 * is asked for, and empties that afterwards. The kernel's own count of dirty pages
 * tells.
 */
TEST(ext4_hole_of_a_file_without_extents)
{
	static const uint64_t len[] = { 4096, 12288, 128 * KIB, 64 * KIB, 4096,
					128 * KIB, 512 * KIB };
	long long pages = 0, were;
	uint64_t pos = 4096;
	struct bench b;
	size_t i;

	make_fs("mkfs.ext4 -q -F -O ^extent,^64bit", "rw");
	set_up(&b, DIR "/m/file", O_RDWR);
	/* 128 KiB are the pages after which a new task is first asked to pause */
	ASSERT_EQ(ftruncate(b.x.file, 0), 0);
	ASSERT_EQ(ftruncate(b.x.file, SIZE), 0);
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		were = pages_dirtied();
		write_as(&b, pos, len[i], i % 2 ? 0 : NVFS_RW_BOUNCE,
			 NVFS_ROUTE_BOUNCE, 0);
		pages = pages_dirtied() - were;
		ASSERT_GE(pages, len[i] / BLOCK);
		write_as(&b, pos, len[i], 0, NVFS_ROUTE_DIRECT, len[i]);
		pos += len[i];
	}
	/* behind the end is no hole */
	ASSERT_EQ(ftruncate(b.x.file, BLOCK), 0);
	write_as(&b, BLOCK, 64 * KIB, 0, NVFS_ROUTE_DIRECT, 64 * KIB);
}

/* The same in a batch: the hole is for a worker to find. */
TEST(ext4_hole_of_a_file_without_extents_in_a_batch)
{
	struct nvfs_batch_submit out;
	struct nvfs_request req;
	struct nvfs_event event;
	struct bench b;
	uint32_t batch;
	int i;

	make_fs("mkfs.ext4 -q -F -O ^extent,^64bit", "rw");
	set_up(&b, DIR "/m/file", O_RDWR);
	ASSERT_EQ(ftruncate(b.x.file, 0), 0);
	ASSERT_EQ(ftruncate(b.x.file, SIZE), 0);
	batch = batch_make(b.x.dev, 1);
	b.x.file_offset = 65536;
	b.x.length = 65536;
	gpu_put_pattern(&b.buf, 0, b.x.length, NEW, b.x.file_offset);
	req = nv_request(&b.x, NVFS_OP_WRITE, NVFS_RW_BOUNCE, 7);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(batch_submit(b.x.dev, batch, &req, 1, &out), 0);
		batch_reap_all(b.x.dev, batch, &event, 1, 20);
		ASSERT_EQ(event.error, 0);
		ASSERT_EQ(event.route, i ? NVFS_ROUTE_DIRECT :
					   NVFS_ROUTE_BOUNCE);
		ASSERT_EQ(event.reason, i ? NVFS_REASON_NONE :
					    NVFS_REASON_FS_BUFFERED);
	}
	file_check(b.x.file, 0, 65536, 65536, NEW);
}

TEST(read_only_mount)
{
	struct nvfs_rw rw;
	struct bench b;

	make_fs("mkfs.ext4 -q -F", "rw");
	close(file_make_at(DIR "/m/file", 0, SIZE, OLD, O_RDONLY));
	must("mount -o remount,ro %s/m", DIR);
	set_up(&b, "/run/nvfs-test/x", O_RDWR);
	close(b.x.file);
	ASSERT_ERRNO(open(DIR "/m/file", O_RDWR), EROFS);
	b.x.file = open(DIR "/m/file", O_RDONLY);
	ASSERT_GE(b.x.file, 0);
	read_one(&b, 0, 0, SIZE, NVFS_ROUTE_DIRECT, 0);
	read_one(&b, 3, 5, 100000, NVFS_ROUTE_DIRECT, 0);
	ASSERT_ERRNO(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), EBADF);
}

static void attribute(char letter)
{
	struct nvfs_rw rw;
	struct bench b;
	char path[300];

	fix_path(EXT4, path, sizeof(path));
	set_up(&b, path, O_RDWR);
	must("chattr +%c %s", letter, path);
	read_one(&b, 0, 0, SIZE, NVFS_ROUTE_DIRECT, 0);
	read_one(&b, 3, 5, 100000, NVFS_ROUTE_DIRECT, 0);
	gpu_put_pattern(&b.buf, 0, SIZE, NEW, 0);
	ASSERT_ERRNO(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), EPERM);
	b.x.file_offset = 0;
	b.x.region_offset = 0;
	b.x.length = BLOCK;
	ASSERT_ERRNO(nv_rw_as(&b.x, true, 0, &rw), EPERM);
	must("chattr -%c %s && rm %s", letter, path, path);
	file_check(b.x.file, 0, 0, SIZE, OLD);
}

TEST_OF(immutable_file, 60, attribute('i'))
TEST_OF(append_only_file, 60, attribute('a'))

/* --------------------------------------------------- block devices on others */

/* A loop device over a file of 24 MiB on the near drive's ext4. */
static const char *loop_make(const char *name)
{
	static char dev[64];

	must("f=%s/%s; truncate -s 24M $f && losetup -f --show $f >%s.loop",
	     fix_place("ext4"), name, DIR);
	ASSERT_EQ(shell(dev, sizeof(dev), "cat %s.loop", DIR), 0);
	dev[strcspn(dev, "\n")] = '\0';
	return dev;
}

static void loop_end(const char *dev, const char *name)
{
	must("losetup -d %s; rm %s/%s", dev, fix_place("ext4"), name);
}

TEST(loop)
{
	const char *dev = loop_make("loop");

	place(dev, 0, NVFS_REASON_STACKED);
	loop_end(dev, "loop");
}

static void dm(const char *target, const char *before, const char *behind)
{
	if (access("/sbin/dmsetup", X_OK))
		SKIP("dmsetup is not installed");
	must("modprobe -a dm-mod dm-%s 2>/dev/null; "
	     "dmsetup remove -f nvfs-test 2>/dev/null; "
	     "dmsetup create nvfs-test --table \"0 65536 %s %s %s %s\" && "
	     "dmsetup mknodes", target, target, before, fix_place("part"),
	     behind);
	place("/dev/mapper/nvfs-test", O_DIRECT, NVFS_REASON_STACKED);
	must("udevadm settle 2>/dev/null; dmsetup remove --retry nvfs-test");
}

TEST_OF(dm_linear, 60, dm("linear", "", "2048"))
TEST_OF(dm_crypt, 60, dm("crypt", "aes-xts-plain64 "
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 0",
	"2048"))

static void md(int level)
{
	char one[64], two[64];

	if (access("/sbin/mdadm", X_OK))
		SKIP("mdadm is not installed");
	snprintf(one, sizeof(one), "%s", loop_make("md-one"));
	snprintf(two, sizeof(two), "%s", loop_make("md-two"));
	must("modprobe raid%d; mdadm --stop /dev/md77; yes | mdadm --create "
	     "/dev/md77 --run --assume-clean --level=%d --metadata=1.2 "
	     "--raid-devices=2 %s %s", level, level, one, two);
	place("/dev/md77", O_DIRECT, NVFS_REASON_STACKED);
	must("udevadm settle 2>/dev/null; mdadm --stop /dev/md77");
	loop_end(one, "md-one");
	loop_end(two, "md-two");
}

TEST_OF(md_raid0, 60, md(0))
TEST_OF(md_raid1, 60, md(1))

/* ----------------------------------------------------- what is on the drive */

/* Reads the block of the drive under a block of an ext4 file. */
static void read_under(int file, unsigned int block, uint8_t *to, int size)
{
	/* not the drive's partition: that has a cache of its own anyhow */
	char part[64];
	int fd;

	snprintf(part, sizeof(part), "%sp2", fix_place("disk"));
	ASSERT_EQ(ioctl(file, FIBMAP, &block), 0);
	ASSERT_NE(block, 0);
	fd = open(part, O_RDONLY | O_DIRECT);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(pread(fd, to, (size_t)size, (off_t)block * size), size);
	close(fd);
}

/* When a synchronous write returns, its first and last bytes are on the drive. */
static void synchronous(int flag)
{
	const uint64_t pos = 1024, len = 30720;
	uint8_t *block, *want;
	struct nvfs_rw rw;
	struct bench b;
	char path[300];
	int size;

	fix_path(EXT4, path, sizeof(path));
	set_up(&b, path, O_RDWR | flag);
	ASSERT_EQ(unlink(path), 0);
	ASSERT_EQ(ioctl(b.x.file, FIGETBSZ, &size), 0);
	ASSERT_EQ(posix_memalign((void **)&block, 4096, (size_t)size), 0);
	want = xmalloc(64 * KIB);
	gpu_put_pattern(&b.buf, 7, len, NEW, pos);
	b.x.region_offset = 7;
	b.x.file_offset = pos;
	b.x.length = len;
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, len);
	pattern_fill(want, 64 * KIB, OLD, 0);
	pattern_fill(want + pos, len, NEW, pos);
	read_under(b.x.file, (unsigned int)(pos / (uint64_t)size), block, size);
	ASSERT_MEMEQ(block, want + pos / (uint64_t)size * (uint64_t)size, size);
	read_under(b.x.file, (unsigned int)((pos + len) / (uint64_t)size),
		   block, size);
	ASSERT_MEMEQ(block,
		     want + (pos + len) / (uint64_t)size * (uint64_t)size, size);
}

TEST_OF(o_sync, 60, synchronous(O_SYNC))
TEST_OF(o_dsync, 60, synchronous(O_DSYNC))

/* ------------------------------------------------------------ many at a time */

struct one {
	struct xfer x;
	pthread_t thread;
};

static void *read_it(void *arg)
{
	struct one *one = arg;
	struct nvfs_rw rw;

	ASSERT_EQ(nv_rw_as(&one->x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, one->x.length);
	ASSERT_EQ(rw.route, NVFS_ROUTE_BOUNCE);
	return NULL;
}

/* More requests than there are buffers: each waits, none fails. */
TEST_LIMIT(a_hundred_at_once, 90)
{
	enum { NR = 100 };
	static struct one one[NR];
	struct gpu_buf buf;
	struct bench b;
	int i;

	set_up(&b, vblk_part(), O_RDWR);
	gpu_alloc(&buf, 0, NR * 640 * KIB, true);
	b.x.region = nv_region(b.x.dev, &buf);
	for (i = 0; i < NR; i++) {
		one[i].x = b.x;
		one[i].x.region_offset = (uint64_t)i * 640 * KIB;
		one[i].x.file_offset = (uint64_t)i;
		one[i].x.length = 600 * KIB;
		ASSERT_EQ(pthread_create(&one[i].thread, NULL, read_it,
					 &one[i]), 0);
	}
	for (i = 0; i < NR; i++)
		pthread_join(one[i].thread, NULL);
	for (i = 0; i < NR; i++)
		gpu_check_pattern(&buf, (uint64_t)i * 640 * KIB, 600 * KIB, OLD,
				  (uint64_t)i);
}

/* --------------------------------------------------- files that do not answer */

#define STUCK	300
#define NOBODY	65534

/* As another user, when told to: a batch and a synchronous read. */
static _Noreturn void read_as_another(const char *path, int told)
{
	struct nvfs_request req[8];
	struct nvfs_event event[8];
	struct nvfs_batch_submit out;
	struct nvfs_rw rw;
	struct bench b;
	uint32_t i, batch;
	char c;

	if (read(told, &c, 1) != 1 || setgid(NOBODY) || setuid(NOBODY))
		_exit(2);
	memset(&b, 0, sizeof(b));
	b.x.dev = nv_open();
	gpu_alloc(&b.buf, 0, SIZE, false);
	b.x.region = nv_region(b.x.dev, &b.buf);
	b.x.file = open(path, O_RDONLY);
	ASSERT_GE(b.x.file, 0);
	batch = batch_make(b.x.dev, 8);
	b.x.length = SIZE / 8;
	for (i = 0; i < 8; i++) {
		b.x.region_offset = i * b.x.length;
		b.x.file_offset = i * b.x.length;
		req[i] = nv_request(&b.x, NVFS_OP_READ, NVFS_RW_BOUNCE, i);
	}
	ASSERT_EQ(batch_submit(b.x.dev, batch, req, 8, &out), 0);
	batch_reap_all(b.x.dev, batch, event, 8, 30);
	gpu_check_pattern(&b.buf, 0, SIZE, OLD, 0);
	b.x.region_offset = 0;
	b.x.file_offset = 0;
	b.x.length = SIZE;
	gpu_fill(&b.buf, POISON);
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	gpu_check_pattern(&b.buf, 0, SIZE, OLD, 0);
	_exit(0);
}

/* More requests than there are workers wait for a file system that is frozen. */
TEST_LIMIT(a_file_that_does_not_answer_holds_up_no_other_user, 90)
{
	static struct nvfs_request req[STUCK];
	static struct nvfs_event event[STUCK];
	struct nvfs_batch_submit out;
	uint32_t batch, i, bad = 0;
	int status = -1, frozen, tell[2];
	char path[100];
	struct bench b;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/stuck", fix_place("tmpfs"));
	close(file_make_at(path, 0, SIZE, OLD, O_RDONLY));
	must("chmod 644 %s; chmod 666 /dev/nvidia-fs /dev/labgpu*", path);
	ASSERT_EQ(pipe(tell), 0);
	/* before the GPU is in use here: a child can't take that over */
	pid = fork();
	if (!pid)
		read_as_another(path, tell[0]);
	make_fs("mkfs.ext4 -q -F", "rw");
	set_up(&b, DIR "/m/file", O_RDWR);
	batch = batch_make(b.x.dev, STUCK);
	b.x.length = 1000;
	for (i = 0; i < STUCK; i++) {
		b.x.file_offset = i * 3000 + 1;
		req[i] = nv_request(&b.x, NVFS_OP_WRITE, NVFS_RW_BOUNCE, i);
	}
	frozen = open(DIR "/m", O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(ioctl(frozen, FIFREEZE, 0), 0);
	ASSERT_EQ(batch_submit(b.x.dev, batch, req, STUCK, &out), 0);
	ASSERT_EQ(write(tell[1], "", 1), 1);
	waitpid(pid, &status, 0);
	/* whatever the other one says, nothing may stay frozen */
	ASSERT_EQ(ioctl(frozen, FITHAW, 0), 0);
	batch_reap_all(b.x.dev, batch, event, STUCK, 60);
	for (i = 0; i < STUCK; i++)
		bad += event[i].error || event[i].done != 1000;
	must("chmod 600 /dev/nvidia-fs /dev/labgpu*; rm %s", path);
	ASSERT_EQ(bad, 0);
	ASSERT_EQ(status, 0);
}

/* ------------------------------------------------ what submitting waits for */

/*
 * A disk that stands on something, but on no PCI function.  It stays: where a drive's
 * pages were written back before, lockdep of Linux 6.12 takes the removal of a SCSI
 * disk for a possible deadlock of the kernel's own (of the work that writes back, and
 * the two queues' limits_lock), says so, and looks at nothing any more.
 */
static const char *scsi_make(void)
{
	static char dev[64];
	int i;

	must("modprobe sd_mod; modprobe scsi_debug dev_size_mb=8");
	for (i = 0; i < 100; i++) {
		if (!shell(dev, sizeof(dev), "set -- /sys/bus/pseudo/drivers/"
			   "scsi_debug/adapter0/host*/target*/*/block/*; "
			   "dev=/dev/${1##*/}; [ -b $dev ] && echo $dev")) {
			dev[strcspn(dev, "\n")] = '\0';
			return dev;
		}
		usleep(100000);
	}
	FAIL("scsi_debug made no disk");
}

/* Not where what is read is still cached, as after udev has looked. */
static bool is_at_work(const char *dev, pid_t pid)
{
	while (!waitpid(pid, NULL, WNOHANG)) {
		/* reads and writes under way */
		if (!shell(NULL, 0, "awk '{ exit !$9 }' /sys/block/%s/stat",
			   dev + strlen("/dev/")))
			return true;
		usleep(20000);
	}
	return false;
}

/*
 * Somebody looks for partitions, with the disk's lock held, on a disk that takes
 * two seconds for each of several reads.
 */
static pid_t scan_partitions(const char *dev)
{
	pid_t pid;
	int i;

	must("echo 500 >/sys/bus/pseudo/drivers/scsi_debug/delay");
	for (i = 0; i < 5; i++) {
		must("blockdev --flushbufs %s", dev);
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			int fd = open(dev, O_RDONLY | O_CLOEXEC);

			_exit(fd < 0 || ioctl(fd, BLKRRPART));
		}
		if (is_at_work(dev, pid))
			return pid;
	}
	FAIL("nobody looks for partitions of %s", dev);
}

TEST_LIMIT(a_submission_waits_for_nobody_who_looks_for_partitions, 120)
{
	struct nvfs_batch_submit out;
	struct nvfs_request req;
	struct nvfs_event event;
	const char *dev = scsi_make();
	struct bench b;
	uint32_t batch;
	double begun;
	bool at_it;
	int status;
	pid_t pid;

	set_up(&b, dev, O_RDWR);
	batch = batch_make(b.x.dev, 2);
	b.x.length = BLOCK;
	req = nv_request(&b.x, NVFS_OP_READ, NVFS_RW_BOUNCE, 7);
	/* once, so that the verdict is known */
	ASSERT_EQ(batch_submit(b.x.dev, batch, &req, 1, &out), 0);
	batch_reap_all(b.x.dev, batch, &event, 1, 20);
	ASSERT_EQ(event.error, 0);
	ASSERT_EQ(event.reason, NVFS_REASON_NOT_PCI);
	pid = scan_partitions(dev);
	begun = harness_now();
	ASSERT_EQ(batch_submit(b.x.dev, batch, &req, 1, &out), 0);
	begun = harness_now() - begun;
	at_it = !waitpid(pid, &status, WNOHANG);
	batch_reap_all(b.x.dev, batch, &event, 1, 60);
	ASSERT_TRUE(!at_it || waitpid(pid, &status, 0) == pid);
	/* nobody may change it while the disk is at work */
	must("echo 1 >/sys/bus/pseudo/drivers/scsi_debug/delay");
	ASSERT_EQ(status, 0);
	ASSERT_TRUE(at_it);
	ASSERT_TRUE(begun < 1);
	ASSERT_EQ(event.error, 0);
	close(b.x.file);
	ASSERT_EQ(batch_destroy(b.x.dev, batch), 0);
}

/*
 * Whether a file of xfs lies on a second device is asked with a lock that is held
 * over I/O; a file system that has none is not asked.
 */
TEST(an_xfs_without_a_second_device_is_not_asked_for_files_on_it)
{
	char out[64], path[300];
	struct nvfs_rw rw;
	struct bench b;
	int i;

	fix_path(XFS, path, sizeof(path));
	set_up(&b, path, O_RDWR);
	ASSERT_EQ(unlink(path), 0);
	b.x.length = BLOCK;
	must("cd %s; echo 'p:nvfs_attr vfs_fileattr_get' >>kprobe_events && "
	     "echo 1 >events/kprobes/nvfs_attr/enable", TRACING);
	for (i = 0; i < 4; i++)
		if (nv_rw_as(&b.x, i & 1, 0, &rw) ||
		    rw.route != NVFS_ROUTE_DIRECT)
			break;
	must("cd %s; echo 0 >events/kprobes/nvfs_attr/enable", TRACING);
	ASSERT_EQ(shell(out, sizeof(out), "cd %s; awk '$1 == \"nvfs_attr\" "
			"{ print $2 }' kprobe_profile; "
			"echo -:nvfs_attr >>kprobe_events", TRACING), 0);
	ASSERT_EQ(i, 4);
	ASSERT_EQ(atoll(out), 0);
}
