// SPDX-License-Identifier: MIT
/*
 * Reads that a GPU makes from the page cache itself, on a real one:
 *
 *	gpu_pins LIBRARY DIRECTORY
 *
 * LIBRARY: our libcufile.so.0.  What the file has is changed in all ways that leave the
 * GPU with pages that are not the file's any more.  Prints a line for each thing that
 * was looked at.  Status 0, also where nothing is pinned; 1 with the first that is wrong;
 * 77 if there is no GPU.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cufile.h"
#include "gpu_client.h"

#define MIB	((size_t)1 << 20)
#define BYTES	(48 * MIB + 12345)
#define BLOCK	(16 * MIB)
/* What the race is about. */
#define RACE	(2 * MIB)
#define SECONDS	3

static struct {
	int (*init)(unsigned int flags);
	int (*device)(int *device, int index);
	int (*retain)(void **ctx, int device);
	int (*set_current)(void *ctx);
	int (*alloc)(uint64_t *addr, size_t length);
	int (*fill)(uint64_t addr, unsigned char byte, size_t length);
	int (*copy_out)(void *host, uint64_t addr, size_t length);
	CUfileError_t (*open)(void);
	CUfileError_t (*add)(CUfileHandle_t *handle, CUfileDescr_t *descr);
	void (*del)(CUfileHandle_t handle);
	ssize_t (*read)(CUfileHandle_t handle, void *addr, size_t length,
			off_t offset, off_t at);
} cu;

static char path[4096];
static int fd;
static CUfileHandle_t handle;
static uint64_t memory;
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
	find(library, "cuMemAlloc_v2", &cu.alloc);
	find(library, "cuMemsetD8_v2", &cu.fill);
	find(library, "cuMemcpyDtoH_v2", &cu.copy_out);
	if (cu.init(0) || cu.device(&device, 0))
		exit(77);
	EXPECT(!cu.retain(&ctx, device) && !cu.set_current(ctx));
	EXPECT(!cu.alloc(&memory, BYTES));
}

static void begin_file(const char *library, const char *dir)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	void *it = dlopen(library, RTLD_NOW);

	EXPECT(it);
	find(it, "cuFileDriverOpen", &cu.open);
	find(it, "cuFileHandleRegister", &cu.add);
	find(it, "cuFileHandleDeregister", &cu.del);
	find(it, "cuFileRead", &cu.read);
	snprintf(path, sizeof(path), "%s/gpu-pins.dat", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	EXPECT(fd >= 0);
	bytes = aligned_alloc(4096, BYTES / 4096 * 4096 + 4096);
	back = malloc(BYTES);
	EXPECT(bytes && back);
	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (unsigned char)(i * 31 + (i >> 12));
	EXPECT(write(fd, bytes, BYTES) == (ssize_t)BYTES);
	EXPECT(!fsync(fd));
	descr.handle.fd = fd;
	EXPECT(cu.open().err == CU_FILE_SUCCESS);
	EXPECT(cu.add(&handle, &descr).err == CU_FILE_SUCCESS);
}

static void check(size_t offset, size_t length, size_t at)
{
	EXPECT(!cu.fill(memory + at, 0x5a, length));
	EXPECT(cu.read(handle, (void *)(uintptr_t)memory, length,
		       (off_t)offset, (off_t)at) == (ssize_t)length);
	EXPECT(!cu.copy_out(back, memory + at, length));
	EXPECT(!memcmp(back, bytes + offset, length));
}

static void check_all(void)
{
	static const size_t lengths[] = {
		4096, 20000, 65536, 65537, 300001, MIB, 7 * MIB, 40 * MIB,
	};

	for (unsigned int i = 0; i < 8 * 6; i++) {
		size_t most = BYTES - lengths[i % 8];

		check(i < 8 ? 0 : i < 16 ? most : most / (i / 8 + 1) / 16 * 16,
		      lengths[i % 8], i % 16 * 4096 % (BYTES - lengths[i % 8]));
	}
}

/* Mappings of the file: two for each block. */
static unsigned int count_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned int nr = 0;
	char line[5000];

	EXPECT(maps);
	while (fgets(line, sizeof(line), maps))
		nr += strstr(line, "gpu-pins.dat") != NULL;
	fclose(maps);
	return nr;
}

