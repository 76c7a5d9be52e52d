// SPDX-License-Identifier: MIT
/*
 * libcufile.so.0, opened by name as its clients do it, over the emulated GPU:
 * with the module, and without it.
 */
#include "fix_cufile.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What of the CUDA driver this needs beyond fix_gpu.c. */
static struct {
	int (*stream_create)(void **stream, unsigned int flags);
	int (*stream_sync)(void *stream);
	int (*memset_async)(uint64_t to, unsigned char byte, size_t n,
			    void *stream);
	int (*alloc_managed)(uint64_t *ptr, size_t size, unsigned int flags);
} cu;

static void start(void)
{
	cf_start();
	*(void **)&cu.stream_create = cuda_symbol("cuStreamCreate");
	*(void **)&cu.stream_sync = cuda_symbol("cuStreamSynchronize");
	*(void **)&cu.memset_async = cuda_symbol("cuMemsetD8Async");
	*(void **)&cu.alloc_managed = cuda_symbol("cuMemAllocManaged");
}

/* --------------------------------------------------------- with the module */

static void read_and_write(enum target target)
{
	uint64_t base = target_base(target);
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, 4 * MIB, false);
	fd = file_make(target, 4 * MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err, 0);
	gpu_fill(&buf, 0xee);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 3 * MIB, (off_t)(base + MIB),
				(off_t)MIB), 3 * MIB);
	gpu_check_pattern(&buf, MIB, 3 * MIB, 11, MIB);
	gpu_check_byte(&buf, 0, MIB, 0xee);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 1);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	gpu_put_pattern(&buf, 0, 4 * MIB, 12, 0);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), 4 * MIB, (off_t)base, 0),
		  4 * MIB);
	ASSERT_EQ(gpu_stats().n_nvfs_writes, 1);
	ASSERT_EQ(gpu_stats().n_posix_writes, 0);
	file_check(fd, base, 0, 4 * MIB, 12);
	ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	stop();
	gpu_free(&buf);
}

TEST_OF(read_and_write_go_direct_on_ext4, 60, read_and_write(EXT4))
TEST_OF(read_and_write_go_direct_on_xfs, 60, read_and_write(XFS))
TEST_OF(read_and_write_go_direct_on_a_device, 60, read_and_write(PART))

/* Nothing is a multiple of anything; what lies around stays as it is. */
static void odd_ranges(enum target target, int flags)
{
	static const struct {
		uint64_t size, file, mem;
	} table[] = {
		{ 1, 0, 0 }, { 1, 4095, 1 }, { 4096, 1, 0 }, { 4095, 0, 4095 },
		{ 12345, 777, 3 }, { MIB, 5, 4096 }, { 65536, 4096, 512 },
		{ 100000, 511, 65535 },
	};
	uint64_t base = target_base(target);
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, 2 * MIB, false);
	fd = file_make(target, 2 * MIB, 5, flags);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err, 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t size = table[i].size, mem = table[i].mem;
		off_t at = (off_t)(base + table[i].file);

		gpu_fill(&buf, 0x77);
		ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), size, at,
					(off_t)mem), size);
		gpu_check_pattern(&buf, mem, size, 5, table[i].file);
		gpu_check_byte(&buf, 0, mem, 0x77);
		gpu_check_byte(&buf, mem + size, 4096, 0x77);
		/* Other bytes there, and the old ones again. */
		for (uint64_t seed = 8; seed; seed = seed == 8 ? 5 : 0) {
			gpu_put_pattern(&buf, mem, size, seed, table[i].file);
			ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), size, at,
						 (off_t)mem), size);
			file_check(fd, base, table[i].file, size, seed);
			file_check(fd, base, 0, table[i].file, 5);
			file_check(fd, base, table[i].file + size, 8192, 5);
		}
	}
	file_check(fd, base, 0, 2 * MIB, 5);
	/* The end of the file is no error. */
	if (target == EXT4) {
		ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 8192,
					2 * MIB - 100, 0), 100);
		ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 8192, 2 * MIB, 0),
			  0);
	}
	close(fd);
	stop();
	gpu_free(&buf);
}

TEST_OF(odd_ranges_of_an_o_direct_file, 90, odd_ranges(EXT4, O_RDWR | O_DIRECT))
TEST_OF(odd_ranges_of_a_buffered_file, 90, odd_ranges(EXT4, O_RDWR))
TEST_OF(odd_ranges_of_a_device, 90, odd_ranges(PART, O_RDWR | O_DIRECT))

