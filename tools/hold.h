/* SPDX-License-Identifier: MIT */
/*
 * Held GPU memory.
 *
 * GPU memory ends with its process, so 'nvfs cp --hold' leaves a process
 * behind, the holder, that keeps the memory and serves later commands over a
 * socket: one request, any number of progress messages, one result.  A file
 * is opened by the command, with the rights of its user, and passed along.
 */
#ifndef NVFS_TOOL_HOLD_H
#define NVFS_TOOL_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool.h"

#define HOLD_MAGIC	0x6873666eU	/* "nfsh" */
#define HOLD_VERSION	1

enum hold_op {
	HOLD_INFO	= 1,	/* what is held? */
	HOLD_WRITE	= 2,	/* write it to the file that comes with this */
	HOLD_VERIFY	= 3,	/* compare it with that file */
	HOLD_FREE	= 4,	/* free it and go away */
	HOLD_PROGRESS	= 5,	/* @done of @total */
	HOLD_RESULT	= 6	/* the end */
};

#define HOLD_BOUNCE	(1U << 0)	/* request: host memory is allowed */
#define HOLD_DIFFERS	(1U << 1)	/* result of HOLD_VERIFY */
#define HOLD_TRUNCATE	(1U << 2)	/* HOLD_WRITE: empty the file first */
#define HOLD_FLAGS	(HOLD_BOUNCE | HOLD_DIFFERS | HOLD_TRUNCATE)

/**
 * struct hold_msg - every message, in both directions
 * @offset: first byte in the file
 * @size: bytes
 * @chunk, @threads: how to write
 * @error: result: 0 or a negative errno value
 * @done: bytes so far; at the end, bytes that are good
 * @held: bytes that are held
 * @addr: their GPU address
 * @bdf: the GPU's PCI function
 * @pid: of the holder
 * @text: what was loaded (HOLD_INFO), words for @error
 */
struct hold_msg {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	uint32_t flags;
	uint32_t threads;
	uint64_t offset;
	uint64_t size;
	uint64_t chunk;
	uint64_t done;
	uint64_t total;
	uint64_t held;
	uint64_t addr;
	uint64_t ns;
	int32_t error;
	uint32_t route;
	uint32_t reason;
	uint32_t bdf;
	uint32_t pid;
	uint32_t reserved;
	char text[384];
};

/* hold_proto.c */

/* A message of kind @op, everything else 0. */
void hold_init(struct hold_msg *msg, enum hold_op op);

/*
 * Is this datagram a message?  0 or -EPROTO.  What it asks for may still be
 * nonsense: hold_check_request().
 */
int hold_decode(const void *data, size_t length, struct hold_msg *msg);

/*
 * May this request be served by a holder of @held bytes?  @fd: the file that
 * came with it, or -1.  0, -EPROTO, or -ERANGE (more than is held).
 */
int hold_check_request(const struct hold_msg *msg, int fd, uint64_t held);

/* Send; @fd goes along unless it is -1.  0 or a negative errno value. */
int hold_send(int sock, const struct hold_msg *msg, int fd);

/*
 * Receive; @fd is the file that came along, -1 when none did.  More than one
 * are -EPROTO.  -EPIPE: the other side has gone.
 */
int hold_recv(int sock, struct hold_msg *msg, int *fd);

/* 0 when the process at the other end runs as this user, or is root's. */
int hold_check_peer(int sock);

/* hold_dir.c */

/* How many places there are where the directory of the sockets may be. */
#define HOLD_DIRS	3

/*
 * The directory for a new socket: private to this user, created when it is
 * not there, at the first place that will do.  0 or a negative errno value.
 */
int hold_dir(char *path, size_t size);

/*
 * The directory at place @nr, which must be private to this user.  The place
 * of a holder need not be ours: its environment may have been another.
 */
int hold_find_dir(unsigned int nr, char *path, size_t size);

/* hold_client.c */

/* A connection to the holder of @gpu; -ENOENT when there is none. */
int hold_connect(unsigned int gpu);

/*
 * Ask, wait for the result, draw the progress meanwhile.  0 when a result
 * came, which may be a failure; otherwise a negative errno value.
 */
int hold_ask(int sock, const struct hold_msg *request, int fd,
	     struct progress *progress, struct hold_msg *result);

/* hold_server.c */

struct session;

/**
 * struct holding - what a holder holds
 * @dir: where its socket is
 * @listener: its socket
 * @lock: a locked file, as long as the holder lives
 */
struct holding {
	unsigned int gpu;
	struct session *session;
	uint64_t bytes;
	uint64_t offset;
	char file[256];
	char dir[256];
	int lock;
	int listener;
};

/*
 * Become the one holder of @gpu, before anything is loaded.  -EBUSY when
 * there is one.
 */
int hold_claim(struct holding *holding, unsigned int gpu);

/* Open the socket: from now on commands can come. */
int hold_listen(struct holding *holding);

/* Serve until told to end; frees the memory and removes the socket. */
void hold_serve(struct holding *holding);

#endif /* NVFS_TOOL_HOLD_H */
