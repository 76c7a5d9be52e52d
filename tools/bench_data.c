// SPDX-License-Identifier: MIT
/*
 * Bytes that tell where they belong: each word of 8 bytes is its own number in
 * the file and the seed, mixed so that nothing compresses.  The mixing can be
 * undone, so that a word in the wrong place says where it came from.
 */
#include <string.h>

#include "bench.h"

#define MIX_1		0xbf58476d1ce4e5b9ULL
#define MIX_2		0x94d049bb133111ebULL
#define SEED_STEP	0x9e3779b97f4a7c15ULL

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * MIX_1;
	x = (x ^ x >> 27) * MIX_2;
	return x ^ x >> 31;
}

/* What an odd number must be multiplied with to give 1: Newton's way. */
static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;

	for (int i = 0; i < 5; i++)
		x *= 2 - odd * x;
	return x;
}

static uint64_t unshift(uint64_t x, unsigned int shift)
{
	uint64_t back = x;

	for (unsigned int i = shift; i < 64; i += shift)
		back = x ^ back >> shift;
	return back;
}

static uint64_t unmix(uint64_t x)
{
	x = unshift(x, 31) * inverse(MIX_2);
	x = unshift(x, 27) * inverse(MIX_1);
	return unshift(x, 30);
}

static uint64_t word_at(uint64_t number, uint64_t seed)
{
	return mix(number + seed * SEED_STEP);
}

void bench_pattern(void *to, uint64_t offset, uint64_t length, uint64_t seed)
{
	unsigned char *at = to;

	while (length) {
		uint64_t word = word_at(offset / 8, seed);
		uint64_t skip = offset % 8;
		uint64_t n = 8 - skip < length ? 8 - skip : length;

		memcpy(at, (unsigned char *)&word + skip, n);
		at += n;
		offset += n;
		length -= n;
	}
}

/* Does the word around the byte at @at belong elsewhere in such a file? */
static void find_home(const unsigned char *data, uint64_t offset,
		      uint64_t length, uint64_t seed, struct bench_diff *diff)
{
	uint64_t start = diff->at / 8 * 8, word, number;

	if (start < offset || start + 8 > offset + length)
		return;
	memcpy(&word, data + (start - offset), 8);
	number = unmix(word) - seed * SEED_STEP;
	/* Nothing else gives so small a number, but once in a million files. */
	diff->known = number < 1ULL << 43;
	diff->belongs = number * 8;
}

bool bench_pattern_holds(const void *data, uint64_t offset, uint64_t length,
			 uint64_t seed, struct bench_diff *diff)
{
	const unsigned char *bytes = data;
	unsigned char want[4096];

	for (uint64_t done = 0; done < length; done += sizeof(want)) {
		uint64_t n = length - done < sizeof(want) ? length - done :
							    sizeof(want);
		uint64_t i = 0;

		bench_pattern(want, offset + done, n, seed);
		if (!memcmp(bytes + done, want, n))
			continue;
		while (bytes[done + i] == want[i])
			i++;
		memset(diff, 0, sizeof(*diff));
		diff->at = offset + done + i;
		diff->want = want[i];
		diff->got = bytes[done + i];
		find_home(bytes, offset, length, seed, diff);
		return false;
	}
	return true;
}