TEST(unregistered_and_interior_pointers_are_taken)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make(EXT4, MIB, 6, O_RDONLY | O_DIRECT);
	fh = handle_of(fd);
	/* Nobody registered it: the engine does, once. */
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 65536, 0, 0), 65536);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 65536, 0, 65536), 65536);
	ASSERT_EQ(gpu_pins(), 1);
	ASSERT_EQ(cf.cuFileRead(fh, (char *)pointer(&buf) + 131072, 65536,
				131072, 4096), 65536);
	ASSERT_EQ(gpu_pins(), 1);
	gpu_check_pattern(&buf, 131072 + 4096, 65536, 6, 131072);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	/* Behind the allocation there is nothing. */
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 8192, 0, MIB - 4096),
		  -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	close(fd);
	stop();
	gpu_free(&buf);
}

TEST(freed_memory_is_an_error_and_its_pages_go)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make(EXT4, MIB, 6, O_RDONLY | O_DIRECT);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 65536, 0, 0), 65536);
	ASSERT_EQ(gpu_pins(), 1);
	gpu_free(&buf);
	ASSERT_EQ(gpu_pins(), 0);
	/* buf.va is 0 now; the address itself names nothing any more. */
	gpu_alloc(&buf, 0, MIB, false);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), MIB, 0).err, 0);
	uint64_t va = buf.va;

	gpu_free(&buf);
	ASSERT_LT(cf.cuFileRead(fh, (void *)(uintptr_t)va, 65536, 0, 0), 0);
	ASSERT_EQ(cf.cuFileBufDeregister((void *)(uintptr_t)va).err, 0);
	ASSERT_LT(cf.cuFileRead(fh, (void *)(uintptr_t)va, 65536, 0, 0), 0);
	close(fd);
	stop();
}

#define ENTRIES	64

static void batch_entry(CUfileIOParams_t *io, CUfileHandle_t fh,
			const struct gpu_buf *buf, unsigned int n)
{
	memset(io, 0, sizeof(*io));
	io->mode = CUFILE_BATCH;
	io->fh = fh;
	io->opcode = CUFILE_READ;
	io->u.batch.devPtr_base = pointer(buf);
	io->u.batch.devPtr_offset = 8192 * n;
	io->u.batch.file_offset = 8192 * (ENTRIES - 1 - n);
	/* Every third is odd. */
	io->u.batch.size = n % 3 ? 4096 : 4001;
	io->cookie = (void *)(uintptr_t)n;
}

static void batch_of_reads(void)
{
	CUfileIOParams_t io[ENTRIES];
	CUfileIOEvents_t events[ENTRIES];
	CUfileBatchHandle_t batch;
	struct gpu_buf buf;
	CUfileHandle_t fh;
	unsigned int nr, seen = 0;
	int fd;

	gpu_alloc(&buf, 0, MIB, false);
	gpu_fill(&buf, 0x11);
	fd = file_make(EXT4, MIB, 9, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileBatchIOSetUp(&batch, ENTRIES).err, 0);
	for (unsigned int i = 0; i < ENTRIES; i++)
		batch_entry(&io[i], fh, &buf, i);
	ASSERT_EQ(cf.cuFileBatchIOSubmit(batch, ENTRIES, io, 0).err, 0);
	while (seen < ENTRIES) {
		nr = ENTRIES;
		ASSERT_EQ(cf.cuFileBatchIOGetStatus(batch, 1, &nr, events,
						    NULL).err, 0);
		ASSERT_GE(nr, 1);
		for (unsigned int i = 0; i < nr; i++) {
			unsigned int n = (unsigned int)(uintptr_t)
					 events[i].cookie;

			ASSERT_EQ(events[i].status, CUFILE_COMPLETE);
			ASSERT_EQ(events[i].ret, io[n].u.batch.size);
			gpu_check_pattern(&buf, 8192 * n, events[i].ret, 9,
					  8192 * (ENTRIES - 1 - n));
			gpu_check_byte(&buf, 8192 * n + events[i].ret, 4096,
				       0x11);
		}
		seen += nr;
	}
	ASSERT_EQ(seen, ENTRIES);
	cf.cuFileBatchIODestroy(batch);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	gpu_free(&buf);
}

