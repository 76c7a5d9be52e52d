// SPDX-License-Identifier: MIT
/*
 * Bad input: each call that the contract (uapi/nvfs.h) refuses gets the errno
 * that it names, moves no byte, and leaves nothing behind.
 */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/fs.h>

#define SEED	31
#define POISON	0xc3
#define SIZE	(256 * KIB)
#define TWO63	(1ULL << 63)

/* A region and a file that stay as they are, whatever is asked. */
struct stage {
	struct gpu_buf buf;
	int dev;
	uint32_t region;
	int file;
};

static void set_stage(struct stage *s)
{
	s->dev = nv_open();
	gpu_alloc(&s->buf, 0, SIZE, false);
	gpu_fill(&s->buf, POISON);
	s->region = nv_region(s->dev, &s->buf);
	s->file = file_make(EXT4, SIZE, SEED, O_RDWR);
}

static void check_stage(const struct stage *s)
{
	gpu_check_byte(&s->buf, 0, SIZE, POISON);
	file_check(s->file, 0, 0, SIZE, SEED);
	ASSERT_EQ(nv_nr_regions(s->dev), 1);
	ASSERT_EQ(gpu_pins(), 1);
}

/* The same request as READ and as WRITE, each to be refused with @want. */
static void refuse_one(unsigned long call, const char *name,
		       const struct xfer *x, int want, int line)
{
	struct nvfs_rw rw = {
		.size = sizeof(rw), .region = x->region, .fd = x->file,
		.region_offset = x->region_offset,
		.file_offset = x->file_offset, .length = x->length,
		.done = 77, .route = 77, .reason = 77,
	};
	int ret = ioctl(x->dev, call, &rw);

	if (ret != -1 || errno != want)
		harness_fail(__FILE__, line, "%s: returned %d, errno %d (%s), not %d (%s)",
			     name, ret, errno, strerror(errno), want,
			     strerror(want));
	if (rw.done || rw.route != NVFS_ROUTE_NONE)
		harness_fail(__FILE__, line, "%s: done %llu, route %u after a refusal",
			     name, (unsigned long long)rw.done, rw.route);
}

#define REFUSE_READ(x, want) \
	refuse_one(NVFS_IOC_READ, "READ", x, want, __LINE__)
#define REFUSE_WRITE(x, want) \
	refuse_one(NVFS_IOC_WRITE, "WRITE", x, want, __LINE__)
#define REFUSE(x, want) do {						\
	REFUSE_READ(x, want);						\
	REFUSE_WRITE(x, want);						\
} while (0)

static struct xfer good(const struct stage *s)
{
	return (struct xfer){ .dev = s->dev, .region = s->region,
			      .file = s->file, .length = 64 * KIB };
}

/* --------------------------------------------------- READ and WRITE */

TEST(unknown_region_is_enoent)
{
	static const uint32_t ids[] = { 0, 99, 0x7fffffff, 0x80000000,
					0xffffffff };
	struct stage s;
	struct xfer x;
	size_t i;

	set_stage(&s);
	x = good(&s);
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		x.region = ids[i];
		REFUSE(&x, ENOENT);
		ASSERT_ERRNO(nv_unregister(s.dev, ids[i]), ENOENT);
	}
	check_stage(&s);
}

TEST(region_of_another_open_file_is_enoent)
{
	struct nvfs_query query;
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.dev = nv_open();
	REFUSE(&x, ENOENT);
	ASSERT_ERRNO(nv_unregister(x.dev, s.region), ENOENT);
	ASSERT_ERRNO(nv_query(x.dev, s.region, s.file, &query), ENOENT);
	check_stage(&s);
}

