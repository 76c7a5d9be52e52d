// SPDX-License-Identifier: MIT
/*
 * Batches: many requests to many files and regions at once, all checked before
 * the first starts, each ended by exactly one event, whatever happens to it and
 * whoever collects it. Nothing that a drive or a file system holds back makes
 * SUBMIT wait.
 */
#include "batch_bench.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY	2000
/* A submission that waits for nothing is far below, one that waits far above. */
#define AT_ONCE_S	2.0
#define SLOW_MS		300

/* ------------------------------------------------------------- many at once */

TEST_LIMIT(two_thousand_to_many_files_and_regions, 120)
{
	static const enum target kinds[] = { EXT4, XFS, PART, EXT4, XFS };
	enum { FILES = 5, REGIONS = 4 };
	struct nvfs_request *req = xmalloc(MANY * sizeof(*req));
	struct nvfs_event *event = xmalloc(MANY * sizeof(*event));
	struct gpu_buf buf[REGIONS];
	struct xfer x[FILES];
	int dev = nv_open();
	uint32_t batch = batch_make(dev, MANY), region[REGIONS], i;
	struct nvfs_batch_submit out;

	for (i = 0; i < REGIONS; i++) {
		gpu_alloc(&buf[i], 0, MANY * PIECE, i & 1);
		region[i] = nv_region(dev, &buf[i]);
	}
	for (i = 0; i < FILES; i++)
		x[i].file = file_make(kinds[i], MANY / FILES * PIECE, SEED + i,
				      i & 1 ? O_RDONLY : O_RDONLY | O_DIRECT);
	for (i = 0; i < MANY; i++) {
		struct xfer one = x[i % FILES];

		one.region = region[i % REGIONS];
		one.region_offset = i * PIECE;
		one.file_offset = i / FILES * PIECE;
		one.length = PIECE;
		req[i] = nv_request(&one, NVFS_OP_READ, 0, i);
	}
	ASSERT_EQ(batch_submit(dev, batch, req, MANY, &out), 0);
	ASSERT_EQ(out.wrong, MANY);
	batch_reap_all(dev, batch, event, MANY, 60);
	ASSERT_EQ(check_events(event, MANY, PIECE), 0);
	for (i = 0; i < MANY; i++) {
		ASSERT_EQ(event[i].route, NVFS_ROUTE_DIRECT);
		gpu_check_pattern(&buf[i % REGIONS], i * PIECE, PIECE,
				  SEED + i % FILES, i / FILES * PIECE);
	}
}

static void reads_and_writes(enum target target, uint32_t flags)
{
	enum { NR = 128 };
	struct nvfs_event event[2 * NR];
	struct nvfs_request *req;
	struct bench b;

	set_up(&b, target, NR * PIECE, 2 * NR);
	req = pieces(&b, NR, NVFS_OP_READ, flags);
	submit(&b, req, NR);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	gpu_check_pattern(&b.buf, 0, NR * PIECE, SEED, 0);
	gpu_put_pattern(&b.buf, 0, NR * PIECE, SEED + 1, 0);
	req = pieces(&b, NR, NVFS_OP_WRITE, flags);
	submit(&b, req, NR);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	file_check(b.x.file, target_base(target), 0, NR * PIECE, SEED + 1);
}

TEST_OF(reads_and_writes_disk, 60, reads_and_writes(DISK, 0))
TEST_OF(reads_and_writes_ext4, 60, reads_and_writes(EXT4, 0))
TEST_OF(reads_and_writes_xfs, 60, reads_and_writes(XFS, NVFS_RW_BOUNCE))

TEST(the_same_request_many_times)
{
	enum { NR = 64 };
	struct nvfs_event event[NR];
	struct nvfs_request req[NR];
	struct bench b;
	uint32_t i;

	set_up(&b, EXT4, PIECE, NR);
	for (i = 0; i < NR; i++) {
		req[i] = piece(&b, 0, NVFS_OP_READ, 0);
		req[i].user_data = i;
	}
	submit(&b, req, NR);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	gpu_check_pattern(&b.buf, 0, PIECE, SEED, 0);
}

