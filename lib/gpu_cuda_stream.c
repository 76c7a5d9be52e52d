// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that is about the application's own memory
 * and streams.  Loaded by gpu_cuda.c; every function may be missing.
 */
#include <errno.h>
#include <string.h>

#include "gpu.h"

enum {
	CU_OK			= 0,
	CU_INVALID_VALUE	= 1,
	CU_OUT_OF_MEMORY	= 2,
	CU_NOT_INITIALIZED	= 3,
	CU_NO_DEVICE		= 100,
	CU_INVALID_DEVICE	= 101,
	CU_INVALID_CONTEXT	= 201,
	CU_INVALID_HANDLE	= 400,
	CU_NOT_SUPPORTED	= 801,
	CU_CAPTURE_FIRST	= 900,
	CU_CAPTURE_LAST		= 909
};

enum {
	POINTER_MEMORY_TYPE	= 2,
	POINTER_BUFFER_ID	= 7,
	POINTER_IS_MANAGED	= 8,
	POINTER_DEVICE_ORDINAL	= 9,
	POINTER_RANGE_START	= 11,
	POINTER_RANGE_SIZE	= 12
};

#define MEMORY_DEVICE		2
#define HOST_PORTABLE_MAPPED	3U
#define WAIT_GEQ		0U
/* A handle that means another stream in each thread. */
#define STREAM_PER_THREAD	((void *)2)

#define STREAM_CALLS(X)							\
	X(cuPointerGetAttributes, attributes,				\
	  (unsigned int nr, const int *what, void **data, uint64_t addr)) \
	X(cuDeviceGet, device_get, (int *dev, int index))		\
	X(cuDeviceGetUuid_v2, device_uuid, (void *uuid, int dev))	\
	X(cuCtxGetCurrent, ctx_current, (void **ctx))			\
	X(cuStreamIsCapturing, capturing, (void *stream, int *status))	\
	X(cuStreamSynchronize, synchronize, (void *stream))		\
	X(cuLaunchHostFunc, host_func,					\
	  (void *stream, void (*fn)(void *arg), void *arg))		\
	X(cuStreamWaitValue32_v2, wait_value,				\
	  (void *stream, uint64_t addr, uint32_t value, unsigned int flags)) \
	X(cuMemHostAlloc, host_alloc,					\
	  (void **host, size_t bytes, unsigned int flags))		\
	X(cuMemHostGetDevicePointer_v2, host_device_pointer,		\
	  (uint64_t *addr, void *host, unsigned int flags))		\
	X(cuMemFreeHost, host_free, (void *host))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	STREAM_CALLS(FIELD)
#undef FIELD
} cu;

static _Thread_local int last_error;

/* memcpy: ISO C has no cast from an object pointer to a function pointer. */
void gpu_cuda_bind_streams(void *(*symbol)(const char *name))
{
	void *address;

#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));
	STREAM_CALLS(BIND)
#undef BIND
}

static int to_errno(int result)
{
	if (result == CU_OK)
		return 0;
	last_error = result;
	if (result >= CU_CAPTURE_FIRST && result <= CU_CAPTURE_LAST)
		return -EOPNOTSUPP;
	switch (result) {
	case CU_INVALID_VALUE:
	case CU_INVALID_HANDLE:
	case CU_INVALID_CONTEXT:
		return -EINVAL;
	case CU_OUT_OF_MEMORY:
		return -ENOMEM;
	case CU_NOT_INITIALIZED:
	case CU_NO_DEVICE:
	case CU_INVALID_DEVICE:
		return -ENODEV;
	case CU_NOT_SUPPORTED:
		return -ENOSYS;
	default:
		return -EIO;
	}
}

static int missing(void)
{
	last_error = CU_NOT_SUPPORTED;
	return -ENOSYS;
}

