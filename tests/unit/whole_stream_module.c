// SPDX-License-Identifier: MIT
/*
 * Requests in streams with the module loaded: it moves the bytes where it can, and
 * in no case does anybody need the driver meanwhile.  Built with AddressSanitizer
 * and once more with ThreadSanitizer.
 */
#include "stream_model.h"

#define A	(&model.streams[0])
#define B	(&model.streams[1])

/* What REGISTER fails with; 0: it does not. */
static _Atomic int refusal;
/* Files are found not to be direct only when they are used. */
static _Atomic bool late_refusal;
/* Who reads this place waits for the gate. */
#define GATE		(2 * MIB)
static _Atomic bool gate;
static _Atomic unsigned int at_gate;

static int module_call(unsigned long nr, void *arg)
{
	struct nvfs_query *query = arg;
	struct nvfs_rw *rw = arg;
	int ret;

	if (nr == NVFS_IOC_REGISTER && refusal)
		return model_fail(refusal);
	if (nr == NVFS_IOC_READ && rw->file_offset == GATE) {
		at_gate++;
		while (!gate)
			model_nap();
	}
	ret = model_call(nr, arg);
	if (nr == NVFS_IOC_QUERY && late_refusal) {
		query->route = NVFS_ROUTE_DIRECT;
		query->reason = 0;
	}
	return ret;
}

static int setup_module(void **state)
{
	with_module = true;
	refusal = 0;
	late_refusal = false;
	setup(state);
	mock_handler = module_call;
	return 0;
}

/* Nothing of the module's is left behind. */
static int teardown_module(void **state)
{
	teardown(state);
	assert_false(model_batch.open);
	for (unsigned int i = 0; i < MODEL_REGIONS; i++)
		assert_int_equal(model_regions[i].region, 0);
	return 0;
}

static void *wait_inside(void *stream)
{
	model_wait_inside(stream);
	return NULL;
}

/* As cudaFree() does while a request is in the stream. */
static void finish_from_inside(struct model_stream *stream)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wait_inside, stream), 0);
	/* He has the lock. */
	while (!pthread_mutex_trylock(&model.lock)) {
		pthread_mutex_unlock(&model.lock);
		sched_yield();
	}
	stream->held = false;
	pthread_join(thread, NULL);
}

/* Reads and writes while somebody is inside.  @text: what is put for each. */
static void both_ways(struct args args, const char *text)
{
	unsigned char *back = malloc(args.size);
	size_t before;

	for (int write = 0; write < 2; write++) {
		before = A->put;
		memset(fix.gpu, write ? 0x5a : 0xaa, fix.room);
		A->held = true;
		assert_int_equal(submit(&args, A, write).err, 0);
		assert_string_equal(model_text(A) + before, text);
		finish_from_inside(A);
		assert_int_equal(args.bytes, args.size);
		assert_int_equal(pread(fix.file.fd, back, args.size,
				       args.offset), args.size);
		assert_memory_equal(fix.gpu + args.at, back, args.size);
	}
	assert_int_equal(model.syncs, 0);
	/* As it was. */
	assert_int_equal(pwrite(fix.file.fd, fix.bytes + args.offset, args.size,
				args.offset), args.size);
	free(back);
}

static void add_memory(uint64_t at, uint64_t length)
{
	assert_int_equal(cuFileBufRegister(fix.gpu + at, length, 0).err, 0);
}

/* ------------------------------------------------------------------ tests */

static void registered_memory_is_the_modules(void **state)
{
	(void)state;
	add_memory(0, fix.room);
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	assert_int_equal(model_requests, 2);
	/* Also what begins and ends inside a block. */
	both_ways((struct args){ 65536, 4097, 8193, 0 }, "cw");
	assert_int_equal(model_requests, 4);
	assert_int_equal(mock_gpu_copied, 0);
}

static void unregistered_memory_is_the_modules(void **state)
{
	(void)state;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	both_ways((struct args){ 300000, 5, 6, 0 }, "cw");
	assert_int_equal(model_requests, 4);
}

