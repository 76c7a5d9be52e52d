/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_DIRTIED_H
#define _NVFS_IO_DIRTIED_H

#include <linux/fileattr.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/pagemap.h>
#include <linux/sched.h>

/*
 * Did ext4 write a direct kiocb through its page cache?  It does, to a hole of a
 * file without extents, and tells nobody: it even empties the cache afterwards.
 * But whoever dirties a clean page is charged for it, to be slowed down later: a
 * task that has not been charged between two looks at itself has dirtied none.
 *
 * Wrong answers, for files without extents only.  "Yes" for a direct write:
 * somebody wrote the same bytes through the page cache, or by a mapping, before the
 * look; or the write was behind the end of the file, or the file system has no
 * journal, and other pages of the file were dirty.  "No" for one that took the
 * cache: one page, which another one had dirtied by a mapping while it was being
 * written.
 *
 * Files with extents, and xfs, do so where somebody's mapping keeps a page of the
 * range in the cache.  That is not noticed: they dirty other pages in direct
 * writes, too, as those between the old end of a file and the new one.
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

/* Is it a file that ext4 keeps without extents? */
static inline bool nvfs_dirtied_may_be(struct file *file)
{
	struct fileattr fa;

	return file_inode(file)->i_sb->s_magic == EXT4_SUPER_MAGIC &&
	       !vfs_fileattr_get(file->f_path.dentry, &fa) &&
	       !(fa.flags & FS_EXTENT_FL);
}

/**
 * nvfs_dirtied_since() - after a direct write of a regular file
 * @before: by nvfs_dirtied_note(), of the same task
 * @file: the file
 * @pos: first byte that was written
 * @len: bytes, at least 1
 *
 * Context: any in which the write may be made.
 * Return: true when it was written through the page cache; see above.
 */
static inline bool nvfs_dirtied_since(const struct nvfs_dirtied *before,
				      struct file *file, loff_t pos, u64 len)
{
	struct address_space *mapping = file->f_mapping;
	struct nvfs_dirtied now;
	loff_t last = pos + len - 1;

	nvfs_dirtied_note(&now);
	if (likely(now.pages == before->pages && now.pause == before->pause &&
		   now.when == before->when))
		/* but a page that was dirty already costs nothing */
		return unlikely(mapping->nrpages) &&
		       filemap_range_has_writeback(mapping, pos, last) &&
		       nvfs_dirtied_may_be(file);
	return ((inode_state_read_once(mapping->host) & I_DIRTY_PAGES) ||
		filemap_range_has_page(mapping, pos, last)) &&
	       nvfs_dirtied_may_be(file);
}

#endif /* _NVFS_IO_DIRTIED_H */
