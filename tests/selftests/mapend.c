// SPDX-License-Identifier: MIT
/*
 * The end of regions that are mapped. Once a free or an UNREGISTER has returned,
 * a touch is SIGBUS, in every process; it never shows, and never changes, what
 * the memory is used for next.
 */
#include "fix_map.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* -------------------------------------------------------------- the end */

static void touch_after_the_end(uint64_t size, bool scatter, bool unregister)
{
	struct view v;

	catch_faults();
	view_map(&v, size, scatter);
	/* half of it has been touched, half has not */
	memset(v.at, OLD, size / 2);
	if (unregister)
		ASSERT_EQ(nv_unregister(v.dev, v.reg.region), 0);
	else
		gpu_free(&v.buf);
	ASSERT_EQ(gpu_pins(), 0);
	expect_signal(v.at, size, SIGBUS);
	if (unregister)
		gpu_check_byte(&v.buf, 0, size, OLD);
	view_finish(&v);
}

TEST(touch_after_free_is_sigbus)
{
	touch_after_the_end(SIZE, true, false);
}

TEST(touch_of_huge_pages_after_free_is_sigbus)
{
	touch_after_the_end(16 * MIB, false, false);
}

TEST(touch_after_unregister_is_sigbus)
{
	touch_after_the_end(8 * MIB, false, true);
}

TEST(end_of_one_region_leaves_mappings_of_others)
{
	struct view v, other;
	struct gpu_buf buf;

	catch_faults();
	view_map(&v, SIZE, false);
	other = v;
	gpu_alloc(&buf, 0, SIZE, false);
	gpu_fill(&buf, OLD);
	ASSERT_EQ(nv_register(v.dev, buf.va, SIZE, &other.reg), 0);
	ASSERT_NE(other.reg.mmap_offset, v.reg.mmap_offset);
	other.at = map(&other, 0, SIZE);
	memset(other.at, OLD, SIZE);
	gpu_free(&v.buf);
	expect_signal(v.at, SIZE, SIGBUS);
	memset(other.at, NEW, SIZE);
	gpu_check_byte(&buf, 0, SIZE, NEW);
	ASSERT_EQ(munmap(other.at, SIZE), 0);
	view_finish(&v);
}

/* Whoever holds a mapping holds the open file, as by a descriptor. */
TEST(close_leaves_the_mapping)
{
	struct view v;

	view_map(&v, SIZE, false);
	ASSERT_EQ(close(v.dev), 0);
	memset(v.at, NEW, SIZE);
	gpu_check_byte(&v.buf, 0, SIZE, NEW);
	ASSERT_EQ(gpu_pins(), 1);
	ASSERT_ERRNO(module_unload("nvfs"), EAGAIN);
	ASSERT_EQ(munmap(v.at, SIZE), 0);
	ASSERT_EQ(gpu_pins(), 0);
	gpu_free(&v.buf);
}

TEST(free_with_a_thousand_mappings)
{
	static uint8_t *at[1000];
	struct view v;
	int i;

	catch_faults();
	view_stage(&v, SIZE, false);
	for (i = 0; i < 1000; i++) {
		at[i] = map(&v, (i % 200) * BLOCK, 8 * BLOCK);
		ASSERT_EQ(load(at[i]), 0);
	}
	gpu_free(&v.buf);
	for (i = 0; i < 1000; i++) {
		ASSERT_EQ(load(at[i]), SIGBUS);
		ASSERT_EQ(munmap(at[i], 8 * BLOCK), 0);
	}
	view_finish(&v);
}

/* ------------------------------------------------- the end, meanwhile */

/*
 * The memory is freed under those who touch it, taken again and filled with what
 * they must not see; what they store must not be found in it.
 */
struct race {
	struct view v;
	int started;
	int nr;			/* moves, as run_move() counts */
	bool (*run)(struct race *r, uint64_t *state);
};

static void racer_alive(struct race *r)
{
	__atomic_add_fetch(&r->started, 1, __ATOMIC_SEQ_CST);
}

