# SPDX-License-Identifier: MIT
"""QEMU's machine protocol: just enough to pull a device out of a guest."""

import json


class QmpError(Exception):
    """QEMU refused a command, or is gone."""


class Qmp:
    """One QMP connection over a connected socket."""

    def __init__(self, sock, timeout=30):
        sock.settimeout(timeout)
        self._sock = sock
        self._file = sock.makefile("rw", encoding="utf-8")
        self._ready = False
        self._events = []

    def close(self):
        """Hang up."""
        self._file.close()
        self._sock.close()

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
        if not self._ready:
            self._read()  # the greeting
            self._ask("qmp_capabilities", {})
            self._ready = True
        return self._ask(command, {name.replace("_", "-"): value
                                   for name, value in arguments.items()})

    def wait_event(self, name):
        """The next event of that name, seen before or still to come."""
        while True:
            for event in self._events:
                if event["event"] == name:
                    self._events.remove(event)
                    return event
            self._events.append(self._read())
