// SPDX-License-Identifier: MIT
/* The engine: which route a request takes. */
#include <errno.h>
#include <stdlib.h>

#include "crew.h"
#include "engine.h"
#include "engine_batch.h"
#include "engine_mem.h"
#include "gpu.h"
#include "host.h"
#include "internal.h"
#include "ring.h"

static struct {
	pthread_mutex_t lock;
	_Atomic unsigned int users;
	struct nvfs *_Atomic nvfs;
	bool no_direct;		/* set while it is closed */
} engine = { .lock = PTHREAD_MUTEX_INITIALIZER };

/*
 * What a thread of the crew does for submitted requests: have the module do one
 * and wait for it, or find the memory of some.  By priv.next.
 */
struct errand {
	struct crew_task task;
	struct engine_req *list;
};

/* Requests by priv.next. */
struct list {
	struct engine_req *first, **last;
};

static const struct batch_ops batch_ops;

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
	batch_open(nvfs, &batch_ops);
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
		batch_close();
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

int engine_uring(void)
{
	return ring_error();
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

int engine_warm(unsigned int gpu)
{
	int ret = check_open();

	return ret ? ret : host_warm(gpu);
}

void engine_warm_used(void)
{
	for (unsigned int i = 0; i < HOST_GPUS; i++) {
		if (gpu_in_use(i))
			engine_warm(i);
	}
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

bool engine_needs_driver(const struct engine_req *req)
{
	struct engine_req probe = *req;
	struct nvfs_region *region;
	struct memory *memory;
	uint64_t offset;

	if (req->gpu == ENGINE_HOST)
		return false;
	if (check_open() || !may_be_direct(&probe))
		return true;
	memory = mem_get(req->gpu, req->addr, req->length, &region, &offset,
			 &probe.reason);
	if (memory)
		mem_put(memory, 0);
	return !memory;
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
static bool try_host(uint64_t done, int error)
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
		return !done;
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
	if (ret < 0 && !req->no_bounce && try_host(res.done, (int)ret))
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

/* With an error that the caller can't be told any more. */
static void end_with(struct engine_req *req, int error)
{
	req->done = 0;
	req->error = error;
	req->complete(req);
}

static void add(struct list *list, struct engine_req *req)
{
	req->priv.next = NULL;
	*list->last = req;
	list->last = &req->priv.next;
}

static int post_errand(struct engine_req *list,
		       void (*work)(struct crew_task *task),
		       void (*end)(struct crew_task *task))
{
	struct errand *errand = malloc(sizeof(*errand));
	struct crew_task *task = &errand->task;
	int ret;

	if (!errand)
		return -ENOMEM;
	errand->list = list;
	task->work = work;
	task->end = end;
	ret = crew_post(&task, 1);
	if (ret)
		free(errand);
	return ret;
}

/* One request that is waited for. */

static void lone_work(struct crew_task *task)
{
	struct engine_req *req = ((struct errand *)task)->list;

	if (req_claim(req, REQ_RUNNING))
		run_module(req);
	else
		req->error = -ECANCELED;
}

static void lone_end(struct crew_task *task)
{
	struct engine_req *req = ((struct errand *)task)->list;

	free(task);
	req->complete(req);
}

static void go_alone(struct engine_req *req)
{
	int ret;

	__atomic_store_n(&req->priv.state, REQ_WAITING, __ATOMIC_RELEASE);
	ret = post_errand(req, lone_work, lone_end);
	if (ret)
		end_with(req, ret);
}

/* Through host memory: together, so that small ones share buffers. */
static void go_host(struct engine_req *list)
{
	struct engine_req **all, *req = list;
	unsigned int nr = 0;
	int ret = -ENOMEM;

	for (; req; req = req->priv.next)
		nr++;
	all = malloc(nr * sizeof(*all));
	for (nr = 0; all && list; list = list->priv.next)
		all[nr++] = list;
	if (all)
		ret = nr ? host_submit(all, nr, host_ended) : 0;
	for (unsigned int i = 0; ret && i < nr; i++)
		end_with(all[i], ret);
	free(all);
	while (list) {
		req = list;
		list = req->priv.next;
		end_with(req, ret);
	}
}

/* In the module's batch. */

/* What the module says of a request; true: to go through host memory. */
static bool module_ended(struct engine_req *req, const struct nvfs_event *event)
{
	int error = -(int)event->error;

	mem_put(req->priv.memory, error == -ESTALE);
	req->reason = event->reason;
	if (!req->no_bounce && try_host(event->done, error))
		return true;
	/* Not the request's fault, or one whose rest goes another way. */
	if (error == -EBUSY || error == -EINTR ||
	    (error == -EREMOTEIO && event->done)) {
		go_alone(req);
		return false;
	}
	req->done = event->done;
	req->error = error;
	/* Trusted no further than the request went. */
	if (event->done > req->length) {
		req->done = 0;
		req->error = -EPROTO;
	}
	req->route = event->route;
	if (event->route == NVFS_ROUTE_DIRECT)
		req->direct = req->done;
	req->complete(req);
	return false;
}

static const struct batch_ops batch_ops = {
	.ended = module_ended,
	.aside = go_host,
};

static void go_module(struct engine_req *list)
{
	if (!list || !batch_submit(list))
		return;
	while (list) {
		struct engine_req *req = list;

		list = req->priv.next;
		mem_put(req->priv.memory, false);
		go_alone(req);
	}
}

/*
 * Where the request's bytes are in the module's eyes.  False: nowhere, and
 * @req->reason says why.
 */
static bool set_memory(struct engine_req *req, struct memory *memory,
		       const struct nvfs_region *region, uint64_t offset)
{
	if (region->error) {
		req->reason = region->reason;
		mem_put(memory, false);
		return false;
	}
	req->priv.memory = memory;
	req->priv.region = region->reg.region;
	req->priv.offset = region->lead + offset;
	return true;
}

static bool find_memory(struct engine_req *req)
{
	struct nvfs_region *region;
	struct memory *memory;
	uint64_t offset;

	memory = mem_get(req->gpu, req->addr, req->length, &region, &offset,
			 &req->reason);
	return memory && set_memory(req, memory, region, offset);
}

static void add_host(struct list *list, struct engine_req *req)
{
	if (!req_claim(req, REQ_RUNNING))
		end_with(req, -ECANCELED);
	else if (req->no_bounce)
		end_with(req, -EREMOTEIO);
	else
		add(list, req);
}

/* Memory that nobody added: finding it asks the GPU driver, or registers it. */
static void find_work(struct crew_task *task)
{
	struct engine_req *req, *list = ((struct errand *)task)->list;
	struct list module = { .last = &module.first };
	struct list host = { .last = &host.first };

	while (list) {
		req = list;
		list = req->priv.next;
		if (find_memory(req))
			add(&module, req);
		else
			add_host(&host, req);
	}
	go_module(module.first);
	go_host(host.first);
	batch_drop();
}

static void find_end(struct crew_task *task)
{
	free(task);
}

static void go_find(struct engine_req *list)
{
	int ret;

	if (!list)
		return;
	batch_hold();
	ret = post_errand(list, find_work, find_end);
	if (!ret)
		return;
	batch_drop();
	while (list) {
		struct engine_req *req = list;

		list = req->priv.next;
		end_with(req, ret);
	}
}

/* The lists that requests go to. */
struct sorted {
	struct list module, find, host, refused;
};

static void sort(struct sorted *to, struct engine_req *req)
{
	struct nvfs_region *region;
	struct memory *memory;
	uint64_t offset;

	req->done = 0;
	req->error = 0;
	__atomic_store_n(&req->priv.state, REQ_WAITING, __ATOMIC_RELEASE);
	if (!may_be_direct(req)) {
		add(req->no_bounce && req->gpu != ENGINE_HOST ? &to->refused :
								&to->host, req);
		return;
	}
	memory = mem_get_added(req->gpu, req->addr, req->length, &region,
			       &offset);
	if (!memory)
		add(&to->find, req);
	else if (set_memory(req, memory, region, offset))
		add(&to->module, req);
	else
		add(req->no_bounce ? &to->refused : &to->host, req);
}

/* First all are sorted: what was started may be gone. */
static void submit_sorted(struct engine_req *const *reqs, unsigned int nr)
{
	struct sorted to = {
		.module.last = &to.module.first,
		.find.last = &to.find.first,
		.host.last = &to.host.first,
		.refused.last = &to.refused.first,
	};

	for (unsigned int i = 0; i < nr; i++)
		sort(&to, reqs[i]);
	go_module(to.module.first);
	go_find(to.find.first);
	go_host(to.host.first);
	while (to.refused.first) {
		struct engine_req *req = to.refused.first;

		to.refused.first = req->priv.next;
		end_with(req, -EREMOTEIO);
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
	submit_sorted(reqs, nr);
	return 0;
}

int engine_cancel(struct engine_req *req)
{
	int ret = check_open();

	if (!ret)
		ret = host_cancel(req);
	if (ret == -EALREADY && __atomic_load_n(&req->priv.state,
						__ATOMIC_ACQUIRE) ==
				REQ_IN_MODULE)
		batch_cancel(req);
	return ret;
}
