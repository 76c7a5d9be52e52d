// SPDX-License-Identifier: MIT
/* File bytes against GPU memory: page cache and copy engine, never direct. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transfer.h"

#define WINDOW	(4ULL << 20)

static int read_window(int fd, char *host, uint64_t length, uint64_t offset,
		       uint64_t *got)
{
	*got = 0;
	while (*got < length) {
		ssize_t n = pread(fd, host + *got, length - *got,
				  (off_t)(offset + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*got += (uint64_t)n;
	}
	return 0;
}

/* Index of the first difference, @length when there is none. */
static uint64_t find_difference(const char *a, const char *b, uint64_t length)
{
	uint64_t i = 0;

	if (!memcmp(a, b, length))
		return length;
	while (a[i] == b[i])
		i++;
	return i;
}

static int compare_window(struct nvfs_buf *buf, uint64_t buf_offset, int fd,
			  uint64_t file_offset, uint64_t length, char *host,
			  struct comparison *comparison)
{
	char *from_gpu = host, *from_file = host + WINDOW;
	uint64_t got, same;
	int ret = read_window(fd, from_file, length, file_offset, &got);

	if (ret)
		return ret;
	ret = nvfs_buf_copy_out(buf, buf_offset, from_gpu, length);
	if (ret)
		return ret;
	same = find_difference(from_gpu, from_file, got);
	comparison->compared += same;
	comparison->equal = same == length;
	if (same < length) {
		comparison->first = (unsigned char)from_gpu[same];
		comparison->second = same < got ?
			(int)(unsigned char)from_file[same] : -1;
	}
	return 0;
}

int compare_file(struct nvfs_buf *buf, uint64_t buf_offset, int fd,
		 uint64_t file_offset, uint64_t length,
		 int (*progress)(void *arg, uint64_t done), void *arg,
		 struct comparison *comparison)
{
	char *host = malloc(2 * WINDOW);
	uint64_t done = 0;
	int ret = 0;

	*comparison = (struct comparison){ .equal = true, .first = -1,
					   .second = -1 };
	if (!host)
		return -ENOMEM;
	while (!ret && comparison->equal && done < length) {
		uint64_t part = length - done < WINDOW ? length - done : WINDOW;

		ret = compare_window(buf, buf_offset + done, fd,
				     file_offset + done, part, host,
				     comparison);
		done += part;
		if (!ret && progress && progress(arg, done))
			ret = -ECANCELED;
	}
	free(host);
	return ret;
}
