/* SPDX-License-Identifier: MIT */
/* gpu_cuda_carry_code.c: text in PTX, with one kernel of that name. */
#ifndef LIBNVFS_GPU_CUDA_CARRY_H
#define LIBNVFS_GPU_CUDA_CARRY_H

#define GPU_CUDA_CARRY_NAME	"nvfs_carry"
/* Of a block; and how many bytes they move in one go. */
#define GPU_CUDA_CARRY_THREADS	256U
#define GPU_CUDA_CARRY_SHARE	32768U

extern const char gpu_cuda_carry_code[];

/*
 * gpu_cuda_carry.c: have the code made, once; by the thread that makes the
 * pump's, before that says that it is done.
 */
void gpu_cuda_carry_make(void);

#endif /* LIBNVFS_GPU_CUDA_CARRY_H */
