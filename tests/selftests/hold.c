// SPDX-License-Identifier: MIT
/*
 * Memory is freed while a request waits for what may never come: a page of its
 * user's, a file, or a worker that is busy with such a file. Who frees it holds
 * the GPU driver's locks and must not wait for that.
 */
#include "fix_async.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OLD	81
#define NEW	82
#define POISON	0x6b
#define SIZE	(4 * MIB)
#define LIMIT_S	5

struct bench {
	struct gpu_buf buf;
	struct gpu_buf again;
	struct xfer x;
	pthread_t freer;
	bool freed;
	long long live;	/* regions before, by counters that may have been reset */
};

/* A call that is made by a thread of its own. */
struct call {
	const struct xfer *x;
	struct nvfs_rw *rw;
	const struct nvfs_request *req;	/* a batch's, if it is one */
	struct nvfs_batch_submit out;
	uint32_t batch;
	unsigned long request;
	pthread_t thread;
	int tid;
	int error;
};

static long long live_regions(void)
{
	return stat_get("regions_registered") - stat_get("regions_ended");
}

static void set_up(struct bench *b, int file)
{
	memset(b, 0, sizeof(*b));
	b->live = live_regions();
	b->x.dev = nv_open();
	b->x.file = file;
	b->x.length = SIZE;
	gpu_alloc(&b->buf, 0, SIZE, false);
	gpu_put_pattern(&b->buf, 0, SIZE, NEW, 0);
	b->x.region = nv_region(b->x.dev, &b->buf);
}

static void *free_it(void *arg)
{
	gpu_free(arg);
	return NULL;
}

/* Frees the memory under the region; it is seen later whether that was quick. */
static void free_memory(struct bench *b)
{
	struct timespec end;

	ASSERT_EQ(pthread_create(&b->freer, NULL, free_it, &b->buf), 0);
	ASSERT_EQ(clock_gettime(CLOCK_REALTIME, &end), 0);
	end.tv_sec += LIMIT_S;
	b->freed = !pthread_timedjoin_np(b->freer, NULL, &end);
	if (!b->freed)
		return;
	/* most likely where the other was */
	gpu_alloc(&b->again, 0, SIZE, false);
	gpu_fill(&b->again, POISON);
}

/* Nothing waits any more: how was it? */
static void check_freed(struct bench *b)
{
	if (!b->freed) {
		pthread_join(b->freer, NULL);
		FAIL("the memory was not freed within %d s", LIMIT_S);
	}
	gpu_check_byte(&b->again, 0, SIZE, POISON);
	gpu_free(&b->again);
	ASSERT_EQ(gpu_pins(), 0);
}

static void check_over(struct bench *b)
{
	struct nvfs_rw rw;

	check_freed(b);
	ASSERT_ERRNO(nv_rw_as(&b->x, false, NVFS_RW_BOUNCE, &rw), ESTALE);
	ASSERT_EQ(nv_unregister(b->x.dev, b->x.region), 0);
	ASSERT_EQ(stat_get("read_started"), stat_get("read_ended"));
	ASSERT_EQ(stat_get("write_started"), stat_get("write_ended"));
	ASSERT_EQ(live_regions(), b->live);
}

static void *call_it(void *arg)
{
	struct call *c = arg;
	int ret;

	__atomic_store_n(&c->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	if (c->req)
		ret = batch_submit(c->x->dev, c->batch, c->req, 2, &c->out);
	else
		ret = ioctl(c->x->dev, c->request, c->rw);
	c->error = ret ? errno : 0;
	return NULL;
}

static void call_begin(struct call *c)
{
	ASSERT_EQ(pthread_create(&c->thread, NULL, call_it, c), 0);
}

/* ---------------------------------------------- pages that do not come */

/* Two pages; who reads the second, or writes to the first, waits for us. */
struct pages {
	int fd;
	uint8_t *mem;
	uint8_t from[4096] __attribute__((aligned(4096)));
};

static void pages_make(struct pages *p)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	p->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	ASSERT_GE(p->fd, 0);
	ASSERT_EQ(ioctl(p->fd, UFFDIO_API, &api), 0);
	p->mem = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(p->mem != MAP_FAILED);
	p->mem[0] = 0;
	reg.range.start = (uintptr_t)p->mem;
	reg.range.len = 2 * BLOCK;
	ASSERT_EQ(ioctl(p->fd, UFFDIO_REGISTER, &reg), 0);
}

