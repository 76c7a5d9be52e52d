/* SPDX-License-Identifier: MIT */
/* A file whose server is the test's own. */
#ifndef FIX_FUSE_H
#define FIX_FUSE_H

#include <stdint.h>

/**
 * struct fuse_model - what the server says
 * @size: of the file, in bytes
 * @seek: what is at or after @pos, by SEEK_HOLE or SEEK_DATA: an offset or a
 *	negative errno value
 */
struct fuse_model {
	uint64_t size;
	int64_t (*seek)(uint64_t pos, int whence);
};

/* Returns an open file, of bytes that are all @FUSE_BYTE, for reading. */
#define FUSE_BYTE	0xf5
int fuse_file(const struct fuse_model *model);

#endif /* FIX_FUSE_H */
