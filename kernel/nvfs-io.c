// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request, from checked arguments to its end.
 *
 * A request is moved in steps.  A direct step is a kiocb with O_DIRECT semantics
 * whose iov_iter holds the GPU's own pages: the file system and the block layer
 * carry it as they carry any other, and the drive's DMA engine moves the bytes.
 * What can't go direct (a head or tail inside a block, a file or a drive that
 * does not allow it) is a step through host memory, when the caller agrees.
 *
 * Steps follow one another, so that a signal, a cancel or the end of the region
 * waits for one step at most, and @done never has a gap.
 *
 * An asynchronous request that is one direct step is started where it is
 * submitted, without waiting, and ends in the drive's interrupt.  All others are
 * given to a worker, which runs them as a synchronous request is run.
 */
#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-io-dirtied.h"
#include "nvfs-io-fast.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-mmap.h"
#include "nvfs-stat-hist.h"
#include "nvfs-stat.h"

/* Most bvecs of one kiocb: one page full of them */
#define NVFS_IO_MAX_BVECS	(PAGE_SIZE / sizeof(struct bio_vec))

/* Blocks that the first @bytes of the request touch */
static u32 io_blocks(const struct nvfs_io *io, u64 bytes)
{
	u64 skip = (io->off - io->done) & (NVFS_BLOCK_SIZE - 1);

	return bytes ? (skip + bytes + NVFS_BLOCK_SIZE - 1) >>
		       NVFS_BLOCK_SHIFT : 0;
}

/* Bring the blocks of the bytes from @from to @to, of all, to a state */
static int io_set_blocks(struct nvfs_io *io, u64 from, u64 to,
			 enum nvfs_block_state state)
{
	u32 first = io_blocks(io, from);
	u32 nr = io_blocks(io, to) - first;

	/* A step inside a block that the step before has touched */
	if (!nr)
		return 0;
	return nvfs_mgroup_set_range(&io->mgroup, first, nr, state);
}

/* Is the step under way the whole request? */
static bool step_is_all(const struct nvfs_io *io)
{
	return io->step_len == io->length;
}

static int step_begin(struct nvfs_io *io, u64 len)
{
	int ret;

	io->step_len = len;
	if (likely(step_is_all(io)) &&
	    nvfs_mgroup_advance(&io->mgroup, NVFS_IO_INIT, NVFS_IO_QUEUED) &&
	    nvfs_mgroup_advance(&io->mgroup, NVFS_IO_QUEUED, NVFS_IO_DMA_START))
		return 0;
	ret = io_set_blocks(io, io->done, io->done + len, NVFS_IO_QUEUED);
	return ret ?: io_set_blocks(io, io->done, io->done + len,
				    NVFS_IO_DMA_START);
}

/* @moved bytes of the step have arrived; the rest is rolled back */
static void step_end(struct nvfs_io *io, u64 moved, bool direct)
{
	u64 start = io->done, end = start + io->step_len;

	if (!step_is_all(io) ||
	    !nvfs_mgroup_advance(&io->mgroup, NVFS_IO_DMA_START, NVFS_IO_DONE))
		io_set_blocks(io, start, end, NVFS_IO_DONE);
	if (unlikely(moved < io->step_len))
		io_set_blocks(io, start + moved, end, NVFS_IO_INIT);
	io->off += moved;
	io->pos += moved;
	io->done += moved;
	io->left -= moved;
	if (direct)
		io->direct += moved;
	if (moved)
		io->tries = 0;
}

/* The step failed: as if it had not been begun */
static void step_roll_back(struct nvfs_io *io)
{
	u64 end = io->done + io->step_len;

	io_set_blocks(io, io->done, end, NVFS_IO_DMA_ERROR);
	io_set_blocks(io, io->done, end, NVFS_IO_INIT);
}

/* Bytes that the next step may move direct; 0 when it has to bounce */
static u64 direct_len(const struct nvfs_io *io)
{
	const struct nvfs_route_info *route = &io->route;
	u64 len;

	if (route->reason || !IS_ALIGNED(io->pos, route->offset_align) ||
	    !nvfs_dma_mem_aligned(route, io->region, io->off))
		return 0;
	len = min(io->left, io->step_max);
	return round_down(len, route->offset_align);
}

