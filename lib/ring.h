/* SPDX-License-Identifier: MIT */
/*
 * File reads of which one thread has many in flight: io_uring, where the kernel
 * lets us.  Containers often do not; then everything works with threads alone.
 */
#ifndef LIBNVFS_RING_H
#define LIBNVFS_RING_H

#include <stdbool.h>
#include <stdint.h>

/* Most reads in flight of a ring. */
#define RING_DEPTH	64U

struct ring;

/**
 * struct ring_read - one read
 * @fd: the file
 * @host: where to, inside the ring's memory
 * @length: bytes
 * @offset: first byte in the file
 * @result: bytes, or a negative errno value; valid when not @busy
 * @busy: from ring_add() until ring_wait() has come to it
 */
struct ring_read {
	int fd;
	char *host;
	uint32_t length;
	uint64_t offset;
	int64_t result;
	bool busy;
};

/*
 * A ring whose reads go to @length bytes at @host.  NULL: there is none, and
 * ring_error() says why.
 */
struct ring *ring_open(char *host, uint64_t length);
/* Nothing is in flight.  @ring may be NULL. */
void ring_close(struct ring *ring);

/*
 * One thread at a time.  Add a read, at most RING_DEPTH in flight; it begins with
 * the next ring_submit() or ring_wait().
 */
void ring_add(struct ring *ring, struct ring_read *read);
void ring_submit(struct ring *ring);
/*
 * False: the kernel takes no more reads.  Those that are added end at once with
 * the reason; all others still end.
 */
bool ring_works(const struct ring *ring);
/* Until a read has ended.  Others may end as well. */
void ring_wait(struct ring *ring, const struct ring_read *read);

/* 0: io_uring works; 1: nobody has tried; or a negative errno value. */
int ring_error(void);
/* For tests: refuse as if the kernel did; 0: ask the kernel. */
void ring_refuse(int error);
/* For tests: reads end with no more than this; 0: with what there is. */
void ring_shorten(uint32_t length);

#endif /* LIBNVFS_RING_H */
