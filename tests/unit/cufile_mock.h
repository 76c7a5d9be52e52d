/* SPDX-License-Identifier: MIT */
/*
 * What libcufile stands on, played by the test: an engine whose requests end
 * when the test says so, and a GPU driver whose memory is an array.
 */
#ifndef CUFILE_MOCK_H
#define CUFILE_MOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cufile/cufile_priv.h"
#include "libnvfs.h"

#define GPU_BYTES	(1U << 20)

static struct {
	unsigned int users;
	int module_error;
	int get_error;
	int gpu_error;
	int submit_error;
	int run_error;		/* of every request */
	uint64_t run_limit;	/* bytes that a request may move */
	bool hold;		/* submitted requests wait for mock_end() */
	unsigned int warmed;
	struct engine_pool pool;
	struct engine_req last;	/* a copy of the newest */
	struct engine_req *queue[1024];
	unsigned int nr_queued;
	uint64_t regions[64];
	unsigned int nr_regions;
	enum gpu_mem_kind kind;	/* of gpu_memory */
	bool no_words, capturing, needs_driver;
	unsigned int syncs;
	uint32_t word;
	struct {
		void (*fn)(void *arg);
		void *arg;
	} calls[64];
	unsigned int nr_calls;
	uint32_t waits[64];
	unsigned int nr_waits;
	int uring_error;
	unsigned int forced;
	int force_error;
} mock;

/* Page aligned, so that what is near its end is found out. */
static uint8_t *gpu_memory;

/* ------------------------------------------------------------- the engine */

int engine_get(void)
{
	if (!mock.get_error)
		mock.users++;
	return mock.get_error;
}

void engine_put(void)
{
	assert_true(mock.users > 0);
	mock.users--;
}

int engine_uring(void)
{
	return mock.uring_error;
}

struct nvfs *engine_nvfs(void)
{
	return (struct nvfs *)&mock;
}

int nvfs_module_error(struct nvfs *nvfs)
{
	(void)nvfs;
	return mock.module_error;
}

int nvfs_get_info(struct nvfs *nvfs, struct nvfs_info *info)
{
	(void)nvfs;
	info->version_major = 1;
	info->version_minor = 2;
	return mock.module_error;
}

int nvfs_gpu_count(struct nvfs *nvfs)
{
	(void)nvfs;
	return mock.gpu_error ? mock.gpu_error : 1;
}

int nvfs_gpu_get(struct nvfs *nvfs, unsigned int index, struct nvfs_gpu *gpu)
{
	(void)nvfs;
	memset(gpu, 0, sizeof(*gpu));
	gpu->bdf = NVFS_BDF_NONE;
	return index ? -ENODEV : mock.gpu_error;
}

int nvfs_bdf_format(uint32_t bdf, char *text, size_t size)
{
	(void)bdf;
	snprintf(text, size, "none");
	return 0;
}

int engine_file_init(struct engine_file *file, int fd)
{
	file->fd = fd;
	file->twin = -1;
	return 0;
}

int engine_file_force_direct(struct engine_file *file)
{
	assert_true(file->fd >= 0);
	mock.forced++;
	return mock.force_error;
}

void engine_file_fini(struct engine_file *file)
{
	file->fd = -2;
}

void engine_pool_get(struct engine_pool *pool)
{
	*pool = mock.pool;
}

int engine_pool_set(const struct engine_pool *pool)
{
	mock.pool = *pool;
	return 0;
}

static void mock_move(struct engine_req *req)
{
	uint64_t length = req->length;
	void *memory = (void *)(uintptr_t)req->addr;
	ssize_t n;

	req->error = mock.run_error;
	req->done = 0;
	if (mock.run_limit && length > mock.run_limit)
		length = mock.run_limit;
	n = req->write ? pwrite(req->file->fd, memory, length,
				(off_t)req->file_offset) :
			 pread(req->file->fd, memory, length,
			       (off_t)req->file_offset);
	if (n < 0 && !req->error)
		req->error = -errno;
	if (n > 0)
		req->done = (uint64_t)n;
}

int engine_run(struct engine_req *req)
{
	mock.last = *req;
	mock_move(req);
	return req->error;
}

static void mock_end(unsigned int index)
{
	struct engine_req *req = mock.queue[index];

	mock.queue[index] = mock.queue[--mock.nr_queued];
	mock_move(req);
	req->complete(req);
}

static void mock_end_all(void)
{
	while (mock.nr_queued)
		mock_end(0);
}

int engine_submit(struct engine_req *const *reqs, unsigned int nr)
{
	if (mock.submit_error)
		return mock.submit_error;
	for (unsigned int i = 0; i < nr; i++) {
		mock.last = *reqs[i];
		mock.queue[mock.nr_queued++] = reqs[i];
	}
	if (!mock.hold)
		mock_end_all();
	return 0;
}

int engine_cancel(struct engine_req *req)
{
	for (unsigned int i = 0; i < mock.nr_queued; i++) {
		if (mock.queue[i] != req)
			continue;
		mock.queue[i] = mock.queue[--mock.nr_queued];
		req->done = 0;
		req->error = -ECANCELED;
		req->complete(req);
		return 0;
	}
	return -EALREADY;
}

int engine_mem_add(unsigned int gpu, uint64_t addr, uint64_t length)
{
	assert_int_equal(gpu, 0);
	assert_true(length > 0);
	mock.regions[mock.nr_regions++] = addr;
	return 0;
}

int engine_mem_del(uint64_t addr)
{
	for (unsigned int i = 0; i < mock.nr_regions; i++) {
		if (mock.regions[i] != addr)
			continue;
		mock.regions[i] = mock.regions[--mock.nr_regions];
		return 0;
	}
	return -ENOENT;
}

