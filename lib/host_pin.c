// SPDX-License-Identifier: MIT
/*
 * Reads of what the page cache has, by the GPU from where it lies.
 *
 * A block of a file that is read again is mapped and registered with the GPU's driver,
 * for reading only.  From then on a copy engine, or the pump, reads the page cache
 * itself, and no CPU touches the bytes: one thread gets what the bus gives.
 *
 * What is registered is pages, and not the file.  Pages that are cut off, or dropped,
 * are not the file's any more, and the GPU goes on to see what they had.  So there is a
 * second mapping, the watch: all its pages are mapped, and then nobody may touch it.  The
 * kernel takes a page out of all mappings when it takes it from the file, and no other
 * comes to its place in the watch, as nobody can touch that, nor mlockall(2): but for who
 * reads memory of this process that may not be read (/proc/PID/mem, ptrace(2)).  If all of it
 * is still mapped after the block was registered, what was registered is those pages; and
 * if that is so after a copy, it was of the file's.  Whoever finds that it is not reads in
 * the other way, and the block is given up.  (The file's times would not tell: a write with
 * O_DIRECT sets them when it begins, and drops pages when it ends.)
 *
 * Not by the driver's copies of up to PUMP_MAX: it makes those of less than 24 KiB with
 * the CPU, which may find that there is no page any more.  So does it where it is asked
 * to wait for a copy, which the lane does after an error, unless it may be made once only.
 *
 * Locks: @all.lock for the list of files; nothing is taken inside it.  A block is
 * registered and given up by one thread of the crew at a time, which has won its state.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi.h"
#include "common.h"
#include "host_job.h"
#include "host_pin.h"
#include "memory.h"

#define PAGE		4096ULL

/*
 * What is registered at a time: 0.5 to 0.7 ms on an H200.  And blocks of a table, tables
 * of a file.
 */
#define BLOCK		(16ULL << 20)
#define TABLE		16U
#define TABLES		256U
/* Of all files: each takes two mappings of the 65530 that a process may have. */
#define BLOCKS_MOST	8192U
/* Of a request at a time. */
#define PIECES		8U
/* Less is not worth it: of a block, and of a request. */
#define LEAST		65536U
#define READ_LEAST	4096U
/* A block that was used in this time is not given up for another. */
#define IN_USE_NS	2000000000ULL
/* Once in this time a byte is read as ever, so that the file's atime is what it was. */
#define STAMP_NS	1000000000ULL
/* Of all memory: so much each process may have registered, and leaves for others. */
#define SHARE		16U
/* It takes twice as much, each time, to try again: up to 64 times. */
#define LOST_MOST	6U

/* Linux 5.14 */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif

/*
 * enum block_state - READY: it is registered.  WANTED and STALE: somebody of the crew
 * will register it, or give it up.
 */
enum block_state { BLOCK_NONE, BLOCK_WANTED, BLOCK_READY, BLOCK_STALE };

/**
 * struct block - BLOCK bytes of a file, or up to its end
 * @users: who uses it, or looks whether it can be used
 * @state: one of enum block_state
 * @credit: bytes that were read of it in the other way
 * @lost: how often it was given up because pages were not there
 * @used_ns: when it was last used
 * @bytes: of it that the file had
 * @length: the same in whole pages, that are registered
 * @at: where it is mapped, and registered in @context; NULL: it is not.  With @bytes,
 *	@length and @watch of who has won @state
 * @watch: where it is mapped, and nobody may touch it
 */
struct block {
	_Alignas(64) _Atomic uint32_t users;
	_Atomic uint32_t state;
	_Atomic uint64_t credit;
	_Atomic uint32_t lost;
	_Atomic uint64_t used_ns;
	uint64_t bytes;
	uint64_t length;
	char *at;
	char *watch;
	uint64_t context;
};

struct table {
	struct block blocks[TABLE];
};

