// SPDX-License-Identifier: MIT
/* One libcufile.so.0: ours, or the one that is installed. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cufile.h"
#include "throughput.h"

struct side {
	const char *name;
	const char *path;
	const struct bench *bench;
	CUfileHandle_t handle;
	CUfileBatchHandle_t id;

	CUfileError_t (*open)(void);
	CUfileError_t (*close)(void);
	CUfileError_t (*handle_add)(CUfileHandle_t *fh, CUfileDescr_t *descr);
	void (*handle_del)(CUfileHandle_t fh);
	CUfileError_t (*buf_add)(const void *base, size_t length, int flags);
	CUfileError_t (*buf_del)(const void *base);
	ssize_t (*read)(CUfileHandle_t fh, void *base, size_t size,
			off_t file_offset, off_t offset);
	ssize_t (*write)(CUfileHandle_t fh, const void *base, size_t size,
			 off_t file_offset, off_t offset);
	CUfileError_t (*set_up)(CUfileBatchHandle_t *id, unsigned int nr);
	CUfileError_t (*submit)(CUfileBatchHandle_t id, unsigned int nr,
				CUfileIOParams_t *params, unsigned int flags);
	CUfileError_t (*status)(CUfileBatchHandle_t id, unsigned int min_nr,
				unsigned int *nr, CUfileIOEvents_t *events,
				struct timespec *timeout);
	void (*destroy)(CUfileBatchHandle_t id);
};

static int find(void *library, const char *name, void *field)
{
	void *address = dlsym(library, name);

	memcpy(field, &address, sizeof(address));
	if (!address)
		fprintf(stderr, "libcufile: no %s\n", name);
	return address ? 0 : -1;
}

static int load(struct side *side)
{
	void *library = dlopen(side->path, RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	return find(library, "cuFileDriverOpen", &side->open) |
	       find(library, "cuFileDriverClose_v2", &side->close) |
	       find(library, "cuFileHandleRegister", &side->handle_add) |
	       find(library, "cuFileHandleDeregister", &side->handle_del) |
	       find(library, "cuFileBufRegister", &side->buf_add) |
	       find(library, "cuFileBufDeregister", &side->buf_del) |
	       find(library, "cuFileRead", &side->read) |
	       find(library, "cuFileWrite", &side->write) |
	       find(library, "cuFileBatchIOSetUp", &side->set_up) |
	       find(library, "cuFileBatchIOSubmit", &side->submit) |
	       find(library, "cuFileBatchIOGetStatus", &side->status) |
	       find(library, "cuFileBatchIODestroy", &side->destroy);
}

static void *buffer(const struct side *side)
{
	return (void *)(uintptr_t)side->bench->gpu;
}

int side_open(struct side *side)
{
	CUfileDescr_t descr;
	CUfileError_t ret;

	ret = side->open();
	if (ret.err) {
		fprintf(stderr, "cuFileDriverOpen: %d\n", (int)ret.err);
		return -1;
	}
	memset(&descr, 0, sizeof(descr));
	descr.type = CU_FILE_HANDLE_TYPE_OPAQUE_FD;
	descr.handle.fd = side->bench->fd;
	ret = side->handle_add(&side->handle, &descr);
	if (ret.err) {
		fprintf(stderr, "cuFileHandleRegister: %d\n", (int)ret.err);
		side->close();
		return -1;
	}
	return 0;
}

void side_close(struct side *side)
{
	if (side->id)
		side->destroy(side->id);
	side->id = NULL;
	side->buf_del(buffer(side));
	side->handle_del(side->handle);
	side->close();
}

int side_enroll(struct side *side)
{
	return side->buf_add(buffer(side), side->bench->bytes, 0).err;
}

int64_t side_move(struct side *side, uint64_t offset, uint64_t length,
		  bool write)
{
	return write ? side->write(side->handle, buffer(side), length, (off_t)offset,
				(off_t)offset) :
		       side->read(side->handle, buffer(side), length, (off_t)offset,
			       (off_t)offset);
}

static int reap(struct side *side)
{
	CUfileIOEvents_t events[BATCH];
	unsigned int done = 0;

	while (done < BATCH) {
		unsigned int nr = BATCH - done;

		if (side->status(side->id, nr, &nr, events, NULL).err)
			return -1;
		for (unsigned int i = 0; i < nr; i++) {
			if (events[i].status != CUFILE_COMPLETE ||
			    events[i].ret != 4096)
				return -1;
		}
		done += nr;
	}
	return 0;
}

int side_batch(struct side *side, const uint64_t *offsets,
	       const uint64_t *slots)
{
	CUfileIOParams_t params[BATCH];

	/* Clients keep it. */
	if (!side->id && side->set_up(&side->id, BATCH).err)
		return -1;
	memset(params, 0, sizeof(params));
	for (unsigned int i = 0; i < BATCH; i++) {
		params[i].mode = CUFILE_BATCH;
		params[i].u.batch.devPtr_base = buffer(side);
		params[i].u.batch.file_offset = (off_t)offsets[i];
		params[i].u.batch.devPtr_offset = (off_t)slots[i];
		params[i].u.batch.size = 4096;
		params[i].fh = side->handle;
		params[i].opcode = CUFILE_READ;
	}
	if (side->submit(side->id, BATCH, params, 0).err)
		return -1;
	return reap(side);
}

const char *side_name(const struct side *side)
{
	return side->name;
}

bool side_is_same(const struct side *side, const struct side *other)
{
	return side->read == other->read;
}

struct side *side_make(const char *name, const char *path,
		       const struct bench *bench)
{
	struct side *side = calloc(1, sizeof(*side));

	if (!side)
		return NULL;
	side->name = name;
	side->path = path;
	side->bench = bench;
	if (!load(side))
		return side;
	free(side);
	return NULL;
}
