/* SPDX-License-Identifier: MIT */
/* Rings of io_uring that carry requests of the device. */
#ifndef NVFS_TEST_FIX_RING_H
#define NVFS_TEST_FIX_RING_H

#include "fix_async.h"

#include <linux/io_uring.h>

#define RING_ENTRIES	256
#define RING_WAIT_S	20

struct ring {
	int fd;
	bool big;		/* SQE128 and CQE32 */
	uint32_t *sq_tail, *sq_mask, *sq_array, *sq_flags;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	uint8_t *sqes, *cqes;
	struct {
		void *at;
		size_t size;
	} maps[3];
};

struct cqe {
	uint64_t user_data;
	int32_t res;
	uint32_t flags;
	uint64_t extra[2];
};

void ring_make(struct ring *r, uint32_t flags);
/* With entries that have room for a request. */
void ring_make_big(struct ring *r, uint32_t more);
/* Nothing of this process keeps it any more. */
void ring_end(struct ring *r);
/* The next entry, empty; there has to be room. */
struct io_uring_sqe *ring_next(struct ring *r);
void ring_push(struct ring *r);
void ring_fill(struct io_uring_sqe *sqe, int dev,
	       const struct nvfs_request *req);
void ring_add(struct ring *r, int dev, const struct nvfs_request *req);
int ring_enter(struct ring *r, uint32_t submit, uint32_t wait, uint32_t flags);
void ring_submit(struct ring *r, uint32_t nr);
bool ring_empty(const struct ring *r);
/* False: nothing came for a long time. */
bool ring_wait_some(struct ring *r);
/* Waits for one completion. */
struct cqe ring_wait(struct ring *r);

#endif /* NVFS_TEST_FIX_RING_H */
