// SPDX-License-Identifier: MIT
/* The route through host memory: who does how much of a request. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "ferry_crew.h"
#include "host_job.h"
#include "host_pin.h"
#include "libnvfs.h"
#include "ring.h"

#define PAGE		4096ULL
/* Small requests that share a job; in a part of it, of which some are wanted. */
#define GATHER_MOST	256U
#define GATHER_PART	32U
#define GATHER_LEAST	8U
#define GATHER_PARTS	16U
/* For so many copies it is worth it to start the pump before there are any. */
#define ROUSE_LEAST	16U
/* Requests that follow one another so closely are a burst. */
#define BURST_NS	200000U
/* One in so many that help may be missing. */
#define MISSING_EACH	4U
#define SLOT_UNIT	65536U
#define SLOT_MOST	(64U << 20)
#define MAX_THREADS	1024U
/* Of pinned memory, that buffers for small writes have beside it. */
#define SHARED_PART	8U
#define LOOKS_PER_CLOCK	16U
/*
 * How long host_warm() waits for code: 1 to 2 ms, now and then 5, when the driver
 * has it in its cache; so long for nothing when it has not.
 */
#define PREPARE_NS	20000000U

/*
 * Found on an H200 with 16 CPUs: see docs/throughput.md.  Bytes, if not said.
 * Below SPLIT_MIN one thread is faster; from WAKE_MIN on it is worth it to wake
 * others, and from LARGE on, some more of them.  What several threads read
 * through the page cache they read jointly; otherwise and alone a thread takes
 * ALONE_MIN to PART_MAX at a time, PARTS_EACH times or more.  A small request is
 * read by PARALLEL_SMALL threads, and by PARALLEL_FINE where nobody else wants
 * them.
 */
#define PARALLEL	8U
#define PARALLEL_LARGE	16U
#define PARALLEL_SMALL	4U
#define PARALLEL_FINE	8U
#define LARGE		(1ULL << 20)
#define SPLIT_MIN	(32ULL << 10)
#define PART_MAX	(1ULL << 20)
#define ALONE_MIN	HOST_WHOLE
#define PARTS_EACH	4U
#define WAKE_MIN	(256ULL << 10)
#define GATHER_MAX	(64ULL << 10)

