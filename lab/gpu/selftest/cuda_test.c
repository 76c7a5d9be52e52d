// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda.so.1, loaded as libnvfs does it.  Without a GPU only what
 * must work then is tested.
 */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcuda.h"
#include "tap.h"

static void test_before_init(void)
{
	CUdeviceptr ptr = 0;
	int n = 0;

	is(CU(cuDriverGetVersion)(&n), CUDA_SUCCESS, "version before init");
	ok(n >= 11030, "a version");
	is(CU(cuDriverGetVersion)(NULL), CUDA_ERROR_INVALID_VALUE, "version to NULL");
	is(CU(cuDeviceGetCount)(&n), CUDA_ERROR_NOT_INITIALIZED, "count before init");
	is(CU(cuMemAlloc_v2)(&ptr, 1), CUDA_ERROR_NOT_INITIALIZED, "alloc before init");
	is(CU(cuMemcpyHtoD_v2)(0, "", 0), CUDA_ERROR_NOT_INITIALIZED, "copy before init");
	is(CU(cuInit)(1), CUDA_ERROR_INVALID_VALUE, "init with a flag");
}

static void test_names(void)
{
	CUdriverProcAddressQueryResult status;
	const char *s = NULL;
	void *p = NULL;

	is(CU(cuGetErrorName)(CUDA_ERROR_OUT_OF_MEMORY, &s), 0, "name of an error");
	ok(s && !strcmp(s, "CUDA_ERROR_OUT_OF_MEMORY"), "the right one");
	is(CU(cuGetErrorString)(CUDA_ERROR_OUT_OF_MEMORY, &s), 0, "its text");
	is(CU(cuGetErrorName)((CUresult)12345, &s), CUDA_ERROR_INVALID_VALUE, "no such error");
	ok(!s, "no name either");
	is(CU(cuGetProcAddress_v2)("cuMemAlloc", &p, 12000, 0, &status), 0, "a function by name");
	ok(p == sym("cuMemAlloc_v2") && status == CU_GET_PROC_ADDRESS_SUCCESS, "the right one");
	is(CU(cuGetProcAddress_v2)("cuMemAlloc", &p, 2000, 0, &status), 0, "for an old client");
	ok(!p && status == CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT, "too old");
	is(CU(cuGetProcAddress_v2)("cuNoSuch", &p, 12000, 0, &status), 0, "a wrong name");
	ok(!p && status == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND, "not found");
	is(CU(cuGetProcAddress)("cuNoSuch", &p, 11030, 0), CUDA_ERROR_NOT_FOUND, "the older form");
	is(CU(cuGetProcAddress)("cuGetProcAddress", &p, 11030, 0), 0, "finds itself");
	ok(p == sym("cuGetProcAddress"), "in its own form");
	is(CU(cuGetProcAddress)("cuGetProcAddress", &p, 12000, 0), 0, "and the newer one");
	ok(p == sym("cuGetProcAddress_v2"), "which is another");
}

static void test_device(CUdevice dev)
{
	CUdevice again = -1;
	CUuuid uuid = {};
	char name[64], id[16];
	size_t bytes = 0;
	int v = -1;

	is(CU(cuDeviceGetName)(name, sizeof(name), dev), 0, "name");
	is(CU(cuDeviceGetPCIBusId)(id, sizeof(id), dev), 0, "PCI function");
	is(CU(cuDeviceGetByPCIBusId)(&again, id), 0, "and back");
	is(again, dev, "the same device");
	is(CU(cuDeviceGetPCIBusId)(id, 5, dev), CUDA_ERROR_INVALID_VALUE, "no room for it");
	is(CU(cuDeviceGetUuid)(&uuid, dev), 0, "uuid");
	is(CU(cuDeviceTotalMem_v2)(&bytes, dev), 0, "memory");
	ok(bytes >= 1 << 20 && uuid.bytes[0] && name[0], "sensible answers");
	is(CU(cuDeviceGetAttribute)(&v, CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED, dev), 0,
	   "attribute");
	is(v, 1, "peer to peer is supported");
	is(CU(cuDeviceGetAttribute)(&v, CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED, dev), 0, "another");
	is(v, 1, "so is dma-buf");
	is(CU(cuDeviceGetAttribute)(&v, 0, dev), CUDA_ERROR_INVALID_VALUE, "no such attribute");
	is(CU(cuDeviceGetAttribute)(&v, 1, 99), CUDA_ERROR_INVALID_DEVICE, "no such device");
	is(CU(cuDeviceGet)(&again, -1), CUDA_ERROR_INVALID_DEVICE, "a negative one");
}

