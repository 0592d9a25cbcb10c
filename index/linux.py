"""The Linux system calls that Python 3.11's `os` lacks: `fallocate` modes and `sync_file_range`."""

import ctypes
import os
from typing import Final

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_SYNC_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE: start writeback, wait for nothing

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def reserve(descriptor: int, size: int) -> None:
    """Give the first `size` bytes of the file blocks on disk; its length stays as it is."""
    _check(_libc.fallocate(descriptor, _KEEP_SIZE, 0, size))


def punch_hole(descriptor: int, offset: int, length: int) -> None:
    """Free the blocks of a range; whole pages only, the file's length stays as it is."""
    _check(_libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length))


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Begin to write a range to disk, so that the later `fdatasync` finds little left."""
    _check(_libc.sync_file_range(descriptor, offset, length, _SYNC_WRITE))
