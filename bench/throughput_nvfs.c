// SPDX-License-Identifier: MIT
/* The engine of libnvfs, as libcufile.so.0 uses it. */
#include "throughput.h"

static const struct bench *bench;
static struct engine_file file;

static int open_side(const struct bench *on)
{
	const struct gpu_driver *driver;

	bench = on;
	if (engine_get() || engine_gpu(&driver))
		return -1;
	/* As cuFileDriverOpen() does. */
	engine_warm(0);
	return engine_file_init(&file, bench->fd);
}

static void close_side(void)
{
	engine_file_fini(&file);
	engine_put();
}

static int enroll(void)
{
	return engine_mem_add(0, bench->gpu, bench->bytes);
}

static int64_t move(uint64_t offset, uint64_t length, bool write)
{
	struct engine_req req = {
		.file = &file,
		.file_offset = offset,
		.addr = bench->gpu + offset,
		.length = length,
		.write = write,
	};

	return engine_run(&req) ? -1 : (int64_t)req.done;
}

static _Atomic unsigned int left;

static void complete(struct engine_req *req)
{
	if (!req->error && req->done == req->length)
		left--;
}

static int batch(const uint64_t *offsets, const uint64_t *slots)
{
	static struct engine_req all[BATCH];
	static struct engine_req *reqs[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		all[i] = (struct engine_req){
			.file = &file,
			.file_offset = offsets[i],
			.addr = bench->gpu + slots[i],
			.length = 4096,
			.complete = complete,
		};
		reqs[i] = &all[i];
	}
	left = BATCH;
	if (engine_submit(reqs, BATCH))
		return -1;
	while (left)
		__builtin_ia32_pause();
	return 0;
}

const struct side side_nvfs = {
	.name = "nvfs",
	.open = open_side,
	.close = close_side,
	.enroll = enroll,
	.move = move,
	.batch = batch,
};
