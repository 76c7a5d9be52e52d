// SPDX-License-Identifier: MIT
/*
 * Requests in streams where something that is always there is not.  Built with
 * AddressSanitizer and once more with ThreadSanitizer.
 */
#include "stream_model.h"

#include <dlfcn.h>

#define A	(&model.streams[0])
#define B	(&model.streams[1])
#define BIG	(20 * MIB)

static _Atomic bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*start)(void *arg), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
		    void *);
	void *address = dlsym(RTLD_NEXT, "pthread_create");

	memcpy(&real, &address, sizeof(real));
	return no_threads ? EAGAIN : real(thread, attr, start, arg);
}

static void read_a_bit(struct model_stream *stream)
{
	struct args args = { 5000, 1, 1, 0 };

	assert_int_equal(submit(&args, stream, false).err, 0);
	model_finish(stream);
	assert_int_equal(args.bytes, 5000);
}

static int begin_it(struct engine_req *req)
{
	(void)req;
	return 0;
}

static _Atomic bool ended;

static void end_it(struct engine_req *req)
{
	(void)req;
	ended = true;
}

static void put_all(struct engine_req *req)
{
	struct engine_place place = {
		.stream = A,
		.first = (uintptr_t)fix.gpu,
		.last = (uintptr_t)fix.gpu + BIG - 1,
		.begin = begin_it,
	};

	ended = false;
	req->complete = end_it;
	assert_int_equal(engine_enqueue(req, &place), 0);
	model_finish(A);
	assert_true(ended);
}

/* Only large requests have it: it has none of its threads yet. */
static void without_a_watch_what_is_said_to_be_done_is_done(void **state)
{
	unsigned char *back = malloc(BIG);

	(void)state;
	enlarge(BIG);
	for (unsigned int i = 0; i < 10; i++) {
		struct engine_req req = request(&fix, 0, 0, BIG, i % 2);

		memset(fix.gpu, 0x30 + (int)i, BIG);
		read_a_bit(A);
		no_threads = true;
		put_all(&req);
		no_threads = false;
		assert_int_equal(req.error, -EAGAIN);
		assert_true(req.done < BIG);
		assert_int_equal(pread(fix.file.fd, back, BIG, 0), BIG);
		assert_memory_equal(fix.gpu, back, req.done);
	}
	free(back);
}

/* Nobody else is there to read to host memory. */
static void without_a_thread_of_its_own_a_request_is_done(void **state)
{
	unsigned char *memory = malloc(MIB);
	struct args args = { MIB, 5, 0, -77 };

	(void)state;
	A->held = true;
	assert_int_equal(cuFileReadAsync(fh, memory, &args.size, &args.offset,
					 &args.at, &args.bytes,
					 (CUstream)A).err, 0);
	no_threads = true;
	model_finish(A);
	no_threads = false;
	assert_int_equal(args.bytes, MIB);
	assert_memory_equal(memory, fix.bytes + 5, MIB);
	free(memory);
}

static _Atomic bool b_is_done;

/* What A reads comes only when B has read. */
static int wait_for_b(int fd, uint64_t length, uint64_t offset)
{
	(void)length;
	while (fd == fix.file.fd && offset == MIB && !b_is_done)
		model_nap();
	return 0;
}

static void open_again(void)
{
	cuFileHandleDeregister(fh);
	/* Who ends a request is inside for a moment more. */
	while (cuFileDriverClose().err)
		sched_yield();
	engine_put();
	assert_int_equal(cuFileDriverOpen().err, 0);
	assert_int_equal(engine_get(), 0);
	fh = handle_of(fix.file.fd);
}

/* One idle thread is not enough for two who come before it has begun. */
static void a_file_that_takes_long_holds_up_no_other_stream(void **state)
{
	(void)state;
	file_hook = wait_for_b;
	for (unsigned int i = 0; i < 30; i++) {
		struct args a = { 4096, MIB, 0, 0 }, b = { 4096, 0, 4096, 0 };

		b_is_done = false;
		open_again();
		/* Now the crew has one. */
		read_a_bit(A);
		A->held = true;
		B->held = true;
		assert_int_equal(submit(&a, A, false).err, 0);
		assert_int_equal(submit(&b, B, false).err, 0);
		B->held = false;
		A->held = false;
		model_finish(B);
		b_is_done = true;
		model_finish(A);
		assert_int_equal(a.bytes, 4096);
		assert_int_equal(b.bytes, 4096);
	}
	file_hook = NULL;
}

