// SPDX-License-Identifier: MIT
/* Files and buffers: what may be registered, and what is said otherwise. */
#include "cufile_mock.h"

#include <pthread.h>
#include <sys/resource.h>

/* ----------------------------------------------------------------- files */

static void flags_that_change_offsets_are_refused(void **state)
{
	static const int flags[] = { O_APPEND, O_NONBLOCK, O_NOFOLLOW,
				     O_NOATIME, O_PATH };
	CUfileHandle_t fh;
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		fd = mock_file(O_RDWR | flags[i]);
		assert_cufile(mock_register(fd, &fh), INVALID_FILE_OPEN_FLAG);
		close(fd);
	}
	fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (fd >= 0) {
		assert_cufile(mock_register(fd, &fh), INVALID_FILE_OPEN_FLAG);
		close(fd);
	}
	fd = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_cufile(mock_register(fd, &fh), INVALID_FILE_OPEN_FLAG);
	close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	CUfileHandle_t fh;
	int fds[2];
	int fd;

	(void)state;
	fd = open("/dev/zero", O_RDWR);
	assert_cufile(mock_register(fd, &fh), INVALID_FILE_TYPE);
	close(fd);
	fd = open("/tmp", O_RDONLY);
	assert_cufile(mock_register(fd, &fh), INVALID_FILE_TYPE);
	close(fd);
	assert_int_equal(pipe(fds), 0);
	assert_cufile(mock_register(fds[0], &fh), INVALID_FILE_TYPE);
	close(fds[0]);
	close(fds[1]);
	assert_cufile(mock_register(fds[0], &fh), INVALID_VALUE);
	assert_cufile(mock_register(-1, &fh), INVALID_VALUE);
}

static void descriptions_are_checked(void **state)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_WIN32 };
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileHandleRegister(NULL, &descr), INVALID_VALUE);
	assert_cufile(cuFileHandleRegister(&fh, NULL), INVALID_VALUE);
	assert_cufile(cuFileHandleRegister(&fh, &descr),
		      PLATFORM_NOT_SUPPORTED);
	descr.type = CU_FILE_HANDLE_TYPE_USERSPACE_FS;
	assert_cufile(cuFileHandleRegister(&fh, &descr), IO_NOT_SUPPORTED);
	memset(&descr, 0, sizeof(descr));
	assert_cufile(cuFileHandleRegister(&fh, &descr), INVALID_VALUE);
	memset(&descr, 0x7f, sizeof(descr));
	assert_cufile(cuFileHandleRegister(&fh, &descr), INVALID_VALUE);
}

static void a_descriptor_is_registered_once(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileHandle_t again = NULL;

	(void)state;
	assert_cufile(mock_register(mock_fd, &again),
		      HANDLE_ALREADY_REGISTERED);
	cuFileHandleDeregister(fh);
	assert_cufile(mock_register(mock_fd, &again), SUCCESS);
	assert_ptr_not_equal(again, fh);
}

/* The number comes back for another file: its owner closed the first. */
static void a_closed_descriptor_does_not_block_its_number(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileHandle_t other = NULL;
	int fd = mock_fd;
	char path[80];

	(void)state;
	snprintf(path, sizeof(path), "%s-2", mock_path);
	close(fd);
	assert_int_equal(cuFileRead(fh, gpu_memory, 1, 0, 0), -1);
	assert_int_equal(errno, EBADF);
	mock_fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(mock_fd, fd);
	assert_cufile(mock_register(mock_fd, &other), SUCCESS);
	cuFileHandleDeregister(fh);
	assert_int_equal(cuFileRead(other, gpu_memory, 1, 0, 0), 0);
	unlink(path);
}

static void stale_and_made_up_handles_are_found_out(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileHandle_t again = NULL;
	void *const made_up[] = { (void *)1, (void *)0x10, (void *)16, &fh,
				  gpu_memory, (void *)~0UL, (void *)(1UL << 60),
				  (char *)fh + 16, (char *)fh + 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(made_up) / sizeof(made_up[0]); i++) {
		assert_int_equal(cuFileRead(made_up[i], gpu_memory, 1, 0, 0),
				 -CU_FILE_HANDLE_NOT_REGISTERED);
		cuFileHandleDeregister(made_up[i]);
	}
	cuFileHandleDeregister(NULL);
	assert_int_equal(cuFileRead(NULL, gpu_memory, 1, 0, 0),
			 -CU_FILE_INVALID_VALUE);
	cuFileHandleDeregister(fh);
	cuFileHandleDeregister(fh);
	assert_cufile(mock_register(mock_fd, &again), SUCCESS);
	assert_int_equal(cuFileRead(fh, gpu_memory, 1, 0, 0),
			 -CU_FILE_HANDLE_NOT_REGISTERED);
	assert_int_equal(cuFileRead(again, gpu_memory, 1, 0, 0), 1);
}