/* Large requests do not fit one command, and go through a worker. */
TEST(large_and_empty_requests)
{
	struct nvfs_event event[3];
	struct nvfs_request req[3];
	struct bench b;

	set_up(&b, EXT4, 8 * MIB, 3);
	req[0] = piece(&b, 0, NVFS_OP_READ, 0);
	req[0].length = 6 * MIB;
	req[1] = piece(&b, 800, NVFS_OP_READ, 0);
	req[1].length = 0;
	req[2] = piece(&b, 800, NVFS_OP_READ, 0);
	req[2].length = 256 * KIB;
	req[2].user_data = 2;
	submit(&b, req, 3);
	batch_reap_all(b.x.dev, b.batch, event, 3, 30);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, event[i].user_data == 0 ? 6 * MIB :
			  event[i].user_data == 2 ? 256 * KIB : 0);
	}
	gpu_check_pattern(&b.buf, 0, 6 * MIB, SEED, 0);
	gpu_check_byte(&b.buf, 6 * MIB, 400 * KIB - 144 * KIB, POISON);
	gpu_check_pattern(&b.buf, 800 * PIECE, 256 * KIB, SEED, 800 * PIECE);
}

TEST(the_end_of_the_file_is_a_short_read)
{
	struct nvfs_request req[3];
	struct nvfs_event event[3];
	struct bench b;
	int i;

	set_up(&b, EXT4, 4 * PIECE, 3);
	ASSERT_EQ(ftruncate(b.x.file, PIECE + 100), 0);
	for (i = 0; i < 3; i++)
		req[i] = piece(&b, (uint32_t)i, NVFS_OP_READ, NVFS_RW_BOUNCE);
	submit(&b, req, 3);
	batch_reap_all(b.x.dev, b.batch, event, 3, 30);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, event[i].user_data == 0 ? PIECE :
			  event[i].user_data == 1 ? 100 : 0);
	}
	gpu_check_pattern(&b.buf, 0, PIECE + 100, SEED, 0);
}

/* The first request makes the way known: those behind it take the short way. */
TEST(the_end_of_a_device_among_requests_that_resemble_each_other)
{
	static const uint64_t done[] = { PIECE, PIECE / 2, 0 };
	struct nvfs_event event[3];
	struct bench b;
	off_t size;
	int i;

	set_up(&b, PART, 4 * PIECE, 3);
	submit(&b, pieces(&b, 1, NVFS_OP_READ, 0), 1);
	batch_reap_all(b.x.dev, b.batch, event, 1, 30);
	ASSERT_EQ(check_events(event, 1, PIECE), 0);
	size = lseek(b.x.file, 0, SEEK_END);
	ASSERT_GT(size, 2 * PIECE);
	b.x.file_offset = (uint64_t)size - PIECE - PIECE / 2;
	gpu_fill(&b.buf, POISON);
	submit(&b, pieces(&b, 3, NVFS_OP_READ, 0), 3);
	batch_reap_all(b.x.dev, b.batch, event, 3, 30);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, done[event[i].user_data]);
		ASSERT_EQ(event[i].route, event[i].done ? NVFS_ROUTE_DIRECT :
							  NVFS_ROUTE_NONE);
	}
	gpu_check_byte(&b.buf, PIECE + PIECE / 2, 2 * PIECE + PIECE / 2,
		       POISON);
}

/* ------------------------------------------------------------- wrong members */

/* Puts @bad among good ones, everywhere; nothing starts. */
static void expect_wrong(struct bench *b, const struct nvfs_request *bad,
			 int error)
{
	enum { NR = 40 };
	static const uint32_t places[] = { 0, 7, 8, 23, NR - 1 };
	struct nvfs_batch_submit out;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct nvfs_request *req = pieces(b, NR, NVFS_OP_READ, 0);

		req[places[i]] = *bad;
		ASSERT_ERRNO(batch_submit(b->x.dev, b->batch, req, NR, &out),
			     error);
		ASSERT_EQ(out.wrong, places[i]);
		ASSERT_EQ(out.reason != NVFS_REASON_NONE, error == EREMOTEIO);
		expect_no_event(b);
		free(req);
	}
	gpu_check_byte(&b->buf, 0, b->buf.size, POISON);
}

