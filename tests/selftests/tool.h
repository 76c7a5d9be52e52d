/* SPDX-License-Identifier: MIT */
/* The nvfs command, as a user would type it.  Included once per test program. */
#ifndef NVFS_TEST_TOOL_H
#define NVFS_TEST_TOOL_H

#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of the pattern of named_file(). */
#define TOOL_SEED	81
#define OUT	65536

static char out[OUT];

/* Runs "nvfs <args>"; output in out[], exit status returned. */
static inline int nvfs(const char *args)
{
	return shell(out, OUT,
		     "LD_LIBRARY_PATH=%s/build/lab %s/build/tools/nvfs %s 2>&1",
		     top_dir(), top_dir(), args);
}

#define EXPECT(args, status) do {					\
	int _s = nvfs(args);						\
	if (_s != (status))						\
		FAIL("nvfs %s: exit %d, not %d: %.600s", args, _s,	\
		     status, out);					\
} while (0)

/* The value of a key in the line of JSON in out[], as text. */
static inline const char *json(const char *key)
{
	static char value[256];
	char name[64];
	char *p;

	snprintf(name, sizeof(name), "\"%s\":", key);
	p = strstr(out, name);
	if (!p)
		FAIL("no key %s in %.600s", key, out);
	p += strlen(name);
	p += *p == '"';
	snprintf(value, sizeof(value), "%.*s",
		 (int)strcspn(p, p[-1] == '"' ? "\"" : ",}"), p);
	return value;
}

#define EXPECT_JSON(key, want) do {					\
	const char *_v = json(key);					\
	if (strcmp(_v, want))						\
		FAIL("%s is %s, not %s: %.600s", key, _v, want, out);	\
} while (0)

/* A file of the pattern that has a name, for the command line. */
static inline const char *named_file(enum target target, uint64_t length)
{
	static char path[300];

	fix_path(target, path, sizeof(path));
	close(file_make_at(path, 0, length, TOOL_SEED, O_RDWR));
	return path;
}

static inline const char *with(const char *format, const char *path)
{
	static char args[700];

	snprintf(args, sizeof(args), format, path, path);
	return args;
}

#endif /* NVFS_TEST_TOOL_H */
