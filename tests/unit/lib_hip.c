// SPDX-License-Identifier: MIT
/* AMD's driver: what HIP is asked, and what its answers become. */
#include "lib_hip_model.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

static void *(*const real_open)(const char *name, int flags) = dlopen;

/* Loading: which names are there, and which functions they lack. */

#define NAMES	16

static struct {
	const char *there;	/* the one name that can be loaded */
	bool loaded;		/* the application has done it */
	const char *lacks;
	char tried[NAMES][32];
	unsigned int nr_tried;
	int open;
} library = { .there = "libamdhip64.so.6" };

static void *fake_open(const char *name, int flags)
{
	assert_int_equal(flags & ~RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL);
	assert_true(library.nr_tried < NAMES);
	snprintf(library.tried[library.nr_tried++], 32, "%s%s", name,
		 flags & RTLD_NOLOAD ? " loaded" : "");
	if (!library.there || strcmp(name, library.there) ||
	    (flags & RTLD_NOLOAD && !library.loaded))
		return NULL;
	library.open++;
	return &library;
}

static int fake_close(void *handle)
{
	assert_ptr_equal(handle, &library);
	library.open--;
	return 0;
}

static void *fake_symbol(void *handle, const char *name)
{
	void *address;

	assert_ptr_equal(handle, &library);
	if (library.lacks && !strcmp(name, library.lacks))
		return NULL;
	address = dlsym(RTLD_DEFAULT, name);
	assert_non_null(address);
	return address;
}

#define dlopen fake_open
#define dlsym fake_symbol
#define dlclose fake_close
#include "../../lib/gpu_hip.c"
#undef dlsym

/* As if the process were a new one. */
static void forget_library(void)
{
	memset(&hip, 0, sizeof(hip));
	memset(&library, 0, sizeof(library));
	library.there = "libamdhip64.so.6";
}

static int set_up(void **state)
{
	(void)state;
	forget_library();
	hip_model.major = 6;
	hip_model.nr_gpus = HIP_GPUS;
	hip_model.capture_status = 0;
	hip_model.fails = NULL;
	hip_model.fails_after = 0;
	hip_model.exposed = 0;
	hip_device = 0;
	hip_last_error = 0;
	return gpu_hip.init();
}

static int tear_down(void **state)
{
	(void)state;
	hip_model.fails = NULL;
	gpu_hip.exit();
	hip_model_end();
	return 0;
}

static void fail_in(const char *name, int with)
{
	hip_model.fails = name;
	hip_model.fails_with = with;
}

static void newest_library_is_looked_for_first(void **state)
{
	static const char *const order[] = {
		"libamdhip64.so.7 loaded", "libamdhip64.so.6 loaded",
		"libamdhip64.so.5 loaded", "libamdhip64.so loaded",
		"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5",
		"libamdhip64.so"
	};

	(void)state;
	forget_library();
	library.there = NULL;
	assert_int_equal(gpu_hip.init(), -ENOSYS);
	assert_int_equal(library.nr_tried, 8);
	for (unsigned int i = 0; i < 8; i++)
		assert_string_equal(library.tried[i], order[i]);
	for (unsigned int i = 4; i < 8; i++) {
		forget_library();
		library.there = order[i];
		assert_int_equal(gpu_hip.init(), 0);
		assert_int_equal(library.nr_tried, i + 1);
	}
}

static void library_of_the_application_is_taken_before_a_newer_one(void **state)
{
	(void)state;
	forget_library();
	library.there = "libamdhip64.so.5";
	library.loaded = true;
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(library.nr_tried, 3);
	assert_string_equal(library.tried[2], "libamdhip64.so.5 loaded");
}

static void library_is_loaded_once(void **state)
{
	(void)state;
	assert_int_equal(library.open, 1);
	gpu_hip.exit();
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(library.open, 1);
}

static void library_without_a_needed_function_is_given_back(void **state)
{
	static const char *const needed[] = {
		"hipInit", "hipRuntimeGetVersion", "hipGetDeviceCount",
		"hipDeviceGet", "hipDeviceGetName", "hipDeviceTotalMem",
		"hipDeviceGetPCIBusId", "hipGetDevice", "hipSetDevice",
		"hipPeekAtLastError", "hipGetLastError", "hipMalloc",
		"hipFree", "hipMemcpy", "hipPointerGetAttributes"
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		forget_library();
		library.lacks = needed[i];
		assert_int_equal(gpu_hip.init(), -ENOSYS);
		assert_int_equal(library.open, 0);
		assert_null(hip.handle);
	}
	/* It stays as old as it is. */
	library.nr_tried = 0;
	assert_int_equal(gpu_hip.init(), -ENOSYS);
	assert_int_equal(library.nr_tried, 0);
}

