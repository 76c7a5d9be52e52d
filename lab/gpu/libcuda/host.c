// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda: host memory that it knows.  Its addresses mean the same to
 * the CPU and the GPU.  LABGPU_MAX_PINNED in a program's environment is how
 * many bytes of it there may be.
 */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lab.h"

static struct lab_host *lab_hosts;
static size_t lab_host_bytes;
static unsigned long long lab_host_id = 1ULL << 32;

struct lab_host *lab_host_find(CUdeviceptr ptr, size_t size)
{
	struct lab_host *h;

	for (h = lab_hosts; h; h = h->next) {
		uintptr_t base = (uintptr_t)h->base;

		if (ptr >= base && ptr - base < h->size &&
		    size <= h->size - (ptr - base))
			return h;
	}
	return NULL;
}

/* Takes note of memory; @base NULL: makes it. */
static CUresult lab_host_new(void *base, size_t size, struct lab_host **host)
{
	const char *limit = getenv("LABGPU_MAX_PINNED");
	struct lab_host *h;
	CUcontext ctx;
	CUresult ret = lab_current(&ctx);

	if (ret)
		return ret;
	if (limit && size > strtoull(limit, NULL, 0) - lab_host_bytes)
		return CUDA_ERROR_OUT_OF_MEMORY;
	h = calloc(1, sizeof(*h));
	if (!h)
		return CUDA_ERROR_OUT_OF_MEMORY;
	h->registered = base != NULL;
	if (!base)
		base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED) {
		free(h);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	h->base = base;
	h->size = size;
	h->ctx = ctx;
	h->id = ++lab_host_id;
	h->next = lab_hosts;
	lab_hosts = h;
	lab_host_bytes += size;
	*host = h;
	return CUDA_SUCCESS;
}

CUresult lab_host_free(struct lab_host *host)
{
	struct lab_host **link = &lab_hosts;

	while (*link != host)
		link = &(*link)->next;
	*link = host->next;
	lab_host_bytes -= host->size;
	if (!host->registered)
		munmap(host->base, host->size);
	free(host);
	return CUDA_SUCCESS;
}

void lab_host_end(CUcontext ctx)
{
	struct lab_host *host, *next;

	for (host = lab_hosts; host; host = next) {
		next = host->next;
		if (host->ctx == ctx)
			lab_host_free(host);
	}
}

static CUresult lab_host_alloc(void **ptr, size_t size, unsigned int flags,
			       bool managed)
{
	CUresult ret = lab_enter();
	struct lab_host *host;

	if (ret)
		return ret;
	if (!ptr || !size || flags > 7)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_host_new(NULL, size, &host);
	if (ret)
		return lab_leave(ret);
	host->flags = flags;
	host->managed = managed;
	*ptr = host->base;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemHostAlloc(void **host, size_t size, unsigned int flags)
{
	return lab_host_alloc(host, size, flags, false);
}

LAB_API CUresult cuMemAllocHost_v2(void **host, size_t size)
{
	return lab_host_alloc(host, size, 0, false);
}
LAB_ALIAS(cuMemAllocHost);

LAB_API CUresult cuMemAllocManaged(CUdeviceptr *ptr, size_t size,
				   unsigned int flags)
{
	void *host = NULL;
	CUresult ret;

	if (!ptr)
		return CUDA_ERROR_INVALID_VALUE;
	ret = lab_host_alloc(&host, size, flags, true);
	if (!ret)
		*ptr = (uintptr_t)host;
	return ret;
}

/* @registered: whose memory it must be. */
static CUresult lab_host_drop(void *ptr, bool registered, CUresult none)
{
	CUresult ret = lab_enter();
	struct lab_host *host;

	if (ret)
		return ret;
	host = lab_host_find((uintptr_t)ptr, 1);
	if (!host || host->base != ptr || host->managed ||
	    host->registered != registered)
		return lab_leave(none);
	return lab_leave(lab_host_free(host));
}

LAB_API CUresult cuMemFreeHost(void *host)
{
	return lab_host_drop(host, false, CUDA_ERROR_INVALID_VALUE);
}

LAB_API CUresult cuMemHostRegister_v2(void *ptr, size_t size, unsigned int flags)
{
	CUresult ret = lab_enter();
	struct lab_host *host;

	if (ret)
		return ret;
	if (!ptr || !size)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (lab_host_find((uintptr_t)ptr, 1))
		return lab_leave(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
	ret = lab_host_new(ptr, size, &host);
	if (!ret)
		host->flags = flags;
	return lab_leave(ret);
}
LAB_ALIAS(cuMemHostRegister);

LAB_API CUresult cuMemHostUnregister(void *host)
{
	return lab_host_drop(host, true, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

LAB_API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *ptr, void *host,
					      unsigned int flags)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!ptr || flags || !lab_host_find((uintptr_t)host, 1))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*ptr = (uintptr_t)host;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuMemHostGetDevicePointer);

LAB_API CUresult cuMemHostGetFlags(unsigned int *flags, void *ptr)
{
	CUresult ret = lab_enter();
	struct lab_host *host;

	if (ret)
		return ret;
	host = lab_host_find((uintptr_t)ptr, 1);
	if (!flags || !host)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*flags = host->flags;
	return lab_leave(CUDA_SUCCESS);
}

CUresult lab_host_attribute(void *data, CUpointer_attribute attr,
			    const struct lab_host *host, CUdeviceptr ptr)
{
	unsigned long long wide;
	int narrow;

	switch (attr) {
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		narrow = host->managed ? CU_MEMORYTYPE_DEVICE :
					 CU_MEMORYTYPE_HOST;
		break;
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
		narrow = host->managed;
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
		narrow = host->ctx->device;
		break;
	case CU_POINTER_ATTRIBUTE_MAPPED:
		narrow = 1;
		break;
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
		narrow = 0;
		break;
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		wide = (uintptr_t)host->ctx;
		goto set_wide;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
	case CU_POINTER_ATTRIBUTE_HOST_POINTER:
		wide = ptr;
		goto set_wide;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		wide = (uintptr_t)host->base;
		goto set_wide;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		wide = host->size;
		goto set_wide;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		wide = host->id;
		goto set_wide;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	memcpy(data, &narrow, sizeof(narrow));
	return CUDA_SUCCESS;
set_wide:
	memcpy(data, &wide, sizeof(wide));
	return CUDA_SUCCESS;
}
