/* SPDX-License-Identifier: MIT */
/*
 * Small copies, made by the GPU's processors: faster than the copy engine,
 * which takes longer to begin and pauses after each copy.
 *
 * Code on the GPU, the pump, looks for orders on a board in pinned host memory,
 * carries them out and says so there.  One run of it, a turn, is started when
 * small copies follow one another or are about to, and ends by itself soon after
 * the last.  Only a turn that runs is given orders: where the application keeps all
 * processors busy, it waits for its turn and the copy engine is used.
 */
#ifndef LIBNVFS_PUMP_H
#define LIBNVFS_PUMP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "gpu.h"

/* pump_move(): not over yet */
#define PUMP_BUSY	1

/* Pumps of a GPU; each works on several processors, of which one gets 10 GB/s. */
#define PUMPS		2U
#define PUMP_BLOCKS	8U
/* Orders of each at a time, served by 32 threads of the GPU; and their bytes. */
#define PUMP_SLOTS	32U
#define PUMP_PIECE	4096U
/* Larger copies are better made by the copy engine. */
#define PUMP_MAX	65536U

/**
 * struct pump_slot - an order and its answer, a cache line each
 * @order: two words that the GPU reads at once: pump_order() says of what.  It
 *	takes the order when the tags of both are the next one's
 * @done: how many orders were carried out, by the GPU; the next one's tag is
 *	pump_tag(@done + 1)
 * @left: the last turn in which it was served, when that is over; by the GPU
 */
struct pump_slot {
	_Alignas(64) _Atomic uint64_t order[2];
	_Alignas(64) _Atomic uint32_t done;
	_Atomic uint32_t left;
};

/**
 * struct pump_board - what both sides look at; gpu_cuda_pump_code.c has it as
 *	numbers
 * @slots: see above
 * @started: the last turn that runs or ran on each of its processors, by the GPU
 * @idle: what pumps_rouse() has copied, from one half to the other
 */
struct pump_board {
	struct pump_slot slots[PUMP_SLOTS];
	_Alignas(64) _Atomic uint32_t started[PUMP_BLOCKS];
	_Alignas(64) unsigned char idle[2][16];
};

/*
 * An order: tag, direction and GPU address; tag, length less 1 and host address.
 * No tag is 0.  A power of two, so that none follows itself when the number of
 * orders wraps.
 */
#define PUMP_TAGS		8U
#define PUMP_TAG_SHIFT		60U
#define PUMP_OUT		(1ULL << 59)
#define PUMP_LENGTH_BITS	12U
#define PUMP_HOST_BITS		47U

static inline uint64_t pump_tag(uint32_t order)
{
	return (uint64_t)(order % PUMP_TAGS + 1) << PUMP_TAG_SHIFT;
}

/**
 * struct pump - one of a GPU's
 * @board: NULL until it is there
 * @free: a bit for each slot that is nobody's, and whether it is shut
 * @turn: the last that was started; changes only when all slots are free and
 *	it is shut
 * @lock: to start a turn and to open; nobody waits for it
 * @broken: for good; its board is not looked at any more, but for trips
 * @last_ns: when somebody came and found it shut
 * @retry_ns: no turn before that
 * @rest_ns: how long it will be left alone when it was too slow
 * @orders: how many orders each slot was given, by the slot's holder
 */
struct pump {
	const struct gpu_driver *driver;
	unsigned int index;
	unsigned int self;
	void *handle;
	struct pump_board *board;
	_Alignas(64) _Atomic uint64_t free;
	_Atomic uint32_t turn;
	_Atomic bool lock;
	_Atomic bool broken;
	_Atomic uint64_t last_ns;
	_Atomic uint64_t retry_ns;
	_Atomic uint64_t rest_ns;
	uint32_t orders[PUMP_SLOTS];
};

/**
 * struct pumps - all of a GPU's
 * @boards: one for each, in one piece of pinned memory
 */
struct pumps {
	const struct gpu_driver *driver;
	unsigned int index;
	void *handle;
	struct pump_board *boards;
	struct pump all[PUMPS];
};

/**
 * struct pump_pass - leave to have copies made; asked for once for those that
 *	are at hand, because the driver has one lock for all threads
 * @pump: which one makes them, or NULL
 * @reached: addresses that it may be given
 */
struct pump_pass {
	struct pump *pump;
	struct gpu_range reached;
};

/**
 * struct pump_trip - one copy on its way
 * @pump: which one has it
 * @copy: what
 * @out: from the GPU
 * @failed: something was not carried out; set before its slot is another's
 * @handed: bytes for which there was an order
 * @held: slots
 * @looks: how often was looked
 * @since_ns: when it first had to wait for long
 * @places: of a shared one: the slot of each piece
 * @numbers: of a shared one: the number of each piece's order in its slot
 * @given: of a shared one: a bit for each piece for which there was an order
 */
struct pump_trip {
	struct pump *pump;
	struct gpu_copy copy;
	bool out;
	_Atomic bool failed;
	uint64_t handed;
	uint64_t held;
	unsigned int looks;
	uint64_t since_ns;
	uint8_t places[PUMP_MAX / PUMP_PIECE];
	uint32_t numbers[PUMP_MAX / PUMP_PIECE];
	_Atomic uint32_t given;
};

void pumps_init(struct pumps *pumps, const struct gpu_driver *driver,
		unsigned int index);
/* Make them ready, as engine_warm() says; 0 or why there are none. */
int pumps_open(struct pumps *pumps);
/*
 * No trip is under way.  False: the GPU still has to run a turn, and so memory
 * stays behind.  Where the application has reset the GPU there is none left.
 */
bool pumps_close(struct pumps *pumps);

/* Could it take copies, now or later? */
bool pumps_are_there(const struct pumps *pumps);
/*
 * Some small copies will follow soon: see that turns run by then, and do not end
 * before.  Does not wait.  @trips: one for each pump, for pumps_settled().
 */
void pumps_rouse(struct pumps *pumps, struct pump_trip *trips);
/* Go on with that, by the same thread, until it is true: then it is over. */
bool pumps_settled(struct pump_trip *trips);

/* Does one take copies now?  The pass is for those that are begun at once. */
bool pump_ask(struct pumps *pumps, struct pump_pass *pass);
/*
 * Take a copy, or not: then it can't be taken, or not now.  Who has one taken
 * goes on with it.
 */
bool pump_begin(struct pump_pass *pass, struct pump_trip *trip,
		const struct gpu_copy *copy, bool out);
/*
 * A shared trip: several threads give orders, each for bytes that it has put
 * there itself.  Not with every copy that pump_begin() takes.
 */
bool pump_share(struct pump_pass *pass, struct pump_trip *trip,
		const struct gpu_copy *copy, bool out);
/* Bytes from @first on: whole pieces, or up to the end.  Not the same twice. */
void pump_give(struct pump_trip *trip, uint64_t first, uint64_t length);
/*
 * Were these bytes copied, all of which were given?  By any thread, while nobody uses
 * the trip for another copy.  False also when that is only not known any more.
 */
bool pump_has(const struct pump_trip *trip, uint64_t first, uint64_t length);
/* All that could be given was: from now on it is a trip like others. */
void pump_gather(struct pump_trip *trip);
/* It is over, as pump_has() said of all of it. */
void pump_end(struct pump_trip *trip);
/*
 * Go on with it; by one thread, until it is over: PUMP_BUSY, 0, or -ECANCELED:
 * some of it may have been copied, and nobody will go on with the rest.
 */
int pump_move(struct pump_trip *trip);

#endif /* LIBNVFS_PUMP_H */
