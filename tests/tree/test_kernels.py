# SPDX-License-Identifier: MIT
"""KERNELS= reaches what make runs, and what that runs."""

import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

import runner  # noqa: E402 pylint: disable=wrong-import-position


def commands(*words, **more):
    """What make would run, but for building."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MAKE", "MFLAGS", "KERNELS"))}
    done = subprocess.run(
        ["make", "-n", "-o", "all", "-o", "tests-build", *words], cwd=TOP,
        env=env | more, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout


class Make(unittest.TestCase):
    """What make passes on."""

    def test_each_kernel_that_was_named_is_passed_on(self):
        for goal in ("test", "fsx", "trouble"):
            said = commands(goal, "KERNELS=6.1 6.12")
            self.assertIn("--kernel 6.1 --kernel 6.12", said, goal)
            said = commands(goal, KERNELS="6.1")
            self.assertTrue(said.strip().endswith("--kernel 6.1"), said)

    def test_without_it_the_programs_decide(self):
        for goal in ("test", "fsx", "trouble"):
            self.assertNotIn("--kernel", commands(goal), goal)


class Runner(unittest.TestCase):
    """What the runner makes of it."""

    def kernels(self, *words):
        """The kernels of a run with these arguments."""
        with mock.patch.object(runner, "run_all") as run_all, \
                mock.patch.object(sys, "argv", ["runner.py", *words]):
            runner.main()
        return run_all.call_args[0][0]

    def test_one_both_or_all(self):
        self.assertEqual(self.kernels("--kernel", "6.1").kernels, ["6.1"])
        self.assertEqual(self.kernels("--kernel", "6.12", "--kernel", "6.1")
                         .kernels, ["6.1", "6.12"])
        self.assertEqual(self.kernels().kernels, ["6.1", "6.12"])

    def test_what_runs_on_one_runs_on_one_that_was_named(self):
        self.assertEqual(self.kernels("--kernel", "6.1").newest(), "6.1")
        self.assertEqual(self.kernels().newest(), "6.12")

    def test_checks_look_at_these_kernels(self):
        run = self.kernels("--kernel", "6.1")
        run.log = mock.Mock()
        with mock.patch.object(runner.subprocess, "run",
                               side_effect=OSError("enough")) as called:
            runner.check_job(run)
        self.assertEqual(called.call_args[1]["env"]["KERNELS"], "6.1")


if __name__ == "__main__":
    unittest.main()
