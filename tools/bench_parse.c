// SPDX-License-Identifier: MIT
/* The words of nvfs bench; many are gdsio's, too. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tool.h"

#define NR(table)	(sizeof(table) / sizeof((table)[0]))

enum {
	OPTION_DROP = 256,
	OPTION_MODE,
	OPTION_ROUTE,
	OPTION_FORCE
};

static const struct option long_options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "dir", required_argument, NULL, 'D' },
	{ "gpu", required_argument, NULL, 'd' },
	{ "threads", required_argument, NULL, 'w' },
	{ "size", required_argument, NULL, 's' },
	{ "offset", required_argument, NULL, 'o' },
	{ "block", required_argument, NULL, 'i' },
	{ "rw", required_argument, NULL, 'I' },
	{ "mode", required_argument, NULL, OPTION_MODE },
	{ "xfer", required_argument, NULL, 'x' },
	{ "depth", required_argument, NULL, 'B' },
	{ "time", required_argument, NULL, 'T' },
	{ "seed", required_argument, NULL, 'k' },
	{ "verify", no_argument, NULL, 'V' },
	{ "unaligned", no_argument, NULL, 'U' },
	{ "no-register", no_argument, NULL, 'b' },
	{ "buffered", no_argument, NULL, 'u' },
	{ "drop-cache", no_argument, NULL, OPTION_DROP },
	{ "route", required_argument, NULL, OPTION_ROUTE },
	{ "force", no_argument, NULL, OPTION_FORCE },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* u is only --buffered; m, O: gdsio's, taken where they mean what we do. */
static const char letters[] = ":f:D:d:w:s:o:i:I:x:B:T:k:m:n:O:p:P:J:RFVUbjqh";

static const char *const ops[] = {
	[BENCH_READ] = "read",
	[BENCH_WRITE] = "write",
	[BENCH_RANDREAD] = "randread",
	[BENCH_RANDWRITE] = "randwrite",
	[BENCH_VERIFY] = "verify",
};

static const char *const modes[] = {
	[BENCH_SYNC] = "sync",
	[BENCH_BATCH] = "batch",
	[BENCH_STREAM] = "stream",
};

static const char *const ways[] = {
	[BENCH_AUTO] = "auto",
	[BENCH_DIRECT] = "direct",
	[BENCH_HOST] = "host",
};

const char *bench_op_name(enum bench_op op)
{
	return ops[op];
}

const char *bench_mode_name(enum bench_mode mode)
{
	return modes[mode];
}

bool bench_writes(const struct bench_opts *opts)
{
	return opts->op == BENCH_WRITE || opts->op == BENCH_RANDWRITE;
}

static int find_word(const char *const *words, unsigned int nr,
		     const char *text)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (!strcmp(words[i], text))
			return (int)i;
	}
	return -1;
}

static int parse_count(const char *text, uint64_t min, uint64_t max,
		       uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return *end || errno || *value < min || *value > max ? -EINVAL : 0;
}

static int parse_unsigned(const char *text, unsigned int min, unsigned int max,
			  unsigned int *to)
{
	uint64_t value;
	int ret = parse_count(text, min, max, &value);

	if (!ret)
		*to = (unsigned int)value;
	return ret;
}

static int parse_time(const char *text, uint64_t *ns)
{
	char *end;
	double seconds;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	seconds = strtod(text, &end);
	if (!strcmp(end, "s"))
		end++;
	if (*end || !isfinite(seconds) || seconds < 0.01 || seconds > 86400)
		return -EINVAL;
	*ns = (uint64_t)(seconds * 1e9);
	return 0;
}

static int add_size(struct bench_opts *opts, uint64_t size)
{
	if (!size || size > BENCH_MAX_BLOCK)
		return -EINVAL;
	if (opts->nr_sizes == BENCH_MAX_SIZES)
		return -E2BIG;
	opts->sizes[opts->nr_sizes++] = size;
	return 0;
}

/* From @min to @max, by adding @step or, if it begins with x, multiplying. */
static int add_range(struct bench_opts *opts, char *min, char *max, char *step)
{
	bool times = *step == 'x';
	uint64_t at, last, by;
	int ret;

	if (parse_size(min, &at) || parse_size(max, &last) ||
	    parse_size(step + times, &by) || !at || at > last ||
	    last > BENCH_MAX_BLOCK || by < (times ? 2 : 1))
		return -EINVAL;
	while (at <= last) {
		ret = add_size(opts, at);
		if (ret)
			return ret;
		/* Both are at most 4G where it matters. */
		at = times ? (by > last ? last + 1 : at * by) :
			     (by > last ? last + 1 : at + by);
	}
	return 0;
}

