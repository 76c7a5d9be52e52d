// SPDX-License-Identifier: GPL-2.0-only
/*
 * Touching a mapping of a region: page faults, and a debugger's accesses.
 *
 * The mapping knows its region, so a fault costs one search among the region's
 * pieces.  While it writes to the page table it holds the region as a request
 * does; who ends the region waits for it, then takes all pages out of all page
 * tables.  A region that is ending gives no page: SIGBUS.
 *
 * A fault never waits for a region or a provider: its mmap_lock may be wanted by
 * whoever ends the region.  It may wait for memory, for its page table.
 */
#include <linux/align.h>
#include <linux/io.h>
#include <linux/mm.h>

#include "nvfs-fault.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"
#include "nvfs-stat.h"

#define FAULT_PMD_ORDER		(PMD_SHIFT - PAGE_SHIFT)

/* Keep the mapping's region, unless it is ending or its GPU was taken away */
static struct nvfs_region *fault_get(const struct vm_area_struct *vma)
{
	struct nvfs_region *region = vma->vm_private_data;

	if (!nvfs_region_tryget(region))
		return NULL;
	if (likely(!READ_ONCE(region->gpu->gone)))
		return region;
	nvfs_region_put(region);
	return NULL;
}

/* One page.  The caller holds the region. */
static vm_fault_t fault_page(struct nvfs_region *region, struct vm_fault *vmf)
{
	unsigned long addr = ALIGN_DOWN(vmf->address, PAGE_SIZE);
	u64 off = nvfs_map_region_offset(vmf->vma, addr);
	phys_addr_t phys;

	phys = nvfs_piece_phys(region->pieces, region->nr_pieces, off,
			       PAGE_SIZE);
	if (phys == NVFS_NO_PHYS)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, addr, PHYS_PFN(phys));
}

/*
 * The huge page around the address, if the mapping and a piece of the memory
 * hold all of it.  Without struct pages, nobody has seen to one memory type for
 * the whole BAR, and each page has to be asked for its own.
 */
static vm_fault_t fault_huge(struct nvfs_region *region, struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long addr = ALIGN_DOWN(vmf->address, PMD_SIZE);
	phys_addr_t phys;

	if (region->gpu->source == NVFS_PAGES_NONE || addr < vma->vm_start ||
	    vma->vm_end - addr < PMD_SIZE)
		return VM_FAULT_FALLBACK;
	phys = nvfs_piece_phys(region->pieces, region->nr_pieces,
			       nvfs_map_region_offset(vma, addr), PMD_SIZE);
	if (phys == NVFS_NO_PHYS)
		return VM_FAULT_FALLBACK;
	return nvfs_compat_insert_pmd(vmf, PHYS_PFN(phys),
				      vmf->flags & FAULT_FLAG_WRITE);
}

/* .fault() */
static vm_fault_t nvfs_fault(struct vm_fault *vmf)
{
	struct nvfs_region *region = fault_get(vmf->vma);
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (likely(region)) {
		ret = fault_page(region, vmf);
		nvfs_region_put(region);
	}
	if (likely(ret == VM_FAULT_NOPAGE))
		nvfs_stat_inc(faults);
	else
		nvfs_stat_inc(faults_refused);
	return ret;
}

/* .huge_fault(); what it leaves to .fault() is counted there */
static vm_fault_t nvfs_huge_fault(struct vm_fault *vmf,
				  nvfs_compat_order_t size)
{
	struct nvfs_region *region;
	vm_fault_t ret;

	if (nvfs_compat_order(size) != FAULT_PMD_ORDER)
		return VM_FAULT_FALLBACK;
	region = fault_get(vmf->vma);
	if (!region)
		return VM_FAULT_FALLBACK;
	ret = fault_huge(region, vmf);
	nvfs_region_put(region);
	if (ret == VM_FAULT_NOPAGE)
		nvfs_stat_inc(huge_faults);
	return ret;
}

/* Copy to or from bytes of one page of the region, which the caller holds */
static int access_page(struct nvfs_region *region, u64 off, void *buf, int len,
		       bool write)
{
	u64 skip = off & (PAGE_SIZE - 1);
	void __iomem *mem;
	phys_addr_t phys;

	phys = nvfs_piece_phys(region->pieces, region->nr_pieces, off - skip,
			       PAGE_SIZE);
	mem = phys == NVFS_NO_PHYS ? NULL : ioremap_wc(phys, PAGE_SIZE);
	if (!mem)
		return -EFAULT;
	if (write)
		memcpy_toio(mem + skip, buf, len);
	else
		memcpy_fromio(buf, mem + skip, len);
	iounmap(mem);
	return len;
}

/* .access(): ptrace(2) and /proc/PID/mem, for as much as one page holds */
static int nvfs_fault_access(struct vm_area_struct *vma, unsigned long addr,
			     void *buf, int len, int write)
{
	struct nvfs_region *region;
	int ret;

	if (write && !(vma->vm_flags & VM_WRITE))
		return -EFAULT;
	region = fault_get(vma);
	if (!region)
		return -EFAULT;
	len = min_t(unsigned long, len, PAGE_SIZE - offset_in_page(addr));
	ret = access_page(region, nvfs_map_region_offset(vma, addr), buf, len,
			  write);
	nvfs_region_put(region);
	return ret;
}

/*
 * No .may_split: a mapping may be cut at any page.  A huge entry across the cut
 * is dropped by the kernel, and touched again.
 */
const struct vm_operations_struct nvfs_fault_ops = {
	.open = nvfs_map_opened,
	.close = nvfs_map_closed,
	.fault = nvfs_fault,
	.huge_fault = nvfs_huge_fault,
	.access = nvfs_fault_access,
};
