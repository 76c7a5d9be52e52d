// SPDX-License-Identifier: MIT
/* Requests that are bound to a region before they are submitted. */
#include "lib_engine_fix.h"

#include <sched.h>
#include <time.h>

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	assert_false(req->priv.bound);
	atomic_fetch_add(&ended, 1);
}

static void open_module(struct fixture *f)
{
	mock_model();
	small_pool(256 * KIB, 2 * MIB, 2);
	open_rest(f);
	fast_mem = (struct gpu_mem){
		.kind = GPU_MEM_DEVICE,
		.base = (uintptr_t)f->gpu,
		.length = f->room,
		.id = 1,
	};
	ended = 0;
}

/* Bound to all of the memory. */
static struct engine_req bound(struct fixture *f)
{
	struct engine_req req = request(f, 4096, 8192, 4096, false);
	uint64_t first = 0, end = 0;

	req.complete = count_end;
	assert_int_equal(engine_bind(&req, &first, &end), 0);
	assert_int_equal(first, (uintptr_t)f->gpu);
	assert_int_equal(end, (uintptr_t)f->gpu + f->room);
	return req;
}

static void submit(struct engine_req *req)
{
	unsigned int before = ended;

	assert_int_equal(engine_submit(&req, 1), 0);
	while (ended == before)
		sched_yield();
}

static void it_names_its_bytes_when_it_is_submitted(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	req = bound(&f);
	req.addr = (uintptr_t)f.gpu + f.room - 8192;
	req.length = 8192;
	req.file_offset = 512;
	submit(&req);
	assert_int_equal(req.error, 0);
	assert_int_equal(req.done, 8192);
	assert_int_equal(req.direct, 8192);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	assert_memory_equal(f.gpu + f.room - 8192, f.bytes + 512, 8192);
	close_fixture(&f);
}

static void outside_of_its_region_is_efault(void **state)
{
	static const struct { int64_t at; uint64_t length; } bad[] = {
		{ -1, 4096 }, { 4 * MIB - 4095, 4096 }, { 4 * MIB + 1, 0 },
		{ 0, 4 * MIB + 1 }, { 4096, UINT64_MAX - 100 },
	};
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		req = bound(&f);
		req.addr = (uintptr_t)f.gpu + (uint64_t)bad[i].at;
		req.length = bad[i].length;
		submit(&req);
		assert_int_equal(req.error, -EFAULT);
		assert_int_equal(req.done, 0);
	}
	assert_int_equal(model_requests, 0);
	close_fixture(&f);
}

/* What is only then found not to go direct: each has its own host memory. */
static void bound_and_other_requests_share_a_submission(void **state)
{
	struct engine_req reqs[4], *all[4];
	struct fixture f;

	(void)state;
	open_module(&f);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	for (unsigned int i = 0; i < 4; i++) {
		reqs[i] = i % 2 ? bound(&f) : request(&f, 0, 0, 4096, false);
		reqs[i].addr = (uintptr_t)f.gpu + i * 4096;
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
	model_reason = NVFS_REASON_HOST_BRIDGE;
	assert_int_equal(engine_submit(all, 4), 0);
	while (ended < 4)
		sched_yield();
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].reason, NVFS_REASON_HOST_BRIDGE);
		assert_memory_equal(f.gpu + i * 4096,
				    f.bytes + reqs[i].file_offset, 4096);
	}
	/* The model moved these. */
	assert_int_equal(model_requests, 2);
	assert_int_equal(reqs[0].route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(reqs[1].route, NVFS_ROUTE_MIXED);
	close_fixture(&f);
}

static void strict_requests_stay_strict(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	for (unsigned int i = 0; i < 2; i++) {
		model_no_batch = !i;
		req = bound(&f);
		req.no_bounce = true;
		model_reason = NVFS_REASON_HOST_BRIDGE;
		submit(&req);
		assert_int_equal(req.error, -EREMOTEIO);
		assert_int_equal(req.reason, NVFS_REASON_HOST_BRIDGE);
		assert_int_equal(req.done, 0);
		model_reason = 0;
	}
	close_fixture(&f);
}

static int refuse_region(unsigned long nr, void *arg)
{
	return nr == NVFS_IOC_REGISTER ? model_fail(EDQUOT) :
					 model_call(nr, arg);
}

static int stale_region(unsigned long nr, void *arg)
{
	return nr == NVFS_IOC_QUERY ? model_fail(ESTALE) : model_call(nr, arg);
}

