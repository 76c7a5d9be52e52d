// SPDX-License-Identifier: MIT
/*
 * Ends: memory that is freed, regions that are unregistered, files that are
 * closed and processes that die, while requests run and while none does. After
 * the end no DMA may reach the memory, and nothing stays pinned; the latter is
 * also looked for by the harness after each test.
 */
#include "fix.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED		21
#define POISON		0x5a
#define LENGTH		(8 * MIB)

struct busy {
	struct xfer x;
	struct gpu_buf buf;
	pthread_t thread;
	bool write;
	int started;		/* requests begun */
	int whole;		/* requests that moved all */
	int end_errno;		/* why the thread stopped */
	uint64_t end_done;	/* what its last request had moved */
};

/* Requests without a pause until one fails. */
static void *keep_busy(void *arg)
{
	struct busy *b = arg;
	struct nvfs_rw rw;

	for (;;) {
		int ret;

		__atomic_add_fetch(&b->started, 1, __ATOMIC_SEQ_CST);
		ret = b->write ? nv_write(&b->x, &rw) : nv_read(&b->x, &rw);
		if (ret)
			break;
		ASSERT_EQ(rw.done, b->x.length);
		b->whole++;
	}
	b->end_errno = errno;
	b->end_done = rw.done;
	return NULL;
}

static void make_busy(struct busy *b, enum target target, bool write)
{
	memset(b, 0, sizeof(*b));
	b->write = write;
	b->x.dev = nv_open();
	gpu_alloc(&b->buf, 0, LENGTH, false);
	gpu_put_pattern(&b->buf, 0, LENGTH, SEED, 0);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, LENGTH, SEED, O_RDWR | O_DIRECT);
	b->x.file_offset = target_base(target);
	b->x.length = LENGTH;
}

static void start_thread(struct busy *b)
{
	ASSERT_EQ(pthread_create(&b->thread, NULL, keep_busy, b), 0);
}

/* Until the thread is in its n-th request, or close to it. */
static void wait_for_request(struct busy *b, int n)
{
	while (__atomic_load_n(&b->started, __ATOMIC_SEQ_CST) < n)
		sched_yield();
}

/* A moment that is different in each round: the race is met anywhere. */
static void spin_a_while(uint64_t *state, unsigned int max_us)
{
	double end = harness_now() + random_next(state) % max_us / 1e6;

	while (harness_now() < end)
		continue;
}

/* ------------------------------------------------- memory that is freed */

TEST(free_under_a_region_gives_estale)
{
	struct nvfs_rw rw;
	struct busy b;

	make_busy(&b, EXT4, false);
	ASSERT_EQ(gpu_pins(), 1);
	gpu_free(&b.buf);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_ERRNO(nv_read(&b.x, &rw), ESTALE);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	ASSERT_ERRNO(nv_write(&b.x, &rw), ESTALE);
	file_check(b.x.file, 0, 0, LENGTH, SEED);
	/* the id stays the owner's until it is unregistered */
	ASSERT_EQ(nv_nr_regions(b.x.dev), 1);
	ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
	ASSERT_ERRNO(nv_read(&b.x, &rw), ENOENT);
	ASSERT_EQ(nv_nr_regions(b.x.dev), 0);
}

TEST(freed_memory_of_one_region_leaves_the_others)
{
	struct gpu_buf other;
	struct nvfs_rw rw;
	struct busy b;

	make_busy(&b, EXT4, false);
	gpu_alloc(&other, 0, LENGTH, false);
	gpu_free(&b.buf);
	ASSERT_ERRNO(nv_read(&b.x, &rw), ESTALE);
	b.x.region = nv_region(b.x.dev, &other);
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	gpu_check_pattern(&other, 0, LENGTH, SEED, 0);
}

/*
 * The memory is freed in the middle of a request, taken again and filled: had
 * free returned before the last DMA, the new bytes would not survive (READ) or
 * would be found in the file (WRITE). The request is large, so that there is a
 * middle, and the new bytes go first to where a late transfer comes last.
 */
#define BIG	(48 * MIB)
#define TAIL	(64 * KIB)

