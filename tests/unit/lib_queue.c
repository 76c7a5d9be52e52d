// SPDX-License-Identifier: MIT
/*
 * Queues, over the model of the module and over host memory: which requests are
 * taken, that each ends once, and by which route.  Built with AddressSanitizer
 * and once more with ThreadSanitizer.
 */
#include "lib_queue_fix.h"

#include <sys/wait.h>

#define THREADS		8U
#define EACH		400U

/* The engine's, unless it shall fail; and what happens right before. */
static int submit_error;
static void (*before_submit)(void);

int __real_engine_submit(struct engine_req *const *reqs, unsigned int nr);
int __wrap_engine_submit(struct engine_req *const *reqs, unsigned int nr);

int __wrap_engine_submit(struct engine_req *const *reqs, unsigned int nr)
{
	if (before_submit)
		before_submit();
	return submit_error ? submit_error : __real_engine_submit(reqs, nr);
}

/* ---------------------------------------------------------- what is taken */

static void null_and_numbers_out_of_range_are_refused(void **state)
{
	struct nvfs_queue *queue;
	struct nvfs_done done;
	struct nvfs_io io[DEPTH + 1] = { 0 };
	unsigned int bad;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	assert_int_equal(nvfs_queue_open(NULL, 1, &queue), -EINVAL);
	assert_int_equal(nvfs_queue_open(f.nvfs, 1, NULL), -EINVAL);
	assert_int_equal(nvfs_queue_open(f.nvfs, 0, &queue), -EINVAL);
	assert_int_equal(nvfs_queue_open(f.nvfs, NVFS_QUEUE_MAX_DEPTH + 1,
					 &queue), -EINVAL);
	assert_int_equal(nvfs_queue_submit(NULL, io, 1, &bad), -EINVAL);
	assert_int_equal(nvfs_queue_submit(f.queue, NULL, 1, &bad), -EINVAL);
	assert_int_equal(bad, 1);
	assert_int_equal(nvfs_queue_submit(f.queue, io, 0, NULL), -EINVAL);
	for (unsigned int i = 0; i < DEPTH + 1; i++)
		io[i] = block(&f, i, 0);
	/* There will never be so much room. */
	assert_int_equal(nvfs_queue_submit(f.queue, io, DEPTH + 1, &bad),
			 -EINVAL);
	assert_int_equal(bad, DEPTH + 1);
	assert_int_equal(nvfs_queue_wait(NULL, 0, &done, 1, 0), -EINVAL);
	assert_int_equal(nvfs_queue_wait(f.queue, 0, NULL, 1, 0), -EINVAL);
	assert_int_equal(nvfs_queue_wait(f.queue, 0, &done, 0, 0), -EINVAL);
	assert_int_equal(nvfs_queue_wait(f.queue, 2, &done, 1, 0), -EINVAL);
	assert_int_equal(nvfs_queue_wait(f.queue, 0, &done, 1, -2), -EINVAL);
	assert_int_equal(nvfs_queue_cancel(NULL, 0), -EINVAL);
	assert_int_equal(nvfs_queue_close(NULL), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, 0, &done, 1, 0), 0);
	close_fixture(&f);
}

/* What makes a request bad, and the error. */
struct wrong {
	int error;
	void (*spoil)(struct nvfs_io *io);
};

static struct nvfs_file *strange_file;

static void no_file(struct nvfs_io *io) { io->file = NULL; }
static void file_of_another(struct nvfs_io *io) { io->file = strange_file; }
static void no_op(struct nvfs_io *io) { io->op = 2; }
static void no_flag(struct nvfs_io *io) { io->flags = 2; }
static void set_pad(struct nvfs_io *io) { io->pad = 1; }
static void set_first(struct nvfs_io *io) { io->reserved[0] = 1; }
static void set_second(struct nvfs_io *io) { io->reserved[1] = 1; }
static void no_gpu(struct nvfs_io *io) { io->gpu = ENGINE_HOST; }
static void too_long(struct nvfs_io *io) { io->length = 1ULL << 63; }
static void past_all_files(struct nvfs_io *io) { io->file_offset = INT64_MAX; }
static void past_all_memory(struct nvfs_io *io) { io->addr = -4095ULL; }