TEST(ranges_outside_the_region_are_erange)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.length = SIZE + 1;
	REFUSE(&x, ERANGE);
	x.length = SIZE + BLOCK;
	REFUSE(&x, ERANGE);
	x.length = 1;
	x.region_offset = SIZE;
	REFUSE(&x, ERANGE);
	x.length = BLOCK;
	x.region_offset = SIZE - BLOCK + 512;
	REFUSE(&x, ERANGE);
	x.region_offset = SIZE * 4;
	REFUSE(&x, ERANGE);
	x.region_offset = TWO63;
	REFUSE(&x, ERANGE);
	x.region_offset = 0;
	x.length = 1ULL << 32;
	REFUSE(&x, ERANGE);
	x.length = 1ULL << 62;
	REFUSE(&x, ERANGE);
	check_stage(&s);
}

TEST(ranges_that_wrap_around_are_eoverflow)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.region_offset = 0ULL - BLOCK;
	REFUSE(&x, EOVERFLOW);
	x.region_offset = ~0ULL;
	REFUSE(&x, EOVERFLOW);
	x.region_offset = 0;
	x.file_offset = 0ULL - BLOCK;
	REFUSE(&x, EOVERFLOW);
	x.file_offset = ~0ULL;
	x.length = 0;
	REFUSE(&x, EOVERFLOW);
	x.file_offset = TWO63;
	REFUSE(&x, EOVERFLOW);
	x.file_offset = BLOCK;
	x.length = 0ULL - BLOCK;
	REFUSE(&x, EOVERFLOW);
	check_stage(&s);
}

TEST(length_of_2_to_the_63_is_eoverflow)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.length = TWO63;
	REFUSE(&x, EOVERFLOW);
	x.length = BLOCK;
	x.file_offset = TWO63 - BLOCK;
	REFUSE(&x, EOVERFLOW);
	check_stage(&s);
}

/* Past the end of any file: nothing to read, nowhere to write. */
TEST(file_offset_at_the_end_of_the_number_range)
{
	struct nvfs_rw rw;
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.length = BLOCK;
	x.file_offset = TWO63 - 2 * BLOCK;
	ASSERT_EQ(nv_read(&x, &rw), 0);
	ASSERT_EQ(rw.done, 0);
	ASSERT_EQ(rw.route, NVFS_ROUTE_NONE);
	REFUSE_WRITE(&x, EFBIG);
	check_stage(&s);
}

TEST(descriptors_that_are_not_open_are_ebadf)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.file = -1;
	REFUSE(&x, EBADF);
	x.file = 0x7fffffff;
	REFUSE(&x, EBADF);
	x.file = (int)0x80000000;
	REFUSE(&x, EBADF);
	x.file = open("/", O_PATH | O_CLOEXEC);
	REFUSE(&x, EBADF);
	close(x.file);
	REFUSE(&x, EBADF);
	check_stage(&s);
}

static int reopen(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	ASSERT_GE(again, 0);
	return again;
}

TEST(descriptors_of_the_wrong_mode_are_ebadf)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.file = reopen(s.file, O_RDONLY);
	REFUSE_WRITE(&x, EBADF);
	x.file = reopen(s.file, O_WRONLY);
	REFUSE_READ(&x, EBADF);
	x.file = reopen(s.file, O_RDONLY | O_DIRECT);
	REFUSE_WRITE(&x, EBADF);
	check_stage(&s);
}

TEST(append_only_descriptors_are_eperm)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.file = reopen(s.file, O_RDWR | O_APPEND);
	REFUSE_WRITE(&x, EPERM);
	x.file = reopen(s.file, O_WRONLY | O_APPEND | O_DIRECT);
	REFUSE_WRITE(&x, EPERM);
	check_stage(&s);
}

TEST(immutable_files_are_eperm)
{
	int flags, none = 0;
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	ASSERT_EQ(ioctl(s.file, FS_IOC_GETFLAGS, &flags), 0);
	flags |= FS_IMMUTABLE_FL;
	ASSERT_EQ(ioctl(s.file, FS_IOC_SETFLAGS, &flags), 0);
	REFUSE_WRITE(&x, EPERM);
	flags &= ~FS_IMMUTABLE_FL;
	ASSERT_EQ(ioctl(s.file, FS_IOC_SETFLAGS, &flags), none);
	check_stage(&s);
}

