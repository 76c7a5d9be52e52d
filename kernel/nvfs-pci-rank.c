// SPDX-License-Identifier: GPL-2.0-only
/*
 * Verdicts over snapshots of PCI devices; all functions here are pure.
 *
 * The rule for peer traffic is the one that the kernel applies to P2PDMA pages:
 * below one bridge it is fine unless access control services (ACS) send it up;
 * everything else crosses a host bridge, and only some of those forward it.
 */
#include <linux/align.h>
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/pci_ids.h>

#include "nvfs-pci-rank.h"

/*
 * Host bridges that are known to forward peer-to-peer requests, by the PCI
 * function at 00.0 of their root bus.  The facts are the kernel's
 * (drivers/pci/p2pdma.c); @same_bridge_only: not from one to another.
 */
static const struct {
	u16 vendor;
	u16 device;
	bool same_bridge_only;
} forwarding_bridges[] = {
	{ PCI_VENDOR_ID_INTEL, 0x3c00, true },	/* Xeon E5, Core i7 */
	{ PCI_VENDOR_ID_INTEL, 0x3c01, true },
	{ PCI_VENDOR_ID_INTEL, 0x2f00, true },	/* Xeon E5 v3, E7 v3 */
	{ PCI_VENDOR_ID_INTEL, 0x2f01, true },
	{ PCI_VENDOR_ID_INTEL, 0x2030, false },	/* Skylake-E root ports */
	{ PCI_VENDOR_ID_INTEL, 0x2031, false },
	{ PCI_VENDOR_ID_INTEL, 0x2032, false },
	{ PCI_VENDOR_ID_INTEL, 0x2033, false },
	{ PCI_VENDOR_ID_INTEL, 0x2020, false },	/* Skylake-E */
	{ PCI_VENDOR_ID_INTEL, 0x09a2, false },	/* Ice Lake, Sapphire Rapids */
};

/* Processing accelerators; older kernels have no name for this class */
#define CLASS_ACCELERATOR	0x12

/* Does any of the first @nr hops of a path redirect peer requests? */
static bool path_redirects(const struct nvfs_pci_path *path, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (path->hop[i].acs_redirect)
			return true;
	return false;
}

/* The nearest function that both ways lead over, as an index into each */
static bool shared_hop(const struct nvfs_pci_path *a,
		       const struct nvfs_pci_path *b, unsigned int *up_a,
		       unsigned int *up_b)
{
	unsigned int i, j;

	for (i = 0; i < a->nr_hops; i++)
		for (j = 0; j < b->nr_hops; j++)
			if (a->hop[i].id == b->hop[j].id) {
				*up_a = i;
				*up_b = j;
				return true;
			}
	return false;
}

/**
 * nvfs_pci_distance() - links between two functions
 * @a: way up from the first
 * @b: way up from the second
 * @redirected: set when the way must lead through a host bridge, because the
 *	two share no bridge or access control services redirect
 *
 * Pure.  A function is 0 away from itself, two functions below one switch are
 * 4 away from each other.
 *
 * Return: the number of links; without a shared bridge, the links from both up
 * to their host bridges.
 */
int nvfs_pci_distance(const struct nvfs_pci_path *a,
		      const struct nvfs_pci_path *b, bool *redirected)
{
	unsigned int up_a, up_b;

	if (!shared_hop(a, b, &up_a, &up_b)) {
		*redirected = true;
		return a->nr_hops + b->nr_hops;
	}
	/* the shared bridge itself counts, too */
	*redirected = path_redirects(a, up_a + 1) || path_redirects(b, up_b + 1);
	return up_a + up_b;
}

/* Is this path's host bridge in the table? */
static bool bridge_forwards(const struct nvfs_pci_path *path, bool same_bridge)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(forwarding_bridges); i++) {
		if (path->host_vendor != forwarding_bridges[i].vendor ||
		    path->host_device != forwarding_bridges[i].device)
			continue;
		return same_bridge || !forwarding_bridges[i].same_bridge_only;
	}
	return false;
}

