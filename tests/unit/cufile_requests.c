// SPDX-License-Identifier: MIT
/* Reads and writes that are waited for, batches and streams. */
#include "cufile_mock.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>

static void check_bytes(const uint8_t *at, uint64_t offset, size_t length)
{
	for (size_t i = 0; i < length; i++)
		assert_int_equal(at[i], mock_byte(offset + i));
}

/* ----------------------------------------------------------- synchronous */

static void read_puts_bytes_at_base_plus_offset(void **state)
{
	CUfileHandle_t fh = mock_handle();

	(void)state;
	assert_int_equal(cuFileRead(fh, gpu_memory, 5001, 77, 4095), 5001);
	check_bytes(gpu_memory + 4095, 77, 5001);
	assert_int_equal(gpu_memory[4094], 0);
	assert_int_equal(mock.last.gpu, 0);
}

static void a_short_count_is_the_end_of_the_file(void **state)
{
	CUfileHandle_t fh = mock_handle();

	(void)state;
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 65500, 0), 36);
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 65536, 0), 0);
	assert_int_equal(cuFileRead(fh, gpu_memory, 0, 0, 0), 0);
}

static void write_takes_bytes_from_base_plus_offset(void **state)
{
	CUfileHandle_t fh = mock_handle();
	char back[3];

	(void)state;
	memcpy(gpu_memory + 10, "abc", 3);
	assert_int_equal(cuFileWrite(fh, gpu_memory, 3, 1000, 10), 3);
	assert_int_equal(pread(mock_fd, back, 3, 1000), 3);
	assert_memory_equal(back, "abc", 3);
}

static void engine_errors_become_documented_ones(void **state)
{
	static const struct {
		int error;
		ssize_t result;
	} table[] = {
		{ -EFAULT, -CU_FILE_CUDA_POINTER_INVALID },
		{ -ECHILD, -CU_FILE_DRIVER_NOT_INITIALIZED },
		{ -EIO, -1 }, { -ENOSPC, -1 }, { -EBADF, -1 }, { -ENOMEM, -1 },
		/* Of files and drives as well: one that is lost, or of FUSE. */
		{ -ENODEV, -1 }, { -EREMOTEIO, -1 }, { -ENOSYS, -1 },
		{ -ENOTCONN, -1 }, { -EOVERFLOW, -1 },
	};
	CUfileHandle_t fh = mock_handle();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mock.run_error = table[i].error;
		errno = 0;
		/* Bytes arrived, but not all: that is no success. */
		assert_int_equal(cuFileRead(fh, gpu_memory, 10, 0, 0),
				 table[i].result);
		if (table[i].result == -1)
			assert_int_equal(errno, -table[i].error);
	}
}

/* A drive may say the same errno value, but has no reason. */
static void strict_refusals_are_not_errors_of_the_drive(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	setenv("CUFILE_ALLOW_COMPAT_MODE", "false", 1);
	fh = mock_handle();
	mock.run_error = -EREMOTEIO;
	mock.reason = NVFS_REASON_STACKED;
	assert_int_equal(cuFileRead(fh, gpu_memory, 10, 0, 0),
			 -CU_FILE_IO_NOT_SUPPORTED);
	mock.reason = NVFS_REASON_NONE;
	assert_int_equal(cuFileRead(fh, gpu_memory, 10, 0, 0), -1);
	assert_int_equal(errno, EREMOTEIO);
	/* The module's own errno value for memory that it did not take. */
	mock.reason = NVFS_REASON_NO_REGION;
	mock.run_error = -ENODEV;
	assert_int_equal(cuFileRead(fh, gpu_memory, 10, 0, 0),
			 -CU_FILE_IO_NOT_SUPPORTED);
}

