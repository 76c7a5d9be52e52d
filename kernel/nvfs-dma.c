// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: may a file's drive reach a GPU, and the bvecs of a request.
 *
 * The pages in the bvecs are ordinary pages to the block layer, so nobody but
 * NVFS checks that the drive can reach them.  The check is made in the order
 * file, drive, way; its slow part, the way, is remembered per GPU under the
 * disk's sequence number, which the kernel never gives twice.
 */
#include <linux/bitfield.h>
#include <linux/blk-integrity.h>
#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/fileattr.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/stat.h>
#include <linux/string.h>

#include "nvfs-dma.h"
#include "nvfs-dma-known.h"
#include "nvfs-mmap.h"
#include "nvfs-pci-table.h"
#include "nvfs-pci.h"
#include "nvfs-stat-user.h"
#include "nvfs-stat.h"
#include "nvfs-trace.h"

bool nvfs_dma_assume_reachable;
module_param_named(assume_reachable, nvfs_dma_assume_reachable, bool, 0444);
MODULE_PARM_DESC(assume_reachable, "Judge that every drive reaches every GPU; for benchmarks on null_blk, never for data (default: off)");

/* A verdict in one word, as the xarray keeps it */
#define VERDICT_REASON		GENMASK_ULL(7, 0)
#define VERDICT_DISTANCE	GENMASK_ULL(15, 8)	/* plus 1 */
#define VERDICT_HOST		BIT_ULL(16)
#define VERDICT_DRIVE		GENMASK_ULL(48, 17)

static const char * const reason_text[NVFS_REASON_NR] = {
	[NVFS_REASON_NONE] = "the drive reaches the GPU",
	[NVFS_REASON_NO_PAGES] = "the GPU's BAR has no struct pages",
	[NVFS_REASON_NO_DIO] = "the file system offers no O_DIRECT for this file",
	[NVFS_REASON_FS_CPU] = "the file system may work on the data with the CPU",
	[NVFS_REASON_NO_BDEV] = "the file is not on a block device that NVFS can tell",
	[NVFS_REASON_STACKED] = "the block device is a virtual one (md, dm, loop)",
	[NVFS_REASON_NOT_PCI] = "the drive is no PCI device",
	[NVFS_REASON_QUEUE] = "the drive's driver does not take peer memory",
	[NVFS_REASON_INTEGRITY] =
		"the block layer makes or checks integrity metadata with the CPU",
	[NVFS_REASON_HOST_BRIDGE] =
		"the way crosses a host bridge that is not known to forward peer traffic",
	[NVFS_REASON_IOMMU] =
		"an IOMMU is on the way and the host bridge is not known to forward peer traffic",
	[NVFS_REASON_ALIGN] = "an offset or the length is not aligned for O_DIRECT",
	[NVFS_REASON_FS_BUFFERED] = "the file system took the page cache",
	[NVFS_REASON_REFUSED] = "the block layer or the drive refused peer memory",
};

/* The block device that holds a file's data, or NULL; the file keeps it */
static struct block_device *file_bdev_of(struct file *file)
{
	struct inode *inode = file_inode(file);

	if (S_ISBLK(inode->i_mode))
		return I_BDEV(file->f_mapping->host);
	return inode->i_sb->s_bdev;
}

/**
 * nvfs_dma_disk() - the disk that holds a file's data
 * @file: the file, or NULL; the caller keeps it
 *
 * Context: any.
 * Return: the disk's sequence number; 0 when there is none.
 */
u64 nvfs_dma_disk(struct file *file)
{
	struct block_device *bdev = file ? file_bdev_of(file) : NULL;

	return bdev ? bdev->bd_disk->diskseq : 0;
}

/*
 * The PCI function that a disk stands on, to be given to pci_dev_put(), or NULL.
 * A disk that is being removed lets go of its parent, and may not be asked any
 * more; it is marked before that, under its lock, which the caller holds.
 */
