/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_FAULT_H
#define _NVFS_FAULT_H

#include <linux/mm.h>

/* What a mapping of a region does: for nvfs_regions_init() */
extern const struct vm_operations_struct nvfs_fault_ops;

#endif /* _NVFS_FAULT_H */
