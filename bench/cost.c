// SPDX-License-Identifier: MIT
/*
 * Measure what requests cost, in instructions.  Runs in a guest of the lab that
 * was started with icount: there the time stamp counter goes up by one for each
 * instruction, wherever it is executed.
 *
 *	cost DISK CASE...	measure these
 *	cost -n N DISK CASE	do that N times, for a look from outside
 *
 * One line for each case:
 *
 *	figure NAME REQUESTS LEAST MEDIAN HITS ROUNDS
 *	absent NAME ERRNO	the kernel or the module has no such call
 *	failed NAME ERRNO
 *
 * LEAST is what the round that nothing disturbed cost, less what measuring
 * costs; HITS rounds cost exactly that.
 */
#include "cost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define MAX_ROUNDS	2000
#define WARM_UP		50

static uint64_t samples[MAX_ROUNDS];
static uint64_t overhead;	/* of measuring */

static uint64_t now(void)
{
	uint64_t t;

	__asm__ volatile("" ::: "memory");
	t = __rdtsc();
	__asm__ volatile("" ::: "memory");
	return t;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * Let the kernel add up what it has counted by CPU.  It does so for a counter
 * whenever that is above a threshold, and two count pages that are pinned and that
 * are let go: whether both are added up in the same requests costs one of 64 KiB 4
 * instructions more or less.  From here on they are.
 */
static int settle_counters(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0 || write(fd, "1", 1) != 1)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Fill samples[]; 0 or the negative errno of the round that failed */
static int sample(const struct cost_case *c)
{
	unsigned int i;
	uint64_t began;
	int ret = settle_counters();

	for (i = 0; !ret && i < WARM_UP; i++)
		ret = c->run(c->arg);
	for (i = 0; !ret && i < c->rounds; i++) {
		began = now();
		ret = c->run(c->arg);
		samples[i] = now() - began;
	}
	if (!ret)
		qsort(samples, c->rounds, sizeof(*samples), by_value);
	return ret;
}

static bool is_absent(int error)
{
	return error == -ENOTTY || error == -EOPNOTSUPP || error == -ENOSYS;
}

static void complain(const char *name, int error)
{
	printf("%s %s %s\n", is_absent(error) ? "absent" : "failed", name,
	       strerrorname_np(-error));
}

static void measure(const struct cost_case *c)
{
	unsigned int hits = 1;
	int ret = sample(c);

	if (ret) {
		complain(c->name, ret);
		return;
	}
	while (hits < c->rounds && samples[hits] == samples[0])
		hits++;
	if (!overhead)		/* the first case does nothing */
		overhead = samples[0];
	printf("figure %s %u %llu %llu %u %u\n", c->name, c->requests,
	       (unsigned long long)(samples[0] - overhead),
	       (unsigned long long)(samples[c->rounds / 2] - overhead), hits,
	       c->rounds);
}

static const struct cost_case *find_in(const struct cost_case *cases,
				       const char *name)
{
	for (; cases->name; cases++)
		if (!strcmp(cases->name, name))
			return cases;
	return NULL;
}

static const struct cost_case *find(const char *name)
{
	const struct cost_case *c = find_in(cost_host_cases, name);

	c = c ?: find_in(cost_nvfs_cases, name);
	c = c ?: find_in(cost_ring_cases, name);
	if (!c)
		fprintf(stderr, "cost: there is no %s\n", name);
	return c;
}

/* Do one case @n times and measure nothing */
static int repeat(const char *name, int n)
{
	const struct cost_case *c = find(name);
	int ret = 0;

	if (!c)
		return 2;
	while (!ret && n--)
		ret = c->run(c->arg);
	if (ret)
		complain(name, ret);
	return ret ? 1 : 0;
}

static int measure_named(char **names)
{
	const struct cost_case *c;

	for (; *names; names++) {
		c = find(*names);
		if (!c)
			return 2;
		measure(c);
	}
	return 0;
}

/*
 * Let the disk's time of access lie in the future.  Otherwise a read's look at
 * it costs more or less by how it compares with the time of the last write.
 */
static int settle_atime(int fd)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) + 3600 },
				     { .tv_nsec = UTIME_OMIT } };

	return futimens(fd, times);
}

static int setup(const char *disk)
{
	int fd = open(disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	int ret;

	if (fd < 0 || settle_atime(fd)) {
		fprintf(stderr, "cost: %s: %s\n", disk, strerror(errno));
		return 2;
	}
	ret = cost_host_setup(fd);
	if (ret) {
		fprintf(stderr, "cost: host memory: %s\n", strerror(-ret));
		return 2;
	}
	ret = cost_nvfs_setup(fd);
	if (ret)
		printf("# NVFS: %s\n", strerror(-ret));
	ret = cost_ring_setup(fd);
	if (ret)
		printf("# io_uring: %s\n", strerror(-ret));
	return 0;
}

int main(int argc, char **argv)
{
	int opt, n = 0;
	int ret;

	while ((opt = getopt(argc, argv, "n:")) == 'n')
		n = atoi(optarg);
	if (opt != -1 || argc - optind < 2) {
		fprintf(stderr, "usage: cost [-n TIMES] DISK CASE...\n");
		return 2;
	}
	ret = setup(argv[optind]);
	if (ret)
		return ret;
	if (n)
		return repeat(argv[optind + 1], n);
	measure(&cost_host_cases[0]);
	return measure_named(argv + optind + 1);
}
