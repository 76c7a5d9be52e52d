/* SPDX-License-Identifier: MIT */
/* The drives of this machine. */
#ifndef NVFS_TOOL_DRIVES_H
#define NVFS_TOOL_DRIVES_H

#include <stddef.h>

/**
 * struct drive - a whole block device that holds bytes
 * @name: as in /sys/block
 * @node: its device node
 */
struct drive {
	char name[64];
	char node[80];
};

/*
 * List the drives below @sys_block, sorted by name; the caller frees
 * *@drives.  Returns how many or a negative errno value.
 */
int list_drives(const char *sys_block, struct drive **drives);

#endif /* NVFS_TOOL_DRIVES_H */
