// SPDX-License-Identifier: MIT
/* nvfs_stats(): what is counted, and that nothing is lost on the way. */
#include "lib_mock.h"

#include "account.h"
#include "internal.h"

#define KIB		1024ULL
#define THREADS		24U
#define EACH		5000U

/* A region of 64 KiB of GPU memory, over the model of the module. */
struct fixture {
	struct nvfs *nvfs;
	struct nvfs_buf *buf;
	struct nvfs_region *region;
	int fd;
};

static void open_fixture(struct fixture *f)
{
	mock_model();
	assert_int_equal(nvfs_open(0, &f->nvfs), 0);
	assert_int_equal(nvfs_buf_alloc(f->nvfs, 0, 64 * KIB, &f->buf), 0);
	assert_int_equal(nvfs_region_register(f->buf, 0, &f->region), 0);
	f->fd = mock_file(64 * KIB);
}

static void close_fixture(struct fixture *f)
{
	close(f->fd);
	assert_int_equal(nvfs_region_unregister(f->region), 0);
	assert_int_equal(nvfs_buf_free(f->buf), 0);
	assert_int_equal(nvfs_close(f->nvfs), 0);
}

static struct nvfs_stats stats_of(struct nvfs *nvfs)
{
	struct nvfs_stats stats;

	memset(&stats, 0xff, sizeof(stats));
	assert_int_equal(nvfs_stats(nvfs, &stats), 0);
	return stats;
}

static void a_new_handle_has_counted_nothing(void **state)
{
	static const struct nvfs_stats zero;
	struct nvfs_stats stats;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	stats = stats_of(f.nvfs);
	assert_memory_equal(&stats, &zero, sizeof(zero));
	assert_int_equal(nvfs_stats(NULL, &stats), -EINVAL);
	assert_int_equal(nvfs_stats(f.nvfs, NULL), -EINVAL);
	close_fixture(&f);
}

static void each_direction_and_route_has_its_own(void **state)
{
	struct nvfs_stats stats;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 8 * KIB, 0, NULL),
			 8 * KIB);
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 4 * KIB, 0, NULL),
			 4 * KIB);
	assert_int_equal(nvfs_write(f.region, 0, f.fd, 0, 16 * KIB, 0, NULL),
			 16 * KIB);
	/* Its ends are not aligned. */
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 1000,
				   NVFS_IO_ALLOW_BOUNCE, NULL), 1000);
	stats = stats_of(f.nvfs);
	assert_int_equal(stats.read.requests, 3);
	assert_int_equal(stats.read.failed, 0);
	assert_int_equal(stats.read.direct, 12 * KIB + 512);
	assert_int_equal(stats.read.bounce, 488);
	assert_int_equal(stats.read.routes[NVFS_ROUTE_DIRECT], 2);
	assert_int_equal(stats.read.routes[NVFS_ROUTE_MIXED], 1);
	assert_int_equal(stats.write.requests, 1);
	assert_int_equal(stats.write.direct, 16 * KIB);
	assert_int_equal(stats.write.routes[NVFS_ROUTE_DIRECT], 1);
	assert_int_equal(stats.nr_reasons, 1);
	assert_int_equal(stats.reasons[0].reason, NVFS_REASON_ALIGN);
	assert_int_equal(stats.reasons[0].requests, 1);
	close_fixture(&f);
}

