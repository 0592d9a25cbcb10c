"""No wrong byte: chunks are checked against their BLAKE3 names before their bytes are served.

What was checked is remembered for as long as the pack stays open and the bytes stay in memory: what
the kernel dropped and reads again is checked again, whoever reads it (`cas.fence`).
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from blake3 import blake3

from cas.errors import Damaged, from_system
from cas.fence import REGION, Fence, regions_of
from cas.resident import PAGE, Pages
from index.records import ChunkAt

BUFFER: Final = 1 << 20  # bytes read at once to be hashed; each reading thread holds as much
# Neighbouring regions of a pack that several threads may check at once. Whoever comes second to a
# region waits, and then finds it done: 64 clients of one cold blob do not hash it 64 times.
_REGIONS: Final = 16

# (pack, start, stop) → (offset, row) of the chunks that overlap that range, in order
Chunks = Callable[[int, int, int], Sequence[tuple[int, ChunkAt]]]


class Ranges:
    """A set of byte offsets as disjoint ranges; neighbours melt together."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of `start` to `stop` is in the set."""
        return start >= stop or self.covered_to(start) >= stop

    def covered_to(self, start: int) -> int:
        """Where the range that holds `start` ends; `start` itself when none does."""
        index = bisect_right(self._starts, start) - 1
        return max(start, self._stops[index]) if index >= 0 else start

    def add(self, start: int, stop: int) -> None:
        """Add `start` to `stop`."""
        first = bisect_right(self._stops, start - 1)  # the first range that ends at or after it
        last = bisect_right(self._starts, stop)  # behind the last that begins at or before its end
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take `start` to `stop` out."""
        if start >= stop:
            return
        first = bisect_right(self._stops, start)  # the first range that ends beyond it
        last = bisect_right(self._starts, stop - 1)
        if first >= last:
            return
        before = (self._starts[first], start)
        after = (stop, self._stops[last - 1])
        kept = [(low, high) for low, high in (before, after) if low < high]
        self._starts[first:last] = [low for low, _ in kept]
        self._stops[first:last] = [high for _, high in kept]

    def __len__(self) -> int:
        return len(self._starts)


class Verified:
    """What of one open pack has been checked; used from many threads."""

    def __init__(
        self,
        pack: int,
        descriptor: int,
        report: Callable[[int, int], None] | None = None,
        fence: Fence | None = None,
    ) -> None:
        self._pack = pack
        self._report = report  # is told of (pack, offset) of each chunk that is damaged
        self._descriptor = descriptor
        self._pages = Pages(descriptor)
        self._ranges = Ranges()
        self._fence = fence  # None: nobody else reads the pack
        self._tokens: dict[int, int] = {}  # region → what its slot had when it was checked
        self._lock = Lock()
        self._regions = [Lock() for _ in range(_REGIONS)]

    def ready_to(self, start: int, stop: int) -> int:
        """How far the bytes from `start` on are in memory and checked, at most `stop`; never waits.

        Between this answer and a read the kernel may drop a page: that read is not checked.
        """
        with self._lock:
            stop = min(stop, self._ranges.covered_to(start))
        if start < stop:
            stop = self._pages.resident_to(start, stop)
        # Only now: what was read in by another since our check was announced before it was there.
        return self._unfenced_to(start, stop) if start < stop else start

    def _unfenced_to(self, start: int, stop: int) -> int:
        """How far nobody has announced to read in what was checked."""
        if self._fence is not None:
            for region in regions_of(start, stop):
                if self._fence.token(self._pack, region) != self._tokens.get(region):
                    return max(start, region * REGION)
        return stop

    def ensure(
        self, start: int, stop: int, chunks: Chunks, is_gone: Callable[[], bool] = lambda: True
    ) -> None:
        """Read in and check every chunk that overlaps `start` to `stop` and is not ready; blocks.

        A range without chunk rows belongs to an object that was deleted while it is read: its
        bytes are still those of the open descriptor, and nothing is left to check them against.
        Or the object lies elsewhere now, as it was damaged here: `is_gone` says which.

        Raises:
            Damaged: a chunk is not what was stored, or the file is too short for it; or that.
        """
        if self.ready_to(start, stop) >= stop:
            return
        with self._regions[start // REGION % _REGIONS]:
            ready = self.ready_to(start, stop)
            if ready >= stop:
                return
            runs = _runs(chunks(self._pack, ready, stop))
            if not _cover(runs, ready, stop) and not is_gone():
                raise Damaged(f"pack {self._pack:016x}", "what was read lies elsewhere now: again")
            for run in runs:
                self._check(run)

    def close(self) -> None:
        """Let go of what looks at memory; nobody may ask any more."""
        self._pages.close()

    def _check(self, run: Sequence[tuple[int, ChunkAt]]) -> None:
        """Read in and check chunks that lie side by side."""
        start, (last, row) = run[0][0], run[-1]
        stop = last + row.length
        with self._lock:
            tokens = self._read_in(start, stop)
        window = _Window(self._descriptor, stop)
        sound = start
        try:
            for offset, row in run:
                self._check_chunk(window, offset, row)
                sound = offset + row.length
        finally:
            with self._lock:
                if all(self._tokens.get(region) == token for region, token in tokens.items()):
                    self._ranges.add(start, sound)

    def _read_in(self, start: int, stop: int) -> dict[int, int]:
        """Forget what is not known any more once `start` to `stop` is read in; announce it.

        Returns what the slots of its regions have now.
        """
        first, last = self._doubtful(start, stop)
        if self._fence is None:
            self._ranges.remove(first, last)
            return {}
        regions = regions_of(first, last)
        found = {region: self._fence.token(self._pack, region) for region in regions}
        for region, token in found.items():
            if self._tokens.get(region) != token:
                self._ranges.remove(region * REGION, (region + 1) * REGION)
        self._ranges.remove(first, last)
        if self._pages.resident_to(first, last) < last:
            # Somebody may announce between our look and our own announcement, which hides that.
            self._ranges.remove(regions.start * REGION, regions.stop * REGION)
            found = dict.fromkeys(regions, self._fence.announce(self._pack, first, last))
        self._tokens |= found
        return found

    def _check_chunk(self, window: "_Window", offset: int, row: ChunkAt) -> None:
        what = _wrong_with(window, offset, row)
        if not what:
            return
        if self._report is not None:
            self._report(self._pack, offset)
        raise Damaged(f"pack {self._pack:016x}", what)

    def _doubtful(self, start: int, stop: int) -> tuple[int, int]:
        """What is not known any more once `start` to `stop` is read in.

        A page at its edge holds bytes of a neighbour too; if the kernel has dropped it, they come
        in with ours, and nobody has checked them since.
        """
        first, last = start // PAGE * PAGE, (stop - 1) // PAGE * PAGE
        if self._pages.resident_to(first, first + 1) > first:
            first = start
        if self._pages.resident_to(last, last + 1) > last:
            return first, stop
        return first, last + PAGE


def _wrong_with(window: "_Window", offset: int, row: ChunkAt) -> str:
    """What is wrong with a chunk, or nothing.

    Raises:
        OSError: the system could not read for now.
    """
    at, stop = offset, offset + row.length
    hashing = blake3()
    try:
        while at < stop:
            piece = window.read(at, stop)
            if not piece:
                return f"ends at {at}: bytes are lost"
            hashing.update(piece)
            at += len(piece)
    except OSError as error:
        if not isinstance(from_system(error, ""), Damaged):
            raise
        return f"the chunk at {offset} cannot be read: {error}"
    is_right = hashing.digest() == row.name
    return "" if is_right else f"the chunk at {offset} is not what was stored"


class _Window:
    """A file read forwards through one buffer, a few chunks at a time."""

    def __init__(self, descriptor: int, stop: int) -> None:
        self._descriptor = descriptor
        self._stop = stop  # nobody wants bytes beyond
        self._buffer = memoryview(bytearray(BUFFER))
        self._start = self._end = 0  # what of the file is in it

    def read(self, start: int, stop: int) -> memoryview:
        """Bytes from `start` on: all up to `stop`, or a buffer full; none at the file's end.

        They are valid until the next read.
        """
        if not self._start <= start <= stop <= self._end:
            self._fill(start)
        return self._buffer[start - self._start : min(stop, self._end) - self._start]

    def _fill(self, start: int) -> None:
        size = min(BUFFER, self._stop - start)
        self._start = self._end = start
        while size > self._end - start:
            found = os.preadv(self._descriptor, [self._buffer[self._end - start : size]], self._end)
            if not found:
                return
            self._end += found


def _cover(runs: Sequence[Sequence[tuple[int, ChunkAt]]], start: int, stop: int) -> bool:
    """Whether chunks that lie side by side cover `start` to `stop`."""
    if len(runs) != 1:
        return False
    last, row = runs[0][-1]
    return runs[0][0][0] <= start and last + row.length >= stop


def _runs(chunks: Sequence[tuple[int, ChunkAt]]) -> list[list[tuple[int, ChunkAt]]]:
    """The chunks, grouped by what lies side by side."""
    runs: list[list[tuple[int, ChunkAt]]] = []
    end = -1
    for offset, row in chunks:
        if offset != end:
            runs.append([])
        runs[-1].append((offset, row))
        end = offset + row.length
    return runs
