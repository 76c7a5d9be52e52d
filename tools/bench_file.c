// SPDX-License-Identifier: MIT
/* The files that nvfs bench reads and writes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "tool.h"

#define WINDOW		(64ULL << 20)
#define PAGE		4096ULL

static int refuse(const struct bench_file *file, const char *why)
{
	complain("bench: %s: %s", file->path, why);
	return -1;
}

/* Writing to a drive destroys what is on it. */
static int check_kind(const struct bench_opts *opts, struct bench_file *file,
		      int *flags)
{
	struct stat st;

	if (stat(file->path, &st)) {
		if (errno != ENOENT)
			return refuse(file, errno_name(-errno));
		if (!bench_writes(opts))
			return refuse(file, "no such file; make one: nvfs bench --rw write --size N FILE");
		return 0;
	}
	if (S_ISDIR(st.st_mode))
		return refuse(file, "this is a directory; for a file per thread: --dir");
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return refuse(file, "this is neither a file nor a block device");
	if (S_ISBLK(st.st_mode) && bench_writes(opts)) {
		if (!opts->force)
			return refuse(file, "writing destroys what is on this device: --force");
		/* Fails when it is in use. */
		*flags |= O_EXCL;
	}
	return 0;
}

static int open_both(const struct bench_opts *opts, struct bench_file *file,
		     int flags)
{
	file->direct_io = !opts->buffered;
	file->fd = open(file->path, flags | (file->direct_io ? O_DIRECT : 0),
			0666);
	if (file->fd < 0 && errno == EINVAL && file->direct_io) {
		file->direct_io = false;
		file->fd = open(file->path, flags, 0666);
	}
	if (file->fd < 0)
		return refuse(file, strerror(errno));
	file->plain = open(file->path, O_RDONLY | O_CLOEXEC);
	/* May be: a file that we may only write.  Then nothing is verified. */
	if (file->plain < 0 && opts->verify)
		return refuse(file, "can't be read back, so not verified");
	return 0;
}

static int find_range(const struct bench_opts *opts, struct bench_file *file)
{
	off_t end = lseek(file->fd, 0, SEEK_END);
	uint64_t have, want = opts->offset + opts->size;
	struct stat st;

	if (end < 0 || fstat(file->fd, &st))
		return refuse(file, errno_name(-errno));
	have = (uint64_t)end;
	if (!opts->size)
		want = have;
	/* Made that long first, so that no write also moves the end. */
	if (bench_writes(opts) && S_ISREG(st.st_mode) && want > have) {
		if (ftruncate(file->fd, (off_t)want))
			return refuse(file, errno_name(-errno));
		have = want;
	}
	if (want > have)
		return refuse(file, "is shorter than --offset and --size together");
	if (want <= opts->offset + opts->unaligned)
		return refuse(file, opts->size || opts->offset ?
			      "nothing is left behind --offset" :
			      "is empty; say how much to write: --size");
	file->offset = opts->offset + opts->unaligned;
	file->length = want - file->offset;
	return 0;
}

int bench_file_open(const struct bench_opts *opts, unsigned int index,
		    struct bench_file *file)
{
	int flags = O_CLOEXEC | (bench_writes(opts) ? O_RDWR : O_RDONLY);
	int n;

	file->fd = -1;
	file->plain = -1;
	n = opts->is_dir ?
	    snprintf(file->path, sizeof(file->path), "%s/nvfs-bench.%u",
		     opts->path, index) :
	    snprintf(file->path, sizeof(file->path), "%s", opts->path);
	if (n < 0 || (size_t)n >= sizeof(file->path))
		return refuse(file, "this name is too long");
	if (check_kind(opts, file, &flags))
		return -1;
	if (bench_writes(opts) && !(flags & O_EXCL))
		flags |= O_CREAT;
	if (open_both(opts, file, flags) || find_range(opts, file)) {
		bench_file_close(file);
		return -1;
	}
	return 0;
}

void bench_file_close(struct bench_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->plain >= 0)
		close(file->plain);
	file->fd = -1;
	file->plain = -1;
}

/* Resident pages of [@at, @at + @length), both whole pages. */
static int count_window(int fd, uint64_t at, uint64_t length, uint64_t *pages)
{
	static unsigned char seen[WINDOW / PAGE];
	void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)at);
	int ret;

	if (map == MAP_FAILED)
		return -errno;
	ret = mincore(map, length, seen) ? -errno : 0;
	munmap(map, length);
	for (uint64_t i = 0; !ret && i < (length + PAGE - 1) / PAGE; i++)
		*pages += seen[i] & 1;
	return ret;
}

bool bench_file_cached(const struct bench_file *file, uint64_t *bytes)
{
	uint64_t at = file->offset / PAGE * PAGE;
	uint64_t end = file->offset + file->length, pages = 0;
	struct stat st;

	*bytes = 0;
	/* To others the kernel says that everything is cached. */
	if (file->plain < 0 || fstat(file->plain, &st) ||
	    (geteuid() && st.st_uid != geteuid() &&
	     access(file->path, W_OK)))
		return false;
	for (; at < end; at += WINDOW) {
		uint64_t n = end - at < WINDOW ? end - at : WINDOW;

		if (count_window(file->plain, at, n, &pages))
			return false;
	}
	*bytes = pages * PAGE < file->length ? pages * PAGE : file->length;
	return true;
}

void bench_file_drop(const struct bench_file *file)
{
	/* Dirty pages stay otherwise. */
	fdatasync(file->fd);
	if (file->plain >= 0)
		posix_fadvise(file->plain, 0, 0, POSIX_FADV_DONTNEED);
}
