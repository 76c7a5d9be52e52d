// SPDX-License-Identifier: GPL-2.0-only
/*
 * The peer-to-peer interface of NVIDIA's drivers over the emulated GPU.
 *
 * A free callback runs in the task that frees the memory, once, without a lock
 * of this driver.  It may call nvidia_p2p_free_page_table(), after which it
 * must not touch the table; otherwise the table ends when it returns.  It must
 * not put the pages.  A put that comes while the callback runs waits for it and
 * is refused, so a refused put means: the callback owned the table.
 */

#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

static bool break_table;
module_param(break_table, bool, 0644);
MODULE_PARM_DESC(break_table, "Tests only: page tables have each two neighbours swapped");

static uint table_version = NVIDIA_P2P_PAGE_TABLE_VERSION;
module_param(table_version, uint, 0644);
MODULE_PARM_DESC(table_version, "Tests only: version that page tables announce");

/**
 * struct labgpu_dma_map - a DMA mapping of a pin
 * @node: in the pin's maps
 * @peer: the device, held
 * @map: what the caller sees
 */
struct labgpu_dma_map {
	struct list_head node;
	struct pci_dev *peer;
	struct nvidia_p2p_dma_mapping map;
};

/*
 * Walks the memory objects under a range: all of one GPU, without a hole.
 * Returns their number; writes them to @mems unless that is NULL.
 */
static int labgpu_collect(u64 va, u64 length, struct labgpu_mem **mems)
{
	struct labgpu_proc *proc = labgpu_proc_find(current->mm);
	struct labgpu_allocation *alloc;
	struct labgpu *gpu = NULL;
	u64 off = 0;
	int n = 0;

	if (!proc)
		return -EINVAL;
	while (off < length) {
		alloc = labgpu_space_find(proc, va + off);
		if (!alloc || alloc->dying || alloc->space->gpu->gone ||
		    (gpu && gpu != alloc->space->gpu))
			return -EINVAL;
		gpu = alloc->space->gpu;
		if (mems)
			mems[n] = alloc->mem;
		n++;
		off = alloc->va + alloc->size - va;
	}
	return n;
}

/* @first: the address of the first memory object. */
static void labgpu_pin_fill(struct labgpu_pin *pin, u64 va, u64 first)
{
	struct nvidia_p2p_page_table *table = &pin->table;
	struct labgpu_mem *mem = pin->mems[0];
	u32 page = (va - first) >> LABGPU_PAGE_SHIFT;
	u32 i, k = 0;

	for (i = 0; i < table->entries; i++, page++) {
		if (page == mem->npages) {
			mem = pin->mems[++k];
			page = 0;
		}
		pin->entries[i].physical_address = labgpu_mem_phys(mem, page);
		table->pages[i] = &pin->entries[i];
	}
	for (i = 0; break_table && i + 1 < table->entries; i += 2)
		swap(table->pages[i], table->pages[i + 1]);
	memcpy(pin->uuid, mem->gpu->uuid, sizeof(pin->uuid));
	table->version = table_version;
	table->page_size = NVIDIA_P2P_PAGE_SIZE_64KB;
	pin->va = va;
}

/* The range is known to be there before anything is allocated for it. */
static struct labgpu_pin *labgpu_pin_range(u64 va, u64 length)
{
	int nmems = labgpu_collect(va, length, NULL);
	struct labgpu_pin *pin;

	if (nmems < 0)
		return ERR_PTR(nmems);
	pin = labgpu_pin_new(length >> LABGPU_PAGE_SHIFT, nmems);
	if (!pin)
		return ERR_PTR(-ENOMEM);
	labgpu_collect(va, length, pin->mems);
	labgpu_pin_fill(pin, va,
			labgpu_space_find(labgpu_proc_find(current->mm), va)->va);
	return pin;
}

static int labgpu_get_pages(u64 va, u64 length,
			    struct nvidia_p2p_page_table **page_table,
			    void (*free_callback)(void *data), void *data)
{
	struct labgpu_pin *pin;

	if (!page_table || !length || !IS_ALIGNED(va | length, LABGPU_PAGE_SIZE))
		return -EINVAL;
	if (va < LABGPU_VA_BASE || va >= LABGPU_VA_END ||
	    length > LABGPU_VA_END - va)
		return -EINVAL;
	mutex_lock(&labgpu_lock);
	pin = labgpu_pin_range(va, length);
	if (!IS_ERR(pin)) {
		pin->free_callback = free_callback;
		pin->data = data;
		labgpu_pin_add(pin);
		*page_table = &pin->table;
	}
	mutex_unlock(&labgpu_lock);
	return PTR_ERR_OR_ZERO(pin);
}

