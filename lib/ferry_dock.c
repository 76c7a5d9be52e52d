// SPDX-License-Identifier: MIT
/*
 * What requests in streams need of each GPU: boards, and buffers for each stream.
 * Not those of all others, who may wait for one: a stream keeps what it was given
 * for as long as the application likes.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common.h"
#include "ferry.h"
#include "host.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
/* Room for what O_DIRECT rounds up, and for the address to suit the GPU's. */
#define SLACK		(4 * KIB)
/* How long closing waits for streams to leave. */
#define LEAVE_LOOKS	1000U
#define LEAVE_NS	1000000U

/* Pieces are small enough that the stream copies one while others are read. */
static const struct {
	uint64_t most;
	struct ferry_plan plan;
} plans[] = {
	{ 64 * KIB, { .class = 0, .slots = 1, .rooms = 1, .stride = 64 * KIB } },
	{ 1088 * KIB, { .class = 1, .slots = 1, .rooms = 2, .stride = 512 * KIB } },
	{ 8 * MIB, { .class = 2, .slots = 2, .rooms = 4, .stride = MIB } },
	{ 128 * MIB, { .class = 2, .slots = 4, .rooms = 2, .stride = 2 * MIB } },
	{ UINT64_MAX, { .class = 2, .slots = 4, .rooms = 1, .stride = 4 * MIB } },
};

/* Bytes of a buffer, and the part of all pinned memory that these may be. */
static const struct {
	uint64_t bytes;
	unsigned int part;
} classes[FERRY_CLASSES] = {
	{ 64 * KIB + SLACK, 8 },
	{ 2 * (512 * KIB + SLACK), 2 },
	{ 4 * (MIB + SLACK), 1 },
};

/**
 * struct dock - see above
 * @lost: its GPU is; nothing is taken any more, nor given back
 * @lock: guards what follows; never held over a call of the driver
 * @left: @moving became less
 * @moving: ferries that are neither FREE nor LEAVING
 * @free, @leaving: by their @next
 * @free_berths, @berths: likewise; as many as ferries, so there is always one
 *
 * By @next when it was closed, and streams still look at it; without a @carrier
 * when its GPU is lost.
 */
struct dock {
	struct dock *next;
	const struct gpu_streams *streams;
	unsigned int index;
	void *carrier;
	struct gpu_board *boards;
	struct slots slots[FERRY_CLASSES];
	_Atomic bool lost;
	pthread_mutex_t lock;
	pthread_cond_t left;
	unsigned int moving;
	struct ferry *free, *leaving;
	struct berth *free_berths, *berths;
	struct ferry ferries[GPU_BOARDS];
	struct berth all_berths[GPU_BOARDS];
};

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct dock *) docks[HOST_GPUS];
/* Some until the process ends; under @opening. */
static struct dock *left_behind;

const struct gpu_streams *dock_streams(struct dock *dock)
{
	return dock->streams;
}

void *dock_carrier(struct dock *dock)
{
	return dock->carrier;
}

/* ------------------------------------------------------- opened and closed */

static void init(struct dock *dock, const struct gpu_driver *driver,
		 uint64_t pinned_bytes)
{
	pthread_mutexattr_t brief;

	/* Held for less time than it takes to sleep. */
	pthread_mutexattr_init(&brief);
	pthread_mutexattr_settype(&brief, PTHREAD_MUTEX_ADAPTIVE_NP);
	for (unsigned int i = 0; i < FERRY_CLASSES; i++) {
		uint64_t most = pinned_bytes / classes[i].part /
				classes[i].bytes;

		if (most > SLOTS_MAX)
			most = SLOTS_MAX;
		slots_open(&dock->slots[i], driver, dock->index,
			   classes[i].bytes, most ? (unsigned int)most : 1);
		dock->slots[i].only_pinned = true;
	}
	pthread_mutex_init(&dock->lock, NULL);
	pthread_cond_init(&dock->left, NULL);
	for (unsigned int i = GPU_BOARDS; i-- > 0;) {
		struct ferry *ferry = &dock->ferries[i];

		ferry->dock = dock;
		ferry->number = i;
		ferry->board = &dock->boards[i];
		pthread_mutex_init(&ferry->lock, &brief);
		ferry->next = dock->free;
		dock->free = ferry;
		pthread_mutex_init(&dock->all_berths[i].putting, NULL);
		dock->all_berths[i].next = dock->free_berths;
		dock->free_berths = &dock->all_berths[i];
	}
	pthread_mutexattr_destroy(&brief);
}

