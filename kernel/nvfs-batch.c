// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: many requests submitted by one call, their ends collected by another.
 *
 * A request is, from its submission until it is reaped, in one of two lists of
 * its batch: active, or events. The batch's lock guards the move from one to the
 * other, which is the one moment at which a request ends for its user; so every
 * request gives exactly one event, whoever completes, cancels or reaps at the
 * same time. The lock is taken in interrupts and never held over anything else.
 */
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "nvfs-batch.h"
#include "nvfs-io-fast.h"
#include "nvfs-mmap.h"
#include "nvfs-stat.h"

/* Requests that the block layer is told to expect at a time: a small drive keeps
 * its tags in words of so many, and finds them at once in one word only
 */
#define BATCH_PLUG		16

/* Most requests that ended while they were submitted and have not been told of */
#define BATCH_OWN		32

/**
 * struct nvfs_batch - a queue of asynchronous requests
 * @ref: the index's reference and one for each call that uses the batch
 * @rcu: lookups run under RCU
 * @depth: most requests in both lists
 * @lock: guards all below; taken with interrupts off
 * @active: submitted, not ended
 * @events: ended, not reaped, oldest first, by @next of struct nvfs_async
 * @last_event: where to put the next of @events
 * @nr_active: requests in @active
 * @nr_events: requests in @events
 * @nr_taken: events that are being handed to a user
 * @nr_coming: requests that are being submitted
 * @dead: destroyed; admits no request
 * @wait: somebody may have to look at the lists
 * @submitter: the task that fills @own, or NULL; not under the lock
 * @own: requests that ended while they were submitted, in order; @submitter's,
 *	and still among @active for all others
 * @last_own: where to put the next of @own
 * @nr_own: requests in @own
 */
struct nvfs_batch {
	struct kref ref;
	struct rcu_head rcu;
	u32 depth;
	spinlock_t lock; /* see above */
	struct hlist_head active;
	struct nvfs_async *events;
	struct nvfs_async **last_event;
	u32 nr_active;
	u32 nr_events;
	u32 nr_taken;
	u32 nr_coming;
	bool dead;
	wait_queue_head_t wait;
	struct task_struct *submitter;
	struct nvfs_async *own;
	struct nvfs_async **last_own;
	u32 nr_own;
};

/* Free requests that each CPU keeps, so that few go to the allocator and back */
#define ASYNC_STOCK	64

struct async_stock {
	unsigned int nr;
	struct nvfs_async *async[ASYNC_STOCK];
};

static DEFINE_PER_CPU(struct async_stock, async_stock);
static struct kmem_cache *async_cache;

static void async_work(struct work_struct *work)
{
	struct nvfs_async *async = container_of(work, struct nvfs_async, work);
	const struct cred *old = override_creds(async->cred);

	nvfs_io_run(&async->io);
	revert_creds(old);
}

/**
 * nvfs_async_punt() - have a worker run a request; an op of struct nvfs_io_ops
 * @io: part of a struct nvfs_async
 *
 * Context: any.
 */
void nvfs_async_punt(struct nvfs_io *io)
{
	struct nvfs_async *async = container_of(io, struct nvfs_async, io);

	nvfs_stat_inc(punts);
	INIT_WORK(&async->work, async_work);
	nvfs_user_queue(async->batches->user, &async->work);
}

/**
 * nvfs_async_alloc() - memory for an asynchronous request
 *
 * Context: process context of the submitter.
 * Return: the request, not prepared, or NULL.
 */
struct nvfs_async *nvfs_async_alloc(void)
{
	struct nvfs_async *async = NULL;
	struct async_stock *stock;
	unsigned long flags;

	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	if (likely(stock->nr))
		async = stock->async[--stock->nr];
	local_irq_restore(flags);
	if (unlikely(!async))
		async = kmem_cache_alloc(async_cache, GFP_KERNEL);
	if (async)
		async->cred = get_current_cred();
	return async;
}

/**
 * nvfs_async_free() - free a request that has been released
 * @async: the request
 *
 * Context: any.
 */
void nvfs_async_free(struct nvfs_async *async)
{
	struct async_stock *stock;
	unsigned long flags;

	put_cred(async->cred);
	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	if (likely(stock->nr < ASYNC_STOCK)) {
		stock->async[stock->nr++] = async;
		async = NULL;
	}
	local_irq_restore(flags);
	if (unlikely(async))
		kmem_cache_free(async_cache, async);
}