/**
 * struct host_pins - what is registered of a file, for one GPU
 * @fd: of it
 * @refused: the driver can't, for that GPU or that file
 * @dev, @ino: which file that is
 * @pid: whose; a child has none of it
 * @size: what it had when that was last looked at
 * @least: requests of so many bytes may be read so
 * @pending: tasks that will look at it
 * @stamped_ns: when a byte was last read as ever
 * @tables: NULL: there was no need yet
 * @next, @at: of the list of all
 */
struct host_pins {
	const struct gpu_driver *driver;
	unsigned int gpu;
	int fd;
	uint64_t dev, ino;
	pid_t pid;
	_Atomic uint64_t size;
	uint64_t least;
	_Atomic bool refused;
	_Atomic unsigned int pending;
	_Atomic uint64_t stamped_ns;
	_Atomic(struct table *) tables[TABLES];
	struct host_pins *next, **at;
};

/**
 * struct piece - what a copy takes of a block
 * @block: that the thread uses
 * @host: where the first of @length bytes is
 */
struct piece {
	struct block *block;
	char *host;
	uint64_t length;
};

/* A look that the crew takes at a block. */
struct tend {
	struct crew_task task;
	struct host_pins *pins;
	struct block *block;
	uint64_t offset;
};

static struct {
	pthread_mutex_t lock;
	struct host_pins *first;	/* under @lock */
	pid_t pid;			/* likewise: whose @pagemap is */
	_Atomic int pagemap;
	_Atomic bool off;
	_Atomic uint64_t bytes;
	_Atomic unsigned int blocks;
	_Atomic unsigned int pending;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .pagemap = -1 };

static const struct host_pin_calls kernel_calls = {
	.absent = abi_pages_absent, .idle_ns = IN_USE_NS,
	.blocks = BLOCKS_MOST,
};

static const struct host_pin_calls *_Atomic calls = &kernel_calls;

void host_pin_set_calls(const struct host_pin_calls *by)
{
	calls = by ? by : &kernel_calls;
}

void host_pin_allow(bool allowed)
{
	all.off = !allowed;
}

/* ------------------------------------------------------------ the file */

/* What the descriptor has; false: it is another file's, or none's. */
static bool look(const struct host_pins *pins, uint64_t *size)
{
	return host_file_is(pins->fd, pins->dev, pins->ino, size);
}

/* Of what is mapped, as far as that can be told. */
static bool is_there(const char *at, uint64_t length)
{
	int pagemap = atomic_load_explicit(&all.pagemap, memory_order_relaxed);

	return !atomic_load(&calls)->absent(pagemap, at, length);
}

/* One for the process, and kept: a child has its own. */
static bool has_pagemap(void)
{
	pthread_mutex_lock(&all.lock);
	if (all.pid != getpid()) {
		if (all.pagemap >= 0)
			close(all.pagemap);
		all.pagemap = abi_pagemap();
		all.pid = all.pagemap < 0 ? 0 : getpid();
	}
	pthread_mutex_unlock(&all.lock);
	return all.pagemap >= 0 &&
	       atomic_load(&calls)->absent(all.pagemap, &all, 1) >= 0;
}

static void list(struct host_pins *pins)
{
	pthread_mutex_lock(&all.lock);
	pins->next = all.first;
	pins->at = &all.first;
	if (pins->next)
		pins->next->at = &pins->next;
	all.first = pins;
	pthread_mutex_unlock(&all.lock);
}

static void unlist(struct host_pins *pins)
{
	pthread_mutex_lock(&all.lock);
	*pins->at = pins->next;
	if (pins->next)
		pins->next->at = pins->at;
	pthread_mutex_unlock(&all.lock);
}

static struct host_pins *make_pins(const struct job *job)
{
	const struct engine_file *file = job->req->file;
	struct host_pins *pins = calloc(1, sizeof(*pins));
	struct stat st;

