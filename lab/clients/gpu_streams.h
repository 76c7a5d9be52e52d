/* SPDX-License-Identifier: MIT */
/*
 * What the checks of gpu_streams have in common: how they end, a GPU's driver,
 * streams and code, libcufile, files, and requests.
 */
#ifndef GPU_STREAMS_H
#define GPU_STREAMS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cufile.h"

#define KIB		((size_t)1 << 10)
#define MIB		((size_t)1 << 20)
/* Of the file that is read, and of the GPU's memory. */
#define ROOM		(300 * MIB)

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* ------------------------------------------------ what a check comes to */

/* Statuses of a process. */
enum { PASSED, FAILED, NOT_BEGUN, SKIPPED = 77 };

/* A check's process writes it, and the one that started it reads it. */
extern struct outcome {
	char step[160];
	char text[320];
} *shared;

/* Grows as long as all goes well. */
extern _Atomic long beat;

/* The check ends here, with the first that is wrong. */
_Noreturn void leave(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define EXPECT(condition, ...)						\
	do {								\
		if (!(condition))					\
			leave(FAILED, __VA_ARGS__);			\
	} while (0)

/* What is being done, for the line of a check that fails. */
void step(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* For the line of one that does not. */
void detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

double now(void);
void nap(long ms);
void start(pthread_t *thread, void *(*run)(void *arg), void *arg);
/* A thread: opens the gate, and in the end leaves, if nothing goes on. */
void *watch(void *unused);

/* ------------------------------------------------------- both libraries */

#define CUDA_CALLS(X)							\
	X(cuInit, init, (unsigned int flags))				\
	X(cuDevicePrimaryCtxRetain, ctx_retain, (void **ctx, int dev))	\
	X(cuDevicePrimaryCtxReset_v2, ctx_reset, (int dev))		\
	X(cuCtxSetCurrent, ctx_set, (void *ctx))			\
	X(cuCtxSynchronize, ctx_sync, (void))				\
	X(cuMemAlloc_v2, alloc, (uint64_t *addr, size_t bytes))		\
	X(cuMemFree_v2, free, (uint64_t addr))				\
	X(cuMemcpyHtoD_v2, copy_in, (uint64_t to, const void *from, size_t n)) \
	X(cuMemcpyDtoH_v2, copy_out, (void *to, uint64_t from, size_t n)) \
	X(cuMemsetD8_v2, fill, (uint64_t addr, unsigned char byte, size_t n)) \
	X(cuMemsetD8Async, fill_async,					\
	  (uint64_t addr, unsigned char byte, size_t n, void *stream))	\
	X(cuMemHostRegister_v2, host_add,				\
	  (void *host, size_t bytes, unsigned int flags))		\
	X(cuMemHostGetDevicePointer_v2, host_addr,			\
	  (uint64_t *addr, void *host, unsigned int flags))		\
	X(cuStreamCreate, stream_create, (void **stream, unsigned int flags)) \
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuStreamSynchronize, sync, (void *stream))			\
	X(cuStreamBeginCapture_v2, capture, (void *stream, int mode))	\
	X(cuStreamEndCapture, capture_end, (void *stream, void **graph)) \
	X(cuGraphDestroy, graph_destroy, (void *graph))			\
	X(cuModuleLoadData, module_load, (void **module, const void *text)) \
	X(cuModuleGetFunction, function,				\
	  (void **function, void *module, const char *name))		\
	X(cuLaunchHostFunc, host_func,					\
	  (void *stream, void (*fn)(void *arg), void *arg))		\
	X(cuLaunchKernel, launch,					\
	  (void *function, unsigned int grid_x, unsigned int grid_y,	\
	   unsigned int grid_z, unsigned int block_x, unsigned int block_y, \
	   unsigned int block_z, unsigned int bytes, void *stream,	\
	   void **params, void **extra))

extern struct cuda {
#define FIELD(symbol, field, params) int (*field)params;
	CUDA_CALLS(FIELD)
#undef FIELD
} cu;

enum { STREAM_NON_BLOCKING = 1, CAPTURE_RELAXED = 2, HOST_PORTABLE_MAPPED = 3 };

#define CUDA(call)	must(cu.call, #call)
void must(int result, const char *call);

extern const char *library_path;

extern struct cufile {
	CUfileError_t (*open)(void);
	CUfileError_t (*close)(void);
	CUfileError_t (*handle_add)(CUfileHandle_t *fh, CUfileDescr_t *descr);
	void (*handle_del)(CUfileHandle_t fh);
	ssize_t (*read)(CUfileHandle_t fh, void *base, size_t size,
			off_t file_offset, off_t offset);
	CUfileError_t (*read_async)(CUfileHandle_t fh, void *base,
				    size_t *size, off_t *file_offset,
				    off_t *offset, ssize_t *bytes,
				    CUstream stream);
	CUfileError_t (*write_async)(CUfileHandle_t fh, void *base,
				     size_t *size, off_t *file_offset,
				     off_t *offset, ssize_t *bytes,
				     CUstream stream);
	CUfileError_t (*stream_add)(CUstream stream, unsigned int flags);
	CUfileError_t (*stream_del)(CUstream stream);
} cf;

/* Leaves if there is none. */
void bind_cufile(void);
void open_cufile(void);
void close_cufile(void);

/* -------------------------------------------- a GPU, its streams, its code */

enum { LEGACY, PER_THREAD, BLOCKING, NON_BLOCKING, STREAMS };

extern const char *const stream_names[STREAMS];
extern void *streams[STREAMS];
extern void *ctx;
extern uint64_t gpu;

/* Leaves if there is no GPU. */
void make_context(void);

/* The stream does not come to what is put into it from here on. */
void hold(void *stream);
void open_gate(void);
/* Adds 1 to each of @n bytes, in a stream. */
void increment(void *stream, uint64_t addr, uint64_t n);
/* All of the memory is something that no file has in it for long. */
void clear(void);

/* ------------------------------------------------- files, and requests */

/* The source is only read; @data is what is in it.  -1 and NULL: no O_DIRECT. */
extern int source_fd, direct_fd, target_fd, target_direct_fd;
extern CUfileHandle_t source, source_direct, target, target_direct;
extern unsigned char *data;
/* As much room. */
extern unsigned char *host;

/**
 * struct request - what libcufile is given the addresses of
 * @offset: in the file
 * @at: in the GPU's memory
 */
struct request {
	size_t size;
	off_t offset, at;
	ssize_t bytes;
};

/* What every check but the first begins and ends with. */
void set_up(void);
void tear_down(void);

CUfileError_t try_to_put(CUfileHandle_t file, struct request *r, void *stream,
			 bool write);
void put(CUfileHandle_t file, struct request *r, void *stream, bool write);
/* While the gate is still closed: the call has not waited for the stream. */
void has_returned(const struct request *r);
void has_ended(const struct request *r, ssize_t bytes);
/* It has ended with an error. */
void has_failed(const struct request *r);
/* Nothing has touched its result. */
bool is_untouched(const struct request *r);
/* The call was refused so. */
void refused(CUfileError_t ret, CUfileOpError wanted);

/* @got is @wanted, each byte plus @more? */
void same(const unsigned char *got, const unsigned char *wanted, size_t bytes,
	  unsigned int more, const char *where);
/* It has brought @bytes bytes, and nothing around them has changed. */
void was_read(const struct request *r, size_t bytes);
/* The bytes of the source from @from on are what the target has now. */
void was_written(const struct request *r, size_t from, unsigned int more);

/* ------------------------------------------------- gpu_streams_late.c */

void check_late(void);
void check_fixed(void);
void check_short_files(void);
void check_errors(void);
void check_capture(void);

#endif /* GPU_STREAMS_H */
