// SPDX-License-Identifier: MIT
/* A CUDA runtime for clients in the lab: each call is one of the driver's. */
#include <stdint.h>

#include "cuda.h"
#include "cuda_runtime.h"

static _Thread_local int current_device;

static cudaError_t to_runtime(CUresult result)
{
	switch (result) {
	case CUDA_SUCCESS:
	case CUDA_ERROR_INVALID_VALUE:
	case CUDA_ERROR_OUT_OF_MEMORY:
	case CUDA_ERROR_NOT_INITIALIZED:
	case CUDA_ERROR_NO_DEVICE:
	case CUDA_ERROR_INVALID_DEVICE:
		return (cudaError_t)result;
	default:
		return cudaErrorUnknown;
	}
}

/* The primary context of the thread's device, as the runtime has it. */
static CUresult enter(void)
{
	CUcontext context;
	CUdevice device;
	CUresult ret = cuInit(0);

	if (!ret)
		ret = cuDeviceGet(&device, current_device);
	if (!ret)
		ret = cuDevicePrimaryCtxRetain(&context, device);
	return ret ? ret : cuCtxSetCurrent(context);
}

cudaError_t cudaSetDevice(int device)
{
	int before = current_device;
	CUresult ret;

	current_device = device;
	ret = enter();
	if (ret)
		current_device = before;
	return to_runtime(ret);
}

cudaError_t cudaMalloc(void **memory, size_t size)
{
	CUdeviceptr address = 0;
	CUresult ret = enter();

	if (!ret)
		ret = cuMemAlloc(&address, size);
	if (!ret)
		*memory = (void *)(uintptr_t)address;
	return to_runtime(ret);
}

cudaError_t cudaFree(void *memory)
{
	CUresult ret = enter();

	if (!ret && memory)
		ret = cuMemFree((uintptr_t)memory);
	return to_runtime(ret);
}

cudaError_t cudaMemset(void *memory, int value, size_t size)
{
	CUresult ret = enter();

	if (!ret)
		ret = cuMemsetD8((uintptr_t)memory, (unsigned char)value, size);
	return to_runtime(ret);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t size,
		       enum cudaMemcpyKind kind)
{
	CUresult ret = enter();

	if (ret)
		return to_runtime(ret);
	if (kind == cudaMemcpyHostToDevice)
		ret = cuMemcpyHtoD((uintptr_t)dst, src, size);
	else if (kind == cudaMemcpyDeviceToHost)
		ret = cuMemcpyDtoH(dst, (uintptr_t)src, size);
	else
		ret = cuMemcpy((uintptr_t)dst, (uintptr_t)src, size);
	return to_runtime(ret);
}

const char *cudaGetErrorName(cudaError_t error)
{
	const char *name = NULL;

	cuGetErrorName((CUresult)error, &name);
	return name ? name : "unknown";
}
