// SPDX-License-Identifier: MIT
/* Statistics, and what is told of the GPUs. */
#include "cufile_mock.h"

#include <dirent.h>
#include <sys/resource.h>

#include "cufile/stats_page.h"

static int stats_teardown(void **state)
{
	cuFileSetStatsLevel(0);
	if (cuFileUseCount()) {
		cuFileStatsStop();
		cuFileStatsReset();
	}
	return mock_teardown(state);
}

static void levels_are_checked(void **state)
{
	CUfileStatsLevel1_t l1;
	CUfileStatsLevel2_t l2;
	CUfileStatsLevel3_t l3;
	int level = 9;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(-1), INVALID_VALUE);
	assert_cufile(cuFileSetStatsLevel(4), INVALID_VALUE);
	assert_cufile(cuFileGetStatsLevel(NULL), INVALID_VALUE);
	assert_cufile(cuFileGetStatsLevel(&level), SUCCESS);
	assert_int_equal(level, 0);
	assert_cufile(cuFileGetStatsL1(&l1), INVALID_VALUE);
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileGetStatsL1(&l1), SUCCESS);
	assert_cufile(cuFileGetStatsL2(&l2), INVALID_VALUE);
	assert_cufile(cuFileSetStatsLevel(2), SUCCESS);
	assert_cufile(cuFileGetStatsL2(&l2), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&l3), INVALID_VALUE);
	assert_cufile(cuFileGetStatsL1(NULL), INVALID_VALUE);
	assert_cufile(cuFileGetStatsL2(NULL), INVALID_VALUE);
	assert_cufile(cuFileGetStatsL3(NULL), INVALID_VALUE);
}

static void a_closed_library_does_not_count(void **state)
{
	size_t kib;

	(void)state;
	assert_cufile(cuFileStatsStart(), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileStatsStop(), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileStatsReset(), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileGetBARSizeInKB(0, &kib), DRIVER_NOT_INITIALIZED);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	/* Level 0 counts nothing. */
	assert_cufile(cuFileStatsStart(), INVALID_VALUE);
}

static void what_is_done_is_counted(void **state)
{
	CUfileStatsLevel3_t s;
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(3), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	fh = mock_handle();
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0),
		      MEMORY_ALREADY_REGISTERED);
	cuFileRead(fh, gpu_memory, 4096, 0, 0);
	cuFileRead(fh, gpu_memory, 16383, 0, 0);
	cuFileWrite(fh, gpu_memory, 100, 0, 0);
	mock.run_error = -EIO;
	cuFileRead(fh, gpu_memory, 4096, 0, 0);
	assert_cufile(cuFileBufDeregister(gpu_memory), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.detailed.basic.read_ops.ok, 2);
	assert_int_equal(s.detailed.basic.read_ops.err, 1);
	assert_int_equal(s.detailed.basic.write_ops.ok, 1);
	assert_int_equal(s.detailed.basic.read_bytes, 4096 + 16383 + 4096);
	assert_int_equal(s.detailed.basic.write_bytes, 100);
	assert_int_equal(s.detailed.basic.hdl_register_ops.ok, 1);
	assert_int_equal(s.detailed.basic.buf_register_ops.ok, 1);
	assert_int_equal(s.detailed.basic.buf_register_ops.err, 1);
	assert_int_equal(s.detailed.basic.buf_deregister_ops.ok, 1);
	assert_int_equal(s.detailed.read_size_kb_hist[1], 2);
	assert_int_equal(s.detailed.read_size_kb_hist[2], 1);
	assert_int_equal(s.detailed.write_size_kb_hist[0], 1);
	assert_int_equal(s.num_gpus, 1);
	assert_int_equal(s.per_gpu_stats[0].uuid[15], 1);
	assert_int_equal(s.per_gpu_stats[0].n_total_reads, 3);
	assert_int_equal(s.per_gpu_stats[0].n_posix_reads, 3);
	assert_int_equal(s.per_gpu_stats[0].n_reads_err, 1);
	assert_int_equal(s.per_gpu_stats[0].n_unaligned_reads, 1);
	assert_int_equal(s.per_gpu_stats[0].reg_bytes, 0);
	assert_int_equal(s.per_gpu_stats[0].n_mmap, 2);
	assert_cufile(cuFileStatsStop(), SUCCESS);
	cuFileRead(fh, gpu_memory, 4096, 0, 0);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.detailed.basic.read_ops.err, 1);
	assert_cufile(cuFileStatsReset(), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.detailed.basic.read_ops.ok, 0);
}

