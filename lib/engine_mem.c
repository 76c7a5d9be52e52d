// SPDX-License-Identifier: MIT
/*
 * Which GPU memory is registered.  Sorted by address, searched by halves; the
 * module is asked without the lock, because pinning takes its time.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine_mem.h"
#include "gpu.h"
#include "internal.h"

/**
 * struct memory - a range of GPU memory
 * @addr: its first byte
 * @length: bytes
 * @gpu: index of the GPU
 * @added: by a caller; otherwise by a request
 * @gone: not in the table any more; the last user frees it
 * @users: requests that use it
 * @id: of the allocation (struct gpu_mem); 0: unknown
 * @last_use: when it was last used, in uses
 * @region: the module's
 */
struct memory {
	uint64_t addr;
	uint64_t length;
	unsigned int gpu;
	bool added;
	bool gone;
	unsigned int users;
	uint64_t id;
	uint64_t last_use;
	struct nvfs_region *region;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t unused;
	struct nvfs *nvfs;
	struct memory **table;
	unsigned int nr, room;
	uint64_t longest;
	uint64_t uses;
	uint64_t cached, cache_bytes;
} mem = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.unused = PTHREAD_COND_INITIALIZER,
};

void mem_open(struct nvfs *nvfs, uint64_t cache_bytes)
{
	mem.nvfs = nvfs;
	mem.cache_bytes = cache_bytes;
}

static void destroy(struct memory *memory)
{
	nvfs_region_unregister(memory->region);
	free(memory);
}

void mem_close(void)
{
	for (unsigned int i = 0; i < mem.nr; i++)
		destroy(mem.table[i]);
	free(mem.table);
	mem.table = NULL;
	mem.nr = 0;
	mem.room = 0;
	mem.longest = 0;
	mem.cached = 0;
	mem.nvfs = NULL;
}

/* The table.  All of these under the lock. */

