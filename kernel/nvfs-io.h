/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_H
#define _NVFS_IO_H

#include <uapi/nvfs.h>

struct nvfs_regions;

int nvfs_io_rw(struct nvfs_regions *regions, struct nvfs_rw *args, bool write);
int nvfs_io_query(struct nvfs_regions *regions, struct nvfs_query *args);

#endif /* _NVFS_IO_H */
