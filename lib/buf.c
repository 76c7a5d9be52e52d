// SPDX-License-Identifier: MIT
/* GPU memory that the library allocates. */
#include <errno.h>
#include <stdlib.h>

#include "gpu.h"
#include "internal.h"

/*
 * Drivers cut small allocations out of larger ones, at alignments below what
 * they pin.  A second, larger allocation is made only when the first turns
 * out to be such a one.
 */
static int alloc_aligned(struct nvfs_buf *buf)
{
	uint64_t addr;
	int ret = buf->driver->alloc(buf->gpu, buf->capacity, &addr);

	if (ret)
		return ret;
	if (addr % GPU_ALIGN) {
		buf->driver->free(buf->gpu, addr);
		ret = buf->driver->alloc(buf->gpu, buf->capacity + GPU_ALIGN,
					 &addr);
		if (ret)
			return ret;
	}
	buf->alloc_addr = addr;
	buf->addr = (addr + GPU_ALIGN - 1) / GPU_ALIGN * GPU_ALIGN;
	return 0;
}

NVFS_EXPORT int nvfs_buf_alloc(struct nvfs *nvfs, unsigned int gpu,
			       uint64_t length, struct nvfs_buf **buf)
{
	const struct gpu_driver *driver;
	struct nvfs_buf *new;
	int ret;

	if (!length || !buf)
		return -EINVAL;
	if (length > UINT64_MAX - 2 * GPU_ALIGN)
		return -EOVERFLOW;
	ret = ctx_gpu_at(nvfs, gpu, &driver);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->nvfs = nvfs;
	new->driver = driver;
	new->gpu = gpu;
	new->length = length;
	new->capacity = (length + GPU_ALIGN - 1) / GPU_ALIGN * GPU_ALIGN;
	ret = alloc_aligned(new);
	if (ret) {
		free(new);
		return ret;
	}
	ctx_count_child(nvfs, 1);
	*buf = new;
	return 0;
}

NVFS_EXPORT int nvfs_buf_free(struct nvfs_buf *buf)
{
	bool busy;
	int ret;

	if (!buf)
		return 0;
	ret = ctx_check(buf->nvfs);
	if (ret)
		return ret;
	pthread_mutex_lock(&buf->nvfs->lock);
	busy = buf->nr_regions > 0;
	pthread_mutex_unlock(&buf->nvfs->lock);
	if (busy)
		return -EBUSY;
	ret = buf->driver->free(buf->gpu, buf->alloc_addr);
	ctx_count_child(buf->nvfs, -1);
	free(buf);
	return ret ? -EIO : 0;
}

NVFS_EXPORT uint64_t nvfs_buf_addr(const struct nvfs_buf *buf)
{
	return buf->addr;
}

NVFS_EXPORT uint64_t nvfs_buf_length(const struct nvfs_buf *buf)
{
	return buf->length;
}

NVFS_EXPORT uint64_t nvfs_buf_capacity(const struct nvfs_buf *buf)
{
	return buf->capacity;
}

static int check_range(const struct nvfs_buf *buf, uint64_t offset,
		       uint64_t length)
{
	if (offset > buf->capacity || length > buf->capacity - offset)
		return -ERANGE;
	return ctx_check(buf->nvfs);
}

NVFS_EXPORT int nvfs_buf_copy_in(struct nvfs_buf *buf, uint64_t offset,
				 const void *src, uint64_t length)
{
	int ret = check_range(buf, offset, length);

	if (ret || !length)
		return ret;
	return buf->driver->copy_in(buf->gpu, buf->addr + offset, src, length);
}

NVFS_EXPORT int nvfs_buf_copy_out(struct nvfs_buf *buf, uint64_t offset,
				  void *dst, uint64_t length)
{
	int ret = check_range(buf, offset, length);

	if (ret || !length)
		return ret;
	return buf->driver->copy_out(buf->gpu, dst, buf->addr + offset, length);
}
