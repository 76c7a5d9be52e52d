/* SPDX-License-Identifier: MIT */
/*
 * The part of the CUDA runtime interface that fio's libcufile engine uses.
 * Names and values are those of the runtime API; NVIDIA's own libcudart talks
 * to the driver through tables that are not documented, so it can't run over
 * the lab's libcuda.
 */
#ifndef LAB_CUDA_RUNTIME_H
#define LAB_CUDA_RUNTIME_H

#include <stddef.h>

enum cudaError {
	cudaSuccess			= 0,
	cudaErrorInvalidValue		= 1,
	cudaErrorMemoryAllocation	= 2,
	cudaErrorInitializationError	= 3,
	cudaErrorNoDevice		= 100,
	cudaErrorInvalidDevice		= 101,
	cudaErrorUnknown		= 999
};

typedef enum cudaError cudaError_t;

enum cudaMemcpyKind {
	cudaMemcpyHostToHost		= 0,
	cudaMemcpyHostToDevice		= 1,
	cudaMemcpyDeviceToHost		= 2,
	cudaMemcpyDeviceToDevice	= 3,
	cudaMemcpyDefault		= 4
};

cudaError_t cudaSetDevice(int device);
cudaError_t cudaMalloc(void **memory, size_t size);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMemset(void *memory, int value, size_t size);
cudaError_t cudaMemcpy(void *dst, const void *src, size_t size,
		       enum cudaMemcpyKind kind);
const char *cudaGetErrorName(cudaError_t error);

#endif /* LAB_CUDA_RUNTIME_H */
