/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * NVFS: the contract between nvfs.ko and user space.
 *
 * This file is a specification.  The device is /dev/nvidia-fs.
 *
 * Rules for every structure
 *	- @size is the size of the structure that the caller was compiled with.
 *	  The kernel accepts a larger one as long as the bytes it does not know
 *	  are zero, and a smaller one down to the first published size.
 *	- Flags that are not defined here, and reserved fields, must be zero.
 *	- Fields marked "out" are ignored on entry and written back on return,
 *	  also when the call fails, unless the error is one of the general ones.
 *	- Nothing depends on the word size of the caller.
 *
 * General errors, possible with every call
 *	ENOTTY	no such call
 *	EINVAL	@size is smaller than the first published one, an unknown flag
 *		is set, or a reserved field is not zero
 *	E2BIG	@size is larger than the kernel knows and the rest is not zero
 *	EFAULT	the structure can't be read or written
 *	ENOMEM	the kernel ran out of memory
 *
 * Regions belong to the open file of /dev/nvidia-fs that registered them: an
 * id means nothing on another open file, and all regions of an open file end
 * with its last close.
 */
#ifndef _UAPI_NVFS_H
#define _UAPI_NVFS_H

#include <linux/types.h>
#include <linux/ioctl.h>

/*
 * The size is carried by the structures, not by the call number, so that a
 * structure can grow without a new number.
 */
#define NVFS_IOC_TYPE		0xE9

#define NVFS_IOC_INFO		_IO(NVFS_IOC_TYPE, 0x00)
#define NVFS_IOC_REGISTER	_IO(NVFS_IOC_TYPE, 0x01)
#define NVFS_IOC_UNREGISTER	_IO(NVFS_IOC_TYPE, 0x02)
#define NVFS_IOC_READ		_IO(NVFS_IOC_TYPE, 0x03)
#define NVFS_IOC_WRITE		_IO(NVFS_IOC_TYPE, 0x04)
#define NVFS_IOC_QUERY		_IO(NVFS_IOC_TYPE, 0x05)
#define NVFS_IOC_BATCH_CREATE	_IO(NVFS_IOC_TYPE, 0x10)
#define NVFS_IOC_BATCH_SUBMIT	_IO(NVFS_IOC_TYPE, 0x11)
#define NVFS_IOC_BATCH_REAP	_IO(NVFS_IOC_TYPE, 0x12)
#define NVFS_IOC_BATCH_CANCEL	_IO(NVFS_IOC_TYPE, 0x13)
#define NVFS_IOC_BATCH_DESTROY	_IO(NVFS_IOC_TYPE, 0x14)
/* 0x20..0x2f: RDMA registration info. */

#define NVFS_VERSION_MAJOR	0
#define NVFS_VERSION_MINOR	1
#define NVFS_VERSION_PATCH	0

/**
 * enum nvfs_source - who owns the GPU memory that is registered
 * @NVFS_SOURCE_P2P: the NVIDIA peer-to-peer interface (nvidia_p2p_*); the
 *	address is a virtual address of the calling process's GPU memory
 * @NVFS_SOURCE_DMABUF: a dma-buf (reserved; EOPNOTSUPP today)
 */
enum nvfs_source {
	NVFS_SOURCE_P2P		= 0,
	NVFS_SOURCE_DMABUF	= 1
};

/**
 * enum nvfs_page_source - where the struct pages of a GPU's BAR come from
 * @NVFS_PAGES_NONE: there are none, so nothing can go direct
 * @NVFS_PAGES_OWNER: the GPU's driver published its BAR as P2PDMA pages
 * @NVFS_PAGES_ZONE: NVFS made them (MEMORY_DEVICE_GENERIC)
 * @NVFS_PAGES_P2PDMA: NVFS registered the BAR as a P2PDMA resource
 */
