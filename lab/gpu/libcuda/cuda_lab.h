/* SPDX-License-Identifier: MIT */
/*
 * The part of the CUDA driver interface that the lab's libcuda.so.1 has.
 *
 * Names, values and layouts are those of the CUDA driver API; what each call
 * does and returns is documented there.  Names without _v2 are the same
 * functions: the 32-bit ones that they once were are not emulated.
 */
#ifndef CUDA_LAB_H
#define CUDA_LAB_H

#include <stddef.h>
#include <stdint.h>

#define CUDA_LAB_VERSION	13000

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmemPoolHandle_st *CUmemoryPool;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef void (*CUhostFn)(void *data);
typedef struct CUuuid_st { char bytes[16]; } CUuuid;

typedef enum cudaError_enum {
	CUDA_SUCCESS				= 0,
	CUDA_ERROR_INVALID_VALUE		= 1,
	CUDA_ERROR_OUT_OF_MEMORY		= 2,
	CUDA_ERROR_NOT_INITIALIZED		= 3,
	CUDA_ERROR_DEINITIALIZED		= 4,
	CUDA_ERROR_DEVICE_UNAVAILABLE		= 46,
	CUDA_ERROR_NO_DEVICE			= 100,
	CUDA_ERROR_INVALID_DEVICE		= 101,
	CUDA_ERROR_INVALID_CONTEXT		= 201,
	CUDA_ERROR_MAP_FAILED			= 205,
	CUDA_ERROR_OPERATING_SYSTEM		= 304,
	CUDA_ERROR_INVALID_HANDLE		= 400,
	CUDA_ERROR_NOT_FOUND			= 500,
	CUDA_ERROR_NOT_READY			= 600,
	CUDA_ERROR_CONTEXT_IS_DESTROYED		= 709,
	CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
	CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED	= 713,
	CUDA_ERROR_NOT_PERMITTED		= 800,
	CUDA_ERROR_NOT_SUPPORTED		= 801,
	CUDA_ERROR_UNKNOWN			= 999
} CUresult;

typedef enum CUdevice_attribute_enum {
	CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK		= 1,
	CU_DEVICE_ATTRIBUTE_WARP_SIZE				= 10,
	CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT		= 16,
	CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY			= 19,
	CU_DEVICE_ATTRIBUTE_PCI_BUS_ID				= 33,
	CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID			= 34,
	CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT			= 40,
	CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING			= 41,
	CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID			= 50,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR		= 75,
	CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR		= 76,
	CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED	= 102,
	CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED = 110,
	CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED		= 115,
	CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED		= 116,
	CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS = 117,
	CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING	= 118,
	CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED			= 124,
	CU_DEVICE_ATTRIBUTE_LAB_MAX				= 160
} CUdevice_attribute;

typedef enum CUpointer_attribute_enum {
	CU_POINTER_ATTRIBUTE_CONTEXT			= 1,
	CU_POINTER_ATTRIBUTE_MEMORY_TYPE		= 2,
	CU_POINTER_ATTRIBUTE_DEVICE_POINTER		= 3,
	CU_POINTER_ATTRIBUTE_HOST_POINTER		= 4,
	CU_POINTER_ATTRIBUTE_SYNC_MEMOPS		= 6,
	CU_POINTER_ATTRIBUTE_BUFFER_ID			= 7,
	CU_POINTER_ATTRIBUTE_IS_MANAGED			= 8,
	CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL		= 9,
	CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE	= 10,
	CU_POINTER_ATTRIBUTE_RANGE_START_ADDR		= 11,
	CU_POINTER_ATTRIBUTE_RANGE_SIZE			= 12,
	CU_POINTER_ATTRIBUTE_MAPPED			= 13,
	CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES	= 14,
	CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE	= 15,
	CU_POINTER_ATTRIBUTE_ACCESS_FLAGS		= 16,
	CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE		= 17,
	CU_POINTER_ATTRIBUTE_MAPPING_SIZE		= 18,
	CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR		= 19,
	CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID		= 20
} CUpointer_attribute;

