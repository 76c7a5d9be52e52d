// SPDX-License-Identifier: MIT
/* nvfs version */
#include "tool.h"

int cmd_version(int argc, char **argv)
{
	struct nvfs_info info = { .size = sizeof(info) };
	struct options opts;
	struct nvfs *nvfs;
	int ret;

	if (parse_options(argc, argv, OPT_JSON, &opts) < 0)
		return TOOL_TROUBLE;
	ret = nvfs_open(0, &nvfs);
	if (!ret) {
		ret = nvfs_get_info(nvfs, &info);
		nvfs_close(nvfs);
	}
	if (opts.json) {
		printf("{\"cmd\":\"version\",\"tool\":\"%d.%d.%d\",\"module\":",
		       LIBNVFS_VERSION_MAJOR, LIBNVFS_VERSION_MINOR,
		       LIBNVFS_VERSION_PATCH);
		if (ret)
			printf("null,\"error\":\"%s\"}\n", errno_name(ret));
		else
			printf("\"%u.%u.%u\",\"error\":null}\n",
			       info.version_major, info.version_minor,
			       info.version_patch);
		return TOOL_OK;
	}
	printf("nvfs    %d.%d.%d\n", LIBNVFS_VERSION_MAJOR,
	       LIBNVFS_VERSION_MINOR, LIBNVFS_VERSION_PATCH);
	if (ret)
		printf("module  none: %s (%s)\n", module_advice(ret),
		       errno_name(ret));
	else
		printf("module  %u.%u.%u\n", info.version_major,
		       info.version_minor, info.version_patch);
	return TOOL_OK;
}