#define WRONG(test, error, ...)						\
TEST(wrong_##test)							\
{									\
	struct nvfs_request bad;					\
	struct bench b;							\
									\
	set_up(&b, EXT4, 64 * PIECE, 64);				\
	bad = piece(&b, 0, NVFS_OP_READ, 0);				\
	__VA_ARGS__;							\
	expect_wrong(&b, &bad, error);					\
}

WRONG(op, EINVAL, bad.op = 2)
WRONG(flag, EINVAL, bad.flags = 4)
WRONG(report_holes, EINVAL, bad.flags = NVFS_RW_REPORT_HOLES)
WRONG(region, ENOENT, bad.region = 12345)
WRONG(fd, EBADF, bad.fd = -1)
WRONG(fd_of_a_directory, EISDIR, bad.fd = open("/", O_RDONLY))
WRONG(fd_of_a_device, EINVAL, bad.fd = open("/dev/null", O_RDWR))
WRONG(range, ERANGE, bad.length = b.buf.size + 4096)
WRONG(wrap, EOVERFLOW, bad.region_offset = UINT64_MAX - 4095)
WRONG(file_wrap, EOVERFLOW, bad.file_offset = INT64_MAX - 4095)
WRONG(alignment, EREMOTEIO, bad.file_offset = 1)
WRONG(mode, EBADF, bad.op = NVFS_OP_WRITE;
      bad.fd = open("/proc/self/exe", O_RDONLY))

WRONG(region_of_another_file, ENOENT,
      int other = nv_open(); struct gpu_buf own;
      gpu_alloc(&own, 0, 64 * KIB, false);
      do {
	bad.region = nv_region(other, &own);
      } while (bad.region == b.x.region))

WRONG(region_that_is_closed, ENOENT,
      struct gpu_buf own; gpu_alloc(&own, 0, 64 * KIB, false);
      bad.region = nv_region(b.x.dev, &own);
      ASSERT_EQ(nv_unregister(b.x.dev, bad.region), 0))

WRONG(region_that_is_revoked, ESTALE,
      struct gpu_buf own; gpu_alloc(&own, 0, 64 * KIB, false);
      bad.region = nv_region(b.x.dev, &own); gpu_free(&own))

TEST(wrong_call)
{
	struct nvfs_batch_submit out;
	struct nvfs_request req;
	struct bench b, other;
	uint32_t foreign;

	set_up(&b, EXT4, PIECE, 4);
	set_up(&other, EXT4, PIECE, 4);
	foreign = b.batch;
	while (foreign == b.batch)
		foreign = batch_make(other.x.dev, 4);
	req = piece(&b, 0, NVFS_OP_READ, 0);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, &req, 0, &out), EINVAL);
	ASSERT_ERRNO(batch_submit(b.x.dev, 0, &req, 1, &out), ENOENT);
	ASSERT_EQ(out.wrong, 1);
	ASSERT_ERRNO(batch_submit(b.x.dev, foreign, &req, 1, &out), ENOENT);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, NULL, 1, &out), EFAULT);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, &req, UINT32_MAX, &out),
		     EBUSY);
	memset(&out, 0, sizeof(out));
	out.size = sizeof(out);
	out.flags = 1;
	out.batch = b.batch;
	out.nr = 1;
	out.requests = (uintptr_t)&req;
	ASSERT_ERRNO(ioctl(b.x.dev, NVFS_IOC_BATCH_SUBMIT, &out), EINVAL);
	expect_no_event(&b);
	gpu_check_byte(&b.buf, 0, PIECE, POISON);
}

/* The array of requests ends at a page that is not there. */
TEST(requests_that_can_not_be_read)
{
	struct nvfs_batch_submit out;
	struct nvfs_request *req;
	struct bench b;
	uint32_t i, fit;
	uint8_t *p;

	set_up(&b, EXT4, 128 * PIECE, 128);
	p = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	ASSERT_EQ(munmap(p + BLOCK, BLOCK), 0);
	fit = BLOCK / sizeof(*req);
	req = (void *)(p + BLOCK - fit * sizeof(*req));
	for (i = 0; i < fit; i++)
		req[i] = piece(&b, i, NVFS_OP_READ, 0);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, req, fit + 1, &out),
		     EFAULT);
	expect_no_event(&b);
	gpu_check_byte(&b.buf, 0, b.buf.size, POISON);
	submit(&b, req, fit);
}

