// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that copies without waiting.  Loaded by
 * gpu_cuda.c.
 *
 * A stream of the highest priority: streams share hardware queues with others
 * of their priority only, so that one of the application's that waits for us
 * is not in our way.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu.h"

#define CU_INVALID_VALUE	1
#define CU_INVALID_CONTEXT	201
#define CU_NOT_READY		600
#define CU_CONTEXT_DESTROYED	709
#define CU_NOT_REGISTERED	713
#define HOST_PORTABLE		1U
#define HOST_PORTABLE_MAPPED	3U
#define STREAM_NON_BLOCKING	1U
#define EVENT_NO_TIMING		2U
/* enum CUmemcpySrcAccessOrder: whenever the driver likes. */
#define ACCESS_ANY		3
/* Copies that go to the driver at once, and how long the longest may be. */
#define GROUP			64U
#define GROUP_LENGTH		(64U << 10)

/* The largest base page, which all others divide; and a transparent huge page, mostly. */
#define PAGE_MOST		(64ULL << 10)
#define HUGE			(2ULL << 20)
/* Linux 5.14 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/* CUmemcpyAttributes of CUDA 12.8: order, two locations, flags. */
struct copy_attributes {
	int order;
	int src_type;
	int src_id;
	int dst_type;
	int dst_id;
	unsigned int flags;
};

/* The first group must be there. */
#define COPY_CALLS(X)							\
	X(cuMemHostAlloc, host_alloc, (void **host, size_t n, unsigned int flags)) \
	X(cuMemFreeHost, host_free, (void *host))			\
	X(cuStreamCreateWithPriority, stream_create,			\
	  (void **stream, unsigned int flags, int priority))		\
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuEventCreate, event_create, (void **event, unsigned int flags)) \
	X(cuEventDestroy_v2, event_destroy, (void *event))		\
	X(cuEventRecord, event_record, (void *event, void *stream))	\
	X(cuEventQuery, event_query, (void *event))			\
	X(cuMemcpyHtoDAsync_v2, copy_in,				\
	  (uint64_t dst, const void *src, size_t n, void *stream))	\
	X(cuMemcpyDtoHAsync_v2, copy_out,				\
	  (void *dst, uint64_t src, size_t n, void *stream))

#define MAYBE_CALLS(X)							\
	X(cuMemHostRegister_v2, host_register,				\
	  (void *host, size_t n, unsigned int flags))			\
	X(cuMemHostUnregister, host_unregister, (void *host))		\
	X(cuMemHostGetDevicePointer_v2, host_device_pointer,		\
	  (uint64_t *addr, void *host, unsigned int flags))		\
	X(cuCtxGetStreamPriorityRange, priorities, (int *least, int *greatest)) \
	X(cuMemcpyBatchAsync_v2, copy_batch,				\
	  (uint64_t *dsts, uint64_t *srcs, size_t *sizes, size_t nr,	\
	   struct copy_attributes *attrs, size_t *first, size_t nr_attrs, \
	   void *stream))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	COPY_CALLS(FIELD)
	MAYBE_CALLS(FIELD)
#undef FIELD
} cu;

static bool complete;

/* @context: see gpu_copies.context */
struct queue {
	unsigned int index;
	uint64_t context;
	void *stream;
	void *events[GPU_MARKS];
};

bool gpu_cuda_bind_copies(void *(*symbol)(const char *name))
{
	void *address;

	complete = true;
#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));
#define BIND_NEEDED(name, field, params)				\
	BIND(name, field, params)					\
	complete = complete && address;
	COPY_CALLS(BIND_NEEDED)
	MAYBE_CALLS(BIND)
#undef BIND_NEEDED
#undef BIND
	return complete;
}

/* An address that the driver does not take is the caller's mistake. */
static int to_errno(int result)
{
	return result == CU_INVALID_VALUE ? -EFAULT : gpu_cuda_errno(result);
}

/*
 * Pinned memory that is ours rather than the driver's, and whose it was when it was
 * registered.
 */
struct pages {
	void *host;
	uint64_t length;
	unsigned int index;
	uint64_t context;
	struct pages *next;
};

static struct {
	pthread_mutex_t lock;
	struct pages *all;	/* under @lock */
} ours = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * As many huge pages as fit, and others for the rest.  Whoever locks all of the
 * process's memory gets pages as soon as they can be used, which is after it is known
 * of what kind.  No child gets them: see get_boards() of gpu_cuda_carry.c.
 */
