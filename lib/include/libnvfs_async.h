/* SPDX-License-Identifier: MIT */
/*
 * libnvfs: requests that nobody waits for.
 *
 * Files that the library knows, GPU memory by its address, queues of requests,
 * and requests in the order of a stream of the GPU.  The rules of libnvfs.h
 * hold here, too.  In addition
 *	- A handle or another pointer that must not be NULL gives -EINVAL.
 *	- Bits that have no meaning and reserved members must be 0, or -EINVAL.
 *
 * Memory is named by GPU and address, as a framework has it, and not by region:
 * memory that nobody registered is registered when a request first names it,
 * and remembered for as long as the module's pin holds.  These pins are other
 * ones than those of struct nvfs_region.
 *
 * When the application resets a GPU (cudaDeviceReset()), what the library had
 * of it is gone: requests through host memory fail with -EIO until the process
 * has closed all handles that had files, memory or queues, or prepared a GPU.
 * Those that are in streams of that GPU end so, too, but not by themselves:
 * nvfs_file_close() looks for them.  Drivers older than CUDA 12 tell of no
 * reset: close these handles first.
 *
 * All handles of a process share what is behind this, and one opening of the
 * module: by the first handle that uses it, until the last of those that do is
 * closed.  Where the module was not there then, requests of all of them go
 * through host memory, or end with NVFS_REASON_NO_MODULE, also when it was
 * loaded since and nvfs_module_error() of a newer handle is 0.
 */
#ifndef LIBNVFS_ASYNC_H
#define LIBNVFS_ASYNC_H

#include <libnvfs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A file, with what the library found out about it. */
struct nvfs_file;
/* GPU memory of the caller's that was registered ahead of requests. */
struct nvfs_mem;
/* Requests that were submitted, and those that have ended. */
struct nvfs_queue;

/* nvfs_file_open(): what has to go through host memory is read with O_DIRECT,
 * although the file was not opened so; what the page cache has is still taken
 * from there.
 */
#define NVFS_FILE_O_DIRECT	(1U << 0)

/* nvfs_mem_register(): also succeed when the module is absent or refuses; then
 * only requests with NVFS_IO_ALLOW_BOUNCE can use the memory.
 */
#define NVFS_MEM_ALLOW_BOUNCE	(1U << 0)

/* The deepest queue. */
#define NVFS_QUEUE_MAX_DEPTH	65536U

/**
 * struct nvfs_io - a request
 * @file: the file, of the same handle
 * @file_offset: first byte in the file
 * @addr: first byte in GPU memory, at any alignment
 * @length: bytes; 0 is fine and moves none
 * @gpu: index of the GPU on which the memory lies
 * @op: enum nvfs_op
 * @flags: NVFS_IO_*
 * @pad: 0
 * @user_data: the caller's; comes back in struct nvfs_done
 * @reserved: 0
 */
struct nvfs_io {
	struct nvfs_file *file;
	uint64_t file_offset;
	uint64_t addr;
	uint64_t length;
	uint32_t gpu;
	uint32_t op;
	uint32_t flags;
	uint32_t pad;
	uint64_t user_data;
	uint64_t reserved[2];
};

/**
 * struct nvfs_done - a request that has ended
 * @user_data: of its struct nvfs_io
 * @error: 0 or a negative errno value.  0 with fewer bytes than were asked for
 *	means the end of the file (or device)
 * @pad: 0
 * @res: what became of it, also after an error
 *
 * With NVFS_ROUTE_MIXED it is mostly not known how many bytes went which way:
 * @res.bounce is all of them then, and @res.direct 0.
 *
 * Errors are what nvfs_read() and nvfs_write() return, -EREMOTEIO with the
 * reason in @res among it, and besides -EBADF (a write to a file not open for
 * writing, say), -ENODEV (no such GPU), -EFAULT (no memory of that GPU),
 * -ECANCELED, -EAGAIN (no thread could be started), -EPROTO (the module said
 * what can't be), or -EIO (the GPU driver, or a module that went away).
 *
 * With NVFS_IO_ALLOW_BOUNCE a request that the module refuses goes through host
 * memory.  Not so one in a stream that was left to the module, as nobody may
 * call the GPU driver when the stream has come to it: it ends with what the
 * module says then, -EREMOTEIO, -ESTALE (the memory was freed since), -ENOMEM
 * or -EPERM among it.
 */
struct nvfs_done {
	uint64_t user_data;
	int32_t error;
	uint32_t pad;
	struct nvfs_result res;
};

