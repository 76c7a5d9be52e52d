# SPDX-License-Identifier: MIT
"""Run test programs in a guest and judge what comes back."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "lab/vm"))
sys.path.insert(0, str(TOP / "tests"))

# pylint: disable=wrong-import-position
import ktap  # noqa: E402
import vm as lab  # noqa: E402

PROGRAM_LIMIT_S = 420
DRIVES = {"nvme0": "768M", "nvme1": "128M", "vblk0": "64M"}


def tests_of(program):
    """The names of a program's tests, from the program itself."""
    done = subprocess.run([str(program), "-l"], capture_output=True,
                          text=True, timeout=30, check=True)
    return done.stdout.split()


class Guest:
    """A machine that is started when it is needed, and again when lost.

    kernel, cpu: as for lab.Vm
    log: report.Log; verdicts go there under the group `group`
    want: None or a function that says whether "suite.test" is wanted
    """

    def __init__(self, kernel, log, *, cpu="max", group=None, want=None):
        self.kernel, self.cpu, self.log = kernel, cpu, log
        self.group = group or kernel
        self.want = want or (lambda name: True)
        self.machine = None
        self.boots = 0
        self.splats_known = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        """End the machine."""
        if self.machine:
            self.machine.close()
            self.machine = None

    def vm(self):
        """The machine, started if there is none; LostVm when it can't be."""
        if self.machine and self.machine.alive():
            return self.machine
        self.close()
        machine = lab.Vm(self.kernel, cpu=self.cpu, drives=DRIVES)
        try:
            machine.start()
        except BaseException:
            machine.close(keep=True)
            raise
        self.machine = machine
        self.boots += 1
        self.splats_known = 0
        self.log.say(f"{self.group}: a machine with -cpu {self.cpu} answered "
                     f"after {machine.boot_seconds:.1f} s")
        return machine

    # -- one program ---------------------------------------------------------

    def run_program(self, program):
        """Run a self-test program; all verdicts go to the log."""
        suite = Path(program).name
        try:
            names = [name for name in tests_of(program)
                     if self.want(f"{suite}.{name}")]
        except (OSError, subprocess.SubprocessError) as err:
            self.log.add(self.group, suite, "FAIL", why=f"can't run: {err}")
            return
        if names:
            self._run_tests(program, suite, names)

    def _run_tests(self, program, suite, names):
        report = ktap.Report(names)
        began = time.monotonic()

        def take(line):
            test = report.feed(line)
            if test:
                self.log.add(self.group, f"{suite}.{test.name}", test.verdict,
                             test.seconds, test.why)

        code, ended = None, "not reported"
        try:
            machine = self.vm()
            command = " ".join([shlex.quote(str(program)), *names])
            code = machine.stream(command, take, PROGRAM_LIMIT_S).rc
        except lab.GuestTimeout:
            ended = f"hang: the program did not end in {PROGRAM_LIMIT_S} s"
            self.close()
        except lab.LostVm as err:
            ended = (f"lost VM during {report.running()}: "
                     f"{str(err).splitlines()[0]}")
            self.log.say(f"{self.group}: {err}".replace("\n", "\n#   "))
            self.close()
        except lab.GuestError as err:
            ended = f"a module does not load: {err}"
            self.close()
        seconds = time.monotonic() - began
        for test in report.finish(code, ended):
            self.log.add(self.group, f"{suite}.{test.name}", "FAIL", seconds,
                         test.why)
        self._judge_console(suite, report)

    def new_splats(self):
        """Splats on the console since the last call."""
        splats = self.machine.splats() if self.machine else []
        new = splats[self.splats_known:]
        self.splats_known = len(splats)
        return new

    def _judge_console(self, suite, report):
        """A splat that no test was blamed for fails the program."""
        if not self.machine:
            return
        new = self.new_splats()
        blamed = any("kernel log" in test.why for test in report.tests)
        if new and not blamed:
            self.log.add(self.group, f"{suite}.(console)", "FAIL",
                         why=f"kernel splat: {new[0]}")
