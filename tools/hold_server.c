// SPDX-License-Identifier: MIT
/* The holder: keeps GPU memory and serves one command after the other. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hold.h"
#include "transfer.h"

/* A command that says nothing does not keep the others out for longer. */
#define REQUEST_SECONDS	5

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

int hold_claim(struct holding *holding, unsigned int gpu)
{
	char path[sizeof(holding->dir) + 32];
	int sock = hold_connect(gpu);
	int ret;

	holding->listener = -1;
	if (sock >= 0) {
		close(sock);
		return -EBUSY;
	}
	ret = hold_dir(holding->dir, sizeof(holding->dir));
	if (ret)
		return ret;
	holding->gpu = gpu;
	snprintf(path, sizeof(path), "%s/gpu%u.lock", holding->dir, gpu);
	holding->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			     0600);
	if (holding->lock < 0)
		return -errno;
	if (flock(holding->lock, LOCK_EX | LOCK_NB)) {
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(holding->lock);
	}
	return ret;
}

static int socket_address(const struct holding *holding,
			  struct sockaddr_un *addr)
{
	int n;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/gpu%u.sock",
		     holding->dir, holding->gpu);
	return n > 0 && (size_t)n < sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

int hold_listen(struct holding *holding)
{
	struct sockaddr_un addr;
	mode_t mask;
	int sock;
	int ret = socket_address(holding, &addr);

	if (ret)
		return ret;
	/* We have the lock, so whoever left it is dead. */
	unlink(addr.sun_path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	mask = umask(0177);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(sock, 16))
		ret = -errno;
	umask(mask);
	if (ret)
		close(sock);
	else
		holding->listener = sock;
	return ret;
}

/* What progress needs to know. */
struct talk {
	int sock;
	uint64_t total;
};

/* A command that was interrupted ends its request, too. */
static int tell_progress(void *arg, uint64_t done)
{
	struct talk *talk = arg;
	struct hold_msg msg;

	hold_init(&msg, HOLD_PROGRESS);
	msg.done = done;
	msg.total = talk->total;
	return hold_send(talk->sock, &msg, -1);
}

static void write_file(struct holding *holding, const struct plan *plan,
		       const struct hold_msg *request, int fd, int sock,
		       struct hold_msg *result)
{
	struct talk talk = { .sock = sock, .total = request->size };
	struct transfer transfer = {
		.region = holding->session->region,
		.fd = fd,
		.write = true,
		.file_offset = plan->offset,
		.length = plan->length,
		.chunk = request->chunk,
		.threads = request->threads,
		.io_flags = request->flags & HOLD_BOUNCE ?
				    NVFS_IO_ALLOW_BOUNCE : 0,
		.progress = tell_progress,
		.arg = &talk,
	};
	char why[128];
	struct outcome outcome;

	transfer_run(&transfer, &outcome);
	result->done = outcome.done < plan->size ? outcome.done : plan->size;
	result->ns = outcome.ns;
	result->route = outcome.route;
	result->reason = outcome.reason;
	result->error = outcome.error;
	if (!result->error && result->done < plan->size)
		result->error = -ENOSPC;
	if (plan->cut && ftruncate(fd, (off_t)(plan->offset + result->done)) &&
	    !result->error)
		result->error = -errno;
	if (!result->error)
		return;
	ask_why(transfer.region, fd, outcome.reason, why, sizeof(why));
	explain(result->error, outcome.reason, why, result->text,
		sizeof(result->text));
}

/* What lies behind the held bytes is not ours to show, until it is zeroed. */
static int clear_tail(struct holding *holding, const struct plan *plan)
{
	static const char zeros[4096];
	uint64_t at = plan->size;
	int ret = 0;

	while (!ret && at < plan->length) {
		uint64_t part = plan->length - at;

		if (part > sizeof(zeros))
			part = sizeof(zeros);
		ret = nvfs_buf_copy_in(holding->session->buf, at, zeros, part);
		at += part;
	}
	return ret;
}

/* A file that can't be written is not emptied either. */
static int empty_file(struct holding *holding, const struct hold_msg *request,
		      int fd, struct hold_msg *result)
{
	struct nvfs_query query = { .size = sizeof(query) };
	struct stat st;
	int ret;

	if (!(request->flags & HOLD_TRUNCATE) || fstat(fd, &st) ||
	    !S_ISREG(st.st_mode))
		return 0;
	if (!(request->flags & HOLD_BOUNCE)) {
		ret = nvfs_query_region(holding->session->region, fd, &query);
		if (ret)
			return ret;
		if (query.route != NVFS_ROUTE_DIRECT) {
			result->reason = query.reason;
			return -EREMOTEIO;
		}
	}
	return ftruncate(fd, 0) ? -errno : 0;
}

