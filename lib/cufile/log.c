// SPDX-License-Identifier: MIT
/*
 * The log file.  There is one only where logging.dir or CUFILE_LOGFILE_PATH
 * says so: nothing is left in the directory in which an application happens to
 * run.  A log that can't be written is no reason to fail.
 */
#include <fcntl.h>
#include <limits.h>
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
static uint64_t room;
/* What was said before there was a file: why an opening failed. */
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

void cf_log_open(const struct cf_config *config)
{
	const char *path = config->text[CUFILE_PARAM_ENV_LOGFILE_PATH];
	const char *dir = config->text[CUFILE_PARAM_LOG_DIR];
	char made[PATH_MAX];
	struct tm tm;
	time_t now = time(NULL);

	if (!*path && !*dir)
		return;
	if (!*path) {
		char day[32];

		localtime_r(&now, &tm);
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
		if (snprintf(made, sizeof(made), "%s/cufile_%d_%s.log", dir,
			     (int)getpid(), day) >= (int)sizeof(made))
			return;
		path = made;
	}
	pthread_mutex_lock(&lock);
	if (file < 0)
		file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC |
			    O_NOFOLLOW | O_NONBLOCK, 0600);
	room = config->log_size_mb < 0 ? UINT64_MAX :
	       (uint64_t)config->log_size_mb << 20;
	max_level = file < 0 ? -1 :
		    level_of(config->text[CUFILE_PARAM_LOGGING_LEVEL]);
	pthread_mutex_unlock(&lock);
}

void cf_log_close(void)
{
	pthread_mutex_lock(&lock);
	if (file >= 0)
		close(file);
	file = -1;
	max_level = -1;
	pthread_mutex_unlock(&lock);
}

void cf_log(enum cf_level level, const char *module, const char *fmt, ...)
{
	char line[LINE_SIZE], text[LINE_SIZE / 2], when[32];
	struct timespec now;
	struct tm tm;
	va_list args;
	int n;

	if ((int)level > max_level)
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