static void the_bad_one_is_named_and_none_is_started(void **state)
{
	static const struct wrong wrong[] = {
		{ -EINVAL, no_file }, { -EINVAL, file_of_another },
		{ -EINVAL, no_op }, { -EINVAL, no_flag }, { -EINVAL, set_pad },
		{ -EINVAL, set_first }, { -EINVAL, set_second },
		{ -ENODEV, no_gpu }, { -EOVERFLOW, too_long },
		{ -EOVERFLOW, past_all_files }, { -EOVERFLOW, past_all_memory },
	};
	struct nvfs_done done;
	struct nvfs *other;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &other), 0);
	assert_int_equal(nvfs_file_open(other, f.fd, 0, &strange_file), 0);
	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct nvfs_io ios[3] = { block(&f, 0, 0), block(&f, 1, 0),
					  block(&f, 2, 0) };
		unsigned int bad = 77;

		wrong[i].spoil(&ios[i % 3]);
		assert_int_equal(nvfs_queue_submit(f.queue, ios, 3, &bad),
				 wrong[i].error);
		assert_int_equal(bad, i % 3);
	}
	assert_int_equal(nvfs_queue_wait(f.queue, 1, &done, 1, FOREVER), 0);
	assert_int_equal(model_requests, 0);
	assert_int_equal(nvfs_file_close(strange_file), 0);
	assert_int_equal(nvfs_close(other), 0);
	close_fixture(&f);
}

static void a_full_queue_takes_none_until_ends_were_told(void **state)
{
	struct nvfs_io ios[DEPTH];
	struct nvfs_done done[DEPTH];
	unsigned int bad = 0;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i] = block(&f, i, 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, DEPTH - 1, NULL), 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 2, &bad), -EBUSY);
	assert_int_equal(bad, 2);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 1, &bad), 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 1, &bad), -EBUSY);
	/* It does not help that they have ended. */
	assert_int_equal(nvfs_queue_wait(f.queue, 3, done, 3, FOREVER), 3);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 3, NULL), 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 1, &bad), -EBUSY);
	assert_int_equal(nvfs_queue_wait(f.queue, DEPTH, done, DEPTH, FOREVER),
			 DEPTH);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 1, FOREVER), 0);
	close_fixture(&f);
}

static void what_the_engine_does_not_take_leaves_no_trace(void **state)
{
	struct nvfs_io ios[DEPTH];
	struct nvfs_done done[DEPTH];
	struct nvfs_stats stats;
	unsigned int bad = 0;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i] = block(&f, i, 0);
	submit_error = -EAGAIN;
	assert_int_equal(nvfs_queue_submit(f.queue, ios, DEPTH, &bad), -EAGAIN);
	assert_int_equal(bad, DEPTH);
	submit_error = 0;
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 1, FOREVER), 0);
	assert_int_equal(nvfs_queue_cancel(f.queue, 0), 0);
	assert_int_equal(nvfs_file_close(f.file), 0);
	assert_int_equal(nvfs_file_open(f.nvfs, f.fd, 0, &f.file), 0);
	assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, 0);
	/* All places are free. */
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i] = block(&f, i, 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, DEPTH, NULL), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, DEPTH, done, DEPTH, FOREVER),
			 DEPTH);
	close_fixture(&f);
}

/* ------------------------------------------------ how they are carried out */

static void requests_go_direct_and_say_so(void **state)
{
	struct nvfs_io ios[DEPTH];
	struct nvfs_done done[DEPTH];
	struct nvfs_stats stats;
	struct fixture f;
	uint64_t seen = 0;

	(void)state;
	open_fixture(&f, true);
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i] = block(&f, i, 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, DEPTH, NULL), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, DEPTH, done, DEPTH, FOREVER),
			 DEPTH);
	for (unsigned int i = 0; i < DEPTH; i++) {
		assert_int_equal(done[i].error, 0);
		assert_int_equal(done[i].res.done, BLOCK);
		assert_int_equal(done[i].res.direct, BLOCK);
		assert_int_equal(done[i].res.bounce, 0);
		assert_int_equal(done[i].res.route, NVFS_ROUTE_DIRECT);
		assert_int_equal(done[i].res.reason, NVFS_REASON_NONE);
		seen |= 1ULL << done[i].user_data;
	}
	assert_true(seen == UINT64_MAX);
	assert_memory_equal(f.gpu, f.bytes, DEPTH * BLOCK);
	assert_int_equal(f.gpu[DEPTH * BLOCK], 0xaa);
	assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, DEPTH);
	assert_int_equal(stats.read.direct, DEPTH * BLOCK);
	assert_int_equal(stats.read.routes[NVFS_ROUTE_DIRECT], DEPTH);
	assert_int_equal(stats.nr_reasons, 0);
	close_fixture(&f);
}

