#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run every self-test on the sanitizer kernel: make test-debug.

The kernel panics at the first warning, so each test runs in a command of its
own: a panic costs that test its verdict and its machine, not the tests after
it.  Two machines share the work, each with the tests that it draws next.  When
nothing is left for a machine its kernel is asked for memory that nothing points
to any more: an object that nvfs or labgpu allocated is a failure, and the kernel
names the program that had it allocated.  To ask takes longer than most tests.

The consoles of all machines stay in build/debug/.  The last line
is "N passed, N failed, N skipped".
"""

import argparse
import os
import queue
import re
import subprocess
import sys
import threading
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
# It unloads the modules.
LAST = "module"
# kmemleak does not speak of what is younger than this.
LEAK_AGE_S = 5.5
SCAN_LIMIT_S = 600
# Two requests at a time to the same bytes of a GPU are allowed, and some tests draw
# their places by lot, but the check of DMA mappings warns of any two mappings of a
# cache line. It can only be turned off at boot, so these tests get a machine of
# their own, at the end.
OVERLAP = re.compile(r"overlap|same|random|^(fuzz|fsx|lifetime|stat)\.")
# Tests that a machine draws at a time: fewer at the end, where some take minutes
# and the other machine would wait.
CHUNK = 8
LAST_CHUNK = 2
# Functions of the kernel that forget what they allocated, where they fail on the
# way. kmem_cache_create(): the name of its sysfs directory, when that can't be
# made; failnth.load_with_faults lets it fail there.
FORGETFUL = {"sysfs_slab_add"}


class Leak:
    """An object that nothing points to, as kmemleak tells of it."""

    def __init__(self, text):
        self.text = text
        trace = re.split(r"^  backtrace.*$", text, flags=re.MULTILINE)[-1]
        self.frames = re.findall(r"^    (\S.*)$", trace, re.MULTILINE)

    def ours(self):
        """Whether a module of ours made it: it stands in the backtrace, or
        a bare address does, because a module that is gone has no names."""
        if FORGETFUL & {frame.split("+")[0] for frame in self.frames}:
            return False
        return any(re.search(r"\[(nvfs|labgpu\w*)\]", frame)
                   or re.fullmatch(r"0x[0-9a-f]+", frame)
                   for frame in self.frames)

    def short(self):
        """Whose, what and where, in a line."""
        head = self.text.splitlines()[0]
        comm = re.search(r'comm "[^"]*"', self.text)
        names = [frame.split("+")[0] for frame in self.frames]
        return (f"{comm[0] if comm else 'comm ?'}: {head} "
                f"{' < '.join(names[:8])}")


def parse_leaks(text):
    """Leaks in the text of /sys/kernel/debug/kmemleak."""
    return [Leak(part) for part in
            re.split(r"^(?=unreferenced object)", text, flags=re.MULTILINE)
            if part.startswith("unreferenced object")]


class DebugGuest(guest.Guest):
    """A machine with the sanitizer kernel, which panics at a warning."""

    def __init__(self, log, *, name="", append=""):
        super().__init__(KERNEL, log)
        self.name = name
        self.append = append
        self.chunk = "boot"

    def vm(self):
        """See Guest."""
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
        self.log.say(f"{self.group}: machine {self.name} answered after "
                     f"{machine.boot_seconds:.1f} s")
        return machine

    def close(self):
        """See Guest; keeps the console, which may hold a splat."""
        if self.machine:
            CONSOLES.mkdir(parents=True, exist_ok=True)
            path = CONSOLES / f"{self.chunk}-{self.name}{self.boots}.log"
            path.write_text(self.machine.console())
            for line in self.new_splats()[:3]:
                self.log.say(f"kernel splat: {line} ({path})")
        super().close()

    def run_chunk(self, program, names):
        """Run some tests of a program, each by itself."""
        suite = Path(program).name
        for name in names:
            self.chunk = f"{suite}.{name}"
            self._run_tests(program, suite, [name])

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

    def judge_leaks(self):
        """A verdict on what this machine's tests left behind."""
        name = f"(leaks of machine {self.name})"
        began = time.monotonic()
        self.chunk = "leaks"
        if not self.machine or not self.machine.alive():
            return  # the panic has been reported
        try:
            self.scan()
            found = parse_leaks(self.machine.run(
                "cat /sys/kernel/debug/kmemleak", SCAN_LIMIT_S,
                check=True).out)
        except (lab.LostVm, lab.GuestTimeout, lab.GuestError) as err:
            self.log.add(self.group, name, "FAIL", time.monotonic() - began,
                         f"no scan: {err}")
            return
        self.new_splats()  # kmemleak's own line: judged here
        ours = [leak for leak in found if leak.ours()]
        for leak in found:
            whose = "" if leak in ours else "not ours: "
            self.log.say(f"{whose}{leak.text}".replace("\n", "\n#   "))
        self.log.add(self.group, name, "FAIL" if ours else "ok",
                     time.monotonic() - began,
                     f"{len(ours)} leaks: {ours[0].short()}" if ours else "")


