// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way through host memory, for what can't go direct: bytes travel between
 * file and buffer by a kiocb, between buffer and GPU by the CPU.
 *
 * The kiocb uses O_DIRECT where the file has it: reads are over-read to whole
 * blocks, writes are whole blocks, but for the parts of blocks at their ends.
 */
#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uio.h>

#include "nvfs-dma-gate.h"
#include "nvfs-dma.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"

/*
 * Some buffers are made when first needed and kept for all.  Who finds none free
 * makes smaller ones for itself, on its own account: files that do not answer hold
 * on to buffers, and nobody may have to wait for another one's files.  So there are
 * at most these and two for each thread and worker that moves bytes this way.
 */
#define BOUNCE_SHARED		32
#define BOUNCE_SHARED_ORDER	6	/* 256 KiB with pages of 4 KiB */
#define BOUNCE_OWN_ORDER	4	/* 64 KiB */

/* A buffer of host memory */
struct bounce_buffer {
	struct list_head node;
	struct page *page;
	unsigned int order;
	bool shared;
};

static struct {
	spinlock_t lock; /* guards the rest */
	struct list_head free;
	unsigned int made;
} bounce_pool;

/* A part of a bounce that is under way */
struct bounce_slot {
	struct kiocb kiocb;
	struct completion done;
	struct bounce_buffer *buffer;
	struct bio_vec bvec;
	u64 off;	/* in the region */
	u32 want;	/* bytes of the request */
	u32 skip;	/* bytes read before them, for alignment */
	ssize_t ret;
};

/* Two slots: the drive fills one while the CPU empties the other */
#define BOUNCE_SLOTS	2

/* A bounce that is under way; slots are used in turn */
struct bounce_run {
	const struct nvfs_bounce *bounce;
	struct bounce_slot slot[BOUNCE_SLOTS];
	unsigned int nr_slots;
	unsigned int issued;
	unsigned int retired;
	u64 begun;	/* bytes issued */
	u64 done;	/* bytes moved, without a gap */
	bool stop;	/* end of file or error: issue no more */
	bool gap;	/* likewise: what is retired later does not count */
	int error;
};

static struct bounce_buffer *bounce_make(bool shared)
{
	/* Rather none than somebody killed at the limit of a control group */
	gfp_t gfp = (shared ? GFP_KERNEL : GFP_KERNEL_ACCOUNT) |
		    __GFP_NOWARN | __GFP_NORETRY;
	unsigned int order = shared ? BOUNCE_SHARED_ORDER : BOUNCE_OWN_ORDER;
	struct bounce_buffer *buffer = kmalloc(sizeof(*buffer), gfp);

	if (!buffer)
		return NULL;
	buffer->shared = shared;
	do {
		buffer->page = alloc_pages(gfp | __GFP_COMP, order);
		buffer->order = order;
	} while (!buffer->page && order--);
	if (buffer->page)
		return buffer;
	kfree(buffer);
	return NULL;
}

static void bounce_free(struct bounce_buffer *buffer)
{
	__free_pages(buffer->page, buffer->order);
	kfree(buffer);
}

/* Take a free buffer, or else the right to make one for all */
static struct bounce_buffer *bounce_take(bool *may_make)
{
	struct bounce_buffer *buffer;

	spin_lock(&bounce_pool.lock);
	buffer = list_first_entry_or_null(&bounce_pool.free,
					  struct bounce_buffer, node);
	*may_make = !buffer && bounce_pool.made < BOUNCE_SHARED;
	if (buffer)
		list_del(&buffer->node);
	else if (*may_make)
		bounce_pool.made++;
	spin_unlock(&bounce_pool.lock);
	return buffer;
}

static struct bounce_buffer *bounce_get(void)
{
	struct bounce_buffer *buffer;
	bool may_make;

