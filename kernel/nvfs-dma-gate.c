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
 * Files that share a gate by their hash have nothing to do with each other, as
 * one may not answer for ever and another be another user's: nobody waits for a
 * write to another inode.  So a gate knows whom each write is for, without memory
 * of its own, in one of two ways:
 * - One inode at a time is at home, and its direct writes are a count.
 * - Everything else is in a tree, by inode: direct writes to other inodes, parts,
 *   and whoever waits.  An inode moves in with a direct write, when the count is 0.
 *
 * Only a part makes a direct write of the inode at home take the lock.  Why each of
 * the two sees the other, P being a part and D a direct write to the same inode X:
 *
 *	D: count++; full barrier; is @parts 0, and X at home?  If so, D is in.
 *	P, with the lock: @parts++; full barrier; is X at home, and the count not 0,
 *	or is a direct write to X in the tree?  If so, P waits.
 *	A move, with the lock: nobody is at home; full barrier; is the count 0?
 *	If so, the new inode is at home, or else the old one is again.
 *
 * 1. While D is in, X is at home.  A move that takes X away has said that nobody
 *    is at home and then seen a count of 0, so not D's; then D, whose count came
 *    later, sees nobody at home, or what came after that.
 * 2. D looked at @parts before P raised it: then P sees D's count, and by 1 it sees
 *    X at home, unless X moved in after P looked.  Who moves in is a direct write
 *    that has found no part of X in the tree, with the lock: P had left.
 * 3. D saw @parts raised, or X not at home: it takes back its count and looks into
 *    the tree with the lock, as P does.
 *
 * A count that is taken back may for a moment be in the way of a part.  Who brings
 * the count to 0 and then sees @parts raised wakes the parts of the inode at home;
 * who moves in, those of the inode that was.  If @parts was still 0, its part has
 * yet to look at the count, by the barriers above.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "nvfs-dma-gate.h"
#include "nvfs-mmap.h"

#define GATE_BITS	10

/**
 * struct nvfs_gate - what keeps writes of a file apart, for a few files
 * @home: whose direct writes are counted; not dereferenced, may be gone
 * @count: direct writes to @home, and some that are about to look again
 * @parts: passes of kind NVFS_PASS_PART in @passes; read without the lock
 * @lock: guards @passes and what is in it, and writes to @home and @parts
 * @passes: by inode and kind
 *
 * Lock order: @lock is a leaf, but for those of the scheduler.
 */
struct nvfs_gate {
	const struct inode *home;
	atomic_t count;
	unsigned int parts;
	spinlock_t lock; /* see above */
	struct rb_root passes;
} ____cacheline_aligned;

static struct nvfs_gate gates[1 << GATE_BITS];

/**
 * nvfs_gate_init() - prepare the gates, which are open
 *
 * They need no end: when no request is left nothing is in them.
 */
void nvfs_gate_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(gates); i++) {
		spin_lock_init(&gates[i].lock);
		gates[i].passes = RB_ROOT;
	}
}

/* What passes are looked for by */
struct pass_key {
	const struct inode *inode;
	enum nvfs_pass_kind kind;
};

static int key_cmp(const void *key, const struct rb_node *node)
{
	const struct nvfs_pass *pass = rb_entry(node, struct nvfs_pass, node);
	const struct pass_key *want = key;

	if (want->inode != pass->inode)
		return want->inode < pass->inode ? -1 : 1;
	return (int)want->kind - (int)pass->kind;
}

static bool pass_less(struct rb_node *node, const struct rb_node *other)
{
	const struct nvfs_pass *pass = rb_entry(node, struct nvfs_pass, node);
	const struct pass_key key = { pass->inode, pass->kind };

	return key_cmp(&key, other) < 0;
}

/* From here to where it is said otherwise: under the gate's lock */

static bool has(const struct nvfs_gate *gate, const struct inode *inode,
		enum nvfs_pass_kind kind)
{
	const struct pass_key key = { inode, kind };

	return rb_find(&key, &gate->passes, key_cmp);
}

/* Have all of a kind look again.  No task ends while its pass is in the tree. */
static void wake(struct nvfs_gate *gate, const struct inode *inode,
		 enum nvfs_pass_kind kind)
{
	const struct pass_key key = { inode, kind };
	struct rb_node *node;

	rb_for_each(node, &key, &gate->passes, key_cmp) {
		struct nvfs_pass *pass = rb_entry(node, struct nvfs_pass, node);

		if (pass->waiter)
			wake_up_process(pass->waiter);
	}
}

/* Are direct writes to an inode in flight? */
static bool has_direct(const struct nvfs_gate *gate, const struct inode *inode)
{
	/* Pairs with the full barrier of who takes back the last count */
	if (gate->home == inode && atomic_read_acquire(&gate->count))
		return true;
	return has(gate, inode, NVFS_PASS_DIRECT);
}