/* The first entry whose address is above @addr. */
static unsigned int above(uint64_t addr)
{
	unsigned int low = 0, high = mem.nr;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (mem.table[middle]->addr <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct memory *find(unsigned int gpu, uint64_t addr, uint64_t length,
			   bool only_added)
{
	for (unsigned int i = above(addr); i-- > 0;) {
		struct memory *memory = mem.table[i];

		if (addr - memory->addr >= mem.longest)
			break;
		if (memory->gpu == gpu && (memory->added || !only_added) &&
		    addr - memory->addr < memory->length &&
		    length <= memory->length - (addr - memory->addr))
			return memory;
	}
	return NULL;
}

static struct memory *find_added(uint64_t addr)
{
	for (unsigned int i = above(addr); i-- > 0 &&
	     mem.table[i]->addr == addr;) {
		if (mem.table[i]->added)
			return mem.table[i];
	}
	return NULL;
}

static int insert(struct memory *memory)
{
	unsigned int at;

	if (mem.nr == mem.room) {
		unsigned int room = mem.room ? 2 * mem.room : 64;
		struct memory **table = realloc(mem.table,
						room * sizeof(*table));

		if (!table)
			return -ENOMEM;
		mem.table = table;
		mem.room = room;
	}
	at = above(memory->addr);
	memmove(&mem.table[at + 1], &mem.table[at],
		(mem.nr - at) * sizeof(*mem.table));
	mem.table[at] = memory;
	mem.nr++;
	if (memory->length > mem.longest)
		mem.longest = memory->length;
	if (!memory->added)
		mem.cached += memory->length;
	return 0;
}

/* Whoever gets true frees it, without the lock. */
static bool drop(struct memory *memory)
{
	for (unsigned int i = 0; i < mem.nr; i++) {
		if (mem.table[i] != memory)
			continue;
		memmove(&mem.table[i], &mem.table[i + 1],
			(mem.nr - i - 1) * sizeof(*mem.table));
		mem.nr--;
		if (!memory->added)
			mem.cached -= memory->length;
		memory->gone = true;
		return !memory->users;
	}
	return false;
}

/* Of what requests registered, the one that was not used for longest. */
static struct memory *oldest(void)
{
	struct memory *found = NULL;

	for (unsigned int i = 0; i < mem.nr; i++) {
		struct memory *memory = mem.table[i];

		if (!memory->added && !memory->users &&
		    (!found || memory->last_use < found->last_use))
			found = memory;
	}
	return found;
}

static struct memory *create(unsigned int gpu, uint64_t addr, uint64_t length,
			     int *error)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	*error = memory ? 0 : -ENOMEM;
	if (!memory)
		return NULL;
	memory->gpu = gpu;
	memory->addr = addr;
	memory->length = length;
	if (!nvfs_module_error(mem.nvfs))
		*error = nvfs_region_register_addr(mem.nvfs, gpu, addr, length,
						   NVFS_REGION_ALLOW_BOUNCE,
						   &memory->region);
	if (!*error)
		return memory;
	free(memory);
	return NULL;
}

int mem_add(unsigned int gpu, uint64_t addr, uint64_t length)
{
	struct memory *memory;
	int ret;

	if (!length)
		return -EINVAL;
	if (add_overflows(addr, length))
		return -EOVERFLOW;
	memory = create(gpu, addr, length, &ret);
	if (!memory)
		return ret;
	memory->added = true;
	pthread_mutex_lock(&mem.lock);
	ret = find_added(addr) ? -EEXIST : insert(memory);
	pthread_mutex_unlock(&mem.lock);
	if (ret)
		destroy(memory);
	return ret;
}

int mem_del(uint64_t addr)
{
	struct memory *memory;

	pthread_mutex_lock(&mem.lock);
	memory = find_added(addr);
	if (memory) {
		/* So that the last request does not free it as well. */
		memory->users++;
		drop(memory);
		while (memory->users > 1)
			pthread_cond_wait(&mem.unused, &mem.lock);
	}
	pthread_mutex_unlock(&mem.lock);
	if (!memory)
		return -ENOENT;
	destroy(memory);
	return 0;
}

/* Register the allocation in which a range lies. */
static struct memory *adopt(unsigned int gpu, uint64_t addr, uint64_t length,
			    const struct gpu_mem *info)
{
	struct memory *old = NULL, *memory;
	int error;

	if (info->kind != GPU_MEM_DEVICE || info->index != gpu ||
	    addr - info->base >= info->length ||
	    length > info->length - (addr - info->base) ||
	    info->length > mem.cache_bytes)
		return NULL;
	memory = create(gpu, info->base, info->length, &error);
	if (!memory)
		return NULL;
	memory->id = info->id;
	memory->users = 1;
	pthread_mutex_lock(&mem.lock);
	if (insert(memory)) {
		old = memory;
		memory = NULL;
	} else if (mem.cached > mem.cache_bytes) {
		old = oldest();
		if (old)
			drop(old);
	}
	pthread_mutex_unlock(&mem.lock);
	if (old)
		destroy(old);
	return memory;
}

/* Found, used, and still the same allocation as when it was registered. */
static struct memory *look_up(unsigned int gpu, uint64_t addr, uint64_t length,
			      const struct gpu_mem *info)
{
	struct memory *memory, *dead = NULL;

	pthread_mutex_lock(&mem.lock);
	memory = find(gpu, addr, length, false);
	if (memory && !memory->added && memory->id != info->id) {
		if (drop(memory))
			dead = memory;
		memory = NULL;
	}
	if (memory) {
		memory->users++;
		memory->last_use = ++mem.uses;
	}
	pthread_mutex_unlock(&mem.lock);
	if (dead)
		destroy(dead);
	return memory;
}

struct memory *mem_get(unsigned int gpu, uint64_t addr, uint64_t length,
		       struct nvfs_region **region, uint64_t *offset,
		       uint32_t *reason)
{
	struct gpu_mem info = { .kind = GPU_MEM_HOST };
	const struct gpu_driver *driver;
	struct memory *memory;

	*reason = NVFS_REASON_NO_REGION;
	if (ctx_gpu(mem.nvfs, &driver))
		return NULL;
	if (driver->classify && driver->classify(addr, &info))
		info.kind = GPU_MEM_HOST;
	memory = look_up(gpu, addr, length, &info);
	if (!memory)
		memory = adopt(gpu, addr, length, &info);
	if (!memory)
		return NULL;
	*region = memory->region;
	*offset = addr - memory->addr;
	return memory;
}

struct memory *mem_get_added(unsigned int gpu, uint64_t addr, uint64_t length,
			     struct nvfs_region **region, uint64_t *offset)
{
	struct memory *memory;

	pthread_mutex_lock(&mem.lock);
	memory = find(gpu, addr, length, true);
	if (memory) {
		memory->users++;
		memory->last_use = ++mem.uses;
		*region = memory->region;
		*offset = addr - memory->addr;
	}
	pthread_mutex_unlock(&mem.lock);
	return memory;
}

void mem_put(struct memory *memory, int stale)
{
	bool dead;

	pthread_mutex_lock(&mem.lock);
	/* What a caller added stays his to take away. */
	if (stale && !memory->added)
		drop(memory);
	dead = !--memory->users && memory->gone;
	/* The one user that is left is mem_del(). */
	if (memory->gone && !dead)
		pthread_cond_broadcast(&mem.unused);
	pthread_mutex_unlock(&mem.lock);
	if (dead)
		destroy(memory);
}
