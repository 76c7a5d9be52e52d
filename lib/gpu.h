/* SPDX-License-Identifier: MIT */
/*
 * The only way to a GPU: a table of what the library needs from the vendor's
 * driver library.  gpu_cuda.c fills it for NVIDIA; another vendor's file, or a
 * test's fake, stands beside it.
 */
#ifndef LIBNVFS_GPU_H
#define LIBNVFS_GPU_H

#include <stdint.h>

struct nvfs_gpu;

/**
 * struct gpu_driver - one vendor's driver
 * @name: for people
 * @init: load and start it.  Called once at a time; a failure may be followed
 *	by another try.  -ENOSYS: this vendor's library is not installed
 * @exit: give back what the driver holds for this process, after the last user
 * @count: number of GPUs or a negative errno value
 * @describe: fill in @gpu; its index is set already
 * @alloc: GPU memory, at any alignment (nvfs_buf_alloc() corrects it)
 * @free: the reverse, with what @alloc gave
 * @copy_in: host to GPU; the bytes are there on return
 * @copy_out: GPU to host
 * @expose: tell the driver that another device will reach this memory, so
 *	that its own work on it stays ordered with that; may be NULL
 *
 * All but @init and @exit may be called by several threads at once, and leave
 * the calling thread's own GPU state as it was.  All return 0 or a negative
 * errno value.
 */
struct gpu_driver {
	const char *name;
	int (*init)(void);
	void (*exit)(void);
	int (*count)(void);
	int (*describe)(unsigned int index, struct nvfs_gpu *gpu);
	int (*alloc)(unsigned int index, uint64_t length, uint64_t *addr);
	int (*free)(unsigned int index, uint64_t addr);
	int (*copy_in)(unsigned int index, uint64_t dst, const void *src,
		       uint64_t length);
	int (*copy_out)(unsigned int index, void *dst, uint64_t src,
			uint64_t length);
	int (*expose)(unsigned int index, uint64_t addr);
};

extern const struct gpu_driver gpu_cuda;

/* For tests: use only this one; NULL restores the built-in list. */
void gpu_set_driver(const struct gpu_driver *driver);

/*
 * Get the driver, loading it for the first user; each success is owed one
 * gpu_put().  -ENOSYS: no vendor's library could be loaded.
 */
int gpu_get(const struct gpu_driver **driver);
void gpu_put(void);

#endif /* LIBNVFS_GPU_H */
