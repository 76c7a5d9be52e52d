// SPDX-License-Identifier: MIT
/*
 * Requests as io_uring commands, by raw system calls: the payload in the second
 * half of a 128-byte entry, the route in the first extra word of the completion.
 */
#include "fix_ring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	91
#define POISON	0xb5
#define PIECE	(8 * KIB)
#define ENTRIES	RING_ENTRIES

static void ring_expect_empty(struct ring *r)
{
	ASSERT_TRUE(ring_empty(r));
}

/* A ring goes away some time after its last close, and lets go of its files. */
static void wait_for_closes(long long open)
{
	double end = harness_now() + RING_WAIT_S;

	while (stat_get("files_open") != open) {
		if (harness_now() > end)
			FAIL("the device is still open after %d s", RING_WAIT_S);
		sched_yield();
	}
}

struct bench {
	struct ring ring;
	struct gpu_buf buf;
	struct xfer x;
};

static void set_up(struct bench *b, enum target target, uint64_t size)
{
	memset(b, 0, sizeof(*b));
	ring_make_big(&b->ring, 0);
	b->x.dev = nv_open();
	b->x.length = PIECE;
	gpu_alloc(&b->buf, 0, size, false);
	gpu_fill(&b->buf, POISON);
	b->x.region = nv_region(b->x.dev, &b->buf);
	b->x.file = file_make(target, size, SEED, O_RDWR);
	b->x.file_offset = target_base(target);
}

static struct nvfs_request piece(const struct bench *b, uint32_t i,
				 uint32_t op, uint32_t flags)
{
	struct xfer x = b->x;

	x.region_offset = i * PIECE;
	x.file_offset += i * PIECE;
	return nv_request(&x, op, flags, i);
}

/* @nr commands at once, each ended once and whole. */
static void run_pieces(struct bench *b, uint32_t nr, uint32_t op,
		       uint8_t sqe_flags)
{
	bool seen[ENTRIES] = { false };
	struct nvfs_request req;
	struct io_uring_sqe *sqe;
	struct cqe cqe;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		req = piece(b, i, op, 0);
		sqe = ring_next(&b->ring);
		ring_fill(sqe, b->x.dev, &req);
		sqe->flags = sqe_flags;
		ring_push(&b->ring);
	}
	ring_submit(&b->ring, nr);
	for (i = 0; i < nr; i++) {
		cqe = ring_wait(&b->ring);
		ASSERT_LT(cqe.user_data, nr);
		ASSERT_TRUE(!seen[cqe.user_data]);
		seen[cqe.user_data] = true;
		ASSERT_EQ(cqe.res, PIECE);
		ASSERT_EQ(cqe.extra[0], NVFS_ROUTE_DIRECT);
	}
	ring_expect_empty(&b->ring);
}

static void reads_and_writes(enum target target, uint8_t sqe_flags)
{
	enum { NR = 200 };
	struct bench b;

	set_up(&b, target, NR * PIECE);
	run_pieces(&b, NR, NVFS_OP_READ, sqe_flags);
	gpu_check_pattern(&b.buf, 0, NR * PIECE, SEED, 0);
	gpu_put_pattern(&b.buf, 0, NR * PIECE, SEED + 1, 0);
	run_pieces(&b, NR, NVFS_OP_WRITE, sqe_flags);
	file_check(b.x.file, target_base(target), 0, NR * PIECE, SEED + 1);
}

TEST_OF(reads_and_writes_disk, 60, reads_and_writes(DISK, 0))
TEST_OF(reads_and_writes_ext4, 60, reads_and_writes(EXT4, 0))
TEST_OF(reads_and_writes_xfs, 60, reads_and_writes(XFS, 0))
TEST_OF(from_a_thread_of_io_uring, 60, reads_and_writes(EXT4, IOSQE_ASYNC))

static struct cqe one_command(struct bench *b, const struct nvfs_request *req)
{
	struct cqe cqe;

	ring_add(&b->ring, b->x.dev, req);
	ring_submit(&b->ring, 1);
	cqe = ring_wait(&b->ring);
	ASSERT_EQ(cqe.user_data, req->user_data);
	return cqe;
}

