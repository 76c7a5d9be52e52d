// SPDX-License-Identifier: MIT
/*
 * The engine's batch.  Requests wait in a list while the batch is full; whoever
 * makes room submits them, so that nobody waits.
 */
#include <errno.h>

#include "abi.h"
#include "common.h"
#include "engine_batch.h"
#include "host.h"

/* Requests in the module at a time; half of what one open file may have. */
#define DEPTH		(NVFS_MAX_DEPTH / 2)
/* Requests in one call, and events. */
#define BUNCH		256U
/* Suits all drives: what is a multiple of it is not refused for its ends. */
#define ALIGN		4096U

/* Requests on their way into the module. */
struct bunch {
	unsigned int nr;
	struct engine_req *reqs[BUNCH];
	struct nvfs_request args[BUNCH];
};

/**
 * @lock: guards all of it; never held over a call of the module but its first
 * @work: for the reaper: there is something in the module, or it shall stop
 * @idle: nothing is left
 * @id: of the module's batch
 * @holds: see batch_hold()
 * @used: requests that are in the module, on their way, or being told of
 * @taken: requests that a call is known to have left in the module, less those
 *	that have been reaped: for a moment below 0
 * @submitting: calls under way that submit; in none after batch_close()
 * @inside: what the module has or may have, by priv.next and priv.at
 * @error: 0, or why nobody can wait for requests any more
 * @first, @last: requests for which there was no room
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t idle;
	struct nvfs *nvfs;
	const struct batch_ops *ops;
	pthread_t reaper;
	bool running, stop;
	uint32_t id;
	unsigned int holds, used;
	unsigned int submitting;
	int taken, error;
	struct engine_req *inside;
	struct engine_req *first, **last;
} batch = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.idle = PTHREAD_COND_INITIALIZER,
};

/* Tells of requests, and keeps those that are put aside. */
struct teller {
	struct engine_req *first, **last;
};

static void tell(struct teller *teller, struct engine_req *req,
		 const struct nvfs_event *event)
{
	if (!batch.ops->ended(req, event))
		return;
	req->priv.next = NULL;
	*teller->last = req;
	teller->last = &req->priv.next;
}

/* @nr have been told of, of which @reaped the module had. */
static void told(struct teller *teller, unsigned int nr, unsigned int reaped)
{
	if (teller->first)
		batch.ops->aside(teller->first);
	pthread_mutex_lock(&batch.lock);
	batch.used -= nr;
	batch.taken -= (int)reaped;
	if (!batch.used)
		pthread_cond_broadcast(&batch.idle);
	pthread_mutex_unlock(&batch.lock);
}

/* Submission. */

/* Not to go through host memory by the GPU's driver. */
static bool is_bound(const struct engine_req *req)
{
	return req->priv.bound && !req->no_bounce;
}

static void fill(struct bunch *bunch, struct engine_req *req)
{
	bunch->reqs[bunch->nr] = req;
	bunch->args[bunch->nr++] = (struct nvfs_request){
		.op = req->write ? NVFS_OP_WRITE : NVFS_OP_READ,
		.flags = is_bound(req) ? NVFS_RW_BOUNCE : 0,
		.region = req->priv.region,
		.fd = req->file->fd,
		.region_offset = req->priv.offset,
		.file_offset = req->file_offset,
		.length = req->length,
		.user_data = (uintptr_t)req,
	};
}

/* Out of the list, as many as there is room for. */
static bool take(struct bunch *bunch)
{
	static const struct nvfs_event cancelled = { .error = ECANCELED };
	struct engine_req *list, **end = &list;
	struct teller teller = { .last = &teller.first };
	unsigned int nr = 0;

	pthread_mutex_lock(&batch.lock);
	list = batch.first;
	while (*end && nr < BUNCH && batch.used < DEPTH) {
		end = &(*end)->priv.next;
		batch.used++;
		nr++;
	}
	batch.first = *end;
	if (!*end)
		batch.last = &batch.first;
	*end = NULL;
	pthread_mutex_unlock(&batch.lock);
	bunch->nr = 0;
	while (list) {
		struct engine_req *req = list;

		list = req->priv.next;
		if (req_claim(req, REQ_IN_MODULE))
			fill(bunch, req);
		else
			tell(&teller, req, &cancelled);
	}
	if (bunch->nr < nr)
		told(&teller, nr - bunch->nr, 0);
	return nr;
}

static bool is_odd(const struct nvfs_request *arg)
{
	return (arg->file_offset | arg->length | arg->region_offset) &
	       (ALIGN - 1);
}

/*
 * What begins or ends inside a block goes on with its ends through host memory,
 * and so do those of the same file to which the same would happen.
 */
