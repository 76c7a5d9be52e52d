// SPDX-License-Identifier: MIT
/* The libraries, the GPU, the files and the requests of gpu_streams. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu_streams.h"

/* What memory is before it is read into, and how much of it is looked at. */
#define FILL		0xee
#define GUARD		((size_t)32)
/* A number of bytes that no request ends with. */
#define UNTOUCHED	(-77)
/* Seconds without progress: after these the gate is opened; it is a hang. */
#define PATIENCE	5
#define HANG		30

/* ------------------------------------------------ what a check comes to */

struct outcome *shared;
_Atomic long beat;
struct cuda cu;
struct cufile cf;

/*
 * The kernel of hold() ends when this is set.  A page of the process' memory:
 * it is still there when the GPU was reset.
 */
static _Atomic uint32_t gate[1024] __attribute__((aligned(4096)));
/* Somebody had to be waited for who should not have waited for the gate. */
static atomic_bool forced;

void open_gate(void)
{
	atomic_store(&gate[0], 1);
}

_Noreturn void leave(int status, const char *format, ...)
{
	static atomic_flag leaving = ATOMIC_FLAG_INIT;
	va_list args;

	/* Another thread is ending the process. */
	while (atomic_flag_test_and_set(&leaving))
		pause();
	va_start(args, format);
	vsnprintf(shared->text, sizeof(shared->text), format, args);
	va_end(args);
	open_gate();
	_exit(status);
}

void step(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(shared->step, sizeof(shared->step), format, args);
	va_end(args);
	atomic_fetch_add(&beat, 1);
}

void detail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(shared->text, sizeof(shared->text), format, args);
	va_end(args);
}

double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void nap(long ms)
{
	const struct timespec time = { .tv_nsec = ms * 1000000 };

	nanosleep(&time, NULL);
}

void *watch(void *unused)
{
	double since = now();
	long last = -1;

	(void)unused;
	for (;;) {
		long count = atomic_load(&beat);

		if (count != last) {
			last = count;
			since = now();
		}
		if (now() - since > PATIENCE && !atomic_load(&gate[0])) {
			atomic_store(&forced, true);
			open_gate();
		}
		EXPECT(now() - since < HANG, "hangs");
		nap(50);
	}
	return NULL;
}

void start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
	EXPECT(!pthread_create(thread, NULL, run, arg), "no thread was had");
}

/* ------------------------------------------------------- both libraries */

const char *library_path;

void must(int result, const char *call)
{
	EXPECT(!result, "%s: CUDA error %d", call, result);
}

static void *open_library(const char *path, int status)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		leave(status, "%s%s", status == SKIPPED ? "no GPU driver: " : "",
		      dlerror());
	return library;
}

static void bind(void *library, const char *name, void *field, int status)
{
	void *address = dlsym(library, name);

	if (!address)
		leave(status, "there is no %s in the library", name);
	memcpy(field, &address, sizeof(address));
}

static void bind_cuda(void)
{
	void *library = open_library("libcuda.so.1", SKIPPED);
	int ret;

#define BIND(symbol, field, params) bind(library, #symbol, &cu.field, SKIPPED);
	CUDA_CALLS(BIND)
#undef BIND
	ret = cu.init(0);
	if (ret)
		leave(SKIPPED, "no GPU can be used: cuInit: CUDA error %d", ret);
}

void bind_cufile(void)
{
	static const struct {
		const char *name;
		void *field;
	} calls[] = {
		{ "cuFileDriverOpen", &cf.open },
		{ "cuFileDriverClose_v2", &cf.close },
		{ "cuFileHandleRegister", &cf.handle_add },
		{ "cuFileHandleDeregister", &cf.handle_del },
		{ "cuFileRead", &cf.read },
		{ "cuFileReadAsync", &cf.read_async },
		{ "cuFileWriteAsync", &cf.write_async },
		{ "cuFileStreamRegister", &cf.stream_add },
		{ "cuFileStreamDeregister", &cf.stream_del },
	};
	void *library = open_library(library_path, NOT_BEGUN);

	for (unsigned int i = 0; i < COUNT(calls); i++)
		bind(library, calls[i].name, calls[i].field, NOT_BEGUN);
}

/* -------------------------------------------- a GPU, its streams, its code */

