// SPDX-License-Identifier: GPL-2.0-only
/*
 * The region: GPU memory that a process registered.  Pin, index, look up,
 * revoke, drain, unpin.
 *
 * Who may still use the memory when a region ends, and why each is gone:
 * - a request: holds @users; DYING admits no new one and the winner waits for
 *   the last to let go;
 * - a page fault: the same, for as long as it writes to the page table;
 * - a mapping: its pages are taken away by the winner when no fault can bring
 *   one back; what stays is a reference to the structure;
 * - a lookup that has found the region but holds nothing yet: runs under RCU
 *   and takes @users only while the reference is live; the structure itself is
 *   freed after a grace period;
 * - the maker of the region: holds @users until it is done with the provider's
 *   page table;
 * - the provider's callback: waits for DEAD, then frees the page table.  It
 *   holds a reference to the structure, which nobody else drops unless the
 *   provider took the pages back and so will not call.
 */
#include <linux/align.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "nvfs-mmap-quota.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"
#include "nvfs-stat-user.h"
#include "nvfs-stat.h"
#include "nvfs-trace.h"

/**
 * nvfs_pieces_build() - turn a provider's pages into contiguous pieces
 * @pages: the provider's pages
 * @entries: how many
 * @page_size: bytes of each
 * @skip: bytes of the first pages that lie before the region
 * @len: bytes of the region
 * @pieces: where to, or NULL to count only
 *
 * Pure.
 *
 * Return: the number of pieces; 0 when the pages end before the region does.
 */
u32 nvfs_pieces_build(struct nvidia_p2p_page **pages, u32 entries,
		      u32 page_size, u64 skip, u64 len,
		      struct nvfs_piece *pieces)
{
	u64 i = div_u64(skip, page_size);
	u64 off = 0, next = 0;
	u32 nr = 0;

	skip -= i * page_size;
	for (; off < len; i++, skip = 0) {
		u64 n = min_t(u64, page_size - skip, len - off);
		u64 phys;

		if (i >= entries)
			return 0;
		phys = pages[i]->physical_address + skip;
		if (!nr || phys != next) {
			if (pieces)
				pieces[nr] = (struct nvfs_piece){
					.off = off, .phys = phys,
				};
			nr++;
		}
		if (pieces)
			pieces[nr - 1].len += n;
		off += n;
		next = phys + n;
	}
	return nr;
}

/**
 * nvfs_piece_find() - the piece that holds an offset
 * @pieces: pieces of a region
 * @nr: how many, at least 1
 * @off: offset into the region, below its length
 *
 * Pure.
 *
 * Return: index of the piece.
 */
u32 nvfs_piece_find(const struct nvfs_piece *pieces, u32 nr, u64 off)
{
	u32 low = 0, end = nr;

	while (end - low > 1) {
		u32 mid = low + (end - low) / 2;

		if (pieces[mid].off <= off)
			low = mid;
		else
			end = mid;
	}
	return low;
}

/**
 * nvfs_piece_phys() - where a range lies on the bus
 * @pieces: pieces of a region
 * @nr: how many, at least 1
 * @off: start of the range in the region; the region holds all of it
 * @len: bytes; a power of two
 *
 * Pure.
 *
 * Return: its bus address, when it is contiguous and a multiple of @len there;
 * otherwise NVFS_NO_PHYS.
 */
phys_addr_t nvfs_piece_phys(const struct nvfs_piece *pieces, u32 nr, u64 off,
			    u64 len)
{
	const struct nvfs_piece *piece =
		pieces + nvfs_piece_find(pieces, nr, off);
	u64 skip = off - piece->off;
	phys_addr_t phys = piece->phys + skip;

	return len <= piece->len - skip && IS_ALIGNED(phys, len) ?
	       phys : NVFS_NO_PHYS;
}

/* What has become of the provider's callback; values of @callback */
enum {
	CALLBACK_NONE,
	CALLBACK_DONE,
	CALLBACK_ORPHANED,
};

static void region_free(struct rcu_head *rcu)
{
	struct nvfs_region *region = container_of(rcu, struct nvfs_region, rcu);

	percpu_ref_exit(&region->users);
	kvfree(region->pieces);
	kfree(region);
}

/**
 * nvfs_region_ref() - keep the structure of a region, not its memory
 * @region: the region; the caller holds it, or has such a reference
 *
 * Context: any.
 */
