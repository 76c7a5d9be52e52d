// SPDX-License-Identifier: MIT
/* The lab's libcuda: contexts. */

#include <stdlib.h>

#include "lab.h"

#define LAB_STACK	64

static CUcontext lab_contexts;
static unsigned long long lab_last_id;

static _Thread_local struct {
	CUcontext ctx[LAB_STACK];
	int depth;
} lab_stack;

static bool lab_known(CUcontext ctx)
{
	CUcontext c;

	for (c = lab_contexts; c; c = c->next)
		if (c == ctx)
			return true;
	return false;
}

/* The top of the stack, whatever became of it. */
static CUcontext lab_top(void)
{
	return lab_stack.depth ? lab_stack.ctx[lab_stack.depth - 1] : NULL;
}

CUresult lab_current(CUcontext *ctx)
{
	*ctx = lab_top();
	if (!*ctx)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (!lab_known(*ctx) || !(*ctx)->active)
		return CUDA_ERROR_CONTEXT_IS_DESTROYED;
	return CUDA_SUCCESS;
}

static CUcontext lab_context_new(CUdevice device)
{
	CUcontext ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return NULL;
	ctx->device = device;
	ctx->active = true;
	ctx->id = ++lab_last_id;
	ctx->next = lab_contexts;
	lab_contexts = ctx;
	return ctx;
}

LAB_API CUresult cuDevicePrimaryCtxRetain(CUcontext *ctx, CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	dev = lab_device(device);
	if (!ctx || !dev)
		return lab_leave(ctx ? CUDA_ERROR_INVALID_DEVICE :
				       CUDA_ERROR_INVALID_VALUE);
	if (!dev->primary)
		dev->primary = lab_context_new(device);
	if (!dev->primary)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	if (!dev->primary->active)
		dev->primary->id = ++lab_last_id;
	dev->primary->active = true;
	dev->retained++;
	*ctx = dev->primary;
	return lab_leave(CUDA_SUCCESS);
}

static void lab_primary_end(struct lab_device *dev)
{
	if (!dev->primary)
		return;
	lab_stream_end(dev->primary);
	lab_memory_end(dev->primary);
	dev->primary->active = false;
}

LAB_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	dev = lab_device(device);
	if (!dev)
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	if (!dev->retained)
		return lab_leave(CUDA_ERROR_INVALID_CONTEXT);
	if (!--dev->retained)
		lab_primary_end(dev);
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuDevicePrimaryCtxRelease);

LAB_API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device)
{
	struct lab_device *dev;
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	dev = lab_device(device);
	if (!dev)
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	dev->retained = 0;
	lab_primary_end(dev);
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuDevicePrimaryCtxReset);

LAB_API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags,
					    int *active)
{
	struct lab_device *dev;
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	dev = lab_device(device);
	if (!dev || !flags || !active)
		return lab_leave(dev ? CUDA_ERROR_INVALID_VALUE :
				       CUDA_ERROR_INVALID_DEVICE);
	*flags = 0;
	*active = dev->retained > 0;
	return lab_leave(CUDA_SUCCESS);
}

static CUresult lab_push(CUcontext ctx)
{
	if (lab_stack.depth == LAB_STACK)
		return CUDA_ERROR_OUT_OF_MEMORY;
	lab_stack.ctx[lab_stack.depth++] = ctx;
	return CUDA_SUCCESS;
}

LAB_API CUresult cuCtxCreate_v2(CUcontext *ctx, unsigned int flags,
				CUdevice device)
{
	CUresult ret = lab_enter();

	(void)flags;
	if (ret)
		return ret;
	if (!ctx)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (!lab_device(device))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	if (lab_stack.depth == LAB_STACK)
		return lab_leave(CUDA_ERROR_OUT_OF_MEMORY);
	*ctx = lab_context_new(device);
	return lab_leave(*ctx ? lab_push(*ctx) : CUDA_ERROR_OUT_OF_MEMORY);
}
LAB_ALIAS(cuCtxCreate);

/* What a client that was built with CUDA 13 calls. */
LAB_API CUresult cuCtxCreate_v4(CUcontext *ctx, void *params,
				unsigned int flags, CUdevice device)
{
	return params ? CUDA_ERROR_NOT_SUPPORTED :
			cuCtxCreate_v2(ctx, flags, device);
}

