// SPDX-License-Identifier: MIT
/*
 * Requests for whose end a stream waits by a word in memory: those of host
 * memory.  Built with AddressSanitizer and once more with ThreadSanitizer.
 */
#include "stream_model.h"

#define A	(&model.streams[0])
#define BIG	(20 * MIB)

static unsigned char *host;

static int setup_host(void **state)
{
	host = malloc(BIG);
	assert_non_null(host);
	return setup(state);
}

static int teardown_host(void **state)
{
	free(host);
	return teardown(state);
}

static CUfileError_t submit_host(struct args *args, struct model_stream *stream,
				 bool write)
{
	return submit_of(host, args, stream, write);
}

static bool becomes_idle(struct model_stream *stream)
{
	for (unsigned int i = 0; i < 2000 && !model_is_idle(stream); i++)
		model_nap();
	return model_is_idle(stream);
}

static void the_stream_goes_on_when_the_bytes_are_there(void **state)
{
	struct args args = { 300000, 5, 6, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit_host(&args, A, false).err, 0);
	assert_string_equal(model_text(A), "cw");
	assert_int_equal(args.bytes, -77);
	model_finish(A);
	assert_int_equal(args.bytes, 300000);
	assert_memory_equal(host + 6, fix.bytes + 5, 300000);
}

static _Atomic bool gate;

/* What is read from the first MiB on comes only when the gate is open. */
static int wait_at_gate(int fd, uint64_t length, uint64_t offset)
{
	(void)length;
	while (fd == fix.file.fd && offset == MIB && !gate)
		model_nap();
	return 0;
}

static _Atomic unsigned int callers;

/* The first with a call lets others come before it, for a while. */
static void let_others_pass(void)
{
	if (atomic_fetch_add(&callers, 1))
		return;
	for (unsigned int i = 0; i < 5000 && !A->put; i++)
		model_nap();
	/* Wait and all. */
	for (unsigned int i = 0; i < 100; i++)
		model_nap();
}

static void *read_behind_the_gate(void *arg)
{
	submit_host(arg, A, false);
	return NULL;
}

/* Or the end of the second would let the stream pass the wait for the first. */
static void of_two_threads_no_wait_is_for_the_others_end(void **state)
{
	struct args first = { 4096, MIB, 0, 0 }, second = { 4096, 0, 8192, 0 };
	pthread_t thread;

	(void)state;
	gate = false;
	callers = 0;
	file_hook = wait_at_gate;
	model.on_call = let_others_pass;
	assert_int_equal(pthread_create(&thread, NULL, read_behind_the_gate,
					&first), 0);
	while (!callers)
		model_nap();
	assert_int_equal(submit_host(&second, A, false).err, 0);
	pthread_join(thread, NULL);
	assert_false(becomes_idle(A));
	assert_int_equal(first.bytes, -77);
	gate = true;
	model_finish(A);
	assert_int_equal(first.bytes, 4096);
	assert_int_equal(second.bytes, 4096);
	assert_memory_equal(host, fix.bytes + MIB, 4096);
	assert_memory_equal(host + 8192, fix.bytes, 4096);
	file_hook = NULL;
}

static int wait_at_gate_of_batch(int fd, uint64_t length, uint64_t offset)
{
	(void)length;
	while (fd == fix.file.fd && offset >= 8 * MIB && !gate)
		model_nap();
	return 0;
}

/* The engine's threads all wait at its door, with copies of other requests. */
static void who_waits_for_the_driver_is_not_in_the_way(void **state)
{
	struct args in = { 3 * MIB, 5, 0, 0 }, out = { 100000, 0, 4 * MIB, 0 };
	CUfileIOEvents_t events[8];
	CUfileBatchHandle_t batch;
	unsigned int nr = 8;
	pthread_t inside;

	(void)state;
	enlarge(BIG);
	gate = false;
	file_hook = wait_at_gate_of_batch;
	batch = submit_batch();
	A->held = true;
	assert_int_equal(submit_host(&in, A, false).err, 0);
	assert_int_equal(submit_host(&out, A, true).err, 0);
	inside = model_send_inside(A);
	gate = true;
	for (unsigned int i = 0; i < 1000; i++)
		model_nap();
	A->held = false;
	pthread_join(inside, NULL);
	assert_int_equal(in.bytes, 3 * MIB);
	assert_memory_equal(host, fix.bytes + 5, 3 * MIB);
	assert_int_equal(out.bytes, 100000);
	assert_int_equal(cuFileBatchIOGetStatus(batch, 8, &nr, events,
						NULL).err, 0);
	assert_int_equal(nr, 8);
	cuFileBatchIODestroy(batch);
	file_hook = NULL;
}

