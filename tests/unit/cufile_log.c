// SPDX-License-Identifier: MIT
/* What the log says, when, and where. */
#include "cufile_mock.h"

#include <sys/stat.h>

#define STREAM	((CUstream)0x1000)

static CUfileIOParams_t io_of(CUfileHandle_t fh)
{
	CUfileIOParams_t io = { .mode = CUFILE_BATCH, .fh = fh };

	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.size = 100;
	return io;
}

static void read_in_a_batch(CUfileHandle_t fh)
{
	CUfileIOParams_t io = io_of(fh);
	CUfileBatchHandle_t batch;

	assert_cufile(cuFileBatchIOSetUp(&batch, 1), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	cuFileBatchIODestroy(batch);
}

static void read_in_a_stream(CUfileHandle_t fh)
{
	size_t size = 100;
	off_t zero = 0;
	ssize_t bytes = 0;

	assert_cufile(cuFileReadAsync(fh, gpu_memory, &size, &zero, &zero,
				      &bytes, STREAM), SUCCESS);
	mock.calls[0].fn(mock.calls[0].arg);
	mock.nr_calls = 0;
}

static void each_way_a_handle_bounced_is_told_once(void **state)
{
	CUfileHandle_t fh;
	const char *log;

	(void)state;
	mock_log_to_file("INFO");
	fh = mock_handle();
	mock.reason = NVFS_REASON_NO_DIO;
	for (int i = 0; i < 3; i++) {
		cuFileRead(fh, gpu_memory, 100, 7, 0);
		read_in_a_batch(fh);
		read_in_a_stream(fh);
	}
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), 1);
	assert_non_null(strstr(log, "INFO  request: read of 100 bytes at 7, fd "));
	assert_non_null(strstr(log, ": went through host memory, as reason 2. Do this.\n"));
	/* Another reason, and the library's own. */
	mock.reason = NVFS_REASON_ALIGN;
	read_in_a_batch(fh);
	mock.reason = NVFS_REASON_NO_MODULE;
	read_in_a_stream(fh);
	mock.reason = NVFS_REASON_NOT_WANTED;
	cuFileRead(fh, gpu_memory, 100, 7, 0);
	assert_int_equal(mock_count_of(mock_log(), "\n"), 3);
	/* Another handle. */
	cuFileHandleDeregister(fh);
	assert_cufile(mock_register(mock_fd, &fh), SUCCESS);
	cuFileRead(fh, gpu_memory, 100, 7, 0);
	assert_int_equal(mock_count_of(mock_log(), "\n"), 1);
	/* Nothing to tell: the end of the file, and what went direct. */
	mock.reason = NVFS_REASON_NO_DIO;
	cuFileRead(fh, gpu_memory, 100, 65536, 0);
	mock.reason = NVFS_REASON_NONE;
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	assert_string_equal(mock_log(), "");
}

static void a_strict_refusal_says_why(void **state)
{
	CUfileHandle_t fh;
	const char *log;

	(void)state;
	mock_log_to_file("ERROR");
	setenv("CUFILE_ALLOW_COMPAT_MODE", "false", 1);
	fh = mock_handle();
	mock.reason = NVFS_REASON_HOST_BRIDGE;
	mock.run_error = -EREMOTEIO;
	cuFileRead(fh, gpu_memory, 100, 7, 0);
	read_in_a_batch(fh);
	read_in_a_stream(fh);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "ERROR  request: read of 100 bytes at "), 3);
	assert_int_equal(mock_count_of(log, ": can't go direct, as reason 9. Do this.\n"), 3);
}

static void all_kinds_of_requests_say_how_they_failed(void **state)
{
	CUfileHandle_t fh;
	const char *log;

	(void)state;
	mock_log_to_file("ERROR");
	fh = mock_handle();
	mock.reason = NVFS_REASON_NO_DIO;
	mock.run_error = -EIO;
	cuFileWrite(fh, gpu_memory, 100, 7, 0);
	read_in_a_batch(fh);
	read_in_a_stream(fh);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), 3);
	assert_non_null(strstr(log, "write of 100 bytes at 7, fd "));
	assert_int_equal(mock_count_of(log, ": Input/output error\n"), 3);
	/* What was cancelled did as it was told. */
	mock.run_error = -ECANCELED;
	read_in_a_batch(fh);
	assert_string_equal(mock_log(), "");
}

