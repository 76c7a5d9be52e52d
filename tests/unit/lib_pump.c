// SPDX-License-Identifier: MIT
/*
 * Orders for code on the GPU, against a model of that code: a thread for each
 * turn, which looks at the board like the real one and may be told to begin
 * late, to leave early or to be lost.
 */
#include "lib_engine_fix.h"

#include "lane.h"
#include "pump.h"

#include <sched.h>
#include <time.h>

/* Looks without an order after which a turn of the model ends. */
#define IDLE_LOOKS	2000U
#define PATIENCE	(10ULL * 1000000000)

struct model_turn {
	struct pump_board *board;
	uint32_t turn;
	pthread_t before;
	bool has_before;
};

static struct {
	pthread_t last[PUMPS];
	bool any[PUMPS];
	_Atomic unsigned int turns, orders;
	/* Turns that look, and how often each slot was looked at. */
	_Atomic unsigned int running, rounds;
	/* Turns don't begin; end as soon as they began; end after one order. */
	_Atomic bool busy, idle, hasty;
	_Atomic bool lost;
	/* Of which the GPU was reset. */
	_Atomic bool gone;
	_Atomic int prepared;
	bool over;
	uint64_t unreachable;
	/* All of these are found broken while somebody asks what is reached. */
	struct pumps *breaks;
} model;

static bool serve(struct pump_slot *slot)
{
	uint32_t next = atomic_load(&slot->done) + 1;
	uint64_t gpu = atomic_load(&slot->order[0]);
	uint64_t host = atomic_load_explicit(&slot->order[1],
					     memory_order_acquire);
	uint64_t tag = 15ULL << PUMP_TAG_SHIFT, length;
	void *at_gpu, *at_host;

	if ((gpu & tag) != pump_tag(next) || (host & tag) != pump_tag(next))
		return false;
	length = ((host & ~tag) >> PUMP_HOST_BITS) + 1;
	at_host = (void *)(uintptr_t)(host & ((1ULL << PUMP_HOST_BITS) - 1));
	at_gpu = (void *)(uintptr_t)(gpu & (PUMP_OUT - 1));
	memcpy(gpu & PUMP_OUT ? at_host : at_gpu,
	       gpu & PUMP_OUT ? at_gpu : at_host, length);
	atomic_fetch_add(&model.orders, 1);
	atomic_store_explicit(&slot->done, next, memory_order_release);
	return true;
}

static void serve_all(struct pump_board *board)
{
	for (unsigned int idle = 0; idle < IDLE_LOOKS && !model.idle; idle++) {
		atomic_fetch_add(&model.rounds, 1);
		for (unsigned int i = 0; i < PUMP_SLOTS; i++) {
			if (!serve(&board->slots[i]))
				continue;
			if (model.hasty)
				return;
			idle = 0;
		}
		sched_yield();
	}
}

static void *run_turn(void *arg)
{
	struct model_turn *turn = arg;

	if (turn->has_before)
		pthread_join(turn->before, NULL);
	while (model.busy)
		sched_yield();
	for (unsigned int i = 0; i < PUMP_BLOCKS && !model.lost; i++)
		atomic_store(&turn->board->started[i], turn->turn);
	atomic_fetch_add(&model.running, 1);
	if (!model.lost)
		serve_all(turn->board);
	atomic_fetch_sub(&model.running, 1);
	for (unsigned int i = 0; i < PUMP_SLOTS && !model.lost; i++)
		atomic_store_explicit(&turn->board->slots[i].left, turn->turn,
				      memory_order_release);
	free(turn);
	return NULL;
}

static int model_prepare(void)
{
	return model.prepared;
}

static int model_open(unsigned int index, unsigned int nr, void **pumps)
{
	assert_int_equal(index, 0);
	assert_int_equal(nr, PUMPS);
	*pumps = &model;
	return 0;
}

static void join_all(void)
{
	for (unsigned int i = 0; i < PUMPS; i++) {
		if (model.any[i])
			pthread_join(model.last[i], NULL);
		model.any[i] = false;
	}
}

