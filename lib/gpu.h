/* SPDX-License-Identifier: MIT */
/*
 * The only way to a GPU: a table of what the library needs from the vendor's
 * driver library.  gpu_cuda.c fills it for NVIDIA, gpu_hip.c for AMD; another
 * vendor's file, or a test's fake, stands beside them.  A process has one of them:
 * NVIDIA's when its library has a GPU, or else AMD's.
 */
#ifndef LIBNVFS_GPU_H
#define LIBNVFS_GPU_H

#include <stdatomic.h>
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
 * @base: first byte of its allocation, if it is device memory; or of the addresses
 *	that the application has reserved, where it maps memory in pieces
 * @length: bytes of its allocation, or addresses
 * @piece: first byte of the piece of memory that the address is in: of the
 *	allocation, or of what was mapped at once
 * @piece_length: bytes of that; 0: nothing is mapped there
 * @id: another one for each piece, also at the same address; 0: unknown
 */
struct gpu_mem {
	enum gpu_mem_kind kind;
	unsigned int index;
	uint64_t base;
	uint64_t length;
	uint64_t piece;
	uint64_t piece_length;
	uint64_t id;
};

/* Orders that a board has, copies of each, and most boards of a GPU. */
#define GPU_ORDERS	72U
#define GPU_COPIES	4U
#define GPU_BOARDS	256U

/**
 * struct gpu_order - what code in a stream copies when its turn comes
 * @from: first byte, in pinned host memory or the GPU's
 * @to: likewise
 * @length: bytes; may be 0
 */
struct gpu_order {
	_Alignas(32) _Atomic uint64_t from;
	_Atomic uint64_t to;
	_Atomic uint64_t length;
};

/**
 * struct gpu_board - what a stream and the CPU look at
 * @word: written by the CPU; the stream waits for it
 * @done: written by code in the stream, see gpu_streams.carry
 * @orders: written by the CPU before @word lets the stream go on; all copies of
 *	an order say the same
 *
 * The CPU may look at it also when the application has reset the GPU; nothing
 * comes there then.
 */
struct gpu_board {
	_Alignas(128) _Atomic uint32_t word;
	_Alignas(64) _Atomic uint32_t done;
	_Alignas(64) struct gpu_order orders[GPU_ORDERS][GPU_COPIES];
};

/**
 * struct gpu_streams - work that is ordered with the application's own
 * @key: what is the same for the same stream and for no other, also where a
 *	handle means another stream in each context or thread
 * @enter: between this and @leave the thread's context is @stream's own, also
 *	where it had none, and what others capture is not disturbed.  A handle
 *	that means another stream in each context leaves the context as it is
 * @leave: the reverse, of the last @enter
 * @call: have fn(arg) called when the stream comes to it, by a thread of the
 *	driver.  @fn must not call the driver.  -EOPNOTSUPP: the stream is
 *	being captured
 * @wait: have the stream wait until (int32_t)(*word - value) >= 0, without a
 *	thread; -ENOSYS: this driver or GPU can't
 * @sync: wait here for all that is in the stream; -EOPNOTSUPP as @call
 * @word_home: of what the words are that @word_get gives now.  A word is for
 *	streams for which that is the same; NULL: for all
 * @word_get: memory of this process, whatever becomes of the GPU.  Who has it
 *	counts on from what it says
 * @word_put: the reverse.  Streams may still look at it
 * @word_show: see that @stream can look at it, before each request; -EOPNOTSUPP
 *	as @call, -ENOSYS as @wait
 * @error: the vendor's number of this thread's last failure in this table
 * @open: bring code that carries out orders to @index, and @nr boards for it,
 *	which count on from what they say.  What gpu_pumps.prepare() made; waits
 *	for that GPU, and so do all others who call its driver
 * @close: the reverse.  @over: all that was carried is done, and streams wait at
 *	most for words that are set; otherwise what they need stays for good
 * @suits: 0: it can be had in @stream, and no other has or had the same @id;
 *	-EOPNOTSUPP: the stream is being captured, or it is of another context.
 *	An @id of 0 says nothing
 * @reaches: are all of these bytes memory of that GPU, which code on it may read
 *	and write?  May say no for want of time
 * @carry: have the @nr-th order of the @board-th board carried out when @stream
 *	comes to it, and then @done of that board set to @value.  @most: bytes
 *	that the order will have, or fewer
 * @lost: the GPU has failed, or the application has reset it: nothing of it goes
 *	on
 *
 * @stream is the vendor's handle.  All that return an int, but for @error, return
 * 0 or a negative errno value.  The calling thread's context is the one that
 * counts, so who has a handle of another one enters it first.
 * @open to @lost may be NULL, together; and so may @sync.
 */
