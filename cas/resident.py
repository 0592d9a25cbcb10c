"""Which bytes of an open file are in memory, so that nobody waits for a disk unawares.

`cachestat` counts the pages of a range (2 µs a MiB); where some are missing, or the kernel is old,
`mincore` on a mapping that is never touched says which (20 µs). A read that must not wait would
load what it asks for, and so lie the second time it is asked.
"""

import os
from contextlib import suppress
from typing import Final

from index.linux import cached_pages, map_file, resident_pages, unmap_file

PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# Bytes of address space at least: the active pack grows below its map, up to 256 MiB and a blob.
_ROOM: Final = 1 << 30


class Pages:
    """The pages of one descriptor; used from many threads."""

    def __init__(self, descriptor: int, room: int = _ROOM) -> None:
        self._descriptor = descriptor
        self._is_counted = True  # until the kernel says that it cannot
        self._length = -(-max(room, os.fstat(descriptor).st_size) // PAGE) * PAGE
        self._address = 0  # where there is none, nothing is resident, and all is read in threads
        with suppress(OSError):
            self._address = map_file(descriptor, self._length)

    def reaches(self, stop: int) -> bool:
        """Whether there is room in the address space for bytes up to `stop`."""
        return stop <= self._length

    def resident_to(self, start: int, stop: int) -> int:
        """How far the bytes from `start` on are in memory, at most `stop`."""
        first = start // PAGE
        count = -(-stop // PAGE) - first
        if not self._address or (first + count) * PAGE > self._length:
            return start
        if self._is_counted and self._has_all(first, count):
            return stop
        missing = resident_pages(self._address + first * PAGE, count).find(0)
        return stop if missing < 0 else max(start, (first + missing) * PAGE)

    def _has_all(self, first: int, count: int) -> bool:
        try:
            return cached_pages(self._descriptor, first * PAGE, count * PAGE) == count
        except OSError:
            self._is_counted = False
            return False

    def close(self) -> None:
        """Give the address space back."""
        address, self._address = self._address, 0
        if address:
            unmap_file(address, self._length)
