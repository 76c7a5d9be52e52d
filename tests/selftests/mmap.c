// SPDX-License-Identifier: MIT
/*
 * Regions in the CPU's address space: what a mapping shows, what mmap() refuses,
 * and what other calls make of a mapping. Its end: mapend.c.
 */
#include "fix_map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* ---------------------------------------------------- what a mapping shows */

static void show_and_change(bool scatter)
{
	struct view v;

	view_map(&v, 4 * MIB, scatter);
	gpu_put_pattern(&v.buf, 0, v.buf.size, MAP_SEED, 0);
	expect_pattern(v.at, v.buf.size, 0);
	pattern_fill(v.at, v.buf.size, MAP_SEED, 12345);
	gpu_check_pattern(&v.buf, 0, v.buf.size, MAP_SEED, 12345);
	view_finish(&v);
}

TEST(mapping_shows_and_changes_the_region)
{
	show_and_change(false);
}

TEST(pieces_of_a_scattered_region_are_in_order)
{
	show_and_change(true);
}

TEST(part_of_a_region_at_an_offset)
{
	struct view v;
	uint8_t *at;

	view_stage(&v, SIZE, true);
	gpu_put_pattern(&v.buf, 0, SIZE, MAP_SEED, 0);
	at = map(&v, 60 * KIB, 8 * KIB);
	expect_pattern(at, 8 * KIB, 60 * KIB);
	memset(at, NEW, 8 * KIB);
	gpu_check_pattern(&v.buf, 0, 60 * KIB, MAP_SEED, 0);
	gpu_check_byte(&v.buf, 60 * KIB, 8 * KIB, NEW);
	gpu_check_pattern(&v.buf, 68 * KIB, SIZE - 68 * KIB, MAP_SEED, 68 * KIB);
	ASSERT_EQ(munmap(at, 8 * KIB), 0);
	view_finish(&v);
}

/* The last page, and a length that is no multiple of a page. */
TEST(last_byte_of_a_region)
{
	struct view v;
	uint8_t *at;

	view_stage(&v, SIZE, false);
	at = map(&v, SIZE - BLOCK, 100);
	at[BLOCK - 1] = NEW;
	gpu_check_byte(&v.buf, SIZE - 1, 1, NEW);
	gpu_check_byte(&v.buf, 0, SIZE - 1, OLD);
	ASSERT_EQ(munmap(at, BLOCK), 0);
	view_finish(&v);
}

TEST(region_inside_a_page_of_the_gpu)
{
	struct gpu_buf buf;
	struct view v = { .dev = nv_open() };

	gpu_alloc(&buf, 0, SIZE, true);
	gpu_put_pattern(&buf, 0, SIZE, MAP_SEED, 0);
	ASSERT_EQ(nv_register(v.dev, buf.va + 12 * KIB, 100 * KIB, &v.reg), 0);
	v.at = map(&v, 0, 100 * KIB);
	expect_pattern(v.at, 100 * KIB, 12 * KIB);
	ASSERT_EQ(munmap(v.at, 100 * KIB), 0);
	ASSERT_TRUE(try_map(&v, 0, 104 * KIB, RW) == MAP_FAILED);
}

TEST(two_mappings_are_one_memory)
{
	struct view v;
	uint8_t *other;

	view_map(&v, SIZE, false);
	other = map(&v, 64 * KIB, 64 * KIB);
	other[7] = NEW;
	ASSERT_EQ(v.at[64 * KIB + 7], NEW);
	ASSERT_EQ(munmap(other, 64 * KIB), 0);
	ASSERT_EQ(v.at[64 * KIB + 7], NEW);
	view_finish(&v);
}

