// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, or anything that offers the same calls.  The only
 * file that loads libcuda.so.1; its interface is declared here, as far as it
 * is used, so that nothing of a CUDA toolkit is needed to build.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "gpu.h"
#include "libnvfs.h"

#define MAX_DEVICES		64

enum {
	CU_OK			= 0,
	CU_INVALID_VALUE	= 1,
	CU_OUT_OF_MEMORY	= 2,
	CU_NO_DEVICE		= 100,
	CU_INVALID_DEVICE	= 101,
	CU_SYSTEM_NOT_READY	= 802
};

#define POINTER_SYNC_MEMOPS	6
#define CAPTURE_RELAXED		2

/* Name in the library, name in the table, parameters.  All return CUresult. */
#define CUDA_CALLS(X)							\
	X(cuInit, init, (unsigned int flags))				\
	X(cuDeviceGetCount, device_count, (int *nr))			\
	X(cuDeviceGet, device_get, (int *dev, int index))		\
	X(cuDeviceGetName, device_name, (char *name, int size, int dev)) \
	X(cuDeviceTotalMem_v2, device_memory, (size_t *bytes, int dev))	\
	X(cuDeviceGetPCIBusId, device_pci, (char *id, int size, int dev)) \
	X(cuDevicePrimaryCtxRetain, ctx_retain, (void **ctx, int dev))	\
	X(cuDevicePrimaryCtxRelease_v2, ctx_release, (int dev))		\
	X(cuCtxPushCurrent_v2, ctx_push, (void *ctx))			\
	X(cuCtxPopCurrent_v2, ctx_pop, (void **ctx))			\
	X(cuMemAlloc_v2, mem_alloc, (uint64_t *addr, size_t bytes))	\
	X(cuMemFree_v2, mem_free, (uint64_t addr))			\
	X(cuMemcpyHtoD_v2, copy_in, (uint64_t dst, const void *src, size_t n)) \
	X(cuMemcpyDtoH_v2, copy_out, (void *dst, uint64_t src, size_t n))

static struct {
	void *handle;
	/* These may be missing. */
	int (*stream_sync)(void *stream);
	int (*ctx_sync)(void);
	int (*pointer_set)(const void *value, int attribute, uint64_t addr);
	int (*capture_mode)(int *mode);
	int (*ctx_current)(void **ctx);
	int (*ctx_id)(void *ctx, uint64_t *id);
	int (*version)(int *version);
#define FIELD(symbol, field, params) int (*field)params;
	CUDA_CALLS(FIELD)
#undef FIELD
} cu;

/* Primary contexts that are held, by device index; NULL: not yet. */
static pthread_mutex_t ctx_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(void *) ctxs[MAX_DEVICES];
static _Thread_local int old_capture_mode;
/*
 * How often the thread has entered and not left; and for each time a bit, the
 * last one's lowest: its context was another.  To change that takes the driver's
 * one lock.
 */
static _Thread_local unsigned int inside;
static _Thread_local uint64_t changed;

