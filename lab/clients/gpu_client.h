/* SPDX-License-Identifier: MIT */
/* How small programs for a GPU find its driver, and end with the first that is wrong. */
#ifndef GPU_CLIENT_H
#define GPU_CLIENT_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)						\
	do {								\
		if (!(condition)) {					\
			printf("FAIL line %d: %s\n", __LINE__,		\
			       #condition);				\
			exit(1);					\
		}							\
	} while (0)

static inline void find_any(void *library, const char *name, void *field)
{
	void *address = dlsym(library, name);

	memcpy(field, &address, sizeof(address));
}

static inline void find(void *library, const char *name, void *field)
{
	EXPECT(dlsym(library, name));
	find_any(library, name, field);
}

#endif /* GPU_CLIENT_H */
