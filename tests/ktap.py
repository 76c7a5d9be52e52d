# SPDX-License-Identifier: MIT
"""Read the KTAP report of one test program, and distrust it.

A program passes only when it said a plan, reported each test of the plan and
each test that it is known to have, in order and once, and ended well.
"""

import re
from dataclasses import dataclass

PLAN = re.compile(r"1\.\.(\d+)$")
RESULT = re.compile(r"(ok|not ok) (\d+) (\S+)(?: # (.*))?$")
TIME = re.compile(r"time=(\d+)ms")


@dataclass
class Test:
    """How one test ended; verdict is "ok", "FAIL" or "skip"."""

    name: str
    verdict: str
    seconds: float = 0.0
    why: str = ""


class Report:
    """The report of a program whose tests should be `expected`, in order.

    feed() takes a line and returns the Test that it completes, if any.
    finish() returns Tests for all that went wrong otherwise.
    """

    def __init__(self, expected):
        self.expected = list(expected)
        self.tests = []
        self.plan = None
        self.notes = []
        self.problems = []

    def feed(self, line):
        """Take one line of output."""
        line = line.rstrip("\r\n")
        if line.startswith("# "):
            self.notes.append(line[2:])
        elif PLAN.match(line):
            self._take_plan(int(PLAN.match(line)[1]))
        elif RESULT.match(line):
            return self._take_result(RESULT.match(line))
        elif line.startswith("Bail out!"):
            self.problems.append(line)
        elif line and line != "TAP version 13":
            self.notes.append(line)
        return None

    def _take_plan(self, count):
        if self.plan is not None:
            self.problems.append("a second plan")
        self.plan = count

    def _take_result(self, match):
        word, number, name, rest = match.groups()
        rest = rest or ""
        took = TIME.search(rest)
        seconds = int(took[1]) / 1000 if took else 0.0
        if int(number) != len(self.tests) + 1:
            self.problems.append(f"test number {number} after "
                                 f"{len(self.tests)} tests")
        if word == "not ok":
            why = self.notes[-1] if self.notes else "no reason given"
            test = Test(name, "FAIL", seconds, why)
        elif rest.startswith("SKIP"):
            test = Test(name, "skip", seconds, rest[4:].strip())
            if not test.why:
                test = Test(name, "FAIL", seconds, "a skip without a reason")
        else:
            test = Test(name, "ok", seconds)
        self.notes.clear()
        self.tests.append(test)
        return test

    def running(self):
        """The expected test that has not been reported yet, or ""."""
        seen = {test.name for test in self.tests}
        for name in self.expected:
            if name not in seen:
                return name
        return ""

    def finish(self, code, ended="not reported"):
        """What is wrong beside the tests' own verdicts, as failed Tests.

        code: exit status of the program, None when it has none
        ended: why tests that are missing are missing
        """
        failed = [Test(name, "FAIL", why=ended) for name in self.missing()]
        for why in self.problems + self._form_problems(code):
            failed.append(Test("(program)", "FAIL", why=why))
        if failed and self.notes:
            failed[0].why += "; its last words: " + " | ".join(self.notes[-3:])
        return failed

    def missing(self):
        """Expected tests without a verdict."""
        seen = {test.name for test in self.tests}
        return [name for name in self.expected if name not in seen]

    def _form_problems(self, code):
        names = [test.name for test in self.tests]
        bad = any(test.verdict == "FAIL" for test in self.tests)
        problems = []
        if self.plan is None:
            problems.append("no plan")
        elif self.plan != len(self.tests):
            problems.append(f"{len(self.tests)} tests reported, "
                            f"{self.plan} planned")
        for name in sorted(set(names) - set(self.expected)):
            problems.append(f"a test nobody knows: {name}")
        if len(set(names)) != len(names):
            problems.append("a test was reported twice")
        if code is not None and bool(code) != bad:
            problems.append(f"exit status {code} "
                            f"{'with' if bad else 'without'} a failed test")
        return problems
