// SPDX-License-Identifier: MIT
/*
 * Sparse files: holes read as zeroes, or are listed and their GPU memory stays;
 * never is anything listed that held data when the call began.
 */
#include "fix_async.h"
#include "fix_fuse.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEED	61
#define POISON	0x4e

struct bench {
	struct gpu_buf buf;
	struct xfer x;
	struct nvfs_rw rw;
	struct nvfs_hole *hole;
};

/* A file of @size bytes that is one hole. */
static void set_up(struct bench *b, enum target target, uint64_t size,
		   uint64_t gpu)
{
	memset(b, 0, sizeof(*b));
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, gpu, false);
	gpu_fill(&b->buf, POISON);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, 0, SEED, O_RDWR);
	b->x.length = size;
	b->hole = calloc(2 * NVFS_MAX_HOLES, sizeof(*b->hole));
	ASSERT_EQ(ftruncate(b->x.file, (off_t)size), 0);
}

static void put_data(const struct bench *b, uint64_t pos, uint64_t len)
{
	uint8_t *data = xmalloc(len);

	pattern_fill(data, len, SEED, pos);
	ASSERT_EQ(pwrite(b->x.file, data, len, (off_t)pos), len);
	free(data);
}

static void read_holes(struct bench *b, uint32_t flags, uint32_t max)
{
	ASSERT_EQ(nv_read_holes(&b->x, flags, b->hole, max, &b->rw), 0);
}

static void expect_hole(const struct bench *b, uint32_t i, uint64_t pos,
			uint64_t len)
{
	ASSERT_LT(i, b->rw.nr_holes);
	ASSERT_EQ(b->hole[i].file_offset, pos);
	ASSERT_EQ(b->hole[i].length, len);
}

static void zeroed(enum target target)
{
	struct bench b;

	set_up(&b, target, 4 * MIB, 4 * MIB);
	put_data(&b, 1 * MIB, 64 * KIB);
	put_data(&b, 3 * MIB, 4 * KIB);
	file_drop_cache(b.x.file);
	ASSERT_EQ(nv_rw_as(&b.x, false, 0, &b.rw), 0);
	ASSERT_EQ(b.rw.done, 4 * MIB);
	ASSERT_EQ(b.rw.route, NVFS_ROUTE_DIRECT);
	gpu_check_byte(&b.buf, 0, 1 * MIB, 0);
	gpu_check_pattern(&b.buf, 1 * MIB, 64 * KIB, SEED, 1 * MIB);
	gpu_check_byte(&b.buf, 1 * MIB + 64 * KIB, 2 * MIB - 64 * KIB, 0);
	gpu_check_pattern(&b.buf, 3 * MIB, 4 * KIB, SEED, 3 * MIB);
	gpu_check_byte(&b.buf, 3 * MIB + 4 * KIB, 1 * MIB - 4 * KIB, 0);
}

TEST_OF(holes_are_zeroes_ext4, 60, zeroed(EXT4))
TEST_OF(holes_are_zeroes_xfs, 60, zeroed(XFS))

static void listed(enum target target)
{
	struct bench b;

	set_up(&b, target, 4 * MIB, 4 * MIB);
	put_data(&b, 1 * MIB, 64 * KIB);
	put_data(&b, 3 * MIB, 4 * KIB);
	file_drop_cache(b.x.file);
	ASSERT_EQ(lseek(b.x.file, 12345, SEEK_SET), 12345);
	read_holes(&b, 0, 8);
	ASSERT_EQ(b.rw.done, 4 * MIB);
	ASSERT_EQ(b.rw.nr_holes, 3);
	ASSERT_EQ(b.rw.route, NVFS_ROUTE_DIRECT);
	expect_hole(&b, 0, 0, 1 * MIB);
	expect_hole(&b, 1, 1 * MIB + 64 * KIB, 2 * MIB - 64 * KIB);
	expect_hole(&b, 2, 3 * MIB + 4 * KIB, 1 * MIB - 4 * KIB);
	gpu_check_byte(&b.buf, 0, 1 * MIB, POISON);
	gpu_check_pattern(&b.buf, 1 * MIB, 64 * KIB, SEED, 1 * MIB);
	gpu_check_byte(&b.buf, 1 * MIB + 64 * KIB, 2 * MIB - 64 * KIB, POISON);
	gpu_check_pattern(&b.buf, 3 * MIB, 4 * KIB, SEED, 3 * MIB);
	gpu_check_byte(&b.buf, 3 * MIB + 4 * KIB, 1 * MIB - 4 * KIB, POISON);
	/* the caller's position is the caller's */
	ASSERT_EQ(lseek(b.x.file, 0, SEEK_CUR), 12345);
}

