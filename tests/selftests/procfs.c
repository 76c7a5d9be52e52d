// SPDX-License-Identifier: MIT
/* /proc/nvfs: what is counted is what was done. */
#include "fix.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	61
#define SIZE	(1 * MIB)

static const char * const names[] = {
	"opens", "closes", "ioctl_errors", "regions_registered",
	"regions_ended", "regions_revoked", "register_errors", "queries",
	"read_started", "read_ended", "read_errors", "read_short",
	"read_bytes", "read_direct_ops", "read_direct_bytes",
	"read_bounce_ops", "read_bounce_bytes", "read_refused",
	"write_started", "write_ended", "write_errors", "write_short",
	"write_bytes", "write_direct_ops", "write_direct_bytes",
	"write_bounce_ops", "write_bounce_bytes", "write_refused",
};

#define NAMES (sizeof(names) / sizeof(names[0]))

static long long before[NAMES];

static void remember(void)
{
	size_t i;

	for (i = 0; i < NAMES; i++) {
		before[i] = stat_get(names[i]);
		if (before[i] < 0)
			FAIL("/proc/nvfs has no counter %s", names[i]);
	}
}

/* What has been counted since; @checked marks it as looked at. */
static bool checked[NAMES];

static void expect(const char *name, long long want)
{
	size_t i;

	for (i = 0; i < NAMES; i++) {
		if (strcmp(names[i], name))
			continue;
		checked[i] = true;
		if (stat_get(name) - before[i] != want)
			FAIL("%s grew by %lld, not by %lld", name,
			     stat_get(name) - before[i], want);
		return;
	}
	FAIL("no counter %s", name);
}

static void expect_rest_unchanged(void)
{
	size_t i;

	for (i = 0; i < NAMES; i++)
		if (!checked[i] && stat_get(names[i]) != before[i])
			FAIL("%s grew by %lld, not at all", names[i],
			     stat_get(names[i]) - before[i]);
}

static void stage(struct xfer *x, struct gpu_buf *buf)
{
	memset(x, 0, sizeof(*x));
	x->dev = nv_open();
	x->length = SIZE;
	gpu_alloc(buf, 0, SIZE, false);
	gpu_fill(buf, 0);
	x->region = nv_region(x->dev, buf);
	x->file = file_make(EXT4, SIZE, SEED, O_RDWR);
}

TEST(reads_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;
	int i;

	stage(&x, &buf);
	remember();
	for (i = 0; i < 5; i++)
		ASSERT_EQ(nv_read(&x, &rw), 0);
	x.file_offset = SIZE - BLOCK;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	expect("read_started", 6);
	expect("read_ended", 6);
	expect("read_short", 1);
	expect("read_bytes", 5 * SIZE + BLOCK);
	expect("read_direct_ops", 6);
	expect("read_direct_bytes", 5 * SIZE + BLOCK);
	expect_rest_unchanged();
}

TEST(writes_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;
	int i;

	stage(&x, &buf);
	remember();
	for (i = 0; i < 3; i++)
		ASSERT_EQ(nv_write(&x, &rw), 0);
	expect("write_started", 3);
	expect("write_ended", 3);
	expect("write_bytes", 3 * SIZE);
	expect("write_direct_ops", 3);
	expect("write_direct_bytes", 3 * SIZE);
	expect_rest_unchanged();
}

TEST(refusals_and_errors_are_counted)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;

	stage(&x, &buf);
	remember();
	x.file_offset = 1;
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	ASSERT_ERRNO(nv_write(&x, &rw), EREMOTEIO);
	x.region_offset = SIZE;
	ASSERT_ERRNO(nv_read(&x, &rw), ERANGE);
	expect("read_started", 2);
	expect("read_ended", 2);
	expect("read_refused", 1);
	expect("read_errors", 1);
	expect("write_started", 1);
	expect("write_ended", 1);
	expect("write_refused", 1);
	expect("ioctl_errors", 3);
	expect_rest_unchanged();
}

