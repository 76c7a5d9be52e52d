// SPDX-License-Identifier: MIT
/* The engine's route through host memory: which bytes arrive, and when not. */
#include "lib_engine_fix.h"

#include <sys/resource.h>

#include "lane.h"

/* Exactly [at, at + length) changed, and to the file's bytes. */
static void assert_read(struct fixture *f, uint64_t offset, uint64_t at,
			uint64_t length)
{
	struct engine_req req = request(f, offset, at, length, false);
	uint64_t have = offset < FILE_BYTES ? FILE_BYTES - offset : 0;
	uint64_t good = length < have ? length : have;

	memset(f->gpu, 0xaa, f->room);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, good);
	assert_memory_equal(f->gpu + at, f->bytes + offset, good);
	for (uint64_t i = 0; i < at; i++)
		assert_int_equal(f->gpu[i], 0xaa);
	for (uint64_t i = at + length; i < f->room; i++)
		assert_int_equal(f->gpu[i], 0xaa);
	assert_int_equal(req.route, good ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE);
	if (length)
		assert_int_equal(req.reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(req.direct, 0);
}

static const uint64_t sizes[] = { 0, 1, 511, 4096, 4097, 65536, 65537,
				  262144, 300001, 1048576, 3 * MIB + 4321 };

static void read_at_any_size_and_alignment(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_read(&f, 0, 0, sizes[i]);
		assert_read(&f, 4099, 13, sizes[i]);
	}
	close_fixture(&f);
}

static void read_with_o_direct_at_any_size_and_alignment(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	assert_int_equal(f.file.align, 4096);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_read(&f, 0, 0, sizes[i]);
		assert_read(&f, 4099, 13, sizes[i]);
		assert_read(&f, 8192, 0, sizes[i]);
	}
	/* All of that was possible without a second open file. */
	assert_int_equal(f.file.twin, -1);
	close_fixture(&f);
}

static void read_behind_the_end_is_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_read(&f, FILE_BYTES, 0, 4096);
	assert_read(&f, FILE_BYTES + 1, 0, MIB);
	assert_read(&f, FILE_BYTES - 1, 0, MIB);
	assert_read(&f, FILE_BYTES - 600 * KIB, 0, MIB);
	close_fixture(&f);
}

static void assert_write(struct fixture *f, uint64_t offset, uint64_t at,
			 uint64_t length)
{
	struct engine_req req = request(f, offset, at, length, true);
	unsigned char *got = malloc(f->room);

	assert_non_null(got);
	for (uint64_t i = 0; i < f->room; i++)
		f->gpu[i] = (unsigned char)(i * 7 + (i >> 9) + length);
	memcpy(f->bytes + offset, f->gpu + at, length);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, length);
	assert_int_equal(syscall(SYS_pread64, f->file.fd, got, FILE_BYTES, 0),
			 FILE_BYTES);
	assert_memory_equal(got, f->bytes, FILE_BYTES);
	free(got);
}

static void write_at_any_size_and_alignment(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i + 1 < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_write(&f, 0, 0, sizes[i]);
		assert_write(&f, 4099, 13, sizes[i]);
	}
	engine_file_fini(&f.file);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	for (unsigned int i = 0; i + 1 < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_write(&f, 4099, 13, sizes[i]);
		assert_write(&f, 8192, 0, sizes[i]);
	}
	close_fixture(&f);
}

/* Threads that all read at random, each into memory of its own. */

struct reader {
	struct fixture *f;
	unsigned int id;
	pthread_t thread;
};

static void *read_at_random(void *arg)
{
	struct reader *reader = arg;
	struct fixture *f = reader->f;
	uint64_t share = f->room / 8, at = share * reader->id;
	uint64_t seed = reader->id + 1;

	for (unsigned int i = 0; i < 60; i++) {
		struct engine_req req;
		uint64_t offset, length;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		offset = (seed >> 33) % (FILE_BYTES - share);
		length = (seed >> 17) % (i % 3 ? 9000 : share);
		req = request(f, offset, at, length, false);
		memset(f->gpu + at, 0xaa, length);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, length);
		assert_memory_equal(f->gpu + at, f->bytes + offset, length);
	}
	return NULL;
}

static void many_threads_read_their_own_bytes(void **state)
{
	struct reader readers[8];
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < 8; i++) {
		readers[i] = (struct reader){ .f = &f, .id = i };
		assert_int_equal(pthread_create(&readers[i].thread, NULL,
						read_at_random, &readers[i]), 0);
	}
	for (unsigned int i = 0; i < 8; i++)
		pthread_join(readers[i].thread, NULL);
	close_fixture(&f);
}

/* Files that do as they like. */

static uint64_t bad_from;
static int bad_errno;

static int fail_from(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	return offset + length > bad_from ? bad_errno : 0;
}