static void pages_protect(struct pages *p, bool protect)
{
	struct uffdio_writeprotect wp = {
		.range.start = (uintptr_t)p->mem,
		.range.len = BLOCK,
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	ASSERT_EQ(ioctl(p->fd, UFFDIO_WRITEPROTECT, &wp), 0);
}

/* Until somebody waits for a page. */
static void pages_wait(struct pages *p)
{
	struct uffd_msg msg;

	ASSERT_EQ(read(p->fd, &msg, sizeof(msg)), sizeof(msg));
	ASSERT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
}

/* The second page comes, with @p->from in it. */
static void pages_give(struct pages *p)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)p->mem + BLOCK,
		.src = (uintptr_t)p->from,
		.len = BLOCK,
	};

	ASSERT_EQ(ioctl(p->fd, UFFDIO_COPY, &copy), 0);
}

static void fill_rw(struct nvfs_rw *rw, const struct xfer *x)
{
	rw->size = sizeof(*rw);
	rw->region = x->region;
	rw->fd = x->file;
	rw->file_offset = x->file_offset;
	rw->length = x->length;
}

/* The results of a request by the short way; @short: of one that falls short. */
static void results(bool falls_short)
{
	static struct pages p;
	struct call c = { .request = NVFS_IOC_READ };
	struct nvfs_rw rw;
	struct bench b;

	set_up(&b, file_make(PART, SIZE, OLD, O_RDWR));
	b.x.length = 64 * KIB;
	/* after this the way is known */
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	if (falls_short) {
		off_t end = lseek(b.x.file, 0, SEEK_END);

		b.x.file_offset = (uint64_t)end - 4 * KIB;
	}
	pages_make(&p);
	c.x = &b.x;
	c.rw = (void *)p.mem;
	fill_rw(c.rw, &b.x);
	pages_protect(&p, true);
	call_begin(&c);
	pages_wait(&p);
	free_memory(&b);
	pages_protect(&p, false);
	ASSERT_EQ(pthread_join(c.thread, NULL), 0);
	check_over(&b);
	ASSERT_EQ(c.error, 0);
	ASSERT_EQ(c.rw->done, falls_short ? 4 * KIB : 64 * KIB);
	ASSERT_EQ(c.rw->route, NVFS_ROUTE_DIRECT);
}

TEST_OF(results_that_can_not_be_told_yet, 60, results(false))
TEST_OF(results_of_less_that_can_not_be_told_yet, 60, results(true))

TEST(holes_that_can_not_be_told_yet)
{
	static struct pages p;
	struct call c = { .request = NVFS_IOC_READ };
	struct nvfs_rw rw = { 0 };
	struct bench b;
	int file = file_make(EXT4, 64 * KIB, OLD, O_RDWR);
	struct nvfs_hole *hole;

	ASSERT_EQ(ftruncate(file, 128 * KIB), 0);
	set_up(&b, file);
	b.x.length = 128 * KIB;
	pages_make(&p);
	c.x = &b.x;
	c.rw = &rw;
	fill_rw(&rw, &b.x);
	rw.flags = NVFS_RW_REPORT_HOLES;
	rw.holes = (uintptr_t)p.mem + BLOCK;
	rw.max_holes = 4;
	call_begin(&c);
	pages_wait(&p);
	free_memory(&b);
	pages_give(&p);
	ASSERT_EQ(pthread_join(c.thread, NULL), 0);
	check_over(&b);
	ASSERT_EQ(c.error, 0);
	ASSERT_EQ(rw.done, 128 * KIB);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(rw.nr_holes, 1);
	hole = (void *)(p.mem + BLOCK);
	ASSERT_EQ(hole->file_offset, 64 * KIB);
	ASSERT_EQ(hole->length, 64 * KIB);
}

