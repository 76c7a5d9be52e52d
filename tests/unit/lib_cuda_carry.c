// SPDX-License-Identifier: MIT
/*
 * What NVIDIA's driver is asked before, and given when, a stream is to carry out
 * orders; against one with two contexts and three kinds of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu.h"
#include "gpu_cuda_carry.h"
#include "lib_cuda_model.h"

#define WHOLE	(1ULL << 40)	/* 100 bytes, in one piece */
#define HOLES	(2ULL << 40)	/* four units, of which the third is not there */
#define HUGE	(3ULL << 40)	/* all there, but looked at for too long */
#define RAGGED	(4ULL << 40)	/* four, but for the last part of the third */
#define UNIT	(2ULL << 20)
#define PART	65536U
#define INVALID	1
#define ALIAS	0x100000ULL	/* what the GPU adds to addresses of the host */

static struct {
	uint64_t id;
	int registered, looks, syncs;
	int own, other;		/* contexts */
	void *current, *of_stream;
	int capture_status;
	int query, no_wait, mapping_error;
	unsigned int blocks;
	void *stream;
	uint64_t order, done;
	uint32_t value, board;
} driver;

static int succeed(void)
{
	return 0;
}

static int ctx_sync(void)
{
	driver.syncs++;
	return 0;
}

static int library_kernel(void **kernel, void *library, const char *name)
{
	(void)library;
	assert_string_equal(name, GPU_CUDA_CARRY_NAME);
	*kernel = &driver;
	return 0;
}

static int ctx_current(void **ctx)
{
	*ctx = driver.current;
	return 0;
}

static int stream_ctx(void *stream, void **ctx)
{
	(void)stream;
	*ctx = driver.of_stream;
	return 0;
}

static int ctx_id(void *ctx, uint64_t *id)
{
	assert_ptr_equal(ctx, &driver.own);
	*id = driver.id;
	return driver.id ? 0 : INVALID;
}

static int capturing(void *stream, int *status)
{
	(void)stream;
	*status = driver.capture_status;
	return 0;
}

static int stream_id(void *stream, uint64_t *id)
{
	(void)stream;
	*id = 77;
	return 0;
}

static int stream_query(void *stream)
{
	(void)stream;
	assert_int_equal(entered, 1);
	return driver.query;
}

static int host_register(void *host, size_t bytes, unsigned int flags)
{
	assert_non_null(host);
	assert_int_equal(bytes, GPU_BOARDS * sizeof(struct gpu_board));
	assert_int_equal(flags, 3);
	driver.registered++;
	return 0;
}

static int host_unregister(void *host)
{
	assert_non_null(host);
	driver.registered--;
	return 0;
}

static int host_device_pointer(uint64_t *addr, void *host, unsigned int flags)
{
	assert_int_equal(flags, 0);
	*addr = (uintptr_t)host + ALIAS;
	return 0;
}

static int wait_value(void *stream, uint64_t addr, uint32_t value,
		      unsigned int flags)
{
	(void)stream;
	assert_int_equal(value, 0);
	assert_int_equal(flags, 0);
	assert_int_equal(*(uint32_t *)(uintptr_t)(addr - ALIAS), 0);
	return driver.no_wait;
}

static int launch(void *function, unsigned int grid_x, unsigned int grid_y,
		  unsigned int grid_z, unsigned int block_x,
		  unsigned int block_y, unsigned int block_z,
		  unsigned int shared, void *stream, void **params,
		  void **extra)
{
	(void)function;
	(void)extra;
	assert_int_equal(grid_y * grid_z * block_y * block_z, 1);
	assert_int_equal(block_x, GPU_CUDA_CARRY_THREADS);
	assert_int_equal(shared, 0);
	driver.blocks = grid_x;
	driver.stream = stream;
	memcpy(&driver.order, params[0], sizeof(driver.order));
	memcpy(&driver.done, params[1], sizeof(driver.done));
	memcpy(&driver.value, params[2], sizeof(driver.value));
	memcpy(&driver.board, params[3], sizeof(driver.board));
	return 0;
}

