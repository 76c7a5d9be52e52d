#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pull the drive or the GPU out of a machine while requests are under way.

	tests/host/pullout.py [-K KERNEL] [-n ROUNDS] [drive] [gpu]

A program in the guest (build/tests/helpers/pull) keeps a batch and a synchronous
reader busy; the host takes the device away.  Every request has to end, with an
error or without, in bounded time; the program has to end by itself; the kernel
log has to stay clean.  Then the device is put back, for the next round.
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
# A removal takes this long at most, with all requests ended, in seconds.
LIMIT_S = 60


# Prints the drive's device node; fails when there is none.
DEVICE = ("for d in /sys/block/nvme*; do grep -qs nvfs-nvme0 "
          "$d/device/serial && [ -b /dev/${d##*/} ] && echo /dev/${d##*/} "
          "&& break; done | grep .")


class PullError(Exception):
    """What went wrong in a round."""


def put_back(machine, what, number):
    """Plug the device in again, as vm.py made it.  number: of the round."""
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
    machine.qmp("device_add", driver="nvme", id="nvme0", bus="down0",
                serial="nvfs-nvme0", drive=node)
    return DEVICE


def start(machine, device):
    """The program in the guest; returns when requests are under way."""
    ready = threading.Event()
    result = {}

    def take(line):
        result.setdefault("lines", []).append(line)
        if line.startswith("running"):
            ready.set()

    def work():
        try:
            result["rc"] = machine.stream(f"PULL_DEVICE={device} {PULL}", take,
                                          LIMIT_S).rc
        except (lab.GuestTimeout, lab.LostVm) as err:
            result["error"] = str(err)
        ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(LIMIT_S)
    return thread, result


def one_round(machine, what, number):
    """Run, pull, wait, and put back."""
    device = machine.run(DEVICE, check=True).out.strip()
    thread, result = start(machine, device)
    began = time.monotonic()
    machine.qmp("device_del", id="nvme0" if what == "drive" else "gpu0")
    machine.wait_event("DEVICE_DELETED")
    thread.join(LIMIT_S)
    if result.get("rc") != 0:
        raise PullError(f"the program: {result}")
    seconds = time.monotonic() - began
    check = put_back(machine, what, number)
    machine.run(f"for i in $(seq 200); do {check} && exit 0; sleep 0.1; "
                "done; exit 1", check=True)
    return seconds


def pull(kernel, what, rounds):
    """All rounds on one machine; True when nothing was wrong."""
    longest = 0.0
    done = 0
    try:
        with lab.Vm(kernel, drives={"nvme0": "128M"}) as machine:
            for done in range(rounds):
                longest = max(longest, one_round(machine, what, done))
                if machine.splats():
                    raise PullError("; ".join(machine.splats()[:3]))
            done = rounds
    except (PullError, lab.LostVm, lab.GuestTimeout, lab.GuestError) as err:
        print(f"FAIL {kernel} {what}: round {done + 1}: {err}", flush=True)
        return False
    print(f"ok {kernel} {what}: {rounds} rounds, the longest took "
          f"{longest:.1f} s", flush=True)
    return True


def main():
    """Command line."""
    parser = argparse.ArgumentParser(prog="pullout.py")
    parser.add_argument("-K", "--kernel", action="append", choices=KERNELS)
    parser.add_argument("-n", "--rounds", type=int, default=50)
    parser.add_argument("what", nargs="*", choices=("drive", "gpu", []))
    args = parser.parse_args()
    results = [pull(kernel, what, args.rounds)
               for kernel in args.kernel or KERNELS
               for what in args.what or ("drive", "gpu")]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
