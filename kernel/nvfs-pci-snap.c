// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots of PCI devices of this machine, for the pure functions that judge
 * them.
 */
#include <linux/bitfield.h>
#include <linux/cc_platform.h>
#include <linux/iommu.h>
#include <linux/minmax.h>
#include <linux/mmzone.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "nvfs-pci.h"
#include "nvfs-pci-table.h"

/**
 * nvfs_pci_id() - a PCI function's address, of any domain
 * @pdev: the function
 *
 * Return: domain << 16 | bus << 8 | devfn; domains may be wider than 16 bits
 * (Intel VMD).
 */
u64 nvfs_pci_id(const struct pci_dev *pdev)
{
	return (u64)pci_domain_nr(pdev->bus) << 16 |
	       PCI_DEVID(pdev->bus->number, pdev->devfn);
}

/**
 * nvfs_pci_bdf() - a PCI function's address in one word
 * @pdev: the function
 *
 * Return: domain << 16 | bus << 8 | devfn, as in the uapi; NVFS_BDF_NONE when
 * the domain does not fit.
 */
u32 nvfs_pci_bdf(const struct pci_dev *pdev)
{
	u64 id = nvfs_pci_id(pdev);

	return id > U32_MAX ? NVFS_BDF_NONE : id;
}

/* Do this function's access control services redirect peer requests upwards? */
static bool acs_redirects(struct pci_dev *pdev)
{
	u16 ctrl = 0;
	int pos;

	pos = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_ACS);
	if (!pos)
		return false;
	pci_read_config_word(pdev, pos + PCI_ACS_CTRL, &ctrl);
	return ctrl & (PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC);
}

/* The PCIe generation of a speed, 0 when it is none */
static u8 speed_gen(enum pci_bus_speed speed)
{
	return speed >= PCIE_SPEED_2_5GT && speed <= PCIE_SPEED_64_0GT ?
	       speed - PCIE_SPEED_2_5GT + 1 : 0;
}

/* The lanes that one end of a link has, 0 when unknown */
static u8 link_width(struct pci_dev *pdev)
{
	enum pcie_link_width width = pcie_get_width_cap(pdev);

	return width == PCIE_LNK_WIDTH_UNKNOWN ? 0 : width;
}

/* The link above a function, as fast as both ends can make it */
static void snapshot_link(struct pci_dev *pdev, struct nvfs_pci_hop *hop)
{
	struct pci_dev *up = pci_upstream_bridge(pdev);
	int type = pci_is_pcie(pdev) ? pci_pcie_type(pdev) : -1;

	/* A port's own link leads down; inside a switch there is none */
	if (!up || !pci_is_pcie(up) || type < 0 ||
	    type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM)
		return;
	hop->gen = min(speed_gen(pcie_get_speed_cap(pdev)),
		       speed_gen(pcie_get_speed_cap(up)));
	hop->width = min(link_width(pdev), link_width(up));
}

/* Note what stands for the host bridge above @top, the last hop of a path */
static void snapshot_host(struct pci_dev *top, struct nvfs_pci_path *path)
{
	struct pci_dev *root;

	path->host_bridge = nvfs_pci_id(top) & ~0xffULL;
	root = pci_get_slot(top->bus, PCI_DEVFN(0, 0));
	if (!root && pci_pcie_type(top) == PCI_EXP_TYPE_ROOT_PORT)
		root = pci_dev_get(top);
	if (root) {
		path->host_vendor = root->vendor;
		path->host_device = root->device;
		pci_dev_put(root);
	}
}

/**
 * nvfs_pci_snapshot() - record the way from a function to its host bridge
 * @pdev: the function
 * @path: where to
 *
 * Context: may sleep; the caller holds a reference to @pdev.
 */
void nvfs_pci_snapshot(struct pci_dev *pdev, struct nvfs_pci_path *path)
{
	struct pci_dev *top = pdev;

	memset(path, 0, sizeof(*path));
	for (; pdev; pdev = pci_upstream_bridge(pdev)) {
		struct nvfs_pci_hop *hop;

		if (path->nr_hops == NVFS_PCI_MAX_HOPS) {
			path->nr_hops = 0;
			return;
		}
		hop = &path->hop[path->nr_hops++];
		hop->id = nvfs_pci_id(pdev);
		hop->acs_redirect = acs_redirects(pdev);
		snapshot_link(pdev, hop);
		top = pdev;
	}
	snapshot_host(top, path);
}

