// SPDX-License-Identifier: MIT
/* Words of the command line. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* The power of two that a suffix stands for; -1: no such suffix. */
static int suffix_shift(const char *text)
{
	static const char letters[] = "KMGT";
	const char *at;

	if (!*text || !strcmp(text, "B"))
		return 0;
	at = strchr(letters, toupper((unsigned char)*text));
	if (!at)
		return -1;
	if (text[1] && strcmp(text + 1, "iB") && strcmp(text + 1, "ib"))
		return -1;
	return 10 * (int)(at - letters + 1);
}

/*
 * The digits after the point, as a number of bytes below one unit of
 * 1 << @shift.  Nine digits are kept: more than any unit can tell apart that
 * people write.
 */
static int parse_fraction(const char **text, int shift, uint64_t *bytes)
{
	uint64_t value = 0, scale = 1;
	const char *p = *text;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (scale >= 1000000000)
			continue;
		value = value * 10 + (uint64_t)(*p - '0');
		scale *= 10;
	}
	*text = p;
	*bytes = (uint64_t)((__uint128_t)value * (1ULL << shift) / scale);
	return 0;
}

int parse_size(const char *text, uint64_t *size)
{
	const char *p = text, *fraction = NULL;
	uint64_t value = 0, rest = 0;
	int shift;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	if (*p == '.') {
		fraction = ++p;
		p += strspn(p, "0123456789");
	}
	shift = suffix_shift(p);
	if (shift < 0)
		return -EINVAL;
	/* Half a byte is nothing. */
	if (fraction && (!shift || parse_fraction(&fraction, shift, &rest)))
		return -EINVAL;
	if (value > UINT64_MAX >> shift)
		return -ERANGE;
	if (__builtin_add_overflow(value << shift, rest, size))
		return -ERANGE;
	return 0;
}

int parse_gpu(const char *text, unsigned int *gpu)
{
	unsigned int value = 0;

	if (strncmp(text, "gpu:", 4))
		return -ENOENT;
	text += 4;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		value = value * 10 + (unsigned int)(*text - '0');
		if (value > TOOL_MAX_GPU)
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	*gpu = value;
	return 0;
}

static const struct option long_options[] = {
	{ "hold", no_argument, NULL, 'H' },
	{ "bounce", no_argument, NULL, 'B' },
	{ "size", required_argument, NULL, 's' },
	{ "offset", required_argument, NULL, 'o' },
	{ "chunk", required_argument, NULL, 'c' },
	{ "threads", required_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ NULL, 0, NULL, 0 },
};

/* Which OPT_* allows this letter. */
static unsigned int group_of(int letter)
{
	switch (letter) {
	case 'H':
		return OPT_HOLD;
	case 'B':
		return OPT_BOUNCE;
	case 's':
	case 'o':
		return OPT_RANGE;
	case 'c':
	case 't':
		return OPT_TUNE;
	case 'j':
		return OPT_JSON;
	default:
		return OPT_QUIET;
	}
}

static int parse_number(int letter, const char *text, struct options *opts)
{
	uint64_t value;

	if (parse_size(text, &value))
		return -EINVAL;
	switch (letter) {
	case 's':
		opts->size = value;
		opts->have_size = true;
		return value <= INT64_MAX ? 0 : -EINVAL;
	case 'o':
		opts->offset = value;
		opts->have_offset = true;
		return value <= INT64_MAX ? 0 : -EINVAL;
	case 'c':
		opts->chunk = value;
		return value && value % 4096 == 0 && value <= INT64_MAX ?
			       0 : -EINVAL;
	default:
		opts->threads = (unsigned int)value;
		return value && value <= TOOL_MAX_THREADS ? 0 : -EINVAL;
	}
}

static void set_flag(int letter, struct options *opts)
{
	switch (letter) {
	case 'H':
		opts->hold = true;
		break;
	case 'B':
		opts->bounce = true;
		break;
	case 'j':
		opts->json = true;
		break;
	default:
		opts->quiet = true;
	}
}

int parse_options(int argc, char **argv, unsigned int known,
		  struct options *opts)
{
	int letter, index = 0;

	memset(opts, 0, sizeof(*opts));
	opts->chunk = TOOL_DEFAULT_CHUNK;
	opts->threads = TOOL_DEFAULT_THREADS;
	optind = 0;
	opterr = 0;
	while ((letter = getopt_long(argc, argv, "jq", long_options,
				     &index)) != -1) {
		if (letter == '?') {
			complain("%s: bad option '%s'; see: nvfs %s --help",
				 argv[0], argv[optind - 1], argv[0]);
			return -1;
		}
		if (!(group_of(letter) & known)) {
			complain("%s: does not take '%s'", argv[0],
				 argv[optind - 1]);
			return -1;
		}
		if (!strchr("soct", letter)) {
			set_flag(letter, opts);
		} else if (parse_number(letter, optarg, opts)) {
			complain("%s: bad value '%s' of --%s", argv[0], optarg,
				 long_options[index].name);
			return -1;
		}
	}
	return optind;
}
