// SPDX-License-Identifier: MIT
/*
 * Threads that read and write for streams, and do nothing else: they never call
 * the GPU's driver.  The engine's own threads do, for copies, and while somebody
 * waits for a stream in there all of them may be waiting at its door.
 */
#include <errno.h>

#include "common.h"
#include "crew.h"
#include "ferry_crew.h"

#define LOOKS_PER_CLOCK	64U
#define THREADS_MOST	32U

/**
 * @wanted: joins that tasks on the list wait for
 * @looking: threads that look for some before they sleep
 * @lock: guards what follows, and in tasks what is said to be the crew's; never
 *	held over anything that waits
 */
static struct {
	_Alignas(64) _Atomic unsigned int wanted;
	_Atomic unsigned int looking;
	_Alignas(64) pthread_mutex_t lock;
	pthread_cond_t more;
	struct crew_task *first, **last;
	unsigned int nr, asleep;
	uint64_t spin_ns;
	bool stop;
	pthread_t threads[THREADS_MOST];
} crew = {
	.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP,
	.more = PTHREAD_COND_INITIALIZER,
	.last = &crew.first,
};

/* All of these under the lock. */

static void list_del(struct crew_task *task)
{
	struct crew_task **at = &crew.first;

	while (*at != task)
		at = &(*at)->next;
	*at = task->next;
	if (crew.last == &task->next)
		crew.last = at;
	atomic_fetch_sub(&crew.wanted, task->want);
	task->want = 0;
	task->listed = false;
}

static struct crew_task *join(void)
{
	struct crew_task *task = crew.first;

	if (!task)
		return NULL;
	task->inside++;
	task->want--;
	atomic_fetch_sub(&crew.wanted, 1);
	if (!task->want)
		list_del(task);
	return task;
}

/* True for the last one, who has it for himself. */
static bool leave(struct crew_task *task)
{
	if (task->listed)
		list_del(task);
	return !--task->inside;
}

/* Not under the lock.  Waking a thread takes longer than reading 64 KiB. */
static void look(void)
{
	uint64_t end = now_ns() + crew.spin_ns;

	atomic_fetch_add(&crew.looking, 1);
	for (unsigned int i = 1; !atomic_load_explicit(&crew.wanted,
						       memory_order_relaxed);
	     i++) {
		if (i % LOOKS_PER_CLOCK == 0 &&
		    (now_ns() > end || atomic_load(&crew.looking) +
		     crew_busy() > crew_cpus()))
			break;
		crew_relax(0);
	}
	atomic_fetch_sub(&crew.looking, 1);
}

static void rest(void)
{
	if (crew.spin_ns) {
		pthread_mutex_unlock(&crew.lock);
		look();
		pthread_mutex_lock(&crew.lock);
	}
	crew.asleep++;
	crew_apart_add(-1);
	while (!crew.first && !crew.stop)
		pthread_cond_wait(&crew.more, &crew.lock);
	crew_apart_add(1);
	crew.asleep--;
}

static void *thread(void *arg)
{
	struct crew_task *task;
	bool last;

	(void)arg;
	crew_apart_add(1);
	pthread_mutex_lock(&crew.lock);
	/* What is on the list when it closes is still done. */
	while (!crew.stop || crew.first) {
		task = join();
		if (!task) {
			rest();
			continue;
		}
		pthread_mutex_unlock(&crew.lock);
		task->work(task);
		pthread_mutex_lock(&crew.lock);
		last = leave(task);
		if (!last)
			continue;
		pthread_mutex_unlock(&crew.lock);
		task->end(task);
		pthread_mutex_lock(&crew.lock);
	}
	pthread_mutex_unlock(&crew.lock);
	crew_apart_add(-1);
	return NULL;
}

/* One that is there is enough to promise that all will be done. */
static int call(unsigned int nr)
{
	unsigned int most = crew_threads();
	unsigned int there = crew.asleep + atomic_load(&crew.looking);
	/* Those who are there may be called already, and not have come yet. */
	unsigned int wanted = atomic_load(&crew.wanted) + nr;

	if (most > THREADS_MOST)
		most = THREADS_MOST;
	for (; there < wanted && crew.nr < most; there++) {
		if (!start_deaf_thread(&crew.threads[crew.nr], thread, NULL))
			crew.nr++;
	}
	if (!crew.nr)
		return -EAGAIN;
	if (crew.asleep && nr > 1)
		pthread_cond_broadcast(&crew.more);
	else if (crew.asleep)
		pthread_cond_signal(&crew.more);
	return 0;
}

int ferry_post(struct crew_task *task, unsigned int nr)
{
	int ret;

	pthread_mutex_lock(&crew.lock);
	ret = call(nr);
	if (!ret) {
		task->want = nr;
		task->inside = 0;
		task->listed = true;
		task->next = NULL;
		*crew.last = task;
		crew.last = &task->next;
		atomic_fetch_add(&crew.wanted, nr);
	}
	pthread_mutex_unlock(&crew.lock);
	return ret;
}

void ferry_crew_open(unsigned int spin_us)
{
	pthread_mutex_lock(&crew.lock);
	crew.spin_ns = crew_cpus() > 1 ? spin_us * 1000ULL : 0;
	pthread_mutex_unlock(&crew.lock);
}

/* What is being done may post more, and that may start threads. */
static bool is_thread(unsigned int i)
{
	bool is;

	pthread_mutex_lock(&crew.lock);
	is = i < crew.nr;
	pthread_mutex_unlock(&crew.lock);
	return is;
}

void ferry_crew_close(void)
{
	pthread_mutex_lock(&crew.lock);
	crew.stop = true;
	pthread_cond_broadcast(&crew.more);
	pthread_mutex_unlock(&crew.lock);
	for (unsigned int i = 0; is_thread(i); i++)
		pthread_join(crew.threads[i], NULL);
	crew.nr = 0;
	crew.stop = false;
}
