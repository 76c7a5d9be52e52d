// SPDX-License-Identifier: MIT
/* Messages between a command and a holder. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hold.h"

/* More than one file is an offence, but they must be received to be closed. */
#define MAX_FDS	4

void hold_init(struct hold_msg *msg, enum hold_op op)
{
	memset(msg, 0, sizeof(*msg));
	msg->magic = HOLD_MAGIC;
	msg->version = HOLD_VERSION;
	msg->op = (uint16_t)op;
}

int hold_decode(const void *data, size_t length, struct hold_msg *msg)
{
	if (length != sizeof(*msg))
		return -EPROTO;
	memcpy(msg, data, sizeof(*msg));
	if (msg->magic != HOLD_MAGIC || msg->version != HOLD_VERSION)
		return -EPROTO;
	if (msg->op < HOLD_INFO || msg->op > HOLD_RESULT)
		return -EPROTO;
	if ((msg->flags & ~HOLD_FLAGS) || msg->reserved)
		return -EPROTO;
	if (msg->error > 0 || msg->error < -4095)
		return -EPROTO;
	if (!memchr(msg->text, '\0', sizeof(msg->text)))
		return -EPROTO;
	return 0;
}

int hold_check_request(const struct hold_msg *msg, int fd, uint64_t held)
{
	bool with_file = msg->op == HOLD_WRITE || msg->op == HOLD_VERIFY;

	if (msg->op < HOLD_INFO || msg->op > HOLD_FREE)
		return -EPROTO;
	if (with_file != (fd >= 0))
		return -EPROTO;
	if (!with_file)
		return 0;
	if (msg->size > held)
		return -ERANGE;
	if (msg->offset > INT64_MAX || msg->size > INT64_MAX - msg->offset)
		return -EPROTO;
	if (!msg->chunk || msg->chunk % 4096 || msg->chunk > INT64_MAX)
		return -EPROTO;
	if (!msg->threads || msg->threads > TOOL_MAX_THREADS)
		return -EPROTO;
	return 0;
}

int hold_send(int sock, const struct hold_msg *msg, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		header.msg_control = &control;
		header.msg_controllen = sizeof(control.space);
		cmsg = CMSG_FIRSTHDR(&header);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	do {
		n = sendmsg(sock, &header, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* Keep the first file, close all others.  Returns how many there were. */
static int take_fds(struct msghdr *header, int *fd)
{
	struct cmsghdr *cmsg;
	int nr = 0;

	for (cmsg = CMSG_FIRSTHDR(header); cmsg;
	     cmsg = CMSG_NXTHDR(header, cmsg)) {
		size_t bytes = cmsg->cmsg_len - CMSG_LEN(0);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < bytes / sizeof(int); i++) {
			int one;

			memcpy(&one, CMSG_DATA(cmsg) + i * sizeof(int),
			       sizeof(int));
			if (nr++)
				close(one);
			else
				*fd = one;
		}
	}
	return nr;
}

int hold_recv(int sock, struct hold_msg *msg, int *fd)
{
	char data[sizeof(*msg) + 1];
	struct iovec iov = { data, sizeof(data) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(MAX_FDS * sizeof(int))];
	} control;
	struct msghdr header = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t n;
	int ret, nr;

	*fd = -1;
	do {
		n = recvmsg(sock, &header, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	nr = take_fds(&header, fd);
	if (!n && !nr)
		return -EPIPE;
	ret = hold_decode(data, (size_t)n, msg);
	if (nr > 1 || (header.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		ret = -EPROTO;
	if (ret && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return ret;
}

int hold_check_peer(int sock)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return -errno;
	return peer.uid == geteuid() || !peer.uid ? 0 : -EPERM;
}
