// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI: which GPU a bus address belongs to and the struct pages of its BAR.
 *
 * Whether a drive can reach it is judged in two steps: snapshots of both ways
 * up to the host bridge are taken from the machine (nvfs-pci-snap.c), then pure
 * functions judge them (nvfs-pci-rank.c).
 */
#include <linux/cc_platform.h>
#include <linux/iommu.h>
#include <linux/mmzone.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "nvfs-pci-table.h"
#include "nvfs-pci.h"
#include "nvfs-stat-user.h"
#include "nvfs-stat.h"

/* Guards the hash and the making of pages; taken when a region is registered
 * or a device goes away, never for a request.
 */
static DEFINE_MUTEX(gpu_lock);
static struct hlist_head gpu_hash[MAX_PCI_BUCKETS];

/**
 * nvfs_pci_get() - find a PCI function by its address
 * @bdf: the address, as in the uapi
 *
 * Context: may sleep.
 * Return: the function with a reference held, or NULL.
 */
struct pci_dev *nvfs_pci_get(u32 bdf)
{
	return pci_get_domain_bus_and_slot(bdf >> 16, (bdf >> 8) & 0xff,
					   bdf & 0xff);
}

/**
 * nvfs_pci_parent() - the PCI function that a device stands on
 * @dev: any device, for example a disk
 *
 * Context: any; the caller keeps @dev from going away.
 * Return: the nearest PCI function at or above @dev with a reference held, or
 * NULL when there is none.
 */
struct pci_dev *nvfs_pci_parent(struct device *dev)
{
	for (; dev; dev = dev->parent)
		if (dev_is_pci(dev))
			return pci_dev_get(to_pci_dev(dev));
	return NULL;
}

/* Has somebody made struct pages at this address?  Takes a reference. */
static struct dev_pagemap *pages_at(phys_addr_t phys)
{
	return get_dev_pagemap(PHYS_PFN(phys), NULL);
}

/*
 * Use the pages that the GPU's driver made, when they are P2PDMA pages and
 * cover the BAR; refuse when they are anything else.  Returns false when the
 * BAR has no pages at all.
 */
static bool gpu_pages_of_owner(struct nvfs_gpu *gpu)
{
	struct dev_pagemap *first = pages_at(gpu->start);
	struct dev_pagemap *last = pages_at(gpu->start + gpu->len - 1);

	if (!first && !last)
		return false;
	if (first && first == last &&
	    is_pci_p2pdma_page(pfn_to_page(PHYS_PFN(gpu->start)))) {
		gpu->source = NVFS_PAGES_OWNER;
		gpu->reason = NVFS_REASON_NONE;
		gpu->owner_pgmap = first;
		first = NULL;
	}
	if (first)
		put_dev_pagemap(first);
	if (last)
		put_dev_pagemap(last);
	return true;
}

/* May NVFS make pages over this BAR? */
static bool gpu_bar_fits(const struct nvfs_gpu *gpu)
{
	const u64 unit = (u64)PAGES_PER_SUBSECTION << PAGE_SHIFT;

	return IS_ENABLED(CONFIG_ZONE_DEVICE) &&
	       /* the encryption bit would end up in DMA addresses */
	       !cc_platform_has(CC_ATTR_MEM_ENCRYPT) &&
	       IS_ALIGNED(gpu->start, unit) && IS_ALIGNED(gpu->len, unit);
}

/*
 * Give the BAR struct pages.  Failure is no error: the GPU then has a reason
 * not to go direct.  Caller holds gpu_lock.
 */
static void gpu_make_pages(struct nvfs_gpu *gpu)
{
	void *addr;

	lockdep_assert_held(&gpu_lock);

	gpu->source = NVFS_PAGES_NONE;
	gpu->reason = NVFS_REASON_NO_PAGES;
	if (gpu_pages_of_owner(gpu) || !gpu_bar_fits(gpu))
		return;

	gpu->pgmap.type = MEMORY_DEVICE_GENERIC;
	gpu->pgmap.range.start = gpu->start;
	gpu->pgmap.range.end = gpu->start + gpu->len - 1;
	gpu->pgmap.nr_range = 1;
	gpu->pgmap.owner = gpu;
	addr = memremap_pages(&gpu->pgmap, dev_to_node(&gpu->pdev->dev));
	if (IS_ERR(addr)) {
		nvfs_dbg("%s: no struct pages over the BAR: %pe\n",
			 pci_name(gpu->pdev), addr);
		return;
	}
	gpu->source = NVFS_PAGES_ZONE;
	gpu->reason = NVFS_REASON_NONE;
}

static void gpu_release(struct kref *ref)
{
	struct nvfs_gpu *gpu = container_of(ref, struct nvfs_gpu, ref);

	if (gpu->source == NVFS_PAGES_ZONE)
		memunmap_pages(&gpu->pgmap);
	if (gpu->owner_pgmap)
		put_dev_pagemap(gpu->owner_pgmap);
	xa_destroy(&gpu->verdicts);
	pci_dev_put(gpu->pdev);
	kfree(gpu);
	nvfs_stat_inc(gpus_gone);
}

/**
 * nvfs_gpu_put() - drop a reference from nvfs_gpu_find()
 * @gpu: the GPU
 *
 * Context: may sleep; the last reference unmaps the BAR's pages, so no request
 * may use them any more.
 */
void nvfs_gpu_put(struct nvfs_gpu *gpu)
{
	kref_put(&gpu->ref, gpu_release);
}

