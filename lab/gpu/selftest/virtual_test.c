// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda.so.1: reserved addresses with memory mapped in pieces, and
 * memory in stream order.
 */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "libcuda.h"
#include "tap.h"

#define MIB	(1UL << 20)
#define UNIT	(2 * MIB)

static unsigned long long attribute(CUpointer_attribute which, CUdeviceptr ptr)
{
	unsigned long long value = 0;

	return CU(cuPointerGetAttribute)(&value, which, ptr) ? ~0ULL : value;
}

static size_t mem_free(void)
{
	size_t bytes = 0, total;

	CU(cuMemGetInfo_v2)(&bytes, &total);
	return bytes;
}

static void test_reserve(void)
{
	CUdeviceptr a = 0, b = 0, c = 0;

	is(CU(cuMemAddressReserve)(&a, 0, 0, 0, 0), CUDA_ERROR_INVALID_VALUE, "nothing");
	is(CU(cuMemAddressReserve)(&a, 4097, 0, 0, 0), CUDA_ERROR_INVALID_VALUE, "part of a page");
	is(CU(cuMemAddressReserve)(&a, UNIT, 3, 0, 0), CUDA_ERROR_INVALID_VALUE,
	   "no alignment");
	is(CU(cuMemAddressReserve)(&a, UNIT, 0, 0, 1), CUDA_ERROR_INVALID_VALUE, "a flag");
	is(CU(cuMemAddressReserve)(&a, 1UL << 50, 0, 0, 0), CUDA_ERROR_OUT_OF_MEMORY,
	   "more than there is");
	is(CU(cuMemAddressReserve)(&a, 8 * UNIT, 0, 0, 0), 0, "reserve");
	is(CU(cuMemAddressReserve)(&b, UNIT, 64 * MIB, 0, 0), 0, "aligned");
	ok(b % (64 * MIB) == 0 && (b >= a + 9 * UNIT || a >= b + 2 * UNIT), "it is, and apart");
	is(CU(cuMemAddressReserve)(&c, UNIT, 0, b + 512 * UNIT, 0), 0, "at an address");
	ok(c == b + 512 * UNIT, "that one");
	is(CU(cuMemAddressFree)(c, UNIT), 0, "free");
	is(CU(cuMemAddressFree)(b, 2 * UNIT), CUDA_ERROR_INVALID_VALUE, "not its size");
	is(CU(cuMemAddressFree)(b, UNIT), 0, "its size");
	is(CU(cuMemAddressFree)(b, UNIT), CUDA_ERROR_INVALID_VALUE, "but once");
	is(attribute(CU_POINTER_ATTRIBUTE_MAPPED, a + UNIT), 0, "nothing is mapped");
	ok(attribute(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, a + UNIT) == a &&
	   attribute(CU_POINTER_ATTRIBUTE_RANGE_SIZE, a + UNIT) == 8 * UNIT,
	   "in the whole range");
	is(CU(cuMemcpyHtoD_v2)(a, "x", 1), CUDA_ERROR_INVALID_VALUE, "a copy there");
	is(CU(cuMemcpy)(a, (uintptr_t)&prop, 1), CUDA_ERROR_INVALID_VALUE,
	   "it is no host memory");
	is(CU(cuMemAddressFree)(a, 8 * UNIT), 0, "free the rest");
	is(attribute(CU_POINTER_ATTRIBUTE_MAPPED, a), ~0ULL, "unknown memory again");
}

