/* SPDX-License-Identifier: MIT */
/*
 * Copies between host memory and one GPU in one direction, from all threads.
 * What several threads push while the copy engine is busy goes to it together.
 */
#ifndef LIBNVFS_LANE_H
#define LIBNVFS_LANE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "gpu.h"
#include "pump.h"

/* lane_copy.state while it is not over; then 0 or a negative errno value. */
#define LANE_BUSY	1

/**
 * struct lane_copy - one copy
 * @copy: what; the pusher's until it is pushed, and again when it is over
 * @pinned: its host memory is, so code on the GPU can reach it; likewise
 * @once: no CPU may touch its host memory: it is not tried once more, alone and waited
 *	for, when something in its group was refused; likewise
 * @next: the lane's
 * @state: LANE_BUSY from lane_push() on
 * @pumped: the pump has it, as @trip
 */
struct lane_copy {
	struct gpu_copy copy;
	bool pinned;
	bool once;
	struct lane_copy *next;
	_Atomic int state;
	bool pumped;
	struct pump_trip trip;
};

/* Copies that were given to the copy engine in one go. */
struct lane_flight {
	struct lane_copy *first;
	int error;
};

/**
 * struct lane - see above
 * @pumps: what is given the small ones, when it takes them; may be NULL
 * @queue: of the driver; NULL: copies are made at once, by the pusher
 * @opened: @queue is what it will be
 * @pushed: newest first
 * @driving: whoever has it touches what follows
 * @head: oldest flight; its index is its mark
 * @nr: flights
 */
struct lane {
	const struct gpu_driver *driver;
	unsigned int index;
	bool out;
	struct pumps *pumps;
	void *queue;
	_Atomic bool opened;
	_Atomic(struct lane_copy *) pushed;
	_Atomic bool driving;
	unsigned int head;
	_Atomic unsigned int nr;
	struct lane_flight flights[GPU_MARKS];
};

/* Takes nothing from the driver yet. */
void lane_init(struct lane *lane, const struct gpu_driver *driver,
	       unsigned int index, bool out, struct pumps *pumps);
/*
 * Before the first push of a thread, at least.  Never fails: without a queue
 * copies are made one by one.
 */
void lane_open(struct lane *lane);
/* Nothing is pushed or under way any more. */
void lane_close(struct lane *lane);

/* Start @nr copies, in any order; does not wait. */
void lane_push(struct lane *lane, struct lane_copy *copies, unsigned int nr);

/* Look what has ended, start what was pushed; does not wait. */
void lane_drive(struct lane *lane);

/*
 * 1 while one of them is not over, else 0 or the first error.  For who pushed
 * them.
 */
int lane_state(struct lane *lane, struct lane_copy *copies, unsigned int nr);

#endif /* LIBNVFS_LANE_H */
