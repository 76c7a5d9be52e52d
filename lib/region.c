// SPDX-License-Identifier: MIT
/* Regions: GPU memory that the module pinned for us. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"
#include "gpu.h"
#include "internal.h"

#define REGION_FLAGS	(NVFS_REGION_PERSISTENT | NVFS_REGION_ALLOW_BOUNCE)

/* Round outwards to whole blocks; what was added in front is the lead. */
static int round_out(struct nvfs_region *region)
{
	uint64_t end;

	if (add_overflows(region->addr, region->length))
		return -EOVERFLOW;
	region->lead = region->addr % BLOCK_SIZE;
	end = region->addr + region->length;
	if (end > UINT64_MAX - (BLOCK_SIZE - 1))
		return -EOVERFLOW;
	end = (end + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
	region->reg.addr = region->addr - region->lead;
	region->reg.length = end - region->reg.addr;
	return 0;
}

static int pin(struct nvfs_region *region, unsigned int flags)
{
	struct nvfs *nvfs = region->nvfs;
	int ret;

	if (nvfs->module_error) {
		region->reason = NVFS_REASON_NO_MODULE;
		return nvfs->module_error;
	}
	region->reg.size = sizeof(region->reg);
	region->reg.source = NVFS_SOURCE_P2P;
	region->reg.fd = -1;
	if (flags & NVFS_REGION_PERSISTENT)
		region->reg.flags |= NVFS_REGISTER_PERSISTENT;
	/* Nothing is pinned when a signal came first. */
	do {
		ret = abi_register(nvfs->fd, &region->reg);
	} while (ret == -EINTR);
	if (ret)
		region->reason = NVFS_REASON_NO_REGION;
	return ret;
}

static int create(struct nvfs_region *template, unsigned int flags,
		  struct nvfs_region **region)
{
	struct nvfs_region *new;
	int ret;

	if (!region || !template->length || (flags & ~REGION_FLAGS))
		return -EINVAL;
	ret = round_out(template);
	if (ret)
		return ret;
	new = malloc(sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = *template;
	if (new->driver->expose)
		new->driver->expose(new->gpu, new->addr);
	new->error = pin(new, flags);
	if (new->error && !(flags & NVFS_REGION_ALLOW_BOUNCE)) {
		ret = new->error;
		free(new);
		return ret;
	}
	ctx_count_child(new->nvfs, 1);
	*region = new;
	return 0;
}

NVFS_EXPORT int nvfs_region_register(struct nvfs_buf *buf, unsigned int flags,
				     struct nvfs_region **region)
{
	struct nvfs_region template = {
		.nvfs = buf->nvfs,
		.driver = buf->driver,
		.buf = buf,
		.gpu = buf->gpu,
		.addr = buf->addr,
		.length = buf->capacity,
	};
	int ret = ctx_check(buf->nvfs);

	if (!ret)
		ret = create(&template, flags, region);
	if (ret)
		return ret;
	pthread_mutex_lock(&buf->nvfs->lock);
	buf->nr_regions++;
	pthread_mutex_unlock(&buf->nvfs->lock);
	return 0;
}

NVFS_EXPORT int nvfs_region_register_addr(struct nvfs *nvfs, unsigned int gpu,
					  uint64_t addr, uint64_t length,
					  unsigned int flags,
					  struct nvfs_region **region)
{
	struct nvfs_region template = {
		.nvfs = nvfs,
		.gpu = gpu,
		.addr = addr,
		.length = length,
	};
	int ret = ctx_gpu(nvfs, &template.driver);

	return ret ? ret : create(&template, flags, region);
}

NVFS_EXPORT int nvfs_region_unregister(struct nvfs_region *region)
{
	struct nvfs_unregister arg = { .size = sizeof(arg) };
	int ret = 0;

	if (!region)
		return 0;
	if (ctx_check(region->nvfs))
		return -ECHILD;
	arg.region = region->reg.region;
	while (!region->error) {
		ret = abi_unregister(region->nvfs->fd, &arg);
		if (ret != -EINTR)
			break;
	}
	if (region->buf) {
		pthread_mutex_lock(&region->nvfs->lock);
		region->buf->nr_regions--;
		pthread_mutex_unlock(&region->nvfs->lock);
	}
	ctx_count_child(region->nvfs, -1);
	free(region);
	return ret;
}

NVFS_EXPORT uint64_t nvfs_region_length(const struct nvfs_region *region)
{
	return region->length;
}

NVFS_EXPORT int nvfs_region_error(const struct nvfs_region *region)
{
	return region->error;
}

NVFS_EXPORT void nvfs_region_pinned(const struct nvfs_region *region,
				    uint64_t *addr, uint64_t *length)
{
	if (addr)
		*addr = region->reg.addr;
	if (length)
		*length = region->error ? 0 : region->reg.length;
}

NVFS_EXPORT int nvfs_region_describe(const struct nvfs_region *region,
				     struct nvfs_register *reg)
{
	uint32_t size = reg->size;

	if (size < sizeof(uint32_t))
		return -EINVAL;
	if (region->error)
		return region->error;
	if (size > sizeof(*reg)) {
		memset((char *)reg + sizeof(*reg), 0, size - sizeof(*reg));
		size = sizeof(*reg);
	}
	memcpy(reg, &region->reg, size);
	reg->size = size;
	return 0;
}

NVFS_EXPORT int nvfs_query_region(struct nvfs_region *region, int fd,
				  struct nvfs_query *query)
{
	int ret = ctx_check(region->nvfs);

	if (ret)
		return ret;
	if (region->error)
		return region->error;
	query->flags = 0;
	query->region = region->reg.region;
	query->fd = fd;
	return abi_query(region->nvfs->fd, query);
}
