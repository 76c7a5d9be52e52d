# SPDX-License-Identifier: MIT
"""Count and print verdicts, one line a test, from any thread."""

import re
import sys
import threading
from collections import Counter, defaultdict

SYMBOL = {"ok": "ok  ", "FAIL": "FAIL", "skip": "skip"}


class Log:
    """All verdicts of a run. Groups are shown in the order of their first."""

    def __init__(self, out=sys.stdout):
        self._out = out
        self._lock = threading.Lock()
        self.groups = defaultdict(Counter)
        self.failures = []
        self.skips = Counter()

    def add(self, group, name, verdict, seconds=0.0, why=""):
        """Take the verdict of one test."""
        # One line a test, whatever the reason holds.
        why = re.sub(r"\s*\n\s*", " | ", why.strip())
        line = f"{SYMBOL[verdict]} {group} {name} ({seconds:.2f} s)"
        if why:
            line += f": {why}"
        with self._lock:
            self.groups[group][verdict] += 1
            if verdict == "FAIL":
                self.failures.append(line)
            elif verdict == "skip":
                self.skips[why] += 1
            print(line, file=self._out, flush=True)

    def say(self, text):
        """A line that is no verdict."""
        with self._lock:
            print(f"# {text}", file=self._out, flush=True)

    def total(self):
        """Counter of verdicts over all groups."""
        return sum(self.groups.values(), Counter())

    def summary(self):
        """Print the end of the run; returns the exit status."""
        total = self.total()
        out = self._out
        if self.failures:
            print("\nFailures:", file=out)
            for line in self.failures:
                print(f"  {line}", file=out)
        if self.skips:
            print("\nSkips:", file=out)
            for why, count in sorted(self.skips.items()):
                print(f"  {count} x {why}", file=out)
        print(file=out)
        for group, counts in self.groups.items():
            print(f"{group}: {counts['ok']} passed, {counts['FAIL']} failed, "
                  f"{counts['skip']} skipped", file=out)
        print(f"{total['ok']} passed, {total['FAIL']} failed, "
              f"{total['skip']} skipped", file=out, flush=True)
        return 0 if total["ok"] and not total["FAIL"] else 1
