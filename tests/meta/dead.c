// SPDX-License-Identifier: MIT
/* The machine goes away in the middle of a test. */
#include "fix.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

TEST(passes_before)
{
}

/* Name, state and parent of a process. */
static void look_at(int pid, char name[32], char *state, int *parent)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	ASSERT_TRUE(f != NULL);
	ASSERT_EQ(fscanf(f, "%*d (%31[^)]) %c %d", name, state, parent), 3);
	fclose(f);
}

/*
 * What has been printed so far is with the host: the agent has read it, and
 * waits for more. It writes to the host before it waits again, and that write
 * returns when the host has the bytes.
 */
static void output_is_delivered(void)
{
	int agent = getpid(), parent, unread;
	char name[32], state;

	for (look_at(agent, name, &state, &parent); strcmp(name, "agent");
	     look_at(agent, name, &state, &parent)) {
		agent = parent;
		ASSERT_GT(agent, 0);
	}
	do {
		sched_yield();
		ASSERT_EQ(ioctl(STDOUT_FILENO, FIONREAD, &unread), 0);
		look_at(agent, name, &state, &parent);
	} while (unread || state != 'S');
}

TEST(reboots_the_machine)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	output_is_delivered();
	ASSERT_EQ(write(fd, "b", 1), 1);
	pause();
}

TEST(is_never_run)
{
}
