/* SPDX-License-Identifier: MIT */
/* What the library's own files share. */
#ifndef LIBNVFS_INTERNAL_H
#define LIBNVFS_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include "libnvfs.h"

struct account;
struct gpu_driver;
struct stream_word;
struct engine_file;

#define NVFS_EXPORT		__attribute__((visibility("default")))
#define BLOCK_SIZE		4096ULL
/* What GPU drivers pin at a time. */
#define GPU_ALIGN		65536ULL

/**
 * struct nvfs - an open library
 * @fd: the device, -1 when it can't be used
 * @module_error: 0 or why not
 * @fork_gen: of the process that opened it
 * @lock: protects the fields below
 * @nr_children: buffers, regions and what libnvfs_async.h opens that are left
 * @gpu: NULL until somebody needed it
 * @uses_host: a request went through host memory
 * @uses_engine: it is one of the engine's users
 * @account: of its requests
 * @words: of requests in streams, used by none; see stream.c
 */
struct nvfs {
	int fd;
	int module_error;
	unsigned int fork_gen;
	pthread_mutex_t lock;
	unsigned int nr_children;
	const struct gpu_driver *gpu;
	bool uses_host;
	bool uses_engine;
	struct account *account;
	struct stream_word *words;
};

/* @alloc_addr is what the driver gave, @addr is that, aligned. */
struct nvfs_buf {
	struct nvfs *nvfs;
	const struct gpu_driver *driver;
	unsigned int gpu;
	uint64_t alloc_addr;
	uint64_t addr;
	uint64_t length;
	uint64_t capacity;
	unsigned int nr_regions;	/* under nvfs->lock */
};

/**
 * struct nvfs_region - memory that is registered, or should have been
 * @buf: NULL when the memory is the caller's
 * @addr: first byte that requests may name
 * @length: how many
 * @lead: bytes between the start of what is pinned and @addr
 * @error: why the module refused, 0 when it did not
 * @reason: the same for results
 * @reg: what the module said
 */
struct nvfs_region {
	struct nvfs *nvfs;
	const struct gpu_driver *driver;
	struct nvfs_buf *buf;
	unsigned int gpu;
	uint64_t addr;
	uint64_t length;
	uint64_t lead;
	int error;
	uint32_t reason;
	struct nvfs_register reg;
};

/* ctx.c: 0, or -ECHILD in a child of the process that opened @nvfs. */
int ctx_check(const struct nvfs *nvfs);
/* ctx.c: the GPU driver, loading it when it is not there yet. */
int ctx_gpu(struct nvfs *nvfs, const struct gpu_driver **driver);
/* ctx.c: the same, for a GPU that must be there: -ENODEV. */
int ctx_gpu_at(struct nvfs *nvfs, unsigned int index,
	       const struct gpu_driver **driver);
/* ctx.c: something that hangs on it comes (+1) or goes (-1). */
void ctx_count_child(struct nvfs *nvfs, int change);

/**
 * struct span - the part of a request that is still to be done
 * @region_offset: first byte, counted from the start of the region
 * @file_offset: first byte in the file
 * @length: bytes
 * @fd: the file
 * @write: GPU to file
 * @file: what is remembered about it; NULL: nothing, it is looked at once more
 */
struct span {
	uint64_t region_offset;
	uint64_t file_offset;
	uint64_t length;
	int fd;
	bool write;
	struct engine_file *file;
};

/* Through whose host memory a request may go. */
enum span_bounce { SPAN_DIRECT, SPAN_BOUNCE, SPAN_MODULE_BOUNCE };

/*
 * io.c: nvfs_read() and nvfs_write().  With SPAN_MODULE_BOUNCE nobody but the
 * module is asked, and no GPU driver.
 */
ssize_t span_move(struct nvfs_region *region, struct span span,
		  enum span_bounce bounce, struct nvfs_result *res);

/*
 * bounce.c: move @span through host memory.  @done says how many bytes are
 * good, also after an error; less than asked for without one is the end of
 * the file.
 */
int bounce_move(struct nvfs_region *region, const struct span *span,
		uint64_t *done);

static inline bool add_overflows(uint64_t a, uint64_t b)
{
	return a + b < a;
}

#endif /* LIBNVFS_INTERNAL_H */
