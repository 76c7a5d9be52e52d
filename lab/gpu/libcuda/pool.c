// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda: memory in stream order.  A pool has chunks of memory, and
 * gives out pieces of them.
 *
 * A piece that is freed remembers where its stream stood: that stream may have
 * it again at once, as what it does with it comes later; others when the stream
 * has come there.
 */

#include <stdlib.h>
#include <string.h>

#include "lab.h"

#define LAB_PIECE	512UL

/* A part of a chunk, taken or free. */
struct lab_piece {
	struct lab_piece *next;	/* by address; together they are the chunk */
	CUdeviceptr va;
	size_t size;
	bool taken;
	struct lab_mark mark;	/* of one that is free */
};

struct lab_chunk {
	struct lab_chunk *next;
	struct lab_alloc *alloc;
	struct lab_piece *pieces;
};

struct CUmemPoolHandle_st {
	struct CUmemPoolHandle_st *next;
	CUdevice device;
	bool builtin;		/* the device's own */
	bool ended;		/* goes with its last piece */
	size_t max;		/* 0: no limit */
	struct lab_chunk *chunks;
	int reuse[3];
	uint64_t threshold;	/* what it keeps when somebody waits */
	uint64_t reserved, reserved_high;
	uint64_t used, used_high;
};

static CUmemoryPool lab_pools;
static CUmemoryPool lab_pool_own[LABGPU_MAX_GPUS];
static CUmemoryPool lab_pool_now[LABGPU_MAX_GPUS];

static CUmemoryPool lab_pool_new(CUdevice device)
{
	CUmemoryPool pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->device = device;
	pool->reuse[0] = 1;
	pool->reuse[1] = 1;
	pool->reuse[2] = 1;
	pool->next = lab_pools;
	lab_pools = pool;
	return pool;
}

static CUmemoryPool lab_pool_find(CUmemoryPool pool)
{
	CUmemoryPool p;

	for (p = lab_pools; p; p = p->next)
		if (p == pool && !p->ended)
			return p;
	return NULL;
}

/* NULL: no memory for it. */
static CUmemoryPool lab_pool_default(CUdevice device)
{
	if (!lab_pool_own[device]) {
		lab_pool_own[device] = lab_pool_new(device);
		if (lab_pool_own[device])
			lab_pool_own[device]->builtin = true;
	}
	return lab_pool_own[device];
}

static CUmemoryPool lab_pool_current(CUdevice device)
{
	return lab_pool_now[device] ? lab_pool_now[device] :
				      lab_pool_default(device);
}

/* ---------------------------------------------------------------- chunks */

static CUresult lab_chunk_new(CUmemoryPool pool, size_t size,
			      struct lab_chunk **chunk)
{
	struct lab_chunk *new = calloc(1, sizeof(*new));
	struct lab_piece *piece = calloc(1, sizeof(*piece));
	struct lab_alloc *alloc = calloc(1, sizeof(*alloc));
	CUresult ret = CUDA_ERROR_OUT_OF_MEMORY;

	if (new && piece && alloc &&
	    (!pool->max || size <= pool->max - pool->reserved))
		ret = lab_take(alloc, pool->device, size);
	if (ret) {
		free(new);
		free(piece);
		free(alloc);
		return ret;
	}
	piece->va = alloc->va;
	piece->size = size;
	new->alloc = alloc;
	new->pieces = piece;
	new->next = pool->chunks;
	pool->chunks = new;
	pool->reserved += size;
	if (pool->reserved > pool->reserved_high)
		pool->reserved_high = pool->reserved;
	*chunk = new;
	return CUDA_SUCCESS;
}

/* Neighbours that nobody need wait for any more, or who wait for the same. */
static void lab_chunk_join(struct lab_chunk *chunk)
{
	struct lab_piece *p, *q;

	for (p = chunk->pieces; p; p = p->next)
		if (!p->taken && lab_mark_done(&p->mark))
			p->mark.stream = NULL;
	for (p = chunk->pieces; p; p = p->next) {
		while ((q = p->next) && !p->taken && !q->taken &&
		       p->mark.stream == q->mark.stream) {
			if (q->mark.at > p->mark.at)
				p->mark.at = q->mark.at;
			p->size += q->size;
			p->next = q->next;
			free(q);
		}
	}
}

