// SPDX-License-Identifier: MIT
/*
 * Requests of several threads with one buffer.  Reads first.
 *
 * They draw small parts, in the order of the file, so what is first is there
 * soon.  The copy engine wants large copies, because it pauses after each: one
 * takes a span, which is started by the thread that reads the last part of it.
 * The first span and the last are short: the engine begins early, and is not long
 * behind at the end.  Where it has others' copies to make meanwhile, a span is
 * longer, and a request of up to LARGE is one.
 *
 * A span uses the room of the one that was there a round before, when that has
 * landed.  Those who wait for that wait for no other thread that waits: a
 * part of the oldest span has room.
 *
 * Writes, of what may be written by several threads, go the other way round: as many
 * spans are copied as there is room for, the parts of one are written when it has
 * landed, and when it and all before it are written, the copy of the one that has
 * its room next is started.  The oldest span is under way, and waits for nobody.
 */
#include <errno.h>

#include "common.h"
#include "host_job.h"

/*
 * Bytes of a copy: one request is under way, or more are; and of the first and the
 * last of several, of a read and of a write.
 */
#define SPAN_ALONE	(512ULL << 10)
#define SPAN_MAX	(2ULL << 20)
#define SPAN_ENDS	(256ULL << 10)
#define SPAN_ENDS_OUT	(512ULL << 10)
#define LARGE		(1ULL << 20)
/* What is mapped before it is written, as that takes 75 us for 2 MiB. */
#define AHEAD		(4ULL << 20)
/*
 * Turns of waiting for the pump, some 50 ns each, between two looks at all of it; and how
 * many until others should have left.
 */
#define LOOK_EACH	64U
/* Parts for each thread, or more. */
#define PARTS_EACH	2U

static uint64_t short_span(const struct joint *joint)
{
	return min64(joint->span, joint->ends);
}

/* Number of the span at @position, were the last one not cut. */
static uint32_t uncut_at(const struct joint *joint, uint64_t position)
{
	uint64_t first = short_span(joint);

	if (position < first)
		return 0;
	return (uint32_t)(position / joint->span) + (first < joint->span);
}

static uint32_t span_at(const struct joint *joint, uint64_t position)
{
	return uncut_at(joint, position) + (position >= joint->last);
}

static uint64_t span_start(const struct job *job, uint32_t i)
{
	const struct joint *joint = &job->joint;
	uint64_t first = short_span(joint);

	if (!i)
		return 0;
	if (i >= joint->nr)
		return job->window;
	if (i + 1 == joint->nr && joint->last < job->window)
		return joint->last;
	if (first == joint->span)
		return i * joint->span;
	return i == 1 ? first : (i - 1) * joint->span;
}

void joint_shape(struct job *job, unsigned int nr, uint64_t slot_bytes)
{
	struct joint *joint = &job->joint;
	uint64_t part = job->fine ? PART_FINE : PART_MIN, span, last;
	bool alone = crew_busy() <= 1;

	while (job->window > PUMP_MAX && part < READ_STEP &&
	       part * 2 * PARTS_EACH * nr <= job->window)
		part *= 2;
	if (part < job->req->file->align)
		part = job->req->file->align;
	span = min64(slot_bytes / 2 / READ_STEP * READ_STEP,
		     alone ? SPAN_ALONE : SPAN_MAX);
	joint->span = span ? span : READ_STEP;
	joint->ends = job->write ? SPAN_ENDS_OUT :
		      alone || job->window > LARGE ? SPAN_ENDS : SPAN_MAX;
	job->stride = part;
	job->nr_parts = (uint32_t)((job->window + part - 1) / part);
	/* Cut the last one, unless it is short anyway. */
	joint->last = job->window;
	last = job->window < short_span(joint) ? 0 :
	       (job->window - short_span(joint)) / part * part;
	if (last &&
	    uncut_at(joint, last - 1) == uncut_at(joint, job->window - 1))
		joint->last = last;
	joint->nr = span_at(joint, job->window - 1) + 1;
}

