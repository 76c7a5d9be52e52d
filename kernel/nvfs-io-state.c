// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of a request.
 */
#include <linux/atomic.h>
#include <linux/seq_file.h>

#include "nvfs-io.h"
#include "nvfs-stat.h"
#include "nvfs-trace.h"

static const char * const io_state_name[NVFS_IO_STATE_NR] = {
#define NVFS_IO_STATE(name, next) (#name),
#include "nvfs-io-state-list.h"
#undef NVFS_IO_STATE
};

/* Refused transitions: from, to.  Touched only when something is wrong. */
static atomic_t io_refused[NVFS_IO_STATE_NR][NVFS_IO_STATE_NR];

/**
 * nvfs_io_refused_reset() - forget the transitions that were refused
 *
 * Context: any.
 */
void nvfs_io_refused_reset(void)
{
	int from, to;

	for (from = 0; from < NVFS_IO_STATE_NR; from++)
		for (to = 0; to < NVFS_IO_STATE_NR; to++)
			atomic_set(&io_refused[from][to], 0);
}

/**
 * nvfs_io_refused_show() - print the request transitions that were refused
 * @m: where to; a line "io_refused FROM TO count" for each pair
 *
 * Context: process context.
 */
void nvfs_io_refused_show(struct seq_file *m)
{
	int from, to, nr;

	for (from = 0; from < NVFS_IO_STATE_NR; from++)
		for (to = 0; to < NVFS_IO_STATE_NR; to++) {
			nr = atomic_read(&io_refused[from][to]);
			if (nr)
				seq_printf(m, "io_refused %s %s %d\n",
					   io_state_name[from],
					   io_state_name[to], nr);
		}
}

/**
 * nvfs_io_try_state() - bring a request to a state if it may go there
 * @io: the request
 * @to: the state
 * @from: out: the state it was in
 *
 * Context: any.
 * Return: false when it may not; that is no mistake.
 */
bool nvfs_io_try_state(struct nvfs_io *io, enum nvfs_io_state to, int *from)
{
	*from = atomic_read(&io->state);
	do {
		if (!(nvfs_io_next[*from] & BIT(to)))
			return false;
	} while (!atomic_try_cmpxchg(&io->state, from, to));
	return true;
}

/**
 * nvfs_io_set_state() - bring a request to a state
 * @io: the request
 * @to: the state
 *
 * Context: any.
 * Return: false when it may not go there: nothing changed, the refusal is counted.
 */
bool nvfs_io_set_state(struct nvfs_io *io, enum nvfs_io_state to)
{
	int from;

	if (likely(nvfs_io_try_state(io, to, &from)))
		return true;
	atomic_inc(&io_refused[from][to]);
	nvfs_stat_inc(state_refused);
	trace_nvfs_state_refused("request", io_state_name[from],
				 io_state_name[to]);
	nvfs_dbg("request state %s can't follow %s\n", io_state_name[to],
		 io_state_name[from]);
	return false;
}
