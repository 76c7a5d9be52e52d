// SPDX-License-Identifier: MIT
/*
 * AMD's HIP runtime, the part that copies without waiting.  Loaded by gpu_hip.c.
 *
 * A stream of the highest priority that does not wait for the default stream, so
 * that what the application gives the GPU to do is less in our way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gpu_hip.h"

/*
 * hipHostMallocPortable and hipHostMallocCoherent.  Other host memory is up to
 * date after hipStreamSynchronize() and the like only, and we ask events.
 */
#define HOST_PORTABLE_COHERENT	0x40000001U
/* hipStreamNonBlocking */
#define STREAM_NON_BLOCKING	1U
/* hipEventDisableTiming */
#define EVENT_NO_TIMING		2U

#define COPY_CALLS(X)							\
	X(hipHostMalloc, host_alloc,					\
	  (void **host, size_t n, unsigned int flags))			\
	X(hipHostFree, host_free, (void *host))				\
	X(hipDeviceGetStreamPriorityRange, priorities,			\
	  (int *least, int *greatest))					\
	X(hipStreamCreateWithPriority, stream_create,			\
	  (void **stream, unsigned int flags, int priority))		\
	X(hipStreamDestroy, stream_destroy, (void *stream))		\
	X(hipEventCreateWithFlags, event_create,			\
	  (void **event, unsigned int flags))				\
	X(hipEventDestroy, event_destroy, (void *event))		\
	X(hipEventRecord, event_record, (void *event, void *stream))	\
	X(hipEventQuery, event_query, (void *event))			\
	X(hipMemcpyAsync, copy,						\
	  (void *dst, const void *src, size_t n, int kind, void *stream))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	COPY_CALLS(FIELD)
#undef FIELD
} hip;

static bool complete;

struct queue {
	unsigned int index;
	void *stream;
	void *events[GPU_MARKS];
};

void gpu_hip_bind_copies(void *(*symbol)(const char *name))
{
	void *address;

	complete = true;
#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&hip.field, &address, sizeof(address));			\
	complete = complete && address;
	COPY_CALLS(BIND)
#undef BIND
}

/* An address that the driver does not take is the caller's mistake. */
static int to_errno(int result)
{
	return result == HIP_INVALID_VALUE ||
	       result == HIP_INVALID_DEVICE_POINTER ? -EFAULT :
						      gpu_hip_errno(result);
}

static int host_get(unsigned int index, uint64_t length, void **host)
{
	struct gpu_hip_entry entry;
	int ret = complete ? gpu_hip_enter(index, &entry) : -ENOSYS;

	if (ret)
		return ret;
	ret = gpu_hip_errno(hip.host_alloc(host, length,
					   HOST_PORTABLE_COHERENT));
	gpu_hip_leave(&entry);
	return ret;
}

static void host_put(unsigned int index, void *host)
{
	struct gpu_hip_entry entry;

	if (gpu_hip_enter(index, &entry))
		return;
	hip.host_free(host);
	gpu_hip_leave(&entry);
}

static void destroy(struct queue *queue)
{
	for (unsigned int i = 0; i < GPU_MARKS; i++) {
		if (queue->events[i])
			hip.event_destroy(queue->events[i]);
	}
	if (queue->stream)
		hip.stream_destroy(queue->stream);
	free(queue);
}

static int create(struct queue *queue)
{
	int least = 0, greatest = 0;
	int result;

	hip.priorities(&least, &greatest);
	result = hip.stream_create(&queue->stream, STREAM_NON_BLOCKING,
				   greatest);
	for (unsigned int i = 0; !result && i < GPU_MARKS; i++)
		result = hip.event_create(&queue->events[i], EVENT_NO_TIMING);
	return gpu_hip_errno(result);
}

static int queue_open(unsigned int index, void **queue)
{
	struct gpu_hip_entry entry;
	int ret = complete ? gpu_hip_enter(index, &entry) : -ENOSYS;
	struct queue *new;

	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (new) {
		new->index = index;
		ret = create(new);
	} else {
		ret = -ENOMEM;
	}
	if (ret && new)
		destroy(new);
	gpu_hip_leave(&entry);
	if (!ret)
		*queue = new;
	return ret;
}

static void queue_close(void *opaque)
{
	struct queue *queue = opaque;
	struct gpu_hip_entry entry;

	if (gpu_hip_enter(queue->index, &entry)) {
		free(queue);
		return;
	}
	destroy(queue);
	gpu_hip_leave(&entry);
}

static int copy_one(const struct queue *queue, const struct gpu_copy *copy,
		    bool out)
{
	void *gpu = (void *)(uintptr_t)copy->gpu;

	return out ? hip.copy(copy->host, gpu, copy->length,
			      HIP_DEVICE_TO_HOST, queue->stream) :
		     hip.copy(gpu, copy->host, copy->length,
			      HIP_HOST_TO_DEVICE, queue->stream);
}

static int queue_start(void *opaque, const struct gpu_copy *copies,
		       unsigned int nr, bool out, unsigned int mark)
{
	struct queue *queue = opaque;
	struct gpu_hip_entry entry;
	int ret = gpu_hip_enter(queue->index, &entry);
	int record;

	if (ret)
		return ret;
	for (unsigned int i = 0; !ret && i < nr; i++)
		ret = to_errno(copy_one(queue, &copies[i], out));
	/* Also after an error: some of them may be under way. */
	record = to_errno(hip.event_record(queue->events[mark],
					   queue->stream));
	gpu_hip_leave(&entry);
	return ret ? ret : record;
}

static int queue_poll(void *opaque, unsigned int mark)
{
	struct queue *queue = opaque;
	struct gpu_hip_entry entry;
	int ret = gpu_hip_enter(queue->index, &entry);
	int result;

	if (ret)
		return ret;
	result = hip.event_query(queue->events[mark]);
	gpu_hip_leave(&entry);
	if (result == HIP_NOT_READY)
		return 0;
	ret = to_errno(result);
	return ret ? ret : 1;
}

const struct gpu_copies gpu_hip_copies = {
	.host_get = host_get,
	.host_put = host_put,
	.open = queue_open,
	.close = queue_close,
	.start = queue_start,
	.poll = queue_poll,
};