/* The model's turns end when they are told to, not after microseconds. */
static void end_turns(void)
{
	model.idle = true;
	join_all();
}

static void model_close(void *pumps, bool over)
{
	assert_ptr_equal(pumps, &model);
	model.over = over;
	if (over)
		join_all();
}

static int model_start(void *pumps, unsigned int pump,
		       struct pump_board *board, uint32_t turn,
		       uint32_t linger_ns, uint32_t life_ns)
{
	struct model_turn *new = malloc(sizeof(*new));

	assert_ptr_equal(pumps, &model);
	assert_non_null(new);
	assert_true(linger_ns && linger_ns < life_ns);
	*new = (struct model_turn){ board, turn, model.last[pump],
				    model.any[pump] };
	atomic_fetch_add(&model.turns, 1);
	assert_int_equal(pthread_create(&model.last[pump], NULL, run_turn,
					new), 0);
	model.any[pump] = true;
	return 0;
}

static int model_poll(void *pumps, unsigned int pump)
{
	(void)pumps;
	(void)pump;
	return model.lost ? -EIO : 0;
}

static bool model_alive(void *pumps)
{
	assert_ptr_equal(pumps, &model);
	return !model.gone;
}

static bool model_reaches(unsigned int index, uint64_t addr, uint64_t length)
{
	(void)index;
	for (unsigned int i = 0; model.breaks && i < PUMPS; i++)
		model.breaks->all[i].broken = true;
	return model.unreachable < addr || model.unreachable >= addr + length;
}

static const struct gpu_pumps model_pumps = {
	.prepare = model_prepare,
	.open = model_open,
	.close = model_close,
	.start = model_start,
	.poll = model_poll,
	.alive = model_alive,
	.reaches = model_reaches,
};

static void model_reset(void)
{
	memset(&model, 0, sizeof(model));
	fast_gpu.pumps = &model_pumps;
}

static bool in_time(uint64_t since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec <
	       since + PATIENCE;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct gpu_copy copy_of(unsigned char *gpu, unsigned char *host,
			       uint64_t length)
{
	return (struct gpu_copy){ (uintptr_t)gpu, host, length };
}

/* Come again until a turn runs, as those do who have small copies. */
static void begin(struct pumps *pumps, struct pump_trip *trip,
		  const struct gpu_copy *copy, bool out)
{
	uint64_t since = clock_ns();

	while (!pump_begin(pumps, trip, copy, out)) {
		assert_true(in_time(since));
		sched_yield();
	}
}

static int finish(struct pump_trip *trip)
{
	uint64_t since = clock_ns();
	int ret;

	while ((ret = pump_move(trip)) == PUMP_BUSY) {
		assert_true(in_time(since));
		sched_yield();
	}
	return ret;
}

#define ROOM	(256U << 10)

static unsigned char *make_room(unsigned int seed)
{
	unsigned char *room = aligned_alloc(4096, ROOM);

	assert_non_null(room);
	for (unsigned int i = 0; i < ROOM; i++)
		room[i] = (unsigned char)((i + seed) * 2654435761u >> 13);
	return room;
}

/* A turn may end between two orders: then the copy is made once more. */
static void carry(struct pumps *pumps, const struct gpu_copy *copy, bool out)
{
	struct pump_trip trip;

	do {
		begin(pumps, &trip, copy, out);
	} while (finish(&trip) == -ECANCELED);
}

static void copies_of_any_size_arrive_both_ways(void **state)
{
	static const unsigned int sizes[] = { 1, 15, 16, 17, 4095, 4096, 4097,
					      65536, 65536 + 4096 + 5 };
	unsigned char *host = make_room(1), *gpu = make_room(2);
	unsigned char *back = make_room(3);
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned int at = 0; at < 48; at += 13) {
			struct gpu_copy copy = copy_of(gpu + at, host + at + 16,
						       sizes[i]);

			memset(gpu, 0x5a, ROOM);
			memset(back, 0xa5, ROOM);
			carry(&pumps, &copy, false);
			assert_memory_equal(gpu + at, host + at + 16, sizes[i]);
			assert_int_equal(gpu[at + sizes[i]], 0x5a);
			assert_true(!at || gpu[at - 1] == 0x5a);
			copy.host = back + at;
			carry(&pumps, &copy, true);
			assert_memory_equal(back + at, gpu + at, sizes[i]);
			assert_int_equal(back[at + sizes[i]], 0xa5);
		}
	}
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
	free(back);
}

