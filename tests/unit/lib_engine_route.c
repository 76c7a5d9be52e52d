// SPDX-License-Identifier: MIT
/* The engine with the module: which route a request takes, and what is kept. */
#include "lib_engine_fix.h"

#include <sched.h>

static void open_with_module(struct fixture *f)
{
	mock_model();
	small_pool(256 * KIB, 2 * MIB, 2);
	open_rest(f);
	fast_mem = (struct gpu_mem){
		.kind = GPU_MEM_DEVICE,
		.base = (uintptr_t)f->gpu,
		.length = f->room,
		.id = 1,
	};
}

static unsigned int count_regions(void)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < MODEL_REGIONS; i++)
		nr += !!model_regions[i].region;
	return nr;
}

static void added_memory_goes_direct(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), -EEXIST);
	/* From a place in the middle of it, too. */
	req = request(&f, 512, 65536, 8192, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 8192);
	assert_int_equal(req.direct, 8192);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(req.reason, NVFS_REASON_NONE);
	assert_memory_equal(f.gpu + 65536, f.bytes + 512, 8192);
	assert_int_equal(count_regions(), 1);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), -ENOENT);
	assert_int_equal(count_regions(), 0);
	close_fixture(&f);
}

static _Atomic unsigned int registrations, removals;

static int counting_call(unsigned long nr, void *arg)
{
	if (nr == NVFS_IOC_REGISTER)
		atomic_fetch_add(&registrations, 1);
	if (nr == NVFS_IOC_UNREGISTER)
		atomic_fetch_add(&removals, 1);
	return model_call(nr, arg);
}

static void unknown_memory_is_registered_once(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	mock_handler = counting_call;
	registrations = 0;
	for (unsigned int i = 0; i < 10; i++) {
		req = request(&f, i * 512, i * 4096, 4096, false);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
		assert_int_equal(registrations, 1);
	}
	/* Another allocation at the same address is other memory. */
	fast_mem.id = 2;
	req = request(&f, 0, 0, 4096, true);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, 2);
	assert_int_equal(count_regions(), 1);
	close_fixture(&f);
	assert_int_equal(count_regions(), 0);
}

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	(void)req;
	atomic_fetch_add(&ended, 1);
}

static void assert_not_wanted(const struct fixture *f,
			      const struct engine_req *req)
{
	assert_int_equal(req->error, 0);
	assert_int_equal(req->done, 8192);
	assert_int_equal(req->direct, 0);
	assert_int_equal(req->route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(req->reason, NVFS_REASON_NOT_WANTED);
	assert_memory_equal((void *)(uintptr_t)req->addr,
			    f->bytes + req->file_offset, 8192);
}

/* By no way, and no memory is pinned for it. */
static void no_way_leads_a_file_direct_that_may_not_go(bool added)
{
	struct engine_req reqs[3], *all[3];
	uint64_t first = 0, end = 0;
	struct fixture f;

	open_with_module(&f);
	if (added)
		assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	f.file.no_direct = true;
	for (unsigned int i = 0; i < 3; i++) {
		reqs[i] = request(&f, 512 + i * 8192, i * 65536, 8192, false);
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
	assert_int_equal(engine_run(&reqs[0]), 0);
	assert_not_wanted(&f, &reqs[0]);
	ended = 0;
	assert_int_equal(engine_submit(all, 1), 0);
	assert_int_equal(engine_submit(all + 1, 2), 0);
	while (ended < 3)
		sched_yield();
	for (unsigned int i = 0; i < 3; i++)
		assert_not_wanted(&f, &reqs[i]);
	assert_int_equal(engine_bind(&reqs[0], &first, &end), -EAGAIN);
	reqs[0].no_bounce = true;
	assert_int_equal(engine_run(&reqs[0]), -EREMOTEIO);
	assert_int_equal(reqs[0].reason, NVFS_REASON_NOT_WANTED);
	assert_int_equal(model_requests, 0);
	assert_int_equal(count_regions(), added);
	close_fixture(&f);
}

static void a_file_that_may_not_go_direct_does_not(void **state)
{
	(void)state;
	no_way_leads_a_file_direct_that_may_not_go(false);
}

static void nor_does_it_from_added_memory(void **state)
{
	(void)state;
	no_way_leads_a_file_direct_that_may_not_go(true);
}

static void unaligned_ends_go_through_host_memory(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	req = request(&f, 100, 100, 100000, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 100000);
	assert_int_equal(req.route, NVFS_ROUTE_MIXED);
	assert_int_equal(req.reason, NVFS_REASON_ALIGN);
	assert_true(req.direct > 90000 && req.direct < 100000);
	assert_memory_equal(f.gpu + 100, f.bytes + 100, 100000);
	close_fixture(&f);
}

static void refused_route_bounces_and_says_why(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	req = request(&f, 0, 0, MIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, MIB);
	assert_int_equal(req.direct, 0);
	assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(req.reason, NVFS_REASON_HOST_BRIDGE);
	assert_memory_equal(f.gpu, f.bytes, MIB);
	req.no_bounce = true;
	assert_int_equal(engine_run(&req), -EREMOTEIO);
	assert_int_equal(req.done, 0);
	assert_int_equal(req.route, NVFS_ROUTE_NONE);
	close_fixture(&f);
}

static int refusing_call(unsigned long nr, void *arg)
{
	return nr == NVFS_IOC_REGISTER ? model_fail(EDQUOT) :
					 model_call(nr, arg);
}

/* Its file is not looked at, opened and closed by each request once more. */
static void bounced_requests_keep_what_is_known_of_the_file(void **state)
{
	struct engine_req req;
	struct fixture f;
	int twin = -1;

	(void)state;
	open_with_module(&f);
	file_direct = f.file.fd;
	assert_int_equal(engine_file_init(&f.file, f.file.fd), 0);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	for (unsigned int i = 0; i < 4; i++) {
		/* Of the same region; of one that the module refuses. */
		if (i == 2) {
			mock_handler = refusing_call;
			fast_mem.id = 2;
		}
		/* What O_DIRECT does not write takes another descriptor. */
		req = request(&f, 5, 0, 1000, true);
		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, 1000);
		assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
		assert_true(f.file.twin >= 0);
		if (i)
			assert_int_equal(f.file.twin, twin);
		twin = f.file.twin;
	}
	close_fixture(&f);
}

/* As a request that is submitted. */
static void refused_region_is_no_way_for_strict_requests(void **state)
{
	struct engine_req req, *one = &req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	mock_handler = refusing_call;
	for (unsigned int i = 0; i < 4; i++) {
		if (i == 2)
			assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu,
							f.room), 0);
		req = request(&f, 0, 0, 4096, false);
		req.no_bounce = true;
		req.complete = count_end;
		ended = i % 2;
		if (i % 2)
			assert_int_equal(engine_run(&req), -EREMOTEIO);
		else
			assert_int_equal(engine_submit(&one, 1), 0);
		while (!ended)
			sched_yield();
		assert_int_equal(req.error, -EREMOTEIO);
		assert_int_equal(req.reason, NVFS_REASON_NO_REGION);
		assert_int_equal(req.done, 0);
		assert_int_equal(req.route, NVFS_ROUTE_NONE);
	}
	close_fixture(&f);
}