TEST(directories_are_eisdir)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.file = open(fix_place("ext4"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(x.file, 0);
	REFUSE_READ(&x, EISDIR);
	/* can't be open for writing: the mode is looked at first */
	REFUSE_WRITE(&x, EBADF);
	check_stage(&s);
}

TEST(things_without_offsets_are_espipe)
{
	int pair[2], ends[2];
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	ASSERT_EQ(pipe(ends), 0);
	x.file = ends[0];
	REFUSE_READ(&x, ESPIPE);
	x.file = ends[1];
	REFUSE_WRITE(&x, ESPIPE);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	x.file = pair[0];
	REFUSE(&x, ESPIPE);
	check_stage(&s);
}

/* Character devices and files of the kernel: no drive is behind them. */
TEST(things_that_are_no_files_are_refused)
{
	static const char * const paths[] = {
		"/dev/null", "/dev/zero", "/dev/nvidia-fs", "/dev/mem",
	};
	struct stage s;
	struct xfer x;
	size_t i;

	set_stage(&s);
	x = good(&s);
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct nvfs_rw rw;

		x.file = open(paths[i], O_RDWR | O_CLOEXEC);
		if (x.file < 0)
			continue;
		ASSERT_EQ(nv_read(&x, &rw), -1);
		ASSERT_TRUE(errno == EINVAL || errno == ESPIPE);
		ASSERT_EQ(nv_write(&x, &rw), -1);
		ASSERT_TRUE(errno == EINVAL || errno == ESPIPE);
		close(x.file);
	}
	x.file = eventfd(0, EFD_CLOEXEC);
	ASSERT_GE(x.file, 0);
	{
		struct nvfs_rw rw;

		ASSERT_EQ(nv_read(&x, &rw), -1);
		ASSERT_TRUE(errno == EINVAL || errno == ESPIPE);
	}
	check_stage(&s);
}

/* Files that have no drive, but are regular: refused with a reason. */
TEST(files_without_a_drive_are_eremoteio)
{
	char path[300];
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	snprintf(path, sizeof(path), "%s/f", fix_place("tmpfs"));
	x.file = file_make_at(path, 0, SIZE, SEED, O_RDWR);
	REFUSE(&x, EREMOTEIO);
	file_check(x.file, 0, 0, SIZE, SEED);
	unlink(path);
	x.file = memfd_create("m", MFD_CLOEXEC);
	ASSERT_EQ(ftruncate(x.file, SIZE), 0);
	REFUSE(&x, EREMOTEIO);
	x.file = open("/proc/version", O_RDONLY | O_CLOEXEC);
	REFUSE_READ(&x, EINVAL);
	check_stage(&s);
}

TEST(unaligned_requests_are_eremoteio)
{
	struct nvfs_rw rw;
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = good(&s);
	x.file_offset = 1;
	REFUSE(&x, EREMOTEIO);
	x.file_offset = 0;
	x.length = 1;
	REFUSE(&x, EREMOTEIO);
	x.length = 1000;
	REFUSE(&x, EREMOTEIO);
	x.length = BLOCK;
	x.region_offset = 1;
	REFUSE(&x, EREMOTEIO);
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
	check_stage(&s);
}

/* The order of the checks is part of the contract: all are wrong here. */
TEST(errors_are_looked_for_in_order)
{
	struct stage s;
	struct xfer x;

	set_stage(&s);
	x = (struct xfer){ .dev = s.dev, .region = 99, .file = -1,
			   .region_offset = ~0ULL, .file_offset = ~0ULL,
			   .length = ~0ULL };
	REFUSE(&x, ENOENT);
	x.region = s.region;
	REFUSE(&x, EOVERFLOW);
	x.region_offset = SIZE;
	x.file_offset = 0;
	x.length = BLOCK;
	REFUSE(&x, ERANGE);
	x.region_offset = 0;
	REFUSE(&x, EBADF);
	gpu_free(&s.buf);
	REFUSE(&x, ESTALE);
	x.region_offset = ~0ULL;
	REFUSE(&x, ESTALE);
	x.region = 99;
	REFUSE(&x, ENOENT);
	file_check(s.file, 0, 0, SIZE, SEED);
}

