#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast files get to a GPU without the module, as a table.

    bench/throughput.py [--write FILE] [--from JSON --machine TEXT]
                        [--clean JSON] [--beside PROCESSES:JSON]... [ARGS...]

Runs build/bench/throughput with ARGS; and, for tables of their own, with writes of what
the drive was given just before (-d), and beside busy processes, as many as half of the
CPUs and as all (-b PROCESSES); or takes what earlier runs printed (--from, --clean,
--beside), which may have been on another machine (--machine).  What was measured several
times is told by its median.  Prints the tables, or writes them to FILE.  Exit status:
that of the program, of the run that failed if one did.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "build" / "bench" / "throughput"
SIZES = {4096: "4 KiB", 65536: "64 KiB", 1 << 20: "1 MiB", 16 << 20: "16 MiB"}
#: Of what the drive was given just before, and beside busy processes; after ARGS, so
#: these count.
CLEAN = ["-q", "-w", "-d", "-s", str(1 << 30), "-t", "0.1", "-N", "5"]
BESIDE = ["-q", "-r", "-s", str(1 << 30), "-t", "0.1", "-N", "5"]
#: What is asked for: times libcufile, by threads and size.
WANTED = {
    1: {4096: 1.5, 65536: 2, 1 << 20: 3, 16 << 20: 2.5},
    4: {4096: 1.5, 65536: 2, 1 << 20: 1.5, 16 << 20: 1.5},
    16: {4096: 1.5, 65536: 2, 1 << 20: 1.4, 16 << 20: 2.4},
}
#: And of the ceiling, by this many threads and from this size on.
WANTED_OF_CEILING, CEILING_THREADS, CEILING_SIZE = 0.9, 4, 1 << 20
TIMES = ["open", "register", "first", "close"]
NAMES = {
    "open": "open the library and a file",
    "register": "register 4 GiB",
    "first": "first read, 4 KiB",
    "close": "close",
    "batch": "batch of 128 x 4 KiB, scattered in the file",
    "batch-scattered": "the same, scattered in GPU memory too",
}


def parse(text):
    """{(side, what, threads, bytes): median} of the program's lines, and how
    often most was measured."""
    found = {}
    for line in text.splitlines():
        row = json.loads(line)
        key = (row["side"], row["what"], row["threads"], row["bytes"])
        found.setdefault(key, []).append(row["value"])
    return ({key: statistics.median(values) for key, values in found.items()},
            max(map(len, found.values()), default=0))


def number(value):
    return "-" if value is None else f"{value:.3g}"


def ratio(ours, theirs):
    return f"{ours / theirs:.2f}x" if ours and theirs else "-"


def cell(found, what, threads, size, aims):
    ours = found.get(("nvfs", what, threads, size))
    theirs = found.get(("libcufile", what, threads, size))
    text = f"{number(ours)} / {number(theirs)}, {ratio(ours, theirs)}"
    if not aims:
        return text
    wanted = WANTED[threads][size]
    if ours and theirs and ours < wanted * theirs:
        text += f" (wanted: {wanted}x)"
    top = max((value for key, value in found.items()
               if key[:2] == ("ring", what)), default=None)
    if what == "read" and ours and top and threads >= CEILING_THREADS and \
            size >= CEILING_SIZE:
        text += f", {ours / top:.2f} of the ceiling"
        if ours < WANTED_OF_CEILING * top:
            text += f" (wanted: {WANTED_OF_CEILING})"
    return text


def rates(found, what, aims=False):
    """Lines of one table: GB/s by threads and size; aims: beside what is wanted."""
    lines = ["| threads | " + " | ".join(SIZES.values()) + " |",
             "|---" * (len(SIZES) + 1) + "|"]
    for threads in WANTED:
        cells = [cell(found, what, threads, size, aims) for size in SIZES]
        lines.append(f"| {threads} | " + " | ".join(cells) + " |")
    ring = {k: v for k, v in found.items() if k[0] == "ring" and k[1] == what}
    if ring:
        best = max(ring, key=ring.get)
        name = "Ceiling" if what == "read" else "Ring, by write(2)"
        lines += ["", f"{name}: {ring[best]:.3g} GB/s ({best[2]} threads, "
                  f"pieces of {best[3] >> 20} MiB)."]
    return lines


