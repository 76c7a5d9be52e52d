/* SPDX-License-Identifier: MIT */
/* What tests of the files beside gpu_cuda.c have in its place, and memory. */
#ifndef LIB_CUDA_MODEL_H
#define LIB_CUDA_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>

#include "gpu.h"

/* How often GPU 0, which is the only one, is entered. */
static int entered;

int gpu_cuda_enter(unsigned int index)
{
	if (index)
		return -ENODEV;
	entered++;
	return 0;
}

/* Which one, of those that were entered by handle. */
static void *entered_ctx;

int gpu_cuda_enter_ctx(void *ctx)
{
	entered++;
	entered_ctx = ctx;
	return 0;
}

void gpu_cuda_leave(void)
{
	entered--;
}

/* The number of its context. */
static uint64_t context = 1;

uint64_t gpu_cuda_context(unsigned int index)
{
	assert_int_equal(index, 0);
	return context;
}

int gpu_cuda_errno(int result)
{
	return result ? -EIO : 0;
}

/*
 * As the driver answers cuPointerGetAttributes(): of which range, also where
 * nothing is mapped, which only the access tells.
 */
struct cuda_range {
	uint64_t base;
	uint64_t bytes;
	bool whole;
};

static inline void answer(const struct cuda_range *range, int what, void *data,
			  bool there)
{
	switch (what) {
	case 2:
		*(unsigned int *)data = 2;
		break;
	case 8:
		*(unsigned int *)data = 0;
		break;
	case 9:
		*(int *)data = 0;
		break;
	case 10:
		*(unsigned int *)data = range->whole;
		break;
	case 11:
		*(uint64_t *)data = range->base;
		break;
	case 12:
		*(size_t *)data = range->bytes;
		break;
	case 16:
		*(unsigned int *)data = there ? 3 : 0;
		break;
	default:
		fail_msg("attribute %d", what);
	}
}

#endif /* LIB_CUDA_MODEL_H */
