// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated GPU's memory that is taken without an address, and given one, or
 * several, later: what cuMemCreate() and cuMemMap() need.
 */

#include <linux/slab.h>

#include "labgpu_priv.h"

/**
 * struct labgpu_handle - what an open file knows memory by
 * @node: in the address space's handles
 * @id: the number
 * @mem: the memory, held
 */
struct labgpu_handle {
	struct list_head node;
	u32 id;
	struct labgpu_mem *mem;
};

static struct labgpu_handle *labgpu_handle_find(struct labgpu_space *space,
						u32 id)
{
	struct labgpu_handle *handle;

	list_for_each_entry(handle, &space->handles, node)
		if (handle->id == id)
			return handle;
	return NULL;
}

static void labgpu_handle_drop(struct labgpu_handle *handle)
{
	list_del(&handle->node);
	labgpu_mem_put(handle->mem);
	kfree(handle);
}

/**
 * labgpu_handle_create - LABGPU_IOC_CREATE
 * @space: the address space
 * @arg: see labgpu.h
 *
 * Return: 0 or an error of labgpu.h
 */
int labgpu_handle_create(struct labgpu_space *space, struct labgpu_create *arg)
{
	struct labgpu_handle *handle;
	int ret = -ENOMEM;

	if (!arg->length || !IS_ALIGNED(arg->length, LABGPU_PAGE_SIZE) ||
	    arg->flags & ~LABGPU_ALLOC_SCATTER)
		return -EINVAL;
	if (arg->length > (u64)space->gpu->nfree << LABGPU_PAGE_SHIFT)
		return -ENOSPC;
	handle = kzalloc(sizeof(*handle), GFP_KERNEL);
	if (!handle)
		return -ENOMEM;
	handle->mem = labgpu_mem_new(arg->length >> LABGPU_PAGE_SHIFT);
	if (handle->mem)
		ret = labgpu_mem_take(space->gpu, handle->mem,
				      arg->flags & LABGPU_ALLOC_SCATTER);
	if (ret) {
		kvfree(handle->mem);
		kfree(handle);
		return ret;
	}
	handle->id = ++space->last_handle;
	list_add(&handle->node, &space->handles);
	arg->handle = handle->id;
	return 0;
}

/**
 * labgpu_handle_map - LABGPU_IOC_MAP
 * @space: the address space
 * @arg: see labgpu.h
 *
 * Return: 0 or an error of labgpu.h
 */
int labgpu_handle_map(struct labgpu_space *space, const struct labgpu_map *arg)
{
	struct labgpu_handle *handle = labgpu_handle_find(space, arg->handle);

	if (arg->__reserved)
		return -EINVAL;
	return handle ? labgpu_space_map(space, handle->mem, arg->va) : -ENOENT;
}

/**
 * labgpu_handle_release - LABGPU_IOC_RELEASE
 * @space: the address space
 * @id: the number
 *
 * Return: 0, or -ENOENT
 */
int labgpu_handle_release(struct labgpu_space *space, u32 id)
{
	struct labgpu_handle *handle = labgpu_handle_find(space, id);

	if (!handle)
		return -ENOENT;
	labgpu_handle_drop(handle);
	return 0;
}

/**
 * labgpu_handle_end - forget all numbers of an address space
 * @space: the address space
 */
void labgpu_handle_end(struct labgpu_space *space)
{
	struct labgpu_handle *handle, *tmp;

	list_for_each_entry_safe(handle, tmp, &space->handles, node)
		labgpu_handle_drop(handle);
}