TEST(depth_is_a_limit)
{
	struct nvfs_event event[8];
	struct nvfs_request *req;
	struct nvfs_batch_submit out;
	uint32_t nr, other;
	struct bench b;

	set_up(&b, EXT4, 16 * PIECE, 8);
	req = pieces(&b, 9, NVFS_OP_READ, 0);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, req, 9, &out), EBUSY);
	ASSERT_EQ(out.wrong, 9);
	submit(&b, req, 8);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, req, 1, &out), EBUSY);
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, 3, 3, -1, &nr), 0);
	ASSERT_EQ(nr, 3);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, req, 4, &out), EBUSY);
	submit(&b, req, 3);
	batch_reap_all(b.x.dev, b.batch, event, 8, 30);
	ASSERT_ERRNO(batch_create(b.x.dev, 0, &other), EINVAL);
	ASSERT_ERRNO(batch_create(b.x.dev, NVFS_MAX_DEPTH + 1, &other), EINVAL);
	ASSERT_ERRNO(batch_create(b.x.dev, NVFS_MAX_DEPTH, &other), EBUSY);
	ASSERT_EQ(batch_create(b.x.dev, NVFS_MAX_DEPTH - 8, &other), 0);
	ASSERT_ERRNO(batch_create(b.x.dev, 1, &nr), EBUSY);
	ASSERT_EQ(batch_destroy(b.x.dev, other), 0);
	ASSERT_EQ(batch_create(b.x.dev, 1, &nr), 0);
}

TEST(the_file_size_limit_counts)
{
	struct rlimit limit = { 64 * KIB, 64 * KIB };
	struct nvfs_batch_submit out;
	struct nvfs_request req;
	struct bench b;

	set_up(&b, EXT4, 16 * PIECE, 4);
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	req = piece(&b, 8, NVFS_OP_WRITE, 0);
	ASSERT_ERRNO(batch_submit(b.x.dev, b.batch, &req, 1, &out), EFBIG);
	expect_no_event(&b);
	file_check(b.x.file, 0, 0, 16 * PIECE, SEED);
}

/* ------------------------------------------------------------------- events */

TEST(reap_without_requests)
{
	struct nvfs_event event[2];
	struct bench b;
	double start;
	uint32_t nr;

	set_up(&b, EXT4, PIECE, 4);
	start = harness_now();
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, 1, 2, -1, &nr), 0);
	ASSERT_EQ(nr, 0);
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, 2, 2, 60 * SECOND_NS,
			     &nr), 0);
	ASSERT_EQ(nr, 0);
	ASSERT_TRUE(harness_now() - start < AT_ONCE_S);
	ASSERT_ERRNO(batch_reap(b.x.dev, b.batch, event, 0, 0, 0, &nr), EINVAL);
	ASSERT_ERRNO(batch_reap(b.x.dev, b.batch, event, 2, 1, 0, &nr), EINVAL);
	ASSERT_ERRNO(batch_reap(b.x.dev, b.batch + 99, event, 1, 2, 0, &nr),
		     ENOENT);
	ASSERT_ERRNO(batch_cancel(b.x.dev, b.batch + 99, &nr), ENOENT);
	ASSERT_ERRNO(batch_destroy(b.x.dev, b.batch + 99), ENOENT);
}

static void expect_fault(const struct bench *b, void *where, uint32_t max)
{
	uint32_t nr = 0;

	ASSERT_ERRNO(batch_reap(b->x.dev, b->batch, where, max, max,
				10 * SECOND_NS, &nr), EFAULT);
	ASSERT_EQ(nr, 0);
}