/* ---------------------------------------------------------------- the GPU */

static int mock_classify(uint64_t addr, struct gpu_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
	if (addr < (uintptr_t)gpu_memory ||
	    addr >= (uintptr_t)gpu_memory + GPU_BYTES)
		return 0;
	mem->kind = mock.kind;
	mem->base = (uintptr_t)gpu_memory;
	mem->length = GPU_BYTES;
	return 0;
}

static int mock_count(void)
{
	return 1;
}

static int mock_uuid(unsigned int index, uint8_t *uuid)
{
	memset(uuid, (int)index + 1, 16);
	return 0;
}

static int mock_key(void *stream, uint64_t key[2])
{
	key[0] = 0;
	key[1] = (uintptr_t)stream;
	return stream == (void *)0xbad ? -EINVAL : 0;
}

static int mock_call(void *stream, void (*fn)(void *arg), void *arg)
{
	(void)stream;
	if (mock.capturing)
		return -EOPNOTSUPP;
	mock.calls[mock.nr_calls].fn = fn;
	mock.calls[mock.nr_calls++].arg = arg;
	return 0;
}

static int mock_wait(void *stream, uint32_t *word, uint32_t value)
{
	(void)stream;
	assert_ptr_equal(word, &mock.word);
	mock.waits[mock.nr_waits++] = value;
	return 0;
}

static int mock_sync(void *stream)
{
	(void)stream;
	mock.syncs++;
	return mock.capturing ? -EOPNOTSUPP : 0;
}

bool engine_needs_driver(const struct engine_req *req)
{
	assert_true(req->length > 0);
	return mock.needs_driver;
}

static int mock_word_get(uint32_t **word)
{
	if (mock.no_words)
		return -ENOSYS;
	*word = &mock.word;
	return 0;
}

static void mock_word_put(uint32_t *word)
{
	assert_ptr_equal(word, &mock.word);
}

static int mock_stream_error(void)
{
	return 400;
}

static const struct gpu_streams mock_streams = {
	.key = mock_key,
	.call = mock_call,
	.wait = mock_wait,
	.sync = mock_sync,
	.word_get = mock_word_get,
	.word_put = mock_word_put,
	.error = mock_stream_error,
};

static const struct gpu_driver mock_driver = {
	.name = "mock",
	.count = mock_count,
	.classify = mock_classify,
	.uuid = mock_uuid,
	.streams = &mock_streams,
};

int engine_gpu(const struct gpu_driver **driver)
{
	*driver = &mock_driver;
	return mock.gpu_error;
}

void engine_warm_used(void)
{
	assert_true(mock.users > 0);
	mock.warmed++;
}

/* ------------------------------------------------------------- for tests */

static char mock_path[64];
static int mock_fd = -1;

static inline uint8_t mock_byte(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 4096);
}

/* A file of 64 KiB with known bytes. */
static int mock_file(int flags)
{
	uint8_t data[65536];
	int fd = open(mock_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = mock_byte(i);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	close(fd);
	fd = open(mock_path, flags | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static CUfileError_t mock_register(int fd, CUfileHandle_t *fh)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };

	descr.handle.fd = fd;
	return cuFileHandleRegister(fh, &descr);
}

static CUfileHandle_t mock_handle(void)
{
	CUfileHandle_t fh = NULL;

	mock_fd = mock_file(O_RDWR);
	assert_int_equal(mock_register(mock_fd, &fh).err, CU_FILE_SUCCESS);
	return fh;
}

static void mock_clean_environment(void)
{
	static const char *const names[] = {
		"CUFILE_ENV_PATH_JSON", "CUFILE_FORCE_COMPAT_MODE",
		"CUFILE_ALLOW_COMPAT_MODE", "CUFILE_USE_PCIP2PDMA",
		"CUFILE_LOGGING_LEVEL", "CUFILE_LOGFILE_PATH",
		"CUFILE_LOGFILE_MAX_SIZE_MB", "CUFILE_SKIP_TOPOLOGY_DETECTION",
		"NVFS_GPU_COPIES",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

static int mock_setup(void **state)
{
	(void)state;
	memset(&mock, 0, sizeof(mock));
	mock.kind = GPU_MEM_DEVICE;
	mock_clean_environment();
	snprintf(mock_path, sizeof(mock_path), "/tmp/cufile-unit-%d",
		 (int)getpid());
	gpu_memory = mmap(NULL, GPU_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return gpu_memory == MAP_FAILED;
}

/* Whatever a test left is ended, and nothing remains in the engine. */
static int mock_teardown(void **state)
{
	(void)state;
	mock_end_all();
	while (cuFileUseCount() > 0)
		assert_int_equal(cuFileDriverClose().err, CU_FILE_SUCCESS);
	assert_int_equal(mock.users, 0);
	assert_int_equal(mock.nr_regions, 0);
	if (mock_fd >= 0)
		close(mock_fd);
	mock_fd = -1;
	munmap(gpu_memory, GPU_BYTES);
	unlink(mock_path);
	return 0;
}

#define MOCK_TEST(f)	\
	cmocka_unit_test_setup_teardown(f, mock_setup, mock_teardown)
#define assert_cufile(call, code)	\
	assert_int_equal((call).err, CU_FILE_##code)

/* Not every test uses all of it. */
__attribute__((unused)) static const struct {
	CUfileHandle_t (*handle)(void);
	void (*end)(unsigned int index);
	int (*setup)(void **state);
	int (*teardown)(void **state);
} mock_used = {
	mock_handle, mock_end, mock_setup, mock_teardown,
};

#endif /* CUFILE_MOCK_H */