/* Free requests from this CPU's stock, at most so many, by their @next */
static struct nvfs_async *stock_take(u32 nr)
{
	struct nvfs_async *async, *list = NULL;
	struct async_stock *stock;
	unsigned long flags;

	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	for (; nr && stock->nr; nr--) {
		async = stock->async[--stock->nr];
		async->next = list;
		list = async;
	}
	local_irq_restore(flags);
	return list;
}

/* Give requests that hold no credentials back, by their @next */
static void stock_give(struct nvfs_async *list)
{
	struct async_stock *stock;
	struct nvfs_async *next;
	unsigned long flags;

	local_irq_save(flags);
	stock = this_cpu_ptr(&async_stock);
	for (; list && stock->nr < ASYNC_STOCK; list = list->next)
		stock->async[stock->nr++] = list;
	local_irq_restore(flags);
	for (; list; list = next) {
		next = list->next;
		kmem_cache_free(async_cache, list);
	}
}

static void free_events(struct nvfs_async *list)
{
	struct nvfs_async *async;

	for (async = list; async; async = async->next)
		put_cred(async->cred);
	stock_give(list);
}

static void batch_release(struct kref *ref)
{
	struct nvfs_batch *batch = container_of(ref, struct nvfs_batch, ref);

	/* A reaper that could not deliver its events gives them back late */
	free_events(batch->events);
	kfree_rcu(batch, rcu);
}

static void batch_put(struct nvfs_batch *batch)
{
	kref_put(&batch->ref, batch_release);
}

static struct nvfs_batch *batch_get(struct nvfs_batches *batches, u32 id)
{
	struct nvfs_batch *batch;

	rcu_read_lock();
	batch = xa_load(&batches->index, id);
	if (batch && !kref_get_unless_zero(&batch->ref))
		batch = NULL;
	rcu_read_unlock();
	return batch;
}

/**
 * nvfs_async_check() - does a request ask for something that exists?
 * @req: the request
 *
 * Return: 0 or -EINVAL.
 */
int nvfs_async_check(const struct nvfs_request *req)
{
	if (req->op != NVFS_OP_READ && req->op != NVFS_OP_WRITE)
		return -EINVAL;
	return req->flags & ~NVFS_RW_BOUNCE ? -EINVAL : 0;
}

/* Requests, by their @next, become events.  The lock is held. */
static void batch_add_events(struct nvfs_batch *batch, struct nvfs_async *first,
			     struct nvfs_async **last, u32 nr)
{
	struct nvfs_async *async;

	*last = NULL;
	for (async = first; async; async = async->next)
		hlist_del(&async->node);
	*batch->last_event = first;
	batch->last_event = last;
	batch->nr_active -= nr;
	batch->nr_events += nr;
	/* Under the lock, because afterwards the batch may be gone; and because
	 * sleepers look with the lock held, none is missed without a barrier
	 */
	if (waitqueue_active(&batch->wait))
		wake_up(&batch->wait);
}

/* What ended while it was submitted is told.  By the submitter, in any context
 * of the task: a driver may have interrupts off.
 */
static void batch_tell_own(struct nvfs_batch *batch)
{
	unsigned long flags;

	if (!batch->nr_own)
		return;
	spin_lock_irqsave(&batch->lock, flags);
	batch_add_events(batch, batch->own, batch->last_own, batch->nr_own);
	spin_unlock_irqrestore(&batch->lock, flags);
	batch->nr_own = 0;
	batch->last_own = &batch->own;
}

/* A request has ended: it becomes an event.  Any context. */
static void batch_complete(struct nvfs_io *io)
{
	struct nvfs_async *async = container_of(io, struct nvfs_async, io);
	struct nvfs_batch *batch = async->batch;
	unsigned long flags;

	nvfs_io_delivered(io);
	/* Before the event is seen: who has it may end the region */
	nvfs_io_release(io);
	/* Only this very task can have set that, and has not unset it yet */
	if (READ_ONCE(batch->submitter) == current && in_task()) {
		*batch->last_own = async;
		batch->last_own = &async->next;
		if (++batch->nr_own == BATCH_OWN)
			batch_tell_own(batch);
		return;
	}
	spin_lock_irqsave(&batch->lock, flags);
	async->next = NULL;
	batch_add_events(batch, async, &async->next, 1);
	spin_unlock_irqrestore(&batch->lock, flags);
}

static const struct nvfs_io_ops batch_ops = {
	.complete = batch_complete,
	.punt = nvfs_async_punt,
};