static void error_in_the_middle_tells_how_much_is_good(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	bad_errno = EIO;
	for (bad_from = 0; bad_from < 3 * MIB; bad_from += 700 * KIB + 1) {
		req = request(&f, 0, 0, 3 * MIB, false);
		file_hook = fail_from;
		assert_int_equal(engine_run(&req), -EIO);
		file_hook = NULL;
		assert_true(req.done <= bad_from);
		assert_memory_equal(f.gpu, f.bytes, req.done);
		assert_int_equal(req.route, req.done ? NVFS_ROUTE_BOUNCE :
						       NVFS_ROUTE_NONE);
	}
	/* In the middle of a part, what one call gave counts. */
	bad_from = 2 * MIB + 100;
	file_most = 100;
	req = request(&f, 0, 0, 3 * MIB, false);
	file_hook = fail_from;
	assert_int_equal(engine_run(&req), -EIO);
	assert_true(req.done > MIB);
	close_fixture(&f);
}

static void write_error_tells_how_much_is_good(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	bad_errno = ENOSPC;
	bad_from = 2 * MIB;
	file_hook = fail_from;
	req = request(&f, 0, 0, 3 * MIB, true);
	assert_int_equal(engine_run(&req), -ENOSPC);
	assert_true(req.done && req.done <= bad_from);
	file_hook = NULL;
	assert_int_equal(pread(f.file.fd, f.bytes, req.done, 0), req.done);
	assert_memory_equal(f.gpu, f.bytes, req.done);
	close_fixture(&f);
}

static _Atomic unsigned int interruptions;

static int interrupt_often(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)length;
	(void)offset;
	return atomic_fetch_add(&interruptions, 1) % 3 ? EINTR : 0;
}

static void short_and_interrupted_transfers_go_on(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	file_most = 30000;
	file_hook = interrupt_often;
	assert_read(&f, 4099, 13, MIB + 1);
	close_fixture(&f);
}

static void closed_file_is_ebadf(void **state)
{
	struct engine_req req;
	struct fixture f;
	int fd;

	(void)state;
	open_fixture(&f);
	fd = f.file.fd;
	f.file.fd = 1 << 20;
	req = request(&f, 0, 0, MIB, false);
	assert_int_equal(engine_run(&req), -EBADF);
	assert_int_equal(req.done, 0);
	assert_int_equal(engine_file_init(&f.file, 1 << 20), -EBADF);
	f.file.fd = fd;
	close_fixture(&f);
}

static void ranges_that_wrap_are_refused(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	req = request(&f, INT64_MAX, 0, 4096, false);
	assert_int_equal(engine_run(&req), -EOVERFLOW);
	req = request(&f, 0, 0, 4096, false);
	req.addr = UINT64_MAX - 100;
	assert_int_equal(engine_run(&req), -EOVERFLOW);
	req = request(&f, 0, 0, 4096, false);
	req.gpu = 2;
	assert_int_equal(engine_run(&req), -ENODEV);
	req = request(&f, 0, 0, 4096, false);
	req.file = NULL;
	assert_int_equal(engine_run(&req), -EINVAL);
	close_fixture(&f);
}

/* Drivers. */

static void works_without_pinned_memory(void **state)
{
	struct fixture f;

	(void)state;
	fast_no_host = true;
	open_fixture(&f);
	assert_read(&f, 4099, 13, 3 * MIB);
	assert_write(&f, 4099, 13, MIB);
	close_fixture(&f);
}

static void works_without_a_queue(void **state)
{
	struct fixture f;

	(void)state;
	fast_no_queue = true;
	open_fixture(&f);
	assert_read(&f, 4099, 13, 3 * MIB);
	assert_write(&f, 4099, 13, MIB);
	assert_int_equal(fast_live, 0);
	close_fixture(&f);
}

static void works_with_one_buffer_for_all(void **state)
{
	struct reader readers[8];
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	small_pool(64 * KIB, 1, 4);
	open_rest(&f);
	for (unsigned int i = 0; i < 8; i++) {
		readers[i] = (struct reader){ .f = &f, .id = i };
		pthread_create(&readers[i].thread, NULL, read_at_random,
			       &readers[i]);
	}
	for (unsigned int i = 0; i < 8; i++)
		pthread_join(readers[i].thread, NULL);
	assert_int_equal(fast_pinned, 1);
	close_fixture(&f);
}

static void memory_that_is_none_is_an_error(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	fast_bad_addr = (uintptr_t)f.gpu + 2 * MIB + 5;
	for (int write = 0; write < 2; write++) {
		req = request(&f, 0, 0, 3 * MIB, write);
		assert_int_equal(engine_run(&req), -EFAULT);
		assert_true(req.done <= 2 * MIB + 5);
		req = request(&f, 0, 2 * MIB, 4096, write);
		assert_int_equal(engine_run(&req), -EFAULT);
		assert_int_equal(req.done, 0);
	}
	close_fixture(&f);
}