/* A touch of a random byte; false at the end of the region. */
static bool race_touch(struct race *r, uint8_t *at, uint64_t *state)
{
	uint64_t off = random_next(state) % r->v.buf.size;
	uint8_t byte = OLD;
	int sig;

	sig = touch(random_next(state) & 1 ? STORE : LOAD, at + off, &byte);
	if (!sig && byte != OLD)
		FAIL("memory of somebody else: 0x%02x at 0x%llx", byte,
		     (unsigned long long)off);
	ASSERT_TRUE(!sig || sig == SIGBUS);
	return !sig;
}

static bool run_touch(struct race *r, uint64_t *state)
{
	return race_touch(r, r->v.at, state);
}

/* Touches through a mapping that is made for it. */
static bool run_map(struct race *r, uint64_t *state)
{
	uint8_t *at = try_map(&r->v, 0, r->v.buf.size, RW);
	uint64_t touches = random_next(state) % 2000;
	bool alive = true;

	if (at == MAP_FAILED) {
		ASSERT_EQ(errno, ESTALE);
		return false;
	}
	while (alive && touches--)
		alive = race_touch(r, at, state);
	ASSERT_EQ(munmap(at, r->v.buf.size), 0);
	return alive;
}

/* Moves its mapping between two places, and touches it. */
static bool run_move(struct race *r, uint64_t *state)
{
	static uint8_t *at, *room;
	uint64_t size = r->v.buf.size;
	uint8_t *to;

	if (!at || !r->nr++) {
		room = mmap(NULL, 3 * size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ASSERT_TRUE(room != MAP_FAILED);
		room = (uint8_t *)(((uintptr_t)room + size - 1) & -size);
		at = mmap(room, size, RW, MAP_SHARED | MAP_FIXED, r->v.dev,
			  (off_t)r->v.reg.mmap_offset);
		if (at == MAP_FAILED) {
			ASSERT_EQ(errno, ESTALE);
			at = NULL;
			return false;
		}
	}
	if (!race_touch(r, at, state)) {
		ASSERT_EQ(munmap(at, size), 0);
		at = NULL;
		return false;
	}
	to = at == room ? room + size : room;
	ASSERT_TRUE(mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to) == to);
	at = to;
	return true;
}