/* The first one can be waited for, more are welcome. */
static int get_slots(struct job *job)
{
	struct joint *joint = &job->joint;
	int slot = job_get_slot(job, true, &joint->from);
	struct slots *slots = joint->from;

	if (slot < 0)
		return slot;
	/* What is small has one span, and does not fill that. */
	joint->per_slot = slots->bytes < joint->span ? 1 :
			  (uint32_t)min64(slots->bytes / joint->span,
					  JOINT_SPANS);
	joint->pinned = true;
	joint->nr_slots = 0;
	do {
		joint->pinned &= slots->all[slot].pinned;
		joint->slots[joint->nr_slots++] = slot;
		joint->ring = (uint32_t)min64(joint->nr_slots * joint->per_slot,
					      JOINT_SPANS);
	} while (joint->ring < joint->nr && joint->ring < JOINT_SPANS &&
		 joint->nr_slots < JOINT_SLOTS &&
		 (slot = slots_try(slots)) >= 0);
	return 0;
}

static const struct slot *slot_at(const struct job *job, uint64_t position)
{
	const struct joint *joint = &job->joint;
	uint64_t i = position / joint->span % joint->ring;

	return &joint->from->all[joint->slots[i / joint->per_slot]];
}

static char *host_at(const struct job *job, uint64_t position)
{
	const struct joint *joint = &job->joint;
	uint64_t i = position / joint->span % joint->ring;

	return slot_at(job, position)->host + i % joint->per_slot * joint->span +
	       position % joint->span;
}

static void put_slots(struct job *job)
{
	for (unsigned int i = 0; i < job->joint.nr_slots; i++)
		slots_put(job->joint.from, job->joint.slots[i]);
}

bool joint_bring(struct job *job, uint64_t slot_bytes)
{
	struct pump_trip *trip = &job->joint.trip;
	struct pump_pass pass;
	struct gpu_copy copy = {
		.gpu = job->req->addr, .length = job->window,
	};

	if (!pump_ask(&job->port->pumps, &pass))
		return false;
	joint_shape(job, 1, slot_bytes);
	if (job->joint.nr > 1 || get_slots(job))
		return false;
	copy.host = host_at(job, 0);
	if (!job->joint.pinned || !pump_share(&pass, trip, &copy, true)) {
		put_slots(job);
		return false;
	}
	pump_give(trip, 0, job->window);
	pump_gather(trip);
	return true;
}

static int first_share(const struct job *job)
{
	if (job->brought)
		return JOINT_SHARED;
	return job->write || job->window > PUMP_MAX || job->lead ?
	       JOINT_WHOLE : JOINT_UNDECIDED;
}

/*
 * May the pump have it in parts?  By the first thread, while others read; it
 * must be known before all is read.
 */
static void decide(struct job *job)
{
	struct joint *joint = &job->joint;
	struct pump_pass pass = { .pump = NULL };
	struct gpu_copy copy = {
		.gpu = job->req->addr,
		.host = host_at(job, 0),
		.length = job->window,
	};
	int share = JOINT_WHOLE, undecided = JOINT_UNDECIDED;

	if (atomic_load(&joint->share) != JOINT_UNDECIDED)
		return;
	if (!joint->pinned || !joint->lane->pumps ||
	    !pump_ask(joint->lane->pumps, &pass))
		share = JOINT_NO_PUMP;
	else if (pump_share(&pass, &joint->trip, &copy, false))
		share = JOINT_SHARED;
	if (!atomic_compare_exchange_strong(&joint->share, &undecided, share) &&
	    share == JOINT_SHARED)
		pump_gather(&joint->trip);
}

/* What was read before it was known is given by the last one. */
static void give(struct job *job, uint32_t part, bool is_last)
{
	struct pump_trip *trip = &job->joint.trip;
	uint64_t start = part * job->stride;
	uint64_t end = min64(start + job->stride, job->window);

	if (end > atomic_load(&job->stop))
		return;
	if (!is_last || !(atomic_load(&trip->given) >> start / PUMP_PIECE & 1))
		pump_give(trip, start, end - start);
}

