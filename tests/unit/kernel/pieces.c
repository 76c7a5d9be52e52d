// SPDX-License-Identifier: MIT
/*
 * From a provider's page table to pieces, and from pieces to bvecs. The fast
 * code is compared with a slow one that looks at each 4 KiB block by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-dma.h"
#include "nvfs-mmap.h"

#define GPU_PAGE	(64 * 1024ULL)
#define BLOCK		4096ULL
#define PAGES		24
#define BASE		0x380000000000ULL

static struct nvidia_p2p_page page[PAGES];
static struct nvidia_p2p_page *table[PAGES];

/* A table whose pages lie where order[] says, in units of a GPU page. */
static void make_table(const unsigned int *order, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		page[i].physical_address = BASE + order[i] * GPU_PAGE;
		table[i] = &page[i];
	}
}

static u32 build(u32 entries, u64 skip, u64 len, struct nvfs_piece *pieces)
{
	u32 count = nvfs_pieces_build(table, entries, GPU_PAGE, skip, len,
				      NULL);

	if (pieces)
		assert_int_equal(nvfs_pieces_build(table, entries, GPU_PAGE,
						   skip, len, pieces), count);
	return count;
}

static void neighbours_make_one_piece(void **state)
{
	const unsigned int order[] = { 3, 4, 5, 6 };
	struct nvfs_piece piece[4];

	(void)state;
	make_table(order, 4);
	assert_int_equal(build(4, 0, 4 * GPU_PAGE, piece), 1);
	assert_int_equal(piece[0].off, 0);
	assert_int_equal(piece[0].len, 4 * GPU_PAGE);
	assert_int_equal(piece[0].phys, BASE + 3 * GPU_PAGE);
}

static void strangers_make_pieces_of_their_own(void **state)
{
	const unsigned int order[] = { 9, 7, 8, 3 };
	struct nvfs_piece piece[4];

	(void)state;
	make_table(order, 4);
	assert_int_equal(build(4, 0, 4 * GPU_PAGE, piece), 3);
	assert_int_equal(piece[1].off, GPU_PAGE);
	assert_int_equal(piece[1].len, 2 * GPU_PAGE);
	assert_int_equal(piece[1].phys, BASE + 7 * GPU_PAGE);
	assert_int_equal(piece[2].off, 3 * GPU_PAGE);
	assert_int_equal(piece[2].phys, BASE + 3 * GPU_PAGE);
}

/* Pages in falling order touch, but the wrong way round. */
static void falling_order_is_not_contiguous(void **state)
{
	const unsigned int order[] = { 5, 4, 3 };

	(void)state;
	make_table(order, 3);
	assert_int_equal(build(3, 0, 3 * GPU_PAGE, NULL), 3);
}

static void same_page_twice_is_two_pieces(void **state)
{
	const unsigned int order[] = { 5, 5 };

	(void)state;
	make_table(order, 2);
	assert_int_equal(build(2, 0, 2 * GPU_PAGE, NULL), 2);
}

static void region_may_begin_and_end_inside_a_page(void **state)
{
	const unsigned int order[] = { 1, 2, 8 };
	struct nvfs_piece piece[3];

	(void)state;
	make_table(order, 3);
	assert_int_equal(build(3, 3 * BLOCK, 2 * GPU_PAGE, piece), 2);
	assert_int_equal(piece[0].phys, BASE + GPU_PAGE + 3 * BLOCK);
	assert_int_equal(piece[0].len, 2 * GPU_PAGE - 3 * BLOCK);
	assert_int_equal(piece[1].off, 2 * GPU_PAGE - 3 * BLOCK);
	assert_int_equal(piece[1].len, 3 * BLOCK);
}

static void region_may_begin_behind_the_first_page(void **state)
{
	const unsigned int order[] = { 1, 5, 6 };
	struct nvfs_piece piece[3];

	(void)state;
	make_table(order, 3);
	assert_int_equal(build(3, GPU_PAGE + BLOCK, BLOCK, piece), 1);
	assert_int_equal(piece[0].phys, BASE + 5 * GPU_PAGE + BLOCK);
	assert_int_equal(piece[0].len, BLOCK);
}