	if (!pins)
		return NULL;
	pins->driver = job->port->driver;
	pins->gpu = job->port->index;
	pins->fd = file->fd;
	pins->pid = getpid();
	pins->least = UINT64_MAX;
	if (!fstat(file->fd, &st) && sysconf(_SC_PAGESIZE) == (long)PAGE) {
		pins->dev = st.st_dev;
		pins->ino = st.st_ino;
		pins->size = (uint64_t)st.st_size;
		pins->least = host_map_least(file->fd);
	}
	if (pins->least != UINT64_MAX && !has_pagemap())
		pins->least = UINT64_MAX;
	list(pins);
	return pins;
}

static void drop(struct host_pins *pins)
{
	for (unsigned int i = 0; i < TABLES; i++)
		free(atomic_load(&pins->tables[i]));
	free(pins);
}

/* One, by whoever is first. */
static struct host_pins *pins_of(const struct job *job)
{
	struct engine_file *file = job->req->file;
	struct host_pins *pins = __atomic_load_n(&file->pins, __ATOMIC_ACQUIRE);
	struct host_pins *none = NULL;

	if (pins)
		return pins;
	pins = make_pins(job);
	if (!pins || __atomic_compare_exchange_n(&file->pins, &none, pins,
						 false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
		return pins;
	unlist(pins);
	drop(pins);
	return none;
}

/* NULL: nothing is known of it yet. */
static struct block *block_of(struct host_pins *pins, uint64_t offset)
{
	struct table *table = atomic_load_explicit(
		&pins->tables[offset / (TABLE * BLOCK)], memory_order_acquire);

	return table ? &table->blocks[offset / BLOCK % TABLE] : NULL;
}

static struct block *make_block(struct host_pins *pins, uint64_t offset)
{
	_Atomic(struct table *) *place = &pins->tables[offset / (TABLE * BLOCK)];
	struct table *none = NULL, *new;

	if (!atomic_load(place)) {
		new = aligned_alloc(_Alignof(struct table), sizeof(*new));
		if (!new)
			return NULL;
		memset(new, 0, sizeof(*new));
		if (!atomic_compare_exchange_strong(place, &none, new))
			free(new);
	}
	return block_of(pins, offset);
}

/* ---------------------------------------------- registered, and given up */

/* Nobody uses it, and nobody will. */
static void unpin(struct host_pins *pins, struct block *block)
{
	const struct gpu_copies *copies = pins->driver->copies;

	/* What the driver still knows may not be anything else's address. */
	if (copies->unpin(pins->gpu, block->context, block->at))
		munmap(block->at, block->length);
	munmap(block->watch, block->length);
	block->at = NULL;
}

/*
 * Otherwise the kernel looks whether it can have the pages, and unmaps them first.  Where
 * there is a limit it is the application's.
 */
static void lock_watch(char *watch, uint64_t length)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit) &&
	    limit.rlim_cur == RLIM_INFINITY)
		mlock2(watch, length, MLOCK_ONFAULT);
}

/* All there, and not to be touched any more. */
static int set_watch(struct host_pins *pins, struct block *block, uint64_t offset)
{
	char *watch = host_map_to_read(pins->fd, block->length, offset);

	if (!watch)
		return -ENOMEM;
	madvise(watch, block->length, MADV_POPULATE_READ);
	if (!mprotect(watch, block->length, PROT_NONE)) {
		lock_watch(watch, block->length);
		if (is_there(watch, block->length)) {
			block->watch = watch;
			return 0;
		}
	}
	munmap(watch, block->length);
	return -ESTALE;
}

/* Beside the watch. */
static int pin_watched(struct host_pins *pins, struct block *block,
		       uint64_t offset)
{
	const struct gpu_copies *copies = pins->driver->copies;
	char *at = host_map_to_read(pins->fd, block->length, offset);
	uint64_t size;
	int ret;

	if (!at)
		return -ENOMEM;
	/* Otherwise the driver does, which lets nobody in meanwhile. */
	madvise(at, block->length, MADV_POPULATE_READ);
	ret = look(pins, &size) ? copies->pin(pins->gpu, at, block->length,
						false) :
				  -ESTALE;
	if (ret) {
		munmap(at, block->length);
		return ret;
	}
	block->at = at;
	block->context = copies->context ? copies->context(pins->gpu) : 0;
	return 0;
}

