// SPDX-License-Identifier: GPL-2.0-only
/*
 * The blocks under an I/O: their states, the holes among them, and whether they
 * ended as the request says.
 *
 * A memory group keeps its states in runs, not one by one, so a transition of a
 * large request costs what one of a small request costs.
 */
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "nvfs-mmap.h"
#include "nvfs-stat.h"
#include "nvfs-trace.h"

static const char * const block_state_name[NVFS_BLOCK_STATE_NR] = {
#define NVFS_BLOCK_STATE(name, next) (#name),
#include "nvfs-mmap-state-list.h"
#undef NVFS_BLOCK_STATE
};

/* Refused transitions: from, to.  Touched only when something is wrong. */
static atomic_t block_refused[NVFS_BLOCK_STATE_NR][NVFS_BLOCK_STATE_NR];

/**
 * nvfs_block_state_name() - a block state in words
 * @state: the state
 *
 * Return: its name in the specification.
 */
const char *nvfs_block_state_name(enum nvfs_block_state state)
{
	return state < NVFS_BLOCK_STATE_NR ? block_state_name[state] : "?";
}

/**
 * nvfs_block_refused_reset() - forget the transitions that were refused
 *
 * Context: any.
 */
void nvfs_block_refused_reset(void)
{
	int from, to;

	for (from = 0; from < NVFS_BLOCK_STATE_NR; from++)
		for (to = 0; to < NVFS_BLOCK_STATE_NR; to++)
			atomic_set(&block_refused[from][to], 0);
}

/**
 * nvfs_block_refused_show() - print the block transitions that were refused
 * @m: where to; a line "block_refused FROM TO count" for each pair
 *
 * Context: process context.
 */
void nvfs_block_refused_show(struct seq_file *m)
{
	int from, to, nr;

	for (from = 0; from < NVFS_BLOCK_STATE_NR; from++)
		for (to = 0; to < NVFS_BLOCK_STATE_NR; to++) {
			nr = atomic_read(&block_refused[from][to]);
			if (nr)
				seq_printf(m, "block_refused %s %s %d\n",
					   block_state_name[from],
					   block_state_name[to], nr);
		}
}

/* May a block go from one state to another?  A refusal is counted. */
static bool block_may(u32 from, enum nvfs_block_state to)
{
	if (likely(nvfs_block_next[from] & BIT(to)))
		return true;
	atomic_inc(&block_refused[from][to]);
	nvfs_stat_inc(state_refused);
	trace_nvfs_state_refused("block", block_state_name[from],
				 block_state_name[to]);
	nvfs_dbg("block state %s can't follow %s\n", block_state_name[to],
		 block_state_name[from]);
	return false;
}

/**
 * nvfs_mgroup_init() - a memory group of blocks that are ALLOC
 * @nvfs_mgroup: the group
 * @off: first byte in the region
 * @len: bytes; a block that is touched in part counts
 */
void nvfs_mgroup_init(nvfs_mgroup_ptr_t nvfs_mgroup, u64 off, u64 len)
{
	u64 last = off + len + NVFS_BLOCK_SIZE - 1;

	nvfs_mgroup->nr_blocks = (last >> NVFS_BLOCK_SHIFT) -
				 (off >> NVFS_BLOCK_SHIFT);
	nvfs_mgroup->nr_runs = 1;
	nvfs_mgroup->run[0].nr = nvfs_mgroup->nr_blocks;
	nvfs_mgroup->run[0].state = NVFS_IO_ALLOC;
	nvfs_mgroup->nr_done = 0;
	nvfs_mgroup->nr_failed = 0;
}

/**
 * nvfs_mgroup_check_and_set() - bring all blocks of a group to a state
 * @nvfs_mgroup: the group
 * @state: the state
 * @validate: check first that every block may go there
 * @update_nvfsio: bring the request's counts up to date, too
 *
 * The cost depends on the number of runs, not of blocks.
 *
 * Context: any; the caller works on the request.
 * Return: 0; -EINVAL when @state is none, or a block may not go there: then no
 * block was changed and the refusal is counted.
 */
