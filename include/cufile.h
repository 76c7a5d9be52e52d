/* SPDX-License-Identifier: MIT */
/*
 * cuFile: move bytes between files and GPU memory.
 *
 * The interface of libcufile.so.0 as of API 1.15 (CUDA 13.0), with the layouts
 * of that release, and those later calls that carry the sizes of what they
 * pass.  Written for NVFS from the published interface; binaries that were
 * built against another cufile.h of this major version run unchanged.
 *
 * Rules for every call
 *	- Sizes and offsets are bytes, but for the four cuFileDriverSet*()
 *	  sizes and CUfileDrvProps_t, which are KiB.
 *	- Several threads may call at once.  A child of fork(2) may not: it gets
 *	  CU_FILE_DRIVER_NOT_INITIALIZED.
 *	- Nothing is ordered with a CUDA stream, except cuFileReadAsync() and
 *	  cuFileWriteAsync().
 *	- A NULL pointer where one is needed is CU_FILE_INVALID_VALUE.
 *
 * cuda.h is used where it can be found.  An application that brings its own
 * CUresult and CUstream defines CUFILE_NO_CUDA_TYPES.
 */
#ifndef CUFILE_H
#define CUFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

/* ISO C99 has none. */
struct timespec;

#if !defined(CUFILE_NO_CUDA_TYPES) && defined(__has_include)
#if __has_include(<cuda.h>)
#include <cuda.h>
#define CUFILE_NO_CUDA_TYPES
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#ifndef CUFILE_NO_CUDA_TYPES
/* As cuda.h has them: an enum of non-negative values, and a pointer. */
typedef unsigned int CUresult;
typedef struct CUstream_st *CUstream;
#endif

/* ---------------------------------------------------------------- errors */

#define CUFILEOP_BASE_ERR	5000

typedef enum CUfileOpError {
	CU_FILE_SUCCESS				= 0,
	CU_FILE_DRIVER_NOT_INITIALIZED		= 5001,
	CU_FILE_DRIVER_INVALID_PROPS		= 5002,
	CU_FILE_DRIVER_UNSUPPORTED_LIMIT	= 5003,
	CU_FILE_DRIVER_VERSION_MISMATCH		= 5004,
	CU_FILE_DRIVER_VERSION_READ_ERROR	= 5005,
	CU_FILE_DRIVER_CLOSING			= 5006,
	CU_FILE_PLATFORM_NOT_SUPPORTED		= 5007,
	CU_FILE_IO_NOT_SUPPORTED		= 5008,
	CU_FILE_DEVICE_NOT_SUPPORTED		= 5009,
	CU_FILE_NVFS_DRIVER_ERROR		= 5010,
	CU_FILE_CUDA_DRIVER_ERROR		= 5011,
	CU_FILE_CUDA_POINTER_INVALID		= 5012,
	CU_FILE_CUDA_MEMORY_TYPE_INVALID	= 5013,
	CU_FILE_CUDA_POINTER_RANGE_ERROR	= 5014,
	CU_FILE_CUDA_CONTEXT_MISMATCH		= 5015,
	CU_FILE_INVALID_MAPPING_SIZE		= 5016,
	CU_FILE_INVALID_MAPPING_RANGE		= 5017,
	CU_FILE_INVALID_FILE_TYPE		= 5018,
	CU_FILE_INVALID_FILE_OPEN_FLAG		= 5019,
	CU_FILE_DIO_NOT_SET			= 5020,
	CU_FILE_INVALID_VALUE			= 5022,
	CU_FILE_MEMORY_ALREADY_REGISTERED	= 5023,
	CU_FILE_MEMORY_NOT_REGISTERED		= 5024,
	CU_FILE_PERMISSION_DENIED		= 5025,
	CU_FILE_DRIVER_ALREADY_OPEN		= 5026,
	CU_FILE_HANDLE_NOT_REGISTERED		= 5027,
	CU_FILE_HANDLE_ALREADY_REGISTERED	= 5028,
	CU_FILE_DEVICE_NOT_FOUND		= 5029,
	CU_FILE_INTERNAL_ERROR			= 5030,
	CU_FILE_GETNEWFD_FAILED			= 5031,
	CU_FILE_NVFS_SETUP_ERROR		= 5033,
	CU_FILE_IO_DISABLED			= 5034,
	CU_FILE_BATCH_SUBMIT_FAILED		= 5035,
	CU_FILE_GPU_MEMORY_PINNING_FAILED	= 5036,
	CU_FILE_BATCH_FULL			= 5037,
	CU_FILE_ASYNC_NOT_SUPPORTED		= 5038,
	CU_FILE_INTERNAL_BATCH_SETUP_ERROR	= 5039,
	CU_FILE_INTERNAL_BATCH_SUBMIT_ERROR	= 5040,
	CU_FILE_INTERNAL_BATCH_GETSTATUS_ERROR	= 5041,
	CU_FILE_INTERNAL_BATCH_CANCEL_ERROR	= 5042,
	CU_FILE_NOMEM_ERROR			= 5043,
	CU_FILE_IO_ERROR			= 5044,
	CU_FILE_INTERNAL_BUF_REGISTER_ERROR	= 5045,
	CU_FILE_HASH_OPR_ERROR			= 5046,
	CU_FILE_INVALID_CONTEXT_ERROR		= 5047,
	CU_FILE_NVFS_INTERNAL_DRIVER_ERROR	= 5048,
	CU_FILE_BATCH_NOCOMPAT_ERROR		= 5049,
	CU_FILE_IO_MAX_ERROR			= 5050
} CUfileOpError;

