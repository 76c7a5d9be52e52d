// SPDX-License-Identifier: MIT
/*
 * Every allocation and every copy from or to user space of a call fails once:
 * the 1st, the 2nd, ... until the call goes through without a fault. A failed
 * call says so by a documented errno, leaves nothing behind, and does not spoil
 * the next one.
 *
 * Needs a kernel with fault injection: the debug lane's.
 */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SEED		91
#define SIZE		(1 * MIB)
#define MAX_FAULTS	3000
#define NEVER		1000000
#define BATCH		4

/* ------------------------------------------------------------- the faults */

static int nth_fd = -1;

static void knob(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP("this kernel has no fault injection: no %s", path);
	ASSERT_EQ(write(fd, value, strlen(value)), strlen(value));
	close(fd);
}

/*
 * Allocations below a function of the kernel do not fail: for what the kernel
 * itself complains of, whoever asked. Only one function can be spared.
 */
static void spare(const char *function)
{
	char range[64], *to;

	ASSERT_EQ(shell(range, sizeof(range),
			"awk '$3 == \"%s\" { a = $1; next } a && $1 != a "
			"{ print \"0x\" a, \"0x\" $1; exit }' /proc/kallsyms",
			function), 0);
	to = strchr(range, ' ');
	if (!to)
		FAIL("no %s() in this kernel", function);
	*to++ = '\0';
	knob("failslab/reject-start", range);
	knob("failslab/reject-end", to);
	knob("fail_page_alloc/reject-start", range);
	knob("fail_page_alloc/reject-end", to);
}

/* Allocations that may sleep fail as well, and nothing is said of it. */
static void faults_ready(void)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		SKIP("this kernel has no fault injection: no fail-nth");
	knob("failslab/ignore-gfp-wait", "N");
	knob("failslab/verbose", "0");
	knob("fail_page_alloc/ignore-gfp-wait", "N");
	knob("fail_page_alloc/ignore-gfp-highmem", "N");
	knob("fail_page_alloc/min-order", "0");
	knob("fail_page_alloc/verbose", "0");
	knob("fail_usercopy/verbose", "0");
	/* the check of DMA mappings says that it ends when it has no memory */
	spare("add_dma_entry");
}

static void fault_arm(unsigned int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", nth);

	ASSERT_EQ(pwrite(nth_fd, text, (size_t)n, 0), n);
}

/* Returns whether the fault came. Both calls may meet it themselves. */
static bool fault_disarm(void)
{
	char text[16] = "";
	ssize_t n = pread(nth_fd, text, sizeof(text) - 1, 0);
	bool came = n > 0 && atoi(text) == 0;

	while (pwrite(nth_fd, "0", 1, 0) != 1)
		continue;
	return came;
}

/* --------------------------------------------------------------- the sweep */

struct world {
	struct xfer x;
	struct gpu_buf buf;
	struct nvfs_register reg;
	uint32_t batch;
	uint32_t flags;
	int fd;
	void *at;
};

/* A call, and what takes back its success; both may be tried again. */
struct sweep {
	int (*prepare)(struct world *w);
	int (*call)(struct world *w);
	void (*undo)(struct world *w);
	int also;	/* an errno that is documented beside the general ones */
};

static void check_errno(const struct sweep *sweep, unsigned int nth, int err)
{
	if (err == ENOMEM || err == EFAULT || (sweep->also && err == sweep->also))
		return;
	FAIL("fault %u: errno %d (%s) is not documented", nth, err,
	     strerror(err));
}

