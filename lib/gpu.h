/* SPDX-License-Identifier: MIT */
/*
 * The only way to a GPU: a table of what the library needs from the vendor's
 * driver library.  gpu_cuda.c fills it for NVIDIA; another vendor's file, or a
 * test's fake, stands beside it.
 */
#ifndef LIBNVFS_GPU_H
#define LIBNVFS_GPU_H

#include <stdbool.h>
#include <stdint.h>

struct nvfs_gpu;

/* Memory that the driver does not know is host memory. */
enum gpu_mem_kind {
	GPU_MEM_HOST,
	GPU_MEM_DEVICE,
	GPU_MEM_MANAGED,
};

/**
 * struct gpu_mem - what an address is of
 * @kind: see above
 * @index: on which GPU, if not host memory
 * @base: first byte of its allocation, if it is device memory
 * @length: bytes of its allocation
 * @id: another one for each allocation, also at the same address; 0: unknown
 */
struct gpu_mem {
	enum gpu_mem_kind kind;
	unsigned int index;
	uint64_t base;
	uint64_t length;
	uint64_t id;
};

/**
 * struct gpu_streams - work that is ordered with the application's own
 * @key: what is the same for the same stream and for no other, also where a
 *	handle means another stream in each context or thread
 * @call: have fn(arg) called when the stream comes to it, by a thread of the
 *	driver.  @fn must not call the driver.  -EOPNOTSUPP: the stream is
 *	being captured
 * @wait: have the stream wait until (int32_t)(*word - value) >= 0, without a
 *	thread; -ENOSYS: this driver or GPU can't
 * @sync: wait here for all that is in the stream; -EOPNOTSUPP as @call
 * @word_get: memory that the stream can look at, set to 0
 * @word_put: the reverse
 * @error: the vendor's number of this thread's last failure in this table
 *
 * @stream is the vendor's handle.  All but @error return 0 or a negative errno
 * value.  The calling thread's context is the one that counts.
 */
struct gpu_streams {
	int (*key)(void *stream, uint64_t key[2]);
	int (*call)(void *stream, void (*fn)(void *arg), void *arg);
	int (*wait)(void *stream, uint32_t *word, uint32_t value);
	int (*sync)(void *stream);
	int (*word_get)(uint32_t **word);
	void (*word_put)(uint32_t *word);
	int (*error)(void);
};

/* One piece of memory that goes to or comes from a GPU. */
struct gpu_copy {
	uint64_t gpu;
	void *host;
	uint64_t length;
};

/* How many groups of copies a queue can tell apart: marks 0 to 7. */
#define GPU_MARKS	8

/**
 * struct gpu_copies - copies that the caller does not wait for
 * @host_get: host memory that @index's copy engines reach fastest, and all
 *	other GPUs', too
 * @host_put: the reverse
 * @open: a queue of copies, ordered in itself and with nothing else, and not
 *	held up by what the application gives the GPU to do
 * @close: the reverse; all copies have ended
 * @start: copy all of @copies in one direction, to the GPU unless @out.  The
 *	array may be reused on return, the memory when @poll says so
 * @poll: 1: all copies started with that mark have ended; 0: not yet; or what
 *	went wrong.  A mark is started again only after it has ended
 *
 * A queue is used by one thread at a time.  All return 0 or a negative errno
 * value if nothing else is said.
 */
struct gpu_copies {
	int (*host_get)(unsigned int index, uint64_t length, void **host);
	void (*host_put)(unsigned int index, void *host);
	int (*open)(unsigned int index, void **queue);
	void (*close)(void *queue);
	int (*start)(void *queue, const struct gpu_copy *copies,
		     unsigned int nr, bool out, unsigned int mark);
	int (*poll)(void *queue, unsigned int mark);
};

struct pump_board;

/**
 * struct gpu_pumps - copies made by code on the GPU; see pump.h
 * @in_use: does the application work with that GPU already?  Loads and starts
 *	nothing, and may be called before init()
 * @prepare: have the code made, for all GPUs: 0, -EAGAIN when another thread is
 *	at it, or why it can't be; disturbs nobody
 * @open: bring the code to @index, with @nr queues for it; waits for that GPU,
 *	and so do all others who call its driver
 * @close: the reverse.  @over: all turns have ended; otherwise what they need
 *	stays
 * @start: have @board served by the @pump-th, when its turns before have ended
 *	and the GPU has room; does not wait.  The turn ends @linger_ns after the
 *	last order, and @life_ns after it began
 * @poll: 0, or what went wrong with the GPU
 * @alive: false: the application has reset the GPU.  All that was had from the
 *	driver before is gone, memory and @pumps' queues; only @close is called
 * @reaches: are all of these bytes memory of @index, which code on it may read
 *	and write?
 *
 * A pump is used by one thread at a time.  All return 0 or a negative errno
 * value if nothing else is said.
 */
