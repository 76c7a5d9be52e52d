// SPDX-License-Identifier: MIT
/* Parts: file on one side, copy engine on the other. */
#if defined(__x86_64__)
#include <cpuid.h>
#include <emmintrin.h>
#endif
#include <errno.h>
#include <string.h>

#include "common.h"
#include "host_job.h"
#include "ring.h"

/* CPUID 7.0, ECX */
#define HAS_CLDEMOTE	(1U << 25)

/* Helpers of a job that is cut fine. */
#define FEW		4U

/* What is read at a time, to be written past the cache; on the stack. */
#define READ_NEAR	(16U << 10)

/**
 * struct buffer - a part on its way
 * @host: its bytes
 * @part: its number
 * @busy: copies were started
 * @read: by the ring, if @reading
 * @nr_copies: of @copies, which is @own for a job of one request
 */
struct buffer {
	char *host;
	uint32_t part;
	bool busy;
	bool reading;
	struct ring_read read;
	unsigned int nr_copies;
	struct lane_copy *copies;
	struct lane_copy own;
};

/* One thread's share in a job. */
struct hand {
	struct job *job;
	struct lane *lane;
	struct ring *ring;	/* of the slot, for reads from drives */
	struct slots *from;	/* of which @slot is */
	int slot;
	bool pinned;
	unsigned int nr;
	struct buffer buffers[HAND_BUFFERS];
};

/* Where the good bytes end, and why.  The first stop counts. */
void job_stop_at(struct job *job, uint64_t position, int error)
{
	while (atomic_flag_test_and_set(&job->stop_lock))
		crew_relax(0);
	if (position < atomic_load(&job->stop)) {
		atomic_store(&job->stop, position);
		job->stop_error = error;
	} else if (position == atomic_load(&job->stop) && !job->stop_error) {
		job->stop_error = error;
	}
	atomic_flag_clear(&job->stop_lock);
}

/*
 * Where a copy goes.  Side by side with those of other threads: in one queue
 * each would begin when the one before has quite ended.  But when many threads
 * have copies that take less time than the pause after them, or a job has many
 * small ones, they are grouped.
 */
struct lane *job_lane(struct job *job)
{
	static _Atomic unsigned int threads;
	static _Thread_local unsigned int mine;
	struct lane *lane = job->write ? job->port->out : job->port->in;
	bool grouped = !job->req || (job->window > GROUP_MIN &&
				     job->window <= GROUP_MAX &&
				     crew_busy() > CROWD);

	if (!grouped) {
		if (!mine)
			mine = atomic_fetch_add(&threads, 1) %
			       (PORT_LANES - 1) + 1;
		lane = &lane[mine];
	}
	lane_open(lane);
	return lane;
}

int job_wait_for(struct lane *lane, struct lane_copy *copies, unsigned int nr)
{
	int state;

	for (unsigned int turn = 0;; turn++) {
		state = lane_state(lane, copies, nr);
		if (state != LANE_BUSY)
			return state;
		lane_drive(lane);
		crew_relax(turn);
	}
}

static uint64_t lead_of(const struct engine_req *req)
{
	return req->write ? 0 : req->file_offset % req->file->align;
}

/*
 * Bytes that a CPU has just written lie in its own cache, which hands them out at
 * no more than 8 GB/s: to the copy engine, to code on the GPU, and when it is told
 * to give them up.  Twice as fast is to read into a bit of memory that stays in
 * the cache, and to write from there past it; but not when many threads do that,
 * because then they wait for memory.  And where each has little, its cache is not
 * what takes long: 64 KiB by eight threads took 13 us past it, and 11.5 without.  Not
 * so when few have come.  A CPU is at it a third longer: not where those are short.
 */
static bool goes_past(const struct job *job)
{
#if defined(__x86_64__)
	unsigned int threads = crew_busy();

	if (crew_is_short())
		return false;
	if (job->window > PUMP_MAX)
		threads *= job->helpers + 1;
	if (job->fine && atomic_load_explicit(&job->task.inside,
					      memory_order_relaxed) >= FEW)
		return false;
	return job->req->file->align == 1 && threads <= CROWD;
#else
	(void)job;
	return false;
#endif
}

