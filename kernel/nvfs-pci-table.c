// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GPUs and storage controllers of this machine: for people who want to know
 * what reaches what.  Requests don't look here; they are judged one by one, when
 * they come, with what is true then.
 *
 * The PCI bus tells of devices that come, go, and change their drivers.  Ways
 * are recorded anew by whoever looks first after that, because the BARs and
 * links of a new device are set up after it has been announced.
 */
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "nvfs-pci-table.h"
#include "nvfs-pci.h"
#include "nvfs-stat.h"

/**
 * struct nvfs_pci_entry - a device
 * @node: in table_hash
 * @sorted: in table_sorted, which is in the order of ids
 * @pdev: the device; a reference is held
 * @info: what is known of it
 */
struct nvfs_pci_entry {
	struct hlist_node node;
	struct list_head sorted;
	struct pci_dev *pdev;
	struct nvfs_pci_info info;
};

/* Guards all below.  The bus calls with a device lock held, so nobody takes a
 * device lock under it; nor gpu_lock, which is taken before.
 */
static DECLARE_RWSEM(table_lock);
static struct hlist_head table_hash[MAX_PCI_BUCKETS];
static LIST_HEAD(table_sorted);
static bool table_stale;

static struct hlist_head *table_bucket(u64 id)
{
	return &table_hash[id % MAX_PCI_BUCKETS];
}

static struct nvfs_pci_entry *table_find(const struct pci_dev *pdev)
{
	struct nvfs_pci_entry *entry;

	hlist_for_each_entry(entry, table_bucket(nvfs_pci_id(pdev)), node)
		if (entry->pdev == pdev)
			return entry;
	return NULL;
}

/* Enter a device; NULL when there is no memory: it is then not shown */
static struct nvfs_pci_entry *table_add(struct pci_dev *pdev,
					enum nvfs_pci_kind kind)
{
	struct nvfs_pci_entry *entry, *next;

	lockdep_assert_held_write(&table_lock);

	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (!entry)
		return NULL;
	entry->pdev = pci_dev_get(pdev);
	entry->info.kind = kind;
	nvfs_pci_info_take(pdev, &entry->info);
	hlist_add_head(&entry->node, table_bucket(entry->info.id));
	list_for_each_entry(next, &table_sorted, sorted)
		if (next->info.id > entry->info.id)
			break;
	/* before @next, or last when the loop came to its end */
	list_add_tail(&entry->sorted, &next->sorted);
	table_stale = true;
	return entry;
}

static void table_remove(struct nvfs_pci_entry *entry)
{
	hlist_del(&entry->node);
	list_del(&entry->sorted);
	pci_dev_put(entry->pdev);
	kfree(entry);
}

/* Enter a device of a kind that matters, when it is not there yet */
static struct nvfs_pci_entry *table_enter(struct pci_dev *pdev)
{
	struct nvfs_pci_entry *entry = table_find(pdev);
	enum nvfs_pci_kind kind = nvfs_pci_kind_of(pdev->class);

	if (!entry && kind != NVFS_PCI_OTHER)
		entry = table_add(pdev, kind);
	return entry;
}

/**
 * nvfs_pci_table_event() - the PCI bus tells of a device
 * @pdev: the device
 * @action: what happens to it, BUS_NOTIFY_...
 *
 * Context: may sleep.  The bus holds the device lock while drivers change.
 */
void nvfs_pci_table_event(struct pci_dev *pdev, unsigned long action)
{
	struct nvfs_pci_entry *entry;

	down_write(&table_lock);
	/* Any device may be a bridge above one of ours */
	table_stale = true;
	switch (action) {
	case BUS_NOTIFY_ADD_DEVICE:
		table_enter(pdev);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
	case BUS_NOTIFY_UNBOUND_DRIVER:
		entry = table_enter(pdev);
		if (entry)
			nvfs_pci_info_driver(pdev, &entry->info);
		break;
	case BUS_NOTIFY_DEL_DEVICE:
		entry = table_find(pdev);
		if (entry)
			table_remove(entry);
		break;
	}
	up_write(&table_lock);
}

