// SPDX-License-Identifier: MIT
/*
 * Any alignment of file offset, GPU offset and length: the right bytes, an honest
 * route, and not a byte beside them; while others use the same file through the
 * page cache, map it, or cut it. What a WRITE has inside a block of the file goes
 * through the page cache, beside direct writes to its neighbours.
 */
#include "fix_async.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLD	21
#define NEW	22
#define POISON	0x6d
#define SIZE	(1 * MIB)
#define FILES	(1 * MIB + 256 * KIB)

struct bench {
	struct gpu_buf buf;
	struct xfer x;
	uint64_t base;
	uint64_t file_size;
	uint32_t offset_align;	/* of writes */
	uint32_t read_align;
	uint32_t mem_align;
	bool scatter;
};

static void set_up(struct bench *b, enum target target, bool scatter)
{
	struct nvfs_query q;

	memset(b, 0, sizeof(*b));
	b->base = target_base(target);
	b->file_size = FILES;
	b->scatter = scatter;
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, SIZE, scatter);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, FILES, OLD, O_RDWR);
	ASSERT_EQ(nv_query(b->x.dev, b->x.region, b->x.file, &q), 0);
	b->offset_align = q.offset_align;
	/* of xfs QUERY tells what writes need; the lab's drives have 512 */
	b->read_align = q.offset_align < 512 ? q.offset_align : 512;
	ASSERT_EQ(b->offset_align, target == XFS ? BLOCK : b->read_align);
	b->mem_align = q.mem_align;
}

static void aim(struct bench *b, uint64_t off, uint64_t pos, uint64_t len)
{
	b->x.region_offset = off;
	b->x.file_offset = b->base + pos;
	b->x.length = len;
}

static bool fits_direct(const struct bench *b, bool write)
{
	/* with several pieces, each but the last has to end on a block */
	uint32_t mem = b->scatter ? b->read_align : b->mem_align;
	uint32_t align = write ? b->offset_align : b->read_align;

	return !((b->x.file_offset | b->x.length) % align) &&
	       !(b->x.region_offset % mem);
}

static void expect_honest(const struct bench *b, bool write,
			  const struct nvfs_rw *rw, uint64_t done)
{
	ASSERT_EQ(rw->done, done);
	if (!done)
		return;
	if (fits_direct(b, write)) {
		ASSERT_EQ(rw->route, NVFS_ROUTE_DIRECT);
		ASSERT_EQ(rw->reason, NVFS_REASON_NONE);
	} else {
		ASSERT_TRUE(rw->route == NVFS_ROUTE_MIXED ||
			    rw->route == NVFS_ROUTE_BOUNCE);
		ASSERT_EQ(rw->reason, NVFS_REASON_ALIGN);
	}
}

static void read_one(struct bench *b, uint64_t off, uint64_t pos, uint64_t len)
{
	struct nvfs_rw rw;

	aim(b, off, pos, len);
	gpu_fill(&b->buf, POISON);
	ASSERT_EQ(nv_rw_as(&b->x, false, NVFS_RW_BOUNCE, &rw), 0);
	expect_honest(b, false, &rw, len);
	gpu_check_byte(&b->buf, 0, off, POISON);
	gpu_check_pattern(&b->buf, off, len, OLD, pos);
	gpu_check_byte(&b->buf, off + len, SIZE - off - len, POISON);
}

/* Writes, looks at the whole file, and writes what was there before. */
static void write_one(struct bench *b, uint64_t off, uint64_t pos, uint64_t len)
{
	struct nvfs_rw rw;

	aim(b, off, pos, len);
	gpu_fill(&b->buf, POISON);
	gpu_put_pattern(&b->buf, off, len, NEW, pos);
	ASSERT_EQ(nv_rw_as(&b->x, true, NVFS_RW_BOUNCE, &rw), 0);
	expect_honest(b, true, &rw, len);
	file_check(b->x.file, b->base, 0, pos, OLD);
	file_check(b->x.file, b->base, pos, len, NEW);
	file_check(b->x.file, b->base, pos + len, FILES - pos - len, OLD);
	gpu_check_pattern(&b->buf, off, len, NEW, pos);
	gpu_put_pattern(&b->buf, off, len, OLD, pos);
	ASSERT_EQ(nv_rw_as(&b->x, true, NVFS_RW_BOUNCE, &rw), 0);
}

