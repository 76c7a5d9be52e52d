/* SPDX-License-Identifier: GPL-2.0-only */
/* Pure functions that judge snapshots of PCI devices */
#ifndef _NVFS_PCI_RANK_H
#define _NVFS_PCI_RANK_H

#include <linux/types.h>

#include <uapi/nvfs.h>

#include "nvfs-pci-info.h"

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
 * enum nvfs_pci_fit - can NVFS use a device at all?
 * @NVFS_FIT_OK: yes
 * @NVFS_FIT_KIND: it is no GPU and no drive
 * @NVFS_FIT_PATH: more bridges stand above it than NVFS records
 * @NVFS_FIT_DRIVER: no driver is bound
 * @NVFS_FIT_CONTROLLER: its drivers take no peer memory: it is not NVMe
 * @NVFS_FIT_NO_BAR: it shows no memory on the bus
 * @NVFS_FIT_SMALL_BAR: it shows too little memory on the bus
 * @NVFS_FIT_ALIGN: struct pages can't be made over the BAR where it lies
 * @NVFS_FIT_NO_PAGES: this kernel makes no struct pages for devices
 * @NVFS_FIT_ENCRYPTED: with memory encryption on, they would be wrong
 * @NVFS_FIT_NR: how many there are
 */
enum nvfs_pci_fit {
	NVFS_FIT_OK,
	NVFS_FIT_KIND,
	NVFS_FIT_PATH,
	NVFS_FIT_DRIVER,
	NVFS_FIT_CONTROLLER,
	NVFS_FIT_NO_BAR,
	NVFS_FIT_SMALL_BAR,
	NVFS_FIT_ALIGN,
	NVFS_FIT_NO_PAGES,
	NVFS_FIT_ENCRYPTED,
	NVFS_FIT_NR
};

/**
 * enum nvfs_pci_rank - how near two devices are, best first
 * @NVFS_RANK_SELF: one function
 * @NVFS_RANK_SWITCH: below one switch or bridge
 * @NVFS_RANK_BRIDGES: below one bridge, several switches between them
 * @NVFS_RANK_HOST: through one host bridge
 * @NVFS_RANK_NODE: through two host bridges of one NUMA node
 * @NVFS_RANK_SYSTEM: from one NUMA node to another
 * @NVFS_RANK_NONE: not at all
 * @NVFS_RANK_NR: how many there are
 */
enum nvfs_pci_rank {
	NVFS_RANK_SELF,
	NVFS_RANK_SWITCH,
	NVFS_RANK_BRIDGES,
	NVFS_RANK_HOST,
	NVFS_RANK_NODE,
	NVFS_RANK_SYSTEM,
	NVFS_RANK_NONE,
	NVFS_RANK_NR
};

/**
 * struct nvfs_pci_peer - a drive, seen from a GPU
 * @verdict: can they reach each other?
 * @rank: how near they are
 * @mbps: what the narrowest link on the way carries, in 10^6 bytes per second;
 *	0 when unknown
 * @cost: orders peers: the smaller the better; nearness first, then distance,
 *	then @mbps
 */
struct nvfs_pci_peer {
	struct nvfs_pci_verdict verdict;
	enum nvfs_pci_rank rank;
	u32 mbps;
	u32 cost;
};

int nvfs_pci_distance(const struct nvfs_pci_path *a,
		      const struct nvfs_pci_path *b, bool *redirected);
bool nvfs_pci_host_forwards(const struct nvfs_pci_path *a,
			    const struct nvfs_pci_path *b);
void nvfs_pci_judge(const struct nvfs_pci_path *gpu,
		    const struct nvfs_pci_path *drive,
		    const struct nvfs_pci_platform *platform,
		    struct nvfs_pci_verdict *verdict);
u32 nvfs_pci_link_mbps(unsigned int gen, unsigned int width);
enum nvfs_pci_kind nvfs_pci_kind_of(u32 class);
int nvfs_pci_memory_bar(const struct nvfs_pci_info *info);
enum nvfs_pci_fit nvfs_pci_fit(const struct nvfs_pci_info *info,
			       const struct nvfs_pci_platform *platform);
void nvfs_pci_rank(const struct nvfs_pci_info *gpu,
		   const struct nvfs_pci_info *drive,
		   const struct nvfs_pci_platform *platform,
		   struct nvfs_pci_peer *peer);
const char *nvfs_pci_kind_name(enum nvfs_pci_kind kind);
const char *nvfs_pci_iommu_name(enum nvfs_pci_iommu iommu);
const char *nvfs_pci_fit_name(enum nvfs_pci_fit fit);
const char *nvfs_pci_rank_name(enum nvfs_pci_rank rank);

#endif /* _NVFS_PCI_RANK_H */