/* What is registered now, not what came while somebody counted. */
static void registered_bytes_are_those_of_now(void **state)
{
	CUfileStatsLevel3_t s;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0), SUCCESS);
	assert_cufile(cuFileSetStatsLevel(3), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory + 8192, 4096, 0), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.per_gpu_stats[0].reg_bytes, 12288);
	assert_cufile(cuFileStatsReset(), SUCCESS);
	assert_cufile(cuFileBufDeregister(gpu_memory), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.per_gpu_stats[0].reg_bytes, 4096);
	assert_int_equal(s.per_gpu_stats[1].reg_bytes, 0);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileGetStatsL3(&s), SUCCESS);
	assert_int_equal(s.per_gpu_stats[0].reg_bytes, 0);
}

static void what_is_refused_is_an_error(void **state)
{
	CUfileHandle_t fh;
	CUfileStatsLevel1_t s;
	CUfileIOVec_t none = { .base = gpu_memory };
	CUfileHandle_t bad = (CUfileHandle_t)(uintptr_t)77;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	fh = mock_handle();
	cuFileRead(fh, gpu_memory, 10, 0, 0);
	assert_true(cuFileReadv(fh, NULL, 1, 0, 0) < 0);
	assert_true(cuFileRead(bad, gpu_memory, 10, 0, 0) < 0);
	assert_true(cuFileRead(fh, gpu_memory, 10, -1, 0) < 0);
	assert_true(cuFileWrite(fh, NULL, 10, 0, 0) < 0);
	assert_true(cuFileReadv(bad, &none, 1, 0, 0) < 0);
	cuFileHandleDeregister(bad);
	cuFileHandleDeregister(fh);
	cuFileBatchIODestroy((CUfileBatchHandle_t)bad);
	assert_cufile(cuFileReadAsync(fh, NULL, NULL, NULL, NULL, NULL, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.read_ops.ok, 1);
	assert_int_equal(s.read_ops.err, 5);
	/* They took no time. */
	assert_int_equal(s.read_lat_avg_us, s.read_lat_sum_us);
	assert_int_equal(s.write_ops.err, 1);
	assert_int_equal(s.hdl_deregister_ops.ok, 1);
	assert_int_equal(s.hdl_deregister_ops.err, 1);
	assert_int_equal(s.batch_destroy_ops.ok, 0);
	assert_int_equal(s.batch_destroy_ops.err, 1);
}

/* How many pages this process has that are its own, as others see them; the last one. */
static unsigned int find_pages(struct cf_stats_page *page)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned int nr = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		struct cf_stats_page now;
		char target[64];
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target,
				       sizeof(target) - 1);
		int fd;

		target[n > 0 ? n : 0] = '\0';
		if (strcmp(target, "/memfd:" CF_STATS_NAME " (deleted)"))
			continue;
		fd = openat(dirfd(dir), entry->d_name, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(read(fd, &now, sizeof(now)), sizeof(now));
		/* Nobody takes it away under who counts there, or counts for him. */
		assert_int_equal(ftruncate(fd, 0), -1);
		assert_int_equal(pwrite(fd, &now, 8, 0), -1);
		close(fd);
		assert_int_equal(now.magic, CF_STATS_MAGIC);
		assert_int_equal(now.bytes, sizeof(now));
		if (now.pid != (uint64_t)getpid())
			continue;
		*page = now;
		nr++;
	}
	closedir(dir);
	return nr;
}