/* cu_err says more when err is CU_FILE_CUDA_DRIVER_ERROR. */
typedef struct CUfileError {
	CUfileOpError err;
	CUresult cu_err;
} CUfileError_t;

#define IS_CUFILE_ERR(err)	(labs((long)(err)) > CUFILEOP_BASE_ERR)
#define CUFILE_ERRSTR(err)	\
	cufileop_status_error((CUfileOpError)labs((long)(err)))
#define IS_CUDA_ERR(status)	((status).err == CU_FILE_CUDA_DRIVER_ERROR)
#define CU_FILE_CUDA_ERR(status) ((status).cu_err)

/* X(error, what it says to people) for all of them. */
#define CUFILEOP_TEXTS(X) \
	X(CU_FILE_SUCCESS, "success") \
	X(CU_FILE_DRIVER_NOT_INITIALIZED, "the driver is not open") \
	X(CU_FILE_DRIVER_INVALID_PROPS, "invalid property") \
	X(CU_FILE_DRIVER_UNSUPPORTED_LIMIT, "a property is out of its range") \
	X(CU_FILE_DRIVER_VERSION_MISMATCH, \
	  "library and kernel module do not fit together") \
	X(CU_FILE_DRIVER_VERSION_READ_ERROR, \
	  "the version of the kernel module can't be read") \
	X(CU_FILE_DRIVER_CLOSING, "the driver is being closed") \
	X(CU_FILE_PLATFORM_NOT_SUPPORTED, "not supported on this platform") \
	X(CU_FILE_IO_NOT_SUPPORTED, "not supported on this file") \
	X(CU_FILE_DEVICE_NOT_SUPPORTED, "not supported on this GPU") \
	X(CU_FILE_NVFS_DRIVER_ERROR, "the kernel module failed") \
	X(CU_FILE_CUDA_DRIVER_ERROR, "a CUDA driver call failed") \
	X(CU_FILE_CUDA_POINTER_INVALID, "not a pointer to GPU memory") \
	X(CU_FILE_CUDA_MEMORY_TYPE_INVALID, \
	  "this type of memory can't be used here") \
	X(CU_FILE_CUDA_POINTER_RANGE_ERROR, "the range exceeds the memory") \
	X(CU_FILE_CUDA_CONTEXT_MISMATCH, \
	  "the memory belongs to another context") \
	X(CU_FILE_INVALID_MAPPING_SIZE, "the range exceeds what is mapped") \
	X(CU_FILE_INVALID_MAPPING_RANGE, \
	  "the range exceeds what is mapped or the limit") \
	X(CU_FILE_INVALID_FILE_TYPE, \
	  "neither a regular file nor a block device") \
	X(CU_FILE_INVALID_FILE_OPEN_FLAG, \
	  "the file was opened with a flag that is not supported") \
	X(CU_FILE_DIO_NOT_SET, "the file was not opened with O_DIRECT") \
	X(CU_FILE_INVALID_VALUE, "invalid argument") \
	X(CU_FILE_MEMORY_ALREADY_REGISTERED, \
	  "the memory is registered already") \
	X(CU_FILE_MEMORY_NOT_REGISTERED, "the memory is not registered") \
	X(CU_FILE_PERMISSION_DENIED, "permission denied") \
	X(CU_FILE_DRIVER_ALREADY_OPEN, "the driver is open already") \
	X(CU_FILE_HANDLE_NOT_REGISTERED, "the file handle is not registered") \
	X(CU_FILE_HANDLE_ALREADY_REGISTERED, "the file is registered already") \
	X(CU_FILE_DEVICE_NOT_FOUND, "no such GPU") \
	X(CU_FILE_INTERNAL_ERROR, "internal error") \
	X(CU_FILE_GETNEWFD_FAILED, "no file descriptor could be had") \
	X(CU_FILE_NVFS_SETUP_ERROR, "the kernel module can't be set up") \
	X(CU_FILE_IO_DISABLED, "I/O is disabled on this file") \
	X(CU_FILE_BATCH_SUBMIT_FAILED, "the batch can't be submitted") \
	X(CU_FILE_GPU_MEMORY_PINNING_FAILED, "GPU memory can't be pinned") \
	X(CU_FILE_BATCH_FULL, "the batch is full") \
	X(CU_FILE_ASYNC_NOT_SUPPORTED, "asynchronous I/O is not supported") \
	X(CU_FILE_INTERNAL_BATCH_SETUP_ERROR, "internal error: batch set-up") \
	X(CU_FILE_INTERNAL_BATCH_SUBMIT_ERROR, \
	  "internal error: batch submission") \
	X(CU_FILE_INTERNAL_BATCH_GETSTATUS_ERROR, \
	  "internal error: batch status") \
	X(CU_FILE_INTERNAL_BATCH_CANCEL_ERROR, "internal error: batch cancel") \
	X(CU_FILE_NOMEM_ERROR, "out of memory") \
	X(CU_FILE_IO_ERROR, "I/O error") \
	X(CU_FILE_INTERNAL_BUF_REGISTER_ERROR, \
	  "internal error: buffer registration") \
	X(CU_FILE_HASH_OPR_ERROR, "internal error: look-up") \
	X(CU_FILE_INVALID_CONTEXT_ERROR, "invalid CUDA context") \
	X(CU_FILE_NVFS_INTERNAL_DRIVER_ERROR, \
	  "internal error of the kernel module") \
	X(CU_FILE_BATCH_NOCOMPAT_ERROR, \
	  "batch not possible in compatibility mode") \
	X(CU_FILE_IO_MAX_ERROR, "general I/O error")

