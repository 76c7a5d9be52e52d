# SPDX-License-Identifier: MIT
"""Tests of the tests: what goes wrong in a guest has to be seen as a failure.

The programs of build/tests/meta misbehave, each in its way, and go through the
very code that runs the real ones. What is expected of each of their tests, and
of each verdict that the runner has to add of its own accord, stands below; a
verdict that is not expected is as wrong as one that is missing.
"""

import io
import os
import signal
import subprocess
import sys
import time

import report
from guest import TOP, Guest, lab

BIN = TOP / "build/tests/meta"
RUNNER_LIMIT_S = 300

GOOD = {
    "passes": ("ok", ""),
    "skips": ("skip", "a reason"),
    "leaves_a_daemon": ("ok", ""),
    "passes_as_well": ("ok", ""),
}

# In this order: the last ones take their machine with them.
EXPECTED = [
    ("good", GOOD),
    ("failing", {
        "compares_unequal": ("FAIL", "42 and 54"),
        "wrong_errno": ("FAIL", "returned -1, errno 9"),
        "no_error_where_one_is_due": ("FAIL", "ASSERT_ERRNO"),
        "differs_in_one_byte": ("FAIL", "1 of 4096 bytes differ, first at "
                                        "0x4d2"),
        "child_fails_unseen": ("FAIL", "in the child"),
        "thread_fails": ("FAIL", "in a thread"),
        "exits_with_a_status": ("FAIL", "exit status 7"),
        "passes_between_them": ("ok", ""),
    }),
    ("warning", {
        "warning_line": ("FAIL", "kernel log: WARNING"),
        "kasan_line": ("FAIL", "kernel log: BUG: KASAN"),
        "lockdep_line": ("FAIL", "kernel log: WARNING: possible circular"),
        "hung_task_line": ("FAIL", "blocked for more than"),
        "rcu_stall_line": ("FAIL", "kernel log: rcu"),
        "error_line_of_the_module": ("FAIL", "kernel log: nvfs: something"),
        "allowed_line_passes": ("ok", ""),
        "harmless_line_passes": ("ok", ""),
    }),
    ("splat", {
        "passes_before": ("ok", ""),
        "warns_in_the_kernel": ("FAIL", "kernel log: "),
        "passes_behind": ("ok", ""),
    }),
    ("hang", {
        "sleeps_forever": ("FAIL", "hang: not ended after 2 s"),
        "spins_forever": ("FAIL", "hang: not ended after 2 s"),
        "ignores_all_signals": ("FAIL", "hang: not ended after 2 s"),
        "passes_behind_them": ("ok", ""),
    }),
    ("crash", {
        "segmentation_fault": ("FAIL", "signal 11"),
        "aborts": ("FAIL", "signal 6"),
        "kills_the_harness": ("FAIL", "not reported"),
        "is_never_run": ("FAIL", "not reported"),
        "(program)": ("FAIL", "2 tests reported, 4 planned"),
    }),
    ("plan", {
        "one": ("ok", ""),
        "four": ("ok", ""),
        "two": ("FAIL", "not reported"),
        "three": ("FAIL", "not reported"),
        "(program)": ("FAIL", "a test nobody knows: four"),
        "(program)#2": ("FAIL", "a test was reported twice"),
    }),
    ("leak", {
        "passes_before": ("ok", ""),
        "the_module_is_left_unloaded": ("FAIL", "leak: nvfs was"),
        "open_file_outlives_the_test": ("FAIL", "leak: files_open"),
        "region_outlives_the_test": ("FAIL", "leak: pinned"),
        "passes_behind": ("ok", ""),
    }),
    ("dead", {
        "passes_before": ("ok", ""),
        "reboots_the_machine": ("FAIL", "lost VM during reboots_the_machine"),
        "is_never_run": ("FAIL", "lost VM"),
        "(program)": ("FAIL", "1 tests reported, 3 planned"),
    }),
    ("good", GOOD),
    ("stuck", {
        "panics_the_machine": ("FAIL", "lost VM during panics_the_machine"),
        "(program)": ("FAIL", "0 tests reported, 1 planned"),
    }),
]


class Verdicts(report.Log):
    """A log that is not shown, but looked at."""

    def __init__(self):
        super().__init__(out=io.StringIO())
        self.taken = {}

    def add(self, group, name, verdict, seconds=0.0, why=""):
        super().add(group, name, verdict, seconds, why)
        short = name.split(".", 1)[-1]
        number = 2
        while short in self.taken:
            short = f"{name.split('.', 1)[-1]}#{number}"
            number += 1
        self.taken[short] = (verdict, why)


def disagreement(got, want):
    """None, or how a verdict differs from the one that is due."""
    if got is None:
        return "no verdict"
    if got[0] != want[0]:
        return f"reported as {got[0]} ({got[1]})"
    if want[1] not in got[1]:
        return f"reported for another reason: {got[1]}"
    return None