TEST_OF(holes_are_listed_ext4, 60, listed(EXT4))
TEST_OF(holes_are_listed_xfs, 60, listed(XFS))

/* A request that begins and ends inside holes gets their parts in it. */
TEST(holes_are_cut_to_the_request)
{
	struct bench b;

	set_up(&b, EXT4, 1 * MIB, 1 * MIB);
	put_data(&b, 512 * KIB, 4 * KIB);
	b.x.file_offset = 500 * KIB + 100;
	b.x.length = 30000;
	read_holes(&b, NVFS_RW_BOUNCE, 8);
	ASSERT_EQ(b.rw.done, 30000);
	ASSERT_EQ(b.rw.nr_holes, 2);
	expect_hole(&b, 0, 500 * KIB + 100, 12 * KIB - 100);
	expect_hole(&b, 1, 516 * KIB, 30000 - 16 * KIB + 100);
	gpu_check_pattern(&b.buf, 12 * KIB - 100, 4 * KIB, SEED, 512 * KIB);
	gpu_check_byte(&b.buf, 0, 12 * KIB - 100, POISON);
}

TEST(nothing_but_a_hole)
{
	struct bench b;

	set_up(&b, EXT4, 1 * MIB, 1 * MIB);
	read_holes(&b, 0, 1);
	ASSERT_EQ(b.rw.done, 1 * MIB);
	ASSERT_EQ(b.rw.nr_holes, 1);
	ASSERT_EQ(b.rw.route, NVFS_ROUTE_NONE);
	expect_hole(&b, 0, 0, 1 * MIB);
	gpu_check_byte(&b.buf, 0, 1 * MIB, POISON);
}

TEST(nothing_but_data)
{
	struct bench b;

	set_up(&b, XFS, 1 * MIB, 1 * MIB);
	put_data(&b, 0, 1 * MIB);
	read_holes(&b, 0, 1);
	ASSERT_EQ(b.rw.done, 1 * MIB);
	ASSERT_EQ(b.rw.nr_holes, 0);
	gpu_check_pattern(&b.buf, 0, 1 * MIB, SEED, 0);
}

TEST(block_devices_have_no_holes)
{
	struct bench b;

	set_up(&b, EXT4, 64 * KIB, 64 * KIB);
	close(b.x.file);
	b.x.file = file_make(PART, 64 * KIB, SEED, O_RDWR);
	read_holes(&b, 0, 4);
	ASSERT_EQ(b.rw.done, 64 * KIB);
	ASSERT_EQ(b.rw.nr_holes, 0);
	gpu_check_pattern(&b.buf, 0, 64 * KIB, SEED, 0);
}

TEST(end_of_file)
{
	struct bench b;

	set_up(&b, EXT4, 100000, 1 * MIB);
	put_data(&b, 8 * KIB, 8 * KIB);
	b.x.length = 1 * MIB;
	read_holes(&b, NVFS_RW_BOUNCE, 8);
	ASSERT_EQ(b.rw.done, 100000);
	ASSERT_EQ(b.rw.nr_holes, 2);
	expect_hole(&b, 1, 16 * KIB, 100000 - 16 * KIB);
	b.x.file_offset = 100000;
	read_holes(&b, NVFS_RW_BOUNCE, 8);
	ASSERT_EQ(b.rw.done, 0);
	ASSERT_EQ(b.rw.nr_holes, 0);
}

/* ---------------------------------------------------------------- many holes */

#define HOLES	3000

