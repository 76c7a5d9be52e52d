/* SPDX-License-Identifier: MIT */
/*
 * The engine: requests between files and memory, by the best route that there
 * is.  libnvfs' own calls and libcufile stand on it; it is not a public
 * interface.
 *
 * Routes
 *	direct	the module, when it is loaded, the memory lies in a region and
 *		the file can reach it.  Memory that nobody registered is
 *		registered when it is first used, and remembered.
 *	bounce	host memory: pinned buffers, many file requests at a time, the
 *		GPU's copy engine beside them.  Always there; takes every file
 *		that read(2) and write(2) take.
 *
 * Rules for every function
 *	- Failure is a negative errno value.  Sizes and offsets are bytes.
 *	- May be called by several threads at once.
 *	- In a child of the process that opened the engine: -ECHILD, and nothing
 *	  is touched.
 *	- No success for bytes that did not arrive: a request ends when the GPU
 *	  has them (read) or the kernel has taken them (write).
 *
 * Stable: what is declared here.  Members may be added to a structure at its
 * end, so zero it before filling it in.
 */
#ifndef LIBNVFS_ENGINE_H
#define LIBNVFS_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

/* engine_req.gpu: @addr is host memory, of any kind. */
#define ENGINE_HOST		(~0U)

struct nvfs;
struct gpu_driver;

/**
 * struct engine_file - what is remembered about an open file
 * @fd: the caller's file descriptor, which stays the caller's
 * @twin: the same file, opened once more without O_DIRECT, or -1; made when
 *	a write can't be put to @fd
 * @flags: of @fd (F_GETFL)
 * @align: what O_DIRECT wants of offsets and lengths; 1 without it
 * @seekable: false for what has no offsets (a pipe): requests are not cut
 * @cacheable: open with O_DIRECT, and yet bytes that the page cache has may be
 *	read from there: they are what a drive would give
 * @direct: the same file, opened once more with O_DIRECT for reading, or -1
 *
 * Belongs to the caller, who may embed it; engine_file_init() fills it in.
 */
struct engine_file {
	int fd;
	int twin;
	int flags;
	uint32_t align;
	bool seekable;
	bool cacheable;
	int direct;
};

/**
 * engine_file_init() - look at a file
 * @file: out
 * @fd: open file; need not outlive requests by more than usual: one that is
 *	closed early makes them fail with -EBADF
 *
 * Returns 0 or -EBADF.
 */
int engine_file_init(struct engine_file *file, int fd);

/**
 * engine_file_force_direct() - read it with O_DIRECT, although it was not opened so
 * @file: of engine_file_init(), no request uses it yet
 *
 * What the page cache has is still read from there, where that can be asked.
 * Writes are as they were.
 *
 * Returns 0, also when it is open with O_DIRECT or for writing only, or why it can't be: what
 * open(2) says, -EINVAL for a file system that has no O_DIRECT.
 */
int engine_file_force_direct(struct engine_file *file);

/**
 * engine_file_fini() - give up what engine_file_init() and requests made
 * @file: no request uses it any more; @file->fd stays open
 */
void engine_file_fini(struct engine_file *file);

/**
 * struct engine_req - one request
 * @file: in: the file
 * @file_offset: in: first byte in the file
 * @addr: in: first byte in memory, at any alignment
 * @gpu: in: index of the GPU, or ENGINE_HOST
 * @length: in: bytes; 0 is fine and moves none
 * @write: in: from memory to the file
 * @no_bounce: in: fail with -EREMOTEIO rather than go through host memory
 * @complete: in: engine_submit() only: called once when the request has
 *	ended, by a thread of the engine.  It may free or reuse @req and call
 *	engine_submit(), and must not block nor call engine_run(),
 *	engine_put() or engine_mem_del().
 * @user: in: the caller's
 * @done: out: bytes moved, from the start, without a gap.  Bytes behind that
 *	may have been changed when @error is set.
 * @error: out: 0 or a negative errno value; set also when @done is not 0.
 *	Success with less than @length is the end of the file.
 * @route: out: enum nvfs_route
 * @reason: out: enum nvfs_reason or NVFS_REASON_NO_*: why not (all) direct
 * @direct: out: how many bytes of @done went direct
 * @priv: the engine's
 */
struct engine_req {
	struct engine_file *file;
	uint64_t file_offset;
	uint64_t addr;
	unsigned int gpu;
	uint64_t length;
	bool write;
	bool no_bounce;
	void (*complete)(struct engine_req *req);
	void *user;

	uint64_t done;
	int error;
	uint32_t route;
	uint32_t reason;
	uint64_t direct;

	struct {
		struct engine_req *next;
		struct engine_req **at;
		void *job;
		int state;
		void *memory;
		uint64_t offset;
		uint32_t region;
	} priv;
};

/**
 * engine_get() - open the engine, or count one user more
 *
 * Loads no GPU driver, starts no thread and pins no memory: the first request
 * that needs them does.  So the module may be absent and there may be no GPU.
 *
 * Returns 0, -ENOMEM or -ECHILD.
 */
int engine_get(void);

/**
 * engine_put() - one user less
 *
 * With the last one: waits for all requests, ends threads, gives back regions
 * and pinned memory.  A child of the process that opened it only forgets.
 */
void engine_put(void);

/* How many users there are; 0 in a child. */
unsigned int engine_users(void);

/* The library handle below, for its queries; NULL when the engine is closed. */
struct nvfs *engine_nvfs(void);

