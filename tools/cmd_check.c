// SPDX-License-Identifier: MIT
/* nvfs check: what can reach which GPU directly, and if not, why. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drives.h"
#include "tool.h"

#define MAX_GPUS	16

/**
 * struct verdict - one cell of the matrix
 * @error: the module could not say, and why
 */
struct verdict {
	int error;
	struct nvfs_query query;
};

/**
 * struct subject - one row: a drive or a file
 * @error: it can't be opened
 */
struct subject {
	char *path;
	int error;
	struct verdict verdicts[MAX_GPUS];
};

struct check {
	struct options opts;
	struct nvfs *nvfs;
	int module_error;
	struct nvfs_info info;
	int gpu_error;
	unsigned int nr_gpus;
	struct nvfs_gpu gpus[MAX_GPUS];
	struct subject *subjects;
	unsigned int nr_subjects;
	int drives_error;
	bool any_direct;
};

static void look_at_module(struct check *check)
{
	check->info.size = sizeof(check->info);
	check->module_error = nvfs_get_info(check->nvfs, &check->info);
}

static void look_at_gpus(struct check *check)
{
	int nr = nvfs_gpu_count(check->nvfs);

	if (nr < 0) {
		check->gpu_error = nr;
		return;
	}
	for (int i = 0; i < nr && i < MAX_GPUS; i++) {
		int ret = nvfs_gpu_get(check->nvfs, (unsigned int)i,
				       &check->gpus[i]);

		if (ret) {
			check->gpu_error = ret;
			return;
		}
		check->nr_gpus++;
	}
}

static int add_subject(struct check *check, const char *path)
{
	struct subject *subject = &check->subjects[check->nr_subjects];

	memset(subject, 0, sizeof(*subject));
	subject->path = strdup(path);
	if (!subject->path)
		return -ENOMEM;
	check->nr_subjects++;
	return 0;
}

static int add_drives(struct check *check)
{
	struct drive *drives = NULL;
	int ret = 0, nr = list_drives("/sys/block", &drives);

	if (nr < 0) {
		check->drives_error = nr;
		return 0;
	}
	check->subjects = calloc((size_t)nr + 1, sizeof(*check->subjects));
	if (!check->subjects)
		ret = -ENOMEM;
	for (int i = 0; i < nr && !ret; i++)
		ret = add_subject(check, drives[i].node);
	free(drives);
	return ret;
}

static int add_subjects(struct check *check, int nr, char **paths)
{
	int ret = 0;

	if (!nr)
		return add_drives(check);
	check->subjects = calloc((size_t)nr, sizeof(*check->subjects));
	if (!check->subjects)
		return -ENOMEM;
	for (int i = 0; i < nr && !ret; i++)
		ret = add_subject(check, paths[i]);
	return ret;
}

static void judge(struct check *check, struct subject *subject)
{
	/* Without waiting for a medium, or for the other end of a pipe. */
	int fd = open(subject->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		subject->error = -errno;
		return;
	}
	for (unsigned int i = 0; i < check->nr_gpus; i++) {
		struct verdict *verdict = &subject->verdicts[i];

		verdict->query.size = sizeof(verdict->query);
		verdict->error = nvfs_query_gpu(check->nvfs,
						check->gpus[i].bdf, fd,
						&verdict->query);
		/* A kernel's string is trusted as little as any other. */
		verdict->query.text[sizeof(verdict->query.text) - 1] = '\0';
		if (!verdict->error &&
		    verdict->query.route == NVFS_ROUTE_DIRECT)
			check->any_direct = true;
	}
	close(fd);
}

static const char *word(const struct subject *subject,
			const struct verdict *verdict)
{
	if (subject->error)
		return "can't look";
	if (verdict->error)
		return errno_name(verdict->error);
	if (verdict->query.route == NVFS_ROUTE_DIRECT)
		return "direct";
	return nvfs_reason_name(verdict->query.reason);
}