/**
 * nvfs_batch_reserve() - count requests in the depth of an open file
 * @batches: of the open file
 * @nr: how many
 *
 * Context: any.
 * Return: false when there would be too many.
 */
bool nvfs_batch_reserve(struct nvfs_batches *batches, unsigned int nr)
{
	int depth = atomic_read(&batches->depth);

	do {
		if (depth + nr > NVFS_MAX_DEPTH)
			return false;
	} while (!atomic_try_cmpxchg(&batches->depth, &depth, depth + nr));
	return true;
}

/**
 * nvfs_batch_create() - NVFS_IOC_BATCH_CREATE
 * @batches: of the open file
 * @args: the call's arguments
 *
 * Context: process context.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_batch_create(struct nvfs_batches *batches,
		      struct nvfs_batch_create *args)
{
	struct nvfs_batch *batch;
	int ret;

	if (args->flags || !args->depth || args->depth > NVFS_MAX_DEPTH)
		return -EINVAL;
	if (!nvfs_batch_reserve(batches, args->depth))
		return -EBUSY;
	ret = -ENOMEM;
	batch = kzalloc(sizeof(*batch), GFP_KERNEL_ACCOUNT);
	if (!batch)
		goto err_unreserve;
	kref_init(&batch->ref);
	batch->depth = args->depth;
	spin_lock_init(&batch->lock);
	INIT_HLIST_HEAD(&batch->active);
	batch->last_event = &batch->events;
	batch->last_own = &batch->own;
	init_waitqueue_head(&batch->wait);
	ret = xa_alloc(&batches->index, &args->batch, batch, xa_limit_31b,
		       GFP_KERNEL);
	if (ret)
		goto err_free_batch;
	return 0;

err_free_batch:
	kfree(batch);
err_unreserve:
	atomic_sub(args->depth, &batches->depth);
	return ret == -EBUSY ? -ENOSPC : ret;
}

/* Requests on their way into a batch */
struct submission {
	struct nvfs_batches *batches;
	struct nvfs_batch *batch;
	struct nvfs_batch_submit *args;
	struct nvfs_async *first;
	struct nvfs_async **last;
	struct nvfs_async *unused;
	struct nvfs_io *like;
	u32 like_op;
	u32 like_region;
	s32 like_fd;
};

/* Prepare a request, with what is known from the one before where that fits */
static int submission_prepare_io(struct submission *sub, struct nvfs_io *io,
				 const struct nvfs_request *req)
{
	int ret;

	if (sub->like && sub->like_fd == req->fd &&
	    sub->like_region == req->region && sub->like_op == req->op &&
	    nvfs_io_prepare_like(io, sub->like, req))
		return 0;
	ret = nvfs_io_prepare(io, sub->batches->regions, req, &batch_ops);
	if (ret)
		return ret;
	sub->like = io->fast ? io : NULL;
	sub->like_op = req->op;
	sub->like_region = req->region;
	sub->like_fd = req->fd;
	return 0;
}

static int submission_add(struct submission *sub,
			  const struct nvfs_request *req)
{
	struct nvfs_async *async;
	int ret;

	ret = nvfs_async_check(req);
	if (ret)
		return ret;
	async = sub->unused;
	if (likely(async)) {
		sub->unused = async->next;
		async->cred = get_current_cred();
	} else {
		async = nvfs_async_alloc();
		if (!async)
			return -ENOMEM;
	}
	async->batch = sub->batch;
	async->batches = sub->batches;
	async->user_data = req->user_data;
	ret = submission_prepare_io(sub, &async->io, req);
	if (ret) {
		sub->args->reason = async->io.reason;
		nvfs_async_free(async);
		return ret;
	}
	async->next = NULL;
	*sub->last = async;
	sub->last = &async->next;
	return 0;
}

/* Field by field: that is less than a call */
static __always_inline int request_copy_in(struct nvfs_request *req,
					   const struct nvfs_request __user *user)
{
	if (!user_read_access_begin(user, sizeof(*user)))
		return -EFAULT;
	unsafe_get_user(req->op, &user->op, fault);
	unsafe_get_user(req->flags, &user->flags, fault);
	unsafe_get_user(req->region, &user->region, fault);
	unsafe_get_user(req->fd, &user->fd, fault);
	unsafe_get_user(req->region_offset, &user->region_offset, fault);
	unsafe_get_user(req->file_offset, &user->file_offset, fault);
	unsafe_get_user(req->length, &user->length, fault);
	unsafe_get_user(req->user_data, &user->user_data, fault);
	user_read_access_end();
	return 0;

fault:
	user_read_access_end();
	return -EFAULT;
}

