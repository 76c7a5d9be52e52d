// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a request holds of its region.
 *
 * Who ends a region waits for all that hold its memory, and a provider that takes
 * memory back does so with its locks held: nobody may hold it who waits for
 * something that may never come.  So a request lets go of it, and keeps the
 * structure only, while it waits for a worker, for a file behind a step through
 * host memory, and for memory of its user's.  Direct steps keep it: the drive may
 * be at it.
 *
 * A request that has let go may look at what nobody changes in a live region: its
 * id, its pieces (not at what lies there), its length, its state, who registered
 * it.  Whether the GPU is still there it can't know.
 */
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-mmap.h"

/**
 * nvfs_io_let_go() - keep a request's region, but not its memory
 * @io: the request; holds it, and no step of it is under way at the memory
 *
 * One that shares what it holds leaves the others, whose memory is still held by
 * them: from here on region and file are its own.  Its owner sees to the
 * credentials before.
 *
 * Context: any.
 */
void nvfs_io_let_go(struct nvfs_io *io)
{
	/* Before the memory can be somebody else's: as when a request ends */
	if (io->direct && !io->write)
		nvfs_dma_flush(io->region, io->off - 1);
	nvfs_region_ref(io->region);
	io->let_go = true;
	if (!io->share) {
		nvfs_region_put(io->region);
		return;
	}
	get_file(io->file);
	if (atomic_dec_and_test(&io->share->users))
		nvfs_io_end_share(io);
	io->share = NULL;
}

/**
 * nvfs_io_hold() - undo nvfs_io_let_go()
 * @io: the request; has let go
 *
 * Context: any; does not wait.
 * Return: 0; -ESTALE when the region is ending: the request, too, must end, and
 * may not touch the memory any more.
 */
int nvfs_io_hold(struct nvfs_io *io)
{
	if (unlikely(!nvfs_region_tryget(io->region)))
		return -ESTALE;
	io->let_go = false;
	/* Not the last one: whoever ends a region has one of its own */
	nvfs_region_unref(io->region);
	return 0;
}

/**
 * nvfs_io_put_region() - let go of a region in the end, whatever is held of it
 * @io: the request; shares nothing
 *
 * Context: any.
 */
void nvfs_io_put_region(struct nvfs_io *io)
{
	if (unlikely(io->let_go))
		nvfs_region_unref(io->region);
	else
		nvfs_region_put(io->region);
}

/**
 * nvfs_io_share() - let a request's references be those of several
 * @io: from nvfs_io_prepare_fast(), and not started yet
 *
 * Context: process context of the submitter; may sleep.
 * Return: true when @io->share is set, with one user.
 */
bool nvfs_io_share(struct nvfs_io *io)
{
	io->share = kmalloc(sizeof(*io->share), GFP_KERNEL);
	if (!io->share)
		return false;
	atomic_set(&io->share->users, 1);
	io->share->cred = get_current_cred();
	return true;
}

/**
 * nvfs_io_end_share() - the last of several requests lets go of what they hold
 * @io: the request
 *
 * Context: any.
 */
void nvfs_io_end_share(struct nvfs_io *io)
{
	put_cred(io->share->cred);
	kfree(io->share);
	fput(io->file);
	nvfs_region_put(io->region);
}
