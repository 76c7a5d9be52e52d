// SPDX-License-Identifier: MIT
/* Parameters in the environment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cufile_priv.h"

/* Of RDMA, of what NVIDIA's library has dropped, and of what is a matter of course here. */
const char *const cf_unused_env[] = {
	"CUFILE_NVTX", "CUFILE_RDMA_DC_KEY", "CUFILE_DMABUF_ENABLE", NULL,
};

static int parse_bool(const char *text, bool *value)
{
	static const char *const words[] = { "0", "1", "false", "true", "no",
					     "yes", "off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]))
			continue;
		*value = i % 2;
		return 0;
	}
	return -EINVAL;
}

static int fail(int err, struct cf_env_fault *fault, const char *name,
		const char *expected)
{
	fault->name = name;
	fault->expected = expected;
	return err;
}

static int take_bool(const char *name, bool *value, struct cf_env_fault *fault)
{
	const char *text = name ? getenv(name) : NULL;

	if (text && *text && parse_bool(text, value))
		return fail(-EINVAL, fault, name, "true or false");
	return 0;
}

/* The others count all the same: they say where the log is. */
int cf_env_strings(struct cf_config *new, struct cf_env_fault *fault)
{
	int ret = 0;

	for (int i = 0; i < CF_STRINGS; i++) {
		const char *name = cf_string_params[i].env;
		const char *text = name ? secure_getenv(name) : NULL;

		if (!text || !*text)
			continue;
		if (strlen(text) >= CF_MAX_STRING)
			ret = fail(-ERANGE, fault, name, "a shorter path");
		else if (i == CUFILE_PARAM_LOGGING_LEVEL &&
			 !cf_log_level_known(text))
			ret = fail(-ERANGE, fault, name,
				   "ERROR, WARN, INFO or DEBUG");
		else
			strcpy(new->text[i], text);
	}
	return ret;
}

static int take_log_size(struct cf_config *new, struct cf_env_fault *fault)
{
	static const char name[] = "CUFILE_LOGFILE_MAX_SIZE_MB";
	static const char expected[] = "-1 or 1..4096";
	const char *text = getenv(name);
	char *end;
	long mb;

	if (!text || !*text)
		return 0;
	mb = strtol(text, &end, 10);
	if (*end)
		return fail(-EINVAL, fault, name, expected);
	if (mb != -1 && (mb < 1 || mb > 4096))
		return fail(-ERANGE, fault, name, expected);
	new->log_size_mb = mb;
	return 0;
}

int cf_env_rest(struct cf_config *new, struct cf_env_fault *fault)
{
	int ret = 0;

	for (int i = 0; i < CF_BOOLS && !ret; i++)
		ret = take_bool(cf_bool_params[i].env, &new->flag[i], fault);
	if (!ret)
		ret = take_log_size(new, fault);
	for (int i = 0; i < CF_OWN && !ret; i++)
		ret = take_bool(cf_own_params[i].env, &new->own[i], fault);
	return ret;
}
