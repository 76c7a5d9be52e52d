/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints, as events of the system "nvfs" in tracefs.  docs/tracing.md says
 * what one can learn from them.  All layers may fire them, so they know none:
 * plain numbers and names only.  A PCI function is domain << 16 | bus << 8 |
 * devfn, as in the uapi.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM nvfs

#if !defined(_NVFS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _NVFS_TRACE_H

#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

#include "nvfs-trace-names.h"

#define NVFS_TRACE_STATE_LEN	24

/* Memory was registered, or could not be */
TRACE_EVENT(nvfs_register,
	    TP_PROTO(u32 region, u64 addr, u64 len, u32 gpu, u32 pieces, int error),
	    TP_ARGS(region, addr, len, gpu, pieces, error),
	    TP_STRUCT__entry(__field(u32, region)
		    __field(u32, gpu)
		    __field(u64, addr)
		    __field(u64, len)
		    __field(u32, pieces)
		    __field(int, error)
	    ),
	    TP_fast_assign(__entry->region = region;
		    __entry->gpu = gpu;
		    __entry->addr = addr;
		    __entry->len = len;
		    __entry->pieces = pieces;
		    __entry->error = error;
	    ),
	    TP_printk("region=%u addr=%#llx len=%llu gpu=%#x pieces=%u error=%d",
		      __entry->region, __entry->addr, __entry->len, __entry->gpu,
		      __entry->pieces, __entry->error)
);

DECLARE_EVENT_CLASS(nvfs_pin_class,
		    TP_PROTO(u64 addr, u64 len, bool persistent, int error),
		    TP_ARGS(addr, len, persistent, error),
		    TP_STRUCT__entry(__field(u64, addr)
			    __field(u64, len)
			    __field(bool, persistent)
			    __field(int, error)
		    ),
		    TP_fast_assign(__entry->addr = addr;
			    __entry->len = len;
			    __entry->persistent = persistent;
			    __entry->error = error;
		    ),
		    TP_printk("addr=%#llx len=%llu persistent=%d error=%d", __entry->addr,
			      __entry->len, __entry->persistent, __entry->error)
);

/* The provider was asked to pin memory, and to take it back */
DEFINE_EVENT(nvfs_pin_class, nvfs_pin,
	     TP_PROTO(u64 addr, u64 len, bool persistent, int error),
	     TP_ARGS(addr, len, persistent, error)
);

DEFINE_EVENT(nvfs_pin_class, nvfs_unpin,
	     TP_PROTO(u64 addr, u64 len, bool persistent, int error),
	     TP_ARGS(addr, len, persistent, error)
);

DECLARE_EVENT_CLASS(nvfs_region_class,
		    TP_PROTO(u32 region, u64 addr, u64 len),
		    TP_ARGS(region, addr, len),
		    TP_STRUCT__entry(__field(u32, region)
			    __field(u64, addr)
			    __field(u64, len)
		    ),
		    TP_fast_assign(__entry->region = region;
			    __entry->addr = addr;
			    __entry->len = len;
		    ),
		    TP_printk("region=%u addr=%#llx len=%llu", __entry->region,
			      __entry->addr, __entry->len)
);

/* The owner frees memory that is registered: the callback begins */
DEFINE_EVENT(nvfs_region_class, nvfs_revoke,
	     TP_PROTO(u32 region, u64 addr, u64 len),
	     TP_ARGS(region, addr, len)
);

/* A region takes no more requests; the last ones are waited for */
DEFINE_EVENT(nvfs_region_class, nvfs_drain,
	     TP_PROTO(u32 region, u64 addr, u64 len),
	     TP_ARGS(region, addr, len)
);

/* The last request has ended: nothing uses the memory */
DEFINE_EVENT(nvfs_region_class, nvfs_drained,
	     TP_PROTO(u32 region, u64 addr, u64 len),
	     TP_ARGS(region, addr, len)
);

/* The way between a GPU and a drive was judged; what is remembered is not */
TRACE_EVENT(nvfs_route,
	    TP_PROTO(u32 gpu, u32 drive, u32 reason, int distance, bool host),
	    TP_ARGS(gpu, drive, reason, distance, host),
	    TP_STRUCT__entry(__field(u32, gpu)
		    __field(u32, drive)
		    __field(u32, reason)
		    __field(int, distance)
		    __field(bool, host)
	    ),
	    TP_fast_assign(__entry->gpu = gpu;
		    __entry->drive = drive;
		    __entry->reason = reason;
		    __entry->distance = distance;
		    __entry->host = host;
	    ),
	    TP_printk("gpu=%#x drive=%#x reason=%s distance=%d through_host=%d",
		      __entry->gpu, __entry->drive,
		      nvfs_trace_reason(__entry->reason), __entry->distance,
		      __entry->host)
);

/* A transition that the table of states does not allow; it was not made */
TRACE_EVENT(nvfs_state_refused,
	    TP_PROTO(const char *what, const char *from, const char *to),
	    TP_ARGS(what, from, to),
	    TP_STRUCT__entry(__array(char, what, NVFS_TRACE_STATE_LEN)
		    __array(char, from, NVFS_TRACE_STATE_LEN)
		    __array(char, to, NVFS_TRACE_STATE_LEN)
	    ),
	    TP_fast_assign(strscpy(__entry->what, what, NVFS_TRACE_STATE_LEN);
		    strscpy(__entry->from, from, NVFS_TRACE_STATE_LEN);
		    strscpy(__entry->to, to, NVFS_TRACE_STATE_LEN);
	    ),
	    TP_printk("%s from=%s to=%s", __entry->what, __entry->from,
		      __entry->to)
);

#endif /* _NVFS_TRACE_H */

/* Outside of the guard: define_trace.h reads this file again.  Kbuild says its
 * name, TRACE_INCLUDE_FILE, to the one file that makes the tracepoints.
 */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#include <trace/define_trace.h>
