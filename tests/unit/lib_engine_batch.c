// SPDX-License-Identifier: MIT
/* Submitted requests that the module does by itself, in its batch. */
#include "lib_engine_fix.h"

#include <sched.h>

#define MANY	128U
/* More than the engine has in the module at a time. */
#define ROOM	4096U
#define TOO_MANY	(ROOM + 900)

static struct engine_req reqs[TOO_MANY], *all[TOO_MANY];
static _Atomic unsigned int ended, cancelled;

static void count_end(struct engine_req *req)
{
	if (req->error == -ECANCELED)
		atomic_fetch_add(&cancelled, 1);
	atomic_fetch_add(&ended, 1);
}

/* The module is there, and all of the GPU's memory is one allocation. */
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
}

static void open_added(struct fixture *f)
{
	open_module(f);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f->gpu, f->room), 0);
	memset(f->gpu, 0xaa, f->room);
}

/* Every 8 KiB in memory 4 KiB of the file, back to front. */
static void prepare(struct fixture *f, unsigned int nr)
{
	ended = 0;
	cancelled = 0;
	for (unsigned int i = 0; i < nr; i++) {
		reqs[i] = request(f, (nr - 1 - i) % 500 * 4096,
				  i % 500 * 8192, 4096, false);
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
}

static void wait_for_ends(unsigned int nr)
{
	while (atomic_load(&ended) < nr)
		sched_yield();
}

static void assert_arrived(struct fixture *f, const struct engine_req *req,
			   uint32_t route, uint32_t reason)
{
	assert_int_equal(req->error, 0);
	assert_int_equal(req->done, req->length);
	assert_int_equal(req->route, route);
	assert_int_equal(req->reason, reason);
	if (route == NVFS_ROUTE_DIRECT)
		assert_int_equal(req->direct, req->length);
	assert_memory_equal((void *)(uintptr_t)req->addr,
			    f->bytes + req->file_offset, req->length);
}

static void one_call_for_all_in_added_memory(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, MANY);
	assert_int_equal(engine_submit(all, MANY), 0);
	wait_for_ends(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT, 0);
	assert_int_equal(model_submits, 1);
	close_fixture(&f);
}

static void one_call_for_all_in_unknown_memory(void **state)
{
	struct fixture f;

	(void)state;
	open_module(&f);
	prepare(&f, MANY);
	assert_int_equal(engine_submit(all, MANY), 0);
	wait_for_ends(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT, 0);
	assert_int_equal(model_submits, 1);
	close_fixture(&f);
}

static void writes_and_reads_of_other_memory_share_a_submission(void **state)
{
	struct engine_req back;
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, 4);
	reqs[0].write = true;
	reqs[1].gpu = ENGINE_HOST;
	reqs[2].length = 0;
	/* This GPU's memory nobody knows. */
	reqs[3].gpu = 1;
	assert_int_equal(engine_submit(all, 4), 0);
	wait_for_ends(4);
	assert_int_equal(reqs[0].route, NVFS_ROUTE_DIRECT);
	back = reqs[0];
	back.write = false;
	assert_int_equal(engine_run(&back), 0);
	for (unsigned int i = 0; i < 4096; i++)
		assert_int_equal(f.gpu[i], 0xaa);
	assert_arrived(&f, &reqs[1], NVFS_ROUTE_BOUNCE, 0);
	assert_int_equal(reqs[2].done, 0);
	assert_arrived(&f, &reqs[3], NVFS_ROUTE_BOUNCE, NVFS_REASON_NO_REGION);
	close_fixture(&f);
}

/* The ends of unaligned requests are the module's; nobody else pays for them. */
static void unaligned_requests_keep_to_the_batch(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, MANY);
	for (unsigned int i = 0; i < MANY; i += 3) {
		reqs[i].file_offset += 5;
		reqs[i].length -= 100;
	}
	assert_int_equal(engine_submit(all, MANY), 0);
	wait_for_ends(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_arrived(&f, &reqs[i], i % 3 ? NVFS_ROUTE_DIRECT :
						     NVFS_ROUTE_MIXED,
			       i % 3 ? 0 : NVFS_REASON_ALIGN);
	assert_int_equal(model_submits, 2);
	close_fixture(&f);
}

