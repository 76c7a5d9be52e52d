/* SPDX-License-Identifier: MIT */
/*
 * lib_fast.h's GPU, which reads pages where they lie: also those that are not the
 * file's any more, as pipes hold them.
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

/* What a pipe holds, if nobody allows more. */
#define PIPE_BYTES	MIB
#define MOST_PIPES	4U

struct pin {
	char *host;
	uint64_t length;
	int pipes[MOST_PIPES][2];
};

static struct {
	pthread_mutex_t lock;
	struct pin all[MOST_PINS];
	_Atomic unsigned int nr, made;
	/* Copies of pinned pages. */
	_Atomic unsigned int copies;
	_Atomic int refuse_with;
	/* It never lets go. */
	_Atomic bool keeps;
	/* Called once, when half of the pages are pinned; when they were copied. */
	void (*_Atomic pinning)(void);
	void (*_Atomic meanwhile)(void);
} pins = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* As abi_pages_absent(), on any kernel. */
static inline int count_absent(int pagemap, const void *at, uint64_t length)
{
	uint64_t first = (uintptr_t)at / 4096;
	uint64_t end = ((uintptr_t)at + length + 4095) / 4096;
	uint64_t entries[512];
	int ret = 0;

	for (uint64_t i = first, now; !ret && i < end; i += now) {
		now = end - i < 512 ? end - i : 512;
		assert_int_equal(syscall(SYS_pread64, pagemap, entries, now * 8,
					 i * 8), now * 8);
		for (uint64_t n = 0; n < now; n++)
			ret |= !(entries[n] >> 63);
	}
	return ret;
}

static inline void call_once(void (*_Atomic *what)(void))
{
	void (*now)(void) = atomic_exchange(what, NULL);

	if (now)
		now();
}

