// SPDX-License-Identifier: MIT
/* Host buffers: allocated when needed, kept until the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"
#include "slots.h"

#define PAGE	4096U

void slots_open(struct slots *slots, const struct gpu_driver *driver,
		unsigned int index, uint64_t bytes, unsigned int max)
{
	memset(slots, 0, sizeof(*slots));
	slots->driver = driver;
	slots->index = index;
	slots->bytes = bytes;
	slots->max = max < SLOTS_MAX ? max : SLOTS_MAX;
	slots->file.fd = -1;
	pthread_mutex_init(&slots->lock, NULL);
	pthread_cond_init(&slots->freed, NULL);
}

static uint64_t context_of(const struct slots *slots)
{
	const struct gpu_copies *copies = slots->driver->copies;

	return copies && copies->context ? copies->context(slots->index) : 0;
}

bool slots_alive(const struct slots *slots)
{
	uint64_t context = atomic_load_explicit(&slots->context,
						memory_order_relaxed);

	return !context || context == context_of(slots);
}

/* What the driver still knows may not be anything else's address. */
static void drop_shared(struct slots *slots, struct slot *slot)
{
	if (slots->driver->copies->unpin(slots->index,
					 atomic_load(&slots->context),
					 slot->host))
		munmap(slot->host, slots->bytes);
}

/* @alive: its memory is still what it was when it was had. */
static void drop(struct slots *slots, struct slot *slot, bool alive)
{
	const struct gpu_copies *copies = slots->driver->copies;

	/* First, because it knows the memory. */
	ring_close(slot->ring);
	if (slot->shared)
		drop_shared(slots, slot);
	else if (!slot->pinned)
		free(slot->host);
	else if (alive)
		copies->host_put(slots->index, slot->host);
	else if (copies->host_lost)
		copies->host_lost(slot->host);
}

void slots_lost(struct slots *slots)
{
	unsigned int nr = atomic_exchange(&slots->nr, 0);

	for (unsigned int i = 0; i < nr; i++)
		drop(slots, &slots->all[i], false);
}

void slots_close(struct slots *slots)
{
	bool alive = slots_alive(slots);

	for (unsigned int i = 0; i < atomic_load(&slots->nr); i++)
		drop(slots, &slots->all[i], alive);
	memory_file_close(&slots->file);
	pthread_cond_destroy(&slots->freed);
	pthread_mutex_destroy(&slots->lock);
}

/*
 * A thread comes back to the same one, whose lines its CPU may still have;
 * others' are slower to overwrite.
 */
static int take_free(struct slots *slots)
{
	static _Atomic unsigned int threads;
	static _Thread_local unsigned int mine;
	unsigned int nr = atomic_load(&slots->nr);

	if (!mine)
		mine = atomic_fetch_add(&threads, 1) + 1;
	for (unsigned int i = 0; i < nr; i++) {
		unsigned int slot = (mine + i) % nr;

		if (atomic_load(&slots->all[slot].free) &&
		    atomic_exchange(&slots->all[slot].free, false))
			return (int)slot;
	}
	return -EAGAIN;
}

/* No child gets it: see map_huge() of gpu_cuda_copy.c. */
static char *map_shared(struct slots *slots, uint64_t offset)
{
	char *host;

	if (slots->file.fd < 0 &&
	    memory_file_make(&slots->file, slots->max * slots->bytes))
		return NULL;
	if (!memory_file_is(&slots->file))
		return NULL;
	host = mmap(NULL, slots->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		    slots->file.fd, (off_t)offset);
	if (host == MAP_FAILED)
		return NULL;
	if (!madvise(host, slots->bytes, MADV_DONTFORK) &&
	    !madvise(host, slots->bytes, MADV_DONTDUMP) &&
	    !slots->driver->copies->pin(slots->index, host, slots->bytes, true))
		return host;
	munmap(host, slots->bytes);
	return NULL;
}

static int get_shared(struct slots *slots, struct slot *slot)
{
	const struct gpu_copies *copies = slots->driver->copies;
	uint64_t offset = (uint64_t)(slot - slots->all) * slots->bytes;

	slot->host = copies && copies->pin ? map_shared(slots, offset) : NULL;
	if (!slot->host)
		return -ENOMEM;
	if (!atomic_load(&slots->context))
		atomic_store(&slots->context, context_of(slots));
	slot->pinned = true;
	slot->shared = true;
	slot->offset = offset;
	return 0;
}

static int get_memory(struct slots *slots, struct slot *slot)
{
	const struct gpu_copies *copies = slots->driver->copies;
	void *host;

	if (slots->shared)
		return get_shared(slots, slot);
	slot->shared = false;

	slot->pinned = copies && !copies->host_get(slots->index, slots->bytes,
						   &host);
	if (!atomic_load(&slots->context))
		atomic_store(&slots->context, context_of(slots));
	/* Slower, but better than nothing. */
	if (!slot->pinned)
		host = slots->only_pinned ? NULL :
		       aligned_alloc(PAGE, slots->bytes);
	slot->host = host;
	return host ? 0 : -ENOMEM;
}

/* Under the lock.  The new one is the caller's. */
static int grow(struct slots *slots)
{
	unsigned int nr = atomic_load(&slots->nr);

	if (nr == slots->max)
		return nr ? -EAGAIN : -ENOMEM;
	if (get_memory(slots, &slots->all[nr])) {
		if (!slots->only_pinned)
			slots->max = nr;
		return nr ? -EAGAIN : -ENOMEM;
	}
	atomic_store(&slots->all[nr].free, false);
	atomic_store(&slots->nr, nr + 1);
	return (int)nr;
}

int slots_try(struct slots *slots)
{
	int slot = take_free(slots);

	if (slot >= 0)
		return slot;
	pthread_mutex_lock(&slots->lock);
	slot = take_free(slots);
	if (slot < 0)
		slot = grow(slots);
	pthread_mutex_unlock(&slots->lock);
	return slot;
}

int slots_wait(struct slots *slots)
{
	int slot = slots_try(slots);

	if (slot != -EAGAIN)
		return slot;
	atomic_fetch_add(&slots->waiting, 1);
	pthread_mutex_lock(&slots->lock);
	while ((slot = take_free(slots)) < 0)
		pthread_cond_wait(&slots->freed, &slots->lock);
	pthread_mutex_unlock(&slots->lock);
	atomic_fetch_sub(&slots->waiting, 1);
	return slot;
}

void slots_put(struct slots *slots, int slot)
{
	atomic_store(&slots->all[slot].free, true);
	if (!atomic_load(&slots->waiting))
		return;
	pthread_mutex_lock(&slots->lock);
	pthread_cond_broadcast(&slots->freed);
	pthread_mutex_unlock(&slots->lock);
}

struct ring *slots_ring(struct slots *slots, int slot)
{
	struct slot *it = &slots->all[slot];

	if (!it->ring)
		it->ring = ring_open(it->host, slots->bytes);
	return it->ring && ring_works(it->ring) ? it->ring : NULL;
}
