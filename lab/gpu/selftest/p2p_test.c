// SPDX-License-Identifier: MIT
/*
 * The emulated GPU's peer-to-peer interface, called through labgpu_probe.ko,
 * which must be loaded.  Run by root.  Nothing waits for a time: what must have
 * happened is seen in the probe's state.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "labgpu.h"
#include "tap.h"

#define PAGE	((unsigned long long)LABGPU_PAGE_SIZE)
#define DEBUG	"/sys/kernel/debug/"
#define PARAM	"/sys/module/labgpu/parameters/"

/* As much of a slot as the tests look at. */
struct slot {
	unsigned int callbacks, waiting, live, version, page_size, entries;
	unsigned long long pages[64];
	unsigned long long dma[64];
};

static unsigned long long bar;	/* physical address of GPU 0's memory */
static struct labgpu_info gpu;

static int open_gpu(void)
{
	return open("/dev/labgpu0", O_RDWR | O_CLOEXEC);
}

static unsigned long long take_at(int fd, unsigned long long va,
				  unsigned long long pages, unsigned int flags)
{
	struct labgpu_alloc arg = { .length = pages * PAGE, .flags = flags, .va = va };

	if (ioctl(fd, LABGPU_IOC_ALLOC, &arg))
		return 0;
	return arg.va;
}

static unsigned long long take(int fd, unsigned long long pages)
{
	return take_at(fd, 0, pages, 0);
}

static int give(int fd, unsigned long long va)
{
	struct labgpu_free arg = { .va = va };

	return ioctl(fd, LABGPU_IOC_FREE, &arg) ? -errno : 0;
}

static unsigned long long mem_free(int fd)
{
	struct labgpu_info info;

	return ioctl(fd, LABGPU_IOC_INFO, &info) ? 0 : info.mem_free;
}

/* Writes one string to a file: 0 or -errno. */
static int put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

__attribute__((format(printf, 1, 2)))
static int probe(const char *format, ...)
{
	char line[128];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	return put_file(DEBUG "labgpu_probe/cmd", line);
}

static int read_numbers(const char *text, unsigned long long *out)
{
	int n = 0;
	char *end;

	while (text && *text && *text != ' ' && *text != '\n' && n < 64) {
		out[n++] = strtoull(text, &end, 0);
		text = *end == ',' ? end + 1 : NULL;
	}
	return n;
}

static struct slot slot(int index)
{
	struct slot s = {};
	char *line = NULL, *p;
	size_t size = 0;
	FILE *f = fopen(DEBUG "labgpu_probe/slots", "r");

	while (f && getline(&line, &size, f) > 0) {
		if (atoi(line) != index)
			continue;
		sscanf(line, "%*d callbacks=%u waiting=%u live=%u version=%x page_size=%u entries=%u",
		       &s.callbacks, &s.waiting, &s.live, &s.version, &s.page_size, &s.entries);
		p = strstr(line, "pages=");
		read_numbers(p ? p + 6 : NULL, s.pages);
		p = strstr(line, "dma=");
		read_numbers(p ? p + 4 : NULL, s.dma);
	}
	free(line);
	if (f)
		fclose(f);
	return s;
}

