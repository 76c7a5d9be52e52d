// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is looked at before a request begins.
 */
#include <linux/fs.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"

/**
 * nvfs_io_check_file_type() - is this a file that has bytes at offsets?
 * @file: the file
 *
 * Return: 0; -EISDIR, -ESPIPE or -EINVAL.
 */
int nvfs_io_check_file_type(struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	/* Files of proc, sysfs and their like are no storage */
	if (S_ISREG(mode) &&
	    (file_inode(file)->i_sb->s_iflags & SB_I_NOEXEC))
		return -EINVAL;
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	if (S_ISDIR(mode))
		return -EISDIR;
	if (S_ISFIFO(mode) || S_ISSOCK(mode) || !(file->f_mode & FMODE_PREAD))
		return -ESPIPE;
	return -EINVAL;
}

/* May this request use this file at all? */
static int check_file(struct file *file, bool write)
{
	int ret;

	if (!(file->f_mode & (write ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	ret = nvfs_io_check_file_type(file);
	if (ret || !write)
		return ret;
	if ((file->f_flags & O_APPEND) || IS_IMMUTABLE(file_inode(file)) ||
	    IS_APPEND(file_inode(file)))
		return -EPERM;
	return 0;
}

/**
 * nvfs_io_check_range() - does a request lie in its region and in any file?
 * @req: the request
 * @region: the region
 *
 * Return: 0; -EOVERFLOW or -ERANGE.
 */
int nvfs_io_check_range(const struct nvfs_request *req,
			const struct nvfs_region *region)
{
	u64 end;

	if (check_add_overflow(req->region_offset, req->length, &end) ||
	    req->file_offset > LLONG_MAX ||
	    req->length > LLONG_MAX - req->file_offset)
		return -EOVERFLOW;
	return end > region->len ? -ERANGE : 0;
}

/**
 * nvfs_io_check_size_limit() - does a write stay within the file size limit?
 * @req: the request
 * @file: the file
 *
 * For requests that a worker may run, whose limit is not the caller's.
 *
 * Context: process context of the caller.
 * Return: 0 or -EFBIG.
 */
int nvfs_io_check_size_limit(const struct nvfs_request *req,
			     struct file *file)
{
	u64 limit = rlimit(RLIMIT_FSIZE);

	if (req->op != NVFS_OP_WRITE || limit == RLIM_INFINITY ||
	    !S_ISREG(file_inode(file)->i_mode))
		return 0;
	return req->file_offset + req->length > limit ? -EFBIG : 0;
}

/* Can the request go direct from its first byte to its last? */
static bool io_is_aligned(const struct nvfs_io *io)
{
	return IS_ALIGNED(io->pos | io->left, io->route.offset_align) &&
	       nvfs_dma_mem_aligned(&io->route, io->region, io->off);
}

/**
 * nvfs_io_admit() - may a request use its file, and by which route?
 * @io: the request, with region and file; @io->route and @io->reason are set
 *
 * Context: process context; may sleep.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_io_admit(struct nvfs_io *io)
{
	int ret;

	ret = check_file(io->file, io->write);
	if (ret)
		return ret;
	if (READ_ONCE(io->region->gpu->gone))
		return -ENODEV;
	nvfs_dma_route(io->region, io->file, &io->route);
	if (io->write)
		nvfs_dma_align_write(io->file, &io->route);
	if (io->bounce_ok)
		return 0;
	io->reason = io->route.reason;
	if (!io->reason &&
	    !io_is_aligned(io))
		io->reason = NVFS_REASON_ALIGN;
	return io->reason ? -EREMOTEIO : 0;
}