static void ten_thousand_handles(void **state)
{
	static CUfileHandle_t handles[10000];
	static int fds[10000];
	struct rlimit limit = { 20000, 20000 };
	unsigned int nr = 10000;

	(void)state;
	setrlimit(RLIMIT_NOFILE, &limit);
	close(mock_file(O_RDWR));
	for (unsigned int i = 0; i < nr; i++) {
		fds[i] = open(mock_path, O_RDONLY);
		/* Where not so many are allowed, as by valgrind, what is. */
		if (fds[i] < 0) {
			assert_int_equal(errno, EMFILE);
			assert_true(i > 500);
			nr = i;
			break;
		}
		assert_cufile(mock_register(fds[i], &handles[i]), SUCCESS);
	}
	for (unsigned int i = 0; i < nr; i += 7)
		assert_int_equal(cuFileRead(handles[i], gpu_memory, 9, 0, 0), 9);
	for (unsigned int i = 0; i < nr; i += 2)
		cuFileHandleDeregister(handles[i]);
	assert_int_equal(cuFileRead(handles[0], gpu_memory, 9, 0, 0),
			 -CU_FILE_HANDLE_NOT_REGISTERED);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	for (unsigned int i = 0; i < nr; i++)
		close(fds[i]);
}

static void *deregister(void *fh)
{
	cuFileHandleDeregister(fh);
	return NULL;
}

/* The engine may use the handle until complete() has been called. */
static void deregister_waits_for_requests(void **state)
{
	CUfileHandle_t fh = mock_handle();
	CUfileIOParams_t io = { .mode = CUFILE_BATCH, .fh = fh };
	CUfileBatchHandle_t batch;
	pthread_t thread;

	(void)state;
	mock.hold = true;
	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.size = 16;
	assert_cufile(cuFileBatchIOSetUp(&batch, 1), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	assert_int_equal(pthread_create(&thread, NULL, deregister, fh), 0);
	/* Nobody new gets in while the thread waits. */
	while (cuFileRead(fh, gpu_memory, 1, 0, 0) !=
	       -CU_FILE_HANDLE_NOT_REGISTERED)
		sched_yield();
	assert_int_equal(mock.queue[0]->file->fd, mock_fd);
	mock_end_all();
	pthread_join(thread, NULL);
}

/* --------------------------------------------------------------- buffers */

static void a_base_is_registered_once(void **state)
{
	(void)state;
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 4096, 0),
		      MEMORY_ALREADY_REGISTERED);
	assert_cufile(cuFileBufRegister(gpu_memory + 1, 100, 0), SUCCESS);
	assert_cufile(cuFileBufDeregister(gpu_memory + 2),
		      MEMORY_NOT_REGISTERED);
	assert_cufile(cuFileBufDeregister(gpu_memory), SUCCESS);
	assert_cufile(cuFileBufDeregister(gpu_memory), MEMORY_NOT_REGISTERED);
	assert_cufile(cuFileBufDeregister(gpu_memory + 1), SUCCESS);
	assert_int_equal(mock.nr_regions, 0);
}

static void bad_ranges_and_flags_are_refused(void **state)
{
	(void)state;
	assert_cufile(cuFileBufRegister(NULL, 1, 0), INVALID_VALUE);
	assert_cufile(cuFileBufRegister(gpu_memory, 0, 0), INVALID_VALUE);
	assert_cufile(cuFileBufRegister(gpu_memory, 1, 4), INVALID_VALUE);
	assert_cufile(cuFileBufRegister(gpu_memory, 1, -1), INVALID_VALUE);
	/* More than any request may have, though no address wraps. */
	mock.kind = GPU_MEM_HOST;
	assert_cufile(cuFileBufRegister((void *)0x1000, 1ULL << 63, 0),
		      INVALID_VALUE);
	mock.kind = GPU_MEM_DEVICE;
	assert_cufile(cuFileBufRegister(gpu_memory, SIZE_MAX, 0),
		      INVALID_VALUE);
	assert_cufile(cuFileBufRegister(gpu_memory, GPU_BYTES + 1, 0),
		      CUDA_POINTER_RANGE_ERROR);
	assert_cufile(cuFileBufRegister(gpu_memory + 1, GPU_BYTES, 0),
		      CUDA_POINTER_RANGE_ERROR);
	assert_cufile(cuFileBufDeregister(NULL), INVALID_VALUE);
	assert_cufile(cuFileBufRegister(gpu_memory, GPU_BYTES,
					CU_FILE_RDMA_REGISTER), SUCCESS);
}