/* Copy in and check all requests; @wrong says where it ended */
static int submission_prepare(struct submission *sub)
{
	struct nvfs_request req nvfs_no_auto_init;
	struct nvfs_request __user *user =
		u64_to_user_ptr(sub->args->requests);
	u32 nr = sub->args->nr, i;
	int ret;

	for (i = 0; i < nr; i++) {
		sub->args->wrong = i;
		if (request_copy_in(&req, user + i))
			return -EFAULT;
		ret = submission_add(sub, &req);
		if (ret)
			return ret;
		if (need_resched()) {
			cond_resched();
			if (fatal_signal_pending(current))
				return -EINTR;
		}
	}
	sub->args->wrong = nr;
	return 0;
}

static void submission_drop(struct submission *sub)
{
	struct nvfs_async *async, *next;

	for (async = sub->first; async; async = next) {
		next = async->next;
		nvfs_io_release(&async->io);
		nvfs_async_free(async);
	}
}

/* Before anything is allocated: is there room for all? */
static int submission_reserve(struct submission *sub)
{
	struct nvfs_batch *batch = sub->batch;
	u32 used, nr = sub->args->nr;
	int ret = -EBUSY;

	spin_lock_irq(&batch->lock);
	used = batch->nr_active + batch->nr_events + batch->nr_taken +
	       batch->nr_coming;
	if (nr <= batch->depth - used) {
		batch->nr_coming += nr;
		ret = 0;
	}
	spin_unlock_irq(&batch->lock);
	return ret;
}

/* Put all requests into the batch's list of active ones, or none */
static int submission_enter(struct submission *sub, bool good)
{
	struct nvfs_batch *batch = sub->batch;
	struct nvfs_async *async;
	u32 nr = sub->args->nr;

	spin_lock_irq(&batch->lock);
	batch->nr_coming -= nr;
	good = good && !batch->dead;
	if (good) {
		batch->nr_active += nr;
		for (async = sub->first; async; async = async->next)
			hlist_add_head(&async->node, &batch->active);
	}
	spin_unlock_irq(&batch->lock);
	return good ? 0 : -ENOENT;
}

/* Start what has been entered.  Each may be gone as soon as it is started. */
static void submission_start(struct submission *sub)
{
	struct nvfs_async *async, *next;
	struct nvfs_batch *batch = sub->batch;
	u16 ioprio = nvfs_fast_ioprio();
	struct blk_plug plug;
	bool own;
	u32 i = 0;

	own = !cmpxchg(&batch->submitter, NULL, current);
	blk_start_plug(&plug);
	for (async = sub->first; async; async = next) {
		next = async->next;
		/* The block layer then gets requests for so many at a time */
		if (i % BATCH_PLUG == 0)
			plug.nr_ios = min_t(u32, sub->args->nr - i, BATCH_PLUG);
		i++;
		if (likely(async->io.fast))
			nvfs_io_start_fast(&async->io, ioprio);
		else
			nvfs_io_start(&async->io);
	}
	blk_finish_plug(&plug);
	if (own) {
		batch_tell_own(batch);
		/* Pairs with the cmpxchg(): the lists are as they were */
		smp_store_release(&batch->submitter, NULL);
	}
}

/**
 * nvfs_batch_submit() - NVFS_IOC_BATCH_SUBMIT
 * @batches: of the open file
 * @args: the call's arguments
 *
 * Context: process context; does not wait for requests.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_batch_submit(struct nvfs_batches *batches,
		      struct nvfs_batch_submit *args)
{
	struct submission sub = { .batches = batches, .args = args };
	int ret;

	args->wrong = args->nr;
	args->reason = NVFS_REASON_NONE;
	if (args->flags || !args->nr)
		return -EINVAL;
	sub.batch = batch_get(batches, args->batch);
	if (!sub.batch)
		return -ENOENT;
	sub.last = &sub.first;
	ret = submission_reserve(&sub);
	if (!ret) {
		int entered;

		sub.unused = stock_take(args->nr);
		ret = submission_prepare(&sub);
		stock_give(sub.unused);
		entered = submission_enter(&sub, !ret);
		ret = ret ?: entered;
	}
	if (ret) {
		submission_drop(&sub);
	} else {
		submission_start(&sub);
		nvfs_stat_inc(batches);
		nvfs_stat_add(batch_requests, args->nr);
	}
	batch_put(sub.batch);
	return ret;
}

/* Take up to @max events out of a batch; they still count in its depth */
static u32 reap_take(struct nvfs_batch *batch, struct nvfs_async **events,
		     struct nvfs_async ***last, u32 max)
{
	struct nvfs_async **end = events;
	u32 nr = 0;

