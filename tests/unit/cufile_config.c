// SPDX-License-Identifier: MIT
/* Parameters: who is stronger, what is refused, and any bytes as a file. */
#include "cufile_mock.h"

#define FUZZ_ROUNDS	20000

static char json_path[80];

/* A cufile.json that the next opening reads. */
static void use_file(const char *text)
{
	FILE *file;

	snprintf(json_path, sizeof(json_path), "%s.json", mock_path);
	file = fopen(json_path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	setenv("CUFILE_ENV_PATH_JSON", json_path, 1);
}

static int config_teardown(void **state)
{
	unlink(json_path);
	return mock_teardown(state);
}

static size_t get_size(CUFileSizeTConfigParameter_t param)
{
	size_t value = 0;

	assert_cufile(cuFileGetParameterSizeT(param, &value), SUCCESS);
	return value;
}

static bool get_bool(CUFileBoolConfigParameter_t param)
{
	bool value = false;

	assert_cufile(cuFileGetParameterBool(param, &value), SUCCESS);
	return value;
}

static void call_beats_environment_beats_file_beats_default(void **state)
{
	(void)state;
	assert_int_equal(get_size(CUFILE_PARAM_EXECUTION_MAX_IO_THREADS), 4);
	use_file("{ \"execution\": { \"max_io_threads\": 7 },"
		 "  \"properties\": { \"io_batchsize\": 9,"
		 "  \"allow_compat_mode\": false,"
		 "  \"force_compat_mode\": true } }");
	setenv("CUFILE_ALLOW_COMPAT_MODE", "true", 1);
	setenv("CUFILE_FORCE_COMPAT_MODE", "true", 1);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_FORCE_COMPAT_MODE,
					     false), SUCCESS);
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE, 11), SUCCESS);
	/* Staged or default, until it is open. */
	assert_int_equal(get_size(CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE), 11);
	assert_int_equal(get_size(CUFILE_PARAM_EXECUTION_MAX_IO_THREADS), 4);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(get_size(CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE), 11);
	assert_int_equal(get_size(CUFILE_PARAM_EXECUTION_MAX_IO_THREADS), 7);
	assert_int_equal(mock.pool.threads, 7);
	assert_true(get_bool(CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE));
	assert_false(get_bool(CUFILE_PARAM_FORCE_COMPAT_MODE));
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE, 12), DRIVER_ALREADY_OPEN);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_FORCE_COMPAT_MODE,
					     true), DRIVER_ALREADY_OPEN);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	/* What was staged is used up. */
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(get_size(CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE), 9);
	assert_true(get_bool(CUFILE_PARAM_FORCE_COMPAT_MODE));
}

static void files_have_comments_and_unknown_keys(void **state)
{
	(void)state;
	use_file("// first\n{ /* \"properties\": 1 */ \"properties\": {\n"
		 "  // \"io_batchsize\": 3,\n"
		 "  \"max_batch_io_size\": 17, \"rdma_dev_addr_list\": [],\n"
		 "  \"posix_pool_slab_size_kb\": [4, 1024],\n"
		 "  \"posix_pool_slab_count\": [8, 2] },\n"
		 "  \"fs\": { \"lustre\": { \"posix_gds_min_kb\": 0 } },\n"
		 "  \"execution\": { \"parallel_io\": false } } // last\n");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(get_size(CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE), 17);
	assert_int_equal(mock.pool.parallel, 1);
	assert_int_equal(mock.pool.slot_bytes, 1 << 20);
	assert_int_equal(mock.pool.pinned_bytes, 8 * 4096 + (2 << 20));
	assert_cufile(cuFileDriverClose(), SUCCESS);
	use_file(" // nothing at all\n/* here */");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
}