int nvfs_mgroup_check_and_set(nvfs_mgroup_ptr_t nvfs_mgroup,
			      enum nvfs_block_state state, bool validate,
			      bool update_nvfsio)
{
	u32 nr = nvfs_mgroup->nr_blocks;
	u32 i, done = 0, failed = 0;

	switch (state) {
	case NVFS_IO_DONE:
		done = nr;
		break;
	case NVFS_IO_DMA_ERROR:
		failed = nr;
		break;
	case NVFS_IO_FREE:
	case NVFS_IO_ALLOC:
	case NVFS_IO_INIT:
	case NVFS_IO_QUEUED:
	case NVFS_IO_DMA_START:
		break;
	default:
		return -EINVAL;
	}
	for (i = 0; validate && i < nvfs_mgroup->nr_runs; i++)
		if (!block_may(nvfs_mgroup->run[i].state, state))
			return -EINVAL;

	nvfs_mgroup->nr_runs = 1;
	nvfs_mgroup->run[0].nr = nr;
	nvfs_mgroup->run[0].state = state;
	if (update_nvfsio) {
		nvfs_mgroup->nr_done = done;
		nvfs_mgroup->nr_failed = failed;
	}
	return 0;
}

/* Append blocks to the runs being built; false when there are too many runs */
static bool runs_add(struct nvfs_block_run *run, u32 *nr_runs, u32 nr,
		     u32 state)
{
	if (!nr)
		return true;
	if (*nr_runs && run[*nr_runs - 1].state == state) {
		run[*nr_runs - 1].nr += nr;
		return true;
	}
	if (*nr_runs == NVFS_MGROUP_MAX_RUNS)
		return false;
	run[(*nr_runs)++] = (struct nvfs_block_run){ .nr = nr, .state = state };
	return true;
}

/* How many of the @nr blocks from @pos on lie before, in, behind the range? */
static void run_split(u32 pos, u32 nr, u32 first, u32 end, u32 part[3])
{
	u32 last = pos + nr;

	part[0] = clamp(first, pos, last) - pos;
	part[1] = clamp(end, pos, last) - pos - part[0];
	part[2] = nr - part[0] - part[1];
}

/* Bring the request's counts up to date */
static void mgroup_recount(nvfs_mgroup_ptr_t nvfs_mgroup)
{
	u32 i;

	nvfs_mgroup->nr_done = 0;
	nvfs_mgroup->nr_failed = 0;
	for (i = 0; i < nvfs_mgroup->nr_runs; i++) {
		const struct nvfs_block_run *run = &nvfs_mgroup->run[i];

		if (run->state == NVFS_IO_DONE)
			nvfs_mgroup->nr_done += run->nr;
		else if (run->state == NVFS_IO_DMA_ERROR)
			nvfs_mgroup->nr_failed += run->nr;
	}
}

/**
 * nvfs_mgroup_set_range() - bring some blocks of a group to a state
 * @nvfs_mgroup: the group
 * @first: first block
 * @nr: blocks; the range lies in the group
 * @state: the state
 *
 * Always validates and brings the request's counts up to date.
 *
 * Context: any; the caller works on the request.
 * Return: 0; -EINVAL when a block may not go there, -ENOSPC when the blocks
 * would be in more runs than a request can make: no block was changed.
 */
int nvfs_mgroup_set_range(nvfs_mgroup_ptr_t nvfs_mgroup, u32 first, u32 nr,
			  enum nvfs_block_state state)
{
	struct nvfs_block_run run[NVFS_MGROUP_MAX_RUNS];
	u32 nr_runs = 0, pos = 0, i, part[3];
	u32 end = first + nr;

	if (!first && nr == nvfs_mgroup->nr_blocks)
		return nvfs_mgroup_check_and_set(nvfs_mgroup, state, true, true);
	if (state >= NVFS_BLOCK_STATE_NR || end < first ||
	    end > nvfs_mgroup->nr_blocks)
		return -EINVAL;

