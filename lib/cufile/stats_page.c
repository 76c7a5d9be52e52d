// SPDX-License-Identifier: MIT
/* The file in memory in which statistics are counted. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cufile_priv.h"
#include "stats_page.h"

/* Linux 6.3 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL		8U
#endif
/* Linux 5.1 */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	16
#endif

/* Not one that programs write to without having opened it. */
#define LEAST_FD	3

static int make_file(void)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(CF_STATS_NAME, flags | MFD_NOEXEC_SEAL), high;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(CF_STATS_NAME, flags);
	if (fd < 0 || fd >= LEAST_FD)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, LEAST_FD);
	close(fd);
	return high;
}

/*
 * Nobody who opens it can take away what is mapped here, nor, where the kernel knows that,
 * write to it.
 */
static void *map(int fd, size_t bytes)
{
	void *at;

	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		return NULL;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return NULL;
	fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL);
	return at;
}

struct cf_stats_page *cf_stats_page_make(void)
{
	int fd = make_file();
	struct cf_stats_page *page;

	if (fd < 0)
		return NULL;
	page = map(fd, sizeof(*page));
	/* The descriptor stays: it is by that that others find it. */
	if (!page) {
		close(fd);
		return NULL;
	}
	page->version = CF_STATS_VERSION;
	page->bytes = sizeof(*page);
	page->pid = (uint64_t)getpid();
	__atomic_store_n(&page->magic, CF_STATS_MAGIC, __ATOMIC_RELEASE);
	return page;
}
