# SPDX-License-Identifier: MIT
"""Tests of the lab's code that need no machine: make lab-test."""

import socket
import struct
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

# pylint: disable=wrong-import-position
import agentlink  # noqa: E402
import initramfs  # noqa: E402
import nvmetrace  # noqa: E402
import vm  # noqa: E402

# As QEMU 7.2 writes it: an admin command, a write, a read of two pages.
LOG = b"""\
pci_nvme_admin_cmd cid 3 sqid 0 opc 0x6 opname 'NVME_ADM_CMD_IDENTIFY'
pci_nvme_map_addr addr 0x5000 len 4096
pci_nvme_io_cmd cid 9 nsid 0x1 sqid 1 opc 0x1 opname 'NVME_NVM_CMD_WRITE'
pci_nvme_write cid 9 opname 'NVME_NVM_CMD_WRITE' nsid 1 nlb 8 count 4096 lba 0x10
pci_nvme_map_addr addr 0xc0000000 len 4096
pci_nvme_io_cmd cid 10 nsid 0x2 sqid 1 opc 0x2 opname 'NVME_NVM_CMD_READ'
pci_nvme_read cid 10 nsid 2 nlb 16 count 8192 lba 0x20
pci_nvme_map_addr addr 0xc0001000 len 4096
pci_nvme_map_addr addr 0x7000 len 4096
"""


class TraceTest(unittest.TestCase):
    """What the log says about each command."""

    def test_commands(self):
        first, second = nvmetrace.parse(LOG.splitlines())
        self.assertEqual(first, nvmetrace.Cmd(
            1, True, 0x10, 8, [(0xc0000000, 4096)]))
        self.assertEqual(second, nvmetrace.Cmd(
            2, False, 0x20, 16, [(0xc0001000, 4096), (0x7000, 4096)]))
        self.assertEqual(second.dma_bytes, 8192)

    def test_admin_and_zeroes_are_no_payload(self):
        log = (LOG + b"pci_nvme_io_cmd cid 11 nsid 0x1 sqid 1 opc 0x8 "
               b"opname 'NVME_NVM_CMD_WRITE_ZEROES'\n"
               b"pci_nvme_write cid 11 opname 'NVME_NVM_CMD_WRITE_ZEROES' "
               b"nsid 1 nlb 8 count 4096 lba 0x0\n"
               b"pci_nvme_map_addr addr 0x9000 len 4096\n")
        commands = nvmetrace.parse(log.splitlines())
        self.assertEqual(len(commands), 2)
        self.assertEqual(commands[1].dma_bytes, 8192)

    def test_damage_is_an_error(self):
        with self.assertRaises(nvmetrace.TraceError):
            nvmetrace.parse([b"pci_nvme_read cid 10 nsid 2 nlb sixteen"])

    def test_marks(self):
        with tempfile.NamedTemporaryFile() as log:
            trace = nvmetrace.Trace(log.name)
            log.write(LOG)
            log.flush()
            mark = trace.mark()
            self.assertEqual(len(trace.commands()), 2)
            self.assertEqual(trace.commands(mark), [])
            log.write(LOG)
            log.flush()
            self.assertEqual(len(trace.commands(mark)), 2)
            self.assertEqual(len(trace.commands(0, mark)), 2)


class SplatTest(unittest.TestCase):
    """Which lines of the console count as kernel bugs."""

    def test_bugs(self):
        for line in ("WARNING: CPU: 0 PID: 7 at fs/x.c:3 f+0x1/0x2",
                     "BUG: kernel NULL pointer dereference, address: 0",
                     "watchdog: BUG: soft lockup - CPU#1 stuck for 52s!",
                     "INFO: task cp:12 blocked for more than 120 seconds.",
                     "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                     "WARNING: possible circular locking dependency detected",
                     "Oops: 0000 [#1] PREEMPT SMP"):
            self.assertTrue(vm.SPLAT.search(line), line)

    def test_ordinary_lines(self):
        for line in ("nvfs: loading out-of-tree module taints kernel.",
                     "EXT4-fs (nvme0n1): mounted filesystem",
                     "nvfs: module verification failed: signature missing"):
            self.assertFalse(vm.SPLAT.search(line), line)


class SizeTest(unittest.TestCase):
    """Sizes on command lines."""

    def test_sizes(self):
        self.assertEqual(vm.parse_size("256M"), 256 << 20)
        self.assertEqual(vm.parse_size("1GiB"), 1 << 30)
        self.assertEqual(vm.parse_size(4096), 4096)
        with self.assertRaises(ValueError):
            vm.parse_size("big")


class ModuleOrderTest(unittest.TestCase):
    """The order in which modules are loaded."""

    def test_dependencies_first(self):
        with tempfile.TemporaryDirectory() as name:
            Path(name, "modules.dep").write_text(
                "k/xfs.ko.xz: k/libcrc32c.ko.xz k/crc.ko.xz\n"
                "k/libcrc32c.ko.xz: k/crc.ko.xz\nk/crc.ko.xz:\n")
            Path(name, "modules.builtin").write_text("k/virtio.ko\n")
            self.assertEqual(
                initramfs.module_order(name, ("virtio", "xfs")),
                ["k/crc.ko.xz", "k/libcrc32c.ko.xz", "k/xfs.ko.xz"])
            with self.assertRaises(initramfs.InitramfsError):
                initramfs.module_order(name, ("ext9",))


class LinkTest(unittest.TestCase):
    """The line to the agent, with a guest that is a thread."""

    def setUp(self):
        host, self.guest = socket.socketpair()
        self.link = agentlink.AgentLink(host)

    def tearDown(self):
        self.link.close()
        self.guest.close()

    def _answer(self, *frames):
        head = struct.Struct("<III")

        def guest():
            _, job, size = head.unpack(self.guest.recv(head.size))
            self.guest.recv(size)
            for kind, data in frames:
                self.guest.sendall(head.pack(kind, job, len(data)) + data)
            if not frames:
                self.guest.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=guest, daemon=True)
        thread.start()
        self.addCleanup(thread.join)

    def test_output_and_status(self):
        self._answer((agentlink.OUT, b"hi"),
                     (agentlink.EXIT, struct.pack("<i", 3 << 8)))
        out = []
        self.assertEqual(self.link.run("x", out.append, 5), 3)
        self.assertEqual(out, [b"hi"])

    def test_signal(self):
        self._answer((agentlink.EXIT, struct.pack("<i", 9)))
        self.assertEqual(self.link.run("x", print, 5), 128 + 9)

    def test_death_is_no_status(self):
        self._answer()
        with self.assertRaises(agentlink.LinkDown):
            self.link.run("x", print, 5)
        with self.assertRaises(agentlink.LinkDown):
            self.link.run("y", print, 5)

    def test_silence_is_told_once(self):
        self.link.silence = 0.1
        told = []

        def guest():
            head = struct.Struct("<III")
            _, job, _ = head.unpack(self.guest.recv(head.size))
            time.sleep(0.5)
            self.guest.sendall(head.pack(agentlink.EXIT, job, 4) + bytes(4))

        thread = threading.Thread(target=guest, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        done = self.link.run("x", print, 5, lambda: told.append(True))
        self.assertEqual((done, told), (0, [True]))

    def test_endless_output_times_out(self):
        self.link.kill_grace = 0.1
        self._answer((agentlink.OUT, b"x"))
        with self.assertRaises(agentlink.LinkDown):
            self.link.run("x", lambda data: None, 0.1)


if __name__ == "__main__":
    unittest.main()
