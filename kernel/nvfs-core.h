/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _NVFS_CORE_H
#define _NVFS_CORE_H

#define DEVICE_NAME	"nvidia-fs"
#define CLASS_NAME	"nvidia-fs-class"

#endif /* _NVFS_CORE_H */
