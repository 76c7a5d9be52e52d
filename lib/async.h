/* SPDX-License-Identifier: MIT */
/* What the files behind libnvfs_async.h share. */
#ifndef LIBNVFS_ASYNC_INTERNAL_H
#define LIBNVFS_ASYNC_INTERNAL_H

#include <stdatomic.h>

#include "engine.h"
#include "internal.h"
#include "libnvfs_async.h"

/**
 * struct nvfs_file - a file
 * @engine: what is remembered about it; its fd is the library's own duplicate
 * @users: requests under way
 */
struct nvfs_file {
	struct nvfs *nvfs;
	struct engine_file engine;
	_Atomic unsigned int users;
};

static inline void file_get(struct nvfs_file *file)
{
	atomic_fetch_add_explicit(&file->users, 1, memory_order_relaxed);
}

/* The last use of @file: it may be closed from here on. */
static inline void file_put(struct nvfs_file *file)
{
	atomic_fetch_sub_explicit(&file->users, 1, memory_order_release);
}

/* Is that a number that a GPU could have?  ENGINE_HOST is none. */
static inline bool is_gpu(unsigned int gpu)
{
	return gpu <= INT32_MAX;
}

/* Of a request that can't be one, whatever happens: 0 or why. */
int io_check(const struct nvfs *nvfs, const struct nvfs_io *io);
/* Turns a good one into one of the engine's; complete and user are left. */
void io_fill(struct engine_req *req, const struct nvfs_io *io);
/*
 * @req has ended: it is counted, and @done is all but its user_data.  Not of a
 * file that may have been closed.
 */
void io_ended(struct nvfs *nvfs, const struct engine_req *req,
	      struct nvfs_done *done);

/* stream.c: give back what the streams of a handle looked at. */
void stream_words_end(struct nvfs *nvfs);

/* ctx.c: open the engine for a handle; nvfs_close() ends that. */
int ctx_engine(struct nvfs *nvfs);

#endif /* LIBNVFS_ASYNC_INTERNAL_H */
