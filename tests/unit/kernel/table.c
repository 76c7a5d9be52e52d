// SPDX-License-Identifier: MIT
/* The table of GPUs and drives: any number, in order, as the bus tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-pci-table.h"

#define GPU	0x030200
#define NVME	0x010802
#define NIC	0x020000
#define RAM	0x050000
#define DEVICES	300

static struct pci_dev devices[DEVICES];
static int snapshots;

/* What nvfs-pci-snap.c takes from the machine: here, from the array. */
u64 nvfs_pci_id(const struct pci_dev *pdev)
{
	/* neighbours in the array are far from each other in the order */
	return (u64)((pdev - devices) * 7919 % 100003) << 8;
}

void nvfs_pci_platform(struct nvfs_pci_platform *platform)
{
	memset(platform, 0, sizeof(*platform));
	platform->cpu_forwards = true;
}

void nvfs_pci_info_take(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	info->id = nvfs_pci_id(pdev);
	info->class = pdev->class;
}

void nvfs_pci_info_driver(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	strcpy(info->driver, pdev->vendor ? "driver" : "");
}

void nvfs_pci_info_now(struct pci_dev *pdev, struct nvfs_pci_info *info)
{
	(void)pdev;
	info->width = 16;
}

void nvfs_pci_snapshot(struct pci_dev *pdev, struct nvfs_pci_path *path)
{
	snapshots++;
	path->nr_hops = 1;
	path->hop[0].id = nvfs_pci_id(pdev);
}

static struct pci_dev *tell(int index, u32 class, unsigned long action)
{
	devices[index].class = class;
	nvfs_pci_table_event(&devices[index], action);
	return &devices[index];
}

/* What one look shows. */
static struct {
	int devices, gpus, drives, pairs, without_driver;
	u64 last;
	u64 last_gpu, last_drive;
	bool sorted;
} seen;

static void see_device(const struct nvfs_pci_info *info, enum nvfs_pci_fit fit,
		       void *data)
{
	(void)data;
	seen.sorted &= !seen.devices++ || info->id > seen.last;
	seen.last = info->id;
	seen.gpus += info->kind == NVFS_PCI_GPU;
	seen.drives += info->kind == NVFS_PCI_DRIVE;
	seen.without_driver += fit == NVFS_FIT_DRIVER;
	assert_int_equal(info->width, 16);
	assert_int_equal(info->path.nr_hops, 1);
}

static void see_pair(const struct nvfs_pci_pair *pair, void *data)
{
	(void)data;
	seen.sorted &= !seen.pairs++ || pair->gpu->id > seen.last_gpu ||
		       (pair->gpu->id == seen.last_gpu &&
			pair->drive->id > seen.last_drive);
	seen.last_gpu = pair->gpu->id;
	seen.last_drive = pair->drive->id;
	assert_int_equal(pair->drive->kind, NVFS_PCI_DRIVE);
	assert_int_not_equal(pair->gpu->kind, NVFS_PCI_DRIVE);
}

static void look(void)
{
	memset(&seen, 0, sizeof(seen));
	seen.sorted = true;
	nvfs_pci_each_device(see_device, NULL);
	nvfs_pci_each_pair(see_pair, NULL);
	assert_true(seen.sorted);
}

static int empty(void **state)
{
	int i;

	(void)state;
	nvfs_pci_table_free();
	for (i = 0; i < DEVICES; i++)
		assert_int_equal(devices[i].refs, 0);
	memset(devices, 0, sizeof(devices));
	return 0;
}

static void more_than_64_devices_are_kept_in_order(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < DEVICES; i++)
		tell(i, i % 3 ? NVME : GPU, BUS_NOTIFY_ADD_DEVICE);
	look();
	assert_int_equal(seen.devices, DEVICES);
	assert_int_equal(seen.gpus, 100);
	assert_int_equal(seen.drives, 200);
	assert_int_equal(seen.pairs, 100 * 200);
}

static void other_devices_are_not_entered(void **state)
{
	(void)state;
	tell(0, NIC, BUS_NOTIFY_ADD_DEVICE);
	tell(1, NIC, BUS_NOTIFY_BOUND_DRIVER);
	tell(2, GPU, BUS_NOTIFY_ADD_DEVICE);
	look();
	assert_int_equal(seen.devices, 1);
}

static void devices_are_entered_once(void **state)
{
	(void)state;
	tell(0, NVME, BUS_NOTIFY_ADD_DEVICE);
	tell(0, NVME, BUS_NOTIFY_ADD_DEVICE);
	tell(0, NVME, BUS_NOTIFY_BOUND_DRIVER);
	look();
	assert_int_equal(seen.devices, 1);
	assert_int_equal(devices[0].refs, 1);
}

static void removed_devices_are_let_go(void **state)
{
	(void)state;
	tell(0, NVME, BUS_NOTIFY_ADD_DEVICE);
	tell(1, NVME, BUS_NOTIFY_ADD_DEVICE);
	tell(0, NVME, BUS_NOTIFY_DEL_DEVICE);
	assert_int_equal(devices[0].refs, 0);
	tell(2, NVME, BUS_NOTIFY_DEL_DEVICE);
	look();
	assert_int_equal(seen.devices, 1);
}

static void drivers_come_and_go(void **state)
{
	(void)state;
	tell(0, NVME, BUS_NOTIFY_ADD_DEVICE);
	look();
	assert_int_equal(seen.without_driver, 1);
	devices[0].vendor = 1;
	tell(0, NVME, BUS_NOTIFY_BOUND_DRIVER);
	look();
	assert_int_equal(seen.without_driver, 0);
	devices[0].vendor = 0;
	tell(0, NVME, BUS_NOTIFY_UNBOUND_DRIVER);
	look();
	assert_int_equal(seen.without_driver, 1);
}

/* Whatever its class: whose memory is registered is a GPU. */
static void registered_memory_makes_a_gpu(void **state)
{
	(void)state;
	tell(0, RAM, BUS_NOTIFY_ADD_DEVICE);
	tell(1, NVME, BUS_NOTIFY_ADD_DEVICE);
	look();
	assert_int_equal(seen.gpus, 0);
	assert_int_equal(seen.pairs, 1);
	nvfs_pci_table_registered(&devices[0]);
	nvfs_pci_table_registered(&devices[2]);
	look();
	assert_int_equal(seen.gpus, 2);
	assert_int_equal(seen.devices, 3);
	assert_int_equal(seen.pairs, 2);
}

/* Ways are recorded when somebody looks, and anew only after an event. */
static void ways_are_recorded_once(void **state)
{
	(void)state;
	tell(0, NVME, BUS_NOTIFY_ADD_DEVICE);
	tell(1, GPU, BUS_NOTIFY_ADD_DEVICE);
	snapshots = 0;
	look();
	assert_int_equal(snapshots, 2);
	look();
	assert_int_equal(snapshots, 2);
	/* a bridge, perhaps */
	tell(2, 0x060400, BUS_NOTIFY_BOUND_DRIVER);
	look();
	assert_int_equal(snapshots, 4);
}

#define T(name)	cmocka_unit_test_teardown(name, empty)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(more_than_64_devices_are_kept_in_order),
		T(other_devices_are_not_entered),
		T(devices_are_entered_once),
		T(removed_devices_are_let_go),
		T(drivers_come_and_go),
		T(registered_memory_makes_a_gpu),
		T(ways_are_recorded_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
