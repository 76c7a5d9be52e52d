// SPDX-License-Identifier: MIT
/*
 * libcufile.so.0 with GPU memory of other kinds than cudaMalloc()'s: memory that
 * the application maps at addresses which it reserved, and memory in stream
 * order.
 */
#include "fix_cufile.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What of the CUDA driver this needs beyond fix_gpu.c. */
static struct {
	int (*reserve)(uint64_t *ptr, size_t size, size_t alignment,
		       uint64_t addr, unsigned long long flags);
	int (*unreserve)(uint64_t ptr, size_t size);
	int (*create)(uint64_t *handle, size_t size, const void *prop,
		      unsigned long long flags);
	int (*release)(uint64_t handle);
	int (*map)(uint64_t ptr, size_t size, size_t offset, uint64_t handle,
		   unsigned long long flags);
	int (*unmap)(uint64_t ptr, size_t size);
	int (*set_access)(uint64_t ptr, size_t size, const void *desc,
			  size_t count);
	int (*alloc_async)(uint64_t *ptr, size_t size, void *stream);
	int (*free_async)(uint64_t ptr, void *stream);
	int (*stream_create)(void **stream, unsigned int flags);
	int (*stream_sync)(void *stream);
	int (*copy_out)(void *to, uint64_t from, size_t n, void *stream);
} cu;

static void start(void)
{
	cf_start();
	*(void **)&cu.reserve = cuda_symbol("cuMemAddressReserve");
	*(void **)&cu.unreserve = cuda_symbol("cuMemAddressFree");
	*(void **)&cu.create = cuda_symbol("cuMemCreate");
	*(void **)&cu.release = cuda_symbol("cuMemRelease");
	*(void **)&cu.map = cuda_symbol("cuMemMap");
	*(void **)&cu.unmap = cuda_symbol("cuMemUnmap");
	*(void **)&cu.set_access = cuda_symbol("cuMemSetAccess");
	*(void **)&cu.alloc_async = cuda_symbol("cuMemAllocAsync");
	*(void **)&cu.free_async = cuda_symbol("cuMemFreeAsync");
	*(void **)&cu.stream_create = cuda_symbol("cuStreamCreate");
	*(void **)&cu.stream_sync = cuda_symbol("cuStreamSynchronize");
	*(void **)&cu.copy_out = cuda_symbol("cuMemcpyDtoHAsync_v2");
	/* The thread's context from here on. */
	gpu_use(0);
}

/* --------------------------------- memory that the application maps itself */

#define UNIT	(2 * MIB)

/* CUmemAllocationProp: pinned memory of GPU 0. */
static const struct {
	int type, handle_types, location_type, location;
	void *unused;
	unsigned char flags[8];
} of_gpu_0 = { .type = 1, .location_type = 1 };

/* CUmemAccessDesc: GPU 0 may read and write. */
static const int for_gpu_0[3] = { 1, 0, 3 };

static uint64_t memory_new(void)
{
	uint64_t handle = 0;

	ASSERT_EQ(cu.create(&handle, UNIT, &of_gpu_0, 0), 0);
	return handle;
}

/* Addresses for so many units, with nothing there. */
static void reserve(struct gpu_buf *buf, unsigned int units)
{
	buf->gpu = 0;
	buf->size = units * UNIT;
	ASSERT_EQ(cu.reserve(&buf->va, buf->size, 0, 0, 0), 0);
}

static void unreserve(struct gpu_buf *buf)
{
	ASSERT_EQ(cu.unreserve(buf->va, buf->size), 0);
}

static void map_at(const struct gpu_buf *buf, unsigned int unit, uint64_t handle)
{
	ASSERT_EQ(cu.map(buf->va + unit * UNIT, UNIT, 0, handle, 0), 0);
	ASSERT_EQ(cu.set_access(buf->va + unit * UNIT, UNIT, for_gpu_0, 1), 0);
}

static void unmap_at(const struct gpu_buf *buf, unsigned int unit)
{
	ASSERT_EQ(cu.unmap(buf->va + unit * UNIT, UNIT), 0);
}

