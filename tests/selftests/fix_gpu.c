// SPDX-License-Identifier: MIT
/* GPU memory, by the driver calls that an application would make. */
#include "fix.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CUDA_OUT_OF_MEMORY	2
#define CHECK_CHUNK		(1 * MIB)

/*
 * The library is opened in the test's own process: a CUDA context does not
 * survive fork().
 */
static struct {
	pid_t pid;
	void *context[16];
	int (*device_count)(int *count);
	int (*device_get)(int *device, int ordinal);
	int (*device_bus_id)(char *text, int len, int device);
	int (*total)(size_t *bytes, int device);
	int (*retain)(void **context, int device);
	int (*set_current)(void *context);
	int (*alloc)(uint64_t *va, size_t bytes);
	int (*free)(uint64_t va);
	int (*h2d)(uint64_t to, const void *from, size_t bytes);
	int (*d2h)(void *to, uint64_t from, size_t bytes);
	int (*memset8)(uint64_t to, unsigned char byte, size_t n);
} cu;

static void *symbol(void *lib, const char *name)
{
	void *p = dlsym(lib, name);

	if (!p)
		FAIL("libcuda.so.1 has no %s", name);
	return p;
}

static void *open_library(void)
{
	char path[512];
	void *lib;

	snprintf(path, sizeof(path), "%s/build/lab/libcuda.so.1", top_dir());
	lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		FAIL("%s", dlerror());
	return lib;
}

static void cu_start(void)
{
	int (*init)(unsigned int flags);
	void *lib;

	if (cu.pid == getpid())
		return;
	lib = open_library();
	*(void **)&init = symbol(lib, "cuInit");
	*(void **)&cu.device_count = symbol(lib, "cuDeviceGetCount");
	*(void **)&cu.device_get = symbol(lib, "cuDeviceGet");
	*(void **)&cu.device_bus_id = symbol(lib, "cuDeviceGetPCIBusId");
	*(void **)&cu.total = symbol(lib, "cuDeviceTotalMem_v2");
	*(void **)&cu.retain = symbol(lib, "cuDevicePrimaryCtxRetain");
	*(void **)&cu.set_current = symbol(lib, "cuCtxSetCurrent");
	*(void **)&cu.alloc = symbol(lib, "cuMemAlloc_v2");
	*(void **)&cu.free = symbol(lib, "cuMemFree_v2");
	*(void **)&cu.h2d = symbol(lib, "cuMemcpyHtoD_v2");
	*(void **)&cu.d2h = symbol(lib, "cuMemcpyDtoH_v2");
	*(void **)&cu.memset8 = symbol(lib, "cuMemsetD8_v2");
	ASSERT_EQ(init(0), 0);
	memset(cu.context, 0, sizeof(cu.context));
	cu.pid = getpid();
}

static int cu_device(int gpu)
{
	int device;

	cu_start();
	ASSERT_EQ(cu.device_get(&device, gpu), 0);
	return device;
}

void gpu_use(int gpu)
{
	int device = cu_device(gpu);

	if (!cu.context[gpu])
		ASSERT_EQ(cu.retain(&cu.context[gpu], device), 0);
	ASSERT_EQ(cu.set_current(cu.context[gpu]), 0);
}

int gpu_count(void)
{
	int n;

	cu_start();
	ASSERT_EQ(cu.device_count(&n), 0);
	return n;
}

uint64_t gpu_total(int gpu)
{
	int device = cu_device(gpu);
	size_t bytes;

	ASSERT_EQ(cu.total(&bytes, device), 0);
	return bytes;
}

uint32_t gpu_bdf(int gpu)
{
	unsigned int domain, bus, dev, fn;
	int device = cu_device(gpu);
	char text[32];

	ASSERT_EQ(cu.device_bus_id(text, sizeof(text), device), 0);
	ASSERT_EQ(sscanf(text, "%x:%x:%x.%x", &domain, &bus, &dev, &fn), 4);
	return domain << 16 | bus << 8 | dev << 3 | fn;
}

