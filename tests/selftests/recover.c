// SPDX-License-Identifier: MIT
/*
 * Media errors: a request that meets a bad spot ends with EIO and says, to the
 * block, how many bytes before it are good; the rest of the drive goes on. The
 * bad drive is made by the device mapper, so it is served through host memory.
 */
#include "fix_async.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SEED	71
#define NEW	72
#define POISON	0x2e
#define SIZE	(2 * MIB)
#define DEVICE	"/dev/mapper/nvfs-bad"

struct bench {
	struct gpu_buf buf;
	struct xfer x;
};

static void table(uint64_t bad, uint64_t len)
{
	const char *part = fix_place("part");
	char out[500];

	if (access("/sbin/dmsetup", X_OK))
		SKIP("dmsetup is not installed");
	if (shell(out, sizeof(out),
		  "exec 2>&1; modprobe dm-mod; dmsetup remove nvfs-bad "
		  "2>/dev/null; { echo 0 %llu linear %s 0; echo %llu %llu error;"
		  " echo %llu %llu linear %s %llu; } | awk '$2' | dmsetup create "
		  "nvfs-bad "
		  "&& dmsetup mknodes",
		  (unsigned long long)bad / 512, part,
		  (unsigned long long)bad / 512, (unsigned long long)len / 512,
		  (unsigned long long)(bad + len) / 512,
		  (unsigned long long)(8 * MIB - bad - len) / 512, part,
		  (unsigned long long)(bad + len) / 512))
		FAIL("dmsetup: %s", out);
}

/* A drive with known bytes, of which [@bad, +@len) can't be read or written. */
static void set_up(struct bench *b, uint64_t bad, uint64_t len)
{
	memset(b, 0, sizeof(*b));
	/* the kernel tells of each bad block of the bad drive */
	harness_allow_log("I/O error");
	close(file_make(PART, SIZE, SEED, O_RDONLY));
	table(bad, len);
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, SIZE + 64 * KIB, false);
	gpu_fill(&b->buf, POISON);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_GE(b->x.file, 0);
	b->x.length = SIZE;
}

static void tear_down(struct bench *b)
{
	close(b->x.file);
	ASSERT_EQ(shell(NULL, 0, "udevadm settle 2>/dev/null; "
			"dmsetup remove --retry nvfs-bad"), 0);
}

static void bad_read(uint64_t bad, uint64_t start, uint64_t off)
{
	uint64_t good = bad - start;
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, bad, BLOCK);
	b.x.region_offset = off;
	b.x.file_offset = start;
	b.x.length = SIZE - start;
	ASSERT_ERRNO(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), EIO);
	ASSERT_LE(rw.done, good);
	ASSERT_GT(rw.done + BLOCK, good);
	ASSERT_EQ(rw.route, rw.done ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE);
	gpu_check_pattern(&b.buf, off, rw.done, SEED, start);
	/* what lies behind the bad spot can still be had */
	b.x.file_offset = bad + BLOCK;
	b.x.length = SIZE - bad - BLOCK;
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, SIZE - bad - BLOCK);
	gpu_check_pattern(&b.buf, off, rw.done, SEED, bad + BLOCK);
	tear_down(&b);
}

TEST_OF(read_of_a_bad_spot, 60, bad_read(1 * MIB, 0, 0))
TEST_OF(read_of_a_bad_spot_unaligned, 60, bad_read(1 * MIB + 36 * KIB, 77, 5))
TEST_OF(read_of_a_bad_first_block, 60, bad_read(0, 0, 0))
TEST_OF(read_of_a_bad_second_block, 60, bad_read(BLOCK, 0, 0))
TEST_OF(read_of_a_bad_last_block, 60, bad_read(SIZE - BLOCK, 0, 0))

static void bad_write(uint64_t bad)
{
	struct nvfs_rw rw;
	struct bench b;
	int part;

	set_up(&b, bad, BLOCK);
	gpu_put_pattern(&b.buf, 0, SIZE, NEW, 0);
	ASSERT_ERRNO(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), EIO);
	ASSERT_LE(rw.done, bad);
	ASSERT_GT(rw.done + BLOCK, bad);
	tear_down(&b);
	part = open(fix_place("part"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(part, 0);
	file_check(part, 0, 0, rw.done, NEW);
	file_check(part, 0, bad, BLOCK, SEED);
	close(part);
}

TEST_OF(write_of_a_bad_spot, 60, bad_write(1 * MIB))
TEST_OF(write_of_a_bad_first_block, 60, bad_write(0))

/* Each request of a batch has its own end. */
TEST(batch_over_a_bad_spot)
{
	enum { NR = 32 };
	const uint64_t each = SIZE / NR;
	struct nvfs_request req[NR];
	struct nvfs_batch_submit out;
	struct nvfs_event event[NR];
	struct bench b;
	uint32_t batch, i;

	set_up(&b, 10 * each + 8 * KIB, BLOCK);
	batch = batch_make(b.x.dev, NR);
	for (i = 0; i < NR; i++) {
		b.x.region_offset = i * each;
		b.x.file_offset = i * each;
		b.x.length = each;
		req[i] = nv_request(&b.x, NVFS_OP_READ, NVFS_RW_BOUNCE, i);
	}
	ASSERT_EQ(batch_submit(b.x.dev, batch, req, NR, &out), 0);
	batch_reap_all(b.x.dev, batch, event, NR, 30);
	for (i = 0; i < NR; i++) {
		uint64_t at = event[i].user_data * each;

		ASSERT_EQ(event[i].error, event[i].user_data == 10 ? EIO : 0);
		if (!event[i].error)
			ASSERT_EQ(event[i].done, each);
		else
			ASSERT_EQ(event[i].done, 8 * KIB);
		gpu_check_pattern(&b.buf, at, event[i].done, SEED, at);
	}
	tear_down(&b);
}
