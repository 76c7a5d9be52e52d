// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that has an application's stream copy what is
 * known only when the stream comes to it.  Loaded by gpu_cuda.c; every function
 * may be missing.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu.h"
#include "gpu_cuda_carry.h"
#include "gpu_cuda_code.h"

#define HOST_PORTABLE_MAPPED	3U
/* gpu_cuda_enter() knows no more. */
#define MOST_GPUS		64U
#define WAIT_GEQ		0U
#define CU_NOT_SUPPORTED	801

/* At a range. */
#define MOST_LOOKS		512U

#define CARRY_CALLS(X)							\
	X(cuStreamIsCapturing, capturing, (void *stream, int *status))	\
	X(cuStreamGetCtx, stream_ctx, (void *stream, void **ctx))	\
	X(cuStreamWaitValue32_v2, wait_value,				\
	  (void *stream, uint64_t addr, uint32_t value, unsigned int flags)) \
	X(cuStreamCreate, stream_create, (void **stream, unsigned int flags)) \
	X(cuStreamDestroy_v2, stream_destroy, (void *stream))		\
	X(cuStreamQuery, stream_query, (void *stream))			\
	X(cuCtxGetCurrent, ctx_current, (void **ctx))			\
	X(cuLaunchKernel, launch,					\
	  (void *function, unsigned int grid_x, unsigned int grid_y,	\
	   unsigned int grid_z, unsigned int block_x, unsigned int block_y, \
	   unsigned int block_z, unsigned int shared, void *stream,	\
	   void **params, void **extra))				\
	X(cuMemHostRegister_v2, host_register,				\
	  (void *host, size_t bytes, unsigned int flags))		\
	X(cuMemHostUnregister, host_unregister, (void *host))		\
	X(cuMemHostGetDevicePointer_v2, host_device_pointer,		\
	  (uint64_t *addr, void *host, unsigned int flags))

static struct {
	/* From CUDA 12 on. */
	int (*stream_id)(void *stream, uint64_t *id);
#define FIELD(symbol, field, params) int (*field)params;
	CARRY_CALLS(FIELD)
#undef FIELD
} cu;

static bool complete;

struct carrier;

/* NULL: there is none. */
static void *kernel;

/*
 * Of a closed library, for the next one: a stream that has carried out all its
 * orders may still have to wait for the last word of a board, so the GPU must find
 * that, and this process not have other memory there.
 */
static _Atomic(struct carrier *) kept[MOST_GPUS];

/**
 * struct carrier - what carries out orders in streams of a GPU
 * @probe: a stream that shows whether the GPU has failed
 * @boards: this process' memory, whatever becomes of the GPU; @bytes of it
 * @addr: the GPU's name for it
 */
struct carrier {
	struct gpu_cuda_code code;
	void *probe;
	struct gpu_board *boards;
	size_t bytes;
	uint64_t addr;
};

void gpu_cuda_bind_carry(void *(*symbol)(const char *name))
{
	void *address = symbol("cuStreamGetId");

	memcpy(&cu.stream_id, &address, sizeof(address));
	complete = gpu_cuda_bind_code(symbol);
#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));			\
	complete = complete && address;
	CARRY_CALLS(BIND)
#undef BIND
}

void gpu_cuda_carry_make(void)
{
	if (complete)
		kernel = gpu_cuda_code_make(gpu_cuda_carry_code,
					    GPU_CUDA_CARRY_NAME);
}

/*
 * Memory of ours rather than the driver's, so that looking at a board does no
 * harm after the application has reset the GPU.  No child gets it: older kernels
 * would give the pages that the GPU knows to whoever writes second, which may be
 * the child.
 */
static int get_boards(struct carrier *carrier)
{
	size_t bytes = GPU_BOARDS * sizeof(struct gpu_board);
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (memory == MAP_FAILED)
		return -ENOMEM;
	madvise(memory, bytes, MADV_DONTFORK);
	ret = cu.host_register(memory, bytes, HOST_PORTABLE_MAPPED);
	if (ret) {
		munmap(memory, bytes);
		return gpu_cuda_errno(ret);
	}
	carrier->boards = memory;
	carrier->bytes = bytes;
	ret = cu.host_device_pointer(&carrier->addr, memory, 0);
	/* Not every GPU can wait.  This one is over at once. */
	if (!ret)
		ret = cu.wait_value(carrier->probe, carrier->addr +
				    offsetof(struct gpu_board, word), 0,
				    WAIT_GEQ);
	return ret == CU_NOT_SUPPORTED ? -ENOSYS : gpu_cuda_errno(ret);
}

/* No stream has seen it. */
static void destroy(struct carrier *carrier)
{
	if (carrier->probe)
		cu.stream_destroy(carrier->probe);
	if (carrier->boards) {
		cu.host_unregister(carrier->boards);
		munmap(carrier->boards, carrier->bytes);
	}
	free(carrier);
}

static int create(struct carrier *carrier)
{
	int ret = gpu_cuda_code_bring(&carrier->code, kernel);

	if (!ret)
		ret = cu.stream_create(&carrier->probe, STREAM_NON_BLOCKING);
	return ret ? gpu_cuda_errno(ret) : get_boards(carrier);
}

