/* SPDX-License-Identifier: MIT */
/* The files of /proc/nvfs, as nvfs-proc(5) describes them. */
#ifndef NVFS_TOOL_PROCFILE_H
#define NVFS_TOOL_PROCFILE_H

#include <stddef.h>
#include <stdint.h>

#define PROC_DIR	"/proc/nvfs"

/**
 * struct counter - one line of stats or io_stats
 * @name: its words but for the last
 * @value: the last word
 */
struct counter {
	char name[80];
	uint64_t value;
};

/**
 * struct counters - stats and io_stats at one time
 * @ns: the monotonic clock when they were read
 */
struct counters {
	struct counter *list;
	size_t nr;
	uint64_t ns;
};

/*
 * Read the counters from the files in @dir.  Returns 0 or a negative errno
 * value: -ENOENT when the module is not loaded, -EPROTO when a line is not of
 * the documented form.  The caller calls counters_free() after 0.
 */
int counters_read(const char *dir, struct counters *counters);
void counters_free(struct counters *counters);

/* The value of a counter; 0 when this module has none of that name. */
uint64_t counters_get(const struct counters *counters, const char *name);

/* What a counter has grown by; 0 when the module was loaded anew meanwhile. */
uint64_t counters_grown(const struct counters *now,
			const struct counters *before, const char *name);

/* Is this one a level, which may fall?  All others only grow. */
int counter_is_level(const char *name);

/**
 * struct thing - one line of devices, peers or regions
 * @words: what stands before the first key=value
 * @keys: the keys, and @values
 */
struct thing {
	char *line;
	unsigned int nr_words;
	const char *words[4];
	unsigned int nr_keys;
	const char *keys[32];
	const char *values[32];
};

struct things {
	struct thing *list;
	size_t nr;
};

/* As counters_read(), for one of the other files. */
int things_read(const char *dir, const char *file, struct things *things);
void things_free(struct things *things);

/* The value of a key, "" when there is none. */
const char *thing_get(const struct thing *thing, const char *key);

#endif /* NVFS_TOOL_PROCFILE_H */
