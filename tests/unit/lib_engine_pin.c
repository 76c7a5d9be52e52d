// SPDX-License-Identifier: MIT
/* Reads of the page cache by the GPU itself. */
#include "lib_engine_pin.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <sys/wait.h>

#include "abi.h"
#include "common.h"

static void what_is_read_again_is_read_where_it_lies(void **state)
{
	static const uint64_t lengths[] = {
		65537, 70001, 128 * KIB, MIB, MIB + 4097, 3 * MIB, FILE_BYTES,
	};
	unsigned int copies, calls;
	uint64_t begun;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	calls = file_calls;
	begun = now_ns();
	for (unsigned int i = 0; i < 7 * 4; i++) {
		uint64_t most = FILE_BYTES - lengths[i % 7];
		uint64_t offset = i < 7 ? 0 : i < 14 ? most : most / (i % 5 + 2);

		copies = pins.copies;
		read_bytes(&f, offset, i * 77 % 4096, lengths[i % 7]);
		assert_int_equal(pins.copies, copies + 1);
	}
	/* Nothing was read in another way, but a byte each second. */
	assert_true(file_calls - calls <= 1 + (now_ns() - begun) / 1000000000);
	assert_int_equal(count_maps(), 2);
	assert_int_equal(pins.made, 1);
	engine_file_fini(&f.file);
	assert_int_equal(pins.nr, 0);
	assert_int_equal(count_maps(), 0);
	close_pins(&f);
}

static void what_is_read_twice_is_pinned(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	read_bytes(&f, 0, 0, FILE_BYTES);
	read_bytes(&f, 0, 0, 4096);
	assert_true(comes_to(&pins.made, 1));
	/* Nothing else could be read meanwhile but what the other way gives. */
	assert_int_equal(pins.copies, 0);
	close_pins(&f);
}

static void what_is_read_once_is_not_pinned(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	for (uint64_t at = 0; at < FILE_BYTES; at += 64 * KIB)
		read_bytes(&f, at, 0, at + 64 * KIB < FILE_BYTES ? 64 * KIB :
			   FILE_BYTES - at);
	usleep(20000);
	assert_int_equal(pins.made, 0);
	close_pins(&f);
}

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	(void)req;
	ended++;
}

static void what_was_submitted_is_read_so_too(void **state)
{
	struct engine_req reqs[4], *all[4];
	unsigned int copies;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	copies = pins.copies;
	ended = 0;
	memset(f.gpu, 0, f.room);
	for (unsigned int i = 0; i < 4; i++) {
		reqs[i] = request(&f, i * 700 * KIB, i * MIB, 700 * KIB, false);
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
	assert_int_equal(engine_submit(all, 4), 0);
	assert_true(comes_to(&ended, 4));
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, 700 * KIB);
		assert_memory_equal(f.gpu + i * MIB, f.bytes + i * 700 * KIB,
				    700 * KIB);
	}
	assert_int_equal(pins.copies, copies + 4);
	close_pins(&f);
}

static void bytes_that_are_written_meanwhile_are_read(void **state)
{
	unsigned int copies;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	copies = pins.copies;
	for (unsigned int i = 0; i < 50; i++) {
		memset(f.bytes + i * 1000, (int)(i + 1), 100 * KIB);
		assert_int_equal(pwrite(f.file.fd, f.bytes + i * 1000, 100 * KIB,
					i * 1000), 100 * KIB);
		read_bytes(&f, 0, 0, MIB);
	}
	assert_int_equal(pins.copies, copies + 50);
	assert_int_equal(pins.made, 1);
	close_pins(&f);
}

/* Of the file that @f has, from @offset on. */
static void replace(struct fixture *f, uint64_t offset, unsigned int with)
{
	memset(f->bytes + offset, (int)with, FILE_BYTES - offset);
	assert_int_equal(pwrite(f->file.fd, f->bytes + offset,
				FILE_BYTES - offset, (off_t)offset),
			 FILE_BYTES - offset);
}

