// SPDX-License-Identifier: MIT
/* gpu_cuda_pin.c over a model of the driver, which may copy with the CPU. */
#include "lib_cuda_model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the next calls say; and what they did. */
static int can_read_only, refusal;
static uint64_t moved_by;
static bool by_cpu, no_memory;
static unsigned int nr_registered, nr_unregistered, nr_allocated, nr_streams;
static const char *missing;
static struct {
	char *host, *noted;
	size_t bytes;
} registered;

/* What there is in place of the kernel's part of the driver. */
static const char *version = "580.159.04\n";

FILE *fopen(const char *path, const char *mode)
{
	int ends[2];

	(void)mode;
	if (strcmp(path, "/sys/module/nvidia/version") || !version)
		return NULL;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], version, strlen(version)),
			 strlen(version));
	close(ends[1]);
	return fdopen(ends[0], "r");
}

static int device_get(int *dev, int index)
{
	*dev = index;
	return 0;
}

static int attribute(int *value, int which, int dev)
{
	assert_int_equal(which, 113);
	assert_int_equal(dev, 0);
	*value = can_read_only;
	return 0;
}

static int host_register(void *host, size_t bytes, unsigned int flags)
{
	assert_int_equal(entered, 1);
	/* Portable, mapped, read-only. */
	assert_int_equal(flags, 11);
	if (refusal)
		return refusal;
	assert_null(registered.host);
	registered.host = host;
	registered.bytes = bytes;
	registered.noted = malloc(bytes);
	memcpy(registered.noted, host, bytes);
	nr_registered++;
	return 0;
}

static int host_unregister(void *host)
{
	assert_ptr_equal(host, registered.host);
	free(registered.noted);
	registered.host = NULL;
	nr_unregistered++;
	return 0;
}

static int host_device_pointer(uint64_t *addr, void *host, unsigned int flags)
{
	assert_int_equal(flags, 0);
	*addr = (uintptr_t)host + moved_by;
	return 0;
}

static int mem_alloc(uint64_t *addr, size_t bytes)
{
	if (no_memory)
		return 2;
	*addr = (uintptr_t)calloc(1, bytes);
	nr_allocated++;
	return 0;
}

static int mem_free(uint64_t addr)
{
	free((void *)(uintptr_t)addr);
	nr_allocated--;
	return 0;
}

static int stream_create(void **stream, unsigned int flags)
{
	assert_int_equal(flags, 1);
	*stream = &nr_streams;
	nr_streams++;
	return 0;
}

static int stream_destroy(void *stream)
{
	assert_ptr_equal(stream, &nr_streams);
	nr_streams--;
	return 0;
}

static int stream_sync(void *stream)
{
	assert_ptr_equal(stream, &nr_streams);
	return 0;
}

static int copy_in(uint64_t dst, const void *src, size_t bytes, void *stream)
{
	assert_ptr_equal(stream, &nr_streams);
	assert_ptr_equal(src, registered.host);
	assert_true(bytes <= registered.bytes);
	memcpy((void *)(uintptr_t)dst, by_cpu ? src : registered.noted, bytes);
	return 0;
}

static int copy_out(void *dst, uint64_t src, size_t bytes)
{
	memcpy(dst, (void *)(uintptr_t)src, bytes);
	return 0;
}

static void *find(const char *name)
{
	static const struct {
		const char *name;
		void *call;
	} calls[] = {
		{ "cuDeviceGet", (void *)device_get },
		{ "cuDeviceGetAttribute", (void *)attribute },
		{ "cuMemHostRegister_v2", (void *)host_register },
		{ "cuMemHostUnregister", (void *)host_unregister },
		{ "cuMemHostGetDevicePointer_v2", (void *)host_device_pointer },
		{ "cuMemAlloc_v2", (void *)mem_alloc },
		{ "cuMemFree_v2", (void *)mem_free },
		{ "cuStreamCreate", (void *)stream_create },
		{ "cuStreamDestroy_v2", (void *)stream_destroy },
		{ "cuStreamSynchronize", (void *)stream_sync },
		{ "cuMemcpyHtoDAsync_v2", (void *)copy_in },
		{ "cuMemcpyDtoH_v2", (void *)copy_out },
	};

	if (missing && !strcmp(name, missing))
		return NULL;
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		if (!strcmp(name, calls[i].name))
			return calls[i].call;
	}
	fail_msg("%s", name);
	return NULL;
}