static void *map_huge(uint64_t length)
{
	char *all = mmap(NULL, length + HUGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)all % HUGE;
	if (before)
		munmap(all, before);
	munmap(all + before + length, HUGE - before);
	all += before;
	if (madvise(all, length / HUGE * HUGE, MADV_HUGEPAGE) ||
	    madvise(all, length, MADV_DONTFORK) ||
	    mprotect(all, length, PROT_READ | PROT_WRITE)) {
		munmap(all, length);
		return NULL;
	}
	madvise(all, length, MADV_DONTDUMP);
	/* Otherwise the driver does, which lets nobody in meanwhile. */
	madvise(all, length, MADV_POPULATE_WRITE);
	return all;
}

/* Has the driver nothing to let go of, or let go? */
bool gpu_cuda_unregister(unsigned int index, uint64_t context, void *host)
{
	uint64_t now = gpu_cuda_context(index);
	int ret;

	/* After a reset it knows nothing of what was before. */
	if (now && now != context)
		return true;
	if (gpu_cuda_enter(index))
		return false;
	ret = cu.host_unregister(host);
	gpu_cuda_leave();
	return !ret || ret == CU_NOT_REGISTERED || ret == CU_CONTEXT_DESTROYED ||
	       ret == CU_INVALID_CONTEXT;
}

/*
 * The driver must not know the address of memory that is no more: it would take
 * what comes there next for that.  What it can't let go of stays.
 */
static void unpin(struct pages *pages)
{
	if (gpu_cuda_unregister(pages->index, pages->context, pages->host))
		munmap(pages->host, pages->length);
	free(pages);
}

/*
 * Of huge pages, which the driver does not promise: a drive's request is a list of
 * pieces of memory, and with pages of 4 KiB that list may be what limits it.  One
 * virtual disk reads 1.8 GB/s into huge pages and 0.75 into small ones, where 1 MiB
 * has more pieces than its queue has places for two.  The GPU is entered, and has to
 * know them by the CPU's address, as all that is given to it.
 */
static bool get_ours(unsigned int index, uint64_t length, void **host)
{
	struct pages *new;
	uint64_t addr;

	if (length < HUGE || !cu.host_register || !cu.host_unregister ||
	    !cu.host_device_pointer)
		return false;
	new = malloc(sizeof(*new));
	if (!new)
		return false;
	new->index = index;
	new->context = gpu_cuda_context(index);
	new->length = (length + PAGE_MOST - 1) / PAGE_MOST * PAGE_MOST;
	new->host = map_huge(new->length);
	if (!new->host ||
	    cu.host_register(new->host, new->length, HOST_PORTABLE_MAPPED)) {
		if (new->host)
			munmap(new->host, new->length);
		free(new);
		return false;
	}
	if (cu.host_device_pointer(&addr, new->host, 0) ||
	    addr != (uintptr_t)new->host) {
		unpin(new);
		return false;
	}
	*host = new->host;
	pthread_mutex_lock(&ours.lock);
	new->next = ours.all;
	ours.all = new;
	pthread_mutex_unlock(&ours.lock);
	return true;
}

/* NULL: it is the driver's. */
static struct pages *take_ours(const void *host)
{
	struct pages **at = &ours.all, *pages;

	pthread_mutex_lock(&ours.lock);
	while (*at && (*at)->host != host)
		at = &(*at)->next;
	pages = *at;
	if (pages)
		*at = pages->next;
	pthread_mutex_unlock(&ours.lock);
	return pages;
}

static int host_get(unsigned int index, uint64_t length, void **host)
{
	int ret = complete ? gpu_cuda_enter(index) : -ENOSYS;

	if (ret)
		return ret;
	if (!get_ours(index, length, host))
		ret = gpu_cuda_errno(cu.host_alloc(host, length,
						   HOST_PORTABLE));
	gpu_cuda_leave();
	return ret;
}

/* The driver has taken what was its own. */
static void host_lost(void *host)
{
	struct pages *pages = take_ours(host);

	if (pages)
		unpin(pages);
}

static void host_put(unsigned int index, void *host)
{
	struct pages *pages = take_ours(host);

	if (pages) {
		unpin(pages);
	} else if (!gpu_cuda_enter(index)) {
		cu.host_free(host);
		gpu_cuda_leave();
	}
}

static void destroy(struct queue *queue)
{
	for (unsigned int i = 0; i < GPU_MARKS; i++) {
		if (queue->events[i])
			cu.event_destroy(queue->events[i]);
	}
	if (queue->stream)
		cu.stream_destroy(queue->stream);
	free(queue);
}

