// SPDX-License-Identifier: MIT
/* Files: what their open mode wants, and how to read and write all of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "host.h"
#include "host_pin.h"

/* Suits all drives; statx() says when less or more does. */
#define ALIGN_DEFAULT	4096U
/* What buffers are multiples of. */
#define ALIGN_MOST	65536U
/* At most so much in one call: Linux' own limit, in whole blocks. */
#define CALL_MAX	0x7ffff000ULL

#define PAGE		4096ULL
/* What is looked at of a long range: so much at its begin, middle and end. */
#define SPOT		(16 * PAGE)

/* cachestat(2), Linux 6.5; the C library has no name for it. */
#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

static int64_t kernel_cachestat(int fd, uint64_t offset, uint64_t length,
				enum host_pages which)
{
	struct { uint64_t offset, length; } range = { offset, length };
	struct { uint64_t cached, dirty, going, others[2]; } answer;

	if (syscall(SYS_cachestat, fd, &range, &answer, 0))
		return -errno;
	if (which == HOST_CACHED)
		return (int64_t)answer.cached;
	/* What is being written to the drive may have to be waited for. */
	if (answer.going)
		return 0;
	return (int64_t)(which == HOST_DIRTY ? answer.dirty : answer.cached);
}

static int64_t (*_Atomic cachestat)(int fd, uint64_t offset, uint64_t length,
				    enum host_pages which) = kernel_cachestat;

void host_file_set_cachestat(int64_t (*count)(int fd, uint64_t offset,
					      uint64_t length,
					      enum host_pages which))
{
	cachestat = count ? count : kernel_cachestat;
}

/*
 * Only where the page cache and O_DIRECT can't tell different stories: a file
 * of one machine's file system.  Not a device, which may have a file system, or
 * another machine, that writes below its page cache; and not a network's.
 */
bool host_file_is_local(int fd)
{
	struct stat st;
	struct statfs fs;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || fstatfs(fd, &fs))
		return false;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
		return cachestat(fd, 0, PAGE, HOST_CACHED) >= 0;
	}
	return false;
}

static bool has_pages(int fd, uint64_t offset, uint64_t length,
		      enum host_pages which)
{
	uint64_t first = offset / PAGE;
	uint64_t end = (offset + length + PAGE - 1) / PAGE;
	int64_t nr = cachestat(fd, first * PAGE, (end - first) * PAGE, which);

	return nr >= 0 && (uint64_t)nr >= end - first;
}

static bool has_spots(int fd, uint64_t offset, uint64_t length,
		      enum host_pages which)
{
	if (length <= HOST_WHOLE)
		return has_pages(fd, offset, length, which);
	return has_pages(fd, offset, SPOT, which) &&
	       has_pages(fd, offset + length / 2, SPOT, which) &&
	       has_pages(fd, offset + length - SPOT, SPOT, which);
}

bool host_file_is(int fd, uint64_t dev, uint64_t ino, uint64_t *size)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
		  STATX_SIZE | STATX_INO, &stx) || stx.stx_ino != ino ||
	    makedev(stx.stx_dev_major, stx.stx_dev_minor) != dev)
		return false;
	*size = stx.stx_size;
	return true;
}

bool host_file_has_all(int fd, uint64_t length, uint64_t offset)
{
	return has_pages(fd, offset, length, HOST_CACHED);
}

bool host_file_has(const struct engine_file *file, uint64_t length,
		   uint64_t offset, enum host_pages which)
{
	return has_spots(file->fd, offset, length, which);
}

/*
 * Asked before, because a read that shall not block (RWF_NOWAIT) starts to read
 * ahead where it finds nothing.  A wrong guess costs time only.  Behind the end of
 * the file there is nothing to have.
 */
static bool is_cached(const struct engine_file *file, uint64_t offset,
		      uint64_t length)
{
	struct stat st;
	uint64_t size;

	if (!file->cacheable || !length)
		return false;
	if (has_spots(file->fd, offset, length, HOST_CACHED))
		return true;
	if (fstat(file->fd, &st))
		return false;
	size = (uint64_t)st.st_size;
	if (offset >= size || offset + length <= size)
		return false;
	return has_spots(file->fd, offset, size - offset, HOST_CACHED);
}

/*
 * Is its memory all that there is of it?  O_DIRECT asks nothing of such a file, and
 * a CPU copies what is read.  Of a device the node's file system would be told.
 */
static bool is_memory(int fd)
{
	struct stat st;
	struct statfs fs;
#ifdef STATX_ATTR_DAX
	struct statx stx;
#endif

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
#ifdef STATX_ATTR_DAX
	if (!statx(fd, "", AT_EMPTY_PATH, 0, &stx) &&
	    (stx.stx_attributes & STATX_ATTR_DAX))
		return true;
#endif
	return !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
}

