// SPDX-License-Identifier: MIT
/*
 * What a program that was built elsewhere finds: sizes, offsets, values, and
 * the names of the shared library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cufile.h"

#undef cuFileDriverClose

struct entry {
	const char *what;
	long long got;
	long long want;
};

#define CUFILE_SIZE(type, bytes)	\
	{ "sizeof " #type, sizeof(type), bytes },
#define CUFILE_OFFSET(type, member, bytes)	\
	{ #type "." #member, offsetof(type, member), bytes },
#define CUFILE_VALUE(name, number)	\
	{ #name, name, number },

static const struct entry table[] = {
#include "cufile_abi-list.h"
};

static void sizes_offsets_and_values_are_those_of_cuda_13_0(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct entry *e = &table[i];

		if (e->got == e->want)
			continue;
		print_error("%s: %lld, %lld expected\n", e->what, e->got,
			    e->want);
		wrong++;
	}
	assert_true(sizeof(table) / sizeof(table[0]) > 250);
	assert_int_equal(wrong, 0);
}

static void every_error_has_words_of_its_own(void **state)
{
	int known = 0;

	(void)state;
	for (int i = 5001; i <= 5050; i++) {
		const char *text = CUFILE_ERRSTR(-i);

		assert_non_null(text);
		assert_true(IS_CUFILE_ERR(-i));
		if (i == 5021 || i == 5032) {
			assert_string_equal(text, "unknown error");
			continue;
		}
		assert_string_not_equal(text, "unknown error");
		known++;
	}
	assert_int_equal(known, 48);
	assert_string_equal(CUFILE_ERRSTR(0), "success");
	assert_false(IS_CUFILE_ERR(-1));
	assert_false(IS_CUFILE_ERR(5000));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_offsets_and_values_are_those_of_cuda_13_0),
		cmocka_unit_test(every_error_has_words_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