static void test_create(void)
{
	CUmemAllocationProp bad = prop, got;
	CUmemGenericAllocationHandle h = 0;
	size_t before = mem_free(), unit = 0;

	is(CU(cuMemGetAllocationGranularity)(&unit, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
	   0, "granularity");
	is(unit, UNIT, "that of real ones");
	is(CU(cuMemCreate)(&h, UNIT / 2, &prop, 0), CUDA_ERROR_INVALID_VALUE, "half of that");
	is(CU(cuMemCreate)(&h, UNIT, &prop, 1), CUDA_ERROR_INVALID_VALUE, "a flag");
	bad.location.id = 99;
	is(CU(cuMemCreate)(&h, UNIT, &bad, 0), CUDA_ERROR_INVALID_DEVICE, "no such device");
	bad = prop;
	bad.requestedHandleTypes = 8;
	is(CU(cuMemCreate)(&h, UNIT, &bad, 0), CUDA_ERROR_NOT_SUPPORTED, "for other machines");
	is(CU(cuMemCreate)(&h, before / UNIT * UNIT + UNIT, &prop, 0),
	   CUDA_ERROR_OUT_OF_MEMORY, "more than there is");
	is(CU(cuMemCreate)(&h, 2 * UNIT, &prop, 0), 0, "create");
	is(before - mem_free(), 2 * UNIT, "takes memory");
	is(CU(cuMemGetAllocationPropertiesFromHandle)(&got, h), 0, "properties");
	ok(got.type == prop.type && got.location.id == 0, "the same");
	is(CU(cuMemRelease)(h), 0, "release");
	is(CU(cuMemRelease)(h), CUDA_ERROR_INVALID_VALUE, "but once");
	is(mem_free(), before, "all is free again");
}

/* Three units of addresses; @h are mapped in the first and second. */
static CUdeviceptr map_two(CUmemGenericAllocationHandle h[2])
{
	CUdeviceptr a = 0;

	CU(cuMemAddressReserve)(&a, 3 * UNIT, 0, 0, 0);
	CU(cuMemCreate)(&h[0], UNIT, &prop, 0);
	CU(cuMemCreate)(&h[1], UNIT, &prop, 0);
	is(CU(cuMemMap)(a, UNIT, 0, h[0], 0), 0, "map");
	is(CU(cuMemMap)(a + UNIT, UNIT, 0, h[1], 0), 0, "beside it");
	return a;
}

static void test_map_refused(void)
{
	CUmemAccessDesc other = own;
	CUmemGenericAllocationHandle h[2];
	CUdeviceptr a = map_two(h);

	is(CU(cuMemMap)(a, UNIT, 0, h[1], 0), CUDA_ERROR_INVALID_VALUE, "what is taken");
	is(CU(cuMemMap)(a + 2 * UNIT, 2 * UNIT, 0, h[0], 0), CUDA_ERROR_INVALID_VALUE,
	   "past the end");
	is(CU(cuMemMap)(a + 2 * UNIT + 65536, UNIT, 0, h[0], 0), CUDA_ERROR_INVALID_VALUE,
	   "between two units");
	is(CU(cuMemMap)(a + 2 * UNIT, UNIT, UNIT, h[0], 0), CUDA_ERROR_INVALID_VALUE,
	   "from an offset");
	is(CU(cuMemMap)(a + 2 * UNIT, UNIT, 0, h[0] + 1, 0), CUDA_ERROR_INVALID_VALUE,
	   "no memory");
	is(CU(cuMemMap)(UNIT, UNIT, 0, h[0], 0), CUDA_ERROR_INVALID_VALUE, "not reserved");
	is(CU(cuMemSetAccess)(a, 3 * UNIT, &own, 1), CUDA_ERROR_INVALID_VALUE,
	   "access to what is not there");
	is(CU(cuMemSetAccess)(a, UNIT / 2, &own, 1), CUDA_ERROR_INVALID_VALUE,
	   "to half of it");
	other.location.id = 1;
	is(CU(cuMemSetAccess)(a, UNIT, &other, 1), CUDA_ERROR_INVALID_DEVICE,
	   "for another GPU");
	is(CU(cuMemUnmap)(a, UNIT / 2), CUDA_ERROR_INVALID_VALUE, "unmap half of it");
	is(CU(cuMemUnmap)(a + 2 * UNIT, UNIT), CUDA_ERROR_INVALID_VALUE, "what is not there");
	is(CU(cuMemFree_v2)(a), CUDA_ERROR_INVALID_VALUE, "free it");
	is(CU(cuMemAddressFree)(a, 3 * UNIT), CUDA_ERROR_INVALID_VALUE, "or its addresses");
	is(CU(cuMemUnmap)(a, 2 * UNIT), 0, "unmap both");
	is(CU(cuMemUnmap)(a, 2 * UNIT), CUDA_ERROR_INVALID_VALUE, "but once");
	CU(cuMemRelease)(h[0]);
	CU(cuMemRelease)(h[1]);
	CU(cuMemAddressFree)(a, 3 * UNIT);
}

static void test_map_copies(void)
{
	size_t before = mem_free();
	CUmemGenericAllocationHandle h[2];
	CUdeviceptr a = map_two(h), at = a + UNIT - 3;
	char back[6] = "";

	is(CU(cuMemcpyHtoD_v2)(at, "hello", 6), CUDA_ERROR_INVALID_VALUE, "no access yet");
	is(CU(cuMemSetAccess)(a, UNIT, &own, 1), 0, "access to the first");
	is(CU(cuMemcpyHtoD_v2)(at, "hello", 6), CUDA_ERROR_INVALID_VALUE, "not to both");
	is(CU(cuMemSetAccess)(a, 2 * UNIT, &own, 1), 0, "to both");
	is(CU(cuMemcpyHtoD_v2)(at, "hello", 6), 0, "a copy over both");
	is(CU(cuMemcpyDtoH_v2)(back, at, 6), 0, "and back");
	ok(!strcmp(back, "hello"), "the bytes");
	is(CU(cuMemcpyDtoH_v2)(back, a + 2 * UNIT - 3, 6), CUDA_ERROR_INVALID_VALUE,
	   "past what is mapped");
	is(CU(cuMemsetD8_v2)(a, 'x', 2 * UNIT), 0, "set both");
	/* The second in place of the first. */
	is(CU(cuMemcpyHtoD_v2)(a + UNIT, "second", 6), 0, "bytes of the second");
	is(CU(cuMemUnmap)(a, UNIT), 0, "unmap the first");
	is(CU(cuMemcpyDtoH_v2)(back, at, 6), CUDA_ERROR_INVALID_VALUE, "now there is a gap");
	is(CU(cuMemMap)(a, UNIT, 0, h[1], 0), 0, "map the second there, too");
	CU(cuMemSetAccess)(a, UNIT, &own, 1);
	is(CU(cuMemcpyDtoH_v2)(back, a, 6), 0, "a copy");
	ok(!memcmp(back, "second", 6), "of the same bytes");
	is(CU(cuMemRelease)(h[0]), 0, "release the first");
	is(before - mem_free(), UNIT, "its memory is free");
	is(CU(cuMemRelease)(h[1]), 0, "and the second");
	is(before - mem_free(), UNIT, "which is mapped");
	is(CU(cuMemRetainAllocationHandle)(&h[0], (void *)(uintptr_t)(a + 5)), 0, "whose is it");
	is(h[0], h[1], "the second's");
	is(CU(cuMemUnmap)(a, 2 * UNIT), 0, "unmap");
	is(before - mem_free(), UNIT, "it was retained");
	is(CU(cuMemRelease)(h[0]), 0, "release it");
	is(mem_free(), before, "all is free again");
	CU(cuMemAddressFree)(a, 3 * UNIT);
}

static void test_map_pointers(void)
{
	unsigned int on = 1;
	unsigned long long access = 9, first;
	CUmemGenericAllocationHandle h[2];
	CUdeviceptr a = map_two(h), base = 0;
	size_t size = 0;

	ok(attribute(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, a + UNIT) == a &&
	   attribute(CU_POINTER_ATTRIBUTE_RANGE_SIZE, a + UNIT) == 3 * UNIT,
	   "its range is the reserved one");
	ok(attribute(CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, a + UNIT + 5) == a + UNIT &&
	   attribute(CU_POINTER_ATTRIBUTE_MAPPING_SIZE, a + UNIT + 5) == UNIT,
	   "its mapping is its own");
	is(CU(cuMemGetAddressRange_v2)(&base, &size, a + UNIT + 5), 0, "so is");
	ok(base == a + UNIT && size == UNIT, "its address range");
	is(attribute(CU_POINTER_ATTRIBUTE_MAPPED, a), 1, "mapped");
	is(attribute(CU_POINTER_ATTRIBUTE_MAPPED, a + 2 * UNIT), 0, "not mapped");
	is(attribute(CU_POINTER_ATTRIBUTE_CONTEXT, a), 0, "of no context");
	is(attribute(CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, a), 0, "no access");
	CU(cuMemSetAccess)(a, 2 * UNIT, &own, 1);
	is(attribute(CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, a), 3, "access");
	is(CU(cuMemGetAccess)(&access, &own.location, a), 0, "asked for");
	is(access, 3, "the same");
	is(CU(cuPointerSetAttribute)(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, a),
	   CUDA_ERROR_NOT_SUPPORTED, "its copies can't be made to wait");
	first = attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, a);
	ok(first != attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, a + UNIT), "two numbers");
	ok(attribute(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, a) !=
	   attribute(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, a + UNIT), "of two memories");
	CU(cuMemUnmap)(a, UNIT);
	CU(cuMemMap)(a, UNIT, 0, h[0], 0);
	ok(first != attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, a), "mapped again: another");
	CU(cuMemUnmap)(a, 2 * UNIT);
	CU(cuMemRelease)(h[0]);
	CU(cuMemRelease)(h[1]);
	CU(cuMemAddressFree)(a, 3 * UNIT);
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

