// SPDX-License-Identifier: MIT
/*
 * The guest's hand of the host-witness tests: does one thing at a time, as it
 * is told through a pipe, so that the host can look from outside in between.
 *
 *	XFER_IN=FIFO XFER_OUT=FIFO xfer		a line in, a line out
 *
 *	alloc GPU BYTES SCATTER		ok VA
 *	read PATH FILE-OFFSET REGION-OFFSET LENGTH	ok DONE ROUTE REASON
 *	write ...			the same
 *	bread ..., bwrite ...		the same, host memory is allowed
 *	store PATH REGION-OFFSET LENGTH	ok; by the CPU, through a mapping
 *	load PATH REGION-OFFSET LENGTH	ok, or differs; the same
 *	extents PATH			ok OFFSET:DISK-OFFSET:LENGTH ...
 *	quit				ok
 *
 * A call that fails answers "errno N DONE ROUTE REASON".
 */
#include "fix_async.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/fiemap.h>
#include <linux/fs.h>

#define ANSWER	65536
#define EXTENTS	512

static char answer[ANSWER];
static struct xfer x;
static struct gpu_buf buf;
static uint64_t map_offset;

static void do_alloc(const char *args)
{
	struct nvfs_register reg;
	unsigned long long size;
	int gpu, scatter;

	ASSERT_EQ(sscanf(args, "%d %llu %d", &gpu, &size, &scatter), 3);
	if (buf.va) {
		ASSERT_EQ(nv_unregister(x.dev, x.region), 0);
		gpu_free(&buf);
	}
	gpu_alloc(&buf, gpu, size, scatter);
	ASSERT_EQ(nv_register(x.dev, buf.va, buf.size, &reg), 0);
	x.region = reg.region;
	map_offset = reg.mmap_offset;
	snprintf(answer, ANSWER, "ok 0x%llx", (unsigned long long)buf.va);
}

static void do_rw(const char *args, bool write, uint32_t flags)
{
	unsigned long long file_offset, region_offset, length;
	struct nvfs_rw rw;
	char path[300];
	int ret;

	ASSERT_EQ(sscanf(args, "%299s %llu %llu %llu", path, &file_offset,
			 &region_offset, &length), 4);
	x.file = open(path, write ? O_RDWR : O_RDONLY);
	ASSERT_GE(x.file, 0);
	x.file_offset = file_offset;
	x.region_offset = region_offset;
	x.length = length;
	ret = nv_rw_as(&x, write, flags, &rw);
	if (ret)
		snprintf(answer, ANSWER, "errno %d %llu %u %u", errno,
			 (unsigned long long)rw.done, rw.route, rw.reason);
	else
		snprintf(answer, ANSWER, "ok %llu %u %u",
			 (unsigned long long)rw.done, rw.route, rw.reason);
	if (write)
		ASSERT_EQ(fsync(x.file), 0);
	close(x.file);
}

/* The file's bytes to, or compared with, the region's, in whole pages. */
static void do_cpu(const char *args, bool store)
{
	unsigned long long offset, length;
	uint8_t *at, *data;
	char path[300];
	int file;

	ASSERT_EQ(sscanf(args, "%299s %llu %llu", path, &offset, &length), 3);
	at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, x.dev,
		  (off_t)(map_offset + offset));
	ASSERT_TRUE(at != MAP_FAILED);
	data = xmalloc(length);
	file = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(file, 0);
	ASSERT_EQ(pread(file, data, length, 0), length);
	strcpy(answer, "ok");
	if (store)
		memcpy(at, data, length);
	else if (memcmp(at, data, length))
		strcpy(answer, "differs");
	close(file);
	free(data);
	ASSERT_EQ(munmap(at, length), 0);
}

/* Where a partition begins on its disk, in bytes. */
static unsigned long long partition_start(dev_t dev)
{
	unsigned long long sectors = 0;
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/start", major(dev),
		 minor(dev));
	f = fopen(path, "re");
	if (!f)
		return 0;
	ASSERT_EQ(fscanf(f, "%llu", &sectors), 1);
	fclose(f);
	return sectors * 512;
}

static void do_extents(const char *path)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent[EXTENTS];
	} *f = xmalloc(sizeof(*f));
	unsigned int i, n = 2;
	unsigned long long start;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	if (S_ISBLK(st.st_mode)) {
		snprintf(answer, ANSWER, "ok 0:%llu:%llu",
			 partition_start(st.st_rdev),
			 (unsigned long long)lseek(fd, 0, SEEK_END));
		return;
	}
	start = partition_start(st.st_dev);
	memset(f, 0, sizeof(*f));
	f->map.fm_length = ~0ULL;
	f->map.fm_flags = FIEMAP_FLAG_SYNC;
	f->map.fm_extent_count = EXTENTS;
	ASSERT_EQ(ioctl(fd, FS_IOC_FIEMAP, f), 0);
	ASSERT_LT(f->map.fm_mapped_extents, EXTENTS);
	strcpy(answer, "ok");
	for (i = 0; i < f->map.fm_mapped_extents; i++) {
		struct fiemap_extent *e = &f->extent[i];

		n += (unsigned int)snprintf(answer + n, ANSWER - n,
			" %llu:%llu:%llu",
			(unsigned long long)e->fe_logical,
			(unsigned long long)e->fe_physical + start,
			(unsigned long long)e->fe_length);
	}
	free(f);
	close(fd);
}

static bool obey(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	if (!strncmp(line, "alloc ", 6))
		do_alloc(line + 6);
	else if (!strncmp(line, "read ", 5))
		do_rw(line + 5, false, 0);
	else if (!strncmp(line, "write ", 6))
		do_rw(line + 6, true, 0);
	else if (!strncmp(line, "bread ", 6))
		do_rw(line + 6, false, NVFS_RW_BOUNCE);
	else if (!strncmp(line, "bwrite ", 7))
		do_rw(line + 7, true, NVFS_RW_BOUNCE);
	else if (!strncmp(line, "store ", 6))
		do_cpu(line + 6, true);
	else if (!strncmp(line, "load ", 5))
		do_cpu(line + 5, false);
	else if (!strncmp(line, "extents ", 8))
		do_extents(line + 8);
	else
		strcpy(answer, strcmp(line, "quit") ? "what?" : "ok");
	return strcmp(line, "quit");
}

static const char *in_path, *out_path;

/* A TEST so that the harness's assertions work; run as the only one. */
TEST_LIMIT(serve, 600)
{
	FILE *in;
	char line[512];
	bool more = true;

	in_path = getenv("XFER_IN");
	out_path = getenv("XFER_OUT");
	ASSERT_TRUE(in_path && out_path);
	in = fopen(in_path, "r+e");
	ASSERT_TRUE(in != NULL);
	x.dev = nv_open();
	while (more && fgets(line, sizeof(line), in)) {
		int out;

		more = obey(line);
		out = open(out_path, O_WRONLY | O_CLOEXEC);
		ASSERT_GE(out, 0);
		dprintf(out, "%s\n", answer);
		close(out);
	}
}