static void free_in_the_middle(int file, bool write, uint64_t *state)
{
	static uint8_t tail[TAIL];
	struct busy b = { .write = write };
	struct gpu_buf again;

	memset(tail, POISON, sizeof(tail));
	b.x.dev = nv_open();
	b.x.file = file;
	b.x.length = BIG;
	gpu_alloc(&b.buf, 0, BIG, false);
	if (write)
		gpu_put_pattern(&b.buf, BIG - TAIL, TAIL, SEED, BIG - TAIL);
	b.x.region = nv_region(b.x.dev, &b.buf);
	start_thread(&b);
	wait_for_request(&b, 1);
	spin_a_while(state, 10000);
	gpu_free(&b.buf);
	gpu_alloc(&again, 0, BIG, false);
	gpu_put(&again, BIG - TAIL, tail, TAIL);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_EQ(pthread_join(b.thread, NULL), 0);
	ASSERT_EQ(b.end_errno, ESTALE);
	gpu_check_byte(&again, BIG - TAIL, TAIL, POISON);
	file_check(file, 0, BIG - TAIL, TAIL, SEED);
	gpu_free(&again);
	close(b.x.dev);
}

static void free_during(enum target target, bool write)
{
	/* neither target has an offset: the file begins at 0 */
	int file = file_make(target, BIG, SEED, O_RDWR | O_DIRECT);
	uint64_t state = 5;
	int round;

	for (round = 0; round < 8; round++)
		free_in_the_middle(file, write, &state);
}

TEST_LIMIT(free_during_a_read_waits_for_its_dma, 120)
{
	free_during(EXT4, false);
}

TEST_LIMIT(free_during_a_write_waits_for_its_dma, 120)
{
	free_during(PART, true);
}

TEST(free_of_memory_in_two_regions_revokes_both)
{
	struct nvfs_rw rw;
	struct busy b;
	uint32_t first;

	make_busy(&b, EXT4, false);
	first = b.x.region;
	b.x.region = nv_region(b.x.dev, &b.buf);
	ASSERT_EQ(gpu_pins(), 2);
	gpu_free(&b.buf);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_ERRNO(nv_read(&b.x, &rw), ESTALE);
	b.x.region = first;
	ASSERT_ERRNO(nv_read(&b.x, &rw), ESTALE);
}

static void *free_it(void *arg)
{
	gpu_free(arg);
	return NULL;
}

/* Both ends meet: exactly one of them unpins, and neither hangs. */
TEST_LIMIT(free_and_unregister_at_once, 120)
{
	uint64_t state = 9;
	int round;

	for (round = 0; round < 200; round++) {
		int dev = nv_open();
		struct gpu_buf buf;
		pthread_t thread;
		uint32_t id;

		gpu_alloc(&buf, 0, 256 * KIB, round & 1);
		id = nv_region(dev, &buf);
		ASSERT_EQ(pthread_create(&thread, NULL, free_it, &buf), 0);
		spin_a_while(&state, 400);
		if (round & 2)
			ASSERT_EQ(nv_unregister(dev, id), 0);
		close(dev);
		ASSERT_EQ(pthread_join(thread, NULL), 0);
		ASSERT_EQ(gpu_pins(), 0);
	}
}

TEST(persistent_region_outlives_its_memory)
{
	struct nvfs_register reg = { 0 };
	struct xfer x = { .dev = nv_open(), .length = 64 * KIB };
	struct gpu_buf buf;
	struct nvfs_rw rw;

	gpu_alloc(&buf, 0, 64 * KIB, false);
	reg.size = sizeof(reg);
	reg.flags = NVFS_REGISTER_PERSISTENT;
	reg.fd = -1;
	reg.addr = buf.va;
	reg.length = buf.size;
	ASSERT_EQ(ioctl(x.dev, NVFS_IOC_REGISTER, &reg), 0);
	x.region = reg.region;
	gpu_free(&buf);
	ASSERT_EQ(gpu_pins(), 1);
	x.file = file_make(EXT4, 64 * KIB, SEED, O_RDWR);
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_EQ(rw.done, 64 * KIB);
	x.file_offset = 64 * KIB;
	ASSERT_EQ(nv_write(&x, &rw), 0);
	file_check(x.file, 64 * KIB, 0, 64 * KIB, SEED);
	ASSERT_EQ(nv_unregister(x.dev, reg.region), 0);
	ASSERT_EQ(gpu_pins(), 0);
}

