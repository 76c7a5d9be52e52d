// SPDX-License-Identifier: MIT
/* Files that are open with O_DIRECT: from the drive or from the page cache? */
#include "lib_engine_fix.h"

#include "host.h"

#include <sched.h>
#include <sys/wait.h>

#define PAGES(n)	((n) * 4096ULL)

static int own_fd;
static _Atomic unsigned int own_reads, other_reads, questions;
static _Atomic uint64_t longest;
/* Of which file offsets the page cache is said to have the bytes. */
static uint64_t cached_from, cached_to, hole;
static int64_t refuse_with;

static int note_file(int fd, uint64_t length, uint64_t offset)
{
	uint64_t most = longest;

	/* Nothing is there to be had, from neither. */
	if (offset >= FILE_BYTES)
		return 0;
	while (length > most &&
	       !atomic_compare_exchange_weak(&longest, &most, length))
		;
	atomic_fetch_add(fd == own_fd ? &own_reads : &other_reads, 1);
	return 0;
}

static int64_t say_cached(int fd, uint64_t offset, uint64_t length,
			  enum host_pages which)
{
	int64_t nr = 0;

	assert_int_equal(fd, own_fd);
	assert_int_equal(which, HOST_CACHED);
	assert_int_equal(offset % 4096 + length % 4096, 0);
	atomic_fetch_add(&questions, 1);
	for (uint64_t at = offset; at < offset + length; at += 4096)
		nr += at >= cached_from && at < cached_to && at != hole;
	return refuse_with ? refuse_with : nr;
}

/* Threads in open(), which wait there for each other a while when told to. */
static _Atomic unsigned int opening;
static _Atomic bool meet;

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	atomic_fetch_add(&opening, 1);
	for (unsigned int i = 0; meet && opening < 2 && i < 2000; i++)
		sched_yield();
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void reset(void)
{
	own_reads = 0;
	other_reads = 0;
	questions = 0;
	longest = 0;
}

/* By up to @threads for each request; 0: as many as there are. */
static void open_for(struct fixture *f, bool cacheable, unsigned int threads)
{
	struct engine_pool pool;

	mock_open_errno = ENOENT;
	small_pool(256 * KIB, 2 * MIB, 4);
	engine_pool_get(&pool);
	pool.parallel = threads;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_rest(f);
	own_fd = f->file.fd;
	file_direct = own_fd;
	assert_int_equal(engine_file_init(&f->file, own_fd), 0);
	/* The mock's file is none that this is asked of. */
	assert_false(f->file.cacheable);
	f->file.cacheable = cacheable;
	file_hook = note_file;
	host_file_set_cachestat(say_cached);
	cached_from = 0;
	cached_to = 0;
	hole = UINT64_MAX;
	refuse_with = 0;
	reset();
}

static void open_direct(struct fixture *f, bool cacheable)
{
	open_for(f, cacheable, 0);
}

static void close_direct(struct fixture *f)
{
	host_file_set_cachestat(NULL);
	close_fixture(f);
}

static void assert_read(struct fixture *f, uint64_t offset, uint64_t length)
{
	struct engine_req req = request(f, offset, 0, length, false);

	memset(f->gpu, 0xaa, f->room);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, length);
	assert_memory_equal(f->gpu, f->bytes + offset, length);
}

static void cached_bytes_come_from_the_page_cache(void **state)
{
	struct fixture f;

	(void)state;
	open_direct(&f, true);
	cached_to = FILE_BYTES;
	assert_read(&f, 0, 4096);
	assert_int_equal(questions, 1);
	assert_read(&f, 12345, 300);
	assert_read(&f, 4096, MIB);
	assert_read(&f, 0, 3 * MIB);
	assert_int_equal(own_reads, 0);
	assert_in_range(other_reads, 4, 100);
	/* In the pieces of what is cached; a drive is asked for twice as much. */
	assert_int_equal(longest, PAGES(16));
	cached_to = 0;
	/* That there is no ring is found by trying. */
	assert_read(&f, 0, 3 * MIB);
	assert_read(&f, 0, 3 * MIB);
	assert_int_equal(longest, PAGES(32));
	close_direct(&f);
}

/* It takes as much as its CPU's cache likes, too. */
static void one_thread_reads_cached_bytes_bit_by_bit(void **state)
{
	struct fixture f;

	(void)state;
	open_for(&f, true, 1);
	cached_to = FILE_BYTES;
	assert_read(&f, 0, 3 * MIB);
	assert_int_equal(longest, PAGES(16));
	close_direct(&f);
}

