/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_MAP_H
#define _NVFS_MMAP_MAP_H

#include <linux/mm.h>
#include <linux/types.h>

struct nvfs_region;

/**
 * struct nvfs_maps - what the mappings of one open file hang on
 * @inode: an inode of the open file's own; its address space lists them
 * @ops: what a mapping does, handed down by the fault layer
 */
struct nvfs_maps {
	struct inode *inode;
	const struct vm_operations_struct *ops;
};

int nvfs_map_init(void);
void nvfs_map_exit(void);
int nvfs_maps_init(struct nvfs_maps *maps, struct file *filp,
		   const struct vm_operations_struct *ops);
void nvfs_maps_end(struct nvfs_maps *maps, struct file *filp);

int nvfs_mgroup_mmap(struct file *filp, struct vm_area_struct *vma);
void nvfs_map_opened(struct vm_area_struct *vma);
void nvfs_map_closed(struct vm_area_struct *vma);
u64 nvfs_map_region_offset(const struct vm_area_struct *vma,
			   unsigned long addr);
void nvfs_map_zap(struct nvfs_region *region);

/* Pure functions */
u64 nvfs_map_place(u32 id, phys_addr_t phys, u64 len);
u32 nvfs_map_id(u64 offset);

#endif /* _NVFS_MMAP_MAP_H */
