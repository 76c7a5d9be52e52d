// SPDX-License-Identifier: MIT
/* nvfs stat: what the module counts, once or again and again. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cufile/stats_page.h"
#include "procfile.h"
#include "screen.h"
#include "stat_library.h"
#include "stat_more.h"
#include "tool.h"

/**
 * struct stat_options - what is asked for
 * @form: 't' for text, 'j' for JSON, 'm' for metrics, 'w' to watch
 * @pid: of this process only, or NULL
 * @reset: set all to 0
 */
struct stat_options {
	char form;
	bool reset;
	const char *pid;
	unsigned int interval_ms;
	unsigned int count;
	const char *dir;
};

static const char *const ways[2] = { "read", "write" };

static void print_table_line(const struct counters *counters,
			     const char *title, const char *what, bool bytes)
{
	printf("%-12s", title);
	for (int way = 0; way < 2; way++) {
		char name[64], text[24];
		uint64_t value;

		snprintf(name, sizeof(name), "%s%s", ways[way], what);
		value = counters_get(counters, name);
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)value);
		if (bytes)
			format_bytes(value, text, sizeof(text));
		printf(" %16s", text);
	}
	printf("\n");
}

static void print_text(const struct counters *counters)
{
	char pinned[16];

	format_bytes(counters_get(counters, "bytes_pinned_now"), pinned,
		     sizeof(pinned));
	printf("%llu regions live, %s pinned\n\n",
	       (unsigned long long)counters_get(counters, "regions_live"),
	       pinned);
	printf("%-12s %16s %16s\n", "", "read", "write");
	print_table_line(counters, "requests", "_ended", false);
	print_table_line(counters, "in flight", "_inflight", false);
	print_table_line(counters, "bytes", "_bytes", true);
	print_table_line(counters, "direct", "_direct_bytes", true);
	print_table_line(counters, "bounce", "_bounce_bytes", true);
	print_table_line(counters, "errors", "_errors", false);
	print_table_line(counters, "refused", "_refused", false);
	print_table_line(counters, "short", "_short", false);
	printf("\n");
	for (size_t i = 0; i < counters->nr; i++) {
		const struct counter *counter = &counters->list[i];

		if (strncmp(counter->name, "read_", 5) &&
		    strncmp(counter->name, "write_", 6) &&
		    !counter_is_level(counter->name))
			printf("%-28s %16llu\n", counter->name,
			       (unsigned long long)counter->value);
	}
}

static void print_json(const struct counters *counters,
		       const struct stat_more *more)
{
	printf("{\"cmd\":\"stat\",\"ns\":%llu,\"counters\":{",
	       (unsigned long long)counters->ns);
	for (size_t i = 0; i < counters->nr; i++) {
		printf("%s", i ? "," : "");
		json_string(stdout, counters->list[i].name);
		printf(":%llu", (unsigned long long)counters->list[i].value);
	}
	printf("}");
	stat_more_json(more);
	printf("}\n");
}

/*
 * "block_refused A B" is the metric nvfs_block_refused_total of the labels
 * from and to.
 */
static void print_metric(const struct counter *counter, const char *last)
{
	char name[sizeof(counter->name)], *from, *to = NULL;
	bool level = counter_is_level(counter->name);

	strcpy(name, counter->name);
	from = strchr(name, ' ');
	if (from) {
		*from++ = '\0';
		to = strchr(from, ' ');
		if (to)
			*to++ = '\0';
	}
	if (strncmp(last, name, strlen(name)) ||
	    (last[strlen(name)] && last[strlen(name)] != ' '))
		printf("# TYPE nvfs_%s%s %s\n", name, level ? "" : "_total",
		       level ? "gauge" : "counter");
	printf("nvfs_%s%s", name, level ? "" : "_total");
	if (from)
		printf("{from=\"%s\",to=\"%s\"}", from, to ? to : "");
	printf(" %llu\n", (unsigned long long)counter->value);
}

