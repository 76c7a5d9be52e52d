// SPDX-License-Identifier: MIT
/* Writes by a mapping of the file: bytes. */
#include "lib_engine_map.h"
#include "lib_threads.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include "common.h"
#include "crew.h"

static void writes_of_any_size_are_in_the_file(void **state)
{
	static const uint64_t lengths[] = {
		1, 4095, 4096, 20000, 32 * KIB, 64 * KIB, 64 * KIB + 1,
		256 * KIB, 300001, MIB, MIB + 4097, 3 * MIB, 3 * MIB + 4321,
	};
	static const uint64_t slots[] = { 64 * KIB, 256 * KIB, MIB };
	struct fixture f;

	(void)state;
	for (unsigned int s = 0; s < 3; s++) {
		open_pool(&f, slots[s], 2 * MIB);
		for (unsigned int i = 0; i < 13 * 3; i++) {
			uint64_t length = lengths[i % 13];
			uint64_t most = FILE_BYTES - length;
			uint64_t offset = i < 13 ? 0 : i < 26 ? most : most / 3;
			uint64_t at;

			at = i % 5 * 77 % (f.room - length);
			fill(f.gpu + at, length, i);
			write_one(&f, offset, at, length);
		}
		assert_file_is(&f, FILE_BYTES);
		/* All but a page each 4 ms, and the first here and there. */
		assert_true(copied > 5 * written);
		close_mapped(&f);
	}
}

struct writer {
	struct fixture *f;
	uint64_t first, slice, length;
	unsigned int rounds;
	pthread_t thread;
};

static void *write_slice(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = 0; i < w->rounds; i++) {
		uint64_t at = w->first + i * w->length % w->slice;

		write_one(w->f, at, at, w->length);
	}
	return NULL;
}

static void threads_write_at_once(void **state)
{
	static const uint64_t lengths[] = { 4096, 65536, 200 * KIB, 512 * KIB };
	struct writer writers[6];
	struct fixture f;

	(void)state;
	/* One buffer, then some. */
	for (unsigned int n = 0; n < 8; n++) {
		open_pool(&f, n < 4 ? 64 * KIB : 256 * KIB,
			  n < 4 ? 1 : 2 * MIB);
		fill(f.gpu, f.room, n);
		for (unsigned int i = 0; i < 6; i++) {
			writers[i] = (struct writer){
				.f = &f, .first = i * 512 * KIB,
				.length = lengths[n % 4], .rounds = 8,
			};
			writers[i].slice = 512 * KIB / lengths[n % 4] *
					   lengths[n % 4];
			pthread_create(&writers[i].thread, NULL, write_slice,
				       &writers[i]);
		}
		for (unsigned int i = 0; i < 6; i++)
			pthread_join(writers[i].thread, NULL);
		assert_file_is(&f, FILE_BYTES);
		/* Those of 4 KiB have hardly enough credit. */
		assert_true(n % 4 == 0 || copied > MIB);
		close_mapped(&f);
	}
}

/* Where it is mapped. */
static char *map_at(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long at = 0;
	char line[500];

	assert_non_null(maps);
	while (!at && fgets(line, sizeof(line), maps)) {
		if (strstr(line, "memfd:mock"))
			sscanf(line, "%lx", &at);
	}
	fclose(maps);
	assert_true(at);
	return (char *)at;
}

static bool is_there(const char *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	assert_true(fd >= 0);
	assert_int_equal(syscall(SYS_pread64, fd, &entry, 8,
				 (uintptr_t)at / 4096 * 8), 8);
	close(fd);
	return entry >> 63;
}

static void write_small(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += 32 * KIB)
		write_one(f, at, 0, 32 * KIB);
}

/* Not only from the second on that lies in it, as where there was nothing before. */
static void a_run_goes_on_in_the_next_block(void **state)
{
	struct fixture f;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 3);
	write_small(&f, MIB, MIB + 768 * KIB);
	reset();
	write_small(&f, MIB + 768 * KIB, 3 * MIB);
	assert_true(copied > MIB);
	assert_in_range(longest_write, 0, 4096);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