static void bad_requests_never_reach_the_engine(void **state)
{
	CUfileHandle_t fh = mock_handle();
	static const struct {
		size_t size;
		off_t file_offset, mem_offset;
		CUfileOpError code;
	} table[] = {
		{ 1, -1, 0, CU_FILE_INVALID_VALUE },
		{ 1, 0, -1, CU_FILE_INVALID_VALUE },
		{ SIZE_MAX, 0, 0, CU_FILE_INVALID_VALUE },
		{ (size_t)SSIZE_MAX + 1, 0, 0, CU_FILE_INVALID_VALUE },
		{ 2, INT64_MAX, 0, CU_FILE_INVALID_VALUE },
		{ 1, 0, INT64_MAX, CU_FILE_CUDA_POINTER_RANGE_ERROR },
		{ GPU_BYTES + 1, 0, 0, CU_FILE_CUDA_POINTER_RANGE_ERROR },
		{ 1, 0, GPU_BYTES, CU_FILE_CUDA_POINTER_RANGE_ERROR },
		{ GPU_BYTES, 0, 1, CU_FILE_CUDA_POINTER_RANGE_ERROR },
	};

	(void)state;
	memset(&mock.last, 0, sizeof(mock.last));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(cuFileRead(fh, gpu_memory, table[i].size,
					    table[i].file_offset,
					    table[i].mem_offset),
				 -(ssize_t)table[i].code);
	assert_int_equal(cuFileRead(fh, NULL, 1, 0, 0), -CU_FILE_INVALID_VALUE);
	assert_int_equal(cuFileWrite(fh, NULL, 1, 0, 0),
			 -CU_FILE_INVALID_VALUE);
	assert_null(mock.last.file);
}

/* A registration need not be the whole of what may be named. */
static void a_request_may_go_on_behind_a_registration(void **state)
{
	CUfileHandle_t fh = mock_handle();

	(void)state;
	assert_cufile(cuFileBufRegister(gpu_memory + 4096, 4096, 0), SUCCESS);
	assert_int_equal(cuFileRead(fh, gpu_memory + 4096, 8192, 0, 0), 8192);
	assert_int_equal(cuFileRead(fh, gpu_memory + 5000, 100, 0, 0), 100);
	assert_int_equal(cuFileRead(fh, gpu_memory + 4096, GPU_BYTES, 0, 0),
			 -CU_FILE_CUDA_POINTER_RANGE_ERROR);
}

static void vectors_are_one_range_of_the_file(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOVec_t iov[] = { { gpu_memory, 10 }, { NULL, 0 },
				{ gpu_memory + 100, 20 } };

	(void)state;
	assert_int_equal(cuFileReadv(fh, iov, 3, 50, 0), 30);
	check_bytes(gpu_memory, 50, 10);
	check_bytes(gpu_memory + 100, 60, 20);
	assert_int_equal(cuFileReadv(fh, iov, 3, 65526 - 10, 0), 20);
	assert_int_equal(cuFileWritev(fh, iov, 3, 200, 0), 30);
	/* What comes short ends the whole: there is never a gap. */
	mock.run_limit = 4;
	assert_int_equal(cuFileReadv(fh, iov, 3, 50, 0), 4);
	mock.run_limit = 0;
	assert_int_equal(cuFileReadv(fh, iov, 0, 0, 0), 0);
	/* Nothing to move is no leave to name anything. */
	assert_int_equal(cuFileReadv(fh, &iov[1], 1, 0, 0), 0);
	assert_int_equal(cuFileReadv(&iov, &iov[1], 1, 0, 0),
			 -CU_FILE_HANDLE_NOT_REGISTERED);
	assert_int_equal(cuFileReadv(fh, NULL, 1, 0, 0), -CU_FILE_INVALID_VALUE);
	assert_int_equal(cuFileReadv(fh, iov, 3, 0, 1), -CU_FILE_INVALID_VALUE);
	assert_int_equal(cuFileReadv(fh, iov, SIZE_MAX, 0, 0),
			 -CU_FILE_INVALID_VALUE);
	iov[1].len = 5;
	assert_int_equal(cuFileReadv(fh, iov, 3, 0, 0), -CU_FILE_INVALID_VALUE);
}

/* ---------------------------------------------------------------- batches */