static void a_batch_size_has_three_names(void **state)
{
	static const char *const files[] = {
		"{ \"profile\": { \"io_batchsize\": 19 } }",
		"{ \"profile\": { \"io_batchsize\": 18 },"
		"  \"properties\": { \"max_batch_io_size\": 19 } }",
		"{ \"profile\": { \"io_batchsize\": 17 }, \"properties\":"
		"  { \"max_batch_io_size\": 18, \"io_batchsize\": 19 } }",
	};

	(void)state;
	for (int i = 0; i < 3; i++) {
		use_file(files[i]);
		assert_cufile(cuFileDriverOpen(), SUCCESS);
		assert_int_equal(get_size(CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE),
				 19);
		assert_cufile(cuFileDriverClose(), SUCCESS);
	}
}

/* A file that spells the defaults out leaves the choice to the engine. */
static void defaults_that_are_spelt_out_choose_nothing(void **state)
{
	struct engine_pool before = { .threads = 99, .parallel = 98,
				      .slot_bytes = 97, .pinned_bytes = 96,
				      .cache_bytes = 33554432 * KIB };

	(void)state;
	mock.pool = before;
	use_file("{ \"execution\": { \"max_io_threads\": 4,"
		 "  \"max_request_parallelism\": 4, \"parallel_io\": true },"
		 "  \"properties\": { \"posix_pool_slab_size_kb\":"
		 "    [4, 1024, 16384], \"posix_pool_slab_count\":"
		 "    [128, 64, 64], \"max_device_pinned_mem_size_kb\": 33554432"
		 "  } }");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_memory_equal(&mock.pool, &before, sizeof(before));
}

static void defaults_that_a_call_sets_are_meant(void **state)
{
	size_t sizes[3] = { 4, 1024, 16384 }, counts[3] = { 128, 64, 64 };

	(void)state;
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_EXECUTION_MAX_IO_THREADS, 4), SUCCESS);
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_EXECUTION_MAX_REQUEST_PARALLELISM, 4), SUCCESS);
	assert_cufile(cuFileSetParameterPosixPoolSlabArray(sizes, counts, 3),
		      SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.threads, 4);
	assert_int_equal(mock.pool.parallel, 4);
	assert_int_equal(mock.pool.slot_bytes, 4 << 20);
	assert_int_equal(mock.pool.pinned_bytes,
			 (128 * 4 + 64 * 1024 + 64 * 16384) * KIB);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.threads, 0);
	assert_int_equal(mock.pool.pinned_bytes, 0);
}

/* As they come with CUDA 12. */
static void older_default_slabs_choose_nothing(void **state)
{
	(void)state;
	mock.pool.slot_bytes = 97;
	mock.pool.pinned_bytes = 96;
	use_file("{ \"properties\": { \"posix_pool_slab_size_kb\":"
		 "    [4, 1024, 16384], \"posix_pool_slab_count\":"
		 "    [128, 64, 32] } }");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.slot_bytes, 97);
	assert_int_equal(mock.pool.pinned_bytes, 96);
}

static void large_slabs_are_buffers_of_4_mib(void **state)
{
	size_t sizes[2] = { SIZE_MAX, 1 }, counts[2] = { SIZE_MAX, SIZE_MAX };

	(void)state;
	use_file("{ \"properties\": { \"posix_pool_slab_size_kb\":"
		 "    [4, 1024, 16384], \"posix_pool_slab_count\":"
		 "    [512, 512, 512] } }");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.slot_bytes, 4 << 20);
	assert_int_equal(mock.pool.pinned_bytes,
			 512 * (4 + 1024 + 16384) * KIB);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	/* More than a number can say. */
	assert_cufile(cuFileSetParameterPosixPoolSlabArray(sizes, counts, 2),
		      SUCCESS);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.slot_bytes, 4 << 20);
	assert_int_equal(mock.pool.pinned_bytes, UINT64_MAX);
}

