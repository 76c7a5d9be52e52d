// SPDX-License-Identifier: MIT
/* A run of nvfs bench: what it needs, its threads, and the sum. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_run.h"
#include "gpu.h"
#include "tool.h"

#define TICK_NS		100000000
#define PAGE		4096ULL

static uint64_t stride_of(uint64_t block)
{
	return (block + PAGE - 1) / PAGE * PAGE;
}

/* ---------------------------------------------------------- what all share */

static int open_engine(const struct bench_opts *opts)
{
	struct engine_pool pool;
	int ret;

	engine_pool_get(&pool);
	pool.no_direct = opts->way == BENCH_HOST;
	ret = engine_pool_set(&pool);
	if (!ret)
		ret = engine_get();
	if (ret)
		complain("bench: can't open the library (%s)", errno_name(ret));
	return ret ? -1 : 0;
}

static int open_files(struct bench *bench)
{
	unsigned int nr = bench->opts.is_dir ? bench->opts.threads : 1;

	bench->files = calloc(nr, sizeof(*bench->files));
	if (!bench->files) {
		complain("bench: %s", errno_name(-ENOMEM));
		return -1;
	}
	for (; bench->nr_files < nr; bench->nr_files++) {
		if (bench_file_open(&bench->opts, bench->nr_files,
				    &bench->files[bench->nr_files]))
			return -1;
	}
	return 0;
}

static int get_host(struct bench *bench, uint64_t bytes)
{
	bench->host = aligned_alloc(PAGE, bytes);
	if (!bench->host) {
		complain("bench: no memory (ENOMEM)");
		return -1;
	}
	/* So that no page is made while it is measured. */
	memset(bench->host, 0, bytes);
	bench->addr = (uintptr_t)bench->host;
	return 0;
}

static int get_memory(struct bench *bench)
{
	const struct bench_opts *opts = &bench->opts;
	uint64_t most = 0, bytes;
	char need[16];
	int ret;

	for (unsigned int i = 0; i < opts->nr_sizes; i++) {
		if (opts->sizes[i] > most)
			most = opts->sizes[i];
	}
	bench->per_thread = stride_of(most) * opts->depth + PAGE;
	bytes = bench->per_thread * opts->threads;
	if (opts->cpu)
		return get_host(bench, bytes);
	ret = nvfs_gpu_get(engine_nvfs(), opts->gpu, &bench->gpu);
	if (!ret)
		ret = nvfs_buf_alloc(engine_nvfs(), opts->gpu, bytes,
				     &bench->buf);
	format_bytes(bytes, need, sizeof(need));
	if (ret == -ENOMEM)
		complain("bench: no %s of GPU memory, a block for each request under way: fewer --threads, --depth, or smaller blocks",
			 need);
	else if (ret)
		complain("bench: gpu:%u: %s (%s)", opts->gpu, gpu_advice(ret),
			 errno_name(ret));
	if (ret)
		return -1;
	bench->addr = nvfs_buf_addr(bench->buf);
	return 0;
}

/*
 * Streams copy by themselves only when the GPU has the code for it, which the
 * driver translates for the first process on a machine.
 */
static void warm(const struct bench_opts *opts)
{
	if (opts->mode != BENCH_STREAM)
		return;
	while (engine_warm(opts->gpu) == -EAGAIN)
		usleep(1000);
}

int bench_open(struct bench *bench)
{
	const struct bench_opts *opts = &bench->opts;
	int ret;

	/* Before there are other threads, and any memory. */
	if (opts->has_node && bench_stay_on(opts->node))
		return -1;
	if (open_engine(opts))
		return -1;
	/* What is written may be made or grow; not before there is a GPU. */
	if ((bench_writes(opts) && get_memory(bench)) || open_files(bench) ||
	    (!bench->addr && get_memory(bench))) {
		bench_close(bench);
		return -1;
	}
	warm(opts);
	if (opts->no_register || opts->cpu)
		return 0;
	ret = engine_mem_add(opts->gpu, bench->addr,
			     nvfs_buf_capacity(bench->buf));
	bench->registered = !ret;
	if (ret) {
		complain("bench: can't register the memory (%s)",
			 errno_name(ret));
		bench_close(bench);
	}
	return ret ? -1 : 0;
}

void bench_close(struct bench *bench)
{
	if (bench->registered)
		engine_mem_del(bench->addr);
	for (unsigned int i = 0; i < bench->nr_files; i++)
		bench_file_close(&bench->files[i]);
	free(bench->files);
	nvfs_buf_free(bench->buf);
	free(bench->host);
	engine_put();
}

