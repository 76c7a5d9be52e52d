/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_H
#define _NVFS_MMAP_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/completion.h>
#include <linux/percpu-refcount.h>
#include <linux/refcount.h>
#include <linux/seq_file.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include <uapi/nvfs.h>

#include "nvfs-mod.h"

struct file;
struct nvfs_gpu;

/* GPU memory is accounted and moved in blocks of this size, in bytes */
#define NVFS_BLOCK_SIZE		(4096)
#define NVFS_BLOCK_SHIFT	(12)

/* State of one block of GPU memory under an I/O; the names are the
 * specification's.  What may follow what: nvfs-block-state-list.h
 */
enum nvfs_block_state {
#define NVFS_BLOCK_STATE(name, next) name,
#include "nvfs-block-state-list.h"
#undef NVFS_BLOCK_STATE
	NVFS_BLOCK_STATE_NR
};

/* For each block state a bit for each state that may follow */
static const u8 nvfs_block_next[NVFS_BLOCK_STATE_NR] = {
#define NVFS_BLOCK_STATE(name, next) (next),
#include "nvfs-block-state-list.h"
#undef NVFS_BLOCK_STATE
};

/* A request works front to back, so its blocks are in few runs: done, under
 * way or failed, rolled back, not begun
 */
#define NVFS_MGROUP_MAX_RUNS	4

/**
 * struct nvfs_block_run - neighbouring blocks in the same state
 * @nr: how many
 * @state: enum nvfs_block_state
 */
struct nvfs_block_run {
	u32 nr;
	u32 state;
};

/**
 * struct nvfs_mgroup - the blocks that one I/O moves, and their states
 * @nr_blocks: how many, whole or in part
 * @nr_runs: runs in use
 * @run: the states, front to back; the runs add up to @nr_blocks
 * @nr_done: the request's count of blocks that are DONE
 * @nr_failed: the request's count of blocks that are DMA_ERROR
 *
 * Owned by the request: only whoever works on it may touch it.
 */
struct nvfs_mgroup {
	u32 nr_blocks;
	u32 nr_runs;
	struct nvfs_block_run run[NVFS_MGROUP_MAX_RUNS];
	u32 nr_done;
	u32 nr_failed;
};

typedef struct nvfs_mgroup *nvfs_mgroup_ptr_t;

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
 * @users: requests in flight, and whoever makes or ends the region
 * @pieces: the region's bus addresses, in order, without gaps in @off
 * @nr_pieces: number of @pieces
 * @gpu: whose memory; valid for holders of @users
 * @len: bytes
 * @state: enum nvfs_region_state
 * @id: its id on its open file
 * @route: the last way that was judged; see nvfs-dma.c
 * @gets: lookups, up to where @users changes to counters per CPU
 * @ref: one of the owner's, one that the provider's callback holds
 * @revoked: the provider's callback has begun
 * @callback: what has become of the provider's callback
 * @pin: what the provider pinned, with up to one page more at both ends
 * @dying: @state is past NVFS_REGION_LIVE
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
	u64 len;
	atomic_t state;
	u32 id;
	atomic64_t route;
	u32 gets;
	refcount_t ref;
	bool revoked;
	atomic_t callback;
	struct nvfs_pin pin;
	struct completion dying;
	struct completion drained;
	struct completion dead;
	struct rcu_head rcu;
};

#define NVFS_REGION_SLOTS	16

/**
 * struct nvfs_regions - the regions of one open file
 * @index: id -> region
 * @slot: the same for some of them, without a search: id % NVFS_REGION_SLOTS
 * @nr: how many
 *
 * Only REGISTER and UNREGISTER write; lookups read under RCU.
 */
struct nvfs_regions {
	struct xarray index;
	struct nvfs_region *slot[NVFS_REGION_SLOTS];
	atomic_t nr;
};

void nvfs_regions_init(struct nvfs_regions *regions);
void nvfs_regions_end(struct nvfs_regions *regions);
int nvfs_region_register(struct nvfs_regions *regions,
			 struct nvfs_register *args);
int nvfs_region_unregister(struct nvfs_regions *regions, u32 id);
struct nvfs_region *nvfs_region_get(struct nvfs_regions *regions, u32 id);
bool nvfs_region_is_live(const struct nvfs_region *region);
void nvfs_mmap_exit(void);

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

int nvfs_handle_sparse_read_region(struct file *file, u64 pos, u64 len,
				   struct nvfs_hole *holes, u32 *nr_holes,
				   u64 *covered);
void nvfs_block_refused_show(struct seq_file *m);

/**
 * nvfs_mgroup_advance() - bring all blocks from one known state to the next
 * @m: the group
 * @from: state that all blocks are in; a constant
 * @to: state that may follow; a constant
 *
 * For the way that nearly every request goes; that the step is legal is proved
 * when this is compiled.
 *
 * Return: false, and nothing changed, when not all blocks are in @from.
 */
#define nvfs_mgroup_advance(m, from, to)				\
({									\
	BUILD_BUG_ON(!(nvfs_block_next[from] & BIT(to)));		\
	__nvfs_mgroup_advance(m, from, to);				\
})

static inline bool __nvfs_mgroup_advance(nvfs_mgroup_ptr_t nvfs_mgroup,
					 enum nvfs_block_state from,
					 enum nvfs_block_state to)
{
	if (nvfs_mgroup->nr_runs != 1 || nvfs_mgroup->run[0].state != from)
		return false;
	nvfs_mgroup->run[0].state = to;
	if (to == NVFS_IO_DONE)
		nvfs_mgroup->nr_done = nvfs_mgroup->nr_blocks;
	return true;
}

/* Pure functions, but for the count of refusals */
void nvfs_mgroup_init(nvfs_mgroup_ptr_t nvfs_mgroup, u64 off, u64 len);
int nvfs_mgroup_check_and_set(nvfs_mgroup_ptr_t nvfs_mgroup,
			      enum nvfs_block_state state, bool validate,
			      bool update_nvfsio);
int nvfs_mgroup_set_range(nvfs_mgroup_ptr_t nvfs_mgroup, u32 first, u32 nr,
			  enum nvfs_block_state state);
int nvfs_handle_done_block_validation(nvfs_mgroup_ptr_t nvfs_mgroup,
				      u32 nr_done);
const char *nvfs_block_state_name(enum nvfs_block_state state);

/* Pure functions */
u32 nvfs_pieces_build(struct nvidia_p2p_page **pages, u32 entries,
		      u32 page_size, u64 skip, u64 len,
		      struct nvfs_piece *pieces);
u32 nvfs_piece_find(const struct nvfs_piece *pieces, u32 nr, u64 off);

#endif /* _NVFS_MMAP_H */
