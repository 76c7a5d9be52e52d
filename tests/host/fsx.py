#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The random tester, long: make fsx, or with a seed to see a failure again.

	tests/host/fsx.py [-K KERNEL] [-s SEED] [-n OPS] [-k FIRST] [-v] [TARGET...]

OPS operations per kernel are spread evenly over the targets (the tests of
build/tests/selftests/fsx); with one target all are for it.  Without a seed one
is made from the time; it is printed, and -s repeats the run.  -k begins with
operation FIRST, on what the operations before it would have left.
"""

import argparse
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

# pylint: disable=wrong-import-position
import ktap  # noqa: E402
from guest import DRIVES, lab, tests_of  # noqa: E402

KERNELS = ("6.1", "6.12")
PROGRAM = TOP / "build/tests/selftests/fsx"
OPS = 100_000
# The operations of one target have this long (fsx.c), and a kernel altogether.
LIMIT_S = 3600


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="fsx.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-K", "--kernel", action="append", choices=KERNELS)
    parser.add_argument("-s", "--seed", type=int, default=0)
    parser.add_argument("-n", "--ops", type=int, default=OPS,
                        help="operations per kernel (%(default)s)")
    parser.add_argument("-k", "--first", type=int, default=0,
                        help="first operation that is really done")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="print each operation")
    parser.add_argument("target", nargs="*")
    return parser.parse_args()


def run(kernel, args, seed, targets):
    """All targets on one kernel; True when nothing differed."""
    report = ktap.Report(targets)
    ops = args.ops // len(targets)

    def take(line):
        print(f"{kernel}: {line}", flush=True)
        report.feed(line)

    command = (f"FSX_SEED={seed} FSX_OPS={ops} FSX_FROM={args.first} "
               f"FSX_VERBOSE={int(args.verbose)} "
               f"{PROGRAM} {' '.join(targets)}")
    began = time.monotonic()
    with lab.Vm(kernel, drives=DRIVES) as machine:
        code = machine.stream(command, take, LIMIT_S).rc
        splats = machine.splats()
    seconds = time.monotonic() - began
    problems = [f"{test.name}: {test.why}" for test in
                [*report.tests, *report.finish(code)]
                if test.verdict != "ok"] + splats
    for problem in problems:
        print(f"{kernel}: FAIL {problem}")
    print(f"{kernel}: {ops * len(targets)} operations in {seconds:.0f} s, "
          f"{ops * len(targets) / seconds:.0f} a second, "
          f"{len(problems)} problems")
    return not problems


def main():
    """Command line."""
    args = arguments()
    seed = args.seed or int(time.time()) & 0x7fffffff
    targets = args.target or tests_of(PROGRAM)
    print(f"seed {seed}", flush=True)
    good = True
    for kernel in args.kernel or KERNELS:
        try:
            good &= run(kernel, args, seed, targets)
        except (lab.LostVm, lab.GuestTimeout) as err:
            print(f"{kernel}: FAIL {err}")
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
