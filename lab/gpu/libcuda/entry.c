// SPDX-License-Identifier: MIT
/* The lab's libcuda: words for errors, and functions by name. */

#include <string.h>

#include "lab.h"

static const struct {
	CUresult error;
	const char *name;
	const char *text;
} lab_errors[] = {
#define LAB_ERROR(error, text) { error, #error, text }
	LAB_ERROR(CUDA_SUCCESS, "no error"),
	LAB_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
	LAB_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
	LAB_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
	LAB_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
	LAB_ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "the device is busy or unavailable"),
	LAB_ERROR(CUDA_ERROR_NO_DEVICE, "no GPU was found"),
	LAB_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
	LAB_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
	LAB_ERROR(CUDA_ERROR_MAP_FAILED, "the memory could not be mapped"),
	LAB_ERROR(CUDA_ERROR_OPERATING_SYSTEM, "a call to the kernel failed"),
	LAB_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid handle"),
	LAB_ERROR(CUDA_ERROR_NOT_FOUND, "no such symbol or address"),
	LAB_ERROR(CUDA_ERROR_NOT_READY, "work is not done yet"),
	LAB_ERROR(CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
	LAB_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
		  "host memory is registered already"),
	LAB_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
		  "host memory is not registered"),
	LAB_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
	LAB_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
	LAB_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
#undef LAB_ERROR
};

static int lab_error_index(CUresult error)
{
	size_t i;

	for (i = 0; i < sizeof(lab_errors) / sizeof(lab_errors[0]); i++)
		if (lab_errors[i].error == error)
			return (int)i;
	return -1;
}

