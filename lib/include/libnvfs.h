/* SPDX-License-Identifier: MIT */
/*
 * libnvfs: move bytes between files and GPU memory.
 *
 * Rules for every function
 *	- Failure is a negative errno value; errno itself is not touched on
 *	  purpose and means nothing afterwards.
 *	- Sizes and offsets are bytes.
 *	- Handles may be used by several threads at once.  A handle may be ended
 *	  only when no other thread uses it.
 *	- Handles do not survive fork(2): the child gets -ECHILD.
 *	- Nothing is written to stdout or stderr, no signal handler is touched.
 *	- Nothing falls back silently: bytes travel through host memory only
 *	  when the caller passed NVFS_IO_ALLOW_BOUNCE, and the result says so.
 */
#ifndef LIBNVFS_H
#define LIBNVFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <nvfs.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIBNVFS_VERSION_MAJOR	0
#define LIBNVFS_VERSION_MINOR	1
#define LIBNVFS_VERSION_PATCH	0

/* An open library: the device, and the GPU driver once it is needed. */
struct nvfs;
/* GPU memory that the library allocated. */
struct nvfs_buf;
/* A range of GPU memory that files may be read into and written from. */
struct nvfs_region;

/*
 * Reasons of the library's own, next to enum nvfs_reason: they say why a
 * request could not even be put to the module.
 */
#define NVFS_REASON_NO_MODULE	0x100U	/* /dev/nvidia-fs can't be used */
#define NVFS_REASON_NO_REGION	0x101U	/* the module refused the region */
#define NVFS_REASON_NOT_WANTED	0x102U	/* the caller forbade the direct way */

/* nvfs_open(): also succeed when the device can't be opened. */
#define NVFS_OPEN_NO_MODULE	(1U << 0)

/* nvfs_region_*(): the region outlives a free of its memory (if possible). */
#define NVFS_REGION_PERSISTENT	(1U << 0)
/* nvfs_region_*(): also succeed when the module is absent or refuses; only
 * requests with NVFS_IO_ALLOW_BOUNCE can use such a region.
 */
#define NVFS_REGION_ALLOW_BOUNCE (1U << 1)

/* nvfs_region_map(): the mapping is not written to. */
#define NVFS_MAP_READ_ONLY	(1U << 0)

/* nvfs_read(), nvfs_write(): what can't go direct may use host memory. */
#define NVFS_IO_ALLOW_BOUNCE	(1U << 0)

/**
 * struct nvfs_gpu - one GPU, as nvfs_gpu_get() describes it
 * @index: the GPU driver's own number; CUDA_VISIBLE_DEVICES applies, or
 *	HIP_VISIBLE_DEVICES with AMD's driver
 * @bdf: PCI function in the form of nvfs.h; NVFS_BDF_NONE when unknown
 * @memory: total memory in bytes
 * @name: name, ended by a zero byte
 * @reserved: 0
 */
struct nvfs_gpu {
	uint32_t index;
	uint32_t bdf;
	uint64_t memory;
	char name[96];
	uint64_t reserved[2];
};

/**
 * struct nvfs_result - what became of a request
 * @done: bytes moved, from the start of the request, without a gap
 * @direct: how many of them are known to have gone direct
 * @bounce: all others: they went through host memory, or may have
 * @route: enum nvfs_route
 * @reason: enum nvfs_reason or NVFS_REASON_NO_*: why not (all) direct
 * @reserved: 0
 *
 * What the module moves both ways in one go it does not count apart, and all of
 * it is in @bounce.  So with NVFS_ROUTE_MIXED a request of a queue or a stream
 * (libnvfs_async.h) may have a @direct of 0.
 */
struct nvfs_result {
	uint64_t done;
	uint64_t direct;
	uint64_t bounce;
	uint32_t route;
	uint32_t reason;
	uint64_t reserved[4];
};

/* Reasons that struct nvfs_stats has room for. */
#define NVFS_STATS_REASONS	32