/*
 * What was touched long ago is asked for once more, and unmapped only where it was
 * cleaned; and who writes a little each minute has not 2 MiB given to the drive each time.
 */
static void what_is_old_is_seen_again(void **state)
{
	char *first, *second;
	struct fixture f;

	(void)state;
	clean_too = true;
	open_mapped(&f);
	fill(f.gpu, f.room, 3);
	write_one(&f, 0, 0, 3 * MIB);
	write_small(&f, MIB, 2 * MIB);
	first = map_at();
	second = first + 2 * MIB;
	/* Some went by write(2). */
	for (volatile char *at = first; at < first + 3 * MIB; at += 4096)
		*at = *at;
	/* As what is found protected, which is no more there. */
	assert_int_equal(madvise(second, 512 * KIB, MADV_DONTNEED), 0);
	assert_true(is_there(second + 768 * KIB));
	/* See TOUCH_UNITS, and EPOCH_NS_SHIFT. */
	usleep(12000000);
	reset();
	write_small(&f, 2 * MIB, 2 * MIB + 32 * KIB);
	assert_int_equal(longest_write, 32 * KIB);
	write_one(&f, 0, 0, 512 * KIB);
	assert_true(is_there(first + MIB));
	write_one(&f, 2 * MIB, 0, 512 * KIB);
	assert_false(is_there(second + 768 * KIB));
	/* Clean. */
	clean_from = 0;
	clean_to = 2 * MIB;
	write_one(&f, 0, 0, 512 * KIB);
	assert_false(is_there(first + MIB));
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
	clean_too = false;
}

static int cut_fd;

static void cut_it(void)
{
	assert_int_equal(ftruncate(cut_fd, 5000), 0);
}

/* No signal, and all is there: as if it had been cut before. */
static void a_file_that_is_cut_off_meanwhile_is_written(void **state)
{
	struct engine_req req;
	unsigned char *now;
	struct fixture f;

	(void)state;
	for (uint64_t length = 64 * KIB; length <= 3 * MIB; length *= 3) {
		open_mapped(&f);
		/* So that not the first page is what goes by write(2). */
		write_one(&f, 0, 0, MIB);
		cut_fd = f.file.fd;
		fill(f.gpu, f.room, length);
		meanwhile = cut_it;
		req = request(&f, 0, 0, length, true);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, length);
		assert_null(meanwhile);
		now = malloc(length);
		/* Parts that were written before it was cut are gone. */
		assert_int_equal(syscall(SYS_pread64, f.file.fd, now, length,
					 req.file_offset), length);
		assert_memory_equal(now + length - 4096, f.gpu + length - 4096,
				    4096);
		free(now);
		close_mapped(&f);
	}
}

static void what_can_not_be_copied_goes_by_write(void **state)
{
	uint64_t begun;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	refuse_with = -EFAULT;
	fill(f.gpu, f.room, 1);
	begun = now_ns();
	for (unsigned int i = 0; i < 3; i++)
		write_one(&f, 0, i, 3 * MIB);
	/* One of each thread, and not again before a while is over. */
	assert_in_range(copies, 1, 5 + 5 * ((now_ns() - begun) / 10000000));
	assert_int_equal(copied, 0);
	refuse_with = 0;
	usleep(15000);
	write_one(&f, 0, 7, 3 * MIB);
	assert_true(copied > 2 * MIB);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

static void a_kernel_without_it_is_asked_once(void **state)
{
	static const int errors[] = { -ENOSYS, -EPERM };
	unsigned int asked;
	struct fixture f;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		open_mapped(&f);
		refuse_with = errors[i];
		write_one(&f, 0, 0, 3 * MIB);
		asked = copies;
		assert_true(asked);
		usleep(15000);
		write_one(&f, 0, 5, 3 * MIB);
		assert_int_equal(copies, asked);
		assert_file_is(&f, FILE_BYTES);
		close_mapped(&f);
	}
}

