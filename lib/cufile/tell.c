// SPDX-License-Identifier: MIT
/* What the log says of requests: why they failed, or were not direct; of calls. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cufile_priv.h"
#include "libnvfs.h"

/* The engine's reasons are two ranges of numbers; all others share a bit. */
#define OWN_BIT		24U
#define OTHER_BIT	31U

static uint32_t bit_of(uint32_t reason)
{
	if (reason < OWN_BIT)
		return 1U << reason;
	if (reason - NVFS_REASON_NO_MODULE < OTHER_BIT - OWN_BIT)
		return 1U << (OWN_BIT + reason - NVFS_REASON_NO_MODULE);
	return 1U << OTHER_BIT;
}

static void tell(enum cf_level level, const struct engine_req *req,
		 const char *what, const char *why, const char *remedy)
{
	cf_log(level, "request", "%s of %llu bytes at %llu, fd %d: %s%s%s%s",
	       req->write ? "write" : "read", (unsigned long long)req->length,
	       (unsigned long long)req->file_offset, req->file->fd, what, why,
	       *remedy ? ". " : "", remedy);
}

static void tell_failure(const struct engine_req *req)
{
	if (req->error == -ECANCELED)
		return;
	if (cf_is_refusal(req))
		tell(CF_LOG_ERROR, req, "can't go direct, as ",
		     nvfs_reason_text(req->reason),
		     nvfs_reason_remedy(req->reason));
	else
		tell(CF_LOG_ERROR, req, "", strerror(-req->error), "");
}

void cf_tell_request(const struct engine_req *req)
{
	struct cf_handle *handle = (struct cf_handle *)req->file;
	uint32_t bit = bit_of(req->reason);

	if (req->error) {
		tell_failure(req);
		return;
	}
	if (!req->reason || req->direct >= req->done ||
	    (atomic_load_explicit(&handle->told, memory_order_relaxed) & bit) ||
	    (atomic_fetch_or(&handle->told, bit) & bit))
		return;
	tell(CF_LOG_INFO, req,
	     req->direct || req->route == NVFS_ROUTE_MIXED ?
	     "went in part through host memory, as " :
	     "went through host memory, as ",
	     nvfs_reason_text(req->reason), nvfs_reason_remedy(req->reason));
}

void cf_tell_call(const char *call, CUfileOpError err, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	cf_log(CF_LOG_ERROR, "call", "%s(): %d, %s: %s", call, err,
	       cufileop_status_error(err), text);
}
