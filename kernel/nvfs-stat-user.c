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
#include "nvfs-trace-watch.h"

DEFINE_STATIC_KEY_FALSE(nvfs_user_on);

/* Guards the list, the references in it, and what a reset remembers; never
 * taken for a request.
 */
static DEFINE_MUTEX(users_lock);
static LIST_HEAD(users);

/* Always there, and in no list: files on no drive, and processes that have ended */
struct nvfs_user nvfs_no_drive = {
	.kind = NVFS_USER_DRIVE,
	.id = NVFS_USER_NOBODY,
};

static struct nvfs_user ended = {
	.kind = NVFS_USER_PROCESS,
	.id = NVFS_USER_NOBODY,
};

struct nvfs_disk *nvfs_disks[NVFS_DISK_LISTS];

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
	mutex_lock(&users_lock);
	if (on && !static_key_enabled(&nvfs_user_on)) {
		nvfs_watch_begin();
		static_branch_enable(&nvfs_user_on);
	} else if (!on && static_key_enabled(&nvfs_user_on)) {
		static_branch_disable(&nvfs_user_on);
		nvfs_watch_end();
	}
	mutex_unlock(&users_lock);
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

static void user_free(struct nvfs_user *user)
{
	if (!user)
		return;
	put_pid(user->pid);
	free_percpu(user->cpu);
	kfree(user);
}

static struct nvfs_user *user_alloc(enum nvfs_user_kind kind, gfp_t gfp)
{
	struct nvfs_user *user = kzalloc(sizeof(*user), gfp);

	if (!user)
		return NULL;
	user->kind = kind;
	user->cpu = alloc_percpu_gfp(struct nvfs_user_counters, gfp);
	if (user->cpu)
		return user;
	kfree(user);
	return NULL;
}

/**
 * nvfs_user_get() - the counters of a GPU or a drive
 * @kind: what it is
 * @id: which one
 *
 * Context: may sleep.
 * Return: the user, valid until nvfs_user_exit(); NULL when there is no memory.
 */
struct nvfs_user *nvfs_user_get(enum nvfs_user_kind kind, u64 id)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	user = user_find(kind, id);
	if (!user) {
		user = user_alloc(kind, GFP_KERNEL);
		if (user) {
			user->id = id;
			list_add_tail(&user->node, &users);
		}
	}
	mutex_unlock(&users_lock);
	return user;
}

/* The current process, if it is known; one more reference to it */
static struct nvfs_user *process_get(const struct pid *pid, kuid_t uid)
{
	struct nvfs_user *user;

	list_for_each_entry(user, &users, node)
		if (user->pid == pid && uid_eq(user->uid, uid)) {
			user->refs++;
			return user;
		}
	return NULL;
}

/**
 * nvfs_user_get_process() - the counters of the current process
 *
 * Of the process as it is: as another user it has other counters.  They are
 * charged to it, so they are made without a lock that others wait for.
 *
 * Context: process context; may sleep.
 * Return: the user, to be given to nvfs_user_put(); NULL when there is no memory.
 */
struct nvfs_user *nvfs_user_get_process(void)
{
	struct pid *pid = task_tgid(current);
	struct nvfs_user *user, *new;

	mutex_lock(&users_lock);
	user = process_get(pid, current_euid());
	mutex_unlock(&users_lock);
	if (user)
		return user;