static void writes_reach_the_file_by_either_route(void **state)
{
	unsigned char got[BLOCK];
	struct nvfs_stats stats;

	(void)state;
	for (int module = 0; module < 2; module++) {
		struct nvfs_done done;
		struct nvfs_io io;
		struct fixture f;

		open_fixture(&f, module);
		io = block(&f, 3, NVFS_IO_ALLOW_BOUNCE);
		io.op = NVFS_OP_WRITE;
		memset(f.gpu, 0x5c, FILE_BYTES);
		done = run_one(&f, io);
		assert_int_equal(done.error, 0);
		assert_int_equal(done.res.done, BLOCK);
		assert_int_equal(done.res.direct, module ? BLOCK : 0);
		assert_int_equal(pread(f.fd, got, BLOCK, 3 * BLOCK), BLOCK);
		assert_memory_equal(got, f.gpu, BLOCK);
		assert_int_equal(pread(f.fd, got, BLOCK, 4 * BLOCK), BLOCK);
		assert_memory_equal(got, f.bytes + 4 * BLOCK, BLOCK);
		assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
		assert_int_equal(stats.write.requests, 1);
		assert_int_equal(stats.write.bounce, module ? 0 : BLOCK);
		close_fixture(&f);
		mock_setup(state);
	}
}