static void a_write_behind_the_end_makes_the_file_longer(void **state)
{
	struct fixture f;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 9);
	write_one(&f, FILE_BYTES - MIB, 0, MIB + 5000);
	assert_int_equal(copies, 0);
	assert_file_is(&f, FILE_BYTES + 5000);
	close_mapped(&f);
}

static void what_is_clean_goes_by_write(void **state)
{
	struct fixture f;

	(void)state;
	open_mapped(&f);
	nothing_is_dirty = true;
	write_one(&f, 0, 3, 3 * MIB);
	assert_int_equal(copies, 0);
	assert_int_equal(written, 3 * MIB);
	nothing_is_dirty = false;
	write_one(&f, 0, 5, 3 * MIB);
	assert_true(copied > 2 * MIB);
	close_mapped(&f);
}

/* Where that is as fast, but not what the drive is being given. */
static void what_is_clean_is_mapped_where_it_may_be(void **state)
{
	struct fixture f;

	(void)state;
	clean_too = true;
	open_mapped(&f);
	nothing_is_dirty = true;
	for (unsigned int i = 0; i < 5; i++) {
		fill(f.gpu, f.room, i);
		write_one(&f, i * 5, 3, 3 * MIB);
	}
	assert_true(copied > 14 * MIB);
	reset();
	all_is_going = true;
	fill(f.gpu, f.room, 9);
	write_one(&f, 0, 3, 3 * MIB);
	write_one(&f, 9, 3, 64 * KIB);
	assert_int_equal(copies, 0);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
	clean_too = false;
}