/**
 * nvfs_pci_host_forwards() - do the host bridges forward between two paths?
 * @a: way up from the first function
 * @b: way up from the second
 *
 * Pure.
 *
 * Return: true when every host bridge on the way is known to.
 */
bool nvfs_pci_host_forwards(const struct nvfs_pci_path *a,
			    const struct nvfs_pci_path *b)
{
	bool same = a->host_bridge == b->host_bridge;

	return bridge_forwards(a, same) && (same || bridge_forwards(b, same));
}

/**
 * nvfs_pci_judge() - can a drive reach a GPU?
 * @gpu: way up from the GPU
 * @drive: way up from the drive
 * @platform: what the paths do not show
 * @verdict: the answer
 *
 * Pure.
 */
void nvfs_pci_judge(const struct nvfs_pci_path *gpu,
		    const struct nvfs_pci_path *drive,
		    const struct nvfs_pci_platform *platform,
		    struct nvfs_pci_verdict *verdict)
{
	bool redirected = true;

	verdict->reason = NVFS_REASON_HOST_BRIDGE;
	verdict->distance = -1;
	verdict->through_host = true;
	if (!gpu->nr_hops || !drive->nr_hops)
		return;

	verdict->distance = nvfs_pci_distance(gpu, drive, &redirected);
	/* An address that needs translation goes up to be translated */
	verdict->through_host = redirected || platform->iommu;
	if (!verdict->through_host || platform->cpu_forwards ||
	    nvfs_pci_host_forwards(gpu, drive))
		verdict->reason = NVFS_REASON_NONE;
	else if (!redirected)
		verdict->reason = NVFS_REASON_IOMMU;
}

/**
 * nvfs_pci_link_mbps() - what a link carries in one direction
 * @gen: PCIe generation, 1 to 6
 * @width: lanes
 *
 * Pure.  After the line code, before the headers of packets.
 *
 * Return: 10^6 bytes per second; 0 when unknown.
 */
u32 nvfs_pci_link_mbps(unsigned int gen, unsigned int width)
{
	/* 10^3 bytes per second and lane: 8b/10b, 128b/130b, then flits */
	static const u32 lane[] = {
		0, 250000, 500000, 984615, 1969231, 3938462, 7562500,
	};

	if (gen >= ARRAY_SIZE(lane))
		return 0;
	return div_u64((u64)lane[gen] * width, 1000);
}

/* The narrowest of the first @nr links of a way; @mbps so far, 0 for none */
static u32 path_mbps(const struct nvfs_pci_path *path, unsigned int nr,
		     u32 mbps)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u32 link = nvfs_pci_link_mbps(path->hop[i].gen,
					      path->hop[i].width);

		if (link && (!mbps || link < mbps))
			mbps = link;
	}
	return mbps;
}

/* What the narrowest link between two functions carries */
static u32 way_mbps(const struct nvfs_pci_path *a,
		    const struct nvfs_pci_path *b, bool through_host)
{
	unsigned int up_a = a->nr_hops, up_b = b->nr_hops;

	if (!through_host)
		shared_hop(a, b, &up_a, &up_b);
	return path_mbps(b, up_b, path_mbps(a, up_a, 0));
}

/**
 * nvfs_pci_kind_of() - what a device of a PCI class is to NVFS
 * @class: the class, 24 bits
 *
 * Pure.
 *
 * Return: the kind.
 */
enum nvfs_pci_kind nvfs_pci_kind_of(u32 class)
{
	switch (class >> 16) {
	case PCI_BASE_CLASS_STORAGE:
		return NVFS_PCI_DRIVE;
	case PCI_BASE_CLASS_DISPLAY:
	case CLASS_ACCELERATOR:
		return NVFS_PCI_GPU;
	default:
		return class >> 8 == PCI_CLASS_MEMORY_RAM ? NVFS_PCI_MEMORY :
							    NVFS_PCI_OTHER;
	}
}