static void managed_memory_is_used_but_not_registered(void **state)
{
	CUfileHandle_t fh = mock_handle();

	(void)state;
	mock.kind = GPU_MEM_MANAGED;
	assert_cufile(cuFileBufRegister(gpu_memory, 100, 0),
		      CUDA_MEMORY_TYPE_INVALID);
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 0, 0), 100);
	assert_true(mock.last.gpu == ENGINE_HOST);
}

static void host_memory_is_registered_where_it_is_allowed(void **state)
{
	static char host[100];

	(void)state;
	assert_cufile(cuFileBufRegister(host, sizeof(host), 0), SUCCESS);
	assert_int_equal(mock.nr_regions, 0);
	assert_cufile(cuFileBufDeregister(host), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileSetParameterBool(
		CUFILE_PARAM_PROPERTIES_ALLOW_SYSTEM_MEMORY, false), SUCCESS);
	assert_cufile(cuFileBufRegister(host, sizeof(host), 0),
		      CUDA_MEMORY_TYPE_INVALID);
}

static void pinned_memory_has_a_limit(void **state)
{
	(void)state;
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(16), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 12288, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory + 12288, 4097, 0),
		      GPU_MEMORY_PINNING_FAILED);
	assert_cufile(cuFileBufRegister(gpu_memory + 12288, 4096, 0), SUCCESS);
	assert_cufile(cuFileBufDeregister(gpu_memory), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 12288, 0), SUCCESS);
}

static void each_gpu_has_a_limit_of_its_own(void **state)
{
	uint8_t *second = gpu_memory + GPU_BYTES / 2;

	(void)state;
	mock.two_gpus = true;
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(16), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 16384, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(second, 12288, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory + 16384, 1, 0),
		      GPU_MEMORY_PINNING_FAILED);
	assert_cufile(cuFileBufRegister(second + 12288, 4096, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(second + 16384, 1, 0),
		      GPU_MEMORY_PINNING_FAILED);
}

static void what_is_not_pinned_has_no_limit(void **state)
{
	(void)state;
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(16), SUCCESS);
	mock.module_error = -ENOENT;
	assert_cufile(cuFileBufRegister(gpu_memory, GPU_BYTES, 0), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	mock.module_error = 0;
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(16), SUCCESS);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_FORCE_COMPAT_MODE,
					     true), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, GPU_BYTES, 0), SUCCESS);
}

static void unregistered_memory_has_a_limit_that_was_chosen(void **state)
{
	uint64_t before = mock.pool.cache_bytes;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.cache_bytes, before);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileDriverSetMaxPinnedMemSize(16), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.cache_bytes, 16 * KIB);
}

static void without_a_gpu_all_memory_is_the_hosts(void **state)
{
	CUfileHandle_t fh = mock_handle();
	char host[10];

	(void)state;
	mock.gpu_error = -ENOSYS;
	assert_int_equal(cuFileRead(fh, host, 10, 0, 0), 10);
	assert_true(mock.last.gpu == ENGINE_HOST);
	assert_int_equal((uint8_t)host[9], mock_byte(9));
	mock.gpu_error = 0;
}

static void files_are_read_with_o_direct_where_that_is_wanted(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	mock_handle();
	assert_int_equal(mock.forced, 0);
	close(mock_fd);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_FORCE_ODIRECT_MODE,
					     true), SUCCESS);
	fh = mock_handle();
	assert_int_equal(mock.forced, 1);
	cuFileHandleDeregister(fh);
	close(mock_fd);
	/* One that can't be is read as it was opened. */
	mock.force_error = -EINVAL;
	mock_handle();
	assert_int_equal(mock.forced, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		MOCK_TEST(flags_that_change_offsets_are_refused),
		MOCK_TEST(what_is_no_file_is_refused),
		MOCK_TEST(descriptions_are_checked),
		MOCK_TEST(a_descriptor_is_registered_once),
		MOCK_TEST(a_closed_descriptor_does_not_block_its_number),
		MOCK_TEST(stale_and_made_up_handles_are_found_out),
		MOCK_TEST(ten_thousand_handles),
		MOCK_TEST(deregister_waits_for_requests),
		MOCK_TEST(a_base_is_registered_once),
		MOCK_TEST(bad_ranges_and_flags_are_refused),
		MOCK_TEST(managed_memory_is_used_but_not_registered),
		MOCK_TEST(host_memory_is_registered_where_it_is_allowed),
		MOCK_TEST(pinned_memory_has_a_limit),
		MOCK_TEST(each_gpu_has_a_limit_of_its_own),
		MOCK_TEST(what_is_not_pinned_has_no_limit),
		MOCK_TEST(unregistered_memory_has_a_limit_that_was_chosen),
		MOCK_TEST(without_a_gpu_all_memory_is_the_hosts),
		MOCK_TEST(files_are_read_with_o_direct_where_that_is_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
