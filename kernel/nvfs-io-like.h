/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_LIKE_H
#define _NVFS_IO_LIKE_H

#include "nvfs-io-fast.h"
#include "nvfs-io-inline.h"

/**
 * nvfs_io_prepare_like() - nvfs_io_prepare() for a request that resembles another
 * @io: the request's memory
 * @like: from nvfs_io_prepare_fast(), and not started yet; the two hold region,
 *	file and credentials together
 * @req: what the user asks for; op, region and file as for @like
 *
 * What only the general way looks at is written by nvfs_io_leave_fast().
 *
 * Context: process context.
 * Return: true, and it is prepared; false, and nothing happened.
 */
static __always_inline bool
nvfs_io_prepare_like(struct nvfs_io *io, struct nvfs_io *like,
		     const struct nvfs_request *req)
{
	struct nvfs_io_share *share = like->share;

	if (unlikely(!nvfs_fast_range(req, like->region) ||
		     req->length > NVFS_IO_NOWAIT_MAX ||
		     !nvfs_fast_aligned(req, &like->route)))
		return false;
	if (unlikely(!share)) {
		if (!nvfs_io_share(like))
			return false;
		share = like->share;
	}
	io->ops = like->ops;
	io->region = like->region;
	io->file = like->file;
	io->share = share;
	io->route.offset_align = like->route.offset_align;
	io->route.mem_align = like->route.mem_align;
	io->off = req->region_offset;
	io->pos = req->file_offset;
	io->length = req->length;
	io->skipped = 0;
	io->error = 0;
	io->reason = NVFS_REASON_NONE;
	io->write = like->write;
	io->bounce_ok = req->flags & NVFS_RW_BOUNCE;
	io->by_submitter = false;
	io->fast = true;
	io->bvec = NULL;
	/* Nobody else looks before the first of them is started */
	atomic_set(&share->users, atomic_read(&share->users) + 1);
	/* Who cancels sees it free, or ready */
	BUILD_BUG_ON(!(nvfs_io_next[IO_FREE] & BIT(IO_INIT)));
	BUILD_BUG_ON(!(nvfs_io_next[IO_INIT] & BIT(IO_READY)));
	/* Pairs with the acquire in nvfs_io_is_active() */
	atomic_set_release(&io->state, IO_READY);
	return true;
}

/**
 * nvfs_io_release_fast() - nvfs_io_release(), short for requests that share
 * @io: the request; it has ended or was never started
 *
 * Context: any.
 */
static __always_inline void nvfs_io_release_fast(struct nvfs_io *io)
{
	if (unlikely(!io->share || io->bvec))
		nvfs_io_release(io);
	else if (unlikely(atomic_dec_and_test(&io->share->users)))
		nvfs_io_end_share(io);
}

#endif /* _NVFS_IO_LIKE_H */
