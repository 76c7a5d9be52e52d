// SPDX-License-Identifier: MIT
/*
 * Requests in streams that go through host memory, from libcufile's names down to
 * the file, over a model of a driver that keeps everybody out while somebody waits
 * in it.  Built with AddressSanitizer and once more with ThreadSanitizer.
 */
#include "stream_model.h"

#define A	(&model.streams[0])
#define B	(&model.streams[1])
#define BIG	(20 * MIB)

static void reads(struct args args, struct model_stream *stream)
{
	assert_int_equal(submit(&args, stream, false).err, 0);
	model_finish(stream);
	assert_int_equal(args.bytes, args.size);
	assert_memory_equal(fix.gpu + args.at, fix.bytes + args.offset,
			    args.size);
	/* Nothing around it. */
	if (args.at)
		assert_int_equal(fix.gpu[args.at - 1], 0xaa);
	if ((uint64_t)args.at + args.size < fix.room)
		assert_int_equal(fix.gpu[args.at + (off_t)args.size], 0xaa);
	memset(fix.gpu, 0xaa, fix.room);
}

static void writes(struct args args, struct model_stream *stream)
{
	unsigned char *back = malloc(args.size);
	int direct = file_direct;

	for (size_t i = 0; i < args.size; i++)
		fix.gpu[args.at + (off_t)i] = (unsigned char)(i * 7 + i / 251);
	assert_int_equal(submit(&args, stream, true).err, 0);
	model_finish(stream);
	assert_int_equal(args.bytes, args.size);
	file_direct = -1;
	assert_int_equal(pread(fix.file.fd, back, args.size, args.offset),
			 args.size);
	assert_memory_equal(back, fix.gpu + args.at, args.size);
	free(back);
	/* As it was. */
	assert_int_equal(pwrite(fix.file.fd, fix.bytes + args.offset, args.size,
				args.offset), args.size);
	file_direct = direct;
	memset(fix.gpu, 0xaa, fix.room);
}

/* ------------------------------------------------------------------ tests */

static void all_is_put_at_once_and_in_order(void **state)
{
	struct args args = { 1087 * KIB, 0, 0, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_string_equal(model_text(A), "cwkwkwkw");
	assert_int_equal(args.bytes, -77);
	model_finish(A);
	assert_int_equal(args.bytes, 1087 * KIB);
	A->held = true;
	assert_int_equal(submit(&args, A, true).err, 0);
	assert_string_equal(model_text(A) + 8, "cwkwkwkw");
	model_finish(A);
	assert_int_equal(args.bytes, 1087 * KIB);
	assert_int_equal(model.syncs, 0);
	/* Values rise, from one to the next request on the same board, too. */
	assert_int_equal(A->ops[1].value, 1);
	assert_int_equal(A->ops[2].value, 1);
	assert_int_equal(A->ops[5].value, 3);
	assert_true((int32_t)(A->ops[7].value - A->ops[5].value) > 0);
	assert_true((int32_t)(A->ops[9].value - A->ops[7].value) > 0);
}

static void every_size_and_place_is_right(void **state)
{
	static const size_t sizes[] = { 1, 15, 16, 4096, 65535, 65536, 65537,
					262145, MIB, MIB + 1, 3 * MIB };

	(void)state;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		reads((struct args){ sizes[i], 0, 0, 0 }, A);
		reads((struct args){ sizes[i], 4097, 13, 0 }, B);
		writes((struct args){ sizes[i], 4096, 5, 0 }, A);
		writes((struct args){ sizes[i], 3, 0, 0 }, B);
	}
	assert_int_equal(model.syncs, 0);
}