static struct pci_dev *disk_pci_locked(struct gendisk *disk)
{
	return disk_live(disk) ? nvfs_pci_parent(disk_to_dev(disk)) : NULL;
}

/*
 * The same for a verdict.  The lock is held while the disk's partitions are looked
 * for, on a disk that may not answer; a verdict is made once.  NULL also when
 * somebody kills the caller meanwhile.
 */
static struct pci_dev *disk_pci(struct gendisk *disk)
{
	struct pci_dev *pdev;

	/* md, dm, loop: on nothing */
	if (!disk_to_dev(disk)->parent)
		return NULL;
	if (mutex_lock_killable(&disk->open_mutex))
		return NULL;
	pdev = disk_pci_locked(disk);
	mutex_unlock(&disk->open_mutex);
	return pdev;
}

/* Some of the disks that stand on no PCI function, by their sequence numbers */
static u64 disks_nowhere[64];

/*
 * Whoever counts for drives wants to know which drive it is.  Nobody waits for
 * that: while somebody has the disk's lock its requests count for no drive.
 */
static void know_disk(struct gendisk *disk)
{
	u64 *nowhere = &disks_nowhere[disk->diskseq % ARRAY_SIZE(disks_nowhere)];
	struct pci_dev *pdev;

	if (likely(nvfs_user_of_disk(disk->diskseq)->id != NVFS_USER_NOBODY) ||
	    READ_ONCE(*nowhere) == disk->diskseq ||
	    !disk_to_dev(disk)->parent || !mutex_trylock(&disk->open_mutex))
		return;
	pdev = disk_pci_locked(disk);
	mutex_unlock(&disk->open_mutex);
	if (!pdev) {
		WRITE_ONCE(*nowhere, disk->diskseq);
		return;
	}
	nvfs_user_add_disk(disk->diskseq, nvfs_pci_id(pdev));
	pci_dev_put(pdev);
}

/* Does this file system leave the data of a regular file to the drive? */
static bool fs_leaves_data_alone(const struct inode *inode)
{
	if (IS_ENCRYPTED(inode) || IS_VERITY(inode))
		return false;
	return inode->i_sb->s_magic == EXT4_SUPER_MAGIC ||
	       inode->i_sb->s_magic == XFS_SUPER_MAGIC;
}

/*
 * May this xfs have files on a second device?  It is named among the options of the
 * mount, which are told without a lock.
 */
static bool fs_has_realtime(struct super_block *sb)
{
	char text[160];
	struct seq_file options = { .buf = text, .size = sizeof(text) };

	return !sb->s_op->show_options ||
	       sb->s_op->show_options(&options, sb->s_root) ||
	       seq_has_overflowed(&options) ||
	       strnstr(text, ",rtdev=", options.count);
}

/*
 * Is this a file of the realtime section of xfs, which is on another device?  Asking
 * takes a lock of the file's that is held over I/O to metadata.
 */
static bool file_is_elsewhere(struct file *file)
{
	struct super_block *sb = file_inode(file)->i_sb;
	struct fileattr fa;

	return sb->s_magic == XFS_SUPER_MAGIC && fs_has_realtime(sb) &&
	       !vfs_fileattr_get(file->f_path.dentry, &fa) &&
	       (fa.fsx_xflags & FS_XFLAG_REALTIME);
}

/* Does the file system say that this very file takes no O_DIRECT? */
static bool file_refuses_dio(struct file *file)
{
	struct kstat stat;

	if (!(file->f_mode & FMODE_CAN_ODIRECT))
		return true;
	if (!S_ISREG(file_inode(file)->i_mode))
		return false;
	return !vfs_getattr(&file->f_path, &stat, STATX_DIOALIGN,
			    AT_STATX_DONT_SYNC) &&
	       (stat.result_mask & STATX_DIOALIGN) && !stat.dio_offset_align;
}

static enum nvfs_reason judge_file(struct file *file, struct block_device *bdev)
{
	const struct inode *inode = file_inode(file);