enum nvfs_page_source {
	NVFS_PAGES_NONE		= 0,
	NVFS_PAGES_OWNER	= 1,
	NVFS_PAGES_ZONE		= 2,
	NVFS_PAGES_P2PDMA	= 3
};

/**
 * enum nvfs_route - how the bytes of a request travelled
 * @NVFS_ROUTE_NONE: no byte moved
 * @NVFS_ROUTE_DIRECT: the drive's DMA engine moved them to or from the GPU
 * @NVFS_ROUTE_BOUNCE: through host memory
 * @NVFS_ROUTE_MIXED: some direct, some through host memory
 */
enum nvfs_route {
	NVFS_ROUTE_NONE		= 0,
	NVFS_ROUTE_DIRECT	= 1,
	NVFS_ROUTE_BOUNCE	= 2,
	NVFS_ROUTE_MIXED	= 3
};

/**
 * enum nvfs_reason - why a request did not, or may not, go direct
 * @NVFS_REASON_NONE: it did, or may
 * @NVFS_REASON_NO_PAGES: there are no struct pages for the GPU's BAR
 * @NVFS_REASON_NO_DIO: the file system offers no O_DIRECT for this file
 * @NVFS_REASON_FS_CPU: the file system works on the data with the CPU
 *	(encryption, verity, compression, checksums)
 * @NVFS_REASON_NO_BDEV: the file is not on a block device
 * @NVFS_REASON_STACKED: the block device stands on other block devices
 *	(md, dm, loop) that can't be vouched for
 * @NVFS_REASON_NOT_PCI: the drive is no PCI device
 * @NVFS_REASON_QUEUE: the drive's driver does not take peer memory
 * @NVFS_REASON_INTEGRITY: the block layer works on the data with the CPU to
 *	make or check integrity metadata
 * @NVFS_REASON_HOST_BRIDGE: the path crosses a host bridge that is not known
 *	to forward peer-to-peer traffic
 * @NVFS_REASON_IOMMU: an IOMMU stands on the path and the host bridge is not
 *	known to forward peer-to-peer traffic
 * @NVFS_REASON_ALIGN: an offset or the length is no multiple of what O_DIRECT
 *	asks of this file
 * @NVFS_REASON_FS_BUFFERED: the file system took the page cache for the
 *	request, although it was asked for O_DIRECT
 * @NVFS_REASON_REFUSED: the block layer or the drive refused peer memory when
 *	the request was made
 * @NVFS_REASON_NR: number of reasons known to this header
 */
enum nvfs_reason {
	NVFS_REASON_NONE	= 0,
	NVFS_REASON_NO_PAGES	= 1,
	NVFS_REASON_NO_DIO	= 2,
	NVFS_REASON_FS_CPU	= 3,
	NVFS_REASON_NO_BDEV	= 4,
	NVFS_REASON_STACKED	= 5,
	NVFS_REASON_NOT_PCI	= 6,
	NVFS_REASON_QUEUE	= 7,
	NVFS_REASON_INTEGRITY	= 8,
	NVFS_REASON_HOST_BRIDGE	= 9,
	NVFS_REASON_IOMMU	= 10,
	NVFS_REASON_ALIGN	= 11,
	NVFS_REASON_FS_BUFFERED	= 12,
	NVFS_REASON_REFUSED	= 13,
	NVFS_REASON_NR		= 14
};

/*
 * A PCI function in one word: domain << 16 | bus << 8 | device << 3 | function.
 * NVFS_BDF_NONE means "no PCI function".
 */
#define NVFS_BDF_NONE		0xffffffffU

/**
 * struct nvfs_info - NVFS_IOC_INFO: what module is this
 * @size: sizeof(struct nvfs_info)
 * @flags: must be 0
 * @version_major: out: version of the module
 * @version_minor: out
 * @version_patch: out
 * @provider_version: out: version of the provider's page table, 0 when no
 *	provider of GPU memory is loaded; the version that NVFS expects when
 *	the provider has not made a table since NVFS was loaded
 * @nr_regions: out: regions that are registered through this open file
 * @__reserved: out: 0
 *
 * Errors: the general ones only.
 */
