// SPDX-License-Identifier: MIT
/* What the user reads, and what programs read. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "tool.h"

void complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("nvfs: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

const char *errno_name(int error)
{
	const char *name = strerrorname_np(-error);

	return name ? name : "unknown";
}

/* Length of the UTF-8 sequence at @p, 0 when it is none. */
static int utf8_length(const unsigned char *p)
{
	int length = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	for (int i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, and what lies above U+10FFFF. */
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
	    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return length;
}

/*
 * File names are bytes, JSON is text: a byte that is no UTF-8 is written as
 * the character U+DC80 + byte - 0x80, which is how Python reads it back
 * (surrogateescape).
 */
void json_string(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	fputc('"', out);
	while (*p) {
		int length = *p >= 0x80 ? utf8_length(p) : 1;

		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else if (!length)
			fprintf(out, "\\udc%02x", *p);
		else
			fwrite(p, 1, (size_t)length, out);
		p += length ? length : 1;
	}
	fputc('"', out);
}

void format_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB",
					     "PiB", "EiB" };
	double value = (double)bytes;
	int unit = 0;

	/* 1023.95 would be printed as 1024.0. */
	while (value >= 1023.95 && unit < 6) {
		value /= 1024;
		unit++;
	}
	if (!unit)
		snprintf(text, size, "%d B", (int)bytes);
	else
		snprintf(text, size, "%.1f %s", value, units[unit]);
}

uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((__uint128_t)bytes * 1000000000 / ns) : 0;
}

static void print_json(const struct report *report)
{
	printf("{\"cmd\":\"%s\",\"file\":", report->cmd);
	json_string(stdout, report->file);
	printf(",\"gpu\":%u,\"direction\":\"%s\",\"bytes\":%llu", report->gpu,
	       report->direction, (unsigned long long)report->bytes);
	printf(",\"seconds\":%.6f,\"rate\":%llu", (double)report->ns / 1e9,
	       (unsigned long long)rate_of(report->bytes, report->ns));
	printf(",\"route\":\"%s\",\"reason\":\"%s\",\"gpu_addr\":\"0x%llx\"",
	       nvfs_route_name(report->route), nvfs_reason_name(report->reason),
	       (unsigned long long)report->gpu_addr);
	printf(",\"error\":");
	if (report->error)
		printf("\"%s\"", errno_name(report->error));
	else
		printf("null");
	printf(",\"message\":");
	json_string(stdout, report->message);
	printf("}\n");
}

static void print_text(const struct report *report)
{
	char bytes[16], rate[16];

	format_bytes(report->bytes, bytes, sizeof(bytes));
	format_bytes(rate_of(report->bytes, report->ns), rate, sizeof(rate));
	if (!strcmp(report->direction, "read"))
		printf("%s -> gpu:%u: ", report->file, report->gpu);
	else
		printf("gpu:%u -> %s: ", report->gpu, report->file);
	printf("%s in %.3f s, %s/s", bytes, (double)report->ns / 1e9, rate);
	if (report->route)
		printf(", %s", nvfs_route_name(report->route));
	if (report->reason)
		printf(" (%s)", nvfs_reason_name(report->reason));
	if (report->message[0])
		printf(", %s", report->message);
	printf("\n");
}

void print_report(const struct report *report, const struct options *opts)
{
	if (opts->json)
		print_json(report);
	if (report->error)
		complain("%s: %s", report->file, report->message);
	else if (!opts->json && !opts->quiet)
		print_text(report);
}

const char *module_advice(int error)
{
	switch (error) {
	case -ENOENT:
		return "there is no /dev/nvidia-fs: the module is not loaded. Load it: modprobe nvfs";
	case -EACCES:
	case -EPERM:
		return "no permission to open /dev/nvidia-fs. Run as root, or have the administrator give you the device";
	case -ENXIO:
	case -ENODEV:
		return "/dev/nvidia-fs is there but no module stands behind it. Load it: modprobe nvfs";
	case -EPROTO:
		return "/dev/nvidia-fs belongs to another driver (NVIDIA's nvidia-fs?) or to another version of NVFS. Unload that one and load nvfs";
	case -EBUSY:
		return "/dev/nvidia-fs is busy";
	default:
		return "/dev/nvidia-fs can't be used";
	}
}

const char *gpu_advice(int error)
{
	switch (error) {
	case -ENOSYS:
		return "no GPU driver's library (libcuda.so.1, libamdhip64.so) can be loaded. Install the driver of NVIDIA, or AMD's ROCm, or set LD_LIBRARY_PATH";
	case -ENODEV:
		return "the GPU driver finds no (such) GPU. See: nvidia-smi, amd-smi";
	case -ENOMEM:
		return "not enough free GPU memory";
	case -EAGAIN:
		return "the GPU driver is not ready. Look at its services (nvidia-fabricmanager)";
	default:
		return "the GPU driver failed";
	}
}
