// SPDX-License-Identifier: MIT
/* AMD's driver: copies that nobody waits for, and the application's streams. */
#include "lib_hip_program.h"

#include <errno.h>

#include "gpu_hip.h"

#define BYTES	5000U

static const char *lacks;

static void *find(const char *name)
{
	return lacks && !strcmp(name, lacks) ? NULL :
					       dlsym(RTLD_DEFAULT, name);
}

static void bind_without(const char *name)
{
	lacks = name;
	gpu_hip_bind_copies(find);
	assert_true(gpu_hip_bind_streams(find, 6));
}

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(gpu_hip.init(), 0);
	bind_without(NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	hip_model.fails = NULL;
	hip_model.fails_after = 0;
	hip_model.capture_status = 0;
	assert_int_equal(hip_last_error, 0);
	gpu_hip.exit();
	hip_model_end();
	return 0;
}

static void fail_in(const char *name, int with)
{
	hip_model.fails = name;
	hip_model.fails_with = with;
}

/* Copies. */

struct bed {
	unsigned int index;
	void *queue;
	unsigned char *host;
	uint64_t gpu;
};

static void make(struct bed *bed, unsigned int index)
{
	void *host;

	bed->index = index;
	assert_int_equal(gpu_hip.copies->open(index, &bed->queue), 0);
	assert_int_equal(gpu_hip.copies->host_get(index, BYTES, &host), 0);
	bed->host = host;
	assert_int_equal(gpu_hip.alloc(index, BYTES, &bed->gpu), 0);
}

static void unmake(struct bed *bed)
{
	assert_int_equal(gpu_hip.free(bed->index, bed->gpu), 0);
	gpu_hip.copies->host_put(bed->index, bed->host);
	gpu_hip.copies->close(bed->queue);
}

static void finish(struct bed *bed, unsigned int mark)
{
	assert_int_equal(gpu_hip.copies->poll(bed->queue, mark), 0);
	assert_int_equal(gpu_hip.copies->poll(bed->queue, mark), 1);
}

static unsigned char *shadow(const struct bed *bed)
{
	return hip_bytes((void *)(uintptr_t)bed->gpu, BYTES, (int)bed->index);
}

/* On each GPU, by a thread whose own is the first. */
static void copies_end_when_their_mark_says_so(void **state)
{
	(void)state;
	for (unsigned int index = 0; index < HIP_GPUS; index++) {
		struct gpu_copy copies[2];
		struct bed bed;

		make(&bed, index);
		copies[0] = (struct gpu_copy){ bed.gpu, bed.host, 1000 };
		copies[1] = (struct gpu_copy){ bed.gpu + 1001,
					       bed.host + 1001, 3000 };
		memset(bed.host, 0x5a, BYTES);
		assert_int_equal(gpu_hip.copies->start(bed.queue, copies, 2,
						       false, 7), 0);
		assert_int_equal(shadow(&bed)[0], 0);
		finish(&bed, 7);
		assert_memory_equal(shadow(&bed), bed.host, 1000);
		assert_int_equal(shadow(&bed)[1000], 0);
		assert_memory_equal(shadow(&bed) + 1001, bed.host, 3000);
		assert_int_equal(shadow(&bed)[4001], 0);
		memset(bed.host, 0, BYTES);
		assert_int_equal(gpu_hip.copies->start(bed.queue, copies, 2,
						       true, 0), 0);
		finish(&bed, 0);
		assert_memory_equal(shadow(&bed), bed.host, BYTES);
		unmake(&bed);
		assert_int_equal(hip_device, 0);
	}
}

static void each_mark_tells_of_its_own_copies(void **state)
{
	struct bed bed;

	(void)state;
	make(&bed, 1);
	memset(bed.host, 0x11, BYTES);
	for (unsigned int mark = 0; mark < GPU_MARKS; mark++) {
		struct gpu_copy copy = { bed.gpu + mark, bed.host, 1 };

		assert_int_equal(gpu_hip.copies->start(bed.queue, &copy, 1,
						       false, mark), 0);
	}
	finish(&bed, 2);
	assert_int_equal(shadow(&bed)[2], 0x11);
	assert_int_equal(shadow(&bed)[3], 0);
	finish(&bed, 7);
	assert_int_equal(shadow(&bed)[7], 0x11);
	for (unsigned int mark = 0; mark < GPU_MARKS; mark++)
		gpu_hip.copies->poll(bed.queue, mark);
	unmake(&bed);
}

