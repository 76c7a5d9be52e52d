/* SPDX-License-Identifier: MIT */
/* Files that shall not go direct: what deny.c and deny_mount.c share. */
#ifndef CUFILE_DENY_H
#define CUFILE_DENY_H

#include <limits.h>

#include "cufile_priv.h"

struct cf_mount {
	char target[PATH_MAX];
	char source[PATH_MAX];
	char fstype[64];
};

/*
 * deny_mount.c: where the open file is.  -ENOENT: it is not in the table of
 * mounts, or there is no /proc; -ENOSYS: there is no libmount; -EIO, -ENOMEM,
 * -ENAMETOOLONG.
 */
int cf_mount_of(int fd, struct cf_mount *mount);

/* deny.c: where sysfs is, "/sys" but for tests. */
extern const char *cf_sysfs;

#endif /* CUFILE_DENY_H */
