/* SPDX-License-Identifier: MIT */
/* host_pin.c: reads of what the page cache has, by the GPU from where it lies. */
#ifndef LIBNVFS_HOST_PIN_H
#define LIBNVFS_HOST_PIN_H

#include <stdbool.h>
#include <stdint.h>

struct engine_file;
struct job;

/* Only where it is allowed, as it is unless this says something else. */
void host_pin_allow(bool allowed);

/*
 * Read all of @job's one request so, before it has a shape; its GPU's port is there.
 * False: it is to be read in another way.  What was brought to its buffer meanwhile
 * does not count.
 */
bool host_pin_read(struct job *job);
/* The file's last request has ended.  Not by a thread of the crew. */
void host_pin_close(struct engine_file *file);
/* The last request of all files; before the crew and the driver are closed. */
void host_pin_end(void);

/**
 * struct host_pin_calls - what tests put something in the place of
 * @absent: as abi_pages_absent()
 * @idle_ns: a block that was used in this time is not given up for another
 * @most: bytes of all files that are registered; 0: a share of the memory there is
 * @blocks: likewise, blocks
 */
struct host_pin_calls {
	int (*absent)(int pagemap, const void *at, uint64_t length);
	uint64_t idle_ns;
	uint64_t most;
	unsigned int blocks;
};

/* NULL puts the kernel back. */
void host_pin_set_calls(const struct host_pin_calls *by);

#endif /* LIBNVFS_HOST_PIN_H */
