// SPDX-License-Identifier: MIT
/*
 * Parameters: staged by calls while the library is closed, put together when it
 * is opened.  Calls are stronger than the environment, which is stronger than
 * cufile.json, which is stronger than the defaults.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cufile_priv.h"

#define SYSTEM_FILE	"/etc/cufile.json"
#define WHY_SIZE	200

/* All under the driver lock. */
static struct cf_config config;
static bool ready;		/* @config has been filled in */
static bool loaded;		/* from file and environment */
static struct cf_config staged;
static struct {
	unsigned int size, flag, text, slabs;
} is_staged;

static struct cf_config *staging(void)
{
	if (!is_staged.size && !is_staged.flag && !is_staged.text &&
	    !is_staged.slabs)
		cf_config_defaults(&staged);
	return &staged;
}

/* Closed: what is staged over what is default. */
static const struct cf_config *view(void)
{
	return loaded ? &config : staging();
}

struct cf_config *cf_config(void)
{
	if (!ready) {
		cf_config_defaults(&config);
		ready = true;
	}
	return &config;
}

static CUfileOpError to_code(int err)
{
	if (!err)
		return CU_FILE_SUCCESS;
	if (err == -ENOMEM)
		return CU_FILE_NOMEM_ERROR;
	return err == -ERANGE ? CU_FILE_DRIVER_UNSUPPORTED_LIMIT :
				CU_FILE_DRIVER_INVALID_PROPS;
}

static int read_files(struct cf_config *new, const char **path, char *why)
{
	int ret;

	*path = secure_getenv("CUFILE_ENV_PATH_JSON");
	if (*path && **path)
		return cf_config_read(new, *path, why, WHY_SIZE);
	*path = SYSTEM_FILE;
	ret = cf_config_read(new, *path, why, WHY_SIZE);
	return ret == -ENOENT || ret == -ENOTDIR ? 0 : ret;
}

static void apply_strings(struct cf_config *new)
{
	for (int i = 0; i < CF_STRINGS; i++) {
		if (is_staged.text & (1U << i))
			strcpy(new->text[i], staged.text[i]);
	}
}

static void apply_staged(struct cf_config *new)
{
	apply_strings(new);
	for (int i = 0; i < CF_SIZES; i++) {
		if (is_staged.size & (1U << i))
			new->size[i] = staged.size[i];
	}
	for (int i = 0; i < CF_BOOLS; i++) {
		if (is_staged.flag & (1U << i))
			new->flag[i] = staged.flag[i];
	}
	for (int i = 0; i < 2; i++) {
		if (is_staged.slabs & (1U << i))
			new->slabs[i] = staged.slabs[i];
	}
	new->called_size = is_staged.size;
	new->called_slabs = is_staged.slabs;
}

/* What is wrong is told. */
static int complain(int err, const struct cf_env_fault *fault)
{
	if (err)
		cf_log(CF_LOG_ERROR, "config", "%s: %s is expected",
		       fault->name, fault->expected);
	return err;
}

static int load(struct cf_config *new)
{
	struct cf_env_fault fault;
	char why[WHY_SIZE] = "";
	const char *path;
	int ret, file_ret;

	cf_config_defaults(new);
	file_ret = read_files(new, &path, why);
	/* The log, also for what is wrong with the rest. */
	ret = cf_env_strings(new, &fault);
	apply_strings(new);
	cf_log_open(new);
	if (file_ret)
		cf_log(CF_LOG_ERROR, "config", "%s: %s", path, why);
	if (file_ret)
		return file_ret;
	if (complain(ret, &fault))
		return ret;
	ret = complain(cf_env_rest(new, &fault), &fault);
	if (!ret)
		apply_staged(new);
	return ret;
}