static void table_that_is_too_short_is_refused(void **state)
{
	const unsigned int order[] = { 1, 2 };

	(void)state;
	make_table(order, 2);
	assert_int_equal(build(2, 0, 2 * GPU_PAGE, NULL), 1);
	assert_int_equal(build(2, 0, 2 * GPU_PAGE + 1, NULL), 0);
	assert_int_equal(build(2, BLOCK, 2 * GPU_PAGE, NULL), 0);
	assert_int_equal(build(0, 0, BLOCK, NULL), 0);
	assert_int_equal(build(2, 2 * GPU_PAGE, BLOCK, NULL), 0);
	assert_int_equal(build(2, 1ULL << 62, BLOCK, NULL), 0);
}

/* ------------------------------------------------------- random tables */

static u64 seed = 42;

static u64 next(u64 below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % below;
}

/* A shuffled table in which about every second page follows its neighbour. */
static unsigned int random_table(void)
{
	unsigned int order[PAGES], i, nr = (unsigned int)next(PAGES) + 1;

	order[0] = (unsigned int)next(1000) * 2;
	for (i = 1; i < nr; i++)
		order[i] = next(2) ? order[i - 1] + 1 :
				     (unsigned int)next(1000) * 2;
	make_table(order, nr);
	return nr;
}

/* Where a byte of the region is, straight from the table. */
static u64 slow_phys(u64 skip, u64 off)
{
	u64 at = skip + off;

	return table[at / GPU_PAGE]->physical_address + at % GPU_PAGE;
}

static void check_pieces(const struct nvfs_piece *piece, u32 nr, u64 skip,
			 u64 len)
{
	u64 off = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 at;

		assert_int_equal(piece[i].off, off);
		assert_int_not_equal(piece[i].len, 0);
		for (at = 0; at < piece[i].len; at += BLOCK)
			assert_int_equal(piece[i].phys + at,
					 slow_phys(skip, off + at));
		off += piece[i].len;
		/* as few pieces as there can be */
		if (i + 1 < nr)
			assert_int_not_equal(piece[i].phys + piece[i].len,
					     piece[i + 1].phys);
	}
	assert_int_equal(off, len);
}

static void random_tables_make_exact_pieces(void **state)
{
	struct nvfs_piece piece[PAGES];
	unsigned int round;

	(void)state;
	for (round = 0; round < 3000; round++) {
		unsigned int nr = random_table();
		u64 skip = next(GPU_PAGE / BLOCK) * BLOCK;
		u64 room = nr * GPU_PAGE - skip;
		u64 len = (next(room / BLOCK) + 1) * BLOCK;
		u32 count = build(nr, skip, len, piece);

		assert_in_range(count, 1, nr);
		check_pieces(piece, count, skip, len);
	}
}

static void every_offset_finds_its_piece(void **state)
{
	struct nvfs_piece piece[PAGES];
	unsigned int round;

	(void)state;
	for (round = 0; round < 200; round++) {
		unsigned int nr = random_table();
		u64 len = nr * GPU_PAGE, off;
		u32 count = build(nr, 0, len, piece);

		for (off = 0; off < len; off += BLOCK / 2) {
			u32 i = nvfs_piece_find(piece, count, off);

			assert_in_range(off, piece[i].off,
					piece[i].off + piece[i].len - 1);
		}
		assert_int_equal(nvfs_piece_find(piece, count, len - 1),
				 count - 1);
	}
}

static void address_is_told_when_all_of_it_is_in_one_piece(void **state)
{
	static const struct nvfs_piece piece[] = {
		{ .off = 0, .len = 0x200000, .phys = 0x1000ff000 },
		{ .off = 0x200000, .len = 0x400000, .phys = 0x140000000 },
		{ .off = 0x600000, .len = 0x1000, .phys = 0x100000000 },
	};

	(void)state;
	assert_int_equal(nvfs_piece_phys(piece, 3, 0, 0x1000), 0x1000ff000);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x1000, 0x1000),
			 0x100100000);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x1ff000, 0x1000),
			 0x1002fe000);
	/* contiguous, but no multiple of it there */
	assert_int_equal(nvfs_piece_phys(piece, 3, 0, 0x200000), NVFS_NO_PHYS);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x200000, 0x200000),
			 0x140000000);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x400000, 0x200000),
			 0x140200000);
	/* a multiple of it, but the piece ends before */
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x400000, 0x400000),
			 NVFS_NO_PHYS);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x600000, 0x200000),
			 NVFS_NO_PHYS);
	assert_int_equal(nvfs_piece_phys(piece, 3, 0x600000, 0x1000),
			 0x100000000);
}

