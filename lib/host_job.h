/* SPDX-License-Identifier: MIT */
/*
 * Requests on their way through host memory.
 *
 * A job is one request, or some small ones.  It is cut into parts: one part is
 * one call of pread(2) or pwrite(2), by whichever thread draws its number.
 * Parts that follow one another share a piece: one buffer, and one copy (some
 * small ones: a few).  Pieces use the job's buffers in turns.
 */
#ifndef LIBNVFS_HOST_JOB_H
#define LIBNVFS_HOST_JOB_H

#include <stdatomic.h>

#include "crew.h"
#include "host.h"
#include "lane.h"
#include "slots.h"

/* Most pieces of a job that are under way at a time. */
#define JOB_RING	8U

/* What there is for each GPU. */
struct port {
	const struct gpu_driver *driver;
	unsigned int index;
	struct slots slots;
	struct lane in;
	struct lane out;
};

enum piece_phase {
	PIECE_FILLING,		/* read: parts are being read */
	PIECE_COPYING,		/* its copies are on their way */
	PIECE_DRAINING,		/* write: parts are being written */
	PIECE_SETTLING,		/* one thread looks what the copies did */
	PIECE_OVER
};

/**
 * struct piece - one buffer and what it is used for now
 * @turn: number of the piece that may use it
 * @left: its parts that have not ended
 * @phase: enum piece_phase
 * @slot: number of the buffer
 * @copies: @nr_copies
 * @own: the copy of a piece that needs but one
 */
struct piece {
	_Atomic uint32_t turn;
	_Atomic uint32_t left;
	_Atomic int phase;
	int slot;
	unsigned int nr_copies;
	struct lane_copy *copies;
	struct lane_copy own;
};

/**
 * struct job - see above
 * @task: first, so that one is the other
 * @req: the request, or NULL: @many
 * @many: @nr_parts requests, one part each
 * @each: for a submitted job: what to call for each request
 * @lead: bytes between the first byte that is read and the first wanted
 * @window: @lead and the request
 * @stride: bytes between parts in a buffer
 * @next: the next part to draw
 * @stop: nothing from here on is good, counted from the start of the window
 * @stop_error: and that is why; 0: the file ends there
 * @stop_lock: guards @stop_error
 * @begun: not only posted: a thread works on it
 * @gpu: index of the GPU, or ENGINE_HOST
 * @port: that GPU's, from when it has begun; NULL for host memory
 * @helpers: how many threads may join the first
 * @error: it can't be done, because of this
 */
struct job {
	struct crew_task task;
	unsigned int gpu;
	struct port *port;
	unsigned int helpers;
	int error;
	_Atomic bool begun;
	struct engine_req *req;
	struct engine_req **many;
	struct engine_file *file;
	void (*each)(struct engine_req *req);
	bool write;
	uint32_t nr_parts;
	uint32_t per_piece;
	uint32_t nr_pieces;
	uint32_t ring;
	uint64_t lead;
	uint64_t window;
	uint64_t stride;
	_Atomic uint32_t next;
	_Atomic uint64_t stop;
	int stop_error;
	atomic_flag stop_lock;
	struct lane_copy *copies;
	struct piece pieces[JOB_RING];
};

/* host_job.c: all of these for a job whose shape is set. */

/* Get buffers and start; 0 or -ENOMEM, with which nothing was started. */
int job_begin(struct job *job);
/* Draw parts and do them until there are none. */
void job_work(struct job *job);
/* All threads have left: wait for copies, put buffers back, set results. */
void job_finish(struct job *job);
/* It ends with @error, and nothing was done. */
void job_fail(struct job *job, int error);

#endif /* LIBNVFS_HOST_JOB_H */
