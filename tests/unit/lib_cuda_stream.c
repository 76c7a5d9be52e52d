// SPDX-License-Identifier: MIT
/*
 * What NVIDIA's driver is asked for requests in streams, against one with
 * contexts that come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* After those four, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu.h"
#include "lib_cuda_model.h"

#define INVALID_HANDLE	400
#define REGISTERED	712
#define PAGE		4096U
#define ALIAS		0x100000ULL	/* what the GPU adds to addresses */
#define STREAM		((void *)&driver)

/* @id: of the current context; @block: what it knows, since the context @by */
static struct {
	int own;		/* a stream's context */
	int stream_of_none;
	uint64_t id, by;
	uintptr_t block;
	int registers, capturing, register_error;
	uint64_t waited_at;
	uint32_t waited_for;
} driver;

static int succeed(void)
{
	return 0;
}

static int stream_ctx(void *stream, void **ctx)
{
	*ctx = &driver.own;
	return stream == &driver.stream_of_none ? INVALID_HANDLE : 0;
}

static int ctx_id(void *ctx, uint64_t *id)
{
	assert_null(ctx);
	*id = driver.id;
	return 0;
}

static int capturing(void *stream, int *status)
{
	assert_ptr_equal(stream, STREAM);
	*status = driver.capturing;
	return 0;
}

static int host_register(void *host, size_t bytes, unsigned int flags)
{
	assert_false(driver.capturing);
	assert_int_equal((uintptr_t)host % PAGE, 0);
	assert_int_equal(bytes, PAGE);
	assert_int_equal(flags, 3);
	driver.registers++;
	if (driver.register_error)
		return driver.register_error;
	if (driver.block == (uintptr_t)host)
		return REGISTERED;
	driver.block = (uintptr_t)host;
	driver.by = driver.id;
	return 0;
}

static int host_device_pointer(uint64_t *addr, void *host, unsigned int flags)
{
	assert_int_equal(flags, 0);
	*addr = (uintptr_t)host + ALIAS;
	return !driver.block || (uintptr_t)host - driver.block >= PAGE;
}

static int wait_value(void *stream, uint64_t addr, uint32_t value,
		      unsigned int flags)
{
	assert_ptr_equal(stream, STREAM);
	assert_int_equal(flags, 0);
	driver.waited_at = addr;
	driver.waited_for = value;
	return 0;
}

static void *find(const char *name)
{
	static const struct {
		const char *name;
		void *address;
	} known[] = {
		{ "cuStreamGetCtx", (void *)stream_ctx },
		{ "cuCtxGetId", (void *)ctx_id },
		{ "cuStreamIsCapturing", (void *)capturing },
		{ "cuMemHostRegister_v2", (void *)host_register },
		{ "cuMemHostGetDevicePointer_v2", (void *)host_device_pointer },
		{ "cuStreamWaitValue32_v2", (void *)wait_value },
	};

	for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!strcmp(name, known[i].name))
			return known[i].address;
	}
	return (void *)succeed;
}

/* Also for a thread that has none. */
static void a_stream_is_worked_with_in_its_own_context(void **state)
{
	const struct gpu_streams *streams = &gpu_cuda_streams;

	(void)state;
	gpu_cuda_bind_streams(find);
	assert_int_equal(streams->enter(&driver), 0);
	assert_ptr_equal(entered_ctx, &driver.own);
	streams->leave();
	assert_int_equal(entered, 0);
	/* These are names, of the thread's context. */
	for (uintptr_t name = 0; name < 3; name++) {
		assert_int_equal(streams->enter((void *)name), 0);
		assert_null(entered_ctx);
		streams->leave();
	}
	assert_int_equal(streams->enter(&driver.stream_of_none), -EINVAL);
	assert_int_equal(streams->error(), INVALID_HANDLE);
	assert_int_equal(entered, 0);
}

static const struct gpu_streams *open_driver(void)
{
	uintptr_t block = driver.block;

	memset(&driver, 0, sizeof(driver));
	driver.block = block;
	driver.id = 3;
	gpu_cuda_bind_streams(find);
	return &gpu_cuda_streams;
}

static void a_stream_waits_for_a_word_that_it_was_shown(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *a, *b;

	(void)state;
	assert_int_equal(streams->word_get(&a), 0);
	assert_int_equal(streams->word_get(&b), 0);
	assert_true((uintptr_t)b - (uintptr_t)a >= 64 &&
		    (uintptr_t)a - (uintptr_t)b >= 64);
	assert_int_not_equal(streams->wait(STREAM, a, 1), 0);
	assert_int_equal(streams->word_show(STREAM, a), 0);
	assert_int_equal(streams->word_show(STREAM, a), 0);
	assert_int_equal(driver.registers, 1);
	assert_int_equal(streams->wait(STREAM, a, 7), 0);
	assert_int_equal(driver.waited_at, (uintptr_t)a + ALIAS);
	assert_int_equal(driver.waited_for, 7);
	streams->word_put(a);
	streams->word_put(b);
}

