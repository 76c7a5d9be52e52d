// SPDX-License-Identifier: MIT
/*
 * Statistics.  Counted while they are started and the level is above 0; times
 * are microseconds of CLOCK_MONOTONIC.
 */
#include <stddef.h>
#include <string.h>

#include "cufile_priv.h"
#include "libnvfs.h"
#include "stats_page.h"

#define MAX_LEVEL	3
#define USEC		1000000ULL
#define HISTOGRAM	32

static atomic_int level;
static atomic_bool running;
/*
 * Its total is counted by atomic operations; the rest is written under @lock.  Where
 * others may look from the first start on.
 */
static struct cf_stats_page hidden;
static struct cf_stats_page *_Atomic page = &hidden;
static bool asked;	/* under @lock: others were to see it */
/*
 * Under @lock: when it was started, how long it ran before that, and the number
 * of the newest submission of a batch.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t started, ran, newest;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC + (uint64_t)now.tv_nsec / 1000;
}

static CUfileStatsLevel3_t *totals(void)
{
	return &atomic_load_explicit(&page, memory_order_acquire)->total;
}

static void add(uint64_t *counter, uint64_t value)
{
	__atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

uint64_t cf_stats_begin(void)
{
	if (!atomic_load_explicit(&running, memory_order_relaxed) ||
	    !atomic_load_explicit(&level, memory_order_relaxed))
		return 0;
	return now_us();
}

#define AT(counter)	offsetof(CUfileStatsLevel1_t, counter)

static void count(enum cf_op op, bool ok)
{
	static const size_t places[CF_OPS] = {
		[CF_OP_READ] = AT(read_ops),
		[CF_OP_WRITE] = AT(write_ops),
		[CF_OP_HANDLE_ADD] = AT(hdl_register_ops),
		[CF_OP_HANDLE_DEL] = AT(hdl_deregister_ops),
		[CF_OP_BUF_ADD] = AT(buf_register_ops),
		[CF_OP_BUF_DEL] = AT(buf_deregister_ops),
		[CF_OP_BATCH_SUBMIT] = AT(batch_submit_ops),
		[CF_OP_BATCH_COMPLETE] = AT(batch_complete_ops),
		[CF_OP_BATCH_SETUP] = AT(batch_setup_ops),
		[CF_OP_BATCH_CANCEL] = AT(batch_cancel_ops),
		[CF_OP_BATCH_DESTROY] = AT(batch_destroy_ops),
		[CF_OP_BATCH_ENQUEUE] = AT(batch_enqueued_ops),
		[CF_OP_BATCH_PROCESS] = AT(batch_processed_ops),
		[CF_OP_BATCH_ENQUEUE_HOST] = AT(batch_posix_enqueued_ops),
		[CF_OP_BATCH_PROCESS_HOST] = AT(batch_posix_processed_ops),
		[CF_OP_BATCH_DIRECT] = AT(batch_nvfs_submit_ops),
	};
	uint64_t at = (uintptr_t)&totals()->detailed.basic + places[op];
	CUfileOpCounter_t *counter = (CUfileOpCounter_t *)(uintptr_t)at;

	add(ok ? &counter->ok : &counter->err, 1);
}

void cf_stats_count(uint64_t began, enum cf_op op, bool ok)
{
	CUfileStatsLevel1_t *l1 = &totals()->detailed.basic;

	if (!began)
		return;
	count(op, ok);
	if (op == CF_OP_BATCH_SUBMIT)
		add(&l1->batch_submit_lat_sum_us, now_us() - began);
}

void cf_stats_refused(bool write)
{
	struct cf_stats_page *now = atomic_load(&page);

	/* Some are refused before it is asked whether the library is open. */
	if (cf_enter())
		return;
	if (cf_stats_begin()) {
		count(write ? CF_OP_WRITE : CF_OP_READ, false);
		/* It took no time. */
		add(write ? &now->refused_writes : &now->refused_reads, 1);
	}
	cf_leave();
}

void cf_stats_registered(unsigned int gpu, uint64_t bytes)
{
	if (gpu < CF_MAX_GPUS)
		__atomic_store_n(&totals()->per_gpu_stats[gpu].reg_bytes,
				 bytes, __ATOMIC_RELAXED);
}

/* 0: below 4 KiB, then one for each doubling. */
static unsigned int bin_of(uint64_t bytes)
{
	uint64_t kib = bytes / KIB;
	unsigned int bin = 0;

	while (kib >= 4 && bin < HISTOGRAM - 1) {
		kib /= 2;
		bin++;
	}
	return bin;
}

