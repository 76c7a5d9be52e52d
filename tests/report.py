# SPDX-License-Identifier: MIT
"""Count and print verdicts, one line a test, from any thread."""

import os
import re
import sys
import threading
from collections import Counter, defaultdict

SYMBOL = {"ok": "ok  ", "FAIL": "FAIL", "skip": "skip"}
# In the kernel log, by the words of tests/selftests/harness.c.
KERNEL_WORD = {"ok": "ok", "FAIL": "FAIL", "skip": "SKIP"}
KERNEL_LINE = 200  # characters of a line there at most


def kernel_log():
    """The host's kernel log; NVFS_TEST_KMSG names another file, or, empty, none."""
    return os.environ.get("NVFS_TEST_KMSG", "/dev/kmsg")


def tell_kernel(path, group, name, verdict):
    """One line for `dmesg | grep NVFS_TEST`, where that is allowed.

    Opened for each line: the kernel takes ten lines in five seconds of an open
    file and drops the rest. Never created: there may be no such device.
    """
    text = f"{group}.{name}"[:KERNEL_LINE]
    line = f"<6>NVFS_TEST: {text}: {KERNEL_WORD[verdict]}\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        try:
            os.write(fd, line.encode("ascii", "replace"))
        finally:
            os.close(fd)
    except OSError:
        pass


class Log:
    """All verdicts of a run. Groups are shown in the order of their first.

    kmsg: None, or the kernel log that is told of each verdict, too
    """

    def __init__(self, out=sys.stdout, kmsg=None):
        self._out = out
        self._kmsg = kmsg
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
        if self._kmsg:
            tell_kernel(self._kmsg, group, name, verdict)

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
