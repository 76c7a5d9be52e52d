/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_BATCH_H
#define _NVFS_BATCH_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <uapi/nvfs.h>

#include "nvfs-io.h"

struct cred;
struct kmem_cache;
struct mem_cgroup;
struct io_uring_cmd;
struct nvfs_batch;
struct nvfs_regions;
struct nvfs_workers;

/**
 * struct nvfs_batches - the asynchronous requests of one open file
 * @index: id -> batch
 * @regions: the open file's regions
 * @workers: of who opened the file
 * @memcg: the control group that what the workers allocate is charged to: in
 *	which the file was opened; NULL for none
 * @depth: sum of the batches' depths and of io_uring commands in flight
 */
struct nvfs_batches {
	struct xarray index;
	struct nvfs_regions *regions;
	struct nvfs_workers *workers;
	struct mem_cgroup *memcg;
	atomic_t depth;
};

/**
 * struct nvfs_async - an asynchronous request
 * @io: the request
 * @work: runs it when it has to wait
 * @cred: of the submitter; @work runs with them
 * @own_cred: @cred is held by this request, and not by those it shares with
 * @next: submitted behind this one by the same call, ended behind it, or unused
 * @next_all: the next of all requests of @batch
 * @batch: whose request it is
 * @batches: of the open file
 * @cmd: the io_uring command it is
 * @issue_flags: of io_uring, for as long as the command is being submitted
 * @user_data: comes back with the event
 */
struct nvfs_async {
	struct nvfs_io io;
	struct work_struct work;
	const struct cred *cred;
	bool own_cred;
	struct nvfs_async *next;
	struct nvfs_async *next_all;
	struct nvfs_batch *batch;
	struct nvfs_batches *batches;
	struct io_uring_cmd *cmd;
	unsigned int issue_flags;
	u64 user_data;
};

int nvfs_batch_init(void);
void nvfs_batch_exit(void);
int nvfs_batches_init(struct nvfs_batches *batches,
		      struct nvfs_regions *regions);
void nvfs_batches_end(struct nvfs_batches *batches);

int nvfs_batch_create(struct nvfs_batches *batches,
		      struct nvfs_batch_create *args);
int nvfs_batch_submit(struct nvfs_batches *batches,
		      struct nvfs_batch_submit *args);
int nvfs_batch_reap(struct nvfs_batches *batches, struct nvfs_batch_reap *args);
int nvfs_batch_cancel(struct nvfs_batches *batches,
		      struct nvfs_batch_cancel *args);
int nvfs_batch_destroy(struct nvfs_batches *batches,
		       struct nvfs_batch_destroy *args);
int nvfs_batch_uring_cmd(struct nvfs_batches *batches, struct io_uring_cmd *cmd,
			 unsigned int issue_flags);

/* Between the files of nvfs-batch */
bool nvfs_batch_reserve(struct nvfs_batches *batches, unsigned int nr);
extern struct kmem_cache *nvfs_async_cache;
void nvfs_uring_exit(void);
void nvfs_async_punt(struct nvfs_io *io);
struct nvfs_workers *nvfs_workers_get(void);
void nvfs_workers_put(struct nvfs_workers *workers);
void nvfs_workers_queue(struct nvfs_workers *workers, struct work_struct *work);
void nvfs_workers_exit(void);

/**
 * nvfs_async_check() - does a request ask for something that exists?
 * @req: the request
 *
 * Return: 0 or -EINVAL.
 */
static inline int nvfs_async_check(const struct nvfs_request *req)
{
	if (req->op != NVFS_OP_READ && req->op != NVFS_OP_WRITE)
		return -EINVAL;
	return req->flags & ~NVFS_RW_BOUNCE ? -EINVAL : 0;
}

#endif /* _NVFS_BATCH_H */
