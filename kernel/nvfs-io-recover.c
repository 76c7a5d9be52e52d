// SPDX-License-Identifier: GPL-2.0-only
/*
 * What becomes of a request after one of its steps has failed.
 */
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/wait.h>

#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-stat.h"
#include "nvfs-trace-io.h"

/* Below this a bad spot is not looked for any closer, in bytes */
#define NVFS_IO_MIN_STEP	4096

/* A transient failure is tried again so often, after 1, 2, 4 ... ms */
#define NVFS_IO_TRIES		5

/* Is this a failure that may not happen again? */
static bool error_is_transient(int error)
{
	return error == -EAGAIN || error == -ENOMEM || error == -EINTR;
}

/* Is this a failure of a spot, so that other bytes may be good? */
static bool error_is_local(int error)
{
	return error == -EIO || error == -ENODATA || error == -EILSEQ;
}

static void note_retry(const struct nvfs_io *io, int error)
{
	nvfs_stat_inc(retries);
	trace_nvfs_retry(io->id, io->pos, io->step_len, error, io->tries);
}

/* Wait before another try.  Ends early with the region or a fatal signal. */
static int back_off(struct nvfs_io *io)
{
	unsigned long delay = msecs_to_jiffies(1U << io->tries);
	long ret;

	io->tries++;
	ret = wait_event_killable_timeout(io->region->dying,
					  !nvfs_region_is_live(io->region),
					  delay);
	if (ret < 0)
		return -EINTR;
	return ret ? -ESTALE : 0;
}

/* Peer memory was refused on the way: go on through host memory, or not at all */
static int fall_back(struct nvfs_io *io)
{
	if (io->route.reason)
		return -EREMOTEIO;
	if (!io->bounce_ok) {
		io->reason = io->reason ?: NVFS_REASON_REFUSED;
		return -EREMOTEIO;
	}
	io->route.reason = NVFS_REASON_REFUSED;
	io->reason = NVFS_REASON_REFUSED;
	nvfs_stat_inc(fallbacks);
	return 0;
}

/**
 * nvfs_io_recover() - go on after a step that failed and was rolled back
 * @io: in progress
 * @error: how the step failed
 *
 * What may pass is tried again after a while; what peer memory can't do is left
 * to host memory, if the caller agrees; near a bad spot steps become small.
 *
 * Context: may sleep.
 * Return: 0 to try another step, or the error to end with.
 */
int nvfs_io_recover(struct nvfs_io *io, int error)
{
	u64 min_step = max_t(u64, io->route.offset_align, NVFS_IO_MIN_STEP);

	if (error == -EREMOTEIO)
		return fall_back(io);
	if (error_is_transient(error) && io->tries < NVFS_IO_TRIES) {
		note_retry(io, error);
		return back_off(io);
	}
	if (!error_is_local(error) || io->step_len <= min_step)
		return error;
	/* Come closer to the bad spot: all before it is good */
	io->step_max = max(round_down(io->step_len / 16, min_step), min_step);
	note_retry(io, error);
	return 0;
}
