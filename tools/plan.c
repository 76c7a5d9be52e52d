// SPDX-License-Identifier: MIT
/* Which bytes of a file are meant, and how many must be asked for. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"
#include "transfer.h"

#define DEFAULT_ALIGN	4096

uint64_t file_align(struct nvfs *nvfs, uint32_t gpu_bdf, int fd)
{
	struct nvfs_query query = { .size = sizeof(query) };

	if (gpu_bdf == NVFS_BDF_NONE ||
	    nvfs_query_gpu(nvfs, gpu_bdf, fd, &query) || !query.offset_align)
		return DEFAULT_ALIGN;
	return query.offset_align;
}

/* -EOVERFLOW instead of a number that means something else. */
static int round_up(uint64_t size, uint64_t align, uint64_t *rounded)
{
	uint64_t rest = size % align;

	*rounded = size;
	if (rest && __builtin_add_overflow(size, align - rest, rounded))
		return -EOVERFLOW;
	return 0;
}

/* The end of a file or a block device. */
static int find_end(int fd, uint64_t *end)
{
	struct stat st;
	off_t at;

	if (fstat(fd, &st))
		return -errno;
	/* Some have an end, which means nothing. */
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -ESPIPE;
	at = lseek(fd, 0, SEEK_END);
	if (at < 0)
		return -errno;
	*end = (uint64_t)at;
	return 0;
}

int plan_read(int fd, uint64_t offset, uint64_t size, uint64_t align,
	      struct plan *plan)
{
	uint64_t end = 0;
	int ret = find_end(fd, &end);

	if (ret)
		return ret;
	if (offset > end)
		return -EINVAL;
	if (size > end - offset)
		size = end - offset;
	plan->offset = offset;
	plan->size = size;
	plan->cut = false;
	return round_up(size, align, &plan->length);
}

const char *plan_advice(int error)
{
	switch (error) {
	case -EINVAL:
		return "--offset is past the end of the file";
	case -EISDIR:
		return "this is a directory";
	case -ESPIPE:
		return "this is neither a file nor a block device";
	default:
		return "can't find out how long this is";
	}
}

int plan_command(unsigned int gpu, int fd, const struct options *opts,
		 struct plan *plan)
{
	uint64_t align = DEFAULT_ALIGN;
	struct nvfs_gpu about;
	struct nvfs *nvfs;
	int ret = nvfs_open(NVFS_OPEN_NO_MODULE, &nvfs);

	if (ret)
		return ret;
	if (!nvfs_gpu_get(nvfs, gpu, &about))
		align = file_align(nvfs, about.bdf, fd);
	nvfs_close(nvfs);
	return plan_read(fd, opts->offset,
			 opts->have_size ? opts->size : INT64_MAX, align, plan);
}

int plan_write(int fd, uint64_t offset, uint64_t size, uint64_t align,
	       struct plan *plan)
{
	struct stat st;
	int ret;

	if (fstat(fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	plan->offset = offset;
	plan->size = size;
	ret = round_up(size, align, &plan->length);
	if (ret)
		return ret;
	plan->cut = plan->length > size;
	if (!plan->cut)
		return 0;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > offset + size)
		return -EOVERFLOW;
	return 0;
}
