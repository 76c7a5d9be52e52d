# SPDX-License-Identifier: MIT
"""The host's witnesses must see what is wrong: make lab-test."""

import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import witness  # noqa: E402
from nvmetrace import Cmd  # noqa: E402

FILEFRAG = """\
Filesystem type is: ef53
File size of out is 12288 (24 blocks of 512 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..      15:       4096..      4111:     16:
   1:       16..      23:       8192..      8199:      8:       4112: last,eof
out: 2 extents found
"""


class LayoutTest(unittest.TestCase):
    """Where the guest says that bytes are."""

    def test_filefrag(self):
        self.assertEqual(witness.parse_filefrag(FILEFRAG, 1 << 20), [
            (0, (1 << 20) + 4096 * 512, 8192),
            (8192, (1 << 20) + 8192 * 512, 4096)])

    def test_no_data_no_verdict(self):
        for text in (FILEFRAG.replace("last,eof", "last,unwritten,eof"),
                     FILEFRAG.replace("last,eof", "unknown_loc,delalloc"),
                     "out: 0 extents found\n"):
            with self.assertRaises(witness.WitnessError):
                witness.parse_filefrag(text)

    def test_history(self):
        held, = witness.parse_history(
            "1 0x7f0000000000 0x20000 live extents=0x10000:0x10000,"
            "0x40000:0x10000\n")
        self.assertEqual((held.gpu, held.addr, held.size, held.state),
                         (1, 0x7f0000000000, 0x20000, "live"))
        self.assertEqual(held.extents, [(0, 0x10000, 0x10000),
                                        (0x10000, 0x40000, 0x10000)])
        with self.assertRaises(witness.WitnessError):
            witness.parse_history("no line of the history")


class BytesTest(unittest.TestCase):
    """Comparing data with a medium that has it in two pieces."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data = Path(folder.name, "data")
        self.medium = Path(folder.name, "medium")
        self.bytes = bytes(range(256)) * 32
        self.extents = [(0, 8192, 4096), (4096, 0, 4096)]
        self.data.write_bytes(self.bytes)
        self.put(self.bytes)

    def put(self, content):
        """Lay content out as the extents say."""
        self.medium.write_bytes(content[4096:] + bytes(4096) + content[:4096])

    def difference(self, extents=None, length=8192):
        """What the witness sees."""
        return witness.difference(self.data, self.medium,
                                  extents or self.extents, length)

    def test_equal(self):
        self.assertIsNone(self.difference())

    def test_one_bit(self):
        for at in (0, 4095, 4096, 8191):
            wrong = bytearray(self.bytes)
            wrong[at] ^= 1
            self.put(wrong)
            self.assertEqual(self.difference(), at)

    def test_swapped_pieces(self):
        self.put(self.bytes[4096:] + bytes(range(255, -1, -1)) * 16)
        self.assertIsNotNone(self.difference())

    def test_hole_and_short_medium(self):
        self.assertEqual(self.difference([(0, 8192, 4096)]), 4096)
        self.medium.write_bytes(self.medium.read_bytes()[:-1])
        self.assertEqual(self.difference(), 4095)

    def test_place(self):
        self.medium.write_bytes(bytes(len(self.bytes) + 4096))
        witness.place(self.data, self.medium, self.extents, 8192)
        self.assertIsNone(self.difference())

    def test_poison(self):
        witness.poison(self.medium, 1 << 20)
        self.assertTrue(witness.untouched(self.medium))
        with open(self.medium, "r+b") as medium:
            medium.seek(777)
            medium.write(b"\x01")
        self.assertFalse(witness.untouched(self.medium))


class DmaTest(unittest.TestCase):
    """Where the payload went."""

    drive = SimpleNamespace(nsid=1)
    gpu = SimpleNamespace(bar=0xc0000000, size=0x10000)
    extents = [(0, 8192, 4096)]

    def count(self, *commands, write=False):
        """The Dma of some commands."""
        return witness.payload_dma(commands, self.drive, write, self.extents,
                                   self.gpu)

    def test_in_bar(self):
        got = self.count(Cmd(1, False, 16, 8, [(0xc0000000, 4096)]))
        self.assertEqual(got, witness.Dma(4096, 0, 0, 1))

    def test_in_ram(self):
        for addr in (0x1000, 0xbffff000, 0xc0010000, 0xc000f800):
            got = self.count(Cmd(1, False, 16, 8, [(addr, 4096)]))
            self.assertEqual((got.in_bar, got.elsewhere), (0, 4096))

    def test_what_is_no_payload(self):
        dma = [(0x1000, 4096)]
        self.assertEqual(self.count(
            Cmd(1, False, 8, 8, dma), Cmd(1, False, 24, 8, dma),
            Cmd(2, False, 16, 8, dma), Cmd(1, True, 16, 8, dma)),
            witness.Dma())

    def test_overlap_is_payload(self):
        got = self.count(Cmd(1, False, 15, 2, [(0x1000, 1024)]))
        self.assertEqual(got.elsewhere, 1024)

    def test_missing_dma(self):
        self.assertEqual(self.count(Cmd(1, False, 16, 8, [])).ragged, 1)


if __name__ == "__main__":
    unittest.main()