static void told(const char *text)
{
	const char *log = mock_log();

	if (!strstr(log, text) || mock_count_of(log, "\n") != 1)
		fail_msg("\"%s\" is not in \"%s\"", text, log);
}

static void a_refused_read_or_write_names_its_arguments(void **state)
{
	CUfileIOVec_t iov = { .base = gpu_memory, .len = SIZE_MAX };
	CUfileHandle_t fh;

	(void)state;
	mock_log_to_file("ERROR");
	fh = mock_handle();
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, -7, 3),
			 -CU_FILE_INVALID_VALUE);
	told(", 100 bytes at -7, memory ");
	assert_int_equal(cuFileWrite((void *)0x70, gpu_memory, 100, 0, 3),
			 -CU_FILE_HANDLE_NOT_REGISTERED);
	told("ERROR  call: cuFileWrite(): 5027, the file handle is not registered: handle 0x70, 100 bytes at 0, memory ");
	assert_int_equal(cuFileReadv(fh, &iov, 1, 8, 0), -CU_FILE_INVALID_VALUE);
	told("cuFileReadv(): 5022, ");
	assert_int_equal(cuFileWritev(fh, &iov, 1, 8, 16),
			 -CU_FILE_INVALID_VALUE);
	told(" at 8, flags 0x10\n");
}

static void a_refused_handle_or_buffer_names_its_arguments(void **state)
{
	CUfileHandle_t fh;
	int fd;

	(void)state;
	mock_log_to_file("ERROR");
	mock_handle();
	assert_cufile(mock_register(-1, &fh), INVALID_VALUE);
	told("no file is open as -1\n");
	fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_cufile(mock_register(fd, &fh), INVALID_FILE_OPEN_FLAG);
	told(", which is open with flags 0");
	close(fd);
	assert_cufile(cuFileBufRegister(gpu_memory, 0, 0), INVALID_VALUE);
	told("cuFileBufRegister(): 5022, invalid argument: 0 bytes at ");
	assert_cufile(cuFileBufDeregister((void *)0x1234),
		      MEMORY_NOT_REGISTERED);
	told("cuFileBufDeregister(): 5024, the memory is not registered: memory 0x1234\n");
}

static void a_refused_batch_call_names_its_arguments(void **state)
{
	unsigned int nr = 1;
	CUfileIOEvents_t event;
	CUfileIOParams_t io[3];
	CUfileBatchHandle_t batch;

	(void)state;
	mock_log_to_file("ERROR");
	io[0] = io_of(mock_handle());
	io[1] = io[0];
	io[2] = io[0];
	io[1].u.batch.file_offset = -9;
	assert_cufile(cuFileBatchIOSetUp(&batch, 129), INVALID_VALUE);
	told("129 requests, and io_batchsize is 128\n");
	assert_cufile(cuFileBatchIOSetUp(&batch, 2), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), INVALID_VALUE);
	told(": entry 1: mode 1, opcode 0, handle ");
	assert_cufile(cuFileBatchIOSubmit(batch, 1, io, 4), INVALID_VALUE);
	told(", flags 0x4\n");
	/* That is no fault. */
	assert_cufile(cuFileBatchIOSubmit(batch, 3, io, 0), BATCH_FULL);
	assert_string_equal(mock_log(), "");
	nr = 0;
	assert_cufile(cuFileBatchIOGetStatus(batch, 2, &nr, &event, NULL),
		      INVALID_VALUE);
	told("cuFileBatchIOGetStatus(): 5022, invalid argument: 2 to 0 events at ");
	nr = 1;
	cuFileBatchIODestroy(batch);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, io, 0), INVALID_VALUE);
	told("cuFileBatchIOSubmit(): 5022, ");
	assert_cufile(cuFileBatchIOCancel(batch), INVALID_VALUE);
	told(" is no batch\n");
	assert_cufile(cuFileBatchIOGetStatus(batch, 0, &nr, &event, NULL),
		      INVALID_VALUE);
	told("cuFileBatchIOGetStatus(): 5022, ");
}

