"""A person at a terminal: a program that has one, what it shows, and what is typed."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30

# The child makes the terminal its own: getpass asks there, whatever standard input is. Ctrl-C ends
# a program there, also if whoever runs these tests was told to ignore it.
_CHILD = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "frontend.main", *sys.argv[1:]])
"""


class Terminal:
    """`orlop` with `arguments`, on a terminal of 100 columns."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 100))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORLOP_")}
        self._popen = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _CHILD, *arguments],
            cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
            env=kept | {"TERM": "xterm", "COLUMNS": "100"} | environment,
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    @property
    def pid(self) -> int:
        return self._popen.pid

    def wait_for(self, text: str) -> None:
        """Read until it is shown."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown

    def type(self, text: str) -> None:
        """Type it, and Enter."""
        os.write(self._ours, text.encode() + b"\n")

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._ours, b"\x03")

    def end(self) -> int:
        """Read to the end; its exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self._popen.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENCE_SECONDS)
        assert ready, self.shown
        try:
            read = os.read(self._ours, 1 << 16)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.shown += read.decode()
        return bool(read)
