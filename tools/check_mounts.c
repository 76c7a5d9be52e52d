// SPDX-License-Identifier: MIT
/* File systems, and a file of each to ask about. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

/* So much is looked at to find a file; more would be a walk. */
#define MAX_ENTRIES	256
#define MAX_DEPTH	3

/* Kernel interfaces hold no data.  An overlay does, whatever libmount says. */
static bool holds_data(struct libmnt_fs *fs)
{
	const char *type = mnt_fs_get_fstype(fs);

	if (!type || !mnt_fs_get_target(fs))
		return false;
	return !strcmp(type, "overlay") || !strncmp(type, "fuse.", 5) ||
	       !strcmp(type, "virtiofs") || !mnt_fs_is_pseudofs(fs);
}

static int add(struct mount **list, int nr, struct libmnt_fs *fs)
{
	const char *source = mnt_fs_get_source(fs);
	struct mount *larger = reallocarray(*list, (size_t)nr + 1,
					    sizeof(**list));
	struct mount *new;

	if (!larger)
		return -ENOMEM;
	*list = larger;
	new = &larger[nr];
	new->target = strdup(mnt_fs_get_target(fs));
	new->fs = strdup(mnt_fs_get_fstype(fs));
	new->source = strdup(source ? source : "none");
	if (new->target && new->fs && new->source)
		return 0;
	free(new->target);
	free(new->fs);
	free(new->source);
	return -ENOMEM;
}

/* The same file system, mounted before? */
static bool is_known(struct libmnt_table *table, struct libmnt_fs *fs)
{
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *other;
	bool known = false;

	while (iter && !mnt_table_next_fs(table, iter, &other) && other != fs) {
		if (mnt_fs_get_devno(other) == mnt_fs_get_devno(fs))
			known = true;
	}
	mnt_free_iter(iter);
	return known;
}

int mounts_list(const char *path, struct mount **mounts)
{
	struct libmnt_table *table = mnt_new_table();
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	int nr = 0, ret = table && iter ? 0 : -ENOMEM;

	*mounts = NULL;
	if (!ret)
		ret = mnt_table_parse_file(table, path);
	while (!ret && !mnt_table_next_fs(table, iter, &fs)) {
		if (!holds_data(fs) || is_known(table, fs))
			continue;
		ret = add(mounts, nr, fs);
		nr += !ret;
	}
	mnt_free_iter(iter);
	mnt_unref_table(table);
	if (!ret)
		return nr;
	mounts_free(*mounts, nr);
	*mounts = NULL;
	return ret < 0 ? ret : -EIO;
}

void mounts_free(struct mount *mounts, int nr)
{
	for (int i = 0; i < nr; i++) {
		free(mounts[i].target);
		free(mounts[i].fs);
		free(mounts[i].source);
	}
	free(mounts);
}

static struct libmnt_fs *find_id(struct libmnt_table *table, uint64_t id)
{
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs, *found = NULL;

	while (iter && !found && !mnt_table_next_fs(table, iter, &fs)) {
		if ((uint64_t)mnt_fs_get_id(fs) == id)
			found = fs;
	}
	mnt_free_iter(iter);
	return found;
}

struct mount *mount_of(const char *mountinfo, const char *path)
{
	struct libmnt_table *table;
	struct mount *mount = NULL;
	struct libmnt_fs *fs;
	struct statx st;

	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID,
		  &st) || !(st.stx_mask & STATX_MNT_ID) ||
	    (!S_ISREG(st.stx_mode) && !S_ISDIR(st.stx_mode)))
		return NULL;
	table = mnt_new_table();
	if (table && !mnt_table_parse_file(table, mountinfo)) {
		fs = find_id(table, st.stx_mnt_id);
		if (fs && mnt_fs_get_fstype(fs) && mnt_fs_get_target(fs) &&
		    add(&mount, 0, fs)) {
			free(mount);
			mount = NULL;
		}
	}
	mnt_unref_table(table);
	return mount;
}

/* Does not change when it was last read, where we may choose. */
static int open_quietly(int dir, const char *name, int flags)
{
	int fd;

	flags |= O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
	fd = openat(dir, name, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? openat(dir, name, flags) : fd;
}

static int find_in(int fd, unsigned int depth, unsigned int *left);

/*
 * @name, if it is a file, or one below it, if it is a directory.  What is
 * mounted there is another file system; device numbers do not tell, because an
 * overlay's files may have those of its layers.
 */
static int try_entry(int dir, const char *name, unsigned int depth,
		     unsigned int *left, bool directories)
{
	struct statx st;
	int fd;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE,
		  &st) || (st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -ENOENT;
	if (!directories)
		return S_ISREG(st.stx_mode) ? open_quietly(dir, name, 0) :
					      -ENOENT;
	if (!S_ISDIR(st.stx_mode) || depth == MAX_DEPTH)
		return -ENOENT;
	fd = open_quietly(dir, name, O_DIRECTORY);
	return fd < 0 ? -ENOENT : find_in(fd, depth + 1, left);
}

/* Takes @fd.  Files first, then the directories. */
static int find_in(int fd, unsigned int depth, unsigned int *left)
{
	struct dirent *entry;
	DIR *dir = fdopendir(fd);
	int found = -ENOENT;

	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	for (int round = 0; round < 2 && found < 0; round++) {
		rewinddir(dir);
		while (found < 0 && *left && (entry = readdir(dir))) {
			if (!strcmp(entry->d_name, ".") ||
			    !strcmp(entry->d_name, ".."))
				continue;
			--*left;
			found = try_entry(fd, entry->d_name, depth, left,
					  round);
		}
	}
	closedir(dir);
	return found < 0 ? -ENOENT : found;
}

int open_any_file(const char *path)
{
	unsigned int left = MAX_ENTRIES;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = find_in(fd, 0, &left);
	if (ret >= 0)
		return ret;
	ret = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return ret < 0 ? -ENOENT : ret;
}
