// SPDX-License-Identifier: MIT
/* The engine's submitted requests, its users, its pool, and forks. */
#include "lib_engine_fix.h"

#include <sys/wait.h>
#include <time.h>

#define MANY	300U

static _Atomic unsigned int ended;
static _Atomic unsigned int ends[MANY];

static void count_end(struct engine_req *req)
{
	atomic_fetch_add(&ends[(uintptr_t)req->user], 1);
	atomic_fetch_add(&ended, 1);
}

static void wait_for_ends(unsigned int nr)
{
	while (atomic_load(&ended) < nr)
		sched_yield();
}

static void prepare(struct engine_req *reqs, struct engine_req **all,
		    unsigned int nr)
{
	ended = 0;
	for (unsigned int i = 0; i < nr; i++) {
		ends[i] = 0;
		reqs[i].complete = count_end;
		reqs[i].user = (void *)(uintptr_t)i;
		all[i] = &reqs[i];
	}
}

static void assert_ended_once(unsigned int nr)
{
	wait_for_ends(nr);
	for (unsigned int i = 0; i < nr; i++)
		assert_int_equal(ends[i], 1);
}

/* Of all sizes, with and without neighbours, past the end as well. */
static void batch_reads_every_byte_once(void **state)
{
	static struct engine_req reqs[MANY], *all[MANY];
	uint64_t at = 0;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	memset(f.gpu, 0xaa, f.room);
	for (unsigned int i = 0; i < MANY; i++) {
		uint64_t length = i % 50 == 7 ? 200000 : i * 37 % 9000;

		reqs[i] = request(&f, (uint64_t)i * 9973 % FILE_BYTES, at,
				  length, false);
		at += length + (i % 3 ? 0 : 5);
	}
	assert_true(at < f.room);
	prepare(reqs, all, MANY);
	assert_int_equal(engine_submit(all, MANY), 0);
	assert_ended_once(MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		uint64_t have = FILE_BYTES - reqs[i].file_offset;
		uint64_t good = reqs[i].length < have ? reqs[i].length : have;

		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, good);
		assert_memory_equal((void *)(uintptr_t)reqs[i].addr,
				    f.bytes + reqs[i].file_offset, good);
		assert_int_equal(reqs[i].route, good ? NVFS_ROUTE_BOUNCE :
						       NVFS_ROUTE_NONE);
		if (i % 3 == 0)
			assert_int_equal(*((unsigned char *)(uintptr_t)
				reqs[i].addr + reqs[i].length), 0xaa);
	}
	close_fixture(&f);
}

static void batch_neighbours_share_a_copy(void **state)
{
	static struct engine_req reqs[32], *all[32];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < 32; i++)
		reqs[i] = request(&f, (31 - i) * 8192, i * 4096, 4096, false);
	prepare(reqs, all, 32);
	fast_copies = 0;
	assert_int_equal(engine_submit(all, 32), 0);
	assert_ended_once(32);
	/* Eight in each, so that there is something for four threads. */
	assert_int_equal(fast_copies, 4);
	for (unsigned int i = 0; i < 32; i++)
		assert_memory_equal(f.gpu + i * 4096,
				    f.bytes + (31 - i) * 8192, 4096);
	close_fixture(&f);
}

static void batch_writes_and_reads_mix(void **state)
{
	static struct engine_req reqs[64], *all[64];
	unsigned char got[4096];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (uint64_t i = 0; i < f.room; i++)
		f.gpu[i] = (unsigned char)(i * 3 + (i >> 10));
	/* Blocks of a half are read, blocks of the other are written. */
	for (unsigned int i = 0; i < 64; i++)
		reqs[i] = request(&f, (i % 2 ? MIB : 0) + i * 4096, i * 4096,
				  4096, i % 2);
	prepare(reqs, all, 64);
	assert_int_equal(engine_submit(all, 64), 0);
	assert_ended_once(64);
	for (unsigned int i = 0; i < 64; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, 4096);
		if (i % 2) {
			assert_int_equal(pread(f.file.fd, got, 4096,
					       (off_t)reqs[i].file_offset), 4096);
			assert_memory_equal(got, f.gpu + i * 4096, 4096);
		} else {
			assert_memory_equal(f.gpu + i * 4096,
					    f.bytes + i * 4096, 4096);
		}
	}
	close_fixture(&f);
}

