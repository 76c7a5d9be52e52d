// SPDX-License-Identifier: MIT
/*
 * Machines, and how near each drive is to each GPU in them. A cell of a matrix
 * is a letter and the number of links: S below one switch, B several switches
 * below one bridge, H through one host bridge, N through two of one NUMA node,
 * Y between nodes; xh no way because of a host bridge, xi because of an IOMMU.
 * "S4*8" is that cell eight times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nvfs-pci-rank.h"

#define INTEL		0x8086
#define AMD		0x1022
#define ICELAKE		0x09a2	/* forwards, to other bridges, too */
#define SKYLAKE		0x2030
#define XEON_E5		0x2f00	/* forwards, but not to other bridges */
#define CLIENT		0x3e30	/* is not known to forward */
#define ROME		0x1480
#define VMD		0x10000	/* first domain that Intel VMD makes */

#define MAX_PARTS	128
#define TEXT		2048

enum type { HOST, ROOT_PORT, UPSTREAM, DOWNSTREAM, GPU, NVME };

struct part {
	enum type type;
	struct part *up;
	u64 id;
	bool acs;
	u8 gen, width;
	enum nvfs_pci_iommu iommu;
	int node;
	u16 vendor, device;
};

struct machine {
	struct part part[MAX_PARTS];
	int nr;
	struct nvfs_pci_platform platform;
};

/* There is one machine; this clears it. */
static struct machine *machine(bool amd)
{
	static struct machine m;

	memset(&m, 0, sizeof(m));
	m.platform.cpu_forwards = amd;
	m.platform.page_unit = 2 << 20;
	return &m;
}

/* Bus numbers don't matter as long as they differ. */
static struct part *add(struct machine *m, enum type type, struct part *up)
{
	struct part *part = &m->part[m->nr++];

	assert_true(m->nr <= MAX_PARTS);
	part->type = type;
	part->up = up;
	part->id = (u64)m->nr << 8;
	if (up) {
		part->id |= up->id & ~0xffffULL;
		part->node = up->node;
	}
	if (type != ROOT_PORT && type != DOWNSTREAM && type != HOST) {
		part->gen = 4;
		part->width = type == NVME ? 4 : 16;
	}
	return part;
}

static struct part *host(struct machine *m, u32 domain, int node, u16 vendor,
			 u16 device)
{
	struct part *part = add(m, HOST, NULL);

	part->id |= (u64)domain << 16;
	part->node = node;
	part->vendor = vendor;
	part->device = device;
	return part;
}

static struct part *below_port(struct machine *m, struct part *h, enum type t)
{
	return add(m, t, add(m, ROOT_PORT, h));
}

static struct part *below_switch(struct machine *m, struct part *upstream,
				 enum type type)
{
	return add(m, type, add(m, DOWNSTREAM, upstream));
}

static struct nvfs_pci_info look(const struct part *part)
{
	struct nvfs_pci_info info = {
		.id = part->id, .node = part->node, .iommu = part->iommu,
		.kind = part->type == GPU ? NVFS_PCI_GPU : NVFS_PCI_DRIVE,
	};
	struct nvfs_pci_path *path = &info.path;

	for (; part->type != HOST; part = part->up) {
		if (path->nr_hops == NVFS_PCI_MAX_HOPS) {
			memset(path, 0, sizeof(*path));
			return info;
		}
		path->hop[path->nr_hops++] = (struct nvfs_pci_hop){
			.id = part->id, .acs_redirect = part->acs,
			.gen = part->gen, .width = part->width,
		};
	}
	path->host_bridge = part->id;
	path->host_vendor = part->vendor;
	path->host_device = part->device;
	return info;
}

static struct nvfs_pci_peer peer(const struct machine *m,
				 const struct part *gpu,
				 const struct part *drive)
{
	const struct nvfs_pci_info a = look(gpu), b = look(drive);
	struct nvfs_pci_peer p;

	nvfs_pci_rank(&a, &b, &m->platform, &p);
	return p;
}

