// SPDX-License-Identifier: MIT
/* A request of libnvfs' own calls that goes through host memory. */
#include <errno.h>

#include "host.h"
#include "internal.h"

/* The first of a handle; its end is in nvfs_close(). */
static int need_host(struct nvfs *nvfs)
{
	int ret = 0;

	pthread_mutex_lock(&nvfs->lock);
	if (!nvfs->uses_host) {
		ret = host_get();
		nvfs->uses_host = !ret;
	}
	pthread_mutex_unlock(&nvfs->lock);
	return ret;
}

static int run(struct nvfs_region *region, const struct span *span,
	       struct engine_file *file, uint64_t *done)
{
	struct engine_req req = {
		.file = file,
		.file_offset = span->file_offset,
		.addr = region->addr + span->region_offset,
		.gpu = region->gpu,
		.length = span->length,
		.write = span->write,
	};
	int ret = host_run(&req);

	*done = req.done;
	return ret;
}

int bounce_move(struct nvfs_region *region, const struct span *span,
		uint64_t *done)
{
	struct engine_file file;
	int ret;

	*done = 0;
	if (!span->length)
		return 0;
	ret = need_host(region->nvfs);
	if (ret)
		return ret;
	if (span->file)
		return run(region, span, span->file, done);
	ret = engine_file_init(&file, span->fd);
	if (ret)
		return ret;
	/* Not worth it for one call. */
	file.no_map = true;
	ret = run(region, span, &file, done);
	engine_file_fini(&file);
	return ret;
}
