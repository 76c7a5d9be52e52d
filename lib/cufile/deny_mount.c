// SPDX-License-Identifier: MIT
/*
 * Where a file is mounted.  By libmount, which is wherever mount(8) is; it is
 * loaded when it is needed, as hardly any configuration asks for it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "deny.h"

/* The process' are those of its first thread, which may have others, or none. */
#define MOUNTINFO	"/proc/thread-self/mountinfo"

#define CALLS(X)							\
	X(mnt_new_table) X(mnt_unref_table) X(mnt_table_parse_file)	\
	X(mnt_new_iter) X(mnt_free_iter) X(mnt_table_next_fs)		\
	X(mnt_fs_get_id) X(mnt_fs_get_fstype) X(mnt_fs_get_target)	\
	X(mnt_fs_get_source)

struct libmount {
#define FIELD(name) __typeof__(name) *name;
	CALLS(FIELD)
#undef FIELD
};

/* Never unloaded: it is small, and another file will come. */
static int load(struct libmount *lib)
{
	void *handle = dlopen("libmount.so.1", RTLD_NOW | RTLD_LOCAL);
	void *address;

	if (!handle)
		return -ENOSYS;
	/* memcpy: ISO C has no cast from an object to a function pointer. */
#define BIND(name)							\
	address = dlsym(handle, #name);					\
	if (!address)							\
		return -ENOSYS;						\
	memcpy(&lib->name, &address, sizeof(address));
	CALLS(BIND)
#undef BIND
	return 0;
}

/* As the kernel tells it: statx(2) can since Linux 5.8 only.  -1: it does not. */
static int mount_id(int fd)
{
	char path[48], line[128];
	int id = -1;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (!info)
		return -1;
	while (id < 0 && fgets(line, sizeof(line), info)) {
		if (sscanf(line, "mnt_id: %d", &id) != 1)
			id = -1;
	}
	fclose(info);
	return id;
}

static int copy(char *to, size_t size, const char *from)
{
	return snprintf(to, size, "%s", from ? from : "") < (int)size ?
	       0 : -ENAMETOOLONG;
}

static int fill(const struct libmount *lib, struct libmnt_fs *fs,
		struct cf_mount *mount)
{
	int ret = copy(mount->target, sizeof(mount->target),
		       lib->mnt_fs_get_target(fs));

	if (!ret)
		ret = copy(mount->fstype, sizeof(mount->fstype),
			   lib->mnt_fs_get_fstype(fs));
	if (!ret)
		ret = copy(mount->source, sizeof(mount->source),
			   lib->mnt_fs_get_source(fs));
	return ret;
}

static int find(const struct libmount *lib, int id, struct cf_mount *mount)
{
	struct libmnt_table *table = lib->mnt_new_table();
	struct libmnt_iter *iter = lib->mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	int ret = table && iter ? 0 : -ENOMEM;
	bool found = false;

	if (!ret && lib->mnt_table_parse_file(table, MOUNTINFO))
		ret = -EIO;
	while (!ret && !found && !lib->mnt_table_next_fs(table, iter, &fs))
		found = lib->mnt_fs_get_id(fs) == id;
	if (!ret)
		ret = found ? fill(lib, fs, mount) : -ENOENT;
	lib->mnt_free_iter(iter);
	lib->mnt_unref_table(table);
	return ret;
}

int cf_mount_of(int fd, struct cf_mount *mount)
{
	struct libmount lib;
	int id = mount_id(fd);
	int ret = id < 0 ? -ENOENT : load(&lib);

	return ret ? ret : find(&lib, id, mount);
}