const char *const stream_names[STREAMS] = {
	"legacy", "per-thread", "blocking", "non-blocking"
};

void *ctx;
void *streams[STREAMS];
static void *spin_kernel, *increment_kernel;
static uint64_t gate_addr;
uint64_t gpu;

/* spin: until the word is not 0; increment: n bytes, by all of its threads. */
static const char code[] =
".version 6.4\n"
".target sm_70\n"
".address_size 64\n"
".visible .entry spin(.param .u64 p_word)\n"
"{\n"
" .reg .pred %zero;\n"
" .reg .u32 %value;\n"
" .reg .u64 %word;\n"
" ld.param.u64 %word, [p_word];\n"
"AGAIN:\n"
" ld.relaxed.sys.global.u32 %value, [%word];\n"
" setp.eq.u32 %zero, %value, 0;\n"
" @%zero bra AGAIN;\n"
" ret;\n"
"}\n"
".visible .entry increment(.param .u64 p_first, .param .u64 p_n)\n"
"{\n"
" .reg .pred %over;\n"
" .reg .u32 %byte, %thread, %block, %threads;\n"
" .reg .u64 %first, %n, %i, %step, %addr;\n"
" ld.param.u64 %first, [p_first];\n"
" ld.param.u64 %n, [p_n];\n"
" mov.u32 %thread, %tid.x;\n"
" mov.u32 %block, %ctaid.x;\n"
" mov.u32 %threads, %ntid.x;\n"
" mad.lo.u32 %thread, %block, %threads, %thread;\n"
" cvt.u64.u32 %i, %thread;\n"
" mov.u32 %block, %nctaid.x;\n"
" mul.wide.u32 %step, %block, %threads;\n"
"NEXT:\n"
" setp.ge.u64 %over, %i, %n;\n"
" @%over bra DONE;\n"
" add.u64 %addr, %first, %i;\n"
" ld.global.u8 %byte, [%addr];\n"
" add.u32 %byte, %byte, 1;\n"
" st.global.u8 [%addr], %byte;\n"
" add.u64 %i, %i, %step;\n"
" bra NEXT;\n"
"DONE:\n"
" ret;\n"
"}\n";

static void spin(void *stream)
{
	void *params[] = { &gate_addr };

	CUDA(launch(spin_kernel, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL));
}

void hold(void *stream)
{
	atomic_store(&forced, false);
	atomic_store(&gate[0], 0);
	spin(stream);
}

void increment(void *stream, uint64_t addr, uint64_t n)
{
	void *params[] = { &addr, &n };

	CUDA(launch(increment_kernel, 64, 1, 1, 256, 1, 1, 0, stream, params,
		    NULL));
}

void make_context(void)
{
	bind_cuda();
	CUDA(ctx_retain(&ctx, 0));
	CUDA(ctx_set(ctx));
}

static void make_gpu(void)
{
	void *module;

	CUDA(module_load(&module, code));
	CUDA(function(&spin_kernel, module, "spin"));
	CUDA(function(&increment_kernel, module, "increment"));
	CUDA(alloc(&gpu, ROOM));
	streams[PER_THREAD] = (void *)2;
	CUDA(stream_create(&streams[BLOCKING], 0));
	CUDA(stream_create(&streams[NON_BLOCKING], STREAM_NON_BLOCKING));
	CUDA(host_add(gate, sizeof(gate), HOST_PORTABLE_MAPPED));
	CUDA(host_addr(&gate_addr, gate, 0));
	open_gate();
	/* The driver brings code to the GPU when it is first used. */
	spin(NULL);
	increment(NULL, gpu, 1);
	CUDA(ctx_sync());
}

void clear(void)
{
	CUDA(fill(gpu, FILL, ROOM));
	CUDA(ctx_sync());
}

/* ----------------------------------------------- files, and requests */

int source_fd, direct_fd, target_fd, target_direct_fd;
CUfileHandle_t source, source_direct, target, target_direct;
unsigned char *data, *host;

CUfileError_t try_to_put(CUfileHandle_t file, struct request *r, void *stream,
			 bool write)
{
	void *base = (void *)(uintptr_t)gpu;

	r->bytes = UNTOUCHED;
	return write ? cf.write_async(file, base, &r->size, &r->offset, &r->at,
				      &r->bytes, (CUstream)stream) :
		       cf.read_async(file, base, &r->size, &r->offset, &r->at,
				     &r->bytes, (CUstream)stream);
}

