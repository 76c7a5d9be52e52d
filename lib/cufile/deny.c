// SPDX-License-Identifier: MIT
/*
 * The denylist of cufile.json: drivers, devices, mounts and file systems whose
 * files shall not go direct.  What can't be told counts as denied.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "deny.h"

/* Of one file: its partition, its disk, and what md and dm are made of. */
#define MAX_DEVICES	64U

const char *cf_sysfs = "/sys";

/**
 * struct search - one file's
 * @devices: those that were found to be behind it; the first @seen were looked at
 * @unknown: what can't be told, or NULL
 * @kind, @entry: what denies it, or NULL
 */
struct search {
	const struct cf_deny *deny;
	dev_t devices[MAX_DEVICES];
	unsigned int nr, seen;
	const char *unknown;
	enum cf_deny_kind kind;
	const char *entry;
};

/* The first of it is told. */
static void cannot_tell(struct search *search, const char *what)
{
	if (!search->unknown)
		search->unknown = what;
}

/* ---------------------------------------------------------------- entries */

static bool cares(const struct search *search, enum cf_deny_kind kind)
{
	return search->deny->nr[kind];
}

static bool cares_for_device(const struct search *search)
{
	return cares(search, CF_DENY_DRIVERS) || cares(search, CF_DENY_DEVICES);
}

/* True: @name is on that list. */
static bool deny_name(struct search *search, enum cf_deny_kind kind,
		      const char *name)
{
	const struct cf_deny *deny = search->deny;

	for (unsigned int i = 0; i < deny->nr[kind]; i++) {
		if (strcmp(deny->entry[kind][i], name))
			continue;
		search->kind = kind;
		search->entry = deny->entry[kind][i];
		return true;
	}
	return false;
}

/* The same path, with as many slashes as anybody likes? */
static bool same_path(const char *a, const char *b)
{
	while (*a && *a == *b) {
		if (*a == '/') {
			a += strspn(a, "/");
			b += strspn(b, "/");
		} else {
			a++;
			b++;
		}
	}
	return !a[strspn(a, "/")] && !b[strspn(b, "/")];
}

static bool deny_mount(struct search *search, const char *target)
{
	const struct cf_deny *deny = search->deny;

	for (unsigned int i = 0; i < deny->nr[CF_DENY_MOUNTS]; i++) {
		if (!same_path(deny->entry[CF_DENY_MOUNTS][i], target))
			continue;
		search->kind = CF_DENY_MOUNTS;
		search->entry = deny->entry[CF_DENY_MOUNTS][i];
		return true;
	}
	return false;
}

/*
 * Does the path lead to that device?  One that leads nowhere is a disk that is
 * not there, by a name of the kernel's; a name that others give may be missing
 * although the disk is there.
 */
static bool leads_to(struct search *search, const char *entry, dev_t dev)
{
	char path[CF_DENY_SIZE + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", *entry == '/' ? "" : "/dev/",
		 entry);
	if (!stat(path, &st))
		return S_ISBLK(st.st_mode) && st.st_rdev == dev;
	if (errno != ENOENT || strncmp(path, "/dev/", 5) ||
	    strchr(path + 5, '/'))
		cannot_tell(search, "an entry of devices leads nowhere");
	return false;
}

/* By name, with /dev/ or without, or by any path to the device. */
static bool deny_device(struct search *search, const char *name, dev_t dev)
{
	const struct cf_deny *deny = search->deny;
	char path[300];

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (deny_name(search, CF_DENY_DEVICES, name) ||
	    deny_name(search, CF_DENY_DEVICES, path))
		return true;
	for (unsigned int i = 0; i < deny->nr[CF_DENY_DEVICES]; i++) {
		if (!leads_to(search, deny->entry[CF_DENY_DEVICES][i], dev))
			continue;
		search->kind = CF_DENY_DEVICES;
		search->entry = deny->entry[CF_DENY_DEVICES][i];
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- devices */

static void add_device(struct search *search, dev_t dev)
{
	for (unsigned int i = 0; i < search->nr; i++) {
		if (search->devices[i] == dev)
			return;
	}
	if (search->nr < MAX_DEVICES)
		search->devices[search->nr++] = dev;
	else
		cannot_tell(search, "there are more than 64 devices behind it");
}

/* False: there is no such device. */
static bool device_of_dir(const char *dir, dev_t *dev)
{
	char path[PATH_MAX + 320];
	unsigned int major, minor;
	bool ok = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/dev", dir);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (fscanf(file, "%u:%u", &major, &minor) == 2) {
		*dev = makedev(major, minor);
		ok = true;
	}
	fclose(file);
	return ok;
}

static void add_dir(struct search *search, const char *dir)
{
	dev_t dev;

	if (device_of_dir(dir, &dev))
		add_device(search, dev);
	else
		cannot_tell(search, "sysfs does not name a device behind it");
}

/* What an array or a mapping is made of. */
static void add_slaves(struct search *search, const char *dir)
{
	char path[PATH_MAX + 300];
	struct dirent *entry;
	DIR *slaves;

	snprintf(path, sizeof(path), "%s/slaves", dir);
	slaves = opendir(path);
	if (!slaves) {
		if (errno != ENOENT)
			cannot_tell(search, "sysfs can't be read");
		return;
	}
	while ((entry = readdir(slaves))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/slaves/%s", dir,
			 entry->d_name);
		add_dir(search, path);
	}
	closedir(slaves);
}

/* By the name that the link @dir/@link ends with. */
static bool deny_link(struct search *search, const char *dir, const char *link)
{
	char path[PATH_MAX + 32], target[PATH_MAX];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return deny_name(search, CF_DENY_DRIVERS, slash ? slash + 1 : target);
}