/* What a client asks before it makes streams of its own. */
static void test_stream_settings(void)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
	int least = 9, greatest = 9, priority = 9, can = 9;
	unsigned int flags = 9;
	CUstream s;

	is(CU(cuCtxGetStreamPriorityRange)(&least, &greatest), 0, "priorities");
	ok(least == 0 && greatest < 0, "the smaller, the sooner");
	is(CU(cuCtxGetStreamPriorityRange)(NULL, NULL), 0, "nobody need ask");
	is(CU(cuStreamCreateWithPriority)(&s, 1, greatest - 100), 0, "more than the most");
	is(CU(cuStreamGetPriority)(s, &priority), 0, "its priority");
	is(priority, greatest, "is the most");
	is(CU(cuStreamGetPriority)(s, NULL), CUDA_ERROR_INVALID_VALUE, "to nowhere");
	is(CU(cuStreamDestroy_v2)(s), 0, "destroy");
	is(CU(cuStreamGetPriority)(s, &priority), CUDA_ERROR_INVALID_HANDLE, "of none");
	is(CU(cuThreadExchangeStreamCaptureMode)(&mode), 0, "capture mode");
	is(mode, CU_STREAM_CAPTURE_MODE_GLOBAL, "was the default");
	is(CU(cuThreadExchangeStreamCaptureMode)(&mode), 0, "and back");
	is(mode, CU_STREAM_CAPTURE_MODE_RELAXED, "was what was set");
	mode = 3;
	is(CU(cuThreadExchangeStreamCaptureMode)(&mode), CUDA_ERROR_INVALID_VALUE, "no such mode");
	is(CU(cuCtxGetFlags)(&flags), 0, "flags of the context");
	is(flags, 0, "none");
	is(CU(cuDeviceCanAccessPeer)(&can, 0, 0), 0, "access to a peer");
	is(can, 0, "there is none");
	is(CU(cuDeviceCanAccessPeer)(&can, 0, 99), CUDA_ERROR_INVALID_DEVICE, "no such peer");
}

