// SPDX-License-Identifier: MIT
/*
 * libcufile.so.0 as it is shipped, opened by name: two copies of it in one process,
 * which know nothing of each other; signals; and descriptors that are closed under
 * requests.  Host memory only: there need be no GPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cufile.h"

#undef cuFileDriverClose

#define MIB		(1024UL * 1024)
#define SIZE		(8 * MIB)

#define CALLS(X)							\
	X(cuFileDriverOpen) X(cuFileDriverClose) X(cuFileUseCount)	\
	X(cuFileHandleRegister) X(cuFileHandleDeregister)		\
	X(cuFileBufRegister) X(cuFileBufDeregister)			\
	X(cuFileRead) X(cuFileWrite)					\
	X(cuFileBatchIOSetUp) X(cuFileBatchIOSubmit)			\
	X(cuFileBatchIOGetStatus) X(cuFileBatchIODestroy)

struct copy {
	void *library;
#define FIELD(name) __typeof__(&name) name;
	CALLS(FIELD)
#undef FIELD
};

static unsigned char *bytes;
static int file = -1;

static void load(struct copy *copy, const char *path)
{
	copy->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!copy->library)
		fail_msg("%s", dlerror());
#define BIND(name)							\
	*(void **)&copy->name = dlsym(copy->library, #name);		\
	assert_non_null(copy->name);
	CALLS(BIND)
#undef BIND
}

/* Another file, so that the loader takes it for another library. */
static void load_second(struct copy *copy)
{
	int in = open(CUFILE_LIBRARY, O_RDONLY | O_CLOEXEC);
	int out = memfd_create("libcufile", MFD_CLOEXEC);
	char path[40], block[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, block, sizeof(block))) > 0)
		assert_int_equal(write(out, block, (size_t)n), n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
	load(copy, path);
	close(in);
	close(out);
}

static CUfileHandle_t handle(struct copy *copy, int fd)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t fh = NULL;

	descr.handle.fd = fd;
	assert_int_equal(copy->cuFileHandleRegister(&fh, &descr).err, 0);
	return fh;
}

static void check_batch(struct copy *copy, CUfileHandle_t fh,
			unsigned char *to)
{
	CUfileIOParams_t io[32];
	CUfileIOEvents_t events[32];
	CUfileBatchHandle_t batch;
	unsigned int nr = 32;

	memset(to, 0, SIZE);
	memset(io, 0, sizeof(io));
	for (unsigned int i = 0; i < 32; i++) {
		io[i].fh = fh;
		io[i].mode = CUFILE_BATCH;
		io[i].u.batch.devPtr_base = to;
		io[i].u.batch.devPtr_offset = i * 10000;
		io[i].u.batch.file_offset = i * 10000;
		io[i].u.batch.size = 10000;
	}
	assert_int_equal(copy->cuFileBatchIOSetUp(&batch, 32).err, 0);
	assert_int_equal(copy->cuFileBatchIOSubmit(batch, 32, io, 0).err, 0);
	assert_int_equal(copy->cuFileBatchIOGetStatus(batch, 32, &nr, events,
						      NULL).err, 0);
	assert_int_equal(nr, 32);
	for (unsigned int i = 0; i < nr; i++)
		assert_int_equal(events[i].status, CUFILE_COMPLETE);
	assert_memory_equal(to, bytes, 320000);
	copy->cuFileBatchIODestroy(batch);
}

static void check_read(struct copy *copy, CUfileHandle_t fh, unsigned char *to)
{
	memset(to, 0, SIZE);
	assert_int_equal(copy->cuFileRead(fh, to, SIZE, 0, 0), SIZE);
	assert_memory_equal(to, bytes, SIZE);
}

static void two_copies_know_nothing_of_each_other(void **state)
{
	struct copy one, two;
	CUfileHandle_t a, b;
	unsigned char *to = malloc(SIZE);

	(void)state;
	assert_non_null(to);
	load(&one, CUFILE_LIBRARY);
	load_second(&two);
	assert_ptr_not_equal(one.cuFileRead, two.cuFileRead);
	assert_int_equal(one.cuFileDriverOpen().err, 0);
	assert_int_equal(one.cuFileUseCount(), 1);
	assert_int_equal(two.cuFileUseCount(), 0);
	/* The same descriptor and the same memory. */
	a = handle(&one, file);
	b = handle(&two, file);
	assert_int_equal(one.cuFileBufRegister(to, SIZE, 0).err, 0);
	assert_int_equal(two.cuFileBufRegister(to, SIZE, 0).err, 0);
	check_read(&one, a, to);
	check_read(&two, b, to);
	check_batch(&one, a, to);
	check_batch(&two, b, to);
	/* One goes; the other does not mind. */
	assert_int_equal(one.cuFileDriverClose().err, 0);
	assert_int_equal(two.cuFileUseCount(), 1);
	check_read(&two, b, to);
	assert_int_equal(one.cuFileRead(a, to, 1, 0, 0),
			 -CU_FILE_DRIVER_NOT_INITIALIZED);
	check_batch(&two, b, to);
	assert_int_equal(two.cuFileDriverClose().err, 0);
	assert_int_equal(two.cuFileUseCount(), 0);
	assert_int_equal(dlclose(one.library), 0);
	assert_int_equal(dlclose(two.library), 0);
	free(to);
}

