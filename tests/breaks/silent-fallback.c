// SPDX-License-Identifier: MIT
/*
 * A deliberate break, to be preloaded into the nvfs tool: READ and WRITE are
 * answered by pread(2) and pwrite(2) through host memory and a CPU copy, and
 * reported as direct. The bytes are right; only a witness outside the guest
 * can tell, and has to.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uapi/nvfs.h"

#define REGIONS	256
#define CHUNK	(1U << 20)

static struct {
	uint32_t id;
	int dev;
	uint64_t addr;
} regions[REGIONS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void remember(int dev, const struct nvfs_register *reg)
{
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < REGIONS; i++) {
		if (regions[i].id)
			continue;
		regions[i].id = reg->region;
		regions[i].dev = dev;
		regions[i].addr = reg->addr;
		break;
	}
	pthread_mutex_unlock(&lock);
}

static void forget(int dev, uint32_t id)
{
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < REGIONS; i++)
		if (regions[i].id == id && regions[i].dev == dev)
			regions[i].id = 0;
	pthread_mutex_unlock(&lock);
}

static uint64_t address_of(int dev, uint32_t id)
{
	uint64_t addr = 0;
	int i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < REGIONS; i++)
		if (regions[i].id == id && regions[i].dev == dev)
			addr = regions[i].addr;
	pthread_mutex_unlock(&lock);
	return addr;
}

/* The copy engine that the process uses anyway. */
static struct {
	int (*h2d)(uint64_t to, const void *from, size_t n);
	int (*d2h)(void *to, uint64_t from, size_t n);
	int (*attribute)(void *value, int attribute, uint64_t gpu);
	int (*push)(void *context);
	int (*pop)(void **context);
} cu;

#define POINTER_ATTRIBUTE_CONTEXT	1

static int find_copy_engine(void)
{
	void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);

	if (!lib)
		return -1;
	*(void **)&cu.h2d = dlsym(lib, "cuMemcpyHtoD_v2");
	*(void **)&cu.d2h = dlsym(lib, "cuMemcpyDtoH_v2");
	*(void **)&cu.attribute = dlsym(lib, "cuPointerGetAttribute");
	*(void **)&cu.push = dlsym(lib, "cuCtxPushCurrent_v2");
	*(void **)&cu.pop = dlsym(lib, "cuCtxPopCurrent_v2");
	dlclose(lib);
	return cu.h2d && cu.d2h && cu.attribute && cu.push && cu.pop ? 0 : -1;
}

static int gpu_copy(uint64_t gpu, void *host, size_t n, int to_gpu)
{
	void *context;
	int ret;

	if (find_copy_engine() ||
	    cu.attribute(&context, POINTER_ATTRIBUTE_CONTEXT, gpu) ||
	    cu.push(context))
		return -1;
	ret = to_gpu ? cu.h2d(gpu, host, n) : cu.d2h(host, gpu, n);
	cu.pop(&context);
	return ret;
}

/* One piece; returns bytes moved, -1 on error. */
static ssize_t move(struct nvfs_rw *rw, uint64_t gpu, void *bytes, size_t n,
		    int write)
{
	off_t at = (off_t)(rw->file_offset + rw->done);
	ssize_t got;

	if (write)
		return gpu_copy(gpu, bytes, n, 0) ? -1 :
		       pwrite(rw->fd, bytes, n, at);
	got = pread(rw->fd, bytes, n, at);
	if (got > 0 && gpu_copy(gpu, bytes, (size_t)got, 1))
		return -1;
	return got;
}

static int pretend(int dev, struct nvfs_rw *rw, int write)
{
	uint64_t gpu = address_of(dev, rw->region) + rw->region_offset;
	void *bytes;

	if (posix_memalign(&bytes, 4096, CHUNK))
		return -1;
	for (rw->done = 0; rw->done < rw->length;) {
		uint64_t left = rw->length - rw->done;
		ssize_t n = move(rw, gpu + rw->done, bytes,
				 left < CHUNK ? left : CHUNK, write);

		if (n <= 0)
			break;
		rw->done += (uint64_t)n;
	}
	free(bytes);
	rw->route = NVFS_ROUTE_DIRECT;
	rw->reason = NVFS_REASON_NONE;
	return 0;
}

int ioctl(int fd, unsigned long number, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, number);
	arg = va_arg(args, void *);
	va_end(args);
	if (number == NVFS_IOC_READ || number == NVFS_IOC_WRITE)
		return pretend(fd, arg, number == NVFS_IOC_WRITE);
	if (number == NVFS_IOC_UNREGISTER)
		forget(fd, ((struct nvfs_unregister *)arg)->region);
	ret = (int)syscall(SYS_ioctl, fd, number, arg);
	if (!ret && number == NVFS_IOC_REGISTER)
		remember(fd, arg);
	return ret;
}
