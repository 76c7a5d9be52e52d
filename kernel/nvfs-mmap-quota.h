/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_QUOTA_H
#define _NVFS_MMAP_QUOTA_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/uidgid.h>

/**
 * struct nvfs_quota - a user who has the device open
 * @node: in the list of users
 * @uid: who; as whom the device was opened
 * @opens: open files, under the list's lock
 * @pinned: bytes of GPU memory that are pinned for regions on these files
 */
struct nvfs_quota {
	struct list_head node;
	kuid_t uid;
	unsigned int opens;
	atomic64_t pinned;
};

struct nvfs_quota *nvfs_quota_get(void);
void nvfs_quota_put(struct nvfs_quota *quota);
int nvfs_quota_charge(struct nvfs_quota *quota, u64 len);
void nvfs_quota_uncharge(struct nvfs_quota *quota, u64 len);
u64 nvfs_quota_limit(void);
void nvfs_quota_each(void (*call)(const struct nvfs_quota *quota, void *data),
		     void *data);

#endif /* _NVFS_MMAP_QUOTA_H */
