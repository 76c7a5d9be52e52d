// SPDX-License-Identifier: MIT
/*
 * Requests in a stream.  The stream calls us when it comes to the request; we
 * look at the arguments, give the request to the engine and return, because
 * nothing that needs the GPU driver may be done there.  The stream then waits
 * for a word in memory, which the end of the request sets.  Where it can't do
 * that, the call itself waits.
 *
 * Bytes that go through host memory need the driver for the copy to the GPU, and
 * the driver lets nobody in while another thread waits in it for that stream, in
 * a cudaFree() or cudaMemcpy(), say: each would wait for the other.  Such a request
 * is made where it is asked for, when the stream has come to its end.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cufile_priv.h"

#define ALL_FLAGS	(CU_FILE_STREAM_FIXED_BUF_OFFSET |	\
			 CU_FILE_STREAM_FIXED_FILE_OFFSET |	\
			 CU_FILE_STREAM_FIXED_FILE_SIZE |	\
			 CU_FILE_STREAM_PAGE_ALIGNED_INPUTS)

/**
 * struct stream - one of the application's
 * @key: of the GPU driver
 * @word: where the stream looks; NULL: it can't
 * @last: number of the newest request
 * @registered: by the application, with @flags; otherwise flags are 0
 *
 * One that was destroyed leaves this behind until the library is closed, and a
 * new one of the same name goes on with it.
 */
struct stream {
	struct stream *next;
	uint64_t key[2];
	uint32_t *word;
	uint32_t last;
	bool looked;
	bool registered;
	unsigned int flags;
};

struct async {
	struct stream *stream;
	uint32_t number;
	bool must_wait;
	bool ended;
	void *fh;
	const void *base;
	struct cf_mem mem;
	size_t *size_p;
	off_t *file_offset_p;
	off_t *mem_offset_p;
	ssize_t *bytes_p;
	size_t size;
	off_t file_offset;
	off_t mem_offset;
	unsigned int flags;
	uint64_t began;
	struct engine_req req;
};

/* All streams, and the end of requests. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER;
static struct stream *streams;

static CUfileError_t cuda_error(const struct gpu_driver *driver)
{
	return (CUfileError_t){ CU_FILE_CUDA_DRIVER_ERROR,
				(CUresult)driver->streams->error() };
}

static CUfileError_t stream_error(const struct gpu_driver *driver, int err)
{
	switch (err) {
	case 0:
		return cf_error(CU_FILE_SUCCESS);
	case -EOPNOTSUPP:
	case -ENOSYS:
		return cf_error(CU_FILE_ASYNC_NOT_SUPPORTED);
	case -ENOMEM:
		return cf_error(CU_FILE_NOMEM_ERROR);
	default:
		return cuda_error(driver);
	}
}

/* ----------------------------------------------------------- the streams */

static struct stream *find(const uint64_t key[2])
{
	struct stream *s;

	for (s = streams; s; s = s->next) {
		if (s->key[0] == key[0] && s->key[1] == key[1])
			return s;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->key, key, sizeof(s->key));
	s->next = streams;
	streams = s;
	return s;
}

static CUfileError_t get(const struct gpu_driver *driver, CUstream handle,
			 struct stream **stream)
{
	uint64_t key[2];
	int ret;

	if (!driver->streams)
		return cf_error(CU_FILE_ASYNC_NOT_SUPPORTED);
	ret = driver->streams->key(handle, key);
	if (ret)
		return stream_error(driver, ret);
	pthread_mutex_lock(&lock);
	*stream = find(key);
	pthread_mutex_unlock(&lock);
	return cf_error(*stream ? CU_FILE_SUCCESS : CU_FILE_NOMEM_ERROR);
}

static CUfileError_t gpu_of(const struct gpu_driver **driver)
{
	return cf_from_errno(engine_gpu(driver));
}

static CUfileError_t set_flags(CUstream handle, bool registered,
			       unsigned int flags)
{
	const struct gpu_driver *driver;
	struct stream *stream;
	CUfileError_t ret = cf_enter_open();

	if (ret.err)
		return ret;
	ret = gpu_of(&driver);
	if (!ret.err)
		ret = get(driver, handle, &stream);
	if (!ret.err) {
		pthread_mutex_lock(&lock);
		if (stream->registered == registered)
			ret.err = CU_FILE_INVALID_VALUE;
		stream->registered = registered;
		stream->flags = flags;
		pthread_mutex_unlock(&lock);
	}
	cf_leave();
	return ret;
}

