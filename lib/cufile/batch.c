// SPDX-License-Identifier: MIT
/*
 * Batches.  A batch has room for so many requests; each takes a place from
 * submission until its event has been told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cufile_priv.h"

#define NSEC		1000000000L

enum place_state { FREE, BUSY, DONE };

struct batch;

struct place {
	struct batch *batch;
	struct place *next;	/* free ones, or done ones */
	enum place_state state;
	CUfileStatus_t status;
	ssize_t result;
	void *cookie;
	void *fh;
	uint64_t began;
	uint64_t submission;
	struct engine_req req;
};

/**
 * struct batch - a batch
 * @lock: guards all but @places and @nr
 * @progress: @wanted requests have ended, or none is under way
 * @busy, @nr_done: also read without the lock
 * @waiting: threads that wait for ends
 * @wanted: the fewest that one of them waits for
 */
struct batch {
	pthread_mutex_t lock;
	pthread_cond_t progress;
	unsigned int nr;
	unsigned int waiting, wanted;
	struct place *free;
	struct place *done;
	struct place **done_end;
	_Alignas(64) _Atomic unsigned int busy;
	_Atomic unsigned int nr_done;
	_Alignas(64) struct place places[];
};

/* ---------------------------------------------------------------- set up */

static unsigned int limit(void)
{
	unsigned int max;

	cf_lock();
	max = (unsigned int)
		cf_config()->size[CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE];
	cf_unlock();
	return max;
}

static struct batch *make(unsigned int nr)
{
	size_t bytes = (sizeof(struct batch) + nr * sizeof(struct place) + 63) /
		       64 * 64;
	struct batch *batch = aligned_alloc(64, bytes);
	pthread_condattr_t attr;

	if (!batch)
		return NULL;
	memset(batch, 0, bytes);
	pthread_mutex_init(&batch->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&batch->progress, &attr);
	pthread_condattr_destroy(&attr);
	batch->nr = nr;
	batch->done_end = &batch->done;
	for (unsigned int i = nr; i--;) {
		batch->places[i].batch = batch;
		batch->places[i].next = batch->free;
		batch->free = &batch->places[i];
	}
	return batch;
}

static void destroy(struct batch *batch)
{
	pthread_cond_destroy(&batch->progress);
	pthread_mutex_destroy(&batch->lock);
	free(batch);
}

CF_API CUfileError_t cuFileBatchIOSetUp(CUfileBatchHandle_t *batch_idp,
					unsigned int nr)
{
	struct batch *batch;
	CUfileError_t ret;
	uint64_t began;

	if (!batch_idp || !nr)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_enter_open();
	if (ret.err)
		return ret;
	began = cf_stats_begin();
	if (nr > limit()) {
		ret.err = CU_FILE_INVALID_VALUE;
		cf_tell_call("cuFileBatchIOSetUp", ret.err,
			     "%u requests, and io_batchsize is %u", nr,
			     limit());
		goto leave;
	}
	batch = make(nr);
	*batch_idp = batch ? cf_slot_add(&cf_batches, batch) : NULL;
	if (!*batch_idp) {
		if (batch)
			destroy(batch);
		ret.err = CU_FILE_NOMEM_ERROR;
	}
leave:
	cf_stats_count(began, CF_OP_BATCH_SETUP, !ret.err);
	cf_leave();
	return ret;
}

/* ------------------------------------------------------------- submission */

/* The files of most are the same. */
static void put_handles(const struct engine_req *req)
{
	while (req) {
		void *fh = ((struct place *)req->user)->fh;
		unsigned int nr = 0;

		for (; req && ((struct place *)req->user)->fh == fh;
		     req = req->next)
			nr++;
		cf_slot_put_some(&cf_handles, fh, nr);
	}
}

/* The last to touch the places. */
static void end(void *arg, struct engine_req *first)
{
	struct batch *batch = arg;
	unsigned int nr = 0;

	put_handles(first);
	pthread_mutex_lock(&batch->lock);
	for (struct engine_req *req = first; req; req = req->next) {
		struct place *place = req->user;

		place->state = DONE;
		place->next = NULL;
		*batch->done_end = place;
		batch->done_end = &place->next;
		nr++;
	}
	atomic_fetch_add(&batch->nr_done, nr);
	atomic_fetch_sub(&batch->busy, nr);
	/* While it may still be closed by nobody: the last use of the batch. */
	cf_let_go(nr);
	if (batch->nr_done >= batch->wanted || !batch->busy)
		pthread_cond_broadcast(&batch->progress);
	pthread_mutex_unlock(&batch->lock);
}