/**
 * nvfs_file_open() - make a file known
 * @nvfs: the handle; it can't be closed before the file
 * @fd: the file: one that has offsets, and, if it is open for writing, is not
 *	open with O_APPEND
 * @flags: NVFS_FILE_*
 * @file: out: the file
 *
 * The library duplicates @fd, so that it may be closed at any time.  As with
 * any duplicate, nvfs_file_close() ends the process's record locks (fcntl(2))
 * on the file.
 *
 * Returns 0, -EINVAL (also O_APPEND), -EBADF (@fd is not open, or with O_PATH),
 * -ESPIPE (a pipe or socket), -ENOMEM, -EMFILE, -ECHILD (@nvfs is of a parent
 * process, or the parent had files open: requests need a process that did not),
 * or, with NVFS_FILE_O_DIRECT, what open(2) says.
 */
int nvfs_file_open(struct nvfs *nvfs, int fd, unsigned int flags,
		   struct nvfs_file **file);

/**
 * nvfs_file_close() - forget a file
 * @file: the file; NULL is fine
 *
 * Returns 0, -EBUSY while requests are under way, in streams as well: nothing
 * is closed then, or -ECHILD.
 */
int nvfs_file_close(struct nvfs_file *file);

/**
 * nvfs_mem_register() - register GPU memory ahead of the first request
 * @nvfs: the handle; it can't be closed before the memory is unregistered
 * @gpu: index of the GPU on which the memory lies
 * @addr: GPU virtual address, at any alignment
 * @length: bytes, not 0, at any alignment
 * @flags: NVFS_MEM_*
 * @mem: out: the registration
 *
 * Not needed, but then the first request pays for it, and only registered
 * memory is found without asking the GPU driver.  Requests of all handles of
 * the process profit.  It has to be unregistered before it is freed.
 *
 * Returns 0, -EEXIST (the process registered memory that begins at @addr),
 * -ENODEV (no such GPU), -EFAULT (what begins at @addr is no memory of that
 * GPU), -EINVAL, -EOVERFLOW (the range wraps around), -ENOMEM, -ENOSYS (no GPU
 * driver) or another error of it, -ECHILD (see nvfs_file_open()), and without
 * NVFS_MEM_ALLOW_BOUNCE the error of nvfs_module_error() or of
 * NVFS_IOC_REGISTER (see struct nvfs_register).
 */
int nvfs_mem_register(struct nvfs *nvfs, unsigned int gpu, uint64_t addr,
		      uint64_t length, unsigned int flags,
		      struct nvfs_mem **mem);

/**
 * nvfs_mem_unregister() - the reverse
 * @mem: the registration; NULL is fine
 *
 * Waits for requests that use it, also for those in streams that have not come
 * to them: must not be called while such a stream waits for the caller.
 *
 * Returns 0 or -ECHILD.
 */
int nvfs_mem_unregister(struct nvfs_mem *mem);

/* Why the module refused it; 0 when it did not. */
int nvfs_mem_error(const struct nvfs_mem *mem);

/**
 * nvfs_queue_open() - make a queue
 * @nvfs: the handle; it can't be closed before the queue
 * @depth: most requests between their submission and nvfs_queue_wait() telling
 *	of their end, 1 to NVFS_QUEUE_MAX_DEPTH
 * @queue: out: the queue
 *
 * Returns 0, -EINVAL, -ENOMEM, or -ECHILD (see nvfs_file_open()).
 */
int nvfs_queue_open(struct nvfs *nvfs, unsigned int depth,
		    struct nvfs_queue **queue);

/**
 * nvfs_queue_close() - end a queue
 * @queue: the queue; NULL is fine.  No other thread uses it
 *
 * Cancels requests that are under way and waits for them.  Ends that nobody was
 * told of are dropped.
 *
 * Returns 0 or -ECHILD.
 */
int nvfs_queue_close(struct nvfs_queue *queue);

/**
 * nvfs_queue_submit() - start requests, without waiting for any
 * @queue: the queue
 * @ios: the requests; not needed any more on return
 * @nr: how many, 1 to the depth
 * @bad: out, when this fails: index of the request because of which, @nr when
 *	it is not for one of them; may be NULL
 *
 * All or none: with an error, none was started.  Requests run at the same time
 * and end in any order; ranges that overlap, in the file or in memory, are the
 * caller's to keep apart.  The bytes of a write must not change before it has
 * ended.
 *
 * What can be told only when a request is carried out, also that it can't go
 * direct, is told as the end of that request.
 *
 * Returns 0, -EINVAL (@nr is out of range), -EBUSY (no room for @nr: wait
 * first), -EAGAIN (no thread could be started), -ENOMEM, -ECHILD, or for a
 * request: -EINVAL (an unknown op or flag, no file, one of another handle, a
 * reserved member is set), -ENODEV (no GPU has such a number), or -EOVERFLOW
 * (@length is above SSIZE_MAX, or a range wraps around).
 */
