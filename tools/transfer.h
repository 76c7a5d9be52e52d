/* SPDX-License-Identifier: MIT */
/* Many requests that together move one range, and the memory they move. */
#ifndef NVFS_TOOL_TRANSFER_H
#define NVFS_TOOL_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include <libnvfs.h>

struct options;

/**
 * struct session - GPU memory, registered
 * @gpu: on which GPU
 * @capacity: bytes of memory; @region covers them
 */
struct session {
	struct nvfs *nvfs;
	struct nvfs_buf *buf;
	struct nvfs_region *region;
	struct nvfs_gpu gpu;
	uint64_t capacity;
};

/*
 * Open the library, find the GPU, allocate and register at least @bytes.
 * Returns 0 or a negative errno value, with words for it in @message.
 */
int session_open(struct session *session, unsigned int gpu, uint64_t bytes,
		 bool bounce, char *message, size_t size);
void session_close(struct session *session);

/**
 * struct transfer - what to move
 * @region_offset: first byte in the region
 * @file_offset: first byte in the file
 * @length: bytes
 * @chunk: bytes of one request
 * @threads: requests at a time
 * @io_flags: NVFS_IO_*
 * @progress: called now and then by the thread that called transfer_run();
 *	returns non-zero to stop; may be NULL
 */
struct transfer {
	struct nvfs_region *region;
	int fd;
	bool write;
	uint64_t region_offset;
	uint64_t file_offset;
	uint64_t length;
	uint64_t chunk;
	unsigned int threads;
	unsigned int io_flags;
	int (*progress)(void *arg, uint64_t done);
	void *arg;
};

/**
 * struct outcome - what became of it
 * @done: bytes moved from the start, without a gap; less than asked for
 *	without an error is the end of the file
 * @error: the first failure, -ECANCELED when @progress stopped it
 */
struct outcome {
	uint64_t done;
	uint64_t ns;
	uint32_t route;
	uint32_t reason;
	int error;
};

void transfer_run(const struct transfer *transfer, struct outcome *outcome);

/**
 * struct plan - which bytes of a file are meant
 * @offset: first byte in the file
 * @size: bytes that the user asked for
 * @length: what a request is made for: @size, rounded up to what O_DIRECT
 *	asks of this file
 * @cut: WRITE: the file must be cut to @offset + @size afterwards
 */
struct plan {
	uint64_t offset;
	uint64_t size;
	uint64_t length;
	bool cut;
};

/* What file offset and length must be multiples of; never 0. */
uint64_t file_align(struct nvfs *nvfs, uint32_t gpu_bdf, int fd);

/*
 * Which bytes to read: from @offset up to @size bytes, or to the end of the
 * file.  @align: see file_align().  -EINVAL: @offset is past the end.
 */
int plan_read(int fd, uint64_t offset, uint64_t size, uint64_t align,
	      struct plan *plan);

/*
 * The same for a command: finds out the alignment first, with a handle of its
 * own, because it is what decides how much memory is needed.
 */
int plan_command(unsigned int gpu, int fd, const struct options *opts,
		 struct plan *plan);

/* Words for a failure of the two above. */
const char *plan_advice(int error);

/*
 * Which bytes to write.  A file takes whole blocks only, so its end is
 * written beyond @size and cut off again; -EOVERFLOW where that would destroy
 * bytes that follow: inside a file, or on a device.
 */
int plan_write(int fd, uint64_t offset, uint64_t size, uint64_t align,
	       struct plan *plan);

/**
 * struct comparison - file bytes against GPU memory, through the CPU
 * @equal: all were the same
 * @compared: bytes that were the same from the start
 * @first: GPU's byte at the difference, -1 where it has none; @second: file's
 */
struct comparison {
	bool equal;
	uint64_t compared;
	int first;
	int second;
};

/* Returns 0 or a negative errno value. */
int compare_file(struct nvfs_buf *buf, uint64_t buf_offset, int fd,
		 uint64_t file_offset, uint64_t length,
		 int (*progress)(void *arg, uint64_t done), void *arg,
		 struct comparison *comparison);

/* Words for a failed request, with a remedy. */
void explain(int error, uint32_t reason, const char *detail, char *message,
	     size_t size);

/* The module's own words on why @fd can't reach @region; "" when it has none. */
void ask_why(struct nvfs_region *region, int fd, uint32_t reason, char *text,
	     size_t size);

#endif /* NVFS_TOOL_TRANSFER_H */