struct nvfs_info {
	__u32 size;
	__u32 flags;
	__u32 version_major;
	__u32 version_minor;
	__u32 version_patch;
	__u32 provider_version;
	__u32 nr_regions;
	__u32 __reserved;
};

/* Most regions of one open file. */
#define NVFS_MAX_REGIONS		65535

/* Keep the memory pinned when its owner frees it, where the provider can. */
#define NVFS_REGISTER_PERSISTENT	(1U << 0)

/**
 * struct nvfs_register - NVFS_IOC_REGISTER: pin a range of GPU memory
 * @size: sizeof(struct nvfs_register)
 * @flags: NVFS_REGISTER_*
 * @source: enum nvfs_source
 * @fd: the dma-buf of NVFS_SOURCE_DMABUF, otherwise -1
 * @addr: GPU virtual address (NVFS_SOURCE_P2P); a multiple of 4096
 * @length: bytes; a multiple of 4096, not 0
 * @region: out: id of the region, never 0
 * @page_source: out: enum nvfs_page_source
 * @reason: out: enum nvfs_reason; not 0 when no request of this region can
 *	ever go direct
 * @gpu: out: the GPU's PCI function
 * @gpu_page_size: out: size of the provider's pages, in bytes
 * @nr_pieces: out: number of runs of contiguous bus addresses
 * @mmap_offset: out: where the region begins for mmap(2) on the device, see
 *	"Mappings" below; a multiple of 4096; 0: can't be mapped
 *
 * Without NVFS_REGISTER_PERSISTENT the region is revoked when its memory is
 * freed: requests in flight end first, later ones fail with ESTALE.
 *
 * Errors:
 *	EINVAL	@source is unknown, @addr or @length is no multiple of 4096,
 *		@length is 0, or @fd is not -1 where it must be
 *	EOVERFLOW	@addr + @length wraps around
 *	EOPNOTSUPP	the provider can't do what @source or @flags ask for
 *	ENODEV	no provider of GPU memory is loaded
 *	EDQUOT	the user who opened the file would have more GPU memory pinned
 *		than the module's parameter pin_limit_mib allows
 *	EPROTO	the provider's page table has a version NVFS does not know
 *	EFAULT	the range is not GPU memory of the calling process
 *	ENXIO	the provider's pages lie in no PCI device's BAR
 *	ENOSPC	this open file has NVFS_MAX_REGIONS regions
 */
struct nvfs_register {
	__u32 size;
	__u32 flags;
	__u32 source;
	__s32 fd;
	__aligned_u64 addr;
	__aligned_u64 length;
	__u32 region;
	__u32 page_source;
	__u32 reason;
	__u32 gpu;
	__u32 gpu_page_size;
	__u32 nr_pieces;
	__aligned_u64 mmap_offset;
};

/*
 * Mappings: mmap(2) on the open file that registered the region, or on a copy of
 * its descriptor (dup(2), fork(2), a unix socket), gives the CPU access to the
 * region: its byte X is at file offset @mmap_offset + X.  Any part may be mapped,
 * in whole pages, as often as wanted.
 *	- Pages come when they are touched.  Mapping costs the same for any length.
 *	- A mapping keeps the open file, and so its regions, as a descriptor does.
 *	- When the region ends (UNREGISTER, or its memory is freed), its pages leave
 *	  all mappings before the call returns.  Who touches them then gets SIGBUS;
 *	  the mapping itself stays until munmap(2).
 *	- It is inherited by fork(2), can be moved by mremap(2) but not grown
 *	  (EFAULT), is not dumped into a core, and is no memory that the kernel can
 *	  pin: read(2) with O_DIRECT and the like get EFAULT.  ptrace(2) works.
 *	- It is not cached by the CPU.  How the CPU's accesses are ordered with the
 *	  drive's and the GPU's: docs/coherency.md.
 *
 * Errors of mmap(2), in the order in which they are looked for, after its own
 * (EACCES: a shared writable mapping of a descriptor open for reading only):
 *	EINVAL	MAP_PRIVATE
 *	EACCES	PROT_EXEC; mprotect(2) says the same later
 *	ENXIO	no region begins before the offset, or the range goes beyond the
 *		end of the region
 *	ESTALE	the region's memory has been freed
 */

