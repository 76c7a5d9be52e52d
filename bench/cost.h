/* SPDX-License-Identifier: MIT */
/*
 * Instructions per request, measured in a guest whose time stamp counter counts
 * executed instructions (QEMU, -icount shift=0).
 */
#ifndef COST_H
#define COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB			1024UL
#define MIB			(1024 * KIB)
#define COST_BUFFER_SIZE	MIB
#define COST_BATCH		64

/**
 * struct cost_case - one thing to measure
 * @name: what the host program knows it by
 * @run: does it once; 0 or a negative errno
 * @arg: given to @run: bytes of each request
 * @rounds: how often it is measured
 * @requests: requests that one run makes
 */
struct cost_case {
	const char *name;
	int (*run)(size_t arg);
	size_t arg;
	unsigned int rounds;
	unsigned int requests;
};

/* The groups of cases; each ends with a case that has no name. */
extern const struct cost_case cost_host_cases[];
extern const struct cost_case cost_ring_cases[];
extern const struct cost_case cost_nvfs_cases[];

/*
 * Get ready; 0 or a negative errno.  @disk is a block device opened for
 * O_DIRECT.  The order is host, NVFS, ring: the ring uses what they made.
 */
int cost_host_setup(int disk);
int cost_nvfs_setup(int disk);
int cost_ring_setup(int disk);

/* Host memory of COST_BUFFER_SIZE bytes, no two pages of which are neighbours */
void *cost_host_buffer(void);

/* The device and the region of COST_BUFFER_SIZE bytes; fd -1: there are none */
int cost_nvfs_fd(void);
uint32_t cost_nvfs_region(void);

#endif
