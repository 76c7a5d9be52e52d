// SPDX-License-Identifier: MIT
/*
 * What the module allocates because a user asks for it is charged to the user's
 * control group, also when a worker allocates it, and stops at its limit.
 */
#include "fix_async.h"
#include "fix_map.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	149
#define GROUPS	"/run/nvfs-test/cgroup"
#define PIECE	(64 * KIB)

/* ----------------------------------------------------------- a control group */

static char group[100];

static void group_put(const char *file, const char *text)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		FAIL("%s of %s: %s", text, path, strerror(errno));
	close(fd);
}

/* A number of a file of the group; of the line that begins with key, if any. */
static long long group_get(const char *file, const char *key)
{
	char path[160], line[200];
	long long value = -1;
	size_t len = strlen(key);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", group, file);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (value < 0 && fgets(line, sizeof(line), f))
		if (!len || (!strncmp(line, key, len) && line[len] == ' '))
			value = atoll(line + len);
	fclose(f);
	return value;
}

/* A new group, which the caller, and whom it forks, belongs to from here on. */
static void group_enter(const char *name)
{
	char out[300];

	if (shell(out, sizeof(out),
		  "mkdir -p " GROUPS " && { mountpoint -q " GROUPS
		  " || mount -t cgroup2 none " GROUPS "; } 2>&1 && "
		  "echo +memory 2>&1 >" GROUPS "/cgroup.subtree_control"))
		SKIP("no cgroup2 with the memory controller: %.200s", out);
	snprintf(group, sizeof(group), GROUPS "/%s", name);
	rmdir(group);
	ASSERT_EQ(mkdir(group, 0755), 0);
	group_put("cgroup.procs", "0");
	if (group_get("memory.stat", "kernel") < 0)
		SKIP("memory.stat does not tell of kernel memory");
}

/* What was charged stays so, and what was opened goes on to charge it. */
static void group_leave(void)
{
	int fd = open(GROUPS "/cgroup.procs", O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, "0", 1), 1);
	close(fd);
}

/* From here on the group may have so many bytes more than it has. */
static void group_limit(uint64_t more)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld",
		 group_get("memory.current", "") + (long long)more);
	group_put("memory.max", text);
}

/* ------------------------------------------------------------ who allocates */

TEST(open_files_and_regions_are_charged)
{
	enum { FILES = 500, REGIONS = 500 };
	struct rlimit limit = { .rlim_cur = 4096, .rlim_max = 4096 };
	long long kernel, percpu;
	struct gpu_buf buf;
	int i, dev = -1;

	group_enter("open_files");
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	gpu_alloc(&buf, 0, PIECE, false);
	nv_open();
	kernel = group_get("memory.stat", "kernel");
	for (i = 0; i < FILES; i++)
		dev = nv_open();
	kernel = group_get("memory.stat", "kernel") - kernel;
	harness_note("%lld bytes for an open file", kernel / FILES);
	percpu = group_get("memory.stat", "percpu");
	for (i = 0; i < REGIONS; i++)
		nv_region(dev, &buf);
	percpu = group_get("memory.stat", "percpu") - percpu;
	harness_note("%lld bytes of each CPU's for a region", percpu / REGIONS);
	/* struct file and the inode are, by the kernel; the rest is ours */
	ASSERT_GE(kernel / FILES, 1200);
	ASSERT_GE(percpu / REGIONS, 8);
}

/* What is counted for each process has a share on each CPU. */
TEST(counters_of_processes_are_charged)
{
	enum { PROCESSES = 100 };
	long long percpu;
	char byte;
	int i, up[2];

	group_enter("processes");
	ASSERT_EQ(pipe2(up, O_CLOEXEC), 0);
	nv_open();
	percpu = group_get("memory.stat", "percpu");
	for (i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			nv_open();
			ASSERT_EQ(write(up[1], "", 1), 1);
			/* the harness ends it */
			for (;;)
				pause();
		}
		ASSERT_EQ(read(up[0], &byte, 1), 1);
	}
	percpu = group_get("memory.stat", "percpu") - percpu;
	harness_note("%lld bytes of each CPU's for a process",
		     percpu / PROCESSES);
	/* half of that is the kernel's own */
	ASSERT_GE(percpu / PROCESSES, 2 * 8 * 8);
}

