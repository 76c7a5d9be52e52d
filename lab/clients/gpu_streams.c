// SPDX-License-Identifier: MIT
/*
 * Requests in streams, over a libcufile.so.0 and a real GPU.
 *
 *	build/clients/gpu_streams build/lib/libcufile.so.0 DIRECTORY [CHECK...]
 *
 * No kernel module is needed, nor a CUDA toolkit: libcuda.so.1 is looked for when
 * it runs.  Two files of up to 300 MiB are made in DIRECTORY; they have no names
 * any more when the checks begin.  300 MiB of GPU memory and about 1 GiB of the
 * host's are used.
 *
 * Each check is a process of its own, so that one that hangs, or loses its GPU,
 * leaves the others alone.  The first process on a machine may make its requests
 * in the calls, until the driver has our GPU code in its cache; so the check
 * "open" always comes first, opens and closes the library twice, and ends when
 * the driver has translated the code.
 *
 * One line for each check: "ok NAME (detail)", "skip NAME (why)" or "FAIL NAME:
 * why"; then "N passed, N failed".  The status is 1 if something failed, 2 if the
 * checks could not begin, and 77 if there is no GPU.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_streams.h"

/* --------------------------------------------------------------- checks */

/* Without the rest: at its end the process waits for the code's translation. */
static void check_open(void)
{
	make_context();
	bind_cufile();
	for (unsigned int i = 0; i < 2; i++) {
		double began = now();

		step("open %u", i + 1);
		open_cufile();
		detail("the second time in %.1f ms", (now() - began) * 1e3);
		close_cufile();
	}
}

static const size_t some_sizes[] = { 4 * KIB, MIB, 40 * MIB };

static double one_asynchronous(void *stream, size_t size, bool write)
{
	struct request r = { size, 4096, 64, 0 };
	double took;

	clear();
	if (write)
		CUDA(copy_in(gpu + 64, data, size));
	hold(stream);
	took = now();
	put(write ? target : source, &r, stream, write);
	took = now() - took;
	has_returned(&r);
	open_gate();
	CUDA(sync(stream));
	if (write)
		was_written(&r, 0, 0);
	else
		was_read(&r, size);
	return took;
}

/* Work that has not ended is before the request; the call does not mind. */
static void check_asynchronous(void)
{
	double longest = 0;
	unsigned int nr = 0;

	for (unsigned int s = 0; s < STREAMS; s++) {
		for (unsigned int i = 0; i < 2 * COUNT(some_sizes); i++) {
			size_t size = some_sizes[i / 2];
			double took;

			step("%s, %s of %zu", stream_names[s],
			     i % 2 ? "write" : "read", size);
			took = one_asynchronous(streams[s], size, i % 2);
			if (took > longest)
				longest = took;
			nr++;
		}
	}
	detail("%u calls, the longest took %.2f ms", nr, longest * 1e3);
}

enum { FREE, COPY, SYNCHRONIZE, ALLOC, VISITS };

static const char *const visit_names[VISITS] = {
	"cuMemFree", "cuMemcpyDtoH", "cuCtxSynchronize", "cuMemAlloc"
};

static atomic_bool visiting;

/* Some of these wait for streams, and let nobody else into the driver. */
static void *visit(void *arg)
{
	unsigned int kind = (unsigned int)(uintptr_t)arg;
	unsigned char bytes[64];
	uint64_t addr = 0;

	CUDA(ctx_set(ctx));
	if (kind == FREE)
		CUDA(alloc(&addr, MIB));
	atomic_store(&visiting, true);
	switch (kind) {
	case FREE:
		CUDA(free(addr));
		break;
	case COPY:
		CUDA(copy_out(bytes, gpu + ROOM - sizeof(bytes),
			      sizeof(bytes)));
		break;
	case SYNCHRONIZE:
		CUDA(ctx_sync());
		break;
	default:
		CUDA(alloc(&addr, 64 * MIB));
		CUDA(free(addr));
	}
	return NULL;
}

