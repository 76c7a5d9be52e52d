// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that lets a GPU read pages of a file where they
 * lie.  Loaded by gpu_cuda.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu.h"
#include "memory.h"

#define CU_NOT_PERMITTED	800
#define CU_NOT_SUPPORTED	801
/* CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED, CUDA 11.1 */
#define ATTRIBUTE_READ_ONLY	113
/* Portable, mapped; and read-only. */
#define HOST_WRITABLE		0x3U
#define HOST_READ_ONLY		0xbU
#define STREAM_NON_BLOCKING	1U

/* More than what the pump takes, which is the least that is copied from such pages. */
#define PROBE			(128U << 10)
#define PROBE_BYTE		0x5a

#define PIN_CALLS(X)							\
	X(cuDeviceGet, device_get, (int *dev, int index))		\
	X(cuDeviceGetAttribute, attribute, (int *value, int which, int dev)) \
	X(cuMemHostRegister_v2, host_register,				\
	  (void *host, size_t n, unsigned int flags))			\
	X(cuMemHostUnregister, host_unregister, (void *host))		\
	X(cuMemHostGetDevicePointer_v2, host_device_pointer,		\
	  (uint64_t *addr, void *host, unsigned int flags))		\
	X(cuMemAlloc_v2, mem_alloc, (uint64_t *addr, size_t n))		\
	X(cuMemFree_v2, mem_free, (uint64_t addr))			\
	X(cuStreamCreate, stream_create, (void **stream, unsigned int flags)) \
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuStreamSynchronize, stream_sync, (void *stream))		\
	X(cuMemcpyHtoDAsync_v2, copy_in,				\
	  (uint64_t dst, const void *src, size_t n, void *stream))	\
	X(cuMemcpyDtoH_v2, copy_out, (void *dst, uint64_t src, size_t n))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	PIN_CALLS(FIELD)
#undef FIELD
} cu;

static bool complete;

/*
 * The kernel's part of the driver makes all pages dirty that it lets go of, as 550.90.07
 * does; 580.159.04 does not.  Between those it was not looked at.
 */
#define VERSION_FILE		"/sys/module/nvidia/version"
#define VERSION_LEAST		580UL

/* Does the driver leave such copies to the GPU?  Found out once, for all GPUs. */
static struct {
	pthread_mutex_t lock;
	enum { UNKNOWN, WORKS, FAILS } found;	/* under @lock */
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER };

void gpu_cuda_bind_pin(void *(*symbol)(const char *name))
{
	void *address;

	complete = true;
	engine.found = UNKNOWN;
#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));			\
	complete = complete && address;
	PIN_CALLS(BIND)
#undef BIND
}

/* Registered, and known to the GPU by the CPU's address. */
static int register_pages(void *host, uint64_t length, unsigned int how)
{
	int ret = cu.host_register(host, length, how);
	uint64_t addr;

	if (ret == CU_NOT_PERMITTED || ret == CU_NOT_SUPPORTED)
		return -EOPNOTSUPP;
	if (ret)
		return gpu_cuda_errno(ret);
	if (!cu.host_device_pointer(&addr, host, 0) && addr == (uintptr_t)host)
		return 0;
	cu.host_unregister(host);
	return -EOPNOTSUPP;
}

/* Of a file in memory, whose pages it has not any more. */
static int is_read_by_engine(int fd, const char *host, void *stream,
			     uint64_t gpu)
{
	unsigned char now[PROBE / 64];

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PROBE) ||
	    cu.copy_in(gpu, host, PROBE, stream) || cu.stream_sync(stream))
		return -EAGAIN;
	for (unsigned int i = 0; i < 64; i++) {
		if (cu.copy_out(now, gpu + i * sizeof(now), sizeof(now)))
			return -EAGAIN;
		for (unsigned int n = 0; n < sizeof(now); n++) {
			if (now[n] != PROBE_BYTE)
				return -EOPNOTSUPP;
		}
	}
	return 0;
}

static int probe_on(int fd, char *host)
{
	int ret = register_pages(host, PROBE, HOST_READ_ONLY);
	void *stream = NULL;
	uint64_t gpu = 0;

	if (ret)
		return ret;
	ret = -EAGAIN;
	if (!cu.mem_alloc(&gpu, PROBE)) {
		if (!cu.stream_create(&stream, STREAM_NON_BLOCKING)) {
			ret = is_read_by_engine(fd, host, stream, gpu);
			cu.stream_destroy(stream);
		}
		cu.mem_free(gpu);
	}
	cu.host_unregister(host);
	return ret;
}

/*
 * The driver may touch what it is given: it makes small copies with the CPU, and all of
 * them where what is on the bus is encrypted.
 */
static int probe(void)
{
	struct memory_file file;
	int ret = -EAGAIN;
	char *host;

	if (memory_file_make(&file, PROBE))
		return ret;
	host = mmap(NULL, PROBE, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd,
		    0);
	if (host != MAP_FAILED) {
		memset(host, PROBE_BYTE, PROBE);
		if (!mprotect(host, PROBE, PROT_READ))
			ret = probe_on(file.fd, host);
		munmap(host, PROBE);
	}
	memory_file_close(&file);
	return ret;
}

static bool is_new_enough(void)
{
	FILE *file = fopen(VERSION_FILE, "re");
	unsigned long version = 0;

	if (!file)
		return false;
	if (fscanf(file, "%lu", &version) != 1)
		version = 0;
	fclose(file);
	return version >= VERSION_LEAST;
}

/* 0, or why not; -EAGAIN: it was not found out now. */
static int works(unsigned int index)
{
	int dev, can = 0, ret = 0;

	if (cu.device_get(&dev, (int)index) ||
	    cu.attribute(&can, ATTRIBUTE_READ_ONLY, dev) || !can)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&engine.lock);
	if (engine.found == UNKNOWN) {
		ret = is_new_enough() ? probe() : -EOPNOTSUPP;
		if (!ret || ret == -EOPNOTSUPP)
			engine.found = ret ? FAILS : WORKS;
	} else if (engine.found == FAILS) {
		ret = -EOPNOTSUPP;
	}
	pthread_mutex_unlock(&engine.lock);
	return ret;
}

int gpu_cuda_pin(unsigned int index, void *host, uint64_t length, bool writable)
{
	int ret = complete ? gpu_cuda_enter(index) : -ENOSYS;

	if (ret)
		return ret;
	if (!writable)
		ret = works(index);
	if (!ret)
		ret = register_pages(host, length, writable ? HOST_WRITABLE :
							      HOST_READ_ONLY);
	gpu_cuda_leave();
	return ret;
}
