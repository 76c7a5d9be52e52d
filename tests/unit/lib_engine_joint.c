// SPDX-License-Identifier: MIT
/* Reads that several threads make into one buffer. */
#include "lib_engine_fix.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <sched.h>

#include "common.h"

/* Of the machine, as the engine sees it; 0: as it is. */
static int cpus;

int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
	CPU_ZERO_S(bytes, set);
	if (!cpus)
		return syscall(SYS_sched_getaffinity, pid, bytes, set) < 0 ?
		       -1 : 0;
	for (int i = 0; i < cpus; i++)
		CPU_SET_S(i, bytes, set);
	return 0;
}

static _Atomic bool held;
static _Atomic uint64_t held_from;
static _Atomic uint64_t furthest;
static _Atomic uint64_t longest;

static int note(int fd, uint64_t length, uint64_t offset)
{
	uint64_t end = offset + length, old = furthest, most = longest;

	(void)fd;
	/* Of requests that begin at no multiple of 4096. */
	while (offset % 4096 == 5 && length > most &&
	       !atomic_compare_exchange_weak(&longest, &most, length))
		;
	while (end > old && !atomic_compare_exchange_weak(&furthest, &old, end))
		;
	while (held && offset >= held_from)
		sched_yield();
	return 0;
}

struct reader {
	struct engine_req req;
	pthread_t thread;
};

static void *read_all(void *arg)
{
	struct reader *reader = arg;

	engine_run(&reader->req);
	return NULL;
}

static void start(struct reader *reader, struct fixture *f, uint64_t length)
{
	memset(f->gpu, 0xaa, f->room);
	reader->req = request(f, 0, 0, length, false);
	pthread_create(&reader->thread, NULL, read_all, reader);
}

static void assert_all_arrives(struct reader *reader, struct fixture *f)
{
	pthread_join(reader->thread, NULL);
	assert_int_equal(reader->req.error, 0);
	assert_int_equal(reader->req.done, reader->req.length);
	assert_memory_equal(f->gpu, f->bytes, reader->req.length);
	assert_int_equal(f->gpu[reader->req.length], 0xaa);
}

static void its_first_bytes_are_copied_while_others_are_read(void **state)
{
	struct reader reader;
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(4 * MIB, 8 * MIB, 4);
	open_rest(&f);
	held_from = 300 * KIB;
	held = true;
	file_hook = note;
	fast_starts = 0;
	start(&reader, &f, 3 * MIB + 5);
	while (!fast_starts)
		sched_yield();
	held = false;
	assert_all_arrives(&reader, &f);
	/* And not in as many pieces as it was read in. */
	assert_in_range(fast_starts, 2, 10);
	close_fixture(&f);
}

/* A copy engine that is stuck for a while. */

static _Atomic bool stuck;
static struct gpu_copies stuck_copies;
static struct gpu_driver stuck_gpu;

static int stuck_poll(void *queue, unsigned int mark)
{
	return stuck ? 0 : fast_poll(queue, mark);
}

static void its_room_is_not_read_into_before_it_was_copied(void **state)
{
	struct reader reader;
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 256 * KIB, 4);
	open_rest(&f);
	engine_put();
	stuck_copies = fast_table;
	stuck_copies.poll = stuck_poll;
	stuck_gpu = fast_gpu;
	stuck_gpu.copies = &stuck_copies;
	gpu_set_driver(&stuck_gpu);
	assert_int_equal(engine_get(), 0);
	furthest = 0;
	held = false;
	file_hook = note;
	stuck = true;
	fast_copies = 0;
	start(&reader, &f, 3 * MIB);
	while (fast_copies < 2 || furthest < 256 * KIB)
		sched_yield();
	/* Nobody waits for any time here: all have looked many times. */
	for (unsigned int i = 0; i < 20000; i++)
		sched_yield();
	assert_int_equal(furthest, 256 * KIB);
	stuck = false;
	assert_all_arrives(&reader, &f);
	close_fixture(&f);
}

