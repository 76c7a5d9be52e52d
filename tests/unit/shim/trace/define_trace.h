/* SPDX-License-Identifier: MIT */
/* The kernel's makes tracepoints; the shim has none to make. */
