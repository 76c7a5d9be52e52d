// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda: streams and events.  A stream is a queue with a thread
 * that runs what is in it.  Stream 0 waits for all streams of its context that
 * were not made with CU_STREAM_NON_BLOCKING, and they wait for it, so that
 * whoever forgets this hangs here as he would on a GPU.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lab.h"

struct CUstream_st {
	struct CUstream_st *next;	/* all; one that has ended stays */
	CUcontext ctx;
	unsigned int flags;
	int priority;
	bool started;		/* has a thread */
	bool ended;		/* destroyed: the thread ends when all is done */
	struct lab_op *first;
	struct lab_op *last;
	unsigned long long queued;	/* operations ever */
	unsigned long long done;
};

struct CUevent_st {
	struct lab_mark mark;	/* stream NULL: never recorded */
	unsigned int flags;
	unsigned int users;
	struct timespec time;
};

enum lab_op_kind {
	LAB_COPY,
	LAB_SET,
	LAB_CALL,
	LAB_WAIT_VALUE,
	LAB_WRITE_VALUE,
	LAB_EVENT,
};

struct lab_op {
	struct lab_op *next;
	enum lab_op_kind kind;
	struct lab_view to;
	struct lab_view from;
	size_t size;
	uint32_t value;
	unsigned int flags;
	CUhostFn fn;
	void *data;
	CUevent event;
	size_t nr_marks;
	struct lab_mark *marks;	/* what must be done before */
};

static CUstream lab_streams;
/* Something was done, or queued. */
static pthread_cond_t lab_progress = PTHREAD_COND_INITIALIZER;

static void lab_wait_mark(const struct lab_mark *mark)
{
	while (mark->stream->done < mark->at)
		pthread_cond_wait(&lab_progress, &lab_lock);
}

static bool lab_value_reached(const struct lab_op *op)
{
	uint32_t now = __atomic_load_n((uint32_t *)op->to.cpu, __ATOMIC_ACQUIRE);

	switch (op->flags) {
	case CU_STREAM_WAIT_VALUE_GEQ:
		return (int32_t)(now - op->value) >= 0;
	case CU_STREAM_WAIT_VALUE_EQ:
		return now == op->value;
	case CU_STREAM_WAIT_VALUE_AND:
		return now & op->value;
	default:
		return ~(now | op->value);
	}
}

/* Without the lock. */
static void lab_op_run(struct lab_op *op)
{
	/* A GPU looks at the word again and again, and so does this. */
	const struct timespec pause = { .tv_nsec = 20000 };

	switch (op->kind) {
	case LAB_COPY:
		memmove(op->to.cpu, op->from.cpu, op->size);
		break;
	case LAB_SET:
		if (op->size)
			memset(op->to.cpu, (int)op->value, op->size);
		break;
	case LAB_CALL:
		op->fn(op->data);
		break;
	case LAB_WAIT_VALUE:
		while (!lab_value_reached(op))
			nanosleep(&pause, NULL);
		break;
	case LAB_WRITE_VALUE:
		__atomic_store_n((uint32_t *)op->to.cpu, op->value,
				 __ATOMIC_RELEASE);
		break;
	case LAB_EVENT:
		clock_gettime(CLOCK_MONOTONIC, &op->event->time);
		break;
	}
}

static void lab_event_put(CUevent event)
{
	if (event && !--event->users)
		free(event);
}

static void lab_op_free(struct lab_op *op)
{
	lab_view_put(&op->to);
	lab_view_put(&op->from);
	lab_event_put(op->event);
	free(op->marks);
	free(op);
}

static void *lab_stream_thread(void *arg)
{
	CUstream stream = arg;
	struct lab_op *op;
	size_t i;

	pthread_mutex_lock(&lab_lock);
	for (;;) {
		op = stream->first;
		if (!op) {
			if (stream->ended)
				break;
			pthread_cond_wait(&lab_progress, &lab_lock);
			continue;
		}
		for (i = 0; i < op->nr_marks; i++)
			lab_wait_mark(&op->marks[i]);
		pthread_mutex_unlock(&lab_lock);
		lab_op_run(op);
		pthread_mutex_lock(&lab_lock);
		stream->first = op->next;
		lab_op_free(op);
		stream->done++;
		pthread_cond_broadcast(&lab_progress);
	}
	stream->started = false;
	pthread_mutex_unlock(&lab_lock);
	return NULL;
}

static CUresult lab_stream_start(CUstream stream)
{
	pthread_t thread;

	if (stream->started)
		return CUDA_SUCCESS;
	if (pthread_create(&thread, NULL, lab_stream_thread, stream))
		return CUDA_ERROR_OUT_OF_MEMORY;
	pthread_detach(thread);
	stream->started = true;
	return CUDA_SUCCESS;
}

