/* SPDX-License-Identifier: MIT */
/*
 * A model of the code on the GPU: a thread for each turn, which looks at the
 * board like the real one and may be told to begin late, to leave early or to be
 * lost.
 */
#ifndef LIB_PUMP_MODEL_H
#define LIB_PUMP_MODEL_H

#include "lib_engine_fix.h"

#include "lane.h"
#include "pump.h"

#include <sched.h>
#include <time.h>

/* Looks without an order after which a turn of the model ends. */
#define IDLE_LOOKS	2000U
#define PATIENCE	(10ULL * 1000000000)

struct model_turn {
	struct pump_board *board;
	uint32_t turn;
	pthread_t before;
	bool has_before;
};

static struct {
	pthread_t last[PUMPS];
	bool any[PUMPS];
	_Atomic unsigned int turns, orders;
	/* Of these, those of more than a few bytes. */
	_Atomic unsigned int large;
	/* Turns that look, and how often each slot was looked at. */
	_Atomic unsigned int running, rounds;
	/* Turns don't begin; end as soon as they began; end after one order. */
	_Atomic bool busy, idle, hasty;
	/* Turns do not end by themselves; and carry out nothing. */
	_Atomic bool stays, deaf;
	_Atomic bool lost;
	/* Of which the GPU was reset. */
	_Atomic bool gone;
	_Atomic int prepared;
	bool over;
	uint64_t unreachable;
	/* What it says of that, and how often it was asked. */
	struct gpu_range around;
	_Atomic unsigned int asked;
	/* All of these are found broken while somebody asks what is reached. */
	struct pumps *breaks;
} model;

static inline bool serve(struct pump_slot *slot)
{
	uint32_t next = atomic_load(&slot->done) + 1;
	uint64_t gpu = atomic_load(&slot->order[0]);
	uint64_t host = atomic_load_explicit(&slot->order[1],
					     memory_order_acquire);
	uint64_t tag = 15ULL << PUMP_TAG_SHIFT, length;
	void *at_gpu, *at_host;

	if ((gpu & tag) != pump_tag(next) || (host & tag) != pump_tag(next))
		return false;
	length = ((host & ~tag) >> PUMP_HOST_BITS) + 1;
	at_host = (void *)(uintptr_t)(host & ((1ULL << PUMP_HOST_BITS) - 1));
	at_gpu = (void *)(uintptr_t)(gpu & (PUMP_OUT - 1));
	memcpy(gpu & PUMP_OUT ? at_host : at_gpu,
	       gpu & PUMP_OUT ? at_gpu : at_host, length);
	atomic_fetch_add(&model.orders, 1);
	atomic_fetch_add(&model.large, length > 64);
	atomic_store_explicit(&slot->done, next, memory_order_release);
	return true;
}

static inline void serve_all(struct pump_board *board)
{
	for (unsigned int idle = 0; idle < IDLE_LOOKS && !model.idle;
	     idle += !model.stays) {
		atomic_fetch_add(&model.rounds, 1);
		for (unsigned int i = 0; i < PUMP_SLOTS; i++) {
			if (model.deaf || !serve(&board->slots[i]))
				continue;
			if (model.hasty)
				return;
			idle = 0;
		}
		sched_yield();
	}
}

static inline void *run_turn(void *arg)
{
	struct model_turn *turn = arg;

	if (turn->has_before)
		pthread_join(turn->before, NULL);
	while (model.busy)
		sched_yield();
	for (unsigned int i = 0; i < PUMP_BLOCKS && !model.lost; i++)
		atomic_store(&turn->board->started[i], turn->turn);
	atomic_fetch_add(&model.running, 1);
	if (!model.lost)
		serve_all(turn->board);
	atomic_fetch_sub(&model.running, 1);
	for (unsigned int i = 0; i < PUMP_SLOTS && !model.lost; i++)
		atomic_store_explicit(&turn->board->slots[i].left, turn->turn,
				      memory_order_release);
	free(turn);
	return NULL;
}

static inline int model_prepare(void)
{
	return model.prepared;
}

static inline int model_open(unsigned int index, unsigned int nr, void **pumps)
{
	assert_int_equal(index, 0);
	assert_int_equal(nr, PUMPS);
	*pumps = &model;
	return 0;
}