/* The first request of a batch is there, the second is not. */
static void batch_of_two(bool free_it_meanwhile)
{
	static struct pages p;
	struct nvfs_request *first;
	struct nvfs_event event[2];
	struct call c = { 0 };
	struct nvfs_rw rw;
	struct bench b;
	int i;

	set_up(&b, file_make(PART, SIZE, OLD, O_RDWR));
	b.x.length = 64 * KIB;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	gpu_fill(&b.buf, POISON);
	pages_make(&p);
	first = (void *)(p.mem + BLOCK - sizeof(*first));
	*first = nv_request(&b.x, NVFS_OP_READ, 0, 0);
	b.x.region_offset = b.x.file_offset = 64 * KIB;
	*(struct nvfs_request *)p.from = nv_request(&b.x, NVFS_OP_READ, 0, 1);
	c.x = &b.x;
	c.req = first;
	c.batch = batch_make(b.x.dev, 2);
	call_begin(&c);
	pages_wait(&p);
	if (free_it_meanwhile)
		free_memory(&b);
	pages_give(&p);
	ASSERT_EQ(pthread_join(c.thread, NULL), 0);
	if (free_it_meanwhile) {
		check_over(&b);
		ASSERT_EQ(c.error, ESTALE);
		ASSERT_EQ(c.out.wrong, 0);
		return;
	}
	ASSERT_EQ(c.error, 0);
	batch_reap_all(b.x.dev, c.batch, event, 2, 10);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, 64 * KIB);
	}
	gpu_check_pattern(&b.buf, 0, 128 * KIB, OLD, 0);
	gpu_check_byte(&b.buf, 128 * KIB, SIZE - 128 * KIB, POISON);
}

TEST_OF(a_request_of_a_batch_that_comes_late, 60, batch_of_two(false))
TEST_OF(a_request_of_a_batch_that_does_not_come, 60, batch_of_two(true))

/* ---------------------------------------------- files that do not answer */

/* Until the thread sleeps and nothing but what it waits for wakes it. */
static void wait_stuck(struct call *c)
{
	double end = harness_now() + 30;
	char path[64], line[200], *state;
	FILE *f;

	for (;;) {
		int tid = __atomic_load_n(&c->tid, __ATOMIC_SEQ_CST);

		if (harness_now() > end)
			FAIL("the request does not wait for its file");
		sched_yield();
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
		f = fopen(path, "re");
		if (!f)
			continue;
		state = fgets(line, sizeof(line), f);
		fclose(f);
		if (state && strstr(line, ") D "))
			return;
	}
}

/* The same for @nr workers. */
static void wait_workers_stuck(int nr)
{
	double end = harness_now() + 60;
	char out[32] = "0";

	while (atoi(out) < nr) {
		if (harness_now() > end)
			FAIL("%d workers wait, not %d", atoi(out), nr);
		shell(out, sizeof(out), "cat /proc/[0-9]*/stat 2>/dev/null | "
		      "grep -c '+nvfs-.*) D '");
	}
}

/* A file that takes no writes, or a drive that gives nothing. */
struct silence {
	struct frost frost;
	bool write;
	int file;
	char path[100];
};

static void silence_make(struct silence *s, bool write)
{
	s->write = write;
	if (write) {
		snprintf(s->path, sizeof(s->path), "%s/hold", vblk_ext4());
		s->file = file_make_at(s->path, 0, SIZE, OLD,
				       O_RDWR | O_DIRECT);
		return;
	}
	close(file_make(PART, SIZE, OLD, O_RDONLY));
	s->file = open(mute_make(SIZE), O_RDWR | O_CLOEXEC);
	ASSERT_GE(s->file, 0);
}

