// SPDX-License-Identifier: MIT
/*
 * Small writes by a mapping: the code on the GPU, of which there is a model, brings them
 * before it is known how they are written, into buffers that are a file's.
 */
#include "lib_pump_model.h"

#include "lib_engine_map.h"

static _Atomic unsigned int shown;
static struct gpu_copies show_table;
static struct gpu_driver show_gpu;

static int show(unsigned int index, void *host, uint64_t length, bool writable)
{
	assert_int_equal(index, 0);
	assert_non_null(host);
	if (!writable)
		return -EOPNOTSUPP;
	/* All of it. */
	memset(host, 1, length);
	shown++;
	return 0;
}

static bool unshow(unsigned int index, uint64_t context, void *host)
{
	assert_int_equal(index, 0);
	assert_true(context == 0 || context == 1);
	/* Still there. */
	*(volatile char *)host = 2;
	shown--;
	return true;
}

static void open_warm(struct fixture *f, bool shows)
{
	model_reset();
	show_table = fast_table;
	show_table.pin = shows ? show : NULL;
	show_table.unpin = unshow;
	open_pool(f, 256 * KIB, 4 * MIB);
	show_gpu = fast_gpu;
	show_gpu.copies = &show_table;
	gpu_set_driver(&show_gpu);
	assert_int_equal(engine_warm(0), -ENOSYS);
}

static void close_warm(struct fixture *f)
{
	end_turns();
	close_mapped(f);
	assert_int_equal(shown, 0);
}

/* Until the pump has carried out so many; turns end and begin.  False: it takes long. */
static bool write_small(struct fixture *f, unsigned int orders)
{
	static const uint64_t lengths[] = {
		32 * KIB, 32 * KIB + 1, 50000, 64 * KIB - 1, 64 * KIB,
	};
	uint64_t since = clock_ns();

	for (unsigned int i = 0; i < 100 || (model.orders < orders &&
					     in_time(since)); i++) {
		uint64_t length = lengths[i % 5];
		uint64_t at = i % 7 * 16 + (i % 11 == 10);

		fill(f->gpu + at, length, i);
		write_one(f, i * 4096 % (FILE_BYTES - 65536) + i % 3, at, length);
	}
	assert_file_is(f, FILE_BYTES);
	return model.orders >= orders;
}

static void small_writes_are_brought_by_the_pump(void **state)
{
	struct fixture f;

	(void)state;
	for (unsigned int shows = 0; shows < 2; shows++) {
		open_warm(&f, shows);
		assert_true(write_small(&f, 64));
		/* But for some in each 4 ms, and the first here and there. */
		assert_true(copied > written);
		/* Of each, or of none. */
		assert_int_equal(of_files, shows ? copies : 0);
		assert_int_equal(!!shown, shows);
		close_warm(&f);
	}
}

static void turns_that_end_early_lose_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_warm(&f, true);
	/* One or two of each, and many turns. */
	model.hasty = true;
	write_small(&f, 40);
	model.hasty = false;
	close_warm(&f);
}

/* It was brought all the same. */
static void what_is_not_mapped_is_one_write(void **state)
{
	struct fixture f;

	(void)state;
	open_warm(&f, true);
	nothing_is_dirty = true;
	assert_true(write_small(&f, 64));
	assert_int_equal(copied, 0);
	assert_int_equal(longest_write, 64 * KIB);
	close_warm(&f);
}

static void larger_writes_have_such_buffers_when_they_are_alone(void **state)
{
	struct fixture f;

	(void)state;
	open_warm(&f, true);
	/* Not more than a buffer has. */
	for (unsigned int i = 0; i < 50; i++) {
		fill(f.gpu, 256 * KIB, i);
		write_one(&f, i * 10000, 0, 256 * KIB);
	}
	assert_int_equal(of_files, copies);
	fill(f.gpu, 2 * MIB, 1);
	write_one(&f, 100, 0, 2 * MIB);
	assert_true(of_files < copies);
	assert_file_is(&f, FILE_BYTES);
	close_warm(&f);
}

/* The descriptor that the buffers have. */
static int find_memory(void)
{
	char path[40], name[200];

	for (int fd = 3; fd < 1000; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = '\0';
		if (!strcmp(name, "/memfd:nvfs (deleted)"))
			return fd;
	}
	return -1;
}

