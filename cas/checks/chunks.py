"""Chunks against the extents that cover them, and against the bytes in their packs.

Both sides are walked in the order of the packs: extents as two sorted lists of where they begin
and end (16 bytes each), chunks by a cursor. A chunk is covered by the extents that have begun
before its end, less those that have ended by its beginning.
"""

from collections.abc import Iterator
from itertools import groupby

from cas.checks.drift import Drift, Mend, Run, put
from cas.checks.rehash import Hole, remade
from index import keys
from index.records import ChunkAt
from index.transaction import Transaction


class _Coverage:
    """How many extents of one pack lie over a range; ranges are asked for in order."""

    def __init__(self, run: Run, pack: int) -> None:
        starts, stops = run.spans.get(pack, ((), ()))
        self.starts = sorted(starts)
        self.stops = sorted(stops)
        self._begun = self._ended = 0

    def over(self, start: int, stop: int) -> int:
        """Extents that have a byte in `start` to `stop`."""
        while self._begun < len(self.starts) and self.starts[self._begun] < stop:
            self._begun += 1
        while self._ended < len(self.stops) and self.stops[self._ended] <= start:
            self._ended += 1
        return self._begun - self._ended

    def cuts(self, start: int, stop: int) -> bool:
        """Whether an extent begins or ends within the range that was asked for last."""
        begins = self._begun > 0 and self.starts[self._begun - 1] > start
        ends = self._ended < len(self.stops) and self.stops[self._ended] < stop
        return begins or ends


def chunks(run: Run) -> Iterator[Drift]:
    """Chunks count the extents over them, extents cover whole chunks, packs count live bytes."""
    holes: list[Hole] = []
    seen = set()
    rows = run.view.scan("chunk_at")
    for pack, group in groupby(rows, lambda row: keys.split_place(row[0])[0]):
        seen.add(pack)
        yield from _pack(run, pack, group, holes)
    for pack in sorted((run.spans.keys() | {pack for pack, _ in run.view.iter_packs()}) - seen):
        yield from _pack(run, pack, iter(()), holes)
    if holes:
        yield from remade(run, holes)


def _pack(
    run: Run, pack: int, rows: Iterator[tuple[bytes, bytes]], holes: list[Hole]
) -> Iterator[Drift]:
    coverage = _Coverage(run, pack)
    end = live = 0
    for key, value in rows:
        run.checked["chunks"] += 1
        offset, row = keys.split_place(key)[1], ChunkAt.decode(value)
        if offset < end or (offset > end and coverage.over(end, offset)):
            holes.append(Hole(pack, min(end, offset), max(end, offset)))
        end = offset + row.length
        live += row.length
        found = coverage.over(offset, end)
        if coverage.cuts(offset, end):
            holes.append(Hole(pack, offset, end))
        elif found != row.references or not found:
            sentence = f"chunk {key.hex()}: {row.references} references"
            yield Drift(f"{sentence}, {found} extents cover it", _settle(key, found))
        yield from _name(run, key, row)
    last = coverage.stops[-1] if coverage.stops else 0
    if last > end and coverage.over(end, last):
        holes.append(Hole(pack, end, last))
    yield from _live(run, pack, live)


def _settle(key: bytes, references: int) -> Mend:
    """A chunk that nothing covers has no row, and its name is free."""

    def mend(transaction: Transaction) -> None:
        place = keys.split_place(key)
        row = transaction.chunk_at(*place)
        if row is None:
            return
        if references:
            transaction.put("chunk_at", key, row._replace(references=references).encode())
            return
        transaction.delete("chunk_at", key)
        if transaction.chunk(row.name) == place:
            transaction.delete("chunk", row.name)

    return mend


def _name(run: Run, key: bytes, row: ChunkAt) -> Iterator[Drift]:
    place = run.view.chunk(row.name)
    if place is None:
        # Two builds wrote this chunk at once, and the one that took its name was given up
        # (design §4, "Slices"): it is not shared with later blobs, and that is all.
        run.checked["unnamed chunks"] += 1
    elif place.encode() != key:
        other = run.view.chunk_at(*place)
        if other is None or other.name != row.name:
            sentence = f"chunk {row.name.hex()}: is not where its row says, but at {key.hex()}"
            yield Drift(sentence, put("chunk", row.name, key))


def _live(run: Run, pack: int, live: int) -> Iterator[Drift]:
    row = run.view.pack(pack)
    if row is None:
        if run.spans.get(pack):
            yield Drift(f"pack {pack:016x}: extents lie in it, but it has no row")
    elif row.live != live:

        def mend(transaction: Transaction) -> None:
            transaction.put("pack", keys.u64(pack), row._replace(live=live).encode())

        yield Drift(f"pack {pack:016x}: {row.live} live bytes, {live} found", mend)
