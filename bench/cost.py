#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What requests cost, in instructions, and whether that is within budget.

	cost.py [--write FILE] KERNEL...

Boots each kernel once, measures NVFS and what it is compared with in the same
run, and writes the table.  Exit status: 0, 1 when a budget is broken or a
figure is missing, 2 when nothing could be measured.
"""

import argparse
import datetime
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "lab/vm"))

# pylint: disable=wrong-import-position
import vm as lab  # noqa: E402

PROGRAM = lab.BUILD / "bench/cost"
DISK = "/dev/nullb0"
NULL_BLK = "modprobe null_blk queue_mode=2 irqmode=0 gb=4"
LIMIT_S = 900

# case, what it is compared with, the most it may cost in parts of that
BUDGETS = (
    ("read-4k", "preadv2-4k", 0.85),
    ("read-64k", "preadv2-64k", 0.40),
    ("read-1m", "preadv2-1m", 0.25),
    ("write-4k", "pwritev2-4k", 0.85),
    ("write-64k", "pwritev2-64k", 0.40),
    ("write-1m", "pwritev2-1m", 0.25),
    ("batch-read-4k", "preadv2-4k", 0.75),
    ("batch-write-4k", "pwritev2-4k", 0.75),
    ("uring-read-4k", "read-fixed-4k", 1.05),
    ("uring-write-4k", "write-fixed-4k", 1.05),
)

# What the module can be told to count besides: its parameter, and the most that
# this may cost a request more, in instructions; None: no budget, but a figure
COUNTED = (("latency", 30), ("usage", None))

# Cases that are measured with each of these
COUNTED_CASES = ("read-4k", "write-4k", "uring-read-4k", "uring-write-4k",
                 "batch-read-4k", "batch-write-4k")

# Figures for the table's second part
OTHERS = ("syscall", "preadv2-4k", "preadv2-64k", "preadv2-1m", "pwritev2-4k",
          "pwritev2-64k", "pwritev2-1m", "read-fixed-4k", "write-fixed-4k",
          "preadv2-huge-4k", "preadv2-huge-64k", "preadv2-huge-1m",
          "pwritev2-huge-4k", "pwritev2-huge-64k", "pwritev2-huge-1m")

WORDS = {
    "syscall": "empty system call (getppid)",
    "preadv2": "preadv2, O_DIRECT, host memory",
    "pwritev2": "pwritev2, O_DIRECT, host memory",
    "preadv2-huge": "preadv2, host memory in one huge page",
    "pwritev2-huge": "pwritev2, host memory in one huge page",
    "read-fixed": "io_uring READ_FIXED, registered host buffer",
    "write-fixed": "io_uring WRITE_FIXED, registered host buffer",
    "read": "NVFS_IOC_READ",
    "write": "NVFS_IOC_WRITE",
    "batch-read": "NVFS batch of 64 reads, submit and reap, each",
    "batch-write": "NVFS batch of 64 writes, submit and reap, each",
    "uring-read": "NVFS io_uring command, read",
    "uring-write": "NVFS io_uring command, write",
}
SIZES = {"4k": "4 KiB", "64k": "64 KiB", "1m": "1 MiB"}

HEADER = """\
<!-- SPDX-License-Identifier: MIT -->
<!-- Made by `make bench-cost`: do not edit. -->
# What a request costs

Date: {date}

Instructions that one request executes, in user space and in the kernel, on one
CPU, from a `null_blk` disk that is done at once: what is left is the cost of
the software. The emulator counts them, so a figure does not depend on the
machine that measured it. How, and why a figure is the same on every run:
[bench/README.md](../bench/README.md).

A ratio is that to the figure in "against", from the same boot; a budget is the
highest ratio allowed.

