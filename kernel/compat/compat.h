/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Supplies the newest kernel API on older kernels.  Included before every
 * source file by Kbuild; no source file names it.  The symbols tested here are
 * set by Kbuild.include, which says what each of them stands for.
 */
#ifndef _NVFS_COMPAT_H
#define _NVFS_COMPAT_H

/* Before the first header, which would define it otherwise */
#define pr_fmt(fmt) "nvfs: " fmt

#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>

/*
 * Distributions have the compiler zero every variable on the stack. This keeps
 * it from doing so for a large one that is filled in field by field on the path
 * of a request.
 */
#if __has_attribute(__uninitialized__)
#define nvfs_no_auto_init __attribute__((__uninitialized__))
#else
#define nvfs_no_auto_init
#endif

#ifdef NVFS_COMPAT_CLASS_CREATE_OWNER
static inline struct class *nvfs_compat_class_create(const char *name)
{
	return class_create(THIS_MODULE, name);
}

#undef class_create
#define class_create(name) nvfs_compat_class_create(name)
#endif

#ifdef NVFS_COMPAT_INODE_STATE
#define inode_state_read_once(inode) READ_ONCE((inode)->i_state)
#endif

#ifdef NVFS_COMPAT_CALLER_START_WRITE
/* As the newer function: an asynchronous write keeps the freeze protection, and
 * its completion calls kiocb_end_write().
 */
static inline ssize_t nvfs_compat_iter_write(struct file *file,
					     struct kiocb *iocb,
					     struct iov_iter *iter)
{
	ssize_t ret;

	kiocb_start_write(iocb);
	ret = vfs_iocb_iter_write(file, iocb, iter);
	if (ret != -EIOCBQUEUED)
		kiocb_end_write(iocb);
	return ret;
}

#define vfs_iocb_iter_write nvfs_compat_iter_write
#endif

/* For a kiocb with a completion: take the bio from a cache, where that is safe */
#ifdef NVFS_COMPAT_NO_BIO_CACHE
#define NVFS_IOCB_CACHE	0
#else
#define NVFS_IOCB_CACHE	IOCB_ALLOC_CACHE
#endif

/* What newer kernels have in a kiocb that is filled in field by field */
static inline void nvfs_compat_kiocb_rest(struct kiocb *kiocb)
{
#ifdef NVFS_COMPAT_WRITE_STREAM
	kiocb->ki_write_stream = 0;
#endif
}

#include <linux/memcontrol.h>
#include <linux/sched/mm.h>

/* One more reference to a control group; 6.1 has no name for it */
static inline struct mem_cgroup *nvfs_compat_memcg_get(struct mem_cgroup *memcg)
{
#ifdef CONFIG_MEMCG
	if (memcg)
		css_get(&memcg->css);
#endif
	return memcg;
}

#ifdef NVFS_COMPAT_FD_FILE
#define fd_file(f)	((f).file)
#define fd_empty(f)	(!(f).file)
#endif

#include "compat-uring.h"
#include <linux/mm.h>

#ifdef NVFS_COMPAT_VM_FLAGS
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* nvfs_compat_order(): the order of what huge_fault() is asked for */
#ifdef NVFS_COMPAT_PAGE_ENTRY_SIZE
typedef enum page_entry_size nvfs_compat_order_t;

static inline unsigned int nvfs_compat_order(nvfs_compat_order_t size)
{
	return size == PE_SIZE_PMD ? PMD_SHIFT - PAGE_SHIFT :
	       size == PE_SIZE_PUD ? PUD_SHIFT - PAGE_SHIFT : 0;
}
#else
typedef unsigned int nvfs_compat_order_t;

static inline unsigned int nvfs_compat_order(nvfs_compat_order_t order)
{
	return order;
}
#endif

/* Put a huge entry into the page table; VM_FAULT_FALLBACK where the kernel would
 * take it for pages.
 */
#if defined(NVFS_COMPAT_PMD_SPECIAL) && \
	defined(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)
#include <linux/huge_mm.h>
#ifdef NVFS_COMPAT_PFN_T
#include <linux/pfn_t.h>
#define nvfs_compat_pfn(pfn)	__pfn_to_pfn_t(pfn, PFN_DEV)
#else
#define nvfs_compat_pfn(pfn)	(pfn)
#endif

static inline vm_fault_t nvfs_compat_insert_pmd(struct vm_fault *vmf,
						unsigned long pfn, bool write)
{
	return vmf_insert_pfn_pmd(vmf, nvfs_compat_pfn(pfn), write);
}
#else
static inline vm_fault_t nvfs_compat_insert_pmd(struct vm_fault *vmf,
						unsigned long pfn, bool write)
{
	return VM_FAULT_FALLBACK;
}
#endif

#ifdef CONFIG_X86
#include <asm/processor.h>

/* Every AMD processor from Zen (family 0x17) on forwards peer-to-peer requests
 * from one root port to another; the fact is the kernel's, see p2pdma.c.
 */
static inline bool nvfs_compat_cpu_forwards(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD &&
	       boot_cpu_data.x86 >= 0x17;
}

#include <asm/tsc.h>

/* What get_cycles() counts in a millisecond */
static inline u32 nvfs_compat_cycles_khz(void)
{
	return tsc_khz;
}
#else
static inline u32 nvfs_compat_cycles_khz(void)
{
	return 0;
}

static inline bool nvfs_compat_cpu_forwards(void)
{
	return false;
}
#endif

#endif /* _NVFS_COMPAT_H */
