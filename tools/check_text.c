// SPDX-License-Identifier: MIT
/* nvfs check for people, and for what they paste into an issue. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define RULE	" =============================================================="

/*
 * Names that others chose, a mount's for one: they must not command the
 * terminal.  Bytes printed.
 */
static int print_plain(const char *text)
{
	int nr = 0;

	for (; text[nr]; nr++)
		putchar(iscntrl((unsigned char)text[nr]) ? '?' : text[nr]);
	return nr;
}

static void title(const char *text)
{
	printf(RULE "\n %s\n" RULE "\n", text);
}

static void row(const char *key, const char *value)
{
	printf(" %-18s: %s\n", key, value);
}

static void print_head(void)
{
	printf(" nvfs check %u.%u.%u: which storage reaches which GPU directly\n",
	       LIBNVFS_VERSION_MAJOR, LIBNVFS_VERSION_MINOR,
	       LIBNVFS_VERSION_PATCH);
}

static void print_platform(const struct platform *platform)
{
	title("PLATFORM");
	row("kernel", platform->kernel);
	row("architecture", platform->arch);
	row("system", platform->os);
	row("IOMMU", platform->iommu);
	row("secure boot", platform->secure_boot);
	row("lockdown", platform->lockdown);
	row("memory encryption", platform->encryption);
	row("container", platform->container);
	row("io_uring", platform->uring);
	row("cachestat", platform->cachestat);
}

static void print_drivers(const struct check *check)
{
	const struct nvfs_info *info = &check->info;

	title("DRIVERS");
	if (check->module_error)
		printf(" %-18s: no: %s (%s)\n", "nvfs",
		       module_advice(check->module_error),
		       errno_name(check->module_error));
	else
		printf(" %-18s: loaded, version %u.%u.%u\n", "nvfs",
		       info->version_major, info->version_minor,
		       info->version_patch);
	if (!check->module_error && info->provider_version)
		printf(" %-18s: page table version 0x%08x\n", "provider",
		       info->provider_version);
	else
		row("provider", check->module_error ?
		    "unknown without the module" :
		    "no: the module finds no driver that pins GPU memory");
	row("nvidia", check->platform.nvidia);
	if (check->library_version)
		printf(" %-18s: %d.%d\n", check->library,
		       check->library_version / 1000,
		       check->library_version % 1000 / 10);
	row("nvidia-fs", check->platform.nvidia_fs ?
	    "loaded, where nvfs should be: modprobe -r nvidia-fs" : "not loaded");
}

static void print_gpu(const struct check_gpu *gpu)
{
	char bdf[16], memory[16], bar[16];

	nvfs_bdf_format(gpu->gpu.bdf, bdf, sizeof(bdf));
	format_bytes(gpu->gpu.memory, memory, sizeof(memory));
	printf(" gpu:%-14u: %s, %s, %s", gpu->gpu.index, bdf, gpu->gpu.name,
	       memory);
	if (gpu->bar_bytes[0]) {
		format_bytes(strtoull(gpu->bar_bytes, NULL, 10), bar,
			     sizeof(bar));
		printf(", BAR %s", bar);
	}
	if (gpu->fit[0])
		printf(", link %s, IOMMU %s, fit %s",
		       gpu->link[0] ? gpu->link : "-", gpu->iommu, gpu->fit);
	printf(", pages %s\n", gpu->pages[0] ? gpu->pages :
					       "not made yet");
}

static void print_gpus(const struct check *check)
{
	title("GPUS");
	if (check->gpu_error || !check->nr_gpus)
		printf(" none: %s (%s)\n", gpu_advice(check->gpu_error),
		       errno_name(check->gpu_error));
	for (unsigned int i = 0; i < check->nr_gpus; i++)
		print_gpu(&check->gpus[i]);
}

static void tell_setting(void *arg, const char *where, const char *key,
			 const char *value)
{
	(void)arg;
	printf(" %-18s: %s = %s\n", where, key, value);
}

/* Settings come first: what they belong to is known only afterwards. */
static void print_config(void)
{
	struct cufile_config config;

	title("LIBCUFILE");
	cufile_look(&config, tell_setting, NULL);
	if (config.error)
		printf(" %-18s: %s can't be used: %s (%s)\n", "cufile.json",
		       config.path, config.why, errno_name(config.error));
	else if (config.none)
		printf(" %-18s: none (%s): defaults\n", "cufile.json",
		       config.path);
	else
		printf(" %-18s: %s, what is not named above is as by default\n",
		       "cufile.json", config.path);
}

