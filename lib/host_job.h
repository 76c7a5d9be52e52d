/* SPDX-License-Identifier: MIT */
/*
 * Requests on their way through host memory.
 *
 * A job is one request, or some small ones.  It is cut into parts, which the
 * threads that work on it draw by number.  Each thread has one pinned buffer,
 * cut in a few, so that it reads into one while the copy engine takes another.
 * A buffer stays with its thread as far as possible: bytes that another CPU
 * wrote last take twice as long to overwrite.
 *
 * A read of the page cache by several threads is joint: they read into one
 * buffer, and each copy takes what all of them have read (host_joint.c).  So is a
 * write that is made by a mapping (host_map.c).
 */
#ifndef LIBNVFS_HOST_JOB_H
#define LIBNVFS_HOST_JOB_H

#include <stdatomic.h>

#include "crew.h"
#include "host.h"
#include "lane.h"
#include "slots.h"

/* Lanes of each direction: one for groups, the rest for a thread or a few. */
#define PORT_LANES	17U
/* What many threads have grouped, in bytes. */
#define GROUP_MIN	(48U << 10)
#define GROUP_MAX	(64U << 10)
/* So many requests at a time keep the copy engine busy without our help. */
#define CROWD		8U

/* Bytes of a part at least, where several threads work on a request. */
#define PART_MIN	(16U << 10)
/* And where only one request is under way, a small one of the page cache. */
#define PART_FINE	(8U << 10)
/*
 * Read at a time by one thread, and given up by its CPU's cache: while the next
 * is read these bytes are still on their way out of it.
 */
#define READ_STEP	(64U << 10)
/* Buffers of one thread: one being read, one being copied, two in between. */
#define HAND_BUFFERS	4U
/* Copies of a joint job at a time, and buffers. */
#define JOINT_SPANS	8U
#define JOINT_SLOTS	2U

/* What there is for each GPU.  @shared: buffers for small writes of the page cache. */
struct port {
	const struct gpu_driver *driver;
	unsigned int index;
	struct slots slots;
	struct slots shared;
	struct pumps pumps;
	struct lane in[PORT_LANES];
	struct lane out[PORT_LANES];
};

/*
 * A small request is one span, and the pump can have it part by part, from each
 * thread that has read one: not decided yet, or so, or not; or the pump takes
 * nothing at all just now.
 */
enum joint_share { JOINT_UNDECIDED, JOINT_SHARED, JOINT_WHOLE, JOINT_NO_PUMP };

/**
 * struct joint - what the threads of a joint job share
 * @from: of which they are, all
 * @slots: @nr_slots, whose buffers they fill, round and round, in spans of
 *	@span bytes, @per_slot in each; the first span, and the last, may be cut
 *	in two, of which one has @ends bytes
 * @ring: how many there is room for
 * @nr: of the whole request, from 0 on
 * @last: where the last one begins, if that is not where others would
 * @share: one of enum joint_share
 * @trip: of all threads, with JOINT_SHARED
 * @landed: so many have been copied, from the first on; of a read, their room is free
 * @collecting: whoever has it looks what has landed
 * @looking: of a write, whoever has it looks for the others
 * @written: of a write, so many are in the file, from the first on
 * @freeing: whoever has it looks what is written
 * @spans: by number, in turns; @moved: parts of it that were read, or written;
 *	@pushed: its copy was started
 */
struct joint {
	struct slots *from;
	int slots[JOINT_SLOTS];
	uint32_t nr_slots;
	uint32_t per_slot;
	bool pinned;
	struct lane *lane;
	uint64_t span;
	uint64_t ends;
	uint64_t last;
	uint32_t ring;
	uint32_t nr;
	_Atomic int share;
	struct pump_trip trip;
	_Alignas(64) _Atomic uint32_t landed;
	_Atomic bool collecting;
	_Atomic bool looking;
	_Alignas(64) _Atomic uint32_t written;
	_Atomic bool freeing;
	struct {
		_Alignas(64) _Atomic uint32_t moved;
		_Atomic bool pushed;
		struct lane_copy copy;
	} spans[JOINT_SPANS];
};