TEST(the_extra_word_tells_the_route)
{
	struct nvfs_request req;
	struct bench b;
	struct cqe cqe;

	set_up(&b, EXT4, 256 * KIB);
	req = piece(&b, 0, NVFS_OP_READ, NVFS_RW_BOUNCE);
	req.length = 100000;
	cqe = one_command(&b, &req);
	ASSERT_EQ(cqe.res, 100000);
	ASSERT_EQ(cqe.extra[0], NVFS_ROUTE_MIXED | NVFS_REASON_ALIGN << 8);
	gpu_check_pattern(&b.buf, 0, 100000, SEED, 0);
	gpu_check_byte(&b.buf, 100000, 256 * KIB - 100000, POISON);
	req.region_offset = 1;
	cqe = one_command(&b, &req);
	ASSERT_EQ(cqe.res, 100000);
	ASSERT_EQ(cqe.extra[0], NVFS_ROUTE_BOUNCE | NVFS_REASON_ALIGN << 8);
	gpu_check_pattern(&b.buf, 1, 100000, SEED, 0);
	req.file_offset = 256 * KIB;
	cqe = one_command(&b, &req);
	ASSERT_EQ(cqe.res, 0);
	ASSERT_EQ(cqe.extra[0] & 0xff, NVFS_ROUTE_NONE);
	req.file_offset = 256 * KIB - 100;
	cqe = one_command(&b, &req);
	ASSERT_EQ(cqe.res, 100);
}

static void expect_error(struct bench *b, const struct nvfs_request *req,
			 int error)
{
	struct cqe cqe = one_command(b, req);

	if (cqe.res != -error)
		FAIL("res %d (%s), not %d", cqe.res, strerror(-cqe.res),
		     -error);
}

TEST(errors)
{
	struct nvfs_request good, req;
	struct bench b;

	set_up(&b, EXT4, 64 * KIB);
	good = piece(&b, 0, NVFS_OP_READ, 0);
	req = good, req.op = 2;
	expect_error(&b, &req, EINVAL);
	req = good, req.flags = NVFS_RW_REPORT_HOLES;
	expect_error(&b, &req, EINVAL);
	req = good, req.region = 999;
	expect_error(&b, &req, ENOENT);
	req = good, req.fd = -1;
	expect_error(&b, &req, EBADF);
	req = good, req.region_offset = 64 * KIB;
	expect_error(&b, &req, ERANGE);
	req = good, req.region_offset = UINT64_MAX;
	expect_error(&b, &req, EOVERFLOW);
	req = good, req.file_offset = 3;
	expect_error(&b, &req, EREMOTEIO);
	req = good, req.length = 0x80000000UL - 4095;
	expect_error(&b, &req, EINVAL);
	req = good, req.length = 0x80000000UL - 4096;
	expect_error(&b, &req, ERANGE);
	gpu_check_byte(&b.buf, 0, 64 * KIB, POISON);
	expect_error(&b, &good, -(int)PIECE);
	gpu_free(&b.buf);
	expect_error(&b, &good, ESTALE);
}

TEST(unknown_commands)
{
	static const uint32_t ops[] = {
		0, 1, UINT32_MAX, NVFS_URING_CMD_REQUEST ^ 1, NVFS_IOC_READ,
		NVFS_IOC_BATCH_REAP,
	};
	struct io_uring_sqe *sqe;
	struct nvfs_request req;
	struct bench b;
	size_t i;

	set_up(&b, EXT4, 64 * KIB);
	req = piece(&b, 0, NVFS_OP_READ, 0);
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		sqe = ring_next(&b.ring);
		ring_fill(sqe, b.x.dev, &req);
		sqe->cmd_op = ops[i];
		ring_push(&b.ring);
		ring_submit(&b.ring, 1);
		ASSERT_EQ(ring_wait(&b.ring).res, -ENOTTY);
	}
	gpu_check_byte(&b.buf, 0, 64 * KIB, POISON);
}

static void expect_small_refused(uint32_t flags)
{
	struct io_uring_sqe *sqe;
	struct ring ring;
	int dev = nv_open();

	ring_make(&ring, flags);
	sqe = ring_next(&ring);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = dev;
	sqe->cmd_op = NVFS_URING_CMD_REQUEST;
	ring_push(&ring);
	ring_submit(&ring, 1);
	ASSERT_EQ(ring_wait(&ring).res, -EINVAL);
}

TEST(entries_of_64_bytes_are_refused)
{
	expect_small_refused(0);
}