static CUfileIOParams_t io_of(CUfileHandle_t fh, unsigned int n)
{
	CUfileIOParams_t io = { .mode = CUFILE_BATCH, .fh = fh };

	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.devPtr_offset = 4096 * n;
	io.u.batch.file_offset = 100 * n;
	io.u.batch.size = 100;
	io.cookie = (void *)(uintptr_t)(n + 1);
	return io;
}

static void each_event_is_told_once(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io[4];
	CUfileIOEvents_t events[8];
	CUfileBatchHandle_t batch;
	unsigned int nr = 8, seen = 0;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 4), SUCCESS);
	for (unsigned int i = 0; i < 4; i++)
		io[i] = io_of(fh, i);
	assert_cufile(cuFileBatchIOSubmit(batch, 4, io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 0);
	mock_end(2);
	nr = 8;
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 1);
	assert_ptr_equal(events[0].cookie, (void *)3);
	assert_int_equal(events[0].status, CUFILE_COMPLETE);
	assert_int_equal(events[0].ret, 100);
	mock_end_all();
	for (unsigned int i = 0; i < 3; i++) {
		nr = 1;
		assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, events,
						     NULL), SUCCESS);
		assert_int_equal(nr, 1);
		seen |= 1U << (uintptr_t)events[0].cookie;
	}
	assert_int_equal(seen, 1U << 1 | 1U << 2 | 1U << 4);
	for (unsigned int i = 0; i < 4; i++)
		check_bytes(gpu_memory + 4096 * i, 100 * i, 100);
	nr = 1;
	/* There is nothing to wait for any more. */
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 0);
	cuFileBatchIODestroy(batch);
}

static void *end_later(void *unused)
{
	(void)unused;
	for (int i = 0; i < 1000; i++)
		sched_yield();
	mock_end_all();
	return NULL;
}

/* Events that were told do not count when the next ones are waited for. */
static void the_next_event_is_waited_for(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io[2] = { io_of(fh, 0), io_of(fh, 1) };
	CUfileIOEvents_t event;
	CUfileBatchHandle_t batch;
	unsigned int nr = 1;
	pthread_t thread;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 2), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), SUCCESS);
	mock_end(0);
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, &event, NULL),
		      SUCCESS);
	assert_int_equal(nr, 1);
	assert_int_equal(pthread_create(&thread, NULL, end_later, NULL), 0);
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, &event, NULL),
		      SUCCESS);
	assert_int_equal(nr, 1);
	pthread_join(thread, NULL);
}

/* Their files are free as soon as the events are told. */
static void requests_that_end_together_are_all_told(void **state)
{
	CUfileHandle_t fh = mock_handle(), other;
	CUfileIOEvents_t events[5];
	CUfileIOParams_t io[5];
	CUfileBatchHandle_t batch;
	unsigned int nr = 5, seen = 0;

	(void)state;
	mock.hold = true;
	mock.together = true;
	assert_cufile(mock_register(mock_file(O_RDWR), &other), SUCCESS);
	assert_cufile(cuFileBatchIOSetUp(&batch, 5), SUCCESS);
	for (unsigned int i = 0; i < 5; i++)
		io[i] = io_of(i == 2 ? other : fh, i);
	assert_cufile(cuFileBatchIOSubmit(batch, 5, io, 0), SUCCESS);
	mock_end_all();
	assert_int_equal(mock.then_calls, 1);
	assert_cufile(cuFileBatchIOGetStatus(batch, 5, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 5);
	for (unsigned int i = 0; i < 5; i++)
		seen |= 1U << (uintptr_t)events[i].cookie;
	assert_int_equal(seen, 0x3e);
	cuFileHandleDeregister(other);
	cuFileHandleDeregister(fh);
	cuFileBatchIODestroy(batch);
}

/* Of two batches: what one puts off is none of the other's business. */
static void batches_that_end_together_are_both_told(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOEvents_t events[4];
	CUfileBatchHandle_t batch[2];
	CUfileIOParams_t io[4];

	(void)state;
	mock.hold = true;
	mock.together = true;
	for (unsigned int b = 0; b < 2; b++) {
		for (unsigned int i = 0; i < 4; i++)
			io[i] = io_of(fh, 4 * b + i);
		assert_cufile(cuFileBatchIOSetUp(&batch[b], 4), SUCCESS);
		assert_cufile(cuFileBatchIOSubmit(batch[b], 4, io, 0), SUCCESS);
	}
	mock_end_all();
	for (unsigned int b = 0; b < 2; b++) {
		unsigned int nr = 4;

		assert_cufile(cuFileBatchIOGetStatus(batch[b], 4, &nr, events,
						     NULL), SUCCESS);
		assert_int_equal(nr, 4);
		cuFileBatchIODestroy(batch[b]);
	}
	cuFileHandleDeregister(fh);
}

static void a_batch_is_full_until_events_are_told(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io[3] = { io_of(fh, 0), io_of(fh, 1), io_of(fh, 2) };
	CUfileIOEvents_t events[4];
	CUfileBatchHandle_t batch;
	unsigned int nr = 1;

	(void)state;
	assert_cufile(cuFileBatchIOSetUp(&batch, 3), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), BATCH_FULL);
	assert_cufile(cuFileBatchIOSubmit(batch, 4, io, 0), BATCH_FULL);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, events, NULL),
		      SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, io, 0), SUCCESS);
	nr = 4;
	assert_cufile(cuFileBatchIOGetStatus(batch, 3, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 3);
}

