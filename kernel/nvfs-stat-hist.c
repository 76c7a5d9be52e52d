// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long requests take.  Counters only grow, so that nobody has to stop a CPU
 * that counts: a reset remembers where they stood.
 */
#include <linux/cpumask.h>
#include <linux/kstrtox.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "nvfs-stat-hist.h"

DEFINE_STATIC_KEY_FALSE(nvfs_hist_on);
struct nvfs_hist __percpu *nvfs_hist;

/* Guards the switch and @hist_base */
static DEFINE_MUTEX(hist_lock);
/* Where the counters stood at the last reset */
static struct nvfs_hist *hist_base;

/**
 * nvfs_hist_switch() - switch histograms on or off
 * @on: on
 *
 * Memory is taken when they are switched on for the first time, and kept: a
 * request may be counting.  What was counted stays.
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM.
 */
int nvfs_hist_switch(bool on)
{
	int ret = 0;

	mutex_lock(&hist_lock);
	if (on && !hist_base)
		hist_base = kzalloc(sizeof(*hist_base), GFP_KERNEL);
	if (on && !nvfs_hist)
		nvfs_hist = alloc_percpu(struct nvfs_hist);
	if (on && (!hist_base || !nvfs_hist))
		ret = -ENOMEM;
	else if (on)
		static_branch_enable(&nvfs_hist_on);
	else
		static_branch_disable(&nvfs_hist_on);
	mutex_unlock(&hist_lock);
	return ret;
}

static int hist_param_set(const char *text, const struct kernel_param *param)
{
	bool on;
	int ret = kstrtobool(text, &on);

	return ret ? ret : nvfs_hist_switch(on);
}

static int hist_param_get(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "%c\n",
			  static_key_enabled(&nvfs_hist_on) ? 'Y' : 'N');
}

static const struct kernel_param_ops hist_param = {
	.set = hist_param_set,
	.get = hist_param_get,
};

module_param_cb(latency, &hist_param, NULL, 0644);
MODULE_PARM_DESC(latency, "Count how long requests take (default: off)");

/* One bucket over all CPUs since the module was loaded */
static u64 bucket_total(bool write, unsigned int class, unsigned int bucket)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(nvfs_hist, cpu)
				 ->count[write][class][bucket]);
	return sum;
}

/* The same with those that seemed to end before they began in the first one */
static u64 hist_total(bool write, unsigned int class, unsigned int bucket)
{
	if (bucket == NVFS_HIST_BUCKETS - 1)
		return 0;
	return bucket_total(write, class, bucket) +
	       (bucket ? 0 : bucket_total(write, class,
					  NVFS_HIST_BUCKETS - 1));
}

/**
 * nvfs_hist_sum() - requests in a bucket since the last reset
 * @write: GPU to file
 * @class: class of their size
 * @bucket: bucket of their duration
 *
 * Context: process context.
 * Return: how many; CPUs that count meanwhile may or may not be seen.
 */
u64 nvfs_hist_sum(bool write, unsigned int class, unsigned int bucket)
{
	u64 sum = 0;

	mutex_lock(&hist_lock);
	if (nvfs_hist && hist_base)
		sum = hist_total(write, class, bucket) -
		      hist_base->count[write][class][bucket];
	mutex_unlock(&hist_lock);
	return sum;
}

/**
 * nvfs_hist_reset() - begin anew
 *
 * Context: process context.
 */
void nvfs_hist_reset(void)
{
	unsigned int way, class, bucket;

	mutex_lock(&hist_lock);
	for (way = 0; way < 2 && nvfs_hist && hist_base; way++)
		for (class = 0; class < NVFS_HIST_CLASSES; class++)
			for (bucket = 0; bucket < NVFS_HIST_BUCKETS; bucket++)
				hist_base->count[way][class][bucket] =
					hist_total(way, class, bucket);
	mutex_unlock(&hist_lock);
}

/**
 * nvfs_hist_below_ns() - the end of a bucket
 * @bucket: the bucket
 * @khz: cycles in a millisecond
 *
 * Pure.
 *
 * Return: nanoseconds, rounded up; U64_MAX when they are more than fit.
 */
u64 nvfs_hist_below_ns(unsigned int bucket, u32 khz)
{
	/* a little longer and it would not fit; it is more than an hour */
	if (bucket >= 43 || !khz)
		return U64_MAX;
	return div_u64((2000000ULL << bucket) + khz - 1, khz);
}

/* The requests of one direction and size; a line for each bucket in use */
static void class_show(struct seq_file *m, bool write, unsigned int class)
{
	u32 khz = nvfs_compat_cycles_khz();
	unsigned int bucket;

	for (bucket = 0; bucket < NVFS_HIST_BUCKETS; bucket++) {
		u64 nr = nvfs_hist_sum(write, class, bucket);

		if (!nr)
			continue;
		seq_printf(m, "latency %s from_bytes=%llu",
			   write ? "write" : "read",
			   class ? 4096ULL << class : 0);
		seq_printf(m, " below_ns=%llu requests=%llu\n",
			   nvfs_hist_below_ns(bucket, khz), nr);
	}
}

/**
 * nvfs_hist_show() - print the histograms
 * @m: where to
 *
 * Context: process context.
 */
void nvfs_hist_show(struct seq_file *m)
{
	unsigned int way, class;

	seq_printf(m, "counting %s\n",
		   static_key_enabled(&nvfs_hist_on) ? "yes" : "no");
	for (way = 0; way < 2; way++)
		for (class = 0; class < NVFS_HIST_CLASSES; class++)
			class_show(m, way, class);
}

/**
 * nvfs_hist_exit() - give the memory up
 *
 * Context: module unload, or a load that failed; no request runs.
 */
void nvfs_hist_exit(void)
{
	nvfs_hist_switch(false);
	free_percpu(nvfs_hist);
	kfree(hist_base);
	nvfs_hist = NULL;
	hist_base = NULL;
}
