// SPDX-License-Identifier: MIT
/* Tracepoints: what happens appears in tracefs, with the right numbers. */
#include "fix_async.h"
#include "fix_trace.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SIZE	(1 * MIB)

/* Demands an event with these words behind @from; what follows its line. */
static const char *event(const char *from, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static const char *event(const char *from, const char *format, ...)
{
	char want[256];
	const char *p;
	va_list args;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);
	p = strstr(from, want);
	if (!p) {
		trace_end();
		FAIL("no \"%s\" in:\n%.3000s", want, from);
	}
	return strchr(p, '\n');
}

TEST(every_event_is_in_tracefs)
{
	static const char * const names[] = {
		"register", "pin", "unpin", "revoke", "drain", "drained",
		"route", "state_refused", "submit", "dma", "retry", "complete",
	};
	char path[200];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), TRACING
			 "/events/nvfs/nvfs_%s/format", names[i]);
		if (access(path, R_OK))
			FAIL("%s: %s", path, strerror(errno));
	}
}

TEST(life_of_a_region_is_traced)
{
	const char *p, *text;
	struct gpu_buf buf;
	uint32_t id;
	int dev = nv_open();

	gpu_alloc(&buf, 0, SIZE, false);
	trace_begin();
	id = nv_region(dev, &buf);
	ASSERT_EQ(nv_unregister(dev, id), 0);
	text = trace_read();
	p = event(text, "nvfs_pin: addr=%#llx len=%llu persistent=0 error=0",
		  (unsigned long long)buf.va, SIZE);
	p = event(p, "nvfs_register: region=%u addr=%#llx len=%llu gpu=%#x pieces=1 error=0",
		  id, (unsigned long long)buf.va, SIZE, gpu_bdf(0));
	p = event(p, "nvfs_drain: region=%u addr=%#llx len=%llu", id,
		  (unsigned long long)buf.va, SIZE);
	p = event(p, "nvfs_drained: region=%u", id);
	event(p, "nvfs_unpin: addr=%#llx len=%llu persistent=0 error=0",
	      (unsigned long long)buf.va, SIZE);
	if (strstr(text, "nvfs_revoke"))
		FAIL("nobody revoked: %s", text);
	trace_end();
}

TEST(revocation_is_traced_until_nothing_uses_the_memory)
{
	struct gpu_buf buf;
	const char *p;
	uint32_t id;

	gpu_alloc(&buf, 0, SIZE, false);
	id = nv_region(nv_open(), &buf);
	trace_begin();
	gpu_free(&buf);
	p = event(trace_read(), "nvfs_revoke: region=%u", id);
	p = event(p, "nvfs_drain: region=%u", id);
	event(p, "nvfs_drained: region=%u", id);
	trace_end();
}

TEST(region_that_can_not_be_made_says_why)
{
	struct nvfs_register reg;
	int dev = nv_open();

	trace_begin();
	ASSERT_ERRNO(nv_register(dev, 0, BLOCK, &reg), EFAULT);
	event(trace_read(), "nvfs_register: region=0 addr=0x0 len=4096 gpu=0x0 pieces=0 error=-14");
	trace_end();
}

/* A disk that was not there before is judged by the first request, only. */
TEST(route_is_traced_when_it_is_judged)
{
	char out[300], device[64];
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x = { .dev = nv_open(), .length = BLOCK };
	const char *p;

	ASSERT_EQ(shell(device, sizeof(device), "truncate -s 1M %s/loop && "
			"losetup -f --show %s/loop && rm %s/loop",
			fix_place("ext4"), fix_place("ext4"),
			fix_place("ext4")), 0);
	device[strcspn(device, "\n")] = '\0';
	gpu_alloc(&buf, 0, SIZE, false);
	x.region = nv_region(x.dev, &buf);
	x.file = open(device, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(x.file, 0);
	trace_begin();
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	p = event(trace_read(), "nvfs_route: gpu=%#x drive=0xffffffff reason=stacked distance=-1 through_host=0",
		  gpu_bdf(0));
	if (strstr(p, "nvfs_route"))
		FAIL("judged twice: %s", p);
	trace_end();
	close(x.file);
	ASSERT_EQ(shell(out, sizeof(out), "losetup -d %s", device), 0);
}

/* The kernel's own histograms work on these events: no program is needed. */
TEST(events_can_be_counted_by_process)
{
	struct gpu_buf buf;
	char out[2000], want[100];
	int dev = nv_open(), i;

	gpu_alloc(&buf, 0, SIZE, false);
	trace_begin();
	if (access(TRACE_OWN "/events/nvfs/nvfs_register/hist", F_OK)) {
		trace_end();
		SKIP("this kernel has no CONFIG_HIST_TRIGGERS");
	}
	kernel_put(TRACE_OWN "/events/nvfs/nvfs_register/trigger",
	    "hist:keys=common_pid:vals=len");
	for (i = 0; i < 3; i++)
		ASSERT_EQ(nv_unregister(dev, nv_region(dev, &buf)), 0);
	ASSERT_EQ(shell(out, sizeof(out), "cat %s", TRACE_OWN
			"/events/nvfs/nvfs_register/hist"), 0);
	kernel_put(TRACE_OWN "/events/nvfs/nvfs_register/trigger",
	    "!hist:keys=common_pid:vals=len");
	trace_end();
	snprintf(want, sizeof(want), "{ common_pid: %10d } hitcount: %10d  len: %10llu",
		 (int)getpid(), 3, 3 * SIZE);
	ASSERT_CONTAINS(out, want);
}