/* One call with one fault; false when the call was over before it came. */
static bool sweep_one(const struct sweep *sweep, struct world *w,
		      unsigned int nth)
{
	uint32_t regions;
	long long pins;
	int ret, err;
	bool came;

	if (sweep->prepare)
		ASSERT_EQ(sweep->prepare(w), 0);
	regions = w->x.dev >= 0 ? nv_nr_regions(w->x.dev) : 0;
	pins = gpu_pins();
	fault_arm(nth);
	ret = sweep->call(w);
	err = errno;
	came = fault_disarm();
	if (ret && !came)
		FAIL("no fault within %u, but errno %d (%s)", nth, err,
		     strerror(err));
	if (ret)
		check_errno(sweep, nth, err);
	if (!ret && sweep->undo)
		sweep->undo(w);
	if (!sweep->prepare && w->x.dev >= 0) {
		ASSERT_EQ(nv_nr_regions(w->x.dev), regions);
		ASSERT_EQ(gpu_pins(), pins);
	}
	return came;
}

static void run_sweep(const struct sweep *sweep, struct world *w)
{
	unsigned int nth = 1;

	if (nth_fd < 0)
		faults_ready();
	while (sweep_one(sweep, w, nth)) {
		nth++;
		ASSERT_LT(nth, MAX_FAULTS);
	}
	harness_note("%u faults", nth - 1);
	/* a sweep that injects nothing sees nothing */
	ASSERT_GT(nth, 1);
}

static void world_make(struct world *w, enum target target)
{
	faults_ready();
	memset(w, 0, sizeof(*w));
	w->x.dev = nv_open();
	gpu_alloc(&w->buf, 0, SIZE, true);
	w->x.region = nv_region(w->x.dev, &w->buf);
	w->x.file = file_make(target, SIZE, SEED, O_RDWR);
	w->x.length = SIZE;
}

/* --------------------------------------------------- open, REGISTER, QUERY */

static int call_open(struct world *w)
{
	w->fd = open("/dev/nvidia-fs", O_RDWR | O_CLOEXEC);
	return w->fd < 0 ? -1 : 0;
}

static void undo_open(struct world *w)
{
	close(w->fd);
}

TEST(open_with_faults)
{
	const struct sweep sweep = { .call = call_open, .undo = undo_open };
	struct world w = { .x = { .dev = -1 } };

	run_sweep(&sweep, &w);
}

static int call_mmap(struct world *w)
{
	w->at = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, w->x.dev,
		     (off_t)w->reg.mmap_offset);
	return w->at == MAP_FAILED ? -1 : 0;
}

static void undo_mmap(struct world *w)
{
	ASSERT_EQ(munmap(w->at, SIZE), 0);
}

TEST(mmap_with_faults)
{
	const struct sweep sweep = { .call = call_mmap, .undo = undo_mmap };
	struct world w;

	world_make(&w, PART);
	ASSERT_EQ(nv_register(w.x.dev, w.buf.va, w.buf.size, &w.reg), 0);
	run_sweep(&sweep, &w);
}

static int call_register(struct world *w)
{
	return nv_register(w->x.dev, w->buf.va, w->buf.size, &w->reg);
}

static void undo_register(struct world *w)
{
	ASSERT_EQ(nv_unregister(w->x.dev, w->reg.region), 0);
}

TEST(register_with_faults)
{
	const struct sweep sweep = {
		.call = call_register, .undo = undo_register,
	};
	struct world w;

	world_make(&w, PART);
	run_sweep(&sweep, &w);
	ASSERT_EQ(call_register(&w), 0);
	ASSERT_EQ(w.reg.page_source, NVFS_PAGES_ZONE);
}

/* Anew each time: the GPU's pages are made with its first region. */
static int prepare_first(struct world *w)
{
	if (w->x.dev >= 0)
		close(w->x.dev);
	if (module_unload("nvfs") || module_try_load("nvfs", ""))
		return -1;
	w->x.dev = nv_open();
	return 0;
}

/*
 * However the call with the fault ended, also when it did without pages: the
 * next one finds the GPU as if nothing had been tried.
 */
