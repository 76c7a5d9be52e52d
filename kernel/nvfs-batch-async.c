// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous requests: their memory, and their way to a worker.
 */
#include <linux/cred.h>
#include <linux/slab.h>

#include "nvfs-batch.h"
#include "nvfs-io.h"
#include "nvfs-stat.h"

/* Memory for requests */
struct kmem_cache *nvfs_async_cache;

static void async_work(struct work_struct *work)
{
	struct nvfs_async *async = container_of(work, struct nvfs_async, work);
	/* The request, and with it the open file, lets go of them before we do */
	const struct cred *cred = get_cred(async->cred);
	struct mem_cgroup *memcg = nvfs_compat_memcg_get(async->batches->memcg);
	const struct cred *old = override_creds(cred);
	struct mem_cgroup *old_memcg = set_active_memcg(memcg);

	nvfs_io_run(&async->io);
	set_active_memcg(old_memcg);
	revert_creds(old);
	mem_cgroup_put(memcg);
	put_cred(cred);
}

/**
 * nvfs_async_punt() - have a worker run a request; an op of struct nvfs_io_ops
 * @io: part of a struct nvfs_async
 *
 * Context: any.
 */
void nvfs_async_punt(struct nvfs_io *io)
{
	struct nvfs_async *async = container_of(io, struct nvfs_async, io);

	nvfs_stat_inc(punts);
	/* It may be long until a worker comes, and what it shared may go */
	if (io->share && !async->own_cred) {
		get_cred(async->cred);
		async->own_cred = true;
	}
	nvfs_io_let_go(io);
	INIT_WORK(&async->work, async_work);
	nvfs_workers_queue(async->batches->workers, &async->work);
}

/*
 * A cache with a constructor is not zeroed at each allocation; every field that
 * is read is written first.
 */
static void async_construct(void *object)
{
	memset(object, 0, sizeof(struct nvfs_async));
}

/**
 * nvfs_batch_init() - what all batches share
 *
 * Return: 0 or -ENOMEM.
 */
int nvfs_batch_init(void)
{
	nvfs_async_cache = kmem_cache_create("nvfs_async",
					     sizeof(struct nvfs_async), 0,
					     SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT,
					     async_construct);
	return nvfs_async_cache ? 0 : -ENOMEM;
}

/**
 * nvfs_batch_exit() - undo nvfs_batch_init()
 *
 * Context: module unload; no request is left.
 */
void nvfs_batch_exit(void)
{
	nvfs_workers_exit();
	nvfs_uring_exit();
	kmem_cache_destroy(nvfs_async_cache);
}