/* Polled completion is not offered; the command ends, with an error. */
TEST(a_polled_ring_is_refused)
{
	struct nvfs_request req;
	struct bench b;
	struct cqe cqe;

	set_up(&b, EXT4, 64 * KIB);
	close(b.ring.fd);
	ring_make_big(&b.ring, IORING_SETUP_IOPOLL);
	req = piece(&b, 0, NVFS_OP_READ, 0);
	ring_add(&b.ring, b.x.dev, &req);
	ASSERT_EQ(ring_enter(&b.ring, 1, 1, 0), 1);
	cqe = ring_wait(&b.ring);
	ASSERT_EQ(cqe.res, -EOPNOTSUPP);
	gpu_check_byte(&b.buf, 0, 64 * KIB, POISON);
}

/* A kernel thread submits for us. */
TEST(a_ring_with_a_thread)
{
	struct nvfs_request req;
	struct bench b;
	struct cqe cqe;
	uint32_t i;

	set_up(&b, EXT4, 64 * KIB);
	close(b.ring.fd);
	ring_make_big(&b.ring, IORING_SETUP_SQPOLL);
	for (i = 0; i < 8; i++) {
		req = piece(&b, i, NVFS_OP_READ, 0);
		ring_add(&b.ring, b.x.dev, &req);
	}
	if (__atomic_load_n(b.ring.sq_flags, __ATOMIC_SEQ_CST) &
	    IORING_SQ_NEED_WAKEUP)
		ASSERT_GE(ring_enter(&b.ring, 8, 0, IORING_ENTER_SQ_WAKEUP), 0);
	for (i = 0; i < 8; i++) {
		cqe = ring_wait(&b.ring);
		ASSERT_EQ(cqe.res, PIECE);
	}
	gpu_check_pattern(&b.buf, 0, 64 * KIB, SEED, 0);
}

static void use_registered(void)
{
	struct io_uring_sqe *sqe;
	struct nvfs_request req;
	struct bench b;
	uint32_t i;

	set_up(&b, EXT4, 128 * PIECE);
	ASSERT_EQ(syscall(__NR_io_uring_register, b.ring.fd,
			  IORING_REGISTER_FILES, &b.x.dev, 1), 0);
	for (i = 0; i < 128; i++) {
		req = piece(&b, i, NVFS_OP_READ, 0);
		sqe = ring_next(&b.ring);
		ring_fill(sqe, 0, &req);
		sqe->flags = IOSQE_FIXED_FILE;
		ring_push(&b.ring);
	}
	ring_submit(&b.ring, 128);
	for (i = 0; i < 128; i++)
		ASSERT_EQ(ring_wait(&b.ring).res, PIECE);
	gpu_check_pattern(&b.buf, 0, b.buf.size, SEED, 0);
	/* the ring alone keeps the device open, with its regions */
	close(b.x.dev);
	sqe = ring_next(&b.ring);
	ring_fill(sqe, 0, &req);
	sqe->flags = IOSQE_FIXED_FILE;
	ring_push(&b.ring);
	ring_submit(&b.ring, 1);
	ASSERT_EQ(ring_wait(&b.ring).res, PIECE);
}