LAB_API CUresult cuGetErrorName(CUresult error, const char **name)
{
	int i = lab_error_index(error);

	if (!name)
		return CUDA_ERROR_INVALID_VALUE;
	*name = i < 0 ? NULL : lab_errors[i].name;
	return i < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

LAB_API CUresult cuGetErrorString(CUresult error, const char **text)
{
	int i = lab_error_index(error);

	if (!text)
		return CUDA_ERROR_INVALID_VALUE;
	*text = i < 0 ? NULL : lab_errors[i].text;
	return i < 0 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

typedef void (*lab_function)(void);

/* @since: first version of the interface that has it in this form. */
static const struct {
	const char *name;
	lab_function function;
	int since;
} lab_functions[] = {
#define LAB_FN(name, since) { #name, (lab_function)(name), since }
#define LAB_FN_V2(name, since) { #name, (lab_function)(name##_v2), since }
	LAB_FN(cuInit, 2000),
	LAB_FN(cuDriverGetVersion, 2020),
	LAB_FN(cuGetErrorName, 6000),
	LAB_FN(cuGetErrorString, 6000),
	LAB_FN_V2(cuGetProcAddress, 12000),
	/* The older form, for those who ask for it by that version. */
	LAB_FN(cuGetProcAddress, 11030),
	LAB_FN(cuDeviceGetCount, 2000),
	LAB_FN(cuDeviceGet, 2000),
	LAB_FN(cuDeviceGetByPCIBusId, 4010),
	LAB_FN(cuDeviceGetName, 2000),
	LAB_FN(cuDeviceGetPCIBusId, 4010),
	LAB_FN_V2(cuDeviceGetUuid, 9020),
	LAB_FN_V2(cuDeviceTotalMem, 3020),
	LAB_FN(cuDeviceGetAttribute, 2000),
	LAB_FN(cuDevicePrimaryCtxRetain, 7000),
	LAB_FN_V2(cuDevicePrimaryCtxRelease, 7000),
	LAB_FN_V2(cuDevicePrimaryCtxReset, 7000),
	LAB_FN(cuDevicePrimaryCtxGetState, 7000),
	{ "cuCtxCreate", (lab_function)cuCtxCreate_v4, 12050 },
	LAB_FN_V2(cuCtxCreate, 3020),
	LAB_FN_V2(cuCtxDestroy, 4000),
	LAB_FN(cuCtxSetCurrent, 4000),
	LAB_FN(cuCtxGetCurrent, 4000),
	LAB_FN_V2(cuCtxPushCurrent, 4000),
	LAB_FN_V2(cuCtxPopCurrent, 4000),
	LAB_FN(cuCtxGetDevice, 2000),
	LAB_FN(cuCtxGetFlags, 7000),
	LAB_FN(cuCtxGetId, 12000),
	LAB_FN(cuCtxGetStreamPriorityRange, 5050),
	LAB_FN(cuCtxSynchronize, 2000),
	LAB_FN(cuDeviceCanAccessPeer, 4000),
	LAB_FN(cuThreadExchangeStreamCaptureMode, 10010),
	LAB_FN(cuFlushGPUDirectRDMAWrites, 11030),
	LAB_FN_V2(cuMemGetInfo, 3020),
	LAB_FN_V2(cuMemAlloc, 3020),
	LAB_FN_V2(cuMemFree, 3020),
	LAB_FN_V2(cuMemGetAddressRange, 3020),
	LAB_FN(cuMemGetHandleForAddressRange, 11070),
	LAB_FN_V2(cuMemcpyHtoD, 3020),
	LAB_FN_V2(cuMemcpyDtoH, 3020),
	LAB_FN_V2(cuMemcpyDtoD, 3020),
	LAB_FN_V2(cuMemsetD8, 3020),
	LAB_FN_V2(cuMemsetD32, 3020),
	LAB_FN(cuMemcpy, 4000),
	LAB_FN(cuMemcpyAsync, 4000),
	{ "cuMemcpyBatchAsync", (lab_function)cuMemcpyBatchAsync_v2, 13000 },
	LAB_FN_V2(cuMemcpyHtoDAsync, 3020),
	LAB_FN_V2(cuMemcpyDtoHAsync, 3020),
	LAB_FN_V2(cuMemcpyDtoDAsync, 3020),
	LAB_FN(cuMemsetD8Async, 3020),
	LAB_FN(cuMemAllocManaged, 6000),
	LAB_FN(cuMemAddressReserve, 10020),
	LAB_FN(cuMemAddressFree, 10020),
	LAB_FN(cuMemGetAllocationGranularity, 10020),
	LAB_FN(cuMemCreate, 10020),
	LAB_FN(cuMemRelease, 10020),
	LAB_FN(cuMemMap, 10020),
	LAB_FN(cuMemUnmap, 10020),
	LAB_FN(cuMemSetAccess, 10020),
	LAB_FN(cuMemGetAccess, 10020),
	LAB_FN(cuMemRetainAllocationHandle, 11000),
	LAB_FN(cuMemGetAllocationPropertiesFromHandle, 10020),
	LAB_FN(cuMemAllocAsync, 11020),
	LAB_FN(cuMemAllocFromPoolAsync, 11020),
	LAB_FN(cuMemFreeAsync, 11020),
	LAB_FN(cuDeviceGetDefaultMemPool, 11020),
	LAB_FN(cuDeviceGetMemPool, 11020),
	LAB_FN(cuDeviceSetMemPool, 11020),
	LAB_FN(cuMemPoolCreate, 11020),
	LAB_FN(cuMemPoolDestroy, 11020),
	LAB_FN(cuMemPoolTrimTo, 11020),
	LAB_FN(cuMemPoolSetAttribute, 11020),
	LAB_FN(cuMemPoolGetAttribute, 11020),
	LAB_FN(cuMemPoolSetAccess, 11020),
	LAB_FN(cuMemPoolGetAccess, 11020),
	LAB_FN(cuMemHostAlloc, 2020),
	LAB_FN_V2(cuMemAllocHost, 3020),
	LAB_FN(cuMemFreeHost, 2000),
	LAB_FN_V2(cuMemHostRegister, 6050),
	LAB_FN(cuMemHostUnregister, 4000),
	LAB_FN_V2(cuMemHostGetDevicePointer, 3020),
	LAB_FN(cuMemHostGetFlags, 3000),
	LAB_FN(cuStreamCreate, 2000),
	LAB_FN(cuStreamCreateWithPriority, 5050),
	LAB_FN_V2(cuStreamDestroy, 4000),
	LAB_FN(cuStreamSynchronize, 2000),
	LAB_FN(cuStreamQuery, 2000),
	LAB_FN(cuStreamGetCtx, 9020),
	LAB_FN(cuStreamGetFlags, 5050),
	LAB_FN(cuStreamGetPriority, 5050),
	LAB_FN(cuStreamIsCapturing, 10000),
	LAB_FN(cuStreamWaitEvent, 3020),
	LAB_FN(cuLaunchHostFunc, 10000),
	LAB_FN_V2(cuStreamWaitValue32, 11070),
	LAB_FN_V2(cuStreamWriteValue32, 11070),
	LAB_FN(cuEventCreate, 2000),
	LAB_FN_V2(cuEventDestroy, 4000),
	LAB_FN(cuEventRecord, 2000),
	LAB_FN(cuEventQuery, 2000),
	LAB_FN(cuEventSynchronize, 2000),
	LAB_FN(cuEventElapsedTime, 2000),
	LAB_FN(cuPointerGetAttribute, 4000),
	LAB_FN(cuPointerGetAttributes, 7000),
	LAB_FN(cuPointerSetAttribute, 6000),
#undef LAB_FN
#undef LAB_FN_V2
};

static CUdriverProcAddressQueryResult lab_lookup(const char *symbol, int version,
						 lab_function *function)
{
	CUdriverProcAddressQueryResult result = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
	size_t i;

	*function = NULL;
	for (i = 0; i < sizeof(lab_functions) / sizeof(lab_functions[0]); i++) {
		if (strcmp(lab_functions[i].name, symbol))
			continue;
		/* The newest form of a function comes first. */
		result = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
		if (version < lab_functions[i].since)
			continue;
		*function = lab_functions[i].function;
		return CU_GET_PROC_ADDRESS_SUCCESS;
	}
	return result;
}

LAB_API CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
				     uint64_t flags,
				     CUdriverProcAddressQueryResult *status)
{
	CUdriverProcAddressQueryResult result;
	lab_function function;

	/* 1: legacy streams, 2: per-thread streams; both the same here. */
	if (!symbol || !pfn || flags > 2)
		return CUDA_ERROR_INVALID_VALUE;
	result = lab_lookup(symbol, version, &function);
	memcpy(pfn, &function, sizeof(*pfn));
	if (status)
		*status = result;
	return CUDA_SUCCESS;
}

/* The older form has no status: a missing symbol is an error. */
LAB_API CUresult cuGetProcAddress(const char *symbol, void **pfn, int version,
				  uint64_t flags)
{
	CUresult ret = cuGetProcAddress_v2(symbol, pfn, version, flags, NULL);

	return !ret && !*pfn ? CUDA_ERROR_NOT_FOUND : ret;
}