static inline void hold_pages(struct pin *pin, unsigned int i)
{
	struct iovec part = { .iov_base = pin->host + i * PIPE_BYTES };
	ssize_t n;

	part.iov_len = pin->length - i * PIPE_BYTES;
	if (part.iov_len > PIPE_BYTES)
		part.iov_len = PIPE_BYTES;
	assert_int_equal(pipe2(pin->pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fcntl(pin->pipes[i][1], F_SETPIPE_SZ, PIPE_BYTES),
			 PIPE_BYTES);
	while (part.iov_len) {
		n = vmsplice(pin->pipes[i][1], &part, 1, SPLICE_F_NONBLOCK);
		assert_true(n > 0);
		part.iov_base = (char *)part.iov_base + n;
		part.iov_len -= (size_t)n;
	}
}

static inline unsigned int nr_pipes(const struct pin *pin)
{
	return (unsigned int)((pin->length + PIPE_BYTES - 1) / PIPE_BYTES);
}

static inline int note_pin(unsigned int index, void *host, uint64_t length,
			   bool writable)
{
	struct pin *pin = pins.all;

	assert_int_equal(index, 0);
	assert_false(writable);
	if (pins.refuse_with)
		return pins.refuse_with;
	pthread_mutex_lock(&pins.lock);
	while (pin->host)
		pin++;
	assert_true(pin < pins.all + MOST_PINS);
	pin->host = host;
	pin->length = length;
	assert_true(nr_pipes(pin) <= MOST_PIPES);
	for (unsigned int i = 0; i < nr_pipes(pin); i++) {
		hold_pages(pin, i);
		if (i == 1)
			call_once(&pins.pinning);
	}
	pthread_mutex_unlock(&pins.lock);
	pins.nr++;
	pins.made++;
	return 0;
}

static inline bool note_unpin(unsigned int index, uint64_t context, void *host)
{
	struct pin *pin = pins.all;

	assert_int_equal(index, 0);
	assert_int_equal(context, 7);
	pthread_mutex_lock(&pins.lock);
	while (pin->host != host)
		pin++;
	assert_true(pin < pins.all + MOST_PINS);
	for (unsigned int i = 0; i < nr_pipes(pin); i++) {
		close(pin->pipes[i][0]);
		close(pin->pipes[i][1]);
	}
	pin->host = NULL;
	pthread_mutex_unlock(&pins.lock);
	pins.nr--;
	return !pins.keeps;
}

static inline uint64_t same_context(unsigned int index)
{
	(void)index;
	return 7;
}

/* Bytes of what a pipe holds, which stays in there. */
static inline void peek(const int *from, char *to, uint64_t skip,
			uint64_t length)
{
	static char all[PIPE_BYTES];	/* under the lock */
	uint64_t done = 0;
	int copy[2];
	ssize_t n;

	assert_int_equal(pipe2(copy, O_CLOEXEC), 0);
	assert_int_equal(fcntl(copy[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
	assert_true(tee(from[0], copy[1], skip + length, 0) ==
		    (ssize_t)(skip + length));
	while (done < skip + length) {
		n = read(copy[0], all + done, skip + length - done);
		assert_true(n > 0);
		done += (uint64_t)n;
	}
	memcpy(to, all + skip, length);
	close(copy[0]);
	close(copy[1]);
}

static inline void copy_from(const struct pin *pin, char *to, uint64_t at,
			     uint64_t length)
{
	for (uint64_t done = 0, now; done < length; done += now) {
		uint64_t skip = (at + done) % PIPE_BYTES;

		now = PIPE_BYTES - skip;
		if (now > length - done)
			now = length - done;
		peek(pin->pipes[(at + done) / PIPE_BYTES], to + done, skip, now);
	}
}

/* False: not of pinned pages. */
static inline bool copy_pinned(const struct gpu_copy *copy)
{
	char *to = (char *)(uintptr_t)copy->gpu;
	bool found = false;

	pthread_mutex_lock(&pins.lock);
	for (unsigned int i = 0; i < MOST_PINS && !found; i++) {
		const struct pin *pin = &pins.all[i];
		uint64_t at = (uint64_t)((char *)copy->host - pin->host);

		found = pin->host && at < pin->length;
		if (found)
			copy_from(pin, to, at, copy->length);
	}
	pthread_mutex_unlock(&pins.lock);
	return found;
}

static inline int pin_start(void *opaque, const struct gpu_copy *copies,
			    unsigned int nr, bool out, unsigned int mark)
{
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
	call_once(&pins.meanwhile);
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

static inline ssize_t no_copy(char *to, struct host_bytes from, uint64_t length)
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

/*
 * What tests say of it.  Others are a table of their own: the library's thread may be
 * reading the one before.
 */
static inline void say_pins(const struct host_pin_calls *calls)
{
	static struct host_pin_calls all[16];
	static unsigned int nr;
	struct host_pin_calls *new = &all[nr++ % 16];

	*new = *calls;
	host_pin_set_calls(new);
}

/* Begins as the library does. */
static const struct host_pin_calls pins_as_ever = {
	.absent = count_absent, .idle_ns = 1000000000, .blocks = 4,
};

static inline void open_pins(struct fixture *f)
{
	pin_table = fast_table;
	pin_table.start = pin_start;
	pin_table.context = same_context;
	pin_table.pin = note_pin;
	pin_table.unpin = note_unpin;
	say_pins(&pins_as_ever);
	host_map_set_calls(&any_file);
	host_file_set_cachestat(all_cached);
	not_cached_from = UINT64_MAX;
	pins.refuse_with = 0;
	pins.keeps = false;
	pins.made = 0;
	pins.copies = 0;
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

	/* What was given up a moment ago may take some more. */
	for (unsigned int i = 0; i < 5000 && pins.made == before; i++) {
		read_twice(f);
		usleep(1000);
	}
	assert_int_equal(pins.made, before + 1);
	/* And known to be. */
	for (unsigned int i = 0, copies = pins.copies; i < 10000 &&
	     pins.copies == copies; i++)
		read_bytes(f, 0, 0, MIB);
	assert_true(pins.copies > 0);
}

#endif /* LIB_ENGINE_PIN_H */
