/* SPDX-License-Identifier: MIT */
/* nvfs stat --pid: what libcufile of a process has counted. */
#ifndef NVFS_TOOL_STAT_LIBRARY_H
#define NVFS_TOOL_STAT_LIBRARY_H

struct cf_stats_page;

/*
 * Look at a process's descriptors.  1: @page is filled in; 0: it counts nothing; or a
 * negative errno value: -ENOENT, there is no such process, -EACCES, it is not the
 * caller's to look at.
 */
int stat_library_read(const char *pid, struct cf_stats_page *page);

/* In a form of nvfs stat; for JSON the key "libcufile" of an object and its value. */
void stat_library_print(const struct cf_stats_page *page, const char *pid,
			char form);

#endif /* NVFS_TOOL_STAT_LIBRARY_H */