/* The error as words; they need not be freed. */
static inline const char *cufileop_status_error(CUfileOpError status)
{
	switch (status) {
#define CUFILEOP_CASE(error, text) case error: return text;
	CUFILEOP_TEXTS(CUFILEOP_CASE)
#undef CUFILEOP_CASE
	default:
		return "unknown error";
	}
}

/* ---------------------------------------------------------------- driver */

/* Bits of CUfileDrvProps_t.nvfs.dstatusflags, by number. */
typedef enum CUfileDriverStatusFlags {
	CU_FILE_LUSTRE_SUPPORTED		= 0,
	CU_FILE_WEKAFS_SUPPORTED		= 1,
	CU_FILE_NFS_SUPPORTED			= 2,
	CU_FILE_GPFS_SUPPORTED			= 3,
	CU_FILE_NVME_SUPPORTED			= 4,
	CU_FILE_NVMEOF_SUPPORTED		= 5,
	CU_FILE_SCSI_SUPPORTED			= 6,
	CU_FILE_SCALEFLUX_CSD_SUPPORTED		= 7,
	CU_FILE_NVMESH_SUPPORTED		= 8,
	CU_FILE_BEEGFS_SUPPORTED		= 9,
	CU_FILE_NVME_P2P_SUPPORTED		= 11,
	CU_FILE_SCATEFS_SUPPORTED		= 12,
	CU_FILE_VIRTIOFS_SUPPORTED		= 13,
	CU_FILE_MAX_TARGET_TYPES		= 14
} CUfileDriverStatusFlags_t;

/* Bits of CUfileDrvProps_t.nvfs.dcontrolflags, by number. */
typedef enum CUfileDriverControlFlags {
	CU_FILE_USE_POLL_MODE			= 0,
	CU_FILE_ALLOW_COMPAT_MODE		= 1,
	CU_FILE_VANILLA_POSIX_IO_MODE		= 2,
	CU_FILE_FALLBACK_IO_MODE		= 4
} CUfileDriverControlFlags_t;

