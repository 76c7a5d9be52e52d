// SPDX-License-Identifier: MIT
/* Regions in the caller's address space. */
#include <errno.h>
#include <sys/mman.h>

#include "abi.h"
#include "internal.h"

#define PAGE	BLOCK_SIZE

/* Bytes from the start of the page to @addr. */
static uint64_t in_page(uint64_t addr)
{
	return addr % PAGE;
}

static uint64_t whole_pages(uint64_t length)
{
	return (length + PAGE - 1) / PAGE * PAGE;
}

static int check(const struct nvfs_region *region, uint64_t offset,
		 uint64_t length, unsigned int flags, void **addr)
{
	int ret = ctx_check(region->nvfs);

	if (ret)
		return ret;
	if (!addr || !length || (flags & ~NVFS_MAP_READ_ONLY))
		return -EINVAL;
	if (offset > region->length || length > region->length - offset)
		return -ERANGE;
	if (region->error)
		return region->error;
	return region->reg.mmap_offset ? 0 : -EOPNOTSUPP;
}

NVFS_EXPORT int nvfs_region_map(struct nvfs_region *region, uint64_t offset,
				uint64_t length, unsigned int flags,
				void **addr)
{
	int prot = PROT_READ | (flags & NVFS_MAP_READ_ONLY ? 0 : PROT_WRITE);
	int ret = check(region, offset, length, flags, addr);
	uint64_t start, skip;
	void *at;

	if (ret)
		return ret;
	start = region->lead + offset;
	skip = in_page(start);
	ret = abi_mmap(region->nvfs->fd, region->reg.mmap_offset + start - skip,
		       whole_pages(skip + length), prot, &at);
	if (!ret)
		*addr = (char *)at + skip;
	return ret;
}

NVFS_EXPORT int nvfs_region_unmap(void *addr, uint64_t length)
{
	uint64_t skip = in_page((uintptr_t)addr);

	if (!addr)
		return 0;
	if (!length || add_overflows(length, skip + PAGE))
		return -EINVAL;
	return munmap((char *)addr - skip, whole_pages(skip + length)) ?
	       -errno : 0;
}
