// SPDX-License-Identifier: MIT
/*
 * A request on its way through a stream.  Whoever brings news of it, the stream,
 * the file or the watch, does what can be done by then, under its lock, and the
 * last of them ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common.h"
#include "ferry.h"
#include "host.h"
#include "libnvfs.h"

/*
 * What a thread reads at a time, so that all have some of a piece, but not too
 * little; and threads of a request.  Found on an H100 with 16 CPUs, whose 1 MiB
 * takes 103 us so, 122 with twice as much at a time and 133 with half the threads.
 */
#define CHUNK_MIN	(64ULL << 10)
#define CHUNK_MAX	(128ULL << 10)
#define CHUNKS		8U
#define THREADS		8U

/* A part of a piece, on its way between file and room. */
struct chunk {
	uint32_t piece;
	uint64_t start;
	uint64_t length;
	char *host;
	uint64_t offset;
	uint64_t done;
	int error;
};

/* ------------------------------------------------------------- the pieces */

/* All of these under the lock. */

/* Where the good bytes end, and why.  The first stop counts. */
static void stop_at(struct ferry *ferry, uint64_t position, int error)
{
	if (position >= ferry->stop)
		return;
	ferry->stop = position;
	ferry->stop_error = error;
}

static struct ferry_room *room_of(struct ferry *ferry, uint32_t piece)
{
	return &ferry->rooms[piece % ferry->nr_rooms];
}

static uint64_t start_of(const struct ferry *ferry, uint32_t piece)
{
	return piece * ferry->plan.stride;
}

static uint64_t length_of(const struct ferry *ferry, uint32_t piece)
{
	return min64(ferry->plan.stride, ferry->window - start_of(ferry, piece));
}

/*
 * Where in its room a piece begins.  Where the file does not mind, so that host
 * and GPU have the same place in 16 bytes, which are copied at once.
 */
static char *host_of(struct ferry *ferry, uint32_t piece)
{
	char *host = room_of(ferry, piece)->host;

	return ferry->req->file->align > 1 ? host : host + ferry->req->addr % 16;
}

/* Bytes in front of a piece that nobody asked for. */
static uint64_t skip_of(const struct ferry *ferry, uint32_t piece)
{
	return piece ? 0 : ferry->lead;
}

static void write_order(struct ferry *ferry, uint32_t piece, uint64_t from,
			uint64_t to, uint64_t length)
{
	for (unsigned int i = 0; i < GPU_COPIES; i++) {
		struct gpu_order *order = &ferry->board->orders[piece][i];

		atomic_store_explicit(&order->from, from,
				      memory_order_relaxed);
		atomic_store_explicit(&order->to, to, memory_order_relaxed);
		atomic_store_explicit(&order->length, length,
				      memory_order_relaxed);
	}
}

/* @length: of the piece, from its begin. */
static void order(struct ferry *ferry, uint32_t piece, uint64_t length)
{
	uint64_t skip = skip_of(ferry, piece);
	uint64_t host = (uintptr_t)host_of(ferry, piece) + skip;
	uint64_t gpu = ferry->req->addr + start_of(ferry, piece) + skip -
		       ferry->lead;

	length = length > skip ? length - skip : 0;
	if (ferry->req->write)
		write_order(ferry, piece, gpu, host, length);
	else
		write_order(ferry, piece, host, gpu, length);
}

/* The GPU looks at it, so it is not written for nothing. */
static void let_go(struct ferry *ferry, uint32_t count)
{
	if (atomic_load_explicit(&ferry->board->word, memory_order_relaxed) ==
	    ferry->base + count)
		return;
	atomic_store_explicit(&ferry->board->word, ferry->base + count,
			      memory_order_release);
}

/* ------------------------------------------------------------- the chunks */

/* Under the lock, but for move(). */

/* The kernel admits one writer at a time to a file's page cache. */
static bool is_serial(const struct ferry *ferry)
{
	const struct engine_file *file = ferry->req->file;

	return ferry->req->write &&
	       (!(file->flags & O_DIRECT) || file->align == 1);
}

static uint64_t chunk_bytes(const struct ferry *ferry)
{
	uint64_t stride = ferry->plan.stride;

	if (is_serial(ferry))
		return stride;
	return stride / CHUNKS < CHUNK_MIN ? CHUNK_MIN :
	       min64(stride / CHUNKS, CHUNK_MAX);
}