static inline void join_all(void)
{
	for (unsigned int i = 0; i < PUMPS; i++) {
		if (model.any[i])
			pthread_join(model.last[i], NULL);
		model.any[i] = false;
	}
}

/* The model's turns end when they are told to, not after microseconds. */
static inline void end_turns(void)
{
	model.idle = true;
	join_all();
}

static inline void model_close(void *pumps, bool over)
{
	assert_ptr_equal(pumps, &model);
	model.over = over;
	if (over)
		join_all();
}

static inline int model_start(void *pumps, unsigned int pump,
			      struct pump_board *board, uint32_t turn,
			      uint32_t linger_ns, uint32_t life_ns)
{
	struct model_turn *new = malloc(sizeof(*new));

	assert_ptr_equal(pumps, &model);
	assert_non_null(new);
	assert_true(linger_ns && linger_ns < life_ns);
	*new = (struct model_turn){ board, turn, model.last[pump],
				    model.any[pump] };
	atomic_fetch_add(&model.turns, 1);
	assert_int_equal(pthread_create(&model.last[pump], NULL, run_turn,
					new), 0);
	model.any[pump] = true;
	return 0;
}

static inline int model_poll(void *pumps, unsigned int pump)
{
	(void)pumps;
	(void)pump;
	return model.lost ? -EIO : 0;
}

static inline bool model_alive(void *pumps)
{
	assert_ptr_equal(pumps, &model);
	return !model.gone;
}

static inline bool model_reaches(unsigned int index, uint64_t addr,
				 uint64_t length, struct gpu_range *around)
{
	(void)index;
	atomic_fetch_add(&model.asked, 1);
	*around = model.around;
	for (unsigned int i = 0; model.breaks && i < PUMPS; i++)
		model.breaks->all[i].broken = true;
	return model.unreachable < addr || model.unreachable >= addr + length;
}

static const struct gpu_pumps model_pumps = {
	.prepare = model_prepare,
	.open = model_open,
	.close = model_close,
	.start = model_start,
	.poll = model_poll,
	.alive = model_alive,
	.reaches = model_reaches,
};

static inline void model_reset(void)
{
	memset(&model, 0, sizeof(model));
	fast_gpu.pumps = &model_pumps;
}

static inline bool in_time(uint64_t since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec <
	       since + PATIENCE;
}

static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline struct gpu_copy copy_of(unsigned char *gpu, unsigned char *host,
				      uint64_t length)
{
	return (struct gpu_copy){ (uintptr_t)gpu, host, length };
}

static inline bool ask_and_begin(struct pumps *pumps, struct pump_trip *trip,
				 const struct gpu_copy *copy, bool out)
{
	struct pump_pass pass;

	return pump_ask(pumps, &pass) && pump_begin(&pass, trip, copy, out);
}

/* Come again until a turn runs, as those do who have small copies. */
static inline void begin(struct pumps *pumps, struct pump_trip *trip,
			 const struct gpu_copy *copy, bool out)
{
	uint64_t since = clock_ns();

	while (!ask_and_begin(pumps, trip, copy, out)) {
		assert_true(in_time(since));
		sched_yield();
	}
}

static inline int finish(struct pump_trip *trip)
{
	uint64_t since = clock_ns();
	int ret;

	while ((ret = pump_move(trip)) == PUMP_BUSY) {
		assert_true(in_time(since));
		sched_yield();
	}
	return ret;
}

#define ROOM	(256U << 10)

static inline unsigned char *make_room(unsigned int seed)
{
	unsigned char *room = aligned_alloc(4096, ROOM);

	assert_non_null(room);
	for (unsigned int i = 0; i < ROOM; i++)
		room[i] = (unsigned char)((i + seed) * 2654435761u >> 13);
	return room;
}

/* A turn may end between two orders: then the copy is made once more. */
static inline void carry(struct pumps *pumps, const struct gpu_copy *copy,
			 bool out)
{
	struct pump_trip trip;

	do {
		begin(pumps, &trip, copy, out);
	} while (finish(&trip) == -ECANCELED);
}

#endif /* LIB_PUMP_MODEL_H */
