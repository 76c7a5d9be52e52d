// SPDX-License-Identifier: MIT
/* Files and memory that requests name: what is taken, who keeps what open. */
#include "lib_mock.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "engine.h"
#include "gpu.h"
#include "libnvfs_async.h"

#define KIB		1024ULL

static struct nvfs *open_handle(unsigned int flags)
{
	struct nvfs *nvfs = NULL;

	mock_model();
	assert_int_equal(nvfs_open(flags, &nvfs), 0);
	return nvfs;
}

/* What the module refuses to register. */
static int refuse_memory(unsigned long request, void *arg)
{
	return request == NVFS_IOC_REGISTER ? model_fail(EDQUOT) :
					      model_call(request, arg);
}

static void null_and_unknown_flags_are_refused(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	int fd = mock_file(4 * KIB);
	struct nvfs_file *file;
	struct nvfs_mem *mem;

	(void)state;
	assert_int_equal(nvfs_file_open(NULL, fd, 0, &file), -EINVAL);
	assert_int_equal(nvfs_file_open(nvfs, fd, 0, NULL), -EINVAL);
	assert_int_equal(nvfs_file_open(nvfs, fd, 2, &file), -EINVAL);
	assert_int_equal(nvfs_file_close(NULL), 0);
	assert_int_equal(nvfs_mem_register(NULL, 0, 65536, 1, 0, &mem),
			 -EINVAL);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 1, 0, NULL),
			 -EINVAL);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 1, 2, &mem),
			 -EINVAL);
	assert_int_equal(nvfs_mem_unregister(NULL), 0);
	assert_int_equal(nvfs_mem_error(NULL), -EINVAL);
	/* None of that opened anything. */
	assert_int_equal(engine_users(), 0);
	close(fd);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static int try(struct nvfs *nvfs, int fd)
{
	struct nvfs_file *file = NULL;
	int ret = nvfs_file_open(nvfs, fd, 0, &file);

	if (!ret)
		assert_int_equal(nvfs_file_close(file), 0);
	if (fd >= 0)
		close(fd);
	return ret;
}

