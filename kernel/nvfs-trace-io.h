/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints of requests; see nvfs-trace.h */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nvfs

#if !defined(_NVFS_TRACE_IO_H) || defined(TRACE_HEADER_MULTI_READ)
#define _NVFS_TRACE_IO_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#include "nvfs-trace-names.h"
#include "nvfs-trace-watch.h"

/*
 * A request, named by @req from its submission to its end.  It may end in
 * another process, or in none.
 *
 * Those that every request passes are fired where nvfs_is_watched() only; they
 * switch that themselves.
 */

/* It begins: its region is known, and it is counted as started */
TRACE_EVENT_FN(nvfs_submit,
	       TP_PROTO(const void *req, u32 region, u64 off, u64 pos, u64 len,
			bool write, bool async),
	       TP_ARGS(req, region, off, pos, len, write, async),
	       TP_STRUCT__entry(__field(const void *, req)
		    __field(u32, region)
		    __field(u64, off)
		    __field(u64, pos)
		    __field(u64, len)
		    __field(bool, write)
		    __field(bool, async)
	       ),
	       TP_fast_assign(__entry->req = req;
		    __entry->region = region;
		    __entry->off = off;
		    __entry->pos = pos;
		    __entry->len = len;
		    __entry->write = write;
		    __entry->async = async;
	       ),
	       TP_printk("req=%p %s region=%u off=%llu pos=%llu len=%llu async=%d",
			 __entry->req, nvfs_trace_way(__entry->write),
			 __entry->region, __entry->off, __entry->pos, __entry->len,
			 __entry->async),
	       nvfs_watch_begin, nvfs_watch_end
);

/* A step of it is given to the file system (direct) or copied (bounce) */
TRACE_EVENT_FN(nvfs_dma,
	       TP_PROTO(const void *req, u64 pos, u64 len, u32 bvecs, u32 route),
	       TP_ARGS(req, pos, len, bvecs, route),
	       TP_STRUCT__entry(__field(const void *, req)
		    __field(u64, pos)
		    __field(u64, len)
		    __field(u32, bvecs)
		    __field(u32, route)
	       ),
	       TP_fast_assign(__entry->req = req;
		    __entry->pos = pos;
		    __entry->len = len;
		    __entry->bvecs = bvecs;
		    __entry->route = route;
	       ),
	       TP_printk("req=%p pos=%llu len=%llu bvecs=%u route=%s", __entry->req,
			 __entry->pos, __entry->len, __entry->bvecs,
			 nvfs_trace_route(__entry->route)),
	       nvfs_watch_begin, nvfs_watch_end
);

/* A step failed for the moment and is made again */
TRACE_EVENT(nvfs_retry,
	    TP_PROTO(const void *req, u64 pos, u64 len, int error, u32 tries),
	    TP_ARGS(req, pos, len, error, tries),
	    TP_STRUCT__entry(__field(const void *, req)
		    __field(u64, pos)
		    __field(u64, len)
		    __field(int, error)
		    __field(u32, tries)
	    ),
	    TP_fast_assign(__entry->req = req;
		    __entry->pos = pos;
		    __entry->len = len;
		    __entry->error = error;
		    __entry->tries = tries;
	    ),
	    TP_printk("req=%p pos=%llu len=%llu error=%d tries=%u", __entry->req,
		      __entry->pos, __entry->len, __entry->error, __entry->tries)
);

/* It has ended, and this is what its owner is told */
TRACE_EVENT_FN(nvfs_complete,
	       TP_PROTO(const void *req, u64 done, int error, u32 route, u32 reason),
	       TP_ARGS(req, done, error, route, reason),
	       TP_STRUCT__entry(__field(const void *, req)
		    __field(u64, done)
		    __field(int, error)
		    __field(u32, route)
		    __field(u32, reason)
	       ),
	       TP_fast_assign(__entry->req = req;
		    __entry->done = done;
		    __entry->error = error;
		    __entry->route = route;
		    __entry->reason = reason;
	       ),
	       TP_printk("req=%p done=%llu error=%d route=%s reason=%s", __entry->req,
			 __entry->done, __entry->error,
			 nvfs_trace_route(__entry->route),
			 nvfs_trace_reason(__entry->reason)),
	       nvfs_watch_begin, nvfs_watch_end
);

#endif /* _NVFS_TRACE_IO_H */

/* Outside of the guard: define_trace.h reads this file again.  Kbuild says its
 * name, TRACE_INCLUDE_FILE, to the one file that makes the tracepoints.
 */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#include <trace/define_trace.h>