static const struct cuda_range ranges[] = {
	{ WHOLE, 100, true },
	{ HOLES, 4 * UNIT, false },
	{ HUGE, 10000 * UNIT, false },
	{ RAGGED, 4 * UNIT, false },
};

#define RANGES	(sizeof(ranges) / sizeof(ranges[0]))

static bool is_mapped(uint64_t addr)
{
	if (addr - HOLES < 4 * UNIT)
		return (addr - HOLES) / UNIT != 2;
	return addr - RAGGED >= 4 * UNIT ||
	       (addr - RAGGED) / PART != 3 * UNIT / PART - 1;
}

static int attributes(unsigned int nr, const int *what, void **data,
		      uint64_t addr)
{
	driver.looks++;
	assert_int_equal(entered, 1);
	for (unsigned int i = 0; i < RANGES; i++) {
		if (addr - ranges[i].base >= ranges[i].bytes)
			continue;
		for (unsigned int j = 0; j < nr; j++)
			answer(&ranges[i], what[j], data[j], is_mapped(addr));
		return 0;
	}
	return INVALID;
}

/* The whole of HUGE is one; what else there is is many small ones. */
static int attribute(void *data, int what, uint64_t addr)
{
	bool huge = addr - HUGE < 10000 * UNIT;
	uint64_t start = huge ? HUGE : addr / PART * PART;
	size_t bytes = huge ? 10000 * UNIT : PART;

	assert_true(what == 18 || what == 19);
	if (driver.mapping_error)
		return driver.mapping_error;
	if (what == 19)
		memcpy(data, &start, sizeof(start));
	else
		memcpy(data, &bytes, sizeof(bytes));
	return 0;
}

static void *find(const char *name)
{
	static const struct {
		const char *name;
		void *address;
	} known[] = {
		{ "cuLibraryGetKernel", (void *)library_kernel },
		{ "cuCtxGetCurrent", (void *)ctx_current },
		{ "cuCtxSynchronize", (void *)ctx_sync },
		{ "cuStreamGetCtx", (void *)stream_ctx },
		{ "cuCtxGetId", (void *)ctx_id },
		{ "cuStreamIsCapturing", (void *)capturing },
		{ "cuStreamGetId", (void *)stream_id },
		{ "cuStreamQuery", (void *)stream_query },
		{ "cuMemHostRegister_v2", (void *)host_register },
		{ "cuMemHostUnregister", (void *)host_unregister },
		{ "cuMemHostGetDevicePointer_v2", (void *)host_device_pointer },
		{ "cuStreamWaitValue32_v2", (void *)wait_value },
		{ "cuLaunchKernel", (void *)launch },
		{ "cuPointerGetAttributes", (void *)attributes },
		{ "cuPointerGetAttribute", (void *)attribute },
	};

	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(name, known[i].name))
			return known[i].address;
	}
	return (void *)succeed;
}

static struct gpu_board *boards;

static void *open_carrier(void)
{
	void *carrier;

	static uint64_t id = 3;

	memset(&driver, 0, sizeof(driver));
	/* Nothing is left of the test before. */
	driver.id = id++;
	driver.current = &driver.own;
	driver.of_stream = &driver.own;
	gpu_cuda_bind_carry(find);
	gpu_cuda_carry_make();
	assert_int_equal(gpu_cuda_carry_open(0, GPU_BOARDS, &carrier, &boards),
			 0);
	assert_int_equal(driver.registered, 1);
	return carrier;
}

static void close_carrier(void *carrier)
{
	gpu_cuda_carry_close(carrier, true);
	assert_int_equal(entered, 0);
}

static void code_that_was_not_made_is_not_brought(void **state)
{
	void *carrier;

	(void)state;
	assert_int_equal(gpu_cuda_carry_open(0, GPU_BOARDS, &carrier, &boards),
			 -ENOSYS);
}

