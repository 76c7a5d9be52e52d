/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What NVFS knows of PCI devices, as plain data: a snapshot, so that verdicts
 * are pure functions (nvfs-pci-rank.h) that run in a test without a machine.
 */
#ifndef _NVFS_PCI_INFO_H
#define _NVFS_PCI_INFO_H

#include <linux/types.h>

/* Longest path from a function to its root port; PCIe allows 256 buses, real
 * machines have below 10 bridges in a row
 */
#define NVFS_PCI_MAX_HOPS	16

#define NVFS_PCI_BARS		6
#define NVFS_PCI_DRIVER_LEN	20

/* What NVIDIA's driver pins lies in a BAR of at least this size, in bytes */
#define NVFS_PCI_MIN_BAR	(2ULL << 20)

/**
 * struct nvfs_pci_hop - one PCI function on the way up
 * @id: the function: domain << 16 | bus << 8 | devfn, of any domain
 * @acs_redirect: its access control services send peer-to-peer requests up
 * @gen: the fastest PCIe generation that both ends of the link above it can;
 *	0 when it has no link of its own there (a port inside a switch)
 * @width: lanes of that link
 */
struct nvfs_pci_hop {
	u64 id;
	bool acs_redirect;
	u8 gen;
	u8 width;
};

/**
 * struct nvfs_pci_path - the way from a function up to its host bridge
 * @nr_hops: number of @hop in use, 0 when the path is longer than the limit
 * @hop: the function itself, then each bridge above it
 * @host_bridge: domain << 16 | root bus << 8
 * @host_vendor: PCI vendor of the host bridge's own function, 0 when none
 * @host_device: PCI device id of that function
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
 * @encrypted: the computer's memory is encrypted
 * @page_unit: struct pages are made in units of so many bytes, 0 for not at all
 */
struct nvfs_pci_platform {
	bool cpu_forwards;
	bool iommu;
	bool encrypted;
	u64 page_unit;
};

/**
 * enum nvfs_pci_kind - what a device is to NVFS
 * @NVFS_PCI_OTHER: nothing
 * @NVFS_PCI_DRIVE: a storage controller
 * @NVFS_PCI_GPU: a GPU or another accelerator, or memory that was registered
 * @NVFS_PCI_MEMORY: memory on a card: a GPU as soon as it is registered
 */
enum nvfs_pci_kind {
	NVFS_PCI_OTHER,
	NVFS_PCI_DRIVE,
	NVFS_PCI_GPU,
	NVFS_PCI_MEMORY,
};

/**
 * enum nvfs_pci_iommu - what becomes of a device's DMA addresses
 * @NVFS_IOMMU_NONE: there is no IOMMU above it
 * @NVFS_IOMMU_PASSTHROUGH: they are bus addresses
 * @NVFS_IOMMU_TRANSLATE: they are translated
 */
enum nvfs_pci_iommu {
	NVFS_IOMMU_NONE,
	NVFS_IOMMU_PASSTHROUGH,
	NVFS_IOMMU_TRANSLATE,
};

/**
 * struct nvfs_pci_bar - one BAR
 * @start: bus address
 * @len: bytes, 0 when there is none
 * @memory: it is memory, not I/O ports
 * @prefetchable: reading it has no side effect: memory, not registers
 */
struct nvfs_pci_bar {
	u64 start;
	u64 len;
	bool memory;
	bool prefetchable;
};

/**
 * struct nvfs_pci_info - a device
 * @id: as in &struct nvfs_pci_hop
 * @vendor: PCI vendor
 * @device: PCI device id
 * @class: PCI class, 24 bits
 * @kind: what it is to NVFS
 * @node: its NUMA node, -1 when unknown
 * @iommu: what becomes of its DMA addresses
 * @gen: PCIe generation that its link runs at now, 0 when unknown
 * @width: lanes of it
 * @bar: its BARs
 * @driver: name of its driver, "" when none is bound
 * @path: the way up
 */
struct nvfs_pci_info {
	u64 id;
	u16 vendor;
	u16 device;
	u32 class;
	enum nvfs_pci_kind kind;
	int node;
	enum nvfs_pci_iommu iommu;
	u8 gen;
	u8 width;
	struct nvfs_pci_bar bar[NVFS_PCI_BARS];
	char driver[NVFS_PCI_DRIVER_LEN];
	struct nvfs_pci_path path;
};

#endif /* _NVFS_PCI_INFO_H */
