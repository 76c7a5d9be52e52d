// SPDX-License-Identifier: MIT
/*
 * NVIDIA's driver library, the part that is about the application's own memory
 * and streams.  Loaded by gpu_cuda.c; every function may be missing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "gpu.h"

enum {
	CU_OK			= 0,
	CU_INVALID_VALUE	= 1,
	CU_OUT_OF_MEMORY	= 2,
	CU_NOT_INITIALIZED	= 3,
	CU_NO_DEVICE		= 100,
	CU_INVALID_DEVICE	= 101,
	CU_INVALID_CONTEXT	= 201,
	CU_INVALID_HANDLE	= 400,
	CU_ALREADY_REGISTERED	= 712,
	CU_NOT_SUPPORTED	= 801,
	CU_CAPTURE_FIRST	= 900,
	CU_CAPTURE_LAST		= 909
};

enum {
	POINTER_MEMORY_TYPE	= 2,
	POINTER_BUFFER_ID	= 7,
	POINTER_IS_MANAGED	= 8,
	POINTER_DEVICE_ORDINAL	= 9,
	POINTER_RANGE_START	= 11,
	POINTER_RANGE_SIZE	= 12,
	POINTER_MAPPED		= 13,
	POINTER_MAPPING_SIZE	= 18,
	POINTER_MAPPING_BASE	= 19,
	POINTER_MEMORY_BLOCK	= 20
};

#define MEMORY_DEVICE		2
#define HOST_PORTABLE_MAPPED	3U
#define WAIT_GEQ		0U
/* A handle that means another stream in each thread. */
#define STREAM_PER_THREAD	((void *)2)

#define STREAM_CALLS(X)							\
	X(cuPointerGetAttributes, attributes,				\
	  (unsigned int nr, const int *what, void **data, uint64_t addr)) \
	X(cuDeviceGet, device_get, (int *dev, int index))		\
	X(cuDeviceGetUuid_v2, device_uuid, (void *uuid, int dev))	\
	X(cuCtxGetCurrent, ctx_current, (void **ctx))			\
	X(cuStreamGetCtx, stream_ctx, (void *stream, void **ctx))	\
	X(cuStreamIsCapturing, capturing, (void *stream, int *status))	\
	X(cuStreamSynchronize, synchronize, (void *stream))		\
	X(cuLaunchHostFunc, host_func,					\
	  (void *stream, void (*fn)(void *arg), void *arg))		\
	X(cuStreamWaitValue32_v2, wait_value,				\
	  (void *stream, uint64_t addr, uint32_t value, unsigned int flags)) \
	X(cuCtxGetId, ctx_id, (void *ctx, uint64_t *id))		\
	X(cuMemHostRegister_v2, host_register,				\
	  (void *host, size_t bytes, unsigned int flags))		\
	X(cuMemHostGetDevicePointer_v2, host_device_pointer,		\
	  (uint64_t *addr, void *host, unsigned int flags))

static struct {
#define FIELD(symbol, field, params) int (*field)params;
	STREAM_CALLS(FIELD)
#undef FIELD
} cu;

/* A cache line each: CPU and GPU look at it all the time. */
struct word {
	_Alignas(128) uint32_t value;
	struct word *next;
};

/**
 * struct block - words that are shown together, where addresses divide by its size
 * @ctx_id: of the last context that could look at it; 0: none, or unknown
 * @home: whose streams its words are for; guarded by the lock, as what follows
 * @next: in the order in which they were made, backwards
 * @free: words that nobody has
 */
struct block {
	_Atomic uint64_t ctx_id;
	uint64_t home;
	struct block *next;
	struct word *free;
	struct word words[31];
};

_Static_assert(sizeof(struct block) == 4096, "a page, or a part of one");

/*
 * Memory of ours rather than the driver's, and never given back: after the
 * application has reset the GPU the end of a request still sets its word, and
 * when the library is closed a stream may still have to look at one.  Contexts
 * share none: what is registered goes with the context that did, and a stream of
 * another one would look at what is not there any more.
 */
