/* SPDX-License-Identifier: MIT */
/* The random tester's state, how it reports, and how it makes its choices. */
#ifndef NVFS_TEST_FSX_STATE_H
#define NVFS_TEST_FSX_STATE_H

#include "fix_async.h"

#include <stdarg.h>
#include <stdio.h>

#define FILE_MAX	(1 * MIB)
#define GPU_SIZE	(1 * MIB)
#define GUARD		(64 * KIB)
#define POISON		0xc3
#define BATCH_MAX	12
#define HOLES_MAX	8
/* Around a range of GPU memory, so many bytes are looked at as well */
#define BESIDE		512
#define LAST_OPS	24
#define OP_TEXT		160

/* All bytes of the model's file behind its size are 0. */
struct fsx {
	bool block;		/* a block device: its size does not change */
	bool near;		/* the drive reaches the GPU */
	uint64_t base;		/* of the file's first byte, on a device */
	uint64_t size;
	uint8_t *file;
	uint8_t *gpu;
	uint8_t *scratch;
	uint64_t seed;
	long from;
	long op;
	uint64_t random;
	char text[LAST_OPS][OP_TEXT];
	bool verbose;
	bool scatter;

	int fd;			/* page cache */
	int direct;		/* O_DIRECT */
	uint8_t *map;
	int dev;
	struct gpu_buf buf;
	uint32_t region;
	uint32_t region_at;	/* of the region in the buffer */
	uint32_t batch;
	uint32_t offset_align;	/* of writes */
	uint32_t read_align;
	uint32_t mem_align;
};

/* One transfer; offsets in the model's file and GPU memory. */
struct move {
	uint64_t off;
	uint64_t pos;
	uint64_t len;
	uint32_t flags;
	bool write;
};

static struct fsx f;

/* ------------------------------------------------------------- reporting */

static inline bool live(void)
{
	return f.op >= f.from;
}

static inline void say(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static inline void say(const char *fmt, ...)
{
	char *text = f.text[f.op % LAST_OPS];
	int n = snprintf(text, OP_TEXT, "%ld ", f.op);
	va_list args;

	va_start(args, fmt);
	vsnprintf(text + n, (size_t)(OP_TEXT - n), fmt, args);
	va_end(args);
	if (f.verbose && live())
		harness_note("%s", text);
}

static inline _Noreturn void broken(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

static inline _Noreturn void broken(const char *fmt, ...)
{
	int saved = errno;
	char why[400];
	va_list args;
	long op;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	for (op = f.op - LAST_OPS + 1; op <= f.op; op++)
		if (op >= 0)
			harness_note("op %s", f.text[op % LAST_OPS]);
	FAIL("seed %llu op %ld: %s (errno %d, %s); op: %s",
	     (unsigned long long)f.seed, f.op, why, saved, strerror(saved),
	     f.text[f.op % LAST_OPS]);
}

#define NEED(cond) do {							\
	if (!(cond))							\
		broken("%d: " #cond, __LINE__);				\
} while (0)

/* Where two ranges differ; both are what @name has at @at. */
static inline void need_same(const char *name, uint64_t at, const uint8_t *got,
		      const uint8_t *want, uint64_t n)
{
	uint64_t first = 0, last = n - 1;

	if (!n || !memcmp(got, want, n))
		return;
	while (got[first] == want[first])
		first++;
	while (got[last] == want[last])
		last--;
	broken("%s differs in 0x%llx..0x%llx, first 0x%02x, not 0x%02x", name,
	       (unsigned long long)(at + first),
	       (unsigned long long)(at + last), got[first], want[first]);
}

/* --------------------------------------------------------------- choices */

static inline uint64_t below(uint64_t n)
{
	return n ? random_next(&f.random) % n : 0;
}

static inline bool one_in(uint64_t n)
{
	return !below(n);
}

static inline uint64_t pick_len(uint64_t max)
{
	static const uint64_t top[] = {
		1024, 16 * KIB, 16 * KIB, 64 * KIB, 64 * KIB, 512 * KIB,
	};
	uint64_t limit = top[below(sizeof(top) / sizeof(top[0]))];

	if (limit > max)
		limit = max;
	return !limit || one_in(200) ? 0 : 1 + below(limit);
}

static inline uint64_t down(uint64_t n, uint64_t align)
{
	return n - n % align;
}

/* A range in [@start, @end) of the file and one in GPU memory. */
static inline void pick_move(struct move *m, uint64_t start, uint64_t end,
		      uint64_t gpu_start, uint64_t gpu_end)
{
	uint64_t room = end - start, gpu_room = gpu_end - gpu_start;
	unsigned int style = (unsigned int)below(4);
	uint64_t align = style == 0 ? BLOCK : style == 1 ? 512 : 1;

	m->len = pick_len(room < gpu_room ? room : gpu_room);
	m->pos = start + below(room - m->len + 1);
	m->off = gpu_start + below(gpu_room - m->len + 1);
	if (style == 2 && m->off - m->off % 512 + m->pos % 512 + m->len <=
			  gpu_end)	/* they agree inside a block */
		m->off = m->off - m->off % 512 + m->pos % 512;
	if (m->off < gpu_start)
		m->off = gpu_start;
	m->len = m->len >= align ? down(m->len, align) : m->len;
	if (down(m->pos, align) >= start)
		m->pos = down(m->pos, align);
	if (down(m->off, align) >= gpu_start)
		m->off = down(m->off, align);
	m->flags = one_in(3) ? 0 : NVFS_RW_BOUNCE;
}

/* With several pieces, each bvec has to end on a block. */
static inline uint64_t gpu_align(void)
{
	return f.scatter && f.read_align > f.mem_align ? f.read_align :
							 f.mem_align;
}

static inline uint64_t file_align(const struct move *m)
{
	return m->write ? f.offset_align : f.read_align;
}

/* Does the transfer need host memory? */
static inline bool needs_bounce(const struct move *m)
{
	return !f.near || (m->pos | m->len) % file_align(m) ||
	       m->off % gpu_align();
}

static inline bool is_refused(const struct move *m)
{
	return !m->flags && needs_bounce(m);
}

/* What the route has to be when @done bytes were moved. */
static inline uint32_t want_route(const struct move *m, uint64_t done)
{
	uint64_t head = -m->pos & (file_align(m) - 1);
	uint64_t middle;

	if (!done)
		return NVFS_ROUTE_NONE;
	if (!f.near || (m->off + head) % gpu_align() || head >= m->len)
		return NVFS_ROUTE_BOUNCE;
	middle = down(m->len - head, file_align(m));
	if (done <= head || !middle)
		return NVFS_ROUTE_BOUNCE;
	if (!head && done <= middle)
		return NVFS_ROUTE_DIRECT;
	return NVFS_ROUTE_MIXED;
}

#endif /* NVFS_TEST_FSX_STATE_H */
