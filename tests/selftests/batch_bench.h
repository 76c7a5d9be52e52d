/* SPDX-License-Identifier: MIT */
/* What the tests of batches have in common: a file in pieces, and its events. */
#ifndef NVFS_TEST_BATCH_BENCH_H
#define NVFS_TEST_BATCH_BENCH_H

#include "fix_async.h"

#include <fcntl.h>
#include <stdlib.h>

#define SEED	81
#define POISON	0x9b
#define PIECE	(8 * KIB)

struct bench {
	struct gpu_buf buf;
	struct xfer x;
	uint32_t batch;
};

static inline void set_up(struct bench *b, enum target target, uint64_t size,
		   uint32_t depth)
{
	memset(b, 0, sizeof(*b));
	b->x.dev = nv_open();
	b->x.length = PIECE;
	gpu_alloc(&b->buf, 0, size, false);
	gpu_fill(&b->buf, POISON);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, size, SEED, O_RDWR);
	b->x.file_offset = target_base(target);
	b->batch = batch_make(b->x.dev, depth);
}

/* Request @i: the i-th piece of file and region. */
static inline struct nvfs_request piece(const struct bench *b, uint32_t i,
					uint32_t op, uint32_t flags)
{
	struct xfer x = b->x;

	x.region_offset = i * PIECE;
	x.file_offset += i * PIECE;
	return nv_request(&x, op, flags, i);
}

static inline struct nvfs_request *pieces(const struct bench *b, uint32_t nr,
				   uint32_t op, uint32_t flags)
{
	struct nvfs_request *req = xmalloc(nr * sizeof(*req));
	uint32_t i;

	for (i = 0; i < nr; i++)
		req[i] = piece(b, i, op, flags);
	return req;
}

static inline void submit(const struct bench *b, const struct nvfs_request *req,
		   uint32_t nr)
{
	struct nvfs_batch_submit out;

	if (batch_submit(b->x.dev, b->batch, req, nr, &out))
		FAIL("submit of %u: %s, wrong %u, reason %u", nr,
		     strerror(errno), out.wrong, out.reason);
}

static inline void expect_no_event(const struct bench *b)
{
	struct nvfs_event event;
	uint32_t nr;

	ASSERT_EQ(batch_reap(b->x.dev, b->batch, &event, 0, 1, 0, &nr), 0);
	ASSERT_EQ(nr, 0);
}

/* Each user_data below @nr exactly once; the number of ECANCELED ones. */
static inline uint32_t check_events(const struct nvfs_event *event, uint32_t nr,
			     uint64_t length)
{
	uint8_t *seen = xmalloc(nr);
	uint32_t i, cancelled = 0;

	memset(seen, 0, nr);
	for (i = 0; i < nr; i++) {
		ASSERT_LT(event[i].user_data, nr);
		ASSERT_EQ(seen[event[i].user_data]++, 0);
		ASSERT_EQ(event[i].__reserved, 0);
		if (event[i].error == ECANCELED) {
			cancelled++;
			ASSERT_LT(event[i].done, length);
			continue;
		}
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, length);
	}
	free(seen);
	return cancelled;
}

#endif /* NVFS_TEST_BATCH_BENCH_H */