static int pin(struct host_pins *pins, struct block *block, uint64_t offset)
{
	int ret = set_watch(pins, block, offset);

	if (ret)
		return ret;
	ret = pin_watched(pins, block, offset);
	if (ret) {
		munmap(block->watch, block->length);
		return ret;
	}
	if (is_there(block->watch, block->length))
		return 0;
	unpin(pins, block);
	return -ESTALE;
}

static bool try_state(struct block *block, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(&block->state, &from, to);
}

static bool is_idle(const struct block *block, uint64_t now)
{
	return atomic_load(&block->state) == BLOCK_READY &&
	       now - atomic_load(&block->used_ns) > atomic_load(&calls)->idle_ns;
}

/* The one that was used least recently, and is not any more. */
static struct block *find_idle(struct host_pins **whose)
{
	uint64_t now = now_ns();
	struct block *found = NULL;

	for (struct host_pins *pins = all.first; pins; pins = pins->next) {
		for (unsigned int i = 0; i < TABLES * TABLE; i++) {
			struct table *table = atomic_load(&pins->tables[i / TABLE]);
			struct block *block = table ? &table->blocks[i % TABLE] :
						      NULL;

			if (block && is_idle(block, now) &&
			    (!found || atomic_load(&block->used_ns) <
				       atomic_load(&found->used_ns))) {
				found = block;
				*whose = pins;
			}
			if (!table)
				i |= TABLE - 1;
		}
	}
	return found;
}

static void await_users(struct block *block)
{
	for (unsigned int turn = 0; atomic_load(&block->users); turn++)
		crew_relax(turn);
}

static void give_room(uint64_t length)
{
	atomic_fetch_sub(&all.bytes, length);
	atomic_fetch_sub(&all.blocks, 1);
}

static void give_up(struct host_pins *pins, struct block *block)
{
	await_users(block);
	if (block->at) {
		unpin(pins, block);
		give_room(block->length);
	}
	atomic_store(&block->credit, 0);
	atomic_store(&block->state, BLOCK_NONE);
}

/* For another; false: all are in use. */
static bool give_up_one(void)
{
	struct host_pins *pins = NULL;
	struct block *block;
	bool won;

	pthread_mutex_lock(&all.lock);
	block = find_idle(&pins);
	won = block && try_state(block, BLOCK_READY, BLOCK_STALE);
	/* So that it is not closed meanwhile. */
	if (won)
		atomic_fetch_add(&pins->pending, 1);
	pthread_mutex_unlock(&all.lock);
	if (!won)
		return false;
	give_up(pins, block);
	atomic_fetch_sub(&pins->pending, 1);
	return true;
}

static bool count_room(uint64_t length, uint64_t most)
{
	uint64_t bytes = atomic_fetch_add(&all.bytes, length) + length;
	unsigned int blocks = atomic_fetch_add(&all.blocks, 1);

	if (bytes <= most && blocks < atomic_load(&calls)->blocks)
		return true;
	give_room(length);
	return false;
}

/* May so much more be registered?  Then it counts. */
static bool takes_room(uint64_t length)
{
	uint64_t share = memory_most() / SHARE;
	uint64_t most = atomic_load(&calls)->most;

	if (!most)
		most = share;
	/* If others have taken it all of ours would not do. */
	if (memory_left() + atomic_load(&all.bytes) < share + length)
		return false;
	for (unsigned int i = 0; memory_left() < share + length; i++) {
		if (i > length / BLOCK + 1 || !give_up_one())
			return false;
	}
	while (!count_room(length, most)) {
		if (!give_up_one())
			return false;
	}
	return true;
}

