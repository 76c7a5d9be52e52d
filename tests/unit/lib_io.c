// SPDX-License-Identifier: MIT
/* Requests: what is put to the module, and what is made of its answers. */
#include "lib_mock.h"

#define FD	7
#define KIB	1024ULL

/* A region (id 5) over 64 KiB of fake GPU memory, from address + @lead on. */
struct fixture {
	struct nvfs *nvfs;
	struct nvfs_buf *buf;
	struct nvfs_region *region;
};

static void open_fixture(struct fixture *f, unsigned int flags)
{
	mock_expect_info();
	assert_int_equal(nvfs_open(0, &f->nvfs), 0);
	assert_int_equal(nvfs_buf_alloc(f->nvfs, 0, 65536, &f->buf), 0);
	mock_expect_register(nvfs_buf_addr(f->buf), 65536, 0, 5, 0);
	assert_int_equal(nvfs_region_register(f->buf, flags, &f->region), 0);
}

static void close_fixture(struct fixture *f)
{
	mock_expect_unregister(5, 0);
	assert_int_equal(nvfs_region_unregister(f->region), 0);
	assert_int_equal(nvfs_buf_free(f->buf), 0);
	assert_int_equal(nvfs_close(f->nvfs), 0);
}

static void read_sends_the_request_as_it_is(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD,
		.region_offset = 4096, .file_offset = 1 << 20, .length = 8192,
		.done = 8192, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 4096, FD, 1 << 20, 8192, 0, &res),
			 8192);
	assert_int_equal(res.done, 8192);
	assert_int_equal(res.direct, 8192);
	assert_int_equal(res.bounce, 0);
	assert_int_equal(res.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(res.reason, NVFS_REASON_NONE);
	close_fixture(&f);
}

static void write_sends_the_request_as_it_is(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = FD,
		.region_offset = 512, .file_offset = 0, .length = 65024,
		.done = 65024, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_write(f.region, 512, FD, 0, 65024, 0, NULL),
			 65024);
	close_fixture(&f);
}

static void length_zero_is_put_to_the_module(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){ .request = NVFS_IOC_READ, .id = 5,
					 .fd = FD });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 0, 0, &res), 0);
	assert_int_equal(res.route, NVFS_ROUTE_NONE);
	close_fixture(&f);
}

static void eintr_goes_on_from_where_it_was(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 16384,
		.error = EINTR });
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 16384,
		.error = EINTR, .done = 4096, .route = NVFS_ROUTE_DIRECT });
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD,
		.region_offset = 4096, .file_offset = 4096, .length = 12288,
		.done = 12288, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 16384, 0, &res), 16384);
	assert_int_equal(res.done, 16384);
	assert_int_equal(res.direct, 16384);
	close_fixture(&f);
}

static void eintr_after_the_last_byte_is_success(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = FD, .length = 4096,
		.error = EINTR, .done = 4096, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_write(f.region, 0, FD, 0, 4096, 0, NULL), 4096);
	close_fixture(&f);
}

static void short_success_is_the_end_of_the_file(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 8192,
		.done = 5000, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 8192, 0, &res), 5000);
	assert_int_equal(res.done, 5000);
	close_fixture(&f);
}

/* An error is an error although bytes moved: short would look like the end. */
static void an_error_half_way_is_an_error(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 8192,
		.error = EIO, .done = 4096, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 8192,
				   NVFS_IO_ALLOW_BOUNCE, &res), -EIO);
	assert_int_equal(res.done, 4096);
	assert_int_equal(res.route, NVFS_ROUTE_DIRECT);
	close_fixture(&f);
}

static void every_error_comes_through(void **state)
{
	static const int errors[] = { ENOENT, EOVERFLOW, ERANGE, EBADF, EISDIR,
				      ESPIPE, EINVAL, EPERM, ESTALE, EIO,
				      ENOSPC, EFBIG, EROFS, ETXTBSY, ENODEV,
				      EREMOTEIO, E2BIG, EFAULT, ENOMEM };
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		mock_end();
		mock_expect_rw((struct mock_rw){
			.request = NVFS_IOC_WRITE, .id = 5, .fd = FD,
			.length = 4096, .error = errors[i] });
		assert_int_equal(nvfs_write(f.region, 0, FD, 0, 4096, 0, &res),
				 -errors[i]);
		assert_int_equal(res.done, 0);
		assert_int_equal(res.route, NVFS_ROUTE_NONE);
	}
	close_fixture(&f);
}

