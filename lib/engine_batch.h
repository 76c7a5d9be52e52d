/* SPDX-License-Identifier: MIT */
/*
 * Requests that the module does by itself.  All of the engine's go into one of
 * its batches: submitted many at a time, waited for by one thread.
 */
#ifndef LIBNVFS_ENGINE_BATCH_H
#define LIBNVFS_ENGINE_BATCH_H

#include <stdbool.h>

#include "engine.h"
#include "internal.h"

/**
 * struct batch_ops - what becomes of requests
 * @ended: the module is done with a request, or did not take it: what
 *	@event says of it.  EBUSY: the call failed, not the request.  May end
 *	or free the request, or return true to have it put aside.
 * @aside: the requests that were put aside, by priv.next, all at once
 *
 * Called by the thread that submits or by the one that waits.
 */
struct batch_ops {
	bool (*ended)(struct engine_req *req, const struct nvfs_event *event);
	void (*aside)(struct engine_req *list);
};

/* Asks nothing of the module, and starts no thread. */
void batch_open(struct nvfs *nvfs, const struct batch_ops *ops);
/* Waits until no request is left and nobody holds it. */
void batch_close(void);
/* Somebody is about to submit. */
void batch_hold(void);
void batch_drop(void);

/**
 * batch_submit() - start requests; does not wait
 * @list: by priv.next; priv.state is REQ_WAITING, priv.region and priv.offset
 *	say where in which region of the module the bytes are
 *
 * Returns 0, and each will be told of once, or an error with nothing done:
 * -EAGAIN (no thread), -ENOTCONN (closing), or what the module said.
 *
 * Requests that are in the module when nobody can ask it any more, say because its
 * file was closed, are told of with EIO.
 */
int batch_submit(struct engine_req *list);

/* Ask the module to end a request early, if it has it. */
void batch_cancel(const struct engine_req *req);

#endif /* LIBNVFS_ENGINE_BATCH_H */
