/* SPDX-License-Identifier: MIT */
/* The engine's threads: they help with requests, and run what was submitted. */
#ifndef LIBNVFS_CREW_H
#define LIBNVFS_CREW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct crew_task - something that several threads work on at once
 * @work: returns when there is nothing left to begin; called by each thread
 *	that joins
 * @end: called by the last thread that leaves a posted task; may free it.
 *	NULL for one that is offered
 * @want: how many more may join
 * @inside: how many have joined and not left
 * @handed: boxes of threads that it was put into
 * @next, @prev, @listed: the crew's
 */
struct crew_task {
	void (*work)(struct crew_task *task);
	void (*end)(struct crew_task *task);
	unsigned int want;
	_Atomic unsigned int inside;
	uint64_t handed;
	struct crew_task *next, *prev;
	bool listed;
};

/*
 * At most @threads, which look for work for @spin_us before they sleep.
 * Returns 0 or -ENOMEM; no thread is started yet.
 */
int crew_open(unsigned int threads, unsigned int spin_us);
/* Ends all threads; no task is left.  Not by a thread of the crew. */
void crew_close(void);

/*
 * Up to @nr threads may help with @task, whose owner works on it himself.
 * @least: where fewer than that look for work, also those that sleep, or are not there
 * yet.
 */
void crew_offer(struct crew_task *task, unsigned int nr, unsigned int least);
/* Nobody may join any more, nor begin who has not yet.  Does not wait. */
void crew_recall(struct crew_task *task);
/* That, and returns when all have left. */
void crew_retract(struct crew_task *task);

/*
 * Have @nr tasks done, each by one thread for a start.  Does not wait.
 * -EAGAIN: there is no thread and none can be started; nothing was posted.
 */
int crew_post(struct crew_task *const *tasks, unsigned int nr);
/* By one that works on a posted task: @nr more may join. */
void crew_more(struct crew_task *task, unsigned int nr);
/* Take back a task that nobody has joined.  False: too late. */
bool crew_unpost(struct crew_task *task);

/* Wait a moment for another thread; @turn counts from 0. */
void crew_relax(unsigned int turn);
/* Turns, some 20 us in all, after which each may take longer than all of them. */
#define CREW_PAUSES	512U

/* Threads that are at something that can use several CPUs. */
unsigned int crew_busy(void);
void crew_busy_add(int change);
/* For a thread that is, and is not the crew's: it has a CPU beside theirs. */
void crew_own_add(int change);
/* Those of the library, or in there, that are neither, and awake. */
void crew_apart_add(int change);
/* Not more that are beside the crew, or of it and awake, than crew_room(). */
bool crew_has_room(void);
/* CPUs that this process may use. */
unsigned int crew_cpus(void);
/*
 * Those that are ours, where other threads want some: what they leave, if that is
 * enough for those who are busy; otherwise all, shared with them.
 */
unsigned int crew_room(void);
/* Others want half of the CPUs, or more. */
bool crew_is_short(void);
/* See now and then what others want; by a thread that counts as ours. */
void crew_look_around(void);
/* Most threads of the crew. */
unsigned int crew_threads(void);

#endif /* LIBNVFS_CREW_H */