void nvfs_region_ref(struct nvfs_region *region)
{
	refcount_inc(&region->ref);
}

/**
 * nvfs_region_unref() - undo nvfs_region_ref()
 * @region: the region
 *
 * Context: any.
 */
void nvfs_region_unref(struct nvfs_region *region)
{
	if (refcount_dec_and_test(&region->ref))
		call_rcu(&region->rcu, region_free);
}

static void region_drained(struct percpu_ref *users)
{
	struct nvfs_region *region =
		container_of(users, struct nvfs_region, users);

	complete_all(&region->drained);
}

/* A region in state NEW; the maker holds @users and one reference */
static struct nvfs_region *region_alloc(void)
{
	struct nvfs_region *region;

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT |
			 __GFP_RETRY_MAYFAIL);
	if (!region)
		return NULL;
	if (percpu_ref_init(&region->users, region_drained,
			    PERCPU_REF_INIT_ATOMIC,
			    GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL)) {
		kfree(region);
		return NULL;
	}
	percpu_ref_get(&region->users);
	refcount_set(&region->ref, 1);
	init_waitqueue_head(&region->dying);
	init_completion(&region->drained);
	init_completion(&region->dead);
	return region;
}

static bool region_transit(struct nvfs_region *region,
			   enum nvfs_region_state from,
			   enum nvfs_region_state to)
{
	return atomic_cmpxchg(&region->state, from, to) == from;
}

/* Admit no new request.  True for the one caller who must see to the rest. */
static bool region_kill(struct nvfs_region *region)
{
	if (!region_transit(region, NVFS_REGION_LIVE, NVFS_REGION_DYING) &&
	    !region_transit(region, NVFS_REGION_NEW, NVFS_REGION_DYING))
		return false;
	wake_up_all(&region->dying);
	trace_nvfs_drain(region->id, region->pin.addr, region->pin.len);
	percpu_ref_kill(&region->users);
	return true;
}

/* The memory is not pinned any more, which is found out in two places */
static void region_uncharge(struct nvfs_region *region)
{
	if (xchg(&region->charged, false))
		nvfs_quota_uncharge(region->quota, region->pin.len);
}

/* Wait until nothing uses the region's memory.  @winner: from region_kill() */
static void region_wait_dead(struct nvfs_region *region, bool winner)
{
	if (!winner) {
		wait_for_completion(&region->dead);
		return;
	}
	wait_for_completion(&region->drained);
	nvfs_map_zap(region);
	trace_nvfs_drained(region->id, region->pin.addr, region->pin.len);
	if (region->gpu)
		nvfs_gpu_put(region->gpu);
	/* Its owner has it back; the open file, which holds the user, waits */
	if (READ_ONCE(region->revoked))
		region_uncharge(region);
	atomic_set(&region->state, NVFS_REGION_DEAD);
	complete_all(&region->dead);
}

/*
 * The owner of the memory frees it.  The provider calls this with its locks
 * held and takes the memory away when it returns.
 */
static void region_revoked(void *data)
{
	struct nvfs_region *region = data;
	bool orphan;

	/* From here on the pages are ours to let go of, not to give back */
	WRITE_ONCE(region->revoked, true);
	trace_nvfs_revoke(region->id, region->pin.addr, region->pin.len);
	region_wait_dead(region, region_kill(region));
	nvfs_mod_revoked(&region->pin);
	nvfs_stat_inc(regions_revoked);
	orphan = atomic_xchg(&region->callback, CALLBACK_DONE) ==
		 CALLBACK_ORPHANED;
	nvfs_region_unref(region);
	if (orphan)
		module_put(THIS_MODULE);
}

/*
 * The provider says that it has called, or is about to call, region_revoked().
 * The open file that keeps the module loaded may go before the callback comes,
 * so leave it a reference to the module.
 */
static void region_orphan(struct nvfs_region *region)
{
	__module_get(THIS_MODULE);
	if (atomic_xchg(&region->callback, CALLBACK_ORPHANED) == CALLBACK_DONE)
		module_put(THIS_MODULE);
}

