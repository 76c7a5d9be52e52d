// SPDX-License-Identifier: MIT
/*
 * cufile.json: JSON with comments.  What is not known is passed over, but not
 * without a word, as there are keys for file systems and network cards that
 * nothing here looks at; what is known must be of the right type and in its
 * range.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cufile_priv.h"

#define MAX_FILE	(1U << 20)
#define MAX_DEPTH	32
#define MAX_KEY		128

struct parse {
	struct cf_config *config;
	struct json_object *root;
	char *why;
	size_t size;
};

__attribute__((format(printf, 3, 4)))
static int complain(struct parse *p, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->why, p->size, fmt, args);
	va_end(args);
	return err;
}

/* What is at a key with dots; NULL when there is nothing. */
static struct json_object *find(struct parse *p, const char *key)
{
	struct json_object *at = p->root;
	char part[MAX_KEY];

	while (at && *key) {
		size_t n = strcspn(key, ".");

		if (n >= sizeof(part) ||
		    !json_object_is_type(at, json_type_object))
			return NULL;
		memcpy(part, key, n);
		part[n] = '\0';
		if (!json_object_object_get_ex(at, part, &at))
			return NULL;
		key += n + (key[n] == '.');
	}
	return at;
}

static struct json_object *find_either(struct parse *p, const char *key,
				       const char *const alias[2])
{
	struct json_object *found = find(p, key);

	for (int i = 0; i < 2 && !found && alias[i]; i++)
		found = find(p, alias[i]);
	return found;
}

static int get_size(struct parse *p, const char *key, struct json_object *from,
		    size_t min, size_t max, size_t *value)
{
	int64_t number;

	if (!json_object_is_type(from, json_type_int))
		return complain(p, -EINVAL, "%s: an integer is expected", key);
	number = json_object_get_int64(from);
	if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
		return complain(p, -ERANGE, "%s: %lld is not in %zu..%zu", key,
				(long long)number, min, max);
	*value = (size_t)number;
	return 0;
}

static int parse_sizes(struct parse *p)
{
	for (unsigned int i = 0; i < CF_SIZES; i++) {
		const struct cf_size_param *param = &cf_size_params[i];
		struct json_object *from = find_either(p, param->key,
						       param->alias);
		int ret;

		if (!from)
			continue;
		ret = get_size(p, param->key, from, param->min, param->max,
			       &p->config->size[i]);
		if (ret)
			return ret;
	}
	return 0;
}

static int parse_bools(struct parse *p, const struct cf_bool_param *params,
		       int nr, bool *values)
{
	for (int i = 0; i < nr; i++) {
		const struct cf_bool_param *param = &params[i];
		struct json_object *from = find_either(p, param->key,
						       param->alias);

		if (!from)
			continue;
		if (!json_object_is_type(from, json_type_boolean))
			return complain(p, -EINVAL,
					"%s: true or false is expected",
					param->key);
		values[i] = json_object_get_boolean(from);
	}
	return 0;
}

static int parse_strings(struct parse *p)
{
	for (int i = 0; i < CF_STRINGS; i++) {
		const char *key = cf_string_params[i].key;
		struct json_object *from = key ? find(p, key) : NULL;
		size_t length;

		if (!from)
			continue;
		if (!json_object_is_type(from, json_type_string))
			return complain(p, -EINVAL, "%s: a string is expected",
					key);
		length = (size_t)json_object_get_string_len(from);
		if (length >= CF_MAX_STRING ||
		    strlen(json_object_get_string(from)) != length)
			return complain(p, -ERANGE, "%s: too long", key);
		if (i == CUFILE_PARAM_LOGGING_LEVEL &&
		    !cf_log_level_known(json_object_get_string(from)))
			return complain(p, -ERANGE, "%s: no such level", key);
		memcpy(p->config->text[i], json_object_get_string(from),
		       length + 1);
	}
	return 0;
}

