// SPDX-License-Identifier: GPL-2.0-only
/* /dev/labgpuN: the emulated GPU's calls and the CPU's view of its memory. */

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "labgpu_compat.h"
#include "labgpu_priv.h"

static int labgpu_open(struct inode *inode, struct file *file)
{
	struct labgpu *gpu = container_of(file->private_data, struct labgpu, misc);
	struct labgpu_space *space;
	int ret = 0;

	mutex_lock(&labgpu_lock);
	space = gpu->gone ? ERR_PTR(-ENODEV) : labgpu_space_open(gpu);
	if (IS_ERR(space)) {
		ret = PTR_ERR(space);
		goto out;
	}
	if (!gpu->nopen++) {
		ihold(inode);
		gpu->inode = inode;
	}
	file->f_mapping = gpu->inode->i_mapping;
	file->private_data = space;
out:
	mutex_unlock(&labgpu_lock);
	return ret;
}

/*
 * A forked child may keep the file open when its parent is long dead, but the
 * memory belongs to the parent.
 */
static int labgpu_flush(struct file *file, fl_owner_t id)
{
	struct labgpu_space *space = file->private_data;

	mutex_lock(&labgpu_lock);
	if (space->owner == id)
		labgpu_space_end(space);
	mutex_unlock(&labgpu_lock);
	return 0;
}

static int labgpu_release(struct inode *inode, struct file *file)
{
	struct labgpu_space *space = file->private_data;
	struct labgpu *gpu = space->gpu;
	struct inode *drop = NULL;

	mutex_lock(&labgpu_lock);
	kref_get(&gpu->ref);
	labgpu_space_close(space);
	if (!--gpu->nopen)
		drop = gpu->inode;
	labgpu_put(gpu);
	mutex_unlock(&labgpu_lock);
	iput(drop);
	return 0;
}

static int labgpu_ioc_info(struct labgpu_space *space, void __user *uarg)
{
	struct labgpu *gpu = space->gpu;
	struct labgpu_info info = {};
	int ret;

	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	info.index = gpu->index;
	info.bdf = gpu->bdf;
	info.mem_size = (u64)gpu->npages << LABGPU_PAGE_SHIFT;
	info.mem_free = (u64)gpu->nfree << LABGPU_PAGE_SHIFT;
	memcpy(info.uuid, gpu->uuid, sizeof(info.uuid));
	mutex_unlock(&labgpu_lock);
	strscpy(info.name, "NVFS Lab GPU", sizeof(info.name));
	if (!ret && copy_to_user(uarg, &info, sizeof(info)))
		ret = -EFAULT;
	return ret;
}

static int labgpu_ioc_free(struct labgpu_space *space, u64 va)
{
	int ret;

	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (!ret)
		ret = labgpu_space_free(space, va);
	mutex_unlock(&labgpu_lock);
	return ret;
}

static int labgpu_ioc_alloc(struct labgpu_space *space, void __user *uarg)
{
	struct labgpu_alloc arg;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (!ret)
		ret = labgpu_space_alloc(space, &arg);
	mutex_unlock(&labgpu_lock);
	if (!ret && copy_to_user(uarg, &arg, sizeof(arg))) {
		labgpu_ioc_free(space, arg.va);
		ret = -EFAULT;
	}
	return ret;
}

static int labgpu_ioc_release(struct labgpu_space *space,
			      const struct labgpu_release *arg)
{
	int ret;

	if (arg->__reserved)
		return -EINVAL;
	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (!ret)
		ret = labgpu_handle_release(space, arg->handle);
	mutex_unlock(&labgpu_lock);
	return ret;
}

static int labgpu_ioc_create(struct labgpu_space *space, void __user *uarg)
{
	struct labgpu_release undo = {};
	struct labgpu_create arg;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (!ret)
		ret = labgpu_handle_create(space, &arg);
	mutex_unlock(&labgpu_lock);
	if (!ret && copy_to_user(uarg, &arg, sizeof(arg))) {
		undo.handle = arg.handle;
		labgpu_ioc_release(space, &undo);
		ret = -EFAULT;
	}
	return ret;
}

static int labgpu_ioc_map(struct labgpu_space *space,
			  const struct labgpu_map *arg)
{
	int ret;

	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (!ret)
		ret = labgpu_handle_map(space, arg);
	mutex_unlock(&labgpu_lock);
	return ret;
}