static int call_register_first(struct world *w)
{
	int ret = call_register(w);
	int err = errno;
	bool came = fault_disarm();

	if (!ret)
		undo_register(w);
	ASSERT_EQ(call_register(w), 0);
	ASSERT_EQ(w->reg.page_source, NVFS_PAGES_ZONE);
	undo_register(w);
	if (!came)
		fault_arm(NEVER);
	errno = err;
	return ret;
}

TEST_LIMIT(first_register_of_a_gpu_with_faults, 600)
{
	const struct sweep sweep = {
		.prepare = prepare_first, .call = call_register_first,
	};
	struct world w = { .x = { .dev = -1 } };

	/* the kernel speaks of memory that it does not get for its page table */
	harness_allow_log("vmemmap alloc failure");
	harness_allow_log("Call Trace:");
	faults_ready();
	/* nor can its page tables for added memory do without */
	spare("arch_add_memory");
	gpu_alloc(&w.buf, 0, SIZE, true);
	run_sweep(&sweep, &w);
}

static int prepare_unregister(struct world *w)
{
	/* what the call before has left, if it failed early */
	nv_unregister(w->x.dev, w->reg.region);
	return call_register(w);
}

static int call_unregister(struct world *w)
{
	return nv_unregister(w->x.dev, w->reg.region);
}

TEST(unregister_with_faults)
{
	const struct sweep sweep = {
		.prepare = prepare_unregister, .call = call_unregister,
	};
	struct world w;

	world_make(&w, PART);
	run_sweep(&sweep, &w);
	ASSERT_EQ(nv_nr_regions(w.x.dev), 1);
}

static int call_query(struct world *w)
{
	struct nvfs_query query;

	return nv_query(w->x.dev, w->x.region, w->x.file, &query);
}

static int call_query_gpu(struct world *w)
{
	struct nvfs_query query = {
		.size = sizeof(query), .flags = NVFS_QUERY_GPU,
		.fd = w->x.file, .gpu = gpu_bdf(0),
	};

	return ioctl(w->x.dev, NVFS_IOC_QUERY, &query);
}

static void sweep_query(enum target target, int (*call)(struct world *w))
{
	const struct sweep sweep = { .call = call };
	struct world w;

	world_make(&w, target);
	run_sweep(&sweep, &w);
}

TEST_OF(query_with_faults_part, 60, sweep_query(PART, call_query))
TEST_OF(query_with_faults_ext4, 60, sweep_query(EXT4, call_query))
TEST_OF(query_with_faults_gpu, 60, sweep_query(EXT4, call_query_gpu))

/* ------------------------------------------------------------- READ, WRITE */

static int call_rw(struct world *w, unsigned long call)
{
	struct nvfs_rw rw = {
		.size = sizeof(rw), .flags = w->flags, .region = w->x.region,
		.fd = w->x.file, .region_offset = w->x.region_offset,
		.file_offset = w->x.file_offset, .length = w->x.length,
	};
	int ret = ioctl(w->x.dev, call, &rw);

	/* success with less than all of it would hide the fault */
	if (!ret && rw.done != w->x.length)
		FAIL("success, but %llu bytes of %llu",
		     (unsigned long long)rw.done,
		     (unsigned long long)w->x.length);
	return ret;
}

static int call_read(struct world *w)
{
	return call_rw(w, NVFS_IOC_READ);
}

static int call_write(struct world *w)
{
	return call_rw(w, NVFS_IOC_WRITE);
}

static void check_read(struct world *w)
{
	gpu_check_pattern(&w->buf, w->x.region_offset, w->x.length, SEED,
			  w->x.file_offset);
	gpu_fill(&w->buf, 0xa5);
}

/* A WRITE may be unaligned in GPU memory only. */
static void make_unaligned(struct world *w, bool write)
{
	w->flags = NVFS_RW_BOUNCE;
	w->x.file_offset = write ? BLOCK : 1001;
	w->x.region_offset = 77;
	w->x.length = 300 * KIB + (write ? 0 : 13);
}