static void what_is_counted_is_seen_from_outside(void **state)
{
	struct cf_stats_page page;
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileBufRegister(gpu_memory, 8192, 0), SUCCESS);
	assert_cufile(cuFileSetStatsLevel(3), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	assert_cufile(cuFileStatsReset(), SUCCESS);
	fh = mock_handle();
	cuFileRead(fh, gpu_memory, 4096, 0, 0);
	assert_int_equal(find_pages(&page), 1);
	assert_int_equal(page.level, 3);
	assert_int_equal(page.running, 1);
	assert_true(page.started_us);
	assert_int_equal(page.total.detailed.basic.read_ops.ok, 1);
	assert_int_equal(page.total.detailed.basic.read_bytes, 4096);
	assert_int_equal(page.total.per_gpu_stats[0].reg_bytes, 8192);
	assert_cufile(cuFileStatsStop(), SUCCESS);
	cuFileRead(fh, gpu_memory, 4096, 0, 0);
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_int_equal(find_pages(&page), 1);
	assert_int_equal(page.running, 0);
	assert_int_equal(page.level, 1);
	assert_int_equal(page.total.detailed.basic.read_ops.ok, 1);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	assert_cufile(cuFileStatsReset(), SUCCESS);
	assert_int_equal(find_pages(&page), 1);
	assert_int_equal(page.total.detailed.basic.read_ops.ok, 0);
	assert_int_equal(page.total.per_gpu_stats[0].reg_bytes, 8192);
	assert_cufile(cuFileStatsStop(), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_int_equal(find_pages(&page), 1);
	assert_int_equal(page.total.per_gpu_stats[0].reg_bytes, 0);
}

/* No assertions: who fails one goes on with the tests. */
static int count_in_child(void)
{
	struct cf_stats_page page;
	CUfileHandle_t fh;

	if (cuFileDriverOpen().err || mock_register(mock_fd, &fh).err)
		return 1;
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	return find_pages(&page) == 1 &&
	       page.total.detailed.basic.read_ops.ok == 1 ? 0 : 2;
}

/* There is no descriptor left to be had. */
static int count_unseen(void)
{
	struct rlimit old, none;
	struct cf_stats_page page;
	CUfileStatsLevel1_t s;
	CUfileHandle_t fh;

	if (cuFileDriverOpen().err || getrlimit(RLIMIT_NOFILE, &old))
		return 1;
	none = old;
	none.rlim_cur = 3;
	if (setrlimit(RLIMIT_NOFILE, &none) || cuFileStatsStart().err ||
	    setrlimit(RLIMIT_NOFILE, &old))
		return 2;
	if (mock_register(mock_fd, &fh).err)
		return 3;
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	return cuFileGetStatsL1(&s).err || s.read_ops.ok != 1 ? 4 :
	       find_pages(&page) ? 5 : 0;
}

static int refused_in_child(void)
{
	CUfileStatsLevel1_t s;

	cuFileReadAsync(NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	cuFileReadv(NULL, NULL, 1, 0, 0);
	return cuFileGetStatsL1(&s).err != CU_FILE_DRIVER_NOT_INITIALIZED;
}

static void in_child(int (*what)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(what());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Those of a closed library, and of an open one; who has its descriptors, all of them. */
static void a_child_counts_for_itself(void **state)
{
	struct cf_stats_page page;
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	assert_cufile(cuFileStatsReset(), SUCCESS);
	fh = mock_handle();
	for (unsigned int i = 0; i < 3; i++)
		cuFileRead(fh, gpu_memory, 100, 0, 0);
	in_child(refused_in_child);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	in_child(count_in_child);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStop(), SUCCESS);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	in_child(count_unseen);
	assert_int_equal(find_pages(&page), 1);
	assert_int_equal(page.total.detailed.basic.read_ops.ok, 3);
	assert_int_equal(page.total.detailed.basic.read_ops.err, 0);
}

static void batches_are_counted_by_entry(void **state)
{
	CUfileIOParams_t io = { .mode = CUFILE_BATCH };
	CUfileBatchHandle_t batch;
	CUfileStatsLevel1_t s;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	io.fh = mock_handle();
	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.size = 1000;
	assert_cufile(cuFileBatchIOSetUp(&batch, 1), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), BATCH_FULL);
	cuFileBatchIODestroy(batch);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.batch_setup_ops.ok, 1);
	assert_int_equal(s.batch_submit_ops.ok, 1);
	assert_int_equal(s.batch_submit_ops.err, 1);
	assert_int_equal(s.batch_enqueued_ops.ok, 1);
	assert_int_equal(s.batch_processed_ops.ok, 1);
	assert_int_equal(s.batch_read_bytes, 1000);
	assert_int_equal(s.batch_destroy_ops.ok, 1);
}

