// SPDX-License-Identifier: MIT
/*
 * Requests that libnvfs' own users put into streams, with the module and
 * without, over a model of a driver that keeps everybody out while somebody
 * waits in it.  Built with AddressSanitizer and once more with ThreadSanitizer.
 */
#include "stream_model.h"

#include <sys/wait.h>

#include "libnvfs_async.h"

#define A	(&model.streams[0])
#define B	(&model.streams[1])
#define SIZE	(64 * KIB)
#define ROUNDS	200U

static struct nvfs *nvfs;
static struct nvfs_file *file;

static int open_handle(void **state, bool module)
{
	with_module = module;
	setup(state);
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &nvfs), 0);
	assert_int_equal(nvfs_file_open(nvfs, fix.file.fd, 0, &file), 0);
	assert_int_equal(nvfs_gpu_prepare(nvfs, 0), 0);
	memset(fix.gpu, 0xaa, fix.room);
	return 0;
}

static int setup_direct(void **state)
{
	return open_handle(state, true);
}

static int setup_bounce(void **state)
{
	return open_handle(state, false);
}

/* Nobody has to be waited for once the streams are empty. */
static int close_handle(void **state)
{
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
	return teardown(state);
}

static struct nvfs_io io_at(uint64_t offset, uint64_t length, uint32_t flags)
{
	return (struct nvfs_io){
		.file = file,
		.file_offset = offset,
		.addr = (uintptr_t)fix.gpu + offset,
		.length = length,
		.flags = flags,
		.user_data = offset + 1,
	};
}

static int put(struct model_stream *stream, struct nvfs_io io,
	       struct nvfs_done *done)
{
	memset(done, 0xee, sizeof(*done));
	return nvfs_stream_submit(stream, &io, done);
}

static bool is_untouched(const struct nvfs_done *done)
{
	struct nvfs_done before;

	memset(&before, 0xee, sizeof(before));
	return !memcmp(done, &before, sizeof(before));
}

static void assert_done(const struct nvfs_done *done, struct nvfs_io io,
			uint32_t route)
{
	assert_int_equal(done->error, 0);
	assert_int_equal(done->user_data, io.user_data);
	assert_int_equal(done->res.done, io.length);
	assert_int_equal(done->res.route, route);
	assert_int_equal(done->res.direct, route == NVFS_ROUTE_DIRECT ?
					   io.length : 0);
	assert_int_equal(done->res.bounce, route == NVFS_ROUTE_BOUNCE ?
					   io.length : 0);
}

/* A read and a write of what it brought, held until both are in. */
static void read_and_write(uint32_t flags, uint32_t route)
{
	struct nvfs_io in = io_at(MIB, SIZE, flags), out = in;
	unsigned char *back = malloc(SIZE);
	struct nvfs_done done[2];
	struct nvfs_stats stats;

	out.op = NVFS_OP_WRITE;
	out.file_offset = 2 * MIB;
	A->held = true;
	assert_int_equal(put(A, in, &done[0]), 0);
	assert_int_equal(put(A, out, &done[1]), 0);
	usleep(2000);
	assert_true(is_untouched(&done[0]));
	assert_true(is_untouched(&done[1]));
	assert_int_equal(fix.gpu[MIB], 0xaa);
	model_finish(A);
	assert_done(&done[0], in, route);
	assert_done(&done[1], out, route);
	assert_memory_equal(fix.gpu + MIB, fix.bytes + MIB, SIZE);
	assert_int_equal(fix.gpu[MIB + SIZE], 0xaa);
	assert_int_equal(pread(fix.file.fd, back, SIZE, 2 * MIB), SIZE);
	assert_memory_equal(back, fix.bytes + MIB, SIZE);
	free(back);
	assert_int_equal(model.syncs, 0);
	assert_int_equal(nvfs_stats(nvfs, &stats), 0);
	assert_int_equal(stats.read.routes[route], 1);
	assert_int_equal(stats.write.routes[route], 1);
}

/* ------------------------------------------------------------------ tests */

static void the_module_moves_them_in_the_streams_order(void **state)
{
	(void)state;
	read_and_write(0, NVFS_ROUTE_DIRECT);
	assert_string_equal(model_text(A), "cwcw");
}

