// SPDX-License-Identifier: MIT
/* The kernel dies under a test: a panic, not a clean reboot. */
#include "fix.h"

#include <fcntl.h>
#include <unistd.h>

TEST(panics_the_machine)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, "c", 1), 1);
	pause();
}
