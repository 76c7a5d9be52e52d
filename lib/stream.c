// SPDX-License-Identifier: MIT
/*
 * Requests in the order of a stream of the GPU.  The stream calls us when it
 * comes to the request, which is given to the module then, and waits for a word
 * in memory that the end of the request sets.  While it waits nothing may need
 * the GPU's driver, as whoever waits in there for the stream keeps all others
 * out.  So what the module does alone is bound to its region before, what goes
 * through host memory is put into the stream at once, copies included, and all
 * else is done here, when the stream has come to its end.
 */
#include <errno.h>
#include <stdlib.h>

#include "async.h"
#include "common.h"
#include "gpu.h"

/*
 * A word of the driver's, for streams of its home.  Values rise, so that one who
 * looks late may pass.
 */
struct stream_word {
	struct stream_word *next;
	uint32_t *at;
	uint64_t home;
};

/**
 * struct flight - a request
 * @word: which its end sets to @number; NULL: the stream can't look at one
 * @must_wait: whoever starts it waits for its end, and frees it
 */
struct flight {
	struct nvfs *nvfs;
	struct nvfs_file *file;
	struct nvfs_done *done;
	uint64_t user_data;
	struct stream_word *word;
	uint32_t number;
	bool must_wait;
	bool ended;
	struct engine_req req;
};

/* The words that nobody uses of all handles, and the ends of requests. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;

/* -------------------------------------------------------------- the words */

/* One that the handle has, or NULL. */
static struct stream_word *find_word(struct nvfs *nvfs, uint64_t home)
{
	struct stream_word **at = &nvfs->words, *word;

	pthread_mutex_lock(&lock);
	while (*at && (*at)->home != home)
		at = &(*at)->next;
	word = *at;
	if (word)
		*at = word->next;
	pthread_mutex_unlock(&lock);
	return word;
}

/* In the stream's own context.  NULL: there is none. */
static struct stream_word *get_word(const struct gpu_streams *streams,
				    struct nvfs *nvfs)
{
	uint64_t home = streams->word_home ? streams->word_home() : 0;
	struct stream_word *word = find_word(nvfs, home);

	if (word)
		return word;
	word = calloc(1, sizeof(*word));
	if (word && streams->word_get(&word->at)) {
		free(word);
		return NULL;
	}
	if (word)
		word->home = home;
	return word;
}

/* Locked. */
static void put_word(struct nvfs *nvfs, struct stream_word *word)
{
	word->next = nvfs->words;
	nvfs->words = word;
}

static void drop_word(struct flight *flight)
{
	if (!flight->word)
		return;
	pthread_mutex_lock(&lock);
	put_word(flight->nvfs, flight->word);
	pthread_mutex_unlock(&lock);
	flight->word = NULL;
}

/* Nobody else uses the handle, but an end may just be leaving the lock. */
void stream_words_end(struct nvfs *nvfs)
{
	const struct gpu_driver *driver;
	struct stream_word *words;

	pthread_mutex_lock(&lock);
	words = nvfs->words;
	nvfs->words = NULL;
	pthread_mutex_unlock(&lock);
	if (!words || ctx_gpu(nvfs, &driver))
		return;
	while (words) {
		struct stream_word *word = words;

		words = word->next;
		driver->streams->word_put(word->at);
		free(word);
	}
}

/* ---------------------------------------------------------- the requests */

/* From the engine, in any thread.  The stream goes on last. */
static void complete(struct engine_req *req)
{
	struct flight *flight = req->user;
	/* A late call of the driver may find one that was given up. */
	bool free_it = !flight->must_wait && !engine_gave_up(req);

	io_ended(flight->nvfs, req, flight->done);
	flight->done->user_data = flight->user_data;
	pthread_mutex_lock(&lock);
	file_put(flight->file);
	if (flight->word) {
		__atomic_store_n(flight->word->at, flight->number,
				 __ATOMIC_RELEASE);
		put_word(flight->nvfs, flight->word);
	}
	flight->ended = true;
	pthread_cond_broadcast(&progress);
	pthread_mutex_unlock(&lock);
	if (free_it)
		free(flight);
}

/* Not of one without bytes: the engine's threads may not get on now. */
static void give_to_engine(struct engine_req *req)
{
	int ret = engine_submit(&req, 1);

	if (!ret)
		return;
	engine_unbind(req);
	req->error = ret;
	complete(req);
}

/* By the GPU driver: the stream has come to the request. */
static void start(void *arg)
{
	struct flight *flight = arg;
	struct engine_req *req = &flight->req;
	bool wait = flight->must_wait;

	if (!engine_begin(req))
		return;
	if (req->length)
		give_to_engine(req);
	else
		complete(req);
	if (!wait)
		return;
	pthread_mutex_lock(&lock);
	while (!flight->ended)
		pthread_cond_wait(&progress, &lock);
	pthread_mutex_unlock(&lock);
	free(flight);
}

/* What is known now is all that there is to know. */
static int begin(struct engine_req *req)
{
	(void)req;
	return 0;
}

/* --------------------------------------------------------- the three ways */

