// SPDX-License-Identifier: MIT
/* The terminal of nvfs stat --watch: picture after picture, until it ends. */
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"
#include "tool.h"

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	/* A new window size only ends the wait. */
	if (number != SIGWINCH)
		ended = 1;
}

/* Signals arrive only while we wait; @waiting is the mask for that. */
static void catch_signals(sigset_t *waiting)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	ended = 0;
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaddset(&blocked, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, waiting);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigdelset(waiting, numbers[i]);
}

/* Keys come at once and are not shown.  False when input is no terminal. */
static bool keys_begin(struct termios *saved)
{
	struct termios keys;

	if (tcgetattr(STDIN_FILENO, saved))
		return false;
	keys = *saved;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keys.c_cc[VMIN] = 0;
	keys.c_cc[VTIME] = 0;
	return !tcsetattr(STDIN_FILENO, TCSANOW, &keys);
}

/* Wait for the next picture; false when it shall end. */
static bool wait_next(bool keys, unsigned int ms, const sigset_t *waiting)
{
	struct timespec limit = {
		.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000,
	};
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (ppoll(keys ? &input : NULL, keys, &limit, waiting) > 0) {
		if (read(STDIN_FILENO, &key, 1) != 1)
			return false;
		return key != 'q' && key != 'Q' && key != 3;
	}
	return !ended;
}

static void look(struct screen *screen)
{
	struct winsize size = { 0 };
	time_t now = time(NULL);
	struct tm tm;

	screen->rows = 24;
	screen->cols = 80;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row &&
	    size.ws_col) {
		screen->rows = size.ws_row;
		screen->cols = size.ws_col;
	}
	if (localtime_r(&now, &tm))
		strftime(screen->clock, sizeof(screen->clock), "%H:%M:%S",
			 &tm);
}

/* Read the counters into the screen; the ones there become those before. */
static int next_counters(const char *dir, struct screen *screen)
{
	struct counters fresh;
	int ret = counters_read(dir, &fresh);

	if (ret)
		return ret;
	counters_free(&screen->before);
	screen->before = screen->now;
	screen->now = fresh;
	if (screen->before.nr)
		screen_note(screen);
	return 0;
}

static int show(const char *dir, struct screen *screen, unsigned int count,
		bool keys, const sigset_t *waiting)
{
	unsigned int shown = 0;
	int ret;

	do {
		ret = next_counters(dir, screen);
		if (ret)
			return ret;
		look(screen);
		screen_draw(screen, stdout);
		/* Without a reader nothing is to be shown. */
		if (ferror(stdout) || ++shown == count)
			break;
	} while (wait_next(keys, screen->interval_ms, waiting));
	return 0;
}

int screen_run(const char *dir, unsigned int interval_ms, unsigned int count)
{
	static struct screen screen;
	struct termios saved;
	sigset_t waiting;
	bool keys;
	int ret;

	memset(&screen, 0, sizeof(screen));
	screen.interval_ms = interval_ms;
	screen.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	catch_signals(&waiting);
	keys = keys_begin(&saved);
	/* The other screen, without a cursor; what stood there comes back. */
	fputs("\033[?1049h\033[?25l", stdout);
	ret = show(dir, &screen, count, keys, &waiting);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	counters_free(&screen.now);
	counters_free(&screen.before);
	return ret;
}
