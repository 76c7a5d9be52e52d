// SPDX-License-Identifier: MIT
/* The device, and the counters by which a leak is seen after each test. */
#include "fix.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

const char *top_dir(void)
{
	static char path[400];
	ssize_t n;
	int i;

	if (path[0])
		return path;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n <= 0)
		FAIL("/proc/self/exe: %s", strerror(errno));
	path[n] = '\0';
	/* <top>/build/tests/<folder>/<program> */
	for (i = 0; i < 4; i++) {
		char *slash = strrchr(path, '/');

		if (slash)
			*slash = '\0';
	}
	return path;
}

void *xmalloc(size_t size)
{
	void *p = malloc(size);

	if (!p)
		FAIL("no memory for %zu bytes", size);
	return p;
}

int shell(char *out, size_t size, const char *fmt, ...)
{
	char command[1024], rest[512];
	size_t n = 0, got;
	va_list args;
	FILE *f;
	int status;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	f = popen(command, "re");
	if (!f)
		FAIL("popen: %s", strerror(errno));
	while (out && n + 1 < size &&
	       (got = fread(out + n, 1, size - 1 - n, f)) > 0)
		n += got;
	if (out && size)
		out[n] = '\0';
	while (fread(rest, 1, sizeof(rest), f) > 0)
		continue;
	status = pclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	       128 + WTERMSIG(status);
}

/* ----------------------------------------------------------- the device */

int nv_open(void)
{
	int fd = open("/dev/nvidia-fs", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("/dev/nvidia-fs: %s", strerror(errno));
	return fd;
}

int nv_register(int dev, uint64_t va, uint64_t length,
		struct nvfs_register *reg)
{
	memset(reg, 0, sizeof(*reg));
	reg->size = sizeof(*reg);
	reg->source = NVFS_SOURCE_P2P;
	reg->fd = -1;
	reg->addr = va;
	reg->length = length;
	return ioctl(dev, NVFS_IOC_REGISTER, reg);
}

uint32_t nv_region(int dev, const struct gpu_buf *buf)
{
	struct nvfs_register reg;

	ASSERT_EQ(nv_register(dev, buf->va, buf->size, &reg), 0);
	ASSERT_NE(reg.region, 0);
	return reg.region;
}

int nv_unregister(int dev, uint32_t region)
{
	struct nvfs_unregister u = { .size = sizeof(u), .region = region };

	return ioctl(dev, NVFS_IOC_UNREGISTER, &u);
}

static int nv_rw(unsigned long call, const struct xfer *x, struct nvfs_rw *rw)
{
	memset(rw, 0, sizeof(*rw));
	rw->size = sizeof(*rw);
	rw->region = x->region;
	rw->fd = x->file;
	rw->region_offset = x->region_offset;
	rw->file_offset = x->file_offset;
	rw->length = x->length;
	return ioctl(x->dev, call, rw);
}

int nv_read(const struct xfer *x, struct nvfs_rw *rw)
{
	return nv_rw(NVFS_IOC_READ, x, rw);
}

int nv_write(const struct xfer *x, struct nvfs_rw *rw)
{
	return nv_rw(NVFS_IOC_WRITE, x, rw);
}

int nv_query(int dev, uint32_t region, int file, struct nvfs_query *query)
{
	memset(query, 0, sizeof(*query));
	query->size = sizeof(*query);
	query->region = region;
	query->fd = file;
	return ioctl(dev, NVFS_IOC_QUERY, query);
}

uint32_t nv_nr_regions(int dev)
{
	struct nvfs_info info = { .size = sizeof(info) };

	ASSERT_EQ(ioctl(dev, NVFS_IOC_INFO, &info), 0);
	return info.nr_regions;
}

/* ------------------------------------------------------------ the world */

static long long number_in(const char *path, const char *key)
{
	long long value = -1;
	char line[256];
	size_t len = strlen(key);
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || line[len] != ' ')
			continue;
		value = strtoll(line + len, NULL, 0);
		break;
	}
	fclose(f);
	return value;
}

long long stat_get(const char *key)
{
	long long value = number_in("/proc/nvfs/stats", key);

	return value >= 0 ? value : number_in("/proc/nvfs/io_stats", key);
}

long long gpu_pins(void)
{
	long long pins = -1;
	FILE *f = fopen("/sys/kernel/debug/labgpu/pins", "re");

	if (!f)
		return -1;
	if (fscanf(f, "%lld", &pins) != 1)
		pins = -1;
	fclose(f);
	return pins;
}

/* What must be as before when a test has ended. */
static const char * const levels[] = {
	"files_open", "regions_live", "bytes_pinned_now", "gpus_known",
	"read_inflight", "write_inflight", "maps_live",
};

/*
 * A GPU's pages are made with its first region and may stay until the module
 * or the GPU goes: that one may grow to the number of GPUs, no further.
 */
#define LEVEL_GPUS	3
#define LEVELS		(sizeof(levels) / sizeof(levels[0]))

static long long live_before[LEVELS];
static long long pins_before;
static bool loaded_before;

static bool module_loaded(void)
{
	return !access("/sys/module/nvfs", F_OK);
}

static void remember_world(void)
{
	size_t i;

	loaded_before = module_loaded();
	pins_before = gpu_pins();
	for (i = 0; i < LEVELS; i++)
		live_before[i] = stat_get(levels[i]);
}

static const char *compare_world(void)
{
	static char text[200];
	size_t i;

	if (module_loaded() != loaded_before) {
		/* One test that fails shall not fail those behind it. */
		if (loaded_before)
			module_try_load("nvfs", "");
		return "leak: nvfs was loaded or unloaded and not put back";
	}
	if (gpu_pins() != pins_before) {
		snprintf(text, sizeof(text),
			 "leak: pinned page tables: %lld before, %lld after",
			 pins_before, gpu_pins());
		return text;
	}
	for (i = 0; i < LEVELS; i++) {
		long long now = stat_get(levels[i]);

		if (now == live_before[i] || (i == LEVEL_GPUS && now <= 16))
			continue;
		snprintf(text, sizeof(text),
			 "leak: %s: %lld before, %lld after", levels[i],
			 live_before[i], now);
		return text;
	}
	return NULL;
}

__attribute__((constructor)) static void watch_world(void)
{
	harness_set_hooks(remember_world, compare_world);
}