/* ------------------------------------------------------------- the threads */

static void *run_worker(void *arg)
{
	struct bench_worker *worker = arg;
	struct bench_crew *crew = worker->crew;

	pthread_mutex_lock(&crew->lock);
	while (!crew->go)
		pthread_cond_wait(&crew->start, &crew->lock);
	pthread_mutex_unlock(&crew->lock);
	bench_work(worker);
	pthread_mutex_lock(&crew->lock);
	crew->running--;
	pthread_cond_signal(&crew->idle);
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

static void end_worker(struct bench_worker *worker)
{
	unsigned int depth = worker->crew->bench->opts.depth;

	for (unsigned int i = 0; worker->slots && i < depth; i++) {
		sem_destroy(&worker->slots[i].over);
		sem_destroy(&worker->slots[i].gate);
	}
	engine_file_fini(&worker->engine_file);
	sem_destroy(&worker->ended);
	free(worker->slots);
	free(worker->scratch);
}

static void prepare_slots(struct bench_worker *worker, unsigned int id)
{
	struct bench_crew *crew = worker->crew;
	const struct bench_opts *opts = &crew->bench->opts;
	uint64_t at = id * crew->bench->per_thread + opts->unaligned % PAGE;

	for (unsigned int i = 0; i < opts->depth; i++) {
		struct bench_slot *slot = &worker->slots[i];

		slot->worker = worker;
		slot->buf_offset = at;
		slot->req.file = &worker->engine_file;
		slot->req.addr = crew->bench->addr + at;
		slot->req.gpu = opts->cpu ? ENGINE_HOST : opts->gpu;
		slot->req.write = bench_writes(opts);
		slot->req.no_bounce = opts->way == BENCH_DIRECT;
		sem_init(&slot->over, 0, 0);
		sem_init(&slot->gate, 0, 0);
		at += stride_of(crew->block);
	}
}

/* Its part of the file: a row of blocks.  None is left for some. */
static int prepare_worker(struct bench_worker *worker, unsigned int id,
			  unsigned int nr)
{
	const struct bench *bench = worker->crew->bench;
	const struct bench_opts *opts = &bench->opts;
	uint64_t block = worker->crew->block, blocks;

	worker->file = &bench->files[opts->is_dir ? id : 0];
	worker->engine_file.twin = -1;
	blocks = (worker->file->length + block - 1) / block;
	if (!opts->is_dir) {
		worker->first = (uint64_t)((__uint128_t)blocks * id / nr);
		blocks = (uint64_t)((__uint128_t)blocks * (id + 1) / nr) -
			 worker->first;
	}
	worker->left = blocks;
	worker->walk.blocks = blocks;
	worker->walk.random = opts->op == BENCH_RANDREAD ||
			      opts->op == BENCH_RANDWRITE;
	worker->walk.seed = opts->seed * 31 + id * 7919ULL;
	sem_init(&worker->ended, 0, 0);
	worker->slots = calloc(opts->depth, sizeof(*worker->slots));
	if (opts->verify)
		worker->scratch = malloc(block);
	if (!worker->slots || (opts->verify && !worker->scratch))
		return -ENOMEM;
	prepare_slots(worker, id);
	return engine_file_init(&worker->engine_file, worker->file->fd);
}

/* At most one thread for each block of the file. */
static unsigned int nr_workers(const struct bench *bench, uint64_t block)
{
	uint64_t blocks = (bench->files[0].length + block - 1) / block;

	if (bench->opts.is_dir || blocks >= bench->opts.threads)
		return bench->opts.threads;
	return (unsigned int)blocks;
}

static void draw(struct bench_crew *crew, struct progress *progress)
{
	uint64_t moved = atomic_load(&crew->moved);
	uint64_t until = crew->bench->opts.time_ns;
	uint64_t gone = now_ns() - progress->start_ns;

	if (!until) {
		progress_update(progress, moved);
		return;
	}
	/* The bar is of time; its rate and its amount are of bytes. */
	progress->total = gone < until && gone ?
			  (uint64_t)((__uint128_t)moved * until / gone) : moved;
	progress_update(progress, moved);
}

static void wait_for_crew(struct bench_crew *crew)
{
	const struct bench_opts *opts = &crew->bench->opts;
	struct options look = { .quiet = opts->quiet || opts->json };
	struct progress progress;
	struct timespec tick;

	progress_start(&progress, crew->result->asked, &look);
	pthread_mutex_lock(&crew->lock);
	while (crew->running) {
		clock_gettime(CLOCK_MONOTONIC, &tick);
		tick.tv_nsec += TICK_NS;
		if (tick.tv_nsec >= 1000000000) {
			tick.tv_nsec -= 1000000000;
			tick.tv_sec++;
		}
		if (!pthread_cond_timedwait(&crew->idle, &crew->lock, &tick))
			continue;
		pthread_mutex_unlock(&crew->lock);
		draw(crew, &progress);
		pthread_mutex_lock(&crew->lock);
	}
	pthread_mutex_unlock(&crew->lock);
	progress_end(&progress);
}

/* Returns how many wait for the start; after a failure they will do nothing. */
static unsigned int start_workers(struct bench_crew *crew,
				  struct bench_worker *workers,
				  unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		int ret = pthread_create(&workers[i].thread, NULL, run_worker,
					 &workers[i]);

		if (!ret)
			continue;
		bench_fail(crew, -ret, 0);
		break;
	}
	crew->running = i;
	return i;
}

