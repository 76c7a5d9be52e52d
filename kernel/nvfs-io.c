// SPDX-License-Identifier: GPL-2.0-only
/*
 * One request: checks, bvecs, kiocb, result.
 *
 * A request is a kiocb with O_DIRECT semantics whose iov_iter holds the GPU's
 * own pages.  The file system and the block layer carry it as they carry any
 * other; the drive's DMA engine moves the bytes.  A long request is cut into
 * steps, so that a signal or the end of its region need not wait for all of it.
 */
#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"
#include "nvfs-stat.h"

/* Most bytes of one kiocb.  Some kernels cut a kiocb of 4 GiB silently; this is
 * far below, far above what a drive needs to be busy, and short enough to wait
 * for.
 */
#define NVFS_IO_STEP		(64UL << 20)

/* Most bvecs of one kiocb: one page full of them */
#define NVFS_IO_MAX_BVECS	(PAGE_SIZE / sizeof(struct bio_vec))

/* So many bvecs need no allocation */
#define NVFS_IO_INLINE_BVECS	8

/**
 * struct nvfs_io - one request (an "nvfsio")
 * @region: GPU memory; held
 * @file: the file; held by the caller
 * @route: how it may travel
 * @off: next byte in the region
 * @pos: next byte in the file
 * @left: bytes still to move
 * @done: bytes moved
 * @write: GPU to file
 * @buffered: the file system took the page cache
 * @bvec: bvecs of the step that is under way
 * @max_bvecs: room at @bvec
 * @inline_bvec: what @bvec is when it is small enough
 */
struct nvfs_io {
	struct nvfs_region *region;
	struct file *file;
	struct nvfs_route_info route;
	u64 off;
	loff_t pos;
	u64 left;
	u64 done;
	bool write;
	bool buffered;
	struct bio_vec *bvec;
	u32 max_bvecs;
	struct bio_vec inline_bvec[NVFS_IO_INLINE_BVECS];
};

/* Is this a file that has bytes at offsets? */
static int check_file_type(struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

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
	ret = check_file_type(file);
	if (ret || !write)
		return ret;
	if ((file->f_flags & O_APPEND) || IS_IMMUTABLE(file_inode(file)) ||
	    IS_APPEND(file_inode(file)))
		return -EPERM;
	return 0;
}

static int check_range(const struct nvfs_rw *args,
		       const struct nvfs_region *region)
{
	u64 end;

	if (check_add_overflow(args->region_offset, args->length, &end) ||
	    args->file_offset > LLONG_MAX ||
	    args->length > LLONG_MAX - args->file_offset)
		return -EOVERFLOW;
	return end > region->len ? -ERANGE : 0;
}

/* Move up to @len bytes by one kiocb; returns bytes moved or an errno */
static ssize_t io_submit(struct nvfs_io *io, u32 nr_bvecs, u64 len)
{
	struct iov_iter iter;
	struct kiocb kiocb;
	ssize_t ret;

	init_sync_kiocb(&kiocb, io->file);
	kiocb.ki_flags |= IOCB_DIRECT;
	kiocb.ki_pos = io->pos;
	iov_iter_bvec(&iter, io->write ? ITER_SOURCE : ITER_DEST, io->bvec,
		      nr_bvecs, len);
	if (io->write)
		ret = vfs_iocb_iter_write(io->file, &kiocb, &iter);
	else
		ret = vfs_iocb_iter_read(io->file, &kiocb, &iter);
	if (!(kiocb.ki_flags & IOCB_DIRECT))
		io->buffered = true;
	nvfs_stat_inc(kiocbs);
	nvfs_stat_add(bvecs, nr_bvecs);
	return ret;
}

/* One step.  Returns 0 to go on, 1 at the end of the file, or an errno. */
static int io_step(struct nvfs_io *io)
{
	u64 len = min_t(u64, io->left, NVFS_IO_STEP);
	ssize_t ret;
	u32 nr;

	nr = nvfs_dma_fill(io->region->pieces, io->region->nr_pieces, io->off,
			   &len, io->bvec, io->max_bvecs);
	/* Where the bvecs ran out, end on a block of the file */
	if (len < io->left)
		len = round_down(len, io->route.offset_align);
	ret = io_submit(io, nr, len);
	if (ret < 0)
		return ret;
	io->off += ret;
	io->pos += ret;
	io->done += ret;
	io->left -= ret;
	return ret < len;
}

