// SPDX-License-Identifier: MIT
/* The only file that calls ioctl(2), and mmap(2) of the device. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "abi.h"

static int kernel_open(const char *path, int flags)
{
	return open(path, flags);
}

static int kernel_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static void *kernel_map(int fd, uint64_t offset, uint64_t length, int prot)
{
	return mmap(NULL, length, prot, MAP_SHARED, fd, (off_t)offset);
}

static const struct abi_seam kernel = {
	.open = kernel_open,
	.ioctl = kernel_ioctl,
	.map = kernel_map,
};

static const struct abi_seam *seam = &kernel;

void abi_set_seam(const struct abi_seam *other)
{
	seam = other ? other : &kernel;
}

int abi_open(void)
{
	int fd;

	do {
		fd = seam->open(ABI_DEVICE, O_RDWR | O_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

/*
 * EINTR is not retried here: what a call did before it was interrupted differs
 * from call to call.
 */
static int call(int fd, unsigned long request, void *arg)
{
	return seam->ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int abi_info(int fd, struct nvfs_info *arg)
{
	return call(fd, NVFS_IOC_INFO, arg);
}

int abi_register(int fd, struct nvfs_register *arg)
{
	return call(fd, NVFS_IOC_REGISTER, arg);
}

int abi_unregister(int fd, struct nvfs_unregister *arg)
{
	return call(fd, NVFS_IOC_UNREGISTER, arg);
}

int abi_read(int fd, struct nvfs_rw *arg)
{
	return call(fd, NVFS_IOC_READ, arg);
}

int abi_write(int fd, struct nvfs_rw *arg)
{
	return call(fd, NVFS_IOC_WRITE, arg);
}

int abi_query(int fd, struct nvfs_query *arg)
{
	return call(fd, NVFS_IOC_QUERY, arg);
}

int abi_batch_create(int fd, struct nvfs_batch_create *arg)
{
	return call(fd, NVFS_IOC_BATCH_CREATE, arg);
}

int abi_batch_submit(int fd, struct nvfs_batch_submit *arg)
{
	return call(fd, NVFS_IOC_BATCH_SUBMIT, arg);
}

int abi_batch_reap(int fd, struct nvfs_batch_reap *arg)
{
	return call(fd, NVFS_IOC_BATCH_REAP, arg);
}

int abi_batch_cancel(int fd, struct nvfs_batch_cancel *arg)
{
	return call(fd, NVFS_IOC_BATCH_CANCEL, arg);
}

int abi_batch_destroy(int fd, struct nvfs_batch_destroy *arg)
{
	return call(fd, NVFS_IOC_BATCH_DESTROY, arg);
}

int abi_mmap(int fd, uint64_t offset, uint64_t length, int prot, void **addr)
{
	void *at = seam->map(fd, offset, length, prot);

	if (at == MAP_FAILED)
		return -errno;
	*addr = at;
	return 0;
}

/* PAGEMAP_SCAN, Linux 6.7; not in all versions of <linux/fs.h>. */
struct pagemap_scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, wanted, wanted_any, told;
};

#define PAGEMAP_SCAN_CALL	_IOWR('f', 16, struct pagemap_scan)
#define PAGEMAP_IS_PRESENT	(1U << 3)

int abi_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Not a matter of the module: no seam. */
int abi_pages_absent(int pagemap, const void *at, uint64_t length)
{
	/* The first addresses that are, together, and what they are. */
	uint64_t found[3] = { 0 }, first = (uintptr_t)at / 4096 * 4096;
	struct pagemap_scan scan = {
		.size = sizeof(scan),
		.start = first,
		.end = ((uintptr_t)at + length + 4095) / 4096 * 4096,
		.vec = (uintptr_t)found,
		.vec_len = 1,
		.wanted = PAGEMAP_IS_PRESENT,
		.told = PAGEMAP_IS_PRESENT,
	};
	int ret = ioctl(pagemap, PAGEMAP_SCAN_CALL, &scan);
	if (ret < 0)
		return -errno;
	return found[0] != first || found[1] != scan.end;
}

int abi_file_flags(int fd, int *flags)
{
	return ioctl(fd, FS_IOC_GETFLAGS, flags) < 0 ? -errno : 0;
}
