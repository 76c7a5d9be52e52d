// SPDX-License-Identifier: MIT
/*
 * Bytes: what READ puts into GPU memory is what the file holds, what WRITE puts
 * into the file is what GPU memory held, and nothing beside it changes. On the
 * whole disk, a partition, ext4 and xfs.
 */
#include "fix.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/falloc.h>

#define POISON		0xa5
#define GUARD		(64 * KIB)
#define OLD		11
#define NEW		12

/* A test's region lies in @buf between two guards of poisoned memory. */
struct bench {
	struct gpu_buf buf;
	struct xfer x;
	uint64_t base;
};

static void set_up(struct bench *b, enum target target, uint64_t file_size,
		   uint64_t region_size, bool scatter, int flags)
{
	memset(b, 0, sizeof(*b));
	b->base = target_base(target);
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, region_size, scatter);
	gpu_fill(&b->buf, POISON);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, file_size, OLD, flags);
}

static void expect_direct(const struct nvfs_rw *rw, uint64_t done)
{
	ASSERT_EQ(rw->done, done);
	ASSERT_EQ(rw->route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(rw->reason, NVFS_REASON_NONE);
}

static void read_one(struct bench *b, uint64_t region_offset, uint64_t offset,
		     uint64_t length)
{
	struct nvfs_rw rw;

	b->x.region_offset = region_offset;
	b->x.file_offset = b->base + offset;
	b->x.length = length;
	gpu_fill(&b->buf, POISON);
	ASSERT_EQ(nv_read(&b->x, &rw), 0);
	expect_direct(&rw, length);
	gpu_check_pattern(&b->buf, region_offset, length, OLD, offset);
	gpu_check_byte(&b->buf, 0, region_offset, POISON);
	gpu_check_byte(&b->buf, region_offset + length,
		       b->buf.size - region_offset - length, POISON);
}

/* Writes, demands the new bytes and the old ones around them, and restores. */
static void write_one(struct bench *b, uint64_t region_offset, uint64_t offset,
		      uint64_t length, uint64_t file_size)
{
	struct nvfs_rw rw;

	b->x.region_offset = region_offset;
	b->x.file_offset = b->base + offset;
	b->x.length = length;
	gpu_fill(&b->buf, POISON);
	gpu_put_pattern(&b->buf, region_offset, length, NEW, offset);
	ASSERT_EQ(nv_write(&b->x, &rw), 0);
	expect_direct(&rw, length);
	file_check(b->x.file, b->base, offset, length, NEW);
	file_check(b->x.file, b->base, 0, offset, OLD);
	file_check(b->x.file, b->base, offset + length,
		   file_size - offset - length, OLD);
	gpu_check_pattern(&b->buf, region_offset, length, NEW, offset);
	gpu_put_pattern(&b->buf, region_offset, length, OLD, offset);
	ASSERT_EQ(nv_write(&b->x, &rw), 0);
}

static const uint64_t sizes[] = {
	4 * KIB, 8 * KIB, 60 * KIB, 64 * KIB, 68 * KIB, 128 * KIB,
	1 * MIB, 1 * MIB + 4 * KIB, 3 * MIB - 4 * KIB,
};

#define SIZES	(sizeof(sizes) / sizeof(sizes[0]))
#define FILE_4M	(4 * MIB)

static void reads(enum target target, bool scatter, int flags)
{
	struct bench b;
	size_t i;

	set_up(&b, target, FILE_4M, FILE_4M, scatter, O_RDONLY | flags);
	for (i = 0; i < SIZES; i++) {
		read_one(&b, GUARD, 0, sizes[i]);
		read_one(&b, 0, 4 * KIB, sizes[i]);
		read_one(&b, 60 * KIB, FILE_4M - sizes[i], sizes[i]);
	}
}

static void writes(enum target target, bool scatter, int flags)
{
	struct bench b;
	size_t i;

	set_up(&b, target, FILE_4M, FILE_4M, scatter, O_RDWR | flags);
	for (i = 0; i < SIZES; i++) {
		write_one(&b, GUARD, 0, sizes[i], FILE_4M);
		write_one(&b, 60 * KIB, FILE_4M - sizes[i], sizes[i], FILE_4M);
	}
}

/* More than one bio holds, and more than one NVMe command. */
static void large(enum target target, bool scatter)
{
	const uint64_t size = 20 * MIB + 12 * KIB;
	struct bench b;

	set_up(&b, target, size, size + 2 * GUARD, scatter, O_RDWR | O_DIRECT);
	read_one(&b, GUARD, 0, size);
	write_one(&b, GUARD, 0, size, size);
}

#define ON_TARGET(target, name)						\
TEST_OF(read_##name##_direct_fd, 90, reads(target, false, O_DIRECT))	\
TEST_OF(read_##name##_buffered_fd, 90, reads(target, false, 0))		\
TEST_OF(read_##name##_scattered, 90, reads(target, true, O_DIRECT))	\
TEST_OF(write_##name##_direct_fd, 90, writes(target, false, O_DIRECT))	\
TEST_OF(write_##name##_buffered_fd, 90, writes(target, false, 0))	\
TEST_OF(write_##name##_scattered, 90, writes(target, true, O_DIRECT))	\
TEST_OF(large_##name, 90, large(target, false))				\
TEST_OF(large_##name##_scattered, 90, large(target, true))

ON_TARGET(DISK, disk)
ON_TARGET(PART, partition)
ON_TARGET(EXT4, ext4)
ON_TARGET(XFS, xfs)

/* ------------------------------------------------- regions of all sizes */

TEST(region_of_one_block)
{
	struct gpu_buf buf;
	struct xfer x = { .dev = nv_open(), .length = BLOCK };
	struct nvfs_register reg;
	struct nvfs_rw rw;

	/* the third block of a GPU page of 64 KiB */
	gpu_alloc(&buf, 0, 64 * KIB, false);
	gpu_fill(&buf, POISON);
	ASSERT_EQ(nv_register(x.dev, buf.va + 2 * BLOCK, BLOCK, &reg), 0);
	ASSERT_EQ(reg.nr_pieces, 1);
	x.region = reg.region;
	x.file = file_make(EXT4, 2 * BLOCK, OLD, O_RDONLY);
	x.file_offset = BLOCK;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect_direct(&rw, BLOCK);
	gpu_check_byte(&buf, 0, 2 * BLOCK, POISON);
	gpu_check_pattern(&buf, 2 * BLOCK, BLOCK, OLD, BLOCK);
	gpu_check_byte(&buf, 3 * BLOCK, 13 * BLOCK, POISON);
	x.length = BLOCK + 512;
	ASSERT_ERRNO(nv_read(&x, &rw), ERANGE);
}

TEST(region_that_starts_inside_a_gpu_page)
{
	struct gpu_buf buf;
	struct xfer x = { .dev = nv_open() };
	struct nvfs_register reg;
	struct nvfs_rw rw;
	const uint64_t at = 5 * BLOCK, len = 256 * KIB + 3 * BLOCK;

	gpu_alloc(&buf, 0, 512 * KIB, true);
	gpu_fill(&buf, POISON);
	ASSERT_EQ(nv_register(x.dev, buf.va + at, len, &reg), 0);
	x.region = reg.region;
	x.length = len;
	x.file = file_make(XFS, len, OLD, O_RDONLY);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect_direct(&rw, len);
	gpu_check_byte(&buf, 0, at, POISON);
	gpu_check_pattern(&buf, at, len, OLD, 0);
	gpu_check_byte(&buf, at + len, buf.size - at - len, POISON);
}

/* The largest buffer that the GPU gives, read in one request. */
TEST_LIMIT(region_of_the_whole_gpu, 180)
{
	struct xfer x = { .dev = nv_open() };
	uint64_t size = gpu_total(0), file_size;
	struct nvfs_register reg;
	struct nvfs_rw rw;
	struct gpu_buf buf;

	while (!gpu_try_alloc(&buf, 0, size, false))
		size -= 64 * KIB;
	ASSERT_GE(size, gpu_total(0) - 2 * MIB);
	ASSERT_EQ(nv_register(x.dev, buf.va, size, &reg), 0);
	ASSERT_EQ(reg.nr_pieces, 1);
	x.region = reg.region;
	file_size = 64 * MIB;
	x.file = file_make(PART, file_size, OLD, O_RDONLY);
	/* from the first and up to the last byte of the region */
	x.length = file_size;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect_direct(&rw, file_size);
	x.region_offset = size - file_size;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect_direct(&rw, file_size);
	gpu_check_pattern(&buf, 0, file_size, OLD, 0);
	gpu_check_pattern(&buf, size - file_size, file_size, OLD, 0);
	x.region_offset += 4096;
	ASSERT_ERRNO(nv_read(&x, &rw), ERANGE);
}

TEST_LIMIT(one_request_as_large_as_the_gpu, 240)
{
	struct xfer x = { .dev = nv_open() };
	uint64_t size = gpu_total(0);
	struct nvfs_rw rw;
	struct gpu_buf buf;
	uint64_t disk;

	while (!gpu_try_alloc(&buf, 0, size, false))
		size -= 64 * KIB;
	x.region = nv_region(x.dev, &buf);
	x.file = open(fix_place("disk"), O_RDONLY | O_CLOEXEC);
	disk = (uint64_t)lseek(x.file, 0, SEEK_END);
	if (disk < size)
		SKIP("the drive is smaller than the GPU");
	x.length = size;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect_direct(&rw, size);
}

TEST(pieces_are_counted)
{
	int dev = nv_open();
	struct nvfs_register reg;
	struct gpu_buf whole, scattered;

	gpu_alloc(&whole, 0, 1 * MIB, false);
	gpu_alloc(&scattered, 0, 1 * MIB, true);
	ASSERT_EQ(nv_register(dev, whole.va, whole.size, &reg), 0);
	ASSERT_EQ(reg.nr_pieces, 1);
	ASSERT_EQ(nv_register(dev, scattered.va, scattered.size, &reg), 0);
	ASSERT_GT(reg.nr_pieces, 1);
	ASSERT_LE(reg.nr_pieces, 16);
}

/* --------------------------------------------------------- ends of files */

static void end_of_file(enum target target)
{
	const uint64_t size = 3 * BLOCK + 1234;
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, target, size, 256 * KIB, false, O_RDONLY);
	b.x.length = 8 * BLOCK;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, size);
	gpu_check_pattern(&b.buf, 0, size, OLD, 0);
	gpu_check_byte(&b.buf, 8 * BLOCK, 64 * KIB, POISON);

	b.x.file_offset = 2 * BLOCK;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, size - 2 * BLOCK);
	gpu_check_pattern(&b.buf, 0, size - 2 * BLOCK, OLD, 2 * BLOCK);

	b.x.file_offset = 4 * BLOCK;
	gpu_fill(&b.buf, POISON);
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	b.x.file_offset = 1ULL << 40;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	gpu_check_byte(&b.buf, 0, b.buf.size, POISON);
}

TEST(read_past_the_end_of_an_ext4_file_is_short)
{
	end_of_file(EXT4);
}

TEST(read_past_the_end_of_an_xfs_file_is_short)
{
	end_of_file(XFS);
}

TEST(read_past_the_end_of_a_device_is_short)
{
	struct nvfs_rw rw;
	struct bench b;
	uint64_t size;

	set_up(&b, PART, 64 * KIB, 256 * KIB, false, O_RDONLY);
	size = (uint64_t)lseek(b.x.file, 0, SEEK_END);
	b.x.length = 8 * BLOCK;
	b.x.file_offset = size - 2 * BLOCK;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	expect_direct(&rw, 2 * BLOCK);
	gpu_check_byte(&b.buf, 2 * BLOCK, 6 * BLOCK, POISON);
	b.x.file_offset = size;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
}

TEST(write_past_the_end_of_a_device_fails)
{
	struct nvfs_rw rw;
	struct bench b;
	uint64_t size;

	set_up(&b, PART, 64 * KIB, 256 * KIB, false, O_RDWR);
	size = (uint64_t)lseek(b.x.file, 0, SEEK_END);
	b.x.length = 4 * BLOCK;
	b.x.file_offset = size;
	ASSERT_ERRNO(nv_write(&b.x, &rw), ENOSPC);
	ASSERT_EQ(rw.done, 0);
	b.x.file_offset = size - 2 * BLOCK;
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 2 * BLOCK);
}

TEST(length_0_moves_nothing)
{
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, EXT4, 64 * KIB, 64 * KIB, false, O_RDWR);
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	b.x.region_offset = b.buf.size;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	b.x.region_offset++;
	ASSERT_ERRNO(nv_read(&b.x, &rw), ERANGE);
	gpu_check_byte(&b.buf, 0, b.buf.size, POISON);
	file_check(b.x.file, 0, 0, 64 * KIB, OLD);
}

/* ------------------------------------------- files that are not so plain */

static void appending_write(enum target target)
{
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, target, 64 * KIB, 1 * MIB, false, O_RDWR);
	gpu_put_pattern(&b.buf, 0, 1 * MIB, OLD, 64 * KIB);
	b.x.file_offset = 64 * KIB;
	b.x.length = 1 * MIB;
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	expect_direct(&rw, 1 * MIB);
	ASSERT_EQ(lseek(b.x.file, 0, SEEK_END), 1 * MIB + 64 * KIB);
	file_check(b.x.file, 0, 0, 1 * MIB + 64 * KIB, OLD);
}

TEST(write_makes_an_ext4_file_longer)
{
	appending_write(EXT4);
}

TEST(write_makes_an_xfs_file_longer)
{
	appending_write(XFS);
}

/* data | hole | data | unwritten | data, each 64 KiB */
static void holes(enum target target)
{
	const uint64_t part = 64 * KIB;
	struct nvfs_rw rw;
	struct bench b;
	unsigned int i;

	set_up(&b, target, 5 * part, 5 * part, true, O_RDWR);
	ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_PUNCH_HOLE |
			    FALLOC_FL_KEEP_SIZE, (off_t)part, (off_t)part), 0);
	ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_ZERO_RANGE,
			    (off_t)(3 * part), (off_t)part), 0);
	file_drop_cache(b.x.file);
	b.x.length = 5 * part;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 5 * part);
	for (i = 0; i < 5; i++) {
		if (i % 2)
			gpu_check_byte(&b.buf, i * part, part, 0);
		else
			gpu_check_pattern(&b.buf, i * part, part, OLD,
					  i * part);
	}
	/* and a write into the hole */
	gpu_put_pattern(&b.buf, 0, 5 * part, NEW, 0);
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, 5 * part);
	file_check(b.x.file, 0, 0, 5 * part, NEW);
}

