// SPDX-License-Identifier: MIT
/* The nvfs command, as a user would type it: results, exit codes, JSON. */
#include "tool.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	TOOL_SEED

TEST(check_finds_a_direct_pair)
{
	char want[340];

	snprintf(want, sizeof(want), "\"what\":\"mount\",\"file\":\"%s\",\"fs\":\"ext4\",",
		 fix_place("ext4"));
	EXPECT("check", 0);
	ASSERT_CONTAINS(out, "\n PLATFORM\n");
	ASSERT_CONTAINS(out, "\n yes: ");
	EXPECT("check --json", 0);
	ASSERT_CONTAINS(out, "\"kind\":\"platform\"");
	ASSERT_CONTAINS(out, "\"kind\":\"module\",\"loaded\":true");
	ASSERT_CONTAINS(out, "\"kind\":\"gpu\"");
	ASSERT_CONTAINS(out, "\"fit\":\"ok\"");
	ASSERT_CONTAINS(out, "\"kind\":\"config\"");
	ASSERT_CONTAINS(out, "\"kind\":\"pair\"");
	ASSERT_CONTAINS(out, want);
	ASSERT_CONTAINS(out, "\"kind\":\"verdict\",\"direct\":true");
}

/* As people paste it into an issue: every section, in this order. */
TEST(check_says_what_an_issue_needs)
{
	static const char * const parts[] = {
		" nvfs check ", "\n PLATFORM\n", " kernel ", " IOMMU ",
		" secure boot ", " lockdown ", " memory encryption ",
		" container ", " io_uring ", " cachestat ", "\n DRIVERS\n",
		" nvfs ", ": loaded, version ", " provider ",
		": page table version 0x", " nvidia ", "\n cuda ",
		"\n GPUS\n", " gpu:0 ", ", BAR ", ", IOMMU ", ", fit ok",
		"\n LIBCUFILE\n", " cufile.json ",
		"\n DRIVES, FILE SYSTEMS AND FILES\n", " gpu:0 ", "/dev/nvme",
		"  ext4 on /dev/nvme", "\n VERDICT\n", " yes: ",
	};
	const char *at;

	fix_place("disk");
	EXPECT("check", 0);
	at = out;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *found = strstr(at, parts[i]);

		if (!found)
			FAIL("no \"%s\" after \"%.40s\" in %.3000s", parts[i],
			     at, out);
		at = found;
	}
}

TEST(check_of_a_file_that_can_not_go_direct)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/check", fix_place("tmpfs"));
	close(file_make_at(path, 0, 4096, SEED, O_RDWR));
	EXPECT(with("check %s", path), 1);
	ASSERT_CONTAINS(out, "\n no: none of ");
	unlink(path);
	/* A directory stands for what is in it, or would be. */
	EXPECT(with("check %s", fix_place("tmpfs")), 1);
	EXPECT(with("check %s", fix_place("xfs")), 0);
}

TEST(check_of_a_file_that_is_not_there)
{
	EXPECT("check /no/such/file", 2);
	ASSERT_CONTAINS(out, "/no/such/file can't be looked at");
	EXPECT("check /dev/null", 2);
	ASSERT_CONTAINS(out, "this is neither a file nor a block device");
	EXPECT(with("check %s /no/such/file", fix_place("ext4")), 2);
	EXPECT("check --no-such-option", 2);
}

TEST(check_reads_what_libcufile_reads)
{
	static const char path[] = "/tmp/nvfs-check.json";
	static const char env[] = "CUFILE_ENV_PATH_JSON=/tmp/nvfs-check.json";
	FILE *file = fopen(path, "we");

	ASSERT_TRUE(file);
	fputs("{ \"properties\": { /* so */ \"allow_compat_mode\": false } }\n",
	      file);
	fclose(file);
	putenv((char *)env);
	fix_place("disk");
	EXPECT("check", 0);
	ASSERT_CONTAINS(out, "file              : properties.allow_compat_mode = false\n");
	ASSERT_CONTAINS(out, "environment       : CUFILE_ENV_PATH_JSON = /tmp/nvfs-check.json\n");
	file = fopen(path, "we");
	fputs("{ \"properties\": { \"allow_compat_mode\": 7 } }\n", file);
	fclose(file);
	EXPECT("check", 0);
	ASSERT_CONTAINS(out, "/tmp/nvfs-check.json can't be used: ");
	ASSERT_CONTAINS(out, "(EINVAL)");
	unlink(path);
}