/* Is a step a part of a block, of a file that has O_DIRECT? */
static bool step_is_part(const struct nvfs_io *io, u64 len)
{
	u32 align = io->route.offset_align;

	return io->write && align && !IS_ALIGNED(io->pos | len, align);
}

/* The same for a write: what is left of a block, or whole blocks */
static u64 bounce_write_len(const struct nvfs_io *io)
{
	u32 align = io->route.offset_align;
	u64 head = -io->pos & (align - 1);

	if (head)
		return min(io->left, head);
	if (io->left < align)
		return io->left;
	return round_down(min(io->left, io->step_max), align);
}

/* Bytes of the next step when it has to bounce: up to where direct may go on */
static u64 bounce_len(const struct nvfs_io *io)
{
	const struct nvfs_route_info *route = &io->route;
	u64 head;

	if (io->write && route->offset_align)
		return bounce_write_len(io);

	if (route->reason)
		return min(io->left, io->step_max);
	head = -io->pos & (route->offset_align - 1);
	if (head && nvfs_dma_mem_aligned(route, io->region, io->off + head))
		return min(io->left, head);
	return min(io->left, io->step_max);
}

/* Fill in the kiocb and the iterator of a direct step of at most *@len bytes */
static void direct_prepare(struct nvfs_io *io, struct iov_iter *iter, u64 *len)
{
	u64 all = *len;
	u32 nr;

	nr = nvfs_dma_fill(io->region->pieces, io->region->nr_pieces, io->off,
			   len, io->bvec, io->max_bvecs);
	/* Where the bvecs ran out, end on a block of the file */
	if (*len < all)
		*len = round_down(*len, io->route.offset_align);
	init_sync_kiocb(&io->kiocb, io->file);
	io->kiocb.ki_flags |= IOCB_DIRECT;
	/* Somebody may have set O_APPEND since it was looked for */
	io->kiocb.ki_flags &= ~IOCB_APPEND;
	io->kiocb.ki_pos = io->pos;
	if (io->write)
		io->kiocb.ki_flags |= IOCB_WRITE;
	iov_iter_bvec(iter, io->write ? ITER_SOURCE : ITER_DEST, io->bvec, nr,
		      *len);
	if (io->write)
		return;
	iov_iter_truncate(iter, nvfs_dma_readable(io->file, io->pos, *len,
						  io->route.offset_align));
}

/* ext4 may take the page cache and not say so */
static ssize_t direct_submit_write(struct nvfs_io *io, struct iov_iter *iter)
{
	struct nvfs_dirtied before;
	ssize_t ret;

	nvfs_dirtied_note(&before);
	ret = vfs_iocb_iter_write(io->file, &io->kiocb, iter);
	if (ret <= 0)
		return ret;
	if (S_ISBLK(file_inode(io->file)->i_mode) ||
	    nvfs_dirtied_since(&before, io->file, io->pos, ret))
		nvfs_io_was_buffered(&io->kiocb);
	return ret;
}

static ssize_t direct_submit(struct nvfs_io *io, struct iov_iter *iter)
{
	nvfs_stat_inc(kiocbs);
	nvfs_stat_add(bvecs, iter->nr_segs);
	if (nvfs_is_watched())
		nvfs_watch_dma(io->id, io->pos, io->step_len, iter->nr_segs,
			       NVFS_ROUTE_DIRECT);
	if (io->write)
		return direct_submit_write(io, iter);
	return vfs_iocb_iter_read(io->file, &io->kiocb, iter);
}

/* Get room for the bvecs of a direct step: the request's only allocation */
static int get_bvecs(struct nvfs_io *io)
{
	if (io->bvec)
		return 0;
	/* Where there is no memory the request is tried again, and then fails */
	io->max_bvecs = nvfs_dma_count(io->region->pieces,
				       io->region->nr_pieces, io->off,
				       io->length - io->done,
				       NVFS_IO_MAX_BVECS);
	if (io->max_bvecs <= NVFS_IO_INLINE_BVECS)
		io->bvec = io->inline_bvec;
	else
		io->bvec = kmalloc_array(io->max_bvecs, sizeof(*io->bvec),
					 GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
					 __GFP_RETRY_MAYFAIL);
	return io->bvec ? 0 : -ENOMEM;
}