/* ------------------------------------------------ places for mappings */

static void places_keep_the_distance_to_a_huge_page(void **state)
{
	u64 place = nvfs_map_place(5, 0x1234567000, 0x10000);

	(void)state;
	assert_int_equal(place % 0x200000, 0x1234567000 % 0x200000);
	assert_int_equal(nvfs_map_id(place), 5);
	assert_int_equal(nvfs_map_place(1, 0x1200000000, 4096) % 0x200000, 0);
}

static void places_of_regions_do_not_overlap(void **state)
{
	const u64 longest = (1ULL << 40) - 0x200000;
	u32 id;

	(void)state;
	for (id = 1; id < NVFS_MAX_REGIONS; id += 97) {
		u64 end = nvfs_map_place(id, 0x1ff000, longest) + longest;

		assert_true(end <= nvfs_map_place(id + 1, 0, longest));
		assert_int_equal(nvfs_map_id(end - 1), id);
	}
	assert_int_equal(nvfs_map_place(1, 0, longest + 4096), 0);
	/* mmap() takes an offset that is not negative */
	assert_true(nvfs_map_place(NVFS_MAX_REGIONS, 0x1ff000, longest) <
		    INT64_MAX - longest);
}

static void places_of_no_region(void **state)
{
	(void)state;
	assert_int_equal(nvfs_map_id(0), 0);
	assert_int_equal(nvfs_map_id((1ULL << 40) - 1), 0);
	assert_int_equal(nvfs_map_id((NVFS_MAX_REGIONS + 1ULL) << 40), 0);
	assert_int_equal(nvfs_map_id(UINT64_MAX), 0);
}

/* ----------------------------------------------------------------- bvecs */

static void check_bvecs(const struct bio_vec *bvec, u32 nr, u64 off, u64 len)
{
	u64 total = 0;
	u32 i;

	for (i = 0; i < nr; i++) {
		u64 phys = (u64)(uintptr_t)bvec[i].bv_page + bvec[i].bv_offset;
		u64 at;

		assert_in_range(bvec[i].bv_offset, 0, BLOCK - 1);
		assert_int_not_equal(bvec[i].bv_len, 0);
		for (at = 0; at < bvec[i].bv_len; at += 512)
			assert_int_equal(phys + at,
					 slow_phys(0, off + total + at));
		total += bvec[i].bv_len;
	}
	assert_int_equal(total, len);
}

static void random_ranges_make_exact_bvecs(void **state)
{
	struct nvfs_piece piece[PAGES];
	struct bio_vec bvec[PAGES];
	unsigned int round;

	(void)state;
	for (round = 0; round < 3000; round++) {
		unsigned int nr = random_table();
		u64 size = nr * GPU_PAGE;
		u32 count = build(nr, 0, size, piece);
		u64 off = next(size / 512) * 512;
		u64 len = (next((size - off) / 512) + 1) * 512, got = len;
		u32 want = nvfs_dma_count(piece, count, off, len, PAGES);
		u32 used = nvfs_dma_fill(piece, count, off, &got, bvec, PAGES);

		assert_int_equal(used, want);
		assert_int_equal(got, len);
		check_bvecs(bvec, used, off, len);
	}
}

