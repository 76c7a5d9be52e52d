// SPDX-License-Identifier: GPL-2.0-only
/*
 * The same requests as io_uring commands on the device.
 *
 * The command's end is told from the task that submitted it, as io_uring wants
 * it: by task work, or at once when the request is done before the submission
 * is.
 */
#include <linux/cred.h>
#include <linux/percpu.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "nvfs-batch.h"
#include "nvfs-io-inline.h"
#include "nvfs-mmap.h"
#include "nvfs-stat.h"

/* The result is 32 bits wide; stay on a block */
#define URING_MAX_LENGTH	(0x80000000UL - NVFS_BLOCK_SIZE)

/* Free requests that each CPU keeps, so that few go to the allocator and back */
#define ASYNC_STOCK	16

struct async_stock {
	unsigned int nr;
	struct nvfs_async *async[ASYNC_STOCK];
};

static DEFINE_PER_CPU(struct async_stock, async_stock);

/* Memory for a request, with its submitter's credentials, or NULL */
static struct nvfs_async *async_alloc(void)
{
	struct nvfs_async *async = NULL;
	struct async_stock *stock;
	unsigned long flags;

	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	if (likely(stock->nr))
		async = stock->async[--stock->nr];
	local_irq_restore(flags);
	if (unlikely(!async))
		async = kmem_cache_alloc(nvfs_async_cache, GFP_KERNEL);
	if (async)
		async->cred = get_current_cred();
	return async;
}

/* Any context */
static void async_free(struct nvfs_async *async)
{
	struct async_stock *stock;
	unsigned long flags;

	put_cred(async->cred);
	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	if (likely(stock->nr < ASYNC_STOCK)) {
		stock->async[stock->nr++] = async;
		async = NULL;
	}
	local_irq_restore(flags);
	if (unlikely(async))
		kmem_cache_free(nvfs_async_cache, async);
}

/**
 * nvfs_uring_exit() - free what the CPUs keep
 *
 * Context: module unload; no request is left.
 */
void nvfs_uring_exit(void)
{
	struct async_stock *stock;
	int cpu;

	for_each_possible_cpu(cpu) {
		stock = per_cpu_ptr(&async_stock, cpu);
		while (stock->nr)
			kmem_cache_free(nvfs_async_cache,
					stock->async[--stock->nr]);
	}
}

/* What fits into a command's own memory */
struct uring_pdu {
	struct nvfs_async *async;
};

static struct uring_pdu *uring_pdu(struct io_uring_cmd *cmd)
{
	BUILD_BUG_ON(sizeof(struct uring_pdu) > sizeof(cmd->pdu));

	return (struct uring_pdu *)&cmd->pdu;
}

/* Tell io_uring and forget the request */
static void uring_end(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct nvfs_async *async = uring_pdu(cmd)->async;
	const struct nvfs_io *io = &async->io;
	ssize_t ret = io->error ?: (ssize_t)io->done;
	u64 extra = nvfs_io_route(io) | (u64)io->reason << 8;

	atomic_dec(&async->batches->depth);
	async_free(async);
	io_uring_cmd_done(cmd, ret, extra, issue_flags);
}

/* A request has ended.  Any context. */
static void uring_complete(struct nvfs_io *io)
{
	struct nvfs_async *async = container_of(io, struct nvfs_async, io);

	nvfs_io_delivered(io);
	nvfs_io_release(io);
	if (io->by_submitter)
		uring_end(async->cmd, async->issue_flags);
	else
		io_uring_cmd_complete_in_task(async->cmd, uring_end);
}

/* Is a process ending as a whole?  A thread of it may have ended before. */
static bool process_is_ending(const struct task_struct *task)
{
	/* The task keeps it */
	const struct signal_struct *signal = task->signal;

	return READ_ONCE(signal->flags) & SIGNAL_GROUP_EXIT ||
	       !atomic_read(&signal->live);
}

/* Does io_uring want all of a task's requests to end?  It waits for all of them
 * before execve(), and at the end of a ring's own thread; at the end of any other
 * thread it waits for some of its own, and ours go on.
 */
static bool task_is_leaving(const struct task_struct *task)
{
	return nvfs_compat_uring_waits(task) &&
	       (task->in_execve || task->flags & PF_IO_WORKER);
}

/*
 * Nothing tells us of that in time: a command keeps the device open, and
 * IO_URING_F_CANCEL (6.7) is for commands that end inside the call.  Until one
 * ends the kernel calls again and again, without a rest and with the ring's lock
 * held, and a step may take as long as its file likes.  So whoever runs a request
 * looks.  The command keeps its task and its ring.
 */
static bool uring_is_orphan(struct nvfs_io *io)
{
	struct io_uring_cmd *cmd = container_of(io, struct nvfs_async, io)->cmd;
	const struct task_struct *task = nvfs_compat_uring_task(cmd);

	return nvfs_compat_uring_is_closed(cmd) || process_is_ending(task) ||
	       task_is_leaving(task);
}

static const struct nvfs_io_ops uring_ops = {
	.complete = uring_complete,
	.punt = nvfs_async_punt,
	.is_orphan = uring_is_orphan,
};

static int uring_prepare(struct nvfs_async *async, struct nvfs_batches *batches,
			 struct io_uring_cmd *cmd)
{
	struct nvfs_request req;
	int ret;

	/* Once: the user may change the entry while we look */
	memcpy(&req, nvfs_compat_uring_payload(cmd), sizeof(req));
	ret = nvfs_async_check(&req);
	if (ret)
		return ret;
	if (req.length > URING_MAX_LENGTH)
		return -EINVAL;
	async->batches = batches;
	async->cmd = cmd;
	uring_pdu(cmd)->async = async;
	return nvfs_io_prepare(&async->io, batches->regions, &req, &uring_ops);
}

/**
 * nvfs_batch_uring_cmd() - a request by io_uring
 * @batches: of the open file
 * @cmd: the command
 * @issue_flags: of io_uring
 *
 * Context: process context; does not wait for other requests.
 * Return: -EIOCBQUEUED when the command's end will be told; or an errno that the
 * uapi header documents.
 */
int nvfs_batch_uring_cmd(struct nvfs_batches *batches, struct io_uring_cmd *cmd,
			 unsigned int issue_flags)
{
	struct nvfs_async *async;
	int ret;

	if (cmd->cmd_op != NVFS_URING_CMD_REQUEST)
		return -ENOTTY;
	if (!(issue_flags & IO_URING_F_SQE128))
		return -EINVAL;
	if (!nvfs_batch_reserve(batches, 1))
		return -EBUSY;
	ret = -ENOMEM;
	async = async_alloc();
	if (!async)
		goto err_unreserve;
	ret = uring_prepare(async, batches, cmd);
	if (ret)
		goto err_free_async;
	async->issue_flags = issue_flags;
	nvfs_stat_inc(uring_requests);
	nvfs_io_start(&async->io);
	return -EIOCBQUEUED;

err_free_async:
	async_free(async);
err_unreserve:
	atomic_dec(&batches->depth);
	return ret;
}
