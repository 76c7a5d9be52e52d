/* SPDX-License-Identifier: MIT */
/*
 * The lab's libcuda: what its files share.
 *
 *	device	initialisation, devices	context	contexts and their stacks
 *	memory	allocations, copies	entry	errors, cuGetProcAddress
 *	stream	streams and events	host	pinned and managed memory
 *
 * lab_lock protects everything but the stacks, which are each thread's own.
 * A forked child of an initialised process gets CUDA_ERROR_NOT_INITIALIZED from
 * every call, as with the real one.
 */
#ifndef LAB_H
#define LAB_H

#include <pthread.h>
#include <stdbool.h>

#include "cuda_lab.h"
#include "labgpu.h"

#define LAB_API __attribute__((visibility("default")))

/* NAME without a suffix is the same function as NAME_v2. */
#define LAB_ALIAS(name) \
	LAB_API __typeof__(name##_v2) name __attribute__((alias(#name "_v2")))

/* As those of a real GPU: the smaller, the sooner. */
#define LAB_PRIORITY_LEAST	0
#define LAB_PRIORITY_GREATEST	(-5)

struct lab_device {
	int fd;
	struct labgpu_info info;
	CUcontext primary;	/* made by the first retain, then kept */
	unsigned int retained;
};

struct CUctx_st {
	struct CUctx_st *next;	/* all contexts that were not destroyed */
	CUdevice device;
	bool active;		/* false: a primary context that nobody holds */
	CUstream legacy;	/* its stream 0, made when it is first used */
};

struct lab_alloc;

/* Bytes that the CPU can reach, and what keeps them there. */
struct lab_view {
	struct lab_alloc *alloc;	/* NULL for host memory */
	char *cpu;
};

extern pthread_mutex_t lab_lock;

/* Takes lab_lock, if the library may be used: otherwise says why not. */
CUresult lab_enter(void);
/* Drops lab_lock; returns @ret. */
CUresult lab_leave(CUresult ret);

/* All below: lab_lock is held. */
struct lab_device *lab_device(CUdevice device);
CUresult lab_errno(int err);
/* The calling thread's context. */
CUresult lab_current(CUcontext *ctx);
/* Frees all memory of a context. */
void lab_memory_end(CUcontext ctx);
/* GPU, managed or (@any) host memory; lab_view_put() is owed on success. */
CUresult lab_view_get(CUdeviceptr ptr, size_t size, bool any,
		      struct lab_view *view);
void lab_view_put(struct lab_view *view);
/* Waits for all work of the streams that stream 0 waits for; drops the lock
 * meanwhile.
 */
void lab_stream_wait_legacy(CUcontext ctx);
/* Waits for all work of @ctx and forgets its streams. */
void lab_stream_end(CUcontext ctx);

/* Pinned or managed host memory. */
struct lab_host {
	struct lab_host *next;
	char *base;
	size_t size;
	unsigned int flags;
	CUcontext ctx;
	unsigned long long id;
	bool managed;
	bool registered;	/* the caller's own memory */
};

/* The one that holds [@ptr, +@size); NULL if none. */
struct lab_host *lab_host_find(CUdeviceptr ptr, size_t size);
CUresult lab_host_free(struct lab_host *host);
CUresult lab_host_attribute(void *data, CUpointer_attribute attr,
			    const struct lab_host *host, CUdeviceptr ptr);

#endif