/* What becomes of the DMA addresses of this function? */
static enum nvfs_pci_iommu iommu_of(struct pci_dev *pdev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);

	if (!domain)
		return NVFS_IOMMU_NONE;
	return domain->type & __IOMMU_DOMAIN_PAGING ? NVFS_IOMMU_TRANSLATE :
						      NVFS_IOMMU_PASSTHROUGH;
}

/**
 * nvfs_pci_platform() - what verdicts depend on beside the devices
 * @platform: where to; @iommu is a drive's, and left false
 */
void nvfs_pci_platform(struct nvfs_pci_platform *platform)
{
	*platform = (struct nvfs_pci_platform){
		.cpu_forwards = nvfs_compat_cpu_forwards(),
		.encrypted = cc_platform_has(CC_ATTR_MEM_ENCRYPT),
		.page_unit = IS_ENABLED(CONFIG_ZONE_DEVICE) ?
			     (u64)PAGES_PER_SUBSECTION << PAGE_SHIFT : 0,
	};
}

/**
 * nvfs_pci_judge_pair() - judge a drive of this machine against a GPU
 * @gpu: way up from the GPU
 * @drive: the drive's PCI function; the caller holds a reference
 * @verdict: the answer
 *
 * Context: may sleep.
 */
void nvfs_pci_judge_pair(const struct nvfs_pci_path *gpu, struct pci_dev *drive,
			 struct nvfs_pci_verdict *verdict)
{
	struct nvfs_pci_platform platform;
	struct nvfs_pci_path path;

	nvfs_pci_platform(&platform);
	platform.iommu = iommu_of(drive) == NVFS_IOMMU_TRANSLATE;
	nvfs_pci_snapshot(drive, &path);
	nvfs_pci_judge(gpu, &path, &platform, verdict);
}

/* The link above a function, as it runs now */
static void info_link(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	u16 status = 0;

	pcie_capability_read_word(pdev, PCI_EXP_LNKSTA, &status);
	/* all ones: the device is gone */
	if (status == U16_MAX)
		status = 0;
	info->gen = status & PCI_EXP_LNKSTA_CLS;
	info->width = FIELD_GET(PCI_EXP_LNKSTA_NLW, status);
}

/**
 * nvfs_pci_info_now() - record what of a device may change without an event
 * @pdev: the device; the caller holds a reference
 * @info: where to
 *
 * Context: may sleep.
 */
void nvfs_pci_info_now(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	int i;

	for (i = 0; i < NVFS_PCI_BARS; i++) {
		unsigned long flags = pci_resource_flags(pdev, i);

		info->bar[i] = (struct nvfs_pci_bar){
			.start = pci_resource_start(pdev, i),
			.len = pci_resource_len(pdev, i),
			.memory = flags & IORESOURCE_MEM,
			.prefetchable = flags & IORESOURCE_PREFETCH,
		};
	}
	info_link(pdev, info);
}

/**
 * nvfs_pci_info_take() - record what a device is
 * @pdev: the device; the caller holds a reference
 * @info: where to; @kind is left alone, too
 */
void nvfs_pci_info_take(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	info->id = nvfs_pci_id(pdev);
	info->vendor = pdev->vendor;
	info->device = pdev->device;
	info->class = pdev->class;
	info->node = dev_to_node(&pdev->dev);
}

/**
 * nvfs_pci_info_driver() - record what a device's driver has to do with
 * @pdev: the device; the caller holds its device lock, so that the driver stays
 * @info: where to
 *
 * Context: may sleep.
 */
void nvfs_pci_info_driver(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	info->iommu = iommu_of(pdev);
	strscpy(info->driver, pdev->dev.driver ? pdev->dev.driver->name : "",
		sizeof(info->driver));
}
