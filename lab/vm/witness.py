# SPDX-License-Identifier: MIT
"""What the host can tell about a transfer from outside the guest.

It compares bytes in the file that is the GPU's memory, or in a drive's image,
with what they must be, and counts where the drive's DMA went.  An extent is
(offset in the object, offset in the medium, length), all in bytes.
"""

import re
from dataclasses import dataclass

CHUNK = 1 << 20
LBA = 512
POISON = 0xa5


class WitnessError(Exception):
    """What the guest says about its layout can't be understood."""


@dataclass
class Allocation:
    """One line of labgpu's history."""

    gpu: int
    addr: int
    size: int
    state: str
    extents: list


def parse_history(text):
    """Allocations of GPU memory from debugfs' labgpu/history, by address."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"(\d+) 0x([0-9a-f]+) 0x([0-9a-f]+) (\w+) "
                             r"extents=(\S*)", line)
        if not match:
            raise WitnessError(f"labgpu's history: {line!r}")
        extents, at = [], 0
        for part in match[5].split(","):
            offset, length = (int(number, 16) for number in part.split(":"))
            extents.append((at, offset, length))
            at += length
        found.append(Allocation(int(match[1]), int(match[2], 16),
                                int(match[3], 16), match[4], extents))
    return found


def parse_filefrag(text, start=0):
    """Extents from `filefrag -v -b512`.  start: first byte of the partition.
    Extents without a place or without data are refused."""
    extents = []
    for line in text.splitlines():
        match = re.match(r"\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:"
                         r"\s+(\d+):(.*)", line)
        if not match:
            continue
        for flag in ("unknown", "delalloc", "unwritten", "inline", "encoded"):
            if flag in match[4]:
                raise WitnessError(f"filefrag: {line.strip()}")
        logical, physical, length = (int(match[n]) * LBA for n in (1, 2, 3))
        extents.append((logical, physical + start, length))
    if not extents:
        raise WitnessError(f"filefrag shows no extents: {text!r}")
    return extents


def cut(extents, length):
    """The part of the extents that holds the first `length` bytes."""
    return [(at, medium, min(size, length - at))
            for at, medium, size in extents if at < length]


def difference(wanted, medium, extents, length):
    """Offset of the first byte of an object of `length` bytes that is not as
    in the file `wanted`, None when there is none.  The object lies in the
    extents of the file `medium`."""
    at = 0
    with open(wanted, "rb") as want, open(medium, "rb") as have:
        for logical, physical, size in cut(sorted(extents), length):
            if logical != at:
                return at  # a hole: those bytes are nowhere
            have.seek(physical)
            want.seek(at)
            end = at + size
            while at < end:
                count = min(CHUNK, end - at)
                a, b = want.read(count), have.read(count)
                if a != b or len(a) != count:
                    return at + next((i for i, (x, y) in enumerate(zip(a, b))
                                      if x != y), min(len(a), len(b)))
                at += count
    return None if at == length else at


def place(source, medium, extents, length):
    """Put the first bytes of the file `source` where an object lies in the
    extents of the file `medium`."""
    with open(source, "rb") as data, open(medium, "r+b") as dest:
        for logical, physical, size in cut(extents, length):
            data.seek(logical)
            dest.seek(physical)
            for at in range(0, size, CHUNK):
                dest.write(data.read(min(CHUNK, size - at)))


def poison(path, size):
    """Fill GPU memory with a pattern that no test's data has."""
    block = bytes([POISON]) * CHUNK
    with open(path, "r+b") as memory:
        for _ in range(0, size, CHUNK):
            memory.write(block)


def untouched(path):
    """Whether GPU memory holds nothing but poison, or zeroes that its driver
    put there."""
    with open(path, "rb") as memory:
        while chunk := memory.read(CHUNK):
            if chunk.count(POISON) + chunk.count(0) != len(chunk):
                return False
    return True


@dataclass
class Dma:
    """Bytes of payload that a drive moved, by where they went or came from."""

    in_bar: int = 0
    elsewhere: int = 0
    ragged: int = 0  # commands whose DMA is not as long as they say
    commands: int = 0


def payload_dma(commands, drive, write, extents, gpu):
    """Count the DMA of a drive's commands that touch the extents of its
    medium; commands elsewhere (journal, metadata) carry no payload.

    drive: has .nsid; gpu: has .bar and .size
    """
    ranges = [(physical, physical + size) for _, physical, size in extents]
    count = Dma()
    for cmd in commands:
        first, last = cmd.lba * LBA, (cmd.lba + cmd.nlb) * LBA
        if cmd.nsid != drive.nsid or cmd.write != write:
            continue
        if not any(first < end and last > begin for begin, end in ranges):
            continue
        count.commands += 1
        count.ragged += cmd.dma_bytes != last - first
        for addr, length in cmd.dma:
            if gpu.bar <= addr and addr + length <= gpu.bar + gpu.size:
                count.in_bar += length
            else:
                count.elsewhere += length
    return count
