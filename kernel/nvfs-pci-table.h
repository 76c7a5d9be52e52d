/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_PCI_TABLE_H
#define _NVFS_PCI_TABLE_H

#include "nvfs-pci-rank.h"

struct pci_dev;

/**
 * struct nvfs_pci_pair - a GPU and a drive
 * @gpu: the GPU
 * @drive: the drive
 * @peer: how they stand to each other
 */
struct nvfs_pci_pair {
	const struct nvfs_pci_info *gpu;
	const struct nvfs_pci_info *drive;
	struct nvfs_pci_peer peer;
};

void nvfs_pci_table_scan(void);
void nvfs_pci_table_free(void);
void nvfs_pci_table_event(struct pci_dev *pdev, unsigned long action);
void nvfs_pci_table_registered(struct pci_dev *pdev);
void nvfs_pci_each_device(void (*call)(const struct nvfs_pci_info *info,
				       enum nvfs_pci_fit fit, void *data),
			  void *data);
void nvfs_pci_each_pair(void (*call)(const struct nvfs_pci_pair *pair,
				     void *data),
			void *data);

/* nvfs-pci-snap.c */
u64 nvfs_pci_id(const struct pci_dev *pdev);
void nvfs_pci_platform(struct nvfs_pci_platform *platform);
void nvfs_pci_info_take(struct pci_dev *pdev, struct nvfs_pci_info *info);
void nvfs_pci_info_driver(struct pci_dev *pdev, struct nvfs_pci_info *info);
void nvfs_pci_info_now(struct pci_dev *pdev, struct nvfs_pci_info *info);

#endif /* _NVFS_PCI_TABLE_H */