static void put_bvecs(struct nvfs_io *io)
{
	if (io->bvec != io->inline_bvec)
		kfree(io->bvec);
	io->bvec = NULL;
}

/* The end of a step that nvfs_io_move() waits for.  Any context. */
static void waited_done(struct kiocb *kiocb, long ret)
{
	struct nvfs_io *io = container_of(kiocb, struct nvfs_io, kiocb);

	if (kiocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(kiocb);
	io->step_ret = ret;
	complete(io->step_done);
}

/*
 * Submit a direct step and wait for its end.  A synchronous kiocb does, but for
 * writes to a block device: there, kernels up to 6.4 wait with the request still
 * in a plug, and it takes another thread to send it to the drive.
 */
static ssize_t direct_submit_wait(struct nvfs_io *io, struct iov_iter *iter)
{
	DECLARE_COMPLETION_ONSTACK(done);
	ssize_t ret;

	if (!io->write || !S_ISBLK(file_inode(io->file)->i_mode))
		return direct_submit(io, iter);
	io->step_done = &done;
	io->kiocb.ki_complete = waited_done;
	ret = direct_submit(io, iter);
	if (ret != -EIOCBQUEUED)
		return ret;
	wait_for_completion_io(&done);
	nvfs_io_invalidate(io->file, io->pos, io->step_len);
	return io->step_ret;
}

/* The same for a write that a part of a block may have to keep away from */
static ssize_t direct_submit_gated(struct nvfs_io *io, struct iov_iter *iter)
{
	ssize_t ret;

	if (!io->write)
		return direct_submit_wait(io, iter);
	ret = nvfs_gate_enter_direct(&io->pass, io->file, io->region);
	if (ret)
		return ret;
	ret = direct_submit_wait(io, iter);
	nvfs_gate_leave_direct(&io->pass);
	return ret;
}

/* The same of a direct step.  What some drive did before may be under way still,
 * and the memory may be somebody else's as soon as it is let go.
 */
static void step_failed(struct nvfs_io *io)
{
	step_roll_back(io);
	if (!io->write && !READ_ONCE(io->region->gpu->gone))
		nvfs_dma_flush(io->region, io->off);
}

/* A direct step has ended */
static ssize_t direct_ended(struct nvfs_io *io, ssize_t ret, int ki_flags)
{
	/* Known only now: the file system did not take O_DIRECT */
	bool buffered = !(ki_flags & IOCB_DIRECT);

	if (ret < 0) {
		step_failed(io);
		return ret;
	}
	if (buffered)
		io->reason = NVFS_REASON_FS_BUFFERED;
	step_end(io, ret, !buffered);
	return ret;
}

static ssize_t step_direct(struct nvfs_io *io, u64 len)
{
	struct iov_iter iter nvfs_no_auto_init;
	ssize_t ret;

	ret = get_bvecs(io);
	if (ret)
		return ret;
	direct_prepare(io, &iter, &len);
	ret = step_begin(io, len);
	if (ret)
		return ret;
	ret = direct_submit_gated(io, &iter);
	return direct_ended(io, ret, io->kiocb.ki_flags);
}

/* Write whole blocks, or a part of one */
static ssize_t bounce_write(struct nvfs_io *io, struct nvfs_bounce *bounce)
{
	ssize_t ret;

	if (!step_is_part(io, bounce->len)) {
		ret = nvfs_gate_enter_direct(&io->pass, io->file, io->region);
		if (ret)
			return ret;
		ret = nvfs_dma_bounce(bounce);
		if (S_ISBLK(file_inode(io->file)->i_mode))
			nvfs_io_invalidate(io->file, bounce->pos, bounce->len);
		nvfs_gate_leave_direct(&io->pass);
		return ret;
	}
	ret = nvfs_gate_enter_part(&io->pass, io->file, io->region);
	if (ret)
		return ret;
	bounce->align = 0;
	ret = nvfs_dma_bounce_part(bounce);
	nvfs_gate_leave_part(&io->pass);
	return ret;
}

static ssize_t step_bounce(struct nvfs_io *io, u64 len)
{
	struct nvfs_bounce bounce = {
		.region = io->region,
		.file = io->file,
		.off = io->off,
		.pos = io->pos,
		.len = len,
		.align = io->route.offset_align,
		.write = io->write,
	};
	ssize_t ret;

	if (!io->reason)
		io->reason = io->route.reason ?: NVFS_REASON_ALIGN;
	ret = step_begin(io, len);
	if (ret)
		return ret;
	if (nvfs_is_watched())
		nvfs_watch_dma(io->id, io->pos, len, 0, NVFS_ROUTE_BOUNCE);
	/* The file may never answer, nor what others do at the gate */
	nvfs_io_let_go(io);
	if (bounce.write && bounce.align)
		ret = bounce_write(io, &bounce);
	else
		ret = nvfs_dma_bounce(&bounce);
	/* When it fails, interrupted() tells */
	nvfs_io_hold(io);
	if (ret < 0) {
		step_roll_back(io);
		return ret;
	}
	step_end(io, ret, false);
	return ret;
}

static bool is_orphan(struct nvfs_io *io)
{
	return io->ops && io->ops->is_orphan && io->ops->is_orphan(io);
}

/* Does somebody want the request to end, or nobody to go on? */
static int interrupted(struct nvfs_io *io)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (io->let_go || !nvfs_region_is_live(io->region))
		return -ESTALE;
	/* Nobody revokes persistent memory */
	if (READ_ONCE(io->region->gpu->gone))
		return -ENODEV;
	if (is_orphan(io) && nvfs_io_cancel(io))
		nvfs_stat_inc(cancels);
	if (atomic_read(&io->state) == IO_TERMINATE_REQ)
		return -ECANCELED;
	return 0;
}

