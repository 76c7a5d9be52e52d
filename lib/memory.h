/* SPDX-License-Identifier: MIT */
/* memory.c: how much memory there is, for who wants some that can't be dropped. */
#ifndef LIBNVFS_MEMORY_H
#define LIBNVFS_MEMORY_H

#include <stdint.h>

/* Bytes: the machine's, or what the control groups of this process leave of it. */
uint64_t memory_most(void);
/*
 * Bytes that are free, or can be made so: without file pages that some device reads or
 * writes, which the kernel counts as such.
 */
uint64_t memory_left(void);

/*
 * A file of @length bytes in memory, all zero, that has no name and is closed on exec: its
 * descriptor, or a negative errno value.
 */
int memory_file(uint64_t length);

#endif /* LIBNVFS_MEMORY_H */
