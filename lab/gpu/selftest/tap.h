/* SPDX-License-Identifier: MIT */
/* Lines of the test anything protocol, for the emulated GPU's own tests. */
#ifndef LAB_TAP_H
#define LAB_TAP_H

#include <stdbool.h>
#include <stdio.h>

static int tap_count;
static int tap_failed;

static inline bool tap_ok(bool ok, const char *what, int line)
{
	printf("%sok %d - %s", ok ? "" : "not ", ++tap_count, what);
	if (!ok) {
		printf(" (line %d)", line);
		tap_failed++;
	}
	putchar('\n');
	fflush(stdout);
	return ok;
}

#define ok(condition, what) tap_ok(condition, what, __LINE__)

/* Says and shows both numbers if they differ. */
#define is(got, want, what) do {						\
	long long got_ = (long long)(got), want_ = (long long)(want);		\
	if (!tap_ok(got_ == want_, what, __LINE__))				\
		printf("# got %lld (0x%llx), want %lld (0x%llx)\n", got_,	\
		       (unsigned long long)got_, want_,				\
		       (unsigned long long)want_);				\
} while (0)

/* The end of main(). */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed || !tap_count;
}

#endif