static void *open_gate(void *data)
{
	struct gate *gate = data;

	while (!gate->entered)
		sched_yield();
	gate->open = 1;
	return NULL;
}

static void test_unmap_waits(void)
{
	struct gate gate = { 0, 0 };
	CUmemGenericAllocationHandle h[2];
	CUdeviceptr a = map_two(h);
	char back[2] = "";
	pthread_t thread;
	CUstream s;

	CU(cuMemSetAccess)(a, 2 * UNIT, &own, 1);
	CU(cuMemsetD8_v2)(a, 'y', 1);
	CU(cuStreamCreate)(&s, CU_STREAM_NON_BLOCKING);
	CU(cuLaunchHostFunc)(s, gate_fn, &gate);
	CU(cuMemcpyDtoHAsync_v2)(back, a, 1, s);
	pthread_create(&thread, NULL, open_gate, &gate);
	is(CU(cuMemUnmap)(a, 2 * UNIT), 0, "unmap what a stream will copy");
	is(back[0], 'y', "waits for that");
	pthread_join(thread, NULL);
	CU(cuStreamDestroy_v2)(s);
	CU(cuMemRelease)(h[0]);
	CU(cuMemRelease)(h[1]);
	CU(cuMemAddressFree)(a, 3 * UNIT);
}

