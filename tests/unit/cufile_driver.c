// SPDX-License-Identifier: MIT
/* Opening, closing, counting, properties, and what a child may do. */
#include "cufile_mock.h"

#undef cuFileDriverClose

static void open_counts_and_the_last_close_closes(void **state)
{
	(void)state;
	assert_int_equal(cuFileUseCount(), 0);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(cuFileUseCount(), 2);
	assert_int_equal(mock.users, 1);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_int_equal(mock.users, 1);
	assert_cufile(cuFileDriverClose_v2(), SUCCESS);
	assert_int_equal(mock.users, 0);
	assert_cufile(cuFileDriverClose(), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileDriverClose_v2(), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(cuFileUseCount(), 1);
}

static void register_opens_and_one_close_ends_it(void **state)
{
	(void)state;
	assert_cufile(cuFileBufRegister(gpu_memory, 4096, 0), SUCCESS);
	assert_int_equal(cuFileUseCount(), 1);
	assert_int_equal(mock.nr_regions, 1);
	mock_handle();
	assert_int_equal(cuFileUseCount(), 1);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_int_equal(cuFileUseCount(), 0);
	assert_int_equal(mock.nr_regions, 0);
}

static void close_with_requests_in_flight_is_refused(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io = { .mode = CUFILE_BATCH, .fh = fh };
	CUfileBatchHandle_t batch;

	(void)state;
	mock.hold = true;
	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.size = 4096;
	assert_cufile(cuFileBatchIOSetUp(&batch, 4), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	assert_cufile(cuFileDriverClose(), DRIVER_CLOSING);
	assert_int_equal(cuFileUseCount(), 1);
	mock_end_all();
	assert_cufile(cuFileDriverClose(), SUCCESS);
}

static void strict_open_without_the_module_says_why(void **state)
{
	static const struct {
		int error;
		CUfileOpError code;
	} table[] = {
		{ -ENOENT, CU_FILE_DRIVER_NOT_INITIALIZED },
		{ -EACCES, CU_FILE_PERMISSION_DENIED },
		{ -EPROTO, CU_FILE_DRIVER_VERSION_MISMATCH },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mock.module_error = table[i].error;
		setenv("CUFILE_ALLOW_COMPAT_MODE", "false", 1);
		assert_int_equal(cuFileDriverOpen().err, table[i].code);
		assert_int_equal(cuFileUseCount(), 0);
		assert_int_equal(mock.users, 0);
		setenv("CUFILE_ALLOW_COMPAT_MODE", "true", 1);
		assert_cufile(cuFileDriverOpen(), SUCCESS);
		assert_cufile(cuFileDriverClose(), SUCCESS);
	}
}

static void strict_requests_may_not_bounce(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	setenv("CUFILE_ALLOW_COMPAT_MODE", "0", 1);
	fh = mock_handle();
	mock.run_error = -EREMOTEIO;
	mock.reason = NVFS_REASON_NO_DIO;
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 0, 0),
			 -CU_FILE_IO_NOT_SUPPORTED);
	assert_true(mock.last.no_bounce);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	unsetenv("CUFILE_ALLOW_COMPAT_MODE");
	mock.run_error = 0;
	close(mock_fd);
	fh = mock_handle();
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 0, 0), 100);
	assert_false(mock.last.no_bounce);
}

static void forced_compat_mode_never_asks_the_module(void **state)
{
	(void)state;
	setenv("CUFILE_FORCE_COMPAT_MODE", "true", 1);
	assert_cufile(cuFileBufRegister(gpu_memory, 4096, 0), SUCCESS);
	assert_true(mock.pool.no_direct);
	assert_int_equal(mock.nr_regions, 0);
	assert_cufile(cuFileBufDeregister(gpu_memory), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	unsetenv("CUFILE_FORCE_COMPAT_MODE");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_direct);
}

/* At no other time is the GPU waited for: see engine_warm(). */
static void open_warms_gpus_once_and_requests_never_do(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.warmed, 1);
	assert_false(mock.pool.no_pump);
	fh = mock_handle();
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 0, 0), 100);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.warmed, 1);
}

static void a_failing_engine_fails_the_open(void **state)
{
	(void)state;
	mock.get_error = -ENOMEM;
	assert_cufile(cuFileDriverOpen(), NOMEM_ERROR);
	assert_cufile(cuFileBufRegister(gpu_memory, 1, 0), NOMEM_ERROR);
	assert_int_equal(cuFileUseCount(), 0);
	mock.get_error = 0;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
}

