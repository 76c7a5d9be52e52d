/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_PROC_H
#define _NVFS_PROC_H

int nvfs_proc_init(void);
void nvfs_proc_exit(void);

#endif /* _NVFS_PROC_H */
