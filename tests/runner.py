#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the tests: see usage() for the lanes.

One line is printed for each test as it ends, then the failures, the skips with
their reasons, the counts of each group, and at last one line alone:

	N passed, N failed, N skipped

The exit status is 0 only if nothing failed and something passed.
"""

import argparse
import os
import queue
import re
import subprocess
import sys
import threading
import time

import breaks
import emulated
import meta
import report
import outside
from guest import TOP, Guest

KERNELS = ("6.1", "6.12")
BIN = TOP / "build/tests/selftests"

# In this order: the last ones unload modules.
CORE = ("smoke", "rw", "route", "badinput", "procfs", "tool", "failnth",
        "align", "bounce", "gate", "batch", "uring", "sparse", "recover",
        "hold", "trace", "stat", "states", "cufile", "cumem", "queues", "fsx",
        "mmap", "mapend", "container", "users", "charge", "bench", "bpf",
        "module")
STRESS = ("lifetime", "fuzz")
LANES = ("core", "stress", "lab", "unit", "meta", "check", "all")
CHECK_LIMIT_S = 600
UNIT_LIMIT_S = 120
# What sanitizers do not see, such as reads of bytes that nobody wrote; children of
# fork() end in the middle of everything, and are not looked at.
VALGRIND = ("valgrind", "-q", "--error-exitcode=9", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect", "--fair-sched=yes",
            "--child-silent-after-fork=yes")


class Run:
    """What is wanted, and where the verdicts go."""

    def __init__(self, lane, part, kernels):
        self.lane, self.part, self.kernels = lane, part, kernels
        self.log = report.Log(kmsg=report.kernel_log())

    def has(self, lane):
        """Whether this lane is part of the run."""
        return self.lane in (lane, "all")

    def wanted(self, name):
        """Whether -k leaves this test in."""
        return not self.part or self.part in name

    def newest(self):
        """The kernel of what runs on one only."""
        return self.kernels[-1]


# ------------------------------------------------------------- in the guest

def programs(run):
    """The self-test programs of the wanted lanes, in order."""
    names = list(CORE[:-1]) if run.has("core") else []
    names += STRESS if run.has("stress") else []
    names += CORE[-1:] if run.has("core") else []
    return [BIN / name for name in names]


def judge_lists(run):
    """A program that was built and stands in no list would never run."""
    built = {path.name for path in BIN.iterdir() if os.access(path, os.X_OK)}
    for name in sorted(built - {*CORE, *STRESS}):
        run.log.add("runner", name, "FAIL", why="the program is in no lane")


def guest_job(run, kernel):
    """All that runs on one kernel: its own machine, then one more CPU."""
    with Guest(kernel, run.log, want=run.wanted) as session:
        todo = programs(run)
        for program in todo:
            if program.name == "module":
                witness_lane(run, session)
            session.run_program(program)
    if not run.has("core"):
        return
    with Guest(kernel, run.log, cpu="EPYC", group=f"{kernel}-EPYC",
               want=run.wanted) as session:
        session.run_program(BIN / "route")
        if any_wanted(run, "witness."):
            outside.run_cases(session, lambda w: w.far_cases(True))


def witness_lane(run, session):
    """The tests that are judged from outside."""
    if run.has("core") and any_wanted(run, "witness."):
        outside.run_cases(session, lambda w: [*w.near_cases(),
                                              *w.bounced_cases(),
                                              *w.far_cases(False)])


def any_wanted(run, prefix):
    """Whether -k may leave a test in whose name begins with prefix."""
    return not run.part or run.part in prefix or run.part.startswith(prefix)


# -------------------------------------------------------------- on the host

CMOCKA = re.compile(r"\[\s+(OK|FAILED|SKIPPED)\s+\] (.*)")


def unit_program(run, program, prefix=()):
    """A cmocka program: a verdict for each of its tests."""
    name = "_".join([*(word for word in prefix[:1]), program.name])
    began = time.monotonic()
    try:
        done = subprocess.run([*prefix, str(program)], capture_output=True,
                              text=True, timeout=UNIT_LIMIT_S, check=False,
                              cwd=TOP)
    except (OSError, subprocess.TimeoutExpired) as err:
        run.log.add("unit", name, "FAIL", why=str(err))
        return
    text = done.stdout + done.stderr
    seconds = time.monotonic() - began
    verdicts = {}
    for word, test in CMOCKA.findall(text):
        verdicts[test] = {"OK": "ok", "SKIPPED": "skip"}.get(word, "FAIL")
    for test, verdict in verdicts.items():
        run.log.add("unit", f"{name}.{test}", verdict, seconds / len(verdicts),
                    "cmocka skip" if verdict == "skip" else "")
    planned = re.search(r"Running (\d+) test", text)
    bad = "FAIL" in verdicts.values()
    if bool(done.returncode) != bad or not planned \
            or int(planned[1]) != len(verdicts):
        run.log.add("unit", f"{name}.(program)", "FAIL", seconds,
                    f"exit status {done.returncode}, {len(verdicts)} verdicts: "
                    + text[-600:])


def unit_job(run):
    """cmocka programs, and the unit tests of the Python code."""
    folder = TOP / "build/tests/unit"
    found = sorted(p for p in folder.glob("*")
                   if p.is_file() and os.access(p, os.X_OK))
    if not found:
        run.log.add("unit", "(programs)", "FAIL",
                    why="build/tests/unit holds no program")
    for program in found:
        if run.wanted(program.name):
            unit_program(run, program)
    for program in sorted((TOP / "build/tests/valgrind").glob("*")):
        if run.wanted("valgrind_" + program.name):
            unit_program(run, program, VALGRIND)
    for module in python_modules():
        if run.wanted(module.stem):
            python_tests(run, module)


def python_modules():
    """The unit tests of all Python code but the checks', which test themselves."""
    return sorted(path for folder in ("bench", "lab", "tests")
                  for path in TOP.glob(f"{folder}/**/test_*.py"))


