// SPDX-License-Identifier: MIT
/*
 * Files to and from memory of AMD's GPUs, through host memory: the whole engine
 * over gpu_hip*.c, chosen as on a machine without an NVIDIA GPU.
 */
#include "lib_hip_program.h"
#include "lib_mock.h"

#include "engine.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define FILE_BYTES	(3 * MIB + 4321)
#define ROOM		(4 * MIB)

/* @shadows: where the test finds the GPUs' bytes. */
static struct {
	struct engine_file file;
	unsigned char *bytes;
	uint64_t gpus[HIP_GPUS];
	unsigned char *shadows[HIP_GPUS];
} fix;

/* NVIDIA's is the only provider that the module has. */
static int without_provider(unsigned long request, void *arg)
{
	if (request != NVFS_IOC_REGISTER)
		return model_call(request, arg);
	errno = ENODEV;
	return -1;
}

static void open_all(void)
{
	struct engine_pool pool;
	int fd = mock_file(FILE_BYTES);

	gpu_set_driver(NULL);
	engine_pool_get(&pool);
	pool.slot_bytes = 256 * KIB;
	pool.pinned_bytes = 2 * MIB;
	pool.threads = 4;
	pool.spin_us = 50;
	assert_int_equal(engine_pool_set(&pool), 0);
	assert_int_equal(engine_get(), 0);
	fix.bytes = malloc(FILE_BYTES);
	assert_non_null(fix.bytes);
	assert_int_equal(pread(fd, fix.bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(engine_file_init(&fix.file, fd), 0);
}

static int set_up(void **state)
{
	const struct gpu_driver *driver;

	mock_setup(state);
	mock_handler = without_provider;
	mock_open_errno = *state ? 0 : ENOENT;
	open_all();
	assert_int_equal(engine_gpu(&driver), 0);
	assert_ptr_equal(driver, &gpu_hip);
	for (unsigned int i = 0; i < HIP_GPUS; i++) {
		assert_int_equal(driver->alloc(i, ROOM, &fix.gpus[i]), 0);
		fix.shadows[i] = hip_bytes((void *)(uintptr_t)fix.gpus[i], ROOM,
					   (int)i);
		memset(fix.shadows[i], 0xaa, ROOM);
	}
	return 0;
}

static int tear_down(void **state)
{
	const struct gpu_driver *driver;

	assert_int_equal(engine_gpu(&driver), 0);
	for (unsigned int i = 0; i < HIP_GPUS; i++)
		assert_int_equal(driver->free(i, fix.gpus[i]), 0);
	engine_file_fini(&fix.file);
	close(fix.file.fd);
	engine_put();
	free(fix.bytes);
	hip_model.fails = NULL;
	hip_model_end();
	return mock_teardown(state);
}

static struct engine_req request(unsigned int gpu, uint64_t offset, uint64_t at,
				 uint64_t length, bool write)
{
	return (struct engine_req){
		.file = &fix.file,
		.file_offset = offset,
		.addr = fix.gpus[gpu] + at,
		.gpu = gpu,
		.length = length,
		.write = write,
	};
}

static void read_and_compare(unsigned int gpu, uint64_t offset, uint64_t at,
			     uint64_t length)
{
	struct engine_req req = request(gpu, offset, at, length, false);
	uint64_t done = offset + length > FILE_BYTES ? FILE_BYTES - offset :
						       length;

	engine_run(&req);
	assert_int_equal(req.error, 0);
	assert_int_equal(req.done, done);
	assert_int_equal(req.direct, 0);
	assert_memory_equal(fix.shadows[gpu] + at, fix.bytes + offset, done);
	if (at)
		assert_int_equal(fix.shadows[gpu][at - 1], 0xaa);
	assert_int_equal(fix.shadows[gpu][at + done], 0xaa);
	memset(fix.shadows[gpu] + at, 0xaa, done);
}

static void file_arrives_in_memory_of_each_gpu(void **state)
{
	(void)state;
	for (unsigned int gpu = 0; gpu < HIP_GPUS; gpu++)
		read_and_compare(gpu, 0, 0, FILE_BYTES + 100);
	/* By copies that nobody waits for one by one. */
	assert_true(hip_model.copies > 0);
	assert_int_equal(hip_device, 0);
}

static void any_place_and_length_will_do(void **state)
{
	static const uint64_t lengths[] = {
		1, 511, 4096, 65535, 65537, 256 * KIB + 1, MIB + 17
	};
	static const uint64_t places[] = { 0, 1, 4095, 70001 };

	(void)state;
	for (unsigned int i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (unsigned int k = 0; k < 16; k++)
			read_and_compare(k % HIP_GPUS, places[k / 4],
					 places[k % 4], lengths[i]);
	}
}

static void bytes_of_a_gpu_are_written(void **state)
{
	static const uint64_t length = MIB + 77;
	struct engine_req req = request(1, 5, 333, length, true);
	unsigned char *back = malloc(FILE_BYTES);

	(void)state;
	for (uint64_t i = 0; i < ROOM; i++)
		fix.shadows[1][i] = (unsigned char)(i * 7 + (i >> 12));
	engine_run(&req);
	assert_int_equal(req.error, 0);
	assert_int_equal(req.done, length);
	assert_int_equal(pread(fix.file.fd, back, FILE_BYTES, 0), FILE_BYTES);
	assert_memory_equal(back, fix.bytes, 5);
	assert_memory_equal(back + 5, fix.shadows[1] + 333, length);
	assert_memory_equal(back + 5 + length, fix.bytes + 5 + length,
			    FILE_BYTES - 5 - length);
	free(back);
}

/* Threads can't jump out of a test: they count, and the test looks. */
static _Atomic unsigned int wrong;

static void *read_much(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	unsigned int gpu = number % HIP_GPUS;
	uint64_t at = number / HIP_GPUS * MIB;

	/* Not always the one that the memory is of. */
	hip_device = (int)(number / HIP_GPUS % HIP_GPUS);
	for (unsigned int i = 0; i < 20; i++) {
		struct engine_req req = request(gpu, i * 12345, at, 500000,
						false);

		engine_run(&req);
		if (req.error || req.done != req.length ||
		    memcmp(fix.shadows[gpu] + at, fix.bytes + i * 12345,
			   req.length))
			wrong++;
	}
	if (hip_device != (int)(number / HIP_GPUS % HIP_GPUS) ||
	    hip_last_error)
		wrong++;
	return NULL;
}

static void threads_read_into_both_gpus_at_once(void **state)
{
	pthread_t threads[3 * HIP_GPUS];

	(void)state;
	for (uintptr_t i = 0; i < 3 * HIP_GPUS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_much,
						(void *)i), 0);
	for (unsigned int i = 0; i < 3 * HIP_GPUS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(wrong, 0);
}

static void memory_that_is_not_there_is_an_error_of_its_request(void **state)
{
	struct engine_req req = request(0, 0, ROOM - 100, 200000, false);

	(void)state;
	engine_run(&req);
	assert_int_not_equal(req.error, 0);
	assert_int_equal(hip_last_error, 0);
	memset(fix.shadows[0], 0xaa, ROOM);
	read_and_compare(0, 0, 0, MIB);
}

/* Slower, but the same bytes. */
static void what_hip_refuses_is_done_without(void **state)
{
	(void)state;
	hip_model.fails_with = 2;
	hip_model.fails = "hipHostMalloc";
	read_and_compare(0, 3, 5, 2 * MIB);
	hip_model.fails = "hipStreamCreateWithPriority";
	read_and_compare(1, 3, 5, 2 * MIB);
	hip_model.fails = NULL;
}

int main(void)
{
	static bool module = true;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define WITH_MODULE(name) \
	{ #name " (module)", name, set_up, tear_down, &module }
	const struct CMUnitTest tests[] = {
		TEST(file_arrives_in_memory_of_each_gpu),
		TEST(any_place_and_length_will_do),
		TEST(bytes_of_a_gpu_are_written),
		TEST(threads_read_into_both_gpus_at_once),
		TEST(memory_that_is_not_there_is_an_error_of_its_request),
		TEST(what_hip_refuses_is_done_without),
		WITH_MODULE(file_arrives_in_memory_of_each_gpu),
		WITH_MODULE(any_place_and_length_will_do),
		WITH_MODULE(bytes_of_a_gpu_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