static void without_module_no_bounce_is_refused(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, 4096), 0);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, 0), -EINVAL);
	assert_int_equal(engine_mem_add(0, UINT64_MAX - 5, 10), -EOVERFLOW);
	req = request(&f, 0, 0, 4096, false);
	req.no_bounce = true;
	assert_int_equal(engine_run(&req), -EREMOTEIO);
	assert_int_equal(req.reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	close_fixture(&f);
}

/* The driver does not say what it is, so that nothing else is found. */
static void assert_added(struct fixture *f, uint64_t at, uint32_t route)
{
	struct engine_req req = request(f, 0, at, 4096, false);

	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, route);
}

static void added_memory_is_found_when_longer_one_has_gone(void **state)
{
	struct fixture f;

	(void)state;
	open_with_module(&f);
	fast_mem.length = 0;
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, 3 * MIB), 0);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu + MIB, 2 * MIB), 0);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu + 2 * MIB, 8192),
			 0);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu), 0);
	assert_added(&f, 0, NVFS_ROUTE_BOUNCE);
	assert_added(&f, 3 * MIB - 4096, NVFS_ROUTE_DIRECT);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu + MIB), 0);
	assert_added(&f, 2 * MIB + 4096, NVFS_ROUTE_DIRECT);
	assert_added(&f, 2 * MIB + 8192, NVFS_ROUTE_BOUNCE);
	assert_int_equal(engine_mem_del((uintptr_t)f.gpu + 2 * MIB), 0);
	assert_added(&f, 2 * MIB, NVFS_ROUTE_BOUNCE);
	close_fixture(&f);
}

static _Atomic unsigned int questions;

static int counting_classify(uint64_t addr, struct gpu_mem *mem)
{
	atomic_fetch_add(&questions, 1);
	return fast_classify(addr, mem);
}

static void the_driver_is_not_asked_about_added_memory(void **state)
{
	struct engine_req req, *one = &req;
	struct gpu_driver counting;
	uint64_t first, end;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	counting = fast_gpu;
	counting.classify = counting_classify;
	gpu_set_driver(&counting);
	questions = 0;
	req = request(&f, 0, 0, 4096, false);
	req.complete = count_end;
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(questions, 1);
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	ended = 0;
	assert_int_equal(engine_submit(&one, 1), 0);
	while (!ended)
		sched_yield();
	assert_int_equal(engine_bind(&req, &first, &end), 0);
	engine_unbind(&req);
	assert_int_equal(questions, 1);
	close_fixture(&f);
}

/* A region whose memory was freed: the next request finds out. */
static int stale_call(unsigned long nr, void *arg)
{
	if (nr == NVFS_IOC_READ)
		return model_fail(ESTALE);
	return model_call(nr, arg);
}