/* A thread is in the driver when the turn of two requests comes. */
static void one_visit(void *stream, unsigned int kind, size_t size, bool write)
{
	struct request first = { size, 4096, 64, 0 };
	struct request second = { size, 8192, (off_t)(size + 4096), 0 };
	pthread_t visitor;

	clear();
	if (write)
		CUDA(copy_in(gpu + 64, data, size));
	CUDA(ctx_sync());
	hold(stream);
	put(write ? target : source, &first, stream, write);
	put(source, &second, stream, false);
	has_returned(&second);
	atomic_store(&visiting, false);
	start(&visitor, visit, (void *)(uintptr_t)kind);
	while (!atomic_load(&visiting))
		nap(1);
	/* Nothing tells that it is inside; too early is easier, not wrong. */
	nap(4);
	open_gate();
	pthread_join(visitor, NULL);
	CUDA(sync(stream));
	if (write)
		was_written(&first, 0, 0);
	else
		was_read(&first, size);
	was_read(&second, size);
}

static unsigned int visits_of(unsigned int s, unsigned int kind)
{
	unsigned int i;

	for (i = 0; i < 2 * COUNT(some_sizes); i++) {
		size_t size = some_sizes[i / 2];

		step("%s, %s, %s of %zu", stream_names[s], visit_names[kind],
		     i % 2 ? "write" : "read", size);
		one_visit(streams[s], kind, size, i % 2);
	}
	return i;
}

static void check_others_in_driver(void)
{
	unsigned int nr = 0;

	for (unsigned int s = 0; s < STREAMS; s++) {
		for (unsigned int kind = 0; kind < VISITS; kind++)
			nr += visits_of(s, kind);
	}
	detail("%u combinations", nr);
}

static void one_transfer(struct request r, bool direct)
{
	void *stream = streams[direct ? BLOCKING : NON_BLOCKING];

	step("%zu bytes at %lld of the file, %lld of the GPU", r.size,
	     (long long)r.offset, (long long)r.at);
	clear();
	put(direct ? source_direct : source, &r, stream, false);
	CUDA(sync(stream));
	was_read(&r, r.size);
	/* Other bytes than those that may be there already. */
	CUDA(copy_in(gpu + (uint64_t)r.at, data + 5, r.size));
	put(direct ? target_direct : target, &r, stream, true);
	CUDA(sync(stream));
	was_written(&r, 5, 0);
}

static void transfers(bool direct)
{
	static const size_t sizes[] = {
		1, 2, 15, 16, 17, 511, 4095, 4096, 4097, 65535, 65536, 65537,
		100001, 262143, 262145, MIB - 1, MIB, MIB + 1, MIB + 70000,
		5 * MIB, 16 * MIB + 3, 64 * MIB, 64 * MIB + 1, 100000001,
		256 * MIB
	};
	static const off_t offsets[] = { 0, 4096, 1, 4099 };
	static const off_t places[] = { 0, 256, 7, 8 };
	unsigned int nr = 0;

	for (unsigned int i = 0; i < COUNT(sizes); i++) {
		unsigned int most = sizes[i] > 32 * MIB ? 2 : COUNT(offsets);

		/* The largest begin at one even place and at one odd. */
		for (unsigned int j = 0; j < most; j++) {
			unsigned int o = most == 2 ? 3 * j : j;

			one_transfer((struct request){ sizes[i], offsets[o],
				     places[(o + i) % COUNT(places)], 0 },
				     direct);
			nr += 2;
		}
	}
	detail("%u transfers of 1 B to 256 MiB", nr);
}

static void check_bytes(void)
{
	transfers(false);
}

static void check_bytes_direct(void)
{
	if (!source_direct || !target_direct)
		leave(SKIPPED, "files in this directory have no O_DIRECT");
	transfers(true);
}

/* Each step spoils the result if it comes too early or too late. */
static void one_chain(void *stream, unsigned int round)
{
	size_t size = round % 2 ? MIB + round : 9 * MIB + 77 * round;
	struct request in = { size, 1000 * (off_t)round, round % 5, 0 };
	struct request out = { size, 0, in.at, 0 };
	struct request back = { size, 0, in.at, 0 };
	uint64_t first = gpu + (uint64_t)in.at;

	CUDA(fill_async(gpu, 0x11, size + 64, stream));
	put(source, &in, stream, false);
	increment(stream, first, size);
	put(target, &out, stream, true);
	CUDA(fill_async(gpu, 0x33, size + 64, stream));
	put(target, &back, stream, false);
	increment(stream, first, size);
	CUDA(sync(stream));
	has_ended(&in, (ssize_t)size);
	has_ended(&back, (ssize_t)size);
	CUDA(copy_out(host, first, size));
	same(host, data + in.offset, size, 2, "the GPU");
	was_written(&out, (size_t)in.offset, 1);
}

