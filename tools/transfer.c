// SPDX-License-Identifier: MIT
/* One range, cut into chunks, moved by several threads. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tool.h"
#include "transfer.h"

/* How often progress is told. */
#define TICK_NS		100000000

/**
 * struct crew - the threads at work
 * @lock: protects everything below
 * @idle: signalled when a thread ends
 * @next: first byte that nobody took yet
 * @moved: bytes so far, with gaps
 * @limit: no byte is good from here on
 * @stop: take no more chunks
 */
struct crew {
	const struct transfer *transfer;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned int running;
	uint64_t next;
	uint64_t moved;
	uint64_t limit;
	uint64_t direct;
	uint64_t bounce;
	uint32_t reason;
	int error;
	bool mixed;
	bool stop;
};

/* False when there is nothing left to do. */
static bool take_chunk(struct crew *crew, uint64_t *at, uint64_t *length)
{
	const struct transfer *transfer = crew->transfer;
	bool more;

	pthread_mutex_lock(&crew->lock);
	more = !crew->stop && crew->next < transfer->length;
	if (more) {
		*at = crew->next;
		*length = transfer->length - *at;
		if (*length > transfer->chunk)
			*length = transfer->chunk;
		crew->next += *length;
	}
	pthread_mutex_unlock(&crew->lock);
	return more;
}

static void settle_chunk(struct crew *crew, uint64_t at, uint64_t length,
			 ssize_t ret, const struct nvfs_result *res)
{
	pthread_mutex_lock(&crew->lock);
	crew->moved += res->done;
	crew->direct += res->direct;
	crew->bounce += res->bounce;
	crew->mixed |= res->route == NVFS_ROUTE_MIXED;
	if (res->reason && !crew->reason)
		crew->reason = res->reason;
	if (res->done < length) {
		crew->stop = true;
		/* The failure that comes first in the file is the one to tell. */
		if (at + res->done < crew->limit) {
			crew->limit = at + res->done;
			crew->error = ret < 0 ? (int)ret : 0;
			if (ret < 0)
				crew->reason = res->reason;
		}
	}
	pthread_mutex_unlock(&crew->lock);
}

static void *work(void *arg)
{
	struct crew *crew = arg;
	const struct transfer *transfer = crew->transfer;
	struct nvfs_result res;
	uint64_t at, length;

	while (take_chunk(crew, &at, &length)) {
		uint64_t region_at = transfer->region_offset + at;
		uint64_t file_at = transfer->file_offset + at;
		ssize_t ret;

		if (transfer->write)
			ret = nvfs_write(transfer->region, region_at,
					 transfer->fd, file_at, length,
					 transfer->io_flags, &res);
		else
			ret = nvfs_read(transfer->region, region_at,
					transfer->fd, file_at, length,
					transfer->io_flags, &res);
		settle_chunk(crew, at, length, ret, &res);
	}
	pthread_mutex_lock(&crew->lock);
	crew->running--;
	pthread_cond_signal(&crew->idle);
	pthread_mutex_unlock(&crew->lock);
	return NULL;
}

/* Called with the lock held, which is let go while the caller is told. */
static void tell(struct crew *crew)
{
	const struct transfer *transfer = crew->transfer;
	uint64_t moved = crew->moved;
	int ret;

	if (!transfer->progress)
		return;
	pthread_mutex_unlock(&crew->lock);
	ret = transfer->progress(transfer->arg, moved);
	pthread_mutex_lock(&crew->lock);
	if (ret && !crew->stop) {
		crew->stop = true;
		crew->error = -ECANCELED;
		/* What is under way still ends; what was not taken is missing. */
		if (crew->next < crew->limit)
			crew->limit = crew->next;
	}
}

static void wait_for_crew(struct crew *crew)
{
	struct timespec until;

	pthread_mutex_lock(&crew->lock);
	while (crew->running) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TICK_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (pthread_cond_timedwait(&crew->idle, &crew->lock, &until))
			tell(crew);
	}
	pthread_mutex_unlock(&crew->lock);
}

/* Returns how many really started; one is enough. */
static unsigned int start_crew(struct crew *crew, pthread_t *threads)
{
	unsigned int wanted = crew->transfer->threads;
	uint64_t chunks = crew->transfer->length / crew->transfer->chunk + 1;
	unsigned int nr;

	if (wanted > TOOL_MAX_THREADS)
		wanted = TOOL_MAX_THREADS;
	if (wanted > chunks)
		wanted = (unsigned int)chunks;
	for (nr = 0; nr < wanted; nr++) {
		pthread_mutex_lock(&crew->lock);
		crew->running++;
		pthread_mutex_unlock(&crew->lock);
		if (!pthread_create(&threads[nr], NULL, work, crew))
			continue;
		pthread_mutex_lock(&crew->lock);
		crew->running--;
		pthread_mutex_unlock(&crew->lock);
		break;
	}
	return nr;
}

static void init_crew(struct crew *crew, const struct transfer *transfer)
{
	pthread_condattr_t attr;

	memset(crew, 0, sizeof(*crew));
	crew->transfer = transfer;
	crew->limit = transfer->length;
	pthread_mutex_init(&crew->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&crew->idle, &attr);
	pthread_condattr_destroy(&attr);
}

static uint32_t crew_route(const struct crew *crew)
{
	if (crew->mixed || (crew->direct && crew->bounce))
		return NVFS_ROUTE_MIXED;
	if (crew->direct)
		return NVFS_ROUTE_DIRECT;
	return crew->bounce ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE;
}

void transfer_run(const struct transfer *transfer, struct outcome *outcome)
{
	pthread_t threads[TOOL_MAX_THREADS];
	struct crew crew;
	uint64_t start = now_ns();
	unsigned int nr;

	init_crew(&crew, transfer);
	nr = start_crew(&crew, threads);
	if (!nr) {
		crew.error = -EAGAIN;
		crew.limit = 0;
	}
	wait_for_crew(&crew);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	outcome->ns = now_ns() - start;
	outcome->done = crew.limit;
	outcome->error = crew.error;
	outcome->route = crew_route(&crew);
	outcome->reason = crew.reason;
	pthread_cond_destroy(&crew.idle);
	pthread_mutex_destroy(&crew.lock);
}
