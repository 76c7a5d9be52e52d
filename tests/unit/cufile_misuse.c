// SPDX-License-Identifier: MIT
/*
 * What callers do wrong, and what they are told.  Which test shows what:
 *
 *	NULL, 0 and numbers that are none	here; cufile_objects, _requests,
 *						_config, _stats (bad_...)
 *	calls while the library is closed	here; cufile_driver
 *	flags, file types, descriptions		cufile_objects
 *	handles that are stale or made up	cufile_objects
 *	10,000 handles				cufile_objects
 *	memory that was freed			lib_engine_route, _batch (freed_...);
 *						self-test cufile (freed_memory_...)
 *	memory that is none			lib_engine (memory_that_is_none_...)
 *	children of fork(2)			cufile_driver, lib_engine_submit;
 *						self-test cufile (a_forked_child_...)
 *	descriptors closed under requests	cufile_copies; lib_engine
 *						(closed_file_...); self-test cufile
 *	signals					cufile_copies; lib_engine
 *						(short_and_interrupted_...)
 *	no pinned memory, no descriptors	lib_engine (works_without_...,
 *						odd_o_direct_write_without_...)
 *	the GPU is lost				lib_engine_lost
 *	cufile.json: bad, huge, deep, fuzzed	cufile_config
 *	two copies of the library		cufile_copies
 *	from many threads			whole_cufile
 *	ranges that wrap			lib_engine; cufile_objects
 *	io_uring and cachestat(2) forbidden	lib_engine_ring, _cache
 */
#include "cufile_mock.h"

/* Every exported call with nothing but NULL, 0 or -1 in it. */
struct null_call {
	const char *name;
	long (*call)(void);
	/* While it is closed, and while it is open; CUfileOpError. */
	long closed, open;
};

#define STATUS(name, ...)						\
	static long null_##name(void)					\
	{								\
		return (long)name(__VA_ARGS__).err;			\
	}
#define COUNT(name, ...)						\
	static long null_##name(void)					\
	{								\
		return -(long)name(__VA_ARGS__);			\
	}
#define VOID(name, ...)							\
	static long null_##name(void)					\
	{								\
		name(__VA_ARGS__);					\
		return 0;						\
	}