TEST(holes_of_an_ext4_file_are_zeros)
{
	holes(EXT4);
}

TEST(holes_of_an_xfs_file_are_zeros)
{
	holes(XFS);
}

/* One extent for each block: every second block is punched and refilled. */
static void fragmented(enum target target)
{
	const uint64_t size = 1 * MIB;
	uint8_t data[BLOCK];
	struct bench b;
	uint64_t at;

	set_up(&b, target, size, size, true, O_RDWR);
	for (at = 0; at < size; at += 2 * BLOCK)
		ASSERT_EQ(fallocate(b.x.file, FALLOC_FL_PUNCH_HOLE |
				    FALLOC_FL_KEEP_SIZE, (off_t)at, BLOCK), 0);
	ASSERT_EQ(fsync(b.x.file), 0);
	for (at = 0; at < size; at += 2 * BLOCK) {
		pattern_fill(data, BLOCK, OLD, at);
		ASSERT_EQ(pwrite(b.x.file, data, BLOCK, (off_t)at), BLOCK);
	}
	file_drop_cache(b.x.file);
	read_one(&b, 0, 0, size);
	write_one(&b, 0, BLOCK, size - BLOCK, size);
}

TEST(file_in_many_extents_on_ext4)
{
	fragmented(EXT4);
}