/* The GPU still sees what they had, and that counts for nothing. */
static void pages_that_were_cut_off_are_not_read(void **state)
{
	unsigned int copies;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	copies = pins.copies;
	assert_int_equal(ftruncate(f.file.fd, 2 * MIB), 0);
	assert_int_equal(ftruncate(f.file.fd, FILE_BYTES), 0);
	replace(&f, 2 * MIB, 0x77);
	read_bytes(&f, 2 * MIB - 100 * KIB, 0, 200 * KIB);
	assert_int_equal(pins.copies, copies + 1);
	/* It is given up, and comes back. */
	assert_true(comes_to(&pins.nr, 0));
	have_it_pinned(&f);
	assert_int_equal(pins.made, 2);
	read_bytes(&f, 0, 0, FILE_BYTES);
	close_pins(&f);
}

static void holes_are_read_as_such(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	assert_int_equal(fallocate(f.file.fd, FALLOC_FL_PUNCH_HOLE |
				   FALLOC_FL_KEEP_SIZE, MIB, 64 * KIB), 0);
	memset(f.bytes + MIB, 0, 64 * KIB);
	read_bytes(&f, MIB - 64 * KIB, 0, 512 * KIB);
	assert_true(comes_to(&pins.nr, 0));
	close_pins(&f);
}

static int cut_fd;

/* And as bytes that are nowhere else. */
static void append(void)
{
	char more[100];

	memset(more, 0x77, sizeof(more));
	assert_int_equal(pwrite(cut_fd, more, 100, FILE_BYTES), 100);
}

/* A page's rest is zeros, which are no bytes of the file. */
static void what_is_appended_during_the_copy_is_not_zeros(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	cut_fd = f.file.fd;
	pins.meanwhile = append;
	req = request(&f, FILE_BYTES - MIB, 0, MIB + 100, false);
	assert_int_equal(engine_run(&req), 0);
	assert_true(req.done == MIB || req.done == MIB + 100);
	assert_memory_equal(f.gpu, f.bytes + FILE_BYTES - MIB, MIB);
	append();
	req = request(&f, FILE_BYTES - MIB, 0, MIB + 100, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, MIB + 100);
	assert_memory_equal(f.gpu, f.bytes + FILE_BYTES - MIB, MIB);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(f.gpu[MIB + i], 0x77);
	pins.meanwhile = NULL;
	close_pins(&f);
}

static struct fixture *changing;

/* Pages that were pinned a moment ago are others now, and all are there again. */
static void change(void)
{
	assert_int_equal(fallocate(cut_fd, FALLOC_FL_PUNCH_HOLE |
				   FALLOC_FL_KEEP_SIZE, 0, 64 * KIB), 0);
	memset(changing->bytes, 0x66, 64 * KIB);
	assert_int_equal(pwrite(cut_fd, changing->bytes, 64 * KIB, 0), 64 * KIB);
	/* Whoever touches the mapping, as the driver does further on. */
	for (unsigned int i = 0; i < MOST_PINS; i++) {
		if (pins.all[i].host)
			assert_int_equal(madvise(pins.all[i].host, 64 * KIB,
						 MADV_POPULATE_READ), 0);
	}
}

static void pages_that_change_while_they_are_pinned_are_not_read(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pins(&f);
	cut_fd = f.file.fd;
	changing = &f;
	pins.pinning = change;
	/* The second reads what is changed just then. */
	for (unsigned int i = 0; i < 2; i++) {
		req = request(&f, 0, 0, FILE_BYTES, false);
		assert_int_equal(engine_run(&req), 0);
	}
	assert_true(comes_to(&pins.made, 1));
	assert_true(comes_to(&pins.nr, 0));
	assert_null(pins.pinning);
	for (unsigned int i = 0; i < 3; i++)
		read_bytes(&f, 0, 0, MIB);
	close_pins(&f);
}