/* One step, direct where that is possible */
static ssize_t step(struct nvfs_io *io)
{
	u64 len = direct_len(io);

	if (len)
		return step_direct(io, len);
	if (io->bounce_ok)
		return step_bounce(io, bounce_len(io));
	/* It ended inside a block, and has grown since */
	if (!io->write && io->done && !io->route.reason &&
	    !IS_ALIGNED(io->pos, io->route.offset_align))
		return 0;
	/* The file or its route has changed under us */
	if (!io->reason)
		io->reason = io->route.reason ?: NVFS_REASON_ALIGN;
	return -EREMOTEIO;
}

/* Was a step that moved @moved bytes the last, because the file ends? */
static bool at_end(const struct nvfs_io *io, u64 moved)
{
	const struct inode *inode = io->file->f_mapping->host;

	/* A device ends for writers, too */
	if (io->write && !S_ISBLK(inode->i_mode))
		return false;
	return moved < io->step_len && io->pos >= i_size_read(inode);
}

/* Move what is left after a step that returned @ret */
static int move_after(struct nvfs_io *io, ssize_t ret)
{
	for (;;) {
		if (ret >= 0 && at_end(io, ret))
			return 0;
		/* Nothing moved, and no reason told: not to be tried for ever.  A
		 * file that was cut and grew again meanwhile ended there.
		 */
		if (!ret)
			return io->write ? -EIO : 0;
		ret = ret < 0 ? nvfs_io_recover(io, ret) : 0;
		if (!ret && io->left)
			ret = interrupted(io);
		if (ret || !io->left)
			return ret;
		ret = step(io);
	}
}

/**
 * nvfs_io_move() - move what is left of a request, step by step
 * @io: in progress
 *
 * Context: may sleep.
 * Return: 0 when nothing is left or the file ends, or an errno.
 */
int nvfs_io_move(struct nvfs_io *io)
{
	if (!io->left)
		return 0;
	/* The region has ended while what stands before was moved */
	if (unlikely(io->let_go))
		return -ESTALE;
	return move_after(io, step(io));
}

/**
 * nvfs_io_move_on() - move what is left of a request that was adopted
 * @io: from nvfs_io_adopt()
 * @ret: what became of its first step
 * @ki_flags: of the step's kiocb, as they were afterwards
 *
 * Context: may sleep.
 * Return: 0 when nothing is left or the file ends, or an errno.
 */
int nvfs_io_move_on(struct nvfs_io *io, ssize_t ret, int ki_flags)
{
	return move_after(io, direct_ended(io, ret, ki_flags));
}

/**
 * nvfs_io_skip() - pass over a hole: its bytes count as done and do not move
 * @io: in progress, with at least @len bytes left
 * @len: bytes
 *
 * Context: any.
 */