TEST(events_stay_when_they_can_not_be_written)
{
	enum { NR = 200 };
	struct nvfs_event event[NR];
	struct bench b;
	uint8_t *p;

	set_up(&b, EXT4, NR * PIECE, NR);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
	p = mmap(NULL, 4 * BLOCK, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	ASSERT_EQ(mprotect(p + BLOCK, BLOCK, PROT_READ), 0);
	ASSERT_EQ(munmap(p + 2 * BLOCK, BLOCK), 0);
	expect_fault(&b, p + BLOCK, 10);
	expect_fault(&b, p + 2 * BLOCK, 10);
	expect_fault(&b, p + BLOCK - 100 * sizeof(event[0]), NR);
	expect_fault(&b, NULL, NR);
	expect_fault(&b, (void *)-4096L, 1);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
}

struct reaper {
	const struct bench *b;
	struct nvfs_event event[MANY];
	uint32_t nr;
};

static void *reap_until_empty(void *arg)
{
	struct reaper *r = arg;
	uint32_t nr;

	do {
		ASSERT_EQ(batch_reap(r->b->x.dev, r->b->batch, r->event + r->nr,
				     1, 7, 20 * SECOND_NS, &nr), 0);
		r->nr += nr;
	} while (nr);
	return NULL;
}

TEST(each_event_exactly_once_with_four_threads)
{
	enum { THREADS = 4, NR = 1000 };
	struct nvfs_event *all = xmalloc(NR * sizeof(*all));
	struct reaper *r = calloc(THREADS, sizeof(*r));
	pthread_t thread[THREADS];
	uint32_t i, total = 0, late = 0;
	struct bench b;

	set_up(&b, EXT4, NR * PIECE, NR);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
	for (i = 0; i < THREADS; i++) {
		r[i].b = &b;
		ASSERT_EQ(pthread_create(&thread[i], NULL, reap_until_empty,
					 &r[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		ASSERT_LE(total + r[i].nr, NR);
		memcpy(all + total, r[i].event, r[i].nr * sizeof(*all));
		total += r[i].nr;
	}
	/* no request in flight may also mean: another holds the last events */
	while (total < NR && late++ < 10) {
		ASSERT_EQ(batch_reap(b.x.dev, b.batch, all + total, 1,
				     NR - total, SECOND_NS, &i), 0);
		total += i;
	}
	ASSERT_EQ(total, NR);
	ASSERT_EQ(check_events(all, NR, PIECE), 0);
	gpu_check_pattern(&b.buf, 0, NR * PIECE, SEED, 0);
}

TEST(cancel_of_finished_requests)
{
	enum { NR = 32 };
	struct nvfs_event event[NR];
	struct bench b;
	uint32_t nr;

	set_up(&b, EXT4, NR * PIECE, NR);
	ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
	ASSERT_EQ(nr, 0);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
	/* all have ended when NR events are there, and none is taken */
	expect_fault(&b, NULL, NR);
	ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
	ASSERT_EQ(nr, 0);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
	ASSERT_EQ(nr, 0);
}

/* Cancels at every moment of a batch's life; each request has one event. */
TEST(cancel_races_with_the_end)
{
	enum { NR = 256, ROUNDS = 30 };
	struct nvfs_event event[NR];
	uint32_t nr, said = 0, ended = 0;
	struct nvfs_request *req;
	struct bench b;
	int i, k;

	set_up(&b, EXT4, NR * PIECE, NR);
	req = pieces(&b, NR, NVFS_OP_READ, NVFS_RW_BOUNCE);
	for (i = 0; i < NR; i += 2)	/* every other goes through a worker */
		req[i].region_offset++;
	req[NR - 2].length = PIECE;
	for (i = 0; i < ROUNDS; i++) {
		submit(&b, req, NR);
		for (k = 0; k < i; k++)
			sched_yield();
		ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
		ASSERT_LE(nr, NR);
		said += nr;
		batch_reap_all(b.x.dev, b.batch, event, NR, 30);
		nr = check_events(event, NR, PIECE);
		ended += nr;
	}
	ASSERT_LE(ended, said);
	harness_note("%u of %d cancelled, %u ended by it", said, NR * ROUNDS,
		     ended);
}

/* ------------------------------------------------------- what is held back */

TEST(submit_does_not_wait_for_a_frozen_file_system)
{
	enum { NR = 400 };	/* more than there are workers */
	struct nvfs_event *event = xmalloc(NR * sizeof(*event)), one;
	struct bench b, other;
	struct nvfs_request req;
	struct frost frost;
	double start;
	uint32_t nr;

	set_up(&b, EXT4, NR * PIECE, NR);
	set_up(&other, XFS, PIECE, 4);
	gpu_put_pattern(&b.buf, 0, NR * PIECE, SEED + 1, 0);
	frost_begin(&frost, fix_place("ext4"));
	start = harness_now();
	submit(&b, pieces(&b, NR, NVFS_OP_WRITE, 0), NR);
	ASSERT_TRUE(harness_now() - start < AT_ONCE_S);
	/* nor does a request to another drive's file, nor reaping */
	req = piece(&other, 0, NVFS_OP_READ, 0);
	submit(&other, &req, 1);
	batch_reap_all(other.x.dev, other.batch, &one, 1, 5);
	ASSERT_EQ(one.error, 0);
	start = harness_now();
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, NR, NR, SECOND_NS / 20,
			     &nr), 0);
	ASSERT_EQ(nr, 0);
	ASSERT_TRUE(harness_now() - start >= 0.05);
	frost_end(&frost);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	file_check(b.x.file, 0, 0, NR * PIECE, SEED + 1);
}

TEST(cancel_of_waiting_requests)
{
	enum { NR = 400 };
	struct nvfs_event *event = xmalloc(NR * sizeof(*event));
	uint32_t nr, cancelled;
	struct frost frost;
	struct bench b;

	set_up(&b, EXT4, NR * PIECE, NR);
	frost_begin(&frost, fix_place("ext4"));
	submit(&b, pieces(&b, NR, NVFS_OP_WRITE, 0), NR);
	ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
	ASSERT_EQ(nr, NR);
	ASSERT_EQ(batch_cancel(b.x.dev, b.batch, &nr), 0);
	ASSERT_EQ(nr, 0);
	frost_end(&frost);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	cancelled = check_events(event, NR, PIECE);
	/* those that no worker had begun have to end by it */
	ASSERT_GE(cancelled, NR - 256);
	harness_note("%u of %d ended by it", cancelled, NR);
}

/* One of many is given up: it may end by that, all others end as they would. */
TEST(cancel_of_one_of_many)
{
	enum { NR = 400, LAST = NR - 1 };
	struct nvfs_event *event = xmalloc(NR * sizeof(*event));
	struct nvfs_batch_cancel one = { .size = sizeof(one), .user_data = NR };
	struct frost frost;
	struct bench b;
	uint32_t i;

	set_up(&b, EXT4, NR * PIECE, NR);
	one.batch = b.batch;
	one.flags = NVFS_CANCEL_USER_DATA;
	frost_begin(&frost, fix_place("ext4"));
	submit(&b, pieces(&b, NR, NVFS_OP_WRITE, 0), NR);
	ASSERT_EQ(ioctl(b.x.dev, NVFS_IOC_BATCH_CANCEL, &one), 0);
	ASSERT_EQ(one.nr, 0);
	one.user_data = LAST;
	ASSERT_EQ(ioctl(b.x.dev, NVFS_IOC_BATCH_CANCEL, &one), 0);
	ASSERT_EQ(one.nr, 1);
	one.flags = NVFS_CANCEL_USER_DATA << 1;
	ASSERT_ERRNO(ioctl(b.x.dev, NVFS_IOC_BATCH_CANCEL, &one), EINVAL);
	one.flags = 0;
	ASSERT_ERRNO(ioctl(b.x.dev, NVFS_IOC_BATCH_CANCEL, &one), EINVAL);
	one.flags = NVFS_CANCEL_USER_DATA;
	one.size = offsetof(struct nvfs_batch_cancel, user_data);
	ASSERT_ERRNO(ioctl(b.x.dev, NVFS_IOC_BATCH_CANCEL, &one), EINVAL);
	frost_end(&frost);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	/* there are fewer workers than requests: none had begun the last */
	ASSERT_EQ(check_events(event, NR, PIECE), 1);
	for (i = 0; i < NR; i++)
		ASSERT_EQ(event[i].error,
			  event[i].user_data == LAST ? ECANCELED : 0);
}

static void *destroy_it(void *arg)
{
	struct bench *b = arg;

	ASSERT_EQ(batch_destroy(b->x.dev, b->batch), 0);
	return NULL;
}

static void *reap_any(void *arg)
{
	struct bench *b = arg;
	struct nvfs_event event;
	uint32_t nr;

	/* the batch may be gone before this thread comes to it */
	if (batch_reap(b->x.dev, b->batch, &event, 1, 1, -1, &nr))
		ASSERT_EQ(errno, ENOENT);
	return NULL;
}

TEST(destroy_ends_those_who_wait)
{
	enum { NR = 100 };
	struct nvfs_event event;
	pthread_t destroyer, reaper[3];
	struct frost frost;
	struct bench b;
	uint32_t nr;
	int i;

	set_up(&b, EXT4, NR * PIECE, NR);
	frost_begin(&frost, fix_place("ext4"));
	submit(&b, pieces(&b, NR, NVFS_OP_WRITE, 0), NR);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(pthread_create(&reaper[i], NULL, reap_any, &b), 0);
	ASSERT_EQ(pthread_create(&destroyer, NULL, destroy_it, &b), 0);
	/* they return although the file system is still frozen */
	for (i = 0; i < 3; i++)
		pthread_join(reaper[i], NULL);
	frost_end(&frost);
	pthread_join(destroyer, NULL);
	ASSERT_ERRNO(batch_destroy(b.x.dev, b.batch), ENOENT);
	ASSERT_ERRNO(batch_reap(b.x.dev, b.batch, &event, 0, 1, 0, &nr),
		     ENOENT);
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
}

TEST(destroy_with_requests_in_flight)
{
	enum { NR = 512 };
	struct bench b;
	int i;

	set_up(&b, EXT4, NR * PIECE, NR);
	for (i = 0; i < 20; i++) {
		submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
		ASSERT_EQ(batch_destroy(b.x.dev, b.batch), 0);
		b.batch = batch_make(b.x.dev, NR);
	}
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
	/* nothing moves afterwards */
	gpu_fill(&b.buf, POISON);
	gpu_check_byte(&b.buf, 0, b.buf.size, POISON);
}

TEST(close_with_requests_in_flight)
{
	enum { NR = 512 };
	struct nvfs_request *req;
	struct bench b;
	int i;

	set_up(&b, EXT4, NR * PIECE, NR);
	for (i = 0; i < 10; i++) {
		req = pieces(&b, NR, NVFS_OP_READ, NVFS_RW_BOUNCE);
		req[i].file_offset++;
		submit(&b, req, NR);
		ASSERT_EQ(close(b.x.dev), 0);
		gpu_free(&b.buf);
		close(b.x.file);
		free(req);
		set_up(&b, EXT4, NR * PIECE, NR);
	}
}

/* The file may be closed as soon as the submission has returned. */
TEST(file_is_closed_after_submit)
{
	enum { NR = 256 };
	struct nvfs_event event[NR];
	struct bench b;

	set_up(&b, EXT4, NR * PIECE, NR);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
	close(b.x.file);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	gpu_check_pattern(&b.buf, 0, b.buf.size, SEED, 0);
}

TEST(unregister_with_requests_in_flight)
{
	enum { NR = 256 };
	struct nvfs_event event[NR];
	struct bench b;
	uint32_t i;

	set_up(&b, EXT4, NR * PIECE, NR);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, NVFS_RW_BOUNCE), NR);
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	for (i = 0; i < NR; i++)
		ASSERT_TRUE(event[i].error == 0 || event[i].error == ESTALE);
}

