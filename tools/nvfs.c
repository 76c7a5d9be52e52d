// SPDX-License-Identifier: MIT
/* nvfs: the command. */
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int cmd_help(int argc, char **argv);

#define RANGE_HELP \
	"  --size N      bytes (K, M, G, T: powers of 1024)\n" \
	"  --offset N    first byte in the file\n"
#define TUNE_HELP \
	"  --chunk N     bytes of one request (8M)\n" \
	"  --threads N   requests at a time (4)\n"
#define JSON_HELP \
	"  -j, --json    one JSON object a line\n"
#define QUIET_HELP \
	"  -q, --quiet   no progress bar, no result\n"
#define FROM_HELP \
	"  --from DIR    these files instead of those in /proc/nvfs\n"

static const struct command commands[] = {
	{ "bench", "[options] FILE [gpu:N]",
	  "how fast, and by which route",
	  "  -I, --rw KIND        read, write, randread, randwrite, verify (read)\n"
	  "  -i, --block SIZES    bytes of a request: 4K,64K or 4K:16M:x4 (1M)\n"
	  "  -w, --threads N      (4)\n"
	  "  --mode MODE          sync, batch, stream (sync)\n"
	  "  -B, --depth N        requests under way of a thread (32; sync: 1)\n"
	  "  -T, --time S         go on for so many seconds\n"
	  "  -s, --size N         how much of the file (all)\n"
	  "  -o, --offset N       first byte in the file (0)\n"
	  "  -f, --file FILE      the same as FILE\n"
	  "  -d, --gpu N          the same as gpu:N (0)\n"
	  "  -D, --dir DIR        a file for each thread in DIR\n"
	  "  -x, --xfer N         gdsio's: 0 sync, 1 host memory only, without a GPU,\n"
	  "                       2 sync through host memory, 5 stream, 6 batch\n"
	  "  -m N                 gdsio's: 0 the GPU's memory, 3 or 4 the host's\n"
	  "  -n N                 on the CPUs of NUMA node N\n"
	  "  --route ROUTE        auto, direct, host (auto)\n"
	  "  -V, --verify         are the bytes right?\n"
	  "  -k, --seed N         of the pattern and of the random order (0)\n"
	  "  -U, --unaligned      offsets are 777 bytes off\n"
	  "  -b, --no-register    do not register the GPU memory\n"
	  "  --buffered, -O 1     open the file without O_DIRECT\n"
	  "  --drop-cache         take the file out of the page cache first\n"
	  "  --force              write to a block device\n"
	  "  -j, --json           results as JSON\n"
	  "  -q, --quiet          only failures\n",
	  "nvfs-bench", cmd_bench },
	{ "check", "[--json] [FILE...]",
	  "what can reach which GPU directly, and if not, why", JSON_HELP,
	  "nvfs", cmd_check },
	{ "cp", "[options] FILE gpu:N | gpu:N FILE",
	  "copy a file into GPU memory, or held GPU memory into a file",
	  "  --hold        keep the bytes in GPU memory, for later cp, verify, free\n"
	  "  --bounce      allow host memory where the direct route is closed\n"
	  RANGE_HELP TUNE_HELP JSON_HELP QUIET_HELP, "nvfs", cmd_cp },
	{ "verify", "[options] FILE gpu:N",
	  "compare a file with GPU memory",
	  "  --bounce      allow host memory where the direct route is closed\n"
	  RANGE_HELP TUNE_HELP JSON_HELP QUIET_HELP, "nvfs", cmd_verify },
	{ "free", "[--quiet] gpu:N",
	  "free what 'nvfs cp --hold' left in GPU memory", QUIET_HELP,
	  "nvfs", cmd_free },
	{ "stat", "[--pid PID] [--json | --prometheus] | --watch [--interval S] [--count N] | --reset",
	  "what the module counts; --watch: a live screen; -p PID: one process",
	  JSON_HELP
	  "  --prometheus  for a node exporter's textfile directory\n"
	  "  --watch       a screen that is drawn anew, until q is pressed\n"
	  "  --interval S  --watch: seconds between two pictures (1)\n"
	  "  --count N     --watch: end after so many pictures\n"
	  "  -p, --pid PID what this process moved, also without the module\n"
	  "  --reset       set all counters to 0; for root\n"
	  FROM_HELP, "nvfs", cmd_stat },
	{ "devices", "[--json]", "GPUs and storage controllers",
	  JSON_HELP FROM_HELP, "nvfs", cmd_devices },
	{ "peers", "[--json]", "how near each drive is to each GPU",
	  JSON_HELP FROM_HELP, "nvfs", cmd_peers },
	{ "version", "[--json]",
	  "versions of this command and of the module", JSON_HELP,
	  "nvfs", cmd_version },
	{ "help", "[COMMAND]", "this text, or that of a command", NULL,
	  "nvfs", cmd_help },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fprintf(out, "usage: nvfs COMMAND ...\n\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(out, "  nvfs %s %s\n        %s\n", commands[i].name,
			commands[i].args, commands[i].help);
	fprintf(out,
		"\nOptions: nvfs COMMAND --help; nvfs --version\n"
		"Exit status: 0 yes or done, 1 no or failed, 2 could not begin.\n"
		"More: man nvfs\n");
}

static int usage_of(const struct command *command)
{
	printf("usage: nvfs %s %s\n\n  %s\n", command->name, command->args,
	       command->help);
	if (command->options)
		printf("\n%s", command->options);
	printf("\nMore: man %s\n", command->page);
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

static int cmd_help(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		usage(stdout);
		return TOOL_OK;
	}
	command = find_command(argv[1]);
	if (command)
		return usage_of(command);
	complain("no command '%s'; see: nvfs help", argv[1]);
	return TOOL_TROUBLE;
}

/* Also behind options that would not do; a file of that name follows "--". */
static bool wants_help(int nr, char **words)
{
	if (nr && !strcmp(words[0], "-h"))
		return true;
	for (int i = 0; i < nr && strcmp(words[i], "--"); i++) {
		if (!strcmp(words[i], "--help"))
			return true;
	}
	return false;
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
	status = wants_help(argc - 2, argv + 2) ?
			 usage_of(command) : command->run(argc - 1, argv + 1);
	/* A result that could not be written is no result. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("can't write to standard output");
		return TOOL_TROUBLE;
	}
	return status;
}
