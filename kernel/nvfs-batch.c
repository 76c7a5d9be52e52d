// SPDX-License-Identifier: GPL-2.0-only
/*
 * Batches: many requests submitted by one call, their ends collected by another.
 *
 * A batch keeps the memory of its requests, at most as many as it is deep. From its
 * submission until it is reaped a request counts as active, then as an event. The
 * batch's lock guards the change from one to the other, which is the one moment at
 * which a request ends for its user; so every request gives exactly one event,
 * whoever completes, cancels or reaps at the same time. The lock is taken in
 * interrupts and never held over anything else.
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
#include "nvfs-io-like.h"
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
 * @depth: most requests active or ended
 * @lock: guards all below; taken with interrupts off
 * @all: memory for requests, by @next_all of struct nvfs_async
 * @unused: of these, what nobody uses, by @next
 * @events: ended, not reaped, oldest first, by @next
 * @last_event: where to put the next of @events
 * @nr_active: requests submitted and not ended
 * @nr_events: requests in @events
 * @nr_taken: events that are being handed to a user
 * @nr_coming: requests that are being submitted
 * @dead: destroyed; admits no request
 * @wait: somebody may have to look at the lists
 * @submitter: the task that fills @own, or NULL; not under the lock
 * @own: requests that ended while they were submitted, in order; @submitter's,
 *	and still active for all others
 * @last_own: where to put the next of @own
 * @nr_own: requests in @own
 */
