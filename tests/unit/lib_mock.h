/* SPDX-License-Identifier: MIT */
/*
 * What stands in for the kernel and for the GPU in the library's unit tests.
 * Included once per test program.
 *
 * Scripted: mock_expect() says which call must come next, byte for byte, and
 * what it answers; mock_end() fails when one did not come.
 * Model: mock_model() makes READ and WRITE really move bytes between the file
 * and the fake GPU memory, which is host memory.
 */
#ifndef LIB_MOCK_H
#define LIB_MOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi.h"
#include "gpu.h"
#include "libnvfs.h"
#include "room.h"

#define MOCK_CALLS	32
#define MOCK_FD_PATH	"/dev/null"

/**
 * struct mock_call - one call to come
 * @in: the structure must be this on entry
 * @out: it is this on return
 * @error: 0 or a positive errno value
 */
struct mock_call {
	unsigned long request;
	size_t size;
	union {
		struct nvfs_info info;
		struct nvfs_register reg;
		struct nvfs_unregister unreg;
		struct nvfs_rw rw;
		struct nvfs_query query;
	} in, out;
	int error;
};

static struct mock_call mock_calls[MOCK_CALLS];
static unsigned int mock_nr, mock_next;
static int mock_open_errno;
static int (*mock_handler)(unsigned long request, void *arg);

static inline int mock_open(const char *path, int flags)
{
	assert_string_equal(path, "/dev/nvidia-fs");
	assert_int_equal(flags, O_RDWR | O_CLOEXEC);
	if (mock_open_errno) {
		errno = mock_open_errno;
		return -1;
	}
	return open(MOCK_FD_PATH, O_RDWR | O_CLOEXEC);
}

static inline int mock_ioctl(int fd, unsigned long request, void *arg)
{
	const struct mock_call *call;

	assert_true(fd >= 0);
	if (mock_handler)
		return mock_handler(request, arg);
	if (mock_next == mock_nr)
		fail_msg("call 0x%lx was not expected", request);
	call = &mock_calls[mock_next++];
	assert_int_equal(request, call->request);
	assert_memory_equal(arg, &call->in, call->size);
	memcpy(arg, &call->out, call->size);
	if (!call->error)
		return 0;
	errno = call->error;
	return -1;
}

static const struct abi_seam mock_seam = {
	.open = mock_open,
	.ioctl = mock_ioctl,
};

static inline void mock_expect(unsigned long request, const void *in,
			       const void *out, size_t size, int error)
{
	struct mock_call *call = &mock_calls[mock_nr++];

	assert_true(mock_nr <= MOCK_CALLS);
	memset(call, 0, sizeof(*call));
	call->request = request;
	call->size = size;
	memcpy(&call->in, in, size);
	memcpy(&call->out, out, size);
	call->error = error;
}

static inline void mock_expect_info(void)
{
	struct nvfs_info in = { .size = sizeof(in) };
	struct nvfs_info out = {
		.size = sizeof(out),
		.version_major = NVFS_VERSION_MAJOR,
		.version_minor = NVFS_VERSION_MINOR,
		.provider_version = 0x20000,
	};

	mock_expect(NVFS_IOC_INFO, &in, &out, sizeof(in), 0);
}

static inline void mock_expect_register(uint64_t addr, uint64_t length,
					uint32_t flags, uint32_t id, int error)
{
	struct nvfs_register in = {
		.size = sizeof(in),
		.flags = flags,
		.source = NVFS_SOURCE_P2P,
		.fd = -1,
		.addr = addr,
		.length = length,
	};
	struct nvfs_register out = in;

	out.region = error ? 0 : id;
	out.page_source = NVFS_PAGES_ZONE;
	out.gpu = 0x3b00;
	mock_expect(NVFS_IOC_REGISTER, &in, &out, sizeof(in), error);
}

static inline void mock_expect_unregister(uint32_t id, int error)
{
	struct nvfs_unregister arg = { .size = sizeof(arg), .region = id };

	mock_expect(NVFS_IOC_UNREGISTER, &arg, &arg, sizeof(arg), error);
}