TEST(registered_device_file)
{
	long long open = stat_get("files_open");
	int status;
	pid_t pid = fork();

	if (!pid) {
		use_registered();
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	wait_for_closes(open);
}

/* The depth of an open file counts batches and commands together. */
TEST(depth_is_a_limit)
{
	struct nvfs_request req;
	struct bench b;
	uint32_t batch;

	set_up(&b, EXT4, 64 * KIB);
	batch = batch_make(b.x.dev, NVFS_MAX_DEPTH);
	req = piece(&b, 0, NVFS_OP_READ, 0);
	expect_error(&b, &req, EBUSY);
	ASSERT_EQ(batch_destroy(b.x.dev, batch), 0);
	expect_error(&b, &req, -(int)PIECE);
	batch = batch_make(b.x.dev, NVFS_MAX_DEPTH - 1);
	expect_error(&b, &req, -(int)PIECE);
}

/* ----------------------------------------------------------------- bad input */

static void scramble(struct io_uring_sqe *sqe, struct nvfs_request *req,
		     uint64_t *state)
{
	static const uint64_t odd[] = {
		0, 1, 511, 4095, 4096, 65536, INT32_MAX, UINT32_MAX, INT64_MAX,
		UINT64_MAX, UINT64_MAX - 4095, 1ULL << 63, 1ULL << 32,
	};
	uint64_t r = random_next(state), v = random_next(state);

	if (r & 0x10000)
		v = odd[v % (sizeof(odd) / sizeof(odd[0]))];
	switch (r % 14) {
	case 0: req->op = (uint32_t)v; break;
	case 1: req->flags = (uint32_t)v; break;
	case 2: req->region = (uint32_t)v; break;
	case 3: req->fd = (int)(v % 64) - 1; break;
	case 4: req->region_offset = v; break;
	case 5: req->file_offset = v; break;
	case 6: req->length = v; break;
	case 7: sqe->cmd_op = (uint32_t)v; break;
	case 8: sqe->__pad1 = (uint32_t)v; break;
	case 9: sqe->rw_flags = (int)v; break;
	case 10: sqe->buf_index = (uint16_t)v; break;
	case 11: sqe->ioprio = (uint16_t)v; break;
	/*
	 * Not "no completion on success": then nothing could be counted. Not
	 * "drain": with links, bad fixed files and bad fields beside it, io_uring
	 * of 6.1 and 6.12 loses completions, those of reads of /dev/zero too.
	 */
	case 12: sqe->flags = (uint8_t)v & (uint8_t)~(IOSQE_CQE_SKIP_SUCCESS |
						      IOSQE_IO_DRAIN);
		 break;
	default: sqe->fd = (int)(v % 64) - 1; break;
	}
}

/* One completion for each entry; what is missing is shown. */
static void expect_each(struct ring *r, int round, uint32_t nr)
{
	bool seen[ENTRIES] = { false };
	uint32_t i;

	for (i = 0; i < nr && ring_wait_some(r); i++)
		seen[ring_wait(r).user_data % ENTRIES] = true;
	for (i = 0; i < nr; i++) {
		struct io_uring_sqe *sqe = (void *)(r->sqes +
			((uint32_t)round * nr + i) % ENTRIES * 128);
		struct nvfs_request req;

		memcpy(&req, (uint8_t *)sqe + 48, sizeof(req));
		if (!seen[i])
			FAIL("round %d, entry %u of %u has no completion: flags 0x%x fd %d op 0x%x; %u 0x%x %u %d 0x%llx 0x%llx 0x%llx",
			     round, i, nr, sqe->flags, sqe->fd, sqe->cmd_op,
			     req.op, req.flags, req.region, req.fd,
			     (unsigned long long)req.region_offset,
			     (unsigned long long)req.file_offset,
			     (unsigned long long)req.length);
	}
	ring_expect_empty(r);
}

/*
 * Commands with one to three fields at random. Each has one completion, none
 * touches what is beside the region.
 */
TEST_LIMIT(random_fields, 90)
{
	enum { ROUNDS = 60, NR = 64 };
	uint64_t state = 20261122;
	struct gpu_buf beside;
	struct bench b;
	int round, i, k;

	set_up(&b, EXT4, 256 * KIB);
	gpu_alloc(&beside, 0, 256 * KIB, false);
	gpu_fill(&beside, POISON);
	harness_note("seed %llu", (unsigned long long)state);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < NR; i++) {
			struct io_uring_sqe *sqe = ring_next(&b.ring);
			struct nvfs_request req;

			req = piece(&b, (uint32_t)i % 32, NVFS_OP_READ, 0);
			ring_fill(sqe, b.x.dev, &req);
			sqe->user_data = (uint64_t)i;
			for (k = (int)(random_next(&state) % 3); k >= 0; k--)
				scramble(sqe, &req, &state);
			memcpy((uint8_t *)sqe + 48, &req, sizeof(req));
			ring_push(&b.ring);
		}
		/* a bad entry may end a submission early */
		for (i = 0; i < NR; ) {
			int n = ring_enter(&b.ring, (uint32_t)(NR - i), 0, 0);

			ASSERT_GT(n, 0);
			i += n;
		}
		expect_each(&b.ring, round, NR);
	}
	gpu_check_byte(&beside, 0, beside.size, POISON);
	ASSERT_EQ(nv_nr_regions(b.x.dev), 1);
}