int gpu_cuda_classify(uint64_t addr, struct gpu_mem *mem)
{
	static const int what[] = { POINTER_MEMORY_TYPE, POINTER_IS_MANAGED,
				    POINTER_DEVICE_ORDINAL,
				    POINTER_RANGE_START, POINTER_RANGE_SIZE,
				    POINTER_BUFFER_ID };
	unsigned int type = 0, managed = 0;
	uint64_t base = 0, id = 0;
	size_t length = 0;
	int ordinal = 0;
	void *data[] = { &type, &managed, &ordinal, &base, &length, &id };

	memset(mem, 0, sizeof(*mem));
	if (!cu.attributes)
		return missing();
	/* An address that it does not know is no error for this call. */
	if (cu.attributes(sizeof(what) / sizeof(what[0]), what, data, addr))
		return 0;
	if ((!managed && type != MEMORY_DEVICE) || ordinal < 0)
		return 0;
	mem->kind = managed ? GPU_MEM_MANAGED : GPU_MEM_DEVICE;
	mem->index = (unsigned int)ordinal;
	mem->base = base;
	mem->length = length;
	mem->id = id;
	return 0;
}

int gpu_cuda_uuid(unsigned int index, uint8_t *uuid)
{
	int dev;
	int ret;

	if (!cu.device_uuid || !cu.device_get)
		return missing();
	ret = to_errno(cu.device_get(&dev, (int)index));
	return ret ? ret : to_errno(cu.device_uuid(uuid, dev));
}

static int stream_key(void *stream, uint64_t key[2])
{
	void *ctx = NULL;
	int ret;

	key[0] = 0;
	key[1] = (uintptr_t)stream;
	/* Handles 0 to 2 are names; all others are addresses, hence unique. */
	if ((uintptr_t)stream > (uintptr_t)STREAM_PER_THREAD)
		return 0;
	if (!cu.ctx_current)
		return missing();
	ret = to_errno(cu.ctx_current(&ctx));
	if (ret)
		return ret;
	if (!ctx)
		return to_errno(CU_INVALID_CONTEXT);
	key[0] = (uintptr_t)ctx;
	if (stream == STREAM_PER_THREAD)
		key[1] = (uintptr_t)&last_error;
	return 0;
}

static int not_captured(void *stream)
{
	int status = 0;
	int ret = cu.capturing ? to_errno(cu.capturing(stream, &status)) : 0;

	return !ret && status ? to_errno(CU_CAPTURE_FIRST) : ret;
}

static int stream_call(void *stream, void (*fn)(void *arg), void *arg)
{
	int ret;

	if (!cu.host_func)
		return missing();
	ret = not_captured(stream);
	return ret ? ret : to_errno(cu.host_func(stream, fn, arg));
}

static int stream_sync(void *stream)
{
	int ret;

	if (!cu.synchronize)
		return missing();
	ret = not_captured(stream);
	return ret ? ret : to_errno(cu.synchronize(stream));
}

static int stream_wait(void *stream, uint32_t *word, uint32_t value)
{
	uint64_t addr;
	int ret;

	if (!cu.wait_value || !cu.host_device_pointer)
		return missing();
	ret = to_errno(cu.host_device_pointer(&addr, word, 0));
	return ret ? ret : to_errno(cu.wait_value(stream, addr, value,
						  WAIT_GEQ));
}

static int word_get(uint32_t **word)
{
	void *host;
	int ret;

	if (!cu.host_alloc || !cu.host_free || !cu.wait_value)
		return missing();
	ret = to_errno(cu.host_alloc(&host, sizeof(**word),
				     HOST_PORTABLE_MAPPED));
	if (ret)
		return ret;
	*word = host;
	**word = 0;
	return 0;
}

static void word_put(uint32_t *word)
{
	cu.host_free(word);
}

static int stream_error(void)
{
	return last_error;
}

const struct gpu_streams gpu_cuda_streams = {
	.key = stream_key,
	.call = stream_call,
	.wait = stream_wait,
	.sync = stream_sync,
	.word_get = word_get,
	.word_put = word_put,
	.error = stream_error,
};