static const char *word(const struct subject *subject, unsigned int gpu)
{
	const struct verdict *verdict = &subject->verdicts[gpu];

	if (subject->error)
		return subject->kind == SUBJECT_MOUNT &&
		       subject->error == -ENOENT ? "no file" : "can't look";
	if (verdict->error)
		return errno_name(verdict->error);
	if (verdict_is_direct(subject, gpu))
		return "direct";
	return nvfs_reason_name(verdict->query.reason);
}

static const char *no_module(const struct check *check)
{
	return check->module_error == -EACCES || check->module_error == -EPERM ?
	       "no access" : "no module";
}

static int width_of(const struct check *check)
{
	int width = 8;

	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		int length = (int)strlen(check->subjects[i].path);

		if (length > width)
			width = length;
	}
	return width;
}

static void print_matrix(const struct check *check)
{
	int width = width_of(check);

	if (check->nr_gpus)
		printf(" %-*s", width, "");
	for (unsigned int g = 0; g < check->nr_gpus; g++)
		printf("  gpu:%-8u", check->gpus[g].gpu.index);
	if (check->nr_gpus)
		printf("\n");
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		const struct subject *subject = &check->subjects[i];

		putchar(' ');
		printf("%*s", width - print_plain(subject->path), "");
		for (unsigned int g = 0; g < check->nr_gpus; g++)
			printf("  %-12s", check->module_error ?
			       no_module(check) : word(subject, g));
		if (subject->fs[0]) {
			printf("  ");
			print_plain(subject->fs);
			printf(" on ");
			print_plain(subject->source);
		}
		printf("\n");
	}
}

static bool same_answer(const struct verdict *a, const struct verdict *b)
{
	return a->error == b->error && a->query.route == b->query.route &&
	       a->query.reason == b->query.reason;
}

/* "gpu:0,2,3": all with the answer of @first. */
static void name_gpus(const struct check *check, const struct subject *subject,
		      unsigned int first)
{
	putchar(' ');
	print_plain(subject->path);
	printf(", gpu:%u", check->gpus[first].gpu.index);
	for (unsigned int g = first + 1; g < check->nr_gpus; g++) {
		if (same_answer(&subject->verdicts[g],
				&subject->verdicts[first]))
			printf(",%u", check->gpus[g].gpu.index);
	}
}

static void print_why(const struct check *check, const struct subject *subject,
		      unsigned int g)
{
	const struct verdict *verdict = &subject->verdicts[g];
	const struct nvfs_query *query = &verdict->query;

	if (verdict_is_direct(subject, g))
		return;
	/* Said already. */
	for (unsigned int i = 0; i < g; i++) {
		if (same_answer(&subject->verdicts[i], verdict))
			return;
	}
	name_gpus(check, subject, g);
	if (verdict->error)
		printf(": the module can't say: %s (%s)\n",
		       strerror(-verdict->error), errno_name(verdict->error));
	else
		printf(": %s. %s\n",
		       query->text[0] ? query->text :
					nvfs_reason_text(query->reason),
		       nvfs_reason_remedy(query->reason));
}

static void print_subject(const struct check *check,
			  const struct subject *subject)
{
	if (subject->error) {
		putchar(' ');
		print_plain(subject->path);
	}
	if (subject->error == -ENOENT && subject->kind == SUBJECT_MOUNT)
		printf(": holds no file that could be asked about; name one: nvfs check FILE\n");
	else if (subject->error)
		printf(": can't look: %s (%s)%s%s\n",
		       subject_text(subject->error), errno_name(subject->error),
		       *subject_remedy(subject) ? ". " : "",
		       subject_remedy(subject));
	for (unsigned int g = 0; g < check->nr_gpus && !subject->error &&
				 !check->module_error; g++)
		print_why(check, subject, g);
}

static void print_subjects(const struct check *check)
{
	title("DRIVES, FILE SYSTEMS AND FILES");
	if (check->drives_error)
		printf(" drives can't be listed (%s)\n",
		       errno_name(check->drives_error));
	if (check->mounts_error)
		printf(" file systems can't be listed (%s)\n",
		       errno_name(check->mounts_error));
	if (!check->nr_subjects)
		printf(" none\n");
	else
		print_matrix(check);
	for (unsigned int i = 0; i < check->nr_subjects; i++)
		print_subject(check, &check->subjects[i]);
}

void check_print_text(const struct check *check,
		      const struct conclusion *conclusion)
{
	print_head();
	print_platform(&check->platform);
	print_drivers(check);
	print_gpus(check);
	print_config();
	print_subjects(check);
	title("VERDICT");
	printf(" %s: ", conclusion->missing ? "can't say" :
	       conclusion->direct ? "yes" : "no");
	print_plain(conclusion->text);
	printf("%s%s\n", conclusion->remedy[0] ? ". " : "",
	       conclusion->remedy);
}
