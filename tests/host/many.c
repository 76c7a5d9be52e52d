// SPDX-License-Identifier: MIT
/*
 * The guest's hand of the witness test of counters: 10,000 requests of known
 * kinds in a random order. What each of them has to add to which counter is
 * known beforehand; at the end everything that counts has to say the same.
 *
 *	MANY_DIR=DIR MANY_GO=FILE many
 *
 * Makes its files in DIR, says "# ready", and begins when FILE is there, so that
 * the host can note where its trace is. What the drive has to have moved for
 * which file, it says at the end, for the host to compare:
 *
 *	# dma FILE-NAME READ-IN-BAR READ-IN-RAM WRITE-IN-BAR WRITE-IN-RAM
 */
#include "fix_ring.h"
#include "fix_trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REQUESTS	10000
#define ROUND		500	/* requests for each reading of the trace */
#define GROUP		16	/* asynchronous requests that are submitted at once */
#define SEED		151
#define FILE_SIZE	(2 * MIB)
#define DIO		512	/* what O_DIRECT asks of these files */
#define HOLE		(16 * KIB)	/* data and holes in turn */
#define NO_REGION	4711

/* Files that see one sort of traffic each, so that it can be told apart. */
enum which { ALIGNED, RAGGED_READ, RAGGED_WRITE, SPARSE, FILES };

static const char * const file_names[FILES] = {
	[ALIGNED] = "many-aligned",
	[RAGGED_READ] = "many-ragged-read",
	[RAGGED_WRITE] = "many-ragged-write",
	[SPARSE] = "many-sparse",
};

enum mode { SYNC, BATCH, URING, MODES };

/* What is counted; the names are those of /proc/nvfs. */
#define COUNTERS(C)							\
	C(read_started) C(read_ended) C(read_errors) C(read_short)	\
	C(read_bytes) C(read_direct_ops) C(read_direct_bytes)		\
	C(read_bounce_ops) C(read_bounce_bytes) C(read_mixed_ops)	\
	C(read_refused)							\
	C(write_started) C(write_ended) C(write_errors) C(write_short)	\
	C(write_bytes) C(write_direct_ops) C(write_direct_bytes)	\
	C(write_bounce_ops) C(write_bounce_bytes) C(write_mixed_ops)	\
	C(write_refused)						\
	C(errors_io) C(errors_space) C(errors_memory) C(errors_gone)	\
	C(errors_interrupted) C(errors_route) C(errors_argument)	\
	C(errors_other)							\
	C(kiocbs) C(bvecs) C(retries) C(fallbacks) C(holes) C(hole_bytes) \
	C(batches) C(batch_requests) C(uring_requests) C(punts) C(cancels) \
	C(ioctl_errors) C(queries) C(regions_registered) C(state_refused)

#define NAME(name)	#name,
static const char * const counter_names[] = { COUNTERS(NAME) };
#undef NAME
#define INDEX(name)	C_##name,
enum { COUNTERS(INDEX) COUNTERS_NR };
#undef INDEX

/* Known beforehand: of all requests. */
static long long want[COUNTERS_NR];
static long long want_bounce_steps;
static long long want_dma[FILES][2][2];	/* file, write, RAM */
static long long want_routes[4];

/* A request, and what has to come of it. */
struct job {
	struct xfer x;
	bool write;
	uint32_t flags;
	enum mode mode;
	int error;		/* errno */
	uint64_t done;
	uint32_t route;
	uint32_t reason;
	uint32_t holes;
	bool uncounted;		/* it names no region: there was no request */
};

static int file[FILES], read_only;
static struct gpu_buf buf;
static int dev;
static uint32_t region;
static uint64_t state = SEED;

static uint64_t below(uint64_t n)
{
	return random_next(&state) % n;
}

/* ------------------------------------------------------- what is wanted */

static void add(int write, int read_counter, int write_counter, long long n)
{
	want[write ? write_counter : read_counter] += n;
}

