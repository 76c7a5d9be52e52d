/* SPDX-License-Identifier: MIT */
/* What the files of nvfs check share. */
#ifndef NVFS_TOOL_CHECK_H
#define NVFS_TOOL_CHECK_H

#include "tool.h"

#define CHECK_MAX_GPUS	16U
#define CHECK_WORD	96

/* check_platform.c */

/**
 * struct platform - the machine, in words; "" where there is nothing to say
 * @nvidia: "open 570.86.15", "closed 550.54" or "not loaded"
 * @uring, @cachestat: "yes", or why not: what the way through host memory is faster with
 * @nvidia_fs: the incumbent's module is loaded, which NVFS does not need
 */
struct platform {
	char kernel[CHECK_WORD];
	char arch[CHECK_WORD];
	char os[CHECK_WORD];
	char iommu[CHECK_WORD];
	char secure_boot[CHECK_WORD];
	char lockdown[CHECK_WORD];
	char encryption[CHECK_WORD];
	char container[CHECK_WORD];
	char nvidia[CHECK_WORD];
	char uring[CHECK_WORD];
	char cachestat[CHECK_WORD];
	bool nvidia_fs;
};

/* @root: "" or, for tests, a directory that has the machine's files. */
void platform_look(const char *root, struct platform *platform);

/* check_mounts.c */

struct mount {
	char *target;
	char *fs;
	char *source;
};

/*
 * File systems that may hold data, each once, from @path, a mountinfo file.
 * Their number or a negative errno value; the caller calls mounts_free().
 */
int mounts_list(const char *path, struct mount **mounts);
void mounts_free(struct mount *mounts, int nr);
/*
 * The file system that @path, a file or a directory, is on: one mount, for
 * mounts_free(), or NULL where that can't be told (no such file, a device, a
 * kernel before 5.8).
 */
struct mount *mount_of(const char *mountinfo, const char *path);
/*
 * Open a file below @dir, on the same file system, to ask about: one that is
 * there or, if there is none, a new one without a name.  A file descriptor or a
 * negative errno value.
 */
int open_any_file(const char *dir);

/* check_config.c: what libcufile would do; lines are told one by one. */

struct cufile_config {
	char path[512];
	bool none;		/* there is no such file, and need not be */
	int error;		/* with it libcufile does not open */
	char why[200];
};

void cufile_look(struct cufile_config *config,
		 void (*tell)(void *arg, const char *where, const char *key,
			      const char *value), void *arg);

/* The check itself. */

/**
 * struct verdict - one cell of the matrix
 * @error: the module could not say, and why
 */
struct verdict {
	int error;
	struct nvfs_query query;
};

enum subject_kind {
	SUBJECT_DRIVE,
	SUBJECT_MOUNT,
	SUBJECT_FILE
};

/**
 * struct subject - one row: a drive, a file system or a file
 * @path: of the device, of the mount point, or as it was given
 * @fs: type of the file system, "" but for mounts; @source: what is mounted
 * @error: it can't be opened
 */
struct subject {
	enum subject_kind kind;
	char *path;
	char *fs;
	char *source;
	int error;
	struct verdict verdicts[CHECK_MAX_GPUS];
};

/* cmd_check.c: in words why a subject can't be looked at, and what helps. */
const char *subject_text(int error);
const char *subject_remedy(const struct subject *subject);

/**
 * struct check_gpu - a GPU
 * @bar_bytes: the module's word, or else sysfs's; "" when neither has one
 * @link: "" when the module does not list it, like all that follows
 * @pages: where its struct pages come from, when it has some
 */
struct check_gpu {
	struct nvfs_gpu gpu;
	char bar_bytes[24];
	char link[24];
	char iommu[24];
	char fit[24];
	char pages[24];
};

struct check {
	struct options opts;
	struct platform platform;
	struct nvfs *nvfs;
	int module_error;
	struct nvfs_info info;
	int gpu_error;
	/* Of the vendor's library; "" and 0 where it is not known. */
	const char *library;
	int library_version;
	unsigned int nr_gpus;
	struct check_gpu gpus[CHECK_MAX_GPUS];
	struct subject *subjects;
	unsigned int nr_subjects;
	int drives_error;
	int mounts_error;
};

/* check_verdict.c */

/**
 * struct conclusion - the answer
 * @direct: pairs that go direct, of @pairs that were judged
 * @missing: a file that was named can't be opened
 * @reason: one word, "none" when something goes direct
 */
struct conclusion {
	unsigned int direct;
	unsigned int pairs;
	bool missing;
	const char *reason;
	char text[512];
	char remedy[512];
};

void check_conclude(const struct check *check, struct conclusion *conclusion);
/* The exit status that belongs to it. */
int check_status(const struct conclusion *conclusion);
bool verdict_is_direct(const struct subject *subject, unsigned int gpu);

/* check_text.c, check_json.c */
void check_print_text(const struct check *check,
		      const struct conclusion *conclusion);
void check_print_json(const struct check *check,
		      const struct conclusion *conclusion);

#endif /* NVFS_TOOL_CHECK_H */
