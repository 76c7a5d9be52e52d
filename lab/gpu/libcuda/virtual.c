// SPDX-License-Identifier: MIT
/*
 * The lab's libcuda: reserved addresses and what is mapped there.  They lie in
 * the upper half of the window, where the driver puts nothing by itself.
 *
 * Each range has as many addresses of the CPU, where the views of its mappings
 * lie side by side, so that a copy may go over several.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lab.h"

#define LAB_RANGE_BASE	(LABGPU_VA_BASE + (LABGPU_VA_END - LABGPU_VA_BASE) / 2)
/* As far apart as allocations are at least. */
#define LAB_RANGE_GAP	LAB_GRANULARITY
#define LAB_PAGE	4096UL

/* Memory without an address of its own. */
struct lab_handle {
	struct lab_handle *next;
	unsigned int users;	/* who was given it, and mappings */
	unsigned int owners;	/* who was given it */
	size_t size;
	unsigned int number;	/* the driver's */
	unsigned long long block;
	CUmemAllocationProp prop;
};

static struct lab_range *lab_ranges;
static struct lab_handle *lab_handles;
/* A copy over a range has ended. */
static pthread_cond_t lab_range_idle = PTHREAD_COND_INITIALIZER;

static bool lab_is_multiple(unsigned long long value, size_t of)
{
	return !(value % of);
}

/* ---------------------------------------------------------------- ranges */

struct lab_range *lab_range_find(CUdeviceptr ptr)
{
	struct lab_range *r;

	for (r = lab_ranges; r; r = r->next)
		if (ptr >= r->va && ptr - r->va < r->size)
			return r;
	return NULL;
}

static CUdeviceptr lab_align(CUdeviceptr va, size_t alignment)
{
	return (va + alignment - 1) / alignment * alignment;
}

/* Where the first range would come that begins at @va or later; 0: nowhere. */
static CUdeviceptr lab_range_fit(CUdeviceptr va, size_t size, size_t alignment,
				 struct lab_range ***link)
{
	struct lab_range **r;

	va = lab_align(va, alignment);
	for (r = &lab_ranges; *r; r = &(*r)->next) {
		if ((*r)->va >= va && (*r)->va - va >= size + LAB_RANGE_GAP)
			break;
		if ((*r)->va + (*r)->size + LAB_RANGE_GAP > va)
			va = lab_align((*r)->va + (*r)->size + LAB_RANGE_GAP,
				       alignment);
	}
	*link = r;
	return va < LABGPU_VA_END && size <= LABGPU_VA_END - va ? va : 0;
}

static CUresult lab_range_new(size_t size, size_t alignment, CUdeviceptr hint,
			      CUdeviceptr *ptr)
{
	struct lab_range *range = calloc(1, sizeof(*range)), **link;
	CUdeviceptr va = 0;
	void *cpu;

	if (!range)
		return CUDA_ERROR_OUT_OF_MEMORY;
	if (hint >= LAB_RANGE_BASE && hint < LABGPU_VA_END)
		va = lab_range_fit(hint, size, alignment, &link);
	if (!va)
		va = lab_range_fit(LAB_RANGE_BASE, size, alignment, &link);
	cpu = va ? mmap(NULL, size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) :
		   MAP_FAILED;
	if (cpu == MAP_FAILED) {
		free(range);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	range->va = va;
	range->size = size;
	range->cpu = cpu;
	range->id = lab_new_id();
	range->next = *link;
	*link = range;
	*ptr = va;
	return CUDA_SUCCESS;
}

LAB_API CUresult cuMemAddressReserve(CUdeviceptr *ptr, size_t size,
				     size_t alignment, CUdeviceptr addr,
				     unsigned long long flags)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!ptr || !size || !lab_is_multiple(size, LAB_PAGE) ||
	    !lab_is_multiple(addr, LAB_PAGE) || (alignment & (alignment - 1)) ||
	    flags)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (alignment < LAB_GRANULARITY)
		alignment = LAB_GRANULARITY;
	if (size > LABGPU_VA_END - LAB_RANGE_BASE ||
	    alignment > LABGPU_VA_END - LAB_RANGE_BASE)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	return lab_leave(lab_range_new(size, alignment, addr, ptr));
}