#define ADD(job, name, n)						\
	add((job)->write, C_read_##name, C_write_##name, (long long)(n))

/* @direct and @bounce: bytes by each route; @kiocbs: direct steps. */
static void expect_moved(const struct job *j, uint64_t direct, uint64_t bounce,
			 unsigned int kiocbs)
{
	ADD(j, bytes, j->done);
	ADD(j, direct_bytes, direct);
	ADD(j, direct_ops, direct > 0);
	ADD(j, bounce_bytes, bounce);
	ADD(j, bounce_ops, bounce > 0);
	ADD(j, mixed_ops, direct && bounce);
	want[C_kiocbs] += kiocbs;
	want[C_bvecs] += kiocbs;	/* the memory is contiguous */
}

static void expect_dma(const struct job *j, enum which which, uint64_t bar,
		       uint64_t ram)
{
	want_dma[which][j->write][0] += (long long)bar;
	want_dma[which][j->write][1] += (long long)ram;
}

/* What every request adds, by how it ended and how it was made. */
static void expect_end(const struct job *j)
{
	bool refused = j->error == EREMOTEIO;

	want[C_ioctl_errors] += j->mode == SYNC && j->error;
	want[C_batch_requests] += j->mode == BATCH;
	want[C_uring_requests] += j->mode == URING;
	if (j->uncounted)
		return;
	ADD(j, started, 1);
	ADD(j, ended, 1);
	ADD(j, refused, refused);
	ADD(j, errors, j->error && !refused);
	want[C_errors_argument] += j->error && !refused;
	ADD(j, short, !j->error && j->done < j->x.length);
	want_routes[j->route]++;
}

/* ---------------------------------------------------------- the requests */

/* Whole blocks of the first file, and the memory for them. */
static void aligned(struct job *j, bool write)
{
	uint64_t blocks = 1 + below(8);

	j->write = write;
	j->x.file = file[ALIGNED];
	j->x.length = blocks * BLOCK;
	j->x.file_offset = below(FILE_SIZE / BLOCK - blocks + 1) * BLOCK;
	j->x.region_offset = below(FILE_SIZE / BLOCK - blocks) * BLOCK;
	j->done = j->x.length;
	j->mode = (enum mode)below(MODES);
}

static void make_direct(struct job *j, bool write)
{
	aligned(j, write);
	j->route = NVFS_ROUTE_DIRECT;
	expect_moved(j, j->done, 0, 1);
	expect_dma(j, ALIGNED, j->done, 0);
}

/* Memory that no drive can write to directly. */
static void make_bounced(struct job *j, bool write)
{
	aligned(j, write);
	j->flags = NVFS_RW_BOUNCE;
	j->x.region_offset++;
	j->route = NVFS_ROUTE_BOUNCE;
	j->reason = NVFS_REASON_ALIGN;
	expect_moved(j, 0, j->done, 0);
	expect_dma(j, ALIGNED, 0, j->done);
	want_bounce_steps++;
	want[C_punts] += j->mode != SYNC;
}

/* Ends within what O_DIRECT can move; they go through host memory. */
static void make_mixed(struct job *j, bool write)
{
	enum which which = write ? RAGGED_WRITE : RAGGED_READ;
	uint64_t head = 1 + below(DIO - 1), tail = 1 + below(DIO - 1);
	uint64_t middle;

	aligned(j, write);
	middle = j->x.length;
	j->flags = NVFS_RW_BOUNCE;
	j->x.file = file[which];
	j->x.file_offset = (1 + below(FILE_SIZE / DIO - middle / DIO - 2)) * DIO -
			   head;
	j->x.region_offset = BLOCK - head;
	j->x.length = j->done = head + middle + tail;
	j->route = NVFS_ROUTE_MIXED;
	j->reason = NVFS_REASON_ALIGN;
	expect_moved(j, middle, head + tail, 1);
	/* reads over-read to what O_DIRECT wants, writes use the page cache */
	expect_dma(j, which, middle, write ? 0 : 2 * DIO);
	want_bounce_steps += 2;
	want[C_punts] += j->mode != SYNC;
}

/* The same without leave to use host memory. */
static void make_refused(struct job *j, bool write)
{
	aligned(j, write);
	j->mode = SYNC;
	j->x.file_offset += 1 + below(DIO - 1);
	j->done = 0;
	j->error = EREMOTEIO;
	j->reason = NVFS_REASON_ALIGN;
}

/* It begins before the end of the file, and goes beyond. */
static void make_short(struct job *j)
{
	uint64_t blocks = 1 + below(3);

	aligned(j, false);
	j->done = blocks * BLOCK;
	j->x.file_offset = FILE_SIZE - j->done;
	j->x.length += j->done;
	j->x.region_offset = 0;
	j->route = NVFS_ROUTE_DIRECT;
	expect_moved(j, j->done, 0, 1);
	expect_dma(j, ALIGNED, j->done, 0);
}

static void make_beyond_the_end(struct job *j)
{
	aligned(j, false);
	j->mode = SYNC;
	j->x.file_offset = FILE_SIZE;
	j->done = 0;
	want[C_kiocbs]++;
	want[C_bvecs]++;
}

static void make_empty(struct job *j, bool write)
{
	aligned(j, write);
	j->mode = SYNC;
	j->x.length = j->done = 0;
}

/* Pairs of data and hole, from the data on. */
static void make_holes(struct job *j)
{
	uint64_t pairs = 1 + below(4);

	aligned(j, false);
	j->mode = SYNC;
	j->flags = NVFS_RW_REPORT_HOLES;
	j->x.file = file[SPARSE];
	j->x.length = j->done = pairs * 2 * HOLE;
	j->x.file_offset = below(FILE_SIZE / (2 * HOLE) - pairs + 1) * 2 * HOLE;
	j->x.region_offset = 0;
	j->holes = (uint32_t)pairs;
	j->route = NVFS_ROUTE_DIRECT;
	expect_moved(j, pairs * HOLE, 0, (unsigned int)pairs);
	expect_dma(j, SPARSE, pairs * HOLE, 0);
	want[C_holes] += (long long)pairs;
	want[C_hole_bytes] += (long long)(pairs * HOLE);
}

static void make_wrong(struct job *j)
{
	bool write = below(2);

	aligned(j, write);
	j->mode = SYNC;
	j->done = 0;
	switch (below(3)) {
	case 0:
		j->x.region_offset = buf.size;
		j->error = ERANGE;
		break;
	case 1:
		j->write = true;
		j->x.file = read_only;
		j->error = EBADF;
		break;
	default:
		j->x.region = NO_REGION;
		j->error = ENOENT;
		j->uncounted = true;
	}
}

static void make_job(struct job *j)
{
	bool write = below(2);

	memset(j, 0, sizeof(*j));
	j->x.dev = dev;
	j->x.region = region;
	switch (below(16)) {
	case 0 ... 5:
		make_direct(j, write);
		break;
	case 6 ... 7:
		make_bounced(j, write);
		break;
	case 8 ... 9:
		make_mixed(j, write);
		break;
	case 10:
		make_refused(j, write);
		break;
	case 11:
		make_short(j);
		break;
	case 12:
		make_beyond_the_end(j);
		break;
	case 13:
		make_empty(j, write);
		break;
	case 14:
		make_holes(j);
		break;
	default:
		make_wrong(j);
	}
	expect_end(j);
}

/* -------------------------------------------------------- they are made */

static void check(const struct job *j, int error, uint64_t done, uint32_t route,
		  uint32_t reason)
{
	if (error == j->error && done == j->done && route == j->route &&
	    reason == j->reason)
		return;
	trace_end();
	FAIL("%s of %llu at %llu, mode %d: errno %d, %llu done, route %u, reason %u; wanted %d, %llu, %u, %u",
	     j->write ? "write" : "read", (unsigned long long)j->x.length,
	     (unsigned long long)j->x.file_offset, j->mode, error,
	     (unsigned long long)done, route, reason, j->error,
	     (unsigned long long)j->done, j->route, j->reason);
}

static void run_sync(const struct job *j)
{
	struct nvfs_hole hole[8];
	struct nvfs_rw rw;
	int ret;

	if (j->flags & NVFS_RW_REPORT_HOLES)
		ret = nv_read_holes(&j->x, j->flags, hole, 8, &rw);
	else
		ret = nv_rw_as(&j->x, j->write, j->flags, &rw);
	check(j, ret ? errno : 0, rw.done, rw.route, rw.reason);
	ASSERT_EQ(rw.nr_holes, j->holes);
}

/* Asynchronous requests that wait to be submitted together. */
struct crowd {
	struct job job[GROUP];
	struct nvfs_request request[GROUP];
	uint32_t nr;
};

static struct crowd crowds[MODES];
static struct ring ring;
static uint32_t batch;

static void run_batch(struct crowd *c)
{
	struct nvfs_batch_submit submit;
	struct nvfs_event event[GROUP];
	uint32_t i;

	ASSERT_EQ(batch_submit(dev, batch, c->request, c->nr, &submit), 0);
	want[C_batches]++;
	batch_reap_all(dev, batch, event, c->nr, 30);
	for (i = 0; i < c->nr; i++)
		check(&c->job[event[i].user_data], (int)event[i].error,
		      event[i].done, event[i].route, event[i].reason);
}

static void run_uring(struct crowd *c)
{
	uint32_t i;

	for (i = 0; i < c->nr; i++)
		ring_add(&ring, dev, &c->request[i]);
	ring_submit(&ring, c->nr);
	for (i = 0; i < c->nr; i++) {
		struct cqe cqe = ring_wait(&ring);

		check(&c->job[cqe.user_data], cqe.res < 0 ? -cqe.res : 0,
		      cqe.res < 0 ? 0 : (uint64_t)cqe.res,
		      cqe.extra[0] & 0xff, (uint32_t)(cqe.extra[0] >> 8));
	}
}

static void flush(enum mode mode)
{
	struct crowd *c = &crowds[mode];

	if (!c->nr)
		return;
	if (mode == BATCH)
		run_batch(c);
	else
		run_uring(c);
	c->nr = 0;
}

static void run_job(const struct job *j)
{
	struct crowd *c = &crowds[j->mode];

	if (j->mode == SYNC) {
		run_sync(j);
		return;
	}
	c->job[c->nr] = *j;
	c->request[c->nr] = nv_request(&j->x, j->write ? NVFS_OP_WRITE :
				       NVFS_OP_READ, j->flags, c->nr);
	if (++c->nr == GROUP)
		flush(j->mode);
}

/* ------------------------------------------------------- what was counted */

static long long before[COUNTERS_NR];

static void remember(void)
{
	int i;

	for (i = 0; i < COUNTERS_NR; i++) {
		before[i] = stat_get(counter_names[i]);
		if (before[i] < 0)
			FAIL("/proc/nvfs has no counter %s", counter_names[i]);
	}
}

static void compare(void)
{
	char text[800] = "";
	size_t n = 0;
	int i;

	for (i = 0; i < COUNTERS_NR; i++) {
		long long got = stat_get(counter_names[i]) - before[i];

		if (got != want[i] && n < sizeof(text) - 100)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
					      " %s %lld, not %lld;",
					      counter_names[i], got, want[i]);
	}
	if (n)
		FAIL("counted:%s", text);
}