def table(found, names, unit):
    times = unit == "GB/s"
    lines = [f"| {unit} | nvfs | libcufile |" + " |" * times,
             "|---|---|---|" + "---|" * times]
    for what in names:
        sides = [next((v for k, v in found.items() if k[:2] == (side, what)),
                      None) for side in ("nvfs", "libcufile")]
        lines.append(f"| {NAMES[what]} | {number(sides[0])} | "
                     f"{number(sides[1])} |"
                     + f" {ratio(*sides)} |" * times)
    return lines


def render(found, rounds, machine, date):
    lines = ["# How fast a file gets to a GPU without the module", "",
             "Made by `make bench-throughput` (`bench/throughput.py`): "
             f"{date}, {machine}.",
             "A file of 4 GiB, page cache warm, one registered device buffer; "
             "our libcufile.so.0 (nvfs), that",
             "of NVIDIA that is installed there, and a ring of pinned buffers as the "
             "ceiling, cell by cell in turns; medians of "
             f"{rounds}, but for opening and closing.", "",
             "## Reads", "nvfs / libcufile in GB/s, and how many times; what the project set itself ('wanted'), where that is missed.",
             "Of a file that is read again and again, as from the second time on it is read "
             "in another way.", ""]
    lines += rates(found, "read", True)
    lines += ["", "## Writes", "Of a file that is written again and again: dirty in the page cache, as each library "
              "has written", "all of it a moment before. What is new is a tie.", ""]
    lines += rates(found, "write", True)
    lines += ["", "## Batches", ""] + table(found, ["batch", "batch-scattered"],
                                            "GB/s")
    lines += ["", "## Opening and closing", ""] + table(found, TIMES, "ms")
    return "\n".join(lines) + "\n"


def render_clean(found, rounds):
    """Lines about writes of a file that is clean in the page cache."""
    return "\n".join(
        ["", "## Writes of what the drive was given just before", "",
         "In the page cache, and clean: fsync(2) before each, which ends when all is "
         f"written once. Medians of {rounds}.", ""] + rates(found, "write-clean", True)) + "\n"


def render_beside(processes, found, rounds):
    """Lines about a run beside so many that want CPUs, too."""
    return "\n".join(
        ["", f"## Reads beside {processes} processes that never wait", "",
         f"Medians of {rounds}.", ""] + rates(found, "read") + [""] +
        table(found, ["batch", "batch-scattered"], "GB/s")) + "\n"


def keep_notes(path):
    """What people wrote below the tables stays."""
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    at = text.find("\n## Notes")
    return text[at:] if at >= 0 else ""


def run(args):
    """What the program prints, and its exit status."""
    ran = subprocess.run([str(PROGRAM), *args], stdout=subprocess.PIPE,
                         text=True, check=False)
    return ran.stdout, ran.returncode


def run_all(args):
    """The same, what it prints of clean files, and by number of busy processes what
    beside them."""
    text, status = run(args)
    clean, beside = "", {}
    cpus = os.cpu_count() or 1
    # As far as those go with what was asked for.
    if text and not {"-r", "-o"} & set(args):
        clean, failed = run([*args, *CLEAN])
        status = status or failed
    for processes in (cpus // 2, cpus) if text and "-w" not in args else ():
        beside[processes], failed = run([*args, *BESIDE, "-b", str(processes)])
        status = status or failed
    return text, status, clean, beside


def read_all(source, clean, named):
    """What earlier runs printed: that one, one of clean files, and PROCESSES:JSON of
    others."""
    beside = {}
    for name in named:
        processes, _, path = name.partition(":")
        beside[processes] = Path(path).read_text(encoding="utf-8")
    return (source.read_text(encoding="utf-8"), 0,
            clean.read_text(encoding="utf-8") if clean else "", beside)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--beside", action="append", default=[])
    parser.add_argument("--machine", default=platform.processor() or "?")
    parser.add_argument("--date", default=str(datetime.date.today()))
    options, rest = parser.parse_known_args()
    if (options.beside or options.clean) and not options.source:
        parser.error("--beside and --clean go with --from")
    text, status, clean, beside = (
        read_all(options.source, options.clean, options.beside)
        if options.source else run_all(rest))
    if not text:
        return status or 1
    result = render(*parse(text), options.machine, options.date)
    if clean:
        result += render_clean(*parse(clean))
    for processes, printed in beside.items():
        result += render_beside(processes, *parse(printed))
    if options.write:
        notes = keep_notes(options.write)
        options.write.write_text(result + notes, encoding="utf-8")
    else:
        print(result, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