/**
 * struct nvfs_count - requests of one direction that have ended
 * @requests: how many
 * @failed: how many of them with an error
 * @direct: bytes that are known to have gone direct, see struct nvfs_result;
 *	those of failed requests included
 * @bounce: all other bytes, likewise
 * @routes: how many requests took each enum nvfs_route; @requests in all
 * @reserved: 0
 */
struct nvfs_count {
	uint64_t requests;
	uint64_t failed;
	uint64_t direct;
	uint64_t bounce;
	uint64_t routes[4];
	uint64_t reserved[4];
};

/**
 * struct nvfs_stats_reason - requests that did not, or not all, go direct
 * @reason: enum nvfs_reason or NVFS_REASON_NO_*; UINT32_MAX stands for all that
 *	this library does not know
 * @reserved: 0
 * @requests: how many; not 0
 */
struct nvfs_stats_reason {
	uint32_t reason;
	uint32_t reserved;
	uint64_t requests;
};

/**
 * struct nvfs_stats - what became of all requests of a handle
 * @read: of reads
 * @write: of writes
 * @nr_reasons: how many of @reasons are filled in
 * @reserved: 0
 * @reasons: why requests of both directions did not, or not all, go direct, by
 *	rising number
 */
struct nvfs_stats {
	struct nvfs_count read;
	struct nvfs_count write;
	uint32_t nr_reasons;
	uint32_t reserved;
	struct nvfs_stats_reason reasons[NVFS_STATS_REASONS];
};

/**
 * nvfs_open() - open the library and the device
 * @flags: NVFS_OPEN_*
 * @nvfs: out: the handle
 *
 * No GPU driver is loaded yet: that happens with the first nvfs_gpu_*(),
 * nvfs_buf_alloc() or nvfs_region_register_addr().
 *
 * Returns 0, -EINVAL (a flag is unknown, @nvfs is NULL), -ENOMEM, -ENOENT (no
 * device node: the module is not loaded), -EACCES, -EPROTO (another device or
 * another major version of the interface), or another error of open(2).
 */
int nvfs_open(unsigned int flags, struct nvfs **nvfs);

/**
 * nvfs_close() - end a handle
 * @nvfs: the handle; NULL is fine
 *
 * Returns 0, -EBUSY when something is left that was got with it (a buffer, a
 * region, what libnvfs_async.h opens): nothing is closed then, or -ECHILD.
 */
int nvfs_close(struct nvfs *nvfs);

/**
 * nvfs_module_error() - why the module can't be used
 * @nvfs: the handle, opened with NVFS_OPEN_NO_MODULE
 *
 * Returns 0 when it can, otherwise what nvfs_open() would have returned.
 */
int nvfs_module_error(struct nvfs *nvfs);

/**
 * nvfs_get_info() - what module is this
 * @nvfs: the handle
 * @info: out; the caller sets @info->size to sizeof(*info), the rest to 0
 *
 * Returns 0, the error of nvfs_module_error(), or an error of NVFS_IOC_INFO.
 */
int nvfs_get_info(struct nvfs *nvfs, struct nvfs_info *info);

/**
 * nvfs_gpu_count() - how many GPUs there are
 * @nvfs: the handle
 *
 * Returns the number, -ENOSYS when no GPU driver library can be loaded, or
 * -ENODEV when it finds no GPU.
 */
int nvfs_gpu_count(struct nvfs *nvfs);

/**
 * nvfs_gpu_get() - describe a GPU
 * @nvfs: the handle
 * @index: 0 to nvfs_gpu_count() - 1
 * @gpu: out
 *
 * Returns 0, -ENODEV when there is no such GPU, or an error of
 * nvfs_gpu_count().
 */
int nvfs_gpu_get(struct nvfs *nvfs, unsigned int index, struct nvfs_gpu *gpu);

