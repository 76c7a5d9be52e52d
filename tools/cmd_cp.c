// SPDX-License-Identifier: MIT
/* nvfs cp: a file into GPU memory, or held GPU memory into a file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"
#include "transfer.h"

/* One run of the command. */
struct cp {
	struct options opts;
	struct report report;
	struct progress progress;
	int fd;
};

static int fail(struct cp *cp, int error, const char *what)
{
	cp->report.error = error;
	snprintf(cp->report.message, sizeof(cp->report.message), "%s (%s)",
		 what, errno_name(error));
	return TOOL_TROUBLE;
}

static int draw(void *arg, uint64_t done)
{
	progress_update(arg, done);
	return 0;
}

/* Read the file into @session and report on it. */
static int load(struct cp *cp, struct session *session,
		const struct plan *plan)
{
	struct report *report = &cp->report;
	struct transfer transfer = {
		.region = session->region,
		.fd = cp->fd,
		.file_offset = plan->offset,
		.length = plan->length,
		.chunk = cp->opts.chunk,
		.threads = cp->opts.threads,
		.io_flags = cp->opts.bounce ? NVFS_IO_ALLOW_BOUNCE : 0,
		.progress = draw,
		.arg = &cp->progress,
	};
	struct outcome outcome;
	char why[128];

	progress_start(&cp->progress, plan->size, &cp->opts);
	transfer_run(&transfer, &outcome);
	progress_end(&cp->progress);
	report->bytes = outcome.done < plan->size ? outcome.done : plan->size;
	report->ns = outcome.ns;
	report->route = outcome.route;
	report->reason = outcome.reason;
	report->error = outcome.error;
	/* Somebody made it shorter meanwhile. */
	if (!report->error && report->bytes < plan->size)
		report->error = -ENODATA;
	if (!report->error)
		return TOOL_OK;
	ask_why(session->region, cp->fd, outcome.reason, why, sizeof(why));
	explain(report->error, outcome.reason, why, report->message,
		sizeof(report->message));
	return TOOL_NO;
}

/* Open, plan, load.  The session stays open when that went well. */
static int read_file(struct cp *cp, struct session *session, struct plan *plan)
{
	struct report *report = &cp->report;
	int status, ret;

	cp->fd = open(report->file, O_RDONLY | O_CLOEXEC);
	if (cp->fd < 0)
		return fail(cp, -errno, "can't open");
	ret = plan_command(report->gpu, cp->fd, &cp->opts, plan);
	if (ret) {
		status = fail(cp, ret, plan_advice(ret));
		goto close_file;
	}
	report->error = session_open(session, report->gpu, plan->length,
				     cp->opts.bounce, report->message,
				     sizeof(report->message));
	status = TOOL_TROUBLE;
	if (report->error)
		goto close_file;
	report->gpu_addr = nvfs_buf_addr(session->buf);
	status = load(cp, session, plan);
	if (status != TOOL_OK)
		session_close(session);
close_file:
	close(cp->fd);
	return status;
}

static int cp_in(struct cp *cp)
{
	struct session session;
	struct plan plan;
	int status = read_file(cp, &session, &plan);

	if (status == TOOL_OK)
		session_close(&session);
	print_report(&cp->report, &cp->opts);
	return status;
}

/* Nothing of the command that started us stays in use. */
static int detach(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || setsid() < 0 || chdir("/"))
		return -errno;
	for (int fd = 0; fd < 3; fd++) {
		if (dup2(null, fd) < 0)
			return -errno;
	}
	if (null > 2)
		close(null);
	return 0;
}

/* The holder must keep nothing open for those who wait for its end. */
static int keep_only(int fd)
{
	if (fd != 3 && dup3(fd, 3, O_CLOEXEC) < 0)
		return fd;
	close_range(4, ~0U, 0);
	return 3;
}

/* The holder's whole life; @ready hears the exit status of the command. */
static int hold(struct cp *cp, int ready)
{
	struct holding holding = { .listener = -1 };
	struct session session;
	struct plan plan;
	unsigned char told;
	int status;
	int ret = hold_claim(&holding, cp->report.gpu);

	if (ret) {
		status = fail(cp, ret, ret == -EBUSY ?
			      "this GPU holds bytes already; first: nvfs free" :
			      "can't make the holder's directory");
		print_report(&cp->report, &cp->opts);
		return status;
	}
	status = read_file(cp, &session, &plan);
	if (status == TOOL_OK) {
		ret = hold_listen(&holding);
		if (ret)
			status = fail(cp, ret, "can't make the holder's socket");
	}
	print_report(&cp->report, &cp->opts);
	if (fflush(stdout) || status != TOOL_OK || detach())
		return status == TOOL_OK ? TOOL_TROUBLE : status;
	holding.session = &session;
	holding.bytes = cp->report.bytes;
	holding.offset = plan.offset;
	snprintf(holding.file, sizeof(holding.file), "%s", cp->report.file);
	told = TOOL_OK;
	if (write(ready, &told, 1) == 1)
		close(ready);
	hold_serve(&holding);
	return TOOL_OK;
}

