// SPDX-License-Identifier: MIT
/* The test, and then the whole program, ends by a signal. */
#include "fix.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

TEST(segmentation_fault)
{
	raise(SIGSEGV);
}

TEST(aborts)
{
	abort();
}

TEST(kills_the_harness)
{
	kill(getppid(), SIGKILL);
	pause();
}

TEST(is_never_run)
{
}