/* Is somebody to start the pump for the copies of many small requests? */
enum job_rouse { ROUSE_NOT, ROUSE_WANTED, ROUSE_BEGUN };

/**
 * struct job - see above
 * @task: first, so that one is the other
 * @gpu: index of the GPU, or ENGINE_HOST
 * @port: that GPU's, from when it has begun; NULL for host memory
 * @helpers: how many threads may join the first
 * @error: it can't be done, because of this
 * @begun: not only posted: a thread works on it
 * @req: the request, or NULL: @many
 * @many: @nr_many requests, @per_part in each part
 * @each: for a submitted job: what to call for each request
 * @copies: one for each of @many
 * @lead: bytes between the first byte that is read and the first wanted
 * @window: @lead and the request
 * @stride: bytes of a part; with @many of each request in a buffer
 * @nr_parts: parts
 * @next: the next part to draw
 * @waits: for a drive rather than for the CPU
 * @maps: a write of what the page cache has, by a mapping of the file
 * @fine: cut into parts of PART_FINE, one for each thread
 * @brought: a small write: the pump brings it since before it was known how it is
 *	written
 * @asked: of that, whether the buffer's file still has its descriptor, and so it will be
 *	once more: 0.7 us less than where each thread asks, as they have to take turns
 * @rouse: one of enum job_rouse; no request ends between the last two
 * @joint: if @is_joint
 * @stop: nothing from here on is good, counted from the start of the window
 * @stop_error: and that is why; 0: the file ends there
 * @stop_lock: guards @stop_error
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
	void (*each)(struct engine_req *req);
	struct lane_copy *copies;
	bool write;
	bool is_joint;
	bool waits;
	bool maps;
	bool fine;
	bool brought;
	bool asked;
	_Atomic int rouse;
	uint32_t nr_many;
	uint32_t per_part;
	uint32_t nr_parts;
	uint64_t lead;
	uint64_t window;
	uint64_t stride;
	struct joint joint;
	int stop_error;
	atomic_flag stop_lock;
	_Atomic uint64_t stop;
	_Alignas(64) _Atomic uint32_t next;
};

/* host_job.c: all of these for a job whose shape is set. */

/* Get what no part can do without; 0 or -ENOMEM. */
int job_begin(struct job *job);
/*
 * Draw parts and do them until there are none.  @first: this thread does not
 * leave for want of a buffer.
 */
void job_work(struct job *job, bool first);
/* By the first thread: all copies have ended, or all others have left. */
void job_land(struct job *job);
/* All threads have left: set results. */
void job_finish(struct job *job);
/* It ends with @error, and nothing was done. */
void job_fail(struct job *job, int error);

/* Of all kinds of jobs. */

/* File and @host: part @part of it.  @slot: whose that is, or NULL. */
void job_do_part(struct job *job, uint32_t part, char *host,
		 const struct slot *slot);
/*
 * A buffer for it, of @from; as slots_wait() if @wait, or as slots_try().  It goes
 * back there.
 */
int job_get_slot(struct job *job, bool wait, struct slots **from);
/* Bytes from @position of the window on are no good; @error: why, 0: the end. */
void job_stop_at(struct job *job, uint64_t position, int error);
struct lane *job_lane(struct job *job);
/* Until copies that were pushed have ended: 0 or the first error. */
int job_wait_for(struct lane *lane, struct lane_copy *copies, unsigned int nr);

/* host_joint.c: the same for a joint job, which has a port. */

/*
 * Have the pump bring all of a small write.  False: it does not just now, and nothing was
 * begun.  Before it has a shape; then it is joint, with one span.
 */
bool joint_bring(struct job *job, uint64_t slot_bytes);
/* Cut it for @nr threads: into parts, and these into spans. */
void joint_shape(struct job *job, unsigned int nr, uint64_t slot_bytes);
int joint_begin(struct job *job);
void joint_work(struct job *job, bool first);
void joint_land(struct job *job);
void joint_finish(struct job *job);

#endif /* LIBNVFS_HOST_JOB_H */