/* End a region that region_kill() has been called for, and give it up */
static void region_destroy(struct nvfs_region *region, bool winner)
{
	u64 len = region->pin.len;

	region_wait_dead(region, winner);
	/* Only a provider that took the pages back will not call back.  Once it
	 * has called, its table is gone, and the address may be another one's.
	 */
	if (!READ_ONCE(region->revoked) &&
	    (!nvfs_mod_unpin(&region->pin) || region->pin.persistent))
		nvfs_region_unref(region);
	else
		region_orphan(region);
	region_uncharge(region);
	nvfs_provider_put();
	nvfs_region_unref(region);
	nvfs_stat_inc(unpins);
	nvfs_stat_add(bytes_unpinned, len);
	nvfs_stat_inc(regions_ended);
}

/* Pin the memory; from here on the region must end by region_destroy() */
static int region_pin(struct nvfs_region *region,
		      const struct nvfs_register *args)
{
	struct nvfs_pin *pin = &region->pin;
	u64 end = args->addr + args->length;
	int ret;

	pin->addr = ALIGN_DOWN(args->addr, NVIDIA_P2P_PIN_SIZE);
	if (end > ALIGN_DOWN(U64_MAX, NVIDIA_P2P_PIN_SIZE))
		return -EFAULT;
	pin->len = ALIGN(end, NVIDIA_P2P_PIN_SIZE) - pin->addr;
	pin->persistent = args->flags & NVFS_REGISTER_PERSISTENT;
	pin->revoked = region_revoked;
	pin->data = region;
	region->len = args->length;

	ret = nvfs_quota_charge(region->quota, pin->len);
	if (ret)
		return ret;
	region->charged = true;
	refcount_inc(&region->ref);
	ret = nvfs_mod_pin(pin);
	trace_nvfs_pin(pin->addr, pin->len, pin->persistent, ret);
	if (ret && ret != -EPROTO) {
		nvfs_stat_inc(pin_errors);
		refcount_dec(&region->ref);
		region_uncharge(region);
	} else {
		nvfs_stat_inc(pins);
		nvfs_stat_add(bytes_pinned, pin->len);
	}
	return ret;
}

/* Does the GPU's BAR hold every piece? */
static bool region_in_bar(const struct nvfs_region *region)
{
	const struct nvfs_gpu *gpu = region->gpu;
	u32 i;

	for (i = 0; i < region->nr_pieces; i++) {
		const struct nvfs_piece *piece = &region->pieces[i];

		if (piece->phys < gpu->start || piece->len > gpu->len ||
		    piece->phys - gpu->start > gpu->len - piece->len)
			return false;
	}
	return true;
}

/* From the provider's page table to pieces and a GPU */
static int region_map(struct nvfs_region *region, u64 addr)
{
	const struct nvidia_p2p_page_table *table = region->pin.table;
	u32 page_size = nvfs_mod_page_size(table);
	u64 skip = addr - region->pin.addr;
	struct nvfs_gpu *gpu;
	u32 nr;

	nr = nvfs_pieces_build(table->pages, table->entries, page_size, skip,
			       region->len, NULL);
	if (!nr)
		return -EFAULT;
	/* As large as the user likes: fails at the limit of the user's control
	 * group, where other allocations have somebody killed
	 */
	region->pieces = kvcalloc(nr, sizeof(*region->pieces),
				  GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
				  __GFP_NOWARN);
	if (!region->pieces)
		return -ENOMEM;
	region->nr_pieces = nr;
	nvfs_pieces_build(table->pages, table->entries, page_size, skip,
			  region->len, region->pieces);

	gpu = nvfs_gpu_find(region->pieces[0].phys);
	if (IS_ERR(gpu))
		return PTR_ERR(gpu);
	region->gpu = gpu;
	region->gpu_user = gpu->user;
	return region_in_bar(region) ? 0 : -ENXIO;
}

static void region_describe(const struct nvfs_region *region, u32 id,
			    struct nvfs_register *args)
{
	args->region = id;
	args->page_source = region->gpu->source;
	args->reason = region->gpu->reason;
	args->gpu = region->gpu->bdf;
	args->gpu_page_size = nvfs_mod_page_size(region->pin.table);
	args->nr_pieces = region->nr_pieces;
	args->mmap_offset = region->map_offset;
}

/* Make a region of checked arguments; @id is reserved for it */
static struct nvfs_region *region_create(const struct nvfs_regions *regions,
					 struct nvfs_register *args, u32 id)
{
	struct nvfs_region *region;
	int ret;

