/* SPDX-License-Identifier: MIT */
/*
 * The emulated GPU of the lab: what its driver offers to user space.
 *
 * Device nodes are /dev/labgpu0, /dev/labgpu1, ... in the order of the PCI
 * bus.  An open file is an address space on its GPU.  All files that a process
 * opens share one range of GPU virtual addresses, so an address names one
 * allocation, whichever GPU it is on.
 *
 * An open file works for the process that opened it and no other (EPERM), and
 * its allocations end when that process closes any descriptor of it, also by
 * dying, even if a forked child keeps another one.
 *
 * mmap(2) gives the CPU's view of one allocation: the offset is the GPU virtual
 * address, the mapping must be MAP_SHARED and is not inherited by fork.  The
 * memory stays taken while it is mapped, also after LABGPU_IOC_FREE.
 *
 * Errors of all calls: ENOTTY, EFAULT, ENOMEM; EPERM (see above); ENODEV when
 * the GPU has been unplugged; EBADFD when the owner has closed the file; EINVAL
 * for an unknown flag or a reserved field that is not zero.
 */
#ifndef _LABGPU_H
#define _LABGPU_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define LABGPU_DEVICE_PREFIX	"labgpu"
#define LABGPU_MAX_GPUS		16

#define LABGPU_PAGE_SHIFT	16
#define LABGPU_PAGE_SIZE	0x10000

/* The window of GPU virtual addresses.  No CPU address lies in it. */
#define LABGPU_VA_BASE		0x900000000000ULL
#define LABGPU_VA_END		0xa00000000000ULL

#define LABGPU_IOC_TYPE		0xEA
#define LABGPU_IOC_INFO		_IOR(LABGPU_IOC_TYPE, 0x00, struct labgpu_info)
#define LABGPU_IOC_ALLOC	_IOWR(LABGPU_IOC_TYPE, 0x01, struct labgpu_alloc)
#define LABGPU_IOC_FREE		_IOW(LABGPU_IOC_TYPE, 0x02, struct labgpu_free)
#define LABGPU_IOC_DMABUF	_IOW(LABGPU_IOC_TYPE, 0x03, struct labgpu_dmabuf)
#define LABGPU_IOC_CREATE	_IOWR(LABGPU_IOC_TYPE, 0x04, struct labgpu_create)
#define LABGPU_IOC_MAP		_IOW(LABGPU_IOC_TYPE, 0x05, struct labgpu_map)
#define LABGPU_IOC_RELEASE	_IOW(LABGPU_IOC_TYPE, 0x06, struct labgpu_release)

/**
 * struct labgpu_info - LABGPU_IOC_INFO: what GPU is this
 * @index: number of the device node
 * @bdf: PCI function: domain << 16 | bus << 8 | device << 3 | function
 * @mem_size: memory in bytes
 * @mem_free: bytes that are not taken now
 * @uuid: the same on every boot for the same PCI function
 * @name: name of the product, ended by a zero byte
 */
struct labgpu_info {
	__u32 index;
	__u32 bdf;
	__aligned_u64 mem_size;
	__aligned_u64 mem_free;
	__u8 uuid[16];
	char name[64];
};

/* No two pages that follow each other in the address space do so in memory. */
#define LABGPU_ALLOC_SCATTER	0x1
/* At @va, without a gap to its neighbours. */
#define LABGPU_ALLOC_AT		0x2

/**
 * struct labgpu_alloc - LABGPU_IOC_ALLOC: take memory
 * @length: bytes, not 0; whole pages of 64 KiB are taken
 * @va: in with LABGPU_ALLOC_AT, otherwise out: GPU virtual address
 * @flags: LABGPU_ALLOC_*
 * @nr_extents: out: contiguous runs of memory
 *
 * The memory is not cleared.  It is one run if there is a free run that is
 * long enough.  Without LABGPU_ALLOC_AT nothing is mapped for at least 1 MiB
 * before and behind it.
 *
 * Errors:
 *	EINVAL	@length is 0, @va is no multiple of 64 KiB or outside the window
 *	EEXIST	LABGPU_ALLOC_AT: something is there already
 *	ENOSPC	not enough free memory
 */
struct labgpu_alloc {
	__aligned_u64 length;
	__aligned_u64 va;
	__u32 flags;
	__u32 nr_extents;
};

/**
 * struct labgpu_free - LABGPU_IOC_FREE: give memory back, or end a mapping
 * @va: what LABGPU_IOC_ALLOC returned or LABGPU_IOC_MAP was given
 *
 * Returns when all who pinned the memory through nvidia_p2p_get_pages() have
 * been told and have let go of it.  What LABGPU_IOC_CREATE took stays taken, with
 * its bytes, as long as it has its number or another mapping.
 *
 * Errors:
 *	ENOENT	no allocation of this open file starts at @va
 */
struct labgpu_free {
	__aligned_u64 va;
};

/**
 * struct labgpu_dmabuf - LABGPU_IOC_DMABUF: a range of memory as a dma-buf
 * @va: first byte; a multiple of 4 KiB
 * @length: bytes, a multiple of 4 KiB, not 0; all of one allocation
 * @flags: 0
 * @__reserved: 0
 *
 * Returns a file descriptor (close-on-exec).  The memory stays taken until it
 * is closed, also after LABGPU_IOC_FREE and the end of the process.
 *
 * Errors:
 *	ENOENT	no allocation of this open file holds @va
 *	EINVAL	the range goes beyond its end
 */
struct labgpu_dmabuf {
	__aligned_u64 va;
	__aligned_u64 length;
	__u32 flags;
	__u32 __reserved;
};

/**
 * struct labgpu_create - LABGPU_IOC_CREATE: take memory that has no address yet
 * @length: bytes, not 0, a multiple of 64 KiB
 * @flags: LABGPU_ALLOC_SCATTER
 * @handle: out: a number, not 0, that this open file knows the memory by
 *
 * Errors:
 *	EINVAL	@length is 0 or no multiple of 64 KiB
 *	ENOSPC	not enough free memory
 */
struct labgpu_create {
	__aligned_u64 length;
	__u32 flags;
	__u32 handle;
};

/**
 * struct labgpu_map - LABGPU_IOC_MAP: give such memory an address
 * @va: where, without a gap to its neighbours
 * @handle: from LABGPU_IOC_CREATE; all of its memory is mapped
 * @__reserved: 0
 *
 * From here on it is an allocation like others, until LABGPU_IOC_FREE.  It may
 * be mapped more than once; who pinned it at one of these addresses is told
 * about the end of each.
 *
 * Errors:
 *	ENOENT	this open file has no such @handle
 *	EINVAL	@va is no multiple of 64 KiB or outside the window
 *	EEXIST	something is there already
 */
struct labgpu_map {
	__aligned_u64 va;
	__u32 handle;
	__u32 __reserved;
};

/**
 * struct labgpu_release - LABGPU_IOC_RELEASE: forget a number
 * @handle: from LABGPU_IOC_CREATE
 * @__reserved: 0
 *
 * Errors:
 *	ENOENT	this open file has no such @handle
 */
struct labgpu_release {
	__u32 handle;
	__u32 __reserved;
};

#endif /* _LABGPU_H */
