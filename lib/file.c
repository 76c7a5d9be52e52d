// SPDX-License-Identifier: MIT
/* Files and memory that requests name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "async.h"
#include "gpu.h"

/* Registered by a caller.  The engine knows it by @addr. */
struct nvfs_mem {
	struct nvfs *nvfs;
	uint64_t addr;
	int error;
};

/* Requests name offsets, and end in any order. */
static int check_file(const struct engine_file *file)
{
	if (file->flags & O_PATH)
		return -EBADF;
	if (!file->seekable)
		return -ESPIPE;
	if ((file->flags & O_APPEND) && (file->flags & O_ACCMODE) != O_RDONLY)
		return -EINVAL;
	return 0;
}

/* On success @file has a duplicate of @fd. */
static int open_file(struct engine_file *file, int fd, unsigned int flags)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), ret;

	if (copy < 0)
		return -errno;
	ret = engine_file_init(file, copy);
	if (!ret)
		ret = check_file(file);
	if (!ret && (flags & NVFS_FILE_O_DIRECT))
		ret = engine_file_force_direct(file);
	if (ret)
		close(copy);
	return ret;
}

NVFS_EXPORT int nvfs_file_open(struct nvfs *nvfs, int fd, unsigned int flags,
			       struct nvfs_file **file)
{
	struct nvfs_file *new;
	int ret;

	if (!nvfs || !file || (flags & ~NVFS_FILE_O_DIRECT))
		return -EINVAL;
	ret = ctx_engine(nvfs);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	ret = open_file(&new->engine, fd, flags);
	if (ret) {
		free(new);
		return ret;
	}
	new->nvfs = nvfs;
	ctx_count_child(nvfs, 1);
	*file = new;
	return 0;
}

static bool is_busy(struct nvfs_file *file)
{
	return atomic_load_explicit(&file->users, memory_order_acquire);
}

NVFS_EXPORT int nvfs_file_close(struct nvfs_file *file)
{
	int ret;

	if (!file)
		return 0;
	ret = ctx_check(file->nvfs);
	if (ret)
		return ret;
	/* Those in streams of a GPU that failed nothing else ends. */
	if (is_busy(file))
		engine_look_after();
	if (is_busy(file))
		return -EBUSY;
	engine_file_fini(&file->engine);
	close(file->engine.fd);
	ctx_count_child(file->nvfs, -1);
	free(file);
	return 0;
}

/*
 * Managed memory moves from one GPU to another.  Where the driver can't tell,
 * the module will.
 */
static int check_memory(struct nvfs *nvfs, unsigned int gpu, uint64_t addr)
{
	const struct gpu_driver *driver;
	struct gpu_mem mem;
	int ret = ctx_gpu_at(nvfs, gpu, &driver);

	if (ret)
		return ret;
	if (!driver->classify || driver->classify(addr, &mem) ||
	    mem.kind == GPU_MEM_MANAGED)
		return 0;
	return mem.kind == GPU_MEM_DEVICE && mem.index == gpu ? 0 : -EFAULT;
}

NVFS_EXPORT int nvfs_mem_register(struct nvfs *nvfs, unsigned int gpu,
				  uint64_t addr, uint64_t length,
				  unsigned int flags, struct nvfs_mem **mem)
{
	struct nvfs_mem *new;
	int ret;

	if (!nvfs || !mem || (flags & ~NVFS_MEM_ALLOW_BOUNCE))
		return -EINVAL;
	if (!is_gpu(gpu))
		return -ENODEV;
	ret = ctx_engine(nvfs);
	if (!ret)
		ret = check_memory(nvfs, gpu, addr);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	ret = engine_mem_add(gpu, addr, length);
	if (ret)
		goto free_new;
	new->nvfs = nvfs;
	new->addr = addr;
	new->error = engine_mem_error(addr);
	ret = flags & NVFS_MEM_ALLOW_BOUNCE ? 0 : new->error;
	if (ret)
		goto del;
	ctx_count_child(nvfs, 1);
	*mem = new;
	return 0;

del:
	engine_mem_del(addr);
free_new:
	free(new);
	return ret;
}

NVFS_EXPORT int nvfs_mem_unregister(struct nvfs_mem *mem)
{
	int ret;

	if (!mem)
		return 0;
	ret = ctx_check(mem->nvfs);
	if (ret)
		return ret;
	engine_mem_del(mem->addr);
	ctx_count_child(mem->nvfs, -1);
	free(mem);
	return 0;
}

NVFS_EXPORT int nvfs_mem_error(const struct nvfs_mem *mem)
{
	return mem ? mem->error : -EINVAL;
}