/*
 * All of it is read.  Is it under way in parts?  Who has not decided yet may be
 * asking the pump, which must not be asked by two.
 */
static bool was_shared(struct job *job)
{
	struct joint *joint = &job->joint;
	int share = JOINT_UNDECIDED;

	if (atomic_compare_exchange_strong(&joint->share, &share,
					   JOINT_NO_PUMP) ||
	    share != JOINT_SHARED)
		return false;
	for (uint32_t part = 0; part < job->nr_parts; part++)
		give(job, part, true);
	pump_gather(&joint->trip);
	return true;
}

/* The one span; when something came in between, it goes as a whole. */
static int shared_state(struct job *job)
{
	struct joint *joint = &job->joint;
	struct lane_copy *copy = &joint->spans[0].copy;
	int state = pump_move(&joint->trip);

	if (state == PUMP_BUSY)
		return LANE_BUSY;
	atomic_store(&joint->share, JOINT_WHOLE);
	if (!state || !copy->copy.length)
		return 0;
	lane_push(joint->lane, copy, 1);
	return LANE_BUSY;
}

/* Room of a span that is read is its successor's as soon as it counts as landed. */
static bool collect_one(struct job *job, uint32_t i)
{
	struct joint *joint = &job->joint;
	uint64_t start = span_start(job, i);
	int state;

	if (!atomic_load_explicit(&joint->spans[i % joint->ring].pushed,
				  memory_order_acquire))
		return false;
	state = atomic_load(&joint->share) == JOINT_SHARED ? shared_state(job) :
		lane_state(joint->lane, &joint->spans[i % joint->ring].copy, 1);
	if (state == LANE_BUSY)
		return false;
	if (state)
		job_stop_at(job, start < job->lead ? job->lead : start, state);
	if (!job->write)
		atomic_store(&joint->spans[i % joint->ring].moved, 0);
	atomic_store(&joint->spans[i % joint->ring].pushed, false);
	atomic_store(&joint->landed, i + 1);
	return true;
}

/* Look what has landed; does not wait. */
static void collect(struct job *job)
{
	struct joint *joint = &job->joint;

	lane_drive(joint->lane);
	if (atomic_load_explicit(&joint->collecting, memory_order_relaxed) ||
	    atomic_exchange(&joint->collecting, true))
		return;
	while (atomic_load(&joint->landed) < joint->nr &&
	       collect_one(job, atomic_load(&joint->landed)))
		;
	atomic_store(&joint->collecting, false);
}

static void wait_until_landed(struct job *job, uint32_t nr)
{
	for (unsigned int turn = 0; atomic_load_explicit(&job->joint.landed,
				    memory_order_acquire) < nr; turn++) {
		collect(job);
		crew_relax(turn);
	}
}

/* Of a small write, this part alone, though others may not be there. */
static bool was_brought(const struct job *job, uint32_t part)
{
	uint64_t start = part * job->stride;

	return job->brought &&
	       atomic_load(&job->joint.share) == JOINT_SHARED &&
	       pump_has(&job->joint.trip, start,
			min64(job->stride, job->window - start));
}

/*
 * The same where all threads have nothing else to do: one looks, because a look keeps
 * him out of the driver who starts copies; 16 MiB were written at 26 GB/s so, and at 21.
 * The others look when it takes long, as that one may have lost his CPU.  Of what the
 * pump brings each sees its own, and one looks now and then whether the pump is well.
 */
static void wait_together(struct job *job, uint32_t part, uint32_t nr)
{
	struct joint *joint = &job->joint;
	bool mine = false;

	for (unsigned int turn = 0; atomic_load_explicit(&joint->landed,
				    memory_order_acquire) < nr &&
	     !was_brought(job, part); turn++) {
		if (!mine && !atomic_load_explicit(&joint->looking,
						   memory_order_relaxed))
			mine = !atomic_exchange(&joint->looking, true);
		if (turn >= CREW_PAUSES ||
		    (mine && (!job->brought ||
			      turn % LOOK_EACH == LOOK_EACH - 1)))
			collect(job);
		crew_relax(turn);
	}
	if (mine)
		atomic_store(&joint->looking, false);
}

