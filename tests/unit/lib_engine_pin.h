/* SPDX-License-Identifier: MIT */
/*
 * lib_fast.h's GPU, which reads pages where they lie: also those that are not the
 * file's any more, as it has noted what was in all of them when they were pinned.
 */
#ifndef LIB_ENGINE_PIN_H
#define LIB_ENGINE_PIN_H

#include "lib_engine_fix.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crew.h"
#include "host.h"
#include "host_pin.h"
#include "pump.h"

#define MOST_PINS	16U

static struct {
	pthread_mutex_t lock;
	struct {
		char *host, *noted;
		uint64_t length;
	} all[MOST_PINS];
	_Atomic unsigned int nr, made;
	/* Copies that began in one of them; and with pages that are gone. */
	_Atomic unsigned int copies, old;
	_Atomic int refuse_with;
	/* It never lets go. */
	_Atomic bool keeps;
	/* Called once, when a copy of pinned pages has been made. */
	void (*_Atomic meanwhile)(void);
} pins = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* As abi_pages_absent(), on any kernel. */
static inline int count_absent(const void *at, uint64_t length)
{
	uint64_t first = (uintptr_t)at / 4096;
	uint64_t end = ((uintptr_t)at + length + 4095) / 4096, entry;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int ret = 0;

	assert_true(fd >= 0);
	for (uint64_t i = first; !ret && i < end; i++) {
		assert_int_equal(syscall(SYS_pread64, fd, &entry, 8, i * 8), 8);
		ret = !(entry >> 63);
	}
	close(fd);
	return ret;
}

static inline int note_pin(unsigned int index, void *host, uint64_t length)
{
	unsigned int i = 0;

	assert_int_equal(index, 0);
	if (pins.refuse_with)
		return pins.refuse_with;
	/* What is not mapped any more is, again, after the copy. */
	pthread_mutex_lock(&pins.lock);
	while (i < MOST_PINS && pins.all[i].host)
		i++;
	assert_true(i < MOST_PINS);
	pins.all[i].host = host;
	pins.all[i].length = length;
	pins.all[i].noted = malloc(length);
	assert_non_null(pins.all[i].noted);
	memcpy(pins.all[i].noted, host, length);
	pthread_mutex_unlock(&pins.lock);
	pins.nr++;
	pins.made++;
	return 0;
}

static inline bool note_unpin(unsigned int index, uint64_t context, void *host)
{
	unsigned int i = 0;

	assert_int_equal(index, 0);
	assert_int_equal(context, 7);
	pthread_mutex_lock(&pins.lock);
	while (i < MOST_PINS && pins.all[i].host != host)
		i++;
	assert_true(i < MOST_PINS);
	free(pins.all[i].noted);
	pins.all[i].host = NULL;
	pthread_mutex_unlock(&pins.lock);
	pins.nr--;
	return !pins.keeps;
}

static inline uint64_t same_context(unsigned int index)
{
	(void)index;
	return 7;
}

/* What the GPU finds at @host, @length bytes in one page. */
static inline void copy_page(char *to, char *host, const char *noted,
			     uint64_t length)
{
	struct iovec local = { .iov_base = to, .iov_len = length };
	struct iovec remote = { .iov_base = host, .iov_len = length };

	if (!count_absent(host, length) &&
	    process_vm_readv((pid_t)syscall(SYS_gettid), &local, 1, &remote, 1,
			     0) == (ssize_t)length)
		return;
	memcpy(to, noted, length);
	pins.old++;
}

/* False: not of pinned pages. */
static inline bool copy_pinned(const struct gpu_copy *copy)
{
	char *host = copy->host, *to = (char *)(uintptr_t)copy->gpu;
	bool found = false;

	pthread_mutex_lock(&pins.lock);
	for (unsigned int i = 0; i < MOST_PINS && !found; i++) {
		uint64_t at = (uint64_t)(host - pins.all[i].host);

		found = pins.all[i].host && at < pins.all[i].length;
		for (uint64_t done = 0, now; found && done < copy->length;
		     done += now) {
			now = 4096 - (at + done) % 4096;
			if (now > copy->length - done)
				now = copy->length - done;
			copy_page(to + done, host + done,
				  pins.all[i].noted + at + done, now);
		}
	}
	pthread_mutex_unlock(&pins.lock);
	return found;
}

