# SPDX-License-Identifier: MIT
"""Run the emulated GPU's own tests in a lab guest of each kernel named.

python3 lab/gpu/selftest/run.py [--modules DIR] KERNEL...
"""

import argparse
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(TOP / "lab" / "vm"))

from vm import BUILD, Vm  # noqa: E402  pylint: disable=wrong-import-position

TESTS = ("device_test", "cuda_test", "virtual_test", "facts_test", "p2p_test", "p2p_test --unplug")


def passed(name, result):
    """Print what failed of a program's output; its number of good lines."""
    lines = result.out.splitlines()
    good = sum(line.startswith("ok ") for line in lines)
    # What a program tells besides is of interest when it failed.
    expected = r"ok |1\.\." if result.rc else r"ok |1\.\.|# "
    bad = [line for line in lines if not re.match(expected, line)]
    plan = f"1..{good}" in lines
    for line in bad:
        print(f"    {line}")
    if result.rc or not good or not plan:
        print(f"  FAIL {name}: status {result.rc}, {good} good lines")
        return 0
    print(f"  ok   {name}: {good}")
    return good


def run_kernel(kernel, modules):
    """All programs in one guest; False when anything went wrong."""
    ok = True
    with Vm(kernel, nvfs=False, labgpu=False) as guest:
        for module in ("labgpu", "labgpu_probe"):
            guest.run(f"insmod {modules or BUILD / kernel}/{module}.ko", check=True)
        for test in TESTS:
            command = f"LD_LIBRARY_PATH={BUILD}/lab {BUILD}/lab/gpu/{test}"
            ok &= passed(test, guest.run(command, timeout=120)) > 0
        # The driver can go when nobody uses it, and leaves nothing.
        left = guest.run("rmmod labgpu_probe labgpu && ! ls -d /dev/labgpu*"
                         " /sys/kernel/debug/labgpu* 2>/dev/null")
        if left.rc:
            print(f"  FAIL rmmod: {left.out}")
        splats = guest.splats()
        for line in splats:
            print(f"  FAIL kernel log: {line}")
        return ok and not left.rc and not splats


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=pathlib.Path,
                        help="take labgpu.ko and labgpu_probe.ko from here")
    parser.add_argument("kernels", nargs="+", metavar="KERNEL")
    args = parser.parse_args()
    ok = True
    for kernel in args.kernels:
        print(f"emulated GPU, kernel {kernel}")
        ok &= run_kernel(kernel, args.modules)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
