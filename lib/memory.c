// SPDX-License-Identifier: MIT
/* How much memory there is.  Read each time, as limits change. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common.h"
#include "memory.h"

#define PAGE		4096ULL
#define KIB		1024ULL
/* Where control groups are mounted: version 2, and the controller of version 1. */
#define CGROUP		"/sys/fs/cgroup"
#define CGROUP_1	"/sys/fs/cgroup/memory"

/* Linux 6.3, which notes in its log who says nothing of it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL	8U
#endif

/* The number behind @name at the begin of a line, or @none. */
static uint64_t number_in(const char *path, const char *name, uint64_t none)
{
	FILE *file = fopen(path, "re");
	unsigned long long value;
	char line[200];
	bool found = false;

	if (!file)
		return none;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, name, strlen(name)) &&
			sscanf(line + strlen(name), " %llu", &value) == 1;
	fclose(file);
	return found ? value : none;
}

/* Of the group @path below @mount and all above it. */
static uint64_t limit_of(const char *mount, char *path, const char *name)
{
	uint64_t least = UINT64_MAX;
	char file[4400], *end;

	for (;;) {
		snprintf(file, sizeof(file), "%s%s/%s", mount, path, name);
		least = min64(least, number_in(file, "", UINT64_MAX));
		end = strrchr(path, '/');
		if (!end)
			return least;
		*end = '\0';
	}
}

/* A line of /proc/self/cgroup: number, controllers, path. */
static uint64_t limit_in(char *line)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;

	if (!path)
		return UINT64_MAX;
	*path++ = '\0';
	path[strcspn(path, "\n")] = '\0';
	if (!strcmp(controllers, ":"))
		return limit_of(CGROUP, path, "memory.max");
	return strstr(controllers, "memory") ?
	       limit_of(CGROUP_1, path, "memory.limit_in_bytes") : UINT64_MAX;
}

uint64_t memory_most(void)
{
	uint64_t least = number_in("/proc/meminfo", "MemTotal:", 0) * KIB;
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4200];

	while (file && fgets(line, sizeof(line), file))
		least = min64(least, limit_in(line));
	if (file)
		fclose(file);
	return least;
}

uint64_t memory_left(void)
{
	uint64_t left = number_in("/proc/meminfo", "MemAvailable:", 0) * KIB;
	uint64_t pinned = number_in("/proc/vmstat", "nr_foll_pin_acquired", 0);
	uint64_t let_go = number_in("/proc/vmstat", "nr_foll_pin_released", 0);
	uint64_t files = number_in("/proc/meminfo", "Cached:", 0) * KIB;
	uint64_t others = (number_in("/proc/meminfo", "Shmem:", 0) +
			   number_in("/proc/meminfo", "Mlocked:", 0)) * KIB;

	/* What is pinned may also be no file's, and is not left anyway. */
	files = files > others ? files - others : 0;
	pinned = pinned > let_go ? min64((pinned - let_go) * PAGE, files) : 0;
	return left > pinned ? left - pinned : 0;
}

/* Who makes a file longer than that is sent a signal. */
static bool is_allowed(uint64_t length)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_FSIZE, &limit) &&
	       (limit.rlim_cur == RLIM_INFINITY || length <= limit.rlim_cur);
}

/*
 * Far behind the end of any file, and another one each time.  To ask where a descriptor
 * is takes no lock of the file, as it does from Linux 6.12 on to ask which file it is.
 */
static int64_t new_mark(void)
{
	static _Atomic uint64_t last;
	uint64_t now = (uint64_t)getpid() << 24 ^ now_ns() << 8;

	return (int64_t)(1ULL << 61 | (now + ++last) % (1ULL << 61));
}

int memory_file_make(struct memory_file *file, uint64_t length)
{
	struct stat st;
	int error;

	if (!is_allowed(length))
		return -EFBIG;
	file->fd = memfd_create("nvfs", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (file->fd < 0 && errno == EINVAL)
		file->fd = memfd_create("nvfs", MFD_CLOEXEC);
	if (file->fd < 0)
		return -errno;
	file->mark = new_mark();
	if (!ftruncate(file->fd, (off_t)length) && !fstat(file->fd, &st) &&
	    lseek(file->fd, file->mark, SEEK_SET) == file->mark) {
		file->dev = st.st_dev;
		file->ino = st.st_ino;
		return 0;
	}
	error = errno;
	close(file->fd);
	file->fd = -1;
	return -error;
}

bool memory_file_is(const struct memory_file *file)
{
	struct stat st;

	if (file->fd < 0)
		return false;
	if (lseek(file->fd, 0, SEEK_CUR) == file->mark)
		return true;
	/* A child that has it, too, may have read on: they have one place in common. */
	return !fstat(file->fd, &st) && st.st_dev == file->dev &&
	       st.st_ino == file->ino;
}

void memory_file_close(struct memory_file *file)
{
	if (memory_file_is(file))
		close(file->fd);
	file->fd = -1;
}
