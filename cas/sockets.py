"""Unix sockets of one machine: names that fit, and who is at the other end.

run/daemon.sock             the verbs, for workers (`cas.remote.daemon`, `cas.remote.client`)
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

DAEMON_SOCKET: Final = Path("run") / "daemon.sock"  # below the data directory; its folder is 0700

_PEER: Final = struct.Struct("iII")  # struct ucred: pid, uid, gid


class _Socket(Protocol):
    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


@contextmanager
def connected_path(path: Path) -> Iterator[str]:
    """A name for a Unix socket that fits `sockaddr_un` (107 bytes) wherever `path` lies.

    Raises:
        OSError: its folder is not there.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_own_peer(connection: _Socket) -> bool:
    """Whether a process of our own user, or of root, is at the other end."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(ucred)
    return uid in (os.geteuid(), 0)