/* What is asked for, and what is answered. */
struct mock_rw {
	unsigned long request;
	uint32_t id;
	uint32_t flags;
	int fd;
	uint64_t region_offset;
	uint64_t file_offset;
	uint64_t length;
	int error;
	uint64_t done;
	uint32_t route;
	uint32_t reason;
};

static inline void mock_expect_rw(struct mock_rw rw)
{
	struct nvfs_rw in = {
		.size = sizeof(in),
		.flags = rw.flags,
		.region = rw.id,
		.fd = rw.fd,
		.region_offset = rw.region_offset,
		.file_offset = rw.file_offset,
		.length = rw.length,
	};
	struct nvfs_rw out = in;

	out.done = rw.done;
	out.route = rw.route;
	out.reason = rw.reason;
	mock_expect(rw.request, &in, &out, sizeof(in), rw.error);
}

static inline void mock_end(void)
{
	assert_int_equal(mock_next, mock_nr);
	mock_nr = 0;
	mock_next = 0;
}

/* The GPU: two of them, whose memory is the host's. */

static bool mock_gpu_missing, mock_gpu_misaligned, mock_gpu_full;
static int mock_gpu_inits, mock_gpu_exits, mock_gpu_live, mock_gpu_copy_error;
static uint64_t mock_gpu_copied, mock_gpu_end;

static inline int mock_gpu_init(void)
{
	mock_gpu_inits++;
	return mock_gpu_missing ? -ENOSYS : 0;
}

static inline void mock_gpu_exit(void)
{
	mock_gpu_exits++;
}

static inline int mock_gpu_count(void)
{
	return 2;
}

static inline int mock_gpu_describe(unsigned int index, struct nvfs_gpu *gpu)
{
	gpu->bdf = 0x3b00 + index * 0x100;
	gpu->memory = 1 << 30;
	snprintf(gpu->name, sizeof(gpu->name), "Mock %u", index);
	return 0;
}

/* Mapped, so that what lies behind an allocation is not somebody else's. */
static inline int mock_gpu_alloc(unsigned int index, uint64_t length,
				 uint64_t *addr)
{
	void *memory;

	(void)index;
	if (mock_gpu_full || length > 1ULL << 30)
		return -ENOMEM;
	/* At most 2^30 bytes and 64 KiB before and behind. */
	if (posix_memalign(&memory, 65536, length + 131072))
		return -ENOMEM;
	memset(memory, 0xaa, length + 131072);
	*addr = (uint64_t)(uintptr_t)memory;
	/* As drivers do with small ones: only these are cut out. */
	if (mock_gpu_misaligned)
		*addr += 512;
	mock_gpu_end = *addr + length;
	mock_gpu_live++;
	return 0;
}

static inline int mock_gpu_free(unsigned int index, uint64_t addr)
{
	(void)index;
	mock_gpu_live--;
	free((void *)(uintptr_t)(addr / 65536 * 65536));
	return 0;
}

static inline int mock_gpu_copy_in(unsigned int index, uint64_t dst,
				   const void *src, uint64_t length)
{
	(void)index;
	if (mock_gpu_copy_error)
		return mock_gpu_copy_error;
	__atomic_add_fetch(&mock_gpu_copied, length, __ATOMIC_RELAXED);
	memcpy((void *)(uintptr_t)dst, src, length);
	return 0;
}

static inline int mock_gpu_copy_out(unsigned int index, void *dst,
				    uint64_t src, uint64_t length)
{
	(void)index;
	if (mock_gpu_copy_error)
		return mock_gpu_copy_error;
	__atomic_add_fetch(&mock_gpu_copied, length, __ATOMIC_RELAXED);
	memcpy(dst, (void *)(uintptr_t)src, length);
	return 0;
}

static const struct gpu_driver mock_gpu = {
	.name = "mock",
	.init = mock_gpu_init,
	.exit = mock_gpu_exit,
	.count = mock_gpu_count,
	.describe = mock_gpu_describe,
	.alloc = mock_gpu_alloc,
	.free = mock_gpu_free,
	.copy_in = mock_gpu_copy_in,
	.copy_out = mock_gpu_copy_out,
};