static void flush(struct bench_crew *crew)
{
	const struct bench *bench = crew->bench;

	/* What is not on the drive is not written. */
	for (unsigned int i = 0; i < bench->nr_files; i++) {
		if (fdatasync(bench->files[i].fd))
			bench_fail(crew, -errno, bench->files[i].offset);
	}
}

static void add_up(struct bench_crew *crew, const struct bench_worker *worker)
{
	struct bench_result *result = crew->result;

	result->ops += worker->ops;
	result->bytes += worker->bytes;
	result->direct += worker->direct;
	result->bounce += worker->bounce;
	result->checked += worker->checked;
	if (!result->reason)
		result->reason = worker->reason;
	bench_hist_merge(&result->hist, &worker->hist);
}

static void run_crew(struct bench_crew *crew, struct bench_worker *workers,
		     unsigned int nr)
{
	const struct bench_opts *opts = &crew->bench->opts;
	uint64_t start;

	pthread_mutex_lock(&crew->lock);
	start = now_ns();
	if (opts->time_ns)
		atomic_store(&crew->until_ns, start + opts->time_ns);
	crew->go = true;
	pthread_cond_broadcast(&crew->start);
	pthread_mutex_unlock(&crew->lock);
	wait_for_crew(crew);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(workers[i].thread, NULL);
	if (bench_writes(opts))
		flush(crew);
	crew->result->ns = now_ns() - start;
	for (unsigned int i = 0; i < nr; i++) {
		if (bench_writes(opts) && opts->verify)
			bench_check_written(&workers[i]);
		add_up(crew, &workers[i]);
	}
}

static void look_at_cache(const struct bench *bench,
			  struct bench_result *result)
{
	result->cached_known = true;
	for (unsigned int i = 0; i < bench->nr_files; i++) {
		uint64_t bytes;

		result->asked += bench->files[i].length;
		if (bench->opts.drop)
			bench_file_drop(&bench->files[i]);
		if (!bench_file_cached(&bench->files[i], &bytes))
			result->cached_known = false;
		result->cached += bytes;
	}
}

static void run_workers(struct bench_crew *crew, struct bench_worker *workers,
			unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int ret;

		workers[i].crew = crew;
		ret = prepare_worker(&workers[i], i, nr);
		if (ret)
			bench_fail(crew, ret, 0);
	}
	if (!atomic_load(&crew->stop))
		run_crew(crew, workers, start_workers(crew, workers, nr));
	for (unsigned int i = 0; i < nr; i++)
		end_worker(&workers[i]);
}

void bench_run(struct bench *bench, uint64_t block,
	       struct bench_result *result)
{
	struct bench_crew crew = {
		.bench = bench, .result = result, .block = block,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.start = PTHREAD_COND_INITIALIZER,
	};
	unsigned int nr = nr_workers(bench, block);
	struct bench_worker *workers = calloc(nr, sizeof(*workers));
	pthread_condattr_t attr;

	memset(result, 0, sizeof(*result));
	result->block = block;
	look_at_cache(bench, result);
	result->error = !workers ? -ENOMEM : bench->opts.cpu ? 0 :
			engine_gpu(&crew.driver);
	if (!result->error) {
		pthread_condattr_init(&attr);
		pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		pthread_cond_init(&crew.idle, &attr);
		pthread_condattr_destroy(&attr);
		run_workers(&crew, workers, nr);
		pthread_cond_destroy(&crew.idle);
	}
	free(workers);
}