LAB_API CUresult cuCtxDestroy_v2(CUcontext ctx)
{
	CUresult ret = lab_enter();
	CUcontext *link;

	if (ret)
		return ret;
	if (!ctx || !lab_known(ctx) || lab_device(ctx->device)->primary == ctx)
		return lab_leave(CUDA_ERROR_INVALID_CONTEXT);
	lab_stream_end(ctx);
	lab_memory_end(ctx);
	for (link = &lab_contexts; *link != ctx; link = &(*link)->next)
		;
	*link = ctx->next;
	if (lab_top() == ctx)
		lab_stack.depth--;
	free(ctx);
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuCtxDestroy);

LAB_API CUresult cuCtxSetCurrent(CUcontext ctx)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (ctx && !lab_known(ctx))
		return lab_leave(CUDA_ERROR_INVALID_CONTEXT);
	if (lab_stack.depth)
		lab_stack.depth--;
	return lab_leave(ctx ? lab_push(ctx) : CUDA_SUCCESS);
}

LAB_API CUresult cuCtxGetCurrent(CUcontext *ctx)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!ctx)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	*ctx = lab_top();
	return lab_leave(CUDA_SUCCESS);
}

LAB_API CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!ctx || !lab_known(ctx))
		return lab_leave(CUDA_ERROR_INVALID_CONTEXT);
	return lab_leave(lab_push(ctx));
}
LAB_ALIAS(cuCtxPushCurrent);

LAB_API CUresult cuCtxPopCurrent_v2(CUcontext *ctx)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!lab_stack.depth)
		return lab_leave(CUDA_ERROR_INVALID_CONTEXT);
	if (ctx)
		*ctx = lab_top();
	lab_stack.depth--;
	return lab_leave(CUDA_SUCCESS);
}
LAB_ALIAS(cuCtxPopCurrent);

LAB_API CUresult cuCtxGetDevice(CUdevice *device)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	if (!device)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (!ret)
		*device = ctx->device;
	return lab_leave(ret);
}

/* Memory is coherent here: what a drive wrote, everyone sees. */
LAB_API CUresult
cuFlushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target,
			   CUflushGPUDirectRDMAWritesScope scope)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	if (target != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX ||
	    (scope != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER &&
	     scope != CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES))
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	return lab_leave(lab_current(&ctx));
}

LAB_API CUresult cuCtxGetFlags(unsigned int *flags)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	if (!flags)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	ret = lab_current(&ctx);
	if (!ret)
		*flags = 0;
	return lab_leave(ret);
}

LAB_API CUresult cuCtxGetId(CUcontext ctx, unsigned long long *id)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!id)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (!ctx)
		ret = lab_current(&ctx);
	else if (!lab_known(ctx))
		ret = CUDA_ERROR_INVALID_CONTEXT;
	else if (!ctx->active)
		ret = CUDA_ERROR_CONTEXT_IS_DESTROYED;
	if (!ret)
		*id = ctx->id;
	return lab_leave(ret);
}

/* Either may be NULL. */
LAB_API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
	CUresult ret = lab_enter();
	CUcontext ctx;

	if (ret)
		return ret;
	ret = lab_current(&ctx);
	if (!ret && least)
		*least = LAB_PRIORITY_LEAST;
	if (!ret && greatest)
		*greatest = LAB_PRIORITY_GREATEST;
	return lab_leave(ret);
}

LAB_API CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	static _Thread_local CUstreamCaptureMode now;
	CUstreamCaptureMode before = now;

	if (!mode || (unsigned int)*mode > CU_STREAM_CAPTURE_MODE_RELAXED)
		return CUDA_ERROR_INVALID_VALUE;
	now = *mode;
	*mode = before;
	return CUDA_SUCCESS;
}

/* There are no copies between GPUs here. */
LAB_API CUresult cuDeviceCanAccessPeer(int *can, CUdevice device, CUdevice peer)
{
	CUresult ret = lab_enter();

	if (ret)
		return ret;
	if (!can)
		return lab_leave(CUDA_ERROR_INVALID_VALUE);
	if (!lab_device(device) || !lab_device(peer))
		return lab_leave(CUDA_ERROR_INVALID_DEVICE);
	*can = 0;
	return lab_leave(CUDA_SUCCESS);
}
