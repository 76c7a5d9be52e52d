// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests that have to wait are run by workers, and a file that does not answer
 * keeps its worker.  So each user has workers of their own, who run a bounded
 * number of requests at a time: who has files that do not answer keeps nobody
 * else waiting.
 */
#include <linux/cred.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uidgid.h>
#include <linux/workqueue.h>

#include "nvfs-batch.h"

/* Requests of one user that wait at a time; more queue up */
#define USER_MAX_WORKERS	256

/* So many users are remembered when they have closed the device */
#define USERS_KEPT		16

/**
 * struct nvfs_workers - the workers of a user who has the device open, or had
 * @node: in the list of users
 * @uid: who
 * @opens: open files
 * @wq: the workers, who run the user's requests
 */
struct nvfs_workers {
	struct list_head node;
	kuid_t uid;
	unsigned int opens;
	struct workqueue_struct *wq;
};

/* Guards the list, the number, and each user's @opens; the lock is never taken
 * on the way of a request
 */
static DEFINE_MUTEX(users_lock);
static LIST_HEAD(users);
static unsigned int nr_users;

static void user_free(struct nvfs_workers *user)
{
	destroy_workqueue(user->wq);
	kfree(user);
}

static struct nvfs_workers *user_find(kuid_t uid)
{
	struct nvfs_workers *user;

	list_for_each_entry(user, &users, node)
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct nvfs_workers *user_make(kuid_t uid)
{
	struct nvfs_workers *user = kzalloc(sizeof(*user), GFP_KERNEL);

	if (!user)
		return NULL;
	user->uid = uid;
	user->wq = alloc_workqueue("nvfs-%u", WQ_UNBOUND, USER_MAX_WORKERS,
				   __kuid_val(uid));
	if (!user->wq) {
		kfree(user);
		return NULL;
	}
	list_add(&user->node, &users);
	nr_users++;
	return user;
}

/**
 * nvfs_workers_get() - the user who opens the device
 *
 * Context: process context of the user; may sleep.
 * Return: the user, to be given to nvfs_workers_put(), or NULL without memory.
 */
struct nvfs_workers *nvfs_workers_get(void)
{
	struct nvfs_workers *user;

	mutex_lock(&users_lock);
	user = user_find(current_uid()) ?: user_make(current_uid());
	if (user)
		user->opens++;
	mutex_unlock(&users_lock);
	return user;
}

/**
 * nvfs_workers_put() - an open file of the user is gone
 * @user: the user
 *
 * Context: may sleep.
 */
void nvfs_workers_put(struct nvfs_workers *user)
{
	bool forget;

	mutex_lock(&users_lock);
	forget = !--user->opens && nr_users > USERS_KEPT;
	if (forget) {
		list_del(&user->node);
		nr_users--;
	}
	mutex_unlock(&users_lock);
	if (forget)
		user_free(user);
}

/**
 * nvfs_workers_queue() - have a worker of the user run something
 * @user: the user
 * @work: what
 *
 * Context: any.
 */
void nvfs_workers_queue(struct nvfs_workers *user, struct work_struct *work)
{
	queue_work(user->wq, work);
}

/**
 * nvfs_workers_exit() - forget all users
 *
 * Context: module unload; no file is open.
 */
void nvfs_workers_exit(void)
{
	struct nvfs_workers *user, *next;

	list_for_each_entry_safe(user, next, &users, node)
		user_free(user);
}