/* The whole command area at random, as an attacker would. */
TEST(random_payloads)
{
	enum { NR = 200 };
	uint64_t state = 4711;
	struct bench b;
	int round, i, k;

	set_up(&b, EXT4, 64 * KIB);
	for (round = 0; round < 20; round++) {
		for (i = 0; i < NR; i++) {
			struct io_uring_sqe *sqe = ring_next(&b.ring);
			uint64_t word[10];

			sqe->opcode = IORING_OP_URING_CMD;
			sqe->fd = b.x.dev;
			sqe->cmd_op = NVFS_URING_CMD_REQUEST;
			for (k = 0; k < 10; k++)
				word[k] = random_next(&state);
			memcpy((uint8_t *)sqe + 48, word, sizeof(word));
			ring_push(&b.ring);
		}
		ring_submit(&b.ring, NR);
		for (i = 0; i < NR; i++)
			ASSERT_LT(ring_wait(&b.ring).res, 0);
	}
	gpu_check_byte(&b.buf, 0, 64 * KIB, POISON);
}

/* ----------------------------------------------------------- ends in flight */

static void start_many(struct bench *b, uint32_t flags)
{
	uint32_t i;

	for (i = 0; i < ENTRIES; i++) {
		struct nvfs_request req = piece(b, i, NVFS_OP_READ, flags);

		if (i & 1 && flags)	/* these go through a worker */
			req.region_offset += 1, req.length -= 1;
		ring_add(&b->ring, b->x.dev, &req);
	}
	ring_submit(&b->ring, ENTRIES);
}

TEST(close_of_the_ring_in_flight)
{
	struct bench b;
	int i;

	for (i = 0; i < 10; i++) {
		set_up(&b, EXT4, ENTRIES * PIECE);
		start_many(&b, NVFS_RW_BOUNCE);
		close(b.ring.fd);
		ASSERT_EQ(nv_unregister(b.x.dev, b.x.region), 0);
		close(b.x.dev);
		gpu_free(&b.buf);
	}
}

TEST(close_of_the_device_in_flight)
{
	struct bench b;
	uint32_t i;

	set_up(&b, EXT4, ENTRIES * PIECE);
	start_many(&b, 0);
	close(b.x.dev);
	for (i = 0; i < ENTRIES; i++)
		ASSERT_EQ(ring_wait(&b.ring).res, PIECE);
	gpu_check_pattern(&b.buf, 0, b.buf.size, SEED, 0);
}

TEST(unregister_and_free_in_flight)
{
	struct bench b;
	struct cqe cqe;
	uint32_t i;

	set_up(&b, EXT4, ENTRIES * PIECE);
	start_many(&b, NVFS_RW_BOUNCE);
	gpu_free(&b.buf);
	for (i = 0; i < ENTRIES; i++) {
		cqe = ring_wait(&b.ring);
		if (cqe.res < 0)
			ASSERT_EQ(cqe.res, -ESTALE);
	}
}

TEST(kill_in_flight)
{
	long long open = stat_get("files_open");
	int i, ends[2], status;
	pid_t pid;
	char byte;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(pipe(ends), 0);
		pid = fork();
		if (!pid) {
			struct bench b;

			set_up(&b, EXT4, ENTRIES * PIECE);
			start_many(&b, NVFS_RW_BOUNCE);
			ASSERT_EQ(write(ends[1], "x", 1), 1);
			for (;;)
				pause();
		}
		close(ends[1]);
		ASSERT_EQ(read(ends[0], &byte, 1), 1);
		close(ends[0]);
		ASSERT_EQ(kill(pid, SIGKILL), 0);
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
		ASSERT_TRUE(WIFSIGNALED(status));
	}
	wait_for_closes(open);
}

/* ------------------------------------------------- nobody waits any more */

/*
 * Commands on a file system that takes no writes: each is two steps, the end of a
 * block and a whole one, and there are more than workers, so that some wait in
 * their first step and all others have not begun.
 */
#define WAITING	2000
#define WORKERS	256
#define HEAD	(BLOCK - 1)

struct counted {
	long long started, ended, bytes, cancels, open;
};

static struct counted count_now(void)
{
	return (struct counted){
		.started = stat_get("write_started"),
		.ended = stat_get("write_ended"),
		.bytes = stat_get("write_bytes"),
		.cancels = stat_get("cancels"),
		.open = stat_get("files_open"),
	};
}