static void streams_that_can_not_wait_are_not_used(void **state)
{
	void *carrier = open_carrier();

	(void)state;
	close_carrier(carrier);
	driver.id += 100;
	driver.registered = 0;
	driver.no_wait = 801;
	assert_int_equal(gpu_cuda_carry_open(0, GPU_BOARDS, &carrier, &boards),
			 -ENOSYS);
	assert_int_equal(driver.registered, 0);
	assert_int_equal(entered, 0);
}

static void only_streams_of_the_same_context_suit(void **state)
{
	void *carrier = open_carrier();
	uint64_t id = 0;

	(void)state;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id), 0);
	assert_int_equal(id, 77);
	driver.of_stream = &driver.other;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id),
			 -EOPNOTSUPP);
	driver.of_stream = &driver.own;
	driver.current = &driver.other;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id),
			 -EOPNOTSUPP);
	driver.current = &driver.own;
	driver.capture_status = 1;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id),
			 -EOPNOTSUPP);
	driver.capture_status = 0;
	/* A new one in the old one's place, after a reset. */
	driver.id += 100;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id),
			 -EOPNOTSUPP);
	driver.id -= 100;
	assert_int_equal(gpu_cuda_carry_suits(carrier, NULL, &id), 0);
	close_carrier(carrier);
}

static void memory_is_looked_at_to_its_last_byte(void **state)
{
	void *carrier = open_carrier();

	(void)state;
	assert_true(gpu_cuda_carry_reaches(carrier, WHOLE, 100));
	assert_int_equal(driver.looks, 1);
	assert_false(gpu_cuda_carry_reaches(carrier, WHOLE, 101));
	assert_false(gpu_cuda_carry_reaches(carrier, WHOLE + 99, 2));
	assert_false(gpu_cuda_carry_reaches(carrier, WHOLE, 0));
	assert_false(gpu_cuda_carry_reaches(carrier, WHOLE - 1, 2));
	assert_false(gpu_cuda_carry_reaches(carrier, UINT64_MAX, 2));
	assert_true(gpu_cuda_carry_reaches(carrier, HOLES + 5, 2 * UNIT - 5));
	assert_false(gpu_cuda_carry_reaches(carrier, HOLES + 5, 2 * UNIT - 4));
	assert_false(gpu_cuda_carry_reaches(carrier, HOLES, 4 * UNIT));
	assert_true(gpu_cuda_carry_reaches(carrier, HOLES + 3 * UNIT, UNIT));
	assert_false(gpu_cuda_carry_reaches(carrier, HOLES + 3 * UNIT,
					    UNIT + 1));
	assert_true(gpu_cuda_carry_reaches(carrier, HUGE, 100 * UNIT));
	driver.looks = 0;
	assert_false(gpu_cuda_carry_reaches(carrier, HUGE, 10000 * UNIT));
	assert_true(driver.looks < 1000);
	close_carrier(carrier);
}

/* As small as what can be mapped by itself. */
static void a_hole_in_memory_is_not_missed(void **state)
{
	void *carrier = open_carrier();

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint64_t hole = RAGGED + 3 * UNIT - PART;

		driver.mapping_error = i ? 801 : 0;
		assert_true(gpu_cuda_carry_reaches(carrier, RAGGED, 2 * UNIT));
		assert_true(gpu_cuda_carry_reaches(carrier, RAGGED,
						   hole - RAGGED));
		assert_false(gpu_cuda_carry_reaches(carrier, RAGGED,
						    hole - RAGGED + 1));
		assert_false(gpu_cuda_carry_reaches(carrier, RAGGED, 4 * UNIT));
		assert_true(gpu_cuda_carry_reaches(carrier, hole + PART, UNIT));
	}
	/* Not told where it is mapped, so it takes more looks. */
	assert_false(gpu_cuda_carry_reaches(carrier, HUGE, 100 * UNIT));
	assert_true(gpu_cuda_carry_reaches(carrier, HUGE, 10 * UNIT));
	close_carrier(carrier);
}