static bool lab_chunk_is_idle(struct lab_chunk *chunk)
{
	lab_chunk_join(chunk);
	return !chunk->pieces->taken && !chunk->pieces->next &&
	       !chunk->pieces->mark.stream;
}

/* Gives idle chunks back until no more than @keep bytes are left. */
static void lab_pool_trim(CUmemoryPool pool, uint64_t keep)
{
	struct lab_chunk **link = &pool->chunks, *chunk;

	while ((chunk = *link) && pool->reserved > keep) {
		if (!lab_chunk_is_idle(chunk)) {
			link = &chunk->next;
			continue;
		}
		*link = chunk->next;
		pool->reserved -= chunk->alloc->mapped;
		lab_free(chunk->alloc);
		free(chunk->pieces);
		free(chunk);
	}
}

static void lab_pool_end(CUmemoryPool pool)
{
	CUmemoryPool *link = &lab_pools;

	lab_pool_trim(pool, 0);
	if (pool->chunks)
		return;
	while (*link != pool)
		link = &(*link)->next;
	*link = pool->next;
	free(pool);
}

void lab_pool_sync(void)
{
	CUmemoryPool pool, next;

	for (pool = lab_pools; pool; pool = next) {
		next = pool->next;
		if (pool->ended)
			lab_pool_end(pool);
		else
			lab_pool_trim(pool, pool->threshold);
	}
}

/* ---------------------------------------------------------------- pieces */

/* Cuts @size bytes off the front of @piece, if it is longer. */
static bool lab_piece_cut(struct lab_piece *piece, size_t size)
{
	struct lab_piece *rest;

	if (piece->size == size)
		return true;
	rest = malloc(sizeof(*rest));
	if (!rest)
		return false;
	*rest = *piece;
	rest->va += size;
	rest->size -= size;
	piece->size = size;
	piece->next = rest;
	return true;
}

static struct lab_piece *lab_chunk_fit(struct lab_chunk *chunk, size_t size,
				       CUstream stream)
{
	struct lab_piece *p;

	lab_chunk_join(chunk);
	for (p = chunk->pieces; p; p = p->next)
		if (!p->taken && p->size >= size &&
		    (!p->mark.stream || p->mark.stream == stream))
			return p;
	return NULL;
}

static CUresult lab_pool_fit(CUmemoryPool pool, size_t size, CUstream stream,
			     struct lab_chunk **chunk, struct lab_piece **piece)
{
	size_t whole = (size + LAB_GRANULARITY - 1) / LAB_GRANULARITY *
		       LAB_GRANULARITY;
	struct lab_chunk *c;
	CUmemoryPool p;
	CUresult ret;

	for (c = pool->chunks; c; c = c->next) {
		*chunk = c;
		*piece = lab_chunk_fit(c, size, stream);
		if (*piece)
			return CUDA_SUCCESS;
	}
	ret = lab_chunk_new(pool, whole, chunk);
	if (ret == CUDA_ERROR_OUT_OF_MEMORY) {
		for (p = lab_pools; p; p = p->next)
			lab_pool_trim(p, 0);
		ret = lab_chunk_new(pool, whole, chunk);
	}
	if (!ret)
		*piece = (*chunk)->pieces;
	return ret;
}

static struct lab_alloc *lab_piece_take(CUmemoryPool pool,
					struct lab_chunk *chunk,
					struct lab_piece *piece, size_t size,
					size_t want)
{
	struct lab_alloc *alloc = calloc(1, sizeof(*alloc));

	if (!alloc || !lab_piece_cut(piece, size)) {
		free(alloc);
		return NULL;
	}
	alloc->users = 1;
	alloc->device = pool->device;
	alloc->va = piece->va;
	alloc->size = want;
	alloc->mapped = size;
	alloc->chunk = chunk->alloc;
	alloc->pool = pool;
	if (!lab_link(alloc)) {
		free(alloc);
		return NULL;
	}
	piece->taken = true;
	pool->used += size;
	if (pool->used > pool->used_high)
		pool->used_high = pool->used;
	return alloc;
}

