/* SPDX-License-Identifier: MIT */
/* Requests that have ended, counted for nvfs_stats(). */
#ifndef LIBNVFS_ACCOUNT_H
#define LIBNVFS_ACCOUNT_H

#include <stdbool.h>

#include "libnvfs.h"

struct account;

/* All zero; NULL: no memory.  Ended by free(). */
struct account *account_new(void);

/*
 * One more request.  @error: 0 or why it failed.  Takes no lock, and threads
 * that count at the same time rarely share a cache line.
 */
void account_add(struct account *account, bool write,
		 const struct nvfs_result *res, int error);

#endif /* LIBNVFS_ACCOUNT_H */