/* Data in every other block: HOLES holes of a block each. */
static void make_many(struct bench *b)
{
	uint32_t i;

	set_up(b, EXT4, 2 * HOLES * BLOCK, 2 * HOLES * BLOCK);
	for (i = 0; i < HOLES; i++)
		put_data(b, (2 * i + 1) * BLOCK, BLOCK);
	file_drop_cache(b->x.file);
}

/* Goes on where the last call ended, until all has been seen. */
static void continue_to_the_end(uint32_t max, uint32_t room)
{
	uint64_t total = 2 * HOLES * BLOCK, at = 0;
	uint32_t i, holes = 0, calls = 0;
	uint8_t *want, *got;
	struct bench b;

	make_many(&b);
	while (at < total) {
		b.x.file_offset = at;
		b.x.region_offset = at;
		b.x.length = total - at;
		read_holes(&b, 0, max);
		ASSERT_GT(b.rw.done, 0);
		ASSERT_LE(b.rw.nr_holes, room);
		for (i = 0; i < b.rw.nr_holes; i++, holes++)
			expect_hole(&b, i, 2 * holes * BLOCK, BLOCK);
		at += b.rw.done;
		if (at < total) {	/* it ends where the next hole begins */
			ASSERT_EQ(b.rw.nr_holes, room);
			ASSERT_EQ(at, 2 * holes * BLOCK);
		}
		calls++;
	}
	ASSERT_EQ(holes, HOLES);
	ASSERT_EQ(calls, (HOLES + room - 1) / room);
	want = xmalloc(total);
	got = xmalloc(total);
	memset(want, POISON, total);
	for (i = 0; i < HOLES; i++)
		pattern_fill(want + (2 * i + 1) * BLOCK, BLOCK, SEED,
			     (2 * i + 1) * BLOCK);
	gpu_get(&b.buf, 0, got, total);
	ASSERT_MEMEQ(got, want, total);
}

TEST_OF(three_thousand_holes_seven_at_a_time, 90, continue_to_the_end(7, 7))
TEST_OF(three_thousand_holes_with_the_most_records, 90,
	continue_to_the_end(2 * NVFS_MAX_HOLES, NVFS_MAX_HOLES))

TEST(neighbours_are_merged)
{
	struct bench b;

	set_up(&b, EXT4, 1 * MIB, 1 * MIB);
	put_data(&b, 0, 1 * MIB);
	ASSERT_EQ(fsync(b.x.file), 0);
	/* punched and unwritten blocks side by side are one hole */
	ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_PUNCH_HOLE |
			    FALLOC_FL_KEEP_SIZE, 64 * KIB, 64 * KIB), 0);
	ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_ZERO_RANGE, 128 * KIB,
			    64 * KIB), 0);
	ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_PUNCH_HOLE |
			    FALLOC_FL_KEEP_SIZE, 192 * KIB, 64 * KIB), 0);
	read_holes(&b, 0, 8);
	ASSERT_EQ(b.rw.nr_holes, 1);
	expect_hole(&b, 0, 64 * KIB, 192 * KIB);
}

TEST(records_that_can_not_be_written)
{
	struct bench b;
	uint8_t *p;

	set_up(&b, EXT4, 1 * MIB, 1 * MIB);
	ASSERT_ERRNO(nv_read_holes(&b.x, 0, NULL, 4, &b.rw), EFAULT);
	p = mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_ERRNO(nv_read_holes(&b.x, 0, (void *)p, 4, &b.rw), EFAULT);
	ASSERT_ERRNO(nv_read_holes(&b.x, 0, b.hole, 0, &b.rw), EINVAL);
	/* more room than there ever are records is no reason to fail */
	read_holes(&b, 0, UINT32_MAX);
	ASSERT_EQ(b.rw.nr_holes, 1);
}