/* GPU offset, file offset, length. */
static const uint64_t shapes[][3] = {
	{ 1, 0, 1 }, { 0, 1, 1 }, { 0, 511, 2 }, { 4095, 4095, 2 },
	{ 1, 1, 511 }, { 512, 512, 1024 }, { 100, 612, 10000 },
	{ 3, 3, 100000 }, { 2, 1, 70000 }, { 4, 0, 70001 }, { 8, 512, 69632 },
	{ 0, 7, 65536 }, { 65535, 4095, 65538 }, { 65536, 4096, 12345 },
	{ 512, 0, 131072 }, { 256, 0, 300032 }, { 777, 777, 777777 },
	{ 1, 2, 900001 }, { 0, 256 * KIB + 1, 1 * MIB - 1 },
};

#define SHAPES	(sizeof(shapes) / sizeof(shapes[0]))

static void all_shapes(enum target target, bool scatter, bool write)
{
	struct bench b;
	size_t i;

	set_up(&b, target, scatter);
	for (i = 0; i < SHAPES; i++) {
		if (write)
			write_one(&b, shapes[i][0], shapes[i][1], shapes[i][2]);
		else
			read_one(&b, shapes[i][0], shapes[i][1], shapes[i][2]);
	}
}

#define SHAPES_OF(target, name)						\
TEST_OF(read_##name, 90, all_shapes(target, false, false))		\
TEST_OF(read_##name##_scattered, 90, all_shapes(target, true, false))	\
TEST_OF(write_##name, 90, all_shapes(target, false, true))		\
TEST_OF(write_##name##_scattered, 90, all_shapes(target, true, true))

SHAPES_OF(DISK, disk)
SHAPES_OF(EXT4, ext4)
SHAPES_OF(XFS, xfs)

/* Around one block, every offset that differs in kind. */
TEST_LIMIT(every_kind_of_offset, 120)
{
	static const uint64_t at[] = { 0, 1, 3, 4, 255, 508, 511, 512, 513 };
	static const uint64_t len[] = { 1, 4, 511, 512, 513, 1024, 4096 };
	const size_t ats = sizeof(at) / sizeof(at[0]);
	uint8_t poison[16 * KIB];
	size_t i, k, l;
	struct bench b;

	set_up(&b, EXT4, false);
	memset(poison, POISON, sizeof(poison));
	for (i = 0; i < ats; i++)
		for (k = 0; k < ats; k++)
			for (l = 0; l < sizeof(len) / sizeof(len[0]); l++) {
				struct nvfs_rw rw;

				aim(&b, 8192 + at[i], 4096 + at[k], len[l]);
				gpu_put(&b.buf, 4096, poison, sizeof(poison));
				ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE,
						   &rw), 0);
				expect_honest(&b, false, &rw, len[l]);
				gpu_check_byte(&b.buf, 4096, 4096 + at[i],
					       POISON);
				gpu_check_pattern(&b.buf, 8192 + at[i], len[l],
						  OLD, 4096 + at[k]);
				gpu_check_byte(&b.buf, 8192 + at[i] + len[l],
					       4096, POISON);
			}
}

static void refused(enum target target)
{
	struct nvfs_rw rw;
	struct bench b;
	size_t i;
	int write;

	set_up(&b, target, false);
	for (i = 0; i < SHAPES; i++) {
		aim(&b, shapes[i][0], shapes[i][1], shapes[i][2]);
		for (write = 0; write < 2; write++) {
			if (fits_direct(&b, write))
				continue;
			gpu_fill(&b.buf, POISON);
			ASSERT_ERRNO(nv_rw_as(&b.x, write, 0, &rw), EREMOTEIO);
			ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
			ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
			ASSERT_EQ(rw.done, 0);
			gpu_check_byte(&b.buf, 0, SIZE, POISON);
		}
	}
	file_check(b.x.file, b.base, 0, FILES, OLD);
}

TEST_OF(refused_without_the_flag_disk, 60, refused(DISK))
TEST_OF(refused_without_the_flag_ext4, 60, refused(EXT4))
TEST_OF(refused_without_the_flag_xfs, 60, refused(XFS))

/* ------------------------------------------------------------ end of file */

static void end_of_file(enum target target)
{
	static const uint64_t sizes[] = { 1, 511, 512, 4097, 100000, 300001 };
	static const uint64_t starts[] = { 0, 1, 512, 4096, 99999, 300000 };
	struct nvfs_rw rw;
	struct bench b;
	size_t i, k;

	set_up(&b, target, false);
	for (i = sizeof(sizes) / sizeof(sizes[0]); i--; ) {
		ASSERT_EQ(ftruncate(b.x.file, (off_t)sizes[i]), 0);
		for (k = 0; k < sizeof(starts) / sizeof(starts[0]); k++) {
			uint64_t at = starts[k], left;

			left = at < sizes[i] ? sizes[i] - at : 0;
			aim(&b, 3 + at % 7, at, 400000);
			gpu_fill(&b.buf, POISON);
			ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw),
				  0);
			ASSERT_EQ(rw.done, left);
			gpu_check_byte(&b.buf, 0, 3 + at % 7, POISON);
			gpu_check_pattern(&b.buf, 3 + at % 7, left, OLD, at);
			gpu_check_byte(&b.buf, 3 + at % 7 + 400000, BLOCK,
				       POISON);
		}
	}
}

