// SPDX-License-Identifier: MIT
/*
 * Latencies.  Up to 128 each number has a bucket of its own; from there on
 * each power of two is cut into 64, so a bucket is at most 1/64 wide.
 */
#include "bench.h"

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < 2 * BENCH_HIST_SUB)
		return (unsigned int)ns;
	shift = 57U - (unsigned int)__builtin_clzll(ns);
	return shift * BENCH_HIST_SUB + (unsigned int)(ns >> shift);
}

/* The largest number in a bucket. */
static uint64_t top_of(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * BENCH_HIST_SUB)
		return bucket;
	shift = bucket / BENCH_HIST_SUB - 1;
	return (((uint64_t)bucket - shift * BENCH_HIST_SUB + 1) << shift) - 1;
}

void bench_hist_add(struct bench_hist *hist, uint64_t ns)
{
	hist->buckets[bucket_of(ns)]++;
	hist->count++;
	hist->sum += ns;
	if (ns > hist->max)
		hist->max = ns;
}

void bench_hist_merge(struct bench_hist *to, const struct bench_hist *from)
{
	for (unsigned int i = 0; i < BENCH_HIST_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
	to->count += from->count;
	to->sum += from->sum;
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t bench_hist_at(const struct bench_hist *hist, unsigned int per_mille)
{
	uint64_t rank, seen = 0;

	if (!hist->count)
		return 0;
	/* Rounded up: the 99th percentile of two is the second. */
	rank = (uint64_t)(((__uint128_t)hist->count * per_mille + 999) / 1000);
	for (unsigned int i = 0; i < BENCH_HIST_BUCKETS; i++) {
		seen += hist->buckets[i];
		if (seen >= rank && seen)
			return top_of(i) < hist->max ? top_of(i) : hist->max;
	}
	return hist->max;
}

uint64_t bench_hist_mean(const struct bench_hist *hist)
{
	return hist->count ? hist->sum / hist->count : 0;
}
