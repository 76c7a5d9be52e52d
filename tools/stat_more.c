// SPDX-License-Identifier: MIT
/* nvfs stat: how long requests took, and who made them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stat_more.h"
#include "tool.h"

/* What a module writes that knows no bound. */
#define NO_BOUND	"18446744073709551615"

static int read_if_there(const char *dir, const char *file,
			 struct things *things)
{
	int ret = things_read(dir, file, things);

	return ret == -ENOENT ? 0 : ret;
}

int stat_more_read(const char *dir, struct stat_more *more)
{
	int ret = read_if_there(dir, "latency", &more->latency);

	if (ret)
		return ret;
	ret = read_if_there(dir, "usage", &more->usage);
	if (ret)
		things_free(&more->latency);
	return ret;
}

void stat_more_free(struct stat_more *more)
{
	things_free(&more->latency);
	things_free(&more->usage);
}

static bool is_counted(const struct thing *thing)
{
	return thing->nr_words == 2 && thing->nr_keys;
}

/* Has the thing moved, or tried to? */
static bool is_used(const struct thing *thing)
{
	return is_counted(thing) &&
	       (strcmp(thing_get(thing, "read_requests"), "0") ||
		strcmp(thing_get(thing, "write_requests"), "0"));
}

static uint64_t number_of(const struct thing *thing, const char *key)
{
	return strtoull(thing_get(thing, key), NULL, 10);
}

static void format_ns(const char *ns, char *text, size_t size)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = strtod(ns, NULL);
	unsigned int unit = 0;

	if (!strcmp(ns, NO_BOUND)) {
		snprintf(text, size, "-");
		return;
	}
	for (; value >= 1000 && unit < 3; unit++)
		value /= 1000;
	snprintf(text, size, "%.1f %s", value, units[unit]);
}

static void latency_text(const struct things *latency)
{
	bool title = false;

	for (size_t i = 0; i < latency->nr; i++) {
		const struct thing *thing = &latency->list[i];
		char from[16], below[24];

		if (!is_counted(thing))
			continue;
		if (!title)
			printf("\n%-12s %16s %16s %16s\n", "latency", "of at least",
			       "shorter than", "requests");
		title = true;
		format_bytes(number_of(thing, "from_bytes"), from, sizeof(from));
		format_ns(thing_get(thing, "below_ns"), below, sizeof(below));
		printf("%-12s %16s %16s %16s\n", thing->words[1], from, below,
		       thing_get(thing, "requests"));
	}
}

static void usage_line(const struct thing *thing)
{
	char read[16], written[16];

	format_bytes(number_of(thing, "read_bytes"), read, sizeof(read));
	format_bytes(number_of(thing, "write_bytes"), written, sizeof(written));
	printf("%-7s %-14s %10s %12s %10s %12s %8s %8s\n", thing->words[0],
	       thing->words[1], thing_get(thing, "read_requests"), read,
	       thing_get(thing, "write_requests"), written,
	       thing_get(thing, "errors"), thing_get(thing, "refused"));
}

static void usage_title(void)
{
	printf("%-22s %10s %12s %10s %12s %8s %8s\n", "usage", "reads", "bytes",
	       "writes", "bytes", "errors", "refused");
}

static void usage_text(const struct things *usage)
{
	bool title = false;

	for (size_t i = 0; i < usage->nr; i++) {
		if (!is_used(&usage->list[i]))
			continue;
		if (!title) {
			printf("\n");
			usage_title();
		}
		title = true;
		usage_line(&usage->list[i]);
	}
}

void stat_more_text(const struct stat_more *more)
{
	latency_text(&more->latency);
	usage_text(&more->usage);
}

/* A thing as an object: names for its words, then its numbers. */
static void thing_json(const struct thing *thing, const char *first,
		       const char *second)
{
	const char *comma = "";

	printf("{");
	if (first) {
		printf("\"%s\":", first);
		json_string(stdout, thing->words[0]);
		comma = ",";
	}
	printf("%s\"%s\":", comma, second);
	json_string(stdout, thing->words[1]);
	for (unsigned int i = 0; i < thing->nr_keys; i++) {
		printf(",");
		json_string(stdout, thing->keys[i]);
		if (strcmp(thing->values[i], NO_BOUND))
			printf(":%" PRIu64, number_of(thing, thing->keys[i]));
		else
			printf(":null");
	}
	printf("}");
}

