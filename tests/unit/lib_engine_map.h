/* SPDX-License-Identifier: MIT */
/* A file in memory whose writes go by a mapping, which is counted. */
#ifndef LIB_ENGINE_MAP_H
#define LIB_ENGINE_MAP_H

#include "lib_engine_fix.h"

#include <sys/uio.h>
#include <unistd.h>

#include "host.h"

static _Atomic unsigned int copies;
/* Of these, from a file; and from one that was asked for before. */
static _Atomic unsigned int of_files, of_asked;
static _Atomic uint64_t copied, written, longest_write;
static _Atomic int64_t refuse_with;
/* Called once, before the copy. */
static void (*_Atomic meanwhile)(void);
/* The same, of one that is from such a file. */
static void (*_Atomic meanwhile_asked)(void);

/* As the library does it, but counted. */
static inline ssize_t count_copy(char *to, struct host_bytes from, uint64_t length)
{
	struct iovec local = { .iov_base = to, .iov_len = length };
	struct iovec remote = {
		.iov_base = (void *)(uintptr_t)from.at, .iov_len = length,
	};
	void (*now)(void) = atomic_exchange(from.asked ? &meanwhile_asked :
						&meanwhile, NULL);
	ssize_t n;

	copies++;
	of_files += !!from.file;
	of_asked += from.asked;
	if (refuse_with)
		return (ssize_t)refuse_with;
	if (now)
		now();
	if (from.file && !from.asked && !memory_file_is(from.file))
		return -EBADF;
	n = from.file ? syscall(SYS_pread64, from.file->fd, to, length,
				from.offset) :
	    process_vm_readv((pid_t)syscall(SYS_gettid), &local, 1, &remote, 1,
			     0);
	if (n > 0)
		copied += (uint64_t)n;
	return n < 0 ? -errno : n;
}

/* Also what is clean. */
static _Atomic bool clean_too;

static inline uint64_t take_all(int fd, bool *clean)
{
	(void)fd;
	*clean = clean_too;
	return 1;
}

static const struct host_map_calls counted = {
	.least = take_all, .copy = count_copy,
};

static inline int count_write(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)offset;
	written += length;
	if (length > longest_write)
		longest_write = length;
	return 0;
}

static _Atomic bool nothing_is_dirty, all_is_going;
/* Nor is this. */
static _Atomic uint64_t clean_from, clean_to;

static inline int64_t say_dirty(int fd, uint64_t offset, uint64_t length,
				enum host_pages which)
{
	(void)fd;
	if (which != HOST_CACHED && all_is_going)
		return 0;
	if (which == HOST_DIRTY && (nothing_is_dirty ||
	    (offset < clean_to && clean_from < offset + length)))
		return 0;
	return (int64_t)(length / 4096);
}

static inline void reset(void)
{
	copies = 0;
	of_files = 0;
	of_asked = 0;
	copied = 0;
	written = 0;
	longest_write = 0;
}

static inline void open_pool(struct fixture *f, uint64_t slot, uint64_t pinned)
{
	mock_open_errno = ENOENT;
	small_pool(slot, pinned, 4);
	open_rest(f);
	refuse_with = 0;
	nothing_is_dirty = false;
	all_is_going = false;
	clean_from = 0;
	clean_to = 0;
	host_file_set_cachestat(say_dirty);
	host_map_set_calls(&counted);
	file_hook = count_write;
	reset();
}

static inline void open_mapped(struct fixture *f)
{
	open_pool(f, 256 * KIB, 2 * MIB);
}

static inline void close_mapped(struct fixture *f)
{
	close_fixture(f);
	host_map_set_calls(NULL);
	host_file_set_cachestat(NULL);
}

/* Of the GPU: bytes that are nowhere else. */
static inline void fill(unsigned char *gpu, uint64_t length, uint64_t seed)
{
	for (uint64_t i = 0; i < length; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		gpu[i] = (unsigned char)(seed >> 56);
	}
}

/* What the file is to have afterwards is noted in @f->bytes. */
static inline void write_one(struct fixture *f, uint64_t offset, uint64_t at,
			     uint64_t length)
{
	struct engine_req req = request(f, offset, at, length, true);

	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, length);
	assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
	memcpy(f->bytes + offset, f->gpu + at, length);
}

static inline void assert_file_is(struct fixture *f, uint64_t length)
{
	unsigned char *now = malloc(length + 1);

	assert_non_null(now);
	assert_int_equal(syscall(SYS_pread64, f->file.fd, now, length + 1, 0),
			 length);
	assert_memory_equal(now, f->bytes, length);
	free(now);
}

#endif /* LIB_ENGINE_MAP_H */