/* The sum of a key over the lines of a file of /proc/nvfs that begin so. */
static long long sum_of(const char *name, const char *begin, const char *key)
{
	char path[64], want[64], line[512];
	long long sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/nvfs/%s", name);
	snprintf(want, sizeof(want), " %s=", key);
	f = fopen(path, "re");
	if (!f)
		FAIL("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, want);

		if (at && !strncmp(line, begin, strlen(begin)))
			sum += atoll(at + strlen(want));
	}
	fclose(f);
	return sum;
}

static void compare_latencies(const long long *old)
{
	ASSERT_EQ(sum_of("latency", "latency read", "requests") - old[0],
		  want[C_read_ended]);
	ASSERT_EQ(sum_of("latency", "latency write", "requests") - old[1],
		  want[C_write_ended]);
}

/* One process, one GPU and, but for what named no file, one drive did it all. */
static const struct {
	const char *key;
	int read, write;	/* counters that it is the sum of */
} usages[] = {
	{ "read_requests", C_read_ended, -1 },
	{ "write_requests", C_write_ended, -1 },
	{ "read_bytes", C_read_bytes, -1 },
	{ "write_bytes", C_write_bytes, -1 },
	{ "read_direct_bytes", C_read_direct_bytes, -1 },
	{ "write_direct_bytes", C_write_direct_bytes, -1 },
	{ "errors", C_read_errors, C_write_errors },
	{ "refused", C_read_refused, C_write_refused },
};