static void reap(struct dock *dock);
static bool is_lost(struct dock *dock);

static bool is_left(struct dock *dock)
{
	bool left;

	pthread_mutex_lock(&dock->lock);
	reap(dock);
	left = !dock->leaving;
	pthread_mutex_unlock(&dock->lock);
	return left;
}

/* All of it is had back. */
static void destroy(struct dock *dock)
{
	dock->streams->close(dock->carrier, true);
	for (unsigned int i = 0; i < FERRY_CLASSES; i++)
		slots_close(&dock->slots[i]);
	for (unsigned int i = 0; i < GPU_BOARDS; i++)
		pthread_mutex_destroy(&dock->ferries[i].lock);
	for (unsigned int i = 0; i < GPU_BOARDS; i++)
		pthread_mutex_destroy(&dock->all_berths[i].putting);
	pthread_cond_destroy(&dock->left);
	pthread_mutex_destroy(&dock->lock);
	free(dock);
}

/*
 * What its streams looked at is gone with the GPU; only a late call of the driver finds
 * the rest.  Buffers that may be still there stay, and those that somebody uses.
 */
static void give_up(struct dock *dock)
{
	bool moving;

	dock->streams->close(dock->carrier, false);
	dock->carrier = NULL;
	pthread_mutex_lock(&dock->lock);
	moving = dock->moving;
	pthread_mutex_unlock(&dock->lock);
	for (unsigned int i = 0; !moving && i < FERRY_CLASSES; i++) {
		if (!slots_alive(&dock->slots[i]))
			slots_lost(&dock->slots[i]);
	}
}

/*
 * Under @opening.  Code in a stream counts its blocks by the number of its
 * board, in the same place for all docks of a GPU: no other dock as long as a
 * stream may come to orders of one that was closed.
 */
static bool is_looked_at(unsigned int gpu)
{
	struct dock **at = &left_behind;
	bool looked_at = false;

	while (*at) {
		struct dock *dock = *at;

		if (dock->index == gpu && dock->carrier && is_lost(dock))
			give_up(dock);
		if (dock->index == gpu && dock->carrier && is_left(dock)) {
			*at = dock->next;
			destroy(dock);
			continue;
		}
		looked_at |= dock->index == gpu && dock->carrier;
		at = &dock->next;
	}
	return looked_at;
}

/* Under @opening. */
static int open_one(const struct gpu_driver *driver, unsigned int gpu,
		    const struct engine_pool *pool)
{
	struct dock *dock;
	int ret;

	if (!driver->streams || !driver->streams->open || !driver->copies)
		return -ENOSYS;
	if (is_looked_at(gpu))
		return -EBUSY;
	dock = aligned_alloc(_Alignof(struct dock), sizeof(*dock));
	if (!dock)
		return -ENOMEM;
	*dock = (struct dock){ .streams = driver->streams, .index = gpu };
	ret = driver->streams->open(gpu, GPU_BOARDS, &dock->carrier,
				    &dock->boards);
	if (ret) {
		free(dock);
		return ret;
	}
	init(dock, driver, pool->pinned_bytes);
	ferry_crew_open(pool->spin_us);
	atomic_store(&docks[gpu], dock);
	return 0;
}

int dock_open(const struct gpu_driver *driver, unsigned int gpu,
	      const struct engine_pool *pool)
{
	struct dock *dock;
	int ret = 0;

	if (gpu >= HOST_GPUS)
		return -ENODEV;
	pthread_mutex_lock(&opening);
	dock = atomic_load(&docks[gpu]);
	if (!dock)
		ret = open_one(driver, gpu, pool);
	else if (is_lost(dock))
		ret = -EIO;
	pthread_mutex_unlock(&opening);
	return ret;
}

