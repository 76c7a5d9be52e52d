// SPDX-License-Identifier: GPL-2.0-only
/* The emulated GPU's memory: which of its 64 KiB pages are taken. */

#include <linux/bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

/**
 * labgpu_mem_new - make an object for pages that are yet to be taken
 * @npages: how many
 *
 * Return: the object, to be freed by kvfree() until labgpu_mem_take(); or NULL
 */
struct labgpu_mem *labgpu_mem_new(u32 npages)
{
	struct labgpu_mem *mem;

	mem = kvzalloc(struct_size(mem, pages, npages), GFP_KERNEL);
	if (!mem)
		return NULL;
	kref_init(&mem->ref);
	mem->npages = npages;
	return mem;
}

/*
 * Scattered: every second page first, starting with the second one, then the
 * others, so that no page is followed by its successor.
 */
static u32 labgpu_mem_slot(u32 i, u32 npages, bool scatter)
{
	if (!scatter)
		return i;
	return i & 1 ? i / 2 : npages / 2 + i / 2;
}

/* The first run that is long enough, or else the first pages there are. */
static void labgpu_mem_pick(struct labgpu *gpu, struct labgpu_mem *mem,
			    bool scatter)
{
	unsigned long bit = gpu->npages;
	u32 i;

	if (!scatter)
		bit = bitmap_find_next_zero_area(gpu->taken, gpu->npages, 0,
						 mem->npages, 0);
	if (bit >= gpu->npages)
		bit = find_first_zero_bit(gpu->taken, gpu->npages);
	for (i = 0; i < mem->npages; i++) {
		mem->pages[labgpu_mem_slot(i, mem->npages, scatter)] = bit;
		bit = find_next_zero_bit(gpu->taken, gpu->npages, bit + 1);
	}
}

/**
 * labgpu_mem_take - take pages of a GPU
 * @gpu: whose
 * @mem: from labgpu_mem_new(); holds @gpu on success
 * @scatter: no two neighbours in @mem may be neighbours on the GPU
 *
 * Return: 0, or -ENOSPC when not enough pages are free
 */
int labgpu_mem_take(struct labgpu *gpu, struct labgpu_mem *mem, bool scatter)
{
	u32 i;

	if (mem->npages > gpu->nfree)
		return -ENOSPC;
	labgpu_mem_pick(gpu, mem, scatter);
	for (i = 0; i < mem->npages; i++)
		__set_bit(mem->pages[i], gpu->taken);
	gpu->nfree -= mem->npages;
	kref_get(&gpu->ref);
	mem->gpu = gpu;
	return 0;
}

static void labgpu_mem_release(struct kref *ref)
{
	struct labgpu_mem *mem = container_of(ref, struct labgpu_mem, ref);
	struct labgpu *gpu = mem->gpu;
	u32 i;

	for (i = 0; i < mem->npages; i++)
		__clear_bit(mem->pages[i], gpu->taken);
	gpu->nfree += mem->npages;
	labgpu_put(gpu);
	kvfree(mem);
}

/**
 * labgpu_mem_put - let go of taken pages
 * @mem: the pages; the last one to let go gives them back to the GPU
 */
void labgpu_mem_put(struct labgpu_mem *mem)
{
	kref_put(&mem->ref, labgpu_mem_release);
}

/**
 * labgpu_mem_run - length of a contiguous run
 * @mem: the pages
 * @first: where the run starts, below the number of pages
 *
 * Return: pages, at least 1
 */
u32 labgpu_mem_run(const struct labgpu_mem *mem, u32 first)
{
	u32 n = 1;

	while (first + n < mem->npages &&
	       mem->pages[first + n] == mem->pages[first] + n)
		n++;
	return n;
}

/**
 * labgpu_mem_extents - number of contiguous runs
 * @mem: the pages
 *
 * Return: the number of runs
 */
u32 labgpu_mem_extents(const struct labgpu_mem *mem)
{
	u32 page, n = 0;

	for (page = 0; page < mem->npages; page += labgpu_mem_run(mem, page))
		n++;
	return n;
}

/**
 * labgpu_mem_phys - where the CPU and other devices find a page
 * @mem: the pages
 * @page: which of them
 *
 * Return: physical address
 */
phys_addr_t labgpu_mem_phys(const struct labgpu_mem *mem, u32 page)
{
	return mem->gpu->base +
	       ((phys_addr_t)mem->pages[page] << LABGPU_PAGE_SHIFT);
}