static bool lab_range_has_mapping(const struct lab_range *range)
{
	CUdeviceptr at;

	for (at = range->va; at < range->va + range->size; at += LAB_GRANULARITY)
		if (lab_find(at))
			return true;
	return false;
}

LAB_API CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size)
{
	CUresult ret = lab_enter();
	struct lab_range **link, *range;

	if (ret)
		return ret;
	for (link = &lab_ranges; *link; link = &(*link)->next)
		if ((*link)->va == ptr && (*link)->size == size)
			break;
	range = *link;
	if (!range || lab_range_has_mapping(range))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*link = range->next;
	munmap(range->cpu, range->size);
	free(range);
	return lab_leave(CUDA_SUCCESS);
}

/* Access is that of the current context's GPU. */
static bool lab_mapping_reaches(const struct lab_mapping *m)
{
	CUcontext ctx;

	return m->access && !lab_current(&ctx) && ctx->device == m->alloc.device;
}

CUresult lab_range_view(struct lab_mapping *m, CUdeviceptr ptr, size_t size,
			struct lab_view *view)
{
	struct lab_range *range = m->range;
	CUdeviceptr end = ptr + size;
	struct lab_alloc *alloc;
	CUresult ret;

	for (;;) {
		if (m->range != range || !lab_mapping_reaches(m))
			return CUDA_ERROR_INVALID_VALUE;
		ret = lab_alloc_view(&m->alloc,
				     range->cpu + (m->alloc.va - range->va));
		if (ret)
			return ret;
		if (end - m->alloc.va <= m->alloc.size)
			break;
		alloc = lab_find(m->alloc.va + m->alloc.size);
		if (!alloc || !alloc->mapping)
			return CUDA_ERROR_INVALID_VALUE;
		m = alloc->mapping;
	}
	range->users++;
	view->range = range;
	view->cpu = range->cpu + (ptr - range->va);
	return CUDA_SUCCESS;
}

void lab_range_put(struct lab_range *range)
{
	if (!--range->users)
		pthread_cond_broadcast(&lab_range_idle);
}

/* --------------------------------------------------------------- handles */

static struct lab_handle *lab_handle_find(CUmemGenericAllocationHandle handle)
{
	struct lab_handle *h;

	for (h = lab_handles; h; h = h->next)
		if ((uintptr_t)h == handle)
			return h;
	return NULL;
}

bool lab_handle_reaches(const struct lab_handle *handle)
{
	return handle->prop.allocFlags.gpuDirectRDMACapable;
}

static void lab_handle_put(struct lab_handle *handle)
{
	struct labgpu_release arg = { .handle = handle->number };
	struct lab_handle **link = &lab_handles;

	if (--handle->users)
		return;
	ioctl(lab_device(handle->prop.location.id)->fd, LABGPU_IOC_RELEASE,
	      &arg);
	while (*link != handle)
		link = &(*link)->next;
	*link = handle->next;
	free(handle);
}

/* Of a GPU, and for this process; for others it can't be had here. */
static CUresult lab_prop_check(const CUmemAllocationProp *prop)
{
	if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
	    prop->win32HandleMetaData)
		return CUDA_ERROR_INVALID_VALUE;
	if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
	    (unsigned int)prop->requestedHandleTypes >
	    CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
		return CUDA_ERROR_NOT_SUPPORTED;
	return lab_device(prop->location.id) ? CUDA_SUCCESS :
					       CUDA_ERROR_INVALID_DEVICE;
}

LAB_API CUresult
cuMemGetAllocationGranularity(size_t *granularity,
			      const CUmemAllocationProp *prop,
			      CUmemAllocationGranularity_flags option)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!granularity ||
	    (unsigned int)option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_prop_check(prop);
	if (!ret)
		*granularity = LAB_GRANULARITY;
	return lab_leave(ret);
}

