// SPDX-License-Identifier: MIT
/*
 * AMD's HIP runtime, the part that is about the application's own memory and
 * streams.  Loaded by gpu_hip.c.
 *
 * Two things of CUDA's are not here, although HIP has calls for them.  A wait in
 * a stream (hipStreamWaitValue32(), beta) takes memory of hipMallocSignalMemory
 * only, and of that nothing says that the CPU may write it: a stream that goes on
 * too early would be wrong bytes.  Code in streams and on the GPU would have to
 * be made for each of AMD's instruction sets.
 */
#include <errno.h>
#include <string.h>

#include "gpu_hip.h"

/* enum hipMemoryType, which has other numbers since HIP 6. */
enum {
	TYPE_5_DEVICE		= 1,
	TYPE_6_DEVICE		= 2,
	TYPE_6_MANAGED		= 3
};

/* Handles that mean another stream for each GPU; and in each thread. */
#define STREAM_NULL		0U
#define STREAM_LEGACY		1U
#define STREAM_PER_THREAD	2U

/* hipPointerAttribute_t; the first member was called memoryType before HIP 6. */
struct attributes {
	int type;
	int device;
	void *on_device;
	void *on_host;
	int managed;
	unsigned int flags;
	/* In case that it grows. */
	uint64_t room[12];
};

#define STREAM_CALLS(X)							\
	X(hipPointerGetAttributes, attributes,				\
	  (struct attributes *attributes, const void *addr))		\
	X(hipMemGetAddressRange, range,					\
	  (void **base, size_t *bytes, void *addr))			\
	X(hipPointerGetAttribute, attribute,				\
	  (void *data, int attribute, void *addr))			\
	X(hipGetDevice, get_device, (int *index))			\
	X(hipDeviceGet, device_get, (int *dev, int index))		\
	X(hipDeviceGetUuid, device_uuid, (void *uuid, int dev))		\
	X(hipStreamIsCapturing, capturing, (void *stream, int *status))	\
	X(hipStreamSynchronize, synchronize, (void *stream))		\
	X(hipLaunchHostFunc, host_func,					\
	  (void *stream, void (*fn)(void *arg), void *arg))

/* All but the first may be missing: ROCm 5.2 has no hipLaunchHostFunc(). */
static struct {
	bool old_types;
#define FIELD(symbol, field, params) int (*field)params;
	STREAM_CALLS(FIELD)
#undef FIELD
} hip;

static _Thread_local int last_error;

/* memcpy: ISO C has no cast from an object pointer to a function pointer. */
bool gpu_hip_bind_streams(void *(*symbol)(const char *name), int major)
{
	void *address;

#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&hip.field, &address, sizeof(address));
	STREAM_CALLS(BIND)
#undef BIND
	hip.old_types = major < 6;
	return hip.attributes;
}

/* Ends what gpu_hip_clean() began. */
static int end(bool clean, int result)
{
	gpu_hip_forget(clean, result);
	if (result)
		last_error = result;
	return gpu_hip_errno(result);
}

static int missing(void)
{
	last_error = HIP_NOT_SUPPORTED;
	return -ENOSYS;
}

/* --------------------------------------------------------------- the memory */

static enum gpu_mem_kind kind_of(const struct attributes *attributes)
{
	int type = attributes->type;

	if (attributes->managed || (!hip.old_types && type == TYPE_6_MANAGED))
		return GPU_MEM_MANAGED;
	return type == (hip.old_types ? TYPE_5_DEVICE : TYPE_6_DEVICE) ?
	       GPU_MEM_DEVICE : GPU_MEM_HOST;
}

/* Of which allocation; all 0 where that can't be told. */
static void find_allocation(void *addr, struct gpu_mem *mem)
{
	void *base = NULL;
	size_t length = 0;
	/* How wide HIP writes it is nowhere said. */
	uint64_t id = 0;

	if (!hip.range || hip.range(&base, &length, addr))
		return;
	mem->base = (uintptr_t)base;
	mem->length = length;
	mem->piece = mem->base;
	mem->piece_length = mem->length;
	if (hip.attribute &&
	    !hip.attribute(&id, HIP_POINTER_BUFFER_ID, addr))
		mem->id = id;
}

