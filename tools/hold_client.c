// SPDX-License-Identifier: MIT
/* A command talks to a holder. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hold.h"

static int connect_in(const char *dir, unsigned int gpu)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock, ret = 0;
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/gpu%u.sock",
			 dir, gpu);

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		/* Refused: its owner died and left it behind. */
		ret = errno == ECONNREFUSED ? -ENOENT : -errno;
	else
		ret = hold_check_peer(sock);
	if (ret) {
		close(sock);
		return ret;
	}
	return sock;
}

int hold_connect(unsigned int gpu)
{
	int ret = -ENOENT;
	char dir[256];

	for (unsigned int nr = 0; nr < HOLD_DIRS; nr++) {
		int sock = hold_find_dir(nr, dir, sizeof(dir));

		if (!sock)
			sock = connect_in(dir, gpu);
		if (sock >= 0)
			return sock;
		/* What stands in the way is told, unless another is found. */
		if (ret == -ENOENT)
			ret = sock;
	}
	return ret;
}

int hold_ask(int sock, const struct hold_msg *request, int fd,
	     struct progress *progress, struct hold_msg *result)
{
	int ret = hold_send(sock, request, fd);

	while (!ret) {
		int surplus;

		ret = hold_recv(sock, result, &surplus);
		if (surplus >= 0)
			close(surplus);
		if (ret || result->op == HOLD_RESULT)
			break;
		if (result->op != HOLD_PROGRESS)
			ret = -EPROTO;
		else if (progress)
			progress_update(progress, result->done);
	}
	return ret;
}