static bool child_has_statistics(void)
{
	CUfileStatsLevel1_t l1;
	CUfileStatsLevel2_t l2;
	CUfileStatsLevel3_t l3;
	int level;

	return cuFileGetStatsL1(&l1).err != CU_FILE_DRIVER_NOT_INITIALIZED ||
	       cuFileGetStatsL2(&l2).err != CU_FILE_DRIVER_NOT_INITIALIZED ||
	       cuFileGetStatsL3(&l3).err != CU_FILE_DRIVER_NOT_INITIALIZED ||
	       cuFileGetStatsLevel(&level).err != CU_FILE_DRIVER_NOT_INITIALIZED ||
	       cuFileSetStatsLevel(0).err != CU_FILE_DRIVER_NOT_INITIALIZED;
}

static int child_calls(CUfileHandle_t fh)
{
	CUfileDrvProps_t props;
	CUfileHandle_t other;

	if (cuFileUseCount() != 0)
		return 1;
	if (cuFileDriverOpen().err != CU_FILE_DRIVER_NOT_INITIALIZED)
		return 2;
	if (cuFileDriverClose().err != CU_FILE_DRIVER_NOT_INITIALIZED)
		return 3;
	if (cuFileRead(fh, gpu_memory, 1, 0, 0) !=
	    -CU_FILE_DRIVER_NOT_INITIALIZED)
		return 4;
	if (mock_register(mock_fd, &other).err !=
	    CU_FILE_DRIVER_NOT_INITIALIZED)
		return 5;
	if (cuFileDriverGetProperties(&props).err !=
	    CU_FILE_DRIVER_NOT_INITIALIZED)
		return 6;
	if (cuFileBufRegister(gpu_memory, 1, 0).err !=
	    CU_FILE_DRIVER_NOT_INITIALIZED)
		return 7;
	if (child_has_statistics())
		return 9;
	cuFileHandleDeregister(fh);
	return mock.users == 1 ? 0 : 8;
}

static void a_forked_child_is_refused_and_its_parent_is_not(void **state)
{
	CUfileHandle_t fh = mock_handle();
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(child_calls(fh));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(cuFileRead(fh, gpu_memory, 10, 0, 0), 10);
}

static void a_child_of_a_process_that_had_it_closed_may_open(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	pid = fork();
	if (!pid)
		_exit(cuFileDriverOpen().err != CU_FILE_SUCCESS);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void properties_tell_what_is_configured(void **state)
{
	CUfileDrvProps_t props;

	(void)state;
	assert_cufile(cuFileDriverSetMaxCacheSize(256), SUCCESS);
	assert_cufile(cuFileDriverSetPollMode(true, 16), SUCCESS);
	assert_cufile(cuFileDriverGetProperties(&props), SUCCESS);
	assert_int_equal(cuFileUseCount(), 1);
	assert_int_equal(props.nvfs.major_version, 1);
	assert_int_equal(props.nvfs.poll_thresh_size, 16);
	assert_int_equal(props.nvfs.max_direct_io_size, 16384);
	assert_int_equal(props.max_device_cache_size, 256);
	assert_int_equal(props.per_buffer_cache_size, 1024);
	assert_int_equal(props.max_batch_io_size, 128);
	assert_int_equal(props.nvfs.dstatusflags, 1U << CU_FILE_NVME_SUPPORTED);
	assert_int_equal(props.nvfs.dcontrolflags, 3);
	assert_true(mock.pool.spin_us > 0);
	assert_cufile(cuFileDriverSetMaxDirectIOSize(64), SUCCESS);
	assert_cufile(cuFileDriverGetProperties(&props), SUCCESS);
	assert_int_equal(props.nvfs.max_direct_io_size, 64);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	mock.module_error = -ENOENT;
	assert_cufile(cuFileDriverGetProperties(&props), SUCCESS);
	assert_int_equal(props.nvfs.dstatusflags, 0);
	assert_int_equal(props.fflags & 1U << CU_FILE_P2P_SUPPORTED, 0);
}

static void poll_mode_never_looks_shorter_than_the_engine_does(void **state)
{
	(void)state;
	mock.pool.spin_us = 200;
	assert_cufile(cuFileDriverSetPollMode(true, 4), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_true(mock.pool.spin_us > 200);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	mock.pool.spin_us = 1000000;
	assert_cufile(cuFileDriverSetPollMode(true, 4), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.spin_us, 1000000);
}

static void what_an_opening_chose_ends_with_it(void **state)
{
	struct engine_pool before = { .threads = 3, .slot_bytes = 65536,
				      .cache_bytes = 5 };

	(void)state;
	mock.pool = before;
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_EXECUTION_MAX_IO_THREADS, 7), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.threads, 7);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_memory_equal(&mock.pool, &before, sizeof(before));
	/* Nor does it outlive an opening that failed. */
	mock.get_error = -ENOMEM;
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_EXECUTION_MAX_IO_THREADS, 7), SUCCESS);
	assert_cufile(cuFileDriverOpen(), NOMEM_ERROR);
	assert_memory_equal(&mock.pool, &before, sizeof(before));
}

