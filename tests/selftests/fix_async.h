/* SPDX-License-Identifier: MIT */
/*
 * The calls of issue 3: requests with flags, batches, and places on drives that
 * nothing reaches directly.
 */
#ifndef NVFS_TEST_FIX_ASYNC_H
#define NVFS_TEST_FIX_ASYNC_H

#include "fix.h"

#define SECOND_NS	1000000000LL

/* The raw call with flags and, for NVFS_RW_REPORT_HOLES, room for holes. */
int nv_rw_as(const struct xfer *x, bool write, uint32_t flags,
	     struct nvfs_rw *rw);
int nv_read_holes(const struct xfer *x, uint32_t flags, struct nvfs_hole *holes,
		  uint32_t max_holes, struct nvfs_rw *rw);

struct nvfs_request nv_request(const struct xfer *x, uint32_t op,
			       uint32_t flags, uint64_t user_data);

/* All return 0, or -1 and errno; *_make() demands success. */
uint32_t batch_make(int dev, uint32_t depth);
int batch_create(int dev, uint32_t depth, uint32_t *batch);
int batch_submit(int dev, uint32_t batch, const struct nvfs_request *requests,
		 uint32_t nr, struct nvfs_batch_submit *out);
int batch_reap(int dev, uint32_t batch, struct nvfs_event *events,
	       uint32_t min_nr, uint32_t max_nr, int64_t timeout_ns,
	       uint32_t *nr);
int batch_cancel(int dev, uint32_t batch, uint32_t *nr);
int batch_destroy(int dev, uint32_t batch);
/* Reaps exactly @nr events, in at most @seconds. */
void batch_reap_all(int dev, uint32_t batch, struct nvfs_event *events,
		    uint32_t nr, int seconds);

/*
 * The virtio-blk drive, which has no way to the GPU: its raw part, and a
 * directory on an ext4 on it, made when first asked for.
 */
const char *vblk_part(void);
const char *vblk_ext4(void);

/*
 * A file system that takes no writes. If the test dies, a process that belongs
 * to nobody lets it go again. Takes the place of standard input.
 */
struct frost {
	int fd;
	pid_t pid;
};

void frost_begin(struct frost *frost, const char *place);
void frost_end(struct frost *frost);

/*
 * A drive that the device mapper makes of the raw part, so that it is served
 * through host memory, and that does not answer for a while; likewise.
 */
const char *mute_make(uint64_t length);
void mute_begin(struct frost *frost);
void mute_end(struct frost *frost);
void mute_remove(void);

#endif /* NVFS_TEST_FIX_ASYNC_H */
