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
 * a cudaFree() or cudaMemcpy(), say: each would wait for the other.  So the engine
 * puts all that takes the driver into the stream at once, copies included.  Where
 * it can't, the request is made where it is asked for, when the stream has come
 * to its end.  What the module is to do alone is bound to its region before.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "cufile_priv.h"

#define ALL_FLAGS	(CU_FILE_STREAM_FIXED_BUF_OFFSET |	\
			 CU_FILE_STREAM_FIXED_FILE_OFFSET |	\
			 CU_FILE_STREAM_FIXED_FILE_SIZE |	\
			 CU_FILE_STREAM_PAGE_ALIGNED_INPUTS)

/**
 * struct stream - one of the application's
 * @key: of the GPU driver
 * @putting: one request after the other gets its number, its call and its wait,
 *	or the end of a later one would be taken for that of an earlier; held over
 *	calls of the driver, and never taken by an end.  Guards the next two
 * @word: where the stream looks, if it can; NULL: there was no need yet
 * @last: number of the newest request
 * @registered: by the application, with @flags; otherwise flags are 0
 *
 * One that was destroyed leaves this behind until the library is closed, and a
 * new one of the same name goes on with it, flags included, until it is
 * registered itself.
 */
struct stream {
	struct stream *next;
	uint64_t key[2];
	pthread_mutex_t putting;
	uint32_t *word;
	uint32_t last;
	bool registered;
	unsigned int flags;
};

/**
 * struct async - a request
 * @word: the stream's, which its end sets to @number; NULL: it can't look
 * @must_wait: whoever starts it waits for its end, and frees it
 * @err: the arguments were wrong when they counted
 * @most: the size that was announced when it was asked for
 */
struct async {
	struct stream *stream;
	uint32_t *word;
	uint32_t number;
	bool must_wait;
	bool ended;
	CUfileOpError err;
	void *fh;
	const void *base;
	struct cf_mem mem;
	size_t *size_p;
	off_t *file_offset_p;
	off_t *mem_offset_p;
	ssize_t *bytes_p;
	size_t size;
	size_t most;
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
	pthread_mutex_init(&s->putting, NULL);
	s->next = streams;
	streams = s;
	return s;
}

static CUfileError_t get(const struct gpu_driver *driver, CUstream handle,
			 struct stream **stream, unsigned int *flags)
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
	*flags = *stream ? (*stream)->flags : 0;
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
	unsigned int before;
	CUfileError_t ret = cf_enter_open();

	if (ret.err)
		return ret;
	ret = gpu_of(&driver);
	if (!ret.err)
		ret = get(driver, handle, &stream, &before);
	if (!ret.err) {
		pthread_mutex_lock(&lock);
		/* The one that is there may be of a stream that is gone. */
		if (!registered && !stream->registered)
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
		pthread_mutex_destroy(&stream->putting);
		free(stream);
	}
}

/* ---------------------------------------------------------- the requests */

/* The last that is done with a request, but for freeing it. */
static void end(struct async *async, ssize_t result)
{
	/* A late call of the driver may find one that was given up. */
	bool free_it = !async->must_wait && !engine_gave_up(&async->req);

	engine_unbind(&async->req);
	*async->bytes_p = result;
	cf_slot_put(&cf_handles, async->fh);
	pthread_mutex_lock(&lock);
	/* A stream that was destroyed and its namesake share the word. */
	if (async->word && (int32_t)(async->number - *async->word) > 0)
		__atomic_store_n(async->word, async->number, __ATOMIC_RELEASE);
	async->ended = true;
	cf_leave();
	pthread_cond_broadcast(&progress);
	pthread_mutex_unlock(&lock);
	if (free_it)
		free(async);
}

/* Its arguments were wrong when the stream came to it. */
static void refuse(struct async *async, CUfileOpError err)
{
	cf_tell_call(async->req.write ? "cuFileWriteAsync" : "cuFileReadAsync",
		     err, "handle %p, %zu bytes at %lld, memory %p + %lld, when the stream came to it",
		     async->fh, async->size, (long long)async->file_offset,
		     async->base, (long long)async->mem_offset);
	cf_stats_refused(async->req.write);
	end(async, -(ssize_t)err);
}

static void complete(struct engine_req *req)
{
	struct async *async = req->user;

	if (async->err) {
		refuse(async, async->err);
		return;
	}
	cf_stats_request(async->began, req);
	cf_tell_request(req);
	/* The caller's errno is out of reach. */
	end(async, cf_request_result(req));
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
	return cf_mem_range(&async->mem, async->base, async->mem_offset,
			    async->size, &req->addr);
}