static void level_0_counts_nothing_and_stops_nothing(void **state)
{
	CUfileStatsLevel1_t s;
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	fh = mock_handle();
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	assert_cufile(cuFileSetStatsLevel(0), SUCCESS);
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.read_ops.ok, 1);
	cuFileRead(fh, gpu_memory, 100, 0, 0);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.read_ops.ok, 2);
}

/* Two entries by each way: bytes at 0 and, behind the end, none. */
static void submit_by(CUfileBatchHandle_t batch, CUfileHandle_t fh,
		      uint32_t route, CUfileOpcode_t opcode)
{
	CUfileIOParams_t io[2] = {
		{ .mode = CUFILE_BATCH, .fh = fh, .opcode = opcode },
	};
	CUfileIOEvents_t events[2];
	unsigned int nr = 2;

	mock.route = route;
	io[0].u.batch.devPtr_base = gpu_memory;
	io[0].u.batch.size = 1000;
	io[1] = io[0];
	io[1].u.batch.size = opcode == CUFILE_READ ? 1000 : 0;
	io[1].u.batch.file_offset = 70000;
	assert_cufile(cuFileBatchIOSubmit(batch, 2, io, 0), SUCCESS);
	assert_cufile(cuFileBatchIOGetStatus(batch, 2, &nr, events, NULL),
		      SUCCESS);
	assert_int_equal(nr, 2);
}

static void batches_are_counted_by_their_way(void **state)
{
	CUfileBatchHandle_t batch;
	CUfileStatsLevel1_t s;
	CUfileHandle_t fh;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	fh = mock_handle();
	assert_cufile(cuFileBatchIOSetUp(&batch, 2), SUCCESS);
	submit_by(batch, fh, NVFS_ROUTE_DIRECT, CUFILE_READ);
	submit_by(batch, fh, NVFS_ROUTE_BOUNCE, CUFILE_READ);
	mock.run_error = -EIO;
	submit_by(batch, fh, NVFS_ROUTE_MIXED, CUFILE_READ);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.batch_enqueued_ops.ok, 6);
	assert_int_equal(s.batch_processed_ops.ok, 4);
	assert_int_equal(s.batch_processed_ops.err, 2);
	assert_int_equal(s.batch_nvfs_submit_ops.ok, 1);
	assert_int_equal(s.batch_nvfs_submit_ops.err, 1);
	assert_int_equal(s.batch_posix_processed_ops.ok, 1);
	assert_int_equal(s.batch_posix_processed_ops.err, 1);
	assert_int_equal(s.batch_posix_enqueued_ops.ok, 2);
	assert_int_equal(s.last_batch_read_bytes, 1000);
	assert_int_equal(s.batch_read_bytes, 3000);
	mock.run_error = 0;
	submit_by(batch, fh, NVFS_ROUTE_BOUNCE, CUFILE_WRITE);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.last_batch_read_bytes, 0);
	assert_int_equal(s.last_batch_write_bytes, 1000);
	cuFileBatchIODestroy(batch);
}

/* What ends late is none of the last batch's. */
static void the_last_batch_is_the_newest_submission(void **state)
{
	CUfileIOParams_t io = { .mode = CUFILE_BATCH };
	CUfileBatchHandle_t batch;
	CUfileStatsLevel1_t s;

	(void)state;
	assert_cufile(cuFileSetStatsLevel(1), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileStatsStart(), SUCCESS);
	mock.hold = true;
	io.fh = mock_handle();
	io.u.batch.devPtr_base = gpu_memory;
	io.u.batch.size = 1000;
	assert_cufile(cuFileBatchIOSetUp(&batch, 3), SUCCESS);
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	io.u.batch.size = 10;
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), SUCCESS);
	mock_end_all();
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.last_batch_read_bytes, 10);
	/* What the engine did not take was not enqueued. */
	mock.submit_error = -ENOMEM;
	assert_cufile(cuFileBatchIOSubmit(batch, 1, &io, 0), NOMEM_ERROR);
	assert_cufile(cuFileGetStatsL1(&s), SUCCESS);
	assert_int_equal(s.batch_enqueued_ops.ok, 2);
	assert_int_equal(s.batch_enqueued_ops.err, 1);
	cuFileBatchIODestroy(batch);
}

