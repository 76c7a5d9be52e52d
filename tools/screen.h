/* SPDX-License-Identifier: MIT */
/* The live screen of nvfs stat --watch. */
#ifndef NVFS_TOOL_SCREEN_H
#define NVFS_TOOL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "procfile.h"

#define SCREEN_HISTORY	240

/**
 * struct screen - what the picture is made of
 * @rows: of the terminal
 * @cols: of the terminal
 * @utf8: it shows more than ASCII
 * @clock: the time of day, as text
 * @interval_ms: between two pictures
 * @now: the counters
 * @before: the counters of the picture before; of the first one: @now
 * @history: bytes per second of the pictures before, the newest last; reads,
 *	then writes
 * @nr_history: how many
 */
struct screen {
	unsigned int rows;
	unsigned int cols;
	bool utf8;
	char clock[16];
	unsigned int interval_ms;
	struct counters now;
	struct counters before;
	uint64_t history[2][SCREEN_HISTORY];
	unsigned int nr_history;
};

/* Note the rates between @before and @now in the history. */
void screen_note(struct screen *screen);

/* Draw the picture from the upper left corner; never longer than the terminal. */
void screen_draw(const struct screen *screen, FILE *out);

/*
 * Show pictures on the terminal of standard output until 'q' or a signal ends
 * it, or @count are shown (0: any number).  Returns an exit status.
 */
int screen_run(const char *dir, unsigned int interval_ms, unsigned int count);

#endif /* NVFS_TOOL_SCREEN_H */