/**
 * nvfs_buf_alloc() - allocate GPU memory
 * @nvfs: the handle
 * @gpu: index of the GPU
 * @length: bytes, not 0; need not be a multiple of anything
 * @buf: out: the buffer
 *
 * The memory starts at a multiple of 64 KiB and what lies between @length and
 * the next multiple of 64 KiB belongs to the buffer too, so that a region of
 * it never covers anybody else's memory.  The content is not defined.
 *
 * Returns 0, -EINVAL, -EOVERFLOW, -ENOMEM, -ENODEV or -ENOSYS.
 */
int nvfs_buf_alloc(struct nvfs *nvfs, unsigned int gpu, uint64_t length,
		   struct nvfs_buf **buf);

/**
 * nvfs_buf_free() - free GPU memory
 * @buf: the buffer; NULL is fine
 *
 * Returns 0, -EBUSY when a region of it is left, or -EIO (the GPU driver).
 */
int nvfs_buf_free(struct nvfs_buf *buf);

/* The buffer's GPU virtual address. */
uint64_t nvfs_buf_addr(const struct nvfs_buf *buf);
/* Its length, as asked for. */
uint64_t nvfs_buf_length(const struct nvfs_buf *buf);
/* How many bytes really are there: nvfs_buf_length() or more. */
uint64_t nvfs_buf_capacity(const struct nvfs_buf *buf);

/**
 * nvfs_buf_copy_in() - copy from host memory, with the GPU's copy engine
 * @buf: the buffer
 * @offset: first byte in the buffer
 * @src: host memory
 * @length: bytes; @offset + @length must not exceed nvfs_buf_capacity()
 *
 * The bytes are in place when it returns.
 *
 * Returns 0, -ERANGE, or -EIO (the GPU driver).
 */
int nvfs_buf_copy_in(struct nvfs_buf *buf, uint64_t offset, const void *src,
		     uint64_t length);

/**
 * nvfs_buf_copy_out() - copy to host memory, with the GPU's copy engine
 * @buf: the buffer
 * @offset: first byte in the buffer
 * @dst: host memory
 * @length: bytes; @offset + @length must not exceed nvfs_buf_capacity()
 *
 * Returns 0, -ERANGE, or -EIO (the GPU driver).
 */
int nvfs_buf_copy_out(struct nvfs_buf *buf, uint64_t offset, void *dst,
		      uint64_t length);

/**
 * nvfs_region_register() - make a region of a whole buffer
 * @buf: the buffer; it can't be freed before the region
 * @flags: NVFS_REGION_*
 * @region: out: the region; it covers nvfs_buf_capacity() bytes
 *
 * Returns 0, an error of NVFS_IOC_REGISTER (see struct nvfs_register), or the
 * error of nvfs_module_error().
 */
int nvfs_region_register(struct nvfs_buf *buf, unsigned int flags,
			 struct nvfs_region **region);

/**
 * nvfs_region_register_addr() - make a region of memory that is the caller's
 * @nvfs: the handle
 * @gpu: index of the GPU on which the memory lies
 * @addr: GPU virtual address, at any alignment
 * @length: bytes, not 0, at any alignment
 * @flags: NVFS_REGION_*
 * @region: out: the region
 *
 * The module pins whole blocks of 4 KiB, so the pinned range is rounded
 * outwards; nvfs_region_pinned() tells it.  Requests may still only name the
 * @length bytes that were asked for.  A request is direct only where its GPU
 * address suits the drive (nvfs_query_region() tells @mem_align).
 *
 * Returns what nvfs_region_register() returns, -EINVAL for a length of 0, or
 * -EOVERFLOW when the range, rounded, wraps around.
 */
int nvfs_region_register_addr(struct nvfs *nvfs, unsigned int gpu,
			      uint64_t addr, uint64_t length,
			      unsigned int flags, struct nvfs_region **region);