static void cell(const struct nvfs_pci_peer *p, char *text, size_t size)
{
	if (p->verdict.reason)
		snprintf(text, size, "%s", p->verdict.reason ==
			 NVFS_REASON_IOMMU ? "xi" : "xh");
	else
		snprintf(text, size, "%c%d", "=SBHNY"[p->rank],
			 p->verdict.distance);
	assert_int_equal(p->rank == NVFS_RANK_NONE, p->verdict.reason != 0);
}

/* One GPU's row, equal neighbours put together. */
static size_t row(const struct machine *m, const struct part *gpu, char *out,
		  size_t size)
{
	char last[16] = "", now[16] = "";
	size_t used = 0;
	int i, run = 0;

	for (i = 0; i <= m->nr; i++) {
		if (i < m->nr) {
			struct nvfs_pci_peer p;

			if (m->part[i].type != NVME)
				continue;
			p = peer(m, gpu, &m->part[i]);
			cell(&p, now, sizeof(now));
		}
		if (run && (i == m->nr || strcmp(now, last))) {
			used += (size_t)snprintf(out + used, size - used,
						 "%s%s", used ? " " : "", last);
			if (run > 1)
				used += (size_t)snprintf(out + used,
							 size - used, "*%d",
							 run);
			run = 0;
		}
		strcpy(last, now);
		run++;
	}
	return used;
}

/* Rows of all GPUs, each ended by a newline. */
static void expect(const struct machine *m, const char *want)
{
	static char text[TEXT];
	size_t used = 0;
	int i;

	text[0] = '\0';
	for (i = 0; i < m->nr; i++) {
		if (m->part[i].type != GPU)
			continue;
		used += row(m, &m->part[i], text + used, sizeof(text) - used);
		text[used++] = '\n';
		text[used] = '\0';
	}
	assert_string_equal(text, want);
}

static void set_acs(struct machine *m, enum type type)
{
	int i;

	for (i = 0; i < m->nr; i++)
		if (m->part[i].type == type)
			m->part[i].acs = true;
}

static void set_iommu(struct machine *m, enum nvfs_pci_iommu iommu)
{
	int i;

	for (i = 0; i < m->nr; i++)
		m->part[i].iommu = iommu;
}

/* -------------------------------------------------------------- machines */

static struct machine *desktop(bool amd)
{
	struct machine *m = machine(amd);
	struct part *h = host(m, 0, -1, amd ? AMD : INTEL,
			      amd ? ROME : CLIENT);

	below_port(m, h, GPU);
	below_port(m, h, NVME);
	below_port(m, h, NVME);
	return m;
}

static void intel_desktop_does_not_forward(void **state)
{
	struct machine *m = desktop(false);

	(void)state;
	expect(m, "xh*2\n");
}

static void amd_desktop_forwards(void **state)
{
	struct machine *m = desktop(true);

	(void)state;
	expect(m, "H4*2\n");
	set_iommu(m, NVFS_IOMMU_TRANSLATE);
	expect(m, "H4*2\n");
}

/* A GPU and a drive below one switch, another drive beside it. */
static struct machine *one_switch(bool amd)
{
	struct machine *m = machine(amd);
	struct part *h = host(m, 0, 0, INTEL, CLIENT);
	struct part *up = below_port(m, h, UPSTREAM);

	below_switch(m, up, GPU);
	below_switch(m, up, NVME);
	below_port(m, h, NVME);
	return m;
}

static void one_switch_keeps_it_below(void **state)
{
	struct machine *m = one_switch(false);

	(void)state;
	expect(m, "S4 xh\n");
	m = one_switch(true);
	expect(m, "S4 H6\n");
}

