// SPDX-License-Identifier: MIT
/*
 * Writes of parts of blocks and direct writes of one file wait for each other.
 * A file that does not answer keeps such waits up for ever: they are no business
 * of whoever writes to other files, and end with the memory that they are for.
 */
#include "fix_async.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define OLD	51
#define NEW	52
#define SIZE	(64 * KIB)
#define FILE_SIZE	(16 * KIB)
/* Never waited for where all is well, but on a machine that has much else to do. */
#define SOON_S	60

/* ------------------------------------------------- a write by its own thread */

struct call {
	struct gpu_buf buf;
	struct xfer x;
	struct nvfs_rw rw;
	int ret;
	int error;
	pid_t tid;
	pthread_t thread;
};

static void *call_it(void *arg)
{
	struct call *c = arg;

	__atomic_store_n(&c->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	c->ret = nv_rw_as(&c->x, true, NVFS_RW_BOUNCE, &c->rw);
	c->error = errno;
	return NULL;
}

/* A region of its own: how its memory ends is nobody else's business. */
static void call_set_up(struct call *c, int dev)
{
	memset(c, 0, sizeof(*c));
	gpu_alloc(&c->buf, 0, SIZE, false);
	gpu_put_pattern(&c->buf, 0, SIZE, NEW, 0);
	c->x.dev = dev;
	c->x.region = nv_region(dev, &c->buf);
}

/* The state of a thread: D when it waits for a file, or at a gate. */
static char state_of(pid_t tid)
{
	char path[64], line[300] = "";
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
	f = fopen(path, "r");
	if (!f)
		return '?';
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	end = strrchr(line, ')');
	return end && end[1] ? end[2] : '?';
}

/* Begins a write, and returns when it waits. */
static void call_until_stuck(struct call *c, int file, bool part)
{
	double limit = harness_now() + SOON_S;
	pid_t tid;

	c->x.file = file;
	c->x.file_offset = part ? 100 : 4096;
	c->x.region_offset = c->x.file_offset;
	c->x.length = part ? 1000 : 4096;
	ASSERT_EQ(pthread_create(&c->thread, NULL, call_it, c), 0);
	for (;;) {
		tid = __atomic_load_n(&c->tid, __ATOMIC_ACQUIRE);
		if (tid && state_of(tid) == 'D')
			break;
		if (harness_now() > limit)
			FAIL("a write to a frozen file does not wait");
		sched_yield();
	}
}

/* Joins a thread that has to end soon, whatever does not answer. */
static void join_soon(pthread_t thread, const char *what)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += SOON_S;
	if (pthread_timedjoin_np(thread, NULL, &limit))
		FAIL("%s: not done after %d s", what, SOON_S);
}

static int file_on_ext4(void)
{
	return file_make(EXT4, FILE_SIZE, OLD, O_RDWR);
}

/* ----------------------------------------------------------- other files */

/* So many that each that is stuck has a neighbour, whatever the hash is. */
#define OTHERS	600
#define STUCK	12

struct others {
	struct call c;
	int file[OTHERS];
};

