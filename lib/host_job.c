// SPDX-License-Identifier: MIT
/* Parts and pieces: file on one side, copy engine on the other. */
#include <errno.h>
#include <string.h>

#include "host_job.h"

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Where the good bytes end, and why.  The first stop counts. */
static void stop_at(struct job *job, uint64_t position, int error)
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

static struct lane *lane_of(struct job *job)
{
	return job->write ? &job->port->out : &job->port->in;
}

static struct piece *piece_of(struct job *job, uint32_t number)
{
	return &job->pieces[number % job->ring];
}

static char *host_of(struct job *job, const struct piece *piece)
{
	return job->port->slots.host[piece->slot];
}

static uint32_t parts_in(const struct job *job, uint32_t number)
{
	uint32_t first = number * job->per_piece;
	uint32_t left = job->nr_parts - first;

	return left < job->per_piece ? left : job->per_piece;
}

static uint64_t lead_of(const struct engine_req *req)
{
	return req->write ? 0 : req->file_offset % req->file->align;
}

/* Copies of a piece of one request: one, clipped to what is good and wanted. */
static void plan_one(struct job *job, struct piece *piece, uint32_t number)
{
	uint64_t start = number * (uint64_t)job->per_piece * job->stride;
	uint64_t end = start + parts_in(job, number) * job->stride;
	uint64_t skip = number ? 0 : job->lead;

	end = min64(end, min64(job->window, atomic_load(&job->stop)));
	piece->copies = &piece->own;
	piece->nr_copies = 0;
	if (end <= start + skip)
		return;
	piece->own.copy.gpu = job->req->addr + (start + skip - job->lead);
	piece->own.copy.host = host_of(job, piece) + skip;
	piece->own.copy.length = end - start - skip;
	piece->nr_copies = 1;
}

/* Neighbours in memory whose bytes are neighbours in the buffer go as one. */
static bool joins(const struct gpu_copy *last, const struct gpu_copy *copy)
{
	return last->gpu + last->length == copy->gpu &&
	       (char *)last->host + last->length == copy->host;
}

static void plan_many(struct job *job, struct piece *piece, uint32_t number)
{
	uint32_t first = number * job->per_piece;

	piece->copies = &job->copies[first];
	piece->nr_copies = 0;
	for (uint32_t i = 0; i < parts_in(job, number); i++) {
		struct engine_req *req = job->many[first + i];
		struct gpu_copy copy = {
			.gpu = req->addr,
			.host = host_of(job, piece) + i * job->stride +
				lead_of(req),
			.length = job->write ? req->length : req->done,
		};
		struct gpu_copy *last = piece->nr_copies ?
			&piece->copies[piece->nr_copies - 1].copy : NULL;

		if (!copy.length)
			continue;
		if (last && joins(last, &copy))
			last->length += copy.length;
		else
			piece->copies[piece->nr_copies++].copy = copy;
	}
}

static void start_copies(struct job *job, struct piece *piece, uint32_t number)
{
	if (job->req)
		plan_one(job, piece, number);
	else
		plan_many(job, piece, number);
	lane_push(lane_of(job), piece->copies, piece->nr_copies);
	atomic_store(&piece->phase, PIECE_COPYING);
}

