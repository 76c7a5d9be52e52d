// SPDX-License-Identifier: MIT
/* nvfs stat --pid: what libcufile of a process has counted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cufile/stats_page.h"
#include "stat_library.h"
#include "tool.h"

#define GPUS	(sizeof(((CUfileStatsLevel3_t *)0)->per_gpu_stats) / \
		 sizeof(CUfilePerGpuStats_t))
#define BINS	32U

/* ------------------------------------------------------------- to find it */

/*
 * The process's number in its own namespace, which is the last of "NStgid:\t812\t7"; where
 * there are none, @pid.
 */
static uint64_t own_number(const char *pid)
{
	uint64_t number = strtoull(pid, NULL, 10);
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char *last = strrchr(line, '\t');

		if (!strncmp(line, "NStgid:", 7) && last)
			number = strtoull(last, NULL, 10);
	}
	if (file)
		fclose(file);
	return number;
}

/* @fd, which does nothing with what it names, is such a file in memory. */
static bool is_one(int fd, const char *self)
{
	char target[64];
	struct statfs fs;
	struct stat st;
	ssize_t n = readlink(self, target, sizeof(target) - 1);

	if (n < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    fstatfs(fd, &fs) || fs.f_type != TMPFS_MAGIC)
		return false;
	target[n] = '\0';
	return !strcmp(target, "/memfd:" CF_STATS_NAME " (deleted)");
}

/*
 * Whole, of this version, and not one that its parent left it.  1, 0 or a negative errno
 * value.  It is opened only when it is known to be no device or the like, and by a
 * descriptor of ours: what the process has there may be another file by then.
 */
static int read_one(int dir, const char *name, uint64_t number,
		    struct cf_stats_page *page)
{
	int known = openat(dir, name, O_PATH | O_CLOEXEC), fd;
	char self[64];
	ssize_t n = 0;

	if (known < 0)
		return errno == ENOENT ? 0 : -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", known);
	fd = is_one(known, self) ? open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY) :
				   -1;
	close(known);
	if (fd >= 0) {
		n = pread(fd, page, sizeof(*page), 0);
		close(fd);
	}
	return n == (ssize_t)sizeof(*page) && page->magic == CF_STATS_MAGIC &&
	       page->version == CF_STATS_VERSION &&
	       page->bytes == sizeof(*page) && page->pid == number;
}

int stat_library_read(const char *pid, struct cf_stats_page *page)
{
	uint64_t number = own_number(pid);
	struct dirent *entry;
	char path[64];
	int found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (found <= 0 && (entry = readdir(dir))) {
		int ret = entry->d_name[0] == '.' ? 0 :
			  read_one(dirfd(dir), entry->d_name, number, page);

		if (ret)
			found = ret;
	}
	closedir(dir);
	return found;
}

/* ------------------------------------------------------------ what it says */

static double seconds_of(const struct cf_stats_page *page)
{
	struct timespec now;
	uint64_t us = page->ran_us, now_us;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (page->running && now_us > page->started_us)
		us += now_us - page->started_us;
	return (double)us / 1e6;
}

/* Of those that took time. */
static uint64_t average(uint64_t sum, const CUfileOpCounter_t *counter,
			uint64_t refused)
{
	uint64_t nr = counter->ok + counter->err;

	return nr > refused ? sum / (nr - refused) : 0;
}

static bool is_counting(const struct cf_stats_page *page)
{
	return page->running && page->level;
}

static bool is_used(const CUfilePerGpuStats_t *gpu)
{
	return gpu->n_total_reads || gpu->n_total_writes || gpu->n_mmap ||
	       gpu->reg_bytes;
}

static void moved_text(const char *what, const CUfileOpCounter_t *counter,
		       uint64_t bytes, uint64_t each)
{
	char text[16];

	format_bytes(bytes, text, sizeof(text));
	printf("%-22s %10" PRIu64 " %12s %10" PRIu64 " %10" PRIu64 "\n", what,
	       counter->ok, text, counter->err, each);
}

static void called_text(const char *what, const CUfileOpCounter_t *counter)
{
	if (counter->ok || counter->err)
		printf("%-22s %10" PRIu64 " %12s %10" PRIu64 "\n", what,
		       counter->ok, "", counter->err);
}

static void basic_text(const struct cf_stats_page *page)
{
	const CUfileStatsLevel1_t *l1 = &page->total.detailed.basic;

	printf("%-22s %10s %12s %10s %10s\n", "", "ok", "bytes", "errors",
	       "us each");
	moved_text("reads", &l1->read_ops, l1->read_bytes,
		   average(l1->read_lat_sum_us, &l1->read_ops,
			   page->refused_reads));
	moved_text("writes", &l1->write_ops, l1->write_bytes,
		   average(l1->write_lat_sum_us, &l1->write_ops,
			   page->refused_writes));
	called_text("batches submitted", &l1->batch_submit_ops);
	called_text("requests of batches", &l1->batch_processed_ops);
	called_text("files registered", &l1->hdl_register_ops);
	called_text("files deregistered", &l1->hdl_deregister_ops);
	called_text("memory registered", &l1->buf_register_ops);
	called_text("memory deregistered", &l1->buf_deregister_ops);
}

static void sizes_text(const CUfileStatsLevel2_t *l2)
{
	bool title = false;

	for (unsigned int i = 0; i < BINS; i++) {
		char from[16];

		if (!l2->read_size_kb_hist[i] && !l2->write_size_kb_hist[i])
			continue;
		if (!title)
			printf("\n%-22s %10s %10s\n", "bytes, at least", "reads",
			       "writes");
		title = true;
		format_bytes(i ? 2048ULL << i : 0, from, sizeof(from));
		printf("%-22s %10" PRIu64 " %10" PRIu64 "\n", from,
		       l2->read_size_kb_hist[i], l2->write_size_kb_hist[i]);
	}
}