#define USAGES	(sizeof(usages) / sizeof(usages[0]))

static const char * const users[] = { "gpu", "drive", "process" };

#define USERS	(sizeof(users) / sizeof(users[0]))

static long long usage_before[USERS][USAGES];

static void remember_usage(void)
{
	size_t i, k;

	for (k = 0; k < USERS; k++)
		for (i = 0; i < USAGES; i++)
			usage_before[k][i] = sum_of("usage", users[k],
						    usages[i].key);
}

static void compare_usage(void)
{
	size_t i, k;

	for (k = 0; k < USERS; k++) {
		for (i = 0; i < USAGES; i++) {
			long long got = sum_of("usage", users[k],
					       usages[i].key);
			long long all = want[usages[i].read];

			if (usages[i].write >= 0)
				all += want[usages[i].write];
			if (got - usage_before[k][i] != all)
				FAIL("usage of each %s: %s %lld, not %lld",
				     users[k], usages[i].key,
				     got - usage_before[k][i], all);
		}
	}
}

static struct trace_sum traced;

static void add_trace(void)
{
	struct trace_sum s;
	int i;

	trace_add_up(trace_read(), &s);
	trace_end();
	traced.submits += s.submits;
	traced.writes += s.writes;
	traced.async += s.async;
	traced.completes += s.completes;
	traced.errors += s.errors;
	traced.done += s.done;
	traced.direct_steps += s.direct_steps;
	traced.bounce_steps += s.bounce_steps;
	traced.bvecs += s.bvecs;
	traced.retries += s.retries;
	for (i = 0; i < 4; i++)
		traced.routes[i] += s.routes[i];
}

