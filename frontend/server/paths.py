"""Where the server's sockets lie, for it and for the command line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ADMIN_SOCKET: Final = Path("run") / "admin.sock"  # below the data directory; its folder is 0700


@contextmanager
def connected_path(path: Path) -> Iterator[str]:
    """A name for a Unix socket that fits `sockaddr_un` (107 bytes) wherever `path` lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