static CUstream lab_stream_new(CUcontext ctx, unsigned int flags)
{
	CUstream stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->ctx = ctx;
	stream->flags = flags;
	stream->next = lab_streams;
	lab_streams = stream;
	return stream;
}

CUresult lab_stream_get(CUstream handle, CUstream *stream)
{
	CUcontext ctx;
	CUresult ret = lab_current(&ctx);
	CUstream s;

	if (ret)
		return ret;
	if (handle > CU_STREAM_PER_THREAD) {
		for (s = lab_streams; s; s = s->next)
			if (s == handle && !s->ended)
				break;
		*stream = s;
		return s ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
	}
	if (!ctx->legacy)
		ctx->legacy = lab_stream_new(ctx, 0);
	*stream = ctx->legacy;
	return *stream ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

struct lab_mark lab_mark_now(CUstream stream)
{
	return (struct lab_mark){ stream, stream->queued };
}

bool lab_mark_done(const struct lab_mark *mark)
{
	return !mark->stream || mark->stream->done >= mark->at;
}

CUdevice lab_stream_device(CUstream stream)
{
	return stream->ctx->device;
}

static bool lab_stream_follows(CUstream later, CUstream before)
{
	CUstream legacy = later->ctx->legacy;

	if (later == before || later->ctx != before->ctx ||
	    ((later->flags | before->flags) & CU_STREAM_NON_BLOCKING))
		return false;
	return later == legacy || before == legacy;
}

/* What stream 0 and the others owe each other. */
static CUresult lab_op_mark(struct lab_op *op, CUstream stream)
{
	size_t nr = 0;
	CUstream s;

	for (s = lab_streams; s; s = s->next)
		nr += lab_stream_follows(stream, s) && s->done < s->queued;
	if (!nr)
		return CUDA_SUCCESS;
	op->marks = calloc(nr + 1, sizeof(*op->marks));
	if (!op->marks)
		return CUDA_ERROR_OUT_OF_MEMORY;
	for (s = lab_streams; s; s = s->next) {
		if (lab_stream_follows(stream, s) && s->done < s->queued)
			op->marks[op->nr_marks++] =
				(struct lab_mark){ s, s->queued };
	}
	return CUDA_SUCCESS;
}

/* Takes @template; frees what it holds when that fails. */
static CUresult lab_queue(CUstream stream, const struct lab_op *template)
{
	struct lab_op *op = malloc(sizeof(*op));
	CUresult ret = CUDA_ERROR_OUT_OF_MEMORY;

	if (!op) {
		struct lab_op drop = *template;

		lab_view_put(&drop.to);
		lab_view_put(&drop.from);
		lab_event_put(drop.event);
		return ret;
	}
	*op = *template;
	if (!op->marks)
		ret = lab_op_mark(op, stream);
	else
		ret = CUDA_SUCCESS;
	if (!ret)
		ret = lab_stream_start(stream);
	if (ret) {
		lab_op_free(op);
		return ret;
	}
	if (stream->first)
		stream->last->next = op;
	else
		stream->first = op;
	stream->last = op;
	stream->queued++;
	pthread_cond_broadcast(&lab_progress);
	return CUDA_SUCCESS;
}

void lab_stream_wait_legacy(CUcontext ctx)
{
	CUstream s;

	for (s = lab_streams; s; s = s->next) {
		struct lab_mark mark = { s, s->queued };

		if (s->ctx == ctx && !(s->flags & CU_STREAM_NON_BLOCKING))
			lab_wait_mark(&mark);
	}
}

static void lab_stream_wait_all(CUcontext ctx)
{
	CUstream s;

	for (s = lab_streams; s; s = s->next) {
		struct lab_mark mark = { s, s->queued };

		if (s->ctx == ctx)
			lab_wait_mark(&mark);
	}
}

void lab_stream_end(CUcontext ctx)
{
	CUstream s;

	lab_stream_wait_all(ctx);
	for (s = lab_streams; s; s = s->next)
		if (s->ctx == ctx)
			s->ended = true;
	ctx->legacy = NULL;
	pthread_cond_broadcast(&lab_progress);
}

LAB_API CUresult cuCtxSynchronize(void)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	ret = lab_current(&ctx);
	if (!ret) {
		lab_stream_wait_all(ctx);
		lab_pool_sync();
	}
	return lab_leave(ret);
}