/* All that there is of it. */
static void cached_bytes_before_the_end_do_too(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_direct(&f, true);
	cached_to = FILE_BYTES;
	for (uint64_t length = 8192; length <= 2 * MIB; length *= 4) {
		uint64_t offset = FILE_BYTES / 4096 * 4096 - length / 2;

		req = request(&f, offset, 0, length, false);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, FILE_BYTES - offset);
		assert_memory_equal(f.gpu, f.bytes + offset, req.done);
		assert_int_equal(own_reads, 0);
	}
	/* But the last page. */
	cached_to = FILE_BYTES / 4096 * 4096;
	req = request(&f, FILE_BYTES / 4096 * 4096 - 4096, 0, 8192, false);
	assert_int_equal(engine_run(&req), 0);
	assert_true(own_reads > 0);
	close_direct(&f);
}

/* O_DIRECT asks nothing of a file in memory. */
static void file_in_memory_is_all_cached(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f);
	own_fd = f.file.fd;
	file_direct = own_fd;
	file_is_memory = true;
	assert_int_equal(engine_file_init(&f.file, own_fd), 0);
	assert_int_equal(f.file.align, 1);
	assert_false(f.file.cacheable);
	file_hook = note_file;
	reset();
	assert_read(&f, 0, 3 * MIB);
	assert_in_range(longest, 1, PAGES(16));
	assert_int_equal(other_reads, 0);
	close_direct(&f);
}

/* What is told of a device is the file system that its node is in: tmpfs. */
static void device_is_not_in_memory(void **state)
{
	struct fixture f;
	int node = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	open_fixture(&f);
	assert_true(node >= 0);
	file_direct = node;
	file_is_memory = true;
	assert_int_equal(engine_file_init(&f.file, node), 0);
	assert_int_equal(f.file.align, 4096);
	assert_int_equal(engine_file_init(&f.file, dup(node)), 0);
	assert_int_equal(f.file.align, 1);
	close(node);
	close_direct(&f);
}

static void other_bytes_come_from_the_drive(void **state)
{
	struct fixture f;
	int error;

	(void)state;
	open_direct(&f, true);
	assert_read(&f, 0, 4096);
	assert_read(&f, 0, 3 * MIB);
	/* Read in one go: all but the last page, and all but the middle. */
	cached_to = PAGES(7);
	assert_int_equal(host_file_read(&f.file, (char *)f.gpu, PAGES(8), 0,
					&error), PAGES(8));
	cached_to = PAGES(40);
	assert_int_equal(host_file_read(&f.file, (char *)f.gpu, PAGES(100), 0,
					&error), PAGES(100));
	cached_from = PAGES(20);
	cached_to = FILE_BYTES;
	assert_int_equal(host_file_read(&f.file, (char *)f.gpu, PAGES(100), 0,
					&error), PAGES(100));
	cached_from = 0;
	hole = PAGES(52);
	assert_int_equal(host_file_read(&f.file, (char *)f.gpu, PAGES(100), 0,
					&error), PAGES(100));
	assert_int_equal(other_reads, 0);
	assert_in_range(own_reads, 4, 100);
	close_direct(&f);
}

static void what_can_not_be_asked_comes_from_the_drive(void **state)
{
	struct fixture f;

	(void)state;
	open_direct(&f, true);
	cached_to = FILE_BYTES;
	refuse_with = -EPERM;
	assert_read(&f, 0, 4096);
	assert_int_equal(other_reads, 0);
	close_direct(&f);
	open_direct(&f, false);
	cached_to = FILE_BYTES;
	assert_read(&f, 0, 4096);
	assert_int_equal(other_reads, 0);
	assert_int_equal(questions, 0);
	close_direct(&f);
}

static void writes_are_as_they_were(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_direct(&f, true);
	cached_to = FILE_BYTES;
	req = request(&f, 0, 0, PAGES(4), true);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(questions, 0);
	assert_int_equal(other_reads, 0);
	close_direct(&f);
}

/* A real one, as far as this machine has it. */
static void real_file_is_read_by_what_is_cached(void **state)
{
	static char bytes[MIB] __attribute__((aligned(4096)));
	char path[40];
	struct fixture f;
	int other, fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_DIRECT, 0600);

	(void)state;
	if (fd < 0)
		skip();
	open_fixture(&f);
	close(f.file.fd);
	own_fd = fd;
	assert_int_equal(engine_file_init(&f.file, fd), 0);
	if (!f.file.cacheable) {
		close_fixture(&f);
		skip();
	}
	memcpy(bytes, f.bytes, MIB);
	assert_int_equal(syscall(SYS_pwrite64, fd, bytes, MIB, 0), MIB);
	file_hook = note_file;
	reset();
	assert_read(&f, 0, MIB);
	assert_true(own_reads > 0);
	assert_int_equal(other_reads, 0);
	/* Somebody else reads it without O_DIRECT. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(syscall(SYS_pread64, other, bytes, MIB, 0), MIB);
	close(other);
	reset();
	assert_read(&f, 0, MIB);
	assert_true(other_reads > 0);
	assert_int_equal(own_reads, 0);
	/* What is written behind its back is read. */
	bytes[70000] = 99;
	f.bytes[70000] = 99;
	assert_int_equal(syscall(SYS_pwrite64, fd, bytes, MIB, 0), MIB);
	assert_read(&f, 0, MIB);
	close_fixture(&f);
}