static void pass_insert(struct nvfs_pass *pass, enum nvfs_pass_kind kind)
{
	struct nvfs_gate *gate = pass->gate;

	pass->kind = kind;
	rb_add(&pass->node, &gate->passes, pass_less);
	if (kind != NVFS_PASS_PART)
		return;
	WRITE_ONCE(gate->parts, gate->parts + 1);
	/* The part's, as told at the top of this file */
	smp_mb();
}

/* A pass ends, or becomes another; whoever waited for the last one goes on */
static void pass_remove(struct nvfs_pass *pass)
{
	const struct inode *inode = pass->inode;
	struct nvfs_gate *gate = pass->gate;

	rb_erase(&pass->node, &gate->passes);
	if (pass->kind == NVFS_PASS_DIRECT) {
		if (!has_direct(gate, inode))
			wake(gate, inode, NVFS_PASS_PART);
	} else if (pass->kind == NVFS_PASS_HELD) {
		if (!has(gate, inode, NVFS_PASS_HELD))
			wake(gate, inode, NVFS_PASS_LATER);
	} else if (pass->kind == NVFS_PASS_PART) {
		/* Pairs with the acquire in try_direct() */
		smp_store_release(&gate->parts, gate->parts - 1);
		if (!has(gate, inode, NVFS_PASS_PART))
			wake(gate, inode, NVFS_PASS_HELD);
	}
}

/* Is an inode at home, or can it move in? */
static bool move_in(struct nvfs_gate *gate, const struct inode *inode)
{
	const struct inode *home = gate->home;

	if (home == inode)
		return true;
	WRITE_ONCE(gate->home, NULL);
	/* The move's, as told at the top of this file */
	smp_mb();
	if (atomic_read_acquire(&gate->count)) {
		WRITE_ONCE(gate->home, home);
		return false;
	}
	WRITE_ONCE(gate->home, inode);
	wake(gate, home, NVFS_PASS_PART);
	return true;
}

/* Begin a direct write to an inode of which no part is being written */
static void direct_begin(struct nvfs_pass *pass)
{
	struct nvfs_gate *gate = pass->gate;

	if (!move_in(gate, pass->inode)) {
		pass_insert(pass, NVFS_PASS_DIRECT);
		return;
	}
	pass->kind = NVFS_PASS_COUNTED;
	atomic_inc(&gate->count);
}

/* Move a pass that waits on; true when it waits no more */
static bool pass_go_on(struct nvfs_pass *pass)
{
	struct nvfs_gate *gate = pass->gate;

	switch (pass->kind) {
	case NVFS_PASS_HELD:
		if (has(gate, pass->inode, NVFS_PASS_PART))
			return false;
		pass_remove(pass);
		direct_begin(pass);
		return true;
	case NVFS_PASS_LATER:
		if (has(gate, pass->inode, NVFS_PASS_HELD))
			return false;
		pass_remove(pass);
		pass_insert(pass, NVFS_PASS_PART);
		fallthrough;
	default:
		return !has_direct(gate, pass->inode);
	}
}

/* Without the gate's lock from here on */

/* A look at a pass that waits: 0 when it waits no more, -EAGAIN when it does */
static int pass_look(struct nvfs_pass *pass, const struct nvfs_region *region)
{
	unsigned long flags;
	int ret = 0;

	spin_lock_irqsave(&pass->gate->lock, flags);
	if (fatal_signal_pending(current))
		ret = -EINTR;
	else if (!nvfs_region_is_live(region))
		ret = -ESTALE;
	else if (!pass_go_on(pass))
		ret = -EAGAIN;
	if (ret != -EAGAIN)
		pass->waiter = NULL;
	if (ret && ret != -EAGAIN)
		pass_remove(pass);
	spin_unlock_irqrestore(&pass->gate->lock, flags);
	return ret;
}

/* Wait, as a pass of some kind, until it may go on */
static int pass_wait(struct nvfs_pass *pass, enum nvfs_pass_kind kind,
		     struct nvfs_region *region)
{
	DECLARE_WAITQUEUE(dying, current);
	int ret;

	pass->waiter = current;
	spin_lock_irq(&pass->gate->lock);
	pass_insert(pass, kind);
	spin_unlock_irq(&pass->gate->lock);