- {qemu}
- `{null_blk}`
"""


# Cases that have many tags of the disk at once; see settle()
ROAMING = ("pwritev2-1m", "pwritev2-huge-1m", "write-1m", "batch-read-4k",
           "batch-write-4k")

# Load null_blk until its next tag is in the first of four words.
SETTLE = f"""
tags=/sys/kernel/debug/block/nullb0/hctx0/tags
hint() {{ sed -n 's/^alloc_hint={{\\([0-9]*\\)}}$/\\1/p' $tags; }}
settle() {{
	for try in $(seq 100); do
		[ ! -e {DISK} ] || rmmod null_blk
		{NULL_BLK} || return
		[ "$(hint)" -ge 16 ] || return 0
	done
	return 1
}}
"""


class CostVm(lab.Vm):
    """A lab.Vm with a null_blk disk."""

    def start(self):
        super().start()
        self.settle()

    def settle(self):
        """Make a new disk whose tags begin where they always do.

        The kernel begins at a random word of the bitmap of tags and stays in
        that word as long as one request at a time is made.  Words differ: the
        last one costs 8 instructions more.
        """
        self.run(SETTLE + "settle", check=True)

    def check_settled(self):
        """Whether the tags are still where settle() put them."""
        self.run(SETTLE + '[ "$(hint)" -lt 16 ]', check=True)


def machine(kernel, workdir=None):
    """A machine whose guest time is executed instructions, with null_blk."""
    return CostVm(kernel, icount=True, nvfs="assume_reachable=1",
                  drives={"vblk0": "16M"}, workdir=workdir,
                  append="slub_max_order=0", boot_timeout=600)


@dataclass
class Kernel:
    """What one kernel said.

    figures: {case: instructions per request}; with a parameter of the module
        switched on the case is "case+parameter"
    missing: {case: why there is no figure}
    """

    name: str
    release: str = ""
    figures: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)

    def feed(self, line, counted=""):
        """Take a line of bench/cost, of a run with this parameter on."""
        words = line.split()
        if len(words) < 3:
            return
        case = f"{words[1]}+{counted}" if counted else words[1]
        if len(words) == 7 and words[0] == "figure":
            self.figures[case] = int(words[3]) / int(words[2])
        elif len(words) == 3 and words[0] == "absent":
            self.missing[case] = "not there"
        elif len(words) == 3 and words[0] == "failed":
            self.missing[case] = words[2]

    def ratio(self, case, against):
        """The ratio of two figures; None when one is missing."""
        if case in self.figures and self.figures.get(against):
            return self.figures[case] / self.figures[against]
        return None

    def verdict(self, case, against, most):
        """What a budget came to, in a word or two; "ok" when it holds."""
        for name in (case, against):
            if name not in self.figures:
                return self.missing.get(name, "no figure")
        return "ok" if self.ratio(case, against) <= most else "BROKEN"

    def more(self, case, counted):
        """What counting adds to a request; None when a figure is missing."""
        with_it = self.figures.get(f"{case}+{counted}")
        if with_it is None or case not in self.figures:
            return None
        return with_it - self.figures[case]

    def counted_verdict(self, case, counted, most):
        """What a budget of counting came to; "" when it has none."""
        more = self.more(case, counted)
        if more is None:
            return self.missing.get(f"{case}+{counted}", "no figure")
        if most is None:
            return ""
        return "ok" if more <= most else "BROKEN"

    def broken_counted(self):
        """The budgets of counting that do not hold, as lines of text."""
        lines = []
        for counted, most in COUNTED:
            for case in COUNTED_CASES:
                verdict = self.counted_verdict(case, counted, most)
                if verdict not in ("ok", ""):
                    more = self.more(case, counted)
                    was = "" if more is None else f", is {number(more)}"
                    lines.append(f"{self.name}: {case} with {counted}=1: "
                                 f"{verdict}: at most {most} more{was}")
        return lines

    def broken(self):
        """The budgets that do not hold, as lines of text."""
        lines = []
        for case, against, most in BUDGETS:
            verdict = self.verdict(case, against, most)
            if verdict != "ok":
                ratio = self.ratio(case, against)
                was = f", is {ratio:.3f}" if ratio else ""
                lines.append(f"{self.name}: {case}: {verdict}: at most "
                             f"{most:.2f} of {against}{was}")
        return lines + self.broken_counted()


def words_for(case):
    """A case in words."""
    name, _, size = case.rpartition("-")
    if size not in SIZES:
        return WORDS[case]
    return f"{WORDS[name]}, {SIZES[size]}"


def number(value):
    """A figure as text: whole, or with one digit where it is a mean."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def cell(kernel, case):
    """A figure for the table."""
    if case in kernel.figures:
        return number(kernel.figures[case])
    return kernel.missing.get(case, "no figure")


