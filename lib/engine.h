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
struct host_map;
struct host_pins;

/**
 * struct engine_file - what is remembered about an open file
 * @fd: the caller's file descriptor, which stays the caller's
 * @twin: the same file, opened once more without O_DIRECT, or -1; made when
 *	a write can't be put to @fd
 * @flags: of @fd (F_GETFL)
 * @align: what O_DIRECT wants of offsets and lengths; 1 without it, and in memory
 * @seekable: false for what has no offsets (a pipe): requests are not cut
 * @cacheable: open with O_DIRECT, and yet bytes that the page cache has may be
 *	read from there: they are what a drive would give
 * @direct: the same file, opened once more with O_DIRECT for reading, or -1
 * @no_direct: the module is never asked; false after engine_file_init()
 * @no_map: it is not mapped, all goes by read(2) and write(2); false after
 *	engine_file_init()
 * @map: by which writes go (host_map.c), or NULL; made for the first one
 * @pins: what a GPU reads where it lies (host_pin.c); likewise, for reads
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
	bool no_direct;
	int direct;
	bool no_map;
	struct host_map *map;
	struct host_pins *pins;
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
 * @next: the next that ended together with it, by engine_end()
 * @done: out: bytes moved, from the start, without a gap.  Bytes behind that
 *	may have been changed when @error is set.
 * @error: out: 0 or a negative errno value; set also when @done is not 0.
 *	Success with less than @length is the end of the file.
 * @route: out: enum nvfs_route
 * @reason: out: enum nvfs_reason or NVFS_REASON_NO_*: why not (all) direct
 * @direct: out: how many bytes of @done went direct; with NVFS_ROUTE_MIXED as
 *	far as that is known
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
	struct engine_req *next;

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
		bool bound;
		int stage;
		uint64_t context;
		uint64_t number;
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
 *	0: as many as its size is worth, 16 at most, or fewer when CPUs are wanted
 *	for other requests, or by other threads of the machine
 * @slot_bytes: size of one pinned buffer; a multiple of 64 KiB, at most 64
 *	MiB.  4 MiB unless set
 * @pinned_bytes: most pinned host memory for each GPU, taken buffer by buffer
 *	when needed; at least one buffer, at most 256.  128 MiB unless set.  What
 *	small writes take is not among it: up to an eighth of that; nor what
 *	engine_enqueue() takes: up to 13/8 times as much
 * @spin_us: how long an idle helper looks for work before it sleeps, in
 *	microseconds; 0: not at all.  200 unless set
 * @cache_bytes: most GPU memory that is registered without being asked to
 * @no_direct: the module is never asked
 * @no_pump: no code of ours runs on a GPU
 * @no_map: all writes go by write(2)
 * @no_pin: nothing of the page cache is registered with a GPU
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
	bool no_map;
	bool no_pin;
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
 * engine_warm() - have small copies, and those in streams, made by code on it
 * @gpu: the GPU's index
 *
 * The driver brings code to a GPU only when all of its work has ended, and
 * until then keeps everybody waiting, our copies too.  So this waits for the
 * GPU, and must not be called while work on it waits for a request.  That is
 * why no request does it by itself.  Without it the copy engine makes all
 * copies, and nothing goes through host memory in the order of a stream; when
 * it fails, that is so of the latter, and maybe of small copies.
 *
 * Returns 0, -EAGAIN (the driver is still translating: call again some time),
 * -EBUSY (streams still look at what they had when the engine was open before:
 * call again when they have come to their end), -ENOSYS (not with this driver
 * or GPU, or not wanted), -ENOTCONN, -ENODEV, -ENOMEM, -EIO (also once the
 * application has reset the GPU) or -ECHILD.
 */
int engine_warm(unsigned int gpu);
/* That for all GPUs with which the application works already. */
void engine_warm_used(void);

/**
 * engine_linger() - wait for other threads without sleeping
 * @over: asked of @what again and again
 * @most_ns: at most so long, < 0: as long as the pool's threads look for work
 *
 * To sleep and be woken takes longer than many a request.  Returns when it is over
 * or was long enough; at once where all CPUs have something to do.
 */
void engine_linger(bool (*over)(const void *what), const void *what,
		   int64_t most_ns);

/**
 * engine_end() - by @complete of a request: end it, with others if there are
 * @req: the request, which @complete does not touch after this
 * @then: called in this thread with @arg and a chain of requests by @next: now, or
 *	after all that end together have been told so; those of another @arg come
 *	in a chain of their own
 *
 * Until @then has them they may still be given to engine_cancel().
 */
void engine_end(struct engine_req *req,
		void (*then)(void *arg, struct engine_req *first), void *arg);

/**
 * engine_run() - move bytes, in the caller's thread and with its rights
 * @req: the request; @complete is ignored
 *
 * Returns @req->error: 0, -EREMOTEIO (@no_bounce), -EFAULT (memory that is
 * none), -ENODEV or -ENOSYS (no such GPU), -ENOMEM, -EOVERFLOW (a range
 * wraps), -ECHILD, or an error of pread(2), pwrite(2) or the GPU driver (-EIO;
 * through host memory also from when the application has reset the GPU until the
 * engine is opened anew).
 * -EINTR is never returned.
 */
int engine_run(struct engine_req *req);