static void what_it_can_not_carry_is_not_taken(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64), odd = copy, gone = copy;
	struct pump_trip trip;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	/* It is not even there. */
	assert_false(pump_begin(&pumps, &trip, &copy, false));
	assert_int_equal(pumps_open(&pumps), 0);
	carry(&pumps, &copy, false);
	odd.host = host + 1;
	model.unreachable = (uintptr_t)gpu + 4096 + 63;
	gone.gpu = (uintptr_t)gpu + 4096;
	for (unsigned int i = 0; i < 20; i++) {
		carry(&pumps, &copy, false);
		assert_false(pump_begin(&pumps, &trip, &odd, false));
		assert_false(pump_begin(&pumps, &trip, &gone, false));
	}
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* The application has all of the GPU, for ever as far as we know. */
static void busy_gpu_is_not_waited_for(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trip;
	struct pumps pumps;
	void *boards;

	(void)state;
	model_reset();
	model.busy = true;
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < 10000; i++)
		assert_false(pump_begin(&pumps, &trip, &copy, false));
	/* One turn waits, and no other is started behind it. */
	assert_int_equal(model.turns, 1);
	assert_int_equal(model.orders, 0);
	boards = pumps.boards;
	assert_false(pumps_close(&pumps));
	assert_false(model.over);
	/* What it will look at is still there. */
	model.busy = false;
	join_all();
	assert_int_equal(model.orders, 0);
	fast_host_put(0, boards);
	free(host);
	free(gpu);
}

static void begins_when_the_gpu_has_time(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trip;
	struct pumps pumps;

	(void)state;
	model_reset();
	model.busy = true;
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < 100; i++)
		assert_false(pump_begin(&pumps, &trip, &copy, false));
	model.busy = false;
	carry(&pumps, &copy, false);
	assert_memory_equal(gpu, host, 64);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/*
 * A turn ends under an order: nobody carries it out later, when the bytes are
 * something else.
 */
static void order_that_is_left_is_withdrawn(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 20000);
	struct gpu_copy other = copy_of(gpu + 65536, host, 64);
	struct pump_trip trip;
	struct pumps pumps;
	unsigned int left = 0;

	(void)state;
	model_reset();
	model.hasty = true;
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < 2000 && left < 5; i++) {
		begin(&pumps, &trip, &copy, false);
		if (finish(&trip) != -ECANCELED)
			continue;
		left++;
		memset(gpu, 0x77, 20000);
		for (unsigned int n = 0; n < 3; n++)
			carry(&pumps, &other, false);
		for (unsigned int n = 0; n < 20000; n++)
			assert_int_equal(gpu[n], 0x77);
	}
	assert_true(left);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

static void lost_gpu_ends_the_trip(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trip;
	struct pumps pumps;
	void *boards;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	boards = pumps.boards;
	carry(&pumps, &copy, false);
	/* It never says that it left. */
	model.lost = true;
	end_turns();
	if (pump_begin(&pumps, &trip, &copy, false))
		assert_int_equal(finish(&trip), -ECANCELED);
	for (unsigned int i = 0; i < 100; i++)
		assert_false(pump_begin(&pumps, &trip, &copy, false));
	if (!pumps_close(&pumps))
		fast_host_put(0, boards);
	free(host);
	free(gpu);
}