static void copy(enum target target)
{
	const char *path = named_file(target, 3 * MIB);

	EXPECT(with("cp --json %s gpu:0", path), 0);
	EXPECT_JSON("cmd", "cp");
	EXPECT_JSON("gpu", "0");
	EXPECT_JSON("direction", "read");
	EXPECT_JSON("bytes", "3145728");
	EXPECT_JSON("route", "direct");
	EXPECT_JSON("reason", "none");
	EXPECT_JSON("error", "null");
	ASSERT_CONTAINS(json("gpu_addr"), "0x");
	EXPECT(with("verify %s gpu:0", path), 0);
	unlink(path);
}

TEST(cp_reads_an_ext4_file)
{
	copy(EXT4);
}

TEST(cp_reads_an_xfs_file)
{
	copy(XFS);
}

TEST(cp_reads_a_device)
{
	close(file_make(PART, 1 * MIB, SEED, O_RDWR));
	EXPECT(with("cp --json --size 1M %s gpu:0", fix_place("part")), 0);
	EXPECT_JSON("bytes", "1048576");
	EXPECT_JSON("route", "direct");
}

/* Into the GPU, verified there, out again to a second file, and freed. */
TEST(bytes_held_on_the_gpu_go_round)
{
	const uint64_t length = 1 * MIB + 1234;
	char second[320];
	struct stat st;
	int fd;

	snprintf(second, sizeof(second), "%s.copy", named_file(EXT4, length));
	second[strlen(second) - 5] = '\0';
	EXPECT(with("cp --hold %s gpu:0", second), 0);
	EXPECT(with("verify %s gpu:0", second), 0);
	EXPECT(with("cp --json gpu:0 %s.copy", second), 0);
	EXPECT_JSON("direction", "write");
	EXPECT_JSON("route", "direct");
	unlink(second);
	strcat(second, ".copy");
	fd = open(second, O_RDWR | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	ASSERT_EQ(st.st_size, length);
	file_check(fd, 0, 0, length, SEED);
	EXPECT("free gpu:0", 0);
	ASSERT_EQ(gpu_pins(), 0);
	unlink(second);
}

TEST(verify_sees_one_wrong_byte)
{
	const char *path = named_file(EXT4, 1 * MIB);
	int fd;

	EXPECT(with("cp --hold %s gpu:0", path), 0);
	EXPECT(with("verify %s gpu:0", path), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_EQ(pwrite(fd, "\x01\x02", 2, 700001), 2);
	EXPECT(with("verify %s gpu:0", path), 1);
	ASSERT_TRUE(strstr(out, "700001") || strstr(out, "700002"));
	EXPECT("free gpu:0", 0);
	unlink(path);
}

TEST(nothing_is_held)
{
	char path[300];

	fix_path(EXT4, path, sizeof(path));
	EXPECT("free gpu:0", 2);
	EXPECT(with("cp gpu:0 %s", path), 2);
	ASSERT_TRUE(access(path, F_OK));
}

TEST(closed_way_is_an_error_and_not_a_detour)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/cp", fix_place("tmpfs"));
	close(file_make_at(path, 0, 1 * MIB, SEED, O_RDWR));
	EXPECT(with("cp --json %s gpu:0", path), 1);
	EXPECT_JSON("error", "EREMOTEIO");
	EXPECT_JSON("bytes", "0");
	EXPECT_JSON("route", "none");
	EXPECT(with("cp --bounce --json %s gpu:0", path), 0);
	EXPECT_JSON("route", "bounce");
	EXPECT_JSON("bytes", "1048576");
	unlink(path);
}

TEST(bad_usage_is_2)
{
	EXPECT("", 2);
	EXPECT("no-such-command", 2);
	EXPECT("cp", 2);
	EXPECT("cp /etc/hostname", 2);
	EXPECT("cp /etc/hostname gpu:x", 2);
	EXPECT("cp /etc/hostname gpu:99", 2);
	EXPECT("cp /no/such/file gpu:0", 2);
	EXPECT("cp --size 12Q /etc/hostname gpu:0", 2);
	EXPECT("cp --no-such-option /etc/hostname gpu:0", 2);
	EXPECT("help", 0);
	ASSERT_CONTAINS(out, "usage: nvfs");
}

TEST(every_command_explains_itself)
{
	static const char * const names[] = {
		"bench", "check", "cp", "verify", "free", "stat", "devices",
		"peers", "version", "help",
	};
	char line[64], want[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(want, sizeof(want), "usage: nvfs %s ", names[i]);
		snprintf(line, sizeof(line), "%s --help", names[i]);
		EXPECT(line, 0);
		ASSERT_CONTAINS(out, want);
		snprintf(line, sizeof(line), "%s -h", names[i]);
		EXPECT(line, 0);
		ASSERT_CONTAINS(out, want);
		snprintf(line, sizeof(line), "help %s", names[i]);
		EXPECT(line, 0);
		ASSERT_CONTAINS(out, want);
	}
	EXPECT("cp --size 4K --help", 0);
	ASSERT_CONTAINS(out, "--chunk N");
	EXPECT("check --json -- --help", 2);
	EXPECT("help no-such-command", 2);
}

TEST(version_is_that_of_the_header)
{
	char want[32];

	snprintf(want, sizeof(want), "%d.%d.%d", NVFS_VERSION_MAJOR,
		 NVFS_VERSION_MINOR, NVFS_VERSION_PATCH);
	EXPECT("version", 0);
	ASSERT_CONTAINS(out, want);
}

/* Interrupted at any moment the command leaves nothing behind. */
TEST(killed_command_leaves_nothing)
{
	const char *path = named_file(XFS, 16 * MIB);
	int i;

	for (i = 0; i < 5; i++) {
		shell(NULL, 0, "LD_LIBRARY_PATH=%s/build/lab timeout -s KILL "
		      "0.%d5 %s/build/tools/nvfs cp --quiet %s gpu:0 "
		      "2>/dev/null", top_dir(), i, top_dir(), path);
		ASSERT_EQ(gpu_pins(), 0);
	}
	unlink(path);
}

/* ------------------------------------------------- what the module counts */

TEST(stat_counts_what_cp_moved)
{
	const char *path = named_file(EXT4, 3 * MIB);
	long long bytes, direct;

	EXPECT("stat --json", 0);
	bytes = atoll(json("read_bytes"));
	direct = atoll(json("read_direct_bytes"));
	EXPECT(with("cp %s gpu:0", path), 0);
	EXPECT("stat --json", 0);
	ASSERT_EQ(atoll(json("read_bytes")) - bytes, 3 * MIB);
	ASSERT_EQ(atoll(json("read_direct_bytes")) - direct, 3 * MIB);
	ASSERT_EQ(atoll(json("read_inflight")), 0);
	EXPECT("stat", 0);
	ASSERT_CONTAINS(out, "0 regions live, 0 B pinned");
	EXPECT("stat --prometheus", 0);
	ASSERT_CONTAINS(out, "# TYPE nvfs_read_bytes_total counter\n");
	unlink(path);
}

static void switch_counting(const char *word)
{
	ASSERT_EQ(shell(NULL, 0, "cd /sys/module/nvfs/parameters && "
			"echo %s >latency && echo %s >usage", word, word), 0);
}

TEST(stat_shows_times_and_users_and_sets_them_to_0)
{
	char args[40];
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x = { .dev = nv_open(), .length = 64 * KIB };
	int i;

	gpu_alloc(&buf, 0, MIB, false);
	x.region = nv_region(x.dev, &buf);
	x.file = file_make(PART, MIB, SEED, O_RDWR);
	EXPECT("stat --reset", 0);
	switch_counting("1");
	for (i = 0; i < 10; i++)
		ASSERT_EQ(nv_read(&x, &rw), 0);
	switch_counting("0");
	EXPECT("stat", 0);
	harness_note("%s", out);
	ASSERT_CONTAINS(out, "\nread                 64.0 KiB ");
	ASSERT_CONTAINS(out, "\ngpu     0000:");
	ASSERT_CONTAINS(out, "\ndrive   0000:");
	snprintf(args, sizeof(args), "stat --json -p %d", (int)getpid());
	EXPECT(args, 0);
	EXPECT_JSON("read_requests", "10");
	EXPECT_JSON("read_direct_bytes", "655360");
	EXPECT("stat -p 1", 1);
	EXPECT("stat --reset", 0);
	EXPECT("stat --json", 0);
	ASSERT_CONTAINS(out, "\"latency\":[],");
	EXPECT_JSON("read_requests", "0");
	EXPECT_JSON("regions_live", "1");
}

TEST(peers_and_devices_are_those_of_the_machine)
{
	EXPECT("devices", 0);
	ASSERT_CONTAINS(out, "nvme ");
	EXPECT("peers", 0);
	ASSERT_CONTAINS(out, "switch 4");
	ASSERT_CONTAINS(out, "(host-bridge)");
}

/* Reads until the text has been on the terminal; 40 s at most. */
static bool screen_has(int terminal, const char *part)
{
	struct pollfd fd = { .fd = terminal, .events = POLLIN };
	static char text[1 << 17];
	size_t used = 0;

	while (used < sizeof(text) - 1 && poll(&fd, 1, 40000) > 0) {
		ssize_t got = read(terminal, text + used,
				   sizeof(text) - 1 - used);

		if (got <= 0)
			return false;
		used += (size_t)got;
		text[used] = '\0';
		if (strstr(text, part))
			return true;
	}
	return false;
}

/* The screen follows what another process does, and ends with q. */
TEST_LIMIT(watch_shows_what_is_moved_meanwhile, 120)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	const char *path = named_file(EXT4, 3 * MIB);
	char tool[400], want[64];
	int terminal, status;
	pid_t pid;

	snprintf(tool, sizeof(tool), "%s/build/tools/nvfs", top_dir());
	pid = forkpty(&terminal, NULL, NULL, &size);
	ASSERT_GE(pid, 0);
	if (!pid) {
		execl(tool, tool, "stat", "--watch", "--interval", "0.2",
		      NULL);
		_exit(127);
	}
	ASSERT_TRUE(screen_has(terminal, "0 regions live, 0 B pinned"));
	/* one region more, as long as it is held */
	EXPECT(with("cp --hold %s gpu:0", path), 0);
	snprintf(want, sizeof(want), "%lld regions live",
		 stat_get("regions_live"));
	ASSERT_TRUE(screen_has(terminal, want));
	EXPECT("free gpu:0", 0);
	ASSERT_TRUE(screen_has(terminal, "0 regions live, 0 B pinned"));
	ASSERT_EQ(write(terminal, "q", 1), 1);
	ASSERT_TRUE(screen_has(terminal, "\033[?25h\033[?1049l"));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
	unlink(path);
}

