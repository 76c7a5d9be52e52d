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
 * A request that is too small for that but large enough to be read by several
 * threads is joint: they read into one buffer, and one copy takes it all.
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

/* What there is for each GPU. */
struct port {
	const struct gpu_driver *driver;
	unsigned int index;
	struct slots slots;
	struct pumps pumps;
	struct lane in[PORT_LANES];
	struct lane out[PORT_LANES];
};

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
 * @joint: the one buffer of a joint job, whose number is @joint_slot
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
	uint32_t nr_many;
	uint32_t per_part;
	uint32_t nr_parts;
	uint64_t lead;
	uint64_t window;
	uint64_t stride;
	char *joint;
	int joint_slot;
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
/* All threads have left: set results. */
void job_finish(struct job *job);
/* It ends with @error, and nothing was done. */
void job_fail(struct job *job, int error);

#endif /* LIBNVFS_HOST_JOB_H */