int gpu_hip_classify(uint64_t addr, struct gpu_mem *mem)
{
	struct attributes attributes = { .device = -1 };
	void *pointer = (void *)(uintptr_t)addr;
	struct gpu_hip_entry entry;
	bool clean = gpu_hip_clean();
	int result = hip.attributes(&attributes, pointer);
	int ret;

	memset(mem, 0, sizeof(*mem));
	gpu_hip_forget(clean, result);
	/* So it says that it does not know an address. */
	if (result == HIP_INVALID_VALUE || result == HIP_INVALID_DEVICE_POINTER)
		return 0;
	if (result)
		return gpu_hip_errno(result);
	mem->kind = kind_of(&attributes);
	if (mem->kind == GPU_MEM_HOST || attributes.device < 0) {
		mem->kind = GPU_MEM_HOST;
		return 0;
	}
	mem->index = (unsigned int)attributes.device;
	if (mem->kind == GPU_MEM_MANAGED)
		return 0;
	ret = gpu_hip_enter(mem->index, &entry);
	if (ret)
		return ret;
	find_allocation(pointer, mem);
	gpu_hip_leave(&entry);
	return 0;
}

int gpu_hip_uuid(unsigned int index, uint8_t *uuid)
{
	bool clean;
	int result;
	int dev;

	if (!hip.device_uuid || !hip.device_get)
		return missing();
	clean = gpu_hip_clean();
	result = hip.device_get(&dev, (int)index);
	if (!result)
		result = hip.device_uuid(uuid, dev);
	return end(clean, result);
}

/* -------------------------------------------------------------- the streams */

static int stream_key(void *stream, uint64_t key[2])
{
	uintptr_t handle = (uintptr_t)stream;
	int device = 0;
	bool clean;
	int ret;

	key[0] = 0;
	key[1] = handle;
	/* These are names; all others are addresses, hence unique. */
	if (handle > STREAM_PER_THREAD)
		return 0;
	if (!hip.get_device)
		return missing();
	clean = gpu_hip_clean();
	ret = end(clean, hip.get_device(&device));
	if (ret)
		return ret;
	key[0] = (uint64_t)device + 1;
	/* Two names of the same. */
	if (handle == STREAM_LEGACY)
		key[1] = STREAM_NULL;
	if (handle == STREAM_PER_THREAD)
		key[1] = (uintptr_t)&last_error;
	return 0;
}

/* HIP's calls take streams of any device, whichever is the thread's. */
static int stream_enter(void *stream)
{
	(void)stream;
	return 0;
}

static void stream_leave(void)
{
}

static int not_captured(void *stream)
{
	int status = 0;
	int result = hip.capturing ? hip.capturing(stream, &status) : 0;

	return !result && status ? HIP_CAPTURE_FIRST : result;
}

static int stream_call(void *stream, void (*fn)(void *arg), void *arg)
{
	bool clean;
	int result;

	if (!hip.host_func)
		return missing();
	clean = gpu_hip_clean();
	result = not_captured(stream);
	if (!result)
		result = hip.host_func(stream, fn, arg);
	return end(clean, result);
}

static int stream_sync(void *stream)
{
	bool clean;
	int result;

	if (!hip.synchronize)
		return missing();
	clean = gpu_hip_clean();
	result = not_captured(stream);
	if (!result)
		result = hip.synchronize(stream);
	return end(clean, result);
}

static int stream_wait(void *stream, uint32_t *word, uint32_t value)
{
	(void)stream;
	(void)word;
	(void)value;
	return missing();
}

static int word_get(uint32_t **word)
{
	(void)word;
	return missing();
}

/* There is none. */
static void word_put(uint32_t *word)
{
	(void)word;
}

static int word_show(void *stream, uint32_t *word)
{
	(void)stream;
	(void)word;
	return missing();
}

static int stream_error(void)
{
	return last_error;
}

const struct gpu_streams gpu_hip_streams = {
	.key = stream_key,
	.enter = stream_enter,
	.leave = stream_leave,
	.call = stream_call,
	.wait = stream_wait,
	.sync = stream_sync,
	.word_get = word_get,
	.word_put = word_put,
	.word_show = word_show,
	.error = stream_error,
};
