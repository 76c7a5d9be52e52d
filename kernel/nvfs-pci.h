/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_PCI_H
#define _NVFS_PCI_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include <uapi/nvfs.h>

#include "nvfs-pci-rank.h"

struct device;
struct nvfs_user;
struct pci_dev;

/* Devices are hashed by their PCI function into this many buckets */
#define MAX_PCI_BUCKETS		32

/**
 * struct nvfs_gpu - a PCI function whose memory is registered
 * @node: in the hash of GPUs, under gpu_lock
 * @ref: the hash's reference and one for each region
 * @pdev: the function; a reference is held
 * @bdf: its address, as in the uapi
 * @start: first bus address of the BAR that holds the memory
 * @len: length of that BAR, in bytes
 * @source: where the BAR's struct pages come from
 * @reason: why there are none
 * @pgmap: the pages, when @source is NVFS_PAGES_ZONE
 * @owner_pgmap: a reference to the owner's pages (NVFS_PAGES_OWNER)
 * @path: the way up to the host bridge
 * @gone: its driver has let go of it; takes no request
 * @user: where its requests are counted
 * @changes: grows when a device goes, so that what was judged before is void
 * @verdicts: sequence number of a disk -> packed verdict, see nvfs-dma.c
 */
struct nvfs_gpu {
	struct hlist_node node;
	struct kref ref;
	struct pci_dev *pdev;
	u32 bdf;
	phys_addr_t start;
	u64 len;
	enum nvfs_page_source source;
	enum nvfs_reason reason;
	struct dev_pagemap pgmap;
	struct dev_pagemap *owner_pgmap;
	struct nvfs_pci_path path;
	bool gone;
	u32 changes;
	const struct nvfs_user *user;
	struct xarray verdicts;
};

int nvfs_pci_init(void);
void nvfs_pci_exit(void);
struct nvfs_gpu *nvfs_gpu_find(phys_addr_t phys);
void nvfs_gpu_put(struct nvfs_gpu *gpu);

u32 nvfs_pci_bdf(const struct pci_dev *pdev);
struct pci_dev *nvfs_pci_get(u32 bdf);
struct pci_dev *nvfs_pci_parent(struct device *dev);
void nvfs_pci_snapshot(struct pci_dev *pdev, struct nvfs_pci_path *path);
void nvfs_pci_judge_pair(const struct nvfs_pci_path *gpu, struct pci_dev *drive,
			 struct nvfs_pci_verdict *verdict);

#endif /* _NVFS_PCI_H */
