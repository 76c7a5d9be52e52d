// SPDX-License-Identifier: MIT
/*
 * The first process of a lab guest: runs commands for the host.
 *
 * It talks frames over a virtio-serial port, never over the console, so that
 * nothing the kernel prints can be taken for an answer:
 *
 *	host to guest	RUN	id, command line for /bin/sh -c
 *			KILL	id
 *	guest to host	HELLO	seconds since boot as text
 *			OUT	id, some of the command's stdout and stderr
 *			EXIT	id, wait status as a 32-bit word
 *
 * A command has ended when its first process has; what it started in the
 * background lives on, but its output is lost.  When the host goes away the
 * guest powers off.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME	"nvfs.agent"
#define PORTS		"/sys/class/virtio-ports"
#define MAX_JOBS	64
#define MAX_COMMAND	(1 << 20)

enum { RUN = 1, KILL = 2, HELLO = 16, OUT = 17, EXIT = 18 };

struct frame {
	uint32_t type;
	uint32_t id;
	uint32_t len;
};

struct job {
	pid_t pid;		/* 0: free slot; leads its process group */
	uint32_t id;
	int out;		/* read end of its output */
	bool quiet;		/* the output has ended, the job has not */
};

static struct job jobs[MAX_JOBS];
static int port = -1;

static void __attribute__((noreturn)) power_off(const char *why)
{
	fprintf(stderr, "agent: %s\n", why);
	reboot(RB_POWER_OFF);
	/* PID 1 must not return: the kernel would panic over a mere end. */
	for (;;)
		pause();
}

static void write_all(const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(port, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			power_off("the host is gone");
		p += n;
		len -= n;
	}
}

static void read_all(void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(port, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			power_off("the host is gone");
		p += n;
		len -= n;
	}
}

static void send_frame(uint32_t type, uint32_t id, const void *data, uint32_t len)
{
	struct frame frame = { .type = type, .id = id, .len = len };

	write_all(&frame, sizeof(frame));
	if (len)
		write_all(data, len);
}

/* Read one chunk of a job's output; false when there is none now. */
static bool forward(struct job *job)
{
	static char buf[65536];
	ssize_t n = read(job->out, buf, sizeof(buf));

	if (n > 0)
		send_frame(OUT, job->id, buf, n);
	if (n == 0)
		job->quiet = true;
	return n > 0;
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		uint32_t word = status;

		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
			if (job->pid != pid)
				continue;
			while (forward(job))
				;
			close(job->out);
			send_frame(EXIT, job->id, &word, sizeof(word));
			*job = (struct job){ .pid = 0 };
		}
	}
}

static void __attribute__((noreturn)) become(const char *command, int out)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	setsid();
	dup2(null, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	perror("/bin/sh");
	_exit(127);
}

static bool start(struct job *job, uint32_t id, const char *command)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return false;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fflush(NULL);
	job->pid = fork();
	if (job->pid == 0)
		become(command, fds[1]);
	close(fds[1]);
	if (job->pid < 0) {
		close(fds[0]);
		job->pid = 0;
		return false;
	}
	job->id = id;
	job->out = fds[0];
	job->quiet = false;
	return true;
}

static void run(uint32_t id, uint32_t len)
{
	uint32_t failed = 126 << 8;
	char *command;

	if (len > MAX_COMMAND)
		power_off("a command is too long");
	command = malloc(len + 1);
	if (!command)
		power_off("out of memory");
	read_all(command, len);
	command[len] = '\0';
	for (struct job *job = jobs; job < jobs + MAX_JOBS; job++) {
		if (job->pid)
			continue;
		if (!start(job, id, command))
			break;
		free(command);
		return;
	}
	free(command);
	send_frame(EXIT, id, &failed, sizeof(failed));
}

static void request(void)
{
	struct frame frame;

	read_all(&frame, sizeof(frame));
	switch (frame.type) {
	case RUN:
		run(frame.id, frame.len);
		break;
	case KILL:
		for (struct job *job = jobs; job < jobs + MAX_JOBS; job++)
			if (job->pid && job->id == frame.id)
				kill(-job->pid, SIGKILL);
		break;
	default:
		power_off("a request is not understood");
	}
}

/* The port's device node, by the name that the host gave it. */
static int open_port(void)
{
	char path[512], name[64];
	struct dirent *entry;
	DIR *dir = opendir(PORTS);
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), PORTS "/%s/name", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) &&
		    !strcmp(name, PORT_NAME "\n")) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			found = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(file);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void hello(void)
{
	struct timespec now;
	char text[32];

	clock_gettime(CLOCK_BOOTTIME, &now);
	snprintf(text, sizeof(text), "%ld.%02ld", (long)now.tv_sec,
		 now.tv_nsec / 10000000);
	send_frame(HELLO, 0, text, strlen(text));
}

static void serve(int signals)
{
	struct pollfd fds[MAX_JOBS + 2];
	struct signalfd_siginfo info;

	fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
	for (int i = 0; i < MAX_JOBS; i++)
		fds[i + 2] = (struct pollfd){
			.fd = jobs[i].pid && !jobs[i].quiet ? jobs[i].out : -1,
			.events = POLLIN,
		};
	if (poll(fds, MAX_JOBS + 2, -1) < 0)
		return;
	for (int i = 0; i < MAX_JOBS; i++)
		if (fds[i + 2].revents)
			forward(&jobs[i]);
	if (fds[1].revents && read(signals, &info, sizeof(info)) > 0)
		reap();
	if (fds[0].revents & POLLIN)
		request();
	else if (fds[0].revents & POLLHUP)
		power_off("the host is gone");
}

int main(void)
{
	sigset_t set;
	int signals;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	port = open_port();
	if (port < 0 || signals < 0)
		power_off("no port to the host");
	hello();
	for (;;)
		serve(signals);
}