static void without_the_module_it_is_allowed_or_an_error(void **state)
{
	struct nvfs_stats stats;
	struct nvfs_done done;
	struct fixture f;

	(void)state;
	open_fixture(&f, false);
	done = run_one(&f, block(&f, 1, 0));
	assert_int_equal(done.error, -EREMOTEIO);
	assert_int_equal(done.user_data, 1);
	assert_int_equal(done.res.done, 0);
	assert_int_equal(done.res.route, NVFS_ROUTE_NONE);
	assert_int_equal(done.res.reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(f.gpu[BLOCK], 0xaa);
	done = run_one(&f, block(&f, 1, NVFS_IO_ALLOW_BOUNCE));
	assert_int_equal(done.error, 0);
	assert_int_equal(done.res.bounce, BLOCK);
	assert_int_equal(done.res.direct, 0);
	assert_int_equal(done.res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(done.res.reason, NVFS_REASON_NO_MODULE);
	assert_memory_equal(f.gpu + BLOCK, f.bytes + BLOCK, BLOCK);
	assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, 2);
	assert_int_equal(stats.read.failed, 1);
	assert_int_equal(stats.read.bounce, BLOCK);
	assert_int_equal(stats.nr_reasons, 1);
	assert_int_equal(stats.reasons[0].reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(stats.reasons[0].requests, 2);
	close_fixture(&f);
}

static int refuse_memory(unsigned long request, void *arg)
{
	return request == NVFS_IOC_REGISTER ? model_fail(EDQUOT) :
					      model_call(request, arg);
}

/* Registered ahead, and by the request itself. */
static void memory_that_the_module_refuses_is_allowed_or_an_error(void **state)
{
	struct nvfs_done done;
	struct nvfs_mem *mem;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	mock_handler = refuse_memory;
	for (int ahead = 0; ahead < 2; ahead++) {
		if (ahead)
			assert_int_equal(nvfs_mem_register(f.nvfs, 0,
				(uintptr_t)f.gpu, FILE_BYTES,
				NVFS_MEM_ALLOW_BOUNCE, &mem), 0);
		done = run_one(&f, block(&f, 1, 0));
		assert_int_equal(done.error, -EREMOTEIO);
		assert_int_equal(done.res.reason, NVFS_REASON_NO_REGION);
		done = run_one(&f, block(&f, 1, NVFS_IO_ALLOW_BOUNCE));
		assert_int_equal(done.error, 0);
		assert_int_equal(done.res.route, NVFS_ROUTE_BOUNCE);
		assert_int_equal(done.res.reason, NVFS_REASON_NO_REGION);
	}
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	close_fixture(&f);
}

static void a_way_that_is_not_direct_is_allowed_or_an_error(void **state)
{
	struct nvfs_done done;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	done = run_one(&f, block(&f, 1, 0));
	assert_int_equal(done.error, -EREMOTEIO);
	assert_int_equal(done.res.done, 0);
	assert_int_equal(done.res.reason, NVFS_REASON_HOST_BRIDGE);
	assert_int_equal(f.gpu[BLOCK], 0xaa);
	done = run_one(&f, block(&f, 1, NVFS_IO_ALLOW_BOUNCE));
	assert_int_equal(done.error, 0);
	assert_int_equal(done.res.bounce, BLOCK);
	assert_int_equal(done.res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(done.res.reason, NVFS_REASON_HOST_BRIDGE);
	close_fixture(&f);
}

static void no_bytes_and_the_end_of_the_file_are_no_errors(void **state)
{
	struct nvfs_io io;
	struct nvfs_done done;

	(void)state;
	for (int module = 0; module < 2; module++) {
		uint32_t flags = module ? 0 : NVFS_IO_ALLOW_BOUNCE;
		struct fixture f;

		open_fixture(&f, module);
		io = block(&f, 0, 0);
		io.length = 0;
		done = run_one(&f, io);
		assert_int_equal(done.error, 0);
		assert_int_equal(done.res.done, 0);
		assert_int_equal(done.res.route, NVFS_ROUTE_NONE);
		io = block(&f, 0, flags);
		io.file_offset = FILE_BYTES - BLOCK;
		io.length = 2 * BLOCK;
		done = run_one(&f, io);
		assert_int_equal(done.error, 0);
		assert_int_equal(done.res.done, BLOCK);
		close_fixture(&f);
		mock_setup(state);
	}
}

static void errors_are_told_as_the_end_of_their_request(void **state)
{
	struct nvfs_file *file;
	struct nvfs_done done;
	struct nvfs_io io;
	struct fixture f;
	int fd;

	(void)state;
	open_fixture(&f, false);
	/* A file that is not open for writing. */
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(nvfs_file_open(f.nvfs, fd, 0, &file), 0);
	io = block(&f, 0, NVFS_IO_ALLOW_BOUNCE);
	io.file = file;
	io.op = NVFS_OP_WRITE;
	assert_int_equal(run_one(&f, io).error, -EBADF);
	assert_int_equal(nvfs_file_close(file), 0);
	close(fd);
	/* There are two GPUs. */
	io = block(&f, 0, NVFS_IO_ALLOW_BOUNCE);
	io.gpu = 999;
	done = run_one(&f, io);
	assert_int_equal(done.error, -ENODEV);
	assert_int_equal(done.res.done, 0);
	fast_bad_addr = (uintptr_t)f.gpu + BLOCK;
	assert_int_equal(run_one(&f, block(&f, 1, NVFS_IO_ALLOW_BOUNCE)).error,
			 -EFAULT);
	fast_bad_addr = 0;
	close_fixture(&f);
}

/* The number may mean another file by then. */
static void a_descriptor_that_was_closed_is_not_used(void **state)
{
	unsigned char got[BLOCK];
	struct nvfs_io io;
	struct fixture f;
	int other;

	(void)state;
	open_fixture(&f, true);
	close(f.fd);
	other = mock_file(FILE_BYTES);
	assert_int_equal(other, f.fd);
	io = block(&f, 1, 0);
	io.op = NVFS_OP_WRITE;
	memset(f.gpu, 0x5c, FILE_BYTES);
	assert_int_equal(run_one(&f, io).error, 0);
	assert_int_equal(pread(other, got, BLOCK, BLOCK), BLOCK);
	assert_memory_equal(got, f.bytes + BLOCK, BLOCK);
	close_fixture(&f);
}

/* ------------------------------------------------------- ends, and no ends */

static _Atomic bool held;

/* Reads of the upper half of the file wait. */
static int hold_reads(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)length;
	while (held && offset >= FILE_BYTES / 2)
		usleep(50);
	return 0;
}

static struct nvfs_io held_block(struct fixture *f, unsigned int i)
{
	struct nvfs_io io = block(f, i, NVFS_IO_ALLOW_BOUNCE);

	io.file_offset += FILE_BYTES / 2;
	return io;
}

static void hold(struct fixture *f)
{
	open_fixture(f, false);
	held = true;
	file_hook = hold_reads;
}

static uint64_t ms_since(struct timespec from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - from.tv_sec) * 1000 +
			  (now.tv_nsec - from.tv_nsec) / 1000000);
}

