/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A part of compat.h: what a device may know of an io_uring command.
 */
#ifndef _NVFS_COMPAT_URING_H
#define _NVFS_COMPAT_URING_H

#ifdef NVFS_COMPAT_URING_CMD_HEADER
#include <linux/io_uring/cmd.h>

static inline const void *nvfs_compat_uring_payload(struct io_uring_cmd *cmd)
{
	return io_uring_sqe_cmd(cmd->sqe);
}

#define nvfs_compat_uring_task(cmd)	io_uring_cmd_get_task(cmd)
#else
#include <linux/io_uring.h>
#include <linux/io_uring_types.h>

static inline const void *nvfs_compat_uring_payload(struct io_uring_cmd *cmd)
{
	return cmd->cmd;
}

#define nvfs_compat_uring_task(cmd)	(cmd_to_io_kiocb(cmd)->task)
#endif

/* Is the ring of a command closed?  The command keeps the ring's memory. */
static inline bool nvfs_compat_uring_is_closed(struct io_uring_cmd *cmd)
{
	return percpu_ref_is_dying(&cmd_to_io_kiocb(cmd)->ctx->refs);
}

/* Is io_uring waiting for all requests of a task that has submitted some? */
static inline bool nvfs_compat_uring_waits(const struct task_struct *task)
{
#ifdef NVFS_COMPAT_URING_IN_IDLE
	return atomic_read(&task->io_uring->in_idle);
#else
	return atomic_read(&task->io_uring->in_cancel);
#endif
}

#endif /* _NVFS_COMPAT_URING_H */