LAB_API CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned int flags,
					    int priority)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	if (!stream || flags > CU_STREAM_NON_BLOCKING)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (ret)
		return lab_leave(ret);
	*stream = lab_stream_new(ctx, flags);
	if (!*stream)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	if (priority > LAB_PRIORITY_LEAST)
		priority = LAB_PRIORITY_LEAST;
	if (priority < LAB_PRIORITY_GREATEST)
		priority = LAB_PRIORITY_GREATEST;
	(*stream)->priority = priority;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuStreamCreate(CUstream *stream, unsigned int flags)
{
	return cuStreamCreateWithPriority(stream, flags, 0);
}

/* Work that is queued is still done. */
LAB_API CUresult cuStreamDestroy_v2(CUstream handle)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = handle > CU_STREAM_PER_THREAD ? lab_stream_get(handle, &stream) :
					      CUDA_ERROR_INVALID_HANDLE;
	if (ret)
		return lab_leave(ret);
	stream->ended = true;
	pthread_cond_broadcast(&lab_progress);
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuStreamDestroy);

LAB_API CUresult cuStreamSynchronize(CUstream handle)
{
	CUresult ret = lab_enter();
	struct lab_mark mark;

	if (ret)
		return ret;
	ret = lab_stream_get(handle, &mark.stream);
	if (ret)
		return lab_leave(ret);
	mark.at = mark.stream->queued;
	if (handle > CU_STREAM_PER_THREAD)
		lab_wait_mark(&mark);
	else
		lab_stream_wait_legacy(mark.stream->ctx);
	lab_pool_sync();
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuStreamQuery(CUstream handle)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = lab_stream_get(handle, &stream);
	if (!ret && stream->done < stream->queued)
		ret = CUDA_ERROR_NOT_READY;
	return lab_leave(ret);
}

LAB_API CUresult cuStreamGetCtx(CUstream handle, CUcontext *ctx)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = ctx ? lab_stream_get(handle, &stream) : CUDA_ERROR_INVALID_VALUE;
	if (!ret)
		*ctx = stream->ctx;
	return lab_leave(ret);
}

LAB_API CUresult cuStreamGetFlags(CUstream handle, unsigned int *flags)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = flags ? lab_stream_get(handle, &stream) : CUDA_ERROR_INVALID_VALUE;
	if (!ret)
		*flags = stream->flags;
	return lab_leave(ret);
}

LAB_API CUresult cuStreamGetPriority(CUstream handle, int *priority)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = priority ? lab_stream_get(handle, &stream) :
			 CUDA_ERROR_INVALID_VALUE;
	if (!ret)
		*priority = stream->priority;
	return lab_leave(ret);
}

/* There are no graphs here. */
LAB_API CUresult cuStreamIsCapturing(CUstream handle, int *status)
{
	unsigned int flags;
	CUresult ret = cuStreamGetFlags(handle, &flags);

	if (ret || !status)
		return ret ? ret : CUDA_ERROR_INVALID_VALUE;
	*status = 0;
	return CUDA_SUCCESS;
}

LAB_API CUresult cuLaunchHostFunc(CUstream handle, CUhostFn fn, void *data)
{
	struct lab_op op = { .kind = LAB_CALL, .fn = fn, .data = data };
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = fn ? lab_stream_get(handle, &stream) : CUDA_ERROR_INVALID_VALUE;
	return lab_leave(ret ? ret : lab_queue(stream, &op));
}

static CUresult lab_queue_value(CUstream handle, CUdeviceptr addr,
				struct lab_op *op)
{
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	if (addr % 4 || op->flags > CU_STREAM_WAIT_VALUE_NOR)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_stream_get(handle, &stream);
	if (!ret)
		ret = lab_view_get(addr, 4, lab_host_find(addr, 4), &op->to);
	return lab_leave(ret ? ret : lab_queue(stream, op));
}

LAB_API CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr addr,
					uint32_t value, unsigned int flags)
{
	struct lab_op op = { .kind = LAB_WAIT_VALUE, .value = value,
			     .flags = flags };

	return lab_queue_value(stream, addr, &op);
}
LAB_ALIAS(cuStreamWaitValue32);

LAB_API CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr addr,
					 uint32_t value, unsigned int flags)
{
	struct lab_op op = { .kind = LAB_WRITE_VALUE, .value = value,
			     .flags = flags };

	return lab_queue_value(stream, addr, &op);
}
LAB_ALIAS(cuStreamWriteValue32);

static CUresult lab_queue_copy(CUstream handle, CUdeviceptr dst, bool any_dst,
			       CUdeviceptr src, bool any_src, size_t size)
{
	struct lab_op op = { .kind = LAB_COPY, .size = size };
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = lab_stream_get(handle, &stream);
	if (ret || !size)
		return lab_leave(ret);
	if (!dst || !src)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_view_get(dst, size, any_dst, &op.to);
	if (ret)
		return lab_leave(ret);
	ret = lab_view_get(src, size, any_src, &op.from);
	if (ret)
		lab_view_put(&op.to);
	return lab_leave(ret ? ret : lab_queue(stream, &op));
}