/*
 * A region may count its requests in another way once it has seen many: its end
 * comes around the requests at which that could happen.
 */
static void end_of_a_busy_region(bool unregister)
{
	uint64_t state = 10;
	int round;

	for (round = 0; round < 12; round++) {
		struct busy b, second;

		make_busy(&b, EXT4, false);
		b.x.length = BLOCK;
		second = b;
		start_thread(&b);
		start_thread(&second);
		wait_for_request(&b, 1 + (int)(random_next(&state) % 400));
		if (unregister)
			ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
		else
			gpu_free(&b.buf);
		ASSERT_EQ(gpu_pins(), 0);
		ASSERT_EQ(pthread_join(b.thread, NULL), 0);
		ASSERT_EQ(pthread_join(second.thread, NULL), 0);
		ASSERT_TRUE(b.end_errno == ESTALE || b.end_errno == ENOENT);
		if (unregister)
			gpu_free(&b.buf);
		close(b.x.file);
		close(b.x.dev);
	}
}

TEST_LIMIT(free_under_many_small_requests, 120)
{
	end_of_a_busy_region(false);
}

TEST_LIMIT(unregister_under_many_small_requests, 120)
{
	end_of_a_busy_region(true);
}

/* --------------------------------------------- regions that are ended */

TEST_LIMIT(unregister_during_io_waits_for_its_dma, 120)
{
	uint64_t state = 6;
	int round;

	for (round = 0; round < 12; round++) {
		struct busy b;

		make_busy(&b, round & 1 ? XFS : EXT4, false);
		start_thread(&b);
		wait_for_request(&b, 1 + round % 3);
		spin_a_while(&state, 8000);
		ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
		ASSERT_EQ(gpu_pins(), 0);
		gpu_fill(&b.buf, POISON);
		ASSERT_EQ(pthread_join(b.thread, NULL), 0);
		ASSERT_TRUE(b.end_errno == ENOENT || b.end_errno == ESTALE);
		gpu_check_byte(&b.buf, 0, LENGTH, POISON);
		gpu_free(&b.buf);
		close(b.x.file);
		close(b.x.dev);
	}
}

TEST(unregister_twice_is_enoent)
{
	struct gpu_buf buf;
	int dev = nv_open();
	uint32_t id;

	gpu_alloc(&buf, 0, 64 * KIB, false);
	id = nv_region(dev, &buf);
	ASSERT_EQ(nv_unregister(dev, id), 0);
	ASSERT_ERRNO(nv_unregister(dev, id), ENOENT);
}

static void *unregister_it(void *arg)
{
	struct busy *b = arg;

	return (void *)(intptr_t)(nv_unregister(b->x.dev, b->x.region) ?
				  errno : 0);
}

TEST(only_one_of_two_unregisters_wins)
{
	int round;

	for (round = 0; round < 50; round++) {
		struct busy b = { .x.dev = nv_open() };
		void *result[2];
		pthread_t t[2];
		int i;

		gpu_alloc(&b.buf, 0, 64 * KIB, false);
		b.x.region = nv_region(b.x.dev, &b.buf);
		for (i = 0; i < 2; i++)
			ASSERT_EQ(pthread_create(&t[i], NULL, unregister_it,
						 &b), 0);
		for (i = 0; i < 2; i++)
			ASSERT_EQ(pthread_join(t[i], &result[i]), 0);
		ASSERT_EQ(!result[0] + !result[1], 1);
		ASSERT_EQ((intptr_t)result[0] + (intptr_t)result[1], ENOENT);
		gpu_free(&b.buf);
		close(b.x.dev);
	}
}

