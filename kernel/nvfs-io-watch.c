// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is told of single requests.  Never inlined into their way: while nobody
 * looks, all this is jumped over.
 */
#include "nvfs-io.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-trace-io.h"

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

/**
 * nvfs_watch_moved() - a request went direct from end to end
 * @id: what it is called
 * @len: bytes
 *
 * Context: any; nobody has been told of the end yet.
 */
void nvfs_watch_moved(const void *id, u64 len)
{
	trace_nvfs_complete(id, len, 0, NVFS_ROUTE_DIRECT, NVFS_REASON_NONE);
}

/**
 * nvfs_watch_ended() - a request has ended in some way
 * @io: the request
 *
 * Context: any; nobody has been told of the end yet.
 */
void nvfs_watch_ended(const struct nvfs_io *io)
{
	trace_nvfs_complete(io->id, io->done, io->error, nvfs_io_route(io),
			    io->reason);
}
