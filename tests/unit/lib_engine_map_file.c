// SPDX-License-Identifier: MIT
/* Writes by a mapping of the file: which file, and what else it is. */
#include "lib_engine_map.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct timespec changed(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_mtim;
}

/* Pages of a file in memory never change its times by being written to. */
static void its_time_is_that_of_its_last_writes(void **state)
{
	struct timespec before, after;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	for (unsigned int i = 0; i < 10; i++) {
		before = changed(f.file.fd);
		usleep(20000);
		reset();
		write_one(&f, 0, i, MIB);
		assert_true(copied);
		assert_in_range(longest_write, 1, 4096);
		after = changed(f.file.fd);
		assert_true(after.tv_sec > before.tv_sec ||
			    after.tv_nsec > before.tv_nsec);
	}
	close_mapped(&f);
}

/* On a real file system: does a write of this go by a mapping when it is dirty? */
static bool is_taken(const char *path, int flags)
{
	struct engine_file file;
	int fd = open(path, flags);
	bool taken;

	assert_true(fd >= 0);
	assert_int_equal(engine_file_init(&file, fd), 0);
	taken = host_map_takes(&file, MIB, 0);
	engine_file_fini(&file);
	close(fd);
	return taken;
}

static void files_that_want_each_write_are_left_to_it(void **state)
{
	static const int flags[] = {
		O_WRONLY, O_RDONLY, O_RDWR | O_APPEND, O_RDWR | O_SYNC,
		O_RDWR | O_DSYNC, O_RDWR | O_DIRECT,
	};
	static const int marks[] = { FS_SYNC_FL, FS_APPEND_FL, FS_IMMUTABLE_FL };
	char path[] = "nvfs-test-XXXXXX";
	char *bytes = calloc(1, MIB);
	int fd = mkstemp(path), old, new;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, MIB), MIB);
	free(bytes);
	host_file_set_cachestat(say_dirty);
	nothing_is_dirty = false;
	host_map_set_calls(&counted);
	assert_true(is_taken(path, O_RDWR));
	for (unsigned int i = 0; i < 6; i++)
		assert_false(is_taken(path, flags[i]));
	for (unsigned int i = 0; i < 3; i++) {
		struct engine_file file;

		/* Not all file systems have it, and not everybody may set it. */
		assert_int_equal(engine_file_init(&file, fd), 0);
		if (ioctl(fd, FS_IOC_GETFLAGS, &old))
			continue;
		new = old | marks[i];
		if (!ioctl(fd, FS_IOC_SETFLAGS, &new)) {
			assert_false(host_map_takes(&file, MIB, 0));
			assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &old), 0);
		}
		engine_file_fini(&file);
	}
	host_map_set_calls(NULL);
	host_file_set_cachestat(NULL);
	close(fd);
	unlink(path);
}

/* What the kernel says of files, and of what is dirty. */
static void a_file_is_mapped_where_it_was_measured(void **state)
{
	char path[] = "nvfs-test-XXXXXX";
	char *bytes = calloc(1, MIB);
	struct engine_file file;
	struct statfs fs;
	int fd = mkstemp(path);
	bool known, taken = false;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &fs), 0);
	known = host_file_is_local(fd) && fs.f_type != F2FS_SUPER_MAGIC;
	assert_int_equal(engine_file_init(&file, fd), 0);
	/* Somebody may have it all written to the drive just now. */
	for (unsigned int i = 0; i < 20 && !taken; i++) {
		assert_int_equal(pwrite(fd, bytes, MIB, 0), MIB);
		taken = host_map_takes(&file, MIB, 0);
	}
	assert_int_equal(taken, known);
	assert_false(host_map_takes(&file, MIB, 1));
	/* Clean; and then not there. */
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(host_map_takes(&file, MIB, 0),
			 known && fs.f_type != BTRFS_SUPER_MAGIC);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	if (known)
		assert_false(host_map_takes(&file, MIB, 0));
	engine_file_fini(&file);
	close(fd);
	unlink(path);
	free(bytes);
	/* Nothing but memory: no drive has to be spared. */
	fd = mock_file(MIB);
	assert_int_equal(engine_file_init(&file, fd), 0);
	assert_false(host_map_takes(&file, MIB, 0));
	engine_file_fini(&file);
	close(fd);
}