def judge(log, suite, taken, expected, seconds):
    """A verdict for each expectation, and one for each surprise."""
    share = seconds / max(1, len(expected))
    for name, want in expected.items():
        wrong = disagreement(taken.get(name), want)
        log.add("meta", f"{suite}.{name}", "FAIL" if wrong else "ok", share,
                wrong or "")
    for name in taken:
        # the lying program says "one" twice
        if name not in expected and name.split("#")[0] not in expected:
            log.add("meta", f"{suite}.{name}", "FAIL",
                    why=f"an unexpected verdict: {taken[name]}")


def misbehaving_programs(run):
    """All of EXPECTED, through one session that loses its machine twice."""
    hidden = Verdicts()
    with Guest(run.newest(), hidden) as session:
        for suite, expected in EXPECTED:
            if not run.wanted(f"meta.{suite}"):
                continue
            hidden.taken = {}
            began = time.monotonic()
            session.run_program(BIN / suite)
            judge(run.log, suite, hidden.taken, expected,
                  time.monotonic() - began)
    status = hidden.summary()
    run.log.add("meta", "summary.fails_when_a_test_failed",
                "ok" if status == 1 else "FAIL")


def killed_qemu(run):
    """QEMU itself is killed under a test."""
    hidden = Verdicts()
    with Guest(run.newest(), hidden) as session:
        began = time.monotonic()
        machine = session.vm()
        # pylint: disable=protected-access
        pid = machine._qemu.pid
        real = machine.stream

        def stream(command, on_line, timeout):
            def kill_then(line):
                on_line(line)
                os.kill(pid, signal.SIGKILL)
            return real(command, kill_then, timeout)

        machine.stream = stream
        session.run_program(BIN / "hang")
    expected = {name: ("FAIL", "lost VM during sleeps_forever")
                for name in ("sleeps_forever", "spins_forever",
                             "ignores_all_signals", "passes_behind_them")}
    taken = {name: value for name, value in hidden.taken.items()
             if not name.startswith("(program)")}
    judge(run.log, "killed_qemu", taken, expected, time.monotonic() - began)


def unbootable(run):
    """A machine that never answers."""
    hidden = Verdicts()
    real = lab.Vm

    def bad(*args, **kwargs):
        return real(*args, **kwargs, boot_timeout=20,
                    append="rdinit=/no/such/init")

    began = time.monotonic()
    lab.Vm = bad
    try:
        with Guest(run.newest(), hidden) as session:
            session.run_program(BIN / "good")
    finally:
        lab.Vm = real
    expected = {name: ("FAIL", "lost VM") for name in GOOD}
    taken = {name: value for name, value in hidden.taken.items()
             if not name.startswith("(program)")}
    judge(run.log, "unbootable", taken, expected, time.monotonic() - began)


def silent_machine(run):
    """One that stands still goes on; one that can't says where it was."""
    began = time.monotonic()
    said, why = "", ""
    try:
        with lab.Vm(run.newest(), nvfs=False, labgpu=False) as machine:
            # pylint: disable=protected-access
            machine._link.silence, machine._link.kill_grace = 2, 3
            machine.qmp("stop")
            said = machine.run("echo goes on", timeout=30).out
            machine._prod = lambda seconds: machine.qmp("stop")
            machine.run("sleep 30", timeout=5)
    except lab.LostVm as err:
        why = str(err)
    good = said == "goes on\n" and "can't be killed" in why and \
        "</NMI>" in why
    run.log.add("meta", "silent_machine.goes_on_or_says_where_it_is",
                "ok" if good else "FAIL", time.monotonic() - began,
                "" if good else f"said {said!r}, then {why!r}")


def empty_run(run):
    """The command itself: a run in which nothing passed is not a success."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "tests/runner.py", "unit", "-k", "no-such-test"],
        capture_output=True, text=True, timeout=RUNNER_LIMIT_S, check=False,
        cwd=TOP)
    last = done.stdout.splitlines()[-1:] or ["nothing"]
    good = done.returncode == 1 and last[0] == \
        "0 passed, 0 failed, 0 skipped" and \
        "# no test has 'no-such-test' in its name\n" in done.stdout
    run.log.add("meta", "summary.empty_run_is_no_success",
                "ok" if good else "FAIL", time.monotonic() - began,
                "" if good else f"status {done.returncode}, said {last[0]}")


def run_job(run):
    """All tests of the harness."""
    if any(run.wanted(f"meta.{suite}") for suite, _ in EXPECTED):
        misbehaving_programs(run)
    for case in (killed_qemu, unbootable, silent_machine, empty_run):
        if run.wanted(f"meta.{case.__name__}"):
            case(run)