static int io_run(struct nvfs_io *io)
{
	int ret;

	do {
		ret = io_step(io);
		if (ret || !io->left)
			break;
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else if (!nvfs_region_is_live(io->region))
			ret = -ESTALE;
	} while (!ret);
	return min(ret, 0);
}

/* Get room for the bvecs of a step: the request's only allocation */
static int io_get_bvecs(struct nvfs_io *io)
{
	io->bvec = io->inline_bvec;
	io->max_bvecs = nvfs_dma_count(io->region->pieces,
				       io->region->nr_pieces, io->off, io->left,
				       NVFS_IO_MAX_BVECS);
	if (io->max_bvecs <= NVFS_IO_INLINE_BVECS)
		return 0;
	io->bvec = kmalloc_array(io->max_bvecs, sizeof(*io->bvec), GFP_KERNEL);
	return io->bvec ? 0 : -ENOMEM;
}

/* Say how the bytes travelled, from what is known, not from what was meant */
static void io_report(struct nvfs_io *io, int ret, struct nvfs_rw *args)
{
	args->done = io->done;
	if (ret == -EREMOTEIO && !args->reason)
		args->reason = NVFS_REASON_REFUSED;
	if (io->buffered)
		args->reason = NVFS_REASON_FS_BUFFERED;
	if (io->done)
		args->route = io->buffered ? NVFS_ROUTE_BOUNCE :
					     NVFS_ROUTE_DIRECT;
}

/* Move the bytes of a request whose arguments have been checked */
static int io_direct(struct nvfs_io *io, struct nvfs_rw *args)
{
	int ret;

	nvfs_dma_route(io->region->gpu, io->file, &io->route);
	args->reason = io->route.reason;
	if (!args->reason &&
	    !nvfs_dma_aligned(&io->route, io->off, io->pos, io->left))
		args->reason = NVFS_REASON_ALIGN;
	if (args->reason)
		return -EREMOTEIO;
	if (!io->left)
		return 0;

	ret = io_get_bvecs(io);
	if (ret)
		return ret;
	ret = io_run(io);
	if (io->done && !io->write)
		nvfs_dma_flush(io->region, io->off - 1);
	io_report(io, ret, args);
	if (io->bvec != io->inline_bvec)
		kfree(io->bvec);
	return ret;
}

static void account_read(const struct nvfs_rw *args, int ret)
{
	nvfs_stat_inc(read_ended);
	nvfs_stat_add(read_bytes, args->done);
	if (ret == -EREMOTEIO && !args->done)
		nvfs_stat_inc(read_refused);
	else if (ret)
		nvfs_stat_inc(read_errors);
	else if (args->done < args->length)
		nvfs_stat_inc(read_short);
	if (args->route == NVFS_ROUTE_DIRECT) {
		nvfs_stat_inc(read_direct_ops);
		nvfs_stat_add(read_direct_bytes, args->done);
	} else if (args->route) {
		nvfs_stat_inc(read_bounce_ops);
		nvfs_stat_add(read_bounce_bytes, args->done);
	}
}

static void account_write(const struct nvfs_rw *args, int ret)
{
	nvfs_stat_inc(write_ended);
	nvfs_stat_add(write_bytes, args->done);
	if (ret == -EREMOTEIO && !args->done)
		nvfs_stat_inc(write_refused);
	else if (ret)
		nvfs_stat_inc(write_errors);
	else if (args->done < args->length)
		nvfs_stat_inc(write_short);
	if (args->route == NVFS_ROUTE_DIRECT) {
		nvfs_stat_inc(write_direct_ops);
		nvfs_stat_add(write_direct_bytes, args->done);
	} else if (args->route) {
		nvfs_stat_inc(write_bounce_ops);
		nvfs_stat_add(write_bounce_bytes, args->done);
	}
}

/* The request against a held region and file */
static int io_rw_file(struct nvfs_region *region, struct file *file,
		      struct nvfs_rw *args, bool write)
{
	struct nvfs_io io = {
		.region = region,
		.file = file,
		.off = args->region_offset,
		.pos = args->file_offset,
		.left = args->length,
		.write = write,
	};
	int ret;