static void what_has_no_offsets_or_only_appends_is_no_file(void **state)
{
	char name[] = "/tmp/nvfs-file-XXXXXX";
	struct nvfs *nvfs = open_handle(0);
	int pair[2];

	(void)state;
	assert_int_equal(try(nvfs, -1), -EBADF);
	assert_int_equal(try(nvfs, open("/", O_PATH | O_CLOEXEC)), -EBADF);
	assert_int_equal(pipe(pair), 0);
	assert_int_equal(try(nvfs, pair[0]), -ESPIPE);
	assert_int_equal(try(nvfs, pair[1]), -ESPIPE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(try(nvfs, pair[0]), -ESPIPE);
	close(pair[1]);
	close(mkstemp(name));
	assert_int_equal(try(nvfs, open(name, O_WRONLY | O_APPEND)), -EINVAL);
	assert_int_equal(try(nvfs, open(name, O_RDWR | O_APPEND)), -EINVAL);
	assert_int_equal(try(nvfs, open(name, O_RDONLY | O_APPEND)), 0);
	assert_int_equal(try(nvfs, open(name, O_RDWR)), 0);
	unlink(name);
	assert_int_equal(nvfs_close(nvfs), 0);
}

/* A memory file has no O_DIRECT. */
static void o_direct_that_is_not_to_be_had_is_an_error(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	int fd = mock_file(4 * KIB);
	struct nvfs_file *file;
	int ret;

	(void)state;
	ret = nvfs_file_open(nvfs, fd, NVFS_FILE_O_DIRECT, &file);
	/* Since Linux 6.6 it has. */
	if (!ret)
		nvfs_file_close(file);
	else
		assert_int_equal(ret, -EINVAL);
	close(fd);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static int open_fds(void)
{
	int nr = 0;

	for (int fd = 0; fd < 256; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

static void the_descriptor_may_be_closed_and_nothing_stays_open(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	int fd = mock_file(4 * KIB), before;
	struct nvfs_file *file;

	(void)state;
	/* The first one opens the device once more. */
	assert_int_equal(nvfs_file_open(nvfs, fd, 0, &file), 0);
	assert_int_equal(nvfs_file_close(file), 0);
	before = open_fds();
	assert_int_equal(nvfs_file_open(nvfs, fd, 0, &file), 0);
	close(fd);
	assert_int_equal(open_fds(), before);
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(open_fds(), before - 1);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void a_handle_with_files_or_memory_stays_open(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	int fd = mock_file(4 * KIB);
	struct nvfs_file *file;
	struct nvfs_mem *mem;

	(void)state;
	assert_int_equal(nvfs_file_open(nvfs, fd, 0, &file), 0);
	assert_int_equal(nvfs_close(nvfs), -EBUSY);
	assert_int_equal(nvfs_mem_register(nvfs, 1, 65536, 65536, 0, &mem), 0);
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(nvfs_close(nvfs), -EBUSY);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(engine_users(), 1);
	assert_int_equal(nvfs_close(nvfs), 0);
	assert_int_equal(engine_users(), 0);
	close(fd);
}

static void memory_is_registered_once_by_its_address(void **state)
{
	struct nvfs *nvfs = open_handle(0), *other = open_handle(0);
	struct nvfs_mem *mem, *second;

	(void)state;
	assert_int_equal(nvfs_mem_register(nvfs, 0, 4096, 0, 0, &mem), -EINVAL);
	assert_int_equal(nvfs_mem_register(nvfs, 0, UINT64_MAX - 5, 100, 0,
					   &mem), -EOVERFLOW);
	assert_int_equal(nvfs_mem_register(nvfs, ENGINE_HOST, 4096, 1, 0,
					   &mem), -ENODEV);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536 + 5, 100, 0, &mem),
			 0);
	assert_int_equal(nvfs_mem_error(mem), 0);
	assert_int_equal(model_regions[0].addr, 65536);
	assert_int_equal(model_regions[0].length, 4096);
	assert_int_equal(nvfs_mem_register(other, 0, 65536 + 5, 7, 0, &second),
			 -EEXIST);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(model_regions[0].region, 0);
	assert_int_equal(nvfs_mem_register(other, 0, 65536 + 5, 7, 0, &second),
			 0);
	assert_int_equal(nvfs_mem_unregister(second), 0);
	assert_int_equal(nvfs_close(other), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

/* Some of GPU 1's, then some that moves, and then the host's. */
static int classify_three(uint64_t addr, struct gpu_mem *mem)
{
	memset(mem, 0, sizeof(*mem));
	if (addr == 4 * 65536)
		return -ENOSYS;
	if (addr >= 3 * 65536)
		return 0;
	mem->kind = addr < 2 * 65536 ? GPU_MEM_DEVICE : GPU_MEM_MANAGED;
	mem->index = 1;
	return 0;
}

static void memory_of_no_or_another_gpu_is_not_registered(void **state)
{
	struct gpu_driver driver = mock_gpu;
	struct nvfs_mem *mem = NULL;
	struct nvfs *nvfs;

	(void)state;
	driver.classify = classify_three;
	gpu_set_driver(&driver);
	nvfs = open_handle(0);
	assert_int_equal(nvfs_mem_register(nvfs, 2, 65536, 4096, 0, &mem),
			 -ENODEV);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096, 0, &mem),
			 -EFAULT);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 3 * 65536, 4096, 0, &mem),
			 -EFAULT);
	assert_null(mem);
	/* None of that has taken the address. */
	assert_int_equal(nvfs_mem_register(nvfs, 1, 65536, 4096, 0, &mem), 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 2 * 65536, 4096, 0, &mem),
			 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	/* What the driver does not tell is the module's to say. */
	assert_int_equal(nvfs_mem_register(nvfs, 0, 4 * 65536, 4096, 0, &mem),
			 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void without_a_gpu_driver_no_memory_is_registered(void **state)
{
	struct nvfs_mem *mem = NULL;
	struct nvfs *nvfs;

	(void)state;
	mock_gpu_missing = true;
	nvfs = open_handle(0);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096,
					   NVFS_MEM_ALLOW_BOUNCE, &mem),
			 -ENOSYS);
	assert_null(mem);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void refused_memory_is_an_error_unless_it_may_bounce(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	struct nvfs_mem *mem = NULL;

	(void)state;
	mock_handler = refuse_memory;
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096, 0, &mem),
			 -EDQUOT);
	assert_null(mem);
	/* It did not stay behind. */
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096,
					   NVFS_MEM_ALLOW_BOUNCE, &mem), 0);
	assert_int_equal(nvfs_mem_error(mem), -EDQUOT);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

