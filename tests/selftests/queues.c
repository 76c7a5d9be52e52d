// SPDX-License-Identifier: MIT
/*
 * libnvfs' queues and requests in streams (libnvfs_async.h), with the module and
 * without it.  The program is the one for real GPUs; it looks at the bytes.
 */
#include "fix.h"

#include <errno.h>
#include <string.h>

static char out[4096];

static void run_in(const char *dir)
{
	int status = shell(out, sizeof(out),
			   "LD_LIBRARY_PATH=%s/build/lab %s/build/clients/gpu_queues %s 2>&1",
			   top_dir(), top_dir(), dir);

	if (status)
		FAIL("gpu_queues %s: exit %d: %s", dir, status, out);
	ASSERT_CONTAINS(out, "counted: 85 reads, 20 writes, 0 failed\n");
}

TEST_LIMIT(what_can_go_direct_does, 120)
{
	run_in(fix_place("ext4"));
	ASSERT_CONTAINS(out, "queue: route direct, reason none\n");
	ASSERT_CONTAINS(out, "stream: route direct, reason none\n");
}

TEST_LIMIT(what_can_not_says_why, 120)
{
	run_in(fix_place("tmpfs"));
	ASSERT_CONTAINS(out, "queue: route bounce, reason no-bdev\n");
	ASSERT_CONTAINS(out, "stream: route bounce, reason no-bdev\n");
}

TEST_LIMIT(without_the_module_all_go_through_host_memory, 120)
{
	if (module_unload("nvfs"))
		FAIL("unload nvfs: %s", strerror(errno));
	run_in(fix_place("ext4"));
	ASSERT_CONTAINS(out, "queue: route bounce, reason no-module\n");
	ASSERT_CONTAINS(out, "stream: route bounce, reason no-module\n");
	module_load("nvfs", "");
}
