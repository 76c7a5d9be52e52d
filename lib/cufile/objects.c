// SPDX-License-Identifier: MIT
/*
 * Objects behind opaque pointers.  A name is (generation << 24 | place) << 4,
 * so it is never NULL, no address of anything, and another one each time that a
 * place is used.
 */
#include <stdlib.h>

#include "common.h"
#include "cufile_priv.h"

#define PER_CHUNK	1024U
#define CHUNKS		1024U
#define PLACE_BITS	24
#define SHIFT		4
#define GENERATION_MAX	0x7fffffffU

/* In state: generation << 32 | LIVE | number of users. */
#define LIVE		0x80000000ULL
#define USERS		0x7fffffffULL

struct slot {
	_Atomic uint64_t state;
	void *object;
	uint32_t next_free;	/* place + 1; under lock */
};

struct cf_slots {
	struct slot *_Atomic chunk[CHUNKS];
	pthread_mutex_t lock;
	pthread_cond_t idle;
	uint32_t nr;		/* places ever used; under lock */
	uint32_t free;		/* place + 1; under lock */
};

struct cf_slots cf_handles = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER,
};

struct cf_slots cf_batches = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER,
};

static struct slot *slot_at(struct cf_slots *slots, uint32_t place)
{
	struct slot *chunk;

	if (place / PER_CHUNK >= CHUNKS)
		return NULL;
	chunk = atomic_load(&slots->chunk[place / PER_CHUNK]);
	return chunk ? &chunk[place % PER_CHUNK] : NULL;
}

static struct slot *slot_of(struct cf_slots *slots, void *name,
			    uint64_t *generation)
{
	uint64_t value = (uintptr_t)name;

	if (value & ((1U << SHIFT) - 1))
		return NULL;
	value >>= SHIFT;
	*generation = value >> PLACE_BITS;
	if (!*generation || *generation > GENERATION_MAX)
		return NULL;
	return slot_at(slots, value & ((1U << PLACE_BITS) - 1));
}

/* A place that nobody uses; lock held. */
static int take_place(struct cf_slots *slots, uint32_t *place)
{
	struct slot *chunk;

	if (slots->free) {
		*place = slots->free - 1;
		slots->free = slot_at(slots, *place)->next_free;
		return 0;
	}
	if (slots->nr == PER_CHUNK * CHUNKS)
		return -1;
	*place = slots->nr;
	if (!slot_at(slots, *place)) {
		chunk = calloc(PER_CHUNK, sizeof(*chunk));
		if (!chunk)
			return -1;
		atomic_store(&slots->chunk[*place / PER_CHUNK], chunk);
	}
	slots->nr++;
	return 0;
}

void *cf_slot_add(struct cf_slots *slots, void *object)
{
	uint64_t generation;
	uint32_t place;
	struct slot *slot;

	pthread_mutex_lock(&slots->lock);
	if (take_place(slots, &place)) {
		pthread_mutex_unlock(&slots->lock);
		return NULL;
	}
	slot = slot_at(slots, place);
	generation = (atomic_load(&slot->state) >> 32) + 1;
	if (generation > GENERATION_MAX)
		generation = 1;
	slot->object = object;
	atomic_store(&slot->state, generation << 32 | LIVE);
	pthread_mutex_unlock(&slots->lock);
	return (void *)(uintptr_t)((generation << PLACE_BITS | place) << SHIFT);
}

void *cf_slot_get(struct cf_slots *slots, void *name)
{
	uint64_t generation, state;
	struct slot *slot = slot_of(slots, name, &generation);

	if (!slot)
		return NULL;
	state = atomic_load(&slot->state);
	do {
		if (state >> 32 != generation || !(state & LIVE))
			return NULL;
	} while (!atomic_compare_exchange_weak(&slot->state, &state, state + 1));
	return slot->object;
}

void cf_slot_put_some(struct cf_slots *slots, void *name, unsigned int nr)
{
	uint64_t generation, state;
	struct slot *slot = slot_of(slots, name, &generation);

	state = atomic_fetch_sub(&slot->state, nr);
	if ((state & USERS) != nr || (state & LIVE))
		return;
	pthread_mutex_lock(&slots->lock);
	pthread_cond_broadcast(&slots->idle);
	pthread_mutex_unlock(&slots->lock);
}

void cf_slot_put(struct cf_slots *slots, void *name)
{
	cf_slot_put_some(slots, name, 1);
}

/*
 * Under the lock, which is given back meanwhile.  Requests of a GPU that was lost
 * end only when somebody looks after them, also when it is lost now.
 */
static void wait_for_users(struct cf_slots *slots)
{
	if (!wait_a_while(&slots->idle, &slots->lock))
		return;
	pthread_mutex_unlock(&slots->lock);
	engine_look_after();
	pthread_mutex_lock(&slots->lock);
}

void *cf_slot_remove(struct cf_slots *slots, void *name)
{
	uint64_t generation, state;
	struct slot *slot = slot_of(slots, name, &generation);
	void *object;

	if (!slot)
		return NULL;
	state = atomic_load(&slot->state);
	do {
		if (state >> 32 != generation || !(state & LIVE))
			return NULL;
	} while (!atomic_compare_exchange_weak(&slot->state, &state,
					       state & ~LIVE));
	pthread_mutex_lock(&slots->lock);
	while (atomic_load(&slot->state) & USERS)
		wait_for_users(slots);
	object = slot->object;
	slot->object = NULL;
	slot->next_free = slots->free;
	slots->free = (uint32_t)((uintptr_t)name >> SHIFT &
				 ((1U << PLACE_BITS) - 1)) + 1;
	pthread_mutex_unlock(&slots->lock);
	return object;
}

void cf_slot_each(struct cf_slots *slots, bool (*fn)(void *name))
{
	uint32_t nr;

	pthread_mutex_lock(&slots->lock);
	nr = slots->nr;
	pthread_mutex_unlock(&slots->lock);
	for (uint32_t place = 0; place < nr; place++) {
		uint64_t state = atomic_load(&slot_at(slots, place)->state);

		if (state & LIVE)
			fn((void *)(uintptr_t)((state >> 32 << PLACE_BITS |
						place) << SHIFT));
	}
}