static void sweep_read(enum target target, bool unaligned)
{
	const struct sweep sweep = {
		.call = call_read, .undo = check_read, .also = EIO,
	};
	struct world w;

	world_make(&w, target);
	if (unaligned)
		make_unaligned(&w, false);
	gpu_fill(&w.buf, 0xa5);
	run_sweep(&sweep, &w);
	ASSERT_EQ(call_read(&w), 0);
	check_read(&w);
}

TEST_OF(read_with_faults_part, 120, sweep_read(PART, false))
TEST_OF(read_with_faults_ext4, 120, sweep_read(EXT4, false))
TEST_OF(read_with_faults_xfs, 120, sweep_read(XFS, false))
TEST_OF(unaligned_read_with_faults_part, 120, sweep_read(PART, true))
TEST_OF(unaligned_read_with_faults_ext4, 120, sweep_read(EXT4, true))
TEST_OF(unaligned_read_with_faults_xfs, 120, sweep_read(XFS, true))

static void sweep_write(enum target target, bool unaligned)
{
	const struct sweep sweep = { .call = call_write, .also = EIO };
	struct world w;

	world_make(&w, target);
	if (unaligned)
		make_unaligned(&w, true);
	gpu_put_pattern(&w.buf, w.x.region_offset, w.x.length, SEED + 1,
			w.x.file_offset);
	run_sweep(&sweep, &w);
	ASSERT_EQ(call_write(&w), 0);
	file_check(w.x.file, target_base(target), w.x.file_offset, w.x.length,
		   SEED + 1);
}

TEST_OF(write_with_faults_part, 120, sweep_write(PART, false))
TEST_OF(write_with_faults_ext4, 120, sweep_write(EXT4, false))
TEST_OF(write_with_faults_xfs, 120, sweep_write(XFS, false))
TEST_OF(unaligned_write_with_faults_part, 120, sweep_write(PART, true))
TEST_OF(unaligned_write_with_faults_ext4, 120, sweep_write(EXT4, true))
TEST_OF(unaligned_write_with_faults_xfs, 120, sweep_write(XFS, true))

/* ----------------------------------------------------------------- batches */

static int call_create(struct world *w)
{
	struct nvfs_batch_create create = {
		.size = sizeof(create), .depth = 2 * BATCH,
	};
	int ret = ioctl(w->x.dev, NVFS_IOC_BATCH_CREATE, &create);

	w->batch = create.batch;
	return ret;
}

static int call_destroy(struct world *w)
{
	struct nvfs_batch_destroy destroy = {
		.size = sizeof(destroy), .batch = w->batch,
	};

	return ioctl(w->x.dev, NVFS_IOC_BATCH_DESTROY, &destroy);
}

static void undo_create(struct world *w)
{
	ASSERT_EQ(call_destroy(w), 0);
}

static int call_submit(struct world *w)
{
	struct nvfs_request request[BATCH];
	struct nvfs_batch_submit submit = {
		.size = sizeof(submit), .batch = w->batch, .nr = BATCH,
		.requests = (uintptr_t)request,
	};
	int i;

	memset(request, 0, sizeof(request));
	for (i = 0; i < BATCH; i++) {
		request[i].op = NVFS_OP_READ;
		request[i].region = w->x.region;
		request[i].fd = w->x.file;
		request[i].region_offset = SIZE / BATCH * i;
		request[i].file_offset = SIZE / BATCH * i;
		request[i].length = SIZE / BATCH;
		request[i].user_data = 100 + i;
	}
	return ioctl(w->x.dev, NVFS_IOC_BATCH_SUBMIT, &submit);
}

/* Events that were reaped, or -1. */
static int reap(struct world *w, unsigned int min, struct nvfs_event *event)
{
	struct nvfs_batch_reap reap = {
		.size = sizeof(reap), .batch = w->batch, .min_nr = min,
		.max_nr = 2 * BATCH, .events = (uintptr_t)event,
		.timeout_ns = -1,
	};
	int ret = ioctl(w->x.dev, NVFS_IOC_BATCH_REAP, &reap);

	return ret ? ret : (int)reap.nr;
}

