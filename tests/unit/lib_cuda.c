// SPDX-License-Identifier: MIT
/* What NVIDIA's driver library is asked for around each call, against a fake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>

static void *find(void *handle, const char *name);

static void *fake_open(const char *name, int flags)
{
	(void)flags;
	return (void *)(uintptr_t)name;
}

#define dlopen fake_open
#define dlsym find
#define dlclose(handle) ((void)(handle))
#include "../../lib/gpu_cuda.c"

static int primary, other;
static void *stack[4];
static unsigned int depth, pushes, pops;

static int push(void *ctx)
{
	pushes++;
	stack[++depth] = ctx;
	return 0;
}

static int pop(void **ctx)
{
	pops++;
	*ctx = stack[depth--];
	return 0;
}

static int current(void **ctx)
{
	*ctx = stack[depth];
	return 0;
}

static int mode;

static int exchange_mode(int *new)
{
	int old = mode;

	mode = *new;
	*new = old;
	return 0;
}

static int retain(void **ctx, int dev)
{
	(void)dev;
	*ctx = &primary;
	return 0;
}

static uint64_t primary_id;

static int get_id(void *ctx, uint64_t *id)
{
	assert_ptr_equal(ctx, &primary);
	*id = primary_id;
	return !primary_id;
}

static int succeed(void)
{
	return 0;
}

/* Of GPU memory two units are mapped, and behind them nothing. */
#define UNIT	(2ULL << 20)
#define MAPPED	0x7f0000000000ULL

static int copy(uint64_t gpu, size_t length)
{
	return gpu >= MAPPED && gpu - MAPPED <= 2 * UNIT - length ?
	       CU_OK : CU_INVALID_VALUE;
}

static int copy_in(uint64_t dst, const void *src, size_t length)
{
	(void)src;
	return copy(dst, length);
}

static int copy_out(void *dst, uint64_t src, size_t length)
{
	(void)dst;
	return copy(src, length);
}

/*
 * What the driver has, by address: a range, what is mapped there, and numbers of
 * the pointer and the memory.  Two pieces of a small allocation's mapping come
 * first, then three units of reserved addresses with nothing in the middle.
 */
static struct known {
	uint64_t first, bytes;
	uint64_t base;
	size_t length;
	uint64_t mapping;
	size_t mapping_length;
	uint64_t id, block;
} model[] = {
	{ UNIT, 512, UNIT, 512, UNIT, UNIT, 5, 2 },
	{ UNIT + 512, 1000, UNIT + 512, 1000, UNIT, UNIT, 6, 2 },
	{ MAPPED, UNIT, MAPPED, 3 * UNIT, MAPPED, UNIT, 7, 3 },
	{ MAPPED + UNIT, UNIT, MAPPED, 3 * UNIT, 0, 0, 7, 0 },
	{ MAPPED + 2 * UNIT, UNIT, MAPPED, 3 * UNIT, MAPPED + 2 * UNIT, UNIT, 7,
	  4 },
};

static bool old_driver;
/* It refuses this address, though it knows all that is asked of it. */
static uint64_t refused_addr;
static unsigned int looks;

static void answer(const struct known *k, int what, void *data)
{
	switch (what) {
	case 2:
		*(unsigned int *)data = k ? 2 : 0;
		break;
	case 8:
		*(unsigned int *)data = 0;
		break;
	case 9:
		*(int *)data = k ? 0 : -2;
		break;
	case 13:
		*(unsigned int *)data = k && k->mapping_length;
		break;
	case 7:
		*(uint64_t *)data = k ? k->id : 0;
		break;
	case 11:
		*(uint64_t *)data = k ? k->base : 0;
		break;
	case 12:
		*(size_t *)data = k ? k->length : 0;
		break;
	case 18:
		*(size_t *)data = k ? k->mapping_length : 0;
		break;
	case 19:
		*(uint64_t *)data = k ? k->mapping : 0;
		break;
	case 20:
		*(uint64_t *)data = k ? k->block : 0;
		break;
	default:
		fail_msg("attribute %d", what);
	}
}

static int attributes(unsigned int nr, const int *what, void **data,
		      uint64_t addr)
{
	const struct known *k = NULL;

	looks++;
	if (nr > 6 && addr == refused_addr)
		return CU_INVALID_VALUE;
	for (unsigned int i = 0; i < sizeof(model) / sizeof(model[0]); i++) {
		if (addr - model[i].first < model[i].bytes)
			k = &model[i];
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (old_driver && what[i] > 12)
			return CU_INVALID_VALUE;
		answer(k, what[i], data[i]);
	}
	return CU_OK;
}