static void silence_begin(struct silence *s)
{
	if (s->write)
		frost_begin(&s->frost, vblk_ext4());
	else
		mute_begin(&s->frost);
}

static void silence_end(struct silence *s)
{
	if (s->write)
		frost_end(&s->frost);
	else
		mute_end(&s->frost);
}

static void silence_remove(struct silence *s)
{
	close(s->file);
	if (s->write)
		ASSERT_EQ(unlink(s->path), 0);
	else
		mute_remove();
}

/* What was done is good, what was not has not been touched. */
static void check_done(struct silence *s, uint64_t from, uint64_t to,
		       uint64_t done)
{
	ASSERT_LT(done, to - from);
	if (!s->write) {
		ASSERT_EQ(done, 0);
		return;
	}
	file_check(s->file, 0, from, done, NEW);
	file_check(s->file, 0, from + done, to - from - done, OLD);
}

static void one_call(bool write, uint64_t from)
{
	struct call c = { .request = write ? NVFS_IOC_WRITE : NVFS_IOC_READ };
	struct nvfs_rw rw = { 0 };
	struct silence s;
	struct bench b;

	silence_make(&s, write);
	set_up(&b, s.file);
	b.x.length = SIZE - from;
	b.x.file_offset = b.x.region_offset = from;
	c.x = &b.x;
	c.rw = &rw;
	fill_rw(&rw, &b.x);
	rw.region_offset = from;
	rw.flags = NVFS_RW_BOUNCE;
	silence_begin(&s);
	call_begin(&c);
	wait_stuck(&c);
	free_memory(&b);
	silence_end(&s);
	ASSERT_EQ(pthread_join(c.thread, NULL), 0);
	check_over(&b);
	ASSERT_EQ(c.error, ESTALE);
	ASSERT_EQ(rw.route, rw.done ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE);
	check_done(&s, from, SIZE, rw.done);
	silence_remove(&s);
}

TEST_OF(read_that_is_not_answered, 90, one_call(false, 0))
TEST_OF(read_that_is_not_answered_unaligned, 90, one_call(false, 77))
TEST_OF(write_that_is_not_answered, 90, one_call(true, 0))
/* it begins with a part of a block */
TEST_OF(write_of_a_part_that_is_not_answered, 90, one_call(true, 77))

static void one_batch(bool write)
{
	enum { NR = 4 };
	const uint64_t each = SIZE / NR;
	struct nvfs_request req[NR];
	struct nvfs_event event[NR];
	struct nvfs_batch_submit out;
	struct silence s;
	struct bench b;
	uint32_t batch, i;

	silence_make(&s, write);
	set_up(&b, s.file);
	batch = batch_make(b.x.dev, NR);
	b.x.length = each;
	for (i = 0; i < NR; i++) {
		b.x.file_offset = b.x.region_offset = i * each;
		req[i] = nv_request(&b.x, write ? NVFS_OP_WRITE : NVFS_OP_READ,
				    NVFS_RW_BOUNCE, i);
	}
	silence_begin(&s);
	ASSERT_EQ(batch_submit(b.x.dev, batch, req, NR, &out), 0);
	wait_workers_stuck(NR);
	free_memory(&b);
	silence_end(&s);
	batch_reap_all(b.x.dev, batch, event, NR, 30);
	check_over(&b);
	for (i = 0; i < NR; i++) {
		uint64_t at = event[i].user_data * each;

		ASSERT_EQ(event[i].error, ESTALE);
		check_done(&s, at, at + each, event[i].done);
	}
	silence_remove(&s);
}

TEST_OF(batch_of_reads_that_is_not_answered, 90, one_batch(false))
TEST_OF(batch_of_writes_that_is_not_answered, 90, one_batch(true))

