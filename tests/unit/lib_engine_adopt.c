// SPDX-License-Identifier: MIT
/* Memory that nobody registered: requests do, together or in vain. */
#include "lib_engine_fix.h"

#include <sched.h>

#include "internal.h"

#define THREADS		4U
#define SECOND		1000000000ULL

/* The clock goes this much fast. */
static _Atomic uint64_t skew;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int ret = (int)syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += (time_t)(skew / SECOND);
	now->tv_nsec += (long)(skew % SECOND);
	now->tv_sec += now->tv_nsec / (long)SECOND;
	now->tv_nsec %= (long)SECOND;
	return ret;
}

static _Atomic unsigned int registrations, together, finished;
/* All are refused with it; or of those that come together the n-th, 1 is first. */
static _Atomic int refusal;
static _Atomic unsigned int refused_one;
/* That one is answered when the other's request has ended, or the other way. */
static _Atomic bool refused_first;

static int register_together(void *arg)
{
	unsigned int number = ++registrations;
	bool refused = number == refused_one;

	for (unsigned int i = 0; registrations < together && i < 100000; i++)
		sched_yield();
	while (refused_one && refused != refused_first && !finished)
		sched_yield();
	return refused ? model_fail(EDQUOT) : model_call(NVFS_IOC_REGISTER, arg);
}

static int counting_call(unsigned long nr, void *arg)
{
	if (nr != NVFS_IOC_REGISTER)
		return model_call(nr, arg);
	if (together)
		return register_together(arg);
	registrations++;
	return refusal ? model_fail(refusal) : model_call(nr, arg);
}

static struct fixture fix;

/* Each MiB of the memory is an allocation, of which @cached bytes are pinned. */
static void open_module(uint64_t cached)
{
	struct engine_pool pool;

	mock_model();
	mock_handler = counting_call;
	small_pool(256 * KIB, 2 * MIB, 2);
	engine_pool_get(&pool);
	pool.cache_bytes = cached;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_rest(&fix);
	registrations = 0;
	together = 0;
	finished = 0;
	refusal = 0;
	refused_one = 0;
	refused_first = false;
}

static void use_part(unsigned int part)
{
	fast_mem = (struct gpu_mem){
		.kind = GPU_MEM_DEVICE,
		.base = (uintptr_t)fix.gpu + part * MIB,
		.length = MIB,
		.id = 1 + part,
	};
}

static uint32_t route_of(unsigned int part)
{
	struct engine_req req = request(&fix, 0, part * MIB, 4096, false);

	use_part(part);
	assert_int_equal(engine_run(&req), 0);
	assert_memory_equal(fix.gpu + part * MIB, fix.bytes, 4096);
	return req.route;
}

static unsigned int count_regions(void)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < MODEL_REGIONS; i++)
		nr += !!model_regions[i].region;
	return nr;
}

static void *read_once(void *arg)
{
	struct engine_req req = request(&fix, 0, (uintptr_t)arg * 4096, 4096,
					false);
	bool bad = engine_run(&req);

	finished++;
	return (void *)(uintptr_t)(bad ? 99 : req.route);
}

/* @routes: how often each way was taken. */
static void read_together(unsigned int nr, unsigned int routes[4])
{
	pthread_t threads[THREADS];
	void *route;

	memset(routes, 0, 4 * sizeof(*routes));
	use_part(0);
	together = nr;
	for (uintptr_t i = 0; i < nr; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_once,
						(void *)i), 0);
	for (unsigned int i = 0; i < nr; i++) {
		pthread_join(threads[i], &route);
		assert_in_range((uintptr_t)route, 0, 3);
		routes[(uintptr_t)route]++;
	}
	together = 0;
	assert_int_equal(registrations, nr);
}

/* ------------------------------------------------------------------ tests */

static void threads_that_come_together_leave_one_region(void **state)
{
	unsigned int routes[4];

	(void)state;
	open_module(4 * MIB);
	read_together(THREADS, routes);
	assert_int_equal(routes[NVFS_ROUTE_DIRECT], THREADS);
	assert_int_equal(count_regions(), 1);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	/* What is counted is one, too. */
	assert_int_equal(route_of(1), NVFS_ROUTE_DIRECT);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, THREADS + 1);
	close_fixture(&fix);
	assert_int_equal(count_regions(), 0);
}

static void refused_double_does_not_hide_the_pinned(void **state)
{
	unsigned int routes[4];

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		open_module(4 * MIB);
		refused_one = 1 + i % 2;
		refused_first = i / 2;
		read_together(2, routes);
		/* Who is refused while the other is there takes his. */
		assert_int_equal(routes[NVFS_ROUTE_DIRECT],
				 refused_first ? 1 : 2);
		assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
		assert_int_equal(registrations, 2);
		close_fixture(&fix);
	}
}

static void refusal_counts_for_a_second(void **state)
{
	(void)state;
	open_module(4 * MIB);
	refusal = EDQUOT;
	for (unsigned int i = 0; i < 30; i++) {
		/* Not at each request, but now and then. */
		if (i && !(i % 10))
			skew += SECOND;
		assert_int_equal(route_of(0), NVFS_ROUTE_BOUNCE);
		assert_int_equal(registrations, 1 + i / 10);
	}
	refusal = 0;
	assert_int_equal(route_of(0), NVFS_ROUTE_BOUNCE);
	skew += SECOND;
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
		skew += 2 * SECOND;
	}
	assert_int_equal(registrations, 4);
	assert_int_equal(count_regions(), 1);
	close_fixture(&fix);
}

