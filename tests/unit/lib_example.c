// SPDX-License-Identifier: MIT
/* The examples of libnvfs(3) compile as they are, and do what they say. */
#include "lib_fast.h"

#include "libnvfs_example.h"

#define SIZE	4096U

/* So that the engine finds the allocation. */
static int alloc(unsigned int index, uint64_t length, uint64_t *addr)
{
	int ret = mock_gpu_alloc(index, length, addr);

	fast_mem = (struct gpu_mem){ .kind = GPU_MEM_DEVICE, .base = *addr,
				     .length = length, .id = 1 };
	return ret;
}

static struct gpu_driver driver;

static int setup(void **state)
{
	mock_setup(state);
	mock_model();
	driver = fast_gpu;
	driver.alloc = alloc;
	gpu_set_driver(&driver);
	return 0;
}

/* Runs it on a file of all the blocks; @text is what it printed. */
static int run(char *text, size_t room)
{
	int fd = mock_file(BLOCKS * SIZE), ret, old = dup(STDERR_FILENO);
	int said = memfd_create("stderr", MFD_CLOEXEC);
	ssize_t n;

	assert_true(dup2(said, STDERR_FILENO) >= 0);
	ret = read_blocks(fd, SIZE);
	assert_true(dup2(old, STDERR_FILENO) >= 0);
	n = pread(said, text, room - 1, 0);
	assert_true(n >= 0);
	text[n] = '\0';
	close(old);
	close(said);
	close(fd);
	return ret;
}

static void blocks_are_read_at_the_same_time(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(run(text, sizeof(text)), BLOCKS);
	assert_string_equal(text, "");
	assert_int_equal(model_requests, BLOCKS);
	assert_int_equal(model_submits, 1);
}

static void what_can_not_go_direct_is_told_with_the_reason(void **state)
{
	char text[4096], *line = text;
	int lines = 0;

	(void)state;
	model_reason = NVFS_REASON_NOT_PCI;
	assert_int_equal(run(text, sizeof(text)), BLOCKS);
	for (; (line = strstr(line, "(the drive is no PCI device)\n")); line++)
		lines++;
	assert_int_equal(lines, BLOCKS);
}

static void without_the_module_nothing_is_left_behind(void **state)
{
	char text[64];

	(void)state;
	mock_open_errno = ENOENT;
	assert_true(run(text, sizeof(text)) < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			blocks_are_read_at_the_same_time, setup,
			mock_teardown),
		cmocka_unit_test_setup_teardown(
			what_can_not_go_direct_is_told_with_the_reason, setup,
			mock_teardown),
		cmocka_unit_test_setup_teardown(
			without_the_module_nothing_is_left_behind, setup,
			mock_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
