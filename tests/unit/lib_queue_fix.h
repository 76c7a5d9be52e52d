/* SPDX-License-Identifier: MIT */
/* A handle with a file, GPU memory and a queue, with or without the module. */
#ifndef LIB_QUEUE_FIX_H
#define LIB_QUEUE_FIX_H

#include "lib_fast.h"

#include "libnvfs_async.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define FILE_BYTES	(2 * MIB)
#define BLOCK		(4 * KIB)
#define DEPTH		64U
#define FOREVER		(-1)

/* A handle, a file with its bytes, GPU memory, and a queue. */
struct fixture {
	struct nvfs *nvfs;
	struct nvfs_file *file;
	struct nvfs_queue *queue;
	int fd;
	unsigned char *bytes;
	unsigned char *gpu;
};

/* As many threads on every machine. */
static inline void small_pool(void)
{
	struct engine_pool pool;

	engine_pool_get(&pool);
	pool.slot_bytes = 256 * KIB;
	pool.pinned_bytes = 2 * MIB;
	pool.threads = 4;
	assert_int_equal(engine_pool_set(&pool), 0);
}

static inline void open_with_memory(struct fixture *f, bool module,
				    uint64_t length)
{
	uint64_t addr = 0;

	small_pool();
	mock_model();
	if (!module)
		mock_open_errno = ENOENT;
	gpu_set_driver(&fast_gpu);
	/* So that the program's pread() sees all reads. */
	ring_refuse(-EPERM);
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &f->nvfs), 0);
	f->fd = mock_file(FILE_BYTES);
	f->bytes = malloc(FILE_BYTES);
	assert_non_null(f->bytes);
	assert_int_equal(pread(f->fd, f->bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(mock_gpu_alloc(0, length, &addr), 0);
	f->gpu = (unsigned char *)(uintptr_t)addr;
	fast_mem = (struct gpu_mem){ .kind = GPU_MEM_DEVICE, .base = addr,
				     .length = length, .id = 1 };
	assert_int_equal(nvfs_file_open(f->nvfs, f->fd, 0, &f->file), 0);
	assert_int_equal(nvfs_queue_open(f->nvfs, DEPTH, &f->queue), 0);
}

static inline void open_fixture(struct fixture *f, bool module)
{
	open_with_memory(f, module, FILE_BYTES);
}

static inline void close_fixture(struct fixture *f)
{
	assert_int_equal(nvfs_queue_close(f->queue), 0);
	assert_int_equal(nvfs_file_close(f->file), 0);
	assert_int_equal(nvfs_close(f->nvfs), 0);
	close(f->fd);
	free(f->bytes);
	mock_gpu_free(0, (uintptr_t)f->gpu);
	memset(&fast_mem, 0, sizeof(fast_mem));
	file_hook = NULL;
	assert_int_equal(fast_live, 0);
	assert_int_equal(fast_pinned, 0);
}

/* Block @i of the file, to or from the same place in memory. */
static inline struct nvfs_io block(struct fixture *f, unsigned int i,
				   uint32_t flags)
{
	return (struct nvfs_io){
		.file = f->file,
		.file_offset = i * BLOCK,
		.addr = (uintptr_t)f->gpu + i * BLOCK,
		.length = BLOCK,
		.flags = flags,
		.user_data = i,
	};
}

static inline int submit_one(struct fixture *f, struct nvfs_io io)
{
	return nvfs_queue_submit(f->queue, &io, 1, NULL);
}

static inline struct nvfs_done wait_one(struct fixture *f)
{
	struct nvfs_done done;

	memset(&done, 0xff, sizeof(done));
	assert_int_equal(nvfs_queue_wait(f->queue, 1, &done, 1, FOREVER), 1);
	return done;
}

static inline struct nvfs_done run_one(struct fixture *f, struct nvfs_io io)
{
	assert_int_equal(submit_one(f, io), 0);
	return wait_one(f);
}

#endif /* LIB_QUEUE_FIX_H */