static void host_memory_serves_them_in_the_streams_order(void **state)
{
	(void)state;
	read_and_write(NVFS_IO_ALLOW_BOUNCE, NVFS_ROUTE_BOUNCE);
	assert_string_equal(model_text(A), "cwkwcwkw");
}

static void what_may_not_bounce_is_refused_at_once(void **state)
{
	struct nvfs_stats stats;
	struct nvfs_done done;

	(void)state;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), -EREMOTEIO);
	assert_int_equal(done.error, -EREMOTEIO);
	assert_int_equal(done.user_data, 1);
	assert_int_equal(done.res.done, 0);
	assert_int_equal(done.res.reason, NVFS_REASON_NO_MODULE);
	assert_string_equal(model_text(A), "");
	assert_int_equal(nvfs_stats(nvfs, &stats), 0);
	assert_int_equal(stats.read.failed, 1);
}

static void the_reason_is_the_modules(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, NVFS_IO_ALLOW_BOUNCE);
	struct nvfs_done done;

	(void)state;
	model_reason = NVFS_REASON_IOMMU;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), -EREMOTEIO);
	assert_int_equal(done.res.reason, NVFS_REASON_IOMMU);
	assert_string_equal(model_text(A), "");
	assert_int_equal(put(A, io, &done), 0);
	model_finish(A);
	assert_done(&done, io, NVFS_ROUTE_BOUNCE);
	assert_int_equal(done.res.reason, NVFS_REASON_IOMMU);
	assert_memory_equal(fix.gpu, fix.bytes, SIZE);
}

static void bad_requests_are_not_put_into_the_stream(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, 0), bad = io;
	struct nvfs_done done;

	(void)state;
	assert_int_equal(nvfs_stream_submit(A, NULL, &done), -EINVAL);
	assert_int_equal(nvfs_stream_submit(A, &io, NULL), -EINVAL);
	bad.file = NULL;
	assert_int_equal(put(A, bad, &done), -EINVAL);
	bad = io;
	bad.flags = 1U << 31;
	assert_int_equal(put(A, bad, &done), -EINVAL);
	bad = io;
	bad.gpu = ENGINE_HOST;
	assert_int_equal(put(A, bad, &done), -ENODEV);
	bad = io;
	bad.addr = -1ULL;
	assert_int_equal(put(A, bad, &done), -EOVERFLOW);
	model.capturing = true;
	assert_int_equal(put(A, io, &done), -EOPNOTSUPP);
	model.capturing = false;
	driver.streams = NULL;
	assert_int_equal(put(A, io, &done), -ENOSYS);
	driver.streams = &model_table;
	assert_true(is_untouched(&done));
	assert_string_equal(model_text(A), "");
	assert_int_equal(nvfs_gpu_prepare(NULL, 0), -EINVAL);
	assert_int_equal(nvfs_gpu_prepare(nvfs, ENGINE_HOST), -ENODEV);
}

static void who_prepares_a_gpu_hears_what_streams_have_not(void **state)
{
	struct nvfs *own;

	(void)state;
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &own), 0);
	assert_int_equal(nvfs_gpu_prepare(own, 0), 0);
	model.lost = true;
	assert_int_equal(nvfs_gpu_prepare(own, 0), -EIO);
	assert_int_equal(nvfs_close(own), 0);
}

static void a_stream_that_is_captured_takes_none_that_bounce(void **state)
{
	struct nvfs_done done;

	(void)state;
	model.capturing = true;
	assert_int_equal(put(A, io_at(0, SIZE, NVFS_IO_ALLOW_BOUNCE), &done),
			 -EOPNOTSUPP);
	model.capturing = false;
	assert_true(is_untouched(&done));
	assert_string_equal(model_text(A), "");
}

/* Unregistering waits for whoever uses the memory. */
static void what_was_not_put_keeps_no_memory(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, 0);
	struct nvfs_done done;
	struct nvfs_mem *mem;

	(void)state;
	assert_int_equal(nvfs_mem_register(nvfs, 0, (uintptr_t)fix.gpu,
					   fix.room, 0, &mem), 0);
	model.capturing = true;
	assert_int_equal(put(A, io, &done), -EOPNOTSUPP);
	model.capturing = false;
	assert_int_equal(put(A, io, &done), 0);
	model_finish(A);
	assert_done(&done, io, NVFS_ROUTE_DIRECT);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
}

