/* SPDX-License-Identifier: MIT */
/* An open engine without the module, a file, its bytes, and GPU memory. */
#ifndef LIB_ENGINE_FIX_H
#define LIB_ENGINE_FIX_H

#include "lib_fast.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define FILE_BYTES	(3 * MIB + 4321)

struct fixture {
	struct engine_file file;
	unsigned char *bytes;
	unsigned char *gpu;
	uint64_t room;
};

static inline void small_pool(uint64_t slot, uint64_t pinned,
			      unsigned int threads)
{
	struct engine_pool pool;

	engine_pool_get(&pool);
	pool.slot_bytes = slot;
	pool.pinned_bytes = pinned;
	pool.threads = threads;
	pool.parallel = 0;
	pool.spin_us = 50;
	assert_int_equal(engine_pool_set(&pool), 0);
}

/* The engine is open, or opened here. */
static inline void open_rest(struct fixture *f)
{
	uint64_t addr = 0;
	int fd;

	gpu_set_driver(&fast_gpu);
	/* So that the program's pread() sees all reads. */
	ring_refuse(-EPERM);
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

static inline void open_fixture(struct fixture *f)
{
	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 2 * MIB, 4);
	open_rest(f);
}

static inline void close_fixture(struct fixture *f)
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
	file_is_memory = false;
	fast_no_host = false;
	fast_no_queue = false;
	fast_bad_addr = 0;
	memset(&fast_mem, 0, sizeof(fast_mem));
}

static inline struct engine_req request(struct fixture *f, uint64_t offset,
					uint64_t at, uint64_t length,
					bool write)
{
	return (struct engine_req){
		.file = &f->file,
		.file_offset = offset,
		.addr = (uintptr_t)f->gpu + at,
		.length = length,
		.write = write,
	};
}

/* Of files of mock_file(), in this process. */
static inline unsigned int count_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int nr = 0;
	char line[500];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "memfd:mock") != NULL;
	fclose(maps);
	return nr;
}

#endif /* LIB_ENGINE_FIX_H */