/* --------------------------------------------------------- a slow drive */

/* null_blk: each command takes SLOW_MS. */
static int slow_open(int flags)
{
	char out[300];
	int fd;

	if (shell(out, sizeof(out), "exec 2>&1; [ -b /dev/nullb0 ] || modprobe "
		  "null_blk nr_devices=1 gb=1 bs=512 irqmode=2 "
		  "completion_nsec=%d", SLOW_MS * 1000000))
		FAIL("null_blk: %s", out);
	fd = open("/dev/nullb0", flags | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	return fd;
}

TEST(submit_does_not_wait_for_a_slow_drive)
{
	enum { NR = 32 };
	struct nvfs_event event[NR];
	struct bench b;
	double start;
	uint32_t nr;

	set_up(&b, EXT4, NR * PIECE, NR);
	b.x.file = slow_open(O_RDWR);
	start = harness_now();
	submit(&b, pieces(&b, NR, NVFS_OP_READ, NVFS_RW_BOUNCE), NR);
	ASSERT_TRUE(harness_now() - start < SLOW_MS / 1000.0);
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, 0, NR, 0, &nr), 0);
	ASSERT_EQ(nr, 0);
	start = harness_now();
	ASSERT_EQ(batch_reap(b.x.dev, b.batch, event, 1, NR, SECOND_NS / 50,
			     &nr), 0);
	ASSERT_EQ(nr, 0);
	ASSERT_TRUE(harness_now() - start >= 0.02);
	batch_reap_all(b.x.dev, b.batch, event, NR, 30);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	for (nr = 0; nr < NR; nr++)
		ASSERT_EQ(event[nr].route, NVFS_ROUTE_BOUNCE);
}