struct gpu_streams {
	int (*key)(void *stream, uint64_t key[2]);
	int (*enter)(void *stream);
	void (*leave)(void);
	int (*call)(void *stream, void (*fn)(void *arg), void *arg);
	int (*wait)(void *stream, uint32_t *word, uint32_t value);
	int (*sync)(void *stream);
	uint64_t (*word_home)(void);
	int (*word_get)(uint32_t **word);
	void (*word_put)(uint32_t *word);
	int (*word_show)(void *stream, uint32_t *word);
	int (*error)(void);
	int (*open)(unsigned int index, unsigned int nr, void **carrier,
		    struct gpu_board **boards);
	void (*close)(void *carrier, bool over);
	int (*suits)(void *carrier, void *stream, uint64_t *id);
	bool (*reaches)(void *carrier, uint64_t addr, uint64_t length);
	int (*carry)(void *carrier, void *stream, unsigned int board,
		     unsigned int nr, uint32_t value, uint64_t most);
	bool (*lost)(void *carrier);
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
 * @host_lost: the same after the application has reset the GPU, when the driver has
 *	taken what was its own.  NULL: all of it was
 * @context: what all of that, and queues, belong to, by a number that is no other's
 *	after the application has reset the GPU; then both are gone, and a queue
 *	may only be closed.  0: not known, or there is none.  NULL: never known
 * @open: a queue of copies, ordered in itself and with nothing else, and not
 *	held up by what the application gives the GPU to do
 * @close: the reverse; all copies have ended
 * @start: copy all of @copies in one direction, to the GPU unless @out.  The
 *	array may be reused on return, the memory when @poll says so
 * @poll: 1: all copies started with that mark have ended; 0: not yet; or what
 *	went wrong.  A mark is started again only after it has ended
 * @pin: have @index's copy engines, and code on it, read these pages where they lie,
 *	from now on and whatever becomes of their addresses; and write them, if
 *	@writable: otherwise they can only be read.  They are mapped.  -ENOSYS or
 *	-EOPNOTSUPP: never.  May be NULL, with @unpin
 * @unpin: the reverse; @context: what @context said after @pin.  False: the driver
 *	may still know them by these addresses
 *
 * A queue is used by one thread at a time.  All return 0 or a negative errno
 * value if nothing else is said.
 */
struct gpu_copies {
	int (*host_get)(unsigned int index, uint64_t length, void **host);
	void (*host_put)(unsigned int index, void *host);
	void (*host_lost)(void *host);
	uint64_t (*context)(unsigned int index);
	int (*open)(unsigned int index, void **queue);
	void (*close)(void *queue);
	int (*start)(void *queue, const struct gpu_copy *copies,
		     unsigned int nr, bool out, unsigned int mark);
	int (*poll)(void *queue, unsigned int mark);
	int (*pin)(unsigned int index, void *host, uint64_t length,
		   bool writable);
	bool (*unpin)(unsigned int index, uint64_t context, void *host);
};

struct pump_board;

/* Addresses from @first on and before @end; none: both are 0. */
struct gpu_range {
	uint64_t first;
	uint64_t end;
};

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
 *	and write?  Then @around is out: where else that is so just now.
 *	Otherwise it is left as it was
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
	bool (*reaches)(unsigned int index, uint64_t addr, uint64_t length,
			struct gpu_range *around);
};

/**
 * struct gpu_driver - one vendor's driver
 * @name: for people
 * @init: load and start it.  Called once at a time; a failure may be followed
 *	by another try.  -ENOSYS: this vendor's library is not installed
 * @exit: give back what the driver holds for this process, after the last user
 * @count: number of GPUs or a negative errno value
 * @describe: fill in @gpu; its index is set already
 * @enter: for a thread of ours that works in streams: have the GPU be the one
 *	that its calls are for, until @leave; not nested.  May be NULL, both
 * @alloc: GPU memory, at any alignment (nvfs_buf_alloc() corrects it)
 * @free: the reverse, with what @alloc gave
 * @copy_in: host to GPU; the bytes are there on return.  -EFAULT: not all of it
 *	is memory of the GPU
 * @copy_out: GPU to host; likewise
 * @expose: tell the driver that another device will reach this memory, so
 *	that its own work on it stays ordered with that; may be NULL
 * @classify: what is at @addr; may be NULL: device memory of GPU 0
 * @uuid: 16 bytes that name the GPU; may be NULL
 * @version: of the interface that the library offers, as 1000 * major + 10 * minor, 0:
 *	it does not tell; may be NULL
 * @streams: NULL when the vendor has none
 * @copies: NULL when there are only @copy_in and @copy_out
 * @pumps: NULL when the vendor has none
 *
 * All but @init and @exit may be called by several threads at once, and all but
 * @enter leave the calling thread's own GPU state as it was.  All return 0 or a
 * negative errno value.
 */