static struct {
	pthread_mutex_t lock;
	struct block *blocks;
} words = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local int last_error;

/* Does the driver know all that we ask of a pointer?  See learn(). */
enum { NEWER_UNTOLD, NEWER_KNOWN, NEWER_REFUSED };

static _Atomic int newer;

/* memcpy: ISO C has no cast from an object pointer to a function pointer. */
void gpu_cuda_bind_streams(void *(*symbol)(const char *name))
{
	void *address;

#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));
	STREAM_CALLS(BIND)
#undef BIND
	atomic_store(&newer, NEWER_UNTOLD);
}

static int to_errno(int result)
{
	if (result == CU_OK)
		return 0;
	last_error = result;
	if (result >= CU_CAPTURE_FIRST && result <= CU_CAPTURE_LAST)
		return -EOPNOTSUPP;
	switch (result) {
	case CU_INVALID_VALUE:
	case CU_INVALID_HANDLE:
	case CU_INVALID_CONTEXT:
		return -EINVAL;
	case CU_OUT_OF_MEMORY:
		return -ENOMEM;
	case CU_NOT_INITIALIZED:
	case CU_NO_DEVICE:
	case CU_INVALID_DEVICE:
		return -ENODEV;
	case CU_NOT_SUPPORTED:
		return -ENOSYS;
	default:
		return -EIO;
	}
}

static int missing(void)
{
	last_error = CU_NOT_SUPPORTED;
	return -ENOSYS;
}

/* What cuPointerGetAttributes() says of an address. */
struct pointer {
	unsigned int type, managed;
	int ordinal;
	uint64_t base, id;
	size_t length;
	/* Older drivers do not know these. */
	unsigned int mapped;
	size_t mapping_length;
	uint64_t mapping, block;
};

/* So many of them are known to all drivers. */
#define OLD	6U

/* An address that it does not know is no error for this call. */
static int ask_for(uint64_t addr, bool all, struct pointer *p)
{
	static const int what[] = { POINTER_MEMORY_TYPE, POINTER_IS_MANAGED,
				    POINTER_DEVICE_ORDINAL,
				    POINTER_RANGE_START, POINTER_RANGE_SIZE,
				    POINTER_BUFFER_ID, POINTER_MAPPED,
				    POINTER_MAPPING_SIZE, POINTER_MAPPING_BASE,
				    POINTER_MEMORY_BLOCK };
	void *data[] = { &p->type, &p->managed, &p->ordinal, &p->base,
			 &p->length, &p->id, &p->mapped, &p->mapping_length,
			 &p->mapping, &p->block };
	const unsigned int nr = all ? sizeof(what) / sizeof(what[0]) : OLD;

	memset(p, 0, sizeof(*p));
	p->mapped = !all;
	return cu.attributes(nr, what, data, addr);
}

static bool is_device(const struct pointer *p)
{
	return p->type == MEMORY_DEVICE && !p->managed && p->ordinal >= 0;
}

/*
 * More was refused than the old ones, of device memory.  That may be because of
 * the memory; but of an address that is nothing to the driver it can't.
 */
static void learn(void)
{
	struct pointer ours;
	int ret;

	if (atomic_load(&newer) != NEWER_UNTOLD)
		return;
	ret = ask_for((uintptr_t)&newer, true, &ours);
	if (!ret || ret == CU_INVALID_VALUE)
		atomic_store(&newer, ret ? NEWER_REFUSED : NEWER_KNOWN);
}

/* One that is not known is refused with all others. */
static bool ask(uint64_t addr, struct pointer *p)
{
	int ret = CU_INVALID_VALUE;
	bool first = atomic_load(&newer) != NEWER_REFUSED;

	if (first)
		ret = ask_for(addr, true, p);
	if (ret && ask_for(addr, false, p))
		return false;
	if (first && ret == CU_INVALID_VALUE && is_device(p))
		learn();
	return true;
}

/*
 * A range is what was allocated, or reserved; what is mapped lies in it, or, when
 * the driver cut several allocations from one mapping, around it.
 */
