// SPDX-License-Identifier: MIT
/*
 * libnvfs' queues and streams on a GPU, real or emulated, with or without the
 * module:
 *
 *	gpu_queues DIRECTORY
 *
 * Prints a line for each thing that was looked at. Status 0, 1 with the first that
 * is wrong, 77 if there is no GPU.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpu_client.h"
#include "libnvfs_async.h"

#define NR	64U
#define PIECE	((uint64_t)65536)
#define BYTES	(NR * PIECE)
#define ROUNDS	20U
/* Of CUDA: cuStreamCreate(), cuStreamBeginCapture(). */
#define NON_BLOCKING	1U
#define CAPTURE_RELAXED	2

static struct {
	int (*init)(unsigned int flags);
	int (*device)(int *device, int index);
	int (*retain)(void **ctx, int device);
	int (*set_current)(void *ctx);
	int (*stream_create)(void **stream, unsigned int flags);
	int (*stream_sync)(void *stream);
	int (*alloc)(uint64_t *addr, size_t length);
	int (*fill)(uint64_t addr, unsigned char byte, size_t length,
		    void *stream);
	int (*copy_out)(void *host, uint64_t addr, size_t length);
	int (*capture)(void *stream, int mode);
	int (*capture_end)(void *stream, void **graph);
} cu;

static struct nvfs *nvfs;
static struct nvfs_file *in, *out;
static int out_fd;
static uint64_t memory;
static void *stream;
static unsigned char *bytes, *back;

static void begin_cuda(void)
{
	void *library = dlopen("libcuda.so.1", RTLD_NOW), *ctx;
	int device;

	if (!library)
		exit(77);
	find(library, "cuInit", &cu.init);
	find(library, "cuDeviceGet", &cu.device);
	find(library, "cuDevicePrimaryCtxRetain", &cu.retain);
	find(library, "cuCtxSetCurrent", &cu.set_current);
	find(library, "cuStreamCreate", &cu.stream_create);
	find(library, "cuStreamSynchronize", &cu.stream_sync);
	find(library, "cuMemAlloc_v2", &cu.alloc);
	find(library, "cuMemsetD8Async", &cu.fill);
	find(library, "cuMemcpyDtoH_v2", &cu.copy_out);
	/* The emulated one has none of these. */
	find_any(library, "cuStreamBeginCapture_v2", &cu.capture);
	find_any(library, "cuStreamEndCapture", &cu.capture_end);
	if (cu.init(0) || cu.device(&device, 0))
		exit(77);
	EXPECT(!cu.retain(&ctx, device) && !cu.set_current(ctx));
	EXPECT(!cu.stream_create(&stream, NON_BLOCKING));
	EXPECT(!cu.alloc(&memory, BYTES));
}

static int open_in(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT(fd >= 0);
	unlink(path);
	return fd;
}

static void begin(const char *dir)
{
	int fd = open_in(dir, "gpu-queues.in"), ret;

	bytes = malloc(BYTES);
	back = malloc(BYTES);
	EXPECT(bytes && back);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (unsigned char)(i * 31 + (i >> 12));
	EXPECT(write(fd, bytes, BYTES) == (ssize_t)BYTES);
	EXPECT(!fsync(fd));
	out_fd = open_in(dir, "gpu-queues.out");
	EXPECT(!nvfs_open(NVFS_OPEN_NO_MODULE, &nvfs));
	while ((ret = nvfs_gpu_prepare(nvfs, 0)) == -EAGAIN)
		usleep(10000);
	EXPECT(!ret || ret == -ENOSYS);
	EXPECT(!nvfs_file_open(nvfs, fd, 0, &in));
	EXPECT(!nvfs_file_open(nvfs, out_fd, 0, &out));
	EXPECT(!close(fd));
	printf("begun: module %d, code on the GPU %d\n",
	       nvfs_module_error(nvfs), ret);
}