static void *find(void *handle, const char *name)
{
	static const struct {
		const char *name;
		void *address;
	} known[] = {
		{ "cuCtxPushCurrent_v2", (void *)push },
		{ "cuCtxPopCurrent_v2", (void *)pop },
		{ "cuCtxGetCurrent", (void *)current },
		{ "cuCtxGetId", (void *)get_id },
		{ "cuThreadExchangeStreamCaptureMode", (void *)exchange_mode },
		{ "cuDevicePrimaryCtxRetain", (void *)retain },
		{ "cuPointerGetAttributes", (void *)attributes },
		{ "cuMemcpyHtoD_v2", (void *)copy_in },
		{ "cuMemcpyDtoH_v2", (void *)copy_out },
	};

	(void)handle;
	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(name, known[i].name))
			return known[i].address;
	}
	return (void *)succeed;
}

static void assert_left_as_it_was(void *ctx, unsigned int changes)
{
	stack[0] = ctx;
	pushes = 0;
	pops = 0;
	assert_int_equal(gpu_cuda_enter(0), 0);
	assert_ptr_equal(stack[depth], &primary);
	gpu_cuda_leave();
	assert_int_equal(depth, 0);
	assert_ptr_equal(stack[0], ctx);
	assert_int_equal(pushes, changes);
	assert_int_equal(pops, changes);
}

static void context_is_changed_only_when_it_is_another(void **state)
{
	(void)state;
	assert_int_equal(gpu_cuda.init(), 0);
	assert_left_as_it_was(NULL, 1);
	assert_left_as_it_was(&primary, 0);
	assert_left_as_it_was(&other, 1);
	assert_left_as_it_was(&primary, 0);
}

/* As the bench does around all that a thread of it puts into its stream. */
static void who_is_inside_may_enter_again(void **state)
{
	(void)state;
	stack[0] = &other;
	assert_int_equal(gpu_cuda_enter(0), 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(gpu_cuda_enter(0), 0);
		assert_ptr_equal(stack[depth], &primary);
		assert_int_equal(mode, CAPTURE_RELAXED);
		gpu_cuda_leave();
		assert_int_equal(depth, 1);
		assert_int_equal(mode, CAPTURE_RELAXED);
	}
	gpu_cuda_leave();
	assert_int_equal(depth, 0);
	assert_int_equal(mode, 0);
}

static void any_context_may_be_entered(void **state)
{
	(void)state;
	stack[0] = NULL;
	assert_int_equal(gpu_cuda_enter_ctx(&other), 0);
	assert_ptr_equal(stack[depth], &other);
	assert_int_equal(mode, CAPTURE_RELAXED);
	/* None in particular: as it is. */
	assert_int_equal(gpu_cuda_enter_ctx(NULL), 0);
	assert_ptr_equal(stack[depth], &other);
	gpu_cuda_leave();
	assert_int_equal(depth, 1);
	gpu_cuda_leave();
	assert_int_equal(depth, 0);
	assert_int_equal(mode, 0);
}

static void copy_where_nothing_is_mapped_is_a_bad_address(void **state)
{
	char byte[16] = "";

	(void)state;
	assert_int_equal(gpu_cuda.copy_in(0, MAPPED + UNIT - 8, byte, 16), 0);
	assert_int_equal(gpu_cuda.copy_out(0, byte, MAPPED + UNIT - 8, 16), 0);
	assert_int_equal(gpu_cuda.copy_in(0, MAPPED + 2 * UNIT - 8, byte, 16),
			 -EFAULT);
	assert_int_equal(gpu_cuda.copy_out(0, byte, MAPPED + 2 * UNIT - 8, 16),
			 -EFAULT);
	assert_int_equal(gpu_cuda.copy_in(0, MAPPED - 1, byte, 16), -EFAULT);
	assert_int_equal(depth, 0);
}

static struct gpu_mem look(uint64_t addr)
{
	struct gpu_mem mem;

	assert_int_equal(gpu_cuda.classify(addr, &mem), 0);
	return mem;
}

static void assert_piece(uint64_t addr, uint64_t base, uint64_t length,
			 uint64_t piece, uint64_t piece_length)
{
	struct gpu_mem mem = look(addr);

	assert_int_equal(mem.kind, GPU_MEM_DEVICE);
	assert_int_equal(mem.base, base);
	assert_int_equal(mem.length, length);
	if (piece_length)
		assert_int_equal(mem.piece, piece);
	assert_int_equal(mem.piece_length, piece_length);
}