/* Memory that nobody but its mapping keeps. */
static void map_new(const struct gpu_buf *buf, unsigned int unit)
{
	uint64_t handle = memory_new();

	map_at(buf, unit, handle);
	ASSERT_EQ(cu.release(handle), 0);
}

/* Read to that offset in the memory, look, and write other bytes back. */
static void read_and_write_at(CUfileHandle_t fh, int fd,
			      const struct gpu_buf *buf, uint64_t mem,
			      uint64_t size)
{
	gpu_put_pattern(buf, mem, size, 77, 0);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(buf), size, (off_t)BLOCK,
				(off_t)mem), size);
	gpu_check_pattern(buf, mem, size, 11, BLOCK);
	gpu_put_pattern(buf, mem, size, 12, BLOCK);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(buf), size, (off_t)BLOCK,
				 (off_t)mem), size);
	file_check(fd, 0, BLOCK, size, 12);
	gpu_put_pattern(buf, mem, size, 11, BLOCK);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(buf), size, (off_t)BLOCK,
				 (off_t)mem), size);
}

/* Memory in the first two of @units of addresses, and a file to read and write. */
static CUfileHandle_t two_mappings(struct gpu_buf *buf, unsigned int units,
				   int *fd)
{
	start();
	reserve(buf, units);
	map_new(buf, 0);
	map_new(buf, 1);
	*fd = file_make(EXT4, 4 * MIB, 11, O_RDWR | O_DIRECT);
	return handle_of(*fd);
}

/* Of three units of addresses the last has no memory yet. */
TEST(registered_memory_goes_direct_over_two_mappings)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	fh = two_mappings(&buf, 3, &fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), 2 * UNIT, 0).err, 0);
	ASSERT_EQ(gpu_pins(), 1);
	read_and_write_at(fh, fd, &buf, 4096, 65536);
	read_and_write_at(fh, fd, &buf, UNIT + 4096, 65536);
	read_and_write_at(fh, fd, &buf, UNIT - 65536, MIB);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 3);
	ASSERT_EQ(gpu_stats().n_nvfs_writes, 6);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	ASSERT_EQ(gpu_stats().n_posix_writes, 0);
	ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	unmap_at(&buf, 0);
	unmap_at(&buf, 1);
	unreserve(&buf);
	close(fd);
	stop();
}

TEST(unregistered_mappings_are_taken)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	fh = two_mappings(&buf, 2, &fd);
	read_and_write_at(fh, fd, &buf, 4096, 65536);
	read_and_write_at(fh, fd, &buf, UNIT + 4096, 65536);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 2);
	ASSERT_EQ(gpu_stats().n_nvfs_writes, 4);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	/* Over both: by either way. */
	read_and_write_at(fh, fd, &buf, UNIT - 65536, MIB);
	ASSERT_EQ(gpu_stats().n_nvfs_reads + gpu_stats().n_posix_reads, 3);
	unmap_at(&buf, 0);
	unmap_at(&buf, 1);
	ASSERT_EQ(gpu_pins(), 0);
	unreserve(&buf);
	close(fd);
	stop();
}

/* Each mapping has its region, which both requests of a round find again. */
TEST(mappings_of_a_part_go_direct)
{
	long long regions = stat_get("regions_registered");
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	fh = two_mappings(&buf, 3, &fd);
	for (unsigned int i = 0; i < 3; i++) {
		read_and_write_at(fh, fd, &buf, 4096, 65536);
		read_and_write_at(fh, fd, &buf, UNIT + 4096, 65536);
	}
	ASSERT_EQ(gpu_stats().n_posix_reads + gpu_stats().n_posix_writes, 0);
	ASSERT_EQ(stat_get("regions_registered"), regions + 2);
	ASSERT_EQ(gpu_pins(), 2);
	unmap_at(&buf, 0);
	ASSERT_EQ(gpu_pins(), 1);
	unmap_at(&buf, 1);
	unreserve(&buf);
	close(fd);
	stop();
}

