/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of the uapi in words, for the text of tracepoints */
#ifndef _NVFS_TRACE_NAMES_H
#define _NVFS_TRACE_NAMES_H

#define nvfs_trace_route(route)						\
	__print_symbolic(route, { 0, "none" }, { 1, "direct" },		\
			 { 2, "bounce" }, { 3, "mixed" })

#define nvfs_trace_way(write)						\
	__print_symbolic(write, { 0, "read" }, { 1, "write" })

/* enum nvfs_reason; the words are those of the library */
#define nvfs_trace_reason(reason)					\
	__print_symbolic(reason, { 0, "none" }, { 1, "no-pages" },	\
			 { 2, "no-dio" }, { 3, "fs-cpu" },		\
			 { 4, "no-bdev" }, { 5, "stacked" },		\
			 { 6, "not-pci" }, { 7, "queue" },		\
			 { 8, "integrity" }, { 9, "host-bridge" },	\
			 { 10, "iommu" }, { 11, "align" },		\
			 { 12, "fs-buffered" }, { 13, "refused" })

#endif /* _NVFS_TRACE_NAMES_H */