static const struct {
	const char *text;
	CUfileOpError code;
} bad_files[] = {
	{ "{", CU_FILE_DRIVER_INVALID_PROPS },
	{ "[]", CU_FILE_DRIVER_INVALID_PROPS },
	{ "null", CU_FILE_DRIVER_INVALID_PROPS },
	{ "{} {}", CU_FILE_DRIVER_INVALID_PROPS },
	{ "{} /* open", CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"properties\":{\"io_batchsize\":\"9\"}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"properties\":{\"io_batchsize\":0}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"properties\":{\"io_batchsize\":257}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"properties\":{\"io_batchsize\":-1}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"properties\":{\"io_batchsize\":1e999}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"properties\":{\"allow_compat_mode\":1}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"logging\":{\"level\":7}}", CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"logging\":{\"level\":\"LOUD\"}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"logging\":{\"max_file_size_mb\":0}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"nvfs\":{\"gpu_copies\":\"no\"}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"nvfs\":{\"pinned_reads\":\"yes\"}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"nvfs\":{\"mapped_writes\":0}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"properties\":{\"posix_pool_slab_size_kb\":[4]}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
	{ "{\"properties\":{\"posix_pool_slab_size_kb\":[]}}",
	  CU_FILE_DRIVER_UNSUPPORTED_LIMIT },
	{ "{\"properties\":{\"posix_pool_slab_size_kb\":[{}],"
	  "\"posix_pool_slab_count\":[1]}}",
	  CU_FILE_DRIVER_INVALID_PROPS },
};

static void bad_files_fail_the_open(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
		CUfileOpError err;

		use_file(bad_files[i].text);
		err = cuFileDriverOpen().err;
		if (err != bad_files[i].code)
			fail_msg("%s: %d", bad_files[i].text, err);
		assert_int_equal(cuFileUseCount(), 0);
		assert_int_equal(mock.users, 0);
	}
	setenv("CUFILE_ENV_PATH_JSON", "/nonexistent/cufile.json", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	setenv("CUFILE_ENV_PATH_JSON", "/tmp", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	setenv("CUFILE_ENV_PATH_JSON", "/dev/zero", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	unsetenv("CUFILE_ENV_PATH_JSON");
	setenv("CUFILE_FORCE_COMPAT_MODE", "perhaps", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	unsetenv("CUFILE_FORCE_COMPAT_MODE");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
}

static void a_log_says_what_is_wrong_where_one_is_asked_for(void **state)
{
	char log[80], line[400] = "";
	FILE *file;

	(void)state;
	snprintf(log, sizeof(log), "%s.log", mock_path);
	setenv("CUFILE_LOGFILE_PATH", log, 1);
	use_file("{\"properties\":{\"io_batchsize\":\"9\"}}");
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	file = fopen(log, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	unlink(log);
	assert_non_null(strstr(line, "ERROR"));
	assert_non_null(strstr(line, "properties.io_batchsize: an integer"));
	/* Where it can't be written nothing fails. */
	setenv("CUFILE_LOGFILE_PATH", "/nonexistent/log", 1);
	use_file("{}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
}

/* Of a file with all of these, as text: each key once, by its kind. */
static void keys_are_known_unused_or_unknown(void **state)
{
	static const char text[] =
		"{ \"logging\": { \"dir\": \"/\", \"levels\": \"INFO\" },"
		"  \"profile\": { \"nvtx\": false, \"io_batchsize\": 8 },"
		"  \"properties\": { \"use_compat_mode\": true,"
		"    \"gpu_bounce_buffer_slab_config\": { \"slab_size_kb\": [4],"
		"      \"slab_count\": [1], \"slab\": 1 },"
		"    \"properties.io_batchsize\": 9 },"
		"  \"fs\": { \"lustre\": { \"posix_gds_min_kb\": 0,"
		"    \"mount_table\": { \"/a\": { \"b\": [] } } },"
		"    \"block\": { \"nvme\": { \"use_pci_p2pdma\": true } },"
		"    \"gpfs\": {} }, \"execution\": [], \"\": 1,"
		"  \"other\": { \"a\": 1, \"b\": { \"c\": 2 } }, \"nul\": null,"
		"  \"blacklist\": { \"drivers\": [ \"x\" ], \"mounts\": [],"
		"    \"filesystems\": [ \"ext4\" ] }, \"a\\nb\": 1 }";
	static const char *const expected[CF_KEY_KINDS] = {
		"logging.levels properties.gpu_bounce_buffer_slab_config.slab "
		"properties.properties.io_batchsize execution  other nul a?b ",
		"profile.nvtx "
		"properties.gpu_bounce_buffer_slab_config.slab_size_kb "
		"properties.gpu_bounce_buffer_slab_config.slab_count "
		"fs.lustre.posix_gds_min_kb fs.lustre.mount_table "
		"fs.block.nvme.use_pci_p2pdma ",
	};
	struct cf_config *config = calloc(1, sizeof(*config));
	char why[200], all[1000];

	(void)state;
	assert_non_null(config);
	cf_config_defaults(config);
	assert_int_equal(cf_config_parse(config, text, strlen(text), why,
					 sizeof(why)), 0);
	for (int kind = 0; kind < CF_KEY_KINDS; kind++) {
		all[0] = '\0';
		for (unsigned int i = 0; i < config->keys.nr[kind]; i++) {
			strcat(all, config->keys.key[kind][i]);
			strcat(all, " ");
		}
		assert_string_equal(all, expected[kind]);
	}
	free(config);
}

static void huge_and_deep_files_are_refused(void **state)
{
	static char text[2 << 20];
	struct cf_config *config = calloc(1, sizeof(*config));
	char why[200];

	(void)state;
	assert_non_null(config);
	memset(text, ' ', sizeof(text));
	assert_int_equal(cf_config_parse(config, text, sizeof(text), why,
					 sizeof(why)), -EFBIG);
	memset(text, '[', 100000);
	assert_int_equal(cf_config_parse(config, text, 100000, why,
					 sizeof(why)), -EINVAL);
	memset(text, '{', 100000);
	assert_int_equal(cf_config_parse(config, text, 100000, why,
					 sizeof(why)), -EINVAL);
	free(config);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static const char *const words[] = {
	"{", "}", "[", "]", ",", ":", "\"properties\"", "\"io_batchsize\"",
	"128", "-1", "true", "null", "\"logging\"", "\"level\"", "\"ERROR\"",
	"/*", "*/", "//", "\n", "\"posix_pool_slab_size_kb\"", "\"\\ud800\"",
	"\"posix_pool_slab_count\"", "1e400", "99999999999999999999", "\"",
	"\\", "\"execution\"", "\"max_io_threads\"", "{\"properties\":{",
	"\"force_compat_mode\":true", "\xff\xfe", "\"logging\":{\"dir\":\"x\"}",
	"\"denylist\":{\"mounts\":[", "\"fs\":{\"lustre\":{", "\"a.b\":",
};

/* Pieces of a good file, shuffled and damaged; its length. */
static size_t make_text(char text[1024], uint32_t *seed)
{
	unsigned int pieces = next_random(seed) % 24;
	size_t length;

	text[0] = '\0';
	for (unsigned int i = 0; i < pieces; i++)
		strcat(text, words[next_random(seed) %
				   (sizeof(words) / sizeof(words[0]))]);
	length = strlen(text);
	if (length && next_random(seed) % 4 == 0)
		text[next_random(seed) % length] = (char)next_random(seed);
	return length;
}

/* True: it is a good file. */
static bool parse_text(struct cf_config *config, const char *text, size_t length)
{
	/* Exactly so long, without a zero: one byte more is seen. */
	char *exact = malloc(length ? length : 1);
	char why[50];
	int ret;

	assert_non_null(exact);
	memcpy(exact, text, length);
	cf_config_defaults(config);
	ret = cf_config_parse(config, exact, length, why, sizeof(why));
	assert_true(ret == 0 || ret == -EINVAL || ret == -ERANGE);
	for (int i = 0; i < CF_SIZES; i++)
		assert_in_range(config->size[i], cf_size_params[i].min,
				cf_size_params[i].max);
	for (int i = 0; i < CF_KEY_KINDS; i++) {
		for (unsigned int n = 0; n < config->keys.nr[i]; n++)
			assert_int_equal(strcspn(config->keys.key[i][n],
						 "\n\r\033\xff"),
					 strlen(config->keys.key[i][n]));
	}
	free(exact);
	return !ret;
}

/* ASan and UBSan look on. */
static void any_bytes_are_survived(void **state)
{
	static const uint32_t seeds[] = { 20261123, 1, 0xdeadbeef, 4711 };
	struct cf_config *config = calloc(1, sizeof(*config));
	char text[1024];

	(void)state;
	assert_non_null(config);
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		uint32_t seed = seeds[i];
		unsigned int good = 0;

		for (int round = 0; round < FUZZ_ROUNDS; round++) {
			size_t length = make_text(text, &seed);

			good += parse_text(config, text, length);
		}
		if (!good)
			fail_msg("seed %u: no file was good", seeds[i]);
	}
	free(config);
}

static void parameter_numbers_and_ranges_are_checked(void **state)
{
	size_t low = 0, high = 0, value;
	bool flag;

	(void)state;
	assert_cufile(cuFileGetParameterMinMaxValue(
		CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE, &low, &high), SUCCESS);
	assert_int_equal(low, 1);
	assert_int_equal(high, 256);
	assert_cufile(cuFileGetParameterMinMaxValue(
		CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE, NULL, &high),
		INVALID_VALUE);
	for (unsigned int i = 0; i < CF_SIZES; i++) {
		assert_cufile(cuFileGetParameterMinMaxValue(i, &low, &high),
			      SUCCESS);
		assert_cufile(cuFileGetParameterSizeT(i, &value), SUCCESS);
		assert_in_range(value, low, high);
	}
	assert_cufile(cuFileSetParameterSizeT(
		CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE, 257), INVALID_VALUE);
	assert_cufile(cuFileGetParameterSizeT(CF_SIZES, &value), INVALID_VALUE);
	assert_cufile(cuFileGetParameterSizeT((unsigned int)-1, &value),
		      INVALID_VALUE);
	assert_cufile(cuFileGetParameterSizeT(0, NULL), INVALID_VALUE);
	assert_cufile(cuFileSetParameterSizeT(CF_SIZES, 1), INVALID_VALUE);
	assert_cufile(cuFileGetParameterBool(CF_BOOLS, &flag), INVALID_VALUE);
	assert_cufile(cuFileGetParameterBool(0, NULL), INVALID_VALUE);
	assert_cufile(cuFileGetParameterBool(CUFILE_PARAM_PROFILE_NVTX, &flag),
		      INVALID_VALUE);
	assert_cufile(cuFileSetParameterBool(CUFILE_PARAM_PROFILE_NVTX, true),
		      INVALID_VALUE);
}

static void strings_fit_or_are_refused(void **state)
{
	static char longer[CF_MAX_STRING + 1];
	char text[16];

	(void)state;
	memset(longer, 'x', CF_MAX_STRING);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       "LOUD"), INVALID_VALUE);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       "debug"), SUCCESS);
	assert_cufile(cuFileGetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       text, 6), SUCCESS);
	assert_string_equal(text, "debug");
	assert_cufile(cuFileGetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       text, 5), INVALID_VALUE);
	assert_cufile(cuFileGetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       text, -1), INVALID_VALUE);
	assert_cufile(cuFileGetParameterString(CUFILE_PARAM_LOGGING_LEVEL,
					       NULL, 5), INVALID_VALUE);
	assert_cufile(cuFileGetParameterString(CF_STRINGS, text, 5),
		      INVALID_VALUE);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOG_DIR, NULL),
		      INVALID_VALUE);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOG_DIR, longer),
		      INVALID_VALUE);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_cufile(cuFileSetParameterString(CUFILE_PARAM_LOG_DIR, "/tmp"),
		      DRIVER_ALREADY_OPEN);
}