static void gpu_text(const char *what, uint64_t total, uint64_t direct,
		     uint64_t host, uint64_t bytes, uint64_t errors)
{
	char text[16];

	format_bytes(bytes, text, sizeof(text));
	printf("%-22s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %12s %10" PRIu64 "\n",
	       what, total, direct, host, text, errors);
}

static void gpus_text(const CUfileStatsLevel3_t *l3)
{
	for (unsigned int i = 0; i < GPUS; i++) {
		const CUfilePerGpuStats_t *gpu = &l3->per_gpu_stats[i];
		char title[24], text[16];

		if (!is_used(gpu))
			continue;
		snprintf(title, sizeof(title), "GPU %u", i);
		printf("\n%-22s %10s %10s %10s %12s %10s\n", title, "requests",
		       "direct", "by host", "bytes", "errors");
		gpu_text("reads", gpu->n_total_reads, gpu->n_nvfs_reads,
			 gpu->n_posix_reads, gpu->read_bytes, gpu->n_reads_err);
		gpu_text("writes", gpu->n_total_writes, gpu->n_nvfs_writes,
			 gpu->n_posix_writes, gpu->writes_bytes,
			 gpu->n_writes_err);
		format_bytes(gpu->reg_bytes, text, sizeof(text));
		printf("%-22s %s\n", "registered now", text);
	}
}

static void print_text(const struct cf_stats_page *page, const char *pid)
{
	printf("libcufile of process %s: level %" PRIu64 ", %s for %.1f s\n",
	       pid, page->level, is_counting(page) ? "counting" : "counted",
	       seconds_of(page));
	basic_text(page);
	if (page->level >= 2)
		sizes_text(&page->total.detailed);
	if (page->level >= 3)
		gpus_text(&page->total);
}

/* One list of names for programs: what it is called, and where it is. */
struct number {
	const char *name;
	size_t at;
};

#define L1(field)	{ #field, offsetof(CUfileStatsLevel1_t, field) }
#define OPS(field)	{ #field "_ok", offsetof(CUfileStatsLevel1_t, field) + \
			  offsetof(CUfileOpCounter_t, ok) },		\
			{ #field "_err", offsetof(CUfileStatsLevel1_t, field) + \
			  offsetof(CUfileOpCounter_t, err) }
#define GPU(field)	{ #field, offsetof(CUfilePerGpuStats_t, field) }

static const struct number basics[] = {
	OPS(read_ops), OPS(write_ops), L1(read_bytes), L1(write_bytes),
	L1(read_lat_sum_us), L1(write_lat_sum_us), OPS(hdl_register_ops),
	OPS(hdl_deregister_ops), OPS(buf_register_ops), OPS(buf_deregister_ops),
	OPS(batch_submit_ops), OPS(batch_processed_ops), L1(batch_read_bytes),
	L1(batch_write_bytes), L1(batch_completion_lat_sum_us),
};

static const struct number of_gpus[] = {
	GPU(read_bytes), GPU(n_total_reads), GPU(n_nvfs_reads),
	GPU(n_posix_reads), GPU(n_unaligned_reads), GPU(n_reads_err),
	GPU(writes_bytes), GPU(n_total_writes), GPU(n_nvfs_writes),
	GPU(n_posix_writes), GPU(n_unaligned_writes), GPU(n_writes_err),
	GPU(reg_bytes),
};

#define NR(list)	(sizeof(list) / sizeof((list)[0]))

static uint64_t value_of(const void *of, const struct number *number)
{
	uint64_t value;

	memcpy(&value, (const char *)of + number->at, sizeof(value));
	return value;
}

static void numbers_json(const void *of, const struct number *list, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		printf(",\"%s\":%" PRIu64, list[i].name, value_of(of, &list[i]));
}

static void bins_json(const char *name, const uint64_t *bins)
{
	printf(",\"%s\":[", name);
	for (unsigned int i = 0; i < BINS; i++)
		printf("%s%" PRIu64, i ? "," : "", bins[i]);
	printf("]");
}

static void print_json(const struct cf_stats_page *page)
{
	const CUfileStatsLevel2_t *l2 = &page->total.detailed;
	const char *comma = "";

	printf("\"libcufile\":{\"level\":%" PRIu64 ",\"counting\":%s,\"seconds\":%.3f",
	       page->level, is_counting(page) ? "true" : "false", seconds_of(page));
	numbers_json(&l2->basic, basics, NR(basics));
	bins_json("read_size_kb_hist", l2->read_size_kb_hist);
	bins_json("write_size_kb_hist", l2->write_size_kb_hist);
	printf(",\"gpus\":[");
	for (unsigned int i = 0; i < GPUS; i++) {
		if (!is_used(&page->total.per_gpu_stats[i]))
			continue;
		printf("%s{\"gpu\":%u", comma, i);
		numbers_json(&page->total.per_gpu_stats[i], of_gpus,
			     NR(of_gpus));
		printf("}");
		comma = ",";
	}
	printf("]}");
}

static void print_metrics(const struct cf_stats_page *page, const char *pid)
{
	for (size_t i = 0; i < NR(basics); i++)
		printf("# TYPE nvfs_libcufile_%s_total counter\n"
		       "nvfs_libcufile_%s_total{process=\"%s\"} %" PRIu64 "\n",
		       basics[i].name, basics[i].name, pid,
		       value_of(&page->total.detailed.basic, &basics[i]));
}

void stat_library_print(const struct cf_stats_page *page, const char *pid,
			char form)
{
	if (form == 'j')
		print_json(page);
	else if (form == 'm')
		print_metrics(page, pid);
	else
		print_text(page, pid);
}
