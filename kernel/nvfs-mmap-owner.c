// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has which regions: for people, who see their own.  Requests know nothing
 * of this.
 */
#include <linux/cred.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "nvfs-mmap-owner.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"

/* Guards the list; taken when a file is opened or closed, and to look */
static DEFINE_MUTEX(owners_lock);
static LIST_HEAD(owners);

/**
 * nvfs_owner_begin() - the current process has opened a file of the device
 * @owner: the owner to be; part of the open file
 * @regions: the regions of that file; valid until nvfs_owner_end()
 *
 * Context: process context; may sleep.
 */
void nvfs_owner_begin(struct nvfs_owner *owner, struct nvfs_regions *regions)
{
	owner->uid = current_euid();
	owner->pid = get_pid(task_tgid(current));
	owner->regions = regions;
	mutex_lock(&owners_lock);
	list_add_tail(&owner->node, &owners);
	mutex_unlock(&owners_lock);
}

/**
 * nvfs_owner_end() - the file is being closed
 * @owner: the owner
 *
 * Context: may sleep; nobody looks at the file's regions any more afterwards.
 */
void nvfs_owner_end(struct nvfs_owner *owner)
{
	mutex_lock(&owners_lock);
	list_del(&owner->node);
	mutex_unlock(&owners_lock);
	put_pid(owner->pid);
}

/*
 * Describe the first region whose id is at least *@id.  A request's reference
 * is held meanwhile, without which a region may be on its way to its end.
 */
static bool region_next(struct nvfs_regions *regions, unsigned long *id,
			struct nvfs_region_info *info)
{
	struct nvfs_region *region;

	rcu_read_lock();
	region = xa_find(&regions->index, id, ULONG_MAX, XA_PRESENT);
	if (region) {
		info->id = *id;
		info->len = region->len;
		info->dead = atomic_read(&region->state) == NVFS_REGION_DEAD;
		info->live = percpu_ref_tryget_live_rcu(&region->users);
	}
	if (region && info->live) {
		info->pinned = region->pin.len;
		info->persistent = region->pin.persistent;
		info->nr_pieces = region->nr_pieces;
		info->gpu = region->gpu->bdf;
		info->source = region->gpu->source;
		nvfs_region_put(region);
	}
	rcu_read_unlock();
	return region;
}

/* May this viewer know of this owner?  Not beyond its pid namespace either */
static bool may_see(const struct nvfs_viewer *viewer,
		    const struct nvfs_owner *owner)
{
	return (viewer->all || uid_eq(viewer->uid, owner->uid)) &&
	       pid_vnr(owner->pid);
}

/**
 * nvfs_owner_each_region() - call a function for each region that one may see
 * @viewer: who wants to see
 * @call: the function
 * @data: its argument
 *
 * In the order in which the files were opened, then of the ids.
 *
 * Context: process context; may sleep.
 */
void nvfs_owner_each_region(const struct nvfs_viewer *viewer,
			    void (*call)(const struct nvfs_region_info *info,
					 void *data),
			    void *data)
{
	struct nvfs_owner *owner;

	mutex_lock(&owners_lock);
	list_for_each_entry(owner, &owners, node) {
		struct nvfs_region_info info = {};
		unsigned long id = 0;

		if (!may_see(viewer, owner))
			continue;
		info.pid = pid_vnr(owner->pid);
		for (; region_next(owner->regions, &id, &info); id++)
			call(&info, data);
	}
	mutex_unlock(&owners_lock);
}
