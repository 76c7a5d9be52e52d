// SPDX-License-Identifier: MIT
/*
 * Keeps requests under way while something happens to a device, for
 * tests/host/trouble.py: batches of reads and writes, direct and through host
 * memory, a synchronous reader beside them, and a CPU that touches the memory
 * through a mapping. Ends when all of them have ended.
 *
 *	PULL_DEVICE=DEVICE PULL_BAD=BYTE PULL_PATIENCE=SECONDS pull TEST
 */
#include "fix_async.h"
#include "fix_map.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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
	uint8_t *at;		/* a mapping of the region */
	bool gone;		/* a request has told so, or a signal */
	bool hang;		/* errors are no end, a long wait is */
	double patience;	/* of the drive's driver, in seconds */
	uint64_t sync, async, failed, touches;
};

/*
 * It has hung, and a request has ended nevertheless. Whose request it is that the
 * driver loses its patience with is left to the drive.
 */
static void note_long_wait(struct pull *p, double began)
{
	if (p->hang && harness_now() - began > p->patience * 0.9)
		__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
}

static void *read_on(void *arg)
{
	struct pull *p = arg;
	struct xfer x = p->x;
	struct nvfs_rw rw;
	double began;

	x.length = 1 * MIB;
	while (!__atomic_load_n(&p->gone, __ATOMIC_ACQUIRE)) {
		began = harness_now();
		if (nv_rw_as(&x, false, 0, &rw) && !p->hang)
			__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
		note_long_wait(p, began);
		p->sync++;
	}
	return NULL;
}

static void *touch_on(void *arg)
{
	struct pull *p = arg;

	while (!__atomic_load_n(&p->gone, __ATOMIC_ACQUIRE)) {
		uint8_t *at = p->at + p->touches * BLOCK % (NR * PIECE);
		int sig = p->touches & 1 ? store(at) : load(at);

		ASSERT_TRUE(!sig || sig == SIGBUS);
		if (sig)
			__atomic_store_n(&p->gone, true, __ATOMIC_RELEASE);
		p->touches++;
	}
	return NULL;
}

/*
 * A region that has ended has no page left in any mapping. One that is ending
 * takes no more requests (ESTALE), and the pages go when the last has ended.
 */
static void check_mapping(const struct pull *p, double end)
{
	struct xfer x = p->x;
	struct nvfs_rw rw;

	x.length = PIECE;
	if (!nv_read(&x, &rw) || errno != ESTALE)
		return;
	while (load(p->at) != SIGBUS) {
		if (harness_now() > end)
			FAIL("pages are left in a mapping");
		sched_yield();
	}
	expect_signal(p->at, NR * PIECE, SIGBUS);
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
	struct view v;

	memset(p, 0, sizeof(*p));
	catch_faults();
	view_map(&v, NR * PIECE, false);
	*buf = v.buf;
	p->x.dev = v.dev;
	p->x.region = v.reg.region;
	p->at = v.at;
	p->x.file = open(getenv("PULL_DEVICE"), O_RDWR | O_CLOEXEC);
	ASSERT_GE(p->x.file, 0);
	p->batch = batch_make(p->x.dev, NR);
}

static void run(bool hang)
{
	double end = harness_now() + LIMIT_S, began;
	struct gpu_buf buf;
	pthread_t reader, toucher;
	struct pull p;

	set_up(&p, &buf);
	p.hang = hang;
	p.patience = atof(getenv("PULL_PATIENCE"));
	ASSERT_EQ(pthread_create(&reader, NULL, read_on, &p), 0);
	ASSERT_EQ(pthread_create(&toucher, NULL, touch_on, &p), 0);
	one_batch(&p);
	printf("running\n");
	fflush(stdout);
	while (!__atomic_load_n(&p.gone, __ATOMIC_ACQUIRE)) {
		began = harness_now();
		if (began > end)
			FAIL("nothing has happened to the device");
		one_batch(&p);
		note_long_wait(&p, began);
	}
	pthread_join(reader, NULL);
	pthread_join(toucher, NULL);
	check_mapping(&p, end);
	printf("over: %llu and %llu requests, %llu failed, %llu touches\n",
	       (unsigned long long)p.sync, (unsigned long long)p.async,
	       (unsigned long long)p.failed, (unsigned long long)p.touches);
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