/*
 * The stream waits for it, and maybe somebody in the GPU driver for the stream.
 * What is in host memory then needs threads that he does not keep waiting.
 */
static int begin_it(struct engine_req *req)
{
	return req->gpu == ENGINE_HOST ? engine_submit_apart(req) :
					 engine_submit(&req, 1);
}

/* By the GPU driver: the stream has come to the request. */
static void start(void *arg)
{
	struct async *async = arg;
	bool wait = async->must_wait;
	CUfileOpError err;
	int ret;

	if (!engine_begin(&async->req))
		return;
	err = prepare(async);
	async->began = cf_stats_begin();
	if (err) {
		refuse(async, err);
	} else {
		ret = begin_it(&async->req);
		if (ret) {
			cf_stats_refused(async->req.write);
			end(async, cf_refused(ret));
		}
	}
	if (!wait)
		return;
	pthread_mutex_lock(&lock);
	while (!async->ended)
		pthread_cond_wait(&progress, &lock);
	pthread_mutex_unlock(&lock);
	free(async);
}

static bool wants_words(void)
{
	bool bypass;

	cf_lock();
	bypass = cf_config()->flag[CUFILE_PARAM_STREAM_MEMOPS_BYPASS];
	cf_unlock();
	return !bypass;
}

/* By the engine, in the same place; an error need not be more than that. */
static int begin(struct engine_req *req)
{
	struct async *async = req->user;

	async->began = cf_stats_begin();
	async->err = prepare(async);
	if (!async->err && async->size > async->most)
		async->err = CU_FILE_INVALID_VALUE;
	return async->err ? -EINVAL : 0;
}

/* ------------------------------------------- started without the driver */

/* All of these under the stream's mutex. */

static int get_word(const struct gpu_driver *driver, struct stream *stream)
{
	int ret;

	if (stream->word)
		return 0;
	ret = driver->streams->word_get(&stream->word);
	if (ret)
		stream->word = NULL;
	else
		stream->last = *stream->word;
	return ret;
}

/*
 * Gives the stream its word and the request its number.  What the stream can't
 * look at now it may look at the next time.
 */
static int number(const struct gpu_driver *driver, CUstream handle,
		  struct async *async, bool words)
{
	struct stream *stream = async->stream;
	int ret = words ? get_word(driver, stream) : -ENOSYS;

	if (!ret)
		ret = driver->streams->word_show(handle, stream->word);
	if (ret == -EOPNOTSUPP)
		return ret;
	async->word = ret ? NULL : stream->word;
	async->number = ++stream->last;
	async->must_wait = !async->word;
	return 0;
}

