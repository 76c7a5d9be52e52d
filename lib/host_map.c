// SPDX-License-Identifier: MIT
/*
 * Writes to what the page cache has, by a mapping of the file.
 *
 * write(2) holds the file's lock, so that there is one writer at a time, and on ext4
 * takes 9 us for 4 KiB.  Pages that are mapped are written by all threads at once.
 * The first store to a page takes 0.1 to 0.4 us more, on btrfs 6 if it is clean, so
 * that there only those are written so that are dirty.  Where it was mapped when it
 * became clean it takes 1.4 to 7 us, so it is unmapped first.
 *
 * What a store does differently, and what is done about it:
 *	A page that was cut off is SIGBUS: the kernel copies, and says EFAULT.  Then
 *	write(2) is asked, and says why.
 *	The file's size does not change: only what is inside it is written so.
 *	Its times stand still while a page is dirty, nobody is told of a change, and
 *	set-user-ID stays: some bytes go by write(2), after STAMP_NS at the latest.
 *	Nobody waits for the drive: not so where the file wants that.
 *	All of a folio becomes dirty, up to 2 MiB: only blocks of which much is written,
 *	see earns().
 *	Two who write the same bytes at the same time mix them, as they do where a
 *	request is more than one write(2).
 *
 * libcufile(3), MAPPED WRITES, says what of it an application may see.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "abi.h"
#include "common.h"
#include "crew.h"
#include "host.h"

#define PAGE		4096ULL
/* Of a CPU's cache; where they are longer it is done twice. */
#define LINE		64U

/* Mapped at a time; of a file, and of all. */
#define WINDOW		(1ULL << 30)
#define WINDOWS		64U
#define WINDOWS_MOST	1024U

/*
 * A tick of most distributions' kernels (250 Hz), as long as the clock of file times
 * stands still where nobody looks at them.
 */
#define STAMP_NS	4000000ULL
/* What goes by write(2) then. */
#define STAMP_BYTES	PAGE
/* After a copy that was refused. */
#define RETRY_NS	10000000ULL

/*
 * The largest folio; credit with which one may be made dirty, and that of a byte that
 * follows the one before.  So the drive is given at most 4 times as much as was
 * written here and there, and 32 times for a run that soon ends.
 */
#define BLOCK		(2ULL << 20)
#define CREDIT		(512ULL << 10)
#define CREDIT_RUN	8U
/*
 * A block's word: credit, where the last write to it ended, and when it had no
 * credit, in units of 4.3 s: it is lost in the second, as what is dirty is written back
 * after 30 s (vm.dirty_expire_centisecs).
 */
#define END_SHIFT	32U
#define END_MASK	(2 * BLOCK - 1)
#define EPOCH_SHIFT	54U
#define EPOCH_MASK	1023U
#define EPOCH_NS_SHIFT	32U
/*
 * A run's word, of bytes that follow one another over the end of blocks: where it ends, up
 * to CREDIT in pages, and when it had none, in the same units.  Of requests of RUN_LEAST.
 */
#define RUN_END_MASK	((1ULL << 37) - 1)
#define RUN_SHIFT	37U
#define RUN_MASK	255U
#define RUN_EPOCH_SHIFT	45U
#define RUN_EPOCH_MASK	((1ULL << 19) - 1)
#define RUN_LEAST	(32ULL << 10)

/*
 * The first store to a folio of 2 MiB takes 50 us, also where it is dirty, and each
 * thread that comes meanwhile does all of it again, one after the other.  So one
 * does it for all of them: it has, in units of 1 s, the lowest bit set while it is at
 * it.  That counts for TOUCH_UNITS, unless somebody finds that pages are clean.  What was
 * mapped and became clean is unmapped first: otherwise it is done for each 4 KiB.
 * Pages that were cleaned and made dirty by write(2) since are seen by nobody: so it does
 * not count for longer, while the drive is given pages each 30 s.
 */
#define TOUCH_NS_SHIFT	30U
#define TOUCH_UNITS	10U
#define TOUCHING	1U
#define TOUCHED_ONCE	2U
/* So long the others wait: a multiple of 50 us, and not while a file system does. */
#define TOUCH_TURNS	(8 * CREW_PAUSES)
/* It is one store for a folio; smaller ones are left to those who write. */
#define TOUCH_STEP	(256ULL << 10)