#define CU_MEMORYTYPE_HOST				1
#define CU_MEMORYTYPE_DEVICE				2
#define CU_STREAM_NON_BLOCKING				1
#define CU_STREAM_LEGACY				((CUstream)1)
#define CU_STREAM_PER_THREAD				((CUstream)2)
#define CU_STREAM_WAIT_VALUE_GEQ			0
#define CU_STREAM_WAIT_VALUE_EQ				1
#define CU_STREAM_WAIT_VALUE_AND			2
#define CU_STREAM_WAIT_VALUE_NOR			3
#define CU_EVENT_DISABLE_TIMING				2
#define CU_MEMHOSTALLOC_PORTABLE			1
#define CU_MEMHOSTALLOC_DEVICEMAP			2
#define CU_MEMHOSTALLOC_WRITECOMBINED			4
#define CU_MEM_ATTACH_GLOBAL				1
#define CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE	3
#define CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST	1

typedef enum {
	CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX = 0
} CUflushGPUDirectRDMAWritesTarget;

typedef enum {
	CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER	= 100,
	CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES	= 200
} CUflushGPUDirectRDMAWritesScope;

typedef enum {
	CU_GET_PROC_ADDRESS_SUCCESS			= 0,
	CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND		= 1,
	CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT	= 2
} CUdriverProcAddressQueryResult;

typedef enum {
	CU_STREAM_CAPTURE_MODE_GLOBAL		= 0,
	CU_STREAM_CAPTURE_MODE_THREAD_LOCAL	= 1,
	CU_STREAM_CAPTURE_MODE_RELAXED		= 2
} CUstreamCaptureMode;

typedef enum {
	CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD	= 1
} CUmemRangeHandleType;

typedef enum {
	CU_MEM_ALLOCATION_TYPE_PINNED		= 1
} CUmemAllocationType;

typedef enum {
	CU_MEM_HANDLE_TYPE_NONE			= 0,
	CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR = 1
} CUmemAllocationHandleType;

typedef enum {
	CU_MEM_LOCATION_TYPE_DEVICE		= 1
} CUmemLocationType;

typedef enum {
	CU_MEM_ACCESS_FLAGS_PROT_NONE		= 0,
	CU_MEM_ACCESS_FLAGS_PROT_READ		= 1,
	CU_MEM_ACCESS_FLAGS_PROT_READWRITE	= 3
} CUmemAccess_flags;

typedef enum {
	CU_MEM_ALLOC_GRANULARITY_MINIMUM	= 0,
	CU_MEM_ALLOC_GRANULARITY_RECOMMENDED	= 1
} CUmemAllocationGranularity_flags;

typedef enum {
	CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES	= 1,
	CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC	= 2,
	CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3,
	CU_MEMPOOL_ATTR_RELEASE_THRESHOLD		= 4,
	CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT		= 5,
	CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH		= 6,
	CU_MEMPOOL_ATTR_USED_MEM_CURRENT		= 7,
	CU_MEMPOOL_ATTR_USED_MEM_HIGH			= 8
} CUmemPool_attribute;

typedef struct {
	CUmemLocationType type;
	int id;
} CUmemLocation;

typedef struct {
	CUmemAllocationType type;
	CUmemAllocationHandleType requestedHandleTypes;
	CUmemLocation location;
	void *win32HandleMetaData;
	struct {
		unsigned char compressionType;
		unsigned char gpuDirectRDMACapable;
		unsigned short usage;
		unsigned char reserved[4];
	} allocFlags;
} CUmemAllocationProp;

typedef struct {
	CUmemLocation location;
	CUmemAccess_flags flags;
} CUmemAccessDesc;

typedef struct {
	CUmemAllocationType allocType;
	CUmemAllocationHandleType handleTypes;
	CUmemLocation location;
	void *win32SecurityAttributes;
	size_t maxSize;
	unsigned short usage;
	unsigned char reserved[54];
} CUmemPoolProps;

/* That the addresses are those of the PCI bus; here they always are. */
#define CU_MEM_RANGE_FLAG_DMA_BUF_MAPPING_TYPE_PCIE	1

CUresult cuInit(unsigned int flags);
CUresult cuDriverGetVersion(int *version);
CUresult cuGetErrorName(CUresult error, const char **name);
CUresult cuGetErrorString(CUresult error, const char **text);
CUresult cuGetProcAddress(const char *symbol, void **pfn, int version,
			  uint64_t flags);
CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version,
			     uint64_t flags,
			     CUdriverProcAddressQueryResult *status);

