// SPDX-License-Identifier: MIT
/*
 * The log file.  There is one only where logging.dir or CUFILE_LOGFILE_PATH
 * says so: nothing is left in the directory in which an application happens to
 * run.  A log that can't be written is no reason to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cufile_priv.h"

#define LINE_SIZE	1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under @lock. */
static int file = -1;
static char open_path[PATH_MAX];
static uint64_t room;
/* It was said that there is none. */
static bool missed;
/* -1: nothing is written. */
static atomic_int max_level = -1;

static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG" };

static int level_of(const char *name)
{
	if (!strcasecmp(name, "TRACE"))
		return CF_LOG_DEBUG;
	for (int i = 0; i <= CF_LOG_DEBUG; i++) {
		if (!strcasecmp(name, names[i]))
			return i;
	}
	return CF_LOG_ERROR;
}

/* False: there is none, or its name is too long. */
static bool path_of(const struct cf_config *config, char *path, size_t size)
{
	const char *named = config->text[CUFILE_PARAM_ENV_LOGFILE_PATH];
	const char *dir = config->text[CUFILE_PARAM_LOG_DIR];
	time_t now = time(NULL);
	char day[32];
	struct tm tm;

	if (*named)
		return snprintf(path, size, "%s", named) < (int)size;
	if (!*dir)
		return false;
	localtime_r(&now, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	return snprintf(path, size, "%s/cufile_%d_%s.log", dir, (int)getpid(),
			day) < (int)size;
}

static void close_file(void)
{
	if (file >= 0)
		close(file);
	file = -1;
	max_level = -1;
}

/*
 * Where somebody asked for one there is no other place to say it.  Nobody may be there to
 * hear it: then no signal.
 */
static void tell_missed(const char *path, int error)
{
	static const struct timespec at_once;
	sigset_t pipe, old;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &old);
	if (dprintf(STDERR_FILENO, "libcufile: %s: %s; nothing is logged\n",
		    path, strerror(error)) < 0 &&
	    errno == EPIPE && !sigismember(&old, SIGPIPE))
		sigtimedwait(&pipe, NULL, &at_once);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void cf_log_open(const struct cf_config *config)
{
	char path[PATH_MAX];
	int error = 0;

	pthread_mutex_lock(&lock);
	if (!path_of(config, path, sizeof(path))) {
		close_file();
	} else if (file < 0 || strcmp(path, open_path)) {
		close_file();
		strcpy(open_path, path);
		file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
			    O_NOFOLLOW | O_NONBLOCK, 0600);
		/* Once for each opening of the library. */
		error = file < 0 && !missed ? errno : 0;
		missed |= file < 0;
	}
	room = config->log_size_mb < 0 ? UINT64_MAX :
	       (uint64_t)config->log_size_mb << 20;
	max_level = file < 0 ? -1 :
		    level_of(config->text[CUFILE_PARAM_LOGGING_LEVEL]);
	pthread_mutex_unlock(&lock);
	if (error)
		tell_missed(path, error);
}

void cf_log_close(void)
{
	pthread_mutex_lock(&lock);
	close_file();
	missed = false;
	pthread_mutex_unlock(&lock);
}

void cf_log(enum cf_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_SIZE], text[LINE_SIZE / 2], when[32];
	struct timespec now;
	struct tm tm;
	va_list args;
	int n;

	/* A child has its parent's file, and maybe a lock that nobody holds. */
	if ((int)level > max_level || cf_forked())
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%d-%m-%Y %H:%M:%S", &tm);
	n = snprintf(line, sizeof(line), "%s:%03ld [pid=%d tid=%ld] %s  %s: %s\n",
		     when, now.tv_nsec / 1000000, (int)getpid(),
		     syscall(SYS_gettid), names[level], module, text);
	pthread_mutex_lock(&lock);
	if (file >= 0 && n > 0 && (uint64_t)n <= room) {
		ssize_t put = write(file, line, (size_t)n);

		room -= put > 0 ? (uint64_t)put : 0;
	}
	pthread_mutex_unlock(&lock);
}
