/* SPDX-License-Identifier: MIT */
/* memory.c: how much memory there is, for who wants some that can't be dropped. */
#ifndef LIBNVFS_MEMORY_H
#define LIBNVFS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes: the machine's, or what the control groups of this process leave of it. */
uint64_t memory_most(void);
/*
 * Bytes that are free, or can be made so: without file pages that some device reads or
 * writes, which the kernel counts as such.
 */
uint64_t memory_left(void);

/**
 * struct memory_file - a file in memory that has no name, and is closed on exec
 * @fd: its descriptor, as long as the application leaves that alone
 * @mark: where that is in the file, by which it is known: nobody reads on from there
 * @dev, @ino: which file that is
 */
struct memory_file {
	int fd;
	int64_t mark;
	uint64_t dev, ino;
};

/* Of @length bytes, all zero.  0 or a negative errno value; never a signal. */
int memory_file_make(struct memory_file *file, uint64_t length);
/* Is the descriptor still that file's? */
bool memory_file_is(const struct memory_file *file);
/* Closes it, if it is. */
void memory_file_close(struct memory_file *file);

#endif /* LIBNVFS_MEMORY_H */