static int register_block(struct host_pins *pins, struct block *block,
			  uint64_t offset)
{
	uint64_t size;
	int ret;

	if (!look(pins, &size))
		return -ESTALE;
	atomic_store(&pins->size, size);
	if (size < offset + LEAST)
		return -ENODATA;
	block->bytes = min64(BLOCK, size - offset);
	block->length = (block->bytes + PAGE - 1) / PAGE * PAGE;
	if (!host_file_has_all(pins->fd, block->length, offset))
		return -ENODATA;
	if (!takes_room(block->length))
		return -ENOMEM;
	ret = pin(pins, block, offset);
	if (ret)
		give_room(block->length);
	return ret;
}

static void tend(struct crew_task *task)
{
	struct tend *it = (struct tend *)task;
	struct block *block = it->block;
	int ret;

	if (atomic_load(&block->state) == BLOCK_STALE) {
		give_up(it->pins, block);
		return;
	}
	ret = register_block(it->pins, block, it->offset);
	/* It will not be otherwise later. */
	if (ret == -ENOSYS || ret == -EOPNOTSUPP)
		it->pins->refused = true;
	atomic_store(&block->credit, 0);
	atomic_store(&block->used_ns, now_ns());
	atomic_store(&block->state, ret ? BLOCK_NONE : BLOCK_READY);
}

static void tended(struct crew_task *task)
{
	struct tend *it = (struct tend *)task;
	struct host_pins *pins = it->pins;

	free(it);
	atomic_fetch_sub(&pins->pending, 1);
	atomic_fetch_sub(&all.pending, 1);
}

/* There is nobody to do it: as it was. */
static void leave(struct block *block, uint32_t state)
{
	try_state(block, state, state == BLOCK_WANTED ? BLOCK_NONE :
							BLOCK_READY);
}

/* Have the crew do what @state of @block says, which the caller has won. */
static void send(struct host_pins *pins, struct block *block, uint32_t state,
		 uint64_t offset)
{
	struct tend *it = malloc(sizeof(*it));
	struct crew_task *task = &it->task;

	if (!it) {
		leave(block, state);
		return;
	}
	it->task.work = tend;
	it->task.end = tended;
	it->pins = pins;
	it->block = block;
	it->offset = offset / BLOCK * BLOCK;
	atomic_fetch_add(&pins->pending, 1);
	atomic_fetch_add(&all.pending, 1);
	if (!crew_post(&task, 1))
		return;
	leave(block, state);
	tended(task);
}

/* ------------------------------------------------------------ the reads */

/* What a block has; as far as is known of files that grow. */
static uint64_t whole_block(const struct host_pins *pins, uint64_t offset)
{
	uint64_t size = atomic_load_explicit(&pins->size, memory_order_relaxed);
	uint64_t first = offset / BLOCK * BLOCK;

	return size > first ? min64(size - first, BLOCK) : BLOCK;
}

/* Some of it was read in the other way: the second time it is worth it. */
static void credit(struct host_pins *pins, uint64_t length, uint64_t offset)
{
	struct block *block = whole_block(pins, offset) < LEAST ? NULL :
			      make_block(pins, offset);
	uint64_t had;

	if (!block || atomic_load_explicit(&block->state,
					   memory_order_relaxed) != BLOCK_NONE)
		return;
	had = atomic_load_explicit(&block->credit, memory_order_relaxed);
	atomic_store_explicit(&block->credit, had + length,
			      memory_order_relaxed);
	if (had >> min64(atomic_load(&block->lost), LOST_MOST) >=
	    whole_block(pins, offset) &&
	    try_state(block, BLOCK_NONE, BLOCK_WANTED))
		send(pins, block, BLOCK_WANTED, offset);
}

static void credit_all(struct host_pins *pins, uint64_t length, uint64_t offset)
{
	uint64_t end = offset + length, next;

	for (; offset < end; offset = next) {
		next = min64((offset / BLOCK + 1) * BLOCK, end);
		credit(pins, next - offset, offset);
	}
}