static void print_module(const struct check *check)
{
	if (check->module_error) {
		printf("module   no: %s (%s)\n",
		       module_advice(check->module_error),
		       errno_name(check->module_error));
		return;
	}
	printf("module   loaded, version %u.%u.%u\n",
	       check->info.version_major, check->info.version_minor,
	       check->info.version_patch);
	if (check->info.provider_version)
		printf("provider loaded, page table version 0x%08x\n",
		       check->info.provider_version);
	else
		printf("provider no: the module finds no driver that pins GPU memory. Load the GPU's open kernel driver (nvidia, R535 or later)\n");
}

static void print_gpus(const struct check *check)
{
	if (check->gpu_error)
		printf("gpu      no: %s (%s)\n", gpu_advice(check->gpu_error),
		       errno_name(check->gpu_error));
	for (unsigned int i = 0; i < check->nr_gpus; i++) {
		const struct nvfs_gpu *gpu = &check->gpus[i];
		char bdf[16], memory[16];

		nvfs_bdf_format(gpu->bdf, bdf, sizeof(bdf));
		format_bytes(gpu->memory, memory, sizeof(memory));
		printf("gpu:%-4u %s, %s, %s\n", gpu->index, bdf, memory,
		       gpu->name);
	}
}

static void print_matrix(const struct check *check)
{
	int width = 8;

	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		int length = (int)strlen(check->subjects[i].path);

		if (length > width)
			width = length;
	}
	printf("\n%-*s", width, "");
	for (unsigned int g = 0; g < check->nr_gpus; g++)
		printf("  gpu:%-8u", check->gpus[g].index);
	printf("\n");
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		const struct subject *subject = &check->subjects[i];

		printf("%-*s", width, subject->path);
		for (unsigned int g = 0; g < check->nr_gpus; g++)
			printf("  %-12s", word(subject, &subject->verdicts[g]));
		printf("\n");
	}
}

static void print_why(const struct check *check, const struct subject *subject,
		      unsigned int g)
{
	const struct verdict *verdict = &subject->verdicts[g];
	const struct nvfs_query *query = &verdict->query;

	if (verdict->error) {
		printf("%s, gpu:%u: the module can't say: %s (%s)\n",
		       subject->path, check->gpus[g].index,
		       strerror(-verdict->error), errno_name(verdict->error));
		return;
	}
	if (query->route == NVFS_ROUTE_DIRECT)
		return;
	printf("%s, gpu:%u: %s. %s\n", subject->path, check->gpus[g].index,
	       query->text[0] ? query->text : nvfs_reason_text(query->reason),
	       nvfs_reason_remedy(query->reason));
}

static void print_subjects(const struct check *check)
{
	if (check->drives_error)
		printf("\ndrives   can't be listed (%s)\n",
		       errno_name(check->drives_error));
	else if (!check->nr_subjects)
		printf("\ndrives   none\n");
	if (!check->nr_subjects)
		return;
	if (check->nr_gpus && !check->module_error)
		print_matrix(check);
	printf("\n");
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		const struct subject *subject = &check->subjects[i];

		if (subject->error) {
			printf("%s: can't look: %s (%s)%s\n", subject->path,
			       strerror(-subject->error),
			       errno_name(subject->error),
			       subject->error == -EACCES ?
			       ". Run as root, or as a member of group disk" :
			       "");
			continue;
		}
		for (unsigned int g = 0; g < check->nr_gpus &&
					 !check->module_error; g++)
			print_why(check, subject, g);
	}
}

static void print_text(const struct check *check)
{
	print_module(check);
	print_gpus(check);
	print_subjects(check);
	printf("%s\n", check->any_direct ?
	       "yes: at least one of these goes direct" :
	       "no: none of these goes direct");
}

