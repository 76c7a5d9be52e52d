// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVFS_IOC_READ and NVFS_IOC_WRITE: one request, run by its caller.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nvfs-io.h"
#include "nvfs-io-inline.h"
#include "nvfs-io-watch.h"
#include "nvfs-mmap.h"
#include "nvfs-stat.h"

/* The holes of a request, and where they go */
struct rw_holes {
	struct nvfs_hole *hole;
	u32 nr;
	u32 passed;
	u32 max;
	u64 covered;
};

/*
 * Where data reaches the end of the file, as it was then, ask for its last block
 * as a whole.  Nothing else ends inside a block; a hole that begins in one is the
 * end of a file that was cut while the search went on.
 */
static void cover_last_block(const struct nvfs_io *io, struct rw_holes *holes)
{
	const struct nvfs_hole *last = &holes->hole[holes->nr - 1];
	u64 end = io->pos + holes->covered;

	if (!io->route.offset_align)
		return;
	if (holes->nr && last->file_offset != io->pos &&
	    !IS_ALIGNED(last->file_offset, io->route.offset_align)) {
		end = last->file_offset;
		holes->nr--;
	} else if (holes->nr && last->file_offset + last->length == end) {
		return;
	}
	holes->covered = min(io->left, round_up(end, io->route.offset_align) -
				       io->pos);
}

/* List the holes of the range.  The position of the user's file must not move,
 * so look through one of our own.
 */
static int find_holes(struct nvfs_io *io, struct rw_holes *holes)
{
	struct file *file;
	int ret;

	holes->covered = io->left;
	if (!S_ISREG(file_inode(io->file)->i_mode)) {
		holes->nr = 0;
		return 0;
	}
	file = dentry_open(&io->file->f_path, O_RDONLY | O_LARGEFILE,
			   io->file->f_cred);
	if (IS_ERR(file))
		return PTR_ERR(file);
	holes->nr = holes->max;
	ret = nvfs_handle_sparse_read_region(file, io->pos, io->left,
					     holes->hole, &holes->nr,
					     &holes->covered);
	fput(file);
	if (!ret)
		cover_last_block(io, holes);
	return ret;
}

/* Move the next @len bytes; true when they are all done */
static bool move_span(struct nvfs_io *io, u64 len, int *ret)
{
	u64 behind = io->left - len;

	io->left = len;
	*ret = nvfs_io_move(io);
	len = io->left;
	io->left += behind;
	return !*ret && !len;
}

/* Move the data between the holes, pass over the holes */
static int move_between(struct nvfs_io *io, struct rw_holes *holes)
{
	u64 behind = io->left - holes->covered;
	int ret = 0;
	u32 i;

	io->left = holes->covered;
	for (i = 0; i < holes->nr; i++) {
		u64 span = holes->hole[i].file_offset - io->pos;

		if (span && !move_span(io, span, &ret))
			goto out;
		nvfs_io_skip(io, holes->hole[i].length);
		holes->passed++;
	}
	move_span(io, io->left, &ret);
out:
	io->left += behind;
	return ret;
}

/*
 * Tell of the holes that were passed; one that can't be told was not passed.  The
 * user's memory may be waited for as long as somebody likes: the region is let go.
 */
static int report_holes(struct nvfs_io *io, const struct rw_holes *holes,
			struct nvfs_rw *args)
{
	if (!copy_to_user(u64_to_user_ptr(args->holes), holes->hole,
			  holes->passed * sizeof(*holes->hole))) {
		args->nr_holes = holes->passed;
		nvfs_stat_add(holes, holes->passed);
		nvfs_stat_add(hole_bytes, io->skipped);
		return 0;
	}
	/* Before it there was none */
	io->done = min(io->done, holes->hole[0].file_offset -
				 args->file_offset);
	io->direct = min(io->direct, io->done);
	io->skipped = 0;
	return -EFAULT;
}

static int move_reporting(struct nvfs_io *io, struct nvfs_rw *args)
{
	struct rw_holes holes = {
		.max = min_t(u32, args->max_holes, NVFS_MAX_HOLES),
	};
	int ret;

	holes.hole = kvcalloc(holes.max, sizeof(*holes.hole),
			      GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL |
			      __GFP_NOWARN);
	if (!holes.hole)
		return -ENOMEM;
	/* So may the file's answer */
	nvfs_io_let_go(io);
	ret = find_holes(io, &holes);
	ret = nvfs_io_hold(io) ?: ret;
	if (!ret)
		ret = move_between(io, &holes);
	if (!io->let_go)
		nvfs_io_let_go(io);
	if (report_holes(io, &holes, args))
		ret = -EFAULT;
	kvfree(holes.hole);
	/* What was moved was moved, even if the region has ended since */
	nvfs_io_hold(io);
	return ret;
}

static int rw_run(struct nvfs_io *io, struct nvfs_rw *args)
{
	int ret;

	nvfs_io_run_begin(io);
	ret = args->flags & NVFS_RW_REPORT_HOLES ? move_reporting(io, args) :
						   nvfs_io_move(io);
	nvfs_io_run_end(io, ret);
	args->done = io->done;
	args->route = nvfs_io_route(io);
	return io->error;
}

/* With the region at hand, which is this function's to put */
static int rw_region(struct nvfs_region *region, const struct nvfs_request *req,
		     struct nvfs_rw *args)
{
	struct nvfs_io io nvfs_no_auto_init;
	struct fd f;
	int ret;