static int labgpu_put_pages(u64 va, struct nvidia_p2p_page_table *page_table,
			    bool persistent)
{
	struct labgpu_pin *pin;
	int ret = -EINVAL;

	mutex_lock(&labgpu_lock);
	pin = labgpu_pin_find(page_table);
	if (!pin || pin->va != va || persistent != !pin->free_callback)
		goto out;
	if (pin->state == LABGPU_PIN_LIVE) {
		labgpu_pin_kill(pin);
		ret = 0;
	} else if (!WARN_ONCE(pin->revoker == current,
			      "labgpu: pages put by their own free callback\n")) {
		labgpu_pin_wait(pin);
	}
out:
	mutex_unlock(&labgpu_lock);
	return ret;
}

/**
 * nvidia_p2p_get_pages - pin GPU memory until it is freed
 * @p2p_token: must be 0
 * @va_space: must be 0
 * @virtual_address: GPU address of the calling process, a multiple of 64 KiB
 * @length: bytes, a multiple of 64 KiB
 * @page_table: out
 * @free_callback: called once if the memory is freed before it is put
 * @data: argument of @free_callback
 *
 * Return: 0, -ENOMEM, or -EINVAL, also when the range is not all memory of one
 * GPU that the calling process has now
 */
int nvidia_p2p_get_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 u64 length, struct nvidia_p2p_page_table **page_table,
			 void (*free_callback)(void *data), void *data)
{
	if (p2p_token || va_space || !free_callback)
		return -EINVAL;
	return labgpu_get_pages(virtual_address, length, page_table,
				free_callback, data);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_get_pages);

/**
 * nvidia_p2p_put_pages - undo nvidia_p2p_get_pages()
 * @p2p_token: must be 0
 * @va_space: must be 0
 * @virtual_address: as it was given
 * @page_table: the table
 *
 * Return: 0, or -EINVAL, also when the callback has been or is being called; it
 * has returned then
 */
int nvidia_p2p_put_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 struct nvidia_p2p_page_table *page_table)
{
	if (p2p_token || va_space)
		return -EINVAL;
	return labgpu_put_pages(virtual_address, page_table, false);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_put_pages);

/**
 * nvidia_p2p_get_pages_persistent - pin GPU memory, even if it is freed
 * @virtual_address: GPU address of the calling process, a multiple of 64 KiB
 * @length: bytes, a multiple of 64 KiB
 * @page_table: out
 * @flags: must be 0
 *
 * Return: as nvidia_p2p_get_pages()
 */
int nvidia_p2p_get_pages_persistent(u64 virtual_address, u64 length,
				    struct nvidia_p2p_page_table **page_table,
				    u32 flags)
{
	if (flags)
		return -EINVAL;
	return labgpu_get_pages(virtual_address, length, page_table, NULL, NULL);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_get_pages_persistent);

/**
 * nvidia_p2p_put_pages_persistent - undo nvidia_p2p_get_pages_persistent()
 * @virtual_address: as it was given
 * @page_table: the table
 * @flags: must be 0
 *
 * Return: 0 or -EINVAL
 */
int nvidia_p2p_put_pages_persistent(u64 virtual_address,
				    struct nvidia_p2p_page_table *page_table,
				    u32 flags)
{
	if (flags)
		return -EINVAL;
	return labgpu_put_pages(virtual_address, page_table, true);
}
EXPORT_SYMBOL_GPL(nvidia_p2p_put_pages_persistent);

/**
 * nvidia_p2p_free_page_table - let go of a table in its free callback
 * @page_table: the table
 *
 * Return: 0, or -EINVAL when it is not called by the table's free callback
 */
