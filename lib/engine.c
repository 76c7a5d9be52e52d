// SPDX-License-Identifier: MIT
/* The engine: which route a request takes. */
#include <errno.h>
#include <stdlib.h>

#include "crew.h"
#include "engine.h"
#include "engine_mem.h"
#include "gpu.h"
#include "host.h"
#include "internal.h"

static struct {
	pthread_mutex_t lock;
	_Atomic unsigned int users;
	struct nvfs *_Atomic nvfs;
	bool no_direct;		/* set while it is closed */
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A request that the module may be asked to do, and its thread. */
struct errand {
	struct crew_task task;
	struct engine_req *req;
};

static int check_process(void)
{
	struct nvfs *nvfs = engine.nvfs;

	return nvfs ? ctx_check(nvfs) : 0;
}

static int open_all(void)
{
	struct engine_pool pool;
	struct nvfs *nvfs;
	int ret = nvfs_open(NVFS_OPEN_NO_MODULE, &nvfs);

	if (ret)
		return ret;
	ret = host_get();
	if (ret) {
		nvfs_close(nvfs);
		return ret;
	}
	host_pool_get(&pool);
	mem_open(nvfs, pool.cache_bytes);
	engine.nvfs = nvfs;
	return 0;
}

int engine_get(void)
{
	int ret = check_process();

	if (ret)
		return ret;
	pthread_mutex_lock(&engine.lock);
	if (!engine.users)
		ret = open_all();
	if (!ret)
		engine.users++;
	pthread_mutex_unlock(&engine.lock);
	return ret;
}

void engine_put(void)
{
	struct nvfs *nvfs;

	if (check_process())
		return;
	pthread_mutex_lock(&engine.lock);
	if (engine.users && !--engine.users) {
		nvfs = engine.nvfs;
		host_put();
		mem_close();
		engine.nvfs = NULL;
		nvfs_close(nvfs);
	}
	pthread_mutex_unlock(&engine.lock);
}

unsigned int engine_users(void)
{
	return check_process() ? 0 : engine.users;
}

struct nvfs *engine_nvfs(void)
{
	return engine.nvfs;
}

static int check_open(void)
{
	if (!engine.nvfs)
		return -ENOTCONN;
	return check_process();
}

int engine_gpu(const struct gpu_driver **driver)
{
	int ret = check_open();

	return ret ? ret : ctx_gpu(engine.nvfs, driver);
}

void engine_pool_get(struct engine_pool *pool)
{
	host_pool_get(pool);
	pool->no_direct = engine.no_direct;
}

int engine_pool_set(const struct engine_pool *pool)
{
	int ret = engine.users ? -EBUSY : host_pool_set(pool);

	if (!ret)
		engine.no_direct = pool->no_direct;
	return ret;
}

int engine_mem_add(unsigned int gpu, uint64_t addr, uint64_t length)
{
	int ret = check_open();

	return ret ? ret : mem_add(gpu, addr, length);
}

int engine_mem_del(uint64_t addr)
{
	int ret = check_open();

	return ret ? ret : mem_del(addr);
}

/* May the module be asked at all?  Otherwise @reason says why not. */
static bool may_be_direct(struct engine_req *req)
{
	req->direct = 0;
	req->route = NVFS_ROUTE_NONE;
	req->reason = NVFS_REASON_NONE;
	if (req->gpu == ENGINE_HOST || !req->length || !req->file)
		return false;
	if (engine.no_direct || nvfs_module_error(engine.nvfs)) {
		req->reason = engine.no_direct ? NVFS_REASON_NOT_WANTED :
						 NVFS_REASON_NO_MODULE;
		return false;
	}
	return true;
}

static void set_route(struct engine_req *req)
{
	if (req->done)
		req->route = NVFS_ROUTE_BOUNCE;
}

static int run_host(struct engine_req *req)
{
	if (req->no_bounce && req->gpu != ENGINE_HOST) {
		req->done = 0;
		req->error = -EREMOTEIO;
		return req->error;
	}
	host_run(req);
	set_route(req);
	return req->error;
}

/*
 * The module's own refusals, which say nothing of what read(2) would do, with
 * nothing moved.
 */
static bool try_host(const struct nvfs_result *res, int error)
{
	switch (error) {
	case -EREMOTEIO:
	case -ESTALE:
	case -ENOENT:
	case -EINVAL:
	case -ESPIPE:
	case -ENOMEM:
	case -ENODEV:
	case -EPERM:
		return !res->done;
	}
	return false;
}

static int run_module(struct engine_req *req)
{
	unsigned int flags = req->no_bounce ? 0 : NVFS_IO_ALLOW_BOUNCE;
	struct nvfs_region *region;
	struct nvfs_result res;
	struct memory *memory;
	uint64_t offset;
	ssize_t ret;

	memory = mem_get(req->gpu, req->addr, req->length, &region, &offset,
			 &req->reason);
	if (!memory)
		return run_host(req);
	ret = req->write ? nvfs_write(region, offset, req->file->fd,
				      req->file_offset, req->length, flags,
				      &res) :
			   nvfs_read(region, offset, req->file->fd,
				     req->file_offset, req->length, flags,
				     &res);
	mem_put(memory, ret == -ESTALE);
	req->reason = res.reason;
	if (ret < 0 && !req->no_bounce && try_host(&res, (int)ret))
		return run_host(req);
	req->done = res.done;
	req->direct = res.direct;
	req->route = res.route;
	req->error = ret < 0 ? (int)ret : 0;
	return req->error;
}

int engine_run(struct engine_req *req)
{
	int ret = check_open();

	req->done = 0;
	req->error = ret;
	if (ret)
		return ret;
	return may_be_direct(req) ? run_module(req) : run_host(req);
}

/* Submitted requests. */

static void host_ended(struct engine_req *req)
{
	set_route(req);
	req->complete(req);
}

static void errand_work(struct crew_task *task)
{
	struct engine_req *req = ((struct errand *)task)->req;
	int waiting = 0;

	if (__atomic_compare_exchange_n(&req->priv.state, &waiting, 1, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		run_module(req);
	else
		req->error = -ECANCELED;
}

static void errand_end(struct crew_task *task)
{
	struct engine_req *req = ((struct errand *)task)->req;

	free(task);
	req->complete(req);
}

static int post_errand(struct engine_req *req)
{
	struct errand *errand = malloc(sizeof(*errand));
	struct crew_task *task = &errand->task;
	int ret;

	if (!errand)
		return -ENOMEM;
	errand->req = req;
	task->work = errand_work;
	task->end = errand_end;
	req->priv.state = 0;
	ret = crew_post(&task, 1);
	if (ret)
		free(errand);
	return ret;
}

/* With an error that the caller can't be told any more. */
static void end_with(struct engine_req *req, int error)
{
	req->done = 0;
	req->error = error;
	req->complete(req);
}

static void submit_some(struct engine_req *const *reqs, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		int ret;

		if (reqs[i]->no_bounce && !may_be_direct(reqs[i]) &&
		    reqs[i]->gpu != ENGINE_HOST)
			ret = -EREMOTEIO;
		else if (may_be_direct(reqs[i]))
			ret = post_errand(reqs[i]);
		else
			ret = host_submit(&reqs[i], 1, host_ended);
		if (ret)
			end_with(reqs[i], ret);
	}
}

int engine_submit(struct engine_req *const *reqs, unsigned int nr)
{
	bool special = false;
	int ret = check_open();

	if (ret)
		return ret;
	if (!reqs || !nr)
		return -EINVAL;
	for (unsigned int i = 0; i < nr; i++) {
		if (!reqs[i] || !reqs[i]->complete || !reqs[i]->file)
			return -EINVAL;
		special |= may_be_direct(reqs[i]) || reqs[i]->no_bounce;
	}
	if (!special)
		return host_submit(reqs, nr, host_ended);
	submit_some(reqs, nr);
	return 0;
}

int engine_cancel(struct engine_req *req)
{
	int ret = check_open();

	return ret ? ret : host_cancel(req);
}