/* From the engine, in any thread. */
static void complete(struct engine_req *req)
{
	struct place *place = req->user;

	cf_stats_batch_entry(place->began, place->submission, req);
	cf_tell_request(req);
	place->result = cf_request_result(req);
	place->status = req->error ? CUFILE_FAILED : CUFILE_COMPLETE;
	if (req->error == -ECANCELED) {
		place->status = CUFILE_CANCELED;
		place->result = 0;
	}
	engine_end(req, end, place->batch);
}

static CUfileOpError fill(struct place *place, const CUfileIOParams_t *io)
{
	struct cf_handle *handle;
	CUfileOpError err;

	if (io->mode != CUFILE_BATCH || !io->fh ||
	    (io->opcode != CUFILE_READ && io->opcode != CUFILE_WRITE))
		return CU_FILE_INVALID_VALUE;
	handle = cf_slot_get(&cf_handles, io->fh);
	if (!handle)
		return CU_FILE_HANDLE_NOT_REGISTERED;
	cf_request(&place->req, handle, io->opcode == CUFILE_WRITE);
	err = cf_request_at(&place->req, io->u.batch.devPtr_base,
			    io->u.batch.size, io->u.batch.file_offset,
			    io->u.batch.devPtr_offset);
	if (err) {
		cf_slot_put(&cf_handles, io->fh);
		return err;
	}
	place->fh = io->fh;
	place->cookie = io->cookie;
	place->req.complete = complete;
	place->req.user = place;
	return CU_FILE_SUCCESS;
}

static void tell_entry(const CUfileIOParams_t *io, unsigned int i,
		       CUfileOpError err)
{
	cf_tell_call("cuFileBatchIOSubmit", err,
		     "entry %u: mode %d, opcode %d, handle %p, %zu bytes at %lld, memory %p + %lld",
		     i, io->mode, io->opcode, io->fh, io->u.batch.size,
		     (long long)io->u.batch.file_offset,
		     io->u.batch.devPtr_base,
		     (long long)io->u.batch.devPtr_offset);
}

/* Takes @nr places, or none. */
static CUfileOpError take(struct batch *batch, unsigned int nr,
			  struct place **list)
{
	struct place **end = &batch->free;
	CUfileOpError err = CU_FILE_SUCCESS;
	unsigned int i;

	pthread_mutex_lock(&batch->lock);
	for (i = 0; i < nr && *end; i++)
		end = &(*end)->next;
	if (i < nr) {
		err = CU_FILE_BATCH_FULL;
	} else {
		*list = batch->free;
		batch->free = *end;
		*end = NULL;
	}
	pthread_mutex_unlock(&batch->lock);
	return err;
}

static void give_back(struct batch *batch, struct place *list)
{
	pthread_mutex_lock(&batch->lock);
	while (list) {
		struct place *place = list;

		list = place->next;
		place->state = FREE;
		place->next = batch->free;
		batch->free = place;
	}
	pthread_mutex_unlock(&batch->lock);
}

static void mark_busy(struct batch *batch, struct engine_req **reqs,
		      unsigned int nr, uint64_t began)
{
	uint64_t submission = cf_stats_submission(began);

	pthread_mutex_lock(&batch->lock);
	for (unsigned int i = 0; i < nr; i++) {
		struct place *place = reqs[i]->user;

		place->state = BUSY;
		place->began = began;
		place->submission = submission;
	}
	cf_hold(nr);
	batch->busy += nr;
	pthread_mutex_unlock(&batch->lock);
}

