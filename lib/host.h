/* SPDX-License-Identifier: MIT */
/* The route through host memory. */
#ifndef LIBNVFS_HOST_H
#define LIBNVFS_HOST_H

#include <sys/types.h>

#include "engine.h"
#include "memory.h"

/* Not in all versions of <linux/magic.h>, which is included before. */
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC	0x58465342
#endif

/* Most GPUs. */
#define HOST_GPUS	64U
/* A write of up to so many bytes is one write(2), where it goes by that. */
#define HOST_WHOLE	(256ULL << 10)

/*
 * One user more; 0 or -ENOMEM.  The GPU driver is loaded by the first request
 * that needs it.
 */
int host_get(void);
/* One user less, whose requests have all ended. */
void host_put(void);

/* As engine_pool_get() and engine_pool_set(). */
void host_pool_get(struct engine_pool *pool);
int host_pool_set(const struct engine_pool *pool);

/* As engine_linger(). */
void host_linger(bool (*over)(const void *what), const void *what,
		 int64_t most_ns);
/* As engine_end(). */
void host_end(struct engine_req *req,
	      void (*then)(void *arg, struct engine_req *first), void *arg);
/* As engine_warm(). */
int host_warm(unsigned int gpu);

/* As engine_run(); fills in done and error only. */
int host_run(struct engine_req *req);
/*
 * As engine_submit().  @each is called for each request that has ended, in
 * place of its complete().
 */
int host_submit(struct engine_req *const *reqs, unsigned int nr,
		void (*each)(struct engine_req *req));
/*
 * The same for one of host memory, by threads that never call the GPU's driver.
 * 0, or an error with which it was not started.
 */
int host_submit_apart(struct engine_req *req,
		      void (*each)(struct engine_req *req));

/*
 * engine_req.priv.state of a submitted request.  Who does something with it that
 * can't be taken back has to win it from REQ_WAITING first.
 */
enum { REQ_WAITING, REQ_RUNNING, REQ_CANCELED, REQ_IN_MODULE };

/* False when it was cancelled: it ends by that. */
static inline bool req_claim(struct engine_req *req, int state)
{
	int waiting = REQ_WAITING;

	return __atomic_compare_exchange_n(&req->priv.state, &waiting, state,
					   false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* As engine_cancel(), without calling anything: 0 or -EALREADY. */
int host_cancel(struct engine_req *req);

/* host_job.c: the GPU will read what this CPU has just written. */
void host_demote(const char *host, uint64_t length);

/* host_file.c: what pread(2) and pwrite(2) leave to be done. */

/**
 * enum host_pages - of a file
 * @HOST_CACHED: the page cache has them
 * @HOST_QUIET: and none of the range is just being written to the drive
 * @HOST_DIRTY: and they still have to be
 */
enum host_pages { HOST_CACHED, HOST_QUIET, HOST_DIRTY };

/**
 * host_file_read() - read as much as there is, of @length bytes
 * @file: the file; with O_DIRECT @host, @offset and @length suit it, or not:
 *	then the page cache is used, and also when it has the bytes
 * @host: where to
 * @length: bytes
 * @offset: first byte in the file
 * @error: out: 0 or a negative errno value; what was read before is good
 *
 * Returns how many bytes; less than @length without an error is the end.
 */
uint64_t host_file_read(struct engine_file *file, char *host, uint64_t length,
			uint64_t offset, int *error);
/*
 * Puts something in the place of cachestat(2), for tests; NULL puts it back.  It
 * says how many such pages of a range there are, or a negative errno value.
 */
void host_file_set_cachestat(int64_t (*count)(int fd, uint64_t offset,
					      uint64_t length,
					      enum host_pages which));
/*
 * A file of one machine's file system, of which the page cache can be asked?  Not a
 * device, nor a network's.
 */
bool host_file_is_local(int fd);
/* Will a read of that range have to wait for the drive, as far as can be told? */
bool host_file_waits(const struct engine_file *file, uint64_t length,
		     uint64_t offset);
/*
 * Does such a read go to the drive as it is?  Then it may also be put to @fd by
 * other means, and what fails that way be tried as above.  Less is the end where it is
 * no multiple of the file's align.
 */
bool host_file_is_direct(const struct engine_file *file, const char *host,
			 uint64_t length, uint64_t offset, int *fd);
/* Are all pages of that range such, as far as can be told?  Not behind the end. */
bool host_file_has(const struct engine_file *file, uint64_t length,
		   uint64_t offset, enum host_pages which);
/* Is the descriptor that file's?  Then @size is what it has. */
bool host_file_is(int fd, uint64_t dev, uint64_t ino, uint64_t *size);
/* Has the page cache all pages of that range? */
bool host_file_has_all(int fd, uint64_t length, uint64_t offset);
/* The same for writing; less without an error is the end of a device. */
uint64_t host_file_write(struct engine_file *file, const char *host,
			 uint64_t length, uint64_t offset, int *error);

/* host_map.c: writes to what the page cache has, by a mapping of the file. */

/**
 * struct host_bytes - in memory of this process
 * @at: the first
 * @file: whose memory it is, from @offset on, or NULL: no file's
 * @asked: whether it still has its descriptor was asked, and will be when all is over
 */
struct host_bytes {
	const char *at;
	const struct memory_file *file;
	uint64_t offset;
	bool asked;
};

/* Only where it is allowed, as it is unless this says something else. */
void host_map_allow(bool allowed);
/*
 * May those bytes go so, as far as can be told?  Of more than HOST_WHOLE only some are
 * looked at.
 */
bool host_map_takes(struct engine_file *file, uint64_t length, uint64_t offset);
/* Have pages of them mapped, but for those with which somebody else is at it. */
void host_map_prepare(const struct engine_file *file, uint64_t length,
		      uint64_t offset);
/*
 * As host_file_write(), of bytes that may, or a part of them.  @look: first whether that
 * part may, as not all of them were looked at.
 */
uint64_t host_map_write(struct engine_file *file, struct host_bytes from,
			uint64_t length, uint64_t offset, bool look,
			int *error);
/* Will some of the next bytes go by write(2)?  Of a file that was taken. */
bool host_map_is_due(const struct engine_file *file);
/*
 * These will be written so by this CPU, soon: have its cache bring what is there, while
 * the bytes are still on their way.
 */
void host_map_warm(const struct engine_file *file, uint64_t length,
		   uint64_t offset);
/* No request uses it any more. */
void host_map_close(struct engine_file *file);
/* Of how many bytes requests to the file may be made of more than one; UINT64_MAX: none. */
uint64_t host_map_least(int fd);
/* Map whole pages of a file to read them; NULL: it can't be. */
char *host_map_to_read(int fd, uint64_t length, uint64_t offset);

/**
 * struct host_map_calls - what tests put something in the place of
 * @least: requests of so many bytes to that file may be mapped; UINT64_MAX: none;
 *	@clean: also of pages that are not dirty
 * @copy: process_vm_readv(2) of this process, or pread(2) of a file: how many bytes, or a
 *	negative errno value
 */
struct host_map_calls {
	uint64_t (*least)(int fd, bool *clean);
	ssize_t (*copy)(char *to, struct host_bytes from, uint64_t length);
};

/* NULL, and a NULL in it, puts back what was there. */
void host_map_set_calls(const struct host_map_calls *by);

#endif /* LIBNVFS_HOST_H */
