// SPDX-License-Identifier: MIT
/* In which order blocks are visited. */
#include "bench.h"

/* A permutation of the numbers below 1 << @bits, another for each @seed. */
static uint64_t shuffle(uint64_t x, unsigned int bits, uint64_t seed)
{
	uint64_t mask = (1ULL << bits) - 1;
	unsigned int half = (bits + 1) / 2;

	/* Each step can be undone within @bits, so no two numbers meet. */
	x = (x + seed) & mask;
	x = x * 0x9e3779b97f4a7c15ULL & mask;
	x ^= x >> half;
	x = (x + (seed >> 7)) & mask;
	x = x * 0xbf58476d1ce4e5b9ULL & mask;
	x ^= x >> half;
	return x * 0x94d049bb133111ebULL & mask;
}

uint64_t bench_walk_step(struct bench_walk *walk)
{
	unsigned int bits = 1;
	uint64_t at;

	if (!walk->random)
		return walk->next++ % walk->blocks;
	while (bits < 63 && 1ULL << bits < walk->blocks)
		bits++;
	/* At least half of the numbers are blocks. */
	do {
		at = shuffle(walk->next++, bits, walk->seed);
	} while (at >= walk->blocks);
	return at;
}
