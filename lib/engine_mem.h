/* SPDX-License-Identifier: MIT */
/* GPU memory that the module was told of, by callers or by requests. */
#ifndef LIBNVFS_ENGINE_MEM_H
#define LIBNVFS_ENGINE_MEM_H

#include <stdint.h>

struct nvfs;
struct nvfs_region;
struct memory;

/* @nvfs: whose module; @cache_bytes: see struct engine_pool */
void mem_open(struct nvfs *nvfs, uint64_t cache_bytes);
/* Gives back all regions; none is in use. */
void mem_close(void);

/*
 * As engine_mem_add(), engine_mem_del() and engine_mem_error().  @look: for
 * what would never end; called now and then while it waits.
 */
int mem_add(unsigned int gpu, uint64_t addr, uint64_t length);
int mem_del(uint64_t addr, void (*look)(void));
int mem_error(uint64_t addr);

/**
 * mem_get() - the region in which a range lies
 * @gpu: index of the GPU
 * @addr: first byte
 * @length: bytes, not 0
 * @region: out: the region
 * @offset: out: of @addr in it
 * @reason: out: when there is none, why
 *
 * Memory that nobody added is registered, the whole allocation, when the
 * driver says what that is.  What the module refused then is found as such, with
 * the region's error, and registered once more after a second.  Of memory that was added the driver is not asked.
 *
 * Returns what mem_put() wants, or NULL.
 */
struct memory *mem_get(unsigned int gpu, uint64_t addr, uint64_t length,
		       struct nvfs_region **region, uint64_t *offset,
		       uint32_t *reason);
/*
 * The same for memory that a caller added, which needs no GPU driver to be found
 * and waits for nothing.  NULL: it has to be mem_get().
 */
struct memory *mem_get_added(unsigned int gpu, uint64_t addr, uint64_t length,
			     struct nvfs_region **region, uint64_t *offset);
struct nvfs_region *mem_region(const struct memory *memory);
/* @stale: the module says that the memory was freed; it is forgotten. */
void mem_put(struct memory *memory, int stale);

#endif /* LIBNVFS_ENGINE_MEM_H */