static void find_piece(const struct pointer *p, struct gpu_mem *mem)
{
	uint64_t end = p->base + p->length;
	uint64_t mapping_end = p->mapping + p->mapping_length;

	mem->piece = p->base;
	if (!p->mapping_length) {
		mem->piece_length = p->mapped ? p->length : 0;
		return;
	}
	if (p->mapping > mem->piece)
		mem->piece = p->mapping;
	if (mapping_end < end)
		end = mapping_end;
	mem->piece_length = end > mem->piece ? end - mem->piece : 0;
}

int gpu_cuda_classify(uint64_t addr, struct gpu_mem *mem)
{
	struct pointer p;

	memset(mem, 0, sizeof(*mem));
	if (!cu.attributes)
		return missing();
	if (!ask(addr, &p))
		return 0;
	if ((!p.managed && p.type != MEMORY_DEVICE) || p.ordinal < 0)
		return 0;
	mem->kind = p.managed ? GPU_MEM_MANAGED : GPU_MEM_DEVICE;
	mem->index = (unsigned int)p.ordinal;
	mem->base = p.base;
	mem->length = p.length;
	find_piece(&p, mem);
	/* Memory may be given out again, and addresses be mapped again. */
	mem->id = p.id ^ (p.block << 32 | p.block >> 32);
	return 0;
}

int gpu_cuda_uuid(unsigned int index, uint8_t *uuid)
{
	int dev;
	int ret;

	if (!cu.device_uuid || !cu.device_get)
		return missing();
	ret = to_errno(cu.device_get(&dev, (int)index));
	return ret ? ret : to_errno(cu.device_uuid(uuid, dev));
}

static int stream_key(void *stream, uint64_t key[2])
{
	void *ctx = NULL;
	int ret;

	key[0] = 0;
	key[1] = (uintptr_t)stream;
	/* Handles 0 to 2 are names; all others are addresses, hence unique. */
	if ((uintptr_t)stream > (uintptr_t)STREAM_PER_THREAD)
		return 0;
	if (!cu.ctx_current)
		return missing();
	ret = to_errno(cu.ctx_current(&ctx));
	if (ret)
		return ret;
	if (!ctx)
		return to_errno(CU_INVALID_CONTEXT);
	key[0] = (uintptr_t)ctx;
	if (stream == STREAM_PER_THREAD)
		key[1] = (uintptr_t)&last_error;
	return 0;
}

/*
 * A thread of which the driver knows nothing yet has no context, and a handle that
 * is no name has one of its own.
 */
static int stream_enter(void *stream)
{
	void *ctx = NULL;
	int ret = 0;

	if ((uintptr_t)stream > (uintptr_t)STREAM_PER_THREAD && cu.stream_ctx)
		ret = to_errno(cu.stream_ctx(stream, &ctx));
	if (!ret && gpu_cuda_enter_ctx(ctx))
		ret = to_errno(CU_INVALID_CONTEXT);
	return ret;
}

static int not_captured(void *stream)
{
	int status = 0;
	int ret = cu.capturing ? to_errno(cu.capturing(stream, &status)) : 0;

	return !ret && status ? to_errno(CU_CAPTURE_FIRST) : ret;
}

static int stream_call(void *stream, void (*fn)(void *arg), void *arg)
{
	int ret;

	if (!cu.host_func)
		return missing();
	ret = not_captured(stream);
	return ret ? ret : to_errno(cu.host_func(stream, fn, arg));
}

static int stream_sync(void *stream)
{
	int ret;

	if (!cu.synchronize)
		return missing();
	ret = not_captured(stream);
	return ret ? ret : to_errno(cu.synchronize(stream));
}

static int stream_wait(void *stream, uint32_t *word, uint32_t value)
{
	uint64_t addr;
	int ret;

	if (!cu.wait_value || !cu.host_device_pointer)
		return missing();
	ret = to_errno(cu.host_device_pointer(&addr, word, 0));
	return ret ? ret : to_errno(cu.wait_value(stream, addr, value,
						  WAIT_GEQ));
}

