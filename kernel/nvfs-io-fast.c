// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVFS_IOC_READ and NVFS_IOC_WRITE by the shortest way, from the user's structure
 * to the file and back.
 *
 * A request whose one kiocb moves all of it never gets a struct nvfs_io: nobody
 * but its caller could look at it.  One that ends in any other way is handed, with
 * what became of its kiocb, to the general way, which goes on from there.
 */
#include <linux/blkdev.h>
#include <linux/file.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "nvfs-io.h"
#include "nvfs-io-fast.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-mmap-get.h"
#include "nvfs-stat.h"

/**
 * struct fast - a kiocb that its caller waits for
 * @kiocb: the kiocb
 * @waiter: the caller, until the kiocb has ended
 * @ret: how it ended
 * @begun: when its request began
 * @bvec: the GPU's memory
 */
struct fast {
	struct kiocb kiocb;
	struct task_struct *waiter;
	long ret;
	u64 begun;
	struct bio_vec bvec;
};

/* The kiocb has ended.  Any context. */
static void fast_done(struct kiocb *kiocb, long ret)
{
	struct fast *fast = container_of(kiocb, struct fast, kiocb);
	struct task_struct *waiter = fast->waiter;

	if (kiocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(kiocb);
	fast->ret = ret;
	/* The task may see what comes next and be gone: RCU keeps it */
	rcu_read_lock();
	/* Pairs with the acquire in fast_wait() */
	smp_store_release(&fast->waiter, NULL);
	blk_wake_io_task(waiter);
	rcu_read_unlock();
}

static noinline void fast_wait(struct fast *fast)
{
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		/* Pairs with the release in fast_done() */
		if (!smp_load_acquire(&fast->waiter))
			break;
		io_schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/*
 * A kiocb with a completion has often ended when it has been submitted.  It costs
 * less than a synchronous one where the block layer has a cache of bios for it;
 * and for writes everywhere, because kernels up to 6.4 wait for a synchronous one
 * with the request still in a plug, and it takes another thread to send it to the
 * drive.
 */
static __always_inline ssize_t fast_submit(struct fast *fast,
					   const struct nvfs_region *region,
					   struct file *file,
					   const struct nvfs_request *req,
					   bool write)
{
	const bool wait = write || NVFS_IOCB_CACHE;
	struct kiocb *kiocb = &fast->kiocb;
	struct iov_iter iter nvfs_no_auto_init;
	ssize_t ret;

	nvfs_fast_kiocb(kiocb, file, req->file_offset, write,
			nvfs_fast_ioprio(), wait ? fast_done : NULL);
	nvfs_fast_bvec(region, req->region_offset, req->length, &fast->bvec);
	iov_iter_bvec(&iter, write ? ITER_SOURCE : ITER_DEST, &fast->bvec, 1,
		      req->length);
	nvfs_stat_inc(kiocbs);
	nvfs_stat_inc(bvecs);
	if (nvfs_is_watched())
		nvfs_watch_dma(fast, req->file_offset, req->length, 1,
			       NVFS_ROUTE_DIRECT);
	if (wait) {
		kiocb->ki_flags |= NVFS_IOCB_CACHE;
		fast->waiter = current;
	}
	if (write)
		ret = vfs_iocb_iter_write(file, kiocb, &iter);
	else
		ret = vfs_iocb_iter_read(file, kiocb, &iter);
	if (ret != -EIOCBQUEUED) {
		if (write && ret > 0)
			nvfs_io_was_buffered(kiocb);
		return ret;
	}
	/* Pairs with the release in fast_done() */
	if (unlikely(smp_load_acquire(&fast->waiter)))
		fast_wait(fast);
	if (write)
		nvfs_io_invalidate(file, req->file_offset, req->length);
	return fast->ret;
}

/* The same, where a part of a block may be written meanwhile */
static __always_inline ssize_t fast_step(struct fast *fast,
					 struct nvfs_region *region,
					 struct file *file,
					 const struct nvfs_request *req,
					 bool write)
{
	struct nvfs_pass pass nvfs_no_auto_init;
	ssize_t ret;

	if (!write)
		return fast_submit(fast, region, file, req, false);
	ret = nvfs_gate_enter_direct(&pass, file, region);
	if (unlikely(ret)) {
		fast->kiocb.ki_flags = IOCB_DIRECT;
		return ret;
	}
	ret = fast_submit(fast, region, file, req, true);
	nvfs_gate_leave_direct(&pass);
	return ret;
}

static __always_inline int copy_out(struct nvfs_rw __user *uarg, u64 done,
				    u32 route, u32 reason)
{
	if (!user_write_access_begin(uarg, sizeof(*uarg)))
		return -EFAULT;
	unsafe_put_user(done, &uarg->done, fault);
	unsafe_put_user(route, &uarg->route, fault);
	unsafe_put_user(reason, &uarg->reason, fault);
	unsafe_put_user(0, &uarg->nr_holes, fault);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/*
 * The kiocb did not move everything past the page cache: the general way.  Region
 * and file are this function's to put.
 */
static noinline long fast_rest(struct nvfs_region *region, struct fd fd,
			       const struct nvfs_request req,
			       const struct nvfs_route_info route,
			       const struct fast *fast, ssize_t ret,
			       struct nvfs_rw __user *uarg)
{
	struct nvfs_io io nvfs_no_auto_init;

	nvfs_io_adopt(&io, fast, region, fd_file(fd), &req, &route,
		      fast->begun);
	nvfs_io_run_end(&io, nvfs_io_move_on(&io, ret, fast->kiocb.ki_flags));
	fdput(fd);
	nvfs_io_put_region(&io);
	if (io.error) {
		nvfs_dbg("%s of %llu bytes: %pe, reason %u, %llu done\n",
			 io.write ? "write" : "read", io.length,
			 ERR_PTR(io.error), io.reason, io.done);
		nvfs_stat_inc(ioctl_errors);
	}
	return copy_out(uarg, io.done, nvfs_io_route(&io), io.reason) ?:
	       io.error;
}

/*
 * Run a request that was found fit.  Region and file are this function's to put,
 * before it touches the user's memory: that may wait for as long as somebody
 * likes, and who ends the region waits for this.
 */
static __always_inline long fast_run(struct nvfs_region *region, struct fd fd,
				     const struct nvfs_request *req,
				     const struct nvfs_route_info *route,
				     struct nvfs_rw __user *uarg, bool write)
{
	struct fast fast nvfs_no_auto_init;
	struct file *file = fd_file(fd);
	u64 length = req->length;
	ssize_t ret;

	if (write)
		nvfs_stat_inc(write_started);
	else
		nvfs_stat_inc(read_started);
	nvfs_hist_begin(&fast.begun);
	if (nvfs_is_watched())
		nvfs_watch_submit_fast(&fast, region, req->region_offset,
				       req->file_offset, length, write);
	ret = fast_step(&fast, region, file, req, write);
	if (unlikely(ret != length || !(fast.kiocb.ki_flags & IOCB_DIRECT)))
		return fast_rest(region, fd, *req, *route, &fast, ret, uarg);
	if (!write)
		nvfs_fast_flush(region, req->region_offset + length - 1);
	nvfs_fast_account(write, length, &fast.begun);
	if (nvfs_is_watched())
		nvfs_watch_moved(&fast, region, file, length, write);
	fdput(fd);
	nvfs_region_put(region);
	return copy_out(uarg, length, NVFS_ROUTE_DIRECT, NVFS_REASON_NONE);
}

/*
 * The structure of today, field by field, when there is nothing more to it.
 * Return: true when the request may go this way.
 */
static __always_inline bool copy_in(struct nvfs_request *req,
				    const struct nvfs_rw __user *uarg)
{
	u64 holes;
	u32 size, max_holes;

	if (!user_read_access_begin(uarg, sizeof(*uarg)))
		return false;
	unsafe_get_user(size, &uarg->size, fault);
	unsafe_get_user(req->flags, &uarg->flags, fault);
	unsafe_get_user(req->region, &uarg->region, fault);
	unsafe_get_user(req->fd, &uarg->fd, fault);
	unsafe_get_user(req->region_offset, &uarg->region_offset, fault);
	unsafe_get_user(req->file_offset, &uarg->file_offset, fault);
	unsafe_get_user(req->length, &uarg->length, fault);
	unsafe_get_user(holes, &uarg->holes, fault);
	unsafe_get_user(max_holes, &uarg->max_holes, fault);
	user_read_access_end();
	return size == sizeof(*uarg) && !(req->flags & ~NVFS_RW_BOUNCE) &&
	       !holes && !max_holes;

fault:
	user_read_access_end();
	return false;
}

static __always_inline long rw_fast(struct nvfs_regions *regions,
				    struct nvfs_rw __user *uarg, bool write)
{
	struct nvfs_route_info route nvfs_no_auto_init;
	struct nvfs_request req nvfs_no_auto_init;
	struct nvfs_region *region;
	struct fd fd;

	if (unlikely(!copy_in(&req, uarg)))
		goto other;
	region = nvfs_region_try_get(regions, req.region);
	if (unlikely(!region))
		goto other;
	fd = fdget(req.fd);
	if (unlikely(fd_empty(fd)))
		goto put_region;
	if (!nvfs_fast_range(&req, region) ||
	    !nvfs_fast_file(region, fd_file(fd), write, &route) ||
	    !nvfs_fast_aligned(&req, &route))
		goto put_fd;
	req.op = write ? NVFS_OP_WRITE : NVFS_OP_READ;
	return fast_run(region, fd, &req, &route, uarg, write);

put_fd:
	fdput(fd);
put_region:
	nvfs_region_put(region);
other:
	return nvfs_io_rw(regions, uarg, write);
}

/**
 * nvfs_io_read() - NVFS_IOC_READ
 * @regions: regions of the open file
 * @uarg: the user's structure
 *
 * Context: process context; sleeps until the request is complete.
 * Return: 0, or an errno that the uapi header documents.
 */
long nvfs_io_read(struct nvfs_regions *regions, struct nvfs_rw __user *uarg)
{
	return rw_fast(regions, uarg, false);
}

/**
 * nvfs_io_write() - NVFS_IOC_WRITE
 * @regions: regions of the open file
 * @uarg: the user's structure
 *
 * Context: process context; sleeps until the request is complete.
 * Return: 0, or an errno that the uapi header documents.
 */
long nvfs_io_write(struct nvfs_regions *regions, struct nvfs_rw __user *uarg)
{
	return rw_fast(regions, uarg, true);
}
