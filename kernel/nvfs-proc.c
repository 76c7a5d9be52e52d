// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/nvfs: what the module counts, one "name value" a line, for people and
 * programs.  Formats only; nvfs-stat computes.  nvfs-proc-show.c has the files
 * that say what there is.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-proc.h"
#include "nvfs-stat-hist.h"
#include "nvfs-stat-user.h"
#include "nvfs-stat.h"

/* A level: what began less what ended, whatever was reset meanwhile */
static void level_show(struct seq_file *m, const char *name,
		       enum nvfs_stat begun, enum nvfs_stat ended)
{
	/* In this order: what ends meanwhile has begun */
	u64 gone = nvfs_stat_total(ended);

	seq_printf(m, "%s %llu\n", name, nvfs_stat_total(begun) - gone);
}

static int stats_show(struct seq_file *m, void *v)
{
	level_show(m, "regions_live", NVFS_STAT_regions_registered,
		   NVFS_STAT_regions_ended);
	level_show(m, "bytes_pinned_now", NVFS_STAT_bytes_pinned,
		   NVFS_STAT_bytes_unpinned);
	level_show(m, "files_open", NVFS_STAT_opens, NVFS_STAT_closes);
	level_show(m, "gpus_known", NVFS_STAT_gpus_found, NVFS_STAT_gpus_gone);
	level_show(m, "maps_live", NVFS_STAT_maps, NVFS_STAT_unmaps);
	nvfs_stat_show(m, NVFS_STAT_GROUP_MODULE);
	return 0;
}

static int io_stats_show(struct seq_file *m, void *v)
{
	level_show(m, "read_inflight", NVFS_STAT_read_started,
		   NVFS_STAT_read_ended);
	level_show(m, "write_inflight", NVFS_STAT_write_started,
		   NVFS_STAT_write_ended);
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

/* "reset", with or without the newline of an echo, and nothing else */
static ssize_t stats_write(struct file *file, const char __user *from,
			   size_t len, loff_t *pos)
{
	char text[] = "reset\n";

	/* Who opened it, and not who was made to write to it */
	if (!file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN))
		return -EPERM;
	if (len != sizeof(text) - 1 && len != sizeof(text) - 2)
		return -EINVAL;
	if (copy_from_user(text, from, len))
		return -EFAULT;
	if (memcmp(text, "reset\n", len))
		return -EINVAL;
	nvfs_stat_reset();
	nvfs_hist_reset();
	nvfs_user_reset();
	nvfs_block_refused_reset();
	nvfs_io_refused_reset();
	return len;
}

static int stats_open(struct inode *inode, struct file *file)
{
	return single_open(file, stats_show, NULL);
}

static const struct proc_ops stats_ops = {
	.proc_open = stats_open,
	.proc_read_iter = seq_read_iter,
	.proc_write = stats_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

/* The other files; everybody may read them, and sees what is for everybody */
static const struct {
	const char *name;
	int (*show)(struct seq_file *m, void *v);
} files[] = {
	{ "io_stats", io_stats_show },
	{ "latency", latency_show },
	{ "version", nvfs_proc_version_show },
	{ "devices", nvfs_proc_devices_show },
	{ "peers", nvfs_proc_peers_show },
	{ "regions", nvfs_proc_regions_show },
	{ "usage", nvfs_proc_usage_show },
	{ "users", nvfs_proc_users_show },
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
	if (!proc_create("stats", 0644, dir, &stats_ops))
		goto err_exit;
	for (i = 0; i < ARRAY_SIZE(files); i++)
		if (!proc_create_single(files[i].name, 0444, dir,
					files[i].show))
			goto err_exit;
	return 0;

err_exit:
	nvfs_proc_exit();
	return -ENOMEM;
}

/**
 * nvfs_proc_exit() - remove /proc/nvfs
 */
void nvfs_proc_exit(void)
{
	remove_proc_subtree("nvfs", NULL);
}