struct gpu_driver {
	const char *name;
	int (*init)(void);
	void (*exit)(void);
	int (*count)(void);
	int (*describe)(unsigned int index, struct nvfs_gpu *gpu);
	int (*enter)(unsigned int index);
	void (*leave)(void);
	int (*alloc)(unsigned int index, uint64_t length, uint64_t *addr);
	int (*free)(unsigned int index, uint64_t addr);
	int (*copy_in)(unsigned int index, uint64_t dst, const void *src,
		       uint64_t length);
	int (*copy_out)(unsigned int index, void *dst, uint64_t src,
			uint64_t length);
	int (*expose)(unsigned int index, uint64_t addr);
	int (*classify)(uint64_t addr, struct gpu_mem *mem);
	int (*uuid)(unsigned int index, uint8_t *uuid);
	int (*version)(void);
	const struct gpu_streams *streams;
	const struct gpu_copies *copies;
	const struct gpu_pumps *pumps;
};

/* gpu.c: the largest of a PCI function's memory ranges in bytes, 0: not to be had. */
uint64_t gpu_bar_bytes(uint32_t bdf);

extern const struct gpu_driver gpu_cuda;
extern const struct gpu_driver gpu_hip;

/* gpu_cuda_stream.c: bound to the library by gpu_cuda.c when it is loaded. */
extern const struct gpu_streams gpu_cuda_streams;
int gpu_cuda_classify(uint64_t addr, struct gpu_mem *mem);
int gpu_cuda_uuid(unsigned int index, uint8_t *uuid);
/* @symbol: finds a function of the library, or NULL. */
void gpu_cuda_bind_streams(void *(*symbol)(const char *name));

/* gpu_cuda_carry.c: the last functions of that table; every one may be missing. */
int gpu_cuda_carry_open(unsigned int index, unsigned int nr, void **carrier,
			struct gpu_board **boards);
void gpu_cuda_carry_close(void *carrier, bool over);
int gpu_cuda_carry_suits(void *carrier, void *stream, uint64_t *id);
bool gpu_cuda_carry_reaches(void *carrier, uint64_t addr, uint64_t length);
int gpu_cuda_carry(void *carrier, void *stream, unsigned int board,
		   unsigned int nr, uint32_t value, uint64_t most);
bool gpu_cuda_carry_lost(void *carrier);
void gpu_cuda_bind_carry(void *(*symbol)(const char *name));

/* gpu_cuda_copy.c: true when the library has what it takes. */
extern const struct gpu_copies gpu_cuda_copies;
bool gpu_cuda_bind_copies(void *(*symbol)(const char *name));
/* What was registered in that context, or another. */
bool gpu_cuda_unregister(unsigned int index, uint64_t context, void *host);

/* gpu_cuda_pin.c: of that table. */
int gpu_cuda_pin(unsigned int index, void *host, uint64_t length, bool writable);
void gpu_cuda_bind_pin(void *(*symbol)(const char *name));

/* gpu_cuda_pump.c: likewise; every function may be missing. */
extern const struct gpu_pumps gpu_cuda_pumps;
void gpu_cuda_bind_pumps(void *(*symbol)(const char *name));

/* gpu_cuda.c: the library by which the driver translates code is there after this. */
void gpu_cuda_load_translator(void);

/*
 * gpu_cuda.c: between the two, the GPU's primary context is the thread's and
 * a stream that somebody captures is not disturbed.
 */
int gpu_cuda_enter(unsigned int index);
/* The same with another context; NULL: the thread's own stays. */
int gpu_cuda_enter_ctx(void *ctx);
void gpu_cuda_leave(void);
int gpu_cuda_errno(int result);
/* As gpu_copies.context. */
uint64_t gpu_cuda_context(unsigned int index);
bool gpu_cuda_in_use(unsigned int index);

/* For tests: use only this one; NULL restores the built-in list. */
void gpu_set_driver(const struct gpu_driver *driver);

/*
 * Get the driver, loading it for the first user; each success is owed one
 * gpu_put().  -ENOSYS: no vendor's library could be loaded; -ENODEV: none of them
 * has a GPU.
 */
int gpu_get(const struct gpu_driver **driver);
void gpu_put(void);

/* Does the application work with that GPU already?  Loads nothing. */
bool gpu_in_use(unsigned int index);

#endif /* LIBNVFS_GPU_H */
