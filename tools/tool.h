/* SPDX-License-Identifier: MIT */
/* What the files of the nvfs command share. */
#ifndef NVFS_TOOL_H
#define NVFS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <libnvfs.h>

/* Exit statuses, the same for all sub-commands. */
enum {
	TOOL_OK		= 0,	/* done; and the answer is yes */
	TOOL_NO		= 1,	/* the transfer failed, or the answer is no */
	TOOL_TROUBLE	= 2	/* could not even begin: usage, set-up */
};

/**
 * struct command - one sub-command
 * @name: the word on the command line
 * @args: what follows it, for the usage line
 * @help: one line
 * @options: a line or more for each, or NULL
 * @page: the manual page that tells more
 * @run: @argv[0] is the sub-command's name; returns the exit status
 */
struct command {
	const char *name;
	const char *args;
	const char *help;
	const char *options;
	const char *page;
	int (*run)(int argc, char **argv);
};

int cmd_bench(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_free(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_stat(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_peers(int argc, char **argv);

/* parse.c */

#define TOOL_MAX_THREADS	64U
#define TOOL_MAX_GPU		1023U
#define TOOL_DEFAULT_CHUNK	(8ULL << 20)
#define TOOL_DEFAULT_THREADS	4U

/* Which options a sub-command knows. */
enum {
	OPT_HOLD	= 1 << 0,
	OPT_BOUNCE	= 1 << 1,
	OPT_RANGE	= 1 << 2,	/* --size, --offset */
	OPT_TUNE	= 1 << 3,	/* --chunk, --threads */
	OPT_JSON	= 1 << 4,
	OPT_QUIET	= 1 << 5
};

struct options {
	bool hold;
	bool bounce;
	bool json;
	bool quiet;
	bool have_size;
	bool have_offset;
	uint64_t size;
	uint64_t offset;
	uint64_t chunk;
	unsigned int threads;
};

/*
 * Parse the options in @known; returns the index of the first operand, or -1
 * after a message.
 */
int parse_options(int argc, char **argv, unsigned int known,
		  struct options *opts);

/* "4096", "64K", "1.5G": binary suffixes K M G T, with or without iB. */
int parse_size(const char *text, uint64_t *size);

/* "gpu:0".  Returns 0, -ENOENT when it is no such word, -EINVAL. */
int parse_gpu(const char *text, unsigned int *gpu);

/* out.c */

/**
 * struct report - the end of a cp or verify, for people and for programs
 * @file: as the user wrote it
 * @direction: "read" is file to GPU, "write" is GPU to file
 * @error: 0 or a negative errno value
 * @message: what to say about @error
 */
struct report {
	const char *cmd;
	const char *file;
	unsigned int gpu;
	const char *direction;
	uint64_t bytes;
	uint64_t ns;
	uint32_t route;
	uint32_t reason;
	uint64_t gpu_addr;
	int error;
	char message[384];
};

/* A message on stderr, with the command's name in front. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A string in JSON quotes, whatever bytes it holds. */
void json_string(FILE *out, const char *text);

/* "ENOENT" for -ENOENT. */
const char *errno_name(int error);

/* "256.0 MiB" */
void format_bytes(uint64_t bytes, char *text, size_t size);

/* Bytes per second, 0 when no time passed. */
uint64_t rate_of(uint64_t bytes, uint64_t ns);

/* Print @report as the options ask for: result on stdout, error on stderr. */
void print_report(const struct report *report, const struct options *opts);

uint64_t now_ns(void);

/* Why the module can't be used, in words with a remedy. */
const char *module_advice(int error);
/* The same for GPUs. */
const char *gpu_advice(int error);

/* cmd_stat.c */

/* Say why the files in @dir could not be read; returns the exit status. */
int complain_proc(const char *dir, int error);

/* progress.c */

/* A bar of one line, without a line end. */
void format_progress(uint64_t done, uint64_t total, uint64_t ns, char *text,
		     size_t size);

/**
 * struct progress - a bar on the terminal
 * @on: false: nothing is drawn
 */
struct progress {
	bool on;
	uint64_t total;
	uint64_t start_ns;
};

void progress_start(struct progress *progress, uint64_t total,
		    const struct options *opts);
void progress_update(struct progress *progress, uint64_t done);
/* Remove the bar. */
void progress_end(struct progress *progress);

#endif /* NVFS_TOOL_H */
