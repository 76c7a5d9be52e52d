// SPDX-License-Identifier: MIT
/* Reads by io_uring, of which one thread has many in flight. */
#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ring.h"

/* Linux 5.19; liburing has it, older headers of the kernel do not matter. */
#define SETUP_FLAGS	IORING_SETUP_COOP_TASKRUN

/**
 * struct ring - see ring.h
 * @fixed: its memory is known to the kernel, which then need not look up its
 *	pages for each read
 * @error: 0, or why the kernel takes no more
 */
struct ring {
	struct io_uring uring;
	bool fixed;
	int error;
};

static _Atomic int state = 1;
static _Atomic int refusal;
static _Atomic uint32_t read_most;

int ring_error(void)
{
	return state;
}

void ring_refuse(int error)
{
	refusal = error;
	state = 1;
}

void ring_shorten(uint32_t length)
{
	read_most = length;
}

static int set_up(struct io_uring *uring)
{
	int ret = refusal;

	if (ret)
		return ret;
	ret = io_uring_queue_init(RING_DEPTH, uring, SETUP_FLAGS);
	if (ret == -EINVAL)
		ret = io_uring_queue_init(RING_DEPTH, uring, 0);
	return ret;
}

struct ring *ring_open(char *host, uint64_t length)
{
	struct iovec memory = { .iov_base = host, .iov_len = length };
	struct ring *ring;
	int ret;

	/* What is forbidden stays so: no call for each buffer. */
	if (state == -EPERM || state == -ENOSYS)
		return NULL;
	ring = malloc(sizeof(*ring));
	ret = ring ? set_up(&ring->uring) : -ENOMEM;
	state = ret;
	if (ret) {
		free(ring);
		return NULL;
	}
	/* More than the user may lock, or memory of another kind. */
	ring->error = 0;
	ring->fixed = !io_uring_register_buffers(&ring->uring, &memory, 1);
	return ring;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	/* Closed by somebody else, and by now perhaps another file's. */
	if (ring->error == -EBADF || ring->error == -EOPNOTSUPP)
		ring->uring.ring_fd = -1;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

void ring_add(struct ring *ring, struct ring_read *read)
{
	struct io_uring_sqe *sqe;

	read->busy = !ring->error;
	read->result = ring->error;
	if (ring->error)
		return;
	sqe = io_uring_get_sqe(&ring->uring);
	if (ring->fixed)
		io_uring_prep_read_fixed(sqe, read->fd, read->host,
					 read->length, read->offset, 0);
	else
		io_uring_prep_read(sqe, read->fd, read->host, read->length,
				   read->offset);
	io_uring_sqe_set_data(sqe, read);
}

void ring_submit(struct ring *ring)
{
	/* What can't be handed over now is handed over by ring_wait(). */
	if (!ring->error)
		io_uring_submit(&ring->uring);
}

bool ring_works(const struct ring *ring)
{
	return !ring->error;
}

static void end_read(struct ring *ring, struct io_uring_cqe *cqe)
{
	struct ring_read *read = io_uring_cqe_get_data(cqe);

	read->result = cqe->res;
	if (read_most && cqe->res > (int64_t)read_most)
		read->result = read_most;
	read->busy = false;
	io_uring_cqe_seen(&ring->uring, cqe);
}

/* Interrupted, or short of memory for a moment. */
static bool passes(int error)
{
	return error == -EINTR || error == -EAGAIN || error == -EBUSY ||
	       error == -ENOMEM;
}

/*
 * Forbidden since, or closed by somebody who closes all files.  What the kernel
 * has not taken ends by that.
 */
static void give_up(struct ring *ring, int error)
{
	struct io_uring_sq *sq = &ring->uring.sq;
	unsigned int left = io_uring_sq_ready(&ring->uring);

	for (unsigned int i = sq->sqe_tail - left; i != sq->sqe_tail; i++) {
		struct io_uring_sqe *sqe = &sq->sqes[i & *sq->kring_mask];
		struct ring_read *read = (void *)(uintptr_t)sqe->user_data;

		read->result = error;
		read->busy = false;
	}
	ring->error = error;
	state = error;
}

/* The other reads still end, and that can be seen without a call. */
static void wait_for_any(struct ring *ring)
{
	int ret;

	if (ring->error) {
		sched_yield();
		return;
	}
	ret = io_uring_submit_and_wait(&ring->uring, 1);
	if (ret < 0 && !passes(ret))
		give_up(ring, ret);
}

void ring_wait(struct ring *ring, const struct ring_read *read)
{
	struct io_uring_cqe *cqe;

	while (read->busy) {
		if (io_uring_peek_cqe(&ring->uring, &cqe))
			wait_for_any(ring);
		while (!io_uring_peek_cqe(&ring->uring, &cqe))
			end_read(ring, cqe);
	}
}