TEST(file_in_many_extents_on_xfs)
{
	fragmented(XFS);
}

/* ---------------------------------------------------------- page cache */

static void dirty_cache(enum target target)
{
	uint8_t data[2 * BLOCK], back[2 * BLOCK];
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, target, 64 * KIB, 64 * KIB, false, O_RDWR);
	/* not yet on the drive: READ has to see it all the same */
	pattern_fill(data, sizeof(data), NEW, BLOCK);
	ASSERT_EQ(pwrite(b.x.file, data, sizeof(data),
			 (off_t)(b.base + BLOCK)), sizeof(data));
	b.x.file_offset = b.base;
	b.x.length = 64 * KIB;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	expect_direct(&rw, 64 * KIB);
	gpu_check_pattern(&b.buf, 0, BLOCK, OLD, 0);
	gpu_check_pattern(&b.buf, BLOCK, sizeof(data), NEW, BLOCK);
	gpu_check_pattern(&b.buf, 3 * BLOCK, 13 * BLOCK, OLD, 3 * BLOCK);

	/* cached before the WRITE: a later read(2) has to see the new bytes */
	ASSERT_EQ(pread(b.x.file, back, sizeof(back), (off_t)b.base),
		  sizeof(back));
	gpu_put_pattern(&b.buf, 0, 64 * KIB, NEW, 0);
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	ASSERT_EQ(pread(b.x.file, back, sizeof(back), (off_t)b.base),
		  sizeof(back));
	pattern_fill(data, sizeof(data), NEW, 0);
	ASSERT_MEMEQ(back, data, sizeof(data));
}

