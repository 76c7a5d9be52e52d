// SPDX-License-Identifier: GPL-2.0-only
/*
 * The question whether requests between a file and a GPU would go direct.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/pci.h>

#include "nvfs-dma.h"
#include "nvfs-io.h"
#include "nvfs-mmap.h"
#include "nvfs-pci.h"
#include "nvfs-stat.h"

/* Judge @file against a GPU that is named by its PCI function */
static int query_bdf(struct file *file, u32 bdf, struct nvfs_route_info *info)
{
	struct pci_dev *pdev = nvfs_pci_get(bdf);
	struct nvfs_pci_path path;

	if (!pdev)
		return -ENXIO;
	nvfs_pci_snapshot(pdev, &path);
	pci_dev_put(pdev);
	nvfs_dma_route_path(&path, file, info);
	return 0;
}

/* Judge @file against the GPU of a region */
static int query_region(struct nvfs_regions *regions, struct file *file,
			struct nvfs_query *args, struct nvfs_route_info *info)
{
	struct nvfs_region *region = nvfs_region_get(regions, args->region);

	if (IS_ERR(region))
		return PTR_ERR(region);
	nvfs_dma_route_path(&region->gpu->path, file, info);
	if (!info->reason)
		info->reason = region->gpu->reason;
	args->gpu = region->gpu->bdf;
	args->page_source = region->gpu->source;
	nvfs_region_put(region);
	return 0;
}

static void query_report(const struct nvfs_route_info *info,
			 struct nvfs_query *args)
{
	args->drive = info->drive;
	args->route = info->reason ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT;
	args->reason = info->reason;
	args->distance = info->distance;
	args->offset_align = info->offset_align;
	args->mem_align = info->mem_align;
	nvfs_dma_describe(info, args->text, sizeof(args->text));
}

/**
 * nvfs_io_query() - NVFS_IOC_QUERY
 * @regions: regions of the open file
 * @args: the question; the out fields are filled in
 *
 * Context: may sleep.
 * Return: 0, or an errno that the uapi header documents.
 */
int nvfs_io_query(struct nvfs_regions *regions, struct nvfs_query *args)
{
	struct nvfs_route_info info;
	struct fd f;
	int ret;

	if (args->flags & ~NVFS_QUERY_GPU)
		return -EINVAL;
	if ((args->flags & NVFS_QUERY_GPU) && args->region)
		return -EINVAL;
	memset(args->text, 0, sizeof(args->text));
	args->drive = NVFS_BDF_NONE;
	args->route = NVFS_ROUTE_NONE;
	args->reason = NVFS_REASON_NONE;
	args->distance = -1;
	args->offset_align = 0;
	args->mem_align = 0;
	args->page_source = NVFS_PAGES_NONE;
	f = fdget(args->fd);
	if (fd_empty(f))
		return -EBADF;
	ret = nvfs_io_check_file_type(fd_file(f));
	if (!ret)
		ret = args->flags & NVFS_QUERY_GPU ?
		      query_bdf(fd_file(f), args->gpu, &info) :
		      query_region(regions, fd_file(f), args, &info);
	/* It is not said which way requests will go */
	if (!ret)
		nvfs_dma_align_write(fd_file(f), &info);
	fdput(f);
	if (!ret)
		query_report(&info, args);
	nvfs_stat_inc(queries);
	return ret;
}
