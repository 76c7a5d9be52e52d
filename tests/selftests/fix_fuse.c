// SPDX-License-Identifier: MIT
/*
 * A file system of one file, in a process of its own that ends with the test's.
 * It is out of sight as soon as its file is open.
 */
#include "fix_fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "fix.h"

#define PLACE		"/tmp/fuse"
#define FILE_NODE	2
#define MOST		(128U << 10)
#define FOREVER		1000000U

static struct fuse_attr attr_of(const struct fuse_model *model, uint64_t node)
{
	bool is_file = node == FILE_NODE;

	return (struct fuse_attr){
		.ino = node,
		.size = is_file ? model->size : 0,
		.mode = is_file ? S_IFREG | 0644 : S_IFDIR | 0755,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void answer(int dev, const struct fuse_in_header *in, int error,
		   const void *payload, size_t length)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + length),
		.error = error,
		.unique = in->unique,
	};
	struct iovec iov[] = {
		{ &out, sizeof(out) },
		{ (void *)(uintptr_t)payload, length },
	};

	/* One that was interrupted wants none */
	if (writev(dev, iov, 2) < 0 && errno != ENOENT)
		_exit(2);
}

static void answer_init(int dev, const struct fuse_in_header *in)
{
	const struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_write = MOST,
	};

	answer(dev, in, 0, &out, sizeof(out));
}

static void answer_node(int dev, const struct fuse_in_header *in,
			const struct fuse_model *model)
{
	const struct fuse_entry_out entry = {
		.nodeid = FILE_NODE,
		.entry_valid = FOREVER,
		.attr_valid = FOREVER,
		.attr = attr_of(model, FILE_NODE),
	};
	const struct fuse_attr_out attr = {
		.attr_valid = FOREVER,
		.attr = attr_of(model, in->nodeid),
	};

	if (in->opcode == FUSE_LOOKUP)
		answer(dev, in, 0, &entry, sizeof(entry));
	else
		answer(dev, in, 0, &attr, sizeof(attr));
}

static void answer_read(int dev, const struct fuse_in_header *in,
			const struct fuse_model *model)
{
	const struct fuse_read_in *read = (const void *)(in + 1);
	uint64_t left = read->offset < model->size ?
			model->size - read->offset : 0;
	static uint8_t bytes[MOST];

	memset(bytes, FUSE_BYTE, sizeof(bytes));
	if (left > read->size)
		left = read->size;
	answer(dev, in, 0, bytes, left < MOST ? left : MOST);
}

static void answer_seek(int dev, const struct fuse_in_header *in,
			const struct fuse_model *model)
{
	const struct fuse_lseek_in *seek = (const void *)(in + 1);
	int64_t at = model->seek(seek->offset, (int)seek->whence);
	const struct fuse_lseek_out out = { .offset = (uint64_t)at };

	if (at < 0)
		answer(dev, in, (int)at, NULL, 0);
	else
		answer(dev, in, 0, &out, sizeof(out));
}

static void serve_one(int dev, const struct fuse_in_header *in,
		      const struct fuse_model *model)
{
	const struct fuse_open_out open = { .fh = 1 };

	switch (in->opcode) {
	case FUSE_INIT:
		return answer_init(dev, in);
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
		return answer_node(dev, in, model);
	case FUSE_OPEN:
		return answer(dev, in, 0, &open, sizeof(open));
	case FUSE_READ:
		return answer_read(dev, in, model);
	case FUSE_LSEEK:
		return answer_seek(dev, in, model);
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		return answer(dev, in, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return answer(dev, in, -ENOSYS, NULL, 0);
	}
}

static void serve(int dev, const struct fuse_model *model)
{
	static _Alignas(8) uint8_t request[MOST + 4096];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ssize_t n = read(dev, request, sizeof(request));

		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve_one(dev, (const void *)request, model);
		else if (n >= 0 || (errno != EINTR && errno != ENOENT))
			_exit(0);
	}
}

int fuse_file(const struct fuse_model *model)
{
	char options[100], out[200];
	int dev, fd;
	pid_t pid;

	if (shell(out, sizeof(out), "exec 2>&1; modprobe fuse; mkdir -p " PLACE))
		FAIL("fuse: %s", out);
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	ASSERT_GE(dev, 0);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	ASSERT_EQ(mount("test", PLACE, "fuse", MS_NOSUID | MS_NODEV, options),
		  0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		serve(dev, model);
	close(dev);
	fd = open(PLACE "/file", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(umount2(PLACE, MNT_DETACH), 0);
	return fd;
}