	ret = nvfs_io_check_range(req, region);
	if (ret)
		goto refused;
	ret = -EBADF;
	f = fdget(req->fd);
	if (fd_empty(f))
		goto refused;
	ret = nvfs_io_begin(&io, region, fd_file(f), req, NULL);
	if (ret)
		nvfs_io_refuse(&io, ret);
	else
		ret = rw_run(&io, args);
	args->reason = io.reason;
	fdput(f);
	nvfs_io_put_region(&io);
	return ret;

refused:
	nvfs_io_init(&io, req, NULL);
	io.id = &io;
	io.region = region;
	io.file = NULL;
	io.route.reason = NVFS_REASON_NONE;
	nvfs_io_refuse(&io, ret);
	nvfs_io_put_region(&io);
	return ret;
}

static int check_flags(const struct nvfs_rw *args, bool write)
{
	bool report = args->flags & NVFS_RW_REPORT_HOLES;

	if (args->flags & ~(NVFS_RW_BOUNCE | NVFS_RW_REPORT_HOLES))
		return -EINVAL;
	if (report && write)
		return -EINVAL;
	if (report)
		return args->max_holes ? 0 : -EINVAL;
	return args->holes || args->max_holes ? -EINVAL : 0;
}

/* Check and run a request; the out fields are filled in, also on failure */
static int rw(struct nvfs_regions *regions, struct nvfs_rw *args, bool write)
{
	const struct nvfs_request req = {
		.op = write ? NVFS_OP_WRITE : NVFS_OP_READ,
		.flags = args->flags,
		.region = args->region,
		.fd = args->fd,
		.region_offset = args->region_offset,
		.file_offset = args->file_offset,
		.length = args->length,
	};
	struct nvfs_region *region;
	int ret;

	args->done = 0;
	args->route = NVFS_ROUTE_NONE;
	args->reason = NVFS_REASON_NONE;
	args->nr_holes = 0;
	ret = check_flags(args, write);
	if (ret)
		return ret;
	region = nvfs_region_get(regions, args->region);
	if (IS_ERR(region))
		return PTR_ERR(region);
	ret = rw_region(region, &req, args);
	if (ret)
		nvfs_dbg("%s of %llu bytes: %pe, reason %u, %llu done\n",
			 write ? "write" : "read", args->length, ERR_PTR(ret),
			 args->reason, args->done);
	return ret;
}

/* Field by field: the user's structure is as large as ours */
static int rw_copy_in(struct nvfs_rw *args, const struct nvfs_rw __user *uarg)
{
	if (!user_read_access_begin(uarg, sizeof(*uarg)))
		return -EFAULT;
	unsafe_get_user(args->flags, &uarg->flags, fault);
	unsafe_get_user(args->region, &uarg->region, fault);
	unsafe_get_user(args->fd, &uarg->fd, fault);
	unsafe_get_user(args->region_offset, &uarg->region_offset, fault);
	unsafe_get_user(args->file_offset, &uarg->file_offset, fault);
	unsafe_get_user(args->length, &uarg->length, fault);
	unsafe_get_user(args->holes, &uarg->holes, fault);
	unsafe_get_user(args->max_holes, &uarg->max_holes, fault);
	user_read_access_end();
	return 0;

fault:
	user_read_access_end();
	return -EFAULT;
}

static int rw_copy_out(const struct nvfs_rw *args, struct nvfs_rw __user *uarg)
{
	if (!user_write_access_begin(uarg, sizeof(*uarg)))
		return -EFAULT;
	unsafe_put_user(args->done, &uarg->done, fault);
	unsafe_put_user(args->route, &uarg->route, fault);
	unsafe_put_user(args->reason, &uarg->reason, fault);
	unsafe_put_user(args->nr_holes, &uarg->nr_holes, fault);
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/* A structure of another size than ours, but at least the first published one */
static int rw_copy_in_sized(struct nvfs_rw *args, struct nvfs_rw __user *uarg,
			    u32 size)
{
	int ret;

	if (size < offsetofend(struct nvfs_rw, nr_holes))
		return -EINVAL;
	ret = copy_struct_from_user(args, sizeof(*args), uarg, size);
	if (ret)
		return ret;
	/* Nothing begins whose results can't be told */
	return put_user(size, &uarg->size) ? -EFAULT : 0;
}

/**
 * nvfs_io_rw() - NVFS_IOC_READ and NVFS_IOC_WRITE, any request
 * @regions: regions of the open file
 * @uarg: the user's structure
 * @write: GPU to file
 *
 * Context: process context; sleeps until the request is complete.  A direct
 * request allocates at most once and takes no lock of its own.
 *
 * Return: 0, or an errno that the uapi header documents.
 */
long nvfs_io_rw(struct nvfs_regions *regions, struct nvfs_rw __user *uarg,
		bool write)
{
	struct nvfs_rw args nvfs_no_auto_init;
	u32 size;
	int ret;

	/* The size stands first in every structure */
	if (get_user(size, &uarg->size))
		return -EFAULT;
	if (size == sizeof(args))
		ret = rw_copy_in(&args, uarg);
	else
		ret = rw_copy_in_sized(&args, uarg, size);
	if (ret)
		return ret;
	ret = rw(regions, &args, write);
	if (ret)
		nvfs_stat_inc(ioctl_errors);
	return rw_copy_out(&args, uarg) ? -EFAULT : ret;
}