static void wait_for_stat(const char *key, long long value)
{
	double end = harness_now() + RING_WAIT_S;

	while (stat_get(key) < value) {
		if (harness_now() > end)
			FAIL("%s is %lld after %d s, not %lld", key,
			     stat_get(key), RING_WAIT_S, value);
		sched_yield();
	}
}

static struct nvfs_request waiting(const struct bench *b, uint32_t i)
{
	struct nvfs_request req = piece(b, i % ENTRIES, NVFS_OP_WRITE,
					NVFS_RW_BOUNCE);

	req.region_offset++;
	req.file_offset++;
	req.length--;
	req.user_data = i;
	return req;
}

static void start_waiting(struct bench *b, uint32_t nr)
{
	long long before = stat_get("write_started");
	uint32_t i, n;

	for (i = 0; i < nr; i += n) {
		for (n = 0; n < ENTRIES && i + n < nr; n++) {
			struct nvfs_request req = waiting(b, i + n);

			ring_add(&b->ring, b->x.dev, &req);
		}
		/* a thread of io_uring takes what it likes of it at a time */
		ring_enter(&b->ring, n, 0, IORING_ENTER_SQ_WAKEUP);
		wait_for_stat("write_started", before + i + n);
	}
}

/* What was in its first step has ended with it, the rest without a byte. */
static void expect_given_up(const struct counted *before)
{
	struct counted now;

	wait_for_stat("write_ended", before->ended + WAITING);
	now = count_now();
	ASSERT_EQ(now.started - before->started, WAITING);
	ASSERT_EQ(now.ended - before->ended, WAITING);
	harness_note("%lld bytes moved", now.bytes - before->bytes);
	ASSERT_LE(now.bytes - before->bytes, WORKERS * HEAD);
	ASSERT_EQ(now.cancels - before->cancels, WAITING);
}

/* A command lets go of the device some time after it is counted as ended. */
static void expect_last_close(struct bench *b, const struct counted *before)
{
	close(b->x.dev);
	wait_for_closes(before->open - 1);
}

/* Two processes take turns. */
static void tell(int end)
{
	ASSERT_EQ(write(end, "x", 1), 1);
}

static void hear(int end)
{
	char byte;

	ASSERT_EQ(read(end, &byte, 1), 1);
}

/*
 * A child that has a ring, and starts commands once it hears that the file system
 * is frozen. Device and GPU memory are the parent's, too, and outlive it.
 */
static pid_t fork_waiting(struct bench *b, int *end, uint32_t ring_flags,
			  void (*then)(void))
{
	int ends[2];
	pid_t pid;

	set_up(b, EXT4, ENTRIES * PIECE);
	ring_end(&b->ring);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = fork();
	if (pid) {
		close(ends[1]);
		*end = ends[0];
		return pid;
	}
	ring_make_big(&b->ring, ring_flags);
	hear(ends[1]);
	start_waiting(b, WAITING);
	tell(ends[1]);
	then();
	_exit(1);
}

static void stay(void)
{
	for (;;)
		pause();
}

static void killed(uint32_t ring_flags)
{
	struct counted before;
	struct frost frost;
	struct bench b;
	int end, status;
	pid_t pid = fork_waiting(&b, &end, ring_flags, stay);

	before = count_now();
	frost_begin(&frost, fix_place("ext4"));
	tell(end);
	hear(end);
	ASSERT_EQ(kill(pid, SIGKILL), 0);
	/* the thread of a ring waits for its commands */
	if (!ring_flags)
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
	frost_end(&frost);
	if (ring_flags)
		ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_TRUE(WIFSIGNALED(status));
	expect_given_up(&before);
	expect_last_close(&b, &before);
}

TEST_OF(kill_ends_what_waits, 120, killed(0))
TEST_OF(kill_ends_what_a_thread_of_the_ring_started, 120,
	killed(IORING_SETUP_SQPOLL))

static void become_another(void)
{
	execl("/bin/true", "true", NULL);
}

