# SPDX-License-Identifier: MIT
"""The tables of bench/throughput.py, over a program that measures nothing."""
import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import throughput

#: Prints what it was asked for as a rate of ours, and fails beside 99.
PROGRAM = """#!/bin/sh
busy=0
what=read
while [ $# -gt 0 ]; do
	[ "$1" = -b ] && busy=$2
	[ "$1" = -d ] && what=write-clean
	shift
done
[ "$busy" = 99 ] && exit 3
printf '{"side": "nvfs", "what": "%s", "threads": 4, "bytes": 4096, ' $what
printf '"value": %s, "unit": "GB/s"}\\n' "$((100 + busy))"
"""


class Tables(unittest.TestCase):
    def setUp(self):
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.dir = Path(held.name)
        self.program = self.dir / "program"
        self.program.write_text(PROGRAM, encoding="utf-8")
        self.program.chmod(0o755)

    def made(self, *args, cpus=8):
        """Exit status, and what is printed."""
        printed = io.StringIO()
        with mock.patch.object(throughput, "PROGRAM", self.program), \
                mock.patch.object(os, "cpu_count", lambda: cpus), \
                mock.patch.object(sys, "argv", ["throughput.py", *args]), \
                contextlib.redirect_stdout(printed):
            return throughput.main(), printed.getvalue()

    def test_a_run_has_tables_beside_half_of_the_cpus_and_all(self):
        status, text = self.made()
        self.assertEqual(status, 0)
        self.assertIn("100 / -", text.split("## Reads beside")[0])
        for processes in (4, 8):
            table = text.split(f"beside {processes} processes")[1]
            self.assertIn(f"{100 + processes} / -", table.split("##")[0])

    def test_a_run_has_a_table_of_writes_to_clean_files(self):
        text = self.made()[1]
        table = text.split("## Writes of what the drive was given")[1]
        self.assertIn("100 / -", table.split("\n## ")[0])

    def test_runs_that_do_not_go_with_what_is_asked_for_are_left_out(self):
        for option, clean, beside in (("-r", 0, 1), ("-o", 0, 1), ("-w", 1, 0)):
            status, text = self.made(option)
            self.assertEqual(status, 0)
            self.assertEqual("given just before" in text, bool(clean))
            self.assertEqual("Reads beside" in text, bool(beside))

    def test_a_run_of_clean_files_that_fails_is_told_of(self):
        self.program.write_text(PROGRAM.replace("what=write-clean", "exit 5"),
                                encoding="utf-8")
        self.assertEqual(self.made()[0], 5)

    def test_a_run_that_fails_is_told_of(self):
        self.assertEqual(self.made(cpus=99)[0], 3)

    def test_what_was_printed_elsewhere_is_taken(self):
        paths = [self.dir / name for name in ("idle", "busy")]
        paths.append(self.dir / "clean")
        for path, value, what in zip(paths, (11, 22, 33),
                                     ("read", "read", "write-clean")):
            path.write_text(
                f'{{"side": "nvfs", "what": "{what}", "threads": 1, "bytes": 4096, '
                f'"value": {value}, "unit": "GB/s"}}\n', encoding="utf-8")
        status, text = self.made("--from", str(paths[0]), "--machine", "M",
                                 "--beside", f"7:{paths[1]}",
                                 "--clean", str(paths[2]))
        self.assertEqual(status, 0)
        self.assertIn("11 / -", text.split("beside 7 processes")[0])
        self.assertIn("22 / -", text.split("beside 7 processes")[1])
        self.assertIn("33 / -", text.split("given just before")[1].split("## ")[0])

    def test_notes_stay(self):
        path = self.dir / "tables.md"
        path.write_text("old\n\n## Notes\n- of people\n", encoding="utf-8")
        self.assertEqual(self.made("--write", str(path))[0], 0)
        text = path.read_text(encoding="utf-8")
        self.assertNotIn("old", text)
        self.assertTrue(text.endswith("\n## Notes\n- of people\n"))


if __name__ == "__main__":
    unittest.main()
