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

/**
 * struct side - one library
 * @name: of it
 * @open, @close: time in seconds is told by the caller's clock
 * @enroll: register the device buffer
 * @move: one synchronous request at @offset of file and buffer; bytes or -1
 * @batch: BATCH reads of 4 KiB, file offsets at @offsets, memory at @slots; 0
 */
struct side {
	const char *name;
	int (*open)(const struct bench *bench);
	void (*close)(void);
	int (*enroll)(void);
	int64_t (*move)(uint64_t offset, uint64_t length, bool write);
	int (*batch)(const uint64_t *offsets, const uint64_t *slots);
};

extern const struct side side_nvfs;
extern const struct side side_cufile;

/* Which libcufile; NULL: the dynamic linker's. */
extern const char *cufile_path;

/* Ring of pinned buffers: bytes per second; 0 when there can be none. */
double ring_rate(const struct bench *bench, unsigned int threads,
		 uint64_t chunk, bool write);

double now(void);

#endif /* BENCH_THROUGHPUT_H */
