// SPDX-License-Identifier: MIT
/* From the engine's errors to those that cuFile documents. */
#include <errno.h>

#include "cufile_priv.h"
#include "libnvfs.h"

/* CU_FILE_SUCCESS: none of cuFile's own fits, errno says it better. */
static CUfileOpError code_of(int err)
{
	switch (err) {
	case -ECHILD:
	case -ENOTCONN:
		return CU_FILE_DRIVER_NOT_INITIALIZED;
	case -EREMOTEIO:
		return CU_FILE_IO_NOT_SUPPORTED;
	case -ENOSYS:
	case -ENODEV:
		return CU_FILE_CUDA_DRIVER_ERROR;
	case -EFAULT:
		return CU_FILE_CUDA_POINTER_INVALID;
	case -EOVERFLOW:
		return CU_FILE_INVALID_VALUE;
	default:
		return CU_FILE_SUCCESS;
	}
}

CUfileError_t cf_from_errno(int err)
{
	CUfileOpError code = code_of(err);

	if (!err || code)
		return cf_error(code);
	switch (err) {
	case -EINVAL:
		return cf_error(CU_FILE_INVALID_VALUE);
	case -ENOMEM:
	case -EDQUOT:
		return cf_error(CU_FILE_NOMEM_ERROR);
	case -EPERM:
	case -EACCES:
		return cf_error(CU_FILE_PERMISSION_DENIED);
	case -EIO:
		return cf_error(CU_FILE_IO_ERROR);
	default:
		return cf_error(CU_FILE_INTERNAL_ERROR);
	}
}

ssize_t cf_refused(int err)
{
	CUfileOpError code = code_of(err);

	return code ? -(ssize_t)code : err;
}

bool cf_is_refusal(const struct engine_req *req)
{
	return req->no_bounce && req->reason &&
	       (req->error == -EREMOTEIO ||
		(req->error && req->reason == NVFS_REASON_NO_REGION));
}

/*
 * What arrived before an error is not told: a short count means the end.  Files
 * and drives have the same errno values as the engine, which found the GPU and
 * checked the range before: what is left is theirs.
 */
ssize_t cf_request_result(const struct engine_req *req)
{
	if (!req->error)
		return (ssize_t)req->done;
	if (cf_is_refusal(req))
		return -(ssize_t)CU_FILE_IO_NOT_SUPPORTED;
	if (req->error == -ECHILD || req->error == -EFAULT)
		return -(ssize_t)code_of(req->error);
	return req->error;
}