	buffer = bounce_take(&may_make);
	if (buffer)
		return buffer;
	buffer = bounce_make(may_make);
	if (buffer || !may_make)
		return buffer;
	spin_lock(&bounce_pool.lock);
	bounce_pool.made--;
	spin_unlock(&bounce_pool.lock);
	return NULL;
}

static void bounce_put(struct bounce_buffer *buffer)
{
	if (!buffer->shared) {
		bounce_free(buffer);
		return;
	}
	spin_lock(&bounce_pool.lock);
	list_add(&buffer->node, &bounce_pool.free);
	spin_unlock(&bounce_pool.lock);
}

/**
 * nvfs_dma_init() - prepare the pool of bounce buffers, which is empty
 */
void nvfs_dma_init(void)
{
	nvfs_gate_init();
	spin_lock_init(&bounce_pool.lock);
	INIT_LIST_HEAD(&bounce_pool.free);
}

/**
 * nvfs_dma_exit() - free the bounce buffers
 *
 * Context: module unload; no request is left.
 */
void nvfs_dma_exit(void)
{
	struct bounce_buffer *buffer, *next;

	list_for_each_entry_safe(buffer, next, &bounce_pool.free, node)
		bounce_free(buffer);
}

/* Copy between host memory and one piece of GPU memory */
static int copy_piece(const struct nvfs_gpu *gpu, phys_addr_t phys, void *host,
		      size_t len, bool to_gpu)
{
	void __iomem *io = NULL;
	void *mem = __va(phys);

	if (gpu->source == NVFS_PAGES_NONE) {
		io = ioremap_wc(phys, len);
		if (!io)
			return -ENOMEM;
		mem = (void __force *)io;
	}
	if (to_gpu)
		memcpy(mem, host, len);
	else
		memcpy(host, mem, len);
	if (io)
		iounmap(io);
	return 0;
}

/* Copy between host memory and a range of a region, which is held */
static int copy_pieces(const struct nvfs_region *region, u64 off, void *host,
		       u64 len, bool to_gpu)
{
	const struct nvfs_piece *piece;
	int ret = 0;

	piece = region->pieces +
		nvfs_piece_find(region->pieces, region->nr_pieces, off);
	while (len && !ret) {
		u64 skip = off - piece->off;
		u64 n = min(piece->len - skip, len);

		ret = copy_piece(region->gpu, piece->phys + skip, host, n,
				 to_gpu);
		host += n;
		off += n;
		len -= n;
		piece++;
	}
	return ret;
}

/*
 * The same for a region that is not held: whoever ends it waits for this copy, and
 * for no file.  -ESTALE when it is ending.
 */
static int copy_range(struct nvfs_region *region, u64 off, void *host, u64 len,
		      bool to_gpu)
{
	int ret;

	if (!nvfs_region_tryget(region))
		return -ESTALE;
	ret = copy_pieces(region, off, host, len, to_gpu);
	if (to_gpu)
		wmb(); /* what the CPU wrote leaves its write buffers */
	nvfs_region_put(region);
	return ret;
}

static void bounce_done(struct kiocb *kiocb, long ret)
{
	struct bounce_slot *slot = container_of(kiocb, struct bounce_slot,
						kiocb);

	if (kiocb->ki_flags & IOCB_WRITE)
		kiocb_end_write(kiocb);
	slot->ret = ret;
	complete(&slot->done);
}