/* ---------------------------------------------------------- REGISTER */

static void refuse_register(const struct stage *s, uint64_t va, uint64_t len,
			    int want, int line)
{
	struct nvfs_register reg;
	int ret = nv_register(s->dev, va, len, &reg);

	if (ret != -1 || errno != want)
		harness_fail(__FILE__, line,
			     "REGISTER(0x%llx, 0x%llx): returned %d, errno %d (%s), not %d",
			     (unsigned long long)va, (unsigned long long)len,
			     ret, errno, strerror(errno), want);
}

#define REFUSE_REGISTER(s, va, len, want) \
	refuse_register(s, va, len, want, __LINE__)

TEST(ranges_that_are_not_gpu_memory_are_efault)
{
	struct gpu_buf freed;
	struct stage s;
	uint64_t va;

	set_stage(&s);
	va = s.buf.va;
	gpu_alloc(&freed, 0, SIZE, false);
	gpu_free(&freed);
	REFUSE_REGISTER(&s, 0, BLOCK, EFAULT);
	REFUSE_REGISTER(&s, 4096, BLOCK, EFAULT);
	REFUSE_REGISTER(&s, (uintptr_t)&s & ~4095UL, BLOCK, EFAULT);
	REFUSE_REGISTER(&s, va + SIZE, BLOCK, EFAULT);
	REFUSE_REGISTER(&s, va + SIZE - BLOCK, 2 * BLOCK, EFAULT);
	REFUSE_REGISTER(&s, va, SIZE + 64 * KIB, EFAULT);
	REFUSE_REGISTER(&s, va - BLOCK, 2 * BLOCK, EFAULT);
	REFUSE_REGISTER(&s, 0xffffffff80000000ULL, BLOCK, EFAULT);
	REFUSE_REGISTER(&s, 0ULL - 64 * KIB, BLOCK, EFAULT);
	check_stage(&s);
}

/* Lengths that no GPU has must not make the kernel allocate without bound. */
TEST(lengths_beyond_the_gpu_are_refused)
{
	struct nvfs_register reg;
	struct stage s;
	int shift;

	set_stage(&s);
	for (shift = 29; shift < 63; shift++) {
		ASSERT_EQ(nv_register(s.dev, s.buf.va, 1ULL << shift, &reg),
			  -1);
		ASSERT_TRUE(errno == EFAULT || errno == ENOMEM);
	}
	check_stage(&s);
}

TEST(registrations_of_bad_form_are_einval)
{
	struct stage s;
	uint64_t va;

	set_stage(&s);
	va = s.buf.va;
	REFUSE_REGISTER(&s, va, 0, EINVAL);
	REFUSE_REGISTER(&s, va, 1, EINVAL);
	REFUSE_REGISTER(&s, va, 4095, EINVAL);
	REFUSE_REGISTER(&s, va, 4097, EINVAL);
	REFUSE_REGISTER(&s, va + 1, BLOCK, EINVAL);
	REFUSE_REGISTER(&s, va + 512, BLOCK, EINVAL);
	REFUSE_REGISTER(&s, va, 0ULL - BLOCK, EOVERFLOW);
	REFUSE_REGISTER(&s, 0ULL - BLOCK, 2 * BLOCK, EOVERFLOW);
	check_stage(&s);
}

TEST(sources_and_flags_that_are_unknown)
{
	struct nvfs_register base = { .size = sizeof(base), .fd = -1 }, reg;
	struct stage s;
	int bit;

	set_stage(&s);
	base.addr = s.buf.va;
	base.length = SIZE;
	reg = base;
	reg.source = NVFS_SOURCE_DMABUF;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EOPNOTSUPP);
	reg.source = 2;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EINVAL);
	reg.source = 0xffffffff;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EINVAL);
	reg = base;
	reg.fd = s.file;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EINVAL);
	reg.fd = 0;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EINVAL);
	for (bit = 1; bit < 32; bit++) {
		reg = base;
		reg.flags = 1U << bit;
		ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, &reg), EINVAL);
	}
	check_stage(&s);
}