static void code_is_told_where_its_order_is(void **state)
{
	void *carrier = open_carrier(), *stream = &driver.other;

	(void)state;
	assert_int_equal(gpu_cuda_carry(carrier, stream, 7, 5, 99, 65536), 0);
	assert_ptr_equal(driver.stream, stream);
	assert_int_equal(driver.order, (uintptr_t)boards[7].orders[5] + ALIAS);
	assert_int_equal(driver.done, (uintptr_t)&boards[7].done + ALIAS);
	assert_int_equal(driver.value, 99);
	assert_int_equal(driver.board, 7);
	assert_int_equal(driver.blocks, 2);
	assert_int_equal(gpu_cuda_carry(carrier, stream, 0, 0, 1, 1), 0);
	assert_int_equal(driver.blocks, 1);
	/* No more blocks than copies of the order. */
	assert_int_equal(gpu_cuda_carry(carrier, stream, 0, 0, 1, UNIT), 0);
	assert_int_equal(driver.blocks, GPU_COPIES);
	close_carrier(carrier);
}

/* Or the GPU might go on to look at the child's. */
static void a_child_has_no_boards(void **state)
{
	void *carrier = open_carrier();
	unsigned char there;
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (!child)
		_exit(mincore(boards, 1, &there) && errno == ENOMEM ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(mincore(boards, 1, &there), 0);
	close_carrier(carrier);
}

/* The last thing in a stream is a wait for a word, which nobody sees end. */
static void boards_stay_for_the_next_opening(void **state)
{
	void *carrier = open_carrier(), *again;
	struct gpu_board *old = boards;
	unsigned char there;

	(void)state;
	atomic_store(&boards[7].word, 73);
	driver.syncs = 0;
	close_carrier(carrier);
	assert_int_equal(driver.registered, 1);
	assert_int_equal(mincore(old, 1, &there), 0);
	assert_int_equal(gpu_cuda_carry_open(0, GPU_BOARDS, &again, &boards),
			 0);
	assert_ptr_equal(boards, old);
	assert_int_equal(atomic_load(&boards[7].word), 73);
	/* Code is there, too, so nobody waits for the GPU. */
	assert_int_equal(driver.syncs, 0);
	assert_int_equal(driver.registered, 1);
	close_carrier(again);
	/* After a reset others are made. */
	driver.id += 100;
	assert_int_equal(gpu_cuda_carry_open(0, GPU_BOARDS, &again, &boards),
			 0);
	assert_int_equal(driver.registered, 2);
	assert_int_equal(driver.syncs, 1);
	assert_int_equal(atomic_load(&boards[7].word), 0);
	assert_int_equal(entered, 0);
	close_carrier(again);
}

static void a_gpu_that_failed_or_was_reset_is_lost(void **state)
{
	void *carrier = open_carrier();

	(void)state;
	assert_false(gpu_cuda_carry_lost(carrier));
	driver.query = 600;
	assert_false(gpu_cuda_carry_lost(carrier));
	driver.query = 700;
	assert_true(gpu_cuda_carry_lost(carrier));
	driver.query = 0;
	driver.id = 4;
	assert_true(gpu_cuda_carry_lost(carrier));
	driver.id = 0;
	assert_true(gpu_cuda_carry_lost(carrier));
	/* Its boards are still there. */
	atomic_store(&boards[0].word, 1);
	gpu_cuda_carry_close(carrier, false);
	assert_int_equal(driver.registered, 1);
	assert_int_equal(atomic_load(&boards[GPU_BOARDS - 1].done), 0);
	assert_int_equal(entered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_that_was_not_made_is_not_brought),
		cmocka_unit_test(streams_that_can_not_wait_are_not_used),
		cmocka_unit_test(only_streams_of_the_same_context_suit),
		cmocka_unit_test(memory_is_looked_at_to_its_last_byte),
		cmocka_unit_test(a_hole_in_memory_is_not_missed),
		cmocka_unit_test(code_is_told_where_its_order_is),
		cmocka_unit_test(a_child_has_no_boards),
		cmocka_unit_test(boards_stay_for_the_next_opening),
		cmocka_unit_test(a_gpu_that_failed_or_was_reset_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