static long labgpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct labgpu_space *space = file->private_data;
	void __user *uarg = (void __user *)arg;
	struct labgpu_release release;
	struct labgpu_dmabuf dmabuf;
	struct labgpu_free free;
	struct labgpu_map map;

	switch (cmd) {
	case LABGPU_IOC_INFO:
		return labgpu_ioc_info(space, uarg);
	case LABGPU_IOC_ALLOC:
		return labgpu_ioc_alloc(space, uarg);
	case LABGPU_IOC_FREE:
		if (copy_from_user(&free, uarg, sizeof(free)))
			return -EFAULT;
		return labgpu_ioc_free(space, free.va);
	case LABGPU_IOC_DMABUF:
		if (copy_from_user(&dmabuf, uarg, sizeof(dmabuf)))
			return -EFAULT;
		return labgpu_dmabuf_new(space, &dmabuf);
	case LABGPU_IOC_CREATE:
		return labgpu_ioc_create(space, uarg);
	case LABGPU_IOC_MAP:
		if (copy_from_user(&map, uarg, sizeof(map)))
			return -EFAULT;
		return labgpu_ioc_map(space, &map);
	case LABGPU_IOC_RELEASE:
		if (copy_from_user(&release, uarg, sizeof(release)))
			return -EFAULT;
		return labgpu_ioc_release(space, &release);
	default:
		return -ENOTTY;
	}
}

static void labgpu_vma_open(struct vm_area_struct *vma)
{
	struct labgpu_mem *mem = vma->vm_private_data;

	kref_get(&mem->ref);
}

static void labgpu_vma_close(struct vm_area_struct *vma)
{
	mutex_lock(&labgpu_lock);
	labgpu_mem_put(vma->vm_private_data);
	mutex_unlock(&labgpu_lock);
}

/* Maps to the end of a 2 MiB window at once: faults are dear in an emulator. */
static vm_fault_t labgpu_vma_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct labgpu_mem *mem = vma->vm_private_data;
	unsigned long addr = ALIGN_DOWN(vmf->address, PAGE_SIZE);
	unsigned long end = min(ALIGN(addr + 1, SZ_2M), vma->vm_end);
	u64 off = (u64)vmf->pgoff << PAGE_SHIFT;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	phys_addr_t phys;

	mutex_lock(&labgpu_lock);
	while (!mem->gpu->gone && addr < end) {
		phys = labgpu_mem_phys(mem, off >> LABGPU_PAGE_SHIFT) +
		       (off & (LABGPU_PAGE_SIZE - 1));
		ret = vmf_insert_pfn(vma, addr, PHYS_PFN(phys));
		if (ret != VM_FAULT_NOPAGE)
			break;
		addr += PAGE_SIZE;
		off += PAGE_SIZE;
	}
	mutex_unlock(&labgpu_lock);
	return ret;
}

static const struct vm_operations_struct labgpu_vm_ops = {
	.open	= labgpu_vma_open,
	.close	= labgpu_vma_close,
	.fault	= labgpu_vma_fault,
};

static int labgpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 va = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	struct labgpu_space *space = file->private_data;
	struct labgpu_allocation *alloc;
	int ret;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	mutex_lock(&labgpu_lock);
	ret = labgpu_space_check(space);
	if (ret)
		goto out;
	ret = -EINVAL;
	alloc = labgpu_space_find(space->proc, va);
	if (!alloc || alloc->space != space || alloc->dying ||
	    length > alloc->size - (va - alloc->va))
		goto out;
	kref_get(&alloc->mem->ref);
	/* From here on counted in the memory, which may lose its address. */
	vma->vm_pgoff -= alloc->va >> PAGE_SHIFT;
	vma->vm_private_data = alloc->mem;
	vma->vm_ops = &labgpu_vm_ops;
	vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTCOPY | VM_DONTEXPAND |
			  VM_DONTDUMP);
	ret = 0;
out:
	mutex_unlock(&labgpu_lock);
	return ret;
}

const struct file_operations labgpu_fops = {
	.owner		= THIS_MODULE,
	.open		= labgpu_open,
	.flush		= labgpu_flush,
	.release	= labgpu_release,
	.unlocked_ioctl	= labgpu_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.mmap		= labgpu_mmap,
	.llseek		= noop_llseek,
};
