# SPDX-License-Identifier: MIT
"""`make run` with the data path broken on purpose: its checks have to see it.

The first run is not broken: without it, a demonstration that always fails would
pass for one that sees everything.
"""

import re
import subprocess
import sys
import time

from guest import TOP

SIZE = "16M"
LIMIT_S = 300

# break, what the line that catches it has to say
CASES = (
    ("none", None),
    # swapped pages: the host's comparison of GPU memory with the file
    ("wrong-page", re.compile(r"differ|wrong|mismatch", re.IGNORECASE)),
    # host memory in between: the addresses in QEMU's trace
    ("silent-fallback", re.compile(r"RAM|outside", re.IGNORECASE)),
)


def demonstrate(name, kernel):
    """lab/run.py with a break; its exit status and what it printed."""
    command = [sys.executable, "lab/run.py", "--kernel", kernel, "--size",
               SIZE]
    if name != "none":
        command += ["--break", name]
    done = subprocess.run(command, capture_output=True, text=True,
                          timeout=LIMIT_S, check=False, cwd=TOP)
    return done.returncode, done.stdout + done.stderr


def judge(status, text, pattern):
    """(verdict, why) of a run."""
    if pattern is None:
        if status == 0:
            return "ok", ""
        return "FAIL", f"exit status {status}: {text[-600:]}"
    if status == 0:
        return "FAIL", f"not seen: {text[-600:]}"
    caught = [line.strip() for line in text.splitlines()
              if re.search(r"FAIL|WRONG|wrong", line)
              and pattern.search(line)]
    if not caught:
        return "FAIL", f"exit status {status} for no such reason: {text[-600:]}"
    return "ok", f"caught by: {caught[0][:200]}"


def run_job(run):
    """The demonstration, whole and broken."""
    for name, pattern in CASES:
        if not run.wanted(f"breaks.{name}"):
            continue
        began = time.monotonic()
        try:
            verdict, why = judge(*demonstrate(name, run.newest()),
                                 pattern)
        except (OSError, subprocess.TimeoutExpired) as err:
            verdict, why = "FAIL", str(err)
        run.log.add("breaks", f"run.{name}", verdict,
                    time.monotonic() - began, why)