static void waiting_ends_in_time_or_with_the_last_request(void **state)
{
	struct nvfs_done done[4];
	struct timespec began;
	struct fixture f;

	(void)state;
	hold(&f);
	/* Nothing is under way. */
	assert_int_equal(nvfs_queue_wait(f.queue, 4, done, 4, FOREVER), 0);
	assert_int_equal(submit_one(&f, held_block(&f, 0)), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 4, 0), 0);
	clock_gettime(CLOCK_MONOTONIC, &began);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 4, 30000000), 0);
	assert_true(ms_since(began) >= 30);
	/* One that is not held up is not kept waiting. */
	assert_int_equal(submit_one(&f, block(&f, 7, NVFS_IO_ALLOW_BOUNCE)), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 4, INT64_MAX), 1);
	assert_int_equal(done[0].user_data, 7);
	held = false;
	/* More than there are. */
	assert_int_equal(nvfs_queue_wait(f.queue, 4, done, 4, FOREVER), 1);
	assert_int_equal(done[0].user_data, 0);
	close_fixture(&f);
}

static void a_file_with_requests_stays_open(void **state)
{
	struct fixture f;

	(void)state;
	hold(&f);
	assert_int_equal(submit_one(&f, held_block(&f, 0)), 0);
	assert_int_equal(nvfs_file_close(f.file), -EBUSY);
	assert_int_equal(nvfs_close(f.nvfs), -EBUSY);
	held = false;
	assert_int_equal(wait_one(&f).error, 0);
	assert_int_equal(nvfs_file_close(f.file), 0);
	assert_int_equal(nvfs_close(f.nvfs), -EBUSY);
	assert_int_equal(nvfs_file_open(f.nvfs, f.fd, 0, &f.file), 0);
	close_fixture(&f);
}

/* The module holds them. */
static void what_is_cancelled_ends_as_cancelled(void **state)
{
	struct nvfs_io ios[4];
	struct nvfs_done done[4];
	struct nvfs_mem *mem;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	/* So that they are in the module when submission returns. */
	assert_int_equal(nvfs_mem_register(f.nvfs, 0, (uintptr_t)f.gpu,
					   FILE_BYTES, 0, &mem), 0);
	model_hold = true;
	for (unsigned int i = 0; i < 4; i++) {
		ios[i] = block(&f, i, 0);
		ios[i].user_data = i % 2;
	}
	assert_int_equal(nvfs_queue_submit(f.queue, ios, 4, NULL), 0);
	assert_int_equal(nvfs_queue_cancel(f.queue, 77), 0);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 4, 0), 0);
	assert_int_equal(nvfs_queue_cancel(f.queue, 1), 2);
	assert_int_equal(nvfs_queue_wait(f.queue, 2, done, 4, FOREVER), 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(done[i].error, -ECANCELED);
		assert_int_equal(done[i].user_data, 1);
		assert_int_equal(done[i].res.done, 0);
	}
	assert_int_equal(nvfs_queue_wait(f.queue, 1, done, 4, 0), 0);
	model_let_go();
	assert_int_equal(nvfs_queue_wait(f.queue, 2, done, 4, FOREVER), 2);
	assert_int_equal(done[0].error, 0);
	assert_int_equal(done[1].error, 0);
	assert_int_equal(nvfs_queue_cancel(f.queue, 1), 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	close_fixture(&f);
}

