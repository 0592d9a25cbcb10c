"""Who follows a file, as the kernel knows it: by a lock that ends with its holder.

Every process with followers of an upload's file holds a shared lock on one byte beyond its end;
whoever wants to punch holes into the file needs that byte for itself. These locks belong to the
open file and not to the process, and have nothing to do with the `flock` of an append.
See docs/design/0017-followers.md.
"""

import fcntl
import os
import struct
from typing import Final

_BYTE: Final = (1 << 63) - 2  # no file is that long
# Source: Linux, fcntl(2), struct flock: type, whence, start, length, process (0: not one's own).
_LOCK: Final = struct.Struct("hhqqi4x")


def hold(descriptor: int) -> bool:
    """Follow an open file until it is closed; False: somebody is punching holes into it."""
    return _lock(descriptor, fcntl.F_RDLCK)


def claim(descriptor: int) -> bool:
    """Keep followers off a file, open for writing, until it is closed; False: there are some."""
    return _lock(descriptor, fcntl.F_WRLCK)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, _BYTE, 1, 0))
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another one has it
        return False
    return True