/* Too little room: what fits is exact, and the caller learns how much. */
static void bvecs_that_run_out_are_a_clean_cut(void **state)
{
	struct nvfs_piece piece[PAGES];
	struct bio_vec bvec[PAGES];
	unsigned int round;

	(void)state;
	for (round = 0; round < 2000; round++) {
		unsigned int nr = random_table();
		u64 size = nr * GPU_PAGE, got = size;
		u32 count = build(nr, 0, size, piece);
		u32 max = (u32)next(count) + 1;
		u32 used = nvfs_dma_fill(piece, count, 0, &got, bvec, max);

		assert_int_equal(used, max);
		assert_int_equal(nvfs_dma_count(piece, count, 0, size, max),
				 max);
		check_bvecs(bvec, used, 0, got);
		if (max == count)
			assert_int_equal(got, size);
		else
			assert_int_equal(got, piece[max].off);
	}
}

static void one_byte_is_one_bvec(void **state)
{
	const unsigned int order[] = { 1, 5 };
	struct nvfs_piece piece[2];
	struct bio_vec bvec[2];
	u64 len = 1;

	(void)state;
	make_table(order, 2);
	build(2, 0, 2 * GPU_PAGE, piece);
	assert_int_equal(nvfs_dma_count(piece, 2, GPU_PAGE - 1, 1, 8), 1);
	assert_int_equal(nvfs_dma_count(piece, 2, GPU_PAGE - 1, 2, 8), 2);
	assert_int_equal(nvfs_dma_fill(piece, 2, GPU_PAGE - 1, &len, bvec, 2),
			 1);
	assert_int_equal(bvec[0].bv_len, 1);
	assert_int_equal(bvec[0].bv_offset, BLOCK - 1);
}

/* ------------------------------------------------------------- alignment */

static void alignment_of_memory_is_the_drive_s_or_the_file_s(void **state)
{
	struct nvfs_route_info info = { .offset_align = 4096, .mem_align = 4,
					.piece_align = 512 };
	struct nvfs_region region = { .nr_pieces = 1 };

	(void)state;
	assert_true(nvfs_dma_mem_aligned(&info, &region, 0));
	assert_true(nvfs_dma_mem_aligned(&info, &region, 4));
	assert_false(nvfs_dma_mem_aligned(&info, &region, 2));
	/* A bvec in the middle has to end on a block */
	region.nr_pieces = 2;
	assert_true(nvfs_dma_mem_aligned(&info, &region, 512));
	assert_false(nvfs_dma_mem_aligned(&info, &region, 4));
}

static void every_reason_has_words(void **state)
{
	struct nvfs_route_info info = { .distance = 4 };
	char text[128], small[8];
	int i;

	(void)state;
	for (i = 0; i < NVFS_REASON_NR; i++) {
		memset(text, 'x', sizeof(text));
		info.reason = (enum nvfs_reason)i;
		nvfs_dma_describe(&info, text, sizeof(text));
		assert_in_range(strnlen(text, sizeof(text)), 10, 126);
	}
	memset(small, 'x', sizeof(small));
	nvfs_dma_describe(&info, small, sizeof(small) - 1);
	assert_int_equal(small[6], 0);
	assert_int_equal(small[7], 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_make_one_piece),
		cmocka_unit_test(strangers_make_pieces_of_their_own),
		cmocka_unit_test(falling_order_is_not_contiguous),
		cmocka_unit_test(same_page_twice_is_two_pieces),
		cmocka_unit_test(region_may_begin_and_end_inside_a_page),
		cmocka_unit_test(region_may_begin_behind_the_first_page),
		cmocka_unit_test(table_that_is_too_short_is_refused),
		cmocka_unit_test(random_tables_make_exact_pieces),
		cmocka_unit_test(every_offset_finds_its_piece),
		cmocka_unit_test(address_is_told_when_all_of_it_is_in_one_piece),
		cmocka_unit_test(places_keep_the_distance_to_a_huge_page),
		cmocka_unit_test(places_of_regions_do_not_overlap),
		cmocka_unit_test(places_of_no_region),
		cmocka_unit_test(random_ranges_make_exact_bvecs),
		cmocka_unit_test(bvecs_that_run_out_are_a_clean_cut),
		cmocka_unit_test(one_byte_is_one_bvec),
		cmocka_unit_test(alignment_of_memory_is_the_drive_s_or_the_file_s),
		cmocka_unit_test(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