/* Linux 5.14 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

/**
 * struct window - WINDOW bytes of a file
 * @at: where they are mapped, or NULL; made when it is first used
 * @credits: a word for each block; racing writers may lose each other's credit
 * @touched: when each block was, or 0
 */
struct window {
	_Atomic(char *) at;
	_Atomic uint64_t credits[WINDOW / BLOCK];
	_Atomic uint32_t touched[WINDOW / BLOCK];
};

/**
 * struct host_map - a file's mapping
 * @dev, @ino: of which file
 * @pid: whose; a child has none of it
 * @least: requests of so many bytes are for it
 * @clean: also of pages that are not dirty
 * @stamped_ns: when bytes were last given to write(2)
 * @retry_ns: nothing is mapped or copied before that; UINT64_MAX: any more
 * @run: see RUN_SHIFT
 * @windows: NULL: there was no need yet
 */
struct host_map {
	uint64_t dev, ino;
	pid_t pid;
	uint64_t least;
	bool clean;
	_Atomic uint64_t stamped_ns;
	_Atomic uint64_t retry_ns;
	_Atomic uint64_t run;
	_Atomic(struct window *) windows[WINDOWS];
};

/* That are mapped. */
static _Atomic unsigned int nr_windows;
/* The kernel has no process_vm_readv(2), or a sandbox has none. */
static _Atomic bool refused;
/* Not wanted. */
static _Atomic bool off;

/*
 * The kernel's copy: a fault that can't be served is an error and no signal.  From a
 * file in memory many threads do it without looking at what they have in common.
 */
static ssize_t copy_file(char *to, struct host_bytes from, uint64_t length)
{
	ssize_t n;

	/* Who closes all that he does not know may have another file there. */
	if (!from.asked && !memory_file_is(from.file))
		return -EBADF;
	n = pread(from.file->fd, to, length, (off_t)from.offset);
	return n < 0 ? -errno : n;
}

/* By this thread's number, as the first thread's is gone when that has ended. */
static ssize_t kernel_copy(char *to, struct host_bytes from, uint64_t length)
{
	struct iovec local = { .iov_base = to, .iov_len = length };
	struct iovec remote = {
		.iov_base = (void *)(uintptr_t)from.at, .iov_len = length,
	};
	ssize_t n;

	if (from.file)
		return copy_file(to, from, length);
	n = process_vm_readv((pid_t)syscall(SYS_gettid), &local, 1, &remote, 1,
			     0);
	return n < 0 ? -errno : n;
}

/* Of a file on a file system where that was measured. */
static uint64_t kernel_least(int fd, bool *clean)
{
	struct statfs fs;

	if (!host_file_is_local(fd) || fstatfs(fd, &fs))
		return UINT64_MAX;
	*clean = fs.f_type != BTRFS_SUPER_MAGIC;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
		return 1;
	case XFS_SUPER_MAGIC:
		/*
		 * Whoever reads does not see half of a write(2); of a request that
		 * is more than one he may.
		 */
		return HOST_WHOLE + 1;
	}
	return UINT64_MAX;
}

static const struct host_map_calls kernel_calls = {
	.least = kernel_least, .copy = kernel_copy,
};

static const struct host_map_calls *_Atomic calls = &kernel_calls;

void host_map_set_calls(const struct host_map_calls *by)
{
	static struct host_map_calls chosen;

	chosen = kernel_calls;
	if (by && by->least)
		chosen.least = by->least;
	if (by && by->copy)
		chosen.copy = by->copy;
	calls = &chosen;
	refused = false;
}

uint64_t host_map_least(int fd)
{
	bool clean;

	return atomic_load(&calls)->least(fd, &clean);
}

void host_map_allow(bool allowed)
{
	off = !allowed;
}

/* ----------------------------------------------------------- the file */

/* Is each write(2) to be on the drive when it returns? */
static bool is_synchronous(int fd)
{
	struct statvfs fs;
	int flags = 0;

	if (fstatvfs(fd, &fs) || (fs.f_flag & ST_SYNCHRONOUS))
		return true;
	return !abi_file_flags(fd, &flags) &&
	       (flags & (FS_SYNC_FL | FS_APPEND_FL | FS_IMMUTABLE_FL));
}