/**
 * nvfs_pci_table_registered() - memory of this device has been registered
 * @pdev: the device; the caller holds a reference
 *
 * So it is a GPU, whatever its class says.
 *
 * Context: may sleep.
 */
void nvfs_pci_table_registered(struct pci_dev *pdev)
{
	struct nvfs_pci_entry *entry;

	down_write(&table_lock);
	entry = table_find(pdev) ?: table_add(pdev, NVFS_PCI_GPU);
	if (entry)
		entry->info.kind = NVFS_PCI_GPU;
	up_write(&table_lock);
}

/**
 * nvfs_pci_table_scan() - enter what is there already
 *
 * Context: module load, after the bus has begun to tell.
 */
void nvfs_pci_table_scan(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		device_lock(&pdev->dev);
		/* One that is being removed has been told of before */
		if (device_is_registered(&pdev->dev))
			nvfs_pci_table_event(pdev, BUS_NOTIFY_BOUND_DRIVER);
		device_unlock(&pdev->dev);
	}
}

/**
 * nvfs_pci_table_free() - forget all devices
 *
 * Context: module unload; the bus does not tell any more, nobody looks.
 */
void nvfs_pci_table_free(void)
{
	struct nvfs_pci_entry *entry, *next;

	list_for_each_entry_safe(entry, next, &table_sorted, sorted)
		table_remove(entry);
}

/* Take the lock to look, with ways that are of now */
static void table_look(void)
{
	struct nvfs_pci_entry *entry;

	down_read(&table_lock);
	if (!table_stale)
		return;
	up_read(&table_lock);
	down_write(&table_lock);
	if (table_stale)
		list_for_each_entry(entry, &table_sorted, sorted)
			nvfs_pci_snapshot(entry->pdev, &entry->info.path);
	table_stale = false;
	downgrade_write(&table_lock);
}

/**
 * nvfs_pci_each_device() - call a function for each GPU and drive
 * @call: the function
 * @data: its argument
 *
 * In the order of their addresses.
 *
 * Context: may sleep.
 */
void nvfs_pci_each_device(void (*call)(const struct nvfs_pci_info *info,
				       enum nvfs_pci_fit fit, void *data),
			  void *data)
{
	struct nvfs_pci_platform platform;
	struct nvfs_pci_entry *entry;
	struct nvfs_pci_info info;

	nvfs_pci_platform(&platform);
	table_look();
	list_for_each_entry(entry, &table_sorted, sorted) {
		info = entry->info;
		nvfs_pci_info_now(entry->pdev, &info);
		call(&info, nvfs_pci_fit(&info, &platform), data);
	}
	up_read(&table_lock);
}

/**
 * nvfs_pci_each_pair() - call a function for each pair of a GPU and a drive
 * @call: the function
 * @data: its argument
 *
 * In the order of the GPUs' addresses, then of the drives'.
 *
 * Context: may sleep.
 */
void nvfs_pci_each_pair(void (*call)(const struct nvfs_pci_pair *pair,
				     void *data),
			void *data)
{
	const struct nvfs_pci_entry *gpu, *drive;
	struct nvfs_pci_platform platform;
	struct nvfs_pci_pair pair;

	nvfs_pci_platform(&platform);
	table_look();
	list_for_each_entry(gpu, &table_sorted, sorted) {
		if (gpu->info.kind == NVFS_PCI_DRIVE)
			continue;
		list_for_each_entry(drive, &table_sorted, sorted) {
			if (drive->info.kind != NVFS_PCI_DRIVE)
				continue;
			pair.gpu = &gpu->info;
			pair.drive = &drive->info;
			nvfs_pci_rank(pair.gpu, pair.drive, &platform,
				      &pair.peer);
			call(&pair, data);
		}
	}
	up_read(&table_lock);
}