/* A GPU that can't be pinned: as without the module. */
static void memory_that_the_module_refuses_is_the_streams(void **state)
{
	(void)state;
	refusal = ENODEV;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cwkw");
	add_memory(0, fix.room);
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cwkw");
	assert_int_equal(model_requests, 0);
}

static void a_file_that_can_not_go_direct_is_the_streams(void **state)
{
	(void)state;
	model_reason = NVFS_REASON_NO_DIO;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cwkw");
	add_memory(0, fix.room);
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cwkw");
	assert_int_equal(model_requests, 0);
}

/* That is found out too late for the stream: it has to be the module all the same. */
static void what_the_module_finds_late_stays_with_it(void **state)
{
	(void)state;
	late_refusal = true;
	model_reason = NVFS_REASON_FS_BUFFERED;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	add_memory(0, fix.room);
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	assert_int_equal(model_requests, 4);
}

/* A batch can't be made, or has no room. */
static void without_a_batch_it_is_the_modules_too(void **state)
{
	(void)state;
	model_no_batch = true;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	late_refusal = true;
	model_reason = NVFS_REASON_FS_BUFFERED;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	model_no_batch = false;
	model_depth = 0;
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	model_reason = 0;
	assert_int_equal(model_requests, 6);
}

/* They may be waiting for the driver, with requests that somebody waits for. */
static void no_thread_of_the_crew_is_needed(void **state)
{
	CUfileIOParams_t io[16] = { 0 };
	CUfileBatchHandle_t batch;

	(void)state;
	model_no_batch = true;
	gate = false;
	at_gate = 0;
	for (unsigned int i = 0; i < 16; i++) {
		io[i].mode = CUFILE_BATCH;
		io[i].fh = fh;
		io[i].u.batch.devPtr_base = fix.gpu;
		io[i].u.batch.devPtr_offset = (off_t)(MIB + i * 4096);
		io[i].u.batch.file_offset = GATE;
		io[i].u.batch.size = 4096;
	}
	assert_int_equal(cuFileBatchIOSetUp(&batch, 16).err, 0);
	assert_int_equal(cuFileBatchIOSubmit(batch, 16, io, 0).err, 0);
	while (at_gate < 4)
		model_nap();
	both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	assert_int_equal(at_gate, 4);
	gate = true;
	cuFileBatchIODestroy(batch);
}

/* Whose memory was freed, or that failed for another reason. */
static void errors_of_the_module_end_the_request(void **state)
{
	static const int errors[] = { ESTALE, EIO, ENOMEM, EREMOTEIO };
	struct args args = { 65536, 4096, 0, 0 };

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		model_bad_early = i % 2;
		model_bad_errno = errors[i / 2];
		model_bad_offset = 4096;
		A->held = true;
		assert_int_equal(submit(&args, A, false).err, 0);
		finish_from_inside(A);
		assert_int_equal(args.bytes, -errors[i / 2]);
		model_bad_offset = UINT64_MAX;
		both_ways((struct args){ 65536, 4096, 8192, 0 }, "cw");
	}
}

/* No driver is needed to find that out. */
static void what_leaves_its_memory_is_an_error(void **state)
{
	struct args args = { 4096, 0, 65536, 0 };

	(void)state;
	add_memory(0, fix.room);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.at = (off_t)fix.room - 4095;
	finish_from_inside(A);
	assert_int_equal(args.bytes, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	/* Nothing is what it will be: the memory is that of the base. */
	args = (struct args){ 0, 0, -1, 0 };
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args = (struct args){ 4096, 0, 0, 0 };
	finish_from_inside(A);
	assert_int_equal(args.bytes, 4096);
}

/* They may still name all of the memory: a region of a part is not enough. */
static void late_arguments_reach_all_of_the_memory(void **state)
{
	struct args args = { 4096, 0, 65536, 0 };

	(void)state;
	add_memory(65536, 65536);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.at = 65535;
	finish_from_inside(A);
	assert_int_equal(args.bytes, 4096);
	assert_memory_equal(fix.gpu + 65535, fix.bytes, 4096);
	both_ways((struct args){ 4096, 0, 65536, 0 }, "cwkw");
	assert_int_equal(model_requests, 0);
	/* Bytes that are not in it have the allocation's region. */
	both_ways((struct args){ 4096, 0, 131072, 0 }, "cw");
	assert_int_equal(model_requests, 2);
}

static void fixed_arguments_need_no_more_than_their_part(void **state)
{
	const unsigned int both = CU_FILE_STREAM_FIXED_BUF_OFFSET |
				  CU_FILE_STREAM_FIXED_FILE_SIZE;
	static const unsigned int one[] = {
		CU_FILE_STREAM_FIXED_BUF_OFFSET, CU_FILE_STREAM_FIXED_FILE_SIZE,
	};

	(void)state;
	add_memory(65536, 65536);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(cuFileStreamRegister((CUstream)A,
						      one[i]).err, 0);
		both_ways((struct args){ 65536, 0, 65536, 0 }, "cwkw");
	}
	assert_int_equal(model_requests, 0);
	assert_int_equal(cuFileStreamRegister((CUstream)A, both).err, 0);
	both_ways((struct args){ 65536, 0, 65536, 0 }, "cw");
	assert_int_equal(model_requests, 2);
}

