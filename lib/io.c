// SPDX-License-Identifier: MIT
/*
 * Requests.  A request is put to the module whole.  What comes back as "can't
 * go direct" is moved through host memory, if the caller allowed that.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "abi.h"
#include "account.h"
#include "internal.h"

static void advance(struct span *span, uint64_t bytes)
{
	span->region_offset += bytes;
	span->file_offset += bytes;
	span->length -= bytes;
}

static int ask_module(struct nvfs_region *region, struct nvfs_rw *rw,
		      bool write)
{
	int fd = region->nvfs->fd;

	return write ? abi_write(fd, rw) : abi_read(fd, rw);
}

/* Direct is only what the module called so. */
static void count(struct nvfs_result *res, const struct nvfs_rw *rw)
{
	if (rw->reason)
		res->reason = rw->reason;
	if (rw->route == NVFS_ROUTE_DIRECT)
		res->direct += rw->done;
	else
		res->bounce += rw->done;
	if (rw->route == NVFS_ROUTE_MIXED)
		res->route = NVFS_ROUTE_MIXED;
}

/*
 * Have the module move @span.  A signal may cut a call short (EINTR with @done > 0 or
 * 0): the rest is asked for again.  Success with less than asked for is the
 * end of the file, and asking again would only say so a second time.
 */
static int move_by_module(struct nvfs_region *region, struct span *span,
			  uint32_t flags, struct nvfs_result *res)
{
	int ret;

	do {
		struct nvfs_rw rw = {
			.size = sizeof(rw),
			.flags = flags,
			.region = region->reg.region,
			.fd = span->fd,
			.region_offset = region->lead + span->region_offset,
			.file_offset = span->file_offset,
			.length = span->length,
		};

		ret = ask_module(region, &rw, span->write);
		/* Trusted no further than the request went. */
		if (rw.done > span->length)
			return -EPROTO;
		count(res, &rw);
		advance(span, rw.done);
	} while (ret == -EINTR && span->length);
	return ret == -EINTR ? 0 : ret;
}

static int move_direct(struct nvfs_region *region, struct span *span,
		       struct nvfs_result *res)
{
	return move_by_module(region, span, 0, res);
}

static int move_bounced(struct nvfs_region *region, struct span *span,
			struct nvfs_result *res)
{
	uint64_t done = 0;
	int ret = bounce_move(region, span, &done);

	res->bounce += done;
	advance(span, done);
	return ret;
}

/*
 * What O_DIRECT can't move.  Written from here, a part of a block would undo
 * direct writes to its neighbours; the module keeps the two apart.
 */
static int move_end(struct nvfs_region *region, struct span *span,
		    struct nvfs_result *res)
{
	return span->write ?
	       move_by_module(region, span, NVFS_RW_BOUNCE, res) :
	       move_bounced(region, span, res);
}

/*
 * How much in front of @span and how much of it after that could go direct?
 * False when nothing could.
 */
static bool find_aligned(struct nvfs_region *region, const struct span *span,
			 uint64_t *head, uint64_t *middle)
{
	struct nvfs_query query = { .size = sizeof(query) };
	uint64_t align, mem;

	if (nvfs_query_region(region, span->fd, &query) ||
	    query.route != NVFS_ROUTE_DIRECT || !query.offset_align)
		return false;
	align = query.offset_align;
	mem = query.mem_align ? query.mem_align : 1;
	*head = (align - span->file_offset % align) % align;
	if (*head >= span->length)
		return false;
	if ((region->lead + span->region_offset + *head) % mem)
		return false;
	*middle = (span->length - *head) / align * align;
	return *middle > 0;
}

/* Only the ends are in the way: the middle still goes direct. */
static int move_mixed(struct nvfs_region *region, struct span *span,
		      uint64_t head, uint64_t middle, struct nvfs_result *res)
{
	struct span part = *span;
	int ret;

	part.length = head;
	ret = head ? move_end(region, &part, res) : 0;
	if (ret || part.length) {
		advance(span, head - part.length);
		return ret;
	}
	advance(span, head);
	part = *span;
	part.length = middle;
	ret = move_direct(region, &part, res);
	advance(span, middle - part.length);
	if (ret == -EREMOTEIO)
		return move_bounced(region, span, res);
	if (ret || part.length || !span->length)
		return ret;
	return move_end(region, span, res);
}

static int move(struct nvfs_region *region, struct span *span,
		enum span_bounce bounce, struct nvfs_result *res)
{
	uint64_t head, middle;
	int ret;

	if (region->error) {
		res->reason = region->reason;
		return bounce == SPAN_BOUNCE ? move_bounced(region, span, res) :
					       region->error;
	}
	if (bounce == SPAN_MODULE_BOUNCE)
		return move_by_module(region, span, NVFS_RW_BOUNCE, res);
	ret = move_direct(region, span, res);
	if (ret != -EREMOTEIO || bounce == SPAN_DIRECT)
		return ret;
	if (res->reason != NVFS_REASON_ALIGN)
		return move_bounced(region, span, res);
	if (find_aligned(region, span, &head, &middle))
		return move_mixed(region, span, head, middle, res);
	return move_end(region, span, res);
}

static uint32_t route_of(const struct nvfs_result *res)
{
	if (res->route == NVFS_ROUTE_MIXED || (res->direct && res->bounce))
		return NVFS_ROUTE_MIXED;
	if (res->direct)
		return NVFS_ROUTE_DIRECT;
	return res->bounce ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE;
}

static int check(const struct nvfs_region *region, const struct span *span)
{
	if (span->length > SSIZE_MAX ||
	    add_overflows(span->region_offset, span->length) ||
	    span->file_offset > INT64_MAX - span->length)
		return -EOVERFLOW;
	if (span->region_offset + span->length > region->length)
		return -ERANGE;
	return ctx_check(region->nvfs);
}

ssize_t span_move(struct nvfs_region *region, struct span span,
		  enum span_bounce bounce, struct nvfs_result *res)
{
	uint64_t length = span.length;
	int ret;

	memset(res, 0, sizeof(*res));
	ret = check(region, &span);
	if (ret)
		return ret;
	ret = move(region, &span, bounce, res);
	res->done = length - span.length;
	res->route = route_of(res);
	account_add(region->nvfs->account, span.write, res, ret);
	return ret ? ret : (ssize_t)res->done;
}

static ssize_t request(struct nvfs_region *region, struct span span,
		       unsigned int flags, struct nvfs_result *res)
{
	struct nvfs_result dummy;

	if (!res)
		res = &dummy;
	if (!(flags & ~NVFS_IO_ALLOW_BOUNCE))
		return span_move(region, span, flags ? SPAN_BOUNCE :
						       SPAN_DIRECT, res);
	memset(res, 0, sizeof(*res));
	return -EINVAL;
}

NVFS_EXPORT ssize_t nvfs_read(struct nvfs_region *region,
			      uint64_t region_offset, int fd,
			      uint64_t file_offset, uint64_t length,
			      unsigned int flags, struct nvfs_result *res)
{
	struct span span = {
		.region_offset = region_offset,
		.file_offset = file_offset,
		.length = length,
		.fd = fd,
	};

	return request(region, span, flags, res);
}

NVFS_EXPORT ssize_t nvfs_write(struct nvfs_region *region,
			       uint64_t region_offset, int fd,
			       uint64_t file_offset, uint64_t length,
			       unsigned int flags, struct nvfs_result *res)
{
	struct span span = {
		.region_offset = region_offset,
		.file_offset = file_offset,
		.length = length,
		.fd = fd,
		.write = true,
	};

	return request(region, span, flags, res);
}
