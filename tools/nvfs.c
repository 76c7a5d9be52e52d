// SPDX-License-Identifier: MIT
/* nvfs: the command. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
	{ "bench", "[options] FILE [gpu:N]",
	  "how fast, and by which route; see: man nvfs-bench", cmd_bench },
	{ "check", "[--json] [FILE...]",
	  "what can reach which GPU directly, and if not, why", cmd_check },
	{ "cp", "[options] FILE gpu:N | gpu:N FILE",
	  "copy a file into GPU memory, or held GPU memory into a file",
	  cmd_cp },
	{ "verify", "[options] FILE gpu:N",
	  "compare a file with GPU memory", cmd_verify },
	{ "free", "[--quiet] gpu:N",
	  "free what 'nvfs cp --hold' left in GPU memory", cmd_free },
	{ "stat", "[--json | --prometheus | --watch [--interval S] [--count N] | --reset]",
	  "what the module counts; --watch: a live screen; -p PID: one process",
	  cmd_stat },
	{ "devices", "[--json]", "GPUs and storage controllers", cmd_devices },
	{ "peers", "[--json]", "how near each drive is to each GPU",
	  cmd_peers },
	{ "version", "[--json]",
	  "versions of this command and of the module", cmd_version },
	{ "help", "", "this text", cmd_help },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: nvfs COMMAND ...\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "  nvfs %s %s\n        %s\n", commands[i].name,
			commands[i].args, commands[i].help);
	fprintf(out,
		"\nOptions of cp and verify:\n"
		"  --hold        cp: keep the bytes in GPU memory, for later cp, verify, free\n"
		"  --bounce      allow host memory where the direct route is closed\n"
		"  --size N      bytes (K, M, G, T: powers of 1024)\n"
		"  --offset N    first byte in the file\n"
		"  --chunk N     bytes of one request (8M)\n"
		"  --threads N   requests at a time (4)\n"
		"  --json        result as one line of JSON\n"
		"  --quiet       no progress bar, no result\n"
		"\nExit status: 0 yes or done, 1 no or failed, 2 could not begin.\n"
		"More: man nvfs\n");
}

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	usage(stdout);
	return TOOL_OK;
}

static const struct command *find_command(const char *name)
{
	if (!strcmp(name, "--help") || !strcmp(name, "-h"))
		name = "help";
	if (!strcmp(name, "--version"))
		name = "version";
	for (size_t i = 0; i < NR_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status;

	if (argc < 2) {
		usage(stderr);
		return TOOL_TROUBLE;
	}
	command = find_command(argv[1]);
	if (!command) {
		complain("no command '%s'; see: nvfs help", argv[1]);
		return TOOL_TROUBLE;
	}
	status = command->run(argc - 1, argv + 1);
	/* A result that could not be written is no result. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("can't write to standard output");
		return TOOL_TROUBLE;
	}
	return status;
}
