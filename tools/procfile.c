// SPDX-License-Identifier: MIT
/* Read the files of /proc/nvfs. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "procfile.h"
#include "tool.h"

static FILE *open_file(const char *dir, const char *file)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return fopen(path, "re");
}

/*
 * Call a function for each line of a file, without its end; it returns 0 or a
 * negative errno value.
 */
static int each_line(const char *dir, const char *file,
		     int (*call)(char *line, void *data), void *data)
{
	FILE *in = open_file(dir, file);
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int ret = 0;

	if (!in)
		return -errno;
	while (!ret && (length = getline(&line, &size, in)) > 0) {
		if (line[length - 1] != '\n')
			ret = -EPROTO;
		line[length - 1] = '\0';
		if (!ret)
			ret = call(line, data);
	}
	if (!ret && ferror(in))
		ret = -EIO;
	free(line);
	fclose(in);
	return ret;
}

/* Room for one more in a list that grows by doubling. */
static int more(void **list, size_t nr, size_t size)
{
	void *bigger;

	if (nr & (nr - 1))
		return 0;
	bigger = reallocarray(*list, nr ? 2 * nr : 1, size);
	if (!bigger)
		return -ENOMEM;
	*list = bigger;
	return 0;
}

/* "read_bytes 4096", "block_refused NVFS_IO_DONE NVFS_IO_QUEUED 1" */
static int add_counter(char *line, void *data)
{
	struct counters *counters = data;
	char *value = strrchr(line, ' ');
	struct counter *counter;
	void *list = counters->list;
	char *end;

	if (!value || value == line || !isdigit((unsigned char)value[1]) ||
	    value - line >= (int)sizeof(counter->name))
		return -EPROTO;
	if (more(&list, counters->nr, sizeof(*counter)))
		return -ENOMEM;
	counters->list = list;
	*value++ = '\0';
	counter = &counters->list[counters->nr];
	strcpy(counter->name, line);
	errno = 0;
	counter->value = strtoull(value, &end, 10);
	if (*end || errno)
		return -EPROTO;
	counters->nr++;
	return 0;
}

int counters_read(const char *dir, struct counters *counters)
{
	int ret;

	memset(counters, 0, sizeof(*counters));
	counters->ns = now_ns();
	ret = each_line(dir, "stats", add_counter, counters);
	if (!ret)
		ret = each_line(dir, "io_stats", add_counter, counters);
	if (ret)
		counters_free(counters);
	return ret;
}

void counters_free(struct counters *counters)
{
	free(counters->list);
	memset(counters, 0, sizeof(*counters));
}

uint64_t counters_get(const struct counters *counters, const char *name)
{
	for (size_t i = 0; i < counters->nr; i++) {
		if (!strcmp(counters->list[i].name, name))
			return counters->list[i].value;
	}
	return 0;
}

uint64_t counters_grown(const struct counters *now,
			const struct counters *before, const char *name)
{
	uint64_t value = counters_get(now, name);
	uint64_t was = counters_get(before, name);

	return value > was ? value - was : 0;
}

int counter_is_level(const char *name)
{
	static const char *const levels[] = {
		"regions_live", "bytes_pinned_now", "files_open", "gpus_known",
		"maps_live", "read_inflight", "write_inflight",
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(name, levels[i]))
			return 1;
	}
	return 0;
}

/* Cut a line into words and pairs; pairs come last. */
static int parse_thing(struct thing *thing)
{
	char *rest = thing->line, *word;

	while ((word = strtok_r(NULL, " ", &rest))) {
		char *equals = strchr(word, '=');

		if (!equals && !thing->nr_keys && thing->nr_words < 4) {
			thing->words[thing->nr_words++] = word;
		} else if (equals && equals != word && thing->nr_keys < 32) {
			*equals = '\0';
			thing->keys[thing->nr_keys] = word;
			thing->values[thing->nr_keys++] = equals + 1;
		} else {
			return -EPROTO;
		}
	}
	return thing->nr_words ? 0 : -EPROTO;
}

static int add_thing(char *line, void *data)
{
	struct things *things = data;
	void *list = things->list;
	struct thing *thing;

	if (more(&list, things->nr, sizeof(*thing)))
		return -ENOMEM;
	things->list = list;
	thing = &things->list[things->nr];
	memset(thing, 0, sizeof(*thing));
	thing->line = strdup(line);
	if (!thing->line)
		return -ENOMEM;
	things->nr++;
	return parse_thing(thing);
}

int things_read(const char *dir, const char *file, struct things *things)
{
	int ret;

	memset(things, 0, sizeof(*things));
	ret = each_line(dir, file, add_thing, things);
	if (ret)
		things_free(things);
	return ret;
}

void things_free(struct things *things)
{
	for (size_t i = 0; i < things->nr; i++)
		free(things->list[i].line);
	free(things->list);
	memset(things, 0, sizeof(*things));
}

const char *thing_get(const struct thing *thing, const char *key)
{
	for (unsigned int i = 0; i < thing->nr_keys; i++) {
		if (!strcmp(thing->keys[i], key))
			return thing->values[i];
	}
	return "";
}