static bool allow_ends(struct bunch *bunch, unsigned int wrong)
{
	const struct nvfs_request *that = &bunch->args[wrong];
	bool all = !is_odd(that);

	if (bunch->reqs[wrong]->no_bounce || that->flags)
		return false;
	for (unsigned int i = 0; i < bunch->nr; i++) {
		if (bunch->args[i].fd == that->fd &&
		    !bunch->reqs[i]->no_bounce &&
		    (all || is_odd(&bunch->args[i])))
			bunch->args[i].flags = NVFS_RW_BOUNCE;
	}
	return true;
}

/*
 * The module took none, because of one.  What keeps this one from going direct
 * is true of all between the same file and memory.
 */
static void refuse(struct bunch *bunch, int error,
		   const struct nvfs_batch_submit *arg)
{
	bool whole = arg->wrong >= bunch->nr;
	struct nvfs_request that = bunch->args[whole ? 0 : arg->wrong];
	struct nvfs_event event = {
		.error = whole ? EBUSY : (uint32_t)-error,
		.reason = whole ? 0 : arg->reason,
	};
	bool alike = error == -EREMOTEIO && arg->reason != NVFS_REASON_ALIGN;
	struct teller teller = { .last = &teller.first };
	unsigned int nr = bunch->nr;

	bunch->nr = 0;
	for (unsigned int i = 0; i < nr; i++) {
		const struct nvfs_request *one = &bunch->args[i];

		if (whole || i == arg->wrong ||
		    (alike && one->fd == that.fd && one->op == that.op &&
		     one->region == that.region &&
		     !is_bound(bunch->reqs[i]))) {
			tell(&teller, bunch->reqs[i], &event);
		} else {
			bunch->reqs[bunch->nr] = bunch->reqs[i];
			bunch->args[bunch->nr++] = *one;
		}
	}
	told(&teller, nr - bunch->nr, 0);
}

static void link_in(struct engine_req *req)
{
	req->priv.next = batch.inside;
	req->priv.at = &batch.inside;
	if (req->priv.next)
		req->priv.next->priv.at = &req->priv.next;
	batch.inside = req;
}

static void unlink_from(struct engine_req *req)
{
	*req->priv.at = req->priv.next;
	if (req->priv.next)
		req->priv.next->priv.at = req->priv.at;
}

/* They are about to be the module's, if anybody can still wait for it. */
static bool begin(struct bunch *bunch)
{
	bool works;

	pthread_mutex_lock(&batch.lock);
	works = !batch.error;
	for (unsigned int i = 0; works && i < bunch->nr; i++)
		link_in(bunch->reqs[i]);
	batch.submitting += works;
	pthread_mutex_unlock(&batch.lock);
	return works;
}

/* They are, and may be gone already; or, with an error, they are not. */
static void began(struct bunch *bunch, int error)
{
	pthread_mutex_lock(&batch.lock);
	for (unsigned int i = 0; error && i < bunch->nr; i++)
		unlink_from(bunch->reqs[i]);
	if (!error)
		batch.taken += (int)bunch->nr;
	batch.submitting--;
	pthread_cond_signal(&batch.work);
	pthread_cond_broadcast(&batch.idle);
	pthread_mutex_unlock(&batch.lock);
}

static int submit(struct bunch *bunch, struct nvfs_batch_submit *arg)
{
	int ret;

	arg->wrong = bunch->nr;
	if (!begin(bunch))
		return -EBUSY;
	ret = abi_batch_submit(batch.nvfs->fd, arg);
	began(bunch, ret);
	return ret;
}

static void put(struct bunch *bunch)
{
	while (bunch->nr) {
		struct nvfs_batch_submit arg = {
			.size = sizeof(arg),
			.batch = batch.id,
			.nr = bunch->nr,
			.requests = (uintptr_t)bunch->args,
		};
		int ret = submit(bunch, &arg);

		if (!ret)
			return;
		if (ret == -EREMOTEIO && arg.wrong < bunch->nr &&
		    arg.reason == NVFS_REASON_ALIGN &&
		    allow_ends(bunch, arg.wrong))
			continue;
		refuse(bunch, ret, &arg);
	}
}

static void pump(void)
{
	struct bunch bunch;

	while (take(&bunch))
		put(&bunch);
}

/* The reaper. */

static bool wait_for_work(void)
{
	bool more;

	pthread_mutex_lock(&batch.lock);
	while (batch.taken <= 0 && !batch.stop)
		pthread_cond_wait(&batch.work, &batch.lock);
	more = batch.taken > 0;
	pthread_mutex_unlock(&batch.lock);
	return more;
}