/*
 * Unloaded while its threads are there: by a plug-in that ends, say.  They go on
 * in code that stays.
 */
static void unloading_an_open_library_does_not_pull_it_away(void **state)
{
	unsigned char *to = malloc(SIZE);
	struct copy copy;
	CUfileHandle_t fh;

	(void)state;
	assert_non_null(to);
	load_second(&copy);
	fh = handle(&copy, file);
	check_batch(&copy, fh, to);
	assert_int_equal(dlclose(copy.library), 0);
	check_batch(&copy, fh, to);
	assert_int_equal(copy.cuFileDriverClose().err, 0);
	free(to);
}

static void on_signal(int number)
{
	(void)number;
}

/* A signal every 50 us, which restarts nothing. */
static void signals_cut_nothing_short(void **state)
{
	struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { 0 };
	struct sigaction action = { .sa_handler = on_signal }, old;
	unsigned char *to = malloc(SIZE);
	struct copy copy;
	CUfileHandle_t fh;

	(void)state;
	assert_non_null(to);
	load(&copy, CUFILE_LIBRARY);
	fh = handle(&copy, file);
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (unsigned int i = 0; i < 20; i++) {
		check_read(&copy, fh, to);
		check_batch(&copy, fh, to);
		assert_int_equal(copy.cuFileWrite(fh, to, 65536, 0, 0), 65536);
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
	assert_int_equal(copy.cuFileDriverClose().err, 0);
	free(to);
}

static _Atomic bool stop;
static _Atomic int victim;

/* Somebody who does not own the descriptor. */
static void *close_often(void *arg)
{
	(void)arg;
	while (!stop) {
		int other = dup(file);

		close(victim);
		/* The same number, the same file: the handle is good again. */
		dup2(other, victim);
		close(other);
	}
	return NULL;
}

static void closed_descriptor_is_an_error_or_all_bytes(void **state)
{
	unsigned char *to = malloc(SIZE);
	pthread_t thread;
	struct copy copy;
	CUfileHandle_t fh;

	(void)state;
	assert_non_null(to);
	load(&copy, CUFILE_LIBRARY);
	victim = fcntl(file, F_DUPFD_CLOEXEC, 100);
	fh = handle(&copy, victim);
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, close_often, NULL), 0);
	for (unsigned int i = 0; i < 50; i++) {
		ssize_t n = copy.cuFileRead(fh, to, SIZE, 0, 0);

		if (n == -1)
			assert_int_equal(errno, EBADF);
		else
			assert_int_equal(n, SIZE);
	}
	stop = true;
	pthread_join(thread, NULL);
	close(victim);
	assert_int_equal(copy.cuFileRead(fh, to, SIZE, 0, 0), -1);
	assert_int_equal(errno, EBADF);
	copy.cuFileHandleDeregister(fh);
	assert_int_equal(copy.cuFileDriverClose().err, 0);
	free(to);
}

/* Whoever forks in the middle of it: the child is refused, the parent is not. */
static void fork_under_load_harms_nobody(void **state)
{
	unsigned char *to = malloc(SIZE);
	struct copy copy;
	CUfileHandle_t fh;
	int status;

	(void)state;
	assert_non_null(to);
	load(&copy, CUFILE_LIBRARY);
	fh = handle(&copy, file);
	for (unsigned int i = 0; i < 20; i++) {
		CUfileBatchHandle_t batch;
		CUfileIOParams_t io = { .mode = CUFILE_BATCH, .fh = fh };
		pid_t pid;

		io.u.batch.devPtr_base = to;
		io.u.batch.size = SIZE;
		assert_int_equal(copy.cuFileBatchIOSetUp(&batch, 1).err, 0);
		assert_int_equal(copy.cuFileBatchIOSubmit(batch, 1, &io, 0).err,
				 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			_exit(copy.cuFileRead(fh, to, 1, 0, 0) !=
			      -CU_FILE_DRIVER_NOT_INITIALIZED ||
			      copy.cuFileDriverClose().err !=
			      CU_FILE_DRIVER_NOT_INITIALIZED);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		copy.cuFileBatchIODestroy(batch);
	}
	check_read(&copy, fh, to);
	assert_int_equal(copy.cuFileDriverClose().err, 0);
	free(to);
}

static int set_up(void **state)
{
	(void)state;
	file = memfd_create("bytes", MFD_CLOEXEC);
	bytes = malloc(SIZE);
	if (file < 0 || !bytes)
		return -1;
	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)(i * 7 + i / 4096);
	unsetenv("CUFILE_ENV_PATH_JSON");
	return write(file, bytes, SIZE) != (ssize_t)SIZE;
}

static int tear_down(void **state)
{
	(void)state;
	close(file);
	free(bytes);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_copies_know_nothing_of_each_other),
		cmocka_unit_test(unloading_an_open_library_does_not_pull_it_away),
		cmocka_unit_test(signals_cut_nothing_short),
		cmocka_unit_test(closed_descriptor_is_an_error_or_all_bytes),
		cmocka_unit_test(fork_under_load_harms_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
