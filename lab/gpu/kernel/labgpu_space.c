// SPDX-License-Identifier: GPL-2.0-only
/* The emulated GPU's address spaces: who has which memory at what address. */

#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

/* Nothing is mapped for so many bytes around an allocation. */
#define LABGPU_VA_GAP	SZ_1M

static LIST_HEAD(labgpu_procs);

/**
 * labgpu_proc_find - find a process with open GPUs
 * @mm: its memory, may be NULL
 *
 * Return: the process, or NULL
 */
struct labgpu_proc *labgpu_proc_find(const struct mm_struct *mm)
{
	struct labgpu_proc *proc;

	list_for_each_entry(proc, &labgpu_procs, node)
		if (proc->mm == mm)
			return proc;
	return NULL;
}

static struct labgpu_proc *labgpu_proc_get(struct mm_struct *mm)
{
	struct labgpu_proc *proc = labgpu_proc_find(mm);

	if (!proc) {
		proc = kzalloc(sizeof(*proc), GFP_KERNEL);
		if (!proc)
			return NULL;
		INIT_LIST_HEAD(&proc->allocs);
		mmgrab(mm);
		proc->mm = mm;
		list_add(&proc->node, &labgpu_procs);
	}
	proc->users++;
	return proc;
}

static void labgpu_proc_put(struct labgpu_proc *proc)
{
	if (--proc->users)
		return;
	list_del(&proc->node);
	mmdrop(proc->mm);
	kfree(proc);
}

/**
 * labgpu_space_open - open a GPU for the current process
 * @gpu: the GPU
 *
 * Return: the address space, or an error pointer
 */
struct labgpu_space *labgpu_space_open(struct labgpu *gpu)
{
	struct labgpu_space *space;

	if (!current->mm)
		return ERR_PTR(-EPERM);
	space = kzalloc(sizeof(*space), GFP_KERNEL);
	if (!space)
		return ERR_PTR(-ENOMEM);
	space->proc = labgpu_proc_get(current->mm);
	if (!space->proc) {
		kfree(space);
		return ERR_PTR(-ENOMEM);
	}
	space->gpu = gpu;
	kref_get(&gpu->ref);
	INIT_LIST_HEAD(&space->handles);
	space->owner = current->files;
	return space;
}

/**
 * labgpu_space_check - may the current process use an address space now?
 * @space: the address space
 *
 * Return: 0, -EPERM, -EBADFD or -ENODEV as labgpu.h has it
 */
int labgpu_space_check(const struct labgpu_space *space)
{
	if (space->proc->mm != current->mm)
		return -EPERM;
	if (space->dead)
		return -EBADFD;
	return space->gpu->gone ? -ENODEV : 0;
}

/* Frees an allocation that is not dying.  Drops the lock for the callbacks. */
static void labgpu_allocation_end(struct labgpu_allocation *alloc)
{
	alloc->dying = true;
	labgpu_record_dying(alloc->rec);
	labgpu_revoke_mem(alloc->mem);
	labgpu_record_freed(alloc->rec);
	list_del(&alloc->node);
	labgpu_mem_put(alloc->mem);
	kfree(alloc);
}

static struct labgpu_allocation *labgpu_space_first(struct labgpu_space *space)
{
	struct labgpu_allocation *alloc;

	list_for_each_entry(alloc, &space->proc->allocs, node)
		if (alloc->space == space && !alloc->dying)
			return alloc;
	return NULL;
}

/**
 * labgpu_space_end - free all memory of an address space
 * @space: the address space; nothing can be allocated in it any more
 */
void labgpu_space_end(struct labgpu_space *space)
{
	struct labgpu_allocation *alloc;

	space->dead = true;
	while ((alloc = labgpu_space_first(space)))
		labgpu_allocation_end(alloc);
	labgpu_handle_end(space);
}

/**
 * labgpu_space_close - free an address space
 * @space: the address space; nobody else uses it
 */
void labgpu_space_close(struct labgpu_space *space)
{
	labgpu_space_end(space);
	labgpu_proc_put(space->proc);
	labgpu_put(space->gpu);
	kfree(space);
}

/**
 * labgpu_space_find - which allocation is at an address?
 * @proc: whose address
 * @va: the address
 *
 * Return: the allocation, which may be dying; or NULL
 */
struct labgpu_allocation *labgpu_space_find(struct labgpu_proc *proc, u64 va)
{
	struct labgpu_allocation *alloc;

	list_for_each_entry(alloc, &proc->allocs, node)
		if (va >= alloc->va && va - alloc->va < alloc->size)
			return alloc;
	return NULL;
}

/* Big allocations start at 2 MiB, as those of a real GPU do. */
static u64 labgpu_va_align(u64 size)
{
	return size < SZ_2M ? LABGPU_PAGE_SIZE : SZ_2M;
}

/* The lowest place with a gap on both sides.  *@next is who comes after it. */
static int labgpu_va_fit(struct labgpu_proc *proc, u64 size, u64 *va,
			 struct list_head **next)
{
	u64 start = ALIGN(LABGPU_VA_BASE + LABGPU_VA_GAP, labgpu_va_align(size));
	struct labgpu_allocation *alloc;

