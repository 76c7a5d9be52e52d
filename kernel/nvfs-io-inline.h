/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_INLINE_H
#define _NVFS_IO_INLINE_H

#include <linux/pagemap.h>

#include "nvfs-io.h"
#include "nvfs-io-fast.h"

/*
 * nvfs_io_set_state() for a request that nobody else can see, from one known state
 * to the next; that the step is legal is proved when this is compiled.
 */
#define nvfs_io_advance(io, from, to)					\
do {									\
	BUILD_BUG_ON(!(nvfs_io_next[from] & BIT(to)));			\
	if (likely(atomic_read(&(io)->state) == (from)))		\
		atomic_set_release(&(io)->state, (to));			\
	else								\
		nvfs_io_set_state(io, to);					\
} while (0)

/**
 * nvfs_io_init() - everything of a request but the blocks, the file and the region
 * @io: the request's memory
 * @req: what the user asks for
 * @ops: how to deliver it, NULL for a synchronous request
 */
static __always_inline void
nvfs_io_init(struct nvfs_io *io, const struct nvfs_request *req,
	     const struct nvfs_io_ops *ops)
{
	io->ops = ops;
	io->share = NULL;
	io->off = req->region_offset;
	io->pos = req->file_offset;
	io->left = req->length;
	io->length = req->length;
	io->done = 0;
	io->direct = 0;
	io->skipped = 0;
	io->step_max = NVFS_IO_STEP;
	io->step_len = 0;
	io->error = 0;
	io->reason = NVFS_REASON_NONE;
	io->tries = 0;
	io->write = req->op == NVFS_OP_WRITE;
	io->bounce_ok = req->flags & NVFS_RW_BOUNCE;
	io->by_submitter = false;
	io->fast = false;
	io->let_go = false;
	io->bvec = NULL;
	atomic_set(&io->state, IO_FREE);
	nvfs_io_advance(io, IO_FREE, IO_INIT);
}

/**
 * nvfs_io_is_active() - is a request ready or under way?
 * @io: the request, or memory of one that is being made
 *
 * Return: true when it is, and then all that its maker wrote is seen.
 */
static inline bool nvfs_io_is_active(const struct nvfs_io *io)
{
	/* Pairs with the release of nvfs_io_advance() */
	int state = atomic_read_acquire(&io->state);

	return state == IO_READY || state == IO_IN_PROGRESS;
}

/**
 * nvfs_io_delivered() - the owner knows of the end of a request
 * @io: the request
 *
 * Context: any; called by complete() before anybody may free the request.
 */
static inline void nvfs_io_delivered(struct nvfs_io *io)
{
	BUILD_BUG_ON(!(nvfs_io_next[IO_CALLBACK_REQ] & BIT(IO_CALLBACK_END)));
	BUILD_BUG_ON(!(nvfs_io_next[IO_CALLBACK_END] & BIT(IO_FREE)));
	/* Nobody can ask it to end any more, so nobody sees the state between */
	if (likely(atomic_read(&io->state) == IO_CALLBACK_REQ))
		atomic_set(&io->state, IO_FREE);
	else
		nvfs_io_set_state(io, IO_FREE);
}

/**
 * nvfs_io_route() - how the bytes of a request travelled
 * @io: the request
 *
 * Return: what is known, not what was meant.
 */
static __always_inline enum nvfs_route
nvfs_io_route(const struct nvfs_io *io)
{
	u64 moved = io->done - io->skipped;

	if (!moved)
		return NVFS_ROUTE_NONE;
	if (io->direct == moved)
		return NVFS_ROUTE_DIRECT;
	return io->direct ? NVFS_ROUTE_MIXED : NVFS_ROUTE_BOUNCE;
}

/**
 * nvfs_io_refused() - did a request end because its route is closed?
 * @io: the request; it has ended
 *
 * Return: true when it is counted as refused, not as an error.
 */
static inline bool nvfs_io_refused(const struct nvfs_io *io)
{
	return io->error == -EREMOTEIO && !io->done;
}

/**
 * nvfs_io_invalidate() - after an asynchronous write to a block device
 * @file: the block device
 * @pos: first byte
 * @len: bytes
 *
 * Who read the device through its page cache meanwhile has old bytes there; the
 * block layer looks after a synchronous kiocb only.
 *
 * Context: may sleep.
 */
static inline void nvfs_io_invalidate(struct file *file, loff_t pos, u64 len)
{
	struct address_space *mapping = file->f_mapping;

	if (mapping->nrpages)
		invalidate_inode_pages2_range(mapping, pos >> PAGE_SHIFT,
					      (pos + len - 1) >> PAGE_SHIFT);
}

/**
 * nvfs_io_was_buffered() - a direct kiocb went through the page cache
 * @kiocb: the kiocb; it has ended
 *
 * Said as some file systems say it themselves.  So it is of every write to a block
 * device that moved bytes before its submission returned, though it had a
 * completion: direct ones are queued, and the block layer's way out is to write
 * through its page cache when it can't empty that.
 */
static __always_inline void nvfs_io_was_buffered(struct kiocb *kiocb)
{
	kiocb->ki_flags &= ~IOCB_DIRECT;
}

#endif /* _NVFS_IO_INLINE_H */