/* Which only those see who write it, and they look before they touch. */
static void what_is_clean_in_the_middle_goes_by_write(void **state)
{
	struct fixture f;

	(void)state;
	open_mapped(&f);
	clean_from = 500 * KIB;
	clean_to = 1100 * KIB;
	for (unsigned int i = 0; i < 5; i++) {
		fill(f.gpu, f.room, i);
		reset();
		write_one(&f, 0, 0, 3 * MIB);
		assert_in_range(written, 600 * KIB, MIB + 64 * KIB);
		assert_true(copied >= 2 * MIB - 64 * KIB);
	}
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

/* A folio of 2 MiB would be written to the drive for a few bytes. */
static void few_bytes_here_and_there_are_not_mapped(void **state)
{
	struct fixture f;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 4);
	for (unsigned int i = 0; i < 120; i++)
		write_one(&f, (i * 37 % 120 + 1) * 16 * KIB % (2 * MIB), 0, 4096);
	assert_int_equal(copies, 0);
	/* What follows itself is, soon. */
	for (unsigned int i = 0; i < 64; i++)
		write_one(&f, 2 * MIB + i * 4096, 0, 4096);
	assert_in_range(copies, 20, 49);
	/* And here there have been many by now. */
	reset();
	for (unsigned int i = 0; i < 120; i++)
		write_one(&f, (i * 37 % 120 + 1) * 16 * KIB % (2 * MIB), 0, 4096);
	assert_in_range(copies, 60, 120);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

/* Nor does the first thread have to be there. */
static void *write_alone(void *arg)
{
	static const struct host_map_calls only_least = { .least = take_all };
	struct fixture *f = arg;

	usleep(20000);
	host_map_set_calls(&only_least);
	write_one(f, 0, 0, 3 * MIB);
	_exit(!written || written > MIB);
	return NULL;
}

static void the_first_thread_may_have_ended(void **state)
{
	struct fixture f;
	pthread_t thread;
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		open_mapped(&f);
		pthread_create(&thread, NULL, write_alone, &f);
		pthread_exit(NULL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}

/* More spans than there is room for, and one buffer. */
static void a_copy_fails_behind_what_there_is_room_for(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pool(&f, 64 * KIB, 1);
	for (unsigned int i = 0; i < 20; i++) {
		fill(f.gpu, f.room, i);
		req = request(&f, 0, 0, 3 * MIB, true);
		fast_bad_addr = (uintptr_t)f.gpu + i * 150 * KIB;
		assert_int_equal(engine_run(&req), -EFAULT);
		assert_in_range(req.done, i * 150 * KIB < 64 * KIB ? 0 :
				i * 150 * KIB - 64 * KIB, i * 150 * KIB);
	}
	fast_bad_addr = 0;
	write_one(&f, 0, 0, 3 * MIB);
	close_mapped(&f);
}

static int beside_fd;
static _Atomic bool over;

static void *change_size(void *arg)
{
	(void)arg;
	while (!over) {
		assert_int_equal(ftruncate(beside_fd, 2 * MIB + 100), 0);
		assert_int_equal(ftruncate(beside_fd, FILE_BYTES), 0);
	}
	return NULL;
}

/* No signal, no error, and what nobody cuts off is there. */
static void its_size_may_change_all_the_time(void **state)
{
	struct engine_req req;
	struct fixture f;
	pthread_t thread;

	(void)state;
	open_mapped(&f);
	beside_fd = f.file.fd;
	over = false;
	pthread_create(&thread, NULL, change_size, NULL);
	for (unsigned int i = 0; i < 30; i++) {
		unsigned char *now = malloc(2 * MIB);

		fill(f.gpu, f.room, i);
		req = request(&f, 0, 0, 3 * MIB, true);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, req.length);
		assert_int_equal(syscall(SYS_pread64, f.file.fd, now, 2 * MIB,
					 0), 2 * MIB);
		assert_memory_equal(now, f.gpu, 2 * MIB);
		free(now);
	}
	over = true;
	pthread_join(thread, NULL);
	assert_true(copied);
	close_mapped(&f);
}

static void a_closed_file_is_an_error(void **state)
{
	struct engine_req req;
	struct fixture f;
	int copy;

	(void)state;
	open_mapped(&f);
	write_one(&f, 0, 0, 3 * MIB);
	copy = dup(f.file.fd);
	close(f.file.fd);
	req = request(&f, 0, 0, 3 * MIB, true);
	assert_int_equal(engine_run(&req), -EBADF);
	assert_int_equal(req.done, 0);
	assert_int_equal(dup2(copy, f.file.fd), f.file.fd);
	close(copy);
	close_mapped(&f);
}

static void a_copy_from_the_gpu_that_fails_ends_it_there(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	for (uint64_t at = 0; at < 2 * MIB; at += 300 * KIB + 77) {
		fill(f.gpu, f.room, at);
		req = request(&f, 0, 0, 2 * MIB, true);
		fast_bad_addr = (uintptr_t)f.gpu + at;
		assert_int_equal(engine_run(&req), -EFAULT);
		assert_in_range(req.done, at < 256 * KIB ? 0 : at - 256 * KIB,
				at);
		assert_int_equal(pread(f.file.fd, f.bytes, FILE_BYTES, 0),
				 FILE_BYTES);
		assert_memory_equal(f.bytes, f.gpu, req.done);
	}
	fast_bad_addr = 0;
	close_mapped(&f);
}

static _Atomic uint64_t no_room_from;

static int no_room(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	return offset + length > no_room_from ? ENOSPC : 0;
}

static void an_error_of_write_is_told(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	refuse_with = -EFAULT;
	no_room_from = MIB;
	file_hook = no_room;
	fill(f.gpu, f.room, 3);
	req = request(&f, 0, 0, 3 * MIB, true);
	assert_int_equal(engine_run(&req), -ENOSPC);
	assert_in_range(req.done, MIB - 64 * KIB, MIB);
	/* Also of the few bytes that go by it when the others do not. */
	refuse_with = 0;
	no_room_from = 0;
	usleep(15000);
	req = request(&f, 0, 0, 3 * MIB, true);
	assert_int_equal(engine_run(&req), -ENOSPC);
	assert_true(req.done < 3 * MIB);
	close_mapped(&f);
}

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	assert_int_equal(req->error, 0);
	assert_int_equal(req->done, req->length);
	ended++;
}