/* The byte came: the holder is at work.  None: it ended, and said why. */
static int wait_for_holder(struct cp *cp, pid_t pid, int ready)
{
	unsigned char status;
	int wstatus;
	ssize_t n;

	do {
		n = read(ready, &status, 1);
	} while (n < 0 && errno == EINTR);
	close(ready);
	if (n == 1)
		return status;
	if (waitpid(pid, &wstatus, 0) == pid && WIFEXITED(wstatus))
		return WEXITSTATUS(wstatus);
	fail(cp, -ECHILD, "the holder died");
	print_report(&cp->report, &cp->opts);
	return TOOL_TROUBLE;
}

/* Forked before any GPU driver is loaded: none survives a fork. */
static int cp_in_and_hold(struct cp *cp)
{
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC)) {
		complain("can't make a pipe (%s)", errno_name(-errno));
		return TOOL_TROUBLE;
	}
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		complain("can't fork (%s)", errno_name(-errno));
		return TOOL_TROUBLE;
	}
	if (!pid) {
		int status;

		close(ready[0]);
		status = hold(cp, keep_only(ready[1]));
		fflush(NULL);
		_exit(status);
	}
	close(ready[1]);
	return wait_for_holder(cp, pid, ready[0]);
}

/* Have the holder write the file; @result is its answer. */
static int write_file(struct cp *cp, int sock, const struct hold_msg *request,
		      struct hold_msg *result)
{
	const char *path = cp->report.file;
	bool created = true;
	int ret;

	cp->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (cp->fd < 0 && errno == EEXIST) {
		created = false;
		cp->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	}
	if (cp->fd < 0)
		return fail(cp, -errno, "can't open");
	progress_start(&cp->progress, request->size, &cp->opts);
	ret = hold_ask(sock, request, cp->fd, &cp->progress, result);
	progress_end(&cp->progress);
	close(cp->fd);
	/* An empty file that nobody asked for is not left behind. */
	if (created && (ret || (result->error && !result->done)))
		unlink(path);
	return ret ? fail(cp, ret, "the holder failed") : TOOL_OK;
}

static int ask_holder(struct cp *cp, int sock)
{
	struct report *report = &cp->report;
	struct hold_msg request, result;
	int ret;

	hold_init(&request, HOLD_INFO);
	ret = hold_ask(sock, &request, -1, NULL, &result);
	if (ret || result.error)
		return fail(cp, ret ? ret : result.error, "the holder failed");
	if (cp->opts.have_size && cp->opts.size > result.held)
		return fail(cp, -ERANGE, "--size is more than is held");
	hold_init(&request, HOLD_WRITE);
	request.flags = (cp->opts.bounce ? HOLD_BOUNCE : 0) |
			(cp->opts.have_offset ? 0 : HOLD_TRUNCATE);
	request.offset = cp->opts.offset;
	request.size = cp->opts.have_size ? cp->opts.size : result.held;
	request.chunk = cp->opts.chunk;
	request.threads = cp->opts.threads;
	ret = write_file(cp, sock, &request, &result);
	if (ret)
		return ret;
	report->bytes = result.done;
	report->ns = result.ns;
	report->route = result.route;
	report->reason = result.reason;
	report->gpu_addr = result.addr;
	report->error = result.error;
	memcpy(report->message, result.text, sizeof(report->message));
	return result.error ? TOOL_NO : TOOL_OK;
}

static int cp_out(struct cp *cp)
{
	int sock = hold_connect(cp->report.gpu);
	int status;

	cp->report.direction = "write";
	if (sock >= 0) {
		status = ask_holder(cp, sock);
		close(sock);
	} else {
		status = fail(cp, sock, sock == -ENOENT ?
			      "nothing is held on this GPU; first: nvfs cp --hold FILE gpu:N" :
			      "can't talk to the holder");
	}
	print_report(&cp->report, &cp->opts);
	return status;
}

int cmd_cp(int argc, char **argv)
{
	struct cp cp = { .report = { .cmd = "cp", .direction = "read" } };
	struct report *report = &cp.report;
	int first = parse_options(argc, argv,
				  OPT_HOLD | OPT_BOUNCE | OPT_RANGE | OPT_TUNE |
				  OPT_JSON | OPT_QUIET, &cp.opts);

	if (first < 0)
		return TOOL_TROUBLE;
	if (argc - first == 2 && !parse_gpu(argv[first + 1], &report->gpu)) {
		report->file = argv[first];
		return cp.opts.hold ? cp_in_and_hold(&cp) : cp_in(&cp);
	}
	if (argc - first == 2 && !cp.opts.hold &&
	    !parse_gpu(argv[first], &report->gpu)) {
		report->file = argv[first + 1];
		return cp_out(&cp);
	}
	complain("usage: nvfs cp [options] FILE gpu:N, or nvfs cp [options] gpu:N FILE");
	return TOOL_TROUBLE;
}
