// SPDX-License-Identifier: MIT
/* /dev/labgpuN as its users see it: memory, addresses, mappings, misuse. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labgpu.h"
#include "tap.h"

#define PAGE	((unsigned long long)LABGPU_PAGE_SIZE)

static int open_gpu(int index)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/labgpu%d", index);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* 0 or -errno */
static int gpu_alloc(int fd, unsigned long long length, unsigned int flags,
		     struct labgpu_alloc *arg)
{
	unsigned long long va = arg->va;

	memset(arg, 0, sizeof(*arg));
	arg->length = length;
	arg->flags = flags;
	arg->va = va;
	return ioctl(fd, LABGPU_IOC_ALLOC, arg) ? -errno : 0;
}

static int gpu_free(int fd, unsigned long long va)
{
	struct labgpu_free arg = { .va = va };

	return ioctl(fd, LABGPU_IOC_FREE, &arg) ? -errno : 0;
}

static unsigned long long gpu_mem_free(int fd)
{
	struct labgpu_info info;

	return ioctl(fd, LABGPU_IOC_INFO, &info) ? 0 : info.mem_free;
}

static void *gpu_map(int fd, unsigned long long va, size_t length)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)va);
}

static void test_info(int fd)
{
	struct labgpu_info info;

	is(ioctl(fd, LABGPU_IOC_INFO, &info), 0, "info");
	ok(info.mem_size >= 32 * PAGE, "memory");
	is(info.mem_free, info.mem_size, "nothing is taken at first");
	ok(info.bdf && strlen(info.name) > 0, "name and PCI function");
	is(ioctl(fd, LABGPU_IOC_INFO, NULL) ? errno : 0, EFAULT, "info to NULL");
	is(ioctl(fd, _IO(LABGPU_IOC_TYPE, 0x7f)) ? errno : 0, ENOTTY, "unknown call");
}

static void test_alloc(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_alloc a = {}, b = {}, c = {};

	is(gpu_alloc(fd, 1, 0, &a), 0, "allocate 1 byte");
	is(before - gpu_mem_free(fd), PAGE, "takes a page");
	is(a.nr_extents, 1, "in one run");
	is(gpu_alloc(fd, 8 * PAGE, 0, &b), 0, "allocate 8 pages");
	ok(b.va >= a.va + PAGE + (1 << 20), "a gap between two");
	is(gpu_alloc(fd, 9 * PAGE, LABGPU_ALLOC_SCATTER, &c), 0, "scattered");
	is(c.nr_extents, 9, "each page is a run");
	is(gpu_free(fd, b.va + PAGE), -ENOENT, "free at an inner address");
	is(gpu_free(fd, a.va), 0, "free");
	is(gpu_free(fd, a.va), -ENOENT, "free again");
	is(gpu_free(fd, b.va), 0, "free the other");
	is(gpu_free(fd, c.va), 0, "free the scattered one");
	is(gpu_mem_free(fd), before, "all is free again");
}

static void test_alloc_refused(int fd)
{
	unsigned long long size = gpu_mem_free(fd);
	struct labgpu_alloc a = {}, b = {};

	is(gpu_alloc(fd, 0, 0, &a), -EINVAL, "no bytes");
	is(gpu_alloc(fd, PAGE, 0x80, &a), -EINVAL, "unknown flag");
	is(gpu_alloc(fd, size + 1, 0, &a), -ENOSPC, "more than there is");
	is(gpu_alloc(fd, ~0ULL, 0, &a), -ENOSPC, "2^64 - 1 bytes");
	a.va = 0;
	is(gpu_alloc(fd, PAGE, LABGPU_ALLOC_AT, &a), -EINVAL, "outside the window");
	a.va = LABGPU_VA_BASE + 4096;
	is(gpu_alloc(fd, PAGE, LABGPU_ALLOC_AT, &a), -EINVAL, "misaligned");
	a.va = LABGPU_VA_END - PAGE;
	is(gpu_alloc(fd, 2 * PAGE, LABGPU_ALLOC_AT, &a), -EINVAL, "past the end");
	a.va = LABGPU_VA_BASE;
	is(gpu_alloc(fd, 4 * PAGE, LABGPU_ALLOC_AT, &a), 0, "at an address");
	b.va = a.va + 3 * PAGE;
	is(gpu_alloc(fd, PAGE, LABGPU_ALLOC_AT, &b), -EEXIST, "occupied");
	b.va = a.va + 4 * PAGE;
	is(gpu_alloc(fd, PAGE, LABGPU_ALLOC_AT, &b), 0, "right behind");
	gpu_free(fd, a.va);
	gpu_free(fd, b.va);
	is(gpu_alloc(fd, size, 0, &a), 0, "all memory at once");
	is(gpu_alloc(fd, 1, 0, &b), -ENOSPC, "and not a byte more");
	gpu_free(fd, a.va);
}

