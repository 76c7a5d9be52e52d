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
/* 0x10..0x1f: batches.  0x20..0x2f: RDMA registration info. */

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
 * @mmap_offset: out: offset for mmap(2) on the device; 0: can't be mapped
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
 *	EPROTO	the provider's page table has a version NVFS does not know
 *	EFAULT	the range is not GPU memory of the calling process
 *	ENXIO	the provider's pages lie in no PCI device's BAR
 *	ENOSPC	this open file has no free region id
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

/**
 * struct nvfs_unregister - NVFS_IOC_UNREGISTER: end a region
 * @size: sizeof(struct nvfs_unregister)
 * @flags: must be 0
 * @region: id of the region
 * @__reserved: must be 0
 *
 * Returns when no request of the region is in flight and its memory is not
 * pinned any more.
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

/**
 * struct nvfs_rw - NVFS_IOC_READ, NVFS_IOC_WRITE: move bytes
 * @size: sizeof(struct nvfs_rw)
 * @flags: must be 0
 * @region: id of the region
 * @fd: the file; a regular file or a block device, with or without O_DIRECT
 * @region_offset: first byte in the region
 * @file_offset: first byte in the file
 * @length: bytes to move; 0 makes all checks and moves nothing
 * @done: out: bytes moved, from the start of the request, without a gap
 * @route: out: enum nvfs_route: how those bytes travelled
 * @reason: out: enum nvfs_reason: why not direct
 *
 * READ moves file to GPU, WRITE moves GPU to file; the call returns when the
 * request is complete.  Success with @done less than @length means the end of
 * the file (READ) or of the device.  After an error @done may be more than 0:
 * so many bytes are good.
 *
 * Requests do not wait for one another; the order of overlapping ones is not
 * defined.  WRITE honours O_SYNC and O_DSYNC of the file.
 *
 * Errors, in the order in which they are looked for:
 *	ENOENT	no such region on this open file
 *	ESTALE	the region's memory has been freed by its owner
 *	EOVERFLOW	@region_offset + @length is above 2^64 - 1, or @file_offset +
 *		@length is above 2^63 - 1
 *	ERANGE	the range ends past the end of the region
 *	EBADF	@fd is not open, or not open for reading (READ) or writing (WRITE)
 *	EISDIR	@fd is a directory
 *	ESPIPE	@fd is a pipe, a socket or another thing without offsets
 *	EINVAL	@fd is neither a regular file nor a block device
 *	EPERM	WRITE: @fd was opened with O_APPEND, or the file is immutable
 *		or append-only
 *	EREMOTEIO	the request can't go direct; @reason says why; no byte moved
 *	EINTR	a fatal signal; @done says how far the request got
 *	other	what the file system or the drive said: EIO, ENOSPC, EFBIG,
 *		EROFS, ETXTBSY, ENODEV (the drive is gone), ...
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
 *	multiples of, in bytes
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

#endif /* _UAPI_NVFS_H */