/* All of a submission arrives, each event once. */
static void check_events(struct world *w)
{
	struct nvfs_event event[2 * BATCH];
	unsigned int seen = 0;
	int i, n = reap(w, BATCH, event);

	ASSERT_EQ(n, BATCH);
	for (i = 0; i < n; i++) {
		ASSERT_GE(event[i].user_data, 100);
		ASSERT_LT(event[i].user_data, 100 + BATCH);
		seen |= 1U << (event[i].user_data - 100);
		/* an allocation of the request itself may have failed */
		if (event[i].error && event[i].error != ENOMEM)
			FAIL("request ended with errno %u", event[i].error);
		if (!event[i].error)
			ASSERT_EQ(event[i].done, SIZE / BATCH);
	}
	ASSERT_EQ(seen, (1U << BATCH) - 1);
}

/* EFAULT may also mean: started, but the answer could not be delivered. */
static int prepare_submit(struct world *w)
{
	if (w->batch && call_destroy(w))
		return -1;
	return call_create(w);
}

static int call_reap(struct world *w)
{
	struct nvfs_event event[2 * BATCH];

	return reap(w, BATCH, event) < 0 ? -1 : 0;
}

static int prepare_reap(struct world *w)
{
	if (prepare_submit(w))
		return -1;
	return call_submit(w);
}

static int prepare_destroy(struct world *w)
{
	/* what the call before has left, if it failed early */
	if (w->batch)
		call_destroy(w);
	if (call_create(w))
		return -1;
	return call_submit(w);
}

static void sweep_batch(const struct sweep *sweep, enum target target)
{
	struct world w;

	world_make(&w, target);
	run_sweep(sweep, &w);
}

TEST(batch_create_with_faults)
{
	const struct sweep sweep = { .call = call_create, .undo = undo_create };

	sweep_batch(&sweep, PART);
}

static void sweep_submit(enum target target)
{
	const struct sweep sweep = {
		.prepare = prepare_submit, .call = call_submit,
		.undo = check_events, .also = EIO,
	};

	sweep_batch(&sweep, target);
}

TEST_OF(batch_submit_with_faults_part, 120, sweep_submit(PART))
TEST_OF(batch_submit_with_faults_ext4, 120, sweep_submit(EXT4))
TEST_OF(batch_submit_with_faults_xfs, 120, sweep_submit(XFS))

TEST(batch_reap_with_faults)
{
	const struct sweep sweep = {
		.prepare = prepare_reap, .call = call_reap,
	};

	sweep_batch(&sweep, PART);
}

TEST(batch_destroy_with_faults)
{
	const struct sweep sweep = {
		.prepare = prepare_destroy, .call = call_destroy,
	};

	sweep_batch(&sweep, PART);
}

/* ---------------------------------------------------------------- the load */

static int prepare_load(struct world *w)
{
	(void)w;
	if (!access("/sys/module/nvfs", F_OK) && module_unload("nvfs"))
		return -1;
	/* nothing of the attempt before is left */
	return access("/dev/nvidia-fs", F_OK) && access("/proc/nvfs", F_OK) ?
	       0 : -1;
}

static int call_load(struct world *w)
{
	return (int)syscall(SYS_finit_module, w->fd, "", 0);
}

TEST_LIMIT(load_with_faults, 600)
{
	const struct sweep sweep = { .prepare = prepare_load, .call = call_load };
	struct world w = { .x = { .dev = -1 }, .fd = module_open("nvfs") };

	/* vmalloc() and kmem_cache_create() show who got no memory */
	harness_allow_log("Call Trace:");
	/* the kernel warns when a module's tracepoints get no memory */
	faults_ready();
	spare("event_define_fields");
	run_sweep(&sweep, &w);
	ASSERT_EQ(nv_nr_regions(nv_open()), 0);
}
