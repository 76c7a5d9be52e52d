// SPDX-License-Identifier: MIT
/* What NVIDIA's driver is asked for pinned memory, and when a queue is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu.h"
#include "lib_cuda_model.h"

static unsigned int destroyed;

static int succeed(void)
{
	return 0;
}

static int stream_create(void **stream, unsigned int flags, int priority)
{
	(void)flags;
	(void)priority;
	*stream = &destroyed;
	return 0;
}

static int stream_destroy(void *stream)
{
	assert_ptr_equal(stream, &destroyed);
	destroyed++;
	return 0;
}

#define MIB	(1ULL << 20)

/* Memory that is the driver's; what it knows of others'; how it refuses. */
static char drivers[64];
static unsigned int nr_allocated, nr_freed;
static void *registered;
static size_t registered_bytes;
static unsigned int nr_unregistered;
static int refusal, no_release;
static uint64_t moved_by;
static const char *missing;

static int host_alloc(void **host, size_t bytes, unsigned int flags)
{
	(void)bytes;
	assert_int_equal(entered, 1);
	assert_int_equal(flags, 1);
	nr_allocated++;
	*host = drivers;
	return 0;
}

static int host_free(void *host)
{
	assert_ptr_equal(host, drivers);
	nr_freed++;
	return 0;
}

static int host_register(void *host, size_t bytes, unsigned int flags)
{
	assert_int_equal(entered, 1);
	assert_int_equal(flags, 3);
	assert_null(registered);
	if (refusal)
		return refusal;
	memset(host, 1, bytes);
	registered = host;
	registered_bytes = bytes;
	return 0;
}

static int host_unregister(void *host)
{
	assert_true(entered > 0);
	assert_ptr_equal(host, registered);
	/* It is still there. */
	assert_int_equal(*(char *)host, 1);
	registered = NULL;
	nr_unregistered++;
	return no_release;
}

static int host_device_pointer(uint64_t *addr, void *host, unsigned int flags)
{
	assert_int_equal(flags, 0);
	assert_ptr_equal(host, registered);
	*addr = (uintptr_t)host + moved_by;
	return 0;
}

static void *find(const char *name)
{
	if (missing && !strcmp(name, missing))
		return NULL;
	if (!strcmp(name, "cuMemHostAlloc"))
		return (void *)host_alloc;
	if (!strcmp(name, "cuMemFreeHost"))
		return (void *)host_free;
	if (!strcmp(name, "cuMemHostRegister_v2"))
		return (void *)host_register;
	if (!strcmp(name, "cuMemHostUnregister"))
		return (void *)host_unregister;
	if (!strcmp(name, "cuMemHostGetDevicePointer_v2"))
		return (void *)host_device_pointer;
	if (!strcmp(name, "cuStreamCreateWithPriority"))
		return (void *)stream_create;
	if (!strcmp(name, "cuStreamDestroy_v2"))
		return (void *)stream_destroy;
	return (void *)succeed;
}

/* The driver faults when it is given what the application's reset took away. */
static void a_queue_of_a_reset_gpu_is_only_forgotten(void **state)
{
	void *queue;

	(void)state;
	gpu_cuda_bind_copies(find);
	assert_int_equal(gpu_cuda_copies.open(0, &queue), 0);
	gpu_cuda_copies.close(queue);
	assert_int_equal(destroyed, 1);
	assert_int_equal(gpu_cuda_copies.open(0, &queue), 0);
	context++;
	gpu_cuda_copies.close(queue);
	assert_int_equal(destroyed, 1);
	assert_int_equal(entered, 0);
	assert_int_equal(gpu_cuda_copies.context(0), context);
}

static bool is_mapped(void *host)
{
	unsigned char resident;

	return !mincore(host, 1, &resident);
}

/* Is one of the mapping's flags in /proc/self/smaps this? */
static bool has_flag(const void *host, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[512];
	bool here = false, found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)host &&
			       (uintptr_t)host < end;
		else if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag);
	}
	fclose(maps);
	return found;
}

/* Otherwise all of it is the driver's. */
static bool has_huge(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage", F_OK);
}

static void *get(uint64_t bytes)
{
	void *host = NULL;

	gpu_cuda_bind_copies(find);
	assert_int_equal(gpu_cuda_copies.host_get(0, bytes, &host), 0);
	assert_non_null(host);
	assert_int_equal(entered, 0);
	return host;
}

