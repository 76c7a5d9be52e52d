// SPDX-License-Identifier: MIT
/*
 * Memory that requests may name.  What was registered is in a sorted array, so
 * that most requests need not ask the GPU driver what an address is of.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cufile_priv.h"
#include "libnvfs.h"

#define BAD_BUF_FLAGS	(~(CU_FILE_RDMA_REGISTER | \
			   CU_FILE_RDMA_RELAXED_ORDERING))

struct buffer {
	uint64_t base;
	uint64_t length;
	unsigned int gpu;
};

/* All under the lock, by base; they may overlap, two of one base may not be. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct buffer *buffers;
static size_t nr, room;
/* The longest that ever was here: how far back a look-up has to go. */
static uint64_t longest;
/* What statistics tell: bytes of each GPU. */
static uint64_t registered[CF_MAX_GPUS];

static void note_bytes(const struct buffer *buffer, uint64_t change)
{
	if (buffer->gpu >= CF_MAX_GPUS)
		return;
	registered[buffer->gpu] += change;
	cf_stats_registered(buffer->gpu, registered[buffer->gpu]);
}

/* Index of the first whose base is above @addr. */
static size_t above(uint64_t addr)
{
	size_t low = 0, high = nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (buffers[middle].base > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The one with the nearest base that holds @addr. */
static bool find_registered(uint64_t addr, struct cf_mem *mem)
{
	bool found = false;

	pthread_rwlock_rdlock(&lock);
	for (size_t i = above(addr); i-- && addr - buffers[i].base < longest;) {
		const struct buffer *b = &buffers[i];

		if (addr - b->base >= b->length)
			continue;
		mem->gpu = b->gpu;
		mem->first = b->base;
		mem->end = b->base + b->length;
		found = true;
		break;
	}
	pthread_rwlock_unlock(&lock);
	return found;
}

static CUfileOpError classify(uint64_t addr, struct gpu_mem *mem)
{
	const struct gpu_driver *driver;
	int ret = engine_gpu(&driver);

	memset(mem, 0, sizeof(*mem));
	/* Without a GPU all memory is the host's. */
	if (ret == -ENOSYS || ret == -ENODEV)
		return CU_FILE_SUCCESS;
	if (ret)
		return cf_from_errno(ret).err;
	if (driver->classify)
		return cf_from_errno(driver->classify(addr, mem)).err;
	mem->kind = GPU_MEM_DEVICE;
	mem->length = UINT64_MAX;
	return CU_FILE_SUCCESS;
}

static CUfileOpError find_any(uint64_t addr, struct cf_mem *mem)
{
	struct gpu_mem found;
	CUfileOpError err = classify(addr, &found);

	if (err)
		return err;
	mem->gpu = ENGINE_HOST;
	mem->first = 0;
	mem->end = UINT64_MAX;
	/* Managed memory is read and written by the CPU like any other. */
	if (found.kind != GPU_MEM_DEVICE)
		return CU_FILE_SUCCESS;
	mem->gpu = found.index;
	if (found.length) {
		mem->first = found.base;
		mem->end = found.base + found.length;
	}
	return CU_FILE_SUCCESS;
}

CUfileOpError cf_mem_find(const void *base, struct cf_mem *mem)
{
	return base ? find_any((uintptr_t)base, mem) : CU_FILE_INVALID_VALUE;
}

CUfileOpError cf_mem_range(const struct cf_mem *mem, const void *base,
			   off_t offset, size_t size, uint64_t *addr)
{
	if (offset < 0 || size > SSIZE_MAX)
		return CU_FILE_INVALID_VALUE;
	*addr = (uintptr_t)base + (uint64_t)offset;
	if (*addr < (uintptr_t)base || *addr + size < *addr)
		return CU_FILE_INVALID_VALUE;
	if (*addr >= mem->first && *addr + size <= mem->end)
		return CU_FILE_SUCCESS;
	return CU_FILE_CUDA_POINTER_RANGE_ERROR;
}

/* A request may go on where a registration ends, but not its memory. */
CUfileOpError cf_mem_at(const void *base, off_t offset, size_t size,
			unsigned int *gpu, uint64_t *addr)
{
	struct cf_mem mem;
	CUfileOpError err;

	if (!base)
		return CU_FILE_INVALID_VALUE;
	if (find_registered((uintptr_t)base, &mem) &&
	    !cf_mem_range(&mem, base, offset, size, addr)) {
		*gpu = mem.gpu;
		return CU_FILE_SUCCESS;
	}
	err = find_any((uintptr_t)base, &mem);
	if (err)
		return err;
	*gpu = mem.gpu;
	return cf_mem_range(&mem, base, offset, size, addr);
}

/* ---------------------------------------------------------- registration */

/* Is it the engine's business? */
static bool is_pinned(const struct buffer *buffer)
{
	return buffer->gpu != ENGINE_HOST && cf_may_be_direct();
}

static CUfileOpError insert(const struct buffer *new)
{
	size_t at = above(new->base);

	if (at && buffers[at - 1].base == new->base)
		return CU_FILE_MEMORY_ALREADY_REGISTERED;
	if (nr == room) {
		size_t more = room ? 2 * room : 16;
		struct buffer *bigger = realloc(buffers,
						more * sizeof(*bigger));

		if (!bigger)
			return CU_FILE_NOMEM_ERROR;
		buffers = bigger;
		room = more;
	}
	memmove(&buffers[at + 1], &buffers[at], (nr - at) * sizeof(*buffers));
	buffers[at] = *new;
	nr++;
	note_bytes(new, new->length);
	if (new->length > longest)
		longest = new->length;
	return CU_FILE_SUCCESS;
}

/* Takes out what has this base; false when nothing has. */
static bool take(uint64_t base, struct buffer *old)
{
	size_t at = above(base);

	if (!at || buffers[at - 1].base != base)
		return false;
	*old = buffers[--at];
	memmove(&buffers[at], &buffers[at + 1],
		(--nr - at) * sizeof(*buffers));
	note_bytes(old, -old->length);
	return true;
}

/* How much more of a GPU's memory may be pinned; under the lock. */
static uint64_t room_for(unsigned int gpu, uint64_t limit)
{
	uint64_t pinned = 0;

	for (size_t i = 0; i < nr; i++) {
		if (buffers[i].gpu == gpu)
			pinned += buffers[i].length;
	}
	return pinned < limit ? limit - pinned : 0;
}

/* Nothing is pinned where nobody is there to do so. */
static uint64_t pinned_limit(const struct buffer *new)
{
	uint64_t limit;

	if (!is_pinned(new) || nvfs_module_error(engine_nvfs()))
		return UINT64_MAX;
	cf_lock();
	limit = cf_config()->size[
		CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB] * KIB;
	cf_unlock();
	return limit;
}

static CUfileOpError inspect(struct buffer *new)
{
	struct gpu_mem mem;
	bool host_allowed;
	CUfileOpError err = classify(new->base, &mem);

	if (err)
		return err;
	if (mem.kind == GPU_MEM_MANAGED)
		return CU_FILE_CUDA_MEMORY_TYPE_INVALID;
	if (mem.kind == GPU_MEM_DEVICE) {
		new->gpu = mem.index;
		if (mem.length && (new->base < mem.base ||
				   new->length > mem.length -
						 (new->base - mem.base)))
			return CU_FILE_CUDA_POINTER_RANGE_ERROR;
		return CU_FILE_SUCCESS;
	}
	cf_lock();
	host_allowed = cf_config()->flag[
		CUFILE_PARAM_PROPERTIES_ALLOW_SYSTEM_MEMORY];
	cf_unlock();
	return host_allowed ? CU_FILE_SUCCESS :
			      CU_FILE_CUDA_MEMORY_TYPE_INVALID;
}

static CUfileOpError add(const struct buffer *new)
{
	uint64_t limit = pinned_limit(new);
	CUfileOpError err;
	struct buffer old;
	int ret;

	pthread_rwlock_wrlock(&lock);
	if (limit != UINT64_MAX && new->length > room_for(new->gpu, limit))
		err = CU_FILE_GPU_MEMORY_PINNING_FAILED;
	else
		err = insert(new);
	pthread_rwlock_unlock(&lock);
	if (err || !is_pinned(new))
		return err;
	ret = engine_mem_add(new->gpu, new->base, new->length);
	if (!ret)
		return CU_FILE_SUCCESS;
	pthread_rwlock_wrlock(&lock);
	take(new->base, &old);
	pthread_rwlock_unlock(&lock);
	return ret == -EEXIST ? CU_FILE_MEMORY_ALREADY_REGISTERED :
				cf_from_errno(ret).err;
}

static void tell(const struct buffer *new, CUfileOpError err)
{
	char where[24] = "the host";

	if (new->gpu != ENGINE_HOST)
		snprintf(where, sizeof(where), "GPU %u", new->gpu);
	cf_log(CF_LOG_ERROR, "buffer",
	       "%llu bytes at %#llx, of %s, can't be registered: %d, %s%s",
	       (unsigned long long)new->length, (unsigned long long)new->base,
	       where, err, cufileop_status_error(err),
	       err == CU_FILE_GPU_MEMORY_PINNING_FAILED ?
	       ": more than max_device_pinned_mem_size_kb" : "");
}

CF_API CUfileError_t cuFileBufRegister(const void *bufPtr_base, size_t length,
				       int flags)
{
	struct buffer new = {
		.base = (uintptr_t)bufPtr_base,
		.length = length,
		.gpu = ENGINE_HOST,
	};
	CUfileError_t ret;
	uint64_t began;

	if (!bufPtr_base || !length || length > SSIZE_MAX ||
	    (flags & BAD_BUF_FLAGS) || new.base + length < length) {
		cf_tell_call("cuFileBufRegister", CU_FILE_INVALID_VALUE,
			     "%zu bytes at %p, flags %#x", length, bufPtr_base,
			     (unsigned int)flags);
		return cf_error(CU_FILE_INVALID_VALUE);
	}
	ret = cf_enter_open();
	if (ret.err)
		return ret;
	began = cf_stats_begin();
	ret.err = inspect(&new);
	if (!ret.err)
		ret.err = add(&new);
	if (ret.err)
		tell(&new, ret.err);
	cf_stats_register(began, new.gpu, false, !ret.err);
	cf_leave();
	return ret;
}

CF_API CUfileError_t cuFileBufDeregister(const void *bufPtr_base)
{
	CUfileError_t ret;
	struct buffer old;
	uint64_t began;
	bool found;

	if (!bufPtr_base)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_error(cf_enter());
	if (ret.err)
		return ret;
	began = cf_stats_begin();
	pthread_rwlock_wrlock(&lock);
	found = take((uintptr_t)bufPtr_base, &old);
	pthread_rwlock_unlock(&lock);
	if (!found)
		ret.err = CU_FILE_MEMORY_NOT_REGISTERED;
	else if (is_pinned(&old))
		ret = cf_from_errno(engine_mem_del(old.base));
	cf_stats_register(began, found ? old.gpu : ENGINE_HOST, true, !ret.err);
	if (ret.err)
		cf_tell_call("cuFileBufDeregister", ret.err, "memory %p",
			     bufPtr_base);
	cf_leave();
	return ret;
}

void cf_buffers_tell(void)
{
	pthread_rwlock_rdlock(&lock);
	for (unsigned int i = 0; i < CF_MAX_GPUS; i++)
		cf_stats_registered(i, registered[i]);
	pthread_rwlock_unlock(&lock);
}

void cf_buffers_end(void)
{
	pthread_rwlock_wrlock(&lock);
	for (size_t i = 0; i < nr; i++) {
		if (is_pinned(&buffers[i]))
			engine_mem_del(buffers[i].base);
		note_bytes(&buffers[i], -buffers[i].length);
	}
	free(buffers);
	buffers = NULL;
	nr = 0;
	room = 0;
	longest = 0;
	pthread_rwlock_unlock(&lock);
}