/* The same end by the owner of the region. */
TEST_LIMIT(unregister_waits_for_no_file, 90)
{
	struct call c = { .request = NVFS_IOC_WRITE };
	struct nvfs_rw rw = { 0 };
	struct silence s;
	struct bench b;
	double took;

	silence_make(&s, true);
	set_up(&b, s.file);
	c.x = &b.x;
	c.rw = &rw;
	fill_rw(&rw, &b.x);
	rw.flags = NVFS_RW_BOUNCE;
	silence_begin(&s);
	call_begin(&c);
	wait_stuck(&c);
	b.freed = false;
	took = harness_now();
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
	took = harness_now() - took;
	silence_end(&s);
	ASSERT_EQ(pthread_join(c.thread, NULL), 0);
	ASSERT_LT(took, LIMIT_S);
	ASSERT_EQ(c.error, ESTALE);
	ASSERT_EQ(gpu_pins(), 0);
	check_done(&s, 0, SIZE, rw.done);
	silence_remove(&s);
}

/* ---------------------------------------------- workers that do not come */

#define STUCK	300	/* more than a user has workers */
#define SHARED	512

/*
 * The page cache holds bytes that the drive has not: who reads there must wait for
 * these to be written, so requests go to workers.
 */
static void dirty(int file, uint64_t length)
{
	uint8_t *data = xmalloc(length);

	pattern_fill(data, length, OLD, 0);
	ASSERT_EQ(pwrite(file, data, length, 0), length);
	free(data);
}

/*
 * Requests that go direct share what they hold. Some must be left to workers, all
 * of which wait for a file; the memory belongs to none of what these do.
 */
TEST_LIMIT(requests_that_share_and_get_no_worker, 180)
{
	static struct nvfs_request req[SHARED];
	static struct nvfs_event event[SHARED];
	uint32_t first, second, i, stale = 0;
	struct nvfs_batch_submit out;
	long long punts;
	struct nvfs_rw rw;
	struct silence s;
	struct bench b, other;

	silence_make(&s, true);
	set_up(&other, s.file);
	set_up(&b, file_make(PART, SIZE, OLD, O_RDWR));
	first = batch_make(other.x.dev, STUCK);
	second = batch_make(b.x.dev, SHARED);
	other.x.length = 1000;
	for (i = 0; i < STUCK; i++) {
		other.x.file_offset = i * 3000 + 1;
		req[i] = nv_request(&other.x, NVFS_OP_WRITE, NVFS_RW_BOUNCE, i);
	}
	b.x.length = BLOCK;
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	silence_begin(&s);
	ASSERT_EQ(batch_submit(other.x.dev, first, req, STUCK, &out), 0);
	wait_workers_stuck(200);
	for (i = 0; i < SHARED; i++) {
		b.x.file_offset = b.x.region_offset = i * BLOCK;
		req[i] = nv_request(&b.x, NVFS_OP_READ, 0, i);
	}
	dirty(b.x.file, SHARED / 2 * BLOCK);
	punts = stat_get("punts");
	ASSERT_EQ(batch_submit(b.x.dev, second, req, SHARED, &out), 0);
	punts = stat_get("punts") - punts;
	free_memory(&b);
	silence_end(&s);
	batch_reap_all(b.x.dev, second, event, SHARED, 60);
	for (i = 0; i < SHARED; i++) {
		stale += event[i].error == ESTALE;
		ASSERT_TRUE(!event[i].error || event[i].error == ESTALE);
		ASSERT_EQ(event[i].done, event[i].error ? 0 : BLOCK);
	}
	batch_reap_all(other.x.dev, first, event, STUCK, 60);
	ASSERT_EQ(nv_unregister(other.x.dev, other.x.region), 0);
	check_freed(&b);
	harness_note("%lld of %d requests left to workers, %u stale", punts,
		     SHARED, stale);
	ASSERT_GT(punts, 0);
	ASSERT_EQ(stale, punts);
	silence_remove(&s);
}