/* The pages of a file that the kernel itself says are cached. */
static long cached_pages(int fd)
{
	uint64_t range[2] = { 0, MIB }, answer[5];

	return syscall(451, fd, range, answer, 0) ? -1 : (long)answer[0];
}

static void buffered_file_is_read_with_o_direct_when_that_is_wanted(void **state)
{
	struct fixture f;
	struct engine_req req;
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600);

	(void)state;
	open_fixture(&f);
	/* Of file systems some have no O_DIRECT, and all have pages. */
	assert_in_range(-engine_file_force_direct(&f.file), 0, EINVAL);
	assert_read(&f, 0, MIB);
	close(f.file.fd);
	engine_file_fini(&f.file);
	assert_int_equal(syscall(SYS_pwrite64, fd, f.bytes, MIB, 0), MIB);
	assert_int_equal(fsync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(engine_file_init(&f.file, fd), 0);
	if (engine_file_force_direct(&f.file) || cached_pages(fd) != 0) {
		close_fixture(&f);
		skip();
	}
	own_fd = f.file.direct;
	file_hook = note_file;
	reset();
	assert_read(&f, 0, MIB);
	assert_read(&f, 5, MIB - 5);
	assert_read(&f, 4096, 4096);
	assert_int_equal(other_reads, 0);
	assert_int_equal(cached_pages(fd), 0);
	/* Writes go as they did, and are read. */
	req = request(&f, 0, 0, 8192, true);
	memset(f.gpu, 0x5a, 8192);
	memset(f.bytes, 0x5a, 8192);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(cached_pages(fd), 2);
	assert_read(&f, 0, MIB);
	/* It does not outlive the caller's. */
	file_hook = NULL;
	close(fd);
	req = request(&f, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), -EBADF);
	close_fixture(&f);
}

static void file_for_writing_only_is_not_read(void **state)
{
	struct engine_req req;
	struct fixture f;
	char path[40];
	int fd;

	(void)state;
	open_fixture(&f);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f.file.fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	close(f.file.fd);
	assert_int_equal(engine_file_init(&f.file, fd), 0);
	assert_int_equal(engine_file_force_direct(&f.file), 0);
	assert_int_equal(f.file.direct, -1);
	req = request(&f, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), -EBADF);
	close_fixture(&f);
}

/* Closing any descriptor of a file ends the process's locks on it. */
static bool is_locked(int fd)
{
	struct flock lock = { .l_type = F_WRLCK };
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(syscall(SYS_fcntl, fd, F_GETLK, &lock) ||
		      lock.l_type == F_UNLCK);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return !status;
}

static void *read_odd(void *arg)
{
	char byte;
	int error;

	assert_int_equal(host_file_read(arg, &byte, 1, 1, &error), 1);
	return NULL;
}

static void threads_that_need_the_page_cache_end_no_locks(void **state)
{
	struct flock lock = { .l_type = F_WRLCK };
	pthread_t threads[4];
	struct fixture f;

	(void)state;
	open_direct(&f, false);
	assert_int_equal(syscall(SYS_fcntl, own_fd, F_SETLK, &lock), 0);
	assert_true(is_locked(own_fd));
	opening = 0;
	meet = true;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_odd,
						&f.file), 0);
	for (unsigned int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	meet = false;
	assert_int_equal(own_reads, 0);
	assert_int_equal(other_reads, 4);
	assert_true(is_locked(own_fd));
	/* The last one is for who closes the file. */
	engine_file_fini(&f.file);
	assert_false(is_locked(own_fd));
	close_direct(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(cached_bytes_come_from_the_page_cache),
		mock_test(one_thread_reads_cached_bytes_bit_by_bit),
		mock_test(cached_bytes_before_the_end_do_too),
		mock_test(file_in_memory_is_all_cached),
		mock_test(device_is_not_in_memory),
		mock_test(other_bytes_come_from_the_drive),
		mock_test(what_can_not_be_asked_comes_from_the_drive),
		mock_test(threads_that_need_the_page_cache_end_no_locks),
		mock_test(writes_are_as_they_were),
		mock_test(real_file_is_read_by_what_is_cached),
		mock_test(buffered_file_is_read_with_o_direct_when_that_is_wanted),
		mock_test(file_for_writing_only_is_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