static void a_bad_entry_refuses_all_of_them(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io[2] = { io_of(fh, 0), io_of(fh, 1) };
	CUfileBatchHandle_t batch;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 2), SUCCESS);
	io[1].fh = &batch;
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0),
		      HANDLE_NOT_REGISTERED);
	io[1] = io_of(fh, 1);
	io[1].u.batch.devPtr_base = NULL;
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), INVALID_VALUE);
	io[1] = io_of(fh, 1);
	io[1].u.batch.devPtr_offset = GPU_BYTES;
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0),
		      CUDA_POINTER_RANGE_ERROR);
	io[1] = io_of(fh, 1);
	memset(&io[1].opcode, 0x55, sizeof(io[1].opcode));
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), INVALID_VALUE);
	io[1] = io_of(fh, 1);
	memset(&io[1].mode, 0x55, sizeof(io[1].mode));
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), INVALID_VALUE);
	assert_int_equal(mock.nr_queued, 0);
	io[1] = io_of(fh, 1);
	mock.submit_error = -ENOMEM;
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), NOMEM_ERROR);
	mock.submit_error = 0;
	/* None of them kept a place, a handle, or the library open. */
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), SUCCESS);
	mock_end_all();
	cuFileHandleDeregister(fh);
}

static void cancelled_and_failed_requests_say_so(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io[3] = { io_of(fh, 0), io_of(fh, 1), io_of(fh, 2) };
	CUfileIOEvents_t events[3];
	CUfileBatchHandle_t batch;
	unsigned int nr = 3;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 3), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 3, io, 0), SUCCESS);
	mock.run_error = -EIO;
	mock_end(0);
	mock.run_error = -EREMOTEIO;
	mock_end(0);
	assert_cufile(cuFileBatchIOCancel(batch), SUCCESS);
	assert_cufile(cuFileBatchIOGetStatus(batch, 3, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 3);
	assert_int_equal(events[0].status, CUFILE_FAILED);
	assert_int_equal((ssize_t)events[0].ret, -EIO);
	assert_int_equal(events[1].status, CUFILE_FAILED);
	assert_int_equal((ssize_t)events[1].ret, -EREMOTEIO);
	assert_int_equal(events[2].status, CUFILE_CANCELED);
	assert_int_equal(events[2].ret, 0);
}