static void print_prometheus(const struct counters *counters)
{
	for (size_t i = 0; i < counters->nr; i++)
		print_metric(&counters->list[i],
			     i ? counters->list[i - 1].name : "");
}

/* "1", "0.25": seconds, from 50 ms to an hour; 0 when it is none. */
static unsigned int parse_interval(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (!isdigit((unsigned char)*text) || *end ||
	    !(value >= 0.05 && value <= 3600))
		return 0;
	return (unsigned int)(value * 1000 + 0.5);
}

static int bad(const char *what, const char *value)
{
	complain("stat: bad %s '%s'; see: nvfs stat --help", what, value);
	return -1;
}

static int parse_option(int letter, struct stat_options *opts)
{
	char *end;

	switch (letter) {
	case 'i':
		opts->interval_ms = parse_interval(optarg);
		return opts->interval_ms ? 0 :
		       bad("value of --interval", optarg);
	case 'n':
		errno = 0;
		opts->count = (unsigned int)strtoul(optarg, &end, 10);
		return isdigit((unsigned char)*optarg) && !*end && !errno &&
		       strlen(optarg) < 10 ? 0 :
		       bad("value of --count", optarg);
	case 'd':
		opts->dir = optarg;
		return 0;
	case 'r':
		opts->reset = true;
		return 0;
	case 'p':
		if (!*optarg || optarg[strspn(optarg, "0123456789")])
			return bad("process", optarg);
		opts->pid = optarg;
		return 0;
	default:
		if (opts->form != 't' && opts->form != letter) {
			complain("stat: --json, --prometheus and --watch exclude each other");
			return -1;
		}
		opts->form = (char)letter;
		return 0;
	}
}

static int parse(int argc, char **argv, struct stat_options *opts)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "prometheus", no_argument, NULL, 'm' },
		{ "watch", no_argument, NULL, 'w' },
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'd' },
		{ "pid", required_argument, NULL, 'p' },
		{ "reset", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	*opts = (struct stat_options){
		.form = 't', .interval_ms = 1000, .dir = PROC_DIR,
	};
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "jwi:n:p:", options,
				     NULL)) != -1) {
		if (letter == '?')
			return bad("option", argv[optind - 1]);
		if (parse_option(letter, opts))
			return -1;
	}
	if (optind < argc)
		return bad("operand", argv[optind]);
	if ((opts->pid && opts->form == 'w') ||
	    (opts->reset && (opts->pid || opts->form != 't'))) {
		complain("stat: --reset goes with nothing else, and --pid not with --watch");
		return -1;
	}
	return 0;
}

int complain_proc(const char *dir, int error)
{
	if (error == -ENOENT && !strcmp(dir, PROC_DIR))
		complain("there is no %s: the module is not loaded. Load it: modprobe nvfs",
			 dir);
	else if (error == -EPROTO)
		complain("%s: a file is not of the form that this command knows; are module and command of one version?",
			 dir);
	else
		complain("%s: %s (%s)", dir, strerror(-error),
			 errno_name(error));
	return TOOL_TROUBLE;
}

static void print_all(const struct stat_options *opts,
		      const struct counters *counters,
		      const struct stat_more *more)
{
	if (opts->form == 'j') {
		print_json(counters, more);
	} else if (opts->form == 'm') {
		print_prometheus(counters);
		stat_more_prometheus(more);
	} else {
		print_text(counters);
		stat_more_text(more);
	}
}

static int print_once(const struct stat_options *opts)
{
	struct counters counters;
	struct stat_more more;
	int ret = counters_read(opts->dir, &counters);

	if (ret)
		return complain_proc(opts->dir, ret);
	ret = stat_more_read(opts->dir, &more);
	if (!ret) {
		print_all(opts, &counters, &more);
		stat_more_free(&more);
	}
	counters_free(&counters);
	return ret ? complain_proc(opts->dir, ret) : TOOL_OK;
}