/* Copies of different requests that went to the copy engine together. */
static void refused_copy_spoils_no_other(void **state)
{
	struct lane_copy copies[3] = { 0 };
	unsigned char host[3 * 4096];
	struct fixture f;
	struct lane lane;

	(void)state;
	open_fixture(&f);
	memset(host, 0x11, sizeof(host));
	fast_bad_addr = (uintptr_t)f.gpu + 4096;
	lane_init(&lane, &fast_gpu, 0, false, NULL);
	lane_open(&lane);
	for (unsigned int i = 0; i < 3; i++)
		copies[i].copy = (struct gpu_copy){
			.gpu = (uintptr_t)f.gpu + i * 4096,
			.host = host + i * 4096, .length = 4096,
		};
	lane_push(&lane, copies, 3);
	while (lane_state(&lane, copies, 3) == LANE_BUSY)
		lane_drive(&lane);
	assert_int_equal(copies[0].state, 0);
	assert_int_equal(copies[1].state, -EFAULT);
	assert_int_equal(copies[2].state, 0);
	assert_memory_equal(f.gpu, host, 4096);
	assert_memory_equal(f.gpu + 8192, host, 4096);
	lane_close(&lane);
	close_fixture(&f);
}

static void host_memory_is_read_and_written(void **state)
{
	unsigned char *memory = malloc(3 * MIB);
	struct engine_req req;
	struct fixture f;

	(void)state;
	assert_non_null(memory);
	open_fixture(&f);
	req = request(&f, 4099, 0, 3 * MIB - 1, false);
	req.addr = (uintptr_t)memory + 1;
	req.gpu = ENGINE_HOST;
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 3 * MIB - 1);
	assert_memory_equal(memory + 1, f.bytes + 4099, req.done);
	req.write = true;
	req.file_offset = 0;
	req.length = MIB;
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(pread(f.file.fd, f.gpu, MIB, 0), MIB);
	assert_memory_equal(f.gpu, memory + 1, MIB);
	/* No GPU was needed for any of that. */
	assert_int_equal(mock_gpu_inits, 0);
	close_fixture(&f);
	free(memory);
}

static void *fill_pipe(void *arg)
{
	struct fixture *f = arg;
	int fd = (int)f->room;

	for (uint64_t done = 0; done < FILE_BYTES;) {
		ssize_t n = write(fd, f->bytes + done, FILE_BYTES - done);

		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	close(fd);
	return NULL;
}

static void pipe_is_read_in_order(void **state)
{
	struct engine_req req;
	struct fixture f, writer;
	pthread_t thread;
	int old, fds[2];

	(void)state;
	open_fixture(&f);
	old = f.file.fd;
	assert_int_equal(pipe(fds), 0);
	writer = f;
	writer.room = (uint64_t)fds[1];
	assert_int_equal(pthread_create(&thread, NULL, fill_pipe, &writer), 0);
	assert_int_equal(engine_file_init(&f.file, fds[0]), 0);
	assert_false(f.file.seekable);
	req = request(&f, 0, 0, f.room, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, FILE_BYTES);
	assert_memory_equal(f.gpu, f.bytes, FILE_BYTES);
	pthread_join(thread, NULL);
	close(fds[0]);
	f.file.fd = old;
	close_fixture(&f);
}

static void odd_o_direct_write_without_descriptors_is_an_error(void **state)
{
	struct rlimit limit, none;
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	req = request(&f, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	req = request(&f, 1, 0, 4096, true);
	assert_int_equal(engine_run(&req), -EINVAL);
	assert_int_equal(req.done, 0);
	/* What needs none still works. */
	req = request(&f, 1, 0, 100000, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	req = request(&f, 1, 0, 4096, true);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 4096);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(read_at_any_size_and_alignment),
		mock_test(read_with_o_direct_at_any_size_and_alignment),
		mock_test(read_behind_the_end_is_nothing),
		mock_test(write_at_any_size_and_alignment),
		mock_test(many_threads_read_their_own_bytes),
		mock_test(error_in_the_middle_tells_how_much_is_good),
		mock_test(write_error_tells_how_much_is_good),
		mock_test(short_and_interrupted_transfers_go_on),
		mock_test(closed_file_is_ebadf),
		mock_test(ranges_that_wrap_are_refused),
		mock_test(works_without_pinned_memory),
		mock_test(works_without_a_queue),
		mock_test(works_with_one_buffer_for_all),
		mock_test(memory_that_is_none_is_an_error),
		mock_test(refused_copy_spoils_no_other),
		mock_test(host_memory_is_read_and_written),
		mock_test(pipe_is_read_in_order),
		mock_test(odd_o_direct_write_without_descriptors_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