/* As mlockall(2), without a sanitizer's own memory, and without that in the way. */
static void lock_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	unsigned int nr = 0;
	char line[500];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "memfd:mock") ||
		    sscanf(line, "%lx-%lx ", &start, &end) != 2)
			continue;
		nr += !syscall(SYS_mlock, start, 64 * KIB);
		syscall(SYS_munlock, start, 64 * KIB);
	}
	fclose(maps);
	/* But for the one that nobody may touch. */
	assert_int_equal(nr, 1);
}

/* Also when the pages that came in their place are mapped, as by mlockall(2). */
static void a_mapping_that_was_touched_does_not_count(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	cut_fd = f.file.fd;
	changing = &f;
	change();
	lock_maps();
	read_bytes(&f, 0, 0, MIB);
	assert_true(comes_to(&pins.nr, 0));
	close_pins(&f);
}

static void cut_and_grow(void)
{
	assert_int_equal(ftruncate(cut_fd, 5000), 0);
	assert_int_equal(ftruncate(cut_fd, FILE_BYTES), 0);
}

static void cut(void)
{
	assert_int_equal(ftruncate(cut_fd, 5000), 0);
}

static void a_file_that_is_cut_off_during_the_copy_is_read_again(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	for (unsigned int way = 0; way < 2; way++) {
		open_pins(&f);
		have_it_pinned(&f);
		cut_fd = f.file.fd;
		pins.meanwhile = way ? cut : cut_and_grow;
		req = request(&f, 0, 0, MIB, false);
		assert_int_equal(engine_run(&req), 0);
		assert_null(pins.meanwhile);
		assert_int_equal(req.done, way ? 5000 : MIB);
		assert_memory_equal(f.gpu, f.bytes, 5000);
		for (unsigned int i = 5000; !way && i < MIB; i++)
			assert_int_equal(f.gpu[i], 0);
		close_pins(&f);
	}
}

static void a_descriptor_of_another_file_reads_that(void **state)
{
	struct fixture f;
	int other;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	other = mock_file(FILE_BYTES);
	memset(f.bytes, 0x33, FILE_BYTES);
	assert_int_equal(pwrite(other, f.bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(dup2(other, f.file.fd), f.file.fd);
	close(other);
	read_bytes(&f, 0, 0, MIB);
	assert_true(comes_to(&pins.nr, 0));
	read_twice(&f);
	close_pins(&f);
}

static void reads_at_the_end_are_as_ever(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	for (uint64_t left = 0; left < 300 * KIB; left += 99999) {
		memset(f.gpu, 0x5a, f.room);
		req = request(&f, FILE_BYTES - left, 0, 400 * KIB, false);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, left);
		assert_memory_equal(f.gpu, f.bytes + FILE_BYTES - left, left);
		assert_int_equal(f.gpu[left], 0x5a);
	}
	/* It ends in the same page, whose rest is zeros now. */
	assert_int_equal(ftruncate(f.file.fd, FILE_BYTES - 50), 0);
	req = request(&f, FILE_BYTES - 300 * KIB, 0, 300 * KIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 300 * KIB - 50);
	assert_int_equal(pwrite(f.file.fd, f.bytes + FILE_BYTES - 50, 50,
				FILE_BYTES - 50), 50);
	/* It has grown, and its block has not. */
	assert_int_equal(ftruncate(f.file.fd, FILE_BYTES + 65536), 0);
	memset(f.bytes + FILE_BYTES, 0, 65536);
	read_bytes(&f, FILE_BYTES - 400 * KIB, 0, 465536 - 65536 + 30000);
	close_pins(&f);
}

static int never_there(int pagemap, const void *at, uint64_t length)
{
	(void)pagemap;
	(void)at;
	(void)length;
	return 1;
}

static void what_can_not_be_pinned_is_read_as_ever(void **state)
{
	struct host_pin_calls calls = pins_as_ever;
	struct fixture f;

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		open_pins(&f);
		pins.refuse_with = i == 0 ? -EIO : i == 1 ? -EOPNOTSUPP : 0;
		if (i == 2)
			not_cached_from = 2 * MIB;
		calls.most = i == 3 ? MIB : 4 * MIB;
		calls.absent = i == 4 ? never_there : count_absent;
		say_pins(&calls);
		for (unsigned int n = 0; n < 8; n++) {
			read_bytes(&f, 0, 0, FILE_BYTES);
			usleep(2000);
		}
		assert_int_equal(pins.nr, 0);
		assert_int_equal(count_maps(), 0);
		pins.made = 0;
		/* Now it could; but who says never is not asked again. */
		pins.refuse_with = 0;
		not_cached_from = UINT64_MAX;
		calls.most = 4 * MIB;
		calls.absent = count_absent;
		say_pins(&calls);
		for (unsigned int n = 0; n < 8; n++) {
			read_bytes(&f, 0, 0, FILE_BYTES);
			usleep(2000);
		}
		assert_int_equal(pins.made, i != 1);
		close_pins(&f);
	}
}

