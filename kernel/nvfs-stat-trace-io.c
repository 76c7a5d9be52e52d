// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes the tracepoints of nvfs-trace-io.h; all others fire them.
 */
#define CREATE_TRACE_POINTS
#include "nvfs-trace-io.h"
