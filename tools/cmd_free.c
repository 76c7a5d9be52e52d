// SPDX-License-Identifier: MIT
/* nvfs free */
#include <errno.h>
#include <unistd.h>

#include "hold.h"

int cmd_free(int argc, char **argv)
{
	struct hold_msg request, result;
	struct options opts;
	unsigned int gpu;
	char bytes[16];
	int sock, ret;
	int first = parse_options(argc, argv, OPT_QUIET, &opts);

	if (first < 0)
		return TOOL_TROUBLE;
	if (argc - first != 1 || parse_gpu(argv[first], &gpu)) {
		complain("usage: nvfs free [--quiet] gpu:N");
		return TOOL_TROUBLE;
	}
	sock = hold_connect(gpu);
	if (sock < 0) {
		complain("gpu:%u: nothing is held (%s)", gpu, errno_name(sock));
		return TOOL_TROUBLE;
	}
	hold_init(&request, HOLD_FREE);
	ret = hold_ask(sock, &request, -1, NULL, &result);
	close(sock);
	if (!ret)
		ret = result.error;
	if (ret) {
		complain("gpu:%u: the holder failed (%s)", gpu,
			 errno_name(ret));
		return TOOL_NO;
	}
	format_bytes(result.held, bytes, sizeof(bytes));
	if (!opts.quiet)
		printf("gpu:%u: freed %s\n", gpu, bytes);
	return TOOL_OK;
}
