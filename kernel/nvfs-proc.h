/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_PROC_H
#define _NVFS_PROC_H

struct seq_file;

int nvfs_proc_init(void);
void nvfs_proc_exit(void);

/* nvfs-proc-show.c */
int nvfs_proc_version_show(struct seq_file *m, void *v);
int nvfs_proc_devices_show(struct seq_file *m, void *v);
int nvfs_proc_peers_show(struct seq_file *m, void *v);
int nvfs_proc_regions_show(struct seq_file *m, void *v);
int nvfs_proc_usage_show(struct seq_file *m, void *v);
int nvfs_proc_users_show(struct seq_file *m, void *v);

#endif /* _NVFS_PROC_H */