	spin_lock_irq(&batch->lock);
	*events = batch->events;
	for (; nr < max && *end; nr++)
		end = &(*end)->next;
	batch->events = *end;
	if (!*end)
		batch->last_event = &batch->events;
	*end = NULL;
	*last = end;
	batch->nr_events -= nr;
	batch->nr_taken += nr;
	spin_unlock_irq(&batch->lock);
	return nr;
}

/* Events that could not be delivered go back to where they were */
static void reap_undo(struct nvfs_batch *batch, struct nvfs_async *events,
		      struct nvfs_async **last, u32 nr)
{
	spin_lock_irq(&batch->lock);
	*last = batch->events;
	if (!batch->events)
		batch->last_event = last;
	batch->events = events;
	batch->nr_events += nr;
	batch->nr_taken -= nr;
	wake_up(&batch->wait);
	spin_unlock_irq(&batch->lock);
}

/* Field by field: that is less than a call for each */
static int reap_copy(const struct nvfs_async *async,
		     struct nvfs_event __user *user, u32 nr)
{
	if (!user_write_access_begin(user, nr * sizeof(*user)))
		return -EFAULT;
	for (; async; async = async->next, user++) {
		unsafe_put_user(async->user_data, &user->user_data, fault);
		unsafe_put_user(async->io.done, &user->done, fault);
		unsafe_put_user(-async->io.error, &user->error, fault);
		unsafe_put_user(nvfs_io_route(&async->io), &user->route, fault);
		unsafe_put_user(async->io.reason, &user->reason, fault);
		unsafe_put_user(0, &user->__reserved, fault);
	}
	user_write_access_end();
	return 0;

fault:
	user_write_access_end();
	return -EFAULT;
}

/* Hand up to @max events to the user.  Returns how many, or an errno. */
static int reap_some(struct nvfs_batch *batch, struct nvfs_event __user *user,
		     u32 max)
{
	struct nvfs_async *events, **last;
	u32 nr = reap_take(batch, &events, &last, max);

	if (!nr)
		return 0;
	if (reap_copy(events, user, nr)) {
		reap_undo(batch, events, last, nr);
		return -EFAULT;
	}
	free_events(events);
	spin_lock_irq(&batch->lock);
	batch->nr_taken -= nr;
	spin_unlock_irq(&batch->lock);
	return nr;
}

/* Is there a reason to look for events? */
static bool reap_ready(struct nvfs_batch *batch, u32 min_nr)
{
	bool ready;

	spin_lock_irq(&batch->lock);
	ready = batch->dead || !batch->nr_active || batch->nr_events >= min_nr;
	spin_unlock_irq(&batch->lock);
	return ready;
}

static int reap_wait(struct nvfs_batch *batch, u32 min_nr, s64 timeout_ns)
{
	if (!min_nr || !timeout_ns || reap_ready(batch, min_nr))
		return 0;
	if (timeout_ns < 0)
		return wait_event_interruptible(batch->wait,
						reap_ready(batch, min_nr));
	return wait_event_interruptible_hrtimeout(batch->wait,
						  reap_ready(batch, min_nr),
						  ns_to_ktime(timeout_ns));
}

/**
 * nvfs_batch_reap() - NVFS_IOC_BATCH_REAP
 * @batches: of the open file
 * @args: the call's arguments
 *
 * Context: process context; waits as long as @args says.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_batch_reap(struct nvfs_batches *batches, struct nvfs_batch_reap *args)
{
	struct nvfs_batch *batch;
	int ret, wait;

	if (args->flags || !args->max_nr || args->max_nr < args->min_nr)
		return -EINVAL;
	args->nr = 0;
	batch = batch_get(batches, args->batch);
	if (!batch)
		return -ENOENT;
	wait = reap_wait(batch, args->min_nr, args->timeout_ns);
	ret = reap_some(batch, u64_to_user_ptr(args->events),
			min(args->max_nr, batch->depth));
	if (ret > 0)
		args->nr = ret;
	else if (!ret && wait == -ERESTARTSYS)
		ret = -EINTR;
	batch_put(batch);
	return min(ret, 0);
}

/* Ask all active requests to end; returns how many will */
static u32 cancel_all(struct nvfs_batch *batch)
{
	struct nvfs_async *async;
	u32 nr = 0;

	spin_lock_irq(&batch->lock);
	hlist_for_each_entry(async, &batch->active, node)
		nr += nvfs_io_cancel(&async->io);
	spin_unlock_irq(&batch->lock);
	nvfs_stat_add(cancels, nr);
	return nr;
}

