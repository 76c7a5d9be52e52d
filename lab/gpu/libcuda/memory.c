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

struct lab_alloc {
	struct lab_alloc *next;	/* all, in no order */
	struct lab_alloc *prev;
	unsigned int users;	/* one while it is allocated, one per copy */
	CUcontext ctx;
	CUdevice device;
	CUdeviceptr va;
	size_t size;		/* as asked for */
	size_t mapped;		/* whole pages */
	void *cpu;		/* CPU's view, or NULL */
	unsigned long long id;
	int sync_memops;
};

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

static struct lab_alloc *lab_find(CUdeviceptr ptr)
{
	struct lab_alloc key = { .va = ptr, .mapped = 1 };
	struct lab_alloc **found = tfind(&key, &lab_tree, lab_compare);

	return found ? *found : NULL;
}

static void lab_put(struct lab_alloc *alloc)
{
	if (--alloc->users)
		return;
	if (alloc->cpu)
		munmap(alloc->cpu, alloc->mapped);
	free(alloc);
}

static void lab_link(struct lab_alloc *alloc)
{
	alloc->next = lab_allocs;
	if (lab_allocs)
		lab_allocs->prev = alloc;
	lab_allocs = alloc;
}

static void lab_unlink(struct lab_alloc *alloc)
{
	if (alloc->next)
		alloc->next->prev = alloc->prev;
	if (alloc->prev)
		alloc->prev->next = alloc->next;
	else
		lab_allocs = alloc->next;
	tdelete(alloc, &lab_tree, lab_compare);
}

static CUresult lab_free(struct lab_alloc *alloc)
{
	struct labgpu_free arg = { .va = alloc->va };
	CUresult ret = CUDA_SUCCESS;

	lab_unlink(alloc);
	if (ioctl(lab_device(alloc->device)->fd, LABGPU_IOC_FREE, &arg))
		ret = lab_errno(errno);
	lab_put(alloc);
	return ret;
}

