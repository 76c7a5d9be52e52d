// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda: memory.  Copies go through the CPU's view of the memory,
 * which is made by the first copy.  LABGPU_SCATTER=1 in the environment makes
 * cuMemAlloc() take pages that lie apart.
 */

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lab.h"

static struct lab_alloc *lab_allocs;
static void *lab_tree;		/* of the same, by address */
static unsigned long long lab_next_id;

/* Ranges that overlap are equal: there are none among allocations. */
static int lab_compare(const void *left, const void *right)
{
	const struct lab_alloc *a = left, *b = right;

	if (a->va + a->mapped <= b->va)
		return -1;
	return b->va + b->mapped <= a->va;
}

struct lab_alloc *lab_find(CUdeviceptr ptr)
{
	struct lab_alloc key = { .va = ptr, .mapped = 1 };
	struct lab_alloc **found = tfind(&key, &lab_tree, lab_compare);

	return found ? *found : NULL;
}

void lab_put(struct lab_alloc *alloc)
{
	if (--alloc->users)
		return;
	if (alloc->cpu)
		munmap(alloc->cpu, alloc->mapped);
	free(alloc);
}

unsigned long long lab_new_id(void)
{
	return ++lab_next_id;
}

bool lab_link(struct lab_alloc *alloc)
{
	if (!tsearch(alloc, &lab_tree, lab_compare))
		return false;
	alloc->id = lab_new_id();
	alloc->prev = NULL;
	alloc->next = lab_allocs;
	if (lab_allocs)
		lab_allocs->prev = alloc;
	lab_allocs = alloc;
	return true;
}

void lab_unlink(struct lab_alloc *alloc)
{
	if (alloc->next)
		alloc->next->prev = alloc->prev;
	if (alloc->prev)
		alloc->prev->next = alloc->next;
	else
		lab_allocs = alloc->next;
	tdelete(alloc, &lab_tree, lab_compare);
}

CUresult lab_free(struct lab_alloc *alloc)
{
	struct labgpu_free arg = { .va = alloc->va };
	CUresult ret = CUDA_SUCCESS;

	if (ioctl(lab_device(alloc->device)->fd, LABGPU_IOC_FREE, &arg))
		ret = lab_errno(errno);
	lab_put(alloc);
	return ret;
}

void lab_memory_end(CUcontext ctx)
{
	struct lab_alloc *alloc, *next;

	lab_host_end(ctx);
	for (alloc = lab_allocs; alloc; alloc = next) {
		next = alloc->next;
		if (alloc->ctx != ctx)
			continue;
		lab_unlink(alloc);
		lab_free(alloc);
	}
}

LAB_API CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
	CUresult ret = lab_enter();
	struct labgpu_info info;
	CUcontext ctx;

	if (ret)
		return ret;
	if (!free || !total)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (ret)
		return lab_leave(ret);
	if (ioctl(lab_device(ctx->device)->fd, LABGPU_IOC_INFO, &info))
		return lab_leave(lab_errno(errno));
	*free = info.mem_free;
	*total = info.mem_size;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuMemGetInfo);

unsigned int lab_scatter(void)
{
	const char *scatter = getenv("LABGPU_SCATTER");

	return scatter && !strcmp(scatter, "1") ? LABGPU_ALLOC_SCATTER : 0;
}

CUresult lab_take(struct lab_alloc *alloc, CUdevice device, size_t size)
{
	struct labgpu_alloc arg = { .length = size, .flags = lab_scatter() };

	if (ioctl(lab_device(device)->fd, LABGPU_IOC_ALLOC, &arg))
		return lab_errno(errno);
	alloc->users = 1;
	alloc->device = device;
	alloc->va = arg.va;
	alloc->size = size;
	alloc->mapped = (size + LABGPU_PAGE_SIZE - 1) & ~(size_t)(LABGPU_PAGE_SIZE - 1);
	alloc->block = lab_new_id();
	return CUDA_SUCCESS;
}

