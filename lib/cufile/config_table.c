// SPDX-License-Identifier: MIT
/* What parameters there are.  cufile.json(5) tells people the same. */
#include <string.h>
#include <strings.h>

#include "cufile_priv.h"

#define MAX_KB	(SIZE_MAX / KIB)

/* In the order of CUFileSizeTConfigParameter_t. */
const struct cf_size_param cf_size_params[CF_SIZES] = {
	{ "profile.cufile_stats", { NULL }, 0, 0, 3 },
	{ "execution.max_io_queue_depth", { NULL }, 128, 1, 65536 },
	{ "execution.max_io_threads", { NULL }, 4, 0, 1024 },
	{ "execution.min_io_threshold_size_kb", { NULL }, 8192, 1, MAX_KB },
	{ "execution.max_request_parallelism", { NULL }, 4, 0, 1024 },
	{ "properties.max_direct_io_size_kb", { NULL }, 16384, 4, MAX_KB },
	{ "properties.max_device_cache_size_kb", { NULL }, 131072, 4, MAX_KB },
	{ "properties.per_buffer_cache_size_kb", { NULL }, 1024, 4, 16384 },
	{ "properties.max_device_pinned_mem_size_kb", { NULL }, 33554432, 4,
	  MAX_KB },
	{ "properties.io_batchsize",
	  { "properties.max_batch_io_size", "profile.io_batchsize" }, 128, 1,
	  CF_MAX_BATCH },
	{ "properties.poll_mode_max_size_kb", { NULL }, 4, 0, MAX_KB },
	{ "properties.max_batch_io_timeout_msecs", { NULL }, 5, 0, 3600000 },
};

/* In the order of CUFileBoolConfigParameter_t. */
const struct cf_bool_param cf_bool_params[CF_BOOLS] = {
	{ "properties.use_poll_mode", { NULL }, NULL, false },
	{ "properties.allow_compat_mode", { "properties.use_compat_mode" },
	  "CUFILE_ALLOW_COMPAT_MODE", true },
	{ "properties.force_compat_mode", { NULL }, "CUFILE_FORCE_COMPAT_MODE",
	  false },
	{ "miscellaneous.api_check_aggressive",
	  { "fs.misc.api_check_aggressive" }, NULL, false },
	{ "execution.parallel_io", { NULL }, NULL, true },
	{ "profile.nvtx", { NULL }, NULL, false },
	{ "properties.allow_system_memory", { NULL }, NULL, true },
	{ "properties.use_pci_p2pdma", { NULL }, "CUFILE_USE_PCIP2PDMA",
	  false },
	{ "properties.prefer_iouring", { NULL }, NULL, false },
	{ "properties.force_odirect_mode", { NULL }, NULL, false },
	{ "miscellaneous.skip_topology_detection", { NULL },
	  "CUFILE_SKIP_TOPOLOGY_DETECTION", false },
	{ "miscellaneous.stream_memops_bypass", { NULL }, NULL, false },
	{ "properties.vanilla_posix_io_mode", { NULL }, NULL, false },
	{ "properties.gds_fallback_io", { NULL }, NULL, false },
};

const struct cf_bool_param cf_own_params[CF_OWN] = {
	{ "nvfs.gpu_copies", { NULL }, "NVFS_GPU_COPIES", true },
	{ "nvfs.mapped_writes", { NULL }, "NVFS_MAPPED_WRITES", true },
	{ "nvfs.pinned_reads", { NULL }, "NVFS_PINNED_READS", true },
};

/* In the order of CUFileStringConfigParameter_t. */
const struct cf_string_param cf_string_params[CF_STRINGS] = {
	{ "logging.level", "CUFILE_LOGGING_LEVEL", "ERROR" },
	{ NULL, "CUFILE_LOGFILE_PATH", "" },
	{ "logging.dir", NULL, "" },
	{ "properties.rdma_transport_type", NULL, "DC_V1" },
};

bool cf_log_level_known(const char *name)
{
	static const char *const levels[] = { "NOTICE", "ERROR", "WARN",
					      "INFO", "DEBUG", "TRACE" };

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcasecmp(levels[i], name))
			return true;
	}
	return false;
}

const char *const cf_deny_names[CF_DENY_KINDS] = {
	[CF_DENY_DRIVERS] = "drivers",
	[CF_DENY_DEVICES] = "devices",
	[CF_DENY_MOUNTS] = "mounts",
	[CF_DENY_FILESYSTEMS] = "filesystems",
};

void cf_config_defaults(struct cf_config *config)
{
	memset(config, 0, sizeof(*config));
	for (int i = 0; i < CF_SIZES; i++)
		config->size[i] = cf_size_params[i].initial;
	for (int i = 0; i < CF_BOOLS; i++)
		config->flag[i] = cf_bool_params[i].initial;
	for (int i = 0; i < CF_STRINGS; i++)
		strcpy(config->text[i], cf_string_params[i].initial);
	config->log_size_mb = 32;
	for (int i = 0; i < CF_OWN; i++)
		config->own[i] = cf_own_params[i].initial;
}
