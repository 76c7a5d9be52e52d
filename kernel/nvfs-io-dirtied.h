/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_DIRTIED_H
#define _NVFS_IO_DIRTIED_H

#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/sched.h>

/*
 * Did a file system write a direct kiocb through its page cache?  ext4 (a hole of
 * a file without extents) and xfs (a part of a block that files share) do, and
 * both where somebody's mapping keeps a page from leaving the cache.  Nothing in
 * the kiocb tells; ext4 even empties the cache afterwards.  But whoever dirties a
 * clean page is charged for it, to be slowed down later: a task that has not been
 * charged between two looks at itself has dirtied none.
 *
 * Wrong answers.  "Yes" for a direct write: somebody wrote the same bytes through
 * the page cache, or by a mapping, before the look; or ext4 without a journal made
 * metadata dirty, and the file has been written through the page cache lately.
 * "No" for one that took the cache: ext4, one page, which another one had dirtied
 * by a mapping while it was being written.
 */

/**
 * struct nvfs_dirtied - what the current task has been charged for dirty pages
 * @pages: since it was last asked to pause
 * @pause: when it will be asked again, in pages
 * @when: it was last asked, in jiffies
 */
struct nvfs_dirtied {
	int pages;
	int pause;
	unsigned long when;
};

/**
 * nvfs_dirtied_note() - before a direct write
 * @now: where to
 */
static inline void nvfs_dirtied_note(struct nvfs_dirtied *now)
{
	now->pages = current->nr_dirtied;
	now->pause = current->nr_dirtied_pause;
	now->when = current->dirty_paused_when;
}

/**
 * nvfs_dirtied_since() - after a direct write of a regular file
 * @before: by nvfs_dirtied_note(), of the same task
 * @mapping: the file's pages
 * @pos: first byte that was written
 * @len: bytes, at least 1
 *
 * Context: any in which the write may be made.
 * Return: true when it was written through the page cache; see above.
 */
static inline bool nvfs_dirtied_since(const struct nvfs_dirtied *before,
				      struct address_space *mapping,
				      loff_t pos, u64 len)
{
	struct nvfs_dirtied now;
	loff_t last = pos + len - 1;

	nvfs_dirtied_note(&now);
	if (likely(now.pages == before->pages && now.pause == before->pause &&
		   now.when == before->when))
		/* but a page that was dirty already costs nothing */
		return unlikely(mapping->nrpages) &&
		       filemap_range_has_writeback(mapping, pos, last);
	return (inode_state_read_once(mapping->host) & I_DIRTY_PAGES) ||
	       filemap_range_has_page(mapping, pos, last);
}

#endif /* _NVFS_IO_DIRTIED_H */
