/* SPDX-License-Identifier: MIT */
/*
 * Where libcufile counts: a file in memory of the process, which those who may look at
 * its descriptors (proc_pid_fd(5)) find there by its name, as nvfs stat --pid does.
 */
#ifndef CUFILE_STATS_PAGE_H
#define CUFILE_STATS_PAGE_H

#include <stdint.h>

#include "cufile.h"

#define CF_STATS_NAME		"nvfs-stats"
#define CF_STATS_MAGIC		0x7374617473667663ULL
/* Of what follows, and of the layout of the statistics. */
#define CF_STATS_VERSION	1U

/**
 * struct cf_stats_page - what it has; 64 bit words that are written one by one
 * @bytes: of all of it
 * @pid: whose, in its own namespace: a child has its parent's descriptors
 * @level: 0 to 3, what is counted; at 0 nothing is
 * @running: 1 while it is started
 * @started_us: since when, in microseconds of CLOCK_MONOTONIC
 * @ran_us: how long it was so before that
 * @refused_reads, @refused_writes: of the errors in @total, those that took no time
 * @total: what was counted; what only follows from that is 0
 */
struct cf_stats_page {
	uint64_t magic;
	uint32_t version;
	uint32_t bytes;
	uint64_t pid;
	uint64_t level;
	uint64_t running;
	uint64_t started_us;
	uint64_t ran_us;
	uint64_t refused_reads;
	uint64_t refused_writes;
	CUfileStatsLevel3_t total;
};

#endif /* CUFILE_STATS_PAGE_H */
