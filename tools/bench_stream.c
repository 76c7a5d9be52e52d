// SPDX-License-Identifier: MIT
/*
 * Requests in the order of a stream, as cuFileReadAsync() puts them: a host
 * function starts each, and the stream waits for a word that its end sets.  What
 * needs the driver for its copies is put there by the engine, copies included, or
 * made at once, one after the other.
 */
#include <errno.h>
#include <string.h>

#include "bench_run.h"
#include "gpu.h"
#include "tool.h"

/* The driver's name for a stream that each thread has of its own. */
#define OWN_STREAM	((void *)2)

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

/* Never back: when a wait could not be put, requests may end in any order. */
static void raise_word(uint32_t *word, uint32_t number)
{
	uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

	while ((int32_t)(number - old) > 0 &&
	       !__atomic_compare_exchange_n(word, &old, number, false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

/* After the last line the slot may be in use again. */
static void ended(struct engine_req *req)
{
	struct bench_slot *slot = req->user;

	slot->ended = now_ns();
	if (slot->worker->word)
		raise_word(slot->worker->word, slot->number);
	else
		sem_post(&slot->gate);
	sem_post(&slot->over);
}

/* By the driver: the stream has come to the request. */
static void start(void *arg)
{
	struct bench_slot *slot = arg;
	struct engine_req *req = &slot->req;
	bool gated = !slot->worker->word;
	int ret = engine_submit(&req, 1);

	if (ret) {
		engine_unbind(req);
		req->done = 0;
		req->direct = 0;
		req->error = ret;
		ended(req);
	}
	if (gated)
		wait_for(&slot->gate);
}

/* The engine's own place in the stream. */
static void left(struct engine_req *req)
{
	struct bench_slot *slot = req->user;

	slot->ended = now_ns();
	sem_post(&slot->over);
}

static int begin(struct engine_req *req)
{
	(void)req;
	return 0;
}

static bool enqueued(struct bench_slot *slot)
{
	struct engine_req *req = &slot->req;
	struct engine_place place = {
		.stream = OWN_STREAM,
		.first = req->addr,
		.last = req->addr + (req->length - 1),
		.fixed = true,
		.begin = begin,
	};

	req->complete = left;
	if (!engine_enqueue(req, &place))
		return true;
	req->complete = ended;
	return false;
}

static void run_here(struct bench_slot *slot)
{
	start(slot);
	wait_for(&slot->over);
	sem_post(&slot->over);
}

static int put(const struct gpu_streams *streams, struct bench_worker *worker,
	       struct bench_slot *slot, uint32_t number)
{
	uint64_t first, end;
	int ret;

	slot->number = number;
	slot->req.complete = ended;
	slot->req.user = slot;
	slot->began = now_ns();
	if (engine_bind(&slot->req, &first, &end) && streams->sync) {
		if (enqueued(slot))
			return 0;
		ret = streams->sync(OWN_STREAM);
		if (ret)
			return ret;
		run_here(slot);
		return 0;
	}
	ret = streams->call(OWN_STREAM, start, slot);
	if (ret)
		engine_unbind(&slot->req);
	if (ret || !worker->word)
		return ret;
	ret = streams->wait(OWN_STREAM, worker->word, number);
	/* The request is under way all the same. */
	if (ret)
		bench_fail(worker->crew, ret, slot->req.file_offset);
	return 0;
}

static void post(void *sem)
{
	sem_post(sem);
}

/* Nothing of the stream looks at the word any more. */
static void drain(const struct gpu_streams *streams)
{
	sem_t done;

	sem_init(&done, 0, 0);
	if (!streams->call(OWN_STREAM, post, &done))
		wait_for(&done);
	sem_destroy(&done);
}

static void work(const struct gpu_streams *streams,
		 struct bench_worker *worker)
{
	unsigned int depth = worker->crew->bench->opts.depth;
	unsigned int under_way = 0, first = 0;
	uint32_t number = worker->word ? *worker->word : 0;
	bool more = true;
	int ret;

	while (more || under_way) {
		struct bench_slot *slot;

		slot = &worker->slots[(first + under_way) % depth];
		more = more && under_way < depth;
		if (more && bench_prepare(worker, slot)) {
			ret = put(streams, worker, slot, ++number);
			if (!ret) {
				under_way++;
				continue;
			}
			bench_fail(worker->crew, ret, slot->req.file_offset);
		}
		if (!under_way)
			break;
		wait_for(&worker->slots[first].over);
		bench_settle(worker, &worker->slots[first]);
		first = (first + 1) % depth;
		under_way--;
		more = !atomic_load(&worker->crew->stop);
	}
}

/* None, where the stream can't look at it. */
static void get_word(const struct gpu_streams *streams,
		     struct bench_worker *worker)
{
	if (streams->word_get(&worker->word)) {
		worker->word = NULL;
	} else if (streams->word_show(OWN_STREAM, worker->word)) {
		streams->word_put(worker->word);
		worker->word = NULL;
	}
}

void bench_work_in_stream(struct bench_worker *worker)
{
	const struct gpu_driver *driver = worker->crew->driver;
	unsigned int gpu = worker->crew->bench->opts.gpu;
	int ret = driver->streams ? 0 : -EOPNOTSUPP;

	if (!ret && driver->enter)
		ret = driver->enter(gpu);
	if (ret) {
		bench_fail(worker->crew, ret, worker->file->offset);
		return;
	}
	get_word(driver->streams, worker);
	work(driver->streams, worker);
	drain(driver->streams);
	if (worker->word)
		driver->streams->word_put(worker->word);
	if (driver->leave)
		driver->leave();
}