/* Make the GPU whose memory BAR is @bar of @pdev; takes over the reference */
static struct nvfs_gpu *gpu_create(struct pci_dev *pdev, int bar)
{
	struct nvfs_gpu *gpu;

	gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);
	if (!gpu)
		goto err_put_pdev;
	gpu->user = nvfs_user_get(NVFS_USER_GPU, nvfs_pci_id(pdev));
	if (!gpu->user)
		goto err_free_gpu;
	kref_init(&gpu->ref);
	xa_init(&gpu->verdicts);
	gpu->pdev = pdev;
	gpu->bdf = nvfs_pci_bdf(pdev);
	gpu->start = pci_resource_start(pdev, bar);
	gpu->len = pci_resource_len(pdev, bar);
	nvfs_pci_snapshot(pdev, &gpu->path);
	gpu_make_pages(gpu);
	hlist_add_head(&gpu->node, &gpu_hash[gpu->bdf % MAX_PCI_BUCKETS]);
	nvfs_pci_table_registered(pdev);
	nvfs_stat_inc(gpus_found);
	return gpu;

err_free_gpu:
	kfree(gpu);
err_put_pdev:
	pci_dev_put(pdev);
	return ERR_PTR(-ENOMEM);
}

/* The memory BAR of @pdev that holds @phys, or -1 */
static int bar_of(struct pci_dev *pdev, phys_addr_t phys)
{
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		resource_size_t start = pci_resource_start(pdev, bar);

		if ((pci_resource_flags(pdev, bar) & IORESOURCE_MEM) &&
		    phys >= start && phys - start < pci_resource_len(pdev, bar))
			return bar;
	}
	return -1;
}

static struct nvfs_gpu *gpu_lookup(phys_addr_t phys)
{
	struct nvfs_gpu *gpu;
	int i;

	for (i = 0; i < MAX_PCI_BUCKETS; i++)
		hlist_for_each_entry(gpu, &gpu_hash[i], node)
			if (phys >= gpu->start && phys - gpu->start < gpu->len)
				return gpu;
	return NULL;
}

/**
 * nvfs_gpu_find() - the GPU that owns a bus address
 * @phys: an address in one of its BARs
 *
 * The first call for a BAR makes its struct pages.
 *
 * Context: may sleep.
 * Return: the GPU with a reference held; -ENXIO when no PCI function has this
 * address, -ENOMEM.
 */
struct nvfs_gpu *nvfs_gpu_find(phys_addr_t phys)
{
	struct nvfs_gpu *gpu;
	struct pci_dev *pdev = NULL;

	mutex_lock(&gpu_lock);
	gpu = gpu_lookup(phys);
	/* It may have been short of memory; nobody looks while no region is left */
	if (gpu && gpu->source == NVFS_PAGES_NONE && kref_read(&gpu->ref) == 1)
		gpu_make_pages(gpu);
	if (!gpu) {
		int bar = -1;

		gpu = ERR_PTR(-ENXIO);
		for_each_pci_dev(pdev) {
			bar = bar_of(pdev, phys);
			if (bar >= 0)
				break;
		}
		/* for_each_pci_dev() left a reference to the one found */
		if (pdev)
			gpu = gpu_create(pdev, bar);
	}
	if (!IS_ERR(gpu))
		kref_get(&gpu->ref);
	mutex_unlock(&gpu_lock);
	return gpu;
}

/* Forget @dev when it is a GPU (NULL: every GPU); its regions keep it */
static void gpu_forget(struct device *dev)
{
	struct nvfs_gpu *gpu;
	struct hlist_node *next;
	int i;

	mutex_lock(&gpu_lock);
	for (i = 0; i < MAX_PCI_BUCKETS; i++) {
		hlist_for_each_entry_safe(gpu, next, &gpu_hash[i], node) {
			/* any device that goes may have been in a verdict */
			WRITE_ONCE(gpu->changes, gpu->changes + 1);
			xa_destroy(&gpu->verdicts);
			if (dev && dev != &gpu->pdev->dev)
				continue;
			hlist_del(&gpu->node);
			WRITE_ONCE(gpu->gone, true);
			nvfs_gpu_put(gpu);
		}
	}
	mutex_unlock(&gpu_lock);
}

static int bus_event(struct notifier_block *nb, unsigned long action, void *dev)
{
	/*
	 * Before its driver goes: what is released with it waits for pages that
	 * the driver made and that are still held here.  And afterwards, for
	 * what was registered meanwhile.
	 */
	if (action == BUS_NOTIFY_DEL_DEVICE ||
	    action == BUS_NOTIFY_UNBIND_DRIVER ||
	    action == BUS_NOTIFY_UNBOUND_DRIVER)
		gpu_forget(dev);
	nvfs_pci_table_event(to_pci_dev(dev), action);
	return NOTIFY_DONE;
}

static struct notifier_block bus_notifier = {
	.notifier_call = bus_event,
};

/**
 * nvfs_pci_init() - begin to watch the PCI bus
 *
 * Return: 0, or a negative errno.
 */
int nvfs_pci_init(void)
{
	int ret = bus_register_notifier(&pci_bus_type, &bus_notifier);

	if (!ret)
		nvfs_pci_table_scan();
	return ret;
}

/**
 * nvfs_pci_exit() - forget every GPU
 *
 * Context: module unload; no region is left.
 */
void nvfs_pci_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &bus_notifier);
	gpu_forget(NULL);
	nvfs_pci_table_free();
}