CF_API CUfileError_t cuFileStreamRegister(CUstream stream, unsigned int flags)
{
	if (flags & ~(unsigned int)ALL_FLAGS)
		return cf_error(CU_FILE_INVALID_VALUE);
	return set_flags(stream, true, flags);
}

CF_API CUfileError_t cuFileStreamDeregister(CUstream stream)
{
	return set_flags(stream, false, 0);
}

void cf_streams_end(void)
{
	const struct gpu_driver *driver;
	bool gpu = streams && !engine_gpu(&driver);

	while (streams) {
		struct stream *stream = streams;

		streams = stream->next;
		if (stream->word && gpu)
			driver->streams->word_put(stream->word);
		free(stream);
	}
}

/* ---------------------------------------------------------- the requests */

/* The last that is done with a request, but for freeing it. */
static void end(struct async *async, ssize_t result)
{
	struct stream *stream = async->stream;
	bool free_it = !async->must_wait;

	*async->bytes_p = result;
	cf_slot_put(&cf_handles, async->fh);
	pthread_mutex_lock(&lock);
	/* A stream that was destroyed and its namesake share the word. */
	if (stream->word && (int32_t)(async->number - *stream->word) > 0)
		__atomic_store_n(stream->word, async->number,
				 __ATOMIC_RELEASE);
	async->ended = true;
	cf_leave();
	pthread_cond_broadcast(&progress);
	pthread_mutex_unlock(&lock);
	if (free_it)
		free(async);
}

static void complete(struct engine_req *req)
{
	cf_stats_request(((struct async *)req->user)->began, req);
	end(req->user, cf_result(req->done, req->error));
}

/* The arguments as they are now, unless they were fixed before. */
static void fix(struct async *async, unsigned int fixed)
{
	if (!(fixed & CU_FILE_STREAM_FIXED_FILE_SIZE))
		async->size = *async->size_p;
	if (!(fixed & CU_FILE_STREAM_FIXED_FILE_OFFSET))
		async->file_offset = *async->file_offset_p;
	if (!(fixed & CU_FILE_STREAM_FIXED_BUF_OFFSET))
		async->mem_offset = *async->mem_offset_p;
}

static CUfileOpError prepare(struct async *async)
{
	struct engine_req *req = &async->req;

	fix(async, async->flags);
	if (async->file_offset < 0 || async->size > SSIZE_MAX ||
	    (uint64_t)async->file_offset + async->size > INT64_MAX)
		return CU_FILE_INVALID_VALUE;
	req->file_offset = (uint64_t)async->file_offset;
	req->length = async->size;
	req->gpu = async->mem.gpu;
	req->no_bounce = req->gpu != ENGINE_HOST && !cf_may_bounce();
	req->complete = complete;
	req->user = async;
	return cf_mem_range(&async->mem, async->base, async->mem_offset,
			    async->size, &req->addr);
}

/* By the GPU driver: the stream has come to the request. */
static void start(void *arg)
{
	struct async *async = arg;
	struct engine_req *req = &async->req;
	bool wait = async->must_wait;
	CUfileOpError err = prepare(async);
	int ret;

	async->began = cf_stats_begin();
	if (err) {
		end(async, -(ssize_t)err);
	} else {
		ret = engine_submit(&req, 1);
		if (ret)
			end(async, cf_result(0, ret));
	}
	if (!wait)
		return;
	pthread_mutex_lock(&lock);
	while (!async->ended)
		pthread_cond_wait(&progress, &lock);
	pthread_mutex_unlock(&lock);
	free(async);
}

/* Gives the stream its word and the request its number. */
static void number(const struct gpu_driver *driver, struct async *async)
{
	struct stream *stream = async->stream;
	bool bypass;

	cf_lock();
	bypass = cf_config()->flag[CUFILE_PARAM_STREAM_MEMOPS_BYPASS];
	cf_unlock();
	pthread_mutex_lock(&lock);
	if (!stream->looked && driver->streams->word_get(&stream->word))
		stream->word = NULL;
	stream->looked = true;
	async->number = ++stream->last;
	async->flags = stream->flags;
	async->must_wait = bypass || !stream->word;
	pthread_mutex_unlock(&lock);
}

