"""Tell every reader, of any process, that bytes of packs come into memory which it did not check.

    <data>/packs.fence    SLOTS numbers of 8 bytes: who read the region in last

Readers remember what they checked for as long as it stays in memory (`cas.verified`). But what left
it may come back by another's read, with other bytes if the disk has changed them. So whoever reads
in what is not in memory first writes a number of its own to the slots of the regions; and who
remembers looks, after it saw that the bytes are there, whether the slot is as it was when it
checked. The file is mapped by all; its content means nothing to the next start.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cas import layout

REGION: Final = 4 << 20  # bytes of a pack that share a slot
SLOTS: Final = 8192  # two regions that share one cost a check more than is needed, now and then
_SIZE: Final = 8 * SLOTS  # bytes


class Fence:
    """The slots, mapped; used from many threads."""

    def __init__(self, root: Path) -> None:
        self._slots = memoryview(_map(root / layout.PACKS_FENCE)).cast("Q")

    def announce(self, pack: int, start: int, stop: int) -> int:
        """Say that `start` to `stop` of a pack is about to be read in; returns the slots' value."""
        # Random, not counted: two who count up at once would write the same.
        token = int.from_bytes(os.urandom(8))
        for region in regions_of(start, stop):
            self._slots[(pack + region) % SLOTS] = token
        return token

    def token(self, pack: int, region: int) -> int:
        """What the slot of a region has."""
        return self._slots[(pack + region) % SLOTS]


def regions_of(start: int, stop: int) -> range:
    """The regions that bytes `start` to `stop` of a pack lie in."""
    return range(start // REGION, -(-stop // REGION))


def _map(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not os.geteuid():  # a backup by root may come first; the server must be able to write
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        if os.fstat(descriptor).st_size < _SIZE:
            # A full disk keeps nobody from starting: then no process knows of the others.
            with suppress(OSError):
                os.pwrite(descriptor, bytes(_SIZE), 0)
        if os.fstat(descriptor).st_size < _SIZE:
            return mmap.mmap(-1, _SIZE)
        return mmap.mmap(descriptor, _SIZE)
    finally:
        os.close(descriptor)
