// SPDX-License-Identifier: MIT
/*
 * Queues.  A queue has room for so many requests; each takes a place from its
 * submission until somebody has been told of its end.
 */
#include <errno.h>
#include <stdlib.h>

#include "async.h"
#include "common.h"

#define NSEC		1000000000ULL
/* Requests of one call whose list needs no memory of its own. */
#define FEW		64U

struct place {
	struct nvfs_queue *queue;
	struct place *next;	/* free ones, or done ones */
	struct nvfs_file *file;
	bool busy;
	uint64_t user_data;
	struct nvfs_done done;
	struct engine_req req;
};

/**
 * struct nvfs_queue - a queue
 * @starting: held for reading by those who start requests: who cancels must not
 *	meet one that the engine does not know yet
 * @lock: guards all below but @depth; taken after @starting
 * @progress: @wanted requests have ended, or none is under way
 * @busy, @nr_done: also read without the lock
 * @waiting: threads that wait for ends
 * @wanted: the fewest that one of them waits for
 */
struct nvfs_queue {
	struct nvfs *nvfs;
	pthread_rwlock_t starting;
	pthread_mutex_t lock;
	pthread_cond_t progress;
	unsigned int depth;
	_Atomic unsigned int busy;
	_Atomic unsigned int nr_done;
	unsigned int waiting, wanted;
	struct place *free;
	struct place *first, **last;
	struct place places[];
};

static int check(const struct nvfs_queue *queue)
{
	return queue ? ctx_check(queue->nvfs) : -EINVAL;
}

/* ---------------------------------------------------------------- a queue */

static void init_locks(struct nvfs_queue *queue)
{
	pthread_rwlockattr_t rwlock;
	pthread_condattr_t cond;

	/* So that one who cancels gets in while others submit all the time. */
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setkind_np(&rwlock,
		PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&queue->starting, &rwlock);
	pthread_rwlockattr_destroy(&rwlock);
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->progress, &cond);
	pthread_condattr_destroy(&cond);
}

NVFS_EXPORT int nvfs_queue_open(struct nvfs *nvfs, unsigned int depth,
				struct nvfs_queue **queue)
{
	struct nvfs_queue *new;
	int ret;

	if (!nvfs || !queue || !depth || depth > NVFS_QUEUE_MAX_DEPTH)
		return -EINVAL;
	ret = ctx_engine(nvfs);
	if (ret)
		return ret;
	new = calloc(1, sizeof(*new) + depth * sizeof(new->places[0]));
	if (!new)
		return -ENOMEM;
	init_locks(new);
	new->nvfs = nvfs;
	new->depth = depth;
	new->last = &new->first;
	for (unsigned int i = depth; i--;) {
		new->places[i].queue = new;
		new->places[i].next = new->free;
		new->free = &new->places[i];
	}
	ctx_count_child(nvfs, 1);
	*queue = new;
	return 0;
}

/* ------------------------------------------------------------- submission */

/* The last to touch the places. */
static void end(void *arg, struct engine_req *first)
{
	struct nvfs_queue *queue = arg;
	unsigned int nr = 0;

	pthread_mutex_lock(&queue->lock);
	for (struct engine_req *req = first; req; req = req->next) {
		struct place *place = req->user;

		/* Before its end can be told of: then it may be closed. */
		file_put(place->file);
		place->busy = false;
		place->next = NULL;
		*queue->last = place;
		queue->last = &place->next;
		nr++;
	}
	queue->nr_done += nr;
	queue->busy -= nr;
	if (queue->nr_done >= queue->wanted || !queue->busy)
		pthread_cond_broadcast(&queue->progress);
	pthread_mutex_unlock(&queue->lock);
}

/* From the engine, in any thread. */
static void complete(struct engine_req *req)
{
	struct place *place = req->user;

	io_ended(place->queue->nvfs, req, &place->done);
	place->done.user_data = place->user_data;
	engine_end(req, end, place->queue);
}

