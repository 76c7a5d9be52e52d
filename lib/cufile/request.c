// SPDX-License-Identifier: MIT
/* Requests that their caller waits for. */
#include <errno.h>
#include <limits.h>

#include "cufile_priv.h"

#define MAX_VECTORS	1024

void cf_request(struct engine_req *req, struct cf_handle *handle, bool write)
{
	*req = (struct engine_req){
		.file = &handle->file,
		.write = write,
	};
}

CUfileOpError cf_request_at(struct engine_req *req, const void *base,
			    size_t size, off_t file_offset, off_t mem_offset)
{
	CUfileOpError err;

	if (file_offset < 0 || size > SSIZE_MAX ||
	    (uint64_t)file_offset + size > INT64_MAX)
		return CU_FILE_INVALID_VALUE;
	err = cf_mem_at(base, mem_offset, size, &req->gpu, &req->addr);
	if (err)
		return err;
	req->file_offset = (uint64_t)file_offset;
	req->length = size;
	/* Bytes of host memory don't fall back: they are there already. */
	req->no_bounce = req->gpu != ENGINE_HOST && !cf_may_bounce();
	return CU_FILE_SUCCESS;
}

static ssize_t run(struct engine_req *req)
{
	uint64_t began = cf_stats_begin();
	ssize_t ret;

	engine_run(req);
	cf_stats_request(began, req);
	cf_tell_request(req);
	ret = cf_request_result(req);
	if (ret >= 0 || IS_CUFILE_ERR(ret))
		return ret;
	errno = (int)-ret;
	return -1;
}

static ssize_t transfer(CUfileHandle_t fh, const void *base, size_t size,
			off_t file_offset, off_t mem_offset, bool write)
{
	CUfileOpError err = cf_enter();
	struct cf_handle *handle;
	struct engine_req req;
	ssize_t ret = 0;

	if (err)
		return -(ssize_t)err;
	handle = cf_slot_get(&cf_handles, fh);
	if (handle) {
		cf_request(&req, handle, write);
		err = cf_request_at(&req, base, size, file_offset, mem_offset);
		if (!err)
			ret = run(&req);
		cf_slot_put(&cf_handles, fh);
	} else {
		err = fh ? CU_FILE_HANDLE_NOT_REGISTERED :
			   CU_FILE_INVALID_VALUE;
	}
	if (err) {
		cf_tell_call(write ? "cuFileWrite" : "cuFileRead", err,
			     "handle %p, %zu bytes at %lld, memory %p + %lld",
			     fh, size, (long long)file_offset, base,
			     (long long)mem_offset);
		cf_stats_refused(write);
	}
	cf_leave();
	return err ? -(ssize_t)err : ret;
}

CF_API ssize_t cuFileRead(CUfileHandle_t fh, void *bufPtr_base, size_t size,
			  off_t file_offset, off_t bufPtr_offset)
{
	return transfer(fh, bufPtr_base, size, file_offset, bufPtr_offset,
			false);
}

CF_API ssize_t cuFileWrite(CUfileHandle_t fh, const void *bufPtr_base,
			   size_t size, off_t file_offset, off_t bufPtr_offset)
{
	return transfer(fh, bufPtr_base, size, file_offset, bufPtr_offset,
			true);
}

static CUfileOpError check_vectors(const CUfileIOVec_t *iov, size_t iovcnt,
				   unsigned int flags, size_t *all)
{
	size_t total = 0;

	if (flags || (iovcnt && !iov) || iovcnt > MAX_VECTORS)
		return CU_FILE_INVALID_VALUE;
	for (size_t i = 0; i < iovcnt; i++) {
		if (iov[i].len > SSIZE_MAX - total ||
		    (iov[i].len && !iov[i].base))
			return CU_FILE_INVALID_VALUE;
		total += iov[i].len;
	}
	*all = total;
	return CU_FILE_SUCCESS;
}

/*
 * One after the other, so that there is never a gap.  As with readv(2), what
 * was moved before an error is told rather than the error.
 */
static ssize_t transfer_all(CUfileHandle_t fh, const CUfileIOVec_t *iov,
			    size_t iovcnt, off_t file_offset,
			    unsigned int flags, bool write)
{
	size_t all = 0;
	CUfileOpError err = check_vectors(iov, iovcnt, flags, &all);
	ssize_t total = 0;

	if (err || file_offset < 0) {
		cf_tell_call(write ? "cuFileWritev" : "cuFileReadv",
			     CU_FILE_INVALID_VALUE,
			     "handle %p, %zu vectors %p at %lld, flags %#x", fh,
			     iovcnt, (const void *)iov, (long long)file_offset,
			     flags);
		cf_stats_refused(write);
		return -(ssize_t)CU_FILE_INVALID_VALUE;
	}
	/* What can be wrong with the handle is told all the same. */
	if (!all)
		return transfer(fh, &total, 0, file_offset, 0, write);
	for (size_t i = 0; i < iovcnt; i++) {
		ssize_t n;

		if (!iov[i].len)
			continue;
		n = transfer(fh, iov[i].base, iov[i].len, file_offset + total,
			     0, write);
		if (n < 0)
			return total ? total : n;
		total += n;
		if ((size_t)n < iov[i].len)
			break;
	}
	return total;
}

CF_API ssize_t cuFileReadv(CUfileHandle_t fh, const CUfileIOVec_t *iov,
			   size_t iovcnt, off_t file_offset, unsigned int flags)
{
	return transfer_all(fh, iov, iovcnt, file_offset, flags, false);
}

CF_API ssize_t cuFileWritev(CUfileHandle_t fh, const CUfileIOVec_t *iov,
			    size_t iovcnt, off_t file_offset,
			    unsigned int flags)
{
	return transfer_all(fh, iov, iovcnt, file_offset, flags, true);
}