LAB_API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src,
				      size_t size, CUstream stream)
{
	return lab_queue_copy(stream, dst, false, (uintptr_t)src, true, size);
}
LAB_ALIAS(cuMemcpyHtoDAsync);

LAB_API CUresult cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t size,
				      CUstream stream)
{
	return lab_queue_copy(stream, (uintptr_t)dst, true, src, false, size);
}
LAB_ALIAS(cuMemcpyDtoHAsync);

LAB_API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src,
				      size_t size, CUstream stream)
{
	return lab_queue_copy(stream, dst, false, src, false, size);
}
LAB_ALIAS(cuMemcpyDtoDAsync);

LAB_API CUresult cuMemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t size,
			       CUstream stream)
{
	return lab_queue_copy(stream, dst, true, src, true, size);
}

LAB_API CUresult cuMemcpyBatchAsync_v2(CUdeviceptr *dsts, CUdeviceptr *srcs,
				       size_t *sizes, size_t count,
				       void *attributes, size_t *first,
				       size_t nr_attributes, CUstream stream)
{
	CUresult ret = CUDA_SUCCESS;
	size_t i;

	if (!dsts || !srcs || !sizes || !count || !attributes || !first ||
	    !nr_attributes || !stream)
		return CUDA_ERROR_INVALID_VALUE;
	for (i = 0; !ret && i < count; i++)
		ret = lab_queue_copy(stream, dsts[i], true, srcs[i], true,
				     sizes[i]);
	return ret;
}

LAB_API CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value,
				 size_t size, CUstream handle)
{
	struct lab_op op = { .kind = LAB_SET, .size = size, .value = value };
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = lab_stream_get(handle, &stream);
	if (ret || !size)
		return lab_leave(ret);
	ret = lab_view_get(dst, size, false, &op.to);
	return lab_leave(ret ? ret : lab_queue(stream, &op));
}

LAB_API CUresult cuEventCreate(CUevent *event, unsigned int flags)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!event)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*event = calloc(1, sizeof(**event));
	if (!*event)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	(*event)->users = 1;
	(*event)->flags = flags;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuEventDestroy_v2(CUevent event)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!event)
		return lab_leave(CUDA_ERROR_INVALID_HANDLE);
	lab_event_put(event);
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuEventDestroy);

LAB_API CUresult cuEventRecord(CUevent event, CUstream handle)
{
	struct lab_op op = { .kind = LAB_EVENT, .event = event };
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	ret = event ? lab_stream_get(handle, &stream) :
		      CUDA_ERROR_INVALID_HANDLE;
	if (ret)
		return lab_leave(ret);
	event->users++;
	ret = lab_queue(stream, &op);
	if (!ret)
		event->mark = (struct lab_mark){ stream, stream->queued };
	return lab_leave(ret);
}

static bool lab_event_done(CUevent event)
{
	return lab_mark_done(&event->mark);
}

LAB_API CUresult cuEventQuery(CUevent event)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!event)
		return lab_leave(CUDA_ERROR_INVALID_HANDLE);
	return lab_leave(lab_event_done(event) ? CUDA_SUCCESS :
						 CUDA_ERROR_NOT_READY);
}

LAB_API CUresult cuEventSynchronize(CUevent event)
{
	CUresult ret = lab_enter();
	struct lab_mark mark;

	if (ret)
		return ret;
	if (!event)
		return lab_leave(CUDA_ERROR_INVALID_HANDLE);
	mark = event->mark;
	if (mark.stream)
		lab_wait_mark(&mark);
	lab_pool_sync();
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!ms || !start || !end || !start->mark.stream || !end->mark.stream)
		return lab_leave(CUDA_ERROR_INVALID_HANDLE);
	if (!lab_event_done(start) || !lab_event_done(end))
		return lab_leave(CUDA_ERROR_NOT_READY);
	*ms = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 +
		      (double)(end->time.tv_nsec - start->time.tv_nsec) / 1e6);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuStreamWaitEvent(CUstream handle, CUevent event,
				   unsigned int flags)
{
	struct lab_op op = { .kind = LAB_SET };
	CUresult ret = lab_enter();
	CUstream stream;

	if (ret)
		return ret;
	if (!event || flags > 1)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_stream_get(handle, &stream);
	if (ret || lab_event_done(event) || event->mark.stream == stream)
		return lab_leave(ret);
	op.marks = malloc(sizeof(*op.marks));
	if (!op.marks)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	op.marks[0] = event->mark;
	op.nr_marks = 1;
	return lab_leave(lab_queue(stream, &op));
}
