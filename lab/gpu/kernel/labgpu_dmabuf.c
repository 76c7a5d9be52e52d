// SPDX-License-Identifier: GPL-2.0-only
/*
 * A range of the emulated GPU's memory as a dma-buf, as NVIDIA's driver has it:
 * the memory stays taken until the last descriptor is closed, whatever becomes
 * of the allocation, and there are no struct pages, only addresses.
 */

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "labgpu_compat.h"
#include "labgpu_priv.h"

/**
 * struct labgpu_dmabuf_priv - a dma-buf
 * @mem: the memory, held
 * @offset: of the first byte in @mem, whole pages of the CPU
 * @length: bytes
 */
struct labgpu_dmabuf_priv {
	struct labgpu_mem *mem;
	u64 offset;
	u64 length;
};

/* The contiguous bytes at @at; *@len says how many, up to the end. */
static phys_addr_t labgpu_dmabuf_run(const struct labgpu_dmabuf_priv *priv,
				     u64 at, u64 *len)
{
	u64 off = priv->offset + at;
	u32 page = off >> LABGPU_PAGE_SHIFT;
	u64 inside = off & (LABGPU_PAGE_SIZE - 1);
	u64 run = (u64)labgpu_mem_run(priv->mem, page) << LABGPU_PAGE_SHIFT;

	*len = min(run - inside, priv->length - at);
	return labgpu_mem_phys(priv->mem, page) + inside;
}

static u32 labgpu_dmabuf_runs(const struct labgpu_dmabuf_priv *priv)
{
	u64 at, len;
	u32 n = 0;

	for (at = 0; at < priv->length; at += len, n++)
		labgpu_dmabuf_run(priv, at, &len);
	return n;
}

/* Whoever can't reach another device's memory has no use for it. */
static int labgpu_dmabuf_attach(struct dma_buf *buf,
				struct dma_buf_attachment *attach)
{
	return attach->peer2peer && dev_is_pci(attach->dev) ? 0 : -EOPNOTSUPP;
}

static void labgpu_dmabuf_undo(struct device *dev, struct sg_table *sgt,
			       u32 nr, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	u32 i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		if (i == nr)
			break;
		dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg),
				   dir, 0);
	}
	sg_free_table(sgt);
	kfree(sgt);
}

static int labgpu_dmabuf_fill(struct labgpu_dmabuf_priv *priv,
			      struct device *dev, struct sg_table *sgt,
			      enum dma_data_direction dir, u32 *nr)
{
	struct scatterlist *sg;
	dma_addr_t addr;
	u64 at = 0, len;
	u32 i;

	for_each_sgtable_sg(sgt, sg, i) {
		addr = dma_map_resource(dev, labgpu_dmabuf_run(priv, at, &len),
					len, dir, 0);
		if (dma_mapping_error(dev, addr))
			return -ENOMEM;
		sg_set_page(sg, NULL, len, 0);
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = len;
		at += len;
		*nr = i + 1;
	}
	return 0;
}

static struct sg_table *labgpu_dmabuf_map(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	struct labgpu_dmabuf_priv *priv = attach->dmabuf->priv;
	struct sg_table *sgt;
	int ret = -ENODEV;
	u32 nr = 0;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	mutex_lock(&labgpu_lock);
	if (!priv->mem->gpu->gone)
		ret = sg_alloc_table(sgt, labgpu_dmabuf_runs(priv), GFP_KERNEL);
	if (ret) {
		mutex_unlock(&labgpu_lock);
		kfree(sgt);
		return ERR_PTR(ret);
	}
	ret = labgpu_dmabuf_fill(priv, attach->dev, sgt, dir, &nr);
	mutex_unlock(&labgpu_lock);
	if (!ret)
		return sgt;
	labgpu_dmabuf_undo(attach->dev, sgt, nr, dir);
	return ERR_PTR(ret);
}

static void labgpu_dmabuf_unmap(struct dma_buf_attachment *attach,
				struct sg_table *sgt,
				enum dma_data_direction dir)
{
	labgpu_dmabuf_undo(attach->dev, sgt, sgt->nents, dir);
}

static void labgpu_dmabuf_release(struct dma_buf *buf)
{
	struct labgpu_dmabuf_priv *priv = buf->priv;

	mutex_lock(&labgpu_lock);
	labgpu_mem_put(priv->mem);
	mutex_unlock(&labgpu_lock);
	kfree(priv);
}

static const struct dma_buf_ops labgpu_dmabuf_ops = {
	.attach		= labgpu_dmabuf_attach,
	.map_dma_buf	= labgpu_dmabuf_map,
	.unmap_dma_buf	= labgpu_dmabuf_unmap,
	.release	= labgpu_dmabuf_release,
};

/* Takes @priv, also when it fails; lock not held. */
static int labgpu_dmabuf_export(struct labgpu_dmabuf_priv *priv)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *buf;
	int fd;

	info.ops = &labgpu_dmabuf_ops;
	info.size = priv->length;
	info.flags = O_CLOEXEC | O_RDWR;
	info.priv = priv;
	buf = dma_buf_export(&info);
	if (IS_ERR(buf)) {
		mutex_lock(&labgpu_lock);
		labgpu_mem_put(priv->mem);
		mutex_unlock(&labgpu_lock);
		kfree(priv);
		return PTR_ERR(buf);
	}
	/* @priv is the dma-buf's from here. */
	fd = dma_buf_fd(buf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(buf);
	return fd;
}

/* The memory under the range, held; all of one allocation. */
static int labgpu_dmabuf_find(struct labgpu_space *space,
			      const struct labgpu_dmabuf *arg,
			      struct labgpu_dmabuf_priv *priv)
{
	struct labgpu_allocation *alloc;
	int ret = labgpu_space_check(space);

	if (ret)
		return ret;
	alloc = labgpu_space_find(space->proc, arg->va);
	if (!alloc || alloc->space != space || alloc->dying)
		return -ENOENT;
	if (arg->length > alloc->size - (arg->va - alloc->va))
		return -EINVAL;
	kref_get(&alloc->mem->ref);
	priv->mem = alloc->mem;
	priv->offset = arg->va - alloc->va;
	priv->length = arg->length;
	return 0;
}

/**
 * labgpu_dmabuf_new - LABGPU_IOC_DMABUF
 * @space: the address space
 * @arg: see labgpu.h
 *
 * Return: a file descriptor, or an error of labgpu.h
 */
int labgpu_dmabuf_new(struct labgpu_space *space,
		      const struct labgpu_dmabuf *arg)
{
	struct labgpu_dmabuf_priv *priv;
	int ret;

	if (!arg->length || arg->flags || arg->__reserved ||
	    !PAGE_ALIGNED(arg->va | arg->length))
		return -EINVAL;
	priv = kzalloc(sizeof(*priv), GFP_KERNEL);
	if (!priv)
		return -ENOMEM;
	mutex_lock(&labgpu_lock);
	ret = labgpu_dmabuf_find(space, arg, priv);
	mutex_unlock(&labgpu_lock);
	if (ret) {
		kfree(priv);
		return ret;
	}
	return labgpu_dmabuf_export(priv);
}

LABGPU_IMPORT_DMA_BUF;
