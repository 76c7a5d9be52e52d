// SPDX-License-Identifier: MIT
/*
 * The public names: what the headers declare, what the symbol map exports and
 * what the shared library has are the same, and nothing else gets out.
 */
#include "lib_mock.h"

#include "libnvfs_async.h"

#define MAX_NAMES	128

struct names {
	unsigned int nr;
	char name[MAX_NAMES][64];
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Adds all words of @file that start with nvfs_ and end with @end. */
static void collect(const char *path, char end, struct names *names)
{
	char line[512];
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		char *word = strstr(line, "nvfs_");
		size_t length;

		/* Not in comments, and not part of another word. */
		if (line[0] == '/' || line[0] == ' ' || line[0] == '#' || !word)
			continue;
		length = strspn(word, "abcdefghijklmnopqrstuvwxyz_");
		if (word[length] != end)
			continue;
		assert_true(names->nr < MAX_NAMES && length < 64);
		memcpy(names->name[names->nr], word, length);
		names->name[names->nr++][length] = '\0';
	}
	fclose(file);
	qsort(names->name, names->nr, sizeof(names->name[0]), by_name);
}

static void headers_and_map_agree(void **state)
{
	static struct names header, map;

	(void)state;
	collect(SOURCE_DIR "/lib/include/libnvfs.h", '(', &header);
	collect(SOURCE_DIR "/lib/include/libnvfs_async.h", '(', &header);
	collect(SOURCE_DIR "/lib/libnvfs.map", ';', &map);
	assert_true(map.nr > 20);
	for (unsigned int i = 0; i < map.nr && i < header.nr; i++)
		assert_string_equal(map.name[i], header.name[i]);
	assert_int_equal(map.nr, header.nr);
}

/* By nm -D: each name of the map with its version, and that version itself. */
static void the_shared_library_has_them_and_no_others(void **state)
{
	FILE *pipe = popen("LC_ALL=C nm -D --defined-only " SHARED_LIBRARY,
			   "re");
	static struct names map;
	unsigned int nr = 0, versions = 0;
	char line[256];

	(void)state;
	assert_non_null(pipe);
	collect(SOURCE_DIR "/lib/libnvfs.map", ';', &map);
	while (fgets(line, sizeof(line), pipe)) {
		char *name = strrchr(line, ' ') + 1, *version;

		name[strcspn(name, "\n")] = '\0';
		if (strstr(line, " A ")) {
			assert_string_equal(name, "LIBNVFS_0.1");
			versions++;
			continue;
		}
		assert_non_null(strstr(line, " T "));
		version = strstr(name, "@@");
		if (!version || strcmp(version, "@@LIBNVFS_0.1"))
			fail_msg("%s has another version", name);
		*version = '\0';
		if (nr == map.nr || strcmp(name, map.name[nr]))
			fail_msg("%s is exported, not %s", name, nr < map.nr ?
				 map.name[nr] : "(nothing)");
		nr++;
	}
	assert_int_equal(pclose(pipe), 0);
	assert_int_equal(nr, map.nr);
	assert_int_equal(versions, 1);
}

/* What callers were compiled with. */
static void layouts_do_not_change(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct nvfs_gpu), 128);
	assert_int_equal(offsetof(struct nvfs_gpu, memory), 8);
	assert_int_equal(offsetof(struct nvfs_gpu, name), 16);
	assert_int_equal(sizeof(struct nvfs_result), 64);
	assert_int_equal(offsetof(struct nvfs_result, route), 24);
	assert_int_equal(offsetof(struct nvfs_result, reason), 28);
	assert_int_equal(sizeof(struct nvfs_count), 96);
	assert_int_equal(offsetof(struct nvfs_count, routes), 32);
	assert_int_equal(sizeof(struct nvfs_stats_reason), 16);
	assert_int_equal(sizeof(struct nvfs_stats), 712);
	assert_int_equal(offsetof(struct nvfs_stats, nr_reasons), 192);
	assert_int_equal(offsetof(struct nvfs_stats, reasons), 200);
	assert_int_equal(sizeof(struct nvfs_io), 72);
	assert_int_equal(offsetof(struct nvfs_io, gpu), 32);
	assert_int_equal(offsetof(struct nvfs_io, user_data), 48);
	assert_int_equal(sizeof(struct nvfs_done), 80);
	assert_int_equal(offsetof(struct nvfs_done, res), 16);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_and_map_agree),
		cmocka_unit_test(the_shared_library_has_them_and_no_others),
		cmocka_unit_test(layouts_do_not_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
