/* SPDX-License-Identifier: MIT */
/* Code of ours on NVIDIA's GPUs: what the pump and streams need alike. */
#ifndef LIBNVFS_GPU_CUDA_CODE_H
#define LIBNVFS_GPU_CUDA_CODE_H

#include <stdbool.h>
#include <stdint.h>

struct gpu_range;

#define CU_NOT_READY		600
#define STREAM_NON_BLOCKING	1U
/* What is mapped by itself is a multiple of it. */
#define GPU_CUDA_MAPPED_UNIT	65536U

/**
 * struct gpu_cuda_code - a kernel of ours in a GPU's primary context
 * @ctx: may come to mean another context, @ctx_id does not
 */
struct gpu_cuda_code {
	unsigned int index;
	void *ctx;
	uint64_t ctx_id;
	void *function;
};

/*
 * @symbol: finds a function of the driver's library, or NULL.  False: one that
 * this file needs is missing, and nothing else here may be called.
 */
bool gpu_cuda_bind_code(void *(*symbol)(const char *name));

/*
 * Translate @text, which has a kernel @name.  That belongs to no context, and
 * stays until the process ends.  Returns NULL when it can't be done.
 */
void *gpu_cuda_code_make(const char *text, const char *name);

/*
 * Bring a kernel to the GPU, with @code->index set and entered.  Waits for all
 * that the GPU does.  Returns what the driver said.
 */
int gpu_cuda_code_bring(struct gpu_cuda_code *code, void *kernel);

/* False: the application has reset the GPU since. */
bool gpu_cuda_code_alive(const struct gpu_cuda_code *code);

/*
 * Is the byte at @addr memory of the GPU that code on it may read and write?  The
 * GPU is entered.  Then @range is what the driver has as one, and @whole says
 * that all of it is one allocation; otherwise it may be mapped in part.  False:
 * both are left as they were.
 */
bool gpu_cuda_code_reaches(unsigned int index, uint64_t addr,
			   struct gpu_range *range, bool *whole);

/*
 * The byte at @addr is mapped: up to where is all else, at least?  Where the
 * driver does not tell, the next GPU_CUDA_MAPPED_UNIT.
 */
uint64_t gpu_cuda_code_mapped(uint64_t addr);

/*
 * Text that begins every kernel's; and a thread's n-th 16 bytes, if there are so
 * many: %i + @at is their number, @bytes how far they are from the first.
 */
#define GPU_CUDA_HEAD							\
	".version 6.4\n"						\
	".target sm_70\n"						\
	".address_size 64\n"
#define GPU_CUDA_LOAD(n, at, bytes)					\
	" add.u64 %x, %i, " #at ";\n"					\
	" setp.lt.u64 %in" #n ", %x, %units;\n"				\
	" @%in" #n " ld.relaxed.sys.global.v4.u32 "			\
	"{%a" #n ", %b" #n ", %c" #n ", %d" #n "}, [%src+" #bytes "];\n"
#define GPU_CUDA_STORE(n, bytes)					\
	" @%in" #n " st.global.v4.u32 [%dst+" #bytes "], "		\
	"{%a" #n ", %b" #n ", %c" #n ", %d" #n "};\n"

#endif /* LIBNVFS_GPU_CUDA_CODE_H */