static void a_limit_of_file_sizes_is_kept(void **state)
{
	struct rlimit old, new;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	new = old;
	new.rlim_cur = 100 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &new), 0);
	write_one(&f, 0, 0, 3 * MIB);
	assert_int_equal(copies, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	close_mapped(&f);
}

static int slow_write(int fd, uint64_t length, uint64_t offset)
{
	(void)fd;
	(void)offset;
	if (length <= 4096)
		usleep(8000);
	return 0;
}

/* Nor is one that comes later overlooked, however long write(2) takes then. */
static void a_limit_that_is_set_later_is_kept(void **state)
{
	struct rlimit old, new;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	write_one(&f, 0, 0, 3 * MIB);
	assert_true(copies);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	new = old;
	new.rlim_cur = 100 * MIB;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &new), 0);
	file_hook = slow_write;
	reset();
	for (unsigned int i = 0; i < 4; i++) {
		usleep(20000);
		write_one(&f, 0, i, 3 * MIB);
	}
	assert_int_equal(copies, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	usleep(20000);
	write_one(&f, 0, 0, 3 * MIB);
	assert_true(copies);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

/* The number is another file's: bytes go there, as ever. */
static void a_file_in_its_place_is_what_is_written(void **state)
{
	struct fixture f;
	int other;

	(void)state;
	open_mapped(&f);
	write_one(&f, 0, 0, 3 * MIB);
	reset();
	other = mock_file(FILE_BYTES);
	assert_int_equal(pread(other, f.bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(dup2(other, f.file.fd), f.file.fd);
	close(other);
	reset();
	fill(f.gpu, f.room, 6);
	write_one(&f, 100, 0, 3 * MIB);
	assert_int_equal(copies, 0);
	assert_file_is(&f, FILE_BYTES);
	close_mapped(&f);
}

/* Also where nothing was mapped yet, and when the first is there again. */
static void a_window_is_of_its_file(void **state)
{
	unsigned char *bytes = malloc(FILE_BYTES);
	struct engine_req req;
	struct fixture f;
	int own, other;

	(void)state;
	open_mapped(&f);
	fill(f.gpu, f.room, 61);
	/* It is known by its first write, however small. */
	write_one(&f, 0, 0, 1);
	own = dup(f.file.fd);
	other = mock_file(FILE_BYTES);
	assert_int_equal(dup2(other, f.file.fd), f.file.fd);
	for (uint64_t length = 64 * KIB; length <= 2 * MIB; length *= 2) {
		req = request(&f, 0, 0, length, true);
		assert_int_equal(engine_run(&req), 0);
	}
	assert_int_equal(copies, 0);
	assert_int_equal(count_maps(), 0);
	assert_int_equal(dup2(own, f.file.fd), f.file.fd);
	close(own);
	assert_int_equal(pread(other, bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_memory_equal(bytes, f.gpu, 2 * MIB);
	fill(f.gpu, f.room, 62);
	write_one(&f, 0, 0, 3 * MIB);
	assert_true(copied);
	assert_file_is(&f, FILE_BYTES);
	assert_int_equal(pread(other, f.bytes, FILE_BYTES, 0), FILE_BYTES);
	assert_memory_equal(bytes, f.bytes, FILE_BYTES);
	close(other);
	free(bytes);
	close_mapped(&f);
}

#ifndef __SANITIZE_THREAD__
/* Pages of files in memory that this process has mapped, in bytes. */
static uint64_t resident(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long long kib = 0;
	char line[200];

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "RssShmem: %llu", &kib);
	fclose(status);
	return kib * 1024;
}

/*
 * mlockall(2) would have all of the file read.  Not with ThreadSanitizer, whose own
 * memory for that of a window, 4 GiB, would be locked.
 */
static void a_window_is_not_read_by_mlockall(void **state)
{
	struct fixture f;
	int status;
	pid_t pid;

	(void)state;
	open_mapped(&f);
	close_mapped(&f);
	pid = fork();
	if (!pid) {
		uint64_t before;

		/* The sanitizers' own does nothing.  It may be refused. */
		if (syscall(SYS_mlockall, MCL_FUTURE) ||
		    mmap(NULL, 2048 * MIB, PROT_NONE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
			_exit(0);
		open_mapped(&f);
		before = resident();
		assert_int_equal(ftruncate(f.file.fd, 64 * MIB), 0);
		write_one(&f, 0, 0, 3 * MIB);
		_exit(!copied || resident() - before > 32 * MIB);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
}
#endif

/* Where the file is mapped, or 0. */
static uintptr_t map_address(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long long at = 0;
	char line[500];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, "memfd:mock"))
			sscanf(line, "%llx", &at);
	}
	fclose(maps);
	return (uintptr_t)at;
}

static int close_in_child(struct fixture *f, uintptr_t at)
{
	volatile char *own;

	if (count_maps())
		return 1;
	/* What lies there now is its own. */
	own = mmap((void *)at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if ((uintptr_t)own != at)
		return 2;
	engine_file_fini(&f->file);
	*own = 5;
	return *own != 5;
}

/* The parent's locks end with the parent's file. */
static void a_child_does_not_keep_the_file(void **state)
{
	struct fixture f;
	uintptr_t at;
	int status;
	pid_t pid;

	(void)state;
	open_mapped(&f);
	write_one(&f, 0, 0, 3 * MIB);
	assert_int_equal(count_maps(), 1);
	at = map_address();
	pid = fork();
	if (!pid)
		_exit(close_in_child(&f, at));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	close_mapped(&f);
}

static void it_can_be_switched_off(void **state)
{
	struct engine_pool pool;
	struct fixture f;

	(void)state;
	engine_pool_get(&pool);
	pool.no_map = true;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_mapped(&f);
	write_one(&f, 0, 0, 3 * MIB);
	assert_int_equal(copies, 0);
	close_mapped(&f);
	pool.no_map = false;
	assert_int_equal(engine_pool_set(&pool), 0);
}

#define GIB	(1024 * MIB)

static void a_write_may_lie_in_two_windows_and_behind_all(void **state)
{
	unsigned char *now = malloc(2 * MIB);
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_mapped(&f);
	assert_int_equal(ftruncate(f.file.fd, 65 * GIB), 0);
	fill(f.gpu, f.room, 8);
	for (unsigned int i = 0; i < 2; i++) {
		reset();
		req = request(&f, (i ? 64 * GIB : GIB) - MIB + 5, 0,
			      2 * MIB - 10, true);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, req.length);
		assert_int_equal(syscall(SYS_pread64, f.file.fd, now,
					 req.length, req.file_offset),
				 req.length);
		assert_memory_equal(now, f.gpu, req.length);
		assert_true(i ? !copies : copied > MIB);
	}
	assert_int_equal(count_maps(), 2);
	free(now);
	close_mapped(&f);
	assert_int_equal(count_maps(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(its_time_is_that_of_its_last_writes),
		mock_test(files_that_want_each_write_are_left_to_it),
		mock_test(a_file_is_mapped_where_it_was_measured),
		mock_test(a_limit_of_file_sizes_is_kept),
		mock_test(a_limit_that_is_set_later_is_kept),
		mock_test(a_file_in_its_place_is_what_is_written),
		mock_test(a_window_is_of_its_file),
#ifndef __SANITIZE_THREAD__
		mock_test(a_window_is_not_read_by_mlockall),
#endif
		mock_test(a_child_does_not_keep_the_file),
		mock_test(it_can_be_switched_off),
		mock_test(a_write_may_lie_in_two_windows_and_behind_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
