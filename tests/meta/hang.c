// SPDX-License-Identifier: MIT
/* Tests that do not end by themselves. */
#include "fix.h"

#include <signal.h>
#include <unistd.h>

TEST_LIMIT(sleeps_forever, 2)
{
	for (;;)
		pause();
}

TEST_LIMIT(spins_forever, 2)
{
	for (;;)
		continue;
}

TEST_LIMIT(ignores_all_signals, 2)
{
	int i;

	for (i = 1; i < 32; i++)
		signal(i, SIG_IGN);
	for (;;)
		pause();
}

TEST(passes_behind_them)
{
}
