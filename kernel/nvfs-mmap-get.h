/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_GET_H
#define _NVFS_MMAP_GET_H

#include <linux/percpu-refcount.h>
#include <linux/rcupdate.h>

#include "nvfs-mmap.h"

/**
 * nvfs_region_try_get() - nvfs_region_get() for a region that is found at once
 * @regions: regions of the open file
 * @id: id of the region
 *
 * Context: process context.  Takes no lock, but once in a busy region's life.
 * Return: the region, to be given to nvfs_region_put(); NULL when it takes
 * nvfs_region_get() to find it, or to say why there is none.
 */
static __always_inline struct nvfs_region *
nvfs_region_try_get(struct nvfs_regions *regions, u32 id)
{
	struct nvfs_region *region;

	rcu_read_lock();
	/* Pairs with the release in nvfs_region_register() */
	region = smp_load_acquire(&regions->slot[id % NVFS_REGION_SLOTS]);
	if (region && (region->id != id ||
		       !percpu_ref_tryget_live_rcu(&region->users)))
		region = NULL;
	rcu_read_unlock();
	if (region && unlikely(READ_ONCE(region->gets) < NVFS_REGION_BUSY))
		nvfs_region_count_get(region);
	return region;
}

#endif /* _NVFS_MMAP_GET_H */