struct nvfs_batch {
	struct kref ref;
	struct rcu_head rcu;
	u32 depth;
	spinlock_t lock; /* see above */
	struct nvfs_async *all;
	struct nvfs_async *unused;
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

static void batch_release(struct kref *ref)
{
	struct nvfs_batch *batch = container_of(ref, struct nvfs_batch, ref);
	struct nvfs_async *async, *next;

	for (async = batch->all; async; async = next) {
		next = async->next_all;
		kmem_cache_free(nvfs_async_cache, async);
	}
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

/* Requests, by their @next, become events.  The lock is held. */
static void batch_add_events(struct nvfs_batch *batch, struct nvfs_async *first,
			     struct nvfs_async **last, u32 nr)
{
	*last = NULL;
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
static noinline void batch_tell_own(struct nvfs_batch *batch)
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

/* A request is told of by itself.  Any context. */
static noinline void batch_tell(struct nvfs_batch *batch,
				struct nvfs_async *async)
{
	unsigned long flags;

	spin_lock_irqsave(&batch->lock, flags);
	batch_add_events(batch, async, &async->next, 1);
	spin_unlock_irqrestore(&batch->lock, flags);
}

/* A request has ended: it becomes an event.  Any context. */
static void batch_complete(struct nvfs_io *io)
{
	struct nvfs_async *async = container_of(io, struct nvfs_async, io);
	struct nvfs_batch *batch = async->batch;

	nvfs_io_delivered(io);
	/* Before the event is seen: who has it may end the region */
	nvfs_io_release_fast(io);
	if (unlikely(async->own_cred))
		put_cred(async->cred);
	/* Only this very task can have set that, and has not unset it yet */
	if (unlikely(READ_ONCE(batch->submitter) != current || !in_task())) {
		batch_tell(batch, async);
		return;
	}
	*batch->last_own = async;
	batch->last_own = &async->next;
	if (unlikely(++batch->nr_own == BATCH_OWN))
		batch_tell_own(batch);
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
	batch->last_event = &batch->events;
	batch->last_own = &batch->own;
	init_waitqueue_head(&batch->wait);
	ret = xa_alloc(&batches->index, &args->batch, batch, xa_limit_31b,
		       GFP_KERNEL_ACCOUNT);
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

/* A batch gets memory for one more request */
static noinline struct nvfs_async *submission_grow(struct submission *sub)
{
	struct nvfs_async *async = kmem_cache_alloc(nvfs_async_cache, GFP_KERNEL);
	struct nvfs_batch *batch = sub->batch;

	if (!async)
		return NULL;
	atomic_set(&async->io.state, IO_FREE);
	async->batch = batch;
	async->batches = sub->batches;
	spin_lock_irq(&batch->lock);
	async->next_all = batch->all;
	batch->all = async;
	spin_unlock_irq(&batch->lock);
	return async;
}

/* Take memory for @nr requests out of what is unused.  The lock is held. */
static void submission_take(struct submission *sub, u32 nr)
{
	struct nvfs_async **end = &sub->unused;

	*end = sub->batch->unused;
	while (nr-- && *end)
		end = &(*end)->next;
	sub->batch->unused = *end;
	*end = NULL;
}

/* Memory of requests, by their @next, is unused again.  The lock is held. */
static void batch_give(struct nvfs_batch *batch, struct nvfs_async *first,
		       struct nvfs_async **last)
{
	*last = batch->unused;
	batch->unused = first;
}

/* A request of the same file, region and direction as the one before */
static __always_inline bool submission_add_like(struct submission *sub,
						struct nvfs_async *async,
						const struct nvfs_request *req)
{
	if (!sub->like || sub->like_fd != req->fd ||
	    sub->like_region != req->region || sub->like_op != req->op ||
	    req->flags & ~NVFS_RW_BOUNCE ||
	    !nvfs_io_prepare_like(&async->io, sub->like, req))
		return false;
	async->own_cred = false;
	async->cred = sub->like->share->cred;
	return true;
}

static noinline int submission_add_any(struct submission *sub,
				       struct nvfs_async *async,
				       const struct nvfs_request *req)
{
	int ret;

	ret = nvfs_async_check(req);
	if (ret)
		return ret;
	async->cred = get_current_cred();
	async->own_cred = true;
	ret = nvfs_io_prepare(&async->io, sub->batches->regions, req,
			      &batch_ops);
	if (ret) {
		sub->args->reason = async->io.reason;
		/* Nothing is left that could be cancelled */
		atomic_set(&async->io.state, IO_FREE);
		put_cred(async->cred);
		return ret;
	}
	sub->like = async->io.fast ? &async->io : NULL;
	sub->like_op = req->op;
	sub->like_region = req->region;
	sub->like_fd = req->fd;
	return 0;
}

static __always_inline int submission_add(struct submission *sub,
					  const struct nvfs_request *req)
{
	struct nvfs_async *async;
	int ret;

	async = sub->unused;
	if (unlikely(!async)) {
		async = submission_grow(sub);
		if (!async)
			return -ENOMEM;
		async->next = NULL;
	}
	/* What fails stays first in the list of the unused */
	sub->unused = async;
	async->user_data = req->user_data;
	if (!submission_add_like(sub, async, req)) {
		ret = submission_add_any(sub, async, req);
		if (ret)
			return ret;
	}
	sub->unused = async->next;
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

/* What was prepared lets go of all that it holds */
static void submission_release(struct submission *sub)
{
	struct nvfs_async *async;

	*sub->last = NULL;
	for (async = sub->first; async; async = async->next) {
		nvfs_io_release(&async->io);
		atomic_set(&async->io.state, IO_FREE);
		if (async->own_cred)
			put_cred(async->cred);
	}
}

/* As if nothing had been prepared yet */
static void submission_undo(struct submission *sub)
{
	submission_release(sub);
	*sub->last = sub->unused;
	sub->unused = sub->first;
	sub->first = NULL;
	sub->last = &sub->first;
	sub->like = NULL;
}

/* Check requests that have been copied in; @wrong says where it ended */
static int submission_add_all(struct submission *sub,
			      const struct nvfs_request *req, u32 nr)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		sub->args->wrong = i;
		ret = submission_add(sub, req + i);
		cond_resched();
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
	}
	if (!ret)
		sub->args->wrong = nr;
	return ret;
}

/*
 * Copy in all requests, which takes as long as somebody likes, while nothing is
 * held; then check them.
 */
static noinline int submission_prepare_late(struct submission *sub)
{
	const void __user *user = u64_to_user_ptr(sub->args->requests);
	u32 nr = sub->args->nr;
	struct nvfs_request *req;
	u32 missing;
	int ret;

	req = kvmalloc_array(nr, sizeof(*req), GFP_KERNEL_ACCOUNT |
			     __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!req)
		return -ENOMEM;
	missing = DIV_ROUND_UP(copy_from_user(req, user, nr * sizeof(*req)),
			       sizeof(*req));
	ret = submission_add_all(sub, req, nr - missing);
	kvfree(req);
	if (!ret && missing)
		ret = -EFAULT;
	return ret;
}

/*
 * Copy in and check one request after the other; @wrong says where it ended.
 * Those before it hold their regions, whose ends wait for that, so memory of the
 * user's that is not there is not waited for.  Nothing else that is called from
 * here touches any.
 *
 * Return: -EFAULT when memory is not there, or an errno that the uapi header
 * documents.
 */
static int submission_prepare_present(struct submission *sub)
{
	struct nvfs_request req nvfs_no_auto_init;
	struct nvfs_request __user *user =
		u64_to_user_ptr(sub->args->requests);
	u32 nr = sub->args->nr, i;
	int ret;

	pagefault_disable();
	for (i = 0; i < nr; i++) {
		ret = -EFAULT;
		if (request_copy_in(&req, user + i))
			break;
		ret = submission_add(sub, &req);
		if (ret)
			break;
		if (need_resched()) {
			cond_resched();
			ret = -EINTR;
			if (fatal_signal_pending(current))
				break;
		}
	}
	pagefault_enable();
	sub->args->wrong = i;
	return i < nr ? ret : 0;
}

/* Copy in and check all requests; @wrong says where it ended */
static int submission_prepare(struct submission *sub)
{
	int ret = submission_prepare_present(sub);

	if (likely(ret != -EFAULT))
		return ret;
	submission_undo(sub);
	return submission_prepare_late(sub);
}

/* What was prepared, if anything, is not submitted */
static void submission_drop(struct submission *sub)
{
	struct nvfs_batch *batch = sub->batch;

	if (!sub->first)
		return;
	submission_release(sub);
	spin_lock_irq(&batch->lock);
	batch_give(batch, sub->first, sub->last);
	spin_unlock_irq(&batch->lock);
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
		submission_take(sub, nr);
		ret = 0;
	}
	spin_unlock_irq(&batch->lock);
	return ret;
}

/* All requests become active, or none; memory that was not needed goes back */
static int submission_enter(struct submission *sub, bool good)
{
	struct nvfs_batch *batch = sub->batch;
	struct nvfs_async **last = &sub->unused;
	u32 nr = sub->args->nr;

	*sub->last = NULL;
	while (*last)
		last = &(*last)->next;
	spin_lock_irq(&batch->lock);
	if (sub->unused)
		batch_give(batch, sub->unused, last);
	batch->nr_coming -= nr;
	good = good && !batch->dead;
	if (good)
		batch->nr_active += nr;
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

		ret = submission_prepare(&sub);
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
	spin_lock_irq(&batch->lock);
	batch_give(batch, events, last);
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

/* Ask all active requests to end, or those with the @user_data of a call; returns
 * how many will
 */
static u32 cancel_some(struct nvfs_batch *batch,
		       const struct nvfs_batch_cancel *only)
{
	struct nvfs_async *async;
	u32 nr = 0;

	spin_lock_irq(&batch->lock);
	/* Of all of them, only those that are in use can be asked to end */
	for (async = batch->nr_active ? batch->all : NULL; async;
	     async = async->next_all) {
		/* Whose memory is being made a new request has no user_data yet */
		if (!only || (nvfs_io_is_active(&async->io) &&
			      async->user_data == only->user_data))
			nr += nvfs_io_cancel(&async->io);
	}
	spin_unlock_irq(&batch->lock);
	nvfs_stat_add(cancels, nr);
	return nr;
}

static u32 cancel_all(struct nvfs_batch *batch)
{
	return cancel_some(batch, NULL);
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
	bool only = args->flags & NVFS_CANCEL_USER_DATA;
	struct nvfs_batch *batch;

	if (args->flags & ~NVFS_CANCEL_USER_DATA)
		return -EINVAL;
	/* A caller that does not know the member leaves it 0 */
	if (only ? args->size < offsetofend(struct nvfs_batch_cancel, user_data)
		 : args->user_data)
		return -EINVAL;
	batch = batch_get(batches, args->batch);
	if (!batch)
		return -ENOENT;
	args->nr = cancel_some(batch, only ? args : NULL);
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
	spin_lock_irq(&batch->lock);
	batch->dead = true;
	wake_up_all(&batch->wait);
	spin_unlock_irq(&batch->lock);
	cancel_all(batch);
	wait_event(batch->wait, batch_is_idle(batch));
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
	batches->workers = nvfs_workers_get();
	if (!batches->workers)
		return -ENOMEM;
	batches->memcg = get_mem_cgroup_from_mm(current->mm);
	xa_init_flags(&batches->index, XA_FLAGS_ALLOC1 | XA_FLAGS_ACCOUNT);
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
	mem_cgroup_put(batches->memcg);
	nvfs_workers_put(batches->workers);
}
