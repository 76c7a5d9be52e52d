// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told of single requests.  Never inlined into their way: while nobody
 * looks, all this is jumped over.
 */
#include <linux/blkdev.h>
#include <linux/fs.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"
#include "nvfs-stat-user.h"
#include "nvfs-trace-io.h"

/* What a request came to */
struct outcome {
	u64 done;
	u64 direct;
	bool write;
	bool error;
	bool refused;
};

static __always_inline void count(const struct nvfs_user *user,
				  const struct outcome *o)
{
	if (o->write) {
		nvfs_user_add(user, NVFS_USER_write_requests, 1);
		nvfs_user_add(user, NVFS_USER_write_bytes, o->done);
		nvfs_user_add(user, NVFS_USER_write_direct_bytes, o->direct);
	} else {
		nvfs_user_add(user, NVFS_USER_read_requests, 1);
		nvfs_user_add(user, NVFS_USER_read_bytes, o->done);
		nvfs_user_add(user, NVFS_USER_read_direct_bytes, o->direct);
	}
	if (o->error)
		nvfs_user_add(user, NVFS_USER_errors, 1);
	if (o->refused)
		nvfs_user_add(user, NVFS_USER_refused, 1);
}

static __always_inline void count_users(const struct nvfs_region *region,
					u64 disk, const struct outcome *o)
{
	count(region->gpu_user, o);
	count(region->process, o);
	count(nvfs_user_of_disk(disk), o);
}

/**
 * nvfs_watch_submit() - a request begins
 * @io: the request; nothing of it has been moved
 *
 * Context: process context.
 */
void nvfs_watch_submit(const struct nvfs_io *io)
{
	trace_nvfs_submit(io, io->region->id, io->off, io->pos, io->length,
			  io->write, io->ops);
}

/**
 * nvfs_watch_submit_fast() - a request without a struct nvfs_io begins
 * @id: what it is called
 * @region: its region
 * @off: first byte in the region
 * @pos: first byte in the file
 * @len: bytes
 * @write: GPU to file
 *
 * Plain numbers, so that the caller keeps them in registers.
 *
 * Context: process context.
 */
void nvfs_watch_submit_fast(const void *id, const struct nvfs_region *region,
			    u64 off, u64 pos, u64 len, bool write)
{
	trace_nvfs_submit(id, region->id, off, pos, len, write, false);
}

/**
 * nvfs_watch_dma() - a step of a request goes to the file system or is copied
 * @id: what the request is called
 * @pos: first byte in the file
 * @len: bytes
 * @bvecs: pieces of memory; 0 when it is copied
 * @route: enum nvfs_route
 *
 * Context: process context.
 */
void nvfs_watch_dma(const void *id, u64 pos, u64 len, u32 bvecs, u32 route)
{
	trace_nvfs_dma(id, pos, len, bvecs, route);
}

static __always_inline void moved(const void *id,
				  const struct nvfs_region *region,
				  const struct file *file, u64 len,
				  const bool write)
{
	const struct outcome o = { .done = len, .direct = len, .write = write };

	/* Such a request is of a block device: that is less to look at */
	if (nvfs_users_counted())
		count_users(region, I_BDEV(file->f_mapping->host)->bd_disk->diskseq,
			    &o);
	trace_nvfs_complete(id, len, 0, NVFS_ROUTE_DIRECT, NVFS_REASON_NONE);
}

/**
 * nvfs_watch_moved() - a request without a struct nvfs_io went direct from end to end
 * @id: what it is called
 * @region: its region
 * @file: its file, a block device
 * @len: bytes
 * @write: GPU to file
 *
 * Context: any; nobody has been told of the end yet.
 */
void nvfs_watch_moved(const void *id, const struct nvfs_region *region,
		      const struct file *file, u64 len, bool write)
{
	if (write)
		moved(id, region, file, len, true);
	else
		moved(id, region, file, len, false);
}

/**
 * nvfs_watch_moved_io() - a request of the short way went direct from end to end
 * @io: the request, of a block device
 *
 * Context: any; nobody has been told of the end yet.
 */
void nvfs_watch_moved_io(const struct nvfs_io *io)
{
	if (io->write)
		moved(io, io->region, io->file, io->length, true);
	else
		moved(io, io->region, io->file, io->length, false);
}

/**
 * nvfs_watch_ended() - a request has ended in some way
 * @io: the request
 *
 * Context: any; nobody has been told of the end yet.
 */
void nvfs_watch_ended(const struct nvfs_io *io)
{
	const struct outcome o = {
		.done = io->done,
		.direct = io->direct,
		.write = io->write,
		.error = io->error && !nvfs_io_refused(io),
		.refused = nvfs_io_refused(io),
	};
	/* Not where the file system is, but nobody says where */
	bool elsewhere = io->route.reason == NVFS_REASON_NO_BDEV;

	if (nvfs_users_counted())
		count_users(io->region,
			    elsewhere ? 0 : nvfs_dma_disk(io->file), &o);
	trace_nvfs_complete(io->id, io->done, io->error, nvfs_io_route(io),
			    io->reason);
}