int nvfs_queue_submit(struct nvfs_queue *queue, const struct nvfs_io *ios,
		      unsigned int nr, unsigned int *bad);

/**
 * nvfs_queue_wait() - be told of requests that have ended
 * @queue: the queue
 * @min_nr: wait for so many, or until none is under way; 0 does not wait
 * @done: out
 * @max_nr: how many @done has room for; at least 1 and @min_nr
 * @timeout_ns: wait no longer, in nanoseconds; 0: not at all, -1: for ever
 *
 * Each end is told once, to one of the threads that wait, in the order in which
 * they came.  A signal does not end this.  Looks for 0.2 ms before it sleeps.
 *
 * Returns how many ends @done has, which is less than @min_nr when time was up
 * or other threads were told of them; -EINVAL (a number is out of range) or
 * -ECHILD.
 */
int nvfs_queue_wait(struct nvfs_queue *queue, unsigned int min_nr,
		    struct nvfs_done *done, unsigned int max_nr,
		    int64_t timeout_ns);

/**
 * nvfs_queue_cancel() - give requests up
 * @queue: the queue
 * @user_data: of which requests
 *
 * Each of them still ends, and is told of: with -ECANCELED when it was not
 * begun, or was stopped half way, where @res.done bytes are good; otherwise as
 * if nobody had asked.  Does not wait for that.
 *
 * Returns how many requests that were under way had that @user_data, -EINVAL or
 * -ECHILD.
 */
int nvfs_queue_cancel(struct nvfs_queue *queue, uint64_t user_data);

/**
 * nvfs_gpu_prepare() - bring code to a GPU that copies for requests
 * @nvfs: the handle
 * @gpu: its index
 *
 * Small copies are faster with it, and without it requests through host memory
 * can't be put into streams (nvfs_stream_submit()).  The driver brings code to
 * a GPU only when all of its work has ended, so this waits for that, and no
 * request does it.  Must not be called while work on the GPU waits for a
 * request.  For the process.
 *
 * Returns 0, or an error, with which streams have none of it, but small copies
 * may: -EINVAL, -EAGAIN (the driver is still translating: call again some
 * time), -EBUSY (streams still look at what they had before the process closed
 * all that it had open: call again when they have come to their end), -ENOSYS
 * (not with this driver or GPU), -ENODEV, -ENOMEM, -EIO (also once the
 * application has reset the GPU) or -ECHILD.
 */
int nvfs_gpu_prepare(struct nvfs *nvfs, unsigned int gpu);

/**
 * nvfs_stream_submit() - put a request into a stream of the GPU
 * @stream: the GPU driver's handle, such as a cudaStream_t; NULL is the default
 *	stream
 * @io: the request; not needed any more on return
 * @done: out, when the request has ended: what became of it; it must stay until
 *	then
 *
 * The request begins when all that was put into the stream before has ended,
 * and what is put into it afterwards begins when the request has ended: so who
 * has waited for the stream may look at @done, and at the bytes.
 *
 * Does not wait, but where a request through host memory can't be put into the
 * stream.  Then it is carried out here, when the stream has come to its end.
 * That is so
 *	- before nvfs_gpu_prepare(), and where that failed;
 *	- in a stream of another context than the GPU's primary one;
 *	- above 288 MiB, less a block of the file for reads with O_DIRECT;
 *	- of memory of which the driver does not say that code on the GPU may
 *	  read and write all of it, or where that takes too many questions;
 *	- when too many are in streams, or no more host memory can be pinned.
 *
 * When the application resets the GPU, or it fails, a request of its memory
 * that had not begun ends with -EIO: at the latest when somebody closes its
 * file or unregisters its memory.  Drivers older than CUDA 12, and AMD's, do
 * not tell of a reset, and that a GPU has failed is seen only after
 * nvfs_gpu_prepare().
 *
 * Returns 0, or an error with which nothing was put into the stream: one for a
 * request of nvfs_queue_submit(), -EREMOTEIO (it can't go direct and must not
 * go through host memory: @done is filled in and has the reason), -EINVAL also
 * for NULL and no stream, -EOPNOTSUPP (the stream is being captured), -ENOSYS
 * (the driver has no streams, or is not there), -ENODEV, -EIO, -ENOMEM or
 * -ECHILD.  Without NVFS_IO_ALLOW_BOUNCE also what the module says: -ESTALE
 * (the registered memory was freed), -EISDIR (the file is a directory) or
 * -EINVAL (it is of proc, sysfs or another file system that is no storage).
 */
int nvfs_stream_submit(void *stream, const struct nvfs_io *io,
		       struct nvfs_done *done);

#ifdef __cplusplus
}
#endif

#endif /* LIBNVFS_ASYNC_H */