static void access_control_sends_it_to_the_host(void **state)
{
	struct machine *m = one_switch(false);

	(void)state;
	set_acs(m, DOWNSTREAM);
	expect(m, "xh*2\n");
	m = one_switch(true);
	set_acs(m, DOWNSTREAM);
	expect(m, "H4 H6\n");
	/* above the switch it is not on the way */
	m = one_switch(false);
	set_acs(m, ROOT_PORT);
	expect(m, "S4 xh\n");
}

static void only_a_translating_iommu_is_in_the_way(void **state)
{
	struct machine *m = one_switch(false);

	(void)state;
	set_iommu(m, NVFS_IOMMU_PASSTHROUGH);
	expect(m, "S4 xh\n");
	set_iommu(m, NVFS_IOMMU_TRANSLATE);
	expect(m, "xi xh\n");
	m = one_switch(true);
	set_iommu(m, NVFS_IOMMU_TRANSLATE);
	expect(m, "H4 H6\n");
}

/* The drive's IOMMU counts: it is the drive that sends the addresses. */
static void the_gpus_own_iommu_is_not_asked(void **state)
{
	struct machine *m = one_switch(false);
	int i;

	(void)state;
	for (i = 0; i < m->nr; i++)
		if (m->part[i].type == GPU)
			m->part[i].iommu = NVFS_IOMMU_TRANSLATE;
	expect(m, "S4 xh\n");
}

static void nested_switches_are_further(void **state)
{
	struct machine *m = machine(false);
	struct part *h = host(m, 0, 0, INTEL, CLIENT);
	struct part *outer = below_port(m, h, UPSTREAM);
	struct part *left = below_switch(m, outer, UPSTREAM);
	struct part *right = below_switch(m, outer, UPSTREAM);

	(void)state;
	below_switch(m, left, GPU);
	below_switch(m, right, GPU);
	below_switch(m, left, NVME);
	below_switch(m, outer, NVME);
	below_switch(m, right, NVME);
	expect(m, "S4 B6 B8\nB8 B6 S4\n");
	/* redirected at one leaf: that pair's way crosses the host */
	left->up->acs = true;
	expect(m, "S4 xh*2\nxh B6 S4\n");
}

/* Two sockets with one GPU and one drive each, on root ports. */
static struct machine *two_sockets(u16 vendor, u16 device, bool amd)
{
	struct machine *m = machine(amd);
	int node;

	for (node = 0; node < 2; node++) {
		struct part *h = host(m, 0, node, vendor, device);

		below_port(m, h, GPU);
		below_port(m, h, NVME);
	}
	return m;
}

static void two_skylake_sockets_reach_each_other(void **state)
{
	struct machine *m = two_sockets(INTEL, SKYLAKE, false);

	(void)state;
	expect(m, "H4 Y4\nY4 H4\n");
}

static void two_xeon_e5_sockets_do_not(void **state)
{
	struct machine *m = two_sockets(INTEL, XEON_E5, false);

	(void)state;
	expect(m, "H4 xh\nxh H4\n");
}

static void two_unknown_sockets_reach_nothing(void **state)
{
	struct machine *m = two_sockets(INTEL, CLIENT, false);

	(void)state;
	expect(m, "xh*2\nxh*2\n");
}

static void numa_nodes_that_nobody_knows_are_one(void **state)
{
	struct machine *m = two_sockets(AMD, ROME, true);
	int i;

	(void)state;
	expect(m, "H4 Y4\nY4 H4\n");
	for (i = 0; i < m->nr; i++)
		m->part[i].node = -1;
	expect(m, "H4 N4\nN4 H4\n");
}

/* One EPYC: four host bridges, two NUMA nodes. */
static void epyc_has_many_host_bridges(void **state)
{
	struct machine *m = machine(true);
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct part *h = host(m, 0, i / 2, AMD, ROME);

		below_port(m, h, i % 2 ? NVME : GPU);
		below_port(m, h, NVME);
	}
	expect(m, "H4 N4*2 Y4*3\nY4*3 H4 N4*2\n");
}

