/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters for each GPU, drive and process that takes part in requests.
 *
 * Whoever makes such a thing gets a user for it once and keeps it; a request
 * only adds, on its own CPU, and only while somebody wants to know.
 *
 * GPUs and drives are remembered when they are gone: there are few, and nothing
 * that was moved is forgotten.  What processes that have ended moved is added up.
 */
#ifndef _NVFS_STAT_USER_H
#define _NVFS_STAT_USER_H

#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct pid;

/* Index of a counter: NVFS_USER_<name> */
enum nvfs_user_counter {
#define NVFS_USER_COUNTER(name) NVFS_USER_##name,
#include "nvfs-stat-user-list.h"
#undef NVFS_USER_COUNTER
	NVFS_USER_COUNTER_NR
};

/**
 * enum nvfs_user_kind - what a user is
 * @NVFS_USER_GPU: a GPU; its id is its PCI function
 * @NVFS_USER_DRIVE: a drive; its id is its PCI function
 * @NVFS_USER_PROCESS: a process; its id is its struct pid, or NVFS_USER_NOBODY
 *	for all that have ended
 */
enum nvfs_user_kind {
	NVFS_USER_GPU,
	NVFS_USER_DRIVE,
	NVFS_USER_PROCESS,
};

/* The id of no drive that is known, and of no process that is left */
#define NVFS_USER_NOBODY	U64_MAX

/**
 * struct nvfs_user_counters - one CPU's share of a user's counters
 * @v: the counters
 */
struct nvfs_user_counters {
	u64 v[NVFS_USER_COUNTER_NR];
};

/**
 * struct nvfs_user - a GPU, a drive or a process
 * @node: in the list of users
 * @refs: of a process: how often it was got and not put, under the list's lock
 * @kind: what it is
 * @id: which one
 * @uid: of a process: whose
 * @pid: of a process: which; a reference is held
 * @cpu: the counters
 * @base: where they stood at the last reset, under the list's lock
 */
struct nvfs_user {
	struct list_head node;
	unsigned int refs;
	enum nvfs_user_kind kind;
	u64 id;
	kuid_t uid;
	struct pid *pid;
	struct nvfs_user_counters __percpu *cpu;
	u64 base[NVFS_USER_COUNTER_NR];
};

/* Disks are found by their sequence number in so many lists */
#define NVFS_DISK_LISTS		64

/**
 * struct nvfs_disk - which drive a disk stands on
 * @next: in its list
 * @seq: the disk's sequence number, which the kernel never gives twice
 * @drive: the drive
 *
 * Never changed and never freed while requests may look, so they look without a
 * lock.
 */
struct nvfs_disk {
	struct nvfs_disk *next;
	u64 seq;
	const struct nvfs_user *drive;
};

extern struct nvfs_disk *nvfs_disks[NVFS_DISK_LISTS];
extern struct nvfs_user nvfs_no_drive;

/* Counting is on; nvfs_is_watched() then, too */
DECLARE_STATIC_KEY_FALSE(nvfs_user_on);
#define nvfs_users_counted()	static_branch_unlikely(&nvfs_user_on)

/**
 * nvfs_user_add() - count for a user, where nvfs_users_counted()
 * @user: the user
 * @counter: what
 * @n: how many
 *
 * Context: any.
 */
static inline void nvfs_user_add(const struct nvfs_user *user,
				 enum nvfs_user_counter counter, u64 n)
{
	this_cpu_add(user->cpu->v[counter], n);
}

/**
 * nvfs_user_of_disk() - the drive that a disk stands on
 * @disk: its sequence number, 0 for none
 *
 * Context: any.
 * Return: the drive's user; of a disk that is not known, that of no drive.
 */
static inline const struct nvfs_user *nvfs_user_of_disk(u64 disk)
{
	const struct nvfs_disk *d;

	/* Pairs with the release in nvfs_user_add_disk() */
	d = smp_load_acquire(&nvfs_disks[disk % NVFS_DISK_LISTS]);
	for (; d; d = d->next)
		if (d->seq == disk)
			return d->drive;
	return &nvfs_no_drive;
}

struct nvfs_user *nvfs_user_get(enum nvfs_user_kind kind, u64 id);
struct nvfs_user *nvfs_user_get_process(void);
void nvfs_user_put(struct nvfs_user *user);
void nvfs_user_add_disk(u64 disk, u64 drive);
u64 nvfs_user_sum(const struct nvfs_user *user,
		  enum nvfs_user_counter counter);
const char *nvfs_user_counter_name(enum nvfs_user_counter counter);
void nvfs_user_each(enum nvfs_user_kind kind,
		    void (*call)(const struct nvfs_user *user, void *data),
		    void *data);
void nvfs_user_reset(void);
int nvfs_user_init(void);
void nvfs_user_exit(void);
void nvfs_user_switch(bool on);

#endif /* _NVFS_STAT_USER_H */
