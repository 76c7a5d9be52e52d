// SPDX-License-Identifier: MIT
/* memory.c over files of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* After those, which it needs. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memory.h"

#define MIB	(1024ULL * 1024)

static char root[] = "/tmp/memory-XXXXXX";

/* All that it opens is below @root. */
FILE *fopen(const char *path, const char *mode)
{
	char real[5000];
	int fd;

	snprintf(real, sizeof(real), "%s%s", root, path);
	fd = open(real, O_RDONLY | O_CLOEXEC);
	assert_string_equal(mode, "re");
	return fd < 0 ? NULL : fdopen(fd, "r");
}

static void set(const char *path, const char *text)
{
	char real[5000];
	int fd;

	snprintf(real, sizeof(real), "%s%s", root, path);
	for (char *at = real + sizeof(root); (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(real, 0700);
		*at = '/';
	}
	fd = open(real, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	if (!mkdtemp(root))
		return -1;
	set("/proc/meminfo", "MemTotal:  1048576 kB\nMemFree: 1 kB\n"
	    "MemAvailable: 524288 kB\nCached: 400000 kB\nShmem: 100000 kB\n"
	    "Mlocked: 37856 kB\n");
	return 0;
}

static int drop_root(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void without_groups_it_is_the_machines(void **state)
{
	(void)state;
	assert_int_equal(memory_most(), 1024 * MIB);
	set("/proc/self/cgroup", "");
	assert_int_equal(memory_most(), 1024 * MIB);
	set("/proc/self/cgroup", "nonsense\n0:\n");
	assert_int_equal(memory_most(), 1024 * MIB);
}

static void the_least_of_all_groups_above_counts(void **state)
{
	(void)state;
	set("/proc/self/cgroup", "0::/jobs/of/mine\n");
	set("/sys/fs/cgroup/jobs/of/mine/memory.max", "max\n");
	set("/sys/fs/cgroup/jobs/memory.max", "536870912\n");
	assert_int_equal(memory_most(), 512 * MIB);
	set("/sys/fs/cgroup/jobs/of/mine/memory.max", "1048576\n");
	assert_int_equal(memory_most(), MIB);
	/* What is more than the machine has. */
	set("/sys/fs/cgroup/jobs/of/mine/memory.max", "max\n");
	set("/sys/fs/cgroup/jobs/memory.max", "10995116277760\n");
	assert_int_equal(memory_most(), 1024 * MIB);
	/* Of a container, whose own is the root. */
	set("/proc/self/cgroup", "0::/\n");
	set("/sys/fs/cgroup/memory.max", "2097152\n");
	assert_int_equal(memory_most(), 2 * MIB);
}

static void groups_of_version_1_count_too(void **state)
{
	(void)state;
	set("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n");
	set("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
	    "9223372036854771712\n");
	assert_int_equal(memory_most(), 1024 * MIB);
	set("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3145728\n");
	assert_int_equal(memory_most(), 3 * MIB);
}

static void what_devices_hold_is_not_left(void **state)
{
	(void)state;
	assert_int_equal(memory_left(), 512 * MIB);
	set("/proc/vmstat", "nr_foll_pin_acquired 5000\n"
	    "nr_foll_pin_released 4744\n");
	assert_int_equal(memory_left(), 511 * MIB);
	set("/proc/vmstat", "nr_foll_pin_acquired 5000000\n"
	    "nr_foll_pin_released 0\n");
	/* Not more than there is of files that may be dropped: 256 MiB. */
	assert_int_equal(memory_left(), 512 * MIB - 262144 * 1024);
	set("/proc/vmstat", "nr_foll_pin_acquired 0\n"
	    "nr_foll_pin_released 10\n");
	assert_int_equal(memory_left(), 512 * MIB);
}

/* Nor with a signal. */
static void a_file_in_memory_is_made_within_limits(void **state)
{
	struct memory_file file = { .fd = -1 };
	struct rlimit limit = { 65536, RLIM_INFINITY };
	char bytes[4];
	int fd;

	(void)state;
	assert_int_equal(memory_file_make(&file, 65536), 0);
	assert_true(memory_file_is(&file));
	assert_int_equal(pread(file.fd, bytes, 4, 65532), 4);
	fd = file.fd;
	memory_file_close(&file);
	assert_false(memory_file_is(&file));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(memory_file_make(&file, 65537), -EFBIG);
	assert_int_equal(memory_file_make(&file, 65536), 0);
	limit.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	/* Its descriptor is another file's now, which stays open. */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup2(fd, file.fd), file.fd);
	close(fd);
	fd = file.fd;
	assert_false(memory_file_is(&file));
	memory_file_close(&file);
	assert_int_equal(close(fd), 0);
}

static void files_in_memory_are_known_from_each_other(void **state)
{
	struct memory_file one = { .fd = -1 }, other = { .fd = -1 };
	int fd;

	(void)state;
	assert_int_equal(memory_file_make(&one, 4096), 0);
	assert_int_equal(memory_file_make(&other, 4096), 0);
	assert_true(memory_file_is(&one));
	assert_true(memory_file_is(&other));
	fd = one.fd;
	assert_int_equal(dup2(other.fd, fd), fd);
	assert_false(memory_file_is(&one));
	memory_file_close(&one);
	assert_int_equal(close(fd), 0);
	/* Also when somebody has read of it. */
	assert_true(memory_file_is(&other));
	assert_int_equal(lseek(other.fd, 0, SEEK_SET), 0);
	assert_true(memory_file_is(&other));
	memory_file_close(&other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, drop_root)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(without_groups_it_is_the_machines),
		TEST(the_least_of_all_groups_above_counts),
		TEST(groups_of_version_1_count_too),
		TEST(what_devices_hold_is_not_left),
		TEST(a_file_in_memory_is_made_within_limits),
		TEST(files_in_memory_are_known_from_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