/* A drive with large blocks: even what looks aligned is not. */
static void large_blocks_are_found_out_once(void **state)
{
	struct fixture f;

	(void)state;
	model_align = 65536;
	open_added(&f);
	prepare(&f, MANY);
	model_align = 65536;
	for (unsigned int i = 0; i < MANY; i++)
		reqs[i].file_offset = i * 4096 + 4096;
	assert_int_equal(engine_submit(all, MANY), 0);
	wait_for_ends(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_arrived(&f, &reqs[i], NVFS_ROUTE_MIXED,
			       NVFS_REASON_ALIGN);
	assert_int_equal(model_submits, 2);
	close_fixture(&f);
}

static void unreachable_file_is_read_together_and_says_why(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, MANY);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	reqs[7].no_bounce = true;
	fast_starts = 0;
	assert_int_equal(engine_submit(all, MANY), 0);
	wait_for_ends(MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		if (i == 7)
			continue;
		assert_arrived(&f, &reqs[i], NVFS_ROUTE_BOUNCE,
			       NVFS_REASON_HOST_BRIDGE);
		assert_int_equal(reqs[i].direct, 0);
	}
	assert_int_equal(reqs[7].error, -EREMOTEIO);
	assert_int_equal(reqs[7].reason, NVFS_REASON_HOST_BRIDGE);
	assert_int_equal(reqs[7].done, 0);
	assert_int_equal(model_submits, 1);
	/* In groups, not one by one. */
	assert_in_range(fast_starts, 1, MANY / 4);
	close_fixture(&f);
}

static void wrong_request_ends_alone(void **state)
{
	static const struct {
		int error;
		bool early, host;
	} table[] = {
		{ EBADF, true, false }, { EPERM, true, true },
		{ ENOMEM, true, true }, { EIO, false, false },
		{ ENODEV, false, true }, { EINTR, false, false },
	};
	struct fixture f;

	(void)state;
	open_added(&f);
	for (unsigned int t = 0; t < 6; t++) {
		prepare(&f, MANY);
		model_bad_offset = reqs[33].file_offset;
		model_bad_errno = table[t].error;
		model_bad_early = table[t].early;
		assert_int_equal(engine_submit(all, MANY), 0);
		wait_for_ends(MANY);
		for (unsigned int i = 0; i < MANY; i++) {
			if (i != 33)
				assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT,
					       0);
		}
		if (table[t].host)
			assert_arrived(&f, &reqs[33], NVFS_ROUTE_BOUNCE, 0);
		else if (table[t].error != EINTR)
			assert_int_equal(reqs[33].error, -table[t].error);
		else	/* asked for once more */
			assert_arrived(&f, &reqs[33], NVFS_ROUTE_DIRECT, 0);
	}
	close_fixture(&f);
}

/* Memory that was freed while the request was in the module. */
static void freed_memory_goes_on_through_host_memory(void **state)
{
	struct fixture f;

	(void)state;
	open_module(&f);
	prepare(&f, 1);
	model_bad_offset = reqs[0].file_offset;
	model_bad_errno = ESTALE;
	assert_int_equal(engine_submit(all, 1), 0);
	wait_for_ends(1);
	assert_arrived(&f, &reqs[0], NVFS_ROUTE_BOUNCE, 0);
	for (unsigned int i = 0; i < MODEL_REGIONS; i++)
		assert_int_equal(model_regions[i].region, 0);
	close_fixture(&f);
}

