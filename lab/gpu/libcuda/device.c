// SPDX-License-Identifier: MIT
/* The lab's libcuda: initialisation and devices. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lab.h"

pthread_mutex_t lab_lock = PTHREAD_MUTEX_INITIALIZER;

static struct lab_device lab_devices[LABGPU_MAX_GPUS];
static int lab_count;
static bool lab_ready;
static bool lab_forked;

static void lab_fork_prepare(void)
{
	pthread_mutex_lock(&lab_lock);
}

static void lab_fork_parent(void)
{
	pthread_mutex_unlock(&lab_lock);
}

/* The files are the parent's address spaces: of no use, and not to be kept. */
static void lab_fork_child(void)
{
	int i;

	if (lab_ready) {
		lab_forked = true;
		for (i = 0; i < lab_count; i++)
			close(lab_devices[i].fd);
	}
	pthread_mutex_unlock(&lab_lock);
}

static void lab_register_fork(void)
{
	pthread_atfork(lab_fork_prepare, lab_fork_parent, lab_fork_child);
}

CUresult lab_leave(CUresult ret)
{
	pthread_mutex_unlock(&lab_lock);
	return ret;
}

CUresult lab_enter(void)
{
	pthread_mutex_lock(&lab_lock);
	if (!lab_ready || lab_forked)
		return lab_leave(CUDA_ERROR_NOT_INITIALIZED);
	return CUDA_SUCCESS;
}

CUresult lab_errno(int err)
{
	switch (err) {
	case ENOMEM:
	case ENOSPC:
		return CUDA_ERROR_OUT_OF_MEMORY;
	case ENODEV:
		return CUDA_ERROR_DEVICE_UNAVAILABLE;
	case ENOENT:
	case EINVAL:
		return CUDA_ERROR_INVALID_VALUE;
	default:
		return CUDA_ERROR_OPERATING_SYSTEM;
	}
}

struct lab_device *lab_device(CUdevice device)
{
	return device >= 0 && device < lab_count ? &lab_devices[device] : NULL;
}

static void lab_probe(int index)
{
	struct lab_device *dev = &lab_devices[lab_count];
	char path[32];

	snprintf(path, sizeof(path), "/dev/" LABGPU_DEVICE_PREFIX "%d", index);
	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return;
	if (ioctl(dev->fd, LABGPU_IOC_INFO, &dev->info))
		close(dev->fd);
	else
		lab_count++;
}

LAB_API CUresult cuInit(unsigned int flags)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int i;

	if (flags)
		return CUDA_ERROR_INVALID_VALUE;
	pthread_once(&once, lab_register_fork);
	pthread_mutex_lock(&lab_lock);
	if (lab_forked)
		return lab_leave(CUDA_ERROR_NOT_INITIALIZED);
	for (i = 0; !lab_ready && i < LABGPU_MAX_GPUS; i++)
		lab_probe(i);
	lab_ready = lab_count > 0;
	return lab_leave(lab_ready ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE);
}

/* May be called before cuInit(). */
LAB_API CUresult cuDriverGetVersion(int *version)
{
	if (!version)
		return CUDA_ERROR_INVALID_VALUE;
	*version = CUDA_LAB_VERSION;
	return CUDA_SUCCESS;
}

LAB_API CUresult cuDeviceGetCount(int *count)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!count)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*count = lab_count;
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!device)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (!lab_device(ordinal))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	*device = ordinal;
	return lab_leave(CUDA_SUCCESS);
}

/* Takes the lock and finds the device; @out is where the answer will go. */
static CUresult lab_device_enter(CUdevice device, const void *out,
				 struct lab_device **dev)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!out)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*dev = lab_device(device);
	return *dev ? CUDA_SUCCESS : lab_leave(CUDA_ERROR_INVALID_DEVICE);
}

LAB_API CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *id)
{
	unsigned int domain = 0, bus, slot, fn;
	CUresult ret = lab_enter();
	int i;

	if (ret)
		return ret;
	if (!device || !id)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (sscanf(id, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4) {
		domain = 0;
		if (sscanf(id, "%x:%x.%x", &bus, &slot, &fn) != 3)
			return lab_leave(CUDA_ERROR_INVALID_VALUE);
	}
	for (i = 0; i < lab_count; i++) {
		if (lab_devices[i].info.bdf !=
		    (domain << 16 | bus << 8 | slot << 3 | fn))
			continue;
		*device = i;
		return lab_leave(CUDA_SUCCESS);
	}
	return lab_leave(CUDA_ERROR_INVALID_DEVICE);
}

LAB_API CUresult cuDeviceGetName(char *name, int len, CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_device_enter(device, name, &dev);

	if (ret)
		return ret;
	if (len <= 0)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	snprintf(name, (size_t)len, "%s", dev->info.name);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuDeviceGetPCIBusId(char *id, int len, CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_device_enter(device, id, &dev);
	unsigned int bdf;

	if (ret)
		return ret;
	if (len < 13)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	bdf = dev->info.bdf;
	snprintf(id, (size_t)len, "%04X:%02X:%02X.%u", bdf >> 16,
		 bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_device_enter(device, uuid, &dev);

	if (ret)
		return ret;
	memcpy(uuid->bytes, dev->info.uuid, sizeof(uuid->bytes));
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuDeviceGetUuid);

LAB_API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_device_enter(device, bytes, &dev);

	if (ret)
		return ret;
	*bytes = dev->info.mem_size;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuDeviceTotalMem);

/* What there is no word about is a feature that this GPU does not have. */
static int lab_attribute(const struct lab_device *dev, CUdevice_attribute attr)
{
	switch (attr) {
	case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
		return 1024;
	case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
		return 32;
	case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
		return (int)(dev->info.bdf >> 16);
	case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
		return dev->info.bdf >> 8 & 0xff;
	case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
		return dev->info.bdf >> 3 & 0x1f;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
		return 9;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
	case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
	case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
	case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
	case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
	case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED:
	case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
	case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED:
	case CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED:
		return 1;
	case CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS:
		return CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST;
	default:
		return 0;
	}
}

LAB_API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute,
				      CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_device_enter(device, value, &dev);

	if (ret)
		return ret;
	if ((int)attribute < 1 || attribute >= CU_DEVICE_ATTRIBUTE_LAB_MAX)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*value = lab_attribute(dev, attribute);
	return lab_leave(CUDA_SUCCESS);
}