static unsigned int chunks_of(const struct ferry *ferry, uint32_t piece)
{
	uint64_t bytes = chunk_bytes(ferry);

	return (unsigned int)((length_of(ferry, piece) + bytes - 1) / bytes);
}

/* Have the crew draw chunks of pieces up to @end. */
static void begin_until(struct ferry *ferry, uint64_t end)
{
	for (; ferry->begun < end; ferry->begun++) {
		struct ferry_room *room = room_of(ferry, ferry->begun);

		room->chunks = chunks_of(ferry, ferry->begun);
		room->good = length_of(ferry, ferry->begun);
		room->error = 0;
	}
}

static bool draw(struct ferry *ferry, struct chunk *chunk)
{
	if (ferry->stopped || ferry->at >= ferry->begun)
		return false;
	chunk->piece = ferry->at;
	chunk->start = ferry->chunk * chunk_bytes(ferry);
	chunk->length = min64(chunk_bytes(ferry),
			      length_of(ferry, ferry->at) - chunk->start);
	chunk->host = host_of(ferry, ferry->at) + chunk->start;
	chunk->offset = ferry->req->file_offset - ferry->lead +
			start_of(ferry, ferry->at) + chunk->start;
	if (++ferry->chunk == chunks_of(ferry, ferry->at)) {
		ferry->chunk = 0;
		ferry->at++;
	}
	return true;
}

static void move(const struct engine_req *req, struct chunk *chunk)
{
	uint64_t align = req->file->align;
	uint64_t whole = (chunk->length + align - 1) / align * align;

	if (req->write) {
		chunk->done = host_file_write(req->file, chunk->host,
					      chunk->length, chunk->offset,
					      &chunk->error);
		return;
	}
	chunk->done = host_file_read(req->file, chunk->host, whole,
				     chunk->offset, &chunk->error);
	host_demote(chunk->host, chunk->done);
}

/*
 * What a read brought counts when it is its piece's turn.  True: something may go
 * on by that.
 */
static bool landed(struct ferry *ferry, const struct chunk *chunk)
{
	struct ferry_room *room = room_of(ferry, chunk->piece);
	uint64_t end = chunk->start + chunk->done;

	room->chunks--;
	if (chunk->done >= chunk->length)
		return !room->chunks;
	if (ferry->req->write) {
		stop_at(ferry, start_of(ferry, chunk->piece) + end,
			chunk->error);
		ferry->stopped = true;
	} else if (end < room->good) {
		room->good = end;
		room->error = chunk->error;
	}
	return !room->chunks;
}

/* --------------------------------------------------------------- both ways */

/* All of these under the lock. */

/* What is begun behind it is no use any more when nobody goes on. */
static uint64_t first_undone(const struct ferry *ferry)
{
	if (!ferry->req->write)
		return start_of(ferry, ferry->let_go);
	return start_of(ferry, ferry->at) + ferry->chunk * chunk_bytes(ferry);
}

/* Have the watch tell when the stream says more than @count. */
static void watch_for(struct ferry *ferry, uint32_t count)
{
	if (ferry->watched || ferry->stopped || ferry->begun >= ferry->used ||
	    count >= ferry->let_go)
		return;
	ferry->wanted = count + 1;
	ferry->watched = !watch_add(ferry);
	if (ferry->watched)
		return;
	stop_at(ferry, first_undone(ferry), -EAGAIN);
	ferry->stopped = true;
}

static void unwatch(struct ferry *ferry)
{
	if (ferry->watched && watch_del(ferry))
		ferry->watched = false;
}

/* Pieces that are here, one after the other, up to where the file ends. */
static void let_in(struct ferry *ferry)
{
	while (ferry->let_go < ferry->begun && !ferry->stopped) {
		uint32_t piece = ferry->let_go;
		const struct ferry_room *room = room_of(ferry, piece);

		if (room->chunks)
			break;
		if (room->good < length_of(ferry, piece)) {
			stop_at(ferry, start_of(ferry, piece) + room->good,
				room->error);
			ferry->stopped = true;
		}
		order(ferry, piece, room->good);
		ferry->let_go++;
	}
	let_go(ferry, ferry->let_go);
}