/* The middle one of three units has no memory. */
static void with_a_gap(bool module)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	if (!module && module_unload("nvfs"))
		FAIL("unload nvfs: %s", strerror(errno));
	start();
	reserve(&buf, 3);
	map_new(&buf, 0);
	map_new(&buf, 2);
	fd = file_make(EXT4, 4 * MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	read_and_write_at(fh, fd, &buf, UNIT - 65536, 65536);
	read_and_write_at(fh, fd, &buf, 2 * UNIT, 65536);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), MIB, 0, (off_t)UNIT - 65536),
		  -CU_FILE_CUDA_POINTER_INVALID);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 4096, 0, (off_t)UNIT),
		  -CU_FILE_CUDA_POINTER_INVALID);
	ASSERT_EQ(cf.cuFileWrite(fh, pointer(&buf), 4096, 0,
				 (off_t)(2 * UNIT - 2048)),
		  -CU_FILE_CUDA_POINTER_INVALID);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 8192, 0,
				(off_t)(3 * UNIT - 4096)),
		  -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	file_check(fd, 0, 0, 4 * MIB, 11);
	read_and_write_at(fh, fd, &buf, 0, 65536);
	unmap_at(&buf, 0);
	unmap_at(&buf, 2);
	unreserve(&buf);
	close(fd);
	stop();
	if (!module)
		module_load("nvfs", "");
}

TEST_OF(a_gap_between_mappings_is_an_error, 60, with_a_gap(true))

/* What was there first is mapped elsewhere, and must not change any more. */
TEST(memory_mapped_in_the_place_of_other_memory_is_read_into)
{
	struct gpu_buf buf, old;
	uint64_t first, second;
	CUfileHandle_t fh;
	int fd;

	start();
	reserve(&buf, 1);
	reserve(&old, 1);
	first = memory_new();
	second = memory_new();
	fd = file_make(EXT4, 4 * MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	map_at(&buf, 0, first);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), MIB, 0, 0), MIB);
	ASSERT_EQ(gpu_pins(), 1);
	unmap_at(&buf, 0);
	map_at(&buf, 0, second);
	map_at(&old, 0, first);
	gpu_check_pattern(&old, 0, MIB, 11, 0);
	gpu_fill(&buf, 0x33);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), MIB, (off_t)MIB, 0), MIB);
	gpu_check_pattern(&buf, 0, MIB, 11, MIB);
	gpu_check_pattern(&old, 0, MIB, 11, 0);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 2);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	unmap_at(&buf, 0);
	unmap_at(&old, 0);
	unreserve(&buf);
	unreserve(&old);
	ASSERT_EQ(cu.release(first), 0);
	ASSERT_EQ(cu.release(second), 0);
	close(fd);
	stop();
}

/* The region ends with the first of its mappings. */
TEST(registered_memory_that_was_unmapped_is_an_error)
{
	struct gpu_buf buf;
	CUfileHandle_t fh;
	int fd;

	fh = two_mappings(&buf, 2, &fd);
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), 2 * UNIT, 0).err, 0);
	read_and_write_at(fh, fd, &buf, UNIT - 65536, MIB);
	unmap_at(&buf, 1);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_LT(cf.cuFileRead(fh, pointer(&buf), MIB, 0, (off_t)UNIT - 65536),
		  0);
	ASSERT_LT(cf.cuFileWrite(fh, pointer(&buf), 4096, 0, (off_t)UNIT), 0);
	file_check(fd, 0, 0, 4 * MIB, 11);
	ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	/* What is still mapped may be registered and used. */
	ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), UNIT, 0).err, 0);
	read_and_write_at(fh, fd, &buf, 0, 65536);
	ASSERT_EQ(gpu_stats().n_posix_reads + gpu_stats().n_posix_writes, 0);
	ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	unmap_at(&buf, 0);
	unreserve(&buf);
	close(fd);
	stop();
}

/* ------------------------------------------------- memory in stream order */