TEST(batch_of_reads_arrives)
{
	start();
	batch_of_reads();
	stop();
}

#define WHOLE	128

/* One call of the module for all of them, whoever registered the memory. */
static void one_batch(bool added)
{
	long long batches = stat_get("batches");
	long long requests = stat_get("batch_requests");
	CUfileIOParams_t io[WHOLE];
	CUfileIOEvents_t events[WHOLE];
	CUfileBatchHandle_t batch;
	unsigned int nr = WHOLE;
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, 2 * MIB, false);
	fd = file_make(EXT4, 2 * MIB, 9, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	if (added)
		ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err,
			  0);
	ASSERT_EQ(cf.cuFileBatchIOSetUp(&batch, WHOLE).err, 0);
	for (unsigned int i = 0; i < WHOLE; i++) {
		batch_entry(&io[i], fh, &buf, i % ENTRIES);
		io[i].u.batch.size = 4096;
		io[i].u.batch.devPtr_offset = 4096 * i;
		io[i].u.batch.file_offset = 8192 * (WHOLE - 1 - i);
	}
	ASSERT_EQ(cf.cuFileBatchIOSubmit(batch, WHOLE, io, 0).err, 0);
	ASSERT_EQ(cf.cuFileBatchIOGetStatus(batch, WHOLE, &nr, events,
					    NULL).err, 0);
	ASSERT_EQ(nr, WHOLE);
	for (unsigned int i = 0; i < WHOLE; i++) {
		ASSERT_EQ(events[i].status, CUFILE_COMPLETE);
		gpu_check_pattern(&buf, 4096 * i, 4096, 9,
				  8192 * (WHOLE - 1 - i));
	}
	ASSERT_EQ(stat_get("batches"), batches + 1);
	ASSERT_EQ(stat_get("batch_requests"), requests + WHOLE);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, WHOLE);
	cf.cuFileBatchIODestroy(batch);
	close(fd);
	stop();
	gpu_free(&buf);
}

TEST_OF(a_batch_is_one_batch_of_the_module, 60, one_batch(true))
TEST_OF(a_batch_of_unknown_memory_is_one_too, 60, one_batch(false))

/* Writes that a frozen file system holds up end when they are cancelled. */
TEST(a_cancelled_batch_ends)
{
	CUfileIOEvents_t events[WHOLE];
	CUfileIOParams_t io[WHOLE];
	unsigned int nr = WHOLE, cancelled = 0;
	long long cancels = stat_get("cancels");
	CUfileBatchHandle_t batch;
	int fd, place, submitted, given_up;
	struct gpu_buf buf;
	CUfileHandle_t fh;

	start();
	gpu_alloc(&buf, 0, 2 * MIB, false);
	gpu_put_pattern(&buf, 0, 2 * MIB, 9, 0);
	fd = file_make(EXT4, 2 * MIB, 9, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err, 0);
	ASSERT_EQ(cf.cuFileBatchIOSetUp(&batch, WHOLE).err, 0);
	for (unsigned int i = 0; i < WHOLE; i++) {
		batch_entry(&io[i], fh, &buf, i % ENTRIES);
		io[i].opcode = CUFILE_WRITE;
		io[i].u.batch.size = 16384;
		io[i].u.batch.devPtr_offset = 16384 * i;
		io[i].u.batch.file_offset = 16384 * i;
	}
	place = open(fix_place("ext4"), O_RDONLY);
	ASSERT_EQ(ioctl(place, FIFREEZE, 0), 0);
	submitted = cf.cuFileBatchIOSubmit(batch, WHOLE, io, 0).err;
	given_up = cf.cuFileBatchIOCancel(batch).err;
	/* First of all, so that nothing is left frozen. */
	ASSERT_EQ(ioctl(place, FITHAW, 0), 0);
	ASSERT_EQ(submitted, 0);
	ASSERT_EQ(given_up, 0);
	ASSERT_EQ(cf.cuFileBatchIOGetStatus(batch, WHOLE, &nr, events,
					    NULL).err, 0);
	ASSERT_EQ(nr, WHOLE);
	for (unsigned int i = 0; i < WHOLE; i++) {
		cancelled += events[i].status == CUFILE_CANCELED;
		if (events[i].status != CUFILE_CANCELED)
			ASSERT_EQ(events[i].status, CUFILE_COMPLETE);
	}
	ASSERT_GE(stat_get("cancels"), cancels + 1);
	harness_note("%u of %u cancelled", cancelled, WHOLE);
	cf.cuFileBatchIODestroy(batch);
	file_check(fd, 0, 0, 2 * MIB, 9);
	close(place);
	close(fd);
	stop();
	gpu_free(&buf);
}