TEST_OF(end_of_file_ext4, 60, end_of_file(EXT4))
TEST_OF(end_of_file_xfs, 60, end_of_file(XFS))

/*
 * xfs promises space behind the end of a file that is appended to, and some of it
 * is left when a direct write lets the file grow into it. An O_DIRECT pread() that
 * reaches into what is left fails with EIO on 6.12; ours end with the file.
 */
TEST(space_behind_the_end_of_an_xfs_file)
{
	const uint64_t end = 0xfa000;
	long long retries = stat_get("retries");
	struct nvfs_rw rw;
	char data[0x272d];
	struct bench b;

	set_up(&b, XFS, false);
	ASSERT_EQ(ftruncate(b.x.file, 0xe7000), 0);
	pattern_fill(data, sizeof(data), OLD, 0xf4b42);
	ASSERT_EQ(pwrite(b.x.file, data, sizeof(data), 0xf4b42), sizeof(data));
	aim(&b, 0, 0xf8000, end - 0xf8000);
	gpu_put_pattern(&b.buf, 0, b.x.length, OLD, 0xf8000);
	ASSERT_EQ(nv_write(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, b.x.length);

	aim(&b, 0, 0xf8000, 0x4000);
	gpu_fill(&b.buf, POISON);
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.done, end - 0xf8000);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	gpu_check_pattern(&b.buf, 0, rw.done, OLD, 0xf8000);
	aim(&b, 1, 0xf8003, 0x4000);
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, end - 0xf8003);
	gpu_check_pattern(&b.buf, 1, rw.done, OLD, 0xf8003);
	ASSERT_EQ(stat_get("retries"), retries);
}

static void grow(enum target target)
{
	uint64_t size = 0, len = 3, off = 1;
	struct nvfs_rw rw;
	struct stat st;
	struct bench b;

	set_up(&b, target, false);
	ASSERT_EQ(ftruncate(b.x.file, 0), 0);
	gpu_put_pattern(&b.buf, off, SIZE - off, NEW, 0);
	while (off + size + len <= SIZE) {
		aim(&b, off + size, size, len);
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		ASSERT_EQ(rw.done, len);
		size += len;
		len = len * 3 + 1;
		ASSERT_EQ(fstat(b.x.file, &st), 0);
		ASSERT_EQ(st.st_size, size);
	}
	file_check(b.x.file, 0, 0, size, NEW);
}