static int prepare_write(struct holding *holding,
			 const struct hold_msg *request, int fd,
			 struct plan *plan, struct hold_msg *result)
{
	struct session *session = holding->session;
	/* Through host memory any length will do. */
	uint64_t align = request->flags & HOLD_BOUNCE ? 1 :
			 file_align(session->nvfs, session->gpu.bdf, fd);
	int ret = empty_file(holding, request, fd, result);

	if (!ret)
		ret = plan_write(fd, request->offset, request->size, align,
				 plan);
	if (ret == -EOVERFLOW)
		snprintf(result->text, sizeof(result->text),
			 "the direct route writes whole blocks of %llu bytes: that would destroy what follows. Use --size with a multiple of it, or --bounce (EOVERFLOW)",
			 (unsigned long long)align);
	if (ret)
		return ret;
	if (plan->length > session->capacity)
		return -ERANGE;
	/* Held bytes may follow there for a moment, other memory may not. */
	if (plan->cut && plan->size == holding->bytes)
		return clear_tail(holding, plan);
	return 0;
}

static void serve_write(struct holding *holding,
			const struct hold_msg *request, int fd, int sock,
			struct hold_msg *result)
{
	struct plan plan;
	char why[128] = "";

	result->error = prepare_write(holding, request, fd, &plan, result);
	if (!result->error) {
		write_file(holding, &plan, request, fd, sock, result);
		return;
	}
	if (result->error == -EREMOTEIO)
		ask_why(holding->session->region, fd, result->reason, why,
			sizeof(why));
	if (!result->text[0])
		explain(result->error, result->reason, why, result->text,
			sizeof(result->text));
}

static void serve_verify(struct holding *holding,
			 const struct hold_msg *request, int fd, int sock,
			 struct hold_msg *result)
{
	struct talk talk = { .sock = sock, .total = request->size };
	struct comparison comparison;
	uint64_t start = now_ns();

	result->error = compare_file(holding->session->buf, 0, fd,
				     request->offset, request->size,
				     tell_progress, &talk, &comparison);
	result->ns = now_ns() - start;
	result->done = comparison.compared;
	if (result->error)
		explain(result->error, 0, "", result->text,
			sizeof(result->text));
	else if (!comparison.equal)
		result->flags |= HOLD_DIFFERS;
	/* The two bytes: -1 is "the file has ended". */
	result->size = (uint64_t)(int64_t)comparison.first;
	result->total = (uint64_t)(int64_t)comparison.second;
}

static void describe(const struct holding *holding, struct hold_msg *result)
{
	hold_init(result, HOLD_RESULT);
	result->held = holding->bytes;
	result->offset = holding->offset;
	result->addr = nvfs_buf_addr(holding->session->buf);
	result->bdf = holding->session->gpu.bdf;
	result->pid = (uint32_t)getpid();
}

/* The memory is free when the command hears of it. */
static void free_all(struct holding *holding)
{
	struct sockaddr_un addr;

	if (holding->listener < 0)
		return;
	session_close(holding->session);
	if (!socket_address(holding, &addr))
		unlink(addr.sun_path);
	close(holding->listener);
	close(holding->lock);
	holding->listener = -1;
}

static void serve_request(struct holding *holding,
			  const struct hold_msg *request, int fd, int sock)
{
	struct hold_msg result;

	describe(holding, &result);
	result.error = hold_check_request(request, fd, holding->bytes);
	if (result.error)
		explain(result.error, 0, "", result.text, sizeof(result.text));
	else if (request->op == HOLD_WRITE)
		serve_write(holding, request, fd, sock, &result);
	else if (request->op == HOLD_VERIFY)
		serve_verify(holding, request, fd, sock, &result);
	else if (request->op == HOLD_FREE)
		free_all(holding);
	else
		snprintf(result.text, sizeof(result.text), "%s", holding->file);
	hold_send(sock, &result, -1);
}

static void serve_client(struct holding *holding, int sock)
{
	struct timeval limit = { .tv_sec = REQUEST_SECONDS };
	struct hold_msg request;
	int fd;

	if (hold_check_peer(sock) ||
	    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return;
	/* Until the command goes, says nonsense, or had everything freed. */
	while (holding->listener >= 0 && !hold_recv(sock, &request, &fd)) {
		serve_request(holding, &request, fd, sock);
		if (fd >= 0)
			close(fd);
	}
}

void hold_serve(struct holding *holding)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct pollfd poll_fd = { .fd = holding->listener, .events = POLLIN };
	sigset_t blocked, open;

	/* Signals come in only while we wait: none is missed in between. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &open);
	sigdelset(&open, SIGTERM);
	sigdelset(&open, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGHUP, SIG_IGN);
	while (!stop && holding->listener >= 0) {
		int sock;

		if (ppoll(&poll_fd, 1, NULL, &open) <= 0)
			continue;
		sock = accept4(holding->listener, NULL, NULL, SOCK_CLOEXEC);
		if (sock < 0)
			continue;
		serve_client(holding, sock);
		close(sock);
	}
	free_all(holding);
}