/* Its code in the GPU and that of later requests would be taken for one. */
static void what_a_stream_still_looks_at_is_not_opened_twice(void **state)
{
	struct args args = { 5000, 0, 0, 0 };

	(void)state;
	A->stalled = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	while (A->done < 2)
		model_nap();
	open_again();
	assert_false(model.closed);
	assert_int_equal(engine_warm(0), -EBUSY);
	/* At once, as without code for streams. */
	assert_int_equal(submit(&args, B, false).err, 0);
	assert_int_equal(model.syncs, 1);
	assert_int_equal(B->put, 0);
	assert_int_equal(args.bytes, 5000);
	A->stalled = false;
	model_finish(A);
	assert_int_equal(engine_warm(0), 0);
	open_again();
	assert_true(model.closed_over);
	read_a_bit(B);
	assert_int_equal(model.syncs, 1);
}

/* The stream that looks at it never comes to its end. */
static void a_reset_after_closing_is_found_when_opened(void **state)
{
	struct args args = { 5000, 0, 0, 0 };

	(void)state;
	A->stalled = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	while (A->done < 2)
		model_nap();
	open_again();
	assert_false(model.closed);
	model_reset();
	/* What was pinned went with it. */
	fast_pinned--;
	open_again();
	assert_true(model.closed);
	assert_false(model.closed_over);
	read_a_bit(B);
	assert_int_equal(model.syncs, 0);
}

static void *deregister(void *unused)
{
	(void)unused;
	cuFileHandleDeregister(fh);
	return NULL;
}

static void who_waits_for_requests_sees_that_their_gpu_is_lost(void **state)
{
	const struct timespec nap = { .tv_nsec = 100000000 };
	struct args args = { 5000, 0, 0, 0 };
	pthread_t thread;

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(pthread_create(&thread, NULL, deregister, NULL), 0);
	nanosleep(&nap, NULL);
	assert_int_equal(args.bytes, -77);
	model.lost = true;
	pthread_join(thread, NULL);
	assert_int_equal(args.bytes, -EIO);
	assert_int_equal(engine_warm(0), -EIO);
	model_finish(A);
	while (cuFileDriverClose().err)
		sched_yield();
	engine_put();
	fast_pinned = 0;
	assert_int_equal(engine_get(), 0);
}

/* Others find out that it is, between two looks of this one. */
static void lose_it(void)
{
	model.on_suits = NULL;
	model.lost = true;
	engine_look_after();
}

/* What has to be waited for is, too: the stream did not take the rest. */
static void a_request_put_while_its_gpu_is_lost_ends(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct args args = { 5000, 0, 0, 0 };

		model.lost = false;
		open_again();
		A->held = true;
		model.on_suits = lose_it;
		model.fail_wait = i;
		assert_int_equal(submit(&args, A, false).err, 0);
		assert_null(model.on_suits);
		cuFileHandleDeregister(fh);
		assert_int_equal(args.bytes, -EIO);
		model_finish(A);
	}
	while (cuFileDriverClose().err)
		sched_yield();
	engine_put();
	fast_pinned = 0;
	assert_int_equal(engine_get(), 0);
}

static void buffers_of_a_reset_gpu_are_given_back(void **state)
{
	struct args args = { 5000, 0, 0, 0 };
	int others = fast_pinned;

	(void)state;
	model.numbered = true;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_true(fast_pinned > others);
	model.lost = true;
	model_reset();
	while (cuFileDriverClose().err)
		sched_yield();
	engine_put();
	assert_int_equal(args.bytes, -EIO);
	assert_int_equal(fast_pinned, 0);
	model_finish(A);
	fast_pinned = 0;
	model.numbered = false;
	assert_int_equal(engine_get(), 0);
}

#define STREAM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STREAM_TEST(without_a_watch_what_is_said_to_be_done_is_done),
		STREAM_TEST(without_a_thread_of_its_own_a_request_is_done),
		STREAM_TEST(a_file_that_takes_long_holds_up_no_other_stream),
		STREAM_TEST(what_a_stream_still_looks_at_is_not_opened_twice),
		STREAM_TEST(a_reset_after_closing_is_found_when_opened),
		STREAM_TEST(who_waits_for_requests_sees_that_their_gpu_is_lost),
		STREAM_TEST(a_request_put_while_its_gpu_is_lost_ends),
		STREAM_TEST(buffers_of_a_reset_gpu_are_given_back),
	};

	return run_with_limit(tests, sizeof(tests) / sizeof(tests[0]));
}