static void a_stream_that_sees_no_words_waits_in_its_call(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, 0);
	struct nvfs_done done;

	(void)state;
	model.no_words = true;
	assert_int_equal(put(A, io, &done), 0);
	model_finish(A);
	assert_string_equal(model_text(A), "c");
	assert_done(&done, io, NVFS_ROUTE_DIRECT);
}

/* What @A waits for. */
static uint32_t *word_of_home(uint64_t home)
{
	struct nvfs_io io = io_at(0, SIZE, 0);
	struct nvfs_done done;

	model.home = home;
	assert_int_equal(put(A, io, &done), 0);
	model_finish(A);
	assert_done(&done, io, NVFS_ROUTE_DIRECT);
	return A->ops[A->put - 1].word;
}

static void streams_of_two_contexts_share_no_word(void **state)
{
	uint32_t *first = word_of_home(1), *second = word_of_home(2);

	(void)state;
	assert_ptr_not_equal(first, second);
	assert_ptr_equal(word_of_home(1), first);
	assert_ptr_equal(word_of_home(2), second);
	assert_ptr_equal(word_of_home(2), second);
}

static void who_can_not_put_the_wait_waits_himself(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, 0);
	struct nvfs_done done;

	(void)state;
	model.fail_wait = 1;
	assert_int_equal(put(A, io, &done), 0);
	assert_done(&done, io, NVFS_ROUTE_DIRECT);
	model_finish(A);
	assert_string_equal(model_text(A), "c");
}

static void what_does_not_suit_a_stream_is_done_at_its_end(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, NVFS_IO_ALLOW_BOUNCE);
	struct nvfs_done done;

	(void)state;
	model.unsuited = true;
	assert_int_equal(put(A, io, &done), 0);
	assert_done(&done, io, NVFS_ROUTE_BOUNCE);
	assert_int_equal(model.syncs, 1);
	assert_memory_equal(fix.gpu, fix.bytes, SIZE);
}

static void no_bytes_end_in_order_too(void **state)
{
	struct nvfs_io io = io_at(0, 0, 0);
	struct nvfs_done done;

	(void)state;
	A->held = true;
	assert_int_equal(put(A, io, &done), 0);
	assert_true(is_untouched(&done));
	model_finish(A);
	assert_string_equal(model_text(A), "cw");
	assert_done(&done, io, NVFS_ROUTE_NONE);
}

static void an_error_ends_the_request_and_not_the_stream(void **state)
{
	struct nvfs_io io = io_at(MIB, SIZE, 0);
	struct nvfs_done done[2];

	(void)state;
	model_bad_offset = MIB;
	model_bad_errno = EIO;
	A->held = true;
	assert_int_equal(put(A, io, &done[0]), 0);
	io = io_at(2 * MIB, SIZE, 0);
	assert_int_equal(put(A, io, &done[1]), 0);
	model_finish(A);
	assert_int_equal(done[0].error, -EIO);
	assert_int_equal(done[0].res.done, 0);
	assert_done(&done[1], io, NVFS_ROUTE_DIRECT);
}

/* As cudaFree() does while requests are in the stream. */
static void who_waits_inside_the_driver_is_not_waited_for(void **state)
{
	uint32_t flags = with_module ? 0 : NVFS_IO_ALLOW_BOUNCE;
	struct nvfs_done done[3];
	pthread_t inside;

	(void)state;
	A->held = true;
	assert_int_equal(put(A, io_at(0, SIZE, flags), &done[0]), 0);
	assert_int_equal(put(A, io_at(MIB, SIZE, flags), &done[1]), 0);
	assert_int_equal(put(A, io_at(0, 0, flags), &done[2]), 0);
	inside = model_send_inside(A);
	A->held = false;
	pthread_join(inside, NULL);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(done[i].error, 0);
	assert_memory_equal(fix.gpu, fix.bytes, SIZE);
}