static void reserved_addresses_are_told_from_what_is_mapped_there(void **state)
{
	(void)state;
	assert_int_equal(look(5).kind, GPU_MEM_HOST);
	assert_piece(MAPPED + 5, MAPPED, 3 * UNIT, MAPPED, UNIT);
	assert_piece(MAPPED + UNIT, MAPPED, 3 * UNIT, 0, 0);
	assert_piece(MAPPED + 3 * UNIT - 1, MAPPED, 3 * UNIT,
		     MAPPED + 2 * UNIT, UNIT);
	/* An allocation is not the mapping that it was cut from. */
	assert_piece(UNIT + 1, UNIT, 512, UNIT, 512);
	assert_piece(UNIT + 600, UNIT + 512, 1000, UNIT + 512, 1000);
}

static void other_memory_at_the_same_address_has_another_id(void **state)
{
	uint64_t first = look(MAPPED).id, small = look(UNIT).id;

	(void)state;
	assert_int_not_equal(first, 0);
	/* Two mappings, of one number to the driver. */
	assert_int_not_equal(first, look(MAPPED + 2 * UNIT).id);
	/* Other memory is mapped there, which is all that tells. */
	model[2].block = 5;
	assert_int_not_equal(first, look(MAPPED).id);
	model[2].block = 3;
	assert_int_equal(first, look(MAPPED).id);
	/* Given out again: the memory is the same. */
	model[0].id = 8;
	assert_int_not_equal(small, look(UNIT).id);
	model[0].id = 5;
}

static void driver_that_knows_no_mappings_is_asked_for_less(void **state)
{
	(void)state;
	gpu_cuda_bind_streams(symbol_of_library);
	old_driver = true;
	assert_int_equal(look(5).kind, GPU_MEM_HOST);
	assert_piece(UNIT + 1, UNIT, 512, UNIT, 512);
	assert_int_equal(look(UNIT).id, 5);
	assert_piece(MAPPED, MAPPED, 3 * UNIT, MAPPED, 3 * UNIT);
	old_driver = false;
}

static unsigned int looks_for(uint64_t addr)
{
	looks = 0;
	look(addr);
	return looks;
}

static void driver_that_refuses_what_is_newer_is_not_asked_again(void **state)
{
	(void)state;
	gpu_cuda_bind_streams(symbol_of_library);
	old_driver = true;
	/* Nothing is learnt from what is not device memory. */
	assert_int_equal(looks_for(5), 2);
	assert_int_equal(looks_for(5), 2);
	assert_int_equal(looks_for(UNIT), 3);
	assert_int_equal(looks_for(UNIT), 1);
	assert_int_equal(looks_for(MAPPED), 1);
	assert_int_equal(looks_for(5), 1);
	assert_piece(MAPPED, MAPPED, 3 * UNIT, MAPPED, 3 * UNIT);
	old_driver = false;
}

/* Or pieces would be taken for all of what is reserved. */
static void memory_that_is_refused_says_nothing_of_the_driver(void **state)
{
	(void)state;
	gpu_cuda_bind_streams(symbol_of_library);
	refused_addr = UNIT;
	assert_piece(UNIT, UNIT, 512, UNIT, 512);
	refused_addr = MAPPED;
	assert_int_equal(looks_for(MAPPED), 2);
	refused_addr = 0;
	assert_int_equal(looks_for(UNIT), 1);
	assert_piece(MAPPED, MAPPED, 3 * UNIT, MAPPED, UNIT);
}

static void a_reset_context_is_another(void **state)
{
	(void)state;
	assert_int_equal(gpu_cuda_context(1), 0);
	assert_int_equal(gpu_cuda_context(1000), 0);
	assert_int_equal(gpu_cuda_enter(0), 0);
	gpu_cuda_leave();
	primary_id = 5;
	assert_int_equal(gpu_cuda_context(0), 5);
	/* There is none; and then the next one, whose handle is the same. */
	primary_id = 0;
	assert_int_equal(gpu_cuda_context(0), 0);
	primary_id = 6;
	assert_int_equal(gpu_cuda_context(0), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(context_is_changed_only_when_it_is_another),
		cmocka_unit_test(who_is_inside_may_enter_again),
		cmocka_unit_test(any_context_may_be_entered),
		cmocka_unit_test(copy_where_nothing_is_mapped_is_a_bad_address),
		cmocka_unit_test(reserved_addresses_are_told_from_what_is_mapped_there),
		cmocka_unit_test(other_memory_at_the_same_address_has_another_id),
		cmocka_unit_test(driver_that_knows_no_mappings_is_asked_for_less),
		cmocka_unit_test(driver_that_refuses_what_is_newer_is_not_asked_again),
		cmocka_unit_test(memory_that_is_refused_says_nothing_of_the_driver),
		cmocka_unit_test(a_reset_context_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
