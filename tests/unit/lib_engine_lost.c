// SPDX-License-Identifier: MIT
/* A GPU that is lost: from some moment on its driver refuses everything. */
#include "lib_engine_fix.h"

#include <limits.h>
#include <sched.h>
#include <sys/mman.h>

#define MANY	200U

static _Atomic bool lost;
/* How many calls of the driver go well before that. */
static _Atomic int until;

static bool is_lost(void)
{
	if (!lost && atomic_fetch_sub(&until, 1) <= 0)
		lost = true;
	return lost;
}

static int lost_start(void *queue, const struct gpu_copy *copies,
		      unsigned int nr, bool out, unsigned int mark)
{
	return is_lost() ? -EIO : fast_start(queue, copies, nr, out, mark);
}

static int lost_poll(void *queue, unsigned int mark)
{
	struct fast_queue *it = queue;

	if (!is_lost())
		return fast_poll(queue, mark);
	it->marks[mark].nr = 0;
	return -EIO;
}

static int lost_copy_in(unsigned int index, uint64_t dst, const void *src,
			uint64_t length)
{
	return is_lost() ? -EIO : fast_copy_in(index, dst, src, length);
}

static int lost_copy_out(unsigned int index, void *dst, uint64_t src,
			 uint64_t length)
{
	return is_lost() ? -EIO : fast_copy_out(index, dst, src, length);
}

static struct gpu_copies lost_copies;
static struct gpu_driver lost_gpu;

static void open_lost(struct fixture *f, int calls)
{
	open_fixture(f);
	engine_put();
	lost_copies = fast_table;
	lost_copies.start = lost_start;
	lost_copies.poll = lost_poll;
	lost_gpu = fast_gpu;
	lost_gpu.copies = &lost_copies;
	lost_gpu.copy_in = lost_copy_in;
	lost_gpu.copy_out = lost_copy_out;
	gpu_set_driver(&lost_gpu);
	assert_int_equal(engine_get(), 0);
	lost = false;
	until = calls;
}

/* An error, or all of it: nothing in between that looks good. */
static bool ended_well(struct fixture *f, const struct engine_req *req)
{
	if (req->error) {
		assert_int_equal(req->error, -EIO);
		assert_in_range(req->done, 0, req->length - 1);
		return false;
	}
	assert_int_equal(req->done, req->length);
	if (!req->write)
		assert_memory_equal((void *)(uintptr_t)req->addr,
				    f->bytes + req->file_offset, req->length);
	return true;
}

static void requests_in_flight_end_with_an_error(void **state)
{
	static const int moments[] = { 0, 1, 2, 3, 5, 8, 13, 21, 34 };
	struct fixture f;

	(void)state;
	for (unsigned int i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
		struct engine_req req;

		open_lost(&f, moments[i]);
		req = request(&f, 0, 0, 3 * MIB, i % 2);
		while (!engine_run(&req)) {
			assert_true(ended_well(&f, &req));
			assert_false(lost);
		}
		assert_false(ended_well(&f, &req));
		assert_true(lost);
		/* It stays lost, and nobody waits for it. */
		req = request(&f, 0, 0, 4096, false);
		assert_int_equal(engine_run(&req), -EIO);
		/* What needs no GPU goes on. */
		req.gpu = ENGINE_HOST;
		assert_int_equal(engine_run(&req), 0);
		close_fixture(&f);
	}
}

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	(void)req;
	atomic_fetch_add(&ended, 1);
}

static void each_of_a_batch_is_told(void **state)
{
	static struct engine_req reqs[MANY], *all[MANY];
	unsigned int bad = 0;
	struct fixture f;

	(void)state;
	for (unsigned int round = 0; round < 10; round++) {
		open_lost(&f, (int)round * 3);
		ended = 0;
		for (unsigned int i = 0; i < MANY; i++) {
			reqs[i] = request(&f, i * 8192, i * 16384,
					  i % 50 ? 4096 : 16384, i % 3 == 0);
			reqs[i].complete = count_end;
			all[i] = &reqs[i];
		}
		assert_int_equal(engine_submit(all, MANY), 0);
		while (ended < MANY)
			sched_yield();
		for (unsigned int i = 0; i < MANY; i++)
			bad += reqs[i].error != 0;
		assert_true(lost);
		close_fixture(&f);
	}
	assert_true(bad >= MANY);
}

static uint64_t context;
static void *pinned[64];
static unsigned int nr_pinned;

static uint64_t context_of(unsigned int index)
{
	assert_int_equal(index, 0);
	return context;
}

static int remember_pinned(unsigned int index, uint64_t length, void **host)
{
	int ret = fast_host_get(index, length, host);

	assert_int_equal(length, 256 * KIB);
	assert_in_range(nr_pinned, 0, 63);
	if (!ret)
		pinned[nr_pinned++] = *host;
	return ret;
}

static unsigned int nr_given_up;

static void give_up_pinned(void *host)
{
	for (unsigned int i = 0; i < nr_pinned; i++)
		nr_given_up += pinned[i] == host;
}

/* As if it was not there any more. */
static void protect_pinned(int how)
{
	for (unsigned int i = 0; i < nr_pinned; i++)
		assert_int_equal(mprotect(pinned[i], 256 * KIB, how), 0);
}

/* cudaDeviceReset(), with the library open: not even closing touches it. */
static void what_a_reset_took_away_is_not_touched(void **state)
{
	struct fixture f;
	struct engine_req req, *posted = &req;

	(void)state;
	open_lost(&f, INT_MAX);
	lost_copies.context = context_of;
	lost_copies.host_get = remember_pinned;
	lost_copies.host_lost = give_up_pinned;
	context = 1;
	nr_pinned = 0;
	req = request(&f, 0, 0, 3 * MIB, false);
	assert_int_equal(engine_run(&req), 0);
	for (context = 0; context < 3; context += 2) {
		protect_pinned(PROT_NONE);
		req = request(&f, 0, 0, 4096, context);
		assert_int_equal(engine_run(&req), -EIO);
		assert_int_equal(req.done, 0);
		req.complete = count_end;
		ended = 0;
		assert_int_equal(engine_submit(&posted, 1), 0);
		while (!ended)
			sched_yield();
		assert_int_equal(req.error, -EIO);
	}
	engine_put();
	assert_int_equal(fast_pinned, nr_pinned);
	assert_int_equal(nr_given_up, nr_pinned);
	/* The next opening begins anew. */
	protect_pinned(PROT_READ | PROT_WRITE);
	while (nr_pinned)
		fast_host_put(0, pinned[--nr_pinned]);
	assert_int_equal(engine_get(), 0);
	req = request(&f, 0, 0, 3 * MIB, false);
	assert_int_equal(engine_run(&req), 0);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(requests_in_flight_end_with_an_error),
		mock_test(each_of_a_batch_is_told),
		mock_test(what_a_reset_took_away_is_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
