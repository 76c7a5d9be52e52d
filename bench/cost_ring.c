// SPDX-License-Identifier: MIT
/*
 * io_uring: fixed buffers in host memory, and NVFS's commands.  Each run fills
 * in one entry, submits it and waits for it with one system call.
 *
 * Two rings that differ only in the size of their entries: an NVFS command
 * needs 128 bytes.  Both name the file by its descriptor.
 */
#include "cost.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <uapi/nvfs.h>
#include <unistd.h>

#define RING_ENTRIES	8

struct ring {
	int fd;			/* negative: why there is no ring */
	unsigned int flags;
	char *sqes;
	unsigned int sqe_size;
	unsigned int *sq_tail;
	unsigned int *sq_mask;
	unsigned int *sq_array;
	unsigned int *cq_head;
	unsigned int *cq_tail;
	unsigned int *cq_mask;
	struct io_uring_cqe *cqes;
};

static int ring_disk;
static struct ring plain, wide = { .flags = IORING_SETUP_SQE128 };

/* The next free entry, all zeroes */
static struct io_uring_sqe *ring_next(struct ring *ring)
{
	unsigned int slot = *ring->sq_tail & *ring->sq_mask;
	char *sqe = ring->sqes + slot * ring->sqe_size;

	ring->sq_array[slot] = slot;
	memset(sqe, 0, ring->sqe_size);
	return (struct io_uring_sqe *)sqe;
}

/* Submit the entry and wait for its end; its result */
static int ring_go(struct ring *ring)
{
	unsigned int head = *ring->cq_head;
	int res;

	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS,
		    NULL, 0) != 1)
		return -errno;
	if (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == head)
		return -EIO;
	res = ring->cqes[head & *ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return res;
}

static int ended(int res, size_t length)
{
	if (res < 0)
		return res;
	return (size_t)res == length ? 0 : -EIO;
}

static int fixed(uint8_t opcode, size_t length)
{
	struct io_uring_sqe *sqe;

	if (plain.fd < 0)
		return plain.fd;
	sqe = ring_next(&plain);
	sqe->opcode = opcode;
	sqe->fd = ring_disk;
	sqe->addr = (uintptr_t)cost_host_buffer();
	sqe->len = length;
	return ended(ring_go(&plain), length);
}

static int run_read_fixed(size_t length)
{
	return fixed(IORING_OP_READ_FIXED, length);
}

static int run_write_fixed(size_t length)
{
	return fixed(IORING_OP_WRITE_FIXED, length);
}

static int command(uint32_t op, size_t length)
{
	const struct nvfs_request request = {
		.op = op,
		.region = cost_nvfs_region(),
		.fd = ring_disk,
		.length = length,
	};
	struct io_uring_sqe *sqe;

	if (wide.fd < 0)
		return wide.fd;
	sqe = ring_next(&wide);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = cost_nvfs_fd();
	sqe->cmd_op = NVFS_URING_CMD_REQUEST;
	memcpy(sqe->cmd, &request, sizeof(request));
	return ended(ring_go(&wide), length);
}

static int run_read_command(size_t length)
{
	return command(NVFS_OP_READ, length);
}

static int run_write_command(size_t length)
{
	return command(NVFS_OP_WRITE, length);
}

static void *map_ring(int fd, size_t size, uint64_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, offset);
}

/* All kernels that are measured have both queues in one mapping */
static int ring_map(struct ring *ring, const struct io_uring_params *p)
{
	size_t size = p->cq_off.cqes + p->cq_entries * sizeof(*ring->cqes);
	size_t sq_size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	char *at = map_ring(ring->fd, size > sq_size ? size : sq_size,
			    IORING_OFF_SQ_RING);

	ring->sqe_size = ring->flags & IORING_SETUP_SQE128 ? 128 : 64;
	ring->sqes = map_ring(ring->fd, p->sq_entries * ring->sqe_size,
			      IORING_OFF_SQES);
	if (at == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -errno;
	ring->sq_tail = (unsigned int *)(at + p->sq_off.tail);
	ring->sq_mask = (unsigned int *)(at + p->sq_off.ring_mask);
	ring->sq_array = (unsigned int *)(at + p->sq_off.array);
	ring->cq_head = (unsigned int *)(at + p->cq_off.head);
	ring->cq_tail = (unsigned int *)(at + p->cq_off.tail);
	ring->cq_mask = (unsigned int *)(at + p->cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(at + p->cq_off.cqes);
	return 0;
}

static int ring_open(struct ring *ring)
{
	struct io_uring_params params = { .flags = ring->flags };
	int ret;

	ring->fd = syscall(SYS_io_uring_setup, RING_ENTRIES, &params);
	if (ring->fd < 0)
		return ring->fd = -errno;
	ret = ring_map(ring, &params);
	if (ret)
		ring->fd = ret;
	return ret;
}

int cost_ring_setup(int disk)
{
	struct iovec buffer = { cost_host_buffer(), COST_BUFFER_SIZE };
	int ret;

	ring_disk = disk;
	ret = ring_open(&wide) ?: ring_open(&plain);
	if (ret)
		return ret;
	if (syscall(SYS_io_uring_register, plain.fd, IORING_REGISTER_BUFFERS,
		    &buffer, 1))
		return -errno;
	return 0;
}

const struct cost_case cost_ring_cases[] = {
	{ "read-fixed-4k", run_read_fixed, 4 * KIB, 2000, 1 },
	{ "write-fixed-4k", run_write_fixed, 4 * KIB, 2000, 1 },
	{ "uring-read-4k", run_read_command, 4 * KIB, 2000, 1 },
	{ "uring-write-4k", run_write_command, 4 * KIB, 2000, 1 },
	{ 0 },
};