	list_for_each_entry(alloc, &proc->allocs, node) {
		if (alloc->va >= start + size + LABGPU_VA_GAP)
			break;
		start = ALIGN(alloc->va + alloc->size + LABGPU_VA_GAP,
			      labgpu_va_align(size));
	}
	if (start + size + LABGPU_VA_GAP > LABGPU_VA_END)
		return -ENOMEM;
	*va = start;
	*next = &alloc->node;
	return 0;
}

static int labgpu_va_at(struct labgpu_proc *proc, u64 size, u64 va,
			struct list_head **next)
{
	struct labgpu_allocation *alloc;

	if (!IS_ALIGNED(va, LABGPU_PAGE_SIZE) || va < LABGPU_VA_BASE ||
	    va >= LABGPU_VA_END || size > LABGPU_VA_END - va)
		return -EINVAL;
	list_for_each_entry(alloc, &proc->allocs, node) {
		if (alloc->va >= va + size)
			break;
		if (alloc->va + alloc->size > va)
			return -EEXIST;
	}
	*next = &alloc->node;
	return 0;
}

/* @alloc is complete but for its address. */
static void labgpu_space_add(struct labgpu_space *space,
			     struct labgpu_allocation *alloc, u64 va,
			     struct list_head *next)
{
	alloc->space = space;
	alloc->va = va;
	labgpu_record_add(alloc->rec, alloc);
	list_add_tail(&alloc->node, next);
}

/* Finds the place for @alloc, whose size and memory object are there already. */
static int labgpu_space_place(struct labgpu_space *space,
			      struct labgpu_allocation *alloc,
			      struct labgpu_alloc *arg)
{
	struct list_head *next;
	int ret;

	if (arg->flags & LABGPU_ALLOC_AT)
		ret = labgpu_va_at(space->proc, alloc->size, arg->va, &next);
	else
		ret = labgpu_va_fit(space->proc, alloc->size, &arg->va, &next);
	if (ret)
		return ret;
	ret = labgpu_mem_take(space->gpu, alloc->mem,
			      arg->flags & LABGPU_ALLOC_SCATTER);
	if (ret)
		return ret;
	arg->nr_extents = labgpu_mem_extents(alloc->mem);
	labgpu_space_add(space, alloc, arg->va, next);
	return 0;
}

/**
 * labgpu_space_alloc - LABGPU_IOC_ALLOC
 * @space: the address space
 * @arg: see labgpu.h
 *
 * Return: 0 or an error of labgpu.h
 */
int labgpu_space_alloc(struct labgpu_space *space, struct labgpu_alloc *arg)
{
	struct labgpu_allocation *alloc;
	int ret = -ENOMEM;
	u32 npages;

	if (!arg->length ||
	    arg->flags & ~(LABGPU_ALLOC_SCATTER | LABGPU_ALLOC_AT))
		return -EINVAL;
	if (arg->length > (u64)space->gpu->nfree << LABGPU_PAGE_SHIFT)
		return -ENOSPC;
	npages = DIV_ROUND_UP_ULL(arg->length, LABGPU_PAGE_SIZE);
	alloc = kzalloc(sizeof(*alloc), GFP_KERNEL);
	if (!alloc)
		return -ENOMEM;
	alloc->size = (u64)npages << LABGPU_PAGE_SHIFT;
	alloc->mem = labgpu_mem_new(npages);
	alloc->rec = labgpu_record_new(npages);
	if (alloc->mem && alloc->rec)
		ret = labgpu_space_place(space, alloc, arg);
	if (ret) {
		kvfree(alloc->mem);
		labgpu_record_drop(alloc->rec);
		kfree(alloc);
	}
	return ret;
}

/**
 * labgpu_space_map - make an allocation of memory that is taken already
 * @space: the address space
 * @mem: the memory; the allocation holds it
 * @va: where
 *
 * Return: 0, or -ENOMEM, -EINVAL or -EEXIST as labgpu.h has them
 */
int labgpu_space_map(struct labgpu_space *space, struct labgpu_mem *mem, u64 va)
{
	struct labgpu_allocation *alloc = kzalloc(sizeof(*alloc), GFP_KERNEL);
	struct list_head *next;
	int ret = -ENOMEM;

	if (!alloc)
		return -ENOMEM;
	alloc->size = (u64)mem->npages << LABGPU_PAGE_SHIFT;
	alloc->rec = labgpu_record_new(mem->npages);
	if (alloc->rec)
		ret = labgpu_va_at(space->proc, alloc->size, va, &next);
	if (ret) {
		labgpu_record_drop(alloc->rec);
		kfree(alloc);
		return ret;
	}
	kref_get(&mem->ref);
	alloc->mem = mem;
	labgpu_space_add(space, alloc, va, next);
	return 0;
}

/**
 * labgpu_space_free - LABGPU_IOC_FREE
 * @space: the address space
 * @va: first address of an allocation
 *
 * Return: 0, or -ENOENT
 */
int labgpu_space_free(struct labgpu_space *space, u64 va)
{
	struct labgpu_allocation *alloc = labgpu_space_find(space->proc, va);

	if (!alloc || alloc->va != va || alloc->space != space || alloc->dying)
		return -ENOENT;
	labgpu_allocation_end(alloc);
	return 0;
}