/* ------------------------------------------------ the rules of all calls */

/* Each call with arguments that it accepts, to be spoiled by the tests. */
union any {
	struct nvfs_info info;
	struct nvfs_register reg;
	struct nvfs_unregister unreg;
	struct nvfs_rw rw;
	struct nvfs_query query;
	struct {
		uint32_t size;
		uint32_t flags;
	} head;
	uint8_t bytes[8192];
};

struct call {
	const char *name;
	unsigned long number;
	uint32_t size;
	uint32_t flags;		/* known flags */
};

static const struct call calls[] = {
	{ "INFO", NVFS_IOC_INFO, sizeof(struct nvfs_info), 0 },
	{ "REGISTER", NVFS_IOC_REGISTER, sizeof(struct nvfs_register),
	  NVFS_REGISTER_PERSISTENT },
	{ "UNREGISTER", NVFS_IOC_UNREGISTER, sizeof(struct nvfs_unregister),
	  0 },
	{ "READ", NVFS_IOC_READ, sizeof(struct nvfs_rw),
	  NVFS_RW_BOUNCE | NVFS_RW_REPORT_HOLES },
	{ "WRITE", NVFS_IOC_WRITE, sizeof(struct nvfs_rw), NVFS_RW_BOUNCE },
	{ "QUERY", NVFS_IOC_QUERY, sizeof(struct nvfs_query),
	  NVFS_QUERY_GPU },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

/*
 * Good arguments that change nothing: reads and writes of length 0. REGISTER
 * and UNREGISTER do work; they get what makes each one's success undoable.
 */
static void good_args(const struct stage *s, const struct call *call,
		      union any *a)
{
	memset(a, 0, sizeof(*a));
	a->head.size = call->size;
	switch (call->number) {
	case NVFS_IOC_REGISTER:
		a->reg.fd = -1;
		a->reg.addr = s->buf.va;
		a->reg.length = SIZE;
		break;
	case NVFS_IOC_UNREGISTER:
		a->unreg.region = nv_region(s->dev, &s->buf);
		break;
	case NVFS_IOC_READ:
	case NVFS_IOC_WRITE:
		a->rw.region = s->region;
		a->rw.fd = s->file;
		break;
	case NVFS_IOC_QUERY:
		a->query.region = s->region;
		a->query.fd = s->file;
		break;
	}
}

/* Ends what a good REGISTER or a refused UNREGISTER has left. */
static void undo(const struct stage *s, const struct call *call,
		 const union any *a, bool succeeded)
{
	if (call->number == NVFS_IOC_REGISTER && succeeded)
		ASSERT_EQ(nv_unregister(s->dev, a->reg.region), 0);
	if (call->number == NVFS_IOC_UNREGISTER && !succeeded)
		ASSERT_EQ(nv_unregister(s->dev, a->unreg.region), 0);
}

static void expect(const struct stage *s, const struct call *call,
		   union any *a, int want, const char *what)
{
	int ret = ioctl(s->dev, call->number, a);

	if (want ? ret != -1 || errno != want : ret != 0)
		FAIL("%s with %s: returned %d, errno %d (%s), not %d",
		     call->name, what, ret, errno, strerror(errno), want);
	undo(s, call, a, !want);
}

TEST(sizes_below_the_first_published_are_einval)
{
	struct stage s;
	union any a;
	size_t i;

	set_stage(&s);
	for (i = 0; i < CALLS; i++) {
		const uint32_t sizes[] = { 0, 1, 4, 8, calls[i].size - 8,
					   calls[i].size - 1 };
		size_t k;

		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			good_args(&s, &calls[i], &a);
			a.head.size = sizes[k];
			expect(&s, &calls[i], &a, EINVAL, "a small size");
		}
	}
	check_stage(&s);
}

