/* SPDX-License-Identifier: MIT */
/*
 * What the files of the AMD driver share.  Names, numbers and signatures of HIP
 * are those of its public header hip/hip_runtime_api.h, in ROCm 5.2.3 and in
 * ROCm 7; where the two differ, a comment says so.
 */
#ifndef LIBNVFS_GPU_HIP_H
#define LIBNVFS_GPU_HIP_H

#include "gpu.h"

/* enum hipError_t; not all of them have CUDA's numbers. */
enum {
	HIP_OK				= 0,
	HIP_INVALID_VALUE		= 1,
	HIP_OUT_OF_MEMORY		= 2,
	HIP_NOT_INITIALIZED		= 3,
	HIP_DEINITIALIZED		= 4,
	HIP_INVALID_DEVICE_POINTER	= 17,
	HIP_INSUFFICIENT_DRIVER		= 35,
	HIP_NO_DEVICE			= 100,
	HIP_INVALID_DEVICE		= 101,
	HIP_INVALID_CONTEXT		= 201,
	HIP_INVALID_HANDLE		= 400,
	HIP_NOT_READY			= 600,
	HIP_CONTEXT_IS_DESTROYED	= 709,
	HIP_NOT_SUPPORTED		= 801,
	HIP_CAPTURE_FIRST		= 900,
	HIP_CAPTURE_LAST		= 908
};

/* enum hipMemcpyKind. */
enum {
	HIP_HOST_TO_DEVICE		= 1,
	HIP_DEVICE_TO_HOST		= 2
};

/* enum hipPointer_attribute. */
enum {
	HIP_POINTER_SYNC_MEMOPS		= 6,
	HIP_POINTER_BUFFER_ID		= 7
};

/**
 * struct gpu_hip_entry - what a thread's HIP state was
 * @device: its GPU
 * @mode: how it minds streams that are captured (enum hipStreamCaptureMode)
 * @clean: there was no error that hipGetLastError() would have told
 */
struct gpu_hip_entry {
	int device;
	int mode;
	bool clean;
};

/*
 * gpu_hip.c: between the two, @index is the thread's GPU and a stream that
 * somebody captures is not disturbed.  May be nested, with an entry for each.
 */
int gpu_hip_enter(unsigned int index, struct gpu_hip_entry *entry);
void gpu_hip_leave(const struct gpu_hip_entry *entry);

/*
 * Around one call, where the thread's own GPU is the right one: the application
 * is not told of our errors by hipGetLastError().  @result: of that call, or 0.
 * An error of its own that it has not asked for may be lost to ours.
 */
bool gpu_hip_clean(void);
void gpu_hip_forget(bool clean, int result);

/* 0 or a negative errno value; -EIO for what has no better one. */
int gpu_hip_errno(int result);

/*
 * gpu_hip_copy.c and gpu_hip_stream.c, bound by gpu_hip.c when the library is
 * loaded.  @symbol: finds a function of the library, or NULL.  @major: of HIP's
 * version.  False: the library lacks what can't be done without.
 */
extern const struct gpu_copies gpu_hip_copies;
extern const struct gpu_streams gpu_hip_streams;
void gpu_hip_bind_copies(void *(*symbol)(const char *name));
bool gpu_hip_bind_streams(void *(*symbol)(const char *name), int major);
int gpu_hip_classify(uint64_t addr, struct gpu_mem *mem);
int gpu_hip_uuid(unsigned int index, uint8_t *uuid);

#endif /* LIBNVFS_GPU_HIP_H */