static void address_that_is_no_memory_of_the_gpu_is_the_callers_fault(void **state)
{
	struct gpu_copy copies[2];
	struct bed bed;

	(void)state;
	make(&bed, 1);
	memset(bed.host, 0x22, BYTES);
	copies[0] = (struct gpu_copy){ bed.gpu, bed.host, 10 };
	copies[1] = (struct gpu_copy){ bed.gpu + BYTES - 1, bed.host, 2 };
	assert_int_equal(gpu_hip.copies->start(bed.queue, copies, 2, false, 3),
			 -EFAULT);
	/* The first is under way all the same. */
	finish(&bed, 3);
	assert_int_equal(shadow(&bed)[0], 0x22);
	fail_in("hipMemcpyAsync", 17);
	assert_int_equal(gpu_hip.copies->start(bed.queue, copies, 1, false, 3),
			 -EFAULT);
	unmake(&bed);
}

static void what_goes_wrong_with_copies_is_told(void **state)
{
	struct gpu_copy copy;
	struct bed bed;

	(void)state;
	make(&bed, 0);
	copy = (struct gpu_copy){ bed.gpu, bed.host, 10 };
	fail_in("hipEventRecord", 999);
	assert_int_equal(gpu_hip.copies->start(bed.queue, &copy, 1, false, 0),
			 -EIO);
	hip_model.fails = NULL;
	assert_int_equal(gpu_hip.copies->start(bed.queue, &copy, 1, false, 0),
			 0);
	fail_in("hipEventQuery", 700);
	assert_int_equal(gpu_hip.copies->poll(bed.queue, 0), -EIO);
	fail_in("hipSetDevice", 999);
	hip_device = 1;
	assert_int_equal(gpu_hip.copies->poll(bed.queue, 0), -EIO);
	assert_int_equal(gpu_hip.copies->start(bed.queue, &copy, 1, false, 1),
			 -EIO);
	hip_model.fails = NULL;
	hip_device = 0;
	finish(&bed, 0);
	unmake(&bed);
}

/* Of other host memory an event does not say that the CPU sees the bytes. */
static void host_memory_is_coherent_and_for_all_gpus(void **state)
{
	void *host;

	(void)state;
	assert_int_equal(gpu_hip.copies->host_get(1, 4096, &host), 0);
	assert_int_equal(hip_model.host_flags, 0x40000001);
	gpu_hip.copies->host_put(1, host);
	assert_int_equal(gpu_hip.copies->host_get(1, 1ULL << 50, &host),
			 -ENOMEM);
	assert_int_equal(gpu_hip.copies->host_get(2, 4096, &host), -ENODEV);
}

static void queue_is_of_highest_priority_and_waits_for_no_other(void **state)
{
	struct bed bed;

	(void)state;
	make(&bed, 1);
	unmake(&bed);
	assert_int_equal(hip_model.last_flags, 1);
	assert_int_equal(hip_model.last_priority, -1);
}

static void queue_that_can_not_be_made_leaves_nothing(void **state)
{
	void *queue = &queue;

	(void)state;
	assert_int_equal(gpu_hip.copies->open(2, &queue), -ENODEV);
	fail_in("hipStreamCreateWithPriority", 2);
	assert_int_equal(gpu_hip.copies->open(1, &queue), -ENOMEM);
	for (unsigned int i = 0; i < GPU_MARKS; i++) {
		fail_in("hipEventCreateWithFlags", 2);
		hip_model.fails_after = i;
		assert_int_equal(gpu_hip.copies->open(1, &queue), -ENOMEM);
		assert_int_equal(hip_model.handles, 0);
	}
	assert_ptr_equal(queue, &queue);
}

static void library_without_such_copies_has_none(void **state)
{
	static const char *const needed[] = {
		"hipHostMalloc", "hipHostFree",
		"hipDeviceGetStreamPriorityRange",
		"hipStreamCreateWithPriority", "hipStreamDestroy",
		"hipEventCreateWithFlags", "hipEventDestroy", "hipEventRecord",
		"hipEventQuery", "hipMemcpyAsync"
	};
	void *out;

	(void)state;
	for (unsigned int i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		bind_without(needed[i]);
		assert_int_equal(gpu_hip.copies->open(0, &out), -ENOSYS);
		assert_int_equal(gpu_hip.copies->host_get(0, 1, &out),
				 -ENOSYS);
	}
}

/* Streams. */

static void assert_key(uintptr_t stream, uint64_t first, uint64_t second)
{
	uint64_t key[2] = { ~0ULL, ~0ULL };

	assert_int_equal(gpu_hip.streams->key((void *)stream, key), 0);
	assert_int_equal(key[0], first);
	assert_int_equal(key[1], second);
}

static void *key_in_a_thread(void *out)
{
	assert_int_equal(gpu_hip.streams->key((void *)2, out), 0);
	return NULL;
}

