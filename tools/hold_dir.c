// SPDX-License-Identifier: MIT
/* Where the sockets are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hold.h"

/* Ours, a directory and no link to one, and nobody else's business. */
static int check_private(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid != geteuid() || (st.st_mode & 077))
		return -EPERM;
	return 0;
}

static int make_private(const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	return check_private(path);
}

/* The @nr-th place where the directory may be; -ENOENT: not for this user. */
static int candidate(unsigned int nr, char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	switch (nr) {
	case 0:
		/* After su and sudo it may be another user's. */
		if (!runtime || runtime[0] != '/' || check_private(runtime))
			return -ENOENT;
		n = snprintf(path, size, "%s/nvfs", runtime);
		break;
	case 1:
		if (geteuid())
			return -ENOENT;
		n = snprintf(path, size, "/run/nvfs");
		break;
	default:
		n = snprintf(path, size, "/tmp/nvfs-%u",
			     (unsigned int)geteuid());
	}
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int hold_dir(char *path, size_t size)
{
	int ret = -ENOENT;

	for (unsigned int nr = 0; nr < HOLD_DIRS && ret; nr++) {
		if (candidate(nr, path, size))
			continue;
		ret = make_private(path);
	}
	return ret;
}

int hold_find_dir(unsigned int nr, char *path, size_t size)
{
	int ret = candidate(nr, path, size);

	return ret ? ret : check_private(path);
}
