// SPDX-License-Identifier: MIT
/*
 * nvfs verify: with a holder, compare what it holds; without one, read the
 * file by the direct route, window by window, and compare that.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hold.h"
#include "transfer.h"

/* Multiple of any block size. */
#define WINDOW	(64ULL << 20)

/**
 * struct verify - one run of the command
 * @fd: the file
 * @differs: @where is the offset in the file, @first the GPU's byte, @second
 *	the file's, -1 past an end
 */
struct verify {
	struct options opts;
	struct report report;
	struct progress progress;
	int fd;
	bool differs;
	uint64_t where;
	int first;
	int second;
};

static void set_difference(struct verify *verify, uint64_t where, int first,
			   int second)
{
	char gpu[16] = "has ended", file[16] = "has ended";

	verify->differs = true;
	verify->where = where;
	if (first >= 0)
		snprintf(gpu, sizeof(gpu), "has 0x%02x", first & 0xff);
	if (second >= 0)
		snprintf(file, sizeof(file), "has 0x%02x", second & 0xff);
	verify->report.error = -EBADMSG;
	snprintf(verify->report.message, sizeof(verify->report.message),
		 "differs at offset %llu: the GPU %s, the file %s",
		 (unsigned long long)where, gpu, file);
}

static int fail(struct verify *verify, int error, const char *what)
{
	verify->report.error = error;
	snprintf(verify->report.message, sizeof(verify->report.message),
		 "%s (%s)", what, errno_name(error));
	return TOOL_TROUBLE;
}

/*
 * A file that is longer than what is held is not the same, unless the user
 * said how much to compare.  A device is always longer.
 */
static void check_file_end(struct verify *verify, uint64_t held)
{
	struct stat st;

	if (verify->opts.have_size || fstat(verify->fd, &st) ||
	    !S_ISREG(st.st_mode))
		return;
	if ((uint64_t)st.st_size > verify->opts.offset + held)
		set_difference(verify, verify->opts.offset + held, -1, 0);
}

static int verify_held(struct verify *verify, int sock)
{
	struct hold_msg request, result;
	struct report *report = &verify->report;
	int ret;

	hold_init(&request, HOLD_INFO);
	ret = hold_ask(sock, &request, -1, NULL, &result);
	if (ret || result.error)
		return fail(verify, ret ? ret : result.error,
			    "the holder failed");
	hold_init(&request, HOLD_VERIFY);
	request.offset = verify->opts.offset;
	request.size = verify->opts.have_size ? verify->opts.size : result.held;
	request.chunk = verify->opts.chunk;
	request.threads = verify->opts.threads;
	if (request.size > result.held)
		return fail(verify, -ERANGE, "--size is more than is held");
	progress_start(&verify->progress, request.size, &verify->opts);
	ret = hold_ask(sock, &request, verify->fd, &verify->progress, &result);
	progress_end(&verify->progress);
	if (ret)
		return fail(verify, ret, "the holder failed");
	report->bytes = result.done;
	report->ns = result.ns;
	report->gpu_addr = result.addr;
	report->error = result.error;
	memcpy(report->message, result.text, sizeof(report->message));
	if (result.error)
		return TOOL_NO;
	if (result.flags & HOLD_DIFFERS)
		set_difference(verify, request.offset + result.done,
			       (int)(int64_t)result.size,
			       (int)(int64_t)result.total);
	else
		check_file_end(verify, request.size);
	return verify->differs ? TOOL_NO : TOOL_OK;
}

static void merge_route(struct report *report, const struct outcome *outcome)
{
	if (outcome->route != NVFS_ROUTE_NONE) {
		if (report->route == NVFS_ROUTE_NONE)
			report->route = outcome->route;
		else if (report->route != outcome->route)
			report->route = NVFS_ROUTE_MIXED;
	}
	if (outcome->reason)
		report->reason = outcome->reason;
	report->ns += outcome->ns;
}