static void on_alarm(int sig)
{
	(void)sig;
}

TEST(a_signal_ends_a_wait)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerspec when = { .it_value = { 0, 50 * 1000 * 1000 } };
	struct nvfs_event event;
	struct nvfs_request req;
	struct bench b;
	timer_t timer;
	uint32_t nr;

	set_up(&b, EXT4, PIECE, 4);
	b.x.file = slow_open(O_RDWR);
	req = piece(&b, 0, NVFS_OP_READ, NVFS_RW_BOUNCE);
	submit(&b, &req, 1);
	ASSERT_EQ(sigaction(SIGALRM, &act, NULL), 0);
	ASSERT_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
	ASSERT_EQ(timer_settime(timer, 0, &when, NULL), 0);
	ASSERT_ERRNO(batch_reap(b.x.dev, b.batch, &event, 1, 1, -1, &nr),
		     EINTR);
	batch_reap_all(b.x.dev, b.batch, &event, 1, 10);
}

/* Killed with requests before, in and behind the drive, and in workers. */
static void killed(int slow)
{
	enum { NR = 300 };
	int ends[2], status;
	double start;
	pid_t pid;
	char byte;

	ASSERT_EQ(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		struct bench b;

		set_up(&b, EXT4, NR * PIECE, 2 * NR);
		submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
		if (slow)
			b.x.file = slow_open(O_RDWR);
		submit(&b, pieces(&b, NR, NVFS_OP_WRITE, NVFS_RW_BOUNCE), NR);
		ASSERT_EQ(write(ends[1], "x", 1), 1);
		for (;;)
			pause();
	}
	close(ends[1]);
	ASSERT_EQ(read(ends[0], &byte, 1), 1);
	start = harness_now();
	ASSERT_EQ(kill(pid, SIGKILL), 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFSIGNALED(status));
	/* what waits is given up; only what a drive has is waited for */
	if (harness_now() - start > 10)
		FAIL("death took %.1f s", harness_now() - start);
}