/* 0 and 1 are the default stream of a GPU, 2 that of a thread on it. */
static void names_of_streams_mean_another_one_for_each_gpu(void **state)
{
	uint64_t mine[2], others[2];
	pthread_t thread;

	(void)state;
	assert_key(0, 1, 0);
	assert_key(1, 1, 0);
	assert_key(0x1000, 0, 0x1000);
	hip_device = 1;
	assert_key(0, 2, 0);
	assert_key(1, 2, 0);
	assert_key(0x1000, 0, 0x1000);
	hip_device = 0;
	assert_int_equal(gpu_hip.streams->key((void *)2, mine), 0);
	assert_key(2, mine[0], mine[1]);
	assert_int_equal(pthread_create(&thread, NULL, key_in_a_thread,
					others), 0);
	pthread_join(thread, NULL);
	assert_int_equal(others[0], mine[0]);
	assert_int_not_equal(others[1], mine[1]);
	fail_in("hipGetDevice", 100);
	assert_int_equal(gpu_hip.streams->key(NULL, mine), -ENODEV);
	assert_int_equal(gpu_hip.streams->error(), 100);
}

static void count(void *arg)
{
	++*(int *)arg;
}

static void stream_calls_and_is_waited_for(void **state)
{
	int called = 0;

	(void)state;
	assert_int_equal(gpu_hip.streams->call(NULL, count, &called), 0);
	assert_int_equal(called, 1);
	assert_int_equal(gpu_hip.streams->sync(NULL), 0);
	fail_in("hipLaunchHostFunc", 400);
	assert_int_equal(gpu_hip.streams->call(NULL, count, &called), -EINVAL);
	assert_int_equal(gpu_hip.streams->error(), 400);
	fail_in("hipStreamSynchronize", 700);
	assert_int_equal(gpu_hip.streams->sync(NULL), -EIO);
	assert_int_equal(gpu_hip.streams->error(), 700);
	assert_int_equal(called, 1);
}

static void captured_stream_is_not_touched(void **state)
{
	int called = 0;

	(void)state;
	hip_model.capture_status = 1;
	assert_int_equal(gpu_hip.streams->call(NULL, count, &called),
			 -EOPNOTSUPP);
	assert_int_equal(gpu_hip.streams->sync(NULL), -EOPNOTSUPP);
	hip_model.capture_status = 0;
	/* The default stream, while another is captured. */
	fail_in("hipStreamIsCapturing", 906);
	assert_int_equal(gpu_hip.streams->call(NULL, count, &called),
			 -EOPNOTSUPP);
	assert_int_equal(gpu_hip.streams->error(), 906);
	assert_int_equal(called, 0);
}

/* ROCm 5.2 has no host functions. */
static void what_the_library_lacks_for_streams_is_told(void **state)
{
	uint64_t key[2];

	(void)state;
	bind_without("hipLaunchHostFunc");
	assert_int_equal(gpu_hip.streams->call(NULL, count, NULL), -ENOSYS);
	assert_int_equal(gpu_hip.streams->error(), 801);
	bind_without("hipStreamSynchronize");
	assert_int_equal(gpu_hip.streams->sync(NULL), -ENOSYS);
	bind_without("hipGetDevice");
	assert_int_equal(gpu_hip.streams->key(NULL, key), -ENOSYS);
	bind_without("hipStreamIsCapturing");
	assert_int_equal(gpu_hip.streams->sync(NULL), 0);
}

static void hip_has_no_words_and_no_code_of_ours(void **state)
{
	uint32_t value = 0, *word = &value;

	(void)state;
	assert_int_equal(gpu_hip.streams->word_get(&word), -ENOSYS);
	assert_int_equal(gpu_hip.streams->word_show(NULL, NULL), -ENOSYS);
	assert_int_equal(gpu_hip.streams->enter(NULL), 0);
	gpu_hip.streams->leave();
	assert_ptr_equal(word, &value);
	assert_int_equal(gpu_hip.streams->wait(NULL, word, 1), -ENOSYS);
	assert_null(gpu_hip.streams->open);
	assert_null(gpu_hip.streams->carry);
	assert_null(gpu_hip.pumps);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(copies_end_when_their_mark_says_so),
		TEST(each_mark_tells_of_its_own_copies),
		TEST(address_that_is_no_memory_of_the_gpu_is_the_callers_fault),
		TEST(what_goes_wrong_with_copies_is_told),
		TEST(host_memory_is_coherent_and_for_all_gpus),
		TEST(queue_is_of_highest_priority_and_waits_for_no_other),
		TEST(queue_that_can_not_be_made_leaves_nothing),
		TEST(library_without_such_copies_has_none),
		TEST(names_of_streams_mean_another_one_for_each_gpu),
		TEST(stream_calls_and_is_waited_for),
		TEST(captured_stream_is_not_touched),
		TEST(what_the_library_lacks_for_streams_is_told),
		TEST(hip_has_no_words_and_no_code_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