static void o_direct_reads_whole_blocks(void **state)
{
	(void)state;
	file_direct = fix.file.fd;
	cuFileHandleDeregister(fh);
	fh = handle_of(fix.file.fd);
	reads((struct args){ 100, 4096 * 3 + 5, 1, 0 }, A);
	reads((struct args){ 65536, 8191, 0, 0 }, A);
	reads((struct args){ MIB, 1, 7, 0 }, A);
	reads((struct args){ MIB, 4096, 0, 0 }, A);
	/* Up to the end, which is no block's. */
	reads((struct args){ 5000, FILE_BYTES - 5000, 0, 0 }, A);
	writes((struct args){ 300000, 4096, 0, 0 }, A);
	assert_int_equal(model.syncs, 0);
}

static void what_is_known_late_counts(void **state)
{
	struct args args = { 700 * KIB, 0, 0, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.size = 1000;
	args.offset = 77;
	args.at = 33;
	model_finish(A);
	assert_int_equal(args.bytes, 1000);
	assert_memory_equal(fix.gpu + 33, fix.bytes + 77, 1000);
	assert_int_equal(fix.gpu[1033], 0xaa);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.size = 0;
	model_finish(A);
	assert_int_equal(args.bytes, 0);
	/* More than was announced is an error, and so are bad arguments. */
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	args.size = 1;
	model_finish(A);
	assert_int_equal(args.bytes, -CU_FILE_INVALID_VALUE);
	A->held = true;
	assert_int_equal(submit(&args, A, true).err, 0);
	args.at = (off_t)fix.room;
	model_finish(A);
	assert_int_equal(args.bytes, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	assert_int_equal(model.syncs, 0);
}

static void a_file_that_ends_early_is_no_error(void **state)
{
	struct args args = { 2 * MIB, FILE_BYTES - 1100 * KIB, 9, 0 };
	size_t left = 1100 * KIB;

	(void)state;
	assert_int_equal(submit(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, left);
	assert_memory_equal(fix.gpu + 9, fix.bytes + args.offset, left);
	assert_int_equal(fix.gpu[9 + left], 0xaa);
	args.offset = FILE_BYTES;
	assert_int_equal(submit(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, 0);
	args = (struct args){ 700 * KIB, FILE_BYTES - 5, 0, 0 };
	assert_int_equal(submit(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(args.bytes, 5);
}

static int fail_second_quarter(int fd, uint64_t length, uint64_t offset)
{
	return fd == fix.file.fd && offset + length > 256 * KIB &&
	       offset < 512 * KIB ? EIO : 0;
}

static void an_error_ends_the_request_and_not_the_stream(void **state)
{
	struct args args = { MIB, 0, 0, 0 };

	(void)state;
	for (int write = 0; write < 2; write++) {
		file_hook = fail_second_quarter;
		assert_int_equal(submit(&args, A, write).err, 0);
		model_finish(A);
		assert_int_equal(args.bytes, -EIO);
		file_hook = NULL;
		assert_int_equal(submit(&args, A, write).err, 0);
		model_finish(A);
		assert_int_equal(args.bytes, MIB);
	}
	assert_int_equal(model.syncs, 0);
}

static void more_pieces_than_rooms_take_turns(void **state)
{
	(void)state;
	enlarge(BIG);
	for (uint64_t size = MIB; size <= BIG - 100; size += 6 * MIB + 4321) {
		reads((struct args){ size, 50, 50, 0 }, A);
		writes((struct args){ size, 50, 49, 0 }, A);
	}
	reads((struct args){ BIG, 0, 0, 0 }, B);
	/* The end of the file comes with rooms still in turn. */
	assert_int_equal(ftruncate(fix.file.fd, 13 * MIB + 5), 0);
	struct args args = { BIG, 0, 0, 0 };

	assert_int_equal(submit(&args, B, false).err, 0);
	model_finish(B);
	assert_int_equal(args.bytes, 13 * MIB + 5);
	assert_int_equal(model.syncs, 0);
}

/* Far more than all rooms hold; and what has too many pieces. */
static void the_largest_have_the_largest_pieces(void **state)
{
	struct args args = { 66 * MIB, 0, 0, 0 };

	(void)state;
	enlarge(66 * MIB);
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(A->put, 1 + 2 * 33 + 1);
	model_finish(A);
	assert_int_equal(args.bytes, 66 * MIB);
	assert_memory_equal(fix.gpu, fix.bytes, 66 * MIB);
	assert_int_equal(model.syncs, 0);
	args.size = 1ULL << 40;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(model.syncs, 1);
	assert_int_equal(args.bytes, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
}

static void falls_back(void)
{
	struct args args = { 300000, 5, 6, 0 };
	unsigned int before = model.syncs;

	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(model.syncs, before + 1);
	/* At once. */
	assert_int_equal(args.bytes, 300000);
	assert_memory_equal(fix.gpu + 6, fix.bytes + 5, 300000);
	assert_int_equal(A->put, 0);
	memset(fix.gpu, 0xaa, fix.room);
}

static void what_can_not_be_put_is_done_at_once(void **state)
{
	struct args args = { 300000, 0, 0, 0 };

	(void)state;
	fast_no_host = true;
	falls_back();
	fast_no_host = false;
	model.unsuited = true;
	falls_back();
	model.unsuited = false;
	model.unreachable = true;
	falls_back();
	model.unreachable = false;
	model.capturing = true;
	assert_int_equal(submit(&args, A, false).err,
			 CU_FILE_ASYNC_NOT_SUPPORTED);
	model.capturing = false;
	/* None of that is for ever. */
	assert_int_equal(submit(&args, B, false).err, 0);
	model_finish(B);
	assert_string_equal(model_text(B), "cwkw");
	cuFileHandleDeregister(fh);
	assert_int_equal(cuFileDriverClose().err, 0);
	engine_put();
	model.no_code = true;
	assert_int_equal(cuFileDriverOpen().err, 0);
	assert_int_equal(engine_get(), 0);
	fh = handle_of(fix.file.fd);
	assert_int_equal(engine_warm(0), -ENOSYS);
	falls_back();
}

/* What is put into a stream has its rooms one after the other. */
static void requests_of_a_stream_share_their_rooms(void **state)
{
	struct args args[10];
	int before = fast_pinned;

	(void)state;
	A->held = true;
	for (unsigned int i = 0; i < 10; i++) {
		args[i] = (struct args){ 300000, i % 3 == 2 ? 2 * MIB : 1000 * i,
					 300000 * i, 0 };
		assert_int_equal(submit(&args[i], A, i % 3 == 2).err, 0);
	}
	assert_int_equal(fast_pinned, before + 1);
	model_finish(A);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(args[i].bytes, 300000);
		assert_true(i % 3 == 2 || !memcmp(fix.gpu + args[i].at,
			    fix.bytes + args[i].offset, 4000));
	}
	assert_int_equal(model.syncs, 0);
}

static void fall_back_of_b(void)
{
	struct args args = { 300000, 7, MIB, 0 };

	model.syncs = 0;
	assert_int_equal(submit(&args, B, false).err, 0);
	assert_int_equal(model.syncs, 1);
	assert_int_equal(args.bytes, 300000);
	assert_memory_equal(fix.gpu + MIB, fix.bytes + 7, 300000);
}

static void who_finds_nothing_left_does_it_at_once(void **state)
{
	static struct args args[GPU_BOARDS];

	(void)state;
	A->held = true;
	for (unsigned int i = 0; i < GPU_BOARDS; i++) {
		args[i] = (struct args){ 1, i, i, 0 };
		assert_int_equal(submit(&args[i], A, false).err, 0);
	}
	assert_int_equal(model.syncs, 0);
	fall_back_of_b();
	model_finish(A);
	assert_memory_equal(fix.gpu, fix.bytes, GPU_BOARDS);
	/* No boards; and now no rooms. */
	cuFileHandleDeregister(fh);
	assert_int_equal(cuFileDriverClose().err, 0);
	engine_put();
	small_pool(256 * KIB, MIB, 4);
	assert_int_equal(cuFileDriverOpen().err, 0);
	assert_int_equal(engine_get(), 0);
	fh = handle_of(fix.file.fd);
	A->held = true;
	args[0] = (struct args){ MIB, 0, 0, 0 };
	assert_int_equal(submit(&args[0], A, false).err, 0);
	fall_back_of_b();
	model_finish(A);
	assert_int_equal(args[0].bytes, MIB);
	/* Which are there again when the stream is done with them. */
	model.syncs = 0;
	assert_int_equal(submit(&args[0], B, false).err, 0);
	assert_int_equal(model.syncs, 0);
	model_finish(B);
	assert_int_equal(args[0].bytes, MIB);
}

static void reads_some(struct model_stream *stream, unsigned int nr)
{
	struct args args[32];

	for (unsigned int i = 0; i < nr; i++) {
		args[i] = (struct args){ 3000, 3000 * i, 4096 * i, 0 };
		assert_int_equal(submit(&args[i], stream, false).err, 0);
	}
	model_finish(stream);
	for (unsigned int i = 0; i < nr; i++) {
		assert_int_equal(args[i].bytes, 3000);
		assert_memory_equal(fix.gpu + 4096 * i,
				    fix.bytes + 3000 * i, 3000);
	}
}

/* A stream that does not come to its requests keeps their rooms, no others. */
static void what_waits_takes_nothing_that_others_need(void **state)
{
	struct args held[30];

	(void)state;
	A->held = true;
	for (unsigned int i = 0; i < 30; i++) {
		held[i] = (struct args){ 4000, 4000 * i, 4000 * i, 0 };
		assert_int_equal(submit(&held[i], A, false).err, 0);
	}
	assert_int_equal(cuFileRead(fh, fix.gpu + MIB, 100000, 0, 0), 100000);
	assert_memory_equal(fix.gpu + MIB, fix.bytes, 100000);
	reads_some(B, 20);
	A->held = false;
	model_finish(A);
	for (unsigned int i = 0; i < 30; i++)
		assert_int_equal(held[i].bytes, 4000);
}

/* Of the engine itself, which trusts nobody with an order for the GPU. */
static struct engine_req late;
static _Atomic bool ended;

static int begin_late(struct engine_req *req)
{
	req->file_offset = late.file_offset;
	req->addr = late.addr;
	req->length = late.length;
	return late.error;
}

static void end_late(struct engine_req *req)
{
	(void)req;
	ended = true;
}

/* What was announced, and what it is then. */
static int enqueue(struct engine_req req, struct engine_req then)
{
	struct engine_place place = {
		.stream = A,
		.first = (uintptr_t)fix.gpu + 4096,
		.last = (uintptr_t)fix.gpu + 8191,
		.begin = begin_late,
	};
	int ret;

	late = then;
	ended = false;
	req.complete = end_late;
	ret = engine_enqueue(&req, &place);
	if (ret)
		return ret;
	model_finish(A);
	assert_true(ended);
	return req.error;
}

static void orders_name_what_was_announced(void **state)
{
	struct engine_req req = request(&fix, 0, 4096, 4096, false), then = req;

	(void)state;
	assert_int_equal(enqueue(req, then), 0);
	then.length = 4097;
	assert_int_equal(enqueue(req, then), -EINVAL);
	then.length = 4096;
	then.addr++;
	assert_int_equal(enqueue(req, then), -EFAULT);
	then.addr -= 2;
	assert_int_equal(enqueue(req, then), -EFAULT);
	then.addr++;
	then.file_offset = INT64_MAX;
	assert_int_equal(enqueue(req, then), -EOVERFLOW);
	then.error = -ENXIO;
	assert_int_equal(enqueue(req, then), -ENXIO);
	assert_memory_equal(fix.gpu + 4096, fix.bytes, 4096);
	assert_int_equal(fix.gpu[4095], 0xaa);
	assert_int_equal(fix.gpu[8192], 0xaa);
	/* Pieces of these must be in order. */
	fix.file.seekable = false;
	assert_int_equal(enqueue(req, req), -EAGAIN);
	fix.file.seekable = true;
	fix.file.flags |= O_APPEND;
	assert_int_equal(enqueue(req, req), 0);
	req.write = true;
	assert_int_equal(enqueue(req, req), -EAGAIN);
	fix.file.flags &= ~O_APPEND;
	req.no_bounce = true;
	assert_int_equal(enqueue(req, req), -EAGAIN);
}

/* A look costs as much as what is looked at is large. */
static void no_more_is_looked_at_than_must_be(void **state)
{
	struct args args = { 5000, 1, 100, 0 };

	(void)state;
	assert_int_equal(submit(&args, A, false).err, 0);
	model_finish(A);
	assert_int_equal(model.looked_length, fix.room);
	assert_int_equal(cuFileStreamRegister(
		(CUstream)A, CU_FILE_STREAM_FIXED_BUF_OFFSET |
		CU_FILE_STREAM_FIXED_FILE_SIZE).err, 0);
	model.looks = 0;
	reads(args, A);
	assert_int_equal(model.looked_addr, (uintptr_t)fix.gpu + 100);
	assert_int_equal(model.looked_length, 5000);
	model.unreachable = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	model.unreachable = false;
	assert_int_equal(model.looks, 2);
	assert_int_equal(cuFileStreamDeregister((CUstream)A).err, 0);
}

/* As cudaFree() while a request is under way: each would wait for the other. */
static void who_waits_inside_the_driver_is_not_in_the_way(void **state)
{
	static const size_t sizes[] = { 4096, MIB, 11 * MIB };
	pthread_t thread;

	(void)state;
	enlarge(BIG);
	for (unsigned int i = 0; i < 6; i++) {
		struct args args = { sizes[i / 2], 0, 0, 0 };

		A->held = true;
		assert_int_equal(submit(&args, A, i % 2).err, 0);
		thread = model_send_inside(A);
		A->held = false;
		pthread_join(thread, NULL);
		assert_int_equal(args.bytes, args.size);
	}
	assert_int_equal(model.syncs, 0);
}

static _Atomic int wrong;

/* He comes in the midst of a call that puts a request into the stream. */
static void who_comes_inside_meanwhile_is_not_in_the_way(void **state)
{
	pthread_t thread;

	(void)state;
	for (unsigned int n = 1; n <= 8; n++) {
		for (unsigned int kind = 0; kind < 5; kind++) {
			struct args args = { 1087 * KIB, 0, 0, 0 };
			bool write = kind % 2;

			/* It ends early; and it is wrong from the begin. */
			if (kind == 2)
				args.offset = FILE_BYTES - 5;
			else if (kind > 2)
				args.offset = -1;
			model.intruded = NULL;
			model.intruding = false;
			model.intrude = n;
			assert_int_equal(pthread_create(&thread, NULL,
							model_intrude, NULL),
					 0);
			assert_int_equal(submit(&args, A, write).err, 0);
			/* When the request was shorter. */
			model.intruded = A;
			pthread_join(thread, NULL);
			model_finish(A);
			model.intrude = 0;
			if (kind < 2)
				assert_int_equal(args.bytes, args.size);
			else
				assert_int_equal(args.bytes, kind == 2 ? 5 :
						 -CU_FILE_INVALID_VALUE);
		}
	}
	assert_int_equal(model.syncs, 0);
}

static _Atomic bool gate;

static int wait_at_gate(int fd, uint64_t length, uint64_t offset)
{
	(void)length;
	while (fd == fix.file.fd && offset >= 8 * MIB && !gate)
		model_nap();
	return 0;
}

/* The engine's threads all wait at its door, with copies of other requests. */
static void who_waits_for_the_driver_is_not_in_the_way(void **state)
{
	struct args args = { 3 * MIB, 0, 17 * MIB, 0 };
	CUfileIOEvents_t events[8];
	CUfileBatchHandle_t batch;
	unsigned int nr = 8;
	pthread_t inside;

	(void)state;
	enlarge(BIG);
	gate = false;
	file_hook = wait_at_gate;
	batch = submit_batch();
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	inside = model_send_inside(A);
	gate = true;
	for (unsigned int i = 0; i < 1000; i++)
		model_nap();
	A->held = false;
	pthread_join(inside, NULL);
	assert_int_equal(args.bytes, 3 * MIB);
	assert_int_equal(cuFileBatchIOGetStatus(batch, 8, &nr, events,
						NULL).err, 0);
	assert_int_equal(nr, 8);
	cuFileBatchIODestroy(batch);
	assert_memory_equal(fix.gpu, fix.bytes + 8 * MIB, 8 * MIB);
	file_hook = NULL;
}

static unsigned int nr_streams;

static void *read_and_write(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;
	unsigned int seed = 20261126 + self;
	struct model_stream *stream = &model.streams[self % nr_streams];
	struct args args[8];

	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 8; i++) {
			size_t room = 128 * KIB;

			args[i].size = 1 + (size_t)rand_r(&seed) % room;
			args[i].offset = rand_r(&seed) % (int)(2 * MIB);
			args[i].at = (off_t)(room * (self * 8 + i));
			wrong += !!submit(&args[i], stream, false).err;
		}
		while (!model_is_idle(stream))
			model_nap();
		for (unsigned int i = 0; i < 8; i++)
			wrong += args[i].bytes != (ssize_t)args[i].size ||
				 memcmp(fix.gpu + args[i].at, fix.bytes +
					args[i].offset, args[i].size);
	}
	return NULL;
}

static void two_threads(unsigned int streams)
{
	pthread_t threads[2];

	nr_streams = streams;
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						read_and_write, (void *)i), 0);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
}

static void two_streams_at_once(void **state)
{
	(void)state;
	two_threads(2);
}

/* Their requests are in it one after the other, not piece by piece. */
static void two_threads_of_one_stream(void **state)
{
	(void)state;
	two_threads(1);
}

static void close_with_requests_under_way_is_refused(void **state)
{
	struct args args = { MIB, 0, 0, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, true).err, 0);
	assert_int_equal(cuFileDriverClose().err, CU_FILE_DRIVER_CLOSING);
	model_finish(A);
	assert_int_equal(args.bytes, MIB);
	assert_int_equal(cuFileDriverClose().err, 0);
}

/* The request is over, but the stream has not copied its bytes. */
static void closing_leaves_what_a_stream_still_looks_at(void **state)
{
	struct args args = { 5000, 0, 0, 0 };

	(void)state;
	A->stalled = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	while (A->done < 2)
		model_nap();
	/* As soon as it is over. */
	while (cuFileDriverClose().err)
		sched_yield();
	assert_int_equal(args.bytes, 5000);
	engine_put();
	assert_false(model.closed);
	A->stalled = false;
	model_finish(A);
	assert_memory_equal(fix.gpu, fix.bytes, 5000);
	/* One buffer of it stays, until somebody looks. */
	assert_int_equal(fast_pinned, 1);
	assert_int_equal(cuFileDriverOpen().err, 0);
	assert_true(model.closed_over);
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_int_equal(fast_pinned, 0);
	assert_int_equal(engine_get(), 0);
}

/* A stream of a GPU that was reset never comes to its requests. */
static void requests_of_a_lost_gpu_end(void **state)
{
	struct args args = { MIB, 0, 0, 0 };

	(void)state;
	A->held = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	assert_int_equal(cuFileDriverClose().err, CU_FILE_DRIVER_CLOSING);
	model.lost = true;
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_int_equal(args.bytes, -EIO);
	engine_put();
	assert_false(model.closed_over);
	/* A call of the driver that is late does no harm. */
	model_finish(A);
	assert_int_equal(args.bytes, -EIO);
	fast_pinned = 0;
	assert_int_equal(engine_get(), 0);
}

/* In the midst of a request, with rooms in turn. */
static void a_gpu_may_be_lost_at_any_time(void **state)
{
	struct args args = { 15 * MIB, 0, 0, 0 };

	(void)state;
	enlarge(BIG);
	A->stalled = true;
	assert_int_equal(submit(&args, A, false).err, 0);
	while (A->done < 2)
		model_nap();
	model.lost = true;
	/* What waits for it to end does not wait for ever. */
	cuFileHandleDeregister(fh);
	assert_int_equal(args.bytes, -EIO);
	while (cuFileDriverClose().err == CU_FILE_DRIVER_CLOSING)
		sched_yield();
	engine_put();
	A->stalled = false;
	model_finish(A);
	fast_pinned = 0;
	assert_int_equal(engine_get(), 0);
}

/* The rest of a request can't be put: it is an error, and nobody hangs. */
static void a_driver_that_fails_half_way_cuts_the_request(void **state)
{
	(void)state;
	enlarge(8 * MIB);
	for (unsigned int i = 0; i < 8; i++) {
		struct args args = { 4 * MIB, 0, 0, 0 };

		model.fail_wait = i % 2 ? 1 + i / 2 : 0;
		model.fail_carry = i % 2 ? 0 : 1 + i / 2;
		assert_int_equal(submit(&args, A, false).err, 0);
		assert_int_equal(args.bytes, -EIO);
		model_finish(A);
		model.fail_wait = i % 2 ? 1 + i / 2 : 0;
		model.fail_carry = i % 2 ? 0 : 1 + i / 2;
		assert_int_equal(submit(&args, A, true).err, 0);
		assert_int_equal(args.bytes, -EIO);
		model_finish(A);
	}
	model.fail_wait = 5;
	struct args args = { 4 * MIB, 0, 0, 0 };

	/* Only the last: all is written. */
	assert_int_equal(submit(&args, A, true).err, 0);
	assert_int_equal(args.bytes, 4 * MIB);
	model_finish(A);
	model.fail_wait = 0;
	model.fail_carry = 0;
	memset(fix.gpu, 0xaa, fix.room);
	assert_int_equal(pread(fix.file.fd, fix.bytes, 4 * MIB, 0), 4 * MIB);
	reads((struct args){ 4 * MIB, 0, 0, 0 }, A);
}

#define STREAM_TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STREAM_TEST(all_is_put_at_once_and_in_order),
		STREAM_TEST(every_size_and_place_is_right),
		STREAM_TEST(o_direct_reads_whole_blocks),
		STREAM_TEST(what_is_known_late_counts),
		STREAM_TEST(a_file_that_ends_early_is_no_error),
		STREAM_TEST(an_error_ends_the_request_and_not_the_stream),
		STREAM_TEST(more_pieces_than_rooms_take_turns),
		STREAM_TEST(the_largest_have_the_largest_pieces),
		STREAM_TEST(what_can_not_be_put_is_done_at_once),
		STREAM_TEST(requests_of_a_stream_share_their_rooms),
		STREAM_TEST(who_finds_nothing_left_does_it_at_once),
		STREAM_TEST(what_waits_takes_nothing_that_others_need),
		STREAM_TEST(orders_name_what_was_announced),
		STREAM_TEST(no_more_is_looked_at_than_must_be),
		STREAM_TEST(who_waits_inside_the_driver_is_not_in_the_way),
		STREAM_TEST(who_comes_inside_meanwhile_is_not_in_the_way),
		STREAM_TEST(who_waits_for_the_driver_is_not_in_the_way),
		STREAM_TEST(two_streams_at_once),
		STREAM_TEST(two_threads_of_one_stream),
		STREAM_TEST(close_with_requests_under_way_is_refused),
		STREAM_TEST(closing_leaves_what_a_stream_still_looks_at),
		STREAM_TEST(requests_of_a_lost_gpu_end),
		STREAM_TEST(a_gpu_may_be_lost_at_any_time),
		STREAM_TEST(a_driver_that_fails_half_way_cuts_the_request),
	};

	return run_with_limit(tests, sizeof(tests) / sizeof(tests[0]));
}
