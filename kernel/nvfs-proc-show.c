// SPDX-License-Identifier: GPL-2.0-only
/*
 * /proc/nvfs: what there is.  One thing a line: what it is, its name, then
 * key=value; keys may be added at the end.  nvfs-proc(5) is the specification.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/pid.h>
#include <linux/seq_file.h>
#include <linux/stringify.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "nvfs-mmap-owner.h"
#include "nvfs-mmap-quota.h"
#include "nvfs-mod.h"
#include "nvfs-pci-table.h"
#include "nvfs-proc.h"
#include "nvfs-stat-user.h"

/* Grows when a program that read the files before could be misled */
#define PROC_FORMAT	1

/* A PCI address, of any domain */
static void put_address(struct seq_file *m, u64 id)
{
	seq_printf(m, "%04llx:%02llx:%02llx.%llx", id >> 16, id >> 8 & 0xff,
		   id >> 3 & 0x1f, id & 7);
}

static const char *yes_no(bool yes)
{
	return yes ? "yes" : "no";
}

/**
 * nvfs_proc_version_show() - /proc/nvfs/version
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int nvfs_proc_version_show(struct seq_file *m, void *v)
{
	seq_puts(m, "version " __stringify(NVFS_VERSION_MAJOR) "."
		 __stringify(NVFS_VERSION_MINOR) "."
		 __stringify(NVFS_VERSION_PATCH) "\n");
	seq_printf(m, "format %d\n", PROC_FORMAT);
	seq_printf(m, "provider_version 0x%08x\n", nvfs_provider_version());
	return 0;
}

/* The bridges above a device, nearest first; "-" when there is none */
static void put_path(struct seq_file *m, const struct nvfs_pci_path *path)
{
	unsigned int i;

	seq_printf(m, " host=%04llx:%02llx path=", path->host_bridge >> 16,
		   path->host_bridge >> 8 & 0xff);
	for (i = 1; i < path->nr_hops; i++) {
		if (i > 1)
			seq_putc(m, ',');
		put_address(m, path->hop[i].id);
	}
	if (path->nr_hops <= 1)
		seq_putc(m, '-');
}

/* The first bridge above a device that sends peer requests up, or "none" */
static void put_acs(struct seq_file *m, const struct nvfs_pci_path *path)
{
	unsigned int i;

	seq_puts(m, " acs=");
	for (i = 0; i < path->nr_hops; i++)
		if (path->hop[i].acs_redirect)
			break;
	if (i < path->nr_hops)
		put_address(m, path->hop[i].id);
	else
		seq_puts(m, "none");
}

static void device_show(const struct nvfs_pci_info *info, enum nvfs_pci_fit fit,
			void *data)
{
	struct seq_file *m = data;
	int bar = nvfs_pci_memory_bar(info);

	seq_printf(m, "%s ", nvfs_pci_kind_name(info->kind));
	put_address(m, info->id);
	seq_printf(m, " vendor=%04x device=%04x class=%06x driver=",
		   info->vendor, info->device, info->class);
	seq_escape(m, info->driver[0] ? info->driver : "-", " \t\n\\=");
	seq_printf(m, " node=%d bar_bytes=%llu", info->node,
		   bar < 0 ? 0 : info->bar[bar].len);
	seq_printf(m, " gen=%u width=%u max_gen=%u max_width=%u", info->gen,
		   info->width, info->path.hop[0].gen,
		   info->path.hop[0].width);
	seq_printf(m, " iommu=%s", nvfs_pci_iommu_name(info->iommu));
	put_acs(m, &info->path);
	put_path(m, &info->path);
	seq_printf(m, " fit=%s\n", nvfs_pci_fit_name(fit));
}