/* Begin to move @len bytes at @pos of the file to or from a slot's buffer */
static void bounce_submit(struct bounce_slot *slot,
			  const struct nvfs_bounce *bounce, loff_t pos, u32 len,
			  bool direct)
{
	struct iov_iter iter;
	ssize_t ret;

	init_sync_kiocb(&slot->kiocb, bounce->file);
	slot->kiocb.ki_flags &= ~(IOCB_DIRECT | IOCB_APPEND);
	slot->kiocb.ki_pos = pos;
	if (direct) {
		slot->kiocb.ki_flags |= IOCB_DIRECT;
		slot->kiocb.ki_complete = bounce_done;
	}
	if (bounce->write)
		slot->kiocb.ki_flags |= IOCB_WRITE;
	slot->bvec.bv_page = slot->buffer->page;
	slot->bvec.bv_offset = 0;
	slot->bvec.bv_len = len;
	iov_iter_bvec(&iter, bounce->write ? ITER_SOURCE : ITER_DEST,
		      &slot->bvec, 1, len);
	reinit_completion(&slot->done);
	if (bounce->write)
		ret = vfs_iocb_iter_write(bounce->file, &slot->kiocb, &iter);
	else
		ret = vfs_iocb_iter_read(bounce->file, &slot->kiocb, &iter);
	if (ret == -EIOCBQUEUED)
		return;
	slot->ret = ret;
	complete(&slot->done);
}

/**
 * nvfs_dma_readable() - how much a direct read may ask for
 * @file: the file
 * @pos: where it begins, in bytes
 * @len: bytes wanted
 * @align: of file offset and length, for O_DIRECT
 *
 * xfs keeps space behind the end of a file that somebody appends to, and promises
 * it without choosing the blocks.  A direct read that reaches into it fails with
 * EIO (seen on 6.12), in place of ending where the file does.
 *
 * Context: any.
 * Return: @len, or less, in whole blocks, when xfs says that the file ends before.
 */
u64 nvfs_dma_readable(const struct file *file, loff_t pos, u64 len, u32 align)
{
	const struct inode *inode = d_real_inode(file->f_path.dentry);
	loff_t size;

	if (!S_ISREG(inode->i_mode) ||
	    inode->i_sb->s_magic != XFS_SUPER_MAGIC)
		return len;
	size = i_size_read(inode);
	if (pos >= size)
		return 0;
	return min_t(u64, len, round_up(size - pos, align));
}

/* Over-read whole blocks, so that the drive may be read with O_DIRECT */
static void bounce_issue_read(struct bounce_slot *slot,
			      const struct nvfs_bounce *bounce, loff_t pos,
			      u64 left)
{
	u32 room = PAGE_SIZE << slot->buffer->order;
	u32 align = bounce->align ?: 1;
	u32 len;

	slot->skip = pos & (align - 1);
	slot->want = min_t(u64, left, room - slot->skip);
	pos -= slot->skip;
	len = round_up(slot->skip + slot->want, align);
	if (bounce->align)
		len = nvfs_dma_readable(bounce->file, pos, len, align);
	bounce_submit(slot, bounce, pos, len, bounce->align);
}

/* Wait for the oldest slot; what comes behind a gap does not count */
static void bounce_retire(struct bounce_run *run)
{
	struct bounce_slot *slot = &run->slot[run->retired++ % run->nr_slots];
	u32 got = 0;
	int ret;

	wait_for_completion(&slot->done);
	if (run->gap)
		return;
	ret = min_t(ssize_t, slot->ret, 0);
	if (slot->ret > slot->skip)
		got = min_t(ssize_t, slot->ret - slot->skip, slot->want);
	if (got && !run->bounce->write)
		ret = copy_range(run->bounce->region, slot->off,
				 page_address(slot->buffer->page) + slot->skip,
				 got, true);
	if (!ret)
		run->done += got;
	if (ret)
		run->error = ret;
	run->gap = ret || got < slot->want;
	run->stop |= run->gap;
}

/* The next bytes, as the caller gives them: whole blocks, or the page cache */
static int bounce_issue_write(struct bounce_slot *slot,
			      const struct nvfs_bounce *bounce, loff_t pos,
			      u64 left)
{
	u32 room = PAGE_SIZE << slot->buffer->order;
	int ret;

	slot->skip = 0;
	slot->want = min_t(u64, left, room);
	ret = copy_range(bounce->region, slot->off,
			 page_address(slot->buffer->page), slot->want, false);
	if (ret)
		return ret;
	bounce_submit(slot, bounce, pos, slot->want, bounce->align);
	return 0;
}