static void a_timeout_ends_the_wait_and_not_the_request(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io = io_of(fh, 0);
	struct timespec timeout = { .tv_nsec = 1000000 };
	CUfileIOEvents_t event;
	CUfileBatchHandle_t batch;
	unsigned int nr = 1;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 1), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, &event, &timeout),
		      SUCCESS);
	assert_int_equal(nr, 0);
	mock_end_all();
	nr = 1;
	timeout.tv_sec = INT64_MAX;
	assert_cufile(cuFileBatchIOGetStatus(batch, 1, &nr, &event, &timeout),
		      SUCCESS);
	assert_int_equal(nr, 1);
}

static void bad_batch_calls_are_refused(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io = io_of(fh, 0);
	struct timespec bad = { .tv_nsec = 1000000000 };
	CUfileIOEvents_t event;
	CUfileBatchHandle_t batch;
	unsigned int nr = 0;

	(void)state;
	assert_cufile(cuFileBatchIOSetUp(NULL, 1), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSetUp(&batch, 0), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSetUp(&batch, 129), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSetUp(&batch, 128), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 0, &io, 0), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, NULL, 0), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 1), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSubmit(NULL, 1, &io, 0), INVALID_VALUE);
	assert_cufile(cuFileBatchIOSubmit(fh + 1, 1, &io, 0), INVALID_VALUE);
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, NULL, &event, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, &nr, &event, NULL),
		      INVALID_VALUE);
	nr = 1;
	assert_cufile(cuFileBatchIOGetStatus(batch, 2, &nr, &event, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, &nr, NULL, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, &nr, &event, &bad),
		      INVALID_VALUE);
	assert_cufile(cuFileBatchIOGetStatus(NULL, 0, &nr, &event, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileBatchIOCancel(NULL), INVALID_VALUE);
	cuFileBatchIODestroy(NULL);
	cuFileBatchIODestroy(batch);
	cuFileBatchIODestroy(batch);
	assert_cufile(cuFileBatchIOCancel(batch), INVALID_VALUE);
}

static void destroy_cancels_what_was_not_started(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io = io_of(fh, 0);
	CUfileBatchHandle_t batch;

	(void)state;
	mock.hold = true;
	assert_cufile(cuFileBatchIOSetUp(&batch, 1), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	cuFileBatchIODestroy(batch);
	assert_int_equal(mock.nr_queued, 0);
	cuFileHandleDeregister(fh);
	assert_cufile(cuFileDriverClose(), SUCCESS);
}

/* ---------------------------------------------------------------- streams */

#define STREAM	((CUstream)0x1000)

struct args {
	size_t size;
	off_t file_offset, mem_offset;
	ssize_t bytes;
};

static CUfileError_t read_async(CUfileHandle_t fh, struct args *args,
				CUstream stream)
{
	return cuFileReadAsync(fh, gpu_memory, &args->size, &args->file_offset,
			       &args->mem_offset, &args->bytes, stream);
}

static void stream_reaches(unsigned int call)
{
	mock.calls[call].fn(mock.calls[call].arg);
}

static void arguments_count_when_the_stream_comes_to_them(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 1, 2, 3, 0 };

	(void)state;
	mock.hold = true;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_int_equal(mock.nr_queued, 0);
	assert_int_equal(mock.nr_waits, 1);
	assert_int_equal(mock.waits[0], 1);
	args = (struct args){ 100, 200, 300, 0 };
	stream_reaches(0);
	assert_int_equal(mock.nr_queued, 1);
	assert_int_equal(mock.word, 0);
	assert_int_equal(args.bytes, 0);
	mock_end_all();
	assert_int_equal(mock.word, 1);
	assert_int_equal(args.bytes, 100);
	check_bytes(gpu_memory + 300, 200, 100);
}

/* Managed memory is like that, too: the CPU's threads reach it. */
static void what_is_in_host_memory_needs_no_thread_of_others(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 100, 200, 300, 0 };

	(void)state;
	mock.kind = GPU_MEM_MANAGED;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	stream_reaches(0);
	assert_int_equal(mock.nr_apart, 1);
	assert_int_equal(args.bytes, 100);
	mock.kind = GPU_MEM_DEVICE;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	stream_reaches(1);
	assert_int_equal(mock.nr_apart, 1);
	assert_int_equal(args.bytes, 100);
}

