/* SPDX-License-Identifier: MIT */
/* The libcuda.so.1 that the tests are about. */
#ifndef LAB_TEST_LIBCUDA_H
#define LAB_TEST_LIBCUDA_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "libcuda/cuda_lab.h"

/* main() loads it. */
static void *lib;

/* Every call goes by the name that a real client looks up. */
#define CU(name) ((__typeof__(name) *)sym(#name))

/* Memory of the first GPU that is mapped by hand, and who may touch it. */
static const CUmemAllocationProp prop = {
	.type = CU_MEM_ALLOCATION_TYPE_PINNED,
	.location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 },
};
static const CUmemAccessDesc own = {
	.location = { CU_MEM_LOCATION_TYPE_DEVICE, 0 },
	.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE,
};

static inline void *sym(const char *name)
{
	void *p = dlsym(lib, name);

	if (!p) {
		printf("Bail out! no %s\n", name);
		exit(1);
	}
	return p;
}

#endif
