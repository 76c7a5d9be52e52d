// SPDX-License-Identifier: MIT
/* libcufile.so.0 for the self-tests of what its clients see. */
#include "fix_cufile.h"

#include <dlfcn.h>
#include <stdio.h>

struct cf_calls cf;

static void *symbol(void *lib, const char *name)
{
	void *p = lib ? dlsym(lib, name) : NULL;

	if (!p)
		FAIL("no %s", name);
	return p;
}

void *cuda_symbol(const char *name)
{
	return symbol(dlopen("libcuda.so.1", RTLD_NOW), name);
}

/* The GPU's library first, as applications have it. */
void cf_start(void)
{
	char path[512];
	void *lib;

	gpu_count();
	snprintf(path, sizeof(path), "%s/build/lib/libcufile.so.0", top_dir());
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		FAIL("%s", dlerror());
#define BIND(name) *(void **)&cf.name = symbol(lib, #name);
	CF_CALLS(BIND)
#undef BIND
	ASSERT_EQ(cf.cuFileSetStatsLevel(3).err, 0);
	ASSERT_EQ(cf.cuFileDriverOpen().err, 0);
	ASSERT_EQ(cf.cuFileStatsStart().err, 0);
}

void stop(void)
{
	ASSERT_EQ(cf.cuFileDriverClose().err, 0);
	ASSERT_EQ(cf.cuFileUseCount(), 0);
}

CUfileHandle_t handle_of(int fd)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t fh = NULL;

	descr.handle.fd = fd;
	ASSERT_EQ(cf.cuFileHandleRegister(&fh, &descr).err, 0);
	return fh;
}

void *pointer(const struct gpu_buf *buf)
{
	return (void *)(uintptr_t)buf->va;
}

CUfilePerGpuStats_t gpu_stats(void)
{
	CUfileStatsLevel3_t stats;

	ASSERT_EQ(cf.cuFileGetStatsL3(&stats).err, 0);
	return stats.per_gpu_stats[0];
}
