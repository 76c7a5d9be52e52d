/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_BLOCK_H
#define _NVFS_MMAP_BLOCK_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/types.h>

#include <uapi/nvfs.h>

struct file;
struct seq_file;

/* GPU memory is accounted and moved in blocks of this size, in bytes */
#define NVFS_BLOCK_SIZE		(4096)
#define NVFS_BLOCK_SHIFT	(12)

/* State of one block of GPU memory under an I/O; the names are the
 * specification's.  What may follow what: nvfs-mmap-state-list.h
 */
enum nvfs_block_state {
#define NVFS_BLOCK_STATE(name, next) name,
#include "nvfs-mmap-state-list.h"
#undef NVFS_BLOCK_STATE
	NVFS_BLOCK_STATE_NR
};

/* For each block state a bit for each state that may follow */
static const u8 nvfs_block_next[NVFS_BLOCK_STATE_NR] __maybe_unused = {
#define NVFS_BLOCK_STATE(name, next) (next),
#include "nvfs-mmap-state-list.h"
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

int nvfs_handle_sparse_read_region(struct file *file, u64 pos, u64 len,
				   struct nvfs_hole *holes, u32 *nr_holes,
				   u64 *covered);
void nvfs_block_refused_show(struct seq_file *m);
void nvfs_block_refused_reset(void);

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

#endif /* _NVFS_MMAP_BLOCK_H */