/* Read one window direct; how much of it came is in report->bytes. */
static int read_window(struct verify *verify, struct session *session,
		       const struct plan *plan, uint64_t at)
{
	struct report *report = &verify->report;
	uint64_t size = plan->size - at < WINDOW ? plan->size - at : WINDOW;
	struct transfer transfer = {
		.region = session->region,
		.fd = verify->fd,
		.file_offset = plan->offset + at,
		.length = plan->length - at < WINDOW ? plan->length - at :
						       WINDOW,
		.chunk = verify->opts.chunk,
		.threads = verify->opts.threads,
		.io_flags = verify->opts.bounce ? NVFS_IO_ALLOW_BOUNCE : 0,
	};
	struct outcome outcome;
	char why[128];

	transfer_run(&transfer, &outcome);
	merge_route(report, &outcome);
	if (!outcome.error && outcome.done < size)
		outcome.error = -ENODATA;
	if (!outcome.error)
		return 0;
	report->error = outcome.error;
	ask_why(session->region, verify->fd, outcome.reason, why, sizeof(why));
	explain(outcome.error, outcome.reason, why, report->message,
		sizeof(report->message));
	return outcome.error;
}

static int compare_window(struct verify *verify, struct session *session,
			  const struct plan *plan, uint64_t at)
{
	uint64_t size = plan->size - at < WINDOW ? plan->size - at : WINDOW;
	struct comparison comparison;
	int ret = compare_file(session->buf, 0, verify->fd, plan->offset + at,
			       size, NULL, NULL, &comparison);

	if (ret) {
		fail(verify, ret, "can't compare");
		return ret;
	}
	verify->report.bytes += comparison.compared;
	if (!comparison.equal)
		set_difference(verify, plan->offset + at + comparison.compared,
			       comparison.first, comparison.second);
	return 0;
}

static int verify_windows(struct verify *verify, struct session *session,
			  const struct plan *plan)
{
	int ret = 0;

	progress_start(&verify->progress, plan->size, &verify->opts);
	for (uint64_t at = 0; at < plan->size && !verify->differs && !ret;
	     at += WINDOW) {
		ret = read_window(verify, session, plan, at);
		if (!ret)
			ret = compare_window(verify, session, plan, at);
		progress_update(&verify->progress, verify->report.bytes);
	}
	progress_end(&verify->progress);
	return ret || verify->differs ? TOOL_NO : TOOL_OK;
}

static int verify_direct(struct verify *verify)
{
	struct report *report = &verify->report;
	struct session session;
	struct plan plan;
	int status;
	int ret = plan_command(report->gpu, verify->fd, &verify->opts, &plan);

	if (ret)
		return fail(verify, ret, plan_advice(ret));
	report->error = session_open(&session, report->gpu,
				     plan.length < WINDOW ? plan.length : WINDOW,
				     verify->opts.bounce, report->message,
				     sizeof(report->message));
	if (report->error)
		return TOOL_TROUBLE;
	report->gpu_addr = nvfs_buf_addr(session.buf);
	status = verify_windows(verify, &session, &plan);
	session_close(&session);
	return status;
}

static int run(struct verify *verify)
{
	struct report *report = &verify->report;
	int sock, status;

	verify->fd = open(report->file, O_RDONLY | O_CLOEXEC);
	if (verify->fd < 0)
		return fail(verify, -errno, "can't open");
	sock = hold_connect(report->gpu);
	if (sock >= 0) {
		status = verify_held(verify, sock);
		close(sock);
	} else if (sock == -ENOENT) {
		status = verify_direct(verify);
	} else {
		status = fail(verify, sock, "can't talk to the holder");
	}
	close(verify->fd);
	return status;
}

int cmd_verify(int argc, char **argv)
{
	struct verify verify = { .report = { .cmd = "verify",
					     .direction = "read" } };
	struct report *report = &verify.report;
	int first = parse_options(argc, argv,
				  OPT_BOUNCE | OPT_RANGE | OPT_TUNE | OPT_JSON |
				  OPT_QUIET, &verify.opts);
	int status;

	if (first < 0)
		return TOOL_TROUBLE;
	if (argc - first != 2 || parse_gpu(argv[first + 1], &report->gpu)) {
		complain("usage: nvfs verify [options] FILE gpu:N");
		return TOOL_TROUBLE;
	}
	report->file = argv[first];
	status = run(&verify);
	if (!report->error)
		snprintf(report->message, sizeof(report->message), "the same");
	print_report(report, &verify.opts);
	return status;
}
