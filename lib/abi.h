/* SPDX-License-Identifier: MIT */
/*
 * The only way to the kernel.  Nothing else in the library opens the device
 * or calls ioctl(2) or mmap(2) on it.  Every function returns 0 or a negative errno value; the
 * structures are those of the uapi header, filled in by the caller.
 */
#ifndef LIBNVFS_ABI_H
#define LIBNVFS_ABI_H

#include <stdint.h>

#include <nvfs.h>

#define ABI_DEVICE	"/dev/nvidia-fs"

/**
 * struct abi_seam - what a test puts in the kernel's place
 * @open: opens the device; returns a file descriptor, or -1 and errno
 * @ioctl: as ioctl(2)
 * @map: as mmap(2) of a shared mapping at an address of the kernel's choice
 */
struct abi_seam {
	int (*open)(const char *path, int flags);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	void *(*map)(int fd, uint64_t offset, uint64_t length, int prot);
};

/* NULL puts the kernel back.  Not for use while another thread is inside. */
void abi_set_seam(const struct abi_seam *seam);

/* A file descriptor (close-on-exec) or a negative errno value. */
int abi_open(void);

int abi_info(int fd, struct nvfs_info *arg);
int abi_register(int fd, struct nvfs_register *arg);
int abi_unregister(int fd, struct nvfs_unregister *arg);
int abi_read(int fd, struct nvfs_rw *arg);
int abi_write(int fd, struct nvfs_rw *arg);
int abi_query(int fd, struct nvfs_query *arg);
int abi_batch_create(int fd, struct nvfs_batch_create *arg);
int abi_batch_submit(int fd, struct nvfs_batch_submit *arg);
int abi_batch_reap(int fd, struct nvfs_batch_reap *arg);
int abi_batch_cancel(int fd, struct nvfs_batch_cancel *arg);
int abi_batch_destroy(int fd, struct nvfs_batch_destroy *arg);
int abi_mmap(int fd, uint64_t offset, uint64_t length, int prot, void **addr);

/* Of any file: FS_*_FL of <linux/fs.h>, where its file system has them. */
int abi_file_flags(int fd, int *flags);
/* A file descriptor (close-on-exec) of this process's page table, or a negative errno value. */
int abi_pagemap(void);
/*
 * Of the process whose @pagemap it is: is each page of these addresses mapped?  1: not
 * all, 0: yes, or a negative errno value: -ENOTTY before Linux 6.7.
 */
int abi_pages_absent(int pagemap, const void *at, uint64_t length);

#endif /* LIBNVFS_ABI_H */
