// SPDX-License-Identifier: MIT
/*
 * Keeps requests under way while something happens to a device, for
 * tests/host/trouble.py: batches of reads and writes, direct and through host
 * memory, and a synchronous reader beside them. Ends when all of them have ended.
 *
 *	PULL_DEVICE=DEVICE PULL_BAD=BYTE PULL_PATIENCE=SECONDS pull TEST
 */
#include "fix_async.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PIECE	(32 * KIB)
#define NR	64
/* So long nothing happens to the device, at the most, in seconds. */
#define LIMIT_S	60

struct pull {
	struct xfer x;
	uint32_t batch;
	bool gone;		/* a request has told so */
	bool hang;		/* errors are no end, a long wait is */
	uint64_t sync, async, failed;
};

static void *read_on(void *arg)
{
	struct pull *p = arg;
	struct xfer x = p->x;
	struct nvfs_rw rw;

	x.length = 1 * MIB;
	while (!__atomic_load_n(&p->gone, __ATOMIC_ACQUIRE)) {
		if (nv_rw_as(&x, false, 0, &rw) && !p->hang)
			__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
		p->sync++;
	}
	return NULL;
}

static void one_batch(struct pull *p)
{
	struct nvfs_request req[NR];
	struct nvfs_event event[NR];
	struct nvfs_batch_submit out;
	struct xfer x = p->x;
	uint32_t i;

	x.length = PIECE;
	for (i = 0; i < NR; i++) {
		x.region_offset = i * PIECE + (i % 4 == 0);
		x.file_offset = 1 * MIB + i * PIECE;
		req[i] = nv_request(&x, i & 1, NVFS_RW_BOUNCE, i);
		if (x.region_offset + PIECE > NR * PIECE)
			req[i].region_offset = 0;
	}
	if (batch_submit(p->x.dev, p->batch, req, NR, &out)) {
		__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
		return;
	}
	batch_reap_all(p->x.dev, p->batch, event, NR, LIMIT_S);
	p->async += NR;
	for (i = 0; i < NR; i++)
		p->failed += event[i].error != 0;
	if (p->failed && !p->hang)
		__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
}

static void set_up(struct pull *p, struct gpu_buf *buf)
{
	memset(p, 0, sizeof(*p));
	p->x.dev = nv_open();
	gpu_alloc(buf, 0, NR * PIECE, false);
	p->x.region = nv_region(p->x.dev, buf);
	p->x.file = open(getenv("PULL_DEVICE"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(p->x.file, 0);
	p->batch = batch_make(p->x.dev, NR);
}

static void run(bool hang)
{
	double end = harness_now() + LIMIT_S, began;
	double patience = atof(getenv("PULL_PATIENCE"));
	struct gpu_buf buf;
	pthread_t thread;
	struct pull p;

	set_up(&p, &buf);
	p.hang = hang;
	ASSERT_EQ(pthread_create(&thread, NULL, read_on, &p), 0);
	one_batch(&p);
	printf("running\n");
	fflush(stdout);
	while (!__atomic_load_n(&p.gone, __ATOMIC_ACQUIRE)) {
		began = harness_now();
		if (began > end)
			FAIL("nothing has happened to the device");
		one_batch(&p);
		/* it has hung, and all requests have ended nevertheless */
		if (hang && harness_now() - began > patience * 0.9)
			__atomic_store_n(&p.gone, true, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	printf("over: %llu and %llu requests, %llu failed\n",
	       (unsigned long long)p.sync, (unsigned long long)p.async,
	       (unsigned long long)p.failed);
}

TEST_OF(until_it_is_gone, 85, run(false))
TEST_OF(until_it_answers_again, 85, run(true))

/* The sector can be written, but not read. */
TEST_LIMIT(over_a_bad_sector, 85)
{
	uint64_t bad = strtoull(getenv("PULL_BAD"), NULL, 0) / BLOCK * BLOCK;
	struct nvfs_request req[NR];
	struct nvfs_event event[NR];
	struct nvfs_batch_submit out;
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct pull p;
	uint32_t i;

	set_up(&p, &buf);
	ASSERT_LT(bad, NR * PIECE);
	p.x.length = NR * PIECE;
	gpu_put_pattern(&buf, 0, NR * PIECE, 7, 0);
	ASSERT_EQ(nv_rw_as(&p.x, true, 0, &rw), 0);
	gpu_fill(&buf, 0);
	/* what an NVMe driver says of an unrecovered read */
	ASSERT_ERRNO(nv_rw_as(&p.x, false, 0, &rw), ENODATA);
	ASSERT_EQ(rw.done, bad);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	gpu_check_pattern(&buf, 0, bad, 7, 0);

	gpu_fill(&buf, 0);
	p.x.length = PIECE;
	for (i = 0; i < NR; i++) {
		p.x.region_offset = i * PIECE;
		p.x.file_offset = i * PIECE;
		req[i] = nv_request(&p.x, NVFS_OP_READ, 0, i);
	}
	ASSERT_EQ(batch_submit(p.x.dev, p.batch, req, NR, &out), 0);
	batch_reap_all(p.x.dev, p.batch, event, NR, LIMIT_S);
	for (i = 0; i < NR; i++) {
		uint64_t at = event[i].user_data * PIECE, good = PIECE;

		if (bad / PIECE == event[i].user_data)
			good = bad - at;
		ASSERT_EQ(event[i].error, good == PIECE ? 0 : ENODATA);
		ASSERT_EQ(event[i].done, good);
		gpu_check_pattern(&buf, at, good, 7, at);
	}
}
