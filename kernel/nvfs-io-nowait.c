// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous requests by the shortest way: one kiocb that must not wait.
 *
 * Their block states are not kept: until the kiocb has ended nobody looks at them,
 * and when it moved everything nobody will.  A request that ends in any other way
 * gets them then, and goes on the general way.  The state of the request itself is
 * kept, because somebody may ask it to end at any time.
 */
#include <linux/file.h>
#include <linux/fs.h>

#include "nvfs-io.h"
#include "nvfs-io-fast.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-mmap-get.h"
#include "nvfs-stat.h"

/* From one state to the next, if nobody has asked the request to end meanwhile */
static __always_inline bool fast_advance(struct nvfs_io *io,
					 enum nvfs_io_state from,
					 enum nvfs_io_state to)
{
	int was = from;

	return atomic_try_cmpxchg(&io->state, &was, to);
}

static __always_inline bool fits(const struct nvfs_request *req,
				 const struct nvfs_region *region,
				 struct file *file,
				 struct nvfs_route_info *route)
{
	return nvfs_fast_range(req, region) &&
	       req->length <= NVFS_IO_NOWAIT_MAX &&
	       (file->f_mode & FMODE_NOWAIT) &&
	       nvfs_fast_file(region, file, req->op == NVFS_OP_WRITE, route) &&
	       nvfs_fast_aligned(req, route);
}

/**
 * nvfs_io_prepare_fast() - nvfs_io_prepare() for a request that goes the short way
 * @io: the request's memory
 * @regions: regions of the open file
 * @req: what the user asks for; op and flags are known ones
 * @ops: how to deliver it
 *
 * Context: process context.
 * Return: true, and it is prepared; false, and nothing was looked for that
 * nvfs_io_prepare() does not look for.
 */
bool nvfs_io_prepare_fast(struct nvfs_io *io, struct nvfs_regions *regions,
			  const struct nvfs_request *req,
			  const struct nvfs_io_ops *ops)
{
	struct nvfs_region *region;
	struct file *file;

	region = nvfs_region_try_get(regions, req->region);
	if (unlikely(!region))
		return false;
	file = fget(req->fd);
	if (unlikely(!file))
		goto put_region;
	if (unlikely(!fits(req, region, file, &io->route)))
		goto put_file;
	nvfs_io_init(io, req, ops);
	io->region = region;
	io->file = file;
	io->fast = true;
	nvfs_io_advance(io, IO_INIT, IO_READY);
	return true;

put_file:
	fput(file);
put_region:
	nvfs_region_put(region);
	return false;
}

/* It moved everything, past the page cache.  Any context. */
static __always_inline void fast_complete(struct nvfs_io *io, bool write)
{
	if (write)
		nvfs_gate_leave_direct(&io->pass);
	else
		nvfs_fast_flush(io->region, io->off + io->length - 1);
	nvfs_fast_account(write, io->length, &io->begun);
	if (nvfs_is_watched())
		nvfs_watch_moved_io(io);
	io->done = io->length;
	io->direct = io->length;
	io->left = 0;
	BUILD_BUG_ON(!(nvfs_io_next[IO_IN_PROGRESS] & BIT(IO_CALLBACK_REQ)));
	/* Whatever was cancelled too late ends as it ends */
	if (unlikely(!fast_advance(io, IO_IN_PROGRESS, IO_CALLBACK_REQ)))
		nvfs_io_set_state(io, IO_TERMINATED);
	io->ops->complete(io);
}

/* The kiocb has ended, and nobody uses it any more.  Any context. */
static __always_inline void fast_ended(struct nvfs_io *io, long ret)
{
	if (likely(ret == io->length && (io->kiocb.ki_flags & IOCB_DIRECT))) {
		fast_complete(io, io->write);
		return;
	}
	nvfs_io_leave_fast(io, true);
	nvfs_io_nowait_done(io, ret);
}

static void fast_kiocb_done(struct kiocb *kiocb, long ret)
{
	struct nvfs_io *io = container_of(kiocb, struct nvfs_io, kiocb);

	if (kiocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(kiocb);
	io->step_ret = ret;
	if (atomic_dec_and_test(&io->step_users))
		fast_ended(io, ret);
}

/* May the kiocb begin without waiting? */
static __always_inline bool fast_begin(struct nvfs_io *io)
{
	BUILD_BUG_ON(!(nvfs_io_next[IO_READY] & BIT(IO_IN_PROGRESS)));
	if (unlikely(!fast_advance(io, IO_READY, IO_IN_PROGRESS)))
		return false;
	if (!io->write)
		return true;
	/* a frozen file system makes writers wait */
	return file_inode(io->file)->i_sb->s_writers.frozen == SB_UNFROZEN &&
	       nvfs_gate_try_direct(&io->pass, io->file);
}

/**
 * nvfs_io_start_fast() - nvfs_io_start() for a request that goes the short way
 * @io: from nvfs_io_prepare_fast() or _like(); may be gone when this returns
 * @ioprio: of the caller: nvfs_fast_ioprio()
 *
 * Context: process context; does not wait for other requests.
 */
void nvfs_io_start_fast(struct nvfs_io *io, u16 ioprio)
{
	struct iov_iter iter nvfs_no_auto_init;
	struct kiocb *kiocb = &io->kiocb;
	ssize_t ret;

	if (io->write)
		nvfs_stat_inc(write_started);
	else
		nvfs_stat_inc(read_started);
	nvfs_hist_begin(&io->begun);
	if (unlikely(!fast_begin(io))) {
		if (nvfs_is_watched())
			nvfs_watch_submit(io);
		nvfs_io_leave_fast(io, false);
		io->ops->punt(io);
		return;
	}
	nvfs_fast_kiocb(kiocb, io->file, io->pos, io->write, ioprio,
			fast_kiocb_done);
	kiocb->ki_flags |= IOCB_NOWAIT | NVFS_IOCB_CACHE;
	nvfs_fast_bvec(io->region, io->off, io->length, io->inline_bvec);
	iov_iter_bvec(&iter, io->write ? ITER_SOURCE : ITER_DEST,
		      io->inline_bvec, 1, io->length);
	nvfs_stat_inc(kiocbs);
	nvfs_stat_inc(bvecs);
	if (nvfs_is_watched()) {
		nvfs_watch_submit(io);
		nvfs_watch_dma(io, io->pos, io->length, 1, NVFS_ROUTE_DIRECT);
	}
	/*
	 * The drive may be done while the file system still looks at the kiocb
	 * and the inode: whoever of the two comes last ends the step.
	 */
	atomic_set(&io->step_users, 2);
	if (io->write)
		ret = vfs_iocb_iter_write(io->file, kiocb, &iter);
	else
		ret = vfs_iocb_iter_read(io->file, kiocb, &iter);
	if (ret == -EIOCBQUEUED) {
		if (!atomic_dec_and_test(&io->step_users))
			return;
		ret = io->step_ret;
	} else if (io->write && ret > 0) {
		nvfs_io_was_buffered(kiocb);
	}
	io->by_submitter = true;
	fast_ended(io, ret);
}