static void things_json(const struct things *things, const char *key,
			const char *first, const char *second)
{
	const char *comma = "";

	printf(",\"%s\":[", key);
	for (size_t i = 0; i < things->nr; i++) {
		if (!is_counted(&things->list[i]))
			continue;
		printf("%s", comma);
		thing_json(&things->list[i], first, second);
		comma = ",";
	}
	printf("]");
}

void stat_more_json(const struct stat_more *more)
{
	things_json(&more->latency, "latency", NULL, "direction");
	things_json(&more->usage, "usage", "kind", "which");
}

static void latency_metrics(const struct things *latency)
{
	bool title = false;

	for (size_t i = 0; i < latency->nr; i++) {
		const struct thing *thing = &latency->list[i];

		if (!is_counted(thing))
			continue;
		if (!title)
			printf("# TYPE nvfs_latency_requests_total counter\n");
		title = true;
		printf("nvfs_latency_requests_total{direction=\"%s\",from_bytes=\"%s\",below_ns=\"%s\"} %s\n",
		       thing->words[1], thing_get(thing, "from_bytes"),
		       thing_get(thing, "below_ns"),
		       thing_get(thing, "requests"));
	}
}

/* One metric, of all things that have it */
static void usage_metric(const struct things *usage, const char *key)
{
	bool title = false;

	for (size_t i = 0; i < usage->nr; i++) {
		const struct thing *thing = &usage->list[i];

		if (!is_counted(thing) || !*thing_get(thing, key))
			continue;
		if (!title)
			printf("# TYPE nvfs_usage_%s_total counter\n", key);
		title = true;
		printf("nvfs_usage_%s_total{kind=\"%s\",which=\"%s\"", key,
		       thing->words[0], thing->words[1]);
		/* one process may have been several users */
		if (*thing_get(thing, "uid"))
			printf(",uid=\"%s\"", thing_get(thing, "uid"));
		printf("} %s\n", thing_get(thing, key));
	}
}

static void usage_metrics(const struct things *usage)
{
	static const char *const keys[] = {
		"read_requests", "read_bytes", "read_direct_bytes",
		"write_requests", "write_bytes", "write_direct_bytes", "errors",
		"refused",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		usage_metric(usage, keys[i]);
}

void stat_more_prometheus(const struct stat_more *more)
{
	latency_metrics(&more->latency);
	usage_metrics(&more->usage);
}

bool stat_usage_is_on(const struct stat_more *more)
{
	for (size_t i = 0; i < more->usage.nr; i++) {
		const struct thing *thing = &more->usage.list[i];

		if (!thing->nr_keys && thing->nr_words == 2 &&
		    !strcmp(thing->words[0], "counting"))
			return !strcmp(thing->words[1], "yes");
	}
	return false;
}

/* The lines of a process, moved together to the front of @usage. */
static struct things process_lines(const struct things *usage, const char *pid)
{
	struct things mine = { .list = usage->list };

	for (size_t i = 0; i < usage->nr; i++) {
		struct thing thing = usage->list[i];

		if (!is_counted(&thing) || strcmp(thing.words[0], "process") ||
		    strcmp(thing.words[1], pid))
			continue;
		usage->list[i] = mine.list[mine.nr];
		mine.list[mine.nr++] = thing;
	}
	return mine;
}

size_t stat_process(struct stat_more *more, const char *pid, char form)
{
	const struct things mine = process_lines(&more->usage, pid);

	if (!mine.nr)
		return 0;
	if (form == 'm') {
		usage_metrics(&mine);
	} else if (form == 'j') {
		things_json(&mine, "usage", "kind", "which");
	} else {
		usage_title();
		for (size_t i = 0; i < mine.nr; i++)
			usage_line(&mine.list[i]);
	}
	return mine.nr;
}