	region = region_alloc();
	if (!region)
		return ERR_PTR(-ENOMEM);
	region->quota = regions->quota;
	ret = nvfs_provider_get();
	if (ret)
		goto err_free_region;
	ret = region_pin(region, args);
	if (ret == -EPROTO)
		goto err_destroy_region;
	if (ret)
		goto err_put_provider;
	ret = region_map(region, args->addr);
	if (ret)
		goto err_destroy_region;
	region->process = regions->process;
	region->mapping = regions->maps.inode->i_mapping;
	region->map_offset = nvfs_map_place(id, region->pieces[0].phys,
					    region->len);
	region_describe(region, id, args);
	/* Fails when the memory was freed while we were at it */
	ret = -EFAULT;
	if (!region_transit(region, NVFS_REGION_NEW, NVFS_REGION_LIVE))
		goto err_destroy_region;
	percpu_ref_put(&region->users);
	nvfs_stat_inc(regions_registered);
	return region;

err_destroy_region:
	nvfs_stat_inc(regions_registered);
	percpu_ref_put(&region->users);
	region_destroy(region, region_kill(region));
	return ERR_PTR(ret);
err_put_provider:
	nvfs_provider_put();
err_free_region:
	nvfs_region_unref(region);
	return ERR_PTR(ret);
}

/* Where a region may be found without a search */
static struct nvfs_region **region_slot(struct nvfs_regions *regions, u32 id)
{
	return &regions->slot[id % NVFS_REGION_SLOTS];
}

static int register_check(const struct nvfs_register *args)
{
	u64 end;

	if (args->flags & ~NVFS_REGISTER_PERSISTENT)
		return -EINVAL;
	if (args->source == NVFS_SOURCE_DMABUF)
		return -EOPNOTSUPP;
	if (args->source != NVFS_SOURCE_P2P || args->fd != -1)
		return -EINVAL;
	if (!args->length || !IS_ALIGNED(args->addr, NVFS_BLOCK_SIZE) ||
	    !IS_ALIGNED(args->length, NVFS_BLOCK_SIZE))
		return -EINVAL;
	if (check_add_overflow(args->addr, args->length, &end))
		return -EOVERFLOW;
	return 0;
}

/**
 * nvfs_region_register() - NVFS_IOC_REGISTER
 * @regions: regions of the open file
 * @args: what to register; the out fields are filled in
 *
 * Context: process context of the owner of the GPU memory; may sleep.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_region_register(struct nvfs_regions *regions,
			 struct nvfs_register *args)
{
	struct nvfs_region *region;
	u32 id;
	int ret;

	ret = register_check(args);
	if (ret)
		return ret;
	ret = xa_alloc(&regions->index, &id, NULL,
		       XA_LIMIT(1, NVFS_MAX_REGIONS),
		       GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL);
	if (ret)
		return ret == -EBUSY ? -ENOSPC : ret;

	region = region_create(regions, args, id);
	if (IS_ERR(region)) {
		xa_release(&regions->index, id);
		nvfs_stat_inc(register_errors);
		trace_nvfs_register(0, args->addr, args->length, 0, 0,
				    PTR_ERR(region));
		nvfs_dbg("can't register %#llx+%#llx: %pe\n", args->addr,
			 args->length, region);
		return PTR_ERR(region);
	}
	region->id = id;
	trace_nvfs_register(id, args->addr, args->length, args->gpu,
			    args->nr_pieces, 0);
	atomic_inc(&regions->nr);
	/* Before the index: who ends the region finds it there, and clears this */
	smp_store_release(region_slot(regions, id), region);
	/* The id is reserved, so this can't fail; the index owns the region */
	xa_store(&regions->index, id, region, GFP_KERNEL);
	return 0;
}

/**
 * nvfs_region_unregister() - NVFS_IOC_UNREGISTER
 * @regions: regions of the open file
 * @id: id of the region
 *
 * Context: may sleep; waits for requests that are at the region's memory, not for
 * those that wait for a file.
 * Return: 0; -ENOENT when there is no such region.
 */
int nvfs_region_unregister(struct nvfs_regions *regions, u32 id)
{
	struct nvfs_region *region = xa_load(&regions->index, id);

	/* Not xa_erase(): the id of a region being made must stay reserved */
	if (!region ||
	    xa_cmpxchg(&regions->index, id, region, NULL, GFP_KERNEL) != region)
		return -ENOENT;
	cmpxchg(region_slot(regions, id), region, NULL);
	atomic_dec(&regions->nr);
	region_destroy(region, region_kill(region));
	return 0;
}

