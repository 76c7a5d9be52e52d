// SPDX-License-Identifier: MIT
/* A real WARN, by a module, from a test that is content with itself. */
#include "fix.h"

#include <sys/utsname.h>

TEST(passes_before)
{
}

TEST(warns_in_the_kernel)
{
	char out[400];

	if (shell(out, sizeof(out), "k=$(uname -r | cut -d. -f1-2 | "
		  "sed 's/[^0-9.].*//') && insmod %s/build/$k/splat.ko 2>&1",
		  top_dir()))
		harness_note("insmod: %s", out);
}

TEST(passes_behind)
{
}
