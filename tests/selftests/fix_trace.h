/* SPDX-License-Identifier: MIT */
/* What the module traces while a test runs, as text or added up. */
#ifndef NVFS_TEST_FIX_TRACE_H
#define NVFS_TEST_FIX_TRACE_H

#include "fix.h"

#define TRACING	"/sys/kernel/tracing"
#define TRACE_OWN TRACING "/instances/nvfs-test"

/* Writes a word to a file of the kernel; demands success. */
void kernel_put(const char *path, const char *word);

/* From here on all events of the module are traced, in an instance of our own. */
void trace_begin(void);
/* An enabled event keeps the module loaded, so this also runs when a test fails. */
void trace_end(void);
/* What has been traced since trace_begin(), in order. */
const char *trace_read(void);

/* What the requests of a trace came to. */
struct trace_sum {
	long long submits;
	long long writes;	/* of these */
	long long async;	/* of these */
	long long completes;
	long long errors;	/* of these */
	long long done;		/* bytes */
	long long direct_steps;
	long long bounce_steps;
	long long bvecs;
	long long retries;
	long long routes[4];	/* requests, by enum nvfs_route */
};

/*
 * Adds the requests of a trace up. Demands that each is submitted, and ends,
 * once; that its steps and retries lie between; and that none is left.
 */
void trace_add_up(const char *text, struct trace_sum *sum);

#endif /* NVFS_TEST_FIX_TRACE_H */
