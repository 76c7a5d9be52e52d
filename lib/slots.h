/* SPDX-License-Identifier: MIT */
/* Host buffers of one size for one GPU, pinned where that is possible. */
#ifndef LIBNVFS_SLOTS_H
#define LIBNVFS_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu.h"

#define SLOTS_MAX	256U
#define SLOTS_WORDS	(SLOTS_MAX / 64)
/* Buffers that are allocated together. */
#define SLOTS_SLAB	4U

/**
 * struct slots - see above
 * @bytes: size of each
 * @max: most of them
 * @free: one bit for each that is free
 * @waiting: threads in slots_wait()
 * @host: their memory; set before the bit in @free is set for the first time
 * @lock: to allocate and to wait
 * @nr: how many there are; under @lock to write
 * @nr_slabs, @slabs, @pinned: under @lock
 */
struct slots {
	const struct gpu_driver *driver;
	unsigned int index;
	uint64_t bytes;
	unsigned int max;
	_Atomic uint64_t free[SLOTS_WORDS];
	_Atomic unsigned int waiting;
	char *host[SLOTS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t freed;
	_Atomic unsigned int nr;
	unsigned int nr_slabs;
	void *slabs[SLOTS_MAX];
	bool pinned[SLOTS_MAX];
};

/* Takes no memory yet. */
void slots_open(struct slots *slots, const struct gpu_driver *driver,
		unsigned int index, uint64_t bytes, unsigned int max);
/* All are free. */
void slots_close(struct slots *slots);

/*
 * Get one without waiting for anybody, allocating when none is free and fewer
 * than the most are there: its number, -EAGAIN, or -ENOMEM (there is none and
 * there will be none).
 */
int slots_try(struct slots *slots);
/* The same, but wait for one to be put back; the caller holds none. */
int slots_wait(struct slots *slots);
void slots_put(struct slots *slots, int slot);

#endif /* LIBNVFS_SLOTS_H */