/**
 * nvfs_proc_devices_show() - /proc/nvfs/devices
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int nvfs_proc_devices_show(struct seq_file *m, void *v)
{
	nvfs_pci_each_device(device_show, m);
	return 0;
}

static const char *reason_word(enum nvfs_reason reason)
{
	switch (reason) {
	case NVFS_REASON_NONE:
		return "none";
	case NVFS_REASON_IOMMU:
		return "iommu";
	default:
		return "host-bridge";
	}
}

static void pair_show(const struct nvfs_pci_pair *pair, void *data)
{
	const struct nvfs_pci_peer *peer = &pair->peer;
	struct seq_file *m = data;

	seq_puts(m, "peer ");
	put_address(m, pair->gpu->id);
	seq_putc(m, ' ');
	put_address(m, pair->drive->id);
	seq_printf(m, " reach=%s reason=%s rank=%s distance=%d",
		   yes_no(!peer->verdict.reason),
		   reason_word(peer->verdict.reason),
		   nvfs_pci_rank_name(peer->rank), peer->verdict.distance);
	seq_printf(m, " through_host=%s mbps=%u cost=%u\n",
		   yes_no(peer->verdict.through_host), peer->mbps, peer->cost);
}

/**
 * nvfs_proc_peers_show() - /proc/nvfs/peers
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int nvfs_proc_peers_show(struct seq_file *m, void *v)
{
	nvfs_pci_each_pair(pair_show, m);
	return 0;
}

static const char *source_word(enum nvfs_page_source source)
{
	switch (source) {
	case NVFS_PAGES_ZONE:
		return "zone";
	case NVFS_PAGES_OWNER:
		return "owner";
	default:
		return "none";
	}
}

static void region_show(const struct nvfs_region_info *info, void *data)
{
	struct seq_file *m = data;

	seq_printf(m, "region %d:%u bytes=%llu state=%s", info->pid, info->id,
		   info->len, info->live ? "live" :
		   info->dead ? "dead" : "dying");
	if (info->live) {
		seq_puts(m, " gpu=");
		put_address(m, info->gpu);
		seq_printf(m, " pages=%s pieces=%u persistent=%s pinned=%llu",
			   source_word(info->source), info->nr_pieces,
			   yes_no(info->persistent), info->pinned);
	}
	seq_putc(m, '\n');
}

/* Who opened a file decides what it shows, so that it can be handed on to somebody
 * who may see less
 */
static struct nvfs_viewer viewer_of(const struct seq_file *m)
{
	return (struct nvfs_viewer){
		.uid = m->file->f_cred->euid,
		.all = file_ns_capable(m->file, &init_user_ns, CAP_SYS_ADMIN),
	};
}

/**
 * nvfs_proc_regions_show() - /proc/nvfs/regions
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int nvfs_proc_regions_show(struct seq_file *m, void *v)
{
	const struct nvfs_viewer viewer = viewer_of(m);

	nvfs_owner_each_region(&viewer, region_show, m);
	return 0;
}

static void usage_counters(struct seq_file *m, const struct nvfs_user *user)
{
	int i;

	/* It will be asked again, with more room */
	if (seq_has_overflowed(m))
		return;
	for (i = 0; i < NVFS_USER_COUNTER_NR; i++)
		seq_printf(m, " %s=%llu", nvfs_user_counter_name(i),
			   nvfs_user_sum(user, i));
	seq_putc(m, '\n');
}

static void device_usage_show(const struct nvfs_user *user, void *data)
{
	struct seq_file *m = data;

	seq_puts(m, user->kind == NVFS_USER_GPU ? "gpu " : "drive ");
	if (user->id == NVFS_USER_NOBODY)
		seq_putc(m, '-');
	else
		put_address(m, user->id);
	usage_counters(m, user);
}

static void process_usage_show(const struct nvfs_user *user, void *data)
{
	struct seq_file *m = data;
	const struct nvfs_viewer viewer = viewer_of(m);

	if (user->id == NVFS_USER_NOBODY) {
		if (!viewer.all)
			return;
		seq_puts(m, "process -");
	} else {
		/* Not beyond the reader's pid namespace */
		if (!pid_vnr(user->pid) ||
		    !(viewer.all || uid_eq(viewer.uid, user->uid)))
			return;
		seq_printf(m, "process %d uid=%u", pid_vnr(user->pid),
			   from_kuid_munged(m->file->f_cred->user_ns,
					    user->uid));
	}
	usage_counters(m, user);
}

/**
 * nvfs_proc_usage_show() - /proc/nvfs/usage
 * @m: where to
 * @v: not used
 *
 * Return: 0.
 */
int nvfs_proc_usage_show(struct seq_file *m, void *v)
{
	seq_printf(m, "counting %s\n",
		   static_key_enabled(&nvfs_user_on) ? "yes" : "no");
	nvfs_user_each(NVFS_USER_GPU, device_usage_show, m);
	nvfs_user_each(NVFS_USER_DRIVE, device_usage_show, m);
	nvfs_user_each(NVFS_USER_PROCESS, process_usage_show, m);
	return 0;
}

static void user_show(const struct nvfs_quota *quota, void *data)
{
	struct seq_file *m = data;
	struct nvfs_viewer viewer = viewer_of(m);

	if (!viewer.all && !uid_eq(viewer.uid, quota->uid))
		return;
	seq_printf(m, "user %u pinned=%lld limit=%llu opens=%u\n",
		   from_kuid_munged(m->file->f_cred->user_ns, quota->uid),
		   atomic64_read(&quota->pinned), nvfs_quota_limit(),
		   quota->opens);
}

/**
 * nvfs_proc_users_show() - /proc/nvfs/users
 * @m: where to
 * @v: not used
 *
 * Who opened this file decides what it shows, as with regions.
 *
 * Return: 0.
 */
int nvfs_proc_users_show(struct seq_file *m, void *v)
{
	nvfs_quota_each(user_show, m);
	return 0;
}