TEST_OF(kill_with_requests_in_flight, 60, killed(0))
TEST_OF(kill_with_requests_on_a_slow_drive, 60, killed(1))

TEST(after_the_slow_drive)
{
	/* each request has let go of the drive: it can go */
	if (!access("/dev/nullb0", F_OK))
		ASSERT_EQ(shell(NULL, 0, "rmmod null_blk"), 0);
}

/* --------------------------------------------------------------------- fork */

TEST(a_child_has_the_same_batches)
{
	enum { NR = 64 };
	struct nvfs_event event[NR];
	struct bench b;
	int status;
	pid_t pid;

	set_up(&b, EXT4, NR * PIECE, NR);
	submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR / 2);
	pid = fork();
	if (!pid) {
		batch_reap_all(b.x.dev, b.batch, event, NR / 2, 20);
		ASSERT_EQ(check_events(event, NR / 2, PIECE), 0);
		submit(&b, pieces(&b, NR, NVFS_OP_READ, 0), NR);
		_exit(0);	/* requests in flight; the file is the parent's, too */
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	batch_reap_all(b.x.dev, b.batch, event, NR, 20);
	ASSERT_EQ(check_events(event, NR, PIECE), 0);
	gpu_check_pattern(&b.buf, 0, b.buf.size, SEED, 0);
}
