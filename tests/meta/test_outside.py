# SPDX-License-Identifier: MIT
"""What the witness outside the guest takes for a request's own commands."""

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import outside  # noqa: E402 pylint: disable=wrong-import-position

KIB = 1 << 10
RAM, BAR = 0x8000000, 0x380000000000
GPU = SimpleNamespace(bar=BAR, size=1 << 20)


def command(lba, nlb, *addresses, write=True):
    """A command of the drive that moves 1 KiB at each address."""
    return SimpleNamespace(nsid=1, write=write, lba=lba, nlb=nlb,
                           dma=[(address, KIB) for address in addresses])


class Touching(unittest.TestCase):
    """A file of 64 KiB in two places of a drive, or the drive itself."""

    FILE = [outside.Extent(0, 1 << 20, 32 * KIB),
            outside.Extent(32 * KIB, 4 << 20, 32 * KIB)]
    DRIVE = [outside.Extent(0, 0, 1 << 30)]

    def touching(self, disk, *commands):
        """The commands that are taken for the file's first 64 KiB."""
        return outside.touching(commands, disk, 64 * KIB, GPU)

    def test_a_file_systems_own_write_is_not_the_requests(self):
        journal = command(1257700, 2, RAM)
        self.assertEqual(self.touching(self.DRIVE, journal), [])
        self.assertEqual(self.touching(self.FILE, journal), [])

    def test_each_block_of_the_range_is_the_requests(self):
        for write in (False, True):
            for lba in (0, 127):
                told = command(lba, 1, RAM, write=write)
                self.assertEqual(self.touching(self.DRIVE, told), [told])
            for lba in (2048, 2111, 8192, 8255):
                told = command(lba, 1, RAM, write=write)
                self.assertEqual(self.touching(self.FILE, told), [told])
        self.assertEqual(self.touching(self.DRIVE, command(128, 8, RAM)), [])
        self.assertEqual(self.touching(self.FILE, command(2112, 8, RAM)), [])

    def test_a_command_that_reaches_into_the_range_is_the_requests(self):
        told = command(2040, 9, RAM)
        self.assertEqual(self.touching(self.FILE, told), [told])

    def test_whatever_moves_by_the_bar_is_the_requests(self):
        for address in (BAR, BAR + GPU.size - 1, BAR - KIB + 1):
            told = command(1 << 20, 2, RAM, address)
            self.assertEqual(self.touching(self.DRIVE, told), [told])
        for address in (BAR - KIB, BAR + GPU.size):
            self.assertEqual(
                self.touching(self.DRIVE, command(1 << 20, 2, address)), [])


if __name__ == "__main__":
    unittest.main()