/*
 * The current context's number.  Drivers before CUDA 12 have none, and then one
 * that comes later may be taken for it, which show() allows for.
 */
static uint64_t word_home(void)
{
	uint64_t id = 0;
	void *ctx = NULL;

	if (cu.ctx_id && !cu.ctx_id(NULL, &id) && id)
		return id;
	return cu.ctx_current && !cu.ctx_current(&ctx) ? (uintptr_t)ctx : 0;
}

static struct block *block_of(const uint32_t *word)
{
	return (struct block *)((uintptr_t)word / sizeof(struct block) *
				sizeof(struct block));
}

/* Under the lock.  No child gets them, see get_boards() of gpu_cuda_carry.c. */
static struct block *make_words(uint64_t home)
{
	struct block *block = mmap(NULL, sizeof(*block), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (block == MAP_FAILED)
		return NULL;
	madvise(block, sizeof(*block), MADV_DONTFORK);
	for (unsigned int i = 0; i < sizeof(block->words) /
				     sizeof(block->words[0]); i++) {
		block->words[i].next = block->free;
		block->free = &block->words[i];
	}
	block->home = home;
	block->next = words.blocks;
	words.blocks = block;
	return block;
}

/* Of the context in which it will be shown. */
static int word_get(uint32_t **word)
{
	uint64_t home = word_home();
	struct block *block;

	pthread_mutex_lock(&words.lock);
	block = words.blocks;
	while (block && (block->home != home || !block->free))
		block = block->next;
	if (!block)
		block = make_words(home);
	if (block) {
		*word = &block->free->value;
		block->free = block->free->next;
	}
	pthread_mutex_unlock(&words.lock);
	return block ? 0 : -ENOMEM;
}

/* Who still looks at it waits for no more than it says already. */
static void word_put(uint32_t *value)
{
	struct word *word = (struct word *)(void *)value;
	struct block *block = block_of(value);

	pthread_mutex_lock(&words.lock);
	word->next = block->free;
	block->free = word;
	pthread_mutex_unlock(&words.lock);
}

/* A context that comes after a reset has what it registers. */
static void move_in(struct block *block)
{
	uint64_t home = word_home();

	pthread_mutex_lock(&words.lock);
	block->home = home;
	pthread_mutex_unlock(&words.lock);
}

/*
 * A context that was destroyed takes with it that others could look, so what can
 * be is asked each time; and a new context is not taken for an old one.
 */
static int show(struct block *block)
{
	uint64_t id = 0, addr;
	int ret;

	if (cu.ctx_id && cu.ctx_id(NULL, &id))
		id = 0;
	if (atomic_load(&block->ctx_id) == id &&
	    !cu.host_device_pointer(&addr, block, 0))
		return 0;
	ret = cu.host_register(block, sizeof(*block), HOST_PORTABLE_MAPPED);
	if (!ret)
		move_in(block);
	if (!ret || ret == CU_ALREADY_REGISTERED)
		ret = cu.host_device_pointer(&addr, block, 0);
	if (!ret)
		atomic_store(&block->ctx_id, id);
	return to_errno(ret);
}

static int word_show(void *stream, uint32_t *word)
{
	int ret;

	if (!cu.wait_value || !cu.host_register || !cu.host_device_pointer)
		return missing();
	ret = not_captured(stream);
	return ret ? ret : show(block_of(word));
}

static int stream_error(void)
{
	return last_error;
}

const struct gpu_streams gpu_cuda_streams = {
	.key = stream_key,
	.enter = stream_enter,
	.leave = gpu_cuda_leave,
	.call = stream_call,
	.wait = stream_wait,
	.sync = stream_sync,
	.word_home = word_home,
	.word_get = word_get,
	.word_put = word_put,
	.word_show = word_show,
	.error = stream_error,
	.open = gpu_cuda_carry_open,
	.close = gpu_cuda_carry_close,
	.suits = gpu_cuda_carry_suits,
	.reaches = gpu_cuda_carry_reaches,
	.carry = gpu_cuda_carry,
	.lost = gpu_cuda_carry_lost,
};