static void fixed_arguments_count_at_once(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 100, 200, 300, 0 };

	(void)state;
	assert_cufile(cuFileStreamRegister(STREAM, 7), SUCCESS);
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	args = (struct args){ 1, 1, 1, 0 };
	stream_reaches(0);
	assert_int_equal(args.bytes, 100);
	check_bytes(gpu_memory + 300, 200, 100);
	assert_cufile(cuFileStreamDeregister(STREAM), SUCCESS);
	assert_cufile(cuFileStreamDeregister(STREAM), INVALID_VALUE);
	assert_cufile(cuFileStreamRegister(STREAM, 16), INVALID_VALUE);
}

/* As of a stream that CUDA gave the handle of one that is gone. */
static void a_second_registration_replaces_the_first(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 100, 200, 300, 0 };

	(void)state;
	assert_cufile(cuFileStreamRegister(STREAM, 7), SUCCESS);
	assert_cufile(cuFileStreamRegister(STREAM, 0), SUCCESS);
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	args = (struct args){ 10, 20, 30, 0 };
	stream_reaches(0);
	assert_int_equal(args.bytes, 10);
	check_bytes(gpu_memory + 30, 20, 10);
	assert_cufile(cuFileStreamDeregister(STREAM), SUCCESS);
	assert_cufile(cuFileStreamDeregister(STREAM), INVALID_VALUE);
}

static void errors_are_told_in_bytes_and_the_stream_goes_on(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args[3] = { { 10, -1, 0, 0 }, { GPU_BYTES, 0, 1, 0 },
				{ 10, 0, 0, 0 } };

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		assert_cufile(read_async(fh, &args[i], STREAM), SUCCESS);
	stream_reaches(0);
	assert_int_equal(args[0].bytes, -CU_FILE_INVALID_VALUE);
	assert_int_equal(mock.word, 1);
	stream_reaches(1);
	assert_int_equal(args[1].bytes, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	mock.submit_error = -ENOMEM;
	stream_reaches(2);
	assert_int_equal(args[2].bytes, -ENOMEM);
	assert_int_equal(mock.word, 3);
}

/* Whose errno is not the caller's: the thread is the engine's. */
static void an_error_of_the_system_is_its_number_in_bytes(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 10, 0, 0, 0 };

	(void)state;
	mock.run_error = -ENOSPC;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	stream_reaches(0);
	assert_int_equal(args.bytes, -ENOSPC);
	mock.run_error = -EFAULT;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	stream_reaches(1);
	assert_int_equal(args.bytes, -CU_FILE_CUDA_POINTER_INVALID);
}

static void a_late_end_of_an_old_stream_does_not_turn_back_the_word(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args[2] = { { 10, 0, 0, 0 }, { 10, 0, 0, 0 } };

	(void)state;
	mock.hold = true;
	assert_cufile(read_async(fh, &args[0], STREAM), SUCCESS);
	assert_cufile(read_async(fh, &args[1], STREAM), SUCCESS);
	stream_reaches(0);
	stream_reaches(1);
	mock_end(1);
	assert_int_equal(mock.word, 2);
	mock_end(0);
	assert_int_equal(mock.word, 2);
}

static void *reach(void *unused)
{
	(void)unused;
	stream_reaches(0);
	return NULL;
}