/* Would write(2) do something else?  Looked at now and then. */
static bool is_fit(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct rlimit limit;

	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR &&
	       !(flags & (O_DIRECT | O_APPEND | O_SYNC | O_DSYNC)) &&
	       !getrlimit(RLIMIT_FSIZE, &limit) &&
	       limit.rlim_cur == RLIM_INFINITY && !is_synchronous(fd);
}

static struct host_map *make_map(int fd)
{
	struct host_map *map = calloc(1, sizeof(*map));
	struct stat st;

	if (!map)
		return NULL;
	map->pid = getpid();
	map->least = UINT64_MAX;
	if (fstat(fd, &st))
		return map;
	map->dev = st.st_dev;
	map->ino = st.st_ino;
	if (sysconf(_SC_PAGESIZE) == (long)PAGE && is_fit(fd))
		map->least = atomic_load(&calls)->least(fd, &map->clean);
	return map;
}

/* One, by whoever is first. */
static struct host_map *map_of(struct engine_file *file)
{
	struct host_map *map = __atomic_load_n(&file->map, __ATOMIC_ACQUIRE);
	struct host_map *none = NULL, *new;

	if (map)
		return map;
	new = make_map(file->fd);
	if (!new || __atomic_compare_exchange_n(&file->map, &none, new, false,
						__ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
		return new;
	free(new);
	return none;
}

/* After map_of(), which another thread may still be in. */
static struct host_map *map_there(const struct engine_file *file)
{
	return __atomic_load_n(&file->map, __ATOMIC_RELAXED);
}

/* The descriptor's file is that one, and ends at @end or later. */
static bool reaches(const struct host_map *map, int fd, uint64_t end)
{
	uint64_t size;

	return host_file_is(fd, map->dev, map->ino, &size) && size >= end;
}

static void wait_a_bit(struct host_map *map, bool for_good)
{
	atomic_store_explicit(&map->retry_ns, for_good ? UINT64_MAX :
			      now_ns() + RETRY_NS, memory_order_relaxed);
}

static bool has_to_wait(struct host_map *map)
{
	uint64_t until = atomic_load_explicit(&map->retry_ns,
					      memory_order_relaxed);

	return until && now_ns() < until;
}

/* ------------------------------------------------------- its windows */

/* Addresses that nobody may touch yet; NULL and errno. */
static char *reserve(uint64_t room)
{
	char *at = mmap(NULL, room, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* It is no child's, and in no dump of the process. */
static bool is_ours_alone(char *at, uint64_t length)
{
	return !madvise(at, length, MADV_DONTFORK) &&
	       !madvise(at, length, MADV_DONTDUMP);
}

/*
 * Between pages that nobody may touch, so that who runs over the end of his own memory
 * does not write into a file; at a place where a large folio can be mapped at once;
 * and not locked, as mlockall(2) would read all of it.  The file may be shorter.
 */
static char *map_window(int fd, uint64_t offset)
{
	uint64_t room = WINDOW + 2 * BLOCK;
	char *all = reserve(room), *at;
	int error;

	if (!all)
		return NULL;
	at = all + BLOCK - (uintptr_t)all % BLOCK;
	if (mmap(at, WINDOW, PROT_NONE, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) != at || munlock(at, WINDOW) ||
	    mprotect(at, WINDOW, PROT_READ | PROT_WRITE) ||
	    !is_ours_alone(at, WINDOW)) {
		error = errno;
		munmap(all, room);
		errno = error;
		return NULL;
	}
	munmap(all, (size_t)(at - all - PAGE));
	munmap(at + WINDOW + PAGE, (size_t)(all + room - at - WINDOW - PAGE));
	return at;
}

/*
 * At a place where a large folio can be mapped at once.  Nobody can write there, so it
 * needs no pages around that nobody may touch.
 */
char *host_map_to_read(int fd, uint64_t length, uint64_t offset)
{
	uint64_t room = length < BLOCK ? length : length + BLOCK;
	char *all = reserve(room), *at;
	uint64_t before;

	if (!all)
		return NULL;
	before = room > length ? -(uintptr_t)all % BLOCK : 0;
	at = all + before;
	if (mmap(at, length, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) != at || !is_ours_alone(at, length)) {
		munmap(all, room);
		return NULL;
	}
	if (before)
		munmap(all, before);
	if (room - before > length)
		munmap(at + length, room - before - length);
	return at;
}

static void unmap_window(char *at)
{
	munmap(at - PAGE, WINDOW + 2 * PAGE);
	atomic_fetch_sub(&nr_windows, 1);
}

/* Looked at before and after, as the descriptor may have become another file's. */
static char *map_checked(const struct engine_file *file, uint64_t offset)
{
	struct host_map *map = map_there(file);
	char *at = NULL;
	int error = 0;

	if (atomic_fetch_add(&nr_windows, 1) < WINDOWS_MOST &&
	    reaches(map, file->fd, 0)) {
		at = map_window(file->fd, offset);
		error = at ? 0 : errno;
	}
	if (at && reaches(map, file->fd, 0))
		return at;
	if (at)
		unmap_window(at);
	else
		atomic_fetch_sub(&nr_windows, 1);
	/* What is forbidden stays so, and is noted somewhere each time. */
	wait_a_bit(map, error == EACCES || error == EPERM || error == ENODEV);
	return NULL;
}

static struct window *window_of(struct host_map *map, uint64_t offset)
{
	_Atomic(struct window *) *place = &map->windows[offset / WINDOW];
	struct window *old, *new;

	old = atomic_load_explicit(place, memory_order_acquire);
	if (old)
		return old;
	new = calloc(1, sizeof(*new));
	if (!new || atomic_compare_exchange_strong(place, &old, new))
		return new;
	free(new);
	return old;
}

/* Where a window begins; NULL: it can't be had, or not now. */
static char *begin_of(const struct engine_file *file, uint64_t offset)
{
	struct window *window = window_of(map_there(file), offset);
	char *at, *new;

	if (!window)
		return NULL;
	at = atomic_load_explicit(&window->at, memory_order_acquire);
	if (at || has_to_wait(map_there(file)))
		return at;
	new = map_checked(file, offset / WINDOW * WINDOW);
	if (!new || atomic_compare_exchange_strong(&window->at, &at, new))
		return new;
	unmap_window(new);
	return at;
}

/* Where a byte of the file is mapped; likewise. */
static char *place_of(const struct engine_file *file, uint64_t offset)
{
	char *begin = begin_of(file, offset);

	return begin ? begin + offset % WINDOW : NULL;
}

void host_map_close(struct engine_file *file)
{
	struct host_map *map = file->map;

	for (unsigned int i = 0; map && i < WINDOWS; i++) {
		struct window *window = atomic_load(&map->windows[i]);
		char *at = window ? atomic_load(&window->at) : NULL;

		if (at && map->pid == getpid())
			unmap_window(at);
		free(window);
	}
	free(map);
	file->map = NULL;
}

/* -------------------------------------------------- whether it may be */

/*
 * Were CREDIT bytes written lately that follow one another, up to these?  By one request
 * at a time, as others would make it none.
 */
static bool is_in_run(struct host_map *map, uint64_t length, uint64_t offset)
{
	uint64_t epoch, word, begun, before;

	if (length < RUN_LEAST || crew_busy() > 1)
		return false;
	epoch = now_ns() >> EPOCH_NS_SHIFT;
	word = atomic_load_explicit(&map->run, memory_order_relaxed);
	begun = word >> RUN_EPOCH_SHIFT;
	before = word >> RUN_SHIFT & RUN_MASK;
	if ((word & RUN_END_MASK) != offset ||
	    ((epoch - begun) & RUN_EPOCH_MASK) > 1) {
		begun = epoch & RUN_EPOCH_MASK;
		before = 0;
	}
	word = begun << RUN_EPOCH_SHIFT | (offset + length) |
	       min64(before + length / PAGE, CREDIT / PAGE) << RUN_SHIFT;
	atomic_store_explicit(&map->run, word, memory_order_relaxed);
	return before >= CREDIT / PAGE;
}

/*
 * Is so much of its block written that all of it may be made dirty?  Bytes that follow
 * those before count more, as more will follow.  Who has written CREDIT in a row, over
 * the end of the one before, may at once.
 */
static bool earns(struct host_map *map, uint64_t length, uint64_t offset)
{
	struct window *window = window_of(map, offset);
	uint64_t at = offset % BLOCK, epoch = now_ns() >> EPOCH_NS_SHIFT;
	_Atomic uint64_t *block;
	uint64_t word, credit, begun;

	if (!window)
		return false;
	block = &window->credits[offset % WINDOW / BLOCK];
	word = atomic_load_explicit(block, memory_order_relaxed);
	credit = (uint32_t)word;
	begun = word >> EPOCH_SHIFT;
	if (((epoch - begun) & EPOCH_MASK) > 1) {
		begun = epoch & EPOCH_MASK;
		credit = 0;
	}
	credit += at == (word >> END_SHIFT & END_MASK) ? CREDIT_RUN * length :
							 length;
	atomic_store_explicit(block, begun << EPOCH_SHIFT |
			      ((at + length) & END_MASK) << END_SHIFT |
			      min64(credit, CREDIT), memory_order_relaxed);
	return credit >= CREDIT;
}

/* Something of them is clean: they have to be touched before the next store. */
static void forget(struct host_map *map, uint64_t length, uint64_t offset)
{
	for (uint64_t at = offset / BLOCK * BLOCK; at < offset + length;
	     at += BLOCK) {
		struct window *window = atomic_load_explicit(
			&map->windows[at / WINDOW], memory_order_acquire);

		if (window && window->touched[at % WINDOW / BLOCK])
			window->touched[at % WINDOW / BLOCK] = TOUCHED_ONCE;
	}
}

/* Of pages that are not dirty: may those be written so, too? */
static bool may_be_clean(const struct engine_file *file, uint64_t length,
			 uint64_t offset)
{
	return map_there(file)->clean &&
	       host_file_has(file, length, offset, HOST_QUIET);
}

static bool suits(const struct engine_file *file, uint64_t length,
		  uint64_t offset)
{
	return host_file_has(file, length, offset, HOST_DIRTY) ||
	       may_be_clean(file, length, offset);
}

bool host_map_is_due(const struct engine_file *file)
{
	return now_ns() - atomic_load_explicit(&map_there(file)->stamped_ns,
					       memory_order_relaxed) >= STAMP_NS;
}

/* Of what was looked at long ago once more. */
static bool is_still_fit(const struct engine_file *file)
{
	if (!host_map_is_due(file) || is_fit(file->fd))
		return true;
	wait_a_bit(map_there(file), false);
	return false;
}

/* ------------------------------------------------------- the touches */

/* Bytes of one block.  Whether they can be had is told by the copy. */
static void populate(char *at, uint64_t length)
{
	char *end = at + length;

	while (at < end) {
		madvise(at - (uintptr_t)at % PAGE, PAGE, MADV_POPULATE_WRITE);
		at += TOUCH_STEP - (uintptr_t)at % TOUCH_STEP;
	}
}

/* Of this thread. */
static long faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? -1 :
	       usage.ru_minflt + usage.ru_majflt;
}

/*
 * @old: its word.  What is found dirty where that is only old was mostly not cleaned since:
 * then no fault is needed.  To unmap it would interrupt all CPUs that run threads of this
 * process, and take most of the time.
 */
static void touch_now(char *at, uint64_t length, uint64_t offset, uint32_t old)
{
	long before = old > TOUCHED_ONCE ? faults() : -1;

	if (before >= 0) {
		populate(at, length);
		if (faults() == before)
			return;
	}
	if (old)
		madvise(at - offset % BLOCK, BLOCK, MADV_DONTNEED);
	populate(at, length);
}

/* Of now; later than what was never touched, also when the clock begins. */
static uint32_t touch_time(void)
{
	return (uint32_t)(now_ns() >> TOUCH_NS_SHIFT) * 2 + 2 * TOUCH_UNITS + 4;
}

/* The same, unless that was done. */
static void touch(const struct engine_file *file, uint64_t length,
		  uint64_t offset, bool wait)
{
	uint32_t now = touch_time(), old;
	char *at = place_of(file, offset);
	_Atomic uint32_t *word;

	if (!at)
		return;
	word = &window_of(map_there(file), offset)->touched[offset % WINDOW / BLOCK];
	old = atomic_load_explicit(word, memory_order_acquire);
	if (!(old & TOUCHING) && now - old <= 2 * TOUCH_UNITS)
		return;
	if (!(old & TOUCHING) &&
	    atomic_compare_exchange_strong(word, &old, now | TOUCHING)) {
		if (suits(file, length, offset))
			touch_now(at, length, offset, old);
		atomic_store_explicit(word, now, memory_order_release);
		return;
	}
	for (unsigned int turn = 0; wait && turn < TOUCH_TURNS &&
	     (atomic_load_explicit(word, memory_order_acquire) & TOUCHING);
	     turn++)
		crew_relax(turn);
}

/* Block by block. */
static void touch_all(const struct engine_file *file, uint64_t length,
		      uint64_t offset, bool wait)
{
	uint64_t end = offset + length, next;

	for (uint64_t at = offset; at < end; at = next) {
		next = min64((at / BLOCK + 1) * BLOCK, end);
		touch(file, next - at, at, wait);
	}
}

bool host_map_takes(struct engine_file *file, uint64_t length, uint64_t offset)
{
	struct host_map *map;
	bool runs;

	if (!length || file->no_map ||
	    atomic_load_explicit(&off, memory_order_relaxed) ||
	    atomic_load_explicit(&refused, memory_order_relaxed) ||
	    offset + length > WINDOWS * WINDOW)
		return false;
	map = map_of(file);
	if (!map || length < map->least || has_to_wait(map))
		return false;
	runs = is_in_run(map, length, offset);
	if ((length < CREDIT && !earns(map, length, offset) && !runs) ||
	    !reaches(map, file->fd, offset + length) || !is_still_fit(file))
		return false;
	if (host_file_has(file, length, offset, HOST_DIRTY))
		return true;
	forget(map, length, offset);
	return may_be_clean(file, length, offset);
}

void host_map_prepare(const struct engine_file *file, uint64_t length,
		      uint64_t offset)
{
	touch_all(file, length, offset, false);
}

/* It faults nothing in, wherever it is. */
void host_map_warm(const struct engine_file *file, uint64_t length,
		   uint64_t offset)
{
	const char *at = place_of(file, offset);

	length = min64(length, WINDOW - offset % WINDOW);
	for (uint64_t i = 0; at && i < length; i += LINE)
		__builtin_prefetch(at + i, 1, 2);
}

/* ------------------------------------------------------- the writes */

/* Nobody else gives bytes to write(2) just now. */
static bool takes_turn(struct host_map *map)
{
	uint64_t now = now_ns();
	uint64_t last = atomic_load_explicit(&map->stamped_ns,
					     memory_order_relaxed);

	return now - last >= STAMP_NS &&
	       atomic_compare_exchange_strong(&map->stamped_ns, &last, now);
}

static struct host_bytes behind(struct host_bytes bytes, uint64_t done)
{
	bytes.at += done;
	bytes.offset += done;
	return bytes;
}

/* Up to the end of a window; 0: not so. */
static uint64_t put_some(const struct engine_file *file, struct host_bytes from,
			 uint64_t length, uint64_t offset)
{
	char *at = place_of(file, offset);
	ssize_t n;

	if (!at)
		return 0;
	n = atomic_load(&calls)->copy(at, from, min64(WINDOW - offset % WINDOW,
						      length));
	if (n > 0)
		return (uint64_t)n;
	if (n == -ENOSYS || n == -EPERM)
		refused = true;
	wait_a_bit(map_there(file), false);
	return 0;
}

/* Returns how many bytes it took; the others are for write(2). */
static uint64_t put(const struct engine_file *file, struct host_bytes from,
		    uint64_t length, uint64_t offset)
{
	uint64_t done = 0, n;

	if (has_to_wait(map_there(file)) || refused)
		return 0;
	touch_all(file, length, offset, true);
	while (done < length) {
		n = put_some(file, behind(from, done), length - done, offset + done);
		if (!n)
			break;
		done += n;
	}
	return done;
}

uint64_t host_map_write(struct engine_file *file, struct host_bytes from,
			uint64_t length, uint64_t offset, bool look, int *error)
{
	struct host_map *map = map_there(file);
	uint64_t done = 0, stamp;

	*error = 0;
	if (takes_turn(map)) {
		/* Before that, as it may take long just then. */
		if (!is_fit(file->fd))
			wait_a_bit(map, false);
		stamp = min64(length, STAMP_BYTES);
		done = host_file_write(file, from.at, stamp, offset, error);
		if (done < stamp)
			return done;
	}
	if (done < length && (!look || suits(file, length, offset)))
		done += put(file, behind(from, done), length - done,
			    offset + done);
	if (done < length)
		done += host_file_write(file, from.at + done, length - done,
					offset + done, error);
	return done;
}
