// SPDX-License-Identifier: MIT
/* Files that requests may name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cufile_priv.h"

/* Flags with which reading and writing at an offset means something else. */
#define BAD_FLAGS	(O_APPEND | O_NOCTTY | O_NONBLOCK | O_DIRECTORY | \
			 O_NOFOLLOW | O_NOATIME | O_TMPFILE | O_PATH)
/* What a direct transfer can't or must not do. */
#define BAD_ATTRIBUTES	(STATX_ATTR_COMPRESSED | STATX_ATTR_ENCRYPTED | \
			 STATX_ATTR_APPEND | STATX_ATTR_IMMUTABLE)

#define BUCKETS		1024U
/* Of what forbids that a file goes direct. */
#define WHY_SIZE	(CF_DENY_SIZE + 64)

/* By file descriptor; under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cf_handle *by_fd[BUCKETS];

static struct cf_handle **bucket(int fd)
{
	return &by_fd[(unsigned int)fd % BUCKETS];
}

static CUfileOpError check_file(int fd, struct cf_handle *handle)
{
	struct statx stx;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return CU_FILE_INVALID_VALUE;
	if (flags & BAD_FLAGS)
		return CU_FILE_INVALID_FILE_OPEN_FLAG;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx))
		return errno == ENOMEM ? CU_FILE_NOMEM_ERROR :
					 CU_FILE_INTERNAL_ERROR;
	if (!S_ISREG(stx.stx_mode) && !S_ISBLK(stx.stx_mode))
		return CU_FILE_INVALID_FILE_TYPE;
	if ((stx.stx_attributes & BAD_ATTRIBUTES) && !cf_may_bounce())
		return CU_FILE_IO_NOT_SUPPORTED;
	handle->dev = (dev_t)stx.stx_dev_major << 32 | stx.stx_dev_minor;
	handle->ino = stx.stx_ino;
	return CU_FILE_SUCCESS;
}

/*
 * Of what may go direct; elsewhere nobody asks where a file is.  The lists stay
 * as they are while the library is open.
 */
static CUfileOpError check_denied(struct engine_file *file, char why[WHY_SIZE])
{
	if (!cf_may_be_direct() ||
	    !cf_denied(&cf_config()->deny, file->fd, why, WHY_SIZE))
		return CU_FILE_SUCCESS;
	file->no_direct = true;
	if (!cf_may_bounce())
		return CU_FILE_IO_NOT_SUPPORTED;
	cf_log(CF_LOG_INFO, "handle", "fd %d may not go direct: %s", file->fd,
	       why);
	return CU_FILE_SUCCESS;
}

/*
 * Makes @handle known, unless its descriptor is.  One that means another file
 * by now was closed by its owner, and no longer counts.
 */
static CUfileOpError add(struct cf_handle *handle)
{
	struct cf_handle *old;

	pthread_mutex_lock(&lock);
	for (old = *bucket(handle->file.fd); old; old = old->next) {
		if (old->file.fd == handle->file.fd &&
		    old->dev == handle->dev && old->ino == handle->ino) {
			pthread_mutex_unlock(&lock);
			return CU_FILE_HANDLE_ALREADY_REGISTERED;
		}
	}
	handle->name = cf_slot_add(&cf_handles, handle);
	if (handle->name) {
		handle->next = *bucket(handle->file.fd);
		*bucket(handle->file.fd) = handle;
	}
	pthread_mutex_unlock(&lock);
	return handle->name ? CU_FILE_SUCCESS : CU_FILE_NOMEM_ERROR;
}

static CUfileOpError make(const CUfileDescr_t *descr, CUfileHandle_t *fh,
			  char why[WHY_SIZE])
{
	struct cf_handle *handle = calloc(1, sizeof(*handle));
	int fd = descr->handle.fd;
	CUfileOpError err;

	if (!handle)
		return CU_FILE_NOMEM_ERROR;
	err = check_file(fd, handle);
	if (err)
		goto free_handle;
	err = cf_from_errno(engine_file_init(&handle->file, fd)).err;
	if (err)
		goto free_handle;
	err = check_denied(&handle->file, why);
	if (err)
		goto end_file;
	if (cf_wants_o_direct() && engine_file_force_direct(&handle->file))
		cf_log(CF_LOG_INFO, "handle",
		       "a file can't be opened with O_DIRECT");
	err = add(handle);
	if (err)
		goto end_file;
	/* Nothing reads what is there, nor here. */
	if (descr->fs_ops)
		cf_log(CF_LOG_INFO, "handle",
		       "fd %d: its fs_ops are not called, bytes go by the kernel", fd);
	*fh = handle->name;
	return CU_FILE_SUCCESS;

end_file:
	engine_file_fini(&handle->file);
free_handle:
	free(handle);
	return err;
}

static CUfileOpError check_descr(const CUfileDescr_t *descr)
{
	switch ((unsigned int)descr->type) {
	case CU_FILE_HANDLE_TYPE_OPAQUE_FD:
		return descr->handle.fd < 0 ? CU_FILE_INVALID_VALUE :
					      CU_FILE_SUCCESS;
	case CU_FILE_HANDLE_TYPE_OPAQUE_WIN32:
		return CU_FILE_PLATFORM_NOT_SUPPORTED;
	case CU_FILE_HANDLE_TYPE_USERSPACE_FS:
		return CU_FILE_IO_NOT_SUPPORTED;
	default:
		return CU_FILE_INVALID_VALUE;
	}
}

static void tell(const CUfileDescr_t *descr, CUfileOpError err, const char *why)
{
	int fd = descr->handle.fd, flags;

	if (descr->type != CU_FILE_HANDLE_TYPE_OPAQUE_FD) {
		cf_tell_call("cuFileHandleRegister", err, "type %d",
			     descr->type);
		return;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		cf_tell_call("cuFileHandleRegister", err,
			     "no file is open as %d", fd);
	else
		cf_tell_call("cuFileHandleRegister", err,
			     "fd %d, which is open with flags %#o%s%s", fd,
			     (unsigned int)flags, *why ? "; " : "", why);
}

CF_API CUfileError_t cuFileHandleRegister(CUfileHandle_t *fh,
					  CUfileDescr_t *descr)
{
	char why[WHY_SIZE] = "";
	CUfileError_t ret;
	uint64_t began;

	if (!fh || !descr)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_enter_open();
	if (ret.err)
		return ret;
	began = cf_stats_begin();
	ret.err = check_descr(descr);
	if (!ret.err)
		ret.err = make(descr, fh, why);
	if (ret.err)
		tell(descr, ret.err, why);
	cf_stats_count(began, CF_OP_HANDLE_ADD, !ret.err);
	cf_leave();
	return ret;
}

bool cf_handle_end(void *name)
{
	struct cf_handle *handle = cf_slot_remove(&cf_handles, name);
	struct cf_handle **link;

	if (!handle)
		return false;
	pthread_mutex_lock(&lock);
	for (link = bucket(handle->file.fd); *link != handle;
	     link = &(*link)->next)
		;
	*link = handle->next;
	pthread_mutex_unlock(&lock);
	engine_file_fini(&handle->file);
	free(handle);
	return true;
}

CF_API void cuFileHandleDeregister(CUfileHandle_t fh)
{
	uint64_t began;

	if (cf_enter())
		return;
	began = cf_stats_begin();
	cf_stats_count(began, CF_OP_HANDLE_DEL, cf_handle_end(fh));
	cf_leave();
}
