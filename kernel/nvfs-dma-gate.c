// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes that use the page cache and writes that do not keep out of each other's
 * way.
 *
 * A write that begins or ends inside a block goes through the page cache for that
 * block.  The cache works in folios, which are larger: it reads what lies around
 * the bytes and later writes all of it back.  If a direct write to a neighbouring
 * block is under way meanwhile, the cache holds what was there before, and
 * writing it back undoes the direct write.  So of one file, either direct writes
 * are in flight, any number, or parts of blocks are being written, any number.
 *
 * Direct writes are the rule: they pay for two atomic operations on a word of
 * their file's and wait only when there is a part.  A part that has come holds up
 * direct writes that come after it, so it waits for those in flight only; and a
 * part that comes while direct writes are held up lets these go first.
 *
 * A gate is found by a hash of the inode; two files that share one wait for each
 * other without need, no more: nobody waits at a gate who has passed one.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/wait.h>

#include "nvfs-dma.h"

#define GATE_BITS	8

/**
 * struct nvfs_gate - what keeps writes of a file apart
 * @direct: writes past the page cache that are in flight
 * @parts: writes of parts of blocks that wait for those, or are under way
 * @blocked: direct writes that are held up by @parts
 * @wait: for one of the three to become 0
 */
struct nvfs_gate {
	atomic_t direct;
	atomic_t parts;
	atomic_t blocked;
	wait_queue_head_t wait;
} ____cacheline_aligned;

static struct nvfs_gate gates[1 << GATE_BITS];

/**
 * nvfs_gate_init() - prepare the gates, which are open
 */
void nvfs_gate_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gates); i++)
		init_waitqueue_head(&gates[i].wait);
}

/**
 * nvfs_gate_of() - the gate of a file
 * @file: the file
 *
 * Return: the gate; the same for all open files of an inode.
 */
struct nvfs_gate *nvfs_gate_of(const struct file *file)
{
	return &gates[hash_ptr(file->f_mapping->host, GATE_BITS)];
}

/**
 * nvfs_gate_try_direct() - begin a direct write unless it has to wait
 * @gate: of the file
 *
 * Context: any.
 * Return: true when it may begin, and ends by nvfs_gate_leave_direct().
 */
bool nvfs_gate_try_direct(struct nvfs_gate *gate)
{
	/* Full barriers: this and nvfs_gate_enter_part() raise one count and look
	 * at the other, and at least one of them must see what the other did.
	 */
	atomic_inc_return(&gate->direct);
	if (likely(!atomic_read(&gate->parts)))
		return true;
	nvfs_gate_leave_direct(gate);
	return false;
}

static noinline int gate_wait_direct(struct nvfs_gate *gate)
{
	int ret;

	atomic_inc(&gate->blocked);
	do {
		ret = wait_event_killable(gate->wait,
					  !atomic_read(&gate->parts));
	} while (!ret && !nvfs_gate_try_direct(gate));
	if (atomic_dec_and_test(&gate->blocked))
		wake_up_all(&gate->wait);
	return ret ? -EINTR : 0;
}

/**
 * nvfs_gate_enter_direct() - begin a direct write
 * @gate: of the file
 *
 * Context: process context; waits for parts that are being written.
 * Return: 0, and the write ends by nvfs_gate_leave_direct(); or -EINTR.
 */
int nvfs_gate_enter_direct(struct nvfs_gate *gate)
{
	if (likely(nvfs_gate_try_direct(gate)))
		return 0;
	return gate_wait_direct(gate);
}

/**
 * nvfs_gate_leave_direct() - a direct write has ended
 * @gate: of the file
 *
 * Context: any.
 */
void nvfs_gate_leave_direct(struct nvfs_gate *gate)
{
	if (atomic_dec_and_test(&gate->direct) &&
	    unlikely(atomic_read(&gate->parts)))
		wake_up_all(&gate->wait);
}

/**
 * nvfs_gate_enter_part() - begin to write a part of a block
 * @gate: of the file
 *
 * Context: process context; waits for direct writes in flight, and for those that
 * other parts have held up.
 * Return: 0, and the write ends by nvfs_gate_leave_part(); or -EINTR.
 */
int nvfs_gate_enter_part(struct nvfs_gate *gate)
{
	if (wait_event_killable(gate->wait, !atomic_read(&gate->blocked)))
		return -EINTR;
	atomic_inc_return(&gate->parts);
	if (!wait_event_killable(gate->wait, !atomic_read(&gate->direct)))
		return 0;
	nvfs_gate_leave_part(gate);
	return -EINTR;
}

/**
 * nvfs_gate_leave_part() - a part of a block is written, and is on the drive
 * @gate: of the file
 *
 * Context: process context.
 */
void nvfs_gate_leave_part(struct nvfs_gate *gate)
{
	if (atomic_dec_and_test(&gate->parts))
		wake_up_all(&gate->wait);
}
