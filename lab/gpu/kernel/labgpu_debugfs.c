// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the emulated GPU's driver shows to the host and to tests.
 *
 *	labgpu/history	one line for each allocation that is live and each of the
 *			last 256 that were freed, oldest first:
 *			GPU VA SIZE live|dying|freed extents=OFFSET:LENGTH,...
 *			numbers in hex but for GPU; offsets into the GPU's memory
 *	labgpu/pins	number of pinned page tables
 */

#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

#define LABGPU_MAX_FREED	256

enum labgpu_record_state {
	LABGPU_RECORD_LIVE,
	LABGPU_RECORD_DYING,
	LABGPU_RECORD_FREED
};

/**
 * struct labgpu_record - a line of the history
 * @node: in labgpu_records, in order of allocation
 * @freed: in labgpu_freed, in order of being freed
 * @state: what became of the memory
 * @index: number of the GPU
 * @va: GPU address
 * @size: bytes
 * @nr: number of @ext
 * @ext: contiguous runs, in pages
 */
struct labgpu_record {
	struct list_head node;
	struct list_head freed;
	enum labgpu_record_state state;
	u32 index;
	u64 va;
	u64 size;
	u32 nr;
	struct {
		u32 first;
		u32 count;
	} ext[];
};

static LIST_HEAD(labgpu_records);
static LIST_HEAD(labgpu_freed);
static unsigned int labgpu_nr_freed;
static struct dentry *labgpu_dir;

/**
 * labgpu_record_new - make a line for an allocation
 * @max_extents: contiguous runs that it may have
 *
 * Return: the line, or NULL
 */
struct labgpu_record *labgpu_record_new(u32 max_extents)
{
	struct labgpu_record *rec;

	return kvzalloc(struct_size(rec, ext, max_extents), GFP_KERNEL);
}

/**
 * labgpu_record_drop - free a line that was not added
 * @rec: the line, may be NULL
 */
void labgpu_record_drop(struct labgpu_record *rec)
{
	kvfree(rec);
}

/**
 * labgpu_record_add - add the line of a new allocation
 * @rec: the line
 * @alloc: the allocation
 */
void labgpu_record_add(struct labgpu_record *rec,
		       const struct labgpu_allocation *alloc)
{
	const struct labgpu_mem *mem = alloc->mem;
	u32 page, n;

	rec->index = mem->gpu->index;
	rec->va = alloc->va;
	rec->size = alloc->size;
	for (page = 0; page < mem->npages; page += n) {
		n = labgpu_mem_run(mem, page);
		rec->ext[rec->nr].first = mem->pages[page];
		rec->ext[rec->nr].count = n;
		rec->nr++;
	}
	list_add_tail(&rec->node, &labgpu_records);
}

/**
 * labgpu_record_dying - the allocation is being freed
 * @rec: its line
 */
void labgpu_record_dying(struct labgpu_record *rec)
{
	rec->state = LABGPU_RECORD_DYING;
}

/**
 * labgpu_record_freed - the allocation is gone
 * @rec: its line; the line of the one that was freed first may go now
 */
void labgpu_record_freed(struct labgpu_record *rec)
{
	struct labgpu_record *old;

	rec->state = LABGPU_RECORD_FREED;
	list_add_tail(&rec->freed, &labgpu_freed);
	if (labgpu_nr_freed < LABGPU_MAX_FREED) {
		labgpu_nr_freed++;
		return;
	}
	old = list_first_entry(&labgpu_freed, struct labgpu_record, freed);
	list_del(&old->freed);
	list_del(&old->node);
	kvfree(old);
}

static void labgpu_record_show(struct seq_file *seq,
			       const struct labgpu_record *rec)
{
	static const char * const states[] = { "live", "dying", "freed" };
	u32 i;

	seq_printf(seq, "%u 0x%llx 0x%llx %s extents=", rec->index, rec->va,
		   rec->size, states[rec->state]);
	for (i = 0; i < rec->nr; i++)
		seq_printf(seq, "%s0x%llx:0x%llx", i ? "," : "",
			   (u64)rec->ext[i].first << LABGPU_PAGE_SHIFT,
			   (u64)rec->ext[i].count << LABGPU_PAGE_SHIFT);
	seq_putc(seq, '\n');
}

static int labgpu_history_show(struct seq_file *seq, void *unused)
{
	struct labgpu_record *rec;

	mutex_lock(&labgpu_lock);
	list_for_each_entry(rec, &labgpu_records, node)
		labgpu_record_show(seq, rec);
	mutex_unlock(&labgpu_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(labgpu_history);

static int labgpu_pins_show(struct seq_file *seq, void *unused)
{
	mutex_lock(&labgpu_lock);
	seq_printf(seq, "%u\n", labgpu_pin_count());
	mutex_unlock(&labgpu_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(labgpu_pins);

/**
 * labgpu_debugfs_init - make the files
 */
void labgpu_debugfs_init(void)
{
	labgpu_dir = debugfs_create_dir("labgpu", NULL);
	debugfs_create_file("history", 0444, labgpu_dir, NULL,
			    &labgpu_history_fops);
	debugfs_create_file("pins", 0444, labgpu_dir, NULL, &labgpu_pins_fops);
}

/**
 * labgpu_debugfs_exit - remove the files and all lines
 */
void labgpu_debugfs_exit(void)
{
	struct labgpu_record *rec, *tmp;

	debugfs_remove_recursive(labgpu_dir);
	list_for_each_entry_safe(rec, tmp, &labgpu_records, node)
		kvfree(rec);
}