static void nothing_is_read_without_an_error(void **state)
{
	struct args args = { 4096, 0, 0, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.size = 0;
	finish_from_inside(A);
	assert_int_equal(args.bytes, 0);
	args.size = 4096;
	args.offset = FILE_BYTES + 5;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	finish_from_inside(A);
	assert_int_equal(args.bytes, 0);
}

static void *deregister(void *unused)
{
	(void)unused;
	assert_int_equal(cuFileBufDeregister(fix.gpu).err, 0);
	return NULL;
}

/* So that it need not be looked for when the stream has come to the request. */
static void memory_stays_until_its_requests_have_ended(void **state)
{
	const struct timespec nap = { .tv_nsec = 50000000 };
	struct args args = { 65536, 4096, 0, 0 };
	pthread_t thread;

	(void)state;
	add_memory(0, fix.room);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(pthread_create(&thread, NULL, deregister, NULL), 0);
	nanosleep(&nap, NULL);
	assert_int_equal(model_regions[0].region, 1);
	finish_from_inside(A);
	pthread_join(thread, NULL);
	assert_int_equal(args.bytes, 65536);
	assert_int_equal(model_regions[0].region, 0);
}

/* What was in the stream is gone, or comes late. */
static void a_reset_ends_what_the_stream_had_to_begin(void **state)
{
	struct args args = { 65536, 4096, 0, 0 };

	(void)state;
	model.numbered = true;
	add_memory(0, fix.room);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	model_reset();
	cuFileHandleDeregister(fh);
	assert_int_equal(args.bytes, -EIO);
	deregister(NULL);
	assert_int_equal(model_regions[0].region, 0);
	args.bytes = -77;
	model_finish(A);
	assert_int_equal(args.bytes, -77);
	assert_int_equal(model_requests, 0);
}

/* It says so by its code for streams. */
static void a_failed_gpu_ends_what_the_stream_had_to_begin(void **state)
{
	struct args args = { 65536, 4096, 0, 0 };

	(void)state;
	model.numbered = true;
	assert_int_equal(engine_warm(0), 0);
	add_memory(0, fix.room);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	model.lost = true;
	deregister(NULL);
	assert_int_equal(args.bytes, -EIO);
}

static void who_deregisters_memory_sees_that_its_gpu_was_reset(void **state)
{
	const struct timespec nap = { .tv_nsec = 70000000 };
	struct args args = { 65536, 4096, 0, 0 };
	pthread_t thread;

	(void)state;
	model.numbered = true;
	add_memory(0, fix.room);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(pthread_create(&thread, NULL, deregister, NULL), 0);
	nanosleep(&nap, NULL);
	assert_int_equal(args.bytes, -77);
	model_reset();
	pthread_join(thread, NULL);
	assert_int_equal(args.bytes, -EIO);
}

static void *reset_soon(void *unused)
{
	const struct timespec nap = { .tv_nsec = 70000000 };

	nanosleep(&nap, NULL);
	model_reset();
	return unused;
}

static void who_waits_for_want_of_a_wait_sees_a_reset(void **state)
{
	struct args args = { 65536, 4096, 0, 0 };
	pthread_t thread;

	(void)state;
	model.numbered = true;
	A->held = true;
	model.fail_wait = 1;
	assert_int_equal(pthread_create(&thread, NULL, reset_soon, NULL), 0);
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(args.bytes, -EIO);
	pthread_join(thread, NULL);
}

static void reset_in_call(void)
{
	model_reset();
	engine_look_after();
	model.capturing = true;
}

/* The call fails, and there is nobody left to be told. */
static void what_ended_before_it_was_in_has_ended_once(void **state)
{
	struct args args = { 65536, 4096, 0, 0 };

	(void)state;
	model.numbered = true;
	model.on_call = reset_in_call;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(args.bytes, -EIO);
	cuFileHandleDeregister(fh);
}

/* Requests that never begin, or are wrong, leave nothing of it in use. */
static void memory_is_let_go_by_what_is_not_submitted(void **state)
{
	struct args args = { 65536, 4096, 0, 0 };

	(void)state;
	add_memory(0, fix.room);
	model.capturing = true;
	assert_int_equal(submit(&args, A, false).err,
			 CU_FILE_ASYNC_NOT_SUPPORTED);
	model.capturing = false;
	args.offset = -1;
	assert_int_equal(submit(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, -CU_FILE_INVALID_VALUE);
	deregister(NULL);
}

static void *read_many(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;
	struct model_stream *stream = &model.streams[self];
	struct args args[8];
	uintptr_t wrong = 0;

	for (unsigned int round = 0; round < 30; round++) {
		for (unsigned int i = 0; i < 8; i++) {
			args[i] = (struct args){ 5000, 4096 * i + round,
						 (8 * self + i) * 8192, 0 };
			wrong += !!submit(&args[i], stream, false).err;
		}
		while (!model_is_idle(stream))
			model_nap();
		for (unsigned int i = 0; i < 8; i++)
			wrong += args[i].bytes != 5000 ||
				 memcmp(fix.gpu + args[i].at, fix.bytes +
					args[i].offset, 5000);
	}
	return (void *)wrong;
}

static void streams_of_several_threads(void **state)
{
	pthread_t threads[3];
	void *wrong;

	(void)state;
	model_depth = 4;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_many,
						(void *)i), 0);
	for (unsigned int i = 0; i < 100; i++) {
		model_wait_inside(B);
		model_nap();
	}
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

#define STREAM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup_module, teardown_module)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STREAM_TEST(registered_memory_is_the_modules),
		STREAM_TEST(unregistered_memory_is_the_modules),
		STREAM_TEST(memory_that_the_module_refuses_is_the_streams),
		STREAM_TEST(a_file_that_can_not_go_direct_is_the_streams),
		STREAM_TEST(what_the_module_finds_late_stays_with_it),
		STREAM_TEST(without_a_batch_it_is_the_modules_too),
		STREAM_TEST(no_thread_of_the_crew_is_needed),
		STREAM_TEST(errors_of_the_module_end_the_request),
		STREAM_TEST(what_leaves_its_memory_is_an_error),
		STREAM_TEST(late_arguments_reach_all_of_the_memory),
		STREAM_TEST(fixed_arguments_need_no_more_than_their_part),
		STREAM_TEST(nothing_is_read_without_an_error),
		STREAM_TEST(memory_stays_until_its_requests_have_ended),
		STREAM_TEST(a_reset_ends_what_the_stream_had_to_begin),
		STREAM_TEST(a_failed_gpu_ends_what_the_stream_had_to_begin),
		STREAM_TEST(who_deregisters_memory_sees_that_its_gpu_was_reset),
		STREAM_TEST(who_waits_for_want_of_a_wait_sees_a_reset),
		STREAM_TEST(what_ended_before_it_was_in_has_ended_once),
		STREAM_TEST(memory_is_let_go_by_what_is_not_submitted),
		STREAM_TEST(streams_of_several_threads),
	};

	return run_with_limit(tests, sizeof(tests) / sizeof(tests[0]));
}