TEST(page_cache_is_coherent_on_a_partition)
{
	dirty_cache(PART);
}

TEST(page_cache_is_coherent_on_ext4)
{
	dirty_cache(EXT4);
}

TEST(page_cache_is_coherent_on_xfs)
{
	dirty_cache(XFS);
}

TEST(synchronous_files_are_written)
{
	const int flags[] = { O_SYNC, O_DSYNC, O_DSYNC | O_DIRECT };
	struct bench b;
	size_t i;

	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		set_up(&b, i & 1 ? XFS : EXT4, 256 * KIB, 256 * KIB, false,
		       O_RDWR | flags[i]);
		write_one(&b, 0, 4 * KIB, 128 * KIB, 256 * KIB);
	}
}

TEST(write_past_the_file_size_limit_is_efbig)
{
	struct rlimit limit = { .rlim_cur = 128 * KIB, .rlim_max = 128 * KIB };
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, EXT4, 64 * KIB, 256 * KIB, false, O_RDWR);
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	b.x.file_offset = 128 * KIB;
	b.x.length = 64 * KIB;
	ASSERT_ERRNO(nv_write(&b.x, &rw), EFBIG);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(lseek(b.x.file, 0, SEEK_END), 64 * KIB);
}

/* ------------------------------------------------------- several threads */

