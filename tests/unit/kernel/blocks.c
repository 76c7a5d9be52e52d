// SPDX-License-Identifier: MIT
/*
 * The states of blocks (kernel/nvfs-mmap-block.c), against the arcs that the
 * design lists.
 */
#include "shim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "nvfs-mmap.h"

/* FREE -> ALLOC -> INIT -> QUEUED -> DMA_START -> DONE; QUEUED | DMA_START ->
 * DMA_ERROR; DONE | DMA_ERROR -> INIT; ALLOC | INIT | DONE | DMA_ERROR -> FREE
 */
static const bool legal[7][7] = {
	/* to:	FREE ALLOC INIT QUEUED START DONE ERROR */
	{ 0, 1, 0, 0, 0, 0, 0 },	/* FREE */
	{ 1, 0, 1, 0, 0, 0, 0 },	/* ALLOC */
	{ 1, 0, 0, 1, 0, 0, 0 },	/* INIT */
	{ 0, 0, 0, 0, 1, 0, 1 },	/* QUEUED */
	{ 0, 0, 0, 0, 0, 1, 1 },	/* DMA_START */
	{ 1, 0, 1, 0, 0, 0, 0 },	/* DONE */
	{ 1, 0, 1, 0, 0, 0, 0 },	/* DMA_ERROR */
};

static void every_transition_is_as_the_design_says(void **state)
{
	struct nvfs_mgroup group;
	unsigned int from, to;

	(void)state;
	for (from = 0; from < 7; from++)
		for (to = 0; to < 7; to++) {
			nvfs_mgroup_init(&group, 0, 8 * NVFS_BLOCK_SIZE);
			nvfs_mgroup_check_and_set(&group, from, false, true);
			assert_int_equal(nvfs_mgroup_check_and_set(&group, to,
								   true, true),
					 legal[from][to] ? 0 : -EINVAL);
			assert_int_equal(group.run[0].state,
					 legal[from][to] ? to : from);
			assert_int_equal(group.nr_runs, 1);
		}
}

static void an_unknown_state_is_refused(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	nvfs_mgroup_init(&group, 0, NVFS_BLOCK_SIZE);
	assert_int_equal(nvfs_mgroup_check_and_set(&group, 7, false, false),
			 -EINVAL);
	assert_int_equal(group.run[0].state, NVFS_IO_ALLOC);
}

static void blocks_touched_in_part_count(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	nvfs_mgroup_init(&group, 4095, 2);
	assert_int_equal(group.nr_blocks, 2);
	nvfs_mgroup_init(&group, 0, 4096);
	assert_int_equal(group.nr_blocks, 1);
	nvfs_mgroup_init(&group, 1, 4096);
	assert_int_equal(group.nr_blocks, 2);
}

static void started(struct nvfs_mgroup *group, unsigned int blocks)
{
	nvfs_mgroup_init(group, 0, (u64)blocks * NVFS_BLOCK_SIZE);
	nvfs_mgroup_check_and_set(group, NVFS_IO_DMA_START, false, true);
}

static void a_range_splits_and_joins_runs(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	started(&group, 10);
	assert_int_equal(nvfs_mgroup_set_range(&group, 0, 4, NVFS_IO_DONE), 0);
	assert_int_equal(nvfs_mgroup_set_range(&group, 4, 2, NVFS_IO_DMA_ERROR), 0);
	assert_int_equal(group.nr_runs, 3);
	assert_int_equal(group.run[0].nr, 4);
	assert_int_equal(group.run[1].nr, 2);
	assert_int_equal(group.run[2].nr, 4);
	assert_int_equal(group.nr_done, 4);
	assert_int_equal(group.nr_failed, 2);
	assert_int_equal(nvfs_mgroup_set_range(&group, 6, 4, NVFS_IO_DMA_ERROR), 0);
	assert_int_equal(group.nr_runs, 2);
	assert_int_equal(group.nr_failed, 6);
}

static void a_refused_range_changes_nothing(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	started(&group, 10);
	nvfs_mgroup_set_range(&group, 0, 5, NVFS_IO_DONE);
	/* DONE can't go to DMA_ERROR */
	assert_int_equal(nvfs_mgroup_set_range(&group, 4, 3, NVFS_IO_DMA_ERROR),
			 -EINVAL);
	assert_int_equal(group.nr_runs, 2);
	assert_int_equal(group.run[0].nr, 5);
	assert_int_equal(nvfs_mgroup_set_range(&group, 9, 2, NVFS_IO_DONE),
			 -EINVAL);
	assert_int_equal(nvfs_mgroup_set_range(&group, 1, UINT32_MAX,
					       NVFS_IO_DONE), -EINVAL);
}

static void too_many_runs_are_refused(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	started(&group, 10);
	assert_int_equal(nvfs_mgroup_set_range(&group, 1, 1, NVFS_IO_DONE), 0);
	assert_int_equal(nvfs_mgroup_set_range(&group, 3, 1, NVFS_IO_DONE), -ENOSPC);
	assert_int_equal(group.nr_runs, 3);
}

static void validation_wants_exactly_the_front(void **state)
{
	struct nvfs_mgroup group;

	(void)state;
	started(&group, 10);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 0), 0);
	nvfs_mgroup_set_range(&group, 0, 4, NVFS_IO_DONE);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 4), 0);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 5), -EIO);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 3), -EIO);
	started(&group, 10);
	nvfs_mgroup_set_range(&group, 2, 4, NVFS_IO_DONE);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 0), -EIO);
	started(&group, 10);
	nvfs_mgroup_check_and_set(&group, NVFS_IO_DONE, true, true);
	assert_int_equal(nvfs_handle_done_block_validation(&group, 10), 0);
}

static void names_are_the_specification_s(void **state)
{
	(void)state;
	assert_string_equal(nvfs_block_state_name(NVFS_IO_FREE), "NVFS_IO_FREE");
	assert_string_equal(nvfs_block_state_name(NVFS_IO_DMA_START),
			    "NVFS_IO_DMA_START");
	assert_string_equal(nvfs_block_state_name(NVFS_IO_DMA_ERROR),
			    "NVFS_IO_DMA_ERROR");
	assert_string_equal(nvfs_block_state_name(NVFS_BLOCK_STATE_NR), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_transition_is_as_the_design_says),
		cmocka_unit_test(an_unknown_state_is_refused),
		cmocka_unit_test(blocks_touched_in_part_count),
		cmocka_unit_test(a_range_splits_and_joins_runs),
		cmocka_unit_test(a_refused_range_changes_nothing),
		cmocka_unit_test(too_many_runs_are_refused),
		cmocka_unit_test(validation_wants_exactly_the_front),
		cmocka_unit_test(names_are_the_specification_s),
	};

	return cmocka_run_group_tests_name("kernel_blocks", tests, NULL, NULL);
}
