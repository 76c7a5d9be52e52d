// SPDX-License-Identifier: MIT
/* The engine: which route a request takes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "crew.h"
#include "engine.h"
#include "engine_batch.h"
#include "engine_bound.h"
#include "engine_mem.h"
#include "ferry.h"
#include "ferry_crew.h"
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
		bound_close();
		dock_close_all();
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
	const struct gpu_driver *driver;
	struct engine_pool pool;
	int ret = check_open();

	if (!ret)
		ret = host_warm(gpu);
	if (!ret)
		ret = ctx_gpu(engine.nvfs, &driver);
	if (ret)
		return ret;
	/* Streams are served by other code. */
	host_pool_get(&pool);
	ret = dock_open(driver, gpu, &pool);
	if (!ret)
		bound_see_code(driver, gpu);
	return ret;
}

void engine_warm_used(void)
{
	for (unsigned int i = 0; i < HOST_GPUS; i++) {
		if (gpu_in_use(i))
			engine_warm(i);
	}
}

void engine_linger(bool (*over)(const void *what), const void *what,
		   int64_t most_ns)
{
	host_linger(over, what, most_ns);
}

void engine_end(struct engine_req *req,
		void (*then)(void *arg, struct engine_req *first), void *arg)
{
	host_end(req, then, arg);
}

int engine_mem_add(unsigned int gpu, uint64_t addr, uint64_t length)
{
	int ret = check_open();

	return ret ? ret : mem_add(gpu, addr, length);
}

int engine_mem_error(uint64_t addr)
{
	int ret = check_open();

	return ret ? ret : mem_error(addr);
}