static void test_async(void)
{
	size_t before = mem_free();
	struct gate gate = { 0, 0 };
	CUdeviceptr a = 0, b = 0, c = 0;
	unsigned long long id, block;
	CUmemoryPool pool = NULL;
	CUstream s, other;

	CU(cuStreamCreate)(&s, CU_STREAM_NON_BLOCKING);
	CU(cuStreamCreate)(&other, CU_STREAM_NON_BLOCKING);
	is(CU(cuMemAllocAsync)(&a, 0, s), CUDA_ERROR_INVALID_VALUE, "no bytes");
	is(CU(cuMemAllocAsync)(&a, 1000, s), 0, "allocate in a stream");
	is(CU(cuMemAllocAsync)(&b, 5000, s), 0, "and again");
	ok(b == a + 1024, "side by side");
	is(before - mem_free(), UNIT, "of one chunk");
	ok(attribute(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, b + 7) == b &&
	   attribute(CU_POINTER_ATTRIBUTE_RANGE_SIZE, b + 7) == 5000, "its range");
	ok(attribute(CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, b) == a &&
	   attribute(CU_POINTER_ATTRIBUTE_MAPPING_SIZE, b) == UNIT, "its mapping");
	CU(cuDeviceGetDefaultMemPool)(&pool, 0);
	ok(attribute(CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, b) == (uintptr_t)pool, "its pool");
	id = attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, a);
	block = attribute(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, a);
	is(CU(cuMemcpyHtoD_v2)(a, "x", 1001), CUDA_ERROR_INVALID_VALUE, "past its end");
	CU(cuLaunchHostFunc)(s, gate_fn, &gate);
	is(CU(cuMemFreeAsync)(a + 1, s), CUDA_ERROR_INVALID_VALUE, "free the middle");
	is(CU(cuMemFreeAsync)(a, s), 0, "free it");
	is(CU(cuMemFreeAsync)(a, s), CUDA_ERROR_INVALID_VALUE, "but once");
	is(CU(cuMemAllocAsync)(&c, 1000, other), 0, "another stream");
	ok(c != a, "has other memory");
	is(CU(cuMemFreeAsync)(c, other), 0, "free that");
	is(CU(cuMemAllocAsync)(&c, 1000, s), 0, "the same stream");
	ok(c == a, "has it again at once");
	ok(id != attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, c), "by another number");
	is(attribute(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, c), block, "the same memory");
	is(CU(cuMemFreeAsync)(c, s), 0, "free it");
	gate.open = 1;
	is(CU(cuStreamSynchronize)(s), 0, "wait");
	is(before - mem_free(), UNIT, "some of the chunk is used");
	is(CU(cuMemAllocAsync)(&c, 1000, other), 0, "another stream");
	ok(c == a, "has it, too");
	is(CU(cuMemFree_v2)(c), 0, "freed at once");
	is(CU(cuMemFreeAsync)(b, s), 0, "free all");
	is(CU(cuStreamSynchronize)(s), 0, "wait");
	is(mem_free(), before, "the chunk is free");
	CU(cuStreamDestroy_v2)(s);
	CU(cuStreamDestroy_v2)(other);
}