static void print_json_head(const struct check *check)
{
	printf("{\"cmd\":\"check\",\"kind\":\"module\",\"loaded\":%s",
	       check->module_error ? "false" : "true");
	if (check->module_error)
		printf(",\"version\":null,\"provider\":null,\"error\":\"%s\",\"text\":",
		       errno_name(check->module_error));
	else
		printf(",\"version\":\"%u.%u.%u\",\"provider\":%u,\"error\":null,\"text\":",
		       check->info.version_major, check->info.version_minor,
		       check->info.version_patch,
		       check->info.provider_version);
	json_string(stdout, check->module_error ?
			    module_advice(check->module_error) : "");
	printf("}\n");
	if (check->gpu_error) {
		printf("{\"cmd\":\"check\",\"kind\":\"no-gpu\",\"error\":\"%s\",\"text\":",
		       errno_name(check->gpu_error));
		json_string(stdout, gpu_advice(check->gpu_error));
		printf("}\n");
	}
	for (unsigned int i = 0; i < check->nr_gpus; i++) {
		const struct nvfs_gpu *gpu = &check->gpus[i];
		char bdf[16];

		nvfs_bdf_format(gpu->bdf, bdf, sizeof(bdf));
		printf("{\"cmd\":\"check\",\"kind\":\"gpu\",\"gpu\":%u,\"bdf\":\"%s\",\"memory\":%llu,\"name\":",
		       gpu->index, bdf, (unsigned long long)gpu->memory);
		json_string(stdout, gpu->name);
		printf("}\n");
	}
}

static void print_json_pair(const struct check *check,
			    const struct subject *subject, unsigned int g)
{
	const struct verdict *verdict = &subject->verdicts[g];
	const struct nvfs_query *query = &verdict->query;
	int error = subject->error ? subject->error :
		    check->module_error ? check->module_error : verdict->error;
	bool said = !error;
	char drive[16];

	nvfs_bdf_format(said ? query->drive : NVFS_BDF_NONE, drive,
			sizeof(drive));
	printf("{\"cmd\":\"check\",\"kind\":\"pair\",\"file\":");
	json_string(stdout, subject->path);
	printf(",\"gpu\":%u,\"direct\":%s,\"route\":\"%s\",\"reason\":\"%s\"",
	       check->gpus[g].index,
	       said && query->route == NVFS_ROUTE_DIRECT ? "true" : "false",
	       nvfs_route_name(said ? query->route : NVFS_ROUTE_NONE),
	       nvfs_reason_name(said ? query->reason : NVFS_REASON_NONE));
	printf(",\"drive\":\"%s\",\"distance\":%d,\"offset_align\":%u,\"mem_align\":%u,\"pages\":\"%s\"",
	       drive, said ? query->distance : -1,
	       said ? query->offset_align : 0, said ? query->mem_align : 0,
	       nvfs_pages_name(said ? query->page_source : NVFS_PAGES_NONE));
	printf(",\"error\":");
	if (said)
		printf("null");
	else
		printf("\"%s\"", errno_name(error));
	printf(",\"text\":");
	json_string(stdout, said ? query->text : strerror(-error));
	printf(",\"remedy\":");
	json_string(stdout, said ? nvfs_reason_remedy(query->reason) : "");
	printf("}\n");
}

static void print_json(const struct check *check)
{
	print_json_head(check);
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		for (unsigned int g = 0; g < check->nr_gpus; g++)
			print_json_pair(check, &check->subjects[i], g);
	}
	printf("{\"cmd\":\"check\",\"kind\":\"verdict\",\"direct\":%s}\n",
	       check->any_direct ? "true" : "false");
}

static void free_check(struct check *check)
{
	for (unsigned int i = 0; i < check->nr_subjects; i++)
		free(check->subjects[i].path);
	free(check->subjects);
	nvfs_close(check->nvfs);
}

int cmd_check(int argc, char **argv)
{
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
	if (check.opts.json)
		print_json(&check);
	else
		print_text(&check);
	free_check(&check);
	return check.any_direct ? TOOL_OK : TOOL_NO;
}