/* Each request between two settings of the memory, without a wait. */
static void stream_in_order(bool added)
{
	size_t size = 65536;
	off_t file = 4096, mem = 65536;
	ssize_t in = 0, out = 0;
	struct gpu_buf buf;
	CUfileHandle_t fh;
	void *stream;
	int fd;

	gpu_alloc(&buf, 0, MIB, false);
	gpu_fill(&buf, 0);
	fd = file_make(EXT4, MIB, 3, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	if (added)
		ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err,
			  0);
	ASSERT_EQ(cu.stream_create(&stream, 1), 0);
	ASSERT_EQ(cu.memset_async(buf.va, 0xaa, MIB, stream), 0);
	ASSERT_EQ(cf.cuFileReadAsync(fh, pointer(&buf), &size, &file, &mem,
				     &in, stream).err, 0);
	ASSERT_EQ(cu.memset_async(buf.va + 65536, 0xbb, 4096, stream), 0);
	ASSERT_EQ(cf.cuFileWriteAsync(fh, pointer(&buf), &size, &file, &mem,
				      &out, stream).err, 0);
	ASSERT_EQ(cu.memset_async(buf.va + 65536, 0xcc, 4096, stream), 0);
	ASSERT_EQ(cu.stream_sync(stream), 0);
	ASSERT_EQ(in, 65536);
	ASSERT_EQ(out, 65536);
	gpu_check_byte(&buf, 0, 65536, 0xaa);
	gpu_check_byte(&buf, 65536, 4096, 0xcc);
	gpu_check_pattern(&buf, 65536 + 4096, 61440, 3, 8192);
	gpu_check_byte(&buf, 131072, 65536, 0xaa);
	gpu_fill(&buf, 0);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 8192, 4096, 0), 8192);
	gpu_check_byte(&buf, 0, 4096, 0xbb);
	gpu_check_pattern(&buf, 4096, 4096, 3, 8192);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	gpu_free(&buf);
}

static void stream_of_the_module(bool added)
{
	long long requests = stat_get("batch_requests");

	start();
	stream_in_order(added);
	ASSERT_EQ(stat_get("batch_requests"), requests + 2);
	stop();
}

TEST_OF(stream_requests_keep_their_place, 60, stream_of_the_module(true))
TEST_OF(stream_requests_of_unknown_memory, 60, stream_of_the_module(false))

/* Stream 0: whoever copies in stream 0 meanwhile would wait for himself. */
TEST(stream_0_does_not_wait_for_itself)
{
	size_t size = 65536;
	off_t zero = 0;
	ssize_t bytes = 0;
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make_at("/run/nvfs-cufile", 0, MIB, 3, O_RDWR);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileReadAsync(fh, pointer(&buf), &size, &zero, &zero,
				     &bytes, NULL).err, 0);
	ASSERT_EQ(cu.stream_sync(NULL), 0);
	ASSERT_EQ(bytes, 65536);
	gpu_check_pattern(&buf, 0, 65536, 3, 0);
	close(fd);
	unlink("/run/nvfs-cufile");
	stop();
	gpu_free(&buf);
}