/**
 * nvfs_pci_memory_bar() - the BAR that shows a device's memory
 * @info: the device
 *
 * Pure.
 *
 * Return: index of its largest prefetchable memory BAR; -1 when it has none.
 */
int nvfs_pci_memory_bar(const struct nvfs_pci_info *info)
{
	int i, best = -1;

	for (i = 0; i < NVFS_PCI_BARS; i++) {
		const struct nvfs_pci_bar *bar = &info->bar[i];

		if (bar->memory && bar->prefetchable && bar->len &&
		    (best < 0 || bar->len > info->bar[best].len))
			best = i;
	}
	return best;
}

/* May a region lie on this device? */
static enum nvfs_pci_fit fit_gpu(const struct nvfs_pci_info *info,
				 const struct nvfs_pci_platform *platform)
{
	int bar = nvfs_pci_memory_bar(info);

	if (bar < 0)
		return NVFS_FIT_NO_BAR;
	if (info->bar[bar].len < NVFS_PCI_MIN_BAR)
		return NVFS_FIT_SMALL_BAR;
	if (!platform->page_unit)
		return NVFS_FIT_NO_PAGES;
	if (platform->encrypted)
		return NVFS_FIT_ENCRYPTED;
	if (!IS_ALIGNED(info->bar[bar].start, platform->page_unit) ||
	    !IS_ALIGNED(info->bar[bar].len, platform->page_unit))
		return NVFS_FIT_ALIGN;
	return NVFS_FIT_OK;
}

/**
 * nvfs_pci_fit() - can NVFS use a device at all?
 * @info: the device
 * @platform: of the computer
 *
 * Pure.  What only the driver or the block layer knows is not in here: QUERY
 * asks them.
 *
 * Return: NVFS_FIT_OK, or the first thing that stands against it.
 */
enum nvfs_pci_fit nvfs_pci_fit(const struct nvfs_pci_info *info,
			       const struct nvfs_pci_platform *platform)
{
	if (info->kind == NVFS_PCI_OTHER)
		return NVFS_FIT_KIND;
	if (!info->path.nr_hops)
		return NVFS_FIT_PATH;
	if (!info->driver[0])
		return NVFS_FIT_DRIVER;
	if (info->kind != NVFS_PCI_DRIVE)
		return fit_gpu(info, platform);
	return info->class >> 8 == PCI_CLASS_STORAGE_EXPRESS >> 8 ?
	       NVFS_FIT_OK : NVFS_FIT_CONTROLLER;
}

/* How near two devices are that can reach each other */
static enum nvfs_pci_rank rank_of(const struct nvfs_pci_info *gpu,
				  const struct nvfs_pci_info *drive,
				  const struct nvfs_pci_verdict *verdict)
{
	if (verdict->reason)
		return NVFS_RANK_NONE;
	if (!verdict->distance)
		return NVFS_RANK_SELF;
	if (!verdict->through_host)
		/* device, port, switch, port, device */
		return verdict->distance <= 4 ? NVFS_RANK_SWITCH :
						NVFS_RANK_BRIDGES;
	if (gpu->path.host_bridge == drive->path.host_bridge)
		return NVFS_RANK_HOST;
	return gpu->node == drive->node ? NVFS_RANK_NODE : NVFS_RANK_SYSTEM;
}

#define COST_RANK_SHIFT		28
#define COST_DISTANCE_SHIFT	20
#define COST_MBPS		((1U << COST_DISTANCE_SHIFT) - 1)

/**
 * nvfs_pci_rank() - how good is a drive for a GPU?
 * @gpu: the GPU
 * @drive: the drive
 * @platform: of the computer; @iommu is taken from @drive instead
 * @peer: the answer
 *
 * Pure.
 */