/* Both at an address that divides by 16. */
static void copy_past(char *to, const char *from, uint64_t length)
{
#if defined(__x86_64__)
	uint64_t whole = length / 16 * 16;

	for (uint64_t i = 0; i < whole; i += 16)
		_mm_stream_si128((__m128i *)(void *)(to + i),
				 *(const __m128i *)(const void *)(from + i));
	memcpy(to + whole, from + whole, length - whole);
#else
	memcpy(to, from, length);
#endif
}

static uint64_t read_past(struct engine_file *file, char *host, uint64_t length,
			  uint64_t offset, int *error)
{
	_Alignas(64) char near[READ_NEAR];
	uint64_t done = 0, want, got;

	do {
		want = min64(sizeof(near), length - done);
		got = host_file_read(file, near, want, offset + done, error);
		copy_past(host + done, near, got);
		done += got;
	} while (done < length && got == want);
#if defined(__x86_64__)
	_mm_sfence();
#endif
	return done;
}

/*
 * What many threads read is faster given up: 16 of them, 1 MiB at a time, got 31
 * GB/s without, and 45 GB/s with that.  Fewer do not get so far.
 */
void host_demote(const char *host, uint64_t length)
{
#if defined(__x86_64__)
	static _Atomic int known;
	unsigned int a, b, c = 0, d;

	if (!atomic_load_explicit(&known, memory_order_relaxed))
		atomic_store(&known, __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
				     (c & HAS_CLDEMOTE) ? 1 : -1);
	if (atomic_load_explicit(&known, memory_order_relaxed) < 0 ||
	    crew_is_short())
		return;
	for (uint64_t i = 0; i < length; i += 64)
		__asm__ volatile("cldemote %0" : : "m"(host[i]));
#else
	(void)host;
	(void)length;
#endif
}

static uint64_t read_part(struct job *job, char *host, uint64_t length,
			  uint64_t offset, int *error)
{
	struct engine_file *file = job->req->file;
	uint64_t done = 0, step, now;

	/* So few do not matter. */
	if (!job->port || job->window <= PART_MIN)
		return host_file_read(file, host, length, offset, error);
	if (goes_past(job))
		return read_past(file, host, length, offset, error);
	if (job->fine)
		return host_file_read(file, host, length, offset, error);
	/* A drive is asked for all of it. */
	step = job->waits ? length : READ_STEP;
	do {
		now = host_file_read(file, host + done,
				     min64(step, length - done), offset + done,
				     error);
		host_demote(host + done, now);
		done += now;
	} while (done < length && now == step);
	return done;
}

/* Some small requests. */

static uint32_t many_in(const struct job *job, uint32_t part)
{
	uint32_t left = job->nr_many - part * job->per_part;

	return left < job->per_part ? left : job->per_part;
}

/* Neighbours in memory whose bytes are neighbours in the buffer go as one. */
static bool joins(const struct gpu_copy *last, const struct gpu_copy *copy)
{
	return last->gpu + last->length == copy->gpu &&
	       (char *)last->host + last->length == copy->host;
}

static void plan_many(struct job *job, struct buffer *buffer)
{
	uint32_t first = buffer->part * job->per_part;

	buffer->copies = &job->copies[first];
	buffer->nr_copies = 0;
	for (uint32_t i = 0; i < many_in(job, buffer->part); i++) {
		struct engine_req *req = job->many[first + i];
		struct gpu_copy copy = {
			.gpu = req->addr,
			.host = buffer->host + i * job->stride + lead_of(req),
			.length = job->write ? req->length : req->done,
		};
		struct gpu_copy *last = buffer->nr_copies ?
			&buffer->copies[buffer->nr_copies - 1].copy : NULL;

		if (!copy.length)
			continue;
		if (last && joins(last, &copy))
			last->length += copy.length;
		else
			buffer->copies[buffer->nr_copies++].copy = copy;
	}
}

