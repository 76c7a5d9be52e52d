// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated GPU of the lab: QEMU's ivshmem device, whose BAR 2 is the GPU's
 * memory.  It has no engines; the CPU does the copies.
 */

#include <linux/bitmap.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

#define LABGPU_BAR	2

/* Protects all of the driver; see labgpu_priv.h. */
DEFINE_MUTEX(labgpu_lock);
static DEFINE_IDA(labgpu_ida);

static void labgpu_release(struct kref *ref)
{
	struct labgpu *gpu = container_of(ref, struct labgpu, ref);

	ida_free(&labgpu_ida, gpu->index);
	bitmap_free(gpu->taken);
	kfree(gpu);
}

/**
 * labgpu_put - let go of a GPU
 * @gpu: the GPU
 */
void labgpu_put(struct labgpu *gpu)
{
	kref_put(&gpu->ref, labgpu_release);
}

static void labgpu_make_uuid(struct labgpu *gpu)
{
	memcpy(gpu->uuid, "nvfs lab gpu", 12);
	gpu->uuid[12] = gpu->bdf >> 24;
	gpu->uuid[13] = gpu->bdf >> 16;
	gpu->uuid[14] = gpu->bdf >> 8;
	gpu->uuid[15] = gpu->bdf;
}

static struct labgpu *labgpu_new(struct pci_dev *pdev)
{
	struct labgpu *gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);
	int index;

	if (!gpu)
		return ERR_PTR(-ENOMEM);
	index = ida_alloc_max(&labgpu_ida, LABGPU_MAX_GPUS - 1, GFP_KERNEL);
	if (index < 0) {
		kfree(gpu);
		return ERR_PTR(index);
	}
	kref_init(&gpu->ref);
	gpu->index = index;
	gpu->bdf = pci_domain_nr(pdev->bus) << 16 | pci_dev_id(pdev);
	gpu->base = pci_resource_start(pdev, LABGPU_BAR);
	gpu->npages = pci_resource_len(pdev, LABGPU_BAR) >> LABGPU_PAGE_SHIFT;
	gpu->nfree = gpu->npages;
	gpu->taken = bitmap_zalloc(gpu->npages, GFP_KERNEL);
	if (!gpu->taken) {
		labgpu_put(gpu);
		return ERR_PTR(-ENOMEM);
	}
	labgpu_make_uuid(gpu);
	snprintf(gpu->name, sizeof(gpu->name), LABGPU_DEVICE_PREFIX "%u", index);
	gpu->misc.minor = MISC_DYNAMIC_MINOR;
	gpu->misc.name = gpu->name;
	gpu->misc.fops = &labgpu_fops;
	gpu->misc.mode = 0666;
	gpu->misc.parent = &pdev->dev;
	return gpu;
}

static int labgpu_enable(struct pci_dev *pdev)
{
	int ret = pci_enable_device_mem(pdev);

	if (ret)
		return ret;
	ret = pci_request_selected_regions(pdev, BIT(LABGPU_BAR), "labgpu");
	if (ret)
		pci_disable_device(pdev);
	return ret;
}

static void labgpu_disable(struct pci_dev *pdev)
{
	pci_release_selected_regions(pdev, BIT(LABGPU_BAR));
	pci_disable_device(pdev);
}

static int labgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct labgpu *gpu;
	int ret;

	if (pci_resource_len(pdev, LABGPU_BAR) < LABGPU_PAGE_SIZE)
		return -ENODEV;
	ret = labgpu_enable(pdev);
	if (ret)
		return ret;
	gpu = labgpu_new(pdev);
	if (IS_ERR(gpu)) {
		ret = PTR_ERR(gpu);
		goto disable;
	}
	pci_set_drvdata(pdev, gpu);
	ret = misc_register(&gpu->misc);
	if (ret)
		goto put;
	/* As real ones do.  Fails when somebody mapped it otherwise: so be it. */
	gpu->wc = !arch_io_reserve_memtype_wc(gpu->base,
					      pci_resource_len(pdev, LABGPU_BAR));
	pci_info(pdev, "%s: %u MiB\n", gpu->name, gpu->npages >> 4);
	return 0;
put:
	labgpu_put(gpu);
disable:
	labgpu_disable(pdev);
	return ret;
}

/*
 * The memory is gone when this returns, so whoever uses it is told, and told to
 * wait for, first.  Persistent pins have nobody to tell: their pages dangle, as
 * they would on real hardware.
 */
static void labgpu_remove(struct pci_dev *pdev)
{
	struct labgpu *gpu = pci_get_drvdata(pdev);
	struct inode *inode = NULL;

	misc_deregister(&gpu->misc);
	mutex_lock(&labgpu_lock);
	gpu->gone = true;
	labgpu_revoke_gpu(gpu);
	if (gpu->nopen) {
		inode = gpu->inode;
		ihold(inode);
	}
	mutex_unlock(&labgpu_lock);
	if (inode) {
		unmap_mapping_range(inode->i_mapping, 0, 0, 1);
		iput(inode);
	}
	if (gpu->wc)
		arch_io_free_memtype_wc(gpu->base,
					pci_resource_len(pdev, LABGPU_BAR));
	labgpu_disable(pdev);
	mutex_lock(&labgpu_lock);
	labgpu_put(gpu);
	mutex_unlock(&labgpu_lock);
}

static const struct pci_device_id labgpu_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) },
	{ }
};
MODULE_DEVICE_TABLE(pci, labgpu_ids);

static struct pci_driver labgpu_driver = {
	.name		= "labgpu",
	.id_table	= labgpu_ids,
	.probe		= labgpu_probe,
	.remove		= labgpu_remove,
};

static int __init labgpu_init(void)
{
	int ret;

	labgpu_debugfs_init();
	ret = pci_register_driver(&labgpu_driver);
	if (ret)
		labgpu_debugfs_exit();
	return ret;
}
module_init(labgpu_init);

static void __exit labgpu_exit(void)
{
	pci_unregister_driver(&labgpu_driver);
	labgpu_debugfs_exit();
}
module_exit(labgpu_exit);

MODULE_DESCRIPTION("Emulated GPU of the NVFS lab");
MODULE_LICENSE("GPL");