/* The table of pieces grows with the region: no memory is ENOMEM, no death. */
TEST(register_stops_at_the_groups_limit)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	double end;
	int dev, nr = 0;

	group_enter("register");
	gpu_alloc(&buf, 0, 128 * MIB, true);
	dev = nv_open();
	ASSERT_EQ(nv_register(dev, buf.va, buf.size, &reg), 0);
	ASSERT_GE(reg.nr_pieces, 2000);
	group_limit(2 * MIB);
	while (!nv_register(dev, buf.va, buf.size, &reg) && nr < 1000)
		nr++;
	ASSERT_EQ(errno, ENOMEM);
	harness_note("%d regions in 2 MiB", nr);
	ASSERT_GT(nr, 0);
	ASSERT_LE(nr, 100);
	ASSERT_EQ(nv_nr_regions(dev), nr + 1);
	/* what is given back can be had again, after a grace period */
	ASSERT_EQ(nv_unregister(dev, 1), 0);
	ASSERT_EQ(nv_unregister(dev, 2), 0);
	end = harness_now() + 20;
	while (nv_register(dev, buf.va, buf.size, &reg)) {
		ASSERT_EQ(errno, ENOMEM);
		ASSERT_TRUE(harness_now() < end);
	}
}

/* ---------------------------------------------------------- who else does it */

#define NR	200

struct held {
	struct xfer x;
	struct gpu_buf buf;
	uint32_t batch;
	struct frost frost;
	struct nvfs_event event[NR];
	uint32_t ended;
};

/*
 * Writes that have to go through host memory, to a file system that takes none:
 * each has a worker, and a buffer. The first 32 buffers are everybody's.
 */
static void hold_begin(struct held *h)
{
	memset(h, 0, sizeof(*h));
	h->x.dev = nv_open();
	gpu_alloc(&h->buf, 0, NR * PIECE + BLOCK, false);
	gpu_put_pattern(&h->buf, 1, NR * PIECE, SEED + 1, 0);
	h->x.region = nv_region(h->x.dev, &h->buf);
	h->x.file = file_make(EXT4, NR * PIECE, SEED, O_RDWR);
	h->batch = batch_make(h->x.dev, NR);
	frost_begin(&h->frost, fix_place("ext4"));
}

static void hold_submit(struct held *h)
{
	static struct nvfs_request request[NR];
	struct nvfs_batch_submit submit;
	struct xfer x = h->x;
	int i;

	x.length = PIECE;
	for (i = 0; i < NR; i++) {
		x.file_offset = (uint64_t)i * PIECE;
		x.region_offset = x.file_offset + 1;
		request[i] = nv_request(&x, NVFS_OP_WRITE, NVFS_RW_BOUNCE,
					(uint64_t)i);
	}
	ASSERT_EQ(batch_submit(x.dev, h->batch, request, NR, &submit), 0);
}

/* Ends it; returns how many had no memory. The others are as they must be. */
static int hold_end(struct held *h)
{
	int i, failed = 0;

	frost_end(&h->frost);
	batch_reap_all(h->x.dev, h->batch, h->event + h->ended, NR - h->ended,
		       30);
	for (i = 0; i < NR; i++) {
		const struct nvfs_event *event = &h->event[i];
		uint64_t at = event->user_data * PIECE;

		if (event->error) {
			ASSERT_EQ(event->error, ENOMEM);
			failed++;
			continue;
		}
		ASSERT_EQ(event->done, PIECE);
		ASSERT_EQ(event->route, NVFS_ROUTE_BOUNCE);
		file_check(h->x.file, 0, at, PIECE, SEED + 1);
	}
	return failed;
}

/* Until the group's number has grown by so much, or 20 s have passed. */
static long long wait_for_growth(const char *file, const char *key,
				 long long before, long long growth)
{
	double end = harness_now() + 20;
	long long now;

	do {
		now = group_get(file, key) - before;
	} while (now < growth && harness_now() < end);
	return now;
}

TEST(buffers_that_workers_make_are_charged)
{
	long long before, grown;
	static struct held h;

	group_enter("workers");
	hold_begin(&h);
	before = group_get("memory.stat", "kernel");
	hold_submit(&h);
	grown = wait_for_growth("memory.stat", "kernel", before, 8 * MIB);
	harness_note("%lld KiB are charged for %d requests", grown >> 10, NR);
	ASSERT_EQ(hold_end(&h), 0);
	ASSERT_GE(grown, 8 * MIB);
	/* and given back */
	ASSERT_LE(group_get("memory.stat", "kernel") - before, 2 * MIB);
}

/* Who may have no more memory gets ENOMEM; nobody is killed for it. */
TEST(workers_stop_at_the_groups_limit)
{
	static struct held h;
	int failed;

	group_enter("limit");
	hold_begin(&h);
	group_limit(4 * MIB);
	/* what this process needs meanwhile is not to be the last straw */
	group_leave();
	hold_submit(&h);
	/* while the others are still held up */
	ASSERT_EQ(batch_reap(h.x.dev, h.batch, h.event, 1, NR, 20 * SECOND_NS,
			     &h.ended), 0);
	ASSERT_GT(h.ended, 0);
	ASSERT_GT(group_get("memory.events", "max"), 0);
	failed = hold_end(&h);
	harness_note("%d of %d had no memory", failed, NR);
	ASSERT_GT(failed, 0);
	ASSERT_LT(failed, NR);
	ASSERT_EQ(group_get("memory.events", "oom_kill"), 0);
}
