// SPDX-License-Identifier: MIT
/* The file in memory in which statistics are counted. */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cufile_priv.h"
#include "stats_page.h"

/* Nobody who opens it can take away what is mapped here. */
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void *map(int fd, size_t bytes)
{
	void *at;

	if (ftruncate(fd, (off_t)bytes) || fcntl(fd, F_ADD_SEALS, SEALS))
		return NULL;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

struct cf_stats_page *cf_stats_page_make(const struct cf_stats_page *from)
{
	int fd = memfd_create(CF_STATS_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct cf_stats_page *page;

	if (fd < 0)
		return NULL;
	page = map(fd, sizeof(*page));
	/* The descriptor stays: it is by that that others find it. */
	if (!page) {
		close(fd);
		return NULL;
	}
	*page = *from;
	page->version = CF_STATS_VERSION;
	page->bytes = sizeof(*page);
	page->pid = (uint64_t)getpid();
	__atomic_store_n(&page->magic, CF_STATS_MAGIC, __ATOMIC_RELEASE);
	return page;
}