TEST(mapping_costs_nothing_until_it_is_touched)
{
	long long faults = stat_get("faults"), maps = stat_get("maps");
	struct view v;
	int i;

	view_map(&v, SIZE, true);
	ASSERT_EQ(stat_get("maps") - maps, 1);
	ASSERT_EQ(stat_get("faults"), faults);
	for (i = 0; i < 5; i++)
		ASSERT_EQ(v.at[i * 64 * KIB], OLD);
	ASSERT_EQ(stat_get("faults") - faults, 5);
	/* what was touched stays */
	for (i = 0; i < 5; i++)
		v.at[i * 64 * KIB + 9] = NEW;
	ASSERT_EQ(stat_get("faults") - faults, 5);
	view_finish(&v);
	ASSERT_EQ(stat_get("unmaps"), stat_get("maps"));
}

/* The bus addresses of a GPU's memory. */
static void gpu_bar(int gpu, uint64_t *start, uint64_t *end)
{
	uint32_t bdf = gpu_bdf(gpu);
	char path[80], line[128];
	uint64_t a, b, largest = 0;
	FILE *f;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%04x:%02x:%02x.%x/resource", bdf >> 16,
		 bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	f = fopen(path, "re");
	ASSERT_TRUE(f != NULL);
	*start = 0;
	*end = 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNi64 " %" SCNi64, (int64_t *)&a,
			   (int64_t *)&b) != 2 || b - a < largest)
			continue;
		largest = b - a;
		*start = a;
		*end = b + 1;
	}
	fclose(f);
	ASSERT_GT(largest, 0);
}

/* Pages of 2 MiB where kernel and memory have them, without any help. */
TEST(huge_pages_where_the_memory_has_them)
{
	long long huge = stat_get("huge_faults"), faults = stat_get("faults");
	uint64_t size = 16 * MIB, head, nr_huge, i;
	struct view v;

	view_map(&v, size, false);
	ASSERT_EQ(v.reg.nr_pieces, 1);
	gpu_put_pattern(&v.buf, 0, size, MAP_SEED, 0);
	head = -v.reg.mmap_offset & (HUGE - 1);
	nr_huge = kernel_has_huge() ? (size - head) / HUGE : 0;
	for (i = 0; i < size; i += BLOCK)
		*(volatile uint8_t *)(v.at + i);
	harness_note("%llu huge pages of %llu bytes",
		     (unsigned long long)nr_huge, (unsigned long long)size);
	ASSERT_EQ(stat_get("huge_faults") - huge, nr_huge);
	ASSERT_EQ(stat_get("faults") - faults,
		  (size - nr_huge * HUGE) / BLOCK);
	expect_pattern(v.at, size, 0);
	pattern_fill(v.at, size, MAP_SEED, 777);
	gpu_check_pattern(&v.buf, 0, size, MAP_SEED, 777);
	view_finish(&v);
}

/*
 * One type for all mappings of the memory, and none that the CPU may cache: the
 * kernel's list of types has one for the whole BAR.
 */
TEST(memory_type_of_the_bar_is_one_and_uncached)
{
	uint64_t start, end, bar, bar_end;
	unsigned int found = 0;
	char line[256], type[64], first[64];
	struct view v;
	FILE *f;

	view_map(&v, SIZE, false);
	ASSERT_EQ(load(v.at), 0);
	gpu_bar(0, &bar, &bar_end);
	f = fopen("/sys/kernel/debug/x86/pat_memtype_list", "re");
	if (!f)
		SKIP("this kernel does not tell its list of memory types");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "PAT: [mem %" SCNx64 "-%" SCNx64 "] %63s",
			   &start, &end, type) != 3 ||
		    start >= bar_end || end <= bar)
			continue;
		harness_note("%.60s", line);
		if (!found++)
			strcpy(first, type);
		ASSERT_EQ(strcmp(type, first), 0);
		ASSERT_NE(strcmp(type, "write-back"), 0);
		ASSERT_NE(strcmp(type, "write-through"), 0);
	}
	fclose(f);
	ASSERT_GT(found, 0);
	view_finish(&v);
}

/* ------------------------------------------- mappings and requests */

