/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is told of single requests, to whoever looks at them: called only where
 * nvfs_is_watched().
 */
#ifndef _NVFS_IO_WATCH_H
#define _NVFS_IO_WATCH_H

#include <linux/types.h>

#include "nvfs-trace-watch.h"

struct file;
struct nvfs_io;
struct nvfs_region;

void nvfs_watch_submit(const struct nvfs_io *io);
void nvfs_watch_submit_fast(const void *id, const struct nvfs_region *region,
			    u64 off, u64 pos, u64 len, bool write);
void nvfs_watch_dma(const void *id, u64 pos, u64 len, u32 bvecs, u32 route);
void nvfs_watch_moved(const void *id, const struct nvfs_region *region,
		      const struct file *file, u64 len, bool write);
void nvfs_watch_moved_io(const struct nvfs_io *io);
void nvfs_watch_ended(const struct nvfs_io *io);

#endif /* _NVFS_IO_WATCH_H */
