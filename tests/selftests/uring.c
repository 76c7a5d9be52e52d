// SPDX-License-Identifier: MIT
/*
 * Requests as io_uring commands, by raw system calls: the payload in the second
 * half of a 128-byte entry, the route in the first extra word of the completion.
 */
#include "fix_ring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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
