// SPDX-License-Identifier: MIT
/* What nvfs bench says. */
#include <errno.h>
#include <string.h>

#include "bench.h"
#include "tool.h"

static const struct {
	const char *name;
	unsigned int per_mille;
} percentiles[] = {
	{ "p50", 500 }, { "p95", 950 }, { "p99", 990 }, { "p999", 999 },
};

#define NR_PERCENTILES	(sizeof(percentiles) / sizeof(percentiles[0]))

uint32_t bench_route(const struct bench_result *result)
{
	if (result->direct && result->bounce)
		return NVFS_ROUTE_MIXED;
	if (result->direct)
		return NVFS_ROUTE_DIRECT;
	return result->bounce ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_NONE;
}

/* gdsio's word for the kind of transfer. */
static const char *xfer_name(const struct bench_opts *opts)
{
	if (opts->cpu)
		return "CPUONLY";
	if (opts->mode == BENCH_STREAM)
		return "GPUD_ASYNC";
	if (opts->mode == BENCH_BATCH)
		return "GPU_BATCH";
	return opts->way == BENCH_HOST ? "CPU_GPU" : "GPUD";
}

static const char *io_type(enum bench_op op)
{
	static const char *const names[] = {
		[BENCH_READ] = "READ", [BENCH_WRITE] = "WRITE",
		[BENCH_RANDREAD] = "RANDREAD", [BENCH_RANDWRITE] = "RANDWRITE",
		[BENCH_VERIFY] = "VERIFY",
	};

	return names[op];
}