static void log_keys(const struct cf_keys *keys)
{
	static const struct {
		enum cf_level level;
		const char *text;
	} kinds[CF_KEY_KINDS] = {
		[CF_KEY_UNKNOWN] = { CF_LOG_WARN, "unknown, passed over" },
		[CF_KEY_UNUSED] = { CF_LOG_INFO, "changes nothing here" },
	};

	for (int kind = 0; kind < CF_KEY_KINDS; kind++) {
		unsigned int nr = keys->nr[kind];

		for (unsigned int i = 0; i < nr && i < CF_MAX_KEYS; i++)
			cf_log(kinds[kind].level, "config", "%s: %s",
			       keys->key[kind][i], kinds[kind].text);
		if (nr > CF_MAX_KEYS)
			cf_log(kinds[kind].level, "config",
			       "and %u more keys: %s", nr - CF_MAX_KEYS,
			       kinds[kind].text);
	}
}

static void log_environment(void)
{
	for (int i = 0; cf_unused_env[i]; i++) {
		const char *value = getenv(cf_unused_env[i]);

		if (value && *value)
			cf_log(CF_LOG_INFO, "config",
			       "%s in the environment: changes nothing here",
			       cf_unused_env[i]);
	}
}

CUfileOpError cf_config_load(void)
{
	struct cf_config *new;
	int ret;

	if (loaded)
		return CU_FILE_SUCCESS;
	new = malloc(sizeof(*new));
	if (!new)
		return CU_FILE_NOMEM_ERROR;
	ret = load(new);
	if (!ret) {
		memset(&is_staged, 0, sizeof(is_staged));
		config = *new;
		ready = true;
		loaded = true;
		cf_log_open(&config);
		log_keys(&config.keys);
		log_environment();
	} else {
		cf_log_close();
	}
	free(new);
	return to_code(ret);
}

void cf_config_reset(void)
{
	loaded = false;
	ready = false;
	cf_p2p_reset();
}

/* ----------------------------------------------------------- the calls */

/* Setting is for while nothing has been read; the lock is held on success. */
static CUfileOpError begin_set(void)
{
	if (cf_forked())
		return CU_FILE_DRIVER_NOT_INITIALIZED;
	cf_lock();
	if (!loaded)
		return CU_FILE_SUCCESS;
	cf_unlock();
	return CU_FILE_DRIVER_ALREADY_OPEN;
}

static bool bad_size(unsigned int param)
{
	return param >= CF_SIZES;
}