static void p2p_flags_follow_the_module(void **state)
{
	CUfileP2PFlags_t flags = CUFILE_C2C;
	static const unsigned int bad[] = { 2, 3, 4, 8, 15, 16 };

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 0);
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)0), SUCCESS);
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)1), SUCCESS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
						      bad[i]), INVALID_VALUE);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 1);
	/* It is no change, and of none of the others. */
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)0), SUCCESS);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 1);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NFS_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 0);
	mock.module_error = -ENOENT;
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)1),
		      INVALID_VALUE);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_MAX_TARGET_TYPES, &flags),
		      INVALID_VALUE);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, NULL),
		      INVALID_VALUE);
}

/* They read the configuration, and it can't be changed after that. */
static void p2p_flags_freeze_parameters(void **state)
{
	CUfileP2PFlags_t flags;

	(void)state;
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(cuFileUseCount(), 0);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_FORCE_COMPAT_MODE,
					     true), DRIVER_ALREADY_OPEN);
	mock.module_error = -ENOENT;
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)1),
		      INVALID_VALUE);
	mock.module_error = 0;
	assert_cufile(cuFileDriverSetP2PFlags(CU_FILE_NVME_SUPPORTED,
					      (CUfileP2PFlags_t)1), SUCCESS);
	assert_int_equal(cuFileUseCount(), 0);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 1);
	/* Until it is closed. */
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileDriverGetP2PFlags(CU_FILE_NVME_SUPPORTED, &flags),
		      SUCCESS);
	assert_int_equal(flags, 0);
}

static void gpus_are_described(void **state)
{
	char path[80], line[64] = "";
	size_t kib = 0;
	FILE *file;

	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileGetBARSizeInKB(0, NULL), INVALID_VALUE);
	assert_cufile(cuFileGetBARSizeInKB(-1, &kib), DEVICE_NOT_FOUND);
	assert_cufile(cuFileGetBARSizeInKB(1, &kib), DEVICE_NOT_FOUND);
	/* A GPU whose place is not known. */
	assert_cufile(cuFileGetBARSizeInKB(0, &kib), INTERNAL_ERROR);
	snprintf(path, sizeof(path), "%s.topology", mock_path);
	assert_cufile(cuFileExportPCIeTopology(path), SUCCESS);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	unlink(path);
	assert_string_equal(line, "// Topology file for cuFile.\n");
	assert_cufile(cuFileExportPCIeTopology(NULL), INVALID_VALUE);
	assert_cufile(cuFileExportPCIeTopology(""), INVALID_VALUE);
	assert_cufile(cuFileExportPCIeTopology("/nonexistent/x"), IO_ERROR);
}

#define STATS_TEST(f)	\
	cmocka_unit_test_setup_teardown(f, mock_setup, stats_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STATS_TEST(levels_are_checked),
		STATS_TEST(a_closed_library_does_not_count),
		STATS_TEST(what_is_done_is_counted),
		STATS_TEST(registered_bytes_are_those_of_now),
		STATS_TEST(what_is_refused_is_an_error),
		STATS_TEST(what_is_counted_is_seen_from_outside),
		STATS_TEST(a_child_counts_for_itself),
		STATS_TEST(batches_are_counted_by_entry),
		STATS_TEST(level_0_counts_nothing_and_stops_nothing),
		STATS_TEST(batches_are_counted_by_their_way),
		STATS_TEST(the_last_batch_is_the_newest_submission),
		STATS_TEST(p2p_flags_follow_the_module),
		STATS_TEST(p2p_flags_freeze_parameters),
		STATS_TEST(gpus_are_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