STATUS(cuFileHandleRegister, NULL, NULL)
VOID(cuFileHandleDeregister, NULL)
STATUS(cuFileBufRegister, NULL, 0, 0)
STATUS(cuFileBufDeregister, NULL)
COUNT(cuFileRead, NULL, NULL, 0, 0, 0)
COUNT(cuFileWrite, NULL, NULL, 0, 0, 0)
COUNT(cuFileReadv, NULL, NULL, 0, 0, 0)
COUNT(cuFileWritev, NULL, NULL, 0, 0, 0)
STATUS(cuFileDriverGetProperties, NULL)
STATUS(cuFileBatchIOSetUp, NULL, 0)
STATUS(cuFileBatchIOSubmit, NULL, 0, NULL, 0)
STATUS(cuFileBatchIOGetStatus, NULL, 0, NULL, NULL, NULL)
STATUS(cuFileBatchIOCancel, NULL)
VOID(cuFileBatchIODestroy, NULL)
STATUS(cuFileReadAsync, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
STATUS(cuFileWriteAsync, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
STATUS(cuFileStreamDeregister, NULL)
STATUS(cuFileGetVersion, NULL)
STATUS(cuFileGetParameterSizeT, 0, NULL)
STATUS(cuFileGetParameterBool, 0, NULL)
STATUS(cuFileGetParameterString, 0, NULL, 0)
STATUS(cuFileSetParameterString, 0, NULL)
STATUS(cuFileGetParameterMinMaxValue, 0, NULL, NULL)
STATUS(cuFileSetParameterPosixPoolSlabArray, NULL, NULL, 0)
STATUS(cuFileGetParameterPosixPoolSlabArray, NULL, NULL, 0)
STATUS(cuFileSetParameterGpuBounceBufferSlabArray, NULL, NULL, 0)
STATUS(cuFileGetParameterGpuBounceBufferSlabArray, NULL, NULL, 0)
STATUS(cuFileSetStatsLevel, -1)
STATUS(cuFileGetStatsLevel, NULL)
STATUS(cuFileGetStatsL1, NULL)
STATUS(cuFileGetStatsL2, NULL)
STATUS(cuFileGetStatsL3, NULL)
STATUS(cuFileGetBARSizeInKB, -1, NULL)
STATUS(cuFileDriverGetP2PFlags, 0, NULL)
STATUS(cuFileExportPCIeTopology, NULL)

#define BAD	CU_FILE_INVALID_VALUE
#define GONE	CU_FILE_DRIVER_NOT_INITIALIZED
#define CALL(name, closed, open)	{ #name, null_##name, closed, open }

static const struct null_call null_calls[] = {
	CALL(cuFileHandleRegister, BAD, BAD),
	CALL(cuFileHandleDeregister, 0, 0),
	CALL(cuFileBufRegister, BAD, BAD),
	CALL(cuFileBufDeregister, BAD, BAD),
	CALL(cuFileRead, GONE, BAD),
	CALL(cuFileWrite, GONE, BAD),
	CALL(cuFileReadv, GONE, BAD),
	CALL(cuFileWritev, GONE, BAD),
	CALL(cuFileDriverGetProperties, BAD, BAD),
	CALL(cuFileBatchIOSetUp, BAD, BAD),
	CALL(cuFileBatchIOSubmit, BAD, BAD),
	CALL(cuFileBatchIOGetStatus, BAD, BAD),
	CALL(cuFileBatchIOCancel, GONE, BAD),
	CALL(cuFileBatchIODestroy, 0, 0),
	CALL(cuFileReadAsync, BAD, BAD),
	CALL(cuFileWriteAsync, BAD, BAD),
	CALL(cuFileStreamDeregister, BAD, BAD),
	CALL(cuFileGetVersion, BAD, BAD),
	CALL(cuFileGetParameterSizeT, BAD, BAD),
	CALL(cuFileGetParameterBool, BAD, BAD),
	CALL(cuFileGetParameterString, BAD, BAD),
	CALL(cuFileSetParameterString, BAD, BAD),
	CALL(cuFileGetParameterMinMaxValue, BAD, BAD),
	CALL(cuFileSetParameterPosixPoolSlabArray, BAD, BAD),
	CALL(cuFileGetParameterPosixPoolSlabArray, BAD, BAD),
	CALL(cuFileSetParameterGpuBounceBufferSlabArray, BAD, BAD),
	CALL(cuFileGetParameterGpuBounceBufferSlabArray, BAD, BAD),
	CALL(cuFileSetStatsLevel, BAD, BAD),
	CALL(cuFileGetStatsLevel, BAD, BAD),
	CALL(cuFileGetStatsL1, BAD, BAD),
	CALL(cuFileGetStatsL2, BAD, BAD),
	CALL(cuFileGetStatsL3, BAD, BAD),
	CALL(cuFileGetBARSizeInKB, BAD, BAD),
	CALL(cuFileDriverGetP2PFlags, BAD, BAD),
	CALL(cuFileExportPCIeTopology, BAD, BAD),
};

static void assert_told(const struct null_call *call, long want)
{
	long got = call->call();

	if (got != want)
		fail_msg("%s: %ld instead of %ld (%s)", call->name, got, want,
			 cuFileUseCount() ? "open" : "closed");
}

static void nothing_in_a_call_is_told_and_harms_nothing(void **state)
{
	const size_t nr = sizeof(null_calls) / sizeof(null_calls[0]);

	(void)state;
	for (size_t i = 0; i < nr; i++) {
		while (cuFileUseCount())
			assert_cufile(cuFileDriverClose(), SUCCESS);
		assert_told(&null_calls[i], null_calls[i].closed);
	}
	if (!cuFileUseCount())
		assert_cufile(cuFileDriverOpen(), SUCCESS);
	for (size_t i = 0; i < nr; i++)
		assert_told(&null_calls[i], null_calls[i].open);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MOCK_TEST(nothing_in_a_call_is_told_and_harms_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