void nvfs_io_skip(struct nvfs_io *io, u64 len)
{
	if (step_begin(io, len))
		return;
	step_end(io, len, false);
	io->skipped += len;
}

/* It begins: from here on it is counted */
static void io_started(struct nvfs_io *io)
{
	nvfs_io_account_begin(io->write);
	nvfs_hist_begin(&io->begun);
	if (nvfs_is_watched())
		nvfs_watch_submit(io);
}

/* It has ended, and nobody has been told yet */
static void io_ended(const struct nvfs_io *io)
{
	nvfs_io_account(io);
	nvfs_hist_end(io->begun, io->write, io->length);
	if (nvfs_is_watched())
		nvfs_watch_ended(io);
}

/* The last look at a request that moves no more bytes.  Any context. */
static void io_close(struct nvfs_io *io, int error)
{
	io->error = error;
	if (nvfs_handle_done_block_validation(&io->mgroup,
					      io_blocks(io, io->done)) &&
	    !error)
		io->error = -EIO;
	if (!nvfs_mgroup_advance(&io->mgroup, NVFS_IO_DONE, NVFS_IO_FREE))
		nvfs_mgroup_check_and_set(&io->mgroup, NVFS_IO_FREE, true, true);
	/* What the CPU moved is ordered already; who has let go has flushed */
	if (io->direct && !io->write && !io->let_go)
		nvfs_dma_flush(io->region, io->off - 1);
	io_ended(io);
}

/* It may be started */
static void io_ready(struct nvfs_io *io)
{
	nvfs_mgroup_init(&io->mgroup, io->off, io->left);
	nvfs_mgroup_advance(&io->mgroup, NVFS_IO_ALLOC, NVFS_IO_INIT);
	nvfs_io_advance(io, IO_INIT, IO_READY);
}

/**
 * nvfs_io_begin() - a request with region and file at hand
 * @io: the request's memory
 * @region: held by the caller until the request has ended
 * @file: likewise
 * @req: what the user asks for; op and flags are known ones, the range is good
 * @ops: how to deliver it, NULL for a synchronous request
 *
 * Context: process context; may sleep.
 * Return: 0, and the request is ready; or an errno that the uapi header
 * documents, with @io->reason set.
 */
int nvfs_io_begin(struct nvfs_io *io, struct nvfs_region *region,
		  struct file *file, const struct nvfs_request *req,
		  const struct nvfs_io_ops *ops)
{
	int ret;

	nvfs_io_init(io, req, ops);
	io->id = io;
	io->region = region;
	io->file = file;
	io->route.reason = NVFS_REASON_NONE;
	ret = nvfs_io_admit(io);
	if (ret)
		return ret;
	if (io->write && unlikely(READ_ONCE(region->mapped)))
		nvfs_dma_publish(region);
	io_ready(io);
	return 0;
}

/**
 * nvfs_io_adopt() - a request whose first direct step has been made without it
 * @io: the request's memory
 * @id: what tracepoints call it
 * @region: held by the caller until the request has ended
 * @file: likewise
 * @req: what the user asked for; it is counted as started
 * @route: the way that was taken
 * @begun: when it began
 *
 * Context: process context.  Goes on by nvfs_io_move_on().
 */
void nvfs_io_adopt(struct nvfs_io *io, const void *id,
		   struct nvfs_region *region, struct file *file,
		   const struct nvfs_request *req,
		   const struct nvfs_route_info *route, u64 begun)
{
	nvfs_io_init(io, req, NULL);
	io->region = region;
	io->file = file;
	io->route = *route;
	io_ready(io);
	io->id = id;
	io->begun = begun;
	nvfs_io_advance(io, IO_READY, IO_IN_PROGRESS);
	step_begin(io, io->left);
}

/**
 * nvfs_io_prepare() - check an asynchronous request and get hold of its parts
 * @io: the request's memory
 * @regions: regions of the open file
 * @req: what the user asks for; op and flags are known ones
 * @ops: how to deliver it
 *
 * Context: process context of the caller, whose files and limits count.
 * Return: 0, and the request ends by nvfs_io_release(); or an errno that the uapi
 * header documents for struct nvfs_rw, with @io->reason set.
 */
