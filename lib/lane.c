// SPDX-License-Identifier: MIT
/*
 * Copies of all threads, given to the copy engine in groups.  Nobody has a
 * thread for it: who waits drives, one at a time.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "lane.h"

/* Most copies in one flight: the driver is given them at about 1 us each. */
#define FLIGHT_COPIES	32U

/* Most flights: the copy engine need not wait for us between two. */
#define LANE_DEPTH	3U

void lane_init(struct lane *lane, const struct gpu_driver *driver,
	       unsigned int index, bool out, struct pumps *pumps)
{
	lane->driver = driver;
	lane->index = index;
	lane->out = out;
	lane->pumps = pumps;
	lane->queue = NULL;
	atomic_init(&lane->opened, false);
	atomic_init(&lane->pushed, NULL);
	atomic_init(&lane->driving, false);
	lane->head = 0;
	atomic_init(&lane->nr, 0);
}

void lane_open(struct lane *lane)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	if (atomic_load_explicit(&lane->opened, memory_order_acquire))
		return;
	pthread_mutex_lock(&lock);
	if (!atomic_load(&lane->opened) && lane->driver->copies &&
	    lane->driver->copies->open(lane->index, &lane->queue))
		lane->queue = NULL;
	atomic_store(&lane->opened, true);
	pthread_mutex_unlock(&lock);
}

void lane_close(struct lane *lane)
{
	if (lane->queue)
		lane->driver->copies->close(lane->queue);
	lane->queue = NULL;
}

static int copy_now(struct lane *lane, const struct gpu_copy *copy)
{
	return lane->out ? lane->driver->copy_out(lane->index, copy->host,
						  copy->gpu, copy->length) :
			   lane->driver->copy_in(lane->index, copy->gpu,
						 copy->host, copy->length);
}

/* The copy is its pusher's again as soon as @state is stored. */
static void end(struct lane_copy *copy, int state)
{
	atomic_store_explicit(&copy->state, state, memory_order_release);
}

/* The list from @first to @last. */
static void push(struct lane *lane, struct lane_copy *first,
		 struct lane_copy *last)
{
	struct lane_copy *old;

	old = atomic_load_explicit(&lane->pushed, memory_order_relaxed);
	do {
		last->next = old;
	} while (!atomic_compare_exchange_weak(&lane->pushed, &old, first));
	lane_drive(lane);
}

/* Is it one for the pump? */
static bool suits_pump(const struct lane *lane, const struct lane_copy *copy)
{
	return lane->pumps && copy->pinned && copy->copy.length <= PUMP_MAX;
}

/* @asked, @pass: once for all copies of a push. */
static bool try_pump(struct lane *lane, struct lane_copy *copy,
		     struct pump_pass *pass, bool *asked)
{
	copy->pumped = false;
	if (!suits_pump(lane, copy))
		return false;
	if (!*asked)
		pump_ask(lane->pumps, pass);
	*asked = true;
	copy->pumped = pump_begin(pass, &copy->trip, &copy->copy, lane->out);
	return copy->pumped;
}

void lane_push(struct lane *lane, struct lane_copy *copies, unsigned int nr)
{
	struct lane_copy *first = NULL, *last = NULL;
	struct pump_pass pass;
	bool asked = false;

	for (unsigned int i = 0; i < nr; i++) {
		atomic_store_explicit(&copies[i].state, LANE_BUSY,
				      memory_order_relaxed);
		if (!lane->queue) {
			copies[i].pumped = false;
			end(&copies[i], copy_now(lane, &copies[i].copy));
		} else if (!try_pump(lane, &copies[i], &pass,
				     &asked)) {
			if (last)
				last->next = &copies[i];
			else
				first = &copies[i];
			last = &copies[i];
		}
	}
	if (first)
		push(lane, first, last);
}

/*
 * Something in a group was refused.  Each once more and alone, so that one
 * request's bad address is no other request's error.
 */
static void land_one_by_one(struct lane *lane, struct lane_copy *copy)
{
	while (copy) {
		struct lane_copy *next = copy->next;

		end(copy, copy->once ? -EIO : copy_now(lane, &copy->copy));
		copy = next;
	}
}

