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
#include <pthread.h>
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
#define MOCK_QUEUE	1024

static struct {
	unsigned int users;
	int module_error;
	int get_error;
	int gpu_error;
	int submit_error;
	int run_error;		/* of every request */
	uint32_t reason;	/* why requests are not direct; 0: they are */
	uint32_t route;		/* of requests; 0: bounce */
	uint64_t run_limit;	/* bytes that a request may move */
	bool hold;		/* submitted requests wait for mock_end() */
	unsigned int warmed;
	struct engine_pool pool;
	struct engine_req last;	/* a copy of the newest */
	struct engine_req *queue[MOCK_QUEUE];
	unsigned int nr_queued, nr_apart;
	uint64_t regions[64];
	unsigned int nr_regions;
	enum gpu_mem_kind kind;	/* of gpu_memory */
	bool two_gpus;		/* the upper half is the second one's */
	bool no_words, capturing, needs_driver;
	unsigned int syncs;
	bool placed;			/* engine_enqueue() takes requests */
	struct engine_place place;
	struct engine_req *placed_req;
	unsigned int looked_after;
	void *entered;
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
	bool together;			/* mock_end_all() ends them so */
	unsigned int then_calls;
	void (*then)(void *arg, struct engine_req *first);
	void *then_arg;
	struct engine_req *ending, *ending_last;
	unsigned int nr_enders;		/* threads that end what was given up */
	pthread_t enders[MOCK_QUEUE];
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

int nvfs_open(unsigned int flags, struct nvfs **nvfs)
{
	assert_int_equal(flags, 0);
	*nvfs = engine_nvfs();
	return mock.module_error;
}

int nvfs_close(struct nvfs *nvfs)
{
	assert_ptr_equal(nvfs, engine_nvfs());
	return 0;
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

uint64_t gpu_bar_bytes(uint32_t bdf)
{
	return bdf == NVFS_BDF_NONE ? 0 : 1 << 30;
}

int nvfs_bdf_format(uint32_t bdf, char *text, size_t size)
{
	(void)bdf;
	snprintf(text, size, "none");
	return 0;
}

const char *nvfs_reason_text(uint32_t reason)
{
	static char text[32];

	snprintf(text, sizeof(text), "reason %u", reason);
	return text;
}

const char *nvfs_reason_remedy(uint32_t reason)
{
	return reason ? "Do this." : "";
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
	req->reason = mock.reason;
	req->route = !req->done ? NVFS_ROUTE_NONE :
		     mock.route ? mock.route : NVFS_ROUTE_BOUNCE;
	req->direct = req->route == NVFS_ROUTE_DIRECT ? req->done : 0;
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

static void mock_join(void)
{
	while (mock.nr_enders)
		pthread_join(mock.enders[--mock.nr_enders], NULL);
}

static void mock_end_all(void)
{
	while (mock.nr_queued)
		mock_end(0);
	if (mock.ending) {
		mock.then(mock.then_arg, mock.ending);
		mock.then_calls++;
	}
	mock.ending = NULL;
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

int engine_submit_apart(struct engine_req *req)
{
	assert_int_equal(req->gpu, ENGINE_HOST);
	mock.nr_apart++;
	return engine_submit(&req, 1);
}

static void *end_cancelled(void *arg)
{
	struct engine_req *req = arg;

	req->done = 0;
	req->error = -ECANCELED;
	req->complete(req);
	return NULL;
}

/* As the engine does, it has another thread end what is given up. */
int engine_cancel(struct engine_req *req)
{
	for (unsigned int i = 0; i < mock.nr_queued; i++) {
		if (mock.queue[i] != req)
			continue;
		mock.queue[i] = mock.queue[--mock.nr_queued];
		assert_true(mock.nr_enders < MOCK_QUEUE);
		assert_int_equal(
			pthread_create(&mock.enders[mock.nr_enders++], NULL,
				       end_cancelled, req), 0);
		return 0;
	}
	return -EALREADY;
}

int engine_mem_add(unsigned int gpu, uint64_t addr, uint64_t length)
{
	assert_int_equal(gpu, mock.two_gpus &&
			      addr >= (uintptr_t)gpu_memory + GPU_BYTES / 2);
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
	if (mock.two_gpus) {
		mem->index = addr >= mem->base + GPU_BYTES / 2;
		mem->length = GPU_BYTES / 2;
		mem->base += mem->index * mem->length;
	}
	mem->piece = mem->base;
	mem->piece_length = mem->length;
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

static int mock_enter(void *stream)
{
	mock.entered = stream;
	return stream == (void *)0xdead ? -EINVAL : 0;
}

static void mock_leave(void)
{
	mock.entered = NULL;
}

static int mock_call(void *stream, void (*fn)(void *arg), void *arg)
{
	assert_ptr_equal(stream, mock.entered);
	if (mock.capturing)
		return -EOPNOTSUPP;
	mock.calls[mock.nr_calls].fn = fn;
	mock.calls[mock.nr_calls++].arg = arg;
	return 0;
}

static int mock_wait(void *stream, uint32_t *word, uint32_t value)
{
	assert_ptr_equal(stream, mock.entered);
	assert_ptr_equal(word, &mock.word);
	mock.waits[mock.nr_waits++] = value;
	return 0;
}

static int mock_sync(void *stream)
{
	assert_ptr_equal(stream, mock.entered);
	mock.syncs++;
	return mock.capturing ? -EOPNOTSUPP : 0;
}

int engine_bind(struct engine_req *req, uint64_t *first, uint64_t *end)
{
	assert_true(req->length > 0);
	assert_true(*first <= req->addr && req->addr < *end);
	return mock.needs_driver ? -EAGAIN : 0;
}

/* Of each, also of those that are not bound. */
void engine_unbind(struct engine_req *req)
{
	(void)req;
}

/* No GPU is ever reset. */
void engine_await(struct engine_req *req)
{
	assert_non_null(req->complete);
}

bool engine_begin(struct engine_req *req)
{
	(void)req;
	return true;
}

bool engine_gave_up(const struct engine_req *req)
{
	(void)req;
	return false;
}

int engine_enqueue(struct engine_req *req, const struct engine_place *place)
{
	assert_true(place->first <= place->last);
	assert_non_null(place->begin);
	assert_ptr_equal(place->stream, mock.entered);
	if (!mock.placed)
		return -EAGAIN;
	mock.place = *place;
	mock.placed_req = req;
	return 0;
}

void engine_look_after(void)
{
	mock.looked_after++;
}

static int mock_word_get(uint32_t **word)
{
	*word = &mock.word;
	return 0;
}

static int mock_word_show(void *stream, uint32_t *word)
{
	assert_ptr_equal(stream, mock.entered);
	assert_ptr_equal(word, &mock.word);
	if (mock.capturing)
		return -EOPNOTSUPP;
	return mock.no_words ? -ENOSYS : 0;
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
	.enter = mock_enter,
	.leave = mock_leave,
	.call = mock_call,
	.wait = mock_wait,
	.sync = mock_sync,
	.word_get = mock_word_get,
	.word_put = mock_word_put,
	.word_show = mock_word_show,
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

/* As if the requests had all the time they need. */
void engine_linger(bool (*over)(const void *what), const void *what,
		   int64_t most_ns)
{
	(void)most_ns;
	over(what);
}

void engine_end(struct engine_req *req,
		void (*then)(void *arg, struct engine_req *first), void *arg)
{
	req->next = NULL;
	if (!mock.together || (mock.ending && mock.then_arg != arg)) {
		then(arg, req);
		return;
	}
	mock.then = then;
	mock.then_arg = arg;
	if (mock.ending)
		mock.ending_last->next = req;
	else
		mock.ending = req;
	mock.ending_last = req;
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

/* From the next opening on the log is read by mock_log(). */
static void mock_log_to_file(const char *level)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s.log", mock_path);
	setenv("CUFILE_LOGFILE_PATH", path, 1);
	setenv("CUFILE_LOGGING_LEVEL", level, 1);
}

/* What was logged since it was read; the file is gone when there was none. */
static const char *mock_log(void)
{
	static char text[65536];
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "%s.log", mock_path);
	file = fopen(path, "r+e");
	text[0] = '\0';
	if (!file)
		return text;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	assert_int_equal(ftruncate(fileno(file), 0), 0);
	fclose(file);
	return text;
}

static unsigned int mock_count_of(const char *text, const char *what)
{
	unsigned int nr = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		nr++;
	return nr;
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
	mock_join();
	assert_int_equal(mock.users, 0);
	assert_int_equal(mock.nr_regions, 0);
	if (mock_fd >= 0)
		close(mock_fd);
	mock_fd = -1;
	munmap(gpu_memory, GPU_BYTES);
	unlink(mock_path);
	strcat(mock_path, ".log");
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
	void (*log_to_file)(const char *level);
	const char *(*log)(void);
	unsigned int (*count_of)(const char *text, const char *what);
} mock_used = {
	mock_handle, mock_end, mock_setup, mock_teardown, mock_log_to_file,
	mock_log, mock_count_of,
};

#endif /* CUFILE_MOCK_H */