static void check_order(void)
{
	unsigned int nr = 0;

	for (unsigned int s = 0; s < STREAMS; s++) {
		for (unsigned int round = 0; round < 20; round++, nr++) {
			step("%s, round %u", stream_names[s], round);
			one_chain(streams[s], round);
		}
	}
	detail("%u times memset, read, kernel, write, memset, read, kernel",
	       nr);
}

/* --------------------------------------------------------------- stress */

#define STRESS_SECONDS	10
#define WORKERS		8U
#define WORKER_ROOM	(32 * MIB)
#define AT_ONCE		6
#define SYNC_AT		(280 * MIB)
#define SYNC_BYTES	(3 * MIB)

static double stress_end;
static atomic_ulong stress_requests, stress_frees, stress_reads;

static size_t some_size(unsigned int *seed)
{
	static const int most[] = { 5000, 200000, 1500000, 5000000 };

	return 1 + (size_t)(rand_r(seed) % most[rand_r(seed) % 4]);
}

static void one_burst(void *stream, uint64_t first, unsigned char *copy,
		      unsigned int *seed)
{
	struct request r[AT_ONCE];
	int nr = 1 + rand_r(seed) % AT_ONCE;
	size_t used = 0;

	for (int i = 0; i < nr; i++) {
		size_t size = some_size(seed);
		off_t most = (off_t)(ROOM - size);
		bool direct = source_direct && !(rand_r(seed) % 5);

		r[i] = (struct request){ size, rand_r(seed) % most,
					 (off_t)(first - gpu + used), 0 };
		used += size + (size_t)(rand_r(seed) % 64);
		put(direct ? source_direct : source, &r[i], stream, false);
	}
	CUDA(sync(stream));
	CUDA(copy_out(copy, first, used));
	for (int i = 0; i < nr; i++) {
		has_ended(&r[i], (ssize_t)r[i].size);
		same(copy + ((uint64_t)r[i].at - (first - gpu)),
		     data + r[i].offset, r[i].size, 0, "the GPU");
	}
	atomic_fetch_add(&stress_requests, (unsigned long)nr);
	atomic_fetch_add(&beat, 1);
}

static void *work(void *arg)
{
	unsigned int self = (unsigned int)(uintptr_t)arg;
	unsigned char *copy = malloc(WORKER_ROOM);
	unsigned int seed = 20261126 + self;
	void *stream, *own;

	EXPECT(copy, "no memory");
	CUDA(ctx_set(ctx));
	CUDA(stream_create(&own, self % 2));
	/* Two have streams that need not be made. */
	stream = self <= PER_THREAD ? streams[self] : own;
	while (now() < stress_end)
		one_burst(stream, gpu + self * WORKER_ROOM, copy, &seed);
	CUDA(stream_destroy(own));
	free(copy);
	return NULL;
}

static void *free_often(void *unused)
{
	unsigned int seed = 1;

	(void)unused;
	CUDA(ctx_set(ctx));
	while (now() < stress_end) {
		uint64_t addr;

		CUDA(alloc(&addr, MIB));
		CUDA(free(addr));
		if (!(rand_r(&seed) % 8))
			CUDA(ctx_sync());
		atomic_fetch_add(&stress_frees, 1);
		nap(rand_r(&seed) % 3);
	}
	return NULL;
}