/* What the device is, and all that it hangs on, by the driver's name or its module's. */
static bool deny_chain(struct search *search, const char *dir)
{
	char path[PATH_MAX];
	char *slash;

	snprintf(path, sizeof(path), "%s", dir);
	while ((slash = strrchr(path, '/')) && strstr(path, "/devices/")) {
		if (deny_link(search, path, "driver") ||
		    deny_link(search, path, "driver/module"))
			return true;
		*slash = '\0';
	}
	return false;
}

/*
 * An NVMe drive that has or may have several paths hangs on none of them: they
 * are named in the directory above it.
 */
static bool deny_paths(struct search *search, const char *dir)
{
	char above[PATH_MAX], path[PATH_MAX + 300], controller[PATH_MAX];
	struct dirent *entry;
	bool denied = false;
	DIR *paths;

	snprintf(above, sizeof(above), "%s", dir);
	*strrchr(above, '/') = '\0';
	if (!strstr(above, "/nvme-subsystem/"))
		return false;
	paths = opendir(above);
	if (!paths) {
		cannot_tell(search, "sysfs can't be read");
		return false;
	}
	while (!denied && (entry = readdir(paths))) {
		if (strncmp(entry->d_name, "nvme", 4) ||
		    strspn(entry->d_name + 4, "0123456789") !=
		    strlen(entry->d_name + 4))
			continue;
		snprintf(path, sizeof(path), "%s/%s", above, entry->d_name);
		if (realpath(path, controller))
			denied = deny_chain(search, controller);
		else
			cannot_tell(search, "sysfs does not know its paths");
	}
	closedir(paths);
	return denied;
}

static bool deny_drivers(struct search *search, const char *dir)
{
	return deny_chain(search, dir) || deny_paths(search, dir);
}

/* Sysfs has ! for / in names. */
static void name_of(const char *dir, char *name, size_t size)
{
	const char *slash = strrchr(dir, '/');

	snprintf(name, size, "%.255s", slash ? slash + 1 : dir);
	for (char *at = name; *at; at++) {
		if (*at == '!')
			*at = '/';
	}
}

/* Adds those that are behind it. */
static void look_at_device(struct search *search, dev_t dev)
{
	char path[PATH_MAX + 16], dir[PATH_MAX], name[256];

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", cf_sysfs,
		 major(dev), minor(dev));
	if (!realpath(path, dir)) {
		cannot_tell(search, "sysfs does not know its device");
		return;
	}
	name_of(dir, name, sizeof(name));
	if (deny_device(search, name, dev) || deny_drivers(search, dir))
		return;
	add_slaves(search, dir);
	snprintf(path, sizeof(path), "%s/partition", dir);
	if (!access(path, F_OK)) {
		*strrchr(dir, '/') = '\0';
		add_dir(search, dir);
	}
}

static void look_at_devices(struct search *search)
{
	while (!search->entry && search->seen < search->nr)
		look_at_device(search, search->devices[search->seen++]);
}

/* ------------------------------------------------------------------ files */

/*
 * The device that the file system is on.  One whose files' numbers are made up
 * (major 0) may say which by what was mounted.
 */
static void find_device(struct search *search, dev_t dev,
			const struct cf_mount *mount)
{
	struct stat st;

	if (!cares_for_device(search))
		return;
	if (major(dev))
		add_device(search, dev);
	else if (strncmp(mount->source, "/dev/", 5))
		deny_name(search, CF_DENY_DRIVERS, mount->fstype);
	else if (!stat(mount->source, &st) && S_ISBLK(st.st_mode))
		add_device(search, st.st_rdev);
	else
		cannot_tell(search, "what was mounted is not there");
}

static const char *no_mount(int err)
{
	switch (err) {
	case -ENOSYS:
		return "there is no libmount";
	case -ENOENT:
		return "it is not in the table of mounts";
	default:
		return "the table of mounts can't be read";
	}
}

static void look_at_mount(struct search *search, int fd, dev_t dev)
{
	struct cf_mount mount;
	int ret = cf_mount_of(fd, &mount);

	if (ret)
		cannot_tell(search, no_mount(ret));
	else if (deny_mount(search, mount.target) ||
		 deny_name(search, CF_DENY_FILESYSTEMS, mount.fstype))
		return;
	else if (!strcmp(mount.fstype, "overlay") &&
		 (cares_for_device(search) ||
		  cares(search, CF_DENY_FILESYSTEMS)))
		cannot_tell(search, "an overlay does not say what it lies over");
	else
		find_device(search, dev, &mount);
}

static bool is_empty(const struct cf_deny *deny)
{
	for (int kind = 0; kind < CF_DENY_KINDS; kind++) {
		if (deny->nr[kind])
			return false;
	}
	return true;
}

bool cf_denied(const struct cf_deny *deny, int fd, char *why, size_t size)
{
	struct search search = { .deny = deny };
	struct stat st;

	if (is_empty(deny))
		return false;
	if (fstat(fd, &st))
		cannot_tell(&search, strerror(errno));
	else if (S_ISBLK(st.st_mode))
		add_device(&search, st.st_rdev);
	else
		look_at_mount(&search, fd, st.st_dev);
	if (cares_for_device(&search))
		look_at_devices(&search);
	if (search.entry)
		snprintf(why, size, "denylist.%s has \"%s\"",
			 cf_deny_names[search.kind], search.entry);
	else if (search.unknown)
		snprintf(why, size, "there is a denylist, and %s",
			 search.unknown);
	return search.entry || search.unknown;
}
