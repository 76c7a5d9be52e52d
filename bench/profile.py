#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show where the instructions of one request go: make bench-profile.

QEMU steps through the guest and logs every instruction while the guest repeats
one case of bench/cost.  The log is cut at the guest's system calls; of the
pieces the most frequent one is shown as a tree of calls: instructions with and
without those of the callees.  Calls are seen by a jump to the first byte of a
function, so a tail call looks like a call.
"""

import argparse
import bisect
import collections
import re
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "lab/vm"))
sys.path.insert(0, str(TOP / "bench"))

# pylint: disable=wrong-import-position
import cost  # noqa: E402
import vm as lab  # noqa: E402

KERNEL_SPACE = 1 << 63
LOG_SECONDS = 2
PC = re.compile(rb"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/")


class Symbols:
    """The guest's functions by address."""

    def __init__(self, kallsyms):
        found = {}
        for line in kallsyms.splitlines():
            words = line.split()
            if len(words) >= 3 and words[1] in "tTwW":
                found.setdefault(int(words[0], 16), words[2])
        self.starts = sorted(found)
        self.names = [found[start] for start in self.starts]

    def find(self, address):
        """(name, offset) of an address."""
        index = bisect.bisect_right(self.starts, address) - 1
        if index < 0:
            return "?", address
        return self.names[index], address - self.starts[index]


class Node:
    """A function in the tree of calls."""

    def __init__(self, name):
        self.name = name
        self.own = 0
        self.calls = 0
        self.callees = {}

    def total(self):
        """Instructions with those of the callees."""
        return self.own + sum(node.total() for node in self.callees.values())

    def show(self, least, depth=0):
        """Print all nodes of at least `least` instructions."""
        if self.total() < least:
            return
        times = f" x{self.calls}" if self.calls > 1 else ""
        print(f"{self.total():7} {self.own:6}  {'  ' * depth}"
              f"{self.name}{times}")
        for node in sorted(self.callees.values(), key=Node.total,
                           reverse=True):
            node.show(least, depth + 1)


def build_tree(addresses, symbols):
    """The tree of calls of a list of executed addresses."""
    root = Node("(system call)")
    stack = [root]
    for address in addresses:
        name, offset = symbols.find(address)
        if offset == 0 or (name != stack[-1].name and name not in
                           [node.name for node in stack]):
            node = stack[-1].callees.setdefault(name, Node(name))
            node.calls += 1
            stack.append(node)
        while stack[-1].name != name:
            stack.pop()
        stack[-1].own += 1
    return root


def pieces(log):
    """The kernel's part of the log, a list of addresses for each entry."""
    piece = []
    with open(log, "rb") as lines:
        for line in lines:
            match = PC.match(line)
            if not match:
                continue
            address = int(match[1], 16)
            if address >= KERNEL_SPACE:
                piece.append(address)
            elif piece:
                yield tuple(piece)
                piece = []


def record(machine, log):
    """Have QEMU log a while of what the guest does."""
    def say(command):
        machine.qmp("human-monitor-command", **{"command-line": command})

    say(f"logfile {log}")
    say("singlestep on")
    say("log exec,nochain")
    time.sleep(LOG_SECONDS)
    say("log none")
    say("singlestep off")


def profile(kernel, name, repeats, workdir):
    """The most frequent piece of a case, and the symbols."""
    with cost.machine(kernel, workdir) as machine:
        kallsyms = machine.run("cat /proc/kallsyms", check=True).out
        machine.run(f"{cost.PROGRAM} -n {repeats} {cost.DISK} "
                    f"{name} >/dev/null 2>&1 &", check=True)
        time.sleep(3)
        log = machine.workdir / "exec.log"
        record(machine, log)
    count = collections.Counter(list(pieces(log))[1:])
    log.unlink()
    if not count:
        raise lab.LostVm(f"{name}: no instruction was logged")
    return count.most_common(1)[0], Symbols(kallsyms)


def main():
    """Exit status: 0, or 2 when there is nothing to show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--least", type=int, default=20,
                        help="leave out smaller branches")
    parser.add_argument("--repeats", type=int, default=100000000)
    parser.add_argument("case", help="a case of bench/cost, such as read-4k")
    args = parser.parse_args()
    workdir = lab.BUILD / "bench/profile"
    try:
        (piece, times), symbols = profile(args.kernel, args.case, args.repeats,
                                          workdir)
    except (lab.LostVm, lab.GuestError, lab.GuestTimeout) as err:
        print(f"profile: {err}", file=sys.stderr)
        return 2
    print(f"{args.case} on {args.kernel}: {len(piece)} instructions in the "
          f"kernel, {times} times in the log")
    print("  total    own")
    build_tree(piece, symbols).show(args.least)
    return 0


if __name__ == "__main__":
    sys.exit(main())
