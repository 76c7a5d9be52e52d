// SPDX-License-Identifier: MIT
/*
 * The watch: one thread that looks at what streams have said, because a stream
 * can't wake anybody, and those who could wait are needed elsewhere.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

#include "common.h"
#include "crew.h"
#include "ferry.h"

/* Looks before it sleeps in between: about 10 us. */
#define BUSY_LOOKS	64U
/* How long it sleeps between two looks: more each time nothing was said. */
#define NAP_NS		10000U
#define NAP_MOST_NS	1000000U
/* So short naps are not made longer. */
#define SLACK_NS	1000UL

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct ferry *first;
	unsigned int looks;
	bool runs, stop;
	pthread_t thread;
} watch = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
};

static bool has_come(const struct ferry *ferry)
{
	return ferry_count(ferry) >= ferry->wanted;
}

/* Those that may go on, taken off the list.  Under the lock. */
static struct ferry *take_ready(void)
{
	struct ferry **at = &watch.first, *ready = NULL;

	while (*at) {
		struct ferry *ferry = *at;

		if (!has_come(ferry)) {
			at = &ferry->next;
			continue;
		}
		*at = ferry->next;
		ferry->next = ready;
		ready = ferry;
	}
	return ready;
}

/* What ferry_go() ends may be used again at once. */
static void go_on(struct ferry *ready)
{
	while (ready) {
		struct ferry *ferry = ready;

		ready = ferry->next;
		ferry_go(ferry);
	}
}

static void rest(unsigned int looks)
{
	struct timespec nap = { .tv_nsec = NAP_NS };

	if (looks < BUSY_LOOKS) {
		crew_relax(looks);
		return;
	}
	for (looks -= BUSY_LOOKS; looks && nap.tv_nsec < NAP_MOST_NS; looks--)
		nap.tv_nsec += nap.tv_nsec / 4;
	crew_apart_add(-1);
	nanosleep(&nap, NULL);
	crew_apart_add(1);
}

static void *thread(void *arg)
{
	(void)arg;
	prctl(PR_SET_TIMERSLACK, SLACK_NS);
	crew_apart_add(1);
	pthread_mutex_lock(&watch.lock);
	while (!watch.stop) {
		struct ferry *ready = take_ready();
		unsigned int looks = watch.looks++;

		if (ready)
			watch.looks = 0;
		else if (!watch.first) {
			crew_apart_add(-1);
			pthread_cond_wait(&watch.more, &watch.lock);
			crew_apart_add(1);
			continue;
		}
		pthread_mutex_unlock(&watch.lock);
		if (ready)
			go_on(ready);
		else
			rest(looks);
		pthread_mutex_lock(&watch.lock);
	}
	pthread_mutex_unlock(&watch.lock);
	crew_apart_add(-1);
	return NULL;
}

/* Under the lock. */
static int start(void)
{
	int ret;

	if (watch.runs)
		return 0;
	ret = start_deaf_thread(&watch.thread, thread, NULL);
	watch.runs = !ret;
	return ret ? -EAGAIN : 0;
}

int watch_add(struct ferry *ferry)
{
	int ret;

	pthread_mutex_lock(&watch.lock);
	ret = start();
	if (!ret) {
		ferry->next = watch.first;
		watch.first = ferry;
		watch.looks = 0;
		pthread_cond_signal(&watch.more);
	}
	pthread_mutex_unlock(&watch.lock);
	return ret;
}

bool watch_del(struct ferry *ferry)
{
	struct ferry **at = &watch.first;
	bool found;

	pthread_mutex_lock(&watch.lock);
	while (*at && *at != ferry)
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = ferry->next;
	pthread_mutex_unlock(&watch.lock);
	return found;
}

void watch_close(void)
{
	pthread_mutex_lock(&watch.lock);
	watch.stop = true;
	pthread_cond_signal(&watch.more);
	pthread_mutex_unlock(&watch.lock);
	if (watch.runs)
		pthread_join(watch.thread, NULL);
	watch.runs = false;
	watch.stop = false;
}