int gpu_cuda_errno(int result)
{
	switch (result) {
	case CU_OK:
		return 0;
	case CU_INVALID_VALUE:
		return -EINVAL;
	case CU_OUT_OF_MEMORY:
		return -ENOMEM;
	case CU_NO_DEVICE:
	case CU_INVALID_DEVICE:
		return -ENODEV;
	case CU_SYSTEM_NOT_READY:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

/* memcpy: ISO C has no cast from an object pointer to a function pointer. */
static int bind(void *handle, const char *name, void *field)
{
	void *address = dlsym(handle, name);

	memcpy(field, &address, sizeof(address));
	return address ? 0 : -ENOSYS;
}

/* It is the driver's own, which loads it when it needs it, and keeps it. */
void gpu_cuda_load_translator(void)
{
	dlopen("libnvidia-ptxjitcompiler.so.1", RTLD_NOW | RTLD_LOCAL);
}

static void *symbol_of_library(const char *name)
{
	return dlsym(cu.handle, name);
}

static int load(void)
{
	void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	int ret = 0;

	if (!handle)
		return -ENOSYS;
#define BIND(symbol, field, params) \
	ret = ret ? ret : bind(handle, #symbol, &cu.field);
	CUDA_CALLS(BIND)
#undef BIND
	if (ret) {
		dlclose(handle);
		return ret;
	}
	bind(handle, "cuStreamSynchronize", &cu.stream_sync);
	bind(handle, "cuCtxSynchronize", &cu.ctx_sync);
	bind(handle, "cuPointerSetAttribute", &cu.pointer_set);
	bind(handle, "cuThreadExchangeStreamCaptureMode", &cu.capture_mode);
	bind(handle, "cuCtxGetCurrent", &cu.ctx_current);
	bind(handle, "cuCtxGetId", &cu.ctx_id);
	bind(handle, "cuDriverGetVersion", &cu.version);
	cu.handle = handle;
	gpu_cuda_bind_streams(symbol_of_library);
	gpu_cuda_bind_copies(symbol_of_library);
	gpu_cuda_bind_pin(symbol_of_library);
	gpu_cuda_bind_pumps(symbol_of_library);
	gpu_cuda_bind_carry(symbol_of_library);
	return 0;
}

static int cuda_init(void)
{
	int ret;

	/* Never unloaded: the driver's threads may be about until exit. */
	if (!cu.handle) {
		ret = load();
		if (ret)
			return ret;
	}
	return gpu_cuda_errno(cu.init(0));
}

static void cuda_exit(void)
{
	int dev;

	pthread_mutex_lock(&ctx_lock);
	for (int i = 0; i < MAX_DEVICES; i++) {
		if (ctxs[i] && !cu.device_get(&dev, i))
			cu.ctx_release(dev);
		ctxs[i] = NULL;
	}
	pthread_mutex_unlock(&ctx_lock);
}

static int cuda_count(void)
{
	int nr = 0;
	int ret = gpu_cuda_errno(cu.device_count(&nr));

	if (ret)
		return ret;
	if (nr <= 0)
		return -ENODEV;
	return nr < MAX_DEVICES ? nr : MAX_DEVICES;
}

static int cuda_version(void)
{
	int version = 0;

	return cu.version && !cu.version(&version) && version > 0 ? version : 0;
}

static int cuda_describe(unsigned int index, struct nvfs_gpu *gpu)
{
	char pci[32] = "";
	size_t bytes = 0;
	int dev;
	int ret = gpu_cuda_errno(cu.device_get(&dev, (int)index));

	if (ret)
		return ret;
	ret = gpu_cuda_errno(cu.device_name(gpu->name, sizeof(gpu->name), dev));
	if (ret)
		return ret;
	gpu->name[sizeof(gpu->name) - 1] = '\0';
	ret = gpu_cuda_errno(cu.device_memory(&bytes, dev));
	if (ret)
		return ret;
	gpu->memory = bytes;
	gpu->bdf = NVFS_BDF_NONE;
	if (!cu.device_pci(pci, sizeof(pci), dev))
		nvfs_bdf_parse(pci, &gpu->bdf);
	return 0;
}

static int make_ctx(unsigned int index, void **ctx)
{
	int ret = 0;
	int dev;

	pthread_mutex_lock(&ctx_lock);
	*ctx = atomic_load(&ctxs[index]);
	if (!*ctx) {
		ret = gpu_cuda_errno(cu.device_get(&dev, (int)index));
		if (!ret)
			ret = gpu_cuda_errno(cu.ctx_retain(ctx, dev));
		if (!ret)
			atomic_store(&ctxs[index], *ctx);
	}
	pthread_mutex_unlock(&ctx_lock);
	return ret;
}

static bool is_current(const void *ctx)
{
	void *now = NULL;

	return cu.ctx_current && !cu.ctx_current(&now) && now == ctx;
}

int gpu_cuda_enter_ctx(void *ctx)
{
	bool change = ctx && !is_current(ctx);
	int ret = change ? gpu_cuda_errno(cu.ctx_push(ctx)) : 0;

	if (ret)
		return ret;
	changed = changed << 1 | change;
	if (!inside++ && cu.capture_mode) {
		old_capture_mode = CAPTURE_RELAXED;
		cu.capture_mode(&old_capture_mode);
	}
	return 0;
}

int gpu_cuda_enter(unsigned int index)
{
	void *ctx;
	int ret;

	if (index >= MAX_DEVICES)
		return -ENODEV;
	ctx = atomic_load_explicit(&ctxs[index], memory_order_acquire);
	ret = ctx ? 0 : make_ctx(index, &ctx);
	return ret ? ret : gpu_cuda_enter_ctx(ctx);
}

void gpu_cuda_leave(void)
{
	bool change = changed & 1;
	void *ctx;

	changed >>= 1;
	if (!--inside && cu.capture_mode)
		cu.capture_mode(&old_capture_mode);
	if (change)
		cu.ctx_pop(&ctx);
}

uint64_t gpu_cuda_context(unsigned int index)
{
	void *ctx = index < MAX_DEVICES ? atomic_load(&ctxs[index]) : NULL;
	uint64_t id = 0;

	return ctx && cu.ctx_id && !cu.ctx_id(ctx, &id) ? id : 0;
}

/* The library may be loaded by others only, or not at all. */
bool gpu_cuda_in_use(unsigned int index)
{
	void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
	int (*state)(int dev, unsigned int *flags, int *active);
	void *address = handle ? dlsym(handle, "cuDevicePrimaryCtxGetState") :
				 NULL;
	unsigned int flags;
	int active = 0;

	memcpy(&state, &address, sizeof(address));
	/* Devices are numbers from 0 on, like ours. */
	if (!state || state((int)index, &flags, &active))
		active = 0;
	if (handle)
		dlclose(handle);
	return active;
}

static int cuda_alloc(unsigned int index, uint64_t length, uint64_t *addr)
{
	int ret = gpu_cuda_enter(index);

	if (ret)
		return ret;
	ret = gpu_cuda_errno(cu.mem_alloc(addr, length));
	gpu_cuda_leave();
	return ret;
}

static int cuda_free(unsigned int index, uint64_t addr)
{
	int ret = gpu_cuda_enter(index);

	if (ret)
		return ret;
	ret = gpu_cuda_errno(cu.mem_free(addr));
	gpu_cuda_leave();
	return ret;
}

/*
 * Of a copy an invalid value can only be the address: nothing, or not all, is
 * mapped there.
 */
static int copy_errno(int result)
{
	return result == CU_INVALID_VALUE ? -EFAULT : gpu_cuda_errno(result);
}

/*
 * A copy from pageable memory may return when it has read its source, before
 * the bytes are on the GPU.  The copy is in the default stream; waiting for
 * the whole context would wait for the application's own work, too.
 */
static int wait_for_copy(void)
{
	if (cu.stream_sync)
		return gpu_cuda_errno(cu.stream_sync(NULL));
	return cu.ctx_sync ? gpu_cuda_errno(cu.ctx_sync()) : 0;
}

static int cuda_copy_in(unsigned int index, uint64_t dst, const void *src,
			uint64_t length)
{
	int ret = gpu_cuda_enter(index);

	if (ret)
		return ret;
	ret = copy_errno(cu.copy_in(dst, src, length));
	if (!ret)
		ret = wait_for_copy();
	gpu_cuda_leave();
	return ret;
}

static int cuda_copy_out(unsigned int index, void *dst, uint64_t src,
			 uint64_t length)
{
	int ret = gpu_cuda_enter(index);

	if (ret)
		return ret;
	ret = copy_errno(cu.copy_out(dst, src, length));
	gpu_cuda_leave();
	return ret;
}

/*
 * Without it a copy that the caller started earlier on the same memory may
 * still be under way when another device reads it.  Older drivers lack it for
 * some kinds of memory, so a refusal is no error.
 */
static int cuda_expose(unsigned int index, uint64_t addr)
{
	unsigned int on = 1;
	int ret = gpu_cuda_enter(index);

	if (ret)
		return ret;
	if (cu.pointer_set)
		cu.pointer_set(&on, POINTER_SYNC_MEMOPS, addr);
	gpu_cuda_leave();
	return 0;
}

const struct gpu_driver gpu_cuda = {
	.name = "cuda",
	.init = cuda_init,
	.exit = cuda_exit,
	.count = cuda_count,
	.describe = cuda_describe,
	.enter = gpu_cuda_enter,
	.leave = gpu_cuda_leave,
	.alloc = cuda_alloc,
	.free = cuda_free,
	.copy_in = cuda_copy_in,
	.copy_out = cuda_copy_out,
	.expose = cuda_expose,
	.classify = gpu_cuda_classify,
	.uuid = gpu_cuda_uuid,
	.version = cuda_version,
	.streams = &gpu_cuda_streams,
	.copies = &gpu_cuda_copies,
	.pumps = &gpu_cuda_pumps,
};