static void ranges_are_checked_before_the_module_is_asked(void **state)
{
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	assert_int_equal(nvfs_read(f.region, 65536, FD, 0, 1, 0, NULL),
			 -ERANGE);
	assert_int_equal(nvfs_read(f.region, 1, FD, 0, 65536, 0, NULL),
			 -ERANGE);
	assert_int_equal(nvfs_read(f.region, UINT64_MAX, FD, 0, 2, 0, NULL),
			 -EOVERFLOW);
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, UINT64_MAX, 0, NULL),
			 -EOVERFLOW);
	assert_int_equal(nvfs_read(f.region, 0, FD, INT64_MAX, 1, 0, NULL),
			 -EOVERFLOW);
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 512, 2, NULL), -EINVAL);
	close_fixture(&f);
}

static void more_done_than_asked_for_is_not_believed(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 4096,
		.done = 4097, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 4096, 0, &res),
			 -EPROTO);
	assert_int_equal(res.done, 0);
	close_fixture(&f);
}

static void a_bounce_by_the_module_is_reported(void **state)
{
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = FD, .length = 4096,
		.done = 4096, .route = NVFS_ROUTE_MIXED,
		.reason = NVFS_REASON_ALIGN });
	assert_int_equal(nvfs_read(f.region, 0, FD, 0, 4096, 0, &res), 4096);
	assert_int_equal(res.route, NVFS_ROUTE_MIXED);
	assert_int_equal(res.reason, NVFS_REASON_ALIGN);
	assert_int_equal(res.direct, 0);
	close_fixture(&f);
}

static void expect_refusal(int fd, uint64_t length, uint32_t reason,
			   unsigned long request)
{
	mock_expect_rw((struct mock_rw){
		.request = request, .id = 5, .fd = fd, .length = length,
		.error = EREMOTEIO, .reason = reason });
}

static void no_bounce_without_permission(void **state)
{
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	expect_refusal(fd, 65536, NVFS_REASON_HOST_BRIDGE, NVFS_IOC_READ);
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 65536, 0, &res),
			 -EREMOTEIO);
	assert_int_equal(res.reason, NVFS_REASON_HOST_BRIDGE);
	assert_int_equal(res.route, NVFS_ROUTE_NONE);
	assert_int_equal(res.done, 0);
	assert_int_equal(mock_gpu_copied, 0);
	close_fixture(&f);
	close(fd);
}

static void bounce_reads_the_file(void **state)
{
	unsigned char want[50000], got[65536];
	int fd = mock_file(sizeof(want));
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	expect_refusal(fd, 65536, NVFS_REASON_NOT_PCI, NVFS_IOC_READ);
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 65536,
				   NVFS_IO_ALLOW_BOUNCE, &res), 50000);
	assert_int_equal(res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(res.reason, NVFS_REASON_NOT_PCI);
	assert_int_equal(res.bounce, 50000);
	assert_int_equal(pread(fd, want, sizeof(want), 0), sizeof(want));
	assert_int_equal(nvfs_buf_copy_out(f.buf, 0, got, sizeof(got)), 0);
	assert_memory_equal(want, got, sizeof(want));
	/* Not a byte beyond the end of the file. */
	assert_int_equal(got[50000], 0xaa);
	close_fixture(&f);
	close(fd);
}

static void bounce_writes_the_file(void **state)
{
	unsigned char got[65536];
	int fd = mock_file(0);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	expect_refusal(fd, 65536, NVFS_REASON_NOT_PCI, NVFS_IOC_WRITE);
	assert_int_equal(nvfs_write(f.region, 0, fd, 0, 65536,
				    NVFS_IO_ALLOW_BOUNCE, &res), 65536);
	assert_int_equal(res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(pread(fd, got, sizeof(got), 0), 65536);
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 0xaa);
	close_fixture(&f);
	close(fd);
}

/* More than the library has in host memory at a time, from odd places. */
static void a_large_bounce_is_whole(void **state)
{
	uint64_t length = (5 << 20) / 2 + 13;
	int fd = mock_file(length + 77), copy = mock_file(100);
	unsigned char *want = malloc(length), *got = malloc(length);
	struct nvfs_region *region;
	struct nvfs_result res;
	struct nvfs_buf *buf;
	struct nvfs *nvfs;

	(void)state;
	mock_open_errno = ENOENT;
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &nvfs), 0);
	assert_int_equal(nvfs_buf_alloc(nvfs, 0, length + 5, &buf), 0);
	assert_int_equal(nvfs_region_register(buf, NVFS_REGION_ALLOW_BOUNCE,
					      &region), 0);
	assert_int_equal(nvfs_read(region, 5, fd, 77, length,
				   NVFS_IO_ALLOW_BOUNCE, &res), length);
	assert_int_equal(pread(fd, want, length, 77), length);
	assert_int_equal(nvfs_buf_copy_out(buf, 5, got, length), 0);
	assert_memory_equal(want, got, length);
	assert_int_equal(nvfs_write(region, 5, copy, 100, length,
				    NVFS_IO_ALLOW_BOUNCE, &res), length);
	assert_int_equal(res.bounce, length);
	assert_int_equal(pread(copy, got, length, 100), length);
	assert_memory_equal(want, got, length);
	assert_int_equal(nvfs_region_unregister(region), 0);
	assert_int_equal(nvfs_buf_free(buf), 0);
	assert_int_equal(nvfs_close(nvfs), 0);
	free(want);
	free(got);
	close(fd);
	close(copy);
}

