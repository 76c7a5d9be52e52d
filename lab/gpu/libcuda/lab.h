/* SPDX-License-Identifier: MIT */
/*
 * The lab's libcuda: what its files share.
 *
 *	device	initialisation, devices	context	contexts and their stacks
 *	memory	allocations, copies	entry	errors, cuGetProcAddress
 *	stream	streams and events	host	pinned and managed memory
 *	virtual	reserved addresses	pool	memory in stream order
 *	pointer	what pointers are of
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
	unsigned long long id;	/* another one each time it becomes active */
	CUstream legacy;	/* its stream 0, made when it is first used */
};

/* Of whole pages of a real GPU: what is mapped, and a pool's chunks. */
#define LAB_GRANULARITY		(2UL << 20)

/* What pointers are into: cuMemAlloc()'s, a mapping, or a piece of a chunk. */
struct lab_alloc {
	struct lab_alloc *next;	/* all, in no order */
	struct lab_alloc *prev;
	unsigned int users;	/* one while it is allocated, one per copy */
	CUcontext ctx;		/* NULL: ends with none */
	CUdevice device;
	CUdeviceptr va;
	size_t size;		/* as asked for */
	size_t mapped;		/* whole pages */
	void *cpu;		/* CPU's view, or NULL */
	unsigned long long id;
	unsigned long long block;	/* the memory's */
	int sync_memops;
	struct lab_mapping *mapping;	/* NULL: none */
	struct lab_alloc *chunk;	/* of a pool, if it is a piece of one */
	CUmemoryPool pool;
};

/* Reserved addresses. */
struct lab_range {
	struct lab_range *next;	/* by address */
	CUdeviceptr va;
	size_t size;
	char *cpu;		/* as many addresses, for the CPU's views */
	unsigned int users;	/* copies */
	unsigned long long id;
};

struct lab_handle;

/* What is mapped in a range. */
struct lab_mapping {
	struct lab_alloc alloc;
	struct lab_range *range;
	struct lab_handle *handle;
	unsigned int access;	/* its own GPU's */
};

/* Bytes that the CPU can reach, and what keeps them there. */
struct lab_view {
	struct lab_alloc *alloc;	/* both NULL for host memory */
	struct lab_range *range;
	char *cpu;
};

/* A place in a stream. */
struct lab_mark {
	CUstream stream;
	unsigned long long at;
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
/* What the address is of; NULL if nothing is there. */
struct lab_alloc *lab_find(CUdeviceptr ptr);
/* Makes it known, with a number of its own; false: no memory for that. */
bool lab_link(struct lab_alloc *alloc);
void lab_unlink(struct lab_alloc *alloc);
/* One user less; the last one frees it. */
void lab_put(struct lab_alloc *alloc);
/* Memory that is not known yet: fills @alloc, whose last user frees it. */
CUresult lab_take(struct lab_alloc *alloc, CUdevice device, size_t size);
/* The reverse of the two. */
CUresult lab_free(struct lab_alloc *alloc);
unsigned int lab_scatter(void);
unsigned long long lab_new_id(void);
/* The CPU's view of all of it, at @at unless that is NULL. */
CUresult lab_alloc_view(struct lab_alloc *alloc, void *at);
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
/* From a handle; stream 0 is that of the calling thread's context. */
CUresult lab_stream_get(CUstream handle, CUstream *stream);
/* The end of what is in it now, and whether it has come there. */
struct lab_mark lab_mark_now(CUstream stream);
bool lab_mark_done(const struct lab_mark *mark);
CUdevice lab_stream_device(CUstream stream);

/* The range that holds the address; NULL if none. */
struct lab_range *lab_range_find(CUdeviceptr ptr);
/* A view of [@ptr, +@size), which begins in @mapping and may go on in others. */
CUresult lab_range_view(struct lab_mapping *mapping, CUdeviceptr ptr,
			size_t size, struct lab_view *view);
void lab_range_put(struct lab_range *range);
bool lab_handle_reaches(const struct lab_handle *handle);

/* Frees a piece of a chunk, which @mark may still be before. */
void lab_pool_free(struct lab_alloc *alloc, struct lab_mark mark);
/* Gives back what pools need not keep. */
void lab_pool_sync(void);

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
/* The context has ended: so has all that it allocated or registered. */
void lab_host_end(CUcontext ctx);
CUresult lab_host_attribute(void *data, CUpointer_attribute attr,
			    const struct lab_host *host, CUdeviceptr ptr);

#endif
