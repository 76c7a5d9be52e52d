/* SPDX-License-Identifier: MIT */
/* Requests that a stream is to begin. */
#ifndef LIBNVFS_ENGINE_BOUND_H
#define LIBNVFS_ENGINE_BOUND_H

#include "engine.h"
#include "internal.h"

/* As engine_await(). */
void bound_await(const struct gpu_driver *driver, struct engine_req *req);
/*
 * @lost: ends one that is given up, as its GPU was reset or has failed.  Asks
 * the driver only when some are awaited.
 */
void bound_look(void (*lost)(struct engine_req *req));
/* Code for streams was brought to the GPU. */
void bound_see_code(const struct gpu_driver *driver, unsigned int gpu);
/* No request is awaited, and no code is there any more. */
void bound_close(void);

#endif /* LIBNVFS_ENGINE_BOUND_H */
