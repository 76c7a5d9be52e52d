/* SPDX-License-Identifier: MIT */
/*
 * A libamdhip64 with two GPUs, in the test program itself.  It has what AMD
 * documents, and is strict: GPU memory can't be touched by the CPU, bytes of
 * asynchronous copies move when an event is asked for the second time, and what
 * must not happen is counted in hip_model.wrong.  Included once per program,
 * which is linked with -rdynamic.
 */
#ifndef LIB_HIP_MODEL_H
#define LIB_HIP_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HIP_GPUS	2
#define HIP_MEMORIES	64
#define HIP_PENDING	256

/* Found by dlsym(). */
#define HIP_API __attribute__((visibility("default")))

enum hip_place { HIP_FREE, HIP_ON_GPU, HIP_ON_HOST, HIP_MANAGED };

/* @shadow: the bytes of memory of a GPU, whose addresses are not mapped. */
struct hip_memory {
	enum hip_place place;
	unsigned char *base;
	size_t length;
	unsigned char *shadow;
	int device;
	uint32_t id;
};

struct hip_pending {
	void *dst;
	const void *src;
	size_t length;
	int kind;
};

struct hip_stream {
	int device;
	struct hip_pending pending[HIP_PENDING];
	unsigned int begun, ended;
};

struct hip_event {
	int device;
	struct hip_stream *stream;
	unsigned int end;
	unsigned int asked;
};

/*
 * @major: of its version.  @fails: the name of a function that does, with
 * @fails_with, but for its first @fails_after calls.  @handles: streams and
 * events.  @wrong: calls for a GPU that was not the thread's, copies between the
 * wrong kinds of memory, things given back twice.  @last_flags, @last_priority: of
 * the last stream.
 */
static struct {
	pthread_mutex_t lock;
	int major;
	int nr_gpus;
	int capture_status;
	const char *fails;
	int fails_with;
	unsigned int fails_after;
	struct hip_memory memories[HIP_MEMORIES];
	uint32_t last_id;
	int handles;
	int exposed;
	unsigned int copies;
	unsigned int wrong;
	unsigned int host_flags, last_flags;
	int last_priority;
} hip_model = { .lock = PTHREAD_MUTEX_INITIALIZER, .major = 6,
		.nr_gpus = HIP_GPUS };

/* Each thread's. */
static _Thread_local int hip_device;
static _Thread_local int hip_capture_mode;
static _Thread_local int hip_last_error;

/* Before HIP 7 also a success was remembered, and that something is not ready. */
static inline int hip_says(int result)
{
	if (hip_model.major < 7 || (result && result != 600))
		hip_last_error = result;
	return result;
}

static inline int hip_fault(const char *name)
{
	int ret = 0;

	pthread_mutex_lock(&hip_model.lock);
	if (hip_model.fails && !strcmp(hip_model.fails, name) &&
	    !hip_model.fails_after--) {
		hip_model.fails_after = 0;
		ret = hip_model.fails_with;
	}
	pthread_mutex_unlock(&hip_model.lock);
	return ret;
}

#define HIP_MAY_FAIL							\
	do {								\
		int fault_ = hip_fault(__func__);			\
		if (fault_)						\
			return hip_says(fault_);			\
	} while (0)

static inline void hip_wrong(bool wrong)
{
	if (wrong)
		__atomic_fetch_add(&hip_model.wrong, 1, __ATOMIC_RELAXED);
}

/* Under the lock. */
static inline struct hip_memory *hip_find(const void *addr, size_t length)
{
	for (unsigned int i = 0; i < HIP_MEMORIES; i++) {
		struct hip_memory *m = &hip_model.memories[i];
		uintptr_t offset = (uintptr_t)addr - (uintptr_t)m->base;

		if (m->place != HIP_FREE && offset < m->length &&
		    length <= m->length - offset)
			return m;
	}
	return NULL;
}

