// SPDX-License-Identifier: MIT
/* The verdict: may a drive reach a GPU? Ways up are given, no machine needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nvfs-pci.h"

#define INTEL	0x8086

/* A way up: bus numbers from the function to the top, ended by -1. */
static struct nvfs_pci_path way(const int *buses)
{
	struct nvfs_pci_path path = { 0 };

	for (; *buses >= 0; buses++)
		path.hop[path.nr_hops++].id = (u32)*buses << 8;
	return path;
}

#define WAY(...) way((const int[]){ __VA_ARGS__, -1 })

static struct nvfs_pci_verdict judge(const struct nvfs_pci_path *gpu,
				     const struct nvfs_pci_path *drive,
				     bool cpu_forwards, bool iommu)
{
	struct nvfs_pci_platform platform = {
		.cpu_forwards = cpu_forwards, .iommu = iommu,
	};
	struct nvfs_pci_verdict verdict, back;

	nvfs_pci_judge(gpu, drive, &platform, &verdict);
	/* the way back is the same way */
	nvfs_pci_judge(drive, gpu, &platform, &back);
	assert_int_equal(verdict.reason, back.reason);
	assert_int_equal(verdict.distance, back.distance);
	assert_int_equal(verdict.through_host, back.through_host);
	return verdict;
}

static void one_switch_is_four_links(void **state)
{
	/* gpu, downstream port, upstream port, root port */
	struct nvfs_pci_path gpu = WAY(5, 4, 3, 0);
	struct nvfs_pci_path drive = WAY(6, 7, 3, 0);
	struct nvfs_pci_verdict v = judge(&gpu, &drive, false, false);

	(void)state;
	assert_int_equal(v.reason, NVFS_REASON_NONE);
	assert_int_equal(v.distance, 4);
	assert_false(v.through_host);
}

static void same_function_is_at_distance_0(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 4, 3, 0);
	bool redirected = true;

	(void)state;
	assert_int_equal(nvfs_pci_distance(&gpu, &gpu, &redirected), 0);
	assert_false(redirected);
}

static void one_bus_below_one_bridge_is_two_links(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 3, 0), drive = WAY(6, 3, 0);

	(void)state;
	assert_int_equal(judge(&gpu, &drive, false, false).distance, 2);
}

static void deep_switches_are_counted(void **state)
{
	struct nvfs_pci_path gpu = WAY(20, 19, 18, 17, 16, 1);
	struct nvfs_pci_path drive = WAY(30, 16, 1);
	struct nvfs_pci_verdict v = judge(&gpu, &drive, false, false);

	(void)state;
	assert_int_equal(v.reason, NVFS_REASON_NONE);
	assert_int_equal(v.distance, 5);
}

/* Redirection at any bridge up to and with the shared one closes the way. */
static void access_control_sends_it_up(void **state)
{
	const struct nvfs_pci_path gpu = WAY(5, 4, 3, 0);
	const struct nvfs_pci_path drive = WAY(6, 7, 3, 0);
	unsigned int hop;

	(void)state;
	for (hop = 0; hop < 4; hop++) {
		struct nvfs_pci_path a = gpu, b = drive;
		enum nvfs_reason want = hop <= 2 ? NVFS_REASON_HOST_BRIDGE :
						   NVFS_REASON_NONE;

		a.hop[hop].acs_redirect = true;
		assert_int_equal(judge(&a, &drive, false, false).reason, want);
		b.hop[hop].acs_redirect = true;
		assert_int_equal(judge(&gpu, &b, false, false).reason, want);
		assert_int_equal(judge(&a, &drive, true, false).reason,
				 NVFS_REASON_NONE);
		assert_int_equal(judge(&a, &drive, true, false).through_host,
				 hop <= 2);
	}
}

static void root_ports_depend_on_the_cpu(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 1), drive = WAY(6, 2);
	struct nvfs_pci_verdict v = judge(&gpu, &drive, false, false);

	(void)state;
	assert_int_equal(v.reason, NVFS_REASON_HOST_BRIDGE);
	assert_int_equal(v.distance, 4);
	assert_true(v.through_host);
	v = judge(&gpu, &drive, true, false);
	assert_int_equal(v.reason, NVFS_REASON_NONE);
	assert_true(v.through_host);
}

static void iommu_closes_the_way_below_a_switch(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 4, 3, 0), drive = WAY(6, 7, 3, 0);
	struct nvfs_pci_verdict v = judge(&gpu, &drive, false, true);

	(void)state;
	assert_int_equal(v.reason, NVFS_REASON_IOMMU);
	assert_true(v.through_host);
	v = judge(&gpu, &drive, true, true);
	assert_int_equal(v.reason, NVFS_REASON_NONE);
}