/* Bits of CUfileDrvProps_t.fflags, by number. */
typedef enum CUfileFeatureFlags {
	CU_FILE_DYN_ROUTING_SUPPORTED		= 0,
	CU_FILE_BATCH_IO_SUPPORTED		= 1,
	CU_FILE_STREAMS_SUPPORTED		= 2,
	CU_FILE_PARALLEL_IO_SUPPORTED		= 3,
	CU_FILE_P2P_SUPPORTED			= 4
} CUfileFeatureFlags_t;

/* Sizes are KiB. */
typedef struct CUfileDrvProps {
	struct {
		unsigned int major_version;
		unsigned int minor_version;
		size_t poll_thresh_size;
		size_t max_direct_io_size;
		unsigned int dstatusflags;
		unsigned int dcontrolflags;
	} nvfs;
	unsigned int fflags;
	unsigned int max_device_cache_size;
	unsigned int per_buffer_cache_size;
	unsigned int max_device_pinned_mem_size;
	unsigned int max_batch_io_size;
	unsigned int max_batch_io_timeout_msecs;
} CUfileDrvProps_t;

/*
 * Opens the library, or adds a reference when it is open.  The calls that
 * register files, memory and streams, that set up a batch, and that ask for
 * properties or the topology open it themselves.  Those that move bytes do not,
 * as they need a handle: they fail with CU_FILE_DRIVER_NOT_INITIALIZED when it
 * is closed.
 */
CUfileError_t cuFileDriverOpen(void);
/*
 * Drops a reference; the last one deregisters all that is left.
 * CU_FILE_DRIVER_NOT_INITIALIZED: not open.  CU_FILE_DRIVER_CLOSING: requests
 * are in flight, and nothing was closed.
 */
CUfileError_t cuFileDriverClose(void);
CUfileError_t cuFileDriverClose_v2(void);
#define cuFileDriverClose cuFileDriverClose_v2
/* References; 0 when it is not open. */
long cuFileUseCount(void);
/* Opens the library if need be. */
CUfileError_t cuFileDriverGetProperties(CUfileDrvProps_t *props);
/*
 * KiB.  CU_FILE_DRIVER_UNSUPPORTED_LIMIT: out of the documented range.  To be
 * called before the library is opened.  While it is open they change what
 * cuFileDriverGetProperties() tells, and the limit of later registrations, but
 * not what the library was opened with: its helpers' polling, and how much
 * memory is pinned without registration.
 */
CUfileError_t cuFileDriverSetPollMode(bool poll, size_t poll_threshold_size);
CUfileError_t cuFileDriverSetMaxDirectIOSize(size_t max_direct_io_size);
CUfileError_t cuFileDriverSetMaxCacheSize(size_t max_cache_size);
CUfileError_t cuFileDriverSetMaxPinnedMemSize(size_t max_pinned_size);
/* 1000 * major + 10 * minor. */
CUfileError_t cuFileGetVersion(int *version);

/* ----------------------------------------------------------------- files */

struct sockaddr;
typedef struct sockaddr sockaddr_t;
typedef void *CUfileHandle_t;

typedef struct cufileRDMAInfo {
	int version;
	int desc_len;
	const char *desc_str;
} cufileRDMAInfo_t;

/* For CU_FILE_HANDLE_TYPE_USERSPACE_FS. */
typedef struct CUfileFSOps {
	const char *(*fs_type)(const void *handle);
	int (*getRDMADeviceList)(const void *handle, sockaddr_t **hostaddrs);
	int (*getRDMADevicePriority)(const void *handle, char *buf,
				     size_t size, off_t offset,
				     const sockaddr_t *hostaddr);
	ssize_t (*read)(const void *handle, char *buf, size_t size,
			off_t offset, const cufileRDMAInfo_t *info);
	ssize_t (*write)(const void *handle, const char *buf, size_t size,
			 off_t offset, const cufileRDMAInfo_t *info);
} CUfileFSOps_t;

enum CUfileFileHandleType {
	CU_FILE_HANDLE_TYPE_OPAQUE_FD		= 1,
	CU_FILE_HANDLE_TYPE_OPAQUE_WIN32	= 2,
	CU_FILE_HANDLE_TYPE_USERSPACE_FS	= 3
};

