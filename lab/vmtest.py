#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run one self-test program in a fresh lab guest and judge it: make vm.

The program reports in KTAP.  It passes when it says so itself, exits with 0,
reported as many tests as it planned, and left no splat on the console.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "vm"))

# pylint: disable=wrong-import-position
import vm as lab  # noqa: E402

LIMIT_S = 600


def environment():
    """What commands need to find the tool and the emulated GPU's library."""
    build = shlex.quote(str(lab.BUILD))
    return (f"export PATH={build}/tools:$PATH "
            f"LD_LIBRARY_PATH={build}/lab:{build}/lib; ")


class Judge:
    """Reads KTAP at its outermost level."""

    def __init__(self):
        self.planned = None
        self.failed = []
        self.count = 0

    def feed(self, line):
        """One line of the report."""
        plan = re.match(r"1\.\.(\d+)\b", line)
        result = re.match(r"(not )?ok\b", line)
        if plan:
            self.planned = int(plan[1])
        elif result:
            self.count += 1
            if result[1] and "# SKIP" not in line:
                self.failed.append(line)

    def verdict(self, code, splats):
        """What is wrong, in words; an empty list when nothing is."""
        wrong = list(self.failed)
        if code != 0:
            wrong.append(f"the program ended with status {code}")
        if not self.planned:
            wrong.append("there was no plan, or one of no tests")
        elif self.planned != self.count:
            wrong.append(f"{self.planned} tests planned, {self.count} "
                         "reported")
        return wrong + [f"kernel splat: {line}" for line in splats]


def run(program, kernel, cpu):
    """Run one program; a list of what is wrong."""
    judge = Judge()

    def show(line):
        print(line, flush=True)
        judge.feed(line)

    with lab.Vm(kernel, cpu=cpu) as machine:
        print(f"# {kernel}, -cpu {cpu}: answered after "
              f"{machine.boot_seconds:.1f} s", flush=True)
        result = machine.stream(environment() + shlex.quote(str(program)),
                                show, LIMIT_S)
        return judge.verdict(result.rc, machine.splats())


def main():
    """Exit status: 0 passed, 1 failed, 2 not run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--cpu", default="max")
    parser.add_argument("test")
    args = parser.parse_args()
    program = lab.BUILD / "tests/selftests" / args.test
    if not program.exists():
        print(f"{program}: there is no such test", file=sys.stderr)
        return 2
    try:
        wrong = run(program, args.kernel, args.cpu)
    except (lab.LostVm, lab.GuestTimeout, lab.GuestError) as err:
        wrong = [f"{type(err).__name__}: {err}"]
    for line in wrong:
        print(f"# {args.test}: {line}")
    print(f"# {args.test} on {args.kernel}: {'FAILED' if wrong else 'passed'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
