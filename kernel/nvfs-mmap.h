/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_H
#define _NVFS_MMAP_H

#include <linux/completion.h>
#include <linux/percpu-refcount.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <uapi/nvfs.h>

#include "nvfs-mmap-block.h"
#include "nvfs-mmap-map.h"
#include "nvfs-mod.h"

struct nvfs_gpu;
struct nvfs_user;

/**
 * enum nvfs_region_state - life of a region
 * @NVFS_REGION_NEW: being made
 * @NVFS_REGION_LIVE: takes requests
 * @NVFS_REGION_DYING: takes no new request; those in flight end
 * @NVFS_REGION_DEAD: no request in flight, the memory is not used any more
 *
 * NEW -> LIVE; NEW | LIVE -> DYING; DYING -> DEAD.  Exactly one caller wins the
 * way to DYING; it waits for the requests, says DEAD, and all others wait for
 * that.
 */
enum nvfs_region_state {
	NVFS_REGION_NEW,
	NVFS_REGION_LIVE,
	NVFS_REGION_DYING,
	NVFS_REGION_DEAD,
};

/**
 * struct nvfs_piece - a run of contiguous bus addresses in a region
 * @off: where it begins in the region
 * @len: bytes
 * @phys: its first bus address
 */
struct nvfs_piece {
	u64 off;
	u64 len;
	phys_addr_t phys;
};

/**
 * struct nvfs_region - a range of GPU memory that a process registered
 * @users: requests in flight, page faults, and whoever makes or ends the region
 * @pieces: the region's bus addresses, in order, without gaps in @off
 * @nr_pieces: number of @pieces
 * @gpu: whose memory; valid for holders of @users
 * @gpu_user: where requests of @gpu are counted; valid when that is gone, too
 * @process: who registered it, where requests are counted; the open file's
 * @len: bytes
 * @state: enum nvfs_region_state
 * @id: its id on its open file
 * @route: the last way that was judged; see nvfs-dma.c
 * @gets: lookups, up to where @users changes to counters per CPU
 * @ref: one of the owner's, one that the provider's callback holds, one of each
 *	mapping, one of each request that waits and does not hold @users
 * @revoked: the provider's callback has begun
 * @callback: what has become of the provider's callback
 * @mapping: the open file's, where its mappings are listed
 * @map_offset: where it begins in there, in bytes; 0 when it can't be mapped
 * @mapped: has been mapped; stays so, as what was written through a mapping may
 *	still be under way when that is gone
 * @pin: what the provider pinned, with up to one page more at both ends
 * @quota: whom that is charged to; valid while it is
 * @charged: it is
 * @dying: where to wait for @state to be past NVFS_REGION_LIVE
 * @drained: @users is 0
 * @dead: @state is NVFS_REGION_DEAD
 * @rcu: lookups run under RCU
 *
 * Locks: none on the way of a request.  The index of an open file is an xarray
 * read under RCU; everything else is reference counts and completions, so a
 * revocation, which comes with the provider's locks held, can't deadlock.
 */
struct nvfs_region {
	struct percpu_ref users;
	struct nvfs_piece *pieces;
	u32 nr_pieces;
	struct nvfs_gpu *gpu;
	const struct nvfs_user *gpu_user;
	const struct nvfs_user *process;
	u64 len;
	atomic_t state;
	u32 id;
	atomic64_t route;
	u32 gets;
	refcount_t ref;
	bool revoked;
	atomic_t callback;
	struct address_space *mapping;
	u64 map_offset;
	bool mapped;
	struct nvfs_pin pin;
	struct nvfs_quota *quota;
	bool charged;
	wait_queue_head_t dying;
	struct completion drained;
	struct completion dead;
	struct rcu_head rcu;
};

/* No bus address: not a multiple of anything */
#define NVFS_NO_PHYS		((phys_addr_t)-1)

#define NVFS_REGION_SLOTS	16

/* Lookups after which a region counts its requests per CPU.  It starts with a
 * plain counter, which ends without a grace period: most regions see few
 * requests, and their owner waits for the end in a cudaFree().
 */
#define NVFS_REGION_BUSY	256

/**
 * struct nvfs_regions - the regions of one open file
 * @index: id -> region
 * @slot: the same for some of them, without a search: id % NVFS_REGION_SLOTS
 * @nr: how many
 * @maps: what their mappings hang on
 * @process: who opened the file
 * @quota: the user whom their memory is charged to
 *
 * Only REGISTER and UNREGISTER write; lookups read under RCU.
 */
struct nvfs_regions {
	struct xarray index;
	struct nvfs_region *slot[NVFS_REGION_SLOTS];
	atomic_t nr;
	struct nvfs_maps maps;
	struct nvfs_user *process;
	struct nvfs_quota *quota;
};

int nvfs_regions_init(struct nvfs_regions *regions, struct file *filp,
		      const struct vm_operations_struct *map_ops);
void nvfs_regions_end(struct nvfs_regions *regions, struct file *filp);
int nvfs_region_register(struct nvfs_regions *regions,
			 struct nvfs_register *args);
int nvfs_region_unregister(struct nvfs_regions *regions, u32 id);
struct nvfs_region *nvfs_region_get(struct nvfs_regions *regions, u32 id);
void nvfs_region_count_get(struct nvfs_region *region);
void nvfs_region_ref(struct nvfs_region *region);
void nvfs_region_unref(struct nvfs_region *region);
bool nvfs_region_is_live(const struct nvfs_region *region);
void nvfs_mmap_exit(void);

/**
 * nvfs_region_tryget() - hold a region that is at hand
 * @region: the region; the caller has a reference to the structure
 *
 * Context: any; does not wait.
 * Return: true, to be undone by nvfs_region_put(); false when it is ending.
 */
static inline bool nvfs_region_tryget(struct nvfs_region *region)
{
	return percpu_ref_tryget_live(&region->users);
}

/**
 * nvfs_region_put() - undo nvfs_region_get()
 * @region: the region
 *
 * Context: any.
 */
static inline void nvfs_region_put(struct nvfs_region *region)
{
	percpu_ref_put(&region->users);
}

/* Pure functions */
u32 nvfs_pieces_build(struct nvidia_p2p_page **pages, u32 entries,
		      u32 page_size, u64 skip, u64 len,
		      struct nvfs_piece *pieces);
u32 nvfs_piece_find(const struct nvfs_piece *pieces, u32 nr, u64 off);
phys_addr_t nvfs_piece_phys(const struct nvfs_piece *pieces, u32 nr, u64 off,
			    u64 len);

#endif /* _NVFS_MMAP_H */