/* Two thirds are free, but no run is longer than two pages. */
static void test_fragments(int fd)
{
	unsigned long long n = gpu_mem_free(fd) / PAGE, i;
	struct labgpu_alloc *small = calloc(n, sizeof(*small)), a = {};
	int bad = 0;

	for (i = 0; i < n; i++)
		bad += gpu_alloc(fd, PAGE, 0, &small[i]) != 0;
	for (i = 0; i < n; i++)
		if (i % 3)
			bad += gpu_free(fd, small[i].va) != 0;
	is(bad, 0, "cut the memory into pieces");
	is(gpu_alloc(fd, 8 * PAGE, 0, &a), 0, "allocate more than one piece");
	is(a.nr_extents, 4, "in as many runs as it takes");
	gpu_free(fd, a.va);
	for (i = 0; i < n; i += 3)
		gpu_free(fd, small[i].va);
	is(gpu_mem_free(fd), n * PAGE, "all is free again");
	free(small);
}

static void test_map(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_alloc a = {};
	unsigned char *cpu, *again;
	int bad = 0;
	size_t i;

	gpu_alloc(fd, 40 * PAGE, LABGPU_ALLOC_SCATTER, &a);
	cpu = gpu_map(fd, a.va, 40 * PAGE);
	if (!ok(cpu != MAP_FAILED, "map scattered memory"))
		return;
	for (i = 0; i < 40 * PAGE; i += 512)
		cpu[i] = (unsigned char)(i / 512 * 7 + i / PAGE);
	again = gpu_map(fd, a.va + 3 * PAGE + 4096, 30 * PAGE);
	ok(again != MAP_FAILED, "map a part of it again");
	for (i = 0; again != MAP_FAILED && i < 30 * PAGE; i += 512)
		bad += again[i] != cpu[i + 3 * PAGE + 4096];
	is(bad, 0, "both show the same bytes");
	ok(gpu_map(fd, a.va, 41 * PAGE) == MAP_FAILED, "not past the end");
	ok(gpu_map(fd, a.va - PAGE, PAGE) == MAP_FAILED, "not before the start");
	ok(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, (off_t)a.va) == MAP_FAILED,
	   "not private");
	is(gpu_free(fd, a.va), 0, "free while mapped");
	is(before - gpu_mem_free(fd), 40 * PAGE, "the memory stays taken");
	is(cpu[512], 7, "and readable");
	munmap(again, 30 * PAGE);
	munmap(cpu, 40 * PAGE);
	is(gpu_mem_free(fd), before, "until it is unmapped");
}

static void test_two_gpus(int fd)
{
	struct labgpu_alloc a = {}, b = {};
	struct labgpu_info x, y;
	int other = open_gpu(1);

	if (other < 0) {
		ok(errno == ENOENT, "one GPU only # SKIP");
		return;
	}
	ok(!ioctl(fd, LABGPU_IOC_INFO, &x) && !ioctl(other, LABGPU_IOC_INFO, &y) &&
	   x.bdf != y.bdf && memcmp(x.uuid, y.uuid, 16), "two GPUs differ");
	gpu_alloc(fd, PAGE, 0, &a);
	gpu_alloc(other, PAGE, 0, &b);
	ok(a.va != b.va, "an address names memory of one GPU");
	is(gpu_free(other, a.va), -ENOENT, "the other GPU does not free it");
	close(other);
	is(gpu_free(fd, a.va), 0, "nor does closing it");
}

static int child_status(int fd, struct labgpu_alloc *a, void *cpu)
{
	struct labgpu_alloc mine = {};
	unsigned char byte;

	if (gpu_free(fd, a->va) != -EPERM || gpu_alloc(fd, 1, 0, &mine) != -EPERM)
		return 1;
	if (gpu_map(fd, a->va, PAGE) != MAP_FAILED)
		return 2;
	/* Not inherited: nothing is there. */
	if (mincore(cpu, 4096, &byte) != -1 || errno != ENOMEM)
		return 3;
	return 0;
}

static void test_fork(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_alloc a = {};
	int status, fds[2], mine = open_gpu(0);
	void *cpu;
	char c;
	pid_t pid;

	gpu_alloc(fd, PAGE, 0, &a);
	cpu = gpu_map(fd, a.va, PAGE);
	pid = fork();
	if (!pid)
		_exit(child_status(fd, &a, cpu));
	waitpid(pid, &status, 0);
	is(status, 0, "a forked child may do nothing with it");
	munmap(cpu, PAGE);
	gpu_free(fd, a.va);

	if (pipe(fds))
		return;
	gpu_alloc(mine, PAGE, 0, &a);
	pid = fork();
	if (!pid) {
		/* Keeps the file open until the pipe's other end closes. */
		close(fds[1]);
		_exit(read(fds[0], &c, 1) != 0);
	}
	close(mine);
	is(gpu_mem_free(fd), before, "closed by its owner, kept by a child: freed");
	close(fds[1]);
	waitpid(pid, &status, 0);
	close(fds[0]);
}