def programs():
    """All self-tests that were built, the one that unloads modules last."""
    found = [path for path in SELFTESTS.iterdir()
             if path.is_file() and os.access(path, os.X_OK)]
    return sorted(found, key=lambda path: (path.name == LAST, path.name))


def chunks_of(suite, names, overlap):
    """Those of a program's tests that run with or without the check of
    overlapping DMA mappings, a few at a time."""
    names = [name for name in names
             if bool(OVERLAP.search(f"{suite}.{name}")) == overlap]
    size = LAST_CHUNK if overlap else CHUNK
    return [names[i:i + size] for i in range(0, len(names), size)]


def jobs_of(part, log):
    """(kernel parameters, program, tests) in the order of the run."""
    wanted = []
    for program in programs():
        try:
            names = guest.tests_of(program)
        except (OSError, subprocess.SubprocessError) as err:
            log.add(KERNEL, program.name, "FAIL", why=f"can't run: {err}")
            continue
        wanted.append((program, [name for name in names
                                 if part in f"{program.name}.{name}"]))
    return [(append, program, names)
            for overlap, append in ((False, ""), (True, "dma_debug=off"))
            for program, all_names in wanted
            for names in chunks_of(program.name, all_names, overlap)]


def end(session):
    """Look for leaks and end the machine; how many it had been."""
    if not session:
        return 0
    session.judge_leaks()
    session.close()
    return session.boots


def work(todo, log, name):
    """A machine at a time, until nothing is left; how many there were."""
    session, boots = None, 0
    while True:
        try:
            append, program, names = todo.get_nowait()
        except queue.Empty:
            return boots + end(session)
        if not session or session.append != append:
            boots += end(session)
            session = DebugGuest(log, name=name, append=append)
        session.run_chunk(program, names)


def run(part, workers):
    """Run them; the exit status."""
    log = report.Log(kmsg=report.kernel_log())
    began = time.monotonic()
    todo = queue.SimpleQueue()
    for job in jobs_of(part, log):
        todo.put(job)
    boots = []

    def worker(name):
        try:
            boots.append(work(todo, log, name))
        except Exception as err:  # pylint: disable=broad-except
            log.add(KERNEL, f"(machine {name})", "FAIL",
                    why=f"{type(err).__name__}: {err}")

    threads = [threading.Thread(target=worker, args=(chr(ord("a") + i),))
               for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.say(f"{time.monotonic() - began:.0f} s, {sum(boots)} machines")
    return log.summary()


def main():
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Run every self-test on the sanitizer kernel.")
    parser.add_argument("-k", metavar="PART", default="",
                        help="only tests whose suite.name holds PART")
    parser.add_argument("--workers", type=int, default=2,
                        help="machines at a time (%(default)s)")
    args = parser.parse_args()
    guest.PROGRAM_LIMIT_S = PROGRAM_LIMIT_S
    return run(args.k, args.workers)


if __name__ == "__main__":
    sys.exit(main())
