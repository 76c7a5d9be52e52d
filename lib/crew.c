// SPDX-License-Identifier: MIT
/*
 * The engine's threads.  Waking one takes longer than reading 64 KiB (28 us
 * against 10 us in a virtual machine), so a thread that has had work looks for
 * more of it for a while, as long as there are CPUs that nobody else wants.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "common.h"
#include "crew.h"
#include "room.h"

/* Some 12 us. */
#define LOOKS_PER_CLOCK	256U
/* Where others want the CPU; the kernel adds some 50 us. */
#define NAP_NS		20000L
/* Where they should not, but who is waited for may: a millisecond or so. */
#define PAUSES_MOST	16384U

/* Where a thread that looks for work is handed some; a cache line each. */
struct box {
	_Alignas(64) _Atomic(struct crew_task *) task;
};

/**
 * What those who look for work read all the time lies apart from what others write.
 *
 * @idle: a bit for each of the first 64 threads that looks into its box
 * @wanted: joins that tasks on the list wait for
 * @looking: threads that look for work
 * @at_work: two numbers in one, as most of who is counted is in both: the lower half, see
 *	crew_busy(); the upper one, those of them that are not the crew's
 * @apart: see crew_apart_add()
 * @napping: threads that count as awake and sleep for a moment
 * @asleep: threads, of @nr that there are
 * @spin: guards the list, and the members of tasks; never held over anything
 *	that waits
 * @lock: guards what follows
 * @left: a thread left an offered task, and somebody waits for that
 */
static struct {
	_Alignas(64) _Atomic uint64_t idle;
	_Alignas(64) _Atomic unsigned int wanted;
	_Alignas(64) _Atomic uint64_t at_work;
	_Atomic unsigned int apart;
	_Atomic unsigned int napping;
	_Alignas(64) _Atomic unsigned int asleep;
	_Atomic unsigned int nr;
	_Alignas(64) _Atomic unsigned int looking;
	_Alignas(64) _Atomic unsigned int leavers_awaited;
	atomic_flag spin;
	struct crew_task *first, *last;
	unsigned int cpus;
	unsigned int max;
	uint64_t spin_ns;

	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t left;
	pthread_t *threads;
	struct box boxes[64];
	bool stop;
} crew;

#define BUSY		1
#define BESIDE		(1LL << 32)

/* In a box: what was there was taken back. */
static struct crew_task recalled;

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Threads of ours that are awake, looking or working, and those beside them. */
static unsigned int awake(void)
{
	return atomic_load(&crew.nr) - atomic_load(&crew.asleep) +
	       (unsigned int)(atomic_load(&crew.at_work) / BESIDE);
}

static unsigned int ours(void)
{
	return awake() + atomic_load(&crew.apart);
}

static unsigned int left_by_others(void)
{
	unsigned int others = room_others();

	return others < crew.cpus ? crew.cpus - others : 0;
}

/* The kernel does not count them meanwhile, and we do. */
static void nap(void)
{
	static const struct timespec pause = { .tv_nsec = NAP_NS };

	atomic_fetch_add(&crew.napping, 1);
	nanosleep(&pause, NULL);
	atomic_fetch_sub(&crew.napping, 1);
}

static void wait_briefly(void)
{
	if (crew.cpus > 1)
		pause_cpu();
	else
		sched_yield();
}

/*
 * A thread that yields its CPU to another program has it back after 3 ms, and so has
 * one that never rests; but one that has slept has it at once.
 */
void crew_relax(unsigned int turn)
{
	unsigned int left;

	if (turn < CREW_PAUSES) {
		wait_briefly();
		return;
	}
	left = left_by_others();
	if (left == crew.cpus)
		sched_yield();
	else if (left && ours() <= left && turn % PAUSES_MOST)
		pause_cpu();
	else
		nap();
}

/* Who has it lets it go at once, unless he needs this CPU. */
static void spin_lock(void)
{
	for (unsigned int turn = 0; atomic_flag_test_and_set_explicit(
		&crew.spin, memory_order_acquire); turn++) {
		if (turn < CREW_PAUSES)
			wait_briefly();
		else
			sched_yield();
	}
}

static void spin_unlock(void)
{
	atomic_flag_clear_explicit(&crew.spin, memory_order_release);
}

unsigned int crew_busy(void)
{
	return (unsigned int)atomic_load_explicit(&crew.at_work,
						  memory_order_relaxed);
}