static void ended(const struct nvfs_event *events, uint32_t nr)
{
	struct teller teller = { .last = &teller.first };

	pthread_mutex_lock(&batch.lock);
	for (uint32_t i = 0; i < nr; i++)
		unlink_from((struct engine_req *)(uintptr_t)
			    events[i].user_data);
	pthread_mutex_unlock(&batch.lock);
	for (uint32_t i = 0; i < nr; i++)
		tell(&teller, (struct engine_req *)(uintptr_t)
		     events[i].user_data, &events[i]);
	told(&teller, nr, nr);
}

static void destroy(void)
{
	struct nvfs_batch_destroy arg = {
		.size = sizeof(arg),
		.batch = batch.id,
	};

	abi_batch_destroy(batch.nvfs->fd, &arg);
}

/*
 * The module can't be asked any more, say because somebody closed its file.
 * What became of the requests it has, nobody will ever say.
 */
static void give_up(int error)
{
	static const struct nvfs_event lost = { .error = EIO };
	struct teller teller = { .last = &teller.first };
	struct engine_req *list;
	unsigned int nr = 0;

	pthread_mutex_lock(&batch.lock);
	batch.error = error;
	while (batch.submitting)
		pthread_cond_wait(&batch.idle, &batch.lock);
	list = batch.inside;
	batch.inside = NULL;
	batch.taken = 0;
	pthread_mutex_unlock(&batch.lock);
	/* If it can still do that much, it has none of their memory after. */
	destroy();
	for (; list; nr++) {
		struct engine_req *req = list;

		list = req->priv.next;
		tell(&teller, req, &lost);
	}
	told(&teller, nr, 0);
	pump();
}

static void *reap(void *unused)
{
	struct nvfs_event events[BUNCH];

	while (wait_for_work()) {
		struct nvfs_batch_reap arg = {
			.size = sizeof(arg),
			.batch = batch.id,
			.min_nr = 1,
			.max_nr = BUNCH,
			.events = (uintptr_t)events,
			.timeout_ns = -1,
		};
		int ret = abi_batch_reap(batch.nvfs->fd, &arg);

		if (ret == -EINTR)
			continue;
		if (ret) {
			give_up(ret);
			break;
		}
		ended(events, arg.nr);
		pump();
	}
	return unused;
}

/* Under the lock. */
static int start(void)
{
	struct nvfs_batch_create create = {
		.size = sizeof(create),
		.depth = DEPTH,
	};
	int ret;

	if (batch.stop || batch.error)
		return -ENOTCONN;
	if (batch.running)
		return 0;
	ret = abi_batch_create(batch.nvfs->fd, &create);
	if (ret)
		return ret;
	batch.id = create.batch;
	ret = start_deaf_thread(&batch.reaper, reap, NULL);
	batch.running = !ret;
	if (!ret)
		return 0;
	destroy();
	return -EAGAIN;
}

int batch_submit(struct engine_req *list)
{
	int ret;

	pthread_mutex_lock(&batch.lock);
	ret = start();
	if (!ret) {
		*batch.last = list;
		while (*batch.last)
			batch.last = &(*batch.last)->priv.next;
	}
	pthread_mutex_unlock(&batch.lock);
	if (!ret)
		pump();
	return ret;
}

void batch_cancel(const struct engine_req *req)
{
	struct nvfs_batch_cancel arg = {
		.size = sizeof(arg),
		.flags = NVFS_CANCEL_USER_DATA,
		.batch = batch.id,
		.user_data = (uintptr_t)req,
	};

	/* A module that does not know the flag does nothing. */
	abi_batch_cancel(batch.nvfs->fd, &arg);
}

void batch_open(struct nvfs *nvfs, const struct batch_ops *ops)
{
	batch.nvfs = nvfs;
	batch.ops = ops;
	batch.stop = false;
	batch.taken = 0;
	batch.error = 0;
	batch.first = NULL;
	batch.last = &batch.first;
}

void batch_close(void)
{
	pthread_mutex_lock(&batch.lock);
	while (batch.used || batch.holds || batch.first || batch.submitting)
		pthread_cond_wait(&batch.idle, &batch.lock);
	batch.stop = true;
	pthread_cond_signal(&batch.work);
	pthread_mutex_unlock(&batch.lock);
	if (batch.running) {
		pthread_join(batch.reaper, NULL);
		if (!batch.error)
			destroy();
	}
	batch.running = false;
}

void batch_hold(void)
{
	pthread_mutex_lock(&batch.lock);
	batch.holds++;
	pthread_mutex_unlock(&batch.lock);
}

void batch_drop(void)
{
	pthread_mutex_lock(&batch.lock);
	batch.holds--;
	pthread_cond_broadcast(&batch.idle);
	pthread_mutex_unlock(&batch.lock);
}