LAB_API CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size,
			     const CUmemAllocationProp *prop,
			     unsigned long long flags)
{
	struct labgpu_create arg = { .length = size, .flags = lab_scatter() };
	CUresult ret = lab_enter();
	struct lab_handle *new;

	if (ret)
		return ret;
	if (!handle || !size || !lab_is_multiple(size, LAB_GRANULARITY) || flags)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_prop_check(prop);
	if (ret)
		return lab_leave(ret);
	new = calloc(1, sizeof(*new));
	if (!new)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	if (ioctl(lab_device(prop->location.id)->fd, LABGPU_IOC_CREATE, &arg)) {
		ret = lab_errno(errno);
		free(new);
		return lab_leave(ret);
	}
	new->users = 1;
	new->owners = 1;
	new->size = size;
	new->number = arg.handle;
	new->block = lab_new_id();
	new->prop = *prop;
	new->next = lab_handles;
	lab_handles = new;
	*handle = (uintptr_t)new;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
	CUresult ret = lab_enter();
	struct lab_handle *h;

	if (ret)
		return ret;
	h = lab_handle_find(handle);
	if (!h || !h->owners)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	h->owners--;
	lab_handle_put(h);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle,
					     void *addr)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;

	if (ret)
		return ret;
	alloc = lab_find((uintptr_t)addr);
	if (!handle || !alloc || !alloc->mapping)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	alloc->mapping->handle->owners++;
	alloc->mapping->handle->users++;
	*handle = (uintptr_t)alloc->mapping->handle;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult
cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop,
				       CUmemGenericAllocationHandle handle)
{
	CUresult ret = lab_enter();
	struct lab_handle *h;

	if (ret)
		return ret;
	h = lab_handle_find(handle);
	if (!prop || !h)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*prop = h->prop;
	return lab_leave(CUDA_SUCCESS);
}

/* -------------------------------------------------------------- mappings */

/* Makes @m, which is complete but for its number, known to all. */
static CUresult lab_mapping_add(struct lab_mapping *m)
{
	struct labgpu_map arg = { .va = m->alloc.va,
				  .handle = m->handle->number };
	struct labgpu_free undo = { .va = m->alloc.va };
	int fd = lab_device(m->alloc.device)->fd;

	if (ioctl(fd, LABGPU_IOC_MAP, &arg))
		return errno == EEXIST ? CUDA_ERROR_INVALID_VALUE :
					 lab_errno(errno);
	if (!lab_link(&m->alloc)) {
		ioctl(fd, LABGPU_IOC_FREE, &undo);
		return CUDA_ERROR_OUT_OF_MEMORY;
	}
	m->handle->users++;
	return CUDA_SUCCESS;
}

static CUresult lab_mapping_new(struct lab_range *range, CUdeviceptr va,
				struct lab_handle *handle)
{
	struct lab_mapping *m = calloc(1, sizeof(*m));
	CUresult ret;

	if (!m)
		return CUDA_ERROR_OUT_OF_MEMORY;
	m->alloc.users = 1;
	m->alloc.device = handle->prop.location.id;
	m->alloc.va = va;
	m->alloc.size = handle->size;
	m->alloc.mapped = handle->size;
	m->alloc.block = handle->block;
	m->alloc.mapping = m;
	m->range = range;
	m->handle = handle;
	ret = lab_mapping_add(m);
	if (ret)
		free(m);
	return ret;
}

LAB_API CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset,
			  CUmemGenericAllocationHandle handle,
			  unsigned long long flags)
{
	CUresult ret = lab_enter();
	struct lab_handle *h;
	struct lab_range *r;

	if (ret)
		return ret;
	h = lab_handle_find(handle);
	r = lab_range_find(ptr);
	if (!h || !h->owners || !r || size != h->size || offset || flags ||
	    !lab_is_multiple(ptr, LAB_GRANULARITY) ||
	    size > r->size - (ptr - r->va))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	return lab_leave(lab_mapping_new(r, ptr, h));
}