	/* Several devices, and checksums besides */
	if (inode->i_sb->s_magic == BTRFS_SUPER_MAGIC && !bdev)
		return NVFS_REASON_FS_CPU;
	if (!bdev)
		return NVFS_REASON_NO_BDEV;
	if (S_ISREG(inode->i_mode) && !fs_leaves_data_alone(inode))
		return NVFS_REASON_FS_CPU;
	if (file_refuses_dio(file))
		return NVFS_REASON_NO_DIO;
	if (S_ISREG(inode->i_mode) && file_is_elsewhere(file))
		return NVFS_REASON_NO_BDEV;
	return NVFS_REASON_NONE;
}

/* Judge the drive and its way to the GPU; the slow part */
static void judge_drive(const struct nvfs_pci_path *gpu,
			struct block_device *bdev, struct nvfs_route_info *info)
{
	struct gendisk *disk = bdev->bd_disk;
	struct nvfs_pci_verdict verdict;
	struct pci_dev *pdev;

	info->reason = NVFS_REASON_NONE;
	if (nvfs_dma_assume_reachable)
		return;
	info->reason = disk_to_dev(disk)->parent ? NVFS_REASON_NOT_PCI :
						   NVFS_REASON_STACKED;
	pdev = disk_pci(disk);
	if (!pdev)
		return;

	info->drive = nvfs_pci_bdf(pdev);
	nvfs_pci_judge_pair(gpu, pdev, &verdict);
	info->distance = verdict.distance;
	info->through_host = verdict.through_host;
	info->reason = verdict.reason;
	pci_dev_put(pdev);
}

static void *verdict_pack(const struct nvfs_route_info *info)
{
	BUILD_BUG_ON(BITS_PER_LONG - 1 < 49);

	return xa_mk_value(FIELD_PREP(VERDICT_REASON, info->reason) |
			   FIELD_PREP(VERDICT_DISTANCE, info->distance + 1) |
			   FIELD_PREP(VERDICT_HOST, info->through_host) |
			   FIELD_PREP(VERDICT_DRIVE, (u64)info->drive));
}

static void verdict_unpack(const void *entry, struct nvfs_route_info *info)
{
	u64 v = xa_to_value(entry);

	info->reason = FIELD_GET(VERDICT_REASON, v);
	info->distance = (int)FIELD_GET(VERDICT_DISTANCE, v) - 1;
	info->through_host = FIELD_GET(VERDICT_HOST, v);
	info->drive = FIELD_GET(VERDICT_DRIVE, v);
}

/* Fill in what does not depend on the GPU.  True when the drive is to judge. */
static bool route_begin(struct file *file, struct block_device *bdev,
			struct nvfs_route_info *info)
{
	info->drive = NVFS_BDF_NONE;
	info->distance = -1;
	info->through_host = false;
	info->offset_align = 0;
	info->mem_align = 0;
	info->piece_align = 0;
	info->reason = judge_file(file, bdev);
	if (info->reason)
		return false;
	nvfs_dma_set_alignment(bdev, info);
	info->piece_align = info->offset_align;
	return true;
}

/* The drive's verdict, from memory or made; true when it still holds */
static bool route_drive(struct nvfs_gpu *gpu, struct block_device *bdev,
			u32 changes, struct nvfs_route_info *info)
{
	unsigned long disk = bdev->bd_disk->diskseq;
	void *entry = xa_load(&gpu->verdicts, disk);

	if (entry) {
		verdict_unpack(entry, info);
		return true;
	}
	judge_drive(&gpu->path, bdev, info);
	trace_nvfs_route(gpu->bdf, info->drive, info->reason, info->distance,
			 info->through_host);
	/* A device went meanwhile, or the drive was not found out: good for this
	 * request, not to be kept
	 */
	if (changes != READ_ONCE(gpu->changes) || fatal_signal_pending(current))
		return false;
	/* Not remembering costs time, nothing else */
	xa_store(&gpu->verdicts, disk, verdict_pack(info), GFP_KERNEL);
	if (changes == READ_ONCE(gpu->changes))
		return true;
	xa_erase(&gpu->verdicts, disk);
	return false;
}