/* What the application undoes with all else: cudaDeviceReset(). */
static void reset(void)
{
	driver.block = 0;
	driver.id++;
}

static void a_word_outlives_the_context(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *word;

	(void)state;
	assert_int_equal(streams->word_get(&word), 0);
	assert_int_equal(streams->word_show(STREAM, word), 0);
	reset();
	/* The end of a request that was under way. */
	__atomic_store_n(word, *word + 1, __ATOMIC_RELEASE);
	driver.registers = 0;
	assert_int_equal(streams->word_show(STREAM, word), 0);
	assert_int_equal(driver.registers, 1);
	assert_int_equal(driver.by, driver.id);
	assert_int_equal(streams->wait(STREAM, word, *word), 0);
	/* Of a driver without numbers for contexts, too. */
	driver.id = 0;
	driver.block = 0;
	assert_int_equal(streams->word_show(STREAM, word), 0);
	assert_int_equal(driver.registers, 2);
	streams->word_put(word);
}

/* Pinned by one for all. */
static void contexts_may_take_turns(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *word;

	(void)state;
	assert_int_equal(streams->word_get(&word), 0);
	for (unsigned int i = 0; i < 4; i++) {
		driver.id = 100 + i % 2;
		assert_int_equal(streams->word_show(STREAM, word), 0);
		assert_int_equal(streams->wait(STREAM, word, 1), 0);
	}
	streams->word_put(word);
}

static uintptr_t page_of(const uint32_t *word)
{
	return (uintptr_t)word / PAGE;
}

/* Of one that ends with a context the streams of another would know nothing. */
static void contexts_share_no_page_of_words(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *a, *b, *c, *d;

	(void)state;
	driver.id = 200;
	assert_int_equal(streams->word_get(&a), 0);
	driver.id = 201;
	assert_int_equal(streams->word_get(&b), 0);
	assert_int_equal(streams->word_show(STREAM, b), 0);
	streams->word_put(b);
	driver.id = 200;
	assert_int_equal(streams->word_get(&c), 0);
	assert_int_equal(page_of(c), page_of(a));
	assert_int_not_equal(page_of(c), page_of(b));
	/* What comes in the first one's place has what it is shown. */
	driver.id = 202;
	assert_int_equal(streams->word_show(STREAM, a), 0);
	assert_int_equal(driver.by, 202);
	assert_int_equal(streams->word_get(&d), 0);
	assert_int_equal(page_of(d), page_of(a));
	streams->word_put(a);
	streams->word_put(c);
	streams->word_put(d);
}

/* The call that is refused must not be what ends the capture. */
static void nothing_is_pinned_for_a_captured_stream(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *word;

	(void)state;
	reset();
	assert_int_equal(streams->word_get(&word), 0);
	driver.capturing = 1;
	assert_int_equal(streams->word_show(STREAM, word), -EOPNOTSUPP);
	assert_int_equal(driver.registers, 0);
	driver.capturing = 0;
	driver.register_error = 2;
	assert_int_equal(streams->word_show(STREAM, word), -ENOMEM);
	driver.register_error = 0;
	assert_int_equal(streams->word_show(STREAM, word), 0);
	streams->word_put(word);
}

/* A stream may still look at one that nobody has any more. */
static void a_word_is_never_taken_from_the_gpu(void **state)
{
	const struct gpu_streams *streams = open_driver();
	uint32_t *word, *again;

	(void)state;
	assert_int_equal(streams->word_get(&word), 0);
	assert_int_equal(streams->word_show(STREAM, word), 0);
	__atomic_store_n(word, 5, __ATOMIC_RELEASE);
	streams->word_put(word);
	assert_int_equal(*word, 5);
	assert_int_equal(streams->word_get(&again), 0);
	assert_ptr_equal(again, word);
	assert_int_equal(*again, 5);
	streams->word_put(again);
}

static void a_child_has_no_words(void **state)
{
	const struct gpu_streams *streams = open_driver();
	unsigned char there;
	uint32_t *word;
	void *page;
	int status = 0;
	pid_t child;

	(void)state;
	assert_int_equal(streams->word_get(&word), 0);
	page = (void *)((uintptr_t)word / PAGE * PAGE);
	child = fork();
	if (!child)
		_exit(mincore(page, 1, &there) && errno == ENOMEM ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(mincore(page, 1, &there), 0);
	streams->word_put(word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_is_worked_with_in_its_own_context),
		cmocka_unit_test(a_stream_waits_for_a_word_that_it_was_shown),
		cmocka_unit_test(a_word_outlives_the_context),
		cmocka_unit_test(contexts_may_take_turns),
		cmocka_unit_test(contexts_share_no_page_of_words),
		cmocka_unit_test(nothing_is_pinned_for_a_captured_stream),
		cmocka_unit_test(a_word_is_never_taken_from_the_gpu),
		cmocka_unit_test(a_child_has_no_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
