#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run every self-test on the sanitizer kernel: make test-debug.

The kernel panics at the first warning, so each test runs in a command of its
own: a panic costs that test its verdict and its machine, not the tests after
it.  After each program the kernel is asked for memory that nothing points to
any more: an object that nvfs or labgpu allocated fails the program.

The consoles of all machines stay in build/debug/.  The last line
is "N passed, N failed, N skipped".
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# pylint: disable=wrong-import-position
import guest  # noqa: E402
import report  # noqa: E402
from guest import lab  # noqa: E402

KERNEL = "6.12-debug"
SELFTESTS = lab.BUILD / "tests/selftests"
CONSOLES = lab.BUILD / "debug"
BOOT_LIMIT_S = 400
# Above the limits that the tests set themselves, on this kernel.
PROGRAM_LIMIT_S = 1500
# It unloads the modules: of no leak from before would be known whose it is.
LAST = "module"
# kmemleak does not speak of what is younger than this.
LEAK_AGE_S = 5.5
SCAN_LIMIT_S = 180
# Two requests at a time to the same bytes of a GPU are allowed, but the check of
# DMA mappings warns of any two mappings of a cache line. It can only be turned
# off at boot, so these tests get a machine of their own, at the end.
OVERLAP = re.compile(r"overlap|same|^fuzz\.|^fsx\.")


class Leak:
    """An object that nothing points to, as kmemleak tells of it."""

    def __init__(self, text):
        self.text = text
        trace = re.split(r"^  backtrace.*$", text, flags=re.MULTILINE)[-1]
        self.frames = re.findall(r"^    (\S.*)$", trace, re.MULTILINE)

    def ours(self):
        """Whether a module of ours made it: it stands in the backtrace, or
        a bare address does, because a module that is gone has no names."""
        return any(re.search(r"\[(nvfs|labgpu\w*)\]", frame)
                   or re.fullmatch(r"0x[0-9a-f]+", frame)
                   for frame in self.frames)

    def short(self):
        """What and where, in a line."""
        head = self.text.splitlines()[0]
        names = [frame.split("+")[0] for frame in self.frames]
        return f"{head} {' < '.join(names[:8])}"


def parse_leaks(text):
    """Leaks in the text of /sys/kernel/debug/kmemleak."""
    return [Leak(part) for part in
            re.split(r"^(?=unreferenced object)", text, flags=re.MULTILINE)
            if part.startswith("unreferenced object")]


class DebugGuest(guest.Guest):
    """A machine with the sanitizer kernel, which panics at a warning."""

    def __init__(self, log, *, want=None, append=""):
        super().__init__(KERNEL, log, want=want)
        self.append = append
        self.program = "boot"

    def vm(self):
        """See Guest; what the kernel itself lost while it booted is not
        counted."""
        if self.machine and self.machine.alive():
            return self.machine
        self.close()
        machine = lab.Vm(self.kernel, cpu=self.cpu, drives=guest.DRIVES,
                         mem="3G", append=f"panic_on_warn=1 {self.append}",
                         boot_timeout=BOOT_LIMIT_S)
        try:
            machine.start()
        except BaseException:
            machine.close(keep=True)
            raise
        self.machine = machine
        self.boots += 1
        self.splats_known = 0
        self.log.say(f"{self.group}: a machine answered after "
                     f"{machine.boot_seconds:.1f} s")
        self.scan()
        self.kmemleak("clear")
        self.new_splats()  # what the scan said
        return machine

    def close(self):
        """See Guest; keeps the console, which may hold a splat."""
        if self.machine:
            CONSOLES.mkdir(parents=True, exist_ok=True)
            path = CONSOLES / f"{self.program}-{self.boots}.log"
            path.write_text(self.machine.console())
            for line in self.new_splats()[:3]:
                self.log.say(f"kernel splat: {line} ({path})")
        super().close()

    def run_program(self, program):
        """See Guest; each test by itself, then the search for leaks."""
        suite = Path(program).name
        try:
            names = [name for name in guest.tests_of(program)
                     if self.want(f"{suite}.{name}")]
        except (OSError, subprocess.SubprocessError) as err:
            self.log.add(self.group, suite, "FAIL", why=f"can't run: {err}")
            return
        for name in names:
            self.program = f"{suite}.{name}"
            self._run_tests(program, suite, [name])
        if names:
            self.program = f"{suite}.leaks"
            self.judge_leaks(suite)

    # -- leaks ---------------------------------------------------------------

    def kmemleak(self, word):
        """Give kmemleak a command."""
        self.machine.run(f"echo {word} >/sys/kernel/debug/kmemleak",
                         SCAN_LIMIT_S, check=True)

    def scan(self):
        """Look twice: an object that is being moved shows only once."""
        time.sleep(LEAK_AGE_S)
        for _ in range(2):
            self.kmemleak("scan")

    def judge_leaks(self, suite):
        """A verdict on what the program left behind."""
        began = time.monotonic()
        if not self.machine or not self.machine.alive():
            return  # the panic has been reported
        try:
            self.scan()
            found = parse_leaks(self.machine.run(
                "cat /sys/kernel/debug/kmemleak", SCAN_LIMIT_S,
                check=True).out)
            self.kmemleak("clear")
        except (lab.LostVm, lab.GuestTimeout, lab.GuestError) as err:
            self.log.add(self.group, f"{suite}.(leaks)", "FAIL",
                         time.monotonic() - began, f"no scan: {err}")
            self.close()
            return
        self.new_splats()  # kmemleak's own line: judged here
        ours = [leak for leak in found if leak.ours()]
        for leak in found:
            whose = "" if leak in ours else "not ours: "
            self.log.say(f"{whose}{leak.text}".replace("\n", "\n#   "))
        self.log.add(self.group, f"{suite}.(leaks)",
                     "FAIL" if ours else "ok", time.monotonic() - began,
                     f"{len(ours)} leaks: {ours[0].short()}" if ours else "")


def programs():
    """All self-tests that were built, the one that unloads modules last."""
    found = [path for path in SELFTESTS.iterdir()
             if path.is_file() and os.access(path, os.X_OK)]
    return sorted(found, key=lambda path: (path.name == LAST, path.name))


def run(part):
    """Run them; the exit status."""
    log = report.Log()
    began = time.monotonic()
    boots = 0
    for overlap, append in ((False, ""), (True, "dma_debug=off")):
        def want(name, overlap=overlap):
            return part in name and bool(OVERLAP.search(name)) == overlap

        with DebugGuest(log, want=want, append=append) as session:
            for program in programs():
                session.run_program(program)
            boots += session.boots
    log.say(f"{time.monotonic() - began:.0f} s, {boots} machines")
    return log.summary()


def main():
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Run every self-test on the sanitizer kernel.")
    parser.add_argument("-k", metavar="PART", default="",
                        help="only tests whose suite.name holds PART")
    args = parser.parse_args()
    guest.PROGRAM_LIMIT_S = PROGRAM_LIMIT_S
    return run(args.k)


if __name__ == "__main__":
    sys.exit(main())