/* The model of the module.  Regions: id is index + 1. */

#define MODEL_REGIONS	8

static pthread_mutex_t model_lock = PTHREAD_MUTEX_INITIALIZER;
static struct nvfs_register model_regions[MODEL_REGIONS];
static uint32_t model_align = 512, model_reason;
/* A request that begins at this file offset fails so. */
static uint64_t model_bad_offset = UINT64_MAX;
static int model_bad_errno;
/* Already when it is submitted. */
static bool model_bad_early;
static unsigned int model_requests, model_submits;
/* Of batches: none can be made; how deep; no end is told but of what is cancelled. */
static bool model_no_batch;
static unsigned int model_depth = NVFS_MAX_DEPTH;
static bool model_hold;
/* Nobody can wait for it, so what it had is forgotten with it. */
static int model_reap_errno;
/* Called when a submission was taken, before the call returns. */
static void (*model_taken)(void);
static pthread_cond_t model_ended = PTHREAD_COND_INITIALIZER;
static struct {
	bool open;
	uint32_t depth, active, ended;
	struct nvfs_event events[NVFS_MAX_DEPTH];
} model_batch;

static inline int model_fail(int error)
{
	errno = error;
	return -1;
}

static inline int model_register(struct nvfs_register *reg)
{
	for (uint32_t i = 0; i < MODEL_REGIONS; i++) {
		if (model_regions[i].region)
			continue;
		reg->region = i + 1;
		reg->page_source = NVFS_PAGES_ZONE;
		model_regions[i] = *reg;
		return 0;
	}
	return model_fail(ENOSPC);
}

static inline uint64_t model_bad(void)
{
	return __atomic_load_n(&model_bad_offset, __ATOMIC_RELAXED);
}

/* Does a request get past the checks that come before anything is moved? */
static inline int model_check(const struct nvfs_rw *rw, uint32_t *reason)
{
	assert_true(rw->region_offset + rw->length <=
		    model_regions[rw->region - 1].length);
	if (rw->file_offset == model_bad() && model_bad_early)
		return model_bad_errno;
	*reason = model_reason;
	/* In the module's order. */
	if (!*reason && (rw->file_offset % model_align ||
			 rw->length % model_align))
		*reason = NVFS_REASON_ALIGN;
	return *reason && !(rw->flags & NVFS_RW_BOUNCE) ? EREMOTEIO : 0;
}

static inline int model_rw(struct nvfs_rw *rw, bool write)
{
	const struct nvfs_register *reg = &model_regions[rw->region - 1];
	char *memory = (char *)(uintptr_t)(reg->addr + rw->region_offset);
	int error;
	ssize_t n;

	__atomic_add_fetch(&model_requests, 1, __ATOMIC_RELAXED);
	error = model_check(rw, &rw->reason);
	if (!error && rw->file_offset == model_bad())
		error = model_bad_errno;
	/* No signal interrupts for ever. */
	if (error == EINTR)
		__atomic_store_n(&model_bad_offset, UINT64_MAX,
				 __ATOMIC_RELAXED);
	if (error)
		return model_fail(error);
	n = write ? pwrite(rw->fd, memory, rw->length, (off_t)rw->file_offset) :
		    pread(rw->fd, memory, rw->length, (off_t)rw->file_offset);
	if (n < 0)
		return -1;
	rw->done = (uint64_t)n;
	rw->route = !n ? NVFS_ROUTE_NONE :
		    rw->reason ? NVFS_ROUTE_MIXED : NVFS_ROUTE_DIRECT;
	return 0;
}

/*
 * One batch.  Requests are done when they are submitted, but held back until they
 * are cancelled or model_hold ends.
 */

static inline struct nvfs_rw model_rw_of(const struct nvfs_request *req)
{
	return (struct nvfs_rw){
		.flags = req->flags,
		.region = req->region,
		.fd = req->fd,
		.region_offset = req->region_offset,
		.file_offset = req->file_offset,
		.length = req->length,
	};
}

