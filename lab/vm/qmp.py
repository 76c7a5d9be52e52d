# SPDX-License-Identifier: MIT
"""QEMU's machine protocol: just enough to pull a device out of a guest."""

import contextlib
import json
import threading


class QmpError(Exception):
    """QEMU refused a command, or is gone."""


class QmpBusy(QmpError):
    """Another thread waits for QEMU."""


class Qmp:
    """One QMP connection over a connected socket."""

    def __init__(self, sock, timeout=30):
        sock.settimeout(timeout)
        self._sock = sock
        self._file = sock.makefile("rw", encoding="utf-8")
        self._ready = False
        self._events = []
        self._user = threading.Lock()

    def close(self):
        """Hang up.  What QEMU did not take any more is lost with it."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._sock.close()

    @contextlib.contextmanager
    def _alone(self):
        """Answers are for who asked, so there is one at a time."""
        if not self._user.acquire(blocking=False):
            raise QmpBusy("another thread waits for QEMU")
        try:
            yield
        finally:
            self._user.release()

    def _read(self):
        try:
            line = self._file.readline()
        except OSError as err:
            raise QmpError(str(err)) from err
        if not line:
            raise QmpError("QEMU is gone")
        return json.loads(line)

    def _ask(self, command, arguments):
        try:
            self._file.write(json.dumps({"execute": command,
                                         "arguments": arguments}) + "\n")
            self._file.flush()
        except OSError as err:
            raise QmpError(str(err)) from err
        while True:
            answer = self._read()
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{command}: {answer['error']['desc']}")
            elif "return" in answer:
                return answer["return"]

    def command(self, command, **arguments):
        """Run one command and return what it returns.  Underscores in the
        names of arguments stand for dashes."""
        with self._alone():
            if not self._ready:
                self._read()  # the greeting
                self._ask("qmp_capabilities", {})
                self._ready = True
            return self._ask(command, {name.replace("_", "-"): value
                                       for name, value in arguments.items()})

    def wait_event(self, name):
        """The next event of that name, seen before or still to come."""
        with self._alone():
            while True:
                for event in self._events:
                    if event["event"] == name:
                        self._events.remove(event)
                        return event
                self._events.append(self._read())