/*
 * What was kept, unless the application has reset the GPU since: then no stream
 * looks any more, and the driver has forgotten all of it.
 */
static struct carrier *find_kept(unsigned int index)
{
	struct carrier *carrier = atomic_exchange(&kept[index], NULL);

	if (!carrier || gpu_cuda_code_alive(&carrier->code))
		return carrier;
	munmap(carrier->boards, carrier->bytes);
	free(carrier);
	return NULL;
}

/* The GPU is entered. */
static int make_carrier(unsigned int index, struct carrier **carrier)
{
	struct carrier *new = calloc(1, sizeof(*new));
	int ret;

	if (!new)
		return -ENOMEM;
	new->code.index = index;
	ret = create(new);
	if (ret)
		destroy(new);
	else
		*carrier = new;
	return ret;
}

int gpu_cuda_carry_open(unsigned int index, unsigned int nr, void **carrier,
			struct gpu_board **boards)
{
	int ret = kernel && nr <= GPU_BOARDS ? gpu_cuda_enter(index) : -ENOSYS;
	struct carrier *found;

	if (ret)
		return ret;
	found = find_kept(index);
	if (!found)
		ret = make_carrier(index, &found);
	gpu_cuda_leave();
	if (!ret) {
		*carrier = found;
		*boards = found->boards;
	}
	return ret;
}

void gpu_cuda_carry_close(void *opaque, bool over)
{
	struct carrier *carrier = opaque, *none = NULL;

	/* What was not carried out is looked for for ever, and so are boards. */
	if (!over || !atomic_compare_exchange_strong(
		&kept[carrier->code.index], &none, carrier))
		free(carrier);
}

/*
 * Handles that are names are of the thread's own context, too.  After a reset the
 * new context may have the old one's address.
 */
int gpu_cuda_carry_suits(void *opaque, void *stream, uint64_t *id)
{
	const struct carrier *carrier = opaque;
	void *current = NULL, *ctx = NULL;
	int status = 0;

	if (cu.ctx_current(&current) || current != carrier->code.ctx ||
	    !gpu_cuda_code_alive(&carrier->code) ||
	    cu.capturing(stream, &status) || status ||
	    cu.stream_ctx(stream, &ctx) || ctx != carrier->code.ctx)
		return -EOPNOTSUPP;
	*id = 0;
	if (cu.stream_id && cu.stream_id(stream, id))
		*id = 0;
	return 0;
}

/*
 * Code that touches anything else would take the application's context down
 * with it.  What cuMemAlloc() gave is mapped as a whole; other ranges may be so
 * in part.
 */
bool gpu_cuda_carry_reaches(void *opaque, uint64_t addr, uint64_t length)
{
	unsigned int index = ((const struct carrier *)opaque)->code.index;
	uint64_t last = addr + length - 1, next;
	struct gpu_range range;
	unsigned int looks = 0;
	bool whole = false, good;

	if (!length || last < addr || gpu_cuda_enter(index))
		return false;
	good = gpu_cuda_code_reaches(index, addr, &range, &whole) &&
	       last < range.end;
	while (good && !whole && (next = gpu_cuda_code_mapped(addr)) <= last) {
		addr = next;
		good = ++looks < MOST_LOOKS &&
		       gpu_cuda_code_reaches(index, addr, &range, &whole) &&
		       last < range.end;
	}
	good = good &&
	       (whole || gpu_cuda_code_reaches(index, last, &range, &whole));
	gpu_cuda_leave();
	return good;
}

static unsigned int blocks_for(uint64_t most)
{
	uint64_t shares = (most + GPU_CUDA_CARRY_SHARE - 1) /
			  GPU_CUDA_CARRY_SHARE;

	if (!shares)
		return 1;
	return shares < GPU_COPIES ? (unsigned int)shares : GPU_COPIES;
}

int gpu_cuda_carry(void *opaque, void *stream, unsigned int board,
		   unsigned int nr, uint32_t value, uint64_t most)
{
	const struct carrier *carrier = opaque;
	uint64_t at = carrier->addr + board * sizeof(struct gpu_board);
	uint64_t order = at + offsetof(struct gpu_board, orders) +
			 nr * sizeof(carrier->boards->orders[0]);
	uint64_t done = at + offsetof(struct gpu_board, done);
	void *params[] = { &order, &done, &value, &board };

	return gpu_cuda_errno(cu.launch(carrier->code.function, blocks_for(most), 1,
					1, GPU_CUDA_CARRY_THREADS, 1, 1, 0,
					stream, params, NULL));
}

bool gpu_cuda_carry_lost(void *opaque)
{
	const struct carrier *carrier = opaque;
	int ret;

	if (!gpu_cuda_code_alive(&carrier->code) ||
	    gpu_cuda_enter(carrier->code.index))
		return true;
	ret = cu.stream_query(carrier->probe);
	gpu_cuda_leave();
	return ret && ret != CU_NOT_READY;
}