/* Its memory is gone as well, so nobody looks at it. */
static void reset_gpu_is_left_alone(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trip;
	struct pumps pumps;
	void *boards;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	boards = pumps.boards;
	carry(&pumps, &copy, false);
	end_turns();
	model.gone = true;
	assert_int_equal(mprotect(boards, 8192, PROT_NONE), 0);
	for (unsigned int i = 0; i < 100; i++)
		assert_false(pump_begin(&pumps, &trip, &copy, false));
	assert_true(pumps_close(&pumps));
	assert_false(model.over);
	/* Not given back to a driver that has forgotten it. */
	assert_int_equal(fast_pinned, 1);
	assert_int_equal(mprotect(boards, 8192, PROT_READ | PROT_WRITE), 0);
	fast_host_put(0, boards);
	free(host);
	free(gpu);
}

/* As if a turn ran, although there is none: it will never answer. */
static void strand(struct pumps *pumps)
{
	for (unsigned int i = 0; i < PUMPS; i++) {
		pumps->all[i].turn = 1;
		atomic_store(&pumps->all[i].free, (1ULL << PUMP_SLOTS) - 1);
	}
}

/* Another thread found out, after this one had looked and before its order. */
static void what_a_lost_gpu_was_given_is_not_done(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct lane_copy copy = { .copy = copy_of(gpu, host, 20000),
				  .pinned = true };
	uint64_t since = clock_ns();
	struct pumps pumps;
	struct lane lane;
	void *boards;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	boards = pumps.boards;
	strand(&pumps);
	model.breaks = &pumps;
	lane_init(&lane, &fast_gpu, 0, false, &pumps);
	lane_open(&lane);
	lane_push(&lane, &copy, 1);
	assert_true(copy.pumped);
	while (lane_state(&lane, &copy, 1) == LANE_BUSY) {
		assert_true(in_time(since));
		lane_drive(&lane);
	}
	/* The copy engine did it. */
	assert_int_equal(copy.state, 0);
	assert_false(copy.pumped);
	assert_memory_equal(gpu, host, 20000);
	lane_close(&lane);
	if (!pumps_close(&pumps))
		fast_host_put(0, boards);
	free(host);
	free(gpu);
}

/* No order is taken for the one before, also where their number wraps. */
static void order_after_the_last_number_is_another(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < PUMPS * PUMP_SLOTS; i++) {
		struct pump *pump = &pumps.all[i / PUMP_SLOTS];

		pump->orders[i % PUMP_SLOTS] = UINT32_MAX - 20;
		atomic_store(&pump->board->slots[i % PUMP_SLOTS].done,
			     UINT32_MAX - 20);
	}
	for (unsigned int i = 0; i < 40; i++) {
		struct gpu_copy copy = copy_of(gpu + i * 64, host + i * 64, 64);

		carry(&pumps, &copy, false);
		/* It looks at the old one before there is a new one. */
		for (unsigned int r = model.rounds; model.running &&
		     model.rounds - r < 2;)
			sched_yield();
	}
	assert_memory_equal(gpu, host, 40 * 64);
	end_turns();
	/* Each was carried out once: nobody had to come again. */
	assert_int_equal(model.orders, 40);
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

struct copier {
	struct pumps *pumps;
	unsigned int id;
	unsigned int pumped;
	pthread_t thread;
};

/* As the engine does it, there and back, while turns come and go. */
static void *copy_at_random(void *arg)
{
	struct copier *copier = arg;
	unsigned char *host = make_room(copier->id), *gpu = make_room(99);
	unsigned char *back = make_room(98);
	struct lane lanes[2];
	struct lane_copy copy;

	for (unsigned int out = 0; out < 2; out++) {
		lane_init(&lanes[out], &fast_gpu, 0, out, copier->pumps);
		lane_open(&lanes[out]);
	}
	for (unsigned int i = 0; i < 150; i++) {
		uint64_t length = 1 + i * 7919u % 20000;
		uint64_t at = i * 31 % 4096;

		for (unsigned int out = 0; out < 2; out++) {
			struct lane *lane = &lanes[out];

			copy.copy = copy_of(gpu + at, (out ? back : host) + at,
					    length);
			copy.pinned = true;
			lane_push(lane, &copy, 1);
			copier->pumped += copy.pumped;
			while (lane_state(lane, &copy, 1) == LANE_BUSY)
				lane_drive(lane);
			assert_int_equal(copy.state, 0);
		}
		assert_memory_equal(back + at, host + at, length);
	}
	lane_close(&lanes[0]);
	lane_close(&lanes[1]);
	free(host);
	free(gpu);
	free(back);
	return NULL;
}