static void check_queue(void)
{
	static struct nvfs_done done[NR];
	static struct nvfs_io ios[NR];
	struct nvfs_queue *queue;
	unsigned int i;

	EXPECT(!nvfs_queue_open(nvfs, NR, &queue));
	for (i = 0; i < NR; i++)
		ios[i] = (struct nvfs_io){
			.file = in, .file_offset = i * PIECE, .length = PIECE,
			.addr = memory + (NR - 1 - i) * PIECE,
			.flags = NVFS_IO_ALLOW_BOUNCE, .user_data = i,
		};
	EXPECT(!nvfs_queue_submit(queue, ios, NR, NULL));
	EXPECT(nvfs_queue_wait(queue, NR, done, NR, -1) == (int)NR);
	EXPECT(!cu.copy_out(back, memory, BYTES));
	for (i = 0; i < NR; i++) {
		EXPECT(!done[i].error && done[i].res.done == PIECE);
		EXPECT(!memcmp(back + (NR - 1 - i) * PIECE, bytes + i * PIECE,
			       PIECE));
	}
	EXPECT(!nvfs_queue_close(queue));
	printf("queue: route %s, reason %s\n",
	       nvfs_route_name(done[0].res.route),
	       nvfs_reason_name(done[0].res.reason));
}

/* Read and written between two fillings of the memory, all in one stream. */
static void check_stream(void)
{
	struct nvfs_io io = {
		.file = in, .addr = memory, .length = BYTES,
		.flags = NVFS_IO_ALLOW_BOUNCE, .op = NVFS_OP_READ,
	}, save = io;
	struct nvfs_done done[2];

	save.file = out;
	save.op = NVFS_OP_WRITE;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		EXPECT(!ftruncate(out_fd, 0));
		EXPECT(!cu.fill(memory, 0x11, BYTES, stream));
		EXPECT(!nvfs_stream_submit(stream, &io, &done[0]));
		EXPECT(!nvfs_stream_submit(stream, &save, &done[1]));
		EXPECT(!cu.fill(memory, 0x22, BYTES, stream));
		EXPECT(!cu.stream_sync(stream));
		EXPECT(!done[0].error && done[0].res.done == BYTES);
		EXPECT(!done[1].error && done[1].res.done == BYTES);
		EXPECT(pread(out_fd, back, BYTES, 0) == (ssize_t)BYTES);
		EXPECT(!memcmp(back, bytes, BYTES));
	}
	printf("stream: route %s, reason %s\n",
	       nvfs_route_name(done[0].res.route),
	       nvfs_reason_name(done[0].res.reason));
	io.length = 0;
	EXPECT(!nvfs_stream_submit(stream, &io, &done[0]));
	EXPECT(!cu.stream_sync(stream));
	EXPECT(!done[0].error && !done[0].res.done);
}

static void check_capture(void)
{
	struct nvfs_io io = {
		.file = in, .addr = memory, .length = BYTES,
		.flags = NVFS_IO_ALLOW_BOUNCE, .op = NVFS_OP_READ,
	};
	struct nvfs_done done;
	void *graph;

	if (!cu.capture || cu.capture(stream, CAPTURE_RELAXED)) {
		printf("capture: not with this driver\n");
		return;
	}
	EXPECT(nvfs_stream_submit(stream, &io, &done) == -EOPNOTSUPP);
	EXPECT(!cu.capture_end(stream, &graph));
	printf("capture: refused\n");
}

static void end(void)
{
	struct nvfs_stats stats;

	memset(&stats, 0, sizeof(stats));
	EXPECT(!nvfs_stats(nvfs, &stats));
	printf("counted: %llu reads, %llu writes, %llu failed\n",
	       (unsigned long long)stats.read.requests,
	       (unsigned long long)stats.write.requests,
	       (unsigned long long)(stats.read.failed + stats.write.failed));
	EXPECT(!nvfs_file_close(in) && !nvfs_file_close(out));
	EXPECT(!nvfs_close(nvfs));
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: gpu_queues DIRECTORY\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	begin_cuda();
	begin(argv[1]);
	check_queue();
	check_stream();
	check_capture();
	end();
	printf("gpu_queues: passed\n");
	return 0;
}
