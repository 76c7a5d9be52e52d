// SPDX-License-Identifier: MIT
/* Requests of libnvfs_async.h and what the engine makes of them. */
#include <errno.h>
#include <limits.h>

#include "account.h"
#include "async.h"

int io_check(const struct nvfs *nvfs, const struct nvfs_io *io)
{
	if (!io->file || io->file->nvfs != nvfs || io->op > NVFS_OP_WRITE ||
	    (io->flags & ~NVFS_IO_ALLOW_BOUNCE) || io->pad || io->reserved[0] ||
	    io->reserved[1])
		return -EINVAL;
	if (!is_gpu(io->gpu))
		return -ENODEV;
	if (io->length > SSIZE_MAX || add_overflows(io->addr, io->length) ||
	    io->file_offset > INT64_MAX - io->length)
		return -EOVERFLOW;
	return 0;
}

void io_fill(struct engine_req *req, const struct nvfs_io *io)
{
	*req = (struct engine_req){
		.file = &io->file->engine,
		.file_offset = io->file_offset,
		.addr = io->addr,
		.gpu = io->gpu,
		.length = io->length,
		.write = io->op == NVFS_OP_WRITE,
		/* Where there are no bytes, there is nothing to refuse. */
		.no_bounce = io->length && !(io->flags & NVFS_IO_ALLOW_BOUNCE),
	};
}

void io_ended(struct nvfs *nvfs, const struct engine_req *req,
	      struct nvfs_done *done)
{
	*done = (struct nvfs_done){
		.error = req->error,
		.res = {
			.done = req->done,
			.direct = req->direct,
			.bounce = req->done - req->direct,
			.route = req->route,
			.reason = req->reason,
		},
	};
	account_add(nvfs->account, req->write, &done->res, req->error);
}
