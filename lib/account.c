// SPDX-License-Identifier: MIT
/*
 * Statistics.  Each thread counts in one of a few places that are cache lines
 * of their own; who asks adds them up.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "internal.h"

/* Places; a thread more than that shares one. */
#define PLACES		16U
/* Two cache lines: CPUs fetch them in pairs. */
#define LINE		128U

#define ROUTES		(NVFS_ROUTE_MIXED + 1)
#define OWN_REASONS	(NVFS_REASON_NOT_WANTED - NVFS_REASON_NO_MODULE + 1)
/* Where a reason is counted: the module's, the library's, then all others. */
#define OWN		((unsigned int)NVFS_REASON_NR)
#define UNKNOWN		(OWN + OWN_REASONS)
#define REASONS		(UNKNOWN + 1)

typedef _Atomic uint64_t counter;

struct direction {
	counter failed;
	counter direct;
	counter bounce;
	counter routes[ROUTES];
};

struct place {
	_Alignas(LINE) struct direction direction[2];
	counter reasons[REASONS];
};

struct account {
	struct place places[PLACES];
};

_Static_assert(REASONS <= NVFS_STATS_REASONS, "all reasons can be told");
_Static_assert(ROUTES == sizeof(((struct nvfs_count *)0)->routes) /
			 sizeof(uint64_t), "all routes can be told");

struct account *account_new(void)
{
	struct account *account = aligned_alloc(LINE, sizeof(*account));

	if (account)
		memset(account, 0, sizeof(*account));
	return account;
}

static struct place *place_of_thread(struct account *account)
{
	static _Atomic unsigned int threads;
	/* 0: none yet. */
	static _Thread_local unsigned int mine;

	if (!mine)
		mine = 1 + atomic_fetch_add(&threads, 1) % PLACES;
	return &account->places[mine - 1];
}

static void add(counter *counter, uint64_t value)
{
	if (value)
		atomic_fetch_add_explicit(counter, value,
					  memory_order_relaxed);
}

static uint64_t get(counter *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static unsigned int index_of(uint32_t reason)
{
	if (reason < NVFS_REASON_NR)
		return reason;
	if (reason >= NVFS_REASON_NO_MODULE &&
	    reason - NVFS_REASON_NO_MODULE < OWN_REASONS)
		return OWN + (reason - NVFS_REASON_NO_MODULE);
	return UNKNOWN;
}

static uint32_t reason_of(unsigned int index)
{
	if (index < OWN)
		return index;
	return index < UNKNOWN ? NVFS_REASON_NO_MODULE + (index - OWN) :
				 UINT32_MAX;
}

void account_add(struct account *account, bool write,
		 const struct nvfs_result *res, int error)
{
	struct place *place = place_of_thread(account);
	struct direction *direction = &place->direction[write];

	add(&direction->failed, error != 0);
	add(&direction->direct, res->direct);
	add(&direction->bounce, res->bounce);
	add(&direction->routes[res->route < ROUTES ? res->route :
						     NVFS_ROUTE_NONE], 1);
	if (res->reason != NVFS_REASON_NONE)
		add(&place->reasons[index_of(res->reason)], 1);
}

static void sum(struct nvfs_count *count, struct direction *direction)
{
	count->failed += get(&direction->failed);
	count->direct += get(&direction->direct);
	count->bounce += get(&direction->bounce);
	for (unsigned int i = 0; i < ROUTES; i++) {
		uint64_t nr = get(&direction->routes[i]);

		count->routes[i] += nr;
		count->requests += nr;
	}
}

NVFS_EXPORT int nvfs_stats(struct nvfs *nvfs, struct nvfs_stats *stats)
{
	uint64_t reasons[REASONS] = { 0 };
	int ret;

	if (!nvfs || !stats)
		return -EINVAL;
	ret = ctx_check(nvfs);
	if (ret)
		return ret;
	memset(stats, 0, sizeof(*stats));
	for (unsigned int i = 0; i < PLACES; i++) {
		struct place *place = &nvfs->account->places[i];

		sum(&stats->read, &place->direction[0]);
		sum(&stats->write, &place->direction[1]);
		for (unsigned int r = 0; r < REASONS; r++)
			reasons[r] += get(&place->reasons[r]);
	}
	for (unsigned int r = 0; r < REASONS; r++) {
		if (!reasons[r])
			continue;
		stats->reasons[stats->nr_reasons].reason = reason_of(r);
		stats->reasons[stats->nr_reasons++].requests = reasons[r];
	}
	return 0;
}
