// SPDX-License-Identifier: MIT
/*
 * Orders for code on the GPU.
 *
 * A slot's order is its holder's to write until the GPU has answered, or has
 * left the slot: then it is withdrawn.  While slots are held no other turn is
 * started, so nobody finds a withdrawn order; and while a turn that was started
 * does not run, the pump is shut and no slot can be had.
 */
#include <errno.h>
#include <string.h>

#include "common.h"
#include "pump.h"

#define PUMP_SHUT	(1ULL << 63)
#define ALL_FREE	((1ULL << PUMP_SLOTS) - 1)

/* Small copies that follow one another so closely are worth a turn. */
#define BURST_NS	60000U
/*
 * A turn ends so long after the last order, and lasts so long at most, in
 * nanoseconds.  The application's own wait for the whole GPU is longer by that.
 */
#define LINGER_NS	40000U
#define LIFE_NS		1000000U
/* The copy engine would have been faster long ago. */
#define SLOW_NS		200000U
/* And faster than to wait for a place. */
#define WAIT_NS		50000U
/* How long it is left alone then, and twice as long each time. */
#define REST_NS		10000000U
#define REST_MOST_NS	1000000000U
/* So long after a rest it is as if there had been none. */
#define WELL_NS		1000000000U
/* How many looks at the board between two at the clock. */
#define LOOKS		256U

void pumps_init(struct pumps *pumps, const struct gpu_driver *driver,
		unsigned int index)
{
	memset(pumps, 0, sizeof(*pumps));
	pumps->driver = driver;
	pumps->index = index;
	for (unsigned int i = 0; i < PUMPS; i++) {
		struct pump *pump = &pumps->all[i];

		pump->driver = driver;
		pump->index = index;
		pump->self = i;
		atomic_init(&pump->rest_ns, REST_NS);
		/* No slot is free: it is not there. */
		atomic_init(&pump->free, PUMP_SHUT);
	}
}

static struct pump *my_pump(struct pumps *pumps)
{
	static _Atomic unsigned int threads;
	static _Thread_local unsigned int mine;

	if (!mine)
		mine = atomic_fetch_add(&threads, 1) % PUMPS + 1;
	return &pumps->all[mine - 1];
}

static bool lock(struct pump *pump)
{
	return !atomic_load_explicit(&pump->lock, memory_order_relaxed) &&
	       !atomic_exchange(&pump->lock, true);
}

static void unlock(struct pump *pump)
{
	atomic_store(&pump->lock, false);
}

/* The last turn that was started is over, as far as slot @i is concerned. */
static bool has_left(struct pump *pump, unsigned int i)
{
	return atomic_load_explicit(&pump->board->slots[i].left,
				    memory_order_acquire) ==
	       atomic_load_explicit(&pump->turn, memory_order_relaxed);
}

static bool all_left(struct pump *pump)
{
	for (unsigned int i = 0; i < PUMP_SLOTS; i++) {
		if (!has_left(pump, i))
			return false;
	}
	return true;
}

/* Under the lock; no turn is under way. */
static void start_turn(struct pump *pump)
{
	uint32_t turn = atomic_load(&pump->turn) + 1;

	if (pump->driver->pumps->start(pump->handle, pump->self, pump->board,
				       turn, LINGER_NS, LIFE_NS))
		atomic_store(&pump->broken, true);
	else
		atomic_store(&pump->turn, turn);
}

int pumps_open(struct pumps *pumps)
{
	const struct gpu_driver *driver = pumps->driver;
	void *boards;
	int ret;

	if (!driver->copies)
		return -ENOSYS;
	ret = driver->copies->host_get(pumps->index,
				       PUMPS * sizeof(*pumps->boards), &boards);
	if (ret)
		return ret;
	memset(boards, 0, PUMPS * sizeof(*pumps->boards));
	ret = driver->pumps->open(pumps->index, PUMPS, &pumps->handle);
	if (ret) {
		driver->copies->host_put(pumps->index, boards);
		return ret;
	}
	pumps->boards = boards;
	for (unsigned int i = 0; i < PUMPS; i++) {
		struct pump *pump = &pumps->all[i];

		pump->handle = pumps->handle;
		pump->board = &pumps->boards[i];
		atomic_store(&pump->free, PUMP_SHUT | ALL_FREE);
	}
	return 0;
}