static void push(struct job *job, uint32_t i)
{
	struct joint *joint = &job->joint;
	struct lane_copy *copy = &joint->spans[i % joint->ring].copy;
	uint64_t start = span_start(job, i);
	uint64_t end = min64(span_start(job, i + 1), atomic_load(&job->stop));

	if (start < job->lead)
		start = job->lead;
	*copy = (struct lane_copy){ .pinned = joint->pinned };
	if (end > start) {
		copy->copy.gpu = job->req->addr + (start - job->lead);
		copy->copy.host = host_at(job, start);
		copy->copy.length = end - start;
	}
	if (was_shared(job))
		copy->pumped = false;
	else if (copy->copy.length) {
		copy->pinned = joint->pinned && atomic_load(&joint->share) !=
						JOINT_NO_PUMP;
		lane_push(joint->lane, copy, 1);
	}
	atomic_store_explicit(&joint->spans[i % joint->ring].pushed, true,
			      memory_order_release);
}

static uint32_t parts_of(const struct job *job, uint32_t i)
{
	uint64_t bytes = span_start(job, i + 1) - span_start(job, i);

	return (uint32_t)((bytes + job->stride - 1) / job->stride);
}

static void read_part(struct job *job, uint32_t part, uint32_t i)
{
	struct joint *joint = &job->joint;

	if (i >= joint->ring)
		wait_until_landed(job, i - joint->ring + 1);
	job_do_part(job, part, host_at(job, part * job->stride), NULL);
	if (atomic_load(&joint->share) == JOINT_SHARED)
		give(job, part, false);
	if (atomic_fetch_add(&joint->spans[i % joint->ring].moved, 1) + 1 ==
	    parts_of(job, i))
		push(job, i);
}

/* Is the oldest span that is not known to be written? */
static bool is_written(struct job *job)
{
	struct joint *joint = &job->joint;
	uint32_t i = atomic_load(&joint->written);

	return i < joint->nr &&
	       atomic_load(&joint->spans[i % joint->ring].moved) ==
	       parts_of(job, i);
}

/*
 * In order, because two that are short have one room, at the begin and at the end.
 * Who finds another at it leaves it to him, who looks once more after that.
 */
static void go_on_writing(struct job *job)
{
	struct joint *joint = &job->joint;

	while (is_written(job) && !atomic_exchange(&joint->freeing, true)) {
		while (is_written(job)) {
			uint32_t i = atomic_load(&joint->written);

			atomic_store(&joint->spans[i % joint->ring].moved, 0);
			atomic_store(&joint->written, i + 1);
			if (i + joint->ring < joint->nr)
				push(job, i + joint->ring);
		}
		atomic_store(&joint->freeing, false);
	}
}

/* By who draws the first part of a span, while it is copied. */
static void prepare(struct job *job, uint32_t i)
{
	uint64_t start = span_start(job, i);
	uint64_t end = min64(span_start(job, i + 1) + AHEAD, job->window);

	host_map_prepare(job->req->file, end - start,
			 job->req->file_offset + start);
}

/* NULL: its bytes are not to be had by its file. */
static const struct slot *slot_of(const struct job *job, uint64_t position)
{
	return job->brought && !job->asked ? NULL : slot_at(job, position);
}

static void write_part(struct job *job, uint32_t part, uint32_t i)
{
	struct joint *joint = &job->joint;
	uint64_t start = part * job->stride;

	if (job->maps && start == span_start(job, i))
		prepare(job, i);
	if (job->maps && atomic_load_explicit(&joint->landed,
					      memory_order_relaxed) <= i &&
	    (job->brought || crew_busy() <= 1))
		host_map_warm(job->req->file, job->stride,
			      job->req->file_offset + start);
	wait_together(job, part, i + 1);
	/* write(2) may take long: others want the pump. */
	if (job->brought && atomic_load(&joint->landed) <= i &&
	    (!job->maps || host_map_is_due(job->req->file)))
		collect(job);
	job_do_part(job, part, host_at(job, start), slot_of(job, start));
	/* Is there a copy that waits for its room? */
	if (joint->nr <= joint->ring)
		return;
	atomic_fetch_add(&joint->spans[i % joint->ring].moved, 1);
	go_on_writing(job);
}