static void slabs_come_back_in_the_same_length(void **state)
{
	size_t sizes[3] = { 64, 128, 256 }, counts[3] = { 3, 2, 1 };
	size_t got[4], many[4];

	(void)state;
	assert_cufile(cuFileSetParameterPosixPoolSlabArray(sizes, counts, 3),
		      SUCCESS);
	assert_cufile(cuFileGetParameterPosixPoolSlabArray(got, many, 2),
		      INVALID_VALUE);
	assert_cufile(cuFileGetParameterPosixPoolSlabArray(got, many, 3),
		      SUCCESS);
	assert_memory_equal(got, sizes, sizeof(sizes));
	assert_memory_equal(many, counts, sizeof(counts));
	assert_cufile(cuFileGetParameterGpuBounceBufferSlabArray(got, many, 4),
		      SUCCESS);
	assert_int_equal(got[3], 65536);
	assert_cufile(cuFileSetParameterGpuBounceBufferSlabArray(sizes, counts,
								 17),
		      INVALID_VALUE);
	assert_cufile(cuFileSetParameterPosixPoolSlabArray(NULL, counts, 3),
		      INVALID_VALUE);
	assert_cufile(cuFileSetParameterPosixPoolSlabArray(sizes, counts, 0),
		      INVALID_VALUE);
	assert_cufile(cuFileGetParameterPosixPoolSlabArray(got, NULL, 3),
		      INVALID_VALUE);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_int_equal(mock.pool.slot_bytes, 256 << 10);
}