/* All of it, or what can be. */
static unsigned int pin(void)
{
	for (unsigned int i = 0; i < 40; i++) {
		check(0, BYTES, 0);
		if (count_maps() >= 2 * (BYTES / BLOCK + 1))
			break;
		usleep(5000);
	}
	return count_maps() / 2;
}

static void put(size_t offset, size_t length, unsigned int with)
{
	memset(bytes + offset, (int)with, length);
	EXPECT(pwrite(fd, bytes + offset, length, (off_t)offset) ==
	       (ssize_t)length);
}

static void put_direct(size_t offset, size_t length, unsigned int with)
{
	int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);

	memset(bytes + offset, (int)with, length);
	EXPECT(direct >= 0);
	EXPECT(pwrite(direct, bytes + offset, length, (off_t)offset) ==
	       (ssize_t)length);
	close(direct);
}

static void change(unsigned int way)
{
	switch (way) {
	case 0:
		put(5 * MIB, 3 * MIB, 1);
		break;
	case 1:
		EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, 3 * MIB, MIB));
		memset(bytes + 3 * MIB, 0, MIB);
		break;
	case 2:
		EXPECT(!ftruncate(fd, 20 * MIB) && !ftruncate(fd, BYTES));
		put(20 * MIB, BYTES - 20 * MIB, 2);
		break;
	case 3:
		put_direct(17 * MIB, 2 * MIB, 3);
		break;
	case 4:
		EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE, MIB, 65536));
		put(MIB, 65536, 4);
		break;
	case 5:
		EXPECT(!fallocate(fd, FALLOC_FL_ZERO_RANGE, 40 * MIB, MIB));
		memset(bytes + 40 * MIB, 0, MIB);
		break;
	}
}

static void check_changes(void)
{
	for (unsigned int way = 0; way < 6; way++) {
		unsigned int nr = pin();

		change(way);
		/* The smallest first: what is found lost is given up. */
		check(MIB, 4096, 0);
		check(17 * MIB, 65536, 0);
		check_all();
		printf("change %u: right, of %u blocks\n", way, nr);
	}
}

/* What is in the file, at least, and at most. */
static _Atomic unsigned int done, begun;
static _Atomic int over;

static void *write_on(void *arg)
{
	unsigned int *page = aligned_alloc(4096, RACE);

	EXPECT(page);
	for (unsigned int n = 1; !over; n++) {
		for (size_t i = 0; i < RACE / sizeof(*page); i++)
			page[i] = n;
		begun = n;
		if (n % 4)
			EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE |
					  FALLOC_FL_KEEP_SIZE, 0, RACE));
		EXPECT(pwrite(fd, page, RACE, 0) == (ssize_t)RACE);
		done = n;
		/* So that blocks come back between. */
		usleep(n % 16 ? 100 : 20000);
	}
	free(page);
	return arg;
}

static unsigned long race(size_t length, unsigned int rounds)
{
	unsigned long nr = 0;

	for (unsigned int i = 0; i < rounds; i++, nr++) {
		unsigned int least = done, most;
		size_t offset = i % (RACE / length) * length;

		EXPECT(cu.read(handle, (void *)(uintptr_t)memory, length,
			       (off_t)offset, 0) == (ssize_t)length);
		most = begun;
		EXPECT(!cu.copy_out(back, memory, length));
		for (size_t at = 0; at < length; at += 512) {
			unsigned int is;

			memcpy(&is, back + at, sizeof(is));
			/* A hole only while somebody is at it. */
			EXPECT(is ? is >= least && is <= most : most > least);
		}
	}
	return nr;
}

static void check_race(void)
{
	unsigned long nr = 0;
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, write_on, NULL));
	while (!done)
		usleep(100);
	for (unsigned int i = 0; i < 60 * SECONDS; i++) {
		nr += race(65536, 40);
		nr += race(4096, 10);
		nr += race(MIB, 20);
		check(20 * MIB, 20 * MIB, 0);
	}
	over = 1;
	pthread_join(thread, NULL);
	printf("race: %lu reads of %u states\n", nr, done);
}

int main(int argc, char **argv)
{
	unsigned int nr;

	if (argc != 3) {
		fprintf(stderr, "usage: gpu_pins LIBRARY DIRECTORY\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	begin_cuda();
	begin_file(argv[1], argv[2]);
	nr = pin();
	check_all();
	check_changes();
	check_race();
	cu.del(handle);
	EXPECT(!count_maps());
	unlink(path);
	printf("gpu_pins: passed, %u blocks were pinned\n", nr);
	return 0;
}