/* PyTorch brings a library of its own, from a folder of its own. */
static void library_is_looked_for_again_when_something_was_loaded(void **state)
{
	(void)state;
	forget_library();
	library.there = NULL;
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(gpu_hip.init(), -ENOSYS);
		assert_int_equal(library.nr_tried, 8);
	}
	assert_non_null(real_open("libanl.so.1", RTLD_NOW));
	library.there = "libamdhip64.so.6";
	library.loaded = true;
	library.nr_tried = 0;
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(library.nr_tried, 2);
}

static void library_older_than_rocm_5_is_given_back(void **state)
{
	(void)state;
	forget_library();
	hip_model.major = 4;
	assert_int_equal(gpu_hip.init(), -ENOSYS);
	assert_int_equal(library.open, 0);
	forget_library();
	fail_in("hipRuntimeGetVersion", 999);
	hip_model.major = 6;
	assert_int_equal(gpu_hip.init(), -ENOSYS);
	assert_int_equal(library.open, 0);
}

/* As ROCm 5.2 without a GPU does, and ROCm 6. */
static void machine_without_a_gpu_is_no_device(void **state)
{
	(void)state;
	fail_in("hipInit", 101);
	assert_int_equal(gpu_hip.init(), -ENODEV);
	fail_in("hipInit", 100);
	assert_int_equal(gpu_hip.init(), -ENODEV);
	hip_model.fails = NULL;
	hip_model.nr_gpus = 0;
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(gpu_hip.count(), -ENODEV);
	assert_int_equal(hip_last_error, 0);
}

/* Devices. */

static void gpus_are_counted_and_described(void **state)
{
	struct nvfs_gpu gpu = { .index = 1 };
	uint32_t bdf;

	(void)state;
	assert_int_equal(gpu_hip.count(), HIP_GPUS);
	assert_int_equal(gpu_hip.describe(0, &gpu), 0);
	assert_string_equal(gpu.name, "AMD Instinct");
	assert_int_equal(nvfs_bdf_parse("0000:83:00.0", &bdf), 0);
	assert_int_equal(gpu.bdf, bdf);
	assert_int_equal(gpu_hip.describe(1, &gpu), 0);
	assert_int_equal(strlen(gpu.name), sizeof(gpu.name) - 1);
	assert_int_equal(gpu.memory, 2ULL << 36);
	assert_int_equal(gpu_hip.describe(2, &gpu), -ENODEV);
	fail_in("hipDeviceGetPCIBusId", 101);
	assert_int_equal(gpu_hip.describe(0, &gpu), 0);
	assert_int_equal(gpu.bdf, NVFS_BDF_NONE);
	fail_in("hipDeviceTotalMem", 999);
	assert_int_equal(gpu_hip.describe(0, &gpu), -EIO);
	fail_in("hipDeviceGetName", 1);
	assert_int_equal(gpu_hip.describe(0, &gpu), -EINVAL);
	assert_int_equal(hip_last_error, 0);
	hip_model.nr_gpus = 100;
	assert_int_equal(gpu_hip.count(), 64);
}

static void each_gpu_has_its_uuid(void **state)
{
	uint8_t uuid[16];

	(void)state;
	assert_int_equal(gpu_hip.uuid(1, uuid), 0);
	assert_int_equal(uuid[0], 'b');
	assert_int_equal(uuid[15], 'b');
	assert_int_equal(gpu_hip.uuid(2, uuid), -ENODEV);
	assert_int_equal(gpu_hip.streams->error(), 101);
	forget_library();
	library.lacks = "hipDeviceGetUuid";
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(gpu_hip.uuid(1, uuid), -ENOSYS);
}

