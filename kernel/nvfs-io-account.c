// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is counted of requests.
 */
#include <linux/errno.h>

#include "nvfs-io.h"
#include "nvfs-io-inline.h"
#include "nvfs-stat.h"

/* A request ended with an error that is no refusal of its route */
static void account_error(int error)
{
	switch (error) {
	case -EIO:
	case -EILSEQ:
	case -ENODATA:
	case -ETIMEDOUT:
	case -EREMOTE:
		nvfs_stat_inc(errors_io);
		return;
	case -ENOSPC:
	case -EDQUOT:
	case -EFBIG:
		nvfs_stat_inc(errors_space);
		return;
	case -ENOMEM:
		nvfs_stat_inc(errors_memory);
		return;
	case -ESTALE:
	case -ENODEV:
		nvfs_stat_inc(errors_gone);
		return;
	case -EINTR:
	case -ECANCELED:
		nvfs_stat_inc(errors_interrupted);
		return;
	case -EREMOTEIO:
		nvfs_stat_inc(errors_route);
		return;
	case -EINVAL:
	case -ERANGE:
	case -EOVERFLOW:
	case -EBADF:
	case -EFAULT:
	case -EISDIR:
	case -ESPIPE:
	case -EPERM:
		nvfs_stat_inc(errors_argument);
		return;
	default:
		nvfs_stat_inc(errors_other);
	}
}

static void account_read(const struct nvfs_io *io)
{
	u64 bounced = io->done - io->direct - io->skipped;

	nvfs_stat_inc(read_ended);
	nvfs_stat_add(read_bytes, io->done);
	nvfs_stat_add(read_direct_bytes, io->direct);
	if (io->direct)
		nvfs_stat_inc(read_direct_ops);
	if (likely(!io->error && io->direct == io->length))
		return;
	nvfs_stat_add(read_bounce_bytes, bounced);
	if (bounced)
		nvfs_stat_inc(read_bounce_ops);
	if (bounced && io->direct)
		nvfs_stat_inc(read_mixed_ops);
	if (nvfs_io_refused(io))
		nvfs_stat_inc(read_refused);
	else if (io->error)
		nvfs_stat_inc(read_errors);
	else if (io->done < io->length)
		nvfs_stat_inc(read_short);
}

static void account_write(const struct nvfs_io *io)
{
	u64 bounced = io->done - io->direct - io->skipped;

	nvfs_stat_inc(write_ended);
	nvfs_stat_add(write_bytes, io->done);
	nvfs_stat_add(write_direct_bytes, io->direct);
	if (io->direct)
		nvfs_stat_inc(write_direct_ops);
	if (likely(!io->error && io->direct == io->length))
		return;
	nvfs_stat_add(write_bounce_bytes, bounced);
	if (bounced)
		nvfs_stat_inc(write_bounce_ops);
	if (bounced && io->direct)
		nvfs_stat_inc(write_mixed_ops);
	if (nvfs_io_refused(io))
		nvfs_stat_inc(write_refused);
	else if (io->error)
		nvfs_stat_inc(write_errors);
	else if (io->done < io->length)
		nvfs_stat_inc(write_short);
}

/**
 * nvfs_io_account() - count a request that has ended
 * @io: the request
 *
 * Context: any.
 */
void nvfs_io_account(const struct nvfs_io *io)
{
	if (io->write)
		account_write(io);
	else
		account_read(io);
	if (unlikely(io->error && !nvfs_io_refused(io)))
		account_error(io->error);
}

/**
 * nvfs_io_account_begin() - count a request that begins
 * @write: GPU to file
 *
 * Context: any.
 */
void nvfs_io_account_begin(bool write)
{
	if (write)
		nvfs_stat_inc(write_started);
	else
		nvfs_stat_inc(read_started);
}