static void test_exit(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_alloc a = {};
	int status, own;
	pid_t pid = fork();

	if (!pid) {
		own = open_gpu(0);
		if (gpu_alloc(own, 16 * PAGE, 0, &a))
			_exit(1);
		*(volatile char *)gpu_map(own, a.va, PAGE) = 1;
		if (gpu_mem_free(own) != before - 16 * PAGE)
			_exit(2);
		kill(getpid(), 9);
	}
	waitpid(pid, &status, 0);
	is(status, 9, "a process dies with memory that is mapped");
	is(gpu_mem_free(fd), before, "all is free again");
}

static int gpu_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

static void test_handle_refused(int fd)
{
	struct labgpu_create c = { .length = PAGE - 1 };
	struct labgpu_release r = { .handle = 999 };
	struct labgpu_map m = { .va = LABGPU_VA_BASE, .handle = 999 };

	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &c), -EINVAL, "part of a page");
	c.length = 0;
	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &c), -EINVAL, "no bytes");
	c.length = ~0ULL / PAGE * PAGE;
	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &c), -ENOSPC, "more than there is");
	c.length = PAGE;
	c.flags = LABGPU_ALLOC_AT;
	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &c), -EINVAL, "an address");
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), -ENOENT, "map what there is not");
	is(gpu_ioctl(fd, LABGPU_IOC_RELEASE, &r), -ENOENT, "or release it");
}

/* Two pieces of memory side by side, in either order, and one of them twice. */
static void test_handle(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_create a = { .length = 2 * PAGE }, b = a;
	struct labgpu_map m = { .va = LABGPU_VA_BASE };
	struct labgpu_release r = {};
	volatile char *cpu;

	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &a), 0, "memory without an address");
	b.flags = LABGPU_ALLOC_SCATTER;
	is(gpu_ioctl(fd, LABGPU_IOC_CREATE, &b), 0, "and scattered");
	is(before - gpu_mem_free(fd), 4 * PAGE, "takes its pages");
	m.handle = a.handle;
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), 0, "map it");
	m.handle = b.handle;
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), -EEXIST, "another at its place");
	m.va += 2 * PAGE;
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), 0, "beside it");
	cpu = gpu_map(fd, LABGPU_VA_BASE + 3 * PAGE, PAGE);
	*cpu = 77;
	is(gpu_free(fd, LABGPU_VA_BASE), 0, "end the first mapping");
	m.va = LABGPU_VA_BASE;
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), 0, "the other there as well");
	munmap((void *)cpu, PAGE);
	cpu = gpu_map(fd, LABGPU_VA_BASE + PAGE, PAGE);
	is(*cpu, 77, "it has kept its bytes");
	r.handle = b.handle;
	is(gpu_ioctl(fd, LABGPU_IOC_RELEASE, &r), 0, "release it");
	is(gpu_ioctl(fd, LABGPU_IOC_RELEASE, &r), -ENOENT, "but once");
	gpu_free(fd, LABGPU_VA_BASE);
	gpu_free(fd, LABGPU_VA_BASE + 2 * PAGE);
	is(*cpu, 77, "a view keeps it");
	munmap((void *)cpu, PAGE);
	is(before - gpu_mem_free(fd), 2 * PAGE, "what is not mapped stays taken");
	r.handle = a.handle;
	gpu_ioctl(fd, LABGPU_IOC_RELEASE, &r);
	is(gpu_mem_free(fd), before, "all is free again");
}

static void test_handle_of_the_dead(int fd)
{
	unsigned long long before = gpu_mem_free(fd);
	struct labgpu_create c = { .length = PAGE };
	struct labgpu_map m = { .va = LABGPU_VA_BASE };
	int own = open_gpu(0);

	gpu_ioctl(own, LABGPU_IOC_CREATE, &c);
	m.handle = c.handle;
	is(gpu_ioctl(fd, LABGPU_IOC_MAP, &m), -ENOENT, "another file's number");
	gpu_ioctl(own, LABGPU_IOC_MAP, &m);
	close(own);
	is(gpu_mem_free(fd), before, "closed with memory and a mapping: freed");
}

int main(void)
{
	int fd = open_gpu(0);

	if (!ok(fd >= 0, "open"))
		return tap_done();
	test_info(fd);
	test_alloc(fd);
	test_alloc_refused(fd);
	test_fragments(fd);
	test_map(fd);
	test_two_gpus(fd);
	test_fork(fd);
	test_exit(fd);
	test_handle_refused(fd);
	test_handle(fd);
	test_handle_of_the_dead(fd);
	close(fd);
	return tap_done();
}
