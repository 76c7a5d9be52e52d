// SPDX-License-Identifier: MIT
/*
 * How fast a drive's bytes get into the buffers from which a GPU copies them, and
 * back: files that are open with O_DIRECT, through host memory, without a GPU.
 *
 * The engine is that of the libraries, with a driver whose copies are over at once.
 * Beside it, with the same memory, threads that do nothing but pread(2) and
 * pwrite(2): the best that any number and size of these gets is the drive's own rate.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "gpu.h"

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define HUGE		(2 * MIB)
#define MOST_THREADS	16U
#define MOST_ROUNDS	31U

static const char *path = "drive.dat";
static const char *machine = "not named";
static uint64_t bytes = 4096 * MIB;
static double seconds = 0.5;
static unsigned int rounds = 5;
static int fd;
static bool huge;
static int status;

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------ half a driver */

/* In front of the buffer. */
struct mapping {
	void *all;
	uint64_t length;
};

static int host_get(unsigned int index, uint64_t length, void **host)
{
	struct mapping mapping = { .length = length + 2 * HUGE };
	char *at;

	(void)index;
	mapping.all = mmap(NULL, mapping.length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping.all == MAP_FAILED)
		return -1;
	at = (char *)mapping.all + 2 * HUGE - (uintptr_t)mapping.all % HUGE;
	madvise(at, length, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(at, 0, length);
	memcpy(at - sizeof(mapping), &mapping, sizeof(mapping));
	*host = at;
	return 0;
}

static void host_put(unsigned int index, void *host)
{
	struct mapping mapping;

	(void)index;
	memcpy(&mapping, (char *)host - sizeof(mapping), sizeof(mapping));
	munmap(mapping.all, mapping.length);
}

static int open_queue(unsigned int index, void **queue)
{
	(void)index;
	*queue = malloc(1);
	return *queue ? 0 : -1;
}

static int start(void *queue, const struct gpu_copy *copies, unsigned int nr,
		 bool out, unsigned int mark)
{
	(void)queue;
	(void)copies;
	(void)nr;
	(void)out;
	(void)mark;
	return 0;
}

static int is_over(void *queue, unsigned int mark)
{
	(void)queue;
	(void)mark;
	return 1;
}

static int succeed(void)
{
	return 0;
}

static void do_nothing(void)
{
}

static int count(void)
{
	return 1;
}

static const struct gpu_copies no_copies = {
	.host_get = host_get,
	.host_put = host_put,
	.open = open_queue,
	.close = free,
	.start = start,
	.poll = is_over,
};

static const struct gpu_driver no_gpu = {
	.name = "none",
	.init = succeed,
	.exit = do_nothing,
	.count = count,
	.copies = &no_copies,
};

/* ---------------------------------------------------------------- one figure */

struct worker {
	pthread_t thread;
	struct engine_file *file;	/* NULL: pread(2) and pwrite(2) */
	char *buffer;			/* for these */
	uint64_t length;
	uint64_t at;
	uint64_t moved;
	bool write;
};

static bool move(struct worker *worker)
{
	struct engine_req req = {
		.file = worker->file,
		.file_offset = worker->at,
		.addr = HUGE,
		.length = worker->length,
		.write = worker->write,
	};
	ssize_t n;

	if (worker->file)
		return !engine_run(&req) && req.done == req.length;
	n = worker->write ? pwrite(fd, worker->buffer, worker->length,
				   (off_t)worker->at) :
			    pread(fd, worker->buffer, worker->length,
				  (off_t)worker->at);
	return n == (ssize_t)worker->length;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	double end = now() + seconds;

	do {
		if (!move(worker)) {
			status = 1;
			break;
		}
		worker->moved += worker->length;
		worker->at += worker->length;
		if (worker->at + worker->length > bytes)
			worker->at = 0;
	} while (now() < end);
	return NULL;
}

/* MB/s */
static double rate(struct engine_file *file, unsigned int nr, uint64_t length,
		   bool write)
{
	struct worker workers[MOST_THREADS] = { 0 };
	double begin = now();
	uint64_t moved = 0;
	void *buffer;

	for (unsigned int i = 0; i < nr; i++) {
		workers[i].file = file;
		workers[i].length = length;
		workers[i].at = bytes / nr / length * length * i;
		workers[i].write = write;
		if (!file && !host_get(0, length, &buffer))
			workers[i].buffer = buffer;
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (unsigned int i = 0; i < nr; i++) {
		pthread_join(workers[i].thread, NULL);
		moved += workers[i].moved;
		if (workers[i].buffer)
			host_put(0, workers[i].buffer);
	}
	return (double)moved / (now() - begin) / 1e6;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

static double median(double *all)
{
	qsort(all, rounds, sizeof(*all), compare);
	return all[rounds / 2];
}

/* ---------------------------------------------------------------- the tables */

static const unsigned int callers[] = { 1, 4, 16 };
static const uint64_t lengths[] = { 64 * KIB, 256 * KIB, MIB, 16 * MIB };

#define CALLERS		(sizeof(callers) / sizeof(callers[0]))
#define LENGTHS		(sizeof(lengths) / sizeof(lengths[0]))

/* Of each round the best that threads alone get. */
static double ceiling(bool write)
{
	double best = 0, got;

	for (unsigned int t = 0; t < CALLERS; t++) {
		for (unsigned int l = 1; l < LENGTHS; l++) {
			got = rate(NULL, callers[t], lengths[l] > 4 * MIB ?
				   4 * MIB : lengths[l], write);
			if (got > best)
				best = got;
		}
	}
	return best;
}

static void measure(bool write, double (*all)[LENGTHS][MOST_ROUNDS],
		    double *best)
{
	struct engine_file file;

	for (unsigned int r = 0; r < rounds; r++) {
		if (engine_get() || engine_file_init(&file, fd)) {
			status = 1;
			return;
		}
		for (unsigned int t = 0; t < CALLERS; t++) {
			for (unsigned int l = 0; l < LENGTHS; l++)
				all[t][l][r] = rate(&file, callers[t],
						    lengths[l], write);
		}
		engine_file_fini(&file);
		engine_put();
		best[r] = ceiling(write);
	}
}

static void tell(bool write)
{
	static double all[CALLERS][LENGTHS][MOST_ROUNDS];
	static double best[MOST_ROUNDS];

	measure(write, all, best);
	printf("\n## %s, %s\n\n| threads |", write ? "Writes" : "Reads",
	       huge ? "huge pages" : "pages of 4 KiB");
	for (unsigned int l = 0; l < LENGTHS; l++)
		printf(" %llu KiB |", (unsigned long long)(lengths[l] / KIB));
	printf("\n|---|---|---|---|---|\n");
	for (unsigned int t = 0; t < CALLERS; t++) {
		printf("| %u |", callers[t]);
		for (unsigned int l = 0; l < LENGTHS; l++)
			printf(" %.0f |", median(all[t][l]));
		printf("\n");
	}
	printf("\nThe drive's own rate: %.0f.\n", median(best));
}

static int make_file(void)
{
	void *block;
	int ret = 0;

	fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd < 0 || host_get(0, 4 * MIB, &block)) {
		perror(path);
		return -1;
	}
	memset(block, 0x5a, 4 * MIB);
	for (uint64_t at = 0; !ret && at < bytes; at += 4 * MIB)
		ret = pwrite(fd, block, 4 * MIB, (off_t)at) != 4 * MIB;
	if (ret || fsync(fd))
		perror(path);
	host_put(0, block);
	return ret;
}

static int options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "f:m:s:t:N:")) >= 0) {
		switch (option) {
		case 'f':
			path = optarg;
			break;
		case 'm':
			machine = optarg;
			break;
		case 's':
			bytes = strtoull(optarg, NULL, 0) / (256 * MIB) *
				(256 * MIB);
			break;
		case 't':
			seconds = strtod(optarg, NULL);
			break;
		case 'N':
			rounds = (unsigned int)strtoul(optarg, NULL, 0);
			break;
		default:
			return -1;
		}
	}
	return optind == argc && bytes && seconds > 0 && rounds &&
	       rounds <= MOST_ROUNDS ? 0 : -1;
}

int main(int argc, char **argv)
{
	time_t today = time(NULL);
	char date[16];

	if (options(argc, argv)) {
		fprintf(stderr, "usage: drive [-f file] [-m machine] [-s bytes] "
			"[-t seconds] [-N rounds]\n");
		return 2;
	}
	if (make_file())
		return 1;
	gpu_set_driver(&no_gpu);
	strftime(date, sizeof(date), "%Y-%m-%d", localtime(&today));
	printf("# A drive and host memory: O_DIRECT without the module, and without a "
	       "GPU\n\nMade by `make bench-drive`: %s, %s, %ld CPUs.\nA file of "
	       "%llu MiB, one request at a time and thread, MB/s, medians of %u.\n",
	       date, machine, sysconf(_SC_NPROCESSORS_ONLN),
	       (unsigned long long)(bytes / MIB), rounds);
	for (unsigned int i = 0; i < 4; i++) {
		huge = i / 2;
		tell(i % 2);
	}
	close(fd);
	unlink(path);
	if (status)
		fprintf(stderr, "drive: not all requests succeeded\n");
	return status;
}