static void a_file_may_be_closed_as_soon_as_the_stream_goes_on(void **state)
{
	uint32_t flags = with_module ? 0 : NVFS_IO_ALLOW_BOUNCE;
	struct nvfs_done done;

	(void)state;
	A->held = true;
	assert_int_equal(put(A, io_at(0, SIZE, flags), &done), 0);
	assert_int_equal(nvfs_file_close(file), -EBUSY);
	model_finish(A);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		assert_int_equal(put(A, io_at(0, SIZE, flags), &done), 0);
		model_finish(A);
		assert_int_equal(done.error, 0);
		assert_int_equal(nvfs_file_close(file), 0);
		assert_int_equal(nvfs_file_open(nvfs, fix.file.fd, 0, &file),
				 0);
	}
}

/* What was in the stream is gone, or comes late. */
static void a_reset_ends_what_the_stream_had_to_begin(void **state)
{
	struct nvfs_mem *mem;
	struct nvfs_done done;

	(void)state;
	model.numbered = true;
	assert_int_equal(nvfs_mem_register(nvfs, 0, (uintptr_t)fix.gpu,
					   fix.room, 0, &mem), 0);
	A->held = true;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), 0);
	assert_int_equal(nvfs_file_close(file), -EBUSY);
	assert_true(is_untouched(&done));
	model_reset();
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(done.error, -EIO);
	assert_int_equal(done.user_data, 1);
	assert_int_equal(done.res.done, 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	memset(&done, 0xee, sizeof(done));
	model_finish(A);
	assert_true(is_untouched(&done));
	assert_int_equal(nvfs_file_open(nvfs, fix.file.fd, 0, &file), 0);
}

/* Its code for streams says so.  What is put after a reset is another's. */
static void a_failed_gpu_ends_what_the_stream_had_to_begin(void **state)
{
	struct nvfs_done done;

	(void)state;
	model.numbered = true;
	assert_int_equal(nvfs_gpu_prepare(nvfs, 0), 0);
	A->held = true;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), 0);
	assert_int_equal(nvfs_file_close(file), -EBUSY);
	model.lost = true;
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(done.error, -EIO);
	model_reset();
	assert_int_equal(nvfs_file_open(nvfs, fix.file.fd, 0, &file), 0);
	assert_int_equal(put(B, io_at(0, SIZE, 0), &done), 0);
	model_finish(B);
	assert_int_equal(done.error, 0);
	B->held = true;
	assert_int_equal(put(B, io_at(0, SIZE, 0), &done), 0);
	assert_int_equal(nvfs_file_close(file), -EBUSY);
	model_finish(B);
	assert_int_equal(done.error, 0);
}

static void requests_without_bytes_end_with_a_reset_too(void **state)
{
	struct nvfs_done done;

	(void)state;
	model.numbered = true;
	A->held = true;
	assert_int_equal(put(A, io_at(0, 0, 0), &done), 0);
	model_reset();
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(done.error, -EIO);
	assert_int_equal(nvfs_file_open(nvfs, fix.file.fd, 0, &file), 0);
}

static void *reset_soon(void *unused)
{
	const struct timespec nap = { .tv_nsec = 70000000 };

	nanosleep(&nap, NULL);
	model_reset();
	return unused;
}

static void who_waits_sees_that_the_gpu_was_reset(void **state)
{
	struct nvfs_done done;
	struct nvfs_mem *mem;
	pthread_t thread;

	(void)state;
	model.numbered = true;
	assert_int_equal(nvfs_mem_register(nvfs, 0, (uintptr_t)fix.gpu,
					   fix.room, 0, &mem), 0);
	A->held = true;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), 0);
	assert_int_equal(pthread_create(&thread, NULL, reset_soon, NULL), 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	pthread_join(thread, NULL);
	assert_int_equal(done.error, -EIO);
	/* And in the call, when the wait can't be put. */
	model.fail_wait = 1;
	assert_int_equal(pthread_create(&thread, NULL, reset_soon, NULL), 0);
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), 0);
	pthread_join(thread, NULL);
	assert_int_equal(done.error, -EIO);
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
	struct nvfs_done done;

	(void)state;
	model.numbered = true;
	model.on_call = reset_in_call;
	assert_int_equal(put(A, io_at(0, SIZE, 0), &done), 0);
	assert_int_equal(done.error, -EIO);
}

