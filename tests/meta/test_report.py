# SPDX-License-Identifier: MIT
"""Where verdicts go: the terminal, and a line each in the kernel log."""

import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import report  # noqa: E402 pylint: disable=wrong-import-position


class KernelLog(unittest.TestCase):
    """A file plays the kernel log."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.kmsg = Path(folder.name) / "kmsg"
        self.out = io.StringIO()

    def log(self):
        """A log that writes to both."""
        return report.Log(out=self.out, kmsg=str(self.kmsg))

    def test_each_verdict_is_a_line(self):
        self.kmsg.write_text("")
        log = self.log()
        log.add("6.12", "rw.one_block", "ok", 0.1)
        log.add("6.12", "rw.no_drive", "skip", 0.1, "no drive")
        log.add("unit", "lib_io.reads", "FAIL", 0.1, "a\nb")
        self.assertEqual(self.kmsg.read_text(),
                         "<6>NVFS_TEST: 6.12.rw.one_block: ok\n"
                         "<6>NVFS_TEST: 6.12.rw.no_drive: SKIP\n"
                         "<6>NVFS_TEST: unit.lib_io.reads: FAIL\n")

    def test_the_file_is_opened_for_each_line(self):
        # The kernel drops what comes after ten lines of an open file.
        self.kmsg.write_text("")
        with mock.patch.object(report.os, "open", wraps=os.open) as opened:
            log = self.log()
            for number in range(12):
                log.add("unit", f"a.{number}", "ok")
        self.assertEqual(opened.call_count, 12)

    def test_a_long_name_stays_one_short_record(self):
        # The kernel refuses a record of more than 1 KiB.
        self.kmsg.write_text("")
        self.log().add("unit", "n" * 5000, "FAIL")
        text = self.kmsg.read_text()
        self.assertLess(len(text), 256)
        self.assertTrue(text.endswith(": FAIL\n"))

    def test_a_log_that_is_not_there_is_not_made(self):
        self.log().add("unit", "a.b", "ok")
        self.assertFalse(self.kmsg.exists())
        self.assertIn("ok   unit a.b", self.out.getvalue())

    def test_a_log_that_refuses_does_not_fail_the_run(self):
        self.kmsg.mkdir()
        log = self.log()
        log.add("unit", "a.b", "ok")
        self.assertEqual(log.summary(), 0)

    def test_without_one_nothing_is_written(self):
        # What tests of the tests expect to fail is nobody's business.
        self.kmsg.write_text("")
        with mock.patch.dict(os.environ, NVFS_TEST_KMSG=str(self.kmsg)):
            report.Log(out=self.out).add("unit", "a.b", "FAIL")
        self.assertEqual(self.kmsg.read_text(), "")

    def test_the_environment_says_which_or_none(self):
        with mock.patch.dict(os.environ, NVFS_TEST_KMSG=""):
            self.assertEqual(report.kernel_log(), "")
        with mock.patch.dict(os.environ):
            os.environ.pop("NVFS_TEST_KMSG", None)
            self.assertEqual(report.kernel_log(), "/dev/kmsg")


if __name__ == "__main__":
    unittest.main()
