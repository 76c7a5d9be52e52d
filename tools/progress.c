// SPDX-License-Identifier: MIT
/* How far it is. */
#include <string.h>
#include <unistd.h>

#include "tool.h"

#define BAR_WIDTH	24

static void format_seconds(uint64_t seconds, char *text, size_t size)
{
	if (seconds > 359999)
		seconds = 359999;
	if (seconds >= 3600)
		snprintf(text, size, "%d:%02d:%02d", (int)(seconds / 3600),
			 (int)(seconds / 60 % 60), (int)(seconds % 60));
	else
		snprintf(text, size, "%d:%02d", (int)(seconds / 60),
			 (int)(seconds % 60));
}

void format_progress(uint64_t done, uint64_t total, uint64_t ns, char *text,
		     size_t size)
{
	char bar[BAR_WIDTH + 1], have[16], all[16], rate[16], left[16];
	uint64_t per_second;
	double part;
	int filled;

	if (done > total)
		done = total;
	part = total ? (double)done / (double)total : 1;
	filled = (int)(part * BAR_WIDTH);
	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', (size_t)filled);
	bar[BAR_WIDTH] = '\0';
	per_second = rate_of(done, ns);
	format_bytes(done, have, sizeof(have));
	format_bytes(total, all, sizeof(all));
	format_bytes(per_second, rate, sizeof(rate));
	if (per_second)
		format_seconds((total - done) / per_second, left, sizeof(left));
	else
		snprintf(left, sizeof(left), "-:--");
	snprintf(text, size, "[%s] %3d%%  %s of %s  %s/s  %s left", bar,
		 (int)(part * 100), have, all, rate, left);
}

void progress_start(struct progress *progress, uint64_t total,
		    const struct options *opts)
{
	progress->on = !opts->quiet && isatty(STDERR_FILENO);
	progress->total = total;
	progress->start_ns = now_ns();
}

void progress_update(struct progress *progress, uint64_t done)
{
	char text[160];

	if (!progress->on)
		return;
	format_progress(done, progress->total, now_ns() - progress->start_ns,
			text, sizeof(text));
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->on)
		fprintf(stderr, "\r\033[K");
	progress->on = false;
}
