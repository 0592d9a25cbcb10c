"""No wrong byte: chunks are checked against their BLAKE3 names before their bytes are served.

What was checked is remembered for as long as the pack stays open. Pages that the kernel drops
and reads again meanwhile are not checked again: that needs to know what is resident.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from threading import Lock

from blake3 import blake3

from cas.errors import Damaged
from index.records import ChunkAt

# (pack, start, stop) → (offset, row) of the chunks that overlap that range, in order
Chunks = Callable[[int, int, int], Sequence[tuple[int, ChunkAt]]]


class Ranges:
    """A set of byte offsets as disjoint ranges; neighbours melt together."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of `start` to `stop` is in the set."""
        index = bisect_right(self._starts, start) - 1
        return start >= stop or (index >= 0 and stop <= self._stops[index])

    def add(self, start: int, stop: int) -> None:
        """Add `start` to `stop`."""
        first = bisect_right(self._stops, start - 1)  # the first range that ends at or after it
        last = bisect_right(self._starts, stop)  # behind the last that begins at or before its end
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def __len__(self) -> int:
        return len(self._starts)


class Verified:
    """What of one open pack has been checked; used from many threads."""

    def __init__(self) -> None:
        self._ranges = Ranges()
        self._lock = Lock()

    def ensure(self, pack: int, descriptor: int, span: tuple[int, int], chunks: Chunks) -> None:
        """Check every chunk that overlaps `span` (start, stop) and was not checked yet; blocks.

        A range without chunk rows belongs to an object that was deleted while it is read: its
        bytes are still those of the open descriptor, and nothing is left to check them against.

        Raises:
            Damaged: a chunk is not what was stored, or the file is too short for it.
        """
        with self._lock:
            if self._ranges.covers(*span):
                return
        for offset, row in chunks(pack, *span):
            with self._lock:
                is_known = self._ranges.covers(offset, offset + row.length)
            if not is_known:
                _check(pack, descriptor, offset, row)
                with self._lock:
                    self._ranges.add(offset, offset + row.length)


def _check(pack: int, descriptor: int, offset: int, row: ChunkAt) -> None:
    data = os.pread(descriptor, row.length, offset)
    if len(data) < row.length:
        raise Damaged(f"pack {pack:016x}", f"ends at {offset + len(data)}: bytes are lost")
    if blake3(data).digest() != row.name:
        raise Damaged(f"pack {pack:016x}", f"the chunk at {offset} is not what was stored")