TEST(read_lands_in_the_mapping)
{
	struct nvfs_rw rw;
	struct xfer x;
	struct view v;
	int round;

	view_map(&v, SIZE, false);
	x = (struct xfer){ .dev = v.dev, .region = v.reg.region,
			   .length = SIZE };
	x.file = file_make(EXT4, SIZE, MAP_SEED, O_RDWR);
	for (round = 0; round < 20; round++) {
		memset(v.at, OLD, SIZE);
		ASSERT_EQ(nv_read(&x, &rw), 0);
		ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
		expect_pattern(v.at, SIZE, 0);
	}
	view_finish(&v);
}

TEST(write_takes_what_was_stored_in_the_mapping)
{
	struct nvfs_rw rw;
	struct xfer x;
	struct view v;
	int round;

	view_map(&v, SIZE, true);
	x = (struct xfer){ .dev = v.dev, .region = v.reg.region,
			   .length = SIZE };
	x.file = file_make(XFS, SIZE, MAP_SEED + 100, O_RDWR);
	for (round = 0; round < 20; round++) {
		pattern_fill(v.at, SIZE, MAP_SEED + round, 0);
		ASSERT_EQ(nv_write(&x, &rw), 0);
		ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
		file_check(x.file, 0, 0, SIZE, MAP_SEED + round);
	}
	view_finish(&v);
}

struct reader {
	struct xfer x;
	int stop;
};

static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct nvfs_rw rw;

	while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
		ASSERT_EQ(nv_read(&r->x, &rw), 0);
		ASSERT_EQ(rw.done, r->x.length);
	}
	return NULL;
}

TEST(munmap_during_io_disturbs_neither)
{
	struct reader r = { 0 };
	pthread_t thread;
	struct view v;
	int round;

	view_stage(&v, SIZE, false);
	r.x = (struct xfer){ .dev = v.dev, .region = v.reg.region,
			     .length = SIZE };
	r.x.file = file_make(EXT4, SIZE, MAP_SEED, O_RDONLY);
	gpu_put_pattern(&v.buf, 0, SIZE, MAP_SEED, 0);
	ASSERT_EQ(pthread_create(&thread, NULL, read_on, &r), 0);
	for (round = 0; round < 100; round++) {
		v.at = map(&v, 0, SIZE);
		expect_pattern(v.at + round * BLOCK, 4 * BLOCK,
			       round * BLOCK);
		ASSERT_EQ(munmap(v.at, SIZE), 0);
	}
	__atomic_store_n(&r.stop, 1, __ATOMIC_SEQ_CST);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	gpu_check_pattern(&v.buf, 0, SIZE, MAP_SEED, 0);
	v.at = NULL;
	view_finish(&v);
}

/* No page that the kernel could pin and keep past the end of the region. */
TEST(direct_io_of_others_into_a_mapping_is_efault)
{
	int file = file_make(EXT4, SIZE, MAP_SEED, O_RDWR | O_DIRECT);
	struct view v;

	view_map(&v, 4 * MIB, false);
	ASSERT_ERRNO(pread(file, v.at, SIZE, 0), EFAULT);
	memset(v.at, OLD, v.buf.size);
	ASSERT_ERRNO(pread(file, v.at, SIZE, 0), EFAULT);
	ASSERT_ERRNO(pwrite(file, v.at + 2 * MIB, SIZE, 0), EFAULT);
	gpu_check_byte(&v.buf, 0, v.buf.size, OLD);
	file_check(file, 0, 0, SIZE, MAP_SEED);
	view_finish(&v);
}

/* The CPU's copy of a buffered read is a store like any other. */
TEST(buffered_read_of_others_into_a_mapping)
{
	int file = file_make(EXT4, SIZE, MAP_SEED, O_RDWR);
	struct view v;

	view_map(&v, SIZE, false);
	ASSERT_EQ(pread(file, v.at, SIZE, 0), SIZE);
	gpu_check_pattern(&v.buf, 0, SIZE, MAP_SEED, 0);
	view_finish(&v);
}