static void end_of_the_file_is_no_error(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, 2);
	reqs[0].file_offset = FILE_BYTES / 4096 * 4096;
	reqs[1].file_offset = 64 * MIB;
	assert_int_equal(engine_submit(all, 2), 0);
	wait_for_ends(2);
	assert_int_equal(reqs[0].error, 0);
	assert_int_equal(reqs[0].done, FILE_BYTES % 4096);
	assert_int_equal(reqs[1].error, 0);
	assert_int_equal(reqs[1].done, 0);
	assert_int_equal(reqs[1].route, NVFS_ROUTE_NONE);
	close_fixture(&f);
}

static void full_batch_makes_nobody_wait(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, TOO_MANY);
	model_hold = true;
	for (unsigned int i = 0; i < TOO_MANY; i += 100)
		assert_int_equal(engine_submit(&all[i], TOO_MANY - i < 100 ?
					       TOO_MANY - i : 100), 0);
	assert_int_equal(ended, 0);
	/* What found no room can be taken back, the rest the module is told of. */
	assert_int_equal(engine_cancel(&reqs[TOO_MANY - 1]), 0);
	assert_int_equal(engine_cancel(&reqs[0]), -EALREADY);
	model_let_go();
	wait_for_ends(TOO_MANY);
	for (unsigned int i = 1; i < TOO_MANY - 1; i++)
		assert_int_equal(reqs[i].route, NVFS_ROUTE_DIRECT);
	assert_int_equal(reqs[0].error, -ECANCELED);
	assert_int_equal(reqs[TOO_MANY - 1].error, -ECANCELED);
	assert_int_equal(cancelled, 2);
	close_fixture(&f);
}

static void cancel_ends_those_that_the_module_has(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, 20);
	model_hold = true;
	assert_int_equal(engine_submit(all, 20), 0);
	for (unsigned int i = 5; i < 10; i++)
		assert_int_equal(engine_cancel(&reqs[i]), -EALREADY);
	/* These end while the others are held. */
	wait_for_ends(5);
	assert_int_equal(cancelled, 5);
	model_let_go();
	wait_for_ends(20);
	for (unsigned int i = 0; i < 20; i++) {
		bool given_up = i >= 5 && i < 10;

		assert_int_equal(reqs[i].error, given_up ? -ECANCELED : 0);
		assert_int_equal(reqs[i].done, given_up ? 0 : 4096);
	}
	close_fixture(&f);
}

/* Somebody else has filled the batch, or there is none: one call for each. */
static void without_a_batch_each_goes_alone(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		model_no_batch = t;
		model_depth = 10;
		open_added(&f);
		prepare(&f, MANY);
		assert_int_equal(engine_submit(all, MANY), 0);
		wait_for_ends(MANY);
		for (unsigned int i = 0; i < MANY; i++)
			assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT, 0);
		close_fixture(&f);
	}
}

static void again(struct engine_req *req)
{
	struct engine_req *one[] = { req };

	if (atomic_fetch_add(&ended, 1) < 99)
		assert_int_equal(engine_submit(one, 1), 0);
}

static void end_may_submit_again(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, 1);
	reqs[0].complete = again;
	assert_int_equal(engine_submit(all, 1), 0);
	wait_for_ends(100);
	assert_int_equal(model_requests, 100);
	close_fixture(&f);
}

static void *let_go(void *arg)
{
	(void)arg;
	for (unsigned int i = 0; i < 1000; i++)
		sched_yield();
	model_let_go();
	return NULL;
}

static void close_waits_for_the_module(void **state)
{
	pthread_t thread;
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, MANY);
	model_hold = true;
	assert_int_equal(engine_submit(all, MANY), 0);
	assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
	engine_put();
	assert_int_equal(ended, MANY);
	pthread_join(thread, NULL);
	assert_int_equal(engine_get(), 0);
	close_fixture(&f);
}