/* Of which the last @rest bytes are none. */
static void assert_ours(uint64_t bytes, uint64_t rest)
{
	unsigned int before = nr_unregistered;
	char *host = get(bytes);

	assert_ptr_equal(host, registered);
	assert_int_equal(registered_bytes, bytes);
	assert_int_equal((uintptr_t)host % (2 * MIB), 0);
	assert_int_equal(nr_allocated, 0);
	assert_true(has_flag(host, " hg"));
	assert_true(has_flag(host + bytes - rest - 1, " hg"));
	assert_int_equal(has_flag(host + bytes - 1, " hg"), !rest);
	/* No child has it. */
	assert_true(has_flag(host, " dc"));
	assert_true(has_flag(host + bytes - 1, " dc"));
	gpu_cuda_copies.host_put(0, host);
	assert_int_equal(nr_unregistered, before + 1);
	assert_int_equal(nr_freed, 0);
	assert_false(is_mapped(host));
	assert_false(is_mapped(host + bytes - 65536));
}

static void pinned_memory_is_huge_pages_of_ours(void **state)
{
	(void)state;
	if (!has_huge())
		skip();
	assert_ours(2 * MIB, 0);
	assert_ours(4 * MIB, 0);
	assert_ours(4 * MIB + 65536, 65536);
}

static void assert_drivers(uint64_t bytes)
{
	unsigned int allocated = nr_allocated, freed = nr_freed;
	void *host = get(bytes);

	assert_ptr_equal(host, drivers);
	assert_null(registered);
	assert_int_equal(nr_allocated, allocated + 1);
	gpu_cuda_copies.host_put(0, host);
	assert_int_equal(nr_freed, freed + 1);
}

static void other_pinned_memory_is_the_drivers(void **state)
{
	static const char *const calls[] = {
		"cuMemHostRegister_v2", "cuMemHostUnregister",
		"cuMemHostGetDevicePointer_v2",
	};

	(void)state;
	/* Less than a huge page. */
	assert_drivers(4096);
	assert_drivers(2 * MIB - 1);
	/* Not to be had for our own. */
	refusal = 801;
	assert_drivers(4 * MIB);
	refusal = 0;
	/* The GPU would know it by another address. */
	moved_by = 4096;
	assert_drivers(4 * MIB);
	moved_by = 0;
	for (unsigned int i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		missing = calls[i];
		assert_drivers(4 * MIB);
	}
	missing = NULL;
}

/* The driver has forgotten ours, and taken its own. */
static void after_a_reset_memory_is_given_back_to_the_kernel(void **state)
{
	unsigned int before = nr_unregistered, freed = nr_freed;
	void *host, *other;

	(void)state;
	if (!has_huge())
		skip();
	host = get(2 * MIB);
	registered = NULL;
	context++;
	gpu_cuda_copies.host_lost(host);
	assert_false(is_mapped(host));
	gpu_cuda_copies.host_lost(drivers);
	assert_int_equal(nr_unregistered, before);
	assert_int_equal(nr_freed, freed);
	/* That was had after the reset, by one who did not know yet. */
	other = get(4 * MIB);
	gpu_cuda_copies.host_lost(other);
	assert_int_equal(nr_unregistered, before + 1);
	assert_false(is_mapped(other));
}

/* @result: of letting go of it; is its number known then? */
static void assert_stays(bool stays, int result, bool known)
{
	uint64_t number = context;
	void *host = get(4 * MIB);

	no_release = result;
	if (!known)
		context = 0;
	gpu_cuda_copies.host_put(0, host);
	assert_int_equal(is_mapped(host), stays);
	assert_true(!stays || !munmap(host, 4 * MIB));
	context = number;
	no_release = 0;
}

/* What the driver still knows must not become other memory. */
static void memory_that_the_driver_keeps_stays(void **state)
{
	static const int forgotten[] = { 0, 201, 709, 713 };

	(void)state;
	if (!has_huge())
		skip();
	for (unsigned int known = 0; known < 2; known++) {
		assert_stays(true, 700, known);
		for (unsigned int i = 0; i < 4; i++)
			assert_stays(false, forgotten[i], known);
	}
}

static unsigned long mapped_pages(void)
{
	FILE *pages = fopen("/proc/self/statm", "r");
	unsigned long nr;

	assert_non_null(pages);
	assert_int_equal(fscanf(pages, "%lu", &nr), 1);
	fclose(pages);
	return nr;
}

static void no_address_space_is_left_behind(void **state)
{
	unsigned long before = mapped_pages();

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		gpu_cuda_copies.host_put(0, get(2 * MIB));
	assert_true(mapped_pages() < before + 50 * MIB / 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pinned_memory_is_huge_pages_of_ours),
		cmocka_unit_test(other_pinned_memory_is_the_drivers),
		cmocka_unit_test(after_a_reset_memory_is_given_back_to_the_kernel),
		cmocka_unit_test(memory_that_the_driver_keeps_stays),
		cmocka_unit_test(no_address_space_is_left_behind),
		cmocka_unit_test(a_queue_of_a_reset_gpu_is_only_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
