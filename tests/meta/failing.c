// SPDX-License-Identifier: MIT
/* Tests that fail, each in a way of its own, and one that does not. */
#include "fix.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(compares_unequal)
{
	ASSERT_EQ(6 * 7, 54);
}

TEST(wrong_errno)
{
	ASSERT_ERRNO(close(-1), EPERM);
}

TEST(no_error_where_one_is_due)
{
	ASSERT_ERRNO(dup(0), EPERM);
}

TEST(differs_in_one_byte)
{
	char a[4096] = { 0 }, b[4096] = { 0 };

	b[1234] = 1;
	ASSERT_MEMEQ(a, b, sizeof(a));
}

/* A child fails and its parent does not look. */
TEST(child_fails_unseen)
{
	pid_t pid = fork();

	if (!pid)
		FAIL("in the child");
	waitpid(pid, NULL, 0);
}

static void *fail_in_thread(void *arg)
{
	(void)arg;
	FAIL("in a thread");
}

TEST(thread_fails)
{
	pthread_t thread;

	ASSERT_EQ(pthread_create(&thread, NULL, fail_in_thread, NULL), 0);
	pthread_join(thread, NULL);
}

TEST(exits_with_a_status)
{
	_exit(7);
}

TEST(passes_between_them)
{
}
