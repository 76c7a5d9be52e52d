#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A prompt in a lab guest with the modules loaded: make shell."""

import argparse
import os
import shlex
import sys
import termios
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "vm"))

# pylint: disable=wrong-import-position
import vm as lab  # noqa: E402
from vmtest import environment  # noqa: E402

BANNER = """\
This is Linux {kernel} in an emulated machine; its root is this machine's, and
what is written here is lost.  exit, or control-d, ends it.
"""


def terminal_size():
    """The stty words that tell the guest how large this terminal is."""
    try:
        size = os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return "rows 24 cols 80"
    return f"rows {size.lines or 24} cols {size.columns or 80}"


def interact(machine):
    """Run a shell on the guest's hvc0 until it ends."""
    drives = "\n".join(f"  {name}  {drive.dev}  {drive.bdf}"
                       for name, drive in machine.drives.items())
    gpus = "\n".join(f"  gpu:{n}  {gpu.bdf}"
                     for n, gpu in enumerate(machine.gpus))
    text = (BANNER.format(kernel=machine.kernel) + f"drives:\n{drives}\n"
            f"GPUs:\n{gpus}\nTry: nvfs check\n")
    term = shlex.quote(os.environ.get("TERM", "linux"))
    inner = (f"printf %s {shlex.quote(text)}; export TERM={term}; "
             "exec bash --norc -i")
    command = (f"{environment()} export PS1='lab:\\w# '; "
               f"stty -F /dev/hvc0 sane {terminal_size()}; "
               f"exec setsid -w -c sh -c {shlex.quote(inner)} "
               "</dev/hvc0 >/dev/hvc0 2>&1")
    machine.run(command, timeout=None)


def main():
    """Exit status: 0, or 2 when there was no machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--cpu", default="max")
    args = parser.parse_args()
    saved = None
    if sys.stdin.isatty():
        saved = termios.tcgetattr(sys.stdin)  # QEMU makes it raw
    print("lab: booting ...", flush=True)
    try:
        with lab.Vm(args.kernel, cpu=args.cpu, interactive=True) as machine:
            interact(machine)
            return 0
    except (lab.LostVm, lab.GuestError) as err:
        print(f"lab: {err}", file=sys.stderr)
        return 2
    finally:
        if saved:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


if __name__ == "__main__":
    sys.exit(main())