/* The request keeps the open file: it ends well, and then all is released. */
TEST_LIMIT(close_during_io_lets_the_request_end, 90)
{
	uint64_t state = 7;
	int round;

	for (round = 0; round < 10; round++) {
		struct busy b;

		make_busy(&b, EXT4, false);
		start_thread(&b);
		wait_for_request(&b, 2);
		spin_a_while(&state, 8000);
		ASSERT_EQ(close(b.x.dev), 0);
		ASSERT_EQ(pthread_join(b.thread, NULL), 0);
		ASSERT_EQ(b.end_errno, EBADF);
		ASSERT_GE(b.whole, 1);
		ASSERT_EQ(gpu_pins(), 0);
		gpu_free(&b.buf);
		close(b.x.file);
	}
}

/* ---------------------------------------------- processes that die */

/* In a child: requests from two threads until it is killed. */
_Noreturn static void be_a_victim(int ready, bool writes)
{
	struct busy b, second;

	make_busy(&b, EXT4, writes);
	second = b;
	start_thread(&b);
	start_thread(&second);
	wait_for_request(&b, 2);
	ASSERT_EQ(write(ready, "", 1), 1);
	pthread_join(b.thread, NULL);
	FAIL("requests ended with errno %d", b.end_errno);
}

static void kill_during(bool write)
{
	uint64_t state = 8;
	int round;

	for (round = 0; round < 15; round++) {
		int status, pipe_fds[2];
		pid_t pid;
		char c;

		ASSERT_EQ(pipe(pipe_fds), 0);
		pid = fork();
		if (!pid)
			be_a_victim(pipe_fds[1], write);
		close(pipe_fds[1]);
		ASSERT_EQ(read(pipe_fds[0], &c, 1), 1);
		close(pipe_fds[0]);
		spin_a_while(&state, 20000);
		ASSERT_EQ(kill(pid, SIGKILL), 0);
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_EQ(gpu_pins(), 0);
		ASSERT_EQ(stat_get("regions_registered"),
			  stat_get("regions_ended"));
		ASSERT_EQ(stat_get("read_started"), stat_get("read_ended"));
		ASSERT_EQ(stat_get("write_started"), stat_get("write_ended"));
	}
}

TEST_LIMIT(kill_9_during_reads, 120)
{
	kill_during(false);
}

TEST_LIMIT(kill_9_during_writes, 120)
{
	kill_during(true);
}

TEST(exit_without_clean_up_releases_everything)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct gpu_buf buf;
		int i, dev = nv_open();

		gpu_alloc(&buf, 0, 1 * MIB, true);
		for (i = 0; i < 50; i++)
			nv_region(dev, &buf);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(gpu_pins(), 0);
}

/* ------------------------------------------------------------- fork */