/**
 * nvfs_region_unregister() - end a region
 * @region: the region; NULL is fine
 *
 * Waits for requests in flight.  The handle is gone also after an error.
 *
 * Returns 0 or an error of NVFS_IOC_UNREGISTER.
 */
int nvfs_region_unregister(struct nvfs_region *region);

/* Its length, as asked for. */
uint64_t nvfs_region_length(const struct nvfs_region *region);
/* Why the module refused it; 0 when it did not. */
int nvfs_region_error(const struct nvfs_region *region);

/**
 * nvfs_region_pinned() - which memory the module really pinned
 * @region: the region
 * @addr: out: GPU virtual address; a multiple of 4096; may be NULL
 * @length: out: a multiple of 4096; 0 when the module refused; may be NULL
 */
void nvfs_region_pinned(const struct nvfs_region *region, uint64_t *addr,
			uint64_t *length);

/**
 * nvfs_region_describe() - what NVFS_IOC_REGISTER said
 * @region: the region
 * @reg: out; the caller sets @reg->size to sizeof(*reg)
 *
 * Returns 0, -EINVAL (size), or the error of nvfs_region_error().
 */
int nvfs_region_describe(const struct nvfs_region *region,
			 struct nvfs_register *reg);

/**
 * nvfs_region_map() - make a part of a region readable and writable by the CPU
 * @region: the region
 * @offset: first byte in the region, at any alignment
 * @length: bytes, not 0
 * @flags: NVFS_MAP_*
 * @addr: out: where the first byte is
 *
 * Nothing is copied, and nothing is spent on what is not touched.  The memory is
 * not cached by the CPU: a store is cheap, a load takes about a microsecond.
 * What was stored is seen by a later nvfs_write() of the same thread, and what
 * nvfs_read() brought is seen by later loads; between threads, and between CPU
 * and GPU, see docs/coherency.md.
 *
 * The mapping stays until nvfs_region_unmap(), also when the region has ended or
 * its memory has been freed; from then on, who touches it gets SIGBUS.  It keeps
 * the open file of the device, and so holds up nothing but that.
 *
 * Returns 0, -EINVAL (a flag is unknown, @length is 0, @addr is NULL), -ERANGE
 * (past the end of the region), -EOPNOTSUPP (the module can't map this region),
 * nvfs_region_error() for a region that the module refused, -ESTALE (its memory
 * has been freed), or another error of mmap(2).
 */
int nvfs_region_map(struct nvfs_region *region, uint64_t offset,
		    uint64_t length, unsigned int flags, void **addr);

/**
 * nvfs_region_unmap() - undo nvfs_region_map()
 * @addr: what it gave; NULL is fine
 * @length: bytes, as they were asked for
 *
 * Returns 0, -EINVAL (@length is 0 or wraps around), or an error of munmap(2).
 */
int nvfs_region_unmap(void *addr, uint64_t length);

/**
 * nvfs_read() - file to GPU
 * @region: the region
 * @region_offset: first byte in the region
 * @fd: the file, open for reading; its position is neither used nor moved
 * @file_offset: first byte in the file
 * @length: bytes; above SSIZE_MAX is -EOVERFLOW
 * @flags: NVFS_IO_*
 * @res: out: what happened, also after an error; may be NULL
 *
 * Returns when all bytes are in GPU memory.  EINTR is never returned: a
 * request that a signal cut short goes on from where it was.  Less than
 * @length means the end of the file (or device), nothing else; any failure is
 * an error, and @res->done says how many bytes are good all the same.
 *
 * With NVFS_IO_ALLOW_BOUNCE, a request that can't go direct for a reason of
 * routing (EREMOTEIO) goes through host memory.  When only its ends are
 * unaligned, only its ends do (NVFS_ROUTE_MIXED).
 *
 * Returns bytes moved, -EREMOTEIO (can't go direct; @res->reason says why; no
 * byte moved), -ERANGE (past the end of the region), -EINVAL (an unknown
 * flag), nvfs_region_error() for a region that the module refused, -ENOMEM, or
 * an error of NVFS_IOC_READ (see struct nvfs_rw) or of pread(2).
 */
