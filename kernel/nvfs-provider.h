/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface of a provider of GPU memory, as NVIDIA documents it for its
 * open kernel modules (GPUDirect RDMA, "nv-p2p.h").  Only the parts that NVFS
 * uses; the layouts are the provider's and must not be changed here.
 */
#ifndef _NVFS_PROVIDER_H
#define _NVFS_PROVIDER_H

#include <linux/types.h>

/* Major 2 is what drivers from R580 on announce; 1.2 is what came before, with
 * the same layout but for the flags at the end, which NVFS does not read.
 */
#define NVFS_PROVIDER_VERSION		0x00020000
#define NVFS_PROVIDER_VERSION_OLD	0x00010002

enum nvidia_p2p_page_size_type {
	NVIDIA_P2P_PAGE_SIZE_4KB = 0,
	NVIDIA_P2P_PAGE_SIZE_64KB,
	NVIDIA_P2P_PAGE_SIZE_128KB,
};

struct nvidia_p2p_page {
	u64 physical_address;
	union {
		struct {
			u32 wreqmb_h;
			u32 rreqmb_h;
			u32 rreqmb_0;
			u32 reserved[3];
		} fermi;
	} registers;
};

struct nvidia_p2p_page_table {
	u32 version;
	u32 page_size;
	struct nvidia_p2p_page **pages;
	u32 entries;
	u8 *gpu_uuid;
	u32 flags;
};

/* The provider pins and hands out in units of this size, in bytes */
#define NVIDIA_P2P_PIN_SIZE	(64 * 1024)

int nvidia_p2p_get_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 u64 length, struct nvidia_p2p_page_table **page_table,
			 void (*free_callback)(void *data), void *data);
int nvidia_p2p_put_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 struct nvidia_p2p_page_table *page_table);
int nvidia_p2p_free_page_table(struct nvidia_p2p_page_table *page_table);
int nvidia_p2p_get_pages_persistent(u64 virtual_address, u64 length,
				    struct nvidia_p2p_page_table **page_table,
				    u32 flags);
int nvidia_p2p_put_pages_persistent(u64 virtual_address,
				    struct nvidia_p2p_page_table *page_table,
				    u32 flags);

#endif /* _NVFS_PROVIDER_H */
