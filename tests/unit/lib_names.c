// SPDX-License-Identifier: MIT
/* Words and PCI functions. */
#include "lib_mock.h"

static void every_value_has_its_word(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < NVFS_REASON_NR; i++) {
		assert_non_null(nvfs_reason_name(i));
		assert_string_not_equal(nvfs_reason_name(i), "unknown");
		assert_true(nvfs_reason_text(i)[0]);
		/* Whoever is refused wants to know what to do. */
		assert_int_equal(!nvfs_reason_remedy(i)[0],
				 i == NVFS_REASON_NONE);
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(nvfs_reason_name(i),
						nvfs_reason_name(j));
	}
	assert_string_equal(nvfs_reason_name(NVFS_REASON_HOST_BRIDGE),
			    "host-bridge");
	assert_string_equal(nvfs_reason_name(NVFS_REASON_NO_MODULE),
			    "no-module");
	assert_string_equal(nvfs_reason_name(NVFS_REASON_NO_REGION),
			    "no-region");
	assert_string_equal(nvfs_reason_name(NVFS_REASON_NR), "unknown");
	assert_string_equal(nvfs_reason_name(NVFS_REASON_NOT_WANTED + 1),
			    "unknown");
	assert_string_equal(nvfs_reason_name(UINT32_MAX), "unknown");
}

static void routes_and_pages(void **state)
{
	(void)state;
	assert_string_equal(nvfs_route_name(NVFS_ROUTE_NONE), "none");
	assert_string_equal(nvfs_route_name(NVFS_ROUTE_DIRECT), "direct");
	assert_string_equal(nvfs_route_name(NVFS_ROUTE_BOUNCE), "bounce");
	assert_string_equal(nvfs_route_name(NVFS_ROUTE_MIXED), "mixed");
	assert_string_equal(nvfs_route_name(4), "unknown");
	assert_string_equal(nvfs_pages_name(NVFS_PAGES_ZONE), "zone");
	assert_string_equal(nvfs_pages_name(4), "unknown");
}

static void good_functions_are_parsed(void **state)
{
	static const struct {
		const char *text;
		uint32_t bdf;
	} good[] = {
		{ "0000:3b:00.0", 0x3b00 },
		{ "0000:3B:1F.7", 0x3bff },
		{ "ffff:00:00.1", 0xffff0001 },
		{ "00000001:02:03.4", 0x1021c },
		{ "3b:00.0", 0x3b00 },
		{ "0:0:0.0", 0 },
	};
	uint32_t bdf;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(nvfs_bdf_parse(good[i].text, &bdf), 0);
		assert_int_equal(bdf, good[i].bdf);
	}
}

static void bad_functions_are_refused(void **state)
{
	static const char *const bad[] = {
		"", ":", "0000", "0000:3b", "0000:3b:00", "0000:3b:00.",
		"0000:3b:00.0 ", " 0000:3b:00.0", "0000:3b:00:0", "0000:3b.00.0",
		"0000:3b:00.g", "0x00:3b:00.0", "-1:3b:00.0", "0000::00.0",
		"000000000:3b:00.0", "0000:0000:3b:00.0", "3b.0",
	};
	static const char *const large[] = {
		"10000:00:00.0", "0000:100:00.0", "0000:00:20.0",
		"0000:00:00.8", "ffffffff:00:00.0",
	};
	uint32_t bdf = 1234;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(nvfs_bdf_parse(bad[i], &bdf), -EINVAL);
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		assert_int_equal(nvfs_bdf_parse(large[i], &bdf), -ERANGE);
	assert_int_equal(nvfs_bdf_parse(NULL, &bdf), -EINVAL);
	assert_int_equal(bdf, 1234);
}

static void functions_are_formatted(void **state)
{
	char text[13];

	(void)state;
	assert_int_equal(nvfs_bdf_format(0xffff3bff, text, sizeof(text)), 0);
	assert_string_equal(text, "ffff:3b:1f.7");
	assert_int_equal(nvfs_bdf_format(NVFS_BDF_NONE, text, sizeof(text)), 0);
	assert_string_equal(text, "none");
	assert_int_equal(nvfs_bdf_format(0, text, 12), -ENOSPC);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_has_its_word),
		cmocka_unit_test(routes_and_pages),
		cmocka_unit_test(good_functions_are_parsed),
		cmocka_unit_test(bad_functions_are_refused),
		cmocka_unit_test(functions_are_formatted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