void lab_memory_end(CUcontext ctx)
{
	struct lab_alloc *alloc, *next;

	for (alloc = lab_allocs; alloc; alloc = next) {
		next = alloc->next;
		if (alloc->ctx == ctx)
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

/* Fills @alloc and makes it known. */
static CUresult lab_alloc_new(struct lab_alloc *alloc, CUcontext ctx, size_t size)
{
	const char *scatter = getenv("LABGPU_SCATTER");
	struct labgpu_alloc arg = { .length = size };
	struct labgpu_free undo;
	int fd = lab_device(ctx->device)->fd;

	if (scatter && !strcmp(scatter, "1"))
		arg.flags = LABGPU_ALLOC_SCATTER;
	if (ioctl(fd, LABGPU_IOC_ALLOC, &arg))
		return lab_errno(errno);
	alloc->users = 1;
	alloc->ctx = ctx;
	alloc->device = ctx->device;
	alloc->va = arg.va;
	alloc->size = size;
	alloc->mapped = (size + LABGPU_PAGE_SIZE - 1) & ~(size_t)(LABGPU_PAGE_SIZE - 1);
	alloc->id = ++lab_next_id;
	if (!tsearch(alloc, &lab_tree, lab_compare)) {
		undo.va = arg.va;
		ioctl(fd, LABGPU_IOC_FREE, &undo);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	lab_link(alloc);
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
	ret = lab_alloc_new(alloc, ctx, size);
	if (ret)
		free(alloc);
	else
		*ptr = alloc->va;
	return lab_leave(ret);
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
	if (!alloc || alloc->va != ptr)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
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

CUresult lab_view_get(CUdeviceptr ptr, size_t size, bool any,
		      struct lab_view *view)
{
	struct lab_alloc *a = lab_find(ptr);
	struct lab_host *host;
	void *map;

	view->alloc = NULL;
	view->cpu = (char *)(uintptr_t)ptr;
	if (!a) {
		host = lab_host_find(ptr, size);
		return any || (host && host->managed) ?
		       CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
	}
	if (ptr - a->va > a->size || size > a->size - (ptr - a->va))
		return CUDA_ERROR_INVALID_VALUE;
	if (!a->cpu) {
		map = mmap(NULL, a->mapped, PROT_READ | PROT_WRITE, MAP_SHARED,
			   lab_device(a->device)->fd, (off_t)a->va);
		if (map == MAP_FAILED)
			return errno == ENODEV ? CUDA_ERROR_DEVICE_UNAVAILABLE :
						 CUDA_ERROR_MAP_FAILED;
		a->cpu = map;
	}
	a->users++;
	view->alloc = a;
	view->cpu = (char *)a->cpu + (ptr - a->va);
	return CUDA_SUCCESS;
}

void lab_view_put(struct lab_view *view)
{
	if (view->alloc)
		lab_put(view->alloc);
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

static void lab_set64(void *data, unsigned long long value)
{
	memcpy(data, &value, sizeof(value));
}

static void lab_set32(void *data, int value)
{
	memcpy(data, &value, sizeof(value));
}

static CUresult lab_attribute64(void *data, CUpointer_attribute attr,
				const struct lab_alloc *a, CUdeviceptr ptr)
{
	switch (attr) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		lab_set64(data, (uintptr_t)a->ctx);
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		lab_set64(data, ptr);
		break;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
		lab_set64(data, a->id);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
		lab_set64(data, a->va);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		lab_set64(data, a->size);
		break;
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
		lab_set64(data, a->mapped);
		break;
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		lab_set64(data, 0);
		break;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

static CUresult lab_pointer_attribute(void *data, CUpointer_attribute attr,
				      const struct lab_alloc *a, CUdeviceptr ptr)
{
	switch (attr) {
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		lab_set32(data, CU_MEMORYTYPE_DEVICE);
		break;
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
		lab_set32(data, a->sync_memops);
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		lab_set32(data, a->device);
		break;
	case CU_POINTER_ATTRIBUTE_MAPPED:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
		lab_set32(data, 1);
		break;
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
		lab_set32(data, 0);
		break;
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		lab_set32(data, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
		break;
	default:
		return lab_attribute64(data, attr, a, ptr);
	}
	return CUDA_SUCCESS;
}

static CUresult lab_any_attribute(void *data, CUpointer_attribute attr,
				  CUdeviceptr ptr)
{
	struct lab_alloc *alloc = lab_find(ptr);
	struct lab_host *host;

	if (alloc)
		return lab_pointer_attribute(data, attr, alloc, ptr);
	host = lab_host_find(ptr, 1);
	return host ? lab_host_attribute(data, attr, host, ptr) :
		      CUDA_ERROR_INVALID_VALUE;
}

LAB_API CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute,
				       CUdeviceptr ptr)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!data)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	return lab_leave(lab_any_attribute(data, attribute, ptr));
}

/* For a pointer that is not the GPU's: what the real one answers. */
static void lab_no_attribute(void *data, CUpointer_attribute attr)
{
	switch (attr) {
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		lab_set32(data, -2);
		break;
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
	case CU_POINTER_ATTRIBUTE_MAPPED:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		lab_set32(data, 0);
		break;
	default:
		lab_set64(data, 0);
		break;
	}
}

LAB_API CUresult cuPointerGetAttributes(unsigned int count,
					CUpointer_attribute *attributes,
					void **data, CUdeviceptr ptr)
{
	CUresult ret = lab_enter();
	unsigned int i;

	if (ret)
		return ret;
	if (!count || !attributes || !data)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	for (i = 0; i < count; i++) {
		if ((int)attributes[i] < 1 || !data[i])
			return lab_leave(CUDA_ERROR_INVALID_VALUE);
		if (lab_any_attribute(data[i], attributes[i], ptr))
			lab_no_attribute(data[i], attributes[i]);
	}
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuPointerSetAttribute(const void *value,
				       CUpointer_attribute attribute,
				       CUdeviceptr ptr)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;

	if (ret)
		return ret;
	alloc = lab_find(ptr);
	if (!value || !alloc || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	memcpy(&alloc->sync_memops, value, sizeof(alloc->sync_memops));
	return lab_leave(CUDA_SUCCESS);
}

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