/* Gives the request a word, if the stream can look at one. */
static void number(const struct gpu_driver *driver, void *stream,
		   struct flight *flight)
{
	flight->word = get_word(driver->streams, flight->nvfs);
	if (flight->word &&
	    driver->streams->word_show(stream, flight->word->at))
		drop_word(flight);
	if (flight->word)
		flight->number = *flight->word->at + 1;
	flight->must_wait = !flight->word;
}

/* Until its end has set it, also when its GPU is reset meanwhile. */
static void wait_for_word(const uint32_t *at, uint32_t value)
{
	pthread_mutex_lock(&lock);
	while ((int32_t)(__atomic_load_n(at, __ATOMIC_ACQUIRE) - value) < 0) {
		if (!wait_a_while(&progress, &lock))
			continue;
		pthread_mutex_unlock(&lock);
		engine_look_after();
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * For the module.  When the call is in and the wait can't follow, this thread
 * waits instead, as the request is under way.
 */
static int enqueue(const struct gpu_driver *driver, void *stream,
		   struct flight *flight)
{
	uint32_t *at, value;
	int ret;

	number(driver, stream, flight);
	at = flight->word ? flight->word->at : NULL;
	value = flight->number;
	engine_await(&flight->req);
	ret = driver->streams->call(stream, start, flight);
	/* It has ended meanwhile, or is not in. */
	if (ret && !engine_begin(&flight->req))
		return 0;
	if (ret) {
		drop_word(flight);
		return ret;
	}
	if (at && driver->streams->wait(stream, at, value))
		wait_for_word(at, value);
	return 0;
}

/* Through host memory. */
static int enqueue_all(void *stream, struct flight *flight)
{
	struct engine_req *req = &flight->req;
	struct engine_place place = {
		.stream = stream,
		.first = req->addr,
		.last = req->addr + (req->length - 1),
		.fixed = true,
		.begin = begin,
	};

	return engine_enqueue(req, &place);
}

/* Now, after all that is in the stream. */
static int run_here(const struct gpu_driver *driver, void *stream,
		    struct flight *flight)
{
	int ret = driver->streams->sync(stream);

	if (ret)
		return ret;
	flight->must_wait = true;
	start(flight);
	return 0;
}

/* Of those that the module can't be left with. */
static int put_other(const struct gpu_driver *driver, void *stream,
		     struct flight *flight)
{
	struct engine_req *req = &flight->req;
	int ret;

	if (req->no_bounce) {
		req->error = -EREMOTEIO;
		io_ended(flight->nvfs, req, flight->done);
		flight->done->user_data = flight->user_data;
		return req->error;
	}
	ret = enqueue_all(stream, flight);
	if (ret != -EAGAIN)
		return ret;
	return driver->streams->sync ? run_here(driver, stream, flight) :
				       enqueue(driver, stream, flight);
}

static int put(const struct gpu_driver *driver, void *stream,
	       struct flight *flight)
{
	struct engine_req *req = &flight->req;
	uint64_t first, end;
	int ret = req->length ? engine_bind(req, &first, &end) : 0;

	if (ret == -EAGAIN)
		return put_other(driver, stream, flight);
	if (ret)
		return ret;
	ret = enqueue(driver, stream, flight);
	if (ret)
		engine_unbind(req);
	return ret;
}

static struct flight *make(const struct nvfs_io *io, struct nvfs_done *done)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return NULL;
	io_fill(&flight->req, io);
	flight->req.complete = complete;
	flight->req.user = flight;
	flight->nvfs = io->file->nvfs;
	flight->file = io->file;
	flight->user_data = io->user_data;
	flight->done = done;
	return flight;
}

/* In the stream's own context. */
static int submit(const struct gpu_driver *driver, void *stream,
		  const struct nvfs_io *io, struct nvfs_done *done)
{
	struct flight *flight = make(io, done);
	int ret;

	if (!flight)
		return -ENOMEM;
	file_get(io->file);
	ret = put(driver, stream, flight);
	if (ret) {
		file_put(io->file);
		free(flight);
	}
	return ret;
}

NVFS_EXPORT int nvfs_stream_submit(void *stream, const struct nvfs_io *io,
				   struct nvfs_done *done)
{
	const struct gpu_driver *driver;
	int ret;

	if (!io || !io->file || !done)
		return -EINVAL;
	ret = io_check(io->file->nvfs, io);
	if (!ret)
		ret = ctx_gpu(io->file->nvfs, &driver);
	if (ret)
		return ret;
	if (!driver->streams)
		return -ENOSYS;
	ret = driver->streams->enter(stream);
	if (ret)
		return ret;
	ret = submit(driver, stream, io, done);
	driver->streams->leave();
	return ret;
}

NVFS_EXPORT int nvfs_gpu_prepare(struct nvfs *nvfs, unsigned int gpu)
{
	int ret;

	if (!nvfs)
		return -EINVAL;
	if (!is_gpu(gpu))
		return -ENODEV;
	ret = ctx_engine(nvfs);
	return ret ? ret : engine_warm(gpu);
}
