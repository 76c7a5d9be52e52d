/* SPDX-License-Identifier: MIT */
/*
 * What the self-tests stand on: GPU memory, the device, files with known
 * bytes, and the counters that show a leak. A fixture that can't be had fails
 * the test; nothing here skips.
 */
#ifndef NVFS_TEST_FIX_H
#define NVFS_TEST_FIX_H

#include "harness.h"

#include <stdint.h>
#include <sys/types.h>

#include "uapi/nvfs.h"

#define KIB	1024ULL
#define MIB	(1024ULL * 1024)
#define BLOCK	4096ULL

/* ---------------------------------------------------------- GPU memory */

struct gpu_buf {
	int gpu;
	uint64_t va;
	uint64_t size;
};

int gpu_count(void);
uint64_t gpu_total(int gpu);
uint32_t gpu_bdf(int gpu);
/* Makes its primary context that of the calling thread, as the calls below do. */
void gpu_use(int gpu);

/* Returns false when the GPU has no room; all else that fails is a failure. */
bool gpu_try_alloc(struct gpu_buf *buf, int gpu, uint64_t size, bool scatter);
void gpu_alloc(struct gpu_buf *buf, int gpu, uint64_t size, bool scatter);
void gpu_free(struct gpu_buf *buf);
void gpu_fill(const struct gpu_buf *buf, uint8_t byte);
void gpu_put(const struct gpu_buf *buf, uint64_t offset, const void *from,
	     uint64_t len);
void gpu_get(const struct gpu_buf *buf, uint64_t offset, void *to,
	     uint64_t len);

/* ----------------------------------------------------------- the device */

/* One request, as a test thinks of it. */
struct xfer {
	int dev;
	uint32_t region;
	int file;
	uint64_t region_offset;
	uint64_t file_offset;
	uint64_t length;
};

int nv_open(void);
/* The raw call; fills @reg but for what is set. 0, or -1 and errno. */
int nv_register(int dev, uint64_t va, uint64_t length,
		struct nvfs_register *reg);
/* Registers all of @buf; the id. */
uint32_t nv_region(int dev, const struct gpu_buf *buf);
int nv_unregister(int dev, uint32_t region);
int nv_read(const struct xfer *x, struct nvfs_rw *rw);
int nv_write(const struct xfer *x, struct nvfs_rw *rw);
int nv_query(int dev, uint32_t region, int file, struct nvfs_query *query);
uint32_t nv_nr_regions(int dev);

/* ---------------------------------------------------------------- files */

enum target { DISK, PART, EXT4, XFS, TARGETS };

extern const char * const target_names[TARGETS];

/* A key of setup.sh's list: disk part ext4 xfs tmpfs nvme1 vblk0; "" = none. */
const char *fix_place(const char *key);

/* A path for the test's own file: a device, or a new name on a file system. */
void fix_path(enum target target, char *path, size_t size);

/* First byte of @target that a test may write, and bytes from there. */
uint64_t target_base(enum target target);

/*
 * Opens (and for a file system makes) a file of @length bytes of the pattern
 * @seed, on the drive and not in the page cache.
 */
int file_make(enum target target, uint64_t length, uint64_t seed, int flags);
int file_make_at(const char *path, uint64_t base, uint64_t length,
		 uint64_t seed, int flags);
/* Demands that the file's bytes are the pattern @seed; looks at the drive. */
void file_check(int fd, uint64_t base, uint64_t offset, uint64_t length,
		uint64_t seed);
void file_drop_cache(int fd);

/* Bytes that depend on their place: a misplaced piece is seen. */
void pattern_fill(void *to, uint64_t length, uint64_t seed, uint64_t offset);
uint64_t random_next(uint64_t *state);

/* Demands that [offset, +length) of @buf is the pattern from @pattern_offset */
void gpu_check_pattern(const struct gpu_buf *buf, uint64_t offset,
		       uint64_t length, uint64_t seed, uint64_t pattern_offset);
void gpu_put_pattern(const struct gpu_buf *buf, uint64_t offset,
		     uint64_t length, uint64_t seed, uint64_t pattern_offset);
void gpu_check_byte(const struct gpu_buf *buf, uint64_t offset,
		    uint64_t length, uint8_t byte);

/* -------------------------------------------------------------- modules */

/* The file of a module of this build, for the running kernel. */
int module_open(const char *module);
/* 0, or -1 and errno. */
int module_try_load(const char *module, const char *parameters);
void module_load(const char *module, const char *parameters);
/* As rmmod does: refused at once when the module is in use. */
int module_unload(const char *module);

/* ------------------------------------------------------------ the world */

/* A number of /proc/nvfs/stats or io_stats; -1 when there is none. */
long long stat_get(const char *key);
/* Pinned page tables that the emulated GPUs count; -1 without their driver. */
long long gpu_pins(void);

void *xmalloc(size_t size);
/* Runs a shell command; output (cut to @size) and exit status. */
int shell(char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The top of the tree, from where this program lies. */
const char *top_dir(void);

#endif /* NVFS_TEST_FIX_H */
