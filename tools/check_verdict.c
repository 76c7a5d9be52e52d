// SPDX-License-Identifier: MIT
/* The answer, and what to do about it: from what was found, nothing else. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "check.h"

/* Who wants to know may not want the module. */
#define WITHOUT	"Without it libcufile and nvfs bench go through host memory: libcufile(3)"

bool verdict_is_direct(const struct subject *subject, unsigned int gpu)
{
	const struct verdict *verdict = &subject->verdicts[gpu];

	return !subject->error && !verdict->error &&
	       verdict->query.route == NVFS_ROUTE_DIRECT;
}

__attribute__((format(printf, 4, 5)))
static void because(struct conclusion *conclusion, const char *reason,
		    const char *remedy, const char *format, ...)
{
	va_list args;

	conclusion->reason = reason;
	snprintf(conclusion->remedy, sizeof(conclusion->remedy), "%s", remedy);
	va_start(args, format);
	vsnprintf(conclusion->text, sizeof(conclusion->text), format, args);
	va_end(args);
}

/*
 * The pair that came furthest: reasons are numbered in about the order in
 * which they are looked for, so the last of them is nearest to working.
 */
static const struct subject *find_nearest(const struct check *check,
					  unsigned int *gpu)
{
	const struct subject *nearest = NULL;
	uint32_t best = 0;

	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		const struct subject *subject = &check->subjects[i];

		for (unsigned int g = 0; g < check->nr_gpus; g++) {
			const struct verdict *verdict = &subject->verdicts[g];

			if (subject->error || verdict->error ||
			    verdict->query.reason <= best)
				continue;
			best = verdict->query.reason;
			nearest = subject;
			*gpu = g;
		}
	}
	return nearest;
}

static void count(const struct check *check, struct conclusion *conclusion)
{
	for (unsigned int i = 0; i < check->nr_subjects; i++) {
		const struct subject *subject = &check->subjects[i];

		if (subject->kind == SUBJECT_FILE && subject->error &&
		    !conclusion->missing) {
			conclusion->missing = true;
			because(conclusion, errno_name(subject->error),
				subject_remedy(subject),
				"%s can't be looked at: %s", subject->path,
				subject_text(subject->error));
		}
		for (unsigned int g = 0; g < check->nr_gpus; g++) {
			conclusion->pairs++;
			conclusion->direct += verdict_is_direct(subject, g);
		}
	}
}

/* "What is wrong. What helps": a sentence for each field, and @more behind the second. */
static void because_of(struct conclusion *conclusion, const char *reason,
		       const char *more, const char *advice)
{
	const char *end = strstr(advice, ". ");
	char remedy[sizeof(conclusion->remedy)];

	snprintf(remedy, sizeof(remedy), "%s%s%s", end ? end + 2 : "",
		 end && *more ? ". " : "", more);
	because(conclusion, reason, remedy, "%.*s",
		end ? (int)(end - advice) : (int)strlen(advice), advice);
}

/* Nothing could be judged, or nothing was there to judge. */
static bool lacks_something(const struct check *check,
			    struct conclusion *conclusion)
{
	if (check->module_error)
		because_of(conclusion, "no-module", WITHOUT,
			   module_advice(check->module_error));
	else if (!check->info.provider_version)
		because(conclusion, "no-provider",
			"Load the GPU's open kernel driver (nvidia, R550 or later).",
			"the module finds no driver that pins GPU memory");
	else if (check->gpu_error || !check->nr_gpus)
		because_of(conclusion, "no-gpu", "",
			   gpu_advice(check->gpu_error ? check->gpu_error :
							 -ENODEV));
	else if (!check->nr_subjects)
		because(conclusion, "no-drive", "", "there is no drive");
	else
		return false;
	return true;
}

void check_conclude(const struct check *check, struct conclusion *conclusion)
{
	const struct subject *nearest;
	unsigned int gpu = 0;

	memset(conclusion, 0, sizeof(*conclusion));
	count(check, conclusion);
	if (conclusion->missing)
		return;
	if (conclusion->direct) {
		because(conclusion, "none", "", "%u of %u pairs go direct",
			conclusion->direct, conclusion->pairs);
		return;
	}
	if (lacks_something(check, conclusion))
		return;
	nearest = find_nearest(check, &gpu);
	if (!nearest) {
		because(conclusion, "unknown",
			"Run as root, or as a member of group disk.",
			"nothing could be judged");
		return;
	}
	because(conclusion,
		nvfs_reason_name(nearest->verdicts[gpu].query.reason),
		nvfs_reason_remedy(nearest->verdicts[gpu].query.reason),
		"none of %u pairs goes direct; nearest is %s with gpu:%u, where %s",
		conclusion->pairs, nearest->path,
		check->gpus[gpu].gpu.index,
		nvfs_reason_text(nearest->verdicts[gpu].query.reason));
}

int check_status(const struct conclusion *conclusion)
{
	if (conclusion->missing)
		return TOOL_TROUBLE;
	return conclusion->direct ? TOOL_OK : TOOL_NO;
}