/* A process of its own that reads until it is killed. */
static pid_t keep_reading(void)
{
	struct xfer x = { .length = MIB };
	struct gpu_buf buf;
	struct nvfs_rw rw;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	x.dev = nv_open();
	gpu_alloc(&buf, 0, MIB, false);
	x.region = nv_region(x.dev, &buf);
	x.file = file_make(EXT4, MIB, SEED, O_RDONLY);
	for (;;)
		ASSERT_EQ(nv_read(&x, &rw), 0);
}

/* Rates rise when data moves, all of it direct, and fall when it ends. */
TEST_LIMIT(watch_redraws_rates, 120)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	static const char idle[] = "read            0 B/s          0/s";
	int terminal, status;
	char tool[400];
	pid_t pid, reader;

	fix_place("ext4");
	snprintf(tool, sizeof(tool), "%s/build/tools/nvfs", top_dir());
	pid = forkpty(&terminal, NULL, NULL, &size);
	ASSERT_GE(pid, 0);
	if (!pid) {
		execl(tool, tool, "stat", "--watch", "--interval", "0.2",
		      NULL);
		_exit(127);
	}
	ASSERT_TRUE(screen_has(terminal, idle));
	reader = keep_reading();
	/* nothing else of the screen has this unit */
	ASSERT_TRUE(screen_has(terminal, "iB/s"));
	ASSERT_TRUE(screen_has(terminal, "100.0 %"));
	ASSERT_EQ(kill(reader, SIGKILL), 0);
	ASSERT_EQ(waitpid(reader, NULL, 0), reader);
	ASSERT_TRUE(screen_has(terminal, idle));
	ASSERT_EQ(write(terminal, "q", 1), 1);
	ASSERT_TRUE(screen_has(terminal, "\033[?25h\033[?1049l"));
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}