static struct nvfs_queue *cancel_in;
static pthread_t canceller;

static void *cancel_all(void *unused)
{
	(void)unused;
	return (void *)(intptr_t)nvfs_queue_cancel(cancel_in, 0);
}

static void cancel_before_submit(void)
{
	before_submit = NULL;
	assert_int_equal(pthread_create(&canceller, NULL, cancel_all, NULL), 0);
	usleep(5000);
}

/* In the queue already, and not yet with the engine. */
static void who_cancels_early_cancels_all_the_same(void **state)
{
	struct nvfs_done done;
	struct nvfs_mem *mem;
	struct fixture f;
	void *nr;

	(void)state;
	open_fixture(&f, true);
	assert_int_equal(nvfs_mem_register(f.nvfs, 0, (uintptr_t)f.gpu,
					   FILE_BYTES, 0, &mem), 0);
	model_hold = true;
	cancel_in = f.queue;
	before_submit = cancel_before_submit;
	assert_int_equal(submit_one(&f, block(&f, 0, 0)), 0);
	pthread_join(canceller, &nr);
	assert_int_equal((intptr_t)nr, 1);
	assert_int_equal(nvfs_queue_wait(f.queue, 1, &done, 1, 1000000000), 1);
	assert_int_equal(done.error, -ECANCELED);
	model_let_go();
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	close_fixture(&f);
}

/* Those that no thread had begun; the others go on as if nobody had asked. */
static void what_bounces_is_cancelled_if_it_was_not_begun(void **state)
{
	struct nvfs_io ios[DEPTH];
	struct nvfs_done done[DEPTH];
	unsigned int cancelled = 0;
	struct fixture f;

	(void)state;
	hold(&f);
	for (unsigned int i = 0; i < DEPTH; i++) {
		ios[i] = held_block(&f, i);
		assert_int_equal(submit_one(&f, ios[i]), 0);
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		assert_int_equal(nvfs_queue_cancel(f.queue, i), 1);
	held = false;
	assert_int_equal(nvfs_queue_wait(f.queue, DEPTH, done, DEPTH, FOREVER),
			 DEPTH);
	for (unsigned int i = 0; i < DEPTH; i++) {
		const unsigned char *at = f.gpu + done[i].user_data * BLOCK;

		if (!done[i].error) {
			assert_int_equal(done[i].res.done, BLOCK);
			continue;
		}
		assert_int_equal(done[i].error, -ECANCELED);
		assert_int_equal(done[i].res.done, 0);
		assert_int_equal(done[i].res.route, NVFS_ROUTE_NONE);
		assert_int_equal(*at, 0xaa);
		cancelled++;
	}
	assert_true(cancelled > 0);
	close_fixture(&f);
}

static void closing_cancels_what_is_under_way(void **state)
{
	struct nvfs_io ios[DEPTH];
	struct nvfs_stats stats;
	struct nvfs_mem *mem;
	struct fixture f;

	(void)state;
	open_fixture(&f, true);
	assert_int_equal(nvfs_mem_register(f.nvfs, 0, (uintptr_t)f.gpu,
					   FILE_BYTES, 0, &mem), 0);
	model_hold = true;
	for (unsigned int i = 0; i < DEPTH; i++)
		ios[i] = block(&f, i, 0);
	assert_int_equal(nvfs_queue_submit(f.queue, ios, DEPTH, NULL), 0);
	assert_int_equal(nvfs_queue_close(f.queue), 0);
	assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
	assert_int_equal(stats.read.failed, DEPTH);
	model_let_go();
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_queue_open(f.nvfs, 1, &f.queue), 0);
	close_fixture(&f);
}

static void *let_go_later(void *unused)
{
	(void)unused;
	usleep(20000);
	held = false;
	return NULL;
}

