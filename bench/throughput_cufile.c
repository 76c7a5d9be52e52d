// SPDX-License-Identifier: MIT
/* Whatever libcufile.so.0 is installed, or the one that was named. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cufile.h"
#include "throughput.h"

const char *cufile_path;

static const struct bench *bench;
static CUfileHandle_t handle;

static struct {
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
} cf;

static int bind(void *library, const char *name, void *field)
{
	void *address = dlsym(library, name);

	memcpy(field, &address, sizeof(address));
	if (!address)
		fprintf(stderr, "libcufile: no %s\n", name);
	return address ? 0 : -1;
}

static int load(void)
{
	void *library = dlopen(cufile_path ? cufile_path : "libcufile.so.0",
			       RTLD_NOW | RTLD_LOCAL);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return -1;
	}
	return bind(library, "cuFileDriverOpen", &cf.open) |
	       bind(library, "cuFileDriverClose_v2", &cf.close) |
	       bind(library, "cuFileHandleRegister", &cf.handle_add) |
	       bind(library, "cuFileHandleDeregister", &cf.handle_del) |
	       bind(library, "cuFileBufRegister", &cf.buf_add) |
	       bind(library, "cuFileBufDeregister", &cf.buf_del) |
	       bind(library, "cuFileRead", &cf.read) |
	       bind(library, "cuFileWrite", &cf.write) |
	       bind(library, "cuFileBatchIOSetUp", &cf.set_up) |
	       bind(library, "cuFileBatchIOSubmit", &cf.submit) |
	       bind(library, "cuFileBatchIOGetStatus", &cf.status) |
	       bind(library, "cuFileBatchIODestroy", &cf.destroy);
}

static void *buffer(void)
{
	return (void *)(uintptr_t)bench->gpu;
}

static int open_side(const struct bench *on)
{
	CUfileDescr_t descr;
	CUfileError_t ret;

	bench = on;
	if (!cf.open && load())
		return -1;
	ret = cf.open();
	if (ret.err) {
		fprintf(stderr, "cuFileDriverOpen: %d\n", (int)ret.err);
		return -1;
	}
	memset(&descr, 0, sizeof(descr));
	descr.type = CU_FILE_HANDLE_TYPE_OPAQUE_FD;
	descr.handle.fd = bench->fd;
	ret = cf.handle_add(&handle, &descr);
	if (ret.err) {
		fprintf(stderr, "cuFileHandleRegister: %d\n", (int)ret.err);
		cf.close();
		return -1;
	}
	return 0;
}

static void close_side(void)
{
	cf.buf_del(buffer());
	cf.handle_del(handle);
	cf.close();
}

static int enroll(void)
{
	return cf.buf_add(buffer(), bench->bytes, 0).err;
}

static int64_t move(uint64_t offset, uint64_t length, bool write)
{
	return write ? cf.write(handle, buffer(), length, (off_t)offset,
				(off_t)offset) :
		       cf.read(handle, buffer(), length, (off_t)offset,
			       (off_t)offset);
}

static int reap(CUfileBatchHandle_t id)
{
	CUfileIOEvents_t events[BATCH];
	unsigned int done = 0;

	while (done < BATCH) {
		unsigned int nr = BATCH - done;

		if (cf.status(id, nr, &nr, events, NULL).err)
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

static int batch(const uint64_t *offsets, const uint64_t *slots)
{
	static CUfileBatchHandle_t id;
	CUfileIOParams_t params[BATCH];

	/* Clients keep it. */
	if (!id && cf.set_up(&id, BATCH).err)
		return -1;
	memset(params, 0, sizeof(params));
	for (unsigned int i = 0; i < BATCH; i++) {
		params[i].mode = CUFILE_BATCH;
		params[i].u.batch.devPtr_base = buffer();
		params[i].u.batch.file_offset = (off_t)offsets[i];
		params[i].u.batch.devPtr_offset = (off_t)slots[i];
		params[i].u.batch.size = 4096;
		params[i].fh = handle;
		params[i].opcode = CUFILE_READ;
	}
	if (cf.submit(id, BATCH, params, 0).err)
		return -1;
	return reap(id);
}

const struct side side_cufile = {
	.name = "libcufile",
	.open = open_side,
	.close = close_side,
	.enroll = enroll,
	.move = move,
	.batch = batch,
};
