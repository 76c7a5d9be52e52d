// SPDX-License-Identifier: MIT
/* nvfs devices, nvfs peers: what there is, and what is near to what. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "procfile.h"
#include "tool.h"

#define MAX_COLUMNS	64

/* Options of both; false after a message. */
static bool parse(int argc, char **argv, bool *json, const char **dir)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "from", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	*json = false;
	*dir = PROC_DIR;
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "j", options, NULL)) != -1) {
		if (letter == '?')
			break;
		if (letter == 'd')
			*dir = optarg;
		else
			*json = true;
	}
	if (letter == -1 && optind == argc)
		return true;
	complain("%s: bad argument '%s'; see: nvfs %s --help", argv[0],
		 argv[letter == -1 ? optind : optind - 1], argv[0]);
	return false;
}

/* A line of the file as one object; all values are strings, as they are. */
static void print_json(const char *cmd, const struct thing *thing,
		       const char *const names[])
{
	printf("{\"cmd\":\"%s\"", cmd);
	for (unsigned int i = 0; i < thing->nr_words && names[i]; i++) {
		printf(",\"%s\":", names[i]);
		json_string(stdout, thing->words[i]);
	}
	for (unsigned int i = 0; i < thing->nr_keys; i++) {
		printf(",");
		json_string(stdout, thing->keys[i]);
		printf(":");
		json_string(stdout, thing->values[i]);
	}
	printf("}\n");
}

/* "gen4 x16" */
static void format_link(const struct thing *thing, char *text, size_t size)
{
	const char *gen = thing_get(thing, "gen");

	if (!strcmp(gen, "0") || !*gen)
		snprintf(text, size, "-");
	else
		snprintf(text, size, "gen%s x%s", gen,
			 thing_get(thing, "width"));
}

int cmd_devices(int argc, char **argv)
{
	static const char *const names[] = { "kind", "address", NULL };
	struct things things;
	const char *dir;
	bool json;
	int ret;

	if (!parse(argc, argv, &json, &dir))
		return TOOL_TROUBLE;
	ret = things_read(dir, "devices", &things);
	if (ret)
		return complain_proc(dir, ret);
	if (!json)
		printf("%-7s %-15s %-12s %4s %-9s %-12s %s\n", "kind",
		       "address", "driver", "node", "link", "iommu", "usable");
	for (size_t i = 0; i < things.nr; i++) {
		const struct thing *thing = &things.list[i];
		char link[32];

		if (json) {
			print_json("devices", thing, names);
			continue;
		}
		format_link(thing, link, sizeof(link));
		printf("%-7s %-15s %-12s %4s %-9s %-12s %s\n", thing->words[0],
		       thing->nr_words > 1 ? thing->words[1] : "?",
		       thing_get(thing, "driver"), thing_get(thing, "node"),
		       link, thing_get(thing, "iommu"),
		       thing_get(thing, "fit"));
	}
	things_free(&things);
	return TOOL_OK;
}

static bool is_peer(const struct thing *thing)
{
	return !strcmp(thing->words[0], "peer") && thing->nr_words == 3;
}

/* The GPUs, in the order of the file. */
static unsigned int find_columns(const struct things *things,
				 const char *columns[])
{
	unsigned int nr = 0;

	for (size_t i = 0; i < things->nr; i++) {
		const struct thing *thing = &things->list[i];

		if (is_peer(thing) && nr < MAX_COLUMNS &&
		    (!nr || strcmp(columns[nr - 1], thing->words[1])))
			columns[nr++] = thing->words[1];
	}
	return nr;
}

static void print_cell(const struct things *things, const char *gpu,
		       const char *drive)
{
	char text[64] = "?";

	for (size_t i = 0; i < things->nr; i++) {
		const struct thing *thing = &things->list[i];

		if (!is_peer(thing) || strcmp(thing->words[1], gpu) ||
		    strcmp(thing->words[2], drive))
			continue;
		if (!strcmp(thing_get(thing, "reach"), "yes"))
			snprintf(text, sizeof(text), "%s %s",
				 thing_get(thing, "rank"),
				 thing_get(thing, "distance"));
		else
			snprintf(text, sizeof(text), "(%s)",
				 thing_get(thing, "reason"));
	}
	printf("  %-14s", text);
}

/* Rows are drives: there are more of them. */
static void print_matrix(const struct things *things)
{
	const char *columns[MAX_COLUMNS];
	unsigned int nr = find_columns(things, columns);

	printf("%-14s", "");
	for (unsigned int i = 0; i < nr; i++)
		printf("  %-14s", columns[i]);
	printf("\n");
	for (size_t row = 0; row < things->nr; row++) {
		const struct thing *thing = &things->list[row];

		/* The first GPU's peers are all drives. */
		if (!is_peer(thing) || strcmp(thing->words[1], columns[0]))
			continue;
		printf("%-14s", thing->words[2]);
		for (unsigned int i = 0; i < nr; i++)
			print_cell(things, columns[i], thing->words[2]);
		printf("\n");
	}
}

int cmd_peers(int argc, char **argv)
{
	static const char *const names[] = { "kind", "gpu", "drive", NULL };
	struct things things;
	const char *dir;
	bool json;
	int ret;

	if (!parse(argc, argv, &json, &dir))
		return TOOL_TROUBLE;
	ret = things_read(dir, "peers", &things);
	if (ret)
		return complain_proc(dir, ret);
	if (json) {
		for (size_t i = 0; i < things.nr; i++)
			print_json("peers", &things.list[i], names);
	} else if (!things.nr) {
		printf("no pair of a GPU and a drive\n");
	} else {
		print_matrix(&things);
	}
	things_free(&things);
	return TOOL_OK;
}