static void bad_memory_fails_only_its_own_request(void **state)
{
	static struct engine_req reqs[40], *all[40];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	fast_bad_addr = (uintptr_t)f.gpu + 11 * 4096 + 7;
	for (int write = 0; write < 2; write++) {
		for (unsigned int i = 0; i < 40; i++)
			reqs[i] = request(&f, i * 4096, i * 4096, 4096, write);
		prepare(reqs, all, 40);
		assert_int_equal(engine_submit(all, 40), 0);
		assert_ended_once(40);
		for (unsigned int i = 0; i < 40; i++) {
			assert_int_equal(reqs[i].error, i == 11 ? -EFAULT : 0);
			assert_int_equal(reqs[i].done, i == 11 ? 0 : 4096);
		}
	}
	close_fixture(&f);
}

/* Files that do not answer until they are let. */

static _Atomic bool held;
static _Atomic unsigned int waiting;
static _Atomic bool one_waits;

static int hold(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)length;
	(void)offset;
	atomic_fetch_add(&waiting, 1);
	while (held)
		sched_yield();
	return 0;
}

static void submit_does_not_wait_for_anything(void **state)
{
	static struct engine_req reqs[MANY], *all[MANY];
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(64 * KIB, 1, 1);
	open_rest(&f);
	for (unsigned int i = 0; i < MANY; i++)
		reqs[i] = request(&f, i * 64, i * 4096,
				  i % 2 ? 4096 : 300000, i % 5 == 0);
	prepare(reqs, all, MANY);
	held = true;
	file_hook = hold;
	/* One at a time and in one go: with one buffer and one thread. */
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(engine_submit(&all[i], 1), 0);
	assert_int_equal(engine_submit(&all[100], MANY - 100), 0);
	assert_int_equal(ended, 0);
	held = false;
	assert_ended_once(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(reqs[i].error, 0);
	close_fixture(&f);
}

/* The first one that is read waits, and keeps only those of its part. */
static int hold_first(int fd, uint64_t length, uint64_t offset)
{
	return atomic_exchange(&one_waits, true) ? 0 : hold(fd, length, offset);
}

static void batch_tells_of_parts_while_others_are_read(void **state)
{
	static struct engine_req reqs[32], *all[32];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < 32; i++)
		reqs[i] = request(&f, i * 8192, i * 4096, 4096, false);
	prepare(reqs, all, 32);
	held = true;
	one_waits = false;
	file_hook = hold_first;
	assert_int_equal(engine_submit(all, 32), 0);
	wait_for_ends(24);
	/* All have begun. */
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(engine_cancel(&reqs[i]), -EALREADY);
	assert_int_equal(ended, 24);
	held = false;
	assert_ended_once(32);
	for (unsigned int i = 0; i < 32; i++)
		assert_memory_equal(f.gpu + i * 4096, f.bytes + i * 8192, 4096);
	close_fixture(&f);
}

static void batch_with_o_direct_keeps_all_threads_reading(void **state)
{
	static struct engine_req reqs[32], *all[32];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	for (unsigned int i = 0; i < 32; i++)
		reqs[i] = request(&f, i * 8192, i * 4096, 4096, false);
	prepare(reqs, all, 32);
	held = true;
	waiting = 0;
	file_hook = hold;
	assert_int_equal(engine_submit(all, 32), 0);
	while (waiting < 4)
		sched_yield();
	held = false;
	assert_ended_once(32);
	for (unsigned int i = 0; i < 32; i++)
		assert_memory_equal(f.gpu + i * 4096, f.bytes + i * 8192, 4096);
	close_fixture(&f);
}

/*
 * With the block that they begin in they are larger than a buffer, so that none
 * has room for even one.
 */
static void batch_that_no_buffer_has_room_for_is_read(void **state)
{
	static struct engine_req reqs[4], *all[4];
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(64 * KIB, 256 * KIB, 2);
	open_rest(&f);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	for (unsigned int i = 0; i < 4; i++)
		reqs[i] = request(&f, i * 65536 + 512, i * 65536, 65536, false);
	prepare(reqs, all, 4);
	assert_int_equal(engine_submit(all, 4), 0);
	assert_ended_once(4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, 65536);
	}
	assert_memory_equal(f.gpu, f.bytes + 512, 4 * 65536);
	close_fixture(&f);
}