/**
 * struct nvfs_unregister - NVFS_IOC_UNREGISTER: end a region
 * @size: sizeof(struct nvfs_unregister)
 * @flags: must be 0
 * @region: id of the region
 * @__reserved: must be 0
 *
 * Returns when no request touches the region's memory any more and it is not pinned.
 * Those that wait for a file or for a worker end later, with ESTALE; a WRITE whose
 * bytes are in host memory already may still reach its file.
 *
 * Errors:
 *	ENOENT	no such region on this open file
 */
struct nvfs_unregister {
	__u32 size;
	__u32 flags;
	__u32 region;
	__u32 __reserved;
};

/* Parts of the request that can't go direct may go through host memory. */
#define NVFS_RW_BOUNCE			(1U << 0)
/* READ: leave the GPU memory of holes as it is, and list them (not in batches). */
#define NVFS_RW_REPORT_HOLES		(1U << 1)

/* Most hole records that one READ returns, whatever @max_holes says. */
#define NVFS_MAX_HOLES			1024

/**
 * struct nvfs_hole - a hole of a file inside a READ
 * @file_offset: its first byte in the file
 * @length: bytes; the hole may go on outside the request
 */
struct nvfs_hole {
	__aligned_u64 file_offset;
	__aligned_u64 length;
};

/**
 * struct nvfs_rw - NVFS_IOC_READ, NVFS_IOC_WRITE: move bytes
 * @size: sizeof(struct nvfs_rw)
 * @flags: NVFS_RW_*
 * @region: id of the region
 * @fd: the file; a regular file or a block device, with or without O_DIRECT
 * @region_offset: first byte in the region
 * @file_offset: first byte in the file
 * @length: bytes to move; 0 makes all checks and moves nothing
 * @done: out: bytes moved, from the start of the request, without a gap
 * @route: out: enum nvfs_route: how those bytes travelled
 * @reason: out: enum nvfs_reason: why not direct, or not all of it
 * @holes: NVFS_RW_REPORT_HOLES: address of @max_holes records, otherwise 0
 * @max_holes: room at @holes, at least 1 with NVFS_RW_REPORT_HOLES, otherwise 0
 * @nr_holes: out: records written
 *
 * READ moves file to GPU, WRITE moves GPU to file; the call returns when the
 * request is complete.  Success with @done less than @length means the end of
 * the file (READ) or of the device.  After an error @done may be more than 0:
 * so many bytes are good.
 *
 * Alignment is free with NVFS_RW_BOUNCE.  What O_DIRECT can't move (the head and
 * tail of a request that begins or ends inside a block, or all of it when the
 * file offset and the GPU address disagree) goes through host memory, and the
 * route is mixed or bounce.  Without the flag such a request is refused.
 * A WRITE brings the parts of blocks at its ends through the page cache to the
 * drive before it returns.  In a file of xfs a WRITE's blocks are those of the
 * file system, as xfs has a page cache for parts of those that files share.
 *
 * ext4 takes its page cache for a WRITE to a hole of a file without extents, though
 * it could go direct.  All of that step (64 MiB at most) then counts as bounce, for
 * NVFS_REASON_FS_BUFFERED, with NVFS_RW_BOUNCE or not.  The same is said of a direct
 * one to such a file if somebody writes the range through the page cache at that
 * moment.  What xfs and ext4 write through it because somebody's mapping keeps a
 * page of the range in it can't be told from a direct WRITE.
 *
 * Holes read as zeroes.  With NVFS_RW_REPORT_HOLES they are listed instead, in
 * order, neighbours merged, and count into @done.  When the records run out
 * the request ends early, with success, where the next hole begins: go on
 * there.  A range that held data when the call began is never a hole.  The
 * records are good, and complete up to @done, also after an error.
 *
 * Requests do not wait for one another, but that WRITEs to the same file which
 * begin or end inside a block and those which do not take turns; the order of
 * overlapping ones is not defined.  WRITE honours O_SYNC and O_DSYNC of the file.
 *
 * Errors, in the order in which they are looked for:
 *	EINVAL	NVFS_RW_REPORT_HOLES with WRITE; @holes or @max_holes do not fit
 *		@flags
 *	ENOENT	no such region on this open file
 *	ESTALE	the region's memory has been freed by its owner
 *	EOVERFLOW	@region_offset + @length is above 2^64 - 1, or @file_offset +
 *		@length is above 2^63 - 1
 *	ERANGE	the range ends past the end of the region
 *	EBADF	@fd is not open, or not open for reading (READ) or writing (WRITE)
 *	EISDIR	@fd is a directory
 *	ESPIPE	@fd is a pipe, a socket or another thing without offsets
 *	EINVAL	@fd is neither a regular file nor a block device, or a file of
 *		proc, sysfs or another file system that is no storage
 *	EPERM	WRITE: @fd was opened with O_APPEND, or the file is immutable
 *		or append-only
 *	EREMOTEIO	the request can't go direct and NVFS_RW_BOUNCE is not set;
 *		@reason says why.  @done is 0 unless peer memory was refused
 *		half way
 *	ENODEV	the GPU or the drive is gone
 *	EINTR	a fatal signal; @done says how far the request got
 *	other	what the file system or the drive said: EIO, ENODATA (a bad
 *		spot of an NVMe drive), ENOSPC, EFBIG, EROFS, ETXTBSY, ...
 */