static int create(struct queue *queue)
{
	int least = 0, greatest = 0;
	int ret;

	if (cu.priorities)
		cu.priorities(&least, &greatest);
	ret = cu.stream_create(&queue->stream, STREAM_NON_BLOCKING, greatest);
	for (unsigned int i = 0; !ret && i < GPU_MARKS; i++)
		ret = cu.event_create(&queue->events[i], EVENT_NO_TIMING);
	return gpu_cuda_errno(ret);
}

static int queue_open(unsigned int index, void **queue)
{
	int ret = complete ? gpu_cuda_enter(index) : -ENOSYS;
	struct queue *new;

	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (new) {
		new->index = index;
		new->context = gpu_cuda_context(index);
		ret = create(new);
	} else {
		ret = -ENOMEM;
	}
	if (ret && new)
		destroy(new);
	gpu_cuda_leave();
	if (!ret)
		*queue = new;
	return ret;
}

static void queue_close(void *opaque)
{
	struct queue *queue = opaque;

	/* The driver faults on streams of a context that is no more. */
	if (queue->context != gpu_cuda_context(queue->index) ||
	    gpu_cuda_enter(queue->index)) {
		free(queue);
		return;
	}
	destroy(queue);
	gpu_cuda_leave();
}

static int copy_one(struct queue *queue, const struct gpu_copy *copy, bool out)
{
	return out ? cu.copy_out(copy->host, copy->gpu, copy->length,
				 queue->stream) :
		     cu.copy_in(copy->gpu, copy->host, copy->length,
				queue->stream);
}

/*
 * The copy engine pauses between two copies (2.7 us on an H200), less between
 * small ones of one call.  Large ones are slower that way: 8 of 256 KiB took
 * 94 us instead of 60.
 */
static int copy_group(struct queue *queue, const struct gpu_copy *copies,
		      unsigned int nr, bool out)
{
	struct copy_attributes attributes = { .order = ACCESS_ANY };
	uint64_t gpu[GROUP], host[GROUP];
	size_t sizes[GROUP];
	size_t first = 0;

	for (unsigned int i = 0; i < nr; i++) {
		gpu[i] = copies[i].gpu;
		host[i] = (uintptr_t)copies[i].host;
		sizes[i] = copies[i].length;
	}
	return cu.copy_batch(out ? host : gpu, out ? gpu : host, sizes, nr,
			     &attributes, &first, 1, queue->stream);
}

/* How many of @copies can go in one call. */
static unsigned int count_small(const struct gpu_copy *copies, unsigned int nr)
{
	unsigned int i = 0;

	while (cu.copy_batch && i < nr && i < GROUP &&
	       copies[i].length <= GROUP_LENGTH)
		i++;
	return i;
}

static int copy_all(struct queue *queue, const struct gpu_copy *copies,
		    unsigned int nr, bool out)
{
	int ret = 0;

	while (nr && !ret) {
		unsigned int now = count_small(copies, nr);

		if (now > 1) {
			ret = copy_group(queue, copies, now, out);
		} else {
			now = 1;
			ret = copy_one(queue, copies, out);
		}
		copies += now;
		nr -= now;
	}
	return ret;
}

static int queue_start(void *opaque, const struct gpu_copy *copies,
		       unsigned int nr, bool out, unsigned int mark)
{
	struct queue *queue = opaque;
	int ret = gpu_cuda_enter(queue->index);
	int record;

	if (ret)
		return ret;
	ret = to_errno(copy_all(queue, copies, nr, out));
	/* Also after an error: some of them may be under way. */
	record = to_errno(cu.event_record(queue->events[mark], queue->stream));
	gpu_cuda_leave();
	return ret ? ret : record;
}

static int queue_poll(void *opaque, unsigned int mark)
{
	struct queue *queue = opaque;
	int ret = gpu_cuda_enter(queue->index);
	int result;

	if (ret)
		return ret;
	result = cu.event_query(queue->events[mark]);
	gpu_cuda_leave();
	if (result == CU_NOT_READY)
		return 0;
	ret = to_errno(result);
	return ret ? ret : 1;
}

const struct gpu_copies gpu_cuda_copies = {
	.host_get = host_get,
	.host_put = host_put,
	.host_lost = host_lost,
	.context = gpu_cuda_context,
	.open = queue_open,
	.close = queue_close,
	.start = queue_start,
	.poll = queue_poll,
	.pin = gpu_cuda_pin,
	.unpin = gpu_cuda_unregister,
};