#define THREADS		4
#define ROUNDS		24
#define SLICE		(256 * KIB)
#define THREAD_FILE	(4 * MIB)

struct worker {
	pthread_t thread;
	struct bench *b;
	unsigned int number;
	bool overlap;
};

/* Reads random pieces; alone in its slice it checks each, else the last. */
static void *read_slices(void *arg)
{
	struct worker *w = arg;
	struct xfer x = w->b->x;
	uint64_t state = 77 + w->number;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t blocks = random_next(&state) % (SLICE / BLOCK) + 1;
		struct nvfs_rw rw;

		x.length = blocks * BLOCK;
		x.file_offset = random_next(&state) %
				(THREAD_FILE / BLOCK - blocks) * BLOCK;
		x.region_offset = w->number * SLICE;
		if (w->overlap)
			x.region_offset = x.file_offset;
		ASSERT_EQ(nv_read(&x, &rw), 0);
		expect_direct(&rw, x.length);
		gpu_check_pattern(&w->b->buf, x.region_offset, x.length, OLD,
				  x.file_offset);
	}
	return NULL;
}

static void run_threads(struct worker *w, unsigned int n,
			void *(*body)(void *))
{
	unsigned int i;

	for (i = 0; i < n; i++)
		ASSERT_EQ(pthread_create(&w[i].thread, NULL, body, &w[i]), 0);
	for (i = 0; i < n; i++)
		ASSERT_EQ(pthread_join(w[i].thread, NULL), 0);
}

