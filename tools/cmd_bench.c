// SPDX-License-Identifier: MIT
/* nvfs bench: how fast, by which route, and are the bytes right? */
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "tool.h"

static int run_all(struct bench *bench, struct bench_result *result)
{
	for (unsigned int i = 0; i < bench->opts.nr_sizes; i++) {
		bench_run(bench, bench->opts.sizes[i], result);
		bench_print(bench, result);
		bench_warn(bench, result);
		if (result->error || result->differs)
			return TOOL_NO;
	}
	return TOOL_OK;
}

int cmd_bench(int argc, char **argv)
{
	struct bench_result *result;
	struct bench bench = { 0 };
	int status;

	if (bench_parse(argc, argv, &bench.opts) || bench_open(&bench))
		return TOOL_TROUBLE;
	result = malloc(sizeof(*result));
	if (result) {
		status = run_all(&bench, result);
	} else {
		complain("bench: %s", errno_name(-ENOMEM));
		status = TOOL_TROUBLE;
	}
	free(result);
	bench_close(&bench);
	return status;
}
