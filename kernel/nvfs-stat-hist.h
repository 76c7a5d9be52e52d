/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long requests take: histograms by direction and size.
 *
 * Off, this costs a request two jumps that are not taken.  On, it counts in
 * cycles and on its own CPU; everything else is done by whoever looks.
 */
#ifndef _NVFS_STAT_HIST_H
#define _NVFS_STAT_HIST_H

#include <linux/bitops.h>
#include <linux/jump_label.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/timex.h>
#include <linux/types.h>

struct seq_file;

/* Powers of two all of them, so that finding the counter costs little.
 * Class n of sizes: from 4 KiB << n, below twice that; the first also what is
 * smaller, the last all above.
 */
#define NVFS_HIST_CLASSES	16
/* Bucket n of durations: from 2^n cycles, below twice that; the first also none;
 * the last: another CPU's clock is behind, so it was short
 */
#define NVFS_HIST_BUCKETS	64

/**
 * struct nvfs_hist - one CPU's share of the histograms
 * @count: requests, by direction (1: GPU to file), size and duration
 */
struct nvfs_hist {
	u64 count[2][NVFS_HIST_CLASSES][NVFS_HIST_BUCKETS];
};

DECLARE_STATIC_KEY_FALSE(nvfs_hist_on);
extern struct nvfs_hist __percpu *nvfs_hist;

/**
 * nvfs_hist_class() - the class of a size
 * @len: bytes
 *
 * Pure.
 *
 * Return: below NVFS_HIST_CLASSES.
 */
static inline unsigned int nvfs_hist_class(u64 len)
{
	return min_t(unsigned int, __fls(len >> 12 | 1), NVFS_HIST_CLASSES - 1);
}

/**
 * nvfs_hist_bucket() - the bucket of a duration
 * @cycles: the duration; wrapped when two CPUs disagree
 *
 * Pure.
 *
 * Return: below NVFS_HIST_BUCKETS.
 */
static inline unsigned long nvfs_hist_bucket(u64 cycles)
{
	return __fls(cycles | 1);
}

/**
 * nvfs_hist_begin() - a request begins
 * @begun: out: for nvfs_hist_end(); 0 while histograms are off
 */
static __always_inline void nvfs_hist_begin(u64 *begun)
{
	/* Once for both ways would be one instruction more for nobody */
	WRITE_ONCE(*begun, 0);
	if (static_branch_unlikely(&nvfs_hist_on))
		*begun = get_cycles();
}

/**
 * nvfs_hist_end() - the request has ended
 * @begun: from nvfs_hist_begin(), perhaps on another CPU
 * @write: GPU to file
 * @len: bytes asked for
 *
 * Context: any.
 */
static inline void nvfs_hist_end(u64 begun, bool write, u64 len)
{
	if (static_branch_unlikely(&nvfs_hist_on) && begun)
		this_cpu_inc(nvfs_hist->count[write][nvfs_hist_class(len)]
			     [nvfs_hist_bucket(get_cycles() - begun)]);
}

/**
 * nvfs_hist_end_short() - nvfs_hist_end() for a request of the short way
 * @begun: from nvfs_hist_begin(); not read while histograms are off
 * @write: GPU to file; a constant
 * @len: bytes asked for, not more than fit into the last class
 *
 * Context: any.
 */
static __always_inline void nvfs_hist_end_short(const u64 *begun,
						const bool write, u64 len)
{
	u64 __percpu *count;

	if (!static_branch_unlikely(&nvfs_hist_on) || !*begun)
		return;
	count = &nvfs_hist->count[write][0][0] +
		(__fls(len | 4096) - 12) * NVFS_HIST_BUCKETS +
		nvfs_hist_bucket(get_cycles() - *begun);
	this_cpu_inc(*count);
}

u64 nvfs_hist_below_ns(unsigned int bucket, u32 khz);
u64 nvfs_hist_sum(bool write, unsigned int class, unsigned int bucket);
int nvfs_hist_switch(bool on);
void nvfs_hist_reset(void);
void nvfs_hist_show(struct seq_file *m);
void nvfs_hist_exit(void);

#endif /* _NVFS_STAT_HIST_H */
