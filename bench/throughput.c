// SPDX-License-Identifier: MIT
/*
 * Bytes per second between a file in the page cache and GPU memory: our
 * libcufile.so.0 without the module, the one that is installed, and a ring of
 * pinned buffers as the ceiling, cell by cell in turns, in one run.
 *
 *	throughput [-f FILE] [-s BYTES] [-t SECONDS] [-N ROUNDS] [-n OURS] [-c THEIRS]
 *		[-r | -w] [-d] [-q] [-o] [-p] [-b PROCESSES]
 *
 * JSON on stdout, one line for each number, progress on stderr.  SECONDS: of one
 * measurement, each of which is made once in a round; -r: reads only; -w:
 * writes only; -d: no ceiling, and not -r or -o: the drive is given the file before each
 * of them, which ends when all is written, if that is earlier; -q: no ceiling; -o: O_DIRECT, few cells; -p: the page cache is of single
 * pages; -b: beside so many processes that never wait.  FILE is made and removed.
 * Status 1: something was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "throughput.h"

#define MIB	(1ULL << 20)

static struct bench bench = {
	.path = "nvfs-throughput.dat", .bytes = 4096 * MIB, .seconds = 0.4,
};

struct worker {
	struct side *side;
	uint64_t length;
	bool write;
	unsigned int id, threads;
	uint64_t moved;
	double took;
	bool failed;
	pthread_t thread;
};

static pthread_barrier_t start_line;
static int status;
static bool reads_only, writes_only, from_clean, no_ring, direct, single_pages;
static unsigned int nr_busy;
static unsigned int rounds = 1;
static const char *ours = "libcufile.so.0", *theirs = "libcufile.so.0";

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void fail(const char *what, const char *who)
{
	fprintf(stderr, "throughput: %s: %s\n", who, what);
	status = 1;
}

static void tell(const char *side, const char *what, unsigned int threads,
		 uint64_t length, double value, const char *unit)
{
	printf("{\"side\": \"%s\", \"what\": \"%s\", \"threads\": %u, "
	       "\"bytes\": %llu, \"value\": %.4g, \"unit\": \"%s\"}\n", side,
	       what, threads, (unsigned long long)length, value, unit);
	fflush(stdout);
	fprintf(stderr, "%-10s %-6s %2u threads %8llu: %.4g %s\n", side, what,
		threads, (unsigned long long)length, value, unit);
}

/* What byte block @at of the file holds: no two places are alike. */
static void pattern(uint64_t *to, uint64_t at, uint64_t length)
{
	for (uint64_t i = 0; i < length / 8; i++)
		to[i] = (at / 8 + i + 1) * 0x9e3779b97f4a7c15ULL;
}

/*
 * A folio of the page cache is not larger than the write that makes it; where the file
 * system has large ones at all (ext4 from Linux 6.16 on).
 */
static int fill_file(uint64_t *block)
{
	uint64_t piece = single_pages ? 4096 : 4 * MIB;

	for (uint64_t at = 0; at < bench.bytes; at += piece) {
		pattern(block, at, piece);
		if (pwrite(bench.plain, block, piece, (off_t)at) !=
		    (ssize_t)piece)
			return -1;
	}
	/* So that nothing is written back while we measure. */
	return fsync(bench.plain);
}

