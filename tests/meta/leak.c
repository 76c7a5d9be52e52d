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

/*
 * The region's file is parked where no process has it: in flight in a socket
 * that holds itself, until the kernel's collector comes by.
 */
TEST(region_outlives_the_test)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct nvfs_register reg = { .size = sizeof(reg), .fd = -1 };
	struct gpu_buf buf;
	int pair[2], fds[2];

	gpu_alloc(&buf, 0, 64 * KIB, false);
	fds[0] = nv_open();
	reg.flags = NVFS_REGISTER_PERSISTENT;
	reg.addr = buf.va;
	reg.length = buf.size;
	ASSERT_EQ(ioctl(fds[0], NVFS_IOC_REGISTER, &reg), 0);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	fds[1] = pair[1];
	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
	ASSERT_EQ(sendmsg(pair[0], &msg, 0), 1);
}
