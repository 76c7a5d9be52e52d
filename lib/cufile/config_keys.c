// SPDX-License-Identifier: MIT
/*
 * What a cufile.json says that does not happen here: keys that nobody knows,
 * often misspelt ones, and those of NVIDIA's that nothing looks at.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cufile_priv.h"

#define NR(table)	(sizeof(table) / sizeof((table)[0]))

/* Besides those of the tables; a star is any one part. */
static const char *const used[] = {
	"logging.max_file_size_mb",
	"properties.posix_pool_slab_size_kb",
	"properties.posix_pool_slab_count",
	"denylist.drivers", "denylist.devices", "denylist.mounts",
	"denylist.filesystems", "blacklist.drivers", "blacklist.devices",
	"blacklist.mounts", "blacklist.filesystems",
};

static const char *const unused[] = {
	"execution.max_io_queue_depth", "execution.min_io_threshold_size_kb",
	"profile.nvtx",
	"properties.max_direct_io_size_kb",
	"properties.max_device_cache_size_kb",
	"properties.per_buffer_cache_size_kb",
	"properties.poll_mode_max_size_kb",
	"properties.max_batch_io_timeout_msecs",
	"properties.gpu_bounce_buffer_slab_config.slab_size_kb",
	"properties.gpu_bounce_buffer_slab_config.slab_count",
	"properties.use_pci_p2pdma", "properties.prefer_iouring",
	"properties.vanilla_posix_io_mode", "properties.io_priority",
	"properties.gds_rdma_write_support",
	"properties.allow_rdma_token_reset",
	"properties.compat_odirect_unaligned_read_split",
	"properties.compat_odirect_unaligned_read_split_min_size_kb",
	"properties.rdma_dev_addr_list", "properties.rdma_peer_type",
	"properties.rdma_load_balancing_policy",
	"properties.rdma_peer_affinity_policy", "properties.rdma_topN_ranks",
	"properties.rdma_dynamic_routing",
	"properties.rdma_dynamic_routing_order",
	"properties.rdma_transport_type", "properties.rdma_dc_key",
	"properties.rdma_access_mask",
	"sparse.min_p2pdma_threshold_kb", "sparse.p2p_compat_enable",
	"fs.generic.posix_unaligned_writes", "fs.misc.api_check_aggressive",
	"fs.*.posix_gds_min_kb", "fs.*.rdma_dev_addr_list",
	"fs.*.mount_table", "fs.*.use_pci_p2pdma", "fs.*.rdma_write_support",
	"fs.*.gds_write_support", "fs.*.gds_async_support",
	"fs.block.*.use_pci_p2pdma", "block.*.use_pci_p2pdma",
	"miscellaneous.api_check_aggressive",
	"miscellaneous.skip_topology_detection",
	"miscellaneous.enable_static_routing",
	"miscellaneous.static_routing_filepath",
	"miscellaneous.rdma_token_reset_timeout_secs",
};

/* In the order of how well. */
enum fit { FIT_NOT, FIT_PREFIX, FIT_WHOLE };

static enum fit fit(const char *pattern, const char *path)
{
	while (*path) {
		if (*pattern == '*') {
			pattern++;
			path += strcspn(path, ".");
		} else if (*pattern++ != *path++) {
			return FIT_NOT;
		}
	}
	if (!*pattern)
		return FIT_WHOLE;
	return *pattern == '.' ? FIT_PREFIX : FIT_NOT;
}

static enum fit best(enum fit so_far, const char *pattern, const char *path)
{
	enum fit this = pattern ? fit(pattern, path) : FIT_NOT;

	return this > so_far ? this : so_far;
}

static enum fit fit_any(const char *const *patterns, size_t nr,
			const char *path)
{
	enum fit found = FIT_NOT;

	for (size_t i = 0; i < nr; i++)
		found = best(found, patterns[i], path);
	return found;
}

static enum fit fit_tables(const char *path)
{
	enum fit found = fit_any(used, NR(used), path);

	for (int i = 0; i < CF_SIZES; i++) {
		found = best(found, cf_size_params[i].key, path);
		for (int j = 0; j < 2; j++)
			found = best(found, cf_size_params[i].alias[j], path);
	}
	for (int i = 0; i < CF_BOOLS; i++) {
		found = best(found, cf_bool_params[i].key, path);
		for (int j = 0; j < 2; j++)
			found = best(found, cf_bool_params[i].alias[j], path);
	}
	for (int i = 0; i < CF_OWN; i++)
		found = best(found, cf_own_params[i].key, path);
	for (int i = 0; i < CF_STRINGS; i++)
		found = best(found, cf_string_params[i].key, path);
	return found;
}

static void note(struct cf_keys *keys, enum cf_key_kind kind, const char *path)
{
	unsigned int n = keys->nr[kind]++;

	if (n >= CF_MAX_KEYS)
		return;
	snprintf(keys->key[kind][n], CF_KEY_SIZE, "%s", path);
	/* They go to logs and terminals. */
	for (char *at = keys->key[kind][n]; *at; at++) {
		if (!isprint((unsigned char)*at))
			*at = '?';
	}
}

/* True: a section, whose keys are to be looked at. */
static bool look_at(struct cf_keys *keys, struct json_object *value,
		    const char *path)
{
	enum fit in_tables = fit_tables(path);
	enum fit in_unused = fit_any(unused, NR(unused), path);

	if (in_unused == FIT_WHOLE) {
		note(keys, CF_KEY_UNUSED, path);
	} else if (in_tables == FIT_WHOLE) {
		return false;
	} else if ((in_tables || in_unused) &&
		   json_object_is_type(value, json_type_object)) {
		return true;
	} else {
		note(keys, CF_KEY_UNKNOWN, path);
	}
	return false;
}

/* No deeper than a known key: the rest is one unknown key. */
static void walk(struct cf_keys *keys, struct json_object *section,
		 const char *prefix)
{
	json_object_object_foreach(section, name, value) {
		char path[CF_KEY_SIZE];

		snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "." : "", name);
		/* Dots are between names, not in them. */
		if (!*name || strchr(name, '.'))
			note(keys, CF_KEY_UNKNOWN, path);
		else if (look_at(keys, value, path))
			walk(keys, value, path);
	}
}

void cf_config_keys(struct cf_keys *keys, struct json_object *root)
{
	memset(keys, 0, sizeof(*keys));
	walk(keys, root, "");
}