/* Where the stream can't wait for a word, the call in it does. */
static void without_words_the_call_itself_waits(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 10, 0, 0, 0 };
	pthread_t thread;

	(void)state;
	mock.no_words = true;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_int_equal(mock.nr_waits, 0);
	assert_int_equal(pthread_create(&thread, NULL, reach, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(args.bytes, 10);
}

/*
 * Nothing on the GPU waits for what is copied by the driver: whoever is in the
 * driver until the stream is empty would keep the copy out.
 */
static void copies_of_the_driver_are_not_waited_for_by_the_stream(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 10, 20, 30, 0 };

	(void)state;
	mock.needs_driver = true;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_int_equal(mock.syncs, 1);
	assert_int_equal(mock.nr_calls, 0);
	assert_int_equal(mock.nr_waits, 0);
	assert_int_equal(args.bytes, 10);
	assert_int_equal(mock.last.file_offset, 20);
	assert_int_equal(mock.last.addr, (uintptr_t)gpu_memory + 30);
	mock.submit_error = -EAGAIN;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_int_equal(args.bytes, -EAGAIN);
	mock.capturing = true;
	assert_cufile(read_async(fh, &args, STREAM), ASYNC_NOT_SUPPORTED);
	assert_int_equal(mock.nr_queued, 0);
	mock.capturing = false;
	assert_cufile(cuFileDriverClose(), SUCCESS);
}

/* What the engine puts into the stream is neither waited for nor made here. */
static void the_engine_may_put_all_of_it_into_the_stream(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 10, 20, 30, 0 };

	(void)state;
	mock.needs_driver = true;
	mock.placed = true;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_int_equal(mock.syncs + mock.nr_calls + mock.nr_waits, 0);
	assert_int_equal(mock.placed_req->length, 10);
	assert_ptr_equal(mock.place.stream, STREAM);
	assert_int_equal(mock.place.first, (uintptr_t)gpu_memory);
	assert_int_equal(mock.place.last, (uintptr_t)gpu_memory + GPU_BYTES - 1);
	assert_false(mock.place.fixed);
	assert_cufile(cuFileDriverClose(), DRIVER_CLOSING);
	assert_int_equal(mock.looked_after, 1);
	args = (struct args){ 9, 200, 300, 0 };
	assert_int_equal(mock.place.begin(mock.placed_req), 0);
	assert_int_equal(args.bytes, 0);
	mock_move(mock.placed_req);
	mock.placed_req->complete(mock.placed_req);
	assert_int_equal(args.bytes, 9);
	check_bytes(gpu_memory + 300, 200, 9);
	/* More than was announced, and what is wrong by itself. */
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	args.size = 10;
	assert_int_equal(mock.place.begin(mock.placed_req), -EINVAL);
	mock.placed_req->error = -EINVAL;
	mock.placed_req->complete(mock.placed_req);
	assert_int_equal(args.bytes, -CU_FILE_INVALID_VALUE);
	assert_cufile(cuFileStreamRegister(STREAM, 7), SUCCESS);
	args = (struct args){ 10, 0, GPU_BYTES, 0 };
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_true(mock.place.fixed);
	args.mem_offset = 0;
	assert_int_equal(mock.place.begin(mock.placed_req), -EINVAL);
	mock.placed_req->error = -EINVAL;
	mock.placed_req->complete(mock.placed_req);
	assert_int_equal(args.bytes, -CU_FILE_CUDA_POINTER_RANGE_ERROR);
}

/* Streams that shall not look at words have none of that. */
static void without_words_nothing_is_left_to_the_stream(void **state)
{
	struct args args = { 10, 20, 30, 0 };
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_STREAM_MEMOPS_BYPASS,
					     true), SUCCESS);
	fh = mock_handle();
	mock.needs_driver = true;
	mock.placed = true;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_null(mock.placed_req);
	assert_int_equal(mock.syncs, 1);
	assert_int_equal(args.bytes, 10);
}