TEST_OF(writes_let_the_file_grow_ext4, 60, grow(EXT4))
TEST_OF(writes_let_the_file_grow_xfs, 60, grow(XFS))

/* Past the end, inside a block: what is between reads as zeroes. */
TEST(a_write_behind_the_end_leaves_zeroes)
{
	const uint64_t pos = 11001, len = 5003;
	uint8_t zero[10000], got[10000];
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, EXT4, false);
	ASSERT_EQ(ftruncate(b.x.file, 1001), 0);
	gpu_put_pattern(&b.buf, 5, len, NEW, pos);
	aim(&b, 5, pos, len);
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, len);
	file_check(b.x.file, 0, 0, 1001, OLD);
	memset(zero, 0, sizeof(zero));
	ASSERT_EQ(pread(b.x.file, got, sizeof(got), 1001), sizeof(got));
	ASSERT_MEMEQ(got, zero, sizeof(zero));
	file_check(b.x.file, 0, pos, len, NEW);
}

/* ---------------------------------------------------------- the page cache */

static void dirty_cache(enum target target)
{
	uint8_t *data = xmalloc(200704);
	struct nvfs_rw rw;
	struct bench b;
	size_t i;

	set_up(&b, target, false);
	for (i = 0; i < SHAPES && shapes[i][2] <= 200000; i++) {
		uint64_t off = shapes[i][0], pos = shapes[i][1];
		uint64_t len = shapes[i][2];

		pattern_fill(data, len, NEW + i, pos);
		ASSERT_EQ(pwrite(b.x.file, data, len, (off_t)(b.base + pos)),
			  len);
		aim(&b, off, pos, len);
		gpu_fill(&b.buf, POISON);
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		expect_honest(&b, false, &rw, len);
		gpu_check_pattern(&b.buf, off, len, NEW + i, pos);
		/* and the other way: cached bytes must not survive */
		gpu_put_pattern(&b.buf, off, len, NEW + 100 + i, pos);
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		ASSERT_EQ(pread(b.x.file, data, len, (off_t)(b.base + pos)),
			  len);
		gpu_fill(&b.buf, POISON);
		gpu_put(&b.buf, 0, data, len);
		gpu_check_pattern(&b.buf, 0, len, NEW + 100 + i, pos);
	}
	free(data);
}

TEST_OF(dirty_page_cache_disk, 60, dirty_cache(DISK))
TEST_OF(dirty_page_cache_ext4, 60, dirty_cache(EXT4))
TEST_OF(dirty_page_cache_xfs, 60, dirty_cache(XFS))

static void mapped(enum target target)
{
	uint8_t want[5000];
	struct nvfs_rw rw;
	struct bench b;
	uint8_t *map;
	int i;

	set_up(&b, target, false);
	map = mmap(NULL, FILES, PROT_READ | PROT_WRITE, MAP_SHARED, b.x.file,
		   (off_t)b.base);
	ASSERT_TRUE(map != MAP_FAILED);
	for (i = 0; i < 50; i++) {
		uint64_t pos = (uint64_t)i * 4999 + 17;

		pattern_fill(map + pos, 5000, NEW + i, pos);
		aim(&b, 9, pos, 5000);
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		gpu_check_pattern(&b.buf, 9, 5000, NEW + i, pos);
		gpu_put_pattern(&b.buf, 9, 5000, NEW + 50 + i, pos);
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		pattern_fill(want, 5000, NEW + 50 + i, pos);
		ASSERT_MEMEQ(map + pos, want, 5000);
	}
}

TEST_OF(mapped_file_ext4, 60, mapped(EXT4))
TEST_OF(mapped_file_xfs, 60, mapped(XFS))

/* ------------------------------------------------------------------- others */

struct other {
	int fd;
	bool stop;
	uint64_t rounds;
	void (*once)(struct other *o, uint64_t round);
};