/* Until its end has set it, also when its GPU is reset meanwhile. */
static void wait_for_word(const uint32_t *word, uint32_t value)
{
	pthread_mutex_lock(&lock);
	while ((int32_t)(__atomic_load_n(word, __ATOMIC_ACQUIRE) - value) < 0) {
		if (!wait_a_while(&progress, &lock))
			continue;
		pthread_mutex_unlock(&lock);
		engine_look_after();
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * When the call is in and the wait can't follow, this thread waits instead: the
 * request is under way.
 */
static CUfileError_t put(const struct gpu_driver *driver, CUstream handle,
			 struct async *async, bool words)
{
	uint32_t *word, value;
	bool wait;
	int ret = number(driver, handle, async, words);

	if (ret)
		return stream_error(driver, ret);
	word = async->word;
	value = async->number;
	wait = !async->must_wait;
	engine_await(&async->req);
	ret = driver->streams->call(handle, start, async);
	/* It has ended meanwhile, or is not in. */
	if (ret && engine_begin(&async->req))
		return stream_error(driver, ret);
	if (!ret && wait && driver->streams->wait(handle, word, value))
		wait_for_word(word, value);
	return cf_error(CU_FILE_SUCCESS);
}

/* Puts the request into the stream. */
static CUfileError_t enqueue(const struct gpu_driver *driver, CUstream handle,
			     struct async *async)
{
	struct stream *stream = async->stream;
	bool words = wants_words();
	CUfileError_t ret;

	pthread_mutex_lock(&stream->putting);
	ret = put(driver, handle, async, words);
	pthread_mutex_unlock(&stream->putting);
	return ret;
}

/* False: the offset or the size may be another when the stream comes to it. */
static bool is_fixed(const struct async *async)
{
	const unsigned int both = CU_FILE_STREAM_FIXED_BUF_OFFSET |
				  CU_FILE_STREAM_FIXED_FILE_SIZE;

	return (async->flags & both) == both;
}

/* False: it could name what is not in its region, or has none. */
static bool bind_all(struct async *async)
{
	uint64_t first = async->mem.first, end = async->mem.end;

	if (engine_bind(&async->req, &first, &end))
		return false;
	if (!is_fixed(async) &&
	    (first > async->mem.first || end < async->mem.end)) {
		engine_unbind(&async->req);
		return false;
	}
	async->mem.first = first;
	async->mem.end = end;
	return true;
}

/*
 * The module will do it alone.  The arguments may not be known yet, but whose memory
 * it is; what they are now says in which of its regions.
 */
static bool leave_to_module(struct async *async)
{
	struct engine_req *req = &async->req;

	req->gpu = async->mem.gpu;
	req->no_bounce = req->gpu != ENGINE_HOST && !cf_may_bounce();
	req->length = async->size;
	if (!async->size || cf_mem_range(&async->mem, async->base,
					 async->mem_offset, async->size,
					 &req->addr)) {
		req->addr = (uintptr_t)async->base;
		req->length = 1;
	}
	return bind_all(async);
}

/* ---------------------------------------------------- what needs the driver */

/* False: not that way, and nothing has happened. */
static bool enqueue_all(CUstream handle, struct async *async)
{
	struct engine_req *req = &async->req;
	struct engine_place place = {
		.stream = handle,
		.first = async->mem.first,
		.last = async->mem.end - 1,
		.fixed = is_fixed(async),
		.begin = begin,
	};

	if (!wants_words() || !cf_may_bounce() || async->size > SSIZE_MAX)
		return false;
	req->addr = (uintptr_t)async->base + (uint64_t)async->mem_offset;
	req->length = async->size;
	async->most = async->size;
	return !engine_enqueue(req, &place);
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

/* In the stream's own context. */
static CUfileError_t submit_inside(const struct gpu_driver *driver,
				   struct async *async, CUstream handle,
				   bool write)
{
	struct cf_handle *file;
	CUfileError_t ret = cf_error(cf_mem_find(async->base, &async->mem));

	if (ret.err)
		return ret;
	file = cf_slot_get(&cf_handles, async->fh);
	if (!file)
		return cf_error(CU_FILE_HANDLE_NOT_REGISTERED);
	cf_request(&async->req, file, write);
	async->req.complete = complete;
	async->req.user = async;
	fix(async, 0);
	cf_hold(1);
	if (leave_to_module(async) || !driver->streams->sync)
		ret = enqueue(driver, handle, async);
	else if (!enqueue_all(handle, async))
		ret = run_here(driver, handle, async);
	if (ret.err) {
		engine_unbind(&async->req);
		cf_slot_put(&cf_handles, async->fh);
		cf_leave();
	}
	return ret;
}

static CUfileError_t submit(struct async *async, CUstream handle, bool write)
{
	const struct gpu_driver *driver;
	CUfileError_t ret = gpu_of(&driver);
	int err;

	if (ret.err)
		return ret;
	ret = get(driver, handle, &async->stream, &async->flags);
	if (ret.err)
		return ret;
	err = driver->streams->enter(handle);
	if (err)
		return stream_error(driver, err);
	ret = submit_inside(driver, async, handle, write);
	driver->streams->leave();
	return ret;
}

static void tell(const struct async *template, CUstream handle, bool write,
		 CUfileError_t ret)
{
	cf_tell_call(write ? "cuFileWriteAsync" : "cuFileReadAsync", ret.err,
		     "handle %p, memory %p, size %p, offsets %p %p, result %p, stream %p; GPU driver's error %d",
		     template->fh, template->base, (void *)template->size_p,
		     (void *)template->file_offset_p,
		     (void *)template->mem_offset_p, (void *)template->bytes_p,
		     (void *)handle, ret.cu_err);
}

static bool lacks_any(const struct async *template)
{
	return !template->fh || !template->base || !template->size_p ||
	       !template->file_offset_p || !template->mem_offset_p ||
	       !template->bytes_p;
}

static CUfileError_t asynchronous(const struct async *template, CUstream handle,
				  bool write)
{
	struct async *async;
	CUfileError_t ret;

	if (lacks_any(template)) {
		tell(template, handle, write, cf_error(CU_FILE_INVALID_VALUE));
		cf_stats_refused(write);
		return cf_error(CU_FILE_INVALID_VALUE);
	}
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
	if (ret.err) {
		tell(template, handle, write, ret);
		cf_stats_refused(write);
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