int nvidia_p2p_free_page_table(struct nvidia_p2p_page_table *page_table)
{
	struct labgpu_pin *pin;
	int ret = -EINVAL;

	mutex_lock(&labgpu_lock);
	pin = labgpu_pin_find(page_table);
	if (pin && pin->revoker == current && pin->table.pages) {
		/* Who looks at it from now on shall stumble. */
		kvfree(pin->table.pages);
		pin->table.pages = NULL;
		pin->table.entries = 0;
		ret = 0;
	}
	mutex_unlock(&labgpu_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(nvidia_p2p_free_page_table);

static void labgpu_dma_map_free(struct labgpu_dma_map *map)
{
	u32 i;

	for (i = 0; i < map->map.entries; i++)
		dma_unmap_resource(&map->peer->dev, map->map.dma_addresses[i],
				   LABGPU_PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
	pci_dev_put(map->peer);
	kvfree(map->map.dma_addresses);
	kfree(map);
}

/**
 * labgpu_unmap_all - undo all DMA mappings of a pin
 * @pin: the pin
 */
void labgpu_unmap_all(struct labgpu_pin *pin)
{
	struct labgpu_dma_map *map, *tmp;

	list_for_each_entry_safe(map, tmp, &pin->maps, node) {
		list_del(&map->node);
		labgpu_dma_map_free(map);
	}
}

static struct labgpu_dma_map *labgpu_dma_map_new(struct labgpu_pin *pin,
						 struct pci_dev *peer)
{
	struct labgpu_dma_map *map = kzalloc(sizeof(*map), GFP_KERNEL);
	dma_addr_t addr;
	u32 i;

	if (!map)
		return ERR_PTR(-ENOMEM);
	map->peer = pci_dev_get(peer);
	map->map.dma_addresses = kvcalloc(pin->table.entries, sizeof(u64),
					  GFP_KERNEL);
	for (i = 0; map->map.dma_addresses && i < pin->table.entries; i++) {
		addr = dma_map_resource(&peer->dev,
					pin->table.pages[i]->physical_address,
					LABGPU_PAGE_SIZE, DMA_BIDIRECTIONAL, 0);
		if (dma_mapping_error(&peer->dev, addr))
			break;
		map->map.dma_addresses[i] = addr;
		map->map.entries++;
	}
	if (map->map.entries < pin->table.entries) {
		labgpu_dma_map_free(map);
		return ERR_PTR(-ENOMEM);
	}
	map->map.version = NVIDIA_P2P_DMA_MAPPING_VERSION;
	map->map.page_size_type = NVIDIA_P2P_PAGE_SIZE_64KB;
	map->map.pci_dev = peer;
	return map;
}

/**
 * nvidia_p2p_dma_map_pages - make pinned memory reachable for a device
 * @peer: the device
 * @page_table: the table
 * @dma_mapping: out: an address for every page
 *
 * Return: 0, -ENOMEM, or -EINVAL when the table is not live
 */
int nvidia_p2p_dma_map_pages(struct pci_dev *peer,
			     struct nvidia_p2p_page_table *page_table,
			     struct nvidia_p2p_dma_mapping **dma_mapping)
{
	struct labgpu_pin *pin;
	struct labgpu_dma_map *map;
	int ret = -EINVAL;

	if (!peer || !dma_mapping)
		return -EINVAL;
	mutex_lock(&labgpu_lock);
	pin = labgpu_pin_find(page_table);
	if (!pin || pin->state != LABGPU_PIN_LIVE)
		goto out;
	map = labgpu_dma_map_new(pin, peer);
	ret = PTR_ERR_OR_ZERO(map);
	if (ret)
		goto out;
	list_add(&map->node, &pin->maps);
	*dma_mapping = &map->map;
out:
	mutex_unlock(&labgpu_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(nvidia_p2p_dma_map_pages);

/**
 * nvidia_p2p_dma_unmap_pages - undo nvidia_p2p_dma_map_pages()
 * @peer: the device
 * @page_table: the table
 * @dma_mapping: the mapping; gone on success
 *
 * Return: 0, or -EINVAL when there is no such mapping
 */
int nvidia_p2p_dma_unmap_pages(struct pci_dev *peer,
			       struct nvidia_p2p_page_table *page_table,
			       struct nvidia_p2p_dma_mapping *dma_mapping)
{
	struct labgpu_dma_map *map;
	struct labgpu_pin *pin;
	int ret = -EINVAL;

	mutex_lock(&labgpu_lock);
	pin = labgpu_pin_find(page_table);
	if (!pin)
		goto out;
	list_for_each_entry(map, &pin->maps, node) {
		if (&map->map != dma_mapping || map->peer != peer)
			continue;
		list_del(&map->node);
		labgpu_dma_map_free(map);
		ret = 0;
		break;
	}
out:
	mutex_unlock(&labgpu_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(nvidia_p2p_dma_unmap_pages);

/**
 * nvidia_p2p_free_dma_mapping - let go of a mapping in a free callback
 * @dma_mapping: the mapping; it ends with its table, whatever is done here
 *
 * Return: 0
 */
int nvidia_p2p_free_dma_mapping(struct nvidia_p2p_dma_mapping *dma_mapping)
{
	return 0;
}
EXPORT_SYMBOL_GPL(nvidia_p2p_free_dma_mapping);
