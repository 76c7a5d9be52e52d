// SPDX-License-Identifier: MIT
/* The CPUs of a NUMA node. */
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "tool.h"

/* "0-7,16-23"; -EINVAL: it is no such list. */
int bench_parse_cpus(const char *text, cpu_set_t *set)
{
	CPU_ZERO(set);
	while (isdigit((unsigned char)*text)) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtoul(end + 1, &end, 10);
		if (last < first || last >= CPU_SETSIZE)
			return -EINVAL;
		for (; first <= last; first++)
			CPU_SET(first, set);
		text = end + (*end == ',');
	}
	return (*text && *text != '\n') || !CPU_COUNT(set) ? -EINVAL : 0;
}

static int read_cpus(unsigned int node, cpu_set_t *set)
{
	char path[64], line[4096];
	FILE *file;
	char *got;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist",
		 node);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	got = fgets(line, sizeof(line), file);
	fclose(file);
	return got ? bench_parse_cpus(line, set) : -EINVAL;
}

int bench_stay_on(unsigned int node)
{
	cpu_set_t set;
	int ret = read_cpus(node, &set);

	if (ret == -ENOENT)
		complain("bench: there is no NUMA node %u here", node);
	else if (!ret && sched_setaffinity(0, sizeof(set), &set))
		ret = -errno;
	if (ret && ret != -ENOENT)
		complain("bench: can't run on the CPUs of NUMA node %u: %s (%s)",
			 node, strerror(-ret), errno_name(ret));
	return ret ? -1 : 0;
}