typedef struct CUfileDescr_t {
	enum CUfileFileHandleType type;
	union {
		int fd;
		void *handle;
	} handle;
	const CUfileFSOps_t *fs_ops;
} CUfileDescr_t;

/*
 * The descriptor stays the caller's and has to stay open until the handle is
 * deregistered.
 */
CUfileError_t cuFileHandleRegister(CUfileHandle_t *fh, CUfileDescr_t *descr);
/* Waits for requests on the handle; an unknown handle is ignored. */
void cuFileHandleDeregister(CUfileHandle_t fh);

/* --------------------------------------------------------------- buffers */

#define CU_FILE_RDMA_REGISTER		1
#define CU_FILE_RDMA_RELAXED_ORDERING	2

/* GPU memory or host memory, at any alignment. */
CUfileError_t cuFileBufRegister(const void *bufPtr_base, size_t length,
				int flags);
CUfileError_t cuFileBufDeregister(const void *bufPtr_base);

/* -------------------------------------------------------------- requests */

/*
 * Return bytes, -1 with errno set for an error of the system, or the negative
 * of a CUfileOpError.  Fewer bytes than asked for is the end of the file.
 */
ssize_t cuFileRead(CUfileHandle_t fh, void *bufPtr_base, size_t size,
		   off_t file_offset, off_t bufPtr_offset);
ssize_t cuFileWrite(CUfileHandle_t fh, const void *bufPtr_base, size_t size,
		    off_t file_offset, off_t bufPtr_offset);

/* Since 1.19.  @flags is 0. */
typedef struct CUfileIOVec {
	void *base;
	size_t len;
} CUfileIOVec_t;

ssize_t cuFileReadv(CUfileHandle_t fh, const CUfileIOVec_t *iov, size_t iovcnt,
		    off_t file_offset, unsigned int flags);
ssize_t cuFileWritev(CUfileHandle_t fh, const CUfileIOVec_t *iov, size_t iovcnt,
		     off_t file_offset, unsigned int flags);

/* --------------------------------------------------------------- batches */

typedef enum CUfileOpcode {
	CUFILE_READ				= 0,
	CUFILE_WRITE				= 1
} CUfileOpcode_t;

typedef enum CUFILEStatus_enum {
	CUFILE_WAITING				= 0x01,
	CUFILE_PENDING				= 0x02,
	CUFILE_INVALID				= 0x04,
	CUFILE_CANCELED				= 0x08,
	CUFILE_COMPLETE				= 0x10,
	CUFILE_TIMEOUT				= 0x20,
	CUFILE_FAILED				= 0x40
} CUfileStatus_t;

typedef enum cufileBatchMode {
	CUFILE_BATCH				= 1
} CUfileBatchMode_t;

typedef struct CUfileIOParams {
	CUfileBatchMode_t mode;
	union {
		struct {
			void *devPtr_base;
			off_t file_offset;
			off_t devPtr_offset;
			size_t size;
		} batch;
	} u;
	CUfileHandle_t fh;
	CUfileOpcode_t opcode;
	void *cookie;
} CUfileIOParams_t;

/*
 * @ret: CUFILE_COMPLETE: bytes; CUFILE_FAILED: the negative of a CUfileOpError
 * or, for an error of the system, the negative errno value; else 0.
 */
typedef struct CUfileIOEvents {
	void *cookie;
	CUfileStatus_t status;
	size_t ret;
} CUfileIOEvents_t;

typedef void *CUfileBatchHandle_t;

CUfileError_t cuFileBatchIOSetUp(CUfileBatchHandle_t *batch_idp,
				 unsigned int nr);
/* All or none are accepted.  @flags is 0. */
CUfileError_t cuFileBatchIOSubmit(CUfileBatchHandle_t batch_idp,
				  unsigned int nr, CUfileIOParams_t *iocbp,
				  unsigned int flags);
/* *nr: in: room in @iocbp, out: events.  Waits for @min_nr or @timeout. */
CUfileError_t cuFileBatchIOGetStatus(CUfileBatchHandle_t batch_idp,
				     unsigned int min_nr, unsigned int *nr,
				     CUfileIOEvents_t *iocbp,
				     struct timespec *timeout);
CUfileError_t cuFileBatchIOCancel(CUfileBatchHandle_t batch_idp);
/* Cancels, and waits for what can't be cancelled. */
void cuFileBatchIODestroy(CUfileBatchHandle_t batch_idp);

