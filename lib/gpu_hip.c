// SPDX-License-Identifier: MIT
/*
 * AMD's HIP runtime.  The only file that loads libamdhip64.so; its interface is
 * declared here and beside it, as far as it is used (gpu_hip.h), so that nothing
 * of ROCm is needed to build.
 *
 * HIP has no contexts to hold: each thread has a GPU that its calls are for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "gpu_hip.h"
#include "libnvfs.h"

#define MAX_DEVICES		64
/* enum hipStreamCaptureMode: relaxed. */
#define CAPTURE_RELAXED		2
/* HIP_VERSION: major * 10000000 + minor * 100000 + patch. */
#define VERSION_MAJOR		10000000
/* The first that tells allocations apart. */
#define OLDEST_MAJOR		5

/* Name in the library, name in the table, parameters.  All return hipError_t. */
#define HIP_CALLS(X)							\
	X(hipInit, init, (unsigned int flags))				\
	X(hipRuntimeGetVersion, version, (int *version))		\
	X(hipGetDeviceCount, device_count, (int *nr))			\
	X(hipDeviceGet, device_get, (int *dev, int index))		\
	X(hipDeviceGetName, device_name, (char *name, int size, int dev)) \
	X(hipDeviceTotalMem, device_memory, (size_t *bytes, int dev))	\
	X(hipDeviceGetPCIBusId, device_pci, (char *id, int size, int index)) \
	X(hipGetDevice, get_device, (int *index))			\
	X(hipSetDevice, set_device, (int index))			\
	X(hipPeekAtLastError, peek_error, (void))			\
	X(hipGetLastError, get_error, (void))				\
	X(hipMalloc, mem_alloc, (void **addr, size_t bytes))		\
	X(hipFree, mem_free, (void *addr))				\
	X(hipMemcpy, copy, (void *dst, const void *src, size_t n, int kind))

static struct {
	void *handle;
	/* Of the last search, in vain; see nr_loads(). */
	unsigned long long searched;
	/* These may be missing. */
	int (*pointer_set)(const void *value, int attribute, void *addr);
	int (*capture_mode)(int *mode);
#define FIELD(symbol, field, params) int (*field)params;
	HIP_CALLS(FIELD)
#undef FIELD
} hip;

int gpu_hip_errno(int result)
{
	if (result >= HIP_CAPTURE_FIRST && result <= HIP_CAPTURE_LAST)
		return -EOPNOTSUPP;
	switch (result) {
	case HIP_OK:
		return 0;
	case HIP_INVALID_VALUE:
	case HIP_INVALID_DEVICE_POINTER:
	case HIP_INVALID_CONTEXT:
	case HIP_INVALID_HANDLE:
	case HIP_CONTEXT_IS_DESTROYED:
		return -EINVAL;
	case HIP_OUT_OF_MEMORY:
		return -ENOMEM;
	case HIP_NOT_INITIALIZED:
	case HIP_DEINITIALIZED:
	case HIP_INSUFFICIENT_DRIVER:
	case HIP_NO_DEVICE:
	case HIP_INVALID_DEVICE:
		return -ENODEV;
	case HIP_NOT_SUPPORTED:
		return -ENOSYS;
	default:
		return -EIO;
	}
}

/* ------------------------------------------------------------- the library */

/*
 * The first of these that the application has loaded already, because another
 * copy would not know its memory; else the first that there is.
 */
static void *open_library(void)
{
	static const char *const names[] = {
		"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5",
		"libamdhip64.so"
	};
	static const int flags[] = { RTLD_NOLOAD, 0 };
	void *handle = NULL;

	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; !handle &&
		     k < sizeof(names) / sizeof(names[0]); k++)
			handle = dlopen(names[k],
					RTLD_NOW | RTLD_LOCAL | flags[i]);
	}
	return handle;
}

/* memcpy: ISO C has no cast from an object pointer to a function pointer. */
static int bind(void *handle, const char *name, void *field)
{
	void *address = dlsym(handle, name);

	memcpy(field, &address, sizeof(address));
	return address ? 0 : -ENOSYS;
}