/* An array of numbers; its length, 0 when it is not there. */
static int parse_array(struct parse *p, const char *key, size_t *values)
{
	struct json_object *from = find(p, key);
	size_t nr;

	if (!from)
		return 0;
	if (!json_object_is_type(from, json_type_array))
		return complain(p, -EINVAL, "%s: an array is expected", key);
	nr = json_object_array_length(from);
	if (!nr || nr > CF_MAX_SLABS)
		return complain(p, -ERANGE, "%s: 1 to %d numbers are expected",
				key, CF_MAX_SLABS);
	for (size_t i = 0; i < nr; i++) {
		int ret = get_size(p, key, json_object_array_get_idx(from, i),
				   1, UINT32_MAX, &values[i]);

		if (ret)
			return ret;
	}
	return (int)nr;
}

static int parse_slabs(struct parse *p, const char *size_key,
		       const char *count_key, struct cf_slabs *slabs)
{
	struct cf_slabs found = { 0 };
	int sizes = parse_array(p, size_key, found.size);
	int counts;

	if (sizes < 0)
		return sizes;
	counts = parse_array(p, count_key, found.count);
	if (counts < 0)
		return counts;
	if (sizes != counts)
		return complain(p, -EINVAL, "%s and %s differ in length",
				size_key, count_key);
	found.nr = sizes;
	if (found.nr)
		*slabs = found;
	return 0;
}

static int parse_log_size(struct parse *p)
{
	struct json_object *from = find(p, "logging.max_file_size_mb");
	int64_t mb;

	if (!from)
		return 0;
	if (!json_object_is_type(from, json_type_int))
		return complain(p, -EINVAL,
				"logging.max_file_size_mb: an integer is expected");
	mb = json_object_get_int64(from);
	if (mb != -1 && (mb < 1 || mb > 4096))
		return complain(p, -ERANGE,
				"logging.max_file_size_mb: -1 or 1..4096 is expected");
	p->config->log_size_mb = (long)mb;
	return 0;
}

/*
 * At least one byte and less than @size, none of them a control character: it
 * goes to logs and terminals.  False: it is not so.
 */
static bool copy_string(struct json_object *from, char *to, size_t size)
{
	size_t length;

	if (!json_object_is_type(from, json_type_string))
		return false;
	length = (size_t)json_object_get_string_len(from);
	if (!length || length >= size)
		return false;
	memcpy(to, json_object_get_string(from), length + 1);
	for (size_t i = 0; i < length; i++) {
		if (iscntrl((unsigned char)to[i]))
			return false;
	}
	return true;
}

static int parse_denied(struct parse *p, const char *section,
			enum cf_deny_kind kind)
{
	struct cf_deny *deny = &p->config->deny;
	struct json_object *from;
	size_t nr;
	char key[40];

	snprintf(key, sizeof(key), "%s.%s", section, cf_deny_names[kind]);
	from = find(p, key);
	if (!from)
		return 0;
	if (!json_object_is_type(from, json_type_array))
		return complain(p, -EINVAL, "%s: an array is expected", key);
	nr = json_object_array_length(from);
	if (nr > CF_MAX_DENY - deny->nr[kind])
		return complain(p, -ERANGE, "%s: more than %u entries", key,
				CF_MAX_DENY);
	for (size_t i = 0; i < nr; i++) {
		char *entry = deny->entry[kind][deny->nr[kind]++];

		if (!copy_string(json_object_array_get_idx(from, i), entry,
				 CF_DENY_SIZE))
			return complain(p, -EINVAL,
					"%s: text of 1 to %u bytes is expected",
					key, CF_DENY_SIZE - 1);
		if (kind == CF_DENY_MOUNTS && *entry != '/')
			return complain(p, -EINVAL,
					"%s: \"%s\" does not begin with /", key,
					entry);
	}
	return 0;
}