struct nvfs_rw {
	__u32 size;
	__u32 flags;
	__u32 region;
	__s32 fd;
	__aligned_u64 region_offset;
	__aligned_u64 file_offset;
	__aligned_u64 length;
	__aligned_u64 done;
	__u32 route;
	__u32 reason;
	__aligned_u64 holes;
	__u32 max_holes;
	__u32 nr_holes;
};

/* @region is not used: the GPU is named by its PCI function, @gpu. */
#define NVFS_QUERY_GPU		(1U << 0)

/**
 * struct nvfs_query - NVFS_IOC_QUERY: can this file reach this GPU directly?
 * @size: sizeof(struct nvfs_query)
 * @flags: NVFS_QUERY_*
 * @region: id of a region; 0 with NVFS_QUERY_GPU
 * @fd: the file
 * @gpu: in with NVFS_QUERY_GPU, otherwise out: the GPU's PCI function
 * @drive: out: the drive's PCI function, NVFS_BDF_NONE when there is none
 * @route: out: NVFS_ROUTE_DIRECT or NVFS_ROUTE_BOUNCE
 * @reason: out: enum nvfs_reason: the check that failed
 * @distance: out: PCI links between drive and GPU, -1 when unknown
 * @offset_align: out: what file offset and length of a direct request must be
 *	multiples of, in bytes; for a file of xfs that of a WRITE, a READ may need
 *	less
 * @mem_align: out: what the region offset must be a multiple of, in bytes
 * @page_source: out: enum nvfs_page_source; with NVFS_QUERY_GPU always
 *	NVFS_PAGES_NONE, because asking makes no pages
 * @text: out: the verdict in words, ended by a zero byte
 *
 * Errors:
 *	ENOENT	no such region on this open file
 *	ESTALE	the region's memory has been freed by its owner
 *	ENXIO	no such PCI function (NVFS_QUERY_GPU)
 *	EBADF, EISDIR, ESPIPE, EINVAL	as for struct nvfs_rw
 */