	ret = check_file(file, write);
	if (ret)
		return ret;
	return io_direct(&io, args);
}

static int io_rw_region(struct nvfs_region *region, struct nvfs_rw *args,
			bool write)
{
	struct fd f;
	int ret;

	ret = check_range(args, region);
	if (ret)
		return ret;
	f = fdget(args->fd);
	if (fd_empty(f))
		return -EBADF;
	ret = io_rw_file(region, fd_file(f), args, write);
	fdput(f);
	return ret;
}

/**
 * nvfs_io_rw() - NVFS_IOC_READ and NVFS_IOC_WRITE
 * @regions: regions of the open file
 * @args: the request; the out fields are filled in, also on failure
 * @write: GPU to file
 *
 * Context: process context; sleeps until the request is complete.  Allocates at
 * most once and takes no lock of its own.
 *
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_io_rw(struct nvfs_regions *regions, struct nvfs_rw *args, bool write)
{
	struct nvfs_region *region;
	int ret;

	if (args->flags)
		return -EINVAL;
	args->done = 0;
	args->route = NVFS_ROUTE_NONE;
	args->reason = NVFS_REASON_NONE;
	region = nvfs_region_get(regions, args->region);
	if (IS_ERR(region))
		return PTR_ERR(region);

	if (write)
		nvfs_stat_inc(write_started);
	else
		nvfs_stat_inc(read_started);
	ret = io_rw_region(region, args, write);
	nvfs_region_put(region);
	if (write)
		account_write(args, ret);
	else
		account_read(args, ret);
	if (ret)
		nvfs_dbg("%s of %llu bytes: %pe, reason %u, %llu done\n",
			 write ? "write" : "read", args->length, ERR_PTR(ret),
			 args->reason, args->done);
	return ret;
}

/* Judge @file against a GPU that is named by its PCI function */
static int query_bdf(struct file *file, u32 bdf, struct nvfs_route_info *info)
{
	struct pci_dev *pdev = nvfs_pci_get(bdf);
	struct nvfs_pci_path path;

	if (!pdev)
		return -ENXIO;
	nvfs_pci_snapshot(pdev, &path);
	pci_dev_put(pdev);
	nvfs_dma_route_path(&path, file, info);
	return 0;
}

/* Judge @file against the GPU of a region */
static int query_region(struct nvfs_regions *regions, struct file *file,
			struct nvfs_query *args, struct nvfs_route_info *info)
{
	struct nvfs_region *region = nvfs_region_get(regions, args->region);

	if (IS_ERR(region))
		return PTR_ERR(region);
	nvfs_dma_route(region->gpu, file, info);
	args->gpu = region->gpu->bdf;
	args->page_source = region->gpu->source;
	nvfs_region_put(region);
	return 0;
}

static void query_report(const struct nvfs_route_info *info,
			 struct nvfs_query *args)
{
	args->drive = info->drive;
	args->route = info->reason ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT;
	args->reason = info->reason;
	args->distance = info->distance;
	args->offset_align = info->offset_align;
	args->mem_align = info->mem_align;
	nvfs_dma_describe(info, args->text, sizeof(args->text));
}

/**
 * nvfs_io_query() - NVFS_IOC_QUERY
 * @regions: regions of the open file
 * @args: the question; the out fields are filled in
 *
 * Context: may sleep.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_io_query(struct nvfs_regions *regions, struct nvfs_query *args)
{
	struct nvfs_route_info info;
	struct fd f;
	int ret;

	if (args->flags & ~NVFS_QUERY_GPU)
		return -EINVAL;
	if ((args->flags & NVFS_QUERY_GPU) && args->region)
		return -EINVAL;
	memset(args->text, 0, sizeof(args->text));
	args->page_source = NVFS_PAGES_NONE;
	f = fdget(args->fd);
	if (fd_empty(f))
		return -EBADF;
	ret = check_file_type(fd_file(f));
	if (!ret)
		ret = args->flags & NVFS_QUERY_GPU ?
		      query_bdf(fd_file(f), args->gpu, &info) :
		      query_region(regions, fd_file(f), args, &info);
	fdput(f);
	if (!ret)
		query_report(&info, args);
	nvfs_stat_inc(queries);
	return ret;
}