static CUfileOpError submit(struct batch *batch, unsigned int nr,
			    const CUfileIOParams_t *iocbp)
{
	struct engine_req *reqs[CF_MAX_BATCH];
	uint64_t began = cf_stats_begin();
	struct place *list, *place;
	CUfileOpError err;
	unsigned int i = 0;

	err = take(batch, nr, &list);
	if (err)
		return err;
	for (place = list; place; place = place->next) {
		err = fill(place, &iocbp[i]);
		if (err) {
			tell_entry(&iocbp[i], i, err);
			goto undo;
		}
		reqs[i++] = &place->req;
	}
	/* From here on each place belongs to the engine, until complete(). */
	mark_busy(batch, reqs, nr, began);
	err = cf_from_errno(engine_submit(reqs, nr)).err;
	for (unsigned int n = 0; n < nr; n++)
		cf_stats_count(began, CF_OP_BATCH_ENQUEUE, !err);
	if (!err)
		return CU_FILE_SUCCESS;
	pthread_mutex_lock(&batch->lock);
	batch->busy -= nr;
	pthread_mutex_unlock(&batch->lock);
	cf_let_go(nr);
undo:
	while (i--)
		cf_slot_put(&cf_handles, ((struct place *)reqs[i]->user)->fh);
	give_back(batch, list);
	return err;
}

static CUfileOpError no_batch(const char *call, const void *name)
{
	cf_tell_call(call, CU_FILE_INVALID_VALUE, "%p is no batch", name);
	return CU_FILE_INVALID_VALUE;
}

/* Nothing is wrong: that is how to find out that events have to be told first. */
static void tell_full(const struct batch *batch, unsigned int nr)
{
	cf_log(CF_LOG_DEBUG, "call",
	       "cuFileBatchIOSubmit(): %u requests, and it has %u places, of which each is taken until its event was told",
	       nr, batch->nr);
}

CF_API CUfileError_t cuFileBatchIOSubmit(CUfileBatchHandle_t batch_idp,
					 unsigned int nr,
					 CUfileIOParams_t *iocbp,
					 unsigned int flags)
{
	struct batch *batch;
	CUfileOpError err;
	uint64_t began;

	if (!nr || !iocbp || flags) {
		cf_tell_call("cuFileBatchIOSubmit", CU_FILE_INVALID_VALUE,
			     "%u requests at %p, flags %#x", nr, (void *)iocbp,
			     flags);
		return cf_error(CU_FILE_INVALID_VALUE);
	}
	err = cf_enter();
	if (err)
		return cf_error(err);
	began = cf_stats_begin();
	batch = cf_slot_get(&cf_batches, batch_idp);
	if (batch) {
		err = nr > batch->nr ? CU_FILE_BATCH_FULL :
				       submit(batch, nr, iocbp);
		if (err == CU_FILE_BATCH_FULL)
			tell_full(batch, nr);
		cf_slot_put(&cf_batches, batch_idp);
	} else {
		err = no_batch("cuFileBatchIOSubmit", batch_idp);
	}
	cf_stats_count(began, CF_OP_BATCH_SUBMIT, !err);
	cf_leave();
	return cf_error(err);
}

/* ----------------------------------------------------------------- events */

static bool bad_time(const struct timespec *time)
{
	return time && (time->tv_sec < 0 || time->tv_nsec < 0 ||
			time->tv_nsec >= NSEC);
}

static void deadline_of(const struct timespec *timeout,
			struct timespec *deadline)
{
	clock_gettime(CLOCK_MONOTONIC, deadline);
	/* What is more than that is for ever. */
	if (timeout->tv_sec > INT32_MAX)
		deadline->tv_sec += INT32_MAX;
	else
		deadline->tv_sec += timeout->tv_sec;
	deadline->tv_nsec += timeout->tv_nsec;
	if (deadline->tv_nsec >= NSEC) {
		deadline->tv_nsec -= NSEC;
		deadline->tv_sec++;
	}
}

/*
 * Locked.  Until @min are done, or all that there are, or it is too late; never when
 * there is no @deadline.
 */
static void await(struct batch *batch, unsigned int min,
		  const struct timespec *deadline)
{
	if (!batch->waiting++ || min < batch->wanted)
		batch->wanted = min;
	while (batch->nr_done < min && batch->busy) {
		if (!deadline)
			pthread_cond_wait(&batch->progress, &batch->lock);
		else if (pthread_cond_timedwait(&batch->progress, &batch->lock,
						deadline))
			break;
	}
	batch->waiting--;
}

struct look {
	const struct batch *batch;
	unsigned int min;
};

static bool is_over(const void *what)
{
	const struct look *look = what;

	return atomic_load(&look->batch->nr_done) >= look->min ||
	       !atomic_load(&look->batch->busy);
}