UNITTEST = re.compile(r"^(\w+) \(.*?\) \.\.\. (?:.*)?(ok|FAIL|ERROR|skipped)",
                      re.MULTILINE)


def python_tests(run, module):
    """A module of unittest tests."""
    name = module.stem
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "unittest", "-v", module.name],
            capture_output=True, text=True, timeout=UNIT_LIMIT_S, check=False,
            cwd=module.parent)
    except subprocess.TimeoutExpired as err:
        run.log.add("unit", name, "FAIL", why=str(err))
        return
    seconds = time.monotonic() - began
    ran = re.search(r"^Ran (\d+) test", done.stderr, re.MULTILINE)
    count = int(ran[1]) if ran else 0
    good = not done.returncode and count
    skips = re.search(r"skipped=(\d+)", done.stderr)
    for test in UNITTEST.findall(done.stderr) if good and not skips else []:
        run.log.add("unit", f"{name}.{test[0]}", "ok", seconds / count)
        count -= 1
    if not good or count:
        run.log.add("unit", name, "FAIL", seconds, done.stderr[-800:])


CHECK = re.compile(r"^(check-[\w-]+): (.*)$", re.MULTILINE)


def check_job(run):
    """make check, one verdict for each of its checks."""
    began = time.monotonic()
    try:
        done = subprocess.run(["scripts/check"], capture_output=True,
                              text=True, timeout=CHECK_LIMIT_S, check=False,
                              cwd=TOP, env={**os.environ, "KERNELS":
                                            " ".join(run.kernels)})
    except (OSError, subprocess.TimeoutExpired) as err:
        run.log.add("check", "(all)", "FAIL", why=str(err))
        return
    seconds = time.monotonic() - began
    bad = 0
    for name, said in CHECK.findall(done.stdout):
        verdict = check_verdict(said)
        bad += verdict == "FAIL"
        run.log.add("check", name, verdict, seconds,
                    "" if verdict == "ok" else said)
        seconds = 0
    if bool(done.returncode) != bool(bad) or seconds:
        run.log.add("check", "(all)", "FAIL", seconds,
                    f"exit status {done.returncode}: {done.stdout[-800:]}")


def check_verdict(said):
    """The verdict in a line of scripts/check."""
    if said.startswith("0 findings"):
        return "ok"
    return "skip" if said.startswith("skip") else "FAIL"


# ------------------------------------------------------------------ the run

def jobs_of(run):
    """(weight, function) of what is to be done; heavy ones start first."""
    jobs = []
    if run.has("core") or run.has("stress"):
        for kernel in reversed(run.kernels):
            jobs.append(lambda k=kernel: guest_job(run, k))
    if run.has("lab"):
        for kernel in run.kernels:
            jobs.append(lambda k=kernel: emulated.run_job(run, k))
    if run.has("unit"):
        jobs.append(lambda: unit_job(run))
    if run.has("meta"):
        jobs.append(lambda: meta.run_job(run))
        jobs.append(lambda: breaks.run_job(run))
    if run.has("check") and run.wanted("check"):
        jobs.append(lambda: check_job(run))
    return jobs


def work(todo, log):
    """A worker: takes jobs until there are none."""
    while True:
        try:
            job = todo.get_nowait()
        except queue.Empty:
            return
        try:
            job()
        except Exception as err:  # pylint: disable=broad-except
            log.add("runner", "(job)", "FAIL",
                    why=f"{type(err).__name__}: {err}")


def run_all(run, workers):
    """Do all jobs, a few at a time; returns the exit status."""
    began = time.monotonic()
    todo = queue.SimpleQueue()
    if run.has("core") and BIN.is_dir():
        judge_lists(run)
    for job in jobs_of(run):
        todo.put(job)
    threads = [threading.Thread(target=work, args=(todo, run.log))
               for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.log.say(f"{time.monotonic() - began:.0f} s")
    if run.part and not run.log.total():
        run.log.say(f"no test has '{run.part}' in its name")
    return run.log.summary()


def main():
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="test_runner.sh",
        description="Run the tests of NVFS; without a lane, all of them.",
        epilog="core, stress: self-tests in guests; lab: of the emulated GPU; "
               "unit: without a kernel; meta: of the tests themselves; check: "
               "style and ABI")
    parser.add_argument("lane", nargs="?", default="all", choices=LANES)
    parser.add_argument("-k", metavar="PART", default="",
                        help="only tests whose suite.name holds PART")
    parser.add_argument("--kernel", action="append", choices=KERNELS,
                        help="only this kernel; may be said again")
    parser.add_argument("--workers", type=int, default=2,
                        help="jobs at a time (%(default)s)")
    args = parser.parse_args()
    kernels = [name for name in KERNELS if name in (args.kernel or KERNELS)]
    return run_all(Run(args.lane, args.k, kernels), args.workers)


if __name__ == "__main__":
    sys.exit(main())