int bench_parse_sizes(const char *text, struct bench_opts *opts)
{
	char copy[1024], *rest = copy, *word;
	int ret;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	opts->nr_sizes = 0;
	while ((word = strsep(&rest, ","))) {
		char *max = strchr(word, ':');
		char *step = max ? strchr(max + 1, ':') : NULL;
		uint64_t size;

		if (max && !step)
			return -EINVAL;
		if (max) {
			*max++ = '\0';
			*step++ = '\0';
			ret = add_range(opts, word, max, step);
		} else {
			ret = parse_size(word, &size);
			if (!ret)
				ret = add_size(opts, size);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* gdsio's kinds of transfer, as far as they are ours. */
static int parse_xfer(const char *text, struct bench_opts *opts)
{
	static const struct {
		const char *name;
		enum bench_mode mode;
		enum bench_way way;
		bool cpu;
	} kinds[] = {
		{ "0", BENCH_SYNC, BENCH_AUTO, false },
		{ "1", BENCH_SYNC, BENCH_AUTO, true },
		{ "2", BENCH_SYNC, BENCH_HOST, false },
		{ "5", BENCH_STREAM, BENCH_AUTO, false },
		{ "6", BENCH_BATCH, BENCH_AUTO, false },
	};

	for (size_t i = 0; i < NR(kinds); i++) {
		if (strcmp(kinds[i].name, text))
			continue;
		opts->mode = kinds[i].mode;
		opts->way = kinds[i].way;
		opts->cpu_xfer = kinds[i].cpu;
		return 0;
	}
	return -EINVAL;
}

static int parse_word(int letter, const char *text, struct bench_opts *opts)
{
	int at;

	switch (letter) {
	case 'I':
		at = find_word(ops, NR(ops), text);
		/* gdsio's numbers are in the same order. */
		if (at < 0 && *text >= '0' && *text <= '3' && !text[1])
			at = *text - '0';
		if (at >= 0)
			opts->op = (enum bench_op)at;
		return at;
	case OPTION_MODE:
		at = find_word(modes, NR(modes), text);
		if (at >= 0)
			opts->mode = (enum bench_mode)at;
		return at;
	default:
		at = find_word(ways, NR(ways), text);
		if (at >= 0)
			opts->way = (enum bench_way)at;
		return at;
	}
}

static int parse_bytes(const char *text, uint64_t *bytes)
{
	int ret = parse_size(text, bytes);

	return ret ? ret : *bytes > INT64_MAX ? -ERANGE : 0;
}

static int parse_value(int letter, const char *text, struct bench_opts *opts)
{
	switch (letter) {
	case 'f':
	case 'D':
		opts->path = text;
		opts->is_dir = letter == 'D';
		return *text ? 0 : -EINVAL;
	case 'd':
		return strncmp(text, "gpu:", 4) ?
		       parse_unsigned(text, 0, TOOL_MAX_GPU, &opts->gpu) :
		       parse_gpu(text, &opts->gpu);
	case 'w':
		return parse_unsigned(text, 1, BENCH_MAX_THREADS,
				      &opts->threads);
	case 'B':
		return parse_unsigned(text, 1, BENCH_MAX_DEPTH, &opts->depth);
	case 's':
		return parse_bytes(text, &opts->size) ?: opts->size ? 0 : -EINVAL;
	case 'o':
		return parse_bytes(text, &opts->offset);
	case 'i':
		return bench_parse_sizes(text, opts);
	case 'T':
		return parse_time(text, &opts->time_ns);
	case 'k':
		return parse_count(text, 0, UINT64_MAX, &opts->seed);
	case 'x':
		return parse_xfer(text, opts);
	default:
		return parse_word(letter, text, opts) < 0 ? -EINVAL : 0;
	}
}

/* Options of gdsio of which some would have to mean something else here. */
static int take_foreign(int letter, const char *text, struct bench_opts *opts)
{
	if (letter == 'O') {
		opts->buffered = !strcmp(text, "1");
		return strcmp(text, "0") && strcmp(text, "1") ? -EINVAL : 0;
	}
	if (letter == 'n') {
		opts->has_node = strcmp(text, "-1");
		return opts->has_node ? parse_unsigned(text, 0, 1023,
						       &opts->node) : 0;
	}
	/* Memory of the GPU, or of the host that nobody has pinned. */
	if (letter != 'm' || (strcmp(text, "0") && strcmp(text, "3") &&
			      strcmp(text, "4")))
		return -EINVAL;
	opts->cpu_memory = *text != '0';
	return 0;
}

static bool take_flag(int letter, struct bench_opts *opts)
{
	switch (letter) {
	case 'V':
		opts->verify = true;
		return true;
	case 'U':
		opts->unaligned = BENCH_UNALIGNED;
		return true;
	case 'b':
		opts->no_register = true;
		return true;
	case 'u':
		opts->buffered = true;
		return true;
	case 'j':
		opts->json = true;
		return true;
	case 'q':
		opts->quiet = true;
		return true;
	case OPTION_DROP:
		opts->drop = true;
		return true;
	case OPTION_FORCE:
		opts->force = true;
		return true;
	}
	return false;
}

static const char *name_of(int letter)
{
	static char name[3] = "-?";

	for (size_t i = 0; long_options[i].name; i++) {
		if (long_options[i].val == letter)
			return long_options[i].name;
	}
	name[1] = (char)letter;
	return name;
}

static void say_usage(void)
{
	complain("usage: nvfs bench [options] FILE [gpu:N]; see: nvfs bench --help");
}

static int take_option(int letter, char **argv, struct bench_opts *opts)
{
	int ret;

	if (letter == ':' || letter == '?') {
		complain(letter == ':' ? "bench: '%s' needs a value" :
					 "bench: no option '%s'; see: nvfs bench --help",
			 argv[optind - 1]);
		return -1;
	}
	if (letter == 'h') {
		say_usage();
		return -1;
	}
	if (take_flag(letter, opts))
		return 0;
	if (strchr("pPJRF", letter)) {
		complain("bench: gdsio's -%c is not offered%s", letter,
			 letter == 'R' || letter == 'F' ?
			 ", nor needed: what is written does not compress" : "");
		return -1;
	}
	ret = strchr("Omn", letter) ? take_foreign(letter, optarg, opts) :
					 parse_value(letter, optarg, opts);
	if (ret == -E2BIG)
		complain("bench: more than %u block sizes", BENCH_MAX_SIZES);
	else if (ret)
		complain("bench: %s does not take '%s'; see: nvfs bench --help",
			 name_of(letter), optarg);
	return ret ? -1 : 0;
}

static int take_operands(int nr, char **words, struct bench_opts *opts)
{
	if (nr && !opts->path) {
		opts->path = *words++;
		nr--;
	}
	if (nr && !parse_gpu(*words, &opts->gpu))
		nr--;
	else if (nr)
		words++;
	if (nr) {
		complain("bench: what is '%s'?", words[-1]);
		return -1;
	}
	if (opts->path)
		return 0;
	say_usage();
	return -1;
}

/* What does not go together. */
static int check(struct bench_opts *opts)
{
	if (opts->op == BENCH_VERIFY)
		opts->verify = true;
	opts->cpu = opts->cpu_xfer || opts->cpu_memory;
	if (!opts->depth)
		opts->depth = opts->mode == BENCH_SYNC ? 1 : 32;
	if (opts->mode == BENCH_SYNC && opts->depth > 1) {
		complain("bench: a thread has one synchronous request at a time: more threads, or --mode batch or stream");
		return -1;
	}
	if (opts->cpu && opts->mode == BENCH_STREAM) {
		complain("bench: a stream is a GPU's, and host memory was asked for");
		return -1;
	}
	if (opts->cpu && opts->way != BENCH_AUTO) {
		complain("bench: --route is of GPU memory, and host memory was asked for");
		return -1;
	}
	if (opts->op == BENCH_VERIFY && opts->time_ns) {
		complain("bench: verify goes over the file once: without --time");
		return -1;
	}
	if (opts->size && opts->size <= opts->unaligned) {
		complain("bench: --size is too small");
		return -1;
	}
	if (opts->offset > INT64_MAX - opts->size) {
		complain("bench: --offset and --size go beyond what a file can have");
		return -1;
	}
	return 0;
}

int bench_parse(int argc, char **argv, struct bench_opts *opts)
{
	int letter;

	memset(opts, 0, sizeof(*opts));
	opts->threads = TOOL_DEFAULT_THREADS;
	opts->sizes[0] = 1 << 20;
	opts->nr_sizes = 1;
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, letters, long_options,
				     NULL)) != -1) {
		if (take_option(letter, argv, opts))
			return -1;
	}
	if (take_operands(argc - optind, argv + optind, opts))
		return -1;
	return check(opts);
}
