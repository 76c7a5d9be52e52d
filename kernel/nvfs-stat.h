/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_STAT_H
#define _NVFS_STAT_H

#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/types.h>

struct seq_file;

/* Index of a counter: NVFS_STAT_<name>; NVFS_STAT_NR is how many there are */
enum nvfs_stat {
#define NVFS_COUNTER(group, name) NVFS_STAT_##name,
#include "nvfs-stat-list.h"
#undef NVFS_COUNTER
	NVFS_STAT_NR
};

/**
 * enum nvfs_stat_group - the file of /proc/nvfs that shows a counter
 * @NVFS_STAT_GROUP_MODULE: stats
 * @NVFS_STAT_GROUP_IO: io_stats
 */
enum nvfs_stat_group {
	NVFS_STAT_GROUP_MODULE,
	NVFS_STAT_GROUP_IO,
};

/**
 * struct nvfs_counters - one CPU's share of all counters
 * @v: the counters
 */
struct nvfs_counters {
	u64 v[NVFS_STAT_NR];
};

DECLARE_PER_CPU(struct nvfs_counters, nvfs_counters);

extern bool nvfs_debug;

#define nvfs_stat_add(name, n) \
	this_cpu_add(nvfs_counters.v[NVFS_STAT_##name], (n))
#define nvfs_stat_inc(name) nvfs_stat_add(name, 1)

/*
 * Debug messages: all of them with the module parameter debug=1, single ones
 * by dynamic debug.  Never on the path of a request that succeeds.
 */
#define nvfs_dbg(fmt, ...)						\
do {									\
	if (unlikely(READ_ONCE(nvfs_debug)))				\
		pr_info_ratelimited(fmt, ##__VA_ARGS__);		\
	else								\
		pr_debug(fmt, ##__VA_ARGS__);				\
} while (0)

u64 nvfs_stat_total(enum nvfs_stat stat);
u64 nvfs_stat_sum(enum nvfs_stat stat);
void nvfs_stat_reset(void);
void nvfs_stat_show(struct seq_file *m, enum nvfs_stat_group group);

#endif /* _NVFS_STAT_H */
