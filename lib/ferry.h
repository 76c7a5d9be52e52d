/* SPDX-License-Identifier: MIT */
/*
 * Requests that go through host memory, in the order of an application's stream.
 *
 * All that needs the GPU's driver is put into the stream when the request is
 * asked for: a call that says that the stream has come to it, and for each piece
 * of the request, as large as it may get, a wait for a word in memory and code of
 * ours that carries out an order; then a wait for the end.  From then on only memory is written and
 * looked at, so that it does no harm when others wait for the stream inside the
 * driver, which then lets nobody in.
 *
 * What the request is, is known when the stream has come to it.  Pieces are read
 * from the file into rooms of pinned memory, and each is let go with its order
 * when it and all before it are there; a room is used again when the stream has
 * said that it was left.  Writes go the other way round.  Pieces that turn out
 * not to be needed have orders for no bytes.
 *
 * Nobody waits while he holds something that others need: threads that do nothing
 * else read and write, and leave; one thread, the watch, looks for what streams
 * say.
 */
#ifndef LIBNVFS_FERRY_H
#define LIBNVFS_FERRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "crew.h"
#include "engine.h"
#include "ferry_crew.h"
#include "gpu.h"
#include "slots.h"

/* Most rooms of a request, and buffers that they are in. */
#define FERRY_ROOMS	8U
#define FERRY_SLOTS	4U
/* What a word is in the end: more than any piece waits for. */
#define FERRY_LAST	(GPU_ORDERS + 1)

/* Kinds of buffers. */
#define FERRY_CLASSES	3U

enum { FERRY_FREE, FERRY_PUT, FERRY_MOVING, FERRY_LEAVING };

/**
 * struct ferry_room - pinned memory for a piece
 * @chunks: of the piece, with which the file is not done yet
 * @good: bytes of it, from its begin, that a read brought
 * @error: why not all; 0: the file ends there
 */
struct ferry_room {
	char *host;
	unsigned int chunks;
	uint64_t good;
	int error;
};

/**
 * struct ferry_plan - how a request is cut, at most
 * @class: of the dock's buffers
 * @slots: how many of them are wanted
 * @rooms: how many are in each
 * @stride: bytes of a piece
 * @nr: pieces
 */
struct ferry_plan {
	unsigned int class;
	unsigned int slots;
	unsigned int rooms;
	uint64_t stride;
	uint32_t nr;
};

/**
 * struct berth - buffers of a stream that has requests
 * @id: the stream's; 0: of one request only
 * @users: its requests that are not FREE; guarded by the dock's lock
 * @putting: one request after the other is put into the stream; guards what
 *	follows as long as there are users
 *
 * A request uses the same rooms as the one before, with which the stream is done
 * when it comes to this one.  So it does not matter how many are waiting.
 */
struct berth {
	struct berth *next;
	uint64_t id;
	unsigned int users;
	pthread_mutex_t putting;
	unsigned int nr[FERRY_CLASSES];
	int slots[FERRY_CLASSES][FERRY_SLOTS];
};

/**
 * struct ferry - a request in a stream
 * @task: first, so that one is the other; the crew's, while @posted
 * @number: of its board
 * @base: the board's word and count before it
 * @next: the dock's, or the watch's
 * @wanted: the count for which it is watched
 * @state: FREE, PUT (into the stream), MOVING (the stream has come to it), or
 *	LEAVING: over, but the stream may still have to do with it.  Who makes it
 *	MOVING begins it
 * @first, @last: bytes that orders may name
 * @most: bytes at most
 * @nr: pieces that are in the stream; guarded by @lock, as all that follows
 * @lead: bytes between the first that is read and the first wanted
 * @window: @lead and the request
 * @used: pieces that it has
 * @begun: pieces that the crew may draw chunks of
 * @at, @chunk: the chunk to be drawn next
 * @let_go: pieces whose orders the stream may look at
 * @watched: the watch has it
 * @stopped: nothing more is begun, and no more chunks drawn
 * @known: what it is
 * @put: all that will be in the stream is there
 * @over: the last of it is being done
 * @stop: nothing from here on is good, counted from the start of the window
 * @stop_error: and that is why; 0: the file ends there
 */
struct ferry {
	struct crew_task task;
	struct dock *dock;
	unsigned int number;
	struct gpu_board *board;
	uint32_t base;
	struct ferry *next;
	uint32_t wanted;
	_Atomic int state;

	struct engine_req *req;
	int (*begin)(struct engine_req *req);
	uint64_t first, last;
	uint64_t most;
	struct ferry_plan plan;
	struct berth *berth;
	unsigned int nr_rooms;
	struct ferry_room rooms[FERRY_ROOMS];

	pthread_mutex_t lock;
	uint32_t nr;
	uint64_t lead, window;
	uint32_t used, begun, let_go, at;
	unsigned int chunk;
	bool posted, watched, stopped, known, put, over;
	uint64_t stop;
	int stop_error;
};

/* ferry.c */

/* As engine_enqueue(). */
int ferry_put(const struct engine_place *place, struct engine_req *req);
/* Go on: the stream has said something.  By the watch. */
void ferry_go(struct ferry *ferry);
/* The GPU is lost: it ends with an error, if it has not ended yet. */
void ferry_abandon(struct ferry *ferry);

/* How often the stream has carried out an order. */
static inline uint32_t ferry_count(const struct ferry *ferry)
{
	int32_t count = (int32_t)(atomic_load_explicit(&ferry->board->done,
				  memory_order_acquire) - ferry->base);

	return count > 0 ? (uint32_t)count : 0;
}

/* ferry_dock.c: what there is of each GPU. */

struct dock;

/* As engine_warm(), after what that did for the pump. */
int dock_open(const struct gpu_driver *driver, unsigned int gpu,
	      const struct engine_pool *pool);
/* No request is PUT; waits for those that MOVE. */
void dock_close_all(void);
/* NULL: there is none; or its GPU is lost, which is looked at. */
struct dock *dock_get(unsigned int gpu);
/* Look whether GPUs are lost, and end what never ends then. */
void dock_look(void);
const struct gpu_streams *dock_streams(struct dock *dock);
void *dock_carrier(struct dock *dock);

/* How is a request of at most @most bytes to be cut?  False: not at all. */
bool dock_plan(uint64_t most, struct ferry_plan *plan);
/*
 * One that is FREE, with rooms of the stream @id, or NULL.  Waits for those who
 * put requests into the same stream, and owes a dock_put_in().
 */
struct ferry *dock_take(struct dock *dock, const struct ferry_plan *plan,
			uint64_t id);
/* What was taken has been put, or dropped: the next. */
void dock_put_in(struct berth *berth);
/* It was not put. */
void dock_drop(struct ferry *ferry);
/* It has ended.  The caller forgets it. */
void dock_leave(struct ferry *ferry);
/* Wait for that; @base tells it from later ones. */
void dock_wait(struct ferry *ferry, uint32_t base);

/* ferry_watch.c */

/* Call ferry_go() when @ferry's count is @wanted.  0, or no thread was had. */
int watch_add(struct ferry *ferry);
/* True: it will not be called; false: it will. */
bool watch_del(struct ferry *ferry);
/* Ends the thread; nothing is watched. */
void watch_close(void);

#endif /* LIBNVFS_FERRY_H */