/* What a thread is at can't be cancelled, and is waited for. */
static void closing_waits_for_what_can_not_be_cancelled(void **state)
{
	struct nvfs_stats stats;
	pthread_t thread;
	struct fixture f;

	(void)state;
	hold(&f);
	file_calls = 0;
	assert_int_equal(submit_one(&f, held_block(&f, 0)), 0);
	while (!file_calls)
		usleep(50);
	assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
	assert_int_equal(nvfs_queue_close(f.queue), 0);
	assert_false(held);
	pthread_join(thread, NULL);
	assert_int_equal(nvfs_stats(f.nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, 1);
	assert_int_equal(stats.read.failed, 0);
	assert_int_equal(nvfs_queue_open(f.nvfs, 1, &f.queue), 0);
	close_fixture(&f);
}

static int calls_in_child(struct fixture *f)
{
	struct nvfs_io io = block(f, 0, 0);
	struct nvfs_queue *queue;
	struct nvfs_done done;
	int right = 0;

	right += nvfs_queue_open(f->nvfs, 1, &queue) == -ECHILD;
	right += nvfs_queue_submit(f->queue, &io, 1, NULL) == -ECHILD;
	right += nvfs_queue_wait(f->queue, 0, &done, 1, 0) == -ECHILD;
	right += nvfs_queue_cancel(f->queue, 0) == -ECHILD;
	right += nvfs_queue_close(f->queue) == -ECHILD;
	return right;
}

static void a_forked_child_is_told_so(void **state)
{
	struct fixture f;
	int status;
	pid_t child;

	(void)state;
	hold(&f);
	assert_int_equal(submit_one(&f, held_block(&f, 0)), 0);
	child = fork();
	if (!child)
		_exit(calls_in_child(&f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 5);
	held = false;
	assert_int_equal(wait_one(&f).error, 0);
	close_fixture(&f);
}

/* ---------------------------------------------------------------- threads */

static struct fixture shared;
static _Atomic unsigned int told[THREADS * EACH], nr_told, nr_odd;

/* Each has memory of its own: two in one place would be a race of ours. */
static struct nvfs_io numbered(unsigned int nr)
{
	struct nvfs_io io = block(&shared, nr, NVFS_IO_ALLOW_BOUNCE);

	io.file_offset = nr * BLOCK % FILE_BYTES;
	return io;
}

static void *submit_many(void *arg)
{
	unsigned int first = (unsigned int)(uintptr_t)arg * EACH;

	for (unsigned int i = 0; i < EACH;) {
		unsigned int nr = 1 + i % 5 < EACH - i ? 1 + i % 5 : EACH - i;
		struct nvfs_io ios[5];

		for (unsigned int n = 0; n < nr; n++)
			ios[n] = numbered(first + i + n);
		if (nvfs_queue_submit(shared.queue, ios, nr, NULL))
			sched_yield();
		else
			i += nr;
		if (i % 64 == 0)
			nvfs_queue_cancel(shared.queue, first + i / 2);
	}
	return NULL;
}

/* An end that is as it shall be, the memory with it. */
static bool ended_well(const struct nvfs_done *done)
{
	uint64_t at = done->user_data * BLOCK;

	if (done->error)
		return done->error == -ECANCELED;
	return done->res.done == BLOCK &&
	       !memcmp(shared.gpu + at, shared.bytes + at % FILE_BYTES, BLOCK);
}

static void *reap_many(void *unused)
{
	struct nvfs_done done[16];

	(void)unused;
	while (nr_told < THREADS * EACH) {
		int nr = nvfs_queue_wait(shared.queue, 4, done, 16, 2000000);

		for (int i = 0; i < nr; i++) {
			atomic_fetch_add(&told[done[i].user_data], 1);
			if (!ended_well(&done[i]))
				atomic_fetch_add(&nr_odd, 1);
			atomic_fetch_add(&nr_told, 1);
		}
	}
	return NULL;
}

/* Eight that submit and cancel, three that wait, one queue, too small. */
static void every_end_is_told_once(bool module)
{
	pthread_t threads[THREADS], reapers[3];
	struct nvfs_stats stats;

	open_with_memory(&shared, module, THREADS * EACH * BLOCK);
	nr_told = 0;
	nr_odd = 0;
	for (unsigned int i = 0; i < THREADS * EACH; i++)
		told[i] = 0;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&reapers[i], NULL, reap_many,
						NULL), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, submit_many,
						(void *)(uintptr_t)i), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(reapers[i], NULL);
	assert_int_equal(nr_odd, 0);
	for (unsigned int i = 0; i < THREADS * EACH; i++)
		assert_int_equal(told[i], 1);
	assert_int_equal(nvfs_stats(shared.nvfs, &stats), 0);
	assert_int_equal(stats.read.requests, THREADS * EACH);
	close_fixture(&shared);
}

