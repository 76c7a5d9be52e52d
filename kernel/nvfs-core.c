// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module, its character device and the table of ioctls.  No logic: the
 * handlers are thin and call down.
 */
#include <linux/cdev.h>
#include <linux/compat.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "nvfs-batch.h"
#include "nvfs-core.h"
#include "nvfs-dma.h"
#include "nvfs-fault.h"
#include "nvfs-io.h"
#include "nvfs-mmap-owner.h"
#include "nvfs-mmap.h"
#include "nvfs-mod.h"
#include "nvfs-pci.h"
#include "nvfs-proc.h"
#include "nvfs-stat-hist.h"
#include "nvfs-stat-user.h"
#include "nvfs-stat.h"

#define NVFS_VERSION_STRING			\
	__stringify(NVFS_VERSION_MAJOR) "."	\
	__stringify(NVFS_VERSION_MINOR) "."	\
	__stringify(NVFS_VERSION_PATCH)

/**
 * struct nvfs_context - an open file of the device
 * @regions: what it registered; first, as nvfs_mgroup_mmap() wants it
 * @batches: its asynchronous requests
 * @owner: who opened it
 */
struct nvfs_context {
	struct nvfs_regions regions;
	struct nvfs_batches batches;
	struct nvfs_owner owner;
};

/* The arguments of any call */
union nvfs_args {
	struct nvfs_info info;
	struct nvfs_register reg;
	struct nvfs_unregister unreg;
	struct nvfs_query query;
	struct nvfs_batch_create create;
	struct nvfs_batch_submit submit;
	struct nvfs_batch_reap reap;
	struct nvfs_batch_cancel cancel;
	struct nvfs_batch_destroy destroy;
};

static int handle_info(struct nvfs_context *ctx, union nvfs_args *args)
{
	struct nvfs_info *info = &args->info;

	if (info->flags)
		return -EINVAL;
	info->version_major = NVFS_VERSION_MAJOR;
	info->version_minor = NVFS_VERSION_MINOR;
	info->version_patch = NVFS_VERSION_PATCH;
	info->provider_version = nvfs_provider_version();
	info->nr_regions = atomic_read(&ctx->regions.nr);
	info->__reserved = 0;
	return 0;
}

static int handle_register(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_region_register(&ctx->regions, &args->reg);
}

static void undo_register(struct nvfs_context *ctx, union nvfs_args *args)
{
	nvfs_region_unregister(&ctx->regions, args->reg.region);
}

static int handle_unregister(struct nvfs_context *ctx, union nvfs_args *args)
{
	if (args->unreg.flags || args->unreg.__reserved)
		return -EINVAL;
	return nvfs_region_unregister(&ctx->regions, args->unreg.region);
}

static int handle_query(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_io_query(&ctx->regions, &args->query);
}

static int handle_batch_create(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_batch_create(&ctx->batches, &args->create);
}

static void undo_batch_create(struct nvfs_context *ctx, union nvfs_args *args)
{
	struct nvfs_batch_destroy destroy = { .batch = args->create.batch };

	nvfs_batch_destroy(&ctx->batches, &destroy);
}

static int handle_batch_submit(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_batch_submit(&ctx->batches, &args->submit);
}

static int handle_batch_reap(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_batch_reap(&ctx->batches, &args->reap);
}

static int handle_batch_cancel(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_batch_cancel(&ctx->batches, &args->cancel);
}

static int handle_batch_destroy(struct nvfs_context *ctx, union nvfs_args *args)
{
	return nvfs_batch_destroy(&ctx->batches, &args->destroy);
}

/*
 * The calls, but for READ and WRITE, which have a way of their own.  @min_size is
 * the first published size of the structure, @undo takes back a success whose
 * results can't be delivered.
 */
struct nvfs_call {
	size_t size;
	size_t min_size;
	int (*handle)(struct nvfs_context *ctx, union nvfs_args *args);
	void (*undo)(struct nvfs_context *ctx, union nvfs_args *args);
};

#define NVFS_CALL(cmd, type, last, ...)					\
	[_IOC_NR(cmd)] = {						\
		.size = sizeof(type),					\
		.min_size = offsetofend(type, last),			\
		__VA_ARGS__						\
	}