CF_API CUfileError_t cuFileGetParameterSizeT(CUFileSizeTConfigParameter_t param,
					     size_t *value)
{
	if (bad_size(param) || !value)
		return cf_error(CU_FILE_INVALID_VALUE);
	cf_lock();
	*value = view()->size[param];
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileSetParameterSizeT(CUFileSizeTConfigParameter_t param,
					     size_t value)
{
	CUfileOpError err;

	if (bad_size(param) || value < cf_size_params[param].min ||
	    value > cf_size_params[param].max)
		return cf_error(CU_FILE_INVALID_VALUE);
	err = begin_set();
	if (err)
		return cf_error(err);
	staging()->size[param] = value;
	is_staged.size |= 1U << param;
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t
cuFileGetParameterMinMaxValue(CUFileSizeTConfigParameter_t param,
			      size_t *min_value, size_t *max_value)
{
	if (bad_size(param) || !min_value || !max_value)
		return cf_error(CU_FILE_INVALID_VALUE);
	*min_value = cf_size_params[param].min;
	*max_value = cf_size_params[param].max;
	return cf_error(CU_FILE_SUCCESS);
}

/* NVTX is gone from the interface; its number stays. */
static bool bad_bool(unsigned int param)
{
	return param >= CF_BOOLS || param == CUFILE_PARAM_PROFILE_NVTX;
}

CF_API CUfileError_t cuFileGetParameterBool(CUFileBoolConfigParameter_t param,
					    bool *value)
{
	if (bad_bool(param) || !value)
		return cf_error(CU_FILE_INVALID_VALUE);
	cf_lock();
	*value = view()->flag[param];
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileSetParameterBool(CUFileBoolConfigParameter_t param,
					    bool value)
{
	CUfileOpError err;

	if (bad_bool(param))
		return cf_error(CU_FILE_INVALID_VALUE);
	err = begin_set();
	if (err)
		return cf_error(err);
	staging()->flag[param] = value;
	is_staged.flag |= 1U << param;
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t
cuFileGetParameterString(CUFileStringConfigParameter_t param, char *desc_str,
			 int len)
{
	CUfileOpError err = CU_FILE_SUCCESS;
	size_t length;

	if ((unsigned int)param >= CF_STRINGS || !desc_str || len <= 0)
		return cf_error(CU_FILE_INVALID_VALUE);
	cf_lock();
	length = strlen(view()->text[param]);
	if (length < (size_t)len)
		memcpy(desc_str, view()->text[param], length + 1);
	else
		err = CU_FILE_INVALID_VALUE;
	cf_unlock();
	return cf_error(err);
}

CF_API CUfileError_t
cuFileSetParameterString(CUFileStringConfigParameter_t param,
			 const char *desc_str)
{
	CUfileOpError err;

	if ((unsigned int)param >= CF_STRINGS || !desc_str ||
	    strlen(desc_str) >= CF_MAX_STRING ||
	    (param == CUFILE_PARAM_LOGGING_LEVEL &&
	     !cf_log_level_known(desc_str)))
		return cf_error(CU_FILE_INVALID_VALUE);
	err = begin_set();
	if (err)
		return cf_error(err);
	strcpy(staging()->text[param], desc_str);
	is_staged.text |= 1U << param;
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

static const struct cf_slabs initial[2] = {
	{ 3, { 4, 1024, 16384 }, { 128, 64, 64 } },
	{ 4, { 1024, 8192, 16384, 65536 }, { 128, 8, 4, 2 } },
};

/* What files of CUDA 12 and before spell out. */
static const struct cf_slabs older = {
	3, { 4, 1024, 16384 }, { 128, 64, 32 },
};

bool cf_slabs_are_default(const struct cf_slabs *slabs)
{
	return !memcmp(slabs, &initial[0], sizeof(*slabs)) ||
	       !memcmp(slabs, &older, sizeof(*slabs));
}

static CUfileError_t set_slabs(int which, const size_t *sizes,
			       const size_t *counts, int len)
{
	struct cf_slabs *slabs;
	CUfileOpError err;

	if (!sizes || !counts || len <= 0 || len > CF_MAX_SLABS)
		return cf_error(CU_FILE_INVALID_VALUE);
	err = begin_set();
	if (err)
		return cf_error(err);
	slabs = &staging()->slabs[which];
	memset(slabs, 0, sizeof(*slabs));
	slabs->nr = len;
	memcpy(slabs->size, sizes, (size_t)len * sizeof(*sizes));
	memcpy(slabs->count, counts, (size_t)len * sizeof(*counts));
	is_staged.slabs |= 1U << which;
	cf_unlock();
	return cf_error(CU_FILE_SUCCESS);
}

static CUfileError_t get_slabs(int which, size_t *sizes, size_t *counts,
			       int len)
{
	CUfileOpError err = CU_FILE_INVALID_VALUE;
	const struct cf_slabs *slabs;

	if (!sizes || !counts || len <= 0)
		return cf_error(CU_FILE_INVALID_VALUE);
	cf_lock();
	slabs = &view()->slabs[which];
	if (!slabs->nr)
		slabs = &initial[which];
	if (slabs->nr == len) {
		memcpy(sizes, slabs->size, (size_t)len * sizeof(*sizes));
		memcpy(counts, slabs->count, (size_t)len * sizeof(*counts));
		err = CU_FILE_SUCCESS;
	}
	cf_unlock();
	return cf_error(err);
}

CF_API CUfileError_t
cuFileSetParameterPosixPoolSlabArray(const size_t *size_values,
				     const size_t *count_values, int len)
{
	return set_slabs(0, size_values, count_values, len);
}

CF_API CUfileError_t cuFileGetParameterPosixPoolSlabArray(size_t *size_values,
							  size_t *count_values,
							  int len)
{
	return get_slabs(0, size_values, count_values, len);
}

CF_API CUfileError_t
cuFileSetParameterGpuBounceBufferSlabArray(const size_t *size_values,
					   const size_t *count_values, int len)
{
	return set_slabs(1, size_values, count_values, len);
}

CF_API CUfileError_t
cuFileGetParameterGpuBounceBufferSlabArray(size_t *size_values,
					   size_t *count_values, int len)
{
	return get_slabs(1, size_values, count_values, len);
}
