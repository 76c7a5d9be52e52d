// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters.  Each CPU has its own copy and only adds to it, so counting costs
 * a request one instruction per counter and no shared cache line.  A sum is
 * taken when somebody looks; it is exact when nothing runs.
 */
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>

#include "nvfs-stat.h"
#include "nvfs-trace-watch.h"

DEFINE_PER_CPU(struct nvfs_counters, nvfs_counters);

DEFINE_STATIC_KEY_FALSE(nvfs_watched);

bool nvfs_debug;
module_param_named(debug, nvfs_debug, bool, 0644);
MODULE_PARM_DESC(debug, "Print debug messages (default: off)");

/* What a counter is called and where it is shown */
static const struct {
	const char *name;
	enum nvfs_stat_group group;
} stat_info[NVFS_STAT_NR] = {
#define NVFS_COUNTER(group, name) { #name, NVFS_STAT_GROUP_##group },
#include "nvfs-stat-list.h"
#undef NVFS_COUNTER
};

/* Guards what is written to @stat_base */
static DEFINE_MUTEX(reset_lock);
/* Where the counters stood at the last reset: nobody stops a CPU that counts */
static u64 stat_base[NVFS_STAT_NR];

/**
 * nvfs_stat_total() - a counter's value over all CPUs since the module was loaded
 * @stat: the counter
 *
 * Context: any.
 * Return: the sum; CPUs that count meanwhile may or may not be seen.
 */
u64 nvfs_stat_total(enum nvfs_stat stat)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(nvfs_counters, cpu).v[stat]);
	return sum;
}

/**
 * nvfs_stat_sum() - a counter's value since the last reset
 * @stat: the counter
 *
 * Context: any.
 * Return: as nvfs_stat_total().
 */
u64 nvfs_stat_sum(enum nvfs_stat stat)
{
	u64 base = READ_ONCE(stat_base[stat]);

	/* After it, so that it can't be larger */
	smp_rmb();
	return nvfs_stat_total(stat) - base;
}

/**
 * nvfs_stat_reset() - all counters begin anew
 *
 * Context: may sleep.
 */
void nvfs_stat_reset(void)
{
	int i;

	mutex_lock(&reset_lock);
	for (i = 0; i < NVFS_STAT_NR; i++)
		WRITE_ONCE(stat_base[i], nvfs_stat_total(i));
	mutex_unlock(&reset_lock);
}

/**
 * nvfs_watch_begin() - somebody begins to look at single requests
 *
 * Context: may sleep; a tracepoint calls it when it is switched on.
 * Return: 0.
 */
int nvfs_watch_begin(void)
{
	static_branch_inc(&nvfs_watched);
	return 0;
}

/**
 * nvfs_watch_end() - undo nvfs_watch_begin()
 *
 * Context: may sleep.
 */
void nvfs_watch_end(void)
{
	static_branch_dec(&nvfs_watched);
}

/**
 * nvfs_stat_show() - print the counters of one file, "name value" a line
 * @m: where to
 * @group: which file
 *
 * Context: process context.
 */
void nvfs_stat_show(struct seq_file *m, enum nvfs_stat_group group)
{
	int i;

	for (i = 0; i < NVFS_STAT_NR; i++)
		if (stat_info[i].group == group)
			seq_printf(m, "%s %llu\n", stat_info[i].name,
				   nvfs_stat_sum(i));
}
