// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that runs code of ours on the GPU.  Loaded
 * by gpu_cuda.c; every function may be missing, and the driver may refuse to
 * translate.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu_cuda_pump.h"
#include "pump.h"

#define CU_NOT_READY		600
#define STREAM_NON_BLOCKING	1U
#define LOADING_LAZY		2

enum {
	POINTER_MEMORY_TYPE	= 2,
	POINTER_IS_MANAGED	= 8,
	POINTER_DEVICE_ORDINAL	= 9,
	POINTER_RANGE_START	= 11,
	POINTER_RANGE_SIZE	= 12,
	POINTER_ACCESS		= 16
};

#define CLOCK_RATE		13
#define MEMORY_DEVICE		2
#define ACCESS_READ_WRITE	3U
/* What is mapped by itself is a multiple of it. */
#define MAPPED_UNIT		65536U

#define PUMP_CALLS(X)							\
	X(cuModuleGetLoadingMode, loading_mode, (int *mode))		\
	X(cuLibraryLoadData, library_load,				\
	  (void **library, const void *code, void *jit_options,		\
	   void *jit_values, unsigned int nr_jit, void *options,	\
	   void *values, unsigned int nr))				\
	X(cuLibraryGetKernel, library_kernel,				\
	  (void **kernel, void *library, const char *name))		\
	X(cuKernelGetFunction, kernel_function,				\
	  (void **function, void *kernel))				\
	X(cuStreamIsCapturing, capturing, (void *stream, int *status))	\
	X(cuCtxSynchronize, ctx_sync, (void))				\
	X(cuCtxGetCurrent, ctx_current, (void **ctx))			\
	X(cuCtxGetId, ctx_id, (void *ctx, uint64_t *id))		\
	X(cuLaunchKernel, launch,					\
	  (void *function, unsigned int grid_x, unsigned int grid_y,	\
	   unsigned int grid_z, unsigned int block_x, unsigned int block_y, \
	   unsigned int block_z, unsigned int shared, void *stream,	\
	   void **params, void **extra))				\
	X(cuCtxGetStreamPriorityRange, priorities, (int *least, int *greatest)) \
	X(cuStreamCreateWithPriority, stream_create,			\
	  (void **stream, unsigned int flags, int priority))		\
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuStreamQuery, stream_query, (void *stream))			\
	X(cuDeviceGet, device_get, (int *dev, int index))		\
	X(cuDeviceGetAttribute, device_attribute,			\
	  (int *value, int what, int dev))				\
	X(cuPointerGetAttributes, attributes,				\
	  (unsigned int nr, const int *what, void **data, uint64_t addr))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	PUMP_CALLS(FIELD)
#undef FIELD
} cu;

static bool complete;

/* Of make_kernel(): NOT_MADE, -EAGAIN while it runs, or what came of it. */
#define NOT_MADE	1
static _Atomic int made = NOT_MADE;
static void *kernel;
static pthread_t maker;
static pid_t maker_pid;

/* @ctx may come to mean another context, @ctx_id does not. */
struct cuda_pumps {
	unsigned int index;
	void *ctx;
	uint64_t ctx_id;
	unsigned int mhz;
	void *function;
	void *streams[PUMPS];
};

void gpu_cuda_bind_pumps(void *(*symbol)(const char *name))
{
	void *address;

	complete = true;
#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));			\
	complete = complete && address;
	PUMP_CALLS(BIND)
#undef BIND
}

static void destroy(struct cuda_pumps *pumps)
{
	for (unsigned int i = 0; i < PUMPS; i++) {
		if (pumps->streams[i])
			cu.stream_destroy(pumps->streams[i]);
	}
	free(pumps);
}

/* The kernel belongs to no context, and stays until the process ends. */
static void *make_kernel(void *arg)
{
	int ret = -ENOSYS, mode = 0;
	void *library;

	(void)arg;
	/* Where kernels are loaded eagerly, this would load it everywhere. */
	if (!cu.loading_mode(&mode) && mode == LOADING_LAZY &&
	    !cu.library_load(&library, gpu_cuda_pump_code, NULL, NULL, 0, NULL,
			     NULL, 0) &&
	    !cu.library_kernel(&kernel, library, GPU_CUDA_PUMP_NAME))
		ret = 0;
	atomic_store(&made, ret);
	return NULL;
}

/* The driver's own end must not come first. */
static void join_maker(void)
{
	if (getpid() == maker_pid)
		pthread_join(maker, NULL);
}

/* The application's signals are not for it. */
static int start_maker(void)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&maker, NULL, make_kernel, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

/* 80 to 120 ms, or 0.4 when the driver has it in its cache on disk. */
static int prepare(void)
{
	int none = NOT_MADE;

	if (!complete)
		return -ENOSYS;
	if (!atomic_compare_exchange_strong(&made, &none, -EAGAIN))
		return none;
	maker_pid = getpid();
	if (start_maker())
		atomic_store(&made, -ENOSYS);
	else
		atexit(join_maker);
	return atomic_load(&made);
}

/*
 * Waiting first, so that in the meantime others can still call the driver.
 * That ends a capture that is under way; of those that it can tell us about, we
 * keep away.
 */
static int get_function(void **function)
{
	int status = 0;
	int ret = cu.capturing(NULL, &status);

	if (!ret)
		ret = cu.ctx_sync();
	return ret ? ret : cu.kernel_function(function, kernel);
}