/* It is under way; as a whole, should the pump not bring all of it. */
static void push_brought(struct job *job)
{
	struct joint *joint = &job->joint;
	struct lane_copy *copy = &joint->spans[0].copy;

	*copy = (struct lane_copy){
		.pinned = true,
		.copy.gpu = job->req->addr,
		.copy.host = host_at(job, 0),
		.copy.length = job->window,
	};
	atomic_store_explicit(&joint->spans[0].pushed, true,
			      memory_order_release);
}

/* Before others are called, which takes some us for many, and so does the driver. */
static void push_first(struct job *job)
{
	if (job->brought)
		push_brought(job);
	else
		push(job, 0);
}

static void push_others(struct job *job)
{
	struct joint *joint = &job->joint;

	for (uint32_t i = 1; i < joint->ring && i < joint->nr; i++)
		push(job, i);
}

int joint_begin(struct job *job)
{
	struct joint *joint = &job->joint;
	int ret = job->brought ? 0 : get_slots(job);

	if (ret)
		return ret;
	job->asked = job->brought && job->maps && joint->from->shared &&
		     memory_file_is(&joint->from->file);
	joint->lane = job_lane(job);
	atomic_init(&joint->share, first_share(job));
	atomic_init(&joint->landed, 0);
	atomic_init(&joint->collecting, false);
	atomic_init(&joint->written, 0);
	atomic_init(&joint->freeing, false);
	atomic_init(&joint->looking, false);
	for (unsigned int i = 0; i < joint->ring; i++) {
		atomic_init(&joint->spans[i].moved, 0);
		atomic_init(&joint->spans[i].pushed, false);
	}
	if (job->write)
		push_first(job);
	return 0;
}

/* Who comes when all are drawn does not take the line from those who draw, or have. */
static bool draw(struct job *job, uint32_t *part)
{
	if (atomic_load_explicit(&job->next, memory_order_relaxed) >=
	    job->nr_parts)
		return false;
	*part = atomic_fetch_add(&job->next, 1);
	return *part < job->nr_parts;
}

void joint_work(struct job *job, bool first)
{
	uint32_t part;

	if (first && job->write)
		push_others(job);
	else if (first)
		decide(job);
	while (draw(job, &part)) {
		uint32_t i = span_at(&job->joint, part * job->stride);

		if (job->write)
			write_part(job, part, i);
		else
			read_part(job, part, i);
	}
}

/* The pump has it, and it was not found to be over. */
static bool is_being_brought(const struct job *job)
{
	return job->brought && atomic_load(&job->joint.share) == JOINT_SHARED;
}

/*
 * Who writes a part of what the pump brings waits for that, and when all have left, which
 * is soon, all is known.  Where one takes long, others want the pump, and it may need a
 * look.
 */
void joint_land(struct job *job)
{
	for (unsigned int turn = 0; turn < LOOK_EACH && is_being_brought(job);
	     turn++) {
		if (!job->helpers || !atomic_load(&job->task.inside))
			return;
		crew_relax(turn);
	}
	wait_until_landed(job, job->joint.nr);
}

/*
 * A descriptor that was closed meanwhile may have been another file's, whose bytes were
 * copied.  The right ones are still there, but for those of a request that has failed:
 * then it is told that they may be anything.
 */
static void ask_again(struct job *job)
{
	if (memory_file_is(&job->joint.from->file))
		return;
	for (uint32_t part = 0; part < job->nr_parts; part++)
		job_do_part(job, part, host_at(job, part * job->stride), NULL);
}

/* All parts were written, so all was brought: its answers are not looked at again. */
void joint_finish(struct job *job)
{
	if (is_being_brought(job))
		pump_end(&job->joint.trip);
	else
		wait_until_landed(job, job->joint.nr);
	if (job->asked)
		ask_again(job);
	put_slots(job);
}