static void freed_memory_is_forgotten(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	req = request(&f, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	mock_handler = stale_call;
	req = request(&f, 512, 0, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, 4096);
	assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
	assert_memory_equal(f.gpu, f.bytes + 512, 4096);
	assert_int_equal(count_regions(), 0);
	mock_handler = model_call;
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	close_fixture(&f);
}

static void io_error_of_the_module_is_not_tried_again(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	model_bad_offset = 4096;
	model_bad_errno = EIO;
	req = request(&f, 4096, 0, 4096, false);
	file_calls = 0;
	assert_int_equal(engine_run(&req), -EIO);
	assert_int_equal(req.done, 0);
	assert_int_equal(file_calls, 0);
	close_fixture(&f);
}

static void submitted_requests_go_direct_too(void **state)
{
	static struct engine_req reqs[40], *all[40];
	struct fixture f;

	(void)state;
	open_with_module(&f);
	ended = 0;
	for (unsigned int i = 0; i < 40; i++) {
		reqs[i] = request(&f, i * 4096, i * 8192, 4096, false);
		reqs[i].complete = count_end;
		/* Three kinds in one submission. */
		if (i % 3 == 1)
			reqs[i].no_bounce = true;
		if (i % 3 == 2)
			reqs[i].gpu = ENGINE_HOST;
		all[i] = &reqs[i];
	}
	assert_int_equal(engine_submit(all, 40), 0);
	while (ended < 40)
		sched_yield();
	for (unsigned int i = 0; i < 40; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, 4096);
		assert_int_equal(reqs[i].route, i % 3 == 2 ?
				 NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT);
		assert_memory_equal(f.gpu + i * 8192, f.bytes + i * 4096, 4096);
	}
	close_fixture(&f);
}

/* A read during which its memory is taken away. */

static pthread_t deleter;
static _Atomic bool deleting, reading;

static void *delete_memory(void *arg)
{
	deleting = true;
	assert_int_equal(engine_mem_del((uintptr_t)arg), 0);
	assert_false(reading);
	return NULL;
}

static int slow_call(unsigned long nr, void *arg)
{
	struct nvfs_rw *rw = arg;
	int ret;

	if (nr != NVFS_IOC_READ)
		return counting_call(nr, arg);
	reading = true;
	assert_int_equal(pthread_create(&deleter, NULL, delete_memory,
					(void *)(uintptr_t)model_regions[
						rw->region - 1].addr), 0);
	while (!deleting)
		sched_yield();
	for (unsigned int i = 0; i < 1000; i++)
		sched_yield();
	assert_int_equal(removals, 0);
	ret = model_call(nr, arg);
	reading = false;
	return ret;
}

static void memory_goes_when_its_last_read_has_ended(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	mock_handler = slow_call;
	removals = 0;
	deleting = false;
	assert_int_equal(engine_mem_add(0, (uintptr_t)f.gpu, f.room), 0);
	req = request(&f, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	pthread_join(deleter, NULL);
	assert_int_equal(removals, 1);
	close_fixture(&f);
}

/* Threads that read while others add and take away. */

static _Atomic bool stop;

static void *add_and_del(void *arg)
{
	struct fixture *f = arg;

	while (!stop) {
		assert_int_equal(engine_mem_add(0, (uintptr_t)f->gpu, f->room),
				 0);
		assert_int_equal(engine_mem_del((uintptr_t)f->gpu), 0);
	}
	return NULL;
}

static void memory_may_go_while_it_is_read(void **state)
{
	pthread_t thread;
	struct fixture f;

	(void)state;
	open_with_module(&f);
	fast_mem.length = 0;
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, add_and_del, &f), 0);
	for (unsigned int i = 0; i < 300; i++) {
		struct engine_req req = request(&f, i * 512, 0, 4096, false);

		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, 4096);
		assert_memory_equal(f.gpu, f.bytes + i * 512, 4096);
	}
	stop = true;
	pthread_join(thread, NULL);
	close_fixture(&f);
	assert_int_equal(count_regions(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(added_memory_goes_direct),
		mock_test(unknown_memory_is_registered_once),
		mock_test(a_file_that_may_not_go_direct_does_not),
		mock_test(nor_does_it_from_added_memory),
		mock_test(unaligned_ends_go_through_host_memory),
		mock_test(refused_route_bounces_and_says_why),
		mock_test(bounced_requests_keep_what_is_known_of_the_file),
		mock_test(refused_region_is_no_way_for_strict_requests),
		mock_test(without_module_no_bounce_is_refused),
		mock_test(added_memory_is_found_when_longer_one_has_gone),
		mock_test(the_driver_is_not_asked_about_added_memory),
		mock_test(freed_memory_is_forgotten),
		mock_test(io_error_of_the_module_is_not_tried_again),
		mock_test(submitted_requests_go_direct_too),
		mock_test(memory_goes_when_its_last_read_has_ended),
		mock_test(memory_may_go_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
