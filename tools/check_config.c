// SPDX-License-Identifier: MIT
/* What libcufile would find: its configuration file, and the environment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "cufile/cufile_priv.h"

#define SYSTEM_FILE	"/etc/cufile.json"

typedef void (*tell_fn)(void *arg, const char *where, const char *key,
			const char *value);

static void tell_sizes(const struct cf_config *now, const struct cf_config *was,
		       tell_fn tell, void *arg)
{
	char value[32];

	for (int i = 0; i < CF_SIZES; i++) {
		if (now->size[i] == was->size[i])
			continue;
		snprintf(value, sizeof(value), "%zu", now->size[i]);
		tell(arg, "file", cf_size_params[i].key, value);
	}
}

static void tell_rest(const struct cf_config *now, const struct cf_config *was,
		      tell_fn tell, void *arg)
{
	for (int i = 0; i < CF_BOOLS; i++) {
		if (now->flag[i] != was->flag[i])
			tell(arg, "file", cf_bool_params[i].key,
			     now->flag[i] ? "true" : "false");
	}
	for (int i = 0; i < CF_STRINGS; i++) {
		if (cf_string_params[i].key &&
		    strcmp(now->text[i], was->text[i]))
			tell(arg, "file", cf_string_params[i].key,
			     now->text[i]);
	}
	for (int i = 0; i < CF_OWN; i++) {
		if (now->own[i] != was->own[i])
			tell(arg, "file", cf_own_params[i].key,
			     now->own[i] ? "true" : "false");
	}
}

static void tell_denied(const struct cf_deny *deny, tell_fn tell, void *arg)
{
	char key[40];

	for (int kind = 0; kind < CF_DENY_KINDS; kind++) {
		snprintf(key, sizeof(key), "denylist.%s", cf_deny_names[kind]);
		for (unsigned int i = 0; i < deny->nr[kind]; i++)
			tell(arg, "file", key, deny->entry[kind][i]);
	}
}

/* The same that libcufile logs. */
static void tell_keys(const struct cf_keys *keys, tell_fn tell, void *arg)
{
	static const char *const kinds[CF_KEY_KINDS][2] = {
		[CF_KEY_UNKNOWN] = { "unknown key", "passed over" },
		[CF_KEY_UNUSED] = { "no effect", "nothing here looks at it" },
	};
	char more[40];

	for (int kind = 0; kind < CF_KEY_KINDS; kind++) {
		unsigned int nr = keys->nr[kind];

		for (unsigned int i = 0; i < nr && i < CF_MAX_KEYS; i++)
			tell(arg, kinds[kind][0], keys->key[kind][i],
			     kinds[kind][1]);
		if (nr <= CF_MAX_KEYS)
			continue;
		snprintf(more, sizeof(more), "%u more", nr - CF_MAX_KEYS);
		tell(arg, kinds[kind][0], more, kinds[kind][1]);
	}
}

/* @instead: what is told of it, or NULL: its value. */
static void tell_variable(const char *name, const char *where,
			  const char *instead, tell_fn tell, void *arg)
{
	const char *value = name ? getenv(name) : NULL;

	if (value && *value)
		tell(arg, where, name, instead ? instead : value);
}

static void tell_used(const char *name, tell_fn tell, void *arg)
{
	tell_variable(name, "environment", NULL, tell, arg);
}

static void tell_environment(tell_fn tell, void *arg)
{
	tell_used("CUFILE_ENV_PATH_JSON", tell, arg);
	for (int i = 0; i < CF_BOOLS; i++)
		tell_used(cf_bool_params[i].env, tell, arg);
	for (int i = 0; i < CF_STRINGS; i++)
		tell_used(cf_string_params[i].env, tell, arg);
	tell_used("CUFILE_LOGFILE_MAX_SIZE_MB", tell, arg);
	for (int i = 0; i < CF_OWN; i++)
		tell_used(cf_own_params[i].env, tell, arg);
	for (int i = 0; cf_unused_env[i]; i++)
		tell_variable(cf_unused_env[i], "no effect",
			      "nothing here looks at it", tell, arg);
}

/* As libcufile does: the file must be there when it was named. */
static int read_file(struct cufile_config *config, struct cf_config *now,
		     bool named)
{
	int ret = cf_config_read(now, config->path, config->why,
				 sizeof(config->why));

	config->none = !named && (ret == -ENOENT || ret == -ENOTDIR);
	return config->none ? 0 : ret;
}

static int read_environment(struct cufile_config *config, struct cf_config *now)
{
	struct cf_env_fault fault;
	int ret = cf_env_strings(now, &fault);

	if (!ret)
		ret = cf_env_rest(now, &fault);
	if (!ret)
		return 0;
	strcpy(config->path, "the environment");
	snprintf(config->why, sizeof(config->why), "%s: %s is expected",
		 fault.name, fault.expected);
	return ret;
}

void cufile_look(struct cufile_config *config, tell_fn tell, void *arg)
{
	const char *named = secure_getenv("CUFILE_ENV_PATH_JSON");
	struct cf_config *both = calloc(2, sizeof(*both));

	memset(config, 0, sizeof(*config));
	snprintf(config->path, sizeof(config->path), "%s",
		 named && *named ? named : SYSTEM_FILE);
	config->error = -ENOMEM;
	if (both) {
		cf_config_defaults(&both[0]);
		cf_config_defaults(&both[1]);
		config->error = read_file(config, &both[0], named && *named);
	}
	if (!config->error) {
		tell_sizes(&both[0], &both[1], tell, arg);
		tell_rest(&both[0], &both[1], tell, arg);
		tell_denied(&both[0].deny, tell, arg);
		tell_keys(&both[0].keys, tell, arg);
		config->error = read_environment(config, &both[0]);
	}
	free(both);
	tell_environment(tell, arg);
}
