/* SPDX-License-Identifier: MIT */
/* Host buffers of one size for one GPU, pinned where that is possible. */
#ifndef LIBNVFS_SLOTS_H
#define LIBNVFS_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gpu.h"
#include "memory.h"

#define SLOTS_MAX	256U

struct ring;

/*
 * A cache line each: threads keep to their own.  @ring reads into @host; who has
 * the slot has it, too.  @shared: it is slots.file's memory, from @offset on.
 */
struct slot {
	_Alignas(64) _Atomic bool free;
	bool pinned;
	bool shared;
	char *host;
	uint64_t offset;
	struct ring *ring;
};

/**
 * struct slots - see above
 * @bytes: size of each
 * @max: most of them
 * @only_pinned: what can't be pinned is not had
 * @shared: they are of a file in memory, from which read(2) copies: others are not had
 * @file: that one; its descriptor is -1: not yet
 * @context: of the GPU's driver, which what is pinned goes with; 0: not known
 * @waiting: threads in slots_wait()
 * @nr: how many there are; under @lock to write
 * @all: the first @nr of them
 * @lock: to allocate and to wait
 */
struct slots {
	const struct gpu_driver *driver;
	unsigned int index;
	uint64_t bytes;
	_Atomic unsigned int max;
	bool only_pinned;
	bool shared;
	struct memory_file file;
	_Atomic uint64_t context;
	_Atomic unsigned int waiting;
	_Atomic unsigned int nr;
	struct slot all[SLOTS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t freed;
};

/* Takes no memory yet. */
void slots_open(struct slots *slots, const struct gpu_driver *driver,
		unsigned int index, uint64_t bytes, unsigned int max);
/* All are free. */
void slots_close(struct slots *slots);
/* The same after the application has reset the GPU, as there are none any more. */
void slots_lost(struct slots *slots);
/* False: the application has reset the GPU, and what was pinned is not there. */
bool slots_alive(const struct slots *slots);

/*
 * Get one without waiting for anybody, allocating when none is free and fewer
 * than the most are there: its number, -EAGAIN, or -ENOMEM (there is none and
 * there will be none).
 */
int slots_try(struct slots *slots);
/* The same, but wait for one to be put back; the caller holds none. */
int slots_wait(struct slots *slots);
void slots_put(struct slots *slots, int slot);
/* The ring of a slot that the caller has, or NULL. */
struct ring *slots_ring(struct slots *slots, int slot);

#endif /* LIBNVFS_SLOTS_H */
