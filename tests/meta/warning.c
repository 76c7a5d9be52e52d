// SPDX-License-Identifier: MIT
/* Lines in the kernel log that no test may cause, written by hand. */
#include "fix.h"

#include <fcntl.h>
#include <unistd.h>

static void log_line(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

TEST(warning_line)
{
	log_line("<4>WARNING: CPU: 1 PID: 77 at kernel/fake.c:1 fake+0x0/0x0");
}

TEST(kasan_line)
{
	log_line("<3>BUG: KASAN: use-after-free in fake+0x0/0x0");
}

TEST(lockdep_line)
{
	log_line("<4>WARNING: possible circular locking dependency detected");
}

TEST(hung_task_line)
{
	log_line("<3>INFO: task fake:77 blocked for more than 120 seconds.");
}

TEST(rcu_stall_line)
{
	log_line("<3>rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:");
}

TEST(error_line_of_the_module)
{
	log_line("<3>nvfs: something is wrong");
}

TEST(allowed_line_passes)
{
	harness_allow_log("expected by this test");
	log_line("<3>nvfs: expected by this test");
}

TEST(harmless_line_passes)
{
	log_line("<6>nvfs: all is well");
}
