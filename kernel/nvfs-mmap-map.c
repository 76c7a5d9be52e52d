// SPDX-License-Identifier: GPL-2.0-only
/*
 * Regions in the CPU's address space: where a region lies in the device's file,
 * mmap(), and taking the pages away again.  What a touch does: nvfs-fault.c.
 *
 * A mapping is made of page frame numbers (VM_PFNMAP), not of pages: it works
 * for every page source, and nobody can take a reference to a page through it
 * and keep the memory past its end.
 *
 * Each open file has an address space of its own, that of an inode nobody sees.
 * The device node's is shared by all who opened it: there, the end of a region
 * would walk through mappings of strangers and wait for their locks, and offsets
 * would have to be unique among them, which tells each of them about the others.
 *
 * The last mapping and the open file: a mapping holds the file, so the file is
 * released when no mapping is left.
 */
#include <linux/align.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/sizes.h>

#include "nvfs-mmap.h"
#include "nvfs-stat.h"

/* A region has this much of the file for itself, in bytes: no BAR is larger */
#define MAP_SLOT_SHIFT	40

/* The inodes' file system; "NVFS" */
#define MAP_FS_MAGIC	0x4e564653

static int map_fs_context(struct fs_context *fc)
{
	return init_pseudo(fc, MAP_FS_MAGIC) ? 0 : -ENOMEM;
}

/* Has no owner: mounted by the module itself, it would keep it from unloading */
static struct file_system_type map_fs = {
	.name = "nvfs",
	.init_fs_context = map_fs_context,
	.kill_sb = kill_anon_super,
};

static struct vfsmount *map_mount;

/**
 * nvfs_map_init() - prepare for open files with mappings
 *
 * Return: 0, or a negative errno.
 */
int nvfs_map_init(void)
{
	map_mount = kern_mount(&map_fs);
	return PTR_ERR_OR_ZERO(map_mount);
}

/**
 * nvfs_map_exit() - undo nvfs_map_init()
 *
 * Context: module unload; no open file is left.
 */
void nvfs_map_exit(void)
{
	kern_unmount(map_mount);
}

/**
 * nvfs_maps_init() - give an open file an address space of its own
 * @maps: what to fill in
 * @filp: the file; it is being opened
 * @ops: what a mapping does
 *
 * Return: 0, to be undone by nvfs_maps_end(); -ENOMEM.
 */
int nvfs_maps_init(struct nvfs_maps *maps, struct file *filp,
		   const struct vm_operations_struct *ops)
{
	struct inode *inode = alloc_anon_inode(map_mount->mnt_sb);

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	maps->inode = inode;
	maps->ops = ops;
	filp->f_mapping = inode->i_mapping;
	return 0;
}

/**
 * nvfs_maps_end() - undo nvfs_maps_init()
 * @maps: the open file's
 * @filp: the file; it is being released, so no mapping is left
 */
void nvfs_maps_end(struct nvfs_maps *maps, struct file *filp)
{
	filp->f_mapping = file_inode(filp)->i_mapping;
	iput(maps->inode);
}

/**
 * nvfs_map_place() - where a region begins in its open file
 * @id: the region's id, not 0
 * @phys: its first bus address
 * @len: its length in bytes
 *
 * Pure.  The place has the bus address's distance to a huge page, and mmap()
 * chooses an address with the place's (thp_get_unmapped_area()), so that huge
 * pages fit wherever the memory itself has them.
 *
 * Return: the offset; 0 when the region can't be mapped.
 */
u64 nvfs_map_place(u32 id, phys_addr_t phys, u64 len)
{
	/* What is aligned for us must be aligned for the page tables */
	if (!IS_ALIGNED(NVFS_BLOCK_SIZE, PAGE_SIZE) ||
	    len > BIT_ULL(MAP_SLOT_SHIFT) - SZ_2M)
		return 0;
	return (u64)id << MAP_SLOT_SHIFT | (phys & (SZ_2M - 1));
}

/**
 * nvfs_map_id() - the region that an offset belongs to, if there is one
 * @offset: offset into the open file, in bytes
 *
 * Pure.
 *
 * Return: its id; 0 when no region can have this offset.
 */
u32 nvfs_map_id(u64 offset)
{
	u64 id = offset >> MAP_SLOT_SHIFT;

	return id <= NVFS_MAX_REGIONS ? id : 0;
}