static void *symbol_of_library(const char *name)
{
	return dlsym(hip.handle, name);
}

static int bind_all(void)
{
	int version = 0;
	int ret = 0;

#define BIND(symbol, field, params) \
	ret = ret ? ret : bind(hip.handle, #symbol, &hip.field);
	HIP_CALLS(BIND)
#undef BIND
	if (ret)
		return ret;
	bind(hip.handle, "hipPointerSetAttribute", &hip.pointer_set);
	bind(hip.handle, "hipThreadExchangeStreamCaptureMode",
	     &hip.capture_mode);
	/* Also before hipInit(). */
	if (hip.version(&version) || version < OLDEST_MAJOR * VERSION_MAJOR ||
	    !gpu_hip_bind_streams(symbol_of_library, version / VERSION_MAJOR))
		return -ENOSYS;
	gpu_hip_bind_copies(symbol_of_library);
	return 0;
}

static int take_adds(struct dl_phdr_info *info, size_t size, void *adds)
{
	(void)size;
	memcpy(adds, &info->dlpi_adds, sizeof(info->dlpi_adds));
	return 1;
}

/* How many objects the process has loaded in its life. */
static unsigned long long nr_loads(void)
{
	unsigned long long adds = 0;

	dl_iterate_phdr(take_adds, &adds);
	return adds;
}

/*
 * A search takes 0.1 ms where there is no such library, and without a GPU each
 * request for host memory comes here.  One that the application loads later may
 * lie where none is looked for, so that counts.
 */
static int load(void)
{
	unsigned long long now = nr_loads();

	if (now == hip.searched)
		return -ENOSYS;
	hip.handle = open_library();
	if (!hip.handle) {
		hip.searched = now;
		return -ENOSYS;
	}
	if (!bind_all())
		return 0;
	dlclose(hip.handle);
	memset(&hip, 0, sizeof(hip));
	hip.searched = nr_loads();
	return -ENOSYS;
}

/* ------------------------------------------------------ the thread's state */

bool gpu_hip_clean(void)
{
	return !hip.peek_error();
}

void gpu_hip_forget(bool clean, int result)
{
	if (clean && result)
		hip.get_error();
}

/* Ends what gpu_hip_clean() began. */
static int end(bool clean, int result)
{
	gpu_hip_forget(clean, result);
	return gpu_hip_errno(result);
}

int gpu_hip_enter(unsigned int index, struct gpu_hip_entry *entry)
{
	int result;

	if (index >= MAX_DEVICES)
		return -ENODEV;
	entry->clean = gpu_hip_clean();
	result = hip.get_device(&entry->device);
	if (!result && entry->device != (int)index)
		result = hip.set_device((int)index);
	if (result)
		return end(entry->clean, result);
	entry->mode = CAPTURE_RELAXED;
	if (hip.capture_mode)
		hip.capture_mode(&entry->mode);
	return 0;
}

void gpu_hip_leave(const struct gpu_hip_entry *entry)
{
	int mode = entry->mode;
	int now = -1;

	if (hip.capture_mode)
		hip.capture_mode(&mode);
	/* Whichever call left one. */
	gpu_hip_forget(entry->clean, hip.peek_error());
	if (hip.get_device(&now) || now != entry->device)
		hip.set_device(entry->device);
}

static _Thread_local struct gpu_hip_entry thread_entry;

static int hip_enter(unsigned int index)
{
	return gpu_hip_enter(index, &thread_entry);
}

static void hip_leave(void)
{
	gpu_hip_leave(&thread_entry);
}

/* --------------------------------------------------------------- the driver */

static int hip_init(void)
{
	bool clean;
	int ret;

	/* Never unloaded: the library's threads may be about until exit. */
	if (!hip.handle) {
		ret = load();
		if (ret)
			return ret;
	}
	clean = gpu_hip_clean();
	return end(clean, hip.init(0));
}

/* What the process holds, the application may be using. */
static void hip_exit(void)
{
}

static int hip_count(void)
{
	bool clean = gpu_hip_clean();
	int nr = 0;
	int ret = end(clean, hip.device_count(&nr));

	if (ret)
		return ret;
	if (nr <= 0)
		return -ENODEV;
	return nr < MAX_DEVICES ? nr : MAX_DEVICES;
}

static int describe(unsigned int index, struct nvfs_gpu *gpu)
{
	char pci[32] = "";
	size_t bytes = 0;
	int dev;
	int result = hip.device_get(&dev, (int)index);

	if (!result)
		result = hip.device_name(gpu->name, sizeof(gpu->name), dev);
	if (!result)
		result = hip.device_memory(&bytes, dev);
	if (result)
		return result;
	gpu->name[sizeof(gpu->name) - 1] = '\0';
	gpu->memory = bytes;
	gpu->bdf = NVFS_BDF_NONE;
	if (!hip.device_pci(pci, sizeof(pci), (int)index))
		nvfs_bdf_parse(pci, &gpu->bdf);
	return 0;
}

static int hip_describe(unsigned int index, struct nvfs_gpu *gpu)
{
	bool clean = gpu_hip_clean();
	int result = describe(index, gpu);

	gpu_hip_forget(clean, hip.peek_error());
	return gpu_hip_errno(result);
}

static int hip_alloc(unsigned int index, uint64_t length, uint64_t *addr)
{
	struct gpu_hip_entry entry;
	void *memory = NULL;
	int ret;

	/* For which HIP would succeed, and give none. */
	if (!length)
		return -EINVAL;
	ret = gpu_hip_enter(index, &entry);
	if (ret)
		return ret;
	ret = gpu_hip_errno(hip.mem_alloc(&memory, length));
	gpu_hip_leave(&entry);
	*addr = (uintptr_t)memory;
	return ret;
}

static int hip_free(unsigned int index, uint64_t addr)
{
	struct gpu_hip_entry entry;
	int ret = gpu_hip_enter(index, &entry);

	if (ret)
		return ret;
	ret = gpu_hip_errno(hip.mem_free((void *)(uintptr_t)addr));
	gpu_hip_leave(&entry);
	return ret;
}

/* hipMemcpy() returns when all bytes are where they belong. */
static int copy(unsigned int index, void *dst, const void *src,
		uint64_t length, int kind)
{
	struct gpu_hip_entry entry;
	int ret = gpu_hip_enter(index, &entry);

	if (ret)
		return ret;
	ret = gpu_hip_errno(hip.copy(dst, src, length, kind));
	gpu_hip_leave(&entry);
	return ret;
}

static int hip_copy_in(unsigned int index, uint64_t dst, const void *src,
		       uint64_t length)
{
	return copy(index, (void *)(uintptr_t)dst, src, length,
		    HIP_HOST_TO_DEVICE);
}

static int hip_copy_out(unsigned int index, void *dst, uint64_t src,
			uint64_t length)
{
	return copy(index, dst, (const void *)(uintptr_t)src, length,
		    HIP_DEVICE_TO_HOST);
}

/* As gpu_cuda.c does; it is for memory that another device will reach. */
static int hip_expose(unsigned int index, uint64_t addr)
{
	struct gpu_hip_entry entry;
	unsigned int on = 1;
	int ret = gpu_hip_enter(index, &entry);

	if (ret)
		return ret;
	if (hip.pointer_set)
		hip.pointer_set(&on, HIP_POINTER_SYNC_MEMOPS,
				(void *)(uintptr_t)addr);
	gpu_hip_leave(&entry);
	return 0;
}

const struct gpu_driver gpu_hip = {
	.name = "hip",
	.init = hip_init,
	.exit = hip_exit,
	.count = hip_count,
	.describe = hip_describe,
	.enter = hip_enter,
	.leave = hip_leave,
	.alloc = hip_alloc,
	.free = hip_free,
	.copy_in = hip_copy_in,
	.copy_out = hip_copy_out,
	.expose = hip_expose,
	.classify = gpu_hip_classify,
	.uuid = gpu_hip_uuid,
	.streams = &gpu_hip_streams,
	.copies = &gpu_hip_copies,
};
