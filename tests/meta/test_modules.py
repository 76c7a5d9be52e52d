# SPDX-License-Identifier: MIT
"""No test of the tree is left out of the runner."""

import sys
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

import runner  # noqa: E402 pylint: disable=wrong-import-position


class Modules(unittest.TestCase):
    """What the runner finds, and what there is."""

    def test_every_python_test_of_the_tree_is_run(self):
        there = {path for folder in TOP.iterdir()
                 if folder.is_dir() and folder.name not in ("build", ".git")
                 for path in folder.rglob("test_*.py")}
        self.assertEqual(there - set(runner.python_modules()), set())
        self.assertIn(TOP / "bench/test_cost.py", runner.python_modules())


if __name__ == "__main__":
    unittest.main()