static void cancel_ends_what_has_not_begun(void **state)
{
	static struct engine_req reqs[20], *all[20];
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(64 * KIB, 1, 1);
	open_rest(&f);
	memset(f.gpu, 0xaa, f.room);
	for (unsigned int i = 0; i < 20; i++)
		reqs[i] = request(&f, 0, i * 4096, i ? 4096 : 500000, false);
	for (unsigned int i = 1; i < 20; i++)
		reqs[i].addr += 600000;
	prepare(reqs, all, 20);
	held = true;
	waiting = 0;
	file_hook = hold;
	assert_int_equal(engine_submit(&all[0], 1), 0);
	while (!waiting)
		sched_yield();
	assert_int_equal(engine_submit(&all[1], 1), 0);
	assert_int_equal(engine_submit(&all[2], 18), 0);
	assert_int_equal(engine_cancel(&reqs[0]), -EALREADY);
	for (unsigned int i = 1; i < 10; i++)
		assert_int_equal(engine_cancel(&reqs[i]), 0);
	held = false;
	assert_ended_once(20);
	for (unsigned int i = 0; i < 20; i++) {
		bool cancelled = i >= 1 && i < 10;

		assert_int_equal(reqs[i].error, cancelled ? -ECANCELED : 0);
		assert_int_equal(reqs[i].done, cancelled ? 0 : reqs[i].length);
		if (cancelled)
			assert_int_equal(*(unsigned char *)(uintptr_t)
					 reqs[i].addr, 0xaa);
	}
	assert_int_equal(engine_cancel(&reqs[15]), -EALREADY);
	close_fixture(&f);
}

/* A request that is submitted again by its own end. */

static void again(struct engine_req *req)
{
	struct engine_req *all[] = { req };

	if (atomic_fetch_add(&ended, 1) < 99)
		assert_int_equal(engine_submit(all, 1), 0);
}

static void end_may_submit_again(void **state)
{
	struct engine_req req, *all[] = { &req };
	struct fixture f;

	(void)state;
	open_fixture(&f);
	ended = 0;
	req = request(&f, 100, 0, 4096, false);
	req.complete = again;
	assert_int_equal(engine_submit(all, 1), 0);
	wait_for_ends(100);
	assert_memory_equal(f.gpu, f.bytes + 100, 4096);
	close_fixture(&f);
}

static void close_waits_for_what_was_submitted(void **state)
{
	static struct engine_req reqs[50], *all[50];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < 50; i++)
		reqs[i] = request(&f, i * 1000, i * 70000, 70000, false);
	prepare(reqs, all, 50);
	assert_int_equal(engine_submit(all, 50), 0);
	engine_put();
	assert_int_equal(ended, 50);
	assert_int_equal(engine_get(), 0);
	assert_ended_once(50);
	close_fixture(&f);
}

static void wrong_submissions_start_nothing(void **state)
{
	struct engine_req reqs[2], *all[2] = { NULL };
	struct fixture f;

	(void)state;
	assert_int_equal(engine_submit(all, 1), -ENOTCONN);
	open_fixture(&f);
	reqs[0] = request(&f, 0, 0, 4096, false);
	reqs[1] = reqs[0];
	prepare(reqs, all, 2);
	assert_int_equal(engine_submit(NULL, 1), -EINVAL);
	assert_int_equal(engine_submit(all, 0), -EINVAL);
	reqs[1].complete = NULL;
	assert_int_equal(engine_submit(all, 2), -EINVAL);
	reqs[1].complete = count_end;
	reqs[1].file = NULL;
	assert_int_equal(engine_submit(all, 2), -EINVAL);
	all[1] = NULL;
	assert_int_equal(engine_submit(all, 2), -EINVAL);
	assert_int_equal(ended, 0);
	/* What only shows in the request ends with it. */
	all[1] = &reqs[1];
	reqs[1] = request(&f, INT64_MAX, 0, 4096, false);
	reqs[0].gpu = 7;
	prepare(reqs, all, 2);
	assert_int_equal(engine_submit(all, 2), 0);
	assert_ended_once(2);
	assert_int_equal(reqs[0].error, -ENODEV);
	assert_int_equal(reqs[1].error, -EOVERFLOW);
	close_fixture(&f);
}

static int linger(int fd, uint64_t length, uint64_t offset)
{
	const struct timespec nap = { .tv_nsec = 200000 };

	(void)fd;
	(void)length;
	(void)offset;
	nanosleep(&nap, NULL);
	return 0;
}

/* More than threads, so that some have not begun when it closes. */
static void close_waits_for_host_memory_of_streams(void **state)
{
	static struct engine_req reqs[MANY], *all[MANY];
	static unsigned char host[MANY][4096];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	prepare(reqs, all, MANY);
	file_hook = linger;
	for (unsigned int i = 0; i < MANY; i++) {
		reqs[i].file = &f.file;
		reqs[i].file_offset = i * 4096;
		reqs[i].addr = (uintptr_t)host[i];
		reqs[i].gpu = ENGINE_HOST;
		reqs[i].length = 4096;
		assert_int_equal(engine_submit_apart(&reqs[i]), 0);
	}
	engine_put();
	assert_int_equal(ended, MANY);
	assert_ended_once(MANY);
	assert_memory_equal(host, f.bytes, sizeof(host));
	assert_int_equal(engine_get(), 0);
	close_fixture(&f);
}