LAB_API CUresult cuMemAlloc_v2(CUdeviceptr *ptr, size_t size)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;
	CUcontext ctx;

	if (ret)
		return ret;
	if (!ptr || !size)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (ret)
		return lab_leave(ret);
	alloc = calloc(1, sizeof(*alloc));
	if (!alloc)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	ret = lab_take(alloc, ctx->device, size);
	if (ret) {
		free(alloc);
		return lab_leave(ret);
	}
	alloc->ctx = ctx;
	if (!lab_link(alloc)) {
		lab_free(alloc);
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	}
	*ptr = alloc->va;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuMemAlloc);

LAB_API CUresult cuMemFree_v2(CUdeviceptr ptr)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;
	struct lab_host *host;

	if (ret)
		return ret;
	alloc = lab_find(ptr);
	if (!ptr)
		return lab_leave(CUDA_SUCCESS);
	host = lab_host_find(ptr, 1);
	if (host && host->managed && (uintptr_t)host->base == ptr)
		return lab_leave(lab_host_free(host));
	if (!alloc || alloc->va != ptr || alloc->mapping)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (alloc->chunk) {
		lab_pool_free(alloc, (struct lab_mark){ NULL, 0 });
		return lab_leave(CUDA_SUCCESS);
	}
	lab_unlink(alloc);
	return lab_leave(lab_free(alloc));
}
LAB_ALIAS(cuMemFree);

LAB_API CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size,
					 CUdeviceptr ptr)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;

	if (ret)
		return ret;
	alloc = lab_find(ptr);
	if (!alloc || ptr - alloc->va >= alloc->size)
		return lab_leave(CUDA_ERROR_NOT_FOUND);
	if (base)
		*base = alloc->va;
	if (size)
		*size = alloc->size;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuMemGetAddressRange);

CUresult lab_alloc_view(struct lab_alloc *alloc, void *at)
{
	void *map;

	if (alloc->cpu)
		return CUDA_SUCCESS;
	map = mmap(at, alloc->mapped, PROT_READ | PROT_WRITE,
		   MAP_SHARED | (at ? MAP_FIXED : 0),
		   lab_device(alloc->device)->fd, (off_t)alloc->va);
	if (map == MAP_FAILED)
		return errno == ENODEV ? CUDA_ERROR_DEVICE_UNAVAILABLE :
					 CUDA_ERROR_MAP_FAILED;
	alloc->cpu = map;
	return CUDA_SUCCESS;
}

/* Of memory that is no GPU's. */
static CUresult lab_host_view(CUdeviceptr ptr, size_t size, bool any)
{
	struct lab_host *host = lab_host_find(ptr, size);

	return any || (host && host->managed) ? CUDA_SUCCESS :
						CUDA_ERROR_INVALID_VALUE;
}

CUresult lab_view_get(CUdeviceptr ptr, size_t size, bool any,
		      struct lab_view *view)
{
	struct lab_alloc *a = lab_find(ptr), *whole;
	CUresult ret;

	view->alloc = NULL;
	view->range = NULL;
	view->cpu = (char *)(uintptr_t)ptr;
	if (!a && lab_range_find(ptr))
		return CUDA_ERROR_INVALID_VALUE;
	if (!a)
		return lab_host_view(ptr, size, any);
	if (a->mapping)
		return lab_range_view(a->mapping, ptr, size, view);
	if (ptr - a->va > a->size || size > a->size - (ptr - a->va))
		return CUDA_ERROR_INVALID_VALUE;
	whole = a->chunk ? a->chunk : a;
	ret = lab_alloc_view(whole, NULL);
	if (ret)
		return ret;
	whole->users++;
	view->alloc = whole;
	view->cpu = (char *)whole->cpu + (ptr - whole->va);
	return CUDA_SUCCESS;
}

