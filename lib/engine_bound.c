// SPDX-License-Identifier: MIT
/*
 * Requests that a stream is to begin, by a call that is in there.  When the
 * application has reset the GPU, or it has failed, that call may never come,
 * and nobody else would end such requests.
 */
#include <stdatomic.h>

#include "engine_bound.h"
#include "ferry.h"
#include "gpu.h"
#include "host.h"

/* What is between engine_await() and the begin or the end of a request. */
enum { NOT_AWAITED, AWAITED, GIVEN_UP };

/**
 * @lock: guards all of it, and in requests what is said to be this file's;
 *	never held over a call of the driver, in which the thread may be that
 *	begins them
 * @awaited: by priv.next and priv.at
 * @left: requests that were given up, by priv.next: a late call of the driver
 *	may still come to one, so that they stay until the process ends
 * @last: number of the newest
 * @driver: that of those awaited
 */
static struct {
	pthread_mutex_t lock;
	struct engine_req *awaited, *left;
	uint64_t last;
	const struct gpu_driver *driver;
} bound = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* By GPU: the context that code for streams is in; 0: none, or not known. */
static _Atomic uint64_t code_contexts[HOST_GPUS];

/**
 * struct state - of a GPU, as it is now
 * @context: the number of its context; 0: there is none
 * @failed: that of one that has failed; 0: none that it is known of
 * @last: newest request that belongs to @context or an older one
 */
struct state {
	uint64_t context;
	uint64_t failed;
	uint64_t last;
};

static uint64_t context_of(const struct gpu_driver *driver, unsigned int gpu)
{
	const struct gpu_copies *copies = driver->copies;

	return copies && copies->context ? copies->context(gpu) : 0;
}

/* Only code on a GPU shows that it has failed: its dock is lost. */
static uint64_t failed_context(unsigned int gpu)
{
	uint64_t context = gpu < HOST_GPUS ? atomic_load(&code_contexts[gpu]) :
					     0;

	return context && !dock_get(gpu) ? context : 0;
}

/* Under the lock. */
static void unlink_from(struct engine_req *req)
{
	*req->priv.at = req->priv.next;
	if (req->priv.next)
		req->priv.next->priv.at = req->priv.at;
}

void bound_await(const struct gpu_driver *driver, struct engine_req *req)
{
	uint64_t context = context_of(driver, req->gpu);

	pthread_mutex_lock(&bound.lock);
	req->priv.context = context;
	req->priv.number = ++bound.last;
	req->priv.stage = AWAITED;
	req->priv.next = bound.awaited;
	req->priv.at = &bound.awaited;
	if (req->priv.next)
		req->priv.next->priv.at = &req->priv.next;
	bound.awaited = req;
	bound.driver = driver;
	pthread_mutex_unlock(&bound.lock);
}

bool engine_begin(struct engine_req *req)
{
	bool mine;

	pthread_mutex_lock(&bound.lock);
	mine = req->priv.stage != GIVEN_UP;
	if (req->priv.stage == AWAITED)
		unlink_from(req);
	if (mine)
		req->priv.stage = NOT_AWAITED;
	pthread_mutex_unlock(&bound.lock);
	return mine;
}

bool engine_gave_up(const struct engine_req *req)
{
	return req->priv.stage == GIVEN_UP;
}

/* The next GPU of which requests are awaited, and the newest of all. */
static bool next_gpu(unsigned int *gpu, uint64_t *last,
		     const struct gpu_driver **driver)
{
	unsigned int from = *gpu;
	bool found = false;

	pthread_mutex_lock(&bound.lock);
	*last = bound.last;
	*driver = bound.driver;
	for (struct engine_req *req = bound.awaited; req;
	     req = req->priv.next) {
		if (req->gpu < from || (found && req->gpu >= *gpu))
			continue;
		*gpu = req->gpu;
		found = true;
	}
	pthread_mutex_unlock(&bound.lock);
	return found;
}

static bool is_lost(const struct engine_req *req, const struct state *state)
{
	uint64_t context = req->priv.context;

	if (!context)
		return false;
	return context == state->failed ||
	       (context != state->context && req->priv.number <= state->last);
}

/* Out of the list, one that never begins; NULL: there is none. */
static struct engine_req *take_lost(unsigned int gpu, const struct state *state)
{
	struct engine_req *req;

	pthread_mutex_lock(&bound.lock);
	for (req = bound.awaited; req; req = req->priv.next) {
		if (req->gpu == gpu && is_lost(req, state))
			break;
	}
	if (req) {
		unlink_from(req);
		req->priv.stage = GIVEN_UP;
		req->priv.next = bound.left;
		bound.left = req;
	}
	pthread_mutex_unlock(&bound.lock);
	return req;
}

void bound_look(void (*lost)(struct engine_req *req))
{
	const struct gpu_driver *driver;
	struct engine_req *req;
	unsigned int gpu = 0;
	struct state state;

	for (; next_gpu(&gpu, &state.last, &driver); gpu++) {
		state.context = context_of(driver, gpu);
		state.failed = failed_context(gpu);
		while ((req = take_lost(gpu, &state)))
			lost(req);
	}
}

void bound_see_code(const struct gpu_driver *driver, unsigned int gpu)
{
	uint64_t none = 0;

	if (gpu < HOST_GPUS)
		atomic_compare_exchange_strong(&code_contexts[gpu], &none,
					       context_of(driver, gpu));
}

void bound_close(void)
{
	for (unsigned int i = 0; i < HOST_GPUS; i++)
		atomic_store(&code_contexts[i], 0);
}
