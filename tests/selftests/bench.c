// SPDX-License-Identifier: MIT
/* nvfs bench: what it reports is what the module counted and the file holds. */
#include "tool.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the module has counted, before and after a command. */
struct counted {
	long long bytes;
	long long direct;
};

static struct counted count(bool write)
{
	struct counted now = {
		.bytes = stat_get(write ? "write_bytes" : "read_bytes"),
		.direct = stat_get(write ? "write_direct_bytes" :
					   "read_direct_bytes"),
	};

	return now;
}

/* Runs it, and demands that its numbers and the module's are the same. */
static void run_counted(const char *args, const char *path, bool write,
			long long bytes)
{
	struct counted before = count(write), after;

	EXPECT(with(args, path), 0);
	after = count(write);
	ASSERT_EQ(atoll(json("bytes")), bytes);
	ASSERT_EQ(after.bytes - before.bytes, bytes);
	ASSERT_EQ(atoll(json("direct_bytes")), after.direct - before.direct);
	EXPECT_JSON("error", "null");
	ASSERT_EQ(gpu_pins(), 0);
}

static const char *new_file(enum target target)
{
	static char path[300];

	fix_path(target, path, sizeof(path));
	unlink(path);
	return path;
}

static void in_mode(enum target target, const char *mode)
{
	const char *path = new_file(target);
	char args[300];

	snprintf(args, sizeof(args),
		 "bench --json --mode %s -w 2 --rw randwrite -i 64K -s 2M -V -k 5 %%s",
		 mode);
	run_counted(args, path, true, 2 * MIB);
	EXPECT_JSON("route", "direct");
	EXPECT_JSON("ops", "32");
	EXPECT_JSON("verified", "2097152");
	snprintf(args, sizeof(args),
		 "bench --json --mode %s -w 2 --rw randread -i 32K -V -k 5 %%s",
		 mode);
	run_counted(args, path, false, 2 * MIB);
	EXPECT_JSON("route", "direct");
	EXPECT_JSON("ops", "64");
	EXPECT_JSON("verified", "2097152");
	unlink(path);
}

TEST(direct_requests_one_by_one_are_counted)
{
	in_mode(EXT4, "sync");
}

TEST(direct_requests_in_batches_are_counted)
{
	in_mode(XFS, "batch");
}

TEST(direct_requests_in_a_stream_are_counted)
{
	in_mode(EXT4, "stream");
}

TEST(a_line_as_gdsio_takes_it)
{
	const char *path = new_file(EXT4);

	EXPECT(with("bench -f %s -d 0 -w 2 -s 1M -i 128K -x 0 -I 1", path), 0);
	ASSERT_CONTAINS(out, "IoType: WRITE XferType: GPUD Threads: 2 DataSetSize: 1024/1024(KiB) IOSize: 128(KiB) Throughput: ");
	ASSERT_CONTAINS(out, " ops: 8 total_time ");
	ASSERT_CONTAINS(out, " Route: direct Direct: 1024(KiB) Bounce: 0(KiB) Latency(usecs): p50 ");
	EXPECT(with("bench -f %s -d 0 -w 1 -i 4K:8K:4K -x 6 -B 16 -I 2 -T 0.2",
		    path), 0);
	ASSERT_CONTAINS(out, "IoType: RANDREAD XferType: GPU_BATCH Threads: 1 IoDepth: 16 ");
	ASSERT_CONTAINS(out, "IOSize: 4(KiB)");
	ASSERT_CONTAINS(out, "IOSize: 8(KiB)");
	unlink(path);
}

TEST(one_wrong_byte_in_the_file_is_found)
{
	const char *path = new_file(EXT4);
	int fd;

	EXPECT(with("bench --rw write -s 1M -i 64K -V --quiet %s", path), 0);
	EXPECT(with("bench --rw verify %s", path), 0);
	ASSERT_CONTAINS(out, " Verified: 1024(KiB)\n");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_EQ(pwrite(fd, "\x5a", 1, 700001), 1);
	ASSERT_EQ(fsync(fd), 0);
	close(fd);
	EXPECT(with("bench --rw verify %s", path), 1);
	ASSERT_CONTAINS(out, "byte 700001: 0x5a instead of 0x");
	EXPECT(with("bench --json --rw randread -i 4K -V %s", path), 1);
	EXPECT_JSON("different_at", "700001");
	unlink(path);
}

TEST(a_closed_way_is_told)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/bench", fix_place("tmpfs"));
	EXPECT(with("bench --rw write -s 1M -i 64K -V %s", path), 0);
	ASSERT_CONTAINS(out, " Route: bounce Direct: 0(KiB) Bounce: 1024(KiB)");
	ASSERT_CONTAINS(out, "not direct (");
	EXPECT(with("bench --json -V %s", path), 0);
	EXPECT_JSON("route", "bounce");
	EXPECT_JSON("direct_bytes", "0");
	EXPECT_JSON("bounce_bytes", "1048576");
	EXPECT(with("bench --json --route direct %s", path), 1);
	EXPECT_JSON("error", "EREMOTEIO");
	EXPECT_JSON("bytes", "0");
	unlink(path);
}