/* Takes @nr places, or none. */
static struct place *take(struct nvfs_queue *queue, unsigned int nr)
{
	struct place **end = &queue->free, *list = NULL;
	unsigned int i;

	pthread_mutex_lock(&queue->lock);
	for (i = 0; i < nr && *end; i++)
		end = &(*end)->next;
	if (i == nr) {
		list = queue->free;
		queue->free = *end;
		*end = NULL;
	}
	pthread_mutex_unlock(&queue->lock);
	return list;
}

/* Locked. */
static void give_back(struct nvfs_queue *queue, struct place *place)
{
	place->next = queue->free;
	queue->free = place;
}

/* From here on they are the engine's, until complete(). */
static void mark_busy(struct nvfs_queue *queue, struct engine_req *const *reqs,
		      unsigned int nr)
{
	pthread_mutex_lock(&queue->lock);
	for (unsigned int i = 0; i < nr; i++) {
		struct place *place = reqs[i]->user;

		file_get(place->file);
		place->busy = true;
	}
	queue->busy += nr;
	pthread_mutex_unlock(&queue->lock);
}

/* None of them was started. */
static void undo(struct nvfs_queue *queue, struct engine_req *const *reqs,
		 unsigned int nr)
{
	pthread_mutex_lock(&queue->lock);
	for (unsigned int i = nr; i--;) {
		struct place *place = reqs[i]->user;

		file_put(place->file);
		place->busy = false;
		give_back(queue, place);
	}
	queue->busy -= nr;
	pthread_cond_broadcast(&queue->progress);
	pthread_mutex_unlock(&queue->lock);
}

static void fill(struct place *place, const struct nvfs_io *io)
{
	io_fill(&place->req, io);
	place->req.complete = complete;
	place->req.user = place;
	place->file = io->file;
	place->user_data = io->user_data;
}

/* @reqs has room for @nr. */
static int start(struct nvfs_queue *queue, const struct nvfs_io *ios,
		 unsigned int nr, struct engine_req **reqs)
{
	struct place *place = take(queue, nr);
	int ret;

	if (!place)
		return -EBUSY;
	for (unsigned int i = 0; i < nr; i++, place = place->next) {
		fill(place, &ios[i]);
		reqs[i] = &place->req;
	}
	pthread_rwlock_rdlock(&queue->starting);
	mark_busy(queue, reqs, nr);
	ret = engine_submit(reqs, nr);
	if (ret)
		undo(queue, reqs, nr);
	pthread_rwlock_unlock(&queue->starting);
	return ret;
}

static int check_all(const struct nvfs_queue *queue, const struct nvfs_io *ios,
		     unsigned int nr, unsigned int *bad)
{
	int ret = 0;

	for (unsigned int i = 0; i < nr && !ret; i++) {
		ret = io_check(queue->nvfs, &ios[i]);
		if (ret)
			*bad = i;
	}
	return ret;
}

NVFS_EXPORT int nvfs_queue_submit(struct nvfs_queue *queue,
				  const struct nvfs_io *ios, unsigned int nr,
				  unsigned int *bad)
{
	struct engine_req *few[FEW], **reqs = few;
	unsigned int dummy;
	int ret = check(queue);

	if (!bad)
		bad = &dummy;
	*bad = nr;
	if (ret)
		return ret;
	if (!ios || !nr || nr > queue->depth)
		return -EINVAL;
	ret = check_all(queue, ios, nr, bad);
	if (ret)
		return ret;
	if (nr > FEW)
		reqs = malloc(nr * sizeof(*reqs));
	if (!reqs)
		return -ENOMEM;
	ret = start(queue, ios, nr, reqs);
	if (reqs != few)
		free(reqs);
	return ret;
}

/* ------------------------------------------------------------------- ends */

/* When @timeout_ns from now is; what is later than time itself is never. */
static struct timespec deadline_of(int64_t timeout_ns)
{
	uint64_t at = now_ns() + (uint64_t)timeout_ns;

	return (struct timespec){
		.tv_sec = (time_t)(at / NSEC),
		.tv_nsec = (long)(at % NSEC),
	};
}

