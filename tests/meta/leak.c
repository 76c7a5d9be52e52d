// SPDX-License-Identifier: MIT
/* Tests that leave something behind in the kernel. */
#include "fix.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(passes_before)
{
	struct gpu_buf buf;
	int dev = nv_open();

	gpu_alloc(&buf, 0, 64 * KIB, false);
	nv_region(dev, &buf);
}

/* The next one needs it. */
TEST(the_module_is_left_unloaded)
{
	ASSERT_EQ(module_unload("nvfs"), 0);
}

/*
 * The region's file is parked where no process of the test has it: in flight in
 * a socket of the harness, which nobody reads.
 */
static int parking[2];

__attribute__((constructor)) static void make_parking(void)
{
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, parking))
		parking[0] = -1;
}

static void park(int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	ASSERT_EQ(sendmsg(parking[0], &msg, 0), 1);
}

TEST(open_file_outlives_the_test)
{
	park(nv_open());
}

TEST(region_outlives_the_test)
{
	struct nvfs_register reg = { .size = sizeof(reg), .fd = -1 };
	struct gpu_buf buf;
	int dev = nv_open();

	gpu_alloc(&buf, 0, 64 * KIB, false);
	reg.flags = NVFS_REGISTER_PERSISTENT;
	reg.addr = buf.va;
	reg.length = buf.size;
	ASSERT_EQ(ioctl(dev, NVFS_IOC_REGISTER, &reg), 0);
	park(dev);
}

TEST(passes_behind)
{
}