/**
 * nvfs_batch_cancel() - NVFS_IOC_BATCH_CANCEL
 * @batches: of the open file
 * @args: the call's arguments
 *
 * Context: process context.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_batch_cancel(struct nvfs_batches *batches,
		      struct nvfs_batch_cancel *args)
{
	struct nvfs_batch *batch;

	if (args->flags)
		return -EINVAL;
	batch = batch_get(batches, args->batch);
	if (!batch)
		return -ENOENT;
	args->nr = cancel_all(batch);
	batch_put(batch);
	return 0;
}

static bool batch_is_idle(struct nvfs_batch *batch)
{
	bool idle;

	spin_lock_irq(&batch->lock);
	idle = !batch->nr_active;
	spin_unlock_irq(&batch->lock);
	return idle;
}

/* End a batch that is in no index any more */
static void batch_end(struct nvfs_batches *batches, struct nvfs_batch *batch)
{
	struct nvfs_async *events;

	spin_lock_irq(&batch->lock);
	batch->dead = true;
	wake_up_all(&batch->wait);
	spin_unlock_irq(&batch->lock);
	cancel_all(batch);
	wait_event(batch->wait, batch_is_idle(batch));
	spin_lock_irq(&batch->lock);
	events = batch->events;
	batch->events = NULL;
	batch->last_event = &batch->events;
	spin_unlock_irq(&batch->lock);
	free_events(events);
	atomic_sub(batch->depth, &batches->depth);
	batch_put(batch);
}

/**
 * nvfs_batch_destroy() - NVFS_IOC_BATCH_DESTROY
 * @batches: of the open file
 * @args: the call's arguments
 *
 * Context: process context; waits for the requests in flight.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_batch_destroy(struct nvfs_batches *batches,
		       struct nvfs_batch_destroy *args)
{
	struct nvfs_batch *batch;

	if (args->flags || args->__reserved)
		return -EINVAL;
	batch = xa_erase(&batches->index, args->batch);
	if (!batch)
		return -ENOENT;
	batch_end(batches, batch);
	return 0;
}

/**
 * nvfs_batches_init() - prepare a new open file
 * @batches: of the open file
 * @regions: of the open file
 *
 * Context: process context of the user.
 * Return: 0 or -ENOMEM.
 */
int nvfs_batches_init(struct nvfs_batches *batches,
		      struct nvfs_regions *regions)
{
	batches->user = nvfs_user_get();
	if (!batches->user)
		return -ENOMEM;
	xa_init_flags(&batches->index, XA_FLAGS_ALLOC1);
	batches->regions = regions;
	atomic_set(&batches->depth, 0);
	return 0;
}

/**
 * nvfs_batches_end() - end all batches of an open file that is closed
 * @batches: of the open file
 *
 * Context: may sleep.  No io_uring command is in flight: each holds the file.
 */
void nvfs_batches_end(struct nvfs_batches *batches)
{
	struct nvfs_batch *batch;
	unsigned long id;

	xa_for_each(&batches->index, id, batch)
		cancel_all(batch);
	xa_for_each(&batches->index, id, batch)
		batch_end(batches, batch);
	xa_destroy(&batches->index);
	nvfs_user_put(batches->user);
}

/*
 * A cache with a constructor is not zeroed at each allocation; every field that
 * is read is written first.
 */
static void async_construct(void *object)
{
	memset(object, 0, sizeof(struct nvfs_async));
}

/**
 * nvfs_batch_init() - what all batches share
 *
 * Return: 0 or -ENOMEM.
 */
int nvfs_batch_init(void)
{
	async_cache = kmem_cache_create("nvfs_async", sizeof(struct nvfs_async),
					0, SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT, async_construct);
	return async_cache ? 0 : -ENOMEM;
}

/**
 * nvfs_batch_exit() - undo nvfs_batch_init()
 *
 * Context: module unload; no request is left.
 */
void nvfs_batch_exit(void)
{
	struct async_stock *stock;
	int cpu;

	nvfs_user_exit();
	for_each_possible_cpu(cpu) {
		stock = per_cpu_ptr(&async_stock, cpu);
		while (stock->nr)
			kmem_cache_free(async_cache, stock->async[--stock->nr]);
	}
	kmem_cache_destroy(async_cache);
}
