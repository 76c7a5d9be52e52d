# SPDX-License-Identifier: MIT
"""Tests whose judge stands outside the guest.

The bytes are compared by the host, in the file that is the GPU's memory and in
the image that is the drive. The route is judged by QEMU's trace: each address
to which the drive's DMA engine went for the file's blocks has to be the very
place in the GPU's BAR at which that byte of the file belongs.
"""

import os
import shlex
import time
from dataclasses import dataclass

from guest import TOP, lab
import witness as layout  # lab/vm

EREMOTEIO = 121
DIRECT, BOUNCE, MIXED = 1, 2, 3
ALIGN = 11
HOST_BRIDGE = 9
STATE = "/run/nvfs-test"
XFER = TOP / "build/tests/helpers/xfer"
MANY = TOP / "build/tests/helpers/many"
KIB, MIB, BLOCK = 1 << 10, 1 << 20, 4096
ANSWER_LIMIT_S = 30
MANY_LIMIT_S = 240


class Wrong(Exception):
    """What a witness saw is not as it should be."""


@dataclass
class Extent:
    """`length` bytes of a range at `start` are at `place` of what holds it."""

    start: int
    place: int
    length: int


def place_of(extents, offset):
    """Where the byte at offset is, and how many bytes follow it there."""
    for e in extents:
        if e.start <= offset < e.start + e.length:
            skip = offset - e.start
            return e.place + skip, e.length - skip
    raise Wrong(f"offset {offset:#x} is nowhere")


def offset_of(extents, place):
    """The offset of the byte at place, or None."""
    for e in extents:
        if e.place <= place < e.place + e.length:
            return e.start + place - e.place
    return None


def pieces(extents, offset, length):
    """(place, length) of each run of a range."""
    while length:
        place, run = place_of(extents, offset)
        run = min(run, length)
        yield place, run
        offset += run
        length -= run


def read_at(path, extents, offset, length):
    """Bytes of a range from the file that holds it."""
    with open(path, "rb") as holder:
        parts = []
        for place, run in pieces(extents, offset, length):
            holder.seek(place)
            parts.append(holder.read(run))
    return b"".join(parts)


def write_at(path, extents, offset, data):
    """Put bytes of a range into the file that holds it."""
    with open(path, "r+b") as holder:
        at = 0
        for place, run in pieces(extents, offset, len(data)):
            holder.seek(place)
            holder.write(data[at:at + run])
            at += run


def difference(got, want):
    """None, or where two equally long byte strings differ."""
    if got == want:
        return None
    if len(got) != len(want):
        return f"{len(got)} bytes, not {len(want)}"
    first = next(i for i, (a, b) in enumerate(zip(got, want)) if a != b)
    return f"first difference at {first:#x}"


def touching(commands, disk, length, gpu):
    """Those commands that name one of a file's first `length` bytes, or that
    moved anything by the GPU's BAR.

    Where the file is a whole drive, its file systems write at their own time
    to other places of it.
    """
    def named(command):
        places = (offset_of(disk, (command.lba + i) * 512)
                  for i in range(command.nlb))
        return any(at is not None and at < length for at in places)

    def by_bar(command):
        return any(gpu.bar < address + size and address < gpu.bar + gpu.size
                   for address, size in command.dma)

    return [c for c in commands if named(c) or by_bar(c)]


def judge_dma(commands, disk, memory, move):
    """Demand that commands moved a file's range by the right addresses.

    commands: what the drive was told, from QEMU's trace
    disk: Extents of the file on the drive; memory: of the region in bus
    addresses; move: a Move. Returns the number of bytes judged.
    """
    total = 0
    for command in commands:
        offset = offset_of(disk, command.lba * 512)
        if offset is None or command.write != move.write:
            continue
        if not (move.file_offset <= offset
                < move.file_offset + move.length):
            continue
        at = offset - move.file_offset + move.region_offset
        for address, length in command.dma:
            for want, run in pieces(memory, at, length):
                if address != want:
                    raise Wrong(f"DMA at {address:#x} for byte {at:#x} of "
                                f"the region, which is at {want:#x}")
                address += run
                at += run
            total += length
    if total != move.length:
        raise Wrong(f"the drive's DMA moved {total} bytes by the GPU's BAR, "
                    f"not {move.length}")
    return total