bool pumps_close(struct pumps *pumps)
{
	uint64_t end = now_ns() + SLOW_NS;
	bool over = true;

	if (!pumps->boards)
		return true;
	if (!pumps->driver->pumps->alive(pumps->handle)) {
		pumps->driver->pumps->close(pumps->handle, false);
		pumps->boards = NULL;
		return true;
	}
	for (unsigned int i = 0; i < PUMPS; i++) {
		while (!all_left(&pumps->all[i]) && now_ns() < end)
			;
		over &= all_left(&pumps->all[i]);
	}
	pumps->driver->pumps->close(pumps->handle, over);
	if (over)
		pumps->driver->copies->host_put(pumps->index, pumps->boards);
	pumps->boards = NULL;
	return over;
}

static bool runs(struct pump *pump)
{
	for (unsigned int i = 0; i < PUMP_BLOCKS; i++) {
		if (atomic_load(&pump->board->started[i]) !=
		    atomic_load(&pump->turn))
			return false;
	}
	return !has_left(pump, 0);
}

/*
 * It is shut.  Open it, when a turn runs, or start one, for those who follow.
 * @burst: more will follow closely; otherwise that is so when some do.
 */
static bool wake(struct pump *pump, bool burst)
{
	uint64_t shut = PUMP_SHUT | ALL_FREE, now, last;
	bool opened = false;

	if (atomic_load(&pump->free) != shut || atomic_load(&pump->broken))
		return false;
	now = now_ns();
	last = atomic_exchange(&pump->last_ns, now);
	burst = (burst || now - last < BURST_NS) &&
		now >= atomic_load(&pump->retry_ns);
	if (!burst || !lock(pump))
		return false;
	if (atomic_load(&pump->free) == shut) {
		if (runs(pump)) {
			atomic_store(&pump->free, ALL_FREE);
			opened = true;
		} else if (all_left(pump)) {
			start_turn(pump);
		}
	}
	unlock(pump);
	return opened;
}

/* Its board was made, and the application has not reset the GPU since. */
static bool is_there(struct pump *pump)
{
	if (atomic_load(&pump->free) == PUMP_SHUT ||
	    atomic_load_explicit(&pump->broken, memory_order_relaxed))
		return false;
	if (pump->driver->pumps->alive(pump->handle))
		return true;
	atomic_store(&pump->broken, true);
	return false;
}

static bool is_open(struct pump *pump, bool burst)
{
	if (atomic_load_explicit(&pump->free, memory_order_acquire) & PUMP_SHUT)
		return wake(pump, burst);
	if (!has_left(pump, 0))
		return true;
	atomic_fetch_or(&pump->free, PUMP_SHUT);
	return wake(pump, burst);
}

/* Can it be told in an order, and carried 16 bytes at a time? */
static bool fits(uint64_t host, uint64_t gpu)
{
	return !((host ^ gpu) & 15) && !(host >> PUMP_HOST_BITS) &&
	       gpu < PUMP_OUT;
}

bool pump_ask(struct pumps *pumps, struct pump_pass *pass)
{
	struct pump *pump = my_pump(pumps);
	bool open = is_there(pump) && is_open(pump, false);

	*pass = (struct pump_pass){ .pump = open ? pump : NULL };
	return open;
}

/* What was refused is not remembered, whatever was said of it. */
static bool reaches(struct pump_pass *pass, const struct gpu_copy *copy)
{
	const struct gpu_range *reached = &pass->reached;
	const struct pump *pump = pass->pump;
	struct gpu_range around = { 0, 0 };

	if (copy->gpu >= reached->first && copy->gpu < reached->end &&
	    copy->length <= reached->end - copy->gpu)
		return true;
	if (!pump->driver->pumps->reaches(pump->index, copy->gpu, copy->length,
					  &around))
		return false;
	pass->reached = around;
	return true;
}

bool pump_begin(struct pump_pass *pass, struct pump_trip *trip,
		const struct gpu_copy *copy, bool out)
{
	if (!pass->pump || !fits((uintptr_t)copy->host, copy->gpu) ||
	    !reaches(pass, copy))
		return false;
	*trip = (struct pump_trip){
		.pump = pass->pump,
		.copy = *copy,
		.out = out,
	};
	pump_move(trip);
	return true;
}

/* Some free slots, up to @most; none when it is shut. */
static uint64_t claim(struct pump *pump, uint64_t most)
{
	uint64_t free = atomic_load(&pump->free), got;

	do {
		if (free & PUMP_SHUT)
			return 0;
		got = 0;
		for (uint64_t i = 0; i < most && free & ~got; i++)
			got |= (free & ~got) & -(free & ~got);
	} while (got && !atomic_compare_exchange_weak(&pump->free, &free,
						      free & ~got));
	return got;
}

static unsigned int lowest(uint64_t mask)
{
	return (unsigned int)__builtin_ctzll(mask);
}

