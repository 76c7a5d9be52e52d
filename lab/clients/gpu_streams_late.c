// SPDX-License-Identifier: MIT
/* Requests of gpu_streams that turn out to be others, to be wrong, or refused. */
#include "gpu_streams.h"

struct change {
	struct request *request;
	const struct request *then;
};

/* By the driver. */
static void make_change(void *arg)
{
	const struct change *change = arg;

	change->request->size = change->then->size;
	change->request->offset = change->then->offset;
	change->request->at = change->then->at;
}

/* The arguments are others when the stream comes to the request. */
static struct request changed(void *stream, struct request r,
			      struct request then)
{
	struct change change = { &r, &then };

	clear();
	hold(stream);
	CUDA(host_func(stream, make_change, &change));
	put(source, &r, stream, false);
	has_returned(&r);
	open_gate();
	CUDA(sync(stream));
	return r;
}

void check_late(void)
{
	const struct request first = { 3 * MIB, 0, 0, 0 };

	for (unsigned int s = 0; s < STREAMS; s++) {
		struct request r;

		step("%s, fewer bytes, elsewhere", stream_names[s]);
		r = changed(streams[s], first,
			    (struct request){ 12345, 777, 33, 0 });
		was_read(&r, 12345);
		step("%s, nothing", stream_names[s]);
		r = changed(streams[s], first, (struct request){ 0, 1, 2, 0 });
		was_read(&r, 0);
		step("%s, more than announced", stream_names[s]);
		r = changed(streams[s], first,
			    (struct request){ 200 * MIB, 0, 0, 0 });
		has_ended(&r, -CU_FILE_INVALID_VALUE);
		step("%s, behind the memory", stream_names[s]);
		r = changed(streams[s], first,
			    (struct request){ MIB, 0, ROOM, 0 });
		has_ended(&r, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	}
	detail("less, nothing, more than announced, behind the memory");
}

/* Of a stream that was registered so, the arguments of the call count. */
void check_fixed(void)
{
	const unsigned int flags = CU_FILE_STREAM_FIXED_BUF_OFFSET |
				   CU_FILE_STREAM_FIXED_FILE_OFFSET |
				   CU_FILE_STREAM_FIXED_FILE_SIZE;

	for (unsigned int s = BLOCKING; s < STREAMS; s++) {
		struct request first = { MIB + 5, 4097, 9, 0 }, r;
		int err;

		step("%s", stream_names[s]);
		err = (int)cf.stream_add((CUstream)streams[s], flags).err;
		EXPECT(!err, "cuFileStreamRegister gives %d", err);
		r = changed(streams[s], first,
			    (struct request){ 77, 78, 79, 0 });
		first.bytes = r.bytes;
		was_read(&first, first.size);
		err = (int)cf.stream_del((CUstream)streams[s]).err;
		EXPECT(!err, "cuFileStreamDeregister gives %d", err);
		/* And now no more. */
		r = changed(streams[s], first,
			    (struct request){ 77, 78, 79, 0 });
		was_read(&r, 77);
	}
	detail("size and offsets");
}

static void one_short(void *stream, CUfileHandle_t file, size_t left)
{
	struct request r = { 3 * MIB, (off_t)(ROOM - left), 5, 0 };

	clear();
	put(file, &r, stream, false);
	CUDA(sync(stream));
	was_read(&r, left);
}

void check_short_files(void)
{
	static const size_t left[] = { 0, 1, 4096, 100000, 2 * MIB + 1 };

	for (unsigned int s = 0; s < STREAMS; s++) {
		for (unsigned int i = 0; i < COUNT(left); i++) {
			step("%s, %zu bytes left", stream_names[s], left[i]);
			one_short(streams[s], source, left[i]);
			if (source_direct)
				one_short(streams[s], source_direct, left[i]);
		}
	}
	detail("%s O_DIRECT", source_direct ? "and with" : "without");
}

/* A request whose arguments are wrong; the next is right. */
static void one_error(void *stream, struct request r, CUfileOpError err)
{
	struct request next = { MIB, 3, 5, 0 };

	clear();
	put(source, &r, stream, false);
	put(source, &next, stream, false);
	CUDA(sync(stream));
	has_ended(&r, -(ssize_t)err);
	was_read(&next, MIB);
}

void check_errors(void)
{
	struct request r = { MIB, 0, 0, 0 };
	void *base = (void *)(uintptr_t)gpu;

	for (unsigned int s = 0; s < STREAMS; s++) {
		step("%s, a negative offset", stream_names[s]);
		one_error(streams[s], (struct request){ MIB, -5, 5, 0 },
			  CU_FILE_INVALID_VALUE);
		step("%s, behind the memory", stream_names[s]);
		one_error(streams[s], (struct request){ MIB, 0, ROOM, 0 },
			  CU_FILE_CUDA_POINTER_RANGE_ERROR);
		step("%s, no address", stream_names[s]);
		refused(cf.read_async(source, base, NULL, &r.offset, &r.at,
				      &r.bytes, (CUstream)streams[s]),
			CU_FILE_INVALID_VALUE);
		step("%s, no file", stream_names[s]);
		refused(try_to_put(&r, &r, streams[s], false),
			CU_FILE_HANDLE_NOT_REGISTERED);
		step("%s, closing with a request", stream_names[s]);
		clear();
		hold(streams[s]);
		put(source, &r, streams[s], false);
		has_returned(&r);
		refused(cf.close(), CU_FILE_DRIVER_CLOSING);
		open_gate();
		CUDA(sync(streams[s]));
		was_read(&r, MIB);
	}
	detail("in the call, and when its turn comes; closing too early");
}

void check_capture(void)
{
	for (unsigned int s = BLOCKING; s < STREAMS; s++) {
		struct request r = { MIB, 0, 0, 0 };
		void *graph = NULL;

		step("%s", stream_names[s]);
		for (unsigned int write = 0; write < 2; write++) {
			CUDA(capture(streams[s], CAPTURE_RELAXED));
			refused(try_to_put(write ? target : source, &r,
					   streams[s], write),
				CU_FILE_ASYNC_NOT_SUPPORTED);
			CUDA(capture_end(streams[s], &graph));
			if (graph)
				CUDA(graph_destroy(graph));
			EXPECT(is_untouched(&r), "something was done");
		}
		/* The capture is whole, and so is the stream. */
		clear();
		put(source, &r, streams[s], false);
		CUDA(sync(streams[s]));
		was_read(&r, MIB);
	}
	detail("refused");
}
