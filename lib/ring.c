// SPDX-License-Identifier: MIT
/* Reads by io_uring, of which one thread has many in flight. */
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ring.h"

/* Linux 5.19; liburing has it, older headers of the kernel do not matter. */
#define SETUP_FLAGS	IORING_SETUP_COOP_TASKRUN

/**
 * struct ring - see ring.h
 * @fixed: its memory is known to the kernel, which then need not look up its
 *	pages for each read
 */
struct ring {
	struct io_uring uring;
	bool fixed;
};

static _Atomic int state = 1;
static _Atomic int refusal;

int ring_error(void)
{
	return state;
}

void ring_refuse(int error)
{
	refusal = error;
	state = 1;
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
	ring->fixed = !io_uring_register_buffers(&ring->uring, &memory, 1);
	return ring;
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->uring);
	free(ring);
}

void ring_add(struct ring *ring, struct ring_read *read)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	read->busy = true;
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
	io_uring_submit(&ring->uring);
}

static void end_read(struct ring *ring, struct io_uring_cqe *cqe)
{
	struct ring_read *read = io_uring_cqe_get_data(cqe);

	read->result = cqe->res;
	read->busy = false;
	io_uring_cqe_seen(&ring->uring, cqe);
}

void ring_wait(struct ring *ring, const struct ring_read *read)
{
	struct io_uring_cqe *cqe;

	while (read->busy) {
		/* Interrupted, or short of memory for a moment. */
		if (io_uring_peek_cqe(&ring->uring, &cqe) &&
		    io_uring_submit_and_wait(&ring->uring, 1) < 0)
			continue;
		while (!io_uring_peek_cqe(&ring->uring, &cqe))
			end_read(ring, cqe);
	}
}