int nvfs_io_prepare(struct nvfs_io *io, struct nvfs_regions *regions,
		    const struct nvfs_request *req,
		    const struct nvfs_io_ops *ops)
{
	struct nvfs_region *region;
	struct file *file;
	int ret;

	if (likely(nvfs_io_prepare_fast(io, regions, req, ops)))
		return 0;
	io->reason = NVFS_REASON_NONE;
	region = nvfs_region_get(regions, req->region);
	if (IS_ERR(region))
		return PTR_ERR(region);
	ret = nvfs_io_check_range(req, region);
	if (ret)
		goto err_put_region;
	ret = -EBADF;
	file = fget(req->fd);
	if (!file)
		goto err_put_region;
	ret = nvfs_io_begin(io, region, file, req, ops);
	if (!ret)
		ret = nvfs_io_check_size_limit(req, file);
	if (ret)
		goto err_put_file;
	return 0;

err_put_file:
	fput(file);
err_put_region:
	nvfs_region_put(region);
	return ret;
}

/**
 * nvfs_io_release() - let go of what nvfs_io_prepare() took
 * @io: the request; it has ended or was never started
 *
 * Context: any.
 */
void nvfs_io_release(struct nvfs_io *io)
{
	put_bvecs(io);
	if (io->share) {
		if (atomic_dec_and_test(&io->share->users))
			nvfs_io_end_share(io);
		return;
	}
	fput(io->file);
	nvfs_io_put_region(io);
}

/* An asynchronous request has ended: the way to its owner.  Any context. */
static void io_deliver(struct nvfs_io *io, int error)
{
	int from;

	/* Whatever was cancelled too late ends as it ends */
	if (!nvfs_io_try_state(io, IO_CALLBACK_REQ, &from))
		nvfs_io_set_state(io, IO_TERMINATED);
	io_close(io, io->left ? error : 0);
	io->ops->complete(io);
}

/**
 * nvfs_io_cancel() - ask a request to end
 * @io: the request; the caller keeps it from being freed
 *
 * Context: any.
 * Return: true when the request will notice unless it is complete before.
 */
bool nvfs_io_cancel(struct nvfs_io *io)
{
	int from;

	return nvfs_io_try_state(io, IO_TERMINATE_REQ, &from);
}

/**
 * nvfs_io_nowait_done() - the end of a step that was started without waiting
 * @io: in progress
 * @ret: what became of the step
 *
 * Context: any.
 */
void nvfs_io_nowait_done(struct nvfs_io *io, long ret)
{
	bool direct = true;

	if (io->write)
		nvfs_gate_leave_direct(&io->pass);
	if (unlikely(ret < 0)) {
		step_failed(io);
		io->by_submitter = false;
		/* A worker may wait, and finds out how bad it is */
		io->ops->punt(io);
		return;
	}
	if (unlikely(!(io->kiocb.ki_flags & IOCB_DIRECT))) {
		io->reason = NVFS_REASON_FS_BUFFERED;
		direct = false;
	}
	step_end(io, ret, direct);
	if (unlikely(io->left && !at_end(io, ret))) {
		io->by_submitter = false;
		io->ops->punt(io);
	} else {
		io_deliver(io, 0);
	}
}