static int make_file(void)
{
	uint64_t *block = malloc(4 * MIB);
	int ret = -1;

	bench.plain = open(bench.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (bench.plain >= 0 && block)
		ret = fill_file(block);
	free(block);
	bench.fd = bench.plain;
	if (!ret && direct) {
		bench.fd = open(bench.path, O_RDWR | O_DIRECT | O_CLOEXEC);
		posix_fadvise(bench.plain, 0, 0, POSIX_FADV_DONTNEED);
	}
	if (ret || bench.fd < 0)
		perror(bench.path);
	return ret || bench.fd < 0 ? -1 : 0;
}

/*
 * Nothing is dirty: for 30 s (vm.dirty_expire_centisecs) the kernel gives the drive
 * nothing, unless there is much for the memory.
 */
static void give_to_drive(void)
{
	if (fsync(bench.plain))
		fail("the drive does not take it", bench.path);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint64_t length = worker->length;
	uint64_t slice = bench.bytes / worker->threads / length * length;
	uint64_t first = slice * worker->id, at = first;
	bool clean = worker->write && from_clean;
	double start, end;

	gpu_cuda_enter(0);
	side_move(worker->side, at, length, worker->write);
	pthread_barrier_wait(&start_line);
	if (clean) {
		if (!worker->id)
			give_to_drive();
		pthread_barrier_wait(&start_line);
	}
	start = now();
	do {
		if (side_move(worker->side, at, length, worker->write) !=
		    (int64_t)length) {
			worker->failed = true;
			break;
		}
		worker->moved += length;
		at += length;
		if (at == first + slice)
			at = first;
		end = now();
	} while (end - start < bench.seconds && !(clean && at == first));
	worker->took = now() - start;
	gpu_cuda_leave();
	return NULL;
}

/*
 * Bytes per second of all.  Those who end when their part is written do not end at the same
 * time: then the last one counts.
 */
static double sum_up(const struct worker *workers, unsigned int nr)
{
	double rates = 0, moved = 0, took = 0;

	for (unsigned int i = 0; i < nr; i++) {
		rates += (double)workers[i].moved / workers[i].took;
		moved += (double)workers[i].moved;
		if (workers[i].took > took)
			took = workers[i].took;
	}
	return workers->write && from_clean ? moved / took : rates;
}

static double rate(struct side *side, unsigned int threads,
		   uint64_t length, bool write)
{
	struct worker workers[MOST_THREADS];

	pthread_barrier_init(&start_line, NULL, threads);
	for (unsigned int i = 0; i < threads; i++) {
		workers[i] = (struct worker){
			.side = side, .length = length, .write = write,
			.id = i, .threads = threads,
		};
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].failed)
			fail(write ? "a write failed" : "a read failed",
			     side_name(side));
	}
	pthread_barrier_destroy(&start_line);
	return sum_up(workers, threads) / 1e9;
}

static void batches(struct side *side, bool scatter)
{
	uint64_t offsets[BATCH], slots[BATCH];
	uint64_t seed = 88172645463325252ULL;
	unsigned int nr = 0;
	double start;

	for (start = now(); now() - start < bench.seconds; nr++) {
		for (unsigned int i = 0; i < BATCH; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			offsets[i] = (seed >> 33) % (bench.bytes / 4096) * 4096;
			slots[i] = scatter ? (i * 37 % BATCH) * 65536 : i * 4096;
		}
		if (side_batch(side, offsets, slots)) {
			fail("a batch failed", side_name(side));
			break;
		}
	}
	tell(side_name(side), scatter ? "batch-scattered" : "batch", 1, 4096,
	     nr * BATCH * 4096.0 / (now() - start) / 1e9, "GB/s");
}

/* Does the device hold the file's bytes there? */
static bool device_holds(uint64_t at, uint64_t length, uint64_t *got,
			 uint64_t *want)
{
	if (bench.driver->copy_out(0, got, bench.gpu + at, length))
		return false;
	pattern(want, at, length);
	return !memcmp(got, want, length);
}

static bool file_holds(uint64_t at, uint64_t length, uint64_t *got,
		       uint64_t *want)
{
	pattern(want, at, length);
	return pread(bench.plain, got, length, (off_t)at) == (ssize_t)length &&
	       !memcmp(got, want, length);
}

/* Nothing of what was there before may be left, in either direction. */
static void verify(struct side *side, uint64_t length)
{
	uint64_t *got = malloc(length), *want = malloc(length);
	uint64_t step = bench.bytes / 16 / length * length;

	for (uint64_t at = 0; at + length <= bench.bytes; at += step + length) {
		memset(got, 0x5a, length);
		bench.driver->copy_in(0, bench.gpu + at, got, length);
		if (side_move(side, at, length, false) != (int64_t)length ||
		    !device_holds(at, length, got, want))
			fail("bytes read are not the file's", side_name(side));
		memset(got, 0x5a, length);
		if (pwrite(bench.plain, got, length, (off_t)at) < 0 ||
		    side_move(side, at, length, true) != (int64_t)length ||
		    !file_holds(at, length, got, want))
			fail("bytes written are not the GPU's", side_name(side));
	}
	free(got);
	free(want);
}

