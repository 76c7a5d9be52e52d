// SPDX-License-Identifier: MIT
/* nvfs check: what can reach which GPU directly, and if not, why. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "drives.h"
#include "gpu.h"
#include "procfile.h"

#define MOUNTS		"/proc/self/mountinfo"

static void look_at_module(struct check *check)
{
	check->info.size = sizeof(check->info);
	check->module_error = nvfs_get_info(check->nvfs, &check->info);
}

static void copy_word(char *to, size_t size, const struct thing *thing,
		      const char *key)
{
	snprintf(to, size, "%s", thing_get(thing, key));
}

/* What the module knows of this GPU, if it lists it. */
static void describe(struct check_gpu *gpu, const struct things *devices)
{
	char bdf[16];

	nvfs_bdf_format(gpu->gpu.bdf, bdf, sizeof(bdf));
	for (size_t i = 0; i < devices->nr; i++) {
		const struct thing *thing = &devices->list[i];

		if (thing->nr_words < 2 || strcmp(thing->words[1], bdf))
			continue;
		copy_word(gpu->bar_bytes, sizeof(gpu->bar_bytes), thing,
			  "bar_bytes");
		copy_word(gpu->iommu, sizeof(gpu->iommu), thing, "iommu");
		copy_word(gpu->fit, sizeof(gpu->fit), thing, "fit");
		if (strcmp(thing_get(thing, "gen"), "0"))
			snprintf(gpu->link, sizeof(gpu->link), "gen%.4s x%.4s",
				 thing_get(thing, "gen"),
				 thing_get(thing, "width"));
	}
}

/* Pages are made with the first region of a GPU: any region tells. */
static void find_pages(struct check_gpu *gpu, const struct things *regions)
{
	char bdf[16];

	nvfs_bdf_format(gpu->gpu.bdf, bdf, sizeof(bdf));
	for (size_t i = 0; i < regions->nr; i++) {
		if (!strcmp(thing_get(&regions->list[i], "gpu"), bdf))
			copy_word(gpu->pages, sizeof(gpu->pages),
				  &regions->list[i], "pages");
	}
}

/* What is to be had without the module. */
static void describe_without(struct check_gpu *gpu)
{
	uint64_t bytes = gpu->bar_bytes[0] ? 0 : gpu_bar_bytes(gpu->gpu.bdf);

	if (bytes)
		snprintf(gpu->bar_bytes, sizeof(gpu->bar_bytes), "%llu",
			 (unsigned long long)bytes);
}

static void look_at_library(struct check *check)
{
	const struct gpu_driver *driver;

	if (gpu_get(&driver))
		return;
	check->library = driver->name;
	check->library_version = driver->version ? driver->version() : 0;
	gpu_put();
}

static void describe_gpus(struct check *check)
{
	struct things things;

	if (!things_read(PROC_DIR, "devices", &things)) {
		for (unsigned int i = 0; i < check->nr_gpus; i++)
			describe(&check->gpus[i], &things);
		things_free(&things);
	}
	if (!things_read(PROC_DIR, "regions", &things)) {
		for (unsigned int i = 0; i < check->nr_gpus; i++)
			find_pages(&check->gpus[i], &things);
		things_free(&things);
	}
	for (unsigned int i = 0; i < check->nr_gpus; i++)
		describe_without(&check->gpus[i]);
}

static void look_at_gpus(struct check *check)
{
	int nr = nvfs_gpu_count(check->nvfs);

	look_at_library(check);
	if (nr < 0) {
		check->gpu_error = nr;
		return;
	}
	for (unsigned int i = 0; i < (unsigned int)nr && i < CHECK_MAX_GPUS;
	     i++) {
		int ret = nvfs_gpu_get(check->nvfs, i, &check->gpus[i].gpu);

		if (ret) {
			check->gpu_error = ret;
			break;
		}
		check->nr_gpus++;
	}
	describe_gpus(check);
}

static int add_subject(struct check *check, enum subject_kind kind,
		       const char *path, const char *fs, const char *source)
{
	struct subject *larger = reallocarray(check->subjects,
					      check->nr_subjects + 1,
					      sizeof(*larger));
	struct subject *subject;

	if (!larger)
		return -ENOMEM;
	check->subjects = larger;
	subject = &larger[check->nr_subjects++];
	memset(subject, 0, sizeof(*subject));
	subject->kind = kind;
	subject->path = strdup(path);
	subject->fs = strdup(fs);
	subject->source = strdup(source);
	return subject->path && subject->fs && subject->source ? 0 : -ENOMEM;
}