/* Whether mappings, each as a whole, are all that is there. */
static bool lab_mappings_fill(CUdeviceptr ptr, size_t size)
{
	CUdeviceptr at = ptr;
	struct lab_alloc *alloc;

	while (at - ptr < size) {
		alloc = lab_find(at);
		if (!alloc || !alloc->mapping || alloc->va != at)
			return false;
		at += alloc->size;
	}
	return size && at - ptr == size;
}

/* The memory's pins end here; the CPU's addresses stay taken. */
static CUresult lab_mapping_end(struct lab_mapping *m)
{
	struct labgpu_free arg = { .va = m->alloc.va };
	CUresult ret = CUDA_SUCCESS;

	lab_unlink(&m->alloc);
	if (m->alloc.cpu)
		mmap(m->alloc.cpu, m->alloc.mapped, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
		     -1, 0);
	if (ioctl(lab_device(m->alloc.device)->fd, LABGPU_IOC_FREE, &arg))
		ret = lab_errno(errno);
	lab_handle_put(m->handle);
	free(m);
	return ret;
}

LAB_API CUresult cuMemUnmap(CUdeviceptr ptr, size_t size)
{
	CUresult ret = lab_enter(), one;
	struct lab_range *range;
	struct lab_alloc *alloc;
	CUdeviceptr at;

	if (ret)
		return ret;
	for (;;) {
		range = lab_range_find(ptr);
		if (!range || !lab_mappings_fill(ptr, size))
			return lab_leave(CUDA_ERROR_INVALID_VALUE);
		if (!range->users)
			break;
		pthread_cond_wait(&lab_range_idle, &lab_lock);
	}
	for (at = ptr; at - ptr < size;) {
		alloc = lab_find(at);
		at += alloc->size;
		one = lab_mapping_end(alloc->mapping);
		ret = ret ? ret : one;
	}
	return lab_leave(ret);
}

/* A GPU reaches its own memory only. */
static CUresult lab_desc_check(CUdeviceptr ptr, size_t size,
			       const CUmemAccessDesc *desc)
{
	struct lab_alloc *alloc;
	CUdeviceptr at;

	if (desc->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
		return CUDA_ERROR_NOT_SUPPORTED;
	if (desc->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
	    desc->flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
	    desc->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
		return CUDA_ERROR_INVALID_VALUE;
	for (at = ptr; at - ptr < size; at += alloc->size) {
		alloc = lab_find(at);
		if (alloc->device != desc->location.id)
			return CUDA_ERROR_INVALID_DEVICE;
	}
	return CUDA_SUCCESS;
}

LAB_API CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size,
				const CUmemAccessDesc *desc, size_t count)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;
	CUdeviceptr at;
	size_t i;

	if (ret)
		return ret;
	if (!desc || !count || !lab_mappings_fill(ptr, size))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	for (i = 0; !ret && i < count; i++)
		ret = lab_desc_check(ptr, size, &desc[i]);
	if (ret)
		return lab_leave(ret);
	for (at = ptr; at - ptr < size; at += alloc->size) {
		alloc = lab_find(at);
		alloc->mapping->access = desc[count - 1].flags;
	}
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuMemGetAccess(unsigned long long *flags,
				const CUmemLocation *location, CUdeviceptr ptr)
{
	CUresult ret = lab_enter();
	struct lab_alloc *alloc;

	if (ret)
		return ret;
	alloc = lab_find(ptr);
	if (!flags || !location || !alloc || !alloc->mapping)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (location->type != CU_MEM_LOCATION_TYPE_DEVICE ||
	    !lab_device(location->id))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	*flags = location->id == alloc->device ? alloc->mapping->access : 0;
	return lab_leave(CUDA_SUCCESS);
}