static void test_context(CUdevice dev)
{
	CUcontext ctx = NULL, top = NULL, own = NULL;
	CUdeviceptr ptr = 0;
	CUdevice which = -1;

	is(CU(cuMemAlloc_v2)(&ptr, 1), CUDA_ERROR_INVALID_CONTEXT, "alloc without a context");
	is(CU(cuCtxGetDevice)(&which), CUDA_ERROR_INVALID_CONTEXT, "device without a context");
	is(CU(cuDevicePrimaryCtxRetain)(&ctx, dev), 0, "retain");
	is(CU(cuCtxSetCurrent)(ctx), 0, "set current");
	is(CU(cuCtxGetDevice)(&which), 0, "device of the context");
	is(which, dev, "the right one");
	is(CU(cuCtxCreate_v2)(&own, 0, dev), 0, "create one");
	is(CU(cuCtxGetCurrent)(&top), 0, "current");
	ok(top == own && own != ctx, "it is on top");
	is(CU(cuCtxPushCurrent_v2)(ctx), 0, "push");
	is(CU(cuCtxDestroy_v2)(own), 0, "destroy below the top");
	is(CU(cuCtxPopCurrent_v2)(&top), 0, "pop");
	is(CU(cuMemAlloc_v2)(&ptr, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED, "use a destroyed one");
	is(CU(cuCtxPushCurrent_v2)(own), CUDA_ERROR_INVALID_CONTEXT, "push a destroyed one");
	is(CU(cuCtxPopCurrent_v2)(NULL), 0, "pop it");
	is(CU(cuCtxSynchronize)(), 0, "synchronize");
	is(CU(cuFlushGPUDirectRDMAWrites)(0, 100), 0, "flush");
	is(CU(cuFlushGPUDirectRDMAWrites)(0, 5), CUDA_ERROR_INVALID_VALUE, "wrong flush");
	is(CU(cuMemAlloc_v2)(&ptr, 4096), 0, "alloc");
	is(CU(cuDevicePrimaryCtxRelease_v2)(dev), 0, "release");
	is(CU(cuMemFree_v2)(ptr), CUDA_ERROR_INVALID_VALUE, "which freed the memory");
	is(CU(cuMemAlloc_v2)(&ptr, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED, "and ended the context");
	is(CU(cuDevicePrimaryCtxRelease_v2)(dev), CUDA_ERROR_INVALID_CONTEXT, "release again");
	is(CU(cuCtxSetCurrent)(NULL), 0, "no context");
}

#define N ((size_t)3000001)

static void test_copies(void)
{
	unsigned char *in = malloc(N), *out = malloc(N);
	CUdeviceptr a = 0, b = 0, base = 0;
	size_t i, size = 0;

	for (i = 0; i < N; i++)
		in[i] = (unsigned char)(i * 31 + i / 251);
	is(CU(cuMemAlloc_v2)(&a, N), 0, "alloc");
	is(CU(cuMemAlloc_v2)(&b, N), 0, "alloc another");
	is(CU(cuMemsetD8_v2)(a, 0x5a, N), 0, "memset");
	is(CU(cuMemsetD32_v2)(a, 0x44332211, 3), 0, "memset of words");
	is(CU(cuMemcpyDtoH_v2)(out, a, 13), 0, "read them");
	ok(!memcmp(out, "\x11\x22\x33\x44\x11\x22\x33\x44\x11\x22\x33\x44\x5a", 13), "they are there");
	is(CU(cuMemsetD32_v2)(a + 2, 0, 1), CUDA_ERROR_INVALID_VALUE, "between words");
	is(CU(cuMemsetD32_v2)(a, 0, (size_t)1 << 62), CUDA_ERROR_INVALID_VALUE, "too many");
	is(CU(cuMemsetD8_v2)(a, 0x5a, 13), 0, "memset again");
	is(CU(cuMemcpyHtoD_v2)(a + 1, in + 1, N - 2), 0, "host to device");
	is(CU(cuMemcpyDtoD_v2)(b, a, N), 0, "device to device");
	is(CU(cuMemcpyDtoH_v2)(out, b, N), 0, "device to host");
	ok(!memcmp(out + 1, in + 1, N - 2), "the bytes came back");
	ok(out[0] == 0x5a && out[N - 1] == 0x5a, "and those around them");
	is(CU(cuMemGetAddressRange_v2)(&base, &size, b + 77), 0, "address range");
	ok(base == b && size == N, "as it was allocated");
	is(CU(cuMemGetAddressRange_v2)(&base, &size, b + N), CUDA_ERROR_NOT_FOUND, "behind it");
	is(CU(cuMemcpyDtoH_v2)(out, b, N + 1), CUDA_ERROR_INVALID_VALUE, "a byte too many");
	is(CU(cuMemcpyDtoH_v2)(out, b - 1, 1), CUDA_ERROR_INVALID_VALUE, "a byte before");
	is(CU(cuMemcpyDtoH_v2)(NULL, b, 1), CUDA_ERROR_INVALID_VALUE, "to NULL");
	is(CU(cuMemAlloc_v2)(&base, 0), CUDA_ERROR_INVALID_VALUE, "alloc of nothing");
	is(CU(cuMemAlloc_v2)(&base, (size_t)1 << 50), CUDA_ERROR_OUT_OF_MEMORY, "alloc of 1 PiB");
	is(CU(cuMemFree_v2)(b + 1), CUDA_ERROR_INVALID_VALUE, "free inside");
	is(CU(cuMemFree_v2)(b), 0, "free");
	is(CU(cuMemFree_v2)(b), CUDA_ERROR_INVALID_VALUE, "free again");
	is(CU(cuMemFree_v2)(0), 0, "free of nothing");
	is(CU(cuMemFree_v2)(a), 0, "free the other");
	free(in);
	free(out);
}

static void test_pointers(void)
{
	CUpointer_attribute attrs[] = {
		CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
		CU_POINTER_ATTRIBUTE_RANGE_SIZE
	};
	unsigned long long size = 9;
	int type = -1, ordinal = -1, one = 1, sync = 0;
	void *data[] = { &type, &ordinal, &size };
	unsigned long long host = (uintptr_t)&type;
	CUdeviceptr p = 0;

	is(CU(cuMemAlloc_v2)(&p, 100000), 0, "alloc");
	is(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 5), 0, "type");
	is(type, CU_MEMORYTYPE_DEVICE, "device memory");
	is(CU(cuPointerGetAttributes)(3, attrs, data, p), 0, "three at once");
	ok(type == CU_MEMORYTYPE_DEVICE && ordinal == 0 && size == 100000, "right ones");
	is(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host),
	   CUDA_ERROR_INVALID_VALUE, "type of host memory");
	is(CU(cuPointerGetAttributes)(3, attrs, data, host), 0, "three of host memory");
	ok(!type && ordinal == -2 && !size, "none known");
	is(CU(cuPointerSetAttribute)(&one, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p), 0, "sync memops");
	is(CU(cuPointerGetAttribute)(&sync, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p), 0, "read back");
	is(sync, 1, "set");
	is(CU(cuPointerSetAttribute)(&one, CU_POINTER_ATTRIBUTE_CONTEXT, p),
	   CUDA_ERROR_INVALID_VALUE, "read-only attribute");
	CU(cuMemFree_v2)(p);
}