def rows(kernel):
    """The two tables of a kernel, a list of lines."""
    lines = [f"## {kernel.name}", "", f"Kernel {kernel.release}", "",
             "| NVFS | instructions | against | ratio | budget | |",
             "|---|--:|---|--:|--:|---|"]
    for case, against, most in BUDGETS:
        ratio = kernel.ratio(case, against)
        lines.append(
            f"| {words_for(case)} | {cell(kernel, case)} | `{against}` "
            f"| {'' if ratio is None else f'{ratio:.3f}'} | {most:.2f} "
            f"| {kernel.verdict(case, against, most)} |")
    lines += ["", "| compared with | name | instructions |", "|---|---|--:|"]
    lines += [f"| {words_for(case)} | `{case}` | {cell(kernel, case)} |"
              for case in OTHERS]
    return lines


def counted_rows(kernel):
    """The table of what counting adds, a list of lines."""
    lines = ["", "| counting | NVFS | instructions | more | budget | |",
             "|---|---|--:|--:|--:|---|"]
    for counted, most in COUNTED:
        for case in COUNTED_CASES:
            more = kernel.more(case, counted)
            lines.append(
                f"| `{counted}=1` | {words_for(case)} "
                f"| {cell(kernel, f'{case}+{counted}')} "
                f"| {'' if more is None else number(more)} "
                f"| {'' if most is None else most} "
                f"| {kernel.counted_verdict(case, counted, most)} |")
    return lines


def document(kernels, qemu, date):
    """The file, from what the kernels said."""
    text = HEADER.format(date=date, qemu=qemu, null_blk=NULL_BLK)
    return text + "".join("\n" + "\n".join(rows(kernel) +
                                           counted_rows(kernel)) + "\n"
                          for kernel in kernels)


def run_cases(guest, cases, take):
    """Measure some cases; what the program prints goes to take, by lines."""
    result = guest.stream(f"{PROGRAM} {DISK} {' '.join(cases)}", take, LIMIT_S)
    if result.rc:
        raise lab.LostVm(f"bench/cost ended with {result.rc}\n{result.out}")


def measure_counted(guest, counted, take):
    """Measure with a parameter of the module switched on."""
    switch = f"/sys/module/nvfs/parameters/{counted}"
    guest.run(f"echo 1 >{switch}", check=True)
    guest.settle()
    run_cases(guest, [case for case in COUNTED_CASES if case not in ROAMING],
              take)
    guest.check_settled()
    for case in COUNTED_CASES:
        if case in ROAMING:
            guest.settle()
            run_cases(guest, [case], take)
    guest.run(f"echo 0 >{switch}", check=True)


def measure(name):
    """Boot a kernel and measure everything."""
    kernel = Kernel(name)

    def take(line, counted=""):
        print(f"{name}: {line}{' with ' + counted if counted else ''}",
              flush=True)
        kernel.feed(line, counted)

    with machine(name) as guest:
        kernel.release = guest.run("uname -rv", check=True).out.strip()
        cases = [case for case in OTHERS + tuple(b[0] for b in BUDGETS)
                 if case not in ROAMING]
        run_cases(guest, cases, take)
        guest.check_settled()
        for case in ROAMING:
            guest.settle()
            run_cases(guest, [case], take)
        for counted, _ in COUNTED:
            measure_counted(guest, counted,
                            lambda line, what=counted: take(line, what))
        splats = guest.splats()
    if splats:
        raise lab.LostVm(f"{name}: splats: {splats}")
    return kernel


def qemu_version():
    """The emulator's first line about itself."""
    done = subprocess.run(["qemu-system-x86_64", "--version"], check=True,
                          capture_output=True, text=True)
    return done.stdout.splitlines()[0]


def main():
    """Measure, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", metavar="FILE", type=Path,
                        help="where the table goes")
    parser.add_argument("kernel", nargs="+")
    args = parser.parse_args()
    try:
        kernels = [measure(name) for name in args.kernel]
    except (lab.LostVm, lab.GuestError, lab.GuestTimeout) as err:
        print(f"bench-cost: {err}", file=sys.stderr)
        return 2
    text = document(kernels, qemu_version(), datetime.date.today())
    if args.write:
        args.write.write_text(text)
    else:
        print(text)
    broken = [line for kernel in kernels for line in kernel.broken()]
    for line in broken:
        print(f"bench-cost: {line}")
    budgets = len(BUDGETS) + len(COUNTED_CASES) * sum(
        most is not None for _, most in COUNTED)
    print(f"bench-cost: {len(broken)} of {budgets * len(kernels)} "
          "budgets do not hold" if broken else "bench-cost: all budgets hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
