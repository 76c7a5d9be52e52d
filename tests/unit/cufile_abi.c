// SPDX-License-Identifier: MIT
/*
 * What a program that was built elsewhere finds: sizes, offsets, values, and
 * the names of the shared library.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

/* All of 1.15, and what came later and carries its own sizes. */
static const char *const names[] = {
	"cuFileBatchIOCancel",
	"cuFileBatchIODestroy",
	"cuFileBatchIOGetStatus",
	"cuFileBatchIOSetUp",
	"cuFileBatchIOSubmit",
	"cuFileBufDeregister",
	"cuFileBufRegister",
	"cuFileDriverClose",
	"cuFileDriverClose_v2",
	"cuFileDriverGetP2PFlags",
	"cuFileDriverGetProperties",
	"cuFileDriverOpen",
	"cuFileDriverSetMaxCacheSize",
	"cuFileDriverSetMaxDirectIOSize",
	"cuFileDriverSetMaxPinnedMemSize",
	"cuFileDriverSetP2PFlags",
	"cuFileDriverSetPollMode",
	"cuFileExportPCIeTopology",
	"cuFileGetBARSizeInKB",
	"cuFileGetParameterBool",
	"cuFileGetParameterGpuBounceBufferSlabArray",
	"cuFileGetParameterMinMaxValue",
	"cuFileGetParameterPosixPoolSlabArray",
	"cuFileGetParameterSizeT",
	"cuFileGetParameterString",
	"cuFileGetStatsL1",
	"cuFileGetStatsL2",
	"cuFileGetStatsL3",
	"cuFileGetStatsLevel",
	"cuFileGetVersion",
	"cuFileHandleDeregister",
	"cuFileHandleRegister",
	"cuFileRead",
	"cuFileReadAsync",
	"cuFileReadv",
	"cuFileSetParameterBool",
	"cuFileSetParameterGpuBounceBufferSlabArray",
	"cuFileSetParameterPosixPoolSlabArray",
	"cuFileSetParameterSizeT",
	"cuFileSetParameterString",
	"cuFileSetStatsLevel",
	"cuFileStatsReset",
	"cuFileStatsStart",
	"cuFileStatsStop",
	"cuFileStreamDeregister",
	"cuFileStreamRegister",
	"cuFileUseCount",
	"cuFileWrite",
	"cuFileWriteAsync",
	"cuFileWritev",
};

/* What @command prints about the library: one line more in each call. */
static bool next_line(const char *command, FILE **pipe, char *line, int size)
{
	char whole[1024];

	if (!*pipe) {
		snprintf(whole, sizeof(whole), "%s %s", command,
			 CUFILE_LIBRARY);
		*pipe = popen(whole, "r");
		assert_non_null(*pipe);
	}
	if (fgets(line, size, *pipe)) {
		line[strcspn(line, "\n")] = '\0';
		return true;
	}
	assert_int_equal(pclose(*pipe), 0);
	*pipe = NULL;
	return false;
}

/* In the order of strcmp(), as nm sorts them with LC_ALL=C. */
static void the_library_exports_these_names_without_versions(void **state)
{
	const size_t nr = sizeof(names) / sizeof(names[0]);
	FILE *pipe = NULL;
	char line[256];
	size_t i = 0;

	(void)state;
	while (next_line("LC_ALL=C nm -D --defined-only", &pipe, line,
			 sizeof(line))) {
		const char *name = strrchr(line, ' ');

		assert_non_null(name);
		if (i == nr || strcmp(name + 1, names[i]))
			fail_msg("%s is exported, not %s", name + 1,
				 i < nr ? names[i] : "(nothing)");
		assert_non_null(strstr(line, " T "));
		i++;
	}
	assert_int_equal(i, nr);
}

static void the_library_is_found_as_libcufile_so_0(void **state)
{
	bool soname = false, other = false;
	FILE *pipe = NULL;
	char line[256];

	(void)state;
	while (next_line("LC_ALL=C readelf -dW", &pipe, line, sizeof(line))) {
		soname |= strstr(line, "SONAME") &&
			  strstr(line, "[libcufile.so.0]");
		/* Applications bring their own of everything but these. */
		other |= strstr(line, "NEEDED") && !strstr(line, "[libc.so") &&
			 !strstr(line, "[ld-linux");
	}
	assert_true(soname);
	assert_false(other);
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
		cmocka_unit_test(the_library_exports_these_names_without_versions),
		cmocka_unit_test(the_library_is_found_as_libcufile_so_0),
		cmocka_unit_test(every_error_has_words_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