/* Locked.  @timeout_ns: 0 or -1, or there is a @deadline. */
static void await(struct nvfs_queue *queue, unsigned int min_nr,
		  int64_t timeout_ns, const struct timespec *deadline)
{
	int ret = 0;

	if (!queue->waiting++ || min_nr < queue->wanted)
		queue->wanted = min_nr;
	while (queue->nr_done < min_nr && queue->busy && !ret && timeout_ns) {
		if (timeout_ns < 0)
			pthread_cond_wait(&queue->progress, &queue->lock);
		else
			ret = pthread_cond_timedwait(&queue->progress,
						     &queue->lock, deadline);
	}
	queue->waiting--;
}

struct look {
	const struct nvfs_queue *queue;
	unsigned int min_nr;
};

static bool is_over(const void *what)
{
	const struct look *look = what;

	return atomic_load(&look->queue->nr_done) >= look->min_nr ||
	       !atomic_load(&look->queue->busy);
}

/* Locked. */
static unsigned int collect(struct nvfs_queue *queue, struct nvfs_done *done,
			    unsigned int max_nr)
{
	unsigned int nr = 0;

	while (nr < max_nr && queue->first) {
		struct place *place = queue->first;

		queue->first = place->next;
		done[nr++] = place->done;
		give_back(queue, place);
	}
	if (!queue->first)
		queue->last = &queue->first;
	queue->nr_done -= nr;
	return nr;
}

NVFS_EXPORT int nvfs_queue_wait(struct nvfs_queue *queue, unsigned int min_nr,
				struct nvfs_done *done, unsigned int max_nr,
				int64_t timeout_ns)
{
	struct look look = { queue, min_nr };
	struct timespec deadline = { 0 };
	unsigned int nr;
	int ret = check(queue);

	if (ret)
		return ret;
	if (!done || !max_nr || min_nr > max_nr || timeout_ns < -1)
		return -EINVAL;
	if (timeout_ns > 0)
		deadline = deadline_of(timeout_ns);
	/* Not locked: those that end need the lock. */
	engine_linger(is_over, &look, timeout_ns);
	pthread_mutex_lock(&queue->lock);
	await(queue, min_nr, timeout_ns, &deadline);
	nr = collect(queue, done, max_nr);
	pthread_mutex_unlock(&queue->lock);
	return (int)nr;
}

/* -------------------------------------------------------------- giving up */

/*
 * Of all requests, or of those with *@user_data.  Under the lock none of them
 * can end meanwhile, as the engine asks.
 */
static unsigned int cancel(struct nvfs_queue *queue, const uint64_t *user_data)
{
	unsigned int nr = 0;

	pthread_rwlock_wrlock(&queue->starting);
	pthread_mutex_lock(&queue->lock);
	for (unsigned int i = 0; i < queue->depth && queue->busy; i++) {
		struct place *place = &queue->places[i];

		if (!place->busy ||
		    (user_data && place->user_data != *user_data))
			continue;
		engine_cancel(&place->req);
		nr++;
	}
	pthread_mutex_unlock(&queue->lock);
	pthread_rwlock_unlock(&queue->starting);
	return nr;
}

NVFS_EXPORT int nvfs_queue_cancel(struct nvfs_queue *queue, uint64_t user_data)
{
	int ret = check(queue);

	return ret ? ret : (int)cancel(queue, &user_data);
}

NVFS_EXPORT int nvfs_queue_close(struct nvfs_queue *queue)
{
	int ret;

	if (!queue)
		return 0;
	ret = check(queue);
	if (ret)
		return ret;
	cancel(queue, NULL);
	pthread_mutex_lock(&queue->lock);
	while (queue->busy)
		pthread_cond_wait(&queue->progress, &queue->lock);
	pthread_mutex_unlock(&queue->lock);
	ctx_count_child(queue->nvfs, -1);
	pthread_cond_destroy(&queue->progress);
	pthread_mutex_destroy(&queue->lock);
	pthread_rwlock_destroy(&queue->starting);
	free(queue);
	return 0;
}
