// SPDX-License-Identifier: MIT
/*
 * What NVFS is compared with: an empty system call, and O_DIRECT into host
 * memory.
 *
 * What O_DIRECT costs depends on how many pages of the buffer follow each other
 * in physical memory, which is chance.  So the pages are chosen: no two that are
 * neighbours in the buffer are neighbours in memory, as in a buffer of a process
 * that has run for a while.  "huge" has the other extreme, one huge page.
 */
#include "cost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE		4096UL
#define NR_PAGES	(COST_BUFFER_SIZE / PAGE)
#define HUGE_SIZE	(2 * MIB)

struct page {
	uint64_t frame;
	char *at;
};

static struct {
	int disk;
	char *scattered;
	char *huge;
} host;

static int run_nothing(size_t arg)
{
	(void)arg;
	return 0;
}

static int run_syscall(size_t arg)
{
	(void)arg;
	return syscall(SYS_getppid) > 0 ? 0 : -EINVAL;
}

static int moved(ssize_t ret, size_t length)
{
	if (ret < 0)
		return -errno;
	return (size_t)ret == length ? 0 : -EIO;
}

static int run_read(size_t length)
{
	struct iovec iov = { .iov_base = host.scattered, .iov_len = length };

	return moved(preadv2(host.disk, &iov, 1, 0, 0), length);
}

static int run_write(size_t length)
{
	struct iovec iov = { .iov_base = host.scattered, .iov_len = length };

	return moved(pwritev2(host.disk, &iov, 1, 0, 0), length);
}

static int run_read_huge(size_t length)
{
	struct iovec iov = { .iov_base = host.huge, .iov_len = length };

	return moved(preadv2(host.disk, &iov, 1, 0, 0), length);
}

static int run_write_huge(size_t length)
{
	struct iovec iov = { .iov_base = host.huge, .iov_len = length };

	return moved(pwritev2(host.disk, &iov, 1, 0, 0), length);
}

/* Page frame numbers of @n pages at @at */
static int read_frames(char *at, uint64_t *frames, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t want = n * sizeof(*frames);
	ssize_t got;
	size_t i;

	if (fd < 0)
		return -errno;
	got = pread(fd, frames, want, (uintptr_t)at / PAGE * sizeof(*frames));
	close(fd);
	if (got != want)
		return -EIO;
	for (i = 0; i < n; i++)
		frames[i] &= (1ULL << 55) - 1;
	return frames[0] ? 0 : -EPERM;
}

static int by_frame(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return (x->frame > y->frame) - (x->frame < y->frame);
}

static char *align_up(char *at, size_t size)
{
	return (char *)(((uintptr_t)at + size - 1) & -size);
}

static char *map_pages(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (at == MAP_FAILED)
		return NULL;
	madvise(at, size, MADV_NOHUGEPAGE);
	for (i = 0; i < size; i += PAGE)
		at[i] = 1;
	return at;
}

/* Take every other one of twice as many pages, in the order of their frames */
static int make_scattered(void)
{
	static uint64_t frames[2 * NR_PAGES];
	static struct page pages[2 * NR_PAGES];
	char *pool = map_pages(2 * COST_BUFFER_SIZE);
	size_t i;
	int ret;

	host.scattered = map_pages(2 * HUGE_SIZE);
	if (!pool || !host.scattered)
		return -ENOMEM;
	/* Within one page table: a walk that goes on in another costs more */
	host.scattered = align_up(host.scattered, HUGE_SIZE);
	ret = read_frames(pool, frames, 2 * NR_PAGES);
	if (ret)
		return ret;
	for (i = 0; i < 2 * NR_PAGES; i++)
		pages[i] = (struct page){ frames[i], pool + i * PAGE };
	qsort(pages, 2 * NR_PAGES, sizeof(*pages), by_frame);
	for (i = 0; i < NR_PAGES; i++)
		if (mremap(pages[2 * i].at, PAGE, PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED,
			   host.scattered + i * PAGE) == MAP_FAILED)
			return -errno;
	return 0;
}

/* A buffer in one huge page; -ENOMEM when the kernel gives none */
static int make_huge(void)
{
	uint64_t frames[NR_PAGES];
	char *at = mmap(NULL, 2 * HUGE_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;
	int ret;

	if (at == MAP_FAILED)
		return -errno;
	at = align_up(at, HUGE_SIZE);
	if (madvise(at, HUGE_SIZE, MADV_HUGEPAGE))
		return -errno;
	for (i = 0; i < HUGE_SIZE; i += PAGE)
		at[i] = 1;
	host.huge = at;
	ret = read_frames(at, frames, NR_PAGES);
	for (i = 1; !ret && i < NR_PAGES; i++)
		if (frames[i] != frames[0] + i)
			ret = -ENOMEM;
	return ret;
}

int cost_host_setup(int disk)
{
	int ret = make_scattered();

	host.disk = disk;
	return ret ?: make_huge();
}

void *cost_host_buffer(void)
{
	return host.scattered;
}

const struct cost_case cost_host_cases[] = {
	{ "nothing", run_nothing, 0, 2000, 1 },
	{ "syscall", run_syscall, 0, 2000, 1 },
	{ "preadv2-4k", run_read, 4 * KIB, 2000, 1 },
	{ "preadv2-64k", run_read, 64 * KIB, 1000, 1 },
	{ "preadv2-1m", run_read, MIB, 300, 1 },
	{ "pwritev2-4k", run_write, 4 * KIB, 2000, 1 },
	{ "pwritev2-64k", run_write, 64 * KIB, 1000, 1 },
	{ "pwritev2-1m", run_write, MIB, 300, 1 },
	{ "preadv2-huge-4k", run_read_huge, 4 * KIB, 2000, 1 },
	{ "preadv2-huge-64k", run_read_huge, 64 * KIB, 1000, 1 },
	{ "preadv2-huge-1m", run_read_huge, MIB, 300, 1 },
	{ "pwritev2-huge-4k", run_write_huge, 4 * KIB, 2000, 1 },
	{ "pwritev2-huge-64k", run_write_huge, 64 * KIB, 1000, 1 },
	{ "pwritev2-huge-1m", run_write_huge, MIB, 300, 1 },
	{ 0 },
};