static void *read_often(void *unused)
{
	unsigned char *copy = malloc(SYNC_BYTES);
	unsigned int seed = 2;

	(void)unused;
	EXPECT(copy, "no memory");
	CUDA(ctx_set(ctx));
	while (now() < stress_end) {
		off_t offset = rand_r(&seed) % 100000;
		ssize_t bytes = cf.read(source, (void *)(uintptr_t)gpu,
					SYNC_BYTES, offset, SYNC_AT);

		EXPECT(bytes == (ssize_t)SYNC_BYTES, "cuFileRead gives %zd",
		       bytes);
		CUDA(copy_out(copy, gpu + SYNC_AT, SYNC_BYTES));
		same(copy, data + offset, SYNC_BYTES, 0, "cuFileRead's memory");
		atomic_fetch_add(&stress_reads, 1);
	}
	free(copy);
	return NULL;
}

static void check_stress(void)
{
	pthread_t threads[WORKERS + 2];

	step("%u streams", WORKERS);
	stress_end = now() + STRESS_SECONDS;
	for (unsigned int i = 0; i < WORKERS; i++)
		start(&threads[i], work, (void *)(uintptr_t)i);
	start(&threads[WORKERS], free_often, NULL);
	start(&threads[WORKERS + 1], read_often, NULL);
	for (unsigned int i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	detail("%lu requests in %u streams, %lu frees, %lu cuFileRead",
	       atomic_load(&stress_requests), WORKERS,
	       atomic_load(&stress_frees), atomic_load(&stress_reads));
}

/* ------------------------------------------------------- a GPU is lost */

/* A kernel of the application's takes the context down with it. */
static void check_fault(void)
{
	struct request r[2] = { { MIB, 0, 0, 0 },
				{ 40 * MIB, 0, 2 * MIB, 0 } };
	struct request next = { 4096, 0, 0, 0 };
	double began;
	int err;

	step("requests before the fault");
	hold(streams[NON_BLOCKING]);
	for (unsigned int i = 0; i < 2; i++) {
		put(source, &r[i], streams[NON_BLOCKING], false);
		has_returned(&r[i]);
	}
	step("the fault");
	increment(streams[BLOCKING], 16, 1);
	EXPECT(cu.sync(streams[BLOCKING]), "the kernel does not fault");
	open_gate();
	step("a request behind it");
	err = (int)try_to_put(source, &next, streams[NON_BLOCKING], false).err;
	step("deregistering the file");
	began = now();
	cf.handle_del(source);
	has_failed(&r[0]);
	has_failed(&r[1]);
	step("closing");
	close_cufile();
	if (!err)
		has_failed(&next);
	detail("requests end with %zd and %zd, the next call gives %d, closing takes %.0f ms",
	       r[0].bytes, r[1].bytes, err, (now() - began) * 1e3);
}

static void *open_soon(void *unused)
{
	(void)unused;
	nap(200);
	open_gate();
	return NULL;
}

/*
 * The reset may wait for the kernel that holds the stream, which ends meanwhile;
 * so the stream may or may not come to the request before it is gone.
 */
static void check_reset(void)
{
	struct request r = { MIB, 0, 0, 0 };
	pthread_t thread;
	double began;

	step("a request before the reset");
	hold(streams[NON_BLOCKING]);
	put(source, &r, streams[NON_BLOCKING], false);
	has_returned(&r);
	refused(cf.close(), CU_FILE_DRIVER_CLOSING);
	step("the reset");
	start(&thread, open_soon, NULL);
	CUDA(ctx_reset(0));
	pthread_join(thread, NULL);
	step("closing");
	began = now();
	close_cufile();
	if (r.bytes != (ssize_t)MIB)
		has_failed(&r);
	detail("the request ends with %zd, closing takes %.0f ms", r.bytes,
	       (now() - began) * 1e3);
}

/* ----------------------------------------------------------------- main */

enum { PLAIN, BARE, LOST };

static const struct check {
	const char *name;
	void (*run)(void);
	int kind;
} checks[] = {
	{ "open", check_open, BARE },
	{ "asynchronous", check_asynchronous, PLAIN },
	{ "others_in_driver", check_others_in_driver, PLAIN },
	{ "bytes", check_bytes, PLAIN },
	{ "bytes_direct", check_bytes_direct, PLAIN },
	{ "order", check_order, PLAIN },
	{ "late", check_late, PLAIN },
	{ "fixed", check_fixed, PLAIN },
	{ "short_files", check_short_files, PLAIN },
	{ "errors", check_errors, PLAIN },
	{ "capture", check_capture, PLAIN },
	{ "stress", check_stress, PLAIN },
	{ "fault", check_fault, LOST },
	{ "reset", check_reset, LOST },
};

/* In a process of its own, which has not called the driver yet. */
static _Noreturn void be(const struct check *check)
{
	pthread_t watcher;

	step("setting up");
	start(&watcher, watch, NULL);
	if (check->kind != BARE)
		set_up();
	check->run();
	/* There is nothing left to close. */
	if (check->kind == LOST)
		_exit(PASSED);
	if (check->kind != BARE)
		tear_down();
	step("exit");
	exit(PASSED);
}

static int report(const char *name, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	switch (code) {
	case PASSED:
		printf("ok %s (%s)\n", name, shared->text);
		break;
	case SKIPPED:
		printf("skip %s (%s)\n", name, shared->text);
		break;
	case -1:
		printf("FAIL %s: %s: signal %d\n", name, shared->step,
		       WTERMSIG(status));
		return FAILED;
	default:
		printf("FAIL %s: %s: %s\n", name, shared->step, shared->text);
	}
	return code;
}

static int run(const struct check *check)
{
	int status = 0;
	pid_t child;

	memset(shared, 0, sizeof(*shared));
	fflush(stdout);
	child = fork();
	if (!child)
		be(check);
	if (child < 0 || waitpid(child, &status, 0) != child) {
		printf("FAIL %s: no process: %s\n", check->name,
		       strerror(errno));
		return FAILED;
	}
	return report(check->name, status);
}

/* A file without a name; and the same file once more, with O_DIRECT or -1. */
static int make_file(const char *directory, int *direct)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/gpu_streams.XXXXXX", directory);
	fd = mkstemp(path);
	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	*direct = open(path, O_RDWR | O_DIRECT);
	unlink(path);
	return fd;
}