static void test_pool(void)
{
	const CUmemPoolProps props = { .allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
				       .location = own.location, .maxSize = 2 * UNIT };
	uint64_t keep = ~0ULL, used = 0;
	CUmemoryPool pool = NULL, now = NULL, first = NULL;
	size_t before = mem_free();
	CUdeviceptr a = 0, b = 0;

	CU(cuDeviceGetMemPool)(&first, 0);
	is(CU(cuMemPoolDestroy)(first), CUDA_ERROR_INVALID_VALUE, "the default pool stays");
	is(CU(cuMemPoolCreate)(&pool, NULL), CUDA_ERROR_INVALID_VALUE, "a pool of nothing");
	is(CU(cuMemPoolCreate)(&pool, &props), 0, "a pool");
	is(CU(cuMemPoolSetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep), 0,
	   "that keeps all");
	is(CU(cuMemAllocFromPoolAsync)(&a, 3 * UNIT, pool, NULL), CUDA_ERROR_OUT_OF_MEMORY,
	   "more than it may have");
	is(CU(cuMemAllocFromPoolAsync)(&a, UNIT + 1, pool, NULL), 0, "allocate");
	CU(cuMemPoolGetAttribute)(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used);
	is(used, UNIT + 512, "so much is used");
	is(CU(cuMemFreeAsync)(a, NULL), 0, "free");
	CU(cuStreamSynchronize)(NULL);
	is(before - mem_free(), 2 * UNIT, "it is kept");
	is(CU(cuMemPoolTrimTo)(pool, 0), 0, "trim");
	is(mem_free(), before, "it is free");
	is(CU(cuDeviceSetMemPool)(0, pool), 0, "make it the device's");
	CU(cuDeviceGetMemPool)(&now, 0);
	ok(now == pool, "it is");
	is(CU(cuMemAllocAsync)(&b, 10, NULL), 0, "allocate there");
	is(CU(cuMemPoolDestroy)(pool), 0, "destroy it");
	CU(cuDeviceGetMemPool)(&now, 0);
	ok(now == first, "the device has its own again");
	is(CU(cuMemAllocFromPoolAsync)(&a, 1, pool, NULL), CUDA_ERROR_INVALID_VALUE,
	   "no more of it");
	is(CU(cuMemcpyHtoD_v2)(b, "0123456789", 10), 0, "what it gave stays");
	is(CU(cuMemFreeAsync)(b, NULL), 0, "until it is freed");
	CU(cuStreamSynchronize)(NULL);
	is(mem_free(), before, "all is free again");
}

int main(void)
{
	CUcontext ctx = NULL;

	lib = dlopen("libcuda.so.1", RTLD_NOW);
	if (!ok(lib, "load libcuda.so.1"))
		return tap_done();
	is(CU(cuInit)(0), 0, "init");
	CU(cuDevicePrimaryCtxRetain)(&ctx, 0);
	CU(cuCtxSetCurrent)(ctx);
	test_reserve();
	test_create();
	test_map_refused();
	test_map_copies();
	test_map_pointers();
	test_unmap_waits();
	test_async();
	test_pool();
	return tap_done();
}