/* Each place is in the address space already. */
static inline int hip_get(enum hip_place place, void **addr, size_t length)
{
	struct hip_memory *m = hip_model.memories;
	size_t room = (length + 4095) & ~(size_t)4095;

	if (length > 1ULL << 40)
		return 2;
	pthread_mutex_lock(&hip_model.lock);
	while (m->place != HIP_FREE)
		m++;
	m->base = mmap(NULL, room, place == HIP_ON_GPU ? PROT_NONE :
		       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	m->length = length;
	m->shadow = place == HIP_ON_GPU ? calloc(1, length) : m->base;
	m->device = hip_device;
	m->place = place;
	m->id = ++hip_model.last_id;
	*addr = m->base;
	pthread_mutex_unlock(&hip_model.lock);
	return 0;
}

static inline int hip_put(enum hip_place place, void *addr)
{
	struct hip_memory *m;

	pthread_mutex_lock(&hip_model.lock);
	m = hip_find(addr, 1);
	hip_wrong(!m || m->place != place || m->base != addr);
	if (m) {
		munmap(m->base, (m->length + 4095) & ~(size_t)4095);
		if (m->place == HIP_ON_GPU)
			free(m->shadow);
		m->place = HIP_FREE;
	}
	pthread_mutex_unlock(&hip_model.lock);
	return m ? 0 : 1;
}

/* Where the CPU finds it; NULL: no such memory of the GPU. */
static inline void *hip_bytes(const void *addr, size_t length, int device)
{
	struct hip_memory *m;
	void *bytes = NULL;

	pthread_mutex_lock(&hip_model.lock);
	m = hip_find(addr, length);
	if (m && m->place == HIP_ON_GPU) {
		hip_wrong(m->device != device);
		bytes = m->shadow + ((const unsigned char *)addr - m->base);
	}
	pthread_mutex_unlock(&hip_model.lock);
	return bytes;
}

static inline int hip_move(const struct hip_pending *p, int device, bool look)
{
	void *gpu = hip_bytes(p->kind == 1 ? p->dst : p->src, p->length, device);

	hip_wrong(p->kind != 1 && p->kind != 2);
	if (!gpu)
		return 1;
	if (look)
		return 0;
	if (p->kind == 1)
		memcpy(gpu, p->src, p->length);
	else
		memcpy(p->dst, gpu, p->length);
	__atomic_fetch_add(&hip_model.copies, 1, __ATOMIC_RELAXED);
	return 0;
}

/* ------------------------------------------------------- library and devices */

HIP_API int hipInit(unsigned int flags)
{
	HIP_MAY_FAIL;
	hip_wrong(flags);
	return hip_says(0);
}

HIP_API int hipRuntimeGetVersion(int *version)
{
	HIP_MAY_FAIL;
	*version = hip_model.major * 10000000 + 312345;
	return hip_says(0);
}

HIP_API int hipGetDeviceCount(int *nr)
{
	HIP_MAY_FAIL;
	*nr = hip_model.nr_gpus;
	return hip_says(*nr ? 0 : 100);
}

HIP_API int hipDeviceGet(int *dev, int index)
{
	HIP_MAY_FAIL;
	*dev = index;
	return hip_says(index < hip_model.nr_gpus ? 0 : 101);
}

HIP_API int hipDeviceGetName(char *name, int size, int dev)
{
	HIP_MAY_FAIL;
	memset(name, 'x', (size_t)size);
	if (!dev)
		strcpy(name, "AMD Instinct");
	return hip_says(0);
}

HIP_API int hipDeviceTotalMem(size_t *bytes, int dev)
{
	HIP_MAY_FAIL;
	*bytes = (size_t)(dev + 1) << 36;
	return hip_says(0);
}

HIP_API int hipDeviceGetPCIBusId(char *id, int size, int index)
{
	HIP_MAY_FAIL;
	hip_wrong(size < 13);
	strcpy(id, index ? "0000:c3:00.0" : "0000:83:00.0");
	return hip_says(0);
}

HIP_API int hipDeviceGetUuid(void *uuid, int dev)
{
	HIP_MAY_FAIL;
	memset(uuid, 'a' + dev, 16);
	return hip_says(0);
}

HIP_API int hipGetDevice(int *index)
{
	HIP_MAY_FAIL;
	*index = hip_device;
	return hip_says(0);
}

HIP_API int hipSetDevice(int index)
{
	HIP_MAY_FAIL;
	if (index < 0 || index >= hip_model.nr_gpus)
		return hip_says(101);
	hip_device = index;
	return hip_says(0);
}

HIP_API int hipPeekAtLastError(void)
{
	return hip_last_error;
}

HIP_API int hipGetLastError(void)
{
	int last = hip_last_error;

	hip_last_error = 0;
	return last;
}

HIP_API int hipThreadExchangeStreamCaptureMode(int *mode)
{
	int old = hip_capture_mode;

	hip_capture_mode = *mode;
	*mode = old;
	return hip_says(0);
}

/* ------------------------------------------------------------------- memory */

HIP_API int hipMalloc(void **addr, size_t length)
{
	HIP_MAY_FAIL;
	*addr = NULL;
	return hip_says(length ? hip_get(HIP_ON_GPU, addr, length) : 0);
}

HIP_API int hipFree(void *addr)
{
	HIP_MAY_FAIL;
	return hip_says(hip_put(HIP_ON_GPU, addr));
}

HIP_API int hipHostMalloc(void **addr, size_t length, unsigned int flags)
{
	HIP_MAY_FAIL;
	hip_model.host_flags = flags;
	return hip_says(hip_get(HIP_ON_HOST, addr, length));
}

HIP_API int hipHostFree(void *addr)
{
	HIP_MAY_FAIL;
	return hip_says(hip_put(HIP_ON_HOST, addr));
}

HIP_API int hipMemcpy(void *dst, const void *src, size_t length, int kind)
{
	struct hip_pending p = { dst, src, length, kind };

	HIP_MAY_FAIL;
	return hip_says(hip_move(&p, hip_device, false));
}

struct hip_attributes {
	int type, device;
	void *on_device, *on_host;
	int managed;
	unsigned int flags;
};

/* What hipMemoryType was before HIP 6, and is since. */
static inline int hip_type(enum hip_place place)
{
	bool old = hip_model.major < 6;

	switch (place) {
	case HIP_ON_GPU:
		return old ? 1 : 2;
	case HIP_ON_HOST:
		return old ? 0 : 1;
	default:
		return old ? 1 : 3;
	}
}

HIP_API int hipPointerGetAttributes(struct hip_attributes *attributes,
				    const void *addr)
{
	struct hip_memory *m;

	HIP_MAY_FAIL;
	pthread_mutex_lock(&hip_model.lock);
	m = hip_find(addr, 1);
	if (m) {
		attributes->type = hip_type(m->place);
		attributes->device = m->device;
		attributes->on_device = m->base;
		attributes->on_host = m->place == HIP_ON_GPU ? NULL : m->base;
		attributes->managed = m->place == HIP_MANAGED;
		attributes->flags = 0;
	}
	pthread_mutex_unlock(&hip_model.lock);
	return hip_says(m ? 0 : 1);
}

HIP_API int hipMemGetAddressRange(void **base, size_t *length, void *addr)
{
	struct hip_memory *m;

	HIP_MAY_FAIL;
	pthread_mutex_lock(&hip_model.lock);
	m = hip_find(addr, 1);
	if (m) {
		hip_wrong(m->device != hip_device);
		*base = m->base;
		*length = m->length;
	}
	pthread_mutex_unlock(&hip_model.lock);
	return hip_says(m ? 0 : 17);
}

/* Writes four bytes of what the caller may read as eight. */
HIP_API int hipPointerGetAttribute(void *data, int what, void *addr)
{
	struct hip_memory *m;

	HIP_MAY_FAIL;
	hip_wrong(what != 7);
	pthread_mutex_lock(&hip_model.lock);
	m = hip_find(addr, 1);
	if (m)
		memcpy(data, &m->id, sizeof(m->id));
	pthread_mutex_unlock(&hip_model.lock);
	return hip_says(m ? 0 : 1);
}

HIP_API int hipPointerSetAttribute(const void *value, int what, void *addr)
{
	unsigned int on;

	HIP_MAY_FAIL;
	memcpy(&on, value, sizeof(on));
	hip_wrong(what != 6 || on != 1 || !hip_bytes(addr, 1, hip_device));
	hip_model.exposed++;
	return hip_says(0);
}

/* ------------------------------------------------------- streams and events */

HIP_API int hipDeviceGetStreamPriorityRange(int *least, int *greatest)
{
	HIP_MAY_FAIL;
	*least = 1;
	*greatest = -1;
	return hip_says(0);
}

HIP_API int hipStreamCreateWithPriority(struct hip_stream **stream,
					unsigned int flags, int priority)
{
	HIP_MAY_FAIL;
	*stream = calloc(1, sizeof(**stream));
	(*stream)->device = hip_device;
	hip_model.last_flags = flags;
	hip_model.last_priority = priority;
	__atomic_fetch_add(&hip_model.handles, 1, __ATOMIC_RELAXED);
	return hip_says(0);
}

HIP_API int hipStreamDestroy(struct hip_stream *stream)
{
	hip_wrong(stream->device != hip_device);
	free(stream);
	__atomic_fetch_sub(&hip_model.handles, 1, __ATOMIC_RELAXED);
	return hip_says(0);
}

HIP_API int hipEventCreateWithFlags(struct hip_event **event,
				    unsigned int flags)
{
	HIP_MAY_FAIL;
	hip_wrong(flags != 2);
	*event = calloc(1, sizeof(**event));
	(*event)->device = hip_device;
	__atomic_fetch_add(&hip_model.handles, 1, __ATOMIC_RELAXED);
	return hip_says(0);
}

HIP_API int hipEventDestroy(struct hip_event *event)
{
	hip_wrong(event->device != hip_device);
	free(event);
	__atomic_fetch_sub(&hip_model.handles, 1, __ATOMIC_RELAXED);
	return hip_says(0);
}

HIP_API int hipEventRecord(struct hip_event *event, struct hip_stream *stream)
{
	HIP_MAY_FAIL;
	hip_wrong(event->device != hip_device || stream->device != hip_device);
	event->stream = stream;
	event->end = stream->begun;
	event->asked = 0;
	return hip_says(0);
}

/* Not allowed while somebody captures, but in relaxed mode (2). */
HIP_API int hipEventQuery(struct hip_event *event)
{
	struct hip_stream *stream = event->stream;

	HIP_MAY_FAIL;
	hip_wrong(event->device != hip_device || hip_capture_mode != 2);
	if (!event->asked++)
		return hip_says(600);
	while ((int)(event->end - stream->ended) > 0)
		hip_wrong(hip_move(&stream->pending[stream->ended++ %
						    HIP_PENDING],
				   stream->device, false));
	return hip_says(0);
}

HIP_API int hipMemcpyAsync(void *dst, const void *src, size_t length, int kind,
			   struct hip_stream *stream)
{
	struct hip_pending p = { dst, src, length, kind };

	HIP_MAY_FAIL;
	hip_wrong(stream->device != hip_device);
	if (hip_move(&p, hip_device, true))
		return hip_says(1);
	hip_wrong(stream->begun - stream->ended >= HIP_PENDING);
	stream->pending[stream->begun++ % HIP_PENDING] = p;
	return hip_says(0);
}

HIP_API int hipStreamIsCapturing(void *stream, int *status)
{
	(void)stream;
	HIP_MAY_FAIL;
	*status = hip_model.capture_status;
	return hip_says(0);
}

HIP_API int hipStreamSynchronize(void *stream)
{
	(void)stream;
	HIP_MAY_FAIL;
	return hip_says(0);
}

/* Its turn has come at once. */
HIP_API int hipLaunchHostFunc(void *stream, void (*fn)(void *arg), void *arg)
{
	(void)stream;
	HIP_MAY_FAIL;
	fn(arg);
	return hip_says(0);
}

/* -------------------------------------------------------------- for the tests */

/* Nothing is left, and nothing went wrong. */
static inline void hip_model_end(void)
{
	for (unsigned int i = 0; i < HIP_MEMORIES; i++)
		assert_int_equal(hip_model.memories[i].place, HIP_FREE);
	assert_int_equal(hip_model.handles, 0);
	assert_int_equal(hip_model.wrong, 0);
	assert_int_equal(hip_device, 0);
	assert_int_equal(hip_capture_mode, 0);
}

#endif /* LIB_HIP_MODEL_H */