/* May the module be asked at all?  Otherwise @reason says why not. */
static bool may_be_direct(struct engine_req *req)
{
	req->direct = 0;
	req->route = NVFS_ROUTE_NONE;
	req->reason = NVFS_REASON_NONE;
	if (req->gpu == ENGINE_HOST || !req->length || !req->file)
		return false;
	if (engine.no_direct || req->file->no_direct)
		req->reason = NVFS_REASON_NOT_WANTED;
	else if (nvfs_module_error(engine.nvfs))
		req->reason = NVFS_REASON_NO_MODULE;
	return !req->reason;
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

static void set_result(struct engine_req *req, ssize_t ret,
		       const struct nvfs_result *res)
{
	req->reason = res->reason;
	req->done = res->done;
	req->direct = res->direct;
	req->route = res->route;
	req->error = ret < 0 ? (int)ret : 0;
}

static struct span span_of(const struct engine_req *req, uint64_t offset)
{
	return (struct span){
		.region_offset = offset,
		.file_offset = req->file_offset,
		.length = req->length,
		.fd = req->file->fd,
		.write = req->write,
		.file = req->file,
	};
}

static int run_module(struct engine_req *req)
{
	struct nvfs_region *region;
	struct nvfs_result res;
	struct memory *memory;
	uint64_t offset;
	ssize_t ret;

	memory = mem_get(req->gpu, req->addr, req->length, &region, &offset,
			 &req->reason);
	if (!memory)
		return run_host(req);
	if (region->error) {
		req->reason = region->reason;
		mem_put(memory, false);
		return run_host(req);
	}
	ret = span_move(region, span_of(req, offset),
			req->no_bounce ? SPAN_DIRECT : SPAN_BOUNCE, &res);
	mem_put(memory, ret == -ESTALE);
	set_result(req, ret, &res);
	if (ret < 0 && !req->no_bounce && try_host(res.done, (int)ret))
		return run_host(req);
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

/* @apart: by threads that nobody in the GPU's driver keeps waiting. */
static int post_errand(struct engine_req *list, bool apart,
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
	ret = apart ? ferry_post(task, 1) : crew_post(&task, 1);
	if (ret)
		free(errand);
	return ret;
}

/* Requests that were bound to a region. */

static void unbind(struct engine_req *req, bool stale)
{
	if (req->priv.bound)
		mem_put(req->priv.memory, stale);
	req->priv.bound = false;
}

void engine_unbind(struct engine_req *req)
{
	unbind(req, false);
}

/*
 * Can the file reach the region?  -EAGAIN: no, and @req->reason says why.
 * Other errors are those of the question itself.
 */
static int check_way(struct engine_req *req, struct nvfs_region *region)
{
	struct nvfs_query query = { .size = sizeof(query) };
	int ret;

	if (region->error) {
		req->reason = region->reason;
		return -EAGAIN;
	}
	ret = nvfs_query_region(region, req->file->fd, &query);
	if (ret) {
		req->reason = ret == -ESTALE ? NVFS_REASON_NO_REGION :
					       NVFS_REASON_NONE;
		return ret;
	}
	req->reason = query.reason;
	return query.route == NVFS_ROUTE_DIRECT ? 0 : -EAGAIN;
}

static int bind(struct engine_req *req, uint64_t *first, uint64_t *end)
{
	struct nvfs_region *region;
	struct memory *memory;
	uint64_t offset;
	int ret;

	memory = mem_get(req->gpu, req->addr, req->length, &region, &offset,
			 &req->reason);
	if (!memory)
		return -EAGAIN;
	ret = check_way(req, region);
	if (ret) {
		mem_put(memory, ret == -ESTALE);
		return ret;
	}
	req->priv.memory = memory;
	req->priv.bound = true;
	*first = region->addr;
	*end = region->addr + region->length;
	return 0;
}

int engine_bind(struct engine_req *req, uint64_t *first, uint64_t *end)
{
	int ret = check_open();

	req->priv.bound = false;
	if (ret || req->gpu == ENGINE_HOST)
		return ret;
	if (!may_be_direct(req) ||
	    (req->write && (req->file->flags & O_APPEND)))
		return -EAGAIN;
	ret = bind(req, first, end);
	/* It was freed, and forgotten now: there may be other memory. */
	if (ret == -ESTALE)
		ret = bind(req, first, end);
	return !ret || req->no_bounce ? ret : -EAGAIN;
}

/* Where the request's bytes are in its region.  False: not in there. */
static bool place_bound(struct engine_req *req)
{
	const struct nvfs_region *region = mem_region(req->priv.memory);
	uint64_t offset = req->addr - region->addr;

	if (req->addr < region->addr || offset > region->length ||
	    req->length > region->length - offset)
		return false;
	req->priv.region = region->reg.region;
	req->priv.offset = region->lead + offset;
	return true;
}

static void run_bound(struct engine_req *req)
{
	struct nvfs_region *region = mem_region(req->priv.memory);
	struct nvfs_result res;
	ssize_t ret;

	ret = span_move(region, span_of(req, req->priv.offset - region->lead),
			req->no_bounce ? SPAN_DIRECT : SPAN_MODULE_BOUNCE,
			&res);

	set_result(req, ret, &res);
	unbind(req, ret == -ESTALE);
}

/* One request that is waited for. */

static void run_alone(struct engine_req *req)
{
	if (!req_claim(req, REQ_RUNNING)) {
		unbind(req, false);
		req->error = -ECANCELED;
	} else if (req->priv.bound) {
		run_bound(req);
	} else {
		run_module(req);
	}
}

static void lone_work(struct crew_task *task)
{
	run_alone(((struct errand *)task)->list);
}

static void lone_end(struct crew_task *task)
{
	struct engine_req *req = ((struct errand *)task)->list;

	free(task);
	req->complete(req);
}

static void go_alone(struct engine_req *req)
{
	bool bound = req->priv.bound;
	int ret;

	__atomic_store_n(&req->priv.state, REQ_WAITING, __ATOMIC_RELEASE);
	ret = post_errand(req, bound, lone_work, lone_end);
	if (!ret)
		return;
	if (!bound) {
		end_with(req, ret);
		return;
	}
	/* A stream waits for it: then this thread does it. */
	run_alone(req);
	req->complete(req);
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
	bool bound = req->priv.bound;
	int error = -(int)event->error;

	if (!bound)
		mem_put(req->priv.memory, error == -ESTALE);
	req->reason = event->reason;
	if (!bound && !req->no_bounce && try_host(event->done, error))
		return true;
	/* Not the request's fault, or one whose rest goes another way. */
	if (error == -EBUSY || error == -EINTR ||
	    (!bound && error == -EREMOTEIO && event->done)) {
		go_alone(req);
		return false;
	}
	unbind(req, error == -ESTALE);
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
		if (!req->priv.bound)
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
	ret = post_errand(list, false, find_work, find_end);
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

static void refuse(struct sorted *to, struct engine_req *req, int error)
{
	req->error = error;
	add(&to->refused, req);
}

static void sort_bound(struct sorted *to, struct engine_req *req)
{
	if (place_bound(req)) {
		add(&to->module, req);
		return;
	}
	unbind(req, false);
	refuse(to, req, -EFAULT);
}

static void sort_host(struct sorted *to, struct engine_req *req)
{
	if (req->no_bounce && req->gpu != ENGINE_HOST)
		refuse(to, req, -EREMOTEIO);
	else
		add(&to->host, req);
}

static void sort(struct sorted *to, struct engine_req *req)
{
	struct nvfs_region *region;
	struct memory *memory;
	uint64_t offset;

	req->done = 0;
	req->error = 0;
	__atomic_store_n(&req->priv.state, REQ_WAITING, __ATOMIC_RELEASE);
	if (req->priv.bound) {
		sort_bound(to, req);
		return;
	}
	if (!may_be_direct(req)) {
		sort_host(to, req);
		return;
	}
	memory = mem_get_added(req->gpu, req->addr, req->length, &region,
			       &offset);
	if (!memory)
		add(&to->find, req);
	else if (set_memory(req, memory, region, offset))
		add(&to->module, req);
	else
		sort_host(to, req);
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
		end_with(req, req->error);
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
		special |= may_be_direct(reqs[i]) || reqs[i]->no_bounce ||
			   reqs[i]->priv.bound;
	}
	if (!special)
		return host_submit(reqs, nr, host_ended);
	submit_sorted(reqs, nr);
	return 0;
}

int engine_submit_apart(struct engine_req *req)
{
	int ret = check_open();

	if (ret)
		return ret;
	if (!req || !req->complete || !req->file || req->gpu != ENGINE_HOST)
		return -EINVAL;
	may_be_direct(req);
	ret = host_submit_apart(req, host_ended);
	if (ret != -EAGAIN)
		return ret;
	/* No thread could be started: then this one does it. */
	req->done = 0;
	req->error = 0;
	run_host(req);
	req->complete(req);
	return 0;
}

int engine_enqueue(struct engine_req *req, const struct engine_place *place)
{
	uint32_t reason = req->reason;
	int ret = check_open();

	if (ret)
		return ret;
	if (!req->file || req->gpu == ENGINE_HOST || req->no_bounce)
		return -EAGAIN;
	if (may_be_direct(req))
		req->reason = reason;
	return ferry_put(place, req);
}

/* Of a GPU that was reset or has failed. */
static void end_lost(struct engine_req *req)
{
	unbind(req, false);
	req->direct = 0;
	req->route = NVFS_ROUTE_NONE;
	end_with(req, -EIO);
}

void engine_await(struct engine_req *req)
{
	const struct gpu_driver *driver;

	if (req->gpu != ENGINE_HOST && !engine_gpu(&driver))
		bound_await(driver, req);
}

/* Those that have memory in use; others need not be waited for. */
static void look_after_bound(void)
{
	bound_look(end_lost);
}

int engine_mem_del(uint64_t addr)
{
	int ret = check_open();

	return ret ? ret : mem_del(addr, look_after_bound);
}

void engine_look_after(void)
{
	if (check_open())
		return;
	dock_look();
	bound_look(end_lost);
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