static void bad_stream_calls_are_refused(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args a = { 10, 0, 0, 0 };
	CUfileError_t ret;

	(void)state;
	assert_cufile(read_async(NULL, &a, STREAM), INVALID_VALUE);
	assert_cufile(read_async(fh + 16, &a, STREAM), HANDLE_NOT_REGISTERED);
	assert_cufile(cuFileReadAsync(fh, NULL, &a.size, &a.file_offset,
				      &a.mem_offset, &a.bytes, STREAM),
		      INVALID_VALUE);
	assert_cufile(cuFileWriteAsync(fh, gpu_memory, NULL, &a.file_offset,
				       &a.mem_offset, &a.bytes, STREAM),
		      INVALID_VALUE);
	assert_cufile(cuFileWriteAsync(fh, gpu_memory, &a.size, NULL,
				       &a.mem_offset, &a.bytes, STREAM),
		      INVALID_VALUE);
	assert_cufile(cuFileWriteAsync(fh, gpu_memory, &a.size, &a.file_offset,
				       NULL, &a.bytes, STREAM), INVALID_VALUE);
	assert_cufile(cuFileWriteAsync(fh, gpu_memory, &a.size, &a.file_offset,
				       &a.mem_offset, NULL, STREAM),
		      INVALID_VALUE);
	ret = read_async(fh, &a, (CUstream)0xbad);
	assert_true(IS_CUDA_ERR(ret));
	assert_int_equal(CU_FILE_CUDA_ERR(ret), 400);
	ret = read_async(fh, &a, (CUstream)0xdead);
	assert_true(IS_CUDA_ERR(ret));
	assert_int_equal(mock.nr_calls, 0);
	mock.capturing = true;
	assert_cufile(read_async(fh, &a, STREAM), ASYNC_NOT_SUPPORTED);
	assert_int_equal(mock.nr_calls, 0);
	cuFileHandleDeregister(fh);
	assert_cufile(read_async(fh, &a, STREAM), HANDLE_NOT_REGISTERED);
}

static void close_with_a_stream_request_is_refused(void **state)
{
	CUfileHandle_t fh = mock_handle();
	struct args args = { 10, 0, 0, 0 };

	(void)state;
	assert_cufile(read_async(fh, &args, STREAM), SUCCESS);
	assert_cufile(cuFileDriverClose(), DRIVER_CLOSING);
	stream_reaches(0);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(read_async(fh, &args, STREAM), DRIVER_NOT_INITIALIZED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MOCK_TEST(read_puts_bytes_at_base_plus_offset),
		MOCK_TEST(a_short_count_is_the_end_of_the_file),
		MOCK_TEST(write_takes_bytes_from_base_plus_offset),
		MOCK_TEST(engine_errors_become_documented_ones),
		MOCK_TEST(strict_refusals_are_not_errors_of_the_drive),
		MOCK_TEST(bad_requests_never_reach_the_engine),
		MOCK_TEST(a_request_may_go_on_behind_a_registration),
		MOCK_TEST(vectors_are_one_range_of_the_file),
		MOCK_TEST(each_event_is_told_once),
		MOCK_TEST(the_next_event_is_waited_for),
		MOCK_TEST(requests_that_end_together_are_all_told),
		MOCK_TEST(batches_that_end_together_are_both_told),
		MOCK_TEST(a_batch_is_full_until_events_are_told),
		MOCK_TEST(a_bad_entry_refuses_all_of_them),
		MOCK_TEST(cancelled_and_failed_requests_say_so),
		MOCK_TEST(a_timeout_ends_the_wait_and_not_the_request),
		MOCK_TEST(bad_batch_calls_are_refused),
		MOCK_TEST(destroy_cancels_what_was_not_started),
		MOCK_TEST(arguments_count_when_the_stream_comes_to_them),
		MOCK_TEST(what_is_in_host_memory_needs_no_thread_of_others),
		MOCK_TEST(fixed_arguments_count_at_once),
		MOCK_TEST(a_second_registration_replaces_the_first),
		MOCK_TEST(errors_are_told_in_bytes_and_the_stream_goes_on),
		MOCK_TEST(an_error_of_the_system_is_its_number_in_bytes),
		MOCK_TEST(a_late_end_of_an_old_stream_does_not_turn_back_the_word),
		MOCK_TEST(without_words_the_call_itself_waits),
		MOCK_TEST(copies_of_the_driver_are_not_waited_for_by_the_stream),
		MOCK_TEST(the_engine_may_put_all_of_it_into_the_stream),
		MOCK_TEST(without_words_nothing_is_left_to_the_stream),
		MOCK_TEST(bad_stream_calls_are_refused),
		MOCK_TEST(close_with_a_stream_request_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