static void bounce_issue(struct bounce_run *run)
{
	const struct nvfs_bounce *bounce = run->bounce;
	struct bounce_slot *slot = &run->slot[run->issued % run->nr_slots];
	loff_t pos = bounce->pos + run->begun;
	u64 left = bounce->len - run->begun;
	int ret = 0;

	slot->off = bounce->off + run->begun;
	if (bounce->write)
		ret = bounce_issue_write(slot, bounce, pos, left);
	else
		bounce_issue_read(slot, bounce, pos, left);
	if (ret) {
		run->error = ret;
		run->stop = true;
		return;
	}
	run->begun += slot->want;
	run->issued++;
}

/* A write of less than a block of the file would be one of a part of it */
static bool too_small(const struct nvfs_bounce *bounce,
		      const struct bounce_buffer *buffer)
{
	return bounce->write && bounce->align > PAGE_SIZE << buffer->order;
}

/* Get a buffer for each slot that will be used; one will do when memory is short */
static int bounce_begin(struct bounce_run *run)
{
	struct bounce_buffer *buffer;
	u64 room = 0;

	while (run->nr_slots < BOUNCE_SLOTS && room < run->bounce->len) {
		buffer = bounce_get();
		if (buffer && too_small(run->bounce, buffer)) {
			bounce_put(buffer);
			buffer = NULL;
		}
		if (!buffer)
			break;
		room += PAGE_SIZE << buffer->order;
		init_completion(&run->slot[run->nr_slots].done);
		run->slot[run->nr_slots++].buffer = buffer;
	}
	return run->nr_slots ? 0 : -ENOMEM;
}

/**
 * nvfs_dma_bounce() - move bytes through host memory
 * @bounce: what to move
 *
 * Two buffers work in turn, so that the drive and the CPU work side by side.
 *
 * Context: process context; sleeps.
 * Return: bytes moved, from the start without a gap, less than asked for at the
 * end of the file or when an error came later; an errno when none was moved.
 */
ssize_t nvfs_dma_bounce(const struct nvfs_bounce *bounce)
{
	struct bounce_run run = { .bounce = bounce };
	unsigned int i;
	int ret;

	ret = bounce_begin(&run);
	if (ret)
		return ret;
	do {
		while (!run.stop && run.begun < bounce->len &&
		       run.issued - run.retired < run.nr_slots)
			bounce_issue(&run);
		if (run.issued != run.retired)
			bounce_retire(&run);
	} while (run.issued != run.retired ||
		 (!run.stop && run.begun < bounce->len));

	for (i = 0; i < run.nr_slots; i++)
		bounce_put(run.slot[i].buffer);
	return run.done ?: run.error;
}

/* Bring a range of the page cache to the drive and forget it */
static int cache_flush(struct address_space *mapping, loff_t first, loff_t last)
{
	int ret = filemap_write_and_wait_range(mapping, first, last);

	/* What can't be forgotten somebody else holds, and looks after */
	if (!ret)
		invalidate_inode_pages2_range(mapping, first >> PAGE_SHIFT,
					      last >> PAGE_SHIFT);
	return ret;
}

/**
 * nvfs_dma_bounce_part() - write a part of a block of a file that has O_DIRECT
 * @part: what to write; its @align is 0
 *
 * The page cache begins with what is on the drive and ends with all of it there.
 *
 * Context: process context; sleeps.  The caller has passed
 * nvfs_gate_enter_part().
 * Return: as nvfs_dma_bounce().
 */
ssize_t nvfs_dma_bounce_part(const struct nvfs_bounce *part)
{
	struct address_space *mapping = part->file->f_mapping;
	loff_t last = part->pos + part->len - 1;
	ssize_t done;
	int ret;

	ret = cache_flush(mapping, part->pos, last);
	if (ret)
		return ret;
	done = nvfs_dma_bounce(part);
	if (done <= 0)
		return done;
	ret = cache_flush(mapping, part->pos, last);
	return ret ?: done;
}