/* A child that inherits the mapping and touches it until the end. */
static bool run_fork(struct race *r, uint64_t *state)
{
	uint64_t mine = random_next(state);
	bool alive = race_touch(r, r->v.at, state);
	int i, status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		for (i = 0; i < 40; i++)
			if (!race_touch(r, r->v.at, &mine))
				break;
		_exit(0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	return alive;
}

static void *racer(void *arg)
{
	struct race *r = arg;
	uint64_t state = (uintptr_t)&state;

	racer_alive(r);
	while (r->run(r, &state))
		continue;
	return NULL;
}

static void spin_a_while(uint64_t *state, unsigned int max_us)
{
	double end = harness_now() + random_next(state) % max_us / 1e6;

	while (harness_now() < end)
		continue;
}

static void race_once(struct race *r, uint64_t size, int threads,
		      uint64_t *state)
{
	pthread_t thread[2];
	struct gpu_buf again;
	int i;

	view_map(&r->v, size, false);
	r->started = 0;
	r->nr = 0;
	for (i = 0; i < threads; i++)
		ASSERT_EQ(pthread_create(&thread[i], NULL, racer, r), 0);
	while (__atomic_load_n(&r->started, __ATOMIC_SEQ_CST) < threads)
		sched_yield();
	spin_a_while(state, 20000);
	gpu_free(&r->v.buf);
	gpu_alloc(&again, 0, size, false);
	gpu_fill(&again, NEW);
	for (i = 0; i < threads; i++)
		ASSERT_EQ(pthread_join(thread[i], NULL), 0);
	gpu_check_byte(&again, 0, size, NEW);
	gpu_free(&again);
	view_finish(&r->v);
}

static void race(bool (*run)(struct race *r, uint64_t *state), uint64_t size,
		 int threads, int rounds)
{
	static struct race r;
	uint64_t state = 15;
	int i;

	catch_faults();
	r.run = run;
	for (i = 0; i < rounds; i++)
		race_once(&r, size, threads, &state);
}

TEST_LIMIT(free_during_touches_gives_sigbus, 120)
{
	race(run_touch, 256 * KIB, 2, 40);
}

TEST_LIMIT(free_during_touches_of_huge_pages_gives_sigbus, 120)
{
	race(run_touch, 8 * MIB, 2, 20);
}

TEST_LIMIT(free_during_mmap_gives_sigbus_or_estale, 120)
{
	race(run_map, 4 * MIB, 2, 25);
}

TEST_LIMIT(free_during_mremap_gives_sigbus, 120)
{
	race(run_move, 4 * MIB, 1, 25);
}

TEST_LIMIT(free_during_fork_gives_sigbus_in_the_child, 180)
{
	race(run_fork, 8 * MIB, 1, 25);
}

/* ------------------------------------------------ in other processes */

TEST(child_shares_the_mapping)
{
	struct view v;
	pid_t pid;

	view_map(&v, 4 * MIB, false);
	v.at[3] = NEW;
	pid = fork();
	if (!pid) {
		ASSERT_EQ(v.at[3], NEW);
		ASSERT_EQ(v.at[MIB], OLD);
		v.at[MIB] = NEW;
		_exit(0);
	}
	expect_child(pid);
	ASSERT_EQ(v.at[MIB], NEW);
	gpu_check_byte(&v.buf, MIB, 1, NEW);
	view_finish(&v);
}

TEST(free_in_the_parent_is_sigbus_in_the_child)
{
	int ready[2], freed[2];
	struct view v;
	pid_t pid;

	catch_faults();
	ASSERT_EQ(pipe(ready), 0);
	ASSERT_EQ(pipe(freed), 0);
	view_map(&v, 4 * MIB, false);
	memset(v.at, OLD, 4 * MIB);
	pid = fork();
	if (!pid) {
		ASSERT_EQ(load(v.at), 0);
		ASSERT_EQ(store(v.at + 3 * MIB), 0);
		tell(ready[1]);
		hear(freed[0]);
		expect_signal(v.at, 4 * MIB, SIGBUS);
		_exit(0);
	}
	hear(ready[0]);
	gpu_free(&v.buf);
	ASSERT_EQ(gpu_pins(), 0);
	tell(freed[1]);
	expect_child(pid);
	view_finish(&v);
}

/* What madvise() may turn off again makes no difference. */
TEST(child_of_a_mapping_that_is_kept_on_fork)
{
	struct view v;
	pid_t pid;

	catch_faults();
	view_map(&v, 8 * MIB, false);
	memset(v.at, OLD, 8 * MIB);
	ASSERT_EQ(madvise(v.at, 8 * MIB, MADV_KEEPONFORK), 0);
	pid = fork();
	if (!pid) {
		long long huge = stat_get("huge_faults");
		long long faults = stat_get("faults");

		/* nothing was copied, but for what an older kernel copies */
		ASSERT_EQ(load(v.at + 5 * MIB), 0);
		if (kernel_has_huge())
			ASSERT_EQ(stat_get("huge_faults") - huge +
				  stat_get("faults") - faults, 1);
		_exit(0);
	}
	expect_child(pid);
	view_finish(&v);
}

static void send_fd(int socket, int fd)
{
	char data = 0;
	struct iovec iov = { .iov_base = &data, .iov_len = 1 };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	ASSERT_EQ(sendmsg(socket, &msg, 0), 1);
}

static int receive_fd(int socket)
{
	char data;
	struct iovec iov = { .iov_base = &data, .iov_len = 1 };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	int fd;

	ASSERT_EQ(recvmsg(socket, &msg, 0), 1);
	ASSERT_TRUE(CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* A process that has nothing of the region but what comes over the socket. */
_Noreturn static void be_a_receiver(int socket)
{
	struct view v = { 0 };

	v.dev = receive_fd(socket);
	ASSERT_EQ(read(socket, &v.reg, sizeof(v.reg)), sizeof(v.reg));
	v.at = map(&v, 0, SIZE);
	expect_pattern(v.at, SIZE, 0);
	v.at[0] = NEW;
	tell(socket);
	hear(socket);
	expect_signal(v.at, SIZE, SIGBUS);
	ASSERT_TRUE(try_map(&v, 0, SIZE, RW) == MAP_FAILED);
	ASSERT_EQ(errno, ESTALE);
	_exit(0);
}

TEST(descriptor_over_a_unix_socket)
{
	struct view v;
	int pair[2];
	pid_t pid;

	catch_faults();
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	if (!pid)
		be_a_receiver(pair[1]);
	view_stage(&v, SIZE, true);
	gpu_put_pattern(&v.buf, 0, SIZE, MAP_SEED, 0);
	send_fd(pair[0], v.dev);
	ASSERT_EQ(write(pair[0], &v.reg, sizeof(v.reg)), sizeof(v.reg));
	hear(pair[0]);
	gpu_check_byte(&v.buf, 0, 1, NEW);
	gpu_free(&v.buf);
	ASSERT_EQ(gpu_pins(), 0);
	tell(pair[0]);
	expect_child(pid);
	view_finish(&v);
}

TEST(owner_dies_while_another_process_has_it_mapped)
{
	int pair[2], ready[2];
	struct view v = { 0 };
	pid_t owner;

	catch_faults();
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ASSERT_EQ(pipe(ready), 0);
	owner = fork();
	if (!owner) {
		view_stage(&v, SIZE, false);
		send_fd(pair[0], v.dev);
		ASSERT_EQ(write(pair[0], &v.reg, sizeof(v.reg)),
			  sizeof(v.reg));
		hear(ready[0]);
		_exit(0);
	}
	v.dev = receive_fd(pair[1]);
	ASSERT_EQ(read(pair[1], &v.reg, sizeof(v.reg)), sizeof(v.reg));
	v.at = map(&v, 0, SIZE);
	ASSERT_EQ(load(v.at), 0);
	tell(ready[1]);
	expect_child(owner);
	ASSERT_EQ(gpu_pins(), 0);
	expect_signal(v.at, SIZE, SIGBUS);
	ASSERT_EQ(munmap(v.at, SIZE), 0);
	close(v.dev);
}

/* As a debugger looks: through the page tables of another process. */
TEST(debugger_reads_and_writes)
{
	static uint8_t data[3 * BLOCK];
	int ready[2], go[2], mem;
	char path[64];
	struct view v;
	pid_t pid;

	ASSERT_EQ(pipe(ready), 0);
	ASSERT_EQ(pipe(go), 0);
	view_map(&v, 4 * MIB, true);
	gpu_put_pattern(&v.buf, 0, 4 * MIB, MAP_SEED, 0);
	pid = fork();
	if (!pid) {
		hear(go[0]);
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	ASSERT_GE(mem, 0);
	/* no page of it was ever touched, and it crosses pieces */
	ASSERT_EQ(pread(mem, data, 2 * BLOCK + 5,
			(off_t)(uintptr_t)v.at + 64 * KIB - 7), 2 * BLOCK + 5);
	expect_pattern(data, 2 * BLOCK + 5, 64 * KIB - 7);
	memset(data, NEW, sizeof(data));
	ASSERT_EQ(pwrite(mem, data, BLOCK, (off_t)(uintptr_t)v.at + 100), BLOCK);
	gpu_check_byte(&v.buf, 100, BLOCK, NEW);
	gpu_check_pattern(&v.buf, 0, 100, MAP_SEED, 0);
	/* up to the end of the mapping, and not beyond */
	ASSERT_EQ(pread(mem, data, BLOCK,
			(off_t)(uintptr_t)v.at + 4 * MIB - 50) >= 50, 1);
	gpu_free(&v.buf);
	ASSERT_ERRNO(pread(mem, data, 1, (off_t)(uintptr_t)v.at), EIO);
	ASSERT_ERRNO(pwrite(mem, data, 1, (off_t)(uintptr_t)v.at), EIO);
	tell(go[1]);
	expect_child(pid);
	close(mem);
	view_finish(&v);
}

TEST(debugger_does_not_write_what_is_mapped_for_reading)
{
	struct view v;
	uint8_t byte = NEW;
	int mem;

	view_stage(&v, SIZE, false);
	v.at = try_map(&v, 0, SIZE, PROT_READ);
	ASSERT_TRUE(v.at != MAP_FAILED);
	mem = open("/proc/self/mem", O_RDWR);
	ASSERT_GE(mem, 0);
	ASSERT_ERRNO(pwrite(mem, &byte, 1, (off_t)(uintptr_t)v.at), EIO);
	ASSERT_EQ(pread(mem, &byte, 1, (off_t)(uintptr_t)v.at), 1);
	ASSERT_EQ(byte, OLD);
	close(mem);
	view_finish(&v);
}