void nvfs_pci_rank(const struct nvfs_pci_info *gpu,
		   const struct nvfs_pci_info *drive,
		   const struct nvfs_pci_platform *platform,
		   struct nvfs_pci_peer *peer)
{
	struct nvfs_pci_platform pair = *platform;
	u32 mbps;

	pair.iommu = drive->iommu == NVFS_IOMMU_TRANSLATE;
	nvfs_pci_judge(&gpu->path, &drive->path, &pair, &peer->verdict);
	peer->rank = rank_of(gpu, drive, &peer->verdict);
	peer->mbps = way_mbps(&gpu->path, &drive->path,
			      peer->verdict.through_host);
	mbps = min_t(u32, peer->mbps, COST_MBPS);
	peer->cost = peer->rank << COST_RANK_SHIFT |
		     (u32)(peer->verdict.distance & 0xff) <<
		     COST_DISTANCE_SHIFT | (COST_MBPS - mbps);
}

/**
 * nvfs_pci_kind_name() - a kind of device in one word
 * @kind: the kind
 *
 * Return: the word.
 */
const char *nvfs_pci_kind_name(enum nvfs_pci_kind kind)
{
	static const char * const name[] = {
		[NVFS_PCI_OTHER] = "other",
		[NVFS_PCI_DRIVE] = "drive",
		[NVFS_PCI_GPU] = "gpu",
		[NVFS_PCI_MEMORY] = "memory",
	};

	return kind < ARRAY_SIZE(name) ? name[kind] : "?";
}

/**
 * nvfs_pci_iommu_name() - what an IOMMU does to a device, in one word
 * @iommu: what it does
 *
 * Return: the word.
 */
const char *nvfs_pci_iommu_name(enum nvfs_pci_iommu iommu)
{
	static const char * const name[] = {
		[NVFS_IOMMU_NONE] = "none",
		[NVFS_IOMMU_PASSTHROUGH] = "passthrough",
		[NVFS_IOMMU_TRANSLATE] = "translate",
	};

	return iommu < ARRAY_SIZE(name) ? name[iommu] : "?";
}

/**
 * nvfs_pci_fit_name() - why a device can't be used, in one word
 * @fit: the reason
 *
 * Return: the word.
 */
const char *nvfs_pci_fit_name(enum nvfs_pci_fit fit)
{
	static const char * const name[NVFS_FIT_NR] = {
		[NVFS_FIT_OK] = "ok",
		[NVFS_FIT_KIND] = "other-kind",
		[NVFS_FIT_PATH] = "path-too-long",
		[NVFS_FIT_DRIVER] = "no-driver",
		[NVFS_FIT_CONTROLLER] = "not-nvme",
		[NVFS_FIT_NO_BAR] = "no-bar",
		[NVFS_FIT_SMALL_BAR] = "small-bar",
		[NVFS_FIT_ALIGN] = "unaligned-bar",
		[NVFS_FIT_NO_PAGES] = "no-zone-device",
		[NVFS_FIT_ENCRYPTED] = "memory-encryption",
	};

	return fit < NVFS_FIT_NR ? name[fit] : "?";
}

/**
 * nvfs_pci_rank_name() - nearness in one word
 * @rank: the rank
 *
 * Return: the word.
 */
const char *nvfs_pci_rank_name(enum nvfs_pci_rank rank)
{
	static const char * const name[NVFS_RANK_NR] = {
		[NVFS_RANK_SELF] = "self",
		[NVFS_RANK_SWITCH] = "switch",
		[NVFS_RANK_BRIDGES] = "bridges",
		[NVFS_RANK_HOST] = "host",
		[NVFS_RANK_NODE] = "node",
		[NVFS_RANK_SYSTEM] = "system",
		[NVFS_RANK_NONE] = "none",
	};

	return rank < NVFS_RANK_NR ? name[rank] : "?";
}