static struct host_bytes bytes_of(struct job *job, const struct slot *slot,
				  const char *host)
{
	struct host_bytes bytes = { .at = host };

	if (slot && slot->shared) {
		bytes.file = &job->port->shared.file;
		bytes.asked = job->asked;
		bytes.offset = slot->offset + (uint64_t)(host - slot->host);
	}
	return bytes;
}

static uint64_t put_small(struct engine_req *req, const char *host)
{
	uint64_t length = req->length, offset = req->file_offset;

	return host_map_takes(req->file, length, offset) ?
	       host_map_write(req->file, (struct host_bytes){ .at = host },
			      length, offset, false, &req->error) :
	       host_file_write(req->file, host, length, offset, &req->error);
}

/* The whole of a small request, at @host. */
static void do_small(struct engine_req *req, char *host)
{
	uint64_t align = req->file->align;
	uint64_t lead = lead_of(req);
	uint64_t whole = (lead + req->length + align - 1) / align * align;
	uint64_t done;

	if (req->error)
		return;
	if (req->write) {
		req->done = put_small(req, host);
		return;
	}
	done = host_file_read(req->file, host, whole, req->file_offset - lead,
			      &req->error);
	req->done = min64(done > lead ? done - lead : 0, req->length);
	if (req->done == req->length)
		req->error = 0;
}

/* Reads from drives, all at once. */
static void start_many(struct job *job, struct buffer *buffer,
		       struct ring *ring, struct ring_read *reads)
{
	for (uint32_t i = 0; i < many_in(job, buffer->part); i++) {
		struct engine_req *req = job->many[buffer->part *
						   job->per_part + i];
		char *host = buffer->host + i * job->stride;
		uint64_t align = req->file->align, lead = lead_of(req);
		uint64_t whole = (lead + req->length + align - 1) / align *
				 align;

		reads[i].result = -1;
		reads[i].length = 0;
		reads[i].busy = false;
		if (req->error || !host_file_is_direct(req->file, host, whole,
						       req->file_offset - lead,
						       &reads[i].fd))
			continue;
		reads[i].host = host;
		reads[i].length = (uint32_t)whole;
		reads[i].offset = req->file_offset - lead;
		ring_add(ring, &reads[i]);
	}
	ring_submit(ring);
}

static void do_many(struct job *job, struct buffer *buffer, struct ring *ring)
{
	uint32_t first = buffer->part * job->per_part;
	struct ring_read reads[RING_DEPTH];

	for (uint32_t i = 0; i < many_in(job, buffer->part); i++) {
		struct engine_req *req = job->many[first + i];

		if (!req_claim(req, REQ_RUNNING))
			req->error = -ECANCELED;
	}
	if (ring)
		start_many(job, buffer, ring, reads);
	for (uint32_t i = 0; i < many_in(job, buffer->part); i++) {
		struct engine_req *req = job->many[first + i];

		if (ring)
			ring_wait(ring, &reads[i]);
		/* What ended in any other way is told by trying again. */
		if (ring && reads[i].result == reads[i].length)
			req->done = req->length;
		else
			do_small(req, buffer->host + i * job->stride);
	}
}

/* Requests that end together; @open while there may be more. */
static _Thread_local struct {
	bool open;
	void (*then)(void *arg, struct engine_req *first);
	void *arg;
	struct engine_req *first, **last;
} together;

void host_end(struct engine_req *req,
	      void (*then)(void *arg, struct engine_req *first), void *arg)
{
	req->next = NULL;
	if (!together.open || (together.first && together.arg != arg)) {
		then(arg, req);
		return;
	}
	if (!together.first) {
		together.then = then;
		together.arg = arg;
		together.last = &together.first;
	}
	*together.last = req;
	together.last = &req->next;
}

/*
 * When requests have ended the application may do what it likes, as reset the GPU:
 * whoever has begun to start the pump is waited for, and nobody begins any more.
 */