/* What stands before the first hole counts, and nothing else. */
TEST(data_before_records_that_can_not_be_written_counts)
{
	long long direct = stat_get("read_direct_bytes");
	long long bounced = stat_get("read_bounce_bytes");
	long long hole_bytes = stat_get("hole_bytes");
	long long bytes = stat_get("read_bytes");
	struct bench b;

	set_up(&b, EXT4, 12 * KIB, 64 * KIB);
	put_data(&b, 0, 4 * KIB);
	put_data(&b, 8 * KIB, 4 * KIB);
	file_drop_cache(b.x.file);
	ASSERT_ERRNO(nv_read_holes(&b.x, 0, NULL, 4, &b.rw), EFAULT);
	ASSERT_EQ(b.rw.done, 4 * KIB);
	ASSERT_EQ(b.rw.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(stat_get("read_direct_bytes"), direct + 4096);
	ASSERT_EQ(stat_get("read_bounce_bytes"), bounced);
	ASSERT_EQ(stat_get("read_bytes"), bytes + 4096);
	ASSERT_EQ(stat_get("hole_bytes"), hole_bytes);
	read_holes(&b, 0, 4);
	ASSERT_EQ(stat_get("read_bytes"), bytes + 16 * KIB);
	ASSERT_EQ(stat_get("hole_bytes"), hole_bytes + 4096);
}

/* ------------------------------------------------------ data that is not there */

/* Preallocated on the drive, written in the page cache only: that is data. */
static void dirty(enum target target)
{
	struct bench b;

	set_up(&b, target, 1 * MIB, 1 * MIB);
	ASSERT_EQ(fallocate(b.x.file, 0, 0, 1 * MIB), 0);
	ASSERT_EQ(fsync(b.x.file), 0);
	put_data(&b, 256 * KIB, 64 * KIB);
	put_data(&b, 640 * KIB + 100, 100);
	read_holes(&b, 0, 8);
	ASSERT_EQ(b.rw.done, 1 * MIB);
	gpu_check_pattern(&b.buf, 256 * KIB, 64 * KIB, SEED, 256 * KIB);
	gpu_check_pattern(&b.buf, 640 * KIB + 100, 100, SEED, 640 * KIB + 100);
	expect_hole(&b, 0, 0, 256 * KIB);
	expect_hole(&b, 1, 320 * KIB, 320 * KIB);
}

TEST_OF(unwritten_blocks_with_dirty_pages_ext4, 60, dirty(EXT4))
TEST_OF(unwritten_blocks_with_dirty_pages_xfs, 60, dirty(XFS))

TEST(a_mapped_store_is_data)
{
	struct bench b;
	uint8_t *map;

	set_up(&b, EXT4, 1 * MIB, 1 * MIB);
	map = mmap(NULL, 1 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, b.x.file,
		   0);
	ASSERT_TRUE(map != MAP_FAILED);
	pattern_fill(map + 512 * KIB, 4096, SEED, 512 * KIB);
	read_holes(&b, 0, 8);
	ASSERT_EQ(b.rw.nr_holes, 2);
	gpu_check_pattern(&b.buf, 512 * KIB, 4096, SEED, 512 * KIB);
}

/* ---------------------------------------------------- a writer fills the holes */

struct filler {
	const struct bench *b;
	uint32_t order[256];
	uint32_t filled;	/* blocks of @order that are written */
};

static void *fill(void *arg)
{
	struct filler *f = arg;
	uint32_t i;

	for (i = 0; i < 256; i++) {
		put_data(f->b, f->order[i] * BLOCK, BLOCK);
		__atomic_store_n(&f->filled, i + 1, __ATOMIC_RELEASE);
		if (i % 4 == 0)
			sched_yield();
	}
	return NULL;
}

static bool in_hole(const struct bench *b, uint64_t pos)
{
	uint32_t i;

	for (i = 0; i < b->rw.nr_holes; i++)
		if (pos >= b->hole[i].file_offset &&
		    pos < b->hole[i].file_offset + b->hole[i].length)
			return true;
	return false;
}

/* What was written before a call began must not be in a hole of that call. */
static void beside_a_filler(enum target target)
{
	struct filler f = { 0 };
	uint64_t state = SEED;
	uint32_t i, k, before;
	pthread_t thread;
	struct bench b;

	set_up(&b, target, 256 * BLOCK, 256 * BLOCK);
	f.b = &b;
	for (i = 0; i < 256; i++)
		f.order[i] = i;
	for (i = 255; i; i--) {
		uint32_t other = (uint32_t)(random_next(&state) % (i + 1));

		k = f.order[i];
		f.order[i] = f.order[other];
		f.order[other] = k;
	}
	ASSERT_EQ(pthread_create(&thread, NULL, fill, &f), 0);
	do {
		before = __atomic_load_n(&f.filled, __ATOMIC_ACQUIRE);
		gpu_fill(&b.buf, POISON);
		read_holes(&b, 0, NVFS_MAX_HOLES);
		ASSERT_EQ(b.rw.done, 256 * BLOCK);
		for (i = 0; i < before; i++) {
			uint64_t pos = f.order[i] * BLOCK;

			if (in_hole(&b, pos))
				FAIL("block %u was written, and is in a hole",
				     f.order[i]);
			gpu_check_pattern(&b.buf, pos, BLOCK, SEED, pos);
		}
	} while (before < 256);
	pthread_join(thread, NULL);
	file_check(b.x.file, 0, 0, 256 * BLOCK, SEED);
}

TEST_OF(a_writer_fills_the_holes_ext4, 90, beside_a_filler(EXT4))
TEST_OF(a_writer_fills_the_holes_xfs, 90, beside_a_filler(XFS))

/* ------------------------------------------------------- answers of a server */

#define BEFORE	4095

/* Data begins before the hole that it was asked to begin behind. */
static int64_t seek_backwards(uint64_t pos, int whence)
{
	if (whence == SEEK_DATA)
		return (int64_t)pos - BEFORE;
	return pos >= 2 * BEFORE ? (int64_t)pos : 64 * (int64_t)KIB;
}

static void expect_no_server(const struct fuse_model *model, uint64_t off,
			     uint64_t pos, uint64_t length)
{
	struct bench b;

	set_up(&b, EXT4, 0, 64 * KIB);
	close(b.x.file);
	b.x.file = fuse_file(model);
	b.x.region_offset = off;
	b.x.file_offset = pos;
	b.x.length = length;
	ASSERT_ERRNO(nv_read_holes(&b.x, NVFS_RW_BOUNCE, b.hole, 4, &b.rw), EIO);
	ASSERT_EQ(b.rw.done, 0);
	gpu_check_byte(&b.buf, 0, 64 * KIB, POISON);
}

TEST(server_that_finds_data_before_a_hole_is_no_server)
{
	static const struct fuse_model model = { 64 * KIB, seek_backwards };

	expect_no_server(&model, 8 * KIB, 8 * KIB, 8 * KIB);
}

/* So far back that its blocks count as none. */
static int64_t seek_far_back(uint64_t pos, int whence)
{
	if (whence == SEEK_DATA)
		return 0;
	return pos ? (int64_t)pos : 4096;
}

TEST(server_that_finds_data_far_away_is_none_either)
{
	static const struct fuse_model model = { 2ULL << 44, seek_far_back };

	expect_no_server(&model, 0, 1ULL << 44, 64 * KIB);
}

/* And one that tells the truth is believed. */
static int64_t seek_well(uint64_t pos, int whence)
{
	if (whence == SEEK_HOLE)
		return pos < 8 * KIB ? 8 * (int64_t)KIB :
		       pos < 16 * KIB ? (int64_t)pos : 64 * (int64_t)KIB;
	return pos < 8 * KIB || pos >= 16 * KIB ? (int64_t)pos :
						  16 * (int64_t)KIB;
}

TEST(server_that_knows_its_holes_is_believed)
{
	static const struct fuse_model model = { 64 * KIB, seek_well };
	struct bench b;

	set_up(&b, EXT4, 0, 64 * KIB);
	close(b.x.file);
	b.x.file = fuse_file(&model);
	b.x.length = 64 * KIB;
	read_holes(&b, NVFS_RW_BOUNCE, 4);
	ASSERT_EQ(b.rw.done, 64 * KIB);
	ASSERT_EQ(b.rw.nr_holes, 1);
	expect_hole(&b, 0, 8 * KIB, 8 * KIB);
	gpu_check_byte(&b.buf, 0, 8 * KIB, FUSE_BYTE);
	gpu_check_byte(&b.buf, 8 * KIB, 8 * KIB, POISON);
	gpu_check_byte(&b.buf, 16 * KIB, 48 * KIB, FUSE_BYTE);
}