@dataclass
class Move:
    """One request."""

    path: str
    write: bool
    file_offset: int
    region_offset: int
    length: int
    bounce: bool = False


class Hand:
    """The helper in the guest that allocates, reads and writes on request."""

    def __init__(self, machine):
        self.vm = machine
        self.inbox, self.outbox = f"{STATE}/in", f"{STATE}/out"
        self.extents = []
        top = shlex.quote(str(TOP))
        machine.run(f"sh {top}/tests/selftests/setup.sh && "
                    f"rm -f {self.inbox} {self.outbox} && "
                    f"mkfifo {self.inbox} {self.outbox} && "
                    f"XFER_IN={self.inbox} XFER_OUT={self.outbox} "
                    f"setsid {shlex.quote(str(XFER))} >{STATE}/xfer.log 2>&1 "
                    "</dev/null &", timeout=60, check=True)

    def ask(self, text):
        """One command; the words of its answer."""
        try:
            # The pipe is there once the set-up behind it has ended.
            said = self.vm.run(
                f"until [ -p {self.outbox} ]; do sleep 0.05; done; "
                f"echo {shlex.quote(text)} >{self.inbox} && "
                f"read -r line <{self.outbox} && echo \"$line\"",
                ANSWER_LIMIT_S)
        except lab.GuestTimeout as err:
            log = self.vm.run(f"cat {STATE}/xfer.log").out
            raise Wrong(f"no answer to {text!r}: {log}") from err
        return said.out.split() or ["(nothing)"]

    def alloc(self, gpu, size, scatter):
        """A region of GPU memory; remembers where it is."""
        words = self.ask(f"alloc {gpu} {size} {int(scatter)}")
        if words[0] != "ok":
            raise Wrong(f"alloc: {words}")
        listing = self.vm.run("cat /sys/kernel/debug/labgpu/history",
                              check=True).out
        self.extents = [
            Extent(*extent) for one in layout.parse_history(listing)
            if one.gpu == gpu and one.addr == int(words[1], 16)
            and one.state == "live" for extent in one.extents]
        if not self.extents:
            raise Wrong(f"the GPU's driver does not list {words[1]}")

    def memory(self, gpu):
        """The region's place as devices see it."""
        bar = self.vm.gpus[gpu].bar
        return [Extent(e.start, bar + e.place, e.length)
                for e in self.extents]

    def disk_extents(self, path):
        """Where a file's bytes are on its drive."""
        words = self.ask(f"extents {path}")
        if words[0] != "ok":
            raise Wrong(f"extents: {words}")
        return [Extent(*(int(n) for n in word.split(":")))
                for word in words[1:]]

    def move(self, move):
        """Do a request; its answer as [word, number...]."""
        words = self.ask(f"{'b' if move.bounce else ''}"
                         f"{'write' if move.write else 'read'} {move.path} "
                         f"{move.file_offset} {move.region_offset} "
                         f"{move.length}")
        return [words[0], *(int(word) for word in words[1:])]

    def counters(self):
        """What the module has counted: direct and bounced bytes."""
        lines = self.vm.run("cat /proc/nvfs/io_stats", check=True).out
        count = dict(line.split()[:2] for line in lines.splitlines())
        return {kind: sum(int(count[f"{way}_{kind}_bytes"])
                          for way in ("read", "write"))
                for kind in ("direct", "bounce")}

    def quit(self):
        """End the helper, and all that it holds."""
        self.ask("quit")