static void known_bridges_forward(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 1), drive = WAY(6, 2);

	(void)state;
	gpu.host_vendor = drive.host_vendor = INTEL;
	gpu.host_device = drive.host_device = 0x09a2;
	assert_true(nvfs_pci_host_forwards(&gpu, &drive));
	assert_int_equal(judge(&gpu, &drive, false, false).reason,
			 NVFS_REASON_NONE);
	drive.host_bridge = 1 << 16;
	assert_true(nvfs_pci_host_forwards(&gpu, &drive));
	drive.host_device = 0x1237;
	assert_false(nvfs_pci_host_forwards(&gpu, &drive));
	assert_false(nvfs_pci_host_forwards(&drive, &gpu));
	drive.host_device = 0x09a2;
	drive.host_vendor = 0x1022;
	assert_false(nvfs_pci_host_forwards(&gpu, &drive));
}

/* Xeon E5: within one host bridge, but not from one to the other. */
static void some_bridges_forward_only_inside(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 1), drive = WAY(6, 2);

	(void)state;
	gpu.host_vendor = drive.host_vendor = INTEL;
	gpu.host_device = drive.host_device = 0x2f00;
	assert_true(nvfs_pci_host_forwards(&gpu, &drive));
	drive.host_bridge = 0x8000;
	assert_false(nvfs_pci_host_forwards(&gpu, &drive));
	assert_int_equal(judge(&gpu, &drive, false, false).reason,
			 NVFS_REASON_HOST_BRIDGE);
}

static void unknown_bridges_do_not_forward(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 1), drive = WAY(6, 2);

	(void)state;
	assert_false(nvfs_pci_host_forwards(&gpu, &drive));
	gpu.host_vendor = drive.host_vendor = INTEL;
	gpu.host_device = drive.host_device = 0x29c0;	/* QEMU's q35 */
	assert_false(nvfs_pci_host_forwards(&gpu, &drive));
}

/* A way too long to be recorded is no way, whatever else is known. */
static void unknown_way_is_refused(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 4, 3, 0), none = { 0 };
	struct nvfs_pci_verdict v = judge(&gpu, &none, true, false);

	(void)state;
	assert_int_equal(v.reason, NVFS_REASON_HOST_BRIDGE);
	assert_int_equal(v.distance, -1);
	assert_true(v.through_host);
}

static void longest_ways_are_measured(void **state)
{
	struct nvfs_pci_path gpu = { .nr_hops = NVFS_PCI_MAX_HOPS };
	struct nvfs_pci_path drive = { .nr_hops = NVFS_PCI_MAX_HOPS };
	unsigned int i;

	(void)state;
	for (i = 0; i < NVFS_PCI_MAX_HOPS; i++) {
		gpu.hop[i].id = 0x100 + i;
		drive.hop[i].id = 0x200 + i;
	}
	assert_int_equal(judge(&gpu, &drive, true, false).distance,
			 2 * NVFS_PCI_MAX_HOPS);
	drive.hop[NVFS_PCI_MAX_HOPS - 1] = gpu.hop[NVFS_PCI_MAX_HOPS - 1];
	assert_int_equal(judge(&gpu, &drive, false, false).distance,
			 2 * (NVFS_PCI_MAX_HOPS - 1));
}

/* Equal bus numbers in two domains are two buses. */
static void domains_are_told_apart(void **state)
{
	struct nvfs_pci_path gpu = WAY(5, 3), drive = WAY(6, 3);

	(void)state;
	assert_int_equal(judge(&gpu, &drive, false, false).reason,
			 NVFS_REASON_NONE);
	drive.hop[0].id |= 1 << 16;
	drive.hop[1].id |= 1 << 16;
	assert_int_equal(judge(&gpu, &drive, false, false).reason,
			 NVFS_REASON_HOST_BRIDGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_switch_is_four_links),
		cmocka_unit_test(same_function_is_at_distance_0),
		cmocka_unit_test(one_bus_below_one_bridge_is_two_links),
		cmocka_unit_test(deep_switches_are_counted),
		cmocka_unit_test(access_control_sends_it_up),
		cmocka_unit_test(root_ports_depend_on_the_cpu),
		cmocka_unit_test(iommu_closes_the_way_below_a_switch),
		cmocka_unit_test(known_bridges_forward),
		cmocka_unit_test(some_bridges_forward_only_inside),
		cmocka_unit_test(unknown_bridges_do_not_forward),
		cmocka_unit_test(unknown_way_is_refused),
		cmocka_unit_test(longest_ways_are_measured),
		cmocka_unit_test(domains_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