/* The open file is shared: the child may use the region, its exit ends none. */
TEST(region_after_fork_belongs_to_the_open_file)
{
	struct nvfs_rw rw;
	struct busy b;
	int status;
	pid_t pid;

	make_busy(&b, EXT4, false);
	gpu_fill(&b.buf, POISON);
	pid = fork();
	if (!pid) {
		ASSERT_EQ(nv_read(&b.x, &rw), 0);
		ASSERT_EQ(rw.done, LENGTH);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	gpu_check_pattern(&b.buf, 0, LENGTH, SEED, 0);
	gpu_fill(&b.buf, POISON);
	ASSERT_EQ(nv_read(&b.x, &rw), 0);
	gpu_check_pattern(&b.buf, 0, LENGTH, SEED, 0);
	ASSERT_EQ(gpu_pins(), 1);
}

TEST(child_can_not_register_memory_of_its_parent)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	int status, dev = nv_open();
	pid_t pid;

	gpu_alloc(&buf, 0, 1 * MIB, false);
	pid = fork();
	if (!pid) {
		ASSERT_ERRNO(nv_register(dev, buf.va, buf.size, &reg), EFAULT);
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(nv_nr_regions(dev), 0);
}

/* Holds the region of its dead parent; says one byte when all was right. */
_Noreturn static void be_an_orphan(struct busy *b, int go, int done)
{
	struct nvfs_rw rw;
	char c;

	ASSERT_EQ(read(go, &c, 1), 1);
	ASSERT_ERRNO(nv_read(&b->x, &rw), ESTALE);
	ASSERT_ERRNO(nv_write(&b->x, &rw), ESTALE);
	ASSERT_EQ(write(done, "", 1), 1);
	_exit(0);
}

TEST(owner_dies_while_a_child_holds_the_region)
{
	int go[2], done[2], status;
	pid_t owner;
	char c;

	ASSERT_EQ(pipe(go), 0);
	ASSERT_EQ(pipe(done), 0);
	owner = fork();
	if (!owner) {
		struct busy b;

		make_busy(&b, EXT4, false);
		close(done[0]);
		if (!fork())
			be_an_orphan(&b, go[0], done[1]);
		_exit(0);
	}
	close(done[1]);
	ASSERT_EQ(waitpid(owner, &status, 0), owner);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_EQ(write(go[1], "", 1), 1);
	ASSERT_EQ(read(done[0], &c, 1), 1);
}

/* -------------------------------------------------------------- leaks */

static long long meminfo(const char *key)
{
	char command[64], out[64];

	snprintf(command, sizeof(command), "%s:", key);
	ASSERT_EQ(shell(out, sizeof(out),
			"awk '$1 == \"%s\" { print $2 }' /proc/meminfo",
			command), 0);
	return atoll(out);
}

#define CHURN_THREADS	8
#define CHURN_ROUNDS	(10000 / CHURN_THREADS)

static void *churn(void *arg)
{
	struct busy *b = arg;
	int i;

	for (i = 0; i < CHURN_ROUNDS; i++)
		ASSERT_EQ(nv_unregister(b->x.dev, nv_region(b->x.dev, &b->buf)),
			  0);
	return NULL;
}

/* By several threads: each end of a region waits for a grace period. */
TEST_LIMIT(register_and_unregister_10000_times, 180)
{
	pthread_t thread[CHURN_THREADS];
	struct busy b = { .x.dev = nv_open() };
	long long before, growth;
	int i;

	gpu_alloc(&b.buf, 0, 1 * MIB, true);
	ASSERT_EQ(nv_unregister(b.x.dev, nv_region(b.x.dev, &b.buf)), 0);
	before = meminfo("SUnreclaim") + meminfo("VmallocUsed");
	for (i = 0; i < CHURN_THREADS; i++)
		ASSERT_EQ(pthread_create(&thread[i], NULL, churn, &b), 0);
	for (i = 0; i < CHURN_THREADS; i++)
		ASSERT_EQ(pthread_join(thread[i], NULL), 0);
	ASSERT_EQ(gpu_pins(), 0);
	ASSERT_EQ(nv_nr_regions(b.x.dev), 0);
	growth = meminfo("SUnreclaim") + meminfo("VmallocUsed") - before;
	harness_note("kernel memory grew by %lld KiB", growth);
	/* A kernel that looks for leaks itself also keeps what was freed (KASAN) */
	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		return;
	/* 10,000 leaked objects of the smallest size would be 80 KiB, of any
	 * real one 640 KiB and more; RCU may still hold a few
	 */
	ASSERT_LT(growth, 640);
}

TEST_LIMIT(thousand_regions_at_once, 120)
{
	static uint32_t id[1000];
	struct xfer x = { .dev = nv_open(), .length = 64 * KIB };
	struct gpu_buf buf;
	struct nvfs_rw rw;
	int i;

	gpu_alloc(&buf, 0, 1 * MIB, false);
	x.file = file_make(EXT4, 64 * KIB, SEED, O_RDONLY);
	for (i = 0; i < 1000; i++)
		id[i] = nv_region(x.dev, &buf);
	ASSERT_EQ(nv_nr_regions(x.dev), 1000);
	x.region = id[999];
	ASSERT_EQ(nv_read(&x, &rw), 0);
	gpu_check_pattern(&buf, 0, 64 * KIB, SEED, 0);
	for (i = 0; i < 1000; i += 2)
		ASSERT_EQ(nv_unregister(x.dev, id[i]), 0);
	ASSERT_EQ(nv_nr_regions(x.dev), 500);
	ASSERT_EQ(gpu_pins(), 500);
}