static void errors_of_hip_have_their_own_numbers(void **state)
{
	static const struct {
		int hip, error;
	} table[] = {
		{ 0, 0 }, { 1, -EINVAL }, { 2, -ENOMEM }, { 3, -ENODEV },
		{ 4, -ENODEV }, { 17, -EINVAL }, { 35, -ENODEV },
		{ 100, -ENODEV }, { 101, -ENODEV }, { 201, -EINVAL },
		{ 400, -EINVAL }, { 700, -EIO }, { 709, -EINVAL },
		{ 719, -EIO }, { 801, -ENOSYS }, { 899, -EIO },
		{ 900, -EOPNOTSUPP }, { 908, -EOPNOTSUPP }, { 910, -EIO },
		{ 999, -EIO }, { 1052, -EIO }
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(gpu_hip_errno(table[i].hip), table[i].error);
}

/* The thread's state. */

static void use_all(unsigned int index)
{
	char in[100] = "bytes", out[100] = "";
	struct gpu_mem mem;
	uint64_t addr;

	assert_int_equal(gpu_hip.alloc(index, sizeof(in), &addr), 0);
	assert_int_equal(gpu_hip.copy_in(index, addr, in, sizeof(in)), 0);
	assert_int_equal(gpu_hip.copy_out(index, out, addr, sizeof(out)), 0);
	assert_string_equal(out, "bytes");
	assert_int_equal(gpu_hip.expose(index, addr), 0);
	assert_int_equal(gpu_hip.classify(addr, &mem), 0);
	assert_int_equal(mem.index, index);
	assert_int_equal(gpu_hip.free(index, addr), 0);
}

static void gpu_of_the_thread_stays_what_it_was(void **state)
{
	(void)state;
	for (int own = 0; own < HIP_GPUS; own++) {
		hip_device = own;
		hip_capture_mode = 1;
		for (unsigned int index = 0; index < HIP_GPUS; index++)
			use_all(index);
		assert_int_equal(hip_device, own);
		assert_int_equal(hip_capture_mode, 1);
	}
	assert_int_equal(hip_model.exposed, HIP_GPUS * HIP_GPUS);
	hip_device = 0;
	hip_capture_mode = 0;
}

/* Also when it goes wrong, and when HIP can't say or set it. */
static void gpu_of_the_thread_is_put_back_after_errors(void **state)
{
	char byte = 0;
	uint64_t addr;

	(void)state;
	assert_int_equal(gpu_hip.copy_in(1, 4096, &byte, 1), -EINVAL);
	assert_int_equal(gpu_hip.copy_out(1, &byte, 4096, 1), -EINVAL);
	assert_int_equal(gpu_hip.free(1, 4096), -EINVAL);
	hip_model.wrong = 0;
	assert_int_equal(gpu_hip.alloc(1, 1ULL << 50, &addr), -ENOMEM);
	assert_int_equal(gpu_hip.alloc(1, 0, &addr), -EINVAL);
	assert_int_equal(gpu_hip.alloc(2, 1, &addr), -ENODEV);
	assert_int_equal(gpu_hip.alloc(64, 1, &addr), -ENODEV);
	fail_in("hipGetDevice", 709);
	assert_int_equal(gpu_hip.alloc(1, 1, &addr), -EINVAL);
	fail_in("hipSetDevice", 999);
	assert_int_equal(gpu_hip.alloc(1, 1, &addr), -EIO);
	assert_int_equal(hip_device, 0);
}

static void fail_everywhere(void)
{
	struct gpu_mem mem;
	uint64_t addr;
	char byte;

	gpu_hip.copy_out(1, &byte, 4096, 1);
	assert_int_equal(hip_last_error, 0);
	gpu_hip.alloc(1, 1ULL << 50, &addr);
	assert_int_equal(hip_last_error, 0);
	gpu_hip.alloc(2, 1, &addr);
	assert_int_equal(hip_last_error, 0);
	gpu_hip.classify((uintptr_t)&byte, &mem);
	assert_int_equal(hip_last_error, 0);
	fail_in("hipStreamSynchronize", 999);
	gpu_hip.streams->sync(NULL);
	assert_int_equal(hip_last_error, 0);
	hip_model.fails = NULL;
}

/* What an application asks hipGetLastError() for is its own calls. */
static void our_errors_are_not_the_applications(void **state)
{
	(void)state;
	for (int major = 5; major <= 7; major++) {
		hip_model.major = major;
		fail_everywhere();
	}
	/* And since HIP 7 a success of ours does not take away one of its own. */
	hip_last_error = 719;
	use_all(1);
	assert_int_equal(hip_last_error, 719);
	hip_last_error = 0;
}

static void thread_of_ours_has_its_gpu(void **state)
{
	(void)state;
	assert_int_equal(gpu_hip.enter(1), 0);
	assert_int_equal(hip_device, 1);
	use_all(0);
	assert_int_equal(hip_device, 1);
	gpu_hip.leave();
	assert_int_equal(hip_device, 0);
	assert_int_equal(gpu_hip.enter(2), -ENODEV);
	assert_int_equal(hip_device, 0);
}

/* Older ones than HIP 5.5 can't set that, and some refuse. */
static void memory_that_hip_can_not_expose_is_no_error(void **state)
{
	uint64_t addr;

	(void)state;
	assert_int_equal(gpu_hip.alloc(0, 4096, &addr), 0);
	fail_in("hipPointerSetAttribute", 1);
	assert_int_equal(gpu_hip.expose(0, addr), 0);
	hip_model.fails = NULL;
	assert_int_equal(gpu_hip.free(0, addr), 0);
	forget_library();
	library.lacks = "hipPointerSetAttribute";
	assert_int_equal(gpu_hip.init(), 0);
	assert_int_equal(gpu_hip.expose(0, 4096), 0);
}

/* Memory. */

static void assert_kind(const void *addr, enum gpu_mem_kind kind)
{
	struct gpu_mem mem;

	memset(&mem, 0xff, sizeof(mem));
	assert_int_equal(gpu_hip.classify((uintptr_t)addr, &mem), 0);
	assert_int_equal(mem.kind, kind);
	if (kind != GPU_MEM_DEVICE)
		assert_int_equal(mem.length, 0);
}

static void memory_is_told_apart_by_each_version_of_hip(void **state)
{
	void *pinned, *managed;
	uint64_t gpu;
	int local;

	(void)state;
	for (int major = 5; major <= 7; major++) {
		forget_library();
		hip_model.major = major;
		assert_int_equal(gpu_hip.init(), 0);
		assert_int_equal(gpu_hip.alloc(1, 100, &gpu), 0);
		assert_int_equal(hip_get(HIP_ON_HOST, &pinned, 100), 0);
		assert_int_equal(hip_get(HIP_MANAGED, &managed, 100), 0);
		assert_kind((void *)(uintptr_t)gpu, GPU_MEM_DEVICE);
		assert_kind(pinned, GPU_MEM_HOST);
		assert_kind(managed, GPU_MEM_MANAGED);
		assert_kind(&local, GPU_MEM_HOST);
		assert_kind(NULL, GPU_MEM_HOST);
		assert_int_equal(gpu_hip.free(1, gpu), 0);
		assert_int_equal(hip_put(HIP_ON_HOST, pinned), 0);
		assert_int_equal(hip_put(HIP_MANAGED, managed), 0);
	}
}

static void allocation_of_an_address_is_found(void **state)
{
	struct gpu_mem mem;
	uint64_t addr, first_id;

	(void)state;
	assert_int_equal(gpu_hip.alloc(1, 10000, &addr), 0);
	assert_int_equal(gpu_hip.classify(addr + 9999, &mem), 0);
	assert_int_equal(mem.index, 1);
	assert_int_equal(mem.base, addr);
	assert_int_equal(mem.length, 10000);
	assert_in_range(mem.id, 1, UINT32_MAX);
	first_id = mem.id;
	assert_int_equal(gpu_hip.classify(addr, &mem), 0);
	assert_int_equal(mem.id, first_id);
	/* Another one at the same address has another. */
	hip_find((void *)(uintptr_t)addr, 1)->id++;
	assert_int_equal(gpu_hip.classify(addr, &mem), 0);
	assert_int_equal(mem.id, first_id + 1);
	assert_int_equal(gpu_hip.free(1, addr), 0);
}

static void what_hip_does_not_say_of_memory_is_unknown(void **state)
{
	struct gpu_mem mem;
	uint64_t addr;

	(void)state;
	assert_int_equal(gpu_hip.alloc(0, 10000, &addr), 0);
	fail_in("hipPointerGetAttribute", 801);
	assert_int_equal(gpu_hip.classify(addr, &mem), 0);
	assert_int_equal(mem.length, 10000);
	assert_int_equal(mem.id, 0);
	fail_in("hipMemGetAddressRange", 17);
	assert_int_equal(gpu_hip.classify(addr, &mem), 0);
	assert_int_equal(mem.kind, GPU_MEM_DEVICE);
	assert_int_equal(mem.base, 0);
	assert_int_equal(mem.length, 0);
	assert_int_equal(mem.id, 0);
	assert_int_equal(hip_last_error, 0);
	hip_model.fails = NULL;
	assert_int_equal(gpu_hip.free(0, addr), 0);
}

/* The CPU must not write to what may be the GPU's. */
static void memory_of_a_gpu_that_failed_is_not_the_hosts(void **state)
{
	struct gpu_mem mem;

	(void)state;
	fail_in("hipPointerGetAttributes", 700);
	assert_int_equal(gpu_hip.classify(4096, &mem), -EIO);
	assert_int_equal(hip_last_error, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(newest_library_is_looked_for_first),
		TEST(library_of_the_application_is_taken_before_a_newer_one),
		TEST(library_is_loaded_once),
		TEST(library_without_a_needed_function_is_given_back),
		TEST(library_is_looked_for_again_when_something_was_loaded),
		TEST(library_older_than_rocm_5_is_given_back),
		TEST(machine_without_a_gpu_is_no_device),
		TEST(gpus_are_counted_and_described),
		TEST(each_gpu_has_its_uuid),
		TEST(errors_of_hip_have_their_own_numbers),
		TEST(gpu_of_the_thread_stays_what_it_was),
		TEST(gpu_of_the_thread_is_put_back_after_errors),
		TEST(our_errors_are_not_the_applications),
		TEST(thread_of_ours_has_its_gpu),
		TEST(memory_that_hip_can_not_expose_is_no_error),
		TEST(memory_is_told_apart_by_each_version_of_hip),
		TEST(allocation_of_an_address_is_found),
		TEST(what_hip_does_not_say_of_memory_is_unknown),
		TEST(memory_of_a_gpu_that_failed_is_not_the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
