// SPDX-License-Identifier: MIT
/*
 * How many CPUs other threads want: those of the machine that run or want to, less
 * ours.  Others come for a moment, and ours that were woken may not have come up yet,
 * so the fewest of several looks count.  A look takes 5 us.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "common.h"
#include "room.h"

#define LOOKS		4U
#define EACH_NS		10000000U
/* What was seen so long ago says nothing any more; then one look must do. */
#define OLD_NS		1000000000U

/**
 * @told: whether others can be told
 * @others: the fewest of the last looks
 * @looked: when that was, in ns
 * @looking: whoever has it touches what follows
 * @seen: others, in turns; the next is @next
 */
static struct {
	bool told;
	_Atomic unsigned int others;
	_Atomic uint64_t looked;
	int (*_Atomic running)(void);
	atomic_flag looking;
	unsigned int seen[LOOKS];
	unsigned int next;
} room;

/* The fourth of "0.20 0.18 0.12 1/80 11206", see proc_loadavg(5). */
static int running(void)
{
	int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC), nr;
	char line[128];
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (got <= 0)
		return -1;
	line[got] = '\0';
	return sscanf(line, "%*s %*s %*s %d/", &nr) == 1 ? nr : -1;
}

void room_open(unsigned int cpus)
{
	room.told = cpus >= (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	atomic_store(&room.others, 0);
	atomic_store(&room.looked, 0);
	atomic_flag_clear(&room.looking);
}

/* By whoever has @looking. */
static void take(unsigned int others, bool is_first)
{
	for (unsigned int i = 0; i < LOOKS && is_first; i++)
		room.seen[i] = others;
	room.seen[room.next++ % LOOKS] = others;
	for (unsigned int i = 0; i < LOOKS; i++) {
		if (room.seen[i] < others)
			others = room.seen[i];
	}
	atomic_store(&room.others, others);
}

unsigned int room_others(void)
{
	unsigned int others = atomic_load_explicit(&room.others,
						   memory_order_relaxed);

	return others && now_ns() < atomic_load_explicit(&room.looked,
				memory_order_relaxed) + OLD_NS ? others : 0;
}

/* Those who nap do or do not: as many others as before, if that can be. */
static unsigned int others_of(int running, unsigned int ours, unsigned int naps)
{
	int least = running - (int)ours, most = least + (int)naps;
	int others = (int)room_others();

	if (running < 0 || most < 0)
		return 0;
	if (others < least)
		others = least;
	return (unsigned int)(others < most ? others : most);
}

void room_look(unsigned int ours, unsigned int naps)
{
	int (*count)(void) = room.running;
	uint64_t now = now_ns(), last = atomic_load(&room.looked);

	if (now < last + EACH_NS || (!room.told && !count) ||
	    atomic_flag_test_and_set(&room.looking))
		return;
	last = atomic_load(&room.looked);
	/* Or another has looked since the clock was read. */
	if (now >= last + EACH_NS) {
		take(others_of(count ? count() : running(), ours, naps),
		     now > last + OLD_NS);
		atomic_store(&room.looked, now);
	}
	atomic_flag_clear(&room.looking);
}

void room_set_running(int (*count)(void))
{
	room.running = count;
}
