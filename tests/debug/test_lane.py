# SPDX-License-Identifier: MIT
"""Tests of the debug lane's own code."""

import unittest

import lane

OURS = """\
unreferenced object 0xffff888107a3d800 (size 1024):
  comm "smoke", pid 412, jiffies 4294950331
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace (crc 9d3a1c02):
    __kmalloc_cache_noprof+0x2a1/0x350
    nvfs_open+0x4b/0xc0 [nvfs]
    chrdev_open+0x19f/0x4b0
"""
OTHERS = OURS.replace(" [nvfs]", "").replace("nvfs_open", "p9_fid_create")
UNLOADED = OURS.replace("nvfs_open+0x4b/0xc0 [nvfs]", "0xffffffffc0421a4b")


class Leaks(unittest.TestCase):
    """Whose is a leak?"""

    def test_all_are_found(self):
        # Three records are three leaks.
        self.assertEqual(len(lane.parse_leaks(OURS + OTHERS + UNLOADED)), 3)
        self.assertEqual(lane.parse_leaks(""), [])

    def test_ours_has_a_module_of_ours_in_its_backtrace(self):
        # Not any leak of the kernel fails a test.
        self.assertTrue(lane.parse_leaks(OURS)[0].ours())
        self.assertTrue(lane.parse_leaks(
            OURS.replace("[nvfs]", "[labgpu]"))[0].ours())
        self.assertFalse(lane.parse_leaks(OTHERS)[0].ours())

    def test_a_bare_address_is_a_module_that_is_gone(self):
        # Nobody but us unloads modules.
        self.assertTrue(lane.parse_leaks(UNLOADED)[0].ours())

    def test_what_the_kernel_forgets_is_not_ours(self):
        # Though a module of ours called it.
        frame = "    sysfs_slab_add+0x19c/0x1f0\n    nvfs_open+"
        text = OURS.replace("    nvfs_open+", frame)
        self.assertEqual(len(lane.parse_leaks(text)[0].frames), 4)
        self.assertFalse(lane.parse_leaks(text)[0].ours())

    def test_dump_is_no_backtrace(self):
        # Bytes of the object that look like text are not frames.
        leak = lane.parse_leaks(OURS)[0]
        self.assertEqual(len(leak.frames), 3)
        self.assertIn("nvfs_open", leak.short())

    def test_the_program_is_named(self):
        # A machine looks for leaks once, after tests of many programs.
        self.assertIn('comm "smoke"', lane.parse_leaks(OURS)[0].short())


class Chunks(unittest.TestCase):
    """Which tests run together?"""

    NAMES = [f"test_{i}" for i in range(lane.CHUNK + 1)] + ["same_bytes"]

    def test_every_test_is_in_one_chunk(self):
        # None is lost where a chunk is full, none runs twice.
        both = (lane.chunks_of("rw", self.NAMES, False)
                + lane.chunks_of("rw", self.NAMES, True))
        self.assertEqual(sorted(sum(both, [])), sorted(self.NAMES))
        self.assertTrue(all(len(chunk) <= lane.CHUNK for chunk in both))

    def test_overlapping_requests_have_their_own_machine(self):
        # The check of DMA mappings would take them for mistakes.
        self.assertEqual(lane.chunks_of("rw", self.NAMES, True),
                         [["same_bytes"]])
        self.assertEqual(lane.chunks_of("uring", ["random_fields"], False), [])


if __name__ == "__main__":
    unittest.main()
