// SPDX-License-Identifier: MIT
/* The engine's route through host memory: which bytes arrive, and when not. */
#include "lib_fast.h"

#include <sys/resource.h>
#include <sys/wait.h>

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define FILE_BYTES	(3 * MIB + 4321)

/* An open engine, without module, a file, its bytes, and GPU memory. */
struct fixture {
	struct engine_file file;
	unsigned char *bytes;
	unsigned char *gpu;
	uint64_t room;
};

static void small_pool(uint64_t slot, uint64_t pinned, unsigned int threads)
{
	struct engine_pool pool;

	engine_pool_get(&pool);
	pool.slot_bytes = slot;
	pool.pinned_bytes = pinned;
	pool.threads = threads;
	pool.spin_us = 50;
	assert_int_equal(engine_pool_set(&pool), 0);
}

static void open_fixture(struct fixture *f)
{
	uint64_t addr;
	int fd;

	mock_open_errno = ENOENT;
	gpu_set_driver(&fast_gpu);
	small_pool(256 * KIB, 2 * MIB, 4);
	assert_int_equal(engine_get(), 0);
	fd = mock_file(FILE_BYTES);
	f->room = 4 * MIB;
	f->bytes = malloc(f->room);
	assert_non_null(f->bytes);
	assert_int_equal(pread(fd, f->bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(mock_gpu_alloc(0, f->room, &addr), 0);
	f->gpu = (unsigned char *)(uintptr_t)addr;
	assert_int_equal(engine_file_init(&f->file, fd), 0);
}

static void close_fixture(struct fixture *f)
{
	engine_file_fini(&f->file);
	close(f->file.fd);
	engine_put();
	mock_gpu_free(0, (uintptr_t)f->gpu);
	free(f->bytes);
	assert_int_equal(fast_live, 0);
	assert_int_equal(fast_pinned, 0);
	file_hook = NULL;
	file_most = 0;
	file_direct = -1;
	fast_no_host = false;
	fast_no_queue = false;
	fast_bad_addr = 0;
	memset(&fast_mem, 0, sizeof(fast_mem));
}

static struct engine_req request(struct fixture *f, uint64_t offset,
				 uint64_t at, uint64_t length, bool write)
{
	return (struct engine_req){
		.file = &f->file,
		.file_offset = offset,
		.addr = (uintptr_t)f->gpu + at,
		.length = length,
		.write = write,
	};
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(read_at_any_size_and_alignment),
		mock_test(read_with_o_direct_at_any_size_and_alignment),
		mock_test(read_behind_the_end_is_nothing),
		mock_test(write_at_any_size_and_alignment),
		mock_test(many_threads_read_their_own_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