/* It has no memory of the GPU, and is no reason to give some back. */
static void refusal_takes_no_room(void **state)
{
	(void)state;
	open_module(2 * MIB);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	refusal = ENOMEM;
	assert_int_equal(route_of(1), NVFS_ROUTE_BOUNCE);
	refusal = 0;
	assert_int_equal(route_of(2), NVFS_ROUTE_DIRECT);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, 3);
	assert_int_equal(count_regions(), 2);
	/* But what is pinned is. */
	skew += SECOND;
	assert_int_equal(route_of(1), NVFS_ROUTE_DIRECT);
	assert_int_equal(count_regions(), 2);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, 4);
	assert_int_equal(route_of(2), NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, 5);
	close_fixture(&fix);
}

/* As many of them go as it takes. */
static void large_allocation_takes_the_room_of_several(void **state)
{
	struct engine_req req;

	(void)state;
	open_module(2 * MIB);
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	assert_int_equal(route_of(1), NVFS_ROUTE_DIRECT);
	use_part(2);
	fast_mem.length = 2 * MIB;
	req = request(&fix, 0, 2 * MIB, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(count_regions(), 1);
	/* And it goes for a small one. */
	assert_int_equal(route_of(0), NVFS_ROUTE_DIRECT);
	assert_int_equal(count_regions(), 1);
	assert_int_equal(route_of(1), NVFS_ROUTE_DIRECT);
	assert_int_equal(count_regions(), 2);
	assert_int_equal(registrations, 5);
	close_fixture(&fix);
}

/* Memory that was refused may be freed, and nobody ever says so. */
static void old_refusals_are_forgotten(void **state)
{
	(void)state;
	open_module(4 * MIB);
	refusal = ENODEV;
	assert_int_equal(route_of(0), NVFS_ROUTE_BOUNCE);
	assert_int_equal(route_of(1), NVFS_ROUTE_BOUNCE);
	assert_int_equal(engine_nvfs()->nr_children, 2);
	skew += SECOND;
	assert_int_equal(route_of(1), NVFS_ROUTE_BOUNCE);
	assert_int_equal(registrations, 3);
	/* Another allocation in the place of the second. */
	fast_mem.id = 7;
	struct engine_req req = request(&fix, 0, MIB, 4096, false);

	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(registrations, 4);
	assert_int_equal(engine_nvfs()->nr_children, 1);
	close_fixture(&fix);
}

/* Other memory at its address could not be told from it. */
static void memory_without_an_identity_is_not_registered(void **state)
{
	struct engine_req req;

	(void)state;
	open_module(4 * MIB);
	use_part(0);
	fast_mem.id = 0;
	req = request(&fix, 0, 0, 4096, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(req.reason, NVFS_REASON_NO_REGION);
	assert_int_equal(registrations, 0);
	/* By its owner it may be. */
	assert_int_equal(engine_mem_add(0, (uintptr_t)fix.gpu, MIB), 0);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, NVFS_ROUTE_DIRECT);
	close_fixture(&fix);
}

/* All of the memory is one range of addresses; the third MiB is not there. */
static int classify_pieces(uint64_t addr, struct gpu_mem *mem)
{
	uint64_t part = (addr - (uintptr_t)fix.gpu) / MIB;

	*mem = (struct gpu_mem){
		.kind = GPU_MEM_DEVICE,
		.base = (uintptr_t)fix.gpu,
		.length = fix.room,
		.piece = (uintptr_t)fix.gpu + part * MIB,
		.piece_length = part == 2 ? 0 : MIB,
		.id = part == 2 ? 0 : 1 + part,
	};
	return 0;
}

static int register_pieces(unsigned long nr, void *arg)
{
	const struct nvfs_register *reg = arg;

	if (nr == NVFS_IOC_REGISTER) {
		registrations++;
		if (reg->addr + reg->length > (uintptr_t)fix.gpu + 2 * MIB)
			return model_fail(EFAULT);
	}
	return model_call(nr, arg);
}

static void assert_route(uint64_t at, uint64_t length, uint32_t route)
{
	struct engine_req req = request(&fix, 0, at, length, false);

	memset(fix.gpu + at, 0, length);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.route, route);
	assert_memory_equal(fix.gpu + at, fix.bytes, length);
}

static void mapped_pieces_are_registered_each_by_itself(void **state)
{
	(void)state;
	open_module(4 * MIB);
	mock_handler = register_pieces;
	fast_gpu.classify = classify_pieces;
	for (unsigned int i = 0; i < 5; i++) {
		assert_route(4096, 8192, NVFS_ROUTE_DIRECT);
		assert_route(MIB + 4096, 8192, NVFS_ROUTE_DIRECT);
	}
	assert_int_equal(registrations, 2);
	/* Over both, and where nothing is (which the model lets pass). */
	assert_route(MIB - 4096, 8192, NVFS_ROUTE_BOUNCE);
	assert_route(2 * MIB, 8192, NVFS_ROUTE_BOUNCE);
	assert_route(0, MIB, NVFS_ROUTE_DIRECT);
	assert_int_equal(registrations, 2);
	fast_gpu.classify = fast_classify;
	close_fixture(&fix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(threads_that_come_together_leave_one_region),
		mock_test(refused_double_does_not_hide_the_pinned),
		mock_test(refusal_counts_for_a_second),
		mock_test(refusal_takes_no_room),
		mock_test(large_allocation_takes_the_room_of_several),
		mock_test(old_refusals_are_forgotten),
		mock_test(memory_without_an_identity_is_not_registered),
		mock_test(mapped_pieces_are_registered_each_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