/* --------------------------------------------------- what mmap() refuses */

static void expect_no_map(const struct view *v, uint64_t offset,
			  uint64_t length, int want)
{
	void *at;

	errno = 0;
	at = mmap(NULL, length, RW, MAP_SHARED, v->dev, (off_t)offset);
	if (at != MAP_FAILED || errno != want)
		FAIL("mmap of 0x%llx+0x%llx: %p, errno %d, not %d",
		     (unsigned long long)offset, (unsigned long long)length,
		     at, errno, want);
}

TEST(map_private_is_einval)
{
	struct view v;
	void *at;

	view_stage(&v, SIZE, false);
	at = mmap(NULL, SIZE, RW, MAP_PRIVATE, v.dev,
		  (off_t)v.reg.mmap_offset);
	ASSERT_TRUE(at == MAP_FAILED && errno == EINVAL);
	at = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, v.dev,
		  (off_t)v.reg.mmap_offset);
	ASSERT_TRUE(at == MAP_FAILED && errno == EINVAL);
	view_finish(&v);
}

TEST(prot_exec_is_eacces_now_and_later)
{
	struct view v;

	view_map(&v, SIZE, false);
	ASSERT_TRUE(try_map(&v, 0, SIZE, RW | PROT_EXEC) == MAP_FAILED);
	ASSERT_EQ(errno, EACCES);
	ASSERT_TRUE(try_map(&v, 0, SIZE, PROT_EXEC) == MAP_FAILED);
	ASSERT_EQ(errno, EACCES);
	ASSERT_ERRNO(mprotect(v.at, SIZE, PROT_READ | PROT_EXEC), EACCES);
	ASSERT_ERRNO(mprotect(v.at, BLOCK, PROT_EXEC), EACCES);
	ASSERT_EQ(v.at[0], OLD);
	view_finish(&v);
}

TEST(descriptor_for_reading_maps_for_reading)
{
	struct view v = { .dev = open("/dev/nvidia-fs", O_RDONLY) };

	catch_faults();
	ASSERT_GE(v.dev, 0);
	gpu_alloc(&v.buf, 0, SIZE, false);
	gpu_fill(&v.buf, OLD);
	ASSERT_EQ(nv_register(v.dev, v.buf.va, SIZE, &v.reg), 0);
	ASSERT_TRUE(try_map(&v, 0, SIZE, RW) == MAP_FAILED);
	ASSERT_EQ(errno, EACCES);
	v.at = try_map(&v, 0, SIZE, PROT_READ);
	ASSERT_TRUE(v.at != MAP_FAILED);
	ASSERT_EQ(v.at[5], OLD);
	ASSERT_EQ(store(v.at), SIGSEGV);
	ASSERT_ERRNO(mprotect(v.at, SIZE, RW), EACCES);
	gpu_check_byte(&v.buf, 0, SIZE, OLD);
	view_finish(&v);
}

TEST(offset_of_no_region_is_enxio)
{
	struct view v;
	uint64_t begin;
	unsigned int i;

	view_stage(&v, SIZE, false);
	begin = v.reg.mmap_offset;
	expect_no_map(&v, 0, BLOCK, ENXIO);
	expect_no_map(&v, BLOCK, BLOCK, ENXIO);
	expect_no_map(&v, begin - BLOCK, BLOCK, ENXIO);
	expect_no_map(&v, begin - BLOCK, 2 * BLOCK, ENXIO);
	for (i = 12; i < 63; i++) {
		if (begin >> i & 1)
			continue;
		if ((1ULL << i) < SIZE)
			continue;
		expect_no_map(&v, begin + (1ULL << i), BLOCK, ENXIO);
	}
	view_finish(&v);
}

