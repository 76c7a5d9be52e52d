# SPDX-License-Identifier: MIT
"""BUILD= is taken where it works, and refused where it would not be used."""

import os
import subprocess
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent


def plan(*words, **more):
    """What make says when it is asked what it would do, but for building."""
    env = {name: value for name, value in os.environ.items()
           if not name.startswith(("MAKE", "MFLAGS", "BUILD"))}
    return subprocess.run(
        ["make", "-n", "-o", "all", "-o", "tests-build", *words], cwd=TOP,
        env=env | more, capture_output=True, text=True, timeout=60, check=False)


class Build(unittest.TestCase):
    """The directory of what is built."""

    def test_what_is_run_is_built_in_one_place(self):
        for goal in ("test", "fsx", "trouble", "run", "test-all", "check"):
            done = plan(goal, "BUILD=/nowhere")
            self.assertEqual(done.returncode, 2, goal)
            self.assertIn(f"BUILD=/nowhere is not for {goal}, which needs "
                          "what is below build/", done.stderr)

    def test_one_of_the_environment_is_refused_as_well(self):
        self.assertEqual(plan("test", BUILD="/nowhere").returncode, 2)

    def test_the_same_place_by_another_name_is_none(self):
        for name in ("build", "./build/", str(TOP / "build")):
            done = plan("test", f"BUILD={name}")
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_product_is_built_where_one_likes(self):
        for goal in ("lib", "tools", "install-tools", "/nowhere/tools/nvfs"):
            done = plan(goal, "BUILD=/nowhere")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("/nowhere/lib/libnvfs.a", done.stdout, goal)


if __name__ == "__main__":
    unittest.main()