static void a_copy_that_fails_is_made_in_another_way(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	fast_bad_addr = (uintptr_t)f.gpu + 4096;
	req = request(&f, 0, 0, MIB, false);
	assert_int_equal(engine_run(&req), -EFAULT);
	fast_bad_addr = 0;
	read_bytes(&f, 0, 0, MIB);
	close_pins(&f);
}

static void make_room(unsigned int way)
{
	struct host_pin_calls calls = pins_as_ever;
	struct fixture f, g;

	open_pins(&f);
	calls.most = way ? 0 : 4 * MIB;
	calls.blocks = way ? 1 : 4;
	say_pins(&calls);
	have_it_pinned(&f);
	g = f;
	assert_int_equal(engine_file_init(&g.file, mock_file(FILE_BYTES)), 0);
	/* The first is in use. */
	read_twice(&g);
	usleep(20000);
	assert_int_equal(pins.made, 1);
	calls.idle_ns = 0;
	say_pins(&calls);
	have_it_pinned(&g);
	assert_int_equal(pins.made, 2);
	assert_int_equal(pins.nr, 1);
	read_bytes(&f, 0, 0, MIB);
	engine_file_fini(&g.file);
	close(g.file.fd);
	close_pins(&f);
}

/* There are too many bytes, or blocks. */
static void idle_blocks_make_room_for_others(void **state)
{
	(void)state;
	make_room(0);
	make_room(1);
}

struct reader {
	struct fixture *f;
	unsigned int seed;
	pthread_t thread;
};

static void *read_here_and_there(void *arg)
{
	struct reader *r = arg;
	uint64_t room = 512 * KIB;

	for (unsigned int i = 0; i < 100; i++) {
		uint64_t offset = (i * 7919 + r->seed * 104729) * 64 %
				  (3 * MIB - room);

		read_bytes(r->f, offset, r->seed * room, room - i * 4096);
	}
	return NULL;
}

/* Blocks come and go while they are used. */
static void threads_read_while_blocks_are_given_up(void **state)
{
	struct reader readers[4];
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	memset(f.bytes + MIB, 0, 4096);
	assert_int_equal(pwrite(f.file.fd, f.bytes + MIB, 4096, MIB), 4096);
	for (unsigned int i = 0; i < 4; i++) {
		readers[i] = (struct reader){ .f = &f, .seed = i };
		pthread_create(&readers[i].thread, NULL, read_here_and_there,
			       &readers[i]);
	}
	for (unsigned int i = 0; i < 20; i++) {
		/* The same bytes in other pages. */
		assert_int_equal(fallocate(f.file.fd, FALLOC_FL_PUNCH_HOLE |
					   FALLOC_FL_KEEP_SIZE, MIB, 4096), 0);
		usleep(10000);
	}
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(readers[i].thread, NULL);
	assert_true(pins.made > 1);
	close_pins(&f);
}

static void a_closed_engine_has_nothing_pinned(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	engine_put();
	assert_int_equal(pins.nr, 0);
	assert_int_equal(count_maps(), 0);
	assert_int_equal(engine_get(), 0);
	have_it_pinned(&f);
	assert_int_equal(pins.made, 2);
	close_pins(&f);
}

