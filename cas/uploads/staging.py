"""Staged uploads as files: every step is one sync function for a thread.

An upload's offset is its file's size. Appends hold an flock for one segment only, so a client that
reconnects takes over from its own dead connection. Mode 0400 says "sealed": neither root nor an
open descriptor is stopped by it, so writers look at it under the lock.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from cas.errors import (
    OffsetMismatch,
    StorageFull,
    StoreFailed,
    UploadSealed,
    UploadUnknown,
    from_system,
)
from index.linux import start_writeback

_PIECES: Final = 1024  # the system takes no more at once (IOV_MAX)
_PIPE: Final = 1 << 20  # bytes moved at once: what a user without privileges may have
WRITEBACK: Final = 16 << 20  # bytes after which the disk begins to write: less is left to sync

_Step = Callable[[int, int], int]  # of (descriptor, position): appends there, returns the new size


@contextmanager
def _locked(path: Path, access: int = os.O_RDONLY) -> Iterator[tuple[int, os.stat_result]]:
    """Open an upload and hold its lock; yields the descriptor and its state.

    Read access is enough to lock, seal and unseal; to write a sealed one only root may open.
    """
    try:
        descriptor = os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise UploadUnknown(path.name) from None
    except PermissionError:
        raise UploadSealed(path.name) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
        if status.st_nlink == 0:
            raise UploadUnknown(path.name)
        yield descriptor, status
    finally:
        os.close(descriptor)


def create(path: Path) -> None:
    """Create an empty upload; its name is not synced (a 202 survives a crash, not a power cut)."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def size_of(path: Path) -> int:
    """Bytes staged so far.

    Raises:
        UploadUnknown: the session ended or never was.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise UploadUnknown(path.name) from None


def append(path: Path, offset: int, *data: bytes | bytearray | memoryview) -> int:
    """Append pieces at `offset`; returns the new size. What fits before an error is kept.

    Raises:
        OffsetMismatch, UploadUnknown, UploadSealed, StorageFull, Busy, Damaged.
    """
    return _grow(path, offset, partial(_write, [memoryview(piece) for piece in data]))


def receive(path: Path, offset: int, peer: int, most: int) -> int:
    """Append what waits in the socket `peer`, which must not block, at most `most` bytes of it.

    Returns the new size: the old one when nothing was there. The bytes never enter this process:
    that saves a copy, and the memory for it.

    Raises:
        As `append`.
    """
    return _grow(path, offset, partial(_move, peer, most))


def _grow(path: Path, offset: int, step: _Step) -> int:
    try:
        return _grow_locked(path, offset, step)
    except OSError as error:
        raise from_system(error, f"upload {path.name}") from error


def _grow_locked(path: Path, offset: int, step: _Step) -> int:
    with _locked(path, os.O_RDWR) as (descriptor, status):
        if not status.st_mode & 0o200:
            raise UploadSealed(path.name)
        if status.st_size != offset:
            raise OffsetMismatch(offset, status.st_size)
        position = step(descriptor, offset)
        if position // WRITEBACK > offset // WRITEBACK:
            start = offset // WRITEBACK * WRITEBACK
            with suppress(OSError):  # a hint: the sync at the end is what counts
                start_writeback(descriptor, start, position // WRITEBACK * WRITEBACK - start)
        return position


def _write(data: list[memoryview], descriptor: int, position: int) -> int:
    while data:
        count = os.pwritev(descriptor, data[:_PIECES], position)
        position += count
        data = _behind(data, count)
    return position


def _move(peer: int, most: int, descriptor: int, position: int) -> int:
    end = position + most
    with _pipe() as (outlet, inlet):
        while position < end:
            try:
                held = os.splice(peer, inlet, min(end - position, _PIPE))
            except OSError:
                break  # nothing more now, or ever: who reads the socket next finds out
            if not held:
                break
            while held:
                count = os.splice(outlet, descriptor, held, offset_dst=position)
                position += count
                held -= count
    return position


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one call: what a failure leaves in it is nobody else's."""
    outlet, inlet = os.pipe()
    try:
        with suppress(OSError):  # a user may have only so many large ones: it takes more calls then
            fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, _PIPE)
        yield outlet, inlet
    finally:
        os.close(outlet)
        os.close(inlet)


def _behind(pieces: list[memoryview], count: int) -> list[memoryview]:
    """What is left of the pieces behind their first `count` bytes; no empty piece."""
    for number, piece in enumerate(pieces):
        if count < len(piece):
            return [piece[count:], *(rest for rest in pieces[number + 1 :] if rest)]
        count -= len(piece)
    return []


def seal(path: Path) -> int:
    """Refuse further appends; returns the final size."""
    with _locked(path) as (descriptor, status):
        os.fchmod(descriptor, 0o400)
        return status.st_size


def unseal(path: Path) -> bool:
    """Let the session go on after a commit that failed; False: it still has its second name.

    Then its adoption could not be undone, and rows tell of its bytes: recovery does it.
    """
    with _locked(path) as (descriptor, status):
        if status.st_nlink > 1:
            return False
        os.fchmod(descriptor, 0o600)
    return True


def sync(path: Path) -> None:
    """Make a sealed upload's bytes durable.

    Raises:
        StoreFailed: it failed; the kernel forgets that, so a second sync would lie.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        raise StoreFailed(f"an upload could not be synced: {error}") from error
    finally:
        os.close(descriptor)


def remove(path: Path) -> bool:
    """Free an upload's name, and its bytes unless adopted; says whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def check_space(directory: Path, min_free: int) -> None:
    """Refuse more bytes below the free-space watermark.

    Raises:
        StorageFull: fewer than `min_free` bytes are free.
    """
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free < min_free:
        raise StorageFull(free, min_free)


def remove_stale(path: Path, before: float) -> bool:
    """Free an upload, unless it is sealed or was appended to since `before`: looks under its lock.

    Raises:
        UploadUnknown: it ended meanwhile.
    """
    with _locked(path) as (_, status):
        if status.st_mtime >= before or not status.st_mode & 0o200:
            return False
        return remove(path)


def iter_stale(directory: Path, before: float) -> Iterator[str]:
    """Session ids of uploads that nothing was appended to since `before` (seconds since 1970)."""
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield entry.name
            except FileNotFoundError:
                continue  # ended meanwhile