struct nvfs_query {
	__u32 size;
	__u32 flags;
	__u32 region;
	__s32 fd;
	__u32 gpu;
	__u32 drive;
	__u32 route;
	__u32 reason;
	__s32 distance;
	__u32 offset_align;
	__u32 mem_align;
	__u32 page_source;
	char text[128];
};

/**
 * enum nvfs_op - what a request of a batch or an io_uring command does
 * @NVFS_OP_READ: as NVFS_IOC_READ
 * @NVFS_OP_WRITE: as NVFS_IOC_WRITE
 */
enum nvfs_op {
	NVFS_OP_READ		= 0,
	NVFS_OP_WRITE		= 1
};

/**
 * struct nvfs_request - one asynchronous request
 * @op: enum nvfs_op
 * @flags: NVFS_RW_BOUNCE or 0
 * @region: as in struct nvfs_rw
 * @fd: as in struct nvfs_rw; may be closed when the submission has returned
 * @region_offset: as in struct nvfs_rw
 * @file_offset: as in struct nvfs_rw
 * @length: as in struct nvfs_rw
 * @user_data: comes back with the event (not used by io_uring commands)
 *
 * Also the payload of an io_uring command: IORING_OP_URING_CMD on a ring with
 * IORING_SETUP_SQE128, on the device's file, cmd_op NVFS_URING_CMD_REQUEST, this
 * structure at the command area of the entry.  The completion's res is the
 * bytes moved or a negative errno (no count comes with an error); on a ring
 * with IORING_SETUP_CQE32 the first extra word is route | reason << 8.  An
 * io_uring command is at most 2^31 - 4096 bytes long (EINVAL).
 *
 * A command ends with ECANCELED, after the step that is under way (64 MiB at most),
 * when its submitter's process ends or calls execve(), and when its ring is closed.
 * The end of a thread of the process ends nothing.  A single command can't be
 * cancelled: io_uring has no way to ask, and IORING_OP_ASYNC_CANCEL gives ENOENT.
 */
struct nvfs_request {
	__u32 op;
	__u32 flags;
	__u32 region;
	__s32 fd;
	__aligned_u64 region_offset;
	__aligned_u64 file_offset;
	__aligned_u64 length;
	__aligned_u64 user_data;
};

#define NVFS_URING_CMD_REQUEST		NVFS_IOC_BATCH_SUBMIT

/**
 * struct nvfs_event - the end of one asynchronous request
 * @user_data: from the request
 * @done: bytes moved, from the start of the request, without a gap
 * @error: 0 or a positive errno, as for struct nvfs_rw; ECANCELED when the
 *	request was cancelled before it was complete
 * @route: enum nvfs_route: how those bytes travelled
 * @reason: enum nvfs_reason: why not direct, or not all of it
 * @__reserved: 0
 */
struct nvfs_event {
	__aligned_u64 user_data;
	__aligned_u64 done;
	__u32 error;
	__u32 route;
	__u32 reason;
	__u32 __reserved;
};

/* Most requests that one open file may have submitted and not yet reaped. */
#define NVFS_MAX_DEPTH			8192

/**
 * struct nvfs_batch_create - NVFS_IOC_BATCH_CREATE: make a queue of requests
 * @size: sizeof(struct nvfs_batch_create)
 * @flags: must be 0
 * @depth: most requests submitted and not yet reaped, 1 .. NVFS_MAX_DEPTH
 * @batch: out: id of the batch, never 0
 *
 * Errors:
 *	EINVAL	@depth is out of range
 *	EBUSY	the depths of this open file's batches and its io_uring commands
 *		would add up to more than NVFS_MAX_DEPTH
 *	ENOSPC	this open file has no free batch id
 */
struct nvfs_batch_create {
	__u32 size;
	__u32 flags;
	__u32 depth;
	__u32 batch;
};