/* Its address must not become anything else's. */
static void what_the_driver_keeps_stays_mapped(void **state)
{
	struct fixture f;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	pins.keeps = true;
	engine_file_fini(&f.file);
	assert_int_equal(pins.nr, 0);
	assert_int_equal(count_maps(), 1);
	close_pins(&f);
}

static void a_child_leaves_all_to_its_parent(void **state)
{
	struct fixture f;
	int status;
	pid_t pid;

	(void)state;
	open_pins(&f);
	have_it_pinned(&f);
	pid = fork();
	if (!pid) {
		if (count_maps())
			_exit(1);
		engine_file_fini(&f.file);
		_exit(pins.nr == 1 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	read_bytes(&f, 0, 0, MIB);
	close_pins(&f);
}

static void it_can_be_switched_off(void **state)
{
	struct engine_pool pool;
	struct fixture f;

	(void)state;
	engine_pool_get(&pool);
	pool.no_pin = true;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_pins(&f);
	for (unsigned int i = 0; i < 5; i++)
		read_bytes(&f, 0, 0, FILE_BYTES);
	usleep(20000);
	assert_int_equal(pins.made, 0);
	close_pins(&f);
	pool.no_pin = false;
	assert_int_equal(engine_pool_set(&pool), 0);
}

/* Of this kernel, if it can tell. */
static void absent_pages_are_told(void **state)
{
	char *at = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = abi_pagemap();

	(void)state;
	assert_true(at != MAP_FAILED);
	assert_true(fd >= 0);
	memset(at, 1, 64 * 4096);
	if (abi_pages_absent(fd, at, 1) == -ENOTTY) {
		munmap(at, 64 * 4096);
		close(fd);
		skip();
	}
	assert_int_equal(abi_pages_absent(fd, at, 64 * 4096), 0);
	assert_int_equal(abi_pages_absent(fd, at + 5000, 100), 0);
	assert_int_equal(madvise(at + 8 * 4096, 4096, MADV_DONTNEED), 0);
	assert_int_equal(abi_pages_absent(fd, at, 64 * 4096), 1);
	assert_int_equal(abi_pages_absent(fd, at, 8 * 4096), 0);
	assert_int_equal(abi_pages_absent(fd, at, 8 * 4096 + 1), 1);
	assert_int_equal(abi_pages_absent(fd, at + 9 * 4096, 55 * 4096), 0);
	assert_int_equal(abi_pages_absent(fd, at + 9 * 4096 - 1, 1), 1);
	/* Nor to be touched, and still there. */
	assert_int_equal(mprotect(at, 4096, PROT_NONE), 0);
	assert_int_equal(abi_pages_absent(fd, at, 4096), 0);
	munmap(at, 64 * 4096);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(what_is_read_again_is_read_where_it_lies),
		mock_test(what_is_read_twice_is_pinned),
		mock_test(what_is_read_once_is_not_pinned),
		mock_test(what_was_submitted_is_read_so_too),
		mock_test(bytes_that_are_written_meanwhile_are_read),
		mock_test(pages_that_were_cut_off_are_not_read),
		mock_test(holes_are_read_as_such),
		mock_test(what_is_appended_during_the_copy_is_not_zeros),
		mock_test(pages_that_change_while_they_are_pinned_are_not_read),
		mock_test(a_mapping_that_was_touched_does_not_count),
		mock_test(a_file_that_is_cut_off_during_the_copy_is_read_again),
		mock_test(a_descriptor_of_another_file_reads_that),
		mock_test(reads_at_the_end_are_as_ever),
		mock_test(what_can_not_be_pinned_is_read_as_ever),
		mock_test(a_copy_that_fails_is_made_in_another_way),
		mock_test(idle_blocks_make_room_for_others),
		mock_test(threads_read_while_blocks_are_given_up),
		mock_test(a_closed_engine_has_nothing_pinned),
		mock_test(what_the_driver_keeps_stays_mapped),
		mock_test(a_child_leaves_all_to_its_parent),
		mock_test(it_can_be_switched_off),
		mock_test(absent_pages_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
