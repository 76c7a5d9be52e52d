/* SPDX-License-Identifier: MIT */
/*
 * lib_hip_model.h's library is the one that this program's dlopen() finds, and
 * there is none of NVIDIA's.
 */
#ifndef LIB_HIP_PROGRAM_H
#define LIB_HIP_PROGRAM_H

#include "lib_hip_model.h"

#include <dlfcn.h>

HIP_API void *dlopen(const char *name, int flags)
{
	void *address = dlsym(RTLD_NEXT, "dlopen");
	void *(*real)(const char *name, int flags);

	memcpy(&real, &address, sizeof(address));
	if (name && !strcmp(name, "libcuda.so.1"))
		return NULL;
	if (name && !strncmp(name, "libamdhip64.so", 14))
		return !strcmp(name, "libamdhip64.so.6") ? real(NULL, flags) :
							   NULL;
	return real(name, flags);
}

#endif /* LIB_HIP_PROGRAM_H */