/* Not bound, and @reason. */
static void stays_free(struct engine_req req, uint32_t reason)
{
	uint64_t first = 1, end = 2;

	assert_int_equal(engine_bind(&req, &first, &end), -EAGAIN);
	assert_int_equal(req.reason, reason);
	assert_int_equal(first, 1);
	assert_int_equal(end, 2);
	/* And is none that must be. */
	engine_unbind(&req);
}

static void what_would_need_the_driver_is_not_bound(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	req = request(&f, 0, 0, 4096, false);
	model_reason = NVFS_REASON_NO_DIO;
	stays_free(req, NVFS_REASON_NO_DIO);
	model_reason = 0;
	mock_handler = stale_region;
	stays_free(req, NVFS_REASON_NO_REGION);
	assert_int_equal(model_regions[0].region, 0);
	mock_handler = refuse_region;
	stays_free(req, NVFS_REASON_NO_REGION);
	fast_mem.length = 0;
	mock_handler = model_call;
	stays_free(request(&f, 0, f.room, 4096, false), NVFS_REASON_NO_REGION);
	f.file.flags |= O_APPEND;
	stays_free(request(&f, 0, 0, 4096, true), 0);
	close_fixture(&f);
	open_fixture(&f);
	stays_free(request(&f, 0, 0, 4096, false), NVFS_REASON_NO_MODULE);
	close_fixture(&f);
}

static _Atomic int query_error;
/* So many queries have it. */
static _Atomic unsigned int query_errors;

static int failing_query(unsigned long nr, void *arg)
{
	if (nr != NVFS_IOC_QUERY || !query_errors)
		return model_call(nr, arg);
	query_errors--;
	return model_fail(query_error);
}

static void strict_requests_hear_what_the_module_says(void **state)
{
	static const int errors[] = { EBADF, EISDIR, ESPIPE, EINVAL, ESTALE };
	uint64_t first = 1, end = 2;
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	mock_handler = failing_query;
	for (unsigned int i = 0; i < 5; i++) {
		query_error = errors[i];
		query_errors = UINT32_MAX;
		req = request(&f, 0, 0, 4096, false);
		req.no_bounce = true;
		assert_int_equal(engine_bind(&req, &first, &end), -errors[i]);
		assert_int_equal(first, 1);
		assert_int_equal(end, 2);
		/* Others may go another way. */
		stays_free(request(&f, 0, 0, 4096, false),
			   errors[i] == ESTALE ? NVFS_REASON_NO_REGION : 0);
	}
	close_fixture(&f);
}