static void bounce_errors_are_errors(void **state)
{
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	expect_refusal(fd, 4096, NVFS_REASON_NOT_PCI, NVFS_IOC_READ);
	mock_gpu_copy_error = -EIO;
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 4096,
				   NVFS_IO_ALLOW_BOUNCE, &res), -EIO);
	assert_int_equal(res.done, 0);
	mock_gpu_copy_error = 0;
	close(fd);
	expect_refusal(fd, 4096, NVFS_REASON_NOT_PCI, NVFS_IOC_READ);
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 4096,
				   NVFS_IO_ALLOW_BOUNCE, &res), -EBADF);
	close_fixture(&f);
}

/* 100 bytes in front, 100 behind, 8 KiB between them that can go direct. */
static void only_unaligned_ends_bounce(void **state)
{
	struct nvfs_query in = { .size = sizeof(in), .region = 5 };
	struct nvfs_query out;
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = fd,
		.region_offset = 3996, .file_offset = 3996, .length = 8392,
		.error = EREMOTEIO, .reason = NVFS_REASON_ALIGN });
	in.fd = fd;
	out = in;
	out.route = NVFS_ROUTE_DIRECT;
	out.offset_align = 4096;
	out.mem_align = 4;
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = fd,
		.region_offset = 4096, .file_offset = 4096, .length = 8192,
		.done = 8192, .route = NVFS_ROUTE_DIRECT });
	assert_int_equal(nvfs_read(f.region, 3996, fd, 3996, 8392,
				   NVFS_IO_ALLOW_BOUNCE, &res), 8392);
	assert_int_equal(res.route, NVFS_ROUTE_MIXED);
	assert_int_equal(res.direct, 8192);
	assert_int_equal(res.bounce, 200);
	assert_int_equal(res.reason, NVFS_REASON_ALIGN);
	assert_int_equal(mock_gpu_copied, 200);
	close_fixture(&f);
	close(fd);
}

/* Written from outside, its ends would race with direct writes beside them. */
static void the_ends_of_a_write_are_the_modules(void **state)
{
	struct nvfs_query in = { .size = sizeof(in), .region = 5 };
	struct nvfs_query out;
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = fd,
		.region_offset = 3996, .file_offset = 3996, .length = 8392,
		.error = EREMOTEIO, .reason = NVFS_REASON_ALIGN });
	in.fd = fd;
	out = in;
	out.route = NVFS_ROUTE_DIRECT;
	out.offset_align = 4096;
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = fd,
		.flags = NVFS_RW_BOUNCE,
		.region_offset = 3996, .file_offset = 3996, .length = 100,
		.done = 100, .route = NVFS_ROUTE_BOUNCE,
		.reason = NVFS_REASON_ALIGN });
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = fd,
		.region_offset = 4096, .file_offset = 4096, .length = 8192,
		.done = 8192, .route = NVFS_ROUTE_DIRECT });
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_WRITE, .id = 5, .fd = fd,
		.flags = NVFS_RW_BOUNCE,
		.region_offset = 12288, .file_offset = 12288, .length = 100,
		.done = 100, .route = NVFS_ROUTE_BOUNCE,
		.reason = NVFS_REASON_ALIGN });
	assert_int_equal(nvfs_write(f.region, 3996, fd, 3996, 8392,
				    NVFS_IO_ALLOW_BOUNCE, &res), 8392);
	assert_int_equal(res.route, NVFS_ROUTE_MIXED);
	assert_int_equal(res.direct, 8192);
	assert_int_equal(res.bounce, 200);
	assert_int_equal(res.reason, NVFS_REASON_ALIGN);
	assert_int_equal(mock_gpu_copied, 0);
	close_fixture(&f);
	close(fd);
}