/* At least in part; neither when no bytes were moved. */
static bool went_direct(const struct engine_req *req)
{
	return req->route == NVFS_ROUTE_DIRECT ||
	       req->route == NVFS_ROUTE_MIXED;
}

static bool went_through_host(const struct engine_req *req)
{
	return req->route == NVFS_ROUTE_BOUNCE ||
	       req->route == NVFS_ROUTE_MIXED;
}

static void count_gpu(const struct engine_req *req, uint64_t us)
{
	CUfilePerGpuStats_t *gpu;
	bool unaligned = (req->file_offset | req->addr | req->length) % 4096;

	if (req->gpu >= CF_MAX_GPUS)
		return;
	gpu = &totals()->per_gpu_stats[req->gpu];
	if (req->write) {
		add(&gpu->writes_bytes, req->done);
		add(&gpu->write_duration_us, us);
		add(&gpu->n_total_writes, 1);
		add(&gpu->n_nvfs_writes, went_direct(req));
		add(&gpu->n_posix_writes, went_through_host(req));
		add(&gpu->n_unaligned_writes, unaligned);
		add(&gpu->n_writes_err, req->error != 0);
	} else {
		add(&gpu->read_bytes, req->done);
		add(&gpu->read_duration_us, us);
		add(&gpu->n_total_reads, 1);
		add(&gpu->n_nvfs_reads, went_direct(req));
		add(&gpu->n_posix_reads, went_through_host(req));
		add(&gpu->n_unaligned_reads, unaligned);
		add(&gpu->n_reads_err, req->error != 0);
	}
}

static void count_size(const struct engine_req *req)
{
	CUfileStatsLevel2_t *l2 = &totals()->detailed;
	unsigned int bin = bin_of(req->length);

	add(req->write ? &l2->write_size_kb_hist[bin] :
			 &l2->read_size_kb_hist[bin], 1);
}

void cf_stats_request(uint64_t began, const struct engine_req *req)
{
	CUfileStatsLevel1_t *l1 = &totals()->detailed.basic;
	uint64_t us;

	if (!began)
		return;
	us = now_us() - began;
	count(req->write ? CF_OP_WRITE : CF_OP_READ, !req->error);
	add(req->write ? &l1->write_bytes : &l1->read_bytes, req->done);
	add(req->write ? &l1->write_lat_sum_us : &l1->read_lat_sum_us, us);
	if (level >= 2)
		count_size(req);
	if (level >= 3)
		count_gpu(req, us);
}

uint64_t cf_stats_submission(uint64_t began)
{
	CUfileStatsLevel1_t *l1;
	uint64_t number;

	if (!began)
		return 0;
	pthread_mutex_lock(&lock);
	number = ++newest;
	l1 = &totals()->detailed.basic;
	__atomic_store_n(&l1->last_batch_read_bytes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l1->last_batch_write_bytes, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&lock);
	return number;
}

static void count_last(uint64_t submission, const struct engine_req *req)
{
	CUfileStatsLevel1_t *l1 = &totals()->detailed.basic;

	pthread_mutex_lock(&lock);
	if (submission == newest)
		add(req->write ? &l1->last_batch_write_bytes :
				 &l1->last_batch_read_bytes, req->done);
	pthread_mutex_unlock(&lock);
}

/* By which way an entry goes is known only at its end. */
static void count_way(const struct engine_req *req)
{
	if (went_through_host(req)) {
		count(CF_OP_BATCH_ENQUEUE_HOST, true);
		count(CF_OP_BATCH_PROCESS_HOST, !req->error);
	}
	if (went_direct(req))
		count(CF_OP_BATCH_DIRECT, !req->error);
}

void cf_stats_batch_entry(uint64_t began, uint64_t submission,
			  const struct engine_req *req)
{
	CUfileStatsLevel1_t *l1 = &totals()->detailed.basic;
	uint64_t us;

	if (!began)
		return;
	us = now_us() - began;
	count(CF_OP_BATCH_PROCESS, !req->error);
	add(req->write ? &l1->batch_write_bytes : &l1->batch_read_bytes,
	    req->done);
	add(&l1->batch_completion_lat_sum_us, us);
	count_way(req);
	count_last(submission, req);
	if (level >= 2)
		count_size(req);
	if (level >= 3)
		count_gpu(req, us);
}