TEST(beyond_the_end_is_enxio)
{
	struct view v;
	uint64_t begin;

	view_stage(&v, SIZE, false);
	begin = v.reg.mmap_offset;
	expect_no_map(&v, begin, SIZE + BLOCK, ENXIO);
	expect_no_map(&v, begin + BLOCK, SIZE, ENXIO);
	expect_no_map(&v, begin + SIZE, BLOCK, ENXIO);
	expect_no_map(&v, begin + SIZE - BLOCK, 2 * BLOCK, ENXIO);
	expect_no_map(&v, begin, 1ULL << 40, ENXIO);
	view_finish(&v);
}

TEST(region_of_another_open_file_is_enxio)
{
	struct view v, other;

	view_stage(&v, SIZE, false);
	other = v;
	other.dev = nv_open();
	expect_no_map(&other, v.reg.mmap_offset, SIZE, ENXIO);
	close(other.dev);
	view_finish(&v);
}

TEST(region_that_has_ended_is_enxio_or_estale)
{
	struct view v;

	view_stage(&v, SIZE, false);
	gpu_free(&v.buf);
	expect_no_map(&v, v.reg.mmap_offset, SIZE, ESTALE);
	ASSERT_EQ(nv_unregister(v.dev, v.reg.region), 0);
	expect_no_map(&v, v.reg.mmap_offset, SIZE, ENXIO);
	view_finish(&v);
}

/* ------------------------------------------- mappings that are changed */