static int create(struct cuda_pumps *pumps, unsigned int nr)
{
	int least = 0, greatest = 0, khz = 0;
	int ret, dev;

	ret = cu.ctx_current(&pumps->ctx);
	if (!ret)
		ret = cu.ctx_id(pumps->ctx, &pumps->ctx_id);
	if (!ret)
		ret = cu.device_get(&dev, (int)pumps->index);
	if (!ret)
		ret = cu.device_attribute(&khz, CLOCK_RATE, dev);
	if (ret)
		return gpu_cuda_errno(ret);
	pumps->mhz = khz > 1000 ? (unsigned int)khz / 1000 : 1;
	cu.priorities(&least, &greatest);
	ret = get_function(&pumps->function);
	for (unsigned int i = 0; !ret && i < nr; i++)
		ret = cu.stream_create(&pumps->streams[i], STREAM_NON_BLOCKING,
				       greatest);
	return gpu_cuda_errno(ret);
}

static int open_pumps(unsigned int index, unsigned int nr, void **pumps)
{
	int ret = nr <= PUMPS && !atomic_load(&made) ? gpu_cuda_enter(index) :
						       -ENOSYS;
	struct cuda_pumps *new;

	if (ret)
		return ret;
	new = calloc(1, sizeof(*new));
	if (new) {
		new->index = index;
		ret = create(new, nr);
	} else {
		ret = -ENOMEM;
	}
	if (ret && new)
		destroy(new);
	gpu_cuda_leave();
	if (!ret)
		*pumps = new;
	return ret;
}

static void close_pumps(void *opaque, bool over)
{
	struct cuda_pumps *pumps = opaque;

	/* Code that has yet to run must stay. */
	if (!over || gpu_cuda_enter(pumps->index)) {
		free(pumps);
		return;
	}
	destroy(pumps);
	gpu_cuda_leave();
}

static int start_turn(void *opaque, unsigned int pump,
		      struct pump_board *board, uint32_t turn,
		      uint32_t linger_ns, uint32_t life_ns)
{
	struct cuda_pumps *pumps = opaque;
	uint32_t linger_us = linger_ns / 1000, life_us = life_ns / 1000;
	void *params[] = { &board, &turn, &linger_us, &life_us, &pumps->mhz,
			   &pump };
	int ret = gpu_cuda_enter(pumps->index);

	if (ret)
		return ret;
	ret = gpu_cuda_errno(cu.launch(pumps->function, PUMP_BLOCKS, 1, 1,
				       PUMP_SLOTS / PUMP_BLOCKS * 32, 1, 1, 0,
				       pumps->streams[pump], params, NULL));
	gpu_cuda_leave();
	return ret;
}

static int poll_pump(void *opaque, unsigned int pump)
{
	struct cuda_pumps *pumps = opaque;
	int ret = gpu_cuda_enter(pumps->index);

	if (ret)
		return ret;
	ret = cu.stream_query(pumps->streams[pump]);
	gpu_cuda_leave();
	return ret == CU_NOT_READY ? 0 : gpu_cuda_errno(ret);
}

/* By number: in a new context the driver faults on queues of the old one. */
static bool is_alive(void *opaque)
{
	const struct cuda_pumps *pumps = opaque;
	uint64_t id = 0;

	return !cu.ctx_id(pumps->ctx, &id) && id == pumps->ctx_id;
}

/* The byte at @addr, and @length bytes of what the driver has as one range. */
static bool has_access(unsigned int index, uint64_t addr, uint64_t length)
{
	static const int what[] = { POINTER_MEMORY_TYPE, POINTER_IS_MANAGED,
				    POINTER_DEVICE_ORDINAL,
				    POINTER_RANGE_START, POINTER_RANGE_SIZE,
				    POINTER_ACCESS };
	unsigned int type = 0, managed = 0, access = 0;
	uint64_t base = 0;
	size_t bytes = 0;
	int ordinal = -1;
	void *data[] = { &type, &managed, &ordinal, &base, &bytes, &access };

	if (cu.attributes(sizeof(what) / sizeof(what[0]), what, data, addr))
		return false;
	return type == MEMORY_DEVICE && !managed &&
	       ordinal == (int)index && access == ACCESS_READ_WRITE &&
	       addr >= base && length <= bytes && addr - base <= bytes - length;
}

/*
 * Code that touches anything else would take the application's context down
 * with it.  A range may be an address range of which only some is mapped, so
 * both ends count; and access is that of the current context's GPU.
 */
static bool reaches(unsigned int index, uint64_t addr, uint64_t length)
{
	uint64_t last = addr + length - 1;
	bool reached;

	if (gpu_cuda_enter(index))
		return false;
	reached = has_access(index, addr, length) &&
		  (addr / MAPPED_UNIT == last / MAPPED_UNIT ||
		   has_access(index, last, 1));
	gpu_cuda_leave();
	return reached;
}

const struct gpu_pumps gpu_cuda_pumps = {
	.in_use = gpu_cuda_in_use,
	.prepare = prepare,
	.open = open_pumps,
	.close = close_pumps,
	.start = start_turn,
	.poll = poll_pump,
	.alive = is_alive,
	.reaches = reaches,
};