/**
 * nvfs_map_region_offset() - the byte of the region that an address shows
 * @vma: a mapping of a region
 * @addr: the address; it lies in the mapping
 *
 * Return: offset into the region.
 */
u64 nvfs_map_region_offset(const struct vm_area_struct *vma,
			   unsigned long addr)
{
	const struct nvfs_region *region = vma->vm_private_data;

	return ((u64)vma->vm_pgoff << PAGE_SHIFT) - region->map_offset +
	       (addr - vma->vm_start);
}

/* Does the region hold all that is to be mapped? */
static bool map_fits(const struct nvfs_region *region,
		     const struct vm_area_struct *vma)
{
	u64 start = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 len = vma->vm_end - vma->vm_start;

	return region->map_offset && start >= region->map_offset &&
	       len <= region->len &&
	       start - region->map_offset <= region->len - len;
}

/* Mapping @region, which the caller keeps from ending */
static int map_region(struct nvfs_region *region, struct vm_area_struct *vma,
		      const struct vm_operations_struct *ops)
{
	if (!map_fits(region, vma))
		return -ENXIO;
	/* Before the first fault; the end of the region looks at it when all
	 * who hold the region have let go
	 */
	WRITE_ONCE(region->mapped, true);
	vma->vm_private_data = region;
	vma->vm_ops = ops;
	/* What is asked for.  Where the kernel knows of another mapping of the
	 * memory, as on x86, it takes that one's type: see docs/coherency.md
	 */
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vm_flags_clear(vma, VM_MAYEXEC);
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP);
	nvfs_map_opened(vma);
	return 0;
}

/**
 * nvfs_mgroup_mmap() - mmap() of the device
 * @filp: the open file; its private data begins with its struct nvfs_regions
 * @vma: the mapping that is being made
 *
 * Context: process context, with the caller's mmap_lock held for writing.
 * Return: 0; -EINVAL, -EACCES, -ENXIO, -ESTALE as the uapi header says.
 */
int nvfs_mgroup_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct nvfs_regions *regions = filp->private_data;
	struct nvfs_region *region;
	u32 id;
	int ret;

	/* Not VM_SHARED: a file open for reading only has none */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	id = nvfs_map_id((u64)vma->vm_pgoff << PAGE_SHIFT);
	region = id ? nvfs_region_get(regions, id) : ERR_PTR(-ENOENT);
	if (IS_ERR(region))
		return region == ERR_PTR(-ENOENT) ? -ENXIO : PTR_ERR(region);
	ret = map_region(region, vma, regions->maps.ops);
	nvfs_region_put(region);
	return ret;
}

/**
 * nvfs_map_opened() - one more mapping of a region
 * @vma: the mapping; made by mmap(), or as a copy of another: by fork(), by
 *	mremap(), or because a part of it has changed
 *
 * A huge entry of the page table must not be copied by fork(): the kernel looks
 * at it without a lock, and a region that ends meanwhile would leave the child
 * an entry.  So the copy begins empty, whatever its owner asked of madvise();
 * the kernels that know huge entries call this before they copy.  A touch fills
 * it again.
 *
 * Context: process context, with the mmap_lock of the mapping's owner held for
 * writing.
 */
void nvfs_map_opened(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_WIPEONFORK);
	nvfs_region_ref(vma->vm_private_data);
	nvfs_stat_inc(maps);
}

/**
 * nvfs_map_closed() - one mapping less
 * @vma: the mapping; its pages are gone
 *
 * Context: process context.
 */
void nvfs_map_closed(struct vm_area_struct *vma)
{
	nvfs_region_unref(vma->vm_private_data);
	nvfs_stat_inc(unmaps);
}

/**
 * nvfs_map_zap() - take a region's pages out of all mappings
 * @region: a region that nobody holds any more, so that no page comes back
 *
 * Takes the lock of the open file's address space and those of page tables,
 * under which nobody waits for a region, a provider, or memory.
 *
 * Context: may sleep; the provider's locks may be held, and any mmap_lock.
 */
void nvfs_map_zap(struct nvfs_region *region)
{
	if (READ_ONCE(region->mapped))
		unmap_mapping_range(region->mapping, region->map_offset,
				    region->len, 1);
}
