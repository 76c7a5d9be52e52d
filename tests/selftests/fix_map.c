// SPDX-License-Identifier: MIT
/* Mappings of regions, and touches that may get a signal: see fix_map.h. */
#include "fix_map.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

void *try_map(const struct view *v, uint64_t offset, uint64_t length, int prot)
{
	return mmap(NULL, length, prot, MAP_SHARED, v->dev,
		    (off_t)(v->reg.mmap_offset + offset));
}

uint8_t *map(const struct view *v, uint64_t offset, uint64_t length)
{
	uint8_t *at = try_map(v, offset, length, RW);

	if (at == MAP_FAILED)
		FAIL("mmap of 0x%llx+0x%llx: %s", (unsigned long long)offset,
		     (unsigned long long)length, strerror(errno));
	return at;
}

void view_stage(struct view *v, uint64_t size, bool scatter)
{
	memset(v, 0, sizeof(*v));
	v->dev = nv_open();
	gpu_alloc(&v->buf, 0, size, scatter);
	gpu_fill(&v->buf, OLD);
	ASSERT_EQ(nv_register(v->dev, v->buf.va, size, &v->reg), 0);
	ASSERT_NE(v->reg.mmap_offset, 0);
}

void view_map(struct view *v, uint64_t size, bool scatter)
{
	view_stage(v, size, scatter);
	v->at = map(v, 0, size);
}

void view_finish(struct view *v)
{
	if (v->at)
		ASSERT_EQ(munmap(v->at, v->buf.size), 0);
	close(v->dev);
	if (v->buf.va)
		gpu_free(&v->buf);
}

static __thread sigjmp_buf touch_jump;
static __thread bool touching;

static void on_fault(int signal_number)
{
	if (!touching)
		_exit(128 + signal_number);
	siglongjmp(touch_jump, signal_number);
}

void catch_faults(void)
{
	struct sigaction action = {
		.sa_handler = on_fault, .sa_flags = SA_NODEFER,
	};

	ASSERT_EQ(sigaction(SIGBUS, &action, NULL), 0);
	ASSERT_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

int touch(enum touch how, uint8_t *at, uint8_t *byte)
{
	int sig = sigsetjmp(touch_jump, 0);

	if (!sig) {
		touching = true;
		if (how == STORE)
			*(volatile uint8_t *)at = *byte;
		else
			*byte = *(volatile uint8_t *)at;
	}
	touching = false;
	return sig;
}

int load(uint8_t *at)
{
	uint8_t byte;

	return touch(LOAD, at, &byte);
}

int store(uint8_t *at)
{
	uint8_t byte = NEW;

	return touch(STORE, at, &byte);
}

void expect_signal(uint8_t *at, uint64_t length, int sig)
{
	uint64_t i;

	for (i = 0; i < length; i += BLOCK) {
		ASSERT_EQ(load(at + i), sig);
		ASSERT_EQ(store(at + i + BLOCK - 1), sig);
	}
}

void expect_pattern(const uint8_t *at, uint64_t length, uint64_t offset)
{
	uint8_t *want = xmalloc(length);

	pattern_fill(want, length, MAP_SEED, offset);
	ASSERT_MEMEQ(at, want, length);
	free(want);
}

bool kernel_has_huge(void)
{
	struct utsname u;
	int major, minor;

	ASSERT_EQ(uname(&u), 0);
	ASSERT_EQ(sscanf(u.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 12);
}

void expect_child(pid_t pid)
{
	int status;

	ASSERT_GT(pid, 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	ASSERT_EQ(status, 0);
}

void tell(int fd)
{
	ASSERT_EQ(write(fd, "", 1), 1);
}

void hear(int fd)
{
	char c;

	ASSERT_EQ(read(fd, &c, 1), 1);
}