static void test_dmabuf(void)
{
	size_t before = 0, now = 0, total = 0;
	CUdeviceptr p = 0;
	int fd = -1, all = -1, none = 0;

	CU(cuMemGetInfo_v2)(&before, &total);
	is(CU(cuMemAlloc_v2)(&p, 3 * 65536), 0, "alloc");
	is(CU(cuMemGetHandleForAddressRange)(&fd, p + 4096, 65536, 1, 0), 0, "a part of it as a dma-buf");
	is(lseek(fd, 0, SEEK_END), 65536, "which has its size");
	is(CU(cuMemGetHandleForAddressRange)(&all, p, 3 * 65536, 1, 1), 0, "all of it");
	ok(fcntl(all, F_GETFD) & FD_CLOEXEC, "not for other programs");
	is(CU(cuMemGetHandleForAddressRange)(&none, p, 4 * 65536, 1, 0), CUDA_ERROR_INVALID_VALUE, "more than there is");
	is(CU(cuMemGetHandleForAddressRange)(&none, p + 1, 4096, 1, 0), CUDA_ERROR_INVALID_VALUE, "no whole page");
	is(CU(cuMemGetHandleForAddressRange)(&none, p, 0, 1, 0), CUDA_ERROR_INVALID_VALUE, "nothing");
	is(CU(cuMemGetHandleForAddressRange)(&none, p, 4096, 2, 0), CUDA_ERROR_INVALID_VALUE, "another kind");
	is(CU(cuMemGetHandleForAddressRange)(&none, p, 4096, 1, 2), CUDA_ERROR_INVALID_VALUE, "another flag");
	is(CU(cuMemGetHandleForAddressRange)(&none, 4096, 4096, 1, 0), CUDA_ERROR_INVALID_VALUE, "memory that is none");
	is(none, 0, "no descriptor after a failure");
	is(CU(cuMemFree_v2)(p), 0, "free it");
	close(all);
	CU(cuMemGetInfo_v2)(&now, &total);
	is(now, before - 3 * 65536, "the other still has the memory");
	close(fd);
	CU(cuMemGetInfo_v2)(&now, &total);
	is(now, before, "until it is closed");
}

static CUcontext shared;