/**
 * nvfs_dma_route() - may requests between a file and a region go direct?
 * @region: the region; held
 * @file: the file; regular or a block device
 * @info: the answer
 *
 * Context: may sleep.  No lock is taken once the verdict is known.
 */
void nvfs_dma_route(struct nvfs_region *region, struct file *file,
		    struct nvfs_route_info *info)
{
	u32 changes = READ_ONCE(region->gpu->changes);
	struct block_device *bdev;
	bool keep;

	if (likely(nvfs_dma_route_known(region, file, info))) {
		info->piece_align = info->offset_align;
		return;
	}
	bdev = file_bdev_of(file);
	if (bdev)
		know_disk(bdev->bd_disk);
	if (!route_begin(file, bdev, info))
		return;
	info->reason = region->gpu->reason;
	if (info->reason)
		return;
	keep = route_drive(region->gpu, bdev, changes, info);
	if (info->drive != NVFS_BDF_NONE || !info->reason)
		info->reason = nvfs_dma_judge_queue(bdev) ?: info->reason;
	if (keep && !info->reason)
		atomic64_set(&region->route,
			     nvfs_dma_last_word(changes, bdev->bd_disk));
}

/**
 * nvfs_dma_route_path() - the same for a GPU without a region
 * @gpu: way up from the GPU
 * @file: the file; regular or a block device
 * @info: the answer
 *
 * Context: may sleep.
 */
void nvfs_dma_route_path(const struct nvfs_pci_path *gpu, struct file *file,
			 struct nvfs_route_info *info)
{
	struct block_device *bdev = file_bdev_of(file);

	if (!route_begin(file, bdev, info))
		return;
	judge_drive(gpu, bdev, info);
	if (info->drive != NVFS_BDF_NONE || !info->reason)
		info->reason = nvfs_dma_judge_queue(bdev) ?: info->reason;
}

/**
 * nvfs_dma_align_write() - raise an alignment to what writes of a file need
 * @file: the file
 * @info: from nvfs_dma_route()
 *
 * Files of xfs may share blocks.  A direct write of a part of a block of a file
 * that does, or once did, goes through the page cache after all, beside direct
 * writes to its neighbours, which it may undo (see nvfs-dma-gate.c).  Which files
 * do nobody can ask before 6.14, and another one may share the file's blocks at
 * any time.  So all its parts of blocks are written as such.
 *
 * Context: any.
 */
void nvfs_dma_align_write(const struct file *file, struct nvfs_route_info *info)
{
	const struct inode *inode = file_inode(file);

	if (info->offset_align && S_ISREG(inode->i_mode) &&
	    inode->i_sb->s_magic == XFS_SUPER_MAGIC)
		info->offset_align = max(info->offset_align,
					 (u32)i_blocksize(inode));
}

/**
 * nvfs_dma_mem_aligned() - may a direct request begin at an offset of a region?
 * @info: from nvfs_dma_route()
 * @region: the region
 * @off: the offset
 *
 * The drive's alignment is enough for one piece.  The block layer wants every
 * bvec but the last to end on a block, so where there are several pieces the
 * first may not begin inside one.
 *
 * Return: true when it may.
 */
bool nvfs_dma_mem_aligned(const struct nvfs_route_info *info,
			  const struct nvfs_region *region, u64 off)
{
	return IS_ALIGNED(off, info->mem_align) &&
	       (region->nr_pieces == 1 || IS_ALIGNED(off, info->piece_align));
}

/**
 * nvfs_dma_describe() - a verdict in words
 * @info: the verdict
 * @text: where to
 * @size: bytes at @text
 */
void nvfs_dma_describe(const struct nvfs_route_info *info, char *text,
		       size_t size)
{
	if (info->reason)
		scnprintf(text, size, "%s", reason_text[info->reason]);
	else
		scnprintf(text, size, "%s over %d PCI links%s",
			  reason_text[info->reason], info->distance,
			  info->through_host ? " and a host bridge" : "");
}

