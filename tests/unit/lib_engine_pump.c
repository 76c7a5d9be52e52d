// SPDX-License-Identifier: MIT
/* The engine's small copies, made by a model of the code on the GPU. */
#include "lib_pump_model.h"

#include "crew.h"

/* The model has no streams, which is told when small copies have all. */
static void warm(void)
{
	assert_int_equal(engine_warm(0), -ENOSYS);
}

static void engine_uses_it_when_it_is_warm(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	model_reset();
	assert_int_equal(engine_warm(0), -ENOTCONN);
	open_fixture(&f);
	model.prepared = -EAGAIN;
	assert_int_equal(engine_warm(0), -EAGAIN);
	model.prepared = 0;
	assert_int_equal(engine_warm(7), -ENODEV);
	warm();
	warm();
	for (unsigned int i = 0; i < 20000 && !model.orders; i++) {
		uint64_t at = i % 512 * 4096;

		req = request(&f, at, 0, 4096, false);
		assert_int_equal(engine_run(&req), 0);
		assert_memory_equal(f.gpu, f.bytes + at, 4096);
	}
	assert_true(model.orders);
	end_turns();
	close_fixture(&f);
}

/* Some that follow one another closely, until there were orders; turns end. */
static void read_some(struct fixture *f, uint64_t offset, uint64_t length)
{
	unsigned int before = model.orders;
	struct engine_req req;

	memset(f->gpu, 0x5a, 16 * 65536);
	for (unsigned int i = 0; i < 16 ||
	     (i < 300 && model.orders < before + 8); i++) {
		req = request(f, offset, i % 16 * 65536, length, false);
		assert_int_equal(engine_run(&req), 0);
	}
	end_turns();
	model.idle = false;
	if (length > FILE_BYTES - offset)
		length = FILE_BYTES - offset;
	assert_int_equal(req.done, length);
	for (uint64_t at = 0; at < 16 * 65536; at += 65536) {
		assert_memory_equal(f->gpu + at, f->bytes + offset, length);
		assert_int_equal(f->gpu[at + length], 0x5a);
	}
}

static void engine_gives_it_a_small_read_in_parts(void **state)
{
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	warm();
	for (unsigned int i = 0; i < 2000 && model.orders < 40; i++) {
		read_some(&f, i, 17000 + i % 5 * 3000);
		/* The file ends before the request does. */
		read_some(&f, FILE_BYTES - 20000, 30000);
	}
	assert_true(model.orders >= 40);
	read_some(&f, 0, 50001);
	end_turns();
	close_fixture(&f);
}

/* It asks the pump once, or it would seem to be two that follow one another. */
static void lone_small_read_starts_no_turn(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	warm();
	for (unsigned int i = 0; i < 20; i++) {
		uint64_t end = clock_ns() + 1000000;

		req = request(&f, 0, 0, 65536, false);
		assert_int_equal(engine_run(&req), 0);
		while (clock_ns() < end)
			sched_yield();
	}
	assert_int_equal(model.turns, 0);
	end_turns();
	close_fixture(&f);
}

/* Code on the GPU would fault, and the application's context be lost. */
static void memory_that_is_not_pinned_is_left_to_the_engine(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	warm();
	fast_no_host = true;
	for (unsigned int i = 0; i < 2000; i++) {
		req = request(&f, 0, 0, 4096, i % 2);
		assert_int_equal(engine_run(&req), 0);
	}
	assert_int_equal(model.orders, 0);
	end_turns();
	close_fixture(&f);
}

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	(void)req;
	atomic_fetch_add(&ended, 1);
}

/* Each of @nr reads @apart bytes behind the one before. */
/* Returns when their job, too, has ended: beside it the next would have fewer threads. */
static void submit(struct fixture *f, unsigned int nr, uint64_t apart)
{
	struct engine_req reqs[64], *all[64];

	ended = 0;
	for (unsigned int i = 0; i < nr; i++) {
		reqs[i] = request(f, i * 8192, i * apart, 4096, false);
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
	assert_int_equal(engine_submit(all, nr), 0);
	while (ended < nr || crew_busy())
		sched_yield();
	for (unsigned int i = 0; i < nr; i++)
		assert_memory_equal(f->gpu + i * apart, f->bytes + i * 8192,
				    4096);
}

static _Atomic unsigned int wanted_turns;

static int read_when_turns_were_started(int fd, uint64_t length, uint64_t offset)
{
	uint64_t since = clock_ns();

	(void)fd;
	(void)length;
	(void)offset;
	while (model.turns < wanted_turns && in_time(since))
		sched_yield();
	return 0;
}

/* Nobody asks it for copies from memory that is not pinned: those are not its own. */
static void many_copies_have_it_started_before_they_are_read(void **state)
{
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	warm();
	fast_no_host = true;
	wanted_turns = 0;
	submit(&f, 64, 4096);
	submit(&f, 15, 8192);
	assert_int_equal(model.turns, 0);
	wanted_turns = PUMPS;
	file_hook = read_when_turns_were_started;
	submit(&f, 64, 8192);
	assert_int_equal(model.turns, PUMPS);
	end_turns();
	close_fixture(&f);
}

/* There is nobody else, and reading comes first. */
static void one_thread_does_not_start_it_for_others(void **state)
{
	struct fixture f;

	(void)state;
	model_reset();
	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 2 * MIB, 1);
	open_rest(&f);
	warm();
	fast_no_host = true;
	submit(&f, 64, 8192);
	assert_int_equal(model.turns, 0);
	close_fixture(&f);
}

static void batches_of_many_copies_arrive(void **state)
{
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	warm();
	for (unsigned int i = 0; i < 300; i++) {
		memset(f.gpu, 0x5a, 64 * 8192);
		submit(&f, 64, 8192);
		assert_int_equal(f.gpu[4096], 0x5a);
	}
	assert_true(model.large);
	end_turns();
	close_fixture(&f);
}

/* Nothing of a batch looks at it any more when the last of its requests has ended. */
static void reset_gpu_is_left_alone_after_a_batch(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned int i = 0; i < 50; i++) {
		unsigned int turns;

		model_reset();
		open_fixture(&f);
		warm();
		submit(&f, 64, 8192);
		turns = model.turns;
		end_turns();
		for (unsigned int n = 0; n < 100; n++)
			sched_yield();
		assert_int_equal(model.turns, turns);
		close_fixture(&f);
	}
}

static void is_off_when_not_wanted(void **state)
{
	struct engine_pool pool;
	struct fixture f;

	(void)state;
	model_reset();
	engine_pool_get(&pool);
	pool.no_pump = true;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_fixture(&f);
	assert_int_equal(engine_warm(0), -ENOSYS);
	close_fixture(&f);
	pool.no_pump = false;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_fixture(&f);
	fast_gpu.pumps = NULL;
	assert_int_equal(engine_warm(0), -ENOSYS);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(engine_uses_it_when_it_is_warm),
		mock_test(engine_gives_it_a_small_read_in_parts),
		mock_test(lone_small_read_starts_no_turn),
		mock_test(memory_that_is_not_pinned_is_left_to_the_engine),
		mock_test(many_copies_have_it_started_before_they_are_read),
		mock_test(one_thread_does_not_start_it_for_others),
		mock_test(batches_of_many_copies_arrive),
		mock_test(reset_gpu_is_left_alone_after_a_batch),
		mock_test(is_off_when_not_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
