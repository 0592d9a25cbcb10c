"""Who copies pack files keeps collection from unlinking or replacing them meanwhile.

    <data>/packs.lock    empty; held shared by who keeps files, exclusively by who takes some away

An flock, so it works between processes, whether or not a server runs, and the kernel drops it with
the process that held it. Both are sync and for a thread: to keep may wait, to take never does.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cas import layout


@contextmanager
def keeping_packs(root: Path) -> Iterator[None]:
    """For a block, no pack file of the data directory `root` is unlinked or replaced.

    Waits for whoever is taking some away just now. Files may appear and grow all the same.

    Raises:
        OSError: the lock's file cannot be made or opened.
    """
    with _open_lock(root) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def taking_packs(root: Path) -> Iterator[bool]:
    """Yield whether pack files may be unlinked or replaced for the block; False: come back later.

    Never waits. While it is True, `keeping_packs` waits, so the block should be short.

    Raises:
        OSError: the lock's file cannot be made or opened.
    """
    with _open_lock(root) as descriptor:
        yield _is_taken(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _open_lock(root: Path) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(root / layout.PACKS_LOCK, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # and with it the lock