void lab_view_put(struct lab_view *view)
{
	if (view->alloc)
		lab_put(view->alloc);
	if (view->range)
		lab_range_put(view->range);
}

/*
 * A copy in stream 0, for which the caller waits.  @any_dst, @any_src: host
 * memory will do.  The lock is not held while bytes move.
 */
static CUresult lab_copy(CUdeviceptr dst, bool any_dst, CUdeviceptr src,
			 bool any_src, size_t size)
{
	CUresult ret = lab_enter();
	struct lab_view to, from;
	CUcontext ctx;

	if (ret)
		return ret;
	ret = lab_current(&ctx);
	if (ret || !size)
		return lab_leave(ret);
	if (!dst || !src)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	lab_stream_wait_legacy(ctx);
	ret = lab_view_get(dst, size, any_dst, &to);
	if (ret)
		return lab_leave(ret);
	ret = lab_view_get(src, size, any_src, &from);
	if (!ret) {
		pthread_mutex_unlock(&lab_lock);
		memmove(to.cpu, from.cpu, size);
		pthread_mutex_lock(&lab_lock);
		lab_view_put(&from);
	}
	lab_view_put(&to);
	return lab_leave(ret);
}

LAB_API CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t size)
{
	return lab_copy(dst, false, (uintptr_t)src, true, size);
}
LAB_ALIAS(cuMemcpyHtoD);

LAB_API CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t size)
{
	return lab_copy((uintptr_t)dst, true, src, false, size);
}
LAB_ALIAS(cuMemcpyDtoH);

LAB_API CUresult cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	return lab_copy(dst, false, src, false, size);
}
LAB_ALIAS(cuMemcpyDtoD);

LAB_API CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t size)
{
	return lab_copy(dst, true, src, true, size);
}

/* @count times the @unit bytes at @value. */
static CUresult lab_set(CUdeviceptr dst, const void *value, size_t unit,
			size_t count)
{
	CUresult ret = lab_enter();
	struct lab_view view;
	CUcontext ctx;
	size_t i;

	if (ret)
		return ret;
	ret = lab_current(&ctx);
	if (ret || !count)
		return lab_leave(ret);
	if (dst % unit || count > SIZE_MAX / unit)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	lab_stream_wait_legacy(ctx);
	ret = lab_view_get(dst, count * unit, false, &view);
	if (ret)
		return lab_leave(ret);
	pthread_mutex_unlock(&lab_lock);
	for (i = 0; unit > 1 && i < count; i++)
		memcpy(view.cpu + i * unit, value, unit);
	if (unit == 1)
		memset(view.cpu, *(const unsigned char *)value, count);
	pthread_mutex_lock(&lab_lock);
	lab_view_put(&view);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t size)
{
	return lab_set(dst, &value, 1, size);
}
LAB_ALIAS(cuMemsetD8);

LAB_API CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t count)
{
	return lab_set(dst, &value, 4, count);
}
LAB_ALIAS(cuMemsetD32);

/* Whole pages of the CPU, as the real one wants them. */
LAB_API CUresult cuMemGetHandleForAddressRange(void *handle, CUdeviceptr ptr,
					       size_t size,
					       CUmemRangeHandleType type,
					       unsigned long long flags)
{
	struct labgpu_dmabuf arg = { .va = ptr, .length = size };
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;
	CUcontext ctx;
	int fd;

	if (ret)
		return ret;
	if (!handle || !size || (ptr | size) % 4096 ||
	    type != CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD ||
	    flags > CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (ret)
		return lab_leave(ret);
	alloc = lab_find(ptr);
	if (!alloc)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	fd = ioctl(lab_device(alloc->device)->fd, LABGPU_IOC_DMABUF, &arg);
	if (fd < 0)
		return lab_leave(lab_errno(errno));
	memcpy(handle, &fd, sizeof(fd));
	return lab_leave(CUDA_SUCCESS);
}