static void memory_in_place_of_freed_memory_is_bound(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_module(&f);
	mock_handler = failing_query;
	query_error = ESTALE;
	query_errors = 0;
	req = bound(&f);
	engine_unbind(&req);
	query_errors = 1;
	req = bound(&f);
	assert_int_equal(query_errors, 0);
	submit(&req);
	assert_int_equal(req.error, 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	close_fixture(&f);
}

static void host_memory_needs_neither(void **state)
{
	struct engine_req req;
	uint64_t first = 1, end = 2;
	struct fixture f;

	(void)state;
	open_module(&f);
	req = request(&f, 0, 0, 4096, false);
	req.gpu = ENGINE_HOST;
	req.complete = count_end;
	assert_int_equal(engine_bind(&req, &first, &end), 0);
	assert_int_equal(first, 1);
	assert_int_equal(end, 2);
	submit(&req);
	assert_int_equal(req.error, 0);
	assert_memory_equal(f.gpu, f.bytes, 4096);
	close_fixture(&f);
}

/* Who takes its memory away does not wait for it any more. */
static void cancelled_or_unbound_requests_leave_their_region(void **state)
{
	struct engine_req req, *one = &req;
	struct fixture f;

	(void)state;
	open_module(&f);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	req = bound(&f);
	engine_unbind(&req);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	req = bound(&f);
	model_hold = true;
	assert_int_equal(engine_submit(&one, 1), 0);
	assert_int_equal(engine_cancel(&req), -EALREADY);
	while (!ended)
		sched_yield();
	assert_int_equal(req.error, -ECANCELED);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	close_fixture(&f);
}

static _Atomic uint64_t context;

static uint64_t context_of(unsigned int index)
{
	assert_int_equal(index, 0);
	return context;
}

static struct gpu_copies numbered_copies;
static struct gpu_driver numbered_gpu;

/* The driver has numbers for contexts, and all of the memory is added. */
static void open_numbered(struct fixture *f)
{
	open_module(f);
	numbered_copies = fast_table;
	numbered_copies.context = context_of;
	numbered_gpu = fast_gpu;
	numbered_gpu.copies = &numbered_copies;
	gpu_set_driver(&numbered_gpu);
	context = 1;
	assert_int_equal(engine_mem_add(0, (uintptr_t)f->gpu, f->room), 0);
}

static void count_given_up(struct engine_req *req)
{
	assert_true(engine_gave_up(req));
	count_end(req);
}

static struct engine_req awaited(struct fixture *f)
{
	struct engine_req req = bound(f);

	req.complete = count_given_up;
	return req;
}

static void reset_of_the_gpu_ends_what_its_streams_had_to_begin(void **state)
{
	static struct engine_req reqs[3];
	struct fixture f;

	(void)state;
	open_numbered(&f);
	for (unsigned int i = 0; i < 3; i++) {
		reqs[i] = awaited(&f);
		engine_await(&reqs[i]);
	}
	engine_look_after();
	assert_int_equal(ended, 0);
	/* This one began before. */
	assert_true(engine_begin(&reqs[1]));
	/* Now there is no context, and then a new one. */
	context = 0;
	engine_look_after();
	assert_int_equal(ended, 2);
	context = 2;
	engine_look_after();
	assert_int_equal(ended, 2);
	for (unsigned int i = 0; i < 3; i += 2) {
		assert_int_equal(reqs[i].error, -EIO);
		assert_int_equal(reqs[i].done, 0);
		/* A late call. */
		assert_false(engine_begin(&reqs[i]));
	}
	reqs[1].complete = count_end;
	submit(&reqs[1]);
	assert_int_equal(reqs[1].error, 0);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	close_fixture(&f);
}

static void requests_of_the_new_context_stay(void **state)
{
	static struct engine_req reqs[2];
	struct fixture f;

	(void)state;
	open_numbered(&f);
	for (unsigned int i = 0; i < 2; i++) {
		reqs[i] = awaited(&f);
		engine_await(&reqs[i]);
		context = 2;
	}
	engine_look_after();
	assert_int_equal(ended, 1);
	assert_int_equal(reqs[0].error, -EIO);
	assert_true(engine_begin(&reqs[1]));
	engine_unbind(&reqs[1]);
	close_fixture(&f);
}

/* Of what has no number nothing is known. */
static void without_numbers_nothing_is_given_up(void **state)
{
	static struct engine_req req;
	struct fixture f;

	(void)state;
	open_numbered(&f);
	context = 0;
	req = awaited(&f);
	engine_await(&req);
	context = 1;
	engine_look_after();
	assert_int_equal(ended, 0);
	assert_true(engine_begin(&req));
	engine_unbind(&req);
	close_fixture(&f);
}

static void *take_away(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(engine_mem_del((uintptr_t)f->gpu), 0);
	return NULL;
}

static void who_takes_memory_away_sees_that_its_gpu_was_reset(void **state)
{
	const struct timespec nap = { .tv_nsec = 70000000 };
	static struct engine_req req;
	pthread_t thread;
	struct fixture f;

	(void)state;
	open_numbered(&f);
	req = awaited(&f);
	engine_await(&req);
	assert_int_equal(pthread_create(&thread, NULL, take_away, &f), 0);
	nanosleep(&nap, NULL);
	assert_int_equal(ended, 0);
	context = 2;
	pthread_join(thread, NULL);
	assert_int_equal(ended, 1);
	assert_int_equal(req.error, -EIO);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(it_names_its_bytes_when_it_is_submitted),
		mock_test(outside_of_its_region_is_efault),
		mock_test(bound_and_other_requests_share_a_submission),
		mock_test(strict_requests_stay_strict),
		mock_test(what_would_need_the_driver_is_not_bound),
		mock_test(strict_requests_hear_what_the_module_says),
		mock_test(memory_in_place_of_freed_memory_is_bound),
		mock_test(host_memory_needs_neither),
		mock_test(reset_of_the_gpu_ends_what_its_streams_had_to_begin),
		mock_test(requests_of_the_new_context_stay),
		mock_test(without_numbers_nothing_is_given_up),
		mock_test(who_takes_memory_away_sees_that_its_gpu_was_reset),
		mock_test(cancelled_or_unbound_requests_leave_their_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