static void *hammer(void *arg)
{
	unsigned char in[4096], out[4096];
	unsigned char fill = (unsigned char)(uintptr_t)arg;
	CUdeviceptr p;
	long bad = 0;
	int i;

	memset(in, fill, sizeof(in));
	bad += CU(cuCtxSetCurrent)(shared) != 0;
	for (i = 0; i < 200; i++) {
		bad += CU(cuMemAlloc_v2)(&p, 70000) != 0;
		bad += CU(cuMemcpyHtoD_v2)(p + 61234, in, sizeof(in)) != 0;
		bad += CU(cuMemcpyDtoH_v2)(out, p + 61234, sizeof(out)) != 0;
		bad += memcmp(in, out, sizeof(in)) != 0;
		bad += CU(cuMemFree_v2)(p) != 0;
	}
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t threads[4];
	long bad = 0;
	void *ret;
	int i;

	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)(i + 1));
	for (i = 0; i < 4; i++) {
		pthread_join(threads[i], &ret);
		bad += (long)ret;
	}
	is(bad, 0, "four threads allocate, copy and free");
}

static void test_scatter(void)
{
	size_t before = 0, after = 0, total;
	unsigned char *in = malloc(N), *out = calloc(1, N);
	CUdeviceptr p = 0;
	size_t i;

	for (i = 0; i < N; i++)
		in[i] = (unsigned char)(i * 13 + i / 65536);
	CU(cuMemGetInfo_v2)(&before, &total);
	setenv("LABGPU_SCATTER", "1", 1);
	is(CU(cuMemAlloc_v2)(&p, N), 0, "alloc scattered");
	unsetenv("LABGPU_SCATTER");
	CU(cuMemGetInfo_v2)(&after, &total);
	is(before - after, (N + 65535) / 65536 * 65536, "as many pages as it takes");
	is(CU(cuMemcpyHtoD_v2)(p, in, N), 0, "copy there");
	is(CU(cuMemcpyDtoH_v2)(out, p, N), 0, "and back");
	ok(!memcmp(in, out, N), "same bytes");
	CU(cuMemFree_v2)(p);
	free(in);
	free(out);
}

static void test_fork(void)
{
	CUdeviceptr p = 0;
	int status, n;
	pid_t pid = fork();

	if (!pid) {
		if (CU(cuDeviceGetCount)(&n) != CUDA_ERROR_NOT_INITIALIZED)
			_exit(1);
		if (CU(cuInit)(0) != CUDA_ERROR_NOT_INITIALIZED)
			_exit(2);
		_exit(CU(cuMemAlloc_v2)(&p, 1) == CUDA_ERROR_NOT_INITIALIZED ? 0 : 3);
	}
	waitpid(pid, &status, 0);
	is(status, 0, "a forked child is told that nothing is initialised");
	is(CU(cuMemAlloc_v2)(&p, 1), 0, "its parent goes on");
	CU(cuMemFree_v2)(p);
}

/* Says when it was called, and waits to be let go. */
struct gate {
	_Atomic int entered;
	_Atomic int open;
};

static void gate_fn(void *data)
{
	struct gate *gate = data;

	gate->entered = 1;
	while (!gate->open)
		sched_yield();
}

/* Other streams go on while one is held up, stream 0 does not. */
static void test_stream_order(void)
{
	struct gate gate = { 0, 0 };
	CUstream held, other, blocking;
	CUdeviceptr p = 0;
	CUevent event;
	char back[4] = "";

	CU(cuMemAlloc_v2)(&p, 4096);
	is(CU(cuStreamCreate)(&held, CU_STREAM_NON_BLOCKING), 0, "a stream");
	is(CU(cuStreamCreate)(&other, CU_STREAM_NON_BLOCKING), 0, "another");
	is(CU(cuStreamCreate)(&blocking, 0), 0, "one that stream 0 waits for");
	is(CU(cuEventCreate)(&event, 0), 0, "an event");
	is(CU(cuLaunchHostFunc)(held, gate_fn, &gate), 0, "a host function");
	is(CU(cuEventRecord)(event, held), 0, "an event behind it");
	while (!gate.entered)
		sched_yield();
	is(CU(cuStreamQuery)(held), CUDA_ERROR_NOT_READY, "it is held up");
	is(CU(cuEventQuery)(event), CUDA_ERROR_NOT_READY, "so is the event");
	is(CU(cuMemcpyHtoDAsync_v2)(p, "abc", 4, other), 0, "a copy elsewhere");
	is(CU(cuMemcpyDtoHAsync_v2)(back, p, 4, other), 0, "and back");
	is(CU(cuStreamSynchronize)(other), 0, "which gets done");
	ok(!strcmp(back, "abc"), "the bytes");
	is(CU(cuStreamWaitEvent)(blocking, event, 0), 0, "a third waits for the event");
	is(CU(cuMemsetD8Async)(p, 'x', 4, NULL), 0, "stream 0 for the third");
	is(CU(cuStreamQuery)(NULL), CUDA_ERROR_NOT_READY, "it does");
	gate.open = 1;
	is(CU(cuMemcpyDtoH_v2)(back, p, 4), 0, "a copy waits for stream 0");
	ok(back[0] == 'x', "and sees what it did");
	is(CU(cuStreamDestroy_v2)(held), 0, "destroy");
	is(CU(cuStreamQuery)(held), CUDA_ERROR_INVALID_HANDLE, "gone");
	CU(cuStreamDestroy_v2)(other);
	CU(cuStreamDestroy_v2)(blocking);
	CU(cuEventDestroy_v2)(event);
	CU(cuMemFree_v2)(p);
}