/* And what is wrong with a request, or with all of them, is told. */
static void every_size_and_error_is_as_elsewhere(void **state)
{
	static const size_t sizes[] = { 0, 1, 65536, MIB + 1, 3 * MIB };
	struct args args = { 700 * KIB, FILE_BYTES - 5, 0, 0 };

	(void)state;
	assert_int_equal(submit_host(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, 5);
	args.offset = -1;
	assert_int_equal(submit_host(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, -CU_FILE_INVALID_VALUE);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		args = (struct args){ sizes[i], 4099, 13, 0 };
		memset(host, 0xaa, BIG);
		assert_int_equal(submit_host(&args, A, false).err, 0);
		model_finish(A);
		assert_int_equal(args.bytes, sizes[i]);
		assert_memory_equal(host + 13, fix.bytes + 4099, sizes[i]);
		assert_int_equal(host[12], 0xaa);
		assert_int_equal(host[13 + sizes[i]], 0xaa);
		args = (struct args){ sizes[i], 7, 13, 0 };
		assert_int_equal(submit_host(&args, A, true).err, 0);
		model_finish(A);
		assert_int_equal(args.bytes, sizes[i]);
		assert_int_equal(pread(fix.file.fd, fix.bytes, sizes[i], 7),
				 sizes[i]);
		assert_memory_equal(host + 13, fix.bytes, sizes[i]);
		assert_int_equal(pread(fix.file.fd, fix.bytes, FILE_BYTES, 0),
				 FILE_BYTES);
	}
}

/* For want of memory to pin, say; the next request is as ever. */
static void where_a_stream_can_not_look_the_call_waits(void **state)
{
	struct args args = { 4096, 0, 0, 0 };

	(void)state;
	model.no_words = true;
	assert_int_equal(submit_host(&args, A, false).err, 0);
	model_finish(A);
	assert_string_equal(model_text(A), "c");
	assert_int_equal(args.bytes, 4096);
	model.no_words = false;
	for (unsigned int i = 0; i < 10; i++) {
		args.offset = i;
		assert_int_equal(submit_host(&args, A, false).err, 0);
		model_finish(A);
		assert_int_equal(args.bytes, 4096);
		assert_memory_equal(host, fix.bytes + i, 4096);
	}
	assert_string_equal(model_text(A), "ccwcwcwcwcwcwcwcwcwcw");
}

static void a_captured_stream_is_given_nothing(void **state)
{
	struct args args = { 4096, 0, 0, 0 };

	(void)state;
	model.capturing = true;
	assert_int_equal(submit_host(&args, A, false).err,
			 CU_FILE_ASYNC_NOT_SUPPORTED);
	model.capturing = false;
	assert_int_equal(submit_host(&args, A, false).err, 0);
	assert_string_equal(model_text(A), "cw");
	model_finish(A);
	assert_int_equal(args.bytes, 4096);
}

#define STREAM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup_host, teardown_host)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STREAM_TEST(the_stream_goes_on_when_the_bytes_are_there),
		STREAM_TEST(who_waits_for_the_driver_is_not_in_the_way),
		STREAM_TEST(every_size_and_error_is_as_elsewhere),
		STREAM_TEST(where_a_stream_can_not_look_the_call_waits),
		STREAM_TEST(a_captured_stream_is_given_nothing),
		STREAM_TEST(of_two_threads_no_wait_is_for_the_others_end),
	};

	return run_with_limit(tests, sizeof(tests) / sizeof(tests[0]));
}
