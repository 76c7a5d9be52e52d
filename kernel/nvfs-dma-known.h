/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_DMA_KNOWN_H
#define _NVFS_DMA_KNOWN_H

#include <linux/bitfield.h>
#include <linux/blk-integrity.h>
#include <linux/blkdev.h>
#include <linux/fs.h>

#include "nvfs-dma.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"

/* Module parameter; see nvfs-dma.c */
extern bool nvfs_dma_assume_reachable;

/*
 * The last good way of a region in one word, so that it is read and written
 * whole: the disk's sequence number and the GPU's count of changes.  What may
 * change in a disk's life (block size, metadata) is looked at each time.
 */
#define NVFS_LAST_CHANGES	GENMASK_ULL(23, 0)
#define NVFS_LAST_DISK		GENMASK_ULL(63, 24)

static __always_inline u64 nvfs_dma_last_word(u32 changes, const struct gendisk *disk)
{
	return FIELD_PREP(NVFS_LAST_DISK,
			  disk->diskseq & FIELD_MAX(NVFS_LAST_DISK)) |
	       FIELD_PREP(NVFS_LAST_CHANGES,
			  changes & FIELD_MAX(NVFS_LAST_CHANGES));
}

/**
 * nvfs_dma_judge_queue() - what the drive's driver and the block layer say today
 * @bdev: the drive
 *
 * Return: NVFS_REASON_NONE, or why they do not take peer memory.
 */
static __always_inline enum nvfs_reason nvfs_dma_judge_queue(struct block_device *bdev)
{
	if (nvfs_dma_assume_reachable)
		return NVFS_REASON_NONE;
	if (!blk_queue_pci_p2pdma(bdev_get_queue(bdev)))
		return NVFS_REASON_QUEUE;
	return bdev_get_integrity(bdev) ? NVFS_REASON_INTEGRITY :
					  NVFS_REASON_NONE;
}

/**
 * nvfs_dma_set_alignment() - what O_DIRECT asks of a drive's requests
 * @bdev: the drive
 * @info: whose alignments are set
 */
static __always_inline void
nvfs_dma_set_alignment(struct block_device *bdev, struct nvfs_route_info *info)
{
	info->offset_align = bdev_logical_block_size(bdev);
	info->mem_align = bdev_dma_alignment(bdev) + 1;
}

/**
 * nvfs_dma_route_known() - nvfs_dma_route() for the way that was taken last
 * @region: the region; held
 * @file: the file; any
 * @info: the answer: reason and alignments, nothing else
 *
 * Context: any.
 * Return: true when @file is a block device whose way is the one that the region
 * used last, and @info is set.
 */
static __always_inline bool
nvfs_dma_route_known(const struct nvfs_region *region, struct file *file,
		     struct nvfs_route_info *info)
{
	struct block_device *bdev;

	if (!S_ISBLK(file_inode(file)->i_mode) ||
	    !(file->f_mode & FMODE_CAN_ODIRECT))
		return false;
	bdev = I_BDEV(file->f_mapping->host);
	if (atomic64_read(&region->route) !=
	    nvfs_dma_last_word(READ_ONCE(region->gpu->changes), bdev->bd_disk))
		return false;
	info->reason = nvfs_dma_judge_queue(bdev);
	nvfs_dma_set_alignment(bdev, info);
	return true;
}

#endif /* _NVFS_DMA_KNOWN_H */
