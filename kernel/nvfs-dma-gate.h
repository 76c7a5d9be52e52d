/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_DMA_GATE_H
#define _NVFS_DMA_GATE_H

#include <linux/rbtree.h>
#include <linux/types.h>

struct file;
struct inode;
struct nvfs_gate;
struct nvfs_region;
struct task_struct;

/**
 * enum nvfs_pass_kind - what a write is to the gate of its file
 * @NVFS_PASS_COUNTED: direct, in flight, and no more than a count
 * @NVFS_PASS_DIRECT: direct, in flight
 * @NVFS_PASS_HELD: direct; waits for parts
 * @NVFS_PASS_PART: a part of a block; waits for direct writes, or is under way
 * @NVFS_PASS_LATER: a part that lets held ones go first
 */
enum nvfs_pass_kind {
	NVFS_PASS_COUNTED,
	NVFS_PASS_DIRECT,
	NVFS_PASS_HELD,
	NVFS_PASS_PART,
	NVFS_PASS_LATER,
};

/**
 * struct nvfs_pass - one write at the gate of its file
 * @gate: where its file's passes are
 * @kind: what it is; nothing below is in use when it is NVFS_PASS_COUNTED
 * @inode: whose file
 * @waiter: the task that waits, NULL when nobody does
 * @node: in the gate's tree
 *
 * The memory is that of the request, so that no gate ever lacks any.
 */
struct nvfs_pass {
	struct nvfs_gate *gate;
	enum nvfs_pass_kind kind;
	const struct inode *inode;
	struct task_struct *waiter;
	struct rb_node node;
};

void nvfs_gate_init(void);
bool nvfs_gate_try_direct(struct nvfs_pass *pass, const struct file *file);
int nvfs_gate_enter_direct(struct nvfs_pass *pass, const struct file *file,
			   struct nvfs_region *region);
void nvfs_gate_leave_direct(struct nvfs_pass *pass);
int nvfs_gate_enter_part(struct nvfs_pass *pass, const struct file *file,
			 struct nvfs_region *region);
void nvfs_gate_leave_part(struct nvfs_pass *pass);

#endif /* _NVFS_DMA_GATE_H */