static void test_host_memory(void)
{
	CUdeviceptr managed = 0, gpu = 0;
	void *host = NULL, *none = &host;
	unsigned int type = 9;
	uint32_t *word;
	CUstream s;

	is(CU(cuMemHostAlloc)(&host, 100, CU_MEMHOSTALLOC_DEVICEMAP), 0, "pinned memory");
	is(CU(cuMemHostGetDevicePointer_v2)(&gpu, host, 0), 0, "the GPU's address of it");
	is(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
				     (uintptr_t)host), 0, "its type");
	is(type, CU_MEMORYTYPE_HOST, "host memory");
	is(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
				     (uintptr_t)none), CUDA_ERROR_INVALID_VALUE, "unknown memory");
	is(CU(cuStreamCreate)(&s, 0), 0, "a stream");
	word = host;
	*word = 0;
	is(CU(cuStreamWaitValue32_v2)(s, gpu, 1, CU_STREAM_WAIT_VALUE_GEQ), 0, "wait for a value");
	is(CU(cuStreamWriteValue32_v2)(s, gpu, 7, 0), 0, "write one after it");
	ok(*word == 0 && CU(cuStreamQuery)(s) == CUDA_ERROR_NOT_READY, "it waits");
	__atomic_store_n(word, 2, __ATOMIC_RELEASE);
	is(CU(cuStreamSynchronize)(s), 0, "until it is there");
	is(*word, 7, "and goes on");
	CU(cuStreamDestroy_v2)(s);
	is(CU(cuMemFreeHost)(host), 0, "free it");
	is(CU(cuMemFreeHost)(host), CUDA_ERROR_INVALID_VALUE, "but once");
	is(CU(cuMemAllocManaged)(&managed, 10, CU_MEM_ATTACH_GLOBAL), 0, "managed memory");
	is(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_IS_MANAGED, managed), 0, "it");
	is(type, 1, "says so");
	is(CU(cuMemFree_v2)(managed), 0, "free it");
	setenv("LABGPU_MAX_PINNED", "4096", 1);
	is(CU(cuMemHostAlloc)(&host, 4097, 0), CUDA_ERROR_OUT_OF_MEMORY, "too much");
	unsetenv("LABGPU_MAX_PINNED");
}

int main(int argc, char **argv)
{
	bool none = argc > 1 && !strcmp(argv[1], "--no-gpu");
	int n = 0;

	lib = dlopen("libcuda.so.1", RTLD_NOW);
	if (!ok(lib, "load libcuda.so.1"))
		return tap_done();
	test_before_init();
	test_names();
	is(CU(cuInit)(0), none ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS, "init");
	if (none)
		return tap_done();
	is(CU(cuInit)(0), 0, "init again");
	is(CU(cuDeviceGetCount)(&n), 0, "count");
	ok(n >= 1, "a device");
	test_device(n - 1);
	test_context(0);
	CU(cuDevicePrimaryCtxRetain)(&shared, 0);
	CU(cuCtxSetCurrent)(shared);
	test_stream_settings();
	test_copies();
	test_pointers();
	test_dmabuf();
	test_threads();
	test_scatter();
	test_stream_order();
	test_host_memory();
	test_fork();
	return tap_done();
}