/* A room is read into again when the stream has left it. */
static void advance_read(struct ferry *ferry)
{
	uint32_t count = ferry_count(ferry);

	let_in(ferry);
	if (!ferry->stopped)
		begin_until(ferry, min64(ferry->used, count + ferry->nr_rooms));
	watch_for(ferry, count);
}

/* Rooms whose bytes are in the file may be filled with the next ones. */
static void let_out(struct ferry *ferry)
{
	while (ferry->let_go < ferry->used && !ferry->stopped) {
		uint32_t piece = ferry->let_go;

		if (piece >= ferry->nr_rooms &&
		    (piece - ferry->nr_rooms >= ferry->begun ||
		     room_of(ferry, piece)->chunks))
			break;
		order(ferry, piece, length_of(ferry, piece));
		ferry->let_go++;
	}
	let_go(ferry, ferry->let_go);
}

static void advance_write(struct ferry *ferry)
{
	uint32_t count = ferry_count(ferry);

	let_out(ferry);
	if (!ferry->stopped)
		begin_until(ferry, min64(ferry->used, count));
	watch_for(ferry, count);
}

/*
 * Pieces that it has not, or not any more, have no bytes.  The stream may pass
 * them already: whoever puts the request into it may be kept out of the driver by
 * one who waits for that, and it is over only when it was put.
 */
static void let_rest_go(struct ferry *ferry)
{
	for (; ferry->let_go < ferry->plan.nr; ferry->let_go++)
		write_order(ferry, ferry->let_go, 0, 0, 0);
	let_go(ferry, ferry->let_go);
}

static void advance(struct ferry *ferry)
{
	if (!ferry->stopped && ferry->known) {
		if (ferry->req->write)
			advance_write(ferry);
		else
			advance_read(ferry);
	}
	if (ferry->stopped || ferry->begun >= ferry->used)
		unwatch(ferry);
	if (ferry->known && (ferry->stopped || ferry->let_go >= ferry->used))
		let_rest_go(ferry);
}

/* ------------------------------------------------------------ going on */

static void settle(struct ferry *ferry);

/* Draw chunks until there are none.  By the crew, as the next. */
static void work(struct crew_task *task)
{
	struct ferry *ferry = (struct ferry *)task;
	struct chunk chunk;

	pthread_mutex_lock(&ferry->lock);
	while (draw(ferry, &chunk)) {
		pthread_mutex_unlock(&ferry->lock);
		move(ferry->req, &chunk);
		pthread_mutex_lock(&ferry->lock);
		if (landed(ferry, &chunk))
			advance(ferry);
	}
	pthread_mutex_unlock(&ferry->lock);
}

/* The last thread has. */
static void worked(struct crew_task *task)
{
	struct ferry *ferry = (struct ferry *)task;

	crew_busy_add(-1);
	pthread_mutex_lock(&ferry->lock);
	ferry->posted = false;
	settle(ferry);
}

/* Threads for the chunks that there are. */
static unsigned int ways(const struct ferry *ferry)
{
	unsigned int busy = crew_busy(), cpus = crew_cpus(), nr = 0;

	if (is_serial(ferry))
		return 1;
	for (uint32_t i = ferry->at; i < ferry->begun && nr < THREADS; i++)
		nr += chunks_of(ferry, i);
	if (busy > 1)
		cpus = cpus > busy ? cpus / busy : 1;
	return (unsigned int)min64(min64(nr, THREADS), cpus);
}

/* Nobody is at it.  @ferry->posted was set under the lock. */
static void post(struct ferry *ferry, unsigned int nr)
{
	int ret;

	ferry->task.work = work;
	ferry->task.end = worked;
	crew_busy_add(1);
	ret = ferry_post(&ferry->task, nr);
	if (!ret)
		return;
	crew_busy_add(-1);
	pthread_mutex_lock(&ferry->lock);
	ferry->posted = false;
	stop_at(ferry, 0, ret);
	ferry->stopped = true;
	settle(ferry);
}

static bool is_over(const struct ferry *ferry)
{
	if (!ferry->known || !ferry->put || ferry->posted || ferry->watched)
		return false;
	return ferry->stopped || (ferry->begun >= ferry->used &&
				  ferry->at >= ferry->begun &&
				  ferry->let_go >= ferry->used);
}