/* Drives behind Intel VMD are in a domain of their own, wider than 16 bits. */
static void vmd_drives_share_no_root_with_the_gpu(void **state)
{
	struct machine *m = machine(false);
	struct part *h = host(m, 0, 0, INTEL, ICELAKE);
	struct part *vmd = host(m, VMD, 0, INTEL, ICELAKE);

	(void)state;
	below_port(m, h, GPU);
	below_port(m, h, NVME);
	below_port(m, vmd, NVME);
	expect(m, "H4 N4\n");
	vmd->device = CLIENT;
	expect(m, "H4 xh\n");
}

/* Equal bus numbers in two domains are two places. */
static void domains_are_not_one_root(void **state)
{
	struct machine *m = machine(false);
	struct part *a = host(m, 0, 0, INTEL, CLIENT);
	struct part *b = host(m, VMD + 1, 0, INTEL, CLIENT);
	struct part *up = below_port(m, a, UPSTREAM);
	struct part *other = below_port(m, b, UPSTREAM);

	(void)state;
	below_switch(m, up, GPU);
	below_switch(m, other, NVME);
	other->id = (other->id & ~0xffffULL) | (up->id & 0xffff);
	expect(m, "xh\n");
}

/* A GPU in the root complex has no bridge to share. */
static void integrated_gpu_has_no_common_bridge(void **state)
{
	struct machine *m = machine(false);
	struct part *h = host(m, 0, 0, INTEL, CLIENT);

	(void)state;
	add(m, GPU, h);
	below_port(m, h, NVME);
	expect(m, "xh\n");
	m->platform.cpu_forwards = true;
	expect(m, "H3\n");
}

/* Two functions of one card, below one port. */
static void one_card_with_both(void **state)
{
	struct machine *m = machine(false);
	struct part *port = add(m, ROOT_PORT, host(m, 0, 0, INTEL, CLIENT));

	(void)state;
	add(m, GPU, port);
	add(m, NVME, port);
	expect(m, "S2\n");
}

static void way_that_is_too_long_is_none(void **state)
{
	struct machine *m = machine(true);
	struct part *up = host(m, 0, 0, AMD, ROME);
	int i;

	(void)state;
	for (i = 0; i < NVFS_PCI_MAX_HOPS; i++)
		up = add(m, ROOT_PORT, up);
	add(m, NVME, up);
	below_port(m, &m->part[0], GPU);
	expect(m, "xh\n");
	m->part[NVFS_PCI_MAX_HOPS + 1].up = &m->part[NVFS_PCI_MAX_HOPS - 1];
	/* one bridge fewer */
	expect(m, "H18\n");
}

/* Two sockets, two host bridges and two switches each; on each switch two GPUs
 * and eight drives.
 */
static struct machine *server(u16 device)
{
	struct machine *m = machine(false);
	int i, j;

	for (i = 0; i < 4; i++) {
		struct part *h = host(m, 0, i / 2, INTEL, device);
		struct part *up = below_port(m, h, UPSTREAM);

		for (j = 0; j < 2; j++)
			below_switch(m, up, GPU);
		for (j = 0; j < 8; j++)
			below_switch(m, up, NVME);
	}
	return m;
}

#define EACH_GPU(a, b, c, d) a "\n" a "\n" b "\n" b "\n" c "\n" c "\n" d "\n" d "\n"

static void server_with_8_gpus_and_32_drives(void **state)
{
	struct machine *m = server(ICELAKE);

	(void)state;
	expect(m, EACH_GPU("S4*8 N8*8 Y8*16", "N8*8 S4*8 Y8*16",
			    "Y8*16 S4*8 N8*8", "Y8*16 N8*8 S4*8"));
	m = server(CLIENT);
	expect(m, EACH_GPU("S4*8 xh*24", "xh*8 S4*8 xh*16",
			    "xh*16 S4*8 xh*8", "xh*24 S4*8"));
}