static void await_rousing(struct job *job)
{
	int state = ROUSE_WANTED;

	atomic_compare_exchange_strong(&job->rouse, &state, ROUSE_NOT);
	for (unsigned int turn = 0; atomic_load_explicit(&job->rouse,
				    memory_order_acquire) == ROUSE_BEGUN; turn++)
		crew_relax(turn);
}

/* They are their owner's again. */
static void end_many(struct job *job, struct buffer *buffer)
{
	uint32_t first = buffer->part * job->per_part;
	uint32_t nr = many_in(job, buffer->part);

	await_rousing(job);
	together.first = NULL;
	together.open = true;
	for (uint32_t i = 0; i < nr; i++)
		job->each(job->many[first + i]);
	together.open = false;
	if (together.first)
		together.then(together.arg, together.first);
}

/* Whose memory is it that can't be copied?  Rare, so one by one. */
static void blame(struct job *job, struct buffer *buffer)
{
	const struct gpu_driver *driver = job->port->driver;
	uint32_t first = buffer->part * job->per_part;

	for (uint32_t i = 0; i < many_in(job, buffer->part); i++) {
		struct engine_req *req = job->many[first + i];
		char *host = buffer->host + i * job->stride + lead_of(req);
		int ret = 0;

		if (job->write && req->length && !req->error)
			ret = driver->copy_out(req->gpu, host, req->addr,
					       req->length);
		else if (!job->write && req->done)
			ret = driver->copy_in(req->gpu, req->addr, host,
					      req->done);
		if (ret) {
			req->error = ret;
			req->done = 0;
		}
	}
}

/* One request. */

static void plan_one(struct job *job, struct buffer *buffer)
{
	uint64_t start = buffer->part * job->stride;
	uint64_t end = min64(start + job->stride, job->window);
	uint64_t skip = buffer->part ? 0 : job->lead;

	end = min64(end, atomic_load(&job->stop));
	buffer->copies = &buffer->own;
	buffer->nr_copies = 0;
	if (end <= start + skip)
		return;
	buffer->own.copy.gpu = job->req->addr + (start + skip - job->lead);
	buffer->own.copy.host = buffer->host + skip;
	buffer->own.copy.length = end - start - skip;
	buffer->nr_copies = 1;
}

/* Positions are of the window. */
void job_do_part(struct job *job, uint32_t part, char *host,
		 const struct slot *slot)
{
	struct engine_req *req = job->req;
	uint64_t start = part * job->stride;
	uint64_t length = min64(job->stride, job->window - start);
	uint64_t offset = req->file_offset - job->lead + start;
	uint64_t done;
	int error;

	if (start >= atomic_load(&job->stop))
		return;
	/* What was seen when a large one began may be long ago. */
	if (job->stride >= READ_STEP)
		crew_look_around();
	if (job->maps) {
		done = host_map_write(req->file, bytes_of(job, slot, host),
				      length, offset,
				      job->window > HOST_WHOLE, &error);
		/* Lines that lie in caches slow down the copy engine's next. */
		if (job->port && job->window > PUMP_MAX)
			host_demote(host, done);
	} else if (job->write) {
		done = host_file_write(req->file, host, length, offset, &error);
	} else {
		uint64_t align = job->port ? req->file->align : 1;
		uint64_t whole = (length + align - 1) / align * align;

		done = read_part(job, host, whole, offset, &error);
	}
	if (done < length)
		job_stop_at(job, start + done, error);
}

/* A thread's buffers. */

/* From a drive, mostly, and more than pread(2) does in one go. */
static bool reads_drive(const struct job *job)
{
	return job->waits && !job->write && (!job->req || job->nr_parts > 1);
}

/*
 * A small write of the page cache, or a larger one where no other is under way: where
 * many threads write much, what all have in common is not what takes long.
 */
static bool wants_shared(const struct job *job)
{
	return job->req && job->write && job->req->file->align == 1 &&
	       (job->window <= PUMP_MAX ||
		(job->window <= job->port->shared.bytes && crew_busy() <= 1));
}

