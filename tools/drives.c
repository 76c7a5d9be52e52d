// SPDX-License-Identifier: MIT
/* Find the drives. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drives.h"

/* RAM disks and media that come and go are nobody's storage. */
static int is_drive_name(const char *name)
{
	static const char *const others[] = { "ram", "zram", "fd", "sr" };

	if (name[0] == '.' || strlen(name) >= sizeof(((struct drive *)0)->name))
		return 0;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		size_t length = strlen(others[i]);

		if (!strncmp(name, others[i], length) &&
		    strspn(name + length, "0123456789") ==
			    strlen(name + length))
			return 0;
	}
	return 1;
}

/* Unused loop devices and empty card readers have none. */
static int has_size(const char *sys_block, const char *name)
{
	unsigned long long sectors = 0;
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/size", sys_block, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu", &sectors) != 1)
		sectors = 0;
	fclose(file);
	return sectors > 0;
}

static void fill(struct drive *drive, const char *name)
{
	/* Its length was checked by is_drive_name(). */
	memcpy(drive->name, name, strlen(name) + 1);
	snprintf(drive->node, sizeof(drive->node), "/dev/%s", drive->name);
	/* sysfs writes ! where the node has a directory. */
	for (char *p = drive->node; *p; p++) {
		if (*p == '!')
			*p = '/';
	}
}

static int by_name(const void *a, const void *b)
{
	const struct drive *x = a, *y = b;

	return strverscmp(x->name, y->name);
}

int list_drives(const char *sys_block, struct drive **drives)
{
	struct drive *list = NULL, *larger;
	struct dirent *entry;
	DIR *dir = opendir(sys_block);
	int nr = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (!is_drive_name(entry->d_name) ||
		    !has_size(sys_block, entry->d_name))
			continue;
		larger = reallocarray(list, (size_t)nr + 1, sizeof(*list));
		if (!larger) {
			free(list);
			closedir(dir);
			return -ENOMEM;
		}
		list = larger;
		fill(&list[nr++], entry->d_name);
	}
	closedir(dir);
	if (nr)
		qsort(list, (size_t)nr, sizeof(*list), by_name);
	*drives = list;
	return nr;
}
