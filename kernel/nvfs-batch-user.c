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
 * struct nvfs_user - a user who has the device open, or had
 * @node: in the list of users
 * @uid: who
 * @opens: open files
 * @workers: run the user's requests
 */
struct nvfs_user {
	struct list_head node;
	kuid_t uid;
	unsigned int opens;
	struct workqueue_struct *workers;
};

/* Guards the list, the number, and each user's @opens; the lock is never taken
 * on the way of a request
 */
static DEFINE_MUTEX(users_lock);
static LIST_HEAD(users);
static unsigned int nr_users;

static void user_free(struct nvfs_user *user)
{
	destroy_workqueue(user->workers);
	kfree(user);
}

static struct nvfs_user *user_find(kuid_t uid)
{
	struct nvfs_user *user;

	list_for_each_entry(user, &users, node)
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct nvfs_user *user_make(kuid_t uid)
{
	struct nvfs_user *user = kzalloc(sizeof(*user), GFP_KERNEL);

	if (!user)
		return NULL;
	user->uid = uid;
	user->workers = alloc_workqueue("nvfs-%u", WQ_UNBOUND, USER_MAX_WORKERS,
					__kuid_val(uid));
	if (!user->workers) {
		kfree(user);
		return NULL;
	}
	list_add(&user->node, &users);
	nr_users++;
	return user;
}

/**
 * nvfs_user_get() - the user who opens the device
 *
 * Context: process context of the user; may sleep.
 * Return: the user, to be given to nvfs_user_put(), or NULL without memory.
 */
struct nvfs_user *nvfs_user_get(void)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	user = user_find(current_uid()) ?: user_make(current_uid());
	if (user)
		user->opens++;
	mutex_unlock(&users_lock);
	return user;
}

/**
 * nvfs_user_put() - an open file of the user is gone
 * @user: the user
 *
 * Context: may sleep.
 */
void nvfs_user_put(struct nvfs_user *user)
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
 * nvfs_user_queue() - have a worker of the user run something
 * @user: the user
 * @work: what
 *
 * Context: any.
 */
void nvfs_user_queue(struct nvfs_user *user, struct work_struct *work)
{
	queue_work(user->workers, work);
}

/**
 * nvfs_user_exit() - forget all users
 *
 * Context: module unload; no file is open.
 */
void nvfs_user_exit(void)
{
	struct nvfs_user *user, *next;

	list_for_each_entry_safe(user, next, &users, node)
		user_free(user);
}
