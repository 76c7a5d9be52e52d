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
	if (now->gpu_copies != was->gpu_copies)
		tell(arg, "file", "nvfs.gpu_copies",
		     now->gpu_copies ? "true" : "false");
}

static void tell_variable(const char *name, tell_fn tell, void *arg)
{
	const char *value = name ? getenv(name) : NULL;

	if (value && *value)
		tell(arg, "environment", name, value);
}

static void tell_environment(tell_fn tell, void *arg)
{
	tell_variable("CUFILE_ENV_PATH_JSON", tell, arg);
	for (int i = 0; i < CF_BOOLS; i++)
		tell_variable(cf_bool_params[i].env, tell, arg);
	for (int i = 0; i < CF_STRINGS; i++)
		tell_variable(cf_string_params[i].env, tell, arg);
	tell_variable("CUFILE_LOGFILE_MAX_SIZE_MB", tell, arg);
	tell_variable("NVFS_GPU_COPIES", tell, arg);
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
		config->error = cf_config_read(&both[0], config->path,
					       config->why,
					       sizeof(config->why));
	}
	if (!config->error) {
		tell_sizes(&both[0], &both[1], tell, arg);
		tell_rest(&both[0], &both[1], tell, arg);
	}
	free(both);
	tell_environment(tell, arg);
}