/**
 * engine_gpu() - the GPU driver, loading it for the first caller
 * @driver: out: stays valid until the last engine_put()
 *
 * Returns 0, -ENOSYS (no driver library), -ENODEV, or -ECHILD.
 */
int engine_gpu(const struct gpu_driver **driver);

/*
 * 0: files that are open with O_DIRECT are read by io_uring, many reads at a time;
 * 1: there was no need yet; or why the kernel refuses it, a negative errno value:
 * then threads read, each at one place.
 */
int engine_uring(void);

/**
 * struct engine_pool - how much the engine may take
 * @threads: helper threads in all; 0: one for each CPU
 * @parallel: threads that may work on one request, the caller's included;
 *	0: 8, or fewer when CPUs are wanted for other requests
 * @slot_bytes: size of one pinned buffer; a multiple of 64 KiB, at most 64
 *	MiB.  4 MiB unless set
 * @pinned_bytes: most pinned host memory for each GPU, taken buffer by buffer
 *	when needed; at least one buffer, at most 256.  128 MiB unless set
 * @spin_us: how long an idle helper looks for work before it sleeps, in
 *	microseconds; 0: not at all.  200 unless set
 * @cache_bytes: most GPU memory that is registered without being asked to
 * @no_direct: the module is never asked
 * @no_pump: no code of ours runs on a GPU
 */
struct engine_pool {
	unsigned int threads;
	unsigned int parallel;
	uint64_t slot_bytes;
	uint64_t pinned_bytes;
	unsigned int spin_us;
	uint64_t cache_bytes;
	bool no_direct;
	bool no_pump;
};

/* What is in force. */
void engine_pool_get(struct engine_pool *pool);

/**
 * engine_pool_set() - change it
 * @pool: all members count; start from engine_pool_get()
 *
 * Returns 0, -EBUSY while the engine is open, or -EINVAL (a size is out of
 * range).
 */
int engine_pool_set(const struct engine_pool *pool);

/**
 * engine_warm() - have small copies made by code on the GPU from now on
 * @gpu: its index
 *
 * The driver brings code to a GPU only when all of its work has ended, and
 * until then keeps everybody waiting, our copies too.  So this waits for the
 * GPU, and must not be called while work on it waits for a request.  That is
 * why no request does it by itself.  Without it, or when it fails, the copy
 * engine makes all copies.
 *
 * Returns 0, -EAGAIN (the driver is still translating: call again some time),
 * -ENOSYS (not with this driver or GPU, or not wanted), -ENOTCONN, -ENODEV,
 * -ENOMEM, -EIO or -ECHILD.
 */
int engine_warm(unsigned int gpu);
/* That for all GPUs with which the application works already. */
void engine_warm_used(void);

/**
 * engine_run() - move bytes, in the caller's thread and with its rights
 * @req: the request; @complete is ignored
 *
 * Returns @req->error: 0, -EREMOTEIO (@no_bounce), -EFAULT (memory that is
 * none), -ENODEV or -ENOSYS (no such GPU), -ENOMEM, -EOVERFLOW (a range
 * wraps), -ECHILD, or an error of pread(2), pwrite(2) or the GPU driver (-EIO).
 * -EINTR is never returned.
 */
int engine_run(struct engine_req *req);

/**
 * engine_submit() - start requests, without waiting for any
 * @reqs: @nr requests, which stay the caller's until @complete; may be of any
 *	mixture of files, GPUs and directions, and end in any order
 * @nr: at least 1
 *
 * Returns 0 (each will end with one call of @complete, maybe before this
 * returns), or an error with which none was started: -EINVAL, -ENOTCONN (the
 * engine is closed), -EAGAIN (no thread could be started), -ENOMEM, -ECHILD.
 */
int engine_submit(struct engine_req *const *reqs, unsigned int nr);

/**
 * engine_needs_driver() - does a request call the GPU's driver while it runs?
 * @req: its @gpu, @addr, @length (not 0) and @file
 *
 * Without the module, or a region for the memory, bytes go through host memory
 * and are copied by the driver, which may not let us in while another thread of
 * the application waits in it. Then nothing on the GPU may wait for the request.
 *
 * May call the driver itself, to register the memory.
 */
bool engine_needs_driver(const struct engine_req *req);

/**
 * engine_cancel() - give up a request
 * @req: submitted; its @complete has not returned
 *
 * Returns 0 when nothing of it was started and nothing will be: it ends with
 * -ECANCELED, by a call of @complete like any other, maybe after this returns.
 * -EALREADY: it is being worked on and ends as it ends.  The module, when it is
 * the one that does, is asked to end it early: with -ECANCELED, and @done says
 * how much is good.
 */
int engine_cancel(struct engine_req *req);

/**
 * engine_mem_add() - register memory for the direct route
 * @gpu: index of the GPU
 * @addr: first byte, at any alignment
 * @length: bytes, not 0
 *
 * Requests with any address inside profit, base or not.  Without the module,
 * or when it refuses, this is 0 as well, and requests say why they bounced.
 *
 * Returns 0, -EEXIST (@addr was added already), -EINVAL, -EOVERFLOW, -ENOMEM
 * or -ECHILD.
 */
int engine_mem_add(unsigned int gpu, uint64_t addr, uint64_t length);

/**
 * engine_mem_del() - the reverse
 * @addr: as it was added
 *
 * Waits for direct requests that use it.
 *
 * Returns 0, -ENOENT or -ECHILD.
 */
int engine_mem_del(uint64_t addr);

#endif /* LIBNVFS_ENGINE_H */