static int make_files(const char *directory)
{
	uint64_t word = 0x2026112620261126;
	size_t done = 0;

	source_fd = make_file(directory, &direct_fd);
	if (source_fd < 0)
		return -1;
	target_fd = make_file(directory, &target_direct_fd);
	data = malloc(ROOM);
	if (target_fd < 0 || !data)
		return -1;
	for (size_t i = 0; i < ROOM; i += sizeof(word)) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(data + i, &word, sizeof(word));
	}
	while (done < ROOM) {
		ssize_t n = write(source_fd, data + done, ROOM - done);

		if (n <= 0) {
			fprintf(stderr, "%s: %s\n", directory, strerror(errno));
			return -1;
		}
		done += (size_t)n;
	}
	return fsync(source_fd);
}

static bool is_named(const char *name, char *const *names)
{
	if (!*names)
		return true;
	while (*names && strcmp(*names, name))
		names++;
	return *names;
}

/* All that was named is there? */
static bool all_known(char *const *names)
{
	for (; *names; names++) {
		unsigned int i = 0;

		while (i < COUNT(checks) && strcmp(checks[i].name, *names))
			i++;
		if (i == COUNT(checks)) {
			fprintf(stderr, "there is no check %s\n", *names);
			return false;
		}
	}
	return true;
}

static int usage(const char *name)
{
	fprintf(stderr, "usage: %s LIBRARY DIRECTORY [CHECK...]\nchecks:", name);
	for (unsigned int i = 0; i < COUNT(checks); i++)
		fprintf(stderr, " %s", checks[i].name);
	fprintf(stderr, "\n");
	return NOT_BEGUN;
}

int main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;
	int status;

	if (argc < 3 || !all_known(argv + 3))
		return usage(argv[0]);
	library_path = argv[1];
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return NOT_BEGUN;
	/* It says whether there is what the others need. */
	status = run(&checks[0]);
	if (status == SKIPPED || status == NOT_BEGUN)
		return status;
	if (make_files(argv[2]))
		return NOT_BEGUN;
	for (unsigned int i = 0; i < COUNT(checks); i++) {
		if (i && !is_named(checks[i].name, argv + 3))
			continue;
		if (i)
			status = run(&checks[i]);
		passed += status == PASSED;
		failed += status != PASSED && status != SKIPPED;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed ? FAILED : PASSED;
}