/* Properties and limits follow, the engine's pool does not. */
static void an_open_library_keeps_its_pool(void **state)
{
	struct engine_pool opened;
	CUfileDrvProps_t props;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	opened = mock.pool;
	assert_cufile(cuFileDriverSetPollMode(true, 8), SUCCESS);
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(4), SUCCESS);
	assert_cufile(cuFileDriverGetProperties(&props), SUCCESS);
	assert_int_equal(props.nvfs.poll_thresh_size, 8);
	assert_int_equal(props.max_device_pinned_mem_size, 4);
	assert_int_equal(props.nvfs.dcontrolflags & 1, 1);
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0),
		      GPU_MEMORY_PINNING_FAILED);
	assert_memory_equal(&mock.pool, &opened, sizeof(opened));
}

static void limits_and_null_are_refused(void **state)
{
	(void)state;
	assert_cufile(cuFileDriverGetProperties(NULL), INVALID_VALUE);
	assert_cufile(cuFileGetVersion(NULL), INVALID_VALUE);
	assert_cufile(cuFileDriverSetMaxDirectIOSize(0),
		      DRIVER_UNSUPPORTED_LIMIT);
	assert_cufile(cuFileDriverSetMaxCacheSize(0), DRIVER_UNSUPPORTED_LIMIT);
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(SIZE_MAX),
		      DRIVER_UNSUPPORTED_LIMIT);
	assert_cufile(cuFileDriverSetPollMode(true, SIZE_MAX),
		      DRIVER_UNSUPPORTED_LIMIT);
	assert_int_equal(cuFileUseCount(), 0);
}

static void version_is_1_15(void **state)
{
	int version = 0;

	(void)state;
	assert_cufile(cuFileGetVersion(&version), SUCCESS);
	assert_int_equal(version, 1150);
}

static void the_log_tells_that_io_uring_is_forbidden(void **state)
{
	char log[80], text[2000] = "";
	FILE *file;

	(void)state;
	snprintf(log, sizeof(log), "%s.log", mock_path);
	setenv("CUFILE_LOGFILE_PATH", log, 1);
	setenv("CUFILE_LOGGING_LEVEL", "INFO", 1);
	for (int err = -EPERM; err <= 0; err += EPERM) {
		assert_cufile(cuFileDriverOpen(), SUCCESS);
		mock.uring_error = err;
		assert_cufile(cuFileDriverClose(), SUCCESS);
		file = fopen(log, "re");
		assert_non_null(file);
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
		unlink(log);
		assert_true(!!err == !!strstr(text,
			"io_uring can't be used: Operation not permitted"));
	}
	unsetenv("CUFILE_LOGFILE_PATH");
	unsetenv("CUFILE_LOGGING_LEVEL");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MOCK_TEST(open_counts_and_the_last_close_closes),
		MOCK_TEST(register_opens_and_one_close_ends_it),
		MOCK_TEST(close_with_requests_in_flight_is_refused),
		MOCK_TEST(strict_open_without_the_module_says_why),
		MOCK_TEST(strict_requests_may_not_bounce),
		MOCK_TEST(forced_compat_mode_never_asks_the_module),
		MOCK_TEST(open_warms_gpus_once_and_requests_never_do),
		MOCK_TEST(a_failing_engine_fails_the_open),
		MOCK_TEST(a_forked_child_is_refused_and_its_parent_is_not),
		MOCK_TEST(a_child_of_a_process_that_had_it_closed_may_open),
		MOCK_TEST(properties_tell_what_is_configured),
		MOCK_TEST(poll_mode_never_looks_shorter_than_the_engine_does),
		MOCK_TEST(what_an_opening_chose_ends_with_it),
		MOCK_TEST(an_open_library_keeps_its_pool),
		MOCK_TEST(limits_and_null_are_refused),
		MOCK_TEST(version_is_1_15),
		MOCK_TEST(the_log_tells_that_io_uring_is_forbidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
