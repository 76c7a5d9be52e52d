// SPDX-License-Identifier: MIT
/* The lab's libcuda: what it says of pointers. */

#include <string.h>

#include "lab.h"

static void lab_set64(void *data, unsigned long long value)
{
	memcpy(data, &value, sizeof(value));
}

static void lab_set32(void *data, int value)
{
	memcpy(data, &value, sizeof(value));
}

/* Of reserved addresses those, not what is mapped there. */
static void lab_range_of(const struct lab_alloc *a, CUdeviceptr *va,
			 size_t *size)
{
	*va = a->mapping ? a->mapping->range->va : a->va;
	*size = a->mapping ? a->mapping->range->size : a->size;
}

static CUresult lab_attribute64(void *data, CUpointer_attribute attr,
				const struct lab_alloc *a, CUdeviceptr ptr)
{
	const struct lab_alloc *whole = a->chunk ? a->chunk : a;
	CUdeviceptr va;
	size_t size;

	lab_range_of(a, &va, &size);
	switch (attr) {
	case CU_POINTER_ATTRIBUTE_CONTEXT:
		lab_set64(data, (uintptr_t)a->ctx);
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		lab_set64(data, ptr);
		break;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		lab_set64(data, a->id);
		break;
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
		lab_set64(data, whole->block);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		lab_set64(data, va);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		lab_set64(data, size);
		break;
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
		lab_set64(data, whole->va);
		break;
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
		lab_set64(data, whole->mapped);
		break;
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
		lab_set64(data, 0);
		break;
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		lab_set64(data, (uintptr_t)a->pool);
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
		lab_set32(data, 1);
		break;
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
		lab_set32(data, !a->mapping ||
				lab_handle_reaches(a->mapping->handle));
		break;
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
		lab_set32(data, 0);
		break;
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		lab_set32(data, a->mapping ? (int)a->mapping->access :
				CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
		break;
	default:
		return lab_attribute64(data, attr, a, ptr);
	}
	return CUDA_SUCCESS;
}

/* Of addresses where nothing is mapped. */
static CUresult lab_range_attribute(void *data, CUpointer_attribute attr,
				    const struct lab_range *range,
				    CUdeviceptr ptr)
{
	switch (attr) {
	case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
		lab_set32(data, CU_MEMORYTYPE_DEVICE);
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
		lab_set64(data, ptr);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
		lab_set64(data, range->va);
		break;
	case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
		lab_set64(data, range->size);
		break;
	case CU_POINTER_ATTRIBUTE_BUFFER_ID:
		lab_set64(data, range->id);
		break;
	case CU_POINTER_ATTRIBUTE_CONTEXT:
	case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
	case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
	case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
	case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
	case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
		lab_set64(data, 0);
		break;
	case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
	case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
	case CU_POINTER_ATTRIBUTE_MAPPED:
	case CU_POINTER_ATTRIBUTE_IS_MANAGED:
	case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
	case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
	case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
		lab_set32(data, 0);
		break;
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
	return CUDA_SUCCESS;
}

static CUresult lab_any_attribute(void *data, CUpointer_attribute attr,
				  CUdeviceptr ptr)
{
	struct lab_alloc *alloc = lab_find(ptr);
	struct lab_range *range = alloc ? NULL : lab_range_find(ptr);
	struct lab_host *host;

	if (alloc)
		return lab_pointer_attribute(data, attr, alloc, ptr);
	if (range)
		return lab_range_attribute(data, attr, range, ptr);
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
	/* What the real one says of these kinds, too. */
	if (alloc->mapping || alloc->chunk)
		return lab_leave(CUDA_ERROR_NOT_SUPPORTED);
	memcpy(&alloc->sync_memops, value, sizeof(alloc->sync_memops));
	return lab_leave(CUDA_SUCCESS);
}