/*
 * Puts the request into the stream.  When the call is in and the wait can't
 * follow, this thread waits instead: the request is under way.
 */
static CUfileError_t enqueue(const struct gpu_driver *driver, CUstream handle,
			     struct async *async)
{
	uint32_t *word = async->stream->word;
	uint32_t value = async->number;
	bool wait = !async->must_wait;
	int ret;

	ret = driver->streams->call(handle, start, async);
	if (ret)
		return stream_error(driver, ret);
	if (!wait || !driver->streams->wait(handle, word, value))
		return cf_error(CU_FILE_SUCCESS);
	pthread_mutex_lock(&lock);
	while ((int32_t)(__atomic_load_n(word, __ATOMIC_ACQUIRE) - value) < 0)
		pthread_cond_wait(&progress, &lock);
	pthread_mutex_unlock(&lock);
	return cf_error(CU_FILE_SUCCESS);
}

/* The arguments are not known yet, but whose memory it is. */
static bool may_wait(struct async *async)
{
	struct engine_req *req = &async->req;

	req->gpu = async->mem.gpu;
	req->addr = (uintptr_t)async->base;
	req->length = 1;
	return !engine_needs_driver(req);
}

/* Now, after all that is in the stream. */
static CUfileError_t run_here(const struct gpu_driver *driver, CUstream handle,
			      struct async *async)
{
	int ret = driver->streams->sync(handle);

	if (ret)
		return stream_error(driver, ret);
	async->must_wait = true;
	start(async);
	return cf_error(CU_FILE_SUCCESS);
}

static CUfileError_t submit(struct async *async, CUstream handle, bool write)
{
	const struct gpu_driver *driver;
	struct cf_handle *file;
	CUfileError_t ret = gpu_of(&driver);

	if (ret.err)
		return ret;
	ret = get(driver, handle, &async->stream);
	if (ret.err)
		return ret;
	ret = cf_error(cf_mem_find(async->base, &async->mem));
	if (ret.err)
		return ret;
	file = cf_slot_get(&cf_handles, async->fh);
	if (!file)
		return cf_error(CU_FILE_HANDLE_NOT_REGISTERED);
	cf_request(&async->req, file, write);
	number(driver, async);
	fix(async, 0);
	cf_hold();
	if (!driver->streams->sync || may_wait(async))
		ret = enqueue(driver, handle, async);
	else
		ret = run_here(driver, handle, async);
	if (ret.err) {
		cf_slot_put(&cf_handles, async->fh);
		cf_leave();
	}
	return ret;
}

static CUfileError_t asynchronous(const struct async *template, CUstream handle,
				  bool write)
{
	struct async *async;
	CUfileError_t ret;

	if (!template->fh || !template->base || !template->size_p ||
	    !template->file_offset_p || !template->mem_offset_p ||
	    !template->bytes_p)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_error(cf_enter());
	if (ret.err)
		return ret;
	async = malloc(sizeof(*async));
	if (async) {
		*async = *template;
		ret = submit(async, handle, write);
		if (ret.err)
			free(async);
	} else {
		ret.err = CU_FILE_NOMEM_ERROR;
	}
	cf_leave();
	return ret;
}

CF_API CUfileError_t cuFileReadAsync(CUfileHandle_t fh, void *bufPtr_base,
				     size_t *size_p, off_t *file_offset_p,
				     off_t *bufPtr_offset_p,
				     ssize_t *bytes_read_p, CUstream stream)
{
	const struct async template = {
		.fh = fh,
		.base = bufPtr_base,
		.size_p = size_p,
		.file_offset_p = file_offset_p,
		.mem_offset_p = bufPtr_offset_p,
		.bytes_p = bytes_read_p,
	};

	return asynchronous(&template, stream, false);
}

CF_API CUfileError_t cuFileWriteAsync(CUfileHandle_t fh, void *bufPtr_base,
				      size_t *size_p, off_t *file_offset_p,
				      off_t *bufPtr_offset_p,
				      ssize_t *bytes_written_p, CUstream stream)
{
	const struct async template = {
		.fh = fh,
		.base = bufPtr_base,
		.size_p = size_p,
		.file_offset_p = file_offset_p,
		.mem_offset_p = bufPtr_offset_p,
		.bytes_p = bytes_written_p,
	};

	return asynchronous(&template, stream, true);
}
