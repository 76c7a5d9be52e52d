// SPDX-License-Identifier: MIT
/*
 * libcufile for memory and streams of AMD's GPUs: what its calls take for a
 * CUdeviceptr and a CUstream is HIP's pointer and stream then.
 */
#include "lib_hip_program.h"
#include "lib_mock.h"

#include "cufile.h"

#define KIB		1024
#define MIB		(1024 * KIB)
#define FILE_BYTES	(2 * MIB + 99)
#define ROOM		(3 * MIB)

static struct {
	int fd;
	CUfileHandle_t fh;
	unsigned char *bytes;
	void *gpu;
	unsigned char *shadow;
} fix;

static int set_up(void **state)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };

	mock_setup(state);
	mock_open_errno = ENOENT;
	gpu_set_driver(NULL);
	assert_int_equal(cuFileDriverOpen().err, 0);
	fix.fd = mock_file(FILE_BYTES);
	fix.bytes = malloc(FILE_BYTES);
	assert_int_equal(pread(fix.fd, fix.bytes, FILE_BYTES, 0), FILE_BYTES);
	descr.handle.fd = fix.fd;
	assert_int_equal(cuFileHandleRegister(&fix.fh, &descr).err, 0);
	/* As the application does it, on its second GPU. */
	hip_device = 1;
	assert_int_equal(hipMalloc(&fix.gpu, ROOM), 0);
	hip_device = 0;
	fix.shadow = hip_bytes(fix.gpu, ROOM, 1);
	memset(fix.shadow, 0xaa, ROOM);
	return 0;
}

static int tear_down(void **state)
{
	hip_device = 1;
	assert_int_equal(hipFree(fix.gpu), 0);
	hip_device = 0;
	cuFileHandleDeregister(fix.fh);
	close(fix.fd);
	free(fix.bytes);
	assert_int_equal(cuFileDriverClose().err, 0);
	hip_model_end();
	return mock_teardown(state);
}

static void memory_of_the_gpu_is_read_into_and_written_from(void **state)
{
	unsigned char back[5000];

	(void)state;
	assert_int_equal(cuFileRead(fix.fh, fix.gpu, FILE_BYTES, 0, 7),
			 FILE_BYTES);
	assert_memory_equal(fix.shadow + 7, fix.bytes, FILE_BYTES);
	assert_int_equal(fix.shadow[6], 0xaa);
	assert_int_equal(fix.shadow[7 + FILE_BYTES], 0xaa);
	assert_int_equal(cuFileWrite(fix.fh, fix.gpu, sizeof(back), 1000, 3),
			 sizeof(back));
	assert_int_equal(pread(fix.fd, back, sizeof(back), 1000), sizeof(back));
	assert_memory_equal(back, fix.shadow + 3, sizeof(back));
	assert_int_equal(hip_last_error, 0);
}

static void registered_memory_keeps_to_its_allocation(void **state)
{
	(void)state;
	assert_int_equal(cuFileBufRegister(fix.gpu, ROOM + 1, 0).err,
			 CU_FILE_CUDA_POINTER_RANGE_ERROR);
	assert_int_equal(cuFileBufRegister(fix.gpu, ROOM, 0).err, 0);
	assert_int_equal(cuFileRead(fix.fh, fix.gpu, MIB, 5, 4096), MIB);
	assert_memory_equal(fix.shadow + 4096, fix.bytes + 5, MIB);
	assert_int_equal(cuFileRead(fix.fh, fix.gpu, MIB, 0, ROOM - 1),
			 -CU_FILE_CUDA_POINTER_RANGE_ERROR);
	assert_int_equal(cuFileBufDeregister(fix.gpu).err, 0);
}

static void pinned_and_plain_host_memory_is_the_hosts(void **state)
{
	unsigned char plain[3000];
	void *pinned;

	(void)state;
	assert_int_equal(hipHostMalloc(&pinned, MIB, 0), 0);
	assert_int_equal(cuFileRead(fix.fh, pinned, MIB, 11, 0), MIB);
	assert_memory_equal(pinned, fix.bytes + 11, MIB);
	assert_int_equal(cuFileRead(fix.fh, plain, sizeof(plain), 1, 0),
			 sizeof(plain));
	assert_memory_equal(plain, fix.bytes + 1, sizeof(plain));
	assert_int_equal(hipHostFree(pinned), 0);
}

struct async {
	size_t size;
	off_t file_offset, mem_offset;
	ssize_t done;
};

static void read_in_stream(void *memory, struct async *async, void *stream)
{
	assert_int_equal(cuFileReadAsync(fix.fh, memory, &async->size,
					 &async->file_offset,
					 &async->mem_offset, &async->done,
					 stream).err, 0);
}

/* Of its stream, the call waits: no code of ours runs on such a GPU. */
static void requests_in_streams_are_made(void **state)
{
	struct async async = { MIB, 17, 1, -1 };
	static unsigned char host[MIB];
	int stream;

	(void)state;
	assert_int_equal(cuFileStreamRegister((CUstream)&stream, 0).err, 0);
	read_in_stream(fix.gpu, &async, &stream);
	assert_int_equal(async.done, MIB);
	assert_memory_equal(fix.shadow + 1, fix.bytes + 17, MIB);
	async = (struct async){ sizeof(host), 3, 0, -1 };
	read_in_stream(host, &async, NULL);
	assert_int_equal(async.done, sizeof(host));
	assert_memory_equal(host, fix.bytes + 3, sizeof(host));
	assert_int_equal(cuFileStreamDeregister((CUstream)&stream).err, 0);
}

static void error_in_a_stream_has_hips_number(void **state)
{
	struct async async = { MIB, 0, 0, -1 };
	CUfileError_t ret;

	(void)state;
	hip_model.fails = "hipStreamSynchronize";
	hip_model.fails_with = 719;
	ret = cuFileReadAsync(fix.fh, fix.gpu, &async.size, &async.file_offset,
			      &async.mem_offset, &async.done, NULL);
	hip_model.fails = NULL;
	assert_int_equal(ret.err, CU_FILE_CUDA_DRIVER_ERROR);
	assert_int_equal(ret.cu_err, 719);
	assert_int_equal(hip_last_error, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(memory_of_the_gpu_is_read_into_and_written_from),
		TEST(registered_memory_keeps_to_its_allocation),
		TEST(pinned_and_plain_host_memory_is_the_hosts),
		TEST(requests_in_streams_are_made),
		TEST(error_in_a_stream_has_hips_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
