/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_PCI_H
#define _NVFS_PCI_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/memremap.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include <uapi/nvfs.h>

struct device;
struct pci_dev;

/* GPUs are hashed by their PCI function into this many buckets */
#define MAX_PCI_BUCKETS		32

/* Longest path from a function to its root port; PCIe allows 256 buses, real
 * machines have below 10 bridges in a row
 */
#define NVFS_PCI_MAX_HOPS	16

/**
 * struct nvfs_pci_hop - one PCI function on the way up
 * @id: the function: domain << 16 | bus << 8 | devfn, of any domain
 * @acs_redirect: its access control services send peer-to-peer requests up
 */
struct nvfs_pci_hop {
	u64 id;
	bool acs_redirect;
};

/**
 * struct nvfs_pci_path - the way from a function up to its host bridge
 * @nr_hops: number of @hop in use, 0 when the path is longer than the limit
 * @hop: the function itself, then each bridge above it
 * @host_bridge: domain << 16 | root bus << 8
 * @host_vendor: PCI vendor of the host bridge's own function, 0 when none
 * @host_device: PCI device id of that function
 *
 * A snapshot: plain data, so that verdicts are pure functions that run in a
 * test without a machine.
 */
struct nvfs_pci_path {
	unsigned int nr_hops;
	struct nvfs_pci_hop hop[NVFS_PCI_MAX_HOPS];
	u64 host_bridge;
	u16 host_vendor;
	u16 host_device;
};

/**
 * struct nvfs_pci_platform - what else a verdict depends on
 * @cpu_forwards: every host bridge of this CPU family forwards peer traffic
 * @iommu: the drive's DMA addresses are translated by an IOMMU
 */
struct nvfs_pci_platform {
	bool cpu_forwards;
	bool iommu;
};

/**
 * struct nvfs_pci_verdict - can a drive reach a GPU?
 * @reason: NVFS_REASON_NONE when it can
 * @distance: PCI links between the two, -1 when unknown
 * @through_host: the way leads through a host bridge
 */
struct nvfs_pci_verdict {
	enum nvfs_reason reason;
	int distance;
	bool through_host;
};

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

/* Pure functions over snapshots */
int nvfs_pci_distance(const struct nvfs_pci_path *a,
		      const struct nvfs_pci_path *b, bool *redirected);
bool nvfs_pci_host_forwards(const struct nvfs_pci_path *a,
			    const struct nvfs_pci_path *b);
void nvfs_pci_judge(const struct nvfs_pci_path *gpu,
		    const struct nvfs_pci_path *drive,
		    const struct nvfs_pci_platform *platform,
		    struct nvfs_pci_verdict *verdict);

#endif /* _NVFS_PCI_H */