static void others_set_up(struct others *o, int dev)
{
	struct rlimit limit = { 4096, 4096 };
	uint8_t *data = xmalloc(FILE_SIZE);
	char path[300];
	int i;

	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	call_set_up(&o->c, dev);
	pattern_fill(data, FILE_SIZE, OLD, 0);
	for (i = 0; i < OTHERS; i++) {
		fix_path(XFS, path, sizeof(path));
		o->file[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		ASSERT_GE(o->file[i], 0);
		ASSERT_EQ(unlink(path), 0);
		ASSERT_EQ(pwrite(o->file[i], data, FILE_SIZE, 0), FILE_SIZE);
	}
	ASSERT_EQ(syncfs(o->file[0]), 0);
	free(data);
}

static void write_at_once(struct others *o, uint32_t flags)
{
	static struct nvfs_request req[OTHERS];
	static struct nvfs_event event[OTHERS];
	uint32_t batch = batch_make(o->c.x.dev, OTHERS);
	struct nvfs_batch_submit out;
	uint32_t i;

	for (i = 0; i < OTHERS; i++) {
		o->c.x.file = o->file[i];
		req[i] = nv_request(&o->c.x, NVFS_OP_WRITE, flags, i);
	}
	ASSERT_EQ(batch_submit(o->c.x.dev, batch, req, OTHERS, &out), 0);
	batch_reap_all(o->c.x.dev, batch, event, OTHERS, SOON_S);
	for (i = 0; i < OTHERS; i++) {
		ASSERT_EQ(event[i].error, 0);
		ASSERT_EQ(event[i].done, o->c.x.length);
	}
	ASSERT_EQ(batch_destroy(o->c.x.dev, batch), 0);
}

static void aim(struct others *o, uint64_t pos, uint64_t len)
{
	o->c.x.file_offset = pos;
	o->c.x.region_offset = pos;
	o->c.x.length = len;
}

/* Direct and in parts, waited for and not, to all of the files. */
static void *write_others(void *arg)
{
	struct others *o = arg;
	int i;

	aim(o, 0, 4096);
	for (i = 0; i < OTHERS; i++) {
		o->c.x.file = o->file[i];
		ASSERT_EQ(nv_rw_as(&o->c.x, true, 0, &o->c.rw), 0);
		ASSERT_EQ(o->c.rw.route, NVFS_ROUTE_DIRECT);
	}
	aim(o, 4196, 1000);
	for (i = 0; i < OTHERS; i++) {
		o->c.x.file = o->file[i];
		ASSERT_EQ(nv_rw_as(&o->c.x, true, NVFS_RW_BOUNCE, &o->c.rw), 0);
		ASSERT_EQ(o->c.rw.done, 1000);
	}
	aim(o, 8192, 4096);
	write_at_once(o, 0);
	aim(o, 12388, 1000);
	write_at_once(o, NVFS_RW_BOUNCE);
	/* and again, after parts */
	aim(o, 0, 4096);
	write_at_once(o, 0);
	return NULL;
}

static void others_check(struct others *o)
{
	int i;

	for (i = 0; i < OTHERS; i += OTHERS / 8) {
		file_check(o->file[i], 0, 0, 4096, NEW);
		file_check(o->file[i], 0, 4096, 100, OLD);
		file_check(o->file[i], 0, 4196, 1000, NEW);
		file_check(o->file[i], 0, 5196, 8192 - 5196, OLD);
		file_check(o->file[i], 0, 8192, 4096, NEW);
		file_check(o->file[i], 0, 12288, 100, OLD);
		file_check(o->file[i], 0, 12388, 1000, NEW);
	}
}

/* @parts: of the stuck ones; 2: these, and a direct write behind each */
static void stuck(int parts)
{
	static struct call call[2 * STUCK];
	static struct others others;
	int nr = parts == 2 ? 2 * STUCK : STUCK;
	int dev = nv_open(), file[STUCK], i;
	struct frost frost;

	others_set_up(&others, dev);
	for (i = 0; i < STUCK; i++)
		file[i] = file_on_ext4();
	for (i = 0; i < nr; i++)
		call_set_up(&call[i], dev);
	frost_begin(&frost, fix_place("ext4"));
	for (i = 0; i < nr; i++)
		call_until_stuck(&call[i], file[i % STUCK], parts && i < STUCK);
	ASSERT_EQ(pthread_create(&others.c.thread, NULL, write_others, &others),
		  0);
	join_soon(others.c.thread, "writes to other files");
	frost_end(&frost);
	for (i = 0; i < nr; i++) {
		join_soon(call[i].thread, "a write that was stuck");
		ASSERT_EQ(call[i].ret, 0);
		ASSERT_EQ(call[i].rw.done, call[i].x.length);
	}
	for (i = 0; i < STUCK; i++)
		if (parts)
			file_check(file[i], 0, 100, 1000, NEW);
		else
			file_check(file[i], 0, 4096, 4096, NEW);
	others_check(&others);
}

TEST_OF(stuck_parts_hold_up_no_other_file, 180, stuck(1))
TEST_OF(stuck_direct_writes_hold_up_no_other_file, 180, stuck(0))
TEST_OF(held_direct_writes_hold_up_no_other_file, 180, stuck(2))

/* ------------------------------------------------------- the end of memory */

static void *free_it(void *arg)
{
	gpu_free(arg);
	return NULL;
}

static void free_soon(struct call *c)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, free_it, &c->buf), 0);
	join_soon(thread, "freeing the memory");
	join_soon(c->thread, "a write of memory that is gone");
	ASSERT_EQ(c->ret, -1);
	ASSERT_EQ(c->error, ESTALE);
	ASSERT_EQ(c->rw.done, 0);
}

/* An asynchronous write is given to a worker, which waits. */
static void free_under_worker(int dev, int file)
{
	struct nvfs_batch_submit out;
	struct nvfs_request req;
	struct nvfs_event event;
	uint32_t batch = batch_make(dev, 1);
	pthread_t thread;
	struct call c;

	call_set_up(&c, dev);
	c.x.file = file;
	c.x.length = 4096;
	req = nv_request(&c.x, NVFS_OP_WRITE, 0, 1);
	ASSERT_EQ(batch_submit(dev, batch, &req, 1, &out), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, free_it, &c.buf), 0);
	join_soon(thread, "freeing the memory of an asynchronous write");
	batch_reap_all(dev, batch, &event, 1, SOON_S);
	ASSERT_EQ(event.error, ESTALE);
	ASSERT_EQ(event.done, 0);
}

/*
 * One write is stuck. Another waits for it at the gate, and a third, of the
 * first one's kind, lets that one go first.
 */
static void end_of_memory(bool part)
{
	int dev = nv_open(), file = file_on_ext4();
	struct call first, second, third;
	struct frost frost;

	call_set_up(&first, dev);
	call_set_up(&second, dev);
	call_set_up(&third, dev);
	frost_begin(&frost, fix_place("ext4"));
	call_until_stuck(&first, file, part);
	call_until_stuck(&second, file, !part);
	call_until_stuck(&third, file, part);
	free_soon(&third);
	if (part)
		free_under_worker(dev, file);
	free_soon(&second);
	frost_end(&frost);
	join_soon(first.thread, "the write that was stuck");
	ASSERT_EQ(first.ret, 0);
	/* and nothing is left at the gate */
	call_it(&first);
	ASSERT_EQ(first.ret, 0);
	first.x.file_offset = first.x.region_offset = part ? 4096 : 100;
	first.x.length = part ? 4096 : 1000;
	call_it(&first);
	ASSERT_EQ(first.ret, 0);
	file_check(file, 0, 0, 100, OLD);
	file_check(file, 0, 100, 1000, NEW);
	file_check(file, 0, 1100, 4096 - 1100, OLD);
	file_check(file, 0, 4096, 4096, NEW);
	file_check(file, 0, 8192, FILE_SIZE - 8192, OLD);
}

TEST_OF(end_of_memory_behind_a_stuck_part, 120, end_of_memory(true))
TEST_OF(end_of_memory_behind_a_stuck_direct_write, 120, end_of_memory(false))
