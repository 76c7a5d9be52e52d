// SPDX-License-Identifier: MIT
/*
 * The ceiling: threads that each have a ring of pinned buffers and a queue of
 * their own, share nothing, and are asked for nothing but to be fast.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "throughput.h"

#define SLOTS	4U

struct ring {
	const struct bench *bench;
	uint64_t chunk;
	bool write;
	unsigned int id, threads;
	uint64_t moved;
	double took;
	pthread_t thread;
};

static void land(const struct gpu_copies *copies, void *queue,
		 unsigned int mark)
{
	while (!copies->poll(queue, mark))
		__builtin_ia32_pause();
}

static bool step(struct ring *ring, void *queue, char *host, unsigned int mark,
		 uint64_t at)
{
	const struct bench *bench = ring->bench;
	const struct gpu_copies *copies = bench->driver->copies;
	struct gpu_copy copy = {
		.gpu = bench->gpu + at, .host = host, .length = ring->chunk,
	};

	if (!ring->write) {
		if (pread(bench->fd, host, ring->chunk, (off_t)at) !=
		    (ssize_t)ring->chunk)
			return false;
		return !copies->start(queue, &copy, 1, false, mark);
	}
	if (copies->start(queue, &copy, 1, true, mark))
		return false;
	land(copies, queue, mark);
	return pwrite(bench->fd, host, ring->chunk, (off_t)at) ==
	       (ssize_t)ring->chunk;
}

static void *go_round(void *arg)
{
	struct ring *ring = arg;
	const struct bench *bench = ring->bench;
	const struct gpu_copies *copies = bench->driver->copies;
	uint64_t at = bench->bytes / ring->threads * ring->id / ring->chunk *
		      ring->chunk;
	void *queue, *host;
	double start;

	if (copies->open(0, &queue))
		return NULL;
	if (copies->host_get(0, SLOTS * ring->chunk, &host))
		return NULL;
	start = now();
	for (unsigned int i = 0; now() - start < bench->seconds; i++) {
		unsigned int mark = i % SLOTS;

		if (i >= SLOTS)
			land(copies, queue, mark);
		if (!step(ring, queue, (char *)host + mark * ring->chunk, mark,
			  at))
			break;
		at += ring->chunk;
		if (at + ring->chunk > bench->bytes)
			at = 0;
		ring->moved += ring->chunk;
	}
	for (unsigned int i = 0; i < SLOTS; i++)
		land(copies, queue, i);
	ring->took = now() - start;
	copies->host_put(0, host);
	copies->close(queue);
	return NULL;
}

double ring_rate(const struct bench *bench, unsigned int threads,
		 uint64_t chunk, bool write)
{
	struct ring rings[MOST_THREADS];
	double rate = 0;

	if (!bench->driver->copies)
		return 0;
	for (unsigned int i = 0; i < threads; i++) {
		rings[i] = (struct ring){
			.bench = bench, .chunk = chunk, .write = write,
			.id = i, .threads = threads,
		};
		pthread_create(&rings[i].thread, NULL, go_round, &rings[i]);
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(rings[i].thread, NULL);
		if (rings[i].took > 0)
			rate += (double)rings[i].moved / rings[i].took;
	}
	return rate;
}