static bool hold(struct host_pins *pins, uint64_t length, uint64_t offset,
		 struct piece *piece)
{
	struct block *block = block_of(pins, offset);
	uint64_t in = offset % BLOCK;

	if (!block)
		return false;
	atomic_fetch_add(&block->users, 1);
	if (atomic_load(&block->state) != BLOCK_READY ||
	    in + length > block->bytes) {
		atomic_fetch_sub(&block->users, 1);
		return false;
	}
	*piece = (struct piece){
		.block = block, .host = block->at + in, .length = length,
	};
	return true;
}

static void release(const struct piece *pieces, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		atomic_fetch_sub(&pieces[i].block->users, 1);
}

/* As many as go at a time; 0: not so. */
static unsigned int hold_some(struct host_pins *pins, uint64_t length,
			      uint64_t offset, struct piece *pieces)
{
	unsigned int nr = 0;

	for (uint64_t done = 0, now; done < length && nr < PIECES; done += now) {
		now = min64(length - done, BLOCK - (offset + done) % BLOCK);
		if (!hold(pins, now, offset + done, &pieces[nr])) {
			release(pieces, nr);
			return 0;
		}
		nr++;
	}
	return nr;
}

static void give_up_soon(struct host_pins *pins, struct block *block)
{
	if (!try_state(block, BLOCK_READY, BLOCK_STALE))
		return;
	atomic_fetch_add(&block->lost, 1);
	send(pins, block, BLOCK_STALE, 0);
}

/* Is the descriptor still the file's, and has that so much? */
static bool is_file(struct host_pins *pins, const struct piece *pieces,
		    unsigned int nr, uint64_t end)
{
	uint64_t size;

	if (look(pins, &size))
		return size >= end;
	for (unsigned int i = 0; i < nr; i++)
		give_up_soon(pins, pieces[i].block);
	return false;
}

/* Was what the GPU has read the file's, until now? */
static bool is_good(struct host_pins *pins, const struct piece *pieces,
		    unsigned int nr)
{
	bool good = true;

	for (unsigned int i = 0; i < nr; i++) {
		struct block *block = pieces[i].block;
		const char *watch = block->watch + (pieces[i].host - block->at);

		/* A page that could not be moved is back a moment later. */
		if (is_there(watch, pieces[i].length) ||
		    is_there(watch, pieces[i].length))
			continue;
		give_up_soon(pins, block);
		good = false;
	}
	return good;
}

static bool by_pump(struct job *job, const struct gpu_copy *copy)
{
	struct pump_pass pass;
	struct pump_trip trip;
	int state;

	if (!pump_ask(&job->port->pumps, &pass) ||
	    !pump_begin(&pass, &trip, copy, false))
		return false;
	for (unsigned int turn = 0; (state = pump_move(&trip)) == PUMP_BUSY;
	     turn++)
		crew_relax(turn);
	return !state;
}

static bool by_engine(struct job *job, struct lane_copy *copies, unsigned int nr)
{
	struct lane *lane = job_lane(job);

	if (!lane->queue)
		return false;
	lane_push(lane, copies, nr);
	return !job_wait_for(lane, copies, nr);
}

static bool copy_all(struct job *job, const struct piece *pieces,
		     unsigned int nr, uint64_t addr)
{
	struct lane_copy copies[PIECES];

	for (unsigned int i = 0; i < nr; i++) {
		copies[i] = (struct lane_copy){
			.copy.gpu = addr, .copy.host = pieces[i].host,
			.copy.length = pieces[i].length, .once = true,
		};
		if (pieces[i].length <= PUMP_MAX)
			return nr == 1 && by_pump(job, &copies[0].copy);
		addr += pieces[i].length;
	}
	return by_engine(job, copies, nr);
}

