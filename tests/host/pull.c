// SPDX-License-Identifier: MIT
/*
 * Keeps requests under way until a device is gone, for tests/host/pullout.py:
 * batches of reads and writes, direct and through host memory, and a synchronous
 * reader beside them. Ends when all of them have ended.
 *
 *	PULL_DEVICE=DEVICE pull
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
#define LIMIT_S	40

struct pull {
	struct xfer x;
	uint32_t batch;
	bool gone;		/* a request has told so */
	uint64_t sync, async, failed;
};

static void *read_on(void *arg)
{
	struct pull *p = arg;
	struct xfer x = p->x;
	struct nvfs_rw rw;

	x.length = 1 * MIB;
	while (!__atomic_load_n(&p->gone, __ATOMIC_ACQUIRE)) {
		if (nv_rw_as(&x, false, 0, &rw))
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
	if (p->failed)
		__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
}

static void run(const char *device)
{
	double end = harness_now() + LIMIT_S;
	struct pull p = { .batch = 0 };
	struct gpu_buf buf;
	pthread_t thread;

	p.x.dev = nv_open();
	gpu_alloc(&buf, 0, NR * PIECE, false);
	p.x.region = nv_region(p.x.dev, &buf);
	p.x.file = open(device, O_RDWR | O_CLOEXEC);
	ASSERT_GE(p.x.file, 0);
	p.batch = batch_make(p.x.dev, NR);
	ASSERT_EQ(pthread_create(&thread, NULL, read_on, &p), 0);
	one_batch(&p);
	printf("running\n");
	fflush(stdout);
	while (!__atomic_load_n(&p.gone, __ATOMIC_ACQUIRE)) {
		if (harness_now() > end)
			FAIL("nothing has happened to the device");
		one_batch(&p);
	}
	pthread_join(thread, NULL);
	printf("gone: %llu and %llu requests, %llu failed\n",
	       (unsigned long long)p.sync, (unsigned long long)p.async,
	       (unsigned long long)p.failed);
}

TEST_OF(until_it_is_gone, 55, run(getenv("PULL_DEVICE")))
