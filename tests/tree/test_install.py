# SPDX-License-Identifier: MIT
"""make install and make uninstall, below a directory.

Nothing is built but what is not there yet; a file plays the module.
"""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
KREL = f"0.0-test{os.getpid()}"
LIMIT_S = 110
OURS = {"bin/nvfs", "include/cufile.h", "include/libnvfs.h", "include/nvfs.h",
        "lib/libcufile.so", "lib/libcufile.so.0", "lib/libnvfs.a",
        "lib/libnvfs.so", "lib/libnvfs.so.0", "lib/pkgconfig/libnvfs.pc"}


def files(top):
    """Everything below a directory that is none."""
    return {str(path.relative_to(top)) for path in top.rglob("*")
            if path.is_symlink() or not path.is_dir()}


class Install(unittest.TestCase):
    """What is brought, and what is taken away."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        module = TOP / "build/host" / KREL / "nvfs.ko"
        module.parent.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, module.parent)
        module.write_text("a module\n")

    def make(self, *words, path=None):
        """make install or uninstall; what it printed."""
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("MAKE", "MFLAGS"))}
        done = subprocess.run(
            ["make", "-s", f"DESTDIR={self.top}", *words], cwd=TOP,
            env=env | {"PATH": path} if path else env, capture_output=True,
            text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_uninstall_leaves_nothing_but_directories(self):
        self.make("install", f"KREL={KREL}")
        there = files(self.top)
        self.assertLessEqual({f"usr/local/{name}" for name in OURS}, there)
        self.assertIn(f"lib/modules/{KREL}/updates/nvfs.ko", there)
        self.assertIn("usr/lib/udev/rules.d/70-nvfs.rules", there)
        self.make("uninstall", f"KREL={KREL}")
        self.assertEqual(files(self.top), set())

    def test_the_variables_say_where_and_which(self):
        where = ("PREFIX=/opt/nvfs", "LIBDIR=/opt/nvfs/lib64",
                 "UDEVDIR=/etc/udev/rules.d", "KREL=")
        self.addCleanup(self.make, "lib")  # libnvfs.pc names the PREFIX
        self.make("install", *where)
        there = files(self.top)
        self.assertIn("opt/nvfs/lib64/libnvfs.so.0", there)
        self.assertIn("etc/udev/rules.d/70-nvfs.rules", there)
        self.assertEqual({name for name in there
                          if name.startswith(("usr/", "lib/"))}, set())
        self.make("uninstall", *where)
        self.assertEqual(files(self.top), set())

    def test_what_others_brought_stays(self):
        self.make("install", f"KREL={KREL}")
        theirs = {"etc/cufile.json", "usr/local/lib/libother.so",
                  f"lib/modules/{KREL}/updates/other.ko",
                  "usr/local/share/man/man1/other.1"}
        for name in theirs:
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text("theirs\n")
        link = self.top / "usr/local/lib/libcufile.so.0"
        link.unlink()
        link.symlink_to("libcufile.so.1.14.0")
        self.make("uninstall", f"KREL={KREL}")
        self.assertEqual(files(self.top),
                         theirs | {"usr/local/lib/libcufile.so.0"})

    def test_install_without_scdoc_says_that_pages_are_left_out(self):
        tools = self.top / "tools"
        tools.mkdir()
        for folder in os.environ["PATH"].split(":"):
            for tool in Path(folder).glob("*"):
                if tool.name != "scdoc" and not (tools / tool.name).exists():
                    (tools / tool.name).symlink_to(tool)
        said = self.make("install-man", path=str(tools))
        self.assertIn("manual pages are left out: scdoc is missing", said)
        self.assertNotIn("share", os.listdir(self.top))
        if shutil.which("scdoc"):
            self.assertEqual(self.make("install-man").count("left out"), 0)
            self.assertIn("usr/local/share/man/man1/nvfs.1", files(self.top))


if __name__ == "__main__":
    unittest.main()