/* The kernel function in which a process sleeps. */
static bool sleeps_in(pid_t pid, const char *function)
{
	char path[64], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_GE(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return !strcmp(text, function);
}

/* execve() waits for what was started, so that has to end. */
TEST(execve_ends_what_waits)
{
	double limit = harness_now() + RING_WAIT_S;
	struct counted before;
	struct frost frost;
	struct bench b;
	int end, status;
	pid_t pid = fork_waiting(&b, &end, 0, become_another);

	before = count_now();
	frost_begin(&frost, fix_place("ext4"));
	tell(end);
	hear(end);
	while (!sleeps_in(pid, "io_uring_cancel_generic")) {
		ASSERT_LT(harness_now(), limit);
		sched_yield();
	}
	frost_end(&frost);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	expect_given_up(&before);
	expect_last_close(&b, &before);
}

TEST(close_of_the_ring_ends_what_waits)
{
	struct nvfs_request req;
	struct counted before;
	struct frost frost;
	struct bench b;

	set_up(&b, EXT4, ENTRIES * PIECE);
	ring_end(&b.ring);
	before = count_now();
	frost_begin(&frost, fix_place("ext4"));
	/* not before: who thaws is a child, and would keep the ring open */
	ring_make_big(&b.ring, 0);
	start_waiting(&b, WAITING);
	ring_end(&b.ring);
	frost_end(&frost);
	expect_given_up(&before);
	/* of the device, nothing has ended */
	ring_make_big(&b.ring, 0);
	req = waiting(&b, 0);
	ASSERT_EQ(one_command(&b, &req).res, PIECE - 1);
	expect_last_close(&b, &before);
}

static void *start_and_leave(void *bench)
{
	start_waiting(bench, WORKERS + 44);
	return NULL;
}

static void expect_all_whole(struct bench *b, uint32_t nr)
{
	struct cqe cqe;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		cqe = ring_wait(&b->ring);
		ASSERT_EQ(cqe.res, PIECE - 1);
	}
	ring_expect_empty(&b->ring);
}

/* A thread of many is gone, but not who waits for its commands. */
TEST(the_end_of_a_thread_ends_nothing)
{
	struct frost frost;
	pthread_t thread;
	struct bench b;

	set_up(&b, EXT4, ENTRIES * PIECE);
	gpu_put_pattern(&b.buf, 0, b.buf.size, SEED + 1, 0);
	frost_begin(&frost, fix_place("ext4"));
	ASSERT_EQ(pthread_create(&thread, NULL, start_and_leave, &b), 0);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	frost_end(&frost);
	expect_all_whole(&b, WORKERS + 44);
	file_check(b.x.file, 0, 1, PIECE - 1, SEED + 1);
}

/* One execve() after the other fails while commands take their steps. */
TEST(a_failed_execve_ends_nothing)
{
	enum { NR = 64 };
	long long ended = stat_get("write_ended") + NR;
	double limit = harness_now() + RING_WAIT_S;
	char *none[] = { NULL };
	struct frost frost;
	struct bench b;
	int nothing = memfd_create("nothing", 0);

	/* a file that the kernel opens, and knows no format of */
	ASSERT_EQ(write(nothing, none, sizeof(none)), sizeof(none));
	set_up(&b, EXT4, ENTRIES * PIECE);
	frost_begin(&frost, fix_place("ext4"));
	start_waiting(&b, NR);
	frost_end(&frost);
	while (stat_get("write_ended") < ended) {
		int i;

		ASSERT_LT(harness_now(), limit);
		for (i = 0; i < 10; i++)
			ASSERT_ERRNO(fexecve(nothing, none, none), ENOEXEC);
	}
	expect_all_whole(&b, NR);
}

/* io_uring does not ask commands of devices to end one by one. */
TEST(one_command_cannot_be_cancelled)
{
	struct nvfs_request req;
	struct io_uring_sqe *sqe;
	struct frost frost;
	struct bench b;
	struct cqe cqe;

	set_up(&b, EXT4, ENTRIES * PIECE);
	frost_begin(&frost, fix_place("ext4"));
	req = waiting(&b, 7);
	ring_add(&b.ring, b.x.dev, &req);
	ring_submit(&b.ring, 1);
	sqe = ring_next(&b.ring);
	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->addr = 7;
	sqe->user_data = 8;
	ring_push(&b.ring);
	ring_submit(&b.ring, 1);
	cqe = ring_wait(&b.ring);
	ASSERT_EQ(cqe.user_data, 8);
	ASSERT_EQ(cqe.res, -ENOENT);
	frost_end(&frost);
	cqe = ring_wait(&b.ring);
	ASSERT_EQ(cqe.user_data, 7);
	ASSERT_EQ(cqe.res, PIECE - 1);
}
