// SPDX-License-Identifier: MIT
/* io_uring by raw system calls: no library is needed on the guest's root. */
#include "fix_ring.h"

#include <linux/time_types.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *ring_map(struct ring *r, int i, size_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, r->fd, (off_t)offset);

	ASSERT_TRUE(p != MAP_FAILED);
	r->maps[i].at = p;
	r->maps[i].size = size;
	return p;
}

void ring_make(struct ring *r, uint32_t flags)
{
	struct io_uring_params p = { .flags = flags };
	uint8_t *sq, *cq;

	memset(r, 0, sizeof(*r));
	r->big = flags & IORING_SETUP_SQE128;
	r->fd = (int)syscall(__NR_io_uring_setup, RING_ENTRIES, &p);
	if (r->fd < 0)
		FAIL("io_uring_setup 0x%x: %s", flags, strerror(errno));
	sq = ring_map(r, 0, p.sq_off.array + p.sq_entries * 4,
		      IORING_OFF_SQ_RING);
	cq = ring_map(r, 1, p.cq_off.cqes + p.cq_entries * 32,
		      IORING_OFF_CQ_RING);
	r->sqes = ring_map(r, 2, p.sq_entries * (r->big ? 128 : 64),
			   IORING_OFF_SQES);
	r->sq_tail = (void *)(sq + p.sq_off.tail);
	r->sq_mask = (void *)(sq + p.sq_off.ring_mask);
	r->sq_array = (void *)(sq + p.sq_off.array);
	r->sq_flags = (void *)(sq + p.sq_off.flags);
	r->cq_head = (void *)(cq + p.cq_off.head);
	r->cq_tail = (void *)(cq + p.cq_off.tail);
	r->cq_mask = (void *)(cq + p.cq_off.ring_mask);
	r->cqes = cq + p.cq_off.cqes;
}

void ring_make_big(struct ring *r, uint32_t more)
{
	ring_make(r, IORING_SETUP_SQE128 | IORING_SETUP_CQE32 | more);
}

void ring_end(struct ring *r)
{
	size_t i;

	for (i = 0; i < sizeof(r->maps) / sizeof(r->maps[0]); i++)
		ASSERT_EQ(munmap(r->maps[i].at, r->maps[i].size), 0);
	ASSERT_EQ(close(r->fd), 0);
}

/* The next entry, empty; there has to be room. */
struct io_uring_sqe *ring_next(struct ring *r)
{
	size_t size = r->big ? 128 : 64;
	uint32_t tail = *r->sq_tail, i = tail & *r->sq_mask;
	void *sqe = r->sqes + i * size;

	memset(sqe, 0, size);
	r->sq_array[i] = i;
	return sqe;
}

void ring_push(struct ring *r)
{
	__atomic_store_n(r->sq_tail, *r->sq_tail + 1, __ATOMIC_RELEASE);
}

void ring_fill(struct io_uring_sqe *sqe, int dev,
	       const struct nvfs_request *req)
{
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = dev;
	sqe->cmd_op = NVFS_URING_CMD_REQUEST;
	sqe->user_data = req->user_data;
	memcpy((uint8_t *)sqe + 48, req, sizeof(*req));
}

void ring_add(struct ring *r, int dev, const struct nvfs_request *req)
{
	ring_fill(ring_next(r), dev, req);
	ring_push(r);
}

int ring_enter(struct ring *r, uint32_t submit, uint32_t wait, uint32_t flags)
{
	return (int)syscall(__NR_io_uring_enter, r->fd, submit, wait,
			    flags | (wait ? IORING_ENTER_GETEVENTS : 0), NULL,
			    0);
}

void ring_submit(struct ring *r, uint32_t nr)
{
	int ret = ring_enter(r, nr, 0, 0);

	if (ret != (int)nr)
		FAIL("io_uring_enter: %d of %u: %s", ret, nr, strerror(errno));
}

bool ring_empty(const struct ring *r)
{
	return __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) == *r->cq_head;
}

/* False: nothing came for a long time. */
bool ring_wait_some(struct ring *r)
{
	struct __kernel_timespec limit = { .tv_sec = RING_WAIT_S };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&limit };
	long ret = 0;

	while (ring_empty(r) && ret >= 0)
		ret = syscall(__NR_io_uring_enter, r->fd, 0, 1,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			      &arg, sizeof(arg));
	return !ring_empty(r);
}

/* Waits for one completion. */
struct cqe ring_wait(struct ring *r)
{
	size_t size = r->big ? 32 : 16;
	uint32_t head = *r->cq_head;
	struct cqe cqe = { 0 };

	if (!ring_wait_some(r))
		FAIL("no completion in %d s: %s", RING_WAIT_S, strerror(errno));
	memcpy(&cqe, r->cqes + (head & *r->cq_mask) * size, size);
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return cqe;
}