static CUresult lab_pool_alloc(CUmemoryPool pool, CUdeviceptr *ptr, size_t want,
			       CUstream stream)
{
	size_t size = (want + LAB_PIECE - 1) / LAB_PIECE * LAB_PIECE;
	struct lab_alloc *alloc;
	struct lab_chunk *chunk;
	struct lab_piece *piece;
	CUresult ret;

	if (size < want || size > SIZE_MAX - LAB_GRANULARITY)
		return CUDA_ERROR_OUT_OF_MEMORY;
	ret = lab_pool_fit(pool, size, stream, &chunk, &piece);
	if (ret)
		return ret;
	alloc = lab_piece_take(pool, chunk, piece, size, want);
	if (!alloc)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ptr = alloc->va;
	return CUDA_SUCCESS;
}

void lab_pool_free(struct lab_alloc *alloc, struct lab_mark mark)
{
	CUmemoryPool pool = alloc->pool;
	struct lab_chunk *chunk = pool->chunks;
	struct lab_piece *piece;

	while (chunk->alloc != alloc->chunk)
		chunk = chunk->next;
	piece = chunk->pieces;
	while (piece->va != alloc->va)
		piece = piece->next;
	piece->taken = false;
	piece->mark = mark;
	pool->used -= piece->size;
	lab_unlink(alloc);
	free(alloc);
	if (pool->ended)
		lab_pool_end(pool);
}

/* @pool NULL: the current one of the stream's device. */
static CUresult lab_alloc_async(CUdeviceptr *ptr, size_t size, CUmemoryPool pool,
				CUstream handle)
{
	CUstream stream;
	CUresult ret = lab_stream_get(handle, &stream);

	if (ret)
		return ret;
	if (!ptr || !size)
		return CUDA_ERROR_INVALID_VALUE;
	if (!pool)
		pool = lab_pool_current(lab_stream_device(stream));
	return pool ? lab_pool_alloc(pool, ptr, size, stream) :
		      CUDA_ERROR_OUT_OF_MEMORY;
}

LAB_API CUresult cuMemAllocAsync(CUdeviceptr *ptr, size_t size, CUstream stream)
{
	CUresult ret = lab_enter();

	return ret ? ret : lab_leave(lab_alloc_async(ptr, size, NULL, stream));
}

LAB_API CUresult cuMemAllocFromPoolAsync(CUdeviceptr *ptr, size_t size,
					 CUmemoryPool pool, CUstream stream)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_pool_find(pool))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	return lab_leave(lab_alloc_async(ptr, size, pool, stream));
}

LAB_API CUresult cuMemFreeAsync(CUdeviceptr ptr, CUstream handle)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;
	CUstream stream;

	if (ret)
		return ret;
	ret = lab_stream_get(handle, &stream);
	if (ret)
		return lab_leave(ret);
	alloc = lab_find(ptr);
	if (!alloc || !alloc->chunk || alloc->va != ptr)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	lab_pool_free(alloc, lab_mark_now(stream));
	return lab_leave(CUDA_SUCCESS);
}

/* ----------------------------------------------------------------- pools */

static CUresult lab_pool_of(CUmemoryPool *pool, CUdevice device,
			    CUmemoryPool (*which)(CUdevice device))
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!pool || !lab_device(device))
		return lab_leave(pool ? CUDA_ERROR_INVALID_DEVICE :
					CUDA_ERROR_INVALID_VALUE);
	*pool = which(device);
	return lab_leave(*pool ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY);
}

LAB_API CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
	return lab_pool_of(pool, device, lab_pool_default);
}

LAB_API CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
	return lab_pool_of(pool, device, lab_pool_current);
}