/* Those that only ever do what needs no driver. */
static void wrong_requests_of_host_memory_are_not_started(void **state)
{
	struct engine_req req, *all[1] = { NULL };
	unsigned char host[4096];
	struct fixture f;

	(void)state;
	assert_int_equal(engine_submit_apart(NULL), -ENOTCONN);
	open_fixture(&f);
	assert_int_equal(engine_submit_apart(NULL), -EINVAL);
	req = request(&f, 0, 0, 4096, false);
	prepare(&req, all, 1);
	assert_int_equal(engine_submit_apart(&req), -EINVAL);
	req.gpu = ENGINE_HOST;
	req.addr = (uintptr_t)host;
	req.complete = NULL;
	assert_int_equal(engine_submit_apart(&req), -EINVAL);
	req.complete = count_end;
	req.file = NULL;
	assert_int_equal(engine_submit_apart(&req), -EINVAL);
	req.file = &f.file;
	req.file_offset = INT64_MAX;
	assert_int_equal(engine_submit_apart(&req), -EOVERFLOW);
	assert_int_equal(ended, 0);
	req.file_offset = 7;
	assert_int_equal(engine_submit_apart(&req), 0);
	assert_ended_once(1);
	assert_int_equal(req.done, 4096);
	assert_memory_equal(host, f.bytes + 7, 4096);
	close_fixture(&f);
}

static void forked_child_is_told(void **state)
{
	struct engine_req req, *all[] = { &req };
	struct fixture f;
	int status;
	pid_t pid;

	(void)state;
	open_fixture(&f);
	req = request(&f, 0, 0, 300000, false);
	assert_int_equal(engine_run(&req), 0);
	req.complete = count_end;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		bool told = engine_run(&req) == -ECHILD &&
			    engine_submit(all, 1) == -ECHILD &&
			    engine_cancel(&req) == -ECHILD &&
			    engine_get() == -ECHILD && !engine_users() &&
			    engine_mem_add(0, 4096, 4096) == -ECHILD &&
			    engine_mem_del(4096) == -ECHILD;

		engine_put();
		_exit(told ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The parent goes on. */
	assert_int_equal(engine_run(&req), 0);
	close_fixture(&f);
}

static void users_are_counted(void **state)
{
	struct engine_pool pool;

	(void)state;
	mock_open_errno = ENOENT;
	gpu_set_driver(&fast_gpu);
	assert_int_equal(engine_users(), 0);
	assert_int_equal(engine_get(), 0);
	assert_int_equal(engine_get(), 0);
	assert_int_equal(engine_users(), 2);
	engine_pool_get(&pool);
	assert_int_equal(engine_pool_set(&pool), -EBUSY);
	engine_put();
	assert_int_equal(engine_users(), 1);
	engine_put();
	assert_int_equal(engine_users(), 0);
	assert_int_equal(engine_pool_set(&pool), 0);
	/* Nothing was needed, so nothing was loaded. */
	assert_int_equal(mock_gpu_inits, 0);
	pool.slot_bytes = 0;
	assert_int_equal(engine_pool_set(&pool), -EINVAL);
	pool.slot_bytes = 65537;
	assert_int_equal(engine_pool_set(&pool), -EINVAL);
	pool.slot_bytes = 1ULL << 40;
	assert_int_equal(engine_pool_set(&pool), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(batch_reads_every_byte_once),
		mock_test(batch_neighbours_share_a_copy),
		mock_test(batch_writes_and_reads_mix),
		mock_test(bad_memory_fails_only_its_own_request),
		mock_test(submit_does_not_wait_for_anything),
		mock_test(batch_tells_of_parts_while_others_are_read),
		mock_test(batch_with_o_direct_keeps_all_threads_reading),
		mock_test(batch_that_no_buffer_has_room_for_is_read),
		mock_test(cancel_ends_what_has_not_begun),
		mock_test(end_may_submit_again),
		mock_test(close_waits_for_what_was_submitted),
		mock_test(close_waits_for_host_memory_of_streams),
		mock_test(wrong_submissions_start_nothing),
		mock_test(wrong_requests_of_host_memory_are_not_started),
		mock_test(forked_child_is_told),
		mock_test(users_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