/* Two that share a page of the GPU, and the first given out again. */
static void stream_ordered(bool added)
{
	struct gpu_buf buf = { .size = 300000 }, next = { .size = 300000 };
	CUfileHandle_t fh;
	void *stream;
	uint64_t va;
	int fd;

	start();
	ASSERT_EQ(cu.stream_create(&stream, 1), 0);
	ASSERT_EQ(cu.alloc_async(&buf.va, buf.size, stream), 0);
	ASSERT_EQ(cu.alloc_async(&next.va, next.size, stream), 0);
	ASSERT_EQ(cu.stream_sync(stream), 0);
	fd = file_make(EXT4, 4 * MIB, 11, O_RDWR | O_DIRECT);
	fh = handle_of(fd);
	gpu_fill(&next, 0x44);
	if (added)
		ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size, 0).err,
			  0);
	read_and_write_at(fh, fd, &buf, 4096, 65536);
	if (added)
		ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	va = buf.va;
	ASSERT_EQ(cu.free_async(buf.va, stream), 0);
	buf.size = 200000;
	ASSERT_EQ(cu.alloc_async(&buf.va, buf.size, stream), 0);
	ASSERT_EQ(buf.va, va);
	ASSERT_EQ(cu.stream_sync(stream), 0);
	read_and_write_at(fh, fd, &buf, 65536, 65536);
	ASSERT_EQ(cf.cuFileRead(fh, pointer(&buf), 65536, 0, 200000 - 65535),
		  -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	gpu_check_byte(&next, 0, next.size, 0x44);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 2);
	ASSERT_EQ(gpu_stats().n_nvfs_writes, 4);
	ASSERT_EQ(gpu_stats().n_posix_reads, 0);
	ASSERT_EQ(cu.free_async(buf.va, stream), 0);
	ASSERT_EQ(cu.free_async(next.va, stream), 0);
	/* The pool gives its memory back. */
	ASSERT_EQ(cu.stream_sync(stream), 0);
	ASSERT_EQ(gpu_pins(), 0);
	close(fd);
	stop();
}

TEST_OF(stream_ordered_memory_goes_direct, 60, stream_ordered(false))
TEST_OF(registered_stream_ordered_memory_goes_direct, 60, stream_ordered(true))

/* All of it is put into the stream before any of it need be done. */
static void read_and_free(bool added)
{
	size_t size = 65536;
	off_t file = 4096, mem = 8192;
	struct gpu_buf buf = { .size = MIB };
	uint8_t *want = xmalloc(size), *got = xmalloc(size);
	ssize_t in[4] = { 0, 0, 0, 0 };
	CUfileHandle_t fh;
	void *stream;
	int fd;

	start();
	ASSERT_EQ(cu.stream_create(&stream, 1), 0);
	fd = file_make(EXT4, MIB, 3, O_RDONLY | O_DIRECT);
	fh = handle_of(fd);
	pattern_fill(want, size, 3, 4096);
	for (unsigned int i = 0; i < 4; i++) {
		ASSERT_EQ(cu.alloc_async(&buf.va, buf.size, stream), 0);
		if (added && !i)
			ASSERT_EQ(cf.cuFileBufRegister(pointer(&buf), buf.size,
						       0).err, 0);
		ASSERT_EQ(cf.cuFileReadAsync(fh, pointer(&buf), &size, &file,
					     &mem, &in[i], stream).err, 0);
		ASSERT_EQ(cu.copy_out(got, buf.va + 8192, size, stream), 0);
		ASSERT_EQ(cu.free_async(buf.va, stream), 0);
	}
	ASSERT_EQ(cu.stream_sync(stream), 0);
	for (unsigned int i = 0; i < 4; i++)
		ASSERT_EQ(in[i], size);
	ASSERT_MEMEQ(got, want, size);
	ASSERT_EQ(gpu_stats().n_nvfs_reads, 4);
	if (added)
		ASSERT_EQ(cf.cuFileBufDeregister(pointer(&buf)).err, 0);
	close(fd);
	stop();
	free(want);
	free(got);
}

TEST_OF(stream_reads_into_memory_that_it_frees, 60, read_and_free(false))
TEST_OF(stream_reads_into_registered_memory, 60, read_and_free(true))

/* ------------------------------------------------------ without the module */

TEST_OF(a_gap_between_mappings_without_the_module, 60, with_a_gap(false))