static void a_refused_stream_request_names_its_arguments(void **state)
{
	off_t zero = 0, bad = -5;
	size_t size = 100;
	CUfileHandle_t fh;
	ssize_t bytes = 0;

	(void)state;
	mock_log_to_file("ERROR");
	fh = mock_handle();
	assert_cufile(cuFileWriteAsync(fh, gpu_memory, NULL, &zero, &zero,
				       &bytes, STREAM), INVALID_VALUE);
	told("cuFileWriteAsync(): 5022, ");
	assert_cufile(cuFileReadAsync((void *)0x70, gpu_memory, &size, &zero,
				      &zero, &bytes, STREAM),
		      HANDLE_NOT_REGISTERED);
	told(", stream 0x1000; GPU driver's error 0\n");
	/* Only the stream finds out. */
	assert_cufile(cuFileReadAsync(fh, gpu_memory, &size, &bad, &zero,
				      &bytes, STREAM), SUCCESS);
	mock.calls[0].fn(mock.calls[0].arg);
	mock.nr_calls = 0;
	assert_int_equal(bytes, -CU_FILE_INVALID_VALUE);
	told("100 bytes at -5, memory ");
}

/* The log's lock may be held by a thread that the child does not have. */
static void a_forked_child_says_nothing(void **state)
{
	CUfileIOVec_t iov = { .base = gpu_memory, .len = SIZE_MAX };
	CUfileHandle_t fh;
	pid_t child;
	int status;

	(void)state;
	mock_log_to_file("ERROR");
	fh = mock_handle();
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		cuFileReadv(fh, &iov, 1, 8, 0);
		cuFileBufRegister(NULL, 0, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_string_equal(mock_log(), "");
}

static void a_refused_registration_says_why(void **state)
{
	(void)state;
	mock_log_to_file("ERROR");
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(4), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0),
		      GPU_MEMORY_PINNING_FAILED);
	assert_non_null(strstr(mock_log(), "of GPU 0, can't be registered: 5036, "));
	mock.kind = GPU_MEM_MANAGED;
	assert_cufile(cuFileBufRegister(gpu_memory, 4096, 0),
		      CUDA_MEMORY_TYPE_INVALID);
	assert_non_null(strstr(mock_log(), "of the host, can't be registered: 5013, "));
}

/* ----------------------------------------------------- where, and of what */

static void use_file(const char *text)
{
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "%s.json", mock_path);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	setenv("CUFILE_ENV_PATH_JSON", path, 1);
}

static int log_teardown(void **state)
{
	char path[80];

	snprintf(path, sizeof(path), "%s.json", mock_path);
	unlink(path);
	return mock_teardown(state);
}

static void a_path_set_by_a_call_beats_the_environment(void **state)
{
	char called[80], named[80];

	(void)state;
	snprintf(called, sizeof(called), "%s.log", mock_path);
	snprintf(named, sizeof(named), "%s.json", mock_path);
	setenv("CUFILE_LOGFILE_PATH", named, 1);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_ENV_LOGFILE_PATH,
					       called), SUCCESS);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       "INFO"), SUCCESS);
	mock.module_error = -ENOENT;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_non_null(strstr(mock_log(), "the kernel module can't be used"));
	assert_int_equal(access(named, F_OK), -1);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	/* Just once: then it is the environment again. */
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_string_equal(mock_log(), "");
	assert_int_equal(access(named, F_OK), 0);
}