static const struct nvfs_call calls[] = {
	NVFS_CALL(NVFS_IOC_INFO, struct nvfs_info, __reserved,
		  .handle = handle_info),
	NVFS_CALL(NVFS_IOC_REGISTER, struct nvfs_register, mmap_offset,
		  .handle = handle_register, .undo = undo_register),
	NVFS_CALL(NVFS_IOC_UNREGISTER, struct nvfs_unregister, __reserved,
		  .handle = handle_unregister),
	NVFS_CALL(NVFS_IOC_QUERY, struct nvfs_query, text,
		  .handle = handle_query),
	NVFS_CALL(NVFS_IOC_BATCH_CREATE, struct nvfs_batch_create, batch,
		  .handle = handle_batch_create, .undo = undo_batch_create),
	NVFS_CALL(NVFS_IOC_BATCH_SUBMIT, struct nvfs_batch_submit, reason,
		  .handle = handle_batch_submit),
	NVFS_CALL(NVFS_IOC_BATCH_REAP, struct nvfs_batch_reap, timeout_ns,
		  .handle = handle_batch_reap),
	NVFS_CALL(NVFS_IOC_BATCH_CANCEL, struct nvfs_batch_cancel, nr,
		  .handle = handle_batch_cancel),
	NVFS_CALL(NVFS_IOC_BATCH_DESTROY, struct nvfs_batch_destroy, __reserved,
		  .handle = handle_batch_destroy),
};

static const struct nvfs_call *find_call(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (cmd != _IO(NVFS_IOC_TYPE, nr) || nr >= ARRAY_SIZE(calls))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(calls));
	return calls[nr].handle ? &calls[nr] : NULL;
}

/* Any call, by the table.  Not inlined: its frame is large. */
static noinline int ioctl_call(struct nvfs_context *ctx, unsigned int cmd,
			       void __user *uarg)
{
	const struct nvfs_call *call = find_call(cmd);
	union nvfs_args args nvfs_no_auto_init;
	u32 size;
	int ret;

	if (!call)
		return -ENOTTY;
	/* The size stands first in every structure */
	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size < call->min_size)
		return -EINVAL;
	ret = copy_struct_from_user(&args, call->size, uarg, size);
	if (ret)
		return ret;
	/* Nothing begins whose results can't be told */
	if (put_user(size, (u32 __user *)uarg))
		return -EFAULT;
	ret = call->handle(ctx, &args);
	if (ret)
		nvfs_stat_inc(ioctl_errors);
	if (copy_to_user(uarg, &args, min_t(size_t, size, call->size))) {
		if (!ret && call->undo)
			call->undo(ctx, &args);
		return -EFAULT;
	}
	return ret;
}

static long nvfs_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct nvfs_context *ctx = filp->private_data;
	void __user *uarg = (void __user *)arg;

	/* Nearly every call, and they copy their arguments themselves */
	if (cmd == NVFS_IOC_READ)
		return nvfs_io_read(&ctx->regions, uarg);
	if (cmd == NVFS_IOC_WRITE)
		return nvfs_io_write(&ctx->regions, uarg);
	return ioctl_call(ctx, cmd, uarg);
}

static int nvfs_open(struct inode *inode, struct file *filp)
{
	struct nvfs_context *ctx = kzalloc(sizeof(*ctx), GFP_KERNEL_ACCOUNT);
	int ret;

	BUILD_BUG_ON(offsetof(struct nvfs_context, regions));
	if (!ctx)
		return -ENOMEM;
	ret = nvfs_regions_init(&ctx->regions, filp, &nvfs_fault_ops);
	if (ret)
		goto err_free_context;
	ret = nvfs_batches_init(&ctx->batches, &ctx->regions);
	if (ret)
		goto err_end_regions;
	nvfs_owner_begin(&ctx->owner, &ctx->regions);
	filp->private_data = ctx;
	nvfs_stat_inc(opens);
	return 0;

err_end_regions:
	nvfs_regions_end(&ctx->regions, filp);
err_free_context:
	kfree(ctx);
	return ret;
}