/* The last.  The stream is let go only when the result stands. */
static void finish(struct ferry *ferry)
{
	struct engine_req *req = ferry->req;
	uint64_t end = min64(ferry->window, ferry->stop);

	req->done = end > ferry->lead ? end - ferry->lead : 0;
	req->error = end < ferry->window ? ferry->stop_error : 0;
	if (ferry->stopped && !ferry->window)
		req->error = ferry->stop_error;
	if (req->done)
		req->route = NVFS_ROUTE_BOUNCE;
	ferry->over = true;
	pthread_mutex_unlock(&ferry->lock);
	req->complete(req);
	let_go(ferry, FERRY_LAST);
	dock_leave(ferry);
}

/*
 * What is to be done by now, and by nobody else.  Under the lock, which it gives
 * back.
 */
static void settle(struct ferry *ferry)
{
	unsigned int nr;

	advance(ferry);
	if (is_over(ferry)) {
		finish(ferry);
		return;
	}
	if (ferry->posted || ferry->stopped || ferry->at >= ferry->begun) {
		pthread_mutex_unlock(&ferry->lock);
		return;
	}
	ferry->posted = true;
	nr = ways(ferry);
	pthread_mutex_unlock(&ferry->lock);
	post(ferry, nr);
}

void ferry_go(struct ferry *ferry)
{
	pthread_mutex_lock(&ferry->lock);
	ferry->watched = false;
	settle(ferry);
}

/* -------------------------------------------------------- begun and ended */

static bool claim(struct ferry *ferry, int state)
{
	int put = FERRY_PUT;

	return atomic_compare_exchange_strong(&ferry->state, &put, state);
}

static int look_at(struct ferry *ferry)
{
	struct engine_req *req = ferry->req;
	int ret = ferry->begin(req);

	if (ret)
		return ret;
	if (req->length > ferry->most)
		return -EINVAL;
	if (req->file_offset > INT64_MAX ||
	    req->length > INT64_MAX - req->file_offset)
		return -EOVERFLOW;
	if (req->length && (req->addr < ferry->first ||
			    req->addr > ferry->last ||
			    req->length - 1 > ferry->last - req->addr))
		return -EFAULT;
	return 0;
}

static void end_with(struct ferry *ferry, int error)
{
	ferry->stopped = true;
	ferry->stop = 0;
	ferry->stop_error = error;
}

/* Not more than what is in the stream. */
static void cut(struct ferry *ferry)
{
	if (ferry->used <= ferry->nr)
		return;
	ferry->used = ferry->nr;
	stop_at(ferry, start_of(ferry, ferry->nr), -EIO);
}

static void measure(struct ferry *ferry)
{
	const struct engine_req *req = ferry->req;

	if (!req->write && req->length)
		ferry->lead = req->file_offset % req->file->align;
	ferry->window = ferry->lead + req->length;
	ferry->used = (uint32_t)((ferry->window + ferry->plan.stride - 1) /
				 ferry->plan.stride);
	cut(ferry);
}

/* By the GPU driver: the stream has come to the request. */
static void arrive(void *arg)
{
	struct ferry *ferry = arg;
	int ret;

	if (!claim(ferry, FERRY_MOVING))
		return;
	pthread_mutex_lock(&ferry->lock);
	ret = ferry->stopped ? 0 : look_at(ferry);
	if (ret)
		end_with(ferry, ret);
	if (!ferry->stopped)
		measure(ferry);
	ferry->known = true;
	settle(ferry);
}

void ferry_abandon(struct ferry *ferry)
{
	bool claimed = claim(ferry, FERRY_MOVING);

	if (!claimed && atomic_load(&ferry->state) != FERRY_MOVING)
		return;
	pthread_mutex_lock(&ferry->lock);
	if (ferry->over) {
		pthread_mutex_unlock(&ferry->lock);
		return;
	}
	end_with(ferry, -EIO);
	ferry->known |= claimed;
	settle(ferry);
}

/*
 * So much of it is in the stream, and no more will be.  Only now it may be over,
 * and then somebody else's.
 */
static void all_put(struct ferry *ferry, uint32_t nr)
{
	pthread_mutex_lock(&ferry->lock);
	ferry->nr = nr;
	ferry->put = true;
	if (ferry->known) {
		cut(ferry);
		settle(ferry);
	} else {
		pthread_mutex_unlock(&ferry->lock);
	}
}

