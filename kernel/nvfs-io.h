/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_IO_H
#define _NVFS_IO_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/seq_file.h>

#include <uapi/nvfs.h>

#include "nvfs-dma-gate.h"
#include "nvfs-dma.h"
#include "nvfs-mmap.h"

/* State of a request; the names are the specification's.  What may follow what:
 * nvfs-io-state-list.h
 */
enum nvfs_io_state {
#define NVFS_IO_STATE(name, next) name,
#include "nvfs-io-state-list.h"
#undef NVFS_IO_STATE
	NVFS_IO_STATE_NR
};

/* So many bvecs need no allocation */
#define NVFS_IO_INLINE_BVECS	4

/* For each state of a request a bit for each state that may follow */
static const u8 nvfs_io_next[NVFS_IO_STATE_NR] __maybe_unused = {
#define NVFS_IO_STATE(name, next) (next),
#include "nvfs-io-state-list.h"
#undef NVFS_IO_STATE
};

struct cred;
struct nvfs_io;

/**
 * struct nvfs_io_share - what requests of the same batch hold together
 * @users: the requests; the last lets go of the region and the file, too
 * @cred: of their submitter
 */
struct nvfs_io_share {
	atomic_t users;
	const struct cred *cred;
};

/**
 * struct nvfs_io_ops - what the owner of an asynchronous request does
 * @complete: the request has ended; calls nvfs_io_delivered() before anybody
 *	may free it.  Any context.
 * @punt: call nvfs_io_let_go(), and have nvfs_io_run() called from a context
 *	that may sleep.  Any context.
 * @is_orphan: has the request lost all who could be told of its end?  Asked before
 *	each step but one that starts where it is submitted; may be NULL
 */
struct nvfs_io_ops {
	void (*complete)(struct nvfs_io *io);
	void (*punt)(struct nvfs_io *io);
	bool (*is_orphan)(struct nvfs_io *io);
};

/**
 * struct nvfs_io - one request (an "nvfsio")
 * @kiocb: the step that is under way
 * @id: what tracepoints call it; not set on the short way, where it is the request
 * @begun: when it began, for nvfs_hist_end()
 * @ops: owner's; NULL for a synchronous request
 * @region: GPU memory; held, but where @let_go
 * @file: the file; held
 * @share: who holds both together; NULL when this request does alone
 * @route: how it may travel
 * @off: next byte in the region
 * @pos: next byte in the file
 * @left: bytes still to move
 * @length: bytes asked for
 * @done: bytes moved, from the start, without a gap
 * @direct: of these, bytes that went direct
 * @skipped: of these, bytes of holes that were passed over
 * @step_max: most bytes of a step; shrinks to find a bad spot
 * @step_len: bytes of the step that is under way
 * @step_done: where somebody waits for the step
 * @step_ret: what became of that step
 * @step_users: of a step that nobody waits for: its submitter, its completion
 * @pass: of that step, at the gate of its file
 * @error: how it ended, 0 or a negative errno
 * @reason: enum nvfs_reason
 * @state: enum nvfs_io_state
 * @tries: transient failures in a row
 * @write: GPU to file
 * @bounce_ok: the caller allows host memory
 * @by_submitter: it ends in nvfs_io_start()
 * @fast: it goes the short way: @mgroup and @let_go are not in use
 * @let_go: of @region it holds the structure only: nvfs_io_let_go()
 * @mgroup: the blocks of GPU memory
 * @bvec: bvecs of the step
 * @max_bvecs: room at @bvec
 * @inline_bvec: what @bvec is when it is small enough
 */
