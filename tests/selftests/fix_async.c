// SPDX-License-Identifier: MIT
/* Requests with flags, batches, and a drive that nothing reaches directly. */
#include "fix_async.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

static void rw_fill(struct nvfs_rw *rw, const struct xfer *x, uint32_t flags)
{
	memset(rw, 0, sizeof(*rw));
	rw->size = sizeof(*rw);
	rw->flags = flags;
	rw->region = x->region;
	rw->fd = x->file;
	rw->region_offset = x->region_offset;
	rw->file_offset = x->file_offset;
	rw->length = x->length;
}

int nv_rw_as(const struct xfer *x, bool write, uint32_t flags,
	     struct nvfs_rw *rw)
{
	rw_fill(rw, x, flags);
	return ioctl(x->dev, write ? NVFS_IOC_WRITE : NVFS_IOC_READ, rw);
}

int nv_read_holes(const struct xfer *x, uint32_t flags, struct nvfs_hole *holes,
		  uint32_t max_holes, struct nvfs_rw *rw)
{
	rw_fill(rw, x, flags | NVFS_RW_REPORT_HOLES);
	rw->holes = (uintptr_t)holes;
	rw->max_holes = max_holes;
	return ioctl(x->dev, NVFS_IOC_READ, rw);
}

struct nvfs_request nv_request(const struct xfer *x, uint32_t op,
			       uint32_t flags, uint64_t user_data)
{
	return (struct nvfs_request){
		.op = op,
		.flags = flags,
		.region = x->region,
		.fd = x->file,
		.region_offset = x->region_offset,
		.file_offset = x->file_offset,
		.length = x->length,
		.user_data = user_data,
	};
}

int batch_create(int dev, uint32_t depth, uint32_t *batch)
{
	struct nvfs_batch_create c = { .size = sizeof(c), .depth = depth };
	int ret = ioctl(dev, NVFS_IOC_BATCH_CREATE, &c);

	*batch = c.batch;
	return ret;
}

uint32_t batch_make(int dev, uint32_t depth)
{
	uint32_t batch;

	ASSERT_EQ(batch_create(dev, depth, &batch), 0);
	ASSERT_NE(batch, 0);
	return batch;
}

int batch_submit(int dev, uint32_t batch, const struct nvfs_request *requests,
		 uint32_t nr, struct nvfs_batch_submit *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->batch = batch;
	out->nr = nr;
	out->requests = (uintptr_t)requests;
	return ioctl(dev, NVFS_IOC_BATCH_SUBMIT, out);
}

int batch_reap(int dev, uint32_t batch, struct nvfs_event *events,
	       uint32_t min_nr, uint32_t max_nr, int64_t timeout_ns,
	       uint32_t *nr)
{
	struct nvfs_batch_reap r = {
		.size = sizeof(r),
		.batch = batch,
		.min_nr = min_nr,
		.max_nr = max_nr,
		.events = (uintptr_t)events,
		.timeout_ns = timeout_ns,
	};
	int ret = ioctl(dev, NVFS_IOC_BATCH_REAP, &r);

	*nr = r.nr;
	return ret;
}

int batch_cancel(int dev, uint32_t batch, uint32_t *nr)
{
	struct nvfs_batch_cancel c = { .size = sizeof(c), .batch = batch };
	int ret = ioctl(dev, NVFS_IOC_BATCH_CANCEL, &c);

	*nr = c.nr;
	return ret;
}

int batch_destroy(int dev, uint32_t batch)
{
	struct nvfs_batch_destroy d = { .size = sizeof(d), .batch = batch };

	return ioctl(dev, NVFS_IOC_BATCH_DESTROY, &d);
}

void batch_reap_all(int dev, uint32_t batch, struct nvfs_event *events,
		    uint32_t nr, int seconds)
{
	double end = harness_now() + seconds;
	uint32_t got = 0, n;

	while (got < nr) {
		ASSERT_EQ(batch_reap(dev, batch, events + got, 1, nr - got,
				     seconds * SECOND_NS, &n), 0);
		ASSERT_LE(n, nr - got);
		got += n;
		if (harness_now() > end && got < nr)
			FAIL("%u of %u events after %d s", got, nr, seconds);
		if (!n)
			FAIL("%u of %u events, and no more in flight", got, nr);
	}
	ASSERT_EQ(batch_reap(dev, batch, events, 0, 1, 0, &n), 0);
	ASSERT_EQ(n, 0);
}

#define VBLK_RAW_MIB	20

