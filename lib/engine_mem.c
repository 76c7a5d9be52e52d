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

#include "common.h"
#include "engine_mem.h"
#include "gpu.h"
#include "internal.h"

/*
 * How long a refusal counts, unless a caller added the memory: others may have
 * given back what there was too little of.  Trying again costs a request as much as
 * the driver takes for it, up to 26 ms for 4 GiB (docs/throughput.md), so that
 * this is less than 3 percent of the time.
 */
#define RETRY_NS	1000000000ULL

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
 * @retry_ns: when it may be registered once more, if the module refused it
 * @next: of those that are to be freed
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
	uint64_t retry_ns;
	struct memory *next;
	struct nvfs_region *region;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t unused;
	struct nvfs *nvfs;
	struct memory **table;
	unsigned int nr, room;
	/* How far to look back: for any entry, and for one that is added. */
	uint64_t longest, longest_added;
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
	mem.longest_added = 0;
	mem.cached = 0;
	mem.nvfs = NULL;
}

/* A request registered it, and the module did not pin it. */
static bool is_refused(const struct memory *memory)
{
	return !memory->added && memory->region->error;
}

static bool is_cached(const struct memory *memory)
{
	return !memory->added && !memory->region->error;
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
	uint64_t longest = only_added ? mem.longest_added : mem.longest;

	for (unsigned int i = above(addr); i-- > 0;) {
		struct memory *memory = mem.table[i];

		if (addr - memory->addr >= longest)
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

static void note_length(const struct memory *memory)
{
	if (memory->length > mem.longest)
		mem.longest = memory->length;
	if (memory->added && memory->length > mem.longest_added)
		mem.longest_added = memory->length;
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
	note_length(memory);
	if (is_cached(memory))
		mem.cached += memory->length;
	return 0;
}

/* It is not in the table any more. */
static void forget_length(const struct memory *memory)
{
	if (memory->length < mem.longest &&
	    (!memory->added || memory->length < mem.longest_added))
		return;
	mem.longest = 0;
	mem.longest_added = 0;
	for (unsigned int i = 0; i < mem.nr; i++)
		note_length(mem.table[i]);
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
		forget_length(memory);
		if (is_cached(memory))
			mem.cached -= memory->length;
		memory->gone = true;
		return !memory->users;
	}
	return false;
}

/* Of what requests pinned, the one that was not used for longest. */
static struct memory *oldest(void)
{
	struct memory *found = NULL;

	for (unsigned int i = 0; i < mem.nr; i++) {
		struct memory *memory = mem.table[i];

		if (is_cached(memory) && !memory->users &&
		    (!found || memory->last_use < found->last_use))
			found = memory;
	}
	return found;
}

/* One whose refusal does not count any more: it may have been freed long ago. */
static struct memory *old_refused(void)
{
	uint64_t now = now_ns();

	for (unsigned int i = 0; i < mem.nr; i++) {
		struct memory *memory = mem.table[i];

		if (is_refused(memory) && !memory->users &&
		    now >= memory->retry_ns)
			return memory;
	}
	return NULL;
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

/* Under the lock, which is given back meanwhile. */
static void wait_for_users(struct memory *memory, void (*look)(void))
{
	while (memory->users > 1) {
		if (!wait_a_while(&mem.unused, &mem.lock))
			continue;
		pthread_mutex_unlock(&mem.lock);
		look();
		pthread_mutex_lock(&mem.lock);
	}
}

int mem_del(uint64_t addr, void (*look)(void))
{
	struct memory *memory;

	pthread_mutex_lock(&mem.lock);
	memory = find_added(addr);
	if (memory) {
		/* So that the last request does not free it as well. */
		memory->users++;
		drop(memory);
		wait_for_users(memory, look);
	}
	pthread_mutex_unlock(&mem.lock);
	if (!memory)
		return -ENOENT;
	destroy(memory);
	return 0;
}

int mem_error(uint64_t addr)
{
	struct memory *memory;
	int ret = -ENOENT;

	pthread_mutex_lock(&mem.lock);
	memory = find_added(addr);
	if (memory)
		ret = memory->region ? nvfs_region_error(memory->region) :
				       nvfs_module_error(mem.nvfs);
	pthread_mutex_unlock(&mem.lock);
	return ret;
}

/* Under the lock.  To be freed without it, if nobody uses it any more. */
static void drop_into(struct memory **dead, struct memory *memory)
{
	if (!drop(memory))
		return;
	memory->next = *dead;
	*dead = memory;
}

static void destroy_all(struct memory *dead)
{
	while (dead) {
		struct memory *memory = dead;

		dead = memory->next;
		destroy(memory);
	}
}

/* Under the lock.  Found, and still the allocation that it was. */
static struct memory *find_same(unsigned int gpu, uint64_t addr,
				uint64_t length, const struct gpu_mem *info,
				struct memory **dead)
{
	struct memory *memory;

	while ((memory = find(gpu, addr, length, false)) && !memory->added &&
	       memory->id != info->id)
		drop_into(dead, memory);
	return memory;
}

/*
 * Under the lock.  What was pinned goes until the limit holds, as far as nobody
 * uses it; and for one that was refused another one.
 */
static void make_room(const struct memory *memory, struct memory **dead)
{
	struct memory *old;

	if (is_refused(memory)) {
		old = old_refused();
		if (old)
			drop_into(dead, old);
		return;
	}
	while (mem.cached > mem.cache_bytes && (old = oldest()))
		drop_into(dead, old);
}

/*
 * Under the lock.  Puts @new into the table, unless another thread was faster:
 * his, or NULL when there is no memory.  That of the two counts that is pinned.
 */
static struct memory *settle(struct memory *new, uint64_t addr, uint64_t length,
			     const struct gpu_mem *info, struct memory **dead)
{
	struct memory *other = find_same(new->gpu, addr, length, info, dead);

	if (other && is_refused(other) && !is_refused(new)) {
		drop_into(dead, other);
		other = NULL;
	}
	if (!other && !insert(new)) {
		make_room(new, dead);
		return new;
	}
	new->next = *dead;
	*dead = new;
	if (other)
		other->users++;
	return other;
}

/*
 * Register the piece of memory in which a range lies.  One that lies in two goes
 * through host memory: it would have to be known of each whether it still is what
 * it was.  So does one of which the driver can't tell that, which needs an id.
 */
static struct memory *adopt(unsigned int gpu, uint64_t addr, uint64_t length,
			    const struct gpu_mem *info)
{
	struct memory *memory, *dead = NULL;
	int error;

	if (info->kind != GPU_MEM_DEVICE || info->index != gpu || !info->id ||
	    addr - info->piece >= info->piece_length ||
	    length > info->piece_length - (addr - info->piece) ||
	    info->piece_length > mem.cache_bytes)
		return NULL;
	memory = create(gpu, info->piece, info->piece_length, &error);
	if (!memory)
		return NULL;
	memory->id = info->id;
	memory->users = 1;
	memory->retry_ns = now_ns() + RETRY_NS;
	pthread_mutex_lock(&mem.lock);
	memory->last_use = ++mem.uses;
	memory = settle(memory, addr, length, info, &dead);
	pthread_mutex_unlock(&mem.lock);
	destroy_all(dead);
	return memory;
}

/* Under the lock.  One thread is told so, and is to register it once more. */
static bool is_due(struct memory *memory)
{
	uint64_t now;

	if (!is_refused(memory))
		return false;
	now = now_ns();
	if (now < memory->retry_ns)
		return false;
	memory->retry_ns = now + RETRY_NS;
	return true;
}

/* Found, used, and not to be registered once more. */
static struct memory *look_up(unsigned int gpu, uint64_t addr, uint64_t length,
			      const struct gpu_mem *info)
{
	struct memory *memory, *dead = NULL;

	pthread_mutex_lock(&mem.lock);
	memory = find_same(gpu, addr, length, info, &dead);
	if (memory && is_due(memory))
		memory = NULL;
	if (memory) {
		memory->users++;
		memory->last_use = ++mem.uses;
	}
	pthread_mutex_unlock(&mem.lock);
	destroy_all(dead);
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

struct memory *mem_get(unsigned int gpu, uint64_t addr, uint64_t length,
		       struct nvfs_region **region, uint64_t *offset,
		       uint32_t *reason)
{
	struct gpu_mem info = { .kind = GPU_MEM_HOST };
	const struct gpu_driver *driver;
	struct memory *memory;

	*reason = NVFS_REASON_NO_REGION;
	memory = mem_get_added(gpu, addr, length, region, offset);
	if (memory)
		return memory;
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

struct nvfs_region *mem_region(const struct memory *memory)
{
	return memory->region;
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