static void many_threads_lose_nothing_while_turns_end(void **state)
{
	struct copier copiers[6];
	unsigned int pumped = 0;
	struct pumps pumps;

	(void)state;
	for (unsigned int hasty = 0; hasty < 2; hasty++) {
		model_reset();
		model.hasty = hasty;
		pumps_init(&pumps, &fast_gpu, 0);
		assert_int_equal(pumps_open(&pumps), 0);
		for (unsigned int i = 0; i < 6; i++) {
			copiers[i] = (struct copier){ &pumps, i, 0, 0 };
			pthread_create(&copiers[i].thread, NULL, copy_at_random,
				       &copiers[i]);
		}
		for (unsigned int i = 0; i < 6; i++) {
			pthread_join(copiers[i].thread, NULL);
			pumped += copiers[i].pumped;
		}
		end_turns();
		assert_true(pumps_close(&pumps));
	}
	assert_true(pumped);
	assert_int_equal(fast_pinned, 0);
}

static void engine_uses_it_when_it_is_warm(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	model_reset();
	assert_int_equal(engine_warm(0), -ENOTCONN);
	open_fixture(&f);
	model.prepared = -EAGAIN;
	assert_int_equal(engine_warm(0), -EAGAIN);
	model.prepared = 0;
	assert_int_equal(engine_warm(7), -ENODEV);
	assert_int_equal(engine_warm(0), 0);
	assert_int_equal(engine_warm(0), 0);
	for (unsigned int i = 0; i < 20000 && !model.orders; i++) {
		uint64_t at = i % 512 * 4096;

		req = request(&f, at, 0, 4096, false);
		assert_int_equal(engine_run(&req), 0);
		assert_memory_equal(f.gpu, f.bytes + at, 4096);
	}
	assert_true(model.orders);
	end_turns();
	close_fixture(&f);
}

/* Code on the GPU would fault, and the application's context be lost. */
static void memory_that_is_not_pinned_is_left_to_the_engine(void **state)
{
	struct engine_req req;
	struct fixture f;

	(void)state;
	model_reset();
	open_fixture(&f);
	assert_int_equal(engine_warm(0), 0);
	fast_no_host = true;
	for (unsigned int i = 0; i < 2000; i++) {
		req = request(&f, 0, 0, 4096, i % 2);
		assert_int_equal(engine_run(&req), 0);
	}
	assert_int_equal(model.orders, 0);
	end_turns();
	close_fixture(&f);
}

static void is_off_when_not_wanted(void **state)
{
	struct engine_pool pool;
	struct fixture f;

	(void)state;
	model_reset();
	engine_pool_get(&pool);
	pool.no_pump = true;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_fixture(&f);
	assert_int_equal(engine_warm(0), -ENOSYS);
	close_fixture(&f);
	pool.no_pump = false;
	assert_int_equal(engine_pool_set(&pool), 0);
	open_fixture(&f);
	fast_gpu.pumps = NULL;
	assert_int_equal(engine_warm(0), -ENOSYS);
	close_fixture(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(copies_of_any_size_arrive_both_ways),
		mock_test(what_it_can_not_carry_is_not_taken),
		mock_test(busy_gpu_is_not_waited_for),
		mock_test(begins_when_the_gpu_has_time),
		mock_test(order_that_is_left_is_withdrawn),
		mock_test(lost_gpu_ends_the_trip),
		mock_test(reset_gpu_is_left_alone),
		mock_test(what_a_lost_gpu_was_given_is_not_done),
		mock_test(order_after_the_last_number_is_another),
		mock_test(many_threads_lose_nothing_while_turns_end),
		mock_test(engine_uses_it_when_it_is_warm),
		mock_test(memory_that_is_not_pinned_is_left_to_the_engine),
		mock_test(is_off_when_not_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
