/* SPDX-License-Identifier: MIT */
/* nvfs stat: how long requests took, and who made them. */
#ifndef NVFS_TOOL_STAT_MORE_H
#define NVFS_TOOL_STAT_MORE_H

#include <stdbool.h>

#include "procfile.h"

/**
 * struct stat_more - the files latency and usage
 * @latency: a thing for each bucket, behind that which says whether it counts
 * @usage: a thing for each GPU, drive and process, likewise
 */
struct stat_more {
	struct things latency;
	struct things usage;
};

/*
 * Read both from @dir; one that is not there, as in a module before it, is
 * empty.  Returns 0 or a negative errno value; the caller calls
 * stat_more_free() after 0.
 */
int stat_more_read(const char *dir, struct stat_more *more);
void stat_more_free(struct stat_more *more);

/* What has been counted, below the table of counters; nothing when there is none. */
void stat_more_text(const struct stat_more *more);
/* The keys "latency" and "usage" of an object, each behind a comma. */
void stat_more_json(const struct stat_more *more);
void stat_more_prometheus(const struct stat_more *more);

/* Does the module count for GPUs, drives and processes? */
bool stat_usage_is_on(const struct stat_more *more);

/*
 * Print the lines of a process, in a form of nvfs stat; for JSON the key "usage" behind a
 * comma.  How many there are.
 */
size_t stat_process(struct stat_more *more, const char *pid, char form);

#endif /* NVFS_TOOL_STAT_MORE_H */