/* Whose memory is it that can't be copied?  Rare, so one by one. */
static void blame(struct job *job, struct piece *piece, uint32_t number)
{
	const struct gpu_driver *driver = job->port->driver;
	uint32_t first = number * job->per_piece;

	for (uint32_t i = 0; i < parts_in(job, number); i++) {
		struct engine_req *req = job->many[first + i];
		char *host = host_of(job, piece) + i * job->stride +
			     lead_of(req);
		int ret = 0;

		if (job->write && req->length)
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

/* Its copies have ended, with @error.  By one thread. */
static void settle(struct job *job, struct piece *piece, int error)
{
	uint32_t number = atomic_load(&piece->turn);
	uint32_t next = number + job->ring;

	if (error && job->req)
		stop_at(job, number * (uint64_t)job->per_piece * job->stride +
			(number ? 0 : job->lead), error);
	else if (error)
		blame(job, piece, number);
	if (job->write) {
		atomic_store(&piece->phase, PIECE_DRAINING);
		return;
	}
	if (next >= job->nr_pieces) {
		atomic_store(&piece->phase, PIECE_OVER);
		return;
	}
	atomic_store(&piece->left, parts_in(job, next));
	atomic_store(&piece->phase, PIECE_FILLING);
	atomic_store(&piece->turn, next);
}

static void look_after(struct job *job, struct piece *piece)
{
	int phase = PIECE_COPYING;
	int state;

	if (atomic_load(&piece->phase) != PIECE_COPYING)
		return;
	/* Nobody starts other copies before the phase has changed. */
	if (!atomic_compare_exchange_strong(&piece->phase, &phase,
					    PIECE_SETTLING))
		return;
	lane_drive(lane_of(job));
	state = lane_state(piece->copies, piece->nr_copies);
	if (state == LANE_BUSY)
		atomic_store(&piece->phase, PIECE_COPYING);
	else
		settle(job, piece, state);
}

/* Wait until piece @number may be read into, or written from. */
static void await(struct job *job, struct piece *piece, uint32_t number)
{
	int phase = job->write ? PIECE_DRAINING : PIECE_FILLING;

	for (unsigned int turn = 0; atomic_load(&piece->turn) != number ||
	     atomic_load(&piece->phase) != phase; turn++) {
		look_after(job, piece);
		crew_relax(turn);
	}
}

/* The last part of a piece has ended. */
static void pass_on(struct job *job, struct piece *piece, uint32_t number)
{
	uint32_t next = number + job->ring;

	if (!job->write) {
		start_copies(job, piece, number);
		return;
	}
	if (next >= job->nr_pieces) {
		atomic_store(&piece->phase, PIECE_OVER);
		return;
	}
	atomic_store(&piece->phase, PIECE_SETTLING);
	atomic_store(&piece->left, parts_in(job, next));
	atomic_store(&piece->turn, next);
	start_copies(job, piece, next);
}

/* Part @number of one request, at @host. */
static void do_part(struct job *job, uint32_t number, char *host)
{
	struct engine_req *req = job->req;
	uint64_t start = number * job->stride;
	uint64_t length = min64(job->stride, job->window - start);
	uint64_t offset = req->file_offset - job->lead + start;
	uint64_t done;
	int error;

	if (start >= atomic_load(&job->stop))
		return;
	if (job->write) {
		done = host_file_write(job->file, host, length, offset, &error);
	} else {
		uint64_t align = job->port ? job->file->align : 1;
		uint64_t whole = (length + align - 1) / align * align;

		done = host_file_read(job->file, host, whole, offset, &error);
	}
	if (done < length)
		stop_at(job, start + done, error);
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
		req->done = host_file_write(req->file, host, req->length,
					    req->file_offset, &req->error);
		return;
	}
	done = host_file_read(req->file, host, whole, req->file_offset - lead,
			      &req->error);
	req->done = min64(done > lead ? done - lead : 0, req->length);
	if (req->done == req->length)
		req->error = 0;
}

static void work_with_pieces(struct job *job, uint32_t part)
{
	uint32_t number = part / job->per_piece;
	struct piece *piece = piece_of(job, number);
	char *host;

	await(job, piece, number);
	host = host_of(job, piece) + part % job->per_piece * job->stride;
	if (job->req)
		do_part(job, part, host);
	else
		do_small(job->many[part], host);
	if (atomic_fetch_sub(&piece->left, 1) == 1)
		pass_on(job, piece, number);
}

void job_work(struct job *job)
{
	for (;;) {
		uint32_t part = atomic_fetch_add(&job->next, 1);

		if (part >= job->nr_parts)
			return;
		if (job->port)
			work_with_pieces(job, part);
		else
			do_part(job, part, (char *)(uintptr_t)job->req->addr +
				part * job->stride);
	}
}

static int get_slots(struct job *job)
{
	struct slots *slots = &job->port->slots;
	uint32_t want = job->nr_pieces < JOB_RING ? job->nr_pieces : JOB_RING;
	int slot = slots_wait(slots);

	if (slot < 0)
		return slot;
	for (job->ring = 0; slot >= 0; job->ring++) {
		job->pieces[job->ring].slot = slot;
		if (job->ring + 1 == want) {
			job->ring++;
			break;
		}
		slot = slots_try(slots);
	}
	return 0;
}

int job_begin(struct job *job)
{
	int ret;

	if (!job->port || !job->nr_parts)
		return 0;
	ret = get_slots(job);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < job->ring; i++) {
		struct piece *piece = &job->pieces[i];

		atomic_store(&piece->turn, i);
		atomic_store(&piece->left, parts_in(job, i));
		if (job->write)
			start_copies(job, piece, i);
		else
			atomic_store(&piece->phase, PIECE_FILLING);
	}
	return 0;
}

static void set_result(struct job *job)
{
	struct engine_req *req = job->req;
	uint64_t end = min64(job->window, atomic_load(&job->stop));

	req->done = end > job->lead ? end - job->lead : 0;
	req->error = end < job->window ? job->stop_error : 0;
}

void job_finish(struct job *job)
{
	for (uint32_t i = 0; i < job->ring; i++) {
		struct piece *piece = &job->pieces[i];

		for (unsigned int turn = 0;
		     atomic_load(&piece->phase) != PIECE_OVER; turn++) {
			look_after(job, piece);
			crew_relax(turn);
		}
		slots_put(&job->port->slots, piece->slot);
	}
	if (job->req)
		set_result(job);
}

void job_fail(struct job *job, int error)
{
	for (uint32_t i = 0; !job->req && i < job->nr_parts; i++)
		job->many[i]->error = error;
	if (job->req)
		job->req->error = error;
}