ssize_t nvfs_read(struct nvfs_region *region, uint64_t region_offset, int fd,
		  uint64_t file_offset, uint64_t length, unsigned int flags,
		  struct nvfs_result *res);

/**
 * nvfs_write() - GPU to file
 * @region: the region
 * @region_offset: first byte in the region
 * @fd: the file, open for writing, without O_APPEND
 * @file_offset: first byte in the file
 * @length: bytes; above SSIZE_MAX is -EOVERFLOW
 * @flags: NVFS_IO_*
 * @res: out: what happened, also after an error; may be NULL
 *
 * The other direction of nvfs_read(), with the same rules and errors; less
 * than @length means the end of the device.
 */
ssize_t nvfs_write(struct nvfs_region *region, uint64_t region_offset, int fd,
		   uint64_t file_offset, uint64_t length, unsigned int flags,
		   struct nvfs_result *res);

/**
 * nvfs_query_region() - can this file reach this region directly?
 * @region: the region
 * @fd: the file
 * @query: out; the caller sets @query->size to sizeof(*query), the rest to 0
 *
 * Returns 0 (the answer is in @query), nvfs_region_error(), or an error of
 * NVFS_IOC_QUERY.
 */
int nvfs_query_region(struct nvfs_region *region, int fd,
		      struct nvfs_query *query);

/**
 * nvfs_query_gpu() - can this file reach this GPU directly?
 * @nvfs: the handle
 * @bdf: the GPU's PCI function
 * @fd: the file
 * @query: out; the caller sets @query->size to sizeof(*query), the rest to 0
 *
 * Returns 0 (the answer is in @query), the error of nvfs_module_error(), or an
 * error of NVFS_IOC_QUERY.
 */
int nvfs_query_gpu(struct nvfs *nvfs, uint32_t bdf, int fd,
		   struct nvfs_query *query);

/**
 * nvfs_stats() - count what the requests of a handle did
 * @nvfs: the handle
 * @stats: out
 *
 * Since nvfs_open().  What was refused for its arguments (-EINVAL, -ERANGE,
 * -EOVERFLOW, -ECHILD) was no request.  Requests go on meanwhile: each number
 * is right, but they are not all of the same moment.
 *
 * Returns 0, -EINVAL (NULL), or -ECHILD.
 */
int nvfs_stats(struct nvfs *nvfs, struct nvfs_stats *stats);

/* One word for an enum nvfs_route, such as "direct"; "unknown" if it is. */
const char *nvfs_route_name(uint32_t route);
/* One word for an enum nvfs_page_source, such as "zone". */
const char *nvfs_pages_name(uint32_t page_source);
/* One word for a reason, such as "host-bridge"; "unknown" if it is. */
const char *nvfs_reason_name(uint32_t reason);
/* The reason as a sentence without a full stop. */
const char *nvfs_reason_text(uint32_t reason);
/* What to do about it, as sentences; "" where there is nothing to do. */
const char *nvfs_reason_remedy(uint32_t reason);

/**
 * nvfs_bdf_parse() - turn "0000:3b:00.0" into a PCI function word
 * @text: domain:bus:device.function or bus:device.function, hexadecimal
 * @bdf: out
 *
 * Returns 0, -EINVAL (malformed), or -ERANGE (does not fit into the word, as
 * domains above ffff).
 */
int nvfs_bdf_parse(const char *text, uint32_t *bdf);

/**
 * nvfs_bdf_format() - the reverse of nvfs_bdf_parse()
 * @bdf: a PCI function word; NVFS_BDF_NONE gives "none"
 * @text: out
 * @size: size of @text; 13 is enough
 *
 * Returns 0 or -ENOSPC.
 */
int nvfs_bdf_format(uint32_t bdf, char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* LIBNVFS_H */