static void without_the_module_memory_may_only_bounce(void **state)
{
	struct nvfs_mem *mem = NULL;
	struct nvfs *nvfs;

	(void)state;
	mock_open_errno = ENOENT;
	nvfs = open_handle(NVFS_OPEN_NO_MODULE);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096, 0, &mem),
			 -ENOENT);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096,
					   NVFS_MEM_ALLOW_BOUNCE, &mem), 0);
	assert_int_equal(nvfs_mem_error(mem), -ENOENT);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
}

/* Exit status of a child: how many of its calls were right. */
static int calls_in_child(struct nvfs *nvfs, struct nvfs_file *file,
			  struct nvfs_mem *mem, int fd)
{
	struct nvfs_file *new_file;
	struct nvfs_mem *new_mem;
	struct nvfs_stats stats;
	struct nvfs *own;
	int right = 0;

	right += nvfs_file_open(nvfs, fd, 0, &new_file) == -ECHILD;
	right += nvfs_file_close(file) == -ECHILD;
	right += nvfs_mem_register(nvfs, 0, 4096, 1, 0, &new_mem) == -ECHILD;
	right += nvfs_mem_unregister(mem) == -ECHILD;
	right += nvfs_stats(nvfs, &stats) == -ECHILD;
	right += nvfs_close(nvfs) == -ECHILD;
	/* The parent had files open: also with a handle of its own. */
	if (nvfs_open(0, &own))
		return right;
	right += nvfs_file_open(own, fd, 0, &new_file) == -ECHILD;
	right += nvfs_close(own) == 0;
	return right;
}

/* The handles of a process share one opening of it. */
static void a_module_that_comes_later_is_seen_after_closing(void **state)
{
	struct nvfs *old, *new;
	struct nvfs_mem *mem;
	int fd = mock_file(4 * KIB);
	struct nvfs_file *file;
	uint64_t addr = 0;

	(void)state;
	mock_model();
	mock_open_errno = ENOENT;
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &old), 0);
	assert_int_equal(mock_gpu_alloc(0, 64 * KIB, &addr), 0);
	assert_int_equal(nvfs_file_open(old, fd, 0, &file), 0);
	mock_open_errno = 0;
	assert_int_equal(nvfs_open(0, &new), 0);
	assert_int_equal(nvfs_module_error(new), 0);
	assert_int_equal(nvfs_mem_register(new, 0, addr, 64 * KIB, 0, &mem),
			 -ENOENT);
	assert_int_equal(nvfs_close(new), 0);
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(nvfs_close(old), 0);
	assert_int_equal(nvfs_open(0, &new), 0);
	assert_int_equal(nvfs_mem_register(new, 0, addr, 64 * KIB, 0, &mem),
			 0);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_close(new), 0);
	mock_gpu_free(0, addr);
	close(fd);
}

static void a_forked_child_is_told_so(void **state)
{
	struct nvfs *nvfs = open_handle(0);
	int fd = mock_file(4 * KIB), status;
	struct nvfs_file *file;
	struct nvfs_mem *mem;
	pid_t child;

	(void)state;
	assert_int_equal(nvfs_file_open(nvfs, fd, 0, &file), 0);
	assert_int_equal(nvfs_mem_register(nvfs, 0, 65536, 4096, 0, &mem), 0);
	child = fork();
	if (!child)
		_exit(calls_in_child(nvfs, file, mem, fd));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 8);
	assert_int_equal(nvfs_mem_unregister(mem), 0);
	assert_int_equal(nvfs_file_close(file), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(null_and_unknown_flags_are_refused),
		mock_test(what_has_no_offsets_or_only_appends_is_no_file),
		mock_test(o_direct_that_is_not_to_be_had_is_an_error),
		mock_test(the_descriptor_may_be_closed_and_nothing_stays_open),
		mock_test(a_handle_with_files_or_memory_stays_open),
		mock_test(memory_is_registered_once_by_its_address),
		mock_test(memory_of_no_or_another_gpu_is_not_registered),
		mock_test(without_a_gpu_driver_no_memory_is_registered),
		mock_test(refused_memory_is_an_error_unless_it_may_bounce),
		mock_test(without_the_module_memory_may_only_bounce),
		mock_test(a_module_that_comes_later_is_seen_after_closing),
		mock_test(a_forked_child_is_told_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
