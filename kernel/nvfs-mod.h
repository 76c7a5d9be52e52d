/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_MOD_H
#define _NVFS_MOD_H

#include <linux/types.h>

#include "nvfs-provider.h"

/**
 * struct nvfs_pin - a range of GPU memory that a provider pinned for NVFS
 * @addr: GPU virtual address, a multiple of NVIDIA_P2P_PIN_SIZE
 * @len: bytes, a multiple of NVIDIA_P2P_PIN_SIZE
 * @persistent: the memory stays when its owner frees it
 * @revoked: called once when the owner frees the memory, unless @persistent or
 *	nvfs_mod_unpin() returned 0 before.  It must end all use of the memory
 *	before it returns and call nvfs_mod_revoked() last.
 * @data: argument of @revoked
 * @table: out: the provider's pages
 * @free_table: out: the provider's function that frees @table in a revocation;
 *	here, because the last region may let go of the provider meanwhile
 *
 * The provider calls @revoked with its own locks held: nothing in it may wait
 * for a call into the provider.
 */
struct nvfs_pin {
	u64 addr;
	u64 len;
	bool persistent;
	void (*revoked)(void *data);
	void *data;
	struct nvidia_p2p_page_table *table;
	int (*free_table)(struct nvidia_p2p_page_table *table);
};

int nvfs_mod_init(void);
void nvfs_mod_exit(void);
int nvfs_provider_get(void);
void nvfs_provider_put(void);
u32 nvfs_provider_version(void);

int nvfs_mod_pin(struct nvfs_pin *pin);
int nvfs_mod_unpin(struct nvfs_pin *pin);
void nvfs_mod_revoked(struct nvfs_pin *pin);
u32 nvfs_mod_page_size(const struct nvidia_p2p_page_table *table);

#endif /* _NVFS_MOD_H */