static void note_use(const struct piece *pieces, unsigned int nr)
{
	uint64_t now = now_ns();

	for (unsigned int i = 0; i < nr; i++) {
		_Atomic uint64_t *used = &pieces[i].block->used_ns;

		if (now - atomic_load_explicit(used, memory_order_relaxed) >
		    IN_USE_NS / 4)
			atomic_store_explicit(used, now, memory_order_relaxed);
	}
}

/* How many bytes; 0: not so. */
static uint64_t read_some(struct job *job, struct host_pins *pins, uint64_t done)
{
	const struct engine_req *req = job->req;
	uint64_t offset = req->file_offset + done, length = 0;
	struct piece pieces[PIECES];
	unsigned int nr = hold_some(pins, req->length - done, offset, pieces);
	bool good;

	for (unsigned int i = 0; i < nr; i++)
		length += pieces[i].length;
	good = nr && is_file(pins, pieces, nr, offset + length) &&
	       copy_all(job, pieces, nr, req->addr + done) &&
	       is_good(pins, pieces, nr);
	if (good)
		note_use(pieces, nr);
	release(pieces, nr);
	return good ? length : 0;
}

/* Its atime, and who watches it, are not told of what the GPU reads. */
static void stamp(struct engine_file *file, struct host_pins *pins,
		  uint64_t offset)
{
	uint64_t now = now_ns();
	uint64_t last = atomic_load_explicit(&pins->stamped_ns,
					     memory_order_relaxed);
	int error;
	char byte;

	if (file->align == 1 && now - last >= STAMP_NS &&
	    atomic_compare_exchange_strong(&pins->stamped_ns, &last, now))
		host_file_read(file, &byte, 1, offset, &error);
}

static bool may_be(const struct job *job)
{
	const struct engine_req *req = job->req;

	return job->port && !req->write && req->length >= READ_LEAST &&
	       (req->file->align == 1 || req->file->cacheable) &&
	       req->file->seekable &&
	       !req->file->no_map && !job->error &&
	       req->file_offset + req->length <= TABLES * TABLE * BLOCK &&
	       !atomic_load_explicit(&all.off, memory_order_relaxed) &&
	       job->port->driver->copies && job->port->driver->copies->pin;
}

bool host_pin_read(struct job *job)
{
	struct engine_req *req = job->req;
	struct host_pins *pins = may_be(job) ? pins_of(job) : NULL;
	uint64_t done = 0, now;

	if (!pins || req->length < pins->least || pins->refused ||
	    pins->gpu != job->port->index)
		return false;
	while (done < req->length) {
		now = read_some(job, pins, done);
		if (!now) {
			credit_all(pins, req->length, req->file_offset);
			return false;
		}
		done += now;
	}
	stamp(req->file, pins, req->file_offset);
	req->done = done;
	return true;
}

/* ------------------------------------------------------------ the end */

static void give_up_all(struct host_pins *pins)
{
	for (unsigned int i = 0; i < TABLES; i++) {
		struct table *table = atomic_load(&pins->tables[i]);

		for (unsigned int n = 0; table && n < TABLE; n++) {
			if (atomic_load(&table->blocks[n].state) != BLOCK_NONE)
				give_up(pins, &table->blocks[n]);
		}
	}
}

static void await(_Atomic unsigned int *pending)
{
	for (unsigned int turn = 0; atomic_load(pending); turn++)
		crew_relax(turn);
}

/* A child has nothing of it, and may not even look at the list. */
void host_pin_close(struct engine_file *file)
{
	struct host_pins *pins = file->pins;

	file->pins = NULL;
	if (!pins || pins->pid != getpid())
		return;
	unlist(pins);
	await(&pins->pending);
	give_up_all(pins);
	drop(pins);
}

void host_pin_end(void)
{
	await(&all.pending);
	pthread_mutex_lock(&all.lock);
	for (struct host_pins *pins = all.first; pins; pins = pins->next) {
		if (pins->pid == getpid())
			give_up_all(pins);
	}
	pthread_mutex_unlock(&all.lock);
}