/* Opened, used once, closed; and opened again for what follows. */
static bool open_timed(struct side *side)
{
	double start = now();

	if (side_open(side)) {
		fail("can't be opened: left out", side_name(side));
		return false;
	}
	tell(side_name(side), "open", 1, 0, (now() - start) * 1e3, "ms");
	start = now();
	if (side_enroll(side))
		fail("the buffer was not registered", side_name(side));
	tell(side_name(side), "register", 1, bench.bytes, (now() - start) * 1e3,
	     "ms");
	start = now();
	side_move(side, 0, 4096, false);
	tell(side_name(side), "first", 1, 4096, (now() - start) * 1e3, "ms");
	start = now();
	side_close(side);
	tell(side_name(side), "close", 1, 0, (now() - start) * 1e3, "ms");
	if (!side_open(side) && !side_enroll(side))
		return true;
	fail("can't be opened again: left out", side_name(side));
	return false;
}

/* @round: who comes first, as what he leaves is not always another's. */
static void measure(struct side *const *sides, unsigned int nr,
		    unsigned int round, bool write)
{
	static const unsigned int threads[] = { 1, 4, 16 };
	static const uint64_t lengths[] = { 4096, 65536, MIB, 16 * MIB };
	const char *what = direct ? (write ? "write-direct" : "read-direct") :
				    (write ? (from_clean ? "write-clean" : "write") : "read");
	unsigned int first = direct ? 2 : 0;

	for (unsigned int t = 0; t < 3; t++) {
		for (unsigned int l = first; l < 4; l++) {
			for (unsigned int s = 0; s < nr; s++) {
				struct side *side = sides[(s + round) % nr];

				tell(side_name(side), what, threads[t],
				     lengths[l], rate(side, threads[t],
						      lengths[l], write),
				     "GB/s");
			}
		}
	}
	for (unsigned int n = 1; n <= 16 && !no_ring; n = n < 4 ? n * 4 : n + 4) {
		for (uint64_t chunk = MIB; chunk <= 4 * MIB; chunk *= 2)
			tell("ring", what, n, chunk,
			     ring_rate(&bench, n, chunk, write) / 1e9, "GB/s");
	}
}

static int options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "f:s:t:N:n:c:b:rwdqop")) >= 0) {
		switch (option) {
		case 'f':
			bench.path = optarg;
			break;
		case 's':
			bench.bytes = strtoull(optarg, NULL, 0) / (256 * MIB) *
				      (256 * MIB);
			break;
		case 't':
			bench.seconds = strtod(optarg, NULL);
			break;
		case 'N':
			rounds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			ours = optarg;
			break;
		case 'c':
			theirs = optarg;
			break;
		case 'b':
			nr_busy = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		case 'r':
			reads_only = true;
			break;
		case 'w':
			writes_only = true;
			break;
		case 'd':
			/* Who goes round and round meets his own bytes. */
			from_clean = true;
			no_ring = true;
			break;
		case 'o':
			direct = true;
			break;
		case 'p':
			single_pages = true;
			break;
		case 'q':
			no_ring = true;
			break;
		default:
			return -1;
		}
	}
	return bench.bytes && optind == argc && !(reads_only && writes_only) &&
	       !(from_clean && (reads_only || direct)) ? 0 : -1;
}

static struct side *load_side(const char *name, const char *path)
{
	struct side *side = side_make(name, path, &bench);

	if (!side)
		fail("can't be loaded: left out", name);
	return side;
}

/*
 * Those that take part, how many.  Theirs is loaded first: its name without a path
 * is that of any libcufile.so.0 that is loaded.
 */
