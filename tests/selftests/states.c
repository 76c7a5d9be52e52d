// SPDX-License-Identifier: MIT
/*
 * The states of requests and blocks on a running module: whatever requests do,
 * and however they end, no transition is refused. (The tables themselves are
 * tested without a kernel: tests/unit/kernel.)
 */
#include "fix_async.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEED	41
#define SIZE	(1 * MIB)
#define PIECE	(8 * KIB)
#define NR	128

struct bench {
	struct gpu_buf buf;
	struct xfer x;
	uint32_t batch;
};

static void set_up(struct bench *b, enum target target)
{
	memset(b, 0, sizeof(*b));
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, SIZE, true);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, SIZE, SEED, O_RDWR);
	b->x.file_offset = target_base(target);
	b->batch = batch_make(b->x.dev, NR);
}

/* All lines of io_stats that tell of refused transitions. */
static long long refused(void)
{
	char out[2000];

	ASSERT_EQ(shell(out, sizeof(out), "grep -c '_refused [A-Z]' "
			"/proc/nvfs/io_stats || true"), 0);
	return atoll(out);
}

static void expect_none_refused(void)
{
	char out[800] = "";

	if (!refused())
		return;
	shell(out, sizeof(out), "grep '_refused [A-Z]' /proc/nvfs/io_stats");
	FAIL("transitions were refused: %s", out);
}

static void in_every_shape(enum target target)
{
	struct nvfs_rw rw;
	struct bench b;
	uint64_t i;

	set_up(&b, target);
	for (i = 0; i < 60; i++) {
		b.x.region_offset = i * 517;
		b.x.file_offset = target_base(target) + i * (i & 1 ? 517 : 512);
		b.x.length = 1 + i * i * 211;
		ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
		b.x.file_offset = target_base(target) + i * 512;
		b.x.length = (1 + i * i) / 2 * 512;
		ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), 0);
	}
	expect_none_refused();
}

TEST_OF(requests_of_every_shape_ext4, 60, in_every_shape(EXT4))
TEST_OF(requests_of_every_shape_disk, 60, in_every_shape(DISK))

/* Refused, short, empty, past the end, and with an error of the file system. */
TEST(requests_that_end_otherwise)
{
	struct nvfs_rw rw;
	struct bench b;
	char path[100];

	set_up(&b, EXT4);
	b.x.file_offset = 1;
	b.x.length = BLOCK;
	ASSERT_ERRNO(nv_rw_as(&b.x, false, 0, &rw), EREMOTEIO);
	b.x.length = 0;
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	b.x.file_offset = SIZE - 100;
	b.x.length = BLOCK;
	ASSERT_EQ(nv_rw_as(&b.x, false, NVFS_RW_BOUNCE, &rw), 0);
	ASSERT_EQ(rw.done, 100);
	b.x.file_offset = INT64_MAX - SIZE;
	ASSERT_EQ(nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw), -1);
	snprintf(path, sizeof(path), "%s/full", fix_place("tmpfs"));
	b.x.file = file_make_at(path, 0, BLOCK, SEED, O_RDWR);
	ASSERT_EQ(fallocate(b.x.file, 0, 0, 63 * MIB), 0);
	b.x.file_offset = 63 * MIB;
	b.x.length = SIZE;
	if (nv_rw_as(&b.x, true, NVFS_RW_BOUNCE, &rw))
		ASSERT_EQ(errno, ENOSPC);
	ASSERT_EQ(unlink(path), 0);
	expect_none_refused();
}

static struct nvfs_request piece(const struct bench *b, uint32_t i,
				 uint32_t flags)
{
	struct xfer x = b->x;

	x.region_offset = i % 2 ? i * PIECE : i * PIECE + 1;
	x.file_offset += i * PIECE;
	x.length = PIECE - 1 + i % 2;
	return nv_request(&x, NVFS_OP_READ, flags, i);
}

/* Cancelled and destroyed at different moments, revoked and closed. */
TEST(requests_that_are_ended)
{
	struct nvfs_batch_submit out;
	struct nvfs_request req[NR];
	struct nvfs_event event[NR];
	struct bench b;
	uint32_t i, nr;
	int round;

	for (round = 0; round < 24; round++) {
		set_up(&b, EXT4);
		for (i = 0; i < NR; i++)
			req[i] = piece(&b, i, NVFS_RW_BOUNCE);
		ASSERT_EQ(batch_submit(b.x.dev, b.batch, req, NR, &out), 0);
		if (round % 4 == 0)
			ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
		else if (round % 4 == 1)
			ASSERT_EQ(batch_destroy(b.x.dev, b.batch), 0);
		else if (round % 4 == 2)
			gpu_free(&b.buf);
		if (round % 4 == 0)
			batch_reap_all(b.x.dev, b.batch, event, NR, 30);
		close(b.x.dev);
		close(b.x.file);
		if (round % 4 != 2)
			gpu_free(&b.buf);
		expect_none_refused();
	}
}