/* The middle is refused after all: the head must not be moved twice. */
static void a_refused_middle_bounces_too(void **state)
{
	struct nvfs_query in = { .size = sizeof(in), .region = 5 };
	struct nvfs_query out;
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = fd,
		.region_offset = 96, .file_offset = 96, .length = 8192,
		.error = EREMOTEIO, .reason = NVFS_REASON_ALIGN });
	in.fd = fd;
	out = in;
	out.route = NVFS_ROUTE_DIRECT;
	out.offset_align = 4096;
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = fd,
		.region_offset = 4096, .file_offset = 4096, .length = 4096,
		.error = EREMOTEIO, .reason = NVFS_REASON_REFUSED });
	assert_int_equal(nvfs_read(f.region, 96, fd, 96, 8192,
				   NVFS_IO_ALLOW_BOUNCE, &res), 8192);
	assert_int_equal(res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(res.bounce, 8192);
	assert_int_equal(res.reason, NVFS_REASON_REFUSED);
	assert_int_equal(mock_gpu_copied, 8192);
	close_fixture(&f);
	close(fd);
}

static void memory_at_an_odd_place_bounces_whole(void **state)
{
	struct nvfs_query in = { .size = sizeof(in), .region = 5 };
	struct nvfs_query out;
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	open_fixture(&f, 0);
	mock_expect_rw((struct mock_rw){
		.request = NVFS_IOC_READ, .id = 5, .fd = fd,
		.region_offset = 1, .file_offset = 0, .length = 8192,
		.error = EREMOTEIO, .reason = NVFS_REASON_ALIGN });
	in.fd = fd;
	out = in;
	out.route = NVFS_ROUTE_DIRECT;
	out.offset_align = 512;
	out.mem_align = 4;
	mock_expect(NVFS_IOC_QUERY, &in, &out, sizeof(in), 0);
	assert_int_equal(nvfs_read(f.region, 1, fd, 0, 8192,
				   NVFS_IO_ALLOW_BOUNCE, &res), 8192);
	assert_int_equal(res.route, NVFS_ROUTE_BOUNCE);
	close_fixture(&f);
	close(fd);
}

static void a_region_without_module_bounces_or_fails(void **state)
{
	int fd = mock_file(65536);
	struct nvfs_result res;
	struct fixture f;

	(void)state;
	mock_open_errno = ENOENT;
	assert_int_equal(nvfs_open(0, &f.nvfs), -ENOENT);
	assert_int_equal(nvfs_open(NVFS_OPEN_NO_MODULE, &f.nvfs), 0);
	assert_int_equal(nvfs_module_error(f.nvfs), -ENOENT);
	assert_int_equal(nvfs_buf_alloc(f.nvfs, 0, 65536, &f.buf), 0);
	assert_int_equal(nvfs_region_register(f.buf, 0, &f.region), -ENOENT);
	assert_int_equal(nvfs_region_register(f.buf, NVFS_REGION_ALLOW_BOUNCE,
					      &f.region), 0);
	assert_int_equal(nvfs_region_error(f.region), -ENOENT);
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 4096, 0, &res),
			 -ENOENT);
	assert_int_equal(res.reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(nvfs_read(f.region, 0, fd, 0, 4096,
				   NVFS_IO_ALLOW_BOUNCE, &res), 4096);
	assert_int_equal(res.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(res.reason, NVFS_REASON_NO_MODULE);
	assert_int_equal(nvfs_region_unregister(f.region), 0);
	assert_int_equal(nvfs_buf_free(f.buf), 0);
	assert_int_equal(nvfs_close(f.nvfs), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(read_sends_the_request_as_it_is),
		mock_test(write_sends_the_request_as_it_is),
		mock_test(length_zero_is_put_to_the_module),
		mock_test(eintr_goes_on_from_where_it_was),
		mock_test(eintr_after_the_last_byte_is_success),
		mock_test(short_success_is_the_end_of_the_file),
		mock_test(an_error_half_way_is_an_error),
		mock_test(every_error_comes_through),
		mock_test(ranges_are_checked_before_the_module_is_asked),
		mock_test(more_done_than_asked_for_is_not_believed),
		mock_test(a_bounce_by_the_module_is_reported),
		mock_test(no_bounce_without_permission),
		mock_test(bounce_reads_the_file),
		mock_test(bounce_writes_the_file),
		mock_test(a_large_bounce_is_whole),
		mock_test(bounce_errors_are_errors),
		mock_test(only_unaligned_ends_bounce),
		mock_test(the_ends_of_a_write_are_the_modules),
		mock_test(a_refused_middle_bounces_too),
		mock_test(memory_at_an_odd_place_bounces_whole),
		mock_test(a_region_without_module_bounces_or_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