LAB_API CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_device(device))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	if (!lab_pool_find(pool) || pool->device != device)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	lab_pool_now[device] = pool;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemPoolCreate(CUmemoryPool *pool, const CUmemPoolProps *props)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!pool || !props || props->win32SecurityAttributes ||
	    props->allocType != CU_MEM_ALLOCATION_TYPE_PINNED)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (props->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
	    (unsigned int)props->handleTypes >
	    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return lab_leave(CUDA_ERROR_NOT_SUPPORTED);
	if (!lab_device(props->location.id))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	*pool = lab_pool_new(props->location.id);
	if (!*pool)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	(*pool)->max = props->maxSize;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemPoolDestroy(CUmemoryPool pool)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_pool_find(pool) || pool->builtin)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (lab_pool_now[pool->device] == pool)
		lab_pool_now[pool->device] = NULL;
	pool->ended = true;
	lab_pool_end(pool);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_pool_find(pool))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	lab_pool_trim(pool, keep);
	return lab_leave(CUDA_SUCCESS);
}

/* The 64-bit one of that name; NULL: there is none. */
static uint64_t *lab_pool_number(CUmemoryPool pool, CUmemPool_attribute attr)
{
	switch (attr) {
	case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
		return &pool->threshold;
	case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
		return &pool->reserved;
	case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
		return &pool->reserved_high;
	case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
		return &pool->used;
	case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
		return &pool->used_high;
	default:
		return NULL;
	}
}

static bool lab_pool_is_reuse(CUmemPool_attribute attr)
{
	return attr >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
	       attr <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES;
}

/* Of how much there is only the highest can be set, and only back. */
static CUresult lab_pool_set(CUmemoryPool pool, CUmemPool_attribute attr,
			     const void *value)
{
	uint64_t number;

	if (lab_pool_is_reuse(attr)) {
		memcpy(&pool->reuse[attr - 1], value, sizeof(int));
		return CUDA_SUCCESS;
	}
	if (!lab_pool_number(pool, attr))
		return CUDA_ERROR_INVALID_VALUE;
	memcpy(&number, value, sizeof(number));
	if (attr == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
		pool->threshold = number;
	else if (attr == CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH && !number)
		pool->reserved_high = pool->reserved;
	else if (attr == CU_MEMPOOL_ATTR_USED_MEM_HIGH && !number)
		pool->used_high = pool->used;
	else
		return CUDA_ERROR_INVALID_VALUE;
	return CUDA_SUCCESS;
}

LAB_API CUresult cuMemPoolSetAttribute(CUmemoryPool pool,
				       CUmemPool_attribute attribute, void *value)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_pool_find(pool) || !value)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	return lab_leave(lab_pool_set(pool, attribute, value));
}

LAB_API CUresult cuMemPoolGetAttribute(CUmemoryPool pool,
				       CUmemPool_attribute attribute, void *value)
{
	CUresult ret = lab_enter();
	uint64_t *number;

	if (ret)
		return ret;
	if (!lab_pool_find(pool) || !value)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (lab_pool_is_reuse(attribute)) {
		memcpy(value, &pool->reuse[attribute - 1], sizeof(int));
		return lab_leave(CUDA_SUCCESS);
	}
	number = lab_pool_number(pool, attribute);
	if (!number)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	memcpy(value, number, sizeof(*number));
	return lab_leave(CUDA_SUCCESS);
}

/* Its own device always has access, and no other can have it. */
LAB_API CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc *map,
				    size_t count)
{
	CUresult ret = lab_enter();
	size_t i;

	if (ret)
		return ret;
	if (!lab_pool_find(pool) || !map || !count)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	for (i = 0; i < count; i++) {
		if (map[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
		    map[i].location.id != pool->device)
			return lab_leave(CUDA_ERROR_INVALID_DEVICE);
		if (map[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
			return lab_leave(CUDA_ERROR_INVALID_VALUE);
	}
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemPoolGetAccess(CUmemAccess_flags *flags, CUmemoryPool pool,
				    CUmemLocation *location)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!flags || !lab_pool_find(pool) || !location)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
	    !lab_device(location->id))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	*flags = location->id == pool->device ?
		 CU_MEM_ACCESS_FLAGS_PROT_READWRITE :
		 CU_MEM_ACCESS_FLAGS_PROT_NONE;
	return lab_leave(CUDA_SUCCESS);
}
