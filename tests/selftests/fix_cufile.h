/* SPDX-License-Identifier: MIT */
/* libcufile.so.0, opened by name as its clients do it. */
#ifndef NVFS_TEST_FIX_CUFILE_H
#define NVFS_TEST_FIX_CUFILE_H

#include "fix.h"

#include "cufile.h"

#undef cuFileDriverClose

#define CF_CALLS(X)							\
	X(cuFileDriverOpen) X(cuFileDriverClose) X(cuFileUseCount)	\
	X(cuFileHandleRegister) X(cuFileHandleDeregister)		\
	X(cuFileBufRegister) X(cuFileBufDeregister)			\
	X(cuFileRead) X(cuFileWrite)					\
	X(cuFileBatchIOSetUp) X(cuFileBatchIOSubmit)			\
	X(cuFileBatchIOGetStatus) X(cuFileBatchIODestroy)		\
	X(cuFileBatchIOCancel)						\
	X(cuFileReadAsync) X(cuFileWriteAsync)				\
	X(cuFileSetStatsLevel) X(cuFileStatsStart) X(cuFileGetStatsL3)	\
	X(cuFileGetBARSizeInKB) X(cuFileSetParameterBool)		\
	X(cuFileDriverGetProperties)

struct cf_calls {
#define FIELD(name) __typeof__(&name) name;
	CF_CALLS(FIELD)
#undef FIELD
};

extern struct cf_calls cf;

/* A function of the GPU's library that a test needs beyond fix_gpu.c. */
void *cuda_symbol(const char *name);

/* Both libraries, in the test's own process; counts from here on. */
void cf_start(void);
void stop(void);
CUfileHandle_t handle_of(int fd);
void *pointer(const struct gpu_buf *buf);
/* Those of GPU 0. */
CUfilePerGpuStats_t gpu_stats(void);

#endif /* NVFS_TEST_FIX_CUFILE_H */