static void server_with_access_control_everywhere(void **state)
{
	struct machine *m = server(ICELAKE);

	(void)state;
	set_acs(m, DOWNSTREAM);
	expect(m, EACH_GPU("H4*8 N8*8 Y8*16", "N8*8 H4*8 Y8*16",
			    "Y8*16 H4*8 N8*8", "Y8*16 N8*8 H4*8"));
	m = server(XEON_E5);
	set_acs(m, DOWNSTREAM);
	expect(m, EACH_GPU("H4*8 xh*24", "xh*8 H4*8 xh*16",
			    "xh*16 H4*8 xh*8", "xh*24 H4*8"));
}

static void server_with_a_translating_iommu(void **state)
{
	struct machine *m = server(CLIENT);

	(void)state;
	set_iommu(m, NVFS_IOMMU_TRANSLATE);
	expect(m, EACH_GPU("xi*8 xh*24", "xh*8 xi*8 xh*16",
			    "xh*16 xi*8 xh*8", "xh*24 xi*8"));
}

/* ----------------------------------------------------------------- order */

static struct part *nth(struct machine *m, enum type type, int n)
{
	int i;

	for (i = 0; i < m->nr; i++)
		if (m->part[i].type == type && !n--)
			return &m->part[i];
	return NULL;
}

static void nearer_drives_cost_less(void **state)
{
	struct machine *m = server(ICELAKE);
	struct part *gpu = nth(m, GPU, 0);
	u32 own = peer(m, gpu, nth(m, NVME, 0)).cost;
	u32 node = peer(m, gpu, nth(m, NVME, 8)).cost;
	u32 far = peer(m, gpu, nth(m, NVME, 16)).cost;

	(void)state;
	assert_true(own < node);
	assert_true(node < far);
	nth(m, NVME, 8)->gen = 6;
	nth(m, NVME, 8)->width = 16;
	assert_true(own < peer(m, gpu, nth(m, NVME, 8)).cost);
	nth(m, HOST, 0)->device = CLIENT;
	assert_true(far < peer(m, gpu, nth(m, NVME, 16)).cost);
}

static void of_equally_near_drives_the_faster_costs_less(void **state)
{
	struct machine *m = server(ICELAKE);
	struct part *gpu = nth(m, GPU, 0);
	struct part *slow = nth(m, NVME, 1);

	(void)state;
	slow->gen = 3;
	assert_true(peer(m, gpu, nth(m, NVME, 0)).cost <
		    peer(m, gpu, slow).cost);
	/* an unknown speed is the last choice */
	slow->gen = 0;
	slow->up->up->gen = 0;
	gpu->gen = 0;
	assert_int_equal(peer(m, gpu, slow).mbps, 0);
	assert_true(peer(m, gpu, nth(m, NVME, 0)).cost <
		    peer(m, gpu, slow).cost);
}

static void the_narrowest_link_on_the_way_counts(void **state)
{
	struct machine *m = one_switch(true);
	struct part *gpu = nth(m, GPU, 0), *up = nth(m, UPSTREAM, 0);

	(void)state;
	assert_int_equal(peer(m, gpu, nth(m, NVME, 0)).mbps, 7876);
	gpu->width = 1;
	assert_int_equal(peer(m, gpu, nth(m, NVME, 0)).mbps, 1969);
	/* the switch's way up matters to those who take it only */
	gpu->width = 16;
	up->gen = 1;
	up->width = 1;
	assert_int_equal(peer(m, gpu, nth(m, NVME, 0)).mbps, 7876);
	assert_int_equal(peer(m, gpu, nth(m, NVME, 1)).mbps, 250);
}

