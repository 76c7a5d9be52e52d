/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is counted for each GPU, each drive and each process:
 * NVFS_USER_COUNTER(name).  Included wherever something is made of each counter,
 * so there is no guard.  All of them only grow.
 */
NVFS_USER_COUNTER(read_requests)
NVFS_USER_COUNTER(read_bytes)
NVFS_USER_COUNTER(read_direct_bytes)
NVFS_USER_COUNTER(write_requests)
NVFS_USER_COUNTER(write_bytes)
NVFS_USER_COUNTER(write_direct_bytes)
NVFS_USER_COUNTER(errors)
NVFS_USER_COUNTER(refused)