/**
 * nvfs_region_count_get() - count a lookup of a region that is not busy yet
 * @region: the region; held
 *
 * Context: process context.
 */
void nvfs_region_count_get(struct nvfs_region *region)
{
	u32 gets = READ_ONCE(region->gets) + 1;

	/* Racing CPUs may lose a count or switch twice; both do no harm */
	WRITE_ONCE(region->gets, gets);
	if (gets == NVFS_REGION_BUSY)
		percpu_ref_switch_to_percpu(&region->users);
}

/**
 * nvfs_region_get() - find a region and keep it for a request
 * @regions: regions of the open file
 * @id: id of the region
 *
 * Context: process context.  Takes no lock, but once in a busy region's life.
 * Return: the region, to be given to nvfs_region_put(); -ENOENT when there is no
 * such region, -ESTALE when its memory has been freed.
 */
struct nvfs_region *nvfs_region_get(struct nvfs_regions *regions, u32 id)
{
	struct nvfs_region *region;

	rcu_read_lock();
	/* Pairs with the release in nvfs_region_register() */
	region = smp_load_acquire(region_slot(regions, id));
	if (!region || region->id != id)
		region = xa_load(&regions->index, id);
	if (!region)
		region = ERR_PTR(-ENOENT);
	else if (!percpu_ref_tryget_live_rcu(&region->users))
		region = ERR_PTR(-ESTALE);
	rcu_read_unlock();
	if (!IS_ERR(region) && unlikely(READ_ONCE(region->gets) < NVFS_REGION_BUSY))
		nvfs_region_count_get(region);
	return region;
}

/**
 * nvfs_region_is_live() - does a region still admit requests?
 * @region: the region; the caller holds it
 *
 * A long request asks between two steps, so that nobody who wants to end the
 * region waits for more than a step.
 *
 * Context: any.
 * Return: true until the region is being ended.
 */
bool nvfs_region_is_live(const struct nvfs_region *region)
{
	return atomic_read(&region->state) == NVFS_REGION_LIVE;
}

/**
 * nvfs_regions_init() - prepare the regions of a new open file
 * @regions: the regions
 * @filp: the file; it is being opened
 * @map_ops: what a mapping of a region does
 *
 * Context: process context of who opens it.
 * Return: 0, to be undone by nvfs_regions_end(); -ENOMEM.
 */
int nvfs_regions_init(struct nvfs_regions *regions, struct file *filp,
		      const struct vm_operations_struct *map_ops)
{
	int ret;

	regions->quota = nvfs_quota_get();
	if (!regions->quota)
		return -ENOMEM;
	xa_init_flags(&regions->index, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
	memset(regions->slot, 0, sizeof(regions->slot));
	atomic_set(&regions->nr, 0);
	ret = -ENOMEM;
	regions->process = nvfs_user_get_process();
	if (!regions->process)
		goto err_put_quota;
	ret = nvfs_maps_init(&regions->maps, filp, map_ops);
	if (ret)
		goto err_put_process;
	return 0;

err_put_process:
	nvfs_user_put(regions->process);
err_put_quota:
	nvfs_quota_put(regions->quota);
	return ret;
}

/**
 * nvfs_regions_end() - end all regions of an open file that is closed
 * @regions: the regions
 * @filp: the file
 *
 * Context: may sleep; nobody else uses @regions any more.
 */
void nvfs_regions_end(struct nvfs_regions *regions, struct file *filp)
{
	struct nvfs_region *region;
	unsigned long id;

	/* Kill all, then wait for each: the grace periods run side by side */
	xa_for_each(&regions->index, id, region)
		if (region_kill(region))
			xa_set_mark(&regions->index, id, XA_MARK_1);
	xa_for_each(&regions->index, id, region)
		region_destroy(region, xa_get_mark(&regions->index, id,
						   XA_MARK_1));
	xa_destroy(&regions->index);
	nvfs_maps_end(&regions->maps, filp);
	nvfs_user_put(regions->process);
	nvfs_quota_put(regions->quota);
}

/**
 * nvfs_mmap_exit() - wait for regions that are being freed
 *
 * Context: module unload.
 */
void nvfs_mmap_exit(void)
{
	rcu_barrier();
}