static unsigned int take_sides(struct side **sides)
{
	struct side *their = NULL, *our;
	unsigned int nr = 0;

	if (strcmp(theirs, "none"))
		their = load_side("libcufile", theirs);
	our = load_side("nvfs", ours);
	if (our && their && side_is_same(our, their)) {
		fail("is the same library as ours: left out", "libcufile");
		their = NULL;
	}
	if (our && open_timed(our))
		sides[nr++] = our;
	if (their && open_timed(their))
		sides[nr++] = their;
	return nr;
}

static void measure_reads(struct side *const *sides, unsigned int nr,
			  unsigned int round)
{
	measure(sides, nr, round, false);
	for (unsigned int i = 0; i < nr && !direct; i++) {
		batches(sides[(i + round) % nr], false);
		batches(sides[(i + round) % nr], true);
	}
}

static void move_all(struct side *side, bool write)
{
	for (uint64_t at = 0; at < bench.bytes; at += 16 * MIB) {
		if (side_move(side, at, 16 * MIB, write) != 16 * MIB)
			fail("not all of the file was moved", side_name(side));
	}
}

/*
 * Of a file that each has written before, so dirty in the page cache.  That it was given to
 * the drive just before keeps the kernel from doing so meanwhile.
 */
static void measure_writes(struct side *const *sides, unsigned int nr,
			   unsigned int round)
{
	/* Batches left it in disorder, and writes should change nothing. */
	if (nr)
		move_all(sides[0], false);
	if (!from_clean && !direct) {
		give_to_drive();
		for (unsigned int i = 0; i < nr; i++)
			move_all(sides[(i + round) % nr], true);
	}
	measure(sides, nr, round, true);
}

static void measure_all(struct side *const *sides, unsigned int nr,
			unsigned int round)
{
	if (!writes_only)
		measure_reads(sides, nr, round);
	if (!reads_only)
		measure_writes(sides, nr, round);
}

static void run(void)
{
	struct side *sides[2] = { NULL, NULL };
	unsigned int nr;

	gpu_cuda_enter(0);
	nr = take_sides(sides);
	for (unsigned int i = 0; i < nr && !direct; i++) {
		verify(sides[i], 4096);
		verify(sides[i], 12288);
		verify(sides[i], 65536);
		verify(sides[i], 16 * MIB);
	}
	for (unsigned int i = 0; i < rounds; i++)
		measure_all(sides, nr, i);
	for (unsigned int i = 0; i < nr && !direct; i++)
		verify(sides[i], MIB);
	while (nr--)
		side_close(sides[nr]);
	gpu_cuda_leave();
}

/*
 * The first process on a machine has the driver translate the code for the GPU,
 * later ones find it in a cache.  Be a later one.
 */
static void be_a_later_process(void)
{
	if (engine_get())
		return;
	while (engine_warm(0) == -EAGAIN)
		usleep(1000);
	engine_put();
}

/*
 * Until this process ends.  Before the GPU's driver, which suffers no fork().  Fewer
 * than were asked for would make the figures wrong.
 */
static int keep_busy(void)
{
	pid_t parent = getpid(), child;

	for (unsigned int i = 0; i < nr_busy; i++) {
		child = fork();
		if (child < 0)
			return -1;
		if (child)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent) {
			for (volatile unsigned int n = 0; n < 1U << 30; n++)
				;
		}
		_exit(0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (options(argc, argv)) {
		fprintf(stderr, "usage: throughput [-f FILE] [-s BYTES] "
			"[-t SECONDS] [-N ROUNDS] [-n OURS] [-c THEIRS|none] "
			"[-r | -w] [-d] [-q] [-o] [-p] [-b PROCESSES]\n");
		return 2;
	}
	if (keep_busy()) {
		perror("throughput: processes to run beside");
		return 1;
	}
	if (gpu_get(&bench.driver) ||
	    bench.driver->alloc(0, bench.bytes, &bench.gpu)) {
		fprintf(stderr, "throughput: no GPU\n");
		return 1;
	}
	be_a_later_process();
	if (!make_file())
		run();
	else
		status = 1;
	unlink(bench.path);
	bench.driver->free(0, bench.gpu);
	gpu_put();
	return status;
}
