/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_FAST_H
#define _NVFS_IO_FAST_H

#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/uio.h>

#include "nvfs-dma-known.h"
#include "nvfs-io.h"
#include "nvfs-stat-hist.h"
#include "nvfs-stat.h"

/*
 * The way that nearly every request goes: one piece of a region, one kiocb, a
 * block device whose way is known, everything aligned.  Inlined into those who
 * start such requests.  What is not like that, or does not end as it should, is
 * left to the general way; nothing is refused here.
 */

/* Most bytes of one step.  Some kernels cut a kiocb of 4 GiB silently; this is
 * far below, far above what a drive needs to be busy, and short enough to wait
 * for.
 */
#define NVFS_IO_STEP		(64UL << 20)

/* Most bytes that are started without a worker: the block layer refuses to
 * split a request that must not wait, and drives take at least this at once
 */
#define NVFS_IO_NOWAIT_MAX	(128UL << 10)

/**
 * nvfs_fast_range() - does a request lie in its region, in one piece, in one step?
 * @req: the request
 * @region: its region
 *
 * Return: true when it does and is not empty.
 */
static __always_inline bool nvfs_fast_range(const struct nvfs_request *req,
					    const struct nvfs_region *region)
{
	return req->length - 1 < NVFS_IO_STEP &&
	       req->region_offset <= region->len &&
	       req->length <= region->len - req->region_offset &&
	       req->file_offset <= LLONG_MAX - NVFS_IO_STEP &&
	       region->nr_pieces == 1;
}

/**
 * nvfs_fast_file() - may requests use a file, by the way that was taken last?
 * @region: the region
 * @file: the file
 * @write: GPU to file
 * @route: out: the way
 *
 * Return: true when they may go direct.
 */
static __always_inline bool nvfs_fast_file(const struct nvfs_region *region,
					   struct file *file, bool write,
					   struct nvfs_route_info *route)
{
	if (!(file->f_mode & (write ? FMODE_WRITE : FMODE_READ)))
		return false;
	if (write && ((file->f_flags & O_APPEND) ||
		      (file_inode(file)->i_flags & (S_IMMUTABLE | S_APPEND)) ||
		      /* nvfs_dma_publish() */
		      unlikely(READ_ONCE(region->mapped))))
		return false;
	return !READ_ONCE(region->gpu->gone) &&
	       nvfs_dma_route_known(region, file, route) && !route->reason;
}

/**
 * nvfs_fast_aligned() - is a request aligned from its first byte to its last?
 * @req: the request
 * @route: its way
 *
 * Return: true when it is.
 */
static __always_inline bool
nvfs_fast_aligned(const struct nvfs_request *req,
		  const struct nvfs_route_info *route)
{
	return IS_ALIGNED(req->file_offset | req->length,
			  route->offset_align) &&
	       IS_ALIGNED(req->region_offset, route->mem_align);
}

/**
 * nvfs_fast_bvec() - the bvec of a range of a region with one piece
 * @region: the region
 * @off: first byte
 * @len: bytes
 * @bvec: where to
 */
static __always_inline void nvfs_fast_bvec(const struct nvfs_region *region,
					   u64 off, u32 len,
					   struct bio_vec *bvec)
{
	phys_addr_t phys = region->pieces->phys + off;

	bvec->bv_page = pfn_to_page(PHYS_PFN(phys));
	bvec->bv_offset = offset_in_page(phys);
	bvec->bv_len = len;
}

/**
 * nvfs_fast_flush() - nvfs_dma_flush() for a region with one piece
 * @region: the region
 * @last: last byte that was written
 */
static __always_inline void nvfs_fast_flush(const struct nvfs_region *region,
					    u64 last)
{
	READ_ONCE(*(u8 *)__va(region->pieces->phys + last));
	/* Nothing the caller reads next may come from before */
	rmb();
}

/**
 * nvfs_fast_ioprio() - get_current_ioprio(), short for a task that is not special
 *
 * Return: the priority of the caller's requests.
 */
static __always_inline u16 nvfs_fast_ioprio(void)
{
	const struct task_struct *task = current;

	if (likely(!task->io_context && task->policy == SCHED_NORMAL &&
		   task->static_prio == DEFAULT_PRIO))
		return IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_NORM);
	return get_current_ioprio();
}

/**
 * nvfs_fast_kiocb() - fill in a direct kiocb
 * @kiocb: the kiocb
 * @file: its file
 * @pos: first byte in the file
 * @write: GPU to file
 * @ioprio: of the submitter
 * @complete: called at its end, or NULL
 */
static __always_inline void nvfs_fast_kiocb(struct kiocb *kiocb,
					    struct file *file, loff_t pos,
					    bool write, u16 ioprio,
					    void (*complete)(struct kiocb *kiocb,
							     long ret))
{
	/* Somebody may have set O_APPEND since it was looked for */
	kiocb->ki_filp = file;
	kiocb->ki_pos = pos;
	kiocb->ki_complete = complete;
	kiocb->private = NULL;
	kiocb->ki_flags = (file->f_iocb_flags & ~IOCB_APPEND) | IOCB_DIRECT |
			  (write ? IOCB_WRITE : 0);
	kiocb->ki_ioprio = ioprio;
	kiocb->ki_waitq = NULL;
	nvfs_compat_kiocb_rest(kiocb);
}

/**
 * nvfs_fast_account() - count a request that went direct from end to end
 * @write: GPU to file
 * @len: bytes
 * @begun: when it began
 */
static __always_inline void nvfs_fast_account(bool write, u64 len,
					      const u64 *begun)
{
	BUILD_BUG_ON(NVFS_IO_STEP >> 12 >= 1UL << NVFS_HIST_CLASSES);
	if (write) {
		nvfs_stat_inc(write_ended);
		nvfs_stat_add(write_bytes, len);
		nvfs_stat_add(write_direct_bytes, len);
		nvfs_stat_inc(write_direct_ops);
		nvfs_hist_end_short(begun, true, len);
	} else {
		nvfs_stat_inc(read_ended);
		nvfs_stat_add(read_bytes, len);
		nvfs_stat_add(read_direct_bytes, len);
		nvfs_stat_inc(read_direct_ops);
		nvfs_hist_end_short(begun, false, len);
	}
}

#endif /* _NVFS_IO_FAST_H */