/* Whose requests those were, nobody will say; others go another way. */
static void module_that_can_not_be_asked_ends_all(void **state)
{
	static const int errors[] = { EBADF, EPERM };
	unsigned int direct;
	struct fixture f;

	(void)state;
	for (unsigned int t = 0; t < 2; t++) {
		open_added(&f);
		prepare(&f, TOO_MANY);
		model_reap_errno = errors[t];
		assert_int_equal(engine_submit(all, TOO_MANY), 0);
		wait_for_ends(TOO_MANY);
		direct = 0;
		for (unsigned int i = 0; i < TOO_MANY; i++) {
			direct += !reqs[i].error;
			assert_true(!reqs[i].error || reqs[i].error == -EIO);
			assert_int_equal(reqs[i].done,
					 reqs[i].error ? 0 : 4096);
		}
		/* At least one was in it, and not all had room. */
		assert_in_range(direct, TOO_MANY - ROOM, TOO_MANY - 1);
		/* And from then on. */
		prepare(&f, MANY);
		assert_int_equal(engine_submit(all, MANY), 0);
		wait_for_ends(MANY);
		for (unsigned int i = 0; i < MANY; i++)
			assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT, 0);
		close_fixture(&f);
		model_reap_errno = 0;
	}
}

static _Atomic bool closed;

static void *close_engine(void *arg)
{
	engine_put();
	closed = true;
	return arg;
}

/*
 * Whoever waited for the first has been told of the second, too, so nobody but
 * the call itself says that it is there.
 */
static void close_under_call(void)
{
	pthread_t thread;

	model_taken = NULL;
	model_let_go();
	wait_for_ends(2);
	closed = false;
	assert_int_equal(pthread_create(&thread, NULL, close_engine, NULL), 0);
	pthread_detach(thread);
	for (unsigned int i = 0; i < 2000; i++)
		sched_yield();
	assert_false(closed);
}

static void close_waits_for_the_call_that_submits(void **state)
{
	struct fixture f;

	(void)state;
	open_added(&f);
	prepare(&f, 2);
	model_hold = true;
	assert_int_equal(engine_submit(all, 1), 0);
	model_taken = close_under_call;
	assert_int_equal(engine_submit(&all[1], 1), 0);
	while (!closed)
		sched_yield();
	assert_int_equal(engine_get(), 0);
	close_fixture(&f);
}

/* Several threads, whose requests meet in one batch. */
static void *submit_share(void *arg)
{
	unsigned int first = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = first; i < first + 100; i += 10)
		assert_int_equal(engine_submit(&all[i], 10), 0);
	return NULL;
}

static void threads_share_the_batch(void **state)
{
	pthread_t threads[4];
	struct fixture f;

	(void)state;
	open_added(&f);
	for (unsigned int round = 0; round < 10; round++) {
		prepare(&f, 400);
		for (uintptr_t i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, submit_share,
				       (void *)(i * 100));
		for (unsigned int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		wait_for_ends(400);
		for (unsigned int i = 0; i < 400; i++)
			assert_arrived(&f, &reqs[i], NVFS_ROUTE_DIRECT, 0);
	}
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(one_call_for_all_in_added_memory),
		mock_test(one_call_for_all_in_unknown_memory),
		mock_test(writes_and_reads_of_other_memory_share_a_submission),
		mock_test(unaligned_requests_keep_to_the_batch),
		mock_test(large_blocks_are_found_out_once),
		mock_test(unreachable_file_is_read_together_and_says_why),
		mock_test(wrong_request_ends_alone),
		mock_test(freed_memory_goes_on_through_host_memory),
		mock_test(end_of_the_file_is_no_error),
		mock_test(full_batch_makes_nobody_wait),
		mock_test(cancel_ends_those_that_the_module_has),
		mock_test(without_a_batch_each_goes_alone),
		mock_test(end_may_submit_again),
		mock_test(close_waits_for_the_module),
		mock_test(module_that_can_not_be_asked_ends_all),
		mock_test(close_waits_for_the_call_that_submits),
		mock_test(threads_share_the_batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
