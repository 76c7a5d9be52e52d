// SPDX-License-Identifier: MIT
/* Words for numbers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define NR(table)	(sizeof(table) / sizeof((table)[0]))

static const char *const routes[] = {
	[NVFS_ROUTE_NONE] = "none",
	[NVFS_ROUTE_DIRECT] = "direct",
	[NVFS_ROUTE_BOUNCE] = "bounce",
	[NVFS_ROUTE_MIXED] = "mixed",
};

static const char *const pages[] = {
	[NVFS_PAGES_NONE] = "none",
	[NVFS_PAGES_OWNER] = "owner",
	[NVFS_PAGES_ZONE] = "zone",
	[NVFS_PAGES_P2PDMA] = "p2pdma",
};

struct reason {
	const char *name;
	const char *text;
	const char *remedy;
};

static const struct reason reasons[] = {
	[NVFS_REASON_NONE] = {
		"none", "the request goes direct", "",
	},
	[NVFS_REASON_NO_PAGES] = {
		"no-pages", "there are no struct pages for the GPU's BAR",
		"Enable \"Above 4G decoding\" and \"Resizable BAR\" in the firmware, and see the kernel log for what NVFS said about this GPU.",
	},
	[NVFS_REASON_NO_DIO] = {
		"no-dio", "the file system offers no O_DIRECT for this file",
		"Put the file on ext4 or xfs.",
	},
	[NVFS_REASON_FS_CPU] = {
		"fs-cpu", "the file system works on the data with the CPU (encryption, verity, compression or checksums)",
		"Put the file where that feature is off, for instance on ext4 or xfs without encryption.",
	},
	[NVFS_REASON_NO_BDEV] = {
		"no-bdev", "the file is not on a block device",
		"Put the file on a file system of a local NVMe drive.",
	},
	[NVFS_REASON_STACKED] = {
		"stacked", "the block device stands on other block devices (md, dm or loop) that can't be vouched for",
		"Use the drive or a partition of it directly.",
	},
	[NVFS_REASON_NOT_PCI] = {
		"not-pci", "the drive is no PCI device",
		"Use a drive that is attached by PCI Express.",
	},
	[NVFS_REASON_QUEUE] = {
		"queue", "the drive's driver does not take peer memory",
		"Use an NVMe drive with the kernel's own NVMe driver.",
	},
	[NVFS_REASON_INTEGRITY] = {
		"integrity", "the block layer works on the data with the CPU to make or check integrity metadata",
		"Write 0 to /sys/block/DRIVE/integrity/read_verify and write_generate, or format the drive without metadata.",
	},
	[NVFS_REASON_HOST_BRIDGE] = {
		"host-bridge", "the path crosses a host bridge that is not known to forward peer-to-peer traffic",
		"Move the drive or the GPU so that both sit below the same PCI Express switch.",
	},
	[NVFS_REASON_IOMMU] = {
		"iommu", "an IOMMU stands on the path and the host bridge is not known to forward peer-to-peer traffic",
		"Boot with iommu=pt, or turn the IOMMU off, or move drive and GPU below the same PCI Express switch.",
	},
	[NVFS_REASON_ALIGN] = {
		"align", "an offset or the length is no multiple of what O_DIRECT asks of this file",
		"Use offsets and lengths that are multiples of the alignment, 4096 as a rule.",
	},
	[NVFS_REASON_FS_BUFFERED] = {
		"fs-buffered", "the file system took the page cache for the request although it was asked for O_DIRECT",
		"Turn off what makes the file system do so (data journalling, inline data), or use another one.",
	},
	[NVFS_REASON_REFUSED] = {
		"refused", "the block layer or the drive refused peer memory when the request was made",
		"Use the drive without layers above it, and see the kernel log.",
	},
};

_Static_assert(NR(reasons) == NVFS_REASON_NR,
	       "each reason of the uapi header needs its words");
_Static_assert(NR(routes) == NVFS_ROUTE_MIXED + 1 &&
	       NR(pages) == NVFS_PAGES_P2PDMA + 1,
	       "each value of the uapi header needs its word");

/* From NVFS_REASON_NO_MODULE on. */
static const struct reason own_reasons[] = {
	{
		"no-module", "the module's device can't be used",
		"Load the module: modprobe nvfs.",
	}, {
		"no-region", "the module refused to pin the GPU memory",
		"See the kernel log, and nvfs check.",
	}, {
		"not-wanted", "the caller forbade the direct way",
		"Allow it: force_compat_mode and denylist in cufile.json.",
	},
};

static const struct reason unknown = {
	"unknown", "the module gave a reason that this library does not know",
	"Install the library that belongs to the module.",
};

static const struct reason *find_reason(uint32_t reason)
{
	if (reason < NR(reasons))
		return &reasons[reason];
	if (reason >= NVFS_REASON_NO_MODULE &&
	    reason - NVFS_REASON_NO_MODULE < NR(own_reasons))
		return &own_reasons[reason - NVFS_REASON_NO_MODULE];
	return &unknown;
}

NVFS_EXPORT const char *nvfs_route_name(uint32_t route)
{
	return route < NR(routes) ? routes[route] : "unknown";
}

NVFS_EXPORT const char *nvfs_pages_name(uint32_t page_source)
{
	return page_source < NR(pages) ? pages[page_source] : "unknown";
}

NVFS_EXPORT const char *nvfs_reason_name(uint32_t reason)
{
	return find_reason(reason)->name;
}

NVFS_EXPORT const char *nvfs_reason_text(uint32_t reason)
{
	return find_reason(reason)->text;
}

NVFS_EXPORT const char *nvfs_reason_remedy(uint32_t reason)
{
	return find_reason(reason)->remedy;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* At most eight digits; returns what follows them, NULL when there are none. */
static const char *parse_hex(const char *text, uint32_t *value)
{
	int nr = 0;

	*value = 0;
	for (; hex_digit(*text) >= 0; text++) {
		if (++nr > 8)
			return NULL;
		*value = *value << 4 | (uint32_t)hex_digit(*text);
	}
	return nr ? text : NULL;
}

NVFS_EXPORT int nvfs_bdf_parse(const char *text, uint32_t *bdf)
{
	static const char separators[] = ":.";
	uint32_t part[4] = { 0 };
	/* Without a domain the first part is the bus. */
	int first = text && strchr(text, ':') == strrchr(text, ':') ? 1 : 0;

	if (!text)
		return -EINVAL;
	for (int i = first; i < 4; i++) {
		text = parse_hex(text, &part[i]);
		if (!text)
			return -EINVAL;
		if (i < 3 && *text++ != separators[i == 2])
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	if (part[0] > 0xffff || part[1] > 0xff || part[2] > 0x1f ||
	    part[3] > 7)
		return -ERANGE;
	*bdf = part[0] << 16 | part[1] << 8 | part[2] << 3 | part[3];
	return 0;
}

NVFS_EXPORT int nvfs_bdf_format(uint32_t bdf, char *text, size_t size)
{
	int n;

	if (bdf == NVFS_BDF_NONE)
		n = snprintf(text, size, "none");
	else
		n = snprintf(text, size, "%04x:%02x:%02x.%x", bdf >> 16,
			     bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
	return n < 0 || (size_t)n >= size ? -ENOSPC : 0;
}
