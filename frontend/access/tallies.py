"""What all processes of a server count together: one file that each of them maps.

    <data>/run/limits
      u64 layout · 16 bytes boot id · 32 bytes key of the hashes      (one page)
      requests of accounts     2 rows of ROW u64, see `frontend.domain.rate`
      requests of addresses    2 rows of ROW u64
      failed logins            SETS sets of WAYS of u64 tag · u64 due
      known callers            KNOWN u64 tags

Its size is fixed, whatever is tried. A store of 8 aligned bytes is whole; what must be exact takes
the file's lock. Times are of the monotonic clock, which all processes share until the machine
starts anew: then the file is made anew, too. It is no format: nobody but this server reads it.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

PATH: Final = Path("run") / "limits"  # below the data directory; its folder is 0700
ROW: Final = 8192  # who shares both of two slots with somebody: one pair in 67 million
SETS: Final = 4096
WAYS: Final = 4  # names that share a set, at most, before the one that waits least is forgotten
KNOWN: Final = 8192

_LAYOUT: Final = 1
_HEAD: Final = mmap.PAGESIZE
_KEY: Final = slice(24, 56)
_WORDS: Final = (4 * ROW) + (2 * SETS * WAYS) + KNOWN
SIZE: Final = _HEAD + 8 * _WORDS  # bytes
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Tallies:
    """The file, mapped. Made by `open_tallies` or `private_tallies`."""

    def __init__(self, memory: mmap.mmap, descriptor: int | None) -> None:
        self._descriptor = descriptor
        with self.locked():
            _prepare(memory)
            self._key = memory[_KEY]
        words = memoryview(memory)[_HEAD:].cast("Q")
        self.accounts = words[: 2 * ROW]
        self.addresses = words[2 * ROW : 4 * ROW]
        self.logins = words[4 * ROW : 4 * ROW + 2 * SETS * WAYS]
        self.known = words[4 * ROW + 2 * SETS * WAYS :]

    def hash(self, kind: str, *texts: str) -> int:
        """64 bits for texts, which nobody outside can foresee."""
        text = "\0".join((kind, *(f"{len(each)}:{each}" for each in texts)))
        return int.from_bytes(blake3(text.encode("utf-8", "replace"), key=self._key).digest(8))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process within the block, which must not wait for anything."""
        if self._descriptor is None:
            yield
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@contextmanager
def open_tallies(data: Path) -> Iterator[Tallies]:
    """Map the file below a data directory for a block; without it, count for this process alone."""
    descriptor = _open(data / PATH)
    if descriptor is None:
        yield private_tallies()
        return
    try:
        yield Tallies(mmap.mmap(descriptor, SIZE), descriptor)
    finally:
        os.close(descriptor)


def private_tallies() -> Tallies:
    """Those of this process alone."""
    return Tallies(mmap.mmap(-1, SIZE), None)


def _open(path: Path) -> int | None:
    """The file, of its full size; None on a disk that is full, or in a folder that is not ours."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        return None
    with suppress(OSError):
        # Who opens it at the same moment must not write over what we make of it.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_size < SIZE:
            # Written, not only lengthened: a page that the disk has no room for would end us.
            os.pwrite(descriptor, bytes(SIZE), 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        if os.fstat(descriptor).st_size >= SIZE:
            return descriptor
    os.close(descriptor)
    return None


def _prepare(memory: mmap.mmap) -> None:
    """Begin anew if the file is new, of another version, or from before the machine started."""
    head = _LAYOUT.to_bytes(8) + _boot()
    if memory[: len(head)] != head:
        memory[:] = bytes(SIZE)
        memory[_KEY] = os.urandom(32)
        memory[: len(head)] = head


def _boot() -> bytes:
    try:
        return bytes.fromhex(_BOOT.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
