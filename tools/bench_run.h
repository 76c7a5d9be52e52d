/* SPDX-License-Identifier: MIT */
/* One run of nvfs bench: its threads, and the requests of each. */
#ifndef NVFS_TOOL_BENCH_RUN_H
#define NVFS_TOOL_BENCH_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"

struct gpu_driver;
struct bench_worker;

/**
 * struct bench_crew - the threads of a run
 * @lock: protects @running, @go, @failed and what a failure writes into @result
 * @idle: signalled when a thread ends
 * @start: everybody waits here for @go, until everybody is ready
 * @until_ns: when to stop; 0: after the last block
 * @stop: something failed
 * @moved: bytes so far, for the bar
 */
struct bench_crew {
	struct bench *bench;
	const struct gpu_driver *driver;
	struct bench_result *result;
	uint64_t block;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	pthread_cond_t start;
	unsigned int running;
	bool go;
	bool failed;
	_Atomic uint64_t until_ns;
	_Atomic bool stop;
	_Atomic uint64_t moved;
};

/**
 * struct bench_slot - a request and its memory
 * @buf_offset: of its first byte in the buffer
 * @began, @ended: when it was put, and when it was told to have ended
 * @number: of it in its stream
 * @over: posted by its end, in a stream
 * @gate: the same, for a stream that can't wait by itself
 */
struct bench_slot {
	struct engine_req req;
	struct bench_worker *worker;
	uint64_t buf_offset;
	uint64_t began;
	uint64_t ended;
	uint32_t number;
	sem_t over;
	sem_t gate;
};

/**
 * struct bench_worker - a thread
 * @first: number of its first block in the file
 * @left: requests to go; counts only without a time limit
 * @scratch: a block of host memory, for patterns; NULL without --verify
 * @ended: counts requests of a batch that have ended
 * @word: what the stream waits for; NULL: this GPU can't
 */
struct bench_worker {
	struct bench_crew *crew;
	struct bench_file *file;
	struct engine_file engine_file;
	pthread_t thread;
	struct bench_slot *slots;
	struct bench_walk walk;
	uint64_t first;
	uint64_t left;
	unsigned char *scratch;
	sem_t ended;
	uint32_t *word;
	uint64_t ops;
	uint64_t bytes;
	uint64_t direct;
	uint64_t bounce;
	uint64_t checked;
	uint32_t reason;
	struct bench_hist hist;
};

/* bench_worker.c: prepared by bench_run.c; all of its requests. */
void bench_work(struct bench_worker *worker);
/* Compare what it wrote with the pattern, through the page cache. */
void bench_check_written(struct bench_worker *worker);
/* Remember the first failure and have everybody stop. */
void bench_fail(struct bench_crew *crew, int error, uint64_t at);

/* bench_stream.c: the same as a loop over slots, in the order of a stream. */
void bench_work_in_stream(struct bench_worker *worker);

/* For both kinds of loop.  False when there is nothing left to do. */
bool bench_prepare(struct bench_worker *worker, struct bench_slot *slot);
void bench_settle(struct bench_worker *worker, struct bench_slot *slot);

#endif /* NVFS_TOOL_BENCH_RUN_H */