static struct {
	pthread_mutex_t opening;
	struct engine_pool pool;		/* under @opening */
	unsigned int users;			/* under @opening */
	pthread_mutex_t lock;
	const struct gpu_driver *driver;	/* under @lock */
	_Atomic(struct port *) ports[HOST_GPUS];
} host = {
	.pool = {
		.slot_bytes = 4 << 20,
		.pinned_bytes = 128 << 20,
		.spin_us = 200,
		.cache_bytes = 1ULL << 40,
	},
	.opening = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

int host_get(void)
{
	int ret = 0;

	pthread_mutex_lock(&host.opening);
	if (!host.users)
		ret = crew_open(host.pool.threads, host.pool.spin_us);
	if (!ret)
		host.users++;
	pthread_mutex_unlock(&host.opening);
	return ret;
}

void host_pool_get(struct engine_pool *pool)
{
	pthread_mutex_lock(&host.opening);
	*pool = host.pool;
	pthread_mutex_unlock(&host.opening);
}

int host_pool_set(const struct engine_pool *pool)
{
	int ret = -EBUSY;

	if (!pool->slot_bytes || pool->slot_bytes % SLOT_UNIT ||
	    pool->slot_bytes > SLOT_MOST || pool->threads > MAX_THREADS ||
	    pool->parallel > MAX_THREADS)
		return -EINVAL;
	pthread_mutex_lock(&host.opening);
	if (!host.users) {
		host.pool = *pool;
		host_map_allow(!pool->no_map);
		host_pin_allow(!pool->no_pin);
		ret = 0;
	}
	pthread_mutex_unlock(&host.opening);
	return ret;
}

static void close_port(struct port *port)
{
	if (!port)
		return;
	for (unsigned int i = 0; i < PORT_LANES; i++) {
		lane_close(&port->in[i]);
		lane_close(&port->out[i]);
	}
	pumps_close(&port->pumps);
	slots_close(&port->slots);
	slots_close(&port->shared);
	free(port);
}

static void close_all(void)
{
	host_pin_end();
	crew_close();
	for (unsigned int i = 0; i < HOST_GPUS; i++) {
		close_port(atomic_load(&host.ports[i]));
		atomic_store(&host.ports[i], NULL);
	}
	if (host.driver)
		gpu_put();
	host.driver = NULL;
}

void host_put(void)
{
	pthread_mutex_lock(&host.opening);
	if (!--host.users)
		close_all();
	pthread_mutex_unlock(&host.opening);
}

static unsigned int nr_slots(void)
{
	uint64_t nr = host.pool.pinned_bytes / host.pool.slot_bytes;

	if (!nr)
		return 1;
	return nr < SLOTS_MAX ? (unsigned int)nr : SLOTS_MAX;
}

static uint64_t shared_bytes(void)
{
	return min64(host.pool.slot_bytes, LARGE);
}

/* Under the lock. */
static int open_port(unsigned int gpu, struct port **port)
{
	struct port *new;
	int ret;

	ret = host.driver ? 0 : gpu_get(&host.driver);
	if (ret) {
		host.driver = NULL;
		return ret;
	}
	ret = host.driver->count();
	if (ret < 0)
		return ret;
	if (gpu >= (unsigned int)ret)
		return -ENODEV;
	new = aligned_alloc(_Alignof(struct port), sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->driver = host.driver;
	new->index = gpu;
	slots_open(&new->slots, host.driver, gpu, host.pool.slot_bytes,
		   nr_slots());
	slots_open(&new->shared, host.driver, gpu, shared_bytes(),
		   (unsigned int)(host.pool.pinned_bytes / SHARED_PART /
				  shared_bytes()));
	new->shared.shared = true;
	pumps_init(&new->pumps, host.driver, gpu);
	for (unsigned int i = 0; i < PORT_LANES; i++) {
		lane_init(&new->in[i], host.driver, gpu, false, &new->pumps);
		lane_init(&new->out[i], host.driver, gpu, true, &new->pumps);
	}
	atomic_store(&host.ports[gpu], new);
	*port = new;
	return 0;
}

/* The driver is asked once, where all buffers were had of one context. */
static bool is_alive(const struct port *port)
{
	return slots_alive(&port->slots) &&
	       (atomic_load_explicit(&port->shared.context,
				     memory_order_relaxed) ==
		atomic_load_explicit(&port->slots.context,
				     memory_order_relaxed) ||
		slots_alive(&port->shared));
}

/*
 * Of a GPU that the application has reset since, none: buffers that were pinned
 * and queues are gone.
 */
static int get_port(unsigned int gpu, struct port **port)
{
	int ret = 0;

	*port = NULL;
	if (gpu == ENGINE_HOST)
		return 0;
	if (gpu >= HOST_GPUS)
		return -ENODEV;
	*port = atomic_load_explicit(&host.ports[gpu], memory_order_acquire);
	if (*port)
		return is_alive(*port) ? 0 : -EIO;
	pthread_mutex_lock(&host.lock);
	*port = atomic_load(&host.ports[gpu]);
	if (!*port)
		ret = open_port(gpu, port);
	pthread_mutex_unlock(&host.lock);
	return ret;
}

/*
 * Under @opening, so by one thread at a time.  The code for the GPU is often
 * ready at once; when not, the next call finds it.
 */
static int open_pumps(unsigned int gpu)
{
	struct port *port;
	uint64_t end;
	int ret = get_port(gpu, &port);

	if (ret || !port || port->pumps.boards)
		return ret;
	if (!host.driver->pumps)
		return -ENOSYS;
	end = now_ns() + PREPARE_NS;
	while ((ret = host.driver->pumps->prepare()) == -EAGAIN &&
	       now_ns() < end)
		sched_yield();
	/* Also when there was no time for a second look. */
	if (ret == -EAGAIN)
		ret = host.driver->pumps->prepare();
	return ret ? ret : pumps_open(&port->pumps);
}

int host_warm(unsigned int gpu)
{
	int ret = -ENOTCONN;

	pthread_mutex_lock(&host.opening);
	if (host.users)
		ret = host.pool.no_pump ? -ENOSYS : open_pumps(gpu);
	pthread_mutex_unlock(&host.opening);
	return ret;
}

void host_linger(bool (*over)(const void *what), const void *what,
		 int64_t most_ns)
{
	uint64_t most = host.pool.spin_us * 1000ULL, end;

	if (crew_cpus() == 1)
		return;
	if (most_ns >= 0 && (uint64_t)most_ns < most)
		most = (uint64_t)most_ns;
	end = now_ns() + most;
	crew_apart_add(1);
	for (unsigned int turn = 0; !over(what); turn++) {
		if ((turn % LOOKS_PER_CLOCK == 0 || turn >= CREW_PAUSES) &&
		    (now_ns() >= end || !crew_has_room()))
			break;
		crew_relax(turn);
	}
	crew_apart_add(-1);
}

static int check(const struct engine_req *req)
{
	if (!req->file)
		return -EINVAL;
	if (req->file_offset > INT64_MAX ||
	    req->length > INT64_MAX - req->file_offset ||
	    req->addr + req->length < req->addr)
		return -EOVERFLOW;
	return 0;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
	if (value < least)
		return least;
	return value < most ? value : most;
}

/*
 * Bytes must go one after the other, or would anyway: the kernel admits one
 * writer at a time to a file's page cache.
 */
static bool is_serial(const struct engine_req *req)
{
	int flags = req->file->flags;

	return !req->file->seekable ||
	       (req->write && (!(flags & O_DIRECT) || req->file->align == 1 ||
			       (flags & O_APPEND)));
}

/* The same, and others must not be in between. */
static bool is_alone(const struct engine_req *req)
{
	return !req->file->seekable ||
	       (req->write && (req->file->flags & O_APPEND));
}

/*
 * A small request for the page cache, the only one under way of those that are shared.
 * Others want CPUs, too.
 */
static bool may_be_fine(const struct job *job)
{
	return job->port && (!job->write || job->brought) && job->req->file->align == 1 &&
	       job->window >= SPLIT_MIN && job->window <= PUMP_MAX &&
	       crew_busy() <= 1 && crew_cpus() >= 2 * PARALLEL_FINE &&
	       crew_threads() >= PARALLEL_FINE && !crew_is_short();
}

/* Reads of a drive that one thread has in flight. */
static unsigned int depth(const struct job *job)
{
	return job->port && ring_error() >= 0 ? HAND_BUFFERS : 1;
}

/* What a drive is asked for at a time; beside them one is copied. */
static uint64_t drive_part(const struct job *job)
{
	uint64_t buffers = depth(job) > 1 ? depth(job) : 2;

	return job->port ? min64(host.pool.slot_bytes / buffers, PART_MAX) :
			   PART_MAX;
}

/* How many threads of @cpus there are for one request, the caller's included. */
static unsigned int ways(uint64_t window, unsigned int cpus, bool fine)
{
	unsigned int most = host.pool.parallel ? host.pool.parallel :
			    window >= LARGE ? PARALLEL_LARGE :
			    fine ? PARALLEL_FINE :
			    window <= PUMP_MAX ? PARALLEL_SMALL : PARALLEL;
	unsigned int busy = crew_busy();
	unsigned int share = cpus;
	uint64_t parts = window / (fine ? PART_FINE : PART_MIN);

	if (window < SPLIT_MIN)
		return 1;
	if (busy > 1)
		share /= busy;
	/* Each has others' threads while those others wait for their copies. */
	if (busy > 1 && share > 1 && window > PUMP_MAX && !crew_is_short())
		share *= 2;
	return (unsigned int)clamp(share, 1, clamp(parts, 1, most));
}

/*
 * A drive is kept busy by the reads that are in flight, of which a thread has
 * many when there is a ring, and not by threads that wait for it.
 */
static unsigned int drive_ways(const struct job *job)
{
	return (unsigned int)clamp(job->window / (depth(job) * drive_part(job)),
				   1, ways(job->window, crew_cpus(), false));
}

/*
 * How much one thread reads, and the copy engine takes, at a time.  Small, so
 * that the work is shared evenly and copies begin early; but the copy engine
 * pauses after each, so when there is enough to do for it, large.
 */
static uint64_t part_of(const struct job *job, unsigned int nr)
{
	uint64_t window = job->window;

	if (job->waits && (nr > 1 || depth(job) == 1))
		return drive_part(job);
	if (nr > 1)
		return clamp(window / (PARTS_EACH * nr), ALONE_MIN, PART_MAX);
	if (window <= ALONE_MIN)
		return window;
	if (job->waits)
		return clamp(window / 2, min64(ALONE_MIN, drive_part(job)),
			     drive_part(job));
	return crew_busy() > CROWD ? PART_MAX :
	       clamp(window / 2, ALONE_MIN, PART_MAX);
}

/* A small write of the page cache: how does not change what is brought for it. */
static bool may_be_brought(const struct job *job)
{
	const struct engine_req *req = job->req;

	return req->write && req->file->align == 1 && !is_alone(req) &&
	       job->window >= SPLIT_MIN && job->window <= PUMP_MAX &&
	       job->window <= host.pool.slot_bytes;
}

/* A small one also when it is read by one thread: its copy can begin early. */
static bool is_joint(const struct job *job, unsigned int nr)
{
	if (job->brought)
		return true;
	if (!job->port || (job->write && !job->maps) || job->waits ||
	    !job->req->file->seekable)
		return false;
	return nr > 1 || (!job->write && job->req->file->align == 1 &&
			  job->window > PART_MIN && job->window <= PUMP_MAX &&
			  crew_busy() <= CROWD);
}

/*
 * CPUs for a request.  A thread that loses its CPU in the middle of a part holds up all:
 * where none is left, a write is made by whoever asks for it.
 */
static unsigned int room_for(const struct job *job)
{
	unsigned int room = crew_room();

	return job->maps && crew_is_short() && room == crew_cpus() ? 1 : room;
}

static void shape_one(struct job *job)
{
	const struct engine_req *req = job->req;
	uint64_t grain = req->file->align > PAGE ? req->file->align : PAGE;
	bool fine = may_be_fine(job);
	unsigned int nr;

	/* A small one is read by one thread in any case. */
	job->waits = !req->write && req->file->seekable &&
		     job->window >= SPLIT_MIN &&
		     host_file_waits(req->file, job->window,
				     req->file_offset - job->lead);
	job->maps = req->write && host_map_takes(req->file, job->window,
						 req->file_offset);
	nr = is_serial(req) && !job->maps ? 1 :
	     job->waits ? drive_ways(job) :
	     ways(job->window, room_for(job), fine);
	job->fine = fine && nr * PART_FINE >= job->window;
	job->is_joint = is_joint(job, nr);
	if (job->is_joint && (nr > 1 || !job->write)) {
		joint_shape(job, nr, host.pool.slot_bytes);
	} else {
		job->stride = clamp(round_up(part_of(job, nr), grain), grain,
				    host.pool.slot_bytes);
		job->nr_parts = (uint32_t)((job->window + job->stride - 1) /
					   job->stride);
	}
	job->helpers = nr - 1;
	if (job->helpers >= job->nr_parts)
		job->helpers = job->nr_parts ? job->nr_parts - 1 : 0;
}

static void init(struct job *job, struct engine_req *first)
{
	job->gpu = first->gpu;
	job->port = NULL;
	job->error = 0;
	job->helpers = 0;
	job->write = first->write;
	job->is_joint = false;
	job->waits = false;
	job->maps = false;
	job->fine = false;
	job->brought = false;
	job->asked = false;
	atomic_init(&job->rouse, ROUSE_NOT);
	job->nr_many = 0;
	job->lead = 0;
	atomic_init(&job->begun, false);
	atomic_init(&job->next, 0);
	atomic_init(&job->stop, UINT64_MAX);
	atomic_flag_clear(&job->stop_lock);
	job->stop_error = 0;
	job->copies = NULL;
	job->many = NULL;
	job->each = NULL;
}

static void init_one(struct job *job, struct engine_req *req)
{
	init(job, req);
	job->req = req;
	req->done = 0;
	req->error = 0;
	job->error = check(req);
	if (job->error)
		return;
	if (!req->write && req->gpu != ENGINE_HOST && req->length)
		job->lead = req->file_offset % req->file->align;
	job->window = job->lead + req->length;
	if (job->window / PAGE >= UINT32_MAX)
		job->error = -EOVERFLOW;
}

/*
 * So many threads are worth it to wake some for them: a large request, and the first of
 * many small ones.  One of those does without the one that is at something else, as it is
 * over before another comes.
 */
static unsigned int worth_waking(const struct job *job)
{
	static _Thread_local uint64_t last;
	uint64_t before = last;

	if (job->window >= WAKE_MIN)
		return job->helpers;
	last = now_ns();
	return last - before < BURST_NS ? job->helpers - job->helpers / MISSING_EACH : 0;
}

static void offered_work(struct crew_task *task)
{
	job_work((struct job *)task, false);
}

static int run_job(struct job *job)
{
	int ret = get_port(job->gpu, &job->port);

	if (ret)
		return ret;
	/* First, so that what follows is done while it is on its way. */
	job->brought = job->port && may_be_brought(job) &&
		       joint_bring(job, host.pool.slot_bytes);
	/* Who does that counts. */
	if (job->req->length >= SPLIT_MIN)
		crew_look_around();
	if (host_pin_read(job))
		return 0;
	shape_one(job);
	ret = job_begin(job);
	if (ret)
		return ret;
	if (job->helpers) {
		job->task.work = offered_work;
		job->task.end = NULL;
		crew_offer(&job->task, job->helpers, worth_waking(job));
	}
	job_work(job, true);
	/* While copies are under way nobody is waited for, or not for long. */
	if (job->helpers)
		crew_recall(&job->task);
	job_land(job);
	if (job->helpers)
		crew_retract(&job->task);
	job_finish(job);
	return 0;
}

int host_run(struct engine_req *req)
{
	struct job job;
	bool counts;

	init_one(&job, req);
	if (!job.error && !req->length)
		return 0;
	counts = req->length >= SPLIT_MIN;
	if (counts)
		crew_own_add(1);
	if (!job.error)
		job.error = run_job(&job);
	if (counts)
		crew_own_add(-1);
	if (job.error)
		req->error = job.error;
	return req->error;
}

/* Submitted requests. */

static int begin_posted(struct job *job)
{
	uint64_t bytes = job->nr_many * job->stride;

	if (job->error)
		return job->error;
	if (job->req && !req_claim(job->req, REQ_RUNNING))
		return -ECANCELED;
	job->error = get_port(job->gpu, &job->port);
	if (job->error)
		return job->error;
	crew_look_around();
	/* Then there is nothing left to do. */
	if (job->req && host_pin_read(job)) {
		job->nr_parts = 0;
		job->port = NULL;
		return 0;
	}
	if (job->req)
		shape_one(job);
	else
		job->helpers = (unsigned int)clamp(job->nr_parts, 1,
			job->waits ? crew_threads() :
			ways(bytes, crew_room(), false)) - 1;
	return job_begin(job);
}

/* Those that are neighbours in memory are one copy, mostly. */
static unsigned int count_apart(const struct job *job)
{
	unsigned int apart = 1;

	for (unsigned int i = 1; i < job->nr_many; i++)
		apart += job->many[i]->addr != job->many[i - 1]->addr +
					       job->many[i - 1]->length;
	return apart;
}

/*
 * Starting the pump takes some 10 us, and it has to run when the first have been
 * read.  Where files are read from a drive that takes longer than it would run.
 */
static bool wants_pump(const struct job *job)
{
	return job->nr_many >= ROUSE_LEAST && !job->waits && job->helpers &&
	       pumps_are_there(&job->port->pumps) &&
	       count_apart(job) >= ROUSE_LEAST;
}

/* By one of those who join, before it helps. */
static void rouse(struct job *job)
{
	struct pump_trip trips[PUMPS];
	int wanted = ROUSE_WANTED;

	if (atomic_load_explicit(&job->rouse, memory_order_relaxed) != wanted ||
	    !atomic_compare_exchange_strong(&job->rouse, &wanted, ROUSE_BEGUN))
		return;
	pumps_rouse(&job->port->pumps, trips);
	for (unsigned int turn = 0; !pumps_settled(trips); turn++)
		crew_relax(turn);
	atomic_store_explicit(&job->rouse, ROUSE_NOT, memory_order_release);
}

static void posted_work(struct crew_task *task)
{
	struct job *job = (struct job *)task;
	bool first = !atomic_exchange(&job->begun, true);

	if (first) {
		crew_busy_add(1);
		job->error = begin_posted(job);
		if (job->error)
			return;
		if (wants_pump(job)) {
			job->helpers++;
			atomic_store(&job->rouse, ROUSE_WANTED);
		}
		crew_more(task, job->helpers);
	} else {
		rouse(job);
	}
	job_work(job, first);
}

static void posted_end(struct crew_task *task)
{
	struct job *job = (struct job *)task;
	void (*each)(struct engine_req *req) = job->each;

	if (job->error)
		job_fail(job, job->error);
	else
		job_finish(job);
	crew_busy_add(-1);
	if (job->req)
		each(job->req);
	/* Otherwise each was told of when its part was done. */
	for (uint32_t i = 0; job->error && i < job->nr_many; i++)
		each(job->many[i]);
	free(job);
}

/* What a request among others needs of a buffer. */
static uint64_t room_of(const struct engine_req *req)
{
	uint64_t lead = req->write ? 0 : req->file_offset % req->file->align;

	return round_up(lead + req->length,
			clamp(req->file->align, PAGE, UINT32_MAX));
}

static bool is_small(const struct engine_req *req)
{
	return !check(req) && req->gpu != ENGINE_HOST && req->length &&
	       req->length <= GATHER_MAX && !is_alone(req) &&
	       room_of(req) <= host.pool.slot_bytes;
}

/* How many of @reqs, from the first on, make one job. */
static unsigned int count_alike(struct engine_req *const *reqs, unsigned int nr)
{
	unsigned int i;

	if (!is_small(reqs[0]))
		return 1;
	for (i = 1; i < nr && i < GATHER_MOST; i++) {
		if (!is_small(reqs[i]) || reqs[i]->gpu != reqs[0]->gpu ||
		    reqs[i]->write != reqs[0]->write)
			break;
	}
	return i;
}

/*
 * Each thread takes some at a time, so that their copies are one group, and the
 * driver is asked once; but not so many that others have none.  Where it has to
 * wait for a drive, as few as keep all threads waiting.
 */
static void shape_many(struct job *job)
{
	uint64_t most = clamp(job->nr_many / GATHER_PARTS, GATHER_LEAST,
			      GATHER_PART);
	uint64_t stride = PAGE;
	bool waits = false;

	for (uint32_t i = 0; i < job->nr_many; i++) {
		const struct engine_req *req = job->many[i];
		uint64_t room = room_of(req);

		if (room > stride)
			stride = room;
		waits |= req->file->align > 1;
	}
	if (waits)
		most = clamp(job->nr_many / crew_threads(), 1, most);
	job->stride = stride;
	job->waits = waits;
	job->per_part = (uint32_t)clamp(host.pool.slot_bytes / stride, 1, most);
	job->nr_parts = (job->nr_many + job->per_part - 1) / job->per_part;
}

static struct job *make_job(struct engine_req *const *reqs, unsigned int nr)
{
	size_t extra = nr > 1 ? nr * (sizeof(struct lane_copy) +
				      sizeof(struct engine_req *)) : 0;
	struct job *job = aligned_alloc(_Alignof(struct job), round_up(
		sizeof(*job) + extra, _Alignof(struct job)));

	if (!job)
		return NULL;
	if (nr == 1) {
		init_one(job, reqs[0]);
	} else {
		init(job, reqs[0]);
		job->req = NULL;
		job->nr_many = nr;
		job->copies = (struct lane_copy *)(job + 1);
		job->many = (struct engine_req **)(job->copies + nr);
		memcpy(job->many, reqs, nr * sizeof(*reqs));
		shape_many(job);
	}
	for (unsigned int i = 0; i < nr; i++) {
		reqs[i]->done = 0;
		reqs[i]->error = 0;
		reqs[i]->priv.job = job;
		__atomic_store_n(&reqs[i]->priv.state, REQ_WAITING,
				 __ATOMIC_RELEASE);
	}
	job->task.work = posted_work;
	job->task.end = posted_end;
	return job;
}

int host_submit(struct engine_req *const *reqs, unsigned int nr,
		void (*each)(struct engine_req *req))
{
	struct crew_task **tasks = malloc(nr * sizeof(struct crew_task *));
	unsigned int nr_tasks = 0;
	int ret = tasks ? 0 : -ENOMEM;

	for (unsigned int i = 0; !ret && i < nr; nr_tasks++) {
		unsigned int alike = count_alike(&reqs[i], nr - i);
		struct job *job = make_job(&reqs[i], alike);

		if (!job) {
			ret = -ENOMEM;
			break;
		}
		job->each = each;
		tasks[nr_tasks] = &job->task;
		i += alike;
	}
	if (!ret)
		ret = crew_post(tasks, nr_tasks);
	for (unsigned int i = 0; ret && i < nr_tasks; i++)
		free(tasks[i]);
	free(tasks);
	return ret;
}

/* Its shape is known before anybody joins, as nobody need be called later. */
int host_submit_apart(struct engine_req *req,
		      void (*each)(struct engine_req *req))
{
	struct job *job = make_job(&req, 1);
	int ret;

	if (!job)
		return -ENOMEM;
	ret = job->error;
	if (!ret) {
		job->each = each;
		job->task.work = offered_work;
		req_claim(req, REQ_RUNNING);
		shape_one(job);
		crew_busy_add(1);
		ret = ferry_post(&job->task, job->helpers + 1);
		if (ret)
			crew_busy_add(-1);
	}
	if (ret)
		free(job);
	return ret;
}

int host_cancel(struct engine_req *req)
{
	int state = REQ_WAITING;

	if (__atomic_compare_exchange_n(&req->priv.state, &state, REQ_CANCELED,
					false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return 0;
	return state == REQ_CANCELED ? 0 : -EALREADY;
}