static void *put_many(void *stream)
{
	unsigned int nr = (unsigned int)((struct model_stream *)stream -
					 model.streams);
	uint32_t flags = with_module ? 0 : NVFS_IO_ALLOW_BOUNCE;
	struct nvfs_done done[4];
	uintptr_t wrong = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct nvfs_io io = io_at(nr * 256 * KIB + i % 4 * SIZE, SIZE,
					  flags);

		wrong += put(stream, io, &done[i % 4]) != 0;
		if (i % 4 < 3)
			continue;
		model_finish(stream);
		for (unsigned int n = 0; n < 4; n++)
			wrong += done[n].error || done[n].res.done != SIZE;
	}
	return (void *)wrong;
}

static void threads_and_streams_do_not_mix(void **state)
{
	pthread_t threads[MODEL_STREAMS];
	struct nvfs_stats stats;
	void *wrong;

	(void)state;
	for (unsigned int i = 0; i < MODEL_STREAMS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many,
						&model.streams[i]), 0);
	for (unsigned int i = 0; i < MODEL_STREAMS; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_memory_equal(fix.gpu, fix.bytes, MODEL_STREAMS * 4 * SIZE);
	assert_int_equal(nvfs_stats(nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, MODEL_STREAMS * ROUNDS);
	assert_int_equal(stats.read.failed, 0);
}

static void a_forked_child_is_told_so(void **state)
{
	struct nvfs_io io = io_at(0, SIZE, 0);
	struct nvfs_done done;
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (!child)
		_exit(nvfs_stream_submit(A, &io, &done) == -ECHILD &&
		      nvfs_gpu_prepare(nvfs, 0) == -ECHILD ? 7 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

#define direct_test(name) \
	cmocka_unit_test_setup_teardown(name, setup_direct, close_handle)
#define bounce_test(name) \
	cmocka_unit_test_setup_teardown(name, setup_bounce, close_handle)
/* One that is run both ways. */
#define also_bounce_test(name) \
	{ #name "_with_host_memory", name, setup_bounce, close_handle, \
	  NULL }

int main(void)
{
	static const struct CMUnitTest tests[] = {
		direct_test(the_module_moves_them_in_the_streams_order),
		bounce_test(host_memory_serves_them_in_the_streams_order),
		bounce_test(what_may_not_bounce_is_refused_at_once),
		direct_test(the_reason_is_the_modules),
		direct_test(bad_requests_are_not_put_into_the_stream),
		bounce_test(who_prepares_a_gpu_hears_what_streams_have_not),
		bounce_test(a_stream_that_is_captured_takes_none_that_bounce),
		direct_test(what_was_not_put_keeps_no_memory),
		direct_test(a_stream_that_sees_no_words_waits_in_its_call),
		direct_test(streams_of_two_contexts_share_no_word),
		direct_test(who_can_not_put_the_wait_waits_himself),
		bounce_test(what_does_not_suit_a_stream_is_done_at_its_end),
		direct_test(no_bytes_end_in_order_too),
		direct_test(an_error_ends_the_request_and_not_the_stream),
		direct_test(who_waits_inside_the_driver_is_not_waited_for),
		also_bounce_test(who_waits_inside_the_driver_is_not_waited_for),
		direct_test(a_file_may_be_closed_as_soon_as_the_stream_goes_on),
		also_bounce_test(a_file_may_be_closed_as_soon_as_the_stream_goes_on),
		direct_test(a_reset_ends_what_the_stream_had_to_begin),
		direct_test(a_failed_gpu_ends_what_the_stream_had_to_begin),
		direct_test(requests_without_bytes_end_with_a_reset_too),
		direct_test(who_waits_sees_that_the_gpu_was_reset),
		direct_test(what_ended_before_it_was_in_has_ended_once),
		direct_test(threads_and_streams_do_not_mix),
		also_bounce_test(threads_and_streams_do_not_mix),
		direct_test(a_forked_child_is_told_so),
	};

	return run_with_limit(tests, sizeof(tests) / sizeof(tests[0]));
}
