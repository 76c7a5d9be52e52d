// SPDX-License-Identifier: MIT
/* NVFS: synchronous calls and batches, into the memory of an emulated GPU. */
#include "cost.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <uapi/nvfs.h>

#include "../lab/gpu/labgpu.h"

static struct {
	int disk;
	int fd;
	uint32_t region;
	uint32_t batch;
	int batch_error;	/* why there is no batch */
	struct nvfs_request requests[COST_BATCH];
	struct nvfs_event events[COST_BATCH];
} nv = { .fd = -1 };

static int rw(unsigned long call, size_t length)
{
	struct nvfs_rw args = {
		.size = sizeof(args),
		.region = nv.region,
		.fd = nv.disk,
		.length = length,
	};

	if (ioctl(nv.fd, call, &args))
		return -errno;
	if (args.done != length || args.route != NVFS_ROUTE_DIRECT)
		return -EIO;
	return 0;
}

static int run_read(size_t length)
{
	return rw(NVFS_IOC_READ, length);
}

static int run_write(size_t length)
{
	return rw(NVFS_IOC_WRITE, length);
}

/* Take the events of COST_BATCH requests of @length bytes */
static int reap(size_t length)
{
	struct nvfs_batch_reap args = {
		.size = sizeof(args),
		.batch = nv.batch,
		.min_nr = COST_BATCH,
		.max_nr = COST_BATCH,
		.events = (uintptr_t)nv.events,
		.timeout_ns = -1,
	};
	unsigned int i;

	if (ioctl(nv.fd, NVFS_IOC_BATCH_REAP, &args))
		return -errno;
	if (args.nr != COST_BATCH)
		return -EIO;
	for (i = 0; i < COST_BATCH; i++)
		if (nv.events[i].error || nv.events[i].done != length ||
		    nv.events[i].route != NVFS_ROUTE_DIRECT)
			return -EIO;
	return 0;
}

/* Fill in, submit and reap a batch, each request in a block of its own */
static int batch(uint32_t op, size_t length)
{
	struct nvfs_batch_submit args = {
		.size = sizeof(args),
		.batch = nv.batch,
		.nr = COST_BATCH,
		.requests = (uintptr_t)nv.requests,
	};
	unsigned int i;

	if (nv.batch_error)
		return nv.batch_error;
	for (i = 0; i < COST_BATCH; i++)
		nv.requests[i] = (struct nvfs_request){
			.op = op,
			.region = nv.region,
			.fd = nv.disk,
			.region_offset = i * length,
			/* Not neighbours, or the block layer would merge them */
			.file_offset = 2 * i * length,
			.length = length,
			.user_data = i,
		};
	if (ioctl(nv.fd, NVFS_IOC_BATCH_SUBMIT, &args))
		return -errno;
	return reap(length);
}

static int run_batch_read(size_t length)
{
	return batch(NVFS_OP_READ, length);
}

static int run_batch_write(size_t length)
{
	return batch(NVFS_OP_WRITE, length);
}

static int make_region(uint64_t addr)
{
	struct nvfs_register args = {
		.size = sizeof(args),
		.source = NVFS_SOURCE_P2P,
		.fd = -1,
		.addr = addr,
		.length = COST_BUFFER_SIZE,
	};

	if (ioctl(nv.fd, NVFS_IOC_REGISTER, &args))
		return -errno;
	nv.region = args.region;
	return args.nr_pieces == 1 ? 0 : -ENOSPC;
}

static void make_batch(void)
{
	struct nvfs_batch_create args = {
		.size = sizeof(args),
		.depth = COST_BATCH,
	};

	if (ioctl(nv.fd, NVFS_IOC_BATCH_CREATE, &args))
		nv.batch_error = -errno;
	nv.batch = args.batch;
}

int cost_nvfs_setup(int disk)
{
	struct labgpu_alloc memory = { .length = COST_BUFFER_SIZE };
	int gpu = open("/dev/labgpu0", O_RDWR | O_CLOEXEC);
	int ret;

	if (gpu < 0 || ioctl(gpu, LABGPU_IOC_ALLOC, &memory))
		return -errno;
	nv.disk = disk;
	nv.fd = open("/dev/nvidia-fs", O_RDWR | O_CLOEXEC);
	if (nv.fd < 0)
		return -errno;
	ret = make_region(memory.va);
	if (!ret)
		make_batch();
	return ret;
}

int cost_nvfs_fd(void)
{
	return nv.fd;
}

uint32_t cost_nvfs_region(void)
{
	return nv.region;
}

const struct cost_case cost_nvfs_cases[] = {
	{ "read-4k", run_read, 4 * KIB, 2000, 1 },
	{ "read-64k", run_read, 64 * KIB, 1000, 1 },
	{ "read-1m", run_read, MIB, 300, 1 },
	{ "write-4k", run_write, 4 * KIB, 2000, 1 },
	{ "write-64k", run_write, 64 * KIB, 1000, 1 },
	{ "write-1m", run_write, MIB, 300, 1 },
	{ "batch-read-4k", run_batch_read, 4 * KIB, 300, COST_BATCH },
	{ "batch-write-4k", run_batch_write, 4 * KIB, 300, COST_BATCH },
	{ 0 },
};