TEST(managed_and_host_memory_are_read_into)
{
	uint64_t managed = 0;
	CUfileHandle_t fh;
	uint8_t *want = xmalloc(8192), *host = xmalloc(8192);
	int fd;

	start();
	gpu_total(0);
	fd = file_make(EXT4, MIB, 3, O_RDONLY | O_DIRECT);
	fh = handle_of(fd);
	pattern_fill(want, 8192, 3, 100);
	ASSERT_EQ(cf.cuFileRead(fh, host, 8192, 100, 0), 8192);
	ASSERT_MEMEQ(host, want, 8192);
	struct gpu_buf buf;

	gpu_alloc(&buf, 0, 65536, false);
	ASSERT_EQ(cu.alloc_managed(&managed, 8192, 1), 0);
	ASSERT_EQ(cf.cuFileBufRegister((void *)(uintptr_t)managed, 8192, 0).err,
		  CU_FILE_CUDA_MEMORY_TYPE_INVALID);
	ASSERT_EQ(cf.cuFileRead(fh, (void *)(uintptr_t)managed, 8192, 100, 0),
		  8192);
	ASSERT_MEMEQ((void *)(uintptr_t)managed, want, 8192);
	/* No memory at all. */
	ASSERT_EQ(cf.cuFileRead(fh, (void *)0x10000, 8192, 100, 0),
		  -CU_FILE_CUDA_POINTER_INVALID);
	close(fd);
	stop();
	gpu_free(&buf);
	free(want);
	free(host);
}

TEST(closed_descriptors_and_bad_handles_are_errors)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make(EXT4, MIB, 3, O_RDONLY);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), 4096, 0, 0), -1);
	ASSERT_EQ(errno, EBADF);
	close(fd);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0), -1);
	ASSERT_EQ(errno, EBADF);
	cf.cuFileHandleDeregister(fh);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0),
		  -CU_FILE_HANDLE_NOT_REGISTERED);
	stop();
	gpu_free(&buf);
}

TEST(a_forked_child_is_refused)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd, status;
	pid_t pid;

	start();
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make(EXT4, MIB, 3, O_RDONLY);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0), 4096);
	pid = fork();
	if (!pid)
		_exit(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0) !=
		      -CU_FILE_DRIVER_NOT_INITIALIZED);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0), 4096);
	close(fd);
	stop();
	gpu_free(&buf);
}

TEST(the_gpu_is_described)
{
	CUfileDrvProps_t props;
	CUfileStatsLevel3_t stats;
	size_t kib = 0;

	start();
	ASSERT_EQ(cf.cuFileGetBARSizeInKB(0, &kib).err, 0);
	ASSERT_GE(kib, gpu_total(0) / 1024);
	ASSERT_EQ(cf.cuFileGetBARSizeInKB(99, &kib).err,
		  CU_FILE_DEVICE_NOT_FOUND);
	ASSERT_EQ(cf.cuFileGetStatsL3(&stats).err, 0);
	ASSERT_EQ(stats.num_gpus, gpu_count());
	ASSERT_EQ(cf.cuFileDriverGetProperties(&props).err, 0);
	ASSERT_EQ(props.nvfs.dstatusflags, 1U << CU_FILE_NVME_SUPPORTED);
	stop();
}

/* --------------------------------------------------------- the denylist */

#define CONFIG	"/run/nvfs-cufile.json"

static void start_with(const char *list, const char *entry)
{
	FILE *config = fopen(CONFIG, "we");

	ASSERT_TRUE(config != NULL);
	fprintf(config, "{ \"denylist\": { \"%s\": [\"%s\"] } }\n", list, entry);
	fclose(config);
	setenv("CUFILE_ENV_PATH_JSON", CONFIG, 1);
	start();
	unsetenv("CUFILE_ENV_PATH_JSON");
	unlink(CONFIG);
}

/* Does a file of @target, while cufile.json has that @list? */
static bool goes_direct(enum target target, const char *list, const char *entry)
{
	CUfilePerGpuStats_t before, after;
	struct gpu_buf buf;
	CUfileHandle_t fh;
	bool direct;
	int fd;

	start_with(list, entry);
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make(target, MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	before = gpu_stats();
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), MIB,
				(off_t)target_base(target), 0), MIB);
	gpu_check_pattern(&buf, 0, MIB, 11, 0);
	after = gpu_stats();
	direct = after.n_nvfs_reads != before.n_nvfs_reads;
	ASSERT_EQ(after.n_posix_reads - before.n_posix_reads, !direct);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	stop();
	gpu_free(&buf);
	return direct;
}

/* The module is the witness, of all that ends there. */
TEST(a_denied_file_goes_direct_by_no_way)
{
	long long reads = stat_get("read_ended");
	long long writes = stat_get("write_ended");

	start_with("filesystems", "ext4");
	batch_of_reads();
	stream_in_order(false);
	stream_in_order(true);
	ASSERT_GE(reads, 0);
	ASSERT_EQ(stat_get("read_ended"), reads);
	ASSERT_EQ(stat_get("write_ended"), writes);
	stop();
}

