# SPDX-License-Identifier: MIT
"""The host's end of the line to a guest's agent (agent.c has the protocol)."""

import itertools
import os
import queue
import socket
import struct
import threading
import time

RUN, KILL, HELLO, OUT, EXIT = 1, 2, 16, 17, 18
_HEAD = struct.Struct("<III")

# A command that does not die of SIGKILL within this many seconds hangs in the
# kernel, and the guest with it.
KILL_GRACE = 20
# Few tests last so long without a word, and to be stopped does no harm to those.
SILENCE = 100


class NoAnswer(Exception):
    """The agent has not said a word yet."""


class LinkDown(Exception):
    """The guest does not answer any more."""


class CommandTimeout(Exception):
    """A command ran too long and was killed."""


class AgentLink:
    """Runs commands in the guest; several threads may do so at once."""

    def __init__(self, sock):
        self.silence, self.kill_grace = SILENCE, KILL_GRACE
        self._sock = sock
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._jobs = {0: queue.SimpleQueue()}
        self._down = False
        self._reader = threading.Thread(target=self._read_frames, daemon=True)
        self._reader.start()

    def close(self):
        """Hang up; waits for the reader to end."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster
        self._reader.join()
        self._sock.close()

    def _read_exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self._sock.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _read_frames(self):
        try:
            while True:
                kind, job, size = _HEAD.unpack(self._read_exactly(_HEAD.size))
                data = self._read_exactly(size)
                with self._lock:
                    mailbox = self._jobs.get(job)
                if mailbox:
                    mailbox.put((kind, data))
        except (OSError, EOFError):
            with self._lock:
                self._down = True
                for mailbox in self._jobs.values():
                    mailbox.put((None, b""))

    def _send(self, kind, job, data=b""):
        try:
            with self._lock:
                self._sock.sendall(_HEAD.pack(kind, job, len(data)) + data)
        except OSError as err:
            raise LinkDown(str(err)) from err

    def hello(self, timeout):
        """Wait for the agent's first word; its text, LinkDown or NoAnswer."""
        try:
            kind, data = self._jobs[0].get(timeout=timeout)
        except queue.Empty:
            raise NoAnswer(f"no agent after {timeout:.0f} s") from None
        if kind != HELLO:
            raise LinkDown("the machine ended while it booted")
        return data.decode()

    def run(self, command, on_data, timeout, on_silence=None):
        """Run a command, give its output to on_data(bytes) as it comes, and
        return its exit status (128 + n for signal n).  on_silence: called
        when nothing has come for SILENCE seconds, once until more comes."""
        mailbox = queue.SimpleQueue()
        job = next(self._ids)
        with self._lock:
            if self._down:
                raise LinkDown("the machine is gone")
            self._jobs[job] = mailbox
        try:
            self._send(RUN, job, command.encode())
            return self._wait(job, mailbox, on_data, timeout, on_silence)
        finally:
            with self._lock:
                del self._jobs[job]

    def _wait(self, job, mailbox, on_data, timeout, on_silence):
        # pylint: disable=too-many-arguments,too-many-positional-arguments
        forever = float("inf")
        deadline = time.monotonic() + (forever if timeout is None else timeout)
        silent = time.monotonic() + self.silence
        killed = False
        while True:
            now = time.monotonic()
            left = deadline - now
            if now >= silent:
                silent = forever
                if on_silence:
                    on_silence()
            if left <= 0:
                if killed:
                    raise LinkDown("a command can't be killed")
                self._send(KILL, job)
                killed = True
                deadline = time.monotonic() + self.kill_grace
                continue
            try:
                kind, data = mailbox.get(
                    timeout=min(left, max(silent - now, 0), self.silence))
            except queue.Empty:
                continue
            silent = time.monotonic() + self.silence
            if kind is None:
                raise LinkDown("the machine ended while a command ran")
            if kind == OUT:
                on_data(data)
            elif kind == EXIT:
                if killed:
                    raise CommandTimeout
                status = os.waitstatus_to_exitcode(
                    struct.unpack("<i", data)[0])
                return status if status >= 0 else 128 - status
