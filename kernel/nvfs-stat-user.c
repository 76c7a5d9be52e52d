// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters for each GPU, drive and process.
 */
#include <linux/cpumask.h>
#include <linux/cred.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "nvfs-stat-user.h"

DEFINE_STATIC_KEY_FALSE(nvfs_user_on);

/* Guards the list, the references in it, and what a reset remembers; never
 * taken for a request.
 */
static DEFINE_MUTEX(users_lock);
static LIST_HEAD(users);

/**
 * nvfs_user_switch() - switch counting for users on or off
 * @on: on
 *
 * What was counted stays.
 *
 * Context: may sleep.
 */
void nvfs_user_switch(bool on)
{
	if (on)
		static_branch_enable(&nvfs_user_on);
	else
		static_branch_disable(&nvfs_user_on);
}

static int user_param_set(const char *text, const struct kernel_param *param)
{
	bool on;
	int ret = kstrtobool(text, &on);

	if (!ret)
		nvfs_user_switch(on);
	return ret;
}

static int user_param_get(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%c\n",
			  static_key_enabled(&nvfs_user_on) ? 'Y' : 'N');
}

static const struct kernel_param_ops user_param = {
	.set = user_param_set,
	.get = user_param_get,
};

module_param_cb(usage, &user_param, NULL, 0644);
MODULE_PARM_DESC(usage, "Count for each GPU, drive and process (default: off)");

static struct nvfs_user *user_find(enum nvfs_user_kind kind, u64 id)
{
	struct nvfs_user *user;

	list_for_each_entry(user, &users, node)
		if (user->kind == kind && user->id == id)
			return user;
	return NULL;
}

static struct nvfs_user *user_make(enum nvfs_user_kind kind, u64 id)
{
	struct nvfs_user *user = kzalloc(sizeof(*user), GFP_KERNEL);

	if (!user)
		return NULL;
	user->cpu = alloc_percpu(struct nvfs_user_counters);
	if (!user->cpu) {
		kfree(user);
		return NULL;
	}
	user->kind = kind;
	user->id = id;
	list_add_tail(&user->node, &users);
	return user;
}

/**
 * nvfs_user_get() - the counters of a GPU or a drive
 * @kind: what it is
 * @id: which one
 *
 * Context: may sleep.
 * Return: the user, to be given to nvfs_user_put(); NULL when there is no
 * memory: nothing is then counted for it.
 */
struct nvfs_user *nvfs_user_get(enum nvfs_user_kind kind, u64 id)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	user = user_find(kind, id) ?: user_make(kind, id);
	if (user)
		user->refs++;
	mutex_unlock(&users_lock);
	return user;
}

/**
 * nvfs_user_get_process() - the counters of the current process
 *
 * Context: process context; may sleep.
 * Return: as nvfs_user_get().
 */
struct nvfs_user *nvfs_user_get_process(void)
{
	struct pid *pid = task_tgid(current);
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	/* It is not given to anybody else as long as a user holds it */
	user = user_find(NVFS_USER_PROCESS, (unsigned long)pid);
	if (!user) {
		user = user_make(NVFS_USER_PROCESS, (unsigned long)pid);
		if (user) {
			user->uid = current_euid();
			user->pid = get_pid(pid);
		}
	}
	if (user)
		user->refs++;
	mutex_unlock(&users_lock);
	return user;
}

/**
 * nvfs_user_put() - undo a get
 * @user: the user, or NULL; the last one takes its counters along
 *
 * Context: may sleep; no request counts for this get any more.
 */
void nvfs_user_put(struct nvfs_user *user)
{
	if (!user)
		return;
	mutex_lock(&users_lock);
	if (--user->refs)
		user = NULL;
	else
		list_del(&user->node);
	mutex_unlock(&users_lock);
	if (!user)
		return;
	put_pid(user->pid);
	free_percpu(user->cpu);
	kfree(user);
}

/* Over all CPUs since the user was made */
static u64 user_total(const struct nvfs_user *user,
		      enum nvfs_user_counter counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(user->cpu, cpu)->v[counter]);
	return sum;
}

/**
 * nvfs_user_sum() - a user's counter since the last reset
 * @user: the user
 * @counter: the counter
 *
 * Context: in the function given to nvfs_user_each().
 * Return: the sum; CPUs that count meanwhile may or may not be seen.
 */
u64 nvfs_user_sum(const struct nvfs_user *user, enum nvfs_user_counter counter)
{
	return user_total(user, counter) - user->base[counter];
}

/**
 * nvfs_user_counter_name() - what a counter is called
 * @counter: the counter
 *
 * Return: its name.
 */
const char *nvfs_user_counter_name(enum nvfs_user_counter counter)
{
	static const char * const name[NVFS_USER_COUNTER_NR] = {
#define NVFS_USER_COUNTER(name) (#name),
#include "nvfs-stat-user-list.h"
#undef NVFS_USER_COUNTER
	};

	return name[counter];
}

/**
 * nvfs_user_each() - call a function for each user
 * @call: the function; it must not get or put a user
 * @data: its argument
 *
 * Context: may sleep.
 */
void nvfs_user_each(void (*call)(const struct nvfs_user *user, void *data),
		    void *data)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	list_for_each_entry(user, &users, node)
		call(user, data);
	mutex_unlock(&users_lock);
}

/**
 * nvfs_user_reset() - begin anew for all users
 *
 * Context: may sleep.
 */
void nvfs_user_reset(void)
{
	struct nvfs_user *user;
	int i;

	mutex_lock(&users_lock);
	list_for_each_entry(user, &users, node)
		for (i = 0; i < NVFS_USER_COUNTER_NR; i++)
			user->base[i] = user_total(user, i);
	mutex_unlock(&users_lock);
}