/* Neither number is less than 0 at any time, so none borrows of the other. */
static void add_at_work(int64_t change)
{
	atomic_fetch_add_explicit(&crew.at_work, (uint64_t)change,
				  memory_order_relaxed);
}

void crew_busy_add(int change)
{
	add_at_work(change * BUSY);
}

void crew_own_add(int change)
{
	add_at_work(change * (BUSY + BESIDE));
}

unsigned int crew_cpus(void)
{
	cpu_set_t set;

	if (crew.cpus)
		return crew.cpus;
	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

/* Those who are at something need more than what is left?  Then all share all. */
unsigned int crew_room(void)
{
	unsigned int left = left_by_others();

	return left && crew_busy() <= left ? left : crew_cpus();
}

bool crew_is_short(void)
{
	unsigned int others = room_others();

	return others && others * 2 >= crew.cpus;
}

void crew_look_around(void)
{
	room_look(ours(), atomic_load(&crew.napping));
}

unsigned int crew_threads(void)
{
	return crew.max;
}

/* The list.  All of these under the spin lock. */

static void list_add(struct crew_task *task, unsigned int nr)
{
	atomic_fetch_add(&crew.wanted, nr);
	task->want += nr;
	if (task->listed)
		return;
	task->listed = true;
	task->next = NULL;
	task->prev = crew.last;
	if (crew.last)
		crew.last->next = task;
	else
		crew.first = task;
	crew.last = task;
}

static void list_del(struct crew_task *task)
{
	if (!task->listed)
		return;
	atomic_fetch_sub(&crew.wanted, task->want);
	task->want = 0;
	__atomic_store_n(&task->listed, false, __ATOMIC_RELEASE);
	if (task->prev)
		task->prev->next = task->next;
	else
		crew.first = task->next;
	if (task->next)
		task->next->prev = task->prev;
	else
		crew.last = task->prev;
}

static struct crew_task *join(void)
{
	struct crew_task *task;

	if (!atomic_load_explicit(&crew.wanted, memory_order_acquire))
		return NULL;
	spin_lock();
	task = crew.first;
	if (task) {
		atomic_fetch_add(&task->inside, 1);
		task->want--;
		atomic_fetch_sub(&crew.wanted, 1);
		if (!task->want)
			list_del(task);
	}
	spin_unlock();
	return task;
}

/* An offered task is its owner's again as soon as @inside is 0. */
static void leave_offered(struct crew_task *task)
{
	if (atomic_fetch_sub(&task->inside, 1) != 1 ||
	    !atomic_load(&crew.leavers_awaited))
		return;
	pthread_mutex_lock(&crew.lock);
	pthread_cond_broadcast(&crew.left);
	pthread_mutex_unlock(&crew.lock);
}

static void leave(struct crew_task *task)
{
	void (*end)(struct crew_task *task) = task->end;
	bool last;

	if (!end) {
		leave_offered(task);
		return;
	}
	spin_lock();
	list_del(task);
	last = atomic_fetch_sub(&task->inside, 1) == 1;
	spin_unlock();
	if (last)
		end(task);
}

/* Is there a CPU for each thread that is awake, and for @more? */
static bool is_room(unsigned int more)
{
	return awake() + more <= crew_room();
}

bool crew_has_room(void)
{
	return is_room(0);
}

void crew_apart_add(int change)
{
	atomic_fetch_add_explicit(&crew.apart, (unsigned int)change,
				  memory_order_relaxed);
}

/* Take the thread's bit back; false: somebody has it and fills the box. */
static bool unlist_idle(unsigned int self)
{
	uint64_t bit = 1ULL << self;

	return atomic_fetch_and(&crew.idle, ~bit) & bit;
}

/*
 * Look into the box and at the list for a while.  True when there may be work
 * on the list; @task when there was some in the box.  @tired: it was long enough,
 * and not only that others need the CPU.
 */
static bool look(unsigned int self, struct crew_task **task, bool *tired)
{
	struct box *box = self < 64 ? &crew.boxes[self] : NULL;
	uint64_t end = crew.spin_ns ? now_ns() + crew.spin_ns : 0;
	bool found = false;

	*task = NULL;
	*tired = !end;
	atomic_fetch_add(&crew.looking, 1);
	if (box && end)
		atomic_fetch_or(&crew.idle, 1ULL << self);
	for (unsigned int i = 1; end && !*task; i++) {
		found = atomic_load_explicit(&crew.wanted,
					     memory_order_relaxed);
		if (box)
			*task = atomic_load_explicit(&box->task,
						     memory_order_acquire);
		if (found)
			break;
		if (i % LOOKS_PER_CLOCK == 0) {
			*tired = now_ns() > end;
			if (*tired || !is_room(0))
				break;
		}
		pause_cpu();
	}
	if (box && end && (*task || !unlist_idle(self))) {
		while (!(*task = atomic_exchange(&box->task, NULL)))
			pause_cpu();
	}
	atomic_fetch_sub(&crew.looking, 1);
	if (*task != &recalled)
		return found;
	/* What it was listed for is gone; so is the time. */
	*task = NULL;
	return true;
}

static void *thread(void *arg);

/* Under the lock. */
static int start_thread(void)
{
	unsigned int nr = atomic_load(&crew.nr);
	int ret;

	/* Those that are there do what is left when it is time to end. */
	if (nr >= crew.max || crew.stop)
		return nr ? 0 : -EAGAIN;
	ret = start_deaf_thread(&crew.threads[nr], thread,
				(void *)(uintptr_t)nr);
	if (!ret)
		atomic_store(&crew.nr, nr + 1);
	return ret && !nr ? -EAGAIN : 0;
}

/*
 * False when it is time to end.  Not @tired: while there are more threads awake
 * than CPUs for them; others may have gone to sleep meanwhile.
 */
static bool sleep_until_wanted(bool tired)
{
	bool stop;

	pthread_mutex_lock(&crew.lock);
	tired = tired || !is_room(0);
	atomic_fetch_add(&crew.asleep, 1);
	while (tired && !atomic_load(&crew.wanted) && !crew.stop)
		pthread_cond_wait(&crew.work, &crew.lock);
	atomic_fetch_sub(&crew.asleep, 1);
	stop = crew.stop;
	pthread_mutex_unlock(&crew.lock);
	return !stop;
}

/* Each that comes up brings the next, if there is more to do than threads. */
static void bring_another(void)
{
	if (!atomic_load(&crew.wanted) || atomic_load(&crew.asleep) ||
	    atomic_load(&crew.nr) >= crew.max)
		return;
	pthread_mutex_lock(&crew.lock);
	start_thread();
	pthread_mutex_unlock(&crew.lock);
}

static void *thread(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;
	struct crew_task *task;
	bool more, tired;

	do {
		while ((task = join())) {
			bring_another();
			task->work(task);
			leave(task);
		}
		while ((more = look(self, &task, &tired)) || task) {
			if (!task)
				break;
			task->work(task);
			leave_offered(task);
		}
	} while (more || sleep_until_wanted(tired));
	return NULL;
}

/* After @nr more were wanted: see that somebody comes. */
static int call(unsigned int nr)
{
	unsigned int looking = atomic_load(&crew.looking);
	int ret = 0;

	if (looking >= nr)
		return 0;
	if (!atomic_load(&crew.asleep) && atomic_load(&crew.nr) >= crew.max)
		return 0;
	nr -= looking;
	pthread_mutex_lock(&crew.lock);
	if (atomic_load(&crew.asleep) < nr)
		ret = start_thread();
	if (nr > 1)
		pthread_cond_broadcast(&crew.work);
	else
		pthread_cond_signal(&crew.work);
	pthread_mutex_unlock(&crew.lock);
	return ret;
}

/* Hand @task to up to @nr threads that look for work; how many are left. */
static unsigned int hand_out(struct crew_task *task, unsigned int nr)
{
	uint64_t idle = atomic_load(&crew.idle), mine, left;

	do {
		left = idle;
		for (unsigned int i = 0; i < nr && left; i++)
			left &= left - 1;
		mine = idle & ~left;
	} while (mine && !atomic_compare_exchange_weak(&crew.idle, &idle, left));
	task->handed = mine;
	atomic_fetch_add(&task->inside, (unsigned int)__builtin_popcountll(mine));
	for (; mine; mine &= mine - 1, nr--)
		atomic_store_explicit(&crew.boxes[__builtin_ctzll(mine)].task,
				      task, memory_order_release);
	return nr;
}

void crew_offer(struct crew_task *task, unsigned int nr, unsigned int least)
{
	unsigned int wanted = nr;

	task->want = 0;
	atomic_store(&task->inside, 0);
	task->listed = false;
	nr = hand_out(task, nr);
	if (!nr || wanted - nr >= least)
		return;
	spin_lock();
	list_add(task, nr);
	spin_unlock();
	/* Otherwise whoever has done with something else comes. */
	if (is_room(1))
		call(nr);
}

void crew_recall(struct crew_task *task)
{
	/* Read without the lock: only its owner ever lists an offered task. */
	if (__atomic_load_n(&task->listed, __ATOMIC_ACQUIRE)) {
		spin_lock();
		list_del(task);
		spin_unlock();
	}
	for (; task->handed; task->handed &= task->handed - 1) {
		struct box *box = &crew.boxes[__builtin_ctzll(task->handed)];
		struct crew_task *there = task;

		if (atomic_compare_exchange_strong(&box->task, &there,
						   &recalled))
			atomic_fetch_sub(&task->inside, 1);
	}
}

void crew_retract(struct crew_task *task)
{
	crew_recall(task);
	for (unsigned int turn = 0; turn < CREW_PAUSES; turn++) {
		if (!atomic_load(&task->inside))
			return;
		crew_relax(turn);
	}
	pthread_mutex_lock(&crew.lock);
	atomic_fetch_add(&crew.leavers_awaited, 1);
	atomic_fetch_add(&crew.napping, 1);
	while (atomic_load(&task->inside))
		pthread_cond_wait(&crew.left, &crew.lock);
	atomic_fetch_sub(&crew.napping, 1);
	atomic_fetch_sub(&crew.leavers_awaited, 1);
	pthread_mutex_unlock(&crew.lock);
}

int crew_post(struct crew_task *const *tasks, unsigned int nr)
{
	int ret = 0;

	/* One thread is enough to promise that all will be done. */
	if (!atomic_load(&crew.nr)) {
		pthread_mutex_lock(&crew.lock);
		if (!atomic_load(&crew.nr))
			ret = start_thread();
		pthread_mutex_unlock(&crew.lock);
	}
	if (ret)
		return ret;
	spin_lock();
	for (unsigned int i = 0; i < nr; i++) {
		tasks[i]->want = 0;
		atomic_store(&tasks[i]->inside, 0);
		tasks[i]->listed = false;
		list_add(tasks[i], 1);
	}
	spin_unlock();
	call(nr);
	return 0;
}

void crew_more(struct crew_task *task, unsigned int nr)
{
	if (!nr)
		return;
	spin_lock();
	list_add(task, nr);
	spin_unlock();
	call(nr);
}

bool crew_unpost(struct crew_task *task)
{
	bool taken;

	spin_lock();
	taken = task->listed && !atomic_load(&task->inside);
	if (taken)
		list_del(task);
	spin_unlock();
	return taken;
}

int crew_open(unsigned int threads, unsigned int spin_us)
{
	crew.cpus = 0;
	crew.cpus = crew_cpus();
	room_open(crew.cpus);
	crew.max = threads ? threads : crew.cpus;
	crew.spin_ns = crew.cpus > 1 ? spin_us * 1000ULL : 0;
	crew.threads = calloc(crew.max, sizeof(*crew.threads));
	if (!crew.threads)
		return -ENOMEM;
	crew.first = NULL;
	crew.last = NULL;
	atomic_store(&crew.idle, 0);
	crew.stop = false;
	atomic_store(&crew.nr, 0);
	atomic_store(&crew.wanted, 0);
	atomic_store(&crew.at_work, 0);
	atomic_flag_clear(&crew.spin);
	pthread_mutex_init(&crew.lock, NULL);
	pthread_cond_init(&crew.work, NULL);
	pthread_cond_init(&crew.left, NULL);
	return 0;
}

void crew_close(void)
{
	unsigned int nr;

	pthread_mutex_lock(&crew.lock);
	crew.stop = true;
	pthread_cond_broadcast(&crew.work);
	nr = atomic_load(&crew.nr);
	pthread_mutex_unlock(&crew.lock);
	for (unsigned int i = 0; i < nr; i++)
		pthread_join(crew.threads[i], NULL);
	free(crew.threads);
	crew.threads = NULL;
	pthread_cond_destroy(&crew.left);
	pthread_cond_destroy(&crew.work);
	pthread_mutex_destroy(&crew.lock);
}