/* --------------------------------------------------------------- streams */

#define CU_FILE_STREAM_FIXED_BUF_OFFSET		1
#define CU_FILE_STREAM_FIXED_FILE_OFFSET	2
#define CU_FILE_STREAM_FIXED_FILE_SIZE		4
#define CU_FILE_STREAM_PAGE_ALIGNED_INPUTS	8

/*
 * The pointers are looked at when the stream comes to the request, and must be
 * valid until then; *bytes_p is written before the stream goes on: bytes, the
 * negative of a CUfileOpError or, for an error of the system, the negative
 * errno value.
 */
CUfileError_t cuFileReadAsync(CUfileHandle_t fh, void *bufPtr_base,
			      size_t *size_p, off_t *file_offset_p,
			      off_t *bufPtr_offset_p, ssize_t *bytes_read_p,
			      CUstream stream);
CUfileError_t cuFileWriteAsync(CUfileHandle_t fh, void *bufPtr_base,
			       size_t *size_p, off_t *file_offset_p,
			       off_t *bufPtr_offset_p,
			       ssize_t *bytes_written_p, CUstream stream);
/*
 * What is fixed for requests from now on; @flags replace those of an earlier
 * registration.  Deregister before the stream is destroyed: CUDA may give its
 * handle to another one, which has the flags then.
 */
CUfileError_t cuFileStreamRegister(CUstream stream, unsigned int flags);
/* CU_FILE_INVALID_VALUE: it is not registered. */
CUfileError_t cuFileStreamDeregister(CUstream stream);

/* ------------------------------------------------------------ parameters */

typedef enum CUFileSizeTConfigParameter_t {
	CUFILE_PARAM_PROFILE_STATS				= 0,
	CUFILE_PARAM_EXECUTION_MAX_IO_QUEUE_DEPTH		= 1,
	CUFILE_PARAM_EXECUTION_MAX_IO_THREADS			= 2,
	CUFILE_PARAM_EXECUTION_MIN_IO_THRESHOLD_SIZE_KB		= 3,
	CUFILE_PARAM_EXECUTION_MAX_REQUEST_PARALLELISM		= 4,
	CUFILE_PARAM_PROPERTIES_MAX_DIRECT_IO_SIZE_KB		= 5,
	CUFILE_PARAM_PROPERTIES_MAX_DEVICE_CACHE_SIZE_KB	= 6,
	CUFILE_PARAM_PROPERTIES_PER_BUFFER_CACHE_SIZE_KB	= 7,
	CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB	= 8,
	CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE			= 9,
	CUFILE_PARAM_POLLTHRESHOLD_SIZE_KB			= 10,
	CUFILE_PARAM_PROPERTIES_BATCH_IO_TIMEOUT_MS		= 11
} CUFileSizeTConfigParameter_t;

typedef enum CUFileBoolConfigParameter_t {
	CUFILE_PARAM_PROPERTIES_USE_POLL_MODE			= 0,
	CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE		= 1,
	CUFILE_PARAM_FORCE_COMPAT_MODE				= 2,
	CUFILE_PARAM_FS_MISC_API_CHECK_AGGRESSIVE		= 3,
	CUFILE_PARAM_EXECUTION_PARALLEL_IO			= 4,
	CUFILE_PARAM_PROFILE_NVTX				= 5,
	CUFILE_PARAM_PROPERTIES_ALLOW_SYSTEM_MEMORY		= 6,
	CUFILE_PARAM_USE_PCIP2PDMA				= 7,
	CUFILE_PARAM_PREFER_IO_URING				= 8,
	CUFILE_PARAM_FORCE_ODIRECT_MODE				= 9,
	CUFILE_PARAM_SKIP_TOPOLOGY_DETECTION			= 10,
	CUFILE_PARAM_STREAM_MEMOPS_BYPASS			= 11,
	CUFILE_PARAM_PROPERTIES_POSIX_IO_MODE			= 12,
	CUFILE_PARAM_GDS_FALLBACK_IO				= 13
} CUFileBoolConfigParameter_t;

typedef enum CUFileStringConfigParameter_t {
	CUFILE_PARAM_LOGGING_LEVEL				= 0,
	CUFILE_PARAM_ENV_LOGFILE_PATH				= 1,
	CUFILE_PARAM_LOG_DIR					= 2,
	CUFILE_PARAM_RDMA_TRANSPORT				= 3
} CUFileStringConfigParameter_t;