TEST(denied_files_go_through_host_memory_and_others_direct)
{
	char part[64], ext4[128];

	snprintf(part, sizeof(part), "%s", fix_place("part"));
	snprintf(ext4, sizeof(ext4), "%s", fix_place("ext4"));
	ASSERT_TRUE(!goes_direct(XFS, "filesystems", "xfs"));
	ASSERT_TRUE(goes_direct(EXT4, "filesystems", "xfs"));
	ASSERT_TRUE(!goes_direct(EXT4, "mounts", ext4));
	ASSERT_TRUE(goes_direct(XFS, "mounts", ext4));
	ASSERT_TRUE(!goes_direct(PART, "devices", part));
	ASSERT_TRUE(goes_direct(EXT4, "devices", part));
	/* The files' partitions are on the disk, and all hang on one driver. */
	ASSERT_TRUE(!goes_direct(EXT4, "devices", fix_place("disk")));
	ASSERT_TRUE(!goes_direct(XFS, "drivers", "nvme"));
	ASSERT_TRUE(goes_direct(XFS, "drivers", "virtio_blk"));
}

/* ------------------------------------------------------ without the module */

static void unload(void)
{
	if (module_unload("nvfs"))
		FAIL("unload nvfs: %s", strerror(errno));
}

TEST(without_the_module_everything_bounces)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	unload();
	start();
	gpu_alloc(&buf, 0, 4 * MIB, false);
	fd = file_make(EXT4, 4 * MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err, 0);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4 * MIB - 5, 5, 5),
		  4 * MIB - 5);
	gpu_check_pattern(&buf, 5, 4 * MIB - 5, 11, 5);
	ASSERT_EQ(gpu_stats().n_posix_reads, 1);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 0);
	gpu_put_pattern(&buf, 0, 4 * MIB, 12, 0);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), 4 * MIB, 0, 0), 4 * MIB);
	file_check(fd, 0, 0, 4 * MIB, 12);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	gpu_free(&buf);
	batch_of_reads();
	stream_in_order(false);
	stop();
	module_load("nvfs", "");
}

TEST(without_the_module_odd_ranges_bounce)
{
	unload();
	odd_ranges(EXT4, O_RDWR | O_DIRECT);
	odd_ranges(PART, O_RDWR | O_DIRECT);
	module_load("nvfs", "");
}

TEST(without_the_module_a_strict_open_fails)
{
	unload();
	start();
	stop();
	ASSERT_EQ(cf.cuFileSetParameterBool(
		CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE, false).err, 0);
	ASSERT_EQ(cf.cuFileDriverOpen().err, CU_FILE_DRIVER_NOT_INITIALIZED);
	ASSERT_EQ(cf.cuFileUseCount(), 0);
	ASSERT_EQ(cf.cuFileSetParameterBool(
		CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE, true).err, 0);
	ASSERT_EQ(cf.cuFileDriverOpen().err, 0);
	stop();
	module_load("nvfs", "");
}

/* ----------------------------------------------------------- mapped writes */

/* Linux 6.5 */
#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

/* What this process has given to write(2), in bytes. */
static uint64_t written(void)
{
	FILE *io = fopen("/proc/self/io", "r");
	unsigned long long bytes = 0;
	char line[80];

	if (!io)
		FAIL("/proc/self/io: %s", strerror(errno));
	while (fgets(line, sizeof(line), io))
		sscanf(line, "wchar: %llu", &bytes);
	fclose(io);
	return bytes;
}

static bool tells_what_is_cached(int fd)
{
	uint64_t range[2] = { 0, 4096 }, told[5];

	return !syscall(SYS_cachestat, fd, range, told, 0);
}