static void compare_trace(void)
{
	int i;

	ASSERT_EQ(traced.submits, want[C_read_started] + want[C_write_started]);
	ASSERT_EQ(traced.completes, traced.submits);
	ASSERT_EQ(traced.writes, want[C_write_started]);
	ASSERT_EQ(traced.async,
		  want[C_batch_requests] + want[C_uring_requests]);
	ASSERT_EQ(traced.errors, want[C_read_errors] + want[C_write_errors] +
		  want[C_read_refused] + want[C_write_refused]);
	ASSERT_EQ(traced.done, want[C_read_bytes] + want[C_write_bytes]);
	ASSERT_EQ(traced.direct_steps, want[C_kiocbs]);
	ASSERT_EQ(traced.bvecs, want[C_bvecs]);
	ASSERT_EQ(traced.bounce_steps, want_bounce_steps);
	ASSERT_EQ(traced.retries, 0);
	for (i = 0; i < 4; i++)
		ASSERT_EQ(traced.routes[i], want_routes[i]);
}

/* ----------------------------------------------------------------- the run */

static int make_file(enum which which)
{
	char path[300];
	uint64_t at;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", getenv("MANY_DIR"),
		 file_names[which]);
	fd = file_make_at(path, 0, FILE_SIZE, SEED, O_RDWR);
	for (at = HOLE; which == SPARSE && at < FILE_SIZE; at += 2 * HOLE)
		ASSERT_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				    FALLOC_FL_KEEP_SIZE, (off_t)at, HOLE), 0);
	file_drop_cache(fd);
	return fd;
}

static void set_up(void)
{
	char path[300];
	int i;

	dev = nv_open();
	gpu_alloc(&buf, 0, FILE_SIZE, false);
	gpu_put_pattern(&buf, 0, FILE_SIZE, SEED, 0);
	region = nv_region(dev, &buf);
	batch = batch_make(dev, GROUP);
	ring_make_big(&ring, 0);
	for (i = 0; i < FILES; i++)
		file[i] = make_file((enum which)i);
	snprintf(path, sizeof(path), "%s/%s", getenv("MANY_DIR"),
		 file_names[ALIGNED]);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(read_only, 0);
}

static void wait_for_the_host(void)
{
	double end = harness_now() + 60;

	harness_note("ready");
	while (access(getenv("MANY_GO"), F_OK)) {
		if (harness_now() > end)
			FAIL("the host does not say go");
		usleep(10000);
	}
}

static void run_round(void)
{
	struct job job;
	int i;

	trace_begin();
	for (i = 0; i < ROUND; i++) {
		make_job(&job);
		run_job(&job);
	}
	flush(BATCH);
	flush(URING);
	add_trace();
}

TEST_LIMIT(serve, 300)
{
	long long old[2];
	int i;

	set_up();
	kernel_put("/sys/module/nvfs/parameters/latency", "1");
	kernel_put("/sys/module/nvfs/parameters/usage", "1");
	remember();
	remember_usage();
	old[0] = sum_of("latency", "latency read", "requests");
	old[1] = sum_of("latency", "latency write", "requests");
	wait_for_the_host();
	for (i = 0; i < REQUESTS / ROUND; i++)
		run_round();
	kernel_put("/sys/module/nvfs/parameters/latency", "0");
	kernel_put("/sys/module/nvfs/parameters/usage", "0");
	compare();
	compare_latencies(old);
	compare_usage();
	compare_trace();
	for (i = 0; i < FILES; i++)
		harness_note("dma %s %lld %lld %lld %lld", file_names[i],
			     want_dma[i][0][0], want_dma[i][0][1],
			     want_dma[i][1][0], want_dma[i][1][1]);
}