static bool land(struct lane *lane)
{
	struct lane_flight *flight = &lane->flights[lane->head];
	int ret = lane->driver->copies->poll(lane->queue, lane->head);
	struct lane_copy *copy = flight->first;

	if (!ret)
		return false;
	if (ret < 0 || flight->error) {
		land_one_by_one(lane, copy);
		return true;
	}
	while (copy) {
		struct lane_copy *next = copy->next;

		end(copy, 0);
		copy = next;
	}
	return true;
}

static void land_all(struct lane *lane)
{
	unsigned int nr = atomic_load(&lane->nr);

	while (nr && land(lane)) {
		lane->head = (lane->head + 1) % GPU_MARKS;
		atomic_store(&lane->nr, --nr);
	}
}

/* Up to FLIGHT_COPIES of what was pushed; the rest goes back. */
static struct lane_copy *take(struct lane *lane, struct gpu_copy *copies,
			      unsigned int *nr)
{
	struct lane_copy *first = atomic_exchange(&lane->pushed, NULL);
	struct lane_copy *last = NULL;

	*nr = 0;
	for (struct lane_copy *i = first; i && *nr < FLIGHT_COPIES;
	     i = i->next) {
		copies[(*nr)++] = i->copy;
		last = i;
	}
	if (last && last->next) {
		struct lane_copy *rest = last->next, *end_of_rest = rest;
		struct lane_copy *old = atomic_load(&lane->pushed);

		last->next = NULL;
		while (end_of_rest->next)
			end_of_rest = end_of_rest->next;
		do {
			end_of_rest->next = old;
		} while (!atomic_compare_exchange_weak(&lane->pushed, &old,
						       rest));
	}
	return first;
}

static bool take_off(struct lane *lane)
{
	unsigned int nr_flights = atomic_load(&lane->nr);
	unsigned int mark = (lane->head + nr_flights) % GPU_MARKS;
	struct lane_flight *flight = &lane->flights[mark];
	struct gpu_copy copies[FLIGHT_COPIES];
	unsigned int nr;

	if (nr_flights >= LANE_DEPTH || !atomic_load(&lane->pushed))
		return false;
	flight->first = take(lane, copies, &nr);
	if (!nr)
		return false;
	flight->error = lane->driver->copies->start(lane->queue, copies, nr,
						    lane->out, mark);
	atomic_store(&lane->nr, nr_flights + 1);
	return true;
}

void lane_drive(struct lane *lane)
{
	if (!lane->queue)
		return;
	do {
		/* Look first: those who wait must not be in the driver's way. */
		if (atomic_load_explicit(&lane->driving,
					 memory_order_relaxed) ||
		    atomic_exchange(&lane->driving, true))
			return;
		land_all(lane);
		while (take_off(lane))
			;
		atomic_store(&lane->driving, false);
		/* Pushed since, by one who found the lane driven: still ours. */
	} while (atomic_load(&lane->pushed) &&
		 atomic_load(&lane->nr) < LANE_DEPTH);
}

/* The pump had it, and does not do it: the copy engine does. */
static int move(struct lane *lane, struct lane_copy *copy)
{
	int state = pump_move(&copy->trip);

	if (state == PUMP_BUSY)
		return LANE_BUSY;
	copy->pumped = false;
	if (state) {
		push(lane, copy, copy);
		return LANE_BUSY;
	}
	end(copy, 0);
	return 0;
}

int lane_state(struct lane *lane, struct lane_copy *copies, unsigned int nr)
{
	bool busy = false;
	int error = 0;

	for (unsigned int i = 0; i < nr; i++) {
		int state = atomic_load_explicit(&copies[i].state,
						 memory_order_acquire);

		if (state == LANE_BUSY && copies[i].pumped)
			state = move(lane, &copies[i]);
		if (state == LANE_BUSY)
			busy = true;
		else if (!error)
			error = state;
	}
	return busy ? LANE_BUSY : error;
}
