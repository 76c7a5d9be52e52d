// SPDX-License-Identifier: MIT
/*
 * What libnvfs leans on and the CUDA documentation does not say, of any
 * libcuda.so.1: the lab's has to be as a real one, so both run this. What calls
 * cost is printed; only a real one's is worth reading.
 */

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "libcuda.h"
#include "tap.h"

#define UNIT		(2UL << 20)
#define PORTABLE_MAPPED	3U
#define CALLS		2000U
#define MAX_THREADS	16U
/* How often memory may come back elsewhere before that is given up. */
#define TRIES		64U

static CUcontext ctx;

/* Told, and no test: its line does not count. */
__attribute__((format(printf, 1, 2)))
static void note(const char *fmt, ...)
{
	va_list args;

	printf("# ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------- pointers */

struct pointer {
	CUresult ret;
	unsigned int type, managed, mapped;
	int ordinal;
	unsigned long long base, id, mapping, block;
	size_t length, mapping_length;
};

static CUresult ask_for(__typeof__(cuPointerGetAttributes) *attributes,
			unsigned int nr, CUdeviceptr at, struct pointer *p)
{
	static CUpointer_attribute what[] = {
		CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
		CU_POINTER_ATTRIBUTE_IS_MANAGED,
		CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
		CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
		CU_POINTER_ATTRIBUTE_RANGE_SIZE,
		CU_POINTER_ATTRIBUTE_BUFFER_ID,
		CU_POINTER_ATTRIBUTE_MAPPED,
		CU_POINTER_ATTRIBUTE_MAPPING_SIZE,
		CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR,
		CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID,
	};
	void *data[] = { &p->type, &p->managed, &p->ordinal, &p->base,
			 &p->length, &p->id, &p->mapped, &p->mapping_length,
			 &p->mapping, &p->block };

	memset(p, 0, sizeof(*p));
	return attributes(nr, what, data, at);
}

static struct pointer ask(CUdeviceptr at)
{
	struct pointer p;
	CUresult ret = ask_for(CU(cuPointerGetAttributes), 10, at, &p);

	p.ret = ret;
	return p;
}

static void show(const char *what, CUdeviceptr at)
{
	struct pointer p = ask(at);

	note("%s: %d; type %u, range %+lld %zu, id %llu, mapped %u, mapping %+lld %zu, block %llu",
	     what, p.ret, p.type, (long long)(p.base - at), p.length, p.id,
	     p.mapped, p.mapping_length ? (long long)(p.mapping - at) : 0,
	     p.mapping_length, p.block);
}

/* As the library has it. */
static unsigned long long id_of(const struct pointer *p)
{
	return p->id ^ (p->block << 32 | p->block >> 32);
}

static void test_host_pointers(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pointer p = ask((uintptr_t)&lib);

	is(p.ret, 0, "an address that is nothing to the driver is no error");
	is(p.type, 0, "and of no type");
	is(CU(cuMemHostRegister_v2)(page, 4096, PORTABLE_MAPPED), 0, "register a page");
	show("a page of the host", (uintptr_t)page);
	p = ask((uintptr_t)page);
	ok(!p.ret && p.type != CU_MEMORYTYPE_DEVICE, "is not the GPU's");
	is(CU(cuMemHostUnregister)(page), 0, "unregister it");
	munmap(page, 4096);
}

/* The same address again, or 0. */
static CUdeviceptr again(CUdeviceptr wanted, size_t length)
{
	CUdeviceptr tried[TRIES];
	unsigned int nr = 0;
	bool found = false;

	while (nr < TRIES && !found) {
		if (CU(cuMemAlloc_v2)(&tried[nr], length))
			break;
		found = tried[nr++] == wanted;
	}
	for (unsigned int i = 0; i < nr - found; i++)
		CU(cuMemFree_v2)(tried[i]);
	return found ? wanted : 0;
}

static void test_alloc(void)
{
	CUdeviceptr a = 0;
	struct pointer before, p;

	is(CU(cuMemAlloc_v2)(&a, 5 * UNIT + 1000), 0, "allocate");
	show("cuMemAlloc", a + 4096);
	before = ask(a + 4096);
	is(before.ret, 0, "all ten attributes are known");
	is(before.type, CU_MEMORYTYPE_DEVICE, "the GPU's");
	ok(before.base == a && before.length >= 5 * UNIT + 1000, "its range");
	is(before.mapped, 1, "mapped");
	ok(before.id, "it has a number");
	ok(!before.mapping_length ||
	   (before.mapping <= a &&
	    before.mapping + before.mapping_length >= a + before.length),
	   "its mapping is around all of it");
	CU(cuMemFree_v2)(a);
	is(ask(a + 4096).type, 0, "freed: of no type");
	if (!again(a, 5 * UNIT + 1000)) {
		note("its address is not given out again");
		return;
	}
	p = ask(a);
	ok(id_of(&p) != id_of(&before), "given out again: another number");
	CU(cuMemFree_v2)(a);
}

static void test_mapped(void)
{
	CUmemGenericAllocationHandle h[2];
	struct pointer first, second, p;
	CUdeviceptr a = 0;

	is(CU(cuMemAddressReserve)(&a, 3 * UNIT, 0, 0, 0), 0, "reserve three units");
	show("nothing mapped", a + UNIT);
	is(CU(cuMemCreate)(&h[0], UNIT, &prop, 0), 0, "create");
	is(CU(cuMemCreate)(&h[1], UNIT, &prop, 0), 0, "and again");
	is(CU(cuMemMap)(a, UNIT, 0, h[0], 0), 0, "map the first");
	is(CU(cuMemMap)(a + UNIT, UNIT, 0, h[1], 0), 0, "and the second beside it");
	is(CU(cuMemSetAccess)(a, 2 * UNIT, &own, 1), 0, "access to both");
	show("the first of two mappings", a + 4096);
	show("the second", a + UNIT + 4096);
	show("behind both", a + 2 * UNIT + 4096);
	first = ask(a);
	second = ask(a + UNIT + 4096);
	ok(!second.ret && second.type == CU_MEMORYTYPE_DEVICE, "the GPU's");
	ok(second.mapping_length ? second.mapping == a + UNIT &&
				   second.mapping_length == UNIT :
				   second.base == a + UNIT && second.length == UNIT,
	   "the mapping can be told");
	is(second.mapped, 1, "mapped");
	ok(id_of(&first) != id_of(&second), "two numbers");
	p = ask(a + 2 * UNIT);
	ok(p.ret || !p.mapped || !p.type, "what is not mapped can be told");
	is(CU(cuMemUnmap)(a, UNIT), 0, "unmap the first");
	is(CU(cuMemMap)(a, UNIT, 0, h[1], 0), 0, "map the second there, too");
	is(CU(cuMemSetAccess)(a, UNIT, &own, 1), 0, "access to it");
	show("the second's memory in place of the first", a);
	p = ask(a);
	ok(id_of(&p) != id_of(&first), "another number than the first");
	CU(cuMemUnmap)(a, 2 * UNIT);
	CU(cuMemRelease)(h[0]);
	CU(cuMemRelease)(h[1]);
	CU(cuMemAddressFree)(a, 3 * UNIT);
}

static void test_pool(void)
{
	struct pointer before, p;
	CUdeviceptr a = 0, b = 0, c = 0;
	CUstream s;

	is(CU(cuStreamCreate)(&s, CU_STREAM_NON_BLOCKING), 0, "a stream");
	is(CU(cuMemAllocAsync)(&a, 4096, s), 0, "allocate in it");
	is(CU(cuMemAllocAsync)(&b, 65536, s), 0, "and again");
	CU(cuStreamSynchronize)(s);
	show("cuMemAllocAsync", a);
	show("the next", b + 4096);
	before = ask(b + 4096);
	ok(!before.ret && before.type == CU_MEMORYTYPE_DEVICE, "the GPU's");
	ok(before.base == b && before.length >= 65536, "its range");
	p = ask(a);
	ok(id_of(&p) != id_of(&before), "two numbers");
	CU(cuMemFreeAsync)(b, s);
	CU(cuStreamSynchronize)(s);
	show("freed", b + 4096);
	is(CU(cuMemAllocAsync)(&c, 65536, s), 0, "allocate the same");
	CU(cuStreamSynchronize)(s);
	show(c == b ? "the same address" : "another address", c + 4096);
	p = ask(c + 4096);
	ok(c != b || id_of(&p) != id_of(&before), "another number");
	CU(cuMemFreeAsync)(c, s);
	CU(cuMemFreeAsync)(a, s);
	CU(cuStreamSynchronize)(s);
	CU(cuStreamDestroy_v2)(s);
}

/* ---------------------------------------------------------- pinned memory */

#define PINNED		(2 * UNIT)
#define PINNINGS	8U

/* At @again, or NULL: anywhere. */
static void *huge_pages(char *again)
{
	char *all;

	if (!again) {
		all = mmap(NULL, PINNED + UNIT, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		munmap(all, PINNED + UNIT);
		again = all + -(uintptr_t)all % UNIT;
	}
	all = mmap(again, PINNED, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	madvise(all, PINNED, MADV_HUGEPAGE);
	return all;
}

/* What each of a few takes, as long as all of them are there. */
static void price_pinned(bool registers)
{
	void *host[PINNINGS];
	double start = seconds(), got;
	int bad = 0;

	for (unsigned int i = 0; i < PINNINGS; i++) {
		host[i] = registers ? huge_pages(NULL) : NULL;
		bad |= registers ? CU(cuMemHostRegister_v2)(host[i], PINNED,
							    PORTABLE_MAPPED) :
				   CU(cuMemHostAlloc)(&host[i], PINNED, 1);
	}
	got = seconds();
	for (unsigned int i = 0; i < PINNINGS; i++) {
		bad |= registers ? CU(cuMemHostUnregister)(host[i]) :
				   CU(cuMemFreeHost)(host[i]);
		if (registers)
			munmap(host[i], PINNED);
	}
	is(bad, 0, registers ? "pages of ours are pinned" : "pinned memory");
	note("4 MiB: %.2f ms, and %.2f ms to give it back",
	     (got - start) * 1e3 / PINNINGS, (seconds() - got) * 1e3 / PINNINGS);
}

/* Through memory of the GPU; @seed: no two times the same bytes. */
static void copy_pinned(uint64_t *host, uint64_t seed)
{
	uint64_t *back = malloc(PINNED);
	CUdeviceptr gpu = 0;

	for (size_t i = 0; i < PINNED / 8; i++)
		host[i] = (i + seed) * 0x9e3779b97f4a7c15UL;
	is(CU(cuMemAlloc_v2)(&gpu, PINNED), 0, "memory of the GPU");
	is(CU(cuMemcpyHtoD_v2)(gpu, host, PINNED), 0, "copy them to it");
	is(CU(cuMemcpyDtoH_v2)(back, gpu, PINNED), 0, "and from there");
	ok(!memcmp(host, back, PINNED), "all bytes arrived");
	CU(cuMemFree_v2)(gpu);
	free(back);
}

static void *register_huge(void *again)
{
	void *host = huge_pages(again);
	CUdeviceptr at = 0;

	ok(host, "huge pages");
	is(CU(cuMemHostRegister_v2)(host, PINNED, PORTABLE_MAPPED), 0,
	   "register them");
	is(CU(cuMemHostGetDevicePointer_v2)(&at, host, 0), 0, "their address");
	is(at, (uintptr_t)host, "is the CPU's");
	return host;
}

/* Given back, and others that come to their place. */
/* ------------------------------------------------------- words and contexts */

static uint32_t *word_page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
}

static void test_words(void)
{
	uint32_t *word = word_page();
	CUdeviceptr at = 0;
	CUstream s;
	void *huge;
	CUresult ret = CU(cuMemHostGetDevicePointer_v2)(&at, word, 0);

	note("the address of a page that is not registered: %d", ret);
	ok(ret, "is refused");
	is(CU(cuMemHostRegister_v2)(word, 4096, PORTABLE_MAPPED), 0, "register it");
	is(CU(cuMemHostRegister_v2)(word, 4096, PORTABLE_MAPPED),
	   CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "again");
	is(CU(cuMemHostGetDevicePointer_v2)(&at, word, 0), 0, "its address");
	is(CU(cuMemHostGetDevicePointer_v2)(&at, word + 32, 0), 0, "and within");
	CU(cuStreamCreate)(&s, CU_STREAM_NON_BLOCKING);
	is(CU(cuStreamWaitValue32_v2)(s, at, 7, 0), 0, "wait for a word");
	is(CU(cuStreamQuery)(s), CUDA_ERROR_NOT_READY, "it does");
	huge = huge_pages(NULL);
	is(CU(cuMemHostRegister_v2)(huge, PINNED, PORTABLE_MAPPED), 0,
	   "register huge pages meanwhile");
	is(CU(cuStreamQuery)(s), CUDA_ERROR_NOT_READY, "it still does");
	__atomic_store_n(word + 32, 7, __ATOMIC_RELEASE);
	is(CU(cuStreamSynchronize)(s), 0, "until the CPU sets it");
	CU(cuStreamDestroy_v2)(s);
	is(CU(cuMemHostUnregister)(huge), 0, "unregister those");
	munmap(huge, PINNED);
	is(CU(cuMemHostUnregister)(word), 0, "unregister it");
	ok(CU(cuMemHostGetDevicePointer_v2)(&at, word, 0), "no address any more");
	munmap(word, 4096);
}

static void test_pinned(void)
{
	void *host = register_huge(NULL);

	is(ask((uintptr_t)host).type, CU_MEMORYTYPE_HOST, "they are the host's");
	copy_pinned(host, 1);
	is(CU(cuMemHostUnregister)(host), 0, "unregister them");
	is(CU(cuMemHostUnregister)(host),
	   CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "again");
	munmap(host, PINNED);
	register_huge(host);
	copy_pinned(host, 2);
	is(CU(cuMemHostUnregister)(host), 0, "unregister them");
	munmap(host, PINNED);
	price_pinned(false);
	price_pinned(true);
}

/* The last test: it ends the context. */
static void test_reset(void)
{
	unsigned long long id = 0, same = 0, other = 0, after = 0;
	uint32_t *word = word_page();
	CUdeviceptr at = 0;
	CUcontext made = NULL, now = NULL;
	void *huge;
	CUresult ret;

	is(CU(cuCtxGetId)(ctx, &id), 0, "the context's number");
	is(CU(cuCtxGetId)(NULL, &same), 0, "and that of the current one");
	ok(id && id == same, "are the same");
	is(CU(cuCtxCreate_v2)(&made, 0, 0), 0, "another context");
	is(CU(cuCtxGetId)(NULL, &other), 0, "has a number");
	ok(other && other != id, "another one");
	is(CU(cuMemHostRegister_v2)(word, 4096, PORTABLE_MAPPED), 0,
	   "it registers a page");
	is(CU(cuCtxDestroy_v2)(made), 0, "it is destroyed");
	CU(cuCtxSetCurrent)(ctx);
	ret = CU(cuMemHostGetDevicePointer_v2)(&at, word, 0);
	note("the page's address then: %d", ret);
	ok(ret, "is refused");
	is(CU(cuMemHostRegister_v2)(word, 4096, PORTABLE_MAPPED), 0,
	   "it can be registered anew");
	huge = register_huge(NULL);
	copy_pinned(huge, 3);
	is(CU(cuDevicePrimaryCtxReset_v2)(0), 0, "reset the GPU");
	note("to unregister them then: %d", CU(cuMemHostUnregister)(huge));
	munmap(huge, PINNED);
	ret = CU(cuCtxGetId)(ctx, &after);
	note("the number then: %d, %llu after %llu", ret, after, id);
	ok(ret || after != id, "is not the old one");
	is(CU(cuDevicePrimaryCtxRetain)(&now, 0), 0, "retain it again");
	CU(cuCtxSetCurrent)(now);
	after = 0;
	is(CU(cuCtxGetId)(now, &after), 0, "the number");
	note("%llu after %llu, at %s address", after, id,
	     now == ctx ? "the same" : "another");
	ok(after != id, "is not the old one");
	ok(CU(cuMemHostGetDevicePointer_v2)(&at, word, 0),
	   "the page has no address any more");
	is(CU(cuMemHostRegister_v2)(word, 4096, PORTABLE_MAPPED), 0,
	   "the page can be registered anew");
	is(CU(cuMemHostGetDevicePointer_v2)(&at, word, 0), 0, "and has an address");
	CU(cuMemHostUnregister)(word);
	munmap(word, 4096);
	register_huge(huge);
	copy_pinned(huge, 4);
	is(CU(cuMemHostUnregister)(huge), 0, "unregister them");
	munmap(huge, PINNED);
}

/* ---------------------------------------------------------------- costs */

/* Looked up before, as that takes longer than the calls. */
#define PRICED(X)							\
	X(cuCtxGetCurrent) X(cuCtxGetId) X(cuCtxPushCurrent_v2)		\
	X(cuCtxPopCurrent_v2) X(cuThreadExchangeStreamCaptureMode)	\
	X(cuPointerGetAttributes) X(cuMemHostGetDevicePointer_v2)	\
	X(cuStreamIsCapturing) X(cuStreamGetCtx)

static struct {
#define FIELD(name) __typeof__(name) *name;
	PRICED(FIELD)
#undef FIELD
	CUdeviceptr at;
	uint32_t *word;
	CUstream stream;
} priced;
static pthread_barrier_t barrier;

static void cost_current(void)
{
	CUcontext now;

	priced.cuCtxGetCurrent(&now);
}

static void cost_id(void)
{
	unsigned long long id;

	priced.cuCtxGetId(ctx, &id);
}

static void cost_push(void)
{
	CUcontext now;

	priced.cuCtxPushCurrent_v2(ctx);
	priced.cuCtxPopCurrent_v2(&now);
}

static void cost_capture_mode(void)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

	priced.cuThreadExchangeStreamCaptureMode(&mode);
	priced.cuThreadExchangeStreamCaptureMode(&mode);
}

static void cost_six(void)
{
	struct pointer p;

	ask_for(priced.cuPointerGetAttributes, 6, priced.at, &p);
}

static void cost_ten(void)
{
	struct pointer p;

	ask_for(priced.cuPointerGetAttributes, 10, priced.at, &p);
}

static void cost_host_address(void)
{
	CUdeviceptr at;

	priced.cuMemHostGetDevicePointer_v2(&at, priced.word, 0);
}

static void cost_capturing(void)
{
	int status;

	priced.cuStreamIsCapturing(priced.stream, &status);
}

static void cost_stream_context(void)
{
	CUcontext now;

	priced.cuStreamGetCtx(priced.stream, &now);
}

struct payer {
	pthread_t thread;
	void (*call)(void);
	double took;
};

static void *pay(void *arg)
{
	struct payer *payer = arg;

	CU(cuCtxSetCurrent)(ctx);
	payer->call();
	pthread_barrier_wait(&barrier);
	payer->took = seconds();
	for (unsigned int i = 0; i < CALLS; i++)
		payer->call();
	payer->took = seconds() - payer->took;
	return NULL;
}

static double price(void (*call)(void), unsigned int threads)
{
	struct payer payers[MAX_THREADS];
	double sum = 0;

	pthread_barrier_init(&barrier, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		payers[i].call = call;
		pthread_create(&payers[i].thread, NULL, pay, &payers[i]);
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(payers[i].thread, NULL);
		sum += payers[i].took;
	}
	pthread_barrier_destroy(&barrier);
	return sum / threads / CALLS * 1e9;
}

static void test_costs(void)
{
	static const struct {
		const char *name;
		void (*call)(void);
	} calls[] = {
		{ "cuCtxGetCurrent", cost_current },
		{ "cuCtxGetId", cost_id },
		{ "cuCtxPushCurrent, cuCtxPopCurrent", cost_push },
		{ "cuThreadExchangeStreamCaptureMode, twice", cost_capture_mode },
		{ "cuPointerGetAttributes of 6", cost_six },
		{ "cuPointerGetAttributes of 10", cost_ten },
		{ "cuMemHostGetDevicePointer", cost_host_address },
		{ "cuStreamIsCapturing", cost_capturing },
		{ "cuStreamGetCtx", cost_stream_context },
	};

#define LOOK_UP(name) priced.name = CU(name);
	PRICED(LOOK_UP)
#undef LOOK_UP
	priced.word = word_page();
	is(CU(cuMemAlloc_v2)(&priced.at, UNIT), 0, "memory to ask about");
	is(CU(cuMemHostRegister_v2)(priced.word, 4096, PORTABLE_MAPPED), 0,
	   "a page");
	is(CU(cuStreamCreate)(&priced.stream, CU_STREAM_NON_BLOCKING), 0,
	   "a stream");
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		note("ns a call, by 1, 4, 16 threads: %5.0f %5.0f %5.0f %s",
		     price(calls[i].call, 1), price(calls[i].call, 4),
		     price(calls[i].call, MAX_THREADS), calls[i].name);
	CU(cuStreamDestroy_v2)(priced.stream);
	CU(cuMemHostUnregister)(priced.word);
	CU(cuMemFree_v2)(priced.at);
	munmap(priced.word, 4096);
}

int main(void)
{
	CUdevice device;
	CUresult ret;

	lib = dlopen("libcuda.so.1", RTLD_NOW);
	if (!lib)
		return 77;
	ret = CU(cuInit)(0);
	if (!ret)
		ret = CU(cuDeviceGet)(&device, 0);
	if (ret == CUDA_ERROR_NO_DEVICE)
		return 77;
	if (ret) {
		printf("Bail out! the driver can't be used: %d\n", ret);
		return 1;
	}
	is(CU(cuDevicePrimaryCtxRetain)(&ctx, device), 0, "the first GPU's context");
	CU(cuCtxSetCurrent)(ctx);
	test_host_pointers();
	test_alloc();
	test_mapped();
	test_pool();
	test_words();
	test_pinned();
	test_costs();
	test_reset();
	return tap_done();
}
