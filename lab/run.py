#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives write into GPU memory and read from it, with proof: make run.

Random data is put on ext4, xfs and a raw device in a lab guest.  `nvfs cp`
moves it into GPU memory; then the host puts other data there, and `nvfs cp`
moves that to a second place.  The host compares the file that is the GPU's
memory, and the drive's image, with what must be there, and looks in QEMU's
trace at the address of every DMA that carried it.
"""

import argparse
import json
import re
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "vm"))

# pylint: disable=wrong-import-position
import vm as lab  # noqa: E402
import witness  # noqa: E402

MIB = 1 << 20
BEGAN = time.monotonic()


def say(text):
    """One line of progress."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


@dataclass
class Row:
    """One line of the table.  problems: empty when all is as it must be."""

    path: str
    direction: str
    size: int
    seconds: float = 0.0
    route: str = "-"
    dma: witness.Dma = field(default_factory=witness.Dma)
    expected: str = "direct"
    problems: list = field(default_factory=list)

    def cells(self):
        """The columns as text."""
        rate = self.size / self.seconds / MIB if self.seconds else 0
        moved = self.expected == "direct"
        verdict = "ok" if moved else f"ok: refused, {self.expected}"
        return (self.path, self.direction, f"{self.size / MIB:.0f} MiB",
                f"{self.seconds:.2f} s" if moved else "-",
                f"{rate:.0f} MiB/s" if moved else "-", self.route,
                f"{self.dma.in_bar} / {self.dma.elsewhere}",
                "FAIL: " + "; ".join(self.problems) if self.problems
                else verdict)


HEADINGS = ("path", "direction", "size", "time", "rate", "route",
            "DMA bytes in BAR / in RAM", "verdict")