static inline int model_create(struct nvfs_batch_create *create)
{
	assert_false(model_batch.open);
	if (model_no_batch)
		return model_fail(ENOMEM);
	model_batch.open = true;
	model_batch.depth = create->depth < model_depth ? create->depth :
							  model_depth;
	model_batch.active = 0;
	model_batch.ended = 0;
	create->batch = 5;
	return 0;
}

/* All are checked before one begins.  Under the lock. */
static inline int model_admit(struct nvfs_batch_submit *submit)
{
	const struct nvfs_request *reqs = (const void *)(uintptr_t)
					  submit->requests;

	submit->wrong = submit->nr;
	submit->reason = 0;
	assert_int_equal(submit->batch, 5);
	model_submits++;
	if (model_batch.active + model_batch.ended + submit->nr >
	    model_batch.depth)
		return EBUSY;
	for (uint32_t i = 0; i < submit->nr; i++) {
		struct nvfs_rw rw = model_rw_of(&reqs[i]);
		int error = model_check(&rw, &submit->reason);

		if (error) {
			submit->wrong = i;
			return error;
		}
	}
	model_batch.active += submit->nr;
	return 0;
}

static inline int model_submit(struct nvfs_batch_submit *submit)
{
	const struct nvfs_request *reqs = (const void *)(uintptr_t)
					  submit->requests;
	int error;

	pthread_mutex_lock(&model_lock);
	error = model_admit(submit);
	pthread_mutex_unlock(&model_lock);
	if (error)
		return model_fail(error);
	for (uint32_t i = 0; i < submit->nr; i++) {
		struct nvfs_rw rw = model_rw_of(&reqs[i]);
		struct nvfs_event event = { .user_data = reqs[i].user_data };

		if (model_rw(&rw, reqs[i].op == NVFS_OP_WRITE))
			event.error = (uint32_t)errno;
		event.done = rw.done;
		event.route = rw.route;
		event.reason = rw.reason;
		pthread_mutex_lock(&model_lock);
		model_batch.events[model_batch.ended++] = event;
		model_batch.active--;
		pthread_cond_broadcast(&model_ended);
		pthread_mutex_unlock(&model_lock);
	}
	if (model_taken)
		model_taken();
	return 0;
}

/* What a held batch has to tell: what was cancelled, which comes first. */
static inline uint32_t model_ready(void)
{
	uint32_t nr = 0;

	if (!model_hold)
		return model_batch.ended;
	while (nr < model_batch.ended &&
	       model_batch.events[nr].error == ECANCELED)
		nr++;
	return nr;
}

static inline int model_reap(struct nvfs_batch_reap *reap)
{
	uint32_t nr;

	if (model_reap_errno)
		return model_fail(model_reap_errno);
	pthread_mutex_lock(&model_lock);
	while (model_ready() < reap->min_nr &&
	       (model_batch.active || model_batch.ended))
		pthread_cond_wait(&model_ended, &model_lock);
	nr = model_ready();
	nr = nr < reap->max_nr ? nr : reap->max_nr;
	memcpy((void *)(uintptr_t)reap->events, model_batch.events,
	       nr * sizeof(model_batch.events[0]));
	model_batch.ended -= nr;
	memmove(model_batch.events, &model_batch.events[nr],
		model_batch.ended * sizeof(model_batch.events[0]));
	reap->nr = nr;
	pthread_mutex_unlock(&model_lock);
	return 0;
}

static inline int model_cancel(const struct nvfs_batch_cancel *cancel)
{
	struct nvfs_event event;

	assert_int_equal(cancel->flags, NVFS_CANCEL_USER_DATA);
	pthread_mutex_lock(&model_lock);
	for (uint32_t i = 0; model_hold && i < model_batch.ended; i++) {
		event = model_batch.events[i];
		if (event.user_data != cancel->user_data)
			continue;
		event.error = ECANCELED;
		event.done = 0;
		event.route = NVFS_ROUTE_NONE;
		memmove(&model_batch.events[1], model_batch.events,
			i * sizeof(event));
		model_batch.events[0] = event;
	}
	pthread_cond_broadcast(&model_ended);
	pthread_mutex_unlock(&model_lock);
	return 0;
}