static int nvfs_release(struct inode *inode, struct file *filp)
{
	struct nvfs_context *ctx = filp->private_data;

	nvfs_owner_end(&ctx->owner);
	nvfs_batches_end(&ctx->batches);
	nvfs_regions_end(&ctx->regions, filp);
	kfree(ctx);
	nvfs_stat_inc(closes);
	return 0;
}

static int nvfs_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct nvfs_context *ctx = cmd->file->private_data;

	return nvfs_batch_uring_cmd(&ctx->batches, cmd, issue_flags);
}

static const struct file_operations nvfs_fops = {
	.owner = THIS_MODULE,
	.open = nvfs_open,
	.release = nvfs_release,
	.unlocked_ioctl = nvfs_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.uring_cmd = nvfs_uring_cmd,
	.mmap = nvfs_mgroup_mmap,
	.get_unmapped_area = thp_get_unmapped_area,
};

static dev_t nvfs_dev;
static struct cdev nvfs_cdev;
static struct class *nvfs_class;

/* The device comes last: once it is there, anybody may open it */
static int __init device_init(void)
{
	struct device *dev;
	int ret;

	ret = alloc_chrdev_region(&nvfs_dev, 0, 1, DEVICE_NAME);
	if (ret)
		return ret;
	nvfs_class = class_create(CLASS_NAME);
	if (IS_ERR(nvfs_class)) {
		ret = PTR_ERR(nvfs_class);
		goto err_unregister_region;
	}
	cdev_init(&nvfs_cdev, &nvfs_fops);
	nvfs_cdev.owner = THIS_MODULE;
	ret = cdev_add(&nvfs_cdev, nvfs_dev, 1);
	if (ret)
		goto err_destroy_class;
	dev = device_create(nvfs_class, NULL, nvfs_dev, NULL, DEVICE_NAME);
	if (IS_ERR(dev)) {
		ret = PTR_ERR(dev);
		goto err_del_cdev;
	}
	return 0;

err_del_cdev:
	cdev_del(&nvfs_cdev);
err_destroy_class:
	class_destroy(nvfs_class);
err_unregister_region:
	unregister_chrdev_region(nvfs_dev, 1);
	return ret;
}

static void device_exit(void)
{
	device_destroy(nvfs_class, nvfs_dev);
	cdev_del(&nvfs_cdev);
	class_destroy(nvfs_class);
	unregister_chrdev_region(nvfs_dev, 1);
}

static int __init nvfs_init(void)
{
	int ret;

	nvfs_dma_init();
	ret = nvfs_user_init();
	if (ret)
		goto err_exit_stat;
	ret = nvfs_mod_init();
	if (ret)
		goto err_exit_stat;
	ret = nvfs_map_init();
	if (ret)
		goto err_exit_mod;
	ret = nvfs_batch_init();
	if (ret)
		goto err_exit_map;
	ret = nvfs_pci_init();
	if (ret)
		goto err_exit_batch;
	ret = nvfs_proc_init();
	if (ret)
		goto err_exit_pci;
	ret = device_init();
	if (ret)
		goto err_exit_proc;
	pr_info("version " NVFS_VERSION_STRING " loaded\n");
	return 0;

err_exit_proc:
	nvfs_proc_exit();
err_exit_pci:
	nvfs_pci_exit();
err_exit_batch:
	nvfs_batch_exit();
err_exit_map:
	nvfs_map_exit();
err_exit_mod:
	nvfs_mod_exit();
err_exit_stat:
	/* parameters of the module may have begun it */
	nvfs_user_exit();
	nvfs_hist_exit();
	return ret;
}

static void __exit nvfs_exit(void)
{
	device_exit();
	nvfs_proc_exit();
	nvfs_mmap_exit();
	nvfs_pci_exit();
	nvfs_batch_exit();
	nvfs_map_exit();
	nvfs_dma_exit();
	nvfs_mod_exit();
	nvfs_user_exit();
	nvfs_hist_exit();
	pr_info("unloaded\n");
}

module_init(nvfs_init);
module_exit(nvfs_exit);

MODULE_DESCRIPTION("Direct data path between storage and GPU memory");
MODULE_LICENSE("GPL");
MODULE_VERSION(NVFS_VERSION_STRING);