typedef enum CUFileArrayConfigParameter_t {
	CUFILE_PARAM_POSIX_POOL_SLAB_SIZE_KB			= 0,
	CUFILE_PARAM_POSIX_POOL_SLAB_COUNT			= 1,
	CUFILE_PARAM_GPU_BOUNCE_BUFFER_SLAB_SIZE_KB		= 2,
	CUFILE_PARAM_GPU_BOUNCE_BUFFER_SLAB_COUNT		= 3
} CUFileArrayConfigParameter_t;

/*
 * Stronger than the environment, which is stronger than cufile.json; see
 * cufile.json(5).  Set only while the library is closed: otherwise
 * CU_FILE_DRIVER_ALREADY_OPEN.
 */
CUfileError_t cuFileGetParameterSizeT(CUFileSizeTConfigParameter_t param,
				      size_t *value);
CUfileError_t cuFileGetParameterBool(CUFileBoolConfigParameter_t param,
				     bool *value);
/* @len: room in @desc_str with its final zero. */
CUfileError_t cuFileGetParameterString(CUFileStringConfigParameter_t param,
				       char *desc_str, int len);
CUfileError_t cuFileSetParameterSizeT(CUFileSizeTConfigParameter_t param,
				      size_t value);
CUfileError_t cuFileSetParameterBool(CUFileBoolConfigParameter_t param,
				     bool value);
CUfileError_t cuFileSetParameterString(CUFileStringConfigParameter_t param,
				       const char *desc_str);
CUfileError_t cuFileGetParameterMinMaxValue(CUFileSizeTConfigParameter_t param,
					    size_t *min_value,
					    size_t *max_value);
/* KiB and buffers.  Get takes the same @len as Set did. */
CUfileError_t cuFileSetParameterPosixPoolSlabArray(const size_t *size_values,
						   const size_t *count_values,
						   int len);
CUfileError_t cuFileGetParameterPosixPoolSlabArray(size_t *size_values,
						   size_t *count_values,
						   int len);
/* Since 1.17. */
CUfileError_t
cuFileSetParameterGpuBounceBufferSlabArray(const size_t *size_values,
					   const size_t *count_values,
					   int len);
CUfileError_t
cuFileGetParameterGpuBounceBufferSlabArray(size_t *size_values,
					   size_t *count_values, int len);

/* ------------------------------------------------------------ statistics */

#define CUFILE_GPU_UUID_LEN	16

typedef struct CUfileOpCounter {
	uint64_t ok;
	uint64_t err;
} CUfileOpCounter_t;

/*
 * The layouts of CUDA 13.0.  CUDA 13.4 appended members to the first, which
 * moves the others, and nothing in the calls says which one a caller has: what
 * was built with a newer header must not use these calls.
 */
typedef struct CUfileStatsLevel1 {
	CUfileOpCounter_t read_ops;
	CUfileOpCounter_t write_ops;
	CUfileOpCounter_t hdl_register_ops;
	CUfileOpCounter_t hdl_deregister_ops;
	CUfileOpCounter_t buf_register_ops;
	CUfileOpCounter_t buf_deregister_ops;
	uint64_t read_bytes;
	uint64_t write_bytes;
	uint64_t read_bw_bytes_per_sec;
	uint64_t write_bw_bytes_per_sec;
	uint64_t read_lat_avg_us;
	uint64_t write_lat_avg_us;
	uint64_t read_ops_per_sec;
	uint64_t write_ops_per_sec;
	uint64_t read_lat_sum_us;
	uint64_t write_lat_sum_us;
	CUfileOpCounter_t batch_submit_ops;
	CUfileOpCounter_t batch_complete_ops;
	CUfileOpCounter_t batch_setup_ops;
	CUfileOpCounter_t batch_cancel_ops;
	CUfileOpCounter_t batch_destroy_ops;
	CUfileOpCounter_t batch_enqueued_ops;
	CUfileOpCounter_t batch_posix_enqueued_ops;
	CUfileOpCounter_t batch_processed_ops;
	CUfileOpCounter_t batch_posix_processed_ops;
	CUfileOpCounter_t batch_nvfs_submit_ops;
	CUfileOpCounter_t batch_p2p_submit_ops;
	CUfileOpCounter_t batch_aio_submit_ops;
	CUfileOpCounter_t batch_iouring_submit_ops;
	CUfileOpCounter_t batch_mixed_io_submit_ops;
	CUfileOpCounter_t batch_total_submit_ops;
	uint64_t batch_read_bytes;
	uint64_t batch_write_bytes;
	uint64_t batch_read_bw_bytes;
	uint64_t batch_write_bw_bytes;
	uint64_t batch_submit_lat_avg_us;
	uint64_t batch_completion_lat_avg_us;
	uint64_t batch_submit_ops_per_sec;
	uint64_t batch_complete_ops_per_sec;
	uint64_t batch_submit_lat_sum_us;
	uint64_t batch_completion_lat_sum_us;
	uint64_t last_batch_read_bytes;
	uint64_t last_batch_write_bytes;
} CUfileStatsLevel1_t;