static void threads_on_one_region(bool overlap)
{
	struct worker w[THREADS];
	struct bench b;
	unsigned int i;

	set_up(&b, EXT4, THREAD_FILE, THREAD_FILE, true, O_RDONLY | O_DIRECT);
	for (i = 0; i < THREADS; i++)
		w[i] = (struct worker){ .b = &b, .number = i,
					.overlap = overlap };
	run_threads(w, THREADS, read_slices);
}

TEST_LIMIT(threads_on_one_region, 120)
{
	threads_on_one_region(false);
}

/* All threads read the same bytes to the same places, at the same time. */
TEST_LIMIT(threads_on_overlapping_ranges, 120)
{
	threads_on_one_region(true);
}

static void *own_region(void *arg)
{
	struct worker *w = arg;

	w->b->x.region_offset = 0;
	w->number = 0;
	return read_slices(w);
}

TEST_LIMIT(threads_on_regions_and_files_of_their_own, 120)
{
	struct worker w[THREADS];
	struct bench b[THREADS];
	unsigned int i;

	for (i = 0; i < THREADS; i++) {
		set_up(&b[i], i & 1 ? XFS : EXT4, THREAD_FILE, SLICE, i & 1,
		       O_RDONLY);
		w[i] = (struct worker){ .b = &b[i], .number = i };
	}
	run_threads(w, THREADS, own_region);
}

static void *write_slice(void *arg)
{
	struct worker *w = arg;
	struct xfer x = w->b->x;
	unsigned int i;

	x.region_offset = w->number * SLICE;
	x.file_offset = w->number * SLICE;
	x.length = SLICE;
	for (i = 0; i < ROUNDS / 4; i++) {
		struct nvfs_rw rw;

		ASSERT_EQ(nv_write(&x, &rw), 0);
		expect_direct(&rw, SLICE);
	}
	return NULL;
}

TEST_LIMIT(threads_write_one_file_from_one_region, 120)
{
	struct worker w[THREADS];
	struct bench b;
	unsigned int i;

	set_up(&b, XFS, THREADS * SLICE, THREADS * SLICE, false, O_RDWR);
	gpu_put_pattern(&b.buf, 0, THREADS * SLICE, NEW, 0);
	for (i = 0; i < THREADS; i++)
		w[i] = (struct worker){ .b = &b, .number = i };
	run_threads(w, THREADS, write_slice);
	file_check(b.x.file, 0, 0, THREADS * SLICE, NEW);
}

/* One region, many ids: the same memory may be registered again. */
TEST(same_memory_in_two_regions)
{
	struct nvfs_rw rw;
	struct bench b;
	uint32_t second;

	set_up(&b, EXT4, 64 * KIB, 64 * KIB, false, O_RDONLY);
	second = nv_region(b.x.dev, &b.buf);
	ASSERT_NE(second, b.x.region);
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
	b.x.region = second;
	b.x.length = 64 * KIB;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	gpu_check_pattern(&b.buf, 0, 64 * KIB, OLD, 0);
}
