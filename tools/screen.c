// SPDX-License-Identifier: MIT
/* The picture of nvfs stat --watch: lines of text, no terminal needed. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "screen.h"
#include "tool.h"

static const char *const ways[2] = { "read", "write" };

/**
 * struct canvas - where lines go
 * @left: lines that still fit
 */
struct canvas {
	FILE *out;
	unsigned int cols;
	unsigned int left;
};

/* One line of ASCII, cut at the right edge. */
static void put_line(struct canvas *canvas, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put_line(struct canvas *canvas, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!canvas->left)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The last line has no end: the terminal would scroll. */
	fprintf(canvas->out, "%.*s\033[K%s", (int)canvas->cols, text,
		--canvas->left ? "\r\n" : "");
}

static uint64_t way_get(const struct counters *counters, int way,
			const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", ways[way], what);
	return counters_get(counters, name);
}

static uint64_t way_grown(const struct screen *screen, int way,
			  const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%s", ways[way], what);
	return counters_grown(&screen->now, &screen->before, name);
}

static uint64_t way_rate(const struct screen *screen, int way,
			 const char *what)
{
	return rate_of(way_grown(screen, way, what),
		       screen->now.ns - screen->before.ns);
}

void screen_note(struct screen *screen)
{
	if (screen->nr_history == SCREEN_HISTORY) {
		for (int way = 0; way < 2; way++)
			memmove(&screen->history[way][0],
				&screen->history[way][1],
				(SCREEN_HISTORY - 1) * sizeof(uint64_t));
		screen->nr_history--;
	}
	for (int way = 0; way < 2; way++)
		screen->history[way][screen->nr_history] =
			way_rate(screen, way, "_bytes");
	screen->nr_history++;
}

/* How many of this second's bytes, or else of all, went direct. */
static void format_direct(const struct screen *screen, int way, char *text,
			  size_t size)
{
	uint64_t bytes = way_grown(screen, way, "_bytes");
	uint64_t direct = way_grown(screen, way, "_direct_bytes");

	if (!bytes) {
		bytes = way_get(&screen->now, way, "_bytes");
		direct = way_get(&screen->now, way, "_direct_bytes");
	}
	if (!bytes)
		snprintf(text, size, "-");
	else
		snprintf(text, size, "%.1f %%",
			 100.0 * (double)direct / (double)bytes);
}

static void put_way(struct canvas *canvas, const struct screen *screen,
		    int way)
{
	char rate[16], bytes[16], direct[16];

	format_bytes(way_rate(screen, way, "_bytes"), rate, sizeof(rate));
	format_bytes(way_get(&screen->now, way, "_bytes"), bytes,
		     sizeof(bytes));
	format_direct(screen, way, direct, sizeof(direct));
	put_line(canvas, "%-6s %12s/s %10llu/s %9s %9llu %12s", ways[way], rate,
		 (unsigned long long)way_rate(screen, way, "_ended"), direct,
		 (unsigned long long)way_get(&screen->now, way, "_inflight"),
		 bytes);
}

/* The last rates as bars; all are relative to the highest one shown. */
static void put_bars(struct canvas *canvas, const struct screen *screen,
		     int way)
{
	static const char *const bars[2][9] = {
		{ " ", ".", ".", ":", "-", "=", "+", "*", "#" },
		{ " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" },
	};
	unsigned int room = canvas->cols > 8 ? canvas->cols - 8 : 0;
	unsigned int nr = screen->nr_history, first;
	uint64_t highest = 1;

	if (!canvas->left)
		return;
	first = nr > room ? nr - room : 0;
	for (unsigned int i = first; i < nr; i++) {
		if (screen->history[way][i] > highest)
			highest = screen->history[way][i];
	}
	fprintf(canvas->out, "%.*s", (int)canvas->cols,
		way ? "write  |" : "read   |");
	for (unsigned int i = first; i < nr; i++) {
		uint64_t rate = screen->history[way][i];
		unsigned int bar = (unsigned int)((double)rate * 8 /
						  (double)highest + 0.5);

		/* A little is more than nothing. */
		fputs(bars[screen->utf8][rate && !bar ? 1 : bar], canvas->out);
	}
	fprintf(canvas->out, "\033[K%s", --canvas->left ? "\r\n" : "");
}

/* Names and values, as many as fit beside each other. */
static void put_rest(struct canvas *canvas, const struct screen *screen)
{
	static const char *const names[] = {
		"read_errors", "write_errors", "read_refused", "write_refused",
		"read_short", "write_short", "retries", "fallbacks", "holes",
		"hole_bytes", "kiocbs", "bvecs", "batches", "batch_requests",
		"uring_requests", "punts", "cancels", "queries",
		"regions_registered", "regions_revoked", "register_errors",
		"ioctl_errors",
	};
	const unsigned int width = 38;
	unsigned int per_line = canvas->cols / width, used = 0;
	char line[512] = "";

	if (!per_line)
		per_line = 1;
	if (per_line > 4)
		per_line = 4;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t grown = counters_grown(&screen->now, &screen->before,
						names[i]);
		char mark[24] = "";

		if (grown)
			snprintf(mark, sizeof(mark), "+%llu",
				 (unsigned long long)grown);
		snprintf(line + used * width, sizeof(line) - used * width,
			 "%-18s %10llu %-7.7s ", names[i],
			 (unsigned long long)counters_get(&screen->now,
							  names[i]), mark);
		if (++used == per_line) {
			put_line(canvas, "%s", line);
			used = 0;
		}
	}
	if (used)
		put_line(canvas, "%s", line);
}

void screen_draw(const struct screen *screen, FILE *out)
{
	struct canvas canvas = {
		.out = out, .cols = screen->cols, .left = screen->rows,
	};
	char pinned[16];

	format_bytes(counters_get(&screen->now, "bytes_pinned_now"), pinned,
		     sizeof(pinned));
	fputs("\033[H", out);
	put_line(&canvas, "nvfs stat  %s  every %.1f s  (q: quit)",
		 screen->clock, (double)screen->interval_ms / 1000);
	put_line(&canvas, "%llu regions live, %s pinned",
		 (unsigned long long)counters_get(&screen->now, "regions_live"),
		 pinned);
	put_line(&canvas, "%s", "");
	put_line(&canvas, "%-6s %14s %12s %9s %9s %12s", "", "bytes",
		 "requests", "direct", "in flight", "total");
	for (int way = 0; way < 2; way++)
		put_way(&canvas, screen, way);
	put_line(&canvas, "%s", "");
	for (int way = 0; way < 2; way++)
		put_bars(&canvas, screen, way);
	put_line(&canvas, "%s", "");
	put_rest(&canvas, screen);
	fputs("\033[J", out);
	fflush(out);
}