static inline void model_let_go(void)
{
	pthread_mutex_lock(&model_lock);
	model_hold = false;
	pthread_cond_broadcast(&model_ended);
	pthread_mutex_unlock(&model_lock);
}

static inline int model_destroy(void)
{
	assert_true(model_batch.open);
	if (model_reap_errno)
		model_batch.ended = 0;
	assert_int_equal(model_batch.active + model_batch.ended, 0);
	model_batch.open = false;
	return 0;
}

static inline int model_query(struct nvfs_query *query)
{
	query->offset_align = model_align;
	query->mem_align = 4;
	query->reason = model_reason;
	query->route = model_reason ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT;
	strcpy(query->text, model_reason ? "the model says no" : "");
	return 0;
}

static inline int model_call(unsigned long request, void *arg)
{
	struct nvfs_unregister *unreg = arg;
	struct nvfs_info *info = arg;
	int ret = 0;

	switch (request) {
	case NVFS_IOC_READ:
		return model_rw(arg, false);
	case NVFS_IOC_WRITE:
		return model_rw(arg, true);
	case NVFS_IOC_QUERY:
		return model_query(arg);
	case NVFS_IOC_INFO:
		info->version_major = NVFS_VERSION_MAJOR;
		return 0;
	case NVFS_IOC_BATCH_CREATE:
		return model_create(arg);
	case NVFS_IOC_BATCH_SUBMIT:
		return model_submit(arg);
	case NVFS_IOC_BATCH_REAP:
		return model_reap(arg);
	case NVFS_IOC_BATCH_CANCEL:
		return model_cancel(arg);
	case NVFS_IOC_BATCH_DESTROY:
		return model_destroy();
	}
	pthread_mutex_lock(&model_lock);
	if (request == NVFS_IOC_REGISTER)
		ret = model_register(arg);
	else
		model_regions[unreg->region - 1].region = 0;
	pthread_mutex_unlock(&model_lock);
	return ret;
}

/* Who else runs on this machine is nothing to a test. */
static inline int mock_running(void)
{
	return 0;
}

/* Before each test. */
static inline int mock_setup(void **state)
{
	(void)state;
	room_set_running(mock_running);
	mock_nr = 0;
	mock_next = 0;
	mock_open_errno = 0;
	mock_handler = NULL;
	mock_gpu_missing = false;
	mock_gpu_misaligned = false;
	mock_gpu_full = false;
	mock_gpu_inits = 0;
	mock_gpu_exits = 0;
	mock_gpu_live = 0;
	mock_gpu_copy_error = 0;
	mock_gpu_copied = 0;
	memset(model_regions, 0, sizeof(model_regions));
	model_align = 512;
	model_reason = 0;
	model_bad_offset = UINT64_MAX;
	model_bad_errno = 0;
	model_bad_early = false;
	model_requests = 0;
	model_submits = 0;
	model_no_batch = false;
	model_depth = NVFS_MAX_DEPTH;
	model_hold = false;
	model_reap_errno = 0;
	model_taken = NULL;
	abi_set_seam(&mock_seam);
	gpu_set_driver(&mock_gpu);
	return 0;
}

/* After each test: everything came, nothing is left. */
static inline int mock_teardown(void **state)
{
	(void)state;
	mock_end();
	assert_int_equal(mock_gpu_live, 0);
	assert_false(model_batch.open);
	abi_set_seam(NULL);
	gpu_set_driver(NULL);
	return 0;
}

static inline void mock_model(void)
{
	mock_handler = model_call;
}

/* A nameless file of @length bytes that differ from place to place. */
static inline int mock_file(uint64_t length)
{
	int fd = memfd_create("mock", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < length; i += 4096) {
		unsigned char block[4096];
		uint64_t n = length - i < 4096 ? length - i : 4096;

		for (unsigned int j = 0; j < n; j++)
			block[j] = (unsigned char)((i + j) * 31 + (i >> 12));
		assert_int_equal(pwrite(fd, block, n, (off_t)i), n);
	}
	return fd;
}

#define mock_test(name) \
	cmocka_unit_test_setup_teardown(name, mock_setup, mock_teardown)

#endif /* LIB_MOCK_H */