CUresult cuDeviceGetCount(int *count);
CUresult cuDeviceGet(CUdevice *device, int ordinal);
CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *id);
CUresult cuDeviceGetName(char *name, int len, CUdevice device);
CUresult cuDeviceGetPCIBusId(char *id, int len, CUdevice device);
CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device);
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device);
CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device);
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device);
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
			      CUdevice device);

CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice device);
CUresult cuDevicePrimaryCtxRelease(CUdevice device);
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device);
CUresult cuDevicePrimaryCtxReset(CUdevice device);
CUresult cuDevicePrimaryCtxReset_v2(CUdevice device);
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags,
				    int *active);
CUresult cuCtxCreate(CUcontext *ctx, unsigned int flags, CUdevice device);
CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned int flags, CUdevice device);
/* @params: NULL, there is nothing to choose. */
CUresult cuCtxCreate_v4(CUcontext *ctx, void *params, unsigned int flags,
			CUdevice device);
CUresult cuCtxDestroy(CUcontext ctx);
CUresult cuCtxDestroy_v2(CUcontext ctx);
CUresult cuCtxSetCurrent(CUcontext ctx);
CUresult cuCtxGetCurrent(CUcontext *ctx);
CUresult cuCtxPushCurrent(CUcontext ctx);
CUresult cuCtxPushCurrent_v2(CUcontext ctx);
CUresult cuCtxPopCurrent(CUcontext *ctx);
CUresult cuCtxPopCurrent_v2(CUcontext *ctx);
CUresult cuCtxGetDevice(CUdevice *device);
CUresult cuCtxGetFlags(unsigned int *flags);
CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id);
/* Priorities are kept, and change nothing. */
CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest);
CUresult cuCtxSynchronize(void);
CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer);
/* There are no graphs here, so the mode is only kept. */
CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode);
CUresult cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
				    CUflushGPUDirectRDMAWritesScope scope);

CUresult cuMemGetInfo(size_t *free, size_t *total);
CUresult cuMemGetInfo_v2(size_t *free, size_t *total);
CUresult cuMemAlloc(CUdeviceptr *ptr, size_t size);
CUresult cuMemAlloc_v2(CUdeviceptr *ptr, size_t size);
CUresult cuMemFree(CUdeviceptr ptr);
CUresult cuMemFree_v2(CUdeviceptr ptr);
CUresult cuMemGetAddressRange(CUdeviceptr *base, size_t *size, CUdeviceptr ptr);
CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size,
				 CUdeviceptr ptr);
/* @handle: an int, for a file descriptor that the caller closes. */
CUresult cuMemGetHandleForAddressRange(void *handle, CUdeviceptr ptr,
				       size_t size, CUmemRangeHandleType type,
				       unsigned long long flags);
CUresult cuMemcpyHtoD(CUdeviceptr dst, const void *src, size_t size);
CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t size);
CUresult cuMemcpyDtoH(void *dst, CUdeviceptr src, size_t size);
CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t size);
CUresult cuMemcpyDtoD(CUdeviceptr dst, CUdeviceptr src, size_t size);
CUresult cuMemcpyDtoD_v2(CUdeviceptr dst, CUdeviceptr src, size_t size);
CUresult cuMemsetD8(CUdeviceptr dst, unsigned char value, size_t size);
CUresult cuMemsetD8_v2(CUdeviceptr dst, unsigned char value, size_t size);
CUresult cuMemsetD32(CUdeviceptr dst, unsigned int value, size_t count);
CUresult cuMemsetD32_v2(CUdeviceptr dst, unsigned int value, size_t count);
CUresult cuMemcpy(CUdeviceptr dst, CUdeviceptr src, size_t size);
CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t size,
		       CUstream stream);
CUresult cuMemcpyHtoDAsync(CUdeviceptr dst, const void *src, size_t size,
			   CUstream stream);
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src, size_t size,
			      CUstream stream);
CUresult cuMemcpyDtoHAsync(void *dst, CUdeviceptr src, size_t size,
			   CUstream stream);
CUresult cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t size,
			      CUstream stream);
CUresult cuMemcpyDtoDAsync(CUdeviceptr dst, CUdeviceptr src, size_t size,
			   CUstream stream);
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t size,
			      CUstream stream);
/* Attributes are advice, and not looked at. */
CUresult cuMemcpyBatchAsync_v2(CUdeviceptr *dsts, CUdeviceptr *srcs,
			       size_t *sizes, size_t count, void *attributes,
			       size_t *first, size_t nr_attributes,
			       CUstream stream);
CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t size,
			 CUstream stream);
CUresult cuMemAllocManaged(CUdeviceptr *ptr, size_t size, unsigned int flags);

/*
 * Reserved addresses, and memory that is mapped there.  Memory of other kinds
 * than a GPU's, and handles for other processes, are not there.
 */
CUresult cuMemAddressReserve(CUdeviceptr *ptr, size_t size, size_t alignment,
			     CUdeviceptr addr, unsigned long long flags);
CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size);
CUresult cuMemGetAllocationGranularity(size_t *granularity,
				       const CUmemAllocationProp *prop,
				       CUmemAllocationGranularity_flags option);
CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
		     const CUmemAllocationProp *prop, unsigned long long flags);
CUresult cuMemRelease(CUmemGenericAllocationHandle handle);
/* @size: all of the memory. */
CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset,
		  CUmemGenericAllocationHandle handle, unsigned long long flags);
/* One mapping or several, each as a whole; waits for what uses them. */
CUresult cuMemUnmap(CUdeviceptr ptr, size_t size);
CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size,
			const CUmemAccessDesc *desc, size_t count);
CUresult cuMemGetAccess(unsigned long long *flags,
			const CUmemLocation *location, CUdeviceptr ptr);
CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle,
				     void *addr);
CUresult
cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
				       CUmemGenericAllocationHandle handle);

/*
 * Memory in stream order.  What is freed may be had again in the same stream at
 * once, and in others when the stream has come to that.
 */
CUresult cuMemAllocAsync(CUdeviceptr *ptr, size_t size, CUstream stream);
CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ptr, size_t size,
				 CUmemoryPool pool, CUstream stream);
CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream stream);
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device);
CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props);
CUresult cuMemPoolDestroy(CUmemoryPool pool);
CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep);
/* How memory is reused is kept, and changes nothing. */
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute,
			       void *value);
CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute,
			       void *value);
CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc *map,
			    size_t count);
CUresult cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool pool,
			    CUmemLocation *location);

CUresult cuMemHostAlloc(void **host, size_t size, unsigned int flags);
CUresult cuMemAllocHost(void **host, size_t size);
CUresult cuMemAllocHost_v2(void **host, size_t size);
CUresult cuMemFreeHost(void *host);
CUresult cuMemHostRegister(void *host, size_t size, unsigned int flags);
CUresult cuMemHostRegister_v2(void *host, size_t size, unsigned int flags);
CUresult cuMemHostUnregister(void *host);
CUresult cuMemHostGetDevicePointer(CUdeviceptr *ptr, void *host,
				   unsigned int flags);
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *ptr, void *host,
				      unsigned int flags);
CUresult cuMemHostGetFlags(unsigned int *flags, void *host);

CUresult cuStreamCreate(CUstream *stream, unsigned int flags);
CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags,
				    int priority);
CUresult cuStreamDestroy(CUstream stream);
CUresult cuStreamDestroy_v2(CUstream stream);
CUresult cuStreamSynchronize(CUstream stream);
CUresult cuStreamQuery(CUstream stream);
CUresult cuStreamGetCtx(CUstream stream, CUcontext *ctx);
CUresult cuStreamGetFlags(CUstream stream, unsigned int *flags);
CUresult cuStreamGetPriority(CUstream stream, int *priority);
CUresult cuStreamIsCapturing(CUstream stream, int *status);
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags);
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn fn, void *data);
CUresult cuStreamWaitValue32(CUstream stream, CUdeviceptr addr, uint32_t value,
			     unsigned int flags);
CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr,
				uint32_t value, unsigned int flags);
CUresult cuStreamWriteValue32(CUstream stream, CUdeviceptr addr, uint32_t value,
			      unsigned int flags);
CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr,
				 uint32_t value, unsigned int flags);
CUresult cuEventCreate(CUevent *event, unsigned int flags);
CUresult cuEventDestroy(CUevent event);
CUresult cuEventDestroy_v2(CUevent event);
CUresult cuEventRecord(CUevent event, CUstream stream);
CUresult cuEventQuery(CUevent event);
CUresult cuEventSynchronize(CUevent event);
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end);
CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute,
			       CUdeviceptr ptr);
CUresult cuPointerGetAttributes(unsigned int count,
				CUpointer_attribute *attributes, void **data,
				CUdeviceptr ptr);
CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute,
			       CUdeviceptr ptr);

#endif