static void kiocb_done(struct kiocb *kiocb, long ret)
{
	struct nvfs_io *io = container_of(kiocb, struct nvfs_io, kiocb);

	if (kiocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(kiocb);
	io->step_ret = ret;
	if (atomic_dec_and_test(&io->step_users))
		nvfs_io_nowait_done(io, ret);
}

/* Is the request one direct step that needs no waiting? */
static bool can_start_nowait(const struct nvfs_io *io)
{
	return io->left && io->left <= NVFS_IO_NOWAIT_MAX &&
	       (io->file->f_mode & FMODE_NOWAIT) &&
	       direct_len(io) == io->left &&
	       /* a frozen file system makes writers wait */
	       (!io->write || file_inode(io->file)->i_sb->s_writers.frozen ==
			      SB_UNFROZEN);
}

/* Begin a step that does not wait; false when it has to */
static bool nowait_begin(struct nvfs_io *io, u64 len)
{
	if (!io->write)
		return !step_begin(io, len);
	if (!nvfs_gate_try_direct(&io->pass, io->file))
		return false;
	if (likely(!step_begin(io, len)))
		return true;
	nvfs_gate_leave_direct(&io->pass);
	return false;
}

/**
 * nvfs_io_leave_fast() - bring a request of the short way to the general one
 * @io: from nvfs_io_prepare_fast()
 * @begun: its step has begun, so that nvfs_io_nowait_done() may end it
 *
 * Context: any.
 */
void nvfs_io_leave_fast(struct nvfs_io *io, bool begun)
{
	io->fast = false;
	io->let_go = false;
	io->id = io;
	io->route.reason = NVFS_REASON_NONE;
	io->left = io->length;
	io->done = 0;
	io->direct = 0;
	io->step_max = NVFS_IO_STEP;
	io->step_len = 0;
	io->tries = 0;
	nvfs_mgroup_init(&io->mgroup, io->off, io->left);
	nvfs_mgroup_advance(&io->mgroup, NVFS_IO_ALLOC, NVFS_IO_INIT);
	if (begun)
		step_begin(io, io->left);
}

/**
 * nvfs_io_start() - start an asynchronous request
 * @io: prepared; may be complete, and gone, when this returns
 *
 * Context: process context; does not wait for other requests.
 */
void nvfs_io_start(struct nvfs_io *io)
{
	struct iov_iter iter nvfs_no_auto_init;
	u64 len = io->left;
	ssize_t ret;
	int from;

	if (likely(io->fast)) {
		nvfs_io_start_fast(io, nvfs_fast_ioprio());
		return;
	}
	io_started(io);
	if (!can_start_nowait(io) || get_bvecs(io)) {
		io->ops->punt(io);
		return;
	}
	direct_prepare(io, &iter, &len);
	if (len < io->left || !nvfs_io_try_state(io, IO_IN_PROGRESS, &from) ||
	    !nowait_begin(io, len)) {
		io->ops->punt(io);
		return;
	}
	io->kiocb.ki_flags |= IOCB_NOWAIT;
	io->kiocb.ki_complete = kiocb_done;
	/*
	 * The drive may be done while the file system still looks at the kiocb
	 * and the inode: whoever of the two comes last ends the step.
	 */
	atomic_set(&io->step_users, 2);
	ret = direct_submit(io, &iter);
	if (ret == -EIOCBQUEUED) {
		if (!atomic_dec_and_test(&io->step_users))
			return;
		ret = io->step_ret;
	}
	io->by_submitter = true;
	nvfs_io_nowait_done(io, ret);
}

/**
 * nvfs_io_run() - run an asynchronous request to its end
 * @io: prepared and punted; gone when this returns
 *
 * Context: may sleep.
 */
void nvfs_io_run(struct nvfs_io *io)
{
	int from, ret;

	/* It may have been started before, or cancelled */
	nvfs_io_try_state(io, IO_IN_PROGRESS, &from);
	ret = nvfs_io_hold(io) ?: interrupted(io);
	if (!ret)
		ret = nvfs_io_move(io);
	io_deliver(io, ret);
}

/**
 * nvfs_io_run_begin() - put a synchronous request in progress
 * @io: begun
 *
 * Context: process context.
 */
void nvfs_io_run_begin(struct nvfs_io *io)
{
	io_started(io);
	nvfs_io_advance(io, IO_READY, IO_IN_PROGRESS);
}

/**
 * nvfs_io_run_end() - end a synchronous request
 * @io: in progress
 * @error: how it ended
 *
 * Context: process context.
 */
void nvfs_io_run_end(struct nvfs_io *io, int error)
{
	nvfs_io_advance(io, IO_IN_PROGRESS, IO_CALLBACK_REQ);
	io_close(io, error);
	nvfs_io_advance(io, IO_CALLBACK_REQ, IO_CALLBACK_END);
	nvfs_io_advance(io, IO_CALLBACK_END, IO_FREE);
	put_bvecs(io);
}

/**
 * nvfs_io_refuse() - end a synchronous request that nvfs_io_begin() refused
 * @io: the request
 * @error: why
 *
 * Context: process context.
 */
void nvfs_io_refuse(struct nvfs_io *io, int error)
{
	io_started(io);
	io->error = error;
	io_ended(io);
	nvfs_io_advance(io, IO_INIT, IO_FREE);
}
