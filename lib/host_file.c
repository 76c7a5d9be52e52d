// SPDX-License-Identifier: MIT
/* Files: what their open mode wants, and how to read and write all of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

/* Suits all drives; statx() says when less or more does. */
#define ALIGN_DEFAULT	4096U
/* What buffers are multiples of. */
#define ALIGN_MOST	65536U
/* At most so much in one call: Linux' own limit, in whole blocks. */
#define CALL_MAX	0x7ffff000ULL

static uint32_t direct_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    (stx.stx_mask & STATX_DIOALIGN) &&
	    stx.stx_dio_offset_align > ALIGN_DEFAULT &&
	    stx.stx_dio_offset_align <= ALIGN_MOST)
		return stx.stx_dio_offset_align;
#else
	(void)fd;
#endif
	return ALIGN_DEFAULT;
}

int engine_file_init(struct engine_file *file, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -EBADF;
	file->fd = fd;
	file->twin = -1;
	file->flags = flags;
	file->align = flags & O_DIRECT ? direct_align(fd) : 1;
	file->seekable = lseek(fd, 0, SEEK_CUR) >= 0 || errno != ESPIPE;
	return 0;
}

void engine_file_fini(struct engine_file *file)
{
	if (file->twin >= 0)
		close(file->twin);
	file->twin = -1;
}

/*
 * The file without O_DIRECT and with the same rights.  Where it can't be had
 * (no /proc, rights that changed) the caller's own must do.
 */
static int twin_of(struct engine_file *file)
{
	int twin = __atomic_load_n(&file->twin, __ATOMIC_ACQUIRE);
	int none = -1;
	char path[40];

	if (twin >= 0)
		return twin;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	twin = open(path, (file->flags & (O_ACCMODE | O_SYNC | O_DSYNC)) |
		    O_CLOEXEC | O_NOCTTY);
	if (twin < 0)
		return file->fd;
	if (__atomic_compare_exchange_n(&file->twin, &none, twin, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return twin;
	close(twin);
	return none;
}

static bool suits(const struct engine_file *file, const void *host,
		  uint64_t length, uint64_t offset)
{
	return !(((uintptr_t)host | length | offset) & (file->align - 1));
}

static ssize_t read_some(const struct engine_file *file, int fd, char *host,
			 uint64_t length, uint64_t offset)
{
	if (length > CALL_MAX)
		length = CALL_MAX;
	return file->seekable ? pread(fd, host, length, (off_t)offset) :
				read(fd, host, length);
}

static ssize_t write_some(const struct engine_file *file, int fd,
			  const char *host, uint64_t length, uint64_t offset)
{
	if (length > CALL_MAX)
		length = CALL_MAX;
	return file->seekable ? pwrite(fd, host, length, (off_t)offset) :
				write(fd, host, length);
}

uint64_t host_file_read(struct engine_file *file, char *host, uint64_t length,
			uint64_t offset, int *error)
{
	int fd = file->fd;
	uint64_t done = 0;

	*error = 0;
	if (!suits(file, host, length, offset))
		fd = twin_of(file);
	while (done < length) {
		ssize_t n = read_some(file, fd, host + done, length - done,
				      offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && fd == file->fd &&
		    file->align > 1) {
			fd = twin_of(file);
			if (fd != file->fd)
				continue;
			errno = EINVAL;
		}
		if (n < 0)
			*error = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
		/* After the last block O_DIRECT has nothing more to ask. */
		if (fd == file->fd && done % file->align)
			break;
	}
	return done;
}

uint64_t host_file_write(struct engine_file *file, const char *host,
			 uint64_t length, uint64_t offset, int *error)
{
	int fd = file->fd;
	uint64_t done = 0;

	*error = 0;
	if (!suits(file, host, length, offset))
		fd = twin_of(file);
	while (done < length) {
		ssize_t n = write_some(file, fd, host + done, length - done,
				       offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && fd == file->fd &&
		    file->align > 1) {
			fd = twin_of(file);
			if (fd != file->fd)
				continue;
			errno = EINVAL;
		}
		if (n < 0)
			*error = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	return done;
}