#define CONFIG_TEST(f)	\
	cmocka_unit_test_setup_teardown(f, mock_setup, config_teardown)

static void copies_by_the_gpu_can_be_switched_off(void **state)
{
	(void)state;
	use_file("{\"nvfs\":{\"gpu_copies\":false}}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_true(mock.pool.no_pump);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_GPU_COPIES", "on", 1);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_pump);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_GPU_COPIES", "0", 1);
	use_file("{}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_true(mock.pool.no_pump);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_GPU_COPIES", "perhaps", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	unsetenv("NVFS_GPU_COPIES");
}

static void mapped_writes_can_be_switched_off(void **state)
{
	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_map);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	use_file("{\"nvfs\":{\"mapped_writes\":false}}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_true(mock.pool.no_map);
	assert_false(mock.pool.no_pump);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_MAPPED_WRITES", "true", 1);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_map);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_MAPPED_WRITES", "2", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	unsetenv("NVFS_MAPPED_WRITES");
}

static void pinned_reads_can_be_switched_off(void **state)
{
	(void)state;
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_pin);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	use_file("{\"nvfs\":{\"pinned_reads\":false}}");
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_true(mock.pool.no_pin);
	assert_false(mock.pool.no_map);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_PINNED_READS", "on", 1);
	assert_cufile(cuFileDriverOpen(), SUCCESS);
	assert_false(mock.pool.no_pin);
	assert_cufile(cuFileDriverClose(), SUCCESS);
	setenv("NVFS_PINNED_READS", "some", 1);
	assert_cufile(cuFileDriverOpen(), DRIVER_INVALID_PROPS);
	unsetenv("NVFS_PINNED_READS");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CONFIG_TEST(call_beats_environment_beats_file_beats_default),
		CONFIG_TEST(files_have_comments_and_unknown_keys),
		CONFIG_TEST(a_batch_size_has_three_names),
		CONFIG_TEST(defaults_that_are_spelt_out_choose_nothing),
		CONFIG_TEST(defaults_that_a_call_sets_are_meant),
		CONFIG_TEST(older_default_slabs_choose_nothing),
		CONFIG_TEST(large_slabs_are_buffers_of_4_mib),
		CONFIG_TEST(bad_files_fail_the_open),
		CONFIG_TEST(copies_by_the_gpu_can_be_switched_off),
		CONFIG_TEST(mapped_writes_can_be_switched_off),
		CONFIG_TEST(pinned_reads_can_be_switched_off),
		CONFIG_TEST(a_log_says_what_is_wrong_where_one_is_asked_for),
		CONFIG_TEST(keys_are_known_unused_or_unknown),
		CONFIG_TEST(huge_and_deep_files_are_refused),
		CONFIG_TEST(any_bytes_are_survived),
		CONFIG_TEST(parameter_numbers_and_ranges_are_checked),
		CONFIG_TEST(strings_fit_or_are_refused),
		CONFIG_TEST(slabs_come_back_in_the_same_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