	new = user_alloc(NVFS_USER_PROCESS, GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->id = (unsigned long)pid;
	new->uid = current_euid();
	new->pid = get_pid(pid);
	new->refs = 1;
	mutex_lock(&users_lock);
	/* Another thread of it may have been first */
	user = process_get(pid, current_euid());
	if (!user)
		list_add_tail(&new->node, &users);
	mutex_unlock(&users_lock);
	if (!user)
		return new;
	user_free(new);
	return user;
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

/* What a process moved is not forgotten with it.  The lock is held. */
static void user_add_to_ended(const struct nvfs_user *user)
{
	int i;

	for (i = 0; i < NVFS_USER_COUNTER_NR; i++)
		nvfs_user_add(&ended, i, nvfs_user_sum(user, i));
}

/**
 * nvfs_user_put() - undo nvfs_user_get_process()
 * @user: the user, or NULL
 *
 * Context: may sleep; no request counts for this get any more.
 */
void nvfs_user_put(struct nvfs_user *user)
{
	if (!user)
		return;
	mutex_lock(&users_lock);
	if (--user->refs) {
		user = NULL;
	} else {
		user_add_to_ended(user);
		list_del(&user->node);
	}
	mutex_unlock(&users_lock);
	user_free(user);
}

/**
 * nvfs_user_add_disk() - remember which drive a disk stands on
 * @disk: its sequence number
 * @drive: id of the drive
 *
 * Without memory its requests count for no drive.
 *
 * Context: may sleep.
 */
void nvfs_user_add_disk(u64 disk, u64 drive)
{
	struct nvfs_user *user = nvfs_user_get(NVFS_USER_DRIVE, drive);
	struct nvfs_disk *new = kzalloc(sizeof(*new), GFP_KERNEL);
	struct nvfs_disk **list = &nvfs_disks[disk % NVFS_DISK_LISTS];

	mutex_lock(&users_lock);
	if (user && new && nvfs_user_of_disk(disk) == &nvfs_no_drive) {
		new->seq = disk;
		new->drive = user;
		new->next = *list;
		/* Whoever sees it sees all of it */
		smp_store_release(list, new);
		new = NULL;
	}
	mutex_unlock(&users_lock);
	kfree(new);
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
 * nvfs_user_each() - call a function for each user of a kind
 * @kind: the kind; what belongs to nobody comes last
 * @call: the function; it must not get or put a user
 * @data: its argument
 *
 * Context: may sleep.
 */
void nvfs_user_each(enum nvfs_user_kind kind,
		    void (*call)(const struct nvfs_user *user, void *data),
		    void *data)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	list_for_each_entry(user, &users, node) {
		if (user->kind == kind)
			call(user, data);
		cond_resched();
	}
	if (kind == NVFS_USER_DRIVE)
		call(&nvfs_no_drive, data);
	else if (kind == NVFS_USER_PROCESS)
		call(&ended, data);
	mutex_unlock(&users_lock);
}

static void user_reset(struct nvfs_user *user)
{
	int i;

	for (i = 0; i < NVFS_USER_COUNTER_NR; i++)
		user->base[i] = user_total(user, i);
}

/**
 * nvfs_user_reset() - begin anew for all users
 *
 * Context: may sleep.
 */
void nvfs_user_reset(void)
{
	struct nvfs_user *user;

	mutex_lock(&users_lock);
	list_for_each_entry(user, &users, node) {
		user_reset(user);
		cond_resched();
	}
	user_reset(&nvfs_no_drive);
	user_reset(&ended);
	mutex_unlock(&users_lock);
}

/**
 * nvfs_user_init() - make those who are always there
 *
 * Return: 0 or -ENOMEM; in both cases nvfs_user_exit() undoes it.
 */
int nvfs_user_init(void)
{
	nvfs_no_drive.cpu = alloc_percpu(struct nvfs_user_counters);
	ended.cpu = alloc_percpu(struct nvfs_user_counters);
	return nvfs_no_drive.cpu && ended.cpu ? 0 : -ENOMEM;
}

/**
 * nvfs_user_exit() - forget all users
 *
 * Context: module unload, or a load that failed; no request runs.
 */
void nvfs_user_exit(void)
{
	struct nvfs_user *user, *next;
	int i;

	nvfs_user_switch(false);
	for (i = 0; i < NVFS_DISK_LISTS; i++) {
		while (nvfs_disks[i]) {
			struct nvfs_disk *disk = nvfs_disks[i];

			nvfs_disks[i] = disk->next;
			kfree(disk);
		}
	}
	list_for_each_entry_safe(user, next, &users, node) {
		list_del(&user->node);
		user_free(user);
	}
	free_percpu(nvfs_no_drive.cpu);
	free_percpu(ended.cpu);
}
