// SPDX-License-Identifier: MIT
/* nvfs check for programs: a line for each thing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void put(const char *key, const char *value)
{
	printf(",\"%s\":", key);
	json_string(stdout, value);
}

/* A string, or null when there is none. */
static void put_known(const char *key, const char *value)
{
	if (value[0])
		put(key, value);
	else
		printf(",\"%s\":null", key);
}

static void print_platform(const struct platform *platform)
{
	printf("{\"cmd\":\"check\",\"kind\":\"platform\"");
	put("kernel", platform->kernel);
	put("arch", platform->arch);
	put("system", platform->os);
	put("iommu", platform->iommu);
	put("secure_boot", platform->secure_boot);
	put("lockdown", platform->lockdown);
	put("memory_encryption", platform->encryption);
	put("container", platform->container);
	put("nvidia", platform->nvidia);
	put("io_uring", platform->uring);
	put("cachestat", platform->cachestat);
	printf(",\"nvidia_fs\":%s}\n", platform->nvidia_fs ? "true" : "false");
}

static void print_module(const struct check *check)
{
	const struct nvfs_info *info = &check->info;

	printf("{\"cmd\":\"check\",\"kind\":\"module\",\"loaded\":%s",
	       check->module_error ? "false" : "true");
	if (check->module_error)
		printf(",\"version\":null,\"provider\":null,\"error\":\"%s\"",
		       errno_name(check->module_error));
	else
		printf(",\"version\":\"%u.%u.%u\",\"provider\":%u,\"error\":null",
		       info->version_major, info->version_minor,
		       info->version_patch, info->provider_version);
	put("text", check->module_error ? module_advice(check->module_error) :
					  "");
	printf("}\n");
}

static void print_gpu(const struct check_gpu *gpu)
{
	char bdf[16];

	nvfs_bdf_format(gpu->gpu.bdf, bdf, sizeof(bdf));
	printf("{\"cmd\":\"check\",\"kind\":\"gpu\",\"gpu\":%u,\"bdf\":\"%s\",\"memory\":%llu",
	       gpu->gpu.index, bdf, (unsigned long long)gpu->gpu.memory);
	put("name", gpu->gpu.name);
	printf(",\"bar_bytes\":");
	if (gpu->bar_bytes[0])
		printf("%llu", strtoull(gpu->bar_bytes, NULL, 10));
	else
		printf("null");
	put_known("link", gpu->link);
	put_known("iommu", gpu->iommu);
	put_known("fit", gpu->fit);
	put_known("pages", gpu->pages);
	printf("}\n");
}

static void print_gpus(const struct check *check)
{
	if (check->library_version)
		printf("{\"cmd\":\"check\",\"kind\":\"library\",\"name\":\"%s\",\"version\":%d}\n",
		       check->library, check->library_version);
	if (check->gpu_error) {
		printf("{\"cmd\":\"check\",\"kind\":\"no-gpu\",\"error\":\"%s\"",
		       errno_name(check->gpu_error));
		put("text", gpu_advice(check->gpu_error));
		printf("}\n");
	}
	for (unsigned int i = 0; i < check->nr_gpus; i++)
		print_gpu(&check->gpus[i]);
}

static void tell_setting(void *arg, const char *where, const char *key,
			 const char *value)
{
	(void)arg;
	printf("{\"cmd\":\"check\",\"kind\":\"setting\"");
	put("where", where);
	put("key", key);
	put("value", value);
	printf("}\n");
}

static void print_config(void)
{
	struct cufile_config config;

	cufile_look(&config, tell_setting, NULL);
	printf("{\"cmd\":\"check\",\"kind\":\"config\"");
	put("file", config.path);
	printf(",\"used\":%s,\"error\":",
	       config.error || config.none ? "false" : "true");
	if (config.error)
		printf("\"%s\"", errno_name(config.error));
	else
		printf("null");
	put("text", config.why);
	printf("}\n");
}

static const char *kind_name(const struct subject *subject)
{
	static const char *const names[] = {
		[SUBJECT_DRIVE] = "drive", [SUBJECT_MOUNT] = "mount",
		[SUBJECT_FILE] = "file",
	};

	return names[subject->kind];
}

static void print_answer(const struct nvfs_query *query, bool said)
{
	char drive[16];

	nvfs_bdf_format(said ? query->drive : NVFS_BDF_NONE, drive,
			sizeof(drive));
	printf(",\"route\":\"%s\",\"reason\":\"%s\"",
	       nvfs_route_name(said ? query->route : NVFS_ROUTE_NONE),
	       nvfs_reason_name(said ? query->reason : NVFS_REASON_NONE));
	printf(",\"drive\":\"%s\",\"distance\":%d,\"offset_align\":%u,\"mem_align\":%u,\"pages\":\"%s\"",
	       drive, said ? query->distance : -1,
	       said ? query->offset_align : 0, said ? query->mem_align : 0,
	       nvfs_pages_name(said ? query->page_source : NVFS_PAGES_NONE));
}

static void print_pair(const struct check *check,
		       const struct subject *subject, unsigned int g)
{
	const struct verdict *verdict = &subject->verdicts[g];
	const struct nvfs_query *query = &verdict->query;
	int error = subject->error ? subject->error :
		    check->module_error ? check->module_error : verdict->error;
	bool said = !error;

	printf("{\"cmd\":\"check\",\"kind\":\"pair\",\"what\":\"%s\"",
	       kind_name(subject));
	put("file", subject->path);
	if (subject->fs[0]) {
		put("fs", subject->fs);
		put("source", subject->source);
	}
	printf(",\"gpu\":%u,\"direct\":%s", check->gpus[g].gpu.index,
	       verdict_is_direct(subject, g) ? "true" : "false");
	print_answer(query, said);
	printf(",\"error\":");
	if (said)
		printf("null");
	else
		printf("\"%s\"", errno_name(error));
	put("text", said ? query->text : subject_text(error));
	put("remedy", said ? nvfs_reason_remedy(query->reason) :
			     subject_remedy(subject));
	printf("}\n");
}

void check_print_json(const struct check *check,
		      const struct conclusion *conclusion)
{
	print_platform(&check->platform);
	print_module(check);
	print_gpus(check);
	print_config();
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		for (unsigned int g = 0; g < check->nr_gpus; g++)
			print_pair(check, &check->subjects[i], g);
	}
	printf("{\"cmd\":\"check\",\"kind\":\"verdict\",\"direct\":%s,\"direct_pairs\":%u,\"pairs\":%u",
	       conclusion->direct ? "true" : "false", conclusion->direct,
	       conclusion->pairs);
	put("reason", conclusion->reason);
	put("text", conclusion->text);
	put("remedy", conclusion->remedy);
	printf("}\n");
}
