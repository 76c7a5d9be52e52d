/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MMAP_OWNER_H
#define _NVFS_MMAP_OWNER_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/uidgid.h>

#include <uapi/nvfs.h>

struct nvfs_regions;
struct pid;

/**
 * struct nvfs_owner - who opened a file of the device
 * @node: in the list of owners
 * @uid: the user, as whom the process acted
 * @pid: the process
 * @regions: what was registered on the file
 */
struct nvfs_owner {
	struct list_head node;
	kuid_t uid;
	struct pid *pid;
	struct nvfs_regions *regions;
};

/**
 * struct nvfs_viewer - who wants to see regions
 * @uid: the user
 * @all: may see those of others, too
 */
struct nvfs_viewer {
	kuid_t uid;
	bool all;
};

/**
 * struct nvfs_region_info - a region, for people
 * @pid: the process that opened the file, in the viewer's pid namespace
 * @id: its id on that file
 * @len: bytes
 * @dead: its memory has been taken back
 * @live: it takes requests; what follows is known of live regions only
 * @pinned: bytes of GPU memory that are pinned for it, in whole pages
 * @persistent: the memory stays when its owner frees it
 * @nr_pieces: runs of contiguous bus addresses
 * @gpu: the GPU's address, as in the uapi
 * @source: where the struct pages come from
 */
struct nvfs_region_info {
	pid_t pid;
	u32 id;
	u64 len;
	bool dead;
	bool live;
	u64 pinned;
	bool persistent;
	u32 nr_pieces;
	u32 gpu;
	enum nvfs_page_source source;
};

void nvfs_owner_begin(struct nvfs_owner *owner, struct nvfs_regions *regions);
void nvfs_owner_end(struct nvfs_owner *owner);
void nvfs_owner_each_region(const struct nvfs_viewer *viewer,
			    void (*call)(const struct nvfs_region_info *info,
					 void *data),
			    void *data);

#endif /* _NVFS_MMAP_OWNER_H */
