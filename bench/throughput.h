/* SPDX-License-Identifier: MIT */
/* What the parts of the throughput benchmark share. */
#ifndef BENCH_THROUGHPUT_H
#define BENCH_THROUGHPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "gpu.h"

#define MOST_THREADS	64U
#define BATCH		128U

/**
 * struct bench - what is measured on
 * @fd: the file, for the libraries
 * @plain: the same without O_DIRECT, for ourselves
 * @bytes: its length, and that of the device buffer
 * @gpu: the device buffer
 * @seconds: how long each measurement lasts
 */
struct bench {
	const struct gpu_driver *driver;
	const char *path;
	int fd;
	int plain;
	uint64_t bytes;
	uint64_t gpu;
	double seconds;
};

/*
 * One library, through the functions of cuFile, as its users call it. Each of
 * them has its own libcufile.so.0; that they have the names in common does no
 * harm. Functions return 0 or -1.
 */
struct side;

/*
 * side_make() - load it
 * @name: what it is called in the results
 * @path: for dlopen(3)
 * @bench: file and buffer
 *
 * Returns NULL after a message. There is no way back: a library that has been
 * used stays.
 */
struct side *side_make(const char *name, const char *path,
		       const struct bench *bench);
const char *side_name(const struct side *side);
/* Is it one library that was loaded twice? */
bool side_is_same(const struct side *side, const struct side *other);
/* Open library and file. */
int side_open(struct side *side);
void side_close(struct side *side);
/* Register the device buffer. */
int side_enroll(struct side *side);
/* One synchronous request at @offset of file and buffer; bytes or -1. */
int64_t side_move(struct side *side, uint64_t offset, uint64_t length,
		  bool write);
/* BATCH reads of 4 KiB, file offsets at @offsets, memory at @slots. */
int side_batch(struct side *side, const uint64_t *offsets,
	       const uint64_t *slots);

/* Ring of pinned buffers: bytes per second; 0 when there can be none. */
double ring_rate(const struct bench *bench, unsigned int threads,
		 uint64_t chunk, bool write);

double now(void);

#endif /* BENCH_THROUGHPUT_H */