static void it_ends_where_the_copy_began_that_failed(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (uint64_t at = 0; at < 2 * MIB; at += 300 * KIB + 77) {
		req = request(&f, 0, 0, 2 * MIB, false);
		fast_bad_addr = (uintptr_t)f.gpu + at;
		memset(f.gpu, 0xaa, f.room);
		assert_int_equal(engine_run(&req), -EFAULT);
		assert_in_range(req.done, at < 256 * KIB ? 0 : at - 256 * KIB,
				at);
		assert_memory_equal(f.gpu, f.bytes, req.done);
		assert_int_equal(req.route, req.done ? NVFS_ROUTE_BOUNCE :
						       NVFS_ROUTE_NONE);
	}
	fast_bad_addr = 0;
	close_fixture(&f);
}

#define BROKEN	(900 * KIB + 123)

static int broken(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	return offset <= BROKEN && BROKEN < offset + length ? EIO : 0;
}

static void it_ends_where_the_file_can_not_be_read(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	file_hook = broken;
	for (uint64_t length = MIB; length <= 3 * MIB; length += 777777) {
		req = request(&f, 0, 0, length, false);
		memset(f.gpu, 0xaa, f.room);
		assert_int_equal(engine_run(&req), -EIO);
		assert_in_range(req.done, BROKEN - 64 * KIB, BROKEN);
		assert_memory_equal(f.gpu, f.bytes, req.done);
	}
	close_fixture(&f);
}

/* Past the cache or not, a read that brings less is gone on with. */
static void bytes_that_come_in_bits_are_all_there(void **state)
{
	static const uint64_t lengths[] = { 16385, 40000, 65536, 70001, 900001 };
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < 10; i++) {
		uint64_t length = lengths[i / 2];
		uint64_t offset = i % 2 ? FILE_BYTES - length + 1001 : 4099;
		uint64_t good = i % 2 ? length - 1001 : length;

		file_most = i % 2 ? 7777 : 16383;
		req = request(&f, offset, 0, length, false);
		memset(f.gpu, 0xaa, f.room);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, good);
		assert_memory_equal(f.gpu, f.bytes + offset, good);
		for (uint64_t at = good; at < length + 4096; at++)
			assert_int_equal(f.gpu[at], 0xaa);
	}
	close_fixture(&f);
}

static void small_one_is_cut_finer_when_it_is_the_only_one(void **state)
{
	struct engine_req req;
	struct reader reader;
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 2 * MIB, 16);
	cpus = 16;
	open_rest(&f);
	cpus = 0;
	file_hook = note;
	longest = 0;
	req = request(&f, 5, 0, 64 * KIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_memory_equal(f.gpu, f.bytes + 5, 64 * KIB);
	assert_int_equal(longest, 8 * KIB);
	/* Not worth it for as little, and no more than one part for each thread. */
	longest = 0;
	req = request(&f, 5, 0, 33 * KIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(longest, 16 * KIB);

	held_from = 3 * MIB;
	held = true;
	furthest = 0;
	start(&reader, &f, 3 * MIB + 1);
	while (furthest <= 3 * MIB)
		sched_yield();
	longest = 0;
	req = request(&f, 5, 3 * MIB + 4096, 64 * KIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_memory_equal(f.gpu + 3 * MIB + 4096, f.bytes + 5, 64 * KIB);
	assert_int_equal(longest, 16 * KIB);
	held = false;
	assert_all_arrives(&reader, &f);
	close_fixture(&f);
}

/* With little room, so that they take turns with it. */
static void many_at_a_time_end_with_one_buffer(void **state)
{
	struct reader readers[6];
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(64 * KIB, 1, 4);
	open_rest(&f);
	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int i = 0; i < 6; i++) {
			readers[i].req = request(&f, i * 100003,
						 i * 600 * KIB,
						 40000 + (round * 6 + i) * 19001,
						 false);
			pthread_create(&readers[i].thread, NULL, read_all,
				       &readers[i]);
		}
		for (unsigned int i = 0; i < 6; i++) {
			const struct engine_req *req = &readers[i].req;

			pthread_join(readers[i].thread, NULL);
			assert_int_equal(req->error, 0);
			assert_int_equal(req->done, req->length);
			assert_memory_equal((void *)(uintptr_t)req->addr,
					    f.bytes + req->file_offset,
					    req->length);
		}
	}
	close_fixture(&f);
}