/* Made once per guest; what is there already stays. */
static void vblk_set_up(void)
{
	const char *disk = fix_place("vblk0");
	char out[600];

	if (!disk[0])
		FAIL("the machine has no virtio-blk drive");
	/*
	 * Blocks of a page: with smaller ones ext4 itself loses bytes that are
	 * stored through a mapping into the last page, once an O_DIRECT write has
	 * let the file grow (seen on 6.1 and 6.12 without NVFS).
	 */
	if (shell(out, sizeof(out),
		  "exec 2>&1 9>/run/nvfs-test/vblk.lock; flock 9\n"
		  "d=%s m=/run/nvfs-test/vblk\n"
		  "mountpoint -q $m && exit 0\n"
		  "mib=$(($(blockdev --getsz $d) / 2048))\n"
		  "[ -b ${d}1 ] || { addpart $d 1 2048 $((%d * 2048)) &&\n"
		  "addpart $d 2 $((%d * 2048)) $(((mib - %d) * 2048)); } ||\n"
		  "exit 1\n"
		  "udevadm settle 2>/dev/null; mkdir -p $m &&\n"
		  "mkfs.ext4 -q -F -b 4096 ${d}2 && mount ${d}2 $m",
		  disk, VBLK_RAW_MIB, VBLK_RAW_MIB + 1, VBLK_RAW_MIB + 1))
		FAIL("a file system on %s: %s", disk, out);
}

const char *vblk_part(void)
{
	static char path[64];

	vblk_set_up();
	snprintf(path, sizeof(path), "%s1", fix_place("vblk0"));
	return path;
}

const char *vblk_ext4(void)
{
	vblk_set_up();
	return "/run/nvfs-test/vblk";
}

/* ---------------------------------------------------- a frozen file system */

/* A lock of this process on the file that is its standard input. */
static int lock_stdin(int command)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(STDIN_FILENO, command, &lock);
}

/* Of the process that guards a test. */
static struct frost guarded;
static void (*guard_action)(const struct frost *frost);

static void act(int signal)
{
	(void)signal;
	guard_action(&guarded);
}

/*
 * When a process ends, its files are closed in their order, and those of the
 * GPU wait for requests. A pipe would be released behind them, a lock goes when
 * its file's turn comes, and standard input is the first. No file is closed while
 * a thread of the process is itself stuck; then it is the end of the thread that
 * called this that tells.
 */
static void guard_begin(struct frost *frost,
			void (*end)(const struct frost *frost))
{
	int file = memfd_create("frost", MFD_CLOEXEC);

	ASSERT_GT(file, 0);
	ASSERT_EQ(dup2(file, STDIN_FILENO), STDIN_FILENO);
	close(file);
	ASSERT_EQ(lock_stdin(F_SETLK), 0);
	frost->pid = fork();
	if (frost->pid)
		return;
	setsid();
	guarded = *frost;
	guard_action = end;
	signal(SIGUSR1, act);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	while (lock_stdin(F_SETLKW) && errno == EINTR)
		continue;
	end(frost);
	_exit(0);
}

static void guard_end(struct frost *frost)
{
	ASSERT_EQ(kill(frost->pid, SIGKILL), 0);
	ASSERT_EQ(waitpid(frost->pid, NULL, 0), frost->pid);
}

static void thaw(const struct frost *frost)
{
	ioctl(frost->fd, FITHAW, 0);
}

void frost_begin(struct frost *frost, const char *place)
{
	frost->fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(frost->fd, 0);
	guard_begin(frost, thaw);
	ASSERT_EQ(ioctl(frost->fd, FIFREEZE, 0), 0);
}

void frost_end(struct frost *frost)
{
	ASSERT_EQ(ioctl(frost->fd, FITHAW, 0), 0);
	guard_end(frost);
	close(frost->fd);
}

/* ---------------------------------------------- a drive that does not answer */

#define MUTE	"nvfs-mute"

const char *mute_make(uint64_t length)
{
	char out[500];

	if (shell(out, sizeof(out),
		  "exec 2>&1; modprobe dm-mod; dmsetup remove -f " MUTE
		  " 2>/dev/null; echo 0 %llu linear %s 0 | dmsetup create "
		  MUTE " && dmsetup mknodes", (unsigned long long)length / 512,
		  fix_place("part")))
		FAIL("dmsetup: %s", out);
	return "/dev/mapper/" MUTE;
}

static void resume(const struct frost *frost)
{
	(void)frost;
	execlp("dmsetup", "dmsetup", "resume", MUTE, NULL);
}

void mute_begin(struct frost *frost)
{
	guard_begin(frost, resume);
	ASSERT_EQ(shell(NULL, 0, "dmsetup suspend --noflush --nolockfs " MUTE),
		  0);
}

void mute_end(struct frost *frost)
{
	ASSERT_EQ(shell(NULL, 0, "dmsetup resume " MUTE), 0);
	guard_end(frost);
}

void mute_remove(void)
{
	ASSERT_EQ(shell(NULL, 0, "udevadm settle 2>/dev/null; "
			"dmsetup remove --retry " MUTE), 0);
}