int job_get_slot(struct job *job, bool wait, struct slots **from)
{
	int slot = -EAGAIN;

	*from = &job->port->shared;
	if (wants_shared(job) && job->port->shared.max)
		slot = slots_try(*from);
	if (slot >= 0)
		return slot;
	*from = &job->port->slots;
	return wait ? slots_wait(*from) : slots_try(*from);
}

static bool open_hand(struct hand *hand, struct job *job, bool first)
{
	uint64_t bytes = job->stride * (job->req ? 1 : job->per_part);
	struct slots *slots;

	hand->job = job;
	hand->slot = job_get_slot(job, first, &slots);
	if (hand->slot < 0)
		return false;
	hand->from = slots;
	hand->pinned = slots->all[hand->slot].pinned;
	hand->lane = job_lane(job);
	hand->ring = reads_drive(job) ? slots_ring(slots, hand->slot) : NULL;
	hand->nr = (unsigned int)min64(slots->bytes / bytes, HAND_BUFFERS);
	for (unsigned int i = 0; i < hand->nr; i++) {
		hand->buffers[i].host = slots->all[hand->slot].host + i * bytes;
		hand->buffers[i].busy = false;
		hand->buffers[i].reading = false;
	}
	return true;
}

static void start(struct hand *hand, struct buffer *buffer)
{
	if (hand->job->req)
		plan_one(hand->job, buffer);
	else
		plan_many(hand->job, buffer);
	for (unsigned int i = 0; i < buffer->nr_copies; i++) {
		buffer->copies[i].pinned = hand->pinned;
		buffer->copies[i].once = false;
	}
	buffer->busy = true;
	lane_push(hand->lane, buffer->copies, buffer->nr_copies);
}

static void transfer(struct hand *hand, struct buffer *buffer)
{
	if (hand->job->req)
		job_do_part(hand->job, buffer->part, buffer->host,
			    &hand->from->all[hand->slot]);
	else
		do_many(hand->job, buffer, hand->ring);
}

/* Wait for the copies of a buffer; a write goes on to the file. */
static void land(struct hand *hand, struct buffer *buffer)
{
	struct job *job = hand->job;
	int error;

	if (!buffer->busy)
		return;
	buffer->busy = false;
	error = job_wait_for(hand->lane, buffer->copies, buffer->nr_copies);
	if (error && job->req)
		job_stop_at(job, buffer->part * job->stride +
			    (buffer->part ? 0 : job->lead), error);
	else if (error)
		blame(job, buffer);
	if (job->write)
		transfer(hand, buffer);
	if (!job->req)
		end_many(job, buffer);
}

/* Begin to read a part by the ring; false: it is not for that. */
static bool fetch(struct hand *hand, struct buffer *buffer)
{
	struct job *job = hand->job;
	struct engine_req *req = job->req;
	uint64_t start = buffer->part * job->stride;
	uint64_t align = req->file->align;
	uint64_t length = min64(job->stride, job->window - start);
	uint64_t whole = (length + align - 1) / align * align;
	uint64_t offset = req->file_offset - job->lead + start;
	int fd;

	if (start >= atomic_load(&job->stop) ||
	    !host_file_is_direct(req->file, buffer->host, whole, offset, &fd))
		return false;
	buffer->read = (struct ring_read){
		.fd = fd,
		.host = buffer->host,
		.length = (uint32_t)whole,
		.offset = offset,
	};
	ring_add(hand->ring, &buffer->read);
	ring_submit(hand->ring);
	return true;
}

/* A read ends like this where the file does, see host_file_read(). */
static bool is_end(const struct hand *hand, const struct ring_read *read)
{
	return !read->result || (read->result > 0 &&
				 read->result % hand->job->req->file->align);
}