static void failures_and_their_reasons_are_counted(void **state)
{
	struct nvfs_stats stats;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	model_reason = NVFS_REASON_IOMMU;
	for (int i = 0; i < 3; i++)
		assert_int_equal(nvfs_write(f.region, 0, f.fd, 0, 4 * KIB, 0,
					    NULL), -EREMOTEIO);
	model_reason = NVFS_REASON_NO_BDEV;
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 4 * KIB, 0, NULL),
			 -EREMOTEIO);
	/* Newer than this library. */
	model_reason = 77;
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 4 * KIB, 0, NULL),
			 -EREMOTEIO);
	stats = stats_of(f.nvfs);
	assert_int_equal(stats.write.failed, 3);
	assert_int_equal(stats.write.routes[NVFS_ROUTE_NONE], 3);
	assert_int_equal(stats.read.requests, 2);
	assert_int_equal(stats.read.failed, 2);
	assert_int_equal(stats.nr_reasons, 3);
	assert_int_equal(stats.reasons[0].reason, NVFS_REASON_NO_BDEV);
	assert_int_equal(stats.reasons[0].requests, 1);
	assert_int_equal(stats.reasons[1].reason, NVFS_REASON_IOMMU);
	assert_int_equal(stats.reasons[1].requests, 3);
	assert_int_equal(stats.reasons[2].reason, UINT32_MAX);
	assert_int_equal(stats.reasons[2].requests, 1);
	close_fixture(&f);
}

static void what_was_no_request_is_not_counted(void **state)
{
	struct nvfs_stats stats;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	assert_int_equal(nvfs_read(f.region, 0, f.fd, 0, 512, 1U << 31, NULL),
			 -EINVAL);
	assert_int_equal(nvfs_read(f.region, 64 * KIB, f.fd, 0, 512, 0, NULL),
			 -ERANGE);
	stats = stats_of(f.nvfs);
	assert_int_equal(stats.read.requests, 0);
	close_fixture(&f);
}

static void every_reason_that_has_a_name_is_told_by_its_number(void **state)
{
	struct nvfs_result res = { .route = NVFS_ROUTE_BOUNCE, .bounce = 1 };
	struct nvfs_stats stats;
	unsigned int nr = 0;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (uint32_t r = 1; r <= NVFS_REASON_NOT_WANTED; r++) {
		if (!strcmp(nvfs_reason_name(r), "unknown"))
			continue;
		res.reason = r;
		account_add(f.nvfs->account, false, &res, 0);
		nr++;
	}
	stats = stats_of(f.nvfs);
	assert_int_equal(stats.nr_reasons, nr);
	for (unsigned int i = 0; i < nr; i++) {
		assert_string_not_equal(
			nvfs_reason_name(stats.reasons[i].reason), "unknown");
		assert_int_equal(stats.reasons[i].requests, 1);
		if (i)
			assert_true(stats.reasons[i - 1].reason <
				    stats.reasons[i].reason);
	}
	close_fixture(&f);
}

static void *count_many(void *arg)
{
	const struct nvfs_result res = {
		.done = 3,
		.direct = 1,
		.bounce = 2,
		.route = NVFS_ROUTE_MIXED,
		.reason = NVFS_REASON_ALIGN,
	};

	for (unsigned int i = 0; i < EACH; i++)
		account_add(arg, i % 2, &res, i % 4 ? 0 : -EIO);
	return NULL;
}

/* More of them than there are places, and somebody looks meanwhile. */
static void many_threads_lose_nothing(void **state)
{
	const uint64_t half = (uint64_t)THREADS * EACH / 2;
	pthread_t threads[THREADS];
	struct nvfs_stats stats;
	uint64_t before = 0;
	struct fixture f;

	(void)state;
	open_fixture(&f);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_many,
						f.nvfs->account), 0);
	for (unsigned int i = 0; i < 100; i++) {
		stats = stats_of(f.nvfs);
		assert_true(stats.read.requests >= before);
		before = stats.read.requests;
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stats = stats_of(f.nvfs);
	assert_int_equal(stats.read.requests, half);
	assert_int_equal(stats.write.requests, half);
	assert_int_equal(stats.read.failed, half / 2);
	assert_int_equal(stats.write.failed, 0);
	assert_int_equal(stats.read.direct, half);
	assert_int_equal(stats.write.bounce, 2 * half);
	assert_int_equal(stats.reasons[0].requests, 2 * half);
	close_fixture(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(a_new_handle_has_counted_nothing),
		mock_test(each_direction_and_route_has_its_own),
		mock_test(failures_and_their_reasons_are_counted),
		mock_test(what_was_no_request_is_not_counted),
		mock_test(every_reason_that_has_a_name_is_told_by_its_number),
		mock_test(many_threads_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
