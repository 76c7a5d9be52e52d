/* SPDX-License-Identifier: MIT */
/* Small things that many files need. */
#ifndef LIBNVFS_COMMON_H
#define LIBNVFS_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of a clock that is never set. */
static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Waits for 50 ms at most.  True: for all of it, and nobody has signalled. */
static inline bool wait_a_while(pthread_cond_t *cond, pthread_mutex_t *lock)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 50000000;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	return pthread_cond_timedwait(cond, lock, &end) == ETIMEDOUT;
}

/*
 * pthread_create() of a thread that takes no signals: they are the
 * application's own threads' business.
 */
static inline int start_deaf_thread(pthread_t *thread, void *(*run)(void *arg),
				    void *arg)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

#endif /* LIBNVFS_COMMON_H */