TEST(regions_are_counted)
{
	struct nvfs_register reg;
	struct nvfs_query query;
	struct gpu_buf buf;
	int file, dev;
	uint32_t id;

	gpu_alloc(&buf, 0, SIZE, true);
	file = file_make(EXT4, SIZE, SEED, O_RDWR);
	remember();
	dev = nv_open();
	id = nv_region(dev, &buf);
	nv_region(dev, &buf);
	ASSERT_EQ(stat_get("regions_live"), 2);
	ASSERT_EQ(stat_get("bytes_pinned_now"), 2 * SIZE);
	ASSERT_ERRNO(nv_register(dev, 0, BLOCK, &reg), EFAULT);
	ASSERT_EQ(nv_query(dev, id, file, &query), 0);
	ASSERT_EQ(nv_unregister(dev, id), 0);
	ASSERT_EQ(stat_get("regions_live"), 1);
	gpu_free(&buf);
	close(dev);
	ASSERT_EQ(stat_get("regions_live"), 0);
	ASSERT_EQ(stat_get("bytes_pinned_now"), 0);
	expect("opens", 1);
	expect("closes", 1);
	expect("regions_registered", 2);
	expect("regions_ended", 2);
	expect("regions_revoked", 1);
	expect("register_errors", 1);
	expect("ioctl_errors", 1);
	expect("queries", 1);
	expect_rest_unchanged();
}

/* started = ended, bytes = direct + bounce: over all that ran before, too. */
TEST(counters_add_up)
{
	static const char * const ways[] = { "read", "write" };
	char key[40], other[40], third[40];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(key, sizeof(key), "%s_started", ways[i]);
		snprintf(other, sizeof(other), "%s_ended", ways[i]);
		ASSERT_EQ(stat_get(key), stat_get(other));
		snprintf(key, sizeof(key), "%s_inflight", ways[i]);
		ASSERT_EQ(stat_get(key), 0);
		snprintf(key, sizeof(key), "%s_bytes", ways[i]);
		snprintf(other, sizeof(other), "%s_direct_bytes", ways[i]);
		snprintf(third, sizeof(third), "%s_bounce_bytes", ways[i]);
		ASSERT_EQ(stat_get(key), stat_get(other) + stat_get(third));
	}
}

TEST(one_bvec_for_each_contiguous_piece)
{
	long long bvecs, kiocbs;
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x;

	stage(&x, &buf);
	bvecs = stat_get("bvecs");
	kiocbs = stat_get("kiocbs");
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_EQ(stat_get("bvecs") - bvecs, 1);
	ASSERT_EQ(stat_get("kiocbs") - kiocbs, 1);
	gpu_free(&buf);
	gpu_alloc(&buf, 0, SIZE, true);
	x.region = nv_region(x.dev, &buf);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_LE(stat_get("bvecs") - bvecs, 1 + 16);
	ASSERT_EQ(stat_get("kiocbs") - kiocbs, 2);
}

TEST(anybody_may_read_the_counters)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		ASSERT_EQ(setgroups(0, NULL), 0);
		ASSERT_EQ(setgid(65534), 0);
		ASSERT_EQ(setuid(65534), 0);
		ASSERT_GE(stat_get("opens"), 0);
		ASSERT_GE(stat_get("read_bytes"), 0);
		ASSERT_ERRNO(open("/proc/nvfs/stats", O_WRONLY), EACCES);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

/* "name value" a line, in both files, and no name twice. */
TEST(files_have_the_documented_form)
{
	static const char * const files[] = { "stats", "io_stats" };
	int i;

	for (i = 0; i < 2; i++) {
		char out[200];

		ASSERT_EQ(shell(out, sizeof(out),
				"awk 'NF != 2 || $1 !~ /^[a-z_]+$/ || "
				"$2 !~ /^[0-9]+$/ || n[$1]++ { print; bad = 1 } "
				"END { exit bad || NR < 5 }' /proc/nvfs/%s",
				files[i]), 0);
	}
}