/**
 * struct nvfs_batch_submit - NVFS_IOC_BATCH_SUBMIT: start requests
 * @size: sizeof(struct nvfs_batch_submit)
 * @flags: must be 0
 * @batch: id of the batch
 * @nr: number of requests, at least 1
 * @requests: address of @nr struct nvfs_request
 * @wrong: out: on failure, index of the request that the error is about; @nr
 *	when it is about the call
 * @reason: out: enum nvfs_reason of that request, for EREMOTEIO
 *
 * Checks all requests, then starts all; when the call fails, none was started.
 * Never waits for an earlier request.  Requests may complete in any order, and
 * before the call returns.
 *
 * Errors:
 *	ENOENT	no such batch (@wrong is @nr), or no such region
 *	EINVAL	@nr is 0; or an unknown op or flag in a request
 *	EBUSY	there is no room for @nr requests: reap first
 *	others	as for struct nvfs_rw, for one request; EREMOTEIO as well
 */
struct nvfs_batch_submit {
	__u32 size;
	__u32 flags;
	__u32 batch;
	__u32 nr;
	__aligned_u64 requests;
	__u32 wrong;
	__u32 reason;
};

/**
 * struct nvfs_batch_reap - NVFS_IOC_BATCH_REAP: wait for ends of requests
 * @size: sizeof(struct nvfs_batch_reap)
 * @flags: must be 0
 * @batch: id of the batch
 * @min_nr: return when so many events are there, or no request is in flight
 * @max_nr: room at @events, at least 1 and at least @min_nr
 * @nr: out: events written
 * @events: address of @max_nr struct nvfs_event
 * @timeout_ns: return after so many nanoseconds at the latest, with what there
 *	is; 0 polls, negative waits without limit
 *
 * Every event is delivered exactly once, also with several threads.
 *
 * Errors:
 *	ENOENT	no such batch
 *	EINVAL	@max_nr is 0 or less than @min_nr
 *	EFAULT	@events can't be written; the events stay
 *	EINTR	a signal came and there was no event
 */
struct nvfs_batch_reap {
	__u32 size;
	__u32 flags;
	__u32 batch;
	__u32 min_nr;
	__u32 max_nr;
	__u32 nr;
	__aligned_u64 events;
	__aligned_s64 timeout_ns;
};

/* Only the requests whose @user_data is that of the call. */
#define NVFS_CANCEL_USER_DATA		(1U << 0)

/**
 * struct nvfs_batch_cancel - NVFS_IOC_BATCH_CANCEL: give up requests
 * @size: sizeof(struct nvfs_batch_cancel)
 * @flags: NVFS_CANCEL_*
 * @batch: id of the batch
 * @nr: out: requests that will end with ECANCELED unless they are complete
 *	before they notice
 * @user_data: NVFS_CANCEL_USER_DATA: whose; otherwise must be 0
 *
 * Each request still ends with one event.  What a drive already works on can't
 * be taken back and ends as it ends.
 *
 * Errors:
 *	EINVAL	@user_data without NVFS_CANCEL_USER_DATA, or the flag without the
 *		member (@size)
 *	ENOENT	no such batch
 */
struct nvfs_batch_cancel {
	__u32 size;
	__u32 flags;
	__u32 batch;
	__u32 nr;
	__aligned_u64 user_data;
};

/**
 * struct nvfs_batch_destroy - NVFS_IOC_BATCH_DESTROY: end a batch
 * @size: sizeof(struct nvfs_batch_destroy)
 * @flags: must be 0
 * @batch: id of the batch
 * @__reserved: must be 0
 *
 * Cancels, waits for all requests, and drops events not reaped.  Threads that
 * wait in REAP return with what there is.
 *
 * Errors:
 *	ENOENT	no such batch
 */
struct nvfs_batch_destroy {
	__u32 size;
	__u32 flags;
	__u32 batch;
	__u32 __reserved;
};

#endif /* _UAPI_NVFS_H */
