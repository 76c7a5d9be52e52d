// SPDX-License-Identifier: MIT
/* The handle: the device, the GPU driver, and what hangs on them. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi.h"
#include "account.h"
#include "async.h"
#include "gpu.h"
#include "host.h"

/*
 * Counts how often this process came from a fork(2).  A child shares the open
 * file of the device, whose regions name its parent's memory, and no GPU
 * driver survives a fork: both are refused rather than left to chance.
 */
static atomic_uint fork_gen;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
	atomic_fetch_add(&fork_gen, 1);
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

int ctx_check(const struct nvfs *nvfs)
{
	return atomic_load(&fork_gen) == nvfs->fork_gen ? 0 : -ECHILD;
}

/* Is it our device, and does it speak our language? */
static int check_module(int fd)
{
	struct nvfs_info info = { .size = sizeof(info) };
	int ret = abi_info(fd, &info);

	if (ret == -ENOTTY)
		return -EPROTO;
	if (ret)
		return ret;
	return info.version_major == NVFS_VERSION_MAJOR ? 0 : -EPROTO;
}

static int open_module(int *fd)
{
	int ret = abi_open();

	if (ret < 0)
		return ret;
	*fd = ret;
	ret = check_module(*fd);
	if (ret) {
		close(*fd);
		*fd = -1;
	}
	return ret;
}

static struct nvfs *allocate(void)
{
	struct nvfs *nvfs = calloc(1, sizeof(*nvfs));

	if (!nvfs)
		return NULL;
	nvfs->account = account_new();
	if (!nvfs->account) {
		free(nvfs);
		return NULL;
	}
	nvfs->fd = -1;
	nvfs->fork_gen = atomic_load(&fork_gen);
	pthread_mutex_init(&nvfs->lock, NULL);
	return nvfs;
}

static void release(struct nvfs *nvfs)
{
	pthread_mutex_destroy(&nvfs->lock);
	free(nvfs->account);
	free(nvfs);
}

NVFS_EXPORT int nvfs_open(unsigned int flags, struct nvfs **nvfs)
{
	struct nvfs *new;

	if (!nvfs || (flags & ~NVFS_OPEN_NO_MODULE))
		return -EINVAL;
	pthread_once(&fork_once, watch_forks);
	new = allocate();
	if (!new)
		return -ENOMEM;
	new->module_error = open_module(&new->fd);
	if (new->module_error && !(flags & NVFS_OPEN_NO_MODULE)) {
		int ret = new->module_error;

		release(new);
		return ret;
	}
	*nvfs = new;
	return 0;
}

NVFS_EXPORT int nvfs_close(struct nvfs *nvfs)
{
	bool busy;

	if (!nvfs)
		return 0;
	/* In a child another thread of the parent may have held the lock. */
	if (ctx_check(nvfs))
		return -ECHILD;
	pthread_mutex_lock(&nvfs->lock);
	busy = nvfs->nr_children > 0;
	pthread_mutex_unlock(&nvfs->lock);
	if (busy)
		return -EBUSY;
	stream_words_end(nvfs);
	if (nvfs->uses_engine)
		engine_put();
	if (nvfs->uses_host)
		host_put();
	if (nvfs->gpu)
		gpu_put();
	if (nvfs->fd >= 0)
		close(nvfs->fd);
	release(nvfs);
	return 0;
}

NVFS_EXPORT int nvfs_module_error(struct nvfs *nvfs)
{
	return nvfs->module_error;
}

int ctx_gpu(struct nvfs *nvfs, const struct gpu_driver **driver)
{
	int ret = ctx_check(nvfs);

	if (ret)
		return ret;
	pthread_mutex_lock(&nvfs->lock);
	if (!nvfs->gpu)
		ret = gpu_get(&nvfs->gpu);
	*driver = nvfs->gpu;
	pthread_mutex_unlock(&nvfs->lock);
	return ret;
}

void ctx_count_child(struct nvfs *nvfs, int change)
{
	pthread_mutex_lock(&nvfs->lock);
	nvfs->nr_children += (unsigned int)change;
	pthread_mutex_unlock(&nvfs->lock);
}

int ctx_engine(struct nvfs *nvfs)
{
	int ret = ctx_check(nvfs);

	if (ret)
		return ret;
	pthread_mutex_lock(&nvfs->lock);
	if (!nvfs->uses_engine) {
		ret = engine_get();
		nvfs->uses_engine = !ret;
	}
	pthread_mutex_unlock(&nvfs->lock);
	return ret;
}

static int check_usable(const struct nvfs *nvfs)
{
	int ret = ctx_check(nvfs);

	return ret ? ret : nvfs->module_error;
}

NVFS_EXPORT int nvfs_get_info(struct nvfs *nvfs, struct nvfs_info *info)
{
	int ret = check_usable(nvfs);

	return ret ? ret : abi_info(nvfs->fd, info);
}

NVFS_EXPORT int nvfs_query_gpu(struct nvfs *nvfs, uint32_t bdf, int fd,
			       struct nvfs_query *query)
{
	int ret = check_usable(nvfs);

	if (ret)
		return ret;
	query->flags = NVFS_QUERY_GPU;
	query->region = 0;
	query->fd = fd;
	query->gpu = bdf;
	return abi_query(nvfs->fd, query);
}

NVFS_EXPORT int nvfs_gpu_count(struct nvfs *nvfs)
{
	const struct gpu_driver *driver;
	int ret = ctx_gpu(nvfs, &driver);

	return ret ? ret : driver->count();
}

int ctx_gpu_at(struct nvfs *nvfs, unsigned int index,
	       const struct gpu_driver **driver)
{
	int ret = ctx_gpu(nvfs, driver);

	if (ret)
		return ret;
	ret = (*driver)->count();
	if (ret < 0)
		return ret;
	return index < (unsigned int)ret ? 0 : -ENODEV;
}

NVFS_EXPORT int nvfs_gpu_get(struct nvfs *nvfs, unsigned int index,
			     struct nvfs_gpu *gpu)
{
	const struct gpu_driver *driver;
	int ret = ctx_gpu_at(nvfs, index, &driver);

	if (ret)
		return ret;
	memset(gpu, 0, sizeof(*gpu));
	gpu->index = index;
	return driver->describe(index, gpu);
}
