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

/*
 * $XDG_RUNTIME_DIR may be another user's (su, sudo): then it is not used.  The
 * order is fixed, so that every command of a user finds the same directory.
 */
int hold_dir(char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (runtime && runtime[0] == '/' && !check_private(runtime)) {
		n = snprintf(path, size, "%s/nvfs", runtime);
		if (n > 0 && (size_t)n < size)
			return make_private(path);
	}
	if (!geteuid()) {
		n = snprintf(path, size, "/run/nvfs");
		if (!make_private(path))
			return 0;
	}
	n = snprintf(path, size, "/tmp/nvfs-%u", (unsigned int)geteuid());
	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	return make_private(path);
}
