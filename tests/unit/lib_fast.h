/* SPDX-License-Identifier: MIT */
/*
 * lib_mock.h's GPU with a copy engine that takes its time: bytes move when the
 * queue is asked the second time, so what does not wait finds old ones.  And
 * files that do what a test tells them to: pread() and pwrite() of the program
 * are these.
 */
#ifndef LIB_FAST_H
#define LIB_FAST_H

#include "lib_mock.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "engine.h"
#include "ring.h"

struct fast_queue {
	bool out;
	struct {
		struct gpu_copy copies[64];
		unsigned int nr;
		unsigned int polls;
	} marks[GPU_MARKS];
};

static _Atomic int fast_live, fast_pinned;
static _Atomic unsigned int fast_starts, fast_copies;
/* No pinned memory; no queue. */
static bool fast_no_host, fast_no_queue;
/* A copy to or from this address is refused. */
static uint64_t fast_bad_addr;

static inline int fast_host_get(unsigned int index, uint64_t length,
				void **host)
{
	(void)index;
	if (fast_no_host || posix_memalign(host, 4096, length))
		return -ENOMEM;
	atomic_fetch_add(&fast_pinned, 1);
	return 0;
}

static inline void fast_host_put(unsigned int index, void *host)
{
	(void)index;
	atomic_fetch_sub(&fast_pinned, 1);
	free(host);
}

/* After a reset, of what was had before it. */
static inline void fast_host_lost(void *host)
{
	atomic_fetch_sub(&fast_pinned, 1);
	free(host);
}

static inline int fast_open(unsigned int index, void **queue)
{
	(void)index;
	if (fast_no_queue)
		return -ENOMEM;
	*queue = calloc(1, sizeof(struct fast_queue));
	assert_non_null(*queue);
	atomic_fetch_add(&fast_live, 1);
	return 0;
}

static inline void fast_close(void *queue)
{
	atomic_fetch_sub(&fast_live, 1);
	free(queue);
}

static inline bool fast_bad(const struct gpu_copy *copy)
{
	return fast_bad_addr && copy->gpu <= fast_bad_addr &&
	       fast_bad_addr < copy->gpu + copy->length;
}

static inline int fast_start(void *opaque, const struct gpu_copy *copies,
			     unsigned int nr, bool out, unsigned int mark)
{
	struct fast_queue *queue = opaque;

	assert_true(nr <= 64);
	assert_int_equal(queue->marks[mark].nr, 0);
	queue->out = out;
	queue->marks[mark].polls = 0;
	atomic_fetch_add(&fast_starts, 1);
	atomic_fetch_add(&fast_copies, nr);
	for (unsigned int i = 0; i < nr; i++) {
		if (fast_bad(&copies[i]))
			return -EFAULT;
	}
	memcpy(queue->marks[mark].copies, copies, nr * sizeof(*copies));
	queue->marks[mark].nr = nr;
	return 0;
}

static inline int fast_poll(void *opaque, unsigned int mark)
{
	struct fast_queue *queue = opaque;

	if (queue->marks[mark].polls++ < 1)
		return 0;
	for (unsigned int i = 0; i < queue->marks[mark].nr; i++) {
		const struct gpu_copy *copy = &queue->marks[mark].copies[i];

		if (queue->out)
			memcpy(copy->host, (void *)(uintptr_t)copy->gpu,
			       copy->length);
		else
			memcpy((void *)(uintptr_t)copy->gpu, copy->host,
			       copy->length);
	}
	queue->marks[mark].nr = 0;
	return 1;
}

static const struct gpu_copies fast_table = {
	.host_get = fast_host_get,
	.host_put = fast_host_put,
	.host_lost = fast_host_lost,
	.open = fast_open,
	.close = fast_close,
	.start = fast_start,
	.poll = fast_poll,
};

static inline int fast_copy_in(unsigned int index, uint64_t dst,
			       const void *src, uint64_t length)
{
	struct gpu_copy copy = { .gpu = dst, .length = length };

	(void)index;
	if (fast_bad(&copy))
		return -EFAULT;
	memcpy((void *)(uintptr_t)dst, src, length);
	return 0;
}

static inline int fast_copy_out(unsigned int index, void *dst, uint64_t src,
				uint64_t length)
{
	struct gpu_copy copy = { .gpu = src, .length = length };

	(void)index;
	if (fast_bad(&copy))
		return -EFAULT;
	memcpy(dst, (void *)(uintptr_t)src, length);
	return 0;
}

/* What classify() says of one allocation; the rest is host memory. */
static struct gpu_mem fast_mem;

static inline int fast_classify(uint64_t addr, struct gpu_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
	if (addr - fast_mem.base < fast_mem.length)
		*mem = fast_mem;
	mem->piece = mem->base;
	mem->piece_length = mem->length;
	return 0;
}

static struct gpu_driver fast_gpu = {
	.name = "fast mock",
	.init = mock_gpu_init,
	.exit = mock_gpu_exit,
	.count = mock_gpu_count,
	.describe = mock_gpu_describe,
	.alloc = mock_gpu_alloc,
	.free = mock_gpu_free,
	.copy_in = fast_copy_in,
	.copy_out = fast_copy_out,
	.classify = fast_classify,
	.copies = &fast_table,
};

/* Files. */

/* Called in front of each transfer; not 0: that error, and nothing is done. */
static int (*_Atomic file_hook)(int fd, uint64_t length, uint64_t offset);
/* No more than this at a time; 0: no limit. */
static _Atomic uint64_t file_most;
/* This one claims to be, and behaves as if it were, open with O_DIRECT. */
static _Atomic int file_direct = -1;
/* And it is on no file system that anybody knows, unless this is set. */
static _Atomic bool file_is_memory;
static _Atomic unsigned int file_calls;

static inline int file_check(int fd, const void *host, uint64_t length,
			     uint64_t offset)
{
	int (*hook)(int, uint64_t, uint64_t) = file_hook;

	atomic_fetch_add(&file_calls, 1);
	if (fd == file_direct && !file_is_memory &&
	    (((uintptr_t)host | length | offset) & 511))
		return EINVAL;
	return hook ? hook(fd, length, offset) : 0;
}

ssize_t pread(int fd, void *host, size_t length, off_t offset)
{
	int error = file_check(fd, host, length, (uint64_t)offset);

	if (error) {
		errno = error;
		return -1;
	}
	if (file_most && length > file_most)
		length = file_most;
	return syscall(SYS_pread64, fd, host, length, offset);
}

ssize_t pwrite(int fd, const void *host, size_t length, off_t offset)
{
	int error = file_check(fd, host, length, (uint64_t)offset);

	if (error) {
		errno = error;
		return -1;
	}
	if (file_most && length > file_most)
		length = file_most;
	return syscall(SYS_pwrite64, fd, host, length, offset);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg, ret;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	ret = syscall(SYS_fcntl, fd, command, arg);
	if (command == F_GETFL && ret >= 0 && fd == file_direct)
		ret |= O_DIRECT;
	return (int)ret;
}

int fstatfs(int fd, struct statfs *fs)
{
	long ret = syscall(SYS_fstatfs, fd, fs);

	if (fd == file_direct && !file_is_memory)
		fs->f_type = 1;
	return (int)ret;
}

#endif /* LIB_FAST_H */