static void those_of_a_batch_are_mapped(void **state)
{
	struct engine_req reqs[64], *all[64];
	struct fixture f;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 2);
	for (unsigned int round = 0; round < 4; round++) {
		ended = 0;
		for (unsigned int i = 0; i < 64; i++) {
			uint64_t length = round < 3 ? 16 * KIB : 48 * KIB;

			reqs[i] = request(&f, i * length, i * length, length,
					  true);
			reqs[i].complete = count_end;
			all[i] = &reqs[i];
			memcpy(f.bytes + i * length, f.gpu + i * length,
			       length);
		}
		assert_int_equal(engine_submit(all, 64), 0);
		while (ended < 64)
			sched_yield();
		assert_file_is(&f, FILE_BYTES);
	}
	assert_true(copied > 2 * MIB);
	close_mapped(&f);
}

static void bytes_of_host_memory_are_mapped(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 12);
	req = request(&f, 1000, 0, 3 * MIB, true);
	req.gpu = ENGINE_HOST;
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 3 * MIB);
	memcpy(f.bytes + 1000, f.gpu, 3 * MIB);
	assert_file_is(&f, FILE_BYTES);
	assert_true(copied > 2 * MIB);
	close_mapped(&f);
}

static unsigned int threads_at_first;

static int note_threads(void *queue, const struct gpu_copy *list, unsigned int nr,
			bool out, unsigned int mark)
{
	if (!threads_at_first)
		threads_at_first = threads_now();
	return fast_start(queue, list, nr, out, mark);
}

/* Those of before may be seen for a moment after they were joined. */
static unsigned int count_settled(void)
{
	unsigned int nr = threads_now(), again;

	for (unsigned int same = 0; same < 20; same = again == nr ? same + 1 : 0) {
		nr = threads_now();
		usleep(1000);
		again = threads_now();
	}
	return nr;
}

/* The first threads are made when somebody is called. */
static void its_first_copy_is_begun_before_others_are_called(void **state)
{
	static struct gpu_copies table;
	static struct gpu_driver gpu;
	unsigned int before;
	struct fixture f;

	(void)state;
	if (crew_cpus() == 1)
		skip();
	open_mapped(&f);
	table = fast_table;
	table.start = note_threads;
	gpu = fast_gpu;
	gpu.copies = &table;
	gpu_set_driver(&gpu);
	fill(f.gpu, f.room, 4);
	before = count_settled();
	threads_at_first = 0;
	write_one(&f, 0, 0, 3 * MIB);
	assert_int_equal(threads_at_first, before);
	assert_true(threads_now() > before);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(writes_of_any_size_are_in_the_file),
		mock_test(threads_write_at_once),
		mock_test(a_run_goes_on_in_the_next_block),
		mock_test(what_is_old_is_seen_again),
		mock_test(a_file_that_is_cut_off_meanwhile_is_written),
		mock_test(what_can_not_be_copied_goes_by_write),
		mock_test(a_kernel_without_it_is_asked_once),
		mock_test(a_write_behind_the_end_makes_the_file_longer),
		mock_test(what_is_clean_goes_by_write),
		mock_test(what_is_clean_is_mapped_where_it_may_be),
		mock_test(what_is_clean_in_the_middle_goes_by_write),
		mock_test(few_bytes_here_and_there_are_not_mapped),
		mock_test(the_first_thread_may_have_ended),
		mock_test(a_copy_fails_behind_what_there_is_room_for),
		mock_test(its_size_may_change_all_the_time),
		mock_test(a_closed_file_is_an_error),
		mock_test(a_copy_from_the_gpu_that_fails_ends_it_there),
		mock_test(an_error_of_write_is_told),
		mock_test(those_of_a_batch_are_mapped),
		mock_test(bytes_of_host_memory_are_mapped),
		mock_test(its_first_copy_is_begun_before_others_are_called),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
