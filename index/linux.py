"""The Linux system calls that Python 3.11's `os` lacks.

`fallocate` modes, `sync_file_range`, `mincore` with the mapping it needs, and `cachestat`.
"""

import ctypes
import mmap
import os
from typing import Final

_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_SYNC_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE: start writeback, wait for nothing

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
)  # fmt: skip
_libc.mmap.restype = ctypes.c_void_p
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_MAP_FAILED: Final = ctypes.c_void_p(-1).value

# These never wait, so they keep the interpreter's lock: to get that back could cost 5 ms.
_quick_libc = ctypes.PyDLL(None, use_errno=True)
_CACHESTAT: Final = 451  # Source: linux, scripts/syscall.tbl; the same on every architecture
_cachestat = _quick_libc.syscall
_cachestat.restype = ctypes.c_long
_cachestat.argtypes = (
    ctypes.c_long, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint,
)  # fmt: skip
_Range = ctypes.c_uint64 * 2  # struct cachestat_range: offset, length
_Counts = (
    ctypes.c_uint64 * 5
)  # struct cachestat: pages cached, dirty, in writeback, evicted, lately
_mincore = _quick_libc.mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)


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


def map_file(descriptor: int, length: int) -> int:
    """Map the first `length` bytes, beyond its end too, for `resident_pages`; returns the address.

    To touch the memory could kill the process: nobody does.
    """
    address: int | None = _libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address is None or address == _MAP_FAILED:
        _check(-1)
    return address or 0


def unmap_file(address: int, length: int) -> None:
    """Undo `map_file`."""
    _check(_libc.munmap(address, length))


def resident_pages(address: int, count: int) -> bytes:
    """A byte for each of `count` pages of a map from `address` on: 1 when it is in memory."""
    found = ctypes.create_string_buffer(count)
    _check(_mincore(address, count * mmap.PAGESIZE, found))
    return found.raw


def cached_pages(descriptor: int, offset: int, length: int) -> int:
    """How many pages of a range are in memory (2 µs a MiB, where `mincore` takes 20).

    Raises:
        OSError: the kernel is older than 6.5, or does not tell us.
    """
    asked, found = _Range(offset, length), _Counts()
    _check(_cachestat(_CACHESTAT, descriptor, ctypes.byref(asked), ctypes.byref(found), 0))
    return int(found[0])
