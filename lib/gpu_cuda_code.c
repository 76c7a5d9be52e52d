// SPDX-License-Identifier: MIT
/* NVIDIA's driver library, the part that brings code of ours to a GPU. */
#include <stddef.h>
#include <string.h>

#include "gpu.h"
#include "gpu_cuda_code.h"

enum {
	POINTER_MEMORY_TYPE	= 2,
	POINTER_IS_MANAGED	= 8,
	POINTER_DEVICE_ORDINAL	= 9,
	POINTER_IS_WHOLE	= 10,	/* of cuMemAlloc(): IS_LEGACY_CUDA_IPC_CAPABLE */
	POINTER_RANGE_START	= 11,
	POINTER_RANGE_SIZE	= 12,
	POINTER_ACCESS		= 16,
	/* From CUDA 12 on. */
	POINTER_MAPPING_SIZE	= 18,
	POINTER_MAPPING_START	= 19
};

/* GPUs of today map no less by itself; for more the driver is not believed. */
#define MOST_MAPPED		(2ULL << 20)

#define MEMORY_DEVICE		2
#define ACCESS_READ_WRITE	3U

#define CODE_CALLS(X)							\
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
	X(cuPointerGetAttributes, attributes,				\
	  (unsigned int nr, const int *what, void **data, uint64_t addr))

static struct {
	/* May be missing. */
	int (*attribute)(void *data, int what, uint64_t addr);
#define FIELD(symbol, field, params) int (*field)params;
	CODE_CALLS(FIELD)
#undef FIELD
} cu;

bool gpu_cuda_bind_code(void *(*symbol)(const char *name))
{
	void *address = symbol("cuPointerGetAttribute");
	bool complete = true;

	memcpy(&cu.attribute, &address, sizeof(address));

#define BIND(name, field, params)					\
	address = symbol(#name);					\
	memcpy(&cu.field, &address, sizeof(address));			\
	complete = complete && address;
	CODE_CALLS(BIND)
#undef BIND
	return complete;
}

void *gpu_cuda_code_make(const char *text, const char *name)
{
	void *library, *kernel;

	if (cu.library_load(&library, text, NULL, NULL, 0, NULL, NULL, 0) ||
	    cu.library_kernel(&kernel, library, name))
		return NULL;
	return kernel;
}

/*
 * Waiting first, so that in the meantime others can still call the driver.
 * That ends a capture that is under way; of those that it can tell us about, we
 * keep away.
 */
int gpu_cuda_code_bring(struct gpu_cuda_code *code, void *kernel)
{
	int status = 0;
	int ret = cu.ctx_current(&code->ctx);

	if (!ret)
		ret = cu.ctx_id(code->ctx, &code->ctx_id);
	if (!ret)
		ret = cu.capturing(NULL, &status);
	if (!ret)
		ret = cu.ctx_sync();
	return ret ? ret : cu.kernel_function(&code->function, kernel);
}

/* By number: in a new context the driver faults on streams of the old one. */
bool gpu_cuda_code_alive(const struct gpu_cuda_code *code)
{
	uint64_t id = 0;

	return !cu.ctx_id(code->ctx, &id) && id == code->ctx_id;
}

bool gpu_cuda_code_reaches(unsigned int index, uint64_t addr,
			   struct gpu_range *range, bool *whole)
{
	static const int what[] = { POINTER_MEMORY_TYPE, POINTER_IS_MANAGED,
				    POINTER_DEVICE_ORDINAL,
				    POINTER_RANGE_START, POINTER_RANGE_SIZE,
				    POINTER_ACCESS, POINTER_IS_WHOLE };
	unsigned int type = 0, managed = 0, access = 0, legacy = 0;
	uint64_t base = 0;
	size_t bytes = 0;
	int ordinal = -1;
	void *data[] = { &type, &managed, &ordinal, &base, &bytes, &access,
			 &legacy };

	if (cu.attributes(sizeof(what) / sizeof(what[0]), what, data, addr) ||
	    type != MEMORY_DEVICE || managed || ordinal != (int)index ||
	    access != ACCESS_READ_WRITE || addr < base || addr - base >= bytes)
		return false;
	*range = (struct gpu_range){ base, base + bytes };
	*whole = legacy;
	return true;
}

static uint64_t unit_end(uint64_t addr, uint64_t unit)
{
	return (addr / unit + 1) * unit;
}

uint64_t gpu_cuda_code_mapped(uint64_t addr)
{
	uint64_t least = unit_end(addr, GPU_CUDA_MAPPED_UNIT);
	uint64_t most = unit_end(addr, MOST_MAPPED), start = 0;
	size_t bytes = 0;

	if (!cu.attribute ||
	    cu.attribute(&start, POINTER_MAPPING_START, addr) ||
	    cu.attribute(&bytes, POINTER_MAPPING_SIZE, addr) ||
	    addr < start || addr - start >= bytes || bytes > UINT64_MAX - start)
		return least;
	if (most > start + bytes)
		most = start + bytes;
	return most > least ? most : least;
}
