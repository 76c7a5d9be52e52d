# SPDX-License-Identifier: MIT
"""What QEMU's trace log says about the commands of its NVMe drives.

QEMU handles an NVMe command from its fetch to the mapping of its last DMA
address without a break, under one lock, so the mappings that follow a command
in the log are that command's.  A mapping after an admin command, or after an
I/O command that moves no payload, belongs to none of ours.
"""

import os
import re
from dataclasses import dataclass, field

EVENTS = (
    "pci_nvme_io_cmd",
    "pci_nvme_admin_cmd",
    "pci_nvme_read",
    "pci_nvme_write",
    "pci_nvme_map_addr",
    "pci_nvme_map_addr_cmb",
)

_LINE = re.compile(rb"^(?:\d+@[\d.]+:)?(pci_nvme_\w+) (.*)$")
_READ = re.compile(rb"cid (\d+) nsid (\d+) nlb (\d+) count (\d+) "
                   rb"lba 0x([0-9a-f]+)$")
_WRITE = re.compile(rb"cid (\d+) opname '([^']*)' nsid (\d+) nlb (\d+) "
                    rb"count (\d+) lba 0x([0-9a-f]+)$")
_ADDR = re.compile(rb"addr 0x([0-9a-f]+) len (\d+)$")


class TraceError(Exception):
    """A line of the log that can't be understood: no verdict is possible."""


@dataclass
class Cmd:
    """One read or write command; `nlb` counts blocks, from 1."""

    nsid: int
    write: bool
    lba: int
    nlb: int
    dma: list = field(default_factory=list)  # [(address, bytes)]

    @property
    def dma_bytes(self):
        """Bytes that the drive moved for this command."""
        return sum(length for _, length in self.dma)


def _fields(pattern, text):
    match = pattern.match(text)
    if not match:
        raise TraceError(f"not understood: {text.decode(errors='replace')}")
    return match.groups()


def _command(event, text):
    """The Cmd that a read or write event starts; None for other writes."""
    if event == b"pci_nvme_read":
        _, nsid, nlb, _, lba = _fields(_READ, text)
        return Cmd(int(nsid), False, int(lba, 16), int(nlb))
    _, name, nsid, nlb, _, lba = _fields(_WRITE, text)
    if name != b"NVME_NVM_CMD_WRITE":  # write zeroes carries no payload
        return None
    return Cmd(int(nsid), True, int(lba, 16), int(nlb))


def parse(lines):
    """The read and write commands in `lines` (bytes), in their order."""
    commands = []
    current = None
    for line in lines:
        match = _LINE.match(line.rstrip())
        if not match:
            continue
        event, text = match.groups()
        if event in (b"pci_nvme_io_cmd", b"pci_nvme_admin_cmd"):
            current = None
        elif event in (b"pci_nvme_read", b"pci_nvme_write"):
            current = _command(event, text)
            if current:
                commands.append(current)
        elif event in (b"pci_nvme_map_addr", b"pci_nvme_map_addr_cmb"):
            addr, length = _fields(_ADDR, text)
            if current:
                current.dma.append((int(addr, 16), int(length)))
    return commands


class Trace:
    """A growing trace log; positions are byte offsets in it."""

    def __init__(self, path):
        self.path = path

    def mark(self):
        """The present end of the log.  Commands that completed are before it:
        QEMU writes the log line by line, before it completes a command."""
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0

    def commands(self, since=0, until=None):
        """The commands logged between two marks."""
        end = self.mark() if until is None else until
        if end <= since:
            return []
        with open(self.path, "rb") as log:
            log.seek(since)
            data = log.read(end - since)
        return parse(data.splitlines())