/* ------------------------------------------------------------------ berths */

/* All of these under the lock. */

static struct berth *get_berth(struct dock *dock, uint64_t id)
{
	struct berth *berth = dock->berths;

	while (berth && (!id || berth->id != id))
		berth = berth->next;
	if (!berth) {
		berth = dock->free_berths;
		dock->free_berths = berth->next;
		berth->id = id;
		berth->next = dock->berths;
		dock->berths = berth;
	}
	berth->users++;
	return berth;
}

static void put_berth(struct dock *dock, struct berth *berth)
{
	struct berth **at = &dock->berths;

	if (--berth->users)
		return;
	for (unsigned int i = 0; i < FERRY_CLASSES; i++) {
		while (berth->nr[i])
			slots_put(&dock->slots[i],
				  berth->slots[i][--berth->nr[i]]);
	}
	while (*at != berth)
		at = &(*at)->next;
	*at = berth->next;
	berth->next = dock->free_berths;
	dock->free_berths = berth;
}

/* Under the lock.  Buffers that streams have left are free again. */
static void reap(struct dock *dock)
{
	struct ferry **at = &dock->leaving;

	while (*at) {
		struct ferry *ferry = *at;

		if (ferry_count(ferry) < ferry->nr) {
			at = &ferry->next;
			continue;
		}
		*at = ferry->next;
		put_berth(dock, ferry->berth);
		atomic_store(&ferry->state, FERRY_FREE);
		ferry->next = dock->free;
		dock->free = ferry;
	}
}

/* All requests have, and their threads are about to say so. */
static void wait_until_ended(struct dock *dock)
{
	pthread_mutex_lock(&dock->lock);
	while (dock->moving)
		pthread_cond_wait(&dock->left, &dock->lock);
	pthread_mutex_unlock(&dock->lock);
}

/*
 * Their words are set, so streams leave as soon as the GPU gets to it.  When it
 * does not for long, what they look at stays behind.
 */
static bool all_left(struct dock *dock)
{
	const struct timespec nap = { .tv_nsec = LEAVE_NS };
	bool all = false;

	for (unsigned int i = 0; !all && i < LEAVE_LOOKS; i++) {
		if (i)
			nanosleep(&nap, NULL);
		wait_until_ended(dock);
		all = is_left(dock);
	}
	return all;
}

/* What a stream, or a late call of the driver, may still look at stays. */
static void close_one(struct dock *dock)
{
	if (!is_lost(dock) && all_left(dock)) {
		destroy(dock);
		return;
	}
	if (is_lost(dock)) {
		wait_until_ended(dock);
		give_up(dock);
	}
	pthread_mutex_lock(&opening);
	dock->next = left_behind;
	left_behind = dock;
	pthread_mutex_unlock(&opening);
}

void dock_close_all(void)
{
	dock_look();
	for (unsigned int i = 0; i < HOST_GPUS; i++) {
		struct dock *dock = atomic_exchange(&docks[i], NULL);

		if (dock)
			close_one(dock);
	}
	ferry_crew_close();
	watch_close();
}

/* --------------------------------------------------------------- lost GPUs */

/*
 * Each time: one who was told just before that it is not may have put a request
 * since.
 */
static bool is_lost(struct dock *dock)
{
	if (!atomic_load(&dock->lost)) {
		if (!dock->streams->lost(dock->carrier))
			return false;
		atomic_store(&dock->lost, true);
	}
	for (unsigned int i = 0; i < GPU_BOARDS; i++)
		ferry_abandon(&dock->ferries[i]);
	return true;
}

struct dock *dock_get(unsigned int gpu)
{
	struct dock *dock = gpu < HOST_GPUS ? atomic_load_explicit(
		&docks[gpu], memory_order_acquire) : NULL;

	return dock && !is_lost(dock) ? dock : NULL;
}

void dock_look(void)
{
	for (unsigned int i = 0; i < HOST_GPUS; i++)
		dock_get(i);
}

/* ----------------------------------------------------------------- ferries */