struct nvfs_io {
	struct kiocb kiocb;
	const void *id;
	u64 begun;
	const struct nvfs_io_ops *ops;
	struct nvfs_region *region;
	struct file *file;
	struct nvfs_io_share *share;
	struct nvfs_route_info route;
	u64 off;
	loff_t pos;
	u64 left;
	u64 length;
	u64 done;
	u64 direct;
	u64 skipped;
	u64 step_max;
	u64 step_len;
	struct completion *step_done;
	ssize_t step_ret;
	atomic_t step_users;
	struct nvfs_pass pass;
	int error;
	u32 reason;
	atomic_t state;
	u8 tries;
	bool write;
	bool bounce_ok;
	bool by_submitter;
	bool fast;
	bool let_go;
	struct nvfs_mgroup mgroup;
	u32 max_bvecs;
	struct bio_vec *bvec;
	struct bio_vec inline_bvec[NVFS_IO_INLINE_BVECS];
};

/* Synchronous: begin; run_begin; move and skip; run_end.  Or begin; refuse.  Or
 * adopt; move_on; run_end.
 */
int nvfs_io_begin(struct nvfs_io *io, struct nvfs_region *region,
		  struct file *file, const struct nvfs_request *req,
		  const struct nvfs_io_ops *ops);
void nvfs_io_refuse(struct nvfs_io *io, int error);
void nvfs_io_adopt(struct nvfs_io *io, const void *id,
		   struct nvfs_region *region, struct file *file,
		   const struct nvfs_request *req,
		   const struct nvfs_route_info *route, u64 begun);
int nvfs_io_move_on(struct nvfs_io *io, ssize_t ret, int ki_flags);
void nvfs_io_account_begin(bool write);
void nvfs_io_account(const struct nvfs_io *io);
void nvfs_io_run_begin(struct nvfs_io *io);
int nvfs_io_move(struct nvfs_io *io);
void nvfs_io_skip(struct nvfs_io *io, u64 len);
void nvfs_io_run_end(struct nvfs_io *io, int error);

/* What is held of the region */
void nvfs_io_let_go(struct nvfs_io *io);
int nvfs_io_hold(struct nvfs_io *io);
void nvfs_io_put_region(struct nvfs_io *io);
bool nvfs_io_share(struct nvfs_io *io);
void nvfs_io_end_share(struct nvfs_io *io);

/* Asynchronous: prepare; start; the owner's complete; release. */
void nvfs_io_start_fast(struct nvfs_io *io, u16 ioprio);
int nvfs_io_prepare(struct nvfs_io *io, struct nvfs_regions *regions,
		    const struct nvfs_request *req,
		    const struct nvfs_io_ops *ops);
void nvfs_io_start(struct nvfs_io *io);
void nvfs_io_run(struct nvfs_io *io);
bool nvfs_io_cancel(struct nvfs_io *io);
void nvfs_io_release(struct nvfs_io *io);
void nvfs_io_refused_show(struct seq_file *m);
void nvfs_io_refused_reset(void);

/* Between the files of nvfs-io */
bool nvfs_io_prepare_fast(struct nvfs_io *io, struct nvfs_regions *regions,
			  const struct nvfs_request *req,
			  const struct nvfs_io_ops *ops);
void nvfs_io_leave_fast(struct nvfs_io *io, bool begun);
void nvfs_io_nowait_done(struct nvfs_io *io, long ret);
bool nvfs_io_try_state(struct nvfs_io *io, enum nvfs_io_state to, int *from);
bool nvfs_io_set_state(struct nvfs_io *io, enum nvfs_io_state to);
int nvfs_io_admit(struct nvfs_io *io);
int nvfs_io_recover(struct nvfs_io *io, int error);
int nvfs_io_check_size_limit(const struct nvfs_request *req,
			     struct file *file);
int nvfs_io_check_file_type(struct file *file);
int nvfs_io_check_range(const struct nvfs_request *req,
			const struct nvfs_region *region);
long nvfs_io_rw(struct nvfs_regions *regions, struct nvfs_rw __user *uarg,
		bool write);
long nvfs_io_read(struct nvfs_regions *regions, struct nvfs_rw __user *uarg);
long nvfs_io_write(struct nvfs_regions *regions, struct nvfs_rw __user *uarg);
int nvfs_io_query(struct nvfs_regions *regions, struct nvfs_query *args);

#endif /* _NVFS_IO_H */
