# SPDX-License-Identifier: MIT
"""The emulated GPU's own tests: what everything else stands on.

A verdict for each of its programs on each kernel, and one for what the driver
leaves behind when it is unloaded.
"""

import re
import subprocess
import sys
import time

from guest import TOP

LIMIT_S = 300
LINE = re.compile(r"^  (ok  |FAIL) ([^:]+)(?:: (.*))?$", re.MULTILINE)


def run_tests(kernel):
    """lab/gpu/selftest/run.py on a kernel; its exit status and output."""
    done = subprocess.run([sys.executable, "lab/gpu/selftest/run.py", kernel],
                          capture_output=True, text=True, timeout=LIMIT_S,
                          check=False, cwd=TOP)
    return done.returncode, done.stdout + done.stderr


def verdicts(status, text):
    """(name, verdict, why) of each line; one more when they do not fit."""
    found = [(name, "ok" if word == "ok  " else "FAIL",
              "" if word == "ok  " else why or "")
             for word, name, why in LINE.findall(text)]
    bad = any(verdict == "FAIL" for _, verdict, _ in found)
    if bool(status) != bad or not found:
        found.append(("(run)", "FAIL", f"exit status {status}: {text[-800:]}"))
    return found


def run_job(run, kernel):
    """One kernel."""
    if not run.wanted("labgpu."):
        return
    began = time.monotonic()
    try:
        found = verdicts(*run_tests(kernel))
    except (OSError, subprocess.TimeoutExpired) as err:
        found = [("(run)", "FAIL", str(err))]
    seconds = time.monotonic() - began
    for name, verdict, why in found:
        run.log.add("labgpu", f"{kernel}.{name.replace(' ', '')}", verdict,
                    seconds / len(found), why)
