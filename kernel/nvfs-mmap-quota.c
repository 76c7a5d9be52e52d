// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much GPU memory each user has pinned, and how much they may.
 *
 * RLIMIT_MEMLOCK is not what limits it: that is about host memory, which a pin
 * of GPU memory does not take, and its usual 8 MiB would turn away everybody.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "nvfs-mmap-quota.h"

static unsigned int pin_limit_mib;
module_param(pin_limit_mib, uint, 0644);
MODULE_PARM_DESC(pin_limit_mib, "MiB of GPU memory that a user may have pinned (default: 0, any)");

/* Guards the list and each @opens; taken when a file is opened or closed, and to
 * look
 */
static DEFINE_MUTEX(quotas_lock);
static LIST_HEAD(quotas);

/* The user, if known; one more open file of theirs */
static struct nvfs_quota *quota_find(kuid_t uid)
{
	struct nvfs_quota *quota;

	list_for_each_entry(quota, &quotas, node)
		if (uid_eq(quota->uid, uid)) {
			quota->opens++;
			return quota;
		}
	return NULL;
}

/**
 * nvfs_quota_get() - the user who opens the device
 *
 * What is charged to them is made without the lock: at the limit of a control
 * group that takes long, and others wait for the lock.
 *
 * Context: process context of the user; may sleep.
 * Return: the user, to be given to nvfs_quota_put(); NULL without memory.
 */
struct nvfs_quota *nvfs_quota_get(void)
{
	struct nvfs_quota *quota, *new;

	mutex_lock(&quotas_lock);
	quota = quota_find(current_euid());
	mutex_unlock(&quotas_lock);
	if (quota)
		return quota;

	new = kzalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	new->uid = current_euid();
	new->opens = 1;
	mutex_lock(&quotas_lock);
	/* Somebody may have been first */
	quota = quota_find(current_euid());
	if (!quota)
		list_add_tail(&new->node, &quotas);
	mutex_unlock(&quotas_lock);
	if (!quota)
		return new;
	kfree(new);
	return quota;
}

/**
 * nvfs_quota_put() - an open file of the user is gone
 * @quota: the user; nothing of the file is pinned any more
 *
 * Context: may sleep.
 */
void nvfs_quota_put(struct nvfs_quota *quota)
{
	mutex_lock(&quotas_lock);
	if (--quota->opens)
		quota = NULL;
	else
		list_del(&quota->node);
	mutex_unlock(&quotas_lock);
	kfree(quota);
}

/**
 * nvfs_quota_limit() - what a user may have pinned
 *
 * Return: bytes; 0 for any number.
 */
u64 nvfs_quota_limit(void)
{
	return (u64)READ_ONCE(pin_limit_mib) * SZ_1M;
}

/**
 * nvfs_quota_charge() - GPU memory is about to be pinned for a user
 * @quota: the user
 * @len: bytes
 *
 * Who has CAP_SYS_RESOURCE is counted but not limited, as with other quotas.
 *
 * Context: process context of who asks for it.
 * Return: 0, to be undone by nvfs_quota_uncharge(); -EDQUOT beyond the limit.
 */
int nvfs_quota_charge(struct nvfs_quota *quota, u64 len)
{
	s64 old = atomic64_read(&quota->pinned);
	u64 limit = nvfs_quota_limit();
	s64 new;

	do {
		if (check_add_overflow(old, len, &new))
			return -EFAULT;
		if (limit && new > limit && !capable(CAP_SYS_RESOURCE))
			return -EDQUOT;
		/* No bus has so much: not to be counted even while the provider
		 * refuses it, as others of the user would be refused meanwhile
		 */
		if (len > BIT_ULL(MAX_PHYSMEM_BITS))
			return -EFAULT;
	} while (!atomic64_try_cmpxchg(&quota->pinned, &old, new));
	return 0;
}

/**
 * nvfs_quota_uncharge() - the memory is not pinned any more
 * @quota: the user
 * @len: bytes, as charged
 *
 * Context: any.
 */
void nvfs_quota_uncharge(struct nvfs_quota *quota, u64 len)
{
	atomic64_sub(len, &quota->pinned);
}

/**
 * nvfs_quota_each() - call a function for each user who has the device open
 * @call: the function; it must not get or put a user
 * @data: its argument
 *
 * Context: may sleep.
 */
void nvfs_quota_each(void (*call)(const struct nvfs_quota *quota, void *data),
		     void *data)
{
	struct nvfs_quota *quota;

	mutex_lock(&quotas_lock);
	list_for_each_entry(quota, &quotas, node)
		call(quota, data);
	mutex_unlock(&quotas_lock);
}
