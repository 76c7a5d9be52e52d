// SPDX-License-Identifier: MIT
/*
 * libcufile over the real engine, from many threads: files and memory come and
 * go while others read, and each byte is compared.  The GPU's memory is the
 * host's.  Built with AddressSanitizer and once more with ThreadSanitizer.
 */
#include "lib_engine_fix.h"

#include <stdlib.h>

#include "cufile.h"

#define THREADS		6
#define ROUNDS		20
#define ENTRIES		32
#define ROOM		(512 * KIB)

static struct fixture fix;
static CUfileHandle_t shared;
static struct gpu_driver driver;

static int classify(uint64_t addr, struct gpu_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
	if (addr - (uintptr_t)fix.gpu >= fix.room)
		return 0;
	mem->kind = GPU_MEM_DEVICE;
	mem->base = (uintptr_t)fix.gpu;
	mem->length = fix.room;
	mem->piece = mem->base;
	mem->piece_length = mem->length;
	mem->id = 1;
	return 0;
}

/* Threads can't jump out of a test: they count, and the test looks. */
static _Atomic int wrong;

static void expect(bool good, int line)
{
	if (good)
		return;
	print_error("line %d\n", line);
	wrong++;
}

#define EXPECT(condition)	expect(condition, __LINE__)

static CUfileHandle_t handle_of(int fd)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t fh = NULL;

	descr.handle.fd = fd;
	EXPECT(!cuFileHandleRegister(&fh, &descr).err);
	return fh;
}

static void reap(CUfileBatchHandle_t batch, bool cancelled)
{
	CUfileIOEvents_t events[ENTRIES];
	unsigned int seen = 0;

	while (seen < ENTRIES) {
		unsigned int nr = ENTRIES;

		EXPECT(!cuFileBatchIOGetStatus(batch, 1, &nr, events, NULL).err);
		for (unsigned int i = 0; i < nr; i++)
			EXPECT(events[i].status == CUFILE_COMPLETE ||
			       (cancelled &&
				events[i].status == CUFILE_CANCELED));
		seen += nr;
	}
}

/* @how: 0: left behind, 1: cancelled, else waited for. */
static void one_batch(CUfileHandle_t fh, unsigned char *memory,
		      unsigned int *seed, unsigned int how)
{
	CUfileIOParams_t io[ENTRIES];
	CUfileBatchHandle_t batch;

	memset(io, 0, sizeof(io));
	for (unsigned int i = 0; i < ENTRIES; i++) {
		io[i].mode = CUFILE_BATCH;
		io[i].fh = i % 2 ? fh : shared;
		io[i].u.batch.devPtr_base = memory;
		io[i].u.batch.devPtr_offset = i * 8192;
		io[i].u.batch.file_offset = rand_r(seed) % (int)MIB;
		io[i].u.batch.size = 4096;
	}
	EXPECT(!cuFileBatchIOSetUp(&batch, ENTRIES).err);
	EXPECT(!cuFileBatchIOSubmit(batch, ENTRIES, io, 0).err);
	if (how == 1)
		EXPECT(!cuFileBatchIOCancel(batch).err);
	if (how)
		reap(batch, how == 1);
	for (unsigned int i = 0; how > 1 && i < ENTRIES; i++)
		EXPECT(!memcmp(memory + i * 8192,
			       fix.bytes + io[i].u.batch.file_offset, 4096));
	cuFileBatchIODestroy(batch);
}

static void one_round(unsigned char *memory, unsigned int *seed,
		      unsigned int round)
{
	size_t size = 1 + (size_t)rand_r(seed) % 300000;
	off_t offset = rand_r(seed) % (int)(2 * MIB);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	CUfileDrvProps_t props;
	CUfileHandle_t fh;

	/* A file of its own, that only comes and goes. */
	fh = handle_of(fd);
	EXPECT(!cuFileBufRegister(memory, ROOM, 0).err);
	EXPECT(cuFileRead(shared, memory, size, offset, 7) == (ssize_t)size);
	EXPECT(!memcmp(memory + 7, fix.bytes + offset, size));
	EXPECT(cuFileRead(fh, memory, 4, 0, 0) == 4);
	EXPECT(!memcmp(memory, "\177ELF", 4));
	one_batch(shared, memory, seed, round % 4);
	EXPECT(!cuFileBufDeregister(memory).err);
	cuFileHandleDeregister(fh);
	close(fd);
	EXPECT(!cuFileDriverGetProperties(&props).err);
	EXPECT(!cuFileDriverOpen().err);
	EXPECT(!cuFileDriverClose().err);
}

static void *work(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	unsigned int seed = 20261123 + number;
	unsigned char *host = malloc(ROOM);

	if (!host) {
		EXPECT(false);
		return NULL;
	}
	/* Odd ones into the GPU's memory, each its own part. */
	for (unsigned int round = 0; round < ROUNDS; round++)
		one_round(number % 2 ? fix.gpu + number * ROOM : host, &seed,
			  round);
	free(host);
	return NULL;
}

static void share_the_library(void)
{
	pthread_t threads[THREADS];
	CUfileStatsLevel3_t stats;

	driver = fast_gpu;
	driver.classify = classify;
	gpu_set_driver(&driver);
	assert_int_equal(cuFileSetStatsLevel(3).err, 0);
	assert_int_equal(cuFileDriverOpen().err, 0);
	open_rest(&fix);
	gpu_set_driver(&driver);
	assert_int_equal(cuFileStatsReset().err, 0);
	assert_int_equal(cuFileStatsStart().err, 0);
	shared = handle_of(fix.file.fd);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work,
						(void *)i), 0);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
	assert_int_equal(cuFileGetStatsL3(&stats).err, 0);
	assert_int_equal(stats.detailed.basic.read_ops.ok, 2 * THREADS * ROUNDS);
	assert_int_equal(stats.detailed.basic.read_ops.err, 0);
	assert_int_equal(stats.detailed.basic.hdl_register_ops.ok,
			 THREADS * ROUNDS + 1);
	assert_int_equal(stats.per_gpu_stats[0].reg_bytes, 0);
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_int_equal(cuFileUseCount(), 0);
	close_fixture(&fix);
}

static void many_threads_share_the_library(void **state)
{
	(void)state;
	mock_open_errno = ENOENT;
	share_the_library();
}

static void many_threads_share_the_module(void **state)
{
	(void)state;
	mock_model();
	share_the_library();
	assert_true(model_submits > 0);
	for (unsigned int i = 0; i < MODEL_REGIONS; i++)
		assert_int_equal(model_regions[i].region, 0);
}

/* And what one opening was told does not last until the next. */
static void poll_mode_looks_for_work_longer_than_without(void **state)
{
	struct engine_pool without, with;

	(void)state;
	mock_open_errno = ENOENT;
	assert_int_equal(cuFileDriverOpen().err, 0);
	engine_pool_get(&without);
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_int_equal(cuFileDriverSetPollMode(true, 4).err, 0);
	assert_int_equal(cuFileDriverOpen().err, 0);
	engine_pool_get(&with);
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_true(with.spin_us > without.spin_us);
	assert_int_equal(cuFileDriverOpen().err, 0);
	engine_pool_get(&with);
	assert_int_equal(cuFileDriverClose().err, 0);
	assert_int_equal(with.spin_us, without.spin_us);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(many_threads_share_the_library,
				       mock_setup),
		cmocka_unit_test_setup(many_threads_share_the_module,
				       mock_setup),
		cmocka_unit_test_setup(
			poll_mode_looks_for_work_longer_than_without,
			mock_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