static pthread_t caller;
static _Atomic unsigned int helped;
static int running;

static _Atomic unsigned int counted;

static int count_running(void)
{
	counted++;
	return running;
}

static int who_reads(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)offset;
	helped += !pthread_equal(pthread_self(), caller);
	if (length > longest)
		longest = length;
	return 0;
}

/* Beside so many threads of other programs, of four CPUs. */
static void open_beside(struct fixture *f, int others)
{
	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 2 * MIB, 4);
	/* And the caller. */
	running = others + 1;
	room_set_running(count_running);
	cpus = 4;
	open_rest(f);
	cpus = 0;
	caller = pthread_self();
	file_hook = who_reads;
}

/* Does anybody help with one of some requests? */
static bool has_help(struct fixture *f)
{
	struct engine_req req;

	helped = 0;
	longest = 0;
	for (unsigned int i = 0; i < 200 && !helped; i++) {
		req = request(f, 0, 0, 2 * MIB, false);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, 2 * MIB);
		assert_memory_equal(f->gpu, f->bytes, 2 * MIB);
	}
	return helped;
}

/* Who may help need not come in time: then once more. */
static void cpus_that_others_want_are_left_to_them(void **state)
{
	uint64_t end = now_ns() + 60000000000ULL;
	struct fixture f;

	(void)state;
	open_beside(&f, 3);
	assert_false(has_help(&f));
	close_fixture(&f);
	/* Where nothing is left there is nothing to leave. */
	open_beside(&f, 4);
	while (!has_help(&f) && now_ns() < end)
		;
	assert_true(helped > 0);
	close_fixture(&f);
	open_beside(&f, 0);
	while (!has_help(&f) && now_ns() < end)
		;
	assert_true(helped > 0);
	close_fixture(&f);
}

/* Past the cache it is read in small bits, which takes a CPU longer. */
static void bits_are_large_where_cpus_are_short(void **state)
{
	struct fixture f;

	(void)state;
#if !defined(__x86_64__)
	skip();
#endif
	open_beside(&f, 0);
	has_help(&f);
	assert_int_equal(longest, 16 * KIB);
	close_fixture(&f);
	open_beside(&f, 3);
	has_help(&f);
	assert_int_equal(longest, 64 * KIB);
	close_fixture(&f);
}

static _Atomic bool ended;

static void end(struct engine_req *req)
{
	(void)req;
	ended = true;
}

static void submitted_ones_look_for_others(void **state)
{
	struct engine_req req, *one = &req;
	struct fixture f;

	(void)state;
	open_beside(&f, 3);
	counted = 0;
	ended = false;
	req = request(&f, 0, 0, 2 * MIB, false);
	req.complete = end;
	assert_int_equal(engine_submit(&one, 1), 0);
	while (!ended)
		sched_yield();
	assert_int_equal(req.error, 0);
	assert_int_equal(req.done, 2 * MIB);
	assert_true(counted > 0);
	close_fixture(&f);
}

/* Longer than there is between two looks. */
static int read_slowly(int fd, uint64_t length, uint64_t offset)
{
	struct timespec pause = { .tv_nsec = 15000000 };

	(void)fd;
	(void)length;
	if (offset % MIB == 0)
		nanosleep(&pause, NULL);
	return 0;
}

static void large_ones_look_again(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_beside(&f, 3);
	file_hook = read_slowly;
	counted = 0;
	req = request(&f, 0, 0, 3 * MIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_true(counted > 1);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(its_first_bytes_are_copied_while_others_are_read),
		mock_test(its_room_is_not_read_into_before_it_was_copied),
		mock_test(it_ends_where_the_copy_began_that_failed),
		mock_test(it_ends_where_the_file_can_not_be_read),
		mock_test(bytes_that_come_in_bits_are_all_there),
		mock_test(small_one_is_cut_finer_when_it_is_the_only_one),
		mock_test(many_at_a_time_end_with_one_buffer),
		mock_test(cpus_that_others_want_are_left_to_them),
		mock_test(large_ones_look_again),
		mock_test(submitted_ones_look_for_others),
		mock_test(bits_are_large_where_cpus_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