static inline int pin_start(void *opaque, const struct gpu_copy *copies,
			    unsigned int nr, bool out, unsigned int mark)
{
	void (*now)(void);

	if (out || !copy_pinned(&copies[0]))
		return fast_start(opaque, copies, nr, out, mark);
	for (unsigned int i = 1; i < nr; i++)
		assert_true(copy_pinned(&copies[i]));
	for (unsigned int i = 0; i < nr; i++) {
		/* The driver would do it with the CPU. */
		assert_true(copies[i].length > PUMP_MAX);
		if (fast_bad(&copies[i]))
			return -EFAULT;
	}
	pins.copies += nr;
	now = atomic_exchange(&pins.meanwhile, NULL);
	if (now)
		now();
	return 0;
}

static struct gpu_copies pin_table;
static struct gpu_driver pin_gpu;

static inline uint64_t any_length(int fd, bool *clean)
{
	(void)fd;
	*clean = false;
	return 1;
}

static inline ssize_t no_copy(char *to, const char *from, uint64_t length)
{
	(void)to;
	(void)from;
	(void)length;
	return -EFAULT;
}

static const struct host_map_calls any_file = {
	.least = any_length, .copy = no_copy,
};

/* The page cache has all of it but this. */
static _Atomic uint64_t not_cached_from = UINT64_MAX;

static inline int64_t all_cached(int fd, uint64_t offset, uint64_t length,
				 enum host_pages which)
{
	(void)fd;
	if (which == HOST_DIRTY || offset + length > not_cached_from)
		return 0;
	return (int64_t)(length / 4096);
}

/* What tests say of it; begins as the library does. */
static struct host_pin_calls pin_calls;

static inline void open_pins(struct fixture *f)
{
	pin_table = fast_table;
	pin_table.start = pin_start;
	pin_table.context = same_context;
	pin_table.pin = note_pin;
	pin_table.unpin = note_unpin;
	pin_calls = (struct host_pin_calls){
		.absent = count_absent, .settled_ns = UINT64_MAX / 4,
		.idle_ns = 1000000000,
	};
	host_pin_set_calls(&pin_calls);
	host_map_set_calls(&any_file);
	host_file_set_cachestat(all_cached);
	not_cached_from = UINT64_MAX;
	pins.refuse_with = 0;
	pins.keeps = false;
	pins.made = 0;
	pins.copies = 0;
	pins.old = 0;
	open_fixture(f);
	pin_gpu = fast_gpu;
	pin_gpu.copies = &pin_table;
	gpu_set_driver(&pin_gpu);
}

static inline void close_pins(struct fixture *f)
{
	close_fixture(f);
	assert_int_equal(pins.nr, 0);
	host_pin_set_calls(NULL);
	host_map_set_calls(NULL);
	host_file_set_cachestat(NULL);
}

static inline void read_bytes(struct fixture *f, uint64_t offset, uint64_t at,
			      uint64_t length)
{
	struct engine_req req = request(f, offset, at, length, false);

	memset(f->gpu + at, 0x5a, length);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, length);
	assert_int_equal(req.route, NVFS_ROUTE_BOUNCE);
	assert_memory_equal(f->gpu + at, f->bytes + offset, length);
}

/* Until somebody of the crew has done what was wanted. */
static inline bool comes_to(_Atomic unsigned int *what, unsigned int value)
{
	for (unsigned int i = 0; i < 100000 && *what != value; i++)
		usleep(100);
	return *what == value;
}

/* All of the file twice, and a byte more. */
static inline void read_twice(struct fixture *f)
{
	for (unsigned int i = 0; i < 2; i++)
		read_bytes(f, 0, 0, FILE_BYTES);
	read_bytes(f, 0, 0, MIB);
}

static inline void have_it_pinned(struct fixture *f)
{
	unsigned int before = pins.made;

	read_twice(f);
	assert_true(comes_to(&pins.made, before + 1));
	/* And known to be. */
	for (unsigned int i = 0, copies = pins.copies; i < 10000 &&
	     pins.copies == copies; i++)
		read_bytes(f, 0, 0, MIB);
	assert_true(pins.copies > 0);
}

#endif /* LIB_ENGINE_PIN_H */