TEST(larger_structures_are_judged_by_their_tail)
{
	/* not on the stack, behind which the address space may end */
	static union any a;
	struct stage s;
	size_t i;

	set_stage(&s);
	for (i = 0; i < CALLS; i++) {
		const uint32_t size = calls[i].size;

		good_args(&s, &calls[i], &a);
		expect(&s, &calls[i], &a, 0, "its own size");
		good_args(&s, &calls[i], &a);
		a.head.size = size + 8;
		expect(&s, &calls[i], &a, 0, "a tail of zeros");
		good_args(&s, &calls[i], &a);
		a.head.size = size + 8;
		a.bytes[size] = 1;
		expect(&s, &calls[i], &a, E2BIG, "a tail that is not zero");
		good_args(&s, &calls[i], &a);
		a.head.size = size + 64;
		a.bytes[size + 63] = 0x80;
		expect(&s, &calls[i], &a, E2BIG, "a last byte of 0x80");
		good_args(&s, &calls[i], &a);
		a.head.size = 0xffffffff;
		a.bytes[size] = 1;
		expect(&s, &calls[i], &a, E2BIG, "a size of 4 GiB");
	}
	check_stage(&s);
}

TEST(unknown_flags_are_einval)
{
	struct stage s;
	union any a;
	size_t i;
	int bit;

	set_stage(&s);
	for (i = 0; i < CALLS; i++) {
		for (bit = 0; bit < 32; bit++) {
			if (calls[i].flags & 1U << bit)
				continue;
			good_args(&s, &calls[i], &a);
			a.head.flags = 1U << bit;
			expect(&s, &calls[i], &a, EINVAL, "an unknown flag");
		}
	}
	check_stage(&s);
}

TEST(reserved_fields_are_einval)
{
	struct stage s;
	union any a;

	set_stage(&s);
	good_args(&s, &calls[2], &a);
	a.unreg.__reserved = 1;
	expect(&s, &calls[2], &a, EINVAL, "a reserved field");
	good_args(&s, &calls[2], &a);
	a.unreg.__reserved = 0x80000000;
	expect(&s, &calls[2], &a, EINVAL, "a reserved field");
	check_stage(&s);
}

/* "out" fields are ignored on entry. */
TEST(out_fields_may_hold_anything)
{
	struct stage s;
	union any a;

	set_stage(&s);
	good_args(&s, &calls[0], &a);
	memset(&a.info.version_major, 0xff, sizeof(a.info) - 8);
	expect(&s, &calls[0], &a, 0, "garbage in its out fields");
	ASSERT_EQ(a.info.__reserved, 0);
	ASSERT_EQ(a.info.nr_regions, 1);
	good_args(&s, &calls[3], &a);
	a.rw.done = ~0ULL;
	a.rw.route = a.rw.reason = 0xffffffff;
	expect(&s, &calls[3], &a, 0, "garbage in its out fields");
	ASSERT_EQ(a.rw.done, 0);
	ASSERT_EQ(a.rw.route, NVFS_ROUTE_NONE);
	good_args(&s, &calls[5], &a);
	memset(&a.query.gpu, 0xff, sizeof(a.query) - 16);
	expect(&s, &calls[5], &a, 0, "garbage in its out fields");
	ASSERT_EQ(a.query.gpu, gpu_bdf(0));
	check_stage(&s);
}

/* Bytes at the very end of what is mapped, behind it, and read-only. */
TEST(structures_at_bad_addresses_are_efault)
{
	struct stage s;
	uint8_t *page;
	union any a;
	size_t i;

	set_stage(&s);
	page = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(page != MAP_FAILED);
	ASSERT_EQ(munmap(page + BLOCK, BLOCK), 0);
	for (i = 0; i < CALLS; i++) {
		uint8_t *end = page + BLOCK;

		ASSERT_ERRNO(ioctl(s.dev, calls[i].number, NULL), EFAULT);
		ASSERT_ERRNO(ioctl(s.dev, calls[i].number, 1), EFAULT);
		ASSERT_ERRNO(ioctl(s.dev, calls[i].number, end), EFAULT);
		ASSERT_ERRNO(ioctl(s.dev, calls[i].number, end - 3), EFAULT);
		ASSERT_ERRNO(ioctl(s.dev, calls[i].number, ~0xfffUL), EFAULT);
		good_args(&s, &calls[i], &a);
		memcpy(end - calls[i].size + 4, &a, calls[i].size - 4);
		ASSERT_ERRNO(ioctl(s.dev, calls[i].number,
				   end - calls[i].size + 4), EFAULT);
		undo(&s, &calls[i], &a, false);
	}
	check_stage(&s);
}

