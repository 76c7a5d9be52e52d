// SPDX-License-Identifier: MIT
/* Host buffers: allocated when needed, kept until the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "slots.h"

#define PAGE	4096U
/* Threads that begin one after the other are so far from each other. */
#define HOME_STEP	1U

void slots_open(struct slots *slots, const struct gpu_driver *driver,
		unsigned int index, uint64_t bytes, unsigned int max)
{
	memset(slots, 0, sizeof(*slots));
	slots->driver = driver;
	slots->index = index;
	slots->bytes = bytes;
	slots->max = max < SLOTS_MAX ? max : SLOTS_MAX;
	pthread_mutex_init(&slots->lock, NULL);
	pthread_cond_init(&slots->freed, NULL);
}

void slots_close(struct slots *slots)
{
	for (unsigned int i = 0; i < slots->nr_slabs; i++) {
		if (slots->pinned[i])
			slots->driver->copies->host_put(slots->index,
							slots->slabs[i]);
		else
			free(slots->slabs[i]);
	}
	pthread_cond_destroy(&slots->freed);
	pthread_mutex_destroy(&slots->lock);
}

static int take_bit(struct slots *slots, unsigned int word, uint64_t among)
{
	uint64_t old = atomic_load(&slots->free[word]);

	while (old & among) {
		uint64_t bit = (old & among) & -(old & among);

		if (atomic_compare_exchange_weak(&slots->free[word], &old,
						 old & ~bit))
			return (int)(word * 64) + __builtin_ctzll(bit);
	}
	return -EAGAIN;
}

/*
 * A thread comes back to the same ones, whose lines its CPU may still have.
 * With others' it is half as fast.
 */
static int take_free(struct slots *slots)
{
	static _Atomic unsigned int threads;
	static _Thread_local unsigned int mine;
	unsigned int nr = atomic_load(&slots->nr), home;
	int slot;

	if (!nr)
		return -EAGAIN;
	if (!mine)
		mine = atomic_fetch_add(&threads, 1) + 1;
	home = mine * HOME_STEP % nr;
	slot = take_bit(slots, home / 64, ~0ULL << home % 64);
	for (unsigned int i = 0; slot < 0 && i < SLOTS_WORDS; i++)
		slot = take_bit(slots, i, ~0ULL);
	return slot;
}

static void set_free(struct slots *slots, int slot)
{
	atomic_fetch_or(&slots->free[slot / 64], 1ULL << (slot % 64));
}

static int get_slab(struct slots *slots, unsigned int nr, void **slab,
		    bool *pinned)
{
	const struct gpu_copies *copies = slots->driver->copies;

	*pinned = copies && !copies->host_get(slots->index, nr * slots->bytes,
					      slab);
	if (*pinned)
		return 0;
	/* Slower, but better than nothing; no more of it than one slab. */
	if (slots->nr_slabs && copies)
		return -ENOMEM;
	*slab = aligned_alloc(PAGE, nr * slots->bytes);
	return *slab ? 0 : -ENOMEM;
}

/* Under the lock.  Returns a slot of the new slab. */
static int grow(struct slots *slots)
{
	unsigned int have = atomic_load(&slots->nr);
	unsigned int nr = slots->max - have;
	void *slab;
	bool pinned;

	if (nr > SLOTS_SLAB)
		nr = SLOTS_SLAB;
	while (nr && get_slab(slots, nr, &slab, &pinned))
		nr /= 2;
	if (!nr) {
		slots->max = have;
		return have ? -EAGAIN : -ENOMEM;
	}
	slots->slabs[slots->nr_slabs] = slab;
	slots->pinned[slots->nr_slabs++] = pinned;
	for (unsigned int i = 0; i < nr; i++)
		slots->host[have + i] = (char *)slab + i * slots->bytes;
	atomic_store(&slots->nr, have + nr);
	for (unsigned int i = 1; i < nr; i++)
		set_free(slots, (int)(have + i));
	return (int)have;
}

int slots_try(struct slots *slots)
{
	int slot = take_free(slots);

	if (slot >= 0)
		return slot;
	pthread_mutex_lock(&slots->lock);
	slot = take_free(slots);
	if (slot < 0 && atomic_load(&slots->nr) < slots->max)
		slot = grow(slots);
	else if (slot < 0 && !slots->max)
		slot = -ENOMEM;
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
	set_free(slots, slot);
	if (!atomic_load(&slots->waiting))
		return;
	pthread_mutex_lock(&slots->lock);
	pthread_cond_broadcast(&slots->freed);
	pthread_mutex_unlock(&slots->lock);
}
