// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/nvfs: what the module counts, one "name value" a line, for people and
 * programs.  Formats only; nvfs-stat computes.  nvfs-proc-show.c has the files
 * that say what there is.
 */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-proc.h"
#include "nvfs-stat-hist.h"
#include "nvfs-stat.h"

static int stats_show(struct seq_file *m, void *v)
{
	u64 regions = nvfs_stat_sum(NVFS_STAT_regions_registered) -
		      nvfs_stat_sum(NVFS_STAT_regions_ended);
	u64 pinned = nvfs_stat_sum(NVFS_STAT_bytes_pinned) -
		     nvfs_stat_sum(NVFS_STAT_bytes_unpinned);

	seq_printf(m, "regions_live %llu\n", regions);
	seq_printf(m, "bytes_pinned_now %llu\n", pinned);
	nvfs_stat_show(m, NVFS_STAT_GROUP_MODULE);
	return 0;
}

static int io_stats_show(struct seq_file *m, void *v)
{
	u64 reads = nvfs_stat_sum(NVFS_STAT_read_started) -
		    nvfs_stat_sum(NVFS_STAT_read_ended);
	u64 writes = nvfs_stat_sum(NVFS_STAT_write_started) -
		     nvfs_stat_sum(NVFS_STAT_write_ended);

	seq_printf(m, "read_inflight %llu\n", reads);
	seq_printf(m, "write_inflight %llu\n", writes);
	nvfs_stat_show(m, NVFS_STAT_GROUP_IO);
	nvfs_block_refused_show(m);
	nvfs_io_refused_show(m);
	return 0;
}

static int latency_show(struct seq_file *m, void *v)
{
	nvfs_hist_show(m);
	return 0;
}

/* The files; everybody may read all of them, and sees what is for everybody */
static const struct {
	const char *name;
	int (*show)(struct seq_file *m, void *v);
} files[] = {
	{ "stats", stats_show },
	{ "io_stats", io_stats_show },
	{ "latency", latency_show },
	{ "version", nvfs_proc_version_show },
	{ "devices", nvfs_proc_devices_show },
	{ "peers", nvfs_proc_peers_show },
	{ "regions", nvfs_proc_regions_show },
};

/**
 * nvfs_proc_init() - make /proc/nvfs
 *
 * Return: 0; -ENOMEM.
 */
int nvfs_proc_init(void)
{
	struct proc_dir_entry *dir = proc_mkdir("nvfs", NULL);
	size_t i;

	if (!dir)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (!proc_create_single(files[i].name, 0444, dir,
					files[i].show)) {
			nvfs_proc_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * nvfs_proc_exit() - remove /proc/nvfs
 */
void nvfs_proc_exit(void)
{
	remove_proc_subtree("nvfs", NULL);
}