/* What can't be told must not have happened: no region without an id. */
TEST(result_that_can_not_be_written_leaves_no_region)
{
	struct stage s;
	union any a;
	void *page;

	set_stage(&s);
	page = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(page != MAP_FAILED);
	good_args(&s, &calls[1], &a);
	memcpy(page, &a, calls[1].size);
	ASSERT_EQ(mprotect(page, BLOCK, PROT_READ), 0);
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_REGISTER, page), EFAULT);
	check_stage(&s);
}

TEST(unknown_calls_are_enotty)
{
	struct stage s;
	union any a;
	int i;

	set_stage(&s);
	memset(&a, 0, sizeof(a));
	a.head.size = 64;
	for (i = 6; i < 256; i++)
		if (i < (int)_IOC_NR(NVFS_IOC_BATCH_CREATE) ||
		    i > (int)_IOC_NR(NVFS_IOC_BATCH_DESTROY))
			ASSERT_ERRNO(ioctl(s.dev, _IO(NVFS_IOC_TYPE, i), &a),
				     ENOTTY);
	for (i = 0; i < 256; i++) {
		if (i == NVFS_IOC_TYPE)
			continue;
		/* FIOCLEX and its like belong to the kernel, not to us */
		if (i == 'f' || i == 'T' || i == 'X' || i == 0)
			continue;
		ASSERT_ERRNO(ioctl(s.dev, _IO(i, 3), &a), ENOTTY);
	}
	ASSERT_ERRNO(ioctl(s.dev, _IOWR(NVFS_IOC_TYPE, 3, struct nvfs_rw), &a),
		     ENOTTY);
	check_stage(&s);
}

TEST(other_file_operations_are_refused)
{
	struct stage s;
	char c = 0;

	set_stage(&s);
	ASSERT_EQ(read(s.dev, &c, 1), -1);
	ASSERT_EQ(write(s.dev, &c, 1), -1);
	ASSERT_TRUE(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, s.dev, 0) ==
		    MAP_FAILED);
	check_stage(&s);
}

TEST(query_of_an_unknown_gpu_is_enxio)
{
	struct nvfs_query q = { .size = sizeof(q), .flags = NVFS_QUERY_GPU };
	struct stage s;

	set_stage(&s);
	q.fd = s.file;
	q.gpu = 0xff00;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_QUERY, &q), ENXIO);
	q.gpu = NVFS_BDF_NONE;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_QUERY, &q), ENXIO);
	q.gpu = gpu_bdf(0);
	q.region = s.region;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_QUERY, &q), EINVAL);
	q.region = 0;
	q.fd = -1;
	ASSERT_ERRNO(ioctl(s.dev, NVFS_IOC_QUERY, &q), EBADF);
	check_stage(&s);
}

TEST(query_of_things_that_are_no_files)
{
	struct nvfs_query q;
	struct stage s;
	int ends[2];

	set_stage(&s);
	ASSERT_EQ(pipe(ends), 0);
	ASSERT_ERRNO(nv_query(s.dev, s.region, -1, &q), EBADF);
	ASSERT_ERRNO(nv_query(s.dev, s.region, ends[0], &q), ESPIPE);
	ASSERT_ERRNO(nv_query(s.dev, s.region, open("/", O_RDONLY), &q),
		     EISDIR);
	ASSERT_ERRNO(nv_query(s.dev, 99, s.file, &q), ENOENT);
	check_stage(&s);
	gpu_free(&s.buf);
	ASSERT_ERRNO(nv_query(s.dev, s.region, s.file, &q), ESTALE);
}
