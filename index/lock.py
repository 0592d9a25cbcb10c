"""One server per data directory: an flock that names its holder.

`<data>/lock` holds one line about the process that has it. The kernel drops the lock with the
process, so a stale line never blocks a start.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import DirectoryHeld


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Hold `directory` until the block is left.

    Raises:
        DirectoryHeld: another process has it; says which.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
            raise DirectoryHeld(str(directory), holder or "another process") from None
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"process {os.getpid()} on {socket.gethostname()}, since {started}\n"
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, line.encode(), 0)
        yield
    finally:
        os.close(descriptor)  # and with it the lock