static long pins(void)
{
	FILE *f = fopen(DEBUG "labgpu/pins", "r");
	long n = -1;

	if (!f || fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

/* The extents of the newest line for @va, as physical pages. */
static int history(unsigned long long va, char *state, unsigned long long *pages)
{
	unsigned long long v, size, off, len;
	char *line = NULL, *p, word[16];
	size_t cap = 0;
	int n = 0, used, index;
	FILE *f = fopen(DEBUG "labgpu/history", "r");

	while (f && getline(&line, &cap, f) > 0) {
		if (sscanf(line, "%d %llx %llx %15s extents=%n", &index, &v, &size,
			   word, &used) < 4 || v != va || index)
			continue;
		strcpy(state, word);
		n = 0;
		for (p = line + used; sscanf(p, "%llx:%llx%n", &off, &len, &used) == 2; p++) {
			for (; len && n < 64; len -= PAGE, off += PAGE)
				pages[n++] = bar + off;
			p += used;
			if (*p != ',')
				break;
		}
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

static void test_get_put(int fd)
{
	unsigned long long va = take(fd, 5), want[64] = {};
	char state[16] = "";
	struct slot s;

	is(probe("get 0 %llu %llu", va, 5 * PAGE), 0, "get");
	s = slot(0);
	is(s.version, 0x20000, "version of the table");
	is(s.page_size, 1, "pages of 64 KiB");
	is(s.entries, 5, "as many as asked for");
	is(history(va, state, want), 5, "the history has the allocation");
	ok(!strcmp(state, "live") && !memcmp(want, s.pages, 5 * sizeof(want[0])),
	   "with the same pages");
	ok(s.pages[4] == s.pages[0] + 4 * PAGE, "in one run");
	is(pins(), 1, "one pin");
	is(probe("latefree 0"), -EINVAL, "a live table is not freed");
	is(probe("putp 0"), -EINVAL, "put as a persistent one");
	is(probe("put 0"), 0, "put");
	is(probe("put 0"), -EINVAL, "put again");
	is(probe("get 0 %llu %llu", va + 2 * PAGE, 2 * PAGE), 0, "get an inner part");
	is(slot(0).pages[0], want[2], "its pages");
	is(probe("put 0"), 0, "put it");
	is(give(fd, va), 0, "free");
	is(slot(0).callbacks, 0, "no callback for what was put");
	ok(history(va, state, want) == 5 && !strcmp(state, "freed"), "the history knows");
	probe("clear 0");
}

/* The lines that go are those of what was freed first, not allocated first. */
static void test_history(int fd)
{
	/* Addresses that no other allocation gets. */
	unsigned long long old = take_at(fd, LABGPU_VA_END - PAGE, 1, LABGPU_ALLOC_AT);
	unsigned long long other, pages[64];
	char state[16] = "";
	int i;

	for (i = 0; i < 300; i++)
		give(fd, take(fd, 2));
	give(fd, old);
	ok(history(old, state, pages) == 1 && !strcmp(state, "freed"),
	   "the history has what was freed last");
	other = take_at(fd, LABGPU_VA_END - 8 * PAGE, 2, LABGPU_ALLOC_AT);
	for (i = 0; i < 300; i++)
		give(fd, take(fd, 3));
	is(history(old, state, pages), 0, "and forgets what was freed long ago");
	ok(history(other, state, pages) == 2 && !strcmp(state, "live"),
	   "but not what is live");
	give(fd, other);
}

static void test_refused(int fd)
{
	unsigned long long va = take(fd, 4);

	is(probe("get 1 %llu %llu", va + 4096, PAGE), -EINVAL, "misaligned address");
	is(probe("get 1 %llu %u", va, 4096), -EINVAL, "misaligned length");
	is(probe("get 1 %llu 0", va), -EINVAL, "no length");
	is(probe("get 1 %llu %llu", va, 5 * PAGE), -EINVAL, "past the end");
	is(probe("get 1 %llu %llu", va - PAGE, 2 * PAGE), -EINVAL, "before the start");
	is(probe("get 1 %llu %llu", va, 1ULL << 62), -EINVAL, "2^62 bytes");
	is(probe("get 1 %llu %llu", va, 0 - PAGE), -EINVAL, "wraps around");
	is(probe("get 1 0x10000 %llu", PAGE), -EINVAL, "no GPU address");
	is(probe("getnocb 1 %llu %llu", va, PAGE), -EINVAL, "no callback");
	is(give(fd, va), 0, "free");
	is(probe("get 1 %llu %llu", va, PAGE), -EINVAL, "freed memory");
	is(pins(), 0, "no pin");
}

static void test_foreign(int fd)
{
	unsigned long long va = take(fd, 1);
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(probe("get 1 %llu %llu", va, PAGE) == -EINVAL ? 0 : 1);
	waitpid(pid, &status, 0);
	is(status, 0, "another process's address");
	give(fd, va);
}

static void test_callback(int fd)
{
	unsigned long long va = take(fd, 3), before = mem_free(fd);
	struct slot s;

	probe("get 0 %llu %llu", va, 3 * PAGE);
	probe("get 1 %llu %llu", va + PAGE, PAGE);
	probe("freetable 1");
	is(pins(), 2, "two pins of one allocation");
	is(give(fd, va), 0, "free under both");
	s = slot(0);
	ok(s.callbacks == 1 && !s.live, "the first was told, once");
	is(slot(1).callbacks, 1, "and the second, which freed its table");
	is(probe("put 0"), -EINVAL, "put after the callback");
	is(probe("latefree 0"), -EINVAL, "free the table after the callback");
	is(pins(), 0, "no pin");
	is(mem_free(fd), before + 3 * PAGE, "the memory is free");
	probe("clear 0");
	probe("clear 1");
}

static void test_close(int fd)
{
	unsigned long long before = mem_free(fd), va;
	int own = open_gpu();

	va = take(own, 2);
	probe("get 0 %llu %llu", va, 2 * PAGE);
	close(own);
	is(slot(0).callbacks, 1, "told when the file is closed");
	is(mem_free(fd), before, "the memory is free");
	probe("clear 0");
}

static void test_kill(int fd)
{
	unsigned long long before = mem_free(fd), va;
	int status, own;
	pid_t pid = fork();

	if (!pid) {
		own = open_gpu();
		va = take(own, 2);
		if (probe("get 0 %llu %llu", va, 2 * PAGE))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	is(status, SIGKILL, "kill -9");
	is(slot(0).callbacks, 1, "told when the process dies");
	is(pins(), 0, "no pin");
	is(mem_free(fd), before, "the memory is free");
	probe("clear 0");
}

static void test_adjacent(int fd)
{
	unsigned long long at = LABGPU_VA_END - 64 * PAGE, a, b, c;
	struct slot s;

	a = take_at(fd, at, 2, LABGPU_ALLOC_AT);
	c = take(fd, 1);
	b = take_at(fd, at + 2 * PAGE, 3, LABGPU_ALLOC_AT);
	ok(a && b == a + 2 * PAGE, "two adjacent allocations");
	is(probe("get 0 %llu %llu", a + PAGE, 3 * PAGE), 0, "a range over both");
	s = slot(0);
	ok(s.entries == 3 && s.pages[2] == s.pages[1] + PAGE &&
	   s.pages[1] != s.pages[0] + PAGE, "pages of both");
	is(give(fd, b), 0, "free the second");
	is(slot(0).callbacks, 1, "told");
	is(probe("get 1 %llu %llu", a + PAGE, 3 * PAGE), -EINVAL, "a hole in the range");
	is(give(fd, a), 0, "free the first");
	is(slot(0).callbacks, 1, "not told again");
	give(fd, c);
	probe("clear 0");
}

static void test_scatter(int fd)
{
	unsigned long long va = take_at(fd, 0, 7, LABGPU_ALLOC_SCATTER), want[64];
	char state[16];
	int i, bad = 0;
	struct slot s;

	probe("get 0 %llu %llu", va, 7 * PAGE);
	s = slot(0);
	is(history(va, state, want), 7, "scattered memory in the history");
	ok(!memcmp(want, s.pages, 7 * sizeof(want[0])), "the same pages in the table");
	for (i = 0; i < 6; i++)
		bad += s.pages[i + 1] == s.pages[i] + PAGE;
	is(bad, 0, "no page is followed by the next");
	probe("put 0");
	give(fd, va);
	probe("clear 0");
}

static void test_parameters(int fd)
{
	unsigned long long va = take(fd, 5), want[64];
	char state[16];
	struct slot s;

	put_file(PARAM "table_version", "0x10002");
	probe("get 0 %llu %llu", va, PAGE);
	is(slot(0).version, 0x10002, "another table version");
	probe("put 0");
	put_file(PARAM "table_version", "0x20000");
	put_file(PARAM "break_table", "1");
	probe("get 0 %llu %llu", va, 5 * PAGE);
	put_file(PARAM "break_table", "0");
	s = slot(0);
	history(va, state, want);
	ok(s.pages[0] == want[1] && s.pages[1] == want[0] && s.pages[3] == want[2] &&
	   s.pages[4] == want[4], "a broken table has neighbours swapped");
	probe("put 0");
	give(fd, va);
	probe("clear 0");
}

static void test_persistent(int fd)
{
	unsigned long long before = mem_free(fd), va = take(fd, 2);

	is(probe("getp 0 %llu %llu", va, 2 * PAGE), 0, "get for good");
	is(probe("put 0"), -EINVAL, "put as an ordinary one");
	is(give(fd, va), 0, "free");
	is(slot(0).callbacks, 0, "not told");
	is(pins(), 1, "still pinned");
	is(mem_free(fd), before - 2 * PAGE, "the memory is not reused");
	is(probe("getp 1 %llu %llu", va, 2 * PAGE), -EINVAL, "but the address is gone");
	is(probe("putp 0"), 0, "put");
	is(probe("putp 0"), -EINVAL, "put again");
	is(mem_free(fd), before, "the memory is free");
	probe("clear 0");
}

static void test_dma(int fd)
{
	unsigned long long va = take(fd, 3);
	struct slot s;

	probe("get 0 %llu %llu", va, 3 * PAGE);
	is(probe("map 0 %u", gpu.bdf), 0, "map for a device");
	s = slot(0);
	ok(s.dma[0] && s.dma[2] == s.dma[0] + 2 * PAGE, "an address for each page");
	is(probe("unmap 0"), 0, "unmap");
	is(probe("map 0 %u", gpu.bdf), 0, "map again");
	is(give(fd, va), 0, "free under the mapping");
	is(probe("map 0 %u", gpu.bdf), -EINVAL, "map a dead table");
	probe("clear 0");
}

/* The line of a dma-buf in the probe; how many pieces it has. */
static int buf_pieces(int index, unsigned long long *dma, unsigned long long *bytes)
{
	char *line = NULL, *p;
	size_t size = 0;
	int n = 0;
	FILE *f = fopen(DEBUG "labgpu_probe/bufs", "r");

	while (f && getline(&line, &size, f) > 0) {
		if (atoi(line) != index)
			continue;
		p = strstr(line, "dma=");
		n = read_numbers(p ? p + 4 : NULL, dma);
		p = strstr(line, "bytes=");
		if (read_numbers(p ? p + 6 : NULL, bytes) != n)
			n = -1;
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

/* What another device sees of a range, and how long it stays. */
static void test_dmabuf(int fd)
{
	struct labgpu_alloc alloc = { .length = 3 * PAGE, .flags = LABGPU_ALLOC_SCATTER };
	unsigned long long before = mem_free(fd), dma[64], bytes[64], pages[64];
	struct labgpu_dmabuf arg = {};
	char state[16] = "";
	int buf;

	is(ioctl(fd, LABGPU_IOC_ALLOC, &alloc), 0, "alloc pages that lie apart");
	is(history(alloc.va, state, pages), 3, "where they are");
	arg.va = alloc.va + 4096;
	arg.length = 2 * PAGE;
	buf = ioctl(fd, LABGPU_IOC_DMABUF, &arg);
	ok(buf >= 0, "a part of them as a dma-buf");
	is(probe("nobuf 0 %d %u", buf, gpu.bdf), -EOPNOTSUPP, "not for who can't do peer to peer");
	is(probe("buf 0 %d %u", buf, gpu.bdf), 0, "but for others");
	is(buf_pieces(0, dma, bytes), 3, "in three pieces");
	ok(dma[0] == pages[0] + 4096 && dma[1] == pages[1] && dma[2] == pages[2],
	   "which are the memory's");
	ok(bytes[0] == PAGE - 4096 && bytes[1] == PAGE && bytes[2] == 4096, "all of it");
	is(give(fd, alloc.va), 0, "free the allocation");
	is(close(buf), 0, "and close the descriptor");
	is(mem_free(fd), before - 3 * PAGE, "a device still has the memory");
	is(probe("unbuf 0"), 0, "it lets go");
	is(mem_free(fd), before, "all memory is free");
	is(ioctl(fd, LABGPU_IOC_DMABUF, &arg) < 0 ? errno : 0, ENOENT, "no allocation, no dma-buf");
	arg.flags = 1;
	is(ioctl(fd, LABGPU_IOC_DMABUF, &arg) < 0 ? errno : 0, EINVAL, "an unknown flag");
}

struct call {
	const char *text;	/* of the probe; NULL: free @va */
	int fd;
	unsigned long long va;
	pid_t tid;
	int ret;
};

static void *call_thread(void *arg)
{
	struct call *call = arg;

	__atomic_store_n(&call->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	call->ret = call->text ? probe("%s", call->text) : give(call->fd, call->va);
	return NULL;
}

/* Until the thread sleeps in the kernel, or has ended. */
static void wait_asleep(struct call *call)
{
	char path[64], state = 0;
	pid_t tid;
	FILE *f;

	do {
		sched_yield();
		tid = __atomic_load_n(&call->tid, __ATOMIC_SEQ_CST);
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
		f = tid ? fopen(path, "r") : NULL;
		if (f && fscanf(f, "%*d %*s %c", &state) != 1)
			state = 0;
		if (f)
			fclose(f);
	} while (!tid || (f && state != 'D' && state != 'S'));
}

/* While a callback runs: its memory is not reused, and a put waits for it. */
static void test_race(int fd)
{
	unsigned long long all = mem_free(fd), va = take(fd, 2), rest;
	struct call put = { .text = "put 0", .ret = 1 };
	struct call freeing = { .fd = fd, .va = va, .ret = 1 };
	pthread_t free_thread, put_thread;

	probe("get 0 %llu %llu", va, 2 * PAGE);
	probe("hold 0");
	pthread_create(&free_thread, NULL, call_thread, &freeing);
	while (!slot(0).waiting)
		sched_yield();
	is(mem_free(fd), all - 2 * PAGE, "a callback runs: its memory is taken");
	ok(!take(fd, all / PAGE - 1), "and can't be had");
	rest = take(fd, all / PAGE - 2);
	ok(rest, "but all of the rest can");
	is(probe("get 1 %llu %llu", va, PAGE), -EINVAL, "nobody pins it now");
	is(give(fd, va), -ENOENT, "nor frees it a second time");
	pthread_create(&put_thread, NULL, call_thread, &put);
	wait_asleep(&put);
	is(put.ret, 1, "a put waits for the callback");
	is(freeing.ret, 1, "so does the free");
	is(probe("let 0"), 0, "let the callback end");
	pthread_join(put_thread, NULL);
	pthread_join(free_thread, NULL);
	is(put.ret, -EINVAL, "the put is refused");
	is(freeing.ret, 0, "the free is done");
	is(slot(0).callbacks, 1, "one callback");
	is(pins(), 0, "no pin");
	give(fd, rest);
	is(mem_free(fd), all, "all memory is free");
	probe("clear 0");
}

static struct {
	int fd;
	unsigned long long va;
	int stop;
} storm;

static void *storm_thread(void *arg)
{
	int index = (int)(long)arg;
	/* A put may come too late, when the table is somebody else's already. */
	unsigned long long va = storm.va + (unsigned long long)(index - 2) * PAGE;

	while (!__atomic_load_n(&storm.stop, __ATOMIC_RELAXED)) {
		if (!probe("get %d %llu %llu", index, va, 2 * PAGE))
			probe("put %d", index);
	}
	return NULL;
}

static bool storm_hit_all(void)
{
	return slot(2).callbacks && slot(3).callbacks && slot(4).callbacks;
}

/* Gets and puts against frees, as fast as they come. */
static void test_storm(int fd)
{
	unsigned long long before = mem_free(fd);
	pthread_t threads[3];
	long i, bad = 0;

	storm.fd = fd;
	storm.va = take(fd, 4);
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, storm_thread, (void *)(i + 2));
	for (i = 0; i < 100000 && (i % 100 || !storm_hit_all()); i++) {
		bad += give(fd, storm.va) != 0;
		bad += take(fd, 4) != storm.va;
	}
	ok(storm_hit_all(), "every thread lost memory that it had pinned");
	__atomic_store_n(&storm.stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	give(fd, storm.va);
	is(bad, 0, "frees against gets and puts of the same address");
	is(pins(), 0, "no pin");
	is(mem_free(fd), before, "all memory is free");
	for (i = 2; i < 5; i++)
		is(probe("clear %ld", i), 0, "no table left in the slot");
}

/* The driver can't go while its symbols or its files are in use. */
static void test_rmmod(void)
{
	is(syscall(SYS_delete_module, "labgpu", O_NONBLOCK) ? errno : 0, EWOULDBLOCK,
	   "no rmmod while in use");
}

/* In a child: is a byte of a mapping there (0), or does it raise SIGBUS? */
static int touch(volatile char *byte)
{
	int status;

	/* Mappings are not inherited, but vfork() shares them. */
	pid_t pid = vfork();

	if (!pid) {
		(void)*byte;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Pulls GPU 0 out and puts it back. */
static void test_unplug(int fd)
{
	unsigned long long va = take(fd, 4);
	char path[96];
	struct slot s;
	char *cpu;
	int again;

	cpu = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)va);
	cpu[0] = 1;
	is(touch(cpu), 0, "mapped memory is there");
	probe("get 0 %llu %llu", va, PAGE);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.%x/remove",
		 gpu.bdf >> 16, gpu.bdf >> 8 & 0xff, gpu.bdf >> 3 & 0x1f, gpu.bdf & 7);
	is(put_file(path, "1"), 0, "unplug");
	s = slot(0);
	ok(s.callbacks == 1 && !s.live, "told");
	is(pins(), 0, "no pin");
	is(touch(cpu), SIGBUS, "mapped memory is gone");
	is(give(fd, va), -ENODEV, "free");
	ok(!take(fd, 1) && errno == ENODEV, "allocate");
	is(probe("get 1 %llu %llu", va, PAGE), -EINVAL, "get");
	again = open_gpu();
	ok(again < 0 && errno == ENOENT, "the node is gone");
	is(put_file("/sys/bus/pci/rescan", "1"), 0, "plug it in again");
	munmap(cpu, 4 * PAGE);
	close(fd);
	fd = open("/dev/labgpu0", O_RDWR);
	if (fd < 0)
		fd = open("/dev/labgpu2", O_RDWR);
	ok(fd >= 0 && mem_free(fd) == gpu.mem_size, "it is back, with all its memory");
	close(fd);
	probe("clear 0");
}

static int find_bar(void)
{
	char path[96];
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.%x/resource",
		 gpu.bdf >> 16, gpu.bdf >> 8 & 0xff, gpu.bdf >> 3 & 0x1f, gpu.bdf & 7);
	f = fopen(path, "r");
	for (i = 0; f && i < 3; i++)
		if (fscanf(f, "%llx %*x %*x", &bar) != 1)
			bar = 0;
	if (f)
		fclose(f);
	return bar != 0;
}

int main(int argc, char **argv)
{
	bool unplug = argc > 1 && !strcmp(argv[1], "--unplug");
	int fd = open_gpu();

	if (!ok(fd >= 0 && !ioctl(fd, LABGPU_IOC_INFO, &gpu) && find_bar(), "open"))
		return tap_done();
	if (!ok(!access(DEBUG "labgpu_probe/cmd", W_OK), "labgpu_probe is loaded"))
		return tap_done();
	if (unplug) {
		test_unplug(fd);
		return tap_done();
	}
	test_get_put(fd);
	test_history(fd);
	test_refused(fd);
	test_foreign(fd);
	test_callback(fd);
	test_close(fd);
	test_kill(fd);
	test_adjacent(fd);
	test_scatter(fd);
	test_parameters(fd);
	test_persistent(fd);
	test_dma(fd);
	test_dmabuf(fd);
	test_race(fd);
	test_storm(fd);
	test_rmmod();
	is(pins(), 0, "nothing is pinned at the end");
	is(mem_free(fd), gpu.mem_size, "nor taken");
	close(fd);
	return tap_done();
}