void cf_stats_register(uint64_t began, unsigned int gpu, bool del, bool ok)
{
	if (!began)
		return;
	count(del ? CF_OP_BUF_DEL : CF_OP_BUF_ADD, ok);
	if (level < 3 || gpu >= CF_MAX_GPUS)
		return;
	if (!del) {
		add(&totals()->per_gpu_stats[gpu].n_mmap, 1);
		add(ok ? &totals()->per_gpu_stats[gpu].n_mmap_ok :
			 &totals()->per_gpu_stats[gpu].n_mmap_err, 1);
	} else if (ok) {
		add(&totals()->per_gpu_stats[gpu].n_mmap_free, 1);
	}
}

/* ------------------------------------------------------------- the calls */

/*
 * Under the lock, and before anything was counted: so it is asked for once.  Where there
 * can be none it is counted all the same.
 */
static void let_it_be_seen(void)
{
	struct cf_stats_page *new = asked ? NULL : cf_stats_page_make();

	asked = true;
	if (!new)
		return;
	atomic_store(&page, new);
	cf_buffers_tell();
}

/* Under the lock, after a change. */
static void show(void)
{
	struct cf_stats_page *now = atomic_load(&page);

	now->level = (uint64_t)level;
	now->running = running;
	now->started_us = started;
	now->ran_us = ran;
}

static void start(void)
{
	pthread_mutex_lock(&lock);
	let_it_be_seen();
	if (!running)
		started = now_us();
	running = true;
	show();
	pthread_mutex_unlock(&lock);
}

void cf_stats_open(size_t configured)
{
	if (configured)
		level = (int)configured;
	/* A child of who had started has none that is seen. */
	if (configured || running)
		start();
}

void cf_stats_before_fork(void)
{
	pthread_mutex_lock(&lock);
}

void cf_stats_in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

/* Nothing was counted in the child; what its parent has is not its own. */
void cf_stats_in_child(void)
{
	memset(&hidden, 0, sizeof(hidden));
	atomic_store(&page, &hidden);
	asked = false;
	ran = 0;
	started = now_us();
	pthread_mutex_unlock(&lock);
}