TEST(mremap_moves_and_shrinks_but_does_not_grow)
{
	struct view v;
	uint8_t *to, *at;

	catch_faults();
	view_map(&v, 4 * MIB, false);
	gpu_put_pattern(&v.buf, 0, 4 * MIB, MAP_SEED, 0);
	ASSERT_EQ(load(v.at), 0);
	ASSERT_TRUE(mremap(v.at, 4 * MIB, 8 * MIB, MREMAP_MAYMOVE) ==
		    MAP_FAILED);
	ASSERT_EQ(errno, EFAULT);
	ASSERT_TRUE(mremap(v.at, 0, 8 * MIB, MREMAP_MAYMOVE) == MAP_FAILED);
	ASSERT_EQ(errno, EFAULT);

	to = mmap(NULL, 6 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(to != MAP_FAILED);
	at = mremap(v.at, 4 * MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to + BLOCK);
	ASSERT_TRUE(at == to + BLOCK);
	ASSERT_EQ(load(v.at), SIGSEGV);
	expect_pattern(at, 4 * MIB, 0);
	ASSERT_TRUE(mremap(at, 4 * MIB, MIB, 0) == at);
	ASSERT_EQ(load(at + MIB - 1), 0);
	ASSERT_EQ(load(at + MIB), SIGSEGV);
	expect_pattern(at, MIB, 0);
	gpu_free(&v.buf);
	expect_signal(at, MIB, SIGBUS);
	ASSERT_EQ(munmap(to, 6 * MIB), 0);
	v.at = NULL;
	view_finish(&v);
}

TEST(mprotect_takes_away_and_gives_back)
{
	struct view v;

	catch_faults();
	view_map(&v, 8 * MIB, false);
	memset(v.at, OLD, 8 * MIB);
	ASSERT_EQ(mprotect(v.at + 3 * MIB, BLOCK, PROT_NONE), 0);
	expect_signal(v.at + 3 * MIB, BLOCK, SIGSEGV);
	ASSERT_EQ(load(v.at + 3 * MIB - 1), 0);
	ASSERT_EQ(load(v.at + 3 * MIB + BLOCK), 0);
	ASSERT_EQ(mprotect(v.at, 8 * MIB, PROT_READ), 0);
	ASSERT_EQ(load(v.at + 3 * MIB), 0);
	ASSERT_EQ(store(v.at + 5 * MIB), SIGSEGV);
	ASSERT_EQ(mprotect(v.at, 8 * MIB, RW), 0);
	ASSERT_EQ(store(v.at + 5 * MIB), 0);
	gpu_check_byte(&v.buf, 5 * MIB, 1, NEW);
	gpu_check_byte(&v.buf, 0, 5 * MIB, OLD);
	view_finish(&v);
}

TEST(munmap_of_the_middle_leaves_the_ends)
{
	struct view v;

	catch_faults();
	view_map(&v, 8 * MIB, false);
	gpu_put_pattern(&v.buf, 0, 8 * MIB, MAP_SEED, 0);
	expect_pattern(v.at, 8 * MIB, 0);
	ASSERT_EQ(munmap(v.at + 3 * MIB, MIB), 0);
	ASSERT_EQ(load(v.at + 3 * MIB), SIGSEGV);
	expect_pattern(v.at, 3 * MIB, 0);
	expect_pattern(v.at + 4 * MIB, 4 * MIB, 4 * MIB);
	gpu_free(&v.buf);
	expect_signal(v.at, 3 * MIB, SIGBUS);
	expect_signal(v.at + 4 * MIB, 4 * MIB, SIGBUS);
	ASSERT_EQ(munmap(v.at, 8 * MIB), 0);
	v.at = NULL;
	view_finish(&v);
}

/* The kernel refuses it for memory that is not its own; nothing is lost. */
TEST(madv_dontneed_then_touch)
{
	struct view v;

	view_map(&v, 4 * MIB, false);
	pattern_fill(v.at, 4 * MIB, MAP_SEED, 0);
	ASSERT_ERRNO(madvise(v.at, 4 * MIB, MADV_DONTNEED), EINVAL);
	expect_pattern(v.at, 4 * MIB, 0);
	gpu_check_pattern(&v.buf, 0, 4 * MIB, MAP_SEED, 0);
	view_finish(&v);
}

/* The rest of madvise(2), and what treats the open file as a file. */
TEST(advice_and_calls_for_files_change_nothing)
{
	struct view v;
	int advice;

	view_map(&v, 4 * MIB, false);
	pattern_fill(v.at, 4 * MIB, MAP_SEED, 0);
	for (advice = 0; advice <= 25; advice++) {
		madvise(v.at, 4 * MIB, advice);
		madvise(v.at + BLOCK, BLOCK, advice);
	}
	for (advice = 0; advice <= 5; advice++)
		ASSERT_EQ(posix_fadvise(v.dev, (off_t)v.reg.mmap_offset,
					4 * MIB, advice), 0);
	ASSERT_ERRNO(readahead(v.dev, (off_t)v.reg.mmap_offset, MIB), EINVAL);
	ASSERT_ERRNO(sync_file_range(v.dev, 0, MIB, SYNC_FILE_RANGE_WRITE),
		     ESPIPE);
	ASSERT_ERRNO(fallocate(v.dev, 0, (off_t)v.reg.mmap_offset, MIB),
		     ENODEV);
	ASSERT_ERRNO(ftruncate(v.dev, 0), EINVAL);
	ASSERT_ERRNO(fsync(v.dev), EINVAL);
	ASSERT_EQ(msync(v.at, 4 * MIB, MS_SYNC), -1);
	ASSERT_EQ(mlock(v.at, 4 * MIB), 0);
	expect_pattern(v.at, 4 * MIB, 0);
	gpu_check_pattern(&v.buf, 0, 4 * MIB, MAP_SEED, 0);
	view_finish(&v);
}

TEST(mapping_is_not_dumped)
{
	char out[256];
	struct view v;

	view_map(&v, SIZE, false);
	ASSERT_EQ(shell(out, sizeof(out),
			"awk '/nvidia-fs/ { on = 1 } "
			"on && /^VmFlags/ { print; exit }' /proc/%d/smaps",
			getpid()), 0);
	ASSERT_CONTAINS(out, " dd");
	ASSERT_CONTAINS(out, " pf");
	ASSERT_CONTAINS(out, " de");
	view_finish(&v);
}