/* The piece that holds an offset; most regions have just one */
static const struct nvfs_piece *piece_at(const struct nvfs_piece *pieces,
					 u32 nr_pieces, u64 off)
{
	if (likely(nr_pieces == 1))
		return pieces;
	return pieces + nvfs_piece_find(pieces, nr_pieces, off);
}

/**
 * nvfs_dma_flush() - wait until the drive's last write has reached the GPU
 * @region: the region
 * @off: offset of a byte that the drive wrote
 *
 * A drive's writes to the GPU are posted: the drive may report the end of a
 * request while the last of them are still under way.  A read of the same BAR
 * can't pass them, so when it returns, they have arrived.
 *
 * Context: any; the request holds @region.
 */
void nvfs_dma_flush(const struct nvfs_region *region, u64 off)
{
	const struct nvfs_piece *piece =
		piece_at(region->pieces, region->nr_pieces, off);
	phys_addr_t phys = piece->phys + (off - piece->off);

	READ_ONCE(*(u8 *)__va(phys));
	/* Nothing the caller reads next may come from before */
	rmb();
}

/**
 * nvfs_dma_publish() - let the GPU have what the CPU wrote through a mapping
 * @region: the region; it has been mapped
 *
 * For the drive, which is about to read the GPU.  What other CPUs wrote they must
 * have let go of themselves, see docs/coherency.md.
 *
 * Context: any; the request holds @region.
 */
void nvfs_dma_publish(const struct nvfs_region *region)
{
	if (region->gpu->source == NVFS_PAGES_NONE)
		return;
	/* Out of this CPU's write-combining buffers */
	wmb();
	/* and into the GPU: a read of any byte does not pass the writes before */
	nvfs_dma_flush(region, 0);
}

/**
 * nvfs_dma_count() - bvecs that a range needs
 * @pieces: pieces of a region
 * @nr_pieces: how many
 * @off: start of the range in the region
 * @len: bytes, at least 1; the range lies in the region
 * @max: most bvecs wanted
 *
 * Pure.
 *
 * Return: one for each piece that the range touches, at most @max.
 */
u32 nvfs_dma_count(const struct nvfs_piece *pieces, u32 nr_pieces, u64 off,
		   u64 len, u32 max)
{
	u32 first, last;

	if (likely(nr_pieces == 1))
		return 1;
	first = nvfs_piece_find(pieces, nr_pieces, off);
	last = nvfs_piece_find(pieces, nr_pieces, off + len - 1);
	return min(last - first + 1, max);
}

/**
 * nvfs_dma_fill() - the bvecs of a range, one for each contiguous piece
 * @pieces: pieces of a region
 * @nr_pieces: how many
 * @off: start of the range in the region
 * @len: bytes wanted, below 4 GiB; the range lies in the region.  Out: bytes
 *	that the bvecs hold, less when @max was not enough
 * @bvec: where to
 * @max: room at @bvec
 *
 * Pure.
 *
 * Return: number of bvecs.
 */
u32 nvfs_dma_fill(const struct nvfs_piece *pieces, u32 nr_pieces, u64 off,
		  u64 *len, struct bio_vec *bvec, u32 max)
{
	const struct nvfs_piece *piece;
	u64 left = *len;
	u32 nr;

	piece = piece_at(pieces, nr_pieces, off);
	for (nr = 0; nr < max && left; nr++, piece++) {
		u64 skip = off - piece->off;
		u64 n = min(piece->len - skip, left);
		phys_addr_t phys = piece->phys + skip;

		bvec[nr].bv_page = pfn_to_page(PHYS_PFN(phys));
		bvec[nr].bv_offset = offset_in_page(phys);
		bvec[nr].bv_len = n;
		off += n;
		left -= n;
	}
	*len -= left;
	return nr;
}