static void another_path_is_another_file(void **state)
{
	struct cf_config *config = calloc(1, sizeof(*config));
	char *path;

	(void)state;
	assert_non_null(config);
	cf_config_defaults(config);
	path = config->text[CUFILE_PARAM_ENV_LOGFILE_PATH];
	snprintf(path, 80, "%s.json", mock_path);
	cf_log_open(config);
	snprintf(path, 80, "%s.log", mock_path);
	cf_log_open(config);
	cf_log(CF_LOG_ERROR, "test", "one");
	assert_int_equal(mock_count_of(mock_log(), "test: one\n"), 1);
	/* Too long, and none at all. */
	memset(path, 'x', CF_MAX_STRING - 1);
	cf_log_open(config);
	cf_log(CF_LOG_ERROR, "test", "two");
	path[0] = '\0';
	cf_log_open(config);
	cf_log(CF_LOG_ERROR, "test", "three");
	assert_string_equal(mock_log(), "");
	cf_log_close();
	free(config);
}

static void a_bad_file_is_told_where_a_call_says(void **state)
{
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s.log", mock_path);
	use_file("{");
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_ENV_LOGFILE_PATH,
					       path), SUCCESS);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	assert_non_null(strstr(mock_log(), ".json: at byte 1"));
	/* What was set by calls is used up by an opening that works. */
	use_file("{}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
}

static void a_bad_file_is_told_where_it_says_itself(void **state)
{
	char text[300], made[80], pattern[300];
	FILE *pipe;

	(void)state;
	snprintf(made, sizeof(made), "%s.dir", mock_path);
	assert_int_equal(mkdir(made, 0700), 0);
	snprintf(text, sizeof(text), "{\"properties\":{\"io_batchsize\":0},"
		 "\"logging\":{\"dir\":\"%s\"}}", made);
	use_file(text);
	assert_cufile(cuFileDriverOpen(), DRIVER_UNSUPPORTED_LIMIT);
	snprintf(pattern, sizeof(pattern), "cat %s/cufile_%d_*.log; rm -r %s",
		 made, (int)getpid(), made);
	pipe = popen(pattern, "re");
	assert_non_null(pipe);
	text[fread(text, 1, sizeof(text) - 1, pipe)] = '\0';
	pclose(pipe);
	assert_non_null(strstr(text, "io_batchsize: 0 is not in 1..256"));
}

static void a_bad_variable_is_told(void **state)
{
	static const struct {
		const char *name, *value, *told;
		CUfileOpError code;
	} table[] = {
		{ "CUFILE_LOGFILE_MAX_SIZE_MB", "0",
		  "CUFILE_LOGFILE_MAX_SIZE_MB: -1 or 1..4096 is expected",
		  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
		{ "CUFILE_FORCE_COMPAT_MODE", "perhaps",
		  "CUFILE_FORCE_COMPAT_MODE: true or false is expected",
		  CU_FILE_DRIVER_INVALID_PROPS },
		{ "NVFS_GPU_COPIES", "perhaps",
		  "NVFS_GPU_COPIES: true or false is expected",
		  CU_FILE_DRIVER_INVALID_PROPS },
		{ "CUFILE_LOGGING_LEVEL", "LOUD",
		  "CUFILE_LOGGING_LEVEL: ERROR, WARN, INFO or DEBUG is expected",
		  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	};

	(void)state;
	mock_log_to_file("ERROR");
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		setenv(table[i].name, table[i].value, 1);
		assert_int_equal(cuFileDriverOpen().err, table[i].code);
		assert_non_null(strstr(mock_log(), table[i].told));
		unsetenv(table[i].name);
	}
}

static void keys_that_do_nothing_are_told(void **state)
{
	const char *log;

	(void)state;
	mock_log_to_file("WARN");
	use_file("{ \"properties\": { \"alow_compat_mode\": false,"
		 "    \"allow_compat_mode\": true, \"rdma_topN_ranks\": 1 },"
		 "  \"denylist\": { \"mounts\": [ \"/mnt\" ] } }");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), 1);
	assert_non_null(strstr(log, "WARN  config: properties.alow_compat_mode: unknown, passed over\n"));
	assert_cufile(cuFileDriverClose(), SUCCESS);
	mock_log_to_file("INFO");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), 2);
	assert_non_null(strstr(log, "INFO  config: properties.rdma_topN_ranks: changes nothing here\n"));
}