/* As the drive has it. */
static void drive_check(int fd, uint64_t length, uint64_t seed)
{
	uint8_t *want = malloc(length), *got = NULL;
	char link[64];
	int direct;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	direct = open(link, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_GE(direct, 0);
	ASSERT_EQ(posix_memalign((void **)&got, 4096, length), 0);
	ASSERT_EQ(fsync(fd), 0);
	pattern_fill(want, length, seed, 0);
	ASSERT_EQ(pread(direct, got, length, 0), length);
	if (memcmp(want, got, length))
		FAIL("the drive's bytes differ");
	close(direct);
	free(want);
	free(got);
}

/* What the page cache has is written by a mapping, and the drive gets it. */
static void rewrite(enum target target)
{
	struct gpu_buf buf;
	struct stat before, after;
	uint64_t bytes;
	CUfileHandle_t fh;
	int fd;

	unload();
	start();
	gpu_alloc(&buf, 0, 4 * MIB, false);
	fd = file_make(target, 4 * MIB, 11, O_RDWR);
	fh = handle_of(fd);
	for (uint64_t seed = 20; seed < 26; seed++) {
		gpu_put_pattern(&buf, 0, 4 * MIB, seed, 0);
		ASSERT_EQ(fstat(fd, &before), 0);
		/* A tick of the clock of file times. */
		usleep(10000);
		bytes = written();
		ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), 4 * MIB, 0, 0),
			  4 * MIB);
		bytes = written() - bytes;
		ASSERT_EQ(fstat(fd, &after), 0);
		ASSERT_TRUE(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
			    after.st_mtim.tv_nsec > before.st_mtim.tv_nsec);
		if (seed == 20 || !tells_what_is_cached(fd)) {
			ASSERT_GE(bytes, 4 * MIB);
		} else {
			ASSERT_GE(bytes, 1);
			ASSERT_LE(bytes, MIB);
		}
		/* Dirty the next time, or clean. */
		if (seed % 2)
			drive_check(fd, 4 * MIB, seed);
	}
	ASSERT_EQ(gpu_stats().n_posix_writes, 6);
	cf.cuFileHandleDeregister(fh);
	close(fd);
	gpu_free(&buf);
	stop();
	module_load("nvfs", "");
}

TEST_OF(cached_bytes_of_ext4_are_written_by_a_mapping, 60, rewrite(EXT4))
TEST_OF(cached_bytes_of_xfs_are_written_by_a_mapping, 60, rewrite(XFS))

static CUfileOpError register_once(int fd)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t fh = NULL;
	CUfileOpError err;

	descr.handle.fd = fd;
	err = cf.cuFileHandleRegister(&fh, &descr).err;
	if (!err)
		cf.cuFileHandleDeregister(fh);
	return err;
}

/* What nobody may write is no file to write past the page cache. */
TEST(an_immutable_file_is_refused_strictly)
{
	CUfileOpError allowed, strict, opened;
	int fd, flags, before;

	start();
	fd = file_make(EXT4, MIB, 3, O_RDWR | O_DIRECT);
	ASSERT_EQ(ioctl(fd, FS_IOC_GETFLAGS, &before), 0);
	flags = before | FS_IMMUTABLE_FL;
	ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
	allowed = register_once(fd);
	stop();
	cf.cuFileSetParameterBool(CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE,
				  false);
	opened = cf.cuFileDriverOpen().err;
	strict = register_once(fd);
	/* In any case: others make that file anew. */
	ASSERT_EQ(ioctl(fd, FS_IOC_SETFLAGS, &before), 0);
	ASSERT_EQ(allowed, CU_FILE_SUCCESS);
	ASSERT_EQ(opened, CU_FILE_SUCCESS);
	ASSERT_EQ(strict, CU_FILE_IO_NOT_SUPPORTED);
	ASSERT_EQ(register_once(fd), CU_FILE_SUCCESS);
	stop();
	close(fd);
}

/* A file that O_DIRECT does not take can't be read strictly. */
TEST(a_strict_read_of_tmpfs_is_refused)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	start();
	stop();
	ASSERT_EQ(cf.cuFileSetParameterBool(
		CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE, false).err, 0);
	ASSERT_EQ(cf.cuFileDriverOpen().err, 0);
	gpu_alloc(&buf, 0, MIB, false);
	fd = file_make_at("/run/nvfs-cufile", 0, MIB, 3, O_RDONLY);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0),
		  -CU_FILE_IO_NOT_SUPPORTED);
	stop();
	ASSERT_EQ(cf.cuFileDriverOpen().err, 0);
	fh = handle_of(fd);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, 0), 4096);
	gpu_check_pattern(&buf, 0, 4096, 3, 0);
	close(fd);
	unlink("/run/nvfs-cufile");
	stop();
	gpu_free(&buf);
}