/* Not locked: those that end need the lock. */
static void linger(const struct batch *batch, unsigned int min,
		   const struct timespec *timeout)
{
	struct look look = { batch, min };
	bool is_short = timeout && !timeout->tv_sec;

	engine_linger(is_over, &look, is_short ? timeout->tv_nsec : -1);
}

static unsigned int collect(struct batch *batch, unsigned int max,
			    CUfileIOEvents_t *events)
{
	unsigned int nr = 0;

	while (nr < max && batch->done) {
		struct place *place = batch->done;

		batch->done = place->next;
		events[nr++] = (CUfileIOEvents_t){
			.cookie = place->cookie,
			.status = place->status,
			.ret = (size_t)place->result,
		};
		place->state = FREE;
		place->next = batch->free;
		batch->free = place;
	}
	if (!batch->done)
		batch->done_end = &batch->done;
	batch->nr_done -= nr;
	return nr;
}

CF_API CUfileError_t cuFileBatchIOGetStatus(CUfileBatchHandle_t batch_idp,
					    unsigned int min_nr,
					    unsigned int *nr,
					    CUfileIOEvents_t *iocbp,
					    struct timespec *timeout)
{
	struct timespec deadline;
	struct batch *batch;
	CUfileOpError err;
	uint64_t began;

	if (!nr || !*nr || !iocbp || min_nr > *nr || bad_time(timeout)) {
		cf_tell_call("cuFileBatchIOGetStatus", CU_FILE_INVALID_VALUE,
			     "%u to %u events at %p", min_nr, nr ? *nr : 0,
			     (void *)iocbp);
		return cf_error(CU_FILE_INVALID_VALUE);
	}
	err = cf_enter();
	if (err)
		return cf_error(err);
	began = cf_stats_begin();
	batch = cf_slot_get(&cf_batches, batch_idp);
	if (batch) {
		if (timeout)
			deadline_of(timeout, &deadline);
		linger(batch, min_nr, timeout);
		pthread_mutex_lock(&batch->lock);
		await(batch, min_nr, timeout ? &deadline : NULL);
		*nr = collect(batch, *nr, iocbp);
		pthread_mutex_unlock(&batch->lock);
		cf_slot_put(&cf_batches, batch_idp);
	} else {
		err = no_batch("cuFileBatchIOGetStatus", batch_idp);
	}
	cf_stats_count(began, CF_OP_BATCH_COMPLETE, !err);
	cf_leave();
	return cf_error(err);
}

/* ------------------------------------------------------------- the others */

/*
 * What was not started ends as cancelled, by another thread.  The lock is held, so
 * that no place that looks busy is given up by complete() meanwhile.
 */
static void cancel(struct batch *batch)
{
	pthread_mutex_lock(&batch->lock);
	for (unsigned int i = 0; i < batch->nr; i++) {
		if (batch->places[i].state == BUSY)
			engine_cancel(&batch->places[i].req);
	}
	pthread_mutex_unlock(&batch->lock);
}

CF_API CUfileError_t cuFileBatchIOCancel(CUfileBatchHandle_t batch_idp)
{
	CUfileOpError err = cf_enter();
	struct batch *batch;
	uint64_t began;

	if (err)
		return cf_error(err);
	began = cf_stats_begin();
	batch = cf_slot_get(&cf_batches, batch_idp);
	if (batch) {
		cancel(batch);
		cf_slot_put(&cf_batches, batch_idp);
	} else {
		err = no_batch("cuFileBatchIOCancel", batch_idp);
	}
	cf_stats_count(began, CF_OP_BATCH_CANCEL, !err);
	cf_leave();
	return cf_error(err);
}

bool cf_batch_end(void *name)
{
	struct batch *batch = cf_slot_remove(&cf_batches, name);

	if (!batch)
		return false;
	cancel(batch);
	pthread_mutex_lock(&batch->lock);
	while (batch->busy)
		pthread_cond_wait(&batch->progress, &batch->lock);
	pthread_mutex_unlock(&batch->lock);
	destroy(batch);
	return true;
}

CF_API void cuFileBatchIODestroy(CUfileBatchHandle_t batch_idp)
{
	uint64_t began;

	if (cf_enter())
		return;
	began = cf_stats_begin();
	cf_stats_count(began, CF_OP_BATCH_DESTROY, cf_batch_end(batch_idp));
	cf_leave();
}