struct gpu_pumps {
	bool (*in_use)(unsigned int index);
	int (*prepare)(void);
	int (*open)(unsigned int index, unsigned int nr, void **pumps);
	void (*close)(void *pumps, bool over);
	int (*start)(void *pumps, unsigned int pump, struct pump_board *board,
		     uint32_t turn, uint32_t linger_ns, uint32_t life_ns);
	int (*poll)(void *pumps, unsigned int pump);
	bool (*alive)(void *pumps);
	bool (*reaches)(unsigned int index, uint64_t addr, uint64_t length);
};

/**
 * struct gpu_driver - one vendor's driver
 * @name: for people
 * @init: load and start it.  Called once at a time; a failure may be followed
 *	by another try.  -ENOSYS: this vendor's library is not installed
 * @exit: give back what the driver holds for this process, after the last user
 * @count: number of GPUs or a negative errno value
 * @describe: fill in @gpu; its index is set already
 * @alloc: GPU memory, at any alignment (nvfs_buf_alloc() corrects it)
 * @free: the reverse, with what @alloc gave
 * @copy_in: host to GPU; the bytes are there on return
 * @copy_out: GPU to host
 * @expose: tell the driver that another device will reach this memory, so
 *	that its own work on it stays ordered with that; may be NULL
 * @classify: what is at @addr; may be NULL: device memory of GPU 0
 * @uuid: 16 bytes that name the GPU; may be NULL
 * @streams: NULL when the vendor has none
 * @copies: NULL when there are only @copy_in and @copy_out
 * @pumps: NULL when the vendor has none
 *
 * All but @init and @exit may be called by several threads at once, and leave
 * the calling thread's own GPU state as it was.  All return 0 or a negative
 * errno value.
 */
struct gpu_driver {
	const char *name;
	int (*init)(void);
	void (*exit)(void);
	int (*count)(void);
	int (*describe)(unsigned int index, struct nvfs_gpu *gpu);
	int (*alloc)(unsigned int index, uint64_t length, uint64_t *addr);
	int (*free)(unsigned int index, uint64_t addr);
	int (*copy_in)(unsigned int index, uint64_t dst, const void *src,
		       uint64_t length);
	int (*copy_out)(unsigned int index, void *dst, uint64_t src,
			uint64_t length);
	int (*expose)(unsigned int index, uint64_t addr);
	int (*classify)(uint64_t addr, struct gpu_mem *mem);
	int (*uuid)(unsigned int index, uint8_t *uuid);
	const struct gpu_streams *streams;
	const struct gpu_copies *copies;
	const struct gpu_pumps *pumps;
};

extern const struct gpu_driver gpu_cuda;

/* gpu_cuda_stream.c: bound to the library by gpu_cuda.c when it is loaded. */
extern const struct gpu_streams gpu_cuda_streams;
int gpu_cuda_classify(uint64_t addr, struct gpu_mem *mem);
int gpu_cuda_uuid(unsigned int index, uint8_t *uuid);
/* @symbol: finds a function of the library, or NULL. */
void gpu_cuda_bind_streams(void *(*symbol)(const char *name));

/* gpu_cuda_copy.c: true when the library has what it takes. */
extern const struct gpu_copies gpu_cuda_copies;
bool gpu_cuda_bind_copies(void *(*symbol)(const char *name));

/* gpu_cuda_pump.c: likewise; every function may be missing. */
extern const struct gpu_pumps gpu_cuda_pumps;
void gpu_cuda_bind_pumps(void *(*symbol)(const char *name));

/*
 * gpu_cuda.c: between the two, the GPU's primary context is the thread's and
 * a stream that somebody captures is not disturbed.
 */
int gpu_cuda_enter(unsigned int index);
void gpu_cuda_leave(void);
int gpu_cuda_errno(int result);
bool gpu_cuda_in_use(unsigned int index);

/* For tests: use only this one; NULL restores the built-in list. */
void gpu_set_driver(const struct gpu_driver *driver);

/*
 * Get the driver, loading it for the first user; each success is owed one
 * gpu_put().  -ENOSYS: no vendor's library could be loaded.
 */
int gpu_get(const struct gpu_driver **driver);
void gpu_put(void);

/* Does the application work with that GPU already?  Loads nothing. */
bool gpu_in_use(unsigned int index);

#endif /* LIBNVFS_GPU_H */
