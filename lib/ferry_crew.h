/* SPDX-License-Identifier: MIT */
/*
 * Threads for what streams wait for: they never call the GPU's driver.  A task
 * of theirs is like a posted one of the engine's crew.
 */
#ifndef LIBNVFS_FERRY_CREW_H
#define LIBNVFS_FERRY_CREW_H

struct crew_task;

/* Idle threads look for work for @spin_us.  No thread is started yet. */
void ferry_crew_open(unsigned int spin_us);
/* Ends all threads; nothing is posted. */
void ferry_crew_close(void);
/* Have up to @nr threads work on it.  -EAGAIN: there is none. */
int ferry_post(struct crew_task *task, unsigned int nr);

#endif /* LIBNVFS_FERRY_CREW_H */