static void links_carry_what_the_standard_says(void **state)
{
	(void)state;
	assert_int_equal(nvfs_pci_link_mbps(1, 1), 250);
	assert_int_equal(nvfs_pci_link_mbps(2, 8), 4000);
	assert_int_equal(nvfs_pci_link_mbps(3, 16), 15753);
	assert_int_equal(nvfs_pci_link_mbps(4, 16), 31507);
	assert_int_equal(nvfs_pci_link_mbps(5, 16), 63015);
	assert_int_equal(nvfs_pci_link_mbps(6, 16), 121000);
	assert_int_equal(nvfs_pci_link_mbps(0, 16), 0);
	assert_int_equal(nvfs_pci_link_mbps(7, 16), 0);
	assert_int_equal(nvfs_pci_link_mbps(4, 0), 0);
}

/* ------------------------------------------------------------ the device */

static struct nvfs_pci_info a_gpu(void)
{
	struct nvfs_pci_info info = {
		.class = 0x030200, .kind = NVFS_PCI_GPU, .driver = "nvidia",
		.path = { .nr_hops = 2 },
		.bar = {
			{ .start = 0x80000000, .len = 16 << 20, .memory = true },
			{ .start = 4ULL << 40, .len = 64ULL << 30,
			  .memory = true, .prefetchable = true },
			{ .start = 6ULL << 40, .len = 32 << 20,
			  .memory = true, .prefetchable = true },
			{ .start = 0xe000, .len = 128 },
		},
	};

	return info;
}

static void kinds_follow_the_class(void **state)
{
	(void)state;
	assert_int_equal(nvfs_pci_kind_of(0x010802), NVFS_PCI_DRIVE);
	assert_int_equal(nvfs_pci_kind_of(0x010601), NVFS_PCI_DRIVE);
	assert_int_equal(nvfs_pci_kind_of(0x030000), NVFS_PCI_GPU);
	assert_int_equal(nvfs_pci_kind_of(0x030200), NVFS_PCI_GPU);
	assert_int_equal(nvfs_pci_kind_of(0x120000), NVFS_PCI_GPU);
	assert_int_equal(nvfs_pci_kind_of(0x050000), NVFS_PCI_MEMORY);
	assert_int_equal(nvfs_pci_kind_of(0x050210), NVFS_PCI_OTHER);
	assert_int_equal(nvfs_pci_kind_of(0x020000), NVFS_PCI_OTHER);
	assert_int_equal(nvfs_pci_kind_of(0x060400), NVFS_PCI_OTHER);
}

static void memory_is_in_the_largest_prefetchable_bar(void **state)
{
	struct nvfs_pci_info gpu = a_gpu();

	(void)state;
	assert_int_equal(nvfs_pci_memory_bar(&gpu), 1);
	gpu.bar[2].len = gpu.bar[1].len * 2;
	assert_int_equal(nvfs_pci_memory_bar(&gpu), 2);
	gpu.bar[1].prefetchable = false;
	gpu.bar[2].len = 0;
	assert_int_equal(nvfs_pci_memory_bar(&gpu), -1);
}

static void devices_that_do_not_fit_say_why(void **state)
{
	struct nvfs_pci_platform platform = { .page_unit = 2 << 20 };
	struct nvfs_pci_info gpu = a_gpu(), other;

	(void)state;
	assert_int_equal(nvfs_pci_fit(&gpu, &platform), NVFS_FIT_OK);
	other = gpu;
	other.kind = NVFS_PCI_OTHER;
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_KIND);
	other = gpu;
	other.path.nr_hops = 0;
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_PATH);
	other = gpu;
	other.driver[0] = '\0';
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_DRIVER);
	other = gpu;
	other.bar[1].prefetchable = other.bar[2].prefetchable = false;
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_NO_BAR);
	other = gpu;
	other.bar[1].len = other.bar[2].len = 1 << 20;
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_SMALL_BAR);
	other = gpu;
	other.bar[1].start += 1 << 20;
	assert_int_equal(nvfs_pci_fit(&other, &platform), NVFS_FIT_ALIGN);
	platform.encrypted = true;
	assert_int_equal(nvfs_pci_fit(&gpu, &platform), NVFS_FIT_ENCRYPTED);
	platform.page_unit = 0;
	assert_int_equal(nvfs_pci_fit(&gpu, &platform), NVFS_FIT_NO_PAGES);
}