/* Of a file that is open with O_DIRECT. */
static uint32_t direct_align(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stx;
#endif

	if (is_memory(fd))
		return 1;
#ifdef STATX_DIOALIGN
	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    (stx.stx_mask & STATX_DIOALIGN) &&
	    stx.stx_dio_offset_align > ALIGN_DEFAULT &&
	    stx.stx_dio_offset_align <= ALIGN_MOST)
		return stx.stx_dio_offset_align;
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
	file->direct = -1;
	file->no_direct = false;
	file->flags = flags;
	file->align = flags & O_DIRECT ? direct_align(fd) : 1;
	file->seekable = lseek(fd, 0, SEEK_CUR) >= 0 || errno != ESPIPE;
	file->cacheable = file->align > 1 && host_file_is_local(fd);
	file->no_map = false;
	file->map = NULL;
	file->pins = NULL;
	return 0;
}

void engine_file_fini(struct engine_file *file)
{
	host_pin_close(file);
	host_map_close(file);
	if (file->twin >= 0)
		close(file->twin);
	file->twin = -1;
	if (file->direct >= 0)
		close(file->direct);
	file->direct = -1;
}

/* Opened once more; its rights count again.  A descriptor or -1. */
static int reopen(const struct engine_file *file, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	return open(path, flags | O_CLOEXEC | O_NOCTTY);
}

int engine_file_force_direct(struct engine_file *file)
{
	/* Nor is a file read that was not opened for that. */
	if ((file->flags & O_DIRECT) ||
	    (file->flags & O_ACCMODE) == O_WRONLY)
		return 0;
	file->direct = reopen(file, O_RDONLY | O_DIRECT);
	if (file->direct < 0)
		return -errno;
	file->align = direct_align(file->direct);
	file->cacheable = file->align > 1 && host_file_is_local(file->fd);
	return 0;
}

/* By one thread, so that none has one to close, which ends locks. */
static int open_twin(struct engine_file *file)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int twin;

	pthread_mutex_lock(&lock);
	twin = file->twin;
	if (twin < 0) {
		twin = reopen(file, file->flags & (O_ACCMODE | O_SYNC |
						   O_DSYNC));
		__atomic_store_n(&file->twin, twin, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return twin;
}

/*
 * The file without O_DIRECT and with the same rights.  Where it can't be had
 * (no /proc, rights that changed) the caller's own must do.
 */
static int twin_of(struct engine_file *file)
{
	int twin = __atomic_load_n(&file->twin, __ATOMIC_ACQUIRE);

	/* It is that itself. */
	if (file->direct >= 0)
		return file->fd;
	if (twin < 0)
		twin = open_twin(file);
	return twin < 0 ? file->fd : twin;
}

/* Is that what refuses what does not suit it? */
static bool is_direct(const struct engine_file *file, int fd)
{
	return fd == file->direct ||
	       (fd == file->fd && (file->flags & O_DIRECT));
}

static bool suits(const struct engine_file *file, const void *host,
		  uint64_t length, uint64_t offset)
{
	return !(((uintptr_t)host | length | offset) & (file->align - 1));
}

/* What aligned reads are put to; ours is good as long as the caller's is. */
static int direct_fd(const struct engine_file *file)
{
	return file->direct >= 0 && fcntl(file->fd, F_GETFD) >= 0 ?
	       file->direct : file->fd;
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

bool host_file_waits(const struct engine_file *file, uint64_t length,
		     uint64_t offset)
{
	return file->align > 1 && !is_cached(file, offset, length);
}

bool host_file_is_direct(const struct engine_file *file, const char *host,
			 uint64_t length, uint64_t offset, int *fd)
{
	*fd = direct_fd(file);
	return file->align > 1 && file->seekable && length <= INT32_MAX &&
	       suits(file, host, length, offset) &&
	       !is_cached(file, offset, length);
}

uint64_t host_file_read(struct engine_file *file, char *host, uint64_t length,
			uint64_t offset, int *error)
{
	int direct = direct_fd(file), fd = direct;
	uint64_t done = 0;

	*error = 0;
	if (!suits(file, host, length, offset) ||
	    is_cached(file, offset, length))
		fd = twin_of(file);
	while (done < length) {
		ssize_t n = read_some(file, fd, host + done, length - done,
				      offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && is_direct(file, fd)) {
			fd = twin_of(file);
			if (!is_direct(file, fd))
				continue;
			errno = EINVAL;
		}
		if (n < 0)
			*error = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
		/* After the last block O_DIRECT has nothing more to ask. */
		if (fd == direct && done % file->align)
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
		if (n < 0 && errno == EINVAL && is_direct(file, fd)) {
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
