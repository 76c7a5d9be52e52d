// SPDX-License-Identifier: MIT
/* What the GPUs are, and by which way bytes may go to them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cufile_priv.h"
#include "libnvfs.h"

#define P2PDMA_MASK	(1U << CUFILE_P2PDMA)

static CUfileOpError bar_size(uint32_t bdf, size_t *kib)
{
	*kib = gpu_bar_bytes(bdf) / KIB;
	return *kib ? CU_FILE_SUCCESS : CU_FILE_INTERNAL_ERROR;
}

CF_API CUfileError_t cuFileGetBARSizeInKB(int gpuIndex, size_t *barSize)
{
	struct nvfs_gpu gpu;
	CUfileOpError err;

	if (!barSize)
		return cf_error(CU_FILE_INVALID_VALUE);
	err = cf_enter();
	if (err)
		return cf_error(err);
	if (gpuIndex < 0 ||
	    nvfs_gpu_get(engine_nvfs(), (unsigned int)gpuIndex, &gpu))
		err = CU_FILE_DEVICE_NOT_FOUND;
	else
		err = bar_size(gpu.bdf, barSize);
	cf_leave();
	return cf_error(err);
}

/* These read the configuration, after which it can't be changed. */
static CUfileOpError check_flags(CUfileDriverStatusFlags_t fs)
{
	CUfileOpError err;

	if ((unsigned int)fs >= CU_FILE_MAX_TARGET_TYPES)
		return CU_FILE_INVALID_VALUE;
	if (cf_forked())
		return CU_FILE_DRIVER_NOT_INITIALIZED;
	cf_lock();
	err = cf_config_load();
	cf_unlock();
	return err;
}

/* What was chosen; direct transfers are made wherever they can be all the same. */
static _Atomic unsigned int chosen[CU_FILE_MAX_TARGET_TYPES];

void cf_p2p_reset(void)
{
	for (int i = 0; i < CU_FILE_MAX_TARGET_TYPES; i++)
		atomic_store(&chosen[i], 0);
}

/* While the library is closed, too. */
static bool direct_is_there(void)
{
	struct nvfs *nvfs;
	bool there;

	if (!cf_enter()) {
		there = !nvfs_module_error(engine_nvfs());
		cf_leave();
		return there;
	}
	if (nvfs_open(0, &nvfs))
		return false;
	nvfs_close(nvfs);
	return true;
}

CF_API CUfileError_t cuFileDriverSetP2PFlags(CUfileDriverStatusFlags_t fs,
					     CUfileP2PFlags_t flags)
{
	CUfileOpError err = check_flags(fs);

	if (!err && flags && ((unsigned int)flags != P2PDMA_MASK ||
			      !direct_is_there()))
		err = CU_FILE_INVALID_VALUE;
	/* 0 changes nothing. */
	if (!err && flags)
		atomic_store(&chosen[fs], (unsigned int)flags);
	return cf_error(err);
}

CF_API CUfileError_t cuFileDriverGetP2PFlags(CUfileDriverStatusFlags_t fs,
					     CUfileP2PFlags_t *flags)
{
	CUfileOpError err = check_flags(fs);

	if (!err && !flags)
		err = CU_FILE_INVALID_VALUE;
	if (!err)
		*flags = (CUfileP2PFlags_t)atomic_load(&chosen[fs]);
	return cf_error(err);
}

static int print_gpus(FILE *file)
{
	struct nvfs_gpu gpu;
	char bdf[24] = "";
	int nr = nvfs_gpu_count(engine_nvfs());

	if (nr <= 0)
		return fputs("null\n", file);
	for (int i = 0; i < nr; i++) {
		size_t kib = 0;

		if (nvfs_gpu_get(engine_nvfs(), (unsigned int)i, &gpu))
			continue;
		nvfs_bdf_format(gpu.bdf, bdf, sizeof(bdf));
		bar_size(gpu.bdf, &kib);
		fprintf(file, "%s\n\t{ \"gpu\": %d, \"pci\": \"%s\", \"bar_kb\": %zu }",
			i ? "," : "[", i, bdf, kib);
	}
	return fputs("\n]\n", file);
}

CF_API CUfileError_t cuFileExportPCIeTopology(const char *filename)
{
	CUfileError_t ret;
	FILE *file;
	int bad;

	if (!filename || !*filename)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_enter_open();
	if (ret.err)
		return ret;
	file = fopen(filename, "we");
	if (file) {
		fputs("// Topology file for cuFile.\n", file);
		bad = print_gpus(file) < 0;
		bad |= ferror(file);
		bad |= fclose(file);
		if (bad)
			ret.err = CU_FILE_IO_ERROR;
	} else {
		ret.err = errno == EACCES || errno == EPERM || errno == EROFS ?
			  CU_FILE_PERMISSION_DENIED : CU_FILE_IO_ERROR;
	}
	cf_leave();
	return ret;
}