static void variables_that_do_nothing_are_told(void **state)
{
	(void)state;
	mock_log_to_file("INFO");
	setenv("CUFILE_DMABUF_ENABLE", "TRUE", 1);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	unsetenv("CUFILE_DMABUF_ENABLE");
	assert_non_null(strstr(mock_log(), "CUFILE_DMABUF_ENABLE in the environment: changes nothing here"));
}

/* Operations of a file system of the caller's own. */
static void operations_that_are_not_called_are_told(void **state)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t fh;

	(void)state;
	mock_log_to_file("INFO");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	descr.handle.fd = mock_file(O_RDWR);
	assert_cufile(cuFileHandleRegister(&fh, &descr), SUCCESS);
	assert_string_equal(mock_log(), "");
	cuFileHandleDeregister(fh);
	/* Nor is it looked at: there are those who leave it as it is. */
	descr.fs_ops = (const CUfileFSOps_t *)(uintptr_t)16;
	assert_cufile(cuFileHandleRegister(&fh, &descr), SUCCESS);
	assert_non_null(strstr(mock_log(), "its fs_ops are not called"));
	cuFileHandleDeregister(fh);
	close(descr.handle.fd);
}

/* What is written on stderr while the library is opened. */
static void open_and_hear(char *text, size_t size)
{
	int ends[2], old = dup(2);
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(dup2(ends[1], 2), 2);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(dup2(old, 2), 2);
	n = read(ends[0], text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(old);
}

static void a_log_that_can_not_be_written_is_told_at_each_opening(void **state)
{
	char text[300];

	(void)state;
	setenv("CUFILE_LOGFILE_PATH", "/nonexistent/log", 1);
	for (unsigned int i = 0; i < 2; i++) {
		open_and_hear(text, sizeof(text));
		assert_string_equal(text, "libcufile: /nonexistent/log: No such file or directory; nothing is logged\n");
		assert_cufile(cuFileDriverClose(), SUCCESS);
	}
	unsetenv("CUFILE_LOGFILE_PATH");
	open_and_hear(text, sizeof(text));
	assert_string_equal(text, "");
}

/* A file of any size makes no log of any size. */
static void no_more_than_some_keys_are_told(void **state)
{
	char text[4096] = "{ \"k\": 0";
	const char *log;

	(void)state;
	for (unsigned int i = 1; i < CF_MAX_KEYS + 3; i++)
		snprintf(text + strlen(text), 32, ", \"k%u\": 0", i);
	strcat(text, " }");
	use_file(text);
	mock_log_to_file("WARN");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), CF_MAX_KEYS + 1);
	assert_non_null(strstr(log, "config: and 3 more keys: unknown"));
}

#define LOG_TEST(f)	\
	cmocka_unit_test_setup_teardown(f, mock_setup, log_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MOCK_TEST(each_way_a_handle_bounced_is_told_once),
		MOCK_TEST(a_strict_refusal_says_why),
		MOCK_TEST(all_kinds_of_requests_say_how_they_failed),
		MOCK_TEST(a_refused_read_or_write_names_its_arguments),
		MOCK_TEST(a_refused_handle_or_buffer_names_its_arguments),
		MOCK_TEST(a_refused_batch_call_names_its_arguments),
		MOCK_TEST(a_refused_stream_request_names_its_arguments),
		MOCK_TEST(a_forked_child_says_nothing),
		MOCK_TEST(a_refused_registration_says_why),
		LOG_TEST(a_path_set_by_a_call_beats_the_environment),
		LOG_TEST(another_path_is_another_file),
		LOG_TEST(a_bad_file_is_told_where_a_call_says),
		LOG_TEST(a_bad_file_is_told_where_it_says_itself),
		LOG_TEST(a_bad_variable_is_told),
		LOG_TEST(keys_that_do_nothing_are_told),
		LOG_TEST(variables_that_do_nothing_are_told),
		LOG_TEST(operations_that_are_not_called_are_told),
		LOG_TEST(a_log_that_can_not_be_written_is_told_at_each_opening),
		LOG_TEST(no_more_than_some_keys_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
