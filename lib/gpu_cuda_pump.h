/* SPDX-License-Identifier: MIT */
/* gpu_cuda_pump_code.c: text in PTX, with one kernel of that name. */
#ifndef LIBNVFS_GPU_CUDA_PUMP_H
#define LIBNVFS_GPU_CUDA_PUMP_H

#define GPU_CUDA_PUMP_NAME	"nvfs_pump"

extern const char gpu_cuda_pump_code[];

#endif /* LIBNVFS_GPU_CUDA_PUMP_H */
