#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trouble with the drive or the GPU of a machine while requests are under way.

	tests/host/trouble.py [-K KERNEL] [-n ROUNDS] [drive] [gpu] [hang] [media]

A program in the guest (build/tests/helpers/pull) keeps a batch and a synchronous
reader busy, on the direct way.

drive, gpu: the host pulls the device out, and puts it back for the next round
hang: the drive answers too late, until its driver aborts or resets it
media: the drive has a bad sector; who reads over it gets EIO and is told how
    many bytes before it are good

Every request has to end, with an error or without, in bounded time; the program
has to end by itself; the kernel log has to stay clean.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

# pylint: disable=wrong-import-position
from guest import lab  # noqa: E402

KERNELS = ("6.1", "6.12")
PULL = TOP / "build/tests/helpers/pull"
# A round takes this long at most, with all requests ended, in seconds.
LIMIT_S = 90
# The driver of a drive that hangs loses its patience after, in seconds.
PATIENCE_S = 3
# Bytes a second of a drive that hangs: few enough for its driver to lose patience,
# and enough for QEMU, which finishes them all while the drive is reset.
SLOW = 200_000
# The bad sector of a drive that has one: the third of a block of 4 KiB.
BAD_SECTOR = 1024 + 2


# Prints the drive's device node; fails when there is none.
DEVICE = ("for d in /sys/block/nvme*; do grep -qs nvfs-nvme0 "
          "$d/device/serial && [ -b /dev/${d##*/} ] && echo /dev/${d##*/} "
          "&& break; done | grep .")


# What is pulled out, and the test of the program in the guest.
VICTIM = {"drive": "nvme0", "gpu": "gpu0"}
PROGRAM = {"drive": "until_it_is_gone", "gpu": "until_it_is_gone",
           "hang": "until_it_answers_again", "media": "over_a_bad_sector"}


class PullError(Exception):
    """What went wrong in a round."""


def put_back(machine, what, number):
    """Plug the device in again, as vm.py made it, or with a bad sector.
    number: of the round."""
    if what == "gpu":
        # QEMU does not take a memory object for a second device
        memory = f"again{number}"
        machine.qmp("object-add", qom_type="memory-backend-file", id=memory,
                    share=True, size=machine.gpus[0].size,
                    mem_path=str(machine.gpus[0].path))
        machine.qmp("device_add", driver="ivshmem-plain", id="gpu0",
                    memdev=memory, bus="down1")
        return "[ -c /dev/labgpu0 ]"
    # nor an image, once its drive is gone; a namespace can't be plugged in
    node = f"again{number}"
    machine.qmp("blockdev-add", driver="raw", node_name=node, file={
        "driver": "file", "filename": str(machine.drives["nvme0"].path),
        "locking": "off", "cache": {"no-flush": True}})
    if what == "media":
        machine.qmp("blockdev-add", driver="blkdebug", node_name=f"bad{number}",
                    image=node, inject_error=[
                        {"event": "none", "iotype": "read",
                         "sector": BAD_SECTOR}])
        node = f"bad{number}"
    machine.qmp("device_add", driver="nvme", id="nvme0", bus="down0",
                serial="nvfs-nvme0", drive=node)
    return DEVICE


def start(machine, what, device):
    """The program in the guest; returns when requests are under way."""
    ready = threading.Event()
    result = {}

    def take(line):
        result.setdefault("lines", []).append(line)
        if line.startswith("running"):
            ready.set()

    def work():
        try:
            result["rc"] = machine.stream(
                f"PULL_DEVICE={device} PULL_BAD={BAD_SECTOR * 512} "
                f"PULL_PATIENCE={PATIENCE_S} {PULL} {PROGRAM[what]}", take,
                LIMIT_S).rc
        except (lab.GuestTimeout, lab.LostVm) as err:
            result["error"] = str(err)
        ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(LIMIT_S)
    return thread, result


def unplug(machine, victim):
    """Returns when the guest has let go of it."""
    machine.qmp("device_del", id=victim)
    # a drive's namespace is a device, too
    while machine.wait_event("DEVICE_DELETED")["data"].get("device") != victim:
        pass


def throttle(machine, rate):
    """Let the drive move so many bytes a second; 0: as many as it can."""
    said = machine.qmp("human-monitor-command", command_line=(
        f"block_set_io_throttle img-nvme0 {rate} 0 0 0 0 0"))
    if said:
        raise PullError(said)


def hang(machine):
    """Until its driver loses patience; it aborts requests, or resets the drive."""
    before = machine.console().count(" timeout, ")
    throttle(machine, SLOW)
    end = time.monotonic() + LIMIT_S
    while machine.console().count(" timeout, ") == before:
        if time.monotonic() > end:
            raise PullError("the driver has not lost its patience")
        time.sleep(0.2)
    throttle(machine, 0)


def wait_for(machine, check):
    """Until a command succeeds in the guest, for 20 seconds."""
    machine.run(f"for i in $(seq 200); do {check} && exit 0; sleep 0.1; "
                "done; exit 1", check=True)


def one_round(machine, what, number):
    """One trouble, its end, and everything as before."""
    if what == "media":
        unplug(machine, "nvme0")
        wait_for(machine, put_back(machine, what, number))
    device = machine.run(DEVICE, check=True).out.strip()
    if what == "hang":
        machine.run(f"echo {PATIENCE_S * 1000} "
                    f">/sys/block/{Path(device).name}/queue/io_timeout",
                    check=True)
    thread, result = start(machine, what, device)
    began = time.monotonic()
    if what == "hang":
        hang(machine)
    elif what in VICTIM:
        unplug(machine, VICTIM[what])
    thread.join(LIMIT_S)
    if result.get("rc") != 0:
        raise PullError(f"the program: {result}")
    seconds = time.monotonic() - began
    if what in VICTIM:
        wait_for(machine, put_back(machine, what, number))
    return seconds


def pull(kernel, what, nr):
    """All rounds on one machine; True when nothing was wrong."""
    longest = 0.0
    done = 0
    try:
        with lab.Vm(kernel, drives={"nvme0": "128M"}) as machine:
            # Looked for while all of them are there
            assert machine.gpus and machine.drives
            for done in range(nr):
                longest = max(longest, one_round(machine, what, done))
                if machine.splats():
                    raise PullError("; ".join(machine.splats()[:3]))
            done = nr
    except (PullError, lab.LostVm, lab.GuestTimeout, lab.GuestError) as err:
        print(f"FAIL {kernel} {what}: round {done + 1}: {err}", flush=True)
        return False
    print(f"ok {kernel} {what}: {nr} rounds, the longest took "
          f"{longest:.1f} s", flush=True)
    return True


def rounds(what, wanted):
    """What is slow, or the same each time, is done a tenth as often."""
    return wanted if what in VICTIM else max(1, wanted // 10)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(prog="trouble.py")
    parser.add_argument("-K", "--kernel", action="append", choices=KERNELS)
    parser.add_argument("-n", "--rounds", type=int, default=50)
    parser.add_argument("what", nargs="*", choices=(*PROGRAM, []))
    args = parser.parse_args()
    results = [pull(kernel, what, rounds(what, args.rounds))
               for kernel in args.kernel or KERNELS
               for what in args.what or PROGRAM]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