typedef struct CUfileStatsLevel2 {
	CUfileStatsLevel1_t basic;
	uint64_t read_size_kb_hist[32];
	uint64_t write_size_kb_hist[32];
} CUfileStatsLevel2_t;

typedef struct CUfilePerGpuStats {
	char uuid[CUFILE_GPU_UUID_LEN];
	uint64_t read_bytes;
	uint64_t read_bw_bytes_per_sec;
	uint64_t read_utilization;
	uint64_t read_duration_us;
	uint64_t n_total_reads;
	uint64_t n_p2p_reads;
	uint64_t n_nvfs_reads;
	uint64_t n_posix_reads;
	uint64_t n_unaligned_reads;
	uint64_t n_dr_reads;
	uint64_t n_sparse_regions;
	uint64_t n_inline_regions;
	uint64_t n_reads_err;
	uint64_t writes_bytes;
	uint64_t write_bw_bytes_per_sec;
	uint64_t write_utilization;
	uint64_t write_duration_us;
	uint64_t n_total_writes;
	uint64_t n_p2p_writes;
	uint64_t n_nvfs_writes;
	uint64_t n_posix_writes;
	uint64_t n_unaligned_writes;
	uint64_t n_dr_writes;
	uint64_t n_writes_err;
	uint64_t n_mmap;
	uint64_t n_mmap_ok;
	uint64_t n_mmap_err;
	uint64_t n_mmap_free;
	uint64_t reg_bytes;
} CUfilePerGpuStats_t;

typedef struct CUfileStatsLevel3 {
	CUfileStatsLevel2_t detailed;
	uint32_t num_gpus;
	CUfilePerGpuStats_t per_gpu_stats[16];
} CUfileStatsLevel3_t;

/*
 * 0 to 3; a level includes those below it.  0 counts nothing, also when it was
 * started.
 */
CUfileError_t cuFileSetStatsLevel(int level);
CUfileError_t cuFileGetStatsLevel(int *level);
/* CU_FILE_DRIVER_NOT_INITIALIZED: the library is not open. */
CUfileError_t cuFileStatsStart(void);
CUfileError_t cuFileStatsStop(void);
CUfileError_t cuFileStatsReset(void);
/* CU_FILE_INVALID_VALUE: also for a level above the one that is set. */
CUfileError_t cuFileGetStatsL1(CUfileStatsLevel1_t *stats);
CUfileError_t cuFileGetStatsL2(CUfileStatsLevel2_t *stats);
CUfileError_t cuFileGetStatsL3(CUfileStatsLevel3_t *stats);

/* ------------------------------------------------------------------ more */

/* Bits by number; as a mask, P2PDMA is 1 and NVFS is 2. */
typedef enum CUfileP2PFlags {
	CUFILE_P2PDMA				= 0,
	CUFILE_NVFS				= 1,
	CUFILE_DMABUF				= 2,
	CUFILE_C2C				= 3,
	CUFILE_NVIDIA_PEERMEM			= 4
} CUfileP2PFlags_t;

/* In KiB. */
CUfileError_t cuFileGetBARSizeInKB(int gpuIndex, size_t *barSize);
/* Since 1.16. */
CUfileError_t cuFileDriverSetP2PFlags(CUfileDriverStatusFlags_t fs,
				      CUfileP2PFlags_t flags);
CUfileError_t cuFileDriverGetP2PFlags(CUfileDriverStatusFlags_t fs,
				      CUfileP2PFlags_t *flags);
/* Since 1.17. */
CUfileError_t cuFileExportPCIeTopology(const char *filename);

#ifdef __cplusplus
}
#endif

#endif /* CUFILE_H */
