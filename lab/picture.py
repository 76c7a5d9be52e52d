#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Take the picture of `nvfs stat --watch` for docs/: make picture.

A lab guest reads a drive into a GPU again and again while the tool runs on a
terminal of its own there; the screen as it stands when the time is over
becomes an SVG whose letters are text.
"""

import argparse
import datetime
import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "vm"))

# pylint: disable=wrong-import-position
import vm as lab  # noqa: E402
from vmtest import environment  # noqa: E402

ROWS, COLS = 24, 80
SECONDS = 25
CELL_W, CELL_H, EDGE = 8.4, 17, 12
FONT = "font-family='DejaVu Sans Mono,Menlo,Consolas,monospace' font-size='14'"
WORK = "while nvfs cp --quiet --size 240M /dev/nvme0n1 gpu:0; do :; done"


# ------------------------------------------------------------- in the guest

def collect(terminal, seconds):
    """What the terminal gets in so many seconds, and then until it is closed
    because of the key q."""
    end, said, asked = time.monotonic() + seconds, b"", False
    while True:
        ready = select.select([terminal], [], [], 0.2)[0]
        try:
            data = os.read(terminal, 1 << 16) if ready else None
        except OSError:
            data = b""
        if data == b"":
            return said
        said += data or b""
        if not asked and time.monotonic() > end:
            os.write(terminal, b"q")
            asked = True


def inside(out):
    """Run the tool on a terminal while data moves; its output to a file."""
    # ended by ourselves, below
    # pylint: disable=consider-using-with
    work = subprocess.Popen(["sh", "-c", WORK], start_new_session=True)
    pid, terminal = pty.fork()
    if not pid:
        os.execvp("nvfs", ["nvfs", "stat", "--watch", "--interval", "0.5"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ,
                struct.pack("HHHH", ROWS, COLS, 0, 0))
    Path(out).write_bytes(collect(terminal, SECONDS))
    os.waitpid(pid, 0)
    os.killpg(work.pid, 9)


# -------------------------------------------------------------- on the host

def last_screen(said):
    """The rows of the last whole picture in which something moves: each begins
    with "home" and ends with "clear the rest"."""
    pictures = said.decode().split("\033[H")[1:]
    whole = [p for p in pictures if "\033[J" in p
             and re.search(r"^read .*[1-9].* [KMG]iB/s", p, re.MULTILINE)]
    if not whole:
        raise SystemExit(f"no picture in {said!r}")
    text = whole[-1].split("\033[J")[0].replace("\033[K", "")
    return [row.rstrip() for row in text.split("\r\n")][:ROWS]


def svg(rows, caption):
    """The rows as a picture."""
    width = round(COLS * CELL_W + 2 * EDGE)
    height = round((len(rows) + 2) * CELL_H + 2 * EDGE)
    lines = ["<!-- SPDX-License-Identifier: MIT -->",
             f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' "
             f"height='{height}' {FONT}>",
             f"<title>{escape(caption)}</title>",
             f"<rect width='{width}' height='{height}' rx='6' "
             "fill='#1b1e24'/>"]
    for number, row in enumerate([*rows, "", caption]):
        if not row:
            continue
        colour = "#8a919c" if number > len(rows) else "#e4e7eb"
        lines.append(f"<text x='{EDGE}' y='{EDGE + (number + 1) * CELL_H}' "
                     f"fill='{colour}' xml:space='preserve' "
                     f"textLength='{len(row) * CELL_W:.0f}'>"
                     f"{escape(row)}</text>")
    return "\n".join([*lines, "</svg>"]) + "\n"


def take(kernel):
    """Start a guest and take the picture there; the rows of its screen."""
    with lab.Vm(kernel) as machine:
        out = machine.share / "screen"
        script = shlex.quote(str(Path(__file__).resolve()))
        machine.run(f"{environment()} export TERM=xterm; "
                    f"python3 {script} --inside {out}", timeout=180,
                    check=True)
        return last_screen(out.read_bytes())


def main():
    """Exit status 0, or an exception."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", default="6.12")
    parser.add_argument("--inside", metavar="FILE")
    parser.add_argument("svg", nargs="?")
    args = parser.parse_args()
    if args.inside:
        inside(args.inside)
        return
    rows = take(args.kernel)
    caption = (f"{datetime.date.today()}, in the lab: Linux {args.kernel}, "
               "QEMU without KVM; the emulator's rates")
    Path(args.svg).write_text(svg(rows, caption))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