bool dock_plan(uint64_t most, struct ferry_plan *plan)
{
	unsigned int i = 0;
	uint64_t nr;

	while (most > plans[i].most)
		i++;
	*plan = plans[i].plan;
	nr = most / plan->stride + !!(most % plan->stride);
	if (nr > GPU_ORDERS)
		return false;
	plan->nr = nr ? (uint32_t)nr : 1;
	return true;
}

/* As many as there are, and wanted.  Under the berth's lock. */
static void take_slots(struct dock *dock, struct berth *berth,
		       const struct ferry_plan *plan)
{
	unsigned int class = plan->class;

	while (berth->nr[class] < plan->slots &&
	       berth->nr[class] * plan->rooms < plan->nr) {
		int slot = slots_try(&dock->slots[class]);

		if (slot < 0)
			break;
		berth->slots[class][berth->nr[class]++] = slot;
	}
}

static unsigned int give_rooms(struct dock *dock, struct ferry *ferry)
{
	const struct ferry_plan *plan = &ferry->plan;
	const struct slot *all = dock->slots[plan->class].all;
	const int *slots = ferry->berth->slots[plan->class];
	unsigned int nr = ferry->berth->nr[plan->class] * plan->rooms;

	if (nr > FERRY_ROOMS)
		nr = FERRY_ROOMS;
	for (unsigned int i = 0; i < nr; i++)
		ferry->rooms[i].host = all[slots[i / plan->rooms]].host +
				       i % plan->rooms * (plan->stride + SLACK);
	ferry->nr_rooms = nr;
	return nr;
}

struct ferry *dock_take(struct dock *dock, const struct ferry_plan *plan,
			uint64_t id)
{
	struct ferry *ferry;

	pthread_mutex_lock(&dock->lock);
	reap(dock);
	ferry = dock->free;
	if (ferry) {
		dock->free = ferry->next;
		dock->moving++;
		ferry->base = atomic_load(&ferry->board->word);
		ferry->berth = get_berth(dock, id);
	}
	pthread_mutex_unlock(&dock->lock);
	if (!ferry)
		return NULL;
	ferry->plan = *plan;
	pthread_mutex_lock(&ferry->berth->putting);
	take_slots(dock, ferry->berth, plan);
	if (give_rooms(dock, ferry))
		return ferry;
	pthread_mutex_unlock(&ferry->berth->putting);
	dock_drop(ferry);
	return NULL;
}

void dock_put_in(struct berth *berth)
{
	pthread_mutex_unlock(&berth->putting);
}

void dock_drop(struct ferry *ferry)
{
	struct dock *dock = ferry->dock;

	pthread_mutex_lock(&dock->lock);
	put_berth(dock, ferry->berth);
	dock->moving--;
	atomic_store(&ferry->state, FERRY_FREE);
	ferry->next = dock->free;
	dock->free = ferry;
	pthread_cond_broadcast(&dock->left);
	pthread_mutex_unlock(&dock->lock);
}

void dock_leave(struct ferry *ferry)
{
	struct dock *dock = ferry->dock;

	pthread_mutex_lock(&dock->lock);
	atomic_store(&ferry->state, FERRY_LEAVING);
	ferry->next = dock->leaving;
	dock->leaving = ferry;
	dock->moving--;
	pthread_cond_broadcast(&dock->left);
	pthread_mutex_unlock(&dock->lock);
}

static bool is_moving(const struct ferry *ferry, uint32_t base)
{
	int state = atomic_load(&ferry->state);

	return ferry->base == base &&
	       (state == FERRY_PUT || state == FERRY_MOVING);
}

/* A GPU that is lost in the meantime never comes to it. */
void dock_wait(struct ferry *ferry, uint32_t base)
{
	struct dock *dock = ferry->dock;

	pthread_mutex_lock(&dock->lock);
	while (is_moving(ferry, base)) {
		if (!wait_a_while(&dock->left, &dock->lock))
			continue;
		pthread_mutex_unlock(&dock->lock);
		is_lost(dock);
		pthread_mutex_lock(&dock->lock);
	}
	pthread_mutex_unlock(&dock->lock);
}