/**
 * engine_submit() - start requests, without waiting for any
 * @reqs: @nr requests, which stay the caller's until @complete; may be of any
 *	mixture of files, GPUs and directions, and end in any order
 * @nr: at least 1
 *
 * Those that are bound are waited for where the module can't have them in its batch.
 * They end with what the module says, or -EFAULT outside of what they were bound to.
 *
 * Returns 0 (each will end with one call of @complete, maybe before this
 * returns), or an error with which none was started: -EINVAL, -ENOTCONN (the
 * engine is closed), -EAGAIN (no thread could be started), -ENOMEM, -ECHILD.
 */
int engine_submit(struct engine_req *const *reqs, unsigned int nr);

/**
 * engine_submit_apart() - start a request that a stream of the GPU waits for
 * @req: as for engine_submit(), of host memory (ENGINE_HOST)
 *
 * By threads that have nothing to do with the GPU's driver.  Those that do others
 * may all be kept out of it by one who waits in there for that stream.  Can't be
 * cancelled.
 *
 * Returns 0 (it will end with one call of @complete, or has, where no thread could
 * be started), or an error with which it was not started: -EINVAL, -EOVERFLOW (a
 * range wraps), -ENOTCONN, -ENOMEM, -ECHILD.
 */
int engine_submit_apart(struct engine_req *req);

/**
 * engine_bind() - leave a request to the module, so that it needs no GPU driver
 * @req: its @file, @gpu, @write and @no_bounce, and @addr and @length (not 0), in
 *	place of which others may stand when it is submitted.  Not of use before
 * @first, @end: out: the first byte that it may name then, and the first behind
 *	them: those of the region.  Unchanged for ENGINE_HOST
 *
 * Bytes that go through host memory are copied by the driver, which may not let
 * us in while another thread of the application waits in it.  Then nothing on the
 * GPU may wait for the request.  One that is bound has its region from now on, and
 * the module has said that the file can reach it.  What still can't go direct when
 * it is submitted goes through the module's own host memory.
 *
 * Calls the driver here, to find or register the memory.
 *
 * Returns 0: owed one engine_submit() or engine_unbind().  -EAGAIN: it would
 * need the driver (no module, no region, or no direct way; @reason says which).
 * -ENOTCONN or -ECHILD.  With @no_bounce also what the module says when it
 * can't be asked for a way: -ESTALE (the memory that a caller added was freed),
 * -EBADF, -EISDIR, -ESPIPE or -EINVAL (the file is none that it moves).
 */
int engine_bind(struct engine_req *req, uint64_t *first, uint64_t *end);
/* It will not be submitted.  Nothing happens to one that is not bound. */
void engine_unbind(struct engine_req *req);

/**
 * engine_await() - a stream is to begin a request
 * @req: with @complete, and zeroed before it was filled in; for one of host
 *	memory nothing happens
 *
 * For who puts a call into the stream that will submit it, before he does.
 * That call begins with engine_begin().  If the application resets the GPU, or
 * it fails, the call may never come, and engine_look_after() ends the request
 * with -EIO.  The memory that @req is in must then stay for ever, also when
 * @complete has returned, as the call may be late.  That a GPU has failed is
 * noticed only after engine_warm(), and neither with a driver that has no
 * numbers for contexts.
 */
void engine_await(struct engine_req *req);
/*
 * The stream has come to it, or the call could not be put in.  False: it was
 * given up, and is not the caller's any more.
 */
bool engine_begin(struct engine_req *req);
/* In @complete: engine_begin() will say so, if somebody still asks. */
bool engine_gave_up(const struct engine_req *req);

/**
 * struct engine_place - where in a stream a request stands
 * @stream: the GPU driver's handle, which the caller has entered
 * @first, @last: bytes of the GPU's memory that the request may name
 * @fixed: the request's addr and length are known already
 * @begin: called when the stream comes to the request, by a thread of the GPU's
 *	driver, which must not be called: what is known only now is filled in,
 *	@file_offset, @addr and @length.  An error ends the request
 */
struct engine_place {
	void *stream;
	uint64_t first, last;
	bool fixed;
	int (*begin)(struct engine_req *req);
};

/**
 * engine_enqueue() - a request through host memory, in the order of a stream
 * @req: as for engine_submit(); @length is the most that it will be.  With the
 *	module, @reason stays what engine_bind() said
 * @place: where; read before this returns
 *
 * Calls the GPU's driver here and nowhere later, so that it does no harm when
 * others wait in there for the stream.  The stream goes on behind the request
 * when @complete has returned.
 *
 * Returns 0, or an error with which nothing was put into the stream: -EAGAIN (not
 * with this stream, memory or file, or not before engine_warm(), or all of what
 * it takes is in use: it has to be engine_run(), after the stream), -ENOTCONN or
 * -ECHILD.
 */
int engine_enqueue(struct engine_req *req, const struct engine_place *place);

/*
 * Requests in streams of a GPU that failed, or that the application has reset,
 * end with -EIO, as nothing else ends them; see engine_await().  May call the
 * GPU's driver.
 */
void engine_look_after(void);

/**
 * engine_cancel() - give up a request
 * @req: submitted; its @complete has not returned
 *
 * Returns 0 when nothing of it was started and nothing will be: it ends with
 * -ECANCELED, by a call of @complete like any other, by another thread and maybe
 * after this returns.
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
 * Waits for direct requests that use it, and meanwhile looks after those in
 * streams.
 *
 * Returns 0, -ENOENT or -ECHILD.
 */
int engine_mem_del(uint64_t addr);

/**
 * engine_mem_error() - does the module have it?
 * @addr: as it was added
 *
 * Returns 0, why the module can't be asked or refused, -ENOENT (not added) or
 * -ECHILD.
 */
int engine_mem_error(uint64_t addr);

#endif /* LIBNVFS_ENGINE_H */
