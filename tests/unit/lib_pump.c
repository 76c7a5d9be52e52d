// SPDX-License-Identifier: MIT
/* Orders for code on the GPU, against a model of that code. */
#include "lib_pump_model.h"

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
	assert_false(ask_and_begin(&pumps, &trip, &copy, false));
	assert_int_equal(pumps_open(&pumps), 0);
	carry(&pumps, &copy, false);
	odd.host = host + 1;
	model.unreachable = (uintptr_t)gpu + 4096 + 63;
	gone.gpu = (uintptr_t)gpu + 4096;
	for (unsigned int i = 0; i < 20; i++) {
		carry(&pumps, &copy, false);
		assert_false(ask_and_begin(&pumps, &trip, &odd, false));
		assert_false(ask_and_begin(&pumps, &trip, &gone, false));
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
		assert_false(ask_and_begin(&pumps, &trip, &copy, false));
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
		assert_false(ask_and_begin(&pumps, &trip, &copy, false));
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

static void wait_for_orders(unsigned int nr)
{
	uint64_t since = clock_ns();

	while (model.orders < nr) {
		assert_true(in_time(since));
		sched_yield();
	}
}

/* Who has all places need not move what he has there: it is the GPU that is slow or not. */
static void who_finds_no_place_is_not_kept(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, PUMP_MAX);
	struct pump_trip first, second, third;
	struct pumps pumps;

	(void)state;
	model_reset();
	model.stays = true;
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	begin(&pumps, &first, &copy, false);
	begin(&pumps, &second, &copy, false);
	begin(&pumps, &third, &copy, false);
	assert_int_equal(third.handed, 0);
	assert_int_equal(finish(&third), -ECANCELED);
	wait_for_orders(PUMP_SLOTS);
	assert_int_equal(finish(&first), 0);
	assert_int_equal(finish(&second), 0);
	for (unsigned int i = 0; i < PUMPS; i++)
		assert_int_equal(pumps.all[i].retry_ns, 0);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* It is found slow, once, and then carries all out; the pump. */
static struct pump *be_slow(struct pumps *pumps, const struct gpu_copy *copy)
{
	uint64_t since = clock_ns(), before;
	unsigned int orders = model.orders;
	struct pump_trip trip, other;

	model.deaf = true;
	begin(pumps, &trip, copy, false);
	begin(pumps, &other, copy, false);
	before = trip.pump->retry_ns;
	while (trip.pump->retry_ns == before) {
		assert_true(in_time(since));
		assert_int_equal(pump_move(&trip), PUMP_BUSY);
	}
	/* Others who find that, too, or he once more, change nothing. */
	before = trip.pump->retry_ns;
	while (clock_ns() < before - 5000000) {
		assert_int_equal(pump_move(&trip), PUMP_BUSY);
		assert_int_equal(pump_move(&other), PUMP_BUSY);
		assert_int_equal(trip.pump->retry_ns, before);
	}
	model.deaf = false;
	wait_for_orders(orders + 2);
	assert_int_equal(finish(&trip), 0);
	assert_int_equal(finish(&other), 0);
	return trip.pump;
}

/* Each time for longer, unless it was well for long. */
static void slow_gpu_is_left_alone_for_a_while(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	uint64_t rest, since = clock_ns();
	struct pump_trip trip;
	struct pumps pumps;
	struct pump *pump;

	(void)state;
	model_reset();
	model.stays = true;
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	pump = be_slow(&pumps, &copy);
	rest = pump->rest_ns;
	begin(&pumps, &trip, &copy, false);
	assert_true(clock_ns() >= pump->retry_ns);
	wait_for_orders(3);
	assert_int_equal(finish(&trip), 0);
	assert_ptr_equal(be_slow(&pumps, &copy), pump);
	assert_int_equal(pump->rest_ns, 2 * rest);
	assert_true(pump->retry_ns > since + rest);
	/* As if that had been long ago. */
	atomic_fetch_sub(&pump->retry_ns, 5000000000ULL);
	assert_ptr_equal(be_slow(&pumps, &copy), pump);
	assert_int_equal(pump->rest_ns, rest);
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
	if (ask_and_begin(&pumps, &trip, &copy, false))
		assert_int_equal(finish(&trip), -ECANCELED);
	for (unsigned int i = 0; i < 100; i++)
		assert_false(ask_and_begin(&pumps, &trip, &copy, false));
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
		assert_false(ask_and_begin(&pumps, &trip, &copy, false));
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
	struct pump_trip roused[PUMPS];
	struct lane lanes[2];
	struct lane_copy copy;

	for (unsigned int out = 0; out < 2; out++) {
		lane_init(&lanes[out], &fast_gpu, 0, out, copier->pumps);
		lane_open(&lanes[out]);
	}
	for (unsigned int i = 0; i < 150; i++) {
		uint64_t length = 1 + i * 7919u % 20000;
		uint64_t at = i * 31 % 4096;

		if (i % 6 == copier->id)
			pumps_rouse(copier->pumps, roused);
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
		while (i % 6 == copier->id && !pumps_settled(roused))
			sched_yield();
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

static void one_pass_asks_once_for_all_of_an_allocation(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct gpu_copy far = copy_of(gpu + ROOM / 2 - 32, host, 64);
	struct pump_trip trips[3];
	struct pump_pass pass;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	carry(&pumps, &copy, false);
	model.around.first = (uintptr_t)gpu;
	model.around.end = (uintptr_t)gpu + ROOM / 2;
	while (!pump_ask(&pumps, &pass))
		sched_yield();
	model.asked = 0;
	assert_true(pump_begin(&pass, &trips[0], &copy, false));
	copy.gpu = (uintptr_t)gpu + ROOM / 2 - 64;
	assert_true(pump_begin(&pass, &trips[1], &copy, false));
	assert_int_equal(model.asked, 1);
	/* Not all of it lies there. */
	assert_true(pump_begin(&pass, &trips[2], &far, false));
	assert_int_equal(model.asked, 2);
	for (unsigned int i = 0; i < 3; i++)
		finish(&trips[i]);
	/* The next one knows nothing. */
	carry(&pumps, &copy, false);
	assert_true(model.asked >= 3);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* Or the GPU would be given the second, and all that it does would fail. */
static void what_is_refused_is_refused_again_in_the_same_pass(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trip;
	struct pump_pass pass;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	carry(&pumps, &copy, false);
	model.unreachable = (uintptr_t)gpu + 5;
	model.around.first = (uintptr_t)gpu;
	model.around.end = (uintptr_t)gpu + ROOM;
	while (!pump_ask(&pumps, &pass))
		sched_yield();
	model.asked = 0;
	for (unsigned int i = 1; i < 4; i++) {
		assert_false(pump_begin(&pass, &trip, &copy, false));
		assert_int_equal(model.asked, i);
	}
	assert_false(pump_share(&pass, &trip, &copy, false));
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

static void settle(struct pump_trip *trips)
{
	while (!pumps_settled(trips))
		sched_yield();
}

/* Before anybody has come with a copy. */
static void roused_it_runs_for_the_first_copy(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trips[PUMPS];
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	/* It is not even there. */
	pumps_rouse(&pumps, trips);
	settle(trips);
	assert_int_equal(model.turns, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	model.busy = true;
	for (unsigned int i = 0; i < 100; i++) {
		pumps_rouse(&pumps, trips);
		settle(trips);
	}
	/* One turn of each waits, and no other is started behind it. */
	assert_int_equal(model.turns, PUMPS);
	model.busy = false;
	carry(&pumps, &copy, false);
	assert_memory_equal(gpu, host, 64);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* The model's turns end by themselves: so again, until one runs meanwhile. */
static void roused_a_turn_that_runs_has_an_order(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 64);
	struct pump_trip trips[PUMPS];
	unsigned int before, orders = 0;
	uint64_t since = clock_ns();
	struct pumps pumps;
	void *boards;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	boards = pumps.boards;
	while (!orders) {
		assert_true(in_time(since));
		carry(&pumps, &copy, false);
		before = model.orders;
		pumps_rouse(&pumps, trips);
		settle(trips);
		orders = model.orders - before;
	}
	assert_true(orders <= PUMPS);
	/* All slots are free again. */
	for (unsigned int i = 0; i < PUMPS; i++)
		assert_int_equal((uint32_t)pumps.all[i].free, UINT32_MAX);
	end_turns();
	model.idle = false;
	carry(&pumps, &copy, false);
	model.gone = true;
	before = model.turns;
	pumps_rouse(&pumps, trips);
	settle(trips);
	assert_int_equal(model.turns, before);
	assert_true(pumps_close(&pumps));
	end_turns();
	fast_host_put(0, boards);
	free(host);
	free(gpu);
}

static bool share(struct pumps *pumps, struct pump_trip *trip,
		  const struct gpu_copy *copy)
{
	uint64_t since = clock_ns();
	struct pump_pass pass;

	while (!pump_ask(pumps, &pass)) {
		assert_true(in_time(since));
		sched_yield();
	}
	return pump_share(&pass, trip, copy, false);
}

struct giver {
	struct pump_trip *trip;
	uint64_t first, length;
	pthread_t thread;
};

static void *give_part(void *arg)
{
	struct giver *giver = arg;

	pump_give(giver->trip, giver->first, giver->length);
	return NULL;
}

/* Of each piece it is known whether it was copied, and of none that will not be. */
static void a_shared_trip_tells_what_it_has(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 61000);
	unsigned int carried = 0, ended = 0;
	struct pump_trip trip;
	struct pumps pumps;
	int ret;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	for (unsigned int i = 0; i < 20000 && (!carried || !ended); i++) {
		model.hasty = i % 2;
		if (!share(&pumps, &trip, &copy))
			continue;
		pump_give(&trip, 0, copy.length);
		pump_gather(&trip);
		while (!pump_has(&trip, 0, copy.length) &&
		       (ret = pump_move(&trip)) == PUMP_BUSY)
			sched_yield();
		while ((ret = pump_move(&trip)) == PUMP_BUSY)
			sched_yield();
		assert_int_equal(pump_has(&trip, 0, copy.length), !ret);
		assert_int_equal(pump_has(&trip, 57344, 3656), !ret);
		carried += !ret;
		ended += !!ret;
	}
	assert_true(carried && ended);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* Its places are free, and what they are given next is carried out. */
static void a_trip_that_has_all_is_ended_without_a_look(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 65536);
	unsigned int ended = 0;
	struct pump_trip trip;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	model.stays = true;
	for (uint64_t since = clock_ns(); ended < 20;) {
		bool has;

		assert_true(in_time(since));
		if (!share(&pumps, &trip, &copy))
			continue;
		memset(gpu, 0x5a, copy.length);
		pump_give(&trip, 0, copy.length);
		pump_gather(&trip);
		while (!(has = pump_has(&trip, 0, copy.length)) &&
		       pump_move(&trip) == PUMP_BUSY)
			sched_yield();
		if (has)
			pump_end(&trip);
		ended += has;
		assert_int_equal((uint32_t)trip.pump->free, UINT32_MAX);
		assert_int_equal(trip.held, 0);
		if (has)
			assert_memory_equal(gpu, host, copy.length);
	}
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

static void threads_give_parts_of_a_shared_trip(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu + 32, host + 16, 61000);
	struct giver givers[4];
	struct pump_trip trip;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	do {
		memset(gpu, 0x5a, ROOM);
		assert_true(share(&pumps, &trip, &copy));
		for (unsigned int i = 0; i < 4; i++) {
			givers[i] = (struct giver){
				.trip = &trip,
				.first = (3 - i) * 16384,
				.length = i ? 16384 : 61000 - 3 * 16384,
			};
			pthread_create(&givers[i].thread, NULL, give_part,
				       &givers[i]);
		}
		for (unsigned int i = 0; i < 4; i++)
			pthread_join(givers[i].thread, NULL);
		pump_gather(&trip);
	} while (finish(&trip) == -ECANCELED);
	assert_memory_equal(gpu + 32, host + 16, 61000);
	assert_int_equal(gpu[31], 0x5a);
	assert_int_equal(gpu[32 + 61000], 0x5a);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

/* And nothing of it is kept: two such take all slots, a third one finds none. */
static void part_that_nobody_gave_ends_a_shared_trip(void **state)
{
	unsigned char *host = make_room(1), *gpu = make_room(2);
	struct gpu_copy copy = copy_of(gpu, host, 65536), odd;
	struct pump_trip trips[2], third;
	struct pumps pumps;

	(void)state;
	model_reset();
	pumps_init(&pumps, &fast_gpu, 0);
	assert_int_equal(pumps_open(&pumps), 0);
	odd = copy_of(gpu + 8, host + 8, 4096);
	for (unsigned int i = 0; i < 20; i++) {
		assert_false(share(&pumps, &third, &odd));
		if (!share(&pumps, &trips[0], &copy))
			continue;
		if (share(&pumps, &trips[1], &copy)) {
			assert_false(share(&pumps, &third, &copy));
			pump_gather(&trips[1]);
			assert_int_equal(finish(&trips[1]), -ECANCELED);
		}
		pump_give(&trips[0], 4096, 8192);
		pump_gather(&trips[0]);
		assert_int_equal(finish(&trips[0]), -ECANCELED);
	}
	assert_true(model.orders);
	end_turns();
	assert_true(pumps_close(&pumps));
	free(host);
	free(gpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(copies_of_any_size_arrive_both_ways),
		mock_test(what_it_can_not_carry_is_not_taken),
		mock_test(busy_gpu_is_not_waited_for),
		mock_test(begins_when_the_gpu_has_time),
		mock_test(order_that_is_left_is_withdrawn),
		mock_test(who_finds_no_place_is_not_kept),
		mock_test(slow_gpu_is_left_alone_for_a_while),
		mock_test(lost_gpu_ends_the_trip),
		mock_test(reset_gpu_is_left_alone),
		mock_test(what_a_lost_gpu_was_given_is_not_done),
		mock_test(order_after_the_last_number_is_another),
		mock_test(many_threads_lose_nothing_while_turns_end),
		mock_test(roused_it_runs_for_the_first_copy),
		mock_test(roused_a_turn_that_runs_has_an_order),
		mock_test(one_pass_asks_once_for_all_of_an_allocation),
		mock_test(what_is_refused_is_refused_again_in_the_same_pass),
		mock_test(threads_give_parts_of_a_shared_trip),
		mock_test(a_shared_trip_tells_what_it_has),
		mock_test(a_trip_that_has_all_is_ended_without_a_look),
		mock_test(part_that_nobody_gave_ends_a_shared_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