/* What the module has of it: how many lines, or -ENOENT: there is no module. */
static int print_usage(const struct stat_options *opts)
{
	struct stat_more more;
	int ret = access(opts->dir, F_OK) ? -errno : 0;
	size_t nr;

	if (!ret)
		ret = stat_more_read(opts->dir, &more);
	if (ret)
		return ret;
	nr = stat_process(&more, opts->pid, opts->form);
	if (nr && !stat_usage_is_on(&more))
		complain("stat: the module counts nothing; root switches it on: echo 1 >/sys/module/nvfs/parameters/usage");
	stat_more_free(&more);
	return (int)nr;
}

/* What libcufile has, but not of a directory that is not the module's. */
static int print_library(const struct stat_options *opts, bool more)
{
	struct cf_stats_page page;
	int ret = strcmp(opts->dir, PROC_DIR) ? 0 :
		  stat_library_read(opts->pid, &page);

	if (ret <= 0)
		return ret;
	if (more && opts->form != 'm')
		fputs(opts->form == 'j' ? "," : "\n", stdout);
	stat_library_print(&page, opts->pid, opts->form);
	return ret;
}

/* Neither has anything. */
static int complain_process(const char *pid, int module, int library)
{
	if (library == -ENOENT)
		complain("stat: there is no process %s", pid);
	else if (library < 0)
		complain("stat: process %s can't be looked at: %s (%s); it is not yours, or does not allow it",
			 pid, strerror(-library), errno_name(library));
	else if (module == -ENOENT)
		complain("stat: the module is not loaded, and no libcufile counts in process %s: it has none, has not opened it yet, or was not told to (profile.cufile_stats in its cufile.json, or cuFileSetStatsLevel() and cuFileStatsStart())",
			 pid);
	else
		complain("stat: there is no process %s that has the device open, or it is not yours; nor was libcufile seen to count in it (profile.cufile_stats in cufile.json)",
			 pid);
	return TOOL_NO;
}

static int print_process(const struct stat_options *opts)
{
	bool is_json = opts->form == 'j';
	int module, library;

	if (is_json)
		printf("{\"cmd\":\"stat\"");
	module = print_usage(opts);
	library = print_library(opts, is_json || module > 0);
	if (is_json)
		printf("}\n");
	if (module < 0 && (module != -ENOENT || strcmp(opts->dir, PROC_DIR)))
		return complain_proc(opts->dir, module);
	return module > 0 || library > 0 ? TOOL_OK :
	       complain_process(opts->pid, module, library);
}

/* As echo would, but the whole word at once and with words for what is wrong. */
static int reset(const char *dir)
{
	static const char word[] = "reset\n";
	char path[4096];
	int fd, error = 0;

	if (snprintf(path, sizeof(path), "%s/stats", dir) >= (int)sizeof(path))
		return complain_proc(dir, -ENAMETOOLONG);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		error = errno;
	else if (write(fd, word, strlen(word)) != (ssize_t)strlen(word))
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error == EACCES || error == EPERM)
		complain("stat: --reset is for root");
	else if (error)
		return complain_proc(dir, -error);
	return error ? TOOL_TROUBLE : TOOL_OK;
}

int cmd_stat(int argc, char **argv)
{
	struct stat_options opts;
	int ret;

	if (parse(argc, argv, &opts))
		return TOOL_TROUBLE;
	if (opts.reset)
		return reset(opts.dir);
	if (opts.pid)
		return print_process(&opts);
	if (opts.form != 'w')
		return print_once(&opts);
	if (!isatty(STDOUT_FILENO)) {
		complain("stat: --watch draws on a terminal, and standard output is none; try --json");
		return TOOL_TROUBLE;
	}
	setlocale(LC_CTYPE, "");
	ret = screen_run(opts.dir, opts.interval_ms, opts.count);
	return ret ? complain_proc(opts.dir, ret) : TOOL_OK;
}