static void *other_loop(void *arg)
{
	struct other *o = arg;

	while (!__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE))
		o->once(o, __atomic_fetch_add(&o->rounds, 1, __ATOMIC_RELAXED));
	return NULL;
}

static pthread_t other_start(struct other *o, int fd,
			     void (*once)(struct other *o, uint64_t round))
{
	pthread_t thread;

	memset(o, 0, sizeof(*o));
	o->fd = fd;
	o->once = once;
	ASSERT_EQ(pthread_create(&thread, NULL, other_loop, o), 0);
	return thread;
}

static void other_stop(struct other *o, pthread_t thread)
{
	/* it has to have done something beside us */
	while (__atomic_load_n(&o->rounds, __ATOMIC_RELAXED) < 3)
		sched_yield();
	__atomic_store_n(&o->stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
}

/* The other's half of the file: the last 512 KiB; ours: what is before. */
#define HIS	(512 * KIB)

static void write_and_read_his(struct other *o, uint64_t round)
{
	uint64_t state = round, len = 1 + random_next(&state) % 20000;
	uint64_t pos = HIS + random_next(&state) % (HIS - len);
	uint8_t data[20001], got[20001];

	pattern_fill(data, len, round, pos);
	ASSERT_EQ(pwrite(o->fd, data, len, (off_t)pos), len);
	ASSERT_EQ(pread(o->fd, got, len, (off_t)pos), len);
	ASSERT_MEMEQ(got, data, len);
	if (round % 16 == 0)
		ASSERT_EQ(fdatasync(o->fd), 0);
}

static void beside_a_writer(enum target target)
{
	struct other other;
	struct nvfs_rw rw;
	pthread_t thread;
	struct bench b;
	uint64_t i;

	set_up(&b, target, false);
	thread = other_start(&other, b.x.file, write_and_read_his);
	for (i = 0; i < 200; i++) {
		uint64_t pos = i * 2503 % (HIS - 30720), len = 1 + i * 137;

		gpu_put_pattern(&b.buf, i, len, NEW + i, pos);
		aim(&b, i, pos, len);
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		gpu_fill(&b.buf, POISON);
		aim(&b, i * 3, pos, len);
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		gpu_check_pattern(&b.buf, i * 3, len, NEW + i, pos);
	}
	other_stop(&other, thread);
	/* no write-back has failed, no collision was found */
	ASSERT_EQ(fsync(b.x.file), 0);
}

TEST_OF(beside_a_buffered_writer_ext4, 90, beside_a_writer(EXT4))
TEST_OF(beside_a_buffered_writer_xfs, 90, beside_a_writer(XFS))

/* Readers of the very bytes see old or new ones, never others. */
static void read_bytes(struct other *o, uint64_t round)
{
	uint8_t got[10000];
	uint64_t i;

	(void)round;
	ASSERT_EQ(pread(o->fd, got, sizeof(got), 1000), sizeof(got));
	for (i = 0; i < sizeof(got); i++)
		ASSERT_TRUE(got[i] == 0x11 || got[i] == 0x22);
}

static void beside_a_reader(enum target target)
{
	struct other other;
	struct nvfs_rw rw;
	pthread_t thread;
	struct bench b;
	int i;

	set_up(&b, target, false);
	gpu_fill(&b.buf, 0x11);
	aim(&b, 0, 0, 20480);
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	thread = other_start(&other, b.x.file, read_bytes);
	for (i = 0; i < 80; i++) {
		gpu_fill(&b.buf, i & 1 ? 0x11 : 0x22);
		aim(&b, i, 700, 10500);
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		gpu_fill(&b.buf, POISON);
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		gpu_check_byte(&b.buf, i, 10500, i & 1 ? 0x11 : 0x22);
	}
	other_stop(&other, thread);
}

TEST_OF(beside_a_buffered_reader_ext4, 90, beside_a_reader(EXT4))
TEST_OF(beside_a_buffered_reader_xfs, 90, beside_a_reader(XFS))

static void end_moves(struct other *o, uint64_t round)
{
	static const uint8_t data[5000];

	(void)round;
	ASSERT_EQ(ftruncate(o->fd, 1000), 0);
	ASSERT_EQ(pwrite(o->fd, data, sizeof(data), 1000), sizeof(data));
}

/* It ends inside a block, for a direct read: that is where the read ends. */
static void across_an_end_that_moves(enum target target)
{
	struct nvfs_hole hole[4];
	struct other other;
	struct nvfs_rw rw;
	pthread_t thread;
	struct bench b;
	int i;

	set_up(&b, target, false);
	thread = other_start(&other, b.x.file, end_moves);
	aim(&b, 0, 0, 64 * KIB);
	for (i = 0; i < 400; i++) {
		if (i & 1)
			ASSERT_EQ(nv_read_holes(&b.x, 0, hole, 4, &rw), 0);
		else
			ASSERT_EQ(nv_rw_as(&b.x, false, 0, &rw), 0);
		ASSERT_GE(rw.done, 1000);
	}
	other_stop(&other, thread);
}

TEST_OF(across_an_end_that_moves_ext4, 90, across_an_end_that_moves(EXT4))
TEST_OF(across_an_end_that_moves_xfs, 90, across_an_end_that_moves(XFS))

/* ---------------------------------------- what readers leave in the page cache */

static void read_first(struct other *o, uint64_t round)
{
	uint8_t got[64 * KIB];

	(void)round;
	ASSERT_EQ(pread(o->fd, got, sizeof(got), 0), sizeof(got));
}

/* Whole blocks that are not aligned in memory: by a kiocb of their own. */
TEST_LIMIT(buffered_readers_see_what_bounced_to_a_device, 90)
{
	uint8_t got[64 * KIB], want[64 * KIB];
	struct other other;
	struct nvfs_rw rw;
	pthread_t thread;
	struct bench b;
	int i;

	set_up(&b, PART, false);
	thread = other_start(&other, b.x.file, read_first);
	for (i = 0; i < 300; i++) {
		memset(want, i, sizeof(want));
		gpu_fill(&b.buf, (uint8_t)i);
		aim(&b, 1, 0, sizeof(got));
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
		ASSERT_EQ(rw.route, NVFS_ROUTE_BOUNCE);
		ASSERT_EQ(pread(b.x.file, got, sizeof(got), 0), sizeof(got));
		ASSERT_MEMEQ(got, want, sizeof(got));
	}
	other_stop(&other, thread);
}

static void cut_and_grow(struct other *o, uint64_t round)
{
	static uint8_t data[FILES];
	uint64_t state = round;

	if (!round)
		memset(data, 0x33, sizeof(data));
	ASSERT_EQ(ftruncate(o->fd, (off_t)(random_next(&state) % FILES)), 0);
	ASSERT_EQ(pwrite(o->fd, data, 300000, 0), 300000);
}

/* Only zeroes and the writer's bytes, and none past what the call says. */
static void beside_truncate(enum target target)
{
	uint8_t *got = xmalloc(SIZE);
	struct other other;
	struct nvfs_rw rw;
	pthread_t thread;
	struct bench b;
	uint64_t i, k;

	set_up(&b, target, false);
	ASSERT_EQ(ftruncate(b.x.file, 0), 0);
	thread = other_start(&other, b.x.file, cut_and_grow);
	for (i = 0; i < 150; i++) {
		gpu_fill(&b.buf, POISON);
		aim(&b, i % 2 ? i : 0, i % 3 ? i * 7 : 0, 600000 - i % 5 * 64);
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		ASSERT_LE(rw.done, b.x.length);
		gpu_get(&b.buf, 0, got, SIZE);
		for (k = 0; k < rw.done; k++) {
			uint8_t c = got[b.x.region_offset + k];

			if (c != 0 && c != 0x33)
				FAIL("round %d, byte %d of %d: 0x%02x", (int)i,
				     (int)k, (int)rw.done, c);
		}
		for (k = 0; k < SIZE; k++)
			if ((k < b.x.region_offset ||
			     k >= b.x.region_offset + b.x.length) &&
			    got[k] != POISON)
				FAIL("round %d: a byte beside it", (int)i);
	}
	other_stop(&other, thread);
	free(got);
}

TEST_OF(beside_truncate_ext4, 90, beside_truncate(EXT4))
TEST_OF(beside_truncate_xfs, 90, beside_truncate(XFS))

/* Somebody writes parts of blocks, without a pause. */
struct parts {
	struct bench *b;
	uint64_t pos;
	bool *stop;
	uint64_t rounds;
};

static void *write_parts(void *arg)
{
	struct parts *p = arg;
	struct xfer x = p->b->x;
	struct nvfs_rw rw;

	x.region_offset = p->pos;
	x.file_offset = p->b->base + p->pos;
	x.length = 100;
	for (; !__atomic_load_n(p->stop, __ATOMIC_ACQUIRE); p->rounds++)
		ASSERT_EQ(nv_rw_as(&x, true, NVFS_RW_BOUNCE, &rw), 0);
	return NULL;
}

TEST_LIMIT(writers_of_parts_do_not_hold_up_whole_blocks_for_ever, 90)
{
	enum { NR = 3 };
	struct parts p[NR];
	pthread_t thread[NR];
	bool stop = false;
	struct nvfs_rw rw;
	struct bench b;
	int i;

	set_up(&b, PART, false);
	for (i = 0; i < NR; i++) {
		p[i] = (struct parts){ .b = &b, .pos = i * 8192 + 5,
				       .stop = &stop };
		ASSERT_EQ(pthread_create(&thread[i], NULL, write_parts, &p[i]),
			  0);
	}
	for (i = 0; i < 50; i++) {
		aim(&b, 0, 128 * KIB, 4096);
		ASSERT_EQ(nv_rw_as(&b.x, true, 0, &rw), 0);
		ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (i = 0; i < NR; i++) {
		pthread_join(thread[i], NULL);
		ASSERT_GE(p[i].rounds, 1);
	}
}

/* Requests side by side, none of whose bytes is another's. */
struct neighbour {
	struct bench *b;
	pthread_t thread;
	uint64_t start, end;
};

static void *neighbour_loop(void *arg)
{
	struct neighbour *n = arg;
	struct xfer x = n->b->x;
	struct nvfs_rw rw;
	uint64_t pos, len;
	int round;

	for (round = 0; round < 25; round++)
		for (pos = n->start; pos < n->end; pos += len) {
			len = n->end - pos < 3072 ? n->end - pos : 3072;
			x.region_offset = pos + 1;
			x.file_offset = n->b->base + pos;
			x.length = len;
			ASSERT_EQ(nv_rw_as(&x, true, NVFS_RW_BOUNCE, &rw), 0);
			ASSERT_EQ(rw.done, len);
		}
	return NULL;
}

/* Their ends are not those of blocks, and are in the middle of pages. */
static void neighbours(enum target target)
{
	enum { NR = 4 };
	const uint64_t each = 20480 + 512 + 77;
	struct neighbour n[NR];
	struct bench b;
	int i;

	set_up(&b, target, false);
	gpu_put_pattern(&b.buf, 1, SIZE - 1, NEW, 0);
	for (i = 0; i < NR; i++) {
		n[i] = (struct neighbour){ .b = &b, .start = i * each,
					   .end = (i + 1) * each };
		ASSERT_EQ(pthread_create(&n[i].thread, NULL, neighbour_loop,
					 &n[i]), 0);
	}
	for (i = 0; i < NR; i++)
		pthread_join(n[i].thread, NULL);
	ASSERT_EQ(fsync(b.x.file), 0);
	file_check(b.x.file, 0, 0, NR * each, NEW);
	file_check(b.x.file, 0, NR * each, FILES - NR * each, OLD);
}

TEST_OF(neighbours_do_not_disturb_ext4, 90, neighbours(EXT4))
TEST_OF(neighbours_do_not_disturb_xfs, 90, neighbours(XFS))
TEST_OF(neighbours_do_not_disturb_partition, 90, neighbours(PART))