TEST(host_memory_when_it_is_asked_for)
{
	const char *path = new_file(XFS);
	struct counted before;

	EXPECT(with("bench --rw write -s 1M -V --quiet %s", path), 0);
	before = count(false);
	EXPECT(with("bench --json --route host -i 64K -V %s", path), 0);
	EXPECT_JSON("route", "bounce");
	EXPECT_JSON("reason", "not-wanted");
	ASSERT_EQ(count(false).bytes, before.bytes);
	unlink(path);
}

TEST(unaligned_requests_are_mixed_and_right)
{
	const char *path = new_file(EXT4);

	EXPECT(with("bench --rw write -s 1M -i 64K -V --quiet %s", path), 0);
	EXPECT(with("bench --json -U -i 100000 -V %s", path), 0);
	EXPECT_JSON("bytes", "1047799");
	EXPECT_JSON("verified", "1047799");
	ASSERT_TRUE(strcmp(json("route"), "direct"));
	EXPECT(with("bench --json -U --rw write -i 64K -V %s", path), 0);
	EXPECT_JSON("verified", "1047799");
	unlink(path);
}

TEST(memory_that_nobody_registered)
{
	const char *path = new_file(EXT4);

	EXPECT(with("bench --rw write -s 1M -V --quiet %s", path), 0);
	run_counted("bench --json -b -i 64K -V %s", path, false, MIB);
	EXPECT_JSON("registered", "false");
	EXPECT_JSON("route", "direct");
	unlink(path);
}

TEST(a_device_is_written_only_by_force)
{
	const char *part = fix_place("part");

	EXPECT(with("bench --rw write -s 1M %s", part), 2);
	ASSERT_CONTAINS(out, "--force");
	EXPECT(with("bench --json --rw write -s 1M -i 64K -V --force %s", part),
	       0);
	EXPECT_JSON("route", "direct");
	EXPECT(with("bench --json -s 1M -i 16K -V %s", part), 0);
	EXPECT_JSON("verified", "1048576");
}

TEST(a_file_for_each_thread)
{
	char path[300], name[340];
	struct stat st;

	snprintf(path, sizeof(path), "%s/bench.d", fix_place("ext4"));
	ASSERT_EQ(mkdir(path, 0700), 0);
	EXPECT(with("bench --json -D %s -w 2 -I 1 -s 512K -i 64K -V", path), 0);
	EXPECT_JSON("bytes", "1048576");
	snprintf(name, sizeof(name), "%s/nvfs-bench.1", path);
	ASSERT_EQ(stat(name, &st), 0);
	ASSERT_EQ(st.st_size, 512 * KIB);
	EXPECT(with("bench --json -D %s -w 2 -I 0 -i 64K -V", path), 0);
	EXPECT_JSON("verified", "1048576");
	shell(NULL, 0, "rm -r %s", path);
}

TEST(what_was_cached_is_told)
{
	const char *path = new_file(EXT4);

	EXPECT(with("bench --rw write -s 1M --quiet %s", path), 0);
	shell(NULL, 0, "cat %s >/dev/null", path);
	EXPECT(with("bench --json %s", path), 0);
	EXPECT_JSON("cached", "1048576");
	EXPECT(with("bench --json --drop-cache %s", path), 0);
	EXPECT_JSON("cached", "0");
	unlink(path);
}

TEST(bench_that_can_not_begin_is_2)
{
	EXPECT("bench", 2);
	EXPECT("bench /no/such/file", 2);
	ASSERT_CONTAINS(out, "--rw write --size N");
	EXPECT("bench --rw write --size 1M /no/such/dir/file", 2);
	EXPECT("bench --rw append /tmp/x", 2);
	EXPECT("bench -x 3 -f /tmp/x", 2);
	EXPECT("bench --gpu 99 /etc/hostname", 2);
	EXPECT("bench /tmp", 2);
	EXPECT("bench /dev/null", 2);
}

TEST(bench_without_a_gpu_leaves_the_file_alone)
{
	struct stat st;

	EXPECT("bench --gpu 99 --rw write --size 1M /tmp/bench-new", 2);
	ASSERT_EQ(stat("/tmp/bench-new", &st), -1);
	close(file_make_at("/tmp/bench-old", 0, 4096, TOOL_SEED,
			   O_RDWR));
	EXPECT("bench --gpu 99 --rw write --size 1M /tmp/bench-old", 2);
	ASSERT_EQ(stat("/tmp/bench-old", &st), 0);
	unlink("/tmp/bench-old");
	ASSERT_EQ(st.st_size, 4096);
}