class Witness:
    """The witness tests on one machine."""

    def __init__(self, session):
        self.session = session
        self.vm = session.vm()
        self.hand = Hand(self.vm)
        self.gpu = 0
        self.drive = "nvme0"

    def put_file(self, path, data):
        """Give a file or device in the guest these bytes, on the drive."""
        source = self.vm.share / "data"
        source.write_bytes(data)
        self.vm.run(f"dd if={shlex.quote(str(source))} of={path} bs=1M "
                    "conv=notrunc,fsync status=none", check=True)

    def region(self, size, scatter):
        """GPU memory full of poison, put there by the host."""
        size = -(-size // BLOCK) * BLOCK
        self.hand.alloc(self.gpu, size, scatter)
        write_at(self.vm.gpus[self.gpu].path, self.hand.extents, 0,
                 b"\xee" * size)

    def gpu_bytes(self, offset, length):
        """Bytes of the region, as the host sees them."""
        return read_at(self.vm.gpus[self.gpu].path, self.hand.extents,
                       offset, length)

    def judge(self, move, answer, mark, disk):
        """The module's word and QEMU's about a request that went direct."""
        if answer != ["ok", move.length, DIRECT, 0]:
            raise Wrong(f"the module answered {answer}")
        drive = self.vm.drives[self.drive]
        mine = [c for c in self.vm.trace.commands(mark)
                if c.nsid == drive.nsid]
        judge_dma(mine, disk, self.hand.memory(self.gpu), move)

    def seen(self, mark, write):
        """Bytes of DMA in the GPU's BAR, and elsewhere, since the mark."""
        drive, gpu = self.vm.drives[self.drive], self.vm.gpus[self.gpu]
        inside = outside = 0
        for command in self.vm.trace.commands(mark):
            if command.nsid != drive.nsid or command.write != write:
                continue
            for address, length in command.dma:
                if gpu.bar <= address < gpu.bar + gpu.size:
                    inside += length
                else:
                    outside += length
        return inside, outside

    def bounced(self, path, write, route, reason, move, direct):
        """What can't go direct is not in the BAR; all say the same of it."""
        length = move.length
        data = os.urandom(length)
        old = os.urandom(move.file_offset + length)
        self.put_file(path, old)
        self.region(move.region_offset + length, False)
        if write:
            write_at(self.vm.gpus[self.gpu].path, self.hand.extents,
                     move.region_offset, data)
        disk = self.hand.disk_extents(path)
        before, mark = self.hand.counters(), self.vm.trace.mark()
        answer = self.hand.move(move)
        after = self.hand.counters()
        if answer != ["ok", length, route, reason]:
            raise Wrong(f"the module answered {answer}")
        if write:
            image = self.vm.drives[self.drive].path
            wrong = difference(read_at(image, disk, 0, len(old)),
                               old[:move.file_offset] + data)
        else:
            wrong = difference(self.gpu_bytes(move.region_offset, length),
                               old[move.file_offset:])
        if wrong:
            raise Wrong(wrong)
        inside, outside = self.seen(mark, write)
        counted = {kind: after[kind] - before[kind] for kind in after}
        if inside != direct or counted["direct"] != direct:
            raise Wrong(f"{inside} bytes of DMA in the BAR, {counted} counted, "
                        f"not {direct} direct")
        if counted["bounce"] != length - direct or outside < length - direct:
            raise Wrong(f"{outside} bytes of DMA elsewhere, {counted} counted")

    def moved_for(self, mark, disk):
        """Bytes of DMA for a file's blocks since the mark: [read in the BAR,
        read in RAM, written from the BAR, written from RAM]."""
        drive, gpu = self.vm.drives[self.drive], self.vm.gpus[self.gpu]
        moved = [0] * 4
        for command in self.vm.trace.commands(mark):
            if command.nsid != drive.nsid \
                    or offset_of(disk, command.lba * 512) is None:
                continue
            for address, length in command.dma:
                inside = gpu.bar <= address < gpu.bar + gpu.size
                moved[2 * command.write + (not inside)] += length
        return moved

    def ten_thousand(self):
        """All who count 10,000 known requests: the module's files and events
        against what is known are the helper's; the drive's DMA is ours."""
        self.region(BLOCK, False)  # the helper of the others is up
        go = self.vm.share / "go"
        mark, wanted, said = None, {}, []

        def take(line):
            nonlocal mark
            said.append(line)
            if line == "# ready":
                mark = self.vm.trace.mark()
                go.touch()
            elif line.startswith("# dma "):
                name, *numbers = line.split()[2:]
                wanted[name] = [int(n) for n in numbers]

        code = self.vm.stream(f"MANY_DIR={STATE}/ext4 MANY_GO={go} {MANY}",
                              take, MANY_LIMIT_S).rc
        go.unlink(missing_ok=True)
        if code or len(wanted) != 4:
            raise Wrong("; ".join(said)[-900:])
        for name, numbers in wanted.items():
            path = f"{STATE}/ext4/{name}"
            moved = self.moved_for(mark, self.hand.disk_extents(path))
            if name == "many-ragged-write":
                # the page cache reads and writes in pieces of its own
                for route in (1, 3):
                    if not moved[route]:
                        raise Wrong("parts of blocks took no host memory")
                    moved[route] = numbers[route]
            if moved != numbers:
                raise Wrong(f"{name}: DMA of {moved} bytes (read in the BAR "
                            f"and in RAM, written likewise), not {numbers}")
        self.vm.run(f"rm {STATE}/ext4/many-*", check=True)

    def bounced_cases(self):
        """Host memory: nothing of it in the BAR, and counted as such."""
        far = self.vm.drives["nvme1"].dev
        near = f"{STATE}/ext4/witness"
        for write in (False, True):
            word = "write" if write else "read"
            yield f"bounced_{word}", self._far(
                "nvme1", 0, lambda w=write: self.bounced(
                    far, w, BOUNCE, HOST_BRIDGE,
                    Move(far, w, 0, 0, MIB, True), 0))
            # 100 bytes, 64 KiB, 300 bytes
            yield f"mixed_{word}", lambda w=write: self.bounced(
                near, w, MIXED, ALIGN,
                Move(near, w, 412, 412, 400 + 64 * KIB, True), 64 * KIB)

    def read(self, path, scatter=False, length=2 * MIB, file_offset=0,
             region_offset=0):
        """READ: the GPU's memory holds the file, and came from the drive."""
        data = os.urandom(file_offset + length)
        self.put_file(path, data)
        size = region_offset + length + 64 * KIB
        self.region(size, scatter)
        move = Move(path, False, file_offset, region_offset, length)
        disk = self.hand.disk_extents(path)
        mark = self.vm.trace.mark()
        answer = self.hand.move(move)
        want = (b"\xee" * region_offset + data[file_offset:]
                + b"\xee" * 64 * KIB)
        wrong = difference(self.gpu_bytes(0, size), want)
        if wrong:
            raise Wrong(f"GPU memory: {wrong}")
        self.judge(move, answer, mark, disk)

    def write(self, path, scatter=False, length=2 * MIB, file_offset=0,
              region_offset=0):
        """WRITE: the image holds what the host put into the GPU's memory."""
        self.put_file(path, bytes(file_offset + length))
        data = os.urandom(length)
        self.region(region_offset + length, scatter)
        write_at(self.vm.gpus[self.gpu].path, self.hand.extents,
                 region_offset, data)
        move = Move(path, True, file_offset, region_offset, length)
        disk = self.hand.disk_extents(path)
        mark = self.vm.trace.mark()
        answer = self.hand.move(move)
        image = self.vm.drives[self.drive].path
        wrong = difference(read_at(image, disk, file_offset, length), data)
        if wrong:
            raise Wrong(f"the drive's image: {wrong}")
        self.judge(move, answer, mark, disk)

    def mapped(self, scatter=False, length=6 * MIB, region_offset=12 * KIB):
        """The CPU's mapping is the GPU's memory, as the host sees it."""
        size = region_offset + length + 4 * KIB
        self.region(size, scatter)
        source = self.vm.share / "data"
        for word in ("store", "load"):
            data = os.urandom(length)
            source.write_bytes(data)
            if word == "load":
                write_at(self.vm.gpus[self.gpu].path, self.hand.extents,
                         region_offset, data)
            answer = self.hand.ask(f"{word} {source} {region_offset} {length}")
            if answer != ["ok"]:
                raise Wrong(f"{word} through the mapping: {answer}")
            wrong = difference(self.gpu_bytes(0, size), b"\xee" * region_offset
                               + data + b"\xee" * 4 * KIB)
            if wrong:
                raise Wrong(f"GPU memory after {word}: {wrong}")

    def refused(self, path):
        """A way that is closed: the errno, the reason, and no DMA at all,
        but for what the drive's file systems do of their own."""
        data = os.urandom(64 * KIB)
        self.put_file(path, data)
        self.region(64 * KIB, False)
        disk = self.hand.disk_extents(path)
        mark = self.vm.trace.mark()
        for write in (False, True):
            answer = self.hand.move(Move(path, write, 0, 0, 64 * KIB))
            if answer != ["errno", EREMOTEIO, 0, 0, HOST_BRIDGE]:
                raise Wrong(f"the module answered {answer}")
        drive = self.vm.drives[self.drive]
        seen = touching([c for c in self.vm.trace.commands(mark)
                         if c.nsid == drive.nsid],
                        disk, len(data), self.vm.gpus[self.gpu])
        if seen:
            raise Wrong(f"the drive was told to {seen[0]}")
        if self.gpu_bytes(0, 64 * KIB) != b"\xee" * 64 * KIB:
            raise Wrong("GPU memory has changed")

    def near_cases(self):
        """(name, function) of the tests of drive and GPU below one switch."""
        places = {"disk": self.vm.drives["nvme0"].dev,
                  "ext4": f"{STATE}/ext4/witness",
                  "xfs": f"{STATE}/xfs/witness"}
        for place, path in places.items():
            # the first MiB of the disk is nobody's
            size = MIB if place == "disk" else 2 * MIB
            for scatter in (False, True):
                kind = "scattered" if scatter else "whole"
                yield (f"read_{place}_{kind}", lambda p=path, s=scatter, n=size:
                       self.read(p, s, n))
                yield (f"write_{place}_{kind}",
                       lambda p=path, s=scatter, n=size: self.write(p, s, n))
        for scatter in (False, True):
            kind = "scattered" if scatter else "whole"
            yield (f"mapping_{kind}", lambda s=scatter: self.mapped(s))
        yield "ten_thousand_requests_agree", self.ten_thousand
        path = places["ext4"]
        for length in (512, 4 * KIB, 68 * KIB, MIB + 12 * KIB):
            yield (f"read_{length}_bytes_at_offsets",
                   lambda n=length: self.read(path, True, n, 8 * KIB,
                                              20 * KIB))
            yield (f"write_{length}_bytes_at_offsets",
                   lambda n=length: self.write(path, True, n, 8 * KIB,
                                               20 * KIB))

    def far_cases(self, forwards):
        """The same for ways through the host bridge."""
        for drive, gpu in (("nvme1", 0), ("nvme0", 1)):
            path = self.vm.drives[drive].dev
            if forwards:
                yield f"read_{drive}_gpu{gpu}", self._far(
                    drive, gpu, lambda p=path: self.read(p, length=MIB))
                yield f"write_{drive}_gpu{gpu}", self._far(
                    drive, gpu, lambda p=path: self.write(p, length=MIB))
            else:
                yield f"refused_{drive}_gpu{gpu}", self._far(
                    drive, gpu, lambda p=path: self.refused(p))

    def _far(self, drive, gpu, body):
        def run():
            self.drive, self.gpu = drive, gpu
            try:
                body()
            finally:
                self.drive, self.gpu = "nvme0", 0
        return run


def run_cases(session, cases_of):
    """Run witness tests; cases_of gives them from a Witness."""
    log, group = session.log, session.group
    try:
        witness = Witness(session)
        cases = [(name, body) for name, body in cases_of(witness)
                 if session.want(f"witness.{name}")]
    except (lab.LostVm, lab.GuestError, lab.GuestTimeout, Wrong) as err:
        log.add(group, "witness.(start)", "FAIL", why=str(err))
        session.close()
        return
    for name, body in cases:
        began = time.monotonic()
        verdict, why = "ok", ""
        try:
            body()
        except (Wrong, lab.GuestError, lab.GuestTimeout) as err:
            verdict, why = "FAIL", str(err)
        except lab.LostVm as err:
            verdict, why = "FAIL", f"lost VM: {str(err).splitlines()[0]}"
        log.add(group, f"witness.{name}", verdict,
                time.monotonic() - began, why)
        if why.startswith("lost VM"):
            session.close()
            return
    end(session, witness)


def end(session, witness):
    """Nothing may be left pinned when the helper has gone."""
    try:
        witness.hand.quit()
        pins = witness.vm.run(
            "for i in $(seq 50); do "
            "pins=$(cat /sys/kernel/debug/labgpu/pins); "
            "[ \"$pins\" != 0 ] || break; sleep 0.1; done; echo $pins").out
        splats = session.new_splats()
    except (lab.LostVm, lab.GuestTimeout, Wrong) as err:
        session.log.add(session.group, "witness.(end)", "FAIL", why=str(err))
        return
    if pins.strip() != "0":
        session.log.add(session.group, "witness.(end)", "FAIL",
                        why=f"pinned page tables are left: {pins}")
    if splats:
        session.log.add(session.group, "witness.(console)", "FAIL",
                        why=f"kernel splat: {splats[0]}")