def table(rows):
    """The rows as text."""
    lines = [HEADINGS] + [row.cells() for row in rows]
    widths = [max(len(line[n]) for line in lines)
              for n in range(len(HEADINGS))]
    widths[-1] = len(HEADINGS[-1])
    text = ["  ".join(cell.ljust(width)
                      for cell, width in zip(line, widths)).rstrip()
            for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(text)


@dataclass
class Place:
    """Where data lies in the guest: a file or a range of a device."""

    label: str
    drive: lab.Drive
    path: str
    offset: int = 0
    start: int = 0  # first byte of the partition on the drive
    raw: bool = False


class Scene:
    """One machine, and the transfers in it."""

    def __init__(self, machine, data, size, preload):
        self.vm, self.size = machine, size
        self.data, self.back = data  # what is read, what is written back
        self.limit = 120 + size // MIB
        build = shlex.quote(str(lab.BUILD))
        preload = f"LD_PRELOAD={shlex.quote(str(preload))} " if preload else ""
        self.nvfs = (f"LD_LIBRARY_PATH={build}/lab {preload}"
                     f"{build}/tools/nvfs")
        self.rows = []

    def sh(self, command):
        """Run a command that must succeed."""
        return self.vm.run(command, timeout=self.limit, check=True).out

    # -- places ----------------------------------------------------------------

    def split(self, drive, size):
        """Cut a drive into parts of `size` bytes; their nodes and starts."""
        parts = []
        for n in range(1, drive.size // size + 1):
            start = MIB + (n - 1) * size
            if start + size > drive.size:
                break
            self.sh(f"addpart {drive.dev} {n} {start // 512} {size // 512}")
            parts.append((f"{drive.dev}p{n}", start))
        return parts

    def file_system(self, kind, drive, node, start):
        """Make and mount a file system; the places of two files in it."""
        name = f"{kind} {drive.name}"
        say(f"{name}: mkfs, and {self.size // MIB} MiB of random data")
        where = f"/run/{drive.name}-{kind}"
        quiet = {"ext4": "-q -F", "xfs": "-q -f"}[kind]
        self.sh(f"mkfs.{kind} {quiet} {node} && mkdir -p {where} && "
                f"mount -t {kind} {node} {where}")
        places = [Place(name, drive, f"{where}/{file}", start=start)
                  for file in ("in", "out")]
        self.fill(places[0])
        return places

    def raw(self, drive, node, start):
        """The places of two ranges on a device."""
        say(f"raw {drive.name}: {self.size // MIB} MiB of random data")
        places = [Place(f"raw {drive.name}", drive, node, n * self.size,
                        start, True) for n in (0, 1)]
        self.fill(places[0])
        return places

    def fill(self, place):
        """Put the data there, past the page cache.  It comes from a drive of
        its own, because an emulated CPU takes long to touch every byte."""
        source = self.vm.drives["vblk0"].dev
        self.sh(f"dd if={source} of={place.path} bs=4M iflag=direct "
                "oflag=direct conv=fsync,notrunc status=none && "
                "echo 3 >/proc/sys/vm/drop_caches")

    def extents(self, place):
        """Where the bytes are on the drive."""
        if place.raw:
            return [(0, place.start + place.offset, self.size)]
        out = self.sh(f"filefrag -s -v -b512 {place.path}")
        return witness.cut(witness.parse_filefrag(out, place.start),
                           self.size)

    # -- transfers ---------------------------------------------------------------

    def copy(self, row, words):
        """Run nvfs cp; what it reports, and its commands in the trace."""
        since = self.vm.trace.mark()
        result = self.vm.run(f"{self.nvfs} cp --json {words}",
                             timeout=self.limit)
        commands = self.vm.trace.commands(since)
        report = {}
        for line in result.out.splitlines():
            if line.startswith("{"):
                report = json.loads(line)
        if not report:
            raise lab.GuestError("nvfs cp " + words, result)
        row.seconds, row.route = report["seconds"], report["route"]
        if row.expected == "direct" and (result.rc or report["error"]):
            row.problems.append(f"{report['error']}: {report['message']}")
        if row.expected == "direct" and report["bytes"] != self.size:
            row.problems.append(f"reports {report['bytes']} bytes")
        return report, commands

    def judge_dma(self, row, commands, place, write, gpu):
        """Where did the payload go?"""
        row.dma = witness.payload_dma(commands, place.drive, write,
                                      self.extents(place), gpu)
        if row.route != "direct":
            row.problems.append(f"route is {row.route}")
        if row.dma.elsewhere:
            row.problems.append(f"{row.dma.elsewhere} payload bytes were "
                                "moved outside the GPU's BAR")
        if row.dma.in_bar != self.size:
            row.problems.append(f"{row.dma.in_bar} payload bytes went "
                                "through the GPU's BAR")
        if row.dma.ragged:
            row.problems.append(f"{row.dma.ragged} commands with too much or "
                                "too little DMA")

    def begin(self, label, gpu, direction, expected="direct"):
        """A new row."""
        row = Row(f"{label} - {self.way(label, gpu)} - gpu{gpu}", direction,
                  self.size, expected=expected)
        self.rows.append(row)
        say(f"{row.path}: {direction}")
        return row

    def way(self, label, gpu):
        """What lies between drive and GPU."""
        if label.endswith("nvme0") and gpu == 0:
            return "switch"
        return f"host bridge ({self.vm.cpu})"

    @staticmethod
    def judge_bytes(row, at, where):
        """Put a difference into words."""
        if at is not None:
            row.problems.append(f"{where} differs from the data at byte {at}")

    def read(self, place, number):
        """File to GPU memory; whether something is held there now.  If so, the
        host puts other data there, so that a write proves itself."""
        row = self.begin(place.label, number, "read")
        gpu = self.vm.gpus[number]
        witness.poison(gpu.path, gpu.size)
        words = f"--hold {self.range(place)} {place.path} gpu:{number}"
        report, commands = self.copy(row, words)
        if report["error"]:
            return False
        held = self.held(number, int(report["gpu_addr"], 16))
        self.judge_bytes(row, witness.difference(
            self.data, gpu.path, held, self.size), "GPU memory")
        self.judge_dma(row, commands, place, False, gpu)
        witness.place(self.back, gpu.path, held, self.size)
        return True

    def held(self, number, addr):
        """Where the GPU memory at an address is in the GPU."""
        history = witness.parse_history(
            self.sh("cat /sys/kernel/debug/labgpu/history"))
        for found in history:
            if (found.gpu, found.addr, found.state) == (number, addr, "live"):
                return found.extents
        raise witness.WitnessError(f"gpu{number} has no live memory at "
                                   f"{addr:#x}")

    def write(self, place, number):
        """Held GPU memory to a new file, or another range; then free it."""
        row = self.begin(place.label, number, "write")
        words = f"{self.range(place)} gpu:{number} {place.path}"
        report, commands = self.copy(row, words)
        self.sh(f"{self.nvfs} free --quiet gpu:{number}; sync")
        if report["error"]:
            return
        if not place.raw:
            length = int(self.sh(f"stat -c %s {place.path}"))
            if length != self.size:
                row.problems.append(f"the file has {length} bytes")
        self.judge_bytes(row, witness.difference(
            self.back, place.drive.path, self.extents(place), self.size),
            "the drive")
        self.judge_dma(row, commands, place, True, self.vm.gpus[number])

    def range(self, place):
        """The words that name a range of a device."""
        if not place.raw:
            return ""
        return f"--offset {place.offset} --size {self.size}"

    def both(self, places, number):
        """From the first place into the GPU, from there to the second."""
        if self.read(places[0], number):
            self.write(places[1], number)

    def refused(self, place, number, reason):
        """A transfer that must not happen, for that reason."""
        row = self.begin(place.label, number, "read", reason)
        gpu = self.vm.gpus[number]
        witness.poison(gpu.path, gpu.size)
        report, commands = self.copy(
            row, f"{self.range(place)} {place.path} gpu:{number}")
        row.dma = witness.payload_dma(commands, place.drive, False,
                                      self.extents(place), gpu)
        row.route = "none" if report["error"] else row.route
        if report["error"] != "EREMOTEIO" or report["reason"] != reason:
            row.problems.append(f"error {report['error']}, reason "
                                f"{report['reason']} instead of {reason}")
        if report["bytes"] or row.dma.in_bar or row.dma.elsewhere:
            row.problems.append("bytes were moved")
        if not witness.untouched(gpu.path):
            row.problems.append("GPU memory was written")

    def end(self):
        """A kernel splat fails the machine's last row."""
        for line in self.vm.splats():
            self.rows[-1].problems.append(f"kernel splat: {line}")


def below_switch(scene):
    """ext4, xfs and raw on the drive that shares a switch with gpu0, and the
    refusal of a path through a host bridge that is not known to forward."""
    drive = scene.vm.drives["nvme0"]
    parts = scene.split(drive, part_size(scene.size))
    scene.both(scene.file_system("ext4", drive, *parts[0]), 0)
    scene.both(scene.file_system("xfs", drive, *parts[1]), 0)
    scene.both(scene.raw(drive, *parts[2]), 0)
    far = scene.vm.drives["nvme1"]
    scene.refused(scene.file_system("ext4", far, far.dev, 0)[0], 0,
                  "host-bridge")


def through_bridge(scene):
    """From drive to GPU and back through a host bridge known to forward."""
    far, near = scene.vm.drives["nvme1"], scene.vm.drives["nvme0"]
    scene.both(scene.file_system("ext4", far, far.dev, 0), 0)
    scene.both(scene.raw(near, near.dev, 0), 1)


def part_size(size):
    """Bytes of a part that takes two copies and a file system's own needs."""
    return (2 * size + max(size // 4, 512 * MIB)) // MIB * MIB


def gpu_size(size):
    """Bytes of GPU memory: a power of two with room beside the data."""
    wanted, power = size + 16 * MIB, 64 * MIB
    while power < wanted:
        power *= 2
    return power


def play(args, data, cpu, plan, drives):
    """Boot one machine and run a plan in it; the rows.  drives: sizes of
    those beside the one that brings the data."""
    broken, preload = args.broken, None
    labgpu = True
    if broken == "wrong-page":
        labgpu = "break_table=1"
    elif broken:
        preload = lab.BUILD / f"tests/breaks/{broken}.so"
        if not preload.exists():
            raise lab.LostVm(f"{preload} is missing")
    say(f"booting Linux {args.kernel} with -cpu {cpu}")
    scene = None
    try:
        with lab.Vm(args.kernel, cpu=cpu, labgpu=labgpu,
                    drives={**drives, "vblk0": data[0]},
                    gpu_mem=gpu_size(args.size)) as machine:
            say(f"the guest answered after {machine.boot_seconds:.1f} s")
            scene = Scene(machine, data, args.size, preload)
            plan(scene)
            scene.end()
    except (lab.LostVm, lab.GuestTimeout, lab.GuestError,
            witness.WitnessError) as err:
        say(f"{type(err).__name__}: {err}")
        rows = scene.rows if scene else []
        first = str(err).splitlines()[0]
        if not rows or rows[-1].seconds:
            rows.append(Row(f"-cpu {cpu}", "-", args.size))
        rows[-1].problems.append(f"{type(err).__name__}: {first}")
        return rows
    return scene.rows


def size_argument(text):
    """A size that all paths can move: whole MiB."""
    size = lab.parse_size(text)
    if size < MIB or size % MIB:
        raise argparse.ArgumentTypeError("the size must be whole MiB")
    return size


def make_data(path, size):
    """Random bytes, made by the host."""
    say(f"making {size // MIB} MiB of random data")
    with open("/dev/urandom", "rb") as random, open(path, "wb") as data:
        for _ in range(size // MIB):
            data.write(random.read(MIB))


def main():
    """Exit status: 0 when every row of the table is right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--size", type=size_argument, default="256M")
    parser.add_argument("--break", dest="broken", metavar="NAME",
                        help="break it on purpose; the run must then fail")
    args = parser.parse_args()
    if args.broken and not re.fullmatch(r"[a-z-]+", args.broken):
        parser.error(f"no such break: {args.broken}")
    part = part_size(args.size)
    (lab.BUILD / "vm").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lab.BUILD / "vm") as workdir:
        data = Path(workdir, "data"), Path(workdir, "back")
        for path in data:
            make_data(path, args.size)
        rows = play(args, data, "max", below_switch,
                    {"nvme0": 3 * part + 2 * MIB, "nvme1": part})
        rows += play(args, data, "EPYC", through_bridge,
                     {"nvme0": 2 * args.size + MIB, "nvme1": part})
    failed = sum(bool(row.problems) for row in rows)
    print(f"\n{table(rows)}\n")
    say(f"{len(rows) - failed} of {len(rows)} rows are right"
        + (f" (with the deliberate break {args.broken})" if args.broken
           else ""))
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