/* Bytes of the copy from @first on, as many as go into an order: how many. */
static uint64_t give(const struct pump_trip *trip, uint64_t first,
		     unsigned int i)
{
	struct pump_slot *slot = &trip->pump->board->slots[i];
	uint64_t gpu = trip->copy.gpu + first;
	uint64_t host = (uintptr_t)trip->copy.host + first;
	uint64_t left = trip->copy.length - first;
	uint64_t length = PUMP_PIECE - gpu % 16;
	uint64_t tag = pump_tag(++trip->pump->orders[i]);

	if (length > left)
		length = left;
	atomic_store_explicit(&slot->order[0], tag | gpu |
			      (trip->out ? PUMP_OUT : 0), memory_order_release);
	atomic_store_explicit(&slot->order[1], tag | host |
			      (length - 1) << PUMP_HOST_BITS,
			      memory_order_release);
	return length;
}

static void hand_out(struct pump_trip *trip)
{
	uint64_t left = trip->copy.length - trip->handed;
	uint64_t got = claim(trip->pump, (left + PUMP_PIECE - 1) / PUMP_PIECE);

	trip->held |= got;
	if (got)
		trip->since_ns = 0;
	for (; got && trip->handed < trip->copy.length; got &= got - 1)
		trip->handed += give(trip, trip->handed, lowest(got));
	/* Never more than were needed. */
}

/* An order keeps a turn that runs, and whoever comes next finds it open. */
static void rouse(struct pump *pump, struct pump_trip *trip)
{
	unsigned char (*idle)[16];

	trip->pump = NULL;
	if (!is_there(pump) || !is_open(pump, true))
		return;
	idle = pump->board->idle;
	if (!fits((uintptr_t)idle[0], (uintptr_t)idle[1]))
		return;
	*trip = (struct pump_trip){
		.pump = pump,
		.copy.gpu = (uintptr_t)idle[1],
		.copy.host = idle[0],
		.copy.length = sizeof(idle[0]),
	};
	hand_out(trip);
}

bool pumps_are_there(const struct pumps *pumps)
{
	const struct pump *pump = &pumps->all[0];

	return atomic_load(&pump->free) != PUMP_SHUT &&
	       !atomic_load_explicit(&pump->broken, memory_order_relaxed);
}

void pumps_rouse(struct pumps *pumps, struct pump_trip *trips)
{
	for (unsigned int i = 0; i < PUMPS; i++)
		rouse(&pumps->all[i], &trips[i]);
}

/* Where there was no slot it was not needed: nobody waits for one. */
bool pumps_settled(struct pump_trip *trips)
{
	bool over = true;

	for (unsigned int i = 0; i < PUMPS; i++) {
		if (trips[i].pump && trips[i].held &&
		    pump_move(&trips[i]) == PUMP_BUSY)
			over = false;
	}
	return over;
}

bool pump_share(struct pump_pass *pass, struct pump_trip *trip,
		const struct gpu_copy *copy, bool out)
{
	uint64_t nr = (copy->length + PUMP_PIECE - 1) / PUMP_PIECE, got;

	if (!pass->pump || copy->gpu % 16 || copy->length > PUMP_MAX ||
	    !fits((uintptr_t)copy->host, copy->gpu) || !reaches(pass, copy))
		return false;
	got = claim(pass->pump, nr);
	if ((uint64_t)__builtin_popcountll(got) < nr) {
		atomic_fetch_or(&pass->pump->free, got);
		return false;
	}
	*trip = (struct pump_trip){
		.pump = pass->pump,
		.copy = *copy,
		.out = out,
	};
	for (unsigned int i = 0; got; got &= got - 1)
		trip->places[i++] = (uint8_t)lowest(got);
	return true;
}

void pump_give(struct pump_trip *trip, uint64_t first, uint64_t length)
{
	uint32_t given = 0;

	for (uint64_t end = first + length; first < end; first += PUMP_PIECE) {
		uint64_t i = first / PUMP_PIECE;

		give(trip, first, trip->places[i]);
		trip->numbers[i] = trip->pump->orders[trip->places[i]];
		given |= 1U << i;
	}
	atomic_fetch_or(&trip->given, given);
}

/* An order that was withdrawn has the next one's number, and so @failed is looked at last. */
bool pump_has(const struct pump_trip *trip, uint64_t first, uint64_t length)
{
	uint64_t end = (first + length + PUMP_PIECE - 1) / PUMP_PIECE;

	for (uint64_t i = first / PUMP_PIECE; i < end; i++) {
		struct pump_slot *slot = &trip->pump->board->slots[trip->places[i]];
		uint32_t done = atomic_load_explicit(&slot->done,
						     memory_order_acquire);

		if ((int32_t)(done - trip->numbers[i]) < 0)
			return false;
	}
	return !atomic_load(&trip->failed);
}