	add_wait_queue(&region->dying, &dying);
	for (;;) {
		set_current_state(TASK_KILLABLE);
		ret = pass_look(pass, region);
		if (ret != -EAGAIN)
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	remove_wait_queue(&region->dying, &dying);
	return ret;
}

static noinline void wake_home(struct nvfs_gate *gate)
{
	unsigned long flags;

	spin_lock_irqsave(&gate->lock, flags);
	wake(gate, gate->home, NVFS_PASS_PART);
	spin_unlock_irqrestore(&gate->lock, flags);
}

static __always_inline void count_back(struct nvfs_gate *gate)
{
	if (atomic_dec_and_test(&gate->count) &&
	    unlikely(READ_ONCE(gate->parts)))
		wake_home(gate);
}

/* The gate has another one at home, or there are parts */
static noinline bool try_in_tree(struct nvfs_pass *pass,
				 const struct inode *inode)
{
	struct nvfs_gate *gate = pass->gate;
	unsigned long flags;
	bool in;

	pass->inode = inode;
	pass->waiter = NULL;
	spin_lock_irqsave(&gate->lock, flags);
	in = !has(gate, inode, NVFS_PASS_PART);
	if (in)
		direct_begin(pass);
	spin_unlock_irqrestore(&gate->lock, flags);
	return in;
}

static __always_inline bool try_direct(struct nvfs_pass *pass,
				       const struct file *file)
{
	const struct inode *inode = file->f_mapping->host;
	struct nvfs_gate *gate = &gates[hash_ptr(inode, GATE_BITS)];

	pass->gate = gate;
	if (unlikely(READ_ONCE(gate->home) != inode))
		return try_in_tree(pass, inode);
	/* With the full barrier of a direct write, told at the top of this file */
	atomic_inc_return(&gate->count);
	/* Pairs with the release in pass_remove() */
	if (likely(!smp_load_acquire(&gate->parts) &&
		   READ_ONCE(gate->home) == inode)) {
		pass->kind = NVFS_PASS_COUNTED;
		return true;
	}
	count_back(gate);
	return try_in_tree(pass, inode);
}

/**
 * nvfs_gate_try_direct() - begin a direct write unless it has to wait
 * @pass: memory of the request; in use until nvfs_gate_leave_direct()
 * @file: what is written to; held by the request
 *
 * Context: any.
 * Return: true when it may begin, and ends by nvfs_gate_leave_direct().
 */
bool nvfs_gate_try_direct(struct nvfs_pass *pass, const struct file *file)
{
	return try_direct(pass, file);
}

/**
 * nvfs_gate_enter_direct() - begin a direct write
 * @pass: memory of the request; in use until nvfs_gate_leave_direct()
 * @file: what is written to; held by the request
 * @region: what is written; held by the request
 *
 * Context: process context; waits for parts of the file that are being written.
 * Return: 0, and the write ends by nvfs_gate_leave_direct(); -EINTR after a fatal
 * signal; -ESTALE when the region ends.
 */
int nvfs_gate_enter_direct(struct nvfs_pass *pass, const struct file *file,
			   struct nvfs_region *region)
{
	if (likely(try_direct(pass, file)))
		return 0;
	return pass_wait(pass, NVFS_PASS_HELD, region);
}

static noinline void pass_leave(struct nvfs_pass *pass)
{
	unsigned long flags;

	spin_lock_irqsave(&pass->gate->lock, flags);
	pass_remove(pass);
	spin_unlock_irqrestore(&pass->gate->lock, flags);
}

/**
 * nvfs_gate_leave_direct() - a direct write has ended
 * @pass: what it began with; not used any more when this returns
 *
 * Context: any.
 */
void nvfs_gate_leave_direct(struct nvfs_pass *pass)
{
	if (likely(pass->kind == NVFS_PASS_COUNTED))
		count_back(pass->gate);
	else
		pass_leave(pass);
}

/**
 * nvfs_gate_enter_part() - begin to write a part of a block
 * @pass: memory of the request; in use until nvfs_gate_leave_part()
 * @file: what is written to; held by the request
 * @region: what is written; held by the request
 *
 * Context: process context; waits for direct writes to the file that are in
 * flight, and for those that other parts have held up.
 * Return: 0, and the write ends by nvfs_gate_leave_part(); -EINTR after a fatal
 * signal; -ESTALE when the region ends.
 */
int nvfs_gate_enter_part(struct nvfs_pass *pass, const struct file *file,
			 struct nvfs_region *region)
{
	pass->inode = file->f_mapping->host;
	pass->gate = &gates[hash_ptr(pass->inode, GATE_BITS)];
	return pass_wait(pass, NVFS_PASS_LATER, region);
}

/**
 * nvfs_gate_leave_part() - a part of a block is written, and is on the drive
 * @pass: what it began with; not used any more when this returns
 *
 * Context: process context.
 */
void nvfs_gate_leave_part(struct nvfs_pass *pass)
{
	pass_leave(pass);
}
