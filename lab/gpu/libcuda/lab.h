/* SPDX-License-Identifier: MIT */
/*
 * The lab's libcuda: what its files share.
 *
 *	device	initialisation, devices	context	contexts and their stacks
 *	memory	allocations, copies	entry	errors, cuGetProcAddress
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

#endif
