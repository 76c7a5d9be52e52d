// SPDX-License-Identifier: GPL-2.0-only
/* Warns when it is loaded, and does not stay: for the tests of the harness. */
#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/module.h>

static int __init splat_init(void)
{
	WARN(1, "a splat on purpose\n");
	return -ENODEV;
}

module_init(splat_init);

MODULE_DESCRIPTION("A kernel warning on purpose");
MODULE_LICENSE("GPL");
