// SPDX-License-Identifier: MIT
/* The slow way: file, host memory, copy engine, GPU. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gpu.h"
#include "internal.h"

/* Large enough for a drive's full rate, small enough to have many. */
#define PIECE		(1ULL << 20)

/*
 * A file that was opened with O_DIRECT takes no unaligned requests, and after
 * a short one the next is unaligned.  A second open file of the same inode,
 * with the same rights, takes them all.  Returns a new file descriptor, or -1
 * when the caller's own will do.
 */
static int open_buffered(const struct span *span)
{
	int flags = fcntl(span->fd, F_GETFL);
	char path[40];
	int mode;

	if (flags < 0 || !(flags & O_DIRECT))
		return -1;
	mode = span->write ? O_WRONLY : O_RDONLY;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", span->fd);
	return open(path, mode | (flags & (O_SYNC | O_DSYNC)) | O_CLOEXEC);
}

/* As pread(2), but goes on until @length bytes, the end or an error. */
static int read_all(int fd, char *host, uint64_t length, uint64_t offset,
		    uint64_t *done)
{
	*done = 0;
	while (*done < length) {
		ssize_t n = pread(fd, host + *done, length - *done,
				  (off_t)(offset + *done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*done += (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const char *host, uint64_t length,
		     uint64_t offset, uint64_t *done)
{
	*done = 0;
	while (*done < length) {
		ssize_t n = pwrite(fd, host + *done, length - *done,
				   (off_t)(offset + *done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*done += (uint64_t)n;
	}
	return 0;
}

static int read_piece(struct nvfs_region *region, int fd, char *host,
		      const struct span *piece, uint64_t *done)
{
	uint64_t got;
	int err;
	int ret = read_all(fd, host, piece->length, piece->file_offset, &got);

	/* What was read before an error is good and counts. */
	err = !got ? 0 : region->driver->copy_in(region->gpu,
						 region->addr + piece->region_offset,
						 host, got);
	if (!err)
		*done += got;
	return ret ? ret : err;
}

static int write_piece(struct nvfs_region *region, int fd, char *host,
		       const struct span *piece, uint64_t *done)
{
	uint64_t put;
	int ret = region->driver->copy_out(region->gpu, host,
					   region->addr + piece->region_offset,
					   piece->length);

	if (ret)
		return ret;
	ret = write_all(fd, host, piece->length, piece->file_offset, &put);
	*done += put;
	return ret;
}

static int move_pieces(struct nvfs_region *region, const struct span *span,
		       int fd, char *host, uint64_t *done)
{
	while (*done < span->length) {
		struct span piece = *span;
		uint64_t before = *done;
		int ret;

		piece.region_offset += *done;
		piece.file_offset += *done;
		piece.length -= *done;
		if (piece.length > PIECE)
			piece.length = PIECE;
		ret = span->write ? write_piece(region, fd, host, &piece, done) :
				    read_piece(region, fd, host, &piece, done);
		if (ret)
			return ret;
		if (*done - before < piece.length)
			break;
	}
	return 0;
}

int bounce_move(struct nvfs_region *region, const struct span *span,
		uint64_t *done)
{
	uint64_t size = span->length < PIECE ? span->length : PIECE;
	void *host;
	int own_fd;
	int ret;

	*done = 0;
	if (!span->length)
		return 0;
	size = (size + BLOCK_SIZE - 1) / BLOCK_SIZE * BLOCK_SIZE;
	host = aligned_alloc(BLOCK_SIZE, size);
	if (!host)
		return -ENOMEM;
	own_fd = open_buffered(span);
	ret = move_pieces(region, span, own_fd < 0 ? span->fd : own_fd, host,
			  done);
	if (own_fd >= 0)
		close(own_fd);
	free(host);
	return ret;
}