/* Returns how many pieces are in the stream now. */
static uint32_t put_pieces(struct ferry *ferry, void *stream)
{
	const struct gpu_streams *streams = dock_streams(ferry->dock);
	void *carrier = dock_carrier(ferry->dock);
	uint32_t *word = (uint32_t *)&ferry->board->word;
	uint32_t i;

	for (i = 0; i < ferry->plan.nr; i++) {
		uint32_t value = ferry->base + i + 1;

		if (streams->wait(stream, word, value) ||
		    streams->carry(carrier, stream, ferry->number, i, value,
				   ferry->plan.stride))
			break;
	}
	return i;
}

/* What can't be put any more is waited for here, as it is under way. */
static int put(struct ferry *ferry, void *stream)
{
	const struct gpu_streams *streams = dock_streams(ferry->dock);
	uint32_t *word = (uint32_t *)&ferry->board->word;
	uint32_t base = ferry->base, nr;
	bool failed;

	/* Whoever waits inside the driver from here on must not wait for us. */
	atomic_store(&ferry->state, FERRY_PUT);
	if (streams->call(stream, arrive, ferry)) {
		/* Or it was abandoned meanwhile, and ends as it ends. */
		if (claim(ferry, FERRY_FREE)) {
			dock_drop(ferry);
			return -EAGAIN;
		}
		all_put(ferry, 0);
		return 0;
	}
	nr = put_pieces(ferry, stream);
	failed = nr < ferry->plan.nr ||
		 streams->wait(stream, word, base + FERRY_LAST);
	all_put(ferry, nr);
	if (failed)
		dock_wait(ferry, base);
	return 0;
}

static bool is_within(const struct engine_req *req,
		      const struct engine_place *place)
{
	return req->length && req->addr >= place->first &&
	       req->addr <= place->last &&
	       req->length - 1 <= place->last - req->addr;
}

/* What orders may name: what will be asked for, if that is known, or all. */
static bool set_range(struct ferry *ferry, const struct engine_place *place)
{
	const struct engine_req *req = ferry->req;
	bool known = place->fixed && is_within(req, place);

	ferry->first = known ? req->addr : place->first;
	ferry->last = known ? req->addr + (req->length - 1) : place->last;
	return dock_streams(ferry->dock)->reaches(dock_carrier(ferry->dock),
						  ferry->first, ferry->last -
						  ferry->first + 1);
}

static void reset(struct ferry *ferry)
{
	pthread_mutex_lock(&ferry->lock);
	ferry->most = ferry->req->length;
	ferry->nr = ferry->plan.nr;
	ferry->lead = 0;
	ferry->window = 0;
	ferry->used = 0;
	ferry->begun = 0;
	ferry->let_go = 0;
	ferry->at = 0;
	ferry->chunk = 0;
	ferry->posted = false;
	ferry->watched = false;
	ferry->stopped = false;
	ferry->known = false;
	ferry->put = false;
	ferry->over = false;
	ferry->stop = UINT64_MAX;
	ferry->stop_error = 0;
	pthread_mutex_unlock(&ferry->lock);
}

int ferry_put(const struct engine_place *place, struct engine_req *req)
{
	struct dock *dock = dock_get(req->gpu);
	uint64_t lead = req->write ? 0 : req->file->align - 1, id;
	struct ferry_plan plan;
	struct ferry *ferry;
	struct berth *berth;
	int ret = -EAGAIN;

	/* Pieces must not have to be in order. */
	if (!dock || !req->file->seekable ||
	    (req->write && (req->file->flags & O_APPEND)) ||
	    req->length > UINT64_MAX - lead ||
	    !dock_plan(req->length + lead, &plan) ||
	    dock_streams(dock)->suits(dock_carrier(dock), place->stream, &id))
		return -EAGAIN;
	ferry = dock_take(dock, &plan, id);
	if (!ferry)
		return -EAGAIN;
	berth = ferry->berth;
	ferry->req = req;
	ferry->begin = place->begin;
	if (set_range(ferry, place)) {
		reset(ferry);
		ret = put(ferry, place->stream);
	} else {
		dock_drop(ferry);
	}
	dock_put_in(berth);
	return ret;
}
