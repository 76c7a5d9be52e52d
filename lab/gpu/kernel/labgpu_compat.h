/* SPDX-License-Identifier: GPL-2.0-only */
/* What the emulated GPU needs and not every kernel has; Kbuild looks. */
#ifndef _LABGPU_COMPAT_H
#define _LABGPU_COMPAT_H

#include <linux/mm.h>

#ifndef LABGPU_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}
#endif

#ifdef LABGPU_NS_WORD
#define LABGPU_IMPORT_DMA_BUF	MODULE_IMPORT_NS(DMA_BUF)
#else
#define LABGPU_IMPORT_DMA_BUF	MODULE_IMPORT_NS("DMA_BUF")
#endif

#endif /* _LABGPU_COMPAT_H */