static void threads_are_told_of_every_end_once_direct(void **state)
{
	(void)state;
	every_end_is_told_once(true);
}

static void threads_are_told_of_every_end_once_bounced(void **state)
{
	(void)state;
	every_end_is_told_once(false);
}

static void *wait_for_two(void *unused)
{
	struct nvfs_done done[2];
	int nr = nvfs_queue_wait(shared.queue, 2, done, 2, FOREVER);

	(void)unused;
	return (void *)(intptr_t)nr;
}

/* Neither waits for ends that the other one was told of. */
static void two_that_wait_share_the_ends(void **state)
{
	struct nvfs_io ios[3];
	pthread_t a, b;
	void *nr_a, *nr_b;

	(void)state;
	hold(&shared);
	for (unsigned int i = 0; i < 3; i++)
		ios[i] = held_block(&shared, i);
	assert_int_equal(nvfs_queue_submit(shared.queue, ios, 3, NULL), 0);
	assert_int_equal(pthread_create(&a, NULL, wait_for_two, NULL), 0);
	assert_int_equal(pthread_create(&b, NULL, wait_for_two, NULL), 0);
	usleep(5000);
	held = false;
	pthread_join(a, &nr_a);
	pthread_join(b, &nr_b);
	assert_int_equal((intptr_t)nr_a + (intptr_t)nr_b, 3);
	close_fixture(&shared);
}

static void *submit_later(void *unused)
{
	(void)unused;
	usleep(10000);
	submit_one(&shared, block(&shared, 7, NVFS_IO_ALLOW_BOUNCE));
	return NULL;
}

static void who_wants_less_is_told_before_who_wants_more(void **state)
{
	pthread_t waiter, submitter;
	void *nr;

	(void)state;
	hold(&shared);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(submit_one(&shared, held_block(&shared, i)),
				 0);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_two, NULL), 0);
	usleep(5000);
	assert_int_equal(pthread_create(&submitter, NULL, submit_later, NULL),
			 0);
	assert_int_equal(wait_one(&shared).user_data, 7);
	held = false;
	pthread_join(submitter, NULL);
	pthread_join(waiter, &nr);
	assert_int_equal((intptr_t)nr, 2);
	close_fixture(&shared);
}

/* A hang is a failure, too. */
#define LIMIT_S		100

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(null_and_numbers_out_of_range_are_refused),
		mock_test(the_bad_one_is_named_and_none_is_started),
		mock_test(a_full_queue_takes_none_until_ends_were_told),
		mock_test(what_the_engine_does_not_take_leaves_no_trace),
		mock_test(requests_go_direct_and_say_so),
		mock_test(writes_reach_the_file_by_either_route),
		mock_test(without_the_module_it_is_allowed_or_an_error),
		mock_test(memory_that_the_module_refuses_is_allowed_or_an_error),
		mock_test(a_way_that_is_not_direct_is_allowed_or_an_error),
		mock_test(no_bytes_and_the_end_of_the_file_are_no_errors),
		mock_test(errors_are_told_as_the_end_of_their_request),
		mock_test(a_descriptor_that_was_closed_is_not_used),
		mock_test(waiting_ends_in_time_or_with_the_last_request),
		mock_test(a_file_with_requests_stays_open),
		mock_test(what_is_cancelled_ends_as_cancelled),
		mock_test(who_cancels_early_cancels_all_the_same),
		mock_test(what_bounces_is_cancelled_if_it_was_not_begun),
		mock_test(closing_cancels_what_is_under_way),
		mock_test(closing_waits_for_what_can_not_be_cancelled),
		mock_test(a_forked_child_is_told_so),
		mock_test(threads_are_told_of_every_end_once_direct),
		mock_test(threads_are_told_of_every_end_once_bounced),
		mock_test(two_that_wait_share_the_ends),
		mock_test(who_wants_less_is_told_before_who_wants_more),
	};

	alarm(LIMIT_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