CF_API CUfileError_t cuFileSetStatsLevel(int new_level)
{
	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	if (new_level < 0 || new_level > MAX_LEVEL)
		return cf_error(CU_FILE_INVALID_VALUE);
	pthread_mutex_lock(&lock);
	level = new_level;
	show();
	pthread_mutex_unlock(&lock);
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileGetStatsLevel(int *current)
{
	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	if (!current)
		return cf_error(CU_FILE_INVALID_VALUE);
	*current = level;
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileStatsStart(void)
{
	CUfileOpError err = cf_enter();

	if (err)
		return cf_error(err);
	if (level)
		start();
	else
		err = CU_FILE_INVALID_VALUE;
	cf_leave();
	return cf_error(err);
}

CF_API CUfileError_t cuFileStatsStop(void)
{
	CUfileOpError err = cf_enter();

	if (err)
		return cf_error(err);
	pthread_mutex_lock(&lock);
	if (running)
		ran += now_us() - started;
	running = false;
	show();
	pthread_mutex_unlock(&lock);
	cf_leave();
	return cf_error(CU_FILE_SUCCESS);
}

static void clear(void)
{
	struct cf_stats_page *now = atomic_load(&page);
	uint64_t *word = (uint64_t *)&now->total;

	for (size_t i = 0; i < sizeof(now->total) / sizeof(*word); i++)
		__atomic_store_n(&word[i], 0, __ATOMIC_RELAXED);
	/* What is registered stays so. */
	cf_buffers_tell();
	__atomic_store_n(&now->refused_reads, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&now->refused_writes, 0, __ATOMIC_RELAXED);
	ran = 0;
	started = now_us();
	show();
}

CF_API CUfileError_t cuFileStatsReset(void)
{
	CUfileOpError err = cf_enter();

	if (err)
		return cf_error(err);
	pthread_mutex_lock(&lock);
	clear();
	pthread_mutex_unlock(&lock);
	cf_leave();
	return cf_error(CU_FILE_SUCCESS);
}

static uint64_t per_second(uint64_t value, uint64_t us)
{
	return us ? (uint64_t)((double)value * (double)USEC / (double)us) : 0;
}

static uint64_t share(uint64_t sum, uint64_t nr)
{
	return nr ? sum / nr : 0;
}

static uint64_t all(CUfileOpCounter_t counter)
{
	return counter.ok + counter.err;
}

/* Of those that took time; @refused may have grown since @counter was read. */
static uint64_t timed(CUfileOpCounter_t counter, const uint64_t *refused)
{
	uint64_t nr = all(counter);
	uint64_t none = __atomic_load_n(refused, __ATOMIC_RELAXED);

	return nr > none ? nr - none : 0;
}

/* What is not counted but follows. */
static void derive(CUfileStatsLevel1_t *l1, uint64_t us)
{
	const struct cf_stats_page *now = atomic_load(&page);

	l1->read_bw_bytes_per_sec = per_second(l1->read_bytes, us);
	l1->write_bw_bytes_per_sec = per_second(l1->write_bytes, us);
	l1->read_lat_avg_us = share(l1->read_lat_sum_us,
				    timed(l1->read_ops, &now->refused_reads));
	l1->write_lat_avg_us = share(l1->write_lat_sum_us,
				     timed(l1->write_ops,
					   &now->refused_writes));
	l1->read_ops_per_sec = per_second(all(l1->read_ops), us);
	l1->write_ops_per_sec = per_second(all(l1->write_ops), us);
	l1->batch_read_bw_bytes = per_second(l1->batch_read_bytes, us);
	l1->batch_write_bw_bytes = per_second(l1->batch_write_bytes, us);
	l1->batch_total_submit_ops = l1->batch_submit_ops;
	l1->batch_submit_lat_avg_us = share(l1->batch_submit_lat_sum_us,
					    all(l1->batch_submit_ops));
	l1->batch_completion_lat_avg_us =
		share(l1->batch_completion_lat_sum_us,
		      all(l1->batch_processed_ops));
	l1->batch_submit_ops_per_sec =
		per_second(all(l1->batch_submit_ops), us);
	l1->batch_complete_ops_per_sec =
		per_second(all(l1->batch_complete_ops), us);
}

static CUfileError_t get(int wanted, CUfileStatsLevel3_t *copy)
{
	const uint64_t *from = (const uint64_t *)totals();
	uint64_t *to = (uint64_t *)copy;
	uint64_t us;

	/* Whoever had the lock is not in a child. */
	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	if (level < wanted)
		return cf_error(CU_FILE_INVALID_VALUE);
	for (size_t i = 0; i < sizeof(*copy) / sizeof(*from); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	pthread_mutex_lock(&lock);
	us = ran + (running ? now_us() - started : 0);
	pthread_mutex_unlock(&lock);
	derive(&copy->detailed.basic, us);
	for (int i = 0; i < CF_MAX_GPUS; i++) {
		CUfilePerGpuStats_t *gpu = &copy->per_gpu_stats[i];

		gpu->read_bw_bytes_per_sec = per_second(gpu->read_bytes, us);
		gpu->write_bw_bytes_per_sec = per_second(gpu->writes_bytes, us);
	}
	return cf_error(CU_FILE_SUCCESS);
}

static void name_gpus(CUfileStatsLevel3_t *stats)
{
	const struct gpu_driver *driver;
	int nr;

	if (cf_enter())
		return;
	nr = engine_gpu(&driver) ? 0 : driver->count();
	for (int i = 0; i < nr && i < CF_MAX_GPUS; i++) {
		stats->num_gpus = (uint32_t)i + 1;
		if (driver->uuid)
			driver->uuid((unsigned int)i,
				     (uint8_t *)stats->per_gpu_stats[i].uuid);
	}
	cf_leave();
}

CF_API CUfileError_t cuFileGetStatsL1(CUfileStatsLevel1_t *stats)
{
	CUfileStatsLevel3_t copy;
	CUfileError_t ret;

	if (!stats)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = get(1, &copy);
	if (!ret.err)
		*stats = copy.detailed.basic;
	return ret;
}

CF_API CUfileError_t cuFileGetStatsL2(CUfileStatsLevel2_t *stats)
{
	CUfileStatsLevel3_t copy;
	CUfileError_t ret;

	if (!stats)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = get(2, &copy);
	if (!ret.err)
		*stats = copy.detailed;
	return ret;
}

CF_API CUfileError_t cuFileGetStatsL3(CUfileStatsLevel3_t *stats)
{
	CUfileStatsLevel3_t copy;
	CUfileError_t ret;

	if (!stats)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = get(3, &copy);
	if (ret.err)
		return ret;
	name_gpus(&copy);
	*stats = copy;
	return ret;
}
