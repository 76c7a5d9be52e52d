// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that runs code of ours on the GPU.  Loaded
 * by gpu_cuda.c; every function may be missing, and the driver may refuse to
 * translate.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "gpu_cuda_carry.h"
#include "gpu_cuda_code.h"
#include "gpu_cuda_pump.h"
#include "pump.h"

#define LOADING_LAZY		2
/* What has not come out of the driver's cache after this, it translates. */
#define TRANSLATES_NS		5000000U
/*
 * About, and good enough for how long a turn lingers: 1,400 to 2,600 on GPUs of
 * today.  To ask the driver takes half a millisecond.
 */
#define CLOCK_MHZ		2000U

#define PUMP_CALLS(X)							\
	X(cuModuleGetLoadingMode, loading_mode, (int *mode))		\
	X(cuLaunchKernel, launch,					\
	  (void *function, unsigned int grid_x, unsigned int grid_y,	\
	   unsigned int grid_z, unsigned int block_x, unsigned int block_y, \
	   unsigned int block_z, unsigned int shared, void *stream,	\
	   void **params, void **extra))				\
	X(cuCtxGetStreamPriorityRange, priorities, (int *least, int *greatest)) \
	X(cuStreamCreateWithPriority, stream_create,			\
	  (void **stream, unsigned int flags, int priority))		\
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuStreamQuery, stream_query, (void *stream))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	PUMP_CALLS(FIELD)
#undef FIELD
} cu;

static bool complete;

/* Of make_kernels(): NOT_MADE, -EAGAIN while it runs, or what came of it. */
#define NOT_MADE	1
static _Atomic int made = NOT_MADE;
static void *kernel;
static pthread_t maker;
static pid_t maker_pid;
static uint64_t maker_began;
static _Atomic bool joined, awaited;

struct cuda_pumps {
	struct gpu_cuda_code code;
	void *streams[PUMPS];
};

void gpu_cuda_bind_pumps(void *(*symbol)(const char *name))
{
	void *address;

	complete = gpu_cuda_bind_code(symbol);
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

static void *make_kernels(void *arg)
{
	int mode = 0;

	(void)arg;
	/* Where kernels are loaded eagerly, this would load them everywhere. */
	if (!cu.loading_mode(&mode) && mode == LOADING_LAZY)
		kernel = gpu_cuda_code_make(gpu_cuda_pump_code,
					    GPU_CUDA_PUMP_NAME);
	if (kernel)
		gpu_cuda_carry_make();
	atomic_store(&made, kernel ? 0 : -ENOSYS);
	return NULL;
}

/* The driver's own end must not come first. */
static void join_maker(void)
{
	if (getpid() == maker_pid && !atomic_exchange(&joined, true))
		pthread_join(maker, NULL);
}

/*
 * Nor that of the library that translates: it gives up its memory at exit(3),
 * also under who still uses it.  What was registered last comes first there; so
 * see that it is loaded, and register once more.
 */
static void await_translator(void)
{
	if (now_ns() - maker_began < TRANSLATES_NS ||
	    atomic_exchange(&awaited, true))
		return;
	gpu_cuda_load_translator();
	atexit(join_maker);
}

/* 80 to 120 ms, or 0.4 when the driver has it in its cache on disk. */
static int prepare(void)
{
	int none = NOT_MADE;

	if (!complete)
		return -ENOSYS;
	if (!atomic_compare_exchange_strong(&made, &none, -EAGAIN)) {
		if (none == -EAGAIN)
			await_translator();
		return none;
	}
	maker_began = now_ns();
	maker_pid = getpid();
	if (start_deaf_thread(&maker, make_kernels, NULL))
		atomic_store(&made, -ENOSYS);
	else
		atexit(join_maker);
	return atomic_load(&made);
}

static int create(struct cuda_pumps *pumps, unsigned int nr)
{
	int ret = gpu_cuda_code_bring(&pumps->code, kernel);
	int least = 0, greatest = 0;

	if (ret)
		return gpu_cuda_errno(ret);
	cu.priorities(&least, &greatest);
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
		new->code.index = index;
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
	if (!over || gpu_cuda_enter(pumps->code.index)) {
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
	uint32_t mhz = CLOCK_MHZ;
	void *params[] = { &board, &turn, &linger_us, &life_us, &mhz, &pump };
	int ret = gpu_cuda_enter(pumps->code.index);

	if (ret)
		return ret;
	ret = gpu_cuda_errno(cu.launch(pumps->code.function, PUMP_BLOCKS, 1, 1,
				       PUMP_SLOTS / PUMP_BLOCKS * 32, 1, 1, 0,
				       pumps->streams[pump], params, NULL));
	gpu_cuda_leave();
	return ret;
}

static int poll_pump(void *opaque, unsigned int pump)
{
	struct cuda_pumps *pumps = opaque;
	int ret = gpu_cuda_enter(pumps->code.index);

	if (ret)
		return ret;
	ret = cu.stream_query(pumps->streams[pump]);
	gpu_cuda_leave();
	return ret == CU_NOT_READY ? 0 : gpu_cuda_errno(ret);
}

static bool is_alive(void *opaque)
{
	const struct cuda_pumps *pumps = opaque;

	return gpu_cuda_code_alive(&pumps->code);
}

/*
 * The byte at @addr, and @length bytes of what the driver has as one range.
 * @all: that range, when all of it is one allocation.
 */
static bool has_access(unsigned int index, uint64_t addr, uint64_t length,
		       struct gpu_range *all)
{
	bool whole;

	if (!gpu_cuda_code_reaches(index, addr, all, &whole) ||
	    length > all->end - addr)
		return false;
	if (!whole)
		*all = (struct gpu_range){ 0, 0 };
	return true;
}

/*
 * Code that touches anything else would take the application's context down
 * with it.  A range may be an address range of which only some is mapped, so
 * both ends count; and access is that of the current context's GPU.
 */
static bool reaches(unsigned int index, uint64_t addr, uint64_t length,
		    struct gpu_range *around)
{
	uint64_t last = addr + length - 1;
	struct gpu_range all;
	bool reached;

	if (gpu_cuda_enter(index))
		return false;
	reached = has_access(index, addr, length, &all) &&
		  (all.end || addr / GPU_CUDA_MAPPED_UNIT ==
			      last / GPU_CUDA_MAPPED_UNIT ||
		   has_access(index, last, 1, &all));
	gpu_cuda_leave();
	if (reached)
		*around = all;
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
