# SPDX-License-Identifier: MIT
"""scripts/checkpatch.pl hands everything to the kernel's script."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


class Checkpatch(unittest.TestCase):
    """In a tree of its own, with a script that tells what it was given."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "scripts").mkdir()
        shutil.copy(TOP / "scripts/checkpatch.pl", self.top / "scripts")

    def run_it(self, *args):
        """scripts/checkpatch.pl ARGS, started in that tree."""
        return subprocess.run(["scripts/checkpatch.pl", *args], cwd=self.top,
                              input="a patch", capture_output=True, text=True,
                              timeout=60, check=False)

    def test_arguments_input_and_status_are_the_kernel_scripts(self):
        real = self.top / "build/kernels/source/scripts/checkpatch.pl"
        real.parent.mkdir(parents=True)
        real.write_text('print join("|", @ARGV), "|", <STDIN>; exit 3;\n')
        done = self.run_it("-f", "a name.c", "-")
        self.assertEqual(done.stdout, "-f|a name.c|-|a patch")
        self.assertEqual(done.returncode, 3)

    def test_without_the_kernels_it_says_how_to_get_it(self):
        done = self.run_it("-")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'make build/kernels/source/scripts/checkpatch.pl'",
                      done.stderr)

    def test_makefiles_know_the_file_that_it_names(self):
        done = subprocess.run(
            ["make", "-nB", "build/kernels/source/scripts/checkpatch.pl"],
            cwd=TOP, capture_output=True, text=True, timeout=60, check=False)
        self.assertIn("lab/kernels/source.sh build", done.stdout, done.stderr)


if __name__ == "__main__":
    unittest.main()
