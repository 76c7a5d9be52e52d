# SPDX-License-Identifier: MIT
"""What a machine is asked to have: lab/setup.sh, and what make asks it for."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
TOOLS = ("awk", "bash", "cat", "dirname", "grep", "id", "mkdir", "mktemp", "rm",
         "sed", "sh", "touch")
SHELL = "#!/bin/sh\n"


def environment(**more):
    """That of a shell, not of the make that runs the tests."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS"))} | more


class Machine(unittest.TestCase):
    """Base: a machine that has a few programs and nothing else."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.bin = self.top / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.program("cc", f'exec {shutil.which("gcc")} -B/usr/bin "$@"\n')
        self.stamp = self.top / "stamp"
        self.asked = self.top / "asked"
        (self.top / "lab").mkdir()
        # The script adds directories to PATH: a copy that does not.
        text = (TOP / "lab/setup.sh").read_text()
        self.assertIn("PATH=$PATH:/usr/sbin:/sbin\n", text)
        self.setup = self.top / "lab/setup.sh"
        self.setup.write_text(text.replace("PATH=$PATH:/usr/sbin:/sbin\n", ""))
        self.setup.chmod(0o755)

    def program(self, name, text):
        """A program of that machine."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(SHELL + text)
        path.chmod(0o755)

    def debian(self, *installed, user=0, refused="-"):
        """It has dpkg, and an apt that installs all but one package."""
        database = self.top / "database"
        database.write_text("".join(f"installed {name}\n" for name in installed))
        self.program("dpkg-query", f"cat {database}\n")
        self.program("id", f"echo {user}\n")
        self.program("apt-get", f"""
[ "$1 $2" = "install -y" ] || exit 0
shift 3
echo "$@" >>{self.asked}
for name; do [ "$name" != {refused} ] || exit 100; done
for name; do echo "installed $name" >>{database}; done
""")

    def run_setup(self, lines):
        """setup.sh with a list of these lines."""
        wanted = self.top / "list"
        wanted.write_text("# a list\n" + lines)
        return subprocess.run(
            [str(self.setup), str(self.stamp), str(wanted)],
            env={"PATH": str(self.bin), "CC": "cc"},
            capture_output=True, text=True, timeout=60, check=False)


class NoDebian(Machine):
    """What can be found counts, whatever brought it."""

    def test_all_that_is_there_is_enough(self):
        done = self.run_setup("gcc command CC\nlibc6-dev header stdio.h -lm\n"
                              "sed command sed\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(self.stamp.exists())

    def test_what_is_missing_is_named_by_what_it_brings(self):
        done = self.run_setup("gcc command CC\n"
                              "libnone-dev header no/such.h -lnone\n"
                              "nolib-dev header stdio.h -l:libnone.a\n"
                              "nosuch command nosuch\n")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, (
            "setup: missing: no/such.h, to link with -lnone (Debian's libnone-dev)\n"
            "setup: missing: stdio.h, to link with -l:libnone.a (Debian's nolib-dev)\n"
            "setup: missing: nosuch\n"))
        self.assertFalse(self.stamp.exists())

    def test_what_is_optional_is_not_asked_for(self):
        done = self.run_setup("nosuch command nosuch optional\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_the_lab_says_that_it_needs_debian(self):
        done = self.run_setup("qemu-system-x86\nfio\n")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr,
                         "setup: the lab and the tests need Debian\n")


class Debian(Machine):
    """What dpkg knows, or what can be found, is not asked for."""

    LIST = "sed command sed\nlibnone-dev header no/such.h\n" \
           "nosuch command nosuch optional\nfio\n"

    def test_nothing_is_done_where_all_is_known(self):
        self.debian("sed", "libnone-dev", "nosuch", "fio")
        done = self.run_setup(self.LIST)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertFalse(self.asked.exists())

    def test_root_gets_what_is_missing_and_what_is_optional(self):
        self.debian()
        done = self.run_setup(self.LIST)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked.read_text(), "libnone-dev nosuch fio\n")

    def test_what_is_optional_and_refused_is_left_out(self):
        self.debian(refused="nosuch")
        done = self.run_setup(self.LIST)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked.read_text().splitlines()[-1],
                         "libnone-dev fio")

    def test_what_is_needed_and_refused_is_an_error(self):
        self.debian(refused="fio")
        done = self.run_setup(self.LIST)
        self.assertEqual(done.returncode, 1)
        self.assertIn("setup: still missing: libnone-dev fio", done.stderr)
        self.assertFalse(self.stamp.exists())

    def test_what_is_optional_is_not_installed_alone(self):
        # Each make would ask for it again where it can't be had.
        self.debian("libnone-dev", "fio")
        done = self.run_setup(self.LIST)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(self.asked.exists())

    def test_others_than_root_are_told_the_command(self):
        self.debian("fio", user=1000)
        done = self.run_setup(self.LIST)
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get install --no-install-recommends libnone-dev "
                      "nosuch\n", done.stderr)
        self.assertFalse(self.asked.exists())


class Make(unittest.TestCase):
    """Which lists belong to which goals."""

    LITTLE, ALL = "packaging/packages", "packaging/packages lab/packages"

    def asks_for(self, *goals, build=None, status=0):
        """The lists that make wants packages of, or None and its exit status."""
        with tempfile.TemporaryDirectory() as folder:
            setup = Path(folder) / "setup"
            setup.write_text(SHELL + 'echo "lists: $*"; exit 1\n')
            setup.chmod(0o755)
            done = subprocess.run(
                ["make", f"SETUP={setup}", f"BUILD={build or folder}", *goals],
                cwd=TOP, env=environment(), capture_output=True, text=True,
                timeout=60, check=False)
        for line in done.stdout.splitlines():
            if line.startswith("lists: "):
                return line.split(maxsplit=2)[2]
        self.assertEqual(done.returncode, status, done.stderr)
        return None

    def test_the_product_needs_no_lab(self):
        for goals in (("lib",), ("tools", "man"), ("module-host",),
                      ("install",), ("install-lib", "install-tools"),
                      ("clients-gpu",), ("bench-build",)):
            self.assertEqual(self.asks_for(*goals), self.LITTLE, goals)

    def test_everything_else_needs_all(self):
        for goals in ((), ("all",), ("module",), ("setup",), ("lib", "module")):
            self.assertEqual(self.asks_for(*goals), self.ALL, goals)

    def test_help_needs_nothing(self):
        self.assertIsNone(self.asks_for("help"))

    def test_what_is_no_goal_needs_nothing(self):
        self.assertIsNone(self.asks_for("intsall", build="build", status=2))

    def test_no_module_needs_no_headers(self):
        done = subprocess.run(["make", "-n", "KREL=", "module-host"], cwd=TOP,
                              env=environment(), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_kernel_that_is_not_there_is_said_at_once(self):
        done = subprocess.run(["make", "-n", "KERNEL=5.15", "run"], cwd=TOP,
                              env=environment(), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no kernel 5.15 here, only: 6.1 6.12", done.stderr)

    def test_every_package_is_in_one_list(self):
        names = [line.split()[0] for name in self.ALL.split()
                 for line in (TOP / name).read_text().splitlines()
                 if line and not line.startswith("#")]
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertIn("scdoc", names)


if __name__ == "__main__":
    unittest.main()