void put(CUfileHandle_t file, struct request *r, void *stream, bool write)
{
	int err = (int)try_to_put(file, r, stream, write).err;

	EXPECT(!err, "the call gives %d", err);
}

bool is_untouched(const struct request *r)
{
	return r->bytes == UNTOUCHED;
}

void has_returned(const struct request *r)
{
	EXPECT(!atomic_load(&forced) && !atomic_load(&gate[0]),
	       "the call waits for the stream");
	EXPECT(is_untouched(r), "%zd bytes before its turn", r->bytes);
}

void has_ended(const struct request *r, ssize_t bytes)
{
	EXPECT(r->bytes == bytes, "%zd bytes, not %zd", r->bytes, bytes);
}

void has_failed(const struct request *r)
{
	EXPECT(r->bytes < 0 && !is_untouched(r),
	       "a request ends with %zd bytes", r->bytes);
}

void refused(CUfileError_t ret, CUfileOpError wanted)
{
	EXPECT(ret.err == wanted, "the call gives %d, not %d", (int)ret.err,
	       (int)wanted);
}

void same(const unsigned char *got, const unsigned char *wanted, size_t bytes,
	  unsigned int more, const char *where)
{
	size_t i = 0;

	if (!more && !memcmp(got, wanted, bytes))
		return;
	while (i < bytes && got[i] == (unsigned char)(wanted[i] + more))
		i++;
	EXPECT(i == bytes, "byte %zu of %zu in %s is wrong", i, bytes, where);
}

void was_read(const struct request *r, size_t bytes)
{
	size_t before = (size_t)r->at < GUARD ? (size_t)r->at : GUARD;

	has_ended(r, (ssize_t)bytes);
	CUDA(copy_out(host, gpu + (uint64_t)r->at - before,
		      before + bytes + GUARD));
	same(host + before, data + r->offset, bytes, 0, "the GPU");
	for (size_t i = 0; i < before; i++)
		EXPECT(host[i] == FILL, "something before it was changed");
	for (size_t i = 0; i < GUARD; i++)
		EXPECT(host[before + bytes + i] == FILL,
		       "something behind it was changed");
}

void was_written(const struct request *r, size_t from, unsigned int more)
{
	has_ended(r, (ssize_t)r->size);
	EXPECT(pread(target_fd, host, r->size, r->offset) == (ssize_t)r->size,
	       "the file is too short");
	same(host, data + from, r->size, more, "the file");
}

static CUfileHandle_t add_handle(int fd)
{
	CUfileDescr_t descr;
	CUfileHandle_t handle = NULL;
	int err;

	if (fd < 0)
		return NULL;
	memset(&descr, 0, sizeof(descr));
	descr.type = CU_FILE_HANDLE_TYPE_OPAQUE_FD;
	descr.handle.fd = fd;
	err = (int)cf.handle_add(&handle, &descr).err;
	EXPECT(!err, "cuFileHandleRegister gives %d", err);
	return handle;
}

void open_cufile(void)
{
	int err = (int)cf.open().err;

	EXPECT(!err, "cuFileDriverOpen gives %d", err);
}

void close_cufile(void)
{
	int err;

	/* A request that has just ended may still be on its way out. */
	while ((err = (int)cf.close().err) == CU_FILE_DRIVER_CLOSING)
		nap(1);
	EXPECT(!err, "cuFileDriverClose gives %d", err);
}

void set_up(void)
{
	make_context();
	make_gpu();
	host = malloc(ROOM);
	EXPECT(host, "no memory");
	bind_cufile();
	/* On a busy machine the code takes longer than the first one waits. */
	open_cufile();
	close_cufile();
	open_cufile();
	source = add_handle(source_fd);
	source_direct = add_handle(direct_fd);
	target = add_handle(target_fd);
	target_direct = add_handle(target_direct_fd);
}

void tear_down(void)
{
	step("closing");
	cf.handle_del(source);
	cf.handle_del(target);
	if (source_direct)
		cf.handle_del(source_direct);
	if (target_direct)
		cf.handle_del(target_direct);
	close_cufile();
}
