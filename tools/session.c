// SPDX-License-Identifier: MIT
/* GPU memory to move bytes to and from. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "transfer.h"

static int fail(int error, const char *what, char *message, size_t size)
{
	snprintf(message, size, "%s (%s)", what, errno_name(error));
	return error;
}

static int open_library(struct session *session, bool bounce, char *message,
			size_t size)
{
	int ret = nvfs_open(bounce ? NVFS_OPEN_NO_MODULE : 0, &session->nvfs);

	return ret ? fail(ret, module_advice(ret), message, size) : 0;
}

static int get_memory(struct session *session, unsigned int gpu,
		      uint64_t bytes, char *message, size_t size)
{
	int ret = nvfs_gpu_get(session->nvfs, gpu, &session->gpu);

	if (ret)
		return fail(ret, gpu_advice(ret), message, size);
	ret = nvfs_buf_alloc(session->nvfs, gpu, bytes ? bytes : 1,
			     &session->buf);
	if (ret)
		return fail(ret, gpu_advice(ret), message, size);
	session->capacity = nvfs_buf_capacity(session->buf);
	return 0;
}

static const char *register_advice(int error)
{
	switch (error) {
	case -ENODEV:
		return "the module finds no provider of GPU memory: the GPU's kernel driver is not loaded, or is NVIDIA's closed one";
	case -EPROTO:
		return "the GPU's kernel driver speaks a version that the module does not know";
	case -ENXIO:
		return "the GPU's memory lies in no PCI BAR";
	case -EDQUOT:
		return "this user may not have more GPU memory pinned. See /proc/nvfs/users; the administrator can raise /sys/module/nvfs/parameters/pin_limit_mib";
	case -ENOMEM:
		return "the GPU's memory can't be pinned: out of memory, or this control group's limit (memory.max) is reached";
	default:
		return "the module can't register the GPU memory";
	}
}

int session_open(struct session *session, unsigned int gpu, uint64_t bytes,
		 bool bounce, char *message, size_t size)
{
	int ret;

	memset(session, 0, sizeof(*session));
	ret = open_library(session, bounce, message, size);
	if (ret)
		return ret;
	ret = get_memory(session, gpu, bytes, message, size);
	if (!ret) {
		ret = nvfs_region_register(session->buf,
					   bounce ? NVFS_REGION_ALLOW_BOUNCE : 0,
					   &session->region);
		if (ret)
			fail(ret, register_advice(ret), message, size);
	}
	if (ret)
		session_close(session);
	return ret;
}

void session_close(struct session *session)
{
	nvfs_region_unregister(session->region);
	nvfs_buf_free(session->buf);
	nvfs_close(session->nvfs);
	memset(session, 0, sizeof(*session));
}

void explain(int error, uint32_t reason, const char *detail, char *message,
	     size_t size)
{
	if (error == -EREMOTEIO)
		snprintf(message, size,
			 "can't go direct: %s. %s%sOr allow host memory: --bounce (EREMOTEIO, %s)",
			 detail[0] ? detail : nvfs_reason_text(reason),
			 nvfs_reason_remedy(reason),
			 nvfs_reason_remedy(reason)[0] ? " " : "",
			 nvfs_reason_name(reason));
	else if (error == -ESTALE)
		snprintf(message, size,
			 "the GPU memory was freed by its owner (ESTALE)");
	else
		snprintf(message, size, "%s (%s)", strerror(-error),
			 errno_name(error));
}

void ask_why(struct nvfs_region *region, int fd, uint32_t reason, char *text,
	     size_t size)
{
	struct nvfs_query query = { .size = sizeof(query) };

	text[0] = '\0';
	if (nvfs_query_region(region, fd, &query) || query.reason != reason)
		return;
	snprintf(text, size, "%.*s", (int)sizeof(query.text), query.text);
}