static void only_nvme_drivers_take_peer_memory(void **state)
{
	struct nvfs_pci_platform platform = { .page_unit = 2 << 20 };
	struct nvfs_pci_info drive = {
		.class = 0x010802, .kind = NVFS_PCI_DRIVE, .driver = "nvme",
		.path = { .nr_hops = 2 },
	};

	(void)state;
	assert_int_equal(nvfs_pci_fit(&drive, &platform), NVFS_FIT_OK);
	drive.class = 0x010601;
	assert_int_equal(nvfs_pci_fit(&drive, &platform), NVFS_FIT_CONTROLLER);
}

static void every_value_has_a_word(void **state)
{
	int i, j;

	(void)state;
	for (i = 0; i < NVFS_RANK_NR; i++)
		for (j = 0; j < i; j++)
			assert_string_not_equal(nvfs_pci_rank_name(i),
						nvfs_pci_rank_name(j));
	for (i = 0; i < NVFS_FIT_NR; i++)
		for (j = 0; j < i; j++)
			assert_string_not_equal(nvfs_pci_fit_name(i),
						nvfs_pci_fit_name(j));
	assert_string_equal(nvfs_pci_rank_name(NVFS_RANK_NR), "?");
	assert_string_equal(nvfs_pci_fit_name(NVFS_FIT_NR), "?");
	assert_string_equal(nvfs_pci_kind_name(NVFS_PCI_GPU), "gpu");
	assert_string_equal(nvfs_pci_kind_name(99), "?");
	assert_string_equal(nvfs_pci_iommu_name(NVFS_IOMMU_NONE), "none");
	assert_string_equal(nvfs_pci_iommu_name(99), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intel_desktop_does_not_forward),
		cmocka_unit_test(amd_desktop_forwards),
		cmocka_unit_test(one_switch_keeps_it_below),
		cmocka_unit_test(access_control_sends_it_to_the_host),
		cmocka_unit_test(only_a_translating_iommu_is_in_the_way),
		cmocka_unit_test(the_gpus_own_iommu_is_not_asked),
		cmocka_unit_test(nested_switches_are_further),
		cmocka_unit_test(two_skylake_sockets_reach_each_other),
		cmocka_unit_test(two_xeon_e5_sockets_do_not),
		cmocka_unit_test(two_unknown_sockets_reach_nothing),
		cmocka_unit_test(numa_nodes_that_nobody_knows_are_one),
		cmocka_unit_test(epyc_has_many_host_bridges),
		cmocka_unit_test(vmd_drives_share_no_root_with_the_gpu),
		cmocka_unit_test(domains_are_not_one_root),
		cmocka_unit_test(integrated_gpu_has_no_common_bridge),
		cmocka_unit_test(one_card_with_both),
		cmocka_unit_test(way_that_is_too_long_is_none),
		cmocka_unit_test(server_with_8_gpus_and_32_drives),
		cmocka_unit_test(server_with_access_control_everywhere),
		cmocka_unit_test(server_with_a_translating_iommu),
		cmocka_unit_test(nearer_drives_cost_less),
		cmocka_unit_test(of_equally_near_drives_the_faster_costs_less),
		cmocka_unit_test(the_narrowest_link_on_the_way_counts),
		cmocka_unit_test(links_carry_what_the_standard_says),
		cmocka_unit_test(kinds_follow_the_class),
		cmocka_unit_test(memory_is_in_the_largest_prefetchable_bar),
		cmocka_unit_test(devices_that_do_not_fit_say_why),
		cmocka_unit_test(only_nvme_drivers_take_peer_memory),
		cmocka_unit_test(every_value_has_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