bool gpu_try_alloc(struct gpu_buf *buf, int gpu, uint64_t size, bool scatter)
{
	int ret;

	setenv("LABGPU_SCATTER", scatter ? "1" : "0", 1);
	gpu_use(gpu);
	ret = cu.alloc(&buf->va, size);
	if (ret == CUDA_OUT_OF_MEMORY)
		return false;
	ASSERT_EQ(ret, 0);
	buf->gpu = gpu;
	buf->size = size;
	return true;
}

void gpu_alloc(struct gpu_buf *buf, int gpu, uint64_t size, bool scatter)
{
	if (!gpu_try_alloc(buf, gpu, size, scatter))
		FAIL("GPU %d has no %llu bytes", gpu,
		     (unsigned long long)size);
}

void gpu_free(struct gpu_buf *buf)
{
	gpu_use(buf->gpu);
	ASSERT_EQ(cu.free(buf->va), 0);
	buf->va = 0;
}

void gpu_fill(const struct gpu_buf *buf, uint8_t byte)
{
	gpu_use(buf->gpu);
	ASSERT_EQ(cu.memset8(buf->va, byte, buf->size), 0);
}

void gpu_put(const struct gpu_buf *buf, uint64_t offset, const void *from,
	     uint64_t len)
{
	gpu_use(buf->gpu);
	ASSERT_EQ(cu.h2d(buf->va + offset, from, len), 0);
}

void gpu_get(const struct gpu_buf *buf, uint64_t offset, void *to,
	     uint64_t len)
{
	gpu_use(buf->gpu);
	ASSERT_EQ(cu.d2h(to, buf->va + offset, len), 0);
}

void gpu_put_pattern(const struct gpu_buf *buf, uint64_t offset,
		     uint64_t length, uint64_t seed, uint64_t pattern_offset)
{
	uint8_t *data = xmalloc(CHECK_CHUNK);
	uint64_t at, n;

	for (at = 0; at < length; at += n) {
		n = length - at < CHECK_CHUNK ? length - at : CHECK_CHUNK;
		pattern_fill(data, n, seed, pattern_offset + at);
		gpu_put(buf, offset + at, data, n);
	}
	free(data);
}

/* Compares in pieces; a difference is shown with its place in the buffer. */
static void check_piece(const uint8_t *want, const uint8_t *got, uint64_t n,
			uint64_t offset)
{
	uint64_t i = 0;

	if (!memcmp(want, got, n))
		return;
	while (want[i] == got[i])
		i++;
	FAIL("GPU memory differs at offset 0x%llx: 0x%02x, not 0x%02x",
	     (unsigned long long)(offset + i), got[i], want[i]);
}

void gpu_check_pattern(const struct gpu_buf *buf, uint64_t offset,
		       uint64_t length, uint64_t seed, uint64_t pattern_offset)
{
	uint8_t *want = xmalloc(CHECK_CHUNK);
	uint8_t *got = xmalloc(CHECK_CHUNK);
	uint64_t at, n;

	for (at = 0; at < length; at += n) {
		n = length - at < CHECK_CHUNK ? length - at : CHECK_CHUNK;
		pattern_fill(want, n, seed, pattern_offset + at);
		gpu_get(buf, offset + at, got, n);
		check_piece(want, got, n, offset + at);
	}
	free(want);
	free(got);
}

void gpu_check_byte(const struct gpu_buf *buf, uint64_t offset,
		    uint64_t length, uint8_t byte)
{
	uint8_t *want = xmalloc(CHECK_CHUNK);
	uint8_t *got = xmalloc(CHECK_CHUNK);
	uint64_t at, n;

	memset(want, byte, CHECK_CHUNK);
	for (at = 0; at < length; at += n) {
		n = length - at < CHECK_CHUNK ? length - at : CHECK_CHUNK;
		gpu_get(buf, offset + at, got, n);
		check_piece(want, got, n, offset + at);
	}
	free(want);
	free(got);
}
