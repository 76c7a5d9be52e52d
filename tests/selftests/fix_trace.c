// SPDX-License-Identifier: MIT
/* The events of the module, in an instance of tracefs that is the test's own. */
#include "fix_trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OPEN	4096

static char text[1 << 22];

void kernel_put(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	if (write(fd, word, strlen(word)) < 0)
		FAIL("%s > %s: %s", word, path, strerror(errno));
	close(fd);
}

void trace_end(void)
{
	int fd = open(TRACE_OWN "/events/nvfs/enable", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "0", 1) == 1)
		close(fd);
	rmdir(TRACE_OWN);
}

void trace_begin(void)
{
	trace_end();
	if (mkdir(TRACE_OWN, 0700))
		FAIL("%s: %s", TRACE_OWN, strerror(errno));
	kernel_put(TRACE_OWN "/events/nvfs/enable", "1");
}

const char *trace_read(void)
{
	size_t used = 0;
	ssize_t got;
	int fd = open(TRACE_OWN "/trace", O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	while ((got = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	close(fd);
	return text;
}

static _Noreturn void wrong(const char *line, const char *why)
{
	trace_end();
	FAIL("%s: %.*s", why, (int)strcspn(line, "\n"), line);
}

/* The number behind "key=" of an event. */
static unsigned long long field(const char *line, const char *key)
{
	char want[32];
	const char *p;

	snprintf(want, sizeof(want), " %s=", key);
	p = strstr(line, want);
	if (!p || p > strchr(line, '\n'))
		wrong(line, key);
	return strtoull(p + strlen(want), NULL, 0);
}

static bool has(const char *line, const char *words)
{
	const char *p = strstr(line, words);

	return p && p < strchr(line, '\n');
}

/* The requests that have been submitted and not ended, by their names. */
struct names {
	unsigned long long name[MAX_OPEN];
	size_t nr;
};

static size_t find(const struct names *open, const char *line)
{
	const char *p = strstr(line, " req=");
	unsigned long long name;
	size_t i;

	if (!p)
		wrong(line, "no name");
	name = strtoull(p + 5, NULL, 16);
	for (i = 0; i < open->nr && open->name[i] != name; i++)
		;
	return i;
}

static void submitted(struct names *open, const char *line,
		      struct trace_sum *sum)
{
	if (find(open, line) < open->nr)
		wrong(line, "submitted twice");
	ASSERT_LT(open->nr, MAX_OPEN);
	open->name[open->nr++] = strtoull(strstr(line, " req=") + 5, NULL, 16);
	sum->submits++;
	sum->writes += has(line, " write ");
	sum->async += (long long)field(line, "async");
}

static void stepped(const char *line, struct trace_sum *sum)
{
	if (has(line, " route=direct"))
		sum->direct_steps++;
	else if (has(line, " route=bounce"))
		sum->bounce_steps++;
	else
		wrong(line, "no such route");
	sum->bvecs += (long long)field(line, "bvecs");
}

static void completed(struct names *open, const char *line,
		      struct trace_sum *sum)
{
	static const char * const routes[] = {
		" route=none ", " route=direct ", " route=bounce ",
		" route=mixed ",
	};
	int i;

	open->name[find(open, line)] = open->name[open->nr - 1];
	open->nr--;
	sum->completes++;
	sum->errors += !has(line, " error=0 ");
	sum->done += (long long)field(line, "done");
	for (i = 0; i < 4; i++)
		sum->routes[i] += has(line, routes[i]);
}

static void add_line(struct names *open, const char *line,
		     struct trace_sum *sum)
{
	if (has(line, " nvfs_submit: ")) {
		submitted(open, line, sum);
		return;
	}
	if (!has(line, " nvfs_dma: ") && !has(line, " nvfs_retry: ") &&
	    !has(line, " nvfs_complete: "))
		return;
	if (find(open, line) == open->nr)
		wrong(line, "of no request");
	if (has(line, " nvfs_dma: "))
		stepped(line, sum);
	else if (has(line, " nvfs_retry: "))
		sum->retries++;
	else
		completed(open, line, sum);
}

void trace_add_up(const char *from, struct trace_sum *sum)
{
	static struct names open;
	const char *line, *end;

	open.nr = 0;
	memset(sum, 0, sizeof(*sum));
	for (line = from; (end = strchr(line, '\n')); line = end + 1)
		if (*line != '#')
			add_line(&open, line, sum);
	if (open.nr) {
		trace_end();
		FAIL("%zu requests have not ended", open.nr);
	}
}
