/* SPDX-License-Identifier: MIT */
/* What the files of nvfs bench share. */
#ifndef NVFS_TOOL_BENCH_H
#define NVFS_TOOL_BENCH_H

#include <sched.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"
#include "libnvfs.h"

#define BENCH_MAX_THREADS	256U
#define BENCH_MAX_DEPTH		4096U
#define BENCH_MAX_SIZES		64U
#define BENCH_MAX_BLOCK		(4ULL << 30)
#define BENCH_UNALIGNED		777U

enum bench_op {
	BENCH_READ,
	BENCH_WRITE,
	BENCH_RANDREAD,
	BENCH_RANDWRITE,
	BENCH_VERIFY
};

/* How requests are put. */
enum bench_mode {
	BENCH_SYNC,
	BENCH_BATCH,
	BENCH_STREAM
};

/* Which way they may go. */
enum bench_way {
	BENCH_AUTO,
	BENCH_DIRECT,
	BENCH_HOST
};

/**
 * struct bench_opts - what was asked for
 * @path: a file or device, or with @is_dir a directory for a file per thread
 * @offset: first byte in the file
 * @size: bytes of the file from there; 0: all that it has
 * @sizes: bytes of one request, a run each
 * @time_ns: how long each run lasts; 0: once over the file
 * @depth: requests that a thread has under way
 * @unaligned: bytes by which offsets in file and memory are off
 * @cpu: host memory is read and written, and no GPU's: by the kind of transfer that was
 *	asked for (@cpu_xfer) or of memory (@cpu_memory)
 * @node: run on the CPUs of this NUMA node, if @has_node
 */
struct bench_opts {
	const char *path;
	bool is_dir;
	unsigned int gpu;
	unsigned int threads;
	unsigned int depth;
	enum bench_op op;
	enum bench_mode mode;
	enum bench_way way;
	uint64_t offset;
	uint64_t size;
	uint64_t sizes[BENCH_MAX_SIZES];
	unsigned int nr_sizes;
	uint64_t time_ns;
	uint64_t seed;
	unsigned int unaligned;
	unsigned int node;
	bool has_node;
	bool cpu, cpu_xfer, cpu_memory;
	bool verify;
	bool no_register;
	bool buffered;
	bool drop;
	bool force;
	bool json;
	bool quiet;
};

/* bench_parse.c: 0, or -1 after a message. */
int bench_parse(int argc, char **argv, struct bench_opts *opts);
/* "4K", "4K,64K", "4K:64K:4K" (in steps), "4K:1M:x2" (by a factor). */
int bench_parse_sizes(const char *text, struct bench_opts *opts);
const char *bench_op_name(enum bench_op op);
const char *bench_mode_name(enum bench_mode mode);
bool bench_writes(const struct bench_opts *opts);

/* bench_node.c: this thread, and those that it starts; 0, or -1 after a message. */
int bench_stay_on(unsigned int node);
int bench_parse_cpus(const char *text, cpu_set_t *set);

/* bench_stat.c: latencies, to within 1/64 of each. */

#define BENCH_HIST_SUB		64U
#define BENCH_HIST_BUCKETS	(BENCH_HIST_SUB * 59U)

struct bench_hist {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[BENCH_HIST_BUCKETS];
};

void bench_hist_add(struct bench_hist *hist, uint64_t ns);
void bench_hist_merge(struct bench_hist *to, const struct bench_hist *from);
/* The smallest known bound below which @per_mille of all are; 0 when empty. */
uint64_t bench_hist_at(const struct bench_hist *hist, unsigned int per_mille);
uint64_t bench_hist_mean(const struct bench_hist *hist);

/* bench_data.c: bytes that tell where they belong. */

/**
 * struct bench_diff - the first byte that is not as it should be
 * @at: offset in the file
 * @belongs: where the word found there belongs, when @known
 */
struct bench_diff {
	uint64_t at;
	unsigned char want;
	unsigned char got;
	bool known;
	uint64_t belongs;
};

void bench_pattern(void *to, uint64_t offset, uint64_t length, uint64_t seed);
/* True when @data is the pattern; otherwise @diff says where it is not. */
bool bench_pattern_holds(const void *data, uint64_t offset, uint64_t length,
			 uint64_t seed, struct bench_diff *diff);

/* bench_walk.c: in which order blocks are visited. */

/**
 * struct bench_walk - a way over a row of blocks, each once before any twice
 * @next: how many steps were taken
 */
struct bench_walk {
	uint64_t blocks;
	uint64_t seed;
	uint64_t next;
	bool random;
};

uint64_t bench_walk_step(struct bench_walk *walk);

/* bench_file.c */

/**
 * struct bench_file - a file under test
 * @fd: for the requests
 * @plain: the same through the page cache, for reading only
 * @direct_io: @fd has O_DIRECT
 * @length: bytes of the range; @offset is where it begins
 */
struct bench_file {
	char path[4096];
	int fd;
	int plain;
	bool direct_io;
	uint64_t offset;
	uint64_t length;
};

/* 0, or -1 after a message. */
int bench_file_open(const struct bench_opts *opts, unsigned int index,
		    struct bench_file *file);
void bench_file_close(struct bench_file *file);
/* Bytes of the range that are in the page cache; false: nobody may know. */
bool bench_file_cached(const struct bench_file *file, uint64_t *bytes);
/* Take the range out of the page cache, as far as that can be. */
void bench_file_drop(const struct bench_file *file);

/* bench_run.c */

/**
 * struct bench_result - one run
 * @asked: bytes in the range
 * @ns: from the first request to the last byte on the drive
 * @reason: why not all went direct
 * @error: the first failure, at @error_at in the file
 * @checked: bytes compared with the pattern
 * @differs: they are not the same, see @diff
 * @cached: bytes in the page cache before the run, if @cached_known
 */
struct bench_result {
	uint64_t block;
	uint64_t asked;
	uint64_t ops;
	uint64_t bytes;
	uint64_t direct;
	uint64_t bounce;
	uint64_t ns;
	uint32_t reason;
	int error;
	uint64_t error_at;
	uint64_t checked;
	bool differs;
	struct bench_diff diff;
	bool cached_known;
	uint64_t cached;
	struct bench_hist hist;
};

/**
 * struct bench - all that runs share
 * @files: one, or with @opts->is_dir one for each thread
 * @addr: memory of @buf, or @host, @per_thread bytes for each thread
 */
struct bench {
	struct bench_opts opts;
	struct bench_file *files;
	unsigned int nr_files;
	struct nvfs_gpu gpu;
	struct nvfs_buf *buf;
	char *host;
	uint64_t addr;
	uint64_t per_thread;
	bool registered;
};

/* Open the library, files and memory.  0, or -1 after a message. */
int bench_open(struct bench *bench);
void bench_close(struct bench *bench);
/* One run with requests of @block bytes; @result is filled in always. */
void bench_run(struct bench *bench, uint64_t block,
	       struct bench_result *result);

/* bench_out.c */

uint32_t bench_route(const struct bench_result *result);
void bench_print(const struct bench *bench, const struct bench_result *result);
/* What the numbers alone do not say, on stderr. */
void bench_warn(const struct bench *bench, const struct bench_result *result);

#endif /* NVFS_TOOL_BENCH_H */
