// SPDX-License-Identifier: MIT
/*
 * Random calls: numbers, structures and descriptors from a seeded generator,
 * half of them close to good ones. No answer is demanded but that the module
 * lives, keeps its books, and does not touch what it was not given.
 */
#include "fix.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ROUNDS		20000
#define POISON		0x3c
#define SIZE		(256 * KIB)
#define SEED		41

static const uint64_t edges[] = {
	0, 1, 511, 512, 4095, 4096, 4097, 65535, 65536, SIZE - 4096, SIZE,
	SIZE + 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffff0000,
	0xfffffffffffff000, 0xffffffffffffffff,
};

#define EDGES (sizeof(edges) / sizeof(edges[0]))

struct fuzzer {
	uint64_t state;
	int dev;
	uint32_t region;
	uint64_t va;
	int files[6];
	unsigned long good;
	unsigned long refused;
	pthread_t thread;
};

static uint64_t pick(struct fuzzer *f)
{
	uint64_t r = random_next(&f->state);

	switch (r % 4) {
	case 0:
		return random_next(&f->state);
	case 1:
		return random_next(&f->state) % (SIZE / 512) * 512;
	default:
		return edges[random_next(&f->state) % EDGES];
	}
}

static int pick_file(struct fuzzer *f)
{
	uint64_t r = random_next(&f->state);

	return r % 8 < 6 ? f->files[r % 8] : (int)pick(f);
}

/* Random bytes, and then most fields put where they are looked at. */
static void fill_rw(struct fuzzer *f, struct nvfs_rw *rw)
{
	rw->size = sizeof(*rw);
	rw->flags = random_next(&f->state) % 4 ? 0 : (uint32_t)pick(f);
	rw->region = random_next(&f->state) % 4 ? f->region : (uint32_t)pick(f);
	rw->fd = pick_file(f);
	rw->region_offset = pick(f);
	rw->file_offset = pick(f);
	rw->length = pick(f);
}

static void fill_register(struct fuzzer *f, struct nvfs_register *reg)
{
	reg->size = sizeof(*reg);
	reg->flags = random_next(&f->state) % 2 ? 0 : (uint32_t)pick(f);
	reg->source = random_next(&f->state) % 4 ? 0 : (uint32_t)pick(f);
	reg->fd = random_next(&f->state) % 4 ? -1 : pick_file(f);
	reg->addr = f->va + pick(f);
	reg->length = pick(f);
}

static void fill_query(struct fuzzer *f, struct nvfs_query *q)
{
	q->size = sizeof(*q);
	q->flags = (uint32_t)(random_next(&f->state) % 3);
	q->region = random_next(&f->state) % 2 ? f->region : (uint32_t)pick(f);
	q->fd = pick_file(f);
	q->gpu = (uint32_t)pick(f);
}

static void one_call(struct fuzzer *f)
{
	uint8_t bytes[512];
	unsigned long number;
	uint64_t r = random_next(&f->state);
	size_t i;

	for (i = 0; i < sizeof(bytes); i += 8) {
		uint64_t word = r & 1 ? random_next(&f->state) : 0;

		memcpy(bytes + i, &word, 8);
	}
	number = _IO(NVFS_IOC_TYPE, r >> 8 & (r & 2 ? 7 : 0xff));
	if (!(r >> 16 & 0x1f))
		number = (uint32_t)random_next(&f->state);
	if (r & 4)
		memcpy(bytes, &(uint32_t){ r >> 24 & 0x1ff }, 4);
	if (r & 8 && (number == NVFS_IOC_READ || number == NVFS_IOC_WRITE))
		fill_rw(f, (struct nvfs_rw *)bytes);
	if (r & 8 && number == NVFS_IOC_REGISTER)
		fill_register(f, (struct nvfs_register *)bytes);
	if (r & 8 && number == NVFS_IOC_QUERY)
		fill_query(f, (struct nvfs_query *)bytes);
	/* the one region of this thread is not to be ended by chance */
	if (number == NVFS_IOC_UNREGISTER &&
	    ((struct nvfs_unregister *)bytes)->region == f->region)
		return;
	if (ioctl(f->dev, number, r & 16 ? (void *)bytes :
		  r & 32 ? (void *)pick(f) : (void *)bytes))
		f->refused++;
	else
		f->good++;
}

static void *fuzz(void *arg)
{
	struct fuzzer *f = arg;
	int i;

	for (i = 0; i < ROUNDS / 2; i++)
		one_call(f);
	return NULL;
}

static void start(struct fuzzer *f, uint64_t seed, const struct gpu_buf *buf)
{
	static const int flags[] = { O_RDWR, O_RDONLY, O_WRONLY | O_DIRECT };
	int i, ends[2];

	memset(f, 0, sizeof(*f));
	f->state = seed;
	f->dev = nv_open();
	f->va = buf->va;
	f->region = nv_region(f->dev, buf);
	for (i = 0; i < 3; i++)
		f->files[i] = file_make(EXT4, SIZE, SEED, flags[i]);
	ASSERT_EQ(pipe(ends), 0);
	f->files[3] = ends[0];
	f->files[4] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->files[5] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

TEST_LIMIT(twenty_thousand_random_calls, 180)
{
	struct gpu_buf before, buf, behind;
	struct fuzzer f[2];
	int i;

	gpu_alloc(&before, 0, SIZE, false);
	gpu_alloc(&buf, 0, SIZE, false);
	gpu_alloc(&behind, 0, SIZE, false);
	gpu_fill(&before, POISON);
	gpu_fill(&behind, POISON);
	for (i = 0; i < 2; i++) {
		start(&f[i], 0x6e766673 + (uint64_t)i, &buf);
		ASSERT_EQ(pthread_create(&f[i].thread, NULL, fuzz, &f[i]), 0);
	}
	for (i = 0; i < 2; i++)
		ASSERT_EQ(pthread_join(f[i].thread, NULL), 0);
	harness_note("%lu calls succeeded, %lu were refused",
		     f[0].good + f[1].good, f[0].refused + f[1].refused);
	/* a generator that only makes garbage would test the first check */
	ASSERT_GT(f[0].good, 100);
	ASSERT_GT(f[0].refused, 1000);
	gpu_check_byte(&before, 0, SIZE, POISON);
	gpu_check_byte(&behind, 0, SIZE, POISON);
}
