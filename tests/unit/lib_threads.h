/* SPDX-License-Identifier: MIT */
/* How many threads this process has now. */
#ifndef LIB_THREADS_H
#define LIB_THREADS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <dirent.h>

static inline unsigned int threads_now(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned int nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

#endif /* LIB_THREADS_H */
