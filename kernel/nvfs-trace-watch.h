/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Does somebody look at single requests?  One switch for all who do, so that a
 * request that nobody looks at pays for each place where it may be looked at,
 * not for each who may look there.
 */
#ifndef _NVFS_TRACE_WATCH_H
#define _NVFS_TRACE_WATCH_H

#include <linux/jump_label.h>

DECLARE_STATIC_KEY_FALSE(nvfs_watched);
#define nvfs_is_watched()	static_branch_unlikely(&nvfs_watched)

int nvfs_watch_begin(void);
void nvfs_watch_end(void);

#endif /* _NVFS_TRACE_WATCH_H */
