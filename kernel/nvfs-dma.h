/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_DMA_H
#define _NVFS_DMA_H

#include <linux/types.h>

#include <uapi/nvfs.h>

struct bio_vec;
struct file;
struct nvfs_gpu;
struct nvfs_pci_path;
struct nvfs_piece;
struct nvfs_region;

/**
 * struct nvfs_route_info - may requests between a file and a GPU go direct?
 * @reason: NVFS_REASON_NONE when they may
 * @drive: the drive's PCI function, NVFS_BDF_NONE when there is none
 * @distance: PCI links between drive and GPU, -1 when unknown
 * @through_host: the way leads through a host bridge
 * @offset_align: file offset and length must be multiples of this, in bytes
 * @mem_align: the region offset must be a multiple of this, in bytes
 * @piece_align: and of this where the region has several pieces; not set by
 *	nvfs_dma_route_known()
 */
struct nvfs_route_info {
	enum nvfs_reason reason;
	u32 drive;
	int distance;
	bool through_host;
	u32 offset_align;
	u32 mem_align;
	u32 piece_align;
};

/**
 * struct nvfs_bounce - bytes to move through host memory
 * @region: GPU memory; its structure is held, its memory only while it is copied
 * @file: the file; held
 * @off: first byte in the region
 * @pos: first byte in the file
 * @len: bytes
 * @align: alignment for O_DIRECT, or 0 to use the page cache
 * @write: GPU to file
 */
struct nvfs_bounce {
	struct nvfs_region *region;
	struct file *file;
	u64 off;
	loff_t pos;
	u64 len;
	u32 align;
	bool write;
};

ssize_t nvfs_dma_bounce(const struct nvfs_bounce *bounce);
ssize_t nvfs_dma_bounce_part(const struct nvfs_bounce *part);
u64 nvfs_dma_readable(const struct file *file, loff_t pos, u64 len, u32 align);
void nvfs_dma_init(void);
void nvfs_dma_exit(void);

void nvfs_dma_route(struct nvfs_region *region, struct file *file,
		    struct nvfs_route_info *info);
void nvfs_dma_route_path(const struct nvfs_pci_path *gpu, struct file *file,
			 struct nvfs_route_info *info);
void nvfs_dma_align_write(const struct file *file,
			  struct nvfs_route_info *info);
bool nvfs_dma_mem_aligned(const struct nvfs_route_info *info,
			  const struct nvfs_region *region, u64 off);
void nvfs_dma_describe(const struct nvfs_route_info *info, char *text,
		       size_t size);
u64 nvfs_dma_disk(struct file *file);
void nvfs_dma_flush(const struct nvfs_region *region, u64 off);
void nvfs_dma_publish(const struct nvfs_region *region);

/* Pure functions */
u32 nvfs_dma_count(const struct nvfs_piece *pieces, u32 nr_pieces, u64 off,
		   u64 len, u32 max);
u32 nvfs_dma_fill(const struct nvfs_piece *pieces, u32 nr_pieces, u64 off,
		  u64 *len, struct bio_vec *bvec, u32 max);

#endif /* _NVFS_DMA_H */