void pump_gather(struct pump_trip *trip)
{
	uint64_t nr = (trip->copy.length + PUMP_PIECE - 1) / PUMP_PIECE;
	uint32_t given = atomic_load(&trip->given);
	uint64_t unused = 0;

	for (unsigned int i = 0; i < nr; i++) {
		if (given >> i & 1)
			trip->held |= 1ULL << trip->places[i];
		else
			unused |= 1ULL << trip->places[i];
	}
	trip->failed = unused;
	trip->handed = trip->copy.length;
	atomic_fetch_or(&trip->pump->free, unused);
}

void pump_end(struct pump_trip *trip)
{
	atomic_fetch_or(&trip->pump->free, trip->held);
	trip->held = 0;
}

static bool is_done(struct pump *pump, unsigned int i)
{
	return atomic_load_explicit(&pump->board->slots[i].done,
				    memory_order_acquire) == pump->orders[i];
}

/* Nobody will look at it: as if it had never been there. */
static void withdraw(struct pump *pump, unsigned int i)
{
	struct pump_slot *slot = &pump->board->slots[i];

	atomic_store(&slot->order[0], 0);
	atomic_store(&slot->order[1], 0);
	pump->orders[i]--;
}

/* Give back slots whose orders were carried out, or will not be. */
static void collect(struct pump_trip *trip)
{
	struct pump *pump = trip->pump;
	uint64_t over = 0, shut = 0;

	for (uint64_t held = trip->held; held; held &= held - 1) {
		unsigned int i = lowest(held);

		if (!is_done(pump, i)) {
			/* What was done is seen by who sees that it left. */
			if (!has_left(pump, i))
				continue;
			if (!is_done(pump, i)) {
				trip->failed = true;
				withdraw(pump, i);
			}
			shut = PUMP_SHUT;
		}
		over |= held & -held;
	}
	trip->held &= ~over;
	if (!over)
		return;
	trip->since_ns = 0;
	atomic_fetch_or(&pump->free, over | shut);
}

/*
 * Under the lock.  Each time longer, unless it was well for long; once for all who find
 * it slow at the same time.
 */
static void rest(struct pump *pump, uint64_t now)
{
	uint64_t rest = atomic_load(&pump->rest_ns);

	atomic_fetch_or(&pump->free, PUMP_SHUT);
	if (now < atomic_load(&pump->retry_ns))
		return;
	if (now > atomic_load(&pump->retry_ns) + WELL_NS)
		rest = REST_NS;
	atomic_store(&pump->retry_ns, now + rest);
	atomic_store(&pump->rest_ns, min64(2 * rest, REST_MOST_NS));
}

/*
 * It takes long.  Is the GPU still there?  If it is, the turn runs and ends.  It does not
 * take long who had lost his CPU, and finds that all is done.  Nor is it the GPU when
 * others have all places, who may be this thread's own: it moves one buffer after the
 * other, and what it moves later may have got what became free.
 */
static void look_after(struct pump_trip *trip)
{
	struct pump *pump = trip->pump;
	uint64_t now = now_ns();

	if (!trip->since_ns)
		trip->since_ns = now;
	if (!trip->held) {
		trip->failed = now - trip->since_ns >= WAIT_NS;
		return;
	}
	if (now - trip->since_ns < SLOW_NS)
		return;
	collect(trip);
	if (!trip->since_ns || !lock(pump))
		return;
	trip->since_ns = now;
	if (pump->driver->pumps->poll(pump->handle, pump->self))
		atomic_store(&pump->broken, true);
	rest(pump, now);
	unlock(pump);
}

/* The GPU is lost, and with it the turn. */
static int abandon(struct pump_trip *trip)
{
	trip->failed = true;
	for (uint64_t held = trip->held; held; held &= held - 1)
		withdraw(trip->pump, lowest(held));
	atomic_fetch_or(&trip->pump->free, trip->held | PUMP_SHUT);
	trip->held = 0;
	return -ECANCELED;
}

int pump_move(struct pump_trip *trip)
{
	struct pump *pump = trip->pump;

	if (trip->held)
		collect(trip);
	if (!trip->failed && trip->handed < trip->copy.length)
		hand_out(trip);
	if (!trip->held) {
		if (trip->failed)
			return -ECANCELED;
		if (trip->handed == trip->copy.length)
			return 0;
		if (atomic_load(&pump->free) & PUMP_SHUT)
			return -ECANCELED;
	}
	if (++trip->looks % LOOKS == 0)
		look_after(trip);
	return atomic_load_explicit(&pump->broken, memory_order_relaxed) ?
	       abandon(trip) : PUMP_BUSY;
}