static double usecs(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double kib(uint64_t bytes)
{
	return (double)bytes / 1024;
}

static double gib_per_second(const struct bench_result *result)
{
	return result->ns ? (double)result->bytes / (double)result->ns * 1e9 /
			    (1 << 30) : 0;
}

static void print_text(const struct bench *bench,
		       const struct bench_result *result)
{
	const struct bench_opts *opts = &bench->opts;

	printf("IoType: %s XferType: %s Threads: %u", io_type(opts->op),
	       xfer_name(opts), opts->threads);
	if (opts->mode != BENCH_SYNC)
		printf(" IoDepth: %u", opts->depth);
	printf(" DataSetSize: %.10g/%.10g(KiB) IOSize: %.10g(KiB)",
	       kib(result->bytes), kib(result->asked), kib(result->block));
	printf(" Throughput: %f GiB/sec, Avg_Latency: %f usecs ops: %llu total_time %f secs",
	       gib_per_second(result), usecs(bench_hist_mean(&result->hist)),
	       (unsigned long long)result->ops, (double)result->ns / 1e9);
	printf(" Route: %s Direct: %.10g(KiB) Bounce: %.10g(KiB) Latency(usecs):",
	       nvfs_route_name(bench_route(result)), kib(result->direct),
	       kib(result->bounce));
	for (size_t i = 0; i < NR_PERCENTILES; i++)
		printf(" %s %.1f", percentiles[i].name,
		       usecs(bench_hist_at(&result->hist,
					   percentiles[i].per_mille)));
	printf(" max %.1f", usecs(result->hist.max));
	if (opts->verify && !result->error)
		printf(" Verified: %.10g(KiB)%s", kib(result->checked),
		       result->differs ? " DIFFERENT" : "");
	printf("\n");
}

static void print_json_what(const struct bench *bench,
			    const struct bench_result *result)
{
	const struct bench_opts *opts = &bench->opts;

	printf("{\"cmd\":\"bench\",\"file\":");
	json_string(stdout, opts->path);
	if (opts->cpu)
		printf(",\"gpu\":null");
	else
		printf(",\"gpu\":%u", opts->gpu);
	printf(",\"rw\":\"%s\",\"mode\":\"%s\",\"block\":%llu,\"threads\":%u,\"depth\":%u",
	       bench_op_name(opts->op), bench_mode_name(opts->mode),
	       (unsigned long long)result->block, opts->threads, opts->depth);
	printf(",\"seed\":%llu,\"unaligned\":%u,\"registered\":%s,\"o_direct\":%s",
	       (unsigned long long)opts->seed, opts->unaligned,
	       bench->registered ? "true" : "false",
	       bench->files[0].direct_io ? "true" : "false");
	if (result->cached_known)
		printf(",\"cached\":%llu", (unsigned long long)result->cached);
	else
		printf(",\"cached\":null");
}

static void print_json_latency(const struct bench_hist *hist)
{
	printf(",\"latency_ns\":{\"mean\":%llu",
	       (unsigned long long)bench_hist_mean(hist));
	for (size_t i = 0; i < NR_PERCENTILES; i++)
		printf(",\"%s\":%llu", percentiles[i].name,
		       (unsigned long long)bench_hist_at(hist,
							 percentiles[i].per_mille));
	printf(",\"max\":%llu}", (unsigned long long)hist->max);
}

static void print_json(const struct bench *bench,
		       const struct bench_result *result)
{
	print_json_what(bench, result);
	printf(",\"asked\":%llu,\"bytes\":%llu,\"ops\":%llu,\"seconds\":%.6f,\"rate\":%llu",
	       (unsigned long long)result->asked,
	       (unsigned long long)result->bytes,
	       (unsigned long long)result->ops, (double)result->ns / 1e9,
	       (unsigned long long)rate_of(result->bytes, result->ns));
	printf(",\"route\":\"%s\",\"direct_bytes\":%llu,\"bounce_bytes\":%llu,\"reason\":\"%s\"",
	       nvfs_route_name(bench_route(result)),
	       (unsigned long long)result->direct,
	       (unsigned long long)result->bounce,
	       nvfs_reason_name(result->reason));
	print_json_latency(&result->hist);
	printf(",\"verified\":%llu,\"different_at\":",
	       (unsigned long long)result->checked);
	if (result->differs)
		printf("%llu", (unsigned long long)result->diff.at);
	else
		printf("null");
	printf(",\"error\":");
	if (result->error)
		printf("\"%s\"}\n", errno_name(result->error));
	else
		printf("null}\n");
}

void bench_print(const struct bench *bench, const struct bench_result *result)
{
	if (bench->opts.json)
		print_json(bench, result);
	else if (!bench->opts.quiet)
		print_text(bench, result);
	fflush(stdout);
}

/* The module's own words, where it has any for this reason. */
static void why_not_direct(const struct bench *bench, uint32_t reason)
{
	struct nvfs_query query = { .size = sizeof(query) };
	const char *text = nvfs_reason_text(reason);
	int error = nvfs_module_error(engine_nvfs());

	if (reason == NVFS_REASON_NO_MODULE && error) {
		complain("bench: not direct (%s): %s", nvfs_reason_name(reason),
			 module_advice(error));
		return;
	}
	if (!nvfs_query_gpu(engine_nvfs(), bench->gpu.bdf, bench->files[0].fd,
			    &query) &&
	    query.reason == reason && query.text[0]) {
		query.text[sizeof(query.text) - 1] = '\0';
		text = query.text;
	}
	complain("bench: not direct (%s): %s. %s", nvfs_reason_name(reason),
		 text, nvfs_reason_remedy(reason));
}

static void tell_failure(const struct bench *bench,
			 const struct bench_result *result)
{
	const struct bench_diff *diff = &result->diff;

	if (result->error == -EREMOTEIO)
		why_not_direct(bench, result->reason);
	if (result->error == -EOPNOTSUPP && bench->opts.mode == BENCH_STREAM &&
	    !result->ops)
		complain("bench: this GPU's driver has no streams (EOPNOTSUPP)");
	else if (result->error == -ENODATA)
		complain("bench: %s ends at byte %llu already (ENODATA)",
			 bench->opts.path,
			 (unsigned long long)result->error_at);
	else if (result->error)
		complain("bench: %s, byte %llu: %s (%s)", bench->opts.path,
			 (unsigned long long)result->error_at,
			 strerror(-result->error), errno_name(result->error));
	if (!result->differs)
		return;
	complain("bench: %s, byte %llu: 0x%02x instead of 0x%02x",
		 bench->opts.path, (unsigned long long)diff->at, diff->got,
		 diff->want);
	if (diff->known)
		complain("bench: this is what belongs to byte %llu",
			 (unsigned long long)diff->belongs);
	else
		complain("bench: nvfs bench --rw write with --seed %llu did not write this",
			 (unsigned long long)bench->opts.seed);
}

/*
 * What the page cache has is read there, also of a file that is open with O_DIRECT; and
 * what was read without that once is there the next time.
 */
static void tell_of_cache(const struct bench *bench,
			  const struct bench_result *result)
{
	char have[16], all[16];

	if (bench_writes(&bench->opts) || !result->bounce)
		return;
	format_bytes(result->cached, have, sizeof(have));
	format_bytes(result->asked, all, sizeof(all));
	if (result->cached_known && result->cached)
		complain("bench: %s of %s were in the page cache: this is not the drive's rate; see --drop-cache",
			 have, all);
	else if (!bench->files[0].direct_io && result->bytes > result->asked)
		complain("bench: the %s were read %.1f times: from the second on from the page cache, which is not the drive's rate",
			 all, (double)result->bytes / (double)result->asked);
}

void bench_warn(const struct bench *bench, const struct bench_result *result)
{
	const struct bench_opts *opts = &bench->opts;

	if (result->error || result->differs) {
		tell_failure(bench, result);
		return;
	}
	if (opts->quiet)
		return;
	if (result->bounce && opts->way != BENCH_HOST && !opts->cpu)
		why_not_direct(bench, result->reason);
	if (!bench->files[0].direct_io && !opts->buffered)
		complain("bench: %s does not offer O_DIRECT: through the page cache",
			 bench->files[0].path);
	tell_of_cache(bench, result);
	if (opts->verify)
		complain("bench: the time holds the %s; for rates: without --verify",
			 bench_writes(opts) ? "making of the pattern" :
					      "comparison");
}