/* The bytes of a part are here, whoever reads them; their copies start. */
static void fetched(struct hand *hand, struct buffer *buffer)
{
	struct job *job = hand->job;

	if (buffer->reading)
		ring_wait(hand->ring, &buffer->read);
	if (buffer->reading && is_end(hand, &buffer->read))
		job_stop_at(job, buffer->part * job->stride +
			    (uint64_t)buffer->read.result, 0);
	else if (!buffer->reading ||
		 buffer->read.result != buffer->read.length)
		/* An error, or not for the ring: as ever. */
		transfer(hand, buffer);
	buffer->reading = false;
	start(hand, buffer);
}

/* Drives want many reads at a time: as many as there are buffers. */
static void work_ahead(struct hand *hand)
{
	struct job *job = hand->job;
	unsigned int begun = 0, ended = 0;
	bool more = true;

	while (more || ended < begun) {
		struct buffer *buffer = &hand->buffers[begun % hand->nr];
		uint32_t part;

		if (!more || begun - ended == hand->nr) {
			fetched(hand, &hand->buffers[ended++ % hand->nr]);
			continue;
		}
		part = atomic_fetch_add(&job->next, 1);
		more = part < job->nr_parts;
		if (!more)
			continue;
		land(hand, buffer);
		buffer->part = part;
		buffer->reading = fetch(hand, buffer);
		begun++;
	}
	for (unsigned int i = 0; i < hand->nr; i++)
		land(hand, &hand->buffers[i]);
}

static void work_alone(struct job *job, bool first)
{
	struct hand hand;
	unsigned int i = 0;
	uint32_t part;

	if (!open_hand(&hand, job, first))
		return;
	if (hand.ring && job->req)
		work_ahead(&hand);
	while ((part = atomic_fetch_add(&job->next, 1)) < job->nr_parts) {
		struct buffer *buffer = &hand.buffers[i++ % hand.nr];

		land(&hand, buffer);
		buffer->part = part;
		if (!job->write)
			transfer(&hand, buffer);
		start(&hand, buffer);
	}
	for (unsigned int n = 0; n < hand.nr; n++)
		land(&hand, &hand.buffers[i++ % hand.nr]);
	slots_put(hand.from, hand.slot);
}

/* Into host memory. */
static void work_on(struct job *job)
{
	char *host = (char *)(uintptr_t)job->req->addr;
	uint32_t part;

	while ((part = atomic_fetch_add(&job->next, 1)) < job->nr_parts)
		job_do_part(job, part, host + part * job->stride, NULL);
}

/* It was made by another CPU: its lines come at once rather than one by one. */
static void fetch_job(const struct job *job)
{
	__builtin_prefetch(&job->next, 1);
	__builtin_prefetch(&job->port);
	__builtin_prefetch(&job->window);
	__builtin_prefetch(&job->stop);
	__builtin_prefetch(&job->joint.slots);
	__builtin_prefetch(&job->joint.span);
	__builtin_prefetch(&job->joint.trip);
	__builtin_prefetch(&job->joint.spans[0].moved, 1);
}

void job_work(struct job *job, bool first)
{
	if (!first)
		fetch_job(job);
	if (!job->port)
		work_on(job);
	else if (job->is_joint)
		joint_work(job, first);
	else
		work_alone(job, first);
}

int job_begin(struct job *job)
{
	int slot;

	if (!job->port)
		return 0;
	if (job->is_joint)
		return joint_begin(job);
	/* So that there is one, now or later. */
	slot = slots_wait(&job->port->slots);
	if (slot < 0)
		return slot;
	slots_put(&job->port->slots, slot);
	return 0;
}

void job_land(struct job *job)
{
	/* Elsewhere each thread has waited for its own. */
	if (job->req && job->is_joint)
		joint_land(job);
}

void job_finish(struct job *job)
{
	uint64_t end;

	if (!job->req)
		return;
	if (job->is_joint)
		joint_finish(job);
	end = min64(job->window, atomic_load(&job->stop));
	job->req->done = end > job->lead ? end - job->lead : 0;
	job->req->error = end < job->window ? job->stop_error : 0;
}

void job_fail(struct job *job, int error)
{
	for (uint32_t i = 0; i < job->nr_many; i++)
		job->many[i]->error = error;
	if (job->req)
		job->req->error = error;
}