static int add_drives(struct check *check)
{
	struct drive *drives = NULL;
	int ret = 0, nr = list_drives("/sys/block", &drives);

	if (nr < 0) {
		check->drives_error = nr;
		return 0;
	}
	for (int i = 0; i < nr && !ret; i++)
		ret = add_subject(check, SUBJECT_DRIVE, drives[i].node, "", "");
	free(drives);
	return ret;
}

static int add_mounts(struct check *check)
{
	struct mount *mounts;
	int ret = 0, nr = mounts_list(MOUNTS, &mounts);

	if (nr < 0) {
		check->mounts_error = nr;
		return 0;
	}
	for (int i = 0; i < nr && !ret; i++)
		ret = add_subject(check, SUBJECT_MOUNT, mounts[i].target,
				  mounts[i].fs, mounts[i].source);
	mounts_free(mounts, nr);
	return ret;
}

static int add_file(struct check *check, const char *path)
{
	struct mount *on = mount_of(MOUNTS, path);
	int ret = add_subject(check, SUBJECT_FILE, path, on ? on->fs : "",
			      on ? on->source : "");

	mounts_free(on, !!on);
	return ret;
}

static int add_subjects(struct check *check, int nr, char **paths)
{
	int ret = 0;

	if (!nr) {
		ret = add_drives(check);
		return ret ? ret : add_mounts(check);
	}
	for (int i = 0; i < nr && !ret; i++)
		ret = add_file(check, paths[i]);
	return ret;
}

const char *subject_text(int error)
{
	return error == -ESPIPE ? "this is neither a file nor a block device" :
				  strerror(-error);
}

const char *subject_remedy(const struct subject *subject)
{
	bool drive = subject->kind == SUBJECT_DRIVE ||
		     !strncmp(subject->path, "/dev/", 5);

	switch (subject->error) {
	case -EACCES:
		return drive ? "Run as root, or as a member of group disk." :
			       "Run as root, or as somebody who may read it.";
	case -EPERM:
		return drive ? "Have this container given the device." : "";
	default:
		return "";
	}
}

/* Without waiting for a medium, or for the other end of a pipe. */
static int open_subject(const struct subject *subject)
{
	struct stat st;
	int fd;

	if (subject->kind == SUBJECT_MOUNT)
		return open_any_file(subject->path);
	fd = open(subject->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (subject->kind == SUBJECT_DRIVE || fstat(fd, &st) ||
	    S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return fd;
	close(fd);
	return S_ISDIR(st.st_mode) ? open_any_file(subject->path) : -ESPIPE;
}

static void judge(struct check *check, struct subject *subject)
{
	int fd = open_subject(subject);

	if (fd < 0) {
		subject->error = fd;
		return;
	}
	for (unsigned int i = 0; i < check->nr_gpus; i++) {
		struct verdict *verdict = &subject->verdicts[i];

		verdict->query.size = sizeof(verdict->query);
		verdict->error = nvfs_query_gpu(check->nvfs,
						check->gpus[i].gpu.bdf, fd,
						&verdict->query);
		/* A kernel's string is trusted as little as any other. */
		verdict->query.text[sizeof(verdict->query.text) - 1] = '\0';
	}
	close(fd);
}

static void free_check(struct check *check)
{
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		free(check->subjects[i].path);
		free(check->subjects[i].fs);
		free(check->subjects[i].source);
	}
	free(check->subjects);
	nvfs_close(check->nvfs);
}

int cmd_check(int argc, char **argv)
{
	struct conclusion conclusion;
	struct check check = { 0 };
	int first = parse_options(argc, argv, OPT_JSON, &check.opts);
	int ret;

	if (first < 0)
		return TOOL_TROUBLE;
	ret = nvfs_open(NVFS_OPEN_NO_MODULE, &check.nvfs);
	if (ret) {
		complain("can't open the library (%s)", errno_name(ret));
		return TOOL_TROUBLE;
	}
	platform_look("", &check.platform);
	look_at_module(&check);
	look_at_gpus(&check);
	ret = add_subjects(&check, argc - first, argv + first);
	if (ret) {
		complain("check: %s", errno_name(ret));
		free_check(&check);
		return TOOL_TROUBLE;
	}
	for (unsigned int i = 0; i < check.nr_subjects; i++)
		judge(&check, &check.subjects[i]);
	check_conclude(&check, &conclusion);
	if (check.opts.json)
		check_print_json(&check, &conclusion);
	else
		check_print_text(&check, &conclusion);
	free_check(&check);
	return check_status(&conclusion);
}