	for (i = 0; i < nvfs_mgroup->nr_runs; i++) {
		const struct nvfs_block_run *old = &nvfs_mgroup->run[i];

		run_split(pos, old->nr, first, end, part);
		if (part[1] && !block_may(old->state, state))
			return -EINVAL;
		if (!runs_add(run, &nr_runs, part[0], old->state) ||
		    !runs_add(run, &nr_runs, part[1], state) ||
		    !runs_add(run, &nr_runs, part[2], old->state))
			return -ENOSPC;
		pos += old->nr;
	}
	memcpy(nvfs_mgroup->run, run, sizeof(run));
	nvfs_mgroup->nr_runs = nr_runs;
	mgroup_recount(nvfs_mgroup);
	return 0;
}

/**
 * nvfs_handle_done_block_validation() - did the blocks end as the request says?
 * @nvfs_mgroup: the group of a request that has ended
 * @nr_done: blocks that the request says it has moved, from the front
 *
 * Context: any; the caller works on the request.
 * Return: 0 when exactly the first @nr_done blocks are DONE; -EIO otherwise, and
 * the request must not be reported as complete.
 */
int nvfs_handle_done_block_validation(nvfs_mgroup_ptr_t nvfs_mgroup,
				      u32 nr_done)
{
	const struct nvfs_block_run *run = nvfs_mgroup->run;
	u32 front = run[0].state == NVFS_IO_DONE ? run[0].nr : 0;
	u32 i;

	if (likely(front == nr_done && nvfs_mgroup->nr_runs == 1))
		return 0;
	for (i = 1; i < nvfs_mgroup->nr_runs; i++)
		if (run[i].state == NVFS_IO_DONE)
			return -EIO;
	return front == nr_done ? 0 : -EIO;
}

/* One step of the search for holes: where is the next hole, the next data? */
static loff_t sparse_seek(struct file *file, loff_t pos, loff_t end, int whence)
{
	loff_t ret = vfs_llseek(file, pos, whence);

	/* No more data: a hole up to the end of the file */
	if (ret == -ENXIO)
		return end;
	if (ret < 0)
		return ret;
	/* What a user's or another machine's file server says may be anything */
	return ret < pos ? -EIO : min(ret, end);
}

/**
 * nvfs_handle_sparse_read_region() - find the holes in a part of a file
 * @file: the file, open for NVFS alone: its position is moved
 * @pos: first byte
 * @len: bytes
 * @holes: where to write the holes to, in order, neighbours merged
 * @nr_holes: room at @holes, at least 1; out: holes found
 * @covered: out: bytes from @pos on in which all holes are listed: less than
 *	@len when there was no room for the next, or the file ends
 *
 * A range that holds data when the call begins, in the page cache or on the
 * drive, is not listed.
 *
 * Context: may sleep.
 * Return: 0, or what the file system said; -EIO when that is no answer.
 */
int nvfs_handle_sparse_read_region(struct file *file, u64 pos, u64 len,
				   struct nvfs_hole *holes, u32 *nr_holes,
				   u64 *covered)
{
	loff_t size = i_size_read(file_inode(file));
	loff_t at = pos, end = min_t(u64, pos + len, size);
	loff_t hole, data;
	u32 nr = 0;

	while (at < end) {
		hole = sparse_seek(file, at, end, SEEK_HOLE);
		if (hole < 0)
			return hole;
		at = hole;
		if (hole == end || nr == *nr_holes)
			break;
		data = sparse_seek(file, hole, end, SEEK_DATA);
		if (data < 0)
			return data;
		/* Filled meanwhile; somebody may do so again and again */
		if (data == hole) {
			if (fatal_signal_pending(current))
				return -EINTR;
			continue;
		}
		holes[nr++] = (struct nvfs_hole){
			.file_offset = hole, .length = data - hole,
		};
		at = data;
	}
	*nr_holes = nr;
	*covered = at > pos ? at - pos : 0;
	return 0;
}