/* The older name of the section, too: what either says is forbidden. */
static int parse_deny(struct parse *p)
{
	int ret = 0;

	for (int kind = 0; !ret && kind < CF_DENY_KINDS; kind++) {
		ret = parse_denied(p, "denylist", (enum cf_deny_kind)kind);
		if (!ret)
			ret = parse_denied(p, "blacklist",
					   (enum cf_deny_kind)kind);
	}
	return ret;
}

/* Where the log is comes first: it shall tell what is wrong with the rest. */
static int apply(struct parse *p)
{
	int ret = parse_strings(p);

	if (!ret)
		ret = parse_log_size(p);
	if (!ret)
		ret = parse_sizes(p);
	if (!ret)
		ret = parse_bools(p, cf_bool_params, CF_BOOLS,
				  p->config->flag);
	if (!ret)
		ret = parse_slabs(p, "properties.posix_pool_slab_size_kb",
				  "properties.posix_pool_slab_count",
				  &p->config->slabs[0]);
	if (!ret)
		ret = parse_slabs(p,
			"properties.gpu_bounce_buffer_slab_config.slab_size_kb",
			"properties.gpu_bounce_buffer_slab_config.slab_count",
			&p->config->slabs[1]);
	if (!ret)
		ret = parse_deny(p);
	return ret ? ret : parse_bools(p, cf_own_params, CF_OWN,
				       p->config->own);
}

/* Nothing but white space and comments may follow the value. */
static bool only_space(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length) {
		if (strchr(" \t\r\n", text[i]) && text[i]) {
			i++;
		} else if (i + 1 < length && text[i] == '/' &&
			   text[i + 1] == '/') {
			while (i < length && text[i] != '\n')
				i++;
		} else if (i + 1 < length && text[i] == '/' &&
			   text[i + 1] == '*') {
			for (i += 2; i + 1 < length; i++)
				if (text[i] == '*' && text[i + 1] == '/')
					break;
			if (i + 1 >= length)
				return false;
			i += 2;
		} else {
			return false;
		}
	}
	return true;
}

int cf_config_parse(struct cf_config *config, const char *text, size_t length,
		    char *why, size_t size)
{
	struct parse p = { .config = config, .why = why, .size = size };
	struct json_tokener *tokener;
	size_t end;
	int ret;

	if (length > MAX_FILE)
		return complain(&p, -EFBIG, "more than 1 MiB");
	if (only_space(text, length))
		return 0;
	tokener = json_tokener_new_ex(MAX_DEPTH);
	if (!tokener)
		return -ENOMEM;
	p.root = json_tokener_parse_ex(tokener, text, (int)length);
	end = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		ret = complain(&p, -EINVAL, "at byte %zu: %s", end,
			       json_tokener_error_desc(
				       json_tokener_get_error(tokener)));
	else if (!json_object_is_type(p.root, json_type_object))
		ret = complain(&p, -EINVAL, "an object is expected");
	else if (!only_space(text + end, length - end))
		ret = complain(&p, -EINVAL, "something follows byte %zu", end);
	else
		ret = apply(&p);
	if (!ret)
		cf_config_keys(&config->keys, p.root);
	json_object_put(p.root);
	json_tokener_free(tokener);
	return ret;
}

/* Up to one byte more than may be; its length or -errno. */
static ssize_t read_file(int fd, char *text)
{
	size_t length = 0;

	while (length <= MAX_FILE) {
		ssize_t n = read(fd, text + length, MAX_FILE + 1 - length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

int cf_config_read(struct cf_config *config, const char *path, char *why,
		   size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t length;
	char *text;
	int ret;

	if (fd < 0) {
		snprintf(why, size, "%s", strerror(errno));
		return -errno;
	}
	text = malloc(MAX_FILE + 1);
	length = text ? read_file(fd, text) : -ENOMEM;
	close(fd);
	if (length < 0) {
		snprintf(why, size, "%s", strerror((int)-length));
		ret = (int)length;
	} else {
		ret = cf_config_parse(config, text, (size_t)length, why, size);
	}
	free(text);
	return ret;
}