static int pin_now(unsigned int index)
{
	char *at = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	int ret;

	assert_true(at != MAP_FAILED);
	ret = gpu_cuda_pin(index, at, 65536, false);
	assert_int_equal(entered, 0);
	if (!ret) {
		assert_ptr_equal(registered.host, at);
		host_unregister(at);
	}
	assert_null(registered.host);
	assert_int_equal(nr_registered, nr_unregistered);
	assert_int_equal(nr_allocated, 0);
	assert_int_equal(nr_streams, 0);
	munmap(at, 65536);
	return ret;
}

/* Bound once more, so that it is found out once more. */
static int pin(unsigned int index)
{
	gpu_cuda_bind_pin(find);
	return pin_now(index);
}

static void pages_are_registered_to_be_read(void **state)
{
	(void)state;
	can_read_only = 1;
	assert_int_equal(pin(0), 0);
	/* Once to find out. */
	assert_int_equal(nr_registered, 2);
	gpu_cuda_bind_pin(find);
}

static void it_is_found_out_once(void **state)
{
	char *at = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	unsigned int before;

	(void)state;
	can_read_only = 1;
	assert_int_equal(pin(0), 0);
	before = nr_registered;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(gpu_cuda_pin(0, at, 65536, false), 0);
		host_unregister(at);
	}
	assert_int_equal(nr_registered, before + 3);
	munmap(at, 65536);
}

/* It would touch pages that may be gone. */
static void a_driver_that_copies_with_the_cpu_is_not_asked(void **state)
{
	(void)state;
	can_read_only = 1;
	by_cpu = true;
	assert_int_equal(pin(0), -EOPNOTSUPP);
	by_cpu = false;
	assert_int_equal(pin(0), 0);
}

/* Which make pages dirty that they let go of. */
static void older_drivers_are_not_asked(void **state)
{
	static const char *const none[] = {
		"550.90.07\n", "579.9\n", "open\n", "", NULL,
	};

	(void)state;
	can_read_only = 1;
	for (unsigned int i = 0; i < sizeof(none) / sizeof(*none); i++) {
		version = none[i];
		assert_int_equal(pin(0), -EOPNOTSUPP);
	}
	version = "600.1\n";
	assert_int_equal(pin(0), 0);
}

static void memory_that_is_short_is_no_answer(void **state)
{
	(void)state;
	can_read_only = 1;
	refusal = 2;
	assert_int_equal(pin(0), -EIO);
	refusal = 0;
	no_memory = true;
	assert_int_equal(pin(0), -EAGAIN);
	no_memory = false;
	/* Not found out once more. */
	assert_int_equal(pin_now(0), 0);
}

static void what_the_driver_refuses_is_told(void **state)
{
	static const char *const calls[] = {
		"cuMemHostRegister_v2", "cuDeviceGetAttribute",
		"cuMemcpyHtoDAsync_v2",
	};

	(void)state;
	can_read_only = 0;
	assert_int_equal(pin(0), -EOPNOTSUPP);
	can_read_only = 1;
	assert_int_equal(pin(1), -ENODEV);
	refusal = 801;
	assert_int_equal(pin(0), -EOPNOTSUPP);
	refusal = 0;
	moved_by = 4096;
	assert_int_equal(pin(0), -EOPNOTSUPP);
	moved_by = 0;
	assert_int_equal(pin(0), 0);
	/* Now and not for good. */
	refusal = 2;
	assert_int_equal(gpu_cuda_pin(0, &refusal, 4096, false), -EIO);
	refusal = 0;
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		missing = calls[i];
		assert_int_equal(pin(0), -ENOSYS);
	}
	missing = NULL;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_are_registered_to_be_read),
		cmocka_unit_test(it_is_found_out_once),
		cmocka_unit_test(a_driver_that_copies_with_the_cpu_is_not_asked),
		cmocka_unit_test(older_drivers_are_not_asked),
		cmocka_unit_test(memory_that_is_short_is_no_answer),
		cmocka_unit_test(what_the_driver_refuses_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