/* Who closes all that he does not know, and opens a file of his own. */
static void a_descriptor_that_became_anothers_is_left_alone(void **state)
{
	static const struct host_map_calls kernel = { .least = take_all };
	struct fixture f;
	int fd, other;

	(void)state;
	open_warm(&f, true);
	host_map_set_calls(&kernel);
	write_small(&f, 0);
	fd = find_memory();
	assert_true(fd >= 0);
	other = mock_file(MIB);
	assert_int_equal(dup2(other, fd), fd);
	close(other);
	write_small(&f, 0);
	close_warm(&f);
	assert_int_equal(close(fd), 0);
}

static int memory_fd, in_its_place;

static void put_another_there(void)
{
	assert_int_equal(dup2(in_its_place, memory_fd), memory_fd);
}

/* From then on no buffer is taken for that file's. */
static void see_that_it_is_noticed(struct fixture *f)
{
	assert_file_is(f, FILE_BYTES);
	of_asked = 0;
	write_small(f, 0);
	assert_int_equal(of_asked, 0);
}

/* False: the pump brought nothing just then, as CPUs were short. */
static bool becomes_anothers(void)
{
	struct fixture f;
	bool met;

	open_warm(&f, true);
	/* Not so soon that none runs when a request comes. */
	model.stays = true;
	write_small(&f, 0);
	memory_fd = find_memory();
	assert_true(memory_fd >= 0);
	in_its_place = mock_file(16 * MIB);
	meanwhile_asked = put_another_there;
	for (unsigned int n = 0; meanwhile_asked && n < 200; n++) {
		fill(f.gpu, 64 * KIB, n);
		write_one(&f, 0, 0, 64 * KIB);
	}
	met = !atomic_exchange(&meanwhile_asked, NULL);
	if (met)
		see_that_it_is_noticed(&f);
	close(in_its_place);
	close_warm(&f);
	/* The other is not the engine's to close. */
	assert_int_equal(close(memory_fd), met ? 0 : -1);
	return met;
}

/* Between two copies of one write: what was had from the other file is written over. */
static void a_descriptor_that_becomes_anothers_meanwhile_is_noticed(void **state)
{
	unsigned int often = 0;

	(void)state;
	for (uint64_t since = clock_ns(); often < 3; often += becomes_anothers())
		assert_true(clock_ns() < since + 6 * PATIENCE);
}

static _Atomic uint64_t context_now;

static uint64_t tell_context(unsigned int index)
{
	assert_int_equal(index, 0);
	return context_now;
}

/* Also when such buffers are all that was used. */
static void after_a_reset_writes_fail(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pool(&f, MIB, 8 * MIB);
	show_table = fast_table;
	show_table.pin = show;
	show_table.unpin = unshow;
	show_table.context = tell_context;
	show_gpu = fast_gpu;
	show_gpu.pumps = NULL;
	show_gpu.copies = &show_table;
	gpu_set_driver(&show_gpu);
	context_now = 1;
	for (unsigned int i = 0; i < 3; i++)
		write_one(&f, i * 4096, 0, 768 * KIB);
	assert_int_equal(shown, 1);
	assert_int_equal(of_files, copies);
	context_now = 2;
	req = request(&f, 0, 0, 768 * KIB, true);
	assert_int_equal(engine_run(&req), -EIO);
	assert_int_equal(req.done, 0);
	close_mapped(&f);
	assert_int_equal(shown, 0);
}

struct writer {
	struct fixture *f;
	uint64_t at;
	pthread_t thread;
};

static void *write_slice(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = 0; i < 40; i++)
		write_one(w->f, w->at + i % 4 * 64 * KIB,
			  w->at + i % 4 * 64 * KIB, 64 * KIB);
	return NULL;
}

/* More than there are such buffers, and places for orders. */
static void threads_write_at_once(void **state)
{
	struct writer writers[8];
	struct fixture f;

	(void)state;
	open_warm(&f, true);
	fill(f.gpu, f.room, 5);
	for (unsigned int i = 0; i < 8; i++) {
		writers[i] = (struct writer){ .f = &f, .at = i * 256 * KIB };
		pthread_create(&writers[i].thread, NULL, write_slice,
			       &writers[i]);
	}
	for (unsigned int i = 0; i < 8; i++)
		pthread_join(writers[i].thread, NULL);
	assert_file_is(&f, FILE_BYTES);
	close_warm(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(small_writes_are_brought_by_the_pump),
		mock_test(turns_that_end_early_lose_nothing),
		mock_test(what_is_not_mapped_is_one_write),
		mock_test(larger_writes_have_such_buffers_when_they_are_alone),
		mock_test(a_descriptor_that_became_anothers_is_left_alone),
		mock_test(a_descriptor_that_becomes_anothers_meanwhile_is_noticed),
		mock_test(after_a_reset_writes_fail),
		mock_test(threads_write_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
